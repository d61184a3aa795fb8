//! States that were seen by asking Stripe, in the form of events: what the recorder takes.
//!
//! The same state seen again has the same key, and the webhook that tells it later changes nothing.

use super::recorder::{RecordError, Recorded, Recorder};
use crate::stripe::event::{self, METADATA_BOOKING, METADATA_INSTANCE};
use domain::event::Event;
use domain::ids::{BookingId, InstanceId, SessionId};
use serde_json::{Value, json};

/// Records what a checkout session's object says. None if it is still open: then nothing happened.
///
/// # Errors
/// As [`Recorder::record`].
pub async fn session(recorder: &Recorder, object: &Value) -> Result<Option<Recorded>, RecordError> {
    match session_event(object) {
        Some(event) => recorder.record(event).await.map(Some),
        None => Ok(None),
    }
}

/// What a checkout session's object says. None if it is still open.
///
/// A delayed payment that failed leaves the session complete and unpaid; only its payment intent,
/// if it was asked for with the session, tells that no money comes any more.
#[must_use]
pub fn session_event(object: &Value) -> Option<Event> {
    let (id, status) = (text(object, "id")?, text(object, "status")?);
    let payment_status = text(object, "payment_status").unwrap_or_default();
    let intent = object.get("payment_intent").and_then(|intent| text(intent, "status"));
    let (state, kind) = match (status, payment_status, intent) {
        ("complete", "unpaid", Some("requires_payment_method" | "canceled")) => {
            ("async_failed".to_owned(), "checkout.session.async_payment_failed")
        }
        ("complete", _, _) => (format!("{status}:{payment_status}"), "checkout.session.completed"),
        ("expired", _, _) => (format!("{status}:{payment_status}"), "checkout.session.expired"),
        _ => return None,
    };
    event::polled(&format!("session:{id}:{state}"), kind, object).ok()
}

/// What a refund's object says.
#[must_use]
pub fn refund_event(object: &Value) -> Option<Event> {
    let (id, status) = (text(object, "id")?, text(object, "status")?);
    let kind = if status == "failed" { "refund.failed" } else { "refund.updated" };
    event::polled(&format!("refund:{id}:{status}"), kind, object).ok()
}

/// What a dispute's object says. The deadline is part of the state: it can be moved.
#[must_use]
pub fn dispute_event(object: &Value) -> Option<Event> {
    let (id, status) = (text(object, "id")?, text(object, "status")?);
    let due_by = object.get("evidence_details").and_then(|details| details.get("due_by")?.as_i64());
    let key = format!("dispute:{id}:{status}:{}", due_by.unwrap_or(0));
    event::polled(&key, "charge.dispute.updated", object).ok()
}

/// That Stripe has no session for a booking: none at all, which only who has read the whole list may say,
/// or not the one (`unknown`) that the booking has.
#[must_use]
pub fn no_session_event(
    booking: BookingId,
    unknown: Option<&SessionId>,
    instance: InstanceId,
) -> Option<Event> {
    let (booking, instance) = (booking.to_string(), instance.to_string());
    let object = json!({
        "client_reference_id": booking,
        "metadata": { METADATA_BOOKING: booking, METADATA_INSTANCE: instance },
        event::UNKNOWN_SESSION: unknown,
    });
    let key = match unknown {
        Some(session) => format!("no-session:{booking}:{session}"),
        None => format!("no-session:{booking}"),
    };
    event::polled(&key, event::NO_SESSION, &object).ok()
}

fn text<'a>(object: &'a Value, member: &str) -> Option<&'a str> {
    object.get(member).and_then(Value::as_str)
}
