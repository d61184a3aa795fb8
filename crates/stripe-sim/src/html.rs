//! The frame of the simulator's own pages: escaping, style, security headers.

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Response, StatusCode, header};

/// The one style sheet, served by the simulator itself.
pub(crate) const CSS: &str = include_str!("style.css");

/// Text made safe for HTML, in elements and in quoted attributes.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// A whole page. `main` is HTML; `form_targets` are origins that a form may lead to, besides our own.
pub(crate) fn page(
    status: StatusCode,
    lang: &str,
    title: &str,
    main: &str,
    form_targets: &[String],
) -> Response<Body> {
    page_with(status, lang, title, main, form_targets, "")
}

/// As [`page`], with more in its head: links to style and script that the simulator serves itself.
pub(crate) fn page_with(
    status: StatusCode,
    lang: &str,
    title: &str,
    main: &str,
    form_targets: &[String],
    more: &str,
) -> Response<Body> {
    let notice = if lang == "fr" {
        "Simulation : aucune carte n’est débitée, aucune banque n’est contactée."
    } else {
        "Simulation: no card is charged and no bank is contacted."
    };
    let document = format!(
        "<!doctype html>\n<html lang=\"{lang}\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" \
         content=\"width=device-width, initial-scale=1\">\n<meta name=\"robots\" content=\"noindex\">\n\
         <title>{}</title>\n<link rel=\"stylesheet\" href=\"/assets/sim.css\">\n{more}</head>\n<body>\n\
         <header><p class=\"notice\">{notice}</p></header>\n<main>\n{main}\n</main>\n</body>\n</html>\n",
        escape(title)
    );
    let targets: String = form_targets.iter().map(|t| format!(" {t}")).collect();
    let script = if more.contains("<script ") { "; script-src 'self'; connect-src 'self'" } else { "" };
    let policy = format!(
        "default-src 'none'; style-src 'self'{script}; img-src 'self' data:; form-action 'self'{targets}; base-uri 'none'; \
         frame-ancestors 'none'"
    );
    let mut response = respond(status, "text/html; charset=utf-8", document);
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    response
}

/// Text that only a screen reader says, behind what a button shows.
pub(crate) fn spoken(text: &str) -> String {
    format!("<span class=\"spoken\"> {}</span>", escape(text))
}

/// A plain text answer.
pub(crate) fn text(status: StatusCode, text: &str) -> Response<Body> {
    respond(status, "text/plain; charset=utf-8", format!("{text}\n"))
}

/// A JSON answer.
pub(crate) fn json(status: StatusCode, value: &serde_json::Value) -> Response<Body> {
    let body = serde_json::to_string_pretty(value).unwrap_or_else(|_| "{}".to_owned());
    respond(status, "application/json", format!("{body}\n"))
}

/// A picture of the merchant's.
pub(crate) fn picture(kind: &'static str, bytes: bytes::Bytes) -> Response<Body> {
    let mut response = respond(StatusCode::OK, kind, String::new());
    *response.body_mut() = Body::from(bytes);
    response
}

/// 303 to `location`.
pub(crate) fn see_other(location: &str) -> Response<Body> {
    let mut response = respond(StatusCode::SEE_OTHER, "text/plain; charset=utf-8", String::new());
    match HeaderValue::from_str(location) {
        Ok(value) => {
            response.headers_mut().insert(header::LOCATION, value);
            response
        }
        Err(_) => {
            text(StatusCode::BAD_GATEWAY, "The address to go to holds characters that a header cannot.")
        }
    }
}

/// Any answer, with the headers that all of ours carry.
pub(crate) fn respond(status: StatusCode, kind: &'static str, body: String) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    let fixed: [(HeaderName, &'static str); 5] = [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "same-origin"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}
