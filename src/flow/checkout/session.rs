//! A booking's session at Stripe: made once for each attempt, or found again; then attached, if the booking still
//! waits for it.

use super::key::SCOPE;
use super::reserve::{hold_from, is_paid};
use super::{CheckoutError, Started};
use crate::app::App;
use crate::flow::{recall, reconcile};
use crate::stripe::StripeError;
use crate::stripe::client::NewSession;
use crate::stripe::objects::{CheckoutSession, Polled};
use clock::Timestamp;
use domain::Fault;
use domain::booking::{Booking, Status};
use domain::calendar;
use domain::ids::{BookingId, SessionId};
use domain::lang::Lang;
use domain::offer::Offer;
use domain::reserve::{self, Attachment};
use std::time::Duration;
use store::{StoreError, bookings};

/// How long the closing of a session that nobody waits for may take, before the reconciliation takes it over.
const CLOSED_BY: Duration = Duration::from_secs(60);
/// How long, and how often, one looks whether another request has made the session.
const OTHERS_TAKE: Duration = Duration::from_secs(5);
const OTHERS_PAUSE: Duration = Duration::from_millis(100);

/// A session that Stripe has made.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) session: SessionId,
    url: String,
    expires_at: Timestamp,
}

/// What the attaching led to.
#[derive(Debug)]
pub(super) enum Attached {
    /// The payment page is the booking's.
    Started(Started),
    /// The booking waits with another session.
    Another(Box<Booking>),
}

/// Attaches the session that Stripe has made, if the booking still waits for it: Stripe took its time, and
/// meanwhile the booking may have been cancelled or paid, and its seat given away. A session that nobody waits
/// for any more is closed before its address is shown to anybody, or by the reconciliation.
///
/// # Errors
/// [`CheckoutError::Ended`], [`CheckoutError::AlreadyPaid`].
pub(super) async fn attach(
    app: &App,
    booking: BookingId,
    made: &Made,
    key: Option<&str>,
) -> Result<Attached, CheckoutError> {
    let now = app.clock.now();
    let mut tx = app.store.begin().await?;
    let Some(locked) = tx.lock_bookings(&[booking]).await?.pop() else {
        return Err(CheckoutError::Ended(booking));
    };
    let verdict = reserve::attach(&locked, &made.session);
    match verdict {
        Attachment::Attach | Attachment::Attached => {
            let started = Started {
                url: made.url.clone(),
                stripe_session_id: made.session.to_string(),
                booking_id: booking.to_string(),
            };
            tx.attach_session(booking, &made.session, Some(&made.url), made.expires_at, now).await?;
            if let Some(key) = key {
                tx.finish_key(SCOPE, key, &serde_json::to_string(&started).unwrap_or_default()).await?;
            }
            tx.commit().await?;
            return Ok(Attached::Started(started));
        }
        Attachment::Superseded | Attachment::Paid | Attachment::Ended => {
            tx.close_later(&made.session, booking, now.plus(CLOSED_BY), now).await?;
            tx.commit().await?;
        }
    }
    tracing::warn!(
        module = "checkout",
        action = "checkout.booking_moved_on",
        %booking,
        "its session is closed: the booking is {}",
        locked.status()
    );
    // Should this fail, the session is known as one that is to be closed.
    let closed = reconcile::close_session(app, &made.session).await;
    if let Err(error) = &closed {
        tracing::warn!(module = "checkout", action = "checkout.session_not_closed", %booking, "{error}");
    }
    match verdict {
        Attachment::Superseded => Ok(Attached::Another(Box::new(locked))),
        Attachment::Paid => Err(CheckoutError::AlreadyPaid(booking)),
        Attachment::Attach | Attachment::Attached | Attachment::Ended => Err(CheckoutError::Ended(booking)),
    }
}

/// Waits for the session that another request of the same caller is making at this moment: Stripe makes one for a
/// key at a time. None if it is not there in time.
pub(super) async fn made_by_another(app: &App, booking: BookingId) -> Result<Option<Booking>, StoreError> {
    let mut waited = Duration::ZERO;
    loop {
        let mut tx = app.store.read().await?;
        let now = tx.booking(booking).await?;
        tx.rollback().await?;
        match now {
            Some(booking) if booking.session.is_some() => return Ok(Some(booking)),
            Some(booking) if booking.status() == Status::Pending && waited < OTHERS_TAKE => {}
            Some(_) | None => return Ok(None),
        }
        tokio::time::sleep(OTHERS_PAUSE).await;
        waited += OTHERS_PAUSE;
    }
}

/// Makes the booking's session at Stripe, or finds the one that was made.
pub(super) async fn open_session(app: &App, booking: &Booking, offer: &Offer) -> Result<Made, CheckoutError> {
    let failed = |error| CheckoutError::Stripe { booking: booking.id, error };
    let mut expires_at = booking.hold_expires_at;
    for last in [false, true] {
        let mut tx = app.store.read().await?;
        let state = tx.checkout_state(booking.id).await?;
        let status = tx.booking(booking.id).await?.map(|now| now.status());
        tx.rollback().await?;
        let state = match (state, status) {
            (Some(state), Some(Status::Pending)) => state,
            (_, Some(status)) if is_paid(status) => return Err(CheckoutError::AlreadyPaid(booking.id)),
            (_, Some(_) | None) => return Err(CheckoutError::Ended(booking.id)),
        };
        let error = match create(app, booking, offer, state.lang, state.attempt, expires_at).await {
            Ok(object) => return read_session(&object).ok_or_else(|| failed(not_a_session())),
            Err(error) => error,
        };
        tracing::warn!(
            module = "stripe",
            action = "booking.checkout_session.failed",
            booking = %booking.id,
            "{error}"
        );
        if !error.spends_the_key() {
            return Err(failed(error));
        }
        // This try or one before may have made it without our having heard of it.
        if let Some(object) = find_session(app, booking).await.map_err(failed)? {
            return read_session(&object).ok_or_else(|| failed(not_a_session()));
        }
        let refused_email =
            matches!(&error, StripeError::Refused { param: Some(param), .. } if param == "customer_email");
        let mut tx = app.store.begin().await?;
        if refused_email {
            let locked = tx.lock_bookings(&[booking.id]).await?.pop();
            let released = locked.and_then(|locked| reserve::release_unattached(&locked, app.clock.now()));
            if let Some(released) = released {
                tx.write(bookings::save(&[&released])).await?;
            }
            tx.commit().await?;
            let fault = Fault::coded("email", "email", "was refused by Stripe: check the address");
            return Err(CheckoutError::Invalid(vec![fault]));
        }
        // By Stripe's clock if that is ahead of ours: what it refused may have been too early for it.
        expires_at = hold_from(app.clock.now().max(app.stripe.last_date()));
        tx.next_attempt(booking.id, state.attempt, expires_at).await?;
        tx.commit().await?;
        if last {
            return Err(failed(error));
        }
    }
    Err(failed(not_a_session()))
}

async fn create(
    app: &App,
    booking: &Booking,
    offer: &Offer,
    lang: Lang,
    attempt: i32,
    expires_at: Timestamp,
) -> Result<Polled<CheckoutSession>, StripeError> {
    let reference = booking.id.to_string();
    let instance = app.instance.to_string();
    let base = &app.config.app_url;
    let slot = calendar::slot(lang, &booking.slot);
    let session = NewSession {
        name: &offer.name,
        description: &slot,
        payment_description: &format!("{}, {slot}", offer.name),
        amount: booking.price.amount,
        currency: booking.price.currency.as_str(),
        reference: &reference,
        instance: &instance,
        email: &booking.customer.email,
        success_url: &format!("{base}/success?session_id={{CHECKOUT_SESSION_ID}}"),
        cancel_url: &format!("{base}/cancel"),
        expires_at: expires_at.as_unix_seconds(),
        locale: lang.as_str(),
        metadata: &recall::metadata(booking, offer, lang),
    };
    app.stripe.create_session(&session, &format!("{reference}-{attempt}")).await
}

/// The session that Stripe has for this booking, looked for by time and reference.
async fn find_session(app: &App, booking: &Booking) -> Result<Option<Polled<CheckoutSession>>, StripeError> {
    // Clocks differ: an hour before is enough, and costs little.
    let sessions = app.stripe.sessions_since(booking.created_at.minus(Duration::from_secs(3600))).await?;
    Ok(sessions.into_iter().find(|session| session.claim.reference == Some(booking.id)))
}

fn read_session(session: &CheckoutSession) -> Option<Made> {
    Some(Made { session: session.id.clone(), url: session.url.clone()?, expires_at: session.expires_at? })
}

fn not_a_session() -> StripeError {
    StripeError::Uncertain("an answer that is no open session".to_owned())
}
