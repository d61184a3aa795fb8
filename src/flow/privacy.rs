//! Forgetting people, and not sums.
//!
//! **Invariant.** What was paid, refunded and disputed stays as it is; who it was goes.

use super::accounts::Actor;
use crate::app::App;
use crate::stripe::event;
use clock::Clock;
use domain::booking::Status;
use domain::ids::BookingId;
use serde_json::{Value, json};
use std::time::Duration;
use store::{Store, StoreError, Tx};

/// Payloads that are erased in one transaction.
const AT_ONCE: i64 = 500;
/// Payloads with somebody's address that are in memory at once.
const FOUND_AT_ONCE: i64 = 50;

/// What was done for a person who wants to be forgotten.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Erased {
    /// Bookings that do not say any more whose they are.
    pub erased: Vec<BookingId>,
    /// Bookings whose payment is open: they need the address until it has ended.
    pub still_open: Vec<BookingId>,
}

/// Erases payloads that are old enough or of people who were forgotten, and keys that have served.
/// Returns how many payloads.
///
/// # Errors
/// Any [`StoreError`].
pub async fn clean_up(app: &App) -> Result<u64, StoreError> {
    let now = app.clock.now();
    let kept = Duration::from_secs(u64::from(app.config.payload_retention_days) * 86_400);
    let mut erased = 0;
    loop {
        let mut tx = app.store.begin().await?;
        let some = tx.erase_payloads(now.minus(kept), AT_ONCE).await?;
        tx.commit().await?;
        erased += some;
        if some < AT_ONCE.unsigned_abs() {
            break;
        }
    }
    let unpaid = Duration::from_secs(u64::from(app.config.unpaid_retention_days) * 86_400);
    loop {
        let mut tx = app.store.begin().await?;
        let ids = tx.unpaid_to_forget(now.minus(unpaid), AT_ONCE).await?;
        for id in &ids {
            tx.erase_person(*id, now).await?;
        }
        tx.commit().await?;
        if i64::try_from(ids.len()).is_ok_and(|n| n < AT_ONCE) {
            break;
        }
    }
    let mut tx = app.store.begin().await?;
    tx.forget_old_keys(now).await?;
    tx.commit().await?;
    Ok(erased)
}

/// Everything that is kept about a person, as JSON.
///
/// # Errors
/// Any [`StoreError`].
pub async fn export(store: &Store, email: &str) -> Result<Value, StoreError> {
    let mut tx = store.read().await?;
    let mut bookings = Vec::new();
    let ids = tx.bookings_of_person(email).await?;
    let read = |payload: &str| serde_json::from_str::<Value>(payload).unwrap_or(json!(payload));
    for id in ids.iter().copied() {
        let Some(booking) = tx.booking(id).await? else { continue };
        let payloads = tx.payloads_of(id).await?;
        let deliveries = tx.deliveries_of(id).await?;
        bookings.push(json!({
            "id": booking.id,
            "code": booking.code,
            "firstName": booking.customer.first_name,
            "lastName": booking.customer.last_name,
            "email": booking.customer.email,
            "date": booking.slot.date().to_string(),
            "time": booking.slot.time_text(),
            "status": booking.status(),
            "amount": booking.price.amount,
            "currency": booking.price.currency.as_str(),
            "amountPaid": booking.payment().map_or(0, |payment| payment.amount),
            "amountRefunded": booking.refunded_amount(),
            "stripeSessionId": booking.session,
            "createdAt": booking.created_at,
            "updatedAt": booking.updated_at,
            "receivedFromStripe": payloads.iter().map(|kept| json!({
                "id": kept.event_key, "receivedAt": kept.received_at, "content": read(&kept.payload),
            })).collect::<Vec<_>>(),
            "messages": deliveries.iter().filter(|delivery| delivery.target == "customer").map(|delivery| json!({
                "about": delivery.kind, "at": delivery.happened_at, "state": delivery.state,
            })).collect::<Vec<_>>(),
        }));
    }
    let mut others = Vec::new();
    let mut after = String::new();
    loop {
        let found = tx.payloads_with(email, &after, FOUND_AT_ONCE).await?;
        let Some(last) = found.last() else { break };
        after = last.id.clone();
        for other in found.into_iter().filter(|found| !found.booking.is_some_and(|id| ids.contains(&id))) {
            let (key, at) = (&other.kept.event_key, other.kept.received_at);
            others.push(json!({ "id": key, "receivedAt": at, "content": read(&other.kept.payload) }));
        }
    }
    tx.rollback().await?;
    Ok(json!({ "email": email, "bookings": bookings, "alsoReceivedFromStripe": others }))
}

/// Takes a person out of payloads that are kept for another reason than the person's own bookings. Whether
/// there were any.
async fn forget_elsewhere(tx: &mut Tx, email: &str, still_open: &[BookingId]) -> Result<bool, StoreError> {
    let mut any = false;
    let mut after = String::new();
    loop {
        let found = tx.payloads_with(email, &after, FOUND_AT_ONCE).await?;
        let Some(last) = found.last() else { return Ok(any) };
        after = last.id.clone();
        for found in found.iter().filter(|found| !found.booking.is_some_and(|id| still_open.contains(&id))) {
            let facts = event::without_person(&found.kept.payload, email);
            let facts = facts.filter(|text| !text.to_lowercase().contains(&email.to_lowercase()));
            tx.replace_payload(&found.id, facts.as_deref()).await?;
            any = true;
        }
    }
}

/// Forgets a person. Bookings whose payment is open are left, and named.
///
/// # Errors
/// Any [`StoreError`].
pub async fn erase(
    store: &Store,
    clock: &Clock,
    email: &str,
    actor: Actor<'_>,
) -> Result<Erased, StoreError> {
    let now = clock.now();
    let mut result = Erased::default();
    let mut tx = store.begin().await?;
    let ids = tx.bookings_of_person(email).await?;
    for booking in tx.lock_bookings(&ids).await? {
        if matches!(booking.status(), Status::Pending | Status::Processing) {
            result.still_open.push(booking.id);
            continue;
        }
        tx.erase_person(booking.id, now).await?;
        tx.audit(now, actor.name, "person.erased", &booking.id.to_string(), "", actor.request_id).await?;
        result.erased.push(booking.id);
    }
    let elsewhere = forget_elsewhere(&mut tx, email, &result.still_open).await?;
    tx.commit().await?;
    if elsewhere || !result.erased.is_empty() {
        store.scrub().await?;
    }
    Ok(result)
}
