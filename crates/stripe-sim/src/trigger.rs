//! `trigger EVENT`: makes what is needed so that the event happens, under the names that users of
//! Stripe's command line tool know.
//!
//! Nothing is faked: the objects underneath are made by the same endpoints and rules as all others.

use super::error::StripeError;
use super::form::{self, Branch};
use super::routes::{self, Answer, Call};
use super::rules::payments::{self, Attempt};
use super::rules::sessions::{self, NotPayable};
use super::rules::{disputes, refunds};
use super::schema::{self, Field, Params};
use super::world::World;
use super::{cards, control, params};
use serde_json::Value;

/// The events that can be triggered.
pub const KINDS: [&str; 31] = [
    "charge.captured",
    "charge.dispute.closed",
    "charge.dispute.created",
    "charge.dispute.funds_reinstated",
    "charge.dispute.funds_withdrawn",
    "charge.dispute.updated",
    "charge.failed",
    "charge.pending",
    "charge.refund.updated",
    "charge.refunded",
    "charge.succeeded",
    "charge.updated",
    "checkout.session.async_payment_failed",
    "checkout.session.async_payment_succeeded",
    "checkout.session.completed",
    "checkout.session.expired",
    "customer.created",
    "customer.updated",
    "payment_intent.amount_capturable_updated",
    "payment_intent.canceled",
    "payment_intent.created",
    "payment_intent.partially_funded",
    "payment_intent.payment_failed",
    "payment_intent.processing",
    "payment_intent.requires_action",
    "payment_intent.succeeded",
    "price.created",
    "product.created",
    "refund.created",
    "refund.failed",
    "refund.updated",
];

/// Why nothing was triggered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotTriggered {
    #[error("unknown event {0}; known are: {list}", list = KINDS.join(", "))]
    Unknown(String),
    #[error("an override reads path=value or resource:path=value, not {0}")]
    Override(String),
    #[error("an override names the resource {0}, which this event does not need; it makes: {1}")]
    Resource(String, String),
    #[error("{0} cannot be overridden; {1} takes: {2}")]
    Unfit(String, &'static str, String),
    #[error("{0}")]
    Refused(String),
}

impl From<StripeError> for NotTriggered {
    fn from(error: StripeError) -> Self {
        Self::Refused(error.message().to_owned())
    }
}

impl From<NotPayable> for NotTriggered {
    fn from(error: NotPayable) -> Self {
        Self::Refused(error.to_string())
    }
}

/// Overrides of what is made, by resource.
#[derive(Debug)]
struct Overrides {
    /// `(resource, form key, value)`
    entries: Vec<(String, String, String)>,
}

impl Overrides {
    /// `resources` are those that the event makes; the first is meant where none is named.
    fn parse(texts: &[String], resources: &[&str]) -> Result<Self, NotTriggered> {
        let mut entries = Vec::new();
        for text in texts {
            let (path, value) = text.split_once('=').ok_or_else(|| NotTriggered::Override(text.clone()))?;
            let (resource, path) = path.split_once(':').unwrap_or((resources[0], path));
            if path.is_empty() {
                return Err(NotTriggered::Override(text.clone()));
            }
            if !resources.contains(&resource) {
                return Err(NotTriggered::Resource(resource.to_owned(), resources.join(", ")));
            }
            entries.push((resource.to_owned(), bracketed(path), value.to_owned()));
        }
        Ok(Self { entries })
    }

    /// Overrides of `resource` as ones of `outer`, which makes it from its parameter `part`.
    fn within(mut self, resource: &str, outer: &str, part: &str) -> Self {
        for (of, path, _) in self.entries.iter_mut().filter(|(of, ..)| of == resource) {
            outer.clone_into(of);
            let (first, rest) = path.split_at(path.find('[').unwrap_or(path.len()));
            *path = format!("{part}[{first}]{rest}");
        }
        self
    }

    /// The parameters of one resource: `defaults`, with the overrides laid over them.
    fn of(
        &self,
        resource: &'static str,
        fields: &'static [Field],
        defaults: &[(&str, &str)],
    ) -> Result<Branch, NotTriggered> {
        let known = |path: &str| fields.iter().any(|f| path.split('[').next() == Some(f.name));
        if let Some((_, path, _)) = self.entries.iter().find(|(r, path, _)| r == resource && !known(path)) {
            let names = fields.iter().map(|f| f.name).filter(|name| *name != "expand").collect::<Vec<_>>();
            return Err(NotTriggered::Unfit(path.clone(), resource, names.join(", ")));
        }
        let mut text = form_urlencoded::Serializer::new(String::new());
        let given =
            self.entries.iter().filter(|(r, ..)| r == resource).map(|(_, k, v)| (k.as_str(), v.as_str()));
        for (key, value) in defaults.iter().copied().chain(given) {
            text.append_pair(key, value);
        }
        let mut branch = Branch::new();
        form::decode(text.finish().as_bytes(), &mut branch)?;
        Ok(branch)
    }
}

/// `metadata.a.b` → `metadata[a][b]`; brackets stay as they are.
fn bracketed(path: &str) -> String {
    let mut parts = path.split('.');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |key, part| format!("{key}[{part}]"))
}

/// Makes the event happen.
///
/// # Errors
/// The event or an override is unknown, or a parameter is refused.
pub(crate) fn run(world: &mut World, kind: &str, overrides: &[String]) -> Result<(), NotTriggered> {
    let known = KINDS.iter().find(|k| **k == kind).ok_or_else(|| NotTriggered::Unknown(kind.to_owned()))?;
    match known.split('.').next() {
        Some("checkout") => checkout(world, kind, overrides),
        Some("refund") => refund(world, kind, overrides),
        Some("charge") if kind.starts_with("charge.dispute.") => dispute(world, kind, overrides),
        Some("charge") if kind.starts_with("charge.refund") => refund(world, kind, overrides),
        Some("customer" | "product" | "price") => catalog(world, kind, overrides),
        _ => intent(world, kind, overrides),
    }
}

fn call(
    world: &mut World,
    id: &str,
    fields: &'static [Field],
    sent: &Branch,
    handler: fn(&mut World, &Call) -> Answer,
) -> Result<String, NotTriggered> {
    let params: Params = schema::check(fields, sent)?;
    let answer =
        handler(world, &Call { id: id.to_owned(), params, version: crate::versions::NEWEST.to_owned() })?;
    Ok(answer.get("id").and_then(Value::as_str).unwrap_or_default().to_owned())
}

fn checkout(world: &mut World, kind: &str, overrides: &[String]) -> Result<(), NotTriggered> {
    let overrides = Overrides::parse(overrides, &["checkout_session", "price", "product"])?
        .within("price", "checkout_session", "line_items[0][price_data]")
        .within("product", "checkout_session", "line_items[0][price_data][product_data]");
    let sent = overrides.of(
        "checkout_session",
        &params::SESSION_CREATE,
        &[
            ("mode", "payment"),
            ("success_url", "https://httpbin.org/post"),
            ("cancel_url", "https://httpbin.org/post"),
            ("line_items[0][price_data][currency]", "eur"),
            ("line_items[0][price_data][unit_amount]", "1500"),
            ("line_items[0][price_data][product_data][name]", "(created by stripe-sim trigger)"),
            ("line_items[0][quantity]", "2"),
        ],
    )?;
    let id = call(world, "", &params::SESSION_CREATE, &sent, routes::sessions::create)?;
    let instrument = match kind {
        "checkout.session.expired" => {
            sessions::expire(world, &id)?;
            return Ok(());
        }
        "checkout.session.async_payment_succeeded" => "sepa_debit",
        "checkout.session.async_payment_failed" => "sepa_debit_fail",
        _ => "pm_card_visa",
    };
    let buyer = super::model::Buyer {
        email: Some("stripe@example.com".to_owned()),
        name: Some("Jenny Rosen".to_owned()),
        country: Some("FR".to_owned()),
        ..super::model::Buyer::default()
    };
    let method = cards::Instrument::named(instrument, world.year());
    let _outcome = sessions::pay(world, &id, method, buyer)?;
    if kind != "checkout.session.completed" {
        control::settle(world, &id, kind.ends_with("succeeded"));
    }
    Ok(())
}

/// Makes an intent and tries to pay it. Returns its id and what came of it.
fn attempt(
    world: &mut World,
    overrides: &Overrides,
    method: &str,
    manual: bool,
) -> Result<(String, Attempt), NotTriggered> {
    let mut defaults =
        vec![("amount", "2000"), ("currency", "eur"), ("description", "(created by stripe-sim trigger)")];
    if manual {
        defaults.push(("capture_method", "manual"));
    }
    let sent = overrides.of("payment_intent", &params::INTENT_CREATE, &defaults)?;
    let id = call(world, "", &params::INTENT_CREATE, &sent, routes::intents::create)?;
    let instrument = cards::Instrument::named(method, world.year())
        .ok_or_else(|| NotTriggered::Refused(format!("no such instrument: {method}")))?;
    let method = payments::remember(world, instrument, super::model::Buyer::default());
    let attempt = payments::attempt(world, &id, &method);
    if attempt == Attempt::Paid {
        payments::settle_books(world, &id);
    }
    Ok((id, attempt))
}

fn intent(world: &mut World, kind: &str, overrides: &[String]) -> Result<(), NotTriggered> {
    let overrides = Overrides::parse(overrides, &["payment_intent"])?;
    if kind == "payment_intent.partially_funded" {
        let transfer =
            [("amount", "2000"), ("currency", "eur"), ("payment_method_types[0]", "customer_balance")];
        let sent = overrides.of("payment_intent", &params::INTENT_CREATE, &transfer)?;
        let id = call(world, "", &params::INTENT_CREATE, &sent, routes::intents::create)?;
        payments::fund_partially(world, &id);
        return Ok(());
    }
    if matches!(kind, "payment_intent.created" | "payment_intent.canceled") {
        let sent = overrides.of(
            "payment_intent",
            &params::INTENT_CREATE,
            &[("amount", "2000"), ("currency", "eur")],
        )?;
        let id = call(world, "", &params::INTENT_CREATE, &sent, routes::intents::create)?;
        if kind == "payment_intent.canceled" {
            payments::cancel(world, &id, Some("requested_by_customer".to_owned()))?;
        }
        return Ok(());
    }
    let (method, manual) = match kind {
        "payment_intent.payment_failed" | "charge.failed" => ("pm_card_chargeDeclined", false),
        "payment_intent.processing" | "charge.pending" => ("sepa_debit", false),
        "payment_intent.requires_action" => ("pm_card_authenticationRequired", false),
        "payment_intent.amount_capturable_updated" | "charge.captured" => ("pm_card_visa", true),
        _ => ("pm_card_visa", false),
    };
    let (id, _) = attempt(world, &overrides, method, manual)?;
    if kind == "charge.captured" {
        payments::capture(world, &id, None)?;
    }
    Ok(())
}

fn charge_of(world: &World, intent: &str) -> String {
    world.intents.get(intent).and_then(|i| i.latest_charge.clone()).unwrap_or_default()
}

fn refund(world: &mut World, kind: &str, overrides: &[String]) -> Result<(), NotTriggered> {
    let overrides = Overrides::parse(overrides, &["refund", "payment_intent"])?;
    let (intent, _) = attempt(world, &overrides, "pm_card_visa", false)?;
    let charge = charge_of(world, &intent);
    let sent = overrides.of("refund", &params::REFUND_CREATE, &[("charge", &charge)])?;
    let id = call(world, "", &params::REFUND_CREATE, &sent, routes::refunds::create)?;
    if kind == "refund.failed" {
        refunds::fail(world, &id, "expired_or_canceled_card");
    }
    Ok(())
}

fn dispute(world: &mut World, kind: &str, overrides: &[String]) -> Result<(), NotTriggered> {
    let overrides = Overrides::parse(overrides, &["payment_intent"])?;
    let (intent, _) = attempt(world, &overrides, "pm_card_visa", false)?;
    let charge = charge_of(world, &intent);
    let id = disputes::open(world, &charge, "fraudulent", false)?;
    match kind {
        "charge.dispute.updated" => {
            let evidence = [("uncategorized_text".to_owned(), Value::from("The buyer was there."))];
            disputes::update(world, &id, evidence.into_iter().collect(), true, None)?;
        }
        "charge.dispute.closed" => disputes::close(world, &id, false)?,
        "charge.dispute.funds_reinstated" => disputes::close(world, &id, true)?,
        _ => {}
    }
    Ok(())
}

fn catalog(world: &mut World, kind: &str, overrides: &[String]) -> Result<(), NotTriggered> {
    if kind.starts_with("customer.") {
        let overrides = Overrides::parse(overrides, &["customer"])?;
        let sent = overrides.of(
            "customer",
            &params::CUSTOMER_WRITE,
            &[("description", "(created by stripe-sim trigger)")],
        )?;
        let id = call(world, "", &params::CUSTOMER_WRITE, &sent, routes::account::create_customer)?;
        if kind == "customer.updated" {
            let sent = overrides.of("customer", &params::CUSTOMER_WRITE, &[("metadata[foo]", "bar")])?;
            call(world, &id, &params::CUSTOMER_WRITE, &sent, routes::account::update_customer)?;
        }
        return Ok(());
    }
    let overrides = Overrides::parse(
        overrides,
        if kind == "price.created" { &["price", "product"] } else { &["product"] },
    )?;
    let sent =
        overrides.of("product", &params::PRODUCT_CREATE, &[("name", "(created by stripe-sim trigger)")])?;
    let product = call(world, "", &params::PRODUCT_CREATE, &sent, routes::catalog::create_product)?;
    if kind == "price.created" {
        let defaults = [("product", product.as_str()), ("currency", "eur"), ("unit_amount", "1500")];
        let sent = overrides.of("price", &params::PRICE_CREATE, &defaults)?;
        call(world, "", &params::PRICE_CREATE, &sent, routes::catalog::create_price)?;
    }
    Ok(())
}
