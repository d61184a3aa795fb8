//! `/api/events…` and `POST /api/reconcile`: one row of the ledger, judging it again, and asking Stripe
//! for what was missed.

use super::auth::Signed;
use super::bookings::{Query, entry_json};
use super::checkout::json_object;
use super::error::Problem;
use super::request::RequestId;
use crate::app::Shared;
use crate::flow::reconcile::{self, Options, ReconcileError};
use crate::flow::replay::{self, ReplayError};
use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::{Extension, Json};
use clock::Timestamp;
use domain::Fault;
use domain::lang::Lang;
use serde_json::{Map, Value, json};
use std::time::Duration;

/// A run that takes longer is for the command line, which waits.
const LONGEST_RUN: Duration = Duration::from_secs(25);

impl From<ReplayError> for Problem {
    fn from(error: ReplayError) -> Self {
        match error {
            ReplayError::NotFound => Self::not_found(),
            ReplayError::Erased | ReplayError::Unreadable => {
                Self::new(StatusCode::CONFLICT, "Not replayable", format!("{error}."))
            }
            ReplayError::Stripe(error) => error.into(),
            ReplayError::Record(error) => error.into(),
            ReplayError::Store(error) => error.into(),
        }
    }
}

impl From<ReconcileError> for Problem {
    fn from(error: ReconcileError) -> Self {
        match error {
            ReconcileError::Stripe(error) => error.into(),
            ReconcileError::Record(error) => error.into(),
            ReconcileError::Store(error) => error.into(),
        }
    }
}

/// One row of the ledger, by its id or Stripe's event id, with why it is as it is.
pub async fn show(State(app): State<Shared>, Path(id): Path<String>) -> Result<Json<Value>, Problem> {
    let mut tx = app.store.read().await?;
    let entry = tx.entry(&id).await?;
    tx.rollback().await?;
    let entry = entry.ok_or_else(Problem::not_found)?;
    let mut json = entry_json(&entry);
    json["message"] = entry.reason.map(|reason| reason.sentence(Lang::En)).into();
    Ok(Json(json))
}

/// Judges a row again; with `?dryRun=true` or `{"dryRun":true}` only says what would change.
pub async fn replay(
    State(app): State<Shared>,
    by: Signed,
    Extension(request_id): Extension<RequestId>,
    Path(id): Path<String>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
    body: Bytes,
) -> Result<Json<Value>, Problem> {
    let mut query = Query::parse(query.as_deref());
    let asked = query.take("dryRun", "must be true or false", truth);
    query.finish()?;
    let members = if body.is_empty() { Map::new() } else { json_object(&headers, &body)? };
    let mut faults = unknown_members(&members, &["dryRun"]);
    let dry_run = dry_run_of(&members, &mut faults).or(asked).unwrap_or(false);
    if !faults.is_empty() {
        return Err(Problem::invalid(faults));
    }
    let replayed = if dry_run {
        replay::preview(&app, &id).await?
    } else {
        replay::replay(&app, &id, by.actor(&request_id)).await?
    };
    Ok(Json(json!(replayed)))
}

/// Asks Stripe for what was missed and applies it. Members, all optional: `sinceHours`, `dryRun`.
pub async fn reconcile(
    State(app): State<Shared>,
    _by: Signed,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
    body: Bytes,
) -> Result<Json<Value>, Problem> {
    let mut query = Query::parse(query.as_deref());
    let asked = query.take("dryRun", "must be true or false", truth);
    query.finish()?;
    let members = if body.is_empty() { Map::new() } else { json_object(&headers, &body)? };
    let mut faults = unknown_members(&members, &["sinceHours", "dryRun"]);
    let since =
        members.get("sinceHours").map(|value| value.as_u64().filter(|hours| (1..=8760).contains(hours)));
    if since == Some(None) {
        faults.push(Fault::new("sinceHours", "must be a whole number from 1 to 8760"));
    }
    let dry_run = dry_run_of(&members, &mut faults).or(asked).unwrap_or(false);
    if !faults.is_empty() {
        return Err(Problem::invalid(faults));
    }
    let now: Timestamp = app.clock.now();
    let since = since.flatten().map(|hours| now.minus(Duration::from_secs(hours * 3600)));
    let options = Options { since, dry_run, ..Options::default() };
    match tokio::time::timeout(LONGEST_RUN, reconcile::run(&app, options)).await {
        Ok(report) => Ok(Json(json!(report?))),
        Err(_) => Err(Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "Still reconciling",
            "There is more to read than fits into one request. What was read is applied; ask again, or run \
             `checkout-backend reconcile`.",
        )
        .retry_after(1)),
    }
}

fn unknown_members(members: &Map<String, Value>, known: &[&str]) -> Vec<Fault> {
    let unknown = members.keys().filter(|name| !known.contains(&name.as_str()));
    unknown.map(|name| Fault::new(name, "is not a member of this request")).collect()
}

fn dry_run_of(members: &Map<String, Value>, faults: &mut Vec<Fault>) -> Option<bool> {
    let value = members.get("dryRun")?.as_bool();
    if value.is_none() {
        faults.push(Fault::new("dryRun", "must be true or false"));
    }
    value
}

fn truth(text: &str) -> Option<bool> {
    match text {
        "true" | "1" => Some(true),
        "false" | "0" => Some(false),
        _ => None,
    }
}
