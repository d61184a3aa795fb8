//! Giving up what a browser holds: its payment page is closed at Stripe before its seat is let go.

use super::reserve::Reserved;
use super::session::open_session;
use super::{Caller, CheckoutError};
use crate::app::App;
use crate::stripe::StripeError;
use domain::booking::Booking;
use domain::offer::Offer;

/// Gives up what else this browser holds, if the caller wants this booking instead. If something of it
/// was paid meanwhile, that is what counts: then the new booking is the one that is given up.
pub(super) async fn give_up_others(
    app: &App,
    caller: &Caller,
    reserved: &Reserved,
) -> Result<(), CheckoutError> {
    let (true, Some(owner_hash)) = (caller.instead, &caller.owner_hash) else { return Ok(()) };
    let is_other = |held: &Booking| match reserved {
        // Of two forms sent at once the later one counts; each giving up the other would leave nothing.
        Reserved::Fresh(booking) => (held.created_at, held.id) < (booking.created_at, booking.id),
        Reserved::Unfinished(booking) => held.id != booking.id,
        Reserved::Answered(started) => held.id.to_string() != started.booking_id,
    };
    let mut tx = app.store.read().await?;
    let mut others = Vec::new();
    for held in tx.holds_of(owner_hash).await?.into_iter().filter(is_other) {
        others.extend(tx.offer(held.offer).await?.map(|offer| (held, offer)));
    }
    tx.rollback().await?;
    for (held, offer) in others {
        let Err(error) = give_up(app, &held, &offer).await else { continue };
        if let (CheckoutError::AlreadyPaid(_), Reserved::Fresh(new) | Reserved::Unfinished(new)) =
            (&error, reserved)
        {
            free_again(app, new).await;
        }
        return Err(error);
    }
    Ok(())
}

/// Frees the seat of a booking that nobody wants any more. What fails here is left to the
/// reconciliation: no payment page was shown for it.
async fn free_again(app: &App, booking: &Booking) {
    let freed = async {
        let mut tx = app.store.read().await?;
        let offer = tx.offer(booking.offer).await?;
        tx.rollback().await?;
        match offer {
            Some(offer) => give_up(app, booking, &offer).await,
            None => Ok(()),
        }
    };
    if let Err(error) = freed.await {
        tracing::warn!(module = "checkout", action = "booking.seat_not_freed", booking = %booking.id, "{error}");
    }
}

/// Closes a booking's payment page at Stripe and ends it by what Stripe says. One that has none gets it
/// first: a lost try may have made it, and only what is known can be closed.
///
/// # Errors
/// [`CheckoutError::AlreadyPaid`] if it was paid meanwhile; else a [`CheckoutError`] while it can still be
/// paid, or while that is not known.
pub(super) async fn give_up(app: &App, held: &Booking, offer: &Offer) -> Result<(), CheckoutError> {
    let session = match held.session.clone() {
        Some(session) => session,
        None => match open_session(app, held, offer).await {
            Ok(made) => made.session,
            // Stripe refused the address: there is no session, and the seat was let go. Or it was before.
            Err(CheckoutError::Invalid(_) | CheckoutError::Ended(_)) => return Ok(()),
            Err(error) => return Err(error),
        },
    };
    let stripe = |error| CheckoutError::Stripe { booking: held.id, error };
    let object = match app.stripe.expire_session(&session).await {
        Ok(object) => object,
        Err(refused @ StripeError::Refused { .. }) => {
            let object = app.stripe.session(&session, None).await.map_err(stripe)?;
            if object.is_open() {
                // It can still be paid: a second one beside it could be paid as well.
                return Err(stripe(refused));
            }
            object
        }
        Err(error) => return Err(stripe(error)),
    };
    match app.recorder.record_seen(object.seen()).await? {
        Some(_) if object.is_complete() => Err(CheckoutError::AlreadyPaid(held.id)),
        _ => Ok(()),
    }
}
