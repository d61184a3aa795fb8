//! `migrate-db --from URL --to URL`: from SQLite to PostgreSQL, or back.

use super::{Misuse, open, transferred};
use crate::flow::transfer;
use clock::Clock;
use std::process::ExitCode;
use store::Store;

/// How it is used.
pub const EXAMPLE: &str = "Examples:\n  checkout-backend migrate-db --from sqlite://data/checkout.db \
                           --to postgres://checkout:password@db/checkout\n  checkout-backend migrate-db \
                           --from postgres://checkout:password@db/checkout --to sqlite://data/checkout.db";

/// The arguments of `migrate-db`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The database to copy: sqlite://… or postgres://…; no service may be running on it
    #[arg(long, value_name = "URL")]
    from: String,
    /// The database to fill: an empty one, or one that holds the same already
    #[arg(long, value_name = "URL")]
    to: String,
}

/// Copies and compares. Exit 1 if anything differs.
///
/// # Errors
/// What the databases say.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Args { from, to } = args;
    if from == to {
        return Err(Misuse("--from and --to are the same database".to_owned()).into());
    }
    if let Some(path) = Store::missing_file(&from) {
        return Err(Misuse(format!("--from: there is no database at {}", path.display())).into());
    }
    let open = |name: &str, url: &str| {
        Store::open(url).map_err(|error| anyhow::Error::from(Misuse(format!("{name}: {error}"))))
    };
    let (source, target) = (open("--from", &from)?, open("--to", &to)?);
    if source.place() == target.place() {
        return Err(Misuse("--from and --to are the same database".to_owned()).into());
    }
    // What was booked on the one after its rows were read would be missing in the other.
    let _locks = (open::only_one(&source)?, open::only_one(&target)?);
    for store in [&source, &target] {
        open::nobody_connected(store).await?;
    }
    if target.schema_version().await? < Store::newest_schema() {
        target.migrate(Clock::system().now()).await?;
    }
    let copied = transfer::copy(&source, &target).await;
    let (from, to) = (source.place(), target.place());
    source.close().await;
    target.close().await;
    let report = copied?;
    let words = transferred::in_words(&report);
    if report.unchanged {
        eprintln!("{to} holds what {from} holds already, nothing was changed: {words}.");
    } else {
        eprintln!(
            "{to} holds what {from} holds, counted and compared row by row: {words}.\n\
             Next: set DATABASE_URL to it, and start the service."
        );
    }
    transferred::tell_violations(&report);
    transferred::print(&report)?;
    Ok(if report.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
