//! What the database must be for our promises to hold, read back from it: settings, rights, indexes, migrations.

use super::{Store, StoreError, Tx, migrate};
use clock::Timestamp;

/// The oldest PostgreSQL that everything was tried on.
const OLDEST: i32 = 140_000;
/// The unique indexes that refuse what must never be: a seat twice, a session's payment twice.
const GUARDS: [(&str, &str); 2] = [
    (
        "bookings_seat",
        "create unique index bookings_seat on bookings (offer_id, slot_date, slot_time, seat) where seat is not null",
    ),
    (
        "payment_events_one_payment",
        "create unique index payment_events_one_payment on payment_events (stripe_session_id) where applied_payment",
    ),
];
/// The tables that the service reads and writes.
const TABLES: &str = "'bookings', 'payment_events', 'refunds', 'disputes', 'cases', 'outbox', 'outbox_deliveries', \
     'offers', 'users', 'sessions', 'idempotency_keys', 'refund_intents', 'observations', 'secret_uses', 'audit_log'";
/// Clocks that differ by more make times that cannot be.
const CLOCKS: i64 = 30;

/// What is not as it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// A word for it.
    pub check: &'static str,
    /// What was found, and what follows from it.
    pub message: String,
    /// What mends it.
    pub fix: String,
    /// Whether a promise cannot be kept: production does not start.
    pub breaks_a_promise: bool,
    /// Whether it is nobody's concern where no payment is real.
    pub only_in_production: bool,
}

fn broken(check: &'static str, message: impl Into<String>, fix: impl Into<String>) -> Fault {
    Fault {
        check,
        message: message.into(),
        fix: fix.into(),
        breaks_a_promise: true,
        only_in_production: false,
    }
}

impl Store {
    /// Everything about the database that is not as it must be.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn environment(&self, now: Timestamp) -> Result<Vec<Fault>, StoreError> {
        let mut tx = self.begin_recording().await?;
        let mut faults = Vec::new();
        if let Tx::Postgres(_) = tx {
            server(&mut tx, now, &mut faults).await?;
        }
        guards(&mut tx, &mut faults).await?;
        for version in migrate::altered_in(&mut tx).await? {
            faults.push(broken(
                "migrations",
                format!("migration {version} was applied with another text than this program's: the schema may differ"),
                "run the program that made this database, or restore a backup; never edit _sqlx_migrations",
            ));
        }
        tx.rollback().await?;
        Ok(faults)
    }
}

async fn setting(tx: &mut Tx, name: &str) -> Result<String, StoreError> {
    Ok(
        on_engine!(tx, conn => sqlx::query_scalar("select current_setting($1)").bind(name).fetch_one(conn).await)?,
    )
}

async fn server(tx: &mut Tx, now: Timestamp, faults: &mut Vec<Fault>) -> Result<(), StoreError> {
    let version = setting(tx, "server_version_num").await?.parse::<i32>().unwrap_or_default();
    if version < OLDEST {
        let message =
            format!("PostgreSQL {} is too old: it was tried from {} on", version / 10_000, OLDEST / 10_000);
        faults.push(broken("server", message, "upgrade the server: pg_upgrade, or dump and restore"));
    }
    let encoding = setting(tx, "server_encoding").await?;
    if encoding != "UTF8" {
        let message = format!(
            "the database's encoding is {encoding}: names that it cannot hold are refused, and payments with them"
        );
        faults.push(broken(
            "encoding",
            message,
            "make a database with encoding UTF8 and move into it: createdb -T template0 -E UTF8 NAME",
        ));
    }
    if setting(tx, "fsync").await? != "on" {
        let message =
            "fsync is off: after a power cut what was acknowledged is gone, and the database with it";
        let fault = broken("fsync", message, "alter system set fsync = on; select pg_reload_conf()");
        faults.push(Fault { only_in_production: true, ..fault });
    }
    let commit = setting(tx, "synchronous_commit").await?;
    if !["on", "remote_apply"].contains(&commit.as_str()) {
        let message =
            format!("synchronous_commit is {commit} in our transactions: an acknowledged event may be lost");
        let fix = "remove options=-c synchronous_commit from DATABASE_URL; behind a pooler, connect to the server itself";
        faults.push(broken("synchronous-commit", message, fix));
    }
    if setting(tx, "full_page_writes").await? != "on" {
        faults.push(Fault {
            breaks_a_promise: false,
            only_in_production: true,
            ..broken(
                "full-page-writes",
                "full_page_writes is off: a power cut may leave torn pages, unless the disk never does",
                "alter system set full_page_writes = on; select pg_reload_conf()",
            )
        });
    }
    if setting(tx, "transaction_read_only").await? == "on" {
        faults.push(broken(
            "read-only",
            "the server takes no writes",
            "give DATABASE_URL the primary; or: alter database NAME set default_transaction_read_only = off",
        ));
    }
    if version >= 150_000 {
        let changed: bool = on_engine!(&mut *tx, conn => sqlx::query_scalar(
            "select coalesce(datcollversion <> pg_database_collation_actual_version(oid), false)
             from pg_database where datname = current_database()")
            .fetch_one(conn)
            .await)?;
        if changed {
            // No index of ours is sorted by the rules of a language, so nothing of ours breaks by it.
            faults.push(Fault {
                breaks_a_promise: false,
                ..broken(
                    "collation",
                    "the system sorts by other rules than when the database was made",
                    "reindex database NAME; alter database NAME refresh collation version",
                )
            });
        }
    }
    let lacking: Vec<String> = on_engine!(&mut *tx, conn => sqlx::query_scalar(sqlx::AssertSqlSafe(format!(
        "select c.relname::text from pg_class c
         where c.oid = to_regclass(quote_ident(c.relname)) and c.relkind in ('r', 'p') and c.relname in ({TABLES})
           and not (has_table_privilege(c.oid, 'select') and has_table_privilege(c.oid, 'insert')
                    and (c.relname = 'audit_log' or has_table_privilege(c.oid, 'update')))
         order by 1")))
        .fetch_all(conn)
        .await)?;
    if !lacking.is_empty() {
        let message = format!("the user of DATABASE_URL may not read and write {}", lacking.join(", "));
        let fix =
            "grant select, insert, update, delete on all tables in schema public to the user of DATABASE_URL";
        faults.push(broken("privileges", message, fix));
    }
    let theirs: i64 = on_engine!(&mut *tx, conn => sqlx::query_scalar(
        "select extract(epoch from clock_timestamp())::bigint").fetch_one(conn).await)?;
    let ahead = now.as_unix_seconds().saturating_sub(theirs);
    if ahead.abs() > CLOCKS {
        faults.push(Fault {
            breaks_a_promise: false,
            ..broken(
                "database-clock",
                format!("this machine's clock is {ahead} s ahead of the database server's"),
                "sudo timedatectl set-ntp true, on both",
            )
        });
    }
    Ok(())
}

async fn guards(tx: &mut Tx, faults: &mut Vec<Fault>) -> Result<(), StoreError> {
    let sql = match tx {
        Tx::Postgres(_) => {
            "select count(*) from pg_index i join pg_class c on c.oid = i.indexrelid
             where c.relname = $1 and i.indisunique and i.indisvalid and i.indpred is not null"
        }
        Tx::Sqlite(_) => {
            "select count(*) from sqlite_master where type = 'index' and name = $1 and sql like '%unique%'"
        }
    };
    for (name, create) in GUARDS {
        let there: i64 =
            on_engine!(&mut *tx, conn => sqlx::query_scalar(sql).bind(name).fetch_one(conn).await)?;
        if there == 0 {
            let message =
                format!("the unique index {name} is missing: nothing refuses what must not be twice");
            faults.push(broken("indexes", message, create));
        }
    }
    Ok(())
}

impl Tx {
    /// Adds to what the service counted under this name.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn add_observation(&mut self, name: &str, at: Timestamp, count: i64) -> Result<(), StoreError> {
        on_engine!(self, conn => sqlx::query(
            "insert into observations (name, at, value) values ($1, $2, $3)
             on conflict (name) do update set
                 at = case when observations.at > excluded.at then observations.at else excluded.at end,
                 value = observations.value + excluded.value")
            .bind(name)
            .bind(at.as_micros())
            .bind(count)
            .execute(conn)
            .await
            .map(drop))?;
        Ok(())
    }

    /// What was counted since then under names that begin so: each name, when it was last, and how often.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn observations_of(
        &mut self,
        prefix: &str,
        since: Timestamp,
    ) -> Result<Vec<(String, Timestamp, i64)>, StoreError> {
        let rows: Vec<(String, i64, i64)> = on_engine!(self, conn => sqlx::query_as(
            "select name, at, value from observations where name like $1 and at >= $2 order by name")
            .bind(format!("{prefix}%"))
            .bind(since.as_micros())
            .fetch_all(conn)
            .await)?;
        Ok(rows.into_iter().map(|(name, at, count)| (name, Timestamp::from_micros(at), count)).collect())
    }

    /// Forgets what was counted under names that begin so, if it was before then.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn forget_observations(&mut self, prefix: &str, before: Timestamp) -> Result<(), StoreError> {
        on_engine!(self, conn => sqlx::query("delete from observations where name like $1 and at < $2")
            .bind(format!("{prefix}%"))
            .bind(before.as_micros())
            .execute(conn)
            .await
            .map(drop))?;
        Ok(())
    }

    /// Whether anything can be bought.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn active_offers(&mut self) -> Result<i64, StoreError> {
        Ok(on_engine!(self, conn => sqlx::query_scalar("select count(*) from offers where active")
            .fetch_one(conn)
            .await)?)
    }
}
