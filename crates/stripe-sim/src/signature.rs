//! How deliveries are signed, after Stripe's webhook documentation: `t=<unix seconds>,v1=<hex>`, HMAC-SHA256 over
//! `<t>.<raw body>` with the whole secret as key, `whsec_` included.
//!
//! Only signing. Whoever verifies has code of its own, so that both cannot share a mistake.

use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

/// The `Stripe-Signature` header for `body` at `timestamp` (unix seconds), one `v1` for each secret.
#[must_use]
pub fn sign(secrets: &[SecretString], timestamp: i64, body: &[u8]) -> String {
    let mut header = format!("t={timestamp}");
    for secret in secrets {
        #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
        let mut mac =
            Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes()).expect("any key length");
        mac.update(format!("{timestamp}.").as_bytes());
        mac.update(body);
        header.push_str(",v1=");
        header.push_str(&hex::encode(mac.finalize().into_bytes()));
    }
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made with `printf '1795435200.{"id":"evt_1"}' | openssl dgst -sha256 -hmac whsec_old` (and `whsec_new`).
    #[test]
    fn the_header_is_what_openssl_makes_of_it() {
        let secrets = ["whsec_old", "whsec_new"].map(SecretString::from);
        assert_eq!(
            sign(&secrets, 1_795_435_200, br#"{"id":"evt_1"}"#),
            "t=1795435200,v1=250e7e4e05439d98196dc41bddcb16bad916299112477f90a6d57d439afa8578,v1=b25c1eab55fa50d37776a5929f22c34cec52c4c3d5e7c44152a186de369ffa18"
        );
    }
}
