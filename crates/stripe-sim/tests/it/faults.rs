//! Faults: each does what it says, and one seed gives the same again.

use super::support::{Api, Inbox, NOON, SECRET, SESSION, eventually, frozen, id, start, start_with};
use serde_json::json;
use std::collections::BTreeSet;
use std::time::Duration;
use stripe_sim::{ApiFault, ApiFaultKind, Delay, DropFault, Duplicate, Faults, Sim, SimConfig};

async fn delivering(faults: Faults, seed: u64) -> (Sim, Api, Inbox) {
    let inbox = Inbox::open().await;
    let webhooks = vec![inbox.target()];
    let config = SimConfig { clock: frozen(), webhooks, seed: Some(seed), faults, ..SimConfig::default() };
    let (sim, api) = start_with(config).await;
    (sim, api, inbox)
}

async fn pay(sim: &Sim, api: &Api) -> String {
    let session = id(&api.session("").await);
    let _ = sim.pay(&session, "pm_card_visa").await.unwrap();
    session
}

#[tokio::test]
async fn duplicates_arrive_with_the_same_event_id() {
    let duplicate = Some(Duplicate { percent: 100, copies: 2 });
    let (sim, api, inbox) = delivering(Faults { duplicate, ..Faults::default() }, 1).await;
    pay(&sim, &api).await;
    eventually("three of each", || inbox.received().len() == 15).await;
    let ids: BTreeSet<String> = inbox.received().iter().map(|r| id(&r.event())).collect();
    assert_eq!(ids.len(), 5);
}

#[tokio::test]
async fn twins_tell_one_fact_with_two_ids() {
    let (sim, api, inbox) = delivering(Faults { twin_percent: 100, ..Faults::default() }, 1).await;
    let session = pay(&sim, &api).await;
    eventually("ten events", || inbox.received().len() == 10).await;
    let completed: Vec<_> =
        sim.events().into_iter().filter(|e| e["type"] == "checkout.session.completed").collect();
    assert_eq!(completed.len(), 2);
    assert_ne!(completed[0]["id"], completed[1]["id"]);
    assert!(completed.iter().all(|e| e["data"]["object"]["id"] == session.as_str()));
}

#[tokio::test]
async fn reordering_shuffles_what_belongs_to_one_change() {
    let mut orders = BTreeSet::new();
    for seed in 0..6 {
        let (sim, api, inbox) = delivering(Faults { reorder_window: 5, ..Faults::default() }, seed).await;
        pay(&sim, &api).await;
        eventually("all five", || inbox.received().len() == 5).await;
        orders.insert(inbox.kinds());
        sim.shutdown().await;
    }
    assert!(orders.len() > 1, "{orders:?}");
}

/// As in the program: what belongs to one change is due at one time, though the clock runs meanwhile.
#[tokio::test]
async fn reordering_shuffles_also_while_the_clock_runs() {
    let mut orders = BTreeSet::new();
    for seed in 0..6 {
        let inbox = Inbox::open().await;
        let (sim, api) = start_with(SimConfig {
            webhooks: vec![inbox.target()],
            seed: Some(seed),
            faults: Faults { reorder_window: 5, ..Faults::default() },
            ..SimConfig::default()
        })
        .await;
        pay(&sim, &api).await;
        eventually("all five", || inbox.received().len() == 5).await;
        orders.insert(inbox.kinds());
        sim.shutdown().await;
    }
    assert!(orders.len() > 1, "{orders:?}");
}

#[tokio::test]
async fn one_seed_gives_the_same_faults_again() {
    let faults = || Faults {
        twin_percent: 40,
        reorder_window: 4,
        drop: Some(DropFault { percent: 30, forever: true }),
        ..Faults::default()
    };
    let mut runs = Vec::new();
    for _ in 0..2 {
        let (sim, api, inbox) = delivering(faults(), 42).await;
        for _ in 0..3 {
            pay(&sim, &api).await;
            assert!(sim.deliveries_done(super::support::LIMIT).await);
        }
        runs.push((super::support::kinds(&sim), inbox.kinds()));
        sim.shutdown().await;
    }
    assert_eq!(runs[0], runs[1]);
    assert_ne!(runs[0].0.len(), runs[0].1.len(), "something was lost");
}

#[tokio::test]
async fn a_delayed_delivery_comes_by_the_clock_and_a_dropped_one_is_retried() {
    let delay = Some(Delay { percent: 100, min_ms: 5_000, max_ms: 5_000 });
    let (sim, api, inbox) = delivering(Faults { delay, ..Faults::default() }, 1).await;
    pay(&sim, &api).await;
    assert!(sim.deliveries_done(super::support::LIMIT).await);
    assert!(inbox.received().is_empty());
    sim.clock().advance(Duration::from_secs(5));
    eventually("all five", || inbox.received().len() == 5).await;

    sim.set_faults(Faults { drop: Some(DropFault { percent: 100, forever: false }), ..Faults::default() });
    pay(&sim, &api).await;
    assert!(sim.deliveries_done(super::support::LIMIT).await);
    assert_eq!(inbox.received().len(), 5);
    sim.clock().advance(Duration::from_secs(2));
    eventually("all ten", || inbox.received().len() == 10).await;
}

#[tokio::test]
async fn the_signature_can_be_skewed_doubled_and_forged() {
    let (sim, api, inbox) = delivering(Faults { signature_skew_seconds: -400, ..Faults::default() }, 1).await;
    let expire = async || {
        let session = id(&api.session("").await);
        api.post(&format!("/v1/checkout/sessions/{session}/expire"), "").await.ok();
    };
    expire().await;
    eventually("skewed", || inbox.received().len() == 1).await;
    assert!(!inbox.received()[0].verifies(SECRET, NOON) && inbox.received()[0].verifies(SECRET, NOON - 400));

    sim.set_faults(Faults { old_secret_too: true, ..Faults::default() });
    expire().await;
    eventually("doubled", || inbox.received().len() == 2).await;
    assert_eq!(inbox.received()[1].signature.matches("v1=").count(), 2);
    assert!(inbox.received()[1].verifies(SECRET, NOON));

    sim.set_faults(Faults { wrong_signature_percent: 100, ..Faults::default() });
    expire().await;
    eventually("forged", || inbox.received().len() == 3).await;
    assert!(!inbox.received()[2].verifies(SECRET, NOON));
}

#[tokio::test]
async fn the_webhook_can_overtake_the_answer() {
    let (sim, api, inbox) = delivering(Faults { webhook_before_answer: true, ..Faults::default() }, 1).await;
    let session = id(&api.session("").await);
    api.post(&format!("/v1/checkout/sessions/{session}/expire"), "").await.ok();
    assert_eq!(inbox.kinds(), ["checkout.session.expired"], "it was there before the answer");

    sim.set_faults(Faults { pay_before_answer: Some("pm_card_visa".into()), ..Faults::default() });
    let answered = api.session("").await;
    assert_eq!(answered["status"], "open", "the answer is that of the creation");
    let completed = inbox.received().into_iter().find(|r| r.kind() == "checkout.session.completed").unwrap();
    assert_eq!(completed.event()["data"]["object"]["id"], answered["id"]);
}

#[tokio::test]
async fn the_api_can_be_slow_busy_broken_and_cut_off() {
    let (sim, api) = start().await;
    let once = |kind| {
        let fault = ApiFault { next: Some(1), path: Some("/v1/checkout".into()), ..ApiFault::of(kind, 100) };
        sim.set_faults(Faults { api: vec![fault], ..Faults::default() });
    };
    let path = "/v1/checkout/sessions";
    let headers =
        [("authorization", "Bearer sk_test_x"), ("content-type", "application/x-www-form-urlencoded")];
    let send = || api.try_send(http_client::Method::Post, path, &headers, SESSION.as_bytes());
    let count = async || api.get(&format!("{path}?limit=100")).await.ok()["data"].as_array().unwrap().len();

    once(ApiFaultKind::RateLimit);
    let busy = send().await.unwrap();
    assert_eq!(busy.refusal(), (429, "invalid_request_error", "rate_limit", ""));
    assert_eq!(busy.header("stripe-rate-limited-reason"), Some("global-rate"));
    once(ApiFaultKind::ServerError);
    assert_eq!(send().await.unwrap().refusal(), (500, "api_error", "", ""));
    once(ApiFaultKind::Html);
    assert_eq!(send().await.unwrap().header("content-type"), Some("text/html"));
    sim.set_faults(Faults::default());
    assert_eq!(count().await, 0, "none of these did anything");

    once(ApiFaultKind::ResetBefore);
    assert!(send().await.is_err());
    sim.set_faults(Faults::default());
    assert_eq!(count().await, 0);
    once(ApiFaultKind::ResetAfter);
    assert!(send().await.is_err());
    assert_eq!(count().await, 1, "the work was done");
    once(ApiFaultKind::Truncated);
    assert!(send().await.is_err());
    assert_eq!(count().await, 2, "the work was done");
}

#[tokio::test]
async fn faults_are_set_and_read_by_the_control_api() {
    let (_sim, api) = start().await;
    let wanted =
        json!({ "seed": 9, "faults": { "twin_percent": 10, "api": [{ "kind": "latency", "ms": 5 }] } });
    let set = api.control("faults", &wanted).await.ok();
    assert_eq!((&set["seed"], &set["faults"]["twin_percent"]), (&json!(9), &json!(10)));
    assert_eq!(set["faults"]["api"][0]["percent"], 100);
    assert_eq!(api.control("faults", &json!({ "faults": { "nonsense": 1 } })).await.status, 400);
    assert_eq!(
        api.control("faults", &json!({ "faults": { "duplicate": { "copies": 99 } } })).await.status,
        400
    );
}
