//! The `Stripe-Signature` header: what Stripe sends and what we accept.
//!
//! Format (Stripe's webhook documentation): `t=<unix seconds>,v1=<hex>[,v1=<hex>…][,v0=<hex>]`.
//! The signed text is `<t>.<raw body>`, HMAC-SHA256 keyed with the whole endpoint secret as text,
//! `whsec_` included. `t` is read as a number and printed again for that, and no blank is trimmed: so do
//! Stripe's own libraries, and a header on which they agree gets their verdict here. Only `v1` counts; any `v1` that fits any configured secret is enough, because
//! Stripe signs with the old and the new secret while one is being rolled.
//!
//! There is no I/O and no clock here: the time is an argument.

use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;
use subtle::ConstantTimeEq;

/// How old, in seconds, a signature may be. Exactly this old still passes, as in the official SDKs.
pub const TOLERANCE_SECONDS: i64 = 300;

/// A header longer than this is refused unread. Stripe's own are under 300 bytes.
const MAX_HEADER_BYTES: usize = 8 * 1024;

/// A body that was proved to come from the holder of one of our endpoint secrets.
///
/// Only [`verify`] makes one, and `event::parse` takes nothing else, so an unverified body cannot
/// become an event.
#[derive(Debug)]
pub struct Verified<'a> {
    body: &'a [u8],
    secret_index: usize,
    timestamp: i64,
}

impl<'a> Verified<'a> {
    /// The raw bytes, exactly as signed.
    #[must_use]
    pub fn body(&self) -> &'a [u8] {
        self.body
    }

    /// Which of the configured secrets fitted, counted from 0 in configuration order.
    #[must_use]
    pub fn secret_index(&self) -> usize {
        self.secret_index
    }

    /// When Stripe signed, in unix seconds by Stripe's clock.
    #[must_use]
    pub fn timestamp(&self) -> i64 {
        self.timestamp
    }
}

/// Why a delivery was refused. The caller answers 400 for each; the log and a metric say which.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// There is no `Stripe-Signature` header, or it is empty.
    #[error("the Stripe-Signature header is missing")]
    HeaderMissing,
    /// The header is there but cannot be read: no or two `t`, a `t` that is no number, not ASCII.
    #[error("the Stripe-Signature header is malformed")]
    HeaderMalformed,
    /// The header carries no `v1` signature.
    #[error("the Stripe-Signature header carries no v1 signature")]
    NoV1Signature,
    /// No `v1` fits any secret: the secret is another endpoint's, or the body was altered on its way.
    #[error("no signature fits: check STRIPE_WEBHOOK_SECRET, and that no proxy alters the body")]
    NoMatch,
    /// The signature fits but is older than [`TOLERANCE_SECONDS`]: a replay, or our clock is fast.
    #[error("the signature is too old: check this machine's clock")]
    TooOld,
}

impl SignatureError {
    /// A short stable word for logs and metric labels.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::HeaderMissing => "header_missing",
            Self::HeaderMalformed => "header_malformed",
            Self::NoV1Signature => "no_v1_signature",
            Self::NoMatch => "secret_or_body",
            Self::TooOld => "timestamp_out_of_tolerance",
        }
    }
}

/// Verifies `body` against `header` with every secret in `secrets`, at `now` (unix seconds).
///
/// The signature is judged before the age, so that [`SignatureError::TooOld`] is only ever said of
/// a body that the secret's holder did sign. Timestamps in the future pass, as in Stripe's SDKs.
///
/// # Errors
/// A [`SignatureError`] that says which part did not fit.
pub fn verify<'a>(
    header: Option<&[u8]>,
    body: &'a [u8],
    secrets: &[SecretString],
    now: i64,
) -> Result<Verified<'a>, SignatureError> {
    let header = header.filter(|h| !h.is_empty()).ok_or(SignatureError::HeaderMissing)?;
    let parsed = Header::parse(header)?;
    if parsed.signatures.is_empty() {
        return Err(SignatureError::NoV1Signature);
    }

    // Every pair is compared, also after a match: the time taken must not tell which one fitted.
    let mut matched = None;
    for (index, secret) in secrets.iter().enumerate() {
        let expected = mac(secret.expose_secret().as_bytes(), parsed.timestamp, body);
        for candidate in &parsed.signatures {
            if bool::from(expected.as_slice().ct_eq(candidate)) {
                matched = matched.or(Some(index));
            }
        }
    }
    let secret_index = matched.ok_or(SignatureError::NoMatch)?;

    // Compared without subtracting: a hostile or absurd timestamp must not overflow.
    if parsed.timestamp < now.saturating_sub(TOLERANCE_SECONDS) {
        return Err(SignatureError::TooOld);
    }
    Ok(Verified { body, secret_index, timestamp: parsed.timestamp })
}

/// What can be refused before a body is read: a header that no body can fit. A stranger's megabyte is not
/// worth waiting for.
///
/// # Errors
/// As [`verify`], except that what is too old was not proved to be signed at all.
pub fn check_head(header: Option<&[u8]>, now: i64) -> Result<(), SignatureError> {
    let header = header.filter(|h| !h.is_empty()).ok_or(SignatureError::HeaderMissing)?;
    let parsed = Header::parse(header)?;
    if parsed.signatures.is_empty() {
        return Err(SignatureError::NoV1Signature);
    }
    if parsed.timestamp < now.saturating_sub(TOLERANCE_SECONDS) {
        return Err(SignatureError::TooOld);
    }
    Ok(())
}

struct Header {
    timestamp: i64,
    /// Those `v1` values that are 32 bytes of hex. Others cannot fit and are passed over.
    signatures: Vec<[u8; 32]>,
}

impl Header {
    fn parse(header: &[u8]) -> Result<Self, SignatureError> {
        use SignatureError::HeaderMalformed;
        if header.len() > MAX_HEADER_BYTES || !header.is_ascii() {
            return Err(HeaderMalformed);
        }
        let mut timestamp = None;
        let mut any_v1 = false;
        let mut signatures = Vec::new();
        for element in header.split(|b| *b == b',') {
            let Some(at) = element.iter().position(|b| *b == b'=') else {
                match element {
                    b"t" | b"v1" => return Err(HeaderMalformed),
                    _ => continue, // bare tokens and trailing commas carry nothing
                }
            };
            let (name, value) = (&element[..at], &element[at + 1..]);
            match name {
                b"t" => match (unix_seconds(value), timestamp) {
                    (Some(number), None) => timestamp = Some(number),
                    // Two timestamps leave open which was signed; the SDKs disagree, we refuse.
                    _ => return Err(HeaderMalformed),
                },
                b"v1" => {
                    any_v1 = true;
                    let mut bytes = [0_u8; 32];
                    if hex::decode_to_slice(value, &mut bytes).is_ok() {
                        signatures.push(bytes);
                    }
                }
                // v0 and all else: never trusted, or a downgrade would be possible.
                _ => {}
            }
        }
        let timestamp = timestamp.ok_or(HeaderMalformed)?;
        if any_v1 && signatures.is_empty() {
            return Err(SignatureError::NoMatch);
        }
        Ok(Self { timestamp, signatures })
    }
}

/// Digits, with a plus before them at most.
fn unix_seconds(text: &[u8]) -> Option<i64> {
    let digits = text.strip_prefix(b"+").unwrap_or(text);
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

fn mac(secret: &[u8], timestamp: i64, body: &[u8]) -> [u8; 32] {
    #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("any key length");
    mac.update(timestamp.to_string().as_bytes());
    mac.update(b".");
    mac.update(body);
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests;
