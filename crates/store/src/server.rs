//! PostgreSQL: which of its hosts takes writes, whether a pooler stands in front, how many connections it allows,
//! and the two pools that follow from it.
//!
//! **Invariants.** The recorder's connections are its own, and nobody else can take their place. What every
//! transaction must have (`synchronous_commit`, an end to each wait) holds behind a pooler too, which would drop what
//! is set when a connection begins.

use super::pools::PoolState;
use super::{StoreError, address, stale, within};
use sqlx::pool::PoolConnectionMetadata;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Connection, PgConnection, PgPool, Postgres, Transaction};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{Mutex, OnceCell};

/// How long a statement may wait for a connection before the caller gets [`StoreError::Unavailable`].
pub(super) const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);
/// How long one host may take to answer while one that takes writes is looked for.
const LOOK_TIMEOUT: Duration = Duration::from_secs(2);
/// A connection that was idle for longer is asked whether its other end is still there.
const IDLE: Duration = Duration::from_secs(1);
/// How long it may take to answer that.
const PING_TIMEOUT: Duration = Duration::from_millis(500);
/// The most connections to a PostgreSQL server, beside the recorder's.
const CONNECTIONS: u32 = 10;
/// The recorder's writers on PostgreSQL: while one waits for its commit the other works.
pub const POSTGRES_WRITERS: u32 = 2;
/// The recorder's connections: one more than its writers, because a connection that is given back is asked whether it
/// is well before it is lent again.
const RECORDING: u32 = POSTGRES_WRITERS + 1;
/// Left to commands beside the service, and to whoever looks into the database by hand.
const SPARE: u32 = 2;
/// With fewer others wait for each other at every turn.
const FEW: u32 = 4;

/// No wait is without an end: a hung statement, lock or client gives way. `synchronous_commit` is named, because a
/// server's default could be off, and then a 2xx would be a lie.
const SETTINGS: [(&str, &str); 5] = [
    ("statement_timeout", "6000"),
    ("lock_timeout", "1000"),
    ("idle_in_transaction_session_timeout", "10000"),
    ("default_transaction_isolation", "read committed"),
    ("synchronous_commit", "on"),
];
/// The recorder says the same few statements again and again, with batches of any length: planning each anew costs
/// more than doing what it says. A plan is made once, perhaps while the tables are still empty and every plan looks
/// equally good, so it is told that its rows are found by an index.
const RECORDING_SETTINGS: [(&str, &str); 2] =
    [("plan_cache_mode", "force_generic_plan"), ("enable_seqscan", "off")];
/// The same behind a pooler, which may lend another of its connections to each transaction: it is told with each
/// `begin`, in the same message. Statements that others prepared on it are not ours.
const BEGIN_POOLED: &str = "begin isolation level read committed; set local statement_timeout = 6000; \
     set local lock_timeout = 1000; set local idle_in_transaction_session_timeout = 10000; \
     set local synchronous_commit = on; deallocate all";
const BEGIN_POOLED_RECORDING: &str = "begin isolation level read committed; set local statement_timeout = 6000; \
     set local lock_timeout = 1000; set local idle_in_transaction_session_timeout = 10000; \
     set local synchronous_commit = on; set local enable_seqscan = off; deallocate all";
/// A setting of ours that a server keeps and a pooler does not.
const DIRECT: &str = "checkout.direct";

/// A PostgreSQL server, or several of which one takes writes.
#[derive(Debug)]
pub struct Server {
    hosts: Vec<PgConnectOptions>,
    found: OnceCell<Found>,
    /// When a host was last looked for, by the count of [`stale::last`]; 0 for "look again".
    looked_at: AtomicU64,
    looking: Mutex<()>,
}

#[derive(Debug)]
struct Found {
    pool: PgPool,
    recording: PgPool,
    pooled: bool,
}

/// What a look at a host found.
struct Look {
    options: PgConnectOptions,
    pooled: bool,
    read_only: bool,
    room: Room,
}

/// How many connections a server allows us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Room {
    /// By the role's, the database's and the server's limit.
    allowed: u32,
    /// Taken by this role.
    used: u32,
}

impl Room {
    /// The recorder's share and everybody else's. The recorder comes first, and a few others are served however many
    /// are taken at this moment: who takes them now may not tomorrow.
    fn shares(self) -> (u32, u32) {
        let recording = RECORDING.min(self.allowed.saturating_sub(1)).max(1);
        let most = self.allowed.saturating_sub(recording).clamp(1, CONNECTIONS);
        let few = most.saturating_sub(SPARE).clamp(1, FEW);
        let free = self.allowed.saturating_sub(self.used + recording + SPARE);
        (recording, free.clamp(few, most))
    }
}

impl Server {
    pub(super) fn new(url: &str) -> Result<Self, StoreError> {
        let hosts = address::servers(url).map_err(StoreError::Config)?;
        let hosts = hosts.into_iter().map(|options| options.application_name("checkout-backend")).collect();
        Ok(Self { hosts, found: OnceCell::new(), looked_at: AtomicU64::new(0), looking: Mutex::new(()) })
    }

    /// Host, port and database, without user and password.
    pub(super) fn place(&self) -> String {
        let host = |server: &PgConnectOptions| match server.get_host() {
            host if host.contains(':') => format!("[{host}]:{}", server.get_port()),
            host => format!("{host}:{}", server.get_port()),
        };
        let hosts: Vec<_> = self.hosts.iter().map(host).collect();
        let database = self.hosts.first().and_then(PgConnectOptions::get_database);
        format!("PostgreSQL at {}/{}", hosts.join(","), database.unwrap_or("its user's database"))
    }

    /// Why no connection can be made; none if one can.
    pub(super) async fn why_unreachable(&self) -> Option<StoreError> {
        Box::pin(self.look()).await.err()
    }

    /// Connections for everything but the recorder.
    ///
    /// # Errors
    /// As [`Server::begin`].
    pub async fn pool(&self) -> Result<&PgPool, StoreError> {
        Ok(&self.found().await?.pool)
    }

    pub(super) async fn is_pooled(&self) -> Result<bool, StoreError> {
        Ok(self.found().await?.pooled)
    }

    /// Takes the recorder's connections before anybody else can.
    pub(super) async fn reserve(&self) -> Result<(), StoreError> {
        let found = self.found().await?;
        let size = found.recording.options().get_max_connections();
        let mut held = Vec::new();
        for _ in 0..size {
            held.push(found.recording.acquire().await?);
        }
        Ok(())
    }

    /// A transaction on one of the pools.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] or [`StoreError::Silent`] if no connection could be had in time.
    pub(super) async fn begin(&self, recording: bool) -> Result<Transaction<'static, Postgres>, StoreError> {
        if self.hosts.len() > 1
            && self.found.initialized()
            && self.looked_at.load(Ordering::Relaxed) < stale::last() + 1
        {
            Box::pin(self.look_again()).await?;
        }
        let found = self.found().await?;
        let (pool, statement) = match (recording, found.pooled) {
            (true, pooled) => (&found.recording, pooled.then_some(BEGIN_POOLED_RECORDING)),
            (false, pooled) => (&found.pool, pooled.then_some(BEGIN_POOLED)),
        };
        // On its own: whoever stops waiting would leave a connection on which a transaction has begun.
        let begun = tokio::spawn(begin_on_live(pool.clone(), statement)).await;
        let begun = begun.unwrap_or(Err(StoreError::Unavailable(sqlx::Error::WorkerCrashed)));
        if matches!(begun, Err(StoreError::Unavailable(_))) {
            self.doubt();
        }
        begun
    }

    /// The host that was found may not be the right one any more.
    pub(super) fn doubt(&self) {
        self.looked_at.store(0, Ordering::Relaxed);
    }

    pub(super) async fn close(&self) {
        if let Some(found) = self.found.get() {
            found.recording.close().await;
            found.pool.close().await;
        }
    }

    pub(super) fn pools(&self) -> Vec<PoolState> {
        let Some(found) = self.found.get() else { return Vec::new() };
        vec![PoolState::of("recorder", &found.recording), PoolState::of("others", &found.pool)]
    }

    pub(super) fn is_closed(&self) -> bool {
        self.found.get().is_some_and(|found| found.recording.is_closed())
    }

    async fn found(&self) -> Result<&Found, StoreError> {
        match self.found.get() {
            Some(found) => Ok(found),
            // In a place of its own: connecting is much, and every transaction of the program would carry it along.
            None => Box::pin(self.find()).await,
        }
    }

    async fn find(&self) -> Result<&Found, StoreError> {
        self.found
            .get_or_try_init(async || {
                let looked_at = stale::last() + 1;
                let look = within(ACQUIRE_TIMEOUT, self.look()).await?;
                self.looked_at.store(looked_at, Ordering::Relaxed);
                let (recording, others) = look.room.shares();
                Ok(Found {
                    pool: pool(others, Some(Duration::from_secs(30 * 60)), settled(&look, &[])),
                    // Given back they would be somebody else's.
                    recording: pool(recording, None, settled(&look, &RECORDING_SETTINGS)),
                    pooled: look.pooled,
                })
            })
            .await
    }

    /// After a failover another host takes the writes.
    async fn look_again(&self) -> Result<(), StoreError> {
        let _one = self.looking.lock().await;
        let looked_at = stale::last() + 1;
        if self.looked_at.load(Ordering::Relaxed) >= looked_at {
            return Ok(());
        }
        let look = self.look().await?;
        if let Some(found) = self.found.get() {
            found.pool.set_connect_options(settled(&look, &[]));
            found.recording.set_connect_options(settled(&look, &RECORDING_SETTINGS));
        }
        self.looked_at.store(looked_at, Ordering::Relaxed);
        Ok(())
    }

    /// The first host that takes writes; if none does, the first that answers.
    async fn look(&self) -> Result<Look, StoreError> {
        let mut reads = None;
        let mut refused = None;
        for host in &self.hosts {
            match within(LOOK_TIMEOUT, look_at(host)).await {
                Ok(look) if !look.read_only => return Ok(look),
                Ok(look) => reads = reads.or(Some(look)),
                Err(error) => refused = refused.or(Some(error)),
            }
        }
        reads.ok_or_else(|| refused.unwrap_or(StoreError::Silent))
    }
}

/// Connects to see who answers. A pooler refuses a setting of ours, or forgets it.
async fn look_at(host: &PgConnectOptions) -> Result<Look, StoreError> {
    let marked = host.clone().options([(DIRECT, "on")]);
    let (mut connection, refused) = match PgConnection::connect_with(&marked).await {
        Ok(connection) => (connection, false),
        Err(error) if is_of_a_pooler(&error) => (PgConnection::connect_with(&pooled(host)).await?, true),
        Err(error) => return Err(error.into()),
    };
    type Row = (bool, bool, i32, i32);
    // In a transaction, so that a pooler leaves us on one of its connections for the length of a question.
    let mut tx = connection.begin().await?;
    let (direct, read_only, allowed, used): Row = sqlx::query_as(
        "select current_setting($1, true) is not distinct from 'on',
                pg_is_in_recovery() or current_setting('default_transaction_read_only')::boolean,
                (select least(
                     current_setting('max_connections')::int - case when r.rolsuper then 0 else
                         current_setting('superuser_reserved_connections')::int
                         + coalesce(nullif(current_setting('reserved_connections', true), '')::int, 0) end,
                     case when r.rolconnlimit < 0 or r.rolsuper then 100000 else r.rolconnlimit end,
                     case when d.datconnlimit < 0 or r.rolsuper then 100000 else d.datconnlimit end)
                 from pg_roles r, pg_database d where r.rolname = current_user and d.datname = current_database()),
                (select count(*)::int - 1 from pg_stat_activity where usename = current_user)",
    )
    .persistent(false)
    .bind(DIRECT)
    .fetch_one(&mut *tx)
    .await?;
    tx.commit().await?;
    // It was only to learn this.
    let _ = connection.close().await;
    let number = |number: i32| u32::try_from(number).unwrap_or(0);
    let is_pooled = refused || !direct;
    Ok(Look {
        options: if is_pooled { pooled(host) } else { host.clone() },
        pooled: is_pooled,
        read_only,
        room: Room { allowed: number(allowed), used: number(used) },
    })
}

/// No setting of a connection's start that a pooler refuses, and no prepared statement that outlives a transaction.
fn pooled(host: &PgConnectOptions) -> PgConnectOptions {
    host.clone().extra_float_digits(None).statement_cache_capacity(0)
}

/// PgBouncer's words for a setting at the start that it does not take, by its protocol violation.
fn is_of_a_pooler(error: &sqlx::Error) -> bool {
    let sqlx::Error::Database(error) = error else { return false };
    error.code().is_some_and(|code| code == "08P01") && error.message().contains("startup parameter")
}

fn settled(look: &Look, more: &[(&'static str, &'static str)]) -> PgConnectOptions {
    let options = look.options.clone();
    if look.pooled { options } else { options.options(SETTINGS).options(more.iter().copied()) }
}

fn pool(connections: u32, lifetime: Option<Duration>, options: PgConnectOptions) -> PgPool {
    PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .max_lifetime(lifetime)
        .idle_timeout(lifetime)
        // A dead connection shows at its first statement, which every caller may repeat. But one whose other end has
        // gone without a word shows nothing, ever: who has been idle is asked.
        .test_before_acquire(false)
        .before_acquire(|connection, meta| Box::pin(async move { may_be_lent(connection, &meta).await }))
        // Given back in the middle of a statement that was never answered.
        .after_release(|connection, meta| {
            Box::pin(async move {
                if stale::is_old(meta.age) { Ok(false) } else { still_there(connection).await }
            })
        })
        .connect_lazy_with(options)
}

async fn may_be_lent(
    connection: &mut PgConnection,
    meta: &PoolConnectionMetadata,
) -> Result<bool, sqlx::Error> {
    match meta {
        meta if stale::is_old(meta.age) => Ok(false),
        meta if meta.idle_for > IDLE => still_there(connection).await,
        _ => Ok(true),
    }
}

async fn still_there(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    // The error makes the pool drop the connection as it is, without a farewell that could hang as well.
    tokio::time::timeout(PING_TIMEOUT, connection.ping()).await.map_err(|_| sqlx::Error::WorkerCrashed)??;
    Ok(true)
}

/// After a restart of the server every connection of the pool is dead, and each shows it only when it is used.
/// Nothing has been asked of the database yet, so whoever meets one takes the next: the pool has thrown that one away.
async fn begin_on_live(
    pool: PgPool,
    statement: Option<&'static str>,
) -> Result<Transaction<'static, Postgres>, StoreError> {
    let mut dead = 0;
    loop {
        let begun = match statement {
            Some(statement) => pool.begin_with(statement).await,
            None => pool.begin().await,
        };
        match begun {
            Err(sqlx::Error::PoolTimedOut) => return Err(sqlx::Error::PoolTimedOut.into()),
            Err(error) => match StoreError::from(error) {
                StoreError::Unavailable(_) | StoreError::Stale(_) if dead < CONNECTIONS => dead += 1,
                error => return Err(error),
            },
            Ok(tx) => return Ok(tx),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{RECORDING, Room};

    #[test]
    fn the_recorder_has_its_connections_whatever_the_server_allows() {
        for (allowed, used, shares) in [
            (100, 0, (RECORDING, 10)),
            (97, 60, (RECORDING, 10)),
            (13, 0, (RECORDING, 8)),
            (8, 0, (RECORDING, 3)),
            (8, 4, (RECORDING, 3)),
            (6, 0, (RECORDING, 1)),
            (5, 0, (RECORDING, 1)),
            (4, 0, (RECORDING, 1)),
            (3, 0, (2, 1)),
            (2, 0, (1, 1)),
            (1, 0, (1, 1)),
            (0, 0, (1, 1)),
            (200, 199, (RECORDING, 4)),
        ] {
            assert_eq!(Room { allowed, used }.shares(), shares, "{used} of {allowed} are used");
        }
    }
}
