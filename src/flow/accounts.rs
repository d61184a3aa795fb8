//! Who may sign in, and who is signed in.
//!
//! **Invariants.** A password is kept only as a bcrypt hash, a session only as the hash of its id.
//! Role and disabling are read at every request. The last active ADMIN can be neither disabled nor
//! lowered. A failed sign-in never tells why, nor by its time.

mod hashing;
mod login;
mod sessions;

pub use hashing::Overloaded;
pub use login::{Allowance, LOGIN_LIMIT, LOGIN_WINDOW, LoggedIn, LoginAttempt, LoginError, PLACE_LIFETIME};
pub use sessions::{ABSOLUTE_END, IDLE_END, SessionToken};

use crate::config::{Config, SessionStore};
use clock::Clock;
use domain::Fault;
use domain::account::{User, account_email};
use domain::ids::UserId;
use domain::password::NewPassword;
use domain::role::Role;
use hashing::Hashing;
use secrecy::{ExposeSecret, SecretString};
use sessions::Sessions;
use std::time::Duration;
use store::{Store, StoreError};

/// Accounts and sessions.
#[derive(Debug)]
pub struct Accounts {
    store: Store,
    clock: Clock,
    hashing: Hashing,
    sessions: Sessions,
    /// Keys the hashes by which failures are counted and logged.
    secret: SecretString,
}

/// Why an account was not made or changed.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// What was given cannot be used.
    #[error("{}", .0.iter().map(|fault| format!("{} {}", fault.path, fault.message)).collect::<Vec<_>>().join("; "))]
    Invalid(Vec<Fault>),
    /// The address has an account.
    #[error("there is an account with this address already")]
    EmailTaken,
    /// No such account.
    #[error("there is no such account")]
    NotFound,
    /// Nobody could administer any more.
    #[error("this is the last active ADMIN: make another one first")]
    LastAdmin,
    /// Too many passwords are being hashed.
    #[error(transparent)]
    Overloaded(#[from] Overloaded),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Who asks for a change, for the audit log.
#[derive(Debug, Clone, Copy)]
pub struct Actor<'a> {
    /// A user's address, `cli` or `system`.
    pub name: &'a str,
    /// The request, if it is one.
    pub request_id: Option<&'a str>,
}

impl Actor<'static> {
    /// Somebody with a shell on the machine.
    pub const CLI: Self = Self { name: "cli", request_id: None };
    /// The program itself.
    pub const SYSTEM: Self = Self { name: "system", request_id: None };
}

/// How one may sign in for the first time.
#[derive(Debug)]
pub enum FirstStart {
    /// Somebody can sign in already, or just could before.
    Nothing,
    /// The ADMIN of `ADMIN_EMAIL` was made.
    Seeded,
    /// An ADMIN was made with a password that is shown once and kept nowhere.
    Generated {
        /// Sign in with this,
        email: String,
        /// and this.
        password: SecretString,
    },
    /// Production, and nobody can sign in.
    Nobody,
}

/// What comparing one password may take: OWASP's "less than one second".
const HASHING_BUDGET: Duration = Duration::from_secs(1);
/// The account of the unconfigured first start.
const FIRST_EMAIL: &str = "admin@localhost";

impl Accounts {
    /// Accounts in `store`, sessions where `config` says.
    #[must_use]
    pub fn new(store: Store, clock: Clock, config: &Config) -> Self {
        let sessions = match config.session_store {
            SessionStore::Database => Sessions::Database,
            SessionStore::Memory => Sessions::in_memory(),
        };
        let secret = config.session_secret.clone();
        Self { store, clock, hashing: Hashing::new(), sessions, secret }
    }

    /// Makes an account.
    ///
    /// # Errors
    /// Any [`AccountError`].
    pub async fn create(
        &self,
        email: &str,
        password: &str,
        role: Role,
        by: Actor<'_>,
    ) -> Result<User, AccountError> {
        let (email, password) = check(email, password)?;
        let hash = self.hashing.hash(password.expose()).await?;
        let user = User {
            id: UserId::from(clock::new_id()),
            email,
            role,
            active: true,
            created_at: self.clock.now(),
        };
        let mut tx = self.store.begin().await?;
        if !tx.insert_user(&user, &hash).await? {
            return Err(AccountError::EmailTaken);
        }
        let detail = format!("role {role}");
        tx.audit(user.created_at, by.name, "user.created", &user.email, &detail, by.request_id).await?;
        tx.commit().await?;
        tracing::info!(module = "security", action = "user_created", user_id = %user.id, %role, "an account was made");
        Ok(user)
    }

    /// Makes the ADMIN of `ADMIN_EMAIL` if there is no such account; says whether it was made. An
    /// account that is there is left as it is.
    ///
    /// # Errors
    /// Any [`AccountError`].
    pub async fn seed(&self, email: &str, password: &str, by: Actor<'_>) -> Result<bool, AccountError> {
        match self.create(email, password, Role::Admin, by).await {
            Ok(_) => Ok(true),
            Err(AccountError::EmailTaken) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Sees to it that somebody can sign in, if nobody can: the ADMIN of the configuration, or in
    /// development one with a generated password.
    ///
    /// # Errors
    /// Any [`AccountError`].
    pub async fn first_start(&self, config: &Config) -> Result<FirstStart, AccountError> {
        let mut tx = self.store.read().await?;
        let users = tx.count_users().await?;
        tx.rollback().await?;
        if users > 0 {
            return Ok(FirstStart::Nothing);
        }
        if let (Some(email), Some(password)) = (&config.admin_email, &config.admin_password) {
            let made = self.seed(email, password.expose_secret(), Actor::SYSTEM).await?;
            return Ok(if made { FirstStart::Seeded } else { FirstStart::Nothing });
        }
        if config.is_production() {
            return Ok(FirstStart::Nobody);
        }
        // 80 bits, in groups that can be typed.
        let random = hex::encode(rand::random::<[u8; 10]>());
        let password = [&random[..5], &random[5..10], &random[10..15], &random[15..]].join("-");
        let made = self.seed(FIRST_EMAIL, &password, Actor::SYSTEM).await?;
        Ok(if made {
            FirstStart::Generated { email: FIRST_EMAIL.to_owned(), password: SecretString::from(password) }
        } else {
            FirstStart::Nothing
        })
    }

    /// Tells the log how long a password takes to compare here, and warns if that is beyond what people and
    /// the machine bear. To be called once at the start.
    pub async fn time_hashing(&self) {
        let Ok(took) = self.hashing.time().await else { return };
        let duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let action = "accounts.hashing_timed";
        if took > HASHING_BUDGET {
            tracing::warn!(
                module = "accounts",
                action,
                duration_ms,
                "hashing a password is slow on this machine"
            );
        } else {
            tracing::info!(
                module = "accounts",
                action,
                duration_ms,
                "measured how long hashing a password takes"
            );
        }
    }

    /// Everybody, by address.
    ///
    /// # Errors
    /// Any [`AccountError`].
    pub async fn list(&self) -> Result<Vec<User>, AccountError> {
        let mut tx = self.store.read().await?;
        let users = tx.users().await?;
        tx.rollback().await?;
        Ok(users)
    }

    /// The account with this id.
    ///
    /// # Errors
    /// [`AccountError::NotFound`], or the database's.
    pub async fn find(&self, id: UserId) -> Result<User, AccountError> {
        let mut tx = self.store.read().await?;
        let user = tx.user(id).await?;
        tx.rollback().await?;
        user.ok_or(AccountError::NotFound)
    }

    /// The account with this address.
    ///
    /// # Errors
    /// [`AccountError::NotFound`], or the database's.
    pub async fn find_by_email(&self, email: &str) -> Result<User, AccountError> {
        let email = account_email(email).map_err(|_| AccountError::NotFound)?;
        let mut tx = self.store.read().await?;
        let found = tx.credentials(&email).await?;
        tx.rollback().await?;
        found.map(|found| found.user).ok_or(AccountError::NotFound)
    }

    /// Changes what somebody may do, from that person's next request on.
    ///
    /// # Errors
    /// Any [`AccountError`].
    pub async fn set_role(&self, id: UserId, role: Role, by: Actor<'_>) -> Result<User, AccountError> {
        let changed = self.change(id, by, |user| User { role, ..user }).await?;
        tracing::info!(
            module = "security",
            action = "privilege_permissions_changed",
            user_id = %id,
            %role,
            "an account's role was set"
        );
        Ok(changed)
    }

    /// Lets somebody sign in, or no longer: sessions end at once.
    ///
    /// # Errors
    /// Any [`AccountError`].
    pub async fn set_active(&self, id: UserId, active: bool, by: Actor<'_>) -> Result<User, AccountError> {
        let changed = self.change(id, by, |user| User { active, ..user }).await?;
        let action = if active { "user_enabled" } else { "user_disabled" };
        tracing::info!(module = "security", action, user_id = %id, "an account was switched on or off");
        Ok(changed)
    }

    async fn change(
        &self,
        id: UserId,
        by: Actor<'_>,
        change: impl FnOnce(User) -> User,
    ) -> Result<User, AccountError> {
        let now = self.clock.now();
        let mut tx = self.store.begin().await?;
        let admins = tx.lock_active_admins().await?;
        let before = tx.user(id).await?.ok_or(AccountError::NotFound)?;
        let after = change(before.clone());
        let stays_admin = after.active && after.role == Role::Admin;
        if admins == [id] && !stays_admin {
            return Err(AccountError::LastAdmin);
        }
        if before != after {
            tx.set_role_and_active(id, after.role, after.active, now).await?;
            let describe =
                |user: &User| format!("{} {}", user.role, if user.active { "enabled" } else { "disabled" });
            let detail = format!("{} → {}", describe(&before), describe(&after));
            tx.audit(now, by.name, "user.changed", &after.email, &detail, by.request_id).await?;
        }
        if !after.active {
            tx.delete_sessions_of(id).await?;
        }
        tx.commit().await?;
        if !after.active {
            self.sessions.forget_user(id);
        }
        Ok(after)
    }

    /// Sets a new password and ends all of the person's sessions.
    ///
    /// # Errors
    /// Any [`AccountError`].
    pub async fn set_password(&self, id: UserId, password: &str, by: Actor<'_>) -> Result<(), AccountError> {
        let user = self.find(id).await?;
        let (_, password) = check(&user.email, password)?;
        let hash = self.hashing.hash(password.expose()).await?;
        let now = self.clock.now();
        let mut tx = self.store.begin().await?;
        tx.set_password_hash(id, &hash, now).await?;
        tx.delete_sessions_of(id).await?;
        tx.audit(now, by.name, "user.password_set", &user.email, "", by.request_id).await?;
        tx.commit().await?;
        self.sessions.forget_user(id);
        tracing::info!(
            module = "security",
            action = "authn_password_change",
            user_id = %id,
            "a password was set, its sessions ended"
        );
        Ok(())
    }

    /// Ends all sessions of somebody; says how many there were.
    ///
    /// # Errors
    /// Any [`AccountError`].
    pub async fn end_sessions(&self, id: UserId, by: Actor<'_>) -> Result<u64, AccountError> {
        let user = self.find(id).await?;
        let mut tx = self.store.begin().await?;
        let ended = tx.delete_sessions_of(id).await?;
        tx.audit(self.clock.now(), by.name, "user.sessions_ended", &user.email, "", by.request_id).await?;
        tx.commit().await?;
        Ok(ended + self.sessions.forget_user(id))
    }

    /// Forgets sessions that have ended and failures that no longer count. To be called now and then.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn forget_ended(&self) -> Result<(), StoreError> {
        let now = self.clock.now();
        // Each on its own: locks of many rows must not meet those of a sign-in in another order.
        let mut tx = self.store.begin().await?;
        tx.delete_ended_sessions(now).await?;
        tx.commit().await?;
        let mut tx = self.store.begin().await?;
        tx.delete_old_login_limits(now).await?;
        tx.commit().await
    }
}

/// Both faults at once.
fn check(email: &str, password: &str) -> Result<(String, NewPassword), AccountError> {
    match (account_email(email), NewPassword::parse(password, email.trim())) {
        (Ok(email), Ok(password)) => Ok((email, password)),
        (email, password) => {
            Err(AccountError::Invalid([email.err(), password.err()].into_iter().flatten().collect()))
        }
    }
}
