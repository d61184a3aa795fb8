//! Refunds.

use super::read::{Amount, amount, claim, currency, id_of, member, payment_intent, text};
use super::{METADATA_REFUND, Object};
use domain::booking::RefundStatus;
use domain::event::{Claim, RefundFact};
use domain::ids::{ChargeId, PaymentIntentId, RefundId};
use serde_json::Value;

/// Money on its way back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refund {
    /// Stripe's id.
    pub id: RefundId,
    /// How far it is; none if it was not said.
    pub status: Option<RefundStatus>,
    /// Whose it is, if it says so itself or by its payment.
    pub claim: Claim,
    /// The payment it gives back.
    pub payment_intent: Option<PaymentIntentId>,
    /// The charge it gives back.
    pub charge: Option<ChargeId>,
    /// How much.
    pub amount: Amount,
    /// Lower-case code.
    pub currency: Option<String>,
    /// The request of ours that it was made for, if it was.
    pub request: Option<String>,
}

impl Object for Refund {
    fn read(value: &Value) -> Option<Self> {
        Some(Self {
            id: RefundId::parse(text(value, "id")?).ok()?,
            status: text(value, "status").map(RefundStatus::parse),
            claim: claim(value),
            payment_intent: payment_intent(value),
            charge: id_of(value, "charge").and_then(|id| ChargeId::parse(id).ok()),
            amount: amount(value, "amount"),
            currency: currency(value),
            request: text(member(value, "metadata"), METADATA_REFUND).map(str::to_owned),
        })
    }
}

impl Refund {
    /// What it says.
    #[must_use]
    pub fn fact(&self) -> RefundFact {
        RefundFact {
            id: self.id.clone(),
            claim: self.claim.clone(),
            intent: self.payment_intent.clone(),
            charge: self.charge.clone(),
            amount: self.amount.whole(),
            currency: self.currency.clone(),
            unreadable: self.amount.is_unreadable(),
            status: self.status.unwrap_or(RefundStatus::Pending),
        }
    }
}
