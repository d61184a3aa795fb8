//! `events list`, `show`, `replay`, `redeliver`: the ledger.

use super::{open, print};
use crate::config::Config;
use crate::flow::accounts::Actor;
use crate::flow::replay::{self, Replayed};
use clap::Subcommand;
use domain::ids::BookingId;
use domain::lang::Lang;
use domain::payment::Outcome;
use std::fmt::Write;
use std::process::ExitCode;
use store::ledger::{Entry, LedgerFilter};
use store::page::PageRequest;

/// How it is used.
pub const EXAMPLES: &str = "Examples:
  checkout-backend events list --outcome parked
  checkout-backend events show evt_1QJxVb2eZvKYlo2C
  checkout-backend events replay evt_1QJxVb2eZvKYlo2C --dry-run
  checkout-backend events redeliver";

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Args {
    /// Print the ledger, newest first: when, outcome, kind, event, booking
    #[command(after_help = "Example:\n  checkout-backend events list --outcome parked --limit 10")]
    List {
        /// Only with this outcome, as processed, duplicate, ignored, parked, case, rejected
        #[arg(long, value_parser = outcome)]
        outcome: Option<Outcome>,
        /// Only of this kind, as checkout.session.completed
        #[arg(long = "type")]
        kind: Option<String>,
        /// Only of this booking
        #[arg(long, value_parser = booking)]
        booking: Option<BookingId>,
        /// How many, from 1 to 100
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100))]
        limit: u32,
    },
    /// Print one row and why it is as it is
    #[command(after_help = "Example:\n  checkout-backend events show evt_1QJxVb2eZvKYlo2C --payload")]
    Show {
        /// The row's id, or Stripe's event id
        event: String,
        /// Also print what Stripe sent (personal data)
        #[arg(long)]
        payload: bool,
    },
    /// Apply a ledger entry again; it can only add what is missing
    #[command(after_help = "Example:\n  checkout-backend events replay evt_1QJxVb2eZvKYlo2C --dry-run")]
    Replay {
        /// The row's id, or Stripe's event id
        event: String,
        /// Change nothing; say what would change
        #[arg(long)]
        dry_run: bool,
    },
    /// Try notifications and mails again that were given up
    #[command(after_help = "Example:\n  checkout-backend events redeliver")]
    Redeliver,
}

fn outcome(text: &str) -> Result<Outcome, String> {
    Outcome::parse(text)
        .ok_or_else(|| "give processed, duplicate, ignored, parked, case or rejected".to_owned())
}

fn booking(text: &str) -> Result<BookingId, String> {
    BookingId::parse(text).map_err(|_| "give a booking's id".to_owned())
}

/// Runs one of the commands.
///
/// # Errors
/// Whatever keeps it from being done.
pub async fn run(args: Args, config: Config) -> anyhow::Result<ExitCode> {
    let app = open::app(config).await?;
    match args {
        Args::List { outcome, kind, booking, limit } => {
            let filter = LedgerFilter { outcome, kind, booking, session: None };
            let mut tx = app.store.read().await?;
            let page = tx.list_entries(&filter, &PageRequest { limit, after: None }).await?;
            tx.rollback().await?;
            let mut text = String::new();
            for entry in &page.items {
                let booking = entry.booking_id.map_or_else(|| "-".to_owned(), |id| id.to_string());
                // A time ends where its digits do.
                let (at, outcome) = (entry.received_at.to_string(), entry.outcome.as_str());
                let _ =
                    writeln!(text, "{at:<27}  {outcome:<9}  {}  {}  {booking}", entry.kind, entry.event_key);
            }
            print(text.as_bytes())
        }
        Args::Show { event, payload } => {
            let mut tx = app.store.read().await?;
            let Some(entry) = tx.entry(&event).await? else { return unknown(&event) };
            let kept = if payload { tx.payload(entry.id).await? } else { None };
            tx.rollback().await?;
            let mut text = facts(&entry);
            if payload {
                let _ =
                    writeln!(text, "{}", kept.as_deref().unwrap_or("nothing is kept of what Stripe sent"));
            }
            print(text.as_bytes())
        }
        Args::Replay { event, dry_run } => {
            let replayed = if dry_run {
                replay::preview(&app, &event).await
            } else {
                replay::replay(&app, &event, Actor::CLI).await
            };
            match replayed {
                Ok(replayed) => print(changes(&replayed).as_bytes()),
                Err(replay::ReplayError::NotFound) => unknown(&event),
                Err(error) => Err(error.into()),
            }
        }
        Args::Redeliver => {
            let mut tx = app.store.begin().await?;
            let revived = tx.revive_deliveries(app.clock.now()).await?;
            tx.commit().await?;
            print(format!("{revived} are tried again by the running service\n").as_bytes())
        }
    }
}

fn unknown(event: &str) -> anyhow::Result<ExitCode> {
    eprintln!("The ledger has no event {event}.");
    Ok(ExitCode::FAILURE)
}

fn facts(entry: &Entry) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "{name:<12}{value}");
    };
    line("event", entry.event_key.clone());
    line("type", entry.kind.clone());
    line("source", entry.source.to_string());
    line("outcome", entry.outcome.as_str().to_owned());
    line("reason", entry.reason.map_or("", |reason| reason.sentence(Lang::En)).to_owned());
    line("booking", entry.booking_id.map_or_else(|| "-".to_owned(), |id| id.to_string()));
    line("session", entry.stripe_session_id.clone().unwrap_or_else(|| "-".to_owned()));
    line("deliveries", entry.deliveries.to_string());
    line("received", entry.received_at.to_string());
    line("processed", entry.processed_at.map_or_else(|| "-".to_owned(), |at| at.to_string()));
    line("next try", entry.next_try_at.map_or_else(|| "-".to_owned(), |at| at.to_string()));
    text
}

fn changes(replayed: &Replayed) -> String {
    let mut text = String::new();
    for change in &replayed.changes {
        let _ = writeln!(text, "{}: {} -> {}", change.member, change.before, change.after);
    }
    if replayed.changes.is_empty() {
        let _ = writeln!(text, "nothing {}", if replayed.dry_run { "would change" } else { "changed" });
    }
    let _ = writeln!(text, "{}: {}", replayed.outcome, replayed.message);
    text
}
