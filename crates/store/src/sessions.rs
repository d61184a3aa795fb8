//! Who is signed in. Only the SHA-256 of a session's id stands here.

use super::users::UserRow;
use super::{StoreError, Tx};
use clock::Timestamp;
use domain::account::User;
use domain::ids::UserId;

/// A session without its user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionTimes {
    /// The last request seen, to the minute.
    pub last_seen_at: Timestamp,
    /// When it ends whatever happens.
    pub expires_at: Timestamp,
}

impl Tx {
    /// Starts a session.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn insert_session(
        &mut self,
        id_hash: &str,
        user: UserId,
        now: Timestamp,
        expires_at: Timestamp,
    ) -> Result<(), StoreError> {
        on_engine!(self, conn => sqlx::query(
            "insert into sessions (id_hash, user_id, created_at, last_seen_at, expires_at)
             values ($1, $2, $3, $3, $4)")
            .bind(id_hash)
            .bind(user.to_string())
            .bind(now.as_micros())
            .bind(expires_at.as_micros())
            .execute(conn)
            .await
            .map(drop))?;
        Ok(())
    }

    /// A session and its user as both are now.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn session(&mut self, id_hash: &str) -> Result<Option<(SessionTimes, User)>, StoreError> {
        #[derive(sqlx::FromRow)]
        struct Row {
            last_seen_at: i64,
            expires_at: i64,
            #[sqlx(flatten)]
            user: UserRow,
        }
        let row: Option<Row> = on_engine!(self, conn => sqlx::query_as(
            "select s.last_seen_at, s.expires_at, u.id, u.email, u.role, u.active, u.created_at
             from sessions s join users u on u.id = s.user_id where s.id_hash = $1")
            .bind(id_hash)
            .fetch_optional(conn)
            .await)?;
        row.map(|row| {
            let times = SessionTimes {
                last_seen_at: Timestamp::from_micros(row.last_seen_at),
                expires_at: Timestamp::from_micros(row.expires_at),
            };
            Ok((times, row.user.into_user()?))
        })
        .transpose()
    }

    /// Notes that a session was used.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn touch_session(&mut self, id_hash: &str, now: Timestamp) -> Result<(), StoreError> {
        on_engine!(self, conn => sqlx::query(
            "update sessions set last_seen_at = $2 where id_hash = $1 and last_seen_at < $2")
            .bind(id_hash)
            .bind(now.as_micros())
            .execute(conn)
            .await
            .map(drop))?;
        Ok(())
    }

    /// Ends a session; says whether there was one.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn delete_session(&mut self, id_hash: &str) -> Result<bool, StoreError> {
        let ended = on_engine!(self, conn => sqlx::query("delete from sessions where id_hash = $1")
            .bind(id_hash)
            .execute(conn)
            .await
            .map(|done| done.rows_affected()))?;
        Ok(ended > 0)
    }

    /// Ends all sessions of a user; says how many.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn delete_sessions_of(&mut self, user: UserId) -> Result<u64, StoreError> {
        Ok(on_engine!(self, conn => sqlx::query("delete from sessions where user_id = $1")
            .bind(user.to_string())
            .execute(conn)
            .await
            .map(|done| done.rows_affected()))?)
    }

    /// Forgets sessions that have ended by `now`.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn delete_ended_sessions(&mut self, now: Timestamp) -> Result<(), StoreError> {
        on_engine!(self, conn => sqlx::query("delete from sessions where expires_at <= $1")
            .bind(now.as_micros())
            .execute(conn)
            .await
            .map(drop))?;
        Ok(())
    }
}
