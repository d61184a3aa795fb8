//! `reconcile`: asks Stripe for what was missed and applies it.

use super::{open, print};
use crate::config::Config;
use crate::flow::reconcile::{self, Options, Report};
use std::fmt::Write;
use std::process::ExitCode;
use std::time::Duration;

/// How it is used.
pub const EXAMPLE: &str =
    "Examples:\n  checkout-backend reconcile --since 72h\n  checkout-backend reconcile --dry-run";

/// The arguments of `reconcile`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// How far back, as 90m, 72h or 30d; without it, to the oldest thing that is not settled
    #[arg(long, value_parser = duration)]
    since: Option<Duration>,
    /// Change nothing; say what would change
    #[arg(long)]
    dry_run: bool,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "give a number and m, h or d, as in 72h".to_owned();
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(wrong)?;
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let seconds = match unit {
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err(wrong()),
    };
    number
        .checked_mul(seconds)
        .filter(|n| *n > 0 && *n <= 3650 * 86_400)
        .map(Duration::from_secs)
        .ok_or_else(wrong)
}

/// Runs once and prints what was healed. Exit 1 if something could not be read.
///
/// # Errors
/// What the database says.
pub async fn run(args: Args, config: Config) -> anyhow::Result<ExitCode> {
    let app = open::app(config).await?;
    let since = args.since.map(|since| app.clock.now().minus(since));
    let options = Options { since, dry_run: args.dry_run, ..Options::default() };
    let report = reconcile::run(&app, options).await?;
    let text =
        if args.json { format!("{}\n", serde_json::to_string_pretty(&report)?) } else { lines(&report) };
    print(text.as_bytes())?;
    for failure in &report.failures {
        eprintln!("Could not be read: {failure}");
    }
    Ok(if report.failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn lines(report: &Report) -> String {
    let mut text = String::new();
    for difference in &report.healed {
        let booking = difference.booking_id.map_or_else(|| "-".to_owned(), |id| id.to_string());
        let change = match (difference.before, difference.after) {
            (Some(before), Some(after)) => format!("{before} -> {after}  "),
            _ => String::new(),
        };
        let _ = writeln!(text, "{booking}  {}  {change}{}", difference.kind, difference.message);
    }
    let verb = if report.dry_run { "would heal" } else { "healed" };
    let _ = writeln!(
        text,
        "read {} events and {} objects; {verb} {}; {} still differ",
        report.events, report.objects, report.healed_count, report.remaining
    );
    text
}
