//! Crowds, crashes and outages: what was acknowledged is never lost, and nothing is applied twice.

use crate::harness::app::{delivery, send};
use crate::harness::postgres::{Cluster, Durability};
use crate::harness::proxy::Proxy;
use crate::harness::{Engine, TestApp, TestDatabase, eventually, on_each_engine};
use futures_util::StreamExt;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
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
    let payments = payments(&app, EVENTS, "crowd").await;

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
    assert_eq!(db.number("select sum(deliveries) from payment_events").await, 32_000);
    each_was_applied_once(&db, EVENTS).await;
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
    db.assert_sound().await;
}

/// The server dies five times while webhooks come in. Stripe sends again what got no 2xx, as here; nothing
/// that got one may be missing, and nobody has to restart the program.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_killed_under_load_loses_nothing_and_is_found_again() {
    const EVENTS: usize = 1_500;
    let cluster = Arc::new(tokio::task::spawn_blocking(|| Cluster::start(Durability::Full)).await.unwrap());
    let db = TestDatabase::on(&cluster).await;
    let app = TestApp::start(&db).await;
    let payments = payments(&app, EVENTS, "kill").await;

    let (last, payments) = payments.split_last().unwrap();
    let acknowledged = AtomicUsize::new(0);
    let killing = async {
        for kill in 1..=5 {
            // Spread over the run, whatever the machine's speed.
            while acknowledged.load(Ordering::Relaxed) < kill * EVENTS / 6 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            let dying = Arc::clone(&cluster);
            tokio::task::spawn_blocking(move || dying.kill()).await.unwrap();
            if kill == 1 {
                // A short outage is ridden out unseen, this one is not: it lasts until a delivery was refused.
                assert_eq!(app.deliver(last).await.status, 500);
            }
            let dead = Arc::clone(&cluster);
            tokio::task::spawn_blocking(move || dead.restart()).await.unwrap();
        }
    };
    let delivering = futures_util::stream::iter(payments).for_each_concurrent(32, async |event| {
        deliver_until_acknowledged(&app, event).await;
        acknowledged.fetch_add(1, Ordering::Relaxed);
    });
    tokio::join!(killing, delivering);
    deliver_until_acknowledged(&app, last).await;
    each_was_applied_once(&db, EVENTS).await;
}

/// A hundred times somebody cuts the program's connections in the middle of whatever they do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_cut_under_load_lose_nothing() {
    const EVENTS: usize = 1_000;
    let db = TestDatabase::fresh(Engine::Postgres).await;
    let app = TestApp::start(&db).await;
    let payments = payments(&app, EVENTS, "cut").await;
    let done = AtomicBool::new(false);
    let cutting = async {
        let mut cuts = 0;
        while !done.load(Ordering::Relaxed) && cuts < 100 {
            db.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity
                 where datname = current_database() and application_name = 'checkout-backend'",
            )
            .await;
            cuts += 1;
            tokio::time::sleep(Duration::from_millis(15)).await;
        }
        cuts
    };
    let delivering = async {
        futures_util::stream::iter(&payments)
            .for_each_concurrent(16, async |event| {
                deliver_until_acknowledged(&app, event).await;
            })
            .await;
        done.store(true, Ordering::Relaxed);
    };
    let (cuts, ()) = tokio::join!(cutting, delivering);
    assert!(cuts > 10, "only {cuts} cuts: the test shows nothing");
    each_was_applied_once(&db, EVENTS).await;
    db.remove().await;
}

/// The network swallows everything without closing anything. Deliveries are refused in time, and when the
/// network is back so is the service, although its old connections stay open and dead.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_falls_silent_is_given_up_in_time_and_found_again() {
    let db = TestDatabase::fresh(Engine::Postgres).await;
    let proxy = Proxy::to(db.port()).await;
    let app = TestApp::start(&db.through(proxy.port)).await;
    let payments = payments(&app, 24, "silent").await;
    let (before, during) = payments.split_at(4);
    for event in before {
        assert_eq!(app.deliver(event).await.outcome(), "processed");
    }

    proxy.swallow();
    let begun = Instant::now();
    let refused = during.iter().map(|event| app.deliver(event));
    for answer in futures_util::future::join_all(refused).await {
        assert_eq!(answer.status, 500, "{}", answer.body);
    }
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());

    proxy.heal();
    for event in during {
        deliver_until_acknowledged(&app, event).await;
    }
    each_was_applied_once(&db, 24).await;
    db.remove().await;
}

/// Under load the recorder asks for a second connection. The batch for which it is not to be had may be refused;
/// the other writer does not stand behind it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_is_never_made_holds_up_one_batch_and_no_other() {
    const BATCH: usize = 128;
    let db = TestDatabase::fresh(Engine::Postgres).await;
    let proxy = Proxy::to(db.port()).await;
    let app = TestApp::start(&db.through(proxy.port)).await;
    let payments = payments(&app, 5 * BATCH, "unanswered").await;
    let (first, others) = payments.split_at(1);
    assert_eq!(app.deliver(&first[0]).await.outcome(), "processed");

    proxy.leave_new_ones_unanswered();
    let answers = futures_util::future::join_all(others.iter().map(|event| app.deliver(event))).await;
    let refused = answers.iter().filter(|answer| answer.status != 200).count();
    assert!(proxy.unanswered() > 0, "nobody asked for another connection: the test shows nothing");
    assert!(refused <= BATCH, "{refused} refused");

    proxy.heal();
    for event in others {
        deliver_until_acknowledged(&app, event).await;
    }
    each_was_applied_once(&db, payments.len()).await;
    db.remove().await;
}

/// A small disk of its own, which takes root to make. Dropped, it is gone.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=12m", "tmpfs"])
            .arg(folder.path())
            .output()
            .is_ok_and(|output| output.status.success());
        mounted.then_some(Self(folder))
    }

    /// Writes a file that leaves only this many bytes free.
    fn fill(&self, leave: u64) {
        let mut file = std::fs::File::create(self.filler()).unwrap();
        while file.write_all(&[0; 4096]).is_ok() {}
        file.set_len(file.metadata().unwrap().len() - leave).unwrap();
    }

    fn filler(&self) -> PathBuf {
        self.0.path().join("filler")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0.path()).status();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_answered_with_500_until_there_is_room_and_loses_nothing() {
    const EVENTS: usize = 300;
    let Some(disk) = SmallDisk::mount() else {
        println!("not tried: only root can mount a small disk");
        return;
    };
    let db = TestDatabase::at(disk.0.path()).await;
    let app = TestApp::start(&db).await;
    let payments = payments(&app, EVENTS, "full").await;
    disk.fill(256 * 1024);

    let mut refused = Vec::new();
    let mut acknowledged = Vec::new();
    for event in &payments {
        let answer = app.deliver(event).await;
        match answer.status {
            200 => acknowledged.push(event["id"].as_str().unwrap()),
            500 => refused.push(event),
            other => panic!("{other}: {}", answer.body),
        }
    }
    assert!(!acknowledged.is_empty() && !refused.is_empty(), "{} were refused", refused.len());
    eventually("it is told", async || app.get("/health").await.json()["db"] == "full").await;
    let stored = db.texts("select event_key from payment_events where outcome = 'processed'").await;
    assert!(
        acknowledged.iter().all(|id| stored.iter().any(|key| key == id)),
        "an acknowledged event is lost"
    );

    std::fs::remove_file(disk.filler()).unwrap();
    eventually("it is well", async || app.get("/health").await.status == 200).await;
    for event in refused {
        deliver_until_acknowledged(&app, event).await;
    }
    each_was_applied_once(&db, EVENTS).await;
    assert_eq!(db.texts("pragma integrity_check").await, ["ok"]);
    db.remove().await;
}

/// Each event reaches both, several times, at the same moment.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_instances_on_one_database_apply_each_event_once() {
    const EVENTS: usize = 500;
    let db = TestDatabase::fresh(Engine::Postgres).await;
    let (one, other) = (TestApp::start(&db).await, TestApp::start(&db).await);
    let payments = payments(&one, EVENTS, "both").await;
    let deliveries =
        payments.iter().flat_map(|event| [(&one, event), (&other, event), (&one, event), (&other, event)]);
    let processed: usize = futures_util::stream::iter(deliveries)
        .map(async |(app, event)| {
            let answer = app.deliver(event).await;
            assert_eq!(answer.status, 200, "{}", answer.body);
            usize::from(answer.outcome() == "processed")
        })
        .buffer_unordered(64)
        .fold(0, async |sum, one| sum + one)
        .await;
    assert_eq!(processed, EVENTS);
    assert_eq!(db.number("select sum(deliveries) from payment_events").await, 2_000);
    each_was_applied_once(&db, EVENTS).await;
    db.remove().await;
}

/// Events that pay as many bookings, each by a session of its own.
async fn payments(app: &TestApp, count: usize, name: &str) -> Vec<Value> {
    let bookings = app.pending_bookings(count).await;
    let named = |(n, booking)| app.paid(&format!("evt_{name}_{n}"), booking, &format!("cs_{name}_{n}"));
    bookings.iter().enumerate().map(named).collect()
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

/// As Stripe does it, only sooner. The patience is for a busy machine, on which a killed server alone takes
/// many seconds to come back.
async fn deliver_until_acknowledged(app: &TestApp, event: &Value) {
    let deadline = Instant::now() + Duration::from_secs(300);
    loop {
        let answer = app.deliver(event).await;
        match answer.status {
            200 => {
                assert!(["processed", "duplicate"].contains(&answer.outcome().as_str()), "{answer:?}");
                return;
            }
            500 => {}
            other => panic!("a validly signed event was answered {other}: {}", answer.body),
        }
        assert!(Instant::now() < deadline, "never acknowledged");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
