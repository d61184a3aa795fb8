//! The schema's versions: one folder of portable SQL, forward only.

use super::{Store, StoreError};
use clock::Timestamp;
use domain::ids::{InstanceId, OfferId};
use sqlx::Connection;
use sqlx::migrate::{MigrateError, Migrator};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");

/// One migration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigrationStatus {
    /// Its number.
    pub version: i64,
    /// Its name.
    pub name: String,
    /// Whether this database has it.
    pub applied: bool,
}

pub(super) async fn deploy(store: &Store, now: Timestamp) -> Result<(), StoreError> {
    // Nearly every start finds everything done: it takes no lock then, and no connection of its own.
    if applied(store).await? != known() {
        run(store).await?;
    }
    first_rows(store, now).await?;
    codes(store).await
}

/// Rows that get their code at once.
const CODES_AT_ONCE: i64 = 1000;

/// Bookings that were made before there were codes get theirs. A start that dies meanwhile leaves the rest to the
/// next; instances that start together may get into each other's way.
async fn codes(store: &Store) -> Result<(), StoreError> {
    let mut collisions = 0;
    loop {
        let mut tx = store.read().await?;
        let without: Option<String> = on_engine!(&mut tx, conn =>
            sqlx::query_scalar("select id from bookings where code is null limit 1").fetch_optional(conn).await)?;
        tx.rollback().await?;
        if without.is_none() {
            return Ok(());
        }
        let mut tx = store.begin().await?;
        let given = match tx.give_codes(CODES_AT_ONCE).await {
            Ok(_) => tx.commit().await,
            Err(error) => Err(error),
        };
        match given {
            Ok(()) => collisions = 0,
            Err(_) if collisions < 10 => collisions += 1,
            Err(error) => return Err(error),
        }
    }
}

async fn run(store: &Store) -> Result<(), StoreError> {
    match store {
        // sqlx takes an advisory lock: instances that start together migrate one after the other. A
        // migration may take longer than a request, so this connection waits without our usual limits.
        Store::Postgres { pool, .. } => {
            let mut connection = pool.acquire().await?.detach();
            sqlx::raw_sql("set statement_timeout = 0; set lock_timeout = 0").execute(&mut connection).await?;
            MIGRATIONS.run(&mut connection).await.map_err(explain)?;
            connection.close().await?;
        }
        Store::Sqlite { writer, path, .. } => {
            let _lock = lock_file(path.with_extension("migrate.lock")).await?;
            let mut connection = Store::acquire_sqlite_writer(writer).await?;
            MIGRATIONS.run(&mut *connection).await.map_err(explain)?;
        }
    }
    Ok(())
}

/// What every database has from the start: its own id and a first offer.
async fn first_rows(store: &Store, now: Timestamp) -> Result<(), StoreError> {
    let mut tx = store.read().await?;
    let known = instances(&mut tx).await?;
    tx.rollback().await?;
    if known > 0 {
        return Ok(());
    }
    let mut tx = store.begin().await?;
    // Two instances may get here together; the first one's commit decides, the other changes nothing.
    let lock = match &tx {
        super::Tx::Postgres(_) => "lock table instance in exclusive mode",
        super::Tx::Sqlite(_) => "select 1",
    };
    on_engine!(&mut tx, conn => sqlx::query(lock).execute(conn).await.map(drop))?;
    if instances(&mut tx).await? > 0 {
        return tx.rollback().await;
    }
    on_engine!(&mut tx, conn => sqlx::query("insert into instance (id, created_at) values ($1, $2)")
        .bind(InstanceId::from(clock::new_id()).to_string())
        .bind(now.as_micros())
        .execute(conn)
        .await
        .map(drop))?;
    on_engine!(&mut tx, conn => sqlx::query(
        "insert into offers (id, name, amount, currency, capacity, active, grid, created_at, updated_at)
         values ($1, 'Séance', 6000, 'eur', 1, $2, '', $3, $3)")
        .bind(OfferId::from(clock::new_id()).to_string())
        .bind(true)
        .bind(now.as_micros())
        .execute(conn)
        .await
        .map(drop))?;
    tx.commit().await
}

async fn instances(tx: &mut super::Tx) -> Result<i64, StoreError> {
    Ok(on_engine!(tx, conn => sqlx::query_scalar("select count(*) from instance").fetch_one(conn).await)?)
}

pub(super) async fn status(store: &Store) -> Result<Vec<MigrationStatus>, StoreError> {
    let applied = applied(store).await?;
    let known = MIGRATIONS.iter().filter(|m| m.migration_type.is_up_migration());
    let mut rows: Vec<_> = known
        .map(|m| MigrationStatus {
            version: m.version,
            name: m.description.to_string(),
            applied: applied.contains_key(&m.version),
        })
        .collect();
    let newer = applied.keys().filter(|version| !rows.iter().any(|row| row.version == **version));
    let newer: Vec<_> = newer
        .map(|version| MigrationStatus {
            version: *version,
            name: "(not known to this program)".to_owned(),
            applied: true,
        })
        .collect();
    rows.extend(newer);
    Ok(rows)
}

pub(super) async fn check(store: &Store) -> Result<(), StoreError> {
    let (applied, known) = (applied(store).await?, known());
    let newer = applied.keys().rev().find(|version| !known.contains_key(version));
    let missing = known.keys().find(|version| !applied.contains_key(version));
    match (newer, missing) {
        (Some(found), _) => {
            Err(StoreError::Newer { found: *found, known: known.keys().last().copied().unwrap_or_default() })
        }
        (None, Some(_)) => Err(StoreError::NotMigrated),
        (None, None) => Ok(()),
    }
}

/// The migrations of this program, each with the checksum of its text.
fn known() -> BTreeMap<i64, Vec<u8>> {
    MIGRATIONS.iter().map(|m| (m.version, m.checksum.to_vec())).collect()
}

/// Those that this database has, each with the checksum of the text that it was made by.
async fn applied(store: &Store) -> Result<BTreeMap<i64, Vec<u8>>, StoreError> {
    let mut tx = store.read().await?;
    let table = match &tx {
        super::Tx::Postgres(_) => "select count(*) from pg_class where oid = to_regclass('_sqlx_migrations')",
        super::Tx::Sqlite(_) => "select count(*) from sqlite_master where name = '_sqlx_migrations'",
    };
    let exists: i64 = on_engine!(&mut tx, conn => sqlx::query_scalar(table).fetch_one(conn).await)?;
    let applied: Vec<(i64, Vec<u8>)> = if exists == 0 {
        Vec::new()
    } else {
        on_engine!(&mut tx, conn => sqlx::query_as(
            "select version, checksum from _sqlx_migrations where success").fetch_all(conn).await)?
    };
    tx.rollback().await?;
    Ok(applied.into_iter().collect())
}

/// The newest migration that this database has; 0 if it has none.
pub(super) async fn version(store: &Store) -> Result<i64, StoreError> {
    Ok(applied(store).await?.keys().last().copied().unwrap_or(0))
}

/// The newest that this program knows.
pub(super) fn newest() -> i64 {
    known().keys().last().copied().unwrap_or(0)
}

/// The tables that the migrations make: whatever else stands in the same database is somebody else's.
pub(super) fn own_tables() -> BTreeSet<String> {
    let made = |sql: &str| -> Vec<String> {
        let statements = sql.lines().filter_map(|line| line.strip_prefix("create table "));
        statements.filter_map(|rest| Some(rest.split([' ', '(']).next()?.to_owned())).collect()
    };
    MIGRATIONS.iter().flat_map(|migration| made(migration.sql.as_str())).collect()
}

/// As [`run`], and no further than `version`.
pub(super) async fn run_to(store: &Store, version: i64) -> Result<(), StoreError> {
    match store {
        Store::Postgres { pool, .. } => {
            let mut connection = pool.acquire().await?.detach();
            sqlx::raw_sql("set statement_timeout = 0; set lock_timeout = 0").execute(&mut connection).await?;
            MIGRATIONS.run_to(version, &mut connection).await.map_err(explain)?;
            connection.close().await?;
        }
        Store::Sqlite { writer, path, .. } => {
            let _lock = lock_file(path.with_extension("migrate.lock")).await?;
            let mut connection = Store::acquire_sqlite_writer(writer).await?;
            MIGRATIONS.run_to(version, &mut *connection).await.map_err(explain)?;
        }
    }
    Ok(())
}

fn explain(error: MigrateError) -> StoreError {
    match error {
        MigrateError::VersionMissing(found) => {
            StoreError::Newer { found, known: MIGRATIONS.iter().map(|m| m.version).max().unwrap_or_default() }
        }
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => error.into(),
        other => StoreError::Other(sqlx::Error::Migrate(Box::new(other))),
    }
}

/// sqlx locks nothing on SQLite, so two processes could migrate one file at once.
async fn lock_file(path: PathBuf) -> Result<std::fs::File, StoreError> {
    let locking = tokio::task::spawn_blocking(move || {
        let file = std::fs::File::create(path)?;
        file.lock()?;
        Ok(file)
    });
    match locking.await {
        Ok(result) => result.map_err(|error: std::io::Error| StoreError::Unavailable(sqlx::Error::Io(error))),
        Err(_) => Err(StoreError::Unavailable(sqlx::Error::WorkerCrashed)),
    }
}
