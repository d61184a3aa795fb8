//! `backup FILE`: the whole database in one file, while the service runs.

use super::{Misuse, open, transferred};
use crate::flow::backup::{self, BackupError};
use clap::ValueHint;
use clock::Clock;
use std::path::PathBuf;
use std::process::ExitCode;

/// How it is used.
pub const EXAMPLE: &str = "Example:\n  checkout-backend backup /var/backups/checkout-2026-11-28.jsonl";

/// The arguments of `backup`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The file to make; it must not be there yet, and only its owner can read it
    #[arg(value_hint = ValueHint::FilePath)]
    file: PathBuf,
}

/// Makes the file. Exit 2 if it is there already.
///
/// # Errors
/// What the database or the disk says.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let store = open::existing()?;
    let taken = backup::take(&store, &args.file, Clock::system().now()).await;
    store.close().await;
    let report = match taken {
        Ok(report) => report,
        Err(error @ BackupError::Exists(_)) => return Err(Misuse(error.to_string()).into()),
        Err(error) => return Err(error.into()),
    };
    eprintln!("The backup is in {}: {}.", args.file.display(), transferred::in_words(&report));
    // It is a true copy all the same, and what is wrong is wrong in the database.
    transferred::tell_violations(&report);
    transferred::print(&report)?;
    Ok(ExitCode::SUCCESS)
}
