//! Calling off a booking, paid or not, and giving back all, a part or nothing of what was paid.
//!
//! **Invariant.** That it is off, that its seat is free and the request for its refund are committed together, under
//! the booking's lock: whoever dies in between leaves nothing half done, and the background sends the refund.

use super::accounts::Actor;
use super::cancel::{CancelError, cancel};
use super::refund::{self, RefundError};
use crate::app::App;
use domain::booking::{Booking, Cancellation, Status};
use domain::cancel::{GiveBack, Refusal, give_back};
use domain::ids::BookingId;
use domain::money::Money;
use domain::payment::{Effect, EffectKind};
use store::outbox::{self, Audience};
use store::refund_intents::RefundIntent;
use store::{StoreError, bookings};

/// A booking that is off.
#[derive(Debug, Clone)]
pub struct CalledOff {
    /// The booking.
    pub booking: Booking,
    /// What goes back, if anything does.
    pub refund: Option<RefundIntent>,
}

/// Why a booking was not called off, or its money does not go back.
#[derive(Debug, thiserror::Error)]
pub enum CallOffError {
    /// It is paid, and what goes back was not said.
    #[error("it is {0}: say what goes back of what was paid: \"all\", \"none\" or an amount")]
    SayWhatGoesBack(Status),
    /// Its payment is disputed.
    #[error("its payment is disputed: the bank decides what goes back; call it off with \"none\"")]
    Disputed,
    /// It was called off before, with something else to go back.
    #[error("it was called off already; what is to go back besides, a refund gives back")]
    Already,
    /// It is off; Stripe gave nothing back.
    #[error("the booking is called off and its seat is free, but Stripe refused the refund: {0}")]
    OffButNotRefunded(String),
    /// What goes back cannot.
    #[error(transparent)]
    Refund(#[from] RefundError),
    /// It is unpaid and cannot be cancelled now.
    #[error(transparent)]
    Cancel(Box<CancelError>),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<CancelError> for CallOffError {
    fn from(error: CancelError) -> Self {
        Self::Cancel(Box::new(error))
    }
}

/// Calls a booking off. `wish`: what of its payment goes back, which a paid one needs; `reason`: why, may be empty.
/// The same again changes nothing and tells how it stands.
///
/// # Errors
/// A [`CallOffError`].
pub async fn call_off(
    app: &App,
    id: BookingId,
    wish: Option<GiveBack>,
    reason: &str,
    actor: Actor<'_>,
) -> Result<CalledOff, CallOffError> {
    let mut tx = app.store.read().await?;
    let booking = tx.booking(id).await?;
    tx.rollback().await?;
    let booking = booking.ok_or(RefundError::NotFound)?;
    if booking.payment().is_none() {
        if matches!(wish, Some(GiveBack::Part(_))) {
            return Err(RefundError::NothingPaid.into());
        }
        match cancel(app, id, reason, actor).await {
            Ok(booking) => return Ok(CalledOff { booking, refund: None }),
            // Paid while we looked: it was said what is to happen then.
            Err(CancelError::NotUnpaid(_)) if wish.is_some() => {}
            Err(error) => return Err(error.into()),
        }
    }
    paid(app, id, wish, reason, actor).await
}

async fn paid(
    app: &App,
    id: BookingId,
    wish: Option<GiveBack>,
    reason: &str,
    actor: Actor<'_>,
) -> Result<CalledOff, CallOffError> {
    let mut tx = app.store.begin().await?;
    let mut booking = tx.lock_bookings(&[id]).await?.pop().ok_or(RefundError::NotFound)?;
    let Some(payment) = booking.payment() else {
        return Err(CancelError::NotUnpaid(booking.status()).into());
    };
    let Some(wish) = wish else { return Err(CallOffError::SayWhatGoesBack(booking.status())) };
    let under_way = match &payment.intent {
        Some(intent) => tx.open_refund_sum(intent).await?,
        None => 0,
    };
    let requested = match wish {
        GiveBack::Part(amount) => Some(amount),
        GiveBack::All | GiveBack::Nothing => None,
    };
    if booking.cancelled.is_some() {
        let known = refund::called_off(&mut tx, id).await?;
        tx.rollback().await?;
        return again(booking, known, wish, requested, under_way);
    }
    let session = payment.session.clone();
    let due = give_back(&booking, wish, under_way).map_err(|refusal| refused(refusal, &booking))?;

    let now = app.clock.now();
    booking.cancelled = Some(Cancellation { at: now, reason: reason.to_owned() });
    booking.seat = None;
    booking.touch(now);
    let kind = EffectKind::Cancelled;
    let told = [(id, Effect { kind, key: format!("{}:{id}:{session}", kind.as_str()) })];
    let effects = outbox::push(&told, Audience::ToBeChosen, now);
    tx.write(bookings::save(&[&booking]).into_iter().chain([effects])).await?;
    tx.audit(now, actor.name, "booking.cancelled", &id.to_string(), "", actor.request_id).await?;
    let intent = match due {
        Some(due) => Some(refund::intend_called_off(app, &mut tx, &booking, due, requested, actor).await?),
        None => None,
    };
    tx.commit().await?;
    tracing::info!(module = "booking", action = "booking.cancelled", booking = %id);

    let Some(intent) = intent else { return Ok(CalledOff { booking, refund: None }) };
    let intent = refund::send(app, intent).await.map_err(off_all_the_same)?;
    // What Stripe said of it was recorded meanwhile.
    let mut tx = app.store.read().await?;
    let booking = tx.booking(id).await?.unwrap_or(booking);
    tx.rollback().await?;
    Ok(CalledOff { booking, refund: Some(intent) })
}

/// It is off already: what became of that.
fn again(
    booking: Booking,
    known: Option<RefundIntent>,
    wish: GiveBack,
    requested: Option<i64>,
    under_way: i64,
) -> Result<CalledOff, CallOffError> {
    match (known, wish) {
        (None, GiveBack::Nothing) => Ok(CalledOff { booking, refund: None }),
        // All of nothing went back.
        (None, GiveBack::All) if matches!(give_back(&booking, wish, under_way), Ok(None)) => {
            Ok(CalledOff { booking, refund: None })
        }
        (Some(known), GiveBack::All | GiveBack::Part(_)) if known.requested_amount == requested => {
            let refund = refund::repeat(known, requested).map_err(off_all_the_same)?;
            Ok(CalledOff { booking, refund: Some(refund) })
        }
        (None | Some(_), _) => Err(CallOffError::Already),
    }
}

/// The booking is off, whatever became of its refund.
fn off_all_the_same(error: RefundError) -> CallOffError {
    match error {
        RefundError::Refused(why) => CallOffError::OffButNotRefunded(why),
        error => CallOffError::Refund(error),
    }
}

fn refused(refusal: Refusal, booking: &Booking) -> CallOffError {
    match refusal {
        Refusal::NotPaid => CancelError::NotUnpaid(booking.status()).into(),
        Refusal::Disputed => CallOffError::Disputed,
        Refusal::NotAnAmount => RefundError::NotAnAmount.into(),
        Refusal::TooMuch { left } => {
            RefundError::TooMuch { left: Money { amount: left, ..booking.price } }.into()
        }
    }
}
