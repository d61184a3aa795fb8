//! `restore FILE`: a backup into an empty database, of either engine.

use super::{Misuse, open, transferred};
use crate::flow::backup::{self, BackupError};
use crate::flow::transfer::TransferError;
use clap::ValueHint;
use clock::Clock;
use std::path::PathBuf;
use std::process::ExitCode;

/// How it is used.
pub const EXAMPLE: &str = "Examples:\n  checkout-backend restore /var/backups/checkout-2026-11-28.jsonl\n  \
                           checkout-backend restore --replace /var/backups/checkout-2026-11-28.jsonl";

/// The arguments of `restore`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The backup
    #[arg(value_hint = ValueHint::FilePath)]
    file: PathBuf,
    /// Erase what the database of DATABASE_URL holds, and put the backup in its place
    #[arg(long)]
    replace: bool,
}

/// Restores. Exit 1 if the database is not empty or the copy differs, 2 if the file is no usable backup.
///
/// # Errors
/// What the database or the disk says.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let checked = match backup::check(&args.file) {
        Ok(checked) => checked,
        Err(error @ (BackupError::Unusable { .. } | BackupError::File { .. })) => {
            return Err(Misuse(error.to_string()).into());
        }
        Err(error) => return Err(error.into()),
    };
    let store = open::store()?;
    let _lock = open::only_one(&store)?;
    open::nobody_connected(&store).await?;
    let restored = backup::restore(&store, &checked, args.replace, Clock::system().now()).await;
    let place = store.place();
    store.close().await;
    let report = match restored {
        Ok(report) => report,
        Err(error @ BackupError::Transfer(TransferError::NotEmpty { .. })) => {
            anyhow::bail!("{error}. To erase it and put the backup in its place, add --replace");
        }
        Err(error) => return Err(error.into()),
    };
    let words = transferred::in_words(&report);
    if report.unchanged {
        eprintln!("{place} holds this backup already, nothing was changed: {words}.");
    } else {
        eprintln!("{place} holds the backup of {}: {words}.", checked.taken_at());
        eprintln!(
            "Nothing is sold until Stripe has been asked about everything since.\n\
             Next: start the service; then: checkout-backend reconcile"
        );
    }
    transferred::tell_violations(&report);
    transferred::print(&report)?;
    Ok(if report.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
