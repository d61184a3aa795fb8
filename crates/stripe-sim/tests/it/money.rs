//! Refunds, disputes, delayed methods, manual capture, and the balance.

use super::support::{Api, id, kinds, start};
use serde_json::{Value, json};
use std::time::Duration;
use stripe_sim::{PayOutcome, Sim};

/// Pays a new session and returns it with its intent and charge expanded.
async fn paid(sim: &Sim, api: &Api, card: &str) -> Value {
    let session = id(&api.session("").await);
    let outcome = sim.pay(&session, card).await.unwrap();
    assert!(matches!(outcome, PayOutcome::Paid | PayOutcome::Processing), "{outcome:?}");
    api.get(&format!("/v1/checkout/sessions/{session}?expand[]=payment_intent.latest_charge")).await.ok()
}

fn charge(session: &Value) -> String {
    id(&session["payment_intent"]["latest_charge"])
}

#[tokio::test]
async fn refunds_never_exceed_the_charge() {
    let (sim, api) = start().await;
    let session = paid(&sim, &api, "pm_card_visa").await;
    let (intent, charge) = (id(&session["payment_intent"]), charge(&session));
    let before = kinds(&sim).len();
    api.post("/v1/refunds", &format!("payment_intent={intent}&amount=1500")).await.ok();
    assert_eq!(
        kinds(&sim)[before..],
        ["refund.created", "charge.refunded", "refund.updated", "charge.refund.updated"]
    );
    let over = api.post("/v1/refunds", &format!("charge={charge}&amount=501")).await;
    assert_eq!(over.refusal(), (400, "invalid_request_error", "", "amount"));
    assert_eq!(over.message(), "Refund amount (€5.01) is greater than unrefunded amount on charge (€5.00)");
    let half = sim.object(&charge).unwrap();
    assert_eq!((&half["amount_refunded"], &half["refunded"]), (&json!(1500), &json!(false)));
    api.post("/v1/refunds", &format!("charge={charge}")).await.ok();
    let all = sim.object(&charge).unwrap();
    assert_eq!((&all["amount_refunded"], &all["refunded"]), (&json!(2000), &json!(true)));
    let again = api.post("/v1/refunds", &format!("charge={charge}")).await;
    assert_eq!(again.refusal().2, "charge_already_refunded");
}

#[tokio::test]
async fn a_refund_names_a_charge_or_an_intent_that_was_paid() {
    let (_sim, api) = start().await;
    assert_eq!(api.post("/v1/refunds", "amount=100").await.status, 400);
    let unknown = api.post("/v1/refunds", "charge=ch_none").await;
    assert_eq!(unknown.refusal(), (404, "invalid_request_error", "resource_missing", "charge"));
    let intent = id(&api.post("/v1/payment_intents", "amount=1000&currency=eur").await.ok());
    let unpaid = api.post("/v1/refunds", &format!("payment_intent={intent}")).await;
    assert_eq!(unpaid.status, 400);
    let zero = api.post("/v1/refunds", "charge=ch_none&amount=0").await;
    assert_eq!(zero.refusal(), (400, "invalid_request_error", "parameter_invalid_integer", "amount"));
}

#[tokio::test]
async fn a_refund_may_fail_after_it_succeeded_and_then_counts_no_more() {
    let (sim, api) = start().await;
    let session = paid(&sim, &api, "4000000000005126").await;
    let refund = api.post("/v1/refunds", &format!("charge={}", charge(&session))).await.ok();
    assert_eq!(refund["status"], "succeeded");
    sim.clock().advance(Duration::from_secs(60));
    let failed = sim.object(&id(&refund)).unwrap();
    assert_eq!(
        (&failed["status"], &failed["failure_reason"]),
        (&json!("failed"), &json!("expired_or_canceled_card"))
    );
    assert_eq!(sim.object(&charge(&session)).unwrap()["amount_refunded"], 0);
    assert_eq!(kinds(&sim).last().unwrap(), "refund.failed");
}

#[tokio::test]
async fn a_pending_refund_succeeds_later_or_is_cancelled() {
    let (sim, api) = start().await;
    let session = paid(&sim, &api, "4000000000007726").await;
    let form = format!("charge={}&amount=500", charge(&session));
    let first = id(&api.post("/v1/refunds", &form).await.ok());
    let second = id(&api.post("/v1/refunds", &form).await.ok());
    assert_eq!(sim.object(&first).unwrap()["status"], "pending");
    let cancelled = api.post(&format!("/v1/refunds/{second}/cancel"), "").await.ok();
    assert_eq!(cancelled["status"], "canceled");
    sim.clock().advance(Duration::from_secs(60));
    assert_eq!(sim.object(&first).unwrap()["status"], "succeeded");
    assert_eq!(sim.object(&second).unwrap()["status"], "canceled");
    assert_eq!(sim.object(&charge(&session)).unwrap()["amount_refunded"], 500);
    assert_eq!(api.post(&format!("/v1/refunds/{first}/cancel"), "").await.status, 400);
}

#[tokio::test]
async fn a_delayed_method_completes_unpaid_and_succeeds_by_the_clock() {
    let (sim, api) = start().await;
    let session = paid(&sim, &api, "AT61 1904 3002 3457 3201").await;
    assert_eq!((&session["status"], &session["payment_status"]), (&json!("complete"), &json!("unpaid")));
    assert_eq!(session["payment_intent"]["status"], "processing");
    assert_eq!(
        kinds(&sim),
        [
            "payment_intent.created",
            "payment_intent.processing",
            "charge.pending",
            "checkout.session.completed"
        ]
    );
    sim.clock().advance(Duration::from_secs(59));
    assert_eq!(sim.object(&id(&session)).unwrap()["payment_status"], "unpaid");
    sim.clock().advance(Duration::from_secs(1));
    assert_eq!(sim.object(&id(&session)).unwrap()["payment_status"], "paid");
    assert_eq!(
        kinds(&sim)[4..],
        [
            "charge.succeeded",
            "payment_intent.succeeded",
            "checkout.session.async_payment_succeeded",
            "charge.updated"
        ]
    );
}

#[tokio::test]
async fn a_delayed_method_may_fail_and_the_session_stays_unpaid() {
    let (sim, api) = start().await;
    let session = paid(&sim, &api, "IT60X0542811101000000123456").await;
    sim.clock().advance(Duration::from_secs(60));
    let failed = sim.object(&id(&session)).unwrap();
    assert_eq!((&failed["status"], &failed["payment_status"]), (&json!("complete"), &json!("unpaid")));
    assert_eq!(
        kinds(&sim)[4..],
        ["charge.failed", "payment_intent.payment_failed", "checkout.session.async_payment_failed"]
    );
    assert!(!sim.settle(&id(&session), true), "it is settled once");
}

#[tokio::test]
async fn a_disputed_card_succeeds_and_the_money_is_held() {
    let (sim, api) = start().await;
    let session = paid(&sim, &api, "4000000000000259").await;
    assert_eq!(kinds(&sim)[5..], ["charge.dispute.created", "charge.dispute.funds_withdrawn"]);
    let disputes = api.get(&format!("/v1/disputes?charge={}", charge(&session))).await.ok();
    let dispute = &disputes["data"][0];
    assert_eq!((&dispute["status"], &dispute["reason"]), (&json!("needs_response"), &json!("fraudulent")));
    assert_eq!(sim.object(&charge(&session)).unwrap()["disputed"], true);
    let refund = api.post("/v1/refunds", &format!("charge={}", charge(&session))).await;
    assert_eq!(refund.refusal().2, "charge_disputed");

    let path = format!("/v1/disputes/{}", id(dispute));
    let won = api.post(&path, "evidence[uncategorized_text]=winning_evidence").await.ok();
    assert_eq!(won["status"], "won");
    assert_eq!(
        kinds(&sim)[7..],
        ["charge.dispute.updated", "charge.dispute.funds_reinstated", "charge.dispute.closed"]
    );
    api.post("/v1/refunds", &format!("charge={}", charge(&session))).await.ok();
}

#[tokio::test]
async fn a_closed_dispute_is_lost_and_an_inquiry_takes_no_money() {
    let (sim, api) = start().await;
    let session = paid(&sim, &api, "pm_card_createDispute").await;
    let path = format!("/v1/disputes?charge={}", charge(&session));
    let dispute = id(&api.get(&path).await.ok()["data"][0]);
    let lost = api.post(&format!("/v1/disputes/{dispute}/close"), "").await.ok();
    assert_eq!(lost["status"], "lost");
    assert_eq!(api.post(&format!("/v1/disputes/{dispute}/close"), "").await.status, 400);

    let inquiry = paid(&sim, &api, "pm_card_createDisputeInquiry").await;
    let path = format!("/v1/disputes?charge={}", charge(&inquiry));
    let asked = api.get(&path).await.ok()["data"][0].clone();
    assert_eq!(
        (&asked["status"], &asked["is_charge_refundable"]),
        (&json!("warning_needs_response"), &json!(true))
    );
    assert_eq!(asked["balance_transactions"], json!([]));
    api.post("/v1/refunds", &format!("charge={}", charge(&inquiry))).await.ok();
}

/// The former values of every event of this kind, oldest first.
fn former(sim: &Sim, kind: &str) -> Vec<Value> {
    let of_kind = sim.events().into_iter().filter(|e| e["type"] == kind);
    of_kind.map(|e| e["data"]["previous_attributes"].clone()).collect()
}

#[tokio::test]
async fn an_update_tells_exactly_what_was_different_before() {
    let (sim, api) = start().await;
    let session = paid(&sim, &api, "pm_card_visa").await;
    let refund = api.post("/v1/refunds", &format!("charge={}&amount=500", charge(&session))).await.ok();
    api.post("/v1/refunds", &format!("charge={}", charge(&session))).await.ok();
    assert_eq!(
        former(&sim, "charge.refunded"),
        [json!({ "amount_refunded": 0 }), json!({ "amount_refunded": 500, "refunded": false })]
    );
    let path = format!("/v1/refunds/{}", id(&refund));
    api.post(&path, "metadata[a]=1").await.ok();
    api.post(&path, "metadata[a]=2&metadata[b]=3").await.ok();
    api.post(&path, "metadata[a]=2").await.ok();
    let told = former(&sim, "refund.updated");
    assert_eq!(
        told[2..],
        [json!({ "metadata": { "a": null } }), json!({ "metadata": { "a": "1", "b": null } })],
        "a change of nothing is not told"
    );
    let customer = id(&api.post("/v1/customers", "email=ada@example.com&name=Ada").await.ok());
    api.post(&format!("/v1/customers/{customer}"), "name=Eve&shipping[name]=E&shipping[address][city]=Paris")
        .await
        .ok();
    assert_eq!(former(&sim, "customer.updated"), [json!({ "name": "Ada", "shipping": null })]);
}

#[tokio::test]
async fn a_dispute_comes_from_the_bank_and_only_updates_tell_former_values() {
    let (sim, api) = start().await;
    let session = paid(&sim, &api, "pm_card_createDispute").await;
    let path = format!("/v1/disputes?charge={}", charge(&session));
    let dispute = id(&api.get(&path).await.ok()["data"][0]);
    let at = format!("/v1/disputes/{dispute}");
    api.post(&at, "metadata[a]=1").await.ok();
    assert_eq!(former(&sim, "charge.dispute.updated"), [json!({ "metadata": { "a": null } })]);
    let unknown = api.post(&at, "evidence[colour]=red").await;
    assert_eq!((unknown.status, unknown.refusal().3), (400, "evidence[colour]"));
    api.post(&format!("{at}/close"), "").await.ok();
    for kind in ["created", "funds_withdrawn", "closed"] {
        let kind = format!("charge.dispute.{kind}");
        assert_eq!(former(&sim, &kind), [Value::Null], "{kind}");
    }
    let opened = sim.events().into_iter().find(|e| e["type"] == "charge.dispute.created").unwrap();
    assert_eq!(opened["request"], json!({ "id": null, "idempotency_key": null }));
}

#[tokio::test]
async fn an_authorised_session_is_paid_when_it_is_captured() {
    let (sim, api) = start().await;
    let session = id(&api.session("&payment_intent_data[capture_method]=manual").await);
    assert_eq!(sim.pay(&session, "pm_card_visa").await, Ok(PayOutcome::Paid));
    let held = sim.object(&session).unwrap();
    assert_eq!((&held["status"], &held["payment_status"]), (&json!("complete"), &json!("unpaid")));
    let intent = held["payment_intent"].as_str().unwrap().to_owned();
    let captured = api.post(&format!("/v1/payment_intents/{intent}/capture"), "").await.ok();
    assert_eq!(captured["status"], "succeeded");
    assert_eq!(sim.object(&session).unwrap()["payment_status"], "paid");
}

#[tokio::test]
async fn an_intent_of_a_session_is_neither_confirmed_nor_cancelled_by_api() {
    let (sim, api) = start().await;
    let session = id(&api.session("").await);
    let _ = sim.pay(&session, "pm_card_chargeDeclined").await.unwrap();
    let intent = sim.object(&session).unwrap()["payment_intent"].as_str().unwrap().to_owned();
    for action in ["confirm", "cancel"] {
        let refused = api.post(&format!("/v1/payment_intents/{intent}/{action}"), "").await;
        assert_eq!(refused.refusal().2, "payment_intent_unexpected_state", "{action}");
    }
    api.post(&format!("/v1/checkout/sessions/{session}/expire"), "").await.ok();
    assert_eq!(sim.object(&intent).unwrap()["status"], "canceled");
}

#[tokio::test]
async fn what_came_in_is_pending_and_two_days_later_available() {
    let (sim, api) = start().await;
    paid(&sim, &api, "pm_card_visa").await;
    let sums = |balance: &Value| {
        (balance["available"][0]["amount"].clone(), balance["pending"][0]["amount"].clone())
    };
    assert_eq!(sums(&api.get("/v1/balance").await.ok()), (json!(0), json!(1945)));
    sim.clock().advance(Duration::from_secs(2 * 24 * 3600));
    assert_eq!(sums(&api.get("/v1/balance").await.ok()), (json!(1945), json!(0)));
}

#[tokio::test]
async fn every_currency_class_keeps_its_rules() {
    let (_sim, api) = start().await;
    for (currency, amount, status) in [
        ("eur", 50, 200),
        ("eur", 49, 400),
        ("jpy", 50, 200),
        ("kwd", 1_235, 400),
        ("kwd", 1_230, 200),
        ("isk", 10_050, 400),
        ("isk", 10_000, 200),
        ("gbp", 30, 200),
        ("usd", 99_999_999, 200),
        ("usd", 100_000_000, 400),
        ("idr", 100_000_000, 200),
        ("EUR", 100, 200),
        ("zzz", 100, 400),
    ] {
        let form = format!("amount={amount}&currency={currency}");
        assert_eq!(api.post("/v1/payment_intents", &form).await.status, status, "{currency} {amount}");
    }
}

#[tokio::test]
async fn a_token_is_charged_the_older_way() {
    let (sim, api) = start().await;
    let charge = api.post("/v1/charges", "amount=900&currency=eur&source=tok_visa&metadata[a]=b").await.ok();
    assert_eq!((&charge["paid"], &charge["payment_intent"]), (&json!(true), &Value::Null));
    assert_eq!(kinds(&sim), ["charge.succeeded", "charge.updated"]);
    let refund = api.post("/v1/refunds", &format!("charge={}", id(&charge))).await.ok();
    assert_eq!(refund["amount"], 900);
    let declined = api.post("/v1/charges", "amount=900&currency=eur&source=tok_chargeDeclined").await;
    assert_eq!(declined.refusal(), (402, "card_error", "card_declined", ""));
    let held = api.post("/v1/charges", "amount=900&currency=eur&source=tok_visa&capture=false").await.ok();
    assert_eq!(held["captured"], false);
    let captured = api.post(&format!("/v1/charges/{}/capture", id(&held)), "amount=400").await.ok();
    assert_eq!((&captured["captured"], &captured["amount_captured"]), (&json!(true), &json!(400)));
    let again = api.post(&format!("/v1/charges/{}/capture", id(&held)), "").await;
    assert_eq!(again.refusal().2, "charge_already_captured");
    assert_eq!(api.post("/v1/charges", "amount=900&currency=eur&source=tok_none").await.status, 400);
}

#[tokio::test]
async fn an_intent_takes_a_token_or_an_iban_in_its_data() {
    let (_sim, api) = start().await;
    let form = "amount=900&currency=eur&confirm=true&payment_method_data[type]=";
    let card = api
        .post("/v1/payment_intents", &format!("{form}card&payment_method_data[card][token]=tok_visa"))
        .await
        .ok();
    assert_eq!(card["status"], "succeeded");
    let iban = "sepa_debit&payment_method_data[sepa_debit][iban]=AT611904300234573201";
    assert_eq!(api.post("/v1/payment_intents", &format!("{form}{iban}")).await.ok()["status"], "processing");
    assert_eq!(api.post("/v1/payment_intents", &format!("{form}klarna")).await.status, 400);
}
