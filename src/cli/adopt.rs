//! `adopt`: the database is at home here from now on.

use super::open;
use crate::config::Config;
use crate::flow::home;
use std::process::ExitCode;

/// How it is used.
pub const EXAMPLE: &str = "Examples:\n  checkout-backend adopt\n  checkout-backend adopt --discard";

/// The arguments of `adopt`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Forget the mails and notifications that wait in it: it is a copy, and others tell them
    #[arg(long)]
    discard: bool,
}

/// Makes this place the database's home.
///
/// # Errors
/// What the database says.
pub async fn run(args: Args, config: Config) -> anyhow::Result<ExitCode> {
    let app = open::app(config).await?;
    let discarded = home::adopt(&app, args.discard).await?;
    let here = home::here(&app.config);
    let money = if here.live { "live" } else { "test" };
    let address = here.address;
    eprintln!("The database is at home at {address} ({money}): mails and notifications leave from here.");
    if args.discard {
        eprintln!("{discarded} that waited were discarded.");
    }
    app.store.close().await;
    Ok(ExitCode::SUCCESS)
}
