//! The browser's own cookie, by which a customer resumes the seat that they hold.
//!
//! An e-mail address would not do: it is no secret, and a payment page is not for strangers.

use crate::app::App;
use axum::http::{HeaderMap, HeaderValue, header};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

/// The cookie's name.
pub const COOKIE: &str = "hold";
/// As long as a hold and the time to come back to it, in seconds.
const MAX_AGE: u32 = 24 * 3600;

/// The `Set-Cookie` header for this browser and the hash under which the database knows it. A
/// browser that has one already keeps it.
#[must_use]
pub fn cookie_of(app: &App, headers: &HeaderMap) -> (HeaderValue, String) {
    let value = sent(headers).unwrap_or_else(|| URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>()));
    let secure = if app.config.cookie.secure { "; Secure" } else { "" };
    let cookie = format!("{COOKIE}={value}; Path=/; Max-Age={MAX_AGE}; HttpOnly; SameSite=Lax{secure}");
    let cookie = HeaderValue::from_str(&cookie).unwrap_or(HeaderValue::from_static(""));
    (cookie, hash(&value))
}

/// The hash of the cookie that was sent, if one was.
#[must_use]
pub fn owner_hash(headers: &HeaderMap) -> Option<String> {
    sent(headers).map(|value| hash(&value))
}

fn sent(headers: &HeaderMap) -> Option<String> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let pairs = cookies.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    // Another site of the same domain may have one of this name, and browsers send whichever they like first.
    let ours = |value: &&str| {
        value.len() == 43 && value.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
    };
    pairs.filter(|(name, _)| *name == COOKIE).map(|(_, value)| value).find(ours).map(str::to_owned)
}

fn hash(value: &str) -> String {
    hex::encode(Sha256::digest(value))
}
