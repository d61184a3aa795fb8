//! Sessions: made, recognised and ended. They live in the database, or in this process's memory.

use super::{Accounts, Actor};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clock::Timestamp;
use domain::account::User;
use domain::ids::UserId;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use store::sessions::SessionTimes;
use store::{StoreError, Tx};

/// A session ends so long after its sign-in, whatever happens.
pub const ABSOLUTE_END: Duration = Duration::from_secs(8 * 3600);
/// A session ends when it was not used for so long.
pub const IDLE_END: Duration = Duration::from_secs(2 * 3600);
/// How exactly its last use is known: so often at most it costs a write.
const TOUCH_EVERY: Duration = Duration::from_secs(60);
/// The most sessions that memory holds.
const MAX_IN_MEMORY: usize = 10_000;

/// A session's id: 256 random bits that only its cookie knows.
#[derive(Clone)]
pub struct SessionToken(String);

impl SessionToken {
    fn make() -> Self {
        Self(URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>()))
    }

    /// From a cookie; none if it cannot be one of ours.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let usable = text.len() == 43 && URL_SAFE_NO_PAD.decode(text).is_ok();
        usable.then(|| Self(text.to_owned()))
    }

    /// For the cookie.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    fn hash(&self) -> String {
        hex::encode(Sha256::digest(self.0.as_bytes()))
    }
}

impl std::fmt::Debug for SessionToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SessionToken")
    }
}

/// Where sessions live.
#[derive(Debug)]
pub(super) enum Sessions {
    Database,
    Memory(Mutex<HashMap<String, InMemory>>),
}

#[derive(Debug, Clone, Copy)]
pub(super) struct InMemory {
    user: UserId,
    times: SessionTimes,
}

impl Sessions {
    pub(super) fn in_memory() -> Self {
        Self::Memory(Mutex::default())
    }

    /// Ends the sessions of `user` that memory holds; those of the database end with the change itself.
    pub(super) fn forget_user(&self, user: UserId) -> u64 {
        match self {
            Self::Database => 0,
            Self::Memory(sessions) => {
                let mut sessions = lock(sessions);
                let before = sessions.len();
                sessions.retain(|_, session| session.user != user);
                u64::try_from(before - sessions.len()).unwrap_or(0)
            }
        }
    }
}

fn lock(sessions: &Mutex<HashMap<String, InMemory>>) -> MutexGuard<'_, HashMap<String, InMemory>> {
    sessions.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Accounts {
    /// Starts a session for `user` in `tx`.
    pub(super) async fn start_session(
        &self,
        tx: &mut Tx,
        user: UserId,
        now: Timestamp,
    ) -> Result<SessionToken, StoreError> {
        let token = SessionToken::make();
        let expires_at = now.plus(ABSOLUTE_END);
        match &self.sessions {
            Sessions::Database => tx.insert_session(&token.hash(), user, now, expires_at).await?,
            Sessions::Memory(sessions) => {
                let mut sessions = lock(sessions);
                sessions.retain(|_, session| session.times.expires_at > now);
                if sessions.len() >= MAX_IN_MEMORY {
                    let oldest = sessions.iter().min_by_key(|(_, session)| session.times.last_seen_at);
                    let oldest = oldest.map(|(hash, _)| hash.clone());
                    oldest.and_then(|hash| sessions.remove(&hash));
                }
                let times = SessionTimes { last_seen_at: now, expires_at };
                sessions.insert(token.hash(), InMemory { user, times });
            }
        }
        Ok(token)
    }

    /// Who the session is of, as that person is now; nobody if it has ended or the account is disabled.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn authenticate(&self, token: &SessionToken) -> Result<Option<User>, StoreError> {
        let hash = token.hash();
        let now = self.clock.now();
        let found = match &self.sessions {
            Sessions::Database => {
                let mut tx = self.store.read().await?;
                let found = tx.session(&hash).await?;
                tx.rollback().await?;
                found
            }
            Sessions::Memory(sessions) => {
                let session = lock(sessions).get(&hash).copied();
                match session {
                    None => None,
                    Some(session) => {
                        let mut tx = self.store.read().await?;
                        let user = tx.user(session.user).await?;
                        tx.rollback().await?;
                        user.map(|user| (session.times, user))
                    }
                }
            }
        };
        let Some((times, user)) = found else { return Ok(None) };
        if times.expires_at <= now || times.last_seen_at.plus(IDLE_END) <= now {
            self.remove(&hash).await?;
            tracing::info!(module = "security", action = "session_expired", user_id = %user.id, "a session ended");
            return Ok(None);
        }
        if !user.active {
            return Ok(None);
        }
        if times.last_seen_at.plus(TOUCH_EVERY) <= now {
            self.touch(&hash, now).await;
        }
        Ok(Some(user))
    }

    /// Ends a session. A second time does no harm.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn logout(&self, token: &SessionToken, request_id: Option<&str>) -> Result<(), StoreError> {
        let user = self.authenticate(token).await?;
        self.remove(&token.hash()).await?;
        if let Some(user) = user {
            let by = Actor { name: &user.email, request_id };
            let mut tx = self.store.begin().await?;
            tx.audit(self.clock.now(), by.name, "session.ended", &user.email, "", by.request_id).await?;
            tx.commit().await?;
            tracing::info!(module = "security", action = "session_logout", user_id = %user.id, "signed out");
        }
        Ok(())
    }

    pub(super) async fn remove(&self, hash: &str) -> Result<(), StoreError> {
        match &self.sessions {
            Sessions::Database => {
                let mut tx = self.store.begin().await?;
                tx.delete_session(hash).await?;
                tx.commit().await
            }
            Sessions::Memory(sessions) => {
                lock(sessions).remove(hash);
                Ok(())
            }
        }
    }

    /// Ends the session that a browser brought to its sign-in.
    pub(super) async fn replace(&self, tx: &mut Tx, old: Option<&SessionToken>) -> Result<(), StoreError> {
        let Some(old) = old else { return Ok(()) };
        match &self.sessions {
            Sessions::Database => tx.delete_session(&old.hash()).await.map(drop),
            Sessions::Memory(sessions) => {
                lock(sessions).remove(&old.hash());
                Ok(())
            }
        }
    }

    /// A full disk must not keep anybody from reading, so a failure here is only told.
    async fn touch(&self, hash: &str, now: Timestamp) {
        let touched = match &self.sessions {
            Sessions::Database => {
                async {
                    let mut tx = self.store.begin().await?;
                    tx.touch_session(hash, now).await?;
                    tx.commit().await
                }
                .await
            }
            Sessions::Memory(sessions) => {
                if let Some(session) = lock(sessions).get_mut(hash) {
                    session.times.last_seen_at = now;
                }
                Ok(())
            }
        };
        if let Err(error) = touched {
            tracing::warn!(module = "accounts", action = "session.touch_failed", "{error}");
        }
    }
}
