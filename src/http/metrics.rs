//! What operators and Prometheus read: `GET /admin/metrics` and `GET /metrics`.

use super::error::Problem;
use super::limit::is_local;
use crate::app::Shared;
use crate::metrics::Exposition;
use axum::Json;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;
use store::StoreError;
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
    let open_cases = tokio::time::timeout(PATIENCE, open_cases(&app)).await.ok().and_then(Result::ok);
    text.gauge("checkout_database_up", "Whether the database answers.");
    text.sample(&[], u8::from(open_cases.is_some()));
    if let Some(open_cases) = open_cases {
        text.gauge("checkout_cases_open", "Cases about money that wait for a person.");
        text.sample(&[], open_cases);
    }
    let content_type = "text/plain; version=0.0.4; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, content_type)], text.finish()).into_response())
}

async fn open_cases(app: &Shared) -> Result<i64, StoreError> {
    let mut tx = app.store.read().await?;
    let count = tx.count_open_cases().await?;
    tx.rollback().await?;
    Ok(count)
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
