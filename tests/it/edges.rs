//! Money at the edges: each effect looks at the state that it acts on, and whatever happens to money is seen.

use crate::harness::{TestApp, TestDatabase, events, on_each_engine, waits_for_a_lock};
use crate::shop::{ADMIN, Checkout, Shop, VISA};
use checkout_backend::flow::cases::{self, CaseError, Decision};
use checkout_backend::flow::refund::{self, RefundError};
use domain::booking::{Booking, Refund, RefundStatus, Status};
use domain::case::{CaseAction, CaseKind};
use domain::ids::{BookingId, CaseId, RefundId};
use domain::role::Role;
use serde_json::{Value, json};
use std::time::Duration;
use store::bookings;
use store::cases::CaseRecord;
use store::page::PageRequest;
use store::refund_intents::IntentState;
use stripe_sim::ApiFaultKind;

on_each_engine! {
    a_refund_that_was_made_before_a_long_outage_is_found_and_not_sent_again,
    ten_requests_at_once_under_one_key_are_one_refund,
    a_refund_counts_what_was_given_back_while_it_waited,
    two_facts_of_one_booking_at_the_same_moment_both_count,
    a_case_whose_refund_is_under_way_shows_it_and_takes_no_other_action,
    of_two_people_who_decide_at_the_same_moment_one_is_heard,
    who_waited_for_a_case_hears_what_was_decided_meanwhile,
    a_refund_that_is_cancelled_after_the_seat_was_sold_again_is_a_case,
    a_refund_that_is_cancelled_while_a_seat_is_left_takes_it_again,
    an_accepted_payment_keeps_what_stripe_said_and_can_be_replayed,
    attaching_a_payment_closes_the_bookings_own_page,
    two_sessions_of_a_booking_end_the_same_in_either_order,
    a_dispute_that_is_lost_contested_and_lost_again_is_told_as_lost,
    a_dispute_of_a_negative_amount_is_a_case_and_is_not_stored_as_it_came,
    a_refund_of_an_unknown_payment_that_comes_back_after_its_case_was_closed_is_seen,
    a_case_is_opened_again_for_what_happens_after_it_was_closed_and_not_for_a_copy,
    a_refund_told_for_two_payments_counts_for_the_first_and_is_a_case_of_the_other,
    two_words_in_the_wrong_mode_raise_no_alarm,
    instances_whose_clocks_differ_raise_no_alarm,
    what_the_doctor_says_to_look_at_is_there,
}

async fn open_cases(app: &TestApp) -> Vec<CaseRecord> {
    let mut tx = app.app.store.read().await.unwrap();
    let cases = tx.list_cases(Some(true), &PageRequest::default()).await.unwrap();
    tx.rollback().await.unwrap();
    cases.items
}

fn decision(case: CaseId, action: CaseAction) -> Decision<'static> {
    Decision { case, action, note: Some("seen"), booking: None, actor: ADMIN, role: Role::Admin }
}

async fn dismiss_all(app: &TestApp) {
    for case in open_cases(app).await {
        cases::decide(&app.app, decision(case.id, CaseAction::Dismiss)).await.unwrap();
    }
}

async fn tell(app: &TestApp, id: &str, kind: &str, object: Value) -> crate::harness::app::Answer {
    let answer = app.deliver(&events::event(id, kind, object)).await;
    assert_eq!(answer.status, 200, "{kind}");
    answer
}

/// A paid booking that Stripe was not asked about.
async fn paid(app: &TestApp, session: &str) -> Booking {
    let booking = app.pending_booking().await;
    assert_eq!(
        app.deliver(&app.paid(&format!("evt_{session}"), &booking, session)).await.outcome(),
        "processed"
    );
    booking
}

async fn paid_wrongly(shop: &Shop) -> (Checkout, CaseId) {
    let checkout = shop.book().await;
    shop.pay(&checkout, VISA).await;
    let about = |event: &Value| {
        event["type"] == "checkout.session.completed"
            && event["data"]["object"]["id"] == checkout.session.as_str()
    };
    let mut event = shop.sim.events().into_iter().find(about).unwrap();
    for member in ["amount_subtotal", "amount_total"] {
        event["data"]["object"][member] = 5900.into();
    }
    assert_eq!(shop.app.deliver(&event).await.outcome(), "case");
    let case = open_cases(&shop.app).await.remove(0);
    (checkout, case.id)
}

/// As after a process that died before it could count its try, or from a backup: a day later Stripe has forgotten the
/// idempotency key, so nothing but the look keeps the part from going back twice.
async fn a_refund_that_was_made_before_a_long_outage_is_found_and_not_sent_again(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let checkout = shop.paid().await;
    shop.fault(ApiFaultKind::ResetBefore, "POST", "/v1/refunds", None);
    let asked = refund::refund(&shop.app.app, checkout.booking, Some(2000), "k", ADMIN).await.unwrap();
    assert_eq!(asked.state, IntentState::Open);
    shop.no_faults();
    let (payment, id) = (asked.payment_intent.to_string(), asked.id.to_string());
    let form = [("payment_intent", payment.as_str()), ("amount", "2000"), ("metadata[refund_intent]", &id)];
    shop.app.app.stripe.create_refund(&form, &format!("refund-{id}-1")).await.unwrap();
    db.execute("update refund_intents set tries = 0").await;
    shop.advance(Duration::from_secs(25 * 3600));
    refund::resolve_due(&shop.app.app).await.unwrap();
    assert_eq!(shop.refunds_at_stripe(&checkout).await.len(), 1, "sent twice");
    assert_eq!(db.texts("select state from refund_intents").await, ["done"]);
    assert_eq!(shop.booking(&checkout).await.refunded_amount(), 2000);
    shop.assert_sound().await;
}

async fn ten_requests_at_once_under_one_key_are_one_refund(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let checkout = shop.paid().await;
    let one = || refund::refund(&shop.app.app, checkout.booking, Some(1000), "one key", ADMIN);
    let all = futures_util::future::join_all((0..10).map(|_| one())).await;
    let ids: Vec<_> = all.into_iter().map(|refund| refund.unwrap().id).collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    assert_eq!(shop.refunds_at_stripe(&checkout).await.len(), 1);
    assert_eq!(shop.booking(&checkout).await.refunded_amount(), 1000);
}

/// Whoever holds the booking may be writing down a refund of it: what is left is what is left then.
async fn a_refund_counts_what_was_given_back_while_it_waited(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let checkout = shop.paid().await;
    let mut first = db.store.begin().await.unwrap();
    let mut locked = first.lock_bookings(&[checkout.booking]).await.unwrap().remove(0);
    let (app, booking) = (shop.app.app.clone(), checkout.booking);
    let second = tokio::spawn(async move { refund::refund(&app, booking, Some(2000), "k", ADMIN).await });
    waits_for_a_lock(&db, &second).await;
    let id = RefundId::parse("re_dashboard").unwrap();
    let intent = locked.payment().unwrap().intent.clone();
    locked.refunds.push(Refund { id, intent, amount: 5000, status: RefundStatus::Succeeded });
    first.write(bookings::save(&[&locked])).await.unwrap();
    first.commit().await.unwrap();
    let refused = second.await.unwrap().unwrap_err();
    assert!(matches!(&refused, RefundError::TooMuch { left } if left.amount == 1000), "{refused}");
    assert_eq!(shop.refunds_at_stripe(&checkout).await.len(), 0);
}

async fn two_facts_of_one_booking_at_the_same_moment_both_count(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let app = &shop.app;
    // Two instances share a PostgreSQL; on SQLite there is one writer.
    let other =
        if matches!(db.store, store::Store::Postgres { .. }) { Some(shop.another().await) } else { None };
    let second = other.as_ref().unwrap_or(app);
    for n in 0..12 {
        let session = format!("cs_{n}");
        let booking = paid(app, &session).await;
        let half = |k: u8| {
            events::event(
                &format!("evt_{n}_{k}"),
                "refund.created",
                events::refund(&format!("re_{n}_{k}"), &session, 3000, "succeeded"),
            )
        };
        let (one, two) = (half(1), half(2));
        let (first, then) = tokio::join!(app.deliver(&one), second.deliver(&two));
        assert_eq!((first.status, then.status), (200, 200));
        let booking = app.booking(booking.id).await;
        assert_eq!((booking.status(), booking.seat), (Status::Refunded, None), "round {n}");
        let status = format!("select status from bookings where id = '{}'", booking.id);
        assert_eq!(db.texts(&status).await, ["remboursé"], "round {n}");
    }
    shop.assert_sound().await;
}

async fn a_case_whose_refund_is_under_way_shows_it_and_takes_no_other_action(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let (checkout, case) = paid_wrongly(&shop).await;
    let admin = shop.app.person(Role::Admin).await;
    let cookie = ("cookie", admin.cookie.as_str());
    let path = format!("/api/cases/{case}");
    assert_eq!(shop.app.get_as(&admin.cookie, &path).await.json()["refund"], Value::Null);
    shop.fault(ApiFaultKind::ResetBefore, "POST", "/v1/refunds", None);
    let asked = shop.app.post_json(&format!("{path}/refund"), &json!({}), &[cookie]).await;
    assert_eq!(
        (asked.status, asked.json()["refund"]["state"].as_str()),
        (202, Some("open")),
        "{}",
        asked.body
    );
    for (action, body) in [("accept", json!({})), ("dismiss", json!({ "note": "n" }))] {
        let refused = shop.app.post_json(&format!("{path}/{action}"), &body, &[cookie]).await;
        assert_eq!(refused.status, 409, "{action}");
        assert_eq!(refused.json()["refund"]["state"], "open", "{}", refused.body);
        assert!(refused.json()["message"].as_str().unwrap().contains("under way"));
    }
    let again = shop.app.post_json(&format!("{path}/refund"), &json!({}), &[cookie]).await;
    assert_eq!((again.status, &again.json()["refund"]["id"]), (202, &asked.json()["refund"]["id"]));
    let shown = shop.app.get_as(&admin.cookie, &path).await.json();
    assert_eq!((shown["refund"]["state"].as_str(), &shown["actions"]), (Some("open"), &json!([])));
    let page = shop.app.get_as(&admin.cookie, &format!("/dashboard/cases/{case}?lang=en")).await;
    assert!(page.body.contains("under way") || page.body.contains("en cours"), "{}", page.body);
    assert!(!page.body.contains("value=\"accept\""));
    shop.no_faults();
    shop.advance(Duration::from_secs(600));
    refund::resolve_due(&shop.app.app).await.unwrap();
    let shown = shop.app.get_as(&admin.cookie, &path).await.json();
    assert_eq!((shown["refund"]["state"].as_str(), shown["state"].as_str()), (Some("done"), Some("closed")));
    assert_eq!(shop.status(&checkout).await, Status::Cancelled);
    assert_eq!(shop.refunds_at_stripe(&checkout).await.len(), 1);
    shop.assert_sound().await;
}

async fn of_two_people_who_decide_at_the_same_moment_one_is_heard(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let other =
        if matches!(db.store, store::Store::Postgres { .. }) { Some(shop.another().await) } else { None };
    let second = other.as_ref().unwrap_or(&shop.app);
    for _ in 0..6 {
        let (checkout, case) = paid_wrongly(&shop).await;
        let refund = cases::decide(&shop.app.app, decision(case, CaseAction::Refund));
        let accept = cases::decide(&second.app, decision(case, CaseAction::Accept));
        let (refund, accept) = tokio::join!(refund, accept);
        assert!(refund.is_ok() != accept.is_ok(), "{refund:?} {accept:?}");
        let gone = shop.refunds_at_stripe(&checkout).await.len();
        let status = shop.status(&checkout).await;
        assert_eq!((gone == 1, status == Status::Paid), (refund.is_ok(), accept.is_ok()), "{status}");
        let loser = refund.err().or(accept.err()).unwrap();
        assert!(matches!(loser, CaseError::RefundUnderWay(_) | CaseError::Closed(_)), "{loser}");
    }
    shop.assert_sound().await;
}

async fn who_waited_for_a_case_hears_what_was_decided_meanwhile(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    for (action, done) in [
        (CaseAction::Accept, CaseAction::Dismiss),
        (CaseAction::Refund, CaseAction::Dismiss),
        (CaseAction::Dismiss, CaseAction::Accept),
    ] {
        let (checkout, case) = paid_wrongly(&shop).await;
        let mut first = db.store.begin().await.unwrap();
        first.case(case, true).await.unwrap();
        let app = shop.app.app.clone();
        let second = tokio::spawn(async move { cases::decide(&app, decision(case, action)).await });
        waits_for_a_lock(&db, &second).await;
        let now = shop.app.clock.now();
        assert!(first.close_case(case, ADMIN.name, done.as_str(), Some("seen"), now).await.unwrap());
        first.commit().await.unwrap();
        let refused = second.await.unwrap().unwrap_err();
        assert!(matches!(&refused, CaseError::Closed(by) if by == done.as_str()), "{action:?}: {refused}");
        assert_eq!(shop.status(&checkout).await, Status::Pending, "{action:?}");
        assert_eq!(shop.refunds_at_stripe(&checkout).await.len(), 0, "{action:?}");
    }
    shop.assert_sound().await;
}

async fn refunded_then_cancelled(db: &TestDatabase, sold_again: bool) -> (TestApp, Booking) {
    let app = TestApp::start(db).await;
    let first = paid(&app, "cs_1").await;
    tell(&app, "evt_out", "refund.created", events::refund("re_1", "cs_1", 6000, "requires_action")).await;
    assert_eq!(app.booking(first.id).await.seat, None);
    if sold_again {
        let second = app.pending_booking().await;
        let to_slot = format!(
            "update bookings set slot_date = (select slot_date from bookings where id = '{0}'),
                 slot_time = (select slot_time from bookings where id = '{0}') where id = '{1}'",
            first.id, second.id
        );
        db.execute(&to_slot).await;
    }
    tell(&app, "evt_end", "refund.updated", events::refund("re_1", "cs_1", 6000, "canceled")).await;
    let booking = app.booking(first.id).await;
    db.assert_sound().await;
    (app, booking)
}

async fn a_refund_that_is_cancelled_after_the_seat_was_sold_again_is_a_case(db: TestDatabase) {
    let (app, booking) = refunded_then_cancelled(&db, true).await;
    assert_eq!((booking.status(), booking.seat), (Status::Paid, None));
    let cases = open_cases(&app).await;
    assert_eq!((cases.len(), cases[0].kind), (1, CaseKind::RefundFailed));
    assert!(cases[0].detail.en.contains("taken by somebody else"), "{:?}", cases[0].detail);
}

async fn a_refund_that_is_cancelled_while_a_seat_is_left_takes_it_again(db: TestDatabase) {
    let (_app, booking) = refunded_then_cancelled(&db, false).await;
    assert_eq!((booking.status(), booking.seat), (Status::Paid, Some(1)));
}

async fn an_accepted_payment_keeps_what_stripe_said_and_can_be_replayed(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let (checkout, case) = paid_wrongly(&shop).await;
    let kept = "select cast(livemode as text) || payload from payment_events";
    let before = db.texts(kept).await;
    cases::decide(&shop.app.app, decision(case, CaseAction::Accept)).await.unwrap();
    assert_eq!(db.texts(kept).await, before);
    let audit = checkout_backend::flow::invariants::audit(&db.store).await.unwrap();
    assert_eq!((audit.violations, audit.told_again, audit.not_told_again), (vec![], 1, 0));
    let entry = db.texts("select id from payment_events").await.remove(0);
    let replayed = checkout_backend::flow::replay::replay(&shop.app.app, &entry, ADMIN).await.unwrap();
    assert_eq!((replayed.outcome, replayed.changes.len()), ("duplicate", 0));
    assert_eq!(shop.status(&checkout).await, Status::Paid);
}

async fn attaching_a_payment_closes_the_bookings_own_page(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let (stray, wanted) = (shop.book().await, shop.book().await);
    shop.pay(&stray, VISA).await;
    let about = |event: &Value| event["type"] == "checkout.session.completed";
    let mut event = shop.sim.events().into_iter().find(about).unwrap();
    let nobody = BookingId::from(clock::new_id()).to_string();
    event["data"]["object"]["client_reference_id"] = nobody.as_str().into();
    event["data"]["object"]["metadata"]["booking_id"] = nobody.as_str().into();
    db.execute(&format!("update bookings set stripe_session_id = null where id = '{}'", stray.booking)).await;
    assert_eq!(shop.app.deliver(&event).await.outcome(), "parked");
    db.execute("update payment_events set received_at = received_at - 3700000000, next_try_at = 1").await;
    shop.app.app.recorder.retry_due(&shop.app.app.store).await.unwrap();
    let case = open_cases(&shop.app).await.remove(0);
    let attach = Decision { booking: Some(wanted.booking), ..decision(case.id, CaseAction::Attach) };
    let decided = cases::decide(&shop.app.app, attach).await.unwrap();
    assert!(decided.did.en.contains("is paid"), "{:?}", decided.did);
    assert_eq!(shop.sim.object(&wanted.session).unwrap()["status"], "expired", "it could be paid twice");
    shop.deliver_all().await;
    assert_eq!(shop.status(&wanted).await, Status::Paid);
}

async fn two_sessions_of_a_booking_end_the_same_in_either_order(db: TestDatabase) {
    let app = TestApp::start(&db).await;
    for order in [[0, 1], [1, 0]] {
        let booking = app.pending_booking().await;
        let (own, other) = (format!("cs_own_{}", order[0]), format!("cs_other_{}", order[0]));
        app.attach(&booking, &own).await;
        let mut session = events::session(&booking, &other, &app.app.instance.to_string());
        session["payment_status"] = "unpaid".into();
        let kinds = ["checkout.session.completed", "checkout.session.async_payment_failed"];
        for n in order {
            tell(&app, &format!("evt_{}_{n}", order[0]), kinds[n], session.clone()).await;
        }
        assert_eq!(app.status(booking.id).await, Status::Failed, "{order:?}");
    }
    db.assert_sound().await;
}

async fn a_dispute_that_is_lost_contested_and_lost_again_is_told_as_lost(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let app = &shop.app;
    let booking = paid(app, "cs_1").await;
    let life = [
        ("created", "needs_response"),
        ("updated", "under_review"),
        ("closed", "lost"),
        ("updated", "appeal_needs_response"),
        ("updated", "appeal_under_review"),
        ("closed", "lost"),
    ];
    for (n, (moment, status)) in life.into_iter().enumerate() {
        let dispute = events::dispute("dp_1", "cs_1", 6000, status);
        tell(app, &format!("evt_d{n}"), &format!("charge.dispute.{moment}"), dispute).await;
        assert_eq!(app.booking(booking.id).await.disputes[0].status.as_str(), status, "{n}");
        if n == 1 {
            dismiss_all(app).await;
        }
    }
    let cases = open_cases(app).await;
    assert!(!cases.is_empty(), "it was lost after its case was closed");
    assert!(cases[0].sentence(domain::lang::Lang::En).contains("lost"), "{cases:?}");
    assert_eq!(app.status(booking.id).await, Status::Disputed);
    db.assert_sound().await;
}

async fn a_dispute_of_a_negative_amount_is_a_case_and_is_not_stored_as_it_came(db: TestDatabase) {
    let app = TestApp::start(&db).await;
    let booking = paid(&app, "cs_1").await;
    for (n, amount) in [json!(-6000), json!(i64::MAX)].into_iter().enumerate() {
        // One that would be no case for its state.
        let mut dispute = events::dispute(&format!("dp_{n}"), "cs_1", 1, "warning_closed");
        dispute["amount"] = amount;
        tell(&app, &format!("evt_d{n}"), "charge.dispute.closed", dispute).await;
        assert_eq!(open_cases(&app).await.len(), n + 1);
    }
    assert_eq!(
        db.number("select coalesce(max(amount), 0) - coalesce(min(amount), 0) from disputes").await,
        0
    );
    assert_eq!(app.status(booking.id).await, Status::Paid);
    db.assert_sound().await;
}

async fn a_refund_of_an_unknown_payment_that_comes_back_after_its_case_was_closed_is_seen(db: TestDatabase) {
    let app = TestApp::start(&db).await;
    let mut nobody = app.pending_booking().await;
    nobody.id = BookingId::from(clock::new_id());
    let hour = async || {
        app.clock.advance(Duration::from_secs(3700));
        app.app.recorder.retry_due(&app.app.store).await.unwrap();
    };
    app.deliver(&app.paid("evt_1", &nobody, "cs_1")).await;
    hour().await;
    assert_eq!(open_cases(&app).await.len(), 1);
    // A person gave it back, and Stripe tells of that.
    db.execute("update cases set closed_at = created_at, resolution = 'refund', closed_by = 'ops'").await;
    db.execute("insert into refund_intents (id, scope, client_key, payment_intent_id, amount, currency, state, attempt, tries,
        stripe_refund_id, requested_by, created_at, updated_at)
        values ('0193b5a0-0000-7000-8000-0000000000aa', 'case:x', '0', 'pi_1', 6000, 'eur', 'done', 1, 1, 're_1', 'ops', 1, 1)").await;
    let told = |status: &str| {
        let mut refund = events::refund("re_1", "cs_1", 6000, status);
        refund["metadata"] = json!({ "instance": app.app.instance });
        refund
    };
    assert_eq!(tell(&app, "evt_2", "refund.created", told("pending")).await.outcome(), "processed");
    hour().await;
    assert_eq!(open_cases(&app).await.len(), 0, "what a person did is nothing new to them");
    tell(&app, "evt_3", "refund.failed", told("failed")).await;
    hour().await;
    let cases = open_cases(&app).await;
    assert_eq!(cases.len(), 1);
    assert!(cases[0].detail.en.contains("re_1"), "{:?}", cases[0].detail);
    dismiss_all(&app).await;
    tell(&app, "evt_4", "refund.updated", told("failed")).await;
    hour().await;
    assert_eq!(open_cases(&app).await.len(), 0, "a twin opens nothing");
    db.assert_sound().await;
}

async fn a_case_is_opened_again_for_what_happens_after_it_was_closed_and_not_for_a_copy(db: TestDatabase) {
    let app = TestApp::start(&db).await;
    let booking = app.pending_booking().await;
    let with = |id: &str, amount: i64| {
        let mut event = app.paid(id, &booking, "cs_1");
        for member in ["amount_subtotal", "amount_total"] {
            event["data"]["object"][member] = amount.into();
        }
        event
    };
    assert_eq!(app.deliver(&with("evt_1", 5000)).await.outcome(), "case");
    dismiss_all(&app).await;
    for id in ["evt_1", "evt_2"] {
        assert_eq!(app.deliver(&with(id, 5000)).await.outcome(), "duplicate");
    }
    assert_eq!(open_cases(&app).await.len(), 0);
    assert_eq!(app.deliver(&with("evt_3", 5001)).await.outcome(), "case");
    assert_eq!(open_cases(&app).await.len(), 1);
    let entry = db.texts("select id from payment_events where stripe_event_id = 'evt_1'").await.remove(0);
    checkout_backend::flow::replay::replay(&app.app, &entry, ADMIN).await.unwrap();
    assert_eq!(open_cases(&app).await.len(), 1, "nor does a replay");
    db.assert_sound().await;
}

async fn a_refund_told_for_two_payments_counts_for_the_first_and_is_a_case_of_the_other(db: TestDatabase) {
    let app = TestApp::start(&db).await;
    let (one, two) = (paid(&app, "cs_1").await, paid(&app, "cs_2").await);
    let told = |session: &str| events::refund("re_same", session, 6000, "succeeded");
    assert_eq!(tell(&app, "evt_1", "refund.created", told("cs_1")).await.outcome(), "processed");
    assert_eq!(tell(&app, "evt_2", "refund.created", told("cs_2")).await.outcome(), "case");
    assert_eq!(app.status(one.id).await, Status::Refunded);
    let other = app.booking(two.id).await;
    assert_eq!((other.status(), other.seat.is_some(), other.refunds.len()), (Status::Paid, true, 0));
    let status = format!("select status from bookings where id = '{}'", two.id);
    assert_eq!(db.texts(&status).await, ["payé"]);
    let cases = open_cases(&app).await;
    assert_eq!((cases.len(), cases[0].kind), (1, CaseKind::RefundMismatch));
    db.assert_sound().await;
}

async fn two_words_in_the_wrong_mode_raise_no_alarm(db: TestDatabase) {
    let app = TestApp::start(&db).await;
    let booking = app.pending_booking().await;
    for id in ["evt_1", "evt_2", "evt_3"] {
        let mut event = app.paid(id, &booking, "cs_1");
        event["livemode"] = true.into();
        app.deliver(&event).await;
    }
    assert_eq!(open_cases(&app).await.len(), 1);
    db.assert_sound().await;
}

async fn instances_whose_clocks_differ_raise_no_alarm(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let late = shop.app.clock.clone();
    let booking = paid(&shop.app, "cs_1").await;
    // The other instance's clock is behind.
    late.advance(Duration::from_secs(60));
    let made = shop.app.pending_booking().await;
    let behind =
        if matches!(db.store, store::Store::Postgres { .. }) { Some(shop.another().await) } else { None };
    let behind = behind.as_ref().unwrap_or(&shop.app);
    let ahead = shop.app.paid("evt_2", &made, "cs_2");
    assert_eq!(shop.app.deliver(&ahead).await.outcome(), "processed");
    assert_eq!(behind.deliver(&ahead).await.outcome(), "duplicate");
    for (n, booking) in [&booking, &made].into_iter().enumerate() {
        let session = format!("cs_{}", n + 1);
        let refund = events::refund(&format!("re_{n}"), &session, 1000, "succeeded");
        tell(behind, &format!("evt_r{n}"), "refund.created", refund).await;
        assert_eq!(shop.app.booking(booking.id).await.refunded_amount(), 1000);
    }
    db.assert_sound().await;
}

async fn what_the_doctor_says_to_look_at_is_there(db: TestDatabase) {
    let app = TestApp::start(&db).await;
    let booking = paid(&app, "cs_1").await;
    db.execute("update payment_events set last_delivered_at = received_at - 1").await;
    db.execute("update bookings set updated_at = created_at - 1").await;
    let findings = checkout_backend::flow::doctor::examine(&app.app).await;
    let fixes: Vec<_> = findings
        .iter()
        .filter(|finding| finding.check == "ledger")
        .map(|finding| finding.fix.clone())
        .collect();
    assert_eq!(fixes.len(), 1, "{fixes:?}");
    let fix = fixes[0].clone().unwrap_or_default();
    let entry = db.texts("select id from payment_events").await.remove(0);
    let ways =
        [format!("checkout-backend explain {}", booking.id), format!("checkout-backend events show {entry}")];
    assert!(ways.contains(&fix), "{fix}");
    db.execute("update bookings set updated_at = created_at").await;
    let findings = checkout_backend::flow::doctor::examine(&app.app).await;
    let fix =
        findings.iter().find(|finding| finding.check == "ledger").unwrap().fix.clone().unwrap_or_default();
    assert_eq!(fix, ways[1]);
}
