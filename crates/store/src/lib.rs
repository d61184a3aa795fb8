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

pub mod address;
pub mod audit;
pub mod bookings;
pub mod cases;
pub mod checks;
pub mod engine;
pub mod environment;
pub mod error;
pub mod export;
pub mod feed;
pub mod files;
mod health;
pub mod holds;
pub mod idempotency;
pub mod import;
pub mod ledger;
pub mod limits;
pub mod marks;
mod migrate;
pub mod notices;
pub mod offers;
pub mod outbox;
pub mod page;
pub mod pools;
pub mod privacy;
pub mod refund_intents;
mod row;
pub mod server;
pub mod sessions;
pub mod settings;
mod stale;
pub mod transfer;
pub mod users;

pub use engine::Write;
pub use error::{Cause, StoreError};
pub use health::Waiting;
pub use migrate::{MigrationStatus, SchemaState};
pub use server::POSTGRES_WRITERS;

use domain::ids::InstanceId;
use server::{ACQUIRE_TIMEOUT, Server};
use sqlx::pool::PoolConnection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Connection, Postgres, Sqlite, SqliteConnection, SqlitePool, Transaction};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

/// How long a transaction may take to begin, with the wait for a connection.
const BEGIN_TIMEOUT: Duration = Duration::from_secs(5);

/// The database, whichever engine it is. Clones share the pools.
#[derive(Debug, Clone)]
pub enum Store {
    /// A PostgreSQL server, possibly shared with other instances.
    Postgres(Arc<Server>),
    /// An embedded database in one file, ours alone.
    Sqlite {
        /// The one connection that writes, so that writers queue here and never meet `SQLITE_BUSY`.
        writer: SqlitePool,
        /// Connections that only read.
        readers: SqlitePool,
        /// Where the file is.
        path: PathBuf,
        /// Which file that was when it was opened: device and number.
        file: (u64, u64),
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
            Ok(Self::Postgres(Arc::new(Server::new(url)?)))
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
    pub async fn why_unreachable(&self) -> Option<StoreError> {
        match self {
            Self::Postgres(server) => within(ACQUIRE_TIMEOUT, async { Ok(server.why_unreachable().await) })
                .await
                .unwrap_or_else(Some),
            Self::Sqlite { .. } => self.in_place().err(),
        }
    }

    /// Takes the recorder's connections before anybody else can.
    ///
    /// # Errors
    /// Why they cannot be had.
    pub async fn reserve(&self) -> Result<(), StoreError> {
        match self {
            Self::Postgres(server) => server.reserve().await,
            Self::Sqlite { .. } => Ok(()),
        }
    }

    /// Whether a pooler stands in front of the server.
    ///
    /// # Errors
    /// Why it cannot be asked.
    pub async fn is_pooled(&self) -> Result<bool, StoreError> {
        match self {
            Self::Postgres(server) => server.is_pooled().await,
            Self::Sqlite { .. } => Ok(false),
        }
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
        let file = health::identity(&path)
            .ok_or_else(|| StoreError::Config(format!("cannot look at {}", path.display())))?;
        let options = options
            // It is there. Should it go, another one made in its place would take what is written with it.
            .create_if_missing(false)
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
            file,
        })
    }

    /// A transaction that may write.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] or [`StoreError::Silent`] if no connection could be had in time;
    /// [`StoreError::Moved`] if what it writes would be lost.
    pub async fn begin(&self) -> Result<Tx, StoreError> {
        self.begin_on(false).await
    }

    /// A transaction of the recorder.
    ///
    /// # Errors
    /// As [`Store::begin`].
    pub async fn begin_recording(&self) -> Result<Tx, StoreError> {
        self.begin_on(true).await
    }

    async fn begin_on(&self, recording: bool) -> Result<Tx, StoreError> {
        match self {
            Self::Postgres(server) => begin_within(server, recording).await,
            Self::Sqlite { writer, .. } => {
                self.in_place()?;
                let begin = async { Ok(Tx::Sqlite(writer.begin_with("begin immediate").await?)) };
                within(BEGIN_TIMEOUT, begin).await
            }
        }
    }

    /// A transaction that only reads, and on SQLite does not wait for writers.
    ///
    /// # Errors
    /// As [`Store::begin`].
    pub async fn read(&self) -> Result<Tx, StoreError> {
        match self {
            Self::Postgres(server) => begin_within(server, false).await,
            Self::Sqlite { readers, .. } => {
                self.in_place()?;
                within(BEGIN_TIMEOUT, async { Ok(Tx::Sqlite(readers.begin().await?)) }).await
            }
        }
    }

    /// Whether the database answers and its schema is one that this program can use: its own, or a newer one that
    /// only added to it.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn ready(&self) -> Result<SchemaState, StoreError> {
        migrate::check(self).await
    }

    /// Brings the schema up to date, and tells which migrations it applied. Instances that start together migrate
    /// once. On PostgreSQL no lock is waited for so long that others would have to wait behind.
    ///
    /// # Errors
    /// [`StoreError::Newer`] if the schema is newer than this program; [`StoreError::Locked`] if somebody holds a
    /// table: worth another try.
    pub async fn migrate(&self, now: clock::Timestamp) -> Result<Vec<MigrationStatus>, StoreError> {
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
            Self::Postgres(_) => "postgres",
            Self::Sqlite { .. } => "sqlite",
        }
    }

    /// The engine and where its data is, without user and password.
    #[must_use]
    pub fn place(&self) -> String {
        match self {
            Self::Postgres(server) => server.place(),
            Self::Sqlite { path, .. } => {
                let path = std::path::absolute(path).unwrap_or_else(|_| path.clone());
                format!("SQLite in {}", path.display())
            }
        }
    }

    /// Closes every connection and waits for those in use.
    pub async fn close(&self) {
        match self {
            Self::Postgres(server) => server.close().await,
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

/// A server that says nothing may not be the right one any more.
async fn begin_within(server: &Server, recording: bool) -> Result<Tx, StoreError> {
    let begun = within(BEGIN_TIMEOUT, server.begin(recording)).await;
    if matches!(begun, Err(StoreError::Silent)) {
        server.doubt();
    }
    begun.map(Tx::Postgres)
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
