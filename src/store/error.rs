//! What can go wrong with a database, as far as callers act on it differently.

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

    /// Whether doing the same again may work at once.
    #[must_use]
    pub fn is_collision(&self) -> bool {
        matches!(self, Self::Collision(_) | Self::Overtaken)
    }

    /// Whether the database as a whole is out of reach, so that trying other rows is of no use.
    #[must_use]
    pub fn is_outage(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Silent | Self::DiskFull(_))
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
            sqlx::Error::Database(database) => match database.code().as_deref() {
                // PostgreSQL: serialization failure, deadlock, lock not available, unique violation (of
                // a seat or key that another instance took between our look and our write).
                Some("40001" | "40P01" | "55P03" | "23505") => Self::Collision(error),
                // PostgreSQL: disk full; SQLite: full (13).
                Some("53100" | "13") => Self::DiskFull(error),
                // PostgreSQL: connection trouble, shutdown, too many connections, statement timeout.
                Some(code)
                    if code.starts_with("08")
                        || code.starts_with("57")
                        || code.starts_with("53")
                        || code == "25P03" =>
                {
                    Self::Unavailable(error)
                }
                // SQLite: unique (2067) and primary key (1555) violations, busy (5, 261, 517).
                Some("2067" | "1555" | "5" | "261" | "517") => Self::Collision(error),
                // SQLite: locked (6), i/o error (10 and its kin 266…), cannot open (14).
                Some("6" | "10" | "14" | "266" | "522" | "778" | "1034" | "1290" | "1546" | "1802") => {
                    Self::Unavailable(error)
                }
                _ => Self::Other(error),
            },
            _ => Self::Other(error),
        }
    }
}
