//! The control API, `/_sim/…`: JSON in, JSON out, for tests and tools on this machine.

use super::api::Request;
use super::deliveries;
use super::faults::Faults;
use super::model::{Buyer, Endpoint, Record};
use super::rules::sessions::{NotPayable, PayOutcome};
use super::rules::{disputes, refunds, sessions};
use super::world::{Cause, World};
use super::{Shared, WebhookTarget, cards, html, ids, lock, objects, set_targets, trigger};
use axum::body::Body;
use axum::http::{Method, Response, StatusCode};
use clock::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// The farthest that the clock may be moved at once: ten years.
const MAX_ADVANCE_SECONDS: u64 = 10 * 366 * 24 * 3600;
/// How many entries a listing shows.
const LISTED: usize = 1_000;

/// A refusal: status and sentence.
type Refused = (StatusCode, String);
type Reply = Result<Value, Refused>;

/// Answers a request to the control API.
pub(crate) async fn handle(shared: &Arc<Shared>, request: &Request) -> Response<Body> {
    match dispatch(shared, request).await {
        Ok(value) => html::json(StatusCode::OK, &value),
        Err((status, why)) => html::json(status, &json!({ "error": why })),
    }
}

async fn dispatch(shared: &Arc<Shared>, request: &Request) -> Reply {
    let segments: Vec<&str> = request.path.trim_matches('/').split('/').skip(1).collect();
    let get = request.method == Method::GET;
    let put = matches!(request.method, Method::POST | Method::PUT);
    match &segments[..] {
        [] | ["state"] if get => Ok(state(shared)),
        ["clock"] if get => Ok(clock(shared)),
        ["clock"] if put => move_clock(shared, &read(request)?),
        ["faults"] if get => Ok(faults(shared)),
        ["faults"] if put => set_faults(shared, read(request)?),
        ["events"] if get => Ok(events(shared)),
        ["events", id, "resend"] if put => resend(shared, id, &read_or_default(request)?),
        ["deliveries"] if get => Ok(listed_deliveries(shared)),
        ["deliveries", "pause"] if put => Ok(pause(shared, true)),
        ["deliveries", "resume"] if put => Ok(pause(shared, false)),
        ["deliveries", "wait"] if put => wait(shared, &read_or_default(request)?).await,
        ["requests"] if get => Ok(json!({ "requests": &*lock(&shared.log) })),
        ["endpoints"] if get => Ok(endpoints(shared)),
        ["endpoints"] if put => replace_endpoints(shared, read(request)?),
        ["endpoints", id, "roll"] if put => roll(shared, id, read_or_default(request)?),
        ["sessions", id, "pay"] if put => pay(shared, id, read(request)?).await,
        ["sessions", id, "authenticate"] if put => authenticate(shared, id, &read_or_default(request)?).await,
        ["settle", id] if put => settle_one(shared, id, &read(request)?),
        ["charges", id, "dispute"] if put => dispute(shared, id, read_or_default(request)?),
        ["disputes", id, "close"] if put => close_dispute(shared, id, &read(request)?),
        ["refunds", id, "fail"] if put => fail_refund(shared, id, read_or_default(request)?),
        ["objects", id] if get => object(shared, id),
        ["changes"] if get => Ok(changes(shared, &request.query).await),
        ["act"] if put => act_on(shared, read(request)?).await,
        ["trigger"] if get => Ok(json!({ "events": trigger::KINDS })),
        ["trigger"] if put => trigger_event(shared, read(request)?).await,
        _ => Err((StatusCode::NOT_FOUND, format!("No such control: {} {}", request.method, request.path))),
    }
}

/// The JSON body. Only `application/json` is read: a web form cannot send that.
fn read<T: DeserializeOwned>(request: &Request) -> Result<T, Refused> {
    let kind = request.headers.get("content-type").and_then(|v| v.to_str().ok()).unwrap_or_default();
    if !kind.trim_start().to_ascii_lowercase().starts_with("application/json") {
        return Err((
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "Send JSON with content-type: application/json.".to_owned(),
        ));
    }
    let body = request.body.as_ref().map_err(|e| (StatusCode::PAYLOAD_TOO_LARGE, e.message().to_owned()))?;
    serde_json::from_slice(body).map_err(|e| (StatusCode::BAD_REQUEST, format!("The JSON does not fit: {e}")))
}

fn read_or_default<T: DeserializeOwned + Default>(request: &Request) -> Result<T, Refused> {
    match &request.body {
        Ok(body) if body.is_empty() => Ok(T::default()),
        _ => read(request),
    }
}

fn bad(why: impl Into<String>) -> Refused {
    (StatusCode::BAD_REQUEST, why.into())
}

fn missing(id: &str) -> Refused {
    (StatusCode::NOT_FOUND, format!("No such object: {}", super::error::clip(id)))
}

fn state(shared: &Shared) -> Value {
    shared.tick();
    let paused = shared.paused();
    shared.read(|world| {
        json!({
            "simulated": true,
            "api_version": world.api_version,
            "public_url": world.public_url,
            "now": world.now(),
            "seed": world.dice.seed,
            "deliveries_paused": paused,
            "counts": world.counts(),
            "faults": world.faults,
        })
    })
}

fn clock(shared: &Shared) -> Value {
    shared.read(|world| json!({ "now": world.now(), "iso": world.clock.now() }))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
enum MoveClock {
    AdvanceSeconds(u64),
    /// At this unix second, or where it stands with `null`.
    Freeze(Option<i64>),
    Unfreeze(bool),
}

fn move_clock(shared: &Shared, wanted: &MoveClock) -> Reply {
    let clock = shared.read(|world| world.clock.clone());
    match wanted {
        MoveClock::AdvanceSeconds(seconds) if *seconds > MAX_ADVANCE_SECONDS => {
            return Err(bad(format!("advance_seconds: at most {MAX_ADVANCE_SECONDS}")));
        }
        MoveClock::AdvanceSeconds(seconds) => clock.advance(Duration::from_secs(*seconds)),
        MoveClock::Freeze(Some(at)) if !(0..=253_402_300_799).contains(at) => {
            return Err(bad("freeze: unix seconds before the year 10000"));
        }
        MoveClock::Freeze(at) => clock.freeze(at.map_or_else(|| clock.now(), Timestamp::from_unix_seconds)),
        MoveClock::Unfreeze(true) => clock.unfreeze(),
        MoveClock::Unfreeze(false) => {}
    }
    shared.tick();
    shared.changed();
    Ok(self::clock(shared))
}

fn faults(shared: &Shared) -> Value {
    shared.read(|world| json!({ "seed": world.dice.seed, "faults": world.faults }))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SetFaults {
    /// Starts the dice again from this seed.
    seed: Option<u64>,
    #[serde(default)]
    faults: Faults,
}

fn set_faults(shared: &Shared, wanted: SetFaults) -> Reply {
    if let Some(mistake) = wanted.faults.mistake() {
        return Err(bad(mistake));
    }
    shared.change_quietly(|world| {
        world.faults = wanted.faults;
        if let Some(seed) = wanted.seed {
            world.dice.seed = seed;
            (world.events_made, world.requests_seen) = (0, 0);
        }
    });
    Ok(faults(shared))
}

fn events(shared: &Shared) -> Value {
    shared.tick();
    shared.read(|world| {
        let newest: Vec<Value> =
            world.events.iter().rev().take(LISTED).map(|e| objects::event(world, e)).collect();
        json!({ "events": newest.into_iter().rev().collect::<Vec<_>>() })
    })
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Resend {
    endpoint: Option<String>,
}

fn resend(shared: &Shared, id: &str, wanted: &Resend) -> Reply {
    let known = shared.read(|world| {
        let endpoint = wanted.endpoint.as_deref();
        world.events.get(id).is_some() && endpoint.is_none_or(|e| world.endpoints.get(e).is_some())
    });
    if !known {
        return Err(missing(id));
    }
    let (count, _) =
        shared.change(Cause::automatic(), |world| deliveries::resend(world, id, wanted.endpoint.as_deref()));
    Ok(json!({ "deliveries": count }))
}

fn listed_deliveries(shared: &Shared) -> Value {
    shared.read(|world| {
        let newest: Vec<Value> = world
            .deliveries
            .iter()
            .rev()
            .take(LISTED)
            .map(|(serial, d)| {
                json!({
                    "id": serial,
                    "event": d.event,
                    "type": world.events.get(&d.event).map(|e| &e.kind),
                    "endpoint": d.endpoint,
                    "url": world.endpoints.get(&d.endpoint).map(|e| &e.url),
                    "state": d.state,
                    "due": d.due.as_unix_seconds(),
                    "attempts": d.attempts,
                })
            })
            .collect();
        json!({ "deliveries": newest.into_iter().rev().collect::<Vec<_>>() })
    })
}

fn pause(shared: &Shared, paused: bool) -> Value {
    shared.paused.store(paused, Ordering::SeqCst);
    shared.changed();
    json!({ "deliveries_paused": paused })
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wait {
    timeout_ms: Option<u64>,
}

async fn wait(shared: &Shared, wanted: &Wait) -> Reply {
    let limit = Duration::from_millis(wanted.timeout_ms.unwrap_or(10_000).min(60_000));
    let done = shared.until(limit, |world| deliveries::due(world).next().is_none()).await;
    Ok(json!({ "done": done }))
}

/// As the API shows them, with their secrets: whoever may use the control API may sign.
fn shown_endpoint(endpoint: &Endpoint) -> Value {
    let mut shown = objects::endpoint(endpoint, false);
    shown["secrets"] = json!(endpoint.secrets);
    shown
}

fn endpoints(shared: &Shared) -> Value {
    shared.read(|world| {
        let all: Vec<Value> = world.endpoints.iter().map(shown_endpoint).collect();
        json!({ "endpoints": all })
    })
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NewTarget {
    url: String,
    #[serde(default)]
    secrets: Vec<String>,
    #[serde(default)]
    enabled_events: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ReplaceEndpoints {
    endpoints: Vec<NewTarget>,
}

/// Replaces the configured endpoints; those made by API stay.
fn replace_endpoints(shared: &Shared, wanted: ReplaceEndpoints) -> Reply {
    let mut targets = Vec::new();
    for target in wanted.endpoints {
        if !is_web(&target.url) {
            return Err(bad(format!("url: not an http address: {}", super::error::clip(&target.url))));
        }
        if target.secrets.iter().any(|s| s.trim().is_empty()) {
            return Err(bad("secrets: an empty secret signs nothing"));
        }
        let secrets = if target.secrets.is_empty() { vec![ids::webhook_secret()] } else { target.secrets };
        targets.push(WebhookTarget {
            url: target.url,
            secrets: secrets.into_iter().map(Into::into).collect(),
            enabled_events: target.enabled_events,
        });
    }
    shared.change_quietly(|world| set_targets(world, &targets));
    Ok(endpoints(shared))
}

fn is_web(url: &str) -> bool {
    url::Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Roll {
    /// The new secret; made up if not given.
    secret: Option<String>,
    /// Whether the old ones stop at once.
    #[serde(default)]
    expire_now: bool,
}

fn roll(shared: &Shared, id: &str, wanted: Roll) -> Reply {
    let secret = wanted.secret.unwrap_or_else(ids::webhook_secret);
    if secret.trim().is_empty() {
        return Err(bad("secret: an empty secret signs nothing"));
    }
    shared.change_quietly(|world| {
        let endpoint = world.endpoints.get_mut(id).ok_or_else(|| missing(id))?;
        if wanted.expire_now {
            endpoint.secrets.clear();
        }
        endpoint.secrets.insert(0, secret);
        endpoint.secrets.truncate(4);
        Ok(shown_endpoint(endpoint))
    })
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pay {
    /// A number, or a name such as `pm_card_visa`.
    card: Option<String>,
    /// `card` or `sepa_debit`.
    method: Option<String>,
    iban: Option<String>,
    email: Option<String>,
    name: Option<String>,
    /// The answer to a 3-D Secure question. Without it the question stays open.
    authenticate: Option<bool>,
}

async fn pay(shared: &Arc<Shared>, id: &str, wanted: Pay) -> Reply {
    let name = match (&wanted.card, &wanted.iban, wanted.method.as_deref()) {
        (Some(card), ..) => card.clone(),
        (None, Some(iban), _) => iban.clone(),
        (None, None, Some("sepa_debit")) => "sepa_debit".to_owned(),
        (None, None, _) => "4242424242424242".to_owned(),
    };
    let made_up = Buyer::made_up();
    let buyer = Buyer {
        email: wanted.email.or(made_up.email),
        name: wanted.name.or(made_up.name),
        ..Buyer::made_up()
    };
    let (paid, events) = shared.change(Cause::page(), |world| {
        let instrument = cards::Instrument::named(&name, world.year()).ok_or(NotPayable::Method)?;
        sessions::pay(world, id, Some(instrument), buyer)
    });
    let outcome = paid.map_err(|why| not_payable(&why))?;
    if let (PayOutcome::RequiresAction, Some(passed)) = (&outcome, wanted.authenticate) {
        return authenticate(shared, id, &Authenticate { passed: Some(passed) }).await;
    }
    Ok(outcome_json(shared, id, &outcome, &events))
}

fn not_payable(why: &NotPayable) -> Refused {
    let status = match why {
        NotPayable::Unknown => StatusCode::NOT_FOUND,
        NotPayable::Method => StatusCode::BAD_REQUEST,
        _ => StatusCode::CONFLICT,
    };
    (status, why.to_string())
}

fn outcome_json(shared: &Shared, id: &str, outcome: &PayOutcome, events: &[String]) -> Value {
    let session = shared.read(|world| world.object(id));
    let (word, refusal) = match outcome {
        PayOutcome::Paid => ("paid", Value::Null),
        PayOutcome::Processing => ("processing", Value::Null),
        PayOutcome::RequiresAction => ("requires_action", Value::Null),
        PayOutcome::Declined { code, decline_code, message } => {
            ("declined", json!({ "code": code, "decline_code": decline_code, "message": message }))
        }
    };
    json!({ "outcome": word, "refusal": refusal, "events": events, "session": session })
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Authenticate {
    passed: Option<bool>,
}

async fn authenticate(shared: &Arc<Shared>, id: &str, wanted: &Authenticate) -> Reply {
    let passed = wanted.passed.unwrap_or(true);
    let (answered, events) = shared.change(Cause::page(), |world| sessions::authenticate(world, id, passed));
    let outcome = answered.map_err(|why| not_payable(&why))?;
    Ok(outcome_json(shared, id, &outcome, &events))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settle {
    succeeds: bool,
}

fn settle_one(shared: &Shared, id: &str, wanted: &Settle) -> Reply {
    let (done, _) = shared.change(Cause::automatic(), |world| settle(world, id, wanted.succeeds));
    if done {
        object(shared, id)
    } else {
        Err((StatusCode::CONFLICT, "Nothing of this object waits to be settled.".to_owned()))
    }
}

/// Settles what waits of a session, an intent or a refund. False if nothing does.
pub(crate) fn settle(world: &mut World, id: &str, succeeds: bool) -> bool {
    if world.refunds.get(id).is_some() {
        return if succeeds { refunds::succeed(world, id) } else { refunds::fail(world, id, "unknown") };
    }
    let intent =
        world.sessions.get(id).and_then(|s| s.payment_intent.clone()).unwrap_or_else(|| id.to_owned());
    sessions::settle(world, &intent, succeeds)
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct OpenDispute {
    reason: Option<String>,
    #[serde(default)]
    inquiry: bool,
}

/// The charge meant by a charge's, an intent's or a session's id.
fn charge_of(world: &World, id: &str) -> Option<String> {
    if world.charges.get(id).is_some() {
        return Some(id.to_owned());
    }
    let intent = world.sessions.get(id).and_then(|s| s.payment_intent.as_deref()).unwrap_or(id);
    world.intents.get(intent)?.latest_charge.clone()
}

fn dispute(shared: &Shared, id: &str, wanted: OpenDispute) -> Reply {
    let charge = shared.read(|world| charge_of(world, id)).ok_or_else(|| missing(id))?;
    let reason = wanted.reason.unwrap_or_else(|| "fraudulent".to_owned());
    let (opened, _) =
        shared.change(Cause::automatic(), |world| disputes::open(world, &charge, &reason, wanted.inquiry));
    object(shared, &opened.map_err(|e| (StatusCode::CONFLICT, e.message().to_owned()))?)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CloseDispute {
    won: bool,
}

fn close_dispute(shared: &Shared, id: &str, wanted: &CloseDispute) -> Reply {
    let (closed, _) = shared.change(Cause::automatic(), |world| disputes::close(world, id, wanted.won));
    closed.map_err(|e| (StatusCode::CONFLICT, e.message().to_owned()))?;
    object(shared, id)
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct FailRefund {
    reason: Option<String>,
}

fn fail_refund(shared: &Shared, id: &str, wanted: FailRefund) -> Reply {
    let reason = wanted.reason.unwrap_or_else(|| "lost_or_stolen_card".to_owned());
    let (failed, _) = shared.change(Cause::automatic(), |world| refunds::fail(world, id, &reason));
    if failed {
        object(shared, id)
    } else {
        Err((StatusCode::CONFLICT, "No refund of that id can fail.".to_owned()))
    }
}

/// Waits until something changes, at most as long as a page may wait.
async fn changes(shared: &Shared, query: &str) -> Value {
    let after = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "after");
    let after = after.and_then(|(_, value)| value.parse::<u64>().ok());
    let mut version = shared.version.subscribe();
    let changed = version.wait_for(|now| Some(*now) != after);
    let _ = tokio::time::timeout(Duration::from_secs(20), changed).await;
    json!({ "version": *shared.version.borrow() })
}

/// What can be made of a session that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Act {
    Paid,
    Failed,
    Expired,
    Refunded,
    Disputed,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ActOn {
    /// Its id.
    session: Option<String>,
    /// Its `client_reference_id`; the newest that has it.
    booking: Option<String>,
    what: Option<Act>,
    /// How long to wait for the first delivery attempts.
    wait_ms: Option<u64>,
}

/// Acts on a session that is there, and tells what came of each delivery.
async fn act_on(shared: &Arc<Shared>, wanted: ActOn) -> Reply {
    let act = wanted.what.ok_or_else(|| bad("what: paid, failed, expired, refunded or disputed"))?;
    let id = match (&wanted.session, &wanted.booking) {
        (Some(id), None) => {
            shared.read(|world| world.sessions.get(id).map(|s| s.id.clone())).ok_or_else(|| missing(id))?
        }
        (None, Some(reference)) => shared.read(|world| {
            let named = |s: &&super::model::Session| s.client_reference_id.as_ref() == Some(reference);
            world.sessions.iter().rev().find(named).map(|s| s.id.clone()).ok_or_else(|| {
                (
                    StatusCode::NOT_FOUND,
                    format!("No session has the reference {}.", super::error::clip(reference)),
                )
            })
        })?,
        _ => return Err(bad("name one of session and booking")),
    };
    let (done, events) = shared.change(Cause::page(), |world| self::act(world, &id, act));
    done.map_err(|why| (StatusCode::CONFLICT, why))?;
    Ok(told(shared, &events, wanted.wait_ms).await)
}

/// Makes a session paid, failed and so on.
///
/// # Errors
/// Why its state does not allow that.
pub(crate) fn act(world: &mut World, id: &str, act: Act) -> Result<(), String> {
    let session = world.sessions.get(id).ok_or("There is no such session.")?.clone();
    let waits = session
        .payment_intent
        .as_ref()
        .and_then(|i| world.intents.get(i))
        .is_some_and(|i| i.settles.is_some());
    match act {
        Act::Paid | Act::Failed if waits => {
            settle(world, id, act == Act::Paid);
            Ok(())
        }
        Act::Paid => try_to_pay(world, id, "pm_card_visa"),
        Act::Failed => try_to_pay(world, id, "pm_card_chargeDeclined"),
        Act::Expired => sessions::expire(world, id).map_err(|error| error.message().to_owned()),
        Act::Refunded => {
            let payment_intent = session.payment_intent.ok_or("Nothing of this session was paid.")?;
            let new =
                refunds::NewRefund { payment_intent: Some(payment_intent), ..refunds::NewRefund::default() };
            refunds::create(world, new).map(drop).map_err(|error| error.message().to_owned())
        }
        Act::Disputed => {
            let charge = charge_of(world, id).ok_or("Nothing of this session was paid.")?;
            disputes::open(world, &charge, "fraudulent", false)
                .map(drop)
                .map_err(|error| error.message().to_owned())
        }
    }
}

/// Pays a session by a direct debit, which is settled later.
///
/// # Errors
/// Why its state does not allow that.
pub(crate) fn debit(world: &mut World, id: &str) -> Result<(), String> {
    try_to_pay(world, id, "sepa_debit")
}

fn try_to_pay(world: &mut World, id: &str, card: &str) -> Result<(), String> {
    let instrument = cards::Instrument::named(card, world.year());
    match sessions::pay(world, id, instrument, Buyer::made_up()) {
        Ok(_) => Ok(()),
        Err(why) => Err(format!("{}.", why.to_string().replacen("the", "The", 1))),
    }
}

fn object(shared: &Shared, id: &str) -> Reply {
    shared.tick();
    shared.read(|world| world.object(id)).ok_or_else(|| missing(id))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Trigger {
    event: String,
    /// `path=value` or `resource:path=value`.
    #[serde(default)]
    overrides: Vec<String>,
    /// How long to wait for the first delivery attempts.
    wait_ms: Option<u64>,
}

async fn trigger_event(shared: &Arc<Shared>, wanted: Trigger) -> Reply {
    let cause = Cause::page();
    let (done, events) = shared.change(cause, |world| trigger::run(world, &wanted.event, &wanted.overrides));
    done.map_err(|why| bad(why.to_string()))?;
    Ok(told(shared, &events, wanted.wait_ms).await)
}

/// The events, and what came of the first attempt to deliver each.
async fn told(shared: &Shared, events: &[String], wait_ms: Option<u64>) -> Value {
    let limit = Duration::from_millis(wait_ms.unwrap_or(10_000).min(60_000));
    shared.attempted(events, limit).await;
    shared.read(|world| {
        let told: Vec<Value> = events
            .iter()
            .filter_map(|id| world.events.get(id))
            .map(|event| {
                let attempts: Vec<Value> = world
                    .deliveries
                    .of(event.id())
                    .map(|d| {
                        json!({
                            "url": world.endpoints.get(&d.endpoint).map(|e| &e.url),
                            "state": d.state,
                            "status": d.attempts.last().and_then(|a| a.status),
                            "error": d.attempts.last().and_then(|a| a.error.as_ref()),
                            "answer": d.attempts.last().map(|a| &a.answer),
                        })
                    })
                    .collect();
                json!({ "id": event.id, "type": event.kind, "object": event.snapshot()["id"], "deliveries": attempts })
            })
            .collect();
        json!({ "events": told })
    })
}
