//! Checkout sessions: paying, completing, expiring.

use super::payments::{self, Attempt, NewIntent};
use super::{setups, totals};
use crate::cards::Instrument;
use crate::error::StripeError;
use crate::model::{Buyer, Customer, Failure, IntentStatus, Metadata, PaymentStatus, Session, SessionStatus};
use crate::schema::Params;
use crate::world::World;
use crate::{ids, objects, rules};
use serde_json::{Map, Value, json};

/// How long a session is open at most, and if nothing else is asked.
pub(crate) const MAX_LIFE_SECONDS: i64 = 24 * 3600;
/// How long an expired session can be taken up again, if that was asked for.
const RECOVERY_SECONDS: i64 = 30 * 24 * 3600;

/// What the buyer's attempt came to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum PayOutcome {
    /// The session is complete and paid, or needed no payment.
    Paid,
    /// The session is complete; a delayed method is on its way.
    Processing,
    /// The bank asks the buyer first.
    RequiresAction,
    /// Refused: the session is still open and the buyer may try again.
    Declined { code: String, decline_code: Option<String>, message: String },
}

/// Why nothing was attempted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotPayable {
    #[error("no such checkout session")]
    Unknown,
    #[error("the checkout session is complete")]
    Complete,
    #[error("the checkout session has expired")]
    Expired,
    #[error("the checkout session does not take this payment method")]
    Method,
    #[error("nobody was asked to authenticate a payment")]
    NothingToAuthenticate,
}

fn open_session(world: &World, id: &str) -> Result<Session, NotPayable> {
    let session = world.sessions.get(id).ok_or(NotPayable::Unknown)?;
    match session.status {
        SessionStatus::Open => Ok(session.clone()),
        SessionStatus::Complete => Err(NotPayable::Complete),
        SessionStatus::Expired => Err(NotPayable::Expired),
    }
}

/// The buyer pays with an instrument; `None` confirms a session that costs nothing.
///
/// # Errors
/// The session is not open, or does not take this kind of instrument.
pub(crate) fn pay(
    world: &mut World,
    id: &str,
    instrument: Option<Instrument>,
    buyer: Buyer,
) -> Result<PayOutcome, NotPayable> {
    let mut session = open_session(world, id)?;
    let of_customer =
        session.customer.as_ref().and_then(|c| world.customers.get(c)).and_then(|c| c.email.clone());
    let buyer = Buyer { email: session.customer_email.clone().or(of_customer).or(buyer.email), ..buyer };
    if session.sets_up() {
        return set_up(world, &session, instrument, buyer);
    }
    totals::recompute(world, &mut session, true);
    world.sessions.put(session.clone());
    if session.amount_total() == 0 {
        complete(world, id, buyer, PaymentStatus::NoPaymentRequired);
        return Ok(PayOutcome::Paid);
    }
    let instrument = instrument.ok_or(NotPayable::Method)?;
    if !session.payment_method_types.iter().any(|t| t == instrument.method_type()) {
        return Err(NotPayable::Method);
    }
    let intent = match &session.payment_intent {
        Some(intent) => intent.clone(),
        None => {
            let intent = payments::create(world, new_intent(&session));
            if let Some(kept) = world.sessions.get_mut(id) {
                kept.payment_intent = Some(intent.clone());
            }
            intent
        }
    };
    let method = payments::remember(world, instrument, buyer.clone());
    let attempt = payments::attempt(world, &intent, &method);
    Ok(finish(world, id, &intent, buyer, attempt))
}

/// The buyer leaves a payment method for later.
fn set_up(
    world: &mut World,
    session: &Session,
    instrument: Option<Instrument>,
    buyer: Buyer,
) -> Result<PayOutcome, NotPayable> {
    let instrument = instrument.ok_or(NotPayable::Method)?;
    let setup = session.setup_intent.clone().unwrap_or_default();
    if !session.payment_method_types.iter().any(|t| t == instrument.method_type()) {
        return Err(NotPayable::Method);
    }
    let method = payments::remember(world, instrument, buyer.clone());
    if let Err(error) = setups::confirm(world, &setup, &method) {
        let envelope = error.body();
        let text = |name: &str| envelope["error"][name].as_str().map(str::to_owned);
        return Ok(PayOutcome::Declined {
            code: text("code").unwrap_or_default(),
            decline_code: text("decline_code"),
            message: error.message().to_owned(),
        });
    }
    complete(world, &session.id, buyer, PaymentStatus::NoPaymentRequired);
    Ok(PayOutcome::Paid)
}

/// The buyer types a promotion code on the page.
///
/// # Errors
/// The session is not open, or why the code does not count, in English.
pub(crate) fn promote(world: &mut World, id: &str, code: &str) -> Result<(), &'static str> {
    let mut session = open_session(world, id).map_err(|_| "This code is invalid.")?;
    if !session.enabled("allow_promotion_codes") {
        return Err("This code is invalid.");
    }
    let named = |c: &&crate::model::PromotionCode| {
        c.text("code").is_some_and(|t| t.eq_ignore_ascii_case(code.trim()))
    };
    let found = world.promotion_codes.iter().rev().filter(|c| c.flag("active")).find(named);
    let discount = totals::by_code(world, &session, found.ok_or("This code is invalid.")?)?;
    session.discounts = vec![discount];
    totals::recompute(world, &mut session, false);
    world.sessions.put(session);
    Ok(())
}

/// The buyer chooses how it is sent. False if that is not offered.
pub(crate) fn ship(world: &mut World, id: &str, rate: &str) -> bool {
    let Ok(mut session) = open_session(world, id) else { return false };
    if !session.shipping_rates.iter().any(|offered| offered == rate) {
        return false;
    }
    session.shipping_rate = Some(rate.to_owned());
    totals::recompute(world, &mut session, false);
    world.sessions.put(session);
    true
}

/// The buyer passed or failed the bank's question.
///
/// # Errors
/// The session is not open or nothing was asked.
pub(crate) fn authenticate(world: &mut World, id: &str, passed: bool) -> Result<PayOutcome, NotPayable> {
    let session = open_session(world, id)?;
    let intent = session.payment_intent.as_ref().and_then(|i| world.intents.get(i));
    let Some(intent) = intent.filter(|i| i.status == IntentStatus::RequiresAction) else {
        return Err(NotPayable::NothingToAuthenticate);
    };
    let (intent_id, method) = (intent.id.clone(), intent.payment_method.clone().unwrap_or_default());
    let buyer = world.methods.get(&method).map(|m| m.buyer.clone()).unwrap_or_default();
    let attempt = payments::authenticate(world, &intent_id, passed);
    Ok(finish(world, id, &intent_id, buyer, attempt))
}

fn finish(world: &mut World, id: &str, intent: &str, buyer: Buyer, attempt: Attempt) -> PayOutcome {
    match attempt {
        Attempt::Paid => {
            complete(world, id, buyer, PaymentStatus::Paid);
            payments::settle_books(world, intent);
            PayOutcome::Paid
        }
        // Authorised only: Stripe completes the session and calls it unpaid until the capture.
        Attempt::Authorized => {
            complete(world, id, buyer, PaymentStatus::Unpaid);
            PayOutcome::Paid
        }
        Attempt::Processing => {
            complete(world, id, buyer, PaymentStatus::Unpaid);
            PayOutcome::Processing
        }
        Attempt::RequiresAction => PayOutcome::RequiresAction,
        Attempt::Declined(Failure { code, decline_code, message }) => {
            PayOutcome::Declined { code, decline_code, message }
        }
    }
}

/// Whether what is paid with is kept for later, and for what.
fn later_use(session: &Session) -> Option<&str> {
    let options = session.echo.get("payment_method_options");
    let by_method = options.and_then(|o| o["card"]["setup_future_usage"].as_str()).filter(|u| *u != "none");
    session.intent_data.get("setup_future_usage").and_then(Value::as_str).or(by_method)
}

fn new_intent(session: &Session) -> NewIntent {
    let data = &session.intent_data;
    let text = |name: &str| data.get(name).and_then(Value::as_str).map(str::to_owned);
    let echoed = [
        "application_fee_amount",
        "on_behalf_of",
        "receipt_email",
        "setup_future_usage",
        "shipping",
        "statement_descriptor",
        "statement_descriptor_suffix",
        "transfer_data",
        "transfer_group",
    ];
    let mut echo: Map<String, Value> =
        echoed.iter().filter_map(|name| Some(((*name).to_owned(), data.get(*name)?.clone()))).collect();
    if let Some(usage) = later_use(session) {
        echo.insert("setup_future_usage".into(), json!(usage));
    }
    NewIntent {
        amount: session.amount_total(),
        currency: session.currency.clone().unwrap_or_default(),
        capture_method: text("capture_method"),
        customer: session.customer.clone(),
        description: text("description"),
        metadata: rules::new_metadata(data.get("metadata")),
        payment_method_types: session.payment_method_types.clone(),
        automatic: None,
        echo,
        return_url: None,
        session: Some(session.id.clone()),
    }
}

fn complete(world: &mut World, id: &str, buyer: Buyer, payment: PaymentStatus) {
    let wants_customer = |s: &Session| {
        let asked = s.echo.get("customer_creation") == Some(&"always".into());
        s.customer.is_none() && !s.sets_up() && (asked || later_use(s).is_some())
    };
    if world.sessions.get(id).is_some_and(wants_customer) {
        let customer = new_customer(world, &buyer);
        let mut intent = None;
        if let Some(session) = world.sessions.get_mut(id) {
            session.customer = Some(customer.clone());
            intent = session.payment_intent.clone().filter(|_| later_use(session).is_some());
        }
        if let Some(intent) = intent {
            setups::keep_paid_with(world, &intent, &customer);
        }
    }
    let discounts = world.sessions.get(id).map(|s| s.discounts.clone()).unwrap_or_default();
    totals::redeem(world, &discounts);
    let Some(session) = world.sessions.get_mut(id) else { return };
    session.status = SessionStatus::Complete;
    session.payment_status = payment;
    session.customer_details = Some(buyer);
    tell(world, "checkout.session.completed", id);
}

fn new_customer(world: &mut World, buyer: &Buyer) -> String {
    let customer = Customer {
        id: ids::object("cus"),
        created: world.now(),
        email: buyer.email.clone(),
        name: buyer.name.clone(),
        phone: None,
        description: None,
        address: None,
        metadata: Metadata::new(),
        echo: Map::new(),
        deleted: false,
    };
    let (id, object) = (customer.id.clone(), objects::customer(&customer));
    world.customers.insert(customer);
    world.emit("customer.created", object);
    id
}

fn tell(world: &mut World, kind: &str, id: &str) {
    if let Some(object) = world.object(id) {
        world.emit_automatic(kind, object);
    }
}

/// A delayed payment of a session is settled: the intent first, then the session.
/// False if the intent is not waiting for that.
pub(crate) fn settle(world: &mut World, intent_id: &str, succeeds: bool) -> bool {
    if !payments::settle(world, intent_id, succeeds) {
        return false;
    }
    let session = world.intents.get(intent_id).and_then(|i| i.session.clone());
    if let Some(id) = session {
        if succeeds && let Some(session) = world.sessions.get_mut(&id) {
            session.payment_status = PaymentStatus::Paid;
        }
        let word = if succeeds { "succeeded" } else { "failed" };
        tell(world, &format!("checkout.session.async_payment_{word}"), &id);
    }
    if succeeds {
        payments::settle_books(world, intent_id);
    }
    true
}

/// The merchant captured what a session had authorised: it counts as paid now.
pub(crate) fn captured(world: &mut World, id: &str) {
    if let Some(session) = world.sessions.get_mut(id) {
        session.payment_status = PaymentStatus::Paid;
    }
}

/// Expires an open session by API.
///
/// # Errors
/// It does not exist or is not open.
pub(crate) fn expire(world: &mut World, id: &str) -> Result<(), StripeError> {
    let Some(session) = world.sessions.get(id) else {
        return Err(StripeError::no_such("checkout.session", id, "session"));
    };
    if session.status != SessionStatus::Open {
        let status = if session.status == SessionStatus::Complete { "complete" } else { "expired" };
        let message = format!(
            "Only Checkout Sessions with a status in [\"open\"] can be expired. This Checkout Session has a status \
             of `{status}`."
        );
        return Err(StripeError::state(None, message).with_param("session"));
    }
    close(world, id);
    Ok(())
}

fn close(world: &mut World, id: &str) {
    let (now, base) = (world.now(), world.public_url.clone());
    let Some(session) = world.sessions.get_mut(id) else { return };
    session.status = SessionStatus::Expired;
    if let Some(recovery) = session.echo.get_mut("after_expiration").map(|v| &mut v["recovery"])
        && recovery["enabled"] == true
    {
        recovery["url"] = json!(format!("{base}/r/{id}"));
        recovery["expires_at"] = json!(now.saturating_add(RECOVERY_SECONDS));
    }
    if let Some(intent) = session.payment_intent.clone() {
        payments::void(world, &intent, Some("expired".to_owned()));
    }
    if let Some(object) = world.object(id) {
        world.emit("checkout.session.expired", object);
    }
}

/// The buyer comes back to an expired session: a new one like it is opened. Returns its id; none if that
/// was not asked for, or is too late.
pub(crate) fn recover(world: &mut World, id: &str) -> Option<String> {
    let old = world.sessions.get(id).filter(|s| s.status == SessionStatus::Expired)?.clone();
    let mut echo = old.echo;
    let recovery = &mut echo.get_mut("after_expiration")?["recovery"];
    let now = world.now();
    if recovery["expires_at"].as_i64().is_none_or(|until| until <= now) {
        return None;
    }
    (recovery["url"], recovery["expires_at"]) = (Value::Null, Value::Null);
    let mut session = Session {
        id: ids::session(),
        created: now,
        expires_at: now.saturating_add(MAX_LIFE_SECONDS),
        status: SessionStatus::Open,
        payment_intent: None,
        recovered_from: Some(old.id),
        echo,
        ..old
    };
    totals::recompute(world, &mut session, false);
    let id = session.id.clone();
    world.remind(session.expires_at, &id);
    world.sessions.insert(session);
    Some(id)
}

/// Does what time brings: sessions expire, delayed payments and refunds settle. Returns how much
/// there was to do.
pub(crate) fn tick(world: &mut World) -> usize {
    let mut done = 0;
    while let Some(id) = world.due() {
        let now = world.now();
        let session =
            world.sessions.get(&id).filter(|s| s.status == SessionStatus::Open && s.expires_at <= now);
        let payment = world.intents.get(&id).and_then(|i| i.settles).filter(|s| s.at <= now);
        let refund = world.refunds.get(&id).and_then(|r| r.settles).filter(|s| s.at <= now);
        if session.is_some() {
            close(world, &id);
        } else if let Some(settlement) = payment {
            settle(world, &id, settlement.succeeds);
        } else if let Some(settlement) = refund {
            rules::refunds::settle(world, &id, settlement.succeeds);
        } else {
            continue; // settled by hand meanwhile
        }
        done += 1;
    }
    done
}

/// Applies an update of metadata, which Stripe allows at any time.
pub(crate) fn update(world: &mut World, id: &str, params: &Params) -> Result<(), StripeError> {
    let Some(session) = world.sessions.get_mut(id) else {
        return Err(StripeError::no_such("checkout.session", id, "session"));
    };
    rules::merge_metadata(&mut session.metadata, params.get("metadata"));
    if params.has("payment_intent_data") && session.payment_intent.is_none() {
        session.intent_data.extend(params.object("payment_intent_data").into_map());
    }
    Ok(())
}

/// The line items as the list that a session may be expanded by: the first ten.
pub(crate) fn line_items(world: &World, session: &Session) -> Value {
    let data: Vec<Value> = session.lines.iter().take(10).map(|l| objects::line_item(world, l)).collect();
    let more = session.lines.len() > 10;
    objects::list(&format!("/v1/checkout/sessions/{}/line_items", session.id), data, more)
}
