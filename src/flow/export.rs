//! A month's bookings, and its movements of money, as CSV (RFC 4180), a portion at a time.
//!
//! **Invariant.** No portion grows with the month, and none holds a connection while it is sent. Sums are never
//! negative: what came in and what went out stand in columns of their own, so that no number begins like a formula.

use crate::app::Shared;
use clock::Timestamp;
use domain::booking::Booking;
use domain::export::{Month, MovementKind, cell, out_by_dispute, out_by_refund};
use domain::ids::{BookingId, OfferId};
use domain::money::Money;
use jiff::tz::TimeZone;
use std::collections::{HashMap, VecDeque};
use store::StoreError;
use store::export::{AfterBooking, Moved};

/// Rows of a portion.
const PORTION: i64 = 500;

const BOOKINGS: [&str; 20] = [
    "date",
    "time",
    "code",
    "status",
    "firstName",
    "lastName",
    "email",
    "offer",
    "amount",
    "amountPaid",
    "amountRefunded",
    "currency",
    "cancelledAt",
    "cancelReason",
    "createdAt",
    "paidAt",
    "bookingId",
    "stripeSessionId",
    "paymentIntentId",
    "seat",
];

const MOVEMENTS: [&str; 17] = [
    "date",
    "time",
    "kind",
    "in",
    "out",
    "currency",
    "status",
    "bookingCode",
    "firstName",
    "lastName",
    "email",
    "offer",
    "bookingId",
    "stripeId",
    "paymentIntentId",
    "stripeSessionId",
    "at",
];

/// A list of which the next portion can be had.
#[derive(Debug)]
pub struct Export {
    app: Shared,
    month: Month,
    offers: HashMap<OfferId, String>,
    list: List,
}

#[derive(Debug)]
enum List {
    Bookings(AfterBooking),
    Movements { during: (Timestamp, Timestamp), lanes: Vec<Lane> },
    Told,
}

/// The movements of one kind: those that were read, and after which one to read on.
#[derive(Debug)]
struct Lane {
    kind: MovementKind,
    read: VecDeque<Moved>,
    after: Option<Moved>,
    ended: bool,
}

impl Export {
    /// The bookings whose slots lie in the month.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn bookings(app: Shared, month: Month) -> Result<Self, StoreError> {
        let offers = offers(&app).await?;
        Ok(Self { app, month, offers, list: List::Bookings(AfterBooking::default()) })
    }

    /// What came in and went out in the month. None for a month that no clock reaches.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn movements(app: Shared, month: Month) -> Result<Option<Self>, StoreError> {
        let Some(during) = month.times(&app.config.timezone) else { return Ok(None) };
        let offers = offers(&app).await?;
        let lanes = MovementKind::ALL
            .map(|kind| Lane { kind, read: VecDeque::new(), after: None, ended: false })
            .into();
        Ok(Some(Self { app, month, offers, list: List::Movements { during, lanes } }))
    }

    /// The names of the columns, as the first line.
    #[must_use]
    pub fn head(&self) -> Vec<u8> {
        match self.list {
            List::Bookings(_) => lines([BOOKINGS.map(str::to_owned)]),
            List::Movements { .. } => lines([MOVEMENTS.map(str::to_owned)]),
            List::Told => Vec::new(),
        }
    }

    /// The next lines; none at the end.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, StoreError> {
        let zone = &self.app.config.timezone;
        match &mut self.list {
            List::Told => Ok(None),
            List::Bookings(after) => {
                let (first, end) = self.month.days();
                let mut tx = self.app.store.read().await?;
                let (first, end) = (first.to_string(), end.to_string());
                let (bookings, next) = tx.bookings_by_slot(&first, &end, after, PORTION).await?;
                tx.rollback().await?;
                let Some(next) = next else {
                    self.list = List::Told;
                    return Ok(None);
                };
                *after = next;
                let offers = &self.offers;
                Ok(Some(lines(bookings.iter().map(|booking| booking_row(booking, offers)))))
            }
            List::Movements { during, lanes } => {
                let mut tx = self.app.store.read().await?;
                let mut moved = Vec::new();
                while moved.len() < usize::try_from(PORTION).unwrap_or(usize::MAX) {
                    for lane in lanes.iter_mut().filter(|lane| lane.read.is_empty() && !lane.ended) {
                        let read = tx.movements(lane.kind, *during, lane.after.as_ref(), PORTION).await?;
                        lane.ended = read.is_empty();
                        lane.after = read.last().cloned().or(lane.after.take());
                        lane.read = read.into();
                    }
                    let first = lanes.iter_mut().min_by_key(|lane| {
                        let first = lane.read.front();
                        (first.is_none(), first.map(|first| first.at), lane.kind)
                    });
                    let Some(lane) = first else { break };
                    let Some(next) = lane.read.pop_front() else { break };
                    moved.push((lane.kind, next));
                }
                let ids = moved.iter().map(|(_, moved)| moved.booking);
                let bookings = tx.bookings_by_id(ids).await?;
                tx.rollback().await?;
                if moved.is_empty() {
                    self.list = List::Told;
                    return Ok(None);
                }
                let offers = &self.offers;
                Ok(Some(lines(
                    moved
                        .iter()
                        .filter_map(|(kind, moved)| movement_row(*kind, moved, &bookings, offers, zone)),
                )))
            }
        }
    }
}

async fn offers(app: &Shared) -> Result<HashMap<OfferId, String>, StoreError> {
    let mut tx = app.store.read().await?;
    let offers = tx.offers().await?;
    tx.rollback().await?;
    Ok(offers.into_iter().map(|offer| (offer.id, offer.name)).collect())
}

fn lines<const COLUMNS: usize>(rows: impl IntoIterator<Item = [String; COLUMNS]>) -> Vec<u8> {
    let mut csv = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new());
    for row in rows {
        // Into memory, and each row with as many cells: neither can fail.
        drop(csv.write_record(row.iter().map(|text| cell(text).into_owned())));
    }
    csv.into_inner().unwrap_or_default()
}

fn booking_row(booking: &Booking, offers: &HashMap<OfferId, String>) -> [String; 20] {
    let payment = booking.payment();
    let session = payment.map(|payment| &payment.session).or(booking.session.as_ref());
    let cancelled = booking.cancelled.as_ref();
    [
        booking.slot.date().to_string(),
        booking.slot.time_text(),
        booking.code.to_string(),
        booking.status().to_string(),
        booking.customer.first_name.clone(),
        booking.customer.last_name.clone(),
        booking.customer.email.clone(),
        offers.get(&booking.offer).cloned().unwrap_or_default(),
        decimal(booking, booking.price.amount),
        decimal(booking, payment.map_or(0, |payment| payment.amount)),
        decimal(booking, if payment.is_some() { booking.refunded_amount() } else { 0 }),
        booking.price.currency.to_string(),
        cancelled.map(|cancelled| cancelled.at.to_string()).unwrap_or_default(),
        cancelled.map(|cancelled| cancelled.reason.clone()).unwrap_or_default(),
        booking.created_at.to_string(),
        payment.map(|payment| payment.at.to_string()).unwrap_or_default(),
        booking.id.to_string(),
        session.map(ToString::to_string).unwrap_or_default(),
        payment.and_then(|payment| payment.intent.as_ref()).map(ToString::to_string).unwrap_or_default(),
        booking.seat.map(|seat| seat.to_string()).unwrap_or_default(),
    ]
}

fn movement_row(
    kind: MovementKind,
    moved: &Moved,
    bookings: &HashMap<BookingId, Booking>,
    offers: &HashMap<OfferId, String>,
    zone: &TimeZone,
) -> Option<[String; 17]> {
    let booking = bookings.get(&moved.booking)?;
    let payment = booking.payment()?;
    let (coming, going, status, stripe) = match kind {
        MovementKind::Payment => {
            let stripe = payment.intent.as_ref().map(ToString::to_string).unwrap_or_default();
            (payment.amount, 0, "", stripe)
        }
        MovementKind::Refund => {
            let refund = booking.refunds.iter().find(|refund| refund.id.as_str() == moved.id)?;
            (0, out_by_refund(booking, refund), refund.status.as_str(), moved.id.clone())
        }
        MovementKind::Dispute => {
            let dispute = booking.disputes.iter().find(|dispute| dispute.id.as_str() == moved.id)?;
            (0, out_by_dispute(booking, dispute), dispute.status.as_str(), moved.id.clone())
        }
    };
    let local = zone.to_datetime(moved.at.to_jiff());
    Some([
        local.date().to_string(),
        local.time().strftime("%H:%M:%S").to_string(),
        kind.as_str().to_owned(),
        decimal(booking, coming),
        decimal(booking, going),
        booking.price.currency.to_string(),
        status.to_owned(),
        booking.code.to_string(),
        booking.customer.first_name.clone(),
        booking.customer.last_name.clone(),
        booking.customer.email.clone(),
        offers.get(&booking.offer).cloned().unwrap_or_default(),
        booking.id.to_string(),
        stripe,
        payment.intent.as_ref().map(ToString::to_string).unwrap_or_default(),
        payment.session.to_string(),
        moved.at.to_string(),
    ])
}

fn decimal(booking: &Booking, amount: i64) -> String {
    Money { amount, ..booking.price }.decimal()
}
