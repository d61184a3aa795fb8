//! Keeps web pages of other sites away from Stripe's API, the control API and the payment page.
//!
//! A page anywhere on the web can make the owner's browser send requests to this machine. Three
//! things betray it: a cross-site `Sec-Fetch-Site`, a foreign `Origin`, or, if its own name was made
//! to point here (DNS rebinding), a foreign `Host`.

use super::Shared;
use super::api::Request;
use super::error::StripeError;
use super::html;
use axum::body::Body;
use axum::http::{HeaderMap, Method, Response, StatusCode, header};
use url::{Host, Url};

/// A refusal, or none.
pub(crate) fn check(shared: &Shared, request: &Request) -> Option<Response<Body>> {
    let header = |name: &str| request.headers.get(name).and_then(|v| v.to_str().ok());
    let host = header(header::HOST.as_str()).unwrap_or_default();
    let public = shared.read(|world| Url::parse(&world.public_url).ok());
    if !ours(host, public.as_ref()) {
        return Some(refuse(
            "This simulator is reached by localhost or by its configured public address only.",
        ));
    }
    if reads(request) {
        return None; // links and redirects from a shop lead to the payment page
    }
    let site = header("sec-fetch-site").unwrap_or("same-origin");
    if !matches!(site, "same-origin" | "none") {
        return Some(refuse("Requests from other sites' pages are refused."));
    }
    let origin = header(header::ORIGIN.as_str()).filter(|o| *o != "null").map(Url::parse);
    match origin {
        Some(Ok(origin)) if same_host(&origin, host) => None,
        Some(_) => Some(refuse("Requests from other sites' pages are refused.")),
        None => None,
    }
}

/// A refusal of a request to the API, in the API's own form, or none. Programs send none of what betrays a
/// browser. A page that knows no key can still send one: `http://key:x@localhost…` is all it needs.
pub(crate) fn check_api(shared: &Shared, headers: &HeaderMap) -> Result<(), StripeError> {
    let header = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let host = header(header::HOST.as_str()).unwrap_or_default();
    let public = shared.read(|world| Url::parse(&world.public_url).ok());
    if headers.get_all(header::HOST).iter().count() > 1 || !(ours(host, public.as_ref()) || is_inside(host)) {
        return Err(StripeError::forbidden(
            "foreign_host",
            "This simulator is reached by localhost or by its configured public address only.",
        ));
    }
    let site = header("sec-fetch-site").unwrap_or("none");
    let origin = header(header::ORIGIN.as_str()).map(Url::parse);
    let same_origin = origin.is_none_or(|origin| origin.is_ok_and(|origin| same_host(&origin, host)));
    if same_origin && matches!(site, "same-origin" | "none") {
        return Ok(());
    }
    Err(StripeError::forbidden("cross_site", "Requests from other sites' pages are refused."))
}

/// A name without a dot, as containers call each other by: no page on the web has one.
fn is_inside(host: &str) -> bool {
    let name = host.split_once(':').map_or(host, |(name, _)| name);
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

/// Reading changes nothing. The control API's answers are for tools, so it is guarded in full.
fn reads(request: &Request) -> bool {
    matches!(request.method, Method::GET | Method::HEAD) && !request.path.starts_with("/_sim")
}

fn refuse(why: &str) -> Response<Body> {
    html::text(StatusCode::FORBIDDEN, why)
}

fn ours(host: &str, public: Option<&Url>) -> bool {
    let Ok(parsed) = Url::parse(&format!("http://{host}")) else { return false };
    match parsed.host() {
        Some(Host::Ipv4(ip)) if ip.is_loopback() => true,
        Some(Host::Ipv6(ip)) if ip.is_loopback() => true,
        Some(Host::Domain(name)) if name == "localhost" || name.ends_with(".localhost") => true,
        Some(host) => public.is_some_and(|url| url.host() == Some(host)),
        None => false,
    }
}

fn same_host(origin: &Url, host: &str) -> bool {
    let Ok(own) = Url::parse(&format!("{}://{host}", origin.scheme())) else { return false };
    origin.origin() == own.origin()
}
