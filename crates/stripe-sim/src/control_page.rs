//! The page for people at `/`: what happened, what waits, and the buttons most used.

use super::api::Request;
use super::deliveries::{self, DeliveryState};
use super::faults::{Faults, NAMES};
use super::form::{self, Branch, Node};
use super::html::{self, CSS, escape};
use super::model::{IntentStatus, PaymentStatus, Session, SessionStatus};
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
/// Lines of what happened last.
const LINES: usize = 40;
/// What keeps the page up to date, for browsers that run it.
const JS: &str = include_str!("live.js");

/// Answers `/` and the style sheet.
pub(crate) async fn handle(shared: &Arc<Shared>, request: &Request) -> Response<Body> {
    match (&request.method, request.path.as_str()) {
        (&Method::GET | &Method::HEAD, "/assets/sim.css") => {
            html::respond(StatusCode::OK, "text/css; charset=utf-8", CSS.to_owned())
        }
        (&Method::GET | &Method::HEAD, "/assets/live.js") => {
            html::respond(StatusCode::OK, "text/javascript; charset=utf-8", JS.to_owned())
        }
        (&Method::GET | &Method::HEAD, "/assets/logo") => logo(shared),
        (&Method::GET | &Method::HEAD, "/") => show(shared, request),
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
        "pay" | "decline" | "debit" | "expire" | "refund" | "dispute" => {
            let done = shared.change(Cause::page(), |world| what_to_do(world, id, value("do"))).0;
            if let Err(why) = done {
                return html::text(StatusCode::CONFLICT, &why);
            }
        }
        "pause" | "resume" => {
            shared.paused.store(value("do") == "pause", Ordering::SeqCst);
            shared.changed();
        }
        _ => return html::text(StatusCode::BAD_REQUEST, "Nothing to do."),
    }
    html::see_other("/")
}

/// What can be made to happen to a session.
fn what_to_do(world: &mut World, id: &str, what: &str) -> Result<(), String> {
    let word = match what {
        "pay" => control::Act::Paid,
        "decline" => control::Act::Failed,
        "debit" => return control::debit(world, id),
        "expire" => control::Act::Expired,
        "refund" => control::Act::Refunded,
        _ => control::Act::Disputed,
    };
    control::act(world, id, word)
}

fn logo(shared: &Shared) -> Response<Body> {
    match shared.read(|world| world.account.logo.clone()) {
        Some(logo) => html::picture(logo.kind, logo.bytes),
        None => html::text(StatusCode::NOT_FOUND, "Not found."),
    }
}

/// A form of one button. What it is about is said behind its text, for who does not see the row that it stands in.
fn button(action: &str, fields: &[(&str, &str)], text: &str, about: &str) -> String {
    let hidden: String = fields
        .iter()
        .map(|(name, value)| format!("<input type=\"hidden\" name=\"{name}\" value=\"{}\">", escape(value)))
        .collect();
    let about = if about.is_empty() { String::new() } else { html::spoken(about) };
    format!(
        "<form class=\"inline\" method=\"post\" action=\"/\"><input type=\"hidden\" name=\"do\" value=\"{action}\">{hidden}\
         <button class=\"quiet\" type=\"submit\">{text}{about}</button></form>"
    )
}

fn show(shared: &Arc<Shared>, request: &Request) -> Response<Body> {
    shared.tick();
    let paused = shared.paused();
    let version = *shared.version.borrow();
    let lines: String =
        shared.live.last(LINES).iter().map(|line| format!("<li>{}</li>\n", escape(line))).collect();
    let main = shared.read(|world| {
        let mut main = String::from("<h1>Simulated Stripe</h1>\n");
        let _ = write!(
            main,
            "<p>Point your library at <code>{}</code> with any key that begins with <code>sk_test_</code>. Faults go by \
             seed <code>{}</code>. Everything here is also JSON under <code>/_sim/</code>.</p>\n<p>{}{}{}{}{}{}</p>\n",
            escape(&world.public_url),
            world.dice.seed,
            button("advance", &[("seconds", "60")], "+ 1 minute", "on the clock"),
            button("advance", &[("seconds", "3600")], "+ 1 hour", "on the clock"),
            button("advance", &[("seconds", "86400")], "+ 1 day", "on the clock"),
            button("freeze", &[], "Stop the clock", ""),
            button("unfreeze", &[], "Let the clock run", ""),
            if paused {
                button("resume", &[], "Resume deliveries", "")
            } else {
                button("pause", &[], "Pause deliveries", "")
            },
        );
        let _ = writeln!(main, "<div id=\"live\" data-version=\"{version}\">");
        asked_for(&mut main, shared, request);
        let _ = writeln!(main, "<p>Clock: <code>{}</code></p>", world.clock.now());
        sessions(&mut main, world);
        waiting(&mut main, world);
        events(&mut main, world);
        let _ = write!(
            main,
            "<h2>What happened</h2>\n<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"What happened\">\n\
             <ul class=\"lines\">\n{lines}</ul></div>\n"
        );
        set_faults(&mut main, world);
        main.push_str("</div>\n");
        faults(&mut main);
        main
    });
    let script = "<script src=\"/assets/live.js\" defer></script>\n";
    html::page_with(StatusCode::OK, "en", "Simulated Stripe", &main, &[], script)
}

/// The request that a `request_log_url` leads to.
fn asked_for(main: &mut String, shared: &Shared, request: &Request) {
    let mut pairs = form_urlencoded::parse(request.query.as_bytes());
    let Some((_, id)) = pairs.find(|(name, _)| name == "request") else { return };
    let found = super::lock(&shared.log).iter().rev().find(|entry| entry.request_id == id).cloned();
    let told = match found {
        None => {
            format!("Request <code>{}</code> is not among the last ones.", escape(&super::error::clip(&id)))
        }
        Some(entry) => format!(
            "Request <code>{}</code>: <code>{} {}</code> was answered {}.",
            escape(&id),
            escape(&entry.method),
            escape(&entry.path),
            entry.status.map_or_else(|| "by a cut connection".to_owned(), |status| status.to_string()),
        ),
    };
    let _ = writeln!(main, "<p>{told}</p>");
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

/// What can happen to a session in its state.
fn session_buttons(session: &Session, short: &str) -> String {
    let all: &[(&str, &str)] = match (session.status, session.payment_status) {
        (SessionStatus::Open, _) => {
            &[("pay", "Paid"), ("decline", "Declined"), ("debit", "Paid by debit"), ("expire", "Expired")]
        }
        (SessionStatus::Complete, PaymentStatus::Paid) => &[("refund", "Refunded"), ("dispute", "Disputed")],
        _ => &[],
    };
    all.iter().map(|(action, text)| button(action, &[("id", &session.id)], text, short)).collect()
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
        let reference = session.client_reference_id.as_deref().map(|r| format!("<br>{}", escape(r)));
        let reference = reference.unwrap_or_default();
        let amount = currency::display(session.currency.as_deref().unwrap_or("eur"), session.amount_total());
        let _ = writeln!(
            rows,
            "<tr><td><a href=\"/c/pay/{id}\"><code>{short}…</code></a>{reference}</td><td>{amount}</td><td>{status}, {}</td>\
             <td>{}</td></tr>",
            super::objects::payment_status(session.payment_status),
            session_buttons(session, &short)
        );
    }
    table(main, "Checkout sessions", &["Session", "Total", "State", "Let it be"], &rows);
}

/// The faults that are set.
fn set_faults(main: &mut String, world: &World) {
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
    table(main, "Faults that are set", &["Fault", "Setting"], &rows);
}

/// A button for each thing that can go wrong.
fn faults(main: &mut String) {
    let each: String =
        NAMES.split(", ").map(|name| button("fault", &[("fault", name)], name, "as a fault")).collect();
    let _ = write!(
        main,
        "<h2>Let something go wrong</h2>\n<p>{each}</p>\n<form method=\"post\" action=\"/\"><input type=\"hidden\" name=\"do\" \
         value=\"fault\">\n<label for=\"fault\">A fault with its value</label>\n<p class=\"hint\" id=\"fault-hint\">Such as \
         duplicate=50 or latency=200.</p>\n<input id=\"fault\" name=\"fault\" type=\"text\" aria-describedby=\"fault-hint\" \
         autocomplete=\"off\">\n<button class=\"main\" type=\"submit\">Add the fault</button></form>\n{}",
        button("no-faults", &[], "Remove all faults", "")
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
            button("succeed", &[("id", id)], "Succeed", id),
            button("fail", &[("id", id)], "Fail", id),
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
            button("resend", &[("id", &event.id)], "Resend", &event.id),
            id = escape(&event.id),
        );
    }
    table(main, "Events", &["Event", "Deliveries", "Again"], &rows);
}
