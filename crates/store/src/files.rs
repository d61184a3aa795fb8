//! What an ADMIN gives to be shown as it is, by name. What it may be is the domain's.

use super::{StoreError, Tx};
use clock::Timestamp;

impl Tx {
    /// What is said about a file.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn about_file(&mut self, name: &str) -> Result<Option<String>, StoreError> {
        Ok(on_engine!(self, conn => sqlx::query_scalar("select about from files where name = $1")
            .bind(name)
            .fetch_optional(conn)
            .await)?)
    }

    /// A file, in base64.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn file(&mut self, name: &str) -> Result<Option<String>, StoreError> {
        Ok(on_engine!(self, conn => sqlx::query_scalar("select body from files where name = $1")
            .bind(name)
            .fetch_optional(conn)
            .await)?)
    }

    /// Keeps a file in place of the one before.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn save_file(
        &mut self,
        name: &str,
        about: &str,
        body: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        on_engine!(self, conn => sqlx::query(
            "insert into files (name, about, body, updated_at) values ($1, $2, $3, $4)
             on conflict (name) do update
             set about = excluded.about, body = excluded.body, updated_at = excluded.updated_at")
            .bind(name)
            .bind(about)
            .bind(body)
            .bind(now.as_micros())
            .execute(conn)
            .await
            .map(drop))?;
        Ok(())
    }

    /// Forgets a file.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn drop_file(&mut self, name: &str) -> Result<(), StoreError> {
        on_engine!(self, conn => sqlx::query("delete from files where name = $1")
            .bind(name)
            .execute(conn)
            .await
            .map(drop))?;
        Ok(())
    }
}
