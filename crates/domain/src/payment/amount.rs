//! Whether what was paid is the price.

use crate::case::CaseKind;
use crate::event::{PaymentStatus, SessionFact};
use crate::lang::{Lang, Words};
use crate::money::Money;

/// What the customer paid, if it fits the price, or what does not fit.
///
/// # Errors
/// The kind of case and the figures in words.
pub fn check_amount(fact: &SessionFact, price: Money) -> Result<i64, (CaseKind, Words)> {
    if let Some(mode) = another_mode(fact) {
        return Err((CaseKind::ModeMismatch, mode));
    }
    let (fr, en) = (price.told(Lang::Fr), price.told(Lang::En));
    let currency = fact.currency.as_deref().unwrap_or_default();
    if !currency.eq_ignore_ascii_case(price.currency.as_str()) {
        let detail = if currency.is_empty() {
            Words::new(
                format!("{fr} attendus, la session n'a pas de devise"),
                format!("expected {en}, the session has no currency"),
            )
        } else {
            Words::new(
                format!("{fr} attendus, la session est en {currency:?}"),
                format!("expected {en}, the session is in {currency:?}"),
            )
        };
        return Err((CaseKind::CurrencyMismatch, detail));
    }
    let mismatch = |french: &str, english: &str| {
        let detail = Words::new(format!("{fr} attendus ; {french}"), format!("expected {en}; {english}"));
        Err((CaseKind::AmountMismatch, detail))
    };
    if let Some(member) = fact.unreadable {
        return mismatch(
            &format!("{member} n'est pas un nombre entier avec lequel compter"),
            &format!("{member} is no whole number that can be counted with"),
        );
    }
    let Some(total) = fact.total else {
        return mismatch("la session n'a pas de total", "the session has no total");
    };
    let part = |amount: Option<i64>| i128::from(amount.unwrap_or(0));
    let (discount, tax, shipping) = (part(fact.discount), part(fact.tax), part(fact.shipping));
    let subtotal = fact.subtotal.map_or(i128::from(total) + discount - tax - shipping, i128::from);
    let sound = total >= 0 && discount >= 0 && tax >= 0 && shipping >= 0;
    let (french, english) = if subtotal != i128::from(price.amount) {
        ("le sous-total est un autre", "the subtotal is another")
    } else if !sound || i128::from(total) != subtotal - discount + tax + shipping {
        ("le total n'est pas la somme de ses parties", "the total does not add up")
    } else if total == 0 && discount < subtotal {
        ("rien n'a été payé, et aucune remise ne le couvre", "nothing was paid, and no discount covers it")
    } else if fact.payment_status == PaymentStatus::NoPaymentRequired && total != 0 {
        ("rien n'a été payé d'un total qui n'est pas nul", "nothing was paid of a total that is not zero")
    } else {
        return Ok(total);
    };
    let sum = |amount: i128, lang: Lang| match i64::try_from(amount) {
        Ok(amount) => Money { amount, ..price }.told(lang),
        Err(_) => amount.to_string(),
    };
    let figures = |lang: Lang, names: [&str; 5]| {
        let amounts = [subtotal, discount, tax, shipping, i128::from(total)];
        let each =
            names.into_iter().zip(amounts).map(|(name, amount)| format!("{name} {}", sum(amount, lang)));
        each.collect::<Vec<_>>().join(", ")
    };
    let in_french = figures(Lang::Fr, ["sous-total", "remise", "taxes", "livraison", "total"]);
    let in_english = figures(Lang::En, ["subtotal", "discount", "tax", "shipping", "total"]);
    mismatch(&format!("{french} : {in_french}"), &format!("{english}: {in_english}"))
}

/// In which mode a session is that is no payment, in words.
pub(super) fn another_mode(fact: &SessionFact) -> Option<Words> {
    let mode = fact.mode.as_deref().filter(|mode| *mode != "payment")?;
    Some(Words::new(format!("le mode de la session est {mode:?}"), format!("the session's mode is {mode:?}")))
}
