//! Signing in and out, and the guard in front of every route that needs somebody.

use super::checkout::json_object;
use super::error::Problem;
use super::limit::{self, ClientAddress};
use super::request::RequestId;
use crate::app::{App, Shared};
use crate::config::SameSite;
use crate::flow::accounts::{
    ABSOLUTE_END, Actor, Allowance, LOGIN_LIMIT, LoginAttempt, LoginError, PLACE_LIFETIME, SessionToken,
};
use crate::metrics::{Limited, Login};
use axum::body::Bytes;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{AppendHeaders, IntoResponse, Response};
use axum::{Extension, Json};
use axum_extra::extract::cookie::{self, Cookie};
use axum_extra::extract::{CookieJar, SignedCookieJar};
use domain::Fault;
use domain::account::User;
use domain::role::Role;
use serde_json::{Value, json};
use std::net::IpAddr;
use store::StoreError;

/// The session cookie's name.
pub const COOKIE: &str = "sid";
/// Cookies of that name that are looked at: each costs a signature.
const MAX_COOKIES: usize = 8;
/// What every failed sign-in is called, whyever it failed.
const REFUSED: &str = "Identifiants invalides";

/// Who asks. Put there by [`guard`], so a handler that takes it is behind one.
#[derive(Debug, Clone)]
pub struct Signed(pub User);

impl Signed {
    /// For the audit log.
    #[must_use]
    pub fn actor<'a>(&'a self, request: &'a RequestId) -> Actor<'a> {
        Actor { name: &self.0.email, request_id: Some(&request.0) }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Signed {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        parts.extensions.get::<Self>().cloned().ok_or_else(unauthenticated)
    }
}

/// Lets through who is signed in with the role that the route needs, as that person's account is now.
pub async fn guard(
    State((app, needed)): State<(Shared, Role)>,
    mut request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let user = signed_in(&app, request.headers()).await?.ok_or_else(unauthenticated)?;
    if !user.role.allows(needed) {
        tracing::warn!(
            module = "security",
            action = "authz_fail",
            user_id = %user.id,
            role = %user.role,
            needed = %needed,
            "somebody asked for more than the role allows"
        );
        let message = format!("This needs the role {needed}; yours is {}.", user.role);
        return Err(Problem::new(StatusCode::FORBIDDEN, "Forbidden", message));
    }
    request.extensions_mut().insert(Signed(user));
    Ok(next.run(request).await)
}

/// Who these headers' cookie is of, if anybody.
///
/// # Errors
/// Any [`StoreError`].
pub async fn signed_in(app: &App, headers: &HeaderMap) -> Result<Option<User>, StoreError> {
    match session_of(app, headers) {
        Some(token) => app.accounts.authenticate(&token).await,
        None => Ok(None),
    }
}

fn session_of(app: &App, headers: &HeaderMap) -> Option<SessionToken> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let named = |pair: &&str| pair.trim().split_once('=').is_some_and(|(name, _)| name == COOKIE);
    let pairs = cookies.flat_map(|value| value.split(';')).filter(named).take(MAX_COOKIES);
    // Another site of the same domain may have one of this name: ours is the one that we signed.
    pairs.filter_map(|pair| HeaderValue::from_str(pair.trim()).ok()).find_map(|pair| {
        let alone = HeaderMap::from_iter([(header::COOKIE, pair)]);
        let jar = SignedCookieJar::from_headers(&alone, app.cookie_key.clone());
        SessionToken::parse(jar.get(COOKIE)?.value())
    })
}

fn unauthenticated() -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "Non authentifié", "Sign in first.")
}

/// `POST /auth/login`
pub async fn login(
    State(app): State<Shared>,
    ClientAddress(address): ClientAddress,
    Extension(request_id): Extension<RequestId>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let members = json_object(&headers, &body)?;
    let mut faults = Vec::new();
    let mut take = |name: &str| match members.get(name) {
        Some(Value::String(text)) => text.clone(),
        Some(_) => {
            faults.push(Fault::coded(name, "type", "must be a text"));
            String::new()
        }
        None => {
            faults.push(Fault::coded(name, "required", "is required"));
            String::new()
        }
    };
    let (email, password) = (take("email"), take("password"));
    if !faults.is_empty() {
        return Err(Problem::invalid(faults));
    }
    let (user, headers) = sign_in(&app, &headers, address, &request_id, &email, &password).await?;
    Ok((headers, Json(json!({ "user": user_json(&user) }))).into_response())
}

/// Signs somebody in, for the API and the sign-in page: the person, and the headers to send with the
/// answer.
///
/// # Errors
/// 401 with always the same words, 429, 503.
pub async fn sign_in(
    app: &App,
    headers: &HeaderMap,
    address: IpAddr,
    request_id: &RequestId,
    email: &str,
    password: &str,
) -> Result<(User, HeaderMap), Problem> {
    let old_session = session_of(app, headers);
    let device =
        CookieJar::from_headers(headers).get(device_name(app)).map(|cookie| cookie.value().to_owned());
    let attempt = LoginAttempt {
        email,
        password,
        address,
        device: device.as_deref(),
        old_session: old_session.as_ref(),
        request_id: Some(&request_id.0),
    };
    match app.accounts.login(attempt).await {
        Ok(signed_in) => {
            app.counters.login(Login::Success);
            let jar = SignedCookieJar::new(app.cookie_key.clone());
            let jar = jar.add(session_cookie(app, signed_in.session.expose().to_owned()));
            let mut headers = jar.into_response().into_parts().0.headers;
            headers.remove(header::CONTENT_TYPE);
            headers.remove(header::CONTENT_LENGTH);
            let device = device_cookie(app, signed_in.device).to_string();
            headers.extend(HeaderValue::from_str(&device).map(|device| (header::SET_COOKIE, device)));
            headers.extend(allowance_headers(signed_in.allowance));
            Ok((signed_in.user, headers))
        }
        Err(LoginError::Refused(allowance)) => {
            app.counters.login(Login::Failure);
            let message = "The address or the password is wrong.";
            let mut problem = Problem::new(StatusCode::UNAUTHORIZED, REFUSED, message);
            problem.headers.extend(allowance_headers(allowance));
            Err(problem)
        }
        Err(LoginError::Limited { retry_after }) => {
            app.counters.login(Login::Limited);
            app.counters.limited(Limited::Login);
            let mut problem = limit::too_many(retry_after);
            problem.headers.extend(limit::headers("login", LOGIN_LIMIT, 0, retry_after));
            Err(problem)
        }
        Err(LoginError::Overloaded(overloaded)) => {
            app.counters.login(Login::Overloaded);
            let message = overloaded.to_string();
            let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "Service unavailable", message);
            Err(problem.retry_after(5))
        }
        Err(LoginError::Store(error)) => Err(error.into()),
    }
}

fn allowance_headers(left: Allowance) -> [(header::HeaderName, HeaderValue); 2] {
    limit::headers("login", LOGIN_LIMIT, left.remaining, left.resets_in)
}

/// `POST /auth/logout`. Also for who is not signed in, so that it can be repeated.
pub async fn logout(
    State(app): State<Shared>,
    Extension(request_id): Extension<RequestId>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let headers = sign_out(&app, &headers, &request_id).await?;
    Ok((headers, Json(json!({ "status": "ok" }))).into_response())
}

/// Ends the session that these headers' cookie names; the headers to send with the answer.
///
/// # Errors
/// 503 if the database cannot be written: then the session still lives.
pub async fn sign_out(
    app: &App,
    headers: &HeaderMap,
    request_id: &RequestId,
) -> Result<AppendHeaders<[(header::HeaderName, HeaderValue); 2]>, Problem> {
    if let Some(session) = session_of(app, headers) {
        app.accounts.logout(&session, Some(&request_id.0)).await?;
    }
    let mut gone = session_cookie(app, String::new());
    gone.make_removal();
    let gone = HeaderValue::from_str(&gone.to_string()).unwrap_or(HeaderValue::from_static(""));
    let clear = HeaderValue::from_static("\"cache\", \"cookies\", \"storage\"");
    Ok(AppendHeaders([
        (header::SET_COOKIE, gone),
        (header::HeaderName::from_static("clear-site-data"), clear),
    ]))
}

/// `GET /auth/me`
pub async fn me(Signed(user): Signed) -> Json<Value> {
    Json(json!({ "user": user_json(&user) }))
}

/// A user as the API shows it to that user.
#[must_use]
pub fn user_json(user: &User) -> Value {
    json!({ "id": user.id, "email": user.email, "role": user.role })
}

/// The device cookie's name. Only this host may set it, where browsers can be told so.
fn device_name(app: &App) -> &'static str {
    if app.config.https() && app.config.cookie.secure { "__Host-device" } else { "device" }
}

/// By it a browser that signed in before is told from strangers who guess. It opens nothing.
fn device_cookie(app: &App, value: String) -> Cookie<'static> {
    let mut cookie = Cookie::new(device_name(app), value);
    cookie.set_path("/");
    cookie.set_http_only(true);
    cookie.set_secure(app.config.cookie.secure);
    cookie.set_same_site(cookie::SameSite::Strict);
    let lifetime = i64::try_from(PLACE_LIFETIME.as_secs()).unwrap_or(0);
    cookie.set_max_age(::cookie::time::Duration::seconds(lifetime));
    cookie
}

fn session_cookie(app: &App, value: String) -> Cookie<'static> {
    let settings = &app.config.cookie;
    let mut cookie = Cookie::new(COOKIE, value);
    cookie.set_path("/");
    cookie.set_http_only(true);
    cookie.set_secure(settings.secure);
    cookie.set_same_site(match settings.same_site {
        SameSite::Lax => cookie::SameSite::Lax,
        SameSite::Strict => cookie::SameSite::Strict,
        SameSite::None => cookie::SameSite::None,
    });
    cookie.set_max_age(::cookie::time::Duration::seconds(i64::try_from(ABSOLUTE_END.as_secs()).unwrap_or(0)));
    if let Some(domain) = &settings.domain {
        cookie.set_domain(domain.clone());
    }
    cookie
}
