//! `/v1/checkout/sessions`

use super::lists::{self, List};
use super::{Answer, Call, shown};
use crate::error::StripeError;
use crate::model::{LineItem, PaymentStatus, Price, Product, Session, SessionStatus};
use crate::rules::sessions;
use crate::schema::Params;
use crate::versions::{NEW_UI_MODES, WITHOUT_METHOD_TYPES};
use crate::world::World;
use crate::{currency, ids, objects, rules};
use serde_json::{Map, Value, json};

const MIN_LIFE_SECONDS: i64 = 30 * 60;
const LIST: List<'static> = List { what: "checkout.session", url: "/v1/checkout/sessions" };

pub(crate) fn create(world: &mut World, call: &Call) -> Answer {
    let p = &call.params;
    refuse_by_version(p, &call.version)?;
    let mode = p.owned("mode").unwrap_or_else(|| "payment".to_owned());
    if !p.has("mode") {
        return Err(StripeError::missing("mode"));
    }
    if mode != "payment" {
        let message = format!("The simulator takes one-time payments only: `{mode}` mode is not simulated.");
        return Err(StripeError::invalid("mode", None, message));
    }
    let ui_mode = ui_mode(p);
    check_urls(p, &ui_mode)?;
    check_customer(world, p)?;
    let expires_at = expiry(world, p)?;
    check_discounts(p)?;
    check_optional_items(world, p)?;
    let lines = lines(world, p)?;
    let currency = common_currency(&lines)?.or_else(|| p.owned("currency"));
    let shipping = shipping(p, currency.as_deref())?;
    let subtotal = lines.iter().fold(0_i64, |sum, line| sum.saturating_add(line.amount()));
    check_total(currency.as_deref(), subtotal.saturating_add(shipping.amount))?;

    let id = ids::session();
    let hosted = matches!(ui_mode.as_str(), "hosted_page" | "hosted");
    let methods = payment_methods(p, currency.as_deref());
    if methods.is_empty() {
        let message = "No valid payment method types for this Checkout Session. Please ensure that you have activated \
                       payment methods compatible with your chosen currency.";
        return Err(StripeError::invalid("", None, message));
    }
    let session = Session {
        created: world.now(),
        expires_at,
        mode,
        status: SessionStatus::Open,
        payment_status: PaymentStatus::Unpaid,
        currency,
        amount_subtotal: subtotal,
        amount_shipping: shipping.amount,
        lines,
        success_url: p.owned("success_url"),
        cancel_url: p.owned("cancel_url"),
        return_url: p.owned("return_url"),
        client_secret: (!hosted).then(|| format!("{id}_secret_{}", ids::secret())),
        ui_mode,
        client_reference_id: p.owned("client_reference_id"),
        customer: p.owned("customer"),
        customer_email: p.owned("customer_email"),
        customer_details: None,
        metadata: rules::new_metadata(p.get("metadata")),
        payment_intent: None,
        intent_data: p.object("payment_intent_data").into_map(),
        payment_method_types: methods,
        locale: p.owned("locale"),
        recovered_from: None,
        echo: echo(p, &shipping),
        id: id.clone(),
    };
    world.remind(expires_at, &id);
    world.sessions.insert(session);
    shown(world, &id)
}

fn refuse_by_version(p: &Params, version: &str) -> Result<(), StripeError> {
    if p.has("payment_method_types") && version >= WITHOUT_METHOD_TYPES {
        return Err(StripeError::unknown_parameters(&["payment_method_types".to_owned()]));
    }
    let old = matches!(p.text("ui_mode"), Some("custom" | "embedded" | "hosted"));
    if old && version >= NEW_UI_MODES {
        let message = "Invalid ui_mode: must be one of elements, embedded_page, form, or hosted_page";
        return Err(StripeError::invalid("ui_mode", None, message).by_version());
    }
    Ok(())
}

/// By its present name; an older version is shown the older one.
fn ui_mode(p: &Params) -> String {
    match p.text("ui_mode") {
        None | Some("hosted") => "hosted_page",
        Some("embedded") => "embedded_page",
        Some("custom") => "elements",
        Some(other) => other,
    }
    .to_owned()
}

fn check_urls(p: &Params, ui_mode: &str) -> Result<(), StripeError> {
    let hosted = matches!(ui_mode, "hosted_page" | "hosted");
    if hosted {
        if !p.has("success_url") {
            return Err(StripeError::missing("success_url"));
        }
        if p.has("return_url") {
            let message = format!("You can not pass `return_url` when `ui_mode` is `{ui_mode}`.");
            return Err(StripeError::invalid("return_url", None, message));
        }
        return Ok(());
    }
    for name in ["success_url", "cancel_url"] {
        if p.has(name) {
            let message = format!("You can not pass `{name}` when `ui_mode` is `{ui_mode}`.");
            return Err(StripeError::invalid(name, None, message));
        }
    }
    if !p.has("return_url") && p.text("redirect_on_completion") != Some("never") {
        return Err(StripeError::missing("return_url"));
    }
    Ok(())
}

fn check_customer(world: &World, p: &Params) -> Result<(), StripeError> {
    if let Some(id) = p.text("customer") {
        if p.has("customer_email") {
            let message = "You may only specify one of these parameters: customer, customer_email.";
            return Err(StripeError::invalid("customer", Some("parameters_exclusive"), message));
        }
        if world.customers.get(id).is_none() {
            return Err(StripeError::no_such("customer", id, "customer").with_status(400));
        }
    }
    Ok(())
}

fn expiry(world: &World, p: &Params) -> Result<i64, StripeError> {
    let now = world.now();
    let Some(at) = p.int("expires_at") else { return Ok(now + sessions::MAX_LIFE_SECONDS) };
    if at < now + MIN_LIFE_SECONDS {
        let message =
            "The `expires_at` timestamp must be at least 30 minutes from Checkout Session creation.";
        return Err(StripeError::invalid("expires_at", None, message));
    }
    if at > now + sessions::MAX_LIFE_SECONDS {
        let message = "The `expires_at` timestamp must be less than 24 hours from Checkout Session creation.";
        return Err(StripeError::invalid("expires_at", None, message));
    }
    Ok(at)
}

/// There are no coupons here, so every one named is unknown.
fn check_discounts(p: &Params) -> Result<(), StripeError> {
    for (index, discount) in p.objects("discounts").iter().enumerate() {
        for (name, what) in [("coupon", "coupon"), ("promotion_code", "promotion code")] {
            if let Some(id) = discount.text(name) {
                let param = format!("discounts[{index}][{name}]");
                return Err(StripeError::no_such(what, id, &param).with_status(400));
            }
        }
    }
    Ok(())
}

fn check_optional_items(world: &World, p: &Params) -> Result<(), StripeError> {
    for (index, item) in p.objects("optional_items").iter().enumerate() {
        let id = item.text("price").unwrap_or_default();
        if world.prices.get(id).is_none() {
            let param = format!("optional_items[{index}][price]");
            return Err(StripeError::no_such("price", id, &param).with_status(400));
        }
    }
    Ok(())
}

fn lines(world: &mut World, p: &Params) -> Result<Vec<LineItem>, StripeError> {
    let items = p.objects("line_items");
    if items.is_empty() {
        return Err(StripeError::missing("line_items"));
    }
    // All are checked before any is made, so that a refused request leaves nothing behind.
    for (index, item) in items.iter().enumerate() {
        check_line(world, item, &format!("line_items[{index}]"))?;
    }
    Ok(items.iter().map(|item| line(world, item)).collect())
}

fn check_line(world: &World, item: &Params, path: &str) -> Result<(), StripeError> {
    match (item.text("price"), item.has("price_data")) {
        (Some(_), true) => {
            let message = "You may only specify one of these parameters: price, price_data.";
            return Err(StripeError::invalid(path, Some("parameters_exclusive"), message));
        }
        (None, false) => {
            let message = format!(
                "You must specify either `price` or `price_data` when creating a Checkout Session: {path} has neither."
            );
            return Err(StripeError::invalid(&format!("{path}[price]"), Some("parameter_missing"), message));
        }
        (Some(id), false) => {
            let param = format!("{path}[price]");
            let Some(price) = world.prices.get(id) else {
                return Err(StripeError::no_such("price", id, &param).with_status(400));
            };
            if !price.active {
                let message = "The price specified is inactive. This field only accepts active prices.";
                return Err(StripeError::invalid(&param, None, message));
            }
            if price.recurring.is_some() {
                let message = "You specified `payment` mode but passed a recurring price. Either switch to \
                               `subscription` mode or use only one-time prices.";
                return Err(StripeError::invalid(&param, None, message));
            }
        }
        (None, true) => check_price_data(world, &item.object("price_data"), &format!("{path}[price_data]"))?,
    }
    // There are no tax rates here, so every one named is unknown.
    for list in ["tax_rates", "dynamic_tax_rates"] {
        if let Some(id) = item.texts(list).first() {
            let param = format!("{path}[{list}][0]");
            return Err(StripeError::no_such("tax rate", id, &param).with_status(400));
        }
    }
    if !item.has("quantity") {
        let message = format!("Missing required param: {path}[quantity].");
        return Err(StripeError::invalid(&format!("{path}[quantity]"), Some("parameter_missing"), message));
    }
    if item.int("quantity") == Some(0) && !item.object("adjustable_quantity").flag("enabled").unwrap_or(false)
    {
        let message = "This value must be greater than or equal to 1.";
        return Err(StripeError::invalid(
            &format!("{path}[quantity]"),
            Some("parameter_invalid_integer"),
            message,
        ));
    }
    Ok(())
}

fn check_price_data(world: &World, data: &Params, path: &str) -> Result<(), StripeError> {
    match (data.text("product"), data.has("product_data")) {
        (Some(_), true) => {
            let message = "You may only specify one of these parameters: product, product_data.";
            return Err(StripeError::invalid(path, Some("parameters_exclusive"), message));
        }
        (None, false) => return Err(StripeError::missing(&format!("{path}[product_data]"))),
        (Some(id), false) if world.products.get(id).is_none() => {
            return Err(StripeError::no_such("product", id, &format!("{path}[product]")).with_status(400));
        }
        _ => {}
    }
    if data.has("recurring") {
        let message = "You specified `payment` mode but passed a recurring price. Either switch to `subscription` mode \
                       or use only one-time prices.";
        return Err(StripeError::invalid(&format!("{path}[recurring]"), None, message));
    }
    let amount = unit_amount(data, path)?;
    let currency = data.text("currency").unwrap_or_default();
    let param = format!("{path}[unit_amount]");
    if let Some(message) = currency::malformed(currency, amount) {
        return Err(StripeError::invalid(&param, None, message));
    }
    if amount > currency::maximum(currency) {
        let message = format!(
            "Amount must be no more than {}",
            currency::display(currency, currency::maximum(currency))
        );
        return Err(StripeError::invalid(&param, Some("amount_too_large"), message));
    }
    Ok(())
}

/// The price of one, in minor units. A decimal price must come to whole units here.
fn unit_amount(data: &Params, path: &str) -> Result<i64, StripeError> {
    match (data.int("unit_amount"), data.text("unit_amount_decimal")) {
        (Some(_), Some(_)) => {
            let message = "You may only specify one of these parameters: unit_amount, unit_amount_decimal.";
            Err(StripeError::invalid(path, Some("parameters_exclusive"), message))
        }
        (Some(amount), None) => Ok(amount),
        (None, Some(decimal)) => {
            let (whole, fraction) = decimal.split_once('.').unwrap_or((decimal, ""));
            let exact = fraction.bytes().all(|b| b == b'0');
            whole.parse::<i64>().ok().filter(|_| exact).ok_or_else(|| {
                let message = "The simulator charges whole minor units: the decimal must have no fraction.";
                StripeError::invalid(&format!("{path}[unit_amount_decimal]"), None, message)
            })
        }
        (None, None) => Err(StripeError::missing(&format!("{path}[unit_amount]"))),
    }
}

fn line(world: &mut World, item: &Params) -> LineItem {
    let price_id = match item.owned("price") {
        Some(id) => id,
        None => inline_price(world, &item.object("price_data")),
    };
    let price = world.prices.get(&price_id);
    let name = price.and_then(|p| world.products.get(&p.product)).map(|p| p.name.clone());
    LineItem {
        id: ids::object("li"),
        description: name.unwrap_or_default(),
        quantity: item.int("quantity").unwrap_or(1),
        unit_amount: price.and_then(|p| p.unit_amount).unwrap_or(0),
        currency: price.map(|p| p.currency.clone()).unwrap_or_default(),
        price: price_id,
        metadata: rules::new_metadata(item.get("metadata")),
        adjustable_quantity: Some(adjustable_quantity(item)).filter(|v| !v.is_null()),
    }
}

fn adjustable_quantity(item: &Params) -> Value {
    if !item.has("adjustable_quantity") {
        return Value::Null;
    }
    let given = item.object("adjustable_quantity");
    json!({
        "enabled": given.flag("enabled").unwrap_or(false),
        "maximum": given.or_null("maximum"),
        "minimum": given.or_null("minimum"),
    })
}

/// `price_data` makes a price and a product that are not for further use, as in Stripe.
fn inline_price(world: &mut World, data: &Params) -> String {
    let created = world.now();
    let product = data.owned("product").unwrap_or_else(|| {
        let given = data.object("product_data");
        let product = Product {
            id: ids::product(),
            created,
            updated: created,
            active: false,
            name: given.owned("name").unwrap_or_default(),
            description: given.owned("description"),
            images: given.texts("images"),
            default_price: None,
            metadata: rules::new_metadata(given.get("metadata")),
        };
        let id = product.id.clone();
        world.products.insert(product);
        id
    });
    let amount = unit_amount(data, "").unwrap_or(0);
    let price = Price {
        id: ids::object("price"),
        created,
        active: false,
        currency: data.owned("currency").unwrap_or_default(),
        unit_amount: Some(amount),
        unit_amount_decimal: amount.to_string(),
        product,
        nickname: None,
        lookup_key: None,
        tax_behavior: data.owned("tax_behavior").unwrap_or_else(|| "unspecified".to_owned()),
        recurring: None,
        metadata: crate::model::Metadata::new(),
    };
    let id = price.id.clone();
    world.prices.insert(price);
    id
}

fn common_currency(lines: &[LineItem]) -> Result<Option<String>, StripeError> {
    let Some(first) = lines.first() else { return Ok(None) };
    if lines.iter().any(|line| line.currency != first.currency) {
        let message = "The line items must all use the same currency.";
        return Err(StripeError::invalid("line_items", None, message));
    }
    Ok(Some(first.currency.clone()))
}

fn check_total(currency: Option<&str>, total: i64) -> Result<(), StripeError> {
    let Some(currency) = currency else { return Ok(()) };
    let (least, most) = (currency::minimum(currency), currency::maximum(currency));
    if total > 0 && total < least {
        let message = format!(
            "The Checkout Session's total amount due must add up to at least {} {currency}",
            currency::display(currency, least)
        );
        return Err(StripeError::invalid("", Some("amount_too_small"), message));
    }
    if total > most {
        let message = format!(
            "The Checkout Session's total amount due must be no more than {} {currency}",
            currency::display(currency, most)
        );
        return Err(StripeError::invalid("", Some("amount_too_large"), message));
    }
    Ok(())
}

/// The first shipping option counts: the simulated page does not let the buyer choose another.
#[derive(Debug)]
struct Shipping {
    amount: i64,
    options: Vec<Value>,
    cost: Value,
}

fn shipping(p: &Params, session_currency: Option<&str>) -> Result<Shipping, StripeError> {
    let mut shipping = Shipping { amount: 0, options: Vec::new(), cost: Value::Null };
    for (index, option) in p.objects("shipping_options").iter().enumerate() {
        let path = format!("shipping_options[{index}]");
        if let Some(id) = option.text("shipping_rate") {
            return Err(
                StripeError::no_such("shipping rate", id, &format!("{path}[shipping_rate]")).with_status(400)
            );
        }
        if !option.has("shipping_rate_data") {
            return Err(StripeError::missing(&format!("{path}[shipping_rate_data]")));
        }
        let fixed = option.object("shipping_rate_data").object("fixed_amount");
        let amount = fixed.int("amount").unwrap_or(0);
        if fixed.text("currency").is_some_and(|c| Some(c) != session_currency) {
            let message = "The currency of the shipping rate must be that of the line items.";
            return Err(StripeError::invalid(&format!("{path}[shipping_rate_data]"), None, message));
        }
        let rate = ids::object("shr");
        if index == 0 {
            shipping.amount = amount;
            shipping.cost = json!({
                "amount_subtotal": amount, "amount_tax": 0, "amount_total": amount, "shipping_rate": rate,
            });
        }
        shipping.options.push(json!({ "shipping_amount": amount, "shipping_rate": rate }));
    }
    Ok(shipping)
}

/// Cards always; direct debit for euro, settled later. Both can be narrowed by the caller.
fn payment_methods(p: &Params, currency: Option<&str>) -> Vec<String> {
    let offered = if currency == Some("eur") { &["card", "sepa_debit"][..] } else { &["card"][..] };
    let asked = [p.texts("payment_method_types"), p.texts("allowed_payment_method_types")];
    let excluded = p.texts("excluded_payment_method_types");
    let wanted = |method: &str| {
        asked.iter().all(|list| list.is_empty() || list.iter().any(|m| m == method))
            && !excluded.iter().any(|m| m == method)
    };
    offered.iter().filter(|m| wanted(m)).map(|m| (*m).to_owned()).collect()
}

/// Members of a session that repeat what was asked, in their shape on the wire.
fn echo(p: &Params, shipping: &Shipping) -> Map<String, Value> {
    let mut echo = Map::new();
    let same = [
        "adaptive_pricing",
        "allow_promotion_codes",
        "allowed_payment_method_types",
        "billing_address_collection",
        "customer_creation",
        "excluded_payment_method_types",
        "integration_identifier",
        "origin_context",
        "payment_method_collection",
        "phone_number_collection",
        "redirect_on_completion",
        "shipping_address_collection",
        "submit_type",
    ];
    for name in same {
        if let Some(value) = p.get(name) {
            echo.insert(name.into(), value.clone());
        }
    }
    let mut put = |name: &str, value: Value| {
        if p.has(name) {
            echo.insert(name.to_owned(), value);
        }
    };
    let tax = p.object("automatic_tax");
    let enabled = tax.flag("enabled").unwrap_or(false);
    put(
        "automatic_tax",
        json!({
            "enabled": enabled,
            "liability": if enabled { json!({ "type": "self" }) } else { Value::Null },
            "provider": if enabled { json!("stripe") } else { Value::Null },
            "status": if enabled { json!("requires_location_inputs") } else { Value::Null },
        }),
    );
    let recovery = p.object("after_expiration").object("recovery");
    put(
        "after_expiration",
        json!({
            "recovery": {
                "allow_promotion_codes": recovery.flag("allow_promotion_codes").unwrap_or(false),
                "enabled": recovery.flag("enabled").unwrap_or(false),
                "expires_at": null,
                "url": null,
            },
        }),
    );
    let consent = p.object("consent_collection");
    put(
        "consent_collection",
        json!({
            "payment_method_reuse_agreement": consent.or_null("payment_method_reuse_agreement"),
            "promotions": consent.or_null("promotions"),
            "terms_of_service": consent.or_null("terms_of_service"),
        }),
    );
    let texts = p.object("custom_text");
    put(
        "custom_text",
        json!({
            "after_submit": texts.or_null("after_submit"),
            "shipping_address": texts.or_null("shipping_address"),
            "submit": texts.or_null("submit"),
            "terms_of_service_acceptance": texts.or_null("terms_of_service_acceptance"),
        }),
    );
    put("custom_fields", p.objects("custom_fields").iter().map(custom_field).collect());
    let saved = p.object("saved_payment_method_options");
    put(
        "saved_payment_method_options",
        json!({
            "allow_redisplay_filters": saved.or_null("allow_redisplay_filters"),
            "payment_method_remove": saved.or_null("payment_method_remove"),
            "payment_method_save": saved.or_null("payment_method_save"),
        }),
    );
    let tax_ids = p.object("tax_id_collection");
    put(
        "tax_id_collection",
        json!({
            "enabled": tax_ids.flag("enabled").unwrap_or(false),
            "required": tax_ids.text("required").unwrap_or("never"),
        }),
    );
    put(
        "managed_payments",
        json!({ "enabled": p.object("managed_payments").flag("enabled").unwrap_or(false) }),
    );
    put(
        "permissions",
        json!({ "update_shipping_details": p.object("permissions").or_null("update_shipping_details") }),
    );
    put("name_collection", name_collection(&p.object("name_collection")));
    put("invoice_creation", invoice_creation(&p.object("invoice_creation")));
    put("branding_settings", objects::branding(&p.object("branding_settings").into_map()));
    put("wallet_options", p.or_null("wallet_options"));
    put("payment_method_options", method_options(p));
    let optional = |item: &Params| {
        json!({
            "adjustable_quantity": adjustable_quantity(item),
            "price": item.or_null("price"),
            "quantity": item.or_null("quantity"),
        })
    };
    put("optional_items", p.objects("optional_items").iter().map(optional).collect());
    put("shipping_options", json!(shipping.options));
    if !shipping.cost.is_null() {
        echo.insert("shipping_cost".into(), shipping.cost.clone());
    }
    echo
}

fn invoice_creation(p: &Params) -> Value {
    let mut shown = objects::no_invoice();
    shown["enabled"] = json!(p.flag("enabled").unwrap_or(false));
    for (name, value) in p.object("invoice_data").into_map() {
        shown["invoice_data"][name.as_str()] = if name == "rendering_options" && !value.is_null() {
            json!({ "amount_tax_display": value["amount_tax_display"], "template": value["template"] })
        } else {
            value
        };
    }
    shown
}

/// What is read of the options of a payment method: how cards are authenticated, and later use.
fn method_options(p: &Params) -> Value {
    let given = p.or_null("payment_method_options");
    let mut shown = json!({ "card": { "request_three_d_secure": "automatic" } });
    for (method, option) in [
        ("card", "request_three_d_secure"),
        ("card", "setup_future_usage"),
        ("card", "capture_method"),
        ("sepa_debit", "setup_future_usage"),
    ] {
        if let Some(value) = given[method][option].as_str() {
            shown[method][option] = json!(value);
        }
    }
    shown
}

fn custom_field(field: &Params) -> Value {
    let kind = field.text("type").unwrap_or("text").to_owned();
    let given = field.object(&kind);
    let input = if kind == "dropdown" {
        json!({ "default_value": given.or_null("default_value"), "options": given.or_null("options"), "value": null })
    } else {
        json!({
            "default_value": given.or_null("default_value"),
            "maximum_length": given.or_null("maximum_length"),
            "minimum_length": given.or_null("minimum_length"),
            "value": null,
        })
    };
    let mut shown = json!({
        "key": field.or_null("key"),
        "label": field.or_null("label"),
        "optional": field.flag("optional").unwrap_or(false),
        "type": kind,
    });
    shown[kind.as_str()] = input;
    shown
}

fn name_collection(p: &Params) -> Value {
    let rule = |name: &str| {
        let rule = p.object(name);
        json!({
            "enabled": rule.flag("enabled").unwrap_or(false),
            "optional": rule.flag("optional").unwrap_or(false),
        })
    };
    let names = ["business", "individual"].into_iter().filter(|name| p.has(name));
    Value::Object(names.map(|name| (name.to_owned(), rule(name))).collect())
}

fn find<'w>(world: &'w World, id: &str) -> Result<&'w Session, StripeError> {
    world.sessions.get(id).ok_or_else(|| StripeError::no_such("checkout.session", id, "session"))
}

pub(crate) fn retrieve(world: &mut World, call: &Call) -> Answer {
    Ok(objects::session(world, find(world, &call.id)?))
}

pub(crate) fn update(world: &mut World, call: &Call) -> Answer {
    let hosted = matches!(find(world, &call.id)?.ui_mode.as_str(), "hosted_page" | "hosted");
    for name in ["line_items", "shipping_options", "collected_information"] {
        if call.params.has(name) {
            let why = if hosted { "its `ui_mode` is `hosted_page`" } else { "that is not simulated" };
            let message = format!("You cannot update `{name}` on this Checkout Session: {why}.");
            return Err(StripeError::invalid(name, None, message));
        }
    }
    sessions::update(world, &call.id, &call.params)?;
    shown(world, &call.id)
}

pub(crate) fn expire(world: &mut World, call: &Call) -> Answer {
    sessions::expire(world, &call.id)?;
    shown(world, &call.id)
}

pub(crate) fn list(world: &mut World, call: &Call) -> Answer {
    let p = &call.params;
    let email = p.object("customer_details").owned("email");
    let world = &*world;
    lists::page(
        &world.sessions,
        call,
        LIST,
        |s| {
            let status = match s.status {
                SessionStatus::Open => "open",
                SessionStatus::Complete => "complete",
                SessionStatus::Expired => "expired",
            };
            let known_email =
                s.customer_details.as_ref().and_then(|d| d.email.as_ref()).or(s.customer_email.as_ref());
            lists::fits(p, "status", Some(status))
                && lists::fits(p, "payment_intent", s.payment_intent.as_deref())
                && lists::fits(p, "customer", s.customer.as_deref())
                && lists::fits(p, "payment_link", None)
                && lists::fits(p, "subscription", None)
                && lists::fits(p, "customer_account", None)
                && email.as_ref().is_none_or(|wanted| known_email == Some(wanted))
        },
        |s| objects::session(world, s),
    )
}

pub(crate) fn line_items(world: &mut World, call: &Call) -> Answer {
    let session = find(world, &call.id)?;
    let url = format!("/v1/checkout/sessions/{}/line_items", session.id);
    let list = List { what: "item", url: &url };
    lists::paged(&session.lines, &call.params, list, |l| &l.id, |l| objects::line_item(world, l))
}
