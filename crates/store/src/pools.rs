//! How many connections are open and lent, for whoever watches.

use super::Store;
use sqlx::{Database, Pool};

/// A pool of connections at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolState {
    /// What it is for.
    pub name: &'static str,
    /// The most that it opens.
    pub limit: u32,
    /// Open, lent or not.
    pub open: u32,
    /// Open and not lent.
    pub idle: u32,
}

impl PoolState {
    pub(super) fn of<DB: Database>(name: &'static str, pool: &Pool<DB>) -> Self {
        let open = pool.size();
        // The two are read one after the other, and a connection may come back in between.
        let idle = u32::try_from(pool.num_idle()).unwrap_or(open).min(open);
        Self { name, limit: pool.options().get_max_connections(), open, idle }
    }
}

impl Store {
    /// Its pools; none before a PostgreSQL server was reached for the first time.
    #[must_use]
    pub fn pools(&self) -> Vec<PoolState> {
        match self {
            Self::Postgres(server) => server.pools(),
            Self::Sqlite { writer, readers, .. } => {
                vec![PoolState::of("writer", writer), PoolState::of("readers", readers)]
            }
        }
    }
}
