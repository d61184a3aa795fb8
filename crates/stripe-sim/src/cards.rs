//! Stripe's test cards and bank accounts, and what each does.
//!
//! Numbers and outcomes from Stripe's public testing page and the fixtures of its command line tool.

use serde::{Deserialize, Serialize};

/// A way to pay, as it was typed or named.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Instrument {
    Card(CardDetails),
    /// A direct debit in euro that is settled later.
    Sepa(SepaDetails),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CardDetails {
    pub number: String,
    pub exp_month: i64,
    pub exp_year: i64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SepaDetails {
    pub iban: String,
}

/// What happens when an instrument is charged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Succeeds,
    /// Succeeds, and the buyer's bank disputes it at once for this reason.
    Disputed {
        reason: &'static str,
        inquiry: bool,
    },
    /// The buyer must first confirm at the bank; then `then` decides.
    Authenticates {
        then: Refusal,
    },
    Declined(Refusal),
    /// Taken now, settled later.
    Later {
        succeeds: bool,
    },
}

/// How a charge is refused, or [`Refusal::NONE`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// Error code, `""` for none.
    pub code: &'static str,
    /// Decline code, `""` where the code says it all.
    pub decline_code: &'static str,
    pub message: &'static str,
}

impl Refusal {
    /// No refusal at all.
    pub(crate) const NONE: Self = Self { code: "", decline_code: "", message: "" };

    pub(crate) fn is_none(&self) -> bool {
        self.code.is_empty()
    }
}

const fn refuse(code: &'static str, decline_code: &'static str, message: &'static str) -> Outcome {
    Outcome::Declined(Refusal { code, decline_code, message })
}

/// One line of the table: the number, what it does, its name as `pm_card_…`, and a hint for the page.
#[derive(Debug)]
pub(crate) struct TestCard {
    pub number: &'static str,
    pub alias: &'static str,
    pub outcome: Outcome,
    /// Whether the hosted page lists it as a help.
    pub listed: bool,
}

const fn card(number: &'static str, alias: &'static str, outcome: Outcome, listed: bool) -> TestCard {
    TestCard { number, alias, outcome, listed }
}

const DECLINED: &str = "Your card was declined.";
const FRAUD: Outcome = Outcome::Disputed { reason: "fraudulent", inquiry: false };
const AUTHENTICATES: Outcome = Outcome::Authenticates { then: Refusal::NONE };

/// The cards with an outcome of their own. Every other number that passes the check digit succeeds.
pub(crate) static TEST_CARDS: [TestCard; 30] = [
    card("4242424242424242", "visa", Outcome::Succeeds, true),
    card("4000056655665556", "visa_debit", Outcome::Succeeds, false),
    card("5555555555554444", "mastercard", Outcome::Succeeds, true),
    card("378282246310005", "amex", Outcome::Succeeds, false),
    card("5200828282828210", "mastercard_debit", Outcome::Succeeds, false),
    card("6011111111111117", "discover", Outcome::Succeeds, false),
    card("3056930009020004", "diners", Outcome::Succeeds, false),
    card("3566002020360505", "jcb", Outcome::Succeeds, false),
    card("6200000000000005", "unionpay", Outcome::Succeeds, false),
    card("4000002500003155", "authenticationRequiredOnSetup", AUTHENTICATES, false),
    card("4000002760003184", "authenticationRequired", AUTHENTICATES, true),
    card("4000000000003220", "threeDSecure2Required", AUTHENTICATES, false),
    card(
        "4000008260003178",
        "authenticationRequiredChargeDeclinedInsufficientFunds",
        Outcome::Authenticates {
            then: Refusal {
                code: "card_declined",
                decline_code: "insufficient_funds",
                message: "Your card has insufficient funds.",
            },
        },
        false,
    ),
    card(
        "4000008400001629",
        "authenticationRequiredChargeDeclined",
        Outcome::Authenticates {
            then: Refusal { code: "card_declined", decline_code: "generic_decline", message: DECLINED },
        },
        false,
    ),
    card("4000000000000002", "chargeDeclined", refuse("card_declined", "generic_decline", DECLINED), true),
    card(
        "4000000000009995",
        "chargeDeclinedInsufficientFunds",
        refuse("card_declined", "insufficient_funds", "Your card has insufficient funds."),
        true,
    ),
    card("4000000000009987", "chargeDeclinedLostCard", refuse("card_declined", "lost_card", DECLINED), false),
    card(
        "4000000000009979",
        "chargeDeclinedStolenCard",
        refuse("card_declined", "stolen_card", DECLINED),
        false,
    ),
    card(
        "4000000000000069",
        "chargeDeclinedExpiredCard",
        refuse("expired_card", "", "Your card has expired."),
        true,
    ),
    card(
        "4000000000000127",
        "chargeDeclinedIncorrectCvc",
        refuse("incorrect_cvc", "", "Your card's security code is incorrect."),
        false,
    ),
    card(
        "4000000000000119",
        "chargeDeclinedProcessingError",
        refuse(
            "processing_error",
            "",
            "An error occurred while processing your card. Try again in a little bit.",
        ),
        true,
    ),
    card(
        "4000000000006975",
        "chargeDeclinedVelocityLimitExceeded",
        refuse(
            "card_declined",
            "card_velocity_exceeded",
            "Your card was declined for making repeated attempts too frequently or exceeding its amount limit.",
        ),
        false,
    ),
    card("4100000000000019", "radarBlock", refuse("card_declined", "fraudulent", DECLINED), false),
    card(
        "4000000000000341",
        "chargeCustomerFail",
        refuse("card_declined", "generic_decline", DECLINED),
        false,
    ),
    card("4000000000000259", "createDispute", FRAUD, true),
    card(
        "4000000000002685",
        "createDisputeProductNotReceived",
        Outcome::Disputed { reason: "product_not_received", inquiry: false },
        false,
    ),
    card(
        "4000000000001976",
        "createDisputeInquiry",
        Outcome::Disputed { reason: "fraudulent", inquiry: true },
        false,
    ),
    card(ASYNC_REFUND, "pendingRefund", Outcome::Succeeds, false),
    card(FAILED_REFUND, "refundFail", Outcome::Succeeds, false),
    card("4000000000000077", "bypassPending", Outcome::Succeeds, false),
];

/// Its refunds stay pending and succeed later.
pub(crate) const ASYNC_REFUND: &str = "4000000000007726";
/// Its refunds succeed and fail later.
pub(crate) const FAILED_REFUND: &str = "4000000000005126";

/// The IBAN whose debit succeeds later.
pub(crate) const IBAN_SUCCEEDS: &str = "AT611904300234573201";
/// The IBAN whose debit fails later.
pub(crate) const IBAN_FAILS: &str = "IT60X0542811101000000123456";

/// Why a number cannot even be tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unusable {
    Number,
    Iban,
}

impl Instrument {
    /// A card by its number, spaces and dashes allowed.
    ///
    /// # Errors
    /// [`Unusable::Number`] if it is no card number.
    pub(crate) fn card(number: &str, exp_month: i64, exp_year: i64) -> Result<Self, Unusable> {
        let number: String = number.chars().filter(|c| !matches!(c, ' ' | '-' | '\u{a0}')).collect();
        let plausible =
            (12..=19).contains(&number.len()) && number.bytes().all(|b| b.is_ascii_digit()) && luhn(&number);
        if plausible {
            Ok(Self::Card(CardDetails { number, exp_month, exp_year }))
        } else {
            Err(Unusable::Number)
        }
    }

    /// A bank account by its IBAN, spaces allowed.
    ///
    /// # Errors
    /// [`Unusable::Iban`] if it is none.
    pub(crate) fn sepa(iban: &str) -> Result<Self, Unusable> {
        let iban: String = iban.chars().filter(|c| !c.is_whitespace()).collect::<String>().to_uppercase();
        let plausible = (15..=34).contains(&iban.len())
            && iban.bytes().all(|b| b.is_ascii_alphanumeric())
            && iban.bytes().take(2).all(|b| b.is_ascii_uppercase())
            && checks_out(&iban);
        if plausible { Ok(Self::Sepa(SepaDetails { iban })) } else { Err(Unusable::Iban) }
    }

    /// By one of Stripe's names for test instruments: `pm_card_visa`, `tok_visa`, or a plain number.
    pub(crate) fn named(name: &str, year: i64) -> Option<Self> {
        let alias = name.strip_prefix("pm_card_").or_else(|| name.strip_prefix("tok_"));
        if let Some(alias) = alias {
            // Stripe has renamed some: pm_card_visa_chargeDeclined was pm_card_chargeDeclined.
            let names = [Some(alias), alias.strip_prefix("visa_")];
            let known = |name: &str| TEST_CARDS.iter().find(|c| c.alias.eq_ignore_ascii_case(name));
            let card = names.into_iter().flatten().find_map(known)?;
            return Self::card(card.number, 12, year + 4).ok();
        }
        match name {
            "sepa_debit" | "sepa" => Self::sepa(IBAN_SUCCEEDS).ok(),
            "sepa_debit_fail" | "sepa_fail" => Self::sepa(IBAN_FAILS).ok(),
            _ => Self::card(name, 12, year + 4).or_else(|_| Self::sepa(name)).ok(),
        }
    }

    /// `card` or `sepa_debit`.
    pub(crate) fn method_type(&self) -> &'static str {
        match self {
            Self::Card(_) => "card",
            Self::Sepa(_) => "sepa_debit",
        }
    }

    /// What charging it does.
    pub(crate) fn outcome(&self) -> Outcome {
        match self {
            Self::Card(card) => {
                TEST_CARDS.iter().find(|c| c.number == card.number).map_or(Outcome::Succeeds, |c| c.outcome)
            }
            Self::Sepa(account) => Outcome::Later { succeeds: account.iban != IBAN_FAILS },
        }
    }

    /// The last four characters.
    pub(crate) fn last4(&self) -> &str {
        let all = match self {
            Self::Card(card) => &card.number,
            Self::Sepa(account) => &account.iban,
        };
        all.len().checked_sub(4).and_then(|at| all.get(at..)).unwrap_or(all)
    }
}

impl CardDetails {
    /// The network, by the first digits.
    pub(crate) fn brand(&self) -> &'static str {
        match self.number.as_bytes() {
            [b'3', b'4' | b'7', ..] => "amex",
            [b'5', b'1'..=b'5', ..] | [b'2', b'2'..=b'7', ..] => "mastercard",
            [b'6', b'2', ..] => "unionpay",
            [b'6', ..] => "discover",
            [b'3', b'5', ..] => "jcb",
            [b'3', ..] => "diners",
            _ => "visa",
        }
    }

    /// `credit`, or `debit` for the debit test cards.
    pub(crate) fn funding(&self) -> &'static str {
        if matches!(self.number.as_str(), "4000056655665556" | "5200828282828210") {
            "debit"
        } else {
            "credit"
        }
    }
}

/// The check digits of an IBAN: its first four characters behind the others, letters as 10 to 35, leave
/// one when divided by 97.
fn checks_out(iban: &str) -> bool {
    let (front, rest) = iban.split_at(4);
    let value = |c: char| c.to_digit(36).unwrap_or(0);
    let rest = rest.chars().chain(front.chars()).map(value).fold(0, |sum, digit| {
        let shift = if digit > 9 { 100 } else { 10 };
        (sum * shift + digit) % 97
    });
    rest == 1
}

/// The check digit that every card number ends with.
fn luhn(number: &str) -> bool {
    let sum: u32 = number
        .bytes()
        .rev()
        .enumerate()
        .map(|(at, byte)| {
            let digit = u32::from(byte.saturating_sub(b'0'));
            match (at % 2, digit) {
                (0, d) => d,
                (_, d) if d > 4 => d * 2 - 9,
                (_, d) => d * 2,
            }
        })
        .sum();
    sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_test_card_passes_its_own_check_digit() {
        for card in &TEST_CARDS {
            assert!(Instrument::card(card.number, 12, 2030).is_ok(), "{}", card.number);
        }
    }

    #[test]
    fn a_number_with_a_wrong_check_digit_is_no_card() {
        assert_eq!(Instrument::card("4242 4242 4242 4241", 12, 2030), Err(Unusable::Number));
    }

    #[test]
    fn an_iban_with_wrong_check_digits_is_none() {
        assert!(Instrument::sepa(IBAN_SUCCEEDS).is_ok() && Instrument::sepa(IBAN_FAILS).is_ok());
        assert!(Instrument::sepa("DE89 3704 0044 0532 0130 00").is_ok());
        assert_eq!(Instrument::sepa("DE88 3704 0044 0532 0130 00"), Err(Unusable::Iban));
    }

    #[test]
    fn names_of_stripes_test_methods_are_known() {
        let declined = Instrument::named("pm_card_chargeDeclined", 2026).unwrap();
        assert!(matches!(declined.outcome(), Outcome::Declined(_)));
        assert_eq!(Instrument::named("pm_card_visa_chargeDeclined", 2026), Some(declined));
        assert_eq!(Instrument::named("tok_visa", 2026).unwrap().last4(), "4242");
        assert_eq!(Instrument::named("pm_card_unheard", 2026), None);
    }
}
