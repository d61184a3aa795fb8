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

/// What can become of a session that is there.
const ACTS: [&str; 5] = ["paid", "failed", "expired", "refunded", "disputed"];

/// What to make happen.
#[derive(Debug, clap::Args)]
pub struct TriggerArgs {
    /// The kind of event, as Stripe names it; without it, all known ones are listed. With --session or --booking
    /// what becomes of that one: paid, failed, expired, refunded or disputed.
    event: Option<String>,
    /// Acts on this checkout session, which is there, instead of making one.
    #[arg(long, value_name = "ID", conflicts_with_all = ["booking", "overrides"])]
    session: Option<String>,
    /// Acts on the newest checkout session with this client_reference_id.
    #[arg(long, value_name = "ID", conflicts_with = "overrides")]
    booking: Option<String>,
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
            if self.session.is_some() || self.booking.is_some() {
                eprintln!("Say what becomes of it: {}", ACTS.join(", "));
                return Ok(Some(ExitCode::from(MISUSE)));
            }
            return print(format!("{}\n", TRIGGERS.join("\n")).as_bytes()).map(Some);
        };
        if self.session.is_some() || self.booking.is_some() {
            if ACTS.contains(&event.as_str()) {
                return Ok(None);
            }
            eprintln!("A session or booking can become: {}", ACTS.join(", "));
            return Ok(Some(ExitCode::from(MISUSE)));
        }
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
    let (control, body) = match (args.session, args.booking) {
        (None, None) => ("trigger", json!({ "event": event, "overrides": args.overrides })),
        (Some(session), _) => ("act", json!({ "session": session, "what": event })),
        (None, Some(booking)) => ("act", json!({ "booking": booking, "what": event })),
    };
    let address = format!("http://127.0.0.1:{port}/_sim/{control}");
    let body = body.to_string().into_bytes();
    let client = HttpClient::new(PATIENCE)?;
    let answer = client
        .send(Method::Post, &address, &[("content-type", "application/json")], body)
        .await
        .with_context(|| format!("no simulated Stripe answers on port {port}; is the service running?"))?;
    let answered: Value = serde_json::from_slice(&answer.body)
        .with_context(|| format!("what answers on port {port} is no simulated Stripe"))?;
    if !answer.is_success() {
        eprintln!("{}", answered["error"].as_str().unwrap_or("The simulator refused."));
        // What is not there, or is in another state, is no misuse of the command.
        let misuse = !matches!(answer.status, 404 | 409);
        return Ok(if misuse { ExitCode::from(MISUSE) } else { ExitCode::FAILURE });
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
            lines.push_str(&format!("{kind} {id} {outcome} {}", text(&delivery["url"])));
            // What the endpoint answered says more than its status.
            let answer = text(&delivery["answer"]);
            let said: String =
                answer.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(200).collect();
            if !said.is_empty() {
                lines.push(' ');
                lines.push_str(&said);
            }
            lines.push('\n');
        }
    }
    if !delivered {
        eprintln!("The event happened, but no endpoint is configured to receive it.");
    }
    print(lines.as_bytes())?;
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
