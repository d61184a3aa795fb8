//! Callers' `Idempotency-Key`s: what one was answered with, and that its request goes on.

use super::{CheckoutError, Started};
use crate::app::App;
use clock::Timestamp;
use domain::booking::BookingRequest;
use sha2::{Digest, Sha256};
use std::convert::Infallible;
use store::StoreError;
use store::idempotency::STILL_HERE;

/// The scope of callers' keys for this operation.
pub(super) const SCOPE: &str = "checkout";

/// Says again and again that the request with `key` goes on: when nobody says so any more, it has died.
pub(super) async fn keep_key(app: &App, key: &str) -> Infallible {
    loop {
        tokio::time::sleep(STILL_HERE).await;
        let kept = async {
            let mut tx = app.store.begin().await?;
            tx.keep_key(SCOPE, key, app.clock.now()).await?;
            tx.commit().await
        };
        if let Err(error) = kept.await {
            // Should another request take over, it goes on with the same booking and the same key at Stripe.
            tracing::warn!(module = "checkout", action = "checkout.key_not_kept", "{error}");
        }
    }
}

/// Lets a key be tried again at once after a failure: it resumes its booking.
pub(super) async fn let_go(app: &App, key: &str) {
    let released = async {
        let mut tx = app.store.begin().await?;
        tx.release_key(SCOPE, key).await?;
        tx.commit().await
    };
    if let Err(error) = released.await {
        tracing::warn!(module = "checkout", action = "booking.key_not_released", "{error}");
    }
}

/// What the key was answered with, if it was answered.
pub(super) async fn answered(
    app: &App,
    key: &str,
    hash: &str,
    now: Timestamp,
) -> Result<Option<Started>, CheckoutError> {
    let mut tx = app.store.read().await?;
    let answer = tx.answer_of_key(SCOPE, key, hash, now).await?;
    tx.rollback().await?;
    Ok(answer.map(|answer| read_answer(&answer)).transpose()?)
}

pub(super) fn read_answer(answer: &str) -> Result<Started, StoreError> {
    serde_json::from_str(answer)
        .map_err(|_| StoreError::Corrupt { place: "idempotency_keys.response", value: String::new() })
}

/// The same request has the same hash, however its JSON was written.
pub(super) fn request_hash(request: &BookingRequest) -> String {
    let BookingRequest { first_name, last_name, email, date, time, offer } = request;
    let offer = offer.as_deref().map(str::trim).filter(|offer| !offer.is_empty());
    let canonical = serde_json::json!([
        first_name.trim(),
        last_name.trim(),
        email.trim(),
        date.trim(),
        time.trim(),
        offer,
    ]);
    hex::encode(Sha256::digest(canonical.to_string()))
}
