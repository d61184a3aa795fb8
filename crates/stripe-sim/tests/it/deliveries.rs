//! Webhook deliveries: who gets what, how it is signed, when it is tried again.

use super::support::{Inbox, LIMIT, NOON, SECRET, eventually, frozen, id, start_with};
use serde_json::{Value, json};
use std::time::Duration;
use stripe_sim::{SimConfig, WebhookTarget};

fn config(targets: Vec<WebhookTarget>) -> SimConfig {
    SimConfig { clock: frozen(), webhooks: targets, seed: Some(1), ..SimConfig::default() }
}

#[tokio::test]
async fn each_endpoint_gets_the_kinds_it_wants_in_order() {
    let (all, some) = (Inbox::open().await, Inbox::open().await);
    let narrow = WebhookTarget { enabled_events: vec!["checkout.session.completed".into()], ..some.target() };
    let (sim, api) = start_with(config(vec![all.target(), narrow])).await;
    let session = id(&api.session("").await);
    let _ = sim.pay(&session, "pm_card_visa").await.unwrap();
    eventually("all deliveries", || all.received().len() == 5 && some.received().len() == 1).await;
    assert_eq!(all.kinds(), super::support::kinds(&sim));
    assert_eq!(some.kinds(), ["checkout.session.completed"]);
    assert!(sim.deliveries_done(super::support::LIMIT).await);
    assert!(sim.events().iter().all(|e| e["pending_webhooks"] == 0));
}

#[tokio::test]
async fn a_failed_delivery_is_tried_again_by_the_clock_and_signed_afresh() {
    let inbox = Inbox::open().await;
    inbox.answers(&[500, 302, 200]);
    let (sim, api) = start_with(config(vec![inbox.target()])).await;
    let session = id(&api.session("").await);
    api.post(&format!("/v1/checkout/sessions/{session}/expire"), "").await.ok();
    eventually("first attempt", || inbox.received().len() == 1).await;
    assert!(sim.deliveries_done(super::support::LIMIT).await);
    assert_eq!(sim.events()[0]["pending_webhooks"], 1);

    sim.clock().advance(Duration::from_secs(2));
    eventually("second attempt", || inbox.received().len() == 2).await;
    assert!(sim.deliveries_done(super::support::LIMIT).await);
    sim.clock().advance(Duration::from_secs(10));
    eventually("third attempt", || inbox.received().len() == 3).await;
    eventually("acknowledged", || sim.events()[0]["pending_webhooks"] == 0).await;

    let received = inbox.received();
    let starts: Vec<String> =
        received.iter().map(|r| r.signature.split(',').next().unwrap().to_owned()).collect();
    assert_eq!(starts, [NOON, NOON + 2, NOON + 12].map(|t| format!("t={t}")));
    assert!(received[2].verifies(SECRET, NOON + 12));
    let listed = api.get("/_sim/deliveries").await.json;
    let attempts = listed["deliveries"][0]["attempts"].as_array().unwrap().clone();
    let statuses: Vec<&Value> = attempts.iter().map(|a| &a["status"]).collect();
    assert_eq!(statuses, [&json!(500), &json!(302), &json!(200)]);
    assert_eq!(attempts[1]["error"], "redirects are not followed");
}

#[tokio::test]
async fn after_the_last_retry_a_delivery_is_given_up() {
    // Nothing listens there: the port is closed again at once.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    let target = WebhookTarget { url, secrets: vec![SECRET.to_owned().into()], enabled_events: vec![] };
    let (sim, api) = start_with(config(vec![target])).await;
    let session = id(&api.session("").await);
    api.post(&format!("/v1/checkout/sessions/{session}/expire"), "").await.ok();
    for _ in 0..13 {
        assert!(sim.deliveries_done(super::support::LIMIT).await);
        sim.clock().advance(Duration::from_secs(24 * 3600));
    }
    let listed = api.get("/_sim/deliveries").await.json;
    assert_eq!(listed["deliveries"][0]["state"], "failed");
    assert_eq!(listed["deliveries"][0]["attempts"].as_array().unwrap().len(), 13);
    let undelivered = api.get("/v1/events?delivery_success=false").await.ok();
    assert_eq!(undelivered["data"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn there_is_one_v1_for_each_active_secret() {
    let inbox = Inbox::open().await;
    let target = WebhookTarget {
        secrets: vec!["whsec_new".to_owned().into(), "whsec_old".to_owned().into()],
        ..inbox.target()
    };
    let (_sim, api) = start_with(config(vec![target])).await;
    let session = id(&api.session("").await);
    api.post(&format!("/v1/checkout/sessions/{session}/expire"), "").await.ok();
    eventually("delivered", || inbox.received().len() == 1).await;
    let received = &inbox.received()[0];
    assert_eq!(received.signature.matches("v1=").count(), 2);
    assert!(received.verifies("whsec_new", NOON) && received.verifies("whsec_old", NOON));
}

#[tokio::test]
async fn an_event_is_sent_again_on_request() {
    let inbox = Inbox::open().await;
    let (sim, api) = start_with(config(vec![inbox.target()])).await;
    let session = id(&api.session("").await);
    api.post(&format!("/v1/checkout/sessions/{session}/expire"), "").await.ok();
    eventually("delivered", || inbox.received().len() == 1).await;
    let event = id(&sim.events()[0]);
    api.post(&format!("/v1/events/{event}/retry"), "").await.ok();
    eventually("delivered by the API", || inbox.received().len() == 2).await;
    api.control(&format!("events/{event}/resend"), &json!({})).await.ok();
    eventually("delivered by the control API", || inbox.received().len() == 3).await;
    assert!(inbox.received().iter().all(|r| id(&r.event()) == event));
    assert_eq!(api.post("/v1/events/evt_none/retry", "").await.status, 404);
}

#[tokio::test]
async fn paused_deliveries_wait_and_then_go() {
    let inbox = Inbox::open().await;
    let (sim, api) = start_with(config(vec![inbox.target()])).await;
    sim.pause_deliveries(true);
    let session = id(&api.session("").await);
    let _ = sim.pay(&session, "pm_card_visa").await.unwrap();
    assert_eq!(sim.events()[0]["pending_webhooks"], 1);
    assert!(inbox.received().is_empty());
    sim.pause_deliveries(false);
    eventually("delivered", || inbox.received().len() == 5).await;
}

#[tokio::test]
async fn an_endpoint_made_by_api_gets_its_secret_once_and_events_until_it_is_disabled() {
    let inbox = Inbox::open().await;
    let (sim, api) = start_with(config(vec![])).await;
    let form = format!("url={}&enabled_events[]=checkout.session.expired", inbox.url);
    let endpoint = api.post("/v1/webhook_endpoints", &form).await.ok();
    let secret = endpoint["secret"].as_str().unwrap().to_owned();
    let path = format!("/v1/webhook_endpoints/{}", id(&endpoint));
    assert_eq!(api.get(&path).await.ok()["secret"], Value::Null);
    let expire = async || {
        let session = id(&api.session("").await);
        api.post(&format!("/v1/checkout/sessions/{session}/expire"), "").await.ok();
    };
    expire().await;
    eventually("delivered", || inbox.received().len() == 1).await;
    assert!(inbox.received()[0].verifies(&secret, NOON));
    assert_eq!(api.post(&path, "disabled=true").await.ok()["status"], "disabled");
    expire().await;
    assert_eq!(sim.events()[1]["pending_webhooks"], 0);
    assert_eq!(inbox.received().len(), 1);
}

#[tokio::test]
async fn retries_stop_while_an_endpoint_is_disabled_and_end_when_it_is_deleted() {
    let inbox = Inbox::open().await;
    inbox.answers(&[500, 500]);
    let (sim, api) = start_with(config(vec![inbox.target()])).await;
    let endpoint = id(&api.get("/v1/webhook_endpoints").await.ok()["data"][0]);
    let path = format!("/v1/webhook_endpoints/{endpoint}");
    let session = id(&api.session("").await);
    api.post(&format!("/v1/checkout/sessions/{session}/expire"), "").await.ok();
    eventually("first attempt", || inbox.received().len() == 1).await;
    assert!(sim.deliveries_done(super::support::LIMIT).await);
    api.post(&path, "disabled=true").await.ok();
    sim.clock().advance(Duration::from_secs(3600));
    assert!(sim.deliveries_done(super::support::LIMIT).await, "nothing is due for it");
    api.post(&path, "disabled=false").await.ok();
    eventually("resumed", || inbox.received().len() == 2).await;
    assert!(sim.deliveries_done(super::support::LIMIT).await);
    api.control("endpoints", &json!({ "endpoints": [] })).await.ok();
    sim.clock().advance(Duration::from_secs(3600));
    eventually("given up", || sim.events()[0]["pending_webhooks"] == 0).await;
    assert_eq!(inbox.received().len(), 2);
}

/// Several threads, as in the program: what one notes of a delivery and what the other takes up next must
/// not cross.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn without_a_fault_no_event_is_delivered_twice() {
    let inbox = Inbox::open().await;
    let (sim, api) = start_with(SimConfig { webhooks: vec![inbox.target()], ..SimConfig::default() }).await;
    for _ in 0..500 {
        api.post("/v1/payment_intents", "amount=2000&currency=eur").await.ok();
    }
    assert!(sim.deliveries_done(LIMIT).await);
    let received: Vec<String> = inbox.received().iter().map(|r| id(&r.event())).collect();
    let told: Vec<String> = sim.events().iter().map(id).collect();
    assert_eq!(received, told, "each once, and in order");
}
