//! `expand[]`: an id in an answer is replaced by its object, along a path such as
//! `data.payment_intent.latest_charge`.

use super::error::StripeError;
use super::rules::{refunds, sessions, totals};
use super::world::World;
use serde_json::Value;

/// Stripe follows at most so many levels.
const MAX_LEVELS: usize = 4;

/// What an object's member holds: the kind of object that it may be expanded to.
fn target(kind: &str, member: &str) -> Option<&'static str> {
    Some(match (kind, member) {
        ("checkout.session", "line_items") => "list item",
        ("checkout.session", "payment_intent") | ("charge" | "refund" | "dispute", "payment_intent") => {
            "payment_intent"
        }
        ("checkout.session" | "payment_intent" | "charge" | "payment_method" | "refund", "customer") => {
            "customer"
        }
        ("payment_intent", "latest_charge") | ("refund" | "dispute", "charge") => "charge",
        ("payment_intent" | "refund", "payment_method") => "payment_method",
        ("charge", "refunds") => "list refund",
        ("charge" | "refund", "balance_transaction") | ("refund", "failure_balance_transaction") => {
            "balance_transaction"
        }
        ("balance_transaction", "source") => "any",
        ("item", "price") | ("product", "default_price") => "price",
        ("price", "product") => "product",
        // Members that Stripe expands and that are always null here.
        ("checkout.session", "setup_intent") => "setup_intent",
        ("checkout.session", "payment_link") => "payment_link",
        ("setup_intent", "customer") => "customer",
        ("setup_intent", "payment_method") => "payment_method",
        ("payment_link", "line_items") => "list item",
        ("promotion_code", "customer") => "customer",
        (
            "setup_intent",
            "latest_attempt" | "mandate" | "single_use_mandate" | "application" | "on_behalf_of",
        )
        | ("coupon", "applies_to")
        | ("promotion_code", "promotion")
        | ("shipping_rate", "tax_code")
        | ("checkout.session", "invoice" | "subscription" | "discounts")
        | ("payment_intent", "application" | "on_behalf_of" | "review" | "source" | "payment_record")
        | (
            "charge",
            "application" | "application_fee" | "on_behalf_of" | "review" | "transfer" | "source_transfer",
        )
        | ("charge", "failure_balance_transaction")
        | ("refund", "transfer_reversal" | "source_transfer_reversal")
        | ("item", "discounts" | "taxes")
        | ("checkout.session", "total_details" | "shipping_cost" | "collected_information")
        | ("checkout.session", "customer_details" | "shipping_options")
        | ("product", "tax_code")
        | ("customer", "default_source" | "sources" | "subscriptions" | "tax" | "tax_ids" | "test_clock") => {
            "any"
        }
        _ => return None,
    })
}

/// Checks a path against the kind of object that the endpoint answers, before any work is done.
///
/// # Errors
/// 400 for a path that leads nowhere.
pub(crate) fn check(kind: &'static str, path: &str) -> Result<(), StripeError> {
    let segments: Vec<&str> = path.split('.').collect();
    let refuse = |hint: &str| {
        let message = format!("This property cannot be expanded ({}).{hint}", super::error::clip(path));
        Err(StripeError::invalid("", None, message).with_param("expand"))
    };
    let levels = segments.iter().filter(|s| **s != "data").count();
    if levels > MAX_LEVELS {
        let message = format!(
            "You cannot expand more than {MAX_LEVELS} levels of a property. Property: {}",
            super::error::clip(path)
        );
        return Err(StripeError::invalid("", None, message).with_param("expand"));
    }
    let mut at = kind;
    for (index, segment) in segments.iter().enumerate() {
        if let Some(inner) = at.strip_prefix("list ") {
            if *segment != "data" {
                let hint = if index == 0 && target(inner, segment).is_some() {
                    format!(" You may want to try expanding 'data.{path}' instead.")
                } else {
                    String::new()
                };
                return refuse(&hint);
            }
            at = inner;
            continue;
        }
        if at == "any" {
            return Ok(());
        }
        match target(at, segment) {
            Some(next) => at = next,
            None => return refuse(""),
        }
    }
    Ok(())
}

/// Expands `path` in an answer.
pub(crate) fn apply(world: &World, value: &mut Value, path: &[&str]) {
    let Some((first, rest)) = path.split_first() else { return };
    match value {
        Value::Array(entries) => {
            for entry in entries {
                apply(world, entry, path);
            }
        }
        Value::Object(map) => {
            let kind = map.get("object").and_then(Value::as_str).unwrap_or_default();
            if (kind, path) == ("checkout.session", &["total_details", "breakdown"][..]) {
                let session = map.get("id").and_then(Value::as_str).and_then(|id| world.sessions.get(id));
                let breakdown = session.map(|session| totals::breakdown(world, session));
                map["total_details"]["breakdown"] = breakdown.unwrap_or(Value::Null);
                return;
            }
            if let Some(list) = includable(world, kind, first, map.get("id").and_then(Value::as_str)) {
                map.entry(*first).or_insert(list);
            }
            if let Some(member) = map.get_mut(*first) {
                if let Some(object) = member.as_str().and_then(|id| world.object(id)) {
                    *member = object;
                }
                apply(world, member, rest);
            }
        }
        _ => {}
    }
}

/// Lists that are in an answer only if they are asked for.
fn includable(world: &World, kind: &str, member: &str, id: Option<&str>) -> Option<Value> {
    match (kind, member) {
        ("checkout.session", "line_items") => Some(sessions::line_items(world, world.sessions.get(id?)?)),
        ("charge", "refunds") => Some(refunds::of_charge(world, id?)),
        _ => None,
    }
}
