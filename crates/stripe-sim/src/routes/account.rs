//! `/v1/balance`, `/v1/balance_transactions`, `/v1/payment_methods`, `/v1/customers`

use super::lists::{self, List};
use super::{Answer, Call, shown};
use crate::error::StripeError;
use crate::model::{BalanceTransaction, Customer};
use crate::schema::Params;
use crate::world::World;
use crate::{account, ids, objects, rules};
use serde_json::{Map, Value};

pub(crate) fn account(world: &mut World, call: &Call) -> Answer {
    if call.id.is_empty() || call.id == account::ID {
        return Ok(account::object(world));
    }
    Err(account::elsewhere(&call.id))
}

pub(crate) fn balance(world: &mut World, _: &Call) -> Answer {
    Ok(objects::balance(world))
}

pub(crate) fn transaction(world: &mut World, call: &Call) -> Answer {
    let found = world.transactions.get(&call.id).map(objects::transaction);
    found.ok_or_else(|| StripeError::no_such("balance transaction", &call.id, "id"))
}

pub(crate) fn transactions(world: &mut World, call: &Call) -> Answer {
    let p = &call.params;
    let list = List { what: "balance transaction", url: "/v1/balance_transactions" };
    let keep = |t: &BalanceTransaction| {
        lists::fits(p, "source", Some(&t.source))
            && lists::fits(p, "currency", Some(&t.currency))
            && lists::fits(p, "type", Some(&t.kind))
            && lists::fits(p, "payout", None)
    };
    lists::page(&world.transactions, call, list, keep, objects::transaction)
}

pub(crate) fn create_customer(world: &mut World, call: &Call) -> Answer {
    let p = &call.params;
    let customer = Customer {
        id: ids::object("cus"),
        created: world.now(),
        email: p.owned("email"),
        name: p.owned("name"),
        phone: p.owned("phone"),
        description: p.owned("description"),
        address: p.get("address").cloned(),
        metadata: rules::new_metadata(p.get("metadata")),
        echo: echo(p),
        deleted: false,
    };
    let object = objects::customer(&customer);
    world.customers.insert(customer);
    world.emit("customer.created", object.clone());
    Ok(object)
}

/// Members that a customer only echoes; one that is unset has its usual value again.
fn echo(p: &Params) -> Map<String, Value> {
    let named = ["preferred_locales", "shipping", "tax_exempt"].into_iter();
    named.filter_map(|name| Some((name.to_owned(), p.get(name).filter(|v| !v.is_null())?.clone()))).collect()
}

fn no_customer(id: &str) -> StripeError {
    StripeError::no_such("customer", id, "id")
}

pub(crate) fn customer(world: &mut World, call: &Call) -> Answer {
    world.customers.get(&call.id).map(objects::customer).ok_or_else(|| no_customer(&call.id))
}

pub(crate) fn update_customer(world: &mut World, call: &Call) -> Answer {
    let p = &call.params;
    let customer =
        world.customers.get_mut(&call.id).filter(|c| !c.deleted).ok_or_else(|| no_customer(&call.id))?;
    let before = objects::customer(customer);
    let Customer { email, name, phone, description, address, metadata, echo: kept, .. } = customer;
    kept.retain(|member, _| !p.has(member));
    kept.extend(echo(p));
    for (member, field) in [("email", email), ("name", name), ("phone", phone), ("description", description)]
    {
        if p.has(member) {
            *field = p.owned(member);
        }
    }
    if p.has("address") {
        *address = p.get("address").cloned().filter(|v| !v.is_null());
    }
    rules::merge_metadata(metadata, p.get("metadata"));
    world.emit_change("customer.updated", &call.id, &before);
    shown(world, &call.id)
}

/// The id stays known, as at Stripe; what the customer has paid stays as it is.
pub(crate) fn delete_customer(world: &mut World, call: &Call) -> Answer {
    let object = customer(world, call)?;
    let kept =
        world.customers.get_mut(&call.id).filter(|c| !c.deleted).ok_or_else(|| no_customer(&call.id))?;
    kept.deleted = true;
    let kept_methods: Vec<String> = world
        .methods
        .iter()
        .filter(|m| m.customer.as_ref() == Some(&call.id))
        .map(|m| m.id.clone())
        .collect();
    for method in kept_methods {
        rules::setups::detach(world, &method);
    }
    world.emit("customer.deleted", object);
    shown(world, &call.id)
}

pub(crate) fn customers(world: &mut World, call: &Call) -> Answer {
    let p = &call.params;
    let list = List { what: "customer", url: "/v1/customers" };
    let keep = |c: &Customer| !c.deleted && lists::fits(p, "email", c.email.as_deref());
    lists::page(&world.customers, call, list, keep, objects::customer)
}
