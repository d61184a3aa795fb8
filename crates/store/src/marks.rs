//! What a database remembers of itself, each under a name.

use super::{StoreError, Tx};
use clock::Timestamp;

impl Tx {
    /// What stands under this name, and since when.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn mark(&mut self, name: &str) -> Result<Option<(String, Timestamp)>, StoreError> {
        let row: Option<(String, i64)> = on_engine!(self, conn => sqlx::query_as(
            "select value, at from marks where name = $1")
            .bind(name)
            .fetch_optional(conn)
            .await)?;
        Ok(row.map(|(value, at)| (value, Timestamp::from_micros(at))))
    }

    /// Puts something under this name.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn set_mark(&mut self, name: &str, value: &str, at: Timestamp) -> Result<(), StoreError> {
        on_engine!(self, conn => sqlx::query(
            "insert into marks (name, value, at) values ($1, $2, $3)
             on conflict (name) do update set value = excluded.value, at = excluded.at")
            .bind(name)
            .bind(value)
            .bind(at.as_micros())
            .execute(conn)
            .await
            .map(drop))?;
        Ok(())
    }

    /// The same if nothing stands there yet. `false` if something does.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn set_first_mark(
        &mut self,
        name: &str,
        value: &str,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        let set = on_engine!(self, conn => sqlx::query(
            "insert into marks (name, value, at) values ($1, $2, $3) on conflict (name) do nothing")
            .bind(name)
            .bind(value)
            .bind(at.as_micros())
            .execute(conn)
            .await
            .map(|done| done.rows_affected()))?;
        Ok(set == 1)
    }

    /// The slots that bookings have, each with the instant at which it was reckoned to begin; only those that begin
    /// after `after`, if that is given.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn slots_after(
        &mut self,
        after: Option<Timestamp>,
    ) -> Result<Vec<(String, String, Timestamp)>, StoreError> {
        let rows: Vec<(String, String, i64)> = on_engine!(self, conn => sqlx::query_as(
            "select distinct slot_date, slot_time, starts_at from bookings where starts_at > $1")
            .bind(after.map_or(i64::MIN, Timestamp::as_micros))
            .fetch_all(conn)
            .await)?;
        Ok(rows.into_iter().map(|(date, time, at)| (date, time, Timestamp::from_micros(at))).collect())
    }

    /// What begins at this date and time begins at another instant than was reckoned.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn move_slot(
        &mut self,
        date: &str,
        time: &str,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<(), StoreError> {
        on_engine!(self, conn => sqlx::query(
            "update bookings set starts_at = $4 where slot_date = $1 and slot_time = $2 and starts_at = $3")
            .bind(date)
            .bind(time)
            .bind(from.as_micros())
            .bind(to.as_micros())
            .execute(conn)
            .await
            .map(drop))?;
        Ok(())
    }

    /// Whether the original service's bookings are in this database, beside ours.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn has_original_tables(&mut self) -> Result<bool, StoreError> {
        match self {
            Self::Postgres(conn) => {
                let there = sqlx::query_scalar("select to_regclass('\"Booking\"') is not null");
                Ok(there.fetch_one(&mut **conn).await?)
            }
            Self::Sqlite(_) => Ok(false),
        }
    }

    /// Takes away what stands under this name, if it is still this. `false` if it was not.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn clear_mark(&mut self, name: &str, value: &str) -> Result<bool, StoreError> {
        let cleared = on_engine!(self, conn => sqlx::query("delete from marks where name = $1 and value = $2")
            .bind(name)
            .bind(value)
            .execute(conn)
            .await
            .map(|done| done.rows_affected()))?;
        Ok(cleared == 1)
    }
}
