//! What was never delivered is found all the same: by the events feed, by the objects themselves, by
//! asking about each booking that waits.

use crate::harness::app::send;
use crate::harness::process::free_port;
use crate::harness::{Engine, TestApp, TestDatabase, TestProcess, eventually, lost, on_each_engine};
use crate::shop::{ADMIN, Checkout, HOLD, Shop, VISA};
use checkout_backend::flow::reconcile::{self, Options};
use checkout_backend::flow::refund;
use clock::Clock;
use domain::booking::{RefundStatus, Status};
use domain::ids::SessionId;
use domain::role::Role;
use futures_util::StreamExt;
use serde_json::json;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use stripe_sim::{ApiFaultKind, Sim, SimConfig};

on_each_engine! {
    a_long_outage_is_healed_by_the_feed_alone,
    a_long_outage_is_healed_by_the_objects_alone,
    healing_meets_live_deliveries_and_another_instance,
    a_dry_run_changes_nothing_and_tells_what_would_change,
    the_feed_goes_on_from_where_it_was_read,
    a_clock_that_was_ahead_holds_up_nothing_once_it_is_right,
    a_feed_that_breaks_off_keeps_its_place,
    a_database_that_fails_between_two_portions_of_the_feed_loses_nothing,
    without_any_webhook_the_feed_alone_makes_it_paid,
    a_session_that_was_made_without_our_hearing_of_it_is_found,
    a_booking_without_a_session_gives_its_seat_back_only_by_stripes_list,
    a_hold_that_is_over_is_ended_at_stripe_first,
    a_hold_does_not_end_while_stripe_is_silent,
    a_session_that_stripe_does_not_know_ends_long_after_its_hold_and_a_person_is_told,
    an_event_that_cannot_be_applied_does_not_hold_up_the_feed,
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
    let bookings = shop.app.pending_bookings(count).await;
    let sessions: Vec<_> = futures_util::stream::iter(&bookings)
        .map(async |booking| {
            let session = shop.session_for(booking).await;
            shop.pay(&Checkout { booking: booking.id, session: session.clone() }, VISA).await;
            session
        })
        .buffered(16)
        .collect()
        .await;
    let mut tx = db.store.begin().await.unwrap();
    for (booking, session) in bookings.iter().zip(&sessions) {
        let session = SessionId::parse(session).unwrap();
        tx.attach_session(booking.id, &session, None, booking.hold_expires_at, booking.created_at)
            .await
            .unwrap();
    }
    tx.commit().await.unwrap();
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
    let shop = after_an_outage(&db, 1000).await;
    let report = shop.reconcile(OBJECTS).await;
    assert_eq!((report.healed_count, report.failures.len()), (1000, 0), "{:?}", report.failures);
    assert_eq!(paid(&db).await, 1000);
    let again = shop.reconcile(OBJECTS).await;
    assert_eq!((again.healed_count, again.remaining), (0, 0));
    assert_eq!(shop.reconcile(FEED).await.healed_count, 0, "the feed tells nothing new either");
    shop.assert_sound().await;
}

async fn healing_meets_live_deliveries_and_another_instance(db: TestDatabase) {
    let shop = after_an_outage(&db, 1000).await;
    let other = shop.another().await;
    other.clock.advance(OUTAGE);
    let events = shop.sim.events();
    // Each instance gets its share of the deliveries, and both read everything, at the same time.
    let deliveries =
        futures_util::stream::iter(events.iter().enumerate()).for_each_concurrent(8, async |(n, event)| {
            let app = if n % 2 == 0 { &shop.app } else { &other };
            // As Stripe does it: what is not acknowledged in time comes again.
            let deadline = Instant::now() + Duration::from_secs(300);
            loop {
                let answer = app.deliver(event).await;
                if answer.status == 200 {
                    return;
                }
                assert_eq!(answer.status, 500, "{}", answer.body);
                assert!(Instant::now() < deadline, "never acknowledged");
            }
        });
    let everything = Options::default();
    let (mine, theirs, ()) = tokio::join!(
        reconcile::run(&shop.app.app, everything),
        reconcile::run(&other.app, everything),
        deliveries
    );
    assert!(
        mine.unwrap().healed_count + theirs.unwrap().healed_count > 0,
        "the deliveries left nothing to heal"
    );
    assert_eq!(paid(&db).await, 1000);
    assert_eq!(db.number("select count(*) from payment_events where applied_payment").await, 1000);
    assert_eq!(db.number("select count(*) from outbox where kind = 'booking.paid'").await, 1000);
    let acknowledged = events.iter().map(|event| event["id"].as_str().unwrap());
    assert_eq!(lost(&db, acknowledged).await, Vec::<String>::new());
    let again = shop.reconcile(everything).await;
    assert_eq!((again.healed_count, again.remaining), (0, 0), "{:?}", again.failures);
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

/// Days ahead for a while, then put right: what it planned must not be waited for.
async fn a_clock_that_was_ahead_holds_up_nothing_once_it_is_right(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let every = Duration::from_secs(180);
    reconcile::follow_feed(&shop.app.app, every).await.unwrap();
    reconcile::follow_objects(&shop.app.app, every).await.unwrap();
    let ahead = shop.app.clock.now().plus(Duration::from_secs(3 * 86_400)).as_micros();
    let planned = format!("update feed_cursor set next_run_at = {ahead}");
    db.execute(&format!("{planned}, read_until = {ahead} where name = 'objects'")).await;
    db.execute(&planned).await;

    let checkout = shop.book().await;
    shop.pay(&checkout, VISA).await;
    assert_eq!(reconcile::follow_feed(&shop.app.app, every).await.unwrap().healed_count, 1);
    reconcile::follow_objects(&shop.app.app, every).await.unwrap();
    let beyond =
        format!("select count(*) from feed_cursor where read_until > {}", shop.app.clock.now().as_micros());
    assert_eq!(db.number(&beyond).await, 0, "a list is read from where it was read");

    // What is tried again by itself is due with the next start.
    refund::refund(&shop.app.app, checkout.booking, Some(1000), "key", ADMIN).await.unwrap();
    db.execute("update refund_intents set state = 'open', stripe_refund_id = null").await;
    for table in ["refund_intents", "payment_events"] {
        db.execute(&format!("update {table} set next_try_at = {ahead}")).await;
    }
    reconcile::catch_up(&shop.app.app).await.unwrap();
    assert_eq!(refund::resolve_due(&shop.app.app).await.unwrap(), 1);
    assert_eq!(
        db.number(&format!("select count(*) from payment_events where next_try_at = {ahead}")).await,
        0
    );
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

/// More events than are held in memory at once, hours apart: the feed is read in portions. The database fails when
/// the first portion is in the ledger, and the cursor must stay where everything before it is.
async fn a_database_that_fails_between_two_portions_of_the_feed_loses_nothing(db: TestDatabase) {
    const EVENTS: i64 = 1100;
    let began = Clock::system().now().as_unix_seconds();
    let feed = Feed { db: db.clone(), began, fails: Arc::new(AtomicBool::new(true)) };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let router =
        axum::Router::new().route("/v1/events", axum::routing::get(events_page)).with_state(feed.clone());
    let server = tokio::spawn(async move { axum::serve(listener, router).await });
    let app = TestApp::start_with(&db, &[], &base).await;
    app.clock.advance(Duration::from_secs(4 * 3600));
    let report = reconcile::run(&app.app, FEED).await.unwrap();
    assert_eq!(report.failures.len(), 1, "{report:?}");
    assert!(!feed.fails.load(Ordering::Relaxed), "there was no second portion");
    db.execute(match db.engine {
        Engine::Sqlite => "drop trigger planted",
        Engine::Postgres => "alter table payment_events drop constraint planted",
    })
    .await;
    let first = db.number("select count(*) from payment_events").await;
    assert!((1..EVENTS).contains(&first), "{first} of {EVENTS} were recorded before it failed");
    // As a program that starts anew, from the cursor alone.
    let app = TestApp::start_with(&db, &[], &base).await;
    app.clock.advance(Duration::from_secs(4 * 3600));
    let report = reconcile::run(&app.app, FEED).await.unwrap();
    assert_eq!(report.failures, Vec::<String>::new());
    assert_eq!(db.number("select count(*) from payment_events").await, EVENTS);
    server.abort();
}

/// A feed of events ten seconds apart, which breaks the database when it is asked for what follows the first half.
#[derive(Clone)]
struct Feed {
    db: TestDatabase,
    began: i64,
    fails: Arc<AtomicBool>,
}

async fn events_page(
    axum::extract::State(feed): axum::extract::State<Feed>,
    axum::extract::Query(query): axum::extract::Query<HashMap<String, String>>,
) -> axum::Json<serde_json::Value> {
    let number = |name: &str| query.get(name).map(|text| text.parse::<i64>().unwrap());
    let after = query.get("starting_after").map(|id| id.trim_start_matches("evt_").parse::<i64>().unwrap());
    let (from, until) = (number("created[gte]").unwrap(), number("created[lt]").unwrap());
    let created = |n: i64| feed.began + 10 * n;
    // Newest first, as Stripe lists them.
    let all: Vec<i64> = (0..1100).rev().filter(|n| (from..until).contains(&created(*n))).collect();
    let left: Vec<i64> = all.iter().copied().filter(|n| after.is_none_or(|after| *n < after)).collect();
    let page: Vec<_> = left
        .iter()
        .take(100)
        .map(|n| {
            json!({
                "id": format!("evt_{n}"), "object": "event", "created": created(*n), "livemode": false,
                "type": "checkout.session.expired", "pending_webhooks": 0,
                "data": { "object": { "id": format!("cs_{n}"), "object": "checkout.session", "status": "expired" } },
            })
        })
        .collect();
    // The first portion that fits into memory and is not the first of all is the second.
    let second = all.len() <= 1000 && all.first().is_some_and(|newest| *newest == 1099) && !all.contains(&0);
    if second && feed.fails.swap(false, Ordering::Relaxed) {
        // It can be read and takes no new row.
        feed.db.execute(match feed.db.engine {
            Engine::Sqlite => {
                "create trigger planted before insert on payment_events begin select raise(abort, 'planted'); end"
            }
            Engine::Postgres => {
                "alter table payment_events add constraint planted check (event_key = '') not valid"
            }
        })
        .await;
    }
    axum::Json(json!({ "object": "list", "url": "/v1/events", "has_more": left.len() > 100, "data": page }))
}

/// `POLL_EVENTS=only`, as behind a router that lets nothing in: the program by itself, and no webhook at all.
async fn without_any_webhook_the_feed_alone_makes_it_paid(db: TestDatabase) {
    let sim = Sim::start(SimConfig::default()).await.unwrap();
    let process = TestProcess::start(&db, free_port(), &sim.base_url(), &[("POLL_EVENTS", "only")]).await;
    let wish = json!({
        "firstName": "Ada", "lastName": "Lovelace", "email": "ada@example.org", "date": "2031-03-03", "time": "10:00",
    });
    let request = process.http.post(format!("{}/api/bookings", process.url)).body(wish.to_string());
    let answer = send(request.header("content-type", "application/json")).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let session = answer.json()["stripeSessionId"].as_str().unwrap().to_owned();
    drop(sim.pay(&session, VISA).await.unwrap());
    let deadline = Instant::now() + Duration::from_secs(60);
    while paid(&db).await == 0 {
        assert!(Instant::now() < deadline, "nobody looked");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(db.texts("select source from payment_events where applied_payment").await, ["feed"]);
    process.kill().await;
    db.assert_sound().await;
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

/// As after the key was changed to another account's.
async fn a_session_that_stripe_does_not_know_ends_long_after_its_hold_and_a_person_is_told(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let checkout = shop.book().await;
    db.execute("update bookings set stripe_session_id = 'cs_test_elsewhere'").await;
    let due = "update bookings set next_check_at = 0";
    let admin = shop.app.person(Role::Admin).await;
    let cookie = ("cookie", admin.cookie.as_str());
    let cancel = format!("/api/bookings/{}/cancel", checkout.booking);
    assert_eq!(
        shop.app.post_json(&cancel, &json!({}), &[cookie]).await.status,
        409,
        "it may be paid elsewhere"
    );
    for wait in [Duration::ZERO, HOLD] {
        shop.advance(wait);
        db.execute(due).await;
        reconcile::check_due(&shop.app.app).await.unwrap();
        let booking = shop.booking(&checkout).await;
        assert_eq!(
            (booking.status(), booking.seat),
            (Status::Pending, Some(1)),
            "that nobody knows it frees no seat"
        );
        let report = shop.reconcile(OBJECTS).await;
        assert_eq!((report.healed_count, report.remaining, report.failures.len()), (0, 1, 0), "{report:?}");
    }
    shop.advance(Duration::from_secs(86_400));
    let report = shop.reconcile(Options { dry_run: true, ..OBJECTS }).await;
    assert_eq!((report.healed_count, shop.status(&checkout).await), (1, Status::Pending));
    db.execute(due).await;
    reconcile::check_due(&shop.app.app).await.unwrap();
    let booking = shop.booking(&checkout).await;
    assert_eq!((booking.status(), booking.seat), (Status::Expired, None));
    assert_eq!(db.texts("select kind from cases where closed_at is null").await, ["session_unknown"]);
    assert_eq!(db.texts("select reason from payment_events").await, ["session_unknown_and_over"]);
    assert_eq!(shop.reconcile(OBJECTS).await.remaining, 0);
    // Should it have been paid after all, that is not lost.
    let paid = shop.app.paid("evt_late", &booking, "cs_test_elsewhere");
    assert_eq!(shop.app.deliver(&paid).await.outcome(), "processed");
    assert_eq!(shop.status(&checkout).await, Status::Paid);
    shop.assert_sound().await;
}

/// One event that our database refuses, for whatever fault of ours, among others that it takes.
async fn an_event_that_cannot_be_applied_does_not_hold_up_the_feed(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let (first, second) = (shop.book().await, shop.book().await);
    shop.pay(&first, VISA).await;
    let poison = shop.sim.events().into_iter().find(|e| e["type"] == "checkout.session.completed").unwrap();
    let poison = poison["id"].as_str().unwrap();
    match db.engine {
        Engine::Sqlite => {
            for moment in ["insert", "update"] {
                db.execute(&format!(
                    "create trigger poison_{moment} before {moment} on payment_events
                     when new.event_key = '{poison}' and new.outcome <> 'rejected'
                     begin select raise(abort, 'a fault of ours'); end"
                ))
                .await;
            }
        }
        Engine::Postgres => {
            db.execute(&format!(
                "create function poison() returns trigger language plpgsql as $$
                 begin raise exception 'a fault of ours'; end $$;
                 create trigger poison before insert or update on payment_events for each row
                 when (new.event_key = '{poison}' and new.outcome <> 'rejected') execute function poison()"
            ))
            .await;
        }
    }
    let every = Duration::from_secs(180);
    let report = reconcile::follow_feed(&shop.app.app, every).await.unwrap();
    assert_eq!((report.healed_count, report.remaining), (0, 1), "{report:?}");
    assert_eq!(db.texts("select outcome from payment_events").await, ["rejected"], "it is kept");
    shop.advance(Duration::from_secs(900));
    shop.pay(&second, VISA).await;
    let report = reconcile::follow_feed(&shop.app.app, every).await.unwrap();
    assert_eq!((report.healed_count, report.remaining), (1, 1), "{report:?}");
    assert_eq!(shop.status(&second).await, Status::Paid, "the feed went on");
    db.execute(match db.engine {
        Engine::Sqlite => "drop trigger poison_insert; drop trigger poison_update",
        Engine::Postgres => "drop trigger poison on payment_events",
    })
    .await;
    shop.advance(Duration::from_secs(600));
    shop.app.app.recorder.retry_due(&shop.app.app.store).await.unwrap();
    assert_eq!(shop.status(&first).await, Status::Paid, "and once the fault is mended it is applied");
    shop.assert_sound().await;
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
