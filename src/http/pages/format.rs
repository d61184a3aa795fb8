//! Money, dates and times as readers of each language write them. Whole dates in words are the domain's.

use clock::Timestamp;
pub use domain::calendar::{day, month, slot, weekday};
use domain::lang::Lang;
use domain::money::{Currency, CurrencyClass, Money};
use domain::slot::Slot;
use jiff::civil::Date;
use jiff::tz::TimeZone;

/// The narrow no-break space of French typography.
const NARROW: char = '\u{202f}';

/// `60,00 €` or `€60.00`, grouped by thousands; symbols as Unicode's CLDR has them for each language.
#[must_use]
pub fn money(lang: Lang, money: Money) -> String {
    let decimal = money.decimal();
    let (sign, digits) = match decimal.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", decimal.as_str()),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    // Stripe counts these in hundredths that the currency does not have.
    let fraction = if money.currency.class() == CurrencyClass::WholeInHundredths { "" } else { fraction };
    let (group, point) = match lang {
        Lang::Fr => (NARROW, ","),
        Lang::En => (',', "."),
    };
    let mut number = String::new();
    for (i, digit) in whole.chars().enumerate() {
        if i > 0 && (whole.len() - i).is_multiple_of(3) {
            number.push(group);
        }
        number.push(digit);
    }
    if !fraction.is_empty() {
        number.push_str(point);
        number.push_str(fraction);
    }
    let symbol = symbol(lang, money.currency);
    match lang {
        Lang::Fr => format!("{sign}{number}{NARROW}{symbol}"),
        // A code stands apart from the number, a symbol does not.
        Lang::En if symbol.ends_with(|c: char| c.is_ascii_alphabetic()) => {
            format!("{sign}{symbol}\u{a0}{number}")
        }
        Lang::En => format!("{sign}{symbol}{number}"),
    }
}

/// An amount in a currency as Stripe names it. In one that we do not know it is told in minor units.
#[must_use]
pub fn amount(lang: Lang, amount: i64, code: &str) -> String {
    match Currency::parse(code) {
        Ok(currency) => money(lang, Money { amount, currency }),
        Err(_) => format!("{amount} {code}"),
    }
}

/// An amount as it stands in a field: `60,00` or `60.00`.
#[must_use]
pub fn decimal(lang: Lang, money: Money) -> String {
    match lang {
        Lang::Fr => money.decimal().replace('.', ","),
        Lang::En => money.decimal(),
    }
}

fn symbol(lang: Lang, currency: Currency) -> String {
    let (fr, en) = match currency.as_str() {
        "eur" => ("€", "€"),
        "usd" => ("$US", "US$"),
        "cad" => ("$CA", "CA$"),
        "aud" => ("$AU", "A$"),
        "gbp" => ("£GB", "£"),
        "jpy" => ("JPY", "JP¥"),
        code => return code.to_ascii_uppercase(),
    };
    lang.pick(fr, en).to_owned()
}

/// A month on a small button.
#[must_use]
pub fn short_month(lang: Lang, date: Date) -> String {
    let name = month(lang, date);
    let keep = match (lang, date.month()) {
        (Lang::En, _) => 3,
        // French abbreviates to the first syllable's end, and short names not at all.
        (Lang::Fr, 3 | 5 | 6 | 8) => return name.to_owned(),
        (Lang::Fr, 1 | 2 | 7 | 9) => 4,
        (Lang::Fr, _) => 3,
    };
    let short: String = name.chars().take(keep).collect();
    if lang == Lang::Fr { format!("{short}.") } else { short }
}

/// `25/11/2026 14:00` or `25 Nov 2026, 14:00`.
#[must_use]
pub fn short_slot(lang: Lang, slot: &Slot) -> String {
    short_date_time(lang, slot.date(), &slot.time_text())
}

/// A moment on the business's clock, to the second.
#[must_use]
pub fn moment(lang: Lang, zone: &TimeZone, at: Timestamp) -> String {
    let local = zone.to_datetime(at.to_jiff());
    let time = format!("{:02}:{:02}:{:02}", local.hour(), local.minute(), local.second());
    short_date_time(lang, local.date(), &time)
}

/// The time zone of the business at a moment: `heure de Europe/Paris (UTC+01:00)`.
#[must_use]
pub fn zone(lang: Lang, zone: &TimeZone, at: Timestamp) -> String {
    let name = zone.iana_name().unwrap_or("UTC").replace('_', " ");
    let offset = jiff::ZonedDateTime::new(at.to_jiff(), zone.clone()).strftime("%:z").to_string();
    match lang {
        Lang::Fr => format!("Fuseau horaire\u{202f}: {name} (UTC{offset})"),
        Lang::En => format!("Time zone: {name} (UTC{offset})"),
    }
}

/// `novembre 2026`.
#[must_use]
pub fn month_of_year(lang: Lang, date: Date) -> String {
    format!("{} {}", month(lang, date), date.year())
}

/// The days of the week on a narrow column each, Monday first.
#[must_use]
pub fn short_week(lang: Lang) -> Vec<String> {
    let monday = jiff::civil::Weekday::Monday;
    let days = monday.cycle_forward().take(7);
    days.map(|day| weekday(lang, day).chars().take(3).collect()).collect()
}

/// Only the time of day, to the minute.
#[must_use]
pub fn clock_time(zone: &TimeZone, at: Timestamp) -> String {
    let local = zone.to_datetime(at.to_jiff());
    format!("{:02}:{:02}", local.hour(), local.minute())
}

fn short_date_time(lang: Lang, date: Date, time: &str) -> String {
    match lang {
        Lang::Fr => format!("{:02}/{:02}/{} {time}", date.day(), date.month(), date.year()),
        Lang::En => {
            format!("{} {} {}, {time}", date.day(), short_month(lang, date), date.year())
        }
    }
}

/// The narrow no-break spaces of French, put into a sentence that was written without them.
#[must_use]
pub fn french(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let before_sign = c == ' ' && matches!(chars.peek(), Some(':' | ';' | '!' | '?' | '»' | '€' | '%'));
        let after_quote = c == ' ' && out.ends_with('«');
        out.push(if before_sign || after_quote { NARROW } else { c });
    }
    out
}

/// A sentence of the domain, as this language sets it.
#[must_use]
pub fn sentence(lang: Lang, text: &str) -> String {
    match lang {
        Lang::Fr => french(text),
        Lang::En => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn amount(amount: i64, code: &str) -> Money {
        Money { amount, currency: Currency::parse(code).unwrap() }
    }

    #[test]
    fn amounts_are_written_as_each_language_writes_them() {
        for (minor, code, fr, en) in [
            (6000, "eur", "60,00\u{202f}€", "€60.00"),
            (0, "eur", "0,00\u{202f}€", "€0.00"),
            (123_456_789, "eur", "1\u{202f}234\u{202f}567,89\u{202f}€", "€1,234,567.89"),
            (-5, "eur", "-0,05\u{202f}€", "-€0.05"),
            (500, "jpy", "500\u{202f}JPY", "JP¥500"),
            (1250, "kwd", "1,250\u{202f}KWD", "KWD\u{a0}1.250"),
            (12_300, "isk", "123\u{202f}ISK", "ISK\u{a0}123"),
            (100_000, "usd", "1\u{202f}000,00\u{202f}$US", "US$1,000.00"),
        ] {
            assert_eq!(money(Lang::Fr, amount(minor, code)), fr);
            assert_eq!(money(Lang::En, amount(minor, code)), en);
        }
    }

    #[test]
    fn dates_are_written_as_each_language_writes_them() {
        let at = |text: &str| Slot::parse(text, "09:00").unwrap();
        assert_eq!(short_slot(Lang::Fr, &at("2027-02-28")), "28/02/2027 09:00");
        assert_eq!(short_slot(Lang::En, &at("2027-02-28")), "28 Feb 2027, 09:00");
        let paris = TimeZone::get("Europe/Paris").unwrap();
        let moment_of =
            |text: &str| Timestamp::from_micros(text.parse::<jiff::Timestamp>().unwrap().as_microsecond());
        assert_eq!(moment(Lang::Fr, &paris, moment_of("2026-07-01T22:30:05Z")), "02/07/2026 00:30:05");
        assert_eq!(clock_time(&paris, moment_of("2026-01-01T08:05:00Z")), "09:05");
    }

    #[test]
    fn french_signs_keep_their_word() {
        assert_eq!(
            french("Reste : « oui » ; 5 % !"),
            "Reste\u{202f}: «\u{202f}oui\u{202f}»\u{202f}; 5\u{202f}%\u{202f}!"
        );
        assert_eq!(french("09:00, pas d'espace"), "09:00, pas d'espace");
    }
}
