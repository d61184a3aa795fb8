//! The few texts in which the two engines differ.
//!
//! A batch travels by column, as one array for each on PostgreSQL and as one JSON text on SQLite, and comes
//! out as rows: so a statement for a hundred events is one statement on both engines, written once.

use super::{StoreError, Tx};
use serde::ser::{Serialize, SerializeSeq, Serializer};
use sqlx::{AssertSqlSafe, Postgres, Row as _, Sqlite};
use std::borrow::Cow;

impl Tx {
    /// `for update`, where there are row locks. SQLite has one writer and needs none.
    pub(super) fn for_update(&self) -> &'static str {
        match self {
            Self::Postgres(_) => "for update",
            Self::Sqlite(_) => "",
        }
    }

    /// `for no key update`: of two who lock a row the second waits, and whoever only refers to it does not.
    pub(super) fn for_no_key_update(&self) -> &'static str {
        match self {
            Self::Postgres(_) => "for no key update",
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

    /// Writes all of it; what has no rows runs nothing. PostgreSQL is told everything at once, so that a batch
    /// does not wait for the network between its statements; each sees the tables as they were before.
    ///
    /// # Errors
    /// [`StoreError::Overtaken`] if one that must write each of its rows did not; else any [`StoreError`].
    pub async fn write<'a>(
        &mut self,
        writes: impl IntoIterator<Item = Write<'a>, IntoIter: Send>,
    ) -> Result<(), StoreError> {
        let writes: Vec<_> = writes.into_iter().filter(|write| write.count > 0).collect();
        if writes.is_empty() {
            return Ok(());
        }
        match self {
            Self::Postgres(conn) => {
                let mut query = sqlx::query::<Postgres>(AssertSqlSafe(at_once(&writes)));
                for (_, values) in writes.iter().flat_map(|write| &write.columns) {
                    query = match values {
                        Values::Texts(values) => query.bind(values),
                        Values::Bigints(values) => query.bind(values),
                        Values::Integers(values) => query.bind(values),
                        Values::Booleans(values) => query.bind(values),
                    };
                }
                let counts = query.fetch_one(&mut **conn).await?;
                for (n, write) in writes.iter().enumerate() {
                    write.check(u64::try_from(counts.try_get::<i64, _>(n)?).unwrap_or(0))?;
                }
            }
            Self::Sqlite(conn) => {
                for write in &writes {
                    let names = write.columns.iter().map(|(name, _)| name).zip(0..);
                    let columns: Vec<_> = names.map(|(name, n)| format!("value ->> {n} as {name}")).collect();
                    // `where true` keeps `on conflict` after this from being read as a join.
                    let table = format!("(select {} from json_each($1) where true) as r", columns.join(", "));
                    let query = sqlx::query::<Sqlite>(AssertSqlSafe(write.sql.replace("{r}", &table)));
                    let done = query.bind(write.json()).execute(&mut **conn).await?;
                    write.check(done.rows_affected())?;
                }
            }
        }
        Ok(())
    }
}

/// One statement for PostgreSQL that does all of `writes` and tells of each how many rows it wrote.
fn at_once(writes: &[Write<'_>]) -> String {
    let mut parameters = 1..;
    let mut parts = Vec::with_capacity(writes.len());
    let mut counts = Vec::with_capacity(writes.len());
    for (n, write) in writes.iter().enumerate() {
        let numbered = write.columns.iter().zip(&mut parameters);
        let arrays: Vec<_> = numbered.map(|((_, values), n)| format!("${n}::{}[]", values.kind())).collect();
        let names: Vec<_> = write.columns.iter().map(|(name, _)| *name).collect();
        let table = format!("unnest({}) as r ({})", arrays.join(", "), names.join(", "));
        parts.push(format!("w{n} as ({} returning 1)", write.sql.replace("{r}", &table)));
        counts.push(format!("(select count(*) from w{n})"));
    }
    format!("with {} select {}", parts.join(", "), counts.join(", "))
}

/// The JSON array that [`Tx::in_list`] reads.
pub(super) fn json_array<T: serde::Serialize>(values: &[T]) -> String {
    serde_json::to_string(values).unwrap_or_else(|_| "[]".to_owned())
}

/// One statement for many rows, and the rows: see [`Tx::write`].
#[derive(Debug)]
#[must_use]
pub struct Write<'a> {
    sql: Cow<'static, str>,
    count: usize,
    columns: Vec<(&'static str, Values<'a>)>,
    /// Whether it must write each of its rows.
    each: bool,
}

/// The rows of a [`Write`], one for each item of a list, put together column by column.
#[derive(Debug)]
pub(super) struct Rows<'a, T> {
    items: Vec<T>,
    columns: Vec<(&'static str, Values<'a>)>,
}

#[derive(Debug)]
enum Values<'a> {
    Texts(Vec<Option<Cow<'a, str>>>),
    Bigints(Vec<Option<i64>>),
    Integers(Vec<Option<i32>>),
    Booleans(Vec<Option<bool>>),
}

impl<'a, T: Copy> Rows<'a, T> {
    /// A row for each of `items`, without a column yet.
    pub(super) fn of(items: impl IntoIterator<Item = T>) -> Self {
        Self { items: items.into_iter().collect(), columns: Vec::new() }
    }

    pub(super) fn text<V: Into<Cow<'a, str>>>(self, name: &'static str, value: impl Fn(T) -> V) -> Self {
        self.text_or_null(name, |item| Some(value(item)))
    }

    pub(super) fn text_or_null<V: Into<Cow<'a, str>>>(
        self,
        name: &'static str,
        value: impl Fn(T) -> Option<V>,
    ) -> Self {
        let values = self.items.iter().map(|item| value(*item).map(Into::into)).collect();
        self.column(name, Values::Texts(values))
    }

    pub(super) fn bigint(self, name: &'static str, value: impl Fn(T) -> i64) -> Self {
        self.bigint_or_null(name, |item| Some(value(item)))
    }

    pub(super) fn bigint_or_null(self, name: &'static str, value: impl Fn(T) -> Option<i64>) -> Self {
        let values = self.items.iter().copied().map(value).collect();
        self.column(name, Values::Bigints(values))
    }

    pub(super) fn integer(self, name: &'static str, value: impl Fn(T) -> Option<i32>) -> Self {
        let values = self.items.iter().copied().map(value).collect();
        self.column(name, Values::Integers(values))
    }

    pub(super) fn boolean(self, name: &'static str, value: impl Fn(T) -> Option<bool>) -> Self {
        let values = self.items.iter().copied().map(value).collect();
        self.column(name, Values::Booleans(values))
    }

    fn column(mut self, name: &'static str, values: Values<'a>) -> Self {
        self.columns.push((name, values));
        self
    }

    /// With the statement for them, an `insert` or `update` that reads the rows where it says `{r}`; they are
    /// named `r` in it.
    pub(super) fn written_by(self, sql: impl Into<Cow<'static, str>>) -> Write<'a> {
        Write { sql: sql.into(), count: self.items.len(), columns: self.columns, each: false }
    }

    /// As [`Rows::written_by`], and if it does not write each of them, somebody was faster.
    pub(super) fn each_written_by(self, sql: impl Into<Cow<'static, str>>) -> Write<'a> {
        Write { each: true, ..self.written_by(sql) }
    }
}

impl Write<'_> {
    fn check(&self, written: u64) -> Result<(), StoreError> {
        if self.each && written != self.count as u64 { Err(StoreError::Overtaken) } else { Ok(()) }
    }

    /// The rows as a JSON array with an array for each.
    fn json(&self) -> String {
        let rows: Vec<_> = (0..self.count).map(|n| Row { columns: &self.columns, n }).collect();
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
