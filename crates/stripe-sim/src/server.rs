//! The HTTP server: one loop that accepts, one function that sends each request where it belongs.
//!
//! It is not axum's own, because a fault may ask to cut the connection without an answer.

use super::api::{self, MAX_BODY_BYTES, Outcome};
use super::error::StripeError;
use super::{Shared, control, control_page, guard, pay_page};
use axum::body::Body;
use axum::http::{HeaderValue, Request, Response, header};
use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

/// Connections at the same time; more wait to be accepted.
const MAX_CONNECTIONS: usize = 1_000;
/// How long a request's headers, and then its body, may take to arrive.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// How long open requests may take to finish when the simulator stops.
const DRAIN: Duration = Duration::from_secs(5);

/// Serves until told to stop, then lets open requests finish.
pub(crate) async fn run(listener: TcpListener, shared: Arc<Shared>, mut stop: watch::Receiver<bool>) {
    let connections = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let graceful = hyper_util::server::graceful::GracefulShutdown::new();
    loop {
        let Ok(slot) = Arc::clone(&connections).acquire_owned().await else { return };
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(module = "simulator", %error, "cannot accept");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
            () = stopped(&mut stop) => break,
        };
        let _ = stream.set_nodelay(true);
        let shared = Arc::clone(&shared);
        let service = service_fn(move |request| answer(Arc::clone(&shared), request));
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(READ_TIMEOUT)
            .serve_connection(TokioIo::new(stream), service);
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            let _ = connection.await; // a peer that goes away is no event
            drop(slot);
        });
    }
    let _ = tokio::time::timeout(DRAIN, graceful.shutdown()).await;
}

/// Waits until the simulator is told to stop.
pub(crate) async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stopped| *stopped).await;
}

/// Why a connection is cut.
#[derive(Debug, thiserror::Error)]
#[error("the connection is cut by a fault")]
struct Cut;

/// Every answer is dated by the simulator's own clock, as Stripe's are by Stripe's.
async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Response<Body>, Cut> {
    let now = shared.read(|world| world.clock.now());
    let mut response = route(shared, request).await?;
    let date = jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&now.to_jiff());
    if let Some(date) = date.ok().and_then(|date| HeaderValue::from_str(&date).ok()) {
        response.headers_mut().insert(header::DATE, date);
    }
    Ok(response)
}

async fn route(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Response<Body>, Cut> {
    let (parts, body) = request.into_parts();
    let body = read(body).await;
    let path = parts.uri.path().to_owned();
    let request = api::Request {
        method: parts.method,
        query: parts.uri.query().unwrap_or_default().to_owned(),
        headers: parts.headers,
        path,
        body,
    };
    if is_api(&request) {
        return match api::handle(&shared, request).await {
            Outcome::Answer(response) => Ok(response),
            Outcome::Reset => Err(Cut),
        };
    }
    // All else is for people and tools on this machine: a foreign web page must not use it.
    if let Some(refused) = guard::check(&shared, &request) {
        return Ok(refused);
    }
    Ok(if request.path.starts_with("/_sim") {
        control::handle(&shared, &request).await
    } else if request.path == "/" || request.path.starts_with("/assets/") {
        control_page::handle(&shared, &request).await
    } else {
        pay_page::handle(&shared, &request).await
    })
}

/// Whether a program asks that takes this for Stripe's API: by its addresses, or by a key for an address
/// that is nobody's. It is then told so in the API's own form.
fn is_api(request: &api::Request) -> bool {
    let own = ["/_sim", "/assets/", "/c/", "/b/", "/thanks", "/r/", "/3ds/", "/receipts/"];
    let keyed = request.headers.contains_key(header::AUTHORIZATION);
    match request.path.split('/').nth(1) {
        Some("v1" | "v2") => true,
        _ => keyed && request.path != "/" && !own.iter().any(|start| request.path.starts_with(start)),
    }
}

/// The body, if it is not too long and comes in time.
async fn read(body: Incoming) -> Result<Bytes, StripeError> {
    let whole = Limited::new(body, MAX_BODY_BYTES).collect();
    match tokio::time::timeout(READ_TIMEOUT, whole).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(_)) => Err(StripeError::too_large(MAX_BODY_BYTES)),
        Err(_) => {
            Err(StripeError::invalid("", None, "The request body did not arrive in time.").with_status(408))
        }
    }
}
