//! A seat for a wish: what the caller holds already, or a free one.

use super::give_up::give_up;
use super::key::{SCOPE, let_go, read_answer};
use super::{Caller, CheckoutError, HOLD, Started, unknown_offer};
use crate::app::App;
use crate::flow::{closed, holds, hours, reconcile};
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
/// How often the slot is looked at: what this browser held has ended, its details were corrected, lapsed holds
/// were released. Each of these happens once, and one more of each while we were away.
const LOOKS: usize = 6;
/// How often a transaction that got into another's way is tried again.
const COLLISIONS: u32 = 8;
/// How many codes are tried for a booking.
const CODES: u32 = 4;
/// How long one waits for one's turn. Hundreds who want the same slot are through in a fraction of it.
const PATIENCE: Duration = Duration::from_secs(15);

/// What the caller holds now, and the offer as it is now.
pub(super) struct Taken {
    pub(super) reserved: Reserved,
    pub(super) offer: Offer,
}

#[derive(Debug)]
pub(super) enum Reserved {
    /// A booking that was made just now.
    Fresh(Box<Booking>),
    /// A pending booking of before that has no payment page yet.
    Unfinished(Box<Booking>),
    /// There is a payment page already.
    Answered(Started),
}

/// What one look at the locked slot led to.
enum Look {
    /// It is done.
    Done(Taken),
    /// The caller has a pending booking, by the key or by the browser's cookie: on with that one.
    Resume(Box<Booking>, Offer),
    /// The browser holds a seat for other details: something was corrected.
    Corrected(Box<Booking>, Offer),
    /// No seat is left; these hold one although their time is over.
    Full(Vec<BookingId>),
}

/// Finds what the caller holds already, or takes a seat.
pub(super) async fn reserve(
    app: &App,
    wish: &NewBooking,
    offer: &Offer,
    caller: &Caller,
    key: Option<&(&str, String)>,
) -> Result<Taken, CheckoutError> {
    let mut key_is_ours = false;
    let reserved = look_until_sure(app, wish, offer, caller, key, &mut key_is_ours).await;
    if let (Err(_), true, Some((key, _))) = (&reserved, key_is_ours, key) {
        let_go(app, key).await;
    }
    reserved
}

async fn look_until_sure(
    app: &App,
    wish: &NewBooking,
    offer: &Offer,
    caller: &Caller,
    key: Option<&(&str, String)>,
    key_is_ours: &mut bool,
) -> Result<Taken, CheckoutError> {
    let mut released = false;
    let mut failed = CheckoutError::SlotFull;
    for _ in 0..LOOKS {
        match look_in_turn(app, wish, offer, caller, key, key_is_ours).await? {
            Look::Done(taken) => return Ok(taken),
            Look::Resume(booking, offer) => {
                failed = CheckoutError::Ended(booking.id);
                let resumed = match key {
                    Some((key, _)) => resume_by_key(app, *booking, key).await?,
                    None => resume(app, *booking).await?,
                };
                if let Some(reserved) = resumed {
                    return Ok(Taken { reserved, offer });
                }
            }
            // What was opened for the old details is closed at Stripe before anything new is made, so that it
            // cannot be paid any more.
            Look::Corrected(held, offer) => give_up(app, &held, &offer).await?,
            // Once: a full slot may hold seats whose sessions have ended without our having heard of it.
            Look::Full(lapsed) => {
                failed = CheckoutError::SlotFull;
                if released || lapsed.is_empty() || !reconcile::release_lapsed(app, &lapsed).await {
                    break;
                }
                released = true;
            }
        }
    }
    Err(failed)
}

/// One look, when it is our turn; again if another transaction got in the way.
async fn look_in_turn(
    app: &App,
    wish: &NewBooking,
    offer: &Offer,
    caller: &Caller,
    key: Option<&(&str, String)>,
    key_is_ours: &mut bool,
) -> Result<Look, CheckoutError> {
    let turn = tokio::time::timeout(PATIENCE, app.reserving.acquire()).await;
    let _turn = turn.map_err(|_| StoreError::Silent)?.map_err(|_| StoreError::Silent)?;
    let mut collisions = 0;
    loop {
        match look(app, wish, offer, caller, key, key_is_ours).await {
            Err(CheckoutError::Store(error)) if error.is_collision() && collisions < COLLISIONS => {
                collisions += 1;
                let jitter = rand::random_range(0..20_u64);
                tokio::time::sleep(Duration::from_millis(u64::from(collisions) * 5 + jitter)).await;
            }
            result => return result,
        }
    }
}

/// Looks at the key, the slot and what the browser holds in it, all locked, and takes a seat if that is what is
/// to be done: one transaction, so that of any number who want the last seat one gets it, and of any number of
/// requests of one browser each finds what the first one took.
async fn look(
    app: &App,
    wish: &NewBooking,
    offer: &Offer,
    caller: &Caller,
    key: Option<&(&str, String)>,
    key_is_ours: &mut bool,
) -> Result<Look, CheckoutError> {
    let now = app.clock.now();
    let mut tx = app.store.begin().await?;
    if let (Some((key, hash)), false) = (key, *key_is_ours) {
        match tx.take_key(SCOPE, key, hash, now).await? {
            KeyState::Taken | KeyState::Resumed(None) => {}
            KeyState::Resumed(Some(booking)) => {
                let booking = tx.booking(booking).await?;
                match booking.map(|booking| (booking.status(), booking)) {
                    Some((Status::Pending, booking)) => {
                        tx.commit().await?;
                        *key_is_ours = true;
                        return Ok(Look::Resume(Box::new(booking), offer.clone()));
                    }
                    Some((status, booking)) if is_paid(status) => {
                        return Err(CheckoutError::AlreadyPaid(booking.id));
                    }
                    // It ended: the key begins a new one.
                    Some(_) | None => {}
                }
            }
            KeyState::Answered(answer) => {
                let reserved = Reserved::Answered(read_answer(&answer)?);
                return Ok(Look::Done(Taken { reserved, offer: offer.clone() }));
            }
            KeyState::InFlight => return Err(CheckoutError::KeyInFlight),
            KeyState::OtherRequest => return Err(CheckoutError::KeyReused),
        }
    }
    let slot = tx.lock_slot(offer.id, &wish.slot).await?;
    let (offer, seats) = slot.filter(|(offer, _)| offer.active).ok_or_else(unknown_offer)?;
    if let Some(held) = held_by_browser(&mut tx, wish, &offer, caller).await? {
        if held.customer != wish.customer || held.price != offer.price {
            tx.rollback().await?;
            return Ok(Look::Corrected(Box::new(held), offer));
        }
        // The browser holds a seat already: a new key is for that one.
        if let Some((key, _)) = key {
            tx.bind_key(SCOPE, key, held.id).await?;
        }
        tx.commit().await?;
        *key_is_ours = key.is_some();
        return Ok(Look::Resume(Box::new(held), offer));
    }
    if closed::look(&mut tx).await?.is_some() {
        return Err(CheckoutError::Closed);
    }
    // Whoever it needs may have been sold to somebody else meanwhile.
    let unhindered = hours::is_unhindered(&mut tx, &offer, &wish.slot, wish.starts_at).await?;
    let Some(seat) = seats.reserve(None).filter(|_| unhindered) else {
        let lapsed = tx.lapsed_holds(offer.id, &wish.slot, now).await?;
        tx.rollback().await?;
        return Ok(Look::Full(lapsed));
    };
    holds::admit(app, &mut tx, wish, caller).await?;
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
        seat: Some(seat),
        hold_expires_at: hold_from(now),
        charge_refunded: 0,
        charge_intent: None,
        cancelled: None,
        refunds: Vec::new(),
        disputes: Vec::new(),
        cases: Vec::new(),
        created_at: now,
        updated_at: now,
    };
    let owner_hash = caller.owner_hash.as_deref();
    let mut nth = 0;
    while !tx.insert_booking(&booking, owner_hash, caller.lang, now.plus(FIRST_CHECK)).await? {
        // Of two bookings that would be called by the same code, the later one takes its next. Else a program of
        // before this version took the seat, without the lock.
        nth += 1;
        if nth == CODES {
            return Err(StoreError::Overtaken.into());
        }
        booking.code = Code::of(id, nth);
    }
    if let Some(client) = &caller.client {
        tx.note_client(booking.id, client).await?;
    }
    if let Some((key, _)) = key {
        tx.bind_key(SCOPE, key, booking.id).await?;
    }
    tx.commit().await?;
    *key_is_ours = key.is_some();
    tracing::info!(module = "checkout", action = "booking.pending_created", booking = %booking.id, "a seat is held");
    Ok(Look::Done(Taken { reserved: Reserved::Fresh(Box::new(booking)), offer }))
}

/// What this browser holds unpaid in the slot.
async fn held_by_browser(
    tx: &mut Tx,
    wish: &NewBooking,
    offer: &Offer,
    caller: &Caller,
) -> Result<Option<Booking>, StoreError> {
    let Some(owner_hash) = &caller.owner_hash else { return Ok(None) };
    match tx.held_by(owner_hash, offer.id, &wish.slot).await? {
        Some(id) => tx.booking(id).await,
        None => Ok(None),
    }
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

/// Goes on with a booking that waits with another session than the one that was just made for it.
pub(super) async fn resume_another(
    app: &App,
    booking: Booking,
    key: Option<&str>,
) -> Result<Started, CheckoutError> {
    let id = booking.id;
    let resumed = match key {
        Some(key) => resume_by_key(app, booking, key).await?,
        None => resume(app, booking).await?,
    };
    match resumed {
        Some(Reserved::Answered(started)) => Ok(started),
        Some(Reserved::Fresh(_) | Reserved::Unfinished(_)) | None => Err(CheckoutError::Ended(id)),
    }
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

pub(super) fn is_paid(status: Status) -> bool {
    match status {
        Status::Processing
        | Status::Paid
        | Status::PartiallyRefunded
        | Status::Refunded
        | Status::Disputed => true,
        Status::Pending | Status::Expired | Status::Failed | Status::Cancelled => false,
    }
}
