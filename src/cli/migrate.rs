//! `migrate status`, `migrate deploy`.

use super::{open, serve};
use crate::config::Config;
use clap::Subcommand;
use clock::Clock;
use secrecy::ExposeSecret;
use std::process::ExitCode;
use store::{SchemaState, Store, StoreError};

/// The arguments of `migrate`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Print every migration and whether it has been applied; exit 1 if any is missing
    #[command(after_help = "Example:\n  checkout-backend migrate status")]
    Status,
    /// Apply what is missing; safe to repeat, and when several instances start together
    #[command(after_help = "Example:\n  checkout-backend migrate deploy")]
    Deploy,
}

/// Runs `migrate`.
///
/// # Errors
/// What the database says.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let config = match args.action {
        Action::Status => open::config()?,
        Action::Deploy => Config::from_env()?,
    };
    let store = Store::open(config.database_url.expose_secret())?;
    let code = match args.action {
        Action::Status => {
            let mut text = String::new();
            for migration in store.migration_status().await? {
                let state = if migration.applied { "applied" } else { "pending" };
                text.push_str(&format!("{:04}  {state}  {}\n", migration.version, migration.name));
            }
            super::print(text.as_bytes())?;
            match store.ready().await {
                Ok(SchemaState::Current) => ExitCode::SUCCESS,
                Ok(SchemaState::NewerAdded { found, known }) => {
                    eprintln!(
                        "checkout-backend: a newer program has added to the schema (version {found}, this program's is \
                         {known}); this one can go on"
                    );
                    ExitCode::SUCCESS
                }
                Err(error @ (StoreError::Newer { .. } | StoreError::NotMigrated)) => {
                    eprintln!("checkout-backend: {error}");
                    ExitCode::FAILURE
                }
                Err(error) => return Err(error.into()),
            }
        }
        Action::Deploy => {
            let applied = serve::migrate(&store, &Clock::system()).await?;
            for migration in &applied {
                eprintln!("Applied {:04} {}.", migration.version, migration.name);
            }
            eprintln!("The database's schema is up to date.");
            ExitCode::SUCCESS
        }
    };
    store.close().await;
    Ok(code)
}
