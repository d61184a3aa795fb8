//! `trigger`: makes an event happen in the simulated Stripe, which delivers it to the running service.

use super::simulator::{self, Noted};
use super::{MISUSE, print};
use crate::config::Place;
use crate::http_client::{HttpClient, Method};
use crate::stripe::sim::TRIGGERS;
use anyhow::Context;
use serde_json::{Value, json};
use std::process::ExitCode;
use std::time::Duration;

/// The delivery's own limit is ten seconds; the answer comes after it.
const PATIENCE: Duration = Duration::from_secs(30);

/// How it is used.
pub const EXAMPLE: &str = "Examples:\n  checkout-backend trigger\n  checkout-backend trigger checkout.session.completed \\\n    --override checkout_session:client_reference_id=b_1";

/// Sends a signed event of that kind to the running service (simulated Stripe only).
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The kind of event, as Stripe names it; without it, all known ones are listed.
    event: Option<String>,
    /// Changes what is made underneath: path=value or resource:path=value; may be given several times.
    #[arg(long = "override", value_name = "PATH=VALUE")]
    overrides: Vec<String>,
    /// Where the simulated Stripe listens; without it, that of the service which runs in this folder, else 12111.
    #[arg(long, env = "SIMULATOR_PORT")]
    port: Option<u16>,
}

/// Triggers the event and says what became of each delivery: one line per event and endpoint on stdout.
///
/// # Errors
/// The simulator cannot be reached.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Some(event) = args.event else {
        return print(format!("{}\n", TRIGGERS.join("\n")).as_bytes());
    };
    if !TRIGGERS.contains(&event.as_str()) {
        eprintln!("Unknown event {event}. Known are:\n  {}", TRIGGERS.join("\n  "));
        return Ok(ExitCode::from(MISUSE));
    }
    let port = match args.port.filter(|port| *port != 0) {
        Some(port) => port,
        None => match simulator::look(&Place::from_env()?.data_dir) {
            Noted::Runs(port) => port,
            Noted::Never => simulator::USUAL_PORT,
            Noted::Stopped => anyhow::bail!(simulator::NOT_RUNNING),
        },
    };
    let address = format!("http://127.0.0.1:{port}/_sim/trigger");
    let body = json!({ "event": event, "overrides": args.overrides }).to_string().into_bytes();
    let client = HttpClient::new(PATIENCE)?;
    let answer = client
        .send(Method::Post, &address, &[("content-type", "application/json")], body)
        .await
        .with_context(|| format!("no simulated Stripe answers on port {port}; is the service running?"))?;
    let answered: Value = serde_json::from_slice(&answer.body)
        .with_context(|| format!("what answers on port {port} is no simulated Stripe"))?;
    if !answer.is_success() {
        eprintln!("{}", answered["error"].as_str().unwrap_or("The simulator refused."));
        return Ok(ExitCode::from(MISUSE));
    }
    report(&answered)
}

fn report(answered: &Value) -> anyhow::Result<ExitCode> {
    let mut lines = String::new();
    let mut failed = false;
    let mut delivered = false;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    for event in answered["events"].as_array().into_iter().flatten() {
        let (id, kind) = (text(&event["id"]), text(&event["type"]));
        for delivery in event["deliveries"].as_array().into_iter().flatten() {
            delivered = true;
            failed |= delivery["state"] != "succeeded";
            let outcome = match delivery["status"].as_u64() {
                Some(status) => status.to_string(),
                None => text(&delivery["error"]),
            };
            lines.push_str(&format!("{kind} {id} {outcome} {}\n", text(&delivery["url"])));
        }
    }
    if !delivered {
        eprintln!("The event happened, but no endpoint is configured to receive it.");
    }
    print(lines.as_bytes())?;
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
