//! Events and objects as Stripe writes them, read into domain facts.
//!
//! Reading is tolerant: unknown members, kinds and enumeration values, null and missing parts never
//! fail. The only thing that an event must have is an id. What is missing stays `None`, and is
//! asked for later if a decision needs it.

use super::json::parse_tolerantly;
use super::signature::Verified;
use clock::Timestamp;
use domain::booking::{DisputeStatus, RefundStatus};
use domain::event::{
    ChargeRefundedFact, Claim, DisputeFact, Event, EventKey, Fact, NoSessionFact, PaymentStatus, RefundFact,
    SessionFact, SessionMoment, Source,
};
use domain::ids::{BookingId, ChargeId, DisputeId, EventId, PaymentIntentId, RefundId, SessionId};
use serde_json::Value;

/// The metadata member by which our objects name their booking.
pub const METADATA_BOOKING: &str = "booking_id";
/// The metadata member by which our objects name the database that made them.
pub const METADATA_INSTANCE: &str = "instance";

/// The body was signed, but it is not an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAnEvent {
    /// Not JSON.
    #[error("the body is not JSON")]
    NotJson,
    /// JSON, but no object with a usable `id`.
    #[error("the body is not an event object with an id")]
    NoId,
}

/// The event in a verified delivery.
///
/// # Errors
/// [`NotAnEvent`] if the body is none.
pub fn parse(delivery: &Verified<'_>) -> Result<Event, NotAnEvent> {
    let value = parse_tolerantly(delivery.body()).ok_or(NotAnEvent::NotJson)?;
    let payload = match std::str::from_utf8(delivery.body()) {
        // A database's text cannot hold NUL; in JSON it can only stand escaped, so nothing is lost.
        Ok(text) => text.trim_start_matches('\u{feff}').replace('\0', ""),
        Err(_) => value.to_string(),
    };
    from_value(&value, Source::Webhook, payload)
}

/// An event that Stripe's API returned, or that stands in the ledger.
///
/// # Errors
/// [`NotAnEvent`] if the value is none.
pub fn from_api(value: &Value, source: Source) -> Result<Event, NotAnEvent> {
    from_value(value, source, value.to_string())
}

/// A ledger row's payload, read again.
///
/// # Errors
/// [`NotAnEvent`] if it cannot be read.
pub fn from_payload(payload: &str, source: Source) -> Result<Event, NotAnEvent> {
    let value = parse_tolerantly(payload.as_bytes()).ok_or(NotAnEvent::NotJson)?;
    from_value(&value, source, payload.to_owned())
}

fn from_value(value: &Value, source: Source, payload: String) -> Result<Event, NotAnEvent> {
    let id = text(value, "id").and_then(|id| EventId::parse(id).ok());
    let polled = text(value, POLLED_KEY);
    let key = match (id, polled) {
        (_, Some(key)) if source != Source::Webhook => EventKey::Polled(key.to_owned()),
        (Some(id), _) => EventKey::Stripe(id),
        (None, _) => return Err(NotAnEvent::NoId),
    };
    // A thin event (`v2.core.event`) carries no snapshot: it is none of the kinds that we act on.
    let kind = word(value, "type", 120).unwrap_or_else(|| "unknown".to_owned());
    let object = value.get("data").and_then(|data| data.get("object")).unwrap_or(&Value::Null);
    let snapshot = text(value, "object").is_none_or(|object| object == "event");
    let fact = if snapshot { fact(&kind, object, source) } else { Fact::Other };
    Ok(Event {
        key,
        kind,
        created: value.get("created").and_then(Value::as_i64).map(Timestamp::from_unix_seconds),
        livemode: value.get("livemode").and_then(Value::as_bool),
        source,
        fact,
        payload,
    })
}

/// A payload without what it says of a person, wherever it names `email`; everything that a fact is read from
/// stays. None if it cannot be read.
#[must_use]
pub fn without_person(payload: &str, email: &str) -> Option<String> {
    /// The members by which Stripe's objects tell who paid.
    const PERSONAL: [&str; 14] = [
        "billing_details",
        "collected_information",
        "custom_fields",
        "customer",
        "customer_details",
        "customer_email",
        "description",
        "evidence",
        "instructions_email",
        "payment_method_details",
        "previous_attributes",
        "receipt_email",
        "shipping",
        "shipping_details",
    ];
    fn strip(value: &mut Value, email: &str) {
        match value {
            Value::Object(members) => {
                let tells = |name: &str| PERSONAL.contains(&name) || name.to_lowercase().contains(email);
                members.retain(|name, _| !tells(name));
                members.values_mut().for_each(|value| strip(value, email));
            }
            Value::Array(items) => items.iter_mut().for_each(|value| strip(value, email)),
            // Where a shop or its payment method put the address besides.
            Value::String(text) if text.to_lowercase().contains(email) => text.clear(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let mut value = parse_tolerantly(payload.as_bytes())?;
    strip(&mut value, &email.to_lowercase());
    Some(value.to_string())
}

/// Marks a payload in the ledger as a state that we saw by asking, not as an event of Stripe's.
const POLLED_KEY: &str = "polled_key";

/// The state of an object, seen by asking, in the form of an event: the same state again is the same
/// fact. `key` names the state; `kind` is the event that would have told it.
///
/// # Errors
/// [`NotAnEvent`] never in practice: the value is made here.
pub fn polled(key: &str, kind: &str, object: &Value) -> Result<Event, NotAnEvent> {
    let value = serde_json::json!({
        POLLED_KEY: key,
        "type": kind,
        "livemode": object.get("livemode"),
        "data": { "object": object },
    });
    from_api(&value, Source::Poll)
}

/// The kind of a [`polled`] fact that Stripe itself never tells: it has no session for a booking.
pub const NO_SESSION: &str = "checkout.session.none";
/// The member of its object that names the session which Stripe does not know.
pub const UNKNOWN_SESSION: &str = "unknown_session";

fn fact(kind: &str, object: &Value, source: Source) -> Fact {
    use SessionMoment::{AsyncFailed, AsyncSucceeded, Completed, Expired};
    let fact = match kind {
        "checkout.session.completed" => session(object, Completed).map(Fact::Session),
        "checkout.session.async_payment_succeeded" => session(object, AsyncSucceeded).map(Fact::Session),
        "checkout.session.async_payment_failed" => session(object, AsyncFailed).map(Fact::Session),
        "checkout.session.expired" => session(object, Expired).map(Fact::Session),
        "refund.created" | "refund.updated" | "refund.failed" => {
            refund(object, kind == "refund.failed").map(Fact::Refund)
        }
        "charge.refunded" => charge_refunded(object).map(Fact::ChargeRefunded),
        "charge.dispute.created" | "charge.dispute.updated" | "charge.dispute.closed" => {
            dispute(object).map(Fact::Dispute)
        }
        // Nobody outside can tell us this, however well it is signed.
        NO_SESSION if source == Source::Poll => Some(Fact::NoSession(NoSessionFact {
            claim: claim(object),
            session: text(object, UNKNOWN_SESSION).and_then(|id| SessionId::parse(id).ok()),
        })),
        _ => None,
    };
    fact.unwrap_or(Fact::Other)
}

/// A session object; none without a usable id.
#[must_use]
pub fn session(object: &Value, moment: SessionMoment) -> Option<SessionFact> {
    let details = object.get("total_details").unwrap_or(&Value::Null);
    let odd = ["amount_subtotal", "amount_total"].into_iter().find(|member| is_odd(object, member));
    let odd_part = || {
        ["amount_discount", "amount_tax", "amount_shipping"]
            .into_iter()
            .find(|member| is_odd(details, member))
    };
    Some(SessionFact {
        id: SessionId::parse(text(object, "id")?).ok()?,
        moment,
        payment_status: match text(object, "payment_status") {
            Some("paid") => PaymentStatus::Paid,
            Some("unpaid") => PaymentStatus::Unpaid,
            Some("no_payment_required") => PaymentStatus::NoPaymentRequired,
            _ => PaymentStatus::Unknown,
        },
        claim: claim(object),
        intent: intent(object),
        mode: word(object, "mode", 40),
        currency: word(object, "currency", 40),
        subtotal: amount(object, "amount_subtotal"),
        total: amount(object, "amount_total"),
        discount: amount(details, "amount_discount"),
        tax: amount(details, "amount_tax"),
        shipping: amount(details, "amount_shipping"),
        unreadable: odd.or_else(odd_part),
    })
}

/// A refund object; none without a usable id. `failed` if the event says so by its kind.
#[must_use]
pub fn refund(object: &Value, failed: bool) -> Option<RefundFact> {
    let status = text(object, "status").map_or(RefundStatus::Pending, RefundStatus::parse);
    Some(RefundFact {
        id: RefundId::parse(text(object, "id")?).ok()?,
        claim: claim(object),
        intent: intent(object),
        charge: id_of(object, "charge").and_then(|id| ChargeId::parse(id).ok()),
        amount: amount(object, "amount"),
        currency: word(object, "currency", 40),
        unreadable: is_odd(object, "amount"),
        // The kind of event says so even where the snapshot is older than the event.
        status: if failed { RefundStatus::Failed } else { status },
    })
}

fn charge_refunded(object: &Value) -> Option<ChargeRefundedFact> {
    Some(ChargeRefundedFact {
        charge: ChargeId::parse(text(object, "id")?).ok()?,
        claim: claim(object),
        intent: intent(object),
        amount_refunded: amount(object, "amount_refunded"),
        currency: word(object, "currency", 40),
        unreadable: is_odd(object, "amount_refunded"),
    })
}

fn dispute(object: &Value) -> Option<DisputeFact> {
    let due_by = object.get("evidence_details").and_then(|details| details.get("due_by"));
    Some(DisputeFact {
        id: DisputeId::parse(text(object, "id")?).ok()?,
        claim: claim(object),
        intent: intent(object),
        charge: id_of(object, "charge").and_then(|id| ChargeId::parse(id).ok()),
        amount: amount(object, "amount"),
        currency: word(object, "currency", 40),
        status: text(object, "status").map_or(DisputeStatus::NeedsResponse, DisputeStatus::parse),
        due_by: due_by.and_then(Value::as_i64).map(Timestamp::from_unix_seconds),
    })
}

/// Whom an object says it belongs to, by its reference and metadata, or else by those of its payment
/// if that was sent along.
#[must_use]
pub fn claim(object: &Value) -> Claim {
    let own = own_claim(object);
    match object.get("payment_intent").filter(|intent| intent.is_object()) {
        Some(intent) if own == Claim::default() => own_claim(intent),
        Some(_) | None => own,
    }
}

fn own_claim(object: &Value) -> Claim {
    let metadata = object.get("metadata").unwrap_or(&Value::Null);
    let booking = |text: Option<&str>| text.and_then(|text| BookingId::parse(text).ok());
    Claim {
        reference: booking(text(object, "client_reference_id")),
        metadata_booking: booking(text(metadata, METADATA_BOOKING)),
        instance: text(metadata, METADATA_INSTANCE).map(str::to_owned),
    }
}

fn intent(object: &Value) -> Option<PaymentIntentId> {
    id_of(object, "payment_intent").and_then(|id| PaymentIntentId::parse(id).ok())
}

/// An id that may stand alone or be expanded into its object.
fn id_of<'a>(object: &'a Value, member: &str) -> Option<&'a str> {
    let value = object.get(member)?;
    value.as_str().or_else(|| text(value, "id"))
}

fn text<'a>(object: &'a Value, member: &str) -> Option<&'a str> {
    object.get(member).and_then(Value::as_str)
}

/// One of Stripe's words, cut at `longest` characters. It is shown and stored: what a line or a column
/// cannot hold is replaced, never left out, so that no other word becomes one that we act on.
fn word(object: &Value, member: &str, longest: usize) -> Option<String> {
    let shown = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
    text(object, member).map(|text| text.chars().take(longest).map(shown).collect())
}

fn amount(object: &Value, member: &str) -> Option<i64> {
    object.get(member).and_then(Value::as_i64)
}

/// Whether an amount is there that is none: a fraction, a text, more than can be counted. What is absent or
/// null is not said, which is another thing: that can be asked for.
fn is_odd(object: &Value, member: &str) -> bool {
    object.get(member).is_some_and(|value| !value.is_null() && value.as_i64().is_none())
}
