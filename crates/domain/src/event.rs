//! What Stripe told us, reduced to what a decision needs.

use super::booking::{DisputeStatus, RefundStatus};
use super::ids::{BookingId, ChargeId, DisputeId, EventId, InstanceId, PaymentIntentId, RefundId, SessionId};
use super::lang::Lang;
use clock::Timestamp;
use std::fmt;

/// One thing that Stripe told us, by whichever road.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// What makes it the same thing when it is told again.
    pub key: EventKey,
    /// Stripe's name for it, as sent: `checkout.session.completed`.
    pub kind: String,
    /// When Stripe made it, by Stripe's clock. Never used to order.
    pub created: Option<Timestamp>,
    /// Live or test; none if it was not said.
    pub livemode: Option<bool>,
    /// The other account that it happened on, if it did: its money is another business's, and its fact is
    /// [`Fact::Other`] whatever it says.
    pub account: Option<String>,
    /// By which road it came.
    pub source: Source,
    /// What it says.
    pub fact: Fact,
    /// As received, kept for replay.
    pub payload: String,
}

/// The identity of an event.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventKey {
    /// An event object of Stripe's.
    Stripe(EventId),
    /// A state that we saw by asking, without an event: the same state again is the same fact.
    Polled(String),
}

impl EventKey {
    /// The text that is unique in the ledger.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Stripe(id) => id.as_str(),
            Self::Polled(key) => key,
        }
    }

    /// Stripe's own id of the event; none for a polled state.
    #[must_use]
    pub fn stripe_id(&self) -> Option<&str> {
        match self {
            Self::Stripe(id) => Some(id.as_str()),
            Self::Polled(_) => None,
        }
    }
}

/// The road by which a fact came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Source {
    /// Stripe posted it.
    Webhook,
    /// We read it from the list of events.
    Feed,
    /// We read the object itself.
    Poll,
    /// A person replayed it from the ledger.
    Replay,
}

impl Source {
    /// As the ledger writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::Feed => "feed",
            Self::Poll => "poll",
            Self::Replay => "replay",
        }
    }

    /// As people read it.
    #[must_use]
    pub fn word(self, lang: Lang) -> &'static str {
        let (fr, en) = match self {
            Self::Webhook => ("webhook", "webhook"),
            Self::Feed => ("flux d'événements", "events feed"),
            Self::Poll => ("question à Stripe", "asked Stripe"),
            Self::Replay => ("rejeu", "replay"),
        };
        lang.pick(fr, en)
    }

    /// From its exact text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Webhook, Self::Feed, Self::Poll, Self::Replay].into_iter().find(|s| s.as_str() == text)
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What an event says, if it is of a kind that we act on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// Something happened to a checkout session.
    Session(SessionFact),
    /// A refund was made or changed.
    Refund(RefundFact),
    /// A charge was refunded, wholly or in part.
    ChargeRefunded(ChargeRefundedFact),
    /// A dispute was opened, changed or closed.
    Dispute(DisputeFact),
    /// We asked Stripe, and it has no session that could pay the booking.
    NoSession(NoSessionFact),
    /// None of our business.
    Other,
}

/// Who an object says it belongs to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Claim {
    /// `client_reference_id`, if it has our ids' form.
    pub reference: Option<BookingId>,
    /// `metadata[booking_id]`, if it has our ids' form.
    pub metadata_booking: Option<BookingId>,
    /// `metadata[instance]`: the database that made it.
    pub instance: Option<String>,
}

impl Claim {
    /// The booking it names, the reference first.
    #[must_use]
    pub fn booking(&self) -> Option<BookingId> {
        self.reference.or(self.metadata_booking)
    }

    /// Whether an object that names no booking known here is still ours.
    ///
    /// Another database's instance says that it is not, even if the reference looks like ours:
    /// staging and production may share one account.
    #[must_use]
    pub fn is_ours(&self, instance: InstanceId) -> bool {
        match &self.instance {
            Some(named) => *named == instance.to_string(),
            None => self.reference.is_some(),
        }
    }
}

/// What happened to a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SessionMoment {
    /// The customer finished; the payment status tells the rest.
    Completed,
    /// The delayed payment came.
    AsyncSucceeded,
    /// The delayed payment did not come.
    AsyncFailed,
    /// It ended unpaid.
    Expired,
}

impl SessionMoment {
    /// From Stripe's name of an event's kind.
    #[must_use]
    pub fn of_kind(kind: &str) -> Option<Self> {
        match kind {
            "checkout.session.completed" => Some(Self::Completed),
            "checkout.session.async_payment_succeeded" => Some(Self::AsyncSucceeded),
            "checkout.session.async_payment_failed" => Some(Self::AsyncFailed),
            "checkout.session.expired" => Some(Self::Expired),
            _ => None,
        }
    }
}

/// A session's `payment_status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PaymentStatus {
    /// The money is there.
    Paid,
    /// It is not, or not yet.
    Unpaid,
    /// There was nothing to pay.
    NoPaymentRequired,
    /// Not said, or a word that we do not know.
    Unknown,
}

/// A checkout session as an event shows it. Amounts are in minor units; none means not said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionFact {
    /// The session.
    pub id: SessionId,
    /// What happened.
    pub moment: SessionMoment,
    /// Whether it is paid.
    pub payment_status: PaymentStatus,
    /// Whose it is.
    pub claim: Claim,
    /// The payment behind it.
    pub intent: Option<PaymentIntentId>,
    /// `payment`, `subscription`, `setup`.
    pub mode: Option<String>,
    /// Lower-case code.
    pub currency: Option<String>,
    /// Before discount, tax and shipping.
    pub subtotal: Option<i64>,
    /// What was to be paid.
    pub total: Option<i64>,
    /// Given off.
    pub discount: Option<i64>,
    /// Tax added on top.
    pub tax: Option<i64>,
    /// Shipping added on top.
    pub shipping: Option<i64>,
    /// An amount that was said, but not as a whole number that can be counted with.
    pub unreadable: Option<&'static str>,
}

impl SessionFact {
    /// Whether it says that the session ended without a payment, and that it is paid. Stripe makes no such
    /// event; whoever did, the money must not be lost.
    #[must_use]
    pub fn is_contradictory(&self) -> bool {
        match self.moment {
            SessionMoment::AsyncFailed | SessionMoment::Expired => self.payment_status == PaymentStatus::Paid,
            SessionMoment::Completed | SessionMoment::AsyncSucceeded => false,
        }
    }

    /// Whether it says too little to judge a payment by, or too much: then Stripe is asked.
    #[must_use]
    pub fn leaves_open(&self) -> bool {
        match self.moment {
            _ if self.unreadable.is_some() => false,
            SessionMoment::Completed | SessionMoment::AsyncSucceeded => match self.payment_status {
                PaymentStatus::Unknown => true,
                PaymentStatus::Paid | PaymentStatus::NoPaymentRequired => {
                    self.currency.is_none() || self.total.is_none() || self.subtotal.is_none()
                }
                PaymentStatus::Unpaid => false,
            },
            SessionMoment::AsyncFailed | SessionMoment::Expired => self.is_contradictory(),
        }
    }
}

/// A refund as an event shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefundFact {
    /// The refund.
    pub id: RefundId,
    /// Whose it is, if it says so itself.
    pub claim: Claim,
    /// The payment it gives back.
    pub intent: Option<PaymentIntentId>,
    /// The charge it gives back.
    pub charge: Option<ChargeId>,
    /// In minor units; none if it was not said.
    pub amount: Option<i64>,
    /// Lower-case code; none if it was not said.
    pub currency: Option<String>,
    /// Whether the amount was said, but not as a whole number that can be counted with.
    pub unreadable: bool,
    /// How far it has come.
    pub status: RefundStatus,
}

impl RefundFact {
    /// Whether it does not say how much: then Stripe is asked.
    #[must_use]
    pub fn leaves_open(&self) -> bool {
        self.amount.is_none() && !self.unreadable
    }
}

/// A refunded charge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChargeRefundedFact {
    /// The charge.
    pub charge: ChargeId,
    /// Whose it is: a charge copies the metadata of its payment intent.
    pub claim: Claim,
    /// The payment behind it.
    pub intent: Option<PaymentIntentId>,
    /// All that was refunded of it so far, in minor units; none if it was not said.
    pub amount_refunded: Option<i64>,
    /// Lower-case code; none if it was not said.
    pub currency: Option<String>,
    /// Whether the amount was said, but not as a whole number that can be counted with.
    pub unreadable: bool,
}

/// A dispute as an event shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DisputeFact {
    /// The dispute.
    pub id: DisputeId,
    /// Whose it is, if it says so itself.
    pub claim: Claim,
    /// The payment in dispute.
    pub intent: Option<PaymentIntentId>,
    /// The charge in dispute.
    pub charge: Option<ChargeId>,
    /// In minor units of its own currency, as it was said; none if it was not. Nothing is decided by it.
    pub amount: Option<i64>,
    /// The dispute's currency, which need not be the payment's.
    pub currency: Option<String>,
    /// Whether the amount was said, but not as a whole number that can be counted with.
    pub unreadable: bool,
    /// How far it has come.
    pub status: DisputeStatus,
    /// Until when evidence can be sent.
    pub due_by: Option<Timestamp>,
}

impl DisputeFact {
    /// Stripe charges twelve digits at most, in the smallest unit of the cheapest currency.
    const MOST: i64 = 999_999_999_999;

    /// The amount, if it can be one.
    #[must_use]
    pub fn countable(&self) -> Option<i64> {
        self.amount.filter(|amount| (0..=Self::MOST).contains(amount))
    }

    /// Whether it says an amount that cannot be one: then a person has to look.
    #[must_use]
    pub fn is_odd(&self) -> bool {
        self.unreadable || (self.amount.is_some() && self.countable().is_none())
    }
}

/// That Stripe has no session for a booking. Stripe never tells this: only our own asking can.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoSessionFact {
    /// The booking that was looked for.
    pub claim: Claim,
    /// The session that Stripe does not know although the booking has it; none if the whole list of
    /// sessions was read and none is the booking's.
    pub session: Option<SessionId>,
}

impl Fact {
    /// The session it is about, if it is about one.
    #[must_use]
    pub fn session(&self) -> Option<&SessionId> {
        match self {
            Self::Session(session) => Some(&session.id),
            Self::Refund(_)
            | Self::ChargeRefunded(_)
            | Self::Dispute(_)
            | Self::NoSession(_)
            | Self::Other => None,
        }
    }

    /// The payment intent that it names.
    #[must_use]
    pub fn intent(&self) -> Option<&PaymentIntentId> {
        match self {
            Self::Session(fact) => fact.intent.as_ref(),
            Self::Refund(fact) => fact.intent.as_ref(),
            Self::ChargeRefunded(fact) => fact.intent.as_ref(),
            Self::Dispute(fact) => fact.intent.as_ref(),
            Self::NoSession(_) | Self::Other => None,
        }
    }

    /// Whom it says it belongs to.
    #[must_use]
    pub fn claim(&self) -> Option<&Claim> {
        match self {
            Self::Session(fact) => Some(&fact.claim),
            Self::Refund(fact) => Some(&fact.claim),
            Self::ChargeRefunded(fact) => Some(&fact.claim),
            Self::Dispute(fact) => Some(&fact.claim),
            Self::NoSession(fact) => Some(&fact.claim),
            Self::Other => None,
        }
    }

    /// The same claim, to be completed with what Stripe's API says.
    pub fn claim_mut(&mut self) -> Option<&mut Claim> {
        match self {
            Self::Session(fact) => Some(&mut fact.claim),
            Self::Refund(fact) => Some(&mut fact.claim),
            Self::ChargeRefunded(fact) => Some(&mut fact.claim),
            Self::Dispute(fact) => Some(&mut fact.claim),
            Self::NoSession(fact) => Some(&mut fact.claim),
            Self::Other => None,
        }
    }
}
