//! What is counted since the process started, and how Prometheus reads it.
//!
//! Plain atomics: `/admin/metrics` needs exact numbers, and a scrape a few dozen lines of text. No
//! label ever holds an id.

mod process;
mod text;

pub use text::Exposition;

use clock::Timestamp;
use domain::payment::Outcome;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

/// Clocks that differ by more seconds want somebody's attention: 300 s is where deliveries are refused.
pub const CLOCKS_DIFFER: i64 = 30;
/// Why deliveries are refused before they are events. The first five are `SignatureError::reason`'s.
const REJECT_REASONS: [&str; 8] = [
    "header_missing",
    "header_malformed",
    "no_v1_signature",
    "secret_or_body",
    "timestamp_out_of_tolerance",
    "body_too_large",
    "no_room",
    "other",
];
/// The background work, as it is named in logs and metrics.
pub const BACKGROUND: [&str; 8] =
    ["ledger", "feed", "objects", "bookings", "refunds", "effects", "cleanup", "other"];
const METHODS: [&str; 5] = ["GET", "HEAD", "POST", "OPTIONS", "other"];
const CLASSES: [&str; 4] = ["2xx", "3xx", "4xx", "5xx"];
/// The most routes told apart. There are fewer; unknown paths share one name.
const MAX_ROUTES: usize = 200;

/// The counters of one process.
#[derive(Debug)]
pub struct Counters {
    started: Instant,
    started_at: Timestamp,
    received: AtomicU64,
    failed: AtomicU64,
    /// Verified deliveries that were answered 500.
    not_recorded: AtomicU64,
    /// Refused deliveries that were not yet written down, by reason.
    refused_new: [AtomicU64; REJECT_REASONS.len()],
    /// When each reason was last met.
    refused_at: [AtomicI64; REJECT_REASONS.len()],
    /// When a proxy's header was last met though none was to be expected, in microseconds since 1970; 0 for never.
    forwarded_at: AtomicI64,
    outcomes: Family<{ Outcome::ALL.len() }>,
    rejects: Family<{ REJECT_REASONS.len() }>,
    webhook_time: Histogram,
    signature_age: Histogram,
    /// By the secret's place in the configuration: unix seconds of its last use, 0 for never.
    secret_last_used: [AtomicI64; 8],
    /// When a delivery was last signed in our future, in microseconds since 1970; 0 for never.
    ahead_at: AtomicI64,
    /// By how many seconds.
    ahead_by: AtomicI64,
    http_5xx: AtomicU64,
    request_time: Histogram,
    requests: RwLock<BTreeMap<String, RouteCounts>>,
    logins: Family<4>,
    limited: Family<3>,
    background_failures: Family<{ BACKGROUND.len() }>,
    connections: Arc<AtomicI64>,
    connections_refused: AtomicU64,
    stripe: Arc<StripeCalls>,
}

type RouteCounts = [[AtomicU64; CLASSES.len()]; METHODS.len()];

/// What `/admin/metrics` tells of webhooks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct WebhookCounts {
    /// Deliveries with a valid signature.
    pub received: u64,
    /// Those of them whose event had been applied before.
    pub duplicates: u64,
    /// Deliveries with an invalid signature, or that failed through a fault of ours.
    pub errors: u64,
}

/// Deliveries refused unread for one reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Why.
    pub reason: &'static str,
    /// How many.
    pub count: u64,
    /// When last.
    pub at: Timestamp,
}

/// How a try to sign in ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Login {
    /// Signed in.
    Success,
    /// Wrong address or password, or a disabled account.
    Failure,
    /// Too many tries.
    Limited,
    /// Too many at once: nothing was judged.
    Overloaded,
}

/// What a limit protects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limited {
    /// Signing in.
    Login,
    /// Starting a checkout.
    Checkout,
    /// Deliveries that fail verification.
    Webhook,
    /// Looks at what can be booked.
    Looks,
}

impl Counters {
    /// All zero; time counts from now.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        Self {
            started: Instant::now(),
            started_at: now,
            received: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            not_recorded: AtomicU64::new(0),
            refused_new: Default::default(),
            refused_at: Default::default(),
            forwarded_at: AtomicI64::new(0),
            outcomes: Family::new(Outcome::ALL.map(Outcome::as_str)),
            rejects: Family::new(REJECT_REASONS),
            webhook_time: Histogram::new(&LATENCY_BUCKETS),
            signature_age: Histogram::new(&AGE_BUCKETS),
            secret_last_used: Default::default(),
            ahead_at: AtomicI64::new(0),
            ahead_by: AtomicI64::new(0),
            http_5xx: AtomicU64::new(0),
            request_time: Histogram::new(&LATENCY_BUCKETS),
            requests: RwLock::default(),
            logins: Family::new(["success", "failure", "limited", "overloaded"]),
            limited: Family::new(["login", "checkout", "webhook"]),
            background_failures: Family::new(BACKGROUND),
            connections: Arc::default(),
            connections_refused: AtomicU64::new(0),
            stripe: Arc::default(),
        }
    }

    /// Where requests to Stripe are counted.
    #[must_use]
    pub fn stripe_calls(&self) -> Arc<StripeCalls> {
        self.stripe.clone()
    }

    /// A delivery whose signature fits the secret at `secret_index`, signed at `signed_at` (unix seconds).
    pub fn webhook_received(&self, secret_index: usize, signed_at: i64, now: Timestamp) {
        add(&self.received);
        if let Some(last) = self.secret_last_used.get(secret_index) {
            last.fetch_max(now.as_unix_seconds(), Ordering::Relaxed);
        }
        let ahead = signed_at.saturating_sub(now.as_unix_seconds());
        if ahead > CLOCKS_DIFFER {
            self.ahead_by.store(ahead, Ordering::Relaxed);
            self.ahead_at.fetch_max(now.as_micros(), Ordering::Relaxed);
        }
        let age = now.since(Timestamp::from_unix_seconds(signed_at));
        self.signature_age.observe(age);
    }

    /// A delivery that was refused unread, for `reason`.
    pub fn webhook_rejected(&self, reason: &str, now: Timestamp) {
        self.rejects.add(reason);
        let known = REJECT_REASONS.iter().position(|known| *known == reason);
        let known = known.unwrap_or(REJECT_REASONS.len() - 1);
        if let (Some(at), Some(new)) = (self.refused_at.get(known), self.refused_new.get(known)) {
            at.fetch_max(now.as_micros(), Ordering::Relaxed);
            add(new);
        }
        self.outcomes.add(Outcome::Rejected.as_str());
        add(&self.failed);
    }

    /// A verified delivery that ended with `outcome` after `took`.
    pub fn webhook_done(&self, outcome: Outcome, took: Duration) {
        self.outcomes.add(outcome.as_str());
        if outcome == Outcome::Rejected {
            add(&self.failed);
            add(&self.not_recorded);
        }
        self.webhook_time.observe(took);
    }

    /// An answer to any request. `route` is the route's pattern, never the path that was asked for.
    pub fn request_done(&self, route: &str, method: &str, status: u16, took: Duration) {
        if status >= 500 {
            add(&self.http_5xx);
        }
        self.request_time.observe(took);
        let method = METHODS.iter().position(|name| *name == method).unwrap_or(METHODS.len() - 1);
        let class = usize::from((status / 100).clamp(2, 5) - 2);
        let requests = self.requests.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(route) = requests.get(route) {
            add(&route[method][class]);
            return;
        }
        drop(requests);
        let mut requests = self.requests.write().unwrap_or_else(PoisonError::into_inner);
        if requests.len() < MAX_ROUTES || requests.contains_key(route) {
            add(&requests.entry(route.to_owned()).or_default()[method][class]);
        }
    }

    /// A try to sign in.
    pub fn login(&self, login: Login) {
        self.logins.add(match login {
            Login::Success => "success",
            Login::Failure => "failure",
            Login::Limited => "limited",
            Login::Overloaded => "overloaded",
        });
    }

    /// A request that a limit refused.
    pub fn limited(&self, limit: Limited) {
        self.limited.add(match limit {
            Limited::Login => "login",
            Limited::Checkout => "checkout",
            Limited::Webhook => "webhook",
            Limited::Looks => "looks",
        });
    }

    /// A round of background work failed.
    pub fn background_failed(&self, work: &str) {
        self.background_failures.add(work);
    }

    /// A connection was accepted, until the guard is dropped.
    #[must_use]
    pub fn connection(&self) -> Connection {
        self.connections.fetch_add(1, Ordering::Relaxed);
        Connection(self.connections.clone())
    }

    /// A connection was closed unserved, because there were too many.
    pub fn connection_refused(&self) {
        add(&self.connections_refused);
    }

    /// For `/admin/metrics`.
    #[must_use]
    pub fn webhook(&self) -> WebhookCounts {
        WebhookCounts {
            received: self.received.load(Ordering::Relaxed),
            duplicates: self.outcomes.get(Outcome::Duplicate.as_str()),
            errors: self.failed.load(Ordering::Relaxed),
        }
    }

    /// Deliveries by outcome, for `/admin/metrics`.
    pub fn outcomes(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.outcomes.iter()
    }

    /// Answers of 500 and above.
    #[must_use]
    pub fn http_5xx(&self) -> u64 {
        self.http_5xx.load(Ordering::Relaxed)
    }

    /// How long the process has run, by a clock that nobody sets.
    #[must_use]
    pub fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// When each webhook secret, by its place in the configuration, last fitted.
    pub fn secrets_last_used(&self) -> impl Iterator<Item = Option<Timestamp>> {
        let used = self.secret_last_used.iter().map(|last| last.load(Ordering::Relaxed));
        used.map(|at| (at > 0).then(|| Timestamp::from_unix_seconds(at)))
    }

    /// When a delivery was last signed in our future, and by how many seconds.
    pub fn signed_ahead(&self) -> Option<(Timestamp, i64)> {
        let at = self.ahead_at.load(Ordering::Relaxed);
        (at > 0).then(|| (Timestamp::from_micros(at), self.ahead_by.load(Ordering::Relaxed)))
    }

    /// A request came with a proxy's header though `TRUST_PROXY` says that there is none. True the first time.
    pub fn forwarded(&self, now: Timestamp) -> bool {
        self.forwarded_at.fetch_max(now.as_micros(), Ordering::Relaxed) == 0
    }

    /// When that was last.
    pub fn forwarded_at(&self) -> Option<Timestamp> {
        let at = self.forwarded_at.load(Ordering::Relaxed);
        (at > 0).then(|| Timestamp::from_micros(at))
    }

    /// Deliveries refused unread that were not taken so before.
    pub fn take_refusals(&self) -> Vec<Refusal> {
        let met = REJECT_REASONS.iter().zip(&self.refused_new).zip(&self.refused_at);
        met.filter_map(|((reason, new), at)| {
            let count = new.swap(0, Ordering::Relaxed);
            let at = Timestamp::from_micros(at.load(Ordering::Relaxed));
            (count > 0).then_some(Refusal { reason, count, at })
        })
        .collect()
    }

    /// They could not be kept: they are taken again.
    pub fn give_back(&self, refusals: &[Refusal]) {
        for refusal in refusals {
            let known = REJECT_REASONS.iter().position(|known| *known == refusal.reason);
            if let Some(new) = known.and_then(|known| self.refused_new.get(known)) {
                new.fetch_add(refusal.count, Ordering::Relaxed);
            }
        }
    }

    /// Everything, as Prometheus reads it.
    pub fn expose(&self, text: &mut Exposition, version: &str, secrets: usize) {
        text.gauge("checkout_build_info", "The program that answers.");
        text.sample(&[("version", version)], 1);
        text.gauge("checkout_start_time_seconds", "When the process started, in unix seconds.");
        text.sample(&[], self.started_at.as_unix_seconds());
        text.gauge("checkout_uptime_seconds", "How long the process has run.");
        text.sample(&[], self.uptime().as_secs());

        text.counter("checkout_webhook_received_total", "Deliveries with a valid signature.");
        text.sample(&[], self.received.load(Ordering::Relaxed));
        text.counter(
            "checkout_webhook_errors_total",
            "Deliveries with an invalid signature or failed processing.",
        );
        text.sample(&[], self.failed.load(Ordering::Relaxed));
        text.counter("checkout_webhook_deliveries_total", "Deliveries by what became of them.");
        self.outcomes.expose(text, "outcome");
        text.counter("checkout_webhook_rejects_total", "Deliveries refused unread, by reason.");
        self.rejects.expose(text, "reason");
        text.counter(
            "checkout_webhook_failures_total",
            "Deliveries that were not taken: refused (400, 413) by reason, or failed (500) though they were verified.",
        );
        for (reason, count) in self.rejects.iter() {
            text.sample(&[("kind", "refused"), ("reason", reason)], count);
        }
        let not_recorded = self.not_recorded.load(Ordering::Relaxed);
        text.sample(&[("kind", "failed"), ("reason", "not_recorded")], not_recorded);
        text.gauge(
            "checkout_webhook_secret_last_used_timestamp_seconds",
            "When a webhook secret last fitted, by its place in the configuration; 0 for never.",
        );
        for (index, last) in self.secret_last_used.iter().take(secrets).enumerate() {
            text.sample(&[("index", &index.to_string())], last.load(Ordering::Relaxed));
        }
        text.histogram("checkout_webhook_duration_seconds", "From a verified delivery to its answer.");
        self.webhook_time.expose(text);
        text.histogram("checkout_webhook_signature_age_seconds", "How old the signature of a delivery was.");
        self.signature_age.expose(text);
        text.gauge(
            "checkout_webhook_signed_ahead_timestamp_seconds",
            "When a delivery was last signed in our future: then this machine's clock is behind; 0 for never.",
        );
        text.sample(&[], Timestamp::from_micros(self.ahead_at.load(Ordering::Relaxed)).as_unix_seconds());

        text.counter("checkout_http_requests_total", "Answers by route, method and class of status.");
        let requests = self.requests.read().unwrap_or_else(PoisonError::into_inner);
        for (route, methods) in requests.iter() {
            for (method, classes) in METHODS.iter().zip(methods) {
                for (class, count) in CLASSES.iter().zip(classes) {
                    let count = count.load(Ordering::Relaxed);
                    if count > 0 {
                        text.sample(&[("route", route), ("method", method), ("status", class)], count);
                    }
                }
            }
        }
        drop(requests);
        text.counter("checkout_http_5xx_total", "Answers of 500 and above.");
        text.sample(&[], self.http_5xx());
        text.histogram("checkout_http_request_duration_seconds", "From a request's head to its answer's.");
        self.request_time.expose(text);
        text.counter("checkout_background_failures_total", "Rounds of background work that failed.");
        self.background_failures.expose(text, "work");
        text.gauge("checkout_http_connections", "Open connections.");
        text.sample(&[], self.connections.load(Ordering::Relaxed));
        text.counter(
            "checkout_http_connections_refused_total",
            "Connections closed because there were too many.",
        );
        text.sample(&[], self.connections_refused.load(Ordering::Relaxed));

        text.counter("checkout_logins_total", "Tries to sign in by how they ended.");
        self.logins.expose(text, "result");
        text.counter("checkout_rate_limited_total", "Requests that a limit refused.");
        self.limited.expose(text, "limit");
        self.stripe.expose(text);
        process::expose(text);
        text.counter("checkout_log_lines_dropped_total", "Log lines lost because standard output took none.");
        text.sample(&[], crate::telemetry::dropped_lines());
    }
}

/// How a request to Stripe ended, by class of status; the last is that no whole answer came.
const STRIPE_CLASSES: [&str; 5] = ["2xx", "3xx", "4xx", "5xx", "none"];

/// Requests to Stripe.
#[derive(Debug)]
pub struct StripeCalls {
    /// By operation, of which the client knows a few.
    counts: RwLock<BTreeMap<&'static str, [AtomicU64; STRIPE_CLASSES.len()]>>,
    time: Histogram,
}

impl Default for StripeCalls {
    fn default() -> Self {
        Self { counts: RwLock::default(), time: Histogram::new(&LATENCY_BUCKETS) }
    }
}

impl StripeCalls {
    /// A request that ended with `status` after `took`; with none if no whole answer came.
    pub fn count(&self, operation: &'static str, status: Option<u16>, took: Duration) {
        self.time.observe(took);
        let class =
            status.map_or(STRIPE_CLASSES.len() - 1, |status| usize::from((status / 100).clamp(2, 5) - 2));
        let counts = self.counts.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(classes) = counts.get(operation) {
            add(&classes[class]);
            return;
        }
        drop(counts);
        let mut counts = self.counts.write().unwrap_or_else(PoisonError::into_inner);
        add(&counts.entry(operation).or_default()[class]);
    }

    fn expose(&self, text: &mut Exposition) {
        text.counter(
            "checkout_stripe_requests_total",
            "Requests to Stripe by operation and class of status; none: no whole answer came.",
        );
        let counts = self.counts.read().unwrap_or_else(PoisonError::into_inner);
        for (operation, classes) in counts.iter() {
            for (class, count) in STRIPE_CLASSES.iter().zip(classes) {
                let count = count.load(Ordering::Relaxed);
                if count > 0 {
                    text.sample(&[("operation", operation), ("status", class)], count);
                }
            }
        }
        text.histogram(
            "checkout_stripe_request_duration_seconds",
            "From a request to Stripe to its answer's end.",
        );
        self.time.expose(text);
    }
}

/// An open connection, counted until this is dropped.
#[derive(Debug)]
pub struct Connection(Arc<AtomicI64>);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn add(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// One counter for each of a few known values of a label.
#[derive(Debug)]
struct Family<const N: usize> {
    values: [&'static str; N],
    counts: [AtomicU64; N],
}

impl<const N: usize> Family<N> {
    fn new(values: [&'static str; N]) -> Self {
        Self { values, counts: std::array::from_fn(|_| AtomicU64::new(0)) }
    }

    /// Counts `value`; one that is not known counts as the last.
    fn add(&self, value: &str) {
        let known = self.values.iter().position(|known| *known == value);
        if let Some(count) = self.counts.get(known.unwrap_or(N - 1)) {
            add(count);
        }
    }

    fn get(&self, value: &str) -> u64 {
        self.iter().find(|(known, _)| *known == value).map_or(0, |(_, count)| count)
    }

    fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.values.iter().zip(&self.counts).map(|(value, count)| (*value, count.load(Ordering::Relaxed)))
    }

    fn expose(&self, text: &mut Exposition, label: &str) {
        for (value, count) in self.iter() {
            text.sample(&[(label, value)], count);
        }
    }
}

/// Upper bounds in microseconds, and as Prometheus writes them.
type Buckets = [(u64, &'static str); 9];

const LATENCY_BUCKETS: Buckets = [
    (1_000, "0.001"),
    (5_000, "0.005"),
    (10_000, "0.01"),
    (25_000, "0.025"),
    (100_000, "0.1"),
    (250_000, "0.25"),
    (1_000_000, "1"),
    (2_500_000, "2.5"),
    (8_000_000, "8"),
];
const AGE_BUCKETS: Buckets = [
    (1_000_000, "1"),
    (2_000_000, "2"),
    (5_000_000, "5"),
    (10_000_000, "10"),
    (30_000_000, "30"),
    (60_000_000, "60"),
    (120_000_000, "120"),
    (240_000_000, "240"),
    (300_000_000, "300"),
];

#[derive(Debug)]
struct Histogram {
    buckets: &'static Buckets,
    counts: [AtomicU64; 10],
    sum_micros: AtomicU64,
}

impl Histogram {
    fn new(buckets: &'static Buckets) -> Self {
        Self { buckets, counts: Default::default(), sum_micros: AtomicU64::new(0) }
    }

    fn observe(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = self.buckets.partition_point(|(bound, _)| *bound < micros);
        if let Some(count) = self.counts.get(bucket) {
            add(count);
        }
        self.sum_micros.fetch_add(micros, Ordering::Relaxed);
    }

    fn expose(&self, text: &mut Exposition) {
        let counts = self.counts.each_ref().map(|count| count.load(Ordering::Relaxed));
        let bounds = self.buckets.iter().map(|(_, bound)| *bound).chain(["+Inf"]);
        let mut total = 0;
        for (bound, count) in bounds.zip(counts) {
            total += count;
            text.suffixed("_bucket", &[("le", bound)], total);
        }
        let micros = self.sum_micros.load(Ordering::Relaxed);
        text.suffixed("_sum", &[], format_args!("{}.{:06}", micros / 1_000_000, micros % 1_000_000));
        text.suffixed("_count", &[], total);
    }
}
