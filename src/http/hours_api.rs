//! `/api/slots`: what can be booked now, for everybody; `/api/hours` and `/api/offers/{id}/hours`: when it is open,
//! for administrators.

use super::auth::Signed;
use super::bookings::Query;
use super::checkout::json_object;
use super::error::Problem;
use super::request::RequestId;
use crate::app::Shared;
use crate::flow::hours::{self, Standing};
use crate::flow::offers;
use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use domain::Fault;
use domain::holidays::Holidays;
use domain::hours::{Calendar, Closed, Week, openings_of};
use domain::ids::OfferId;
use domain::slot::Slot;
use serde_json::{Map, Value, json};

/// The most days that are asked for at once: two months as a calendar shows them.
const MAX_DAYS: usize = 62;

/// What can be booked now of an offer, day by day.
pub async fn slots(State(app): State<Shared>, RawQuery(query): RawQuery) -> Result<Response, Problem> {
    let mut query = Query::parse(query.as_deref());
    let given = |query: &Query, name: &str| query.has(name);
    let missing: Vec<Fault> = ["offer", "from", "to"]
        .into_iter()
        .filter(|name| !given(&query, name))
        .map(|name| Fault::coded(name, "required", "is required"))
        .collect();
    let id = query.take("offer", "must be the id of an offer", |text| OfferId::parse(text).ok());
    let date = "must be a date as YYYY-MM-DD";
    let from = query.take("from", date, |text| Slot::parse_date(text).ok());
    let to = query.take("to", date, |text| Slot::parse_date(text).ok());
    query.add(missing);
    if let (Some(from), Some(to)) = (from, to) {
        // Counted no further than needed.
        match domain::hours::days(from, to).take(MAX_DAYS + 1).count() {
            0 => query.add([Fault::new("to", "must not be before from")]),
            days if days > MAX_DAYS => {
                query.add([Fault::new("to", format!("must be at most {} days after from", MAX_DAYS - 1))]);
            }
            _ => {}
        }
    }
    query.finish()?;
    let (Some(id), Some(from), Some(to)) = (id, from, to) else { return Err(Problem::not_found()) };
    let offer = offers::find(&app, id).await?.filter(|offer| offer.active).ok_or_else(Problem::not_found)?;
    let mut tx = app.store.read().await?;
    let days = hours::days(&app, &mut tx, &offer, from, to).await?;
    tx.rollback().await?;
    let day = |(date, times): (jiff::civil::Date, Vec<hours::Time>)| {
        let slots: Vec<Value> = times
            .iter()
            .filter_map(|time| match time.standing {
                Standing::Free(left) => Some(json!({
                    "time": time.slot.time_text(), "startsAt": time.starts_at, "seatsLeft": left,
                })),
                Standing::Full | Standing::Past | Standing::Refused(_) | Standing::Skipped => None,
            })
            .collect();
        json!({ "date": date.to_string(), "slots": slots })
    };
    let days: Vec<Value> = days.into_iter().map(day).collect();
    let answer = json!({ "timezone": app.config.timezone.iana_name().unwrap_or("UTC"), "days": days });
    // A seat that was taken in these seconds is refused when it is booked.
    Ok(kept(Json(answer).into_response(), "public, max-age=10"))
}

/// Kept by caches for a while.
pub fn kept(mut response: Response, how_long: &'static str) -> Response {
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static(how_long));
    response
}

/// The whole house's calendar.
pub async fn house(State(app): State<Shared>) -> Result<Json<Value>, Problem> {
    Ok(Json(calendar_json(&hours::find(&app, None).await?)))
}

/// Sets it, all of it.
pub async fn set_house(
    State(app): State<Shared>,
    by: Signed,
    Extension(request_id): Extension<RequestId>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Value>, Problem> {
    save(&app, None, &by, &request_id, &headers, &body).await
}

/// An offer's own calendar.
pub async fn own(State(app): State<Shared>, Path(id): Path<String>) -> Result<Json<Value>, Problem> {
    let id = offer(&app, &id).await?;
    Ok(Json(calendar_json(&hours::find(&app, Some(id)).await?)))
}

/// Sets it, all of it.
pub async fn set_own(
    State(app): State<Shared>,
    by: Signed,
    Extension(request_id): Extension<RequestId>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Value>, Problem> {
    let id = offer(&app, &id).await?;
    save(&app, Some(id), &by, &request_id, &headers, &body).await
}

async fn offer(app: &Shared, id: &str) -> Result<OfferId, Problem> {
    let id = OfferId::parse(id).map_err(|_| Problem::not_found())?;
    offers::find(app, id).await?.map(|offer| offer.id).ok_or_else(Problem::not_found)
}

async fn save(
    app: &Shared,
    offer: Option<OfferId>,
    by: &Signed,
    request_id: &RequestId,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Json<Value>, Problem> {
    let calendar = read(&json_object(headers, body)?, offer.is_none())?;
    let held = hours::save(app, offer, calendar, by.actor(request_id)).await?;
    let mut answer = calendar_json(&hours::find(app, offer).await?);
    answer["bookingsOnClosedDays"] = held.into();
    Ok(Json(answer))
}

fn calendar_json(calendar: &Calendar) -> Value {
    serde_json::to_value(calendar).unwrap_or_default()
}

/// A calendar in a request, with every fault named. What is left out is not set.
fn read(members: &Map<String, Value>, is_house: bool) -> Result<Calendar, Problem> {
    const KNOWN: [&str; 5] = ["weekly", "closed", "holidays", "noticeMinutes", "horizonDays"];
    let mut faults: Vec<Fault> = members
        .keys()
        // As an answer of ours says it, sent back.
        .filter(|name| !KNOWN.contains(&name.as_str()) && *name != "bookingsOnClosedDays")
        .map(|name| Fault::new(name, "is not a member of a calendar"))
        .collect();
    let given = |name: &str| members.get(name).filter(|value| !value.is_null());
    let mut calendar = Calendar::default();
    if let Some(value) = given("weekly") {
        calendar.weekly = Some(read_week(value, &mut faults));
    }
    if let Some(value) = given("closed") {
        let closed = value.as_array().map(|all| all.iter().map(read_closed).collect::<Option<Vec<_>>>());
        match closed {
            Some(Some(closed)) => calendar.closed = closed,
            _ => faults
                .push(Fault::new("closed", "must be a list of {from, to, note} with dates as YYYY-MM-DD")),
        }
    }
    if let Some(value) = given("holidays") {
        calendar.holidays = value.as_str().and_then(Holidays::parse);
        if calendar.holidays.is_none() || !is_house {
            let text = if is_house { "must be FR, FR-AM or null" } else { "are set for the whole house" };
            faults.push(Fault::new("holidays", text));
        }
    }
    let mut number = |name: &str| {
        let value = given(name)?;
        let number = value.as_u64().and_then(|number| u32::try_from(number).ok());
        if number.is_none() {
            faults.push(Fault::new(name, "must be a whole number"));
        }
        number
    };
    calendar.notice_minutes = number("noticeMinutes");
    calendar.horizon_days = number("horizonDays");
    faults.extend(calendar.faults());
    if faults.is_empty() { Ok(calendar) } else { Err(Problem::invalid(faults)) }
}

fn read_week(value: &Value, faults: &mut Vec<Fault>) -> Week {
    let mut week = Week::default();
    let Some(days) = value.as_object() else {
        faults.push(Fault::new("weekly", "must be an object with a list of openings for each day"));
        return week;
    };
    for name in days.keys().filter(|name| !Week::DAYS.contains(&name.as_str())) {
        faults.push(Fault::new(format!("weekly.{name}"), "is not a day of the week"));
    }
    for (name, openings) in Week::DAYS.iter().zip(week.days_mut()) {
        let texts = match days.get(*name) {
            None | Some(Value::Null) => continue,
            Some(Value::String(text)) => Some(text.clone()),
            Some(Value::Array(texts)) => {
                texts.iter().map(Value::as_str).collect::<Option<Vec<_>>>().map(|texts| texts.join(", "))
            }
            Some(_) => None,
        };
        match texts.map(|texts| openings_of(&texts)) {
            Some(Ok(read)) => *openings = read,
            Some(Err(part)) => {
                let text = format!("must be openings such as 09:00-12:00, not {part:?}");
                faults.push(Fault::coded(format!("weekly.{name}"), "openings", text));
            }
            None => {
                let text = "must be a list of openings such as 09:00-12:00";
                faults.push(Fault::coded(format!("weekly.{name}"), "openings", text));
            }
        }
    }
    week
}

fn read_closed(value: &Value) -> Option<Closed> {
    if let Some(line) = value.as_str() {
        return Closed::parse(line);
    }
    let members = value.as_object()?;
    let date = |name: &str| Slot::parse_date(members.get(name)?.as_str()?).ok();
    let from = date("from")?;
    let to = if members.get("to").is_none_or(Value::is_null) { from } else { date("to")? };
    let note = match members.get("note") {
        None | Some(Value::Null) => String::new(),
        Some(note) => note.as_str()?.trim().to_owned(),
    };
    members.keys().all(|name| ["from", "to", "note"].contains(&name.as_str())).then_some(Closed {
        from,
        to,
        note,
    })
}
