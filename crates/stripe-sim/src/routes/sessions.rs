//! `/v1/checkout/sessions`

use super::lists::{self, List};
use super::{Answer, Call, shop, shown};
use crate::error::StripeError;
use crate::model::{Discount, LineItem, PaymentStatus, Price, Product, Session, SessionStatus};
use crate::rules::{sessions, setups, totals};
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
    if mode == "subscription" || p.has("subscription_data") {
        let message = "Subscriptions are not simulated: a Checkout Session here has `mode` `payment` or `setup`. See \
                       \"What is not simulated\" in stripe-sim's README.";
        let param = if mode == "subscription" { "mode" } else { "subscription_data" };
        return Err(StripeError::invalid(param, None, message));
    }
    if p.object("invoice_creation").flag("enabled") == Some(true) {
        let message = "Invoices are not simulated: `invoice_creation[enabled]` would promise one that never comes. \
                       Leave it out; the receipt is at the charge's `receipt_url`.";
        return Err(StripeError::invalid("invoice_creation[enabled]", None, message));
    }
    let ui_mode = ui_mode(p);
    check_urls(p, &ui_mode)?;
    check_customer(world, p)?;
    let expires_at = expiry(world, p)?;
    let discounts = discounts(world, p)?;
    check_optional_items(world, p)?;
    let sets_up = mode == "setup";
    if sets_up
        && let Some(name) = ["line_items", "discounts", "shipping_options"].into_iter().find(|n| p.has(n))
    {
        let message = format!("You can not pass `{name}` in `setup` mode.");
        return Err(StripeError::invalid(name, None, message));
    }
    check_shipping(world, p)?;
    let lines = if sets_up { Vec::new() } else { lines(world, p)? };
    let currency = common_currency(&lines)?.or_else(|| p.owned("currency"));
    let shipping_rates = shipping(world, p, currency.as_deref())?;

    let id = ids::session();
    let hosted = ui_mode == "hosted_page";
    let methods = payment_methods(p, currency.as_deref());
    if methods.is_empty() {
        let message = "No valid payment method types for this Checkout Session. Please ensure that you have activated \
                       payment methods compatible with your chosen currency.";
        return Err(StripeError::invalid("", None, message));
    }
    let mut session = Session {
        created: world.now(),
        expires_at,
        mode,
        status: SessionStatus::Open,
        payment_status: PaymentStatus::Unpaid,
        currency,
        amount_subtotal: 0,
        amount_shipping: 0,
        amount_discount: 0,
        amount_tax: 0,
        tax_added: 0,
        discounts,
        shipping_rate: shipping_rates.first().cloned(),
        shipping_rates,
        setup_intent: None,
        payment_link: None,
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
        echo: echo(world, p),
        id: id.clone(),
    };
    let located =
        session.customer.as_ref().and_then(|c| world.customers.get(c)).is_some_and(|c| c.address.is_some());
    totals::recompute(world, &mut session, located);
    check_total(session.currency.as_deref(), session.amount_total())?;
    if let Some(at) = session.discounts.iter().position(|d| totals::fits(world, &session, &d.coupon).is_err())
    {
        let why = totals::fits(world, &session, &session.discounts[at].coupon).err().unwrap_or_default();
        return Err(StripeError::invalid(&format!("discounts[{at}]"), None, why));
    }
    if sets_up {
        let data = p.object("setup_intent_data");
        session.setup_intent = Some(setups::create(
            world,
            setups::NewSetup {
                customer: session.customer.clone(),
                description: data.owned("description"),
                metadata: rules::new_metadata(data.get("metadata")),
                payment_method_types: session.payment_method_types.clone(),
                ..setups::NewSetup::default()
            },
        ));
        session.payment_status = PaymentStatus::NoPaymentRequired;
    }
    world.remind(expires_at, &id);
    world.sessions.insert(session);
    shown(world, &id)
}

fn refuse_by_version(p: &Params, version: &str) -> Result<(), StripeError> {
    if p.has("payment_method_types") && version >= WITHOUT_METHOD_TYPES {
        return Err(StripeError::unknown_parameters(&["payment_method_types".to_owned()]).by_version());
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
    let hosted = ui_mode == "hosted_page";
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
        if world.customers.get(id).is_none_or(|c| c.deleted) {
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

fn discounts(world: &World, p: &Params) -> Result<Vec<Discount>, StripeError> {
    let asked = p.objects("discounts");
    if !asked.is_empty() && p.has("allow_promotion_codes") {
        let message = "You may only specify one of these parameters: allow_promotion_codes, discounts.";
        return Err(StripeError::invalid("discounts", Some("parameters_exclusive"), message));
    }
    if asked.len() > 1 {
        let message = "Only one discount is simulated for each Checkout Session.";
        return Err(StripeError::invalid("discounts", None, message));
    }
    let mut discounts = Vec::new();
    for (index, discount) in asked.iter().enumerate() {
        let at = |name: &str| format!("discounts[{index}][{name}]");
        if discount.has("coupon_data") {
            let message = "A coupon made with the session is not simulated: make it with POST /v1/coupons.";
            return Err(StripeError::invalid(&at("coupon_data"), None, message));
        }
        match (discount.owned("coupon"), discount.text("promotion_code")) {
            (Some(coupon), None) => {
                if world.coupons.get(&coupon).is_none() {
                    return Err(StripeError::no_such("coupon", &coupon, &at("coupon")).with_status(400));
                }
                discounts.push(Discount { coupon, promotion_code: None });
            }
            (None, Some(id)) => {
                let code = world.promotion_codes.get(id);
                let coupon = code.and_then(|c| c.members.get("promotion")).and_then(|v| v["coupon"].as_str());
                let missing =
                    || StripeError::no_such("promotion code", id, &at("promotion_code")).with_status(400);
                let coupon = coupon.ok_or_else(missing)?.to_owned();
                discounts.push(Discount { coupon, promotion_code: Some(id.to_owned()) });
            }
            _ => return Err(StripeError::missing(&at("coupon"))),
        }
    }
    Ok(discounts)
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

pub(super) fn lines(world: &mut World, p: &Params) -> Result<Vec<LineItem>, StripeError> {
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
    if item.has("dynamic_tax_rates") {
        let message = "Dynamic tax rates are not simulated: use `tax_rates`, or `automatic_tax`.";
        return Err(StripeError::invalid(&format!("{path}[dynamic_tax_rates]"), None, message));
    }
    for (at, id) in item.texts("tax_rates").iter().enumerate() {
        if world.tax_rates.get(id).is_none() {
            let param = format!("{path}[tax_rates][{at}]");
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

/// The price of one, in whole minor units; of a decimal price with a fraction the part before the point.
fn unit_amount(data: &Params, path: &str) -> Result<i64, StripeError> {
    match (data.int("unit_amount"), data.text("unit_amount_decimal")) {
        (Some(_), Some(_)) => {
            let message = "You may only specify one of these parameters: unit_amount, unit_amount_decimal.";
            Err(StripeError::invalid(path, Some("parameters_exclusive"), message))
        }
        (Some(amount), None) => Ok(amount),
        (None, Some(decimal)) => {
            let whole = decimal.split('.').next().and_then(|whole| whole.parse().ok());
            whole.ok_or_else(|| {
                StripeError::invalid(&format!("{path}[unit_amount_decimal]"), None, "Invalid decimal")
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
        rounded: price
            .filter(|p| p.unit_amount.is_none())
            .map(|p| totals::multiplied(&p.unit_amount_decimal, item.int("quantity").unwrap_or(1))),
        tax_rates: item.texts("tax_rates"),
        discount: 0,
        tax: 0,
        tax_added: 0,
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
            deleted: false,
        };
        let id = product.id.clone();
        world.products.insert(product);
        id
    });
    let decimal = data
        .text("unit_amount_decimal")
        .filter(|d| d.split_once('.').is_some_and(|(_, fraction)| fraction.bytes().any(|b| b != b'0')));
    let amount = unit_amount(data, "").unwrap_or(0);
    let price = Price {
        id: ids::object("price"),
        created,
        active: false,
        currency: data.owned("currency").unwrap_or_default(),
        unit_amount: decimal.is_none().then_some(amount),
        unit_amount_decimal: decimal.map_or_else(|| amount.to_string(), str::to_owned),
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

fn check_shipping(world: &World, p: &Params) -> Result<(), StripeError> {
    for (index, option) in p.objects("shipping_options").iter().enumerate() {
        let path = format!("shipping_options[{index}]");
        match (option.text("shipping_rate"), option.has("shipping_rate_data")) {
            (Some(_), true) => {
                let message =
                    "You may only specify one of these parameters: shipping_rate, shipping_rate_data.";
                return Err(StripeError::invalid(&path, Some("parameters_exclusive"), message));
            }
            (Some(id), false) if world.shipping_rates.get(id).is_none() => {
                let param = format!("{path}[shipping_rate]");
                return Err(StripeError::no_such("shipping rate", id, &param).with_status(400));
            }
            (None, false) => return Err(StripeError::missing(&format!("{path}[shipping_rate_data]"))),
            _ => {}
        }
    }
    Ok(())
}

/// The rates that the buyer may choose from; those that are described are made.
fn shipping(world: &mut World, p: &Params, currency: Option<&str>) -> Result<Vec<String>, StripeError> {
    let options = p.objects("shipping_options");
    let of = |world: &World, option: &Params| match option.text("shipping_rate") {
        Some(id) => world.shipping_rates.get(id).and_then(|r| r.members.get("fixed_amount")).cloned(),
        None => option.object("shipping_rate_data").get("fixed_amount").cloned(),
    };
    let foreign = |world: &World, option: &Params| {
        of(world, option).is_some_and(|fixed| fixed["currency"].as_str().is_some_and(|c| Some(c) != currency))
    };
    if let Some(index) = options.iter().position(|option| foreign(world, option)) {
        let message = "The currency of the shipping rate must be that of the line items.";
        return Err(StripeError::invalid(
            &format!("shipping_options[{index}][shipping_rate_data]"),
            None,
            message,
        ));
    }
    Ok(options
        .iter()
        .map(|option| match option.owned("shipping_rate") {
            Some(id) => id,
            None => shop::new_shipping_rate(world, &option.object("shipping_rate_data")),
        })
        .collect())
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
fn echo(world: &World, p: &Params) -> Map<String, Value> {
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
    put("branding_settings", objects::branding(world, &p.object("branding_settings").into_map()));
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
    let hosted = find(world, &call.id)?.ui_mode == "hosted_page";
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
                && lists::fits(p, "payment_link", s.payment_link.as_deref())
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

/// `GET /v1/payment_pages/{session}`: the page as the buyer's browser asks for it.
pub(crate) fn payment_page(world: &mut World, call: &Call) -> Answer {
    let session = find(world, &call.id)?;
    Ok(json!({
        "id": session.id,
        "object": "payment_page",
        "amount_total": session.amount_total(),
        "currency": session.currency,
        "livemode": false,
        "mode": session.mode,
        "payment_method_types": session.payment_method_types,
        "payment_status": session.payment_status,
        "session_id": session.id,
        "status": session.status,
    }))
}

/// `POST /v1/payment_pages/{session}/confirm`: pays as the page does.
pub(crate) fn confirm_page(world: &mut World, call: &Call) -> Answer {
    let p = &call.params;
    let session = find(world, &call.id)?;
    let total = session.amount_total();
    if p.int("expected_amount").is_some_and(|expected| expected != total) {
        let message =
            format!("The expected amount does not match the total of this Checkout Session: {total}.");
        return Err(StripeError::invalid("expected_amount", None, message));
    }
    let id = p.text("payment_method").unwrap_or_default();
    let Some(method) = world.methods.get(id).cloned() else {
        return Err(StripeError::no_such("PaymentMethod", id, "payment_method").with_status(400));
    };
    match sessions::pay(world, &call.id, Some(method.instrument), method.buyer) {
        Ok(sessions::PayOutcome::Declined { code, message, .. }) => {
            return Err(StripeError::card(&code, &message, Map::new()));
        }
        Ok(_) => {}
        Err(why) => return Err(StripeError::state(None, format!("This page cannot be paid: {why}."))),
    }
    payment_page(world, call)
}
