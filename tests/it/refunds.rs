//! Money goes back once, never more than was paid, and every uncertain answer is found out about.

use crate::harness::{TestDatabase, on_each_engine};
use crate::shop::{ADMIN, Checkout, Shop};
use checkout_backend::flow::accounts::Actor;
use checkout_backend::flow::refund::{self, RefundError};
use domain::booking::Status;
use domain::role::Role;
use serde_json::json;
use std::time::Duration;
use store::refund_intents::{IntentState, RefundIntent};
use stripe_sim::ApiFaultKind;

on_each_engine! {
    a_part_then_the_rest_goes_back_and_the_seat_with_it,
    more_than_is_left_is_refused,
    the_same_key_gives_the_same_refund,
    a_key_of_somebody_else_gives_neither_their_refund_nor_a_second_one,
    of_many_refunds_at_once_never_more_than_the_payment_goes_back,
    a_lost_answer_is_found_out_about_and_nothing_is_sent_twice,
    a_request_that_never_arrived_is_made_later,
    an_error_that_stripe_keeps_for_the_key_gets_another_key_after_a_look,
    a_crash_between_intent_and_answer_is_resolved_by_the_next_process,
    a_refusal_is_told_and_leaves_nothing_open,
    what_stripe_refuses_is_looked_into_at_once,
    a_refusal_that_follows_a_lost_answer_is_no_refusal_if_the_refund_was_made,
    only_an_admin_refunds_and_only_with_a_key,
    an_unpaid_booking_is_cancelled_after_its_session,
}

async fn refund(
    shop: &Shop,
    checkout: &Checkout,
    amount: Option<i64>,
    key: &str,
) -> Result<RefundIntent, RefundError> {
    refund::refund(&shop.app.app, checkout.booking, amount, key, ADMIN).await
}

async fn a_part_then_the_rest_goes_back_and_the_seat_with_it(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let checkout = shop.paid().await;
    let part = refund(&shop, &checkout, Some(1000), "a").await.unwrap();
    assert_eq!((part.state, part.amount), (IntentState::Done, 1000));
    assert_eq!(shop.status(&checkout).await, Status::PartiallyRefunded);
    assert_eq!(shop.booking(&checkout).await.seat, Some(1));
    let rest = refund(&shop, &checkout, None, "b").await.unwrap();
    assert_eq!(rest.amount, 5000);
    let booking = shop.booking(&checkout).await;
    assert_eq!((booking.status(), booking.seat), (Status::Refunded, None));
    // What Stripe tells of it afterwards is known.
    shop.deliver_all().await;
    assert_eq!(shop.booking(&checkout).await.refunded_amount(), 6000);
    assert_eq!(db.number("select count(*) from refunds").await, 2);
    shop.assert_sound().await;
}

async fn more_than_is_left_is_refused(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let checkout = shop.paid().await;
    refund(&shop, &checkout, Some(4000), "a").await.unwrap();
    let error = refund(&shop, &checkout, Some(2001), "b").await.unwrap_err();
    assert!(matches!(&error, RefundError::TooMuch { left } if left.amount == 2000), "{error}");
    assert!(matches!(refund(&shop, &checkout, Some(0), "c").await, Err(RefundError::NotAnAmount)));
    let unpaid = shop.book().await;
    assert!(matches!(refund(&shop, &unpaid, None, "d").await, Err(RefundError::NothingPaid)));
    assert_eq!(shop.refunds_at_stripe(&checkout).await.len(), 1);
}

async fn the_same_key_gives_the_same_refund(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let checkout = shop.paid().await;
    let first = refund(&shop, &checkout, Some(1000), "key").await.unwrap();
    let again = refund(&shop, &checkout, Some(1000), "key").await.unwrap();
    assert_eq!((first.id, first.stripe_refund_id), (again.id, again.stripe_refund_id));
    assert!(matches!(refund(&shop, &checkout, Some(999), "key").await, Err(RefundError::KeyReused)));
    assert_eq!(shop.refunds_at_stripe(&checkout).await.len(), 1);
}

async fn a_key_of_somebody_else_gives_neither_their_refund_nor_a_second_one(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let checkout = shop.paid().await;
    refund(&shop, &checkout, Some(1000), "1").await.unwrap();
    let other = Actor { name: "other@example.org", request_id: None };
    let theirs = refund::refund(&shop.app.app, checkout.booking, Some(1000), "1", other).await;
    assert!(matches!(theirs, Err(RefundError::KeyReused)), "{theirs:?}");
    assert_eq!(shop.refunds_at_stripe(&checkout).await.len(), 1);
    refund::refund(&shop.app.app, checkout.booking, Some(1000), "2", other).await.unwrap();
    assert_eq!(shop.refunds_at_stripe(&checkout).await.len(), 2);
}

async fn of_many_refunds_at_once_never_more_than_the_payment_goes_back(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let checkout = shop.paid().await;
    let keys: Vec<_> = (0..10).map(|n| format!("key-{n}")).collect();
    let refunds = keys.iter().map(|key| refund(&shop, &checkout, Some(2500), key));
    let results = futures_util::future::join_all(refunds).await;
    let made = results.iter().filter(|result| result.is_ok()).count();
    assert_eq!(made, 2, "{results:?}");
    assert_eq!(shop.refunds_at_stripe(&checkout).await.len(), 2);
    assert_eq!(shop.booking(&checkout).await.refunded_amount(), 5000);
}

async fn a_lost_answer_is_found_out_about_and_nothing_is_sent_twice(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let checkout = shop.paid().await;
    shop.fault(ApiFaultKind::ResetAfter, "POST", "/v1/refunds", None);
    let intent = refund(&shop, &checkout, None, "a").await.unwrap();
    // The list told of it at once.
    assert_eq!(intent.state, IntentState::Done);
    assert_eq!(shop.refunds_at_stripe(&checkout).await.len(), 1);
    assert_eq!(shop.status(&checkout).await, Status::Refunded);
}

async fn a_request_that_never_arrived_is_made_later(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let checkout = shop.paid().await;
    shop.fault(ApiFaultKind::ResetBefore, "POST", "/v1/refunds", None);
    let intent = refund(&shop, &checkout, None, "a").await.unwrap();
    assert_eq!(intent.state, IntentState::Open);
    assert_eq!(shop.status(&checkout).await, Status::Paid);
    let more = refund(&shop, &checkout, Some(1), "b").await.unwrap_err();
    assert!(matches!(more, RefundError::TooMuch { .. }), "an open intent counts: {more}");
    shop.no_faults();
    assert_eq!(refund::resolve_due(&shop.app.app).await.unwrap(), 0, "not due yet");
    shop.advance(Duration::from_secs(10));
    assert_eq!(refund::resolve_due(&shop.app.app).await.unwrap(), 1);
    assert_eq!(shop.status(&checkout).await, Status::Refunded);
    assert_eq!(shop.refunds_at_stripe(&checkout).await.len(), 1);
    assert_eq!(refund(&shop, &checkout, None, "a").await.unwrap().state, IntentState::Done);
}

async fn an_error_that_stripe_keeps_for_the_key_gets_another_key_after_a_look(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let checkout = shop.paid().await;
    shop.fault(ApiFaultKind::ServerErrorStored, "POST", "/v1/refunds", Some(1));
    let intent = refund(&shop, &checkout, None, "a").await.unwrap();
    assert_eq!(intent.state, IntentState::Open);
    shop.no_faults();
    shop.advance(Duration::from_secs(60));
    refund::resolve_due(&shop.app.app).await.unwrap();
    assert_eq!(shop.status(&checkout).await, Status::Refunded);
    assert_eq!(shop.refunds_at_stripe(&checkout).await.len(), 1);
}

async fn a_crash_between_intent_and_answer_is_resolved_by_the_next_process(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let checkout = shop.paid().await;
    let app = shop.app.app.clone();
    let booking = checkout.booking;
    // Stripe takes its time, and does it; nobody is there any more to hear so.
    shop.fault(ApiFaultKind::ResetAfter, "POST", "/v1/refunds", None);
    let asking = tokio::spawn(async move { refund::refund(&app, booking, None, "a", ADMIN).await.is_ok() });
    crate::harness::eventually("Stripe was asked", async || {
        shop.sim.request_log().iter().any(|request| request.method == "POST" && request.path == "/v1/refunds")
    })
    .await;
    asking.abort();
    let _ = asking.await;
    shop.no_faults();
    let next = shop.another().await;
    next.clock.advance(Duration::from_secs(180));
    refund::resolve_due(&next.app).await.unwrap();
    assert_eq!(db.texts("select state from refund_intents").await, ["done"]);
    assert_eq!(shop.refunds_at_stripe(&checkout).await.len(), 1);
    assert_eq!(shop.status(&checkout).await, Status::Refunded);
    shop.assert_sound().await;
}

async fn a_refusal_is_told_and_leaves_nothing_open(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let checkout = shop.paid().await;
    // Somebody refunded it in Stripe's dashboard, and we do not know yet.
    let intent = shop.booking(&checkout).await.payment().unwrap().intent.clone().unwrap();
    shop.app.app.stripe.create_refund(&[("payment_intent", intent.as_str())], "x").await.unwrap();
    let error = refund(&shop, &checkout, None, "a").await.unwrap_err();
    assert!(matches!(&error, RefundError::Refused(why) if why.contains("refunded")), "{error}");
    assert_eq!(db.texts("select state from refund_intents").await, ["refused"]);
    assert!(matches!(refund(&shop, &checkout, None, "a").await, Err(RefundError::Refused(_))));
}

async fn what_stripe_refuses_is_looked_into_at_once(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let checkout = shop.paid().await;
    shop.advance(Duration::from_secs(3600));
    checkout_backend::flow::reconcile::check_due(&shop.app.app).await.unwrap();
    let intent = shop.booking(&checkout).await.payment().unwrap().intent.clone().unwrap();
    // In Stripe's dashboard, and its webhook was lost.
    shop.app.app.stripe.create_refund(&[("payment_intent", intent.as_str())], "x").await.unwrap();
    refund(&shop, &checkout, None, "a").await.unwrap_err();
    assert_eq!(checkout_backend::flow::reconcile::check_due(&shop.app.app).await.unwrap(), 1);
    let booking = shop.booking(&checkout).await;
    assert_eq!((booking.status(), booking.seat), (Status::Refunded, None));
    shop.assert_sound().await;
}

/// Our first request was carried out, but late: when its answer was lost, the list did not tell of it yet.
async fn a_refusal_that_follows_a_lost_answer_is_no_refusal_if_the_refund_was_made(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let checkout = shop.paid().await;
    shop.fault(ApiFaultKind::ResetBefore, "POST", "/v1/refunds", None);
    let intent = refund(&shop, &checkout, None, "a").await.unwrap();
    assert_eq!(intent.state, IntentState::Open);
    shop.no_faults();
    let form = [
        ("payment_intent", intent.payment_intent.as_str()),
        ("metadata[refund_intent]", &intent.id.to_string()),
    ];
    shop.app.app.stripe.create_refund(&form, "carried out after all").await.unwrap();
    // The next look does not see it either, and the request that follows is refused.
    shop.fault(ApiFaultKind::Html, "GET", "/v1/refunds", Some(3));
    shop.advance(Duration::from_secs(10));
    refund::resolve_due(&shop.app.app).await.unwrap();
    shop.no_faults();
    shop.advance(Duration::from_secs(60));
    refund::resolve_due(&shop.app.app).await.unwrap();
    assert_eq!(db.texts("select state from refund_intents").await, ["done"]);
    assert_eq!(shop.refunds_at_stripe(&checkout).await.len(), 1);
    assert_eq!(shop.status(&checkout).await, Status::Refunded);
    shop.assert_sound().await;
}

async fn only_an_admin_refunds_and_only_with_a_key(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let checkout = shop.paid().await;
    let path = format!("/api/bookings/{}/refund", checkout.booking);
    let ops = shop.app.person(Role::Ops).await;
    let admin = shop.app.person(Role::Admin).await;
    let key = ("idempotency-key", "k1");
    let half = json!({ "amount": 3000 });
    assert_eq!(shop.app.post_json(&path, &half, &[key]).await.status, 401);
    let cookie = ("cookie", ops.cookie.as_str());
    assert_eq!(shop.app.post_json(&path, &half, &[key, cookie]).await.status, 403);
    let cookie = ("cookie", admin.cookie.as_str());
    let answer = shop.app.post_json(&path, &half, &[cookie]).await;
    assert_eq!((answer.status, answer.json()["details"][0]["path"].as_str()), (400, Some("Idempotency-Key")));
    for bad in [json!({"amount": 0}), json!({"amount": -5}), json!({"amount": 1.5}), json!({"sum": 1})] {
        assert_eq!(shop.app.post_json(&path, &bad, &[key, cookie]).await.status, 400, "{bad}");
    }
    let answer = shop.app.post_json(&path, &half, &[key, cookie]).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.json()["booking"]["status"], "partiellement remboursé");
    let again = shop.app.post_json(&path, &half, &[key, cookie]).await;
    assert_eq!(again.json()["refund"]["id"], answer.json()["refund"]["id"]);
    assert_eq!(shop.app.post_json(&path, &json!({"amount": 1}), &[key, cookie]).await.status, 422);
    let more =
        shop.app.post_json(&path, &json!({"amount": 3001}), &[("idempotency-key", "k2"), cookie]).await;
    assert_eq!(more.status, 422);
    let nowhere = "/api/bookings/01890a5d-ac96-774b-bcce-b302099a8057/refund";
    assert_eq!(shop.app.post_json(nowhere, &half, &[key, cookie]).await.status, 404);
    assert_eq!(db.number("select count(*) from audit_log where action = 'refund.made'").await, 1);
}

async fn an_unpaid_booking_is_cancelled_after_its_session(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let checkout = shop.book().await;
    let admin = shop.app.person(Role::Admin).await;
    let cookie = ("cookie", admin.cookie.as_str());
    let path = format!("/api/bookings/{}/cancel", checkout.booking);
    let answer = shop.app.post_json(&path, &json!({}), &[cookie]).await;
    assert_eq!((answer.status, answer.json()["booking"]["status"].as_str()), (200, Some("annulé")));
    assert_eq!(shop.booking(&checkout).await.seat, None);
    assert_eq!(shop.sim.object(&checkout.session).unwrap()["status"], "expired");
    // Stripe's own word for it comes late and changes nothing.
    shop.deliver_all().await;
    assert_eq!(shop.status(&checkout).await, Status::Cancelled);
    assert_eq!(shop.app.post_json(&path, &json!({}), &[cookie]).await.status, 200, "again changes nothing");
    let paid = shop.paid().await;
    let answer =
        shop.app.post_json(&format!("/api/bookings/{}/cancel", paid.booking), &json!({}), &[cookie]).await;
    assert_eq!(answer.status, 409);
    shop.assert_sound().await;
}
