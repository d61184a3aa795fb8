//! The database: SQL and nothing else. What a row means is decided in `domain`.
//!
//! SQLite and PostgreSQL share every statement's text (`$1` placeholders, lower case, beside its
//! use). [`on_engine!`] runs one on whichever engine it is; the few places where the engines really
//! differ are in [`engine`]. Only this module names sqlx.

macro_rules! on_engine {
    ($this:expr, $conn:ident => $run:expr) => {
        match $this {
            $crate::Tx::Postgres($conn) => {
                let $conn = &mut **$conn;
                $run
            }
            $crate::Tx::Sqlite($conn) => {
                let $conn = &mut **$conn;
                $run
            }
        }
    };
}

pub mod audit;
pub mod bookings;
pub mod cases;
pub mod checks;
pub mod engine;
pub mod error;
pub mod feed;
pub mod idempotency;
pub mod import;
pub mod ledger;
pub mod limits;
pub mod marks;
mod migrate;
pub mod offers;
pub mod outbox;
pub mod page;
pub mod privacy;
pub mod refund_intents;
mod row;
pub mod sessions;
pub mod transfer;
pub mod users;

pub use engine::Write;
pub use error::StoreError;
pub use migrate::MigrationStatus;

use domain::ids::InstanceId;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Connection, PgConnection, PgPool, Postgres, Sqlite, SqliteConnection, SqlitePool, Transaction};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

/// How long a statement may wait for a connection before the caller gets [`StoreError::Unavailable`].
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);

/// How long a transaction may take to begin, with the wait for a connection.
const BEGIN_TIMEOUT: Duration = Duration::from_secs(5);
/// A connection that was idle for longer is asked whether its other end is still there.
const IDLE: Duration = Duration::from_secs(1);
/// How long it may take to answer that.
const PING_TIMEOUT: Duration = Duration::from_millis(500);
/// The most connections to a PostgreSQL server, beside the recorder's.
const POSTGRES_CONNECTIONS: u32 = 10;
/// The recorder's writers on PostgreSQL: while one waits for its commit the other works.
pub const POSTGRES_WRITERS: u32 = 2;

/// The database, whichever engine it is. Clones share the pools.
#[derive(Debug, Clone)]
pub enum Store {
    /// A PostgreSQL server, possibly shared with other instances.
    Postgres {
        /// Connections for everything but the recorder.
        pool: PgPool,
        /// The recorder's own: whatever else goes on, a payment fact has a connection, and that one knows its
        /// statements.
        recording: PgPool,
    },
    /// An embedded database in one file, ours alone.
    Sqlite {
        /// The one connection that writes, so that writers queue here and never meet `SQLITE_BUSY`.
        writer: SqlitePool,
        /// Connections that only read.
        readers: SqlitePool,
        /// Where the file is.
        path: PathBuf,
    },
}

/// A transaction. Dropped without [`Tx::commit`] it is rolled back.
#[derive(Debug)]
pub enum Tx {
    /// READ COMMITTED, with row locks where they are asked for.
    Postgres(Transaction<'static, Postgres>),
    /// `begin immediate` when writing: the lock is taken at the start, not in the middle.
    Sqlite(Transaction<'static, Sqlite>),
}

impl Store {
    /// Opens the database at `url`, `postgres://…` or `sqlite://…`, creating an SQLite file that is
    /// not there. The schema is not touched; see [`Store::migrate`].
    ///
    /// # Errors
    /// [`StoreError::Config`] for another or malformed address. A PostgreSQL server that cannot be
    /// reached is no error here: the pool connects when it is used.
    pub fn open(url: &str) -> Result<Self, StoreError> {
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            Self::open_postgres(url)
        } else if url.starts_with("sqlite:") {
            Self::open_sqlite(url)
        } else {
            Err(StoreError::Config("use postgres://… or sqlite://…".to_owned()))
        }
    }

    /// The SQLite file of `url`, if there is none yet. [`Store::open`] would make it.
    #[must_use]
    pub fn missing_file(url: &str) -> Option<PathBuf> {
        let options = url.starts_with("sqlite:").then(|| SqliteConnectOptions::from_str(url).ok())??;
        let path = options.get_filename();
        (!path.as_os_str().is_empty() && !in_memory(url) && !path.exists()).then(|| path.to_path_buf())
    }

    /// Why no connection can be made; none if one can.
    pub async fn why_unreachable(&self) -> Option<String> {
        let Self::Postgres { pool, .. } = self else { return None };
        match tokio::time::timeout(ACQUIRE_TIMEOUT, PgConnection::connect_with(&pool.connect_options())).await
        {
            Ok(Ok(connection)) => {
                // It was only to learn whether there is one.
                let _ = connection.close().await;
                None
            }
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some("nobody answers".to_owned()),
        }
    }

    fn open_postgres(url: &str) -> Result<Self, StoreError> {
        let options = PgConnectOptions::from_str(url)
            .map_err(|error| StoreError::Config(error.to_string()))?
            .application_name("checkout-backend")
            // No wait is without an end: a hung statement, lock or client gives way.
            .options([
                ("statement_timeout", "6000"),
                ("lock_timeout", "1000"),
                ("idle_in_transaction_session_timeout", "10000"),
                ("default_transaction_isolation", "read committed"),
                // Named, because a server's default could be off, and then a 2xx would be a lie.
                ("synchronous_commit", "on"),
            ]);
        let pool = |connections, options| {
            PgPoolOptions::new()
                .max_connections(connections)
                .acquire_timeout(ACQUIRE_TIMEOUT)
                .max_lifetime(Duration::from_secs(30 * 60))
                // A dead connection shows at its first statement, which every caller may repeat. But one whose
                // other end has gone without a word shows nothing, ever: who has been idle is asked.
                .test_before_acquire(false)
                .before_acquire(|connection, meta| {
                    Box::pin(async move {
                        if meta.idle_for > IDLE { still_there(connection).await } else { Ok(true) }
                    })
                })
                // Given back in the middle of a statement that was never answered.
                .after_release(|connection, _| Box::pin(still_there(connection)))
                .connect_lazy_with(options)
        };
        // The recorder says the same few statements again and again, with batches of any length: planning each
        // anew costs more than doing what it says. A plan is made once, perhaps while the tables are still
        // empty and every plan looks equally good, so it is told that its rows are found by an index.
        let recording =
            options.clone().options([("plan_cache_mode", "force_generic_plan"), ("enable_seqscan", "off")]);
        Ok(Self::Postgres {
            pool: pool(POSTGRES_CONNECTIONS, options),
            // One more, because a connection that is given back is asked whether it is well before it is lent again.
            recording: pool(POSTGRES_WRITERS + 1, recording),
        })
    }

    fn open_sqlite(url: &str) -> Result<Self, StoreError> {
        let options =
            SqliteConnectOptions::from_str(url).map_err(|error| StoreError::Config(error.to_string()))?;
        let path = options.get_filename().to_path_buf();
        if path.as_os_str().is_empty() || in_memory(url) {
            return Err(StoreError::Config(
                "an SQLite database needs a file, as in sqlite://data/x.db".into(),
            ));
        }
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            private_folder(folder).map_err(|error| {
                StoreError::Config(format!("cannot create {}: {error}", folder.display()))
            })?;
        }
        private_file(&path)
            .map_err(|error| StoreError::Config(format!("cannot create {}: {error}", path.display())))?;
        let options = options
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // FULL: a commit is on disk before it returns. NORMAL could lose it with the power.
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(Duration::from_secs(5));
        let pool = |connections: u32, options: SqliteConnectOptions| {
            SqlitePoolOptions::new()
                .max_connections(connections)
                .acquire_timeout(ACQUIRE_TIMEOUT)
                .idle_timeout(None)
                .max_lifetime(None)
                .test_before_acquire(false)
                .after_release(|connection, _| Box::pin(not_in_transaction(connection)))
                .connect_lazy_with(options)
        };
        Ok(Self::Sqlite {
            writer: pool(1, options.clone()),
            readers: pool(4, options.pragma("query_only", "on")),
            path,
        })
    }

    /// A transaction that may write.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] or [`StoreError::Silent`] if no connection could be had in time.
    pub async fn begin(&self) -> Result<Tx, StoreError> {
        let begin = async {
            Ok(match self {
                Self::Postgres { pool, .. } => Tx::Postgres(begin_on_live(pool).await?),
                Self::Sqlite { writer, .. } => Tx::Sqlite(writer.begin_with("begin immediate").await?),
            })
        };
        within(BEGIN_TIMEOUT, begin).await
    }

    /// A transaction of the recorder.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] or [`StoreError::Silent`] if no connection could be had in time.
    pub async fn begin_recording(&self) -> Result<Tx, StoreError> {
        match self {
            Self::Postgres { recording, .. } => {
                within(BEGIN_TIMEOUT, async { Ok(Tx::Postgres(begin_on_live(recording).await?)) }).await
            }
            Self::Sqlite { .. } => self.begin().await,
        }
    }

    /// A transaction that only reads, and on SQLite does not wait for writers.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] or [`StoreError::Silent`] if no connection could be had in time.
    pub async fn read(&self) -> Result<Tx, StoreError> {
        let begin = async {
            Ok(match self {
                Self::Postgres { pool, .. } => Tx::Postgres(begin_on_live(pool).await?),
                Self::Sqlite { readers, .. } => Tx::Sqlite(readers.begin().await?),
            })
        };
        within(BEGIN_TIMEOUT, begin).await
    }

    /// Whether the database answers and its schema is the one that this program needs.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn ready(&self) -> Result<(), StoreError> {
        migrate::check(self).await
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn ping(&self) -> Result<(), StoreError> {
        let mut tx = self.read().await?;
        on_engine!(&mut tx, conn => sqlx::query("select 1").execute(conn).await.map(drop))?;
        tx.rollback().await
    }

    /// Brings the schema up to date. Instances that start together migrate once.
    ///
    /// # Errors
    /// [`StoreError::Newer`] if the schema is newer than this program.
    pub async fn migrate(&self, now: clock::Timestamp) -> Result<(), StoreError> {
        migrate::deploy(self, now).await
    }

    /// Every migration, and whether it has been applied.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn migration_status(&self) -> Result<Vec<MigrationStatus>, StoreError> {
        migrate::status(self).await
    }

    /// This database's id.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn instance(&self) -> Result<InstanceId, StoreError> {
        let mut tx = self.read().await?;
        let id: String =
            on_engine!(&mut tx, conn => sqlx::query_scalar("select id from instance").fetch_one(conn).await)?;
        tx.rollback().await?;
        InstanceId::parse(&id).map_err(|_| StoreError::corrupt("instance.id", &id))
    }

    /// `sqlite` or `postgres`.
    #[must_use]
    pub fn engine(&self) -> &'static str {
        match self {
            Self::Postgres { .. } => "postgres",
            Self::Sqlite { .. } => "sqlite",
        }
    }

    /// The engine and where its data is, without user and password.
    #[must_use]
    pub fn place(&self) -> String {
        match self {
            Self::Postgres { pool, .. } => {
                let server = pool.connect_options();
                let database = server.get_database().unwrap_or("its user's database");
                format!("PostgreSQL at {}:{}/{database}", server.get_host(), server.get_port())
            }
            Self::Sqlite { path, .. } => {
                let path = std::path::absolute(path).unwrap_or_else(|_| path.clone());
                format!("SQLite in {}", path.display())
            }
        }
    }

    /// Closes every connection and waits for those in use.
    pub async fn close(&self) {
        match self {
            Self::Postgres { pool, recording } => {
                recording.close().await;
                pool.close().await;
            }
            Self::Sqlite { writer, readers, .. } => {
                readers.close().await;
                writer.close().await;
            }
        }
    }

    async fn acquire_sqlite_writer(pool: &SqlitePool) -> Result<PoolConnection<Sqlite>, StoreError> {
        Ok(pool.acquire().await?)
    }
}

/// Ends `work` after `limit`: a network can swallow a question without a word.
///
/// # Errors
/// [`StoreError::Silent`] after `limit`; else what `work` says.
pub async fn within<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    tokio::time::timeout(limit, work).await.unwrap_or(Err(StoreError::Silent))
}

/// After a restart of the server every connection of the pool is dead, and each shows it only when it is
/// used. Nothing has been asked of the database yet, so whoever meets one takes the next: the pool has
/// thrown that one away.
async fn begin_on_live(pool: &PgPool) -> Result<Transaction<'static, Postgres>, StoreError> {
    let mut dead = 0;
    loop {
        match pool.begin().await {
            Err(sqlx::Error::PoolTimedOut) => return Err(sqlx::Error::PoolTimedOut.into()),
            Err(error) => match StoreError::from(error) {
                StoreError::Unavailable(_) if dead < POSTGRES_CONNECTIONS => dead += 1,
                error => return Err(error),
            },
            Ok(tx) => return Ok(tx),
        }
    }
}

/// SQLite takes a transaction back by itself when the disk is full or fails. The `rollback` that follows is
/// an error then, and the connection would count as being in a transaction for ever: no other could begin.
async fn not_in_transaction(connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    if connection.is_in_transaction() {
        // Behind the `rollback` of a transaction that was dropped, which is still on its way.
        connection.ping().await?;
    }
    Ok(!connection.is_in_transaction())
}

async fn still_there(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    // The error makes the pool drop the connection as it is, without a farewell that could hang as well.
    tokio::time::timeout(PING_TIMEOUT, connection.ping()).await.map_err(|_| sqlx::Error::WorkerCrashed)??;
    Ok(true)
}

/// In memory each connection would see a database of its own, and nothing would be durable.
fn in_memory(url: &str) -> bool {
    url.contains(":memory:") || url.contains("mode=memory")
}

/// Names, addresses and password hashes are in there: nobody else on the machine reads it.
fn private_folder(folder: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(folder)
}

/// Makes the database's file if it is not there. SQLite gives the files beside it the same mode.
fn private_file(path: &Path) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop)
}

impl Tx {
    /// Makes it durable. After an error it is not known whether it was: read the state back.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn commit(self) -> Result<(), StoreError> {
        match self {
            Self::Postgres(tx) => tx.commit().await?,
            Self::Sqlite(tx) => tx.commit().await?,
        }
        Ok(())
    }

    /// Ends it without a change.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn rollback(self) -> Result<(), StoreError> {
        match self {
            Self::Postgres(tx) => tx.rollback().await?,
            Self::Sqlite(tx) => tx.rollback().await?,
        }
        Ok(())
    }
}
