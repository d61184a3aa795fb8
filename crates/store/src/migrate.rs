//! The schema's versions: one folder of portable SQL, forward only.
//!
//! A migration adds: an older program beside it goes on. One that does not, because a program of the version before
//! could not work with what it makes, has a file name that begins with `NNNN_breaking_`.

use super::server::Server;
use super::{Store, StoreError, Tx};
use clock::Timestamp;
use domain::ids::{InstanceId, OfferId};
use sqlx::migrate::{MigrateError, Migration, Migrator};
use sqlx::{Connection, PgConnection};
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

/// How the schema stands to the one that this program was made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SchemaState {
    /// It is that one.
    Current,
    /// A newer program has added to it. What this one needs is there.
    NewerAdded {
        /// The newest migration applied.
        found: i64,
        /// The newest that this program has.
        known: i64,
    },
}

/// What the name of a migration begins with that an older program cannot live with.
const BREAKING: &str = "breaking";
/// Whoever migrates holds this lock. Nobody else takes it, so it may be waited for.
const LOCK: i64 = 0x6368_6563_6b6f_7574;
/// How a migration's transaction begins.
const SETTINGS: &str = "set local synchronous_commit = on; set local statement_timeout = 0; \
     set local idle_in_transaction_session_timeout = 0; set local lock_timeout = '60s'";
/// A table that a migration changes is waited for no longer: everybody else would stand behind it, and gives up after
/// a second.
const IMPATIENT: &str = "set local lock_timeout = '700ms'";

pub(super) async fn deploy(store: &Store, now: Timestamp) -> Result<Vec<MigrationStatus>, StoreError> {
    // Nearly every start finds everything done: it takes no lock then, and no connection of its own.
    let before = applied(store).await?;
    if before != known() {
        run_to(store, newest_known()).await?;
    }
    first_rows(store, now).await?;
    codes(store).await?;
    let new = MIGRATIONS.iter().filter(|migration| !before.contains_key(&migration.version));
    Ok(new.map(|migration| described(migration, true)).collect())
}

/// Applies what is missing up to and with `version`.
pub(super) async fn run_to(store: &Store, version: i64) -> Result<(), StoreError> {
    match store {
        Store::Postgres(server) => run_on_server(server, version).await?,
        Store::Sqlite { writer, path, .. } => {
            let _lock = lock_file(path.with_extension("migrate.lock")).await?;
            let mut connection = Store::acquire_sqlite_writer(writer).await?;
            MIGRATIONS.run_to(version, &mut *connection).await.map_err(explain)?;
        }
    }
    Ok(())
}

/// Each migration in a transaction of its own, with all that it needs in it: so it goes through a pooler, which may
/// lend another connection to the next.
async fn run_on_server(server: &Server, version: i64) -> Result<(), StoreError> {
    let mut connection = server.pool().await?.acquire().await?.detach();
    for migration in MIGRATIONS.iter().filter(|migration| migration.version <= version) {
        apply(&mut connection, migration).await?;
    }
    connection.close().await?;
    Ok(())
}

async fn apply(connection: &mut PgConnection, migration: &Migration) -> Result<(), StoreError> {
    const TABLE: &str = "create table if not exists _sqlx_migrations (
         version bigint primary key, description text not null, installed_on timestamptz not null default now(),
         success boolean not null, checksum bytea not null, execution_time bigint not null)";
    let mut tx = connection.begin().await?;
    sqlx::raw_sql(SETTINGS).execute(&mut *tx).await?;
    let lock = sqlx::query("select pg_advisory_xact_lock($1)").persistent(false).bind(LOCK);
    lock.execute(&mut *tx).await?;
    sqlx::raw_sql(IMPATIENT).execute(&mut *tx).await?;
    let there = sqlx::query_scalar("select to_regclass('_sqlx_migrations') is not null").persistent(false);
    if !there.fetch_one(&mut *tx).await? {
        sqlx::raw_sql(TABLE).execute(&mut *tx).await?;
    }
    let newest: Option<i64> = sqlx::query_scalar("select max(version) from _sqlx_migrations where success")
        .persistent(false)
        .fetch_one(&mut *tx)
        .await?;
    let known = newest_known();
    if let Some(found) = newest.filter(|found| *found > known) {
        return Err(StoreError::Newer { found, known });
    }
    let checksum: Option<Vec<u8>> =
        sqlx::query_scalar("select checksum from _sqlx_migrations where version = $1 and success")
            .persistent(false)
            .bind(migration.version)
            .fetch_optional(&mut *tx)
            .await?;
    match checksum {
        Some(checksum) if checksum == *migration.checksum => {}
        Some(_) => return Err(explain(MigrateError::VersionMismatch(migration.version))),
        None => {
            sqlx::raw_sql(migration.sql.clone()).execute(&mut *tx).await?;
            sqlx::query(
                "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
                 values ($1, $2, true, $3, -1)",
            )
            .persistent(false)
            .bind(migration.version)
            .bind(&*migration.description)
            .bind(&*migration.checksum)
            .execute(&mut *tx)
            .await?;
        }
    }
    tx.commit().await?;
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
    let mut rows: Vec<_> = known.map(|m| described(m, applied.contains_key(&m.version))).collect();
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

fn described(migration: &Migration, applied: bool) -> MigrationStatus {
    MigrationStatus { version: migration.version, name: migration.description.to_string(), applied }
}

pub(super) async fn check(store: &Store) -> Result<SchemaState, StoreError> {
    let mut tx = store.read().await?;
    let state = check_in(&mut tx).await;
    tx.rollback().await?;
    state
}

pub(super) async fn check_in(tx: &mut Tx) -> Result<SchemaState, StoreError> {
    let (applied, known) = (applied_in(tx).await?, known());
    if known.keys().any(|version| !applied.contains_key(version)) {
        return Err(StoreError::NotMigrated);
    }
    let newer = || applied.iter().filter(|(version, _)| !known.contains_key(version));
    match newer().next_back() {
        None => Ok(SchemaState::Current),
        Some((found, _)) => {
            let (found, known) = (*found, newest_known());
            match newer().any(|(_, migration)| migration.name.starts_with(BREAKING)) {
                true => Err(StoreError::Newer { found, known }),
                false => Ok(SchemaState::NewerAdded { found, known }),
            }
        }
    }
}

/// Applied migrations whose text is not the one that this program has.
pub(super) async fn altered_in(tx: &mut Tx) -> Result<Vec<i64>, StoreError> {
    let (applied, known) = (applied_in(tx).await?, known());
    let altered = applied
        .iter()
        .filter(|(version, found)| known.get(version).is_some_and(|checksum| *checksum != found.checksum));
    Ok(altered.map(|(version, _)| *version).collect())
}

pub(super) fn newest_known() -> i64 {
    MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or_default()
}

/// A migration that a database has.
struct Applied {
    name: String,
    /// Of the text that it was made by.
    checksum: Vec<u8>,
}

/// The migrations of this program, each with the checksum of its text.
fn known() -> BTreeMap<i64, Vec<u8>> {
    MIGRATIONS.iter().map(|m| (m.version, m.checksum.to_vec())).collect()
}

/// Those that this database has, each with the checksum of the text that it was made by.
async fn applied(store: &Store) -> Result<BTreeMap<i64, Vec<u8>>, StoreError> {
    let mut tx = store.read().await?;
    let applied = applied_in(&mut tx).await;
    tx.rollback().await?;
    Ok(applied?.into_iter().map(|(version, migration)| (version, migration.checksum)).collect())
}

async fn applied_in(tx: &mut Tx) -> Result<BTreeMap<i64, Applied>, StoreError> {
    let table = match tx {
        Tx::Postgres(_) => "select count(*) from pg_class where oid = to_regclass('_sqlx_migrations')",
        Tx::Sqlite(_) => "select count(*) from sqlite_master where name = '_sqlx_migrations'",
    };
    let exists: i64 = on_engine!(&mut *tx, conn => sqlx::query_scalar(table).fetch_one(conn).await)?;
    if exists == 0 {
        return Ok(BTreeMap::new());
    }
    let rows: Vec<(i64, String, Vec<u8>)> = on_engine!(tx, conn => sqlx::query_as(
        "select version, description, checksum from _sqlx_migrations where success").fetch_all(conn).await)?;
    Ok(rows.into_iter().map(|(version, name, checksum)| (version, Applied { name, checksum })).collect())
}

/// The newest migration that this database has; 0 if it has none.
pub(super) async fn version(store: &Store) -> Result<i64, StoreError> {
    Ok(applied(store).await?.keys().last().copied().unwrap_or(0))
}

/// The tables that the migrations make: whatever else stands in the same database is somebody else's.
pub(super) fn own_tables() -> BTreeSet<String> {
    let made = |sql: &str| -> Vec<String> {
        let statements = sql.lines().filter_map(|line| line.strip_prefix("create table "));
        statements.filter_map(|rest| Some(rest.split([' ', '(']).next()?.to_owned())).collect()
    };
    MIGRATIONS.iter().flat_map(|migration| made(migration.sql.as_str())).collect()
}

fn explain(error: MigrateError) -> StoreError {
    match error {
        MigrateError::VersionMissing(found) => StoreError::Newer { found, known: newest_known() },
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => error.into(),
        other => StoreError::Other(sqlx::Error::Migrate(Box::new(other))),
    }
}

/// sqlx locks nothing on SQLite, so two processes could migrate one file at once.
async fn lock_file(path: PathBuf) -> Result<std::fs::File, StoreError> {
    let locking = tokio::task::spawn_blocking(move || {
        let mut private = std::fs::OpenOptions::new();
        private.write(true).create(true).truncate(true);
        std::os::unix::fs::OpenOptionsExt::mode(&mut private, 0o600);
        let file = private.open(path)?;
        file.lock()?;
        Ok(file)
    });
    match locking.await {
        Ok(result) => result.map_err(|error: std::io::Error| StoreError::Unavailable(sqlx::Error::Io(error))),
        Err(_) => Err(StoreError::Unavailable(sqlx::Error::WorkerCrashed)),
    }
}
