//! What strangers hold unpaid: how much at once, and how an owner gets it back.
//!
//! **Invariants.** What is open is counted in the transaction that would add to it, one by one for each name. A
//! hold is released at Stripe first: see [`super::cancel`].

use super::accounts::Actor;
use super::cancel::cancel;
use crate::app::App;
use crate::flow::checkout::{Caller, CheckoutError};
use domain::booking::NewBooking;
use domain::client_address::network;
use domain::ids::BookingId;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::ExposeSecret;
use serde::Serialize;
use sha2::Sha256;
use std::net::IpAddr;
use std::time::Duration;
use store::holds::Holder;
use store::{StoreError, Tx};

/// The most that are released by one request: each is a request to Stripe.
pub const AT_ONCE: i64 = 200;

/// Whose holds an owner wants back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pattern {
    /// All that were made from this address (IPv6: its /64).
    Address(IpAddr),
    /// All for this e-mail address; with `*` before the `@`, all of its domain.
    Email(String),
}

impl Pattern {
    /// A mail address, or `*` for every name of its domain. Never everybody.
    #[must_use]
    pub fn of_mail(email: &str) -> Option<Self> {
        let (name, domain) = email.rsplit_once('@')?;
        let one = !name.is_empty() && (name == "*" || !name.contains('*'));
        let fits = one && !domain.is_empty() && !domain.contains('*') && email.len() <= 254;
        fits.then(|| Self::Email(email.to_owned()))
    }

    /// As a person types it into one field.
    #[must_use]
    pub fn typed(text: &str) -> Option<Self> {
        text.parse().map(Self::Address).ok().or_else(|| Self::of_mail(text))
    }
}

/// What became of them.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Released {
    /// Their seats are free.
    pub released: Vec<BookingId>,
    /// Not released, and why: paid meanwhile, or Stripe does not answer.
    pub kept: Vec<Kept>,
    /// Whether there may be more: ask again.
    pub more: bool,
}

/// A hold that was not released.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Kept {
    /// The booking.
    pub booking_id: BookingId,
    /// Why.
    pub reason: String,
}

/// A client address as it is kept: by a name that tells nothing to whoever does not have our secret.
#[must_use]
pub fn client_key(app: &App, address: IpAddr) -> String {
    let secret = app.config.session_secret.expose_secret().as_bytes();
    #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("any key");
    mac.update(b"holds\0client\0");
    mac.update(network(address).to_string().as_bytes());
    hex::encode(mac.finalize().into_bytes())
}

/// Lets the caller hold one more, or says what there are too many of.
///
/// # Errors
/// [`CheckoutError::TooManyHolds`]; else any [`StoreError`].
pub async fn admit(app: &App, tx: &mut Tx, wish: &NewBooking, caller: &Caller) -> Result<(), CheckoutError> {
    let now = app.clock.now();
    let (client, owner) = (caller.client.as_deref(), caller.owner_hash.as_deref());
    let email = wish.customer.email.to_lowercase();
    // In one order for everybody, or two could wait for each other.
    let mut names: Vec<&str> = [client, owner, Some(email.as_str())].into_iter().flatten().collect();
    names.sort_unstable();
    for name in names {
        tx.lock_holder(name).await?;
    }
    let (open, first_ends) = tx.open_holds(client, owner, &email, now).await?;
    app.config.hold_limits.admit(open).map_err(|what| {
        let retry_after = first_ends.map_or(Duration::from_secs(60), |ends| ends.since(now));
        CheckoutError::TooManyHolds { what, retry_after }
    })
}

/// What somebody holds unpaid, at most [`AT_ONCE`] of it.
///
/// # Errors
/// Any [`StoreError`].
pub async fn held_by(app: &App, pattern: &Pattern) -> Result<Vec<BookingId>, StoreError> {
    let key;
    let holder = match pattern {
        Pattern::Address(address) => {
            key = client_key(app, *address);
            Holder::Client(&key)
        }
        Pattern::Email(email) => match email.strip_prefix("*@") {
            Some(domain) => Holder::Domain(domain),
            None => Holder::Email(email),
        },
    };
    let mut tx = app.store.read().await?;
    let holds = tx.holds_like(holder, AT_ONCE).await?;
    tx.rollback().await?;
    Ok(holds)
}

/// Releases what somebody holds unpaid, each at Stripe first.
///
/// # Errors
/// Any [`StoreError`].
pub async fn release(app: &App, pattern: &Pattern, actor: Actor<'_>) -> Result<Released, StoreError> {
    let holds = held_by(app, pattern).await?;
    let mut result =
        Released { more: i64::try_from(holds.len()).is_ok_and(|n| n >= AT_ONCE), ..Released::default() };
    for booking in holds {
        match cancel(app, booking, "", actor).await {
            Ok(_) => result.released.push(booking),
            Err(error) => result.kept.push(Kept { booking_id: booking, reason: error.to_string() }),
        }
    }
    tracing::info!(
        module = "booking",
        action = "booking.holds_released",
        released = result.released.len(),
        kept = result.kept.len(),
        "an owner took unpaid seats back"
    );
    Ok(result)
}
