//! Whether a seat is left, and whether a booking may still get the session that was made for it.
//!
//! Both are judged on rows that are locked in the transaction that acts on the answer. Seats are counted,
//! against the capacity of now: that a *number* is free says nothing once a capacity was lowered.

use super::booking::{Booking, Progress};
use super::ids::SessionId;
use clock::Timestamp;

/// The seats of a slot, as they stand under its lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seats {
    /// How many may be taken now.
    pub capacity: i32,
    /// The numbers of those that are taken, whoever has them and whatever the capacity was then.
    pub taken: Vec<i32>,
}

impl Seats {
    /// How many can still be taken; none if more are taken than there are.
    #[must_use]
    pub fn left(&self) -> usize {
        usize::try_from(self.capacity).unwrap_or(0).saturating_sub(self.taken.len())
    }

    /// The seat of a booking that wants one: the one that it `held` all along, else the lowest free number if a
    /// seat is left. So for a new booking, a late payment, a refund that failed, and whatever a person decides.
    #[must_use]
    pub fn reserve(&self, held: Option<i32>) -> Option<i32> {
        held.or_else(|| {
            if self.left() == 0 {
                return None;
            }
            (1..=self.capacity).find(|seat| !self.taken.contains(seat))
        })
    }
}

/// What becomes of a session that Stripe has just made for a booking, which may have moved on meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attachment {
    /// The booking waits for it.
    Attach,
    /// It is the booking's own already: a webhook, or another request of the same caller, was faster.
    Attached,
    /// The booking waits with another session: this one is one too many, and is closed.
    Superseded,
    /// The booking is paid by another session, or its payment is on its way: this one is closed.
    Paid,
    /// Nobody waits any more, and the seat may be somebody else's: this one is closed.
    Ended,
}

/// What is to be done with `session`, made for `booking`.
#[must_use]
pub fn attach(booking: &Booking, session: &SessionId) -> Attachment {
    let own = booking.session.as_ref() == Some(session);
    match &booking.progress {
        Progress::Pending if booking.session.is_none() => Attachment::Attach,
        Progress::Pending | Progress::Processing | Progress::Paid(_) if own => Attachment::Attached,
        Progress::Pending => Attachment::Superseded,
        Progress::Processing | Progress::Paid(_) => Attachment::Paid,
        Progress::Expired | Progress::Failed | Progress::Cancelled => Attachment::Ended,
    }
}

/// The session that a booking leaves behind by going on with another: it is paid by that one, or its payment is on
/// its way, and the page of this one may still be open. It is closed, or the booking could be paid twice.
#[must_use]
pub fn left_behind<'b>(before: &'b Booking, after: &Booking) -> Option<&'b SessionId> {
    before.session.as_ref().filter(|own| after.session.as_ref() != Some(own))
}

/// The booking whose session Stripe has definitely refused to make: its seat is let go. None if it does not wait
/// for one any more.
#[must_use]
pub fn release_unattached(booking: &Booking, now: Timestamp) -> Option<Booking> {
    let waits = matches!(booking.progress, Progress::Pending) && booking.session.is_none();
    waits.then(|| Booking { progress: Progress::Expired, seat: None, updated_at: now, ..booking.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::booking::Payment;

    #[test]
    fn seats_are_counted_against_the_capacity_of_now() {
        for (capacity, taken, held, seat) in [
            (1, vec![], None, Some(1)),
            (1, vec![1], None, None),
            // Lowered from 3 to 2 with the first seat given back: two of two are taken.
            (2, vec![2, 3], None, None),
            // Lowered further than what is taken.
            (1, vec![1, 2, 3], None, None),
            // Room again below, with a high number still out.
            (2, vec![3], None, Some(1)),
            (3, vec![1, 3], None, Some(2)),
            (4, vec![1, 2, 9], None, Some(3)),
            // Raised.
            (3, vec![1, 2], None, Some(3)),
            // What was held all along is kept, whatever the capacity is now.
            (1, vec![1, 2], Some(2), Some(2)),
            (0, vec![], None, None),
            (-1, vec![], None, None),
        ] {
            let seats = Seats { capacity, taken: taken.clone() };
            assert_eq!(seats.reserve(held), seat, "{taken:?} of {capacity}, held {held:?}");
        }
    }

    fn session(id: &str) -> SessionId {
        SessionId::parse(id).unwrap()
    }

    fn booking(progress: Progress, own: Option<&str>) -> Booking {
        Booking { progress, session: own.map(session), ..Booking::sample() }
    }

    fn paid() -> Progress {
        let at = Timestamp::from_unix_seconds(1_795_000_100);
        Progress::Paid(Payment { session: session("cs_own"), intent: None, amount: 6000, at })
    }

    #[test]
    fn a_session_is_attached_only_to_a_booking_that_waits_for_it() {
        use Attachment::{Attach, Attached, Ended, Paid, Superseded};
        for (progress, without, own, another) in [
            (Progress::Pending, Attach, Attached, Superseded),
            (Progress::Processing, Paid, Attached, Paid),
            (paid(), Paid, Attached, Paid),
            (Progress::Expired, Ended, Ended, Ended),
            (Progress::Failed, Ended, Ended, Ended),
            (Progress::Cancelled, Ended, Ended, Ended),
        ] {
            let made = session("cs_own");
            for (known, verdict) in [(None, without), (Some("cs_own"), own), (Some("cs_other"), another)] {
                assert_eq!(
                    attach(&booking(progress.clone(), known), &made),
                    verdict,
                    "{progress:?} with {known:?}"
                );
            }
        }
    }

    #[test]
    fn what_is_left_behind_is_the_session_that_another_took_the_place_of() {
        for (before, after, left) in [
            (None, None, None),
            (None, Some("cs_1"), None),
            (Some("cs_1"), Some("cs_1"), None),
            (Some("cs_1"), Some("cs_2"), Some("cs_1")),
        ] {
            let (before, after) = (booking(Progress::Pending, before), booking(paid(), after));
            assert_eq!(left_behind(&before, &after), left.map(session).as_ref());
        }
    }

    #[test]
    fn only_a_booking_that_waits_for_its_session_is_let_go_when_there_will_be_none() {
        let now = Timestamp::from_unix_seconds(1_795_000_100);
        let released = release_unattached(&booking(Progress::Pending, None), now).unwrap();
        assert_eq!((released.progress, released.seat, released.updated_at), (Progress::Expired, None, now));
        assert_eq!(release_unattached(&booking(Progress::Pending, Some("cs_1")), now), None);
        for progress in [Progress::Processing, Progress::Expired, Progress::Cancelled, paid()] {
            assert_eq!(release_unattached(&booking(progress, None), now), None);
        }
    }

    #[test]
    fn however_a_capacity_moves_no_seat_is_sold_beyond_it() {
        // Every way to take, give back and change the capacity, four steps deep from every small start.
        fn explore(seats: &Seats, depth: u32) {
            if let Some(seat) = seats.reserve(None) {
                assert!(!seats.taken.contains(&seat), "seat {seat} is taken: {seats:?}");
                let mut after = seats.clone();
                after.taken.push(seat);
                assert!(i32::try_from(after.taken.len()).unwrap() <= seats.capacity, "{after:?}");
                if depth > 0 {
                    explore(&after, depth - 1);
                }
            } else {
                assert!(
                    i32::try_from(seats.taken.len()).unwrap() >= seats.capacity,
                    "room was refused: {seats:?}"
                );
            }
            if depth > 0 {
                for given_back in 0..seats.taken.len() {
                    let mut after = seats.clone();
                    after.taken.remove(given_back);
                    explore(&after, depth - 1);
                }
                for capacity in 1..4 {
                    explore(&Seats { capacity, ..seats.clone() }, depth - 1);
                }
            }
        }
        explore(&Seats { capacity: 1, taken: vec![] }, 6);
        explore(&Seats { capacity: 3, taken: vec![1, 2, 3] }, 5);
    }
}
