//! `doctor`: checks everything and says what to do.

use super::open::{self, NoDatabase};
use super::{print, simulator};
use crate::app::App;
use crate::config::Config;
use crate::flow::doctor::{self, Finding, Health};
use crate::flow::invariants::Scope;
use clock::Clock;
use secrecy::ExposeSecret;
use std::fmt::Write;
use std::process::ExitCode;
use store::{Store, StoreError};

/// How it is used.
pub const EXAMPLE: &str = "Examples:\n  checkout-backend doctor\n  checkout-backend doctor --full\n  checkout-backend doctor --json\n  checkout-backend doctor --fix";

/// The arguments of `doctor`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print the findings as JSON
    #[arg(long)]
    json: bool,
    /// Judge every booking and ledger row, not only what is recent
    #[arg(long)]
    full: bool,
    /// Mend what is safe: an endpoint of ours that gets too little, a cursor that cannot be right
    #[arg(long)]
    fix: bool,
}

/// Prints every finding; exit 1 if something does not work.
///
/// # Errors
/// What keeps even the checking from being done.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let no_database = |message: String, fix: &str| {
        vec![Finding { check: "database", status: Health::Fail, message, fix: Some(fix.to_owned()) }]
    };
    let findings = match open::config() {
        Ok(config) => match open::app(where_it_listens(config.clone())).await {
            Ok(app) => {
                if args.fix {
                    mend(&app).await;
                }
                if args.full {
                    doctor::examine_in(&app, Scope::Full).await
                } else {
                    doctor::examine(&app).await
                }
            }
            Err(error) => match error.downcast_ref::<StoreError>() {
                // All else is looked at.
                Some(why) => {
                    let clock = Clock::system();
                    let stripe = open::stripe(&config)?;
                    let outside = doctor::Outside { config: &config, stripe: &stripe, clock: &clock };
                    let place = Store::open(config.database_url.expose_secret())
                        .map_or_else(|_| "the database".to_owned(), |store| store.place());
                    doctor::examine_without_database(outside, &place, why).await
                }
                None => no_database(format!("{error:#}"), "checkout-backend migrate status"),
            },
        },
        Err(error) => match error.downcast_ref::<NoDatabase>() {
            Some(missing) => no_database(
                missing.to_string(),
                "go where the service runs, or give this command its settings: see docs/OPERATIONS.md",
            ),
            None => return Err(error),
        },
    };
    let failed = findings.iter().any(|finding| finding.status == Health::Fail);
    let text = if args.json {
        format!(
            "{}\n",
            serde_json::to_string_pretty(&serde_json::json!({ "ok": !failed, "findings": findings }))?
        )
    } else {
        lines(&findings)
    };
    print(text.as_bytes())?;
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// What cannot be mended is found again below.
async fn mend(app: &App) {
    match doctor::fix(app).await {
        Ok(done) if done.is_empty() => eprintln!("Nothing that is safe to mend was found."),
        Ok(done) => done.iter().for_each(|done| eprintln!("Mended: {done}.")),
        Err(error) => eprintln!("checkout-backend: could not mend: {error:#}"),
    }
}

/// The service may have been told another port than this command: then it is the service's that helps.
fn where_it_listens(mut config: Config) -> Config {
    if let Some(port) = simulator::service_port(&config.data_dir) {
        config.listening_on(port);
    }
    config
}

fn lines(findings: &[Finding]) -> String {
    let mut text = String::new();
    for finding in findings {
        let status = match finding.status {
            Health::Ok => "ok  ",
            Health::Warn => "warn",
            Health::Fail => "FAIL",
        };
        let _ = writeln!(text, "{status}  {:<15}{}", finding.check, finding.message);
        if let Some(fix) = &finding.fix {
            let _ = writeln!(text, "      {:<15}-> {fix}", "");
        }
    }
    text
}
