//! Where money could be lost between two steps: what the database, Stripe, a lock or a hostile text can do in the
//! middle of one.

use crate::harness::events::{event, refund};
use crate::harness::people::PASSWORD;
use crate::harness::proxy::Proxy;
use crate::harness::{Engine, TestApp, TestDatabase, eventually, on_each_engine};
use axum::Json;
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use checkout_backend::stripe::event as stripe_event;
use domain::booking::{Booking, Status};
use domain::event::Source;
use domain::role::Role;
use futures_util::future::join_all;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use stripe_sim::{ApiFault, ApiFaultKind, Faults, Sim, SimConfig};
use tokio::sync::Notify;

on_each_engine! {
    a_transaction_that_the_database_took_back_by_itself_does_not_end_the_service,
    texts_that_a_column_cannot_hold_refuse_no_event,
    what_turns_out_to_be_another_applications_is_not_kept,
    our_own_tries_are_not_counted_as_deliveries,
    a_caller_that_leaves_while_stripe_is_asked_does_not_stop_the_work,
    while_stripe_is_still_making_a_session_no_second_one_is_begun,
    a_session_that_cannot_be_closed_keeps_a_second_one_from_being_made,
    a_key_that_resumes_an_open_page_is_answered_and_not_left_in_flight,
    no_text_of_a_caller_makes_the_database_fail,
}

/// What SQLite does when a disk is full: the transaction is gone before anybody says `rollback`.
async fn a_transaction_that_the_database_took_back_by_itself_does_not_end_the_service(db: TestDatabase) {
    let app = TestApp::start(&db).await;
    let booking = app.pending_booking().await;
    let event = app.paid("evt_1", &booking, "cs_1");
    match db.engine {
        Engine::Sqlite => {
            db.execute(
                "create trigger broken before insert on payment_events
                 begin select raise(rollback, 'database or disk is full'); end",
            )
            .await;
        }
        Engine::Postgres => {
            db.execute(
                "create function broken() returns trigger language plpgsql as $$
                 begin raise exception 'disk full' using errcode = '53100'; end $$;
                 create trigger broken before insert on payment_events
                 for each row execute function broken()",
            )
            .await;
        }
    }
    assert_eq!(app.deliver(&event).await.status, 500);
    db.execute(match db.engine {
        Engine::Sqlite => "drop trigger broken",
        Engine::Postgres => "drop trigger broken on payment_events",
    })
    .await;
    let answer = app.deliver(&event).await;
    assert_eq!((answer.status, answer.body.contains("processed")), (200, true), "{}", answer.body);
    assert_eq!(app.status(booking.id).await, Status::Paid);
}

async fn texts_that_a_column_cannot_hold_refuse_no_event(db: TestDatabase) {
    let app = TestApp::start(&db).await;
    let long = "x".repeat(700_000);
    for (n, (member, value)) in [
        ("currency", json!("e\0ur")),
        ("currency", json!(long)),
        ("mode", json!("pay\0ment")),
        ("mode", json!(long)),
        ("currency", json!("\u{1b}[31m\u{202e}")),
    ]
    .into_iter()
    .enumerate()
    {
        let booking = app.pending_booking().await;
        let mut event = app.paid(&format!("evt_{n}"), &booking, &format!("cs_{n}"));
        event["data"]["object"][member] = value;
        let answer = app.deliver(&event).await;
        assert_eq!((answer.status, answer.body.contains("case")), (200, true), "{n}: {}", answer.body);
        assert_eq!(app.status(booking.id).await, Status::Pending);
    }
    let longest = db.number("select max(length(detail) + length(coalesce(currency, ''))) from cases").await;
    assert!(longest < 500, "a case is for people: {longest} characters");

    // Ids that are none of Stripe's name nobody; everything else of the event is read.
    for (n, (pointer, value, outcome)) in [
        ("/type", json!("checkout.session.completed\0"), "ignored"),
        ("/data/object/payment_intent", json!("pi_\0"), "processed"),
        ("/data/object/payment_intent", json!(long), "processed"),
        ("/data/object/metadata/instance", json!("\0"), "processed"),
        ("/data/object/id", json!("cs_\0"), "ignored"),
        ("/data/object/id", json!(long), "ignored"),
    ]
    .into_iter()
    .enumerate()
    {
        let booking = app.pending_booking().await;
        let mut event = app.paid(&format!("evt_id_{n}"), &booking, &format!("cs_id_{n}"));
        *event.pointer_mut(pointer).unwrap() = value;
        let answer = app.deliver(&event).await;
        assert_eq!((answer.status, answer.outcome().as_str()), (200, outcome), "{pointer}");
    }
}

async fn what_turns_out_to_be_another_applications_is_not_kept(db: TestDatabase) {
    let sim = Sim::start(SimConfig::default()).await.unwrap();
    let app = TestApp::start_with(&db, &[], &sim.base_url()).await;
    let theirs = event("evt_1", "refund.created", refund("re_theirs", "cs_theirs", 700, "succeeded"));
    let away = ApiFault::of(ApiFaultKind::ResetBefore, 100);
    sim.set_faults(Faults { api: vec![away], ..Faults::default() });
    assert_eq!(app.deliver(&theirs).await.outcome(), "parked", "Stripe could not say whose it is");
    assert_eq!(db.number("select count(*) from payment_events where payload is not null").await, 1);

    sim.set_faults(Faults::default());
    assert_eq!(app.deliver(&theirs).await.outcome(), "ignored");
    let kept = "payload is not null or stripe_session_id is not null or livemode is not null
                or booking_id is not null or next_try_at is not null";
    assert_eq!(db.number(&format!("select count(*) from payment_events where {kept}")).await, 0);
}

async fn our_own_tries_are_not_counted_as_deliveries(db: TestDatabase) {
    let app = TestApp::start(&db).await;
    let mut lost = app.pending_booking().await;
    lost.id = domain::ids::BookingId::from(clock::new_id());
    let event = app.paid("evt_1", &lost, "cs_1");
    assert_eq!(app.deliver(&event).await.outcome(), "parked");
    for tries in 1..=4 {
        app.clock.advance(Duration::from_secs(600));
        assert_eq!(app.app.recorder.retry_due(&app.app.store).await.unwrap(), 1, "{tries}");
        assert_eq!(db.number("select tries from payment_events").await, tries);
    }
    assert_eq!(db.number("select deliveries from payment_events").await, 1);
    assert_eq!(app.deliver(&event).await.outcome(), "parked");
    assert_eq!(db.number("select deliveries from payment_events").await, 2);
}

async fn a_caller_that_leaves_while_stripe_is_asked_does_not_stop_the_work(db: TestDatabase) {
    let (asked, go_on) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let stripe = stripe_that({
        let (asked, go_on) = (Arc::clone(&asked), Arc::clone(&go_on));
        move |_, _| {
            let (asked, go_on) = (Arc::clone(&asked), Arc::clone(&go_on));
            async move {
                asked.fetch_add(1, Ordering::Relaxed);
                go_on.notified().await;
                refusal(StatusCode::NOT_FOUND, "resource_missing")
            }
        }
    })
    .await;
    let app = TestApp::start_with(&db, &[], &stripe).await;
    let told = event("evt_1", "refund.created", refund("re_1", "cs_1", 700, "succeeded"));
    let told = stripe_event::from_api(&told, Source::Webhook).unwrap();
    let recorder = app.app.recorder.clone();
    let caller = tokio::spawn(async move { recorder.record(told).await });
    eventually("Stripe was asked", async || asked.load(Ordering::Relaxed) == 1).await;
    caller.abort();
    assert!(caller.await.is_err(), "it was answered too early");
    go_on.notify_one();
    eventually("the event is in the ledger", async || {
        db.number("select count(*) from payment_events").await == 1
    })
    .await;
}

/// Stripe is slow: our first request has timed out, and the repetitions with its key hear that it is in use.
async fn while_stripe_is_still_making_a_session_no_second_one_is_begun(db: TestDatabase) {
    let stripe = stripe_that(async |method, _| match method {
        Method::POST => refusal(StatusCode::CONFLICT, "idempotency_key_in_use"),
        _ => Json(json!({ "object": "list", "data": [], "has_more": false })).into_response(),
    })
    .await;
    let app = TestApp::start_with(&db, &[], &stripe).await;
    let answer = app.post_json("/api/bookings", &wish("10:00", "Ada"), &[]).await;
    assert_eq!(answer.status, 503, "{}", answer.body);
    assert_eq!(db.number("select attempt from bookings").await, 1, "the same key is tried again");
    assert_eq!(db.number("select count(*) from bookings where seat = 1").await, 1);
}

async fn a_session_that_cannot_be_closed_keeps_a_second_one_from_being_made(db: TestDatabase) {
    let made = Arc::new(AtomicUsize::new(0));
    let stripe = stripe_that({
        let made = Arc::clone(&made);
        move |method, uri: Uri| {
            let made = Arc::clone(&made);
            async move {
                let open = json!({
                    "id": "cs_test_1", "object": "checkout.session", "status": "open", "payment_status": "unpaid",
                    "url": "https://checkout.stripe.test/1", "expires_at": 2_000_000_000,
                });
                match method {
                    Method::POST if uri.path().ends_with("/expire") => {
                        refusal(StatusCode::BAD_REQUEST, "lock_timeout")
                    }
                    Method::POST => {
                        made.fetch_add(1, Ordering::Relaxed);
                        Json(open).into_response()
                    }
                    _ => Json(open).into_response(),
                }
            }
        }
    })
    .await;
    let app = TestApp::start_with(&db, &[], &stripe).await;
    db.execute("update offers set capacity = 2").await;
    let first = app.post_json("/api/bookings", &wish("10:00", "Ada"), &[]).await;
    assert_eq!(first.status, 200, "{}", first.body);
    let set = first.headers["set-cookie"].to_str().unwrap();
    let cookie = set.split(';').next().unwrap();
    let corrected = app.post_json("/api/bookings", &wish("10:00", "Augusta"), &[("cookie", cookie)]).await;
    assert!(matches!(corrected.status, 502 | 503), "{} {}", corrected.status, corrected.body);
    assert_eq!(made.load(Ordering::Relaxed), 1, "one customer, one page that can be paid");
    assert_eq!(db.number("select count(*) from bookings").await, 1);
}

async fn a_key_that_resumes_an_open_page_is_answered_and_not_left_in_flight(db: TestDatabase) {
    let sim = Sim::start(SimConfig::default()).await.unwrap();
    let app = TestApp::start_with(&db, &[], &sim.base_url()).await;
    let key = [("idempotency-key", "booking-18")];
    let first = app.post_json("/api/bookings", &wish("10:00", "Ada"), &key).await;
    assert_eq!(first.status, 200, "{}", first.body);
    // The process died before the answer was kept, and a webhook or reconciliation attached the session.
    db.execute("update idempotency_keys set response = null, locked_until = 0").await;
    for time in ["first", "second"] {
        let again = app.post_json("/api/bookings", &wish("10:00", "Ada"), &key).await;
        assert_eq!((again.status, again.json()), (200, first.json()), "the {time} time");
    }

    // A try that fails lets the key go at once, as any other does.
    db.execute("update idempotency_keys set response = null, locked_until = 0").await;
    let away = ApiFault::of(ApiFaultKind::ResetBefore, 100);
    sim.set_faults(Faults { api: vec![away], ..Faults::default() });
    assert_eq!(app.post_json("/api/bookings", &wish("10:00", "Ada"), &key).await.status, 503);
    sim.set_faults(Faults::default());
    let again = app.post_json("/api/bookings", &wish("10:00", "Ada"), &key).await;
    assert_eq!((again.status, again.json()), (200, first.json()));
}

async fn no_text_of_a_caller_makes_the_database_fail(db: TestDatabase) {
    let app = TestApp::start(&db).await;
    let reader = app.person(Role::Admin).await;
    for path in [
        "/reservations?email=a%00%40b.fr",
        "/payments?type=x%00",
        "/payments?stripeSessionId=cs%00",
        "/payments?stripeSessionId=%ff%fe",
        "/reservations?cursor=MTo%00",
        "/api/checkout/cs%00",
        "/api/bookings/%00",
    ] {
        let answer = app.get_as(&reader.cookie, path).await;
        assert!(answer.status < 500, "{path}: {} {}", answer.status, answer.body);
    }
    for email in ["ada\0@example.org", "\0", "ada@example.org\u{202e}"] {
        let answer = app.login(email, PASSWORD).await;
        assert!(matches!(answer.status, 400 | 401), "{email:?}: {} {}", answer.status, answer.body);
    }
}

/// Every connection of the pool is open when the network falls silent, so every writer meets a dead one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_writer_waits_for_ever_on_a_connection_that_fell_silent() {
    let db = TestDatabase::fresh(Engine::Postgres).await;
    let proxy = Proxy::to(db.port()).await;
    let app = TestApp::start(&db.through(proxy.port)).await;
    let bookings = app.pending_bookings(40).await;
    let events: Vec<_> = bookings
        .iter()
        .enumerate()
        .map(|(n, booking)| app.paid(&format!("evt_{n}"), booking, &format!("cs_{n}")))
        .collect();
    fill_pool(&app).await;
    proxy.swallow();
    for answer in join_all(events[..20].iter().map(|event| app.deliver(event))).await {
        assert_eq!(answer.status, 500, "{}", answer.body);
    }
    proxy.heal();
    let healed = Instant::now();
    for event in &events {
        while app.deliver(event).await.status != 200 {
            assert!(healed.elapsed() < Duration::from_secs(300), "never found again");
        }
    }
    assert_eq!(db.number("select count(*) from bookings where status = 'payé'").await, 40);
    db.remove().await;
}

/// The server was restarted: the pool is full of dead connections, and that is nobody's fault.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_restart_of_the_database_no_caller_meets_its_dead_connections() {
    let db = TestDatabase::fresh(Engine::Postgres).await;
    let app = TestApp::start(&db).await;
    let booking = app.pending_booking().await;
    app.attach(&booking, "cs_1").await;
    fill_pool(&app).await;
    db.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity
         where datname = current_database() and application_name = 'checkout-backend'",
    )
    .await;
    assert_eq!(app.get("/api/checkout/cs_1").await.status, 200);
    assert_eq!(app.deliver(&app.paid("evt_1", &booking, "cs_1")).await.outcome(), "processed");
    assert_eq!(app.get("/health").await.status, 200);
    db.remove().await;
}

/// Somebody holds the row of one booking; what is about the others is not to wait for that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_booking_that_is_locked_by_somebody_does_not_hold_up_the_others() {
    let db = TestDatabase::fresh(Engine::Postgres).await;
    let app = TestApp::start(&db).await;
    let bookings = app.pending_bookings(60).await;
    let holder = hold(&db, &bookings[0]).await;

    // Copies of the event about the locked one stand before, between and behind the others.
    let held = app.paid("evt_0", &bookings[0], "cs_0");
    let others: Vec<_> =
        (1..60).map(|n| app.paid(&format!("evt_{n}"), &bookings[n], &format!("cs_{n}"))).collect();
    let deliveries = others.iter().enumerate().map(async |(n, event)| {
        if n % 10 == 0 {
            let (copy, answer) = tokio::join!(app.deliver(&held), app.deliver(event));
            assert_eq!(copy.status, 500, "it cannot have been applied");
            answer
        } else {
            app.deliver(event).await
        }
    });
    for answer in join_all(deliveries).await {
        assert_eq!((answer.status, answer.body.contains("processed")), (200, true), "{}", answer.body);
    }
    holder.close().await.unwrap();
    let answer = app.deliver(&held).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(db.number("select count(*) from bookings where status = 'payé'").await, 60);
    db.remove().await;
}

/// The batch that waits for it has the writers' turn, and the next one must not wait for that turn for ever. How
/// long a lock is waited for cannot be set here: so the other payment has a few chances to come before that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_one_batch_waits_for_a_locked_booking_the_next_is_written() {
    let db = TestDatabase::fresh(Engine::Postgres).await;
    let app = TestApp::start(&db).await;
    let bookings = app.pending_bookings(11).await;
    let holder = hold(&db, &bookings[0]).await;
    let waiting = "select count(*) from pg_locks where not granted";
    let mut chances = 1..=10;
    let met = loop {
        let Some(n) = chances.next() else { break false };
        let held = app.paid(&format!("evt_held_{n}"), &bookings[0], "cs_0");
        let other = async {
            while db.number(waiting).await == 0 {
                tokio::task::yield_now().await;
            }
            let other = app.paid(&format!("evt_{n}"), &bookings[n], &format!("cs_{n}"));
            assert_eq!(app.deliver(&other).await.status, 200);
            db.number(waiting).await == 1
        };
        let (held, still_waiting) = tokio::join!(app.deliver(&held), other);
        assert_eq!(held.status, 500, "it cannot have been applied");
        if still_waiting {
            break true;
        }
    };
    holder.close().await.unwrap();
    assert!(met, "every payment waited until the locked booking was given up");
    db.remove().await;
}

/// Locks a booking's row until the connection is closed.
async fn hold(db: &TestDatabase, booking: &Booking) -> PgConnection {
    let mut holder = PgConnection::connect(&db.url).await.unwrap();
    sqlx::raw_sql("begin").execute(&mut holder).await.unwrap();
    let lock = sqlx::query("select 1 from bookings where id = $1 for update").bind(booking.id.to_string());
    lock.execute(&mut holder).await.unwrap();
    holder
}

/// Opens as many connections as the program may have, its recorder's too.
async fn fill_pool(app: &TestApp) {
    let mut open = Vec::new();
    for _ in 0..10 {
        open.push(app.app.store.read().await.unwrap());
    }
    for _ in 0..3 {
        open.push(app.app.store.begin_recording().await.unwrap());
    }
    for tx in open {
        tx.rollback().await.unwrap();
    }
}

fn wish(time: &str, first_name: &str) -> Value {
    json!({
        "firstName": first_name, "lastName": "Lovelace", "email": "ada@example.org",
        "date": "2031-03-03", "time": time,
    })
}

/// Stripe's API as this function answers it.
async fn stripe_that<F, A>(answer: F) -> String
where
    F: Fn(Method, Uri) -> A + Clone + Send + Sync + 'static,
    A: Future<Output = Response> + Send + 'static,
{
    let router = axum::Router::new().fallback(move |method: Method, uri: Uri| answer(method, uri));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    url
}

fn refusal(status: StatusCode, code: &str) -> Response {
    let error = json!({ "error": { "type": "invalid_request_error", "code": code, "message": code } });
    (status, Json(error)).into_response()
}
