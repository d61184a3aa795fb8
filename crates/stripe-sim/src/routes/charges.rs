//! `/v1/charges`

use super::intents::{check_amount, echo};
use super::lists::{self, List};
use super::{Answer, Call, shown};
use crate::cards::Instrument;
use crate::error::StripeError;
use crate::rules::payments::{self, NewIntent};
use crate::world::World;
use crate::{objects, rules};

const LIST: List<'static> = List { what: "charge", url: "/v1/charges" };

fn missing(id: &str) -> StripeError {
    StripeError::no_such("charge", id, "id")
}

/// The older way to charge, by a token such as `tok_visa`.
pub(crate) fn create(world: &mut World, call: &Call) -> Answer {
    let p = &call.params;
    let (amount, currency) = (p.int("amount").unwrap_or(0), p.owned("currency").unwrap_or_default());
    check_amount(&currency, amount)?;
    let Some(source) = p.text("source") else {
        let message = "Must provide source or customer.";
        return Err(StripeError::invalid("source", Some("parameter_missing"), message));
    };
    let token = source.starts_with("tok_").then(|| Instrument::named(source, world.year())).flatten();
    let Some(instrument) = token else {
        return Err(StripeError::no_such("token", source, "source").with_status(400));
    };
    let new = NewIntent {
        amount,
        currency,
        customer: p.owned("customer"),
        description: p.owned("description"),
        metadata: rules::new_metadata(p.get("metadata")),
        echo: echo(p),
        ..NewIntent::default()
    };
    let id = payments::charge_directly(world, new, instrument, p.flag("capture").unwrap_or(true))?;
    shown(world, &id)
}

pub(crate) fn retrieve(world: &mut World, call: &Call) -> Answer {
    world.charges.get(&call.id).map(|c| objects::charge(world, c)).ok_or_else(|| missing(&call.id))
}

pub(crate) fn update(world: &mut World, call: &Call) -> Answer {
    let p = &call.params;
    let before = retrieve(world, call)?;
    let charge = world.charges.get_mut(&call.id).ok_or_else(|| missing(&call.id))?;
    rules::merge_metadata(&mut charge.metadata, p.get("metadata"));
    if p.has("description") {
        charge.description = p.owned("description");
    }
    for name in ["receipt_email", "shipping", "transfer_group"] {
        if let Some(value) = p.get(name) {
            charge.echo.insert(name.to_owned(), value.clone());
        }
    }
    world.emit_change("charge.updated", &call.id, &before);
    shown(world, &call.id)
}

pub(crate) fn capture(world: &mut World, call: &Call) -> Answer {
    let charge = world.charges.get(&call.id).ok_or_else(|| missing(&call.id))?;
    if charge.captured {
        let message = format!("Charge {} has already been captured.", call.id);
        return Err(StripeError::state(Some("charge_already_captured"), message));
    }
    let amount = call.params.int("amount");
    match charge.payment_intent.clone() {
        Some(intent) => payments::capture(world, &intent, amount)?,
        None => payments::capture_directly(world, &call.id, amount)?,
    }
    shown(world, &call.id)
}

pub(crate) fn list(world: &mut World, call: &Call) -> Answer {
    let p = &call.params;
    let world = &*world;
    lists::page(
        &world.charges,
        call,
        LIST,
        |c| {
            lists::fits(p, "payment_intent", c.payment_intent.as_deref())
                && lists::fits(p, "customer", c.customer.as_deref())
                && lists::fits(p, "transfer_group", c.echo.get("transfer_group").and_then(|v| v.as_str()))
        },
        |c| objects::charge(world, c),
    )
}
