//! What of a booking's money is told in a month's list, and the month itself.

use crate::booking::{Booking, Dispute, Refund};
use clock::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use std::borrow::Cow;

/// A month of the business's calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Month {
    first: Date,
    end: Date,
}

impl Month {
    /// From exactly `YYYY-MM`, of the years in which there can be bookings and payments.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (year, month) = text.split_once('-')?;
        let digits =
            |text: &str, count| text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(year, 4) || !digits(month, 2) {
            return None;
        }
        let first = Date::new(year.parse().ok()?, month.parse().ok()?, 1).ok()?;
        let end = first.last_of_month().tomorrow().ok()?;
        (first.year() >= 2000).then_some(Self { first, end })
    }

    /// Its first day, and the first of the next month.
    #[must_use]
    pub fn days(self) -> (Date, Date) {
        (self.first, self.end)
    }

    /// When it begins and when the next one does, on the clocks of `zone`.
    #[must_use]
    pub fn times(self, zone: &TimeZone) -> Option<(Timestamp, Timestamp)> {
        let begins = |date: Date| {
            let midnight = zone.to_ambiguous_timestamp(date.at(0, 0, 0, 0)).compatible().ok()?;
            Some(Timestamp::from_micros(midnight.as_microsecond()))
        };
        Some((begins(self.first)?, begins(self.end)?))
    }
}

/// A kind of movement of money.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum MovementKind {
    /// A booking was paid.
    Payment,
    /// Money goes back.
    Refund,
    /// A bank took money back, or asks for it.
    Dispute,
}

impl MovementKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Payment, Self::Refund, Self::Dispute];

    /// As the list writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Payment => "payment",
            Self::Refund => "refund",
            Self::Dispute => "dispute",
        }
    }
}

/// What went out by a refund as it stands now, in minor units; 0 for one that came back, or is of another payment.
#[must_use]
pub fn out_by_refund(booking: &Booking, refund: &Refund) -> i64 {
    if booking.payment().is_some() && booking.counts(refund) { refund.amount } else { 0 }
}

/// What a bank has by a dispute as it stands now, in minor units of the booking's currency; 0 for one that is won, is
/// an inquiry, or of another payment or currency.
#[must_use]
pub fn out_by_dispute(booking: &Booking, dispute: &Dispute) -> i64 {
    let currency = dispute.currency.as_deref().unwrap_or(booking.price.currency.as_str());
    let ours = booking.payment().is_some()
        && booking.concerns_payment(dispute.intent.as_ref())
        && currency.eq_ignore_ascii_case(booking.price.currency.as_str());
    if ours && dispute.status.holds_the_money() { dispute.amount.max(0) } else { 0 }
}

/// A cell that no spreadsheet takes for a formula (OWASP, "CSV Injection"): what begins like one begins with an
/// apostrophe.
#[must_use]
pub fn cell(text: &str) -> Cow<'_, str> {
    match text.chars().next() {
        Some('=' | '+' | '-' | '@' | '\t' | '\r') => Cow::Owned(format!("'{text}")),
        _ => Cow::Borrowed(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_is_four_digits_a_dash_and_two() {
        for (text, days) in [
            ("2026-11", Some(("2026-11-01", "2026-12-01"))),
            ("2026-12", Some(("2026-12-01", "2027-01-01"))),
            ("2028-02", Some(("2028-02-01", "2028-03-01"))),
            ("2026-13", None),
            ("2026-00", None),
            ("2026-1", None),
            ("26-11", None),
            ("2026-11-01", None),
            ("2026-+1", None),
            ("9999-12", None),
            ("0001-01", None),
            ("", None),
            ("novembre", None),
        ] {
            let found = Month::parse(text).map(|month| {
                let (first, end) = month.days();
                (first.to_string(), end.to_string())
            });
            let days = days.map(|(first, end)| (first.to_owned(), end.to_owned()));
            assert_eq!(found, days, "{text}");
        }
    }

    #[test]
    fn a_month_begins_at_midnight_where_the_business_is() {
        let paris = TimeZone::get("Europe/Paris").unwrap();
        let (from, end) = Month::parse("2026-03").unwrap().times(&paris).unwrap();
        // 31 days and the hour of summer time.
        assert_eq!(end.since(from).as_secs(), (31 * 24 - 1) * 3600);
        assert_eq!(from.to_string(), "2026-02-28T23:00:00Z");
    }

    #[test]
    fn what_begins_like_a_formula_is_quoted() {
        for (text, safe) in [
            ("Ada", "Ada"),
            ("=1+1", "'=1+1"),
            ("+33 6", "'+33 6"),
            ("-1", "'-1"),
            ("@cmd", "'@cmd"),
            ("\t=1", "'\t=1"),
            ("\r=1", "'\r=1"),
            ("'=1", "'=1"),
            ("a=1", "a=1"),
            ("", ""),
        ] {
            assert_eq!(cell(text), safe);
        }
    }
}
