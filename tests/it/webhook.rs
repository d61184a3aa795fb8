//! How webhooks are answered, and what the ledger keeps: the table of acknowledgements, row by row.

use crate::harness::events::{charge, dispute, event, refund};
use crate::harness::{TestApp, TestDatabase, on_each_engine};
use crate::shop::{Shop, VISA};
use checkout_backend::stripe::event::stored;
use domain::booking::Status;
use domain::event::{Event, Source};
use domain::ids::BookingId;
use domain::payment::Outcome;
use domain::role::Role;
use secrecy::SecretString;
use serde_json::{Value, json};
use std::time::Duration;

on_each_engine! {
    a_forged_or_late_signature_is_refused_and_leaves_nothing,
    a_paid_session_pays_its_booking_and_attaches_itself,
    the_same_event_again_is_a_duplicate_and_counts_as_a_delivery,
    a_case_that_comes_again_while_it_is_replayed_counts_as_a_delivery,
    the_same_fact_by_another_event_is_a_duplicate,
    an_event_that_was_stored_but_not_applied_is_applied_by_its_next_delivery,
    a_booking_is_found_by_session_metadata_or_payment_when_the_reference_is_missing,
    kinds_that_are_none_of_our_business_are_ignored_and_hardly_kept,
    sessions_of_other_applications_and_databases_are_ignored,
    a_reference_of_ours_to_an_unknown_booking_is_parked_and_becomes_a_case_after_an_hour,
    what_does_not_fit_becomes_a_case_and_pays_nothing,
    a_discount_that_covers_it_all_pays_and_a_zero_without_one_does_not,
    missing_amounts_are_fetched_and_without_an_answer_the_delivery_is_refused_but_kept,
    a_live_event_for_a_test_key_is_a_case_if_the_booking_is_known,
    a_refund_that_cannot_be_one_of_the_payment_is_a_case_and_leaves_the_booking,
    a_dispute_counts_whatever_its_amount_and_is_told_in_its_own_currency,
    a_session_that_ended_unpaid_and_is_paid_is_a_case_and_keeps_its_seat,
    a_session_that_belongs_to_another_booking_pays_nobody,
    a_second_paid_session_is_a_case_and_leaves_the_first_payment,
    delayed_payments_hold_the_seat_until_they_succeed_or_fail,
    an_expired_session_frees_the_seat_and_a_late_payment_takes_it_back,
    a_late_payment_for_a_slot_that_was_sold_again_is_a_case,
    what_the_charge_of_another_payment_gave_back_takes_no_seat_away,
    refunds_and_disputes_are_never_undone_by_a_late_payment_event,
    a_body_over_a_mebibyte_is_refused_and_one_below_is_read,
    signed_bodies_that_are_no_events_are_refused_as_bad_requests,
    unusual_but_valid_json_is_read,
    two_secrets_are_accepted_while_one_is_rolled,
    the_content_type_is_not_looked_at,
    while_the_database_is_away_every_delivery_gets_a_500,
    a_payment_is_applied_while_every_other_connection_is_taken,
}

async fn ledger(db: &TestDatabase) -> i64 {
    db.number("select count(*) from payment_events").await
}

/// Delivers an event and says how it was answered: `200 processed`.
async fn deliver(app: &TestApp, event: &Value) -> String {
    let answer = app.deliver(event).await;
    match answer.status {
        200 => format!("200 {}", answer.outcome()),
        status => status.to_string(),
    }
}

async fn a_forged_or_late_signature_is_refused_and_leaves_nothing(db: TestDatabase) {
    let app = TestApp::start(&db).await;
    let booking = app.pending_booking().await;
    let body = app.paid("evt_1", &booking, "cs_1").to_string();
    let now = app.clock.now().as_unix_seconds();
    let sign = |secret: &str, at: i64| stripe_sim::sign(&[SecretString::from(secret)], at, body.as_bytes());
    let forged = sign("whsec_other", now);
    let late = sign(crate::harness::app::WEBHOOK_SECRET, now - 302);
    for header in [None, Some(""), Some("potato"), Some("t=1,v0=aa"), Some(&forged), Some(&late)] {
        let answer = app.deliver_raw(body.clone(), header).await;
        assert_eq!(answer.status, 400, "{header:?}");
        let problem = answer.json();
        assert_eq!(problem["error"], "Invalid signature");
        assert!(problem["requestId"].as_str().is_some_and(|id| !id.is_empty()));
        assert_eq!(answer.headers["content-type"], "application/problem+json");
    }
    assert_eq!(ledger(&db).await, 0);
    assert_eq!(app.status(booking.id).await, Status::Pending);
    let good = sign(crate::harness::app::WEBHOOK_SECRET, now - 200);
    assert_eq!(app.deliver_raw(body, Some(&good)).await.status, 200);
}

async fn a_paid_session_pays_its_booking_and_attaches_itself(db: TestDatabase) {
    let app = TestApp::start(&db).await;
    let booking = app.pending_booking().await;
    assert_eq!(deliver(&app, &app.paid("evt_1", &booking, "cs_1")).await, "200 processed");
    let paid = app.booking(booking.id).await;
    assert_eq!(paid.status(), Status::Paid);
    assert_eq!(paid.session.map(|id| id.to_string()).as_deref(), Some("cs_1"));
    assert_eq!(paid.seat, booking.seat);
    assert_eq!(db.texts("select kind from outbox").await, ["booking.paid"]);
    // The answer of our own request to Stripe comes later, and changes nothing.
    app.attach(&booking, "cs_1").await;
    assert_eq!(app.status(booking.id).await, Status::Paid);
}

async fn the_same_event_again_is_a_duplicate_and_counts_as_a_delivery(db: TestDatabase) {
    let app = TestApp::start(&db).await;
    let booking = app.pending_booking().await;
    let event = app.paid("evt_1", &booking, "cs_1");
    assert_eq!(deliver(&app, &event).await, "200 processed");
    for _ in 0..3 {
        assert_eq!(deliver(&app, &event).await, "200 duplicate");
    }
    assert_eq!(db.texts("select outcome from payment_events").await, ["processed"]);
    assert_eq!(db.number("select sum(deliveries) from payment_events").await, 4);
    assert_eq!(db.number("select count(*) from outbox").await, 1);
}

async fn a_case_that_comes_again_while_it_is_replayed_counts_as_a_delivery(db: TestDatabase) {
    let app = TestApp::start(&db).await;
    let booking = app.pending_booking().await;
    let mut event = app.paid("evt_1", &booking, "cs_1");
    for member in ["amount_total", "amount_subtotal"] {
        event["data"]["object"][member] = json!(5_000);
    }
    assert_eq!(deliver(&app, &event).await, "200 case");
    db.execute("update bookings set amount = 5000").await;
    let again = stored(&event.to_string(), Source::Webhook).unwrap();
    let replay = Event { source: Source::Replay, ..again.clone() };
    // Both wait in the queue before a writer has begun: they are one batch.
    let recorder = &app.app.recorder;
    let (again, replay) = tokio::join!(recorder.record(again), recorder.record(replay));
    assert_eq!((again.unwrap().outcome, replay.unwrap().outcome), (Outcome::Duplicate, Outcome::Processed));
    assert_eq!(db.number("select deliveries from payment_events").await, 2);
    assert_eq!(app.status(booking.id).await, Status::Paid);
}

async fn the_same_fact_by_another_event_is_a_duplicate(db: TestDatabase) {
    let app = TestApp::start(&db).await;
    let booking = app.pending_booking().await;
    assert_eq!(deliver(&app, &app.paid("evt_1", &booking, "cs_1")).await, "200 processed");
    assert_eq!(deliver(&app, &app.paid("evt_2", &booking, "cs_1")).await, "200 duplicate");
    // Two refunds of the same amount are two facts, not one.
    for (event_id, refund_id, expected) in [
        ("evt_3", "re_1", "200 processed"),
        ("evt_4", "re_1", "200 duplicate"),
        ("evt_5", "re_2", "200 processed"),
    ] {
        let event = event(event_id, "refund.created", refund(refund_id, "cs_1", 1000, "succeeded"));
        assert_eq!(deliver(&app, &event).await, expected, "{event_id}");
    }
    let booking = app.booking(booking.id).await;
    assert_eq!((booking.status(), booking.refunded_amount()), (Status::PartiallyRefunded, 2000));
}

async fn an_event_that_was_stored_but_not_applied_is_applied_by_its_next_delivery(db: TestDatabase) {
    let app = TestApp::start(&db).await;
    let booking = app.pending_booking().await;
    let event = app.paid("evt_1", &booking, "cs_1");
    // A fault of ours: the booking's row cannot be read.
    db.execute("update bookings set currency = '???'").await;
    assert_eq!(deliver(&app, &event).await, "500");
    assert_eq!(db.texts("select outcome from payment_events").await, ["rejected"]);
    assert_eq!(db.number("select count(*) from payment_events where next_try_at is not null").await, 1);
    assert_eq!(deliver(&app, &event).await, "500", "still a fault of ours");
    db.execute("update bookings set currency = 'eur'").await;
    assert_eq!(deliver(&app, &event).await, "200 processed");
    assert_eq!(app.status(booking.id).await, Status::Paid);
    assert_eq!(deliver(&app, &event).await, "200 duplicate");

    // The same without Stripe's help: our own retry applies it.
    let second = app.pending_booking().await;
    db.execute(&format!("update bookings set currency = '???' where id = '{}'", second.id)).await;
    assert_eq!(deliver(&app, &app.paid("evt_2", &second, "cs_2")).await, "500");
    db.execute("update bookings set currency = 'eur'").await;
    app.clock.advance(Duration::from_secs(3600 - 60));
    assert_eq!(app.app.recorder.retry_due(&app.app.store).await.unwrap(), 1);
    assert_eq!(app.status(second.id).await, Status::Paid);
    assert_eq!(app.app.recorder.retry_due(&app.app.store).await.unwrap(), 0);
}

async fn a_booking_is_found_by_session_metadata_or_payment_when_the_reference_is_missing(db: TestDatabase) {
    let app = TestApp::start(&db).await;
    for (n, found_by) in ["reference", "session", "metadata"].into_iter().enumerate() {
        let booking = app.pending_booking().await;
        let session = format!("cs_{n}");
        let mut event = app.paid(&format!("evt_{n}"), &booking, &session);
        let object = &mut event["data"]["object"];
        if found_by != "reference" {
            object["client_reference_id"] = Value::Null;
        }
        if found_by != "metadata" {
            object["metadata"] = json!({});
        }
        if found_by == "session" {
            app.attach(&booking, &session).await;
        }
        assert_eq!(deliver(&app, &event).await, "200 processed", "{found_by}");
        assert_eq!(app.status(booking.id).await, Status::Paid, "{found_by}");
    }
    // A refund names neither: only the payment that was paid by the first of them.
    let event = event("evt_refund", "refund.created", refund("re_1", "cs_0", 6000, "succeeded"));
    assert_eq!(deliver(&app, &event).await, "200 processed");
    assert_eq!(db.number("select count(*) from bookings where status = 'remboursé'").await, 1);
}

async fn kinds_that_are_none_of_our_business_are_ignored_and_hardly_kept(db: TestDatabase) {
    let app = TestApp::start(&db).await;
    let booking = app.pending_booking().await;
    let mut other = app.paid("evt_1", &booking, "cs_1");
    other["type"] = json!("payment_intent.succeeded");
    let mut thin = app.paid("evt_2", &booking, "cs_1");
    thin["object"] = json!("v2.core.event");
    let bare = json!({ "id": "evt_3" });
    let nulls = json!({ "id": "evt_4", "type": null, "data": null, "created": "soon", "livemode": 7 });
    let no_object = json!({ "id": "evt_5", "type": "checkout.session.completed", "data": { "object": [] } });
    for event in [other, thin, bare, nulls, no_object] {
        assert_eq!(deliver(&app, &event).await, "200 ignored", "{event}");
        assert_eq!(deliver(&app, &event).await, "200 ignored", "again: {event}");
    }
    assert_eq!(app.status(booking.id).await, Status::Pending);
    assert_eq!(ledger(&db).await, 5);
    let kept = "payload is not null or stripe_session_id is not null or booking_id is not null";
    assert_eq!(db.number(&format!("select count(*) from payment_events where {kept}")).await, 0);
}

async fn sessions_of_other_applications_and_databases_are_ignored(db: TestDatabase) {
    let app = TestApp::start(&db).await;
    let booking = app.pending_booking().await;
    let mut foreign = app.paid("evt_1", &booking, "cs_foreign");
    foreign["data"]["object"]["client_reference_id"] = json!("order-17");
    foreign["data"]["object"]["metadata"] = json!({ "order": "17" });
    assert_eq!(deliver(&app, &foreign).await, "200 ignored");
    // Staging beside production on one account: our ids' form, but another database's.
    let mut staging = app.paid("evt_2", &booking, "cs_staging");
    let stranger = BookingId::from(clock::new_id()).to_string();
    staging["data"]["object"]["client_reference_id"] = json!(stranger);
    staging["data"]["object"]["metadata"] =
        json!({ "booking_id": stranger, "instance": BookingId::from(clock::new_id()) });
    assert_eq!(deliver(&app, &staging).await, "200 ignored");
    assert_eq!(app.status(booking.id).await, Status::Pending);
}

async fn a_reference_of_ours_to_an_unknown_booking_is_parked_and_becomes_a_case_after_an_hour(
    db: TestDatabase,
) {
    let app = TestApp::start(&db).await;
    let mut lost = app.pending_booking().await;
    lost.id = BookingId::from(clock::new_id());
    let mut event = app.paid("evt_1", &lost, "cs_1");
    assert_eq!(deliver(&app, &event).await, "200 parked", "it carries this database's id");
    event["id"] = json!("evt_2");
    event["data"]["object"]["metadata"] = json!({});
    assert_eq!(deliver(&app, &event).await, "200 parked", "its reference has our ids' form");
    assert_eq!(deliver(&app, &event).await, "200 parked", "and again");
    app.clock.advance(Duration::from_secs(1800));
    assert_eq!(app.app.recorder.retry_due(&app.app.store).await.unwrap(), 2);
    assert_eq!(db.number("select count(*) from cases").await, 0, "not yet");
    app.clock.advance(Duration::from_secs(1801));
    assert_eq!(app.app.recorder.retry_due(&app.app.store).await.unwrap(), 2);
    assert_eq!(db.texts("select distinct outcome from payment_events").await, ["case"]);
    assert_eq!(db.texts("select kind from cases").await, ["unknown_booking"], "one payment, one case");
    app.clock.advance(Duration::from_secs(3600));
    assert_eq!(app.app.recorder.retry_due(&app.app.store).await.unwrap(), 0, "a person has it now");
}

async fn what_does_not_fit_becomes_a_case_and_pays_nothing(db: TestDatabase) {
    let app = TestApp::start(&db).await;
    let details = |discount: i64, tax: i64, shipping: i64| json!({ "amount_discount": discount, "amount_tax": tax, "amount_shipping": shipping });
    let rows: Vec<(&str, Value, &str)> = vec![
        ("too little", json!({ "amount_total": 5999, "amount_subtotal": 5999 }), "amount_mismatch"),
        ("too much", json!({ "amount_total": 6001, "amount_subtotal": 6001 }), "amount_mismatch"),
        (
            "a hundred times",
            json!({ "amount_total": 600_000, "amount_subtotal": 600_000 }),
            "amount_mismatch",
        ),
        ("a total that does not add up", json!({ "amount_total": 5000 }), "amount_mismatch"),
        (
            "a discount that hides it",
            json!({ "amount_total": 5000, "total_details": details(999, 0, 0) }),
            "amount_mismatch",
        ),
        (
            "a negative total",
            json!({ "amount_total": -1, "total_details": details(6001, 0, 0) }),
            "amount_mismatch",
        ),
        (
            "a negative discount",
            json!({ "amount_total": 7000, "total_details": details(-1000, 0, 0) }),
            "amount_mismatch",
        ),
        (
            "a tax that takes it all back",
            json!({ "amount_total": 0, "total_details": details(0, -6000, 0) }),
            "amount_mismatch",
        ),
        ("a fraction", json!({ "amount_total": 6000.5 }), "amount_mismatch"),
        ("a text", json!({ "amount_total": "6000", "amount_subtotal": "6000" }), "amount_mismatch"),
        (
            "more than can be counted",
            json!({ "amount_total": 1e30, "amount_subtotal": 1e30 }),
            "amount_mismatch",
        ),
        (
            "a discount that is no number",
            json!({ "total_details": { "amount_discount": "0", "amount_tax": 0, "amount_shipping": 0 } }),
            "amount_mismatch",
        ),
        ("another currency", json!({ "currency": "usd" }), "currency_mismatch"),
        ("a subscription", json!({ "mode": "subscription" }), "mode_mismatch"),
        ("nothing paid of something", json!({ "payment_status": "no_payment_required" }), "amount_mismatch"),
    ];
    for (n, (what, change, kind)) in rows.into_iter().enumerate() {
        let booking = app.pending_booking().await;
        let mut event = app.paid(&format!("evt_{n}"), &booking, &format!("cs_{n}"));
        for (member, value) in change.as_object().unwrap() {
            event["data"]["object"][member] = value.clone();
        }
        assert_eq!(deliver(&app, &event).await, "200 case", "{what}");
        assert_eq!(deliver(&app, &event).await, "200 duplicate", "{what}, again");
        event["id"] = json!(format!("evt_{n}_twin"));
        assert_eq!(deliver(&app, &event).await, "200 duplicate", "{what}, by a twin");
        assert_eq!(app.status(booking.id).await, Status::Pending, "{what}");
        let kinds = format!("select kind from cases where booking_id = '{}'", booking.id);
        assert_eq!(db.texts(&kinds).await, [kind], "{what}");
    }
    assert_eq!(db.number("select count(*) from outbox").await, 0);
    let said = db.texts("select distinct detail_fr || ' = ' || detail from cases").await;
    for words in [
        "60,00 EUR attendus ; le sous-total est un autre : sous-total 59,99 EUR, remise 0,00 EUR, taxes 0,00 EUR, \
         livraison 0,00 EUR, total 59,99 EUR = expected 60.00 EUR; the subtotal is another: subtotal 59.99 EUR, \
         discount 0.00 EUR, tax 0.00 EUR, shipping 0.00 EUR, total 59.99 EUR",
        "60,00 EUR attendus, la session est en \"usd\" = expected 60.00 EUR, the session is in \"usd\"",
    ] {
        assert!(said.iter().any(|said| said == words), "{words:?} is not in {said:?}");
    }

    // What adds up pays, also with tax, shipping and a part given off.
    let booking = app.pending_booking().await;
    let mut event = app.paid("evt_sum", &booking, "cs_sum");
    event["data"]["object"]["amount_total"] = json!(6000 - 1000 + 500 + 300);
    event["data"]["object"]["total_details"] = details(1000, 500, 300);
    assert_eq!(deliver(&app, &event).await, "200 processed");
    assert_eq!(app.booking(booking.id).await.payment().map(|payment| payment.amount), Some(5800));
}

async fn a_refund_that_cannot_be_one_of_the_payment_is_a_case_and_leaves_the_booking(db: TestDatabase) {
    let app = TestApp::start(&db).await;
    let refund = |change: Value| ("refund.created", refund("re_", "cs_", 1000, "succeeded"), change);
    let charge = |change: Value| ("charge.refunded", charge("cs_", 6000, 1000), change);
    let rows = [
        ("more than was paid", refund(json!({ "amount": 6001 }))),
        ("nothing", refund(json!({ "amount": 0 }))),
        ("less than nothing", refund(json!({ "amount": -5 }))),
        ("a text", refund(json!({ "amount": "1000" }))),
        ("more than can be counted", refund(json!({ "amount": 1e30 }))),
        ("another currency", refund(json!({ "currency": "usd" }))),
        ("a charge of which more went back than was paid", charge(json!({ "amount_refunded": 6001 }))),
        ("a charge in another currency", charge(json!({ "currency": "usd" }))),
        ("a charge with a fraction", charge(json!({ "amount_refunded": 1000.5 }))),
    ];
    for (n, (what, (kind, mut object, change))) in rows.into_iter().enumerate() {
        let booking = app.pending_booking().await;
        let session = format!("cs_{n}");
        assert_eq!(deliver(&app, &app.paid(&format!("evt_{n}"), &booking, &session)).await, "200 processed");
        object["id"] = json!(format!("{}{n}", object["id"].as_str().unwrap()));
        object["payment_intent"] = json!(crate::harness::events::intent_of(&session));
        for (member, value) in change.as_object().unwrap() {
            object[member] = value.clone();
        }
        let odd = event(&format!("evt_{n}_odd"), kind, object);
        assert_eq!(deliver(&app, &odd).await, "200 case", "{what}");
        assert_eq!(deliver(&app, &odd).await, "200 duplicate", "{what}, again");
        let after = app.booking(booking.id).await;
        assert_eq!((after.status(), after.refunded_amount()), (Status::Paid, 0), "{what}");
        let kinds = format!("select kind from cases where booking_id = '{}'", booking.id);
        assert_eq!(db.texts(&kinds).await, ["refund_mismatch"], "{what}");
    }
}

/// Stripe makes no such event. Whoever did: a payment must not be lost with the seat given away.
async fn a_dispute_counts_whatever_its_amount_and_is_told_in_its_own_currency(db: TestDatabase) {
    let app = TestApp::start(&db).await;
    let admin = app.person(Role::Admin).await;
    let at_stake = async || {
        let sql =
            "select coalesce(amount || ' ', 'unknown ') || currency from cases order by id desc limit 1";
        db.texts(sql).await.remove(0)
    };
    for (n, (amount, currency, told)) in [
        (json!(6000), json!("eur"), "6000 eur"),
        (json!(6480), json!("usd"), "6480 usd"),
        (json!("60"), json!("eur"), "unknown eur"),
        (json!(null), json!(null), "unknown eur"),
    ]
    .into_iter()
    .enumerate()
    {
        let (booking, session) = (app.pending_booking().await, format!("cs_{n}"));
        assert_eq!(deliver(&app, &app.paid(&format!("evt_{n}"), &booking, &session)).await, "200 processed");
        let mut object = dispute(&format!("dp_{n}"), &session, 0, "needs_response");
        (object["amount"], object["currency"]) = (amount, currency);
        let opened = event(&format!("evt_{n}_opened"), "charge.dispute.created", object.clone());
        assert_eq!(deliver(&app, &opened).await, "200 processed", "{told}");
        assert_eq!((app.status(booking.id).await, at_stake().await.as_str()), (Status::Disputed, told));

        // What the first did not tell, a later one does.
        (object["amount"], object["currency"]) = (json!(7000), json!("usd"));
        let updated = event(&format!("evt_{n}_updated"), "charge.dispute.updated", object);
        assert_eq!(deliver(&app, &updated).await, "200 processed", "{told}");
        assert_eq!(deliver(&app, &opened).await, "200 duplicate");
        let path = format!("/api/bookings/{}", booking.id);
        let known = app.get_as(&admin.cookie, &path).await.json()["disputes"][0].clone();
        assert_eq!((&known["amount"], &known["currency"]), (&json!(7000), &json!("usd")), "{told}");
        let path = format!("/dashboard/bookings/{}", booking.id);
        let page = app.get_as(&format!("{}; lang=en", admin.cookie), &path).await;
        assert!(page.body.contains("US$70.00"), "{told}: {}", page.body);
    }
}

async fn a_session_that_ended_unpaid_and_is_paid_is_a_case_and_keeps_its_seat(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let app = &shop.app;
    for (n, kind) in
        ["checkout.session.expired", "checkout.session.async_payment_failed"].into_iter().enumerate()
    {
        let booking = app.pending_booking().await;
        let mut odd = app.paid(&format!("evt_{n}"), &booking, &format!("cs_{n}"));
        odd["type"] = json!(kind);
        assert_eq!(deliver(app, &odd).await, "200 case", "{kind}");
        let after = app.booking(booking.id).await;
        assert_eq!((after.status(), after.seat), (Status::Pending, Some(1)), "{kind}");

        // What Stripe itself tells when asked takes the place of what cannot be.
        let checkout = shop.book().await;
        shop.pay(&checkout, VISA).await;
        let object = shop.sim.object(&checkout.session).unwrap();
        let odd = event(&format!("evt_{n}_paid"), kind, object);
        assert_eq!(deliver(app, &odd).await, "200 processed", "{kind}");
        assert_eq!(shop.status(&checkout).await, Status::Paid, "{kind}");
    }
}

async fn a_discount_that_covers_it_all_pays_and_a_zero_without_one_does_not(db: TestDatabase) {
    let app = TestApp::start(&db).await;
    for (n, (discount, expected, status)) in
        [(6000, "200 processed", Status::Paid), (0, "200 case", Status::Pending)].into_iter().enumerate()
    {
        let booking = app.pending_booking().await;
        let mut event = app.paid(&format!("evt_{n}"), &booking, &format!("cs_{n}"));
        let object = &mut event["data"]["object"];
        object["payment_status"] = json!("no_payment_required");
        object["payment_intent"] = Value::Null;
        object["amount_total"] = json!(0);
        object["total_details"]["amount_discount"] = json!(discount);
        assert_eq!(deliver(&app, &event).await, expected);
        assert_eq!(app.status(booking.id).await, status);
    }
}

async fn missing_amounts_are_fetched_and_without_an_answer_the_delivery_is_refused_but_kept(
    db: TestDatabase,
) {
    // Stripe is out of reach in this test; that it is asked is seen in the checkout tests.
    let app = TestApp::start(&db).await;
    let booking = app.pending_booking().await;
    let mut event = app.paid("evt_1", &booking, "cs_1");
    event["data"]["object"]["amount_total"] = Value::Null;
    assert_eq!(deliver(&app, &event).await, "500");
    assert_eq!(app.status(booking.id).await, Status::Pending);
    assert_eq!(db.texts("select outcome from payment_events").await, ["rejected"]);
}

async fn a_live_event_for_a_test_key_is_a_case_if_the_booking_is_known(db: TestDatabase) {
    let app = TestApp::start(&db).await;
    let booking = app.pending_booking().await;
    let mut event = app.paid("evt_1", &booking, "cs_1");
    event["livemode"] = json!(true);
    assert_eq!(deliver(&app, &event).await, "200 case");
    assert_eq!(app.status(booking.id).await, Status::Pending);
    assert_eq!(db.texts("select kind from cases").await, ["livemode_mismatch"]);
    let mut unknown = booking.clone();
    unknown.id = BookingId::from(clock::new_id());
    let mut event = app.paid("evt_2", &unknown, "cs_2");
    event["livemode"] = json!(true);
    assert_eq!(deliver(&app, &event).await, "200 ignored");
}

async fn a_session_that_belongs_to_another_booking_pays_nobody(db: TestDatabase) {
    let app = TestApp::start(&db).await;
    let (first, second) = (app.pending_booking().await, app.pending_booking().await);
    app.attach(&first, "cs_1").await;
    assert_eq!(deliver(&app, &app.paid("evt_1", &second, "cs_1")).await, "200 case");
    assert_eq!(app.status(first.id).await, Status::Pending);
    assert_eq!(app.status(second.id).await, Status::Pending);
    assert_eq!(db.texts("select kind from cases").await, ["session_mismatch"]);
    assert_eq!(deliver(&app, &app.paid("evt_2", &first, "cs_1")).await, "200 processed");
}

async fn a_second_paid_session_is_a_case_and_leaves_the_first_payment(db: TestDatabase) {
    let app = TestApp::start(&db).await;
    let booking = app.pending_booking().await;
    assert_eq!(deliver(&app, &app.paid("evt_1", &booking, "cs_1")).await, "200 processed");
    assert_eq!(deliver(&app, &app.paid("evt_2", &booking, "cs_2")).await, "200 case");
    assert_eq!(db.texts("select kind from cases").await, ["paid_twice"]);
    // Giving the extra one back touches neither the booking's payment nor its status.
    let extra = event("evt_3", "refund.created", refund("re_1", "cs_2", 6000, "succeeded"));
    assert_eq!(deliver(&app, &extra).await, "200 processed");
    let booking = app.booking(booking.id).await;
    assert_eq!((booking.status(), booking.refunded_amount()), (Status::Paid, 0));
    assert_eq!(booking.payment().map(|payment| payment.session.to_string()).as_deref(), Some("cs_1"));
}

async fn delayed_payments_hold_the_seat_until_they_succeed_or_fail(db: TestDatabase) {
    let app = TestApp::start(&db).await;
    for (n, (kind, status, payment_status)) in [
        ("checkout.session.async_payment_succeeded", Status::Paid, "paid"),
        ("checkout.session.async_payment_failed", Status::Failed, "unpaid"),
    ]
    .into_iter()
    .enumerate()
    {
        let booking = app.pending_booking().await;
        let mut event = app.paid(&format!("evt_{n}"), &booking, &format!("cs_{n}"));
        event["data"]["object"]["payment_status"] = json!("unpaid");
        let first = event.clone();
        assert_eq!(deliver(&app, &event).await, "200 processed");
        let waiting = app.booking(booking.id).await;
        assert_eq!((waiting.status(), waiting.seat), (Status::Processing, Some(1)));
        event["id"] = json!(format!("evt_{n}_later"));
        event["type"] = json!(kind);
        event["data"]["object"]["payment_status"] = json!(payment_status);
        assert_eq!(deliver(&app, &event).await, "200 processed");
        let settled = app.booking(booking.id).await;
        assert_eq!((settled.status(), settled.seat.is_some()), (status, status == Status::Paid));
        let mut late = first;
        late["id"] = json!(format!("evt_{n}_late"));
        assert_eq!(deliver(&app, &late).await, "200 duplicate");
        assert_eq!(app.status(booking.id).await, status);
    }
    assert_eq!(db.texts("select kind from outbox order by kind").await, ["booking.failed", "booking.paid"]);
}

async fn an_expired_session_frees_the_seat_and_a_late_payment_takes_it_back(db: TestDatabase) {
    let app = TestApp::start(&db).await;
    let booking = app.pending_booking().await;
    let mut expired = app.paid("evt_1", &booking, "cs_1");
    expired["type"] = json!("checkout.session.expired");
    expired["data"]["object"]["payment_status"] = json!("unpaid");
    expired["data"]["object"]["status"] = json!("expired");
    assert_eq!(deliver(&app, &expired).await, "200 processed");
    let ended = app.booking(booking.id).await;
    assert_eq!((ended.status(), ended.seat), (Status::Expired, None));
    assert_eq!(deliver(&app, &app.paid("evt_2", &booking, "cs_1")).await, "200 processed");
    let paid = app.booking(booking.id).await;
    assert_eq!((paid.status(), paid.seat), (Status::Paid, Some(1)));
    expired["id"] = json!("evt_3");
    assert_eq!(deliver(&app, &expired).await, "200 duplicate");
    assert_eq!(app.status(booking.id).await, Status::Paid);
}

async fn a_late_payment_for_a_slot_that_was_sold_again_is_a_case(db: TestDatabase) {
    let app = TestApp::start(&db).await;
    let late = app.pending_booking().await;
    let mut expired = app.paid("evt_1", &late, "cs_1");
    expired["type"] = json!("checkout.session.expired");
    expired["data"]["object"]["payment_status"] = json!("unpaid");
    assert_eq!(deliver(&app, &expired).await, "200 processed");
    let mut quick = late.clone();
    quick.id = BookingId::from(clock::new_id());
    quick.code = domain::code::Code::of(quick.id, 0);
    let mut tx = app.app.store.begin().await.unwrap();
    let lang = domain::lang::Lang::Fr;
    assert!(tx.insert_booking(&quick, None, lang, quick.hold_expires_at).await.unwrap());
    tx.commit().await.unwrap();

    assert_eq!(deliver(&app, &app.paid("evt_2", &late, "cs_1")).await, "200 case");
    assert_eq!(app.status(late.id).await, Status::Expired);
    assert_eq!(db.texts("select kind from cases").await, ["late_payment"]);
    assert_eq!(deliver(&app, &app.paid("evt_3", &quick, "cs_2")).await, "200 processed");
}

/// The order in which a paid booking once lost its seat, and the seat was sold again.
async fn what_the_charge_of_another_payment_gave_back_takes_no_seat_away(db: TestDatabase) {
    let app = TestApp::start(&db).await;
    let booking = app.pending_booking().await;
    let mut wrong = app.paid("evt_wrong", &booking, "cs_wrong");
    (wrong["data"]["object"]["amount_total"], wrong["data"]["object"]["amount_subtotal"]) =
        (json!(9), json!(9));
    assert_eq!(deliver(&app, &wrong).await, "200 case");
    let mut given_back = event("evt_charge", "charge.refunded", charge("cs_wrong", 6000, 6000));
    given_back["data"]["object"]["metadata"] = wrong["data"]["object"]["metadata"].clone();
    assert_eq!(deliver(&app, &given_back).await, "200 processed");
    assert_eq!(deliver(&app, &app.paid("evt_right", &booking, "cs_right")).await, "200 processed");
    let paid = app.booking(booking.id).await;
    assert_eq!((paid.status(), paid.seat, paid.refunded_amount()), (Status::Paid, Some(1), 0));

    // Its own charge still counts until its refunds are known by their ids.
    let own = event("evt_own", "charge.refunded", charge("cs_right", 6000, 1000));
    assert_eq!(deliver(&app, &own).await, "200 processed");
    let mut other = event("evt_refund", "refund.created", refund("re_wrong", "cs_wrong", 6000, "succeeded"));
    other["data"]["object"]["metadata"] = wrong["data"]["object"]["metadata"].clone();
    assert_eq!(deliver(&app, &other).await, "200 processed");
    let paid = app.booking(booking.id).await;
    assert_eq!(
        (paid.status(), paid.seat, paid.refunded_amount()),
        (Status::PartiallyRefunded, Some(1), 1000)
    );
    // As rows of before version 7 are: of which payment the charge was is not known, but a refund of another is.
    db.execute("update bookings set charge_intent_id = null").await;
    assert_eq!(app.booking(booking.id).await.refunded_amount(), 0);
}

async fn refunds_and_disputes_are_never_undone_by_a_late_payment_event(db: TestDatabase) {
    let app = TestApp::start(&db).await;
    let booking = app.pending_booking().await;
    let late = |n: u32| app.paid(&format!("evt_late_{n}"), &booking, "cs_1");
    assert_eq!(deliver(&app, &app.paid("evt_1", &booking, "cs_1")).await, "200 processed");

    let part = event("evt_2", "refund.created", refund("re_1", "cs_1", 1000, "succeeded"));
    assert_eq!(deliver(&app, &part).await, "200 processed");
    assert_eq!(deliver(&app, &late(1)).await, "200 duplicate");
    assert_eq!(app.status(booking.id).await, Status::PartiallyRefunded);
    let same = event("evt_3", "charge.refunded", charge("cs_1", 6000, 1000));
    assert_eq!(deliver(&app, &same).await, "200 duplicate");

    let opened = event("evt_4", "charge.dispute.created", dispute("dp_1", "cs_1", 5000, "needs_response"));
    assert_eq!(deliver(&app, &opened).await, "200 processed");
    assert_eq!(deliver(&app, &late(2)).await, "200 duplicate");
    assert_eq!(app.status(booking.id).await, Status::Disputed);
    let won = event("evt_5", "charge.dispute.closed", dispute("dp_1", "cs_1", 5000, "won"));
    assert_eq!(deliver(&app, &won).await, "200 processed");
    assert_eq!(app.status(booking.id).await, Status::PartiallyRefunded);

    let rest = event("evt_6", "refund.created", refund("re_2", "cs_1", 5000, "pending"));
    assert_eq!(deliver(&app, &rest).await, "200 processed");
    assert_eq!(deliver(&app, &late(3)).await, "200 duplicate");
    let refunded = app.booking(booking.id).await;
    assert_eq!((refunded.status(), refunded.seat), (Status::Refunded, None));

    // A refund may still fail: it counts no more, the seat is taken back, and a person hears of it.
    let failed = event("evt_7", "refund.failed", refund("re_2", "cs_1", 5000, "failed"));
    assert_eq!(deliver(&app, &failed).await, "200 processed");
    let back = app.booking(booking.id).await;
    assert_eq!((back.status(), back.seat), (Status::PartiallyRefunded, Some(1)));
    let kinds = db.texts("select kind from cases order by kind").await;
    assert_eq!(kinds, ["dispute", "refund_failed"]);
}

async fn a_body_over_a_mebibyte_is_refused_and_one_below_is_read(db: TestDatabase) {
    let app = TestApp::start(&db).await;
    let big = |bytes: usize| json!({ "id": "evt_1", "type": "x", "padding": "x".repeat(bytes) });
    assert_eq!(deliver(&app, &big(1024 * 1024 - 100)).await, "200 ignored");
    let answer = app.deliver(&big(1024 * 1024)).await;
    assert_eq!(answer.status, 413);
    assert_eq!(answer.headers["content-type"], "application/problem+json");
    let told = app.get("/metrics").await.body;
    assert!(told.contains("checkout_webhook_rejects_total{reason=\"body_too_large\"} 1"), "{told}");
    assert_eq!(ledger(&db).await, 1);
}

async fn signed_bodies_that_are_no_events_are_refused_as_bad_requests(db: TestDatabase) {
    let app = TestApp::start(&db).await;
    for body in
        ["", "{", "[]", "null", "7", "\"evt_1\"", "{}", r#"{"id":7}"#, r#"{"id":""}"#, r#"{"id":"a b"}"#]
    {
        let secrets = [SecretString::from(crate::harness::app::WEBHOOK_SECRET)];
        let header = stripe_sim::sign(&secrets, app.clock.now().as_unix_seconds(), body.as_bytes());
        let answer = app.deliver_raw(body, Some(&header)).await;
        assert_eq!((answer.status, answer.json()["error"].as_str()), (400, Some("Not an event")), "{body:?}");
    }
    assert_eq!(ledger(&db).await, 0);
}

async fn unusual_but_valid_json_is_read(db: TestDatabase) {
    let app = TestApp::start(&db).await;
    let secrets = [SecretString::from(crate::harness::app::WEBHOOK_SECRET)];
    for (n, unusual) in [
        r#""customer_details":{"name":"\ud800"}"#.to_owned(),
        r#""customer_details":{"name":"\u0000 and \ud83d\ude00"}"#.to_owned(),
        format!(r#""nested":{}{}"#, "[".repeat(5000), "]".repeat(5000)),
        r#""amount_total":1,"amount_total":6000"#.to_owned(),
        r#""new_member":1e400,"another":{"":[]}"#.replace("1e400", "1e40"),
    ]
    .into_iter()
    .enumerate()
    {
        let booking = app.pending_booking().await;
        let event = app.paid(&format!("evt_{n}"), &booking, &format!("cs_{n}")).to_string();
        let body = event.replacen(r#""amount_subtotal""#, &format!(r#"{unusual},"amount_subtotal""#), 1);
        // The later of two members counts: the one in the fixture.
        let header = stripe_sim::sign(&secrets, app.clock.now().as_unix_seconds(), body.as_bytes());
        let answer = app.deliver_raw(body, Some(&header)).await;
        assert_eq!((answer.status, answer.outcome().as_str()), (200, "processed"), "{unusual:.60}");
    }
}

async fn two_secrets_are_accepted_while_one_is_rolled(db: TestDatabase) {
    let secrets = ["whsec_old_0123456789", "whsec_new_0123456789"];
    let joined = secrets.join(" , ");
    let app = TestApp::start_with(&db, &[("STRIPE_WEBHOOK_SECRET", &joined)], "http://127.0.0.1:1").await;
    for secret in secrets {
        let body = json!({ "id": format!("evt_{secret}") }).to_string();
        let now = app.clock.now().as_unix_seconds();
        let header = stripe_sim::sign(&[SecretString::from(secret)], now, body.as_bytes());
        assert_eq!(app.deliver_raw(body, Some(&header)).await.status, 200, "{secret}");
    }
}

async fn the_content_type_is_not_looked_at(db: TestDatabase) {
    let app = TestApp::start(&db).await;
    for content_type in ["text/plain", "application/x-www-form-urlencoded", "image/png", "nonsense"] {
        let body = json!({ "id": format!("evt_{}", content_type.len()) });
        let request = crate::harness::app::delivery(&app.http, &app.url, &app.clock, &body);
        let answer = crate::harness::app::send(request.header("content-type", content_type)).await;
        assert_eq!(answer.status, 200, "{content_type}");
    }
}

async fn while_the_database_is_away_every_delivery_gets_a_500(db: TestDatabase) {
    let app = TestApp::start(&db).await;
    let booking = app.pending_booking().await;
    let event = app.paid("evt_1", &booking, "cs_1");
    // The nearest to a database that is gone which both engines have in one process.
    app.app.store.close().await;
    let answer = app.deliver(&event).await;
    assert_eq!(answer.status, 500);
    assert_eq!(answer.json()["error"], "Internal error");
    assert!(!answer.body.contains("pool"), "the cause is for the log: {}", answer.body);
    let app = app.restart().await;
    assert_eq!(deliver(&app, &event).await, "200 processed");
}

async fn a_payment_is_applied_while_every_other_connection_is_taken(db: TestDatabase) {
    let app = TestApp::start(&db).await;
    let booking = app.pending_booking().await;
    let mut taken = Vec::new();
    while let Ok(tx) = app.app.store.read().await {
        taken.push(tx);
    }
    assert!(!taken.is_empty());
    assert_eq!(deliver(&app, &app.paid("evt_1", &booking, "cs_1")).await, "200 processed");
    drop(taken);
    assert_eq!(app.status(booking.id).await, Status::Paid);
}
