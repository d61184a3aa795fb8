//! `gdpr export`, `gdpr erase`: what is kept about a person, and forgetting it.

use super::{open, print};
use crate::config::Config;
use crate::flow::accounts::Actor;
use crate::flow::privacy;
use clap::Subcommand;
use domain::booking::is_email;
use std::process::ExitCode;

/// How it is used.
pub const EXAMPLES: &str = "Examples:
  checkout-backend gdpr export --email ada@example.org > ada.json
  checkout-backend gdpr erase --email ada@example.org";

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Args {
    /// Print everything that is kept about a person, as JSON
    #[command(after_help = "Example:\n  checkout-backend gdpr export --email ada@example.org > ada.json")]
    Export {
        /// The person's e-mail address
        #[arg(long, value_parser = whole_address)]
        email: String,
    },
    /// Forget a person; what was paid stays, without a name
    #[command(after_help = "Example:\n  checkout-backend gdpr erase --email ada@example.org")]
    Erase {
        /// The person's e-mail address
        #[arg(long, value_parser = whole_address)]
        email: String,
    },
}

/// A part of an address would stand in what other people sent.
fn whole_address(text: &str) -> Result<String, &'static str> {
    let text = text.trim();
    is_email(text).then(|| text.to_owned()).ok_or("must be an e-mail address such as name@example.org")
}

/// Runs one of the commands. Exit 1 if bookings had to be left because their payment is open.
///
/// # Errors
/// What the database says.
pub async fn run(args: Args, config: Config) -> anyhow::Result<ExitCode> {
    let app = open::app(config).await?;
    match args {
        Args::Export { email } => {
            let export = privacy::export(&app.store, &email).await?;
            print(format!("{}\n", serde_json::to_string_pretty(&export)?).as_bytes())
        }
        Args::Erase { email } => {
            let erased = privacy::erase(&app.store, &app.clock, &email, Actor::CLI).await?;
            print(format!("{}\n", serde_json::to_string_pretty(&erased)?).as_bytes())?;
            if erased.still_open.is_empty() {
                return Ok(ExitCode::SUCCESS);
            }
            eprintln!(
                "{} bookings wait for their payment and were left. Cancel them, or try again when they have ended.",
                erased.still_open.len()
            );
            Ok(ExitCode::FAILURE)
        }
    }
}
