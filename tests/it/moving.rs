//! Moving in from the original service, and from one engine to the other.

use crate::harness::people::PASSWORD;
use crate::harness::process::{command, free_port};
use crate::harness::{Engine, TestApp, TestDatabase, TestProcess, on_each_engine};
use crate::shop::Shop;
use checkout_backend::flow::import::{self, ImportError, Options, Report};
use checkout_backend::flow::transfer;
use domain::booking::Status;
use domain::ids::BookingId;
use serde_json::{Value, json};
use store::Store;

on_each_engine! {
    the_original_services_database_is_taken_over,
    taking_over_again_changes_nothing,
    a_dry_run_of_taking_over_changes_nothing,
    an_open_session_of_the_old_service_pays_its_booking,
    what_cannot_be_taken_over_is_named_row_by_row,
    other_names_of_columns_are_understood_and_a_missing_one_is_named,
    a_database_moves_to_the_other_engine_and_back,
    a_database_in_use_is_not_moved,
}

/// As the original's migrations make it.
const ORIGINAL: &str = r#"
    create table "User" (
        "id" text primary key, "email" text not null unique, "passwordHash" text not null,
        "role" text not null default 'READONLY', "isActive" boolean not null default true,
        "createdAt" timestamp(3) not null default now(), "updatedAt" timestamp(3) not null default now());
    create table "Booking" (
        "id" text primary key, "firstName" text not null, "lastName" text not null, "email" text not null,
        "date" text not null, "time" text not null, "status" text not null default 'en attente',
        "stripeSessionId" text unique, "createdAt" timestamp(3) not null default now(),
        "updatedAt" timestamp(3) not null default now());
    create table "PaymentEvent" (
        "id" text primary key, "stripeSessionId" text not null unique, "type" text,
        "createdAt" timestamp(3) not null default now());
    create table "_prisma_migrations" ("id" text primary key);
"#;

const OPEN: &str = "0193b5a0-0000-4000-8000-000000000003";
const PAID: &str = "0193b5a0-0000-4000-8000-000000000001";

fn rows() -> String {
    let hash = bcrypt::hash(PASSWORD, 4).unwrap();
    format!(
        r#"
        insert into "User" ("id", "email", "passwordHash", "role", "isActive") values
            ('u1', 'Owner@Example.org', '{hash}', 'ADMIN', true),
            ('u2', 'gone@example.org', '{hash}', 'OPS', false);
        insert into "Booking" ("id", "firstName", "lastName", "email", "date", "time", "status", "stripeSessionId",
            "createdAt", "updatedAt") values
            ('{PAID}', 'Ada', 'Lovelace', 'ada@example.org', '2031-03-03', '10:00', 'payé', 'cs_test_old1',
                now() - interval '3 days', now() - interval '3 days'),
            ('0193b5a0-0000-4000-8000-000000000002', 'Émile', 'O''Neil', 'e@example.org', '2031-03-03', '11:00', 'payé',
                'cs_test_old2', now() - interval '2 days', now() - interval '2 days'),
            ('{OPEN}', 'Zoé', 'Open', 'z@example.org', '2031-03-03', '12:00', 'en attente', 'cs_test_old3',
                now() - interval '1 hour', now() - interval '1 hour'),
            ('0193b5a0-0000-4000-8000-000000000004', 'A', 'B', 'ab@example.org', '2031-03-04', '10:00', 'annulé',
                'cs_test_old4', now() - interval '5 days', now() - interval '4 days'),
            ('0193b5a0-0000-4000-8000-000000000005', 'C', 'D', 'cd@example.org', '2031-03-04', '10:00', 'expiré',
                'cs_test_old5', now() - interval '5 days', now() - interval '4 days');
        insert into "PaymentEvent" ("id", "stripeSessionId", "type", "createdAt") values
            ('p1', 'cs_test_old1', 'checkout.session.completed', now() - interval '3 days'),
            ('p2', 'cs_test_old2', 'checkout.session.completed', now() - interval '2 days');
        "#
    )
}

async fn original(rows: &str) -> TestDatabase {
    let db = TestDatabase::empty(Engine::Postgres).await;
    db.execute(ORIGINAL).await;
    db.execute(rows).await;
    db
}

async fn take_over(app: &TestApp, old: &TestDatabase) -> Report {
    import::node(&app.app, &old.url, &Options::default()).await.unwrap()
}

fn booking(id: &str) -> BookingId {
    BookingId::parse(id).unwrap()
}

async fn the_original_services_database_is_taken_over(db: TestDatabase) {
    let old = original(&rows()).await;
    let app = TestApp::start(&db).await;
    let report = take_over(&app, &old).await;
    assert!(report.is_clean(), "{report:?}");
    assert_eq!((report.bookings.found, report.bookings.imported), (5, 5));
    assert_eq!((report.ledger.found, report.ledger.imported), (2, 2));
    assert_eq!((report.users.found, report.users.imported), (2, 2));
    assert_eq!(report.paid["eur"], import::Paid { bookings: 2, amount: 12_000 });
    db.assert_sound().await;

    let paid = app.booking(booking(PAID)).await;
    assert_eq!((paid.status(), paid.seat, paid.customer.first_name.as_str()), (Status::Paid, Some(1), "Ada"));
    assert_eq!(paid.starts_at.to_string(), "2031-03-03T09:00:00Z");
    assert_eq!(app.status(booking(OPEN)).await, Status::Pending);
    let statuses = db.texts("select status from bookings order by id").await;
    assert_eq!(statuses, ["payé", "payé", "en attente", "annulé", "expiré"]);
    assert_eq!(db.number("select count(*) from bookings where seat is not null").await, 3);

    // What was paid there is not sold here.
    let again = json!({
        "firstName": "B", "lastName": "C", "email": "b@example.org", "date": "2031-03-03", "time": "10:00",
    });
    assert_eq!(app.post_json("/api/bookings", &again, &[]).await.status, 409);
    // Everybody signs in with what they had, who may.
    assert_eq!(app.login("owner@example.org", PASSWORD).await.status, 200);
    assert_eq!(app.login("gone@example.org", PASSWORD).await.status, 401);
    // Nobody is told again what the old service told.
    assert_eq!(db.number("select count(*) from outbox where fanned_out_at is null").await, 0);
    assert_eq!(old.number("select count(*) from \"Booking\"").await, 5);
    old.remove().await;
}

async fn taking_over_again_changes_nothing(db: TestDatabase) {
    let old = original(&rows()).await;
    let app = TestApp::start(&db).await;
    take_over(&app, &old).await;
    let everything = async || {
        let mut tx = db.store.begin_snapshot().await.unwrap();
        let tables = tx.tables().await.unwrap();
        let mut contents = transfer::contents(&mut tx, &tables).await.unwrap();
        tx.rollback().await.unwrap();
        contents.tables.remove("marks");
        contents
    };
    let before = everything().await;
    let report = take_over(&app, &old).await;
    assert!(report.is_clean(), "{report:?}");
    assert_eq!((report.bookings.imported, report.bookings.already_here), (0, 5));
    assert_eq!((report.ledger.imported, report.ledger.already_here), (0, 2));
    assert_eq!((report.users.imported, report.users.already_here), (0, 2));
    assert_eq!(everything().await, before);

    // The old service went on meanwhile: what came is taken, what differs is told and left to Stripe's word.
    old.execute(&format!("update \"Booking\" set \"status\" = 'payé' where \"id\" = '{OPEN}'")).await;
    old.execute(
        "insert into \"Booking\" (\"id\", \"firstName\", \"lastName\", \"email\", \"date\", \"time\") values
             ('clx9', 'N', 'E', 'ne@example.org', '2031-03-05', '9:30')",
    )
    .await;
    let report = take_over(&app, &old).await;
    assert_eq!((report.bookings.imported, report.conflicts.len()), (1, 1), "{report:?}");
    assert!(report.conflicts[0].why.contains("reconcile") && report.conflicts[0].id == OPEN);
    assert_eq!(app.status(booking(OPEN)).await, Status::Pending);
    old.remove().await;
}

async fn a_dry_run_of_taking_over_changes_nothing(db: TestDatabase) {
    let old = original(&rows()).await;
    let words = ["import", "node", "--from", &old.url, "--dry-run"];
    let (code, printed) = command(&db, &words).await;
    let printed: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!((code, printed["bookings"]["imported"].as_u64()), (Some(0), Some(5)), "{printed}");
    assert_eq!(db.number("select count(*) from bookings").await, 0);
    assert_eq!(db.number("select count(*) from users").await, 0);
    let (code, _) = command(&db, &words[..4]).await;
    assert_eq!(code, Some(0));
    assert_eq!(db.number("select count(*) from bookings").await, 5);
    assert_eq!(command(&db, &["import", "node", "--from", "sqlite://x.db"]).await.0, Some(2));
    old.remove().await;
}

async fn an_open_session_of_the_old_service_pays_its_booking(db: TestDatabase) {
    let old = original(&rows()).await;
    let app = TestApp::start(&db).await;
    take_over(&app, &old).await;
    // As the old service had it made: no mark of this database, no metadata at all.
    let event = |id: &str, session: &str, reference: &str| {
        json!({
            "id": id, "object": "event", "type": "checkout.session.completed", "livemode": false,
            "created": app.clock.now().as_unix_seconds(),
            "data": { "object": {
                "id": session, "object": "checkout.session", "status": "complete", "payment_status": "paid",
                "mode": "payment", "client_reference_id": reference, "currency": "eur", "amount_subtotal": 6000,
                "amount_total": 6000, "payment_intent": format!("pi_{session}"), "metadata": {},
                "total_details": { "amount_discount": 0, "amount_shipping": 0, "amount_tax": 0 },
            } },
        })
    };
    let answer = app.deliver(&event("evt_new", "cs_test_old3", OPEN)).await;
    assert_eq!((answer.status, answer.outcome().as_str()), (200, "processed"), "{}", answer.body);
    assert_eq!(app.status(booking(OPEN)).await, Status::Paid);
    // Stripe repeats what the old service has acknowledged.
    let answer = app.deliver(&event("evt_old", "cs_test_old1", PAID)).await;
    assert_eq!((answer.status, answer.outcome().as_str()), (200, "duplicate"), "{}", answer.body);
    db.assert_sound().await;
    old.remove().await;
}

async fn what_cannot_be_taken_over_is_named_row_by_row(db: TestDatabase) {
    let old = original(
        r#"
        insert into "User" ("id", "email", "passwordHash", "role") values
            ('u1', 'plain@example.org', 'correct horse', 'ADMIN'),
            ('u2', 'no address', '$2b$04$abcdefghijklmnopqrstuvABCDEFGHIJKLMNOPQRSTUVWXYZ01234', 'OPS'),
            ('u3', 'odd@example.org', '$2b$04$abcdefghijklmnopqrstuvABCDEFGHIJKLMNOPQRSTUVWXYZ01234', 'GOD');
        insert into "Booking" ("id", "firstName", "lastName", "email", "date", "time", "status", "stripeSessionId") values
            ('b1', 'A', 'B', 'a@example.org', '2031-03-03', '10:00', 'en attente', 'cs_1'),
            ('b2', 'C', 'D', 'c@example.org', '2031-03-03', '10:00', 'payé', 'cs_2'),
            ('b3', 'E', 'F', 'e@example.org', 'next week', '10:00', 'payé', 'cs_3'),
            ('b4', 'G', 'H', 'g@example.org', '2031-03-03', '10:00', 'perhaps', 'cs_4'),
            ('b5', 'I', 'J', 'i@example.org', '2031-03-30', '02:30', 'payé', 'cs_5'),
            ('b6', 'K', 'L', 'k@example.org', '2031-03-06', '10:00', 'payé', null);
        insert into "PaymentEvent" ("id", "stripeSessionId") values ('p1', 'cs_2'), ('p9', 'cs_of_nobody');
        "#,
    )
    .await;
    let app = TestApp::start(&db).await;
    let report = take_over(&app, &old).await;
    let mut named: Vec<_> = report.conflicts.iter().map(|conflict| conflict.id.as_str()).collect();
    named.sort_unstable();
    assert_eq!(named, ["b1", "b3", "b4", "b5", "u1", "u2", "u3"], "{report:?}");
    // Who has paid sits; who only waits has no seat, and it was said.
    assert_eq!(
        db.texts("select first_name from bookings where seat is not null order by 1").await,
        ["C", "K"]
    );
    assert_eq!(report.bookings.imported, 3);
    assert_eq!(db.texts("select role from users").await, ["READONLY"]);
    assert_eq!(db.number("select count(*) from payment_events where outcome = 'ignored'").await, 1);
    db.assert_sound().await;
    let repeated = take_over(&app, &old).await;
    assert_eq!(repeated.bookings.imported + repeated.ledger.imported + repeated.users.imported, 0);
    old.remove().await;
}

async fn other_names_of_columns_are_understood_and_a_missing_one_is_named(db: TestDatabase) {
    let old = TestDatabase::empty(Engine::Postgres).await;
    let app = TestApp::start(&db).await;
    let refusal = import::node(&app.app, &old.url, &Options::default()).await.unwrap_err();
    assert!(matches!(refusal, ImportError::NotTheOriginal(_)), "{refusal}");
    old.execute(
        r#"
        create table "Booking" (
            "id" serial primary key, first_name text, last_name text, email text, "date" date, "time" time,
            "state" text, "stripe_session_id" text, "amount" integer, "currency" text, created_at timestamptz);
        insert into "Booking" (first_name, last_name, email, "date", "time", "state", "stripe_session_id", "amount",
            "currency", created_at) values
            ('Ada', 'Lovelace', 'ada@example.org', '2031-03-03', '10:00', 'PAID', 'cs_1', 4500, 'USD', now());
        "#,
    )
    .await;
    let report = take_over(&app, &old).await;
    assert!(report.is_clean(), "{report:?}");
    assert_eq!(report.notes.len(), 3, "no ledger and no accounts there, and nothing says how it was paid");
    assert_eq!(db.texts("select currency from bookings where paid_amount = 4500").await, ["usd"]);
    old.execute("alter table \"Booking\" drop column \"time\"").await;
    let refusal = import::node(&app.app, &old.url, &Options::default()).await.unwrap_err().to_string();
    assert!(refusal.contains("\"Booking\" has no column for the time"), "{refusal}");
    old.remove().await;
}

async fn a_database_moves_to_the_other_engine_and_back(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    shop.paid().await;
    shop.book().await;
    shop.app.app.store.close().await;
    let there = TestDatabase::empty(match db.engine {
        Engine::Sqlite => Engine::Postgres,
        Engine::Postgres => Engine::Sqlite,
    });
    let (there, back) = (there.await, TestDatabase::empty(db.engine).await);
    let (code, printed) = command(&db, &["migrate-db", "--from", &db.url, "--to", &there.url]).await;
    let first: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!((code, first["tables"]["bookings"].as_u64()), (Some(0), Some(2)), "{first}");
    assert_eq!(first["money"][0]["paid"], 6000);
    let (code, printed) = command(&db, &["migrate-db", "--from", &there.url, "--to", &back.url]).await;
    assert_eq!(code, Some(0));
    let second: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(first["tables"], second["tables"]);
    let (code, printed) = command(&db, &["migrate-db", "--from", &db.url, "--to", &back.url]).await;
    let again: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!((code, again["unchanged"].as_bool()), (Some(0), Some(true)), "there and back it is the same");
    back.assert_sound().await;

    back.execute("update bookings set first_name = 'Eve'").await;
    back.store.close().await;
    let (code, _) = command(&db, &["migrate-db", "--from", &db.url, "--to", &back.url]).await;
    assert_eq!(code, Some(1), "a database that holds something else is not overwritten");
    for (from, to) in
        [(&db.url, &db.url), (&db.url, &"mysql://x".to_owned()), (&"sqlite://nowhere.db".to_owned(), &db.url)]
    {
        assert_eq!(command(&db, &["migrate-db", "--from", from, "--to", to]).await.0, Some(2), "{from} {to}");
    }
    let store = Store::open(&there.url).unwrap();
    store.ready().await.unwrap();
    store.close().await;
    there.remove().await;
    back.remove().await;
}

async fn a_database_in_use_is_not_moved(db: TestDatabase) {
    let service = TestProcess::start(&db, free_port(), "http://127.0.0.1:1", &[]).await;
    let target = TestDatabase::empty(Engine::Sqlite).await;
    let (code, _) = command(&db, &["migrate-db", "--from", &db.url, "--to", &target.url]).await;
    assert_eq!(code, Some(1));
    let path = db.folder.path().join("while-it-runs.jsonl");
    assert_eq!(command(&db, &["backup", path.to_str().unwrap()]).await.0, Some(0), "a backup needs no stop");
    assert_eq!(command(&db, &["restore", "--replace", path.to_str().unwrap()]).await.0, Some(1));
    service.kill().await;
}
