//! Whether the next webhook would be recorded: told, by its reason, and healed by itself.

use crate::harness::postgres::{Cluster, Durability};
use crate::harness::process::command;
use crate::harness::proxy::Proxy;
use crate::harness::{Engine, TestApp, TestDatabase, TestProcess, eventually, on_each_engine};
use serde_json::{Value, json};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use store::{Store, StoreError};

on_each_engine! {
    a_crowd_at_the_door_asks_the_database_once,
    what_was_asked_a_moment_ago_is_not_told_when_the_database_has_gone,
}

async fn told(app: &TestApp, path: &str) -> (u16, Value) {
    let answer = app.get(path).await;
    (answer.status, answer.json())
}

async fn is_healthy(app: &TestApp) -> bool {
    told(app, "/health").await == (200, json!({ "status": "ok" }))
}

async fn says(app: &TestApp, db: &str) -> bool {
    told(app, "/health").await == (503, json!({ "status": "unavailable", "db": db }))
}

async fn a_crowd_at_the_door_asks_the_database_once(db: TestDatabase) {
    let app = TestApp::start(&db).await;
    assert!(is_healthy(&app).await);
    let written = "select max(at) from observations where name like 'written-%'";
    let first = db.number(written).await;
    let begun = Instant::now();
    let crowd = futures_util::future::join_all((0..50).map(|_| is_healthy(&app))).await;
    assert!(crowd.into_iter().all(|healthy| healthy));
    if begun.elapsed() < Duration::from_millis(500) {
        assert_eq!(db.number(written).await, first, "each wrote for itself");
    }
}

async fn what_was_asked_a_moment_ago_is_not_told_when_the_database_has_gone(db: TestDatabase) {
    let app = TestApp::start(&db).await;
    assert!(is_healthy(&app).await);
    app.app.store.close().await;
    assert!(says(&app, "down").await);
}

/// What is written into a file that was moved away is lost with the restart: it is not taken.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_file_that_was_moved_away_takes_nothing_until_it_is_back() {
    let db = TestDatabase::fresh(Engine::Sqlite).await;
    let app = TestApp::start(&db).await;
    let (one, two) = (app.pending_booking().await, app.pending_booking().await);
    assert_eq!(app.deliver(&app.paid("evt_1", &one, "cs_1")).await.status, 200);
    let (here, away) = (db.folder.path().join("checkout.db"), db.folder.path().join("away.db"));
    std::fs::rename(&here, &away).unwrap();
    assert_eq!(app.deliver(&app.paid("evt_2", &two, "cs_2")).await.status, 500);
    eventually("it is told", || says(&app, "down")).await;
    // Another file in its place is not the one that was opened.
    std::fs::write(&here, b"").unwrap();
    assert_eq!(app.deliver(&app.paid("evt_2", &two, "cs_2")).await.status, 500);
    std::fs::rename(&away, &here).unwrap();
    assert_eq!(app.deliver(&app.paid("evt_2", &two, "cs_2")).await.outcome(), "processed");
    eventually("it is well", || is_healthy(&app)).await;
    db.remove().await;
}

/// As after a failover, when the old primary comes back as a standby and the connections stay.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_takes_no_writes_is_told_and_left_when_it_does_again() {
    let db = TestDatabase::fresh(Engine::Postgres).await;
    let app = TestApp::start(&db).await;
    let booking = app.pending_booking().await;
    let event = app.paid("evt_ro", &booking, "cs_ro");
    let name = db.url.rsplit('/').next().unwrap();
    let read_only = async |value: &str| {
        db.execute(&format!(
            "begin read write; alter database {name} set default_transaction_read_only = {value}; commit"
        ))
        .await;
    };
    read_only("on").await;
    db.execute(&format!(
        "select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}' and pid <> pg_backend_pid()"
    ))
    .await;
    eventually("it is told", || says(&app, "read_only")).await;
    assert_eq!(app.deliver(&event).await.status, 500);
    assert_eq!(told(&app, "/readyz").await.1["db"], "read_only");
    let metrics = app.get("/metrics").await.body;
    assert!(metrics.contains("checkout_database_up 0\n"), "{metrics}");
    assert!(metrics.contains("checkout_database_trouble{reason=\"read_only\"} 1\n"), "{metrics}");
    assert!(
        metrics.contains("checkout_webhook_failures_total{kind=\"failed\",reason=\"not_recorded\"} 1\n"),
        "{metrics}"
    );

    // The connections of now stay read-only. Nobody closes them but we.
    read_only("off").await;
    let begun = Instant::now();
    eventually("it is taken", async || app.deliver(&event).await.status == 200).await;
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    eventually("it is well", || is_healthy(&app)).await;
    db.remove().await;
}

/// A restore, or a later version's migration, changes a column under prepared statements.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_changes_under_the_service_costs_no_delivery() {
    let db = TestDatabase::fresh(Engine::Postgres).await;
    let app = TestApp::start(&db).await;
    let bookings = app.pending_bookings(4).await;
    for (n, booking) in bookings.iter().enumerate() {
        if n == 2 {
            db.execute("alter table bookings alter column first_name type varchar(300)").await;
            db.execute("alter table payment_events alter column reason type varchar(300)").await;
        }
        let answer = app.deliver(&app.paid(&format!("evt_{n}"), booking, &format!("cs_{n}"))).await;
        assert_eq!((answer.status, answer.outcome().as_str()), (200, "processed"), "delivery {n}");
    }
    db.remove().await;
}

/// Visitors may take what is left. The recorder has its own first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_few_connections_are_allowed_the_recorder_has_its_own() {
    let cluster = tokio::task::spawn_blocking(|| Cluster::start(Durability::Full)).await.unwrap();
    let db = TestDatabase::on(&cluster).await;
    db.execute("create role few login connection limit 6").await;
    db.execute("grant all on all tables in schema public to few").await;
    let limited = TestDatabase { url: db.url.replace("//checkout@", "//few@"), ..db.clone() };
    let app = TestApp::start(&limited).await;
    app.app.store.reserve().await.unwrap();
    let bookings = app.pending_bookings(8).await;
    let mut visitors = Vec::new();
    while let Ok(Ok(tx)) = tokio::time::timeout(Duration::from_millis(500), app.app.store.begin()).await {
        visitors.push(tx);
    }
    assert!(!visitors.is_empty() && visitors.len() <= 3, "{} of 6", visitors.len());
    let events: Vec<_> = bookings
        .iter()
        .enumerate()
        .map(|(n, booking)| app.paid(&format!("evt_few_{n}"), booking, &format!("cs_few_{n}")))
        .collect();
    for answer in futures_util::future::join_all(events.iter().map(|event| app.deliver(event))).await {
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
    assert!(is_healthy(&app).await);
    drop(visitors);
    app.app.store.close().await;
}

#[tokio::test]
async fn of_several_hosts_the_one_that_answers_is_found_and_found_again() {
    let db = TestDatabase::fresh(Engine::Postgres).await;
    let (one, two) = (Proxy::to(db.port()).await, Proxy::to(db.port()).await);
    let name = db.url.rsplit('/').next().unwrap();
    let url = format!(
        "postgres://checkout@127.0.0.1:1,127.0.0.1:{},127.0.0.1:{}/{name}?target_session_attrs=read-write",
        one.port, two.port
    );
    let store = Store::open(&url).unwrap();
    assert!(store.place().contains("127.0.0.1:1,"), "{}", store.place());
    store.ready().await.unwrap();
    one.swallow();
    // Whoever meets the silence gives up in time, and the next looks for another host.
    eventually("the other host is found", async || store.ready().await.is_ok()).await;
    store.close().await;
    let nobody = Store::open("postgres://checkout@127.0.0.1:1,127.0.0.1:2/x").unwrap();
    assert!(matches!(nobody.ready().await, Err(StoreError::Unavailable(_))));
    db.remove().await;
}

/// A pooler in front of a server. Dropped, it is gone.
struct Pooler {
    process: Child,
    port: u16,
    _folder: tempfile::TempDir,
}

impl Pooler {
    /// None where PgBouncer is not installed.
    async fn start(server: u16, mode: &str, more: &str) -> Option<Self> {
        use std::os::unix::fs::PermissionsExt;
        use std::os::unix::process::CommandExt;
        let program = ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer"]
            .into_iter()
            .find(|path| std::path::Path::new(path).exists())?;
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
        let port = crate::harness::process::free_port();
        let (users, settings) = (folder.path().join("users"), folder.path().join("ini"));
        std::fs::write(&users, "\"checkout\" \"\"\n").unwrap();
        let text = format!(
            "[databases]\n* = host=127.0.0.1 port={server}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
             auth_type = trust\nauth_file = {}\npool_mode = {mode}\nunix_socket_dir =\n{more}\n",
            users.display()
        );
        std::fs::write(&settings, text).unwrap();
        let mut command = Command::new(program);
        command.arg("-q").arg(&settings).current_dir("/").stdout(Stdio::null()).stderr(Stdio::null());
        // It refuses to run as root.
        if let Some((uid, gid)) = crate::harness::postgres::owner() {
            command.uid(uid).gid(gid);
        }
        let process = command.spawn().unwrap();
        let pooler = Self { process, port, _folder: folder };
        eventually("the pooler listens", async || {
            tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok()
        })
        .await;
        Some(pooler)
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_a_pooler_everything_holds() {
    for (mode, more) in [
        ("session", "default_pool_size = 40"),
        ("transaction", "default_pool_size = 3"),
        ("transaction", "default_pool_size = 3\nignore_startup_parameters = extra_float_digits,options"),
    ] {
        let db = TestDatabase::empty(Engine::Postgres).await;
        // What the server would do if nobody told it otherwise.
        let name = db.url.rsplit('/').next().unwrap().to_owned();
        db.execute(&format!("alter database {name} set synchronous_commit = off")).await;
        let Some(pooler) = Pooler::start(db.port(), mode, more).await else {
            println!("not tried: PgBouncer is not installed");
            return;
        };
        let db = db.through(pooler.port);
        let now = || clock::Clock::system().now();
        let starts = (0..3).map(async |_| {
            let store = db.reopen();
            let done = store.migrate(now()).await;
            store.close().await;
            done
        });
        for done in futures_util::future::join_all(starts).await {
            done.unwrap();
        }
        assert!(db.store.is_pooled().await.unwrap(), "{mode}");
        let app = TestApp::start(&db).await;
        let bookings = app.pending_bookings(60).await;
        let events: Vec<_> = bookings
            .iter()
            .enumerate()
            .map(|(n, booking)| app.paid(&format!("evt_{n}"), booking, &format!("cs_{n}")))
            .collect();
        let booking_paid_later = app.paid("evt_later", &app.pending_booking().await, "cs_later");
        for event in events.chunks(20) {
            for answer in futures_util::future::join_all(event.iter().map(|event| app.deliver(event))).await {
                assert_eq!(
                    (answer.status, answer.outcome().as_str()),
                    (200, "processed"),
                    "{mode}: {}",
                    answer.body
                );
            }
        }
        let faults = app.app.store.environment(now()).await.unwrap();
        assert!(!faults.iter().any(|fault| fault.check == "synchronous-commit"), "{mode}: {faults:?}");
        assert!(is_healthy(&app).await, "{mode}");
        db.assert_sound().await;
        app.app.store.close().await;
        the_program_serves_and_its_commands_work(&db, &booking_paid_later).await;
        db.store.close().await;
    }
}

/// The real process behind the pooler, and commands beside it: each takes connections of its own from the few.
async fn the_program_serves_and_its_commands_work(db: &TestDatabase, event: &Value) {
    let port = crate::harness::process::free_port();
    let process = TestProcess::start(db, port, "http://127.0.0.1:1", &[]).await;
    for outcome in ["processed", "duplicate", "duplicate"] {
        let answer = process.deliver(event).await.unwrap();
        assert_eq!((answer.status, answer.outcome().as_str()), (200, outcome), "{}", answer.body);
    }
    let (_, told) = command(db, &["doctor", "--json"]).await;
    let report: Value = serde_json::from_str(&told).unwrap();
    for finding in report["findings"].as_array().unwrap() {
        let is_about_stripe = finding["check"] == "stripe";
        assert!(is_about_stripe || finding["status"] != "fail", "{finding}");
    }
    let (code, told) = command(db, &["events", "list"]).await;
    assert!(code == Some(0) && told.contains("evt_later"), "{told}");
    let (code, _) = command(db, &["migrate", "status"]).await;
    assert_eq!(code, Some(0));
    process.kill().await;
}

/// The server that the tests share has `fsync` off.
#[tokio::test]
async fn production_does_not_start_where_what_was_acknowledged_may_be_lost() {
    let db = TestDatabase::fresh(Engine::Postgres).await;
    if db.texts("select current_setting('fsync')").await == ["on"] {
        println!("not tried: the server of TEST_POSTGRES_URL has fsync on");
        return;
    }
    db.execute("drop index bookings_seat").await;
    let production = [("APP_ENV", "production"), ("APP_URL", "https://pay.test")];
    let port = crate::harness::process::free_port();
    let mut process =
        TestProcess::spawn(&db, port, "http://127.0.0.1:1", &production, std::process::Stdio::null());
    process.says("not fit for production").await;
    process.says("fsync is off").await;
    process.says("bookings_seat").await;
    assert_eq!(process.ended().await.code(), Some(2));
    db.remove().await;
}
