//! Limits by client address. Sign-ins have their own, shared through the database: `flow::accounts`.

use super::error::Problem;
use crate::app::Shared;
use crate::metrics::Limited;
use axum::extract::{ConnectInfo, FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use domain::client_address::network;
use std::collections::HashMap;
use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Checkouts that an address may start a minute. A household needs a few, an office some dozens.
const CHECKOUTS: u32 = 120;
/// Looks at what can be booked that an address may take a minute: ten a second, for a page that shows a whole year to
/// an office behind one address.
const LOOKS: u32 = 600;
/// Deliveries a minute that may fail verification: more is no misconfigured endpoint but noise.
const BAD_DELIVERIES: u32 = 300;
/// Both count by the minute.
const WINDOW: Duration = Duration::from_secs(60);
/// The most addresses remembered. A flood from more is not one that addresses can stop.
const MAX_ADDRESSES: usize = 50_000;

/// The client's address: the connection's, or what the proxies that we trust say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientAddress(pub IpAddr);

impl FromRequestParts<Shared> for ClientAddress {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &Shared) -> Result<Self, Infallible> {
        notice_proxy(app, parts.extensions.get(), &parts.headers);
        Ok(Self::of(parts.extensions.get(), &parts.headers, app.config.trust_proxy))
    }
}

/// Behind a proxy that nobody told us of all visitors have one address, and share its limits: one of them locks the
/// others out. A header alone anybody can send, so only a neighbour's counts.
fn notice_proxy(app: &Shared, peer: Option<&ConnectInfo<SocketAddr>>, headers: &HeaderMap) {
    let neighbour = || {
        peer.is_some_and(|peer| match peer.0.ip().to_canonical() {
            IpAddr::V4(address) => address.is_loopback() || address.is_private() || address.is_link_local(),
            IpAddr::V6(address) => address.is_loopback() || address.is_unique_local(),
        })
    };
    let forwarded = app.config.trust_proxy == 0 && headers.contains_key("x-forwarded-for") && neighbour();
    if forwarded && app.counters.forwarded(app.clock.now()) {
        tracing::warn!(
            module = "security",
            action = "config.proxy_not_trusted",
            "a proxy stands in front and TRUST_PROXY is 0: all visitors count as one and share its limits; set it to \
             the number of proxies"
        );
    }
}

impl ClientAddress {
    /// With `proxies` in front, each adds the address that it was called from at the right of
    /// `X-Forwarded-For`: so the n-th from the right was written by the outermost one that we trust,
    /// and all left of it by anybody. If it is not there, the request came another way.
    fn of(peer: Option<&ConnectInfo<SocketAddr>>, headers: &HeaderMap, proxies: usize) -> Self {
        let peer = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.0.ip()).to_canonical();
        let forwarded = || {
            let lines = headers.get_all("x-forwarded-for").iter();
            let lines: Option<Vec<&str>> = lines.map(|line| line.to_str().ok()).collect();
            let lines = lines?;
            let mut entries = lines.iter().flat_map(|line| line.split(',')).rev();
            read_address(entries.nth(proxies.checked_sub(1)?)?.trim())
        };
        Self(forwarded().unwrap_or(peer))
    }
}

/// Whether the request came from this machine itself, and not through a proxy on it.
#[must_use]
pub fn is_local(peer: Option<&ConnectInfo<SocketAddr>>, headers: &HeaderMap) -> bool {
    let proxied = ["x-forwarded-for", "forwarded", "x-real-ip", "via"];
    let proxied = proxied.iter().any(|name| headers.contains_key(*name));
    !proxied && peer.is_some_and(|peer| peer.0.ip().to_canonical().is_loopback())
}

/// An address as proxies write it: with or without port, IPv6 with or without brackets.
fn read_address(text: &str) -> Option<IpAddr> {
    let address = text.parse::<IpAddr>().ok();
    let address = address.or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()));
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse::<Ipv6Addr>().ok().map(IpAddr::V6);
    address.or_else(bracketed).map(|address| address.to_canonical())
}

/// A count by address that starts anew each minute.
#[derive(Debug, Clone)]
struct Limiter {
    limit: u32,
    counts: Arc<Mutex<HashMap<IpAddr, (u32, Instant)>>>,
}

/// What an address may still do.
#[derive(Debug, Clone, Copy)]
struct Left {
    /// None: it did too much already.
    remaining: Option<u32>,
    resets_in: Duration,
}

impl Limiter {
    fn new(limit: u32) -> Self {
        Self { limit, counts: Arc::default() }
    }

    fn count(&self, address: IpAddr) -> Left {
        let now = Instant::now();
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.len() >= MAX_ADDRESSES && !counts.contains_key(&network(address)) {
            counts.retain(|_, (_, ends)| *ends > now);
            if counts.len() >= MAX_ADDRESSES {
                return Left { remaining: Some(0), resets_in: WINDOW };
            }
        }
        let (count, ends) = counts.entry(network(address)).or_insert((0, now + WINDOW));
        if *ends <= now {
            (*count, *ends) = (0, now + WINDOW);
        }
        *count = count.saturating_add(1);
        Left { remaining: self.limit.checked_sub(*count), resets_in: ends.duration_since(now) }
    }

    fn give_back(&self, address: IpAddr) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((count, _)) = counts.get_mut(&network(address)) {
            *count = count.saturating_sub(1);
        }
    }
}

/// The limits that routes are wrapped in.
#[derive(Debug, Clone)]
pub struct Limits {
    app: Shared,
    checkouts: Limiter,
    looks: Limiter,
    bad_deliveries: Limiter,
}

impl Limits {
    /// Nobody did anything yet.
    #[must_use]
    pub fn new(app: &Shared) -> Self {
        Self {
            app: app.clone(),
            checkouts: Limiter::new(CHECKOUTS),
            looks: Limiter::new(LOOKS),
            bad_deliveries: Limiter::new(BAD_DELIVERIES),
        }
    }

    fn address(&self, request: &Request) -> IpAddr {
        let peer = request.extensions().get();
        notice_proxy(&self.app, peer, request.headers());
        ClientAddress::of(peer, request.headers(), self.app.config.trust_proxy).0
    }

    fn refuse(&self, what: Limited, left: Left) -> Problem {
        self.app.counters.limited(what);
        too_many(left.resets_in)
    }
}

/// Starting a checkout holds a seat, so nobody may start any number. Bad input holds none and is not
/// counted.
pub async fn checkouts(State(limits): State<Limits>, request: Request, next: Next) -> Response {
    let address = limits.address(&request);
    let left = limits.checkouts.count(address);
    let Some(remaining) = left.remaining else {
        let problem = limits.refuse(Limited::Checkout, left);
        return with_headers(problem.into_response(), "checkout", CHECKOUTS, 0, left.resets_in);
    };
    let response = next.run(request).await;
    let costly = [StatusCode::CONFLICT, StatusCode::TOO_MANY_REQUESTS];
    let bad_input = response.status().is_client_error() && !costly.contains(&response.status());
    if bad_input {
        limits.checkouts.give_back(address);
    }
    let remaining = if bad_input { remaining + 1 } else { remaining };
    with_headers(response, "checkout", CHECKOUTS, remaining, left.resets_in)
}

/// What can be booked is asked by everybody's pages, and costs a look into the database each time.
pub async fn looks(State(limits): State<Limits>, request: Request, next: Next) -> Response {
    let left = limits.looks.count(limits.address(&request));
    match left.remaining {
        Some(_) => next.run(request).await,
        None => {
            let refused = limits.refuse(Limited::Looks, left).into_response();
            with_headers(refused, "looks", LOOKS, 0, left.resets_in)
        }
    }
}

/// Every delivery is verified, and valid ones are never limited: only failures count, and only
/// failures are then answered 429.
pub async fn bad_deliveries(State(limits): State<Limits>, request: Request, next: Next) -> Response {
    let address = limits.address(&request);
    let response = next.run(request).await;
    if response.status() != StatusCode::BAD_REQUEST {
        return response;
    }
    let left = limits.bad_deliveries.count(address);
    match left.remaining {
        Some(_) => response,
        None => {
            let refused = limits.refuse(Limited::Webhook, left).into_response();
            with_headers(refused, "webhook-failures", BAD_DELIVERIES, 0, left.resets_in)
        }
    }
}

/// 429, told to the log by the name that security tools know.
#[must_use]
pub fn too_many(retry_after: Duration) -> Problem {
    tracing::warn!(module = "security", action = "excess_rate_limit_exceeded", "a limit was exceeded");
    let seconds = whole_seconds(retry_after);
    let message = format!("You did this too often. Try again in {seconds} seconds.");
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "Too many requests", message).retry_after(seconds)
}

/// The `RateLimit` fields of the IETF draft "RateLimit header fields for HTTP".
#[must_use]
pub fn headers(
    name: &str,
    limit: u32,
    remaining: u32,
    resets_in: Duration,
) -> [(HeaderName, HeaderValue); 2] {
    let value = |text: String| HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static(""));
    let policy = format!("{name};q={limit};w={}", WINDOW.as_secs());
    let state = format!("{name};r={remaining};t={}", whole_seconds(resets_in));
    [
        (HeaderName::from_static("ratelimit-policy"), value(policy)),
        (HeaderName::from_static("ratelimit"), value(state)),
    ]
}

fn with_headers(
    mut response: Response,
    name: &str,
    limit: u32,
    remaining: u32,
    resets_in: Duration,
) -> Response {
    response.headers_mut().extend(headers(name, limit, remaining, resets_in));
    response
}

/// Rounded up: who waits so long has waited long enough.
fn whole_seconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis().div_ceil(1000)).unwrap_or(u32::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// S14
    #[test]
    fn the_client_is_whom_the_trusted_proxies_name() {
        let peer = ConnectInfo("192.0.2.9:1".parse::<SocketAddr>().unwrap());
        let cases: &[(usize, &[&str], &str)] = &[
            (0, &[], "192.0.2.9"),
            (0, &["1.1.1.1"], "192.0.2.9"),
            (1, &[], "192.0.2.9"),
            (1, &["1.1.1.1"], "1.1.1.1"),
            (1, &["6.6.6.6, 1.1.1.1"], "1.1.1.1"),
            (1, &["6.6.6.6", "1.1.1.1"], "1.1.1.1"),
            (2, &["6.6.6.6, 1.1.1.1, 2.2.2.2"], "1.1.1.1"),
            (2, &["6.6.6.6, 1.1.1.1", "2.2.2.2"], "1.1.1.1"),
            (2, &["2.2.2.2"], "192.0.2.9"),
            (1, &["6.6.6.6, not-an-address"], "192.0.2.9"),
            (1, &["1.1.1.1:4711"], "1.1.1.1"),
            (1, &["[2001:db8::1]:4711"], "2001:db8::1"),
            (1, &["[2001:db8::1]"], "2001:db8::1"),
            (1, &["::ffff:1.1.1.1"], "1.1.1.1"),
            (1, &["6.6.6.6,"], "192.0.2.9"),
        ];
        for (proxies, lines, expected) in cases {
            let mut headers = HeaderMap::new();
            for line in *lines {
                headers.append("x-forwarded-for", HeaderValue::from_str(line).unwrap());
            }
            let ClientAddress(address) = ClientAddress::of(Some(&peer), &headers, *proxies);
            assert_eq!(address.to_string(), *expected, "{proxies} proxies, {lines:?}");
        }
    }

    #[test]
    fn a_request_through_a_proxy_on_this_machine_is_not_local() {
        let peer = |text: &str| ConnectInfo(text.parse::<SocketAddr>().unwrap());
        let mut headers = HeaderMap::new();
        assert!(is_local(Some(&peer("127.0.0.1:1")), &headers));
        assert!(is_local(Some(&peer("[::ffff:127.0.0.1]:1")), &headers));
        assert!(!is_local(Some(&peer("192.0.2.1:1")), &headers));
        assert!(!is_local(None, &headers));
        headers.insert("x-forwarded-for", HeaderValue::from_static("127.0.0.1"));
        assert!(!is_local(Some(&peer("127.0.0.1:1")), &headers));
    }

    #[test]
    fn an_address_is_counted_alone_and_can_get_its_count_back() {
        let limiter = Limiter::new(2);
        let (one, other) = (IpAddr::from([1, 1, 1, 1]), IpAddr::from([2, 2, 2, 2]));
        assert_eq!(limiter.count(one).remaining, Some(1));
        assert_eq!(limiter.count(one).remaining, Some(0));
        assert_eq!(limiter.count(one).remaining, None);
        assert_eq!(limiter.count(other).remaining, Some(1));
        limiter.give_back(one);
        limiter.give_back(one);
        assert_eq!(limiter.count(one).remaining, Some(0));
    }
}
