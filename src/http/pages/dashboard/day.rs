//! `/dashboard/day`: who comes on a day, in the order of the clock.

use super::{Page, filter_errors, query, typed};
use crate::app::Shared;
use crate::http::error::Problem;
use crate::http::pages::{BesideField as _, FormError, format, i18n};
use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use domain::booking::{Booking, Status};
use domain::ids::OfferId;
use domain::slot::Slot;
use jiff::ToSpan;
use std::collections::HashMap;

/// How many bookings are read: more do not fit a page that somebody reads at the door.
const MOST: usize = 500;

#[derive(Template)]
#[template(path = "dashboard/day.html")]
struct Day {
    page: Page,
    errors: Vec<FormError>,
    title: String,
    date: String,
    before: String,
    after: String,
    rows: Vec<Row>,
    /// How many seats are held besides, unpaid.
    waiting: Option<String>,
    cut: bool,
}

struct Row {
    time: String,
    id: String,
    name: String,
    email: String,
    offer: String,
    status: &'static str,
    tone: &'static str,
}

/// Everybody with a seat on this day, today if none is named. Who has not paid is only counted.
pub async fn show(State(app): State<Shared>, page: Page) -> Result<Response, Problem> {
    let mut query = query(&page);
    let wanted = query.take("date", "must be a date as YYYY-MM-DD", |text| Slot::parse_date(text).ok());
    let errors = filter_errors(&page, query, &["date"]);
    let (lang, now) = (page.lang, app.clock.now());
    let today = app.config.timezone.to_datetime(now.to_jiff()).date();
    let date = wanted.unwrap_or(today);
    let mut bookings = Vec::new();
    let mut offers = Vec::new();
    if errors.is_empty() {
        let mut tx = app.store.read().await?;
        bookings = tx.seats_of_day(&date.to_string(), i64::try_from(MOST).unwrap_or(i64::MAX) + 1).await?;
        offers = tx.offers().await?;
        tx.rollback().await?;
    }
    let cut = bookings.len() > MOST;
    bookings.truncate(MOST);
    let (waiting, coming): (Vec<_>, Vec<_>) =
        bookings.into_iter().partition(|booking| booking.status() == Status::Pending);
    let names: HashMap<OfferId, &str> = offers.iter().map(|offer| (offer.id, offer.name.as_str())).collect();
    let row = |booking: &Booking| Row {
        time: booking.slot.time_text(),
        id: booking.id.to_string(),
        name: format!("{} {}", booking.customer.first_name, booking.customer.last_name),
        email: booking.customer.email.clone(),
        offer: names.get(&booking.offer).map(|name| (*name).to_owned()).unwrap_or_default(),
        status: i18n::status_of(lang, booking),
        tone: i18n::status_tone(booking.status()),
    };
    let view = Day {
        title: format::day(lang, date),
        date: if errors.is_empty() { date.to_string() } else { typed(&page, "date") },
        before: date.saturating_sub(1.day()).to_string(),
        after: date.saturating_add(1.day()).to_string(),
        rows: coming.iter().map(row).collect(),
        waiting: (!waiting.is_empty()).then(|| i18n::seats_waiting(lang, waiting.len())),
        cut,
        errors,
        page,
    };
    let status = if view.errors.is_empty() { StatusCode::OK } else { StatusCode::BAD_REQUEST };
    Ok(view.page.show_as(status, &view))
}
