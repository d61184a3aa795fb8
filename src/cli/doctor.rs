//! `doctor`: checks everything and says what to do.

use super::open::{self, NoDatabase};
use super::{print, simulator};
use crate::config::Config;
use crate::flow::doctor::{self, Finding, Health};
use std::fmt::Write;
use std::process::ExitCode;

/// How it is used.
pub const EXAMPLE: &str = "Examples:\n  checkout-backend doctor\n  checkout-backend doctor --json";

/// The arguments of `doctor`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print the findings as JSON
    #[arg(long)]
    json: bool,
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
        Ok(config) => match open::app(where_it_listens(config)).await {
            Ok(app) => doctor::examine(&app).await,
            Err(error) => {
                no_database(format!("{error:#}"), "start the database; then: checkout-backend migrate deploy")
            }
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
