//! `/api/cases…`: what a person has to look at, and what can be done about it.

use super::auth::Signed;
use super::bookings::{Query, envelope};
use super::checkout::json_object;
use super::error::Problem;
use super::refunds::refund_json;
use super::request::RequestId;
use crate::app::Shared;
use crate::flow::cases::{self, CaseError, Decision};
use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::{Extension, Json};
use domain::Fault;
use domain::booking::DisputeStatus;
use domain::case::CaseAction;
use domain::ids::{BookingId, CaseId};
use domain::lang::Lang;
use serde_json::{Map, Value, json};
use store::cases::CaseRecord;

impl From<CaseError> for Problem {
    fn from(error: CaseError) -> Self {
        let text = format!("{error}.");
        match error {
            CaseError::NotFound => Self::not_found(),
            CaseError::NeedsRole(_) => Self::new(StatusCode::FORBIDDEN, "Forbidden", text),
            CaseError::NotAnAction { .. } => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, "Not an action of this case", text)
            }
            CaseError::Closed(_) => Self::new(StatusCode::CONFLICT, "Case closed", text),
            CaseError::RefundUnderWay(refund) => Self {
                refund: refund.as_deref().map(|refund| Box::new(refund_json(refund))),
                ..Self::new(StatusCode::CONFLICT, "Refund under way", text)
            },
            CaseError::NoteNeeded => Self::fault("note", "is required: say why, in 1 to 1000 characters"),
            CaseError::BookingNeeded => {
                Self::fault("bookingId", "is required: the booking to attach the payment to")
            }
            CaseError::Impossible(_) => Self::new(StatusCode::CONFLICT, "Not possible", text),
            CaseError::Refund(error) => error.into(),
            CaseError::Record(error) => error.into(),
            CaseError::Stripe(error) => error.into(),
            CaseError::Store(error) => error.into(),
        }
    }
}

/// Cases, newest first; `?state=open` or `closed`.
pub async fn list(State(app): State<Shared>, RawQuery(query): RawQuery) -> Result<Json<Value>, Problem> {
    let mut query = Query::parse(query.as_deref());
    let page = query.page();
    let open = query.take("state", "must be open or closed", |text| match text {
        "open" => Some(true),
        "closed" => Some(false),
        _ => None,
    });
    query.finish()?;
    let mut tx = app.store.read().await?;
    let cases = tx.list_cases(open, &page).await?;
    tx.rollback().await?;
    Ok(Json(envelope(cases, case_json)))
}

/// One case.
pub async fn show(State(app): State<Shared>, Path(id): Path<String>) -> Result<Json<Value>, Problem> {
    let id = CaseId::parse(&id).map_err(|_| Problem::not_found())?;
    let mut tx = app.store.read().await?;
    let case = tx.case(id, false).await?;
    tx.rollback().await?;
    Ok(Json(case_json(&case.ok_or_else(Problem::not_found)?)))
}

/// Does something about a case. 202 while a refund is being found out about.
pub async fn act(
    State(app): State<Shared>,
    by: Signed,
    Extension(request_id): Extension<RequestId>,
    Path((id, action)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let id = CaseId::parse(&id).map_err(|_| Problem::not_found())?;
    let action = CaseAction::parse(&action).ok_or_else(Problem::not_found)?;
    let members = if body.is_empty() { Map::new() } else { json_object(&headers, &body)? };
    let mut faults = Vec::new();
    for name in members.keys().filter(|name| !["note", "bookingId"].contains(&name.as_str())) {
        faults.push(Fault::new(name, "is not a member of this request"));
    }
    let mut text = |name: &str| match members.get(name) {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) => Some(text.clone()),
        Some(_) => {
            faults.push(Fault::coded(name, "type", "must be a text"));
            None
        }
    };
    let (note, booking) = (text("note"), text("bookingId"));
    let booking = booking.map(|text| {
        BookingId::parse(&text)
            .map_err(|_| faults.push(Fault::new("bookingId", "must be the id of a booking")))
    });
    let booking = booking.and_then(Result::ok);
    if !faults.is_empty() {
        return Err(Problem::invalid(faults));
    }
    let decision = Decision {
        case: id,
        action,
        note: note.as_deref(),
        booking,
        actor: by.actor(&request_id),
        role: by.0.role,
    };
    let decided = cases::decide(&app, decision).await?;
    let status = if decided.case.closed_at.is_some() { StatusCode::OK } else { StatusCode::ACCEPTED };
    Ok((
        status,
        Json(json!({
            "case": case_json(&decided.case),
            "refund": decided.refund.as_ref().map(refund_json),
            "action": action.as_str(),
            "did": decided.did.en,
        })),
    ))
}

/// A case as the API shows it.
#[must_use]
pub fn case_json(case: &CaseRecord) -> Value {
    let actions: Vec<_> = case.actions().iter().map(|action| action.as_str()).collect();
    json!({
        "id": case.id,
        "kind": case.kind.as_str(),
        "message": case.sentence(Lang::En),
        "detail": case.detail.en,
        "state": if case.closed_at.is_some() { "closed" } else { "open" },
        "bookingId": case.booking_id,
        "stripeEventId": case.event_key,
        "stripeSessionId": case.stripe_session_id,
        "paymentIntentId": case.payment_intent_id,
        "amount": case.amount,
        "currency": case.currency,
        "deadline": case.deadline,
        "disputeStatus": case.dispute.map(DisputeStatus::as_str),
        "actions": actions,
        "refund": case.refund.as_ref().map(refund_json),
        "createdAt": case.created_at,
        "closedAt": case.closed_at,
        "closedBy": case.closed_by,
        "resolution": case.resolution,
        "note": case.note,
    })
}
