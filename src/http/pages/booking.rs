//! `/b/{code}`: a customer's own page, by a link that only they have; and its entry for a calendar.

use super::{Page, format, i18n};
use crate::app::Shared;
use crate::flow::bookings::{self, Own};
use crate::http::auth;
use crate::http::error::Problem;
use askama::Template;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use domain::booking::{Booking, Status};
use domain::invitation::Invitation;
use domain::money::Money;
use serde::Deserialize;

#[derive(Template)]
#[template(path = "booking.html")]
struct OwnPage {
    page: Page,
    view: View,
}

struct View {
    code: String,
    tone: &'static str,
    status_name: &'static str,
    lead: &'static str,
    offer: String,
    slot: String,
    zone: String,
    takes: String,
    calendar: Option<String>,
    receipt: Option<Receipt>,
    price: String,
    book_again: bool,
}

/// What was paid and given back.
struct Receipt {
    name: String,
    email: String,
    paid_on: String,
    paid: String,
    refunded: Option<String>,
    kept: String,
    payment: Option<String>,
}

/// The query of a customer's page.
#[derive(Debug, Deserialize)]
pub struct Key {
    #[serde(default)]
    k: String,
}

/// The customer's own page.
pub async fn show(
    State(app): State<Shared>,
    page: Page,
    Path(code): Path<String>,
    Query(key): Query<Key>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let own = find(&app, &code, &key.k, &headers).await?;
    let view = view(&app, &page, &own);
    let own = OwnPage { page, view };
    Ok(private(own.page.show(&own)))
}

/// The booking as a file for calendars.
pub async fn calendar(
    State(app): State<Shared>,
    page: Page,
    Path(code): Path<String>,
    Query(key): Query<Key>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let own = find(&app, &code, &key.k, &headers).await?;
    let file = invitation(&app, &page, &own);
    let name = format!("attachment; filename=\"{}.ics\"", own.booking.code);
    let kind = HeaderValue::from_static("text/calendar; charset=utf-8; method=PUBLISH");
    let mut response = ([(header::CONTENT_TYPE, kind)], file).into_response();
    if let Ok(name) = HeaderValue::from_str(&name) {
        response.headers_mut().insert(header::CONTENT_DISPOSITION, name);
    }
    Ok(private(response))
}

async fn find(app: &Shared, code: &str, key: &str, headers: &HeaderMap) -> Result<Own, Problem> {
    let trusted = auth::signed_in(app, headers).await?.is_some();
    bookings::own(app, code, key, trusted).await?.ok_or_else(Problem::not_found)
}

/// Kept by nobody, found by no search engine, and its address told to no other site.
fn private(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    headers.insert(HeaderName::from_static("x-robots-tag"), HeaderValue::from_static("noindex, nofollow"));
    response
}

fn view(app: &Shared, page: &Page, own: &Own) -> View {
    let (lang, booking) = (page.lang, &own.booking);
    let zone = &app.config.timezone;
    let money = |amount| format::money(lang, Money { amount, ..booking.price });
    let back = booking.refunded_amount();
    let key = bookings::key(&app.config, booking.id);
    View {
        code: booking.code.to_string(),
        tone: i18n::status_tone(booking.status()),
        status_name: i18n::status_of(lang, booking),
        lead: lead(page, booking),
        offer: own.offer.clone(),
        slot: format::slot(lang, &booking.slot),
        zone: format::zone(lang, zone, booking.starts_at),
        takes: i18n::takes(lang, own.takes),
        calendar: takes_place(booking).then(|| format!("/b/{}/calendar.ics?k={key}", booking.code)),
        receipt: booking.payment().map(|payment| Receipt {
            name: format!("{} {}", booking.customer.first_name, booking.customer.last_name),
            email: booking.customer.email.clone(),
            paid_on: format::moment(lang, zone, payment.at),
            paid: money(payment.amount),
            refunded: (back > 0).then(|| money(back)),
            kept: money(payment.amount - back),
            payment: payment.intent.as_ref().map(ToString::to_string),
        }),
        price: money(booking.price.amount),
        book_again: matches!(booking.status(), Status::Expired | Status::Failed | Status::Cancelled),
    }
}

/// Whether there is something to come to.
fn takes_place(booking: &Booking) -> bool {
    booking.keeps_seat() && booking.status() != Status::Pending
}

fn lead(page: &Page, booking: &Booking) -> &'static str {
    let t = page.t;
    if booking.is_called_off() {
        return t.called_off_lead;
    }
    match booking.status() {
        Status::Pending => t.pending_lead,
        Status::Processing => t.processing_lead,
        Status::Paid => t.paid_lead,
        Status::Expired => t.expired_lead,
        Status::Failed => t.failed_lead,
        Status::Cancelled => t.cancelled_lead,
        Status::PartiallyRefunded => t.part_refunded_lead,
        Status::Refunded => t.refunded_lead,
        Status::Disputed => t.disputed_lead,
    }
}

fn invitation(app: &Shared, page: &Page, own: &Own) -> String {
    let booking = &own.booking;
    let host = app.config.app_url.split("://").last().unwrap_or_default();
    let url = format!("{}{}", app.config.app_url, bookings::own_path(&app.config, booking));
    let lang = page.lang;
    let description = format!(
        "{}\n{}{}{}",
        format::slot(lang, &booking.slot),
        page.t.reference,
        lang.pick("\u{202f}: ", ": "),
        booking.code
    );
    Invitation {
        uid: &format!("{}@{host}", booking.id),
        written_at: booking.updated_at,
        starts_at: booking.starts_at,
        ends_at: booking.starts_at.plus(own.takes),
        summary: &own.offer,
        place: "",
        description: &description,
        url: &url,
        cancelled: !takes_place(booking),
    }
    .file()
}
