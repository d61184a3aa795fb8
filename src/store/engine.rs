//! The few texts in which the two engines differ.
//!
//! A batch travels as one JSON array in one parameter, and comes out as rows: so a statement for a
//! hundred events is one statement on both engines, written once.

use super::Tx;

/// A column of a batch: its name (also the JSON member's) and its type.
#[derive(Debug, Clone, Copy)]
pub(super) struct Column(pub &'static str, pub Type);

/// The types that columns of a batch have.
#[derive(Debug, Clone, Copy)]
pub(super) enum Type {
    Text,
    Bigint,
    Integer,
    Boolean,
}

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

    /// A table expression named `r` with a row for each object in the JSON array bound as `$n`.
    pub(super) fn rows(&self, n: usize, columns: &[Column]) -> String {
        let columns = columns.iter();
        match self {
            Self::Postgres(_) => {
                let columns: Vec<_> = columns
                    .map(|Column(name, kind)| {
                        let kind = match kind {
                            Type::Text => "text",
                            Type::Bigint => "bigint",
                            Type::Integer => "integer",
                            Type::Boolean => "boolean",
                        };
                        format!("{name} {kind}")
                    })
                    .collect();
                // Not `json_to_recordset`: the planner takes that for a hundred rows, for which it would read a
                // whole table of bookings instead of looking a few up. An array it takes for ten.
                format!(
                    "(select r.* from unnest(array(select json_array_elements(${n}::json))) as e, \
                     json_to_record(e) as r ({})) as r",
                    columns.join(", ")
                )
            }
            Self::Sqlite(_) => {
                let columns: Vec<_> =
                    columns.map(|Column(name, _)| format!("value ->> '{name}' as {name}")).collect();
                // `where true` keeps `on conflict` after this from being read as a join.
                format!("(select {} from json_each(${n}) where true) as r", columns.join(", "))
            }
        }
    }
}

/// The JSON array that [`Tx::in_list`] and [`Tx::rows`] read.
pub(super) fn json_array<T: serde::Serialize>(rows: &[T]) -> String {
    serde_json::to_string(rows).unwrap_or_else(|_| "[]".to_owned())
}
