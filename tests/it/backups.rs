//! The whole database in a file, and back; and the drill: yesterday's backup and a reconciliation are today's truth.

use crate::harness::process::command;
use crate::harness::{Engine, TestApp, TestDatabase, on_each_engine};
use crate::shop::{Checkout, HOLD, Shop, VISA};
use checkout_backend::flow::backup::{self, BackupError};
use checkout_backend::flow::reconcile::{self, Options};
use checkout_backend::flow::transfer::TransferError;
use checkout_backend::flow::{closed, transfer};
use clock::Clock;
use domain::booking::Status;
use serde_json::json;
use sqlx::migrate::Migrator;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use store::Store;

on_each_engine! {
    every_table_of_the_database_is_in_a_backup,
    a_backup_restored_into_either_engine_is_the_same_to_the_last_row,
    a_backup_taken_while_payments_arrive_is_one_moments_view,
    a_backup_is_private_and_overwrites_nothing,
    a_damaged_backup_is_refused_and_changes_nothing,
    a_database_that_holds_something_is_overwritten_only_when_asked,
    a_backup_of_an_older_schema_is_restored_and_migrated,
    yesterdays_backup_and_a_reconciliation_are_todays_truth,
    a_booking_made_after_the_backup_whose_seat_is_gone_becomes_a_case,
    a_storefront_stays_closed_while_stripe_cannot_be_asked,
}

fn file(db: &TestDatabase, name: &str) -> PathBuf {
    db.folder.path().join(name)
}

fn now() -> clock::Timestamp {
    Clock::system().now()
}

fn other(engine: Engine) -> Engine {
    match engine {
        Engine::Sqlite => Engine::Postgres,
        Engine::Postgres => Engine::Sqlite,
    }
}

async fn contents(store: &Store) -> transfer::Contents {
    let mut tx = store.begin_snapshot().await.unwrap();
    let tables = tx.tables().await.unwrap();
    let contents = transfer::contents(&mut tx, &tables).await.unwrap();
    tx.rollback().await.unwrap();
    contents
}

async fn restored(db: &TestDatabase, path: &Path) -> Result<transfer::Report, BackupError> {
    backup::restore(&db.store, &backup::check(path).unwrap(), false, now()).await
}

async fn every_table_of_the_database_is_in_a_backup(db: TestDatabase) {
    let mut there = db
        .texts(match db.engine {
            Engine::Sqlite => "select name from sqlite_master where type = 'table' order by name",
            Engine::Postgres => {
                "select table_name::text from information_schema.tables where table_schema = 'public' order by 1"
            }
        })
        .await;
    there.retain(|table| table != "_sqlx_migrations");
    let mut tx = db.store.read().await.unwrap();
    let tables = tx.tables().await.unwrap();
    tx.rollback().await.unwrap();
    let mut copied: Vec<_> = tables.iter().map(|table| table.name.clone()).collect();
    copied.sort();
    assert_eq!(copied, there);
    for (n, table) in tables.iter().enumerate() {
        let later = tables[n + 1..].iter().find(|later| table.refers_to.contains(&later.name));
        assert!(later.is_none(), "{} comes before {later:?}", table.name);
    }
}

async fn a_backup_restored_into_either_engine_is_the_same_to_the_last_row(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let paid = shop.paid().await;
    shop.book().await;
    // What a careless copy would change: quotes, line ends, what is beyond ASCII, nothing at all.
    db.execute("update bookings set first_name = 'É\"\\ ''\n\t𐍈', last_name = ''").await;
    let path = file(&db, "all.jsonl");
    let report = backup::take(&db.store, &path, now()).await.unwrap();
    assert_eq!((report.tables["bookings"], report.money[0].paid, report.violations.len()), (2, 6000, 0));
    for engine in [db.engine, other(db.engine)] {
        let copy = TestDatabase::empty(engine).await;
        assert!(!restored(&copy, &path).await.unwrap().unchanged);
        let (mut here, mut there) = (contents(&db.store).await, contents(&copy.store).await);
        // It remembers besides that it was restored.
        for contents in [&mut here, &mut there] {
            contents.tables.remove("marks");
        }
        assert_eq!(here, there);
        copy.assert_sound().await;
        let again = restored(&copy, &path).await.unwrap();
        assert!(again.unchanged, "the second time there is nothing to do");
        let mut tx = copy.store.read().await.unwrap();
        let booking = tx.booking(paid.booking).await.unwrap().unwrap();
        assert_eq!((booking.status(), booking.customer.first_name.as_str()), (Status::Paid, "É\"\\ '\n\t𐍈"));
        tx.rollback().await.unwrap();
        copy.remove().await;
    }
}

async fn a_backup_taken_while_payments_arrive_is_one_moments_view(db: TestDatabase) {
    let app = TestApp::start(&db).await;
    let bookings = app.pending_bookings(120).await;
    let paying = async {
        for (n, booking) in bookings.iter().enumerate() {
            let event = app.paid(&format!("evt_{n}"), booking, &format!("cs_test_{n}"));
            assert_eq!(app.deliver(&event).await.status, 200);
        }
    };
    let backing_up = async {
        let mut files = Vec::new();
        for n in 0..4 {
            let path = file(&db, &format!("{n}.jsonl"));
            backup::take(&app.app.store, &path, now()).await.unwrap();
            files.push(path);
        }
        files
    };
    let ((), files) = tokio::join!(paying, backing_up);
    for path in files {
        let copy = TestDatabase::empty(Engine::Sqlite).await;
        let report = restored(&copy, &path).await.unwrap();
        // Half a payment would be a booking without its ledger row, or the other way round.
        assert_eq!(report.violations, []);
        copy.remove().await;
    }
}

async fn a_backup_is_private_and_overwrites_nothing(db: TestDatabase) {
    let path = file(&db, "one.jsonl");
    std::fs::write(&path, "somebody's").unwrap();
    let words = ["backup", path.to_str().unwrap()];
    assert_eq!(command(&db, &words).await.0, Some(2));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "somebody's");
    std::fs::remove_file(&path).unwrap();
    let (code, printed) = command(&db, &words).await;
    assert_eq!(code, Some(0));
    let printed: serde_json::Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(printed["tables"]["offers"], 1);
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let left = std::fs::read_dir(db.folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
    let parts: Vec<_> = left.filter(|name| name.to_string_lossy().contains(".part")).collect();
    assert!(parts.is_empty(), "{parts:?}");
    assert_eq!(command(&db, &["restore", "nowhere.jsonl"]).await.0, Some(2));
}

async fn a_damaged_backup_is_refused_and_changes_nothing(db: TestDatabase) {
    let path = file(&db, "good.jsonl");
    backup::take(&db.store, &path, now()).await.unwrap();
    let good = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = good.lines().collect();
    let without_the_end = lines[..lines.len() - 1].join("\n") + "\n";
    let damaged = [
        ("an empty file", String::new()),
        ("another file", "{\"bookings\": []}\n".to_owned()),
        ("cut off in a line", good[..good.len() - 20].to_owned()),
        ("cut off after a line", without_the_end),
        ("a changed row", good.replace("Séance", "Seance")),
        ("a row twice", good.replacen("[\"ADMIN\"]\n", "[\"ADMIN\"]\n[\"ADMIN\"]\n", 1)),
        ("a row less", good.replacen("[\"ADMIN\"]\n", "", 1)),
        ("a newer program's", good.replacen("\"version\":1", "\"version\":2", 1)),
        ("of a newer schema", good.replacen("\"schema\":", "\"schema\":9", 1)),
    ];
    let before = contents(&db.store).await;
    for (what, text) in damaged {
        assert_ne!(text, good, "{what}");
        let path = file(&db, "bad.jsonl");
        std::fs::write(&path, text).unwrap();
        let refusal = backup::check(&path);
        assert!(matches!(refusal, Err(BackupError::Unusable { .. })), "{what}: {refusal:?}");
    }
    assert_eq!(contents(&db.store).await, before);
}

async fn a_database_that_holds_something_is_overwritten_only_when_asked(db: TestDatabase) {
    let path = file(&db, "empty.jsonl");
    backup::take(&db.store, &path, now()).await.unwrap();
    let app = TestApp::start(&db).await;
    app.pending_booking().await;
    let refusal = restored(&db, &path).await.unwrap_err();
    assert!(matches!(refusal, BackupError::Transfer(TransferError::NotEmpty { .. })), "{refusal}");
    assert!(refusal.to_string().contains("1 bookings"), "{refusal}");
    assert_eq!(db.number("select count(*) from bookings").await, 1);
    backup::restore(&db.store, &backup::check(&path).unwrap(), true, now()).await.unwrap();
    assert_eq!(db.number("select count(*) from bookings").await, 0);
}

async fn a_backup_of_an_older_schema_is_restored_and_migrated(db: TestDatabase) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let old = TestDatabase::empty(db.engine).await;
    let all = Migrator::new(root.join("crates/store/migrations")).await.unwrap();
    for version in 1..=7 {
        match &old.store {
            Store::Postgres(server) => all.run_to(version, server.pool().await.unwrap()).await.unwrap(),
            Store::Sqlite { writer, .. } => all.run_to(version, writer).await.unwrap(),
        }
        let rows = std::fs::read_to_string(root.join(format!("tests/it/fixtures/{version:04}.sql"))).unwrap();
        old.execute(&rows).await;
    }
    let path = file(&db, "old.jsonl");
    let taken = backup::take(&old.store, &path, now()).await.unwrap();
    // Into nothing at all, and into what a newer program has made and nobody has used.
    for engine in [db.engine, other(db.engine)] {
        for copy in [TestDatabase::empty(engine).await, TestDatabase::fresh(engine).await] {
            restored(&copy, &path).await.unwrap();
            copy.store.ready().await.unwrap();
            let bookings = copy.number("select count(*) from bookings").await;
            assert_eq!(u64::try_from(bookings).unwrap(), taken.tables["bookings"]);
            assert_eq!(copy.number("select count(*) from marks where name = 'restored'").await, 1);
            copy.remove().await;
        }
    }
    old.remove().await;
}

/// Everything that customer and owner were told of each booking.
async fn truth(db: &TestDatabase) -> Vec<String> {
    db.texts(
        "select id || ' ' || status || ' ' || coalesce(cast(seat as text), '-') || ' ' || offer_id || ' '
             || slot_date || ' ' || slot_time || ' ' || cast(starts_at as text) || ' ' || first_name || ' '
             || last_name || ' ' || email || ' ' || cast(amount as text) || ' ' || currency || ' ' || lang || ' '
             || coalesce(stripe_session_id, '-') || ' ' || coalesce(cast(paid_amount as text), '-')
         from bookings order by id",
    )
    .await
}

fn as_body(request: &domain::booking::BookingRequest) -> serde_json::Value {
    json!({
        "firstName": request.first_name, "lastName": request.last_name, "email": request.email,
        "date": request.date, "time": request.time,
    })
}

async fn yesterdays_backup_and_a_reconciliation_are_todays_truth(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    shop.paid().await;
    let waiting = shop.book().await;
    let path = file(&db, "yesterday.jsonl");
    backup::take(&db.store, &path, shop.app.clock.now()).await.unwrap();

    // What happened since: a payment of before, payments, a hold, an end, a refund, on a new offer too.
    shop.pay(&waiting, VISA).await;
    let ended = shop.book().await;
    shop.deliver_all().await;
    shop.advance(HOLD);
    reconcile::run(&shop.app.app, Options::default()).await.unwrap();
    assert_eq!(shop.status(&ended).await, Status::Expired);
    let mut request = Shop::request();
    request.first_name = "Zoé".into();
    let taken = request.clone();
    let later = shop.book_as(&request).await;
    shop.pay(&later, VISA).await;
    let refunded = shop.book().await;
    shop.pay(&refunded, VISA).await;
    shop.book().await;
    shop.deliver_all().await;
    give_back(&shop, &refunded).await;
    shop.deliver_all().await;
    let today = truth(&db).await;
    assert_eq!(today.len(), 6);

    // The machine is gone.
    let copy = TestDatabase::empty(db.engine).await;
    restored(&copy, &path).await.unwrap();
    let app = TestApp::start_with(&copy, &[], &shop.sim.base_url()).await;
    app.clock.advance(HOLD);
    assert_ne!(truth(&copy).await, today);

    // Nothing is sold, least of all what was sold since; and whatever Stripe tells is kept.
    for request in [&taken, &Shop::request()] {
        let refused = app.post_json("/api/bookings", &as_body(request), &[]).await;
        assert_eq!(refused.status, 503, "{}", refused.body);
        assert!(refused.body.contains("reconcile") && refused.headers.contains_key("retry-after"));
    }
    for event in shop.sim.events() {
        assert_eq!(app.deliver(&event).await.status, 200);
    }
    let dry = reconcile::run(&app.app, Options { dry_run: true, ..Options::default() }).await.unwrap();
    assert!(dry.made_again.is_empty());
    assert!(closed::restored(&app.app).await.unwrap().is_some(), "a look opens nothing");

    let report = reconcile::run(&app.app, Options::default()).await.unwrap();
    assert_eq!((report.failures.len(), report.made_again.len()), (0, 4), "{report:?}");
    app.clock.advance(Duration::from_secs(900));
    app.app.recorder.retry_due(&app.app.store).await.unwrap();
    assert_eq!(truth(&copy).await, today);
    assert_eq!(copy.number("select count(*) from payment_events where next_try_at is not null").await, 0);
    assert_eq!(copy.number("select count(*) from cases").await, 0);
    copy.assert_sound().await;

    assert_eq!(app.post_json("/api/bookings", &as_body(&taken), &[]).await.status, 409);
    assert_eq!(app.post_json("/api/bookings", &as_body(&Shop::request()), &[]).await.status, 200);
    copy.remove().await;
}

async fn give_back(shop: &Shop, checkout: &Checkout) {
    let session = shop.sim.object(&checkout.session).unwrap();
    let intent = session["payment_intent"].as_str().unwrap();
    let form = format!("payment_intent={intent}");
    let request = shop.app.http.post(format!("{}/v1/refunds", shop.sim.base_url()));
    let request = request.header("authorization", "Bearer sk_test_4eC39HqLyjWDarjtT1zdp7dc");
    let request = request.header("content-type", "application/x-www-form-urlencoded").body(form);
    assert_eq!(crate::harness::app::send(request).await.status, 200);
}

async fn a_booking_made_after_the_backup_whose_seat_is_gone_becomes_a_case(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let path = file(&db, "yesterday.jsonl");
    backup::take(&db.store, &path, now()).await.unwrap();
    let request = Shop::request();
    let lost = shop.book_as(&request).await;
    shop.pay(&lost, VISA).await;
    let copy = TestDatabase::empty(db.engine).await;
    restored(&copy, &path).await.unwrap();
    // As if it had been restored by other means, and its seat sold again.
    copy.execute("delete from marks where name = 'restored'").await;
    let app = TestApp::start_with(&copy, &[], &shop.sim.base_url()).await;
    assert_eq!(app.post_json("/api/bookings", &as_body(&request), &[]).await.status, 200);
    let since = Some(app.clock.now().minus(Duration::from_secs(3600)));
    let report = reconcile::run(&app.app, Options { since, ..Options::default() }).await.unwrap();
    assert_eq!(report.made_again, [lost.booking]);
    assert_eq!(copy.texts("select kind from cases").await, ["late_payment"]);
    assert_eq!(copy.number("select count(*) from bookings where seat is not null").await, 1);
    copy.assert_sound().await;
    copy.remove().await;
}

async fn a_storefront_stays_closed_while_stripe_cannot_be_asked(db: TestDatabase) {
    let path = file(&db, "yesterday.jsonl");
    backup::take(&db.store, &path, now()).await.unwrap();
    let copy = TestDatabase::empty(db.engine).await;
    restored(&copy, &path).await.unwrap();
    let app = TestApp::start(&copy).await;
    let report = reconcile::run(&app.app, Options::default()).await.unwrap();
    assert!(!report.failures.is_empty());
    assert_eq!(app.post_json("/api/bookings", &as_body(&Shop::request()), &[]).await.status, 503);
    let page = app.get("/").await;
    assert_eq!(page.status, 200, "the page is there, and says so when it is sent");
    copy.remove().await;
}
