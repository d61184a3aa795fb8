//! `/v1/payment_intents`

use super::lists::{self, List};
use super::{Answer, Call, shown};
use crate::cards::Instrument;
use crate::error::StripeError;
use crate::model::{Buyer, Intent, IntentStatus};
use crate::rules::payments::{self, NewIntent};
use crate::schema::Params;
use crate::world::World;
use crate::{currency, objects, rules, versions};
use serde_json::{Map, Value};

const LIST: List<'static> = List { what: "payment_intent", url: "/v1/payment_intents" };

/// Members that an intent only echoes.
const ECHOED: [&str; 10] = [
    "application_fee_amount",
    "on_behalf_of",
    "receipt_email",
    "setup_future_usage",
    "shipping",
    "statement_descriptor",
    "statement_descriptor_suffix",
    "transfer_data",
    "transfer_group",
    "confirmation_method",
];

pub(crate) fn create(world: &mut World, call: &Call) -> Answer {
    let p = &call.params;
    let (amount, currency) = (p.int("amount").unwrap_or(0), p.owned("currency").unwrap_or_default());
    check_amount(&currency, amount)?;
    if p.has("payment_method_types") && p.has("automatic_payment_methods") {
        let message =
            "You may only specify one of these parameters: automatic_payment_methods, payment_method_types.";
        return Err(StripeError::invalid("automatic_payment_methods", Some("parameters_exclusive"), message));
    }
    if let Some(id) = p.text("customer")
        && world.customers.get(id).is_none_or(|c| c.deleted)
    {
        return Err(StripeError::no_such("customer", id, "customer").with_status(400));
    }
    let method = method(world, p)?;
    let automatic = p.get("automatic_payment_methods").cloned();
    let default = || serde_json::json!({ "allow_redirects": "always", "enabled": true });
    let listed = p.texts("payment_method_types");
    let dynamic = call.version.as_str() >= versions::DYNAMIC_METHODS;
    let id = payments::create(
        world,
        NewIntent {
            amount,
            currency: currency.clone(),
            capture_method: p.owned("capture_method").or_else(|| {
                (call.version.as_str() < versions::ASYNC_CAPTURE).then(|| "automatic".to_owned())
            }),
            customer: p.owned("customer"),
            description: p.owned("description"),
            metadata: rules::new_metadata(p.get("metadata")),
            payment_method_types: match (listed.is_empty(), dynamic || automatic.is_some()) {
                (false, _) => listed.clone(),
                (true, true) => methods_for(&currency),
                (true, false) => vec!["card".to_owned()],
            },
            automatic: automatic.or_else(|| (dynamic && listed.is_empty()).then(default)),
            echo: echo(p),
            return_url: p.owned("return_url"),
            session: None,
        },
    );
    if p.flag("confirm") == Some(true) {
        payments::confirm(world, &id, method)?;
    } else if let (Some(method), Some(intent)) = (method, world.intents.get_mut(&id)) {
        intent.payment_method = Some(method);
        intent.status = IntentStatus::RequiresConfirmation;
    }
    shown(world, &id)
}

pub(super) fn methods_for(currency: &str) -> Vec<String> {
    let methods: &[&str] = if currency == "eur" { &["card", "sepa_debit"] } else { &["card"] };
    methods.iter().map(|m| (*m).to_owned()).collect()
}

pub(super) fn check_amount(currency: &str, amount: i64) -> Result<(), StripeError> {
    let (least, most) = (currency::minimum(currency), currency::maximum(currency));
    if amount < least {
        let message = format!("Amount must be at least {} {currency}", currency::display(currency, least));
        return Err(StripeError::invalid("amount", Some("amount_too_small"), message));
    }
    if amount > most {
        let message = format!("Amount must be no more than {} {currency}", currency::display(currency, most));
        return Err(StripeError::invalid("amount", Some("amount_too_large"), message));
    }
    match currency::malformed(currency, amount) {
        Some(message) => Err(StripeError::invalid("amount", None, message)),
        None => Ok(()),
    }
}

pub(super) fn echo(p: &Params) -> Map<String, Value> {
    ECHOED.iter().filter_map(|name| Some(((*name).to_owned(), p.get(name)?.clone()))).collect()
}

/// The payment method named in the request: one of ours, or one of Stripe's test names.
pub(super) fn method(world: &mut World, p: &Params) -> Result<Option<String>, StripeError> {
    let Some(name) = p.text("payment_method") else { return inline_method(world, p) };
    if world.methods.get(name).is_some() {
        return Ok(Some(name.to_owned()));
    }
    let year = world.year();
    let instrument = name.starts_with("pm_").then(|| Instrument::named(name, year)).flatten();
    let Some(instrument) = instrument else {
        return Err(StripeError::no_such("PaymentMethod", name, "payment_method").with_status(400));
    };
    Ok(Some(payments::remember(world, instrument, Buyer::default())))
}

/// `payment_method_data` with a token, such as `tok_visa`, or with an IBAN.
fn inline_method(world: &mut World, p: &Params) -> Result<Option<String>, StripeError> {
    let Some(data) = p.get("payment_method_data") else { return Ok(None) };
    let part = |kind: &str, member: &str| data[kind][member].as_str().map(str::to_owned);
    let (name, param) = match (part("card", "token"), part("sepa_debit", "iban")) {
        (Some(token), _) => (token, "payment_method_data[card][token]"),
        (None, Some(iban)) => (iban, "payment_method_data[sepa_debit][iban]"),
        (None, None) => {
            let message = "The simulator takes payment_method_data with a card token or an IBAN only.";
            return Err(StripeError::invalid("payment_method_data", None, message));
        }
    };
    match Instrument::named(&name, world.year()) {
        Some(instrument) => Ok(Some(payments::remember(world, instrument, Buyer::default()))),
        None => Err(StripeError::no_such("token", &name, param).with_status(400)),
    }
}

fn find<'w>(world: &'w World, id: &str) -> Result<&'w Intent, StripeError> {
    world.intents.get(id).ok_or_else(|| StripeError::no_such("payment_intent", id, "intent"))
}

pub(crate) fn retrieve(world: &mut World, call: &Call) -> Answer {
    Ok(objects::intent(find(world, &call.id)?))
}

pub(crate) fn update(world: &mut World, call: &Call) -> Answer {
    let p = &call.params;
    let intent = find(world, &call.id)?.clone();
    let changes_money = p.has("amount") || p.has("currency") || p.has("payment_method");
    let open = matches!(
        intent.status,
        IntentStatus::RequiresPaymentMethod
            | IntentStatus::RequiresConfirmation
            | IntentStatus::RequiresAction
    );
    if changes_money && !open {
        let message = format!(
            "This PaymentIntent's amount could not be updated because it has a status of {}. You may only update the \
             amount of a PaymentIntent with one of the following statuses: requires_payment_method, \
             requires_confirmation, requires_action.",
            intent.status.as_str()
        );
        return Err(payments::unexpected_state(&intent, message));
    }
    let currency = p.owned("currency").unwrap_or(intent.currency);
    let amount = p.int("amount").unwrap_or(intent.amount);
    if changes_money {
        check_amount(&currency, amount)?;
    }
    let method = method(world, p)?;
    if let Some(kept) = world.intents.get_mut(&call.id) {
        (kept.amount, kept.currency) = (amount, currency);
        rules::merge_metadata(&mut kept.metadata, p.get("metadata"));
        kept.echo.extend(echo(p));
        if p.has("description") {
            kept.description = p.owned("description");
        }
        if let Some(method) = method {
            kept.payment_method = Some(method);
            kept.status = IntentStatus::RequiresConfirmation;
        }
    }
    shown(world, &call.id)
}

pub(crate) fn confirm(world: &mut World, call: &Call) -> Answer {
    find(world, &call.id)?;
    let method = method(world, &call.params)?;
    if let (Some(url), Some(intent)) = (call.params.owned("return_url"), world.intents.get_mut(&call.id)) {
        intent.return_url = Some(url);
    }
    payments::confirm(world, &call.id, method)?;
    shown(world, &call.id)
}

pub(crate) fn capture(world: &mut World, call: &Call) -> Answer {
    payments::capture(world, &call.id, call.params.int("amount_to_capture"))?;
    shown(world, &call.id)
}

pub(crate) fn cancel(world: &mut World, call: &Call) -> Answer {
    payments::cancel(world, &call.id, call.params.owned("cancellation_reason"))?;
    shown(world, &call.id)
}

pub(crate) fn list(world: &mut World, call: &Call) -> Answer {
    let p = &call.params;
    let keep = |i: &Intent| {
        lists::fits(p, "customer", i.customer.as_deref()) && lists::fits(p, "customer_account", None)
    };
    lists::page(&world.intents, call, LIST, keep, objects::intent)
}
