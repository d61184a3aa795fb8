//! Public holidays, computed.

use super::lang::{Lang, Words};
use jiff::ToSpan;
use jiff::civil::{Date, date};
use serde::{Deserialize, Serialize};

/// Whose public holidays are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Holidays {
    /// The eleven of France.
    #[serde(rename = "FR")]
    France,
    /// Those and the two more of Alsace and Moselle.
    #[serde(rename = "FR-AM")]
    AlsaceMoselle,
}

impl Holidays {
    /// All that there are.
    pub const ALL: [Self; 2] = [Self::France, Self::AlsaceMoselle];

    /// As the API and the database write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::France => "FR",
            Self::AlsaceMoselle => "FR-AM",
        }
    }

    /// From its exact text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|holidays| holidays.as_str() == text)
    }

    /// In words.
    #[must_use]
    pub fn name(self, lang: Lang) -> &'static str {
        match self {
            Self::France => lang.pick("France", "France"),
            Self::AlsaceMoselle => lang.pick("Alsace et Moselle", "Alsace and Moselle"),
        }
    }

    /// Which public holiday a day is, if it is one.
    #[must_use]
    pub fn on(self, day: Date) -> Option<Words> {
        let fixed = match (day.month(), day.day()) {
            (1, 1) => Some(("le jour de l’An", "New Year’s Day")),
            (5, 1) => Some(("la fête du Travail", "Labour Day")),
            (5, 8) => Some(("le 8 mai", "Victory Day")),
            (7, 14) => Some(("la fête nationale", "Bastille Day")),
            (8, 15) => Some(("l’Assomption", "Assumption Day")),
            (11, 1) => Some(("la Toussaint", "All Saints’ Day")),
            (11, 11) => Some(("l’Armistice", "Armistice Day")),
            (12, 25) => Some(("Noël", "Christmas Day")),
            (12, 26) if self == Self::AlsaceMoselle => Some(("la Saint-Étienne", "St Stephen’s Day")),
            _ => None,
        };
        let after_easter = || {
            let easter = easter(day.year());
            let is = |days: i32| easter.saturating_add(days.days()) == day;
            if is(1) {
                Some(("le lundi de Pâques", "Easter Monday"))
            } else if is(39) {
                Some(("l’Ascension", "Ascension Day"))
            } else if is(50) {
                Some(("le lundi de Pentecôte", "Whit Monday"))
            } else if is(-2) && self == Self::AlsaceMoselle {
                Some(("le Vendredi saint", "Good Friday"))
            } else {
                None
            }
        };
        fixed.or_else(after_easter).map(|(fr, en)| Words::new(fr, en))
    }
}

/// Easter Sunday of the Gregorian calendar, by the rule of Meeus, Jones and Butcher.
fn easter(year: i16) -> Date {
    let y = i32::from(year);
    let a = y.rem_euclid(19);
    let (b, c) = (y.div_euclid(100), y.rem_euclid(100));
    let (d, e) = (b / 4, b % 4);
    let f = (b + 8) / 25;
    let g = (b - f + 1) / 3;
    let h = (19 * a + b - d - g + 15) % 30;
    let (i, k) = (c / 4, c % 4);
    let l = (32 + 2 * e + 2 * i - h - k) % 7;
    let m = (a + 11 * h + 22 * l) / 451;
    let days = h + l - 7 * m + 114;
    let (month, day) = (i8::try_from(days / 31).unwrap_or(4), i8::try_from(days % 31 + 1).unwrap_or(1));
    Date::new(year, month, day).unwrap_or_else(|_| date(year.clamp(1, 9999), 4, 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn easter_is_on_the_sundays_that_the_tables_name() {
        for (year, month, day) in [
            (1818, 3, 22), // as early as it can be
            (1943, 4, 25), // as late as it can be
            (1961, 4, 2),
            (2000, 4, 23),
            (2008, 3, 23),
            (2019, 4, 21),
            (2024, 3, 31),
            (2025, 4, 20),
            (2026, 4, 5),
            (2027, 3, 28),
            (2028, 4, 16),
            (2029, 4, 1),
            (2030, 4, 21),
            (2031, 4, 13),
            (2038, 4, 25),
            (2049, 4, 18),
            (2099, 4, 12),
        ] {
            assert_eq!(easter(year), date(year, month, day));
        }
    }

    #[test]
    fn a_year_has_the_holidays_that_the_law_names() {
        let of_year = |holidays: Holidays, year: i16| {
            let days = (0..366).map(|n: i32| date(year, 1, 1).saturating_add(n.days()));
            let days = days.filter(|day| day.year() == year && holidays.on(*day).is_some());
            days.map(|day| day.to_string()[5..].to_owned()).collect::<Vec<_>>()
        };
        let france = of_year(Holidays::France, 2026);
        let expected = [
            "01-01", "04-06", "05-01", "05-08", "05-14", "05-25", "07-14", "08-15", "11-01", "11-11", "12-25",
        ];
        assert_eq!(france, expected);
        // Ascension Day may fall on another: then a year has one less.
        assert_eq!(of_year(Holidays::France, 2008).len(), 10, "Ascension and Labour Day are both 1 May");
        let more = of_year(Holidays::AlsaceMoselle, 2026);
        assert_eq!(more.len(), 13);
        assert!(more.contains(&"04-03".to_owned()) && more.contains(&"12-26".to_owned()));
        assert_eq!(Holidays::France.on(date(2026, 12, 25)).unwrap().fr, "Noël");
        assert_eq!(Holidays::France.on(date(2026, 12, 26)), None);
        assert_eq!(Holidays::France.on(date(2026, 4, 5)), None, "Easter Sunday is a Sunday");
    }
}
