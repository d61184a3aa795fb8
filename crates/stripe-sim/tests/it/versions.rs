//! API versions: the account's, a request's, an endpoint's.

use super::support::{Inbox, SESSION, frozen, id, start, start_with};
use http_client::Method;
use serde_json::{Value, json};
use stripe_sim::SimConfig;

const KEY: (&str, &str) = ("authorization", "Bearer sk_test_x");
const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

#[tokio::test]
async fn an_endpoint_is_sent_events_in_its_own_version_and_shape() {
    let (sim, api) = start().await;
    let inbox = Inbox::open().await;
    let made = "enabled_events[0]=checkout.session.completed&enabled_events[1]=charge.succeeded";
    let form = format!("url={}&{made}&api_version=2022-08-01", inbox.url);
    let endpoint = api.post("/v1/webhook_endpoints", &form).await.ok();
    assert_eq!(endpoint["api_version"], "2022-08-01");
    let session = id(&api.session("").await);
    let _ = sim.pay(&session, "pm_card_visa").await.unwrap();
    super::support::eventually("both events", || inbox.received().len() == 2).await;
    for told in inbox.received() {
        let event = told.event();
        assert_eq!(event["api_version"], "2022-08-01");
        let object = &event["data"]["object"];
        if event["type"] == "charge.succeeded" {
            assert_eq!(object["refunds"]["object"], "list");
            assert_eq!(object["invoice"], Value::Null);
        } else {
            assert_eq!(object["ui_mode"], "hosted");
            assert!(
                object.get("shipping_details").is_some() && object.get("collected_information").is_none()
            );
        }
        // The same event by the API is in the version that the account had when it happened.
        let fetched = api.get(&format!("/v1/events/{}", id(&event))).await.ok();
        assert_eq!(fetched["api_version"], "2026-10-28.endive");
        assert!(fetched["data"]["object"].get("shipping_details").is_none());
    }
}

#[tokio::test]
async fn the_accounts_version_is_for_requests_without_one_and_for_events() {
    let inbox = Inbox::open().await;
    let config = SimConfig {
        api_version: "2023-10-16".to_owned(),
        clock: frozen(),
        webhooks: vec![inbox.target()],
        ..SimConfig::default()
    };
    let (sim, api) = start_with(config).await;
    let form = format!("{SESSION}&payment_method_types[0]=card");
    let old = api.post("/v1/checkout/sessions", &form).await;
    assert_eq!(old.header("stripe-version"), Some("2023-10-16"));
    let old = old.ok();
    assert_eq!((&old["ui_mode"], &old["payment_method_types"]), (&json!("hosted"), &json!(["card"])));
    let newest = [KEY, FORM, ("stripe-version", "2026-10-28.endive")];
    let refused = api.send(Method::Post, "/v1/checkout/sessions", &newest, form.as_bytes()).await;
    assert_eq!(refused.refusal().2, "parameter_unknown");
    assert!(refused.message().contains("Judged by API version 2026-10-28.endive: the request's"));

    let _ = sim.pay(&id(&old), "pm_card_visa").await.unwrap();
    super::support::eventually("an event", || !inbox.received().is_empty()).await;
    assert_eq!(inbox.received()[0].event()["api_version"], "2023-10-16");
    let product = api.post("/v1/products", "name=Tea").await.ok();
    assert!(product.get("features").is_some() && product.get("marketing_features").is_none());
    let intent = api.post("/v1/payment_intents", "amount=500&currency=eur").await.ok();
    assert_eq!(intent["capture_method"], "automatic");
    let charged = api
        .post("/v1/payment_intents", "amount=500&currency=eur&payment_method=pm_card_visa&confirm=True")
        .await
        .ok();
    let older = [KEY, ("stripe-version", "2020-08-27")];
    let path = format!("/v1/payment_intents/{}", id(&charged));
    let older = api.send(Method::Get, &path, &older, b"").await.ok();
    assert_eq!(older["charges"]["data"][0]["id"], charged["latest_charge"]);
    assert_eq!(older["charges"]["data"][0]["refunds"]["data"], json!([]));
}

#[tokio::test]
async fn a_refusal_says_by_which_version_it_was_judged() {
    let (_sim, api) = start().await;
    let refused = api.post("/v1/checkout/sessions", &format!("{SESSION}&payment_method_types[0]=card")).await;
    assert_eq!((refused.status, refused.refusal().3), (400, "payment_method_types"));
    let message = refused.message();
    assert!(message.contains("Judged by API version 2026-10-28.endive: the account's default"), "{message}");
    assert!(message.contains("--api-version"), "{message}");
    let refused = api.post("/v1/checkout/sessions", &format!("{SESSION}&ui_mode=hosted")).await;
    assert!(refused.message().contains("Judged by API version 2026-10-28.endive"), "{}", refused.message());
}

#[tokio::test]
async fn absurd_versions_are_refused_and_betas_are_taken() {
    let (_sim, api) = start().await;
    let ask = async |version: &str| {
        api.send(Method::Get, "/v1/balance", &[KEY, ("stripe-version", version)], b"").await
    };
    for absurd in
        ["", "2023-13-45", "9999-01-01", "1066-10-14", "latest", "2023-10-16.endive", "2023-10-16; x"]
    {
        let got = ask(absurd).await;
        assert_eq!(got.status, 400, "{absurd}");
        assert!(got.message().starts_with("Invalid Stripe API version"), "{absurd}: {}", got.message());
    }
    for good in ["2023-10-16; foo_beta=v1", "2025-03-31.basil", "2011-06-21"] {
        assert_eq!(ask(good).await.header("stripe-version"), Some(good));
    }
    let form = "url=https://shop.example/hook&enabled_events[0]=*&api_version=yesterday";
    let endpoint = api.post("/v1/webhook_endpoints", form).await;
    assert_eq!((endpoint.status, endpoint.refusal().3), (400, "api_version"));
}
