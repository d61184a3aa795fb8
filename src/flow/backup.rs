//! The whole database in one file, and back. The file is the same whichever engine it comes from, so it may go to
//! the other one: a line of JSON that says what it is, a line for each row, and one with counts and sums.
//!
//! **Invariants.** A backup is one moment's view, taken while the service runs. Its file appears whole and on disk or
//! not at all, and nobody but its owner reads it. A file that is damaged, cut or of a newer program is not restored.
//! A restoration is one transaction, compared before it is kept, and leaves the mark that closes the storefront.

use super::closed;
use super::transfer::{self, Contents, Report, TransferError};
use super::{invariants, transfer::compare};
use clock::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use store::transfer::{Money, Sum, Table};
use store::{Store, StoreError, Tx};

/// What the first line says the file is.
const FORMAT: &str = "checkout-backend backup";
/// How it is written. A program reads its own version and older ones.
const VERSION: u32 = 1;
/// Rows that are stored at once.
const BATCH_ROWS: usize = 500;
const BATCH_BYTES: usize = 1 << 20;
/// The longest line: a row with its payload.
const LONGEST_LINE: u64 = 64 << 20;

/// Why there is no backup, or nothing was restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The database that is to be written, or the copy in it.
    #[error(transparent)]
    Transfer(#[from] TransferError),
    /// The file.
    #[error("{}: {error}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// The file is there already.
    #[error("{} is there already: a backup overwrites nothing", .0.display())]
    Exists(PathBuf),
    /// The file is no backup that can be used.
    #[error("{}: {why}", path.display())]
    Unusable {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Header {
    format: String,
    version: u32,
    program: String,
    engine: String,
    /// The newest migration that the database had.
    schema: i64,
    taken_at: String,
    taken_at_micros: i64,
    tables: Vec<TableHeader>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct TableHeader {
    name: String,
    columns: Vec<String>,
}

/// Before a table's rows.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Begins {
    table: String,
}

/// The last line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct End {
    end: BTreeMap<String, TableSum>,
    money: Vec<MoneySum>,
    /// Of all lines before this one.
    sha256: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct TableSum {
    rows: u64,
    digest: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct MoneySum {
    currency: String,
    paid_bookings: i64,
    paid: i64,
    refunded: i64,
}

impl From<&Money> for MoneySum {
    fn from(money: &Money) -> Self {
        let Money { currency, paid_bookings, paid, refunded } = money;
        Self { currency: currency.clone(), paid_bookings: *paid_bookings, paid: *paid, refunded: *refunded }
    }
}

/// Writes the whole database into a new file, while the service goes on. The schema need not be this program's: a
/// backup is what comes before a migration.
///
/// # Errors
/// [`BackupError`]: then there is no file.
pub async fn take(store: &Store, path: &Path, now: Timestamp) -> Result<Report, BackupError> {
    if path.exists() {
        return Err(BackupError::Exists(path.to_owned()));
    }
    let schema = store.schema_version().await?;
    let why = match schema {
        0 => Some(format!("{} has no tables of this program", store.place())),
        newer if newer > Store::newest_schema() => Some(format!(
            "{} has schema {newer}, newer than this program's: use the program that runs on it",
            store.place()
        )),
        _ => None,
    };
    if let Some(why) = why {
        return Err(TransferError::Source(why).into());
    }
    let file = |error| BackupError::File { path: path.to_owned(), error };
    let aside = Aside::make(path).map_err(file)?;
    let mut tx = store.begin_snapshot().await?;
    let written = write(&mut tx, &aside, store.engine(), schema, now).await;
    tx.rollback().await?;
    let contents = match written {
        Ok(contents) => contents,
        Err(WriteError::Store(error)) => return Err(error.into()),
        Err(WriteError::Io(error)) => return Err(file(error)),
    };
    // What the disk has, not what was sent to it.
    let read = Reader::open(&aside.path)?.check()?;
    if let Some(difference) = contents.difference(&read) {
        return Err(TransferError::Differs(difference).into());
    }
    aside.keep(path).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => BackupError::Exists(path.to_owned()),
        _ => file(error),
    })?;
    let current = schema == Store::newest_schema();
    // A true copy of what is wrong is a backup all the same: it is told.
    let violations = if current { invariants::audit(store).await?.violations } else { Vec::new() };
    Ok(Report::of(&contents, false, violations))
}

enum WriteError {
    Store(StoreError),
    Io(io::Error),
}

impl From<StoreError> for WriteError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<io::Error> for WriteError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

async fn write(
    tx: &mut Tx,
    aside: &Aside,
    engine: &str,
    schema: i64,
    now: Timestamp,
) -> Result<Contents, WriteError> {
    let tables = tx.tables().await?;
    let header = Header {
        format: FORMAT.to_owned(),
        version: VERSION,
        program: env!("CARGO_PKG_VERSION").to_owned(),
        engine: engine.to_owned(),
        schema,
        taken_at: now.to_string(),
        taken_at_micros: now.as_micros(),
        tables: tables
            .iter()
            .map(|table| TableHeader { name: table.name.clone(), columns: table.column_names() })
            .collect(),
    };
    let mut lines = Lines { file: BufWriter::new(&aside.file), hash: Sha256::new() };
    lines.write(&json(&header))?;
    let mut contents = Contents::default();
    for table in &tables {
        lines.write(&json(&Begins { table: table.name.clone() }))?;
        let mut sum = Sum::default();
        tx.each_row(table, &table.column_names(), async |rows| {
            for row in rows {
                sum.add(&row);
                lines.write(&row)?;
            }
            Ok::<_, WriteError>(())
        })
        .await?;
        contents.tables.insert(table.name.clone(), sum);
    }
    contents.money = tx.money().await?;
    let end = end(&contents, hex::encode(lines.hash.clone().finalize()));
    lines.write(&json(&end))?;
    lines.file.flush()?;
    aside.file.sync_all()?;
    Ok(contents)
}

fn json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

fn end(contents: &Contents, sha256: String) -> End {
    let sums = contents.tables.iter();
    let end = sums.map(|(name, sum)| (name.clone(), TableSum { rows: sum.rows, digest: sum.digest() }));
    End { end: end.collect(), money: contents.money.iter().map(MoneySum::from).collect(), sha256 }
}

struct Lines<W> {
    file: W,
    hash: Sha256,
}

impl<W: Write> Lines<W> {
    fn write(&mut self, line: &str) -> io::Result<()> {
        self.hash.update(line);
        self.hash.update("\n");
        self.file.write_all(line.as_bytes())?;
        self.file.write_all(b"\n")
    }
}

/// A file beside the one that it is to become, which is gone again unless it is kept.
struct Aside {
    path: PathBuf,
    file: File,
}

impl Aside {
    fn make(path: &Path) -> io::Result<Self> {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let aside = path.with_file_name(format!(".{name}.{}.part", std::process::id()));
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create_new(true);
        // Names, addresses and password hashes are in there.
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        Ok(Self { file: options.open(&aside)?, path: aside })
    }

    /// Gives it its name, unless somebody has taken that meanwhile.
    fn keep(self, path: &Path) -> io::Result<()> {
        match std::fs::hard_link(&self.path, path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(error),
            // A file system without links.
            Err(_) if !path.exists() => std::fs::rename(&self.path, path)?,
            result => result?,
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        // The name is on disk when its folder is.
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// What a line of a backup is.
enum Line {
    Table(String),
    Row(String),
}

struct Reader {
    path: PathBuf,
    lines: BufReader<File>,
    header: Header,
    hash: Sha256,
    tables: BTreeMap<String, Sum>,
    current: Option<String>,
    end: Option<End>,
}

impl Reader {
    fn open(path: &Path) -> Result<Self, BackupError> {
        let file = File::open(path).map_err(|error| BackupError::File { path: path.to_owned(), error })?;
        let unusable = |why: &str| BackupError::Unusable { path: path.to_owned(), why: why.to_owned() };
        let mut reader = Self {
            path: path.to_owned(),
            lines: BufReader::new(file),
            header: Header {
                format: String::new(),
                version: 0,
                program: String::new(),
                engine: String::new(),
                schema: 0,
                taken_at: String::new(),
                taken_at_micros: 0,
                tables: Vec::new(),
            },
            hash: Sha256::new(),
            tables: BTreeMap::new(),
            current: None,
            end: None,
        };
        let first = reader.line()?.ok_or_else(|| unusable("is empty"))?;
        let said: serde_json::Value = serde_json::from_str(&first).unwrap_or_default();
        if said.get("format").and_then(serde_json::Value::as_str) != Some(FORMAT) {
            return Err(unusable("is no backup made by `checkout-backend backup`"));
        }
        let version = said.get("version").and_then(serde_json::Value::as_u64).unwrap_or(0);
        if version > u64::from(VERSION) {
            return Err(unusable("was made by a newer program: use that one"));
        }
        reader.header = serde_json::from_value(said).map_err(|_| unusable("its first line is damaged"))?;
        if reader.header.schema > Store::newest_schema() {
            let made_by = &reader.header.program;
            return Err(unusable(&format!("was made by a newer program ({made_by}): use that one")));
        }
        reader.count(&first);
        Ok(reader)
    }

    fn unusable(&self, why: impl Into<String>) -> BackupError {
        BackupError::Unusable { path: self.path.clone(), why: why.into() }
    }

    fn count(&mut self, line: &str) {
        self.hash.update(line);
        self.hash.update("\n");
    }

    fn line(&mut self) -> Result<Option<String>, BackupError> {
        let mut line = Vec::new();
        let read = io::Read::take(&mut self.lines, LONGEST_LINE).read_until(b'\n', &mut line);
        read.map_err(|error| BackupError::File { path: self.path.clone(), error })?;
        match line.pop() {
            None => Ok(None),
            Some(b'\n') => {
                String::from_utf8(line).map(Some).map_err(|_| self.unusable("is damaged: a line is no text"))
            }
            Some(_) => Err(self.unusable("is cut off in the middle of a line")),
        }
    }

    /// The next table or row; none after the last.
    fn next(&mut self) -> Result<Option<Line>, BackupError> {
        let line = self.line()?.ok_or_else(|| self.unusable("is cut off: its last line is missing"))?;
        if line.starts_with('[') {
            let Some(current) = &self.current else { return Err(self.unusable("is damaged")) };
            self.tables.entry(current.clone()).or_default().add(&line);
            self.count(&line);
            return Ok(Some(Line::Row(line)));
        }
        if let Ok(begins) = serde_json::from_str::<Begins>(&line) {
            self.count(&line);
            self.current = Some(begins.table.clone());
            self.tables.entry(begins.table.clone()).or_default();
            return Ok(Some(Line::Table(begins.table)));
        }
        let end: End = serde_json::from_str(&line).map_err(|_| self.unusable("is damaged"))?;
        self.end = Some(end);
        Ok(None)
    }

    /// What was read, if it is what the last line says.
    fn finish(&mut self) -> Result<Contents, BackupError> {
        let Some(end_line) = self.end.take() else { return Err(self.unusable("was not read to its end")) };
        let money = end_line.money.iter().map(|sum| Money {
            currency: sum.currency.clone(),
            paid_bookings: sum.paid_bookings,
            paid: sum.paid,
            refunded: sum.refunded,
        });
        let contents = Contents { tables: std::mem::take(&mut self.tables), money: money.collect() };
        let is = end(&contents, hex::encode(self.hash.clone().finalize()));
        if is == end_line { Ok(contents) } else { Err(self.unusable("is damaged: its sums do not fit")) }
    }

    /// Reads it to its end.
    fn check(&mut self) -> Result<Contents, BackupError> {
        while self.next()?.is_some() {}
        self.finish()
    }
}

/// A backup that was found whole.
#[derive(Debug, Clone)]
pub struct Checked {
    path: PathBuf,
    header: Header,
    contents: Contents,
}

impl Checked {
    /// When it was taken.
    #[must_use]
    pub fn taken_at(&self) -> Timestamp {
        Timestamp::from_micros(self.header.taken_at_micros)
    }
}

/// Reads a backup to its end.
///
/// # Errors
/// [`BackupError`] if it is not whole, or none of this program's.
pub fn check(path: &Path) -> Result<Checked, BackupError> {
    let mut reader = Reader::open(path)?;
    let contents = reader.check()?;
    Ok(Checked { path: path.to_owned(), header: reader.header, contents })
}

/// Puts a backup into a database that is empty, or whose contents it is to replace. Nothing is sold from it until
/// Stripe has been asked what came after the backup.
///
/// # Errors
/// [`BackupError`]: then the database is as it was, unless its tables had to be made anew for an older backup.
pub async fn restore(
    store: &Store,
    backup: &Checked,
    replace: bool,
    now: Timestamp,
) -> Result<Report, BackupError> {
    let Checked { path, header, contents } = backup;
    let (newest, version) = (Store::newest_schema(), store.schema_version().await?);
    if version > newest {
        let why = format!("{} has schema {version}, newer than this program's", store.place());
        return Err(TransferError::Source(why).into());
    }
    if version == header.schema && same(store, contents).await? {
        let violations = invariants::audit(store).await?.violations;
        return Ok(Report::of(contents, true, violations));
    }
    if version != header.schema {
        // Rows of before a migration go where it has not been yet; then it does with them what it did with others.
        if version > 0 {
            let mut tx = store.begin_transfer().await?;
            let tables = tx.tables().await?;
            let emptied = transfer::empty(&mut tx, &tables, store, replace).await;
            tx.rollback().await?;
            emptied?;
            store.drop_tables().await?;
        }
        store.migrate_to(header.schema).await?;
    }
    let mut tx = store.begin_transfer().await?;
    let loaded = load(&mut tx, store, path, header, contents, replace).await;
    let loaded = match loaded {
        Ok(()) if header.schema == newest => {
            closed::close(&mut tx, backup.taken_at(), now).await.map_err(Into::into)
        }
        loaded => loaded,
    };
    if let Err(error) = loaded {
        tx.rollback().await?;
        return Err(error);
    }
    tx.commit().await?;
    if header.schema < newest {
        store.migrate(now).await?;
        let mut tx = store.begin().await?;
        closed::close(&mut tx, backup.taken_at(), now).await?;
        tx.commit().await?;
    }
    let violations = invariants::audit(store).await?.violations;
    Ok(Report::of(contents, false, violations))
}

/// Whether this backup is what the database holds, but for what the restoration noted itself.
async fn same(store: &Store, contents: &Contents) -> Result<bool, StoreError> {
    let mut tx = store.begin_snapshot().await?;
    let tables = tx.tables().await?;
    let mut here = transfer::contents(&mut tx, &tables).await?;
    tx.rollback().await?;
    let mut backup = contents.clone();
    for contents in [&mut here, &mut backup] {
        contents.tables.remove("marks");
    }
    Ok(here.difference(&backup).is_none())
}

async fn load(
    tx: &mut Tx,
    store: &Store,
    path: &Path,
    header: &Header,
    contents: &Contents,
    replace: bool,
) -> Result<(), BackupError> {
    let tables = tx.tables().await?;
    transfer::empty(tx, &tables, store, replace).await?;
    let mut reader = Reader::open(path)?;
    let mut goes_to: Option<(Table, Vec<String>)> = None;
    let (mut batch, mut bytes): (Vec<String>, usize) = (Vec::new(), 0);
    loop {
        let line = reader.next()?;
        let full = batch.len() >= BATCH_ROWS || bytes >= BATCH_BYTES;
        if let (Some((table, columns)), true) = (&goes_to, full || !matches!(line, Some(Line::Row(_)))) {
            if !batch.is_empty() {
                tx.insert_rows(table, columns, &batch).await?;
            }
            batch.clear();
            bytes = 0;
        }
        match line {
            Some(Line::Row(row)) => {
                bytes += row.len();
                batch.push(row);
            }
            Some(Line::Table(name)) => {
                let described = header.tables.iter().find(|table| table.name == name);
                let Some(described) = described else {
                    return Err(reader.unusable(format!("does not describe its table {name}")));
                };
                goes_to = Some((transfer::find(&tables, &name)?.clone(), described.columns.clone()));
            }
            None => break,
        }
    }
    // It may have been changed since it was found whole.
    if reader.finish()? != *contents {
        return Err(reader.unusable("was changed while it was read"));
    }
    Ok(compare(tx, &tables, contents).await?)
}
