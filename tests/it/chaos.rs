//! Crowds, crashes and outages: what was acknowledged is never lost, and nothing is applied twice.

use crate::harness::app::{delivery, send};
use crate::harness::postgres::{Cluster, Durability};
use crate::harness::{TestApp, TestDatabase, on_each_engine};
use checkout_backend::domain::booking::Status;
use futures_util::StreamExt;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

on_each_engine! {
    sixteen_copies_of_two_thousand_events_at_once_are_each_applied_once,
    webhooks_before_their_session_is_attached_leave_no_orphan,
}

/// Stripe delivers at least once, and sometimes many times at the same moment.
async fn sixteen_copies_of_two_thousand_events_at_once_are_each_applied_once(db: TestDatabase) {
    const EVENTS: usize = 2_000;
    const COPIES: usize = 16;
    let app = TestApp::start(&db).await;
    let bookings = app.pending_bookings(EVENTS).await;
    let payments: Vec<_> = bookings
        .iter()
        .enumerate()
        .map(|(n, booking)| app.paid(&format!("evt_crowd_{n}"), booking, &format!("cs_crowd_{n}")))
        .collect();

    // Sixteen neighbours in a row are copies of one event, and 64 requests are under way at any time.
    let deliveries = payments.iter().flat_map(|event| std::iter::repeat_n(event, COPIES));
    let answers: BTreeMap<(u16, String), usize> = futures_util::stream::iter(deliveries)
        .map(|event| send(delivery(&app.http, &app.url, &app.clock, event)))
        .buffer_unordered(64)
        .fold(BTreeMap::new(), async |mut answers, answer| {
            *answers.entry((answer.status, answer.outcome())).or_default() += 1;
            answers
        })
        .await;

    let expected = [((200, "duplicate"), EVENTS * (COPIES - 1)), ((200, "processed"), EVENTS)];
    assert_eq!(answers, expected.map(|((status, outcome), n)| ((status, outcome.to_owned()), n)).into());
    assert_eq!(db.number("select count(*) from payment_events").await, 2_000);
    assert_eq!(db.number("select sum(deliveries) from payment_events").await, 32_000);
    assert_eq!(db.number("select count(*) from bookings where status = 'payé'").await, 2_000);
    assert_eq!(db.number("select count(*) from outbox").await, 2_000);
    assert_eq!(app.status(bookings[0].id).await, Status::Paid);
}

/// The customer can pay before our own request to Stripe has come back: the webhook finds the booking by its
/// reference, and attaches the session itself.
async fn webhooks_before_their_session_is_attached_leave_no_orphan(db: TestDatabase) {
    let app = TestApp::start(&db).await;
    let bookings = app.pending_bookings(1_000).await;
    let races = bookings.iter().enumerate().map(|(n, booking)| {
        let session = format!("cs_race_{n}");
        let event = app.paid(&format!("evt_race_{n}"), booking, &session);
        let app = &app;
        async move {
            match n % 3 {
                // Our request never came back: only the webhook tells.
                0 => drop(app.deliver(&event).await),
                // The webhook first, our answer after.
                1 => {
                    app.deliver(&event).await;
                    app.attach(booking, &session).await;
                }
                // Both at once.
                _ => {
                    let (answer, ()) = tokio::join!(app.deliver(&event), app.attach(booking, &session));
                    assert_eq!((answer.status, answer.outcome().as_str()), (200, "processed"));
                }
            }
        }
    });
    futures_util::stream::iter(races).buffer_unordered(24).collect::<()>().await;
    let paid = "status = 'payé' and paid_session_id = stripe_session_id";
    assert_eq!(db.number(&format!("select count(*) from bookings where {paid}")).await, 1_000);
    let orphans = "booking_id is null or outcome <> 'processed'";
    assert_eq!(db.number(&format!("select count(*) from payment_events where {orphans}")).await, 0);
}

/// The server dies five times while webhooks come in. Stripe sends again what got no 2xx, as here; nothing
/// that got one may be missing, and nobody has to restart the program.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_killed_under_load_loses_nothing_and_is_found_again() {
    const EVENTS: usize = 1_500;
    let cluster = Arc::new(tokio::task::spawn_blocking(|| Cluster::start(Durability::Full)).await.unwrap());
    let db = TestDatabase::on(&cluster).await;
    let app = TestApp::start(&db).await;
    let bookings = app.pending_bookings(EVENTS).await;
    let payments: Vec<_> = bookings
        .iter()
        .enumerate()
        .map(|(n, booking)| app.paid(&format!("evt_kill_{n}"), booking, &format!("cs_kill_{n}")))
        .collect();

    let acknowledged = Arc::new(AtomicUsize::new(0));
    let killer = tokio::spawn({
        let (cluster, acknowledged) = (Arc::clone(&cluster), Arc::clone(&acknowledged));
        async move {
            for kill in 1..=5 {
                // Spread over the run, whatever the machine's speed.
                while acknowledged.load(Ordering::Relaxed) < kill * EVENTS / 6 {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                let cluster = Arc::clone(&cluster);
                let restart = move || {
                    cluster.kill();
                    cluster.restart();
                };
                tokio::task::spawn_blocking(restart).await.unwrap();
            }
        }
    });
    let app = &app;
    let acknowledged = &acknowledged;
    let failures: usize = futures_util::stream::iter(&payments)
        .map(|event| async move {
            let failures = deliver_until_acknowledged(app, event).await;
            acknowledged.fetch_add(1, Ordering::Relaxed);
            failures
        })
        .buffer_unordered(32)
        .fold(0, async |sum, failures| sum + failures)
        .await;
    killer.await.unwrap();

    assert!(failures > 0, "no delivery met a dead server: the test shows nothing");
    assert_eq!(db.number("select count(*) from payment_events where outcome = 'processed'").await, 1_500);
    assert_eq!(db.number("select count(*) from payment_events").await, 1_500);
    assert_eq!(db.number("select count(*) from bookings where status = 'payé'").await, 1_500);
    assert_eq!(db.number("select count(*) from outbox").await, 1_500);
}

/// As Stripe does it, only sooner. Tells how often it was in vain.
async fn deliver_until_acknowledged(app: &TestApp, event: &Value) -> usize {
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut failures = 0;
    loop {
        let answer = app.deliver(event).await;
        match answer.status {
            200 => {
                assert!(["processed", "duplicate"].contains(&answer.outcome().as_str()), "{answer:?}");
                return failures;
            }
            500 => failures += 1,
            other => panic!("a validly signed event was answered {other}: {}", answer.body),
        }
        assert!(Instant::now() < deadline, "not acknowledged in a minute");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
