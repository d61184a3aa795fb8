//! Where a database is at home.

use std::fmt;

/// An address, and whether payments there are real.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    /// An origin, as `https://shop.example.org`.
    pub address: String,
    /// Whether money is real.
    pub live: bool,
}

impl Home {
    /// From the text that [`Home`] is written as.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (mode, address) = text.split_once(' ')?;
        let live = match mode {
            "live" => true,
            "test" => false,
            _ => return None,
        };
        Some(Self { address: address.to_owned(), live })
    }

    /// Whether a service at `here` is at this home. On one's own machine any port is; and a test that becomes real
    /// stays where it is, but what was real never becomes a test.
    #[must_use]
    pub fn is_at(&self, here: &Self) -> bool {
        let same = self.address == here.address || (is_loopback(&self.address) && is_loopback(&here.address));
        same && (here.live || !self.live)
    }
}

impl fmt::Display for Home {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", if self.live { "live" } else { "test" }, self.address)
    }
}

fn is_loopback(address: &str) -> bool {
    let host = address.split("://").nth(1).unwrap_or_default();
    let host = match host.strip_prefix('[') {
        Some(host) => host.split(']').next().unwrap_or_default(),
        None => host.split([':', '/']).next().unwrap_or_default(),
    };
    host == "localhost" || host.ends_with(".localhost") || host.starts_with("127.") || host == "::1"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_elsewhere_or_with_a_test_key_is_not_at_home() {
        let home = |text: &str| Home::parse(text).unwrap();
        for (kept, here, at_home) in [
            ("live https://shop.example.org", "live https://shop.example.org", true),
            ("live https://shop.example.org", "test https://shop.example.org", false),
            ("live https://shop.example.org", "live https://staging.example.org", false),
            ("live https://shop.example.org", "test http://localhost:4242", false),
            ("test https://shop.example.org", "live https://shop.example.org", true),
            ("test http://localhost:4242", "test http://127.0.0.1:5000", true),
            ("test http://[::1]:4242", "test http://shop.localhost", true),
            ("test http://localhost:4242", "live https://shop.example.org", false),
            ("test http://localhost.example.org", "test http://localhost:1", false),
        ] {
            assert_eq!(home(kept).is_at(&home(here)), at_home, "{kept} -> {here}");
            assert_eq!(home(kept).to_string(), kept);
        }
        assert_eq!(Home::parse("https://shop.example.org"), None);
    }
}
