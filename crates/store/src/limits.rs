//! Counts of failed sign-ins, shared by all instances, and the places that are exempt.

use super::{StoreError, Tx};
use clock::Timestamp;
use domain::ids::UserId;

/// How often something failed lately.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::FromRow)]
pub struct LimitRow {
    /// Failures in the window, this one counted.
    pub failures: i32,
    window_ends: i64,
    blocked_until: i64,
}

impl LimitRow {
    /// When the count starts anew.
    #[must_use]
    pub fn window_ends(&self) -> Timestamp {
        Timestamp::from_micros(self.window_ends)
    }

    /// Until when nothing is let through.
    #[must_use]
    pub fn blocked_until(&self) -> Timestamp {
        Timestamp::from_micros(self.blocked_until)
    }
}

impl Tx {
    /// Counts a try as failed, before it is known to be, so that tries at the same time cannot pass
    /// together. A new window ends at `window_ends`; a running one moves there too if `extend`.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn count_login_failure(
        &mut self,
        key: &str,
        now: Timestamp,
        window_ends: Timestamp,
        extend: bool,
    ) -> Result<LimitRow, StoreError> {
        Ok(on_engine!(self, conn => sqlx::query_as(
            "insert into login_limits (key, failures, window_ends, blocked_until) values ($1, 1, $3, 0)
             on conflict (key) do update set
                 failures = case when login_limits.window_ends <= $2 then 1 else login_limits.failures + 1 end,
                 window_ends = case when login_limits.window_ends <= $2 or $4 then $3
                                    else login_limits.window_ends end
             returning failures, window_ends, blocked_until")
            .bind(key)
            .bind(now.as_micros())
            .bind(window_ends.as_micros())
            .bind(extend)
            .fetch_one(conn)
            .await)?)
    }

    /// Lets nothing through for `key` until then.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn block_logins(&mut self, key: &str, until: Timestamp) -> Result<(), StoreError> {
        on_engine!(self, conn => sqlx::query("update login_limits set blocked_until = $2 where key = $1")
            .bind(key)
            .bind(until.as_micros())
            .execute(conn)
            .await
            .map(drop))?;
        Ok(())
    }

    /// Takes one failure back: the try succeeded, or was never judged.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn forgive_login_failure(&mut self, key: &str) -> Result<(), StoreError> {
        on_engine!(self, conn => sqlx::query(
            "update login_limits set failures = failures - 1 where key = $1 and failures > 0")
            .bind(key)
            .execute(conn)
            .await
            .map(drop))?;
        Ok(())
    }

    /// Forgets all failures of `key`.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn clear_login_failures(&mut self, key: &str) -> Result<(), StoreError> {
        on_engine!(self, conn => sqlx::query("delete from login_limits where key = $1")
            .bind(key)
            .execute(conn)
            .await
            .map(drop))?;
        Ok(())
    }

    /// Forgets windows that ended before `before`.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn delete_old_login_limits(&mut self, before: Timestamp) -> Result<(), StoreError> {
        on_engine!(self, conn => sqlx::query("delete from login_limits where window_ends < $1 and blocked_until < $1")
            .bind(before.as_micros())
            .execute(conn)
            .await
            .map(drop))?;
        Ok(())
    }

    /// Whether `user` signed in from `place` since `since`.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn is_login_place(
        &mut self,
        user: UserId,
        place: &str,
        since: Timestamp,
    ) -> Result<bool, StoreError> {
        let known: i64 = on_engine!(self, conn => sqlx::query_scalar(
            "select count(*) from login_places where user_id = $1 and place = $2 and last_used >= $3")
            .bind(user.to_string())
            .bind(place)
            .bind(since.as_micros())
            .fetch_one(conn)
            .await)?;
        Ok(known > 0)
    }

    /// Notes that `user` signed in from `place`, and forgets places not used since `since`.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn note_login_place(
        &mut self,
        user: UserId,
        place: &str,
        now: Timestamp,
        since: Timestamp,
    ) -> Result<(), StoreError> {
        on_engine!(&mut *self, conn => sqlx::query(
            "insert into login_places (user_id, place, last_used) values ($1, $2, $3)
             on conflict (user_id, place) do update set last_used = $3")
            .bind(user.to_string())
            .bind(place)
            .bind(now.as_micros())
            .execute(conn)
            .await
            .map(drop))?;
        on_engine!(self, conn => sqlx::query("delete from login_places where user_id = $1 and last_used < $2")
            .bind(user.to_string())
            .bind(since.as_micros())
            .execute(conn)
            .await
            .map(drop))?;
        Ok(())
    }
}
