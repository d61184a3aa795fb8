//! What holds for every answer and every request, whatever the route: headers, cross-site requests,
//! methods, panics, and how long an answer may take.

use super::error::Problem;
use super::limit;
use super::server::LastPlaces;
use super::server::budget::BodyShare;
use crate::app::Shared;
use axum::body::Body;
use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::any::Any;
use std::sync::Arc;
use std::time::Duration;
use url::{Host, Url};

/// Nothing is loaded from elsewhere, and nothing inline. A page may set a narrower policy itself.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     img-src 'self'; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// What every answer carries unless its handler said otherwise.
const HEADERS: [(HeaderName, &str); 8] = [
    (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    // Not `no-referrer`: with it browsers send `Origin: null` with our own forms.
    (header::REFERRER_POLICY, "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (
        HeaderName::from_static("permissions-policy"),
        "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    ),
    // Bookings and people: nothing is kept by anybody. Files that never change say so themselves.
    (header::CACHE_CONTROL, "no-store"),
];

/// Two years, where browsers reach us over https.
const HSTS: &str = "max-age=63072000";

/// The longest that a handler may take. Stripe's own patience is below it, the webhook's further.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// The longest address and headers of a request together, in bytes.
const MAX_HEAD: usize = 32 * 1024;

/// Routes that pages of `ALLOWED_ORIGINS` may call: none of them looks at the session.
const OPEN_ROUTES: [&str; 3] = ["/create-checkout-session", "/api/bookings", "/api/checkout/{session}"];

/// Routes that tell whether we live, and what may come to them by an address or a name of the inside:
/// balancers, containers' health checks and Prometheus know no other. Nothing in their answers depends on it.
const PROBES: [&str; 4] = ["/health", "/livez", "/readyz", "/metrics"];
/// Routes of which they may read, and no more: for whoever is signed in they also change something.
const OPEN_READS: [&str; 2] = ["/api/offers", "/api/slots"];

/// Adds the headers that every answer has.
pub fn add_headers(app: &Shared, headers: &mut HeaderMap) {
    headers.reserve(HEADERS.len() + 1);
    for (name, value) in HEADERS {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    if app.config.https() {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static(HSTS));
    }
}

/// What a request has to pass, whatever its route, before its handler answers in good time.
pub async fn admit(app: &Shared, request: Request, next: Next) -> Response {
    if has_long_head(&request) {
        let message = "Send fewer or shorter headers: together they are over the limit.";
        let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
        return Problem::new(status, "Head too large", message).into_response();
    }
    let path = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    let (probe, webhook) = (path.is_some_and(|path| PROBES.contains(&path)), path == Some("/webhook"));
    if request.extensions().get::<LastPlaces>().is_some() && !probe && !webhook {
        return Problem::unavailable(5).into_response();
    }
    if let Err(problem) = check_host(app, &request, probe || webhook) {
        return problem.into_response();
    }
    if has_nul(&request) {
        return Problem::fault("address", "must not contain %00, the character U+0000").into_response();
    }
    let share = request.extensions().get::<Arc<BodyShare>>().cloned();
    let response = cross_site(app, request, next).await;
    // The webhook says so itself, by a 500.
    match share.is_some_and(|share| share.was_refused()) && !webhook {
        true => Problem::unavailable(5).into_response(),
        false => response,
    }
}

/// Whether the request is for us by name: a page of a name that was made to point here (DNS rebinding) must
/// not use what a browser here may, and no link may be made of a stranger's name. The deliveries' signature
/// says more than a name could.
fn check_host(app: &Shared, request: &Request, any_name: bool) -> Result<(), Problem> {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let (first, more) = (hosts.next(), hosts.next());
    let given = match (first, more) {
        (Some(host), None) => host.to_str().unwrap_or_default(),
        // Balancers' oldest health checks are HTTP/1.0 and name none.
        (None, None) if any_name && request.version() == Version::HTTP_10 => return Ok(()),
        (_, Some(_)) | (None, None) => {
            return Err(Problem::fault("Host", "must be sent, exactly once"));
        }
    };
    let Some(name) = host_name(given) else {
        return Err(Problem::fault("Host", "must be a host name, with or without a port"));
    };
    let absolute = request.uri().authority().map(|authority| host_name(authority.as_str()));
    let ours = |name: &Host| is_our_name(app, request, name);
    if any_name || (ours(&name) && absolute.is_none_or(|name| name.as_ref().is_some_and(ours))) {
        return Ok(());
    }
    let message =
        "This service is reached by the address in its APP_URL only. Ask there, or correct APP_URL.";
    Err(Problem::new(StatusCode::MISDIRECTED_REQUEST, "Misdirected request", message))
}

/// The host of an authority, as browsers understand it.
fn host_name(authority: &str) -> Option<Host> {
    let plain = !authority.is_empty() && !authority.contains(['/', '@', '?', '#', '\\', ' ']);
    let url = Url::parse(&format!("http://{authority}/")).ok().filter(|_| plain)?;
    url.host().map(|host| host.to_owned())
}

/// The name in `APP_URL`; a loopback name for who is on this machine, and in development for everybody,
/// as any bare address is there: a stranger's page can only come by a name.
fn is_our_name(app: &Shared, request: &Request, name: &Host) -> bool {
    let public = Url::parse(&app.config.app_url).ok();
    if public.as_ref().and_then(Url::host).is_some_and(|host| host.to_owned() == *name) {
        return true;
    }
    let (loopback, bare) = match name {
        Host::Domain(name) => (name == "localhost" || name.ends_with(".localhost"), false),
        Host::Ipv4(address) => (address.is_loopback(), true),
        Host::Ipv6(address) => (address.is_loopback(), true),
    };
    let local = limit::is_local(request.extensions().get(), request.headers());
    if app.config.is_production() { loopback && local } else { loopback || bare }
}

/// Whether NUL is in the address: no route needs one, and not every database takes it.
fn has_nul(request: &Request) -> bool {
    request.uri().path_and_query().is_some_and(|address| address.as_str().contains("%00"))
}

/// Refuses changes that another site's page asks for, and answers the browsers of sites that may.
async fn cross_site(app: &Shared, request: Request, next: Next) -> Response {
    if matches!(*request.method(), Method::TRACE | Method::CONNECT) {
        return Problem::new(StatusCode::METHOD_NOT_ALLOWED, "Method not allowed", "Use GET or POST.")
            .into_response();
    }
    let path = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    let reads = request.method().is_safe();
    let open = path.is_some_and(|path| OPEN_ROUTES.contains(&path) || (reads && OPEN_READS.contains(&path)));
    let allowed = allowed_origin(app, request.headers()).filter(|_| open);
    let preflight = request.method() == Method::OPTIONS
        && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    if let (true, Some(origin)) = (preflight, &allowed) {
        return preflight_answer(origin);
    }
    let webhook = path == Some("/webhook");
    let safe = request.method().is_safe();
    if !safe && !webhook && allowed.is_none() && !is_same_site(app, request.headers()) {
        tracing::warn!(
            module = "security",
            action = "malicious_csrf",
            "a change asked for by another site was refused"
        );
        let message =
            "Changes are only taken from this site's own pages, or from programs that are no browser.";
        return vary(Problem::new(StatusCode::FORBIDDEN, "Cross-site request", message).into_response());
    }
    let mut response = in_time(request, next).await;
    if let Some(origin) = allowed {
        let headers = response.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(
            header::ACCESS_CONTROL_EXPOSE_HEADERS,
            HeaderValue::from_static("x-request-id, retry-after, ratelimit, ratelimit-policy"),
        );
    }
    if safe && !open { response } else { vary(response) }
}

/// What the answer depends on, for caches.
fn vary(mut response: Response) -> Response {
    response.headers_mut().append(header::VARY, HeaderValue::from_static("Origin, Sec-Fetch-Site"));
    response
}

fn allowed_origin(app: &Shared, headers: &HeaderMap) -> Option<HeaderValue> {
    let origin = headers.get(header::ORIGIN)?;
    let text = origin.to_str().ok()?;
    app.config.allowed_origins.iter().any(|allowed| allowed == text).then(|| origin.clone())
}

/// Whether no other site's page can be behind the request. Browsers say so themselves in
/// `Sec-Fetch-Site`, older ones at least name the page's `Origin`; who sends neither is no browser.
fn is_same_site(app: &Shared, headers: &HeaderMap) -> bool {
    let text = |name: &HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    match (text(&HeaderName::from_static("sec-fetch-site")), text(&header::ORIGIN)) {
        (Some(site), _) => matches!(site, "same-origin" | "none"),
        (None, Some(origin)) => origin == app.config.app_url || is_own_development(app, origin),
        (None, None) => true,
    }
}

/// In development the same page is had by each name of this machine.
fn is_own_development(app: &Shared, origin: &str) -> bool {
    let Ok(url) = Url::parse(origin) else { return false };
    let loopback = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    !app.config.is_production() && loopback && url.port_or_known_default() == Some(app.config.port)
}

fn preflight_answer(origin: &HeaderValue) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST"));
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_HEADERS,
        HeaderValue::from_static("content-type, idempotency-key, x-request-id"),
    );
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    vary(response)
}

/// Whether a head is longer than anybody's need. hyper would refuse it too, but its answer has neither headers
/// nor a body; ours is one like all others.
fn has_long_head(request: &Request) -> bool {
    let uri = request.uri().path_and_query().map_or(0, |path| path.as_str().len());
    let headers = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + 4);
    uri + headers.sum::<usize>() > MAX_HEAD
}

/// Ends a handler that takes too long.
async fn in_time(request: Request, next: Next) -> Response {
    match tokio::time::timeout(REQUEST_TIMEOUT, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            tracing::error!(module = "http", action = "http.request.timed_out", "a handler took too long");
            Problem::unavailable(5).into_response()
        }
    }
}

/// A handler panicked: the log knows where, the caller that it was not their fault.
#[must_use]
pub fn panicked(_payload: Box<dyn Any + Send>) -> Response<Body> {
    Problem::internal().into_response()
}

/// Nothing is here.
pub async fn not_found() -> Problem {
    Problem::not_found()
}
