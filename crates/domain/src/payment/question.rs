//! What must be asked of Stripe before a fact can be judged.

use crate::booking::{Booking, DisputeStatus};
use crate::event::Fact;

/// What must be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question {
    /// The session's amounts or payment status.
    Session,
    /// The refund's amount.
    Refund,
    /// How far the dispute has come.
    Dispute,
    /// Whose payment it is.
    Owner,
}

/// What must be asked before a fact can be judged that is about `booking`.
#[must_use]
pub fn open_question(fact: &Fact, booking: &Booking) -> Option<Question> {
    match fact {
        Fact::Session(_) if booking.payment().is_some() => None,
        Fact::Session(fact) => fact.leaves_open().then_some(Question::Session),
        Fact::Refund(fact) => {
            let known = booking.refunds.iter().any(|refund| refund.id == fact.id);
            (fact.leaves_open() && !known).then_some(Question::Refund)
        }
        // The word of the decision that is contested, told late, or of that on the contest: both are `lost`.
        Fact::Dispute(fact) => {
            let contested =
                |dispute: &crate::booking::Dispute| dispute.id == fact.id && dispute.status.is_contested();
            (fact.status == DisputeStatus::Lost && booking.disputes.iter().any(contested))
                .then_some(Question::Dispute)
        }
        Fact::ChargeRefunded(_) | Fact::NoSession(_) | Fact::Other => None,
    }
}
