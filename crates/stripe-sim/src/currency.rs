//! Stripe's rules for amounts: classes of currencies, least and greatest charges, and how messages
//! write an amount.
//!
//! Facts from Stripe's public pages on currencies. The simulator keeps its own table on purpose: it
//! must not share a mistake with the program that it tests.

/// Presentment currencies, lower case.
const SUPPORTED: &str = " aed afn all amd ang aoa ars aud awg azn bam bbd bdt bgn bhd bif bmd bnd bob brl bsd bwp \
    byn bzd cad cdf chf clp cny cop crc cve czk djf dkk dop dzd egp etb eur fjd fkp gbp gel gip gmd gnf gtq gyd \
    hkd hnl hrk htg huf idr ils inr isk jmd jod jpy kes kgs khr kmf krw kwd kyd kzt lak lbp lkr lrd lsl mad mdl \
    mga mkd mmk mnt mop mro mur mvr mwk mxn myr mzn nad ngn nio nok npr nzd omr pab pen pgk php pkr pln pyg qar \
    ron rsd rub rwf sar sbd scr sek sgd shp sle sll sos srd std szl thb tjs tnd top try ttd twd tzs uah ugx usd \
    uyu uzs vnd vuv wst xaf xcd xof xpf yer zar zmw ";

const ZERO_DECIMAL: &str = " bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf ";
const THREE_DECIMAL: &str = " bhd jod kwd omr tnd ";
/// Without decimals in fact, but sent times a hundred.
const HUNDREDS_ONLY: &str = " isk ugx ";

fn within(list: &str, currency: &str) -> bool {
    !currency.is_empty() && list.contains(&format!(" {currency} "))
}

/// Whether Stripe takes this currency (lower case).
pub(crate) fn supported(currency: &str) -> bool {
    within(SUPPORTED, currency)
}

/// The names of all currencies, for the message that refuses one.
pub(crate) fn list() -> String {
    SUPPORTED.split_whitespace().collect::<Vec<_>>().join(", ")
}

/// Why an amount cannot exist in this currency, if so.
pub(crate) fn malformed(currency: &str, amount: i64) -> Option<String> {
    if within(THREE_DECIMAL, currency) && amount % 10 != 0 {
        return Some(format!(
            "Invalid amount for {currency}: amounts in this three-decimal currency must end in 0."
        ));
    }
    if within(HUNDREDS_ONLY, currency) && amount % 100 != 0 {
        return Some(format!(
            "Invalid amount for {currency}: amounts in this currency must be evenly divisible by 100."
        ));
    }
    None
}

/// The least amount that can be charged, in minor units. Currencies without a published one: 50.
pub(crate) fn minimum(currency: &str) -> i64 {
    match currency {
        "aed" | "myr" | "pln" | "ron" => 200,
        "bgn" => 100,
        "czk" => 1500,
        "dkk" => 250,
        "gbp" => 30,
        "hkd" => 400,
        "huf" => 17_500,
        "mxn" | "thb" => 1_000,
        "nok" | "sek" => 300,
        _ if within(THREE_DECIMAL, currency) => 500,
        _ => 50,
    }
}

/// The greatest amount that can be charged: eight digits, twelve for Indonesian rupiah.
pub(crate) fn maximum(currency: &str) -> i64 {
    if currency == "idr" { 999_999_999_999 } else { 99_999_999 }
}

/// An amount as Stripe's messages write it: `€20.00`, `¥500`, `SEK 3.00`.
pub(crate) fn display(currency: &str, amount: i64) -> String {
    let symbol = match currency {
        "eur" => "€",
        "usd" | "cad" | "aud" | "nzd" | "sgd" | "hkd" | "mxn" => "$",
        "gbp" => "£",
        "jpy" => "¥",
        _ => "",
    };
    let digits = if within(ZERO_DECIMAL, currency) {
        amount.to_string()
    } else if within(THREE_DECIMAL, currency) {
        format!("{}.{:03}", amount / 1000, amount % 1000)
    } else {
        format!("{}.{:02}", amount / 100, amount % 100)
    };
    if symbol.is_empty() {
        format!("{} {digits}", currency.to_uppercase())
    } else {
        format!("{symbol}{digits}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_class_of_currency_is_written_with_its_own_decimals() {
        assert_eq!(display("eur", 2000), "€20.00");
        assert_eq!(display("jpy", 500), "¥500");
        assert_eq!(display("kwd", 1230), "KWD 1.230");
    }

    #[test]
    fn three_decimal_amounts_end_in_zero_and_krona_in_two() {
        assert!(malformed("kwd", 1_234).is_some() && malformed("kwd", 1_230).is_none());
        assert!(malformed("isk", 150).is_some() && malformed("isk", 200).is_none());
        assert!(malformed("eur", 1).is_none());
    }

    #[test]
    fn every_class_is_made_of_supported_currencies() {
        for list in [ZERO_DECIMAL, THREE_DECIMAL, HUNDREDS_ONLY] {
            assert!(list.split_whitespace().all(supported), "{list}");
        }
        assert!(!supported("") && !supported("xxx") && !supported("eur usd"));
    }
}
