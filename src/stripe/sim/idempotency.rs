//! `Idempotency-Key`: the first answer is kept for 24 hours and given again.

use super::error::StripeError;
use super::form::{Branch, Node};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::HashMap;

/// The longest key that Stripe takes.
pub const MAX_KEY_CHARS: usize = 255;
/// How long an answer is kept.
const KEPT_SECONDS: i64 = 24 * 3600;
/// Keys that are kept; beyond it the oldest are forgotten.
const MAX_KEYS: usize = 100_000;

/// An answer as it was first given.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Stored {
    pub status: u16,
    pub body: String,
    /// `Request-Id` of the request that made it.
    pub request: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Entry {
    fingerprint: String,
    at: i64,
    /// Nothing while the first request runs.
    stored: Option<Stored>,
}

/// The keys in use.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Keys {
    entries: HashMap<String, Entry>,
}

/// What to do with a request that carries a key.
#[derive(Debug)]
#[must_use]
pub enum Begin {
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
    pub fn begin(&mut self, key: &str, fingerprint: String, now: i64) -> Result<Begin, StripeError> {
        let old =
            self.entries.get(key).filter(|e| now.saturating_sub(e.at) < KEPT_SECONDS || e.stored.is_none());
        match old {
            Some(entry) if entry.fingerprint != fingerprint => Err(StripeError::idempotency_mismatch(key)),
            Some(Entry { stored: None, .. }) => Err(StripeError::idempotency_in_use(key)),
            Some(Entry { stored: Some(stored), .. }) => Ok(Begin::Replay(stored.clone())),
            None => {
                self.make_room(now);
                self.entries.insert(key.to_owned(), Entry { fingerprint, at: now, stored: None });
                Ok(Begin::Run)
            }
        }
    }

    /// Keeps the answer of the key's first request, or forgets the key if there is none to keep:
    /// the request was refused before its endpoint began.
    pub fn finish(&mut self, key: &str, answer: Option<Stored>) {
        match answer {
            Some(stored) => {
                if let Some(entry) = self.entries.get_mut(key) {
                    entry.stored = Some(stored);
                }
            }
            None => {
                self.entries.remove(key);
            }
        }
    }

    /// Forgets keys whose first request never ended: after a restart nobody runs it any more.
    pub fn drop_unfinished(&mut self) {
        self.entries.retain(|_, entry| entry.stored.is_some());
    }

    fn make_room(&mut self, now: i64) {
        if self.entries.len() < MAX_KEYS {
            return;
        }
        self.entries.retain(|_, e| e.stored.is_none() || now.saturating_sub(e.at) < KEPT_SECONDS);
        while self.entries.len() >= MAX_KEYS {
            let oldest = self.entries.iter().filter(|(_, e)| e.stored.is_some()).min_by_key(|(_, e)| e.at);
            let Some(key) = oldest.map(|(key, _)| key.clone()) else { return };
            self.entries.remove(&key);
        }
    }
}

/// What makes two requests the same: method, path, and parameters in any order.
pub fn fingerprint(method: &str, path: &str, params: &Branch) -> String {
    let mut hash = Sha256::new();
    hash.update(format!("{method} {path}\n"));
    feed(&mut hash, params);
    hex::encode(hash.finalize())
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
