//! `POST /api/bookings/{id}/refund` and `/cancel`, for administrators; a booking's story, for everybody
//! who may read it.

use super::auth::Signed;
use super::bookings::{Query, booking_json, named};
use super::checkout::json_object;
use super::error::Problem;
use super::request::RequestId;
use crate::app::Shared;
use crate::flow::call_off::{self, CallOffError};
use crate::flow::cancel::CancelError;
use crate::flow::explain;
use crate::flow::refund::{self, MAX_KEY, RefundError};
use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::{Extension, Json};
use domain::Fault;
use domain::cancel::{GiveBack, MAX_REASON};
use domain::lang::Lang;
use serde_json::{Map, Value, json};
use store::refund_intents::{IntentState, RefundIntent};

impl From<RefundError> for Problem {
    fn from(error: RefundError) -> Self {
        let unprocessable =
            |title: &'static str, text: String| Self::new(StatusCode::UNPROCESSABLE_ENTITY, title, text);
        match error {
            RefundError::NotFound => Self::not_found(),
            RefundError::NothingPaid => Self::new(
                StatusCode::CONFLICT,
                "Nothing to refund",
                "Nothing was paid that could be refunded, or all of it has gone back already.",
            ),
            RefundError::NotAnAmount => Self::fault("amount", "must be a whole number above zero"),
            RefundError::TooMuch { left } => unprocessable(
                "Refund above the payment",
                format!("Only {left} of the payment is left to refund, counting what is under way."),
            ),
            RefundError::KeyReused => unprocessable(
                "Idempotency-Key reused",
                "This Idempotency-Key was used with another amount, or by somebody else. Use a new key for a new refund."
                    .into(),
            ),
            RefundError::Refused(why) => Self::new(
                StatusCode::CONFLICT,
                "Payment provider refused",
                format!("The payment provider refused the refund: {why}"),
            ),
            RefundError::Store(error) => error.into(),
        }
    }
}

impl From<CancelError> for Problem {
    fn from(error: CancelError) -> Self {
        let conflict = |title: &'static str, text: String| Self::new(StatusCode::CONFLICT, title, text);
        match error {
            CancelError::NotFound => Self::not_found(),
            CancelError::NotUnpaid(_) => conflict("Not cancellable", format!("{error}.")),
            CancelError::StillOpening => conflict("Checkout opening", format!("{error}.")).retry_after(60),
            CancelError::SessionUnknown => conflict("Session unknown to Stripe", format!("{error}.")),
            CancelError::Stripe(error) => error.into(),
            CancelError::Record(error) => error.into(),
            CancelError::Store(error) => error.into(),
        }
    }
}

impl From<CallOffError> for Problem {
    fn from(error: CallOffError) -> Self {
        let conflict = |title: &'static str, text: String| Self::new(StatusCode::CONFLICT, title, text);
        match error {
            CallOffError::SayWhatGoesBack(_) => conflict("Not cancellable", format!("{error}.")),
            CallOffError::Disputed => conflict("Payment disputed", format!("{error}.")),
            CallOffError::Already => conflict("Already cancelled", format!("{error}.")),
            CallOffError::OffButNotRefunded(_) => conflict("Payment provider refused", format!("{error}.")),
            CallOffError::Refund(error) => error.into(),
            CallOffError::Cancel(error) => (*error).into(),
            CallOffError::Store(error) => error.into(),
        }
    }
}

/// Gives a payment back, whole or in part. 202 while it is not known what Stripe did: it is found out
/// without anybody's help, and the same request says how it stands.
pub async fn refund(
    State(app): State<Shared>,
    by: Signed,
    Extension(request_id): Extension<RequestId>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let id = named(&app, &id).await?;
    let members = if body.is_empty() { Map::new() } else { json_object(&headers, &body)? };
    let mut faults = Vec::new();
    for name in members.keys().filter(|name| *name != "amount") {
        faults.push(Fault::new(name, "is not a member of this request"));
    }
    let amount = match members.get("amount") {
        None | Some(Value::Null) => None,
        Some(value) => {
            let amount = value.as_i64().filter(|amount| *amount > 0);
            if amount.is_none() {
                faults.push(Fault::new("amount", "must be a whole number above zero, in minor units"));
            }
            amount
        }
    };
    let key = headers.get("idempotency-key").and_then(|key| key.to_str().ok()).map(str::trim);
    let key = key.filter(|key| (1..=MAX_KEY).contains(&key.len()));
    if key.is_none() {
        faults.push(Fault::coded("Idempotency-Key", "required", "is required, with 1 to 255 characters"));
    }
    let Some(key) = key.filter(|_| faults.is_empty()) else { return Err(Problem::invalid(faults)) };
    let intent = refund::refund(&app, id, amount, key, by.actor(&request_id)).await?;
    let status = match intent.state {
        IntentState::Open => StatusCode::ACCEPTED,
        IntentState::Done | IntentState::Refused => StatusCode::OK,
    };
    let mut tx = app.store.read().await?;
    let booking = tx.booking(id).await?;
    tx.rollback().await?;
    Ok((
        status,
        Json(json!({ "refund": refund_json(&intent), "booking": booking.as_ref().map(booking_json) })),
    ))
}

/// Calls a booking off, paid or not. 202 while it is not known whether Stripe made the refund that goes with it.
pub async fn cancel(
    State(app): State<Shared>,
    by: Signed,
    Extension(request_id): Extension<RequestId>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let id = named(&app, &id).await?;
    let members = if body.is_empty() { Map::new() } else { json_object(&headers, &body)? };
    let (wish, reason) = read_cancel(&members).map_err(Problem::invalid)?;
    let off = call_off::call_off(&app, id, wish, reason, by.actor(&request_id)).await?;
    let status = match off.refund.as_ref().map(|refund| refund.state) {
        Some(IntentState::Open) => StatusCode::ACCEPTED,
        Some(IntentState::Done | IntentState::Refused) | None => StatusCode::OK,
    };
    let refund = off.refund.as_ref().map(refund_json);
    Ok((status, Json(json!({ "booking": booking_json(&off.booking), "refund": refund }))))
}

/// `{refund: "all" | "none" | AMOUNT, reason}`, or what is wrong with it.
fn read_cancel(members: &Map<String, Value>) -> Result<(Option<GiveBack>, &str), Vec<Fault>> {
    let mut faults = Vec::new();
    for name in members.keys().filter(|name| !["refund", "reason"].contains(&name.as_str())) {
        faults.push(Fault::new(name, "is not a member of this request"));
    }
    let wish = match members.get("refund") {
        None | Some(Value::Null) => None,
        Some(value) => {
            let wish = match value.as_str() {
                Some("all") => Some(GiveBack::All),
                Some("none") => Some(GiveBack::Nothing),
                Some(_) => None,
                None => value.as_i64().filter(|amount| *amount > 0).map(GiveBack::Part),
            };
            if wish.is_none() {
                let expected = "must be \"all\", \"none\" or a whole number above zero, in minor units";
                faults.push(Fault::new("refund", expected));
            }
            wish
        }
    };
    let reason = match members.get("reason") {
        None | Some(Value::Null) => "",
        Some(value) => match value.as_str().map(str::trim) {
            Some(reason) if reason.chars().count() <= MAX_REASON => reason,
            Some(_) | None => {
                faults
                    .push(Fault::new("reason", format!("must be a text of at most {MAX_REASON} characters")));
                ""
            }
        },
    };
    if faults.is_empty() { Ok((wish, reason)) } else { Err(faults) }
}

/// The whole story of a booking, in words.
pub async fn explain(
    State(app): State<Shared>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, Problem> {
    let id = named(&app, &id).await?;
    let mut query = Query::parse(query.as_deref());
    let lang = query.take("lang", "must be fr or en", Lang::parse).unwrap_or(Lang::En);
    query.finish()?;
    let story =
        explain::story(&app.store, id, lang, &app.config.timezone).await?.ok_or_else(Problem::not_found)?;
    Ok(Json(json!({
        "bookingId": story.booking_id,
        "lang": lang.as_str(),
        "summary": story.summary,
        "steps": story.steps,
        "lines": story.lines(),
    })))
}

/// A refund that we ask for, as the API shows it.
#[must_use]
pub fn refund_json(intent: &RefundIntent) -> Value {
    json!({
        "id": intent.id.to_string(),
        "state": intent.state.as_str(),
        "amount": intent.amount,
        "currency": intent.currency,
        "paymentIntentId": intent.payment_intent,
        "stripeRefundId": intent.stripe_refund_id,
        "refusal": intent.refusal,
        "requestedBy": intent.requested_by,
        "createdAt": intent.created_at,
    })
}
