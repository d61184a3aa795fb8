//! The ledger: each thing that Stripe told us, once.

use super::engine::{Rows, Write, json_array};
use super::page::{Cursor, Page, PageRequest};
use super::row::parse;
use super::{StoreError, Tx};
use clock::Timestamp;
use domain::event::{SessionMoment, Source};
use domain::ids::{BookingId, LedgerId, SessionId};
use domain::payment::{Outcome, Reason, SessionTold};
use sqlx::AssertSqlSafe;
use std::collections::HashMap;

/// A row to be written.
#[derive(Debug, Clone)]
pub struct NewEntry {
    /// Its id.
    pub id: LedgerId,
    /// Stripe's event id, or the key of a polled state.
    pub event_key: String,
    /// Stripe's event id; none for a polled state.
    pub stripe_event_id: Option<String>,
    /// Stripe's name of the kind.
    pub r#type: String,
    /// By which road it came.
    pub source: &'static str,
    /// Live or test, if it was said.
    pub livemode: Option<bool>,
    /// The session it is about.
    pub stripe_session_id: Option<String>,
    /// The booking it is about.
    pub booking_id: Option<BookingId>,
    /// Whether it is the one that paid the booking.
    pub applied_payment: bool,
    /// What was made of it.
    pub outcome: &'static str,
    /// Why.
    pub reason: &'static str,
    /// The event as received; none if it is not for us.
    pub payload: Option<String>,
    /// How often it was delivered; 0 for a try of our own.
    pub deliveries: i32,
    /// When Stripe made it, in microseconds since 1970.
    pub stripe_created_at: Option<i64>,
    /// When it was first delivered, in microseconds since 1970.
    pub received_at: i64,
    /// When it was settled, in microseconds since 1970.
    pub processed_at: Option<i64>,
    /// When we try again ourselves, in microseconds since 1970.
    pub next_try_at: Option<i64>,
}

/// What a writer needs to know of a row that is there already.
#[derive(Debug, Clone)]
pub struct KnownEntry {
    /// Its id.
    pub id: LedgerId,
    /// What was made of it.
    pub outcome: Outcome,
    /// How often we tried ourselves.
    pub tries: i32,
    /// When it was first delivered.
    pub received_at: Timestamp,
}

/// A row as people see it.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its id.
    pub id: LedgerId,
    /// Stripe's event id, or the key of a polled state.
    pub event_key: String,
    /// Stripe's event id; none for a polled state.
    pub stripe_event_id: Option<String>,
    /// Stripe's name of the kind.
    pub kind: String,
    /// By which road it came.
    pub source: Source,
    /// The session it is about.
    pub stripe_session_id: Option<String>,
    /// The booking it is about.
    pub booking_id: Option<BookingId>,
    /// What was made of it.
    pub outcome: Outcome,
    /// Why.
    pub reason: Option<Reason>,
    /// Whether it is the one that paid the booking.
    pub applied_payment: bool,
    /// How often it was delivered.
    pub deliveries: i32,
    /// When Stripe made it.
    pub stripe_created_at: Option<Timestamp>,
    /// When it was first delivered.
    pub received_at: Timestamp,
    /// When it was last delivered.
    pub last_delivered_at: Timestamp,
    /// When it was settled.
    pub processed_at: Option<Timestamp>,
    /// When we try again ourselves.
    pub next_try_at: Option<Timestamp>,
}

/// A row with what is needed to judge it again.
#[derive(Debug, Clone)]
pub struct ReplayableEntry {
    /// Its key.
    pub event_key: String,
    /// How often we tried ourselves.
    pub tries: i32,
    /// When it was first delivered.
    pub received_at: Timestamp,
    /// By which road it came.
    pub source: Source,
    /// Its kind.
    pub kind: String,
    /// As received.
    pub payload: String,
}

/// Which rows a list shows.
#[derive(Debug, Clone, Default)]
pub struct LedgerFilter {
    /// Only with this outcome.
    pub outcome: Option<Outcome>,
    /// Only of this kind.
    pub kind: Option<String>,
    /// Only of this booking.
    pub booking: Option<BookingId>,
    /// Only of this session.
    pub session: Option<String>,
}

#[derive(sqlx::FromRow)]
struct EntryRow {
    id: String,
    event_key: String,
    stripe_event_id: Option<String>,
    r#type: String,
    source: String,
    stripe_session_id: Option<String>,
    booking_id: Option<String>,
    outcome: String,
    reason: String,
    applied_payment: bool,
    deliveries: i32,
    stripe_created_at: Option<i64>,
    received_at: i64,
    last_delivered_at: i64,
    processed_at: Option<i64>,
    next_try_at: Option<i64>,
}

macro_rules! entry_columns {
    () => {
        "id, event_key, stripe_event_id, type, source, stripe_session_id, booking_id, outcome, reason, \
         applied_payment, deliveries, stripe_created_at, received_at, last_delivered_at, processed_at, next_try_at"
    };
}

impl EntryRow {
    fn into_entry(self) -> Result<Entry, StoreError> {
        Ok(Entry {
            id: parse("payment_events.id", &self.id, |text| LedgerId::parse(text).ok())?,
            event_key: self.event_key,
            stripe_event_id: self.stripe_event_id,
            kind: self.r#type,
            source: parse("payment_events.source", &self.source, Source::parse)?,
            stripe_session_id: self.stripe_session_id,
            booking_id: self
                .booking_id
                .map(|id| parse("payment_events.booking_id", &id, |text| BookingId::parse(text).ok()))
                .transpose()?,
            outcome: parse("payment_events.outcome", &self.outcome, Outcome::parse)?,
            reason: Reason::parse(&self.reason),
            applied_payment: self.applied_payment,
            deliveries: self.deliveries,
            stripe_created_at: self.stripe_created_at.map(Timestamp::from_micros),
            received_at: Timestamp::from_micros(self.received_at),
            last_delivered_at: Timestamp::from_micros(self.last_delivered_at),
            processed_at: self.processed_at.map(Timestamp::from_micros),
            next_try_at: self.next_try_at.map(Timestamp::from_micros),
        })
    }
}

fn columns_of(entries: &[NewEntry]) -> Rows<'_, &NewEntry> {
    Rows::of(entries)
        .text("id", |entry| entry.id.to_string())
        .text("event_key", |entry| &entry.event_key)
        .text_or_null("stripe_event_id", |entry| entry.stripe_event_id.as_deref())
        .text("type", |entry| &entry.r#type)
        .text("source", |entry| entry.source)
        .boolean("livemode", |entry| entry.livemode)
        .text_or_null("stripe_session_id", |entry| entry.stripe_session_id.as_deref())
        .text_or_null("booking_id", |entry| entry.booking_id.map(|id| id.to_string()))
        .boolean("applied_payment", |entry| Some(entry.applied_payment))
        .text("outcome", |entry| entry.outcome)
        .text("reason", |entry| entry.reason)
        .text_or_null("payload", |entry| entry.payload.as_deref())
        .integer("deliveries", |entry| Some(entry.deliveries))
        .bigint_or_null("stripe_created_at", |entry| entry.stripe_created_at)
        .bigint("received_at", |entry| entry.received_at)
        .bigint_or_null("processed_at", |entry| entry.processed_at)
        .bigint_or_null("next_try_at", |entry| entry.next_try_at)
}

/// New rows. [`StoreError::Overtaken`] if one was there already: another instance was faster.
pub fn insert(entries: &[NewEntry]) -> Write<'_> {
    columns_of(entries).each_written_by(
        "insert into payment_events (id, event_key, stripe_event_id, type, source, livemode, stripe_session_id,
             booking_id, applied_payment, outcome, reason, payload, deliveries, stripe_created_at, received_at,
             last_delivered_at, processed_at, next_try_at, tries)
         select id, event_key, stripe_event_id, type, source, livemode, stripe_session_id, booking_id,
             applied_payment, outcome, reason, payload, deliveries, stripe_created_at, received_at, received_at,
             processed_at, next_try_at, 0
         from {r} where true on conflict (event_key) do nothing",
    )
}

/// What was made of rows that were there already but not settled, as the row would be written now: of one that
/// turns out not to be for us nothing more is kept either. [`StoreError::Overtaken`] if one has been
/// settled meanwhile by another instance.
pub fn settle(entries: &[NewEntry]) -> Write<'_> {
    columns_of(entries).each_written_by(
        "update payment_events set booking_id = r.booking_id, applied_payment = r.applied_payment,
             livemode = r.livemode, stripe_session_id = r.stripe_session_id, payload = r.payload,
             outcome = r.outcome, reason = r.reason, deliveries = payment_events.deliveries + r.deliveries,
             last_delivered_at = case when r.deliveries > 0 and r.received_at > payment_events.last_delivered_at
                 then r.received_at else payment_events.last_delivered_at end,
             processed_at = r.processed_at, next_try_at = r.next_try_at, tries = tries + 1
         from {r}
         where payment_events.event_key = r.event_key
           and payment_events.outcome in ('ignored', 'parked', 'rejected', 'case')",
    )
}

/// What a person makes of a row that was a case. What Stripe said stays as it is.
#[derive(Debug, Clone)]
pub struct Settlement<'a> {
    /// The row's key.
    pub event_key: &'a str,
    /// The booking that it is about, after all.
    pub booking: BookingId,
    /// Whether it is the one that paid the booking.
    pub applied_payment: bool,
    /// What was made of it.
    pub outcome: Outcome,
    /// Why.
    pub reason: Reason,
    /// When.
    pub at: Timestamp,
}

/// What a person made of rows that were cases. [`StoreError::Overtaken`] if one is none any more.
pub fn settle_by_person<'a>(settlements: &'a [Settlement<'a>]) -> Write<'a> {
    Rows::of(settlements)
        .text("event_key", |settled| settled.event_key)
        .text("booking_id", |settled| settled.booking.to_string())
        .boolean("applied_payment", |settled| Some(settled.applied_payment))
        .text("outcome", |settled| settled.outcome.as_str())
        .text("reason", |settled| settled.reason.as_str())
        .bigint("at", |settled| settled.at.as_micros())
        .each_written_by(
            "update payment_events set booking_id = r.booking_id, applied_payment = r.applied_payment,
                 outcome = r.outcome, reason = r.reason, processed_at = r.at, next_try_at = null, tries = tries + 1
             from {r} where payment_events.event_key = r.event_key and payment_events.outcome = 'case'",
        )
}

/// Further deliveries of settled rows.
pub fn deliver_again<'a>(keys: &[(&'a str, i32)], now: Timestamp) -> Write<'a> {
    Rows::of(keys.iter().copied())
        .text("event_key", |(event_key, _)| event_key)
        .integer("deliveries", |(_, deliveries)| Some(deliveries))
        .bigint("now", |_| now.as_micros())
        .written_by(
            "update payment_events set deliveries = payment_events.deliveries + r.deliveries,
                 last_delivered_at = case when r.now > payment_events.last_delivered_at then r.now
                     else payment_events.last_delivered_at end
             from {r} where payment_events.event_key = r.event_key",
        )
}

impl Tx {
    /// Those of the given keys that are in the ledger.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn known_entries(&mut self, keys: &[&str]) -> Result<HashMap<String, KnownEntry>, StoreError> {
        let sql = format!(
            "select event_key, id, outcome, tries, received_at from payment_events where event_key {}",
            self.in_list(1)
        );
        let rows: Vec<(String, String, String, i32, i64)> = on_engine!(self, conn =>
            sqlx::query_as(AssertSqlSafe(sql)).bind(json_array(keys)).fetch_all(conn).await)?;
        rows.into_iter()
            .map(|(key, id, outcome, tries, received_at)| {
                let known = KnownEntry {
                    id: parse("payment_events.id", &id, |text| LedgerId::parse(text).ok())?,
                    outcome: parse("payment_events.outcome", &outcome, Outcome::parse)?,
                    tries,
                    received_at: Timestamp::from_micros(received_at),
                };
                Ok((key, known))
            })
            .collect()
    }

    /// Rows whose next try is due, oldest first. Taken ones are put off by `lease`, so that several
    /// instances share the work; if this one dies they come up again.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn take_due_entries(
        &mut self,
        now: Timestamp,
        lease: std::time::Duration,
        limit: i64,
    ) -> Result<Vec<ReplayableEntry>, StoreError> {
        let sql = format!(
            "update payment_events set next_try_at = $2
             where id in (select id from payment_events
                          where next_try_at is not null and next_try_at <= $1 and payload is not null
                          order by next_try_at limit $3 {})
             returning event_key, tries, received_at, source, type, payload",
            self.for_update_skip_locked()
        );
        let rows: Vec<(String, i32, i64, String, String, String)> = on_engine!(self, conn =>
            sqlx::query_as(AssertSqlSafe(sql))
                .bind(now.as_micros())
                .bind(now.plus(lease).as_micros())
                .bind(limit)
                .fetch_all(conn)
                .await)?;
        rows.into_iter()
            .map(|(event_key, tries, received_at, source, kind, payload)| {
                Ok(ReplayableEntry {
                    event_key,
                    tries,
                    received_at: Timestamp::from_micros(received_at),
                    source: parse("payment_events.source", &source, Source::parse)?,
                    kind,
                    payload,
                })
            })
            .collect()
    }

    /// What was told about a booking's sessions that did not pay it; not of such as are a person's to judge.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn sessions_told(&mut self, booking: BookingId) -> Result<Vec<SessionTold>, StoreError> {
        let rows: Vec<(String, String)> = on_engine!(self, conn => sqlx::query_as(
            "select distinct e.stripe_session_id, e.type from payment_events e
             where e.booking_id = $1 and e.outcome in ('processed', 'duplicate') and not e.applied_payment
               and e.type in ('checkout.session.completed', 'checkout.session.async_payment_failed',
                   'checkout.session.expired')
               and not exists (select 1 from payment_events c where c.booking_id = e.booking_id
                   and c.stripe_session_id = e.stripe_session_id and c.outcome = 'case')
             order by 1, 2 limit 200")
            .bind(booking.to_string())
            .fetch_all(conn)
            .await)?;
        let told = |(id, kind): (String, String)| {
            Some(SessionTold { id: SessionId::parse(&id).ok()?, moment: SessionMoment::of_kind(&kind)? })
        };
        Ok(rows.into_iter().filter_map(told).collect())
    }

    /// A row, by its id or by Stripe's event id.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn entry(&mut self, id_or_key: &str) -> Result<Option<Entry>, StoreError> {
        let row: Option<EntryRow> = on_engine!(self, conn => sqlx::query_as(
            concat!("select ", entry_columns!(), " from payment_events where id = $1 or event_key = $1"))
            .bind(id_or_key)
            .fetch_optional(conn)
            .await)?;
        row.map(EntryRow::into_entry).transpose()
    }

    /// What is kept of an event as it was received; none if it was erased or never kept.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn payload(&mut self, id: LedgerId) -> Result<Option<String>, StoreError> {
        let payload: Option<Option<String>> = on_engine!(self, conn => sqlx::query_scalar(
            "select payload from payment_events where id = $1")
            .bind(id.to_string())
            .fetch_optional(conn)
            .await)?;
        Ok(payload.flatten())
    }

    /// The ledger, newest first.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn list_entries(
        &mut self,
        filter: &LedgerFilter,
        page: &PageRequest,
    ) -> Result<Page<Entry>, StoreError> {
        let rows: Vec<EntryRow> = on_engine!(self, conn => sqlx::query_as(
            concat!("select ", entry_columns!(), " from payment_events
             where id < $1
               and ($2 = '' or outcome = $2) and ($3 = '' or type = $3)
               and ($4 = '' or booking_id = $4) and ($5 = '' or stripe_session_id = $5)
             order by id desc limit $6"))
            .bind(page.below())
            .bind(filter.outcome.map_or("", Outcome::as_str))
            .bind(filter.kind.as_deref().unwrap_or(""))
            .bind(filter.booking.map(|id| id.to_string()).unwrap_or_default())
            .bind(filter.session.as_deref().unwrap_or(""))
            .bind(page.fetch())
            .fetch_all(conn)
            .await)?;
        let entries = rows.into_iter().map(EntryRow::into_entry).collect::<Result<Vec<_>, _>>()?;
        Ok(page.finish(entries, |entry| Cursor(entry.id.to_string())))
    }

    /// All rows of a booking, oldest first; at most 500.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn entries_of(&mut self, booking: BookingId) -> Result<Vec<Entry>, StoreError> {
        let rows: Vec<EntryRow> = on_engine!(self, conn => sqlx::query_as(
            concat!("select ", entry_columns!(), " from payment_events
             where booking_id = $1 order by received_at, id limit 500"))
            .bind(booking.to_string())
            .fetch_all(conn)
            .await)?;
        rows.into_iter().map(EntryRow::into_entry).collect()
    }
}
