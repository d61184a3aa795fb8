//! What the commands that copy a database say of it.

use super::print as print_bytes;
use crate::flow::transfer::Report;
use domain::lang::Lang;
use domain::money::{Currency, Money};

/// What was copied, in words.
pub(super) fn in_words(report: &Report) -> String {
    let rows = |table: &str| report.tables.get(table).copied().unwrap_or(0);
    let all: u64 = report.tables.values().sum();
    let mut words = format!(
        "{} bookings, {} ledger entries, {} accounts; {all} rows in {} tables",
        rows("bookings"),
        rows("payment_events"),
        rows("users"),
        report.tables.len()
    );
    for money in &report.money {
        let told = |amount: i64| match Currency::parse(&money.currency) {
            Ok(currency) => Money { amount, currency }.told(Lang::En),
            Err(_) => format!("{amount} {}", money.currency),
        };
        words.push_str(&format!("; {} paid", told(money.paid)));
        if money.refunded > 0 {
            words.push_str(&format!(", {} of it given back", told(money.refunded)));
        }
    }
    words
}

/// On standard error, what does not hold.
pub(super) fn tell_violations(report: &Report) {
    for violation in &report.violations {
        eprintln!("Not true: {} ({}), of {}", violation.rule, violation.check, violation.rows.join(", "));
    }
    if !report.violations.is_empty() {
        eprintln!("Next: checkout-backend doctor");
    }
}

/// On standard output, as data.
pub(super) fn print(report: &Report) -> anyhow::Result<()> {
    print_bytes(format!("{}\n", serde_json::to_string_pretty(report)?).as_bytes())?;
    Ok(())
}
