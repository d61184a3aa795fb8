//! Faults that can be asked for, and the dice that decide them.
//!
//! Each decision is a function of the seed, the kind of fault and the ordinal of what it strikes
//! (the n-th event, the n-th request), never of timing. One seed and one sequence of requests
//! therefore give the same faults again.

use serde::{Deserialize, Serialize};

/// What goes wrong, and how often. The default is: nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Faults {
    /// The same event is delivered several times at once.
    pub duplicate: Option<Duplicate>,
    /// A second event with another id tells the same fact: percent of events.
    pub twin_percent: u8,
    /// The deliveries of one change are shuffled within windows of this many. 0 and 1 do nothing.
    pub reorder_window: usize,
    /// Deliveries start late.
    pub delay: Option<Delay>,
    /// Deliveries are lost on their way.
    pub drop: Option<Drop>,
    /// An API request that causes events is answered only after their first delivery attempt.
    pub webhook_before_answer: bool,
    /// A session is paid with this card (number or name) before the request that creates it is
    /// answered, so its webhook overtakes the answer.
    pub pay_before_answer: Option<String>,
    /// Added to the time in the signature, in seconds: a sender whose clock is off.
    pub signature_skew_seconds: i64,
    /// Percent of deliveries that carry a signature made with a foreign secret.
    pub wrong_signature_percent: u8,
    /// A signature made with a retired secret stands before the right ones.
    pub old_secret_too: bool,
    /// What happens to API requests, first match first.
    pub api: Vec<ApiFault>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Duplicate {
    #[serde(default = "always")]
    pub percent: u8,
    /// How many times it is delivered beyond the first, at most 20.
    #[serde(default = "one")]
    pub copies: u8,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Delay {
    #[serde(default = "always")]
    pub percent: u8,
    /// By the simulator's clock.
    #[serde(default)]
    pub min_ms: u64,
    pub max_ms: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Drop {
    #[serde(default = "always")]
    pub percent: u8,
    /// True: never delivered, as if Stripe had forgotten it. False: the first attempt is lost and
    /// retried like any failed one.
    #[serde(default)]
    pub forever: bool,
}

/// A fault of the API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiFault {
    pub kind: ApiFaultKind,
    /// Only for this method. Any, if not given.
    #[serde(default)]
    pub method: Option<String>,
    /// Only for paths that begin so. Any, if not given.
    #[serde(default)]
    pub path: Option<String>,
    #[serde(default = "always")]
    pub percent: u8,
    /// Only for so many matching requests, then no more. Without it, for as long as it is set.
    #[serde(default)]
    pub next: Option<u32>,
    /// For `latency`, in milliseconds.
    #[serde(default)]
    pub ms: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ApiFaultKind {
    /// The answer takes `ms` milliseconds longer. The idempotency key is in use meanwhile.
    Latency,
    /// 429 with `Stripe-Rate-Limited-Reason`; nothing was done.
    RateLimit,
    /// 500 before the endpoint began: a retry with the same key is a new try.
    ServerError,
    /// 500 after the endpoint began: kept for the idempotency key, so a retry gets it again.
    ServerErrorStored,
    /// The connection is cut and nothing was done.
    ResetBefore,
    /// The work is done and the connection is cut before the answer.
    ResetAfter,
    /// The work is done and half the answer is sent.
    Truncated,
    /// 400 with `Stripe-Should-Retry: true`; nothing was done.
    ShouldRetry,
    /// 500 with `Stripe-Should-Retry: false`; nothing was done.
    ShouldNotRetry,
    /// A web page instead of JSON, as a proxy in between would answer: 502.
    Html,
}

impl ApiFault {
    /// A fault of any request, in so many percent.
    #[must_use]
    pub fn of(kind: ApiFaultKind, percent: u8) -> Self {
        Self { kind, method: None, path: None, percent, next: None, ms: 0 }
    }
}

/// The short names that [`Faults::add`] knows.
pub(crate) const NAMES: &str = "duplicate, twin, reorder, delay, drop, lose, webhook-before-answer, pay-before-answer, \
    signature-skew, wrong-signature, old-secret, latency, rate-limit, server-error, server-error-stored, \
    reset-before, reset-after, truncated, should-retry, should-not-retry, html";

const fn always() -> u8 {
    100
}

const fn one() -> u8 {
    1
}

/// The largest delay and latency that is honoured.
pub(crate) const MAX_MS: u64 = 24 * 3600 * 1000;

/// The seed and what is derived from it.
#[derive(Debug, Clone, Copy)]
pub struct Dice {
    pub seed: u64,
}

impl Dice {
    /// Whether the fault `purpose` strikes number `n`, in `percent` of the cases.
    pub fn strikes(self, purpose: &str, n: u64, percent: u8) -> bool {
        self.below(purpose, n, 100) < u64::from(percent)
    }

    /// An even number below `bound` for `purpose` and `n`; 0 for a bound of 0.
    pub fn below(self, purpose: &str, n: u64, bound: u64) -> u64 {
        let salt = purpose.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let mut x = self.seed ^ salt ^ n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        for multiplier in [0xbf58_476d_1ce4_e5b9_u64, 0x94d0_49bb_1331_11eb] {
            x = (x ^ (x >> 30)).wrapping_mul(multiplier);
        }
        x ^= x >> 31;
        if bound == 0 { 0 } else { x % bound }
    }

    /// Shuffles each window of `window` entries.
    pub fn shuffle<T>(self, purpose: &str, n: u64, window: usize, entries: &mut [T]) {
        for (chunk_at, chunk) in entries.chunks_mut(window.max(1)).enumerate() {
            for at in (1..chunk.len()).rev() {
                let draw = n.wrapping_add((chunk_at as u64) << 32).wrapping_add((at as u64) << 16);
                let other = self.below(purpose, draw, at as u64 + 1);
                chunk.swap(at, usize::try_from(other).unwrap_or(0));
            }
        }
    }
}

impl Faults {
    /// The fault for the `n`-th request, if one strikes. Counts down those with a `next`.
    pub fn strike(&mut self, dice: Dice, n: u64, method: &str, path: &str) -> Option<ApiFault> {
        let at = self.api.iter().position(|fault| {
            fault.method.as_ref().is_none_or(|m| m.eq_ignore_ascii_case(method))
                && fault.path.as_ref().is_none_or(|p| path.starts_with(p.as_str()))
                && fault.next != Some(0)
                && dice.strikes("api", n, fault.percent)
        })?;
        let fault = &mut self.api[at];
        fault.next = fault.next.map(|left| left - 1);
        let struck = fault.clone();
        if struck.next == Some(0) {
            self.api.remove(at);
        }
        Some(struck)
    }

    /// Adds a fault by its short name, as a flag gives it: `duplicate=50`, `reset-after`, `delay=500`.
    ///
    /// # Errors
    /// The sentence that says what is wrong with it.
    pub fn add(&mut self, text: &str) -> Result<(), String> {
        let (name, value) = text.split_once('=').map_or((text, None), |(name, value)| (name, Some(value)));
        let number = |default: i64| match value {
            None => Ok(default),
            Some(value) => value.parse::<i64>().map_err(|_| format!("{value} is no whole number")),
        };
        let percent = || {
            let given = number(100)?;
            u8::try_from(given).ok().filter(|p| *p <= 100).ok_or(format!("{given} is no percentage"))
        };
        let natural = |default: i64| {
            let given = number(default)?;
            u64::try_from(given).map_err(|_| format!("{given} is negative"))
        };
        match name {
            "duplicate" => self.duplicate = Some(Duplicate { percent: percent()?, copies: 1 }),
            "twin" => self.twin_percent = percent()?,
            "reorder" => self.reorder_window = usize::try_from(natural(5)?).unwrap_or(usize::MAX),
            "delay" => self.delay = Some(Delay { percent: 100, min_ms: 0, max_ms: natural(1_000)? }),
            "drop" => self.drop = Some(Drop { percent: percent()?, forever: false }),
            "lose" => self.drop = Some(Drop { percent: percent()?, forever: true }),
            "webhook-before-answer" => self.webhook_before_answer = true,
            "pay-before-answer" => self.pay_before_answer = Some(value.unwrap_or("pm_card_visa").to_owned()),
            "signature-skew" => self.signature_skew_seconds = number(-400)?,
            "wrong-signature" => self.wrong_signature_percent = percent()?,
            "old-secret" => self.old_secret_too = true,
            "latency" => {
                let ms = natural(1_000)?;
                self.api.push(ApiFault { ms, ..ApiFault::of(ApiFaultKind::Latency, 100) });
            }
            _ => {
                let kind = serde_json::from_value(serde_json::Value::from(name.replace('-', "_")));
                let kind: ApiFaultKind = kind.map_err(|_| format!("known are {NAMES}"))?;
                self.api.push(ApiFault::of(kind, percent()?));
            }
        }
        self.mistake().map_or(Ok(()), Err)
    }

    /// The sentence that says why these faults make no sense, if so.
    pub fn mistake(&self) -> Option<String> {
        if self.api.len() > 100 {
            return Some("api: at most 100 faults".to_owned());
        }
        if self.duplicate.as_ref().is_some_and(|d| d.copies > 20) {
            return Some("duplicate.copies: at most 20".to_owned());
        }
        if self.delay.as_ref().is_some_and(|d| d.max_ms < d.min_ms || d.max_ms > MAX_MS) {
            return Some(format!("delay: min_ms <= max_ms <= {MAX_MS}"));
        }
        if self.api.iter().any(|f| f.ms > 10 * 60 * 1000) {
            return Some("api.ms: at most ten minutes".to_owned());
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_gives_the_same_faults_again_and_another_gives_others() {
        let draw = |seed| (0..64).map(|n| Dice { seed }.strikes("twin", n, 50)).collect::<Vec<_>>();
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
    }

    #[test]
    fn percentages_are_about_right() {
        let dice = Dice { seed: 1 };
        let hits = (0..10_000).filter(|n| dice.strikes("drop", *n, 30)).count();
        assert!((2_700..3_300).contains(&hits), "{hits}");
        assert_eq!((0..100).filter(|n| dice.strikes("drop", *n, 0)).count(), 0);
        assert_eq!((0..100).filter(|n| dice.strikes("drop", *n, 100)).count(), 100);
    }

    #[test]
    fn every_short_name_is_a_fault() {
        for name in NAMES.split(", ") {
            let mut faults = Faults::default();
            assert_eq!(faults.add(name), Ok(()), "{name}");
            assert_ne!(faults, Faults::default(), "{name}");
        }
        assert!(Faults::default().add("nonsense").is_err());
        assert!(Faults::default().add("drop=101").is_err());
    }

    #[test]
    fn a_fault_for_the_next_request_strikes_once() {
        let json = r#"{"api":[{"kind":"server_error","method":"POST","path":"/v1/refunds","next":1}]}"#;
        let mut faults: Faults = serde_json::from_str(json).unwrap();
        let dice = Dice { seed: 1 };
        assert!(faults.strike(dice, 0, "POST", "/v1/charges").is_none());
        assert!(faults.strike(dice, 1, "post", "/v1/refunds").is_some());
        assert!(faults.strike(dice, 2, "POST", "/v1/refunds").is_none());
    }
}
