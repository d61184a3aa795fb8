//! What was seen by asking Stripe, told as events: the same state seen again is the same fact, and the webhook
//! that tells it later changes nothing.

use super::read::{claim, flag, member, seconds, text};
use super::{CheckoutSession, Dispute, METADATA_BOOKING, METADATA_INSTANCE, Object, Refund};
use clock::Timestamp;
use domain::booking::RefundStatus;
use domain::event::{Event, EventKey, Fact, NoSessionFact, PaymentStatus, SessionMoment, Source};
use domain::ids::{BookingId, InstanceId, SessionId};
use serde::Serialize;
use serde_json::{Value, json};
use std::fmt;
use std::ops::Deref;

/// Marks a payload in the ledger as a state that we saw by asking, not as an event of Stripe's.
pub const POLLED_KEY: &str = "polled_key";
/// The kind of a polled fact that Stripe itself never tells: it has no session for a booking.
pub const NO_SESSION: &str = "checkout.session.none";
/// The member of its object that names the session which Stripe does not know.
const UNKNOWN_SESSION: &str = "unknown_session";

/// An object as it was when we asked, with its own text.
#[derive(Clone, PartialEq)]
pub struct Polled<T> {
    object: T,
    value: Value,
}

/// Without the text: it tells who paid.
impl<T: fmt::Debug> fmt::Debug for Polled<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.object.fmt(f)
    }
}

impl<T> Deref for Polled<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.object
    }
}

impl<T: Object> Polled<T> {
    /// None if it is no such object.
    #[must_use]
    pub fn read(value: Value) -> Option<Self> {
        T::read(&value).map(|object| Self { object, value })
    }
}

impl Polled<CheckoutSession> {
    /// What it was asked to remember under this name, in its metadata.
    #[must_use]
    pub fn remembers(&self, name: &str) -> Option<&str> {
        text(member(&self.value, "metadata"), name).filter(|text| !text.is_empty())
    }

    /// Who pays: as we told it, else as the customer typed it.
    #[must_use]
    pub fn email(&self) -> Option<&str> {
        let typed = || text(member(&self.value, "customer_details"), "email");
        text(&self.value, "customer_email").or_else(typed)
    }

    /// When it was made.
    #[must_use]
    pub fn created(&self) -> Option<Timestamp> {
        seconds(&self.value, "created")
    }

    /// What it says. None while it is open: then nothing has happened.
    #[must_use]
    pub fn seen(&self) -> Option<Event> {
        let moment = self.moment()?;
        let payment_status = match self.payment_status {
            PaymentStatus::Paid => "paid",
            PaymentStatus::Unpaid => "unpaid",
            PaymentStatus::NoPaymentRequired => "no_payment_required",
            PaymentStatus::Unknown => "",
        };
        let (state, kind) = match moment {
            SessionMoment::AsyncFailed => {
                ("async_failed".to_owned(), "checkout.session.async_payment_failed")
            }
            SessionMoment::Completed | SessionMoment::AsyncSucceeded => {
                (format!("complete:{payment_status}"), "checkout.session.completed")
            }
            SessionMoment::Expired => (format!("expired:{payment_status}"), "checkout.session.expired"),
        };
        let key = format!("session:{}:{state}", self.id);
        Some(event(key, kind, Fact::Session(self.fact(moment)), &self.value))
    }
}

impl Polled<Refund> {
    /// What it says; none without a status.
    #[must_use]
    pub fn seen(&self) -> Option<Event> {
        let status = self.status?;
        let kind = if status == RefundStatus::Failed { "refund.failed" } else { "refund.updated" };
        let key = format!("refund:{}:{}", self.id, status.as_str());
        Some(event(key, kind, Fact::Refund(self.fact()), &self.value))
    }
}

impl Polled<Dispute> {
    /// What it says; none without a status. The deadline is part of the state: it can be moved.
    #[must_use]
    pub fn seen(&self) -> Option<Event> {
        let status = self.status?;
        let due_by = self.due_by.map_or(0, clock::Timestamp::as_unix_seconds);
        let key = format!("dispute:{}:{}:{due_by}", self.id, status.as_str());
        Some(event(key, "charge.dispute.updated", Fact::Dispute(self.fact()), &self.value))
    }
}

/// That Stripe has no session for a booking: none at all, which only who has read the whole list may say,
/// or not the one (`unknown`) that the booking has.
#[must_use]
pub fn no_session(booking: BookingId, unknown: Option<&SessionId>, instance: InstanceId) -> Event {
    let key = match unknown {
        Some(session) => format!("no-session:{booking}:{session}"),
        None => format!("no-session:{booking}"),
    };
    let object = json!({
        "client_reference_id": booking,
        "metadata": { METADATA_BOOKING: booking, METADATA_INSTANCE: instance },
        UNKNOWN_SESSION: unknown,
    });
    event(key, NO_SESSION, Fact::NoSession(read_no_session(&object)), &object)
}

/// The same from the ledger.
#[must_use]
pub fn read_no_session(object: &Value) -> NoSessionFact {
    NoSessionFact {
        claim: claim(object),
        session: text(object, UNKNOWN_SESSION).and_then(|id| SessionId::parse(id).ok()),
    }
}

fn event(key: String, kind: &str, fact: Fact, object: &Value) -> Event {
    let livemode = flag(object, "livemode");
    let payload = payload(&key, kind, livemode, object);
    Event {
        key: EventKey::Polled(key),
        kind: kind.to_owned(),
        created: None,
        livemode,
        account: None,
        source: Source::Poll,
        fact,
        payload,
    }
}

/// What the ledger keeps of it: the object, with the name that we gave to its state. Every version of this
/// program has written it in this form, and reads it.
fn payload(key: &str, kind: &str, livemode: Option<bool>, object: &Value) -> String {
    #[derive(Serialize)]
    struct Kept<'a> {
        data: Data<'a>,
        livemode: Option<bool>,
        polled_key: &'a str,
        r#type: &'a str,
    }
    #[derive(Serialize)]
    struct Data<'a> {
        object: &'a Value,
    }
    let kept = Kept { data: Data { object }, livemode, polled_key: key, r#type: kind };
    serde_json::to_string(&kept).unwrap_or_default()
}
