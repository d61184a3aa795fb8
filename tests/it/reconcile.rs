//! What was never delivered is found all the same: by the events feed, by the objects themselves, by
//! asking about each booking that waits.

use crate::harness::{TestDatabase, eventually, on_each_engine};
use crate::shop::{HOLD, Shop, VISA};
use checkout_backend::domain::booking::{RefundStatus, Status};
use checkout_backend::domain::ids::SessionId;
use checkout_backend::flow::reconcile::{self, Options};
use checkout_backend::stripe::sim::ApiFaultKind;
use futures_util::StreamExt;
use std::time::Duration;

on_each_engine! {
    a_long_outage_is_healed_by_the_feed_alone,
    a_long_outage_is_healed_by_the_objects_alone,
    healing_meets_live_deliveries_and_another_instance,
    a_dry_run_changes_nothing_and_tells_what_would_change,
    the_feed_goes_on_from_where_it_was_read,
    a_feed_that_breaks_off_keeps_its_place,
    a_session_that_was_made_without_our_hearing_of_it_is_found,
    a_booking_without_a_session_gives_its_seat_back_only_by_stripes_list,
    a_hold_that_is_over_is_ended_at_stripe_first,
    a_hold_does_not_end_while_stripe_is_silent,
    a_delayed_payment_that_fails_is_found_by_asking,
    the_refunds_behind_a_refunded_charge_are_listed,
    a_visitor_makes_us_ask_once_in_five_seconds,
}

const FEED: Options = Options { since: None, dry_run: false, feed: true, objects: false };
const OBJECTS: Options = Options { since: None, dry_run: false, feed: false, objects: true };
const OUTAGE: Duration = Duration::from_secs(72 * 3600);

/// A shop in which `count` bookings were paid while it could not be told.
async fn after_an_outage(db: &TestDatabase, count: usize) -> Shop {
    let shop = Shop::open(db).await;
    let requests: Vec<_> = (0..count).map(|_| Shop::request()).collect();
    futures_util::stream::iter(&requests)
        .for_each_concurrent(16, async |request| {
            let checkout = shop.book_as(request).await;
            shop.pay(&checkout, VISA).await;
        })
        .await;
    shop.advance(OUTAGE);
    shop
}

async fn paid(db: &TestDatabase) -> i64 {
    db.number("select count(*) from bookings where status = 'payé'").await
}

async fn a_long_outage_is_healed_by_the_feed_alone(db: TestDatabase) {
    let shop = after_an_outage(&db, 1000).await;
    let report = shop.reconcile(FEED).await;
    assert_eq!((report.healed_count, report.failures.len()), (1000, 0), "{:?}", report.failures);
    assert_eq!(paid(&db).await, 1000);
    let again = shop.reconcile(FEED).await;
    assert_eq!((again.healed_count, again.remaining), (0, 0));
    shop.assert_sound().await;
}

async fn a_long_outage_is_healed_by_the_objects_alone(db: TestDatabase) {
    let shop = after_an_outage(&db, 300).await;
    let report = shop.reconcile(OBJECTS).await;
    assert_eq!((report.healed_count, report.failures.len()), (300, 0), "{:?}", report.failures);
    assert_eq!(paid(&db).await, 300);
    assert_eq!(shop.reconcile(OBJECTS).await.healed_count, 0);
    assert_eq!(shop.reconcile(FEED).await.healed_count, 0, "the feed tells nothing new either");
    shop.assert_sound().await;
}

async fn healing_meets_live_deliveries_and_another_instance(db: TestDatabase) {
    let shop = after_an_outage(&db, 100).await;
    let other = shop.another().await;
    other.clock.advance(OUTAGE);
    let deliveries = async {
        for event in shop.sim.events() {
            assert_eq!(shop.app.deliver(&event).await.status, 200);
        }
    };
    let (mine, theirs, ()) =
        tokio::join!(reconcile::run(&shop.app.app, FEED), reconcile::run(&other.app, OBJECTS), deliveries);
    assert!(mine.unwrap().failures.is_empty());
    assert!(theirs.unwrap().failures.is_empty());
    assert_eq!(paid(&db).await, 100);
    assert_eq!(db.number("select count(*) from payment_events where applied_payment").await, 100);
    assert_eq!(db.number("select count(*) from outbox where kind = 'booking.paid'").await, 100);
    assert_eq!(shop.reconcile(Options::default()).await.healed_count, 0);
    shop.assert_sound().await;
}

async fn a_dry_run_changes_nothing_and_tells_what_would_change(db: TestDatabase) {
    let shop = after_an_outage(&db, 3).await;
    let rows = db.number("select count(*) from payment_events").await;
    let report = shop.reconcile(Options { dry_run: true, ..OBJECTS }).await;
    assert_eq!(report.healed_count, 3);
    let first = &report.healed[0];
    assert_eq!((first.before, first.after), (Some(Status::Pending), Some(Status::Paid)));
    let report = shop.reconcile(Options { dry_run: true, ..FEED }).await;
    assert_eq!(report.healed_count, 3);
    assert_eq!(paid(&db).await, 0);
    assert_eq!(db.number("select count(*) from payment_events").await, rows);
    assert_eq!(shop.reconcile(FEED).await.healed_count, 3, "and the cursor was not moved");
}

async fn the_feed_goes_on_from_where_it_was_read(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let first = shop.book().await;
    shop.pay(&first, VISA).await;
    let every = Duration::from_secs(180);
    assert_eq!(reconcile::follow_feed(&shop.app.app, every).await.unwrap().healed_count, 1);
    let not_due = reconcile::follow_feed(&shop.app.app, every).await.unwrap();
    assert_eq!(not_due.events, 0);
    shop.advance(Duration::from_secs(3600));
    let second = shop.book().await;
    shop.pay(&second, VISA).await;
    let report = reconcile::follow_feed(&shop.app.app, every).await.unwrap();
    assert_eq!((report.events, report.healed_count), (2, 1), "ten minutes before the last are read again");
    assert_eq!(shop.status(&second).await, Status::Paid);
}

async fn a_feed_that_breaks_off_keeps_its_place(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let checkout = shop.book().await;
    shop.pay(&checkout, VISA).await;
    shop.fault(ApiFaultKind::Html, "GET", "/v1/events", None);
    let report = shop.reconcile(FEED).await;
    assert_eq!(report.failures.len(), 1, "{report:?}");
    assert_eq!(shop.status(&checkout).await, Status::Pending);
    shop.no_faults();
    assert_eq!(shop.reconcile(FEED).await.healed_count, 1);
    assert_eq!(shop.status(&checkout).await, Status::Paid);
}

async fn a_session_that_was_made_without_our_hearing_of_it_is_found(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let checkout = shop.book().await;
    // As after a crash between Stripe's answer and our writing it down.
    db.execute("update bookings set stripe_session_id = null, session_url = null, next_check_at = 0").await;
    assert_eq!(reconcile::check_due(&shop.app.app).await.unwrap(), 1);
    let session = shop.booking(&checkout).await.session;
    assert_eq!(session, Some(SessionId::parse(&checkout.session).unwrap()));
    assert_eq!(shop.status(&checkout).await, Status::Pending);
}

async fn a_booking_without_a_session_gives_its_seat_back_only_by_stripes_list(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let booking = shop.app.pending_booking().await;
    let due = "update bookings set next_check_at = 0";
    db.execute(due).await;
    reconcile::check_due(&shop.app.app).await.unwrap();
    assert_eq!(shop.app.status(booking.id).await, Status::Pending, "its checkout may still be made");
    shop.advance(HOLD);
    db.execute(due).await;
    shop.fault(ApiFaultKind::Html, "GET", "/v1/checkout/sessions", None);
    reconcile::check_due(&shop.app.app).await.unwrap_err();
    assert_eq!(shop.app.status(booking.id).await, Status::Pending, "not knowing ends no hold");
    shop.no_faults();
    db.execute(due).await;
    reconcile::check_due(&shop.app.app).await.unwrap();
    let booking = shop.app.booking(booking.id).await;
    assert_eq!((booking.status(), booking.seat), (Status::Expired, None));
    assert_eq!(db.texts("select reason from payment_events").await, ["no_session_made"]);
    shop.assert_sound().await;
}

async fn a_hold_that_is_over_is_ended_at_stripe_first(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let checkout = shop.book().await;
    // Only our clock: at Stripe the session is open still.
    shop.app.clock.advance(HOLD);
    reconcile::check_due(&shop.app.app).await.unwrap();
    let booking = shop.booking(&checkout).await;
    assert_eq!((booking.status(), booking.seat), (Status::Expired, None));
    assert_eq!(shop.sim.object(&checkout.session).unwrap()["status"], "expired");
    assert_eq!(db.number("select count(*) from bookings where next_check_at is not null").await, 0);
}

async fn a_hold_does_not_end_while_stripe_is_silent(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let checkout = shop.book().await;
    shop.advance(HOLD);
    shop.fault(ApiFaultKind::Html, "GET", "/v1/checkout", None);
    reconcile::check_due(&shop.app.app).await.unwrap_err();
    assert_eq!(shop.booking(&checkout).await.seat, Some(1));
    assert_eq!(db.number("select count(*) from bookings where next_check_at is not null").await, 1);
}

async fn a_delayed_payment_that_fails_is_found_by_asking(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let checkout = shop.book().await;
    shop.pay(&checkout, "sepa_debit").await;
    shop.reconcile(OBJECTS).await;
    assert_eq!(shop.status(&checkout).await, Status::Processing);
    assert_eq!(shop.booking(&checkout).await.seat, Some(1), "the seat stays held");
    assert!(shop.sim.settle(&checkout.session, false));
    let report = shop.reconcile(OBJECTS).await;
    assert_eq!(report.healed_count, 1, "{report:?}");
    let booking = shop.booking(&checkout).await;
    assert_eq!((booking.status(), booking.seat), (Status::Failed, None));
}

async fn the_refunds_behind_a_refunded_charge_are_listed(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let checkout = shop.paid().await;
    let intent = shop.booking(&checkout).await.payment().unwrap().intent.clone().unwrap();
    let form = [("payment_intent", intent.as_str()), ("amount", "1500")];
    shop.app.app.stripe.create_refund(&form, "from the dashboard").await.unwrap();
    let refunded = shop.sim.events().into_iter().find(|event| event["type"] == "charge.refunded").unwrap();
    assert_eq!(shop.app.deliver(&refunded).await.outcome(), "processed");
    assert_eq!(shop.status(&checkout).await, Status::PartiallyRefunded);
    assert_eq!(shop.booking(&checkout).await.refunds, []);
    reconcile::check_due(&shop.app.app).await.unwrap();
    let refunds = shop.booking(&checkout).await.refunds;
    assert_eq!(refunds.len(), 1);
    assert_eq!((refunds[0].amount, refunds[0].status), (1500, RefundStatus::Succeeded));
    // And by whichever event it is told after: nothing more.
    shop.deliver_all().await;
    assert_eq!(shop.booking(&checkout).await.refunded_amount(), 1500);
    shop.assert_sound().await;
}

async fn a_visitor_makes_us_ask_once_in_five_seconds(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let checkout = shop.book().await;
    let session = SessionId::parse(&checkout.session).unwrap();
    let asked = || {
        let path = format!("/v1/checkout/sessions/{}", checkout.session);
        shop.sim
            .request_log()
            .iter()
            .filter(|request| request.method == "GET" && request.path == path)
            .count()
    };
    for _ in 0..10 {
        let known = reconcile::check_session(&shop.app.app, &session).await.unwrap();
        assert_eq!(known, Some((checkout.booking, Status::Pending)));
    }
    assert_eq!(asked(), 1);
    shop.pay(&checkout, VISA).await;
    shop.advance(Duration::from_secs(5));
    let known = reconcile::check_session(&shop.app.app, &session).await.unwrap();
    assert_eq!(known, Some((checkout.booking, Status::Paid)));
    shop.advance(Duration::from_secs(60));
    reconcile::check_session(&shop.app.app, &session).await.unwrap();
    assert_eq!(asked(), 2, "what is settled is not asked about");
    let unknown = SessionId::parse("cs_test_unknown").unwrap();
    assert_eq!(reconcile::check_session(&shop.app.app, &unknown).await.unwrap(), None);
    eventually("the webhook that follows is a duplicate", async || {
        let event =
            shop.sim.events().into_iter().find(|e| e["type"] == "checkout.session.completed").unwrap();
        shop.app.deliver(&event).await.outcome() == "duplicate"
    })
    .await;
}
