//! `/login` and `/logout`, as forms. What happens is what `POST /auth/login` does.

use super::{Fields, FormError, Page};
use crate::app::Shared;
use crate::http::auth;
use crate::http::error::Problem;
use crate::http::limit::ClientAddress;
use crate::http::request::RequestId;
use askama::Template;
use axum::Extension;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

#[derive(Template)]
#[template(path = "login.html")]
struct Login {
    page: Page,
    errors: Vec<FormError>,
    note: Option<&'static str>,
    next: String,
    email: String,
}

/// The query of `/login`.
#[derive(Debug, Deserialize)]
pub struct Arrival {
    next: Option<String>,
    signed_out: Option<String>,
    /// A form was sent after the session had ended.
    undone: Option<String>,
}

/// The form; whoever is signed in already goes on.
pub async fn form(
    State(app): State<Shared>,
    page: Page,
    Query(arrival): Query<Arrival>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let next = local_path(arrival.next.as_deref()).to_owned();
    if auth::signed_in(&app, &headers).await?.is_some() {
        return Ok(Redirect::to(&next).into_response());
    }
    let note = match (&arrival.signed_out, &arrival.undone, &arrival.next) {
        (Some(_), _, _) => Some(page.t.signed_out),
        (None, Some(_), _) => Some(page.t.nothing_done),
        (None, None, Some(_)) => Some(page.t.please_sign_in),
        (None, None, None) => None,
    };
    let login = Login { page, errors: Vec::new(), note, next, email: String::new() };
    Ok(login.page.show(&login))
}

/// Signs in.
pub async fn submit(
    State(app): State<Shared>,
    page: Page,
    ClientAddress(address): ClientAddress,
    Extension(request_id): Extension<RequestId>,
    headers: HeaderMap,
    fields: Fields,
) -> Result<Response, Problem> {
    let next = local_path(fields.sent("next")).to_owned();
    let (email, password) = (fields.get("email"), fields.get("password"));
    match auth::sign_in(&app, &headers, address, &request_id, email, password).await {
        Ok((_, headers)) => Ok((headers, Redirect::to(&next)).into_response()),
        Err(problem) => {
            let text = match problem.status {
                StatusCode::UNAUTHORIZED => page.t.bad_credentials,
                StatusCode::TOO_MANY_REQUESTS => page.t.too_many_lead,
                _ => return Err(problem),
            };
            let login =
                Login { page, errors: FormError::general(text), note: None, next, email: email.to_owned() };
            let mut response = login.page.show_as(problem.status, &login);
            response.headers_mut().extend(problem.headers);
            Ok(response)
        }
    }
}

/// Signs out.
pub async fn sign_out(
    State(app): State<Shared>,
    Extension(request_id): Extension<RequestId>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let headers = auth::sign_out(&app, &headers, &request_id).await?;
    Ok((headers, Redirect::to("/login?signed_out=yes")).into_response())
}

/// Where to go after signing in: a path of the dashboard, and never another site. Browsers take `//x`
/// and `/\x` for addresses of other hosts, and leave out tabs and line ends before they look.
fn local_path(next: Option<&str>) -> &str {
    let start = "/dashboard";
    let clean = |path: &&str| {
        path.len() <= 2000 && path.bytes().all(|b| b.is_ascii_graphic()) && !path.contains(['\\', '@'])
    };
    let within = |path: &&str| {
        path.strip_prefix(start).is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?']))
            && !path.contains("//")
            && !path.contains("/..")
    };
    next.filter(clean).filter(within).unwrap_or(start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signing_in_never_leads_to_another_site() {
        for next in [
            "https://evil.example",
            "//evil.example",
            "///evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "/dashboard//evil.example",
            "/dashboard/../..//evil.example",
            "/dashboard.evil.example",
            "/dashboard@evil.example",
            "dashboard",
            "javascript:alert(1)",
            "/\t/evil.example",
            "/dashboard\r\nSet-Cookie: a=b",
            "data:text/html,x",
            " //evil.example",
            "/%2f%2fevil.example",
            "",
        ] {
            assert_eq!(local_path(Some(next)), "/dashboard", "{next:?}");
        }
        for next in ["/dashboard", "/dashboard/cases", "/dashboard?status=pay%C3%A9&next=abc"] {
            assert_eq!(local_path(Some(next)), next);
        }
        assert_eq!(local_path(None), "/dashboard");
    }
}
