//! Lists: a cursor names a place in the whole list, and the filter comes after.

use super::support::{Api, Inbox, id, start};
use serde_json::{Value, json};
use stripe_sim::Sim;

async fn six_of_one_customer(api: &Api) -> (String, Vec<String>) {
    let customer = id(&api.post("/v1/customers", "email=page%40example.com").await.ok());
    let mut sessions = Vec::new();
    for _ in 0..6 {
        sessions.push(id(&api.session(&format!("&customer={customer}")).await));
    }
    sessions.reverse();
    (customer, sessions)
}

fn ids(page: &Value) -> Vec<&str> {
    page["data"].as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_cursor_that_left_the_filter_still_names_its_place() {
    let (_sim, api) = start().await;
    let (customer, all) = six_of_one_customer(&api).await;
    let list = format!("/v1/checkout/sessions?customer={customer}&status=open&limit=2");
    let first = api.get(&list).await.ok();
    assert_eq!(ids(&first), all[..2]);
    api.post(&format!("/v1/checkout/sessions/{}/expire", all[1]), "").await.ok();
    let second = api.get(&format!("{list}&starting_after={}", all[1])).await.ok();
    assert_eq!((ids(&second), &second["has_more"]), (vec![all[2].as_str(), &all[3]], &json!(true)));
    let before = api.get(&format!("{list}&ending_before={}", all[1])).await.ok();
    assert_eq!((ids(&before), &before["has_more"]), (vec![all[0].as_str()], &json!(false)));
}

#[tokio::test]
async fn who_deletes_while_paging_reaches_the_end() {
    let (_sim, api) = start().await;
    for _ in 0..5 {
        let form = "url=https://shop.example/hook&enabled_events[0]=charge.succeeded";
        api.post("/v1/webhook_endpoints", form).await.ok();
    }
    let (mut at, mut gone) = (String::new(), 0);
    loop {
        let page = api.get(&format!("/v1/webhook_endpoints?limit=2{at}")).await.ok();
        for endpoint in ids(&page) {
            let deleted = api.delete(&format!("/v1/webhook_endpoints/{endpoint}")).await.ok();
            assert_eq!(deleted["deleted"], true);
            at = format!("&starting_after={endpoint}");
            gone += 1;
        }
        if page["has_more"] == false {
            break;
        }
    }
    assert_eq!(gone, 5);
}

async fn pay(api: &Api) {
    let form = "amount=2000&currency=eur&payment_method=pm_card_visa&confirm=true";
    api.post("/v1/payment_intents", form).await.ok();
}

async fn undelivered(sim: &Sim, api: &Api, list: &str) -> Vec<String> {
    assert!(sim.deliveries_done(super::support::LIMIT).await);
    ids(&api.get(list).await.ok()).into_iter().map(str::to_owned).collect()
}

#[tokio::test]
async fn undelivered_events_are_found_from_the_last_one_that_was_processed() {
    let (sim, api) = start().await;
    let inbox = Inbox::open().await;
    let form = format!("url={}&enabled_events[0]=payment_intent.succeeded", inbox.url);
    api.post("/v1/webhook_endpoints", &form).await.ok();
    pay(&api).await;
    let list = "/v1/events?delivery_success=false&types[]=payment_intent.succeeded";
    assert!(undelivered(&sim, &api, list).await.is_empty());
    let last = id(&api.get("/v1/events?type=payment_intent.succeeded").await.ok()["data"][0]);
    inbox.answers(&[500, 500, 500]);
    for _ in 0..3 {
        pay(&api).await;
    }
    assert_eq!(undelivered(&sim, &api, &format!("{list}&ending_before={last}")).await.len(), 3);
}

#[tokio::test]
async fn both_cursors_at_once_and_unknown_ones_are_refused() {
    let (_sim, api) = start().await;
    let session = id(&api.session("").await);
    let both = format!("/v1/checkout/sessions?starting_after={session}&ending_before={session}");
    assert_eq!(api.get(&both).await.refusal().2, "parameters_exclusive");
    let items = format!("/v1/checkout/sessions/{session}/line_items?starting_after=li_none");
    assert_eq!(
        api.get(&items).await.refusal(),
        (400, "invalid_request_error", "resource_missing", "starting_after")
    );
}
