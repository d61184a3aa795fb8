//! Dates in words, as the pages and Stripe's payment page show them.

use super::lang::Lang;
use super::slot::Slot;
use jiff::civil::{Date, Weekday};

const WEEKDAYS_FR: [&str; 7] = ["lundi", "mardi", "mercredi", "jeudi", "vendredi", "samedi", "dimanche"];
const WEEKDAYS_EN: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
const MONTHS_FR: [&str; 12] = [
    "janvier",
    "février",
    "mars",
    "avril",
    "mai",
    "juin",
    "juillet",
    "août",
    "septembre",
    "octobre",
    "novembre",
    "décembre",
];
const MONTHS_EN: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// The name of a day of the week.
#[must_use]
pub fn weekday(lang: Lang, day: Weekday) -> &'static str {
    let names = match lang {
        Lang::Fr => &WEEKDAYS_FR,
        Lang::En => &WEEKDAYS_EN,
    };
    let index = usize::try_from(day.to_monday_zero_offset()).unwrap_or(0);
    names.get(index).copied().unwrap_or_default()
}

/// The name of a month.
#[must_use]
pub fn month(lang: Lang, date: Date) -> &'static str {
    let names = match lang {
        Lang::Fr => &MONTHS_FR,
        Lang::En => &MONTHS_EN,
    };
    let index = usize::try_from(date.month() - 1).unwrap_or(0);
    names.get(index).copied().unwrap_or_default()
}

/// `mercredi 25 novembre 2026` or `Wednesday 25 November 2026`.
#[must_use]
pub fn day(lang: Lang, date: Date) -> String {
    let number = match (lang, date.day()) {
        (Lang::Fr, 1) => "1er".to_owned(),
        (_, day) => day.to_string(),
    };
    format!("{} {number} {} {}", weekday(lang, date.weekday()), month(lang, date), date.year())
}

/// `mercredi 25 novembre 2026 à 14:00`.
#[must_use]
pub fn slot(lang: Lang, slot: &Slot) -> String {
    format!("{} {} {}", day(lang, slot.date()), lang.pick("à", "at"), slot.time_text())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_written_in_words_as_each_language_writes_it() {
        let at = Slot::parse("2026-12-01", "09:00").unwrap();
        assert_eq!(slot(Lang::Fr, &at), "mardi 1er décembre 2026 à 09:00");
        assert_eq!(slot(Lang::En, &at), "Tuesday 1 December 2026 at 09:00");
    }
}
