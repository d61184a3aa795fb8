//! A booking's session at Stripe: made once for each attempt, or found again.

use super::CheckoutError;
use super::reserve::hold_from;
use crate::app::App;
use crate::flow::recall;
use crate::stripe::StripeError;
use crate::stripe::client::NewSession;
use crate::stripe::objects::{CheckoutSession, Polled};
use clock::Timestamp;
use domain::Fault;
use domain::booking::Booking;
use domain::calendar;
use domain::ids::SessionId;
use domain::lang::Lang;
use domain::offer::Offer;
use std::time::Duration;

/// Makes the booking's session at Stripe, or finds the one that was made.
pub(super) async fn open_session(
    app: &App,
    booking: &Booking,
    offer: &Offer,
) -> Result<(SessionId, String, Timestamp), CheckoutError> {
    let failed = |error| CheckoutError::Stripe { booking: booking.id, error };
    let mut expires_at = booking.hold_expires_at;
    for last in [false, true] {
        let mut tx = app.store.read().await?;
        let state = tx.checkout_state(booking.id).await?;
        tx.rollback().await?;
        let Some(state) = state else { return Err(CheckoutError::SlotFull) };
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
            tx.release_unattached(booking.id, app.clock.now()).await?;
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

fn read_session(session: &CheckoutSession) -> Option<(SessionId, String, Timestamp)> {
    Some((session.id.clone(), session.url.clone()?, session.expires_at?))
}

fn not_a_session() -> StripeError {
    StripeError::Uncertain("an answer that is no open session".to_owned())
}
