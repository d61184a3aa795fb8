//! Disputes.

use super::Object;
use super::read::{Amount, amount, claim, currency, id_of, member, payment_intent, seconds, text};
use clock::Timestamp;
use domain::booking::DisputeStatus;
use domain::event::{Claim, DisputeFact};
use domain::ids::{ChargeId, DisputeId, PaymentIntentId};
use serde_json::Value;

/// A customer's bank asks for the money back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dispute {
    /// Stripe's id.
    pub id: DisputeId,
    /// How far it is; none if it was not said.
    pub status: Option<DisputeStatus>,
    /// Whose it is, if it says so itself or by its payment.
    pub claim: Claim,
    /// The payment in dispute.
    pub payment_intent: Option<PaymentIntentId>,
    /// The charge in dispute.
    pub charge: Option<ChargeId>,
    /// How much, in its own currency.
    pub amount: Amount,
    /// Lower-case code.
    pub currency: Option<String>,
    /// Until when evidence can be sent.
    pub due_by: Option<Timestamp>,
}

impl Object for Dispute {
    fn read(value: &Value) -> Option<Self> {
        Some(Self {
            id: DisputeId::parse(text(value, "id")?).ok()?,
            status: text(value, "status").map(DisputeStatus::parse),
            claim: claim(value),
            payment_intent: payment_intent(value),
            charge: id_of(value, "charge").and_then(|id| ChargeId::parse(id).ok()),
            amount: amount(value, "amount"),
            currency: currency(value),
            due_by: seconds(member(value, "evidence_details"), "due_by"),
        })
    }
}

impl Dispute {
    /// What it says.
    #[must_use]
    pub fn fact(&self) -> DisputeFact {
        DisputeFact {
            id: self.id.clone(),
            claim: self.claim.clone(),
            intent: self.payment_intent.clone(),
            charge: self.charge.clone(),
            amount: self.amount.whole(),
            currency: self.currency.clone(),
            unreadable: self.amount.is_unreadable(),
            status: self.status.unwrap_or(DisputeStatus::NeedsResponse),
            due_by: self.due_by,
        }
    }
}
