//! How much one stranger may hold unpaid.
//!
//! A seat is held for half an hour without a payment, so whoever asks often enough could hold every seat of
//! the month. What is open is counted by where it comes from, by whose browser and for whose address.

/// The most unpaid bookings that are open at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HoldLimits {
    /// Of one client address.
    pub address: u32,
    /// Of one browser.
    pub browser: u32,
    /// For one e-mail address.
    pub email: u32,
}

/// How many are open now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OpenHolds {
    /// Of this client address.
    pub address: i64,
    /// Of this browser.
    pub browser: i64,
    /// For this e-mail address.
    pub email: i64,
}

/// What there are too many of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TooMany {
    /// Of one client address.
    Address,
    /// Of one browser.
    Browser,
    /// For one e-mail address.
    Email,
}

impl HoldLimits {
    /// Whether one more may be held.
    ///
    /// # Errors
    /// [`TooMany`]: what stands in the way first.
    pub fn admit(&self, open: OpenHolds) -> Result<(), TooMany> {
        let full = |count: i64, limit: u32| count >= i64::from(limit);
        if full(open.browser, self.browser) {
            Err(TooMany::Browser)
        } else if full(open.email, self.email) {
            Err(TooMany::Email)
        } else if full(open.address, self.address) {
            Err(TooMany::Address)
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_more_may_be_held_below_every_limit_and_none_at_one() {
        let limits = HoldLimits { address: 3, browser: 2, email: 1 };
        for ((address, browser, email), expected) in [
            ((0, 0, 0), Ok(())),
            ((2, 1, 0), Ok(())),
            ((3, 0, 0), Err(TooMany::Address)),
            ((0, 2, 0), Err(TooMany::Browser)),
            ((0, 0, 1), Err(TooMany::Email)),
            ((9, 9, 9), Err(TooMany::Browser)),
        ] {
            assert_eq!(limits.admit(OpenHolds { address, browser, email }), expected);
        }
    }
}
