//! Where the simulated Stripe of this folder's service listens. `serve` notes its port beside the data and the
//! commands read it there: at the usual port there may be another project's.

use crate::config::Config;
use anyhow::Context;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Seek, Write};
use std::path::Path;
use std::time::Duration;

/// What a command says that needs it in vain.
pub(super) const NOT_RUNNING: &str =
    "the simulated Stripe of this folder does not run: start `checkout-backend serve` here first";

/// In the data folder. Locked as long as the port in it is right, so that a crash leaves nothing wrong behind.
const FILE: &str = "simulator.port";
/// The same of the service itself.
const SERVICE: &str = "service.port";

/// What a data folder says about its simulated Stripe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Noted {
    /// It listens here.
    Runs(u16),
    /// It ran here and does not now.
    Stopped,
    /// It never ran here.
    Never,
}

/// Notes the port until the file that is returned is dropped.
///
/// # Errors
/// The folder cannot be written, or another service has its simulated Stripe here.
pub(super) async fn note(data_dir: &Path, port: u16) -> anyhow::Result<File> {
    note_in(&data_dir.join(FILE), port, 20).await
}

/// Notes the port of the service itself.
///
/// # Errors
/// As [`note`].
pub(super) async fn note_service(data_dir: &Path, port: u16) -> anyhow::Result<File> {
    note_in(&data_dir.join(SERVICE), port, 0).await
}

/// The port of the service that runs in this folder, if one does.
#[must_use]
pub(super) fn service_port(data_dir: &Path) -> Option<u16> {
    match look_in(&data_dir.join(SERVICE)) {
        Noted::Runs(port) => Some(port),
        Noted::Stopped | Noted::Never => None,
    }
}

async fn note_in(path: &Path, port: u16, mut tries: u32) -> anyhow::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    let mut file = options.open(path).with_context(|| format!("cannot write {}", path.display()))?;
    while let Err(error) = file.try_lock() {
        match error {
            // A command that looks at it holds it for a moment.
            TryLockError::WouldBlock if tries > 0 => tries -= 1,
            error => return Err(error).with_context(|| format!("cannot lock {}", path.display())),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    file.set_len(0)?;
    file.rewind()?;
    write!(file, "{port}")?;
    Ok(file)
}

/// Reads what is noted.
#[must_use]
pub(super) fn look(data_dir: &Path) -> Noted {
    look_in(&data_dir.join(FILE))
}

fn look_in(path: &Path) -> Noted {
    let Ok(file) = File::open(path) else { return Noted::Never };
    if file.try_lock_shared().is_ok() {
        return Noted::Stopped;
    }
    let port = std::fs::read_to_string(path).ok().and_then(|text| text.parse().ok());
    port.map_or(Noted::Stopped, Noted::Runs)
}

/// The port of the simulated Stripe that belongs to this database; none if it does not run.
#[must_use]
pub(super) fn port(config: &Config) -> Option<u16> {
    match look(&config.data_dir) {
        Noted::Runs(port) => Some(port),
        Noted::Stopped | Noted::Never => config.simulator_port.filter(|port| *port != 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_port_is_known_as_long_as_whoever_noted_it_runs() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(look(folder.path()), Noted::Never);
        let held = note(folder.path(), 40123).await.unwrap();
        assert_eq!(look(folder.path()), Noted::Runs(40123));
        drop(held);
        assert_eq!(look(folder.path()), Noted::Stopped);
        let _held = note(folder.path(), 81).await.unwrap();
        assert_eq!(look(folder.path()), Noted::Runs(81), "nothing of the longer number is left");
    }
}
