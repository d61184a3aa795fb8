//! Keyset pages: newest first, each page says where the next one begins. Ids sort by age, so the id of the last
//! row seen is all that it takes.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use uuid::Uuid;

/// The most rows that a page may have.
pub const MAX_LIMIT: u32 = 100;
/// How many rows a page has if nobody says.
pub const DEFAULT_LIMIT: u32 = 50;

/// A place in a list: the id of the last row seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor(pub String);

impl Cursor {
    /// Opaque text for a `next` member and its link.
    #[must_use]
    pub fn encode(&self) -> String {
        URL_SAFE_NO_PAD.encode(&self.0)
    }

    /// From what [`Cursor::encode`] made; none for anything else.
    #[must_use]
    pub fn decode(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let id = Uuid::try_parse(std::str::from_utf8(&bytes).ok()?).ok()?;
        Some(Self(id.hyphenated().to_string()))
    }
}

/// Which part of a list is wanted.
#[derive(Debug, Clone)]
pub struct PageRequest {
    /// Rows, from 1 to [`MAX_LIMIT`].
    pub limit: u32,
    /// The last row of the page before.
    pub after: Option<Cursor>,
}

impl Default for PageRequest {
    fn default() -> Self {
        Self { limit: DEFAULT_LIMIT, after: None }
    }
}

impl PageRequest {
    /// What to bind: every id below it is on the page or after it.
    pub(super) fn below(&self) -> &str {
        self.after.as_ref().map_or("~", |cursor| &cursor.0)
    }

    /// One row more than asked for, to know whether there is a next page.
    pub(super) fn fetch(&self) -> i64 {
        i64::from(self.limit.clamp(1, MAX_LIMIT)) + 1
    }

    /// Cuts the surplus row off and says where the next page begins.
    pub(super) fn finish<T>(&self, mut items: Vec<T>, cursor: impl Fn(&T) -> Cursor) -> Page<T> {
        let limit = usize::try_from(self.limit.clamp(1, MAX_LIMIT)).unwrap_or(1);
        let more = items.len() > limit;
        items.truncate(limit);
        let next = if more { items.last().map(cursor) } else { None };
        Page { items, next }
    }
}

/// One page.
#[derive(Debug, Clone)]
pub struct Page<T> {
    /// Its rows.
    pub items: Vec<T>,
    /// Where the next one begins; none at the end.
    pub next: Option<Cursor>,
}
