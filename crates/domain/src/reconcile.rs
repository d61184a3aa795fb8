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
    use crate::booking::Payment;
    use crate::ids::{DisputeId, PaymentIntentId, RefundId, SessionId};

    /// Seconds after the hold of the booking ended; before it, if negative.
    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_seconds(Booking::sample().hold_expires_at.as_unix_seconds() + seconds)
    }

    fn after(seconds: u64) -> Option<Duration> {
        Some(Duration::from_secs(seconds))
    }

    fn paid() -> Booking {
        let session = SessionId::parse("cs_1").unwrap();
        let progress = Progress::Paid(Payment { session, intent: intent(), amount: 6000, at: at(0) });
        Booking { progress, ..Booking::sample() }
    }

    fn intent() -> Option<PaymentIntentId> {
        Some(PaymentIntentId::parse("pi_1").unwrap())
    }

    fn refunded(amount: i64, status: RefundStatus) -> Booking {
        let id = RefundId::parse("re_1").unwrap();
        Booking { refunds: vec![Refund { id, intent: intent(), amount, status }], ..paid() }
    }

    fn disputed(status: DisputeStatus) -> Booking {
        let id = DisputeId::parse("dp_1").unwrap();
        let currency = Some("eur".to_owned());
        let dispute = Dispute { id, intent: intent(), amount: 6000, currency, status, due_by: None };
        Booking { disputes: vec![dispute], ..paid() }
    }

    #[test]
    fn an_unpaid_booking_is_asked_about_until_its_hold_has_ended_and_then_more_and_more_seldom() {
        let hold = Booking::sample();
        for (now, wait) in [
            (-2100, 300),
            (-300, 300),
            // The last question before the end is at the end.
            (-100, 110),
            (9, 1),
            // Overdue: a minute at least, then half as long again, then every six hours.
            (10, 60),
            (130, 60),
            (1010, 500),
            (43_210, 21_600),
            (500_000, 21_600),
        ] {
            let next = next_check(&hold, at(now)).map(|next| next.since(at(now)));
            assert_eq!(next, after(wait), "{now} s after its hold");
        }
    }

    #[test]
    fn a_delayed_payment_is_asked_about_by_its_age() {
        let booking = Booking { progress: Progress::Processing, ..Booking::sample() };
        for (age, wait) in [(0, 600), (6000, 600), (60_000, 6000), (432_000, 43_200), (5_000_000, 43_200)] {
            let now = booking.created_at.plus(Duration::from_secs(age));
            assert_eq!(next_check(&booking, now).map(|next| next.since(now)), after(wait), "{age} s old");
        }
    }

    #[test]
    fn a_paid_booking_is_asked_about_while_money_may_move() {
        use DisputeStatus as D;
        use RefundStatus as R;
        let charged = |booking| Booking { charge_refunded: 1000, ..booking };
        for (booking, asked) in [
            (paid(), false),
            (refunded(1000, R::Pending), true),
            (refunded(1000, R::RequiresAction), true),
            (refunded(1000, R::Succeeded), false),
            (refunded(1000, R::Canceled), false),
            (refunded(1000, R::Failed), false),
            // The charge says more than the refunds that are known.
            (charged(paid()), true),
            (charged(refunded(999, R::Succeeded)), true),
            (charged(refunded(1000, R::Succeeded)), false),
            (disputed(D::WarningNeedsResponse), true),
            (disputed(D::WarningUnderReview), true),
            (disputed(D::NeedsResponse), true),
            (disputed(D::UnderReview), true),
            (disputed(D::AppealNeedsResponse), true),
            (disputed(D::AppealUnderReview), true),
            (disputed(D::WarningClosed), false),
            (disputed(D::Prevented), false),
            (disputed(D::Lost), false),
            (disputed(D::LostAppeal), false),
            (disputed(D::Won), false),
        ] {
            let next = next_check(&booking, at(0)).map(|next| next.since(at(0)));
            assert_eq!(next, after(6 * 3600).filter(|_| asked), "{booking:?}");
        }
    }

    #[test]
    fn what_changed_is_looked_after_once_and_what_has_ended_is_not() {
        let updated = |progress| Booking { progress, updated_at: at(0), ..Booking::sample() };
        for progress in [Progress::Expired, Progress::Failed, Progress::Cancelled] {
            let ended = updated(progress);
            assert_eq!((check_after_change(&ended), next_check(&ended, at(0))), (None, None));
        }
        for (booking, wait) in [
            (updated(Progress::Pending), 300),
            (updated(Progress::Processing), 300),
            (updated(paid().progress), 120),
            // The refunds of which the charge tells are listed at once.
            (Booking { charge_refunded: 1, ..updated(paid().progress) }, 0),
        ] {
            let next = check_after_change(&booking).map(|next| next.since(booking.updated_at));
            assert_eq!(next, after(wait), "{:?}", booking.progress);
        }
    }

    #[test]
    fn a_session_is_surely_over_a_day_after_the_hold() {
        assert!(!is_surely_over(&Booking::sample(), at(86_399)));
        assert!(is_surely_over(&Booking::sample(), at(86_400)));
    }

    #[test]
    fn a_window_is_halved_until_it_is_a_second() {
        let (older, newer) = Window { from: 10, until: 15 }.halves().unwrap();
        assert_eq!((older.from, older.until, newer.from, newer.until), (10, 12, 12, 15));
        let (older, newer) = Window { from: 10, until: 12 }.halves().unwrap();
        assert_eq!((older.from, older.until, newer.from, newer.until), (10, 11, 11, 12));
        assert_eq!(Window { from: 10, until: 11 }.halves(), None);
    }
}
