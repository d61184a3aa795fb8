//! From a customer's wish to a payment page: seat first, then Stripe, then the session attached.
//!
//! **Invariants.** The seat and the pending booking are committed before Stripe is called. No
//! transaction is open while Stripe is called. A booking's session is made with one idempotency key
//! and one content for each attempt, and a new attempt begins only when it is certain that the one
//! before made none: so a booking never has two sessions that can be paid. A crash after any step is
//! healed by the webhook, by the same caller's repetition, or by reconciliation.

use crate::app::App;
use crate::failpoint;
use crate::flow::recorder::RecordError;
use crate::flow::{observe, reconcile};
use crate::stripe::StripeError;
use crate::stripe::client::NewSession;
use clock::Timestamp;
use domain::Fault;
use domain::booking::{Booking, BookingRequest, NewBooking, Progress, Status};
use domain::calendar;
use domain::ids::{BookingId, SessionId};
use domain::lang::Lang;
use domain::offer::Offer;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::convert::Infallible;
use std::time::Duration;
use store::idempotency::{KeyState, STILL_HERE};
use store::{StoreError, Tx};

/// How long a session can be paid, and so how long a seat is held unpaid. Stripe takes 30 minutes at
/// least, counted from its own clock at creation: five more cover a slow call and clocks that differ.
pub const HOLD: Duration = Duration::from_secs(35 * 60);
/// When Stripe is asked for the first time about a booking that stays pending.
const FIRST_CHECK: Duration = Duration::from_secs(3 * 60);
/// How often another seat is tried when one was taken between look and claim.
const SEAT_TRIES: usize = 50;
/// The scope of callers' keys for this operation.
const SCOPE: &str = "checkout";

/// Who asks, beside what is asked.
#[derive(Debug, Clone, Default)]
pub struct Caller {
    /// `Idempotency-Key`, if one was sent.
    pub idempotency_key: Option<String>,
    /// The hash of this browser's cookie, by which it resumes what it holds.
    pub owner_hash: Option<String>,
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
    /// The caller has paid already: for this slot, or for the one that this was to replace.
    #[error("the booking is paid or its payment is on its way")]
    AlreadyPaid(BookingId),
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
    let key = caller.idempotency_key.as_deref().map(|key| (key, request_hash(request)));
    if let Some((key, hash)) = &key
        && let Some(started) = answered(app, key, hash, now).await?
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
                never = keep_key(app, key) => match never {},
            }
        }
        None => work.await,
    }
}

/// Says again and again that the request with `key` goes on: when nobody says so any more, it has died.
async fn keep_key(app: &App, key: &str) -> Infallible {
    loop {
        tokio::time::sleep(STILL_HERE).await;
        let kept = async {
            let mut tx = app.store.begin().await?;
            tx.keep_key(SCOPE, key, app.clock.now()).await?;
            tx.commit().await
        };
        if let Err(error) = kept.await {
            // Should another request take over, it goes on with the same booking and the same key at Stripe.
            tracing::warn!(module = "checkout", action = "checkout.key_not_kept", "{error}");
        }
    }
}

async fn make(
    app: &App,
    wish: &NewBooking,
    offer: &Offer,
    caller: &Caller,
    key: Option<&(&str, String)>,
) -> Result<Started, CheckoutError> {
    let reserved = reserve(app, wish, offer, caller, key).await?;
    failpoint::here("checkout.before_stripe");
    // After the new seat is sure and before it can be paid: nobody loses a seat because the new slot is
    // full, and nobody has two payment pages.
    let others_gone = give_up_others(app, caller, &reserved).await;
    let booking = match reserved {
        Reserved::Answered(started) => return others_gone.map(|()| started),
        Reserved::Fresh(booking) | Reserved::Unfinished(booking) => booking,
    };
    let result = match others_gone {
        Ok(()) => open_session(app, &booking, offer).await,
        Err(error) => Err(error),
    };
    failpoint::here("checkout.after_stripe");
    if let (Err(_), Some((key, _))) = (&result, key) {
        let_go(app, key).await;
    }
    let (session, url, expires_at) = result?;
    let started = Started {
        url: url.clone(),
        stripe_session_id: session.to_string(),
        booking_id: booking.id.to_string(),
    };

    let mut tx = app.store.begin().await?;
    tx.attach_session(booking.id, &session, Some(&url), expires_at, app.clock.now()).await?;
    if let Some((key, _)) = key {
        let answer = serde_json::to_string(&started).unwrap_or_default();
        tx.finish_key(SCOPE, key, &answer).await?;
    }
    tx.commit().await?;
    tracing::info!(module = "stripe", action = "stripe.checkout_session.created", booking = %booking.id, "a payment page waits");
    Ok(started)
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

async fn choose_offer(app: &App, wish: &NewBooking) -> Result<Offer, CheckoutError> {
    let offers = active_offers(app).await?;
    let chosen = match wish.offer {
        Some(id) => offers.into_iter().find(|offer| offer.id == id),
        None => offers.into_iter().next(),
    };
    let unknown = || Fault::coded("offer", "unknown_offer", "must be the id of an offer that can be booked");
    let offer = chosen.ok_or_else(|| CheckoutError::Invalid(vec![unknown()]))?;
    if !offer.grid.is_empty() && !offer.grid.contains(&wish.slot.time()) {
        let fault = Fault::coded("time", "not_on_grid", "must be one of the times of this offer");
        return Err(CheckoutError::Invalid(vec![fault]));
    }
    Ok(offer)
}

enum Reserved {
    /// A booking that was made just now.
    Fresh(Box<Booking>),
    /// A pending booking of before that has no payment page yet.
    Unfinished(Box<Booking>),
    /// There is a payment page already.
    Answered(Started),
}

/// Finds what the caller holds already, or takes a seat.
async fn reserve(
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
    let mut booking = Booking {
        id: BookingId::from(clock::new_id()),
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
    for _ in 0..SEAT_TRIES {
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

/// Gives up what else this browser holds, if the caller wants this booking instead. If something of it
/// was paid meanwhile, that is what counts: then the new booking is the one that is given up.
async fn give_up_others(app: &App, caller: &Caller, reserved: &Reserved) -> Result<(), CheckoutError> {
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
async fn give_up(app: &App, held: &Booking, offer: &Offer) -> Result<(), CheckoutError> {
    let session = match held.session.clone() {
        Some(session) => session,
        None => match open_session(app, held, offer).await {
            Ok((session, ..)) => session,
            // Stripe refused the address: there is no session, and the seat was let go.
            Err(CheckoutError::Invalid(_)) => return Ok(()),
            Err(error) => return Err(error),
        },
    };
    let stripe = |error| CheckoutError::Stripe { booking: held.id, error };
    let object = match app.stripe.expire_session(&session).await {
        Ok(object) => object,
        Err(refused @ StripeError::Refused { .. }) => {
            let object = app.stripe.session(&session, None).await.map_err(stripe)?;
            if is_open(&object) {
                // It can still be paid: a second one beside it could be paid as well.
                return Err(stripe(refused));
            }
            object
        }
        Err(error) => return Err(stripe(error)),
    };
    match observe::session(&app.recorder, &object).await? {
        Some(_) if text(&object, "status") == Some("complete") => Err(CheckoutError::AlreadyPaid(held.id)),
        _ => Ok(()),
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
    if let (true, Some(url)) = (is_open(&object), text(&object, "url")) {
        return Ok(Some(Reserved::Answered(Started {
            url: url.to_owned(),
            stripe_session_id: session.to_string(),
            booking_id: booking.id.to_string(),
        })));
    }
    observe::session(&app.recorder, &object).await?;
    match text(&object, "status") {
        Some("complete") => Err(CheckoutError::AlreadyPaid(booking.id)),
        _ => Ok(None),
    }
}

/// Makes the booking's session at Stripe, or finds the one that was made.
async fn open_session(
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
) -> Result<Value, StripeError> {
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
    };
    app.stripe.create_session(&session, &format!("{reference}-{attempt}")).await
}

/// The session that Stripe has for this booking, looked for by time and reference.
async fn find_session(app: &App, booking: &Booking) -> Result<Option<Value>, StripeError> {
    // Clocks differ: an hour before is enough, and costs little.
    let since = booking.created_at.minus(Duration::from_secs(3600)).as_unix_seconds().to_string();
    let sessions = app.stripe.list("/v1/checkout/sessions", &[("created[gte]", &since)]).await?;
    let reference = booking.id.to_string();
    Ok(sessions.into_iter().find(|object| text(object, "client_reference_id") == Some(reference.as_str())))
}

fn read_session(object: &Value) -> Option<(SessionId, String, Timestamp)> {
    let id = SessionId::parse(text(object, "id")?).ok()?;
    let expires_at = object.get("expires_at").and_then(Value::as_i64)?;
    Some((id, text(object, "url")?.to_owned(), Timestamp::from_unix_seconds(expires_at)))
}

fn not_a_session() -> StripeError {
    StripeError::Uncertain("an answer that is no open session".to_owned())
}

/// Lets a key be tried again at once after a failure: it resumes its booking.
async fn let_go(app: &App, key: &str) {
    let released = async {
        let mut tx = app.store.begin().await?;
        tx.release_key(SCOPE, key).await?;
        tx.commit().await
    };
    if let Err(error) = released.await {
        tracing::warn!(module = "checkout", action = "booking.key_not_released", "{error}");
    }
}

/// In whole seconds, as Stripe counts: a repetition must send exactly the same.
fn hold_from(now: Timestamp) -> Timestamp {
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

fn is_open(object: &Value) -> bool {
    text(object, "status") == Some("open")
}

fn text<'a>(object: &'a Value, member: &str) -> Option<&'a str> {
    object.get(member).and_then(Value::as_str)
}

/// What the key was answered with, if it was answered.
async fn answered(
    app: &App,
    key: &str,
    hash: &str,
    now: Timestamp,
) -> Result<Option<Started>, CheckoutError> {
    let mut tx = app.store.read().await?;
    let answer = tx.answer_of_key(SCOPE, key, hash, now).await?;
    tx.rollback().await?;
    Ok(answer.map(|answer| read_answer(&answer)).transpose()?)
}

fn read_answer(answer: &str) -> Result<Started, StoreError> {
    serde_json::from_str(answer)
        .map_err(|_| StoreError::Corrupt { place: "idempotency_keys.response", value: String::new() })
}

/// The same request has the same hash, however its JSON was written.
fn request_hash(request: &BookingRequest) -> String {
    let BookingRequest { first_name, last_name, email, date, time, offer } = request;
    let offer = offer.as_deref().map(str::trim).filter(|offer| !offer.is_empty());
    let canonical = serde_json::json!([
        first_name.trim(),
        last_name.trim(),
        email.trim(),
        date.trim(),
        time.trim(),
        offer,
    ]);
    hex::encode(Sha256::digest(canonical.to_string()))
}
