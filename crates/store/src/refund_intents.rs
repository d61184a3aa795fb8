//! Refunds that we ask for: written before Stripe is called.

use super::engine::json_array;
use super::row::parse;
use super::{StoreError, Tx};
use clock::Timestamp;
use domain::ids::{BookingId, CaseId, PaymentIntentId};
use domain::money::{Currency, Money};
use domain::payment::AskedFor;
use sqlx::AssertSqlSafe;
use std::time::Duration;
use uuid::Uuid;

/// How far our asking has come.
pub use domain::refund::RequestState as IntentState;

/// A refund that we ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefundIntent {
    /// Its id, and Stripe's `metadata[refund_intent]`.
    pub id: Uuid,
    /// Whose keys `client_key` is one of.
    pub scope: String,
    /// The caller's `Idempotency-Key`.
    pub client_key: String,
    /// The booking, if one is known.
    pub booking: Option<BookingId>,
    /// The case that it is to settle, if it is one's action.
    pub case: Option<CaseId>,
    /// The payment that is given back.
    pub payment_intent: PaymentIntentId,
    /// What was asked for; none for all that is left.
    pub requested_amount: Option<i64>,
    /// In minor units.
    pub amount: i64,
    /// Lower-case code.
    pub currency: String,
    /// How far it has come.
    pub state: IntentState,
    /// Part of Stripe's idempotency key: raised when Stripe failed and surely made nothing.
    pub attempt: i32,
    /// How often Stripe was asked.
    pub tries: i32,
    /// Stripe's refund, once it is known.
    pub stripe_refund_id: Option<String>,
    /// Stripe's words, if it refused.
    pub refusal: Option<String>,
    /// Who wants it.
    pub requested_by: String,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

impl RefundIntent {
    /// The amount. `instead`: the currency to tell it in should its own be one that we do not know.
    #[must_use]
    pub fn money(&self, instead: Currency) -> Money {
        Money { amount: self.amount, currency: Currency::parse(&self.currency).unwrap_or(instead) }
    }
}

#[derive(sqlx::FromRow)]
struct IntentRow {
    id: String,
    scope: String,
    client_key: String,
    booking_id: Option<String>,
    case_id: Option<String>,
    payment_intent_id: String,
    requested_amount: Option<i64>,
    amount: i64,
    currency: String,
    state: String,
    attempt: i32,
    tries: i32,
    stripe_refund_id: Option<String>,
    refusal: Option<String>,
    requested_by: String,
    created_at: i64,
    updated_at: i64,
}

macro_rules! intent_columns {
    () => {
        "id, scope, client_key, booking_id, case_id, payment_intent_id, requested_amount, amount, currency, \
         state, attempt, tries, stripe_refund_id, refusal, requested_by, created_at, updated_at"
    };
}

impl IntentRow {
    fn into_intent(self) -> Result<RefundIntent, StoreError> {
        Ok(RefundIntent {
            id: parse("refund_intents.id", &self.id, |text| Uuid::try_parse(text).ok())?,
            scope: self.scope,
            client_key: self.client_key,
            booking: self
                .booking_id
                .map(|id| parse("refund_intents.booking_id", &id, |text| BookingId::parse(text).ok()))
                .transpose()?,
            case: self
                .case_id
                .map(|id| parse("refund_intents.case_id", &id, |text| CaseId::parse(text).ok()))
                .transpose()?,
            payment_intent: parse("refund_intents.payment_intent_id", &self.payment_intent_id, |text| {
                PaymentIntentId::parse(text).ok()
            })?,
            requested_amount: self.requested_amount,
            amount: self.amount,
            currency: self.currency,
            state: parse("refund_intents.state", &self.state, IntentState::parse)?,
            attempt: self.attempt,
            tries: self.tries,
            stripe_refund_id: self.stripe_refund_id,
            refusal: self.refusal,
            requested_by: self.requested_by,
            created_at: Timestamp::from_micros(self.created_at),
            updated_at: Timestamp::from_micros(self.updated_at),
        })
    }
}

impl Tx {
    /// Keeps an intent; `false` if the caller's key was used before.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn insert_refund_intent(
        &mut self,
        intent: &RefundIntent,
        next_try_at: Timestamp,
    ) -> Result<bool, StoreError> {
        let inserted = on_engine!(self, conn => sqlx::query(
            "insert into refund_intents (id, scope, client_key, booking_id, case_id, payment_intent_id,
                 requested_amount, amount, currency, state, attempt, tries, next_try_at, requested_by,
                 created_at, updated_at)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $15)
             on conflict (scope, client_key) do nothing")
            .bind(intent.id.to_string())
            .bind(&intent.scope)
            .bind(&intent.client_key)
            .bind(intent.booking.map(|id| id.to_string()))
            .bind(intent.case.map(|id| id.to_string()))
            .bind(intent.payment_intent.as_str())
            .bind(intent.requested_amount)
            .bind(intent.amount)
            .bind(&intent.currency)
            .bind(intent.state.as_str())
            .bind(intent.attempt)
            .bind(intent.tries)
            .bind(next_try_at.as_micros())
            .bind(&intent.requested_by)
            .bind(intent.created_at.as_micros())
            .execute(conn)
            .await
            .map(|done| done.rows_affected()))?;
        Ok(inserted == 1)
    }

    /// The intent that a caller's key made.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn refund_intent_of_key(
        &mut self,
        scope: &str,
        client_key: &str,
    ) -> Result<Option<RefundIntent>, StoreError> {
        let row: Option<IntentRow> = on_engine!(self, conn => sqlx::query_as(concat!(
            "select ", intent_columns!(), " from refund_intents where scope = $1 and client_key = $2"))
            .bind(scope)
            .bind(client_key)
            .fetch_optional(conn)
            .await)?;
        row.map(IntentRow::into_intent).transpose()
    }

    /// One intent.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn refund_intent(&mut self, id: Uuid) -> Result<Option<RefundIntent>, StoreError> {
        let row: Option<IntentRow> = on_engine!(self, conn => sqlx::query_as(concat!(
            "select ", intent_columns!(), " from refund_intents where id = $1"))
            .bind(id.to_string())
            .fetch_optional(conn)
            .await)?;
        row.map(IntentRow::into_intent).transpose()
    }

    /// The intents of a booking, oldest first.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn refund_intents_of(&mut self, booking: BookingId) -> Result<Vec<RefundIntent>, StoreError> {
        let rows: Vec<IntentRow> = on_engine!(self, conn => sqlx::query_as(concat!(
            "select ", intent_columns!(),
            " from refund_intents where booking_id = $1 order by created_at, id limit 200"))
            .bind(booking.to_string())
            .fetch_all(conn)
            .await)?;
        rows.into_iter().map(IntentRow::into_intent).collect()
    }

    /// The refunds that were asked for about cases, oldest first.
    pub(super) async fn refund_intents_of_cases(
        &mut self,
        cases: &[String],
    ) -> Result<Vec<RefundIntent>, StoreError> {
        let sql = format!(
            concat!(
                "select ",
                intent_columns!(),
                " from refund_intents where case_id {} order by created_at, id"
            ),
            self.in_list(1)
        );
        let rows: Vec<IntentRow> = on_engine!(self, conn =>
            sqlx::query_as(AssertSqlSafe(sql)).bind(json_array(cases)).fetch_all(conn).await)?;
        rows.into_iter().map(IntentRow::into_intent).collect()
    }

    /// What we asked Stripe to give back of a payment, as far as it did not refuse.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn asked_for(&mut self, payment: &PaymentIntentId) -> Result<AskedFor, StoreError> {
        let rows: Vec<(Option<String>, i64)> = on_engine!(self, conn => sqlx::query_as(
            "select stripe_refund_id, amount from refund_intents
             where payment_intent_id = $1 and state in ('open', 'done')")
            .bind(payment.as_str())
            .fetch_all(conn)
            .await)?;
        let sum = rows.iter().fold(0_i64, |sum, (_, amount)| sum.saturating_add(*amount));
        Ok(AskedFor { refunds: rows.into_iter().filter_map(|(id, _)| id).collect(), sum })
    }

    /// The sum of what is being given back of a payment and not recorded as a refund yet.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn open_refund_sum(&mut self, payment: &PaymentIntentId) -> Result<i64, StoreError> {
        let amounts: Vec<i64> = on_engine!(self, conn => sqlx::query_scalar(
            "select amount from refund_intents where payment_intent_id = $1 and state = 'open'")
            .bind(payment.as_str())
            .fetch_all(conn)
            .await)?;
        Ok(amounts.into_iter().fold(0, i64::saturating_add))
    }

    /// The sum of the refunds that are recorded of a payment and count.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn recorded_refund_sum(&mut self, payment: &PaymentIntentId) -> Result<i64, StoreError> {
        let amounts: Vec<i64> = on_engine!(self, conn => sqlx::query_scalar(
            "select amount from refunds
             where payment_intent_id = $1 and status not in ('failed', 'canceled')")
            .bind(payment.as_str())
            .fetch_all(conn)
            .await)?;
        Ok(amounts.into_iter().fold(0, i64::saturating_add))
    }

    /// Intents of which it is not known what Stripe did, as far as they are due, put off by `lease`.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn take_due_refund_intents(
        &mut self,
        now: Timestamp,
        lease: Duration,
        limit: i64,
    ) -> Result<Vec<RefundIntent>, StoreError> {
        let sql = format!(
            concat!(
                "update refund_intents set next_try_at = $2
                 where id in (select id from refund_intents
                              where next_try_at is not null and next_try_at <= $1
                              order by next_try_at limit $3 {})
                 returning ",
                intent_columns!()
            ),
            self.for_update_skip_locked()
        );
        let rows: Vec<IntentRow> = on_engine!(self, conn => sqlx::query_as(AssertSqlSafe(sql))
            .bind(now.as_micros())
            .bind(now.plus(lease).as_micros())
            .bind(limit)
            .fetch_all(conn)
            .await)?;
        rows.into_iter().map(IntentRow::into_intent).collect()
    }

    /// Stripe did not say: it will be asked again at `next_try_at`, under the idempotency key of
    /// `attempt`.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn put_off_refund_intent(
        &mut self,
        id: Uuid,
        attempt: i32,
        next_try_at: Timestamp,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        on_engine!(self, conn => sqlx::query(
            "update refund_intents set attempt = $2, next_try_at = $3, tries = tries + 1, 
                 updated_at = case when updated_at < $4 then $4 else updated_at end
             where id = $1 and state = 'open'")
            .bind(id.to_string())
            .bind(attempt)
            .bind(next_try_at.as_micros())
            .bind(now.as_micros())
            .execute(conn)
            .await
            .map(drop))?;
        Ok(())
    }

    /// Stripe made the refund, or surely did not. `false` if that was known before.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn settle_refund_intent(
        &mut self,
        id: Uuid,
        outcome: Result<&str, &str>,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let state = if outcome.is_ok() { IntentState::Done } else { IntentState::Refused };
        let settled = on_engine!(self, conn => sqlx::query(
            "update refund_intents set state = $2, stripe_refund_id = $3, refusal = $4, next_try_at = null,
                 tries = tries + 1, 
                 updated_at = case when updated_at < $5 then $5 else updated_at end
             where id = $1 and state = 'open'")
            .bind(id.to_string())
            .bind(state.as_str())
            .bind(outcome.ok())
            .bind(outcome.err())
            .bind(now.as_micros())
            .execute(conn)
            .await
            .map(|done| done.rows_affected()))?;
        Ok(settled == 1)
    }
}
