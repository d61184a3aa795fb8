//! Questions that must have no answer: what the ledger's invariants say, as far as one database can tell.

use super::{StoreError, Tx};
use crate::domain::time::Timestamp;

/// An invariant and its query, which returns the ids of the rows that break it.
type Check = (&'static str, &'static str, &'static str);

/// Each check's name, what it says, and the rows that break it.
const CHECKS: [Check; 11] = [
    (
        "I2-one-row-per-event",
        "each event has one ledger row",
        "select event_key from payment_events group by event_key having count(*) > 1",
    ),
    (
        "I3-settled-or-planned",
        "what is not settled is planned to be tried again",
        "select id from payment_events where outcome in ('parked', 'rejected') and next_try_at is null",
    ),
    (
        "I5-paid-has-its-payment",
        "each paid booking has one applied payment in the ledger",
        "select b.id from bookings b where b.paid_session_id is not null
           and (select count(*) from payment_events e where e.booking_id = b.id and e.applied_payment) <> 1",
    ),
    (
        "I5-payment-has-its-booking",
        "each applied payment has a booking that is paid by its session",
        "select e.id from payment_events e where e.applied_payment and not exists (
             select 1 from bookings b where b.id = e.booking_id and b.paid_session_id = e.stripe_session_id)",
    ),
    (
        "I5-amount-paid-is-the-price",
        "what was paid is the price, less a discount, or a person accepted it",
        "select b.id from bookings b where b.paid_amount > b.amount and not exists (
             select 1 from payment_events e where e.booking_id = b.id and e.applied_payment
               and e.reason = 'accepted_by_person')",
    ),
    (
        "I6-refunds-within-payment",
        "refunds that count are not more than what was paid",
        "select b.id from bookings b where b.paid_amount is not null and b.paid_amount < (
             select coalesce(sum(r.amount), 0) from refunds r where r.booking_id = b.id
               and r.payment_intent_id = b.payment_intent_id and r.status not in ('failed', 'canceled'))",
    ),
    (
        "I7-paid-stays-paid",
        "what was paid never counts as unpaid again",
        "select id from bookings where paid_session_id is not null
           and status in ('en attente', 'en traitement', 'expiré', 'échoué', 'annulé')",
    ),
    (
        "I5-paid-status-has-a-payment",
        "no booking counts as paid without its payment",
        "select id from bookings where paid_session_id is null
           and status in ('payé', 'partiellement remboursé', 'remboursé', 'litige')",
    ),
    (
        "I10-times-run-forward",
        "nothing was changed before it was made",
        "select id from bookings where updated_at < created_at",
    ),
    (
        "cases-are-announced",
        "each ledger row that is a case has its case",
        "select e.id from payment_events e where e.outcome = 'case'
           and not exists (select 1 from cases c where c.event_key = e.event_key)
           and not exists (select 1 from cases c where c.booking_id = e.booking_id)
           and not exists (select 1 from cases c where e.booking_id is null and c.kind = 'unknown_booking')",
    ),
    (
        "seats-are-given-back",
        "who has ended holds no seat",
        "select id from bookings where seat is not null and status in ('expiré', 'échoué', 'annulé', 'remboursé')",
    ),
];

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
    /// Facts whose mode does not fit the key.
    pub wrong_mode: i64,
}

impl Tx {
    /// Every invariant that does not hold, with some of the rows that break it.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn violations(&mut self) -> Result<Vec<Violation>, StoreError> {
        let mut violations = Vec::new();
        for (check, rule, sql) in CHECKS {
            let rows: Vec<String> = on_engine!(self, conn => sqlx::query_scalar(sql).fetch_all(conn).await)?;
            if !rows.is_empty() {
                violations.push(Violation { check, rule, rows: rows.into_iter().take(20).collect() });
            }
        }
        Ok(violations)
    }

    /// How things stand.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn pulse(&mut self) -> Result<Pulse, StoreError> {
        let last_webhook: Option<i64> = on_engine!(self, conn => sqlx::query_scalar(
            "select max(last_delivered_at) from payment_events where source = 'webhook'")
            .fetch_one(conn)
            .await)?;
        let (open_cases, next_deadline): (i64, Option<i64>) = on_engine!(self, conn => sqlx::query_as(
            "select count(*), min(deadline) from cases where closed_at is null")
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
            "select count(*) from payment_events where reason = 'livemode_of_another'")
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

    /// Whether the database takes writes, without leaving any.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn probe_write(&mut self) -> Result<(), StoreError> {
        on_engine!(self, conn => sqlx::query("update instance set created_at = created_at")
            .execute(conn)
            .await
            .map(drop))?;
        Ok(())
    }
}
