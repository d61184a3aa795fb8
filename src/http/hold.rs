//! The browser's own cookie, by which a customer resumes the seat that they hold.
//!
//! An e-mail address would not do: it is no secret, and a payment page is not for strangers. A value counts
//! only if it was handed out here, which its signature says: who can set a cookie from another site of the
//! domain must not choose under which name a customer is remembered. Under https browsers see to that too,
//! by the name `__Host-hold`. What fills in a form is never taken from it: see `pages::storefront`.

use crate::app::App;
use axum::http::{HeaderMap, HeaderValue, header};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// As long as a hold and the time to come back to it, in seconds.
const MAX_AGE: u32 = 24 * 3600;
/// What is random in a value, and the signature behind the dot, in characters.
const VALUE: usize = 43;
const SIGNATURE: usize = 22;

/// The cookie's name.
#[must_use]
pub fn name(app: &App) -> &'static str {
    if app.config.https() && app.config.cookie.secure { "__Host-hold" } else { "hold" }
}

/// The `Set-Cookie` header for this browser and the hash under which the database knows it. A
/// browser that has one of ours already keeps it.
#[must_use]
pub fn cookie_of(app: &App, headers: &HeaderMap) -> (HeaderValue, String) {
    hand_out(app, sent(app, headers).unwrap_or_else(new_value))
}

/// The same for a program, which may keep a cookie of its own making where there is no https: on a
/// developer's machine. It is known under another name from then on, and browsers' forms never take it.
#[must_use]
pub fn cookie_of_program(app: &App, headers: &HeaderMap) -> (HeaderValue, String) {
    let made_elsewhere = || {
        let value =
            values(headers, name(app)).find(|value| is_value(value)).filter(|_| !app.config.https())?;
        Some(URL_SAFE_NO_PAD.encode(keyed(app, "made elsewhere", value)))
    };
    hand_out(app, sent(app, headers).or_else(made_elsewhere).unwrap_or_else(new_value))
}

/// The hash of the cookie that was sent, if one of ours was.
#[must_use]
pub fn owner_hash(app: &App, headers: &HeaderMap) -> Option<String> {
    sent(app, headers).map(|value| hash(&value))
}

fn hand_out(app: &App, value: String) -> (HeaderValue, String) {
    let secure = if app.config.cookie.secure { "; Secure" } else { "" };
    let (name, signature) = (name(app), signature(app, &value));
    let cookie =
        format!("{name}={value}.{signature}; Path=/; Max-Age={MAX_AGE}; HttpOnly; SameSite=Lax{secure}");
    let cookie = HeaderValue::from_str(&cookie).unwrap_or(HeaderValue::from_static(""));
    (cookie, hash(&value))
}

fn new_value() -> String {
    URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>())
}

/// The first value that was handed out here: another site of the domain may have set one before it.
fn sent(app: &App, headers: &HeaderMap) -> Option<String> {
    let ours = values(headers, name(app)).find_map(|value| {
        let (value, given) = value.split_once('.')?;
        let fits = is_value(value) && given.len() == SIGNATURE;
        let signed = fits && bool::from(given.as_bytes().ct_eq(signature(app, value).as_bytes()));
        signed.then_some(value)
    });
    ours.map(str::to_owned)
}

/// Every value of the cookie with this name.
fn values<'h>(headers: &'h HeaderMap, name: &'static str) -> impl Iterator<Item = &'h str> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let pairs = cookies.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.filter(move |(given, _)| *given == name).map(|(_, value)| value)
}

fn is_value(text: &str) -> bool {
    text.len() == VALUE && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
}

fn signature(app: &App, value: &str) -> String {
    URL_SAFE_NO_PAD.encode(&keyed(app, "handed out", value)[..16])
}

fn keyed(app: &App, what: &str, value: &str) -> [u8; 32] {
    let secret = app.config.session_secret.expose_secret().as_bytes();
    #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("any key");
    for part in ["hold", what, value] {
        mac.update(part.as_bytes());
        mac.update(b"\0");
    }
    mac.finalize().into_bytes().into()
}

fn hash(value: &str) -> String {
    hex::encode(Sha256::digest(value))
}
