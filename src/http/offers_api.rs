//! `/api/offers…`: what can be booked and what it costs, for administrators.

use super::auth::{self, Signed};
use super::checkout::json_object;
use super::error::Problem;
use super::hours_api::kept;
use super::request::RequestId;
use crate::app::Shared;
use crate::flow::offers::{self, Overfull};
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use domain::Fault;
use domain::ids::OfferId;
use domain::offer::{Offer, OfferDraft, OfferTerms, USUAL_DURATION};
use domain::role::Role;
use serde_json::{Map, Value, json};

/// What can be booked, oldest first; for an ADMIN who is signed in every offer, with all that is decided about it.
pub async fn list(State(app): State<Shared>, headers: HeaderMap) -> Result<Response, Problem> {
    let user = auth::signed_in(&app, &headers).await?;
    let everything = user.is_some_and(|user| user.role.allows(Role::Admin));
    let offers = offers::all(&app).await?;
    let items: Vec<_> = match everything {
        true => offers.iter().map(offer_json).collect(),
        false => offers.iter().filter(|offer| offer.active).map(public_json).collect(),
    };
    let answer = Json(json!({ "meta": { "count": items.len(), "next": null }, "items": items }));
    let mut response =
        kept(answer.into_response(), if everything { "no-store" } else { "public, max-age=30" });
    response.headers_mut().append(header::VARY, HeaderValue::from_static("Cookie"));
    Ok(response)
}

/// An offer as everybody sees it.
fn public_json(offer: &Offer) -> Value {
    json!({
        "id": offer.id,
        "name": offer.name,
        "amount": offer.price.amount,
        "currency": offer.price.currency.as_str(),
        "durationMinutes": offer.duration,
    })
}

/// One offer.
pub async fn show(State(app): State<Shared>, Path(id): Path<String>) -> Result<Json<Value>, Problem> {
    Ok(Json(offer_json(&find(&app, &id).await?)))
}

/// Makes an offer.
pub async fn create(
    State(app): State<Shared>,
    by: Signed,
    Extension(request_id): Extension<RequestId>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let terms = read(&json_object(&headers, &body)?, None)?;
    let id = offers::create(&app, &terms, by.actor(&request_id)).await?;
    Ok((StatusCode::CREATED, Json(offer_json(&find(&app, &id.to_string()).await?))))
}

/// Changes an offer: `PUT` gives every member, `PATCH` those that change. Bookings keep their price.
pub async fn update(
    State(app): State<Shared>,
    by: Signed,
    Extension(request_id): Extension<RequestId>,
    method: axum::http::Method,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Value>, Problem> {
    let offer = find(&app, &id).await?;
    let members = json_object(&headers, &body)?;
    let before = (method == axum::http::Method::PATCH).then_some(&offer);
    let terms = read(&members, before)?;
    let overfull = offers::update(&app, offer.id, &terms, by.actor(&request_id))
        .await?
        .ok_or_else(Problem::not_found)?;
    let mut answer = offer_json(&find(&app, &id).await?);
    if overfull.count > 0 {
        answer["warning"] = warning_json(&overfull);
    }
    Ok(Json(answer))
}

/// What a capacity below what is taken means.
fn warning_json(overfull: &Overfull) -> Value {
    let slots = overfull.first.iter().map(|(slot, taken)| {
        json!({ "date": slot.date().to_string(), "time": slot.time_text(), "seatsTaken": taken })
    });
    json!({
        "message": "Some slots have more seats taken than this capacity. Those seats stay taken, and nothing is \
                    sold there until there is room again.",
        "count": overfull.count,
        "slots": slots.collect::<Vec<_>>(),
    })
}

async fn find(app: &Shared, id: &str) -> Result<Offer, Problem> {
    let id = OfferId::parse(id).map_err(|_| Problem::not_found())?;
    offers::find(app, id).await?.ok_or_else(Problem::not_found)
}

/// The terms in a request; what it does not say is as `before`, or has a default, or is required.
fn read(members: &Map<String, Value>, before: Option<&Offer>) -> Result<OfferTerms, Problem> {
    const KNOWN: [&str; 9] = [
        "name",
        "amount",
        "currency",
        "capacity",
        "active",
        "grid",
        "durationMinutes",
        "stepMinutes",
        "resource",
    ];
    let mut faults: Vec<Fault> = members
        .keys()
        .filter(|name| !KNOWN.contains(&name.as_str()))
        .map(|name| Fault::new(name, "is not a member of an offer"))
        .collect();
    fn member<T>(
        members: &Map<String, Value>,
        faults: &mut Vec<Fault>,
        name: &str,
        fault: &str,
        default: Option<T>,
        read: impl FnOnce(&Value) -> Option<T>,
    ) -> Option<T> {
        match members.get(name) {
            Some(value) => {
                let value = read(value);
                if value.is_none() {
                    faults.push(Fault::coded(name, "type", fault));
                }
                value
            }
            None => {
                if default.is_none() {
                    faults.push(Fault::coded(name, "required", "is required"));
                }
                default
            }
        }
    }
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let texts = |value: &Value| value.as_array()?.iter().map(text).collect::<Option<Vec<_>>>();
    let grid = before.map_or_else(Vec::new, |offer| {
        offer.grid.iter().map(|time| format!("{:02}:{:02}", time.hour(), time.minute())).collect()
    });
    let f = &mut faults;
    let name = member(members, f, "name", "must be a text", before.map(|o| o.name.clone()), text);
    let amount = member(
        members,
        f,
        "amount",
        "must be a whole number of minor units",
        before.map(|o| o.price.amount),
        Value::as_i64,
    );
    let currency = before.map(|o| o.price.currency.as_str().to_owned());
    let currency = member(members, f, "currency", "must be a currency's code", currency, text);
    let capacity = Some(before.map_or(1, |offer| i64::from(offer.capacity)));
    let capacity = member(members, f, "capacity", "must be a whole number", capacity, Value::as_i64);
    let active = Some(before.is_none_or(|offer| offer.active));
    let active = member(members, f, "active", "must be true or false", active, Value::as_bool);
    let grid = member(members, f, "grid", "must be a list of times as HH:MM", Some(grid), texts);
    let duration = Some(i64::from(before.map_or(USUAL_DURATION, |offer| offer.duration)));
    let minutes = "must be a whole number of minutes";
    let duration = member(members, f, "durationMinutes", minutes, duration, Value::as_i64);
    // Null takes back what was said before.
    let step = Some(before.and_then(|offer| offer.step).map(i64::from));
    let step = member(members, f, "stepMinutes", minutes, step, |value| match value {
        Value::Null => Some(None),
        value => value.as_i64().map(Some),
    });
    let resource = Some(before.and_then(|offer| offer.resource.clone()));
    let resource = member(members, f, "resource", "must be a text", resource, |value| match value {
        Value::Null => Some(None),
        value => text(value).map(Some),
    });
    let draft = OfferDraft {
        name,
        amount,
        currency,
        capacity,
        active,
        grid,
        duration,
        step: step.flatten(),
        resource: resource.flatten(),
    };
    OfferTerms::check(draft, faults).map_err(Problem::invalid)
}

/// An offer as the API shows it.
#[must_use]
pub fn offer_json(offer: &Offer) -> Value {
    json!({
        "id": offer.id,
        "name": offer.name,
        "amount": offer.price.amount,
        "currency": offer.price.currency.as_str(),
        "capacity": offer.capacity,
        "active": offer.active,
        "grid": offer.grid.iter()
            .map(|time| format!("{:02}:{:02}", time.hour(), time.minute())).collect::<Vec<_>>(),
        "durationMinutes": offer.duration,
        "stepMinutes": offer.step,
        "resource": offer.resource,
        "createdAt": offer.created_at,
        "updatedAt": offer.updated_at,
    })
}
