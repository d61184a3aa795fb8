//! What is wrong, and what to do about it: everything that can be checked from here.
//!
//! Every finding that is not fine says what would make it so.

use super::invariants::{self, Audit};
use super::whereabouts::{self, Remark};
use crate::app::App;
use crate::config::PollEvents;
use crate::metrics::CLOCKS_DIFFER;
use crate::stripe::StripeError;
use crate::stripe::client::API_VERSION;
use crate::stripe::event::KINDS;
use crate::stripe::objects::WebhookEndpoint;
use clock::Timestamp;
use secrecy::ExposeSecret;
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::time::Duration;
use store::StoreError;
use store::checks::Pulse;

/// Clocks that differ by more seconds are about to refuse good deliveries: 300 s is the end.
const CLOCKS_FAIL: i64 = 240;
/// What the service keeps about deliveries that were signed in its future.
const SIGNED_AHEAD: &str = "signed_ahead";
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

impl From<Remark> for Finding {
    fn from(Remark { check, message, fix }: Remark) -> Self {
        let status = if fix.is_some() { Health::Warn } else { Health::Ok };
        Self { check, status, message, fix }
    }
}

/// Checks everything. What cannot be checked is a finding too.
pub async fn examine(app: &App) -> Vec<Finding> {
    let mut findings = vec![configuration(app)];
    let stands = database(app, &mut findings).await;
    stripe(app, &mut findings).await;
    if stands {
        ledger(app, &mut findings).await;
        match whereabouts::remarks(app).await {
            Ok(remarks) => findings.extend(remarks.into_iter().map(Finding::from)),
            Err(error) => findings.push(unreadable("home", &error)),
        }
        if let Err(error) = secrets(app, &mut findings).await {
            findings.push(unreadable("secrets", &error));
        }
        if let Err(error) = signatures(app, &mut findings).await {
            findings.push(unreadable("signatures", &error));
        }
    }
    findings
}

fn unreadable(check: &'static str, error: &StoreError) -> Finding {
    Finding::fail(check, format!("could not be read: {error}"), "checkout-backend migrate status")
}

fn configuration(app: &App) -> Finding {
    let config = &app.config;
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
    match app.store.ready().await {
        Ok(()) => findings
            .push(Finding::ok("database", format!("{} answers, schema up to date", app.store.place()))),
        Err(error @ StoreError::NotMigrated) => {
            findings.push(Finding::fail("migrations", error.to_string(), "checkout-backend migrate deploy"));
            return false;
        }
        Err(error) => {
            let fix = "start the database, and check DATABASE_URL; then: checkout-backend migrate status";
            findings.push(Finding::fail("database", error.to_string(), fix));
            return false;
        }
    }
    let probe = async {
        let mut tx = app.store.begin().await?;
        tx.probe_write().await?;
        tx.rollback().await
    };
    findings.push(match probe.await {
        Ok(()) => Finding::ok("disk", "the database takes writes"),
        Err(error) => Finding::fail(
            "disk",
            format!("the database takes no writes: {error}"),
            "make room: df -h; then: checkout-backend doctor",
        ),
    });
    true
}

async fn stripe(app: &App, findings: &mut Vec<Finding>) {
    match app.stripe.server_time().await {
        Ok(at) => {
            findings.push(Finding::ok("stripe-key", "Stripe answers and accepts the key"));
            findings.push(clock(at, app.clock.now()));
        }
        Err(error @ StripeError::Key { .. }) => {
            let fix = "put the key from Stripe's dashboard (Developers, API keys) into STRIPE_SECRET_KEY";
            findings.push(Finding::fail("stripe-key", error.to_string(), fix));
            return;
        }
        Err(error) => {
            let fix = if app.config.simulated() {
                "checkout-backend serve"
            } else {
                "curl -sS https://api.stripe.com/v1/balance"
            };
            findings.push(Finding::fail("stripe", error.to_string(), fix));
            return;
        }
    }
    if app.config.simulated() {
        return;
    }
    match app.stripe.webhook_endpoints().await {
        Ok(endpoints) => findings.push(endpoint(app, &endpoints)),
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

fn endpoint(app: &App, endpoints: &[WebhookEndpoint]) -> Finding {
    let url = format!("{}/webhook", app.config.app_url);
    let list = KINDS.map(|kind| format!("-d \"enabled_events[]={kind}\"")).join(" ");
    let create = |url: &str| {
        format!("stripe webhook_endpoints create -d url={url} -d api_version={API_VERSION} {list}")
    };
    let at_our_url = || endpoints.iter().filter(|endpoint| endpoint.url.as_ref() == Some(&url));
    let is_enabled = |endpoint: &&WebhookEndpoint| endpoint.is_enabled();
    let Some(ours) = at_our_url().find(is_enabled).or_else(|| at_our_url().next()) else {
        if app.config.poll_events == PollEvents::Only {
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
    let id = &ours.id;
    if !ours.is_enabled() {
        let status = ours.status.as_deref().unwrap_or_default();
        let message = format!("Stripe has {status} the webhook endpoint: it delivers nothing");
        return Finding::fail(
            "endpoint",
            message,
            format!("stripe webhook_endpoints update {id} -d disabled=false"),
        );
    }
    let missing: Vec<&str> = KINDS.into_iter().filter(|kind| !ours.gets(kind)).collect();
    if !missing.is_empty() {
        let message = format!("the webhook endpoint does not get {}", missing.join(", "));
        return Finding::fail("endpoint", message, format!("stripe webhook_endpoints update {id} {list}"));
    }
    if at_our_url().filter(is_enabled).count() > 1 {
        let message = format!("several endpoints have the address {url}: each event comes more than once");
        return Finding::warn("endpoint", message, format!("stripe webhook_endpoints delete {id}"));
    }
    match ours.api_version.as_deref() {
        // A version cannot be changed afterwards: the endpoint is made anew, with a secret of its own.
        Some(version) if version != API_VERSION => {
            let message = format!("the webhook endpoint writes events as of {version}, not {API_VERSION}");
            Finding::warn("endpoint", message, create(&url))
        }
        Some(_) => Finding::ok("endpoint", "enabled, with every kind of event that is needed"),
        None => Finding::ok("endpoint", "enabled, with every kind of event, in the account's own version"),
    }
}

async fn ledger(app: &App, findings: &mut Vec<Finding>) {
    let read = async {
        let audit = invariants::audit(&app.store).await?;
        let mut tx = app.store.read().await?;
        let pulse = tx.pulse(app.clock.now()).await?;
        let deliveries = tx.delivery_counts().await?;
        tx.rollback().await?;
        Ok::<_, StoreError>((audit, pulse, deliveries))
    };
    let (audit, pulse, deliveries) = match read.await {
        Ok(read) => read,
        Err(error) => return findings.push(unreadable("ledger", &error)),
    };
    findings.extend(invariants(&audit));
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

fn invariants(audit: &Audit) -> Vec<Finding> {
    let Audit { violations, told_again, not_told_again } = audit;
    if violations.is_empty() {
        let erased = match not_told_again {
            0 => String::new(),
            count => format!("; of {count} what was told is not kept any more"),
        };
        let message = format!(
            "every invariant holds; {told_again} bookings are what their ledger rows make them{erased}"
        );
        return vec![Finding::ok("ledger", message)];
    }
    violations
        .iter()
        .map(|violation| {
            let message = format!("not true: {} ({})", violation.rule, violation.check);
            let row = violation.rows.first().map_or("", String::as_str);
            Finding::fail("ledger", message, format!("checkout-backend explain {row}"))
        })
        .collect()
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
            format!("of {count} refunds it is not known what Stripe did; it is being asked"),
            "checkout-backend doctor",
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
    if used.is_empty() && ahead.is_none() {
        return Ok(());
    }
    let mut tx = app.store.begin().await?;
    if let Some((at, seconds)) = ahead {
        tx.note_observation(SIGNED_AHEAD, at, seconds).await?;
    }
    for (fingerprint, at) in used {
        tx.note_secret_use(&fingerprint, at).await?;
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
