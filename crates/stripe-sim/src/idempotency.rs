//! `Idempotency-Key`: the first answer is kept for 24 hours and given again.

use super::error::StripeError;
use super::form::{Branch, Node};
use base64::Engine;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// The longest key that Stripe takes.
pub(crate) const MAX_KEY_CHARS: usize = 255;
/// How long an answer is kept.
const KEPT_SECONDS: i64 = 24 * 3600;
/// Keys that are kept; beyond it the oldest are forgotten.
///
/// The official libraries send one with every POST, and each keeps a whole answer.
const MAX_KEYS: usize = 20_000;

/// An answer as it was first given.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Stored {
    pub status: u16,
    pub body: Kept,
    /// `Request-Id` of the request that made it.
    pub request: String,
}

/// An answer's body, which is kept for a day and hardly ever given again.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub(crate) struct Kept(Box<[u8]>);

impl Kept {
    pub(crate) fn of(text: &str) -> Self {
        Self(lz4_flex::block::compress_prepend_size(text.as_bytes()).into())
    }

    pub(crate) fn text(&self) -> String {
        let bytes = lz4_flex::block::decompress_size_prepended(&self.0).unwrap_or_default();
        String::from_utf8(bytes).unwrap_or_default()
    }
}

impl From<String> for Kept {
    fn from(text: String) -> Self {
        Self::of(&text)
    }
}

impl From<Kept> for String {
    fn from(kept: Kept) -> Self {
        kept.text()
    }
}

/// What is known of a key.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// Where it was first used.
    #[serde(default)]
    path: Box<str>,
    fingerprint: String,
    at: i64,
    /// Nothing while the first request runs.
    stored: Option<Stored>,
    /// Its place in the order of arrival.
    #[serde(skip)]
    place: u64,
}

/// The keys in use.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    entries: HashMap<String, Entry>,
    /// Oldest first.
    order: BTreeMap<u64, String>,
    next: u64,
    /// What the data file does not yet have: answers that are kept now, and keys that are forgotten.
    changed: BTreeSet<String>,
    gone: Vec<String>,
}

/// What to do with a request that carries a key.
#[derive(Debug)]
#[must_use]
pub(crate) enum Begin {
    /// The key is new and now in use: run the request, then call [`Keys::finish`].
    Run,
    /// Answer this again.
    Replay(Stored),
}

impl Keys {
    /// Looks a key up and, if it is new, takes it.
    ///
    /// # Errors
    /// 400 if it was used with other parameters, 409 if its first request still runs.
    pub(crate) fn begin(
        &mut self,
        key: &str,
        path: &str,
        fingerprint: String,
        now: i64,
    ) -> Result<Begin, StripeError> {
        let old =
            self.entries.get(key).filter(|e| now.saturating_sub(e.at) < KEPT_SECONDS || e.stored.is_none());
        match old {
            Some(entry) if !entry.path.is_empty() && *entry.path != *path => {
                Err(StripeError::idempotency_elsewhere(key, &entry.path, path))
            }
            Some(entry) if entry.fingerprint != fingerprint => Err(StripeError::idempotency_mismatch(key)),
            Some(Entry { stored: None, .. }) => Err(StripeError::idempotency_in_use(key)),
            Some(Entry { stored: Some(stored), .. }) => Ok(Begin::Replay(stored.clone())),
            None => {
                self.make_room();
                self.put(
                    key.to_owned(),
                    Entry { path: path.into(), fingerprint, at: now, stored: None, place: 0 },
                );
                Ok(Begin::Run)
            }
        }
    }

    /// Puts an entry behind all others, in place of an older one of that key.
    pub(crate) fn put(&mut self, key: String, entry: Entry) {
        self.forget(&key);
        self.order.insert(self.next, key.clone());
        self.entries.insert(key, Entry { place: self.next, ..entry });
        self.next += 1;
    }

    /// Forgets a key.
    pub(crate) fn forget(&mut self, key: &str) {
        if let Some(entry) = self.entries.remove(key) {
            self.order.remove(&entry.place);
            self.changed.remove(key);
            if entry.stored.is_some() {
                self.gone.push(key.to_owned());
            }
        }
    }

    /// Keeps the answer of the key's first request, or forgets the key if there is none to keep:
    /// the request was refused before its endpoint began.
    pub(crate) fn finish(&mut self, key: &str, answer: Option<Stored>) {
        match (answer, self.entries.get_mut(key)) {
            (Some(stored), Some(entry)) => {
                entry.stored = Some(stored);
                self.changed.insert(key.to_owned());
            }
            (Some(_), None) => {}
            (None, _) => self.forget(key),
        }
    }

    /// All answers that are kept, oldest first.
    pub(crate) fn kept(&self) -> impl Iterator<Item = (&str, &Entry)> {
        let entry = |key: &String| self.entries.get(key).filter(|entry| entry.stored.is_some());
        self.order.values().filter_map(move |key| Some((key.as_str(), entry(key)?)))
    }

    /// What has changed and what was forgotten since this was last asked.
    pub(crate) fn news(&mut self) -> (Vec<(String, &Entry)>, Vec<String>) {
        let changed = std::mem::take(&mut self.changed);
        let rows =
            changed.into_iter().filter_map(|key| Some((key.clone(), self.entries.get(&key)?))).collect();
        (rows, std::mem::take(&mut self.gone))
    }

    /// Forgets the oldest answers; a key whose request still runs is never forgotten.
    fn make_room(&mut self) {
        while self.entries.len() >= MAX_KEYS {
            let Some(oldest) = self.kept().next().map(|(key, _)| key.to_owned()) else { return };
            self.forget(&oldest);
        }
    }
}

/// What makes two requests to one address the same: the parameters, in any order.
pub(crate) fn fingerprint(params: &Branch) -> String {
    let mut hash = Sha256::new();
    feed(&mut hash, params);
    base64::engine::general_purpose::STANDARD_NO_PAD.encode(&hash.finalize()[..16])
}

fn feed(hash: &mut Sha256, branch: &Branch) {
    let mut sorted: Vec<&(String, Node)> = branch.iter().collect();
    sorted.sort_by(|a, b| a.0.cmp(&b.0));
    for (name, node) in sorted {
        hash.update(format!("{}:{name}", name.len()));
        match node {
            Node::Text(text) => hash.update(format!("={}:{text}", text.len())),
            Node::Branch(inner) => {
                hash.update("{");
                feed(hash, inner);
                hash.update("}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_answers_are_forgotten_and_keys_in_use_are_not() {
        let mut keys = Keys::default();
        let begin =
            |keys: &mut Keys, n: usize| keys.begin(&format!("k{n}"), "/v1/x", String::new(), 0).is_ok();
        let stored = || Some(Stored { status: 200, body: Kept::of(""), request: String::new() });
        assert!(begin(&mut keys, 0));
        for n in 1..=MAX_KEYS {
            assert!(begin(&mut keys, n));
            keys.finish(&format!("k{n}"), stored());
        }
        assert_eq!(keys.kept().count(), MAX_KEYS - 1);
        assert!(!begin(&mut keys, 0), "it still runs");
        assert!(matches!(keys.begin("k1", "/v1/x", String::new(), 0), Ok(Begin::Run)), "it was forgotten");
        assert!(matches!(
            keys.begin(&format!("k{MAX_KEYS}"), "/v1/x", String::new(), 0),
            Ok(Begin::Replay(_))
        ));
        assert_eq!(keys.news().1.first().map(String::as_str), Some("k1"));
    }
}
