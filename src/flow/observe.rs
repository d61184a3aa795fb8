//! States that were seen by asking Stripe, told to the recorder as if Stripe had told them.

use super::recorder::{RecordError, Recorded, Recorder};
use crate::stripe::event;
use serde_json::Value;

/// Records what a checkout session's object says. None if it is still open: then nothing happened.
///
/// The same state seen again has the same key, and the webhook that tells it later changes nothing.
///
/// # Errors
/// As [`Recorder::record`].
pub async fn session(recorder: &Recorder, object: &Value) -> Result<Option<Recorded>, RecordError> {
    let text = |member: &str| object.get(member).and_then(Value::as_str).unwrap_or_default();
    let (id, status, payment_status) = (text("id"), text("status"), text("payment_status"));
    let kind = match (status, payment_status) {
        ("complete", _) => "checkout.session.completed",
        ("expired", _) => "checkout.session.expired",
        _ => return Ok(None),
    };
    match event::polled(&format!("session:{id}:{status}:{payment_status}"), kind, object) {
        Ok(event) => recorder.record(event).await.map(Some),
        Err(_) => Ok(None),
    }
}
