//! What every test stands on: a fresh database of each engine, and waiting without sleeping.

pub(crate) mod app;
pub(crate) mod database;
pub(crate) mod events;
pub(crate) mod people;
pub(crate) mod postgres;
pub(crate) mod process;
pub(crate) mod proxy;

pub(crate) use app::TestApp;
pub(crate) use database::{Engine, TestDatabase};
pub(crate) use process::TestProcess;

use std::collections::HashSet;
use std::time::{Duration, Instant};

/// The list of contents of a test file. Each name is an `async fn name(db: TestDatabase)` below it, and
/// becomes two tests: `file::sqlite::name` and `file::postgres::name`, each on a database of its own.
macro_rules! on_each_engine {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    let db = $crate::harness::TestDatabase::fresh($crate::harness::Engine::Sqlite).await;
                    super::$name(db.clone()).await;
                    db.remove().await;
                }
            )*
        }
        mod postgres {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    let db = $crate::harness::TestDatabase::fresh($crate::harness::Engine::Postgres).await;
                    super::$name(db.clone()).await;
                    db.remove().await;
                }
            )*
        }
    };
}
pub(crate) use on_each_engine;

/// Those of the acknowledged events that are not in the ledger (I1): there must be none.
pub(crate) async fn lost<E: AsRef<str>>(
    db: &TestDatabase,
    acknowledged: impl IntoIterator<Item = E>,
) -> Vec<String> {
    let stored: HashSet<String> =
        db.texts("select event_key from payment_events").await.into_iter().collect();
    let ids = acknowledged.into_iter().map(|id| id.as_ref().to_owned());
    ids.filter(|id| !stored.contains(id)).collect()
}

/// Waits until `task` waits for a lock of PostgreSQL's. On SQLite who begins second waits, and nobody can see it.
///
/// # Panics
/// If it ends instead: then there is no lock.
pub(crate) async fn waits_for_a_lock<T>(db: &TestDatabase, task: &tokio::task::JoinHandle<T>) {
    const WAITING: &str = "select count(*) from pg_stat_activity
        where datname = current_database() and wait_event_type = 'Lock'";
    if db.engine == Engine::Postgres {
        eventually("somebody waits", async || task.is_finished() || db.number(WAITING).await > 0).await;
    }
    assert!(!task.is_finished(), "nothing was locked");
}

/// Waits until `condition` holds, looking again every few milliseconds.
///
/// # Panics
/// After a minute, naming `what` was waited for.
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !condition().await {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
