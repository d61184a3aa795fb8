//! Offers and their prices.

use super::row::parse;
use super::{StoreError, Tx};
use clock::Timestamp;
use domain::ids::OfferId;
use domain::money::{Currency, Money};
use domain::offer::{Offer, OfferTerms};
use domain::slot::Slot;
use sqlx::AssertSqlSafe;

#[derive(sqlx::FromRow)]
struct OfferRow {
    id: String,
    name: String,
    amount: i64,
    currency: String,
    capacity: i32,
    active: bool,
    grid: String,
    duration_minutes: i32,
    step_minutes: Option<i32>,
    resource: Option<String>,
    created_at: i64,
    updated_at: i64,
}

impl OfferRow {
    fn into_offer(self) -> Result<Offer, StoreError> {
        Ok(Offer {
            id: parse("offers.id", &self.id, |text| OfferId::parse(text).ok())?,
            name: self.name,
            price: Money {
                amount: self.amount,
                currency: parse("offers.currency", &self.currency, |text| Currency::parse(text).ok())?,
            },
            capacity: self.capacity,
            active: self.active,
            grid: self
                .grid
                .split_ascii_whitespace()
                .map(|time| parse("offers.grid", time, |text| Slot::parse_time(text).ok()))
                .collect::<Result<_, _>>()?,
            duration: self.duration_minutes,
            step: self.step_minutes,
            resource: self.resource,
            created_at: Timestamp::from_micros(self.created_at),
            updated_at: Timestamp::from_micros(self.updated_at),
        })
    }
}

fn grid_text(terms: &OfferTerms) -> String {
    let times: Vec<_> =
        terms.grid.iter().map(|time| format!("{:02}:{:02}", time.hour(), time.minute())).collect();
    times.join(" ")
}

/// What an [`OfferRow`] is read from, whoever reads it.
const SELECT: &str =
    "select id, name, amount, currency, capacity, active, grid, duration_minutes, step_minutes, resource,
         created_at, updated_at
     from offers";

impl Tx {
    /// Every offer, oldest first; the first active one is what is booked if nobody chooses.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn offers(&mut self) -> Result<Vec<Offer>, StoreError> {
        let sql = format!("{SELECT} order by created_at, id limit 1000");
        let rows: Vec<OfferRow> = on_engine!(self, conn => sqlx::query_as(AssertSqlSafe(sql))
            .fetch_all(conn)
            .await)?;
        rows.into_iter().map(OfferRow::into_offer).collect()
    }

    /// One offer, locked until the end of the transaction with those that need the same as it does: nobody else
    /// changes it, or takes one of their seats. All of them in one statement and in the order of their ids: of two
    /// who each locked one's own offer first, either would wait for the other's.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn lock_offer(&mut self, id: OfferId) -> Result<Option<Offer>, StoreError> {
        let sql = format!(
            "{SELECT} where id = $1 or resource = (select resource from offers where id = $1) order by id {}",
            self.for_no_key_update()
        );
        let rows: Vec<OfferRow> = on_engine!(self, conn => sqlx::query_as(AssertSqlSafe(sql))
            .bind(id.to_string())
            .fetch_all(conn)
            .await)?;
        let own = rows.into_iter().find(|row| row.id == id.to_string());
        own.map(OfferRow::into_offer).transpose()
    }

    /// The slots from `now` on in which more seats are taken than the offer has, with how many: the first
    /// `limit` of them, and how many there are.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn overfull_slots(
        &mut self,
        id: OfferId,
        now: Timestamp,
        limit: usize,
    ) -> Result<(Vec<(Slot, i64)>, usize), StoreError> {
        let rows: Vec<(String, String, i64)> = on_engine!(self, conn => sqlx::query_as(
            "select slot_date, slot_time, count(*) from bookings
             where offer_id = $1 and seat is not null and starts_at > $2
             group by slot_date, slot_time
             having count(*) > (select capacity from offers where id = $1)
             order by slot_date, slot_time limit 1000")
            .bind(id.to_string())
            .bind(now.as_micros())
            .fetch_all(conn)
            .await)?;
        let first = rows.iter().take(limit).map(|(date, time, taken)| {
            let slot = parse("bookings.slot_date", date, |date| Slot::parse(date, time).ok())?;
            Ok((slot, *taken))
        });
        Ok((first.collect::<Result<_, StoreError>>()?, rows.len()))
    }

    /// One offer.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn offer(&mut self, id: OfferId) -> Result<Option<Offer>, StoreError> {
        let sql = format!("{SELECT} where id = $1");
        let row: Option<OfferRow> = on_engine!(self, conn => sqlx::query_as(AssertSqlSafe(sql))
            .bind(id.to_string())
            .fetch_optional(conn)
            .await)?;
        row.map(OfferRow::into_offer).transpose()
    }

    /// Stores a new offer.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn insert_offer(
        &mut self,
        id: OfferId,
        terms: &OfferTerms,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        on_engine!(self, conn => sqlx::query(
            "insert into offers (id, name, amount, currency, capacity, active, grid, created_at, updated_at,
                 duration_minutes, step_minutes, resource)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $8, $9, $10, $11)")
            .bind(id.to_string())
            .bind(&terms.name)
            .bind(terms.price.amount)
            .bind(terms.price.currency.as_str())
            .bind(terms.capacity)
            .bind(terms.active)
            .bind(grid_text(terms))
            .bind(now.as_micros())
            .bind(terms.duration)
            .bind(terms.step)
            .bind(terms.resource.as_deref())
            .execute(conn)
            .await
            .map(drop))?;
        Ok(())
    }

    /// Changes an offer; bookings keep the price they were made at. `false` if there is none.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn update_offer(
        &mut self,
        id: OfferId,
        terms: &OfferTerms,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let changed = on_engine!(self, conn => sqlx::query(
            "update offers set name = $2, amount = $3, currency = $4, capacity = $5, active = $6, grid = $7,
                 updated_at = $8, duration_minutes = $9, step_minutes = $10, resource = $11,
                 capacity_version = case when capacity = $5 then capacity_version else capacity_version + 1 end
             where id = $1")
            .bind(id.to_string())
            .bind(&terms.name)
            .bind(terms.price.amount)
            .bind(terms.price.currency.as_str())
            .bind(terms.capacity)
            .bind(terms.active)
            .bind(grid_text(terms))
            .bind(now.as_micros())
            .bind(terms.duration)
            .bind(terms.step)
            .bind(terms.resource.as_deref())
            .execute(conn)
            .await
            .map(|done| done.rows_affected()))?;
        Ok(changed == 1)
    }
}
