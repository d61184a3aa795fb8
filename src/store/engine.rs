//! The few texts in which the two engines differ.
//!
//! A batch travels by column, as one array for each on PostgreSQL and as one JSON text on SQLite, and comes
//! out as rows: so a statement for a hundred events is one statement on both engines, written once.

use super::{StoreError, Tx};
use serde::ser::{Serialize, SerializeSeq, Serializer};
use sqlx::{AssertSqlSafe, Postgres, Sqlite};
use std::borrow::Cow;

impl Tx {
    /// `for update`, where there are row locks. SQLite has one writer and needs none.
    pub(super) fn for_update(&self) -> &'static str {
        match self {
            Self::Postgres(_) => "for update",
            Self::Sqlite(_) => "",
        }
    }

    /// `for update skip locked`: rows that another instance is at work on are left to it.
    pub(super) fn for_update_skip_locked(&self) -> &'static str {
        match self {
            Self::Postgres(_) => "for update skip locked",
            Self::Sqlite(_) => "",
        }
    }

    /// A condition that holds for each text in the JSON array bound as `$n`.
    pub(super) fn in_list(&self, n: usize) -> String {
        match self {
            Self::Postgres(_) => format!("= any(array(select json_array_elements_text(${n}::json)))"),
            Self::Sqlite(_) => format!("in (select value from json_each(${n}))"),
        }
    }

    /// Runs a statement on all of `rows` at once; `sql` is given the table expression, named `r`, in which they
    /// stand. Returns how many rows it changed. Without rows nothing is run.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub(super) async fn write_rows<T>(
        &mut self,
        rows: &Rows<'_, T>,
        sql: impl FnOnce(&str) -> String,
    ) -> Result<u64, StoreError> {
        if rows.items.is_empty() {
            return Ok(0);
        }
        let sql = AssertSqlSafe(sql(&self.table_of(rows)));
        Ok(match self {
            Self::Postgres(conn) => {
                let mut query = sqlx::query::<Postgres>(sql);
                for (_, values) in &rows.columns {
                    query = match values {
                        Values::Texts(values) => query.bind(values),
                        Values::Bigints(values) => query.bind(values),
                        Values::Integers(values) => query.bind(values),
                        Values::Booleans(values) => query.bind(values),
                    };
                }
                query.execute(&mut **conn).await?.rows_affected()
            }
            Self::Sqlite(conn) => {
                sqlx::query::<Sqlite>(sql).bind(rows.json()).execute(&mut **conn).await?.rows_affected()
            }
        })
    }

    fn table_of<T>(&self, rows: &Rows<'_, T>) -> String {
        let columns = rows.columns.iter();
        match self {
            Self::Postgres(_) => {
                let numbered = columns.clone().zip(1..);
                let arrays: Vec<_> =
                    numbered.map(|((_, values), n)| format!("${n}::{}[]", values.kind())).collect();
                let names: Vec<_> = columns.map(|(name, _)| *name).collect();
                format!("unnest({}) as r ({})", arrays.join(", "), names.join(", "))
            }
            Self::Sqlite(_) => {
                let columns: Vec<_> =
                    columns.zip(0..).map(|((name, _), n)| format!("value ->> {n} as {name}")).collect();
                // `where true` keeps `on conflict` after this from being read as a join.
                format!("(select {} from json_each($1) where true) as r", columns.join(", "))
            }
        }
    }
}

/// The JSON array that [`Tx::in_list`] reads.
pub(super) fn json_array<T: serde::Serialize>(values: &[T]) -> String {
    serde_json::to_string(values).unwrap_or_else(|_| "[]".to_owned())
}

/// Rows for one statement, one for each item of a list, put together column by column: see [`Tx::write_rows`].
#[derive(Debug)]
pub(super) struct Rows<'a, T> {
    items: &'a [T],
    columns: Vec<(&'static str, Values<'a>)>,
}

#[derive(Debug)]
enum Values<'a> {
    Texts(Vec<Option<Cow<'a, str>>>),
    Bigints(Vec<Option<i64>>),
    Integers(Vec<Option<i32>>),
    Booleans(Vec<Option<bool>>),
}

impl<'a, T> Rows<'a, T> {
    /// A row for each of `items`, without a column yet.
    pub(super) fn of(items: &'a [T]) -> Self {
        Self { items, columns: Vec::new() }
    }

    pub(super) fn text<V: Into<Cow<'a, str>>>(self, name: &'static str, value: impl Fn(&'a T) -> V) -> Self {
        self.text_or_null(name, |item| Some(value(item)))
    }

    pub(super) fn text_or_null<V: Into<Cow<'a, str>>>(
        self,
        name: &'static str,
        value: impl Fn(&'a T) -> Option<V>,
    ) -> Self {
        let values = self.items.iter().map(|item| value(item).map(Into::into)).collect();
        self.column(name, Values::Texts(values))
    }

    pub(super) fn bigint(self, name: &'static str, value: impl Fn(&'a T) -> i64) -> Self {
        self.bigint_or_null(name, |item| Some(value(item)))
    }

    pub(super) fn bigint_or_null(self, name: &'static str, value: impl Fn(&'a T) -> Option<i64>) -> Self {
        let values = self.items.iter().map(value).collect();
        self.column(name, Values::Bigints(values))
    }

    pub(super) fn integer(self, name: &'static str, value: impl Fn(&'a T) -> Option<i32>) -> Self {
        let values = self.items.iter().map(value).collect();
        self.column(name, Values::Integers(values))
    }

    pub(super) fn boolean(self, name: &'static str, value: impl Fn(&'a T) -> Option<bool>) -> Self {
        let values = self.items.iter().map(value).collect();
        self.column(name, Values::Booleans(values))
    }

    fn column(mut self, name: &'static str, values: Values<'a>) -> Self {
        self.columns.push((name, values));
        self
    }

    /// As a JSON array with an array for each row.
    fn json(&self) -> String {
        let rows: Vec<_> = (0..self.items.len()).map(|n| Row { columns: &self.columns, n }).collect();
        json_array(&rows)
    }
}

impl Values<'_> {
    /// PostgreSQL's name of the type.
    fn kind(&self) -> &'static str {
        match self {
            Self::Texts(_) => "text",
            Self::Bigints(_) => "bigint",
            Self::Integers(_) => "integer",
            Self::Booleans(_) => "boolean",
        }
    }
}

struct Row<'r> {
    columns: &'r [(&'static str, Values<'r>)],
    n: usize,
}

impl Serialize for Row<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut row = serializer.serialize_seq(Some(self.columns.len()))?;
        for (_, values) in self.columns {
            match values {
                Values::Texts(values) => row.serialize_element(&values.get(self.n))?,
                Values::Bigints(values) => row.serialize_element(&values.get(self.n))?,
                Values::Integers(values) => row.serialize_element(&values.get(self.n))?,
                Values::Booleans(values) => row.serialize_element(&values.get(self.n))?,
            }
        }
        row.end()
    }
}
