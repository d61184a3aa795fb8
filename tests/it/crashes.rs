//! The program killed with SIGKILL, at random and at forced points: what it acknowledged is on disk, what it had
//! not is taken again, and nothing happens twice.

use crate::harness::app::{Answer, WEBHOOK_SECRET, send};
use crate::harness::people::{PASSWORD, cookie};
use crate::harness::process::free_port;
use crate::harness::{TestApp, TestDatabase, TestProcess, eventually, lost, on_each_engine};
use axum::Router;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::post;
use domain::role::Role;
use futures_util::StreamExt;
use secrecy::SecretString;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use stripe_sim::{PayOutcome, Sim, SimConfig, WebhookTarget};

on_each_engine! {
    killed_again_and_again_under_load_it_loses_nothing_and_applies_nothing_twice,
    killed_before_the_commit_it_takes_the_event_at_its_next_delivery,
    killed_between_commit_and_answer_it_knows_the_event_at_its_next_delivery,
    killed_before_stripe_is_called_the_same_key_goes_on_with_the_same_booking,
    killed_after_stripe_made_the_session_the_payment_finds_its_booking,
    what_was_paid_while_it_was_down_is_taken_at_its_next_start,
    killed_before_stripe_is_asked_for_a_refund_it_is_made_once,
    killed_after_stripe_made_a_refund_it_is_not_made_again,
    killed_between_telling_and_noting_it_tells_again_under_the_same_key,
}

/// Where nobody is: Stripe's API is not needed here.
const NO_STRIPE: &str = "http://127.0.0.1:1";
const NOTIFY_SECRET: &str = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";

async fn killed_again_and_again_under_load_it_loses_nothing_and_applies_nothing_twice(db: TestDatabase) {
    const EVENTS: usize = 1_200;
    const KILLS: usize = 12;
    let events = payments(&db, EVENTS).await;
    let port = free_port();
    let url = format!("http://127.0.0.1:{port}");
    let http = crate::harness::app::client();
    let acknowledged = AtomicUsize::new(0);
    let acknowledged_ids: Mutex<Vec<String>> = Mutex::default();
    // Answers that never came although the event was in the ledger.
    let unheard = AtomicUsize::new(0);

    let killing = async {
        for round in 1..=KILLS {
            let process = TestProcess::start(&db, port, NO_STRIPE, &[]).await;
            while acknowledged.load(Ordering::Relaxed) < round * EVENTS / (KILLS + 1) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            // Somewhere in the course of the next batches.
            tokio::time::sleep(Duration::from_millis(rand::random_range(0..15))).await;
            process.kill().await;
            // Nobody writes now: what the killed one left behind.
            db.assert_sound().await;
            let ids: Vec<String> = acknowledged_ids.lock().unwrap().clone();
            assert_eq!(lost(&db, ids).await, Vec::<String>::new());
        }
        TestProcess::start(&db, port, NO_STRIPE, &[]).await
    };
    let delivering = futures_util::stream::iter(&events).for_each_concurrent(32, async |event| {
        let deadline = Instant::now() + Duration::from_secs(90);
        let mut lost = false;
        loop {
            let clock = clock::Clock::system();
            let delivery = crate::harness::app::delivery(&http, &url, &clock, event);
            match crate::harness::app::try_send(delivery).await {
                Ok(answer) if answer.status == 200 => {
                    if answer.outcome() == "duplicate" {
                        assert!(lost, "a first delivery was called a duplicate");
                        unheard.fetch_add(1, Ordering::Relaxed);
                    }
                    acknowledged_ids.lock().unwrap().push(event["id"].as_str().unwrap().to_owned());
                    acknowledged.fetch_add(1, Ordering::Relaxed);
                    return;
                }
                Ok(answer) => assert_eq!(answer.status, 500, "{}", answer.body),
                Err(_) => lost = true,
            }
            assert!(Instant::now() < deadline, "not acknowledged in time");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    let (process, ()) = tokio::join!(killing, delivering);
    each_was_applied_once(&db, EVENTS).await;
    println!("{KILLS} kills, {} commits whose answer was never heard", unheard.load(Ordering::Relaxed));
    process.kill().await;
}

async fn killed_before_the_commit_it_takes_the_event_at_its_next_delivery(db: TestDatabase) {
    let events = payments(&db, 1).await;
    let port = free_port();
    die_at("recorder.before_commit", &db, port, NO_STRIPE, &events[0]).await;
    assert_eq!(db.number("select count(*) from payment_events").await, 0);
    assert_eq!(db.number("select count(*) from outbox").await, 0);

    let process = TestProcess::start(&db, port, NO_STRIPE, &[]).await;
    assert_eq!(outcome(process.deliver(&events[0]).await.unwrap()), (200, "processed".to_owned()));
    each_was_applied_once(&db, 1).await;
    process.kill().await;
}

async fn killed_between_commit_and_answer_it_knows_the_event_at_its_next_delivery(db: TestDatabase) {
    let events = payments(&db, 1).await;
    let port = free_port();
    die_at("recorder.after_commit", &db, port, NO_STRIPE, &events[0]).await;
    each_was_applied_once(&db, 1).await;

    let process = TestProcess::start(&db, port, NO_STRIPE, &[]).await;
    assert_eq!(outcome(process.deliver(&events[0]).await.unwrap()), (200, "duplicate".to_owned()));
    each_was_applied_once(&db, 1).await;
    process.kill().await;
}

async fn killed_before_stripe_is_called_the_same_key_goes_on_with_the_same_booking(db: TestDatabase) {
    let port = free_port();
    let sim = simulated_stripe(port).await;
    die_while_booking("checkout.before_stripe", &db, port, &sim).await;
    assert_eq!(db.number("select count(*) from bookings where seat = 1").await, 1);
    assert_eq!(sessions_made(&sim), 0);

    books_again_and_pays(&db, port, &sim).await;
}

async fn killed_after_stripe_made_the_session_the_payment_finds_its_booking(db: TestDatabase) {
    let port = free_port();
    let sim = simulated_stripe(port).await;
    die_while_booking("checkout.after_stripe", &db, port, &sim).await;
    assert_eq!(db.number("select count(*) from bookings where stripe_session_id is null").await, 1);
    assert_eq!(sessions_made(&sim), 1);

    books_again_and_pays(&db, port, &sim).await;
}

/// Nothing is delivered here, and what the killed program had planned to ask would be asked minutes later.
async fn what_was_paid_while_it_was_down_is_taken_at_its_next_start(db: TestDatabase) {
    let port = free_port();
    let sim = Sim::start(SimConfig::default()).await.unwrap();
    let polling = [("POLL_EVENTS", "auto")];
    let process = TestProcess::start(&db, port, &sim.base_url(), &polling).await;
    let answer = send(booking_request(&process.http, port)).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    eventually("both lists were read and are planned again", async || {
        db.number("select count(*) from feed_cursor where next_run_at > 0").await == 2
    })
    .await;
    process.kill().await;
    let session = answer.json()["stripeSessionId"].as_str().unwrap().to_owned();
    drop(sim.pay(&session, crate::shop::VISA).await.unwrap());

    let process = TestProcess::start(&db, port, &sim.base_url(), &polling).await;
    eventually("it is paid", async || db.texts("select status from bookings").await == ["payé"]).await;
    process.kill().await;
}

/// The same request with the same key, to the program that was started again: one booking, one session, paid.
async fn books_again_and_pays(db: &TestDatabase, port: u16, sim: &Sim) {
    let process = TestProcess::start(db, port, &sim.base_url(), &[]).await;
    // For a few seconds what died may still be in flight, as far as anybody knows.
    let mut answer = send(booking_request(&process.http, port)).await;
    for _ in 0..60 {
        if answer.status != 409 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        answer = send(booking_request(&process.http, port)).await;
    }
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(db.texts("select id from bookings").await, [answer.json()["bookingId"].as_str().unwrap()]);
    let session = answer.json()["stripeSessionId"].as_str().unwrap().to_owned();
    assert_eq!(db.texts("select stripe_session_id from bookings").await, [session.as_str()]);
    assert_eq!(sessions_of(sim), 1, "a second session could be paid as well");

    assert_eq!(sim.pay(&session, "4242424242424242").await.unwrap(), PayOutcome::Paid);
    eventually("the booking is paid", async || {
        db.number("select count(*) from bookings where status = 'payé'").await == 1
    })
    .await;
    process.kill().await;
    db.assert_sound().await;
}

async fn killed_before_stripe_is_asked_for_a_refund_it_is_made_once(db: TestDatabase) {
    die_while_refunding("refund.before_stripe", &db, 0).await;
}

async fn killed_after_stripe_made_a_refund_it_is_not_made_again(db: TestDatabase) {
    die_while_refunding("refund.after_stripe", &db, 1).await;
}

/// Books, pays, and dies at `point` of a refund, when Stripe has made `made` of them. The program that is
/// started again finds out by itself.
async fn die_while_refunding(point: &str, db: &TestDatabase, made: usize) {
    let port = free_port();
    let sim = simulated_stripe(port).await;
    let app = TestApp::start(db).await;
    app.account("admin@pay.test", Role::Admin).await;
    app.app.store.close().await;
    let mut process = TestProcess::start(db, port, &sim.base_url(), &[("CHECKOUT_STOP_AT", point)]).await;
    let answer = send(booking_request(&process.http, port)).await.json();
    let session = answer["stripeSessionId"].as_str().unwrap();
    assert_eq!(sim.pay(session, "4242424242424242").await.unwrap(), PayOutcome::Paid);
    has_status(db, "payé").await;

    let login = json!({ "email": "admin@pay.test", "password": PASSWORD }).to_string();
    let login = process.http.post(format!("{}/auth/login", process.url)).body(login);
    let login = send(login.header("content-type", "application/json")).await;
    let refund = process
        .http
        .post(format!("{}/api/bookings/{}/refund", process.url, answer["bookingId"].as_str().unwrap()))
        .header("cookie", cookie(&login))
        .header("idempotency-key", "one-refund");
    let asking = async { assert!(crate::harness::app::try_send(refund).await.is_err(), "it answered") };
    let killing = async {
        process.says(&format!("stopped at {point}")).await;
        process.kill().await;
        db.assert_sound().await;
    };
    tokio::join!(asking, killing);
    let refunds = || sim.events().iter().filter(|event| event["type"] == "refund.created").count();
    assert_eq!(refunds(), made);

    // The lease of what died would end by itself after two minutes.
    db.execute("update refund_intents set next_try_at = 0").await;
    let process = TestProcess::start(db, port, &sim.base_url(), &[]).await;
    has_status(db, "remboursé").await;
    assert_eq!(refunds(), 1);
    process.kill().await;
    db.assert_sound().await;
}

async fn killed_between_telling_and_noting_it_tells_again_under_the_same_key(db: TestDatabase) {
    let heard: Arc<Mutex<Vec<String>>> = Arc::default();
    let hear = |State(heard): State<Arc<Mutex<Vec<String>>>>, headers: HeaderMap| async move {
        heard.lock().unwrap().push(headers["webhook-id"].to_str().unwrap().to_owned());
    };
    let router = Router::new().route("/hook", post(hear)).with_state(Arc::clone(&heard));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let hook = format!("http://{}/hook", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    let notify = [("NOTIFY_URL", hook.as_str()), ("NOTIFY_SECRET", NOTIFY_SECRET)];

    let events = payments(&db, 1).await;
    let port = free_port();
    let stop = [notify[0], notify[1], ("CHECKOUT_STOP_AT", "effects.after_send")];
    let mut process = TestProcess::start(&db, port, NO_STRIPE, &stop).await;
    assert_eq!(outcome(process.deliver(&events[0]).await.unwrap()), (200, "processed".to_owned()));
    process.says("stopped at effects.after_send").await;
    process.kill().await;
    db.assert_sound().await;
    assert_eq!(heard.lock().unwrap().len(), 1);

    db.execute("update outbox_deliveries set next_try_at = 0 where next_try_at is not null").await;
    let process = TestProcess::start(&db, port, NO_STRIPE, &notify).await;
    eventually("it is told again", async || heard.lock().unwrap().len() == 2).await;
    eventually("nothing is left to tell", async || {
        db.number("select count(*) from outbox_deliveries where next_try_at is not null").await == 0
    })
    .await;
    let heard = heard.lock().unwrap().clone();
    assert_eq!(heard[0], heard[1], "the receiver could not know that it is the same");
    process.kill().await;
    db.assert_sound().await;
}

async fn has_status(db: &TestDatabase, status: &str) {
    eventually(&format!("the booking is {status}"), async || {
        db.texts("select status from bookings").await == [status]
    })
    .await;
}

/// Events that pay as many bookings, each a session of its own.
async fn payments(db: &TestDatabase, count: usize) -> Vec<Value> {
    let app = TestApp::start(db).await;
    let bookings = app.pending_bookings(count).await;
    let events = bookings
        .iter()
        .enumerate()
        .map(|(n, booking)| app.paid(&format!("evt_crash_{n}"), booking, &format!("cs_crash_{n}")))
        .collect();
    app.app.store.close().await;
    events
}

/// Starts the program, delivers `event`, and kills it when it has come to `point`.
async fn die_at(point: &str, db: &TestDatabase, port: u16, stripe: &str, event: &Value) {
    let mut process = TestProcess::start(db, port, stripe, &[("CHECKOUT_STOP_AT", point)]).await;
    let clock = clock::Clock::system();
    let delivery = crate::harness::app::delivery(&process.http, &process.url, &clock, event);
    let answered = AtomicBool::new(false);
    let delivering = async {
        answered.store(crate::harness::app::try_send(delivery).await.is_ok(), Ordering::Relaxed);
    };
    let killing = async {
        process.says(&format!("stopped at {point}")).await;
        process.kill().await;
        db.assert_sound().await;
    };
    tokio::join!(delivering, killing);
    assert!(!answered.load(Ordering::Relaxed), "it answered before it was killed");
}

async fn die_while_booking(point: &str, db: &TestDatabase, port: u16, sim: &Sim) {
    let mut process = TestProcess::start(db, port, &sim.base_url(), &[("CHECKOUT_STOP_AT", point)]).await;
    let request = booking_request(&process.http, port);
    let answer = Mutex::new(None);
    let asking = async { *answer.lock().unwrap() = crate::harness::app::try_send(request).await.ok() };
    let killing = async {
        process.says(&format!("stopped at {point}")).await;
        process.kill().await;
        db.assert_sound().await;
    };
    tokio::join!(asking, killing);
    assert!(answer.lock().unwrap().is_none(), "it answered before it was killed");
}

fn booking_request(http: &reqwest::Client, port: u16) -> reqwest::RequestBuilder {
    let body = json!({
        "firstName": "Ada", "lastName": "Lovelace", "email": "ada@example.org",
        "date": "2027-06-15", "time": "10:00",
    });
    http.post(format!("http://127.0.0.1:{port}/api/bookings"))
        .header("content-type", "application/json")
        .header("idempotency-key", "one-wish")
        .body(body.to_string())
}

async fn simulated_stripe(port: u16) -> Sim {
    let target = WebhookTarget {
        url: format!("http://127.0.0.1:{port}/webhook"),
        secrets: vec![SecretString::from(WEBHOOK_SECRET)],
        enabled_events: Vec::new(),
    };
    Sim::start(SimConfig { webhooks: vec![target], ..SimConfig::default() }).await.unwrap()
}

/// How many requests for a session were answered with one.
fn sessions_made(sim: &Sim) -> usize {
    let made = |request: &stripe_sim::LoggedRequest| {
        request.method == "POST" && request.path == "/v1/checkout/sessions" && request.status == Some(200)
    };
    sim.request_log().iter().filter(|request| made(request)).count()
}

/// How many sessions there are: repetitions with one idempotency key are one.
fn sessions_of(sim: &Sim) -> usize {
    let log = sim.request_log();
    let keys: std::collections::BTreeSet<_> = log
        .iter()
        .filter(|request| request.method == "POST" && request.path == "/v1/checkout/sessions")
        .map(|request| &request.idempotency_key)
        .collect();
    keys.len()
}

fn outcome(answer: Answer) -> (u16, String) {
    (answer.status, answer.outcome())
}

async fn each_was_applied_once(db: &TestDatabase, count: usize) {
    let count = i64::try_from(count).unwrap();
    assert_eq!(db.number("select count(*) from payment_events").await, count);
    assert_eq!(db.number("select count(*) from payment_events where outcome = 'processed'").await, count);
    assert_eq!(db.number("select count(*) from payment_events where applied_payment").await, count);
    assert_eq!(db.number("select count(*) from bookings where status = 'payé'").await, count);
    assert_eq!(db.number("select count(*) from outbox").await, count);
    db.assert_sound().await;
}
