//! `/v1/payment_links`: a link that opens a new session for whoever follows it.

use super::lists::{self, List};
use super::shop::{given, thing};
use super::{Answer, Call, sessions, shown};
use crate::error::StripeError;
use crate::model::PaymentLink;
use crate::schema::Params;
use crate::world::World;
use crate::{ids, objects, rules};
use serde_json::{Map, Value, json};

const LIST: List<'static> = List { what: "payment link", url: "/v1/payment_links" };

/// Members that a link hands on to its sessions as they are.
const HANDED_ON: [&str; 13] = [
    "allow_promotion_codes",
    "automatic_tax",
    "billing_address_collection",
    "consent_collection",
    "custom_fields",
    "custom_text",
    "customer_creation",
    "payment_intent_data",
    "phone_number_collection",
    "shipping_address_collection",
    "shipping_options",
    "submit_type",
    "name_collection",
];

fn missing(id: &str) -> StripeError {
    StripeError::no_such("payment link", id, "payment_link")
}

pub(crate) fn create(world: &mut World, call: &Call) -> Answer {
    let p = &call.params;
    if p.has("subscription_data") {
        let message = "Subscriptions are not simulated: a payment link sells one-time prices.";
        return Err(StripeError::invalid("subscription_data", None, message));
    }
    let lines = sessions::lines(world, p)?;
    let currency = lines.first().map(|l| l.currency.clone());
    let id = ids::object("plink");
    let items: Vec<Value> = lines
        .iter()
        .map(|l| json!({ "adjustable_quantity": l.adjustable_quantity, "price": l.price, "quantity": l.quantity }))
        .collect();
    let handed: Map<String, Value> = given(p, &HANDED_ON);
    let after = p.object("after_completion");
    let completion = match after.object("redirect").owned("url") {
        Some(url) => json!({ "redirect": { "url": url }, "type": "redirect" }),
        None => json!({
            "hosted_confirmation": { "custom_message": after.object("hosted_confirmation").or_null("custom_message") },
            "type": "hosted_confirmation",
        }),
    };
    let intent = p.object("payment_intent_data");
    let made = thing(
        &id,
        world.now(),
        json!({
            "object": "payment_link",
            "active": true,
            "after_completion": completion,
            "allow_promotion_codes": p.flag("allow_promotion_codes").unwrap_or(false),
            "application": null,
            "application_fee_amount": null,
            "application_fee_percent": null,
            "automatic_tax": {
                "enabled": p.object("automatic_tax").flag("enabled").unwrap_or(false), "liability": null,
            },
            "billing_address_collection": p.text("billing_address_collection").unwrap_or("auto"),
            "consent_collection": p.or_null("consent_collection"),
            "currency": currency,
            "custom_fields": [],
            "custom_text": {
                "after_submit": null, "shipping_address": null, "submit": null, "terms_of_service_acceptance": null,
            },
            "customer_creation": p.text("customer_creation").unwrap_or("if_required"),
            "inactive_message": p.or_null("inactive_message"),
            "invoice_creation": objects::no_invoice(),
            "livemode": false,
            "managed_payments": { "enabled": false },
            "metadata": rules::new_metadata(p.get("metadata")),
            "on_behalf_of": null,
            "payment_intent_data": p.has("payment_intent_data").then(|| json!({
                "capture_method": intent.or_null("capture_method"), "description": intent.or_null("description"),
                "metadata": rules::new_metadata(intent.get("metadata")),
                "setup_future_usage": intent.or_null("setup_future_usage"),
                "statement_descriptor": intent.or_null("statement_descriptor"),
                "statement_descriptor_suffix": intent.or_null("statement_descriptor_suffix"),
                "transfer_group": intent.or_null("transfer_group"),
            })),
            "payment_method_collection": "always",
            "payment_method_options": null,
            "payment_method_types": null,
            "phone_number_collection": {
                "enabled": p.object("phone_number_collection").flag("enabled").unwrap_or(false),
            },
            "restrictions": null,
            "shipping_address_collection": p.or_null("shipping_address_collection"),
            "shipping_options": [],
            "submit_type": p.text("submit_type").unwrap_or("auto"),
            "subscription_data": null,
            "tax_id_collection": { "enabled": false, "required": "never" },
            "transfer_data": null,
            "url": format!("{}/b/{id}", world.public_url),
            "_items": items,
            "_handed": handed,
        }),
    );
    world.payment_links.insert(made);
    let object = shown(world, &id)?;
    world.emit("payment_link.created", object.clone());
    Ok(object)
}

pub(crate) fn retrieve(world: &mut World, call: &Call) -> Answer {
    world.payment_links.get(&call.id).map(|l| objects::thing(world, l)).ok_or_else(|| missing(&call.id))
}

pub(crate) fn update(world: &mut World, call: &Call) -> Answer {
    let p = &call.params;
    let before = retrieve(world, call)?;
    let link = world.payment_links.get_mut(&call.id).ok_or_else(|| missing(&call.id))?;
    for name in ["active", "allow_promotion_codes", "inactive_message"] {
        if let Some(value) = p.get(name) {
            link.set(name, value.clone());
        }
    }
    if let (Some(value), Some(handed)) =
        (p.get("allow_promotion_codes"), link.members.get_mut("_handed").and_then(Value::as_object_mut))
    {
        handed.insert("allow_promotion_codes".into(), value.clone());
    }
    let kept = link.members.get("metadata").and_then(|m| serde_json::from_value(m.clone()).ok());
    let mut kept: crate::model::Metadata = kept.unwrap_or_default();
    rules::merge_metadata(&mut kept, p.get("metadata"));
    link.set("metadata", json!(kept));
    world.emit_change("payment_link.updated", &call.id, &before);
    shown(world, &call.id)
}

pub(crate) fn list(world: &mut World, call: &Call) -> Answer {
    let p = &call.params;
    let world = &*world;
    let keep = |l: &PaymentLink| p.flag("active").is_none_or(|wanted| l.flag("active") == wanted);
    lists::page(&world.payment_links, call, LIST, keep, |l| objects::thing(world, l))
}

pub(crate) fn line_items(world: &mut World, call: &Call) -> Answer {
    let link = world.payment_links.get(&call.id).ok_or_else(|| missing(&call.id))?;
    let url = format!("/v1/payment_links/{}/line_items", call.id);
    let items: Vec<Value> = link
        .members
        .get("_items")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .enumerate()
        .map(|(at, item)| {
            let price = item["price"].as_str().and_then(|id| world.prices.get(id));
            let quantity = item["quantity"].as_i64().unwrap_or(1);
            let amount = price.and_then(|p| p.unit_amount).unwrap_or(0).saturating_mul(quantity);
            let product = price.and_then(|p| world.products.get(&p.product));
            json!({
                "id": format!("li_{}_{at}", call.id), "object": "item", "adjustable_quantity": item["adjustable_quantity"],
                "amount_discount": 0, "amount_subtotal": amount, "amount_tax": 0, "amount_total": amount,
                "currency": price.map(|p| &p.currency), "description": product.map(|p| &p.name), "metadata": {},
                "price": price.map(objects::price), "quantity": quantity,
            })
        })
        .collect();
    let list = List { what: "item", url: &url };
    lists::paged(&items, &call.params, list, |i| i["id"].as_str().unwrap_or_default(), Clone::clone)
}

/// Somebody follows the link: a new session like it. None if it is not there or not active.
pub(crate) fn follow(
    world: &mut World,
    id: &str,
    reference: Option<&str>,
    email: Option<&str>,
) -> Option<String> {
    let link = world.payment_links.get(id).filter(|l| l.flag("active"))?.clone();
    let mut members = link.members.get("_handed").and_then(Value::as_object).cloned().unwrap_or_default();
    let items = link.members.get("_items").and_then(Value::as_array).into_iter().flatten();
    let items: Vec<Value> = items
        .map(|item| {
            let mut item = item.clone();
            if let Some(map) = item.as_object_mut() {
                map.retain(|_, value| !value.is_null());
            }
            item
        })
        .collect();
    members.insert("line_items".into(), json!(items));
    members.insert("mode".into(), json!("payment"));
    members.insert("metadata".into(), link.members.get("metadata").cloned().unwrap_or_default());
    let back = link.members.get("after_completion").and_then(|a| a["redirect"]["url"].as_str());
    let thanks = format!("{}/thanks", world.public_url);
    members.insert("success_url".into(), json!(back.unwrap_or(&thanks)));
    if let Some(reference) = reference.filter(|r| (1..=200).contains(&r.chars().count())) {
        members.insert("client_reference_id".into(), json!(reference));
    }
    if let Some(email) = email.filter(|e| e.contains('@') && e.chars().count() <= 512) {
        members.insert("customer_email".into(), json!(email));
    }
    let call = Call {
        params: Params::from_map(members),
        version: crate::versions::NEWEST.to_owned(),
        ..Call::default()
    };
    let session = sessions::create(world, &call).ok()?["id"].as_str()?.to_owned();
    if let Some(kept) = world.sessions.get_mut(&session) {
        kept.payment_link = Some(id.to_owned());
    }
    Some(session)
}
