//! A booking's code: short enough to be said on the phone, without letters that look like others.

use super::ids::BookingId;
use std::fmt;

/// No 0 and O, no 1, I and L, no U that is heard as V.
const ALPHABET: &[u8; 30] = b"23456789ABCDEFGHJKMNPQRSTVWXYZ";
/// How many characters a code has.
const LENGTH: usize = 6;

/// Six characters that name a booking. It opens nothing by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Code([u8; LENGTH]);

impl Code {
    /// The code of a booking; the `nth` if the ones before belong to other bookings already.
    #[must_use]
    pub fn of(booking: BookingId, nth: u32) -> Self {
        let (high, low) = booking.halves();
        let mut rest =
            mixed(high ^ mixed(low.wrapping_add(u64::from(nth).wrapping_mul(0x9e37_79b9_7f4a_7c15))));
        let mut code = [0; LENGTH];
        for place in &mut code {
            let digit = usize::try_from(rest % 30).unwrap_or_default();
            *place = ALPHABET.get(digit).copied().unwrap_or(b'2');
            rest /= 30;
        }
        Self(code)
    }

    /// From what somebody typed or read out: in either case, with blanks and hyphens between.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        // What is much longer is no code with some hyphens in it.
        if text.len() > 4 * LENGTH {
            return None;
        }
        let letters = text.chars().filter(|c| !c.is_whitespace() && !matches!(c, '-' | '.'));
        let letters: Option<Vec<u8>> = letters
            .map(|c| u8::try_from(c.to_ascii_uppercase()).ok().filter(|letter| ALPHABET.contains(letter)))
            .collect();
        letters?.try_into().ok().map(Self)
    }

    /// As it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// Every bit of the answer depends on every bit of `x`, and no two `x` have the same answer (the last step of
/// SplitMix64).
fn mixed(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl serde::Serialize for Code {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn a_code_is_taken_however_it_is_typed() {
        let code = Code::parse("7KQ2MX").unwrap();
        for typed in ["7kq2mx", " 7KQ-2MX ", "7kq 2mx", "7-k-q-2-m-x"] {
            assert_eq!(Code::parse(typed), Some(code), "{typed}");
        }
        for typed in
            ["", "7KQ2M", "7KQ2MXY", "7KQ2M0", "7KQ2MO", "7KQ2M1", "7KQ2MU", "7KQ2Mé", "7KQ2MX\u{130}"]
        {
            assert_eq!(Code::parse(typed), None, "{typed}");
        }
        assert_eq!(Code::parse(&" ".repeat(10_000)), None);
    }

    #[test]
    fn bookings_made_one_after_the_other_have_codes_that_differ() {
        let id = |n: u64| BookingId::parse(&format!("0193b5a0-0000-7000-8000-{n:012x}")).unwrap();
        let codes: HashSet<Code> = (0..2000).map(|n| Code::of(id(n), 0)).collect();
        assert!(codes.len() >= 1998, "{}", codes.len());
        let others: HashSet<Code> = (0..50).map(|nth| Code::of(id(7), nth)).collect();
        assert_eq!(others.len(), 50);
        for code in codes {
            assert_eq!(Code::parse(code.as_str()), Some(code));
        }
    }
}
