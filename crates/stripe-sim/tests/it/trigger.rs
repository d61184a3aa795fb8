//! Triggered events: each kind happens, with consistent objects underneath.

use super::support::{Inbox, id, kinds, start, start_with};
use serde_json::json;
use stripe_sim::{SimConfig, TRIGGERS};

#[tokio::test]
async fn every_kind_that_is_listed_happens() {
    let (sim, api) = start().await;
    for kind in TRIGGERS {
        let done = api.control("trigger", &json!({ "event": kind })).await.ok();
        let told: Vec<&str> =
            done["events"].as_array().unwrap().iter().map(|e| e["type"].as_str().unwrap()).collect();
        assert!(told.contains(&kind), "{kind}: {told:?}");
    }
    drop(sim);
}

#[tokio::test]
async fn overrides_change_what_is_made_and_the_event_is_delivered() {
    let inbox = Inbox::open().await;
    let (sim, api) = start_with(SimConfig { webhooks: vec![inbox.target()], ..SimConfig::default() }).await;
    let overrides = [
        "checkout_session:client_reference_id=b_1",
        "metadata.booking=b_1",
        "line_items.0.price_data.unit_amount=700",
        "checkout_session:payment_intent_data[metadata][k]=v",
    ];
    let wanted = json!({ "event": "checkout.session.completed", "overrides": overrides });
    let done = api.control("trigger", &wanted).await.ok();
    assert!(
        done["events"].as_array().unwrap().iter().all(|e| e["deliveries"][0]["status"] == 200),
        "{done:#}"
    );
    let completed = sim.events().into_iter().find(|e| e["type"] == "checkout.session.completed").unwrap();
    let session = &completed["data"]["object"];
    assert_eq!((&session["client_reference_id"], &session["amount_total"]), (&json!("b_1"), &json!(1400)));
    assert_eq!(session["metadata"], json!({ "booking": "b_1" }));
    let intent = sim.object(session["payment_intent"].as_str().unwrap()).unwrap();
    assert_eq!(intent["metadata"], json!({ "k": "v" }));
    assert!(inbox.kinds().contains(&"checkout.session.completed".to_owned()));
    assert_eq!(sim.object(&id(session)).unwrap()["payment_status"], "paid");
}

#[tokio::test]
async fn a_sessions_price_and_product_are_overridden_by_their_own_names() {
    let (sim, api) = start().await;
    let overrides =
        ["price:unit_amount=700", "price:currency=usd", "product:name=Room", "product:metadata.a=b"];
    let wanted = json!({ "event": "checkout.session.expired", "overrides": overrides });
    api.control("trigger", &wanted).await.ok();
    let session = sim.events()[0]["data"]["object"].clone();
    assert_eq!((&session["amount_total"], &session["currency"]), (&json!(1400), &json!("usd")));
    let path = format!("/v1/checkout/sessions/{}/line_items?expand[]=data.price.product", id(&session));
    let product = api.get(&path).await.ok()["data"][0]["price"]["product"].clone();
    assert_eq!((&product["name"], &product["metadata"]), (&json!("Room"), &json!({ "a": "b" })));
}

#[tokio::test]
async fn unknown_events_and_overrides_are_refused() {
    let (sim, api) = start().await;
    for wanted in [
        json!({ "event": "checkout.session.invented" }),
        json!({ "event": "checkout.session.completed", "overrides": ["nonsense"] }),
        json!({ "event": "checkout.session.completed", "overrides": ["charge:amount=1"] }),
        json!({ "event": "checkout.session.completed", "overrides": ["colour=red"] }),
    ] {
        assert_eq!(api.control("trigger", &wanted).await.status, 400, "{wanted}");
    }
    assert!(kinds(&sim).is_empty());
}
