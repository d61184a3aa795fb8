//! Rows as they stand in the tables, and their way into domain values. A row that cannot be is an
//! error here, so that nobody meets it as a wrong answer.

use super::StoreError;
use clock::Timestamp;
use domain::booking::{
    Booking, Cancellation, Customer, Dispute, DisputeStatus, Payment, Progress, Refund, RefundStatus, Status,
};
use domain::code::Code;
use domain::ids::{BookingId, DisputeId, OfferId, PaymentIntentId, RefundId, SessionId};
use domain::money::{Currency, Money};
use domain::slot::Slot;

#[derive(Debug, Clone, sqlx::FromRow)]
pub(super) struct BookingRow {
    pub id: String,
    pub code: Option<String>,
    pub offer_id: String,
    pub first_name: String,
    pub last_name: String,
    pub email: String,
    pub slot_date: String,
    pub slot_time: String,
    pub starts_at: i64,
    pub amount: i64,
    pub currency: String,
    pub status: String,
    pub seat: Option<i32>,
    pub hold_expires_at: i64,
    pub stripe_session_id: Option<String>,
    pub paid_session_id: Option<String>,
    pub payment_intent_id: Option<String>,
    pub paid_amount: Option<i64>,
    pub paid_at: Option<i64>,
    pub charge_refunded: i64,
    pub charge_intent_id: Option<String>,
    pub cancelled_at: Option<i64>,
    pub cancel_reason: Option<String>,
    pub has_history: bool,
    pub created_at: i64,
    pub updated_at: i64,
}

/// The columns of [`BookingRow`], for `select`.
macro_rules! booking_columns {
    () => {
        "id, code, offer_id, first_name, last_name, email, slot_date, slot_time, starts_at, amount, currency, status, \
         seat, hold_expires_at, stripe_session_id, paid_session_id, payment_intent_id, paid_amount, paid_at, \
         charge_refunded, charge_intent_id, cancelled_at, cancel_reason, has_history, created_at, updated_at"
    };
}
pub(super) use booking_columns;

impl BookingRow {
    /// The booking without its refunds, disputes and cases, which stand in other tables.
    pub(super) fn into_booking(self) -> Result<Booking, StoreError> {
        let id = parse("bookings.id", &self.id, |text| BookingId::parse(text).ok())?;
        let status = parse("bookings.status", &self.status, Status::parse)?;
        let session = |place, text: Option<String>| -> Result<Option<SessionId>, StoreError> {
            text.map(|text| parse(place, &text, |text| SessionId::parse(text).ok())).transpose()
        };
        let paid = session("bookings.paid_session_id", self.paid_session_id)?;
        let intent = self
            .payment_intent_id
            .map(|text| parse("bookings.payment_intent_id", &text, |t| PaymentIntentId::parse(t).ok()))
            .transpose()?;
        let progress = match (paid, self.paid_amount, self.paid_at, status) {
            (Some(session), Some(amount), Some(at), _) => {
                Progress::Paid(Payment { session, intent, amount, at: Timestamp::from_micros(at) })
            }
            (None, None, None, Status::Pending) => Progress::Pending,
            (None, None, None, Status::Processing) => Progress::Processing,
            (None, None, None, Status::Expired) => Progress::Expired,
            (None, None, None, Status::Failed) => Progress::Failed,
            (None, None, None, Status::Cancelled) => Progress::Cancelled,
            _ => return Err(StoreError::corrupt("bookings.status without its payment", &self.id)),
        };
        Ok(Booking {
            id,
            // Only until the start that follows the migration has written it.
            code: self.code.as_deref().and_then(Code::parse).unwrap_or_else(|| Code::of(id, 0)),
            offer: parse("bookings.offer_id", &self.offer_id, |text| OfferId::parse(text).ok())?,
            customer: Customer { first_name: self.first_name, last_name: self.last_name, email: self.email },
            slot: Slot::parse(&self.slot_date, &self.slot_time)
                .map_err(|_| StoreError::corrupt("bookings.slot_date, slot_time", &self.id))?,
            starts_at: Timestamp::from_micros(self.starts_at),
            price: Money {
                amount: self.amount,
                currency: parse("bookings.currency", &self.currency, |text| Currency::parse(text).ok())?,
            },
            progress,
            session: session("bookings.stripe_session_id", self.stripe_session_id)?,
            seat: self.seat,
            hold_expires_at: Timestamp::from_micros(self.hold_expires_at),
            charge_refunded: self.charge_refunded,
            charge_intent: self
                .charge_intent_id
                .as_deref()
                .and_then(|text| PaymentIntentId::parse(text).ok()),
            cancelled: self.cancelled_at.map(|at| Cancellation {
                at: Timestamp::from_micros(at),
                reason: self.cancel_reason.unwrap_or_default(),
            }),
            refunds: Vec::new(),
            disputes: Vec::new(),
            cases: Vec::new(),
            created_at: Timestamp::from_micros(self.created_at),
            updated_at: Timestamp::from_micros(self.updated_at),
        })
    }
}

#[derive(Debug, sqlx::FromRow)]
pub(super) struct RefundRow {
    pub id: String,
    pub booking_id: String,
    pub payment_intent_id: Option<String>,
    pub amount: i64,
    pub status: String,
}

impl RefundRow {
    pub(super) fn into_refund(self) -> Result<Refund, StoreError> {
        Ok(Refund {
            id: parse("refunds.id", &self.id, |text| RefundId::parse(text).ok())?,
            intent: self.payment_intent_id.as_deref().and_then(|text| PaymentIntentId::parse(text).ok()),
            amount: self.amount,
            status: RefundStatus::parse(&self.status),
        })
    }
}

#[derive(Debug, sqlx::FromRow)]
pub(super) struct DisputeRow {
    pub id: String,
    pub booking_id: String,
    pub payment_intent_id: Option<String>,
    pub amount: i64,
    pub currency: Option<String>,
    pub status: String,
    pub due_by: Option<i64>,
}

impl DisputeRow {
    pub(super) fn into_dispute(self) -> Result<Dispute, StoreError> {
        Ok(Dispute {
            id: parse("disputes.id", &self.id, |text| DisputeId::parse(text).ok())?,
            intent: self.payment_intent_id.as_deref().and_then(|text| PaymentIntentId::parse(text).ok()),
            amount: self.amount,
            currency: self.currency,
            status: DisputeStatus::from_stored(&self.status),
            due_by: self.due_by.map(Timestamp::from_micros),
        })
    }
}

/// The value that `text` stands for, or which column is wrong.
pub(super) fn parse<T>(
    place: &'static str,
    text: &str,
    read: impl FnOnce(&str) -> Option<T>,
) -> Result<T, StoreError> {
    read(text).ok_or_else(|| StoreError::corrupt(place, text))
}
