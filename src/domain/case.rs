//! Cases: money that does not fit, for a person to look at.

use std::fmt;

/// What does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CaseKind {
    /// Paid, but not the price.
    AmountMismatch,
    /// Paid, but in another currency.
    CurrencyMismatch,
    /// The session is no payment.
    ModeMismatch,
    /// The session belongs to another booking than the one it names.
    SessionMismatch,
    /// A test event for a live key, or the reverse.
    LivemodeMismatch,
    /// A second session of the same booking was paid.
    PaidTwice,
    /// Paid after the hold was lost, and the slot is full.
    LatePayment,
    /// Ours, but its booking has not turned up for an hour.
    UnknownBooking,
    /// A refund did not reach the customer.
    RefundFailed,
    /// A dispute wants an answer before its deadline.
    Dispute,
}

impl CaseKind {
    /// Every kind.
    pub const ALL: [Self; 10] = [
        Self::AmountMismatch,
        Self::CurrencyMismatch,
        Self::ModeMismatch,
        Self::SessionMismatch,
        Self::LivemodeMismatch,
        Self::PaidTwice,
        Self::LatePayment,
        Self::UnknownBooking,
        Self::RefundFailed,
        Self::Dispute,
    ];

    /// As the database and the API write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AmountMismatch => "amount_mismatch",
            Self::CurrencyMismatch => "currency_mismatch",
            Self::ModeMismatch => "mode_mismatch",
            Self::SessionMismatch => "session_mismatch",
            Self::LivemodeMismatch => "livemode_mismatch",
            Self::PaidTwice => "paid_twice",
            Self::LatePayment => "late_payment",
            Self::UnknownBooking => "unknown_booking",
            Self::RefundFailed => "refund_failed",
            Self::Dispute => "dispute",
        }
    }

    /// From its exact text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

impl fmt::Display for CaseKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
