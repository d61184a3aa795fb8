//! Callers' `Idempotency-Key`s: the same key and body get the same answer for a day.

use super::row::parse;
use super::{StoreError, Tx};
use clock::Timestamp;
use domain::ids::BookingId;
use std::time::Duration;

/// How long a key is kept.
pub const KEPT: Duration = Duration::from_secs(24 * 3600);
/// After this, a request that has not said that it goes on is taken to have died with its process.
const IN_FLIGHT: Duration = Duration::from_secs(6);
/// How often a request says that it goes on.
pub const STILL_HERE: Duration = Duration::from_secs(2);

/// What a key led to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum KeyState {
    /// It was free and is now ours until [`Tx::finish_key`] or [`Tx::release_key`].
    Taken,
    /// It was ours before, and the request died or failed: go on with its booking, if it made one.
    Resumed(Option<BookingId>),
    /// The request was answered; this was the answer.
    Answered(String),
    /// Another request with this key is being served.
    InFlight,
    /// The key was used with another body.
    OtherRequest,
}

impl Tx {
    /// Takes `key` for a request whose canonical form hashes to `request_hash`.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn take_key(
        &mut self,
        scope: &str,
        key: &str,
        request_hash: &str,
        now: Timestamp,
    ) -> Result<KeyState, StoreError> {
        let locked_until = now.plus(IN_FLIGHT).as_micros();
        on_engine!(self, conn => sqlx::query(
            "delete from idempotency_keys where scope = $1 and key = $2 and created_at < $3")
            .bind(scope)
            .bind(key)
            .bind(now.minus(KEPT).as_micros())
            .execute(conn)
            .await
            .map(drop))?;
        let taken = on_engine!(self, conn => sqlx::query(
            "insert into idempotency_keys (scope, key, request_hash, locked_until, created_at)
             values ($1, $2, $3, $4, $5) on conflict (scope, key) do nothing")
            .bind(scope)
            .bind(key)
            .bind(request_hash)
            .bind(locked_until)
            .bind(now.as_micros())
            .execute(conn)
            .await
            .map(|done| done.rows_affected()))?;
        if taken == 1 {
            return Ok(KeyState::Taken);
        }
        let sql = format!(
            "select request_hash, booking_id, response, locked_until from idempotency_keys
             where scope = $1 and key = $2 {}",
            self.for_update()
        );
        let row: Option<(String, Option<String>, Option<String>, i64)> = on_engine!(self, conn =>
            sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(scope).bind(key).fetch_optional(conn).await)?;
        let Some((known_hash, booking, response, locked)) = row else {
            return Err(StoreError::Overtaken);
        };
        if known_hash != request_hash {
            return Ok(KeyState::OtherRequest);
        }
        if let Some(response) = response {
            return Ok(KeyState::Answered(response));
        }
        if locked > now.as_micros() {
            return Ok(KeyState::InFlight);
        }
        on_engine!(self, conn => sqlx::query(
            "update idempotency_keys set locked_until = $3 where scope = $1 and key = $2")
            .bind(scope)
            .bind(key)
            .bind(locked_until)
            .execute(conn)
            .await
            .map(drop))?;
        let booking = booking
            .map(|id| parse("idempotency_keys.booking_id", &id, |text| BookingId::parse(text).ok()))
            .transpose()?;
        Ok(KeyState::Resumed(booking))
    }

    /// The request that holds `key` goes on.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn keep_key(&mut self, scope: &str, key: &str, now: Timestamp) -> Result<(), StoreError> {
        on_engine!(self, conn => sqlx::query(
            "update idempotency_keys set locked_until = $3
             where scope = $1 and key = $2 and response is null and locked_until > 0")
            .bind(scope)
            .bind(key)
            .bind(now.plus(IN_FLIGHT).as_micros())
            .execute(conn)
            .await
            .map(drop))?;
        Ok(())
    }

    /// The answer that `key` was given for the same request; none if it was not answered.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn answer_of_key(
        &mut self,
        scope: &str,
        key: &str,
        request_hash: &str,
        now: Timestamp,
    ) -> Result<Option<String>, StoreError> {
        let answer: Option<Option<String>> = on_engine!(self, conn => sqlx::query_scalar(
            "select response from idempotency_keys
             where scope = $1 and key = $2 and request_hash = $3 and created_at >= $4")
            .bind(scope)
            .bind(key)
            .bind(request_hash)
            .bind(now.minus(KEPT).as_micros())
            .fetch_optional(conn)
            .await)?;
        Ok(answer.flatten())
    }

    /// Remembers which booking the request made, so that a repetition after a crash resumes it.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn bind_key(&mut self, scope: &str, key: &str, booking: BookingId) -> Result<(), StoreError> {
        on_engine!(self, conn => sqlx::query(
            "update idempotency_keys set booking_id = $3 where scope = $1 and key = $2")
            .bind(scope)
            .bind(key)
            .bind(booking.to_string())
            .execute(conn)
            .await
            .map(drop))?;
        Ok(())
    }

    /// Keeps the answer.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn finish_key(&mut self, scope: &str, key: &str, response: &str) -> Result<(), StoreError> {
        on_engine!(self, conn => sqlx::query(
            "update idempotency_keys set response = $3, locked_until = 0 where scope = $1 and key = $2")
            .bind(scope)
            .bind(key)
            .bind(response)
            .execute(conn)
            .await
            .map(drop))?;
        Ok(())
    }

    /// Lets the key be tried again at once. The request's hash and booking are kept.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn release_key(&mut self, scope: &str, key: &str) -> Result<(), StoreError> {
        on_engine!(self, conn => sqlx::query(
            "update idempotency_keys set locked_until = 0 where scope = $1 and key = $2 and response is null")
            .bind(scope)
            .bind(key)
            .execute(conn)
            .await
            .map(drop))?;
        Ok(())
    }

    /// Forgets keys older than [`KEPT`].
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn forget_old_keys(&mut self, now: Timestamp) -> Result<u64, StoreError> {
        Ok(on_engine!(self, conn => sqlx::query("delete from idempotency_keys where created_at < $1")
            .bind(now.minus(KEPT).as_micros())
            .execute(conn)
            .await
            .map(|done| done.rows_affected()))?)
    }
}
