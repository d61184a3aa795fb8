//! `reconcile`: asks Stripe for what was missed and applies it.

use super::{open, print, simulator};
use crate::config::Config;
use crate::flow::reconcile::{self, Difference, Options, Report};
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
    if config.simulated() && simulator::port(&config).is_none() {
        anyhow::bail!(simulator::NOT_RUNNING);
    }
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
    if !report.failures.is_empty() {
        eprintln!("Next: checkout-backend doctor, then this command again.");
    }
    if report.dry_run && report.healed_count + report.remaining > 0 {
        eprintln!("Next: checkout-backend reconcile");
    } else if let Some(waiting) = report.waiting.first() {
        eprintln!(
            "What still differs is tried again by the running service; an event that is parked becomes a case after \
             an hour.\nNext: checkout-backend events show {}",
            waiting.event_key
        );
    }
    Ok(if report.failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn lines(report: &Report) -> String {
    let mut text = String::new();
    let booking =
        |difference: &Difference| difference.booking_id.map_or_else(|| "-".to_owned(), |id| id.to_string());
    for booking in &report.made_again {
        let _ = writeln!(text, "{booking}  made again of what its session at Stripe remembers");
    }
    for difference in &report.healed {
        let change = match (difference.before, difference.after) {
            (Some(before), Some(after)) => format!("{before} -> {after}  "),
            _ => String::new(),
        };
        let _ =
            writeln!(text, "{}  {}  {change}{}", booking(difference), difference.kind, difference.message);
    }
    for difference in &report.waiting {
        let Difference { event_key, kind, outcome, message, .. } = difference;
        let _ = writeln!(text, "{}  {kind}  {outcome}: {event_key}  {message}", booking(difference));
    }
    let verb = if report.dry_run { "would heal" } else { "healed" };
    let _ = writeln!(
        text,
        "read {} events and {} objects; {verb} {}; {} still differ",
        report.events, report.objects, report.healed_count, report.remaining
    );
    text
}
