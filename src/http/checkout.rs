//! `POST /create-checkout-session`, `POST /api/bookings`, `GET /api/checkout/{session}`.

use super::error::Problem;
use super::hold;
use super::limit::ClientAddress;
use crate::app::Shared;
use crate::flow::checkout::{self, Caller, Started};
use crate::flow::holds::client_key;
use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, header};
use axum::response::{AppendHeaders, IntoResponse, Response};
use domain::Fault;
use domain::booking::{BookingRequest, NewBooking};
use domain::ids::SessionId;
use domain::lang::Lang;
use serde::Serialize;
use serde_json::{Map, Value};
use std::net::IpAddr;
use store::bookings::Handle;

/// Books a slot and opens a payment page.
pub async fn create(
    State(app): State<Shared>,
    ClientAddress(address): ClientAddress,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    tracing::info!(
        module = "checkout",
        action = "booking.checkout_session.requested",
        "somebody wants to book"
    );
    // Set whether or not it works out: whoever tries again resumes the seat that this try took.
    let (cookie, owner_hash) = hold::cookie_of_program(&app, &headers);
    let set_cookie = AppendHeaders([(header::SET_COOKIE, cookie)]);
    match start(&app, &headers, address, owner_hash, &body).await {
        Ok(started) => (set_cookie, Json(started)).into_response(),
        Err(problem) => (set_cookie, problem).into_response(),
    }
}

async fn start(
    app: &Shared,
    headers: &HeaderMap,
    address: IpAddr,
    owner_hash: String,
    body: &[u8],
) -> Result<Started, Problem> {
    let request = read_request(app, headers, body)?;
    let caller = Caller {
        idempotency_key: idempotency_key(headers)?,
        owner_hash: Some(owner_hash),
        client: Some(client_key(app, address)),
        lang: preferred_lang(headers),
        instead: false,
    };
    Ok(checkout::start(app, &request, &caller).await?)
}

/// The caller's `Idempotency-Key`, if there is one.
///
/// # Errors
/// 400 for one that is empty, longer than 255 or not printable ASCII.
pub fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    match value.to_str() {
        Ok(key) if (1..=255).contains(&key.len()) && key.bytes().all(|b| (0x20..0x7f).contains(&b)) => {
            Ok(Some(key.to_owned()))
        }
        _ => Err(Problem::fault("Idempotency-Key", "must be 1 to 255 printable ASCII characters")),
    }
}

/// The first language of `Accept-Language` that we speak.
#[must_use]
pub fn preferred_lang(headers: &HeaderMap) -> Lang {
    let accepted = headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
    let tags = accepted.unwrap_or_default().split(',').map(|tag| tag.split(';').next().unwrap_or("").trim());
    tags.filter_map(Lang::parse).next().unwrap_or_default()
}

fn read_request(app: &Shared, headers: &HeaderMap, body: &[u8]) -> Result<BookingRequest, Problem> {
    let members = json_object(headers, body)?;
    let mut faults = Vec::new();
    let mut take = |name: &str| match members.get(name) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(_) => {
            faults.push(Fault::coded(name, "type", "must be a text"));
            String::new()
        }
    };
    let request = BookingRequest {
        first_name: take("firstName"),
        last_name: take("lastName"),
        email: take("email"),
        date: take("date"),
        time: take("time"),
        offer: Some(take("offer")).filter(|offer| !offer.is_empty()),
    };
    if faults.is_empty() {
        return Ok(request);
    }
    // What is a text may be wrong all the same, and is told along.
    if let Err(others) = NewBooking::parse(&request, &app.config.timezone, app.clock.now()) {
        let others = others.into_iter().filter(|other| !faults.iter().any(|fault| fault.path == other.path));
        faults.extend(others.collect::<Vec<_>>());
    }
    Err(Problem::invalid(faults))
}

/// The JSON object in a body.
///
/// # Errors
/// 415 for another content type, 400 for anything but a JSON object.
pub fn json_object(headers: &HeaderMap, body: &[u8]) -> Result<Map<String, Value>, Problem> {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = content_type.and_then(|value| value.split(';').next()).unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/json") {
        return Err(Problem::new(
            axum::http::StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "Unsupported media type",
            "Send the body as application/json.",
        ));
    }
    match serde_json::from_slice(body) {
        Ok(Value::Object(members)) => match members.iter().find(|(name, value)| has_nul(name, value)) {
            None => Ok(members),
            Some((name, _)) => {
                Err(Problem::fault(&name.replace('\0', ""), "must not contain the character U+0000"))
            }
        },
        Ok(_) => Err(Problem::fault("body", "must be a JSON object")),
        Err(_) => Err(Problem::fault("body", "must be valid JSON")),
    }
}

/// Whether NUL is in a text: no name has one, and not every database can keep it.
fn has_nul(name: &str, value: &Value) -> bool {
    name.contains('\0')
        || match value {
            Value::String(text) => text.contains('\0'),
            Value::Array(items) => items.iter().any(|item| has_nul("", item)),
            Value::Object(members) => members.iter().any(|(name, value)| has_nul(name, value)),
            Value::Null | Value::Bool(_) | Value::Number(_) => false,
        }
}

/// How a checkout stands: nothing personal.
#[derive(Debug, Serialize)]
pub struct CheckoutStatus {
    status: domain::booking::Status,
}

/// The state of the booking that a session belongs to.
pub async fn status(
    State(app): State<Shared>,
    Path(session): Path<String>,
) -> Result<Json<CheckoutStatus>, Problem> {
    let Ok(session) = SessionId::parse(&session) else { return Err(Problem::not_found()) };
    let handle = Handle::Session(session.to_string());
    let mut tx = app.store.read().await?;
    let found = tx.bookings_by_handle(std::slice::from_ref(&handle)).await?;
    let booking = match found.get(&handle) {
        Some(id) => tx.booking(*id).await?,
        None => None,
    };
    tx.rollback().await?;
    let booking = booking.ok_or_else(Problem::not_found)?;
    Ok(Json(CheckoutStatus { status: booking.status() }))
}
