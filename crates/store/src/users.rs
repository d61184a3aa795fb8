//! People who can sign in.

use super::{StoreError, Tx};
use crate::row::parse;
use clock::Timestamp;
use domain::account::User;
use domain::ids::UserId;
use domain::role::Role;
use sqlx::AssertSqlSafe;

#[derive(Debug, sqlx::FromRow)]
pub(super) struct UserRow {
    id: String,
    email: String,
    role: String,
    active: bool,
    created_at: i64,
}

impl UserRow {
    pub(super) fn into_user(self) -> Result<User, StoreError> {
        Ok(User {
            id: parse("users.id", &self.id, |text| UserId::parse(text).ok())?,
            email: self.email,
            role: parse("users.role", &self.role, Role::parse)?,
            active: self.active,
            created_at: Timestamp::from_micros(self.created_at),
        })
    }
}

/// What signing in needs to know of an account.
#[derive(Debug)]
pub struct Credentials {
    /// Whose.
    pub user: User,
    /// bcrypt's text.
    pub password_hash: String,
}

impl Tx {
    /// Adds a user; says whether the address was free.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn insert_user(&mut self, user: &User, password_hash: &str) -> Result<bool, StoreError> {
        let added = on_engine!(self, conn => sqlx::query(
            "insert into users (id, email, password_hash, role, active, created_at, updated_at)
             values ($1, $2, $3, $4, $5, $6, $6) on conflict (email) do nothing")
            .bind(user.id.to_string())
            .bind(&user.email)
            .bind(password_hash)
            .bind(user.role.as_str())
            .bind(user.active)
            .bind(user.created_at.as_micros())
            .execute(conn)
            .await
            .map(|done| done.rows_affected()))?;
        Ok(added > 0)
    }

    /// How many users there are.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn count_users(&mut self) -> Result<i64, StoreError> {
        Ok(on_engine!(self, conn => sqlx::query_scalar("select count(*) from users").fetch_one(conn).await)?)
    }

    /// Everybody, by address.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn users(&mut self) -> Result<Vec<User>, StoreError> {
        let rows: Vec<UserRow> = on_engine!(self, conn => sqlx::query_as(
            "select id, email, role, active, created_at from users order by email limit 1000")
            .fetch_all(conn)
            .await)?;
        rows.into_iter().map(UserRow::into_user).collect()
    }

    /// The user with this id.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn user(&mut self, id: UserId) -> Result<Option<User>, StoreError> {
        let row: Option<UserRow> = on_engine!(self, conn => sqlx::query_as(
            "select id, email, role, active, created_at from users where id = $1")
            .bind(id.to_string())
            .fetch_optional(conn)
            .await)?;
        row.map(UserRow::into_user).transpose()
    }

    /// The user with this address, which is in lower case, and its password's hash.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn credentials(&mut self, email: &str) -> Result<Option<Credentials>, StoreError> {
        let row: Option<(String, String, String, bool, i64, String)> = on_engine!(self, conn => sqlx::query_as(
            "select id, email, role, active, created_at, password_hash from users where email = $1")
            .bind(email)
            .fetch_optional(conn)
            .await)?;
        row.map(|(id, email, role, active, created_at, password_hash)| {
            let user = UserRow { id, email, role, active, created_at }.into_user()?;
            Ok(Credentials { user, password_hash })
        })
        .transpose()
    }

    /// The user, if they may still sign in with the password of this hash. The row is locked until the transaction
    /// ends, so that a new password waits for the session that this one begins, and then ends it.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn user_with_hash(
        &mut self,
        id: UserId,
        password_hash: &str,
    ) -> Result<Option<User>, StoreError> {
        let sql = format!(
            "select id, email, role, active, created_at from users
             where id = $1 and active and password_hash = $2 {}",
            self.for_update()
        );
        let row: Option<UserRow> = on_engine!(self, conn => sqlx::query_as(AssertSqlSafe(sql))
            .bind(id.to_string())
            .bind(password_hash)
            .fetch_optional(conn)
            .await)?;
        row.map(UserRow::into_user).transpose()
    }

    /// Replaces a password's hash.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn set_password_hash(
        &mut self,
        id: UserId,
        password_hash: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        on_engine!(self, conn => sqlx::query("update users set password_hash = $2, updated_at = $3 where id = $1")
            .bind(id.to_string())
            .bind(password_hash)
            .bind(now.as_micros())
            .execute(conn)
            .await
            .map(drop))?;
        Ok(())
    }

    /// Changes what a user may do.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn set_role_and_active(
        &mut self,
        id: UserId,
        role: Role,
        active: bool,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        on_engine!(self, conn => sqlx::query(
            "update users set role = $2, active = $3, updated_at = $4 where id = $1")
            .bind(id.to_string())
            .bind(role.as_str())
            .bind(active)
            .bind(now.as_micros())
            .execute(conn)
            .await
            .map(drop))?;
        Ok(())
    }

    /// How many active ADMINs there are; on PostgreSQL they are locked until the transaction ends, so
    /// that two changes at once cannot leave none.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn lock_active_admins(&mut self) -> Result<Vec<UserId>, StoreError> {
        let sql =
            format!("select id from users where role = 'ADMIN' and active order by id {}", self.for_update());
        let ids: Vec<String> = on_engine!(self, conn => sqlx::query_scalar(AssertSqlSafe(sql))
            .fetch_all(conn)
            .await)?;
        ids.iter().map(|id| parse("users.id", id, |text| UserId::parse(text).ok())).collect()
    }
}
