//! What can be booked, as an ADMIN decides it.

use super::accounts::Actor;
use crate::app::App;
use domain::ids::OfferId;
use domain::offer::{Offer, OfferTerms};
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

/// Changes an offer; bookings keep the price they were made at. `false` if there is none.
///
/// # Errors
/// Any [`StoreError`].
pub async fn update(app: &App, id: OfferId, terms: &OfferTerms, by: Actor<'_>) -> Result<bool, StoreError> {
    let now = app.clock.now();
    let mut tx = app.store.begin().await?;
    let changed = tx.update_offer(id, terms, now).await?;
    if changed {
        tx.audit(now, by.name, "offer.changed", &id.to_string(), &describe(terms), by.request_id).await?;
    }
    tx.commit().await?;
    Ok(changed)
}

fn describe(terms: &OfferTerms) -> String {
    let OfferTerms { name, price, capacity, active, grid, duration, step, resource } = terms;
    let state = if *active { "active" } else { "inactive" };
    let times = if grid.is_empty() { "any time".to_owned() } else { format!("{} times", grid.len()) };
    let step = step.map(|step| format!(" every {step} min")).unwrap_or_default();
    let needs = resource.as_ref().map(|resource| format!(", needs {resource}")).unwrap_or_default();
    format!("{name}, {price}, capacity {capacity}, {duration} min{step}, {times}{needs}, {state}")
}
