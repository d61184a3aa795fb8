//! What went wrong, as a page: for browsers, which ask for HTML first.

use super::{Page, i18n};
use crate::http::error::Problem;
use askama::Template;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};

#[derive(Template)]
#[template(path = "problem.html")]
struct ProblemPage {
    page: Page,
    status: u16,
    title: &'static str,
    lead: &'static str,
    details: Vec<String>,
    request_id: String,
}

/// Whether the caller would rather have a page than JSON.
#[must_use]
pub fn wants_page(headers: &HeaderMap) -> bool {
    let accepted = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let quality = |kind: &str| {
        let entries = accepted.split(',').filter_map(|entry| {
            let mut parts = entry.split(';').map(str::trim);
            let named = parts.next()?.eq_ignore_ascii_case(kind);
            let weight = parts.find_map(|part| part.strip_prefix("q=")).unwrap_or("1");
            named.then(|| thousandths(weight))
        });
        entries.max().unwrap_or(0)
    };
    let json = quality("application/json").max(quality("application/problem+json"));
    quality("text/html") > json
}

/// A weight such as `0.8`, in thousandths.
fn thousandths(weight: &str) -> u32 {
    let (whole, fraction) = weight.split_once('.').unwrap_or((weight, ""));
    let digits: String = fraction.chars().chain("000".chars()).take(3).collect();
    match (whole, digits.parse::<u32>()) {
        ("0", Ok(fraction)) => fraction,
        ("1", _) => 1000,
        _ => 0,
    }
}

/// A problem as a page; for who is not signed in, the way to the sign-in.
#[must_use]
pub fn page(page: Page, problem: &Problem) -> Response {
    let t = page.t;
    if problem.status == StatusCode::UNAUTHORIZED {
        let next = form_urlencoded::byte_serialize(page.return_address().as_bytes()).collect::<String>();
        let lost = if page.was_sent() { "&undone=yes" } else { "" };
        return Redirect::to(&format!("/login?next={next}{lost}")).into_response();
    }
    let (title, lead) = match problem.status {
        StatusCode::NOT_FOUND => (t.not_found_title, t.not_found_lead),
        StatusCode::FORBIDDEN => (t.forbidden_title, t.forbidden_lead),
        StatusCode::CONFLICT => (t.conflict_title, t.conflict_lead),
        StatusCode::TOO_MANY_REQUESTS => (t.too_many_title, t.too_many_lead),
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => {
            (t.unavailable_title, t.unavailable_lead)
        }
        status if status.is_server_error() => (t.internal_title, t.internal_lead),
        _ => (t.bad_request_title, t.bad_request_lead),
    };
    let details = problem.details.iter().map(|fault| i18n::fault(page.lang, fault)).collect();
    let view = ProblemPage {
        status: problem.status.as_u16(),
        title,
        lead,
        details,
        request_id: page.request_id.clone(),
        page,
    };
    let mut response = view.page.show_as(problem.status, &view);
    response.headers_mut().extend(problem.headers.iter().cloned());
    response
}

/// A page with these words, for what is no fault of the caller's.
#[must_use]
pub fn simple(page: Page, status: StatusCode, title: &'static str, lead: &'static str) -> Response {
    let view = ProblemPage {
        status: status.as_u16(),
        title,
        lead,
        details: Vec::new(),
        request_id: page.request_id.clone(),
        page,
    };
    view.page.show_as(status, &view)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_for_those_who_ask_for_html_first() {
        for (accept, expected) in [
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", true),
            ("text/html", true),
            ("text/html;q=0.5, application/json", false),
            ("application/json", false),
            ("*/*", false),
            ("", false),
            ("text/html;q=0", false),
            ("application/json;q=0.1, TEXT/HTML;q=0.2", true),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, accept.parse().unwrap());
            assert_eq!(wants_page(&headers), expected, "{accept}");
        }
        assert!(!wants_page(&HeaderMap::new()));
    }
}
