//! Where the reading of Stripe stands: cursors of its lists, and bookings that are to be asked about.

use super::row::parse;
use super::{StoreError, Tx};
use clock::Timestamp;
use domain::booking::Status;
use domain::ids::{BookingId, SessionId};
use sqlx::AssertSqlSafe;
use std::time::Duration;

/// A booking that is ours to ask about until `until`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DueBooking {
    /// Which.
    pub id: BookingId,
    /// The end of our lease. Whoever changed the booking meanwhile set another time.
    pub until: Timestamp,
}

/// How far apart the clocks of instances that share a list may be.
const CLOCKS_DIFFER: Duration = Duration::from_secs(300);

impl Tx {
    /// When this database was made.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn instance_created_at(&mut self) -> Result<Timestamp, StoreError> {
        let at: i64 = on_engine!(self, conn => sqlx::query_scalar("select created_at from instance")
            .fetch_one(conn)
            .await)?;
        Ok(Timestamp::from_micros(at))
    }

    /// Takes the reading of a list if it is due, and puts the next one off. One that is planned for much later than
    /// `next` was planned by a clock that was ahead, and is due. Returns how far it was
    /// read, or `first` if it never was; none if it is not due or another instance is at it.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn take_feed(
        &mut self,
        name: &str,
        first: Timestamp,
        now: Timestamp,
        next: Timestamp,
    ) -> Result<Option<Timestamp>, StoreError> {
        on_engine!(self, conn => sqlx::query(
            "insert into feed_cursor (name, read_until, next_run_at) values ($1, $2, 0)
             on conflict (name) do nothing")
            .bind(name)
            .bind(first.as_micros())
            .execute(conn)
            .await
            .map(drop))?;
        let read_until: Option<i64> = on_engine!(self, conn => sqlx::query_scalar(
            "update feed_cursor set next_run_at = $3
             where name = $1 and (next_run_at <= $2 or next_run_at > $4) returning read_until")
            .bind(name)
            .bind(now.as_micros())
            .bind(next.as_micros())
            .bind(next.plus(CLOCKS_DIFFER).as_micros())
            .fetch_optional(conn)
            .await)?;
        Ok(read_until.map(Timestamp::from_micros))
    }

    /// Makes every list due to be read, and every booking that is not settled due to be asked about; and of what
    /// is to be tried again, what a clock that was ahead has planned.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn everything_is_due(&mut self, now: Timestamp) -> Result<(), StoreError> {
        /// Longer than anything in the table is put off.
        const NEVER: [(&str, Duration); 3] = [
            ("payment_events", Duration::from_secs(3600)),
            ("refund_intents", Duration::from_secs(2 * 3600)),
            ("outbox_deliveries", Duration::from_secs(7 * 3600)),
        ];
        for (table, never) in NEVER {
            let sql = format!("update {table} set next_try_at = $1 where next_try_at > $2");
            on_engine!(self, conn => sqlx::query(AssertSqlSafe(sql))
                .bind(now.as_micros())
                .bind(now.plus(never).as_micros())
                .execute(conn)
                .await
                .map(drop))?;
        }
        on_engine!(self, conn => sqlx::query("update feed_cursor set next_run_at = 0 where next_run_at > 0")
            .execute(conn)
            .await
            .map(drop))?;
        on_engine!(self, conn => sqlx::query("update bookings set next_check_at = $1 where next_check_at > $1")
            .bind(now.as_micros())
            .execute(conn)
            .await
            .map(drop))?;
        Ok(())
    }

    /// How far a list was read.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn read_until(&mut self, name: &str) -> Result<Option<Timestamp>, StoreError> {
        let at: Option<i64> = on_engine!(self, conn => sqlx::query_scalar(
            "select read_until from feed_cursor where name = $1")
            .bind(name)
            .fetch_optional(conn)
            .await)?;
        Ok(at.map(Timestamp::from_micros))
    }

    /// Everything up to `until` is durable. A cursor never goes back, unless a clock that was ahead moved it
    /// beyond `now`.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn move_feed(
        &mut self,
        name: &str,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        on_engine!(self, conn => sqlx::query(
            "insert into feed_cursor (name, read_until, next_run_at) values ($1, $2, 0)
             on conflict (name) do update set read_until = excluded.read_until
             where feed_cursor.read_until < excluded.read_until or feed_cursor.read_until > $3")
            .bind(name)
            .bind(until.as_micros())
            .bind(now.as_micros())
            .execute(conn)
            .await
            .map(drop))?;
        Ok(())
    }

    /// Puts a cursor where it is said to be, back or ahead: for who mends it.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn set_read_until(&mut self, name: &str, until: Timestamp) -> Result<(), StoreError> {
        on_engine!(self, conn => sqlx::query(
            "update feed_cursor set read_until = $2, next_run_at = 0 where name = $1")
            .bind(name)
            .bind(until.as_micros())
            .execute(conn)
            .await
            .map(drop))?;
        Ok(())
    }

    /// Bookings that are due to be asked about, oldest first, put off by `lease`: several instances
    /// share them, and if this one dies they come up again.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn take_due_bookings(
        &mut self,
        now: Timestamp,
        lease: Duration,
        limit: i64,
    ) -> Result<Vec<DueBooking>, StoreError> {
        let until = now.plus(lease);
        let sql = format!(
            "update bookings set next_check_at = $2
             where id in (select id from bookings where next_check_at is not null and next_check_at <= $1
                          order by next_check_at limit $3 {})
             returning id",
            self.for_update_skip_locked()
        );
        let ids: Vec<String> = on_engine!(self, conn => sqlx::query_scalar(AssertSqlSafe(sql))
            .bind(now.as_micros())
            .bind(until.as_micros())
            .bind(limit)
            .fetch_all(conn)
            .await)?;
        ids.iter()
            .map(|id| {
                let id = parse("bookings.id", id, |text| BookingId::parse(text).ok())?;
                Ok(DueBooking { id, until })
            })
            .collect()
    }

    /// Plans the next question about a booking, unless something else planned one since it was taken.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn plan_check(&mut self, due: DueBooking, next: Option<Timestamp>) -> Result<(), StoreError> {
        on_engine!(self, conn => sqlx::query(
            "update bookings set next_check_at = $3 where id = $1 and next_check_at = $2")
            .bind(due.id.to_string())
            .bind(due.until.as_micros())
            .bind(next.map(Timestamp::as_micros))
            .execute(conn)
            .await
            .map(drop))?;
        Ok(())
    }

    /// Has Stripe asked about a booking by `at`.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn check_soon(&mut self, booking: BookingId, at: Timestamp) -> Result<(), StoreError> {
        on_engine!(self, conn => sqlx::query(
            "update bookings set next_check_at = $2
             where id = $1 and (next_check_at is null or next_check_at > $2)")
            .bind(booking.to_string())
            .bind(at.as_micros())
            .execute(conn)
            .await
            .map(drop))?;
        Ok(())
    }

    /// Every booking that is not settled, or is still to be looked after, after the one with the id
    /// `after`; at most `limit`.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn unsettled_bookings(
        &mut self,
        after: Option<BookingId>,
        limit: i64,
    ) -> Result<Vec<BookingId>, StoreError> {
        let ids: Vec<String> = on_engine!(self, conn => sqlx::query_scalar(
            "select id from bookings where next_check_at is not null and id > $1 order by id limit $2")
            .bind(after.map(|id| id.to_string()).unwrap_or_default())
            .bind(limit)
            .fetch_all(conn)
            .await)?;
        ids.iter().map(|id| parse("bookings.id", id, |text| BookingId::parse(text).ok())).collect()
    }

    /// When the oldest thing was made that is not settled: a booking, or a fact without its booking.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn oldest_unsettled(&mut self) -> Result<Option<Timestamp>, StoreError> {
        let booking: Option<i64> = on_engine!(self, conn => sqlx::query_scalar(
            "select min(created_at) from bookings where next_check_at is not null")
            .fetch_one(conn)
            .await)?;
        let fact: Option<i64> = on_engine!(self, conn => sqlx::query_scalar(
            "select min(received_at) from payment_events where next_try_at is not null")
            .fetch_one(conn)
            .await)?;
        Ok(booking.into_iter().chain(fact).min().map(Timestamp::from_micros))
    }

    /// The status of the booking of a session; none if no booking here has it.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn booking_of_session(
        &mut self,
        session: &SessionId,
    ) -> Result<Option<(BookingId, Status)>, StoreError> {
        let row: Option<(String, String)> = on_engine!(self, conn => sqlx::query_as(
            "select id, status from bookings where stripe_session_id = $1")
            .bind(session.as_str())
            .fetch_optional(conn)
            .await)?;
        row.map(|(id, status)| {
            let id = parse("bookings.id", &id, |text| BookingId::parse(text).ok())?;
            Ok((id, parse("bookings.status", &status, Status::parse)?))
        })
        .transpose()
    }

    /// Allows one question about a session for each `pause`, over all instances.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn may_ask(
        &mut self,
        booking: BookingId,
        now: Timestamp,
        pause: Duration,
    ) -> Result<bool, StoreError> {
        let asked = on_engine!(self, conn => sqlx::query(
            "update bookings set asked_at = $2 where id = $1 and (asked_at is null or asked_at <= $3)")
            .bind(booking.to_string())
            .bind(now.as_micros())
            .bind(now.minus(pause).as_micros())
            .execute(conn)
            .await
            .map(|done| done.rows_affected()))?;
        Ok(asked == 1)
    }
}
