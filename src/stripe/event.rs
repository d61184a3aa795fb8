//! Events as Stripe writes them, read into domain facts.
//!
//! Reading is tolerant: unknown members, kinds and enumeration values, null and missing parts never
//! fail. The only thing that an event must have is an id. What is missing stays `None`, and is
//! asked for later if a decision needs it.

use super::json::parse_tolerantly;
use super::objects::{
    Charge, CheckoutSession, Dispute, NO_SESSION, Object, POLLED_KEY, Refund, flag, member, read_no_session,
    seconds, text, word,
};
use super::signature::Verified;
use domain::booking::RefundStatus;
use domain::event::{Event, EventKey, Fact, RefundFact, SessionMoment, Source};
use domain::ids::EventId;
use serde_json::Value;

/// The kinds that we act on, as the feed is asked for them. Stripe takes 20 at most.
pub const KINDS: [&str; 11] = [
    "checkout.session.completed",
    "checkout.session.async_payment_succeeded",
    "checkout.session.async_payment_failed",
    "checkout.session.expired",
    "refund.created",
    "refund.updated",
    "refund.failed",
    "charge.refunded",
    "charge.dispute.created",
    "charge.dispute.updated",
    "charge.dispute.closed",
];

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

/// An event that Stripe's API returned.
///
/// # Errors
/// [`NotAnEvent`] if the value is none.
pub fn from_api(value: &Value, source: Source) -> Result<Event, NotAnEvent> {
    from_value(value, source, value.to_string())
}

/// A payload that the ledger keeps, as it was told: `source` is how the row came. Stripe signed the one and was
/// asked for the other, so each is read as what it is, and what was signed is never taken for a state that we
/// polled. Versions before this one wrote both in the same form.
///
/// # Errors
/// [`NotAnEvent`] if it cannot be read.
pub fn stored(payload: &str, source: Source) -> Result<Event, NotAnEvent> {
    let value = parse_tolerantly(payload.as_bytes()).ok_or(NotAnEvent::NotJson)?;
    from_value(&value, source, payload.to_owned())
}

fn from_value(value: &Value, source: Source, payload: String) -> Result<Event, NotAnEvent> {
    let polled = text(value, POLLED_KEY).filter(|_| source == Source::Poll);
    let id = text(value, "id").and_then(|id| EventId::parse(id).ok());
    let key = match (polled, id) {
        (Some(key), _) => EventKey::Polled(key.to_owned()),
        (None, Some(id)) => EventKey::Stripe(id),
        (None, None) => return Err(NotAnEvent::NoId),
    };
    // A thin event (`v2.core.event`) carries no snapshot: it is none of the kinds that we act on.
    let kind = word(value, "type", 120).unwrap_or_else(|| "unknown".to_owned());
    let object = member(member(value, "data"), "object");
    let snapshot = text(value, "object").is_none_or(|object| object == "event");
    // Our own account's events name none: this one is a business's that is connected to it.
    let account = word(value, "account", 120).filter(|account| !account.trim().is_empty());
    let acted_on = snapshot && account.is_none();
    let fact = if acted_on { fact(&kind, object, source) } else { Fact::Other };
    let (created, livemode) = (seconds(value, "created"), flag(value, "livemode"));
    Ok(Event { key, kind, created, livemode, account, source, fact, payload })
}

fn fact(kind: &str, object: &Value, source: Source) -> Fact {
    use SessionMoment::{AsyncFailed, AsyncSucceeded, Completed, Expired};
    let session = |moment| CheckoutSession::read(object).map(|session| Fact::Session(session.fact(moment)));
    let refund = || Refund::read(object).map(|refund| refund.fact());
    let fact = match kind {
        "checkout.session.completed" => session(Completed),
        "checkout.session.async_payment_succeeded" => session(AsyncSucceeded),
        "checkout.session.async_payment_failed" => session(AsyncFailed),
        "checkout.session.expired" => session(Expired),
        "refund.created" | "refund.updated" => refund().map(Fact::Refund),
        // The kind says so even where the snapshot is older than the event.
        "refund.failed" => {
            refund().map(|fact| Fact::Refund(RefundFact { status: RefundStatus::Failed, ..fact }))
        }
        "charge.refunded" => Charge::read(object).map(|charge| Fact::ChargeRefunded(charge.fact())),
        "charge.dispute.created" | "charge.dispute.updated" | "charge.dispute.closed" => {
            Dispute::read(object).map(|dispute| Fact::Dispute(dispute.fact()))
        }
        // Nobody outside can tell us this, however well it is signed.
        NO_SESSION if source == Source::Poll => Some(Fact::NoSession(read_no_session(object))),
        _ => None,
    };
    fact.unwrap_or(Fact::Other)
}

/// A payload over several lines, for people; as it is if it cannot be read.
#[must_use]
pub fn indented(payload: &str) -> String {
    serde_json::from_str::<Value>(payload)
        .and_then(|value| serde_json::to_string_pretty(&value))
        .unwrap_or_else(|_| payload.to_owned())
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn told(kind: &str, beside: &Value) -> Event {
        let mut value = json!({
            "id": "evt_1", "object": "event", "type": kind,
            "data": { "object": { "id": "x_1", "amount": 1, "amount_refunded": 1, "status": "pending" } },
        });
        for (name, member) in beside.as_object().unwrap() {
            value[name] = member.clone();
        }
        from_api(&value, Source::Feed).unwrap()
    }

    #[test]
    fn each_kind_that_we_act_on_is_a_fact_of_its_own() {
        use SessionMoment::{AsyncFailed, AsyncSucceeded, Completed, Expired};
        for kind in KINDS {
            let fact = told(kind, &json!({})).fact;
            let fits = match kind {
                "checkout.session.completed" => {
                    matches!(&fact, Fact::Session(fact) if fact.moment == Completed)
                }
                "checkout.session.async_payment_succeeded" => {
                    matches!(&fact, Fact::Session(fact) if fact.moment == AsyncSucceeded)
                }
                "checkout.session.async_payment_failed" => {
                    matches!(&fact, Fact::Session(fact) if fact.moment == AsyncFailed)
                }
                "checkout.session.expired" => matches!(&fact, Fact::Session(fact) if fact.moment == Expired),
                "refund.failed" => matches!(&fact, Fact::Refund(fact) if fact.status == RefundStatus::Failed),
                "refund.created" | "refund.updated" => {
                    matches!(&fact, Fact::Refund(fact) if fact.status == RefundStatus::Pending)
                }
                "charge.refunded" => matches!(fact, Fact::ChargeRefunded(_)),
                _ => matches!(fact, Fact::Dispute(_)),
            };
            assert!(fits, "{kind}: {fact:?}");
        }
        assert_eq!(told("charge.succeeded", &json!({})).fact, Fact::Other);
        assert_eq!(told(NO_SESSION, &json!({})).fact, Fact::Other, "nobody outside can tell us this");
    }

    #[test]
    fn what_is_no_snapshot_or_of_another_account_is_nothing_that_we_act_on() {
        let kind = KINDS[0];
        for (beside, acted_on) in [
            (json!({}), true),
            (json!({ "account": "" }), true),
            (json!({ "account": " " }), true),
            (json!({ "account": "acct_1" }), false),
            (json!({ "object": "v2.core.event" }), false),
            (json!({ "object": "v2.core.event", "account": "acct_1" }), false),
        ] {
            assert_eq!(told(kind, &beside).fact != Fact::Other, acted_on, "{beside}");
        }
    }

    #[test]
    fn a_person_goes_out_of_a_payload_and_the_facts_stay() {
        let payload = json!({
            "id": "evt_1", "amount": 6000, "customer_email": "Ada@example.org", "description": "for Ada",
            "metadata": { "note": "from ADA@EXAMPLE.ORG", "booking": "b_1", "ada@example.org": "x" },
            "lines": [{ "text": "ada@example.org" }, { "text": "an hour" }],
        });
        let without = without_person(&payload.to_string(), "ada@Example.org").unwrap();
        let expected = json!({
            "id": "evt_1", "amount": 6000,
            "metadata": { "note": "", "booking": "b_1" },
            "lines": [{ "text": "" }, { "text": "an hour" }],
        });
        assert_eq!(serde_json::from_str::<Value>(&without).unwrap(), expected);
        assert_eq!(without_person("no JSON", "ada@example.org"), None);
    }

    #[test]
    fn a_payload_is_shown_over_several_lines_if_it_can_be_read() {
        assert_eq!(indented(r#"{"a":1}"#), "{\n  \"a\": 1\n}");
        assert_eq!(indented("no JSON"), "no JSON");
    }
}
