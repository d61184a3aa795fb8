//! From a customer's wish to a payment page: seat first, then Stripe, then the session attached.
//!
//! **Invariants.** The seat and the pending booking are committed before Stripe is called. No
//! transaction is open while Stripe is called. A booking's session is made with one idempotency key
//! and one content for each attempt, and a new attempt begins only when it is certain that the one
//! before made none: so a booking never has two sessions that can be paid. A session is attached only if the
//! booking, locked, still waits for it; otherwise it is closed. A crash after any step is healed by the webhook,
//! by the same caller's repetition, or by reconciliation.

mod give_up;
mod key;
mod reserve;
mod session;

use self::reserve::{Reserved, Taken};
use self::session::Attached;
use crate::app::App;
use crate::failpoint;
use crate::flow::hours;
use crate::flow::recorder::RecordError;
use crate::stripe::StripeError;
use domain::Fault;
use domain::booking::{BookingRequest, NewBooking};
use domain::holds::TooMany;
use domain::ids::BookingId;
use domain::lang::Lang;
use domain::offer::Offer;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use store::StoreError;

/// How long a session can be paid, and so how long a seat is held unpaid. Stripe takes 30 minutes at
/// least, counted from its own clock at creation: five more cover a slow call and clocks that differ.
pub const HOLD: Duration = Duration::from_secs(35 * 60);

/// Who asks, beside what is asked.
#[derive(Debug, Clone, Default)]
pub struct Caller {
    /// `Idempotency-Key`, if one was sent.
    pub idempotency_key: Option<String>,
    /// The hash of this browser's cookie, by which it resumes what it holds.
    pub owner_hash: Option<String>,
    /// From where, as [`crate::flow::holds::client_key`] names it.
    pub client: Option<String>,
    /// The language for the payment page and mails.
    pub lang: Lang,
    /// Whether whatever else this browser holds unpaid is given up for this booking. So it is for the
    /// storefront, where choosing another slot means it instead; a program says itself what it wants.
    pub instead: bool,
}

/// A payment page that waits for its customer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Started {
    /// Where to pay.
    pub url: String,
    /// Stripe's session.
    pub stripe_session_id: String,
    /// The booking.
    pub booking_id: String,
}

/// Why there is no payment page.
#[derive(Debug, thiserror::Error)]
pub enum CheckoutError {
    /// The request is wrong.
    #[error("the request is not valid")]
    Invalid(Vec<Fault>),
    /// Every seat of the slot is taken.
    #[error("the slot is full")]
    SlotFull,
    /// Too much is held unpaid already.
    #[error("too many unpaid bookings are open")]
    TooManyHolds {
        /// Of what.
        what: TooMany,
        /// When the first of them ends.
        retry_after: Duration,
    },
    /// A backup was restored, and Stripe was not asked yet what was sold since it was taken.
    #[error("a backup was restored, and no reconciliation has followed")]
    Closed,
    /// The caller has paid already: for this slot, or for the one that this was to replace.
    #[error("the booking is paid or its payment is on its way")]
    AlreadyPaid(BookingId),
    /// The booking was cancelled, or its seat given away, while its payment page was being made.
    #[error("booking {0} ended while its payment page was being made")]
    Ended(BookingId),
    /// Another request with this `Idempotency-Key` is being served.
    #[error("a request with this Idempotency-Key is in flight")]
    KeyInFlight,
    /// The `Idempotency-Key` was used with another body.
    #[error("the Idempotency-Key was used with another body")]
    KeyReused,
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Stripe; the booking keeps its seat for another attempt.
    #[error("no payment page for booking {booking}: {error}")]
    Stripe {
        /// The booking.
        booking: BookingId,
        /// What Stripe said, or that it said nothing.
        error: StripeError,
    },
    /// A state that Stripe told could not be recorded.
    #[error(transparent)]
    Record(#[from] RecordError),
}

/// Books a seat and opens a payment page, or resumes the one that the caller has open.
///
/// # Errors
/// A [`CheckoutError`]. After [`CheckoutError::Stripe`] the same caller may try again: the seat stays
/// held.
pub async fn start(app: &App, request: &BookingRequest, caller: &Caller) -> Result<Started, CheckoutError> {
    let now = app.clock.now();
    let key = caller.idempotency_key.as_deref().map(|key| (key, key::request_hash(request)));
    if let Some((key, hash)) = &key
        && let Some(started) = key::answered(app, key, hash, now).await?
    {
        // Before the request is judged: what was right then may be a slot in the past by now.
        return Ok(started);
    }
    let wish = NewBooking::parse(request, &app.config.timezone, now).map_err(CheckoutError::Invalid)?;
    let offer = choose_offer(app, &wish).await?;
    let work = make(app, &wish, &offer, caller, key.as_ref());
    match &key {
        Some((key, _)) => {
            tokio::select! {
                started = work => started,
                never = key::keep_key(app, key) => match never {},
            }
        }
        None => work.await,
    }
}

async fn make(
    app: &App,
    wish: &NewBooking,
    offer: &Offer,
    caller: &Caller,
    key: Option<&(&str, String)>,
) -> Result<Started, CheckoutError> {
    let Taken { reserved, offer } = reserve::reserve(app, wish, offer, caller, key).await?;
    failpoint::here("checkout.before_stripe");
    // After the new seat is sure and before it can be paid: nobody loses a seat because the new slot is
    // full, and nobody has two payment pages.
    let others_gone = give_up::give_up_others(app, caller, &reserved).await;
    let unfinished = matches!(reserved, Reserved::Unfinished(_));
    let booking = match reserved {
        Reserved::Answered(started) => return others_gone.map(|()| started),
        Reserved::Fresh(booking) | Reserved::Unfinished(booking) => booking,
    };
    let result = match others_gone {
        Ok(()) => session::open_session(app, &booking, &offer).await,
        Err(error) => Err(error),
    };
    failpoint::here("checkout.after_stripe");
    let key = key.map(|(key, _)| *key);
    if let (Err(CheckoutError::Stripe { error: StripeError::Uncertain(_), .. }), true) = (&result, unfinished)
        && let Some(booking) = session::made_by_another(app, booking.id).await?
    {
        return reserve::resume_another(app, booking, key).await;
    }
    let attached = match result {
        Ok(made) => session::attach(app, booking.id, &made, key).await,
        Err(error) => Err(error),
    };
    let started = match attached {
        Ok(Attached::Started(started)) => Ok(started),
        Ok(Attached::Another(booking)) => reserve::resume_another(app, *booking, key).await,
        Err(error) => Err(error),
    };
    match (&started, key) {
        (Ok(started), _) => {
            let booking = &started.booking_id;
            tracing::info!(module = "stripe", action = "stripe.checkout_session.created", %booking, "a payment page waits");
        }
        (Err(_), Some(key)) => key::let_go(app, key).await,
        (Err(_), None) => {}
    }
    started
}

/// What can be booked, in the order in which the storefront shows it.
///
/// # Errors
/// [`StoreError`].
pub async fn active_offers(app: &App) -> Result<Vec<Offer>, StoreError> {
    let mut tx = app.store.read().await?;
    let mut offers = tx.offers().await?;
    tx.rollback().await?;
    offers.retain(|offer| offer.active);
    Ok(offers)
}

fn unknown_offer() -> CheckoutError {
    let text = "must be the id of an offer that can be booked";
    CheckoutError::Invalid(vec![Fault::coded("offer", "unknown_offer", text)])
}

async fn choose_offer(app: &App, wish: &NewBooking) -> Result<Offer, CheckoutError> {
    let offers = active_offers(app).await?;
    let chosen = match wish.offer {
        Some(id) => offers.into_iter().find(|offer| offer.id == id),
        None => offers.into_iter().next(),
    };
    let offer = chosen.ok_or_else(unknown_offer)?;
    // The one rule that says what can be booked, as the storefront and `/api/slots` show it.
    match hours::judge(app, &offer, &wish.slot, wish.starts_at).await? {
        Ok(()) => Ok(offer),
        Err(refusal) => Err(CheckoutError::Invalid(vec![refusal.fault()])),
    }
}
