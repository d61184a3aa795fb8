//! A seat for a wish: what the caller holds already, or a free one.

use super::give_up::give_up;
use super::key::{SCOPE, let_go, read_answer};
use super::{Caller, CheckoutError, HOLD, Started};
use crate::app::App;
use crate::flow::{closed, reconcile};
use clock::Timestamp;
use domain::booking::{Booking, NewBooking, Progress, Status};
use domain::code::Code;
use domain::ids::BookingId;
use domain::offer::Offer;
use std::time::Duration;
use store::idempotency::KeyState;
use store::{StoreError, Tx};

/// When Stripe is asked for the first time about a booking that stays pending.
const FIRST_CHECK: Duration = Duration::from_secs(3 * 60);

/// How often another seat is tried when one was taken between look and claim.
const SEAT_TRIES: u32 = 50;

pub(super) enum Reserved {
    /// A booking that was made just now.
    Fresh(Box<Booking>),
    /// A pending booking of before that has no payment page yet.
    Unfinished(Box<Booking>),
    /// There is a payment page already.
    Answered(Started),
}

/// Finds what the caller holds already, or takes a seat.
pub(super) async fn reserve(
    app: &App,
    wish: &NewBooking,
    offer: &Offer,
    caller: &Caller,
    key: Option<&(&str, String)>,
) -> Result<Reserved, CheckoutError> {
    let mut held = match &caller.owner_hash {
        Some(owner_hash) => held_by_browser(app, wish, offer, owner_hash).await?,
        None => None,
    };
    if key.is_none()
        && let Some(held) = held.take()
        && let Some(resumed) = resume(app, held).await?
    {
        return Ok(resumed);
    }
    let mut key_is_ours = false;
    // Twice: a full slot may hold seats whose sessions have ended without our having heard of it.
    for last in [false, true] {
        let mut tx = app.store.begin().await?;
        if let (Some((key, hash)), false) = (key, key_is_ours) {
            match tx.take_key(SCOPE, key, hash, app.clock.now()).await? {
                KeyState::Taken | KeyState::Resumed(None) => {
                    // The browser holds a seat already: a new key is for that one.
                    if let Some(held) = held.take() {
                        tx.bind_key(SCOPE, key, held.id).await?;
                        tx.commit().await?;
                        if let Some(resumed) = resume_by_key(app, held, key).await? {
                            return Ok(resumed);
                        }
                        key_is_ours = true;
                        tx = app.store.begin().await?;
                    }
                }
                KeyState::Resumed(Some(booking)) => {
                    let booking = tx.booking(booking).await?;
                    match booking.map(|booking| (booking.status(), booking)) {
                        Some((Status::Pending, booking)) => {
                            tx.commit().await?;
                            if let Some(resumed) = resume_by_key(app, booking, key).await? {
                                return Ok(resumed);
                            }
                            key_is_ours = true;
                            tx = app.store.begin().await?;
                        }
                        Some((status, booking)) if is_paid(status) => {
                            return Err(CheckoutError::AlreadyPaid(booking.id));
                        }
                        // It ended: the key begins a new one.
                        Some(_) | None => {}
                    }
                }
                KeyState::Answered(answer) => return Ok(Reserved::Answered(read_answer(&answer)?)),
                KeyState::InFlight => return Err(CheckoutError::KeyInFlight),
                KeyState::OtherRequest => return Err(CheckoutError::KeyReused),
            }
        }
        if closed::look(&mut tx).await?.is_some() {
            tx.rollback().await?;
            if let (true, Some((key, _))) = (key_is_ours, key) {
                let_go(app, key).await;
            }
            return Err(CheckoutError::Closed);
        }
        if let Some(booking) = claim_seat(app, &mut tx, wish, offer, caller).await? {
            if let Some((key, _)) = key {
                tx.bind_key(SCOPE, key, booking.id).await?;
            }
            tx.commit().await?;
            tracing::info!(module = "checkout", action = "booking.pending_created", booking = %booking.id, "a seat is held");
            return Ok(Reserved::Fresh(Box::new(booking)));
        }
        let lapsed = tx.lapsed_holds(offer.id, &wish.slot, app.clock.now()).await?;
        tx.rollback().await?;
        if last || lapsed.is_empty() || !reconcile::release_lapsed(app, &lapsed).await {
            break;
        }
    }
    if let (true, Some((key, _))) = (key_is_ours, key) {
        let_go(app, key).await;
    }
    Err(CheckoutError::SlotFull)
}

/// A pending booking in the lowest free seat; none if the slot is full.
async fn claim_seat(
    app: &App,
    tx: &mut Tx,
    wish: &NewBooking,
    offer: &Offer,
    caller: &Caller,
) -> Result<Option<Booking>, StoreError> {
    let now = app.clock.now();
    let id = BookingId::from(clock::new_id());
    let mut booking = Booking {
        id,
        code: Code::of(id, 0),
        offer: offer.id,
        customer: wish.customer.clone(),
        slot: wish.slot,
        starts_at: wish.starts_at,
        price: offer.price,
        progress: Progress::Pending,
        session: None,
        seat: None,
        hold_expires_at: hold_from(now),
        charge_refunded: 0,
        charge_intent: None,
        refunds: Vec::new(),
        disputes: Vec::new(),
        cases: Vec::new(),
        created_at: now,
        updated_at: now,
    };
    for nth in 0..SEAT_TRIES {
        // Of two bookings that would be called by the same code, the later one takes its next.
        booking.code = Code::of(id, nth);
        let taken = tx.taken_seats(offer.id, &wish.slot).await?;
        let Some(seat) = (1..=offer.capacity).find(|seat| !taken.contains(seat)) else { return Ok(None) };
        booking.seat = Some(seat);
        let owner_hash = caller.owner_hash.as_deref();
        if tx.insert_booking(&booking, owner_hash, caller.lang, now.plus(FIRST_CHECK)).await? {
            return Ok(Some(booking));
        }
    }
    Ok(None)
}

/// What this browser holds in the slot, if it holds something for the same details. If the details
/// differ, what it holds is given up.
async fn held_by_browser(
    app: &App,
    wish: &NewBooking,
    offer: &Offer,
    owner_hash: &str,
) -> Result<Option<Booking>, CheckoutError> {
    let mut tx = app.store.read().await?;
    let held = match tx.held_by(owner_hash, offer.id, &wish.slot).await? {
        Some(id) => tx.booking(id).await?,
        None => None,
    };
    tx.rollback().await?;
    let Some(held) = held else { return Ok(None) };
    if held.customer == wish.customer && held.price == offer.price {
        return Ok(Some(held));
    }
    // Something was corrected. What was opened for the old details is closed at Stripe before
    // anything new is made, so that it cannot be paid any more.
    give_up(app, &held, offer).await?;
    Ok(None)
}

/// Goes on with the booking that a key's earlier request made. The key is left answered, or free to be
/// tried again at once.
async fn resume_by_key(app: &App, booking: Booking, key: &str) -> Result<Option<Reserved>, CheckoutError> {
    let resumed = resume(app, booking).await;
    match &resumed {
        Ok(Some(Reserved::Answered(started))) => {
            let mut tx = app.store.begin().await?;
            tx.finish_key(SCOPE, key, &serde_json::to_string(started).unwrap_or_default()).await?;
            tx.commit().await?;
        }
        Ok(Some(Reserved::Fresh(_) | Reserved::Unfinished(_)) | None) => {}
        Err(_) => let_go(app, key).await,
    }
    resumed
}

/// Goes on with a pending booking: its open payment page if it has one. None if it has just ended.
async fn resume(app: &App, booking: Booking) -> Result<Option<Reserved>, CheckoutError> {
    let Some(session) = booking.session.clone() else {
        return Ok(Some(Reserved::Unfinished(Box::new(booking))));
    };
    let object = app
        .stripe
        .session(&session, None)
        .await
        .map_err(|error| CheckoutError::Stripe { booking: booking.id, error })?;
    if let (true, Some(url)) = (object.is_open(), &object.url) {
        return Ok(Some(Reserved::Answered(Started {
            url: url.clone(),
            stripe_session_id: session.to_string(),
            booking_id: booking.id.to_string(),
        })));
    }
    app.recorder.record_seen(object.seen()).await?;
    if object.is_complete() { Err(CheckoutError::AlreadyPaid(booking.id)) } else { Ok(None) }
}

/// In whole seconds, as Stripe counts: a repetition must send exactly the same.
pub(super) fn hold_from(now: Timestamp) -> Timestamp {
    Timestamp::from_unix_seconds(now.plus(HOLD).as_unix_seconds())
}

fn is_paid(status: Status) -> bool {
    match status {
        Status::Processing
        | Status::Paid
        | Status::PartiallyRefunded
        | Status::Refunded
        | Status::Disputed => true,
        Status::Pending | Status::Expired | Status::Failed | Status::Cancelled => false,
    }
}
