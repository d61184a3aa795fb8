//! The outermost layer: every request gets an id, a line in the log when it is answered, and, if
//! something went wrong, a body that says so under that id.

use super::error::{PROBLEM_JSON, Problem};
use super::pages::shop::Sign;
use super::pages::{Page, problem};
use super::security;
use crate::app::Shared;
use crate::telemetry;
use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use std::time::Instant;
use tracing::Instrument;

/// The header that carries a request's id.
pub const X_REQUEST_ID: &str = "x-request-id";

/// Asked every few seconds by machines: in a log of what people did they would be most of the lines. What fails is told
/// of them too.
const PROBES: [&str; 4] = ["/health", "/livez", "/readyz", "/metrics"];

/// A request's id: the caller's if it has the accepted form, else one that we made.
#[derive(Debug, Clone)]
pub struct RequestId(pub String);

impl RequestId {
    fn of(headers: &HeaderMap) -> Self {
        let given = headers.get(X_REQUEST_ID).and_then(|value| value.to_str().ok());
        let usable = |id: &&str| {
            (1..=64).contains(&id.len())
                && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        };
        Self(given.filter(usable).map_or_else(|| uuid::Uuid::new_v4().to_string(), str::to_owned))
    }
}

/// Wraps every answer, those of other layers too.
pub async fn observe(State(app): State<Shared>, mut request: Request, next: Next) -> Response {
    let id = RequestId::of(request.headers());
    request.extensions_mut().insert(id.clone());
    let method = request.method().clone();
    // The route's pattern, never the path itself: a path can hold what must not be logged.
    let route = request.extensions().get::<MatchedPath>().map_or("-", |path| path.as_str()).to_owned();
    let span = telemetry::request_span(&id.0, &format!("{method} {route}"));
    let trace = request.headers().get(telemetry::TRACEPARENT).and_then(|value| value.to_str().ok());
    telemetry::follow(&span, trace);
    // Browsers are told what went wrong on a page.
    let page = problem::wants_page(request.headers())
        .then(|| Page::of(&app, request.method(), request.uri(), request.headers(), request.extensions()));
    let started = Instant::now();
    let is_probe = PROBES.contains(&route.as_str());
    let mut response = async {
        if is_probe {
            tracing::debug!(module = "http", action = "http.request.received", %method, route, "received");
        } else {
            tracing::info!(module = "http", action = "http.request.received", %method, route, "received");
        }
        let response = security::admit(&app, request, next).await;
        let status_code = response.status().as_u16();
        let took = started.elapsed();
        let span = tracing::Span::current();
        span.record("http.request.method", method.as_str());
        span.record("http.route", &route);
        span.record("http.response.status_code", status_code);
        if status_code >= 500 {
            span.record("otel.status_code", "ERROR");
        }
        app.counters.request_done(&route, method.as_str(), status_code, took);
        let duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        if status_code >= 500 {
            tracing::error!(module = "http", action = "http.request.failed", %method, route, status_code, duration_ms, "failed");
        }
        if is_probe {
            tracing::debug!(module = "http", action = "http.request.completed", %method, route, status_code, duration_ms, "answered");
        } else {
            tracing::info!(module = "http", action = "http.request.completed", %method, route, status_code, duration_ms, "answered");
        }
        response
    }
    .instrument(span)
    .await;

    if let Some(problem) = problem_of(&mut response) {
        if let Some(page) = page {
            response = problem::page(page.signed(Sign::of(&app).await), &problem);
        } else {
            let body = problem.body(&id.0);
            let headers = response.headers_mut();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
            *response.body_mut() = Body::from(body);
        }
    }
    if let Ok(value) = HeaderValue::from_str(&id.0) {
        response.headers_mut().insert(X_REQUEST_ID, value);
    }
    security::add_headers(&app, response.headers_mut());
    response
}

/// The problem that a handler left, or one for an error answer that the framework made by itself.
fn problem_of(response: &mut Response) -> Option<Problem> {
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        return Some(problem);
    }
    let ours = response.headers().contains_key(header::CONTENT_TYPE)
        && !response.headers().get(header::CONTENT_TYPE).is_some_and(is_plain_text);
    let status = response.status();
    if ours || !(status.is_client_error() || status.is_server_error()) {
        return None;
    }
    Some(match status {
        StatusCode::NOT_FOUND => Problem::not_found(),
        StatusCode::METHOD_NOT_ALLOWED => Problem::new(
            status,
            "Method not allowed",
            "This address does not take that method; see the Allow header.",
        ),
        StatusCode::PAYLOAD_TOO_LARGE => {
            Problem::new(status, "Body too large", "Send less: the body is over the limit.")
        }
        StatusCode::UNSUPPORTED_MEDIA_TYPE => {
            Problem::new(status, "Unsupported media type", "Send the body as application/json.")
        }
        StatusCode::REQUEST_TIMEOUT => {
            Problem::new(status, "Request timeout", "The request took too long to arrive.")
        }
        status if status.is_server_error() => Problem { status, ..Problem::internal() },
        status => Problem::new(status, "Bad request", "The request cannot be understood as it is."),
    })
}

fn is_plain_text(value: &HeaderValue) -> bool {
    value.to_str().is_ok_and(|value| value.starts_with("text/plain"))
}
