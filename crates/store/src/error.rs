//! What can go wrong with a database, as far as callers act on it differently.

use sqlx::sqlite::SqliteError;

/// A failed look-up or change.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The address cannot be used.
    #[error("DATABASE_URL: {0}")]
    Config(String),
    /// The database did not answer, is shutting down, or all connections are taken. Worth another try.
    #[error("the database is not available: {0}")]
    Unavailable(#[source] sqlx::Error),
    /// The database took the question and said nothing, for too long.
    #[error("the database did not answer in time")]
    Silent,
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
        matches!(self, Self::Collision(_) | Self::Overtaken | Self::Locked(_))
    }

    /// Whether the database as a whole is out of reach, so that trying other rows is of no use.
    #[must_use]
    pub fn is_outage(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Silent | Self::DiskFull(_))
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
            "53100" => Self::DiskFull(error),
            // Idle in a transaction for too long: the connection is gone.
            "25P03" => Self::Unavailable(error),
            // Connection trouble; shutdown, cancelled or timed out; no memory, too many connections.
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
