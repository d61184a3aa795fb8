//! Payment intents and charges: attempts with an instrument, authentication, settlement, capture,
//! cancelling.

use crate::cards::{Instrument, Outcome, Refusal};
use crate::error::StripeError;
use crate::model::{
    Buyer, Charge, ChargeStatus, Failure, Intent, IntentStatus, Metadata, PaymentMethod, Settlement,
};
use crate::rules::disputes;
use crate::world::{Booking, World};
use crate::{ids, objects};
use serde_json::{Map, Value, json};

/// How an attempt to pay ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub(crate) enum Attempt {
    Paid,
    /// Authorised, to be captured by the merchant.
    Authorized,
    /// A delayed method: settled later.
    Processing,
    /// The buyer must confirm at the bank first.
    RequiresAction,
    Declined(Failure),
}

/// What a new intent is made of.
#[derive(Debug, Default)]
pub(crate) struct NewIntent {
    pub amount: i64,
    pub currency: String,
    pub capture_method: Option<String>,
    pub customer: Option<String>,
    pub description: Option<String>,
    pub metadata: Metadata,
    pub payment_method_types: Vec<String>,
    pub automatic: Option<Value>,
    pub echo: Map<String, Value>,
    pub return_url: Option<String>,
    pub session: Option<String>,
}

/// Makes an intent and tells of it.
pub(crate) fn create(world: &mut World, new: NewIntent) -> String {
    let intent = intent(world, new);
    let (id, object) = (intent.id.clone(), objects::intent(&intent));
    world.intents.insert(intent);
    world.emit("payment_intent.created", object);
    id
}

fn intent(world: &World, new: NewIntent) -> Intent {
    let id = ids::object("pi");
    Intent {
        client_secret: format!("{id}_secret_{}", ids::secret()),
        created: world.now(),
        amount: new.amount,
        amount_received: 0,
        currency: new.currency,
        status: IntentStatus::RequiresPaymentMethod,
        capture_method: new.capture_method.unwrap_or_else(|| "automatic_async".to_owned()),
        canceled_at: None,
        cancellation_reason: None,
        customer: new.customer,
        description: new.description,
        last_payment_error: None,
        latest_charge: None,
        metadata: new.metadata,
        next_action: None,
        payment_method: None,
        payment_method_types: new.payment_method_types,
        automatic_payment_methods: new.automatic,
        echo: new.echo,
        return_url: new.return_url,
        session: new.session,
        settles: None,
        id,
    }
}

/// Charges an instrument without an intent, the older way. Returns the charge's id.
///
/// # Errors
/// 402 if it is declined, or would need the buyer at the bank.
pub(crate) fn charge_directly(
    world: &mut World,
    new: NewIntent,
    instrument: Instrument,
    capture: bool,
) -> Result<String, StripeError> {
    let outcome = instrument.outcome();
    let method_id = remember(world, instrument, Buyer::default());
    let Some(method) = world.methods.get(&method_id).cloned() else {
        return Err(StripeError::server_error());
    };
    let mut charge = new_charge(world, &intent(world, new), &method);
    charge.payment_intent = None;
    let id = charge.id.clone();
    let refusal = match outcome {
        Outcome::Declined(refusal) => Some(refusal),
        Outcome::Authenticates { .. } => Some(Refusal {
            code: "authentication_required",
            decline_code: "authentication_required",
            message: "Your card was declined. This transaction requires authentication.",
        }),
        _ => None,
    };
    if let Some(refusal) = refusal {
        let failure = failure(refusal);
        charge.status = ChargeStatus::Failed;
        charge.failure = Some(failure.clone());
        let object = objects::charge(world, &charge);
        world.charges.insert(charge);
        world.emit("charge.failed", object);
        let more = error_members(&failure, Some(&id));
        return Err(StripeError::card(&failure.code, &failure.message, more));
    }
    charge.status = ChargeStatus::Succeeded;
    charge.captured = capture;
    charge.amount_captured = if capture { charge.amount } else { 0 };
    let object = objects::charge(world, &charge);
    world.charges.insert(charge);
    world.emit("charge.succeeded", object);
    if capture {
        settle_charge(world, &id);
    }
    Ok(id)
}

/// Captures a charge that has no intent.
///
/// # Errors
/// More than was authorised.
pub(crate) fn capture_directly(world: &mut World, id: &str, amount: Option<i64>) -> Result<(), StripeError> {
    let Some(charge) = world.charges.get_mut(id) else {
        return Err(StripeError::no_such("charge", id, "id"));
    };
    let amount = amount.unwrap_or(charge.amount);
    if amount > charge.amount {
        let message = "The amount to capture is greater than the amount that was authorized.";
        return Err(StripeError::invalid("amount", Some("amount_too_large"), message));
    }
    charge.captured = true;
    charge.amount_captured = amount;
    if let Some(object) = world.object(id) {
        world.emit("charge.captured", object);
    }
    book_charge(world, id);
    Ok(())
}

/// Remembers an instrument as a payment method. Returns its id.
pub(crate) fn remember(world: &mut World, instrument: Instrument, buyer: Buyer) -> String {
    let method = PaymentMethod {
        id: ids::object("pm"),
        created: world.now(),
        instrument,
        buyer,
        customer: None,
        metadata: Metadata::new(),
    };
    let id = method.id.clone();
    world.methods.insert(method);
    id
}

/// Tries to pay the intent with a payment method. The intent must be able to take an attempt.
pub(crate) fn attempt(world: &mut World, intent_id: &str, method_id: &str) -> Attempt {
    let Some(method) = world.methods.get(method_id).cloned() else { return unknown_method() };
    let outcome = method.instrument.outcome();
    if let Some(intent) = world.intents.get_mut(intent_id) {
        intent.payment_method = Some(method_id.to_owned());
        intent.last_payment_error = None;
        intent.next_action = None;
    }
    match outcome {
        Outcome::Authenticates { .. } => require_action(world, intent_id),
        Outcome::Declined(refusal) => decline(world, intent_id, &method, refusal),
        Outcome::Later { succeeds } => process(world, intent_id, &method, succeeds),
        Outcome::Succeeds | Outcome::Disputed { .. } => succeed(world, intent_id, &method, false),
    }
}

/// The buyer answered the bank's question.
pub(crate) fn authenticate(world: &mut World, intent_id: &str, passed: bool) -> Attempt {
    let method_id = world.intents.get(intent_id).and_then(|i| i.payment_method.clone()).unwrap_or_default();
    let Some(method) = world.methods.get(&method_id).cloned() else { return unknown_method() };
    if let Some(intent) = world.intents.get_mut(intent_id) {
        intent.next_action = None;
    }
    if passed {
        return match method.instrument.outcome() {
            Outcome::Authenticates { then } if !then.is_none() => decline(world, intent_id, &method, then),
            _ => succeed(world, intent_id, &method, true),
        };
    }
    let failure = Failure {
        code: "payment_intent_authentication_failure".to_owned(),
        decline_code: None,
        message:
            "We are unable to authenticate your payment method. Please choose a different payment method and \
                  try again."
                .to_owned(),
    };
    fail_intent(world, intent_id, &method, &failure, None);
    Attempt::Declined(failure)
}

/// Unreachable by the rules; answered like a decline so that no caller need panic.
fn unknown_method() -> Attempt {
    Attempt::Declined(Failure {
        code: "payment_method_not_available".to_owned(),
        decline_code: None,
        message: "The payment method is not available.".to_owned(),
    })
}

fn require_action(world: &mut World, intent_id: &str) -> Attempt {
    let base = world.public_url.clone();
    let Some(intent) = world.intents.get_mut(intent_id) else { return unknown_method() };
    intent.status = IntentStatus::RequiresAction;
    intent.next_action = Some(match &intent.session {
        Some(_) => {
            json!({ "type": "use_stripe_sdk", "use_stripe_sdk": { "type": "three_d_secure_redirect" } })
        }
        None => json!({
            "type": "redirect_to_url",
            "redirect_to_url": {
                "return_url": intent.return_url,
                "url": format!("{base}/3ds/{intent_id}"),
            },
        }),
    });
    let object = objects::intent(intent);
    world.emit("payment_intent.requires_action", object);
    Attempt::RequiresAction
}

fn new_charge(world: &World, intent: &Intent, method: &PaymentMethod) -> Charge {
    let echoed = [
        "receipt_email",
        "shipping",
        "statement_descriptor",
        "statement_descriptor_suffix",
        "transfer_group",
    ];
    let echo = intent.echo.iter().filter(|(name, _)| echoed.contains(&name.as_str()));
    Charge {
        id: ids::object(if matches!(method.instrument, Instrument::Card(_)) { "ch" } else { "py" }),
        created: world.now(),
        amount: intent.amount,
        amount_captured: 0,
        amount_refunded: 0,
        currency: intent.currency.clone(),
        status: ChargeStatus::Pending,
        captured: false,
        disputed: false,
        balance_transaction: None,
        buyer: method.buyer.clone(),
        customer: intent.customer.clone(),
        description: intent.description.clone(),
        failure: None,
        metadata: intent.metadata.clone(),
        payment_intent: Some(intent.id.clone()),
        payment_method: Some(method.id.clone()),
        instrument: method.instrument.clone(),
        authenticated: false,
        echo: echo.map(|(name, value)| (name.clone(), value.clone())).collect(),
    }
}

fn succeed(world: &mut World, intent_id: &str, method: &PaymentMethod, authenticated: bool) -> Attempt {
    let Some(intent) = world.intents.get(intent_id).cloned() else { return unknown_method() };
    let manual = intent.capture_method == "manual";
    let mut charge = new_charge(world, &intent, method);
    charge.status = ChargeStatus::Succeeded;
    charge.authenticated = authenticated;
    charge.captured = !manual;
    charge.amount_captured = if manual { 0 } else { charge.amount };
    let charge_object = objects::charge(world, &charge);
    let charge_id = charge.id.clone();
    world.charges.insert(charge);
    if let Some(intent) = world.intents.get_mut(intent_id) {
        intent.latest_charge = Some(charge_id);
        intent.status = if manual { IntentStatus::RequiresCapture } else { IntentStatus::Succeeded };
        intent.amount_received = if manual { 0 } else { intent.amount };
        let object = objects::intent(intent);
        world.emit("charge.succeeded", charge_object);
        world.emit(
            if manual { "payment_intent.amount_capturable_updated" } else { "payment_intent.succeeded" },
            object,
        );
    }
    if manual { Attempt::Authorized } else { Attempt::Paid }
}

fn process(world: &mut World, intent_id: &str, method: &PaymentMethod, succeeds: bool) -> Attempt {
    let Some(intent) = world.intents.get(intent_id).cloned() else { return unknown_method() };
    let charge = new_charge(world, &intent, method);
    let at = world.settles_at();
    world.remind(at, intent_id);
    let charge_object = objects::charge(world, &charge);
    let charge_id = charge.id.clone();
    world.charges.insert(charge);
    if let Some(intent) = world.intents.get_mut(intent_id) {
        intent.latest_charge = Some(charge_id);
        intent.status = IntentStatus::Processing;
        intent.settles = Some(Settlement { at, succeeds });
        let object = objects::intent(intent);
        world.emit("payment_intent.processing", object);
        world.emit("charge.pending", charge_object);
    }
    Attempt::Processing
}

fn failure(refusal: Refusal) -> Failure {
    Failure {
        code: refusal.code.to_owned(),
        decline_code: Some(refusal.decline_code).filter(|code| !code.is_empty()).map(str::to_owned),
        message: refusal.message.to_owned(),
    }
}

fn decline(world: &mut World, intent_id: &str, method: &PaymentMethod, refusal: Refusal) -> Attempt {
    let failure = failure(refusal);
    let Some(intent) = world.intents.get(intent_id).cloned() else { return unknown_method() };
    let mut charge = new_charge(world, &intent, method);
    charge.status = ChargeStatus::Failed;
    charge.failure = Some(failure.clone());
    let object = objects::charge(world, &charge);
    let charge_id = charge.id.clone();
    world.charges.insert(charge);
    world.emit("charge.failed", object);
    fail_intent(world, intent_id, method, &failure, Some(charge_id));
    Attempt::Declined(failure)
}

fn fail_intent(
    world: &mut World,
    intent_id: &str,
    method: &PaymentMethod,
    failure: &Failure,
    charge: Option<String>,
) {
    let mut error = error_members(failure, charge.as_deref());
    error.insert("payment_method".into(), objects::payment_method(method));
    error.insert("type".into(), json!(if charge.is_some() { "card_error" } else { "invalid_request_error" }));
    error.insert("code".into(), json!(failure.code));
    error.insert("message".into(), json!(failure.message));
    if let Some(intent) = world.intents.get_mut(intent_id) {
        intent.status = IntentStatus::RequiresPaymentMethod;
        intent.payment_method = None;
        intent.next_action = None;
        intent.settles = None;
        if charge.is_some() {
            intent.latest_charge = charge;
        }
        intent.last_payment_error = Some(Value::Object(error));
        let object = objects::intent(intent);
        world.emit("payment_intent.payment_failed", object);
    }
}

/// The members of an error envelope that say more about a refused payment.
fn error_members(failure: &Failure, charge: Option<&str>) -> Map<String, Value> {
    let mut members = Map::new();
    if let Some(charge) = charge {
        members.insert("charge".into(), json!(charge));
        members.insert("advice_code".into(), json!("try_again_later"));
        members.insert("network_decline_code".into(), json!("01"));
    }
    if let Some(code) = &failure.decline_code {
        members.insert("decline_code".into(), json!(code));
    }
    let page = failure.code.replace('_', "-");
    members.insert("doc_url".into(), json!(format!("https://stripe.com/docs/error-codes/{page}")));
    members
}

/// The 402 that the API answers when a confirmation was declined.
pub(crate) fn declined(world: &World, intent_id: &str, failure: &Failure) -> StripeError {
    let intent = world.intents.get(intent_id);
    let charge = intent.and_then(|i| i.latest_charge.as_deref());
    let mut more = error_members(failure, charge);
    if let Some(intent) = intent {
        more.insert("payment_intent".into(), objects::intent(intent));
        let method = intent.last_payment_error.as_ref().and_then(|e| e.get("payment_method"));
        more.insert("payment_method".into(), method.cloned().unwrap_or(Value::Null));
    }
    StripeError::card(&failure.code, &failure.message, more)
}

/// What happens right after a payment: the money is booked, and a dispute comes if the card is one
/// of those. Stripe books asynchronously, so `charge.succeeded` does not yet know the transaction.
pub(crate) fn settle_books(world: &mut World, intent_id: &str) {
    super::setups::keep_if_asked(world, intent_id);
    if let Some(charge) = world.intents.get(intent_id).and_then(|i| i.latest_charge.clone()) {
        settle_charge(world, &charge);
    }
}

fn settle_charge(world: &mut World, charge_id: &str) {
    book_charge(world, charge_id);
    let Some(charge) = world.charges.get(charge_id) else { return };
    if let Outcome::Disputed { reason, inquiry } = charge.instrument.outcome() {
        // It was paid just now, so nothing stands against a dispute.
        let _ = disputes::open(world, charge_id, reason, inquiry);
    }
}

fn book_charge(world: &mut World, charge_id: &str) {
    let Some(charge) = world.charges.get(charge_id).cloned() else { return };
    let amount = charge.amount_captured;
    let transaction = world.book(Booking {
        amount,
        fee: (amount.saturating_mul(15) / 1_000).saturating_add(25).min(amount),
        currency: &charge.currency,
        kind: "charge",
        category: "charge",
        description: charge.description.clone(),
        source: charge_id,
    });
    if let Some(charge) = world.charges.get_mut(charge_id) {
        charge.balance_transaction = Some(transaction);
    }
    if let Some(object) = world.object(charge_id) {
        world.emit_update("charge.updated", object, json!({ "balance_transaction": null }));
    }
}

/// A delayed method succeeds or fails. False if the intent is not waiting for that.
pub(crate) fn settle(world: &mut World, intent_id: &str, succeeds: bool) -> bool {
    let Some(intent) = world.intents.get(intent_id).filter(|i| i.status == IntentStatus::Processing).cloned()
    else {
        return false;
    };
    let (Some(charge_id), Some(method_id)) = (intent.latest_charge, intent.payment_method) else {
        return false;
    };
    let Some(method) = world.methods.get(&method_id).cloned() else { return false };
    let failure = Failure {
        code: "payment_method_provider_decline".to_owned(),
        decline_code: Some("debit_not_authorized".to_owned()),
        message: "The customer's bank account could not be debited.".to_owned(),
    };
    if let Some(charge) = world.charges.get_mut(&charge_id) {
        if succeeds {
            charge.status = ChargeStatus::Succeeded;
            charge.captured = true;
            charge.amount_captured = charge.amount;
        } else {
            charge.status = ChargeStatus::Failed;
            charge.failure = Some(failure.clone());
        }
    }
    let charge_object = world.object(&charge_id).unwrap_or_default();
    if succeeds {
        if let Some(intent) = world.intents.get_mut(intent_id) {
            intent.status = IntentStatus::Succeeded;
            intent.amount_received = intent.amount;
            intent.settles = None;
            let object = objects::intent(intent);
            world.emit("charge.succeeded", charge_object);
            world.emit("payment_intent.succeeded", object);
        }
    } else {
        world.emit("charge.failed", charge_object);
        fail_intent(world, intent_id, &method, &failure, Some(charge_id));
    }
    true
}

/// Half of what an intent asks for has come by bank transfer; it waits for the rest.
pub(crate) fn fund_partially(world: &mut World, intent_id: &str) {
    let Some(intent) = world.intents.get_mut(intent_id) else { return };
    intent.status = IntentStatus::RequiresAction;
    intent.next_action = Some(json!({
        "type": "display_bank_transfer_instructions",
        "display_bank_transfer_instructions": {
            "amount_remaining": intent.amount - intent.amount / 2,
            "currency": intent.currency,
            "hosted_instructions_url": null,
            "reference": "SIMULATED",
            "type": "eu_bank_transfer",
        },
    }));
    let object = objects::intent(intent);
    world.emit("payment_intent.partially_funded", object);
}

/// Refuses an action that the intent's state does not allow.
pub(crate) fn unexpected_state(intent: &Intent, message: String) -> StripeError {
    StripeError::state(Some("payment_intent_unexpected_state"), message)
        .with_member("payment_intent", objects::intent(intent))
}

/// Confirms an intent by API, with `method_id` or the one it has.
///
/// # Errors
/// The state does not allow it, no method is known, or the method is declined (402).
pub(crate) fn confirm(
    world: &mut World,
    intent_id: &str,
    method_id: Option<String>,
) -> Result<(), StripeError> {
    let Some(intent) = world.intents.get(intent_id) else {
        return Err(StripeError::no_such("payment_intent", intent_id, "intent"));
    };
    if intent.session.is_some() {
        let message = "You cannot confirm this PaymentIntent because it was created by a Checkout Session. Redirect \
                       the customer to the session's URL instead.";
        return Err(unexpected_state(intent, message.to_owned()));
    }
    match intent.status {
        IntentStatus::RequiresPaymentMethod
        | IntentStatus::RequiresConfirmation
        | IntentStatus::RequiresAction => {}
        IntentStatus::Succeeded => {
            let message = "You cannot confirm this PaymentIntent because it has already succeeded after being \
                           previously confirmed.";
            return Err(unexpected_state(intent, message.to_owned()));
        }
        status => {
            let message = format!(
                "You cannot confirm this PaymentIntent because it has a status of {}.",
                status.as_str()
            );
            return Err(unexpected_state(intent, message));
        }
    }
    let Some(method_id) = method_id.or_else(|| intent.payment_method.clone()) else {
        let message = "You cannot confirm this PaymentIntent because it's missing a payment method. You can either \
                       update the PaymentIntent with a payment method and then confirm it again, or confirm it again \
                       directly with a payment method or ConfirmationToken.";
        return Err(unexpected_state(intent, message.to_owned()));
    };
    match attempt(world, intent_id, &method_id) {
        Attempt::Paid => {
            settle_books(world, intent_id);
            Ok(())
        }
        Attempt::Authorized | Attempt::Processing | Attempt::RequiresAction => Ok(()),
        Attempt::Declined(failure) => Err(declined(world, intent_id, &failure)),
    }
}

/// Captures an authorised intent, all of it or less.
///
/// # Errors
/// There is nothing to capture, or not that much.
pub(crate) fn capture(world: &mut World, intent_id: &str, amount: Option<i64>) -> Result<(), StripeError> {
    let Some(intent) = world.intents.get(intent_id).cloned() else {
        return Err(StripeError::no_such("payment_intent", intent_id, "intent"));
    };
    if intent.status != IntentStatus::RequiresCapture {
        let message = format!(
            "This PaymentIntent could not be captured because it has a status of {}. Only a PaymentIntent with one \
             of the following statuses may be captured: requires_capture.",
            intent.status.as_str()
        );
        return Err(unexpected_state(&intent, message));
    }
    let amount = amount.unwrap_or(intent.amount);
    if amount > intent.amount {
        let message = "The amount to capture is greater than the amount that was authorized.";
        return Err(StripeError::invalid("amount_to_capture", Some("amount_too_large"), message));
    }
    let charge_id = intent.latest_charge.clone().unwrap_or_default();
    if let Some(charge) = world.charges.get_mut(&charge_id) {
        charge.captured = true;
        charge.amount_captured = amount;
    }
    if let Some(intent) = world.intents.get_mut(intent_id) {
        intent.status = IntentStatus::Succeeded;
        intent.amount_received = amount;
    }
    if let Some(object) = world.object(&charge_id) {
        world.emit("charge.captured", object);
    }
    if let Some(object) = world.object(intent_id) {
        world.emit("payment_intent.succeeded", object);
    }
    if let Some(session) = intent.session {
        super::sessions::captured(world, &session);
    }
    book_charge(world, &charge_id);
    Ok(())
}

/// Cancels an intent.
///
/// # Errors
/// It is settled, or belongs to a session, which is expired instead.
pub(crate) fn cancel(world: &mut World, intent_id: &str, reason: Option<String>) -> Result<(), StripeError> {
    let Some(intent) = world.intents.get(intent_id) else {
        return Err(StripeError::no_such("payment_intent", intent_id, "intent"));
    };
    if intent.session.is_some() && intent.status != IntentStatus::RequiresCapture {
        let message = "You cannot cancel this PaymentIntent because it was created by a Checkout Session. Expire the \
                       Checkout Session instead.";
        return Err(unexpected_state(intent, message.to_owned()));
    }
    if matches!(intent.status, IntentStatus::Succeeded | IntentStatus::Canceled | IntentStatus::Processing) {
        let message = format!(
            "You cannot cancel this PaymentIntent because it has a status of {}. Only a PaymentIntent with one of \
             the following statuses may be canceled: requires_payment_method, requires_capture, requires_reauthorization, \
             requires_confirmation, requires_action, processing.",
            intent.status.as_str()
        );
        return Err(unexpected_state(intent, message));
    }
    void(world, intent_id, reason);
    Ok(())
}

/// Cancels without asking: the caller knows that it may.
pub(crate) fn void(world: &mut World, intent_id: &str, reason: Option<String>) {
    let now = world.now();
    let Some(intent) = world.intents.get_mut(intent_id) else { return };
    intent.status = IntentStatus::Canceled;
    intent.canceled_at = Some(now);
    intent.cancellation_reason = reason;
    intent.next_action = None;
    let object = objects::intent(intent);
    world.emit("payment_intent.canceled", object);
}
