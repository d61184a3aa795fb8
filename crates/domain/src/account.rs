//! People who can sign in.

use super::Fault;
use super::booking::is_email;
use super::ids::UserId;
use super::role::Role;
use clock::Timestamp;

/// Somebody who can sign in. The password's hash is not part of it, so it cannot leave by accident.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Its id.
    pub id: UserId,
    /// The address, in lower case.
    pub email: String,
    /// What this person may do.
    pub role: Role,
    /// Whether this person may sign in at all.
    pub active: bool,
    /// Since when.
    pub created_at: Timestamp,
}

/// An account's address as it is kept: trimmed, in lower case.
///
/// # Errors
/// A [`Fault`] of the member `email` if no mail could ever reach it, save for `…@localhost`, which is
/// an account without mail.
pub fn account_email(text: &str) -> Result<String, Fault> {
    let email = text.trim().to_lowercase();
    let local =
        email.strip_suffix("@localhost").is_some_and(|name| is_email(&format!("{name}@localhost.test")));
    if local || is_email(&email) {
        Ok(email)
    } else {
        Err(Fault::coded("email", "email", "must be an e-mail address such as name@example.org"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_kept_in_lower_case() {
        assert_eq!(account_email(" Ada@Pay.Test ").unwrap(), "ada@pay.test");
        assert_eq!(account_email("admin@localhost").unwrap(), "admin@localhost");
        for bad in ["", "@localhost", "ada", "ada@host", "a b@localhost"] {
            assert!(account_email(bad).is_err(), "{bad}");
        }
    }
}
