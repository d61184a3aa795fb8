//! From one database into another: the whole of it, or nothing.
//!
//! **Invariants.** What is read is one moment's view. What is written is one transaction, compared with what was read
//! before it is committed. A database that holds anything is not written to unless that was asked for.

use super::invariants;
use serde::Serialize;
use std::collections::BTreeMap;
use store::checks::Violation;
use store::transfer::{Money, Sum, Table};
use store::{Store, StoreError, Tx};

/// Why a database was not copied.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What is to be copied cannot be.
    #[error("{0}")]
    Source(String),
    /// Where it is to go there is something already.
    #[error("{place} is not empty: it has {held}")]
    NotEmpty {
        /// The database.
        place: String,
        /// What it holds.
        held: String,
    },
    /// The copy is not what was copied. Nothing was kept of it.
    #[error("the copy differs from the original, so nothing was kept: {0}")]
    Differs(String),
}

/// What a whole database holds: of each table how many rows, and what they say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contents {
    /// By table.
    pub tables: BTreeMap<String, Sum>,
    /// What was paid and given back.
    pub money: Vec<Money>,
}

impl Contents {
    /// In what the other differs, in words; none if in nothing.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Option<String> {
        let names = self.tables.keys().chain(other.tables.keys());
        for name in names {
            let (here, there) = (self.tables.get(name), other.tables.get(name));
            let rows = |sum: Option<&Sum>| sum.map_or(0, |sum| sum.rows);
            if rows(here) != rows(there) {
                return Some(format!("table {name} has {} rows and {} in the copy", rows(here), rows(there)));
            }
            if here != there {
                return Some(format!("rows of table {name} do not say the same"));
            }
        }
        (self.money != other.money).then(|| "the sums of payments are not the same".to_owned())
    }
}

/// What was copied.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Whether the copy was there already, and nothing was written.
    pub unchanged: bool,
    /// Rows, by table.
    pub tables: BTreeMap<String, u64>,
    /// What was paid and given back.
    pub money: Vec<Money>,
    /// Invariants that do not hold in the copy.
    pub violations: Vec<Violation>,
}

impl Report {
    pub(super) fn of(contents: &Contents, unchanged: bool, violations: Vec<Violation>) -> Self {
        let tables = contents.tables.iter().map(|(name, sum)| (name.clone(), sum.rows)).collect();
        Self { unchanged, tables, money: contents.money.clone(), violations }
    }
}

/// Copies a database into another one, which is empty, or holds the same already. Both engines, both directions.
///
/// # Errors
/// [`TransferError`]: then the other database is as it was.
pub async fn copy(from: &Store, to: &Store) -> Result<Report, TransferError> {
    let (newest, version) = (Store::newest_schema(), from.schema_version().await?);
    if version != newest {
        let why = if version == 0 {
            format!("{} has no tables of this program", from.place())
        } else {
            format!(
                "{} has schema {version}, this program {newest}: run `checkout-backend migrate deploy` on it first",
                from.place()
            )
        };
        return Err(TransferError::Source(why));
    }
    let mut source = from.begin_snapshot().await?;
    let mut target = to.begin_transfer().await?;
    let result = copy_rows(&mut source, &mut target, to).await;
    source.rollback().await?;
    let (contents, unchanged) = match result {
        Ok(copied) => copied,
        Err(error) => {
            target.rollback().await?;
            return Err(error);
        }
    };
    target.commit().await?;
    let violations = invariants::audit(to).await?.violations;
    Ok(Report::of(&contents, unchanged, violations))
}

async fn copy_rows(source: &mut Tx, target: &mut Tx, to: &Store) -> Result<(Contents, bool), TransferError> {
    let (tables, there) = (source.tables().await?, target.tables().await?);
    let original = contents(source, &tables).await?;
    if contents(target, &there).await?.difference(&original).is_none() {
        return Ok((original, true));
    }
    empty(target, &there, to, false).await?;
    for table in &tables {
        let columns = table.column_names();
        let goes_to = find(&there, &table.name)?;
        source
            .each_row(table, &columns, async |rows| target.insert_rows(goes_to, &columns, &rows).await)
            .await?;
    }
    compare(target, &there, &original).await?;
    Ok((original, false))
}

/// Reads a whole database.
///
/// # Errors
/// [`StoreError`].
pub async fn contents(tx: &mut Tx, tables: &[Table]) -> Result<Contents, StoreError> {
    let mut contents = Contents::default();
    for table in tables {
        contents.tables.insert(table.name.clone(), tx.sum_of(table, &table.column_names()).await?);
    }
    contents.money = tx.money().await?;
    Ok(contents)
}

/// Makes room: what every database has from its start goes; what else is there only if that was asked for.
pub(super) async fn empty(
    tx: &mut Tx,
    tables: &[Table],
    store: &Store,
    replace: bool,
) -> Result<(), TransferError> {
    let filled = tx.filled(tables).await?;
    if !replace && !filled.is_empty() {
        let held: Vec<_> = filled.iter().map(|(table, rows)| format!("{rows} {table}")).collect();
        return Err(TransferError::NotEmpty { place: store.place(), held: held.join(", ") });
    }
    Ok(tx.delete_everything(tables).await?)
}

pub(super) fn find<'t>(tables: &'t [Table], name: &str) -> Result<&'t Table, TransferError> {
    let missing = || TransferError::Source(format!("there is no table {name} to copy into"));
    tables.iter().find(|table| table.name == name).ok_or_else(missing)
}

/// Reads back what was written, before it is kept.
pub(super) async fn compare(tx: &mut Tx, tables: &[Table], original: &Contents) -> Result<(), TransferError> {
    match original.difference(&contents(tx, tables).await?) {
        Some(difference) => Err(TransferError::Differs(difference)),
        None => Ok(()),
    }
}
