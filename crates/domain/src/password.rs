//! What may become a password. How it is kept is `flow::accounts`'s business.

use super::Fault;
use std::collections::HashSet;
use std::sync::LazyLock;

/// The fewest characters of a new password.
pub const MIN_CHARS: usize = 8;
/// The most bytes: bcrypt reads no more, and what it does not read must not seem to protect.
pub const MAX_BYTES: usize = 72;

static COMMON: LazyLock<HashSet<&str>> = LazyLock::new(|| {
    let lines = include_str!("common_passwords.txt").lines();
    lines.filter(|line| !line.starts_with('#')).collect()
});

/// A text that may become a password: long enough, not cut by bcrypt, and not among the first that
/// anybody guesses. Which characters it is made of is the owner's choice.
#[derive(Clone)]
pub struct NewPassword(String);

impl NewPassword {
    /// Checks `text` for the account of `email`.
    ///
    /// # Errors
    /// A [`Fault`] of the member `password` that says what to do.
    pub fn parse(text: &str, email: &str) -> Result<Self, Fault> {
        let fault = |code, message: String| Err(Fault::coded("password", code, message));
        let lower = text.to_lowercase();
        if text.chars().count() < MIN_CHARS {
            fault("password_short", format!("must have at least {MIN_CHARS} characters; 15 are better"))
        } else if text.len() > MAX_BYTES {
            fault("password_long", format!("must have at most {MAX_BYTES} bytes"))
        } else if text.contains('\0') {
            fault("password_nul", "must not contain a NUL character".to_owned())
        } else if COMMON.contains(lower.as_str()) || lower == email.to_lowercase() {
            fault("password_common", "is among the first that anybody would guess; choose another".to_owned())
        } else {
            Ok(Self(text.to_owned()))
        }
    }

    /// The password itself, for hashing.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for NewPassword {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NewPassword")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// S09
    #[test]
    fn length_and_commonness_decide_and_nothing_else() {
        let code = |text: &str| NewPassword::parse(text, "ada@pay.test").err().map(|fault| fault.code);
        for good in
            ["aaaaaaab", "lettersonly", "83920174650", "mot de passe très long", "éééééééé", " leading"]
        {
            assert_eq!(code(good), None, "{good}");
        }
        for common in ["password", "PASSWORD", "12345678", "iloveyou", "qwertyuiop", "ada@PAY.test"] {
            assert_eq!(code(common), Some("password_common"), "{common}");
        }
        assert_eq!(code("seven77"), Some("password_short"));
        assert_eq!(code("nul\0inside"), Some("password_nul"));
        // S08: 72 bytes are all used, the 73rd would not be.
        assert_eq!(code(&"é1".repeat(24)), None);
        assert_eq!(code(&format!("{}x", "é1".repeat(24))), Some("password_long"));
    }
}
