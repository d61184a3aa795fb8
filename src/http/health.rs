//! Whether the process lives, and whether it can serve.

use crate::app::Shared;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;
use std::time::Duration;

/// How long the database has to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// `GET /health`, as the original service answered it.
pub async fn health(State(app): State<Shared>) -> Response {
    match tokio::time::timeout(PATIENCE, app.store.ping()).await {
        Ok(Ok(())) => Json(json!({ "status": "ok" })).into_response(),
        Ok(Err(_)) | Err(_) => {
            let body = json!({ "status": "unavailable", "db": "down" });
            (StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response()
        }
    }
}

/// `GET /livez`: the process answers. Never touches the database, or an outage would have it restarted.
pub async fn live() -> Response {
    Json(json!({ "status": "ok" })).into_response()
}

/// `GET /readyz`: the database answers, its schema is ours, and we are not stopping.
pub async fn ready(State(app): State<Shared>) -> Response {
    let reason = if app.is_draining() {
        Some("stopping")
    } else {
        match tokio::time::timeout(PATIENCE, app.store.ready()).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) if !error.is_outage() => Some("schema"),
            Ok(Err(_)) | Err(_) => Some("database"),
        }
    };
    match reason {
        None => Json(json!({ "status": "ok" })).into_response(),
        Some(reason) => {
            let body = json!({ "status": "unavailable", "reason": reason });
            (StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response()
        }
    }
}
