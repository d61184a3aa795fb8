//! The schema's versions: applied once, to empty and to full databases, and never by a program too old.

use crate::harness::{Engine, TestDatabase, on_each_engine};
use clock::Clock;
use sqlx::migrate::Migrator;
use sqlx::{Connection, PgConnection};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use store::ledger::LedgerFilter;
use store::page::PageRequest;
use store::{SchemaState, Store, StoreError, Tx, bookings::BookingFilter};

on_each_engine! {
    an_empty_database_is_brought_up_to_date,
    migrating_again_changes_nothing,
    a_start_that_finds_everything_done_waits_for_nobody,
    instances_that_start_together_migrate_once,
    every_migration_keeps_what_is_in_the_tables,
    a_migration_that_fails_leaves_nothing_behind_and_can_be_repeated,
    a_start_that_died_before_the_first_rows_is_completed,
    an_older_program_refuses_a_newer_schema_in_one_line,
    a_migration_changed_afterwards_is_refused,
    status_tells_what_is_applied_and_what_is_not,
    no_index_is_sorted_by_the_rules_of_a_language,
}

async fn an_empty_database_is_brought_up_to_date(db: TestDatabase) {
    let empty = TestDatabase::empty(db.engine).await;
    assert!(matches!(empty.store.ready().await, Err(StoreError::NotMigrated)));
    migrate(&empty.store).await.unwrap();
    empty.store.ready().await.unwrap();
    assert_eq!(tables(&empty).await, tables(&db).await);
    empty.remove().await;
}

async fn migrating_again_changes_nothing(db: TestDatabase) {
    let instance = db.store.instance().await.unwrap();
    db.execute("update offers set name = 'Consultation', amount = 9000").await;
    migrate(&db.store).await.unwrap();
    assert_eq!(db.store.instance().await.unwrap(), instance);
    assert_eq!(db.texts("select name from offers").await, ["Consultation"]);
}

async fn a_start_that_finds_everything_done_waits_for_nobody(db: TestDatabase) {
    let other = db.reopen();
    let mut writing = other.begin().await.unwrap();
    match &mut writing {
        // It began as the one writer, which is all that it needs to be in everybody's way.
        Tx::Sqlite(_) => {}
        Tx::Postgres(conn) => {
            let lock = "lock table instance, _sqlx_migrations in share row exclusive mode";
            sqlx::query(lock).execute(&mut **conn).await.map(drop).unwrap();
        }
    }
    migrate(&db.store).await.unwrap();
    db.store.ready().await.unwrap();
    writing.rollback().await.unwrap();
    other.close().await;
}

async fn instances_that_start_together_migrate_once(db: TestDatabase) {
    let empty = TestDatabase::empty(db.engine).await;
    let starts = (0..6).map(async |_| {
        let store = empty.reopen();
        migrate(&store).await.unwrap();
        let instance = store.instance().await.unwrap();
        store.close().await;
        instance
    });
    let mut instances = futures_util::future::join_all(starts).await;
    instances.dedup();
    assert_eq!(instances.len(), 1, "every instance sees the same database");
    let migrations = i64::try_from(migration_files().len()).unwrap();
    assert_eq!(empty.number("select count(*) from _sqlx_migrations").await, migrations);
    assert_eq!(empty.number("select count(*) from offers").await, 1);
    empty.remove().await;
}

/// After each migration the rows of `fixtures/NNNN.sql` are added: what a customer's database of that
/// version may hold. Every later migration has to leave them where they are, and readable.
async fn every_migration_keeps_what_is_in_the_tables(db: TestDatabase) {
    let old = TestDatabase::empty(db.engine).await;
    for (version, _) in migration_files() {
        let before = counts(&old).await;
        migrate_to(&old, version).await;
        let after = counts(&old).await;
        for (table, count) in before {
            assert!(after.get(&table) >= Some(&count), "migration {version} lost rows of {table}");
        }
        let fixture = root().join(format!("tests/it/fixtures/{version:04}.sql"));
        let rows = std::fs::read_to_string(&fixture).unwrap_or_else(|error| panic!("{fixture:?}: {error}"));
        old.execute(&rows).await;
    }
    // What a program of today makes of it.
    migrate(&old.store).await.unwrap();
    old.store.ready().await.unwrap();
    let mut tx = old.store.read().await.unwrap();
    let page = PageRequest::default();
    let bookings = tx.list_bookings(&BookingFilter::default(), &page).await.unwrap().items;
    let mut statuses: Vec<_> = bookings.iter().map(|booking| booking.status().as_str()).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, ["annulé", "en attente", "expiré", "litige", "partiellement remboursé", "payé"]);
    assert_eq!(tx.list_entries(&LedgerFilter::default(), &page).await.unwrap().items.len(), 4);
    let cases = tx.list_cases(None, &page).await.unwrap().items;
    let said: Vec<_> = cases.iter().map(|case| (case.detail.fr.as_str(), case.detail.en.as_str())).collect();
    // Before version 7 nothing was said in French.
    let session = "Stripe answers that it has no session cs_3";
    assert_eq!(
        said[..2],
        [
            ("le litige dp_7 est à l'état needs_response", "dispute dp_7 is needs_response"),
            (session, session)
        ]
    );
    assert_eq!(said.len(), 4);
    for booking in &bookings {
        tx.refund_intents_of(booking.id).await.unwrap();
        tx.deliveries_of(booking.id).await.unwrap();
    }
    let far = Clock::system().now();
    assert_eq!(tx.observation("signed_ahead").await.unwrap().map(|(_, seconds)| seconds), Some(3600));
    assert!(tx.secret_last_used("0123456789ab").await.unwrap().is_some());
    assert!(tx.read_until("events").await.unwrap().is_some());
    assert!(tx.pulse(far).await.unwrap().open_refunds == 1);
    tx.rollback().await.unwrap();
    old.remove().await;
}

async fn a_migration_that_fails_leaves_nothing_behind_and_can_be_repeated(db: TestDatabase) {
    let empty = TestDatabase::empty(db.engine).await;
    // Something of this name stands in the way of the first migration's last table.
    empty.execute("create table audit_log (obstacle text)").await;
    migrate(&empty.store).await.unwrap_err();
    assert!(!tables(&empty).await.contains(&"bookings".to_owned()), "half a migration was kept");
    assert!(matches!(empty.store.ready().await, Err(StoreError::NotMigrated)));
    empty.execute("drop table audit_log").await;
    migrate(&empty.store).await.unwrap();
    empty.store.ready().await.unwrap();
    empty.remove().await;
}

async fn no_index_is_sorted_by_the_rules_of_a_language(db: TestDatabase) {
    let sorted_so = match db.engine {
        Engine::Postgres => {
            "select indexrelid::regclass::text from pg_index
             where indrelid in (select oid from pg_class where relnamespace = 'public'::regnamespace)
               and exists (select 1 from unnest(indcollation::oid[]) as used
                           where used not in (0, 'pg_catalog.\"C\"'::regcollation))"
        }
        Engine::Sqlite => {
            "select distinct i.name from sqlite_master i, pragma_index_xinfo(i.name) c
             where i.type = 'index' and c.coll <> 'BINARY'"
        }
    };
    assert!(db.texts(sorted_so).await.is_empty(), "{:?}", db.texts(sorted_so).await);
}

async fn a_start_that_died_before_the_first_rows_is_completed(db: TestDatabase) {
    db.execute("delete from instance").await;
    db.execute("delete from offers").await;
    migrate(&db.store).await.unwrap();
    db.store.instance().await.unwrap();
    assert_eq!(db.number("select count(*) from offers").await, 1);
}

async fn an_older_program_refuses_a_newer_schema_in_one_line(db: TestDatabase) {
    db.execute(
        "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
         select 9999, 'from the future', success, checksum, execution_time from _sqlx_migrations where version = 1",
    )
    .await;
    // It only added: who runs goes on, who starts is told to be the newer one.
    assert_eq!(db.store.ready().await.unwrap(), SchemaState::NewerAdded { found: 9999, known: newest() });
    let started = migrate(&db.store).await.unwrap_err();
    db.execute("update _sqlx_migrations set description = 'breaking the past' where version = 9999").await;
    for refusal in [started, migrate(&db.store).await.unwrap_err(), db.store.ready().await.unwrap_err()] {
        assert!(matches!(refusal, StoreError::Newer { found: 9999, .. }), "{refusal:?}");
        let text = refusal.to_string();
        assert!(!text.contains('\n') && text.contains("9999") && text.contains("newer"), "{text}");
    }
}

async fn a_migration_changed_afterwards_is_refused(db: TestDatabase) {
    let checksum = if db.engine == Engine::Sqlite { "x'00'" } else { "'\\x00'" };
    db.execute(&format!("update _sqlx_migrations set checksum = {checksum} where version = 1")).await;
    let refusal = migrate(&db.store).await.unwrap_err();
    assert!(refusal.to_string().contains("modified"), "{refusal}");
}

async fn status_tells_what_is_applied_and_what_is_not(db: TestDatabase) {
    let versions: Vec<i64> = migration_files().into_keys().collect();
    let empty = TestDatabase::empty(db.engine).await;
    let status = empty.store.migration_status().await.unwrap();
    assert_eq!(status.iter().map(|row| row.version).collect::<Vec<_>>(), versions);
    assert!(status.iter().all(|row| !row.applied));
    empty.remove().await;

    let status = db.store.migration_status().await.unwrap();
    assert!(status.iter().all(|row| row.applied));
    assert_eq!(status[0].name, "bookings and ledger");

    db.execute(
        "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
         select 9999, 'from the future', success, checksum, execution_time from _sqlx_migrations where version = 1",
    )
    .await;
    let status = db.store.migration_status().await.unwrap();
    let newest = status.last().unwrap();
    assert!(newest.version == 9999 && newest.applied && newest.name.contains("not known"), "{newest:?}");
}

async fn migrate(store: &Store) -> Result<(), StoreError> {
    store.migrate(Clock::system().now()).await.map(drop)
}

/// Applies the migrations up to `version`, as a program of that time did.
async fn migrate_to(db: &TestDatabase, version: i64) {
    let all = Migrator::new(root().join("crates/store/migrations")).await.unwrap();
    match &db.store {
        Store::Postgres(server) => all.run_to(version, server.pool().await.unwrap()).await.unwrap(),
        Store::Sqlite { writer, .. } => all.run_to(version, writer).await.unwrap(),
    }
}

fn migration_files() -> BTreeMap<i64, PathBuf> {
    let files = std::fs::read_dir(root().join("crates/store/migrations")).unwrap();
    let files = files.map(|entry| entry.unwrap().path());
    files
        .map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            let (version, _) = name.split_once('_').unwrap();
            (version.parse().unwrap(), path)
        })
        .collect()
}

/// As a dump does that only reads: it is waited for a moment, and nobody has to stand behind us meanwhile.
#[tokio::test]
async fn a_migration_that_meets_a_lock_lets_others_pass_and_can_be_tried_again() {
    let db = TestDatabase::empty(Engine::Postgres).await;
    migrate_to(&db, 6).await;
    let mut dump = PgConnection::connect(&db.url).await.unwrap();
    sqlx::raw_sql("begin; select count(*) from cases; select count(*) from bookings")
        .execute(&mut dump)
        .await
        .unwrap();
    let begun = std::time::Instant::now();
    assert!(matches!(migrate(&db.store).await, Err(StoreError::Locked(_))));
    assert!(begun.elapsed() < std::time::Duration::from_secs(20), "{:?}", begun.elapsed());
    db.execute("select count(*) from cases").await;
    dump.close().await.unwrap();
    let applied = db.store.migrate(Clock::system().now()).await.unwrap();
    assert_eq!(applied.first().map(|migration| migration.version), Some(7));
    assert_eq!(applied.len(), migration_files().len() - 6);
    assert_eq!(db.store.migrate(Clock::system().now()).await.unwrap(), []);
    db.remove().await;
}

fn newest() -> i64 {
    *migration_files().keys().next_back().unwrap()
}

async fn tables(db: &TestDatabase) -> Vec<String> {
    db.texts(match db.engine {
        Engine::Sqlite => "select name from sqlite_master where type = 'table' order by name",
        Engine::Postgres => {
            "select table_name::text from information_schema.tables where table_schema = 'public' order by 1"
        }
    })
    .await
}

async fn counts(db: &TestDatabase) -> BTreeMap<String, i64> {
    let mut counts = BTreeMap::new();
    for table in tables(db).await {
        let count = db.number(&format!("select count(*) from {table}")).await;
        counts.insert(table, count);
    }
    counts
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
