//! What the rules are told beside booking and fact, and what they hand back to be written.

use super::outcome::{Outcome, Reason};
use crate::booking::Booking;
use crate::case::{CaseAbout, Facts, KnownCase};
use crate::ids::{PaymentIntentId, SessionId};
use crate::lang::Words;
use clock::Timestamp;

/// A case to be opened. What was told of its subject before is not opened again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewCase {
    /// What it is about.
    pub about: CaseAbout,
    /// What was told of that.
    pub facts: Facts,
    /// The session it is about.
    pub session: Option<SessionId>,
    /// The payment it is about.
    pub intent: Option<PaymentIntentId>,
    /// The amount at stake, in minor units.
    pub amount: Option<i64>,
    /// Its currency as Stripe names it, which may be none that we know.
    pub currency: Option<String>,
    /// Until when something must be done.
    pub deadline: Option<Timestamp>,
    /// The figures, in words.
    pub detail: Words,
}

impl NewCase {
    /// The case once it is opened.
    #[must_use]
    pub fn known(&self) -> KnownCase {
        KnownCase {
            about: self.about.clone(),
            facts: self.facts.clone(),
            amount: self.amount,
            currency: self.currency.clone(),
            open: true,
        }
    }
}

/// Something that others are told about, once committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EffectKind {
    /// The booking was paid.
    Paid,
    /// Its delayed payment failed.
    Failed,
    /// More of it was refunded.
    Refunded,
    /// A dispute was opened.
    Disputed,
    /// A person called it off after it was paid.
    Cancelled,
}

impl EffectKind {
    /// Every kind.
    pub const ALL: [Self; 5] = [Self::Paid, Self::Failed, Self::Refunded, Self::Disputed, Self::Cancelled];

    /// As the outbox and the notifications write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Paid => "booking.paid",
            Self::Failed => "booking.failed",
            Self::Refunded => "booking.refunded",
            Self::Disputed => "booking.disputed",
            Self::Cancelled => "booking.cancelled",
        }
    }

    /// From its exact text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// An effect with the key that keeps it from happening twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effect {
    /// What happened.
    pub kind: EffectKind,
    /// Stable over every retry and replay.
    pub key: String,
}

/// What the deciding needs to know beside booking and fact.
#[derive(Debug, Clone, Copy)]
pub struct Context {
    /// The time.
    pub now: Timestamp,
    /// Whether our key is a live one.
    pub livemode: bool,
    /// A seat number that the booking could take if it holds none; none if the slot is full.
    pub free_seat: Option<i32>,
}

/// What is to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Decision {
    /// For the ledger and the answer.
    pub outcome: Outcome,
    /// Why.
    pub reason: Reason,
    /// The booking afterwards.
    pub booking: Booking,
    /// Whether this event is the one that paid the booking.
    pub applied_payment: bool,
    /// A case to open.
    pub case: Option<NewCase>,
    /// Who is to be told what.
    pub effects: Vec<Effect>,
}
