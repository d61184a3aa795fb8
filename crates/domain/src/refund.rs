//! Giving money back: what may be asked for, and what is to be done about a request whose fate is not known.

use clock::Timestamp;
use std::time::Duration;

/// Stripe keeps idempotency keys for a day at least. What is not in its list by then was not made.
const GIVEN_UP: Duration = Duration::from_secs(23 * 3600);

/// How far a refund request has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestState {
    /// Stripe is being asked, or it is not known what it did.
    Open,
    /// Stripe made the refund.
    Done,
    /// Stripe surely did not, and is not asked any more.
    Refused,
}

impl RequestState {
    /// Every state.
    pub const ALL: [Self; 3] = [Self::Open, Self::Done, Self::Refused];

    /// As the database and the API write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Done => "done",
            Self::Refused => "refused",
        }
    }

    /// From its exact text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

/// Who takes up a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attempt {
    /// Whoever has just written it down: nobody can have sent it before.
    First,
    /// Somebody after them. The request may have been sent and made, however few tries are counted: the process
    /// may have died before it could count, or the row may be from a backup.
    Resumed,
}

/// What is known of a request at Stripe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// Its list was not read.
    NotLooked,
    /// Its list has the refund.
    Made,
    /// Its list was read, and does not have it.
    NotMade,
}

/// What is to be done next about a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Read Stripe's list first.
    Look,
    /// Record the refund that is there.
    Record,
    /// Send it.
    Send,
    /// Stop asking: Stripe has forgotten the key under which it would be one and the same.
    GiveUp,
}

/// What is to be done about a request made at `created_at`. It is sent only by who has just written it down, or
/// after a look at Stripe's list: never twice blindly.
#[must_use]
pub fn next(attempt: Attempt, seen: Seen, created_at: Timestamp, now: Timestamp) -> Next {
    match (attempt, seen) {
        (_, Seen::Made) => Next::Record,
        (Attempt::First, Seen::NotLooked) => Next::Send,
        (Attempt::Resumed, Seen::NotLooked) => Next::Look,
        (_, Seen::NotMade) if now.since(created_at) > GIVEN_UP => Next::GiveUp,
        (_, Seen::NotMade) => Next::Send,
    }
}

/// What is left of a payment: `gone` has gone back or is recorded to, `under_way` was asked for and is not known to
/// be made.
#[must_use]
pub fn left(paid: i64, gone: i64, under_way: i64) -> i64 {
    paid.saturating_sub(gone).saturating_sub(under_way)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_never_sent_again_without_a_look() {
        let made = Timestamp::from_unix_seconds(1_795_000_000);
        for hours in [0_u64, 1, 22, 24, 25, 24 * 365] {
            let now = made.plus(Duration::from_secs(hours * 3600));
            assert_eq!(next(Attempt::Resumed, Seen::NotLooked, made, now), Next::Look, "after {hours} h");
            assert_eq!(next(Attempt::Resumed, Seen::Made, made, now), Next::Record);
            let not_made = next(Attempt::Resumed, Seen::NotMade, made, now);
            assert_eq!(not_made, if hours < 23 { Next::Send } else { Next::GiveUp });
        }
        assert_eq!(next(Attempt::First, Seen::NotLooked, made, made), Next::Send);
    }

    #[test]
    fn what_was_not_made_within_23_hours_is_given_up() {
        let made = Timestamp::from_unix_seconds(1_795_000_000);
        for (late, done) in [(0, Next::Send), (1, Next::GiveUp)] {
            let now = made.plus(GIVEN_UP).plus(Duration::from_micros(late));
            assert_eq!(next(Attempt::Resumed, Seen::NotMade, made, now), done);
        }
    }

    #[test]
    fn every_state_keeps_its_exact_text() {
        assert_eq!(RequestState::ALL.map(RequestState::as_str), ["open", "done", "refused"]);
        for state in RequestState::ALL {
            assert_eq!(RequestState::parse(state.as_str()), Some(state));
        }
        assert_eq!(RequestState::parse("made"), None);
    }

    #[test]
    fn nothing_is_left_of_what_is_gone_or_under_way() {
        assert_eq!(left(6000, 1000, 2000), 3000);
        assert_eq!(left(6000, 6000, 0), 0);
        assert!(left(6000, 4000, 4000) < 0);
        assert_eq!(left(i64::MIN, i64::MAX, i64::MAX), i64::MIN);
    }
}
