//! The page for people at `/`: what happened, what waits, and the buttons most used.

use super::api::Request;
use super::deliveries::{self, DeliveryState};
use super::faults::{Faults, NAMES};
use super::form::{self, Branch, Node};
use super::html::{self, CSS, escape};
use super::model::{IntentStatus, SessionStatus};
use super::world::{Cause, World};
use super::{Shared, control, currency};
use axum::body::Body;
use axum::http::{Method, Response, StatusCode};
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Rows of each table.
const ROWS: usize = 25;

/// Answers `/` and the style sheet.
pub(crate) async fn handle(shared: &Arc<Shared>, request: &Request) -> Response<Body> {
    match (&request.method, request.path.as_str()) {
        (&Method::GET | &Method::HEAD, "/assets/sim.css") => {
            html::respond(StatusCode::OK, "text/css; charset=utf-8", CSS.to_owned())
        }
        (&Method::GET | &Method::HEAD, "/") => show(shared),
        (&Method::POST, "/") => act(shared, request),
        _ => html::text(StatusCode::NOT_FOUND, "Not found."),
    }
}

fn act(shared: &Arc<Shared>, request: &Request) -> Response<Body> {
    let mut sent = Branch::new();
    if let Ok(body) = &request.body {
        let _ = form::decode(body, &mut sent); // what cannot be read asks for nothing
    }
    let value = |name: &str| {
        sent.iter()
            .find_map(|(n, node)| match node {
                Node::Text(text) if n == name => Some(text.as_str()),
                _ => None,
            })
            .unwrap_or_default()
    };
    let id = value("id");
    match value("do") {
        "advance" => {
            let seconds = value("seconds").parse::<u64>().unwrap_or(0).min(366 * 24 * 3600);
            shared.read(|world| world.clock.clone()).advance(Duration::from_secs(seconds));
            shared.tick();
            shared.changed();
        }
        "freeze" | "unfreeze" => {
            let clock = shared.read(|world| world.clock.clone());
            if value("do") == "freeze" { clock.freeze(clock.now()) } else { clock.unfreeze() }
        }
        "fault" => {
            let added = shared.change_quietly(|world| world.faults.add(value("fault").trim()));
            if let Err(mistake) = added {
                return html::text(StatusCode::BAD_REQUEST, &mistake);
            }
        }
        "no-faults" => shared.change_quietly(|world| world.faults = Faults::default()),
        "succeed" | "fail" => {
            let succeeds = value("do") == "succeed";
            shared.change(Cause::automatic(), |world| control::settle(world, id, succeeds));
        }
        "resend" => {
            shared.change(Cause::automatic(), |world| deliveries::resend(world, id, None));
        }
        "pause" | "resume" => {
            shared.paused.store(value("do") == "pause", Ordering::SeqCst);
            shared.changed();
        }
        _ => return html::text(StatusCode::BAD_REQUEST, "Nothing to do."),
    }
    html::see_other("/")
}

fn button(action: &str, fields: &[(&str, &str)], text: &str, about: &str) -> String {
    let hidden: String = fields
        .iter()
        .map(|(name, value)| format!("<input type=\"hidden\" name=\"{name}\" value=\"{}\">", escape(value)))
        .collect();
    format!(
        "<form class=\"inline\" method=\"post\" action=\"/\"><input type=\"hidden\" name=\"do\" value=\"{action}\">{hidden}\
         <button class=\"quiet\" type=\"submit\" aria-label=\"{}\">{text}</button></form>",
        escape(about)
    )
}

fn show(shared: &Arc<Shared>) -> Response<Body> {
    shared.tick();
    let paused = shared.paused();
    let main = shared.read(|world| {
        let mut main = String::from("<h1>Simulated Stripe</h1>\n");
        let _ = write!(
            main,
            "<p>Clock: <code>{}</code> · faults go by seed <code>{}</code> · everything here is also JSON under \
             <code>/_sim/</code>.</p>\n<p>{}{}{}{}</p>\n",
            world.clock.now(),
            world.dice.seed,
            button("advance", &[("seconds", "60")], "+ 1 minute", "Move the clock by one minute"),
            button("advance", &[("seconds", "3600")], "+ 1 hour", "Move the clock by one hour"),
            button("advance", &[("seconds", "86400")], "+ 1 day", "Move the clock by one day")
                + &button("freeze", &[], "Stop the clock", "Stop the clock")
                + &button("unfreeze", &[], "Let it run", "Let the clock run"),
            if paused {
                button("resume", &[], "Resume deliveries", "Resume deliveries")
            } else {
                button("pause", &[], "Pause deliveries", "Pause deliveries")
            },
        );
        sessions(&mut main, world);
        waiting(&mut main, world);
        events(&mut main, world);
        faults(&mut main, world);
        main
    });
    html::page(StatusCode::OK, "en", "Simulated Stripe", &main, &[])
}

fn table(main: &mut String, title: &str, heads: &[&str], rows: &str) {
    if rows.is_empty() {
        let _ = writeln!(main, "<h2>{title}</h2>\n<p>None yet.</p>");
        return;
    }
    let heads: String = heads.iter().map(|h| format!("<th scope=\"col\">{h}</th>")).collect();
    let _ = write!(
        main,
        "<h2>{title}</h2>\n<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{title}\"><table><thead><tr>\
         {heads}</tr></thead>\n<tbody>{rows}</tbody></table></div>\n"
    );
}

fn sessions(main: &mut String, world: &World) {
    let mut rows = String::new();
    for session in world.sessions.iter().rev().take(ROWS) {
        let id = escape(&session.id);
        let short: String = session.id.chars().take(24).collect();
        let status = match session.status {
            SessionStatus::Open => "open",
            SessionStatus::Complete => "complete",
            SessionStatus::Expired => "expired",
        };
        let amount = currency::display(session.currency.as_deref().unwrap_or("eur"), session.amount_total());
        let _ = writeln!(
            rows,
            "<tr><td><a href=\"/c/pay/{id}\"><code>{short}…</code></a></td><td>{amount}</td><td>{status}, {}</td></tr>",
            super::objects::payment_status(session.payment_status)
        );
    }
    table(main, "Checkout sessions", &["Session", "Total", "State"], &rows);
}

fn faults(main: &mut String, world: &World) {
    let set = serde_json::to_value(&world.faults).unwrap_or_default();
    let plain = serde_json::to_value(Faults::default()).unwrap_or_default();
    let mut rows = String::new();
    for (name, value) in
        set.as_object().into_iter().flatten().filter(|(name, value)| plain[name.as_str()] != **value)
    {
        let _ = writeln!(
            rows,
            "<tr><td><code>{name}</code></td><td><code>{}</code></td></tr>",
            escape(&value.to_string())
        );
    }
    table(main, "Faults", &["Fault", "Setting"], &rows);
    let _ = write!(
        main,
        "<form method=\"post\" action=\"/\"><input type=\"hidden\" name=\"do\" value=\"fault\">\n<label \
         for=\"fault\">Add a fault</label>\n<p class=\"hint\" id=\"fault-hint\">Such as duplicate=50 or latency=200: \
         {NAMES}.</p>\n<input id=\"fault\" name=\"fault\" type=\"text\" aria-describedby=\"fault-hint\" \
         autocomplete=\"off\">\n<button class=\"main\" type=\"submit\">Add the fault</button></form>\n{}",
        button("no-faults", &[], "Remove all faults", "Remove all faults")
    );
}

fn waiting(main: &mut String, world: &World) {
    let mut rows = String::new();
    for intent in world.intents.iter().rev().filter(|i| i.status == IntentStatus::Processing).take(ROWS) {
        let id = intent.id.as_str();
        let _ = writeln!(
            rows,
            "<tr><td><code>{}</code></td><td>{}</td><td>{}{}</td></tr>",
            escape(id),
            currency::display(&intent.currency, intent.amount),
            button("succeed", &[("id", id)], "Succeed", &format!("Let {id} succeed")),
            button("fail", &[("id", id)], "Fail", &format!("Let {id} fail")),
        );
    }
    if !rows.is_empty() {
        table(main, "Delayed payments", &["Payment", "Amount", "Settle now"], &rows);
    }
}

fn events(main: &mut String, world: &World) {
    let mut rows = String::new();
    for event in world.events.iter().rev().take(ROWS) {
        let tried: Vec<String> = world
            .deliveries
            .of(&event.id)
            .map(|d| {
                let last = d.attempts.last();
                let answer = match last {
                    Some(attempt) => attempt.status.map_or_else(
                        || attempt.error.clone().unwrap_or_default(),
                        |status| format!("HTTP {status}"),
                    ),
                    None if d.state == DeliveryState::Lost => "lost".to_owned(),
                    None => "waiting".to_owned(),
                };
                format!("{} ({} attempts)", escape(&answer), d.attempts.len())
            })
            .collect();
        let _ = writeln!(
            rows,
            "<tr><td><a href=\"/_sim/objects/{id}\"><code>{}</code></a></td><td>{}</td><td>{}</td></tr>",
            escape(&event.kind),
            if tried.is_empty() { "no endpoint wants it".to_owned() } else { tried.join("<br>") },
            button("resend", &[("id", &event.id)], "Resend", &format!("Resend {}", event.id)),
            id = escape(&event.id),
        );
    }
    table(main, "Events", &["Event", "Deliveries", "Again"], &rows);
}
