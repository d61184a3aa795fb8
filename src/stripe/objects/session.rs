//! Checkout sessions.

use super::read::{Amount, amount, claim, currency, member, payment_intent, seconds, text, word};
use super::{Object, PaymentIntent};
use clock::Timestamp;
use domain::event::{Claim, PaymentStatus, SessionFact, SessionMoment};
use domain::ids::{PaymentIntentId, SessionId};
use serde_json::Value;

/// A payment page and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckoutSession {
    /// Stripe's id.
    pub id: SessionId,
    /// How far it is.
    pub status: SessionStatus,
    /// Whether the money is there.
    pub payment_status: PaymentStatus,
    /// Whose it is.
    pub claim: Claim,
    /// The payment behind it; none before the customer confirms.
    pub payment_intent: Option<PaymentIntentId>,
    /// The same as a whole, if it was asked for with the session.
    pub payment: Option<PaymentIntent>,
    /// `payment`, `subscription`, `setup`.
    pub mode: Option<String>,
    /// Lower-case code.
    pub currency: Option<String>,
    /// Before discount, tax and shipping.
    pub amount_subtotal: Amount,
    /// What is to be paid.
    pub amount_total: Amount,
    /// What lies between the two.
    pub total_details: TotalDetails,
    /// The payment page, while it is open.
    pub url: Option<String>,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
}

/// A session's `status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionStatus {
    /// It can be paid.
    Open,
    /// The customer finished; the money may still be on its way.
    Complete,
    /// It ended unpaid.
    Expired,
    /// Not said, or a word that we do not know.
    Unknown,
}

/// The parts of a session's total.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TotalDetails {
    /// Given off.
    pub discount: Amount,
    /// Tax added on top.
    pub tax: Amount,
    /// Shipping added on top.
    pub shipping: Amount,
}

impl Object for CheckoutSession {
    fn read(value: &Value) -> Option<Self> {
        let details = member(value, "total_details");
        Some(Self {
            id: SessionId::parse(text(value, "id")?).ok()?,
            status: match text(value, "status") {
                Some("open") => SessionStatus::Open,
                Some("complete") => SessionStatus::Complete,
                Some("expired") => SessionStatus::Expired,
                _ => SessionStatus::Unknown,
            },
            payment_status: match text(value, "payment_status") {
                Some("paid") => PaymentStatus::Paid,
                Some("unpaid") => PaymentStatus::Unpaid,
                Some("no_payment_required") => PaymentStatus::NoPaymentRequired,
                _ => PaymentStatus::Unknown,
            },
            claim: claim(value),
            payment_intent: payment_intent(value),
            payment: PaymentIntent::read(member(value, "payment_intent")),
            mode: word(value, "mode", 40),
            currency: currency(value),
            amount_subtotal: amount(value, "amount_subtotal"),
            amount_total: amount(value, "amount_total"),
            total_details: TotalDetails {
                discount: amount(details, "amount_discount"),
                tax: amount(details, "amount_tax"),
                shipping: amount(details, "amount_shipping"),
            },
            url: text(value, "url").map(str::to_owned),
            expires_at: seconds(value, "expires_at"),
        })
    }
}

impl CheckoutSession {
    /// What has happened to it; none while it is open.
    ///
    /// A delayed payment that failed leaves the session complete and unpaid; only its payment, if it was asked
    /// for with the session, tells that no money comes any more.
    #[must_use]
    pub fn moment(&self) -> Option<SessionMoment> {
        let given_up = self.payment.as_ref().is_some_and(|payment| payment.status.is_given_up());
        match self.status {
            SessionStatus::Complete if self.payment_status == PaymentStatus::Unpaid && given_up => {
                Some(SessionMoment::AsyncFailed)
            }
            SessionStatus::Complete => Some(SessionMoment::Completed),
            SessionStatus::Expired => Some(SessionMoment::Expired),
            SessionStatus::Open | SessionStatus::Unknown => None,
        }
    }

    /// What it says, told as `moment`.
    #[must_use]
    pub fn fact(&self, moment: SessionMoment) -> SessionFact {
        let TotalDetails { discount, tax, shipping } = self.total_details;
        let amounts = [
            ("amount_subtotal", self.amount_subtotal),
            ("amount_total", self.amount_total),
            ("amount_discount", discount),
            ("amount_tax", tax),
            ("amount_shipping", shipping),
        ];
        SessionFact {
            id: self.id.clone(),
            moment,
            payment_status: self.payment_status,
            claim: self.claim.clone(),
            intent: self.payment_intent.clone(),
            mode: self.mode.clone(),
            currency: self.currency.clone(),
            subtotal: self.amount_subtotal.whole(),
            total: self.amount_total.whole(),
            discount: discount.whole(),
            tax: tax.whole(),
            shipping: shipping.whole(),
            unreadable: amounts.into_iter().find(|(_, amount)| amount.is_unreadable()).map(|(name, _)| name),
        }
    }

    /// Whether it can be paid.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.status == SessionStatus::Open
    }

    /// Whether the customer finished, with or without the money having come.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.status == SessionStatus::Complete
    }
}
