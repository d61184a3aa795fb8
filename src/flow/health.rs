//! Whether the next webhook would be recorded: the recorder's own road, asked by writing, and what stands in its way.
//!
//! **Invariants.** However often it is asked, the database is asked once at a time and once in [`FRESH`]: a crowd at
//! `/health` takes no connection from the recorder. An answer is never older than that, and comes within seconds.

use clock::Timestamp;
use std::time::{Duration, Instant};
pub use store::Waiting;
use store::{Cause, SchemaState, Store, StoreError, within};
use tokio::sync::Mutex;

/// How long an answer serves.
const FRESH: Duration = Duration::from_secs(1);
/// How long the recorder's road may take. A webhook waits longer, but a road that is so slow is about to be none.
const PATIENCE: Duration = Duration::from_secs(3);
/// An SQLite file whose disk has less room left cannot be sure to take the next delivery, which may be a batch of
/// several with their payloads, twice: in the write-ahead log and in its place.
const ROOM: u64 = 128 * 1024;
/// With less room there is time to act.
pub const LITTLE_ROOM: u64 = 256 * 1024 * 1024;

/// Why the next webhook could not be recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// The database does not answer, or not as one that can be used.
    Down,
    /// It takes no writes.
    ReadOnly,
    /// No room is left.
    Full,
    /// No connection is left for the recorder, or somebody holds what it writes.
    Starved,
}

impl Trouble {
    /// Every one.
    pub const ALL: [Self; 4] = [Self::Down, Self::ReadOnly, Self::Full, Self::Starved];

    /// As `/health` says it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Down => "down",
            Self::ReadOnly => "read_only",
            Self::Full => "full",
            Self::Starved => "starved",
        }
    }
}

/// How the database stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// What is in the recorder's way.
    pub trouble: Option<Trouble>,
    /// Whether it is the schema.
    pub schema: bool,
    /// Why, if it is known.
    pub cause: Option<Cause>,
}

/// The last answer, shared by everybody who asks.
#[derive(Debug)]
pub struct Health {
    last: Mutex<Option<(Instant, Standing)>>,
    /// The row in which this process writes that it can.
    row: u64,
}

impl Default for Health {
    fn default() -> Self {
        Self { last: Mutex::new(None), row: rand::random() }
    }
}

impl Health {
    /// How the database stands now.
    pub async fn standing(&self, store: &Store, now: Timestamp) -> Standing {
        let mut last = self.last.lock().await;
        let before = last.map(|(_, standing)| standing);
        if let Some((at, standing)) = *last
            && at.elapsed() < FRESH
            && !store.is_closed()
        {
            return standing;
        }
        let standing = judge(Box::pin(self.ask(store, now)).await, store.free_bytes());
        *last = Some((Instant::now(), standing));
        let trouble = |standing: Option<Standing>| standing.and_then(|standing| standing.trouble);
        match (trouble(before), standing.trouble) {
            (before, Some(now)) if before != Some(now) => {
                let cause = standing.cause;
                tracing::error!(
                    module = "store",
                    action = "store.trouble",
                    db = now.as_str(),
                    ?cause,
                    "the next webhook could not be recorded"
                );
            }
            (Some(_), None) => {
                tracing::info!(
                    module = "store",
                    action = "store.recovered",
                    "webhooks can be recorded again"
                );
            }
            _ => {}
        }
        standing
    }

    async fn ask(&self, store: &Store, now: Timestamp) -> Result<SchemaState, Cause> {
        match within(PATIENCE, store.probe(now, self.row)).await {
            Ok(schema) => Ok(schema),
            Err(error) => match error.cause() {
                // The pool only knows that it waited in vain. Who connects learns why; and if that goes, there was
                // a server and no connection.
                Cause::Starved | Cause::Silent if !store.is_closed() => {
                    let why = within(PATIENCE, async { Ok(store.why_unreachable().await) }).await;
                    match why {
                        Ok(None) => Err(Cause::Starved),
                        Ok(Some(error)) | Err(error) => Err(error.cause()),
                    }
                }
                cause => Err(cause),
            },
        }
    }
}

/// What waits in the database, for `/metrics`.
///
/// # Errors
/// Any [`StoreError`].
pub async fn waiting(store: &Store) -> Result<Waiting, StoreError> {
    let mut tx = store.read().await?;
    let waiting = tx.waiting().await?;
    tx.rollback().await?;
    Ok(waiting)
}

/// Pure: what an answer means.
fn judge(probe: Result<SchemaState, Cause>, free: Option<u64>) -> Standing {
    let trouble = match probe {
        Ok(_) => free.filter(|free| *free < ROOM).map(|_| Trouble::Full),
        Err(cause) => Some(match cause {
            Cause::ReadOnly => Trouble::ReadOnly,
            Cause::DiskFull => Trouble::Full,
            Cause::Starved | Cause::Locked => Trouble::Starved,
            Cause::Address
            | Cause::NobodyListens
            | Cause::Unreachable
            | Cause::Silent
            | Cause::Tls
            | Cause::Password
            | Cause::NoSuchDatabase
            | Cause::Privileges
            | Cause::Starting
            | Cause::Moved
            | Cause::NotMigrated
            | Cause::Newer
            | Cause::AlteredMigration
            | Cause::Damaged
            | Cause::Other => Trouble::Down,
        }),
    };
    let schema = matches!(probe, Err(Cause::NotMigrated | Cause::Newer));
    Standing { trouble, schema, cause: probe.err() }
}

/// The command or the step that mends a database that cannot be used, by its cause.
#[must_use]
pub fn remedy(error: &StoreError, place: &str) -> (String, String) {
    let (what, fix) = match error.cause() {
        Cause::Address => ("its address cannot be used", "correct DATABASE_URL"),
        Cause::NobodyListens => (
            "nobody listens there",
            "start the server (systemctl start postgresql, docker compose up -d), or correct host and port in \
             DATABASE_URL",
        ),
        Cause::Unreachable => (
            "no way leads there",
            "correct the host or the path in DATABASE_URL; look whether this machine reaches it: the name, the \
             network, a firewall, the folder's owner",
        ),
        Cause::Silent => {
            ("it does not answer in time", "look at its load, its locks and the network on the way")
        }
        Cause::Tls => (
            "no encrypted connection came about",
            "set sslmode in DATABASE_URL to what the server offers, and sslrootcert to its authority",
        ),
        Cause::Password => (
            "it does not accept user and password",
            "correct user and password in DATABASE_URL, or set the role's: alter role NAME password '…'; and look at \
             pg_hba.conf",
        ),
        Cause::NoSuchDatabase => (
            "there is no such database",
            "create it: createdb NAME; or correct the name in DATABASE_URL; then: checkout-backend migrate deploy",
        ),
        Cause::Privileges => (
            "the user may not do what the service does",
            "grant select, insert, update, delete on all tables in schema public to the user of DATABASE_URL",
        ),
        Cause::Starved => (
            "no connection is left",
            "raise max_connections or the role's limit (alter role NAME connection limit 20), or close who takes them: \
             select * from pg_stat_activity",
        ),
        Cause::Starting => {
            ("the server is starting or stopping", "wait a moment; then: checkout-backend doctor")
        }
        Cause::ReadOnly => (
            "it takes no writes",
            "give DATABASE_URL the primary, not a standby (several hosts: host1,host2); or: alter database NAME set \
             default_transaction_read_only = off; SQLite: chown the file to the service's user",
        ),
        Cause::DiskFull => ("its disk is full", "make room: df -h; then: checkout-backend doctor"),
        Cause::Moved => (
            "its file was moved, removed or replaced",
            "put the file back in its place, or restart the service with the right one",
        ),
        Cause::Locked => (
            "somebody holds a lock on its tables",
            "find who: select pid, query from pg_stat_activity where state <> 'idle'; end it: select \
             pg_terminate_backend(PID)",
        ),
        Cause::NotMigrated => ("its schema is not up to date", "checkout-backend migrate deploy"),
        Cause::Newer => ("its schema is a newer program's", "start the newer program, or restore a backup"),
        Cause::AlteredMigration => (
            "a migration that was applied is another than this program's",
            "run the program that made this database; it was changed by hand or made by a build of its own",
        ),
        Cause::Damaged => (
            "the file is damaged, or no SQLite database",
            "stop the service and restore a backup; docs/OPERATIONS.md says how",
        ),
        Cause::Other => ("it cannot be used", "checkout-backend migrate status"),
    };
    (format!("{place}: {what} ({error})"), fix.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_recorded_is_told_by_its_reason() {
        let (current, plenty) = (Ok(SchemaState::Current), Some(1 << 30));
        let newer = Ok(SchemaState::NewerAdded { found: 9, known: 8 });
        for (probe, free, trouble) in [
            (current, None, None),
            (current, plenty, None),
            (newer, plenty, None),
            (current, Some(ROOM), None),
            (current, Some(ROOM - 1), Some(Trouble::Full)),
            (current, Some(0), Some(Trouble::Full)),
            (Err(Cause::DiskFull), plenty, Some(Trouble::Full)),
            (Err(Cause::ReadOnly), None, Some(Trouble::ReadOnly)),
            (Err(Cause::Starved), None, Some(Trouble::Starved)),
            (Err(Cause::Locked), None, Some(Trouble::Starved)),
            (Err(Cause::Moved), plenty, Some(Trouble::Down)),
            (Err(Cause::NobodyListens), None, Some(Trouble::Down)),
            (Err(Cause::NotMigrated), None, Some(Trouble::Down)),
        ] {
            assert_eq!(judge(probe, free).trouble, trouble, "{probe:?} {free:?}");
        }
        assert!(judge(Err(Cause::NotMigrated), None).schema && !judge(Err(Cause::Silent), None).schema);
    }
}
