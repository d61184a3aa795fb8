//! What Stripe remembers of a booking for us, so that one which our database has lost can be made again: after a
//! backup was restored, or a standby took over that had not heard of it.
//!
//! **Invariants.** A booking is made again with its own id, price, slot and, if nobody has taken it, its own seat,
//! only of a session that bears this database's mark. Making it again pays nothing: what the session says of money
//! goes through the recorder like everything else. A booking that is here is never touched.

use crate::app::App;
use crate::flow::reconcile::ReconcileError;
use crate::flow::recorder;
use crate::stripe::objects::{CheckoutSession, Polled, SessionStatus};
use clock::Timestamp;
use domain::booking::{Booking, Customer, Progress};
use domain::code::Code;
use domain::ids::{BookingId, OfferId};
use domain::lang::Lang;
use domain::money::{Currency, Money};
use domain::offer::{Offer, OfferTerms, USUAL_DURATION};
use domain::slot::Slot;
use std::time::Duration;
use store::{StoreError, Tx};

/// The members of a session's metadata, beside those that say whose it is.
const CODE: &str = "code";
const OFFER: &str = "offer";
const OFFER_NAME: &str = "offer_name";
const DATE: &str = "date";
const TIME: &str = "time";
const FIRST_NAME: &str = "first_name";
const LAST_NAME: &str = "last_name";
const PRICE: &str = "price";
const SEAT: &str = "seat";
const LANG: &str = "lang";

/// How long a session lives that does not say when it ends.
const LONGEST_SESSION: Duration = Duration::from_secs(86_400);

/// What a session is to remember of its booking: enough to make it again. The address is on the session itself.
///
/// Stripe takes 50 members of 500 characters; a name has at most 100, an offer's 120.
#[must_use]
pub fn metadata(booking: &Booking, offer: &Offer, lang: Lang) -> Vec<(&'static str, String)> {
    let Booking { customer, slot, price, .. } = booking;
    let mut told = vec![
        (CODE, booking.code.to_string()),
        (OFFER, booking.offer.to_string()),
        (OFFER_NAME, offer.name.clone()),
        (DATE, slot.date().to_string()),
        (TIME, slot.time_text()),
        (FIRST_NAME, customer.first_name.clone()),
        (LAST_NAME, customer.last_name.clone()),
        (PRICE, format!("{} {}", price.amount, price.currency.as_str())),
        (LANG, lang.as_str().to_owned()),
    ];
    told.extend(booking.seat.map(|seat| (SEAT, seat.to_string())));
    told
}

/// A booking as its session remembers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Recalled {
    booking: Booking,
    offer_name: String,
    url: Option<String>,
    lang: Lang,
}

/// What a session remembers; none if it is not of this database, or does not say enough.
pub(super) fn read(app: &App, session: &Polled<CheckoutSession>) -> Option<Recalled> {
    if session.claim.instance.as_deref() != Some(app.instance.to_string().as_str()) {
        return None;
    }
    let told = |name: &str| session.remembers(name);
    let slot = Slot::parse(told(DATE)?, told(TIME)?).ok()?;
    let (amount, currency) = told(PRICE)?.split_once(' ')?;
    let created_at = session.created()?;
    let id = session.claim.booking()?;
    let booking = Booking {
        id,
        code: told(CODE).and_then(Code::parse).unwrap_or_else(|| Code::of(id, 0)),
        offer: OfferId::parse(told(OFFER)?).ok()?,
        customer: Customer {
            first_name: told(FIRST_NAME)?.to_owned(),
            last_name: told(LAST_NAME)?.to_owned(),
            email: session.email()?.to_owned(),
        },
        slot,
        starts_at: slot.starts_at(&app.config.timezone).ok()?,
        price: Money { amount: amount.parse().ok()?, currency: Currency::parse(currency).ok()? },
        progress: Progress::Pending,
        session: Some(session.id.clone()),
        // An ended one gets no seat that somebody else may have by now.
        seat: match session.status {
            SessionStatus::Expired => None,
            SessionStatus::Open | SessionStatus::Complete | SessionStatus::Unknown => {
                told(SEAT).and_then(|seat| seat.parse().ok())
            }
        },
        hold_expires_at: session.expires_at.unwrap_or(created_at.plus(LONGEST_SESSION)),
        charge_refunded: 0,
        charge_intent: None,
        cancelled: None,
        refunds: Vec::new(),
        disputes: Vec::new(),
        cases: Vec::new(),
        created_at,
        updated_at: created_at,
    };
    Some(Recalled {
        booking,
        offer_name: told(OFFER_NAME).unwrap_or("?").to_owned(),
        url: session.url.clone(),
        lang: told(LANG).and_then(Lang::parse).unwrap_or_default(),
    })
}

/// Makes the bookings again whose sessions are of after `since` and that are not here any more. Returns which.
///
/// # Errors
/// A [`ReconcileError`]. What was made before it stays.
pub async fn lost(app: &App, since: Timestamp) -> Result<Vec<BookingId>, ReconcileError> {
    let mut pages = app.stripe.by_created::<Polled<CheckoutSession>>(since, app.clock.now());
    let mut made = Vec::new();
    while let Some(sessions) = pages.next().await? {
        let recalled = sessions.iter().filter_map(|session| read(app, session)).collect();
        made.extend(make_again(app, recalled).await?);
    }
    Ok(made)
}

/// Makes those of these bookings again that are not here any more. Returns which.
///
/// # Errors
/// [`StoreError`]. What was made before it stays.
pub(super) async fn make_again(app: &App, mut recalled: Vec<Recalled>) -> Result<Vec<BookingId>, StoreError> {
    if recalled.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<BookingId> = recalled.iter().map(|recalled| recalled.booking.id).collect();
    let mut tx = app.store.read().await?;
    let here = tx.bookings(&ids).await?;
    tx.rollback().await?;
    recalled.retain(|recalled| !here.iter().any(|booking| booking.id == recalled.booking.id));
    // Who was first is served first.
    recalled.sort_by_key(|recalled| (recalled.booking.created_at, recalled.booking.id));
    let mut made = Vec::new();
    for recalled in recalled {
        let id = recalled.booking.id;
        if make(app, recalled).await? {
            tracing::warn!(
                module = "recall",
                action = "booking.made_again",
                booking = %id,
                "it was not in the database, and its session at Stripe remembers it"
            );
            made.push(id);
        }
    }
    Ok(made)
}

/// `false` if somebody else made it meanwhile.
async fn make(app: &App, recalled: Recalled) -> Result<bool, StoreError> {
    let mut tx = app.store.begin().await?;
    let made = store_again(&mut tx, recalled, app.clock.now()).await;
    match &made {
        Ok(true) => tx.commit().await?,
        Ok(false) | Err(_) => tx.rollback().await?,
    }
    made
}

async fn store_again(tx: &mut Tx, recalled: Recalled, now: Timestamp) -> Result<bool, StoreError> {
    let Recalled { mut booking, offer_name, url, lang } = recalled;
    if tx.offer(booking.offer).await?.is_none() {
        // Made after the backup as well. It sells nothing until somebody has looked at it.
        let terms = OfferTerms {
            name: offer_name,
            price: booking.price,
            capacity: booking.seat.unwrap_or(1).max(1),
            active: false,
            grid: Vec::new(),
            duration: USUAL_DURATION,
            step: None,
            resource: None,
        };
        tx.insert_offer(booking.offer, &terms, now).await?;
    }
    let session = booking.session.take();
    // Its seat may be another's by now. Without any seat, its payment becomes a case.
    if let Some(seat) = booking.seat.take() {
        let slot = tx.lock_slot(booking.offer, &booking.slot).await?;
        let is_free = slot.is_some_and(|(_, seats)| seats.left() > 0 && !seats.taken.contains(&seat));
        booking.seat = if is_free { Some(seat) } else { recorder::free_seat(tx, &booking).await? };
    }
    for nth in 1..TRIES {
        if tx.insert_booking(&booking, None, lang, now).await? {
            if let Some(session) = &session {
                tx.attach_session(booking.id, session, url.as_deref(), booking.hold_expires_at, now).await?;
            }
            return Ok(true);
        }
        if tx.booking(booking.id).await?.is_some() {
            return Ok(false);
        }
        // Its code is another's by now.
        booking.code = Code::of(booking.id, nth);
    }
    Ok(false)
}

/// How often another code is tried.
const TRIES: u32 = 50;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_fits_into_what_stripe_takes() {
        let price = Money { amount: 99_999_999, currency: Currency::parse("eur").unwrap() };
        let at = Timestamp::from_unix_seconds(1_795_000_000);
        let longest = |count: usize| "\u{10348}".repeat(count);
        let offer = Offer {
            id: OfferId::from(uuid::Uuid::max()),
            name: longest(domain::offer::MAX_NAME_CHARS),
            price,
            capacity: 1000,
            active: true,
            grid: Vec::new(),
            duration: USUAL_DURATION,
            step: None,
            resource: None,
            created_at: at,
            updated_at: at,
        };
        let booking = Booking {
            id: BookingId::from(uuid::Uuid::max()),
            code: Code::of(BookingId::from(uuid::Uuid::max()), 0),
            offer: offer.id,
            customer: Customer {
                first_name: longest(100),
                last_name: longest(100),
                email: "a@example.org".into(),
            },
            slot: Slot::parse("2031-01-01", "10:00").unwrap(),
            starts_at: at,
            price,
            progress: Progress::Pending,
            session: None,
            seat: Some(1000),
            hold_expires_at: at,
            charge_refunded: 0,
            charge_intent: None,
            cancelled: None,
            refunds: Vec::new(),
            disputes: Vec::new(),
            cases: Vec::new(),
            created_at: at,
            updated_at: at,
        };
        let told = metadata(&booking, &offer, Lang::Fr);
        assert!(told.len() + 2 <= 50);
        for (name, value) in told {
            assert!(name.len() <= 40 && value.chars().count() <= 500 && !value.is_empty(), "{name}: {value}");
        }
    }
}
