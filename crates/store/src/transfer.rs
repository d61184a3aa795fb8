//! Whole databases as rows: read in one consistent view, written into an empty database, and compared.
//!
//! Which tables there are, and their columns, is asked of the database itself, so that none can be forgotten. A row
//! travels as a JSON array of its columns: both engines read and write it, and each value is what it was.

use super::{Store, StoreError, Tx, migrate};
use futures_util::TryStreamExt;
use serde_json::Value;
use sha2::{Digest, Sha256};
use sqlx::AssertSqlSafe;
use std::collections::{BTreeMap, BTreeSet};

/// Rows that travel together, at most, and their length in bytes.
const BATCH_ROWS: usize = 500;
const BATCH_BYTES: usize = 1 << 20;
/// The schema's own bookkeeping: made by migrating, never copied.
const MIGRATIONS: &str = "_sqlx_migrations";

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `text` or `key_text`.
    Text,
    /// 64 bits.
    Bigint,
    /// 32 bits.
    Integer,
    /// True or false.
    Boolean,
}

impl Kind {
    fn parse(declared: &str) -> Option<Self> {
        match declared.to_lowercase().as_str() {
            "text" | "key_text" => Some(Self::Text),
            "bigint" => Some(Self::Bigint),
            "integer" => Some(Self::Integer),
            "boolean" => Some(Self::Boolean),
            _ => None,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Bigint => "bigint",
            Self::Integer => "integer",
            Self::Boolean => "boolean",
        }
    }
}

/// A table of the schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// Its columns, by name.
    pub columns: BTreeMap<String, Kind>,
    /// The tables that its rows refer to.
    pub refers_to: BTreeSet<String>,
}

impl Table {
    /// Its columns' names.
    #[must_use]
    pub fn column_names(&self) -> Vec<String> {
        self.columns.keys().cloned().collect()
    }

    /// Whether it only lists the values that another table's column may have: the migrations fill it.
    fn is_enumeration(&self) -> bool {
        self.columns.len() == 1 && self.refers_to.is_empty()
    }
}

/// How many rows, and what they say, in whatever order: equal rows have equal sums.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sum {
    /// How many.
    pub rows: u64,
    digest: u128,
}

impl Sum {
    /// Counts a row as [`Tx::each_row`] gives it.
    pub fn add(&mut self, row: &str) {
        let hash = Sha256::digest(row);
        let (first, _) = hash.split_at(16);
        let part = first.iter().fold(0_u128, |sum, byte| (sum << 8) | u128::from(*byte));
        self.rows += 1;
        self.digest = self.digest.wrapping_add(part);
    }

    /// As a backup writes it.
    #[must_use]
    pub fn digest(&self) -> String {
        format!("{:032x}", self.digest)
    }
}

/// What was paid and given back in a currency, in its minor units.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Money {
    /// Which.
    pub currency: String,
    /// How many bookings are paid.
    pub paid_bookings: i64,
    /// What they paid.
    pub paid: i64,
    /// What of it went back.
    pub refunded: i64,
}

fn unknown_kind(table: &str, column: &str, declared: &str) -> StoreError {
    StoreError::NotCopied(format!("{table}.{column} is of a kind that cannot be copied: {declared}"))
}

impl Store {
    /// A transaction that sees the whole database as it is at this moment, however long it reads.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn begin_snapshot(&self) -> Result<Tx, StoreError> {
        let mut tx = self.read().await?;
        match &mut tx {
            Tx::Postgres(conn) => {
                // In the text of one statement: what comes before the first question sets what all see.
                let sql = "set transaction isolation level repeatable read, read only; \
                           set local statement_timeout = 0; set local idle_in_transaction_session_timeout = 0";
                sqlx::raw_sql(sql).execute(&mut **conn).await?;
            }
            Tx::Sqlite(conn) => {
                // The view begins with the first question.
                sqlx::query("select count(*) from sqlite_master").execute(&mut **conn).await?;
            }
        }
        Ok(tx)
    }

    /// A transaction that writes a whole database, and takes as long as that needs.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn begin_transfer(&self) -> Result<Tx, StoreError> {
        let mut tx = self.begin().await?;
        if let Tx::Postgres(conn) = &mut tx {
            let sql = "set local statement_timeout = 0; set local idle_in_transaction_session_timeout = 0";
            sqlx::raw_sql(sql).execute(&mut **conn).await?;
        }
        Ok(tx)
    }

    /// The newest migration that the database has; 0 if it has none.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn schema_version(&self) -> Result<i64, StoreError> {
        migrate::version(self).await
    }

    /// The newest migration that this program knows.
    #[must_use]
    pub fn newest_schema() -> i64 {
        migrate::newest_known()
    }

    /// Brings an empty database's schema to `version`, without the rows that every database has from the start.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn migrate_to(&self, version: i64) -> Result<(), StoreError> {
        migrate::run_to(self, version).await
    }

    /// Removes every table of ours, with all that is in it.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn drop_tables(&self) -> Result<(), StoreError> {
        let mut tx = self.begin_transfer().await?;
        let tables = tx.tables().await?;
        let names = tables.iter().rev().map(|table| table.name.as_str()).chain([MIGRATIONS]);
        for name in names {
            let sql = format!("drop table if exists {name}");
            on_engine!(&mut tx, conn => sqlx::query(AssertSqlSafe(sql)).execute(conn).await.map(drop))?;
        }
        if let Tx::Postgres(conn) = &mut tx {
            sqlx::raw_sql("drop domain if exists key_text").execute(&mut **conn).await?;
        }
        tx.commit().await
    }

    /// How many other programs of this name use the same PostgreSQL database; 0 on SQLite, which has a lock file.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn others_connected(&self) -> Result<i64, StoreError> {
        let Self::Postgres { .. } = self else { return Ok(0) };
        let mut tx = self.read().await?;
        let count = on_engine!(&mut tx, conn => sqlx::query_scalar(
            "select count(*) from pg_stat_activity
             where datname = current_database() and application_name = 'checkout-backend'
               and pid <> pg_backend_pid()")
            .fetch_one(conn)
            .await)?;
        tx.rollback().await?;
        Ok(count)
    }
}

impl Tx {
    /// Every table of ours, as the database itself describes it, each after those that it refers to.
    ///
    /// # Errors
    /// [`StoreError::Config`] for one that cannot be copied.
    pub async fn tables(&mut self) -> Result<Vec<Table>, StoreError> {
        let (columns, references) = match self {
            Self::Postgres(_) => (
                "select c.table_name::text, c.column_name::text, c.data_type::text
                 from information_schema.columns c join information_schema.tables t
                   on t.table_schema = c.table_schema and t.table_name = c.table_name
                 where c.table_schema = current_schema() and t.table_type = 'BASE TABLE'",
                "select conrelid::regclass::text, confrelid::regclass::text from pg_constraint
                 where contype = 'f' and connamespace = current_schema()::regnamespace and conrelid <> confrelid",
            ),
            Self::Sqlite(_) => (
                "select m.name, c.name, c.type from sqlite_master m, pragma_table_info(m.name) c
                 where m.type = 'table'",
                "select m.name, f.\"table\" from sqlite_master m, pragma_foreign_key_list(m.name) f
                 where m.type = 'table' and m.name <> f.\"table\"",
            ),
        };
        let columns: Vec<(String, String, String)> =
            on_engine!(self, conn => sqlx::query_as(columns).fetch_all(conn).await)?;
        let references: Vec<(String, String)> =
            on_engine!(self, conn => sqlx::query_as(references).fetch_all(conn).await)?;
        let ours = migrate::own_tables();
        let mut tables: BTreeMap<String, Table> = BTreeMap::new();
        for (table, column, declared) in columns.into_iter().filter(|(table, ..)| ours.contains(table)) {
            let kind = Kind::parse(&declared).ok_or_else(|| unknown_kind(&table, &column, &declared))?;
            let new = || Table { name: table.clone(), columns: BTreeMap::new(), refers_to: BTreeSet::new() };
            tables.entry(table.clone()).or_insert_with(new).columns.insert(column, kind);
        }
        for (table, other) in references {
            if let Some(table) = tables.get_mut(&table) {
                table.refers_to.insert(other);
            }
        }
        in_order(tables)
    }

    /// The rows of a table as JSON arrays of these columns, some at a time.
    ///
    /// # Errors
    /// Any [`StoreError`], or what `each` says.
    pub async fn each_row<E: From<StoreError>>(
        &mut self,
        table: &Table,
        columns: &[String],
        mut each: impl AsyncFnMut(Vec<String>) -> Result<(), E>,
    ) -> Result<(), E> {
        let postgres = matches!(self, Self::Postgres(_));
        let mut values = Vec::with_capacity(columns.len());
        for column in columns {
            let kind = kind_of(table, column)?;
            values.push(match (postgres, kind) {
                (false, Kind::Boolean) => {
                    format!("json(case {column} when 0 then 'false' when 1 then 'true' end)")
                }
                _ => column.clone(),
            });
        }
        let (values, name) = (values.join(", "), &table.name);
        let sql = if postgres {
            format!("select json_build_array({values})::text from {name}")
        } else {
            format!("select json_array({values}) from {name}")
        };
        on_engine!(self, conn => {
            let mut rows = sqlx::query_scalar::<_, String>(AssertSqlSafe(sql)).fetch(conn);
            let (mut batch, mut bytes) = (Vec::new(), 0);
            while let Some(row) = rows.try_next().await.map_err(StoreError::from)? {
                let row = canonical(name, &row)?;
                bytes += row.len();
                batch.push(row);
                if batch.len() >= BATCH_ROWS || bytes >= BATCH_BYTES {
                    each(std::mem::take(&mut batch)).await?;
                    bytes = 0;
                }
            }
            if batch.is_empty() { Ok(()) } else { each(batch).await }
        })
    }

    /// Stores rows as [`Tx::each_row`] gave them, of these columns; a column that is not among them is left to its
    /// default.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn insert_rows(
        &mut self,
        table: &Table,
        columns: &[String],
        rows: &[String],
    ) -> Result<(), StoreError> {
        let postgres = matches!(self, Self::Postgres(_));
        let mut values = Vec::with_capacity(columns.len());
        for (n, column) in columns.iter().enumerate() {
            let kind = kind_of(table, column)?.as_str();
            values.push(if postgres { format!("(value ->> {n})::{kind}") } else { format!("value ->> {n}") });
        }
        let each = if postgres { "json_array_elements($1::json)" } else { "json_each($1)" };
        let sql = format!(
            "insert into {} ({}) select {} from {each}",
            table.name,
            columns.join(", "),
            values.join(", ")
        );
        let rows = format!("[{}]", rows.join(","));
        on_engine!(self, conn => sqlx::query(AssertSqlSafe(sql)).bind(rows).execute(conn).await.map(drop))?;
        Ok(())
    }

    /// Counts a table's rows and what they say, by these columns.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn sum_of(&mut self, table: &Table, columns: &[String]) -> Result<Sum, StoreError> {
        let mut sum = Sum::default();
        self.each_row(table, columns, async |rows| {
            rows.iter().for_each(|row| sum.add(row));
            Ok::<_, StoreError>(())
        })
        .await?;
        Ok(sum)
    }

    /// How many rows a table has, as the database counts them.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn count_of(&mut self, table: &Table) -> Result<u64, StoreError> {
        let sql = format!("select count(*) from {}", table.name);
        let count: i64 =
            on_engine!(self, conn => sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(conn).await)?;
        Ok(u64::try_from(count).unwrap_or(0))
    }

    /// Removes every row of every table of ours.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn delete_everything(&mut self, tables: &[Table]) -> Result<(), StoreError> {
        for table in tables.iter().rev() {
            let sql = format!("delete from {}", table.name);
            on_engine!(self, conn => sqlx::query(AssertSqlSafe(sql)).execute(conn).await.map(drop))?;
        }
        Ok(())
    }

    /// The tables that hold more than a database has from its start, with how many rows.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn filled(&mut self, tables: &[Table]) -> Result<Vec<(String, u64)>, StoreError> {
        let mut filled = Vec::new();
        for table in tables.iter().filter(|table| !table.is_enumeration()) {
            let rows = self.count_of(table).await?;
            // A service that was only started, and a look at it, leave these.
            let usual = match table.name.as_str() {
                "instance" | "offers" => 1,
                "feed_cursor" | "observations" | "secret_uses" | "marks" => u64::MAX,
                _ => 0,
            };
            if rows > usual {
                filled.push((table.name.clone(), rows));
            }
        }
        Ok(filled)
    }

    /// What was paid and given back, in each currency.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn money(&mut self) -> Result<Vec<Money>, StoreError> {
        let rows: Vec<(String, i64, i64, i64)> = on_engine!(self, conn => sqlx::query_as(
            "select b.currency, count(*), cast(coalesce(sum(b.paid_amount), 0) as bigint),
                 cast(coalesce(sum((select sum(r.amount) from refunds r where r.booking_id = b.id
                     and r.status not in ('failed', 'canceled'))), 0) as bigint)
             from bookings b where b.paid_session_id is not null group by b.currency order by b.currency")
            .fetch_all(conn)
            .await)?;
        let money = rows.into_iter();
        Ok(money
            .map(|(currency, paid_bookings, paid, refunded)| Money {
                currency,
                paid_bookings,
                paid,
                refunded,
            })
            .collect())
    }
}

fn kind_of(table: &Table, column: &str) -> Result<Kind, StoreError> {
    table
        .columns
        .get(column)
        .copied()
        .ok_or_else(|| StoreError::NotCopied(format!("there is no column {column} in table {}", table.name)))
}

/// The engines write spaces and escapes differently: the same row is to be the same text.
fn canonical(table: &str, row: &str) -> Result<String, StoreError> {
    let values: Vec<Value> = serde_json::from_str(row)
        .map_err(|error| StoreError::NotCopied(format!("a row of {table} cannot be read: {error}")))?;
    serde_json::to_string(&values)
        .map_err(|error| StoreError::NotCopied(format!("a row of {table} cannot be written: {error}")))
}

/// Each table after those that it refers to.
fn in_order(mut tables: BTreeMap<String, Table>) -> Result<Vec<Table>, StoreError> {
    let mut ordered: Vec<Table> = Vec::with_capacity(tables.len());
    while !tables.is_empty() {
        let next =
            tables.values().find(|table| table.refers_to.iter().all(|other| !tables.contains_key(other)));
        let Some(name) = next.map(|table| table.name.clone()) else {
            let left: Vec<_> = tables.into_keys().collect();
            return Err(StoreError::NotCopied(format!(
                "tables refer to each other in a circle: {}",
                left.join(", ")
            )));
        };
        ordered.extend(tables.remove(&name));
    }
    Ok(ordered)
}
