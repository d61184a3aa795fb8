//! What can be booked, as an ADMIN decides it.

use super::accounts::Actor;
use crate::app::App;
use domain::ids::OfferId;
use domain::offer::{Offer, OfferTerms};
use domain::slot::Slot;
use store::StoreError;

/// Every offer, also those that cannot be booked now, oldest first.
///
/// # Errors
/// Any [`StoreError`].
pub async fn all(app: &App) -> Result<Vec<Offer>, StoreError> {
    let mut tx = app.store.read().await?;
    let offers = tx.offers().await?;
    tx.rollback().await?;
    Ok(offers)
}

/// One offer.
///
/// # Errors
/// Any [`StoreError`].
pub async fn find(app: &App, id: OfferId) -> Result<Option<Offer>, StoreError> {
    let mut tx = app.store.read().await?;
    let offer = tx.offer(id).await?;
    tx.rollback().await?;
    Ok(offer)
}

/// Makes an offer.
///
/// # Errors
/// Any [`StoreError`].
pub async fn create(app: &App, terms: &OfferTerms, by: Actor<'_>) -> Result<OfferId, StoreError> {
    let (id, now) = (OfferId::from(clock::new_id()), app.clock.now());
    let mut tx = app.store.begin().await?;
    tx.insert_offer(id, terms, now).await?;
    tx.audit(now, by.name, "offer.created", &id.to_string(), &describe(terms), by.request_id).await?;
    tx.commit().await?;
    Ok(id)
}

/// The slots in which more seats are taken than the offer has now. Nobody loses a seat, and nothing is sold there
/// until there is room.
#[derive(Debug, Clone, Default)]
pub struct Overfull {
    /// The first of them, with how many seats are taken.
    pub first: Vec<(Slot, i64)>,
    /// How many there are, up to a thousand.
    pub count: usize,
}

/// Slots that an answer names.
const NAMED: usize = 20;

/// Changes an offer; bookings keep the price they were made at, and their seats. None if there is no such offer.
///
/// # Errors
/// Any [`StoreError`].
pub async fn update(
    app: &App,
    id: OfferId,
    terms: &OfferTerms,
    by: Actor<'_>,
) -> Result<Option<Overfull>, StoreError> {
    let now = app.clock.now();
    let mut tx = app.store.begin().await?;
    if !tx.update_offer(id, terms, now).await? {
        return Ok(None);
    }
    // The offer is locked by its change: what is taken now is what was taken before it counts.
    let (first, count) = tx.overfull_slots(id, now, NAMED).await?;
    let mut detail = describe(terms);
    if count > 0 {
        detail = format!("{detail}; more is taken in {count} slots");
    }
    tx.audit(now, by.name, "offer.changed", &id.to_string(), &detail, by.request_id).await?;
    tx.commit().await?;
    Ok(Some(Overfull { first, count }))
}

fn describe(terms: &OfferTerms) -> String {
    let OfferTerms { name, price, capacity, active, grid, duration, step, resource } = terms;
    let state = if *active { "active" } else { "inactive" };
    let times = if grid.is_empty() { "any time".to_owned() } else { format!("{} times", grid.len()) };
    let step = step.map(|step| format!(" every {step} min")).unwrap_or_default();
    let needs = resource.as_ref().map(|resource| format!(", needs {resource}")).unwrap_or_default();
    format!("{name}, {price}, capacity {capacity}, {duration} min{step}, {times}{needs}, {state}")
}
