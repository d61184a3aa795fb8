//! Signing in, and how often it may be tried.
//!
//! Two counts, both shared by all instances through the database. By address: five failures a minute.
//! By account: after five failures from anywhere each further one doubles a delay, up to a quarter of
//! an hour. Exempt from the second are places where the account was signed in from lately, and browsers
//! that signed in to it before and say so by a device cookie (OWASP's), so that strangers who fail on
//! purpose do not lock its owner out; a device has a count of its own. Who comes from a new place with a
//! new browser while strangers fail on purpose waits with them: `users unlock` lets them in.

use super::hashing::{Overloaded, Verified};
use super::sessions::SessionToken;
use super::{Accounts, Actor};
use domain::account::User;
use domain::backoff::Backoff;
use domain::client_address::network;
use domain::ids::UserId;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::ExposeSecret;
use sha2::Sha256;
use std::net::IpAddr;
use std::time::Duration;
use store::StoreError;
use store::users::Credentials;
use subtle::ConstantTimeEq;

/// Failures that an address has per [`LOGIN_WINDOW`].
pub const LOGIN_LIMIT: u32 = 5;
/// The time after which an address's failures are forgotten.
pub const LOGIN_WINDOW: Duration = Duration::from_secs(60);
/// Failures that an account has before strangers must wait.
const ACCOUNT_LIMIT: i32 = 5;
/// The wait after the failure that is one too many, and after each that follows.
const DELAY: Backoff = Backoff::new(Duration::from_secs(10), Duration::from_secs(15 * 60));
/// An account's failures are forgotten after so long without one.
const ACCOUNT_WINDOW: Duration = Duration::from_secs(3600);
/// A place counts as known for so long after its last sign-in.
pub const PLACE_LIFETIME: Duration = Duration::from_secs(30 * 24 * 3600);

/// One try.
#[derive(Debug)]
pub struct LoginAttempt<'a> {
    /// As typed.
    pub email: &'a str,
    /// As typed.
    pub password: &'a str,
    /// From where.
    pub address: IpAddr,
    /// The device cookie that the browser has, if any.
    pub device: Option<&'a str>,
    /// The session that the browser has: it ends.
    pub old_session: Option<&'a SessionToken>,
    /// For the audit log.
    pub request_id: Option<&'a str>,
}

/// What an address may still do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    /// Failures left.
    pub remaining: u32,
    /// Until all are given back.
    pub resets_in: Duration,
}

/// A success.
#[derive(Debug)]
pub struct LoggedIn {
    /// Who.
    pub user: User,
    /// For the cookie.
    pub session: SessionToken,
    /// For the device cookie, by which this browser is known for [`PLACE_LIFETIME`].
    pub device: String,
    /// What the address may still do.
    pub allowance: Allowance,
}

/// Why nobody was signed in.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// Unknown address, wrong password, disabled account: nobody is told which.
    #[error("wrong address or password")]
    Refused(Allowance),
    /// Too many failures.
    #[error("too many failed tries")]
    Limited {
        /// How long to wait.
        retry_after: Duration,
    },
    /// Too many people are signing in.
    #[error(transparent)]
    Overloaded(#[from] Overloaded),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a try is counted against.
struct Ticket {
    address_key: String,
    /// What counts this try beside the address: the account for strangers, the device for one that is known,
    /// nothing at a known place.
    second_key: Option<String>,
    /// For the log.
    account_key: String,
    place: String,
    allowance: Allowance,
    found: Option<Credentials>,
}

impl Accounts {
    /// Signs somebody in.
    ///
    /// # Errors
    /// Any [`LoginError`].
    pub async fn login(&self, attempt: LoginAttempt<'_>) -> Result<LoggedIn, LoginError> {
        let client = self.keyed("client", &network(attempt.address).to_string());
        let ticket = match self.take_ticket(&attempt).await {
            Err(LoginError::Limited { retry_after }) => {
                tracing::warn!(
                    module = "security",
                    action = "authn_login_fail_max",
                    client = short(&client),
                    retry_after_seconds = retry_after.as_secs(),
                    "too many failed sign-ins"
                );
                return Err(LoginError::Limited { retry_after });
            }
            ticket => ticket?,
        };
        // The same work and the same queries, whoever it is.
        let hash = ticket.found.as_ref().map(|found| found.password_hash.clone());
        let verified = match self.hashing.verify(attempt.password, hash).await {
            Ok(verified) => verified,
            Err(overloaded) => {
                self.give_back(&ticket).await?;
                return Err(overloaded.into());
            }
        };
        let right = verified != Verified::No;
        if let Some(found) = ticket.found.as_ref().filter(|found| right && found.user.active) {
            let weak = verified == Verified::YesButWeak;
            if let Some(signed_in) = self.succeed(&attempt, &ticket, found, weak).await? {
                return Ok(signed_in);
            }
        }
        tracing::warn!(
            module = "security",
            action = "authn_login_fail",
            client = short(&client),
            account = short(&ticket.account_key),
            "a sign-in failed"
        );
        Err(LoginError::Refused(ticket.allowance))
    }

    /// Counts the try as a failure before it is judged, so that many at once cannot pass together.
    async fn take_ticket(&self, attempt: &LoginAttempt<'_>) -> Result<Ticket, LoginError> {
        let now = self.clock.now();
        // No account has a NUL in its address, and PostgreSQL refuses a statement that carries one.
        let email = attempt.email.trim().to_lowercase().replace('\0', "\u{FFFD}");
        let place = self.keyed("place", &network(attempt.address).to_string());
        let address_key = self.keyed("address", &network(attempt.address).to_string());
        let account_key = self.keyed("account", &email);

        let mut tx = self.store.begin().await?;
        let address = tx.count_login_failure(&address_key, now, now.plus(LOGIN_WINDOW), false).await?;
        let failures = u32::try_from(address.failures).unwrap_or(u32::MAX);
        let resets_in = address.window_ends().since(now);
        if failures > LOGIN_LIMIT {
            tx.rollback().await?;
            return Err(LoginError::Limited { retry_after: resets_in });
        }
        let found = tx.credentials(&email).await?;
        let user = found.as_ref().map_or_else(|| UserId::from(clock::new_id()), |found| found.user.id);
        let known_place = tx.is_login_place(user, &place, now.minus(PLACE_LIFETIME)).await?;
        let device = attempt.device.and_then(|device| self.known_device(device, &email));
        let second_key = match (known_place, device) {
            (true, _) => None,
            (false, Some(device)) => Some(self.keyed("device count", device)),
            (false, None) => Some(account_key.clone()),
        };
        if let Some(key) = &second_key {
            let count = tx.count_login_failure(key, now, now.plus(ACCOUNT_WINDOW), true).await?;
            if count.blocked_until() > now {
                let retry_after = count.blocked_until().since(now);
                tx.rollback().await?;
                // What is refused costs its address as much as what is judged: nobody may keep asking for free.
                let mut tx = self.store.begin().await?;
                tx.count_login_failure(&address_key, now, now.plus(LOGIN_WINDOW), false).await?;
                tx.commit().await?;
                return Err(LoginError::Limited { retry_after });
            }
            if count.failures >= ACCOUNT_LIMIT {
                tx.block_logins(key, now.plus(delay(count.failures))).await?;
            }
        }
        tx.commit().await?;
        let allowance = Allowance { remaining: LOGIN_LIMIT - failures, resets_in };
        Ok(Ticket { address_key, second_key, account_key, place, allowance, found })
    }

    /// The try was not judged, so it did not fail.
    async fn give_back(&self, ticket: &Ticket) -> Result<(), StoreError> {
        let mut tx = self.store.begin().await?;
        tx.forgive_login_failure(&ticket.address_key).await?;
        if let Some(key) = &ticket.second_key {
            tx.forgive_login_failure(key).await?;
        }
        tx.commit().await
    }

    /// Begins the session; none if the account was disabled or its password changed while this one was hashed.
    async fn succeed(
        &self,
        attempt: &LoginAttempt<'_>,
        ticket: &Ticket,
        found: &Credentials,
        weak: bool,
    ) -> Result<Option<LoggedIn>, LoginError> {
        let renewed = if weak { self.hash_anew(attempt.password).await } else { None };
        let now = self.clock.now();
        let mut tx = self.store.begin().await?;
        let Some(user) = tx.user_with_hash(found.user.id, &found.password_hash).await? else {
            return Ok(None);
        };
        if let Some(hash) = renewed {
            tx.set_password_hash(user.id, &hash, now).await?;
        }
        tx.forgive_login_failure(&ticket.address_key).await?;
        if let Some(key) = &ticket.second_key {
            tx.clear_login_failures(key).await?;
        }
        tx.note_login_place(user.id, &ticket.place, now, now.minus(PLACE_LIFETIME)).await?;
        self.replace(&mut tx, attempt.old_session).await?;
        let session = self.start_session(&mut tx, user.id, now).await?;
        let by = Actor { name: &user.email, request_id: attempt.request_id };
        tx.audit(now, by.name, "session.started", &user.email, "", by.request_id).await?;
        tx.commit().await?;
        tracing::info!(module = "security", action = "authn_login_success", user_id = %user.id, "signed in");
        tracing::info!(module = "security", action = "session_created", user_id = %user.id, "a session began");
        let allowance = Allowance { remaining: ticket.allowance.remaining + 1, ..ticket.allowance };
        let device = self.new_device(&user.email);
        Ok(Some(LoggedIn { user, session, device, allowance }))
    }

    /// Lets strangers' failures for an account count no more, so that its owner need not wait with them.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn unlock(&self, user: &User, by: Actor<'_>) -> Result<(), StoreError> {
        let mut tx = self.store.begin().await?;
        tx.clear_login_failures(&self.keyed("account", &user.email)).await?;
        tx.audit(self.clock.now(), by.name, "user.unlocked", &user.email, "", by.request_id).await?;
        tx.commit().await?;
        tracing::info!(module = "security", action = "user_unlocked", user_id = %user.id, "failed sign-ins were forgiven");
        Ok(())
    }

    /// What a browser keeps to be known for this account's: random, until when, and our name for both.
    fn new_device(&self, email: &str) -> String {
        let ends = self.clock.now().plus(PLACE_LIFETIME).as_unix_seconds();
        let device = format!("{}.{ends}", hex::encode(rand::random::<[u8; 16]>()));
        let proof = self.keyed("device", &format!("{device}\0{email}"));
        format!("{device}.{proof}")
    }

    /// The device, if it was made here for this account and is not too old.
    fn known_device<'d>(&self, cookie: &'d str, email: &str) -> Option<&'d str> {
        let (device, proof) = cookie.rsplit_once('.')?;
        let (_, ends) = device.split_once('.')?;
        let fresh = ends.parse::<i64>().is_ok_and(|ends| ends > self.clock.now().as_unix_seconds());
        let expected = self.keyed("device", &format!("{device}\0{email}"));
        (fresh && bool::from(expected.as_bytes().ct_eq(proof.as_bytes()))).then_some(device)
    }

    /// A hash that is too cheap to guess is made anew now that the password is known. If that fails,
    /// the next sign-in does it.
    async fn hash_anew(&self, password: &str) -> Option<String> {
        let hash = self.hashing.hash(password).await;
        hash.inspect_err(|error| {
            tracing::warn!(module = "accounts", action = "password.renewal_failed", "{error}");
        })
        .ok()
    }

    /// A name for `text` that tells nothing to whoever does not have our secret.
    fn keyed(&self, what: &str, text: &str) -> String {
        #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
        let mut mac =
            Hmac::<Sha256>::new_from_slice(self.secret.expose_secret().as_bytes()).expect("any key");
        mac.update(b"login\0");
        mac.update(what.as_bytes());
        mac.update(b"\0");
        mac.update(text.as_bytes());
        hex::encode(mac.finalize().into_bytes())
    }
}

/// Enough of a keyed name to tell clients apart in a log.
fn short(keyed: &str) -> &str {
    keyed.get(..12).unwrap_or(keyed)
}

/// How long strangers wait after the `failures`-th failure.
fn delay(failures: i32) -> Duration {
    DELAY.after(failures.saturating_sub(ACCOUNT_LIMIT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_delay_doubles_up_to_a_quarter_of_an_hour() {
        let seconds: Vec<_> = [5, 6, 7, 8, 11, 12, 1000].map(|failures| delay(failures).as_secs()).into();
        assert_eq!(seconds, [10, 20, 40, 80, 640, 900, 900]);
    }
}
