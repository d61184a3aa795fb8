//! A month's bookings and its movements of money, in portions: each goes on after the last row of the one before, so
//! that none holds a connection for long and none grows with the month.

use super::row::parse;
use super::{StoreError, Tx};
use clock::Timestamp;
use domain::booking::Booking;
use domain::export::MovementKind;
use domain::ids::BookingId;
use std::collections::HashMap;

/// Where a list of bookings by their slots goes on.
#[derive(Debug, Clone, Default)]
pub struct AfterBooking {
    date: String,
    time: String,
    id: String,
}

/// That money moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// When we learned it.
    pub at: Timestamp,
    /// What it is called by: the id of the booking, refund or dispute.
    pub id: String,
    /// Whose it is.
    pub booking: BookingId,
}

impl Tx {
    /// The bookings whose slots lie from `first` to before `end`, both `YYYY-MM-DD`, by their slots; at most `most`
    /// after `after`.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn bookings_by_slot(
        &mut self,
        first: &str,
        end: &str,
        after: &AfterBooking,
        most: i64,
    ) -> Result<(Vec<Booking>, Option<AfterBooking>), StoreError> {
        let rows: Vec<(String, String, String)> = on_engine!(self, conn => sqlx::query_as(
            "select slot_date, slot_time, id from bookings
             where slot_date >= $1 and slot_date < $2 and (slot_date, slot_time, id) > ($3, $4, $5)
             order by slot_date, slot_time, id limit $6")
            .bind(first)
            .bind(end)
            .bind(&after.date)
            .bind(&after.time)
            .bind(&after.id)
            .bind(most)
            .fetch_all(conn)
            .await)?;
        let ids: Vec<String> = rows.iter().map(|(_, _, id)| id.clone()).collect();
        let next = rows.into_iter().next_back().map(|(date, time, id)| AfterBooking { date, time, id });
        let key = |booking: &Booking| (booking.slot.date(), booking.slot.time_text(), booking.id);
        Ok((self.load_sorted(&ids, key).await?, next))
    }

    /// The movements of this kind from `from` to before `end`, oldest first; at most `most` after `after`.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn movements(
        &mut self,
        kind: MovementKind,
        (from, end): (Timestamp, Timestamp),
        after: Option<&Moved>,
        most: i64,
    ) -> Result<Vec<Moved>, StoreError> {
        let sql = match kind {
            MovementKind::Payment => {
                "select paid_at, id, id from bookings where paid_at >= $1 and paid_at < $2 and (paid_at, id) > ($3, $4)
                 order by paid_at, id limit $5"
            }
            MovementKind::Refund => {
                "select created_at, id, booking_id from refunds
                 where created_at >= $1 and created_at < $2 and (created_at, id) > ($3, $4)
                 order by created_at, id limit $5"
            }
            MovementKind::Dispute => {
                "select created_at, id, booking_id from disputes
                 where created_at >= $1 and created_at < $2 and (created_at, id) > ($3, $4)
                 order by created_at, id limit $5"
            }
        };
        let rows: Vec<(i64, String, String)> = on_engine!(self, conn => sqlx::query_as(sql)
            .bind(from.as_micros())
            .bind(end.as_micros())
            .bind(after.map_or(i64::MIN, |after| after.at.as_micros()))
            .bind(after.map_or("", |after| after.id.as_str()))
            .bind(most)
            .fetch_all(conn)
            .await)?;
        rows.into_iter()
            .map(|(at, id, booking)| {
                let booking = parse("booking id", &booking, |text| BookingId::parse(text).ok())?;
                Ok(Moved { at: Timestamp::from_micros(at), id, booking })
            })
            .collect()
    }

    /// These bookings, by their ids.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn bookings_by_id(
        &mut self,
        ids: impl IntoIterator<Item = BookingId>,
    ) -> Result<HashMap<BookingId, Booking>, StoreError> {
        let mut ids: Vec<String> = ids.into_iter().map(|id| id.to_string()).collect();
        ids.sort_unstable();
        ids.dedup();
        let bookings = self.load_sorted(&ids, |booking| booking.id).await?;
        Ok(bookings.into_iter().map(|booking| (booking.id, booking)).collect())
    }
}
