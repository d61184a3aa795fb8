//! `/v1/coupons`, `/v1/promotion_codes`, `/v1/tax_rates`, `/v1/shipping_rates`: what prices are changed by.

use super::lists::{self, List};
use super::{Answer, Call, shown};
use crate::error::StripeError;
use crate::model::{Coupon, Metadata, PromotionCode, ShippingRate, TaxRate, Thing};
use crate::schema::Params;
use crate::versions::PROMOTIONS;
use crate::world::World;
use crate::{ids, objects, rules};
use serde_json::{Map, Value, json};

const COUPONS: List<'static> = List { what: "coupon", url: "/v1/coupons" };
const CODES: List<'static> = List { what: "promotion code", url: "/v1/promotion_codes" };
const TAXES: List<'static> = List { what: "tax rate", url: "/v1/tax_rates" };
const RATES: List<'static> = List { what: "shipping rate", url: "/v1/shipping_rates" };

pub(super) fn thing(id: &str, created: i64, members: Value) -> Thing {
    Thing { id: id.to_owned(), created, members: members.as_object().cloned().unwrap_or_default() }
}

fn metadata(p: &Params) -> Metadata {
    rules::new_metadata(p.get("metadata"))
}

/// A decimal text as the number that Stripe shows.
fn number(text: Option<&str>) -> Value {
    let parsed = text.and_then(|t| serde_json::from_str::<serde_json::Number>(t).ok());
    // A whole number without its point: 20, not 20.0.
    let whole = text.and_then(|t| {
        let (whole, fraction) = t.split_once('.')?;
        fraction.bytes().all(|b| b == b'0').then(|| whole.parse::<i64>().ok()).flatten()
    });
    match whole {
        Some(n) => json!(n),
        None => parsed.map_or(Value::Null, Value::Number),
    }
}

fn percentage(p: &Params, name: &str) -> Result<(), StripeError> {
    let whole = |text: &str| text.split('.').next().and_then(|w| w.parse::<u32>().ok());
    match p.text(name).map(|text| (text, whole(text))) {
        Some((text, Some(whole)))
            if whole > 100 || (whole == 100 && text.trim_end_matches(['0', '.']) != "1") =>
        {
            Err(StripeError::invalid(name, None, format!("Invalid {name}: at most 100")))
        }
        _ => Ok(()),
    }
}

/// Applies what an update may change: metadata, and these members.
fn changed(thing: &mut Thing, p: &Params, names: &[&str]) {
    for name in names {
        if let Some(value) = p.get(name) {
            thing.set(name, value.clone());
        }
    }
    if p.has("metadata") {
        let mut kept: Metadata = thing
            .members
            .get("metadata")
            .and_then(|m| serde_json::from_value(m.clone()).ok())
            .unwrap_or_default();
        rules::merge_metadata(&mut kept, p.get("metadata"));
        thing.set("metadata", json!(kept));
    }
}

pub(crate) fn create_coupon(world: &mut World, call: &Call) -> Answer {
    let p = &call.params;
    let id = p.owned("id").unwrap_or_else(ids::short);
    if world.coupons.get(&id).is_some() {
        return Err(StripeError::invalid("id", Some("resource_already_exists"), "Coupon already exists."));
    }
    percentage(p, "percent_off")?;
    match (p.has("percent_off"), p.int("amount_off")) {
        (true, None) => {}
        (false, Some(_)) if !p.has("currency") => return Err(StripeError::missing("currency")),
        (false, Some(_)) => {}
        _ => {
            let message = "Must provide either percent_off or amount_off, and not both.";
            return Err(StripeError::invalid("percent_off", None, message));
        }
    }
    let products = p.object("applies_to").texts("products");
    if let Some(at) = products.iter().position(|id| world.products.get(id).is_none()) {
        let param = format!("applies_to[products][{at}]");
        return Err(StripeError::no_such("product", &products[at], &param).with_status(400));
    }
    let mut coupon = thing(
        &id,
        world.now(),
        json!({
            "object": "coupon",
            "amount_off": p.or_null("amount_off"),
            "created": world.now(),
            "currency": p.or_null("currency"),
            "duration": p.text("duration").unwrap_or("once"),
            "duration_in_months": p.or_null("duration_in_months"),
            "livemode": false,
            "max_redemptions": p.or_null("max_redemptions"),
            "metadata": metadata(p),
            "name": p.or_null("name"),
            "percent_off": number(p.text("percent_off")),
            "redeem_by": p.or_null("redeem_by"),
            "times_redeemed": 0,
            "valid": true,
        }),
    );
    if !products.is_empty() {
        coupon.set("applies_to", json!({ "products": products }));
    }
    let object = objects::thing(world, &coupon);
    world.coupons.insert(coupon);
    world.emit("coupon.created", object.clone());
    Ok(object)
}

fn no_coupon(id: &str) -> StripeError {
    StripeError::no_such("coupon", id, "coupon")
}

pub(crate) fn coupon(world: &mut World, call: &Call) -> Answer {
    let found = world.coupons.get(&call.id).map(|c| objects::thing(world, c));
    found.ok_or_else(|| no_coupon(&call.id))
}

pub(crate) fn update_coupon(world: &mut World, call: &Call) -> Answer {
    let before = coupon(world, call)?;
    let kept = world.coupons.get_mut(&call.id).ok_or_else(|| no_coupon(&call.id))?;
    changed(kept, &call.params, &["name"]);
    world.emit_change("coupon.updated", &call.id, &before);
    coupon(world, call)
}

pub(crate) fn delete_coupon(world: &mut World, call: &Call) -> Answer {
    let object = coupon(world, call)?;
    world.coupons.remove(&call.id);
    world.emit("coupon.deleted", object);
    Ok(json!({ "id": call.id, "object": "coupon", "deleted": true }))
}

pub(crate) fn coupons(world: &mut World, call: &Call) -> Answer {
    let world = &*world;
    lists::page(&world.coupons, call, COUPONS, |_: &Coupon| true, |c| objects::thing(world, c))
}

pub(crate) fn create_code(world: &mut World, call: &Call) -> Answer {
    let p = &call.params;
    let promotion = p.object("promotion");
    let old = call.version.as_str() < PROMOTIONS;
    if p.has("coupon") && !old {
        return Err(StripeError::unknown_parameters(&["coupon".to_owned()]).by_version());
    }
    let (coupon, param) = match (promotion.owned("coupon"), p.owned("coupon")) {
        (Some(coupon), _) => (coupon, "promotion[coupon]"),
        (None, Some(coupon)) => (coupon, "coupon"),
        (None, None) => {
            return Err(StripeError::missing(if old { "coupon" } else { "promotion" }).by_version());
        }
    };
    if world.coupons.get(&coupon).is_none() {
        return Err(StripeError::no_such("coupon", &coupon, param).with_status(400));
    }
    if let Some(id) = p.text("customer").filter(|id| world.customers.get(id).is_none()) {
        return Err(StripeError::no_such("customer", id, "customer").with_status(400));
    }
    let code = p.owned("code").unwrap_or_else(|| ids::short().to_uppercase());
    let taken =
        |c: &PromotionCode| c.flag("active") && c.text("code").is_some_and(|t| t.eq_ignore_ascii_case(&code));
    if world.promotion_codes.iter().any(taken) {
        let message = "An active promotion code with this code already exists.";
        return Err(StripeError::invalid("code", Some("resource_already_exists"), message));
    }
    let restrictions = p.object("restrictions");
    let id = ids::object("promo");
    let made = thing(
        &id,
        world.now(),
        json!({
            "object": "promotion_code",
            "active": p.flag("active").unwrap_or(true),
            "code": code,
            "created": world.now(),
            "customer": p.or_null("customer"),
            "customer_account": null,
            "expires_at": p.or_null("expires_at"),
            "livemode": false,
            "max_redemptions": p.or_null("max_redemptions"),
            "metadata": metadata(p),
            "promotion": { "coupon": coupon, "type": "coupon" },
            "restrictions": {
                "first_time_transaction": restrictions.flag("first_time_transaction").unwrap_or(false),
                "minimum_amount": restrictions.or_null("minimum_amount"),
                "minimum_amount_currency": restrictions.or_null("minimum_amount_currency"),
            },
            "times_redeemed": 0,
        }),
    );
    world.promotion_codes.insert(made);
    let object = shown(world, &id)?;
    world.emit("promotion_code.created", object.clone());
    Ok(object)
}

fn no_code(id: &str) -> StripeError {
    StripeError::no_such("promotion code", id, "promotion_code")
}

pub(crate) fn code(world: &mut World, call: &Call) -> Answer {
    let found = world.promotion_codes.get(&call.id).map(|c| objects::thing(world, c));
    found.ok_or_else(|| no_code(&call.id))
}

pub(crate) fn update_code(world: &mut World, call: &Call) -> Answer {
    let before = code(world, call)?;
    let kept = world.promotion_codes.get_mut(&call.id).ok_or_else(|| no_code(&call.id))?;
    changed(kept, &call.params, &["active"]);
    world.emit_change("promotion_code.updated", &call.id, &before);
    code(world, call)
}

pub(crate) fn codes(world: &mut World, call: &Call) -> Answer {
    let p = &call.params;
    let world = &*world;
    let coupon =
        |c: &PromotionCode| c.members.get("promotion").and_then(|v| v["coupon"].as_str()).map(str::to_owned);
    let keep = |c: &PromotionCode| {
        p.flag("active").is_none_or(|wanted| c.flag("active") == wanted)
            && p.text("code").is_none_or(|w| c.text("code").is_some_and(|t| t.eq_ignore_ascii_case(w)))
            && lists::fits(p, "coupon", coupon(c).as_deref())
            && lists::fits(p, "customer", c.text("customer"))
    };
    lists::page(&world.promotion_codes, call, CODES, keep, |c| objects::thing(world, c))
}

pub(crate) fn create_tax_rate(world: &mut World, call: &Call) -> Answer {
    let p = &call.params;
    percentage(p, "percentage")?;
    let id = ids::object("txr");
    let percentage = number(p.text("percentage"));
    let made = thing(
        &id,
        world.now(),
        json!({
            "object": "tax_rate",
            "active": p.flag("active").unwrap_or(true),
            "country": p.or_null("country"),
            "created": world.now(),
            "description": p.or_null("description"),
            "display_name": p.or_null("display_name"),
            "effective_percentage": percentage,
            "flat_amount": null,
            "inclusive": p.flag("inclusive").unwrap_or(false),
            "jurisdiction": p.or_null("jurisdiction"),
            "jurisdiction_level": null,
            "livemode": false,
            "metadata": metadata(p),
            "percentage": percentage,
            "rate_type": "percentage",
            "state": p.or_null("state"),
            "tax_type": p.or_null("tax_type"),
        }),
    );
    world.tax_rates.insert(made);
    let object = shown(world, &id)?;
    world.emit("tax_rate.created", object.clone());
    Ok(object)
}

fn no_tax_rate(id: &str) -> StripeError {
    StripeError::no_such("tax rate", id, "tax_rate")
}

pub(crate) fn tax_rate(world: &mut World, call: &Call) -> Answer {
    let found = world.tax_rates.get(&call.id).map(|c| objects::thing(world, c));
    found.ok_or_else(|| no_tax_rate(&call.id))
}

pub(crate) fn update_tax_rate(world: &mut World, call: &Call) -> Answer {
    let before = tax_rate(world, call)?;
    let kept = world.tax_rates.get_mut(&call.id).ok_or_else(|| no_tax_rate(&call.id))?;
    let names = ["active", "country", "description", "display_name", "jurisdiction", "state", "tax_type"];
    changed(kept, &call.params, &names);
    world.emit_change("tax_rate.updated", &call.id, &before);
    tax_rate(world, call)
}

pub(crate) fn tax_rates(world: &mut World, call: &Call) -> Answer {
    let p = &call.params;
    let world = &*world;
    let keep = |t: &TaxRate| {
        p.flag("active").is_none_or(|wanted| t.flag("active") == wanted)
            && p.flag("inclusive").is_none_or(|wanted| t.flag("inclusive") == wanted)
    };
    lists::page(&world.tax_rates, call, TAXES, keep, |t| objects::thing(world, t))
}

/// Makes a shipping rate of what a request says of it. Returns its id.
pub(super) fn new_shipping_rate(world: &mut World, p: &Params) -> String {
    let id = ids::object("shr");
    let fixed = p.object("fixed_amount");
    let made = thing(
        &id,
        world.now(),
        json!({
            "object": "shipping_rate",
            "active": true,
            "created": world.now(),
            "delivery_estimate": p.or_null("delivery_estimate"),
            "display_name": p.or_null("display_name"),
            "fixed_amount": { "amount": fixed.int("amount").unwrap_or(0), "currency": fixed.or_null("currency") },
            "livemode": false,
            "metadata": metadata(p),
            "tax_behavior": p.text("tax_behavior").unwrap_or("unspecified"),
            "tax_code": p.or_null("tax_code"),
            "type": "fixed_amount",
        }),
    );
    world.shipping_rates.insert(made);
    id
}

pub(crate) fn create_shipping_rate(world: &mut World, call: &Call) -> Answer {
    if !call.params.has("fixed_amount") {
        return Err(StripeError::missing("fixed_amount"));
    }
    let id = new_shipping_rate(world, &call.params);
    shown(world, &id)
}

fn no_shipping_rate(id: &str) -> StripeError {
    StripeError::no_such("shipping rate", id, "shipping_rate")
}

pub(crate) fn shipping_rate(world: &mut World, call: &Call) -> Answer {
    let found = world.shipping_rates.get(&call.id).map(|c| objects::thing(world, c));
    found.ok_or_else(|| no_shipping_rate(&call.id))
}

pub(crate) fn update_shipping_rate(world: &mut World, call: &Call) -> Answer {
    let kept = world.shipping_rates.get_mut(&call.id).ok_or_else(|| no_shipping_rate(&call.id))?;
    changed(kept, &call.params, &["active", "tax_behavior"]);
    shipping_rate(world, call)
}

pub(crate) fn shipping_rates(world: &mut World, call: &Call) -> Answer {
    let p = &call.params;
    let world = &*world;
    let currency = |r: &ShippingRate| {
        r.members.get("fixed_amount").and_then(|f| f["currency"].as_str()).map(str::to_owned)
    };
    let keep = |r: &ShippingRate| {
        p.flag("active").is_none_or(|wanted| r.flag("active") == wanted)
            && lists::fits(p, "currency", currency(r).as_deref())
    };
    lists::page(&world.shipping_rates, call, RATES, keep, |r| objects::thing(world, r))
}

/// The members of a map that a request gave, for objects that repeat them.
pub(super) fn given(p: &Params, names: &[&str]) -> Map<String, Value> {
    names.iter().filter_map(|name| Some(((*name).to_owned(), p.get(name)?.clone()))).collect()
}
