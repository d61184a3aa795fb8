//! `/dashboard/users`: accounts and their roles.

use super::{Choice, Page, back, done, query};
use crate::app::Shared;
use crate::flow::accounts::AccountError;
use crate::http::auth::Signed;
use crate::http::error::Problem;
use crate::http::pages::{BesideField as _, Fields, FormError, format, i18n};
use crate::http::request::RequestId;
use askama::Template;
use axum::Extension;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use domain::account::User;
use domain::ids::UserId;
use domain::lang::Lang;
use domain::role::Role;

#[derive(Template)]
#[template(path = "dashboard/users.html")]
struct Users {
    page: Page,
    errors: Vec<FormError>,
    done: Option<&'static str>,
    rows: Vec<Row>,
    roles: Vec<Choice>,
    email: String,
}

struct Row {
    id: String,
    email: String,
    you: bool,
    role: Role,
    tone: &'static str,
    state: &'static str,
}

#[derive(Template)]
#[template(path = "dashboard/user.html")]
struct UserPage {
    page: Page,
    errors: Vec<FormError>,
    done: Option<&'static str>,
    id: String,
    email: String,
    tone: &'static str,
    state: &'static str,
    active: bool,
    created: String,
    roles: Vec<Choice>,
}

/// Everybody, and the form for somebody new.
pub async fn list(State(app): State<Shared>, page: Page) -> Result<Response, Problem> {
    let mut query = query(&page);
    let done = done(&page, &mut query);
    query.finish()?;
    show_list(&app, page, StatusCode::OK, Vec::new(), done, "", Role::ReadOnly).await
}

/// Makes an account.
pub async fn create(
    State(app): State<Shared>,
    page: Page,
    signed: Signed,
    Extension(request_id): Extension<RequestId>,
    fields: Fields,
) -> Result<Response, Problem> {
    let (email, password) = (fields.get("email"), fields.get("password"));
    let role = Role::parse(fields.get("role")).unwrap_or(Role::ReadOnly);
    match app.accounts.create(email, password, role, signed.actor(&request_id)).await {
        Ok(_) => Ok(back("/dashboard/users", "saved")),
        Err(error) => {
            let (status, errors) = refusal(page.lang, error)?;
            show_list(&app, page, status, errors, None, email, role).await
        }
    }
}

/// One account.
pub async fn show(
    State(app): State<Shared>,
    page: Page,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let mut query = query(&page);
    let done = done(&page, &mut query);
    query.finish()?;
    show_user(&app, page, &id, StatusCode::OK, Vec::new(), done).await
}

/// Changes the role.
pub async fn set_role(
    State(app): State<Shared>,
    page: Page,
    signed: Signed,
    Extension(request_id): Extension<RequestId>,
    Path(id): Path<String>,
    fields: Fields,
) -> Result<Response, Problem> {
    let user = parse(&id)?;
    let role = Role::parse(fields.get("role"))
        .ok_or_else(|| Problem::fault("role", "must be READONLY, OPS or ADMIN"))?;
    let result = app.accounts.set_role(user, role, signed.actor(&request_id)).await;
    finish(&app, page, &id, result.map(drop)).await
}

/// Sets a password.
pub async fn set_password(
    State(app): State<Shared>,
    page: Page,
    signed: Signed,
    Extension(request_id): Extension<RequestId>,
    Path(id): Path<String>,
    fields: Fields,
) -> Result<Response, Problem> {
    let user = parse(&id)?;
    let result = app.accounts.set_password(user, fields.get("password"), signed.actor(&request_id)).await;
    finish(&app, page, &id, result).await
}

/// Switches an account off.
pub async fn disable(
    State(app): State<Shared>,
    page: Page,
    signed: Signed,
    Extension(request_id): Extension<RequestId>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let result = app.accounts.set_active(parse(&id)?, false, signed.actor(&request_id)).await;
    finish(&app, page, &id, result.map(drop)).await
}

/// Switches an account on again.
pub async fn enable(
    State(app): State<Shared>,
    page: Page,
    signed: Signed,
    Extension(request_id): Extension<RequestId>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let result = app.accounts.set_active(parse(&id)?, true, signed.actor(&request_id)).await;
    finish(&app, page, &id, result.map(drop)).await
}

fn parse(id: &str) -> Result<UserId, Problem> {
    UserId::parse(id).map_err(|_| Problem::not_found())
}

async fn finish(
    app: &Shared,
    page: Page,
    id: &str,
    result: Result<(), AccountError>,
) -> Result<Response, Problem> {
    match result {
        Ok(()) => Ok(back(&format!("/dashboard/users/{id}"), "saved")),
        Err(error) => {
            let (status, errors) = refusal(page.lang, error)?;
            show_user(app, page, id, status, errors, None).await
        }
    }
}

/// What to do about it, beside the form; what is no fault of the form's is a problem of its own.
fn refusal(lang: Lang, error: AccountError) -> Result<(StatusCode, Vec<FormError>), Problem> {
    Ok(match error {
        AccountError::Invalid(faults) => (StatusCode::BAD_REQUEST, FormError::of(lang, &faults)),
        AccountError::EmailTaken => {
            let text = lang.pick("Cette adresse a déjà un compte.", "This address has an account already.");
            (StatusCode::CONFLICT, vec![FormError { target: "email".to_owned(), message: text.to_owned() }])
        }
        AccountError::LastAdmin => {
            let text = lang.pick(
                "C’est le dernier ADMIN actif : créez-en un autre d’abord.",
                "This is the last active ADMIN: make another one first.",
            );
            (StatusCode::CONFLICT, FormError::general(&format::sentence(lang, text)))
        }
        AccountError::NotFound => return Err(Problem::not_found()),
        AccountError::Overloaded(_) => return Err(Problem::unavailable(5)),
        AccountError::Store(error) => return Err(error.into()),
    })
}

async fn show_list(
    app: &Shared,
    page: Page,
    status: StatusCode,
    errors: Vec<FormError>,
    done: Option<&'static str>,
    email: &str,
    chosen: Role,
) -> Result<Response, Problem> {
    let users = match app.accounts.list().await {
        Ok(users) => users,
        Err(error) => return Err(refusal(page.lang, error).err().unwrap_or_else(Problem::internal)),
    };
    let you = page.user.as_ref().map(|user| user.id);
    let row = |user: User| {
        let (tone, state) = state(&page, &user);
        Row {
            id: user.id.to_string(),
            you: you == Some(user.id),
            email: user.email,
            role: user.role,
            tone,
            state,
        }
    };
    let rows = users.into_iter().map(row).collect();
    let roles = roles(page.lang, chosen);
    let view = Users { errors, done, rows, roles, email: email.to_owned(), page };
    Ok(view.page.show_as(status, &view))
}

async fn show_user(
    app: &Shared,
    page: Page,
    id: &str,
    status: StatusCode,
    errors: Vec<FormError>,
    done: Option<&'static str>,
) -> Result<Response, Problem> {
    let user = match app.accounts.find(parse(id)?).await {
        Ok(user) => user,
        Err(error) => return Err(refusal(page.lang, error).err().unwrap_or_else(Problem::internal)),
    };
    let (tone, state) = state(&page, &user);
    let view = UserPage {
        errors,
        done,
        id: user.id.to_string(),
        tone,
        state,
        active: user.active,
        created: format::moment(page.lang, &app.config.timezone, user.created_at),
        roles: roles(page.lang, user.role),
        email: user.email,
        page,
    };
    Ok(view.page.show_as(status, &view))
}

fn state(page: &Page, user: &User) -> (&'static str, &'static str) {
    if user.active { ("good", page.t.enabled) } else { ("quiet", page.t.disabled) }
}

fn roles(lang: Lang, chosen: Role) -> Vec<Choice> {
    let choice = |role: Role| Choice {
        value: role.to_string(),
        name: i18n::role(lang, role).to_owned(),
        chosen: role == chosen,
    };
    Role::ALL.into_iter().map(choice).collect()
}
