//! Who may call the API: any test key, as Bearer or Basic, for the one account that there is, and
//! nobody with a live one.

use super::account;
use super::error::{StripeError, clip};
use axum::http::{HeaderMap, header};
use base64::Engine;

/// Checks the `Authorization` and `Stripe-Account` headers.
///
/// # Errors
/// 401 or 403 as Stripe gives it.
pub(crate) fn check(headers: &HeaderMap) -> Result<(), StripeError> {
    let key = headers.get(header::AUTHORIZATION).and_then(|v| v.to_str().ok()).and_then(key);
    let Some(key) = key.filter(|key| !key.is_empty()) else {
        return Err(StripeError::unauthorized(
            None,
            "You did not provide an API key. You need to provide your API key in the Authorization header, using \
             Bearer auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY'). See \
             https://stripe.com/docs/api#authentication for details, or we can help at https://support.stripe.com/.",
        ));
    };
    if key.starts_with("sk_live_") || key.starts_with("rk_live_") {
        return Err(StripeError::unauthorized(
            None,
            "This is a simulated Stripe: it takes test keys (sk_test_…, rk_test_…) only. Never send it a live key.",
        ));
    }
    if key.starts_with("pk_") {
        return Err(StripeError::forbidden(
            "secret_key_required",
            "This API call cannot be made with a publishable API key. Please use a secret API key. You can find a \
             list of your API keys at https://dashboard.stripe.com/account/apikeys.",
        ));
    }
    let secret = key.strip_prefix("sk_test_").or_else(|| key.strip_prefix("rk_test_"));
    if secret.is_none_or(str::is_empty) {
        return Err(StripeError::unauthorized(None, format!("Invalid API Key provided: {}", masked(&key))));
    }
    match headers.get("stripe-account") {
        None => Ok(()),
        Some(named) if named.as_bytes() == account::ID.as_bytes() => Ok(()),
        Some(named) => {
            let message = format!(
                "The provided key '{}' does not have access to account '{}' (or that account does not exist). \
                 Application access may have been revoked. Connect is not simulated: the one account here is {}.",
                masked(&key),
                clip(named.to_str().unwrap_or_default()),
                account::ID
            );
            Err(StripeError::forbidden("account_invalid", message))
        }
    }
}

fn key(header: &str) -> Option<String> {
    let (scheme, rest) = header.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(rest.trim().to_owned());
    }
    if scheme.eq_ignore_ascii_case("basic") {
        let decoded = base64::engine::general_purpose::STANDARD.decode(rest.trim()).ok()?;
        let text = String::from_utf8(decoded).ok()?;
        return Some(text.split(':').next().unwrap_or_default().to_owned());
    }
    None
}

/// The beginning and the end of a key, as Stripe shows one that it refuses.
fn masked(key: &str) -> String {
    let chars: Vec<char> = key.chars().collect();
    if chars.len() < 12 {
        return "*".repeat(chars.len().min(12));
    }
    let head: String = chars[..8].iter().collect();
    let tail: String = chars[chars.len() - 4..].iter().collect();
    format!("{head}{}{tail}", "*".repeat((chars.len() - 12).min(20)))
}
