//! `/v1/payment_methods` and `/v1/setup_intents`: what buyers pay with later.

use super::intents::{method, methods_for};
use super::lists::{self, List};
use super::{Answer, Call, shown};
use crate::cards::Instrument;
use crate::error::StripeError;
use crate::model::{Buyer, PaymentMethod, SetupIntent};
use crate::rules::setups::{self, NewSetup};
use crate::rules::{self, payments};
use crate::schema::Params;
use crate::world::World;
use crate::{objects, versions};
use serde_json::{Value, json};

const METHODS: List<'static> = List { what: "PaymentMethod", url: "/v1/payment_methods" };
const SETUPS: List<'static> = List { what: "setupintent", url: "/v1/setup_intents" };

fn no_method(id: &str) -> StripeError {
    StripeError::no_such("PaymentMethod", id, "payment_method")
}

fn buyer(p: &Params) -> Buyer {
    let details = p.object("billing_details");
    Buyer {
        email: details.owned("email"),
        name: details.owned("name"),
        phone: details.owned("phone"),
        country: details.object("address").owned("country"),
        ..Buyer::default()
    }
}

fn instrument(world: &World, p: &Params) -> Result<Instrument, StripeError> {
    let year = world.year();
    match p.text("type") {
        Some("card") => {
            let card = p.object("card");
            if let Some(token) = card.text("token") {
                let named = token.starts_with("tok_").then(|| Instrument::named(token, year)).flatten();
                return named
                    .ok_or_else(|| StripeError::no_such("token", token, "card[token]").with_status(400));
            }
            let number = card.text("number").ok_or_else(|| StripeError::missing("card[number]"))?;
            let month = card.int("exp_month").ok_or_else(|| StripeError::missing("card[exp_month]"))?;
            let exp_year = card.int("exp_year").ok_or_else(|| StripeError::missing("card[exp_year]"))?;
            let exp_year = if exp_year < 100 { year / 100 * 100 + exp_year } else { exp_year };
            if !(1..=12).contains(&month) || exp_year < year {
                let message = "Your card's expiration date is invalid.";
                return Err(StripeError::card("invalid_expiry_year", message, serde_json::Map::new()));
            }
            Instrument::card(number, month, exp_year).map_err(|_| {
                let message = "Your card number is incorrect.";
                StripeError::card("incorrect_number", message, serde_json::Map::new())
            })
        }
        Some("sepa_debit") => {
            let iban = p.object("sepa_debit").owned("iban");
            let iban = iban.ok_or_else(|| StripeError::missing("sepa_debit[iban]"))?;
            Instrument::sepa(&iban).map_err(|_| {
                let message = "The IBAN you provided is invalid.";
                StripeError::invalid("sepa_debit[iban]", Some("invalid_bank_account_iban"), message)
            })
        }
        _ => {
            let message = "The simulator takes payment methods of type card or sepa_debit.";
            Err(StripeError::invalid("type", None, message))
        }
    }
}

pub(crate) fn create_method(world: &mut World, call: &Call) -> Answer {
    let p = &call.params;
    let instrument = instrument(world, p)?;
    let id = payments::remember(world, instrument, buyer(p));
    if let Some(kept) = world.methods.get_mut(&id) {
        kept.metadata = rules::new_metadata(p.get("metadata"));
    }
    shown(world, &id)
}

pub(crate) fn retrieve_method(world: &mut World, call: &Call) -> Answer {
    world.methods.get(&call.id).map(objects::payment_method).ok_or_else(|| no_method(&call.id))
}

pub(crate) fn update_method(world: &mut World, call: &Call) -> Answer {
    let p = &call.params;
    let before = retrieve_method(world, call)?;
    let changed = buyer(p);
    let kept = world.methods.get_mut(&call.id).ok_or_else(|| no_method(&call.id))?;
    rules::merge_metadata(&mut kept.metadata, p.get("metadata"));
    for (field, value) in [
        (&mut kept.buyer.email, changed.email),
        (&mut kept.buyer.name, changed.name),
        (&mut kept.buyer.phone, changed.phone),
        (&mut kept.buyer.country, changed.country),
    ] {
        if value.is_some() {
            *field = value;
        }
    }
    world.emit_change("payment_method.updated", &call.id, &before);
    shown(world, &call.id)
}

pub(crate) fn attach_method(world: &mut World, call: &Call) -> Answer {
    let p = &call.params;
    let customer = p.owned("customer").ok_or_else(|| StripeError::missing("customer"))?;
    if world.customers.get(&customer).is_none_or(|c| c.deleted) {
        return Err(StripeError::no_such("customer", &customer, "customer").with_status(400));
    }
    // One of Stripe's names for test methods becomes a new one, as at Stripe.
    let id = if world.methods.get(&call.id).is_some() {
        call.id.clone()
    } else {
        let named =
            call.id.starts_with("pm_card_").then(|| Instrument::named(&call.id, world.year())).flatten();
        let named = named.ok_or_else(|| no_method(&call.id))?;
        payments::remember(world, named, Buyer::default())
    };
    let of = world.methods.get(&id).and_then(|m| m.customer.clone());
    if of.is_some_and(|other| other != customer) {
        let message = "The payment method you provided has already been attached to a customer.";
        return Err(StripeError::state(None, message));
    }
    setups::attach(world, &id, &customer);
    shown(world, &id)
}

pub(crate) fn detach_method(world: &mut World, call: &Call) -> Answer {
    let kept = world.methods.get(&call.id).ok_or_else(|| no_method(&call.id))?;
    if kept.customer.is_none() {
        let message =
            "The payment method you provided is not attached to a customer so detachment is impossible.";
        return Err(StripeError::state(None, message));
    }
    setups::detach(world, &call.id);
    shown(world, &call.id)
}

/// Those that a customer keeps; without one none, as at Stripe.
pub(crate) fn methods(world: &mut World, call: &Call) -> Answer {
    let p = &call.params;
    let customer = p.text("customer");
    let keep = |m: &PaymentMethod| {
        m.customer.is_some()
            && customer.is_none_or(|c| m.customer.as_deref() == Some(c))
            && lists::fits(p, "type", Some(m.instrument.method_type()))
    };
    lists::page(&world.methods, call, METHODS, keep, objects::payment_method)
}

pub(crate) fn methods_of_customer(world: &mut World, call: &Call) -> Answer {
    if world.customers.get(&call.id).is_none() {
        return Err(StripeError::no_such("customer", &call.id, "customer"));
    }
    let p = &call.params;
    let url = format!("/v1/customers/{}/payment_methods", call.id);
    let keep = |m: &PaymentMethod| {
        m.customer.as_ref() == Some(&call.id) && lists::fits(p, "type", Some(m.instrument.method_type()))
    };
    lists::page(&world.methods, call, List { url: &url, ..METHODS }, keep, objects::payment_method)
}

fn no_setup(id: &str) -> StripeError {
    StripeError::no_such("setupintent", id, "intent")
}

pub(crate) fn create_setup(world: &mut World, call: &Call) -> Answer {
    let p = &call.params;
    if let Some(id) = p.text("customer").filter(|id| world.customers.get(id).is_none_or(|c| c.deleted)) {
        return Err(StripeError::no_such("customer", id, "customer").with_status(400));
    }
    let chosen = method(world, p)?;
    let listed = p.texts("payment_method_types");
    let dynamic = call.version.as_str() >= versions::DYNAMIC_METHODS && listed.is_empty();
    let default = if dynamic { json!({ "allow_redirects": "always", "enabled": true }) } else { Value::Null };
    let id = setups::create(
        world,
        NewSetup {
            customer: p.owned("customer"),
            description: p.owned("description"),
            usage: p.owned("usage"),
            metadata: rules::new_metadata(p.get("metadata")),
            payment_method_types: match (listed.is_empty(), dynamic) {
                (false, _) => listed,
                (true, true) => methods_for("eur"),
                (true, false) => vec!["card".to_owned()],
            },
            automatic: p.get("automatic_payment_methods").cloned().unwrap_or(default),
        },
    );
    choose(world, &id, chosen, p.flag("confirm") == Some(true))?;
    shown(world, &id)
}

/// Notes the method, and confirms if asked.
fn choose(world: &mut World, id: &str, method: Option<String>, confirm: bool) -> Result<(), StripeError> {
    let open = |s: &SetupIntent| {
        matches!(s.text("status"), Some("requires_payment_method" | "requires_confirmation"))
    };
    if let (Some(method), Some(setup)) = (&method, world.setup_intents.get_mut(id).filter(|s| open(s))) {
        setup.set("payment_method", method.as_str());
        setup.set("status", "requires_confirmation");
    }
    if !confirm {
        return Ok(());
    }
    let kept = world.setup_intents.get(id).and_then(|s| s.text("payment_method")).map(str::to_owned);
    let Some(method) = method.or(kept) else {
        let message = "You cannot confirm this SetupIntent because it's missing a payment method. Update the \
                       SetupIntent with a payment method and then confirm it again.";
        return Err(StripeError::state(Some("setup_intent_unexpected_state"), message));
    };
    setups::confirm(world, id, &method)
}

pub(crate) fn retrieve_setup(world: &mut World, call: &Call) -> Answer {
    world.setup_intents.get(&call.id).map(|s| objects::thing(world, s)).ok_or_else(|| no_setup(&call.id))
}

pub(crate) fn update_setup(world: &mut World, call: &Call) -> Answer {
    let p = &call.params;
    retrieve_setup(world, call)?;
    let chosen = method(world, p)?;
    if let Some(setup) = world.setup_intents.get_mut(&call.id) {
        for name in ["customer", "description"] {
            if let Some(value) = p.get(name) {
                setup.set(name, value.clone());
            }
        }
        let kept = setup.members.get("metadata").and_then(|m| serde_json::from_value(m.clone()).ok());
        let mut kept: crate::model::Metadata = kept.unwrap_or_default();
        rules::merge_metadata(&mut kept, p.get("metadata"));
        setup.set("metadata", json!(kept));
    }
    choose(world, &call.id, chosen, false)?;
    shown(world, &call.id)
}

pub(crate) fn confirm_setup(world: &mut World, call: &Call) -> Answer {
    retrieve_setup(world, call)?;
    let chosen = method(world, &call.params)?;
    choose(world, &call.id, chosen, true)?;
    shown(world, &call.id)
}

pub(crate) fn cancel_setup(world: &mut World, call: &Call) -> Answer {
    setups::cancel(world, &call.id, call.params.owned("cancellation_reason"))?;
    shown(world, &call.id)
}

pub(crate) fn setups(world: &mut World, call: &Call) -> Answer {
    let p = &call.params;
    let world = &*world;
    let keep = |s: &SetupIntent| {
        lists::fits(p, "customer", s.text("customer"))
            && lists::fits(p, "payment_method", s.text("payment_method"))
    };
    lists::page(&world.setup_intents, call, SETUPS, keep, |s| objects::thing(world, s))
}
