//! Keyset pages: newest first, each page says where the next one begins.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The most rows that a page may have.
pub const MAX_LIMIT: u32 = 100;
/// How many rows a page has if nobody says.
pub const DEFAULT_LIMIT: u32 = 50;

/// A place in a list: the last row seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// The row's time in microseconds since 1970.
    pub at: i64,
    /// The row's id, for rows of the same time.
    pub id: String,
}

impl Cursor {
    /// Opaque text for a `next` member and its link.
    #[must_use]
    pub fn encode(&self) -> String {
        URL_SAFE_NO_PAD.encode(format!("{}:{}", self.at, self.id))
    }

    /// From what [`Cursor::encode`] made; none for anything else.
    #[must_use]
    pub fn decode(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let text = String::from_utf8(bytes).ok()?;
        let (at, id) = text.split_once(':')?;
        let usable = id.len() <= 64 && id.bytes().all(|b| b.is_ascii_graphic());
        usable.then_some(())?;
        Some(Self { at: at.parse().ok()?, id: id.to_owned() })
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
    /// The bounds to bind: everything that sorts below this pair is on the page or after it.
    pub(super) fn bounds(&self) -> (i64, String) {
        match &self.after {
            Some(cursor) => (cursor.at, cursor.id.clone()),
            None => (i64::MAX, String::new()),
        }
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
