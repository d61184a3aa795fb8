//! Setup intents, and payment methods that a customer keeps.

use crate::cards::Outcome;
use crate::error::StripeError;
use crate::model::{Metadata, SetupIntent};
use crate::world::World;
use crate::{ids, objects};
use serde_json::{Map, Value, json};

/// What a new setup intent is made of.
#[derive(Debug, Default)]
pub(crate) struct NewSetup {
    pub customer: Option<String>,
    pub description: Option<String>,
    pub usage: Option<String>,
    pub metadata: Metadata,
    pub payment_method_types: Vec<String>,
    pub automatic: Value,
}

/// Makes a setup intent and tells of it.
pub(crate) fn create(world: &mut World, new: NewSetup) -> String {
    let id = ids::object("seti");
    let created = world.now();
    let members = json!({
        "object": "setup_intent",
        "allowed_payment_method_types": null,
        "application": null,
        "automatic_payment_methods": new.automatic,
        "cancellation_reason": null,
        "client_secret": format!("{id}_secret_{}", ids::secret()),
        "created": created,
        "customer": new.customer,
        "customer_account": null,
        "description": new.description,
        "excluded_payment_method_types": null,
        "flow_directions": null,
        "last_setup_error": null,
        "latest_attempt": null,
        "livemode": false,
        "managed_payments": { "enabled": false },
        "mandate": null,
        "metadata": new.metadata,
        "next_action": null,
        "on_behalf_of": null,
        "payment_method": null,
        "payment_method_configuration_details": null,
        "payment_method_options": { "card": {
            "mandate_options": null, "network": null, "request_three_d_secure": "automatic",
        } },
        "payment_method_types": new.payment_method_types,
        "single_use_mandate": null,
        "status": "requires_payment_method",
        "usage": new.usage.unwrap_or_else(|| "off_session".to_owned()),
    });
    let members = members.as_object().cloned().unwrap_or_default();
    world.setup_intents.insert(SetupIntent { id: id.clone(), created, members });
    tell(world, "setup_intent.created", &id);
    id
}

fn tell(world: &mut World, kind: &str, id: &str) {
    if let Some(object) = world.object(id) {
        world.emit(kind, object);
    }
}

/// Sets the intent up with a payment method, which its customer then keeps. Stripe's question of a bank is
/// answered with yes: only payments ask it here.
///
/// # Errors
/// 402 if the card is one that is refused, 400 if the intent is settled.
pub(crate) fn confirm(world: &mut World, id: &str, method: &str) -> Result<(), StripeError> {
    let Some(intent) = world.setup_intents.get(id) else {
        return Err(StripeError::no_such("setupintent", id, "intent"));
    };
    let status = intent.text("status").unwrap_or_default();
    if matches!(status, "succeeded" | "canceled") {
        let message = format!("You cannot confirm this SetupIntent because it has a status of {status}.");
        return Err(StripeError::state(Some("setup_intent_unexpected_state"), message));
    }
    let customer = intent.text("customer").map(str::to_owned);
    let Some(kept) = world.methods.get(method).cloned() else {
        return Err(StripeError::no_such("PaymentMethod", method, "payment_method").with_status(400));
    };
    if let Outcome::Declined(refusal) = kept.instrument.outcome() {
        let mut error = Map::new();
        for (name, text) in
            [("code", refusal.code), ("decline_code", refusal.decline_code), ("message", refusal.message)]
        {
            if !text.is_empty() {
                error.insert(name.to_owned(), json!(text));
            }
        }
        error.insert("type".into(), json!("card_error"));
        error.insert("payment_method".into(), objects::payment_method(&kept));
        if let Some(intent) = world.setup_intents.get_mut(id) {
            intent.set("last_setup_error", Value::Object(error.clone()));
        }
        tell(world, "setup_intent.setup_failed", id);
        let mut more: Map<String, Value> = error
            .into_iter()
            .filter(|(n, _)| matches!(n.as_str(), "decline_code" | "payment_method"))
            .collect();
        more.insert("setup_intent".into(), world.object(id).unwrap_or(Value::Null));
        return Err(StripeError::card(refusal.code, refusal.message, more));
    }
    if let Some(intent) = world.setup_intents.get_mut(id) {
        intent.set("status", "succeeded");
        intent.set("payment_method", method);
        intent.set("last_setup_error", Value::Null);
    }
    tell(world, "setup_intent.succeeded", id);
    if let Some(customer) = customer {
        attach(world, method, &customer);
    }
    Ok(())
}

/// Cancels a setup intent that is not settled.
///
/// # Errors
/// It does not exist, or is settled.
pub(crate) fn cancel(world: &mut World, id: &str, reason: Option<String>) -> Result<(), StripeError> {
    let Some(intent) = world.setup_intents.get_mut(id) else {
        return Err(StripeError::no_such("setupintent", id, "intent"));
    };
    let status = intent.text("status").unwrap_or_default().to_owned();
    if matches!(status.as_str(), "succeeded" | "canceled") {
        let message = format!("You cannot cancel this SetupIntent because it has a status of {status}.");
        return Err(StripeError::state(Some("setup_intent_unexpected_state"), message));
    }
    intent.set("status", "canceled");
    intent.set("cancellation_reason", json!(reason));
    tell(world, "setup_intent.canceled", id);
    Ok(())
}

/// The customer keeps the payment method from now on.
pub(crate) fn attach(world: &mut World, method: &str, customer: &str) {
    let Some(kept) = world.methods.get_mut(method) else { return };
    if kept.customer.as_deref() == Some(customer) {
        return;
    }
    kept.customer = Some(customer.to_owned());
    tell(world, "payment_method.attached", method);
}

/// Nobody keeps it any longer.
pub(crate) fn detach(world: &mut World, method: &str) {
    let Some(before) = world.object(method) else { return };
    if let Some(kept) = world.methods.get_mut(method) {
        kept.customer = None;
    }
    if let Some(object) = world.object(method) {
        let previous = objects::former(&before, &object);
        world.emit_update("payment_method.detached", object, Value::Object(previous));
    }
}

/// What was paid with is kept by this customer, and the payment is theirs.
pub(crate) fn keep_paid_with(world: &mut World, intent_id: &str, customer: &str) {
    let Some(intent) = world.intents.get_mut(intent_id) else { return };
    intent.customer = Some(customer.to_owned());
    let (method, charge) = (intent.payment_method.clone(), intent.latest_charge.clone());
    if let Some(charge) = charge.and_then(|id| world.charges.get_mut(&id)) {
        charge.customer = Some(customer.to_owned());
    }
    if let Some(method) = method {
        attach(world, &method, customer);
    }
}

/// Kept for a later payment by API or page: the intents that ask for it, once they are paid.
pub(crate) fn keep_if_asked(world: &mut World, intent_id: &str) {
    let asked = world
        .intents
        .get(intent_id)
        .filter(|i| i.echo.get("setup_future_usage").is_some_and(|v| !v.is_null()));
    if let Some(customer) = asked.and_then(|i| i.customer.clone()) {
        keep_paid_with(world, intent_id, &customer);
    }
}
