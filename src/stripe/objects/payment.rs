//! Payment intents and charges.

use super::Object;
use super::read::{Amount, amount, claim, currency, payment_intent, text};
use domain::event::{ChargeRefundedFact, Claim};
use domain::ids::{ChargeId, PaymentIntentId};
use serde_json::Value;

/// A payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaymentIntent {
    /// Stripe's id.
    pub id: PaymentIntentId,
    /// How far it is.
    pub status: IntentStatus,
    /// Whose it is.
    pub claim: Claim,
    /// What has come.
    pub amount_received: Amount,
    /// Lower-case code.
    pub currency: Option<String>,
}

/// A payment's `status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IntentStatus {
    /// It was given up.
    Canceled,
    /// The money is on its way.
    Processing,
    /// The customer has to do something.
    RequiresAction,
    /// The money is held and has to be taken.
    RequiresCapture,
    /// It has to be confirmed.
    RequiresConfirmation,
    /// It has none, or the one that it had failed.
    RequiresPaymentMethod,
    /// The money is there.
    Succeeded,
    /// Not said, or a word that we do not know.
    Unknown,
}

impl IntentStatus {
    fn parse(text: &str) -> Self {
        match text {
            "canceled" => Self::Canceled,
            "processing" => Self::Processing,
            "requires_action" => Self::RequiresAction,
            "requires_capture" => Self::RequiresCapture,
            "requires_confirmation" => Self::RequiresConfirmation,
            "requires_payment_method" => Self::RequiresPaymentMethod,
            "succeeded" => Self::Succeeded,
            _ => Self::Unknown,
        }
    }

    /// Whether no money comes by it any more, once its session is complete.
    #[must_use]
    pub fn is_given_up(self) -> bool {
        match self {
            Self::Canceled | Self::RequiresPaymentMethod => true,
            Self::Processing
            | Self::RequiresAction
            | Self::RequiresCapture
            | Self::RequiresConfirmation
            | Self::Succeeded
            | Self::Unknown => false,
        }
    }
}

impl Object for PaymentIntent {
    fn read(value: &Value) -> Option<Self> {
        Some(Self {
            id: PaymentIntentId::parse(text(value, "id")?).ok()?,
            status: text(value, "status").map_or(IntentStatus::Unknown, IntentStatus::parse),
            claim: claim(value),
            amount_received: amount(value, "amount_received"),
            currency: currency(value),
        })
    }
}

/// One movement of a payment's money.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Charge {
    /// Stripe's id.
    pub id: ChargeId,
    /// Whose it is: a charge copies the metadata of its payment.
    pub claim: Claim,
    /// The payment behind it.
    pub payment_intent: Option<PaymentIntentId>,
    /// All that was given back of it so far.
    pub amount_refunded: Amount,
    /// Lower-case code.
    pub currency: Option<String>,
}

impl Object for Charge {
    fn read(value: &Value) -> Option<Self> {
        Some(Self {
            id: ChargeId::parse(text(value, "id")?).ok()?,
            claim: claim(value),
            payment_intent: payment_intent(value),
            amount_refunded: amount(value, "amount_refunded"),
            currency: currency(value),
        })
    }
}

impl Charge {
    /// What it says of its refunds.
    #[must_use]
    pub fn fact(&self) -> ChargeRefundedFact {
        ChargeRefundedFact {
            charge: self.id.clone(),
            claim: self.claim.clone(),
            intent: self.payment_intent.clone(),
            amount_refunded: self.amount_refunded.whole(),
            currency: self.currency.clone(),
            unreadable: self.amount_refunded.is_unreadable(),
        }
    }
}
