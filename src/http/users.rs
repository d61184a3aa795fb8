//! `/api/users…` and `/api/audit`: for administrators.

use super::auth::Signed;
use super::bookings::{Query, envelope};
use super::checkout::json_object;
use super::error::Problem;
use super::request::RequestId;
use crate::app::Shared;
use crate::flow::accounts::AccountError;
use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::{Extension, Json};
use domain::Fault;
use domain::account::User;
use domain::ids::UserId;
use domain::role::Role;
use serde_json::{Map, Value, json};
use store::audit::AuditRecord;

/// What to say about a role that is none.
const ROLES: &str = "must be READONLY, OPS or ADMIN";

impl From<AccountError> for Problem {
    fn from(error: AccountError) -> Self {
        match error {
            AccountError::Invalid(faults) => Self::invalid(faults),
            AccountError::NotFound => Self::not_found(),
            AccountError::EmailTaken => Self::new(
                StatusCode::CONFLICT,
                "Account exists",
                "There is an account with this address already.",
            ),
            AccountError::LastAdmin => Self::new(
                StatusCode::CONFLICT,
                "Last administrator",
                "This is the last active ADMIN: make another one first.",
            ),
            AccountError::Overloaded(_) => Self::unavailable(5),
            AccountError::Store(error) => error.into(),
        }
    }
}

/// `GET /api/users`: everybody, by address.
pub async fn list(State(app): State<Shared>) -> Result<Json<Value>, Problem> {
    let users = app.accounts.list().await?;
    let items: Vec<_> = users.iter().map(user_json).collect();
    Ok(Json(json!({ "meta": { "count": items.len(), "next": null }, "items": items })))
}

/// `POST /api/users`
pub async fn create(
    State(app): State<Shared>,
    by: Signed,
    Extension(request_id): Extension<RequestId>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let mut members = Members::read(&headers, &body)?;
    let email = members.text("email").unwrap_or_default();
    let password = members.text("password").unwrap_or_default();
    let role = members.role().unwrap_or(Role::ReadOnly);
    members.finish()?;
    let user = app.accounts.create(&email, &password, role, by.actor(&request_id)).await?;
    Ok((StatusCode::CREATED, Json(json!({ "user": user_json(&user) }))))
}

/// `POST /api/users/{id}/role`
pub async fn set_role(
    State(app): State<Shared>,
    by: Signed,
    Extension(request_id): Extension<RequestId>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Value>, Problem> {
    let mut members = Members::read(&headers, &body)?;
    let role = members.role();
    members.finish()?;
    let role = role.ok_or_else(|| Problem::fault("role", ROLES))?;
    let user = app.accounts.set_role(user_id(&id)?, role, by.actor(&request_id)).await?;
    Ok(Json(json!({ "user": user_json(&user) })))
}

/// `POST /api/users/{id}/password`: also ends the person's sessions.
pub async fn set_password(
    State(app): State<Shared>,
    by: Signed,
    Extension(request_id): Extension<RequestId>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Value>, Problem> {
    let mut members = Members::read(&headers, &body)?;
    let password = members.text("password").unwrap_or_default();
    members.finish()?;
    app.accounts.set_password(user_id(&id)?, &password, by.actor(&request_id)).await?;
    Ok(Json(json!({ "status": "ok" })))
}

/// `POST /api/users/{id}/disable`
pub async fn disable(
    state: State<Shared>,
    by: Signed,
    request_id: Extension<RequestId>,
    id: Path<String>,
) -> Result<Json<Value>, Problem> {
    set_active(state, by, request_id, id, false).await
}

/// `POST /api/users/{id}/enable`
pub async fn enable(
    state: State<Shared>,
    by: Signed,
    request_id: Extension<RequestId>,
    id: Path<String>,
) -> Result<Json<Value>, Problem> {
    set_active(state, by, request_id, id, true).await
}

async fn set_active(
    State(app): State<Shared>,
    by: Signed,
    Extension(request_id): Extension<RequestId>,
    Path(id): Path<String>,
    active: bool,
) -> Result<Json<Value>, Problem> {
    let user = app.accounts.set_active(user_id(&id)?, active, by.actor(&request_id)).await?;
    Ok(Json(json!({ "user": user_json(&user) })))
}

/// `POST /api/users/{id}/sign-out`: ends the person's sessions.
pub async fn end_sessions(
    State(app): State<Shared>,
    by: Signed,
    Extension(request_id): Extension<RequestId>,
    Path(id): Path<String>,
) -> Result<Json<Value>, Problem> {
    let ended = app.accounts.end_sessions(user_id(&id)?, by.actor(&request_id)).await?;
    Ok(Json(json!({ "ended": ended })))
}

/// `GET /api/audit`: who did what, newest first.
pub async fn audit(State(app): State<Shared>, RawQuery(query): RawQuery) -> Result<Json<Value>, Problem> {
    let mut query = Query::parse(query.as_deref());
    let page = query.page();
    query.finish()?;
    let mut tx = app.store.read().await?;
    let records = tx.list_audit(&page).await?;
    tx.rollback().await?;
    Ok(Json(envelope(records, audit_json)))
}

fn user_id(text: &str) -> Result<UserId, Problem> {
    UserId::parse(text).map_err(|_| Problem::not_found())
}

fn user_json(user: &User) -> Value {
    json!({
        "id": user.id,
        "email": user.email,
        "role": user.role,
        "active": user.active,
        "createdAt": user.created_at,
    })
}

fn audit_json(record: &AuditRecord) -> Value {
    json!({
        "id": record.id,
        "at": record.at,
        "actor": record.actor,
        "action": record.action,
        "subject": record.subject,
        "detail": record.detail,
        "requestId": record.request_id,
    })
}

/// A JSON body, taken apart with every fault named.
struct Members {
    members: Map<String, Value>,
    faults: Vec<Fault>,
}

impl Members {
    fn read(headers: &HeaderMap, body: &[u8]) -> Result<Self, Problem> {
        Ok(Self { members: json_object(headers, body)?, faults: Vec::new() })
    }

    fn text(&mut self, name: &str) -> Option<String> {
        match self.members.remove(name) {
            Some(Value::String(text)) => Some(text),
            Some(_) => {
                self.faults.push(Fault::coded(name, "type", "must be a text"));
                None
            }
            None => {
                self.faults.push(Fault::coded(name, "required", "is required"));
                None
            }
        }
    }

    fn role(&mut self) -> Option<Role> {
        let text = self.text("role")?;
        let role = Role::parse(&text);
        if role.is_none() {
            self.faults.push(Fault::new("role", ROLES));
        }
        role
    }

    fn finish(self) -> Result<(), Problem> {
        if self.faults.is_empty() { Ok(()) } else { Err(Problem::invalid(self.faults)) }
    }
}
