//! Object ids in Stripe's form: a prefix that tells the kind, then random letters and digits.

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

fn random(prefix: &str, length: usize) -> String {
    let mut id = String::with_capacity(prefix.len() + length);
    id.push_str(prefix);
    id.extend((0..length).map(|_| char::from(ALPHABET[rand::random_range(0..ALPHABET.len())])));
    id
}

/// `cs_test_…`
pub(crate) fn session() -> String {
    random("cs_test_a1", 56)
}

/// Any other kind, by its prefix without the underscore: `pi`, `ch`, `re`, `evt`…
pub(crate) fn object(prefix: &str) -> String {
    random(&format!("{prefix}_1"), 23)
}

/// `prod_…`, the one kind without a leading digit.
pub(crate) fn product() -> String {
    random("prod_", 14)
}

/// Eight letters and digits, for what people type.
pub(crate) fn short() -> String {
    random("", 8)
}

/// `req_…`, as in the `Request-Id` header.
pub(crate) fn request() -> String {
    random("req_", 14)
}

/// The secret half of a `client_secret`.
pub(crate) fn secret() -> String {
    random("", 25)
}

/// An endpoint's signing secret.
pub(crate) fn webhook_secret() -> String {
    random("whsec_", 32)
}
