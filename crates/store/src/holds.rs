//! Who holds how much unpaid, and what nobody paid.

use super::row::parse;
use super::{StoreError, Tx};
use clock::Timestamp;
use domain::holds::OpenHolds;
use domain::ids::BookingId;

/// Whose holds are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder<'a> {
    /// A client address, by its keyed hash.
    Client(&'a str),
    /// An e-mail address, whatever its case.
    Email(&'a str),
    /// All addresses of one mail domain.
    Domain(&'a str),
}

impl Tx {
    /// Keeps others who would hold by the same name waiting until this transaction ends, so that many at once
    /// are counted one by one. SQLite has one writer and needs nothing.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn lock_holder(&mut self, name: &str) -> Result<(), StoreError> {
        if let Self::Postgres(conn) = self {
            sqlx::query("select pg_advisory_xact_lock(hashtextextended($1, 8))")
                .bind(name)
                .execute(&mut **conn)
                .await?;
        }
        Ok(())
    }

    /// How many unpaid bookings are open, and when the first of them ends; `now` is when.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn open_holds(
        &mut self,
        client: Option<&str>,
        owner: Option<&str>,
        email: &str,
        now: Timestamp,
    ) -> Result<(OpenHolds, Option<Timestamp>), StoreError> {
        let by_client: (i64, Option<i64>) = on_engine!(self, conn => sqlx::query_as(
            "select count(*), min(hold_expires_at) from bookings
             where status = 'en attente' and hold_expires_at > $2 and client_hash is not null and client_hash = $1")
            .bind(client)
            .bind(now.as_micros())
            .fetch_one(conn)
            .await)?;
        let by_owner: (i64, Option<i64>) = on_engine!(self, conn => sqlx::query_as(
            "select count(*), min(hold_expires_at) from bookings
             where status = 'en attente' and hold_expires_at > $2 and owner_hash is not null and owner_hash = $1")
            .bind(owner)
            .bind(now.as_micros())
            .fetch_one(conn)
            .await)?;
        let by_email: (i64, Option<i64>) = on_engine!(self, conn => sqlx::query_as(
            "select count(*), min(hold_expires_at) from bookings
             where status = 'en attente' and hold_expires_at > $2
               and cast(lower(email) as key_text) = lower($1)")
            .bind(email)
            .bind(now.as_micros())
            .fetch_one(conn)
            .await)?;
        let ends = [by_client.1, by_owner.1, by_email.1].into_iter().flatten().min();
        let open = OpenHolds { address: by_client.0, browser: by_owner.0, email: by_email.0 };
        Ok((open, ends.map(Timestamp::from_micros)))
    }

    /// Remembers from where a booking was made, by the keyed hash of the address.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn note_client(&mut self, booking: BookingId, client: &str) -> Result<(), StoreError> {
        on_engine!(self, conn => sqlx::query("update bookings set client_hash = $2 where id = $1")
            .bind(booking.to_string())
            .bind(client)
            .execute(conn)
            .await
            .map(drop))?;
        Ok(())
    }

    /// The unpaid bookings that somebody holds, oldest first; at most `limit`.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn holds_like(&mut self, holder: Holder<'_>, limit: i64) -> Result<Vec<BookingId>, StoreError> {
        let (client, email, domain) = match holder {
            Holder::Client(client) => (Some(client), None, None),
            Holder::Email(email) => (None, Some(email), None),
            Holder::Domain(domain) => (None, None, Some(format!("@{domain}"))),
        };
        let ids: Vec<String> = on_engine!(self, conn => sqlx::query_scalar(
            "select id from bookings where status = 'en attente'
               and (client_hash = $1 or lower(email) = lower($2)
                    or substr(lower(email), length(email) - length($3) + 1) = lower($3))
             order by id limit $4")
            .bind(client)
            .bind(email)
            .bind(domain.as_deref())
            .bind(limit)
            .fetch_all(conn)
            .await)?;
        ids.iter().map(|id| parse("bookings.id", id, |text| BookingId::parse(text).ok())).collect()
    }

    /// Bookings that ended unpaid before then and still say whose they were, oldest first; at most `limit`.
    /// Those with a case about their money are left to it.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn unpaid_to_forget(
        &mut self,
        before: Timestamp,
        limit: i64,
    ) -> Result<Vec<BookingId>, StoreError> {
        let ids: Vec<String> = on_engine!(self, conn => sqlx::query_scalar(
            "select id from bookings b
             where b.erased_at is null and b.paid_session_id is null and b.updated_at < $1
               and b.status in ('expiré', 'échoué', 'annulé')
               and not exists (select 1 from cases c where c.booking_id = b.id and c.closed_at is null)
             order by b.updated_at limit $2")
            .bind(before.as_micros())
            .bind(limit)
            .fetch_all(conn)
            .await)?;
        ids.iter().map(|id| parse("bookings.id", id, |text| BookingId::parse(text).ok())).collect()
    }
}
