//! The state in a file, so that it survives a restart, and a kill too.
//!
//! The file is a journal. Its first line names the layout; each other line is one change, whole: what
//! it put and what it took away. A change is appended before its request is answered, so that a killed
//! program has lost nothing that it answered; the disk has it within [`PAUSE`]. When as much has been
//! appended as the state itself takes, the state is written anew beside the file and renamed over it.

use super::Shared;
use super::deliveries::Delivery;
use super::idempotency::{Entry, Keys};
use super::lock;
use super::model::{
    BalanceTransaction, Charge, Coupon, Customer, Dispute, Endpoint, Event, Intent, PaymentLink,
    PaymentMethod, Price, Product, PromotionCode, Refund, Session, SessionStatus, SetupIntent, ShippingRate,
    TaxRate,
};
use super::server::stopped;
use super::world::World;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How long changes may wait for the disk, and how often a full disk is tried again.
const PAUSE: Duration = Duration::from_millis(200);
/// The first line. Another layout is refused, not guessed at.
const HEADER: &str = "{\"simulated_stripe_state\":2}\n";
/// So much may always be appended before the state is written anew.
const APPENDED_BYTES: u64 = 4 * 1024 * 1024;

macro_rules! rows {
    ($($table:ident: $kind:ident),* $(,)?) => {
        /// What a change put or took away, as it is written.
        #[derive(Serialize)]
        #[serde(rename_all = "snake_case")]
        enum Written<'a> {
            $($kind(&'a $kind),)*
            Delivery(u64, &'a Delivery),
            Key(&'a str, &'a Entry),
            EventsMade(u64),
            Gone(&'static str, &'a str),
            DeliveryGone(u64),
            KeyGone(&'a str),
        }

        /// The same, as it is read.
        #[derive(Deserialize)]
        #[serde(rename_all = "snake_case")]
        enum Read {
            $($kind(Box<$kind>),)*
            Delivery(u64, Box<Delivery>),
            Key(String, Box<Entry>),
            EventsMade(u64),
            Gone(String, String),
            DeliveryGone(u64),
            KeyGone(String),
        }

        impl Read {
            fn apply(self, world: &mut World, keys: &mut Keys) {
                match self {
                    $(Self::$kind(row) => world.$table.put(*row),)*
                    Self::Delivery(serial, row) => world.deliveries.put(serial, *row),
                    Self::Key(key, entry) => keys.put(key, *entry),
                    Self::EventsMade(count) => world.events_made = count,
                    Self::Gone(table, id) => match table.as_str() {
                        $(stringify!($table) => drop(world.$table.remove(&id)),)*
                        _ => {}
                    },
                    Self::DeliveryGone(serial) => world.deliveries.forget(serial),
                    Self::KeyGone(key) => keys.forget(&key),
                }
            }
        }

        /// What has changed since this was last asked, as one line; empty if nothing has.
        pub(crate) fn news(world: &mut World, keys: &mut Keys) -> io::Result<Vec<u8>> {
            let mut line = Line::default();
            $(
                let (rows, gone) = world.$table.news();
                for row in rows {
                    line.add(&Written::$kind(row))?;
                }
                for id in &gone {
                    line.add(&Written::Gone(stringify!($table), id))?;
                }
            )*
            let (rows, gone) = world.deliveries.news();
            for (serial, row) in rows {
                line.add(&Written::Delivery(serial, row))?;
            }
            for serial in gone {
                line.add(&Written::DeliveryGone(serial))?;
            }
            let (rows, gone) = keys.news();
            for (key, entry) in rows {
                line.add(&Written::Key(&key, entry))?;
            }
            for key in &gone {
                line.add(&Written::KeyGone(key))?;
            }
            if !line.0.is_empty() {
                line.add(&Written::EventsMade(world.events_made))?;
            }
            Ok(line.end())
        }

        /// Forgets what has changed: nobody keeps it.
        pub(crate) fn skip(world: &mut World, keys: &mut Keys) {
            $(let _ = world.$table.news();)*
            let _ = (world.deliveries.news(), keys.news());
        }

        /// The whole state, a line for each row.
        fn whole(world: &World, keys: &Keys) -> io::Result<Vec<u8>> {
            let mut text = HEADER.as_bytes().to_vec();
            let mut put = |written: &Written<'_>| -> io::Result<()> {
                let mut line = Line::default();
                line.add(written)?;
                text.extend(line.end());
                Ok(())
            };
            $(
                for row in world.$table.iter() {
                    put(&Written::$kind(row))?;
                }
            )*
            for (serial, row) in world.deliveries.iter() {
                put(&Written::Delivery(serial, row))?;
            }
            for (key, entry) in keys.kept() {
                put(&Written::Key(key, entry))?;
            }
            put(&Written::EventsMade(world.events_made))?;
            Ok(text)
        }
    };
}

rows! {
    sessions: Session,
    intents: Intent,
    charges: Charge,
    refunds: Refund,
    disputes: Dispute,
    methods: PaymentMethod,
    transactions: BalanceTransaction,
    customers: Customer,
    products: Product,
    prices: Price,
    coupons: Coupon,
    promotion_codes: PromotionCode,
    tax_rates: TaxRate,
    shipping_rates: ShippingRate,
    payment_links: PaymentLink,
    setup_intents: SetupIntent,
    endpoints: Endpoint,
    events: Event,
}

/// A line in the making: a JSON array.
#[derive(Default)]
struct Line(Vec<u8>);

impl Line {
    fn add(&mut self, written: &Written<'_>) -> io::Result<()> {
        self.0.push(if self.0.is_empty() { b'[' } else { b',' });
        serde_json::to_writer(&mut self.0, written).map_err(io::Error::other)
    }

    fn end(mut self) -> Vec<u8> {
        if !self.0.is_empty() {
            self.0.extend(b"]\n");
        }
        self.0
    }
}

/// The open file.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    file: File,
    /// Held as long as the file is ours.
    lock: Option<File>,
    /// How long the file was when the state was last written whole, and how much came since.
    whole: u64,
    appended: u64,
    /// While the state is written anew: what is appended meanwhile.
    meanwhile: Option<Vec<u8>>,
    /// Something could not be appended: only writing all anew helps.
    broken: bool,
}

impl Journal {
    /// Takes the file, reads it into a new world, and writes it anew. A file that is not there, or is
    /// empty, is an empty state.
    ///
    /// # Errors
    /// It cannot be read or written, is not ours, or is in use: better no start than a lost state.
    pub(crate) fn open(path: &Path, world: &mut World, keys: &mut Keys) -> io::Result<Self> {
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(named)?;
        }
        let lock = take(path).map_err(named)?;
        match std::fs::read(path) {
            Ok(text) => read(&text, world, keys).map_err(named)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(named(error)),
        }
        skip(world, keys); // the file has these already
        let text = whole(world, keys)?;
        let file = write_beside(path, &text).and_then(|file| replace(path, file)).map_err(named)?;
        Ok(Self {
            path: path.to_owned(),
            file,
            lock: Some(lock),
            whole: text.len() as u64,
            appended: 0,
            meanwhile: None,
            broken: false,
        })
    }

    /// Appends one line. What cannot be appended is not lost: all is written anew soon.
    pub(crate) fn append(&mut self, line: io::Result<Vec<u8>>) {
        let written = line.and_then(|line| {
            if let Some(meanwhile) = &mut self.meanwhile {
                meanwhile.extend(&line);
            }
            self.appended += line.len() as u64;
            if self.broken { Ok(()) } else { self.file.write_all(&line) }
        });
        if let Err(error) = written {
            self.broken = true;
            failed(&error);
        }
    }

    fn wants_renewal(&self) -> bool {
        self.broken || self.appended > self.whole.max(APPENDED_BYTES)
    }

    /// Puts the file that was written beside in place of this one.
    fn renew(&mut self, beside: io::Result<(File, u64)>) -> io::Result<()> {
        let meanwhile = self.meanwhile.take().unwrap_or_default();
        let (mut file, whole) = beside?;
        file.write_all(&meanwhile)?;
        self.file = replace(&self.path, file)?;
        (self.whole, self.appended, self.broken) = (whole, meanwhile.len() as u64, false);
        Ok(())
    }
}

fn failed(error: &io::Error) {
    tracing::error!(
        module = "simulator",
        action = "simulator.save_failed",
        %error,
        "the simulator's state was not written"
    );
}

/// Takes the lock file beside `path`. It is let go when the program ends, however it ends.
fn take(path: &Path) -> io::Result<File> {
    let lock = private(&beside(path, ".lock"))?;
    match lock.try_lock() {
        Err(std::fs::TryLockError::WouldBlock) => {
            Err(io::Error::new(io::ErrorKind::ResourceBusy, "in use by another simulator"))
        }
        // A file system without locks: nobody can be kept out there.
        Err(std::fs::TryLockError::Error(error)) if error.kind() != io::ErrorKind::Unsupported => Err(error),
        _ => Ok(lock),
    }
}

fn read(text: &[u8], world: &mut World, keys: &mut Keys) -> io::Result<()> {
    let foreign = |why: String| {
        let message = format!("not a state of the simulator ({why}); move it away to start anew");
        io::Error::new(io::ErrorKind::InvalidData, message)
    };
    if text.is_empty() {
        return Ok(());
    }
    let Some(lines) = text.strip_prefix(HEADER.as_bytes()) else {
        return Err(foreign("its first line is another".to_owned()));
    };
    for (number, line) in lines.split_inclusive(|byte| *byte == b'\n').enumerate() {
        // The last line has no end if the program was killed while it wrote. Nobody got an answer yet.
        let Some(line) = line.strip_suffix(b"\n") else { break };
        let rows: Vec<Read> =
            serde_json::from_slice(line).map_err(|error| foreign(format!("line {}: {error}", number + 2)))?;
        rows.into_iter().for_each(|row| row.apply(world, keys));
    }
    wind_timers(world);
    Ok(())
}

/// What is due later, by what was read.
fn wind_timers(world: &mut World) {
    let open = world.sessions.iter().filter(|s| s.status == SessionStatus::Open);
    let expiries = open.map(|s| (s.expires_at, s.id.clone()));
    let settlements = world.intents.iter().filter_map(|i| Some((i.settles?.at, i.id.clone())));
    let refunds = world.refunds.iter().filter_map(|r| Some((r.settles?.at, r.id.clone())));
    for (at, id) in expiries.chain(settlements).chain(refunds).collect::<Vec<_>>() {
        world.remind(at, &id);
    }
}

/// Brings the file to the disk after changes, and writes it anew when it has grown, until told to stop.
pub(crate) async fn keep(shared: Arc<Shared>, mut stop: watch::Receiver<bool>) {
    let Some(journal) = &shared.journal else { return };
    let mut version = shared.version.subscribe();
    loop {
        let broken = lock(journal).broken;
        let stopping = tokio::select! {
            changed = version.changed() => changed.is_err(),
            () = tokio::time::sleep(PAUSE), if broken => false,
            () = stopped(&mut stop) => true,
        };
        if !stopping {
            tokio::select! {
                () = tokio::time::sleep(PAUSE) => {}
                () = stopped(&mut stop) => {}
            }
        }
        version.mark_unchanged();
        if lock(journal).wants_renewal() {
            renew(&shared).await;
        }
        let file = lock(journal).file.try_clone();
        if let Ok(file) = file {
            let synced = tokio::task::spawn_blocking(move || file.sync_data()).await;
            if let Ok(Err(error)) = synced {
                failed(&error);
            }
        }
        if stopping {
            lock(journal).lock = None;
            return;
        }
    }
}

async fn renew(shared: &Arc<Shared>) {
    let Some(journal) = &shared.journal else { return };
    let text = shared.read(|world| {
        let keys = lock(&shared.keys);
        lock(journal).meanwhile = Some(Vec::new());
        whole(world, &keys)
    });
    let path = lock(journal).path.clone();
    let written = tokio::task::spawn_blocking(move || {
        let text = text?;
        Ok((write_beside(&path, &text)?, text.len() as u64))
    });
    let beside = written.await.unwrap_or_else(|error| Err(io::Error::other(error)));
    if let Err(error) = lock(journal).renew(beside) {
        failed(&error);
    }
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(ending);
    path.with_file_name(name)
}

/// Writes a new file beside `path`, down to the disk, and leaves it open.
fn write_beside(path: &Path, text: &[u8]) -> io::Result<File> {
    let new = beside(path, ".new");
    let _ = std::fs::remove_file(&new); // left by a program that was killed
    let mut file = private(&new)?;
    file.write_all(text)?;
    file.sync_all()?;
    Ok(file)
}

/// Renames what was written beside `path` over it.
fn replace(path: &Path, file: File) -> io::Result<File> {
    std::fs::rename(beside(path, ".new"), path)?;
    // The rename itself must reach the disk, too; not every file system lets a folder be synced.
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if let Ok(folder) = File::open(folder) {
        let _ = folder.sync_all();
    }
    Ok(file)
}

/// A file that only its owner reads: it holds signing secrets.
fn private(file: &Path) -> io::Result<File> {
    let mut options = std::fs::OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(file)
}
