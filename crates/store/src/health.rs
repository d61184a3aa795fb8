//! Whether the next payment fact could be written: asked on the recorder's own connections, by writing.

use super::{SchemaState, Store, StoreError, Tx, migrate, stale};
use clock::Timestamp;
use sqlx::AssertSqlSafe;

/// The rows in which instances write that they can. So many, that two rarely wait for each other.
const ROWS: u64 = 16;
/// More than a page: it is written to a file that grows.
const PAGES: &str = "create temporary table checkout_room (filling text) on commit drop;
     alter table checkout_room alter column filling set storage plain;
     insert into checkout_room select repeat(md5(n::text), 200) from generate_series(1, 8) as n";

impl Store {
    /// Writes as the recorder does, durably, on one of its connections, in `row` of a few that hold when that was done
    /// last; and looks whether the schema is one that this program can use.
    ///
    /// # Errors
    /// [`StoreError::NotMigrated`] or [`StoreError::Newer`] for the schema; else why nothing can be recorded.
    pub async fn probe(&self, now: Timestamp, row: u64) -> Result<SchemaState, StoreError> {
        let mut tx = self.begin_recording().await?;
        let schema = migrate::check_in(&mut tx).await;
        if matches!(schema, Err(StoreError::NotMigrated)) {
            tx.rollback().await?;
            return schema;
        }
        on_engine!(&mut tx, conn => sqlx::query(
            "insert into observations (name, at, value) values ($1, $2, 0)
             on conflict (name) do update set at = excluded.at")
            .bind(format!("written-{:02}", row % ROWS))
            .bind(now.as_micros())
            .execute(conn)
            .await
            .map(drop))?;
        tx.commit().await?;
        self.in_place()?;
        // A server keeps room for its log ahead: while that lasts a small row is written though no table can grow.
        if matches!(self, Self::Postgres(_)) && stale::disk_is_suspect() {
            let mut tx = self.begin_recording().await?;
            for statement in PAGES.split(';') {
                let sql = AssertSqlSafe(statement.to_owned());
                on_engine!(&mut tx, conn => sqlx::raw_sql(sql).execute(conn).await.map(drop))?;
            }
            tx.rollback().await?;
            stale::disk_has_room();
        }
        schema
    }

    /// Bytes that are free where an SQLite file stands, for whoever this process is. None for a server, whose disk is
    /// its own, and where that cannot be told.
    #[must_use]
    pub fn free_bytes(&self) -> Option<u64> {
        let Self::Sqlite { path, .. } = self else { return None };
        let disk = rustix::fs::statvfs(path.as_path()).ok()?;
        // Some is kept for root.
        let blocks = if rustix::process::geteuid().is_root() { disk.f_bfree } else { disk.f_bavail };
        Some(blocks.saturating_mul(disk.f_frsize))
    }

    /// Whether the pools were closed: the program is stopping.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        match self {
            Self::Postgres(server) => server.is_closed(),
            Self::Sqlite { writer, .. } => writer.is_closed(),
        }
    }

    /// Whether the file in the database's place is the one that was opened. Another one would take what is written
    /// with it, or never see it.
    ///
    /// # Errors
    /// [`StoreError::Moved`] if it is not.
    pub fn in_place(&self) -> Result<(), StoreError> {
        match self {
            Self::Postgres(_) => Ok(()),
            Self::Sqlite { path, file, .. } => match identity(path) {
                Some(found) if found == *file => Ok(()),
                _ => Err(StoreError::Moved(path.clone())),
            },
        }
    }
}

/// What waits, for whoever watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::FromRow)]
pub struct Waiting {
    /// Cases that are open.
    pub open_cases: i64,
    /// Facts that are kept and not applied.
    pub facts: i64,
    /// When the oldest of them came, in microseconds since 1970.
    pub oldest_fact: Option<i64>,
    /// Mails and notifications that are to be sent.
    pub deliveries: i64,
    /// When the oldest of them was made, in microseconds since 1970.
    pub oldest_delivery: Option<i64>,
    /// Those that were given up.
    pub dead: i64,
    /// When the events feed was last read to its end, in microseconds since 1970.
    pub feed: Option<i64>,
    /// On how many facts Stripe and we differed when that was last compared, by any instance.
    pub drift: Option<i64>,
}

impl Tx {
    /// What waits.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn waiting(&mut self) -> Result<Waiting, StoreError> {
        Ok(on_engine!(self, conn => sqlx::query_as(
            "select (select count(*) from cases where closed_at is null) as open_cases,
                    (select count(*) from payment_events where next_try_at is not null) as facts,
                    (select min(received_at) from payment_events where next_try_at is not null) as oldest_fact,
                    (select count(*) from outbox_deliveries where next_try_at is not null)
                        + (select count(*) from case_notices where next_try_at is not null) as deliveries,
                    (select min(created_at) from (
                         select created_at from outbox_deliveries where next_try_at is not null
                         union all select created_at from case_notices where next_try_at is not null) as waiting) as oldest_delivery,
                    (select count(*) from outbox_deliveries where state = 'dead')
                        + (select count(*) from case_notices where state = 'dead') as dead,
                    (select at from observations where name = 'feed') as feed,
                    (select value from observations where name = 'drift') as drift")
            .fetch_one(conn)
            .await)?)
    }
}

/// What a file is called by the system, whatever its name.
pub(super) fn identity(path: &std::path::Path) -> Option<(u64, u64)> {
    let file = rustix::fs::stat(path).ok()?;
    Some((file.st_dev, file.st_ino))
}
