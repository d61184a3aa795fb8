//! When it is open: weekly hours, closing days, public holidays, notice and horizon, and the one rule that says
//! what can be booked.
//!
//! Who has set no hours is open at any time, as a service without a calendar is: closing days, holidays, notice and
//! horizon hold all the same. Whether a seat is left is not decided here but by [`Occupied`] and the database.

use super::Fault;
use super::holidays::Holidays;
use super::lang::{Lang, Words};
use super::offer::Offer;
use super::slot::Slot;
use clock::Timestamp;
use jiff::civil::{Date, Time, Weekday};
use jiff::tz::TimeZone;
use jiff::{ToSpan, Unit};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// Minutes of a day.
const DAY: u16 = 24 * 60;
/// The most openings of one day: a few breaks, not a list of slots.
const MAX_OPENINGS: usize = 12;
/// The most closing days and ranges that are kept.
pub const MAX_CLOSED: usize = 200;
/// The longest notice, in minutes: sixty days.
pub const MAX_NOTICE: u32 = 60 * 24 * 60;
/// The farthest horizon, in days: five years.
pub const MAX_HORIZON: u32 = 5 * 366;
/// The longest note of a closing day, in characters.
const MAX_NOTE: usize = 120;
/// The hours that a storefront shows if nobody has said when it is open.
const USUAL: std::ops::RangeInclusive<i8> = 9..=18;

/// From one minute of a day to another: `09:00-12:30`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Opening {
    from: u16,
    to: u16,
}

impl Opening {
    /// From a text such as `9:00-12:30`, `9h–12h30`, `9h à 12h` or `9am to 12.30pm`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (from, to) = text.split_once('-')?;
        let opening = Self { from: minute_of(from, false)?, to: minute_of(to, true)? };
        (opening.from < opening.to).then_some(opening)
    }

    fn overlaps(self, other: Self) -> bool {
        self.from < other.to && other.from < self.to
    }
}

impl fmt::Display for Opening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (from, to) = (self.from, self.to);
        write!(f, "{:02}:{:02}-{:02}:{:02}", from / 60, from % 60, to / 60, to % 60)
    }
}

impl Serialize for Opening {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Opening {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("not an opening"))
    }
}

/// A time of day as people type it: `9:00`, `9h30`, `9 h`, `10.00`, `9`, `2pm`. `24:00` only where a day may end.
#[must_use]
pub fn minute_of(text: &str, ends: bool) -> Option<u16> {
    let text: String = text.trim().to_lowercase().chars().filter(|c| !c.is_whitespace()).collect();
    let (text, half) = match (text.strip_suffix("am"), text.strip_suffix("pm")) {
        (Some(text), _) => (text.to_owned(), Some(0)),
        (_, Some(text)) => (text.to_owned(), Some(12)),
        _ => (text, None),
    };
    let (hours, minutes) = match text.split_once([':', 'h', '.', ',']) {
        Some((hours, "")) if text.ends_with('h') => (hours, "00"),
        Some((hours, minutes)) => (hours, minutes.strip_suffix("min").unwrap_or(minutes)),
        None => (text.as_str(), "00"),
    };
    let number = |digits: &str, most: usize| -> Option<u16> {
        let sound = (1..=most).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
        sound.then(|| digits.parse().ok()).flatten()
    };
    let (hours, minutes) = (number(hours, 2)?, number(minutes, 2).filter(|_| minutes.len() == 2)?);
    let hours = match half {
        Some(half) if (1..=12).contains(&hours) => hours % 12 + half,
        Some(_) => return None,
        None => hours,
    };
    let minute = hours * 60 + minutes;
    (minutes < 60 && (minute < DAY || (ends && minute == DAY))).then_some(minute)
}

/// The time of day in a text as people type it, as `HH:MM`.
#[must_use]
pub fn time_of(text: &str) -> Option<String> {
    minute_of(text, false).map(|minute| format!("{:02}:{:02}", minute / 60, minute % 60))
}

/// The openings in a text as people type it, one after the other: `9h-12h, 14h-18h`.
///
/// # Errors
/// The part that cannot be read.
pub fn openings_of(text: &str) -> Result<Vec<Opening>, String> {
    let mut plain = text.to_lowercase();
    for dash in ["–", "—", "−", " à ", " to ", " bis ", "→"] {
        plain = plain.replace(dash, "-");
    }
    for comma in [";", " et ", " and ", "\n", "\r", "+", "/"] {
        plain = plain.replace(comma, ",");
    }
    // A comma separates hours from minutes for nobody, so it separates openings here.
    let mut openings = Vec::new();
    for part in plain.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        match Opening::parse(part) {
            Some(opening) => openings.push(opening),
            // `9:00-12:00 14:00-18:00`, with nothing but a blank between them.
            None => {
                let tight = part.replace(" -", "-").replace("- ", "-").replace(" h", "h");
                for piece in tight.split_whitespace() {
                    openings.push(
                        Opening::parse(piece).ok_or_else(|| part.chars().take(40).collect::<String>())?,
                    );
                }
            }
        }
    }
    Ok(openings)
}

/// The openings of each day of a week.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)] // each name says what it is
pub struct Week {
    #[serde(default)]
    pub monday: Vec<Opening>,
    #[serde(default)]
    pub tuesday: Vec<Opening>,
    #[serde(default)]
    pub wednesday: Vec<Opening>,
    #[serde(default)]
    pub thursday: Vec<Opening>,
    #[serde(default)]
    pub friday: Vec<Opening>,
    #[serde(default)]
    pub saturday: Vec<Opening>,
    #[serde(default)]
    pub sunday: Vec<Opening>,
}

impl Week {
    /// The days' names in the API, Monday first.
    pub const DAYS: [&'static str; 7] =
        ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];

    /// What belongs to each of [`Week::DAYS`].
    #[must_use]
    pub fn days(&self) -> [&Vec<Opening>; 7] {
        [
            &self.monday,
            &self.tuesday,
            &self.wednesday,
            &self.thursday,
            &self.friday,
            &self.saturday,
            &self.sunday,
        ]
    }

    /// The same, to be changed.
    pub fn days_mut(&mut self) -> [&mut Vec<Opening>; 7] {
        [
            &mut self.monday,
            &mut self.tuesday,
            &mut self.wednesday,
            &mut self.thursday,
            &mut self.friday,
            &mut self.saturday,
            &mut self.sunday,
        ]
    }

    fn on(&self, day: Weekday) -> &[Opening] {
        let index = usize::try_from(day.to_monday_zero_offset()).unwrap_or(0);
        self.days().get(index).map_or(&[], |openings| openings.as_slice())
    }
}

/// Days on which it is closed, the first and the last included.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Closed {
    /// The first day, `YYYY-MM-DD`.
    pub from: Date,
    /// The last day; the first one, if only that.
    pub to: Date,
    /// Why, for the team.
    #[serde(default)]
    pub note: String,
}

impl Closed {
    /// From a line as people type it: `2026-12-24`, `2026-12-24 2026-12-31 Noël`, `24/12/2026-31/12/2026`.
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        let mut rest = line.trim();
        let from = take_date(&mut rest)?;
        for joint in ["..", "–", "—", "→", "- ", "au ", "to ", "-"] {
            if let Some(after) = rest.trim_start().strip_prefix(joint) {
                rest = after;
                break;
            }
        }
        let mut after = rest.trim_start();
        let to = match take_date(&mut after) {
            Some(to) => {
                rest = after;
                to
            }
            None => from,
        };
        let note = rest.trim_start_matches([' ', '\t', ':', ',', ';']).trim_end().to_owned();
        Some(Self { from, to, note })
    }
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.from)?;
        if self.to != self.from {
            write!(f, " {}", self.to)?;
        }
        if self.note.is_empty() { Ok(()) } else { write!(f, " {}", self.note) }
    }
}

/// A date at the beginning of a text, as a calendar writes it or as it is written in French.
fn take_date(text: &mut &str) -> Option<Date> {
    let word = text.get(..10).filter(|_| text.is_char_boundary(10))?;
    let rest = text.get(10..)?;
    if rest.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let date = Slot::parse_date(word).ok().or_else(|| {
        let (day, rest) = word.split_once(['/', '.'])?;
        let (month, year) = rest.split_once(['/', '.'])?;
        Slot::parse_date(&format!("{year}-{month}-{day}")).ok()
    })?;
    *text = rest;
    Some(date)
}

/// What an owner decides about when something can be booked: for the whole house, or for one offer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Calendar {
    /// The hours of each day of the week; none if they were not set: then any hour, and for an offer the house's.
    #[serde(default)]
    pub weekly: Option<Week>,
    /// Days on which it is closed.
    #[serde(default)]
    pub closed: Vec<Closed>,
    /// Public holidays on which it is closed. Of the house only.
    #[serde(default)]
    pub holidays: Option<Holidays>,
    /// How long before its beginning a slot can be booked last, in minutes; none for an offer: the house's.
    #[serde(default)]
    pub notice_minutes: Option<u32>,
    /// How far ahead a day can be booked; none: any day, for an offer the house's.
    #[serde(default)]
    pub horizon_days: Option<u32>,
}

impl Calendar {
    /// Everything that is wrong with it.
    #[must_use]
    pub fn faults(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        for (name, openings) in Week::DAYS.iter().zip(self.weekly.iter().flat_map(Week::days)) {
            if openings.len() > MAX_OPENINGS {
                let text = format!("must have at most {MAX_OPENINGS} openings");
                faults.push(Fault::coded(format!("weekly.{name}"), "openings", text));
            }
            let mut sorted = openings.clone();
            sorted.sort_unstable();
            if let Some(pair) = sorted.windows(2).find(|pair| pair[0].overlaps(pair[1])) {
                let text = format!("must not overlap, as {} and {} do", pair[0], pair[1]);
                faults.push(Fault::coded(format!("weekly.{name}"), "overlap", text));
            }
        }
        if self.closed.len() > MAX_CLOSED {
            faults.push(Fault::coded("closed", "closed", format!("must have at most {MAX_CLOSED} entries")));
        }
        for closed in &self.closed {
            if closed.to < closed.from {
                let text = format!("must not end before they begin, as {} to {} do", closed.from, closed.to);
                faults.push(Fault::coded("closed", "closed_order", text));
            }
            let note = &closed.note;
            if note.chars().count() > MAX_NOTE || note.chars().any(char::is_control) {
                let text = format!("must have notes of at most {MAX_NOTE} printable characters");
                faults.push(Fault::coded("closed", "closed_note", text));
            }
        }
        if self.notice_minutes.is_some_and(|minutes| minutes > MAX_NOTICE) {
            faults.push(Fault::coded("noticeMinutes", "notice", format!("must be from 0 to {MAX_NOTICE}")));
        }
        if self.horizon_days.is_some_and(|days| !(1..=MAX_HORIZON).contains(&days)) {
            faults.push(Fault::coded("horizonDays", "horizon", format!("must be from 1 to {MAX_HORIZON}")));
        }
        faults
    }

    /// In order, so that the same hours are always the same text.
    #[must_use]
    pub fn sorted(mut self) -> Self {
        for openings in self.weekly.iter_mut().flat_map(Week::days_mut) {
            openings.sort_unstable();
        }
        self.closed.sort_by(|a, b| (a.from, a.to, &a.note).cmp(&(b.from, b.to, &b.note)));
        self
    }
}

/// Which rule keeps a slot from being booked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// A closing day.
    Closed,
    /// A public holiday.
    Holiday(Words),
    /// Not within the hours of that day, with all that it takes.
    OutsideHours,
    /// Not one of the times at which it begins.
    NotOnGrid,
    /// It begins too soon.
    TooSoon {
        /// The notice that is asked for, in minutes.
        notice: u32,
    },
    /// It is too far ahead.
    TooFar {
        /// How many days ahead can be booked.
        days: u32,
    },
}

impl Refusal {
    /// As a fault of the request.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Closed => Fault::coded("date", "closed_day", "is a closing day"),
            Self::Holiday(name) => {
                Fault::coded("date", "holiday", format!("is a public holiday: {}", name.pick(Lang::En)))
            }
            Self::OutsideHours => {
                Fault::coded("time", "outside_hours", "is outside the opening hours of that day")
            }
            Self::NotOnGrid => Fault::coded("time", "not_on_grid", "must be one of the times of this offer"),
            Self::TooSoon { notice } => Fault::coded(
                "time",
                "too_soon",
                format!("is too soon: book at least {notice} minutes before the beginning"),
            ),
            Self::TooFar { days } => Fault::coded(
                "date",
                "too_far",
                format!("is too far ahead: at most {days} days can be booked"),
            ),
        }
    }
}

/// Everything that says when an offer can be booked.
#[derive(Debug, Clone, Copy)]
pub struct Rules<'a> {
    /// The whole house's.
    pub house: &'a Calendar,
    /// The offer's own.
    pub own: &'a Calendar,
    /// The offer: its times, how long it takes, from one beginning to the next.
    pub offer: &'a Offer,
    /// Where the house is.
    pub zone: &'a TimeZone,
}

impl Rules<'_> {
    fn week(&self) -> Option<&Week> {
        self.own.weekly.as_ref().or(self.house.weekly.as_ref())
    }

    /// Whether bookings that overlap in time are in each other's way: as soon as somebody has said when it is open,
    /// or what it needs. Without either, every time is a slot of its own.
    #[must_use]
    pub fn overlaps_count(&self) -> bool {
        self.offer.resource.is_some() || self.week().is_some()
    }

    /// How long it takes.
    #[must_use]
    pub fn takes(&self) -> Duration {
        Duration::from_secs(u64::try_from(self.offer.duration).unwrap_or(60) * 60)
    }

    /// The times at which it can begin on a day, by its hours alone, each `HH:MM`.
    #[must_use]
    pub fn times(&self, day: Date) -> Vec<String> {
        if self.closed(day).is_some() {
            return Vec::new();
        }
        let text = |minute: u16| format!("{:02}:{:02}", minute / 60, minute % 60);
        let grid = || self.offer.grid.iter().map(|time| minute(*time));
        let Some(week) = self.week() else {
            return match self.offer.grid.is_empty() {
                true => USUAL.map(|hour| format!("{hour:02}:00")).collect(),
                false => grid().map(text).collect(),
            };
        };
        let openings = week.on(day.weekday());
        if !self.offer.grid.is_empty() {
            return grid().filter(|from| self.fits(openings, *from)).map(text).collect();
        }
        let step = u16::try_from(self.offer.step.unwrap_or(self.offer.duration)).unwrap_or(60).max(1);
        let mut sorted = openings.to_vec();
        sorted.sort_unstable();
        let mut times = Vec::new();
        for opening in sorted {
            let mut from = opening.from;
            while self.ends(from) <= u32::from(opening.to) {
                times.push(text(from));
                from = from.saturating_add(step);
            }
        }
        times
    }

    fn ends(&self, from: u16) -> u32 {
        u32::from(from) + u32::try_from(self.offer.duration).unwrap_or(60)
    }

    fn fits(&self, openings: &[Opening], from: u16) -> bool {
        openings.iter().any(|opening| opening.from <= from && self.ends(from) <= u32::from(opening.to))
    }

    fn closed(&self, day: Date) -> Option<Refusal> {
        let mut closed = self.house.closed.iter().chain(&self.own.closed);
        if closed.any(|closed| closed.from <= day && day <= closed.to) {
            return Some(Refusal::Closed);
        }
        self.house.holidays.and_then(|holidays| holidays.on(day)).map(Refusal::Holiday)
    }

    /// The last day that can be booked, if there is a horizon.
    #[must_use]
    pub fn last_day(&self, now: Timestamp) -> Option<Date> {
        let days = self.own.horizon_days.or(self.house.horizon_days)?;
        let today = self.zone.to_datetime(now.to_jiff()).date();
        Some(today.saturating_add(i64::from(days).days()))
    }

    /// Whether a slot in the future can be booked now. Whether a seat is left is another question.
    ///
    /// # Errors
    /// The first [`Refusal`] that holds.
    pub fn judge(&self, slot: &Slot, starts_at: Timestamp, now: Timestamp) -> Result<(), Refusal> {
        if let Some(refusal) = self.closed(slot.date()) {
            return Err(refusal);
        }
        if self.last_day(now).is_some_and(|last| slot.date() > last) {
            let days = self.own.horizon_days.or(self.house.horizon_days).unwrap_or(0);
            return Err(Refusal::TooFar { days });
        }
        if !self.offer.grid.is_empty() && !self.offer.grid.contains(&slot.time()) {
            return Err(Refusal::NotOnGrid);
        }
        if let Some(week) = self.week() {
            let openings = week.on(slot.date().weekday());
            if !self.fits(openings, minute(slot.time())) {
                return Err(Refusal::OutsideHours);
            }
            if !self.times(slot.date()).contains(&slot.time_text()) {
                return Err(Refusal::NotOnGrid);
            }
        }
        let notice = self.own.notice_minutes.or(self.house.notice_minutes).unwrap_or(0);
        if starts_at < now.plus(Duration::from_secs(u64::from(notice) * 60)) {
            return Err(Refusal::TooSoon { notice });
        }
        Ok(())
    }
}

fn minute(time: Time) -> u16 {
    u16::try_from(i32::from(time.hour()) * 60 + i32::from(time.minute())).unwrap_or(0)
}

/// Seats that are taken at one time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Occupied {
    /// Of which offer.
    pub offer: super::ids::OfferId,
    /// When.
    pub starts_at: Timestamp,
    /// How long, in minutes.
    pub minutes: i32,
    /// How many.
    pub seats: i64,
}

impl Occupied {
    fn ends_at(&self) -> Timestamp {
        self.starts_at.plus(Duration::from_secs(u64::try_from(self.minutes).unwrap_or(0) * 60))
    }
}

/// How many seats of `offer` are left at `starts_at`; `taken` is what is taken of it and of whatever needs the same
/// as it does. Below zero if more were sold than there are now.
///
/// Of other offers any overlap takes it whole: one person cannot be at two places. Of the same offer, each seat
/// that overlaps in time counts, at another beginning too.
#[must_use]
pub fn seats_left(rules: &Rules<'_>, starts_at: Timestamp, taken: &[Occupied]) -> i64 {
    let ends_at = starts_at.plus(rules.takes());
    let mut left = i64::from(rules.offer.capacity);
    for other in taken.iter().filter(|other| other.seats > 0) {
        let same_offer = other.offer == rules.offer.id;
        let same_slot = same_offer && other.starts_at == starts_at;
        let overlaps = other.starts_at < ends_at && starts_at < other.ends_at();
        if same_slot {
            left -= other.seats;
        } else if overlaps && rules.overlaps_count() {
            if same_offer && rules.offer.resource.is_none() {
                left -= other.seats;
            } else {
                return left.min(0);
            }
        }
    }
    left
}

/// The days from `from` to `to`, both included.
pub fn days(from: Date, to: Date) -> impl Iterator<Item = Date> {
    let count = from.until((Unit::Day, to)).map_or(0, |span| span.get_days());
    (0..=count.max(-1)).map(move |n| from.saturating_add(n.days()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::OfferId;
    use crate::money::{Currency, Money};

    fn paris() -> TimeZone {
        TimeZone::get("Europe/Paris").unwrap()
    }

    fn offer(duration: i32, step: Option<i32>) -> Offer {
        Offer {
            id: OfferId::parse("0193b5a0-0000-7000-8000-00000000000a").unwrap(),
            name: "Séance".to_owned(),
            price: Money { amount: 6000, currency: Currency::parse("eur").unwrap() },
            capacity: 1,
            active: true,
            grid: Vec::new(),
            duration,
            step,
            resource: None,
            created_at: Timestamp::from_unix_seconds(0),
            updated_at: Timestamp::from_unix_seconds(0),
        }
    }

    fn week(text: &str) -> Option<Week> {
        let mut week = Week::default();
        for day in week.days_mut() {
            *day = openings_of(text).unwrap();
        }
        Some(week)
    }

    fn slot(text: &str) -> (Slot, Timestamp) {
        let (date, time) = text.split_once(' ').unwrap();
        let slot = Slot::parse(date, time).unwrap();
        (slot, slot.starts_at(&paris()).unwrap())
    }

    #[test]
    fn times_are_taken_as_people_type_them() {
        for (text, expected) in [
            ("9:00", Some("09:00")),
            ("09:00", Some("09:00")),
            ("9h30", Some("09:30")),
            ("9 h 30", Some("09:30")),
            ("9H", Some("09:00")),
            ("10.00", Some("10:00")),
            ("9", Some("09:00")),
            ("18h05", Some("18:05")),
            ("2pm", Some("14:00")),
            ("2:30 PM", Some("14:30")),
            ("12am", Some("00:00")),
            ("12pm", Some("12:00")),
            ("23:59", Some("23:59")),
            ("24:00", None),
            ("25:00", None),
            ("9:60", None),
            ("9:5", None),
            ("", None),
            ("h", None),
            ("midi", None),
            ("13pm", None),
            ("-1:00", None),
            ("١:٠٠", None),
            ("9:00:00", None),
        ] {
            assert_eq!(time_of(text).as_deref(), expected, "{text:?}");
        }
    }

    #[test]
    fn openings_are_taken_as_people_type_them() {
        let written = |text: &str| {
            openings_of(text).map(|all| all.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
        };
        for (text, expected) in [
            ("9h-12h, 14h-18h", Ok("09:00-12:00 14:00-18:00")),
            ("9:00–12:30 14:00–18:00", Ok("09:00-12:30 14:00-18:00")),
            ("9 h 30 - 12 h et 14 h - 18 h", Ok("09:30-12:00 14:00-18:00")),
            ("9h à 12h ; 14h à 24h", Ok("09:00-12:00 14:00-24:00")),
            ("9am to 12pm and 2pm to 6pm", Ok("09:00-12:00 14:00-18:00")),
            ("9-12\n14-18", Ok("09:00-12:00 14:00-18:00")),
            ("", Ok("")),
            (" ; ", Ok("")),
            ("12h-9h", Err("12h-9h")),
            ("9h", Err("9h")),
            ("closed", Err("closed")),
            ("9h-9h", Err("9h-9h")),
        ] {
            assert_eq!(written(text), expected.map(str::to_owned).map_err(str::to_owned), "{text:?}");
        }
    }

    #[test]
    fn closing_days_are_taken_as_people_type_them() {
        for (text, expected) in [
            ("2026-12-24", Some("2026-12-24")),
            ("24/12/2026", Some("2026-12-24")),
            ("2026-12-24 2026-12-31 Noël", Some("2026-12-24 2026-12-31 Noël")),
            ("24/12/2026-31/12/2026", Some("2026-12-24 2026-12-31")),
            ("24/12/2026 au 31/12/2026 : congés", Some("2026-12-24 2026-12-31 congés")),
            ("2026-12-24 Christmas Eve", Some("2026-12-24 Christmas Eve")),
            ("2026-02-30", None),
            ("tomorrow", None),
            ("é\u{301}é\u{301}é", None),
            ("2026-12-2412", None),
        ] {
            assert_eq!(Closed::parse(text).map(|closed| closed.to_string()).as_deref(), expected, "{text:?}");
        }
    }

    #[test]
    fn hours_that_overlap_and_days_in_the_wrong_order_are_refused() {
        let touching = Calendar { weekly: week("9-12, 12-18"), ..Calendar::default() };
        assert_eq!(touching.faults(), []);
        let overlapping = Calendar { weekly: week("14-18, 9-14:30"), ..Calendar::default() };
        assert_eq!(overlapping.faults().len(), 7);
        assert_eq!(overlapping.faults()[0].path, "weekly.monday");
        let backwards = Closed::parse("2026-12-31 2026-12-24").unwrap();
        let wrong = Calendar {
            closed: vec![backwards],
            notice_minutes: Some(MAX_NOTICE + 1),
            horizon_days: Some(0),
            ..Calendar::default()
        };
        let paths: Vec<_> = wrong.faults().into_iter().map(|fault| fault.path).collect();
        assert_eq!(paths, ["closed", "noticeMinutes", "horizonDays"]);
    }

    #[test]
    fn a_day_offers_what_fits_between_its_breaks() {
        let (house, none, zone) = (
            Calendar { weekly: week("9-12, 14-15:30"), ..Calendar::default() },
            Calendar::default(),
            paris(),
        );
        let day = jiff::civil::date(2027, 1, 15);
        let times = |offer: &Offer, own: &Calendar| {
            Rules { house: &house, own, offer, zone: &zone }.times(day).join(" ")
        };
        assert_eq!(times(&offer(60, None), &none), "09:00 10:00 11:00 14:00");
        assert_eq!(times(&offer(45, None), &none), "09:00 09:45 10:30 11:15 14:00 14:45");
        assert_eq!(times(&offer(60, Some(30)), &none), "09:00 09:30 10:00 10:30 11:00 14:00 14:30");
        assert_eq!(times(&offer(240, None), &none), "");
        let own = Calendar { weekly: week("20-24"), ..Calendar::default() };
        assert_eq!(times(&offer(120, None), &own), "20:00 22:00");
        let mut with_grid = offer(60, None);
        with_grid.grid = ["09:15", "11:30", "14:30"].map(|time| Slot::parse_time(time).unwrap()).to_vec();
        assert_eq!(times(&with_grid, &none), "09:15 14:30");
        let never = Calendar { weekly: week(""), ..Calendar::default() };
        assert_eq!(times(&offer(60, None), &never), "");
    }

    #[test]
    fn each_rule_refuses_by_its_name() {
        let zone = paris();
        let house = Calendar {
            weekly: week("9-12, 14-18"),
            closed: vec![Closed::parse("2027-01-18 2027-01-19").unwrap()],
            holidays: Some(Holidays::France),
            notice_minutes: Some(120),
            horizon_days: Some(300),
        };
        let own = Calendar { closed: vec![Closed::parse("2027-01-20").unwrap()], ..Calendar::default() };
        let offer = offer(60, None);
        let rules = Rules { house: &house, own: &own, offer: &offer, zone: &zone };
        let (_, now) = slot("2027-01-15 08:00");
        for (text, expected) in [
            ("2027-01-15 10:00", None),
            ("2027-01-15 09:00", Some(Refusal::TooSoon { notice: 120 })),
            ("2027-01-15 12:00", Some(Refusal::OutsideHours)),
            ("2027-01-15 11:30", Some(Refusal::OutsideHours)),
            ("2027-01-15 10:30", Some(Refusal::NotOnGrid)),
            ("2027-01-18 10:00", Some(Refusal::Closed)),
            ("2027-01-19 10:00", Some(Refusal::Closed)),
            ("2027-01-20 10:00", Some(Refusal::Closed)),
            ("2027-01-21 10:00", None),
            ("2027-03-29 10:00", Some(Refusal::Holiday(Words::new("le lundi de Pâques", "Easter Monday")))),
            ("2027-11-11 10:00", Some(Refusal::Holiday(Words::new("l’Armistice", "Armistice Day")))),
            ("2027-11-10 10:00", None),
            ("2027-11-12 10:00", Some(Refusal::TooFar { days: 300 })),
        ] {
            let (slot, starts_at) = slot(text);
            assert_eq!(rules.judge(&slot, starts_at, now).err(), expected, "{text}");
        }
        let lax = Calendar { notice_minutes: Some(0), horizon_days: Some(1000), ..Calendar::default() };
        let rules = Rules { own: &lax, ..rules };
        for text in ["2027-01-15 09:00", "2027-11-12 10:00"] {
            let (slot, starts_at) = slot(text);
            assert_eq!(rules.judge(&slot, starts_at, now), Ok(()), "{text}");
        }
    }

    #[test]
    fn without_hours_any_time_can_be_booked() {
        let (none, zone, offer) = (Calendar::default(), paris(), offer(60, None));
        let rules = Rules { house: &none, own: &none, offer: &offer, zone: &zone };
        let (_, now) = slot("2027-01-15 08:00");
        let (night, starts_at) = slot("2027-12-25 03:17");
        assert_eq!(rules.judge(&night, starts_at, now), Ok(()));
        assert_eq!(rules.times(night.date()).len(), 10);
        assert!(!rules.overlaps_count());
    }

    #[test]
    fn one_person_is_not_sold_twice() {
        let (none, zone) = (Calendar::default(), paris());
        let mut yoga = offer(60, None);
        yoga.resource = Some("anna".to_owned());
        yoga.capacity = 3;
        let rules = Rules { house: &none, own: &none, offer: &yoga, zone: &zone };
        let other = OfferId::parse("0193b5a0-0000-7000-8000-00000000000b").unwrap();
        let taken =
            |offer, text: &str, minutes, seats| Occupied { offer, starts_at: slot(text).1, minutes, seats };
        let (_, ten) = slot("2027-01-15 10:00");
        for (what, occupied, expected) in [
            ("nothing", vec![], 3),
            ("its own slot", vec![taken(yoga.id, "2027-01-15 10:00", 60, 2)], 1),
            ("another offer before", vec![taken(other, "2027-01-15 09:00", 60, 1)], 3),
            ("another offer after", vec![taken(other, "2027-01-15 11:00", 60, 1)], 3),
            ("another offer into it", vec![taken(other, "2027-01-15 09:00", 61, 1)], 0),
            ("another offer at once", vec![taken(other, "2027-01-15 10:00", 15, 1)], 0),
            ("another offer around it", vec![taken(other, "2027-01-15 08:00", 600, 1)], 0),
            ("its own, half an hour later", vec![taken(yoga.id, "2027-01-15 10:30", 60, 1)], 0),
            ("nobody", vec![taken(other, "2027-01-15 10:00", 60, 0)], 3),
            ("more than there are", vec![taken(yoga.id, "2027-01-15 10:00", 60, 5)], -2),
        ] {
            assert_eq!(seats_left(&rules, ten, &occupied), expected, "{what}");
        }
        // Nobody has said that it needs somebody, nor when it is open: each time is a slot of its own.
        let free = offer(60, None);
        let rules = Rules { offer: &free, ..rules };
        assert_eq!(seats_left(&rules, ten, &[taken(free.id, "2027-01-15 10:30", 60, 1)]), 1);
        // With hours, half an hour later is in its way.
        let house = Calendar { weekly: week("9-18"), ..Calendar::default() };
        let rules = Rules { house: &house, ..rules };
        assert_eq!(seats_left(&rules, ten, &[taken(free.id, "2027-01-15 10:30", 60, 1)]), 0);
    }

    #[test]
    fn the_night_of_a_clock_change_takes_as_long_as_it_takes() {
        let (none, zone) = (Calendar::default(), paris());
        let mut night = offer(60, None);
        night.resource = Some("anna".to_owned());
        let rules = Rules { house: &none, own: &none, offer: &night, zone: &zone };
        // On 28 March 2027 three o'clock follows 01:59 at once: what begins at 01:00 for an hour is over by then.
        let one = slot("2027-03-28 01:00").1;
        let other = OfferId::parse("0193b5a0-0000-7000-8000-00000000000b").unwrap();
        let taken = Occupied { offer: other, starts_at: one, minutes: 60, seats: 1 };
        assert_eq!(seats_left(&rules, slot("2027-03-28 03:00").1, std::slice::from_ref(&taken)), 1);
        assert_eq!(seats_left(&rules, slot("2027-03-28 01:59").1, &[taken]), 0);
    }

    #[test]
    fn hours_are_kept_as_they_were_set() {
        let house = Calendar {
            weekly: week("14-18, 9-12"),
            closed: vec![Closed::parse("2027-01-18 2027-01-19 à la mer").unwrap()],
            holidays: Some(Holidays::AlsaceMoselle),
            notice_minutes: Some(0),
            horizon_days: None,
        }
        .sorted();
        let text = serde_json::to_string(&house).unwrap();
        assert!(text.contains("\"09:00-12:00\",\"14:00-18:00\"") && text.contains("\"FR-AM\""), "{text}");
        assert_eq!(serde_json::from_str::<Calendar>(&text).unwrap(), house);
        assert_eq!(serde_json::from_str::<Calendar>("{}").unwrap(), Calendar::default());
        assert!(serde_json::from_str::<Calendar>("{\"weakly\":null}").is_err());
    }

    #[test]
    fn days_are_counted_from_the_first_to_the_last() {
        let day = |n: i8| jiff::civil::date(2027, 2, n);
        assert_eq!(days(day(1), day(28)).count(), 28);
        assert_eq!(days(day(3), day(3)).collect::<Vec<_>>(), [day(3)]);
        assert_eq!(days(day(3), day(2)).count(), 0);
    }
}
