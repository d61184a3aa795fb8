//! Sessions from creation to their end, and the page that pays them.

use super::support::{Api, NOON, SESSION, id, kinds, start, start_with};
use super::support::{Inbox, SECRET};
use serde_json::{Value, json};
use std::time::Duration;
use stripe_sim::{NotPayable, PayOutcome, SimConfig};

const PAID: [&str; 5] = [
    "payment_intent.created",
    "charge.succeeded",
    "payment_intent.succeeded",
    "checkout.session.completed",
    "charge.updated",
];

#[tokio::test]
async fn a_new_session_is_open_unpaid_and_has_an_address() {
    let (sim, api) = start().await;
    let session = api.session("&client_reference_id=b_1&metadata[booking]=b_1").await;
    assert_eq!(session["status"], "open");
    assert_eq!(session["payment_status"], "unpaid");
    assert_eq!(session["payment_intent"], Value::Null);
    assert_eq!((&session["amount_subtotal"], &session["amount_total"]), (&json!(2000), &json!(2000)));
    assert_eq!(session["expires_at"], NOON + 24 * 3600);
    assert_eq!(session["metadata"], json!({ "booking": "b_1" }));
    let port = sim.addr().port();
    assert_eq!(session["url"], format!("http://localhost:{port}/c/pay/{}", id(&session)));
    assert!(kinds(&sim).is_empty(), "creating a session is no event");
}

#[tokio::test]
async fn a_session_repeats_what_was_asked_of_it() {
    let (sim, api) = start().await;
    let price = id(&api.post("/v1/prices", "currency=eur&unit_amount=300&product_data[name]=Tea").await.ok());
    let session = api
        .session(&format!(
            "&invoice_creation[enabled]=false&invoice_creation[invoice_data][footer]=F\
             &branding_settings[display_name]=Shop&wallet_options[link][display]=never\
             &payment_method_options[card][request_three_d_secure]=any&automatic_tax[enabled]=true\
             &optional_items[0][price]={price}&optional_items[0][quantity]=2"
        ))
        .await;
    assert_eq!(session["invoice_creation"]["enabled"], false);
    assert_eq!(session["invoice_creation"]["invoice_data"]["footer"], "F");
    assert_eq!(session["branding_settings"]["display_name"], "Shop");
    assert_eq!(session["branding_settings"]["font_family"], "default");
    assert_eq!(session["wallet_options"], json!({ "link": { "display": "never" } }));
    assert_eq!(session["payment_method_options"], json!({ "card": { "request_three_d_secure": "any" } }));
    let optional = json!([{ "adjustable_quantity": null, "price": price, "quantity": 2 }]);
    assert_eq!(session["optional_items"], optional);
    let path = format!("/v1/checkout/sessions/{}?expand[]=total_details.breakdown", id(&session));
    let breakdown = api.get(&path).await.ok()["total_details"]["breakdown"].clone();
    assert_eq!(breakdown, json!({ "discounts": [], "taxes": [] }));
    assert_eq!(session["automatic_tax"]["status"], "requires_location_inputs");
    let _ = sim.pay(&id(&session), "pm_card_visa").await.unwrap();
    assert_eq!(sim.object(&id(&session)).unwrap()["automatic_tax"]["status"], "complete");
}

#[tokio::test]
async fn a_card_that_succeeds_completes_the_session_and_tells_in_stripes_order() {
    let (sim, api) = start().await;
    let session = api.session("&payment_intent_data[metadata][booking]=b_1&metadata[only]=here").await;
    assert_eq!(sim.pay(&id(&session), "4242 4242 4242 4242").await, Ok(PayOutcome::Paid));
    assert_eq!(kinds(&sim), PAID);

    let paid = api
        .get(&format!("/v1/checkout/sessions/{}?expand[]=payment_intent.latest_charge", id(&session)))
        .await
        .ok();
    assert_eq!(
        (&paid["status"], &paid["payment_status"], &paid["url"]),
        (&json!("complete"), &json!("paid"), &Value::Null)
    );
    let intent = &paid["payment_intent"];
    assert_eq!((&intent["status"], &intent["amount_received"]), (&json!("succeeded"), &json!(2000)));
    assert_eq!(intent["metadata"], json!({ "booking": "b_1" }), "the session's own metadata is not copied");
    assert_eq!(intent["latest_charge"]["metadata"], json!({ "booking": "b_1" }));
    assert_eq!(intent["latest_charge"]["paid"], true);
}

#[tokio::test]
async fn events_of_one_confirmation_share_its_key_and_the_session_has_none() {
    let (sim, api) = start().await;
    let session = api.session("").await;
    let _ = sim.pay(&id(&session), "pm_card_visa").await.unwrap();
    let events = sim.events();
    let key = |n: usize| events[n]["request"]["idempotency_key"].clone();
    assert!(key(0).is_string() && key(0) == key(1) && key(1) == key(2));
    assert_eq!(events[3]["request"], json!({ "id": null, "idempotency_key": null }));
    assert!(events.iter().all(|e| e["api_version"] == "2026-10-28.endive"));
}

#[tokio::test]
async fn a_declined_card_leaves_the_session_open_for_another_try() {
    let (sim, api) = start().await;
    let session = api.session("").await;
    let outcome = sim.pay(&id(&session), "4000000000009995").await.unwrap();
    let PayOutcome::Declined { code, decline_code, message } = outcome else { panic!("{outcome:?}") };
    assert_eq!((code.as_str(), decline_code.as_deref()), ("card_declined", Some("insufficient_funds")));
    assert_eq!(message, "Your card has insufficient funds.");
    assert_eq!(kinds(&sim), ["payment_intent.created", "charge.failed", "payment_intent.payment_failed"]);
    assert_eq!(sim.object(&id(&session)).unwrap()["status"], "open");

    assert_eq!(sim.pay(&id(&session), "pm_card_visa").await, Ok(PayOutcome::Paid));
    assert_eq!(kinds(&sim).iter().filter(|k| *k == "payment_intent.created").count(), 1);
    assert_eq!(sim.pay(&id(&session), "pm_card_visa").await, Err(NotPayable::Complete));
}

#[tokio::test]
async fn the_page_pays_waits_for_the_webhook_and_returns_to_the_shop() {
    let inbox = Inbox::open().await;
    let (sim, api) = start_with(SimConfig {
        clock: super::support::frozen(),
        webhooks: vec![inbox.target()],
        ..SimConfig::default()
    })
    .await;
    let session = api.session("").await;
    let path = format!("/c/pay/{}", id(&session));
    let form = "email=ada%40example.com&name=Ada&number=4242+4242+4242+4242&expiry=12%2F40&cvc=123";
    let answer = api.page(&path, form).await;
    assert_eq!(answer.status, 303, "{}", answer.text());
    assert_eq!(answer.header("location").unwrap(), format!("https://shop.example/ok?s={}", id(&session)));
    assert!(inbox.kinds().contains(&"checkout.session.completed".to_owned()));
    assert!(inbox.received().iter().all(|r| r.verifies(SECRET, NOON)));
    let details = sim.object(&id(&session)).unwrap()["customer_details"].clone();
    assert_eq!((&details["email"], &details["name"]), (&json!("ada@example.com"), &json!("Ada")));
}

#[tokio::test]
async fn a_session_expires_by_the_clock_and_then_has_no_address() {
    let (sim, api) = start().await;
    let session = api.session(&format!("&expires_at={}", NOON + 1800)).await;
    sim.clock().advance(Duration::from_secs(1799));
    assert_eq!(sim.object(&id(&session)).unwrap()["status"], "open");
    sim.clock().advance(Duration::from_secs(1));
    let expired = sim.object(&id(&session)).unwrap();
    assert_eq!((&expired["status"], &expired["url"]), (&json!("expired"), &Value::Null));
    assert_eq!(kinds(&sim), ["checkout.session.expired"]);
    assert_eq!(sim.pay(&id(&session), "pm_card_visa").await, Err(NotPayable::Expired));
}

async fn refused(api: &Api, more: &str) -> (u16, String, String, String) {
    let got = api.post("/v1/checkout/sessions", &format!("{SESSION}{more}")).await;
    let (status, kind, code, param) = got.refusal();
    assert_eq!(kind, "invalid_request_error", "{more}");
    (status, code.to_owned(), param.to_owned(), got.message().to_owned())
}

#[tokio::test]
async fn what_stripe_refuses_is_refused_with_its_code_and_parameter() {
    let (_sim, api) = start().await;
    let long = "x".repeat(201);
    for (more, code, param) in [
        ("&foo=1".to_owned(), "parameter_unknown", "foo"),
        (
            "&line_items[0][price_data][foo]=1".to_owned(),
            "parameter_unknown",
            "line_items[0][price_data][foo]",
        ),
        ("&payment_method_types[0]=card".to_owned(), "parameter_unknown", "payment_method_types"),
        (format!("&client_reference_id={long}"), "", "client_reference_id"),
        ("&customer_email=nobody".to_owned(), "email_invalid", "customer_email"),
        ("&cancel_url=nowhere".to_owned(), "url_invalid", "cancel_url"),
        ("&success_url=".to_owned(), "parameter_invalid_empty", "success_url"),
        ("&line_items[0][quantity]=two".to_owned(), "parameter_invalid_integer", "line_items[0][quantity]"),
        ("&line_items[0][price_data][unit_amount]=49".to_owned(), "amount_too_small", ""),
        (
            "&line_items[0][price_data][unit_amount]=100000000".to_owned(),
            "amount_too_large",
            "line_items[0][price_data][unit_amount]",
        ),
        ("&line_items[0][price_data][currency]=xxx".to_owned(), "", "line_items[0][price_data][currency]"),
        (format!("&expires_at={}", NOON + 1799), "", "expires_at"),
        (format!("&expires_at={}", NOON + 86_401), "", "expires_at"),
        (format!("&metadata[k]={}", "v".repeat(501)), "", "metadata"),
        (format!("&metadata[{}]=v", "k".repeat(41)), "", "metadata"),
        ("&customer=cus_nobody".to_owned(), "resource_missing", "customer"),
        ("&expand[]=nonsense".to_owned(), "", "expand"),
        ("&mode=loan".to_owned(), "", "mode"),
        ("&mode=subscription".to_owned(), "", "mode"),
        ("&discounts[0][coupon]=NONE".to_owned(), "resource_missing", "discounts[0][coupon]"),
        ("&allow_promotion_codes=maybe".to_owned(), "", "allow_promotion_codes"),
        ("&automatic_tax=1".to_owned(), "", "automatic_tax"),
    ] {
        let (status, got_code, got_param, message) = refused(&api, &more).await;
        assert_eq!((status, got_code.as_str(), got_param.as_str()), (400, code, param), "{more}: {message}");
    }
    let missing = api.post("/v1/checkout/sessions", "mode=payment").await;
    assert_eq!(missing.refusal(), (400, "invalid_request_error", "parameter_missing", "success_url"));
    let unknown = api.get("/v1/checkout/sessions/cs_test_nope").await;
    assert_eq!(unknown.refusal(), (404, "invalid_request_error", "resource_missing", "session"));
    assert_eq!(unknown.message(), "No such checkout.session: 'cs_test_nope'");
}

#[tokio::test]
async fn a_customer_is_made_if_the_session_asks_for_one() {
    let (sim, api) = start().await;
    let session = id(&api.session("&customer_creation=always").await);
    let _ = sim.pay(&session, "pm_card_visa").await.unwrap();
    let paid = api.get(&format!("/v1/checkout/sessions/{session}?expand[]=customer")).await.ok();
    assert_eq!(paid["customer"]["email"], "jenny.rosen@example.com");
    assert!(kinds(&sim).contains(&"customer.created".to_owned()));
}

#[tokio::test]
async fn an_expiry_by_request_names_the_request_and_one_by_the_clock_names_none() {
    let (sim, api) = start().await;
    let (asked, waited) = (id(&api.session("").await), id(&api.session("").await));
    let answer = api
        .post_with(&format!("/v1/checkout/sessions/{asked}/expire"), &[("idempotency-key", "e1")], "")
        .await;
    sim.clock().advance(Duration::from_secs(24 * 3600));
    assert_eq!(sim.object(&waited).unwrap()["status"], "expired");
    let requests: Vec<Value> = sim.events().iter().map(|e| e["request"].clone()).collect();
    let by_request = json!({ "id": answer.header("request-id"), "idempotency_key": "e1" });
    assert_eq!(requests, [by_request, json!({ "id": null, "idempotency_key": null })]);
}
