//! Whether the process lives, and whether it can serve.

use crate::app::Shared;
use crate::flow::health::Standing;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

/// `GET /health`, as the original service answered it: whether the next webhook would be recorded.
pub async fn health(State(app): State<Shared>) -> Response {
    match standing(&app).await.trouble {
        None => Json(json!({ "status": "ok" })).into_response(),
        Some(trouble) => unavailable(json!({ "status": "unavailable", "db": trouble.as_str() })),
    }
}

/// `GET /livez`: the process answers. Never touches the database, or an outage would have it restarted.
pub async fn live() -> Response {
    Json(json!({ "status": "ok" })).into_response()
}

/// `GET /readyz`: the same as `/health`, and we are not stopping.
pub async fn ready(State(app): State<Shared>) -> Response {
    if app.is_draining() {
        return unavailable(json!({ "status": "unavailable", "reason": "stopping" }));
    }
    let Standing { trouble, schema, .. } = standing(&app).await;
    match trouble {
        None => Json(json!({ "status": "ok" })).into_response(),
        Some(trouble) => {
            let reason = if schema { "schema" } else { "database" };
            unavailable(json!({ "status": "unavailable", "reason": reason, "db": trouble.as_str() }))
        }
    }
}

async fn standing(app: &Shared) -> Standing {
    app.health.standing(&app.store, app.clock.now()).await
}

fn unavailable(body: Value) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response()
}
