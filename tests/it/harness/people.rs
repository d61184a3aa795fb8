//! People who sign in.

use super::TestApp;
use super::app::{Answer, send};
use domain::account::User;
use domain::ids::UserId;
use domain::role::Role;
use serde_json::json;
use std::sync::LazyLock;

/// Everybody's password.
pub(crate) const PASSWORD: &str = "correct horse battery staple";

/// Somebody with an account, signed in.
#[derive(Debug, Clone)]
pub(crate) struct Person {
    pub id: UserId,
    pub email: String,
    /// `sid=…`
    pub cookie: String,
}

impl TestApp {
    /// An account, made without the program. Its password is [`PASSWORD`].
    pub(crate) async fn account(&self, email: &str, role: Role) -> User {
        static HASH: LazyLock<String> = LazyLock::new(|| bcrypt::hash(PASSWORD, 12).unwrap());
        self.account_with_hash(email, role, &HASH).await
    }

    pub(crate) async fn account_with_hash(&self, email: &str, role: Role, hash: &str) -> User {
        let created_at = self.clock.now();
        let user = User {
            id: UserId::from(clock::new_id()),
            email: email.to_owned(),
            role,
            active: true,
            created_at,
        };
        let mut tx = self.app.store.begin().await.unwrap();
        assert!(tx.insert_user(&user, hash).await.unwrap());
        tx.commit().await.unwrap();
        user
    }

    /// Somebody new with this role, signed in.
    pub(crate) async fn person(&self, role: Role) -> Person {
        let email = format!("{}-{}@pay.test", role.as_str().to_lowercase(), UserId::from(clock::new_id()));
        let user = self.account(&email, role).await;
        Person { id: user.id, cookie: cookie(&self.login(&email, PASSWORD).await), email }
    }

    pub(crate) async fn login(&self, email: &str, password: &str) -> Answer {
        self.login_with(email, password, &[]).await
    }

    pub(crate) async fn login_with(&self, email: &str, password: &str, headers: &[(&str, &str)]) -> Answer {
        self.post_json("/auth/login", &json!({ "email": email, "password": password }), headers).await
    }

    /// A request as the holder of this cookie.
    pub(crate) async fn get_as(&self, cookie: &str, path: &str) -> Answer {
        send(self.http.get(format!("{}{path}", self.url)).header("cookie", cookie)).await
    }

    /// Who this cookie is of: the status that `/auth/me` answers.
    pub(crate) async fn me(&self, cookie: &str) -> u16 {
        self.get_as(cookie, "/auth/me").await.status
    }
}

/// The `sid=…` that an answer sets.
pub(crate) fn cookie(answer: &Answer) -> String {
    let set = set_cookie(answer);
    set.split(';').next().unwrap().to_owned()
}

/// The whole `Set-Cookie` of the session.
pub(crate) fn set_cookie(answer: &Answer) -> String {
    let mut all = answer.headers.get_all("set-cookie").iter().map(|value| value.to_str().unwrap());
    all.rfind(|value| value.starts_with("sid=")).unwrap_or_else(|| panic!("{answer:?}")).to_owned()
}
