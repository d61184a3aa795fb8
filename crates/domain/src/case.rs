//! Cases: money that does not fit, for a person to look at.

use super::lang::Lang;
use super::role::Role;
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
    /// The event and the state of its session contradict each other.
    StateMismatch,
    /// A test event for a live key, or the reverse.
    LivemodeMismatch,
    /// A second session of the same booking was paid.
    PaidTwice,
    /// Paid after the hold was lost, and the slot is full.
    LatePayment,
    /// Ours, but its booking has not turned up for an hour.
    UnknownBooking,
    /// A refund that cannot be one of this payment: its amount or currency.
    RefundMismatch,
    /// A refund did not reach the customer.
    RefundFailed,
    /// A dispute wants an answer before its deadline.
    Dispute,
    /// Stripe does not know the session that was to pay a booking.
    SessionUnknown,
}

impl CaseKind {
    /// Every kind.
    pub const ALL: [Self; 13] = [
        Self::AmountMismatch,
        Self::CurrencyMismatch,
        Self::ModeMismatch,
        Self::SessionMismatch,
        Self::StateMismatch,
        Self::LivemodeMismatch,
        Self::PaidTwice,
        Self::LatePayment,
        Self::UnknownBooking,
        Self::RefundMismatch,
        Self::RefundFailed,
        Self::Dispute,
        Self::SessionUnknown,
    ];

    /// As the database and the API write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AmountMismatch => "amount_mismatch",
            Self::CurrencyMismatch => "currency_mismatch",
            Self::ModeMismatch => "mode_mismatch",
            Self::SessionMismatch => "session_mismatch",
            Self::StateMismatch => "state_mismatch",
            Self::LivemodeMismatch => "livemode_mismatch",
            Self::PaidTwice => "paid_twice",
            Self::LatePayment => "late_payment",
            Self::UnknownBooking => "unknown_booking",
            Self::RefundMismatch => "refund_mismatch",
            Self::RefundFailed => "refund_failed",
            Self::Dispute => "dispute",
            Self::SessionUnknown => "session_unknown",
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

/// What a person can do about a case. The list is closed: nothing else settles one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CaseAction {
    /// Take the payment as it is: it pays the booking.
    Accept,
    /// Give the payment back that the case is about, and no other.
    Refund,
    /// Take a seat again, now that one is left: the payment pays the booking.
    Reseat,
    /// Say which booking the payment is for.
    Attach,
    /// Nothing needs to be done, for a reason that is written down.
    Dismiss,
}

impl CaseAction {
    /// Every action.
    pub const ALL: [Self; 5] = [Self::Accept, Self::Refund, Self::Reseat, Self::Attach, Self::Dismiss];

    /// As the database and the API write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::Refund => "refund",
            Self::Reseat => "reseat",
            Self::Attach => "attach",
            Self::Dismiss => "dismiss",
        }
    }

    /// From its exact text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.as_str() == text)
    }

    /// Who may do it: what moves money, or keeps money that did not fit, is for an ADMIN.
    #[must_use]
    pub fn needs(self) -> Role {
        match self {
            Self::Accept | Self::Refund => Role::Admin,
            Self::Reseat | Self::Attach | Self::Dismiss => Role::Ops,
        }
    }

    /// What it does, for the person who chooses.
    #[must_use]
    pub fn sentence(self, lang: Lang) -> &'static str {
        let (fr, en) = match self {
            Self::Accept => (
                "Accepter le paiement tel quel : la réservation est payée.",
                "Accept the payment as it is: the booking is paid.",
            ),
            Self::Refund => ("Rembourser ce paiement.", "Refund this payment."),
            Self::Reseat => {
                ("Reprendre une place : la réservation est payée.", "Take a seat again: the booking is paid.")
            }
            Self::Attach => ("Rattacher le paiement à une réservation.", "Attach the payment to a booking."),
            Self::Dismiss => ("Classer, avec un motif.", "Dismiss, with a reason."),
        };
        lang.pick(fr, en)
    }
}

impl CaseKind {
    /// Whether it is about money that came for a booking, and did not pay it.
    #[must_use]
    pub fn is_about_a_payment(self) -> bool {
        match self {
            Self::AmountMismatch
            | Self::CurrencyMismatch
            | Self::ModeMismatch
            | Self::SessionMismatch
            | Self::StateMismatch
            | Self::PaidTwice
            | Self::LatePayment => true,
            // Money of the other mode is none.
            Self::LivemodeMismatch
            | Self::UnknownBooking
            | Self::RefundMismatch
            | Self::RefundFailed
            | Self::Dispute
            | Self::SessionUnknown => false,
        }
    }

    /// What can be done about a case of this kind.
    #[must_use]
    pub fn actions(self) -> &'static [CaseAction] {
        use CaseAction::{Accept, Attach, Dismiss, Refund, Reseat};
        match self {
            Self::AmountMismatch => &[Accept, Refund, Dismiss],
            // Money in another currency cannot be counted as this booking's.
            Self::CurrencyMismatch | Self::SessionMismatch | Self::PaidTwice => &[Refund, Dismiss],
            // Nothing of ours to do: what counts is what Stripe's dashboard shows.
            Self::ModeMismatch
            | Self::StateMismatch
            | Self::LivemodeMismatch
            | Self::RefundMismatch
            | Self::Dispute
            | Self::SessionUnknown => &[Dismiss],
            Self::LatePayment => &[Reseat, Refund, Dismiss],
            Self::UnknownBooking => &[Attach, Refund, Dismiss],
            Self::RefundFailed => &[Refund, Dismiss],
        }
    }
}
