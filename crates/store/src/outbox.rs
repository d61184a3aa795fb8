//! What others are told, written in the transaction of the change it tells of.

use super::engine::{Rows, Write, json_array};
use super::row::parse;
use super::{StoreError, Tx};
use clock::Timestamp;
use domain::ids::BookingId;
use domain::payment::{Effect, EffectKind};
use sqlx::AssertSqlSafe;
use std::collections::HashMap;
use std::time::Duration;

/// New effects; one with a key that is there already is left out.
pub fn push(effects: &[(BookingId, Effect)], audience: Audience, now: Timestamp) -> Write<'_> {
    let now = now.as_micros();
    Rows::of(effects)
        .text("id", |_| clock::new_id().to_string())
        .text("effect_key", |(_, effect)| &effect.key)
        .text("kind", |(_, effect)| effect.kind.as_str())
        .text("booking_id", |(booking, _)| booking.to_string())
        .bigint("now", |_| now)
        .bigint_or_null("fanned_out_at", |_| (audience == Audience::Nobody).then_some(now))
        .written_by(
            "insert into outbox (id, effect_key, kind, booking_id, created_at, fanned_out_at)
             select id, effect_key, kind, booking_id, now, fanned_out_at from {r} where true
             on conflict (effect_key) do nothing",
        )
}

/// Who is to be told of an effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// The running service will choose.
    ToBeChosen,
    /// Nobody, says the running service.
    Nobody,
}

/// Who is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// The address in `NOTIFY_URL`.
    Notify,
    /// Who booked, by mail.
    Customer,
    /// Whose business it is, by mail.
    Owner,
}

impl Target {
    /// As the database writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Notify => "notify",
            Self::Customer => "customer",
            Self::Owner => "owner",
        }
    }

    /// From its exact text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Notify, Self::Customer, Self::Owner].into_iter().find(|target| target.as_str() == text)
    }
}

/// What is told: of which table its row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// What happened to a booking.
    Booking,
    /// That a case waits for a person.
    Case,
}

impl Told {
    fn table(self) -> &'static str {
        match self {
            Self::Booking => "outbox_deliveries",
            Self::Case => "case_notices",
        }
    }
}

/// Something that happened, for which nobody was chosen yet.
#[derive(Debug, Clone)]
pub struct OutboxEntry {
    /// Its id.
    pub id: String,
    /// What happened.
    pub kind: EffectKind,
}

/// Something to tell somebody.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// Its id.
    pub id: String,
    /// Stable over every retry, replay and restored backup.
    pub effect_key: String,
    /// What happened.
    pub kind: EffectKind,
    /// To which booking.
    pub booking: BookingId,
    /// When it happened.
    pub happened_at: Timestamp,
    /// Who is told.
    pub target: Target,
    /// How often it was tried.
    pub tries: i32,
}

/// A delivery as people see it.
#[derive(Debug, Clone)]
pub struct DeliveryRecord {
    /// What happened.
    pub kind: String,
    /// Who is told.
    pub target: String,
    /// `pending`, `done` or `dead`.
    pub state: String,
    /// How often it was tried.
    pub tries: i32,
    /// When it happened.
    pub happened_at: Timestamp,
    /// When it was delivered.
    pub done_at: Option<Timestamp>,
    /// What went wrong last.
    pub last_error: Option<String>,
}

/// Kind, target, state, tries, when it happened, when it was delivered, last error.
type ToldRow = (String, String, String, i32, i64, Option<i64>, Option<String>);

/// How many deliveries wait, and how many were given up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DeliveryCounts {
    /// Not delivered yet.
    pub pending: i64,
    /// Given up.
    pub dead: i64,
    /// When the oldest that waits was made, in microseconds since 1970.
    pub oldest_pending: Option<i64>,
}

impl Tx {
    /// What happened and nobody was chosen for yet, oldest first. Locked until the transaction ends.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn effects_to_fan_out(&mut self, limit: i64) -> Result<Vec<OutboxEntry>, StoreError> {
        let sql = format!(
            "select id, kind from outbox where fanned_out_at is null order by created_at limit $1 {}",
            self.for_update_skip_locked()
        );
        let rows: Vec<(String, String)> = on_engine!(self, conn => sqlx::query_as(AssertSqlSafe(sql))
            .bind(limit)
            .fetch_all(conn)
            .await)?;
        rows.into_iter()
            .map(|(id, kind)| Ok(OutboxEntry { id, kind: parse("outbox.kind", &kind, EffectKind::parse)? }))
            .collect()
    }

    /// Plans a delivery for each pair, and remembers that for `entries` everybody was chosen.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn fan_out(
        &mut self,
        entries: &[OutboxEntry],
        deliveries: &[(String, Target)],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let now = now.as_micros();
        let rows = Rows::of(deliveries)
            .text("id", |_| clock::new_id().to_string())
            .text("outbox_id", |(outbox_id, _)| outbox_id)
            .text("target", |(_, target)| target.as_str())
            .bigint("now", |_| now);
        self.write([rows.written_by(
            "insert into outbox_deliveries (id, outbox_id, target, state, tries, next_try_at, created_at)
             select id, outbox_id, target, 'pending', 0, now, now from {r} where true
             on conflict (outbox_id, target) do nothing",
        )])
        .await?;
        let ids: Vec<&str> = entries.iter().map(|entry| entry.id.as_str()).collect();
        let sql = format!("update outbox set fanned_out_at = $2 where id {}", self.in_list(1));
        on_engine!(self, conn => sqlx::query(AssertSqlSafe(sql))
            .bind(json_array(&ids))
            .bind(now)
            .execute(conn)
            .await
            .map(drop))?;
        Ok(())
    }

    /// Deliveries that are due, oldest first, put off by `lease`.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn take_due_deliveries(
        &mut self,
        now: Timestamp,
        lease: Duration,
        limit: i64,
    ) -> Result<Vec<Delivery>, StoreError> {
        let sql = format!(
            "update outbox_deliveries set next_try_at = $2
             where id in (select id from outbox_deliveries
                          where next_try_at is not null and next_try_at <= $1
                          order by next_try_at limit $3 {})
             returning id, outbox_id, target, tries",
            self.for_update_skip_locked()
        );
        let taken: Vec<(String, String, String, i32)> = on_engine!(self, conn =>
            sqlx::query_as(AssertSqlSafe(sql))
                .bind(now.as_micros())
                .bind(now.plus(lease).as_micros())
                .bind(limit)
                .fetch_all(conn)
                .await)?;
        let ids: Vec<&str> = taken.iter().map(|(_, outbox, _, _)| outbox.as_str()).collect();
        let sql = format!(
            "select id, effect_key, kind, booking_id, created_at from outbox where id {}",
            self.in_list(1)
        );
        let rows: Vec<(String, String, String, String, i64)> = on_engine!(self, conn =>
            sqlx::query_as(AssertSqlSafe(sql)).bind(json_array(&ids)).fetch_all(conn).await)?;
        let by_id: HashMap<&str, _> = rows.iter().map(|row| (row.0.as_str(), row)).collect();
        let mut deliveries = Vec::with_capacity(taken.len());
        for (id, outbox, target, tries) in &taken {
            let Some((_, effect_key, kind, booking, at)) = by_id.get(outbox.as_str()) else { continue };
            deliveries.push(Delivery {
                id: id.clone(),
                effect_key: effect_key.clone(),
                kind: parse("outbox.kind", kind, EffectKind::parse)?,
                booking: parse("outbox.booking_id", booking, |text| BookingId::parse(text).ok())?,
                happened_at: Timestamp::from_micros(*at),
                target: parse("outbox_deliveries.target", target, Target::parse)?,
                tries: *tries,
            });
        }
        deliveries.sort_by(|a, b| (a.happened_at, &a.id).cmp(&(b.happened_at, &b.id)));
        Ok(deliveries)
    }

    /// It was delivered.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn delivery_done(&mut self, told: Told, id: &str, now: Timestamp) -> Result<(), StoreError> {
        let sql = format!(
            "update {} set state = 'done', done_at = $2, next_try_at = null, last_error = null, tries = tries + 1
             where id = $1 and state = 'pending'",
            told.table()
        );
        on_engine!(self, conn => sqlx::query(AssertSqlSafe(sql))
            .bind(id)
            .bind(now.as_micros())
            .execute(conn)
            .await
            .map(drop))?;
        Ok(())
    }

    /// It was not delivered: to be tried again, or, without a time, given up.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn delivery_failed(
        &mut self,
        told: Told,
        id: &str,
        error: &str,
        next_try_at: Option<Timestamp>,
    ) -> Result<(), StoreError> {
        let state = if next_try_at.is_some() { "pending" } else { "dead" };
        let sql = format!(
            "update {} set state = $2, last_error = $3, next_try_at = $4, tries = tries + 1
             where id = $1 and state = 'pending'",
            told.table()
        );
        on_engine!(self, conn => sqlx::query(AssertSqlSafe(sql))
            .bind(id)
            .bind(state)
            .bind(error)
            .bind(next_try_at.map(Timestamp::as_micros))
            .execute(conn)
            .await
            .map(drop))?;
        Ok(())
    }

    /// Nobody is to be told of it any more, for this reason: neither delivered nor given up.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn delivery_dropped(&mut self, told: Told, id: &str, reason: &str) -> Result<(), StoreError> {
        let sql = format!(
            "update {} set state = 'done', last_error = $2, next_try_at = null where id = $1 and state = 'pending'",
            told.table()
        );
        on_engine!(self, conn => sqlx::query(AssertSqlSafe(sql))
            .bind(id)
            .bind(reason)
            .execute(conn)
            .await
            .map(drop))?;
        Ok(())
    }

    /// Nobody is to be told of anything that waits. Returns how much that was.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn discard_waiting(&mut self, now: Timestamp) -> Result<u64, StoreError> {
        let unplanned = on_engine!(self, conn => sqlx::query(
            "update outbox set fanned_out_at = $1 where fanned_out_at is null")
            .bind(now.as_micros())
            .execute(conn)
            .await
            .map(|done| done.rows_affected()))?;
        let untold = on_engine!(self, conn => sqlx::query("update cases set told_at = $1 where told_at is null")
            .bind(now.as_micros())
            .execute(conn)
            .await
            .map(|done| done.rows_affected()))?;
        let mut planned = 0;
        for told in [Told::Booking, Told::Case] {
            let sql = format!(
                "update {} set state = 'done', last_error = 'discarded', next_try_at = null where state = 'pending'",
                told.table()
            );
            planned += on_engine!(self, conn => sqlx::query(AssertSqlSafe(sql))
                .execute(conn)
                .await
                .map(|done| done.rows_affected()))?;
        }
        Ok(unplanned + untold + planned)
    }

    /// Gives what was given up another round. Returns how many.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn revive_deliveries(&mut self, now: Timestamp) -> Result<u64, StoreError> {
        let mut revived = 0;
        for told in [Told::Booking, Told::Case] {
            let sql = format!(
                "update {} set state = 'pending', tries = 0, next_try_at = $1 where state = 'dead'",
                told.table()
            );
            revived += on_engine!(self, conn => sqlx::query(AssertSqlSafe(sql))
                .bind(now.as_micros())
                .execute(conn)
                .await
                .map(|done| done.rows_affected()))?;
        }
        Ok(revived)
    }

    /// How many wait, and how many were given up.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn delivery_counts(&mut self) -> Result<DeliveryCounts, StoreError> {
        let (pending, oldest_pending): (i64, Option<i64>) = on_engine!(self, conn => sqlx::query_as(
            "select count(*), min(created_at) from (
                 select created_at from outbox_deliveries where state = 'pending' and next_try_at is not null
                 union all
                 select created_at from case_notices where state = 'pending' and next_try_at is not null) as waiting")
            .fetch_one(conn)
            .await)?;
        let dead: i64 = on_engine!(self, conn => sqlx::query_scalar(
            "select (select count(*) from outbox_deliveries where state = 'dead')
                 + (select count(*) from case_notices where state = 'dead')")
            .fetch_one(conn)
            .await)?;
        Ok(DeliveryCounts { pending, dead, oldest_pending })
    }

    /// What others were told of a booking, oldest first.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn deliveries_of(&mut self, booking: BookingId) -> Result<Vec<DeliveryRecord>, StoreError> {
        let rows: Vec<ToldRow> = on_engine!(self, conn => sqlx::query_as(
            "select o.kind, d.target, d.state, d.tries, o.created_at, d.done_at, d.last_error
             from outbox_deliveries d join outbox o on o.id = d.outbox_id
             where o.booking_id = $1 order by o.created_at, d.id limit 200")
            .bind(booking.to_string())
            .fetch_all(conn)
            .await)?;
        Ok(rows
            .into_iter()
            .map(|(kind, target, state, tries, happened_at, done_at, last_error)| DeliveryRecord {
                kind,
                target,
                state,
                tries,
                happened_at: Timestamp::from_micros(happened_at),
                done_at: done_at.map(Timestamp::from_micros),
                last_error,
            })
            .collect())
    }
}
