//! What can go wrong with a database, as far as callers act on it differently.

use super::stale;
use sqlx::sqlite::SqliteError;
use std::path::PathBuf;

/// A failed look-up or change.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The address cannot be used.
    #[error("DATABASE_URL: {0}")]
    Config(String),
    /// The database did not answer, is shutting down, or all connections are taken. Worth another try.
    #[error("the database is not available: {0}")]
    Unavailable(#[source] sqlx::Error),
    /// The statement took longer than a statement may, and the database gave it up.
    #[error("the database cancelled a statement that took too long: {0}")]
    Cancelled(#[source] sqlx::Error),
    /// The database took the question and said nothing, for too long.
    #[error("the database did not answer in time")]
    Silent,
    /// The server takes no writes: a standby, or one that was made read-only. Another connection may lead elsewhere.
    #[error("the database takes no writes: {0}")]
    ReadOnly(#[source] sqlx::Error),
    /// A connection remembers what is not true any more, as after a restore. Worth another try on another one.
    #[error("a connection was out of date: {0}")]
    Stale(#[source] sqlx::Error),
    /// The file of the database is not the one that was opened: what is written would be lost.
    #[error(
        "the database's file {} was moved, removed or replaced while it was in use: put it back, or restart with the \
         right one",
        .0.display()
    )]
    Moved(PathBuf),
    /// Two transactions got into each other's way and this one gave way. Worth another try.
    #[error("two transactions collided: {0}")]
    Collision(#[source] sqlx::Error),
    /// Somebody holds a row that is needed, for longer than we wait. Worth another try, later.
    #[error("a row is locked by somebody else: {0}")]
    Locked(#[source] sqlx::Error),
    /// There is no room left to write.
    #[error("the disk is full: {0}")]
    DiskFull(#[source] sqlx::Error),
    /// The schema was made by a newer program.
    #[error(
        "the database's schema (version {found}) is newer than this program (version {known}): start the newer \
         program, or restore a backup"
    )]
    Newer {
        /// The newest migration applied.
        found: i64,
        /// The newest migration that this program has.
        known: i64,
    },
    /// Migrations are missing.
    #[error("the database's schema is not up to date: run `checkout-backend migrate deploy`")]
    NotMigrated,
    /// A row holds what it cannot hold.
    #[error("the database holds an impossible value in {place}: {value:?}")]
    Corrupt {
        /// Table and column.
        place: &'static str,
        /// What stands there.
        value: String,
    },
    /// A table, or another program's database, is not what can be copied.
    #[error("{0}")]
    NotCopied(String),
    /// A batch changed fewer rows than it had: another instance was faster. Worth another try.
    #[error("another instance changed the same rows first")]
    Overtaken,
    /// Anything else: a fault of ours.
    #[error("the database refused: {0}")]
    Other(#[source] sqlx::Error),
}

impl StoreError {
    pub(super) fn corrupt(place: &'static str, value: &str) -> Self {
        // Short, and never a whole personal value: this goes to the log.
        Self::Corrupt { place, value: value.chars().take(40).collect() }
    }

    /// Whether doing the same again may work.
    #[must_use]
    pub fn is_collision(&self) -> bool {
        matches!(self, Self::Collision(_) | Self::Overtaken | Self::Locked(_) | Self::Stale(_))
    }

    /// Whether the database as a whole is out of reach, so that trying other rows is of no use.
    #[must_use]
    pub fn is_outage(&self) -> bool {
        matches!(
            self,
            Self::Unavailable(_)
                | Self::Silent
                | Self::DiskFull(_)
                | Self::ReadOnly(_)
                | Self::Moved(_)
                | Self::Cancelled(_)
        )
    }

    /// Why, as far as another remedy follows from it.
    #[must_use]
    pub fn cause(&self) -> Cause {
        let error = match self {
            Self::Config(_) => return Cause::Address,
            Self::Silent => return Cause::Silent,
            Self::ReadOnly(_) => return Cause::ReadOnly,
            Self::DiskFull(_) => return Cause::DiskFull,
            Self::Moved(_) => return Cause::Moved,
            Self::Locked(_) | Self::Collision(_) | Self::Overtaken => return Cause::Locked,
            Self::Newer { .. } => return Cause::Newer,
            Self::NotMigrated => return Cause::NotMigrated,
            Self::Corrupt { .. } | Self::NotCopied(_) => return Cause::Other,
            Self::Unavailable(error) | Self::Stale(error) | Self::Cancelled(error) | Self::Other(error) => {
                error
            }
        };
        match error {
            sqlx::Error::PoolTimedOut => Cause::Starved,
            sqlx::Error::Io(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
                Cause::NobodyListens
            }
            sqlx::Error::Io(_) => Cause::Unreachable,
            sqlx::Error::Tls(_) => Cause::Tls,
            sqlx::Error::Migrate(_) => Cause::AlteredMigration,
            sqlx::Error::Database(database) => {
                by_code(&database.code().unwrap_or_default(), database.message())
            }
            _ => Cause::Other,
        }
    }
}

/// Why a database cannot be used, as far as another remedy follows from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// `DATABASE_URL` cannot be read.
    Address,
    /// The server was reached and nobody listens there.
    NobodyListens,
    /// No way leads there: the name, the network.
    Unreachable,
    /// Somebody took the question and said nothing.
    Silent,
    /// The encrypted connection did not come about.
    Tls,
    /// User or password.
    Password,
    /// There is no such database.
    NoSuchDatabase,
    /// The user may not do what the service does.
    Privileges,
    /// No connection is left.
    Starved,
    /// The server is starting or stopping.
    Starting,
    /// It takes no writes.
    ReadOnly,
    /// No room is left.
    DiskFull,
    /// The file is not where it was.
    Moved,
    /// Somebody holds a lock.
    Locked,
    /// A table or column is missing.
    NotMigrated,
    /// The schema is a newer program's.
    Newer,
    /// A migration that was applied is not the one that this program has.
    AlteredMigration,
    /// The file is damaged, or is no database.
    Damaged,
    /// Anything else.
    Other,
}

fn by_code(code: &str, message: &str) -> Cause {
    match code {
        "28P01" | "28000" => Cause::Password,
        "3D000" => Cause::NoSuchDatabase,
        "42501" => Cause::Privileges,
        "53300" => Cause::Starved,
        "57P03" | "57P01" | "57P02" => Cause::Starting,
        "42P01" | "42703" => Cause::NotMigrated,
        "55P03" | "57014" => Cause::Locked,
        // SQLite's codes: a file that is none of its own, or damaged; cannot be opened; may not be written.
        "26" | "11" => Cause::Damaged,
        "14" => Cause::Unreachable,
        "8" => Cause::ReadOnly,
        "1" if message.contains("no such table") || message.contains("no such column") => Cause::NotMigrated,
        _ => Cause::Other,
    }
}

impl StoreError {
    /// By SQLSTATE (PostgreSQL's documentation, appendix "Error Codes").
    fn from_postgres(code: &str, error: sqlx::Error) -> Self {
        match code {
            // Serialization failure, deadlock, unique violation (of a seat or key that another instance took
            // between our look and our write).
            "40001" | "40P01" | "23505" => Self::Collision(error),
            "55P03" => Self::Locked(error),
            "53100" => {
                stale::disk_was_full();
                Self::DiskFull(error)
            }
            // A standby, or a server that was made read-only. After a failover the address leads to another server,
            // and this connection does not.
            "25006" => {
                stale::let_go_in_time();
                Self::ReadOnly(error)
            }
            // The tables are others than those that its statements were prepared for, as after a restore; or a
            // pooler lent the connection of somebody else.
            "26000" | "42P05" => {
                stale::let_go();
                Self::Stale(error)
            }
            "0A000" if error.to_string().contains("cached plan") => {
                stale::let_go();
                Self::Stale(error)
            }
            // Idle in a transaction for too long: the connection is gone.
            "25P03" => Self::Unavailable(error),
            "57014" => Self::Cancelled(error),
            // Connection trouble; shutdown; no memory, too many connections.
            _ if code.starts_with("08") || code.starts_with("57") || code.starts_with("53") => {
                Self::Unavailable(error)
            }
            // I/O errors of the server.
            _ if code.starts_with("58") => Self::Unavailable(error),
            _ => Self::Other(error),
        }
    }

    /// By extended result code, whose lowest byte is the kind (SQLite's page "Result and Error Codes").
    fn from_sqlite(code: u32, error: sqlx::Error) -> Self {
        /// A unique or primary key was violated: another kind of `SQLITE_CONSTRAINT` is a fault of ours.
        const UNIQUE: [u32; 2] = [2067, 1555];
        match code & 0xff {
            5 => Self::Collision(error),
            13 => Self::DiskFull(error),
            // Locked, out of memory, read-only (as a failing disk becomes), I/O error, cannot open.
            6 | 7 | 8 | 10 | 14 => Self::Unavailable(error),
            _ if UNIQUE.contains(&code) => Self::Collision(error),
            _ => Self::Other(error),
        }
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
            | sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_) => Self::Unavailable(error),
            sqlx::Error::Database(database) => {
                let code = database.code().unwrap_or_default();
                if database.try_downcast_ref::<SqliteError>().is_some() {
                    Self::from_sqlite(code.parse().unwrap_or_default(), error)
                } else {
                    let code = code.into_owned();
                    Self::from_postgres(&code, error)
                }
            }
            _ => Self::Other(error),
        }
    }
}
