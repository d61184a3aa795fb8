//! A fresh, migrated database for one test.

use super::postgres::{self, Cluster, Durability};
use checkout_backend::flow::invariants;
use clock::Clock;
use domain::ids::InstanceId;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection, SqliteConnection};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock};
use store::Store;
use tokio::sync::OnceCell;

/// The engines that everything runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Engine {
    Sqlite,
    Postgres,
}

/// A database of one test's own. Clones are the same database.
#[derive(Debug, Clone)]
pub(crate) struct TestDatabase {
    /// Open, as the program opens it.
    pub store: Store,
    /// What `DATABASE_URL` would be.
    pub url: String,
    pub engine: Engine,
    /// Where an SQLite file stands; also a place for the test's other files.
    pub folder: Arc<tempfile::TempDir>,
}

impl TestDatabase {
    /// A migrated database that nobody else has.
    pub(crate) async fn fresh(engine: Engine) -> Self {
        let db = match engine {
            Engine::Sqlite => {
                let folder = temporary_folder();
                std::fs::write(folder.path().join("checkout.db"), sqlite_template().await).unwrap();
                Self::in_folder(Engine::Sqlite, sqlite_url(&folder), folder)
            }
            Engine::Postgres => {
                let template = postgres_template().await;
                let url = create_postgres_database(Some(template)).await;
                Self::in_folder(Engine::Postgres, url, temporary_folder())
            }
        };
        // A copy of the template would otherwise take the template's events for its own.
        db.execute(&format!("update instance set id = '{}'", InstanceId::from(clock::new_id()))).await;
        db
    }

    /// A database without any table.
    pub(crate) async fn empty(engine: Engine) -> Self {
        let folder = temporary_folder();
        let url = match engine {
            Engine::Sqlite => sqlite_url(&folder),
            Engine::Postgres => create_postgres_database(None).await,
        };
        Self::in_folder(engine, url, folder)
    }

    /// A migrated SQLite database in a place of the test's own.
    pub(crate) async fn at(place: &Path) -> Self {
        let url = format!("sqlite://{}/checkout.db", place.display());
        let db = Self::in_folder(Engine::Sqlite, url, temporary_folder());
        db.store.migrate(Clock::system().now()).await.unwrap();
        db
    }

    /// A migrated database on a server of the test's own.
    pub(crate) async fn on(cluster: &Cluster) -> Self {
        let url = create_database_on(&cluster.url(), None).await;
        let db = Self::in_folder(Engine::Postgres, url, temporary_folder());
        db.store.migrate(Clock::system().now()).await.unwrap();
        db
    }

    fn in_folder(engine: Engine, url: String, folder: tempfile::TempDir) -> Self {
        Self { store: Store::open(&url).unwrap(), url, engine, folder: Arc::new(folder) }
    }

    /// The same database, opened once more: what a second process would have.
    pub(crate) fn reopen(&self) -> Store {
        Store::open(&self.url).unwrap()
    }

    /// The same PostgreSQL database by way of another port of this machine.
    pub(crate) fn through(&self, port: u16) -> Self {
        let (server, name) = self.url.rsplit_once('/').unwrap();
        let (start, _) = server.rsplit_once(':').unwrap();
        let url = format!("{start}:{port}/{name}");
        Self { store: Store::open(&url).unwrap(), url, ..self.clone() }
    }

    /// The port of its PostgreSQL server.
    pub(crate) fn port(&self) -> u16 {
        let (server, _) = self.url.rsplit_once('/').unwrap();
        server.rsplit_once(':').unwrap().1.parse().unwrap()
    }

    /// Every invariant of the ledger holds, by the checker that `doctor` uses.
    ///
    /// # Panics
    /// If one does not.
    pub(crate) async fn assert_sound(&self) {
        let audit = invariants::audit(&self.store).await.unwrap();
        assert_eq!(audit.violations, []);
    }

    /// Runs statements from outside the program.
    pub(crate) async fn execute(&self, sql: &str) {
        self.try_execute(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    /// Runs statements from outside the program, which the database may refuse.
    pub(crate) async fn try_execute(&self, sql: &str) -> Result<(), sqlx::Error> {
        let sql = AssertSqlSafe(sql.to_owned());
        match self.engine {
            Engine::Sqlite => {
                let mut connection = self.sqlite().await?;
                sqlx::raw_sql(sql).execute(&mut connection).await?;
                connection.close().await
            }
            Engine::Postgres => {
                let mut connection = PgConnection::connect(&self.url).await?;
                sqlx::raw_sql(sql).execute(&mut connection).await?;
                connection.close().await
            }
        }
    }

    async fn sqlite(&self) -> Result<SqliteConnection, sqlx::Error> {
        self.url.parse::<SqliteConnectOptions>()?.create_if_missing(true).connect().await
    }

    /// A number that the database tells, such as a count.
    pub(crate) async fn number(&self, sql: &str) -> i64 {
        let query = sqlx::query_scalar(AssertSqlSafe(sql.to_owned()));
        let number: Option<i64> = match self.engine {
            Engine::Sqlite => {
                let mut connection = self.sqlite().await.unwrap();
                query.fetch_one(&mut connection).await.unwrap_or_else(|error| panic!("{sql}: {error}"))
            }
            Engine::Postgres => {
                let mut connection = PgConnection::connect(&self.url).await.unwrap();
                let query = sqlx::query_scalar(AssertSqlSafe(format!("select ({sql})::bigint")));
                query.fetch_one(&mut connection).await.unwrap_or_else(|error| panic!("{sql}: {error}"))
            }
        };
        number.unwrap_or_else(|| panic!("{sql}: null"))
    }

    /// One column of texts that the database tells.
    pub(crate) async fn texts(&self, sql: &str) -> Vec<String> {
        let sql = AssertSqlSafe(sql.to_owned());
        match self.engine {
            Engine::Sqlite => {
                let mut connection = self.sqlite().await.unwrap();
                sqlx::query_scalar(sql).fetch_all(&mut connection).await.unwrap()
            }
            Engine::Postgres => {
                let mut connection = PgConnection::connect(&self.url).await.unwrap();
                sqlx::query_scalar(sql).fetch_all(&mut connection).await.unwrap()
            }
        }
    }

    /// Gives its place back. A failed test does not get here: its database stays for a look at it until
    /// the run ends.
    pub(crate) async fn remove(self) {
        self.store.close().await;
        if self.engine == Engine::Postgres {
            let (server, name) = self.url.rsplit_once('/').unwrap();
            on_server(server, &format!("drop database if exists {name} with (force)")).await;
        }
    }
}

fn temporary_folder() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("checkout-test-").tempdir().unwrap()
}

fn sqlite_url(folder: &tempfile::TempDir) -> String {
    format!("sqlite://{}/checkout.db", folder.path().display())
}

/// Migrated once, then copied: a copy costs a tenth of the migrations.
async fn sqlite_template() -> &'static [u8] {
    static TEMPLATE: OnceCell<Vec<u8>> = OnceCell::const_new();
    let template = TEMPLATE.get_or_init(async || {
        let folder = temporary_folder();
        let store = Store::open(&sqlite_url(&folder)).unwrap();
        store.migrate(Clock::system().now()).await.unwrap();
        // Closing the last connection folds the write-ahead log into the one file that is copied.
        store.close().await;
        std::fs::read(folder.path().join("checkout.db")).unwrap()
    });
    template.await
}

static NEXT: AtomicU32 = AtomicU32::new(1);

async fn postgres_template() -> &'static str {
    static TEMPLATE: OnceCell<String> = OnceCell::const_new();
    TEMPLATE
        .get_or_init(async || {
            let url = create_postgres_database(None).await;
            let store = Store::open(&url).unwrap();
            store.migrate(Clock::system().now()).await.unwrap();
            store.close().await;
            url.rsplit_once('/').unwrap().1.to_owned()
        })
        .await
}

/// Creates a database on the server that all tests share, and tells its address.
async fn create_postgres_database(template: Option<&str>) -> String {
    create_database_on(shared_server(), template).await
}

async fn create_database_on(server: &str, template: Option<&str>) -> String {
    // The process id keeps runs apart that share a server through TEST_POSTGRES_URL.
    let name = format!("checkout_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let template = template.unwrap_or("template0");
    on_server(server, &format!("create database {name} template {template}")).await;
    format!("{server}/{name}")
}

/// `postgres://user@host:port` of the server that all tests share: that of `TEST_POSTGRES_URL`, or a
/// private one that starts with the first test that needs it and stops with the test process.
fn shared_server() -> &'static str {
    static SERVER: LazyLock<(String, Option<Cluster>)> =
        LazyLock::new(|| match postgres::environment("TEST_POSTGRES_URL") {
            Some(url) => (url.trim_end_matches('/').to_owned(), None),
            None => {
                let cluster = Cluster::start(Durability::Fast);
                (cluster.url(), Some(cluster))
            }
        });
    &SERVER.0
}

async fn on_server(server: &str, sql: &str) {
    let mut connection = PgConnection::connect(&format!("{server}/postgres")).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
        .execute(&mut connection)
        .await
        .unwrap_or_else(|error| panic!("{sql}: {error}"));
    connection.close().await.unwrap();
}
