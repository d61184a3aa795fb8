//! `import node`: moving in from the original service.

use super::{Misuse, open, print};
use crate::config::Config;
use crate::flow::import::{self, ImportError, Options, Report};
use clap::Subcommand;
use domain::ids::OfferId;
use domain::money::{Currency, Money};
use std::process::ExitCode;
use store::{Store, StoreError};

/// How it is used.
pub const EXAMPLES: &str = "Examples:\n  checkout-backend import node --from postgres://shop:password@db/shop --dry-run\n  \
     checkout-backend import node --from postgres://shop:password@db/shop";

/// The arguments of `import`.
#[derive(Debug, Subcommand)]
pub enum Args {
    /// From the PostgreSQL database of the original service: "Booking", "PaymentEvent", "User"
    #[command(
        after_help = "Example:\n  checkout-backend import node --from postgres://shop:password@db/shop --dry-run"
    )]
    Node(Node),
}

/// The arguments of `import node`.
#[derive(Debug, clap::Args)]
pub struct Node {
    /// The original's DATABASE_URL; it is only read
    #[arg(long, value_name = "URL")]
    from: String,
    /// Change nothing; say what would be taken over
    #[arg(long)]
    dry_run: bool,
    /// The offer that its bookings are of; without it the first that is active
    #[arg(long, value_name = "ID", value_parser = |text: &str| OfferId::parse(text).map_err(|_| "give an offer's id"))]
    offer: Option<OfferId>,
    /// What a booking cost, in minor units, where the original does not say it; without it what the offer costs
    #[arg(long, value_name = "MINOR_UNITS", requires = "currency")]
    amount: Option<i64>,
    /// Of which currency
    #[arg(long, value_name = "CODE", requires = "amount")]
    currency: Option<String>,
}

/// Takes over. Exit 1 if anything could not be taken over as it is, 2 if the other database is not the original's.
///
/// # Errors
/// What the databases say.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Args::Node(Node { from, dry_run, offer, amount, currency }) = args;
    let price = match (amount, currency) {
        (Some(amount), Some(code)) => {
            let code = code.to_lowercase();
            let wrong = || Misuse(format!("--currency: {code} is no currency"));
            let currency = Currency::parse(&code).map_err(|_| wrong())?;
            let usable = amount >= 0;
            if !usable {
                return Err(
                    Misuse("--amount: give a number of minor units, 6000 for 60.00".to_owned()).into()
                );
            }
            Some(Money { amount, currency })
        }
        _ => None,
    };
    let config = Config::from_env()?;
    let store = {
        use secrecy::ExposeSecret;
        Store::open(config.database_url.expose_secret())?
    };
    store.migrate(clock::Clock::system().now()).await?;
    store.close().await;
    let app = open::app(config).await?;
    let options = Options { dry_run, offer, price };
    let imported = import::node(&app, &from, &options).await;
    let place = app.store.place();
    app.store.close().await;
    let report = match imported {
        Ok(report) => report,
        Err(error @ (ImportError::NotTheOriginal(_) | ImportError::Store(StoreError::NotCopied(_)))) => {
            return Err(Misuse(format!("--from: {error}")).into());
        }
        Err(error) => return Err(error.into()),
    };
    tell(&report, &place);
    print(format!("{}\n", serde_json::to_string_pretty(&report)?).as_bytes())?;
    Ok(if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn tell(report: &Report, place: &str) {
    let verb = if report.dry_run { "would be taken over into" } else { "taken over into" };
    eprintln!("{verb} {place}:");
    for (what, count) in
        [("bookings", &report.bookings), ("ledger entries", &report.ledger), ("accounts", &report.users)]
    {
        let import::Count { found, imported, already_here } = count;
        eprintln!("  {what}: {found} found, {imported} taken over, {already_here} here already");
    }
    for (status, count) in &report.by_status {
        eprintln!("    {status}: {count}");
    }
    for (currency, paid) in &report.paid {
        let here = report.paid_here.get(currency).cloned().unwrap_or_default();
        eprintln!(
            "  paid, in minor units of {currency}: {} by {} bookings there, {} by {} here",
            paid.amount, paid.bookings, here.amount, here.bookings
        );
    }
    for note in report.notes.iter().take(MAX_TOLD) {
        eprintln!("Note: {note}");
    }
    for import::Conflict { table, id, why } in report.conflicts.iter().take(MAX_TOLD) {
        eprintln!("Look at \"{table}\" {id}: {why}");
    }
    for list in [report.notes.len(), report.conflicts.len()] {
        if list > MAX_TOLD {
            eprintln!("… and {} more, on standard output", list - MAX_TOLD);
        }
    }
    for violation in &report.violations {
        eprintln!("Not true: {} ({}), of {}", violation.rule, violation.check, violation.rows.join(", "));
    }
    if report.dry_run {
        eprintln!("Nothing was changed. Next: the same without --dry-run");
    } else if report.is_clean() {
        eprintln!(
            "Everything is here as it was there. Next: checkout-backend reconcile, then docs/GOING-LIVE.md"
        );
    }
}

/// Lines of a kind on standard error; all are in the data.
const MAX_TOLD: usize = 50;
