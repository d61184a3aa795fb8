//! `/v1/products` and `/v1/prices`

use super::lists::{self, List};
use super::{Answer, Call, shown};
use crate::error::StripeError;
use crate::model::{Metadata, Price, Product};
use crate::schema::Params;
use crate::world::World;
use crate::{currency, ids, objects, rules};

pub(crate) fn create_product(world: &mut World, call: &Call) -> Answer {
    let p = &call.params;
    let id = p.owned("id").unwrap_or_else(ids::product);
    if world.products.get(&id).is_some() {
        let message = "Product already exists.";
        return Err(StripeError::invalid("id", Some("resource_already_exists"), message));
    }
    let created = world.now();
    let product = Product {
        id: id.clone(),
        created,
        updated: created,
        active: p.flag("active").unwrap_or(true),
        name: p.owned("name").unwrap_or_default(),
        description: p.owned("description"),
        images: p.texts("images"),
        default_price: None,
        metadata: rules::new_metadata(p.get("metadata")),
        deleted: false,
    };
    let default_price = p.object("default_price_data");
    let price = if p.has("default_price_data") { Some(new_price(world, &default_price, &id)?) } else { None };
    world.products.insert(product);
    if let (Some(price), Some(product)) = (price, world.products.get_mut(&id)) {
        product.default_price = Some(price.id.clone());
        world.prices.insert(price);
    }
    let object = shown(world, &id)?;
    world.emit("product.created", object.clone());
    Ok(object)
}

fn no_product(id: &str) -> StripeError {
    StripeError::no_such("product", id, "id")
}

pub(crate) fn product(world: &mut World, call: &Call) -> Answer {
    world.products.get(&call.id).map(objects::product).ok_or_else(|| no_product(&call.id))
}

pub(crate) fn update_product(world: &mut World, call: &Call) -> Answer {
    let p = &call.params;
    let now = world.now();
    let product =
        world.products.get_mut(&call.id).filter(|p| !p.deleted).ok_or_else(|| no_product(&call.id))?;
    let before = objects::product(product);
    product.updated = now;
    product.active = p.flag("active").unwrap_or(product.active);
    if let Some(name) = p.owned("name") {
        product.name = name;
    }
    if p.has("description") {
        product.description = p.owned("description");
    }
    if p.has("images") {
        product.images = p.texts("images");
    }
    if let Some(price) = p.owned("default_price") {
        product.default_price = Some(price);
    }
    rules::merge_metadata(&mut product.metadata, p.get("metadata"));
    world.emit_change("product.updated", &call.id, &before);
    shown(world, &call.id)
}

/// Only a product that nobody has a price of can go, as at Stripe.
pub(crate) fn delete_product(world: &mut World, call: &Call) -> Answer {
    let object = product(world, call)?;
    if world.prices.iter().any(|p| p.product == call.id) {
        let message = "This product cannot be deleted because it has one or more user-created prices.";
        return Err(StripeError::state(None, message).with_param("id"));
    }
    let kept = world.products.get_mut(&call.id).filter(|p| !p.deleted).ok_or_else(|| no_product(&call.id))?;
    kept.deleted = true;
    world.emit("product.deleted", object);
    shown(world, &call.id)
}

pub(crate) fn products(world: &mut World, call: &Call) -> Answer {
    let active = call.params.flag("active");
    let ids = call.params.texts("ids");
    let list = List { what: "product", url: "/v1/products" };
    let keep = |p: &Product| {
        !p.deleted && active.is_none_or(|a| p.active == a) && (ids.is_empty() || ids.contains(&p.id))
    };
    lists::page(&world.products, call, list, keep, objects::product)
}

pub(crate) fn create_price(world: &mut World, call: &Call) -> Answer {
    let p = &call.params;
    let product = match (p.owned("product"), p.has("product_data")) {
        (Some(id), false) => {
            if world.products.get(&id).is_none_or(|p| p.deleted) {
                return Err(StripeError::no_such("product", &id, "product").with_status(400));
            }
            id
        }
        (None, true) => {
            let given = p.object("product_data");
            let created = world.now();
            let product = Product {
                id: ids::product(),
                created,
                updated: created,
                active: true,
                name: given.owned("name").unwrap_or_default(),
                description: given.owned("description"),
                images: given.texts("images"),
                default_price: None,
                metadata: rules::new_metadata(given.get("metadata")),
                deleted: false,
            };
            let id = product.id.clone();
            world.products.insert(product);
            id
        }
        (Some(_), true) => {
            let message = "You may only specify one of these parameters: product, product_data.";
            return Err(StripeError::invalid("product", Some("parameters_exclusive"), message));
        }
        (None, false) => return Err(StripeError::missing("product")),
    };
    let price = new_price(world, p, &product)?;
    let id = price.id.clone();
    world.prices.insert(price);
    let object = shown(world, &id)?;
    world.emit("price.created", object.clone());
    Ok(object)
}

fn new_price(world: &World, p: &Params, product: &str) -> Result<Price, StripeError> {
    let currency = p.owned("currency").unwrap_or_default();
    let decimal = p.owned("unit_amount_decimal");
    let whole = decimal.as_ref().and_then(|d| d.parse::<i64>().ok());
    if p.has("unit_amount") && decimal.is_some() {
        let message = "You may only specify one of these parameters: unit_amount, unit_amount_decimal.";
        return Err(StripeError::invalid("unit_amount", Some("parameters_exclusive"), message));
    }
    let unit_amount = p.int("unit_amount").or(whole);
    if unit_amount.is_none() && decimal.is_none() {
        return Err(StripeError::missing("unit_amount"));
    }
    if let Some(message) = unit_amount.and_then(|amount| currency::malformed(&currency, amount)) {
        return Err(StripeError::invalid("unit_amount", None, message));
    }
    Ok(Price {
        id: ids::object("price"),
        created: world.now(),
        active: p.flag("active").unwrap_or(true),
        unit_amount_decimal: decimal.or_else(|| unit_amount.map(|a| a.to_string())).unwrap_or_default(),
        unit_amount,
        currency,
        product: product.to_owned(),
        nickname: p.owned("nickname"),
        lookup_key: p.owned("lookup_key"),
        tax_behavior: p.owned("tax_behavior").unwrap_or_else(|| "unspecified".to_owned()),
        recurring: p.get("recurring").map(|_| {
            let r = p.object("recurring");
            serde_json::json!({
                "interval": r.or_null("interval"),
                "interval_count": r.int("interval_count").unwrap_or(1),
                "meter": null,
                "trial_period_days": null,
                "usage_type": "licensed",
            })
        }),
        metadata: p.get("metadata").map_or_else(Metadata::new, |m| rules::new_metadata(Some(m))),
    })
}

fn no_price(id: &str) -> StripeError {
    StripeError::no_such("price", id, "price")
}

pub(crate) fn price(world: &mut World, call: &Call) -> Answer {
    world.prices.get(&call.id).map(objects::price).ok_or_else(|| no_price(&call.id))
}

pub(crate) fn update_price(world: &mut World, call: &Call) -> Answer {
    let p = &call.params;
    let price = world.prices.get_mut(&call.id).ok_or_else(|| no_price(&call.id))?;
    let before = objects::price(price);
    price.active = p.flag("active").unwrap_or(price.active);
    if p.has("nickname") {
        price.nickname = p.owned("nickname");
    }
    if p.has("lookup_key") {
        price.lookup_key = p.owned("lookup_key");
    }
    rules::merge_metadata(&mut price.metadata, p.get("metadata"));
    world.emit_change("price.updated", &call.id, &before);
    shown(world, &call.id)
}

pub(crate) fn prices(world: &mut World, call: &Call) -> Answer {
    let p = &call.params;
    let active = p.flag("active");
    let list = List { what: "price", url: "/v1/prices" };
    let keys = p.texts("lookup_keys");
    let keep = |price: &Price| {
        active.is_none_or(|a| price.active == a)
            && lists::fits(p, "product", Some(&price.product))
            && lists::fits(p, "currency", Some(&price.currency))
            && (keys.is_empty() || price.lookup_key.as_ref().is_some_and(|key| keys.contains(key)))
    };
    lists::page(&world.prices, call, list, keep, objects::price)
}
