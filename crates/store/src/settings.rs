//! What an ADMIN decides, by name, each as one text. What it means is the domain's.

use super::engine::json_array;
use super::{StoreError, Tx};
use clock::Timestamp;
use domain::hours::Occupied;
use domain::ids::OfferId;
use domain::offer::Offer;
use sqlx::AssertSqlSafe;
use std::collections::HashMap;

use super::row::parse;

impl Tx {
    /// The settings of these names, as far as there are any.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn settings(&mut self, names: &[&str]) -> Result<HashMap<String, String>, StoreError> {
        let sql = format!("select name, body from settings where name {}", self.in_list(1));
        let rows: Vec<(String, String)> = on_engine!(self, conn => sqlx::query_as(AssertSqlSafe(sql))
            .bind(json_array(names))
            .fetch_all(conn)
            .await)?;
        Ok(rows.into_iter().collect())
    }

    /// One setting, locked until the transaction ends: of two who change parts of it, the second puts theirs into
    /// what the first left.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn lock_setting(&mut self, name: &str) -> Result<Option<String>, StoreError> {
        let sql = format!("select body from settings where name = $1 {}", self.for_update());
        Ok(on_engine!(self, conn => sqlx::query_scalar(AssertSqlSafe(sql))
            .bind(name)
            .fetch_optional(conn)
            .await)?)
    }

    /// Keeps a setting in place of the one before.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn save_setting(&mut self, name: &str, body: &str, now: Timestamp) -> Result<(), StoreError> {
        on_engine!(self, conn => sqlx::query(
            "insert into settings (name, body, updated_at) values ($1, $2, $3)
             on conflict (name) do update set body = excluded.body, updated_at = excluded.updated_at")
            .bind(name)
            .bind(body)
            .bind(now.as_micros())
            .execute(conn)
            .await
            .map(drop))?;
        Ok(())
    }

    /// Forgets a setting.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn drop_setting(&mut self, name: &str) -> Result<(), StoreError> {
        on_engine!(self, conn => sqlx::query("delete from settings where name = $1")
            .bind(name)
            .execute(conn)
            .await
            .map(drop))?;
        Ok(())
    }

    /// The offers that need the same as this one does, itself included, locked until the end of the transaction:
    /// of two who want overlapping times, the second sees what the first took.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn lock_sharing(&mut self, offer: &Offer) -> Result<Vec<OfferId>, StoreError> {
        self.offers_sharing(offer, self.for_no_key_update()).await
    }

    /// The same without a lock, to look.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn sharing(&mut self, offer: &Offer) -> Result<Vec<OfferId>, StoreError> {
        self.offers_sharing(offer, "").await
    }

    async fn offers_sharing(&mut self, offer: &Offer, lock: &str) -> Result<Vec<OfferId>, StoreError> {
        let sql = format!("select id from offers where id = $1 or resource = $2 order by id {lock}");
        let ids: Vec<String> = on_engine!(self, conn => sqlx::query_scalar(AssertSqlSafe(sql))
            .bind(offer.id.to_string())
            .bind(offer.resource.as_deref())
            .fetch_all(conn)
            .await)?;
        ids.iter().map(|id| parse("offers.id", id, |text| OfferId::parse(text).ok())).collect()
    }

    /// What is taken of these offers from one date to another, both included.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn occupied(
        &mut self,
        offers: &[OfferId],
        from: &str,
        to: &str,
    ) -> Result<Vec<Occupied>, StoreError> {
        let sql = format!(
            "select b.offer_id, b.starts_at, coalesce(b.duration_minutes, o.duration_minutes), count(*)
             from bookings b join offers o on o.id = b.offer_id
             where b.offer_id {} and b.slot_date >= $2 and b.slot_date <= $3 and b.seat is not null
             group by b.offer_id, b.starts_at, coalesce(b.duration_minutes, o.duration_minutes)",
            self.in_list(1)
        );
        let rows: Vec<(String, i64, i32, i64)> = on_engine!(self, conn => sqlx::query_as(AssertSqlSafe(sql))
            .bind(json_array(offers))
            .bind(from)
            .bind(to)
            .fetch_all(conn)
            .await)?;
        let occupied = rows.into_iter().map(|(offer, starts_at, minutes, seats)| {
            let offer = parse("bookings.offer_id", &offer, |text| OfferId::parse(text).ok())?;
            Ok(Occupied { offer, starts_at: Timestamp::from_micros(starts_at), minutes, seats })
        });
        occupied.collect()
    }

    /// How many bookings hold a seat of these offers from one date to another, both included; counted up to `most`.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn seats_between(
        &mut self,
        offers: &[OfferId],
        from: &str,
        to: &str,
        most: i64,
    ) -> Result<i64, StoreError> {
        let sql = format!(
            "select count(*) from (select 1 from bookings
             where offer_id {} and slot_date >= $2 and slot_date <= $3 and seat is not null limit $4) as held",
            self.in_list(1)
        );
        Ok(on_engine!(self, conn => sqlx::query_scalar(AssertSqlSafe(sql))
            .bind(json_array(offers))
            .bind(from)
            .bind(to)
            .bind(most)
            .fetch_one(conn)
            .await)?)
    }
}
