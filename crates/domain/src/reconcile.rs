//! When Stripe is asked, and about what: the plan, without the asking.
//!
//! A webhook is the fast road and never the only one. Each booking says by its own state when Stripe
//! should be asked about it next, so that whatever is never told is found all the same.

use super::booking::{Booking, Dispute, DisputeStatus, Progress, Refund, RefundStatus};
use clock::Timestamp;
use std::time::Duration;

/// A pending booking is asked about this often until its hold ends.
const WHILE_HELD: Duration = Duration::from_secs(5 * 60);
/// After the end of a hold Stripe needs a moment to expire the session by itself.
pub const AFTER_HOLD: Duration = Duration::from_secs(10);
/// Stripe's longest session lives a day: so long after the end of a hold no session of it can be open.
const LONGEST_SESSION: Duration = Duration::from_secs(86_400);
/// A change of a paid booking is looked after once: what else Stripe knows of the payment.
const AFTER_CHANGE: Duration = Duration::from_secs(120);
/// Refunds on their way and open disputes.
const WHILE_UNSETTLED: Duration = Duration::from_secs(6 * 3600);

/// When Stripe is to be asked about `booking`, which was just asked about and did not change. None:
/// not any more.
#[must_use]
pub fn next_check(booking: &Booking, now: Timestamp) -> Option<Timestamp> {
    match &booking.progress {
        Progress::Pending => {
            let end = booking.hold_expires_at.plus(AFTER_HOLD);
            if now < end {
                return Some(now.plus(WHILE_HELD).min(end));
            }
            // A hold that does not end: Stripe does not answer, or a person has to decide.
            let overdue = now.since(end);
            Some(now.plus((overdue / 2).clamp(Duration::from_secs(60), Duration::from_secs(6 * 3600))))
        }
        Progress::Processing => {
            let age = now.since(booking.created_at);
            Some(now.plus((age / 10).clamp(Duration::from_secs(600), Duration::from_secs(12 * 3600))))
        }
        Progress::Expired | Progress::Failed | Progress::Cancelled => None,
        Progress::Paid(_) => is_unsettled(booking).then(|| now.plus(WHILE_UNSETTLED)),
    }
}

/// Whether a session of the booking is surely over, even one that Stripe does not tell of.
#[must_use]
pub fn is_surely_over(booking: &Booking, now: Timestamp) -> bool {
    now >= booking.hold_expires_at.plus(LONGEST_SESSION)
}

/// When a booking that just changed should be looked after; none leaves what was planned.
///
/// What the charge says was refunded wants its refunds listed at once. Every other change of a paid
/// booking is looked after once, for what was told before we knew whose it is.
#[must_use]
pub fn check_after_change(booking: &Booking) -> Option<Timestamp> {
    match &booking.progress {
        Progress::Paid(_) if misses_refunds(booking) => Some(booking.updated_at),
        Progress::Paid(_) => Some(booking.updated_at.plus(AFTER_CHANGE)),
        // One that had ended may be on its way again: it is asked about again too.
        Progress::Pending | Progress::Processing => Some(booking.updated_at.plus(WHILE_HELD)),
        Progress::Expired | Progress::Failed | Progress::Cancelled => None,
    }
}

/// Whether its charge says that more was refunded than the refunds that are known.
fn misses_refunds(booking: &Booking) -> bool {
    let known = booking.refunds.iter().fold(0_i64, |sum, refund| sum.saturating_add(refund.amount));
    booking.charge_refunded > known
}

/// Whether Stripe may still tell something about refunds or disputes of a paid booking.
fn is_unsettled(booking: &Booking) -> bool {
    misses_refunds(booking)
        || booking.refunds.iter().any(refund_moves)
        || booking.disputes.iter().any(dispute_moves)
}

fn refund_moves(refund: &Refund) -> bool {
    match refund.status {
        RefundStatus::Pending | RefundStatus::RequiresAction => true,
        RefundStatus::Succeeded | RefundStatus::Canceled | RefundStatus::Failed => false,
    }
}

fn dispute_moves(dispute: &Dispute) -> bool {
    match dispute.status {
        DisputeStatus::WarningNeedsResponse
        | DisputeStatus::WarningUnderReview
        | DisputeStatus::NeedsResponse
        | DisputeStatus::UnderReview
        | DisputeStatus::AppealNeedsResponse
        | DisputeStatus::AppealUnderReview => true,
        DisputeStatus::WarningClosed
        | DisputeStatus::Prevented
        | DisputeStatus::Lost
        | DisputeStatus::LostAppeal
        | DisputeStatus::Won => false,
    }
}

/// A span of Stripe's time that is read in one go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Its first second.
    pub from: i64,
    /// The second after its last.
    pub until: i64,
}

impl Window {
    /// Its two halves; none if it is a single second.
    #[must_use]
    pub fn halves(self) -> Option<(Self, Self)> {
        let middle = self.from + (self.until - self.from) / 2;
        (middle > self.from).then_some((Self { until: middle, ..self }, Self { from: middle, ..self }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_halved_until_it_is_a_second() {
        let (older, newer) = Window { from: 10, until: 15 }.halves().unwrap();
        assert_eq!((older.from, older.until, newer.from, newer.until), (10, 12, 12, 15));
        assert_eq!(Window { from: 10, until: 11 }.halves(), None);
    }
}
