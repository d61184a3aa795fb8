//! Questions that must have no answer: what the ledger's invariants say, as far as one database can tell.

use super::engine::json_array;
use super::row::parse;
use super::{StoreError, Tx};
use clock::Timestamp;
use domain::event::Source;
use domain::ids::BookingId;
use domain::payment::{Outcome, Reason};
use sqlx::AssertSqlSafe;
use std::time::Duration;

/// What is older needs nobody's attention any more.
const RECENT: Duration = Duration::from_secs(7 * 86_400);

/// Ledger rows that are looked at for what came lately: their order is that of their coming.
const NEWEST: i64 = 50_000;
/// Rows that a violation names.
pub const MAX_ROWS: usize = 20;

/// What a portion of an invariant's question is cut from: its rows in the order of their ids, which is that of
/// their making.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Table {
    /// `bookings`
    Bookings,
    /// `payment_events`
    Ledger,
    /// `refunds`
    Refunds,
    /// `disputes`
    Disputes,
    /// `refund_intents`
    RefundRequests,
    /// `cases`
    Cases,
    /// `outbox_deliveries`
    Deliveries,
}

impl Table {
    /// Every table of which something is asked.
    pub const ALL: [Self; 7] = [
        Self::Ledger,
        Self::Bookings,
        Self::Refunds,
        Self::Disputes,
        Self::RefundRequests,
        Self::Cases,
        Self::Deliveries,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Bookings => "bookings",
            Self::Ledger => "payment_events",
            Self::Refunds => "refunds",
            Self::Disputes => "disputes",
            Self::RefundRequests => "refund_intents",
            Self::Cases => "cases",
            Self::Deliveries => "outbox_deliveries",
        }
    }
}

/// Rows of a table that are judged at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Portion {
    /// The oldest id.
    pub first: String,
    /// The newest id.
    pub last: String,
    /// How many there are.
    pub rows: i64,
}

/// A question that must have no answer, about the rows of a table with ids from `$1` to `$2`. Whatever else it
/// looks at it finds by an index, so that a portion takes the same time however much there is.
struct Check {
    table: Table,
    name: &'static str,
    rule: &'static str,
    sql: &'static str,
}

const fn check(table: Table, name: &'static str, rule: &'static str, sql: &'static str) -> Check {
    Check { table, name, rule, sql }
}

const TIMES: (&str, &str) = ("I10-times-run-forward", "nothing was changed before it was made");
const WHOLE: (&str, &str) = ("I6-amounts-are-whole", "amounts are whole minor units and none is below zero");
const ONE_PAYMENT: (&str, &str) = ("I6-one-payment-for-a-session", "no session pays two bookings");

/// Each check, in the order of the tables. I1 and the rest of I8 need an observer outside, I9 is about counters, and
/// I4 is not a query: see `flow::invariants`.
const CHECKS: [Check; 27] = [
    check(
        Table::Ledger,
        "I2-one-row-per-event",
        "each event has one ledger row",
        "select e.event_key from payment_events e where e.id between $1 and $2
           and (select count(*) from payment_events o where o.event_key = e.event_key) > 1",
    ),
    check(
        Table::Ledger,
        "I3-settled-or-planned",
        "what is not settled is planned to be tried again",
        "select id from payment_events where id between $1 and $2
           and outcome in ('parked', 'rejected') and next_try_at is null",
    ),
    check(
        Table::Ledger,
        "I3-settled-once",
        "what is settled has a time and is not tried again",
        "select id from payment_events where id between $1 and $2 and outcome not in ('parked', 'rejected')
           and (processed_at is null or next_try_at is not null)",
    ),
    check(
        Table::Ledger,
        "I3-cases-are-opened",
        "each ledger row that is a case has its case",
        "select e.id from payment_events e where e.id between $1 and $2 and e.outcome = 'case'
           and not exists (select 1 from cases c where c.booking_id = e.booking_id)
           and not exists (select 1 from cases c where e.booking_id is null and c.kind = 'unknown_booking')
           and not exists (select 1 from cases c where c.event_key = e.event_key)",
    ),
    check(
        Table::Bookings,
        "I5-paid-has-its-payment",
        "each paid booking has one applied payment in the ledger",
        "select b.id from bookings b where b.id between $1 and $2 and b.paid_session_id is not null
           and (select count(*) from payment_events e where e.booking_id = b.id and e.applied_payment) <> 1",
    ),
    check(
        Table::Ledger,
        "I5-payment-has-its-booking",
        "each applied payment has a booking that is paid by its session",
        "select e.id from payment_events e where e.id between $1 and $2 and e.applied_payment and not exists (
             select 1 from bookings b where b.id = e.booking_id and b.paid_session_id = e.stripe_session_id)",
    ),
    check(
        Table::Bookings,
        "I5-paid-status-has-a-payment",
        "no booking counts as paid without its payment",
        "select id from bookings where id between $1 and $2 and paid_session_id is null
           and status in ('payé', 'partiellement remboursé', 'remboursé', 'litige')",
    ),
    check(
        Table::Bookings,
        "I6-refunds-within-payment",
        "refunds that count are not more than what was paid",
        "select b.id from bookings b where b.id between $1 and $2 and b.paid_amount is not null
           and b.paid_amount < (
             select coalesce(sum(r.amount), 0) from refunds r where r.booking_id = b.id
               and r.payment_intent_id = b.payment_intent_id and r.status not in ('failed', 'canceled')
               and not exists (select 1 from cases c where c.kind = 'refund_mismatch' and c.subject = r.id))",
    ),
    check(
        Table::Bookings,
        WHOLE.0,
        WHOLE.1,
        "select id from bookings where id between $1 and $2 and (amount < 0 or paid_amount < 0
           or charge_refunded < 0 or cast(amount as text) like '%.%' or cast(paid_amount as text) like '%.%')",
    ),
    check(
        Table::Refunds,
        WHOLE.0,
        WHOLE.1,
        "select booking_id from refunds where id between $1 and $2 and (amount < 0 or cast(amount as text) like '%.%')",
    ),
    // Each booking is paid by the session of its own payment, and the ledger has each session's payment once.
    check(
        Table::Bookings,
        ONE_PAYMENT.0,
        ONE_PAYMENT.1,
        "select b.id from bookings b where b.id between $1 and $2 and b.paid_session_id is not null
           and not exists (select 1 from payment_events e where e.booking_id = b.id and e.applied_payment
                             and e.stripe_session_id = b.paid_session_id)",
    ),
    check(
        Table::Ledger,
        ONE_PAYMENT.0,
        ONE_PAYMENT.1,
        "select e.id from payment_events e where e.id between $1 and $2 and e.applied_payment
           and (select count(*) from payment_events o
                where o.stripe_session_id = e.stripe_session_id and o.applied_payment) > 1",
    ),
    check(
        Table::Bookings,
        "I7-paid-stays-paid",
        "what was paid never counts as unpaid again",
        "select id from bookings where id between $1 and $2 and paid_session_id is not null
           and status in ('en attente', 'en traitement', 'expiré', 'échoué', 'annulé')",
    ),
    check(
        Table::Bookings,
        "I8-payments-are-announced",
        "each paid booking has its row in the outbox",
        "select id from bookings where id between $1 and $2 and paid_session_id is not null and not exists (
             select 1 from outbox o where o.booking_id = bookings.id and o.kind = 'booking.paid')",
    ),
    check(
        Table::Deliveries,
        "I8-told-or-planned",
        "what somebody is to be told is planned until it is done or given up",
        "select o.booking_id from outbox_deliveries d join outbox o on o.id = d.outbox_id
         where d.id between $1 and $2 and (d.state = 'pending') <> (d.next_try_at is not null)",
    ),
    check(
        Table::Bookings,
        TIMES.0,
        TIMES.1,
        "select id from bookings where id between $1 and $2 and updated_at < created_at",
    ),
    check(
        Table::Refunds,
        TIMES.0,
        TIMES.1,
        "select booking_id from refunds where id between $1 and $2 and updated_at < created_at",
    ),
    check(
        Table::Disputes,
        TIMES.0,
        TIMES.1,
        "select booking_id from disputes where id between $1 and $2 and updated_at < created_at",
    ),
    check(
        Table::RefundRequests,
        TIMES.0,
        TIMES.1,
        "select coalesce(booking_id, case_id, id) from refund_intents where id between $1 and $2 and updated_at < created_at",
    ),
    check(
        Table::Ledger,
        TIMES.0,
        TIMES.1,
        "select id from payment_events where id between $1 and $2 and last_delivered_at < received_at",
    ),
    check(
        Table::Cases,
        TIMES.0,
        TIMES.1,
        "select id from cases where id between $1 and $2 and closed_at < created_at",
    ),
    check(
        Table::Bookings,
        "seats-are-given-back",
        "who has ended holds no seat",
        "select id from bookings where id between $1 and $2 and seat is not null
           and (status in ('expiré', 'échoué', 'annulé', 'remboursé') or cancelled_at is not null)",
    ),
    // Somebody comes, and the slot may be sold to others: a late payment without room is a case, and so is whatever
    // else keeps money without a seat.
    check(
        Table::Bookings,
        "who-has-paid-has-a-seat",
        "who has paid and was not called off holds a seat, or a case says why not",
        "select b.id from bookings b where b.id between $1 and $2 and b.seat is null and b.cancelled_at is null
           and b.status in ('payé', 'partiellement remboursé')
           and not exists (select 1 from cases c where c.booking_id = b.id)",
    ),
    // By the version of the capacity: lowering it below what is taken is no fault, a seat taken afterwards is.
    check(
        Table::Bookings,
        "seats-within-capacity",
        "no seat was taken in a slot that was full",
        "select b.id from bookings b join offers o on o.id = b.offer_id
         where b.id between $1 and $2 and b.seat is not null and b.seat_version = o.capacity_version
           and o.capacity < (
             select count(*) from bookings s where s.offer_id = b.offer_id and s.slot_date = b.slot_date
               and s.slot_time = b.slot_time and s.seat is not null)",
    ),
    check(
        Table::Bookings,
        "unpaid-bookings-are-asked-about",
        "Stripe is to be asked about each booking that waits for its payment",
        "select id from bookings where id between $1 and $2
           and status in ('en attente', 'en traitement') and next_check_at is null",
    ),
    check(
        Table::RefundRequests,
        "open-refunds-are-asked-about",
        "Stripe is to be asked about each refund whose fate is not known",
        "select id from refund_intents where id between $1 and $2
           and (state = 'open') <> (next_try_at is not null)",
    ),
    check(
        Table::RefundRequests,
        "refunds-are-recorded",
        "each refund that Stripe made for us of what was paid is in the books",
        "select i.booking_id from refund_intents i join bookings b on b.id = i.booking_id
         where i.id between $1 and $2 and i.state = 'done' and i.currency = b.currency
           and not exists (select 1 from refunds r where r.id = i.stripe_refund_id)",
    ),
];

/// What sorts after every id.
const END: &str = "~";

/// An invariant that does not hold.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Violation {
    /// Which.
    pub check: &'static str,
    /// What it says.
    pub rule: &'static str,
    /// Some of the rows that break it.
    pub rows: Vec<String>,
}

/// A settled fact about a booking, as the ledger keeps it.
#[derive(Debug, Clone)]
pub struct ToldRow {
    /// Which booking.
    pub booking: BookingId,
    /// By which road it came.
    pub source: Source,
    /// What was made of it.
    pub outcome: Outcome,
    /// Why.
    pub reason: Option<Reason>,
    /// When it was settled.
    pub at: Timestamp,
    /// As received; none if it was erased.
    pub payload: Option<String>,
}

/// What `doctor` looks at beside the invariants.
#[derive(Debug, Clone, Default)]
pub struct Pulse {
    /// When Stripe last told us something by itself.
    pub last_webhook: Option<Timestamp>,
    /// Cases that nobody has closed.
    pub open_cases: i64,
    /// The next deadline of an open case.
    pub next_deadline: Option<Timestamp>,
    /// Facts that are parked or could not be applied.
    pub waiting_facts: i64,
    /// When the oldest of them came.
    pub oldest_waiting: Option<Timestamp>,
    /// When the oldest booking was made whose payment is open.
    pub oldest_pending: Option<Timestamp>,
    /// Bookings whose payment is open.
    pub pending_bookings: i64,
    /// Refunds of which it is not known what Stripe did.
    pub open_refunds: i64,
    /// Facts of the last week whose mode does not fit the key.
    pub wrong_mode: i64,
    /// ADMINs who can sign in.
    pub admins: i64,
}

impl Tx {
    /// The newest rows of a table whose ids are below `below` (none: of all), at most `limit`. None if there are
    /// no more.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn portion(
        &mut self,
        table: Table,
        below: Option<&str>,
        limit: i64,
    ) -> Result<Option<Portion>, StoreError> {
        let sql = format!(
            "select min(id), max(id), count(*)
             from (select id from {} where id < $1 order by id desc limit $2) as portion",
            table.name()
        );
        let (first, last, rows): (Option<String>, Option<String>, i64) = on_engine!(self, conn =>
            sqlx::query_as(AssertSqlSafe(sql)).bind(below.unwrap_or(END)).bind(limit).fetch_one(conn).await)?;
        Ok(first.zip(last).map(|(first, last)| Portion { first, last, rows }))
    }

    /// Every invariant that does not hold in a portion of a table, with some of the rows that break it. Each is a
    /// statement of its own.
    ///
    /// # Errors
    /// Any [`StoreError`]; [`StoreError::Cancelled`] if one took too long.
    pub async fn violations(
        &mut self,
        table: Table,
        portion: &Portion,
    ) -> Result<Vec<Violation>, StoreError> {
        let mut violations = Vec::new();
        for Check { name, rule, sql, .. } in CHECKS.iter().filter(|check| check.table == table) {
            let sql = format!("{sql} limit {MAX_ROWS}");
            let rows: Vec<String> = on_engine!(self, conn => sqlx::query_scalar(AssertSqlSafe(sql))
                .bind(&portion.first)
                .bind(&portion.last)
                .fetch_all(conn)
                .await)?;
            if !rows.is_empty() {
                violations.push(Violation { check: name, rule, rows });
            }
        }
        Ok(violations)
    }

    /// The ids of the newest bookings below `below` (none: of all), the newest first, at most `limit`.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn newest_bookings(
        &mut self,
        below: Option<BookingId>,
        limit: i64,
    ) -> Result<Vec<BookingId>, StoreError> {
        let ids: Vec<String> = on_engine!(self, conn => sqlx::query_scalar(
            "select id from bookings where id < $1 order by id desc limit $2")
            .bind(below.map_or_else(|| END.to_owned(), |id| id.to_string()))
            .bind(limit)
            .fetch_all(conn)
            .await)?;
        ids.iter().map(|id| parse("bookings.id", id, |text| BookingId::parse(text).ok())).collect()
    }

    /// The bookings that the newest `rows` ledger rows are about.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn lately_told_about(&mut self, rows: i64) -> Result<Vec<BookingId>, StoreError> {
        let ids: Vec<String> = on_engine!(self, conn => sqlx::query_scalar(
            "select distinct booking_id from (
                 select booking_id from payment_events order by id desc limit $1) as newest
             where booking_id is not null")
            .bind(rows)
            .fetch_all(conn)
            .await)?;
        ids.iter()
            .map(|id| parse("payment_events.booking_id", id, |text| BookingId::parse(text).ok()))
            .collect()
    }

    /// What was applied to these bookings, or changed nothing, each booking's in the order in which it was.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn told_about(&mut self, bookings: &[BookingId]) -> Result<Vec<ToldRow>, StoreError> {
        let sql = format!(
            "select booking_id, source, outcome, reason, coalesce(processed_at, received_at), payload
             from payment_events where booking_id {} and outcome in ('processed', 'duplicate')
             order by booking_id, processed_at, id",
            self.in_list(1)
        );
        type Row = (String, String, String, String, i64, Option<String>);
        let rows: Vec<Row> = on_engine!(self, conn => sqlx::query_as(AssertSqlSafe(sql))
            .bind(json_array(bookings))
            .fetch_all(conn)
            .await)?;
        rows.into_iter()
            .map(|(booking, source, outcome, reason, at, payload)| {
                Ok(ToldRow {
                    booking: parse("payment_events.booking_id", &booking, |text| {
                        BookingId::parse(text).ok()
                    })?,
                    source: parse("payment_events.source", &source, Source::parse)?,
                    outcome: parse("payment_events.outcome", &outcome, Outcome::parse)?,
                    reason: Reason::parse(&reason),
                    at: Timestamp::from_micros(at),
                    payload,
                })
            })
            .collect()
    }

    /// Those of these bookings that the audit log says were cancelled.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn cancelled_by_people(
        &mut self,
        bookings: &[BookingId],
    ) -> Result<Vec<BookingId>, StoreError> {
        let sql = format!(
            "select distinct subject from audit_log where action = 'booking.cancelled' and subject {}",
            self.in_list(1)
        );
        let ids: Vec<String> = on_engine!(self, conn => sqlx::query_scalar(AssertSqlSafe(sql))
            .bind(json_array(bookings))
            .fetch_all(conn)
            .await)?;
        ids.iter().map(|id| parse("audit_log.subject", id, |text| BookingId::parse(text).ok())).collect()
    }

    /// How things stand.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn pulse(&mut self, now: Timestamp) -> Result<Pulse, StoreError> {
        let last_webhook: Option<i64> = on_engine!(self, conn => sqlx::query_scalar(
            "select max(last_delivered_at) from (
                 select last_delivered_at, source from payment_events order by id desc limit $1) as newest
             where source = 'webhook'")
            .bind(NEWEST)
            .fetch_one(conn)
            .await)?;
        let (open_cases, next_deadline): (i64, Option<i64>) = on_engine!(self, conn => sqlx::query_as(
            "select count(*), min(case when d.id is null then c.deadline
                 when d.status in ('needs_response', 'warning_needs_response', 'appeal_needs_response') then d.due_by
                 end)
             from cases c left join disputes d on c.kind = 'dispute' and d.id = c.subject
             where c.closed_at is null")
            .fetch_one(conn)
            .await)?;
        let (waiting_facts, oldest_waiting): (i64, Option<i64>) = on_engine!(self, conn => sqlx::query_as(
            "select count(*), min(received_at) from payment_events where next_try_at is not null")
            .fetch_one(conn)
            .await)?;
        let (pending_bookings, oldest_pending): (i64, Option<i64>) = on_engine!(self, conn => sqlx::query_as(
            "select count(*), min(created_at) from bookings where status in ('en attente', 'en traitement')")
            .fetch_one(conn)
            .await)?;
        let open_refunds: i64 = on_engine!(self, conn => sqlx::query_scalar(
            "select count(*) from refund_intents where state = 'open'")
            .fetch_one(conn)
            .await)?;
        let wrong_mode: i64 = on_engine!(self, conn => sqlx::query_scalar(
            "select count(*) from (
                 select reason, last_delivered_at from payment_events order by id desc limit $2) as newest
             where reason = 'livemode_of_another' and last_delivered_at > $1")
            .bind(now.minus(RECENT).as_micros())
            .bind(NEWEST)
            .fetch_one(conn)
            .await)?;
        let admins: i64 = on_engine!(self, conn => sqlx::query_scalar(
            "select count(*) from users where role = 'ADMIN' and active")
            .fetch_one(conn)
            .await)?;
        let time = |micros: Option<i64>| micros.map(Timestamp::from_micros);
        Ok(Pulse {
            last_webhook: time(last_webhook),
            open_cases,
            next_deadline: time(next_deadline),
            waiting_facts,
            oldest_waiting: time(oldest_waiting),
            oldest_pending: time(oldest_pending),
            pending_bookings,
            open_refunds,
            wrong_mode,
            admins,
        })
    }

    /// Remembers when a webhook secret fitted; an older time changes nothing.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn note_secret_use(&mut self, fingerprint: &str, at: Timestamp) -> Result<(), StoreError> {
        on_engine!(self, conn => sqlx::query(
            "insert into secret_uses (fingerprint, last_used_at) values ($1, $2)
             on conflict (fingerprint) do update set last_used_at = excluded.last_used_at
             where secret_uses.last_used_at < excluded.last_used_at")
            .bind(fingerprint)
            .bind(at.as_micros())
            .execute(conn)
            .await
            .map(drop))?;
        Ok(())
    }

    /// When a webhook secret last fitted.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn secret_last_used(&mut self, fingerprint: &str) -> Result<Option<Timestamp>, StoreError> {
        let at: Option<i64> = on_engine!(self, conn => sqlx::query_scalar(
            "select last_used_at from secret_uses where fingerprint = $1")
            .bind(fingerprint)
            .fetch_optional(conn)
            .await)?;
        Ok(at.map(Timestamp::from_micros))
    }

    /// Remembers what the service noticed; an older time changes nothing.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn note_observation(
        &mut self,
        name: &str,
        at: Timestamp,
        value: i64,
    ) -> Result<(), StoreError> {
        on_engine!(self, conn => sqlx::query(
            "insert into observations (name, at, value) values ($1, $2, $3)
             on conflict (name) do update set at = excluded.at, value = excluded.value
             where observations.at < excluded.at")
            .bind(name)
            .bind(at.as_micros())
            .bind(value)
            .execute(conn)
            .await
            .map(drop))?;
        Ok(())
    }

    /// What the service noticed last under this name, and when.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn observation(&mut self, name: &str) -> Result<Option<(Timestamp, i64)>, StoreError> {
        let row: Option<(i64, i64)> = on_engine!(self, conn => sqlx::query_as(
            "select at, value from observations where name = $1")
            .bind(name)
            .fetch_optional(conn)
            .await)?;
        Ok(row.map(|(at, value)| (Timestamp::from_micros(at), value)))
    }
}
