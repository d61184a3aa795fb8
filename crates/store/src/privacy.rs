//! Forgetting: payloads after a while, a person on request. Sums and the ledger's facts stay.

use super::row::parse;
use super::{Store, StoreError, Tx};
use clock::Timestamp;
use domain::ids::BookingId;

/// A fact about a person, as it is kept.
#[derive(Debug, Clone)]
pub struct KeptPayload {
    /// Stripe's event id, or the key of a polled state.
    pub event_key: String,
    /// When it came.
    pub received_at: Timestamp,
    /// As received.
    pub payload: String,
}

/// Why the messages that were due to an erased person are not sent.
pub const FORGOTTEN: &str = "the person was forgotten";
/// A payload in which an address was looked for and found.
#[derive(Debug, Clone)]
pub struct PayloadWith {
    /// Its ledger row.
    pub id: String,
    /// The booking that the row is about, if one is known.
    pub booking: Option<BookingId>,
    /// What is kept.
    pub kept: KeptPayload,
}

/// What stands for an erased name.
pub const ERASED: &str = "—";

impl Tx {
    /// Erases payloads that came before `before`, and any of a person who was forgotten, as far as
    /// nothing waits for them: neither a try of ours nor an open case. At most `limit`; returns how many.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn erase_payloads(&mut self, before: Timestamp, limit: i64) -> Result<u64, StoreError> {
        Ok(on_engine!(self, conn => sqlx::query(
            "update payment_events set payload = null where id in (
                 select e.id from payment_events e
                 where e.payload is not null and e.next_try_at is null
                   and (e.received_at < $1
                        or exists (select 1 from bookings b where b.id = e.booking_id and b.erased_at is not null))
                   and not exists (select 1 from cases c where c.event_key = e.event_key and c.closed_at is null)
                 order by e.received_at limit $2)")
            .bind(before.as_micros())
            .bind(limit)
            .execute(conn)
            .await
            .map(|done| done.rows_affected()))?)
    }

    /// The bookings made with an address, whatever its case, oldest first.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn bookings_of_person(&mut self, email: &str) -> Result<Vec<BookingId>, StoreError> {
        let ids: Vec<String> = on_engine!(self, conn => sqlx::query_scalar(
            "select id from bookings where lower(email) = lower($1) order by created_at, id limit 10000")
            .bind(email)
            .fetch_all(conn)
            .await)?;
        ids.iter().map(|id| parse("bookings.id", id, |text| BookingId::parse(text).ok())).collect()
    }

    /// The payloads kept of a booking, oldest first.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn payloads_of(&mut self, booking: BookingId) -> Result<Vec<KeptPayload>, StoreError> {
        let rows: Vec<(String, i64, String)> = on_engine!(self, conn => sqlx::query_as(
            "select event_key, received_at, payload from payment_events
             where booking_id = $1 and payload is not null order by received_at, id limit 1000")
            .bind(booking.to_string())
            .fetch_all(conn)
            .await)?;
        Ok(rows
            .into_iter()
            .map(|(event_key, at, payload)| KeptPayload {
                event_key,
                received_at: Timestamp::from_micros(at),
                payload,
            })
            .collect())
    }

    /// The payloads in which an address stands, whatever its case, after the one with the id `after`; at most
    /// `limit`. Not only those of the person's bookings: a fact may wait for its booking, or be another's.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn payloads_with(
        &mut self,
        email: &str,
        after: &str,
        limit: i64,
    ) -> Result<Vec<PayloadWith>, StoreError> {
        let rows: Vec<(String, Option<String>, String, i64, String)> = on_engine!(self, conn => sqlx::query_as(
            "select id, booking_id, event_key, received_at, payload from payment_events
             where payload is not null and id > $2 and replace(lower(payload), lower($1), '') <> lower(payload)
             order by id limit $3")
            .bind(email)
            .bind(after)
            .bind(limit)
            .fetch_all(conn)
            .await)?;
        rows.into_iter()
            .map(|(id, booking, event_key, at, payload)| {
                let booking =
                    booking.map(|id| parse("payment_events.booking_id", &id, |t| BookingId::parse(t).ok()));
                let received_at = Timestamp::from_micros(at);
                Ok(PayloadWith {
                    id,
                    booking: booking.transpose()?,
                    kept: KeptPayload { event_key, received_at, payload },
                })
            })
            .collect()
    }

    /// Keeps this instead of what was received.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn replace_payload(&mut self, id: &str, payload: Option<&str>) -> Result<(), StoreError> {
        on_engine!(self, conn => sqlx::query("update payment_events set payload = $2 where id = $1")
            .bind(id)
            .bind(payload)
            .execute(conn)
            .await
            .map(drop))?;
        Ok(())
    }

    /// Forgets who made a booking; what was paid stays. Deliveries to the person end here.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn erase_person(&mut self, booking: BookingId, now: Timestamp) -> Result<(), StoreError> {
        let id = booking.to_string();
        // What somebody noted about the person's money, if it names the person.
        on_engine!(self, conn => sqlx::query(
            "update cases set note = $2 where booking_id = $1 and exists (
                 select 1 from bookings b where b.id = $1 and (
                     replace(lower(cases.note), lower(b.email), '') <> lower(cases.note)
                     or replace(lower(cases.note), lower(b.first_name), '') <> lower(cases.note)
                     or replace(lower(cases.note), lower(b.last_name), '') <> lower(cases.note)))")
            .bind(&id)
            .bind(ERASED)
            .execute(conn)
            .await
            .map(drop))?;
        on_engine!(self, conn => sqlx::query(
            "update bookings set first_name = $2, last_name = $2, email = $3, owner_hash = null,
                 client_hash = null, session_url = null,
                 cancel_reason = case when cancelled_at is not null then '' end, erased_at = $4, updated_at = $4
             where id = $1")
            .bind(&id)
            .bind(ERASED)
            .bind(format!("erased+{id}@invalid.example"))
            .bind(now.as_micros())
            .execute(conn)
            .await
            .map(drop))?;
        on_engine!(self, conn => sqlx::query("update payment_events set payload = null where booking_id = $1")
            .bind(&id)
            .execute(conn)
            .await
            .map(drop))?;
        // A receiver's words may quote the address.
        on_engine!(self, conn => sqlx::query(
            "update outbox_deliveries set last_error = null
             where outbox_id in (select id from outbox where booking_id = $1)")
            .bind(&id)
            .execute(conn)
            .await
            .map(drop))?;
        on_engine!(self, conn => sqlx::query(
            "update outbox_deliveries set state = 'done', next_try_at = null, last_error = $2
             where target = 'customer' and state <> 'done'
               and outbox_id in (select id from outbox where booking_id = $1)")
            .bind(&id)
            .bind(FORGOTTEN)
            .execute(conn)
            .await
            .map(drop))?;
        on_engine!(self, conn => sqlx::query("delete from idempotency_keys where booking_id = $1")
            .bind(&id)
            .execute(conn)
            .await
            .map(drop))?;
        Ok(())
    }
}

impl Store {
    /// Removes what erased rows left behind in the database's files. PostgreSQL does so by itself when
    /// it vacuums.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn scrub(&self) -> Result<(), StoreError> {
        match self {
            Self::Postgres { .. } => Ok(()),
            Self::Sqlite { writer, .. } => {
                let mut connection = Self::acquire_sqlite_writer(writer).await?;
                sqlx::query("vacuum").execute(&mut *connection).await?;
                sqlx::query("pragma wal_checkpoint(truncate)").execute(&mut *connection).await?;
                Ok(())
            }
        }
    }
}
