//! What is wrong, and what to do about it: everything that can be checked from here.
//!
//! Every finding that is not fine says what would make it so.

use super::business;
use super::health::{self, LITTLE_ROOM, Trouble};
use super::invariants::{self, Audit, RECENT, Scope};
use super::reconcile::FEED_READ;
use super::whereabouts::{self, Remark};
use crate::app::App;
use crate::config::{Config, PollEvents};
use crate::metrics::{CLOCKS_DIFFER, Refusal};
use crate::stripe::client::API_VERSION;
use crate::stripe::event::KINDS;
use crate::stripe::objects::WebhookEndpoint;
use crate::stripe::{Client, StripeError};
use clock::{Clock, Timestamp};
use domain::ids::CaseId;
use secrecy::ExposeSecret;
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::time::Duration;
use store::checks::Pulse;
use store::environment::Fault;
use store::{SchemaState, StoreError};

/// Clocks that differ by more seconds are about to refuse good deliveries: 300 s is the end.
const CLOCKS_FAIL: i64 = 240;
/// What the service keeps about deliveries that were signed in its future.
const SIGNED_AHEAD: &str = "signed_ahead";
/// And about those that were refused: for each reason and hour how many.
const REFUSED: &str = "refused:";
/// When a proxy's header was met and `TRUST_PROXY` is 0.
const FORWARDED: &str = "forwarded";
/// How long another machine may take to say that it is there.
const REACH: Duration = Duration::from_secs(3);
/// Stripe keeps events for so long.
const FEED_KEEPS: Duration = Duration::from_secs(30 * 86_400);
/// A cursor ahead of now by more would pass over what happens meanwhile.
const FEED_AHEAD: Duration = Duration::from_secs(300);
/// So long after the last of them the clock may have been set right.
const REMEMBERED: Duration = Duration::from_secs(86_400);
/// Other endpoints that a finding names.
const MAX_NAMED: usize = 3;
/// A roll of a secret lasts a day at Stripe: one that did not fit for longer is not used any more.
const ROLLED: Duration = Duration::from_secs(86_400);
/// After this, silence while bookings wait is odd.
const SILENCE: Duration = Duration::from_secs(3600);

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// As it should be.
    Ok,
    /// Works, and wants a look.
    Warn,
    /// Does not work.
    Fail,
}

/// What one check found.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    /// What was checked.
    pub check: &'static str,
    /// How bad it is.
    pub status: Health,
    /// What was found.
    pub message: String,
    /// The command, or the step, that makes it good.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

impl Finding {
    fn ok(check: &'static str, message: impl Into<String>) -> Self {
        Self { check, status: Health::Ok, message: message.into(), fix: None }
    }

    fn warn(check: &'static str, message: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { check, status: Health::Warn, message: message.into(), fix: Some(fix.into()) }
    }

    fn fail(check: &'static str, message: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { status: Health::Fail, ..Self::warn(check, message, fix) }
    }
}

/// What can be looked at whether or not there is a database.
#[derive(Debug, Clone, Copy)]
pub struct Outside<'a> {
    /// How the program is configured.
    pub config: &'a Config,
    /// Stripe's API.
    pub stripe: &'a Client,
    /// The time.
    pub clock: &'a Clock,
}

impl From<Remark> for Finding {
    fn from(Remark { check, message, fix }: Remark) -> Self {
        let status = if fix.is_some() { Health::Warn } else { Health::Ok };
        Self { check, status, message, fix }
    }
}

/// Checks everything. What cannot be checked is a finding too.
///
/// Of the ledger, what is recent: in seconds, however much there is.
pub async fn examine(app: &App) -> Vec<Finding> {
    examine_in(app, RECENT).await
}

/// The same with so much of the ledger.
pub async fn examine_in(app: &App, scope: Scope) -> Vec<Finding> {
    let outside = Outside { config: &app.config, stripe: &app.stripe, clock: &app.clock };
    let mut findings = vec![configuration(&app.config)];
    let stands = database(app, &mut findings).await;
    stripe(outside, &mut findings).await;
    effects_are_reachable(&app.config, &mut findings).await;
    if stands {
        ledger(app, scope, &mut findings).await;
        match whereabouts::remarks(app).await {
            Ok(remarks) => findings.extend(remarks.into_iter().map(Finding::from)),
            Err(error) => findings.push(unreadable(app, "home", &error)),
        }
        for (check, done) in [
            ("secrets", secrets(app, &mut findings).await),
            ("signatures", signatures(app, &mut findings).await),
            ("refusals", refusals(app, &mut findings).await),
            ("offers", offers(app, &mut findings).await),
            ("business", sells(app, &mut findings).await),
            ("feed", feed(app, &mut findings).await),
            ("proxy", proxy(app, &mut findings).await),
        ] {
            if let Err(error) = done {
                findings.push(unreadable(app, check, &error));
            }
        }
    }
    findings
}

/// The same where the database cannot be used, as `error` says: all else is checked.
pub async fn examine_without_database(outside: Outside<'_>, place: &str, error: &StoreError) -> Vec<Finding> {
    let mut findings = vec![configuration(outside.config), unusable(place, error)];
    stripe(outside, &mut findings).await;
    effects_are_reachable(outside.config, &mut findings).await;
    findings
}

fn unusable(place: &str, error: &StoreError) -> Finding {
    let check = if matches!(error, StoreError::NotMigrated) { "migrations" } else { "database" };
    let (message, fix) = health::remedy(error, place);
    Finding::fail(check, message, fix)
}

/// Mends what is safe to mend, and tells what it did. Then all is to be checked again.
///
/// # Errors
/// What Stripe or the database says.
pub async fn fix(app: &App) -> anyhow::Result<Vec<String>> {
    let mut done = Vec::new();
    let now = app.clock.now();
    let mut tx = app.store.begin().await?;
    if let Some(at) = tx.read_until("events").await?
        && cursor(at, now, None, None).status != Health::Ok
    {
        // From as far back as Stripe can tell; what was read before is known and changes nothing.
        let from = now.minus(FEED_KEEPS);
        tx.set_read_until("events", from).await?;
        done.push(format!("the events feed is read again from {from}"));
    }
    tx.commit().await?;
    if app.config.simulated() {
        return Ok(done);
    }
    let endpoints = app.stripe.webhook_endpoints().await?;
    if let Some((id, kinds)) = our_endpoint(&app.config, &endpoints).and_then(|found| found.mendable()) {
        app.stripe.mend_endpoint(&id, kinds.as_deref()).await?;
        done.push(format!(
            "the webhook endpoint {id} is enabled and gets every kind of event that is needed"
        ));
    }
    Ok(done)
}

fn unreadable(app: &App, check: &'static str, error: &StoreError) -> Finding {
    let (message, fix) = health::remedy(error, &app.store.place());
    Finding::fail(check, format!("could not be read: {message}"), fix)
}

fn configuration(config: &Config) -> Finding {
    let mode = match (config.simulated(), config.livemode()) {
        (true, _) => "the simulated Stripe",
        (false, true) => "live Stripe",
        (false, false) => "Stripe in test mode",
    };
    let warnings: Vec<String> =
        config.warnings.iter().map(|warning| format!("{}: {}", warning.name, warning.message)).collect();
    if config.is_production() && !config.livemode() {
        let told = std::iter::once("production with a test key: no payment is real".to_owned());
        let told: Vec<_> = told.chain(warnings).collect();
        let fix = "when customers are to pay, give STRIPE_SECRET_KEY the live key, and STRIPE_WEBHOOK_SECRET the \
                   live endpoint's secret";
        Finding::warn("configuration", told.join("; "), fix)
    } else if warnings.is_empty() {
        Finding::ok("configuration", format!("complete; uses {mode}"))
    } else {
        Finding::warn("configuration", warnings.join("; "), "correct the variables that are named, in .env")
    }
}

/// Whether the database can be asked further.
async fn database(app: &App, findings: &mut Vec<Finding>) -> bool {
    let place = app.store.place();
    match app.store.ready().await {
        Ok(SchemaState::Current) => {
            findings.push(Finding::ok("database", format!("{place} answers, schema up to date")));
        }
        Ok(SchemaState::NewerAdded { found, known }) => findings.push(Finding::warn(
            "database",
            format!(
                "{place} answers; a newer program has added to its schema (version {found}, this program's is {known})"
            ),
            "start the newer program here too",
        )),
        Err(error) => {
            findings.push(unusable(&place, &error));
            return false;
        }
    }
    // The recorder's own road: what it cannot write no webhook can.
    let standing = app.health.standing(&app.store, app.clock.now()).await;
    let room = app.store.free_bytes();
    let mib = |bytes: u64| bytes / (1024 * 1024);
    findings.push(match (standing.trouble, room) {
        (None, Some(free)) if free < LITTLE_ROOM => Finding::warn(
            "disk",
            format!("the database takes writes, and its disk has {} MiB left", mib(free)),
            "make room: df -h",
        ),
        (None, Some(free)) => {
            Finding::ok("disk", format!("the database takes writes; {} MiB are free", mib(free)))
        }
        (None, None) => Finding::ok("disk", "the database takes writes"),
        (Some(Trouble::Full), _) => Finding::fail(
            "disk",
            "the disk is full: the next webhook could not be recorded",
            "make room: df -h; then: checkout-backend doctor",
        ),
        (Some(trouble), _) => {
            let (message, fix) = match trouble {
                Trouble::ReadOnly => (
                    "the database takes no writes: it is a standby, or was made read-only",
                    "give DATABASE_URL the primary (or several hosts: host1,host2); or: alter database NAME set \
                     default_transaction_read_only = off",
                ),
                Trouble::Starved => (
                    "the next webhook could not be recorded: no connection is left, or somebody holds a table",
                    "find who: select pid, usename, state, query from pg_stat_activity; raise the role's limit: alter \
                     role NAME connection limit 20",
                ),
                Trouble::Down | Trouble::Full => (
                    "the next webhook could not be recorded",
                    "look for the action store.trouble in the service's log; then: checkout-backend migrate status",
                ),
            };
            Finding::fail("disk", message, fix)
        }
    });
    match app.store.environment(app.clock.now()).await {
        Ok(faults) => findings.extend(environment(&app.config, faults)),
        // It was told above.
        Err(_) if standing.trouble.is_some() => {}
        Err(error) => findings.push(unreadable(app, "environment", &error)),
    }
    true
}

fn environment(config: &Config, faults: Vec<Fault>) -> Vec<Finding> {
    let (later, now): (Vec<_>, Vec<_>) =
        faults.into_iter().partition(|fault| fault.only_in_production && !config.is_production());
    if now.is_empty() {
        let later: String =
            later.iter().map(|fault| format!("; refused in production: {}", fault.message)).collect();
        let message = format!("settings, rights, indexes and migrations are as they must be{later}");
        return vec![Finding::ok("environment", message)];
    }
    now.into_iter()
        .map(|fault| {
            let status = if fault.breaks_a_promise { Health::Fail } else { Health::Warn };
            Finding { check: fault.check, status, message: fault.message, fix: Some(fault.fix) }
        })
        .collect()
}

async fn stripe(outside: Outside<'_>, findings: &mut Vec<Finding>) {
    let Outside { config, stripe, clock: here } = outside;
    match stripe.server_time().await {
        Ok(at) => {
            findings.push(Finding::ok("stripe-key", "Stripe answers and accepts the key"));
            findings.push(clock(at, here.now()));
        }
        Err(error @ StripeError::Key { .. }) => {
            let fix = "put the key from Stripe's dashboard (Developers, API keys) into STRIPE_SECRET_KEY";
            findings.push(Finding::fail("stripe-key", error.to_string(), fix));
            return;
        }
        Err(error) => {
            let fix = match config.simulated() {
                true => "checkout-backend serve".to_owned(),
                false => format!("curl -sS {}/v1/balance", config.stripe_api_base),
            };
            findings.push(Finding::fail("stripe", error.to_string(), fix));
            return;
        }
    }
    if config.simulated() {
        return;
    }
    match stripe.webhook_endpoints().await {
        Ok(endpoints) => findings.push(endpoint(config, &endpoints)),
        Err(error) => findings.push(Finding::warn(
            "endpoint",
            format!("the webhook endpoints could not be listed: {error}"),
            "let the restricted key read Webhook Endpoints, in Stripe's dashboard (Developers, API keys)",
        )),
    }
}

const SET_CLOCK: &str = "sudo timedatectl set-ntp true";

fn clock(stripe: Option<Timestamp>, now: Timestamp) -> Finding {
    let Some(stripe) = stripe else {
        return Finding::ok("clock", "Stripe's answer does not tell the time");
    };
    let ahead = now.as_unix_seconds().saturating_sub(stripe.as_unix_seconds());
    let message = format!(
        "this machine's clock is {} s {} Stripe's; 300 s ahead of it deliveries are refused",
        ahead.unsigned_abs(),
        if ahead < 0 { "behind" } else { "ahead of" }
    );
    if ahead.abs() <= CLOCKS_DIFFER {
        Finding::ok("clock", format!("{ahead} s from Stripe's"))
    } else if ahead.abs() <= CLOCKS_FAIL {
        Finding::warn("clock", message, SET_CLOCK)
    } else {
        Finding::fail("clock", message, SET_CLOCK)
    }
}

/// A webhook endpoint of the account at our address.
struct Ours<'a> {
    endpoint: &'a WebhookEndpoint,
    /// Enabled ones at this address.
    copies: usize,
}

impl Ours<'_> {
    fn missing(&self) -> Vec<&'static str> {
        KINDS.into_iter().filter(|kind| !self.endpoint.gets(kind)).collect()
    }

    /// What may be put right without asking: it is ours, and gets too little. None if nothing is to do; the kinds are
    /// those that it gets and those that it lacks.
    fn mendable(&self) -> Option<(String, Option<Vec<String>>)> {
        let missing = self.missing();
        let kinds = (!missing.is_empty()).then(|| {
            let has = self.endpoint.enabled_events.iter().cloned();
            has.chain(missing.iter().map(|kind| (*kind).to_owned())).collect()
        });
        (kinds.is_some() || !self.endpoint.is_enabled()).then(|| (self.endpoint.id.clone(), kinds))
    }
}

/// Ours among the account's endpoints: one at our address, whatever query it has (Stripe's own guide for a new
/// version of events tells to add one). One that is enabled comes first.
fn our_endpoint<'a>(config: &Config, endpoints: &'a [WebhookEndpoint]) -> Option<Ours<'a>> {
    let url = format!("{}/webhook", config.app_url);
    let is_there = |found: &String| found.split('?').next() == Some(url.as_str());
    let at_our_url = || endpoints.iter().filter(|endpoint| endpoint.url.as_ref().is_some_and(is_there));
    let is_enabled = |endpoint: &&WebhookEndpoint| endpoint.is_enabled();
    let endpoint = at_our_url().find(is_enabled).or_else(|| at_our_url().next())?;
    Some(Ours { endpoint, copies: at_our_url().filter(is_enabled).count() })
}

fn endpoint(config: &Config, endpoints: &[WebhookEndpoint]) -> Finding {
    let url = format!("{}/webhook", config.app_url);
    let list = KINDS.map(|kind| format!("-d \"enabled_events[]={kind}\"")).join(" ");
    let create = |url: &str| {
        format!(
            "stripe webhook_endpoints create -d url={url} -d api_version={API_VERSION} {list}; it has a new secret, \
             which goes into STRIPE_WEBHOOK_SECRET beside the old one; then restart"
        )
    };
    let Some(ours) = our_endpoint(config, endpoints) else {
        if config.poll_events == PollEvents::Only {
            return Finding::ok("endpoint", "none is needed: the events feed is read (POLL_EVENTS=only)");
        }
        let others: Vec<_> =
            endpoints.iter().filter_map(|endpoint| endpoint.url.as_deref()).take(MAX_NAMED).collect();
        let others = match others.is_empty() {
            true => "it has none".to_owned(),
            false => format!("it has {}", others.join(", ")),
        };
        let message = format!("no webhook endpoint of the account has the address {url}: {others}");
        return Finding::fail("endpoint", message, create(&url));
    };
    let id = &ours.endpoint.id;
    if !ours.endpoint.is_enabled() {
        let status = ours.endpoint.status.as_deref().unwrap_or_default();
        let message = format!("Stripe has {status} the webhook endpoint: it delivers nothing");
        let fix = format!(
            "stripe webhook_endpoints update {id} -d disabled=false, or: checkout-backend doctor --fix"
        );
        return Finding::fail("endpoint", message, fix);
    }
    let missing = ours.missing();
    if !missing.is_empty() {
        let message = format!("the webhook endpoint does not get {}", missing.join(", "));
        let fix = format!("stripe webhook_endpoints update {id} {list}, or: checkout-backend doctor --fix");
        return Finding::fail("endpoint", message, fix);
    }
    if ours.copies > 1 {
        let message =
            format!("{} endpoints have the address {url}: each event comes more than once", ours.copies);
        let fix = "delete the one whose secret is not in STRIPE_WEBHOOK_SECRET, in Stripe's dashboard (Developers, \
                   Webhooks); their ids: stripe webhook_endpoints list";
        return Finding::warn("endpoint", message, fix);
    }
    match ours.endpoint.api_version.as_deref() {
        // A version cannot be changed afterwards: the endpoint is made anew, with a secret of its own.
        Some(version) if version != API_VERSION => {
            let message = format!("the webhook endpoint writes events as of {version}, not {API_VERSION}");
            let fix =
                format!("{}; when the new secret fits: stripe webhook_endpoints delete {id}", create(&url));
            Finding::warn("endpoint", message, fix)
        }
        Some(_) => Finding::ok("endpoint", "enabled, with every kind of event that is needed"),
        None => Finding::ok("endpoint", "enabled, with every kind of event, in the account's own version"),
    }
}

/// Whether somebody is there to take mails and notifications. Nothing is sent.
async fn effects_are_reachable(config: &Config, findings: &mut Vec<Finding>) {
    let mail = config.mail.as_ref().map(|mail| ("mail", "SMTP_URL", mail.smtp_url.expose_secret()));
    let notify = config.notify.as_ref().map(|notify| ("notify", "NOTIFY_URL", notify.url.expose_secret()));
    for (check, variable, url) in [mail, notify].into_iter().flatten() {
        let Ok(url) = url::Url::parse(url) else { continue };
        let Some(host) = url.host_str() else { continue };
        let usual = match url.scheme() {
            "smtps" => 465,
            "smtp" => 25,
            _ => url.port_or_known_default().unwrap_or(443),
        };
        let port = url.port().unwrap_or(usual);
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let reached = tokio::time::timeout(REACH, tokio::net::TcpStream::connect((bare, port))).await;
        let why = match reached {
            Ok(Ok(_)) => {
                findings.push(Finding::ok(check, format!("{host}:{port} answers")));
                continue;
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => "nobody answers".to_owned(),
        };
        let message = format!("{host}:{port} cannot be reached: {why}; what is to be sent waits");
        findings.push(Finding::fail(
            check,
            message,
            format!("correct {variable}, or start what listens there"),
        ));
    }
}

async fn ledger(app: &App, scope: Scope, findings: &mut Vec<Finding>) {
    let read = async {
        let audit = invariants::audit_in(&app.store, scope).await?;
        let mut tx = app.store.read().await?;
        let pulse = tx.pulse(app.clock.now()).await?;
        let deliveries = tx.delivery_counts().await?;
        tx.rollback().await?;
        Ok::<_, StoreError>((audit, pulse, deliveries))
    };
    let (audit, pulse, deliveries) = match read.await {
        Ok(read) => read,
        Err(error) => return findings.push(unreadable(app, "ledger", &error)),
    };
    findings.extend(invariants(app, &audit).await);
    findings.extend(waiting(app, &pulse));
    findings.push(if deliveries.dead > 0 {
        Finding::warn(
            "effects",
            format!("{} notifications or mails were given up", deliveries.dead),
            "checkout-backend events redeliver",
        )
    } else {
        Finding::ok("effects", format!("{} notifications or mails wait", deliveries.pending))
    });
}

async fn invariants(app: &App, audit: &Audit) -> Vec<Finding> {
    let Audit { violations, told_again, not_told_again, rows, given_up, left_out } = audit;
    let mut findings = Vec::with_capacity(violations.len());
    for violation in violations {
        let message = format!("not true: {} ({})", violation.rule, violation.check);
        let row = violation.rows.first().map_or("", String::as_str);
        findings.push(Finding::fail("ledger", message, where_it_shows(app, row).await));
    }
    if *given_up > 0 {
        let message = format!(
            "{given_up} rows were not judged: the database cancelled the statement before it was done, however few \
             rows it asked about"
        );
        findings.push(Finding::warn("ledger", message, "see what else the database is doing, then repeat"));
    }
    if violations.is_empty() {
        let erased = match not_told_again {
            0 => String::new(),
            count => format!("; of {count} what was told is not kept any more"),
        };
        let recent = if *left_out {
            format!(
                ". That is what is recent, {rows} rows: `checkout-backend doctor --full` judges everything"
            )
        } else {
            String::new()
        };
        let message = format!(
            "every invariant holds; {told_again} bookings are what their ledger rows make them{erased}{recent}"
        );
        findings.push(Finding::ok("ledger", message));
    }
    findings
}

/// Where a person sees the row that breaks an invariant: a booking, a ledger row or a case.
async fn where_it_shows(app: &App, row: &str) -> String {
    let found = async {
        let mut tx = app.store.read().await?;
        if tx.entry(row).await?.is_some() {
            return Ok::<_, StoreError>(Some(format!("checkout-backend events show {row}")));
        }
        let Ok(id) = CaseId::parse(row) else { return Ok(None) };
        let case = tx.case(id, false).await?;
        Ok(case.map(|_| format!("look at {}/dashboard/cases/{row}", app.config.app_url)))
    };
    found.await.ok().flatten().unwrap_or_else(|| format!("checkout-backend explain {row}"))
}

fn waiting(app: &App, pulse: &Pulse) -> Vec<Finding> {
    let now = app.clock.now();
    let age = |at: Option<Timestamp>| at.map_or(Duration::ZERO, |at| now.since(at));
    let minutes = |duration: Duration| duration.as_secs() / 60;
    let cases = match (pulse.open_cases, pulse.next_deadline) {
        (0, _) => Finding::ok("cases", "none is open"),
        (open, deadline) => {
            let deadline = deadline.map(|at| format!(", the next deadline is {at}")).unwrap_or_default();
            let fix = format!("look at {}/dashboard/cases", app.config.app_url);
            Finding::warn("cases", format!("{open} open{deadline}"), fix)
        }
    };
    let facts = match pulse.waiting_facts {
        0 => Finding::ok("waiting", "nothing is parked"),
        count => Finding::warn(
            "waiting",
            format!("{count} events wait, the oldest for {} min", minutes(age(pulse.oldest_waiting))),
            "checkout-backend events list --outcome parked",
        ),
    };
    let bookings = if age(pulse.oldest_pending) > Duration::from_secs(2 * 86_400) {
        Finding::warn(
            "bookings",
            format!("a booking has waited for its payment for {} h", minutes(age(pulse.oldest_pending)) / 60),
            "checkout-backend reconcile",
        )
    } else {
        Finding::ok("bookings", format!("{} wait for a payment", pulse.pending_bookings))
    };
    let silent = pulse.pending_bookings > 0
        && age(pulse.oldest_pending) > SILENCE
        && pulse.last_webhook.is_none_or(|at| now.since(at) > SILENCE)
        && app.config.poll_events != PollEvents::Only;
    let webhooks = match pulse.last_webhook {
        _ if silent => Finding::warn(
            "webhooks",
            "no delivery for an hour while bookings wait for a payment",
            "checkout-backend reconcile",
        ),
        Some(at) => {
            Finding::ok("webhooks", format!("the last delivery came {} min ago", minutes(age(Some(at)))))
        }
        None => Finding::ok("webhooks", "none has come yet"),
    };
    let refunds = match pulse.open_refunds {
        0 => Finding::ok("refunds", "none is uncertain"),
        count => Finding::warn(
            "refunds",
            format!("of {count} refunds it is not known what Stripe did; the service asks until it knows"),
            "keep the service running; if it stays so: checkout-backend reconcile",
        ),
    };
    let accounts = match pulse.admins {
        0 => Finding::warn(
            "accounts",
            "there is no active ADMIN: nobody can refund, cancel, or make accounts",
            "checkout-backend users create you@your-company.com --role ADMIN",
        ),
        count => Finding::ok("accounts", format!("{count} active ADMIN")),
    };
    let mut findings = vec![accounts, cases, facts, bookings, webhooks, refunds];
    if pulse.wrong_mode > 0 {
        findings.push(Finding::warn(
            "livemode",
            format!("{} events came in another mode than the key's", pulse.wrong_mode),
            "use a key and a webhook secret of the same mode, test or live",
        ));
    }
    findings
}

/// What names a secret without telling it.
fn fingerprint(secret: &str) -> String {
    hex::encode(Sha256::digest(secret)).chars().take(12).collect()
}

/// Writes down what the service noticed of deliveries, for `doctor`, which is another process: when each
/// webhook secret last fitted, and when one was signed in our future.
///
/// # Errors
/// Any [`StoreError`].
pub async fn keep_observations(app: &App) -> Result<(), StoreError> {
    let used: Vec<_> = app
        .config
        .webhook_secrets
        .iter()
        .zip(app.counters.secrets_last_used())
        .filter_map(|(secret, at)| Some((fingerprint(secret.expose_secret()), at?)))
        .collect();
    let ahead = app.counters.signed_ahead();
    let forwarded = app.counters.forwarded_at();
    // Taken now, and given back if they cannot be kept.
    let refused = app.counters.take_refusals();
    if used.is_empty() && ahead.is_none() && forwarded.is_none() && refused.is_empty() {
        return Ok(());
    }
    let kept = keep(app, &used, ahead, forwarded, &refused).await;
    if kept.is_err() {
        app.counters.give_back(&refused);
    }
    kept
}

async fn keep(
    app: &App,
    used: &[(String, Timestamp)],
    ahead: Option<(Timestamp, i64)>,
    forwarded: Option<Timestamp>,
    refused: &[Refusal],
) -> Result<(), StoreError> {
    let mut tx = app.store.begin().await?;
    if let Some(at) = forwarded {
        tx.note_observation(FORWARDED, at, 0).await?;
    }
    for Refusal { reason, count, at } in refused {
        // One row for each hour: their sum is that of a day.
        let hour = at.as_unix_seconds() / 3600;
        let count = i64::try_from(*count).unwrap_or(i64::MAX);
        tx.add_observation(&format!("{REFUSED}{reason}:{hour}"), *at, count).await?;
    }
    if !refused.is_empty() {
        tx.forget_observations(REFUSED, app.clock.now().minus(2 * REMEMBERED)).await?;
    }
    if let Some((at, seconds)) = ahead {
        tx.note_observation(SIGNED_AHEAD, at, seconds).await?;
    }
    for (fingerprint, at) in used {
        tx.note_secret_use(fingerprint, *at).await?;
    }
    tx.commit().await
}

/// Deliveries signed in our future pass, and say that our clock is behind.
async fn signatures(app: &App, findings: &mut Vec<Finding>) -> Result<(), StoreError> {
    let mut tx = app.store.read().await?;
    let noticed = tx.observation(SIGNED_AHEAD).await?;
    tx.rollback().await?;
    findings.push(match noticed {
        Some((at, seconds)) if app.clock.now().since(at) < REMEMBERED => {
            let message = format!("a delivery at {at} was signed {seconds} s ahead of this machine's clock");
            Finding::warn("signatures", message, SET_CLOCK)
        }
        _ => Finding::ok("signatures", "none was signed in the future for a day"),
    });
    Ok(())
}

/// Deliveries that were refused and none that fits: the commonest mistake with Stripe, and nobody is told of a payment.
async fn refusals(app: &App, findings: &mut Vec<Finding>) -> Result<(), StoreError> {
    let since = app.clock.now().minus(REMEMBERED);
    let mut tx = app.store.read().await?;
    let met = tx.observations_of(REFUSED, since).await?;
    let mut fitted = None;
    for secret in &app.config.webhook_secrets {
        fitted = fitted.max(tx.secret_last_used(&fingerprint(secret.expose_secret())).await?);
    }
    tx.rollback().await?;
    let mut by_reason: std::collections::BTreeMap<&str, (i64, Timestamp, Timestamp)> = Default::default();
    for (name, at, count) in &met {
        let reason = name.trim_start_matches(REFUSED).split(':').next().unwrap_or_default();
        let sum = by_reason.entry(reason).or_insert((0, *at, *at));
        *sum = (sum.0.saturating_add(*count), sum.1.min(*at), sum.2.max(*at));
    }
    if by_reason.is_empty() {
        findings.push(Finding::ok("refusals", "no delivery was refused for a day"));
    }
    for (reason, (count, first, last)) in by_reason {
        findings.push(refusal(reason, count, first, last, fitted));
    }
    Ok(())
}

/// Pure: what it means that `count` deliveries were refused, when the configured secrets last fitted then.
fn refusal(
    reason: &str,
    count: i64,
    first: Timestamp,
    last: Timestamp,
    fitted: Option<Timestamp>,
) -> Finding {
    let none_fits = fitted.is_none_or(|fitted| fitted < first);
    let told = format!("{count} deliveries were refused in 24 h ({reason}), the last at {last}");
    match (reason, none_fits) {
        ("secret_or_body", true) => Finding::fail(
            "refusals",
            format!(
                "{told}, and none fitted: STRIPE_WEBHOOK_SECRET is another endpoint's, or a proxy alters the body"
            ),
            "copy the secret of this endpoint (whsec_…) from Stripe's dashboard (Developers, Webhooks) into \
             STRIPE_WEBHOOK_SECRET, and restart; what was refused comes again, or: checkout-backend reconcile",
        ),
        ("timestamp_out_of_tolerance", true) => Finding::fail(
            "refusals",
            format!(
                "{told}, and none was in time: this machine's clock is wrong, or something keeps deliveries back"
            ),
            SET_CLOCK,
        ),
        ("secret_or_body" | "timestamp_out_of_tolerance", false) => Finding::warn(
            "refusals",
            format!("{told}; others fitted since the first of them"),
            "if a second endpoint delivers here, add its secret to STRIPE_WEBHOOK_SECRET; strangers' tries need nothing",
        ),
        // Nobody signed these: a stranger's post, a scanner, a browser.
        _ => Finding::ok("refusals", format!("{told}: not Stripe's")),
    }
}

async fn offers(app: &App, findings: &mut Vec<Finding>) -> Result<(), StoreError> {
    let mut tx = app.store.read().await?;
    let active = tx.active_offers().await?;
    tx.rollback().await?;
    findings.push(match active {
        0 => {
            let fix = format!("make one, or switch one on: {}/dashboard/offers", app.config.app_url);
            Finding::warn("offers", "none is active: nothing can be booked", fix)
        }
        count => Finding::ok("offers", format!("{count} active")),
    });
    Ok(())
}

/// Whether customers are told who sells here.
async fn sells(app: &App, findings: &mut Vec<Finding>) -> Result<(), StoreError> {
    let shop = business::find(&app.store).await?;
    let missing = domain::business::missing(shop.as_ref().map(|shop| &shop.business)).join(", ");
    findings.push(if missing.is_empty() {
        Finding::ok("business", "customers are told who sells here, and on what terms")
    } else if app.config.is_production() {
        let fix = format!("fill it in: {}/dashboard/business", app.config.app_url);
        Finding::warn("business", format!("customers are not told: {missing}"), fix)
    } else {
        Finding::ok("business", format!("customers are not told yet, which production warns of: {missing}"))
    });
    Ok(())
}

/// Pure: how a cursor stands at `now`, when the feed was last read to its end, and when the last delivery came.
fn cursor(at: Timestamp, now: Timestamp, read: Option<Timestamp>, delivered: Option<Timestamp>) -> Finding {
    const MEND: &str = "checkout-backend doctor --fix, then: checkout-backend reconcile --since 720h";
    if at > now.plus(FEED_AHEAD) {
        let message =
            format!("the events feed was read until {at}, which is in the future: nothing is read meanwhile");
        return Finding::fail("feed", message, MEND);
    }
    if now.since(at) <= FEED_KEEPS {
        return Finding::ok("feed", format!("read until {at}"));
    }
    let message = format!("the events feed was read until {at}, and Stripe keeps events for 30 days");
    let is_read = read.is_some_and(|read| now.since(read) <= FEED_KEEPS);
    if is_read && delivered.is_none_or(|delivered| delivered <= at.plus(REMEMBERED)) {
        // Of a shop in which nothing happens the cursor stands still.
        Finding::warn(
            "feed",
            format!("{message}; nothing has come since"),
            "nothing, if nobody has paid since",
        )
    } else {
        Finding::fail("feed", format!("{message}: some are gone"), MEND)
    }
}

async fn feed(app: &App, findings: &mut Vec<Finding>) -> Result<(), StoreError> {
    if app.config.poll_events == PollEvents::Off {
        return Ok(());
    }
    let mut tx = app.store.read().await?;
    let at = tx.read_until("events").await?;
    let read = tx.observation(FEED_READ).await?.map(|(at, _)| at);
    let delivered = tx.pulse(app.clock.now()).await?.last_webhook;
    tx.rollback().await?;
    findings.push(match at {
        Some(at) => cursor(at, app.clock.now(), read, delivered),
        None => Finding::ok("feed", "not read yet"),
    });
    Ok(())
}

async fn proxy(app: &App, findings: &mut Vec<Finding>) -> Result<(), StoreError> {
    keep_observations(app).await?;
    let mut tx = app.store.read().await?;
    let met = tx.observation(FORWARDED).await?;
    tx.rollback().await?;
    findings.push(match met {
        Some((at, _)) if app.config.trust_proxy == 0 && app.clock.now().since(at) < REMEMBERED => Finding::warn(
            "proxy",
            format!(
                "a request at {at} came through a proxy (X-Forwarded-For), and TRUST_PROXY is 0: all visitors count as \
                 one, and one of them can lock the others out"
            ),
            "set TRUST_PROXY to the number of proxies in front, and restart",
        ),
        _ => Finding::ok("proxy", format!("TRUST_PROXY is {}", app.config.trust_proxy)),
    });
    Ok(())
}

async fn secrets(app: &App, findings: &mut Vec<Finding>) -> Result<(), StoreError> {
    keep_observations(app).await?;
    let now = app.clock.now();
    let mut tx = app.store.read().await?;
    let mut uses = Vec::new();
    for secret in &app.config.webhook_secrets {
        uses.push(tx.secret_last_used(&fingerprint(secret.expose_secret())).await?);
    }
    tx.rollback().await?;
    let recent = |at: &Option<Timestamp>| at.is_some_and(|at| now.since(at) <= ROLLED);
    let another_serves = uses.iter().any(recent);
    for (index, used) in uses.iter().enumerate() {
        let name = format!("webhook secret {} of {}", index + 1, uses.len());
        let when = used.map_or_else(|| "never".to_owned(), |at| at.to_string());
        findings.push(if uses.len() > 1 && another_serves && !recent(used) {
            Finding::warn(
                "secrets",
                format!("{name} last fitted {when}; safe to remove"),
                "take it out of STRIPE_WEBHOOK_SECRET and restart",
            )
        } else {
            Finding::ok("secrets", format!("{name} last fitted {when}"))
        });
    }
    Ok(())
}
