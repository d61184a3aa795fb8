//! A booking is called off, paid or not: the seat is free, and all, a part or nothing goes back, once.

use crate::harness::{TestDatabase, on_each_engine};
use crate::hours::post_form;
use crate::shop::{ADMIN, Checkout, FAILED_REFUND, Shop, VISA};
use checkout_backend::flow::call_off::{CallOffError, CalledOff, call_off};
use checkout_backend::flow::refund;
use domain::booking::Status;
use domain::cancel::GiveBack;
use domain::role::Role;
use serde_json::{Value, json};
use std::time::Duration;
use stripe_sim::ApiFaultKind;

on_each_engine! {
    all_a_part_or_nothing_goes_back_and_the_seat_is_free,
    the_same_again_changes_nothing_and_tells_how_it_stands,
    what_cannot_be_read_is_told_and_changes_nothing,
    without_saying_what_goes_back_a_paid_booking_is_not_called_off,
    a_booking_that_is_paid_while_it_is_called_off_gives_back_what_was_said,
    the_refund_is_found_out_about_by_whoever_is_there,
    a_refund_that_stripe_refuses_leaves_the_booking_off_and_says_so,
    a_refund_that_comes_back_takes_no_seat_again,
    ten_people_at_once_give_back_no_more_than_was_paid,
    what_the_bank_decides_about_is_not_given_back,
    the_customer_is_told_once,
    a_person_reviews_it_before_it_is_done,
}

async fn off(shop: &Shop, checkout: &Checkout, wish: GiveBack) -> Result<CalledOff, CallOffError> {
    call_off(&shop.app.app, checkout.booking, Some(wish), "", ADMIN).await
}

async fn post(shop: &Shop, checkout: &Checkout, body: &Value) -> (u16, Value) {
    let admin = shop.app.person(Role::Admin).await;
    let path = format!("/api/bookings/{}/cancel", checkout.booking);
    let answer = shop.app.post_json(&path, body, &[("cookie", admin.cookie.as_str())]).await;
    (answer.status, answer.json())
}

async fn all_a_part_or_nothing_goes_back_and_the_seat_is_free(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    for (wish, status, back) in [
        (json!("all"), "remboursé", 6000),
        (json!(1500), "partiellement remboursé", 1500),
        (json!(6000), "remboursé", 6000),
        (json!("none"), "payé", 0),
    ] {
        let checkout = shop.paid().await;
        let (answered, json) =
            post(&shop, &checkout, &json!({ "refund": wish, "reason": " ill, = 1 " })).await;
        assert_eq!(answered, 200, "{json}");
        let booking = &json["booking"];
        assert_eq!((&booking["status"], &booking["amountRefunded"]), (&json!(status), &json!(back)));
        assert_eq!((&booking["seat"], &booking["cancelReason"]), (&json!(null), &json!("ill, = 1")));
        assert!(booking["cancelledAt"].is_string(), "{json}");
        assert_eq!(json["refund"]["amount"].as_i64().unwrap_or(0), back);
        let at_stripe: i64 = shop
            .refunds_at_stripe(&checkout)
            .await
            .iter()
            .map(|refund| refund["amount"].as_i64().unwrap())
            .sum();
        assert_eq!(at_stripe, back);
        // Somebody else takes the seat, and what Stripe tells afterwards takes it from nobody.
        let slot = shop.booking(&checkout).await.slot;
        let mut request = Shop::request();
        (request.date, request.time) = (slot.date().to_string(), slot.time_text());
        let next = shop.book_as(&request).await;
        shop.pay(&next, VISA).await;
        shop.deliver_all().await;
        assert_eq!(shop.status(&next).await, Status::Paid);
        assert_eq!(shop.booking(&checkout).await.seat, None);
    }
    shop.assert_sound().await;
}

async fn the_same_again_changes_nothing_and_tells_how_it_stands(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let checkout = shop.paid().await;
    let first = off(&shop, &checkout, GiveBack::Part(1000)).await.unwrap();
    let again = off(&shop, &checkout, GiveBack::Part(1000)).await.unwrap();
    assert_eq!(first.refund.unwrap().stripe_refund_id, again.refund.unwrap().stripe_refund_id);
    for another in [GiveBack::All, GiveBack::Nothing, GiveBack::Part(999)] {
        assert!(matches!(off(&shop, &checkout, another).await, Err(CallOffError::Already)), "{another:?}");
    }
    // What is to go back besides is a refund like any other.
    refund::refund(&shop.app.app, checkout.booking, Some(500), "more", ADMIN).await.unwrap();
    assert_eq!(shop.booking(&checkout).await.refunded_amount(), 1500);

    let checkout = shop.paid().await;
    for _ in 0..2 {
        assert!(off(&shop, &checkout, GiveBack::Nothing).await.unwrap().refund.is_none());
    }
    assert!(matches!(off(&shop, &checkout, GiveBack::All).await, Err(CallOffError::Already)));
}

async fn what_cannot_be_read_is_told_and_changes_nothing(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let checkout = shop.paid().await;
    for (body, status, named) in [
        (json!({ "refund": "half" }), 400, "refund"),
        (json!({ "refund": 0 }), 400, "refund"),
        (json!({ "refund": -1 }), 400, "refund"),
        (json!({ "refund": 1.5 }), 400, "refund"),
        (json!({ "refund": true }), 400, "refund"),
        (json!({ "refund": "none", "reason": 5 }), 400, "reason"),
        (json!({ "refund": "none", "reason": "x".repeat(501) }), 400, "reason"),
        (json!({ "refund": "none", "amount": 5 }), 400, "amount"),
        (json!({ "refund": 6001 }), 422, "60"),
    ] {
        let (answered, json) = post(&shop, &checkout, &body).await;
        assert_eq!(answered, status, "{body}: {json}");
        assert!(json.to_string().contains(named), "{body}: {json}");
    }
    let booking = shop.booking(&checkout).await;
    assert_eq!((booking.status(), booking.seat, booking.cancelled), (Status::Paid, Some(1), None));
    assert!(shop.refunds_at_stripe(&checkout).await.is_empty());
}

async fn without_saying_what_goes_back_a_paid_booking_is_not_called_off(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let checkout = shop.paid().await;
    let (status, json) = post(&shop, &checkout, &json!({ "reason": "ill" })).await;
    assert_eq!(status, 409);
    assert!(json["detail"].as_str().unwrap().contains("\"all\", \"none\""), "{json}");
    // An unpaid one has nothing to give back.
    let unpaid = shop.book().await;
    assert_eq!(post(&shop, &unpaid, &json!({ "refund": 100 })).await.0, 409);
    let (status, json) = post(&shop, &unpaid, &json!({ "refund": "all", "reason": "ill" })).await;
    assert_eq!((status, json["booking"]["status"].as_str()), (200, Some("annulé")));
    assert_eq!((&json["refund"], &json["booking"]["cancelReason"]), (&json!(null), &json!("ill")));
}

/// The webhook has not come yet: that it is paid is learned from Stripe on the way.
async fn a_booking_that_is_paid_while_it_is_called_off_gives_back_what_was_said(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let checkout = shop.book().await;
    shop.pay(&checkout, VISA).await;
    assert_eq!(shop.status(&checkout).await, Status::Pending);
    let done = off(&shop, &checkout, GiveBack::All).await.unwrap();
    assert_eq!((done.booking.status(), done.booking.seat), (Status::Refunded, None));
    shop.deliver_all().await;
    assert_eq!(shop.refunds_at_stripe(&checkout).await.len(), 1);
    shop.assert_sound().await;
}

async fn the_refund_is_found_out_about_by_whoever_is_there(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let checkout = shop.paid().await;
    shop.fault(ApiFaultKind::ResetBefore, "POST", "/v1/refunds", None);
    let (status, json) = post(&shop, &checkout, &json!({ "refund": "all" })).await;
    assert_eq!((status, json["refund"]["state"].as_str()), (202, Some("open")));
    assert_eq!(json["booking"]["seat"], json!(null), "the seat is free at once");
    assert_eq!(post(&shop, &checkout, &json!({ "refund": "all" })).await.0, 202);
    shop.no_faults();
    let next = shop.another().await;
    next.clock.advance(Duration::from_secs(180));
    refund::resolve_due(&next.app).await.unwrap();
    assert_eq!(post(&shop, &checkout, &json!({ "refund": "all" })).await.0, 200);
    assert_eq!(shop.status(&checkout).await, Status::Refunded);
    assert_eq!(shop.refunds_at_stripe(&checkout).await.len(), 1);
    shop.assert_sound().await;
}

async fn a_refund_that_stripe_refuses_leaves_the_booking_off_and_says_so(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let checkout = shop.paid().await;
    // Somebody refunded it in Stripe's dashboard, and we do not know yet.
    let intent = shop.booking(&checkout).await.payment().unwrap().intent.clone().unwrap();
    shop.app.app.stripe.create_refund(&[("payment_intent", intent.as_str())], "x").await.unwrap();
    for _ in 0..2 {
        let (status, json) = post(&shop, &checkout, &json!({ "refund": "all" })).await;
        assert_eq!(status, 409);
        assert!(json["detail"].as_str().unwrap().starts_with("the booking is called off"), "{json}");
    }
    let booking = shop.booking(&checkout).await;
    assert!(booking.is_called_off() && booking.seat.is_none());
    shop.deliver_all().await;
    assert_eq!(shop.status(&checkout).await, Status::Refunded);
    shop.assert_sound().await;
}

async fn a_refund_that_comes_back_takes_no_seat_again(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let checkout = shop.book().await;
    // The card whose refunds come back after a while.
    shop.pay(&checkout, FAILED_REFUND).await;
    shop.deliver_all().await;
    off(&shop, &checkout, GiveBack::All).await.unwrap();
    shop.deliver_all().await;
    shop.advance(Duration::from_secs(3600));
    assert_eq!(shop.refunds_at_stripe(&checkout).await[0]["status"], "failed");
    shop.deliver_all().await;
    let booking = shop.booking(&checkout).await;
    assert_eq!((booking.status(), booking.seat), (Status::Paid, None));
    // Its money is still to go back: a person is told.
    assert_eq!(db.number("select count(*) from cases where closed_at is null").await, 1);
    shop.assert_sound().await;
}

async fn ten_people_at_once_give_back_no_more_than_was_paid(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let checkout = shop.paid().await;
    let keys: Vec<_> = (0..5).map(|n| format!("key-{n}")).collect();
    let refunds = keys.iter().map(async |key| {
        refund::refund(&shop.app.app, checkout.booking, Some(2500), key, ADMIN).await.is_ok()
    });
    let called_off = (0..5).map(async |_| off(&shop, &checkout, GiveBack::Part(2500)).await.is_ok());
    let (refunds, called_off) =
        tokio::join!(futures_util::future::join_all(refunds), futures_util::future::join_all(called_off));
    let refunds = refunds.into_iter().filter(|done| *done).count();
    let off_at_all = called_off.iter().any(|done| *done);
    assert!(called_off.iter().all(|done| *done == off_at_all), "once for all of them, or for none");
    assert_eq!(refunds + usize::from(off_at_all), 2);
    assert_eq!(shop.refunds_at_stripe(&checkout).await.len(), 2);
    shop.deliver_all().await;
    assert_eq!(shop.booking(&checkout).await.refunded_amount(), 5000);
    shop.assert_sound().await;
}

async fn what_the_bank_decides_about_is_not_given_back(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let checkout = shop.book().await;
    // The card whose payment is disputed as soon as it is made.
    shop.pay(&checkout, "4000000000000259").await;
    shop.deliver_all().await;
    assert_eq!(shop.status(&checkout).await, Status::Disputed);
    assert!(matches!(off(&shop, &checkout, GiveBack::All).await, Err(CallOffError::Disputed)));
    let done = off(&shop, &checkout, GiveBack::Nothing).await.unwrap();
    assert_eq!((done.booking.status(), done.booking.seat), (Status::Disputed, None));
    shop.assert_sound().await;
}

async fn the_customer_is_told_once(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let checkout = shop.paid().await;
    for _ in 0..2 {
        off(&shop, &checkout, GiveBack::Nothing).await.unwrap();
    }
    assert_eq!(db.number("select count(*) from outbox where kind = 'booking.cancelled'").await, 1);
    let story = checkout_backend::flow::explain::story(
        &shop.app.app.store,
        checkout.booking,
        domain::lang::Lang::En,
        &shop.app.app.config.timezone,
    );
    let story = story.await.unwrap().unwrap().lines().join("\n");
    assert_eq!(story.matches("The booking was cancelled").count(), 1, "{story}");
}

async fn a_person_reviews_it_before_it_is_done(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let checkout = shop.paid().await;
    let admin = shop.app.person(Role::Admin).await;
    let page = format!("/dashboard/bookings/{}", checkout.booking);
    let cancel = format!("{page}/cancel");
    let shown = shop.app.get_as(&admin.cookie, &page).await.body;
    assert!(shown.contains(&cancel), "the form is there");
    let typed = [("amount", "15,00"), ("reason", "<ill>"), ("confirmed", "yes")];
    let review = post_form(&shop.app, &admin.cookie, &cancel, &typed[..2]).await;
    assert_eq!(review.status, 200);
    assert!(review.body.contains("15,00") && review.body.contains("&#60;ill&#62;"), "{}", review.body);
    assert_eq!(shop.booking(&checkout).await.cancelled, None, "nothing is done yet");
    let done = post_form(&shop.app, &admin.cookie, &cancel, &typed).await;
    assert_eq!(done.status, 303, "{}", done.body);
    let booking = shop.booking(&checkout).await;
    assert_eq!(
        (booking.status(), booking.cancelled.unwrap().reason.as_str()),
        (Status::PartiallyRefunded, "<ill>")
    );
    let shown = shop.app.get_as(&admin.cookie, &page).await.body;
    assert!(shown.contains("annulé, partiellement remboursé") && !shown.contains(&cancel));
    let nonsense = post_form(&shop.app, &admin.cookie, &cancel, &[("amount", "much")]).await;
    assert_eq!(nonsense.status, 400);
}
