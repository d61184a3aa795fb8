//! Amounts and currencies, always as whole minor units as Stripe counts them.
//!
//! The classes, minimum and maximum amounts are Stripe's, from its pages on currencies
//! (zero-decimal, three-decimal and special cases; minimum and maximum charge amounts).

use super::lang::Lang;
use std::fmt;

/// A currency that Stripe takes, as its lower-case ISO 4217 code.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency([u8; 3]);

/// How a currency's minor unit relates to its major one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CurrencyClass {
    /// The amount is in whole units: 500 is ¥500.
    ZeroDecimal,
    /// The amount is in hundredths.
    TwoDecimal,
    /// The amount is in thousandths and its last digit must be 0.
    ThreeDecimal,
    /// In hundredths for Stripe although the currency has none: the amount must divide by 100.
    WholeInHundredths,
}

const ZERO_DECIMAL: &str = "bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf";
const THREE_DECIMAL: &str = "bhd jod kwd omr tnd";
const WHOLE_IN_HUNDREDTHS: &str = "isk ugx";
const TWO_DECIMAL: &str = "usd aed afn all amd ang aoa ars aud awg azn bam bbd bdt bgn bmd bnd bob brl bsd \
    bwp byn bzd cad cdf chf cny cop crc cve czk dkk dop dzd egp etb eur fjd fkp gbp gel gip gmd gtq gyd hkd \
    hnl htg huf idr ils inr jmd kes kgs khr kyd kzt lak lbp lkr lrd lsl mad mdl mkd mmk mnt mop mur mvr mwk \
    mxn myr mzn nad ngn nio nok npr nzd pab pen pgk php pkr pln qar ron rsd rub sar sbd scr sek sgd shp sle \
    sos srd std szl thb tjs top try ttd twd tzs uah uyu uzs wst xcd yer zar zmw";

/// The most that Stripe takes in any currency: twelve digits. What says more cannot be counted with.
pub const MAX_MINOR_UNITS: i64 = 999_999_999_999;

/// Smallest charge by currency, in minor units. Stripe states it for settlement currencies; for the
/// others the smallest amount is one major unit's worth that Stripe converts, so only zero is refused.
const MINIMUM: &[(&str, i64)] = &[
    ("usd", 50),
    ("aed", 200),
    ("aud", 50),
    ("bgn", 100),
    ("brl", 50),
    ("cad", 50),
    ("chf", 50),
    ("czk", 1500),
    ("dkk", 250),
    ("eur", 50),
    ("gbp", 30),
    ("hkd", 400),
    ("huf", 17500),
    ("inr", 50),
    ("jpy", 50),
    ("mxn", 1000),
    ("myr", 200),
    ("nok", 300),
    ("nzd", 50),
    ("pln", 200),
    ("ron", 200),
    ("sek", 300),
    ("sgd", 50),
    ("thb", 1000),
];

/// Why an amount cannot be a price.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// Not one of the codes that Stripe takes.
    #[error("is not a currency that Stripe takes; use a code such as EUR")]
    UnknownCurrency,
    /// Below what Stripe charges in this currency.
    #[error("is below the smallest amount that Stripe charges in this currency ({minimum} minor units)")]
    TooSmall {
        /// In minor units.
        minimum: i64,
    },
    /// Above what Stripe charges in this currency.
    #[error("is above the largest amount that Stripe charges in this currency ({maximum} minor units)")]
    TooLarge {
        /// In minor units.
        maximum: i64,
    },
    /// Not a multiple that Stripe takes for this currency.
    #[error("must be a multiple of {step} minor units in this currency")]
    NotAMultiple {
        /// In minor units.
        step: i64,
    },
}

impl Currency {
    /// From a three-letter code in either case.
    ///
    /// # Errors
    /// [`MoneyError::UnknownCurrency`] if Stripe does not take it.
    pub fn parse(code: &str) -> Result<Self, MoneyError> {
        let code = code.to_ascii_lowercase();
        let known = [TWO_DECIMAL, ZERO_DECIMAL, THREE_DECIMAL, WHOLE_IN_HUNDREDTHS]
            .iter()
            .any(|list| list.split_ascii_whitespace().any(|c| c == code));
        match <[u8; 3]>::try_from(code.as_bytes()) {
            Ok(bytes) if known => Ok(Self(bytes)),
            _ => Err(MoneyError::UnknownCurrency),
        }
    }

    /// The lower-case code, as Stripe writes it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("???")
    }

    /// How Stripe counts this currency.
    #[must_use]
    pub fn class(self) -> CurrencyClass {
        let among = |list: &str| list.split_ascii_whitespace().any(|c| c == self.as_str());
        if among(ZERO_DECIMAL) {
            CurrencyClass::ZeroDecimal
        } else if among(THREE_DECIMAL) {
            CurrencyClass::ThreeDecimal
        } else if among(WHOLE_IN_HUNDREDTHS) {
            CurrencyClass::WholeInHundredths
        } else {
            CurrencyClass::TwoDecimal
        }
    }

    /// Digits after the decimal point when an amount is written out from Stripe's minor units.
    #[must_use]
    pub fn exponent(self) -> u32 {
        match self.class() {
            CurrencyClass::ZeroDecimal => 0,
            CurrencyClass::TwoDecimal | CurrencyClass::WholeInHundredths => 2,
            CurrencyClass::ThreeDecimal => 3,
        }
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl serde::Serialize for Currency {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// An amount in a currency's minor units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Money {
    /// Minor units.
    pub amount: i64,
    /// Which currency.
    pub currency: Currency,
}

impl Money {
    /// An amount that Stripe can charge: checked when an offer is saved, not when a customer pays.
    ///
    /// # Errors
    /// A [`MoneyError`] that says which rule of Stripe's it breaks.
    pub fn price(amount: i64, currency: Currency) -> Result<Self, MoneyError> {
        let minimum =
            MINIMUM.iter().find(|(code, _)| *code == currency.as_str()).map_or(1, |(_, minimum)| *minimum);
        let maximum = if currency.as_str() == "idr" { 999_999_999_999 } else { 99_999_999 };
        let step = match currency.class() {
            CurrencyClass::ZeroDecimal | CurrencyClass::TwoDecimal => 1,
            CurrencyClass::ThreeDecimal => 10,
            CurrencyClass::WholeInHundredths => 100,
        };
        if amount < minimum {
            Err(MoneyError::TooSmall { minimum })
        } else if amount > maximum {
            Err(MoneyError::TooLarge { maximum })
        } else if amount % step != 0 {
            Err(MoneyError::NotAMultiple { step })
        } else {
            Ok(Self { amount, currency })
        }
    }

    /// From a decimal number as people type it, with a point or a comma: `60`, `60.5`, `60,50`. None if
    /// it is no such number or finer than the currency's minor unit.
    #[must_use]
    pub fn from_decimal(text: &str, currency: Currency) -> Option<Self> {
        let (whole, fraction) = text.trim().split_once(['.', ',']).unwrap_or((text.trim(), ""));
        let digits = usize::try_from(currency.exponent()).ok()?;
        let typed = !whole.is_empty() && whole.len() <= 15 && fraction.len() <= digits;
        if !typed || !whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit()) {
            return None;
        }
        let amount = format!("{whole}{fraction:0<digits$}").parse().ok()?;
        Some(Self { amount, currency })
    }

    /// The amount as a decimal number with a point, without the currency: `60.00`, `500`, `-1.250`.
    #[must_use]
    pub fn decimal(self) -> String {
        let exponent = self.currency.exponent();
        let unit = 10_u64.pow(exponent);
        let magnitude = self.amount.unsigned_abs();
        let sign = if self.amount < 0 { "-" } else { "" };
        match exponent {
            0 => format!("{sign}{magnitude}"),
            _ => {
                let width = usize::try_from(exponent).unwrap_or(2);
                format!("{sign}{}.{:0width$}", magnitude / unit, magnitude % unit)
            }
        }
    }

    /// As a sentence names it: `60,00 EUR` in French, `60.00 EUR` in English.
    #[must_use]
    pub fn told(self, lang: Lang) -> String {
        match lang {
            Lang::Fr => self.to_string().replace('.', ","),
            Lang::En => self.to_string(),
        }
    }
}

/// For logs and the command line: `60.00 EUR`.
impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.decimal(), self.currency.as_str().to_ascii_uppercase())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_class_of_currency_is_priced_by_its_own_rule() {
        use MoneyError::{NotAMultiple, TooLarge, TooSmall};
        for (code, amount, expected) in [
            ("eur", 6000, Ok("60.00 EUR")),
            ("EUR", 50, Ok("0.50 EUR")),
            ("eur", 49, Err(TooSmall { minimum: 50 })),
            ("eur", 0, Err(TooSmall { minimum: 50 })),
            ("eur", -1, Err(TooSmall { minimum: 50 })),
            ("eur", 99_999_999, Ok("999999.99 EUR")),
            ("eur", 100_000_000, Err(TooLarge { maximum: 99_999_999 })),
            ("jpy", 500, Ok("500 JPY")),
            ("jpy", 49, Err(TooSmall { minimum: 50 })),
            ("kwd", 1250, Ok("1.250 KWD")),
            ("kwd", 1255, Err(NotAMultiple { step: 10 })),
            ("isk", 12_300, Ok("123.00 ISK")),
            ("isk", 12_350, Err(NotAMultiple { step: 100 })),
            ("ugx", 150, Err(NotAMultiple { step: 100 })),
            ("mga", 5, Ok("5 MGA")),
            ("idr", 100_000_000, Ok("1000000.00 IDR")),
        ] {
            let currency = Currency::parse(code).unwrap();
            let got = Money::price(amount, currency).map(|money| money.to_string());
            assert_eq!(got, expected.map(str::to_owned), "{amount} {code}");
        }
    }

    /// Every row of Stripe's tables: classes with their steps, and minimum charges as they are written there.
    #[test]
    fn stripes_tables_hold_for_every_currency_in_them() {
        let zero = "BIF CLP DJF GNF JPY KMF KRW MGA PYG RWF VND VUV XAF XOF XPF";
        let three = "BHD JOD KWD OMR TND";
        let classes = [(zero, 0, 1), (three, 3, 10), ("ISK UGX", 2, 100), ("HUF TWD EUR USD IDR", 2, 1)];
        for (codes, exponent, step) in classes {
            for code in codes.split(' ') {
                let currency = Currency::parse(code).unwrap();
                assert_eq!(currency.exponent(), exponent, "{code}");
                let amount = 90_000_000;
                assert_eq!(
                    Money::price(amount + step, currency).map(|m| m.amount),
                    Ok(amount + step),
                    "{code}"
                );
                if step > 1 {
                    assert_eq!(
                        Money::price(amount + 1, currency),
                        Err(MoneyError::NotAMultiple { step }),
                        "{code}"
                    );
                }
                let maximum = if code == "IDR" { 999_999_999_999 } else { 99_999_999 };
                assert_eq!(
                    Money::price(maximum + 1, currency),
                    Err(MoneyError::TooLarge { maximum }),
                    "{code}"
                );
            }
        }
        for row in [
            "USD 0.50",
            "AED 2.00",
            "AUD 0.50",
            "BGN 1.00",
            "BRL 0.50",
            "CAD 0.50",
            "CHF 0.50",
            "CZK 15.00",
            "DKK 2.50",
            "EUR 0.50",
            "GBP 0.30",
            "HKD 4.00",
            "HUF 175.00",
            "INR 0.50",
            "JPY 50",
            "MXN 10",
            "MYR 2",
            "NOK 3.00",
            "NZD 0.50",
            "PLN 2.00",
            "RON 2.00",
            "SEK 3.00",
            "SGD 0.50",
            "THB 10",
        ] {
            let (code, minimum) = row.split_once(' ').unwrap();
            let currency = Currency::parse(code).unwrap();
            let minimum = Money::from_decimal(minimum, currency).unwrap().amount;
            assert!(Money::price(minimum, currency).is_ok(), "{row}");
            assert_eq!(Money::price(minimum - 1, currency), Err(MoneyError::TooSmall { minimum }), "{row}");
        }
    }

    #[test]
    fn amounts_are_read_as_people_type_them_and_never_rounded() {
        for (text, code, expected) in [
            ("60", "eur", Some(6000)),
            ("60.5", "eur", Some(6050)),
            (" 60,50 ", "eur", Some(6050)),
            ("0.01", "eur", Some(1)),
            ("60.505", "eur", None),
            ("500", "jpy", Some(500)),
            ("500.0", "jpy", None),
            ("1.250", "kwd", Some(1250)),
            ("", "eur", None),
            ("-1", "eur", None),
            ("1 000", "eur", None),
            (".5", "eur", None),
            ("1e3", "eur", None),
            ("9999999999999999", "eur", None),
        ] {
            let currency = Currency::parse(code).unwrap();
            assert_eq!(Money::from_decimal(text, currency).map(|m| m.amount), expected, "{text:?} {code}");
        }
    }

    #[test]
    fn what_is_no_currency_is_refused() {
        for code in ["", "eu", "euro", "xxx", "é€", "e r"] {
            assert_eq!(Currency::parse(code), Err(MoneyError::UnknownCurrency), "{code:?}");
        }
    }
}
