//! Slots: a local date and time at which an offer can be booked.

use clock::Timestamp;
use jiff::civil::{Date, Time};
use jiff::tz::{AmbiguousOffset, TimeZone};
use std::fmt;

/// A date `YYYY-MM-DD` and a time `HH:MM` in the business's time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot {
    date: Date,
    time: Time,
}

/// Why a text is no bookable slot. The text completes a sentence that names the member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SlotError {
    /// Not a calendar date in the one accepted form.
    #[error("must be a date as YYYY-MM-DD")]
    BadDate,
    /// Not a time of day in the one accepted form.
    #[error("must be a time as HH:MM, from 00:00 to 23:59")]
    BadTime,
    /// The clocks go forward over it.
    #[error("does not exist on that day, because the clocks go forward")]
    SkippedByClockChange,
    /// It has begun already.
    #[error("must be in the future")]
    Past,
}

impl Slot {
    /// From the two texts of a request or a row.
    ///
    /// # Errors
    /// [`SlotError::BadDate`] or [`SlotError::BadTime`].
    pub fn parse(date: &str, time: &str) -> Result<Self, SlotError> {
        Ok(Self { date: Self::parse_date(date)?, time: Self::parse_time(time)? })
    }

    /// A date in the form `YYYY-MM-DD`.
    ///
    /// # Errors
    /// [`SlotError::BadDate`].
    pub fn parse_date(text: &str) -> Result<Date, SlotError> {
        match text.as_bytes() {
            [y @ .., b'-', m1, m2, b'-', d1, d2]
                if y.len() == 4 && y.iter().chain([m1, m2, d1, d2]).all(u8::is_ascii_digit) =>
            {
                text.parse().map_err(|_| SlotError::BadDate)
            }
            _ => Err(SlotError::BadDate),
        }
    }

    /// A time in the form `HH:MM`.
    ///
    /// # Errors
    /// [`SlotError::BadTime`].
    pub fn parse_time(text: &str) -> Result<Time, SlotError> {
        match text.as_bytes() {
            [h1, h2, b':', m1, m2] if [h1, h2, m1, m2].iter().all(|b| b.is_ascii_digit()) => {
                text.parse().map_err(|_| SlotError::BadTime)
            }
            _ => Err(SlotError::BadTime),
        }
    }

    /// The local date.
    #[must_use]
    pub fn date(&self) -> Date {
        self.date
    }

    /// The local time, to the minute.
    #[must_use]
    pub fn time(&self) -> Time {
        self.time
    }

    /// `HH:MM`, as requests, answers and rows write it.
    #[must_use]
    pub fn time_text(&self) -> String {
        format!("{:02}:{:02}", self.time.hour(), self.time.minute())
    }

    /// When the slot begins in `zone`. A time that the clocks pass twice means the first time.
    ///
    /// # Errors
    /// [`SlotError::SkippedByClockChange`] for a time that does not exist on that day.
    pub fn starts_at(&self, zone: &TimeZone) -> Result<Timestamp, SlotError> {
        let ambiguous = zone.to_ambiguous_timestamp(self.date.to_datetime(self.time));
        let instant = match ambiguous.offset() {
            AmbiguousOffset::Gap { .. } => return Err(SlotError::SkippedByClockChange),
            AmbiguousOffset::Unambiguous { .. } | AmbiguousOffset::Fold { .. } => ambiguous.earlier(),
        };
        instant.map(|at| Timestamp::from_micros(at.as_microsecond())).map_err(|_| SlotError::BadDate)
    }

    /// When the slot begins, if it can be booked at `now`.
    ///
    /// # Errors
    /// As [`Slot::starts_at`], and [`SlotError::Past`].
    pub fn bookable_at(&self, zone: &TimeZone, now: Timestamp) -> Result<Timestamp, SlotError> {
        let starts_at = self.starts_at(zone)?;
        if starts_at <= now { Err(SlotError::Past) } else { Ok(starts_at) }
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.date, self.time_text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paris() -> TimeZone {
        TimeZone::get("Europe/Paris").unwrap()
    }

    #[test]
    fn only_the_one_form_of_date_and_time_is_taken() {
        assert_eq!(Slot::parse("2027-02-28", "09:00").unwrap().to_string(), "2027-02-28 09:00");
        for date in
            ["2027-02-29", "27-02-28", "2027-2-28", "+002027-02-28", "2027-02-28T00:00", "", "2027/02/28"]
        {
            assert_eq!(Slot::parse(date, "09:00"), Err(SlotError::BadDate), "{date:?}");
        }
        for time in ["9:00", "24:00", "12:60", "12:00:00", "12h00", "", "noon!"] {
            assert_eq!(Slot::parse("2027-02-28", time), Err(SlotError::BadTime), "{time:?}");
        }
    }

    #[test]
    fn a_time_that_the_clock_change_skips_is_refused_and_one_it_repeats_means_the_first() {
        let skipped = Slot::parse("2027-03-28", "02:30").unwrap();
        assert_eq!(skipped.starts_at(&paris()), Err(SlotError::SkippedByClockChange));
        let repeated = Slot::parse("2027-10-31", "02:30").unwrap();
        assert_eq!(repeated.starts_at(&paris()).unwrap().to_string(), "2027-10-31T00:30:00Z");
    }

    #[test]
    fn a_slot_is_bookable_until_it_begins() {
        let slot = Slot::parse("2027-01-15", "10:00").unwrap();
        let start = slot.starts_at(&paris()).unwrap();
        assert_eq!(start.to_string(), "2027-01-15T09:00:00Z");
        let second = std::time::Duration::from_secs(1);
        assert_eq!(slot.bookable_at(&paris(), start.minus(second)), Ok(start));
        assert_eq!(slot.bookable_at(&paris(), start), Err(SlotError::Past));
    }
}
