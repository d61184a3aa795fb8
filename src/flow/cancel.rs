//! Cancelling an unpaid booking.
//!
//! **Invariant.** Its session is expired at Stripe first: a cancelled booking cannot be paid any more. One that knows of
//! no session is looked for in Stripe's list: its session may have been made and not written down. Where Stripe knows no
//! such session, or it was paid as it should not have been, a person has looked at the case and settled it.

use super::accounts::Actor;
use super::reconcile;
use super::recorder::RecordError;
use crate::app::App;
use crate::stripe::StripeError;
use crate::stripe::objects::SessionStatus;
use domain::booking::{Booking, Cancellation, Progress, Status};
use domain::event::PaymentStatus;
use domain::ids::BookingId;
use domain::reconcile::AFTER_HOLD;
use std::time::Duration;
use store::cases::CaseRecord;
use store::{StoreError, bookings};

/// A booking this young may have its payment page being made at this moment.
const STILL_OPENING: Duration = Duration::from_secs(60);

/// Why a booking was not cancelled.
#[derive(Debug, thiserror::Error)]
pub enum CancelError {
    /// There is no such booking.
    #[error("there is no such booking")]
    NotFound,
    /// It is not waiting for a payment.
    #[error("only an unpaid booking can be cancelled; this one is {0}")]
    NotUnpaid(Status),
    /// Its payment page is being made, or its payment waits for a decision.
    #[error("its payment page is just being made: try again in a minute")]
    StillOpening,
    /// Stripe does not know its session, and the time in which it could be paid is not over.
    #[error("Stripe does not know its session: check the key, or try again when its hold is over")]
    SessionUnknown,
    /// Stripe.
    #[error(transparent)]
    Stripe(#[from] StripeError),
    /// What Stripe said could not be recorded.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Whether a person can cancel it, as far as can be said without asking Stripe.
#[must_use]
pub fn is_offered(booking: &Booking, cases: &[CaseRecord]) -> bool {
    match booking.progress {
        Progress::Pending => true,
        Progress::Processing => was_looked_for(booking, cases),
        Progress::Expired | Progress::Failed | Progress::Cancelled | Progress::Paid(_) => false,
    }
}

/// Whether a person has settled a case about its session.
fn was_looked_for(booking: &Booking, cases: &[CaseRecord]) -> bool {
    about_its_session(booking, cases).any(|case| case.closed_at.is_some())
}

fn about_its_session<'c>(
    booking: &'c Booking,
    cases: &'c [CaseRecord],
) -> impl Iterator<Item = &'c CaseRecord> {
    let session = booking.session.as_ref().map(|session| session.as_str());
    cases.iter().filter(move |case| session.is_some() && case.stripe_session_id.as_deref() == session)
}

/// Cancels an unpaid booking and gives its seat back. Cancelling again changes nothing. `reason`: why, in the words
/// of whoever does it; may be empty.
///
/// # Errors
/// A [`CancelError`].
pub async fn cancel(
    app: &App,
    id: BookingId,
    reason: &str,
    actor: Actor<'_>,
) -> Result<Booking, CancelError> {
    let mut tx = app.store.read().await?;
    let booking = tx.booking(id).await?;
    tx.rollback().await?;
    let booking = booking.ok_or(CancelError::NotFound)?;
    match booking.progress {
        Progress::Pending | Progress::Processing => {}
        Progress::Cancelled => return Ok(booking),
        Progress::Expired | Progress::Failed | Progress::Paid(_) => {
            return Err(CancelError::NotUnpaid(booking.status()));
        }
    }
    let session = match &booking.session {
        Some(session) => Some(session.clone()),
        None if app.clock.now().since(booking.created_at) < STILL_OPENING => {
            return Err(CancelError::StillOpening);
        }
        // Whoever asked for it may have died before writing it down.
        None => reconcile::find_session(app, &booking).await?,
    };
    let mut decided_at_stripe = false;
    if let Some(session) = &session {
        match app.stripe.expire_session(session).await {
            Ok(_) => {}
            // Not open any more: expired by itself, or complete.
            Err(StripeError::Refused { .. }) => {
                let object = app.stripe.session(session, None).await?;
                decided_at_stripe = object.payment_status == PaymentStatus::Paid;
                if object.status != SessionStatus::Expired {
                    app.recorder.record_seen(object.seen()).await?;
                }
            }
            // It cannot be paid where we look. Elsewhere, should the key be another account's, it may be until
            // its time is over.
            Err(StripeError::NotFound) if app.clock.now() >= booking.hold_expires_at.plus(AFTER_HOLD) => {
                decided_at_stripe = true;
            }
            Err(StripeError::NotFound) => return Err(CancelError::SessionUnknown),
            Err(error) => return Err(error.into()),
        }
    }

    let now = app.clock.now();
    let mut tx = app.store.begin().await?;
    let mut locked = tx.lock_bookings(&[id]).await?.pop().ok_or(CancelError::NotFound)?;
    let cases = tx.cases_of(id).await?;
    let looked_for = was_looked_for(&locked, &cases);
    match locked.progress {
        // Expired: Stripe told of our own expiring before we came here.
        Progress::Pending | Progress::Expired if locked.session.is_none() || locked.session == session => {}
        Progress::Pending | Progress::Expired => return Err(CancelError::StillOpening),
        Progress::Processing if decided_at_stripe && booking.session == locked.session && looked_for => {}
        Progress::Cancelled => return Ok(locked),
        Progress::Processing | Progress::Failed | Progress::Paid(_) => {
            return Err(CancelError::NotUnpaid(locked.status()));
        }
    }
    if about_its_session(&locked, &cases).any(|case| case.closed_at.is_none()) {
        // It was paid, though not as it should: the case has the actions. Once it is dismissed nothing is
        // due any more, and the seat may go.
        return Err(CancelError::NotUnpaid(locked.status()));
    }
    locked.progress = Progress::Cancelled;
    locked.seat = None;
    locked.cancelled = Some(Cancellation { at: now, reason: reason.to_owned() });
    locked.touch(now);
    tx.write(bookings::save(&[&locked])).await?;
    tx.audit(now, actor.name, "booking.cancelled", &id.to_string(), "", actor.request_id).await?;
    tx.commit().await?;
    tracing::info!(module = "booking", action = "booking.cancelled", booking = %id);
    Ok(locked)
}
