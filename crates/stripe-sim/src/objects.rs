//! Objects as they look on the wire, with every member that API version 2026-10-28.endive always
//! sends (checked against the type declarations of the official Node library by the contract tests).

use super::cards::Instrument;
use super::model::{
    BalanceTransaction, Buyer, Charge, ChargeStatus, Customer, Dispute, Endpoint, Event, Intent,
    IntentStatus, LineItem, PaymentMethod, PaymentStatus, Price, Product, Refund, RefundStatus, Session,
    SessionStatus, Thing,
};
use super::versions;
use super::world::World;
use serde_json::{Map, Value, json};

/// How long evidence for a dispute may be handed in.
const EVIDENCE_SECONDS: i64 = 9 * 24 * 3600;

/// A list object.
pub(crate) fn list(url: &str, data: Vec<Value>, has_more: bool) -> Value {
    json!({ "object": "list", "url": url, "has_more": has_more, "data": data })
}

fn overlay(mut base: Value, members: &Map<String, Value>) -> Value {
    if let Some(map) = base.as_object_mut() {
        map.extend(members.iter().map(|(name, value)| (name.clone(), value.clone())));
    }
    base
}

/// What differs in `after`, as it was before: `previous_attributes`. In objects only the members that
/// differ; null for one that is new.
pub(crate) fn former(before: &Value, after: &Value) -> Map<String, Value> {
    let none = Map::new();
    let (old, new) = (before.as_object().unwrap_or(&none), after.as_object().unwrap_or(&none));
    let mut former = Map::new();
    for name in old.keys().chain(new.keys().filter(|name| !old.contains_key(*name))) {
        match (old.get(name), new.get(name)) {
            (Some(was), Some(is)) if was == is => {}
            (Some(was @ Value::Object(_)), Some(is @ Value::Object(_))) => {
                former.insert(name.clone(), Value::Object(self::former(was, is)));
            }
            (was, _) => {
                former.insert(name.clone(), was.cloned().unwrap_or(Value::Null));
            }
        }
    }
    former
}

pub(crate) fn session(world: &World, s: &Session) -> Value {
    let open = s.status == SessionStatus::Open;
    let hosted = s.ui_mode == "hosted_page" || s.ui_mode == "hosted";
    let base = json!({
        "id": s.id,
        "object": "checkout.session",
        "adaptive_pricing": { "enabled": false },
        "after_expiration": null,
        "allow_promotion_codes": null,
        "allowed_payment_method_types": null,
        "amount_subtotal": (!s.sets_up()).then_some(s.amount_subtotal),
        "amount_total": (!s.sets_up()).then(|| s.amount_total()),
        "automatic_tax": { "enabled": false, "liability": null, "provider": null, "status": null },
        "billing_address_collection": null,
        "branding_settings": branding(world, &Map::new()),
        "cancel_url": s.cancel_url,
        "client_reference_id": s.client_reference_id,
        "client_secret": s.client_secret,
        "collected_information": collected(s),
        "consent": null,
        "consent_collection": null,
        "created": s.created,
        "currency": s.currency,
        "currency_conversion": null,
        "custom_fields": [],
        "custom_text": {
            "after_submit": null, "shipping_address": null, "submit": null, "terms_of_service_acceptance": null,
        },
        "customer": s.customer,
        "customer_account": null,
        "customer_creation": "if_required",
        "customer_details": customer_details(s),
        "customer_email": s.customer_email,
        "discounts": s.discounts.iter().map(|d| json!({
            "coupon": d.promotion_code.is_none().then_some(&d.coupon),
            "promotion_code": d.promotion_code,
        })).collect::<Vec<_>>(),
        "expires_at": s.expires_at,
        "integration_identifier": null,
        "invoice": null,
        "invoice_creation": no_invoice(),
        "livemode": false,
        "locale": s.locale,
        "managed_payments": { "enabled": false },
        "metadata": s.metadata,
        "mode": s.mode,
        "origin_context": null,
        "payment_intent": s.payment_intent,
        "payment_link": s.payment_link,
        "payment_method_collection": "if_required",
        "payment_method_configuration_details": { "id": "pmc_1SimulatedConfiguration00", "parent": null },
        "payment_method_options": { "card": { "request_three_d_secure": "automatic" } },
        "payment_method_types": s.payment_method_types,
        "payment_status": s.payment_status,
        "permissions": null,
        "phone_number_collection": { "enabled": false },
        "recovered_from": s.recovered_from,
        "saved_payment_method_options": null,
        "setup_intent": s.setup_intent,
        "shipping_address_collection": null,
        "shipping_cost": s.shipping_rate.as_ref().map(|rate| json!({
            "amount_subtotal": s.amount_shipping, "amount_tax": 0, "amount_total": s.amount_shipping,
            "shipping_rate": rate,
        })),
        "shipping_options": s.shipping_rates.iter().map(|rate| json!({
            "shipping_amount": rate_amount(world, rate), "shipping_rate": rate,
        })).collect::<Vec<_>>(),
        "status": s.status,
        "submit_type": null,
        "subscription": null,
        "success_url": s.success_url,
        "total_details": {
            "amount_discount": s.amount_discount, "amount_shipping": s.amount_shipping, "amount_tax": s.amount_tax,
        },
        "ui_mode": s.ui_mode,
        "url": if open && hosted { json!(world.page_url(&s.id)) } else { Value::Null },
        "wallet_options": null,
    });
    let mut object = overlay(base, &s.echo);
    if s.status == SessionStatus::Complete && object["automatic_tax"]["enabled"] == true {
        object["automatic_tax"]["status"] = json!("complete"); // the buyer's place is known now
    }
    if let Some(buyer) = &s.customer_details {
        answered(&mut object, buyer);
    }
    if let (Some(url), Some(map)) = (&s.return_url, object.as_object_mut()) {
        map.insert("return_url".into(), json!(url));
        map.entry("redirect_on_completion").or_insert(json!("always"));
    }
    object
}

/// What the buyer answered to the shop's own questions and to its terms.
fn answered(session: &mut Value, buyer: &Buyer) {
    for field in session["custom_fields"].as_array_mut().into_iter().flatten() {
        let kind = field["type"].as_str().unwrap_or_default().to_owned();
        let answer = field["key"].as_str().and_then(|key| buyer.answers.get(key));
        if let Some(answer) = answer {
            field[kind.as_str()]["value"] = json!(answer);
        }
    }
    let asked = &session["consent_collection"];
    if asked.is_object() {
        let news = if buyer.news { "opt_in" } else { "opt_out" };
        session["consent"] = json!({
            "promotions": (asked["promotions"] == "auto").then_some(news),
            "terms_of_service": (asked["terms_of_service"] == "required").then_some("accepted"),
        });
    }
}

/// What a shipping rate costs.
pub(crate) fn rate_amount(world: &World, rate: &str) -> i64 {
    let fixed = world.shipping_rates.get(rate).and_then(|r| r.members.get("fixed_amount"));
    fixed.and_then(|f| f["amount"].as_i64()).unwrap_or(0)
}

/// An object that is kept as it looks, with what depends on the moment.
pub(crate) fn thing(world: &World, t: &Thing) -> Value {
    let shown = t.members.iter().filter(|(name, _)| !name.starts_with('_'));
    let mut members: Map<String, Value> = shown.map(|(name, value)| (name.clone(), value.clone())).collect();
    members.insert("id".into(), json!(t.id));
    if t.text("object") == Some("coupon") {
        members.insert("valid".into(), json!(crate::rules::totals::redeemable(world, t)));
    }
    Value::Object(members)
}

/// The account's own look, with what a session asked for laid over it.
pub(crate) fn branding(world: &World, asked: &Map<String, Value>) -> Value {
    let own = json!({
        "background_color": "#ffffff",
        "border_style": "rounded",
        "button_color": world.account.color,
        "display_name": world.account.name,
        "font_family": "default",
        "icon": null,
        "logo": null,
    });
    let asked = asked.iter().filter(|(_, value)| !value.is_null());
    overlay(own, &asked.map(|(name, value)| (name.clone(), value.clone())).collect())
}

pub(crate) fn no_invoice() -> Value {
    json!({
        "enabled": false,
        "invoice_data": {
            "account_tax_ids": null, "custom_fields": null, "description": null, "footer": null, "issuer": null,
            "metadata": {}, "rendering_options": null,
        },
    })
}

fn collected(s: &Session) -> Value {
    match &s.customer_details {
        Some(buyer) => {
            json!({ "business_name": null, "individual_name": null, "shipping_details": buyer.shipping })
        }
        None => Value::Null,
    }
}

fn customer_details(s: &Session) -> Value {
    let phone = s.customer_details.as_ref().and_then(|buyer| buyer.phone.as_ref());
    let details = |email: &Option<String>, name: &Option<String>, address: Value, done: bool| {
        json!({
            "address": address,
            "business_name": null,
            "email": email,
            "individual_name": null,
            "name": name,
            "phone": phone,
            "tax_exempt": "none",
            "tax_ids": if done { json!([]) } else { Value::Null },
        })
    };
    match (&s.customer_details, &s.customer_email) {
        (Some(buyer), _) => details(&buyer.email, &buyer.name, address(buyer), true),
        (None, Some(email)) => details(&Some(email.clone()), &None, Value::Null, false),
        (None, None) => Value::Null,
    }
}

fn address(buyer: &Buyer) -> Value {
    json!({
        "city": null, "country": buyer.country, "line1": null, "line2": null, "postal_code": null, "state": null,
    })
}

pub(crate) fn line_item(world: &World, item: &LineItem) -> Value {
    json!({
        "id": item.id,
        "object": "item",
        "adjustable_quantity": item.adjustable_quantity,
        "amount_discount": item.discount,
        "amount_subtotal": item.amount(),
        "amount_tax": item.tax,
        "amount_total": item.total(),
        "currency": item.currency,
        "description": item.description,
        "metadata": item.metadata,
        "price": world.prices.get(&item.price).map(price),
        "quantity": item.quantity,
    })
}

pub(crate) fn price(p: &Price) -> Value {
    json!({
        "id": p.id,
        "object": "price",
        "active": p.active,
        "billing_scheme": "per_unit",
        "created": p.created,
        "currency": p.currency,
        "custom_unit_amount": null,
        "livemode": false,
        "lookup_key": p.lookup_key,
        "metadata": p.metadata,
        "nickname": p.nickname,
        "product": p.product,
        "recurring": p.recurring,
        "tax_behavior": p.tax_behavior,
        "tiers_mode": null,
        "transform_quantity": null,
        "type": if p.recurring.is_some() { "recurring" } else { "one_time" },
        "unit_amount": p.unit_amount,
        "unit_amount_decimal": p.unit_amount_decimal,
    })
}

pub(crate) fn product(p: &Product) -> Value {
    if p.deleted {
        return json!({ "id": p.id, "object": "product", "deleted": true });
    }
    json!({
        "id": p.id,
        "object": "product",
        "active": p.active,
        "created": p.created,
        "default_price": p.default_price,
        "description": p.description,
        "images": p.images,
        "livemode": false,
        "marketing_features": [],
        "metadata": p.metadata,
        "name": p.name,
        "package_dimensions": null,
        "shippable": null,
        "statement_descriptor": null,
        "tax_code": null,
        "tax_details": null,
        "type": "service",
        "unit_label": null,
        "updated": p.updated,
        "url": null,
    })
}

pub(crate) fn customer(c: &Customer) -> Value {
    if c.deleted {
        return json!({ "id": c.id, "object": "customer", "deleted": true });
    }
    let base = json!({
        "id": c.id,
        "object": "customer",
        "address": c.address,
        "balance": 0,
        "created": c.created,
        "currency": null,
        "customer_account": null,
        "default_source": null,
        "delinquent": false,
        "description": c.description,
        "discount": null,
        "email": c.email,
        "invoice_prefix": null,
        "invoice_settings": {
            "custom_fields": null, "default_payment_method": null, "footer": null, "rendering_options": null,
        },
        "livemode": false,
        "metadata": c.metadata,
        "name": c.name,
        "next_invoice_sequence": 1,
        "phone": c.phone,
        "preferred_locales": [],
        "shipping": null,
        "tax_exempt": "none",
        "test_clock": null,
    });
    overlay(base, &c.echo)
}

pub(crate) fn intent(i: &Intent) -> Value {
    let capturable = if i.status == IntentStatus::RequiresCapture { i.amount } else { 0 };
    let base = json!({
        "id": i.id,
        "object": "payment_intent",
        "allowed_payment_method_types": null,
        "amount": i.amount,
        "amount_capturable": capturable,
        "amount_details": { "tip": {} },
        "amount_received": i.amount_received,
        "application": null,
        "application_fee_amount": null,
        "automatic_payment_methods": i.automatic_payment_methods,
        "canceled_at": i.canceled_at,
        "cancellation_reason": i.cancellation_reason,
        "capture_method": i.capture_method,
        "client_secret": i.client_secret,
        "confirmation_method": "automatic",
        "created": i.created,
        "currency": i.currency,
        "customer": i.customer,
        "customer_account": null,
        "description": i.description,
        "excluded_payment_method_types": null,
        "last_payment_error": i.last_payment_error,
        "latest_charge": i.latest_charge,
        "livemode": false,
        "managed_payments": { "enabled": false },
        "metadata": i.metadata,
        "next_action": i.next_action,
        "on_behalf_of": null,
        "payment_method": i.payment_method,
        "payment_method_configuration_details": null,
        "payment_method_options": intent_options(&i.payment_method_types),
        "payment_method_types": i.payment_method_types,
        "payment_record": null,
        "processing": null,
        "receipt_email": null,
        "review": null,
        "setup_future_usage": null,
        "shipping": null,
        "source": null,
        "statement_descriptor": null,
        "statement_descriptor_suffix": null,
        "status": i.status,
        "transfer_data": null,
        "transfer_group": null,
    });
    overlay(base, &i.echo)
}

fn intent_options(methods: &[String]) -> Value {
    let mut options = Map::new();
    for method in methods {
        match method.as_str() {
            "card" => {
                let card = json!({
                    "installments": null, "mandate_options": null, "network": null,
                    "request_three_d_secure": "automatic",
                });
                options.insert("card".into(), card);
            }
            "sepa_debit" => {
                options.insert("sepa_debit".into(), json!({}));
            }
            _ => {}
        }
    }
    Value::Object(options)
}

fn billing(buyer: &Buyer) -> Value {
    json!({ "address": address(buyer), "email": buyer.email, "name": buyer.name, "phone": null, "tax_id": null })
}

pub(crate) fn charge(world: &World, c: &Charge) -> Value {
    let failed = c.status == ChargeStatus::Failed;
    let paid = c.status == ChargeStatus::Succeeded;
    let base = json!({
        "id": c.id,
        "object": "charge",
        "amount": c.amount,
        "amount_captured": c.amount_captured,
        "amount_refunded": c.amount_refunded,
        "application": null,
        "application_fee": null,
        "application_fee_amount": null,
        "balance_transaction": c.balance_transaction,
        "billing_details": billing(&c.buyer),
        "calculated_statement_descriptor": "SIMULATED STRIPE",
        "captured": c.captured,
        "created": c.created,
        "currency": c.currency,
        "customer": c.customer,
        "description": c.description,
        "disputed": c.disputed,
        "failure_balance_transaction": null,
        "failure_code": c.failure.as_ref().map(|f| &f.code),
        "failure_message": c.failure.as_ref().map(|f| &f.message),
        "fraud_details": {},
        "livemode": false,
        "metadata": c.metadata,
        "on_behalf_of": null,
        "outcome": outcome(c),
        "paid": paid,
        "payment_intent": c.payment_intent,
        "payment_method": c.payment_method,
        "payment_method_details": method_details(c),
        "radar_options": {},
        "receipt_email": null,
        "receipt_number": null,
        "receipt_url": if failed { Value::Null } else { json!(format!("{}/receipts/{}", world.public_url, c.id)) },
        "refunded": c.amount_refunded > 0 && c.amount_refunded >= c.amount_captured,
        "review": null,
        "shipping": null,
        "source": null,
        "source_transfer": null,
        "statement_descriptor": null,
        "statement_descriptor_suffix": null,
        "status": c.status,
        "transfer_data": null,
        "transfer_group": null,
    });
    overlay(base, &c.echo)
}

fn outcome(c: &Charge) -> Value {
    let risk = matches!(c.instrument, Instrument::Card(_));
    let mut outcome = match &c.failure {
        Some(failure) => json!({
            "advice_code": "try_again_later",
            "network_advice_code": null,
            "network_decline_code": "01",
            "network_status": "declined_by_network",
            "reason": failure.decline_code.as_ref().unwrap_or(&failure.code),
            "seller_message": "The bank did not return any further details with this decline.",
            "type": "issuer_declined",
        }),
        None => json!({
            "advice_code": null,
            "network_advice_code": null,
            "network_decline_code": null,
            "network_status": "approved_by_network",
            "reason": null,
            "seller_message": "Payment complete.",
            "type": "authorized",
        }),
    };
    if let (true, Some(map)) = (risk, outcome.as_object_mut()) {
        map.insert("risk_level".into(), json!("normal"));
        map.insert("risk_score".into(), json!(16));
    }
    outcome
}

fn method_details(c: &Charge) -> Value {
    match &c.instrument {
        Instrument::Card(card) => {
            let passed =
                if c.failure.as_ref().is_some_and(|f| f.code == "incorrect_cvc") { "fail" } else { "pass" };
            let three_d_secure = c.authenticated.then(|| {
                json!({
                    "authentication_flow": "challenge",
                    "electronic_commerce_indicator": "05",
                    "exemption_indicator": null,
                    "result": "authenticated",
                    "result_reason": null,
                    "transaction_id": format!("3ds_{}", c.id),
                    "version": "2.2.0",
                })
            });
            json!({
                "type": "card",
                "card": {
                    "amount_authorized": if c.failure.is_some() { Value::Null } else { json!(c.amount) },
                    "authorization_code": if c.failure.is_some() { Value::Null } else { json!("123456") },
                    "brand": card.brand(),
                    "checks": {
                        "address_line1_check": null, "address_postal_code_check": null, "cvc_check": passed,
                    },
                    "country": "US",
                    "electronic_commerce_indicator": if c.authenticated { json!("05") } else { Value::Null },
                    "exp_month": card.exp_month,
                    "exp_year": card.exp_year,
                    "extended_authorization": { "status": "disabled" },
                    "fingerprint": fingerprint(&card.number),
                    "funding": card.funding(),
                    "incremental_authorization": { "status": "unavailable" },
                    "installments": null,
                    "last4": c.instrument.last4(),
                    "mandate": null,
                    "multicapture": { "status": "unavailable" },
                    "network": card.brand(),
                    "network_token": { "used": false },
                    "network_transaction_id": "104102978678771",
                    "overcapture": { "maximum_amount_capturable": c.amount, "status": "unavailable" },
                    "regulated_status": "unregulated",
                    "three_d_secure": three_d_secure,
                    "transaction_link_id": null,
                    "wallet": null,
                },
            })
        }
        Instrument::Sepa(account) => json!({
            "type": "sepa_debit",
            "sepa_debit": {
                "bank_code": account.iban.get(4..9),
                "branch_code": "",
                "country": account.iban.get(0..2),
                "fingerprint": fingerprint(&account.iban),
                "last4": c.instrument.last4(),
                "mandate": format!("mandate_{}", c.id.trim_start_matches("ch_")),
            },
        }),
    }
}

/// The same number always has the same fingerprint, as in Stripe.
fn fingerprint(number: &str) -> String {
    use sha2::{Digest, Sha256};
    hex::encode(&Sha256::digest(number.as_bytes())[..8])
}

pub(crate) fn payment_method(m: &PaymentMethod) -> Value {
    let mut object = json!({
        "id": m.id,
        "object": "payment_method",
        "allow_redisplay": "limited",
        "billing_details": billing(&m.buyer),
        "created": m.created,
        "customer": m.customer,
        "customer_account": null,
        "livemode": false,
        "metadata": m.metadata,
        "type": m.instrument.method_type(),
    });
    let details = match &m.instrument {
        Instrument::Card(card) => json!({
            "brand": card.brand(),
            "checks": { "address_line1_check": null, "address_postal_code_check": null, "cvc_check": "pass" },
            "country": "US",
            "display_brand": card.brand(),
            "exp_month": card.exp_month,
            "exp_year": card.exp_year,
            "fingerprint": fingerprint(&card.number),
            "funding": card.funding(),
            "generated_from": null,
            "last4": m.instrument.last4(),
            "networks": { "available": [card.brand()], "preferred": null },
            "regulated_status": "unregulated",
            "three_d_secure_usage": { "supported": true },
            "wallet": null,
        }),
        Instrument::Sepa(account) => json!({
            "bank_code": account.iban.get(4..9),
            "branch_code": "",
            "country": account.iban.get(0..2),
            "fingerprint": fingerprint(&account.iban),
            "generated_from": { "charge": null, "setup_attempt": null },
            "last4": m.instrument.last4(),
        }),
    };
    if let Some(map) = object.as_object_mut() {
        map.insert(m.instrument.method_type().into(), details);
    }
    object
}

pub(crate) fn refund(r: &Refund) -> Value {
    let mut object = json!({
        "id": r.id,
        "object": "refund",
        "amount": r.amount,
        "balance_transaction": r.balance_transaction,
        "charge": r.charge,
        "created": r.created,
        "currency": r.currency,
        "customer": null,
        "customer_account": null,
        "destination_details": destination(r),
        "metadata": r.metadata,
        "payment_intent": r.payment_intent,
        "payment_method": r.payment_method,
        "reason": r.reason,
        "receipt_number": null,
        "source_transfer_reversal": null,
        "status": r.status,
        "transfer_reversal": null,
    });
    if let Some(map) = object.as_object_mut() {
        if let Some(reason) = &r.failure_reason {
            map.insert("failure_reason".into(), json!(reason));
            map.insert("failure_balance_transaction".into(), json!(r.failure_balance_transaction));
        }
        if r.status == RefundStatus::Pending {
            map.insert("pending_reason".into(), json!("processing"));
        }
    }
    object
}

fn destination(r: &Refund) -> Value {
    if r.method_type != "card" {
        return json!({ "type": r.method_type });
    }
    let mut card = json!({ "reference_type": "acquirer_reference_number", "type": "refund" });
    if let Some(map) = card.as_object_mut() {
        map.insert(
            "reference_status".into(),
            json!(if r.reference.is_some() { "available" } else { "pending" }),
        );
        if let Some(reference) = &r.reference {
            map.insert("reference".into(), json!(reference));
        }
    }
    json!({ "card": card, "type": "card" })
}

/// Names of the evidence that a dispute always lists.
pub(crate) const EVIDENCE: [&str; 27] = [
    "access_activity_log",
    "billing_address",
    "cancellation_policy",
    "cancellation_policy_disclosure",
    "cancellation_rebuttal",
    "customer_communication",
    "customer_email_address",
    "customer_name",
    "customer_purchase_ip",
    "customer_signature",
    "duplicate_charge_documentation",
    "duplicate_charge_explanation",
    "duplicate_charge_id",
    "product_description",
    "receipt",
    "refund_policy",
    "refund_policy_disclosure",
    "refund_refusal_explanation",
    "service_date",
    "service_documentation",
    "shipping_address",
    "shipping_carrier",
    "shipping_date",
    "shipping_documentation",
    "shipping_tracking_number",
    "uncategorized_file",
    "uncategorized_text",
];

pub(crate) fn dispute(world: &World, d: &Dispute) -> Value {
    let mut evidence: Map<String, Value> =
        EVIDENCE.iter().map(|name| ((*name).to_owned(), Value::Null)).collect();
    evidence.insert("enhanced_evidence".into(), json!({}));
    evidence.extend(d.evidence.iter().map(|(name, value)| (name.clone(), value.clone())));
    let due = d.created.saturating_add(EVIDENCE_SECONDS);
    let transactions: Vec<Value> =
        d.balance_transactions.iter().filter_map(|id| world.transactions.get(id)).map(transaction).collect();
    json!({
        "id": d.id,
        "object": "dispute",
        "amount": d.amount,
        "balance_transactions": transactions,
        "charge": d.charge,
        "created": d.created,
        "currency": d.currency,
        "enhanced_eligibility_types": [],
        "evidence": evidence,
        "evidence_details": {
            "due_by": due,
            "enhanced_eligibility": {},
            "has_evidence": !d.evidence.is_empty(),
            "past_due": !d.status.closed() && world.now() > due,
            "submission_count": d.submissions,
            "submission_method": if d.submissions > 0 { "manual" } else { "not_submitted" },
        },
        "intended_submission_method": null,
        "is_charge_refundable": d.status.inquiry() && !d.status.closed(),
        "livemode": false,
        "metadata": d.metadata,
        "network_reason_code": "10",
        "payment_intent": d.payment_intent,
        "payment_method_details": {
            "type": "card",
            "card": {
                "brand": d.brand,
                "case_type": if d.status.inquiry() { "inquiry" } else { "chargeback" },
                "network": d.brand,
                "network_reason_code": "10",
            },
        },
        "reason": d.reason,
        "status": d.status,
    })
}

pub(crate) fn transaction(t: &BalanceTransaction) -> Value {
    let fees = if t.fee == 0 {
        json!([])
    } else {
        json!([{
            "amount": t.fee, "application": null, "currency": t.currency, "description": "Stripe processing fees",
            "type": "stripe_fee",
        }])
    };
    json!({
        "id": t.id,
        "object": "balance_transaction",
        "amount": t.amount,
        "available_on": t.available_on,
        "balance_type": "payments",
        "created": t.created,
        "currency": t.currency,
        "description": t.description,
        "exchange_rate": null,
        "fee": t.fee,
        "fee_details": fees,
        "net": t.amount.saturating_sub(t.fee),
        "reporting_category": t.reporting_category,
        "source": t.source,
        "status": "available",
        "type": t.kind,
    })
}

/// An endpoint. The secret is sent once, in the answer that creates it.
pub(crate) fn endpoint(e: &Endpoint, with_secret: bool) -> Value {
    let mut object = json!({
        "id": e.id,
        "object": "webhook_endpoint",
        "api_version": e.api_version,
        "application": null,
        "created": e.created,
        "description": e.description,
        "enabled_events": e.enabled_events,
        "livemode": false,
        "metadata": e.metadata,
        "status": if e.enabled { "enabled" } else { "disabled" },
        "url": e.url,
    });
    if let (true, Some(map)) = (with_secret, object.as_object_mut()) {
        map.insert("secret".into(), json!(e.secrets.first()));
    }
    object
}

/// An event as of the version that was the account's when it happened.
pub(crate) fn event(world: &World, e: &Event) -> Value {
    event_for(world, e, &e.api_version)
}

/// An event as an endpoint of that version is sent it.
pub(crate) fn event_for(world: &World, e: &Event, version: &str) -> Value {
    let mut object = e.snapshot();
    let kind = object["object"].clone();
    versions::shape(world, &mut object, version);
    let mut data = json!({ "object": object });
    if let (Some(previous), Some(map)) = (&e.previous, data.as_object_mut()) {
        let mut previous = previous.clone();
        if version < versions::NEWEST && previous.is_object() {
            // What was is a part of the object, so it is read as one; members that the older look adds are no news.
            previous["object"] = kind;
            let told: Vec<String> =
                previous.as_object().into_iter().flatten().map(|(n, _)| n.clone()).collect();
            versions::shape(world, &mut previous, version);
            if let Some(members) = previous.as_object_mut() {
                members.retain(|name, _| name != "object" && told.contains(name));
            }
        }
        map.insert("previous_attributes".into(), previous);
    }
    json!({
        "id": e.id,
        "object": "event",
        "api_version": version,
        "created": e.created,
        "data": data,
        "livemode": false,
        "pending_webhooks": world.pending_webhooks(&e.id),
        "request": { "id": e.request, "idempotency_key": e.idempotency_key },
        "type": e.kind,
    })
}

/// What the account holds: what came in more than two days ago is available, the rest pending.
pub(crate) fn balance(world: &World) -> Value {
    use std::collections::BTreeMap;
    let now = world.now();
    let mut available: BTreeMap<&str, i64> = BTreeMap::from([("eur", 0)]);
    let mut pending: BTreeMap<&str, i64> = BTreeMap::from([("eur", 0)]);
    for t in world.transactions.iter() {
        let pot = if t.available_on <= now { &mut available } else { &mut pending };
        let sum = pot.entry(&t.currency).or_default();
        *sum = sum.saturating_add(t.amount).saturating_sub(t.fee);
    }
    let pots = |sums: &BTreeMap<&str, i64>| -> Vec<Value> {
        let pot = |(currency, amount): (&&str, &i64)| json!({ "amount": amount, "currency": currency, "source_types": { "card": amount } });
        sums.iter().map(pot).collect()
    };
    json!({
        "object": "balance",
        "available": pots(&available),
        "livemode": false,
        "pending": pots(&pending),
        "refund_and_dispute_prefunding": { "available": pots(&BTreeMap::from([("eur", 0)])), "pending": pots(&BTreeMap::from([("eur", 0)])) },
    })
}

/// `paid` and the like, as text.
pub(crate) fn payment_status(status: PaymentStatus) -> &'static str {
    match status {
        PaymentStatus::Paid => "paid",
        PaymentStatus::Unpaid => "unpaid",
        PaymentStatus::NoPaymentRequired => "no_payment_required",
    }
}
