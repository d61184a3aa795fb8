//! What operators and Prometheus read: `GET /admin/metrics` and `GET /metrics`.

use super::error::Problem;
use super::limit::is_local;
use crate::app::Shared;
use crate::config::PollEvents;
use crate::flow::health::{self, Trouble, Waiting};
use crate::metrics::Exposition;
use axum::Json;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use clock::Timestamp;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;
use store::pools::PoolState;
use subtle::ConstantTimeEq;

/// How long the database has to tell its numbers. Without it the others are told.
const PATIENCE: Duration = Duration::from_secs(2);

/// `GET /admin/metrics`, with the members of the original service.
pub async fn admin(State(app): State<Shared>) -> Json<Value> {
    let counters = &app.counters;
    let webhook = counters.webhook();
    let outcomes: BTreeMap<_, _> = counters.outcomes().collect();
    let secrets = counters.secrets_last_used().take(app.config.webhook_secrets.len());
    Json(json!({
        "webhook": {
            "received": webhook.received,
            "duplicates": webhook.duplicates,
            "errors": webhook.errors,
            "outcomes": outcomes,
            "secretsLastUsed": secrets.collect::<Vec<_>>(),
        },
        "runtime": {
            "uptimeSeconds": counters.uptime().as_secs(),
            "http5xx": counters.http_5xx(),
            "version": app.config.app_version,
        },
    }))
}

/// `GET /metrics`: with the token if one is configured; else only from this machine, and in production to nobody.
pub async fn prometheus(State(app): State<Shared>, request: Request) -> Result<Response, Problem> {
    allow(&app, request.extensions().get(), request.headers())?;
    let mut text = Exposition::new();
    app.counters.expose(&mut text, &app.config.app_version, app.config.webhook_secrets.len());
    let waiting = tokio::time::timeout(PATIENCE, health::waiting(&app.store)).await.ok().and_then(Result::ok);
    let trouble = app.health.standing(&app.store, app.clock.now()).await.trouble;
    text.gauge("checkout_database_up", "Whether the next webhook would be recorded.");
    text.sample(&[], u8::from(trouble.is_none()));
    text.gauge("checkout_database_trouble", "What keeps the next webhook from being recorded.");
    for known in Trouble::ALL {
        text.sample(&[("reason", known.as_str())], u8::from(trouble == Some(known)));
    }
    expose_pools(&app.store.pools(), &mut text);
    if let Some(free) = app.store.free_bytes() {
        text.gauge("checkout_disk_free_bytes", "What is free where the database's file stands.");
        text.sample(&[], free);
    }
    if let Some(mut waiting) = waiting {
        // A feed that nobody reads stands still, and that is as it should be.
        waiting.feed = waiting.feed.filter(|_| app.config.poll_events != PollEvents::Off);
        expose(&waiting, &mut text);
    }
    let content_type = "text/plain; version=0.0.4; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, content_type)], text.finish()).into_response())
}

/// The database's connections. A pool of which all are lent makes others wait.
fn expose_pools(pools: &[PoolState], text: &mut Exposition) {
    text.gauge("checkout_pool_limit", "The most connections that a pool opens to the database.");
    for pool in pools {
        text.sample(&[("pool", pool.name)], pool.limit);
    }
    text.gauge("checkout_pool_connections", "Open connections to the database: lent, or idle.");
    for pool in pools {
        text.sample(&[("pool", pool.name), ("state", "in_use")], pool.open - pool.idle);
        text.sample(&[("pool", pool.name), ("state", "idle")], pool.idle);
    }
}

/// What every instance sees alike, since it is in the database.
fn expose(waiting: &Waiting, text: &mut Exposition) {
    let seconds = |micros: Option<i64>| micros.map_or(0, |at| Timestamp::from_micros(at).as_unix_seconds());
    text.gauge("checkout_cases_open", "Cases about money that wait for a person.");
    text.sample(&[], waiting.open_cases);
    text.gauge("checkout_events_waiting", "Facts that are kept and not yet applied: parked, or tried again.");
    text.sample(&[], waiting.facts);
    text.gauge(
        "checkout_events_waiting_since_timestamp_seconds",
        "When the oldest fact that waits came, in unix seconds; 0 if none does.",
    );
    text.sample(&[], seconds(waiting.oldest_fact));
    text.gauge("checkout_outbox_pending", "Mails and notifications that wait.");
    text.sample(&[], waiting.deliveries);
    text.gauge(
        "checkout_outbox_pending_since_timestamp_seconds",
        "When the oldest mail or notification that waits was made, in unix seconds; 0 if none does.",
    );
    text.sample(&[], seconds(waiting.oldest_delivery));
    text.gauge("checkout_outbox_dead", "Mails and notifications that were given up.");
    text.sample(&[], waiting.dead);
    text.gauge(
        "checkout_feed_read_timestamp_seconds",
        "When Stripe's events feed was last read to its end, in unix seconds; 0 if it never was.",
    );
    text.sample(&[], seconds(waiting.feed));
    text.gauge("checkout_drift", "Facts on which Stripe and we disagreed at the last comparison.");
    text.sample(&[], waiting.drift.unwrap_or(0));
}

fn allow(app: &Shared, peer: Option<&ConnectInfo<SocketAddr>>, headers: &HeaderMap) -> Result<(), Problem> {
    let Some(token) = &app.config.metrics_token else {
        let message = match app.config.is_production() {
            true => "Set METRICS_TOKEN, and send it as Authorization: Bearer METRICS_TOKEN.",
            false => "Without METRICS_TOKEN this is only told to programs on the same machine.",
        };
        let refused = || Problem::new(StatusCode::FORBIDDEN, "Forbidden", message);
        // Not every proxy says that it is one, and production has one.
        let allowed = !app.config.is_production() && is_local(peer, headers);
        return allowed.then_some(()).ok_or_else(refused);
    };
    let given = headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes).unwrap_or_default();
    let given = given.split_first_chunk::<7>().filter(|(scheme, _)| scheme.eq_ignore_ascii_case(b"bearer "));
    let fits = given.is_some_and(|(_, given)| bool::from(given.ct_eq(token.expose_secret().as_bytes())));
    if fits {
        return Ok(());
    }
    let mut problem =
        Problem::new(StatusCode::UNAUTHORIZED, "Unauthorized", "Send Authorization: Bearer METRICS_TOKEN.");
    problem.headers.push((header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")));
    Err(problem)
}
