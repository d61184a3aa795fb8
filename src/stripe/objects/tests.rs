use super::*;
use crate::stripe::event;
use domain::booking::{DisputeStatus, RefundStatus};
use domain::event::{Claim, Event, EventKey, Fact, PaymentStatus, SessionMoment, Source};
use domain::ids::{BookingId, InstanceId, SessionId};
use proptest::prelude::*;
use serde_json::json;

const BOOKING: &str = "018f2e9c-7a31-7c50-8a45-3f1a2b4c5d6e";
const INSTANCE: &str = "018f2e9c-7a31-7c50-8a45-000000000001";

fn session() -> Value {
    json!({
        "id": "cs_1", "object": "checkout.session", "livemode": false,
        "status": "complete", "payment_status": "paid", "mode": "payment",
        "client_reference_id": BOOKING, "metadata": { "booking_id": BOOKING, "instance": INSTANCE },
        "currency": "eur", "amount_subtotal": 7000, "amount_total": 6000,
        "total_details": { "amount_discount": 1000, "amount_tax": 0, "amount_shipping": 0 },
        "payment_intent": "pi_1", "url": null, "expires_at": 1_900_000_000,
    })
}

fn refund() -> Value {
    json!({
        "id": "re_1", "object": "refund", "status": "succeeded", "amount": 700, "currency": "eur",
        "payment_intent": "pi_1", "charge": "ch_1", "metadata": { "refund_intent": "abc" },
    })
}

fn dispute() -> Value {
    json!({
        "id": "dp_1", "object": "dispute", "livemode": true, "status": "needs_response", "amount": 6000,
        "currency": "eur", "payment_intent": "pi_1", "charge": "ch_1",
        "evidence_details": { "due_by": 1_900_000_000 },
    })
}

fn with(mut value: Value, member: &str, to: Value) -> Value {
    value[member] = to;
    value
}

#[test]
fn a_session_is_read_whole() {
    let read = CheckoutSession::read(&session()).unwrap();
    assert_eq!(read.id.as_str(), "cs_1");
    assert_eq!((read.status, read.payment_status), (SessionStatus::Complete, PaymentStatus::Paid));
    assert_eq!(read.claim.reference, BookingId::parse(BOOKING).ok());
    assert_eq!(read.claim.instance.as_deref(), Some(INSTANCE));
    assert_eq!(read.payment_intent.as_ref().map(|id| id.as_str()), Some("pi_1"));
    assert_eq!((read.payment.clone(), read.url.clone()), (None, None));
    assert_eq!((read.amount_subtotal, read.amount_total), (Amount::Whole(7000), Amount::Whole(6000)));
    assert_eq!(read.total_details.discount, Amount::Whole(1000));
    assert_eq!(read.expires_at.map(clock::Timestamp::as_unix_seconds), Some(1_900_000_000));
}

#[test]
fn an_id_may_stand_alone_or_be_expanded() {
    let payment = json!({ "id": "pi_2", "status": "canceled", "amount_received": 5, "currency": "eur" });
    let read = CheckoutSession::read(&with(session(), "payment_intent", payment)).unwrap();
    assert_eq!(read.payment_intent.as_ref().map(|id| id.as_str()), Some("pi_2"));
    let payment = read.payment.unwrap();
    assert_eq!((payment.status, payment.amount_received), (IntentStatus::Canceled, Amount::Whole(5)));
    let read = Refund::read(&with(refund(), "charge", json!({ "id": "ch_9" }))).unwrap();
    assert_eq!(read.charge.unwrap().as_str(), "ch_9");
}

#[test]
fn an_object_without_marks_of_its_own_is_its_payments() {
    let payment = json!({ "id": "pi_1", "metadata": { "booking_id": BOOKING, "instance": INSTANCE } });
    let of_payment = Refund::read(&with(refund(), "payment_intent", payment.clone())).unwrap().claim;
    assert_eq!(of_payment.booking(), BookingId::parse(BOOKING).ok());
    let marked = with(refund(), "metadata", json!({ "instance": "another" }));
    let own = Refund::read(&with(marked, "payment_intent", payment)).unwrap().claim;
    assert_eq!(own, Claim { instance: Some("another".into()), ..Claim::default() });
}

#[test]
fn what_was_not_said_is_told_from_what_cannot_be_counted_with() {
    let cases = [
        (json!(null), Amount::Unsaid),
        (json!(0), Amount::Whole(0)),
        (json!(-5), Amount::Whole(-5)),
        (json!(i64::MAX), Amount::Whole(i64::MAX)),
        (json!(u64::MAX), Amount::Unreadable),
        (json!(0.5), Amount::Unreadable),
        (json!(1e300), Amount::Unreadable),
        (json!("6000"), Amount::Unreadable),
        (json!([6000]), Amount::Unreadable),
        (json!(true), Amount::Unreadable),
    ];
    for (said, amount) in cases {
        assert_eq!(Refund::read(&with(refund(), "amount", said.clone())).unwrap().amount, amount, "{said}");
        let read = Dispute::read(&with(dispute(), "amount", said.clone())).unwrap();
        assert_eq!(read.amount, amount, "{said}");
        let fact = CheckoutSession::read(&with(session(), "amount_total", said.clone())).unwrap();
        let fact = fact.fact(SessionMoment::Completed);
        assert_eq!(fact.total, amount.whole(), "{said}");
        assert_eq!(fact.unreadable, amount.is_unreadable().then_some("amount_total"), "{said}");
    }
    let mut refund = refund();
    refund.as_object_mut().unwrap().remove("amount");
    assert_eq!(Refund::read(&refund).unwrap().amount, Amount::Unsaid);
}

/// Every member of every object, replaced by every kind of value: only an id makes it none.
#[test]
fn no_part_of_any_kind_keeps_the_rest_from_being_read() {
    let odd =
        [json!(null), json!([]), json!({}), json!("…"), json!(-1), json!(1.5), json!(true), json!([{}])];
    type IsRead = fn(&Value) -> bool;
    let is_read: [(Value, IsRead); 6] = [
        (session(), |value| CheckoutSession::read(value).is_some()),
        (refund(), |value| Refund::read(value).is_some()),
        (dispute(), |value| Dispute::read(value).is_some()),
        (refund(), |value| PaymentIntent::read(value).is_some()),
        (refund(), |value| Charge::read(value).is_some()),
        (dispute(), |value| WebhookEndpoint::read(value).is_some()),
    ];
    for (object, is_read) in is_read {
        assert!(is_read(&json!({ "id": "x_1" })), "an id is enough");
        for (member, odd) in object.as_object().unwrap().keys().flat_map(|m| odd.iter().map(move |o| (m, o)))
        {
            if member != "id" {
                assert!(is_read(&with(object.clone(), member, odd.clone())), "{member}: {odd}");
            }
        }
    }
    for id in [json!(null), json!(""), json!(7), json!("a b"), json!("é"), json!("x".repeat(256))] {
        assert_eq!(CheckoutSession::read(&with(session(), "id", id.clone())), None, "{id}");
        assert_eq!(Refund::read(&with(refund(), "id", id.clone())), None, "{id}");
        assert_eq!(Dispute::read(&with(dispute(), "id", id.clone())), None, "{id}");
    }
}

#[test]
fn words_that_we_do_not_know_are_told_as_unknown() {
    let read = CheckoutSession::read(&with(session(), "status", json!("paused"))).unwrap();
    assert_eq!((read.status, read.moment()), (SessionStatus::Unknown, None));
    let read = CheckoutSession::read(&with(session(), "payment_status", json!("half"))).unwrap();
    assert_eq!(read.payment_status, PaymentStatus::Unknown);
    assert_eq!(
        Refund::read(&with(refund(), "status", json!("odd"))).unwrap().status,
        Some(RefundStatus::Pending)
    );
    assert_eq!(Dispute::read(&with(dispute(), "status", json!(null))).unwrap().status, None);
    let payment = PaymentIntent::read(&json!({ "id": "pi_1", "status": "odd" })).unwrap();
    assert_eq!((payment.status, payment.status.is_given_up()), (IntentStatus::Unknown, false));
}

#[test]
fn what_has_happened_to_a_session_is_read_from_its_state() {
    let given_up = json!({ "id": "pi_1", "status": "requires_payment_method" });
    let coming = json!({ "id": "pi_1", "status": "processing" });
    let cases = [
        ("open", "unpaid", json!(null), None),
        ("complete", "paid", json!("pi_1"), Some(("completed", "complete:paid"))),
        ("complete", "no_payment_required", json!(null), Some(("completed", "complete:no_payment_required"))),
        ("complete", "unpaid", json!("pi_1"), Some(("completed", "complete:unpaid"))),
        ("complete", "unpaid", coming, Some(("completed", "complete:unpaid"))),
        ("complete", "unpaid", given_up.clone(), Some(("async_payment_failed", "async_failed"))),
        ("complete", "paid", given_up, Some(("completed", "complete:paid"))),
        ("expired", "unpaid", json!(null), Some(("expired", "expired:unpaid"))),
    ];
    for (status, payment_status, payment, expected) in cases {
        let object = with(session(), "status", json!(status));
        let object = with(with(object, "payment_status", json!(payment_status)), "payment_intent", payment);
        let seen = Polled::<CheckoutSession>::read(object).unwrap().seen();
        let told = seen.as_ref().map(|event| (event.kind.as_str(), event.key.as_str()));
        let expected =
            expected.map(|(kind, key)| (format!("checkout.session.{kind}"), format!("session:cs_1:{key}")));
        let expected = expected.as_ref().map(|(kind, key)| (kind.as_str(), key.as_str()));
        assert_eq!(told, expected, "{status} {payment_status}");
    }
}

fn seen() -> Vec<Event> {
    let booking = BookingId::parse(BOOKING).unwrap();
    let instance = InstanceId::parse(INSTANCE).unwrap();
    let unknown = SessionId::parse("cs_9").unwrap();
    let mut seen = vec![no_session(booking, None, instance), no_session(booking, Some(&unknown), instance)];
    seen.extend(Polled::<CheckoutSession>::read(session()).unwrap().seen());
    seen.extend(Polled::<CheckoutSession>::read(with(session(), "status", json!("expired"))).unwrap().seen());
    seen.extend(Polled::<Refund>::read(refund()).unwrap().seen());
    seen.extend(Polled::<Refund>::read(with(refund(), "status", json!("failed"))).unwrap().seen());
    seen.extend(Polled::<Dispute>::read(dispute()).unwrap().seen());
    assert_eq!(seen.len(), 7);
    seen
}

#[test]
fn a_state_that_was_polled_is_read_from_the_ledger_as_it_was_told() {
    for event in seen() {
        assert_eq!(event::stored(&event.payload, Source::Poll), Ok(event));
    }
}

/// What stood in the ledger of the first release, letter for letter.
#[test]
fn what_an_older_version_kept_of_a_poll_is_read_as_it_was_told() {
    let kept = format!(
        r#"{{"data":{{"object":{}}},"livemode":false,"polled_key":"session:cs_1:complete:paid","type":"checkout.session.completed"}}"#,
        session()
    );
    let event = event::stored(&kept, Source::Poll).unwrap();
    assert_eq!(Some(&event), Polled::<CheckoutSession>::read(session()).unwrap().seen().as_ref());
    assert_eq!(event.payload, kept);
    assert_eq!(event.livemode, Some(false));
}

#[test]
fn what_was_signed_is_never_taken_for_a_state_that_we_polled() {
    let told = seen().into_iter().find(|event| event.kind == NO_SESSION).unwrap();
    for source in [Source::Webhook, Source::Feed, Source::Replay] {
        assert_eq!(event::stored(&told.payload, source), Err(event::NotAnEvent::NoId), "{source}");
        let mut forged: Value = serde_json::from_str(&told.payload).unwrap();
        forged["id"] = json!("evt_1");
        let read = event::stored(&forged.to_string(), source).unwrap();
        assert_eq!(read.key.stripe_id(), Some("evt_1"), "{source}");
        assert!(matches!((read.key, read.fact), (EventKey::Stripe(_), Fact::Other)), "{source}");
    }
}

#[test]
fn the_text_of_a_polled_object_is_not_printed_with_it() {
    let object = with(session(), "customer_email", json!("ada@example.org"));
    assert!(!format!("{:?}", Polled::<CheckoutSession>::read(object)).contains("ada@"));
}

#[test]
fn an_endpoint_says_what_it_gets() {
    let endpoint = WebhookEndpoint::read(&json!({
        "id": "we_1", "url": "https://example.org/webhook", "status": "enabled",
        "enabled_events": ["refund.created", 7], "api_version": null,
    }));
    let endpoint = endpoint.unwrap();
    assert!(endpoint.is_enabled() && endpoint.gets("refund.created") && !endpoint.gets("refund.failed"));
    assert_eq!((endpoint.id.as_str(), endpoint.api_version.as_deref()), ("we_1", None));
    let all = WebhookEndpoint::read(&json!({ "enabled_events": ["*"], "status": "disabled" })).unwrap();
    assert!(all.gets("refund.failed") && !all.is_enabled());
}

#[test]
fn a_dispute_tells_its_state_and_deadline() {
    let read = Polled::<Dispute>::read(dispute()).unwrap();
    assert_eq!(read.status, Some(DisputeStatus::NeedsResponse));
    assert_eq!(read.seen().unwrap().key.as_str(), "dispute:dp_1:needs_response:1900000000");
    assert_eq!(read.seen().unwrap().livemode, Some(true));
    let undated = Polled::<Dispute>::read(with(dispute(), "evidence_details", json!("soon"))).unwrap();
    assert_eq!(undated.seen().unwrap().key.as_str(), "dispute:dp_1:needs_response:0");
    assert_eq!(Polled::<Dispute>::read(with(dispute(), "status", json!(null))).unwrap().seen(), None);
}

proptest! {
    #[test]
    fn any_json_is_read_or_not_without_a_panic(text in r#"\{("(id|status|amount|metadata|payment_intent|data|object|type)":("[a-z_]{0,9}"|-?[0-9]{1,30}|null|\{\}|\[\]|true),?){0,6}"#) {
        let text = format!("{}}}", text.trim_end_matches(','));
        if let Ok(value) = serde_json::from_str::<Value>(&text) {
            let _ = Polled::<CheckoutSession>::read(value.clone()).map(|session| session.seen());
            let _ = Polled::<Refund>::read(value.clone()).map(|refund| refund.seen());
            let _ = Polled::<Dispute>::read(value.clone()).map(|dispute| dispute.seen());
            let _ = event::from_api(&value, Source::Feed);
        }
    }
}
