//! The state in a file, so that it survives a restart.
//!
//! Written whole to a temporary file beside it, synced, and renamed over the old one: the file is
//! always complete. Writing follows changes within [`PAUSE`]; an API answer does not wait for it, so
//! a crash may lose the last moments, as the simulator documents. A shutdown writes everything.

use super::Shared;
use super::deliveries::Delivery;
use super::idempotency::Keys;
use super::lock;
use super::model::{
    BalanceTransaction, Charge, Customer, Dispute, Endpoint, Event, Intent, PaymentMethod, Price, Product,
    Record, Refund, Session, SessionStatus, Table,
};
use super::server::stopped;
use super::world::World;
use serde::{Deserialize, Serialize};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How long changes are gathered before they are written.
const PAUSE: Duration = Duration::from_millis(200);
/// The layout of the file. Another one is refused, not guessed at.
const LAYOUT: u32 = 1;

#[derive(Debug, Serialize, Deserialize)]
struct Snapshot {
    layout: u32,
    events_made: u64,
    sessions: Vec<Session>,
    intents: Vec<Intent>,
    charges: Vec<Charge>,
    refunds: Vec<Refund>,
    disputes: Vec<Dispute>,
    methods: Vec<PaymentMethod>,
    transactions: Vec<BalanceTransaction>,
    customers: Vec<Customer>,
    products: Vec<Product>,
    prices: Vec<Price>,
    endpoints: Vec<Endpoint>,
    events: Vec<Event>,
    deliveries: Vec<Delivery>,
    keys: Keys,
}

fn rows<T: Record + Clone>(table: &Table<T>) -> Vec<T> {
    table.iter().cloned().collect()
}

impl Snapshot {
    fn of(world: &World, keys: &Keys) -> Self {
        Self {
            layout: LAYOUT,
            events_made: world.events_made,
            sessions: rows(&world.sessions),
            intents: rows(&world.intents),
            charges: rows(&world.charges),
            refunds: rows(&world.refunds),
            disputes: rows(&world.disputes),
            methods: rows(&world.methods),
            transactions: rows(&world.transactions),
            customers: rows(&world.customers),
            products: rows(&world.products),
            prices: rows(&world.prices),
            endpoints: rows(&world.endpoints),
            events: rows(&world.events),
            deliveries: world.deliveries.iter().map(|(_, d)| d.clone()).collect(),
            keys: keys.clone(),
        }
    }

    fn restore(self, world: &mut World, keys: &mut Keys) {
        for session in self.sessions.iter().filter(|s| s.status == SessionStatus::Open) {
            world.remind(session.expires_at, &session.id);
        }
        let settlements = self.intents.iter().filter_map(|i| i.settles.map(|s| (s.at, i.id.clone())));
        let refunded = self.refunds.iter().filter_map(|r| r.settles.map(|s| (s.at, r.id.clone())));
        for (at, id) in settlements.chain(refunded).collect::<Vec<_>>() {
            world.remind(at, &id);
        }
        world.events_made = self.events_made;
        self.sessions.into_iter().for_each(|row| world.sessions.insert(row));
        self.intents.into_iter().for_each(|row| world.intents.insert(row));
        self.charges.into_iter().for_each(|row| world.charges.insert(row));
        self.refunds.into_iter().for_each(|row| world.refunds.insert(row));
        self.disputes.into_iter().for_each(|row| world.disputes.insert(row));
        self.methods.into_iter().for_each(|row| world.methods.insert(row));
        self.transactions.into_iter().for_each(|row| world.transactions.insert(row));
        self.customers.into_iter().for_each(|row| world.customers.insert(row));
        self.products.into_iter().for_each(|row| world.products.insert(row));
        self.prices.into_iter().for_each(|row| world.prices.insert(row));
        self.endpoints.into_iter().for_each(|row| world.endpoints.insert(row));
        self.events.into_iter().for_each(|row| world.events.insert(row));
        for delivery in self.deliveries {
            world.deliveries.push(delivery);
        }
        *keys = self.keys;
        keys.drop_unfinished();
    }
}

/// Reads the file into a new world. A file that is not there is an empty state.
///
/// # Errors
/// The file cannot be read or is not ours: better no start than a lost state.
pub async fn load(file: &Path, world: &mut World, keys: &mut Keys) -> io::Result<()> {
    let text = match tokio::fs::read(file).await {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let named =
        |why: String| io::Error::new(io::ErrorKind::InvalidData, format!("{}: {why}", file.display()));
    let snapshot: Snapshot = serde_json::from_slice(&text).map_err(|error| {
        named(format!("not a state of the simulator ({error}); move it away to start anew"))
    })?;
    if snapshot.layout != LAYOUT {
        return Err(named(format!("layout {} is not {LAYOUT}; move it away to start anew", snapshot.layout)));
    }
    snapshot.restore(world, keys);
    Ok(())
}

/// Writes the state after changes, until told to stop; then once more.
pub async fn keep(shared: Arc<Shared>, file: PathBuf, mut stop: watch::Receiver<bool>) {
    let mut version = shared.version.subscribe();
    let mut pause = PAUSE;
    loop {
        let stopping = tokio::select! {
            changed = version.changed() => changed.is_err(),
            () = stopped(&mut stop) => true,
        };
        if !stopping {
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = stopped(&mut stop) => {}
            }
        }
        let began = tokio::time::Instant::now();
        version.mark_unchanged();
        let snapshot = shared.read(|world| Snapshot::of(world, &lock(&shared.keys)));
        let target = file.clone();
        let written = tokio::task::spawn_blocking(move || write(&target, &snapshot)).await;
        if let Ok(Err(error)) = written {
            tracing::error!(
                module = "simulator",
                action = "simulator.save_failed",
                %error,
                "the simulator's state was not written"
            );
        }
        if stopping {
            return;
        }
        // A large state takes long to write: most of the time is left for other work.
        pause = PAUSE.max(began.elapsed() * 5);
    }
}

fn write(file: &Path, snapshot: &Snapshot) -> io::Result<()> {
    if let Some(folder) = file.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder)?;
    }
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let temporary = file.with_file_name(name);
    let text = serde_json::to_vec(snapshot).map_err(io::Error::other)?;
    let mut out = private(&temporary)?;
    out.write_all(&text)?;
    out.sync_all()?;
    std::fs::rename(&temporary, file)?;
    // The rename itself must reach the disk, too; not every file system lets a folder be synced.
    if let Some(folder) = file.parent().filter(|folder| !folder.as_os_str().is_empty())
        && let Ok(folder) = std::fs::File::open(folder)
    {
        let _ = folder.sync_all();
    }
    Ok(())
}

/// A file that only its owner reads: it holds signing secrets.
fn private(file: &Path) -> io::Result<std::fs::File> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(file)
}
