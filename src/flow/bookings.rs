//! Finding a booking by what people call it, and the signed link to a customer's own page.
//!
//! **Invariant.** A code opens nothing: beside it stands a key that only this service can make, or somebody is
//! signed in.

use crate::app::App;
use crate::config::Config;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::booking::Booking;
use domain::code::Code;
use domain::ids::BookingId;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::ExposeSecret;
use sha2::Sha256;
use std::time::Duration;
use store::StoreError;

/// What the key of a customer's page is made of besides, so that it fits nothing else.
const PURPOSE: &[u8] = b"the customer's own page, 1";
/// Bytes of a key: nobody guesses them, and an address stays short enough for a mail.
const KEY_BYTES: usize = 18;

/// A booking with what its customer is shown beside it.
#[derive(Debug, Clone)]
pub struct Own {
    /// The booking.
    pub booking: Booking,
    /// Its offer's name.
    pub offer: String,
    /// How long it takes.
    pub takes: Duration,
}

/// The booking that a text names: by its id, or by its code however that is typed.
///
/// # Errors
/// Any [`StoreError`].
pub async fn named(app: &App, text: &str) -> Result<Option<BookingId>, StoreError> {
    if let Ok(id) = BookingId::parse(text) {
        return Ok(Some(id));
    }
    let Some(code) = Code::parse(text) else { return Ok(None) };
    let mut tx = app.store.read().await?;
    let id = tx.booking_by_code(code).await?;
    tx.rollback().await?;
    Ok(id)
}

/// The booking with this code, for who has `key` or is `trusted`. None for everybody else, and for a code that
/// no booking has, after the same work.
///
/// # Errors
/// Any [`StoreError`].
pub async fn own(app: &App, code: &str, key: &str, trusted: bool) -> Result<Option<Own>, StoreError> {
    let mut tx = app.store.read().await?;
    // A code that cannot be is looked for all the same, under the code of nobody.
    let nobody = BookingId::from(uuid::Uuid::nil());
    let wanted = Code::parse(code).unwrap_or_else(|| Code::of(nobody, 0));
    let found = tx.booking_by_code(wanted).await?.filter(|_| Code::parse(code).is_some());
    let fits = fits(&app.config, found.unwrap_or(nobody), key);
    let Some(id) = found.filter(|_| fits || trusted) else {
        tx.rollback().await?;
        return Ok(None);
    };
    let Some(booking) = tx.booking(id).await? else { return Ok(None) };
    let offer = tx.offer(booking.offer).await?.map(|offer| offer.name).unwrap_or_default();
    let minutes = tx.minutes_of(id).await?;
    tx.rollback().await?;
    let takes = Duration::from_secs(u64::try_from(minutes).unwrap_or(60) * 60);
    Ok(Some(Own { booking, offer, takes }))
}

/// The way to a customer's own page, from the root of the site.
#[must_use]
pub fn own_path(config: &Config, booking: &Booking) -> String {
    format!("/b/{}?k={}", booking.code, key(config, booking.id))
}

/// The key to a customer's own page.
#[must_use]
pub fn key(config: &Config, booking: BookingId) -> String {
    let Some(mac) = mac(config, booking) else { return String::new() };
    let bytes = mac.finalize().into_bytes();
    URL_SAFE_NO_PAD.encode(bytes.get(..KEY_BYTES).unwrap_or(&bytes))
}

/// Whether it is the key, in the same time for every key of its length.
fn fits(config: &Config, booking: BookingId, key: &str) -> bool {
    let given = URL_SAFE_NO_PAD.decode(key).ok().filter(|given| given.len() == KEY_BYTES);
    // Compared in any case: what is no key takes as long as a wrong one.
    let (given, possible) = given.map_or((vec![0; KEY_BYTES], false), |given| (given, true));
    let equal = mac(config, booking).is_some_and(|mac| mac.verify_truncated_left(&given).is_ok());
    possible && equal
}

fn mac(config: &Config, booking: BookingId) -> Option<Hmac<Sha256>> {
    let derived = keyed(config.session_secret.expose_secret().as_bytes(), PURPOSE)?.finalize().into_bytes();
    keyed(&derived, booking.to_string().as_bytes())
}

fn keyed(key: &[u8], data: &[u8]) -> Option<Hmac<Sha256>> {
    // HMAC takes keys of any length.
    let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    mac.update(data);
    Some(mac)
}
