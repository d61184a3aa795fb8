//! How long to wait before trying again.

use std::time::Duration;

/// A wait that doubles with each failure, up to a longest one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
}

impl Backoff {
    /// `first` is the wait after the first failure.
    #[must_use]
    pub const fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest }
    }

    /// The wait after a failure that came after `failures` others. A count below zero, which no counter of ours
    /// reaches, is none.
    #[must_use]
    pub fn after(self, failures: i32) -> Duration {
        // The first wait is a millisecond at least: 2^31 times that is longer than any that is wanted.
        let doublings = u32::try_from(failures).unwrap_or(0).min(31);
        self.first.saturating_mul(1 << doublings).min(self.longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECONDS: fn(u64) -> Duration = Duration::from_secs;

    #[test]
    fn each_wait_is_twice_the_one_before_up_to_the_longest() {
        let waits = |first, longest| {
            let backoff = Backoff::new(SECONDS(first), SECONDS(longest));
            [0, 1, 2, 3, 6, 7, 30, 31, 32, i32::MAX].map(|failures| backoff.after(failures).as_secs())
        };
        assert_eq!(waits(10, 600), [10, 20, 40, 80, 600, 600, 600, 600, 600, 600]);
        assert_eq!(waits(5, 21_600), [5, 10, 20, 40, 320, 640, 21_600, 21_600, 21_600, 21_600]);
        assert_eq!(waits(60, 60), [60; 10], "a wait that does not grow");
        assert_eq!(waits(60, 30), [30; 10], "the longest counts");
        assert_eq!(waits(0, 30), [0; 10]);
    }

    #[test]
    fn no_count_is_too_small_or_too_large() {
        let backoff = Backoff::new(Duration::MAX, Duration::MAX);
        assert_eq!(backoff.after(i32::MAX), Duration::MAX);
        assert_eq!(Backoff::new(SECONDS(1), SECONDS(9)).after(-1), SECONDS(1));
        assert_eq!(Backoff::new(SECONDS(1), SECONDS(9)).after(i32::MIN), SECONDS(1));
    }
}
