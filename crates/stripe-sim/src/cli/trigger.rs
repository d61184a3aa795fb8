//! Making an event happen in a simulated Stripe that runs already.

use super::{MISUSE, print};
use crate::TRIGGERS;
use anyhow::Context;
use http_client::{HttpClient, Method};
use serde_json::{Value, json};
use std::process::ExitCode;
use std::time::Duration;

/// The delivery's own limit is ten seconds; the answer comes after it.
const PATIENCE: Duration = Duration::from_secs(30);

/// What to make happen.
#[derive(Debug, clap::Args)]
pub struct TriggerArgs {
    /// The kind of event, as Stripe names it; without it, all known ones are listed.
    event: Option<String>,
    /// Changes what is made underneath: path=value or resource:path=value; may be given several times.
    #[arg(long = "override", value_name = "PATH=VALUE")]
    overrides: Vec<String>,
}

impl TriggerArgs {
    /// What needs no simulator: the list of kinds, and a kind that is not known.
    ///
    /// # Errors
    /// What writing to standard output says.
    pub fn answer_alone(&self) -> anyhow::Result<Option<ExitCode>> {
        let Some(event) = &self.event else {
            return print(format!("{}\n", TRIGGERS.join("\n")).as_bytes()).map(Some);
        };
        if !TRIGGERS.contains(&event.as_str()) {
            eprintln!("Unknown event {event}. Known are:\n  {}", TRIGGERS.join("\n  "));
            return Ok(Some(ExitCode::from(MISUSE)));
        }
        Ok(None)
    }
}

/// Triggers the event at the simulator on `port` and says what became of each delivery: one line per event and
/// endpoint on stdout.
///
/// # Errors
/// The simulator cannot be reached.
pub async fn trigger(args: TriggerArgs, port: u16) -> anyhow::Result<ExitCode> {
    if let Some(done) = args.answer_alone()? {
        return Ok(done);
    }
    let event = args.event.unwrap_or_default();
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
