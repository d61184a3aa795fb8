//! Another program's PostgreSQL database, only read: its tables are whatever they are.

use super::StoreError;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection, Row};
use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

/// How long the other server may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// The schema that is read if the address names none.
const USUAL_SCHEMA: &str = "public";

/// A connection that cannot write, and sees one moment's view.
#[derive(Debug)]
pub struct Source {
    connection: PgConnection,
    schema: String,
}

/// A row, column by column as texts; times as microseconds since 1970 UTC.
pub type SourceRow = Vec<Option<String>>;

impl Source {
    /// Opens the database at `url`. As Prisma writes them, `?schema=` may name where the tables are.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be reached or read.
    pub async fn open(url: &str) -> Result<Self, StoreError> {
        if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
            return Err(StoreError::NotCopied("give postgres://user:password@host/database".to_owned()));
        }
        let (url, schema) = without_foreign_parameters(url);
        let options = PgConnectOptions::from_str(&url)
            .map_err(|error| StoreError::NotCopied(format!("the address cannot be read: {error}")))?
            .application_name("checkout-backend import");
        let connecting = tokio::time::timeout(PATIENCE, options.connect()).await;
        let mut connection = connecting.map_err(|_| StoreError::Silent)??;
        let sql = "set default_transaction_read_only = on; begin isolation level repeatable read read only";
        sqlx::raw_sql(sql).execute(&mut connection).await?;
        Ok(Self { connection, schema: schema.unwrap_or_else(|| USUAL_SCHEMA.to_owned()) })
    }

    /// Its tables, each with its columns' names and types.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn tables(&mut self) -> Result<BTreeMap<String, Vec<(String, String)>>, StoreError> {
        let rows: Vec<(String, String, String)> = sqlx::query_as(
            "select table_name::text, column_name::text, data_type::text from information_schema.columns
             where table_schema = $1 order by table_name, ordinal_position",
        )
        .bind(&self.schema)
        .fetch_all(&mut self.connection)
        .await?;
        let mut tables: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
        for (table, column, kind) in rows {
            tables.entry(table).or_default().push((column, kind));
        }
        Ok(tables)
    }

    /// The rows of a table, of these columns (name and type).
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn rows(
        &mut self,
        table: &str,
        columns: &[(String, String)],
    ) -> Result<Vec<SourceRow>, StoreError> {
        let values: Vec<_> = columns
            .iter()
            .map(|(name, kind)| {
                let name = quoted(name);
                if kind.starts_with("timestamp") {
                    format!("floor(extract(epoch from {name}) * 1000000)::bigint::text")
                } else {
                    format!("{name}::text")
                }
            })
            .collect();
        let (schema, table) = (quoted(&self.schema), quoted(table));
        let sql = format!("select {} from {schema}.{table}", values.join(", "));
        let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(&mut self.connection).await?;
        rows.iter()
            .map(|row| (0..columns.len()).map(|n| Ok(row.try_get::<Option<String>, _>(n)?)).collect())
            .collect()
    }

    /// Says goodbye.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn close(self) -> Result<(), StoreError> {
        Ok(self.connection.close().await?)
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Prisma's own parameters mean nothing to anybody else; one of them says where the tables are.
fn without_foreign_parameters(url: &str) -> (String, Option<String>) {
    const FOREIGN: [&str; 6] =
        ["schema", "connection_limit", "pool_timeout", "pgbouncer", "socket_timeout", "connect_timeout"];
    let Some((address, query)) = url.split_once('?') else { return (url.to_owned(), None) };
    let pairs = || query.split('&').filter_map(|pair| pair.split_once('='));
    let schema = pairs().find(|(name, _)| *name == "schema").map(|(_, value)| value.to_owned());
    let kept: Vec<_> = pairs()
        .filter(|(name, _)| !FOREIGN.contains(name))
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let url = if kept.is_empty() { address.to_owned() } else { format!("{address}?{}", kept.join("&")) };
    (url, schema)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_as_prisma_writes_it_is_understood() {
        let url = "postgresql://a:b@host:5432/db?schema=shop&connection_limit=5&sslmode=require";
        let (url, schema) = without_foreign_parameters(url);
        assert_eq!(url, "postgresql://a:b@host:5432/db?sslmode=require");
        assert_eq!(schema.as_deref(), Some("shop"));
        let plain = "postgres://a@host/db";
        assert_eq!(without_foreign_parameters(plain), (plain.to_owned(), None));
    }
}
