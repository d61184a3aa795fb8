//! `GET /reservations`, `GET /api/bookings`, `GET /api/bookings/{id}`, `GET /payments`.

use super::error::Problem;
use crate::app::Shared;
use crate::flow::bookings;
use axum::Json;
use axum::extract::{Path, RawQuery, State};
use domain::Fault;
use domain::booking::{Booking, Status};
use domain::ids::{BookingId, OfferId};
use domain::lang::Lang;
use domain::payment::Outcome;
use domain::slot::Slot;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use store::bookings::BookingFilter;
use store::ledger::{Entry, LedgerFilter};
use store::page::{Cursor, DEFAULT_LIMIT, MAX_LIMIT, Page, PageRequest};

/// Bookings, newest first.
pub async fn list(State(app): State<Shared>, RawQuery(query): RawQuery) -> Result<Json<Value>, Problem> {
    let mut query = Query::parse(query.as_deref());
    let page = query.page();
    let filter = BookingFilter {
        status: query.take("status", "must be a status, such as payé", Status::parse),
        date: query.take("date", "must be a date as YYYY-MM-DD", |text| {
            Slot::parse_date(text).ok().map(|date| date.to_string())
        }),
        email: query
            .take("email", "must be an e-mail address", |text| (text.len() <= 254).then(|| text.to_owned())),
        offer: query.take("offer", "must be the id of an offer", |text| OfferId::parse(text).ok()),
        who: None,
    };
    query.finish()?;
    let mut tx = app.store.read().await?;
    let bookings = tx.list_bookings(&filter, &page).await?;
    tx.rollback().await?;
    Ok(Json(envelope(bookings, booking_json)))
}

/// One booking with its timeline.
pub async fn show(State(app): State<Shared>, Path(id): Path<String>) -> Result<Json<Value>, Problem> {
    let id = named(&app, &id).await?;
    let mut tx = app.store.read().await?;
    let booking = tx.booking(id).await?;
    let entries = tx.entries_of(id).await?;
    tx.rollback().await?;
    let booking = booking.ok_or_else(Problem::not_found)?;
    let mut json = booking_json(&booking);
    json["timeline"] = entries.iter().map(step_json).collect();
    Ok(Json(json))
}

/// The booking that an address names by its id or its code.
///
/// # Errors
/// 404 for a text that is neither, or that no booking has.
pub async fn named(app: &Shared, text: &str) -> Result<BookingId, Problem> {
    bookings::named(app, text).await?.ok_or_else(Problem::not_found)
}

/// The ledger, newest first.
pub async fn payments(State(app): State<Shared>, RawQuery(query): RawQuery) -> Result<Json<Value>, Problem> {
    let mut query = Query::parse(query.as_deref());
    let page = query.page();
    let short = |text: &str| (text.len() <= 255).then(|| text.to_owned());
    let filter = LedgerFilter {
        outcome: query.take("outcome", "must be an outcome, such as processed", Outcome::parse),
        kind: query.take("type", "must be a kind of event", short),
        booking: query.take("bookingId", "must be the id of a booking", |text| BookingId::parse(text).ok()),
        session: query.take("stripeSessionId", "must be the id of a session", short),
    };
    query.finish()?;
    let mut tx = app.store.read().await?;
    let entries = tx.list_entries(&filter, &page).await?;
    tx.rollback().await?;
    Ok(Json(envelope(entries, entry_json)))
}

/// The list envelope: `{items, meta:{count, next}}`.
pub fn envelope<T>(page: Page<T>, item: impl Fn(&T) -> Value) -> Value {
    let items: Vec<Value> = page.items.iter().map(item).collect();
    let next = page.next.as_ref().map(Cursor::encode);
    json!({ "meta": { "count": items.len(), "next": next }, "items": items })
}

/// A booking as the API shows it.
#[must_use]
pub fn booking_json(booking: &Booking) -> Value {
    let payment = booking.payment();
    json!({
        "id": booking.id,
        "code": booking.code,
        "status": booking.status(),
        "firstName": booking.customer.first_name,
        "lastName": booking.customer.last_name,
        "email": booking.customer.email,
        "date": booking.slot.date().to_string(),
        "time": booking.slot.time_text(),
        "startsAt": booking.starts_at,
        "offerId": booking.offer,
        "amount": booking.price.amount,
        "currency": booking.price.currency,
        "seat": booking.seat,
        "stripeSessionId": payment.map(|payment| &payment.session).or(booking.session.as_ref()),
        "paymentIntentId": payment.and_then(|payment| payment.intent.as_ref()),
        "amountPaid": payment.map_or(0, |payment| payment.amount),
        "amountRefunded": booking.refunded_amount(),
        "paidAt": payment.map(|payment| payment.at),
        "holdExpiresAt": booking.hold_expires_at,
        "cancelledAt": booking.cancelled.as_ref().map(|cancelled| cancelled.at),
        "cancelReason": booking.cancelled.as_ref().map(|cancelled| &cancelled.reason),
        "refunds": booking.refunds.iter().map(|refund| json!({
            "id": refund.id, "amount": refund.amount, "status": refund.status.as_str(),
        })).collect::<Vec<_>>(),
        "disputes": booking.disputes.iter().map(|dispute| json!({
            "id": dispute.id, "amount": dispute.amount,
            "currency": dispute.currency.as_deref().unwrap_or(booking.price.currency.as_str()),
            "status": dispute.status.as_str(), "dueBy": dispute.due_by,
        })).collect::<Vec<_>>(),
        "createdAt": booking.created_at,
        "updatedAt": booking.updated_at,
    })
}

/// A row of the ledger as the API shows it.
#[must_use]
pub fn entry_json(entry: &Entry) -> Value {
    json!({
        "id": entry.id,
        "stripeEventId": entry.stripe_event_id,
        "type": entry.kind,
        "stripeSessionId": entry.stripe_session_id,
        "bookingId": entry.booking_id,
        "outcome": entry.outcome.as_str(),
        "reason": entry.reason.map(|reason| reason.as_str()),
        "source": entry.source.as_str(),
        "deliveries": entry.deliveries,
        "receivedAt": entry.received_at,
        "lastDeliveredAt": entry.last_delivered_at,
        "processedAt": entry.processed_at,
        "nextTryAt": entry.next_try_at,
    })
}

fn step_json(entry: &Entry) -> Value {
    let mut json = entry_json(entry);
    json["message"] = entry.reason.map(|reason| reason.sentence(Lang::En)).into();
    json
}

/// A query string, taken apart with every fault named.
#[derive(Debug)]
pub struct Query {
    members: BTreeMap<String, String>,
    faults: Vec<Fault>,
}

impl Query {
    /// Of names given twice the last counts; empty values count as not given.
    #[must_use]
    pub fn parse(query: Option<&str>) -> Self {
        let pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
        let members = pairs.into_owned().filter(|(_, value)| !value.is_empty()).collect();
        Self { members, faults: Vec::new() }
    }

    /// The member `name`, read by `read`.
    pub fn take<T>(&mut self, name: &str, fault: &str, read: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        let text = self.members.remove(name)?;
        // PostgreSQL refuses a statement that carries NUL.
        let value = if text.contains(char::is_control) { None } else { read(&text) };
        if value.is_none() {
            self.faults.push(Fault::new(name, fault));
        }
        value
    }

    /// Whether a member is given.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.members.contains_key(name)
    }

    /// More faults, to be told with the others.
    pub fn add(&mut self, faults: impl IntoIterator<Item = Fault>) {
        self.faults.extend(faults);
    }

    /// `limit` and `next`.
    pub fn page(&mut self) -> PageRequest {
        let range = format!("must be a whole number from 1 to {MAX_LIMIT}");
        let limit = self
            .take("limit", &range, |text| text.parse().ok().filter(|limit| (1..=MAX_LIMIT).contains(limit)));
        let after = self.take("next", "must be the meta.next of the page before", Cursor::decode);
        PageRequest { limit: limit.unwrap_or(DEFAULT_LIMIT), after }
    }

    /// Every fault, those of unknown names included: a misspelt filter must not show everything.
    ///
    /// # Errors
    /// 400 with the faults.
    pub fn finish(mut self) -> Result<(), Problem> {
        let unknown = self.members.into_keys();
        self.faults.extend(unknown.map(|name| Fault::new(name, "is not a parameter of this list")));
        if self.faults.is_empty() { Ok(()) } else { Err(Problem::invalid(self.faults)) }
    }
}
