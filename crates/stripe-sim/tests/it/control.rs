//! The control API and the control page: what they do, and whom they refuse.

use super::support::{NOON, id, start};
use http_client::Method;
use serde_json::{Value, json};

#[tokio::test]
async fn the_clock_is_read_moved_stopped_and_let_go() {
    let (_sim, api) = start().await;
    assert_eq!(api.get("/_sim/clock").await.ok()["now"], NOON);
    let moved = api.control("clock", &json!({ "advance_seconds": 90 })).await.ok();
    assert_eq!((&moved["now"], &moved["iso"]), (&json!(NOON + 90), &json!("2026-11-23T12:01:30Z")));
    assert_eq!(api.control("clock", &json!({ "freeze": NOON })).await.ok()["now"], NOON);
    assert_eq!(api.control("clock", &json!({ "unfreeze": true })).await.status, 200);
    for bad in [
        json!({ "advance_seconds": -1 }),
        json!({ "advance_seconds": u64::MAX }),
        json!({ "freeze": -5 }),
        json!([]),
    ] {
        assert_eq!(api.control("clock", &bad).await.status, 400, "{bad}");
    }
}

#[tokio::test]
async fn a_session_is_paid_settled_disputed_and_refunded_by_control() {
    let (sim, api) = start().await;
    let session = id(&api.session("").await);
    let declined =
        api.control(&format!("sessions/{session}/pay"), &json!({ "card": "4000000000000002" })).await.ok();
    assert_eq!(
        (&declined["outcome"], &declined["refusal"]["code"]),
        (&json!("declined"), &json!("card_declined"))
    );
    let asked =
        api.control(&format!("sessions/{session}/pay"), &json!({ "card": "4000002760003184" })).await.ok();
    assert_eq!(asked["outcome"], "requires_action");
    let paid =
        api.control(&format!("sessions/{session}/authenticate"), &json!({ "passed": true })).await.ok();
    assert_eq!((&paid["outcome"], &paid["session"]["payment_status"]), (&json!("paid"), &json!("paid")));
    assert_eq!(api.control(&format!("sessions/{session}/pay"), &json!({})).await.status, 409);
    assert_eq!(api.control("sessions/cs_none/pay", &json!({})).await.status, 404);

    let charge =
        sim.object(paid["session"]["payment_intent"].as_str().unwrap()).unwrap()["latest_charge"].clone();
    let refund =
        api.post("/v1/refunds", &format!("charge={}&amount=100", charge.as_str().unwrap())).await.ok();
    let failed =
        api.control(&format!("refunds/{}/fail", id(&refund)), &json!({ "reason": "declined" })).await.ok();
    assert_eq!((&failed["status"], &failed["failure_reason"]), (&json!("failed"), &json!("declined")));
    let dispute =
        api.control(&format!("charges/{session}/dispute"), &json!({ "reason": "duplicate" })).await.ok();
    assert_eq!(dispute["reason"], "duplicate");
    let won = api.control(&format!("disputes/{}/close", id(&dispute)), &json!({ "won": true })).await.ok();
    assert_eq!(won["status"], "won");

    let later = id(&api.session("").await);
    let processing =
        api.control(&format!("sessions/{later}/pay"), &json!({ "method": "sepa_debit" })).await.ok();
    assert_eq!(processing["outcome"], "processing");
    let settled = api.control(&format!("settle/{later}"), &json!({ "succeeds": true })).await.ok();
    assert_eq!(settled["payment_status"], "paid");
    assert_eq!(api.control(&format!("settle/{later}"), &json!({ "succeeds": true })).await.status, 409);
}

#[tokio::test]
async fn endpoints_are_listed_replaced_and_their_secrets_rolled() {
    let (_sim, api) = start().await;
    let wanted = json!({ "endpoints": [{ "url": "http://127.0.0.1:9/a", "secrets": ["whsec_a"] }] });
    let set = api.control("endpoints", &wanted).await.ok();
    let endpoint = &set["endpoints"][0];
    assert_eq!((&endpoint["secrets"], &endpoint["enabled_events"]), (&json!(["whsec_a"]), &json!(["*"])));
    let rolled =
        api.control(&format!("endpoints/{}/roll", id(endpoint)), &json!({ "secret": "whsec_b" })).await.ok();
    assert_eq!(rolled["secrets"], json!(["whsec_b", "whsec_a"]));
    for bad in [
        json!({ "endpoints": [{ "url": "ftp://x" }] }),
        json!({ "endpoints": [{ "url": "http://x", "secrets": [" "] }] }),
    ] {
        assert_eq!(api.control("endpoints", &bad).await.status, 400, "{bad}");
    }
    assert_eq!(api.control("endpoints", &json!({ "endpoints": [] })).await.ok()["endpoints"], json!([]));
}

#[tokio::test]
async fn pages_of_other_sites_are_refused() {
    let (_sim, api) = start().await;
    let json = ("content-type", "application/json");
    let body = br#"{"advance_seconds":1}"#;
    for headers in [
        vec![json, ("sec-fetch-site", "cross-site")],
        vec![json, ("sec-fetch-site", "same-site")],
        vec![json, ("origin", "https://evil.example")],
        vec![json, ("host", "evil.example")],
        vec![json, ("host", "evil.example:80"), ("origin", "http://evil.example")],
    ] {
        let got = api.send(Method::Post, "/_sim/clock", &headers, body).await;
        assert_eq!(got.status, 403, "{headers:?}");
    }
    let form = [("content-type", "application/x-www-form-urlencoded")];
    assert_eq!(api.send(Method::Post, "/_sim/clock", &form, body).await.status, 415);
    assert_eq!(
        api.send(Method::Get, "/_sim/state", &[("sec-fetch-site", "cross-site")], b"").await.status,
        403
    );
    assert_eq!(
        api.send(Method::Post, "/", &[("origin", "https://evil.example")], b"do=pause").await.status,
        403
    );
    let own = format!("http://{}", api.base.trim_start_matches("http://"));
    let same = [json, ("sec-fetch-site", "same-origin"), ("origin", own.as_str())];
    assert_eq!(api.send(Method::Post, "/_sim/clock", &same, body).await.status, 200);
}

/// `http://key:x@localhost…` in a form of any page on the web made webhook endpoints and expired sessions.
#[tokio::test]
async fn foreign_web_pages_cannot_use_stripes_api() {
    let (_sim, api) = start().await;
    let key = ("authorization", "Bearer sk_test_4eC39HqLyjWDarjtT1zdp7dc");
    let form = ("content-type", "application/x-www-form-urlencoded");
    let session = id(&api.session("").await);
    let attacks: &[&[(&str, &str)]] = &[
        &[("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "same-site")],
        &[("sec-fetch-site", "nonsense")],
        &[("origin", "https://evil.example")],
        &[("origin", "null")],
        &[("origin", "http://localhost:1")],
        &[("host", "evil.example")],
        &[("host", "evil.example:12111"), ("origin", "http://evil.example:12111")],
        &[("host", "localhost.evil.example")],
    ];
    for attack in attacks {
        let headers = [&[key, form], *attack].concat();
        for (method, path) in [
            (Method::Post, "/v1/webhook_endpoints".to_owned()),
            (Method::Post, format!("/v1/checkout/sessions/{session}/expire")),
            (Method::Get, "/v1/events".to_owned()),
        ] {
            let got = api.send(method, &path, &headers, b"url=http%3A%2F%2Fevil.example%2F").await;
            assert_eq!(got.status, 403, "{path} {attack:?}");
            assert!(got.json["error"]["message"].is_string(), "in the API's own form: {}", got.text());
        }
    }
    for fine in [&[("host", "localhost")][..], &[("host", "stripe:12111")], &[("sec-fetch-site", "none")]] {
        let headers = [&[key, form], fine].concat();
        assert_eq!(api.send(Method::Get, "/v1/events", &headers, b"").await.status, 200, "{fine:?}");
    }
}

#[tokio::test]
async fn the_control_page_shows_what_happened_and_its_buttons_work() {
    let (sim, api) = start().await;
    let session = id(&api.session("").await);
    let _ = sim.pay(&session, "sepa_debit").await.unwrap();
    let page = api.send(Method::Get, "/", &[], b"").await.text();
    assert!(
        page.contains(&format!("/c/pay/{session}")) && page.contains("checkout.session.completed"),
        "{page}"
    );
    let intent = sim.object(&session).unwrap()["payment_intent"].as_str().unwrap().to_owned();
    assert_eq!(api.page("/", &format!("do=succeed&id={intent}")).await.status, 303);
    assert_eq!(sim.object(&session).unwrap()["payment_status"], "paid");
    assert_eq!(api.page("/", "do=advance&seconds=3600").await.status, 303);
    assert_eq!(sim.clock().now().as_unix_seconds(), NOON + 3600);
    assert_eq!(api.page("/", "do=fault&fault=twin%3D30").await.status, 303);
    assert_eq!(api.get("/_sim/faults").await.ok()["faults"]["twin_percent"], 30);
    assert!(api.send(Method::Get, "/", &[], b"").await.text().contains("<code>twin_percent</code>"));
    assert_eq!(api.page("/", "do=no-faults").await.status, 303);
    assert_eq!(api.get("/_sim/faults").await.ok()["faults"]["twin_percent"], 0);
    assert_eq!(api.page("/", "do=fault&fault=nonsense").await.status, 400);
    assert_eq!(api.page("/", "do=nonsense").await.status, 400);
}

#[tokio::test]
async fn requests_are_logged_with_their_keys_and_answers() {
    let (sim, api) = start().await;
    api.post_with("/v1/refunds", &[("idempotency-key", "k1")], "charge=ch_none").await;
    let log = sim.request_log();
    assert_eq!(log.len(), 1);
    assert_eq!((log[0].method.as_str(), log[0].path.as_str()), ("POST", "/v1/refunds"));
    assert_eq!((log[0].idempotency_key.as_deref(), log[0].status), (Some("k1"), Some(404)));
    assert_eq!(api.get("/_sim/requests").await.ok()["requests"][0]["status"], 404);
}

#[tokio::test]
async fn what_is_there_is_acted_on_by_its_id_or_its_reference() {
    let (sim, api) = start().await;
    let session = id(&api.session("&client_reference_id=b_1").await);
    let act = async |body: Value| api.control("act", &body).await;
    let failed = act(json!({ "session": session, "what": "failed" })).await.ok();
    assert!(
        failed["events"].as_array().unwrap().iter().any(|e| e["type"] == "payment_intent.payment_failed")
    );
    act(json!({ "booking": "b_1", "what": "paid" })).await.ok();
    assert_eq!(sim.object(&session).unwrap()["payment_status"], "paid");
    assert_eq!(act(json!({ "booking": "b_1", "what": "paid" })).await.status, 409);
    assert_eq!(act(json!({ "booking": "b_1", "what": "expired" })).await.status, 409);
    let refunded = act(json!({ "booking": "b_1", "what": "refunded" })).await.ok();
    assert!(refunded["events"].as_array().unwrap().iter().any(|e| e["type"] == "charge.refunded"));
    assert_eq!(act(json!({ "booking": "b_none", "what": "paid" })).await.status, 404);
    assert_eq!(act(json!({ "what": "paid" })).await.status, 400);

    let other = id(&api.session("").await);
    act(json!({ "session": other, "what": "paid" })).await.ok();
    let disputed = act(json!({ "session": other, "what": "disputed" })).await.ok();
    assert_eq!(disputed["events"][0]["type"], "charge.dispute.created");
    let third = id(&api.session("").await);
    act(json!({ "session": third, "what": "expired" })).await.ok();
    assert_eq!(sim.object(&third).unwrap()["status"], "expired");
}

#[tokio::test]
async fn the_control_page_tells_what_happened_and_has_a_button_for_each_fault() {
    let (sim, api) = start().await;
    let session = id(&api.session("").await);
    let refused = api.post("/v1/checkout/sessions", "mode=payment").await;
    let page = api.send(Method::Get, "/", &[], b"").await.text();
    assert!(page.contains("[200] POST /v1/checkout/sessions [req_"), "{page}");
    for fault in ["duplicate", "reset-after", "should-retry", "html"] {
        assert!(page.contains(&format!("value=\"{fault}\"")), "{fault}");
    }
    assert!(page.contains("Declined") && page.contains("id=\"live\""));
    let path =
        refused.json["error"]["request_log_url"].as_str().unwrap().split_once("/?").unwrap().1.to_owned();
    let asked = api.send(Method::Get, &format!("/?{path}"), &[], b"").await.text();
    assert!(asked.contains("was answered 400"), "{asked}");
    assert_eq!(api.page("/", &format!("do=pay&id={session}")).await.status, 303);
    assert_eq!(sim.object(&session).unwrap()["payment_status"], "paid");
    assert_eq!(api.page("/", &format!("do=expire&id={session}")).await.status, 409);
    let before = api.send(Method::Get, "/_sim/changes?after=none", &[], b"").await.ok()["version"].clone();
    let path = format!("/_sim/changes?after={before}");
    let wait = api.send(Method::Get, &path, &[], b"");
    let (changed, _) = tokio::join!(wait, api.session(""));
    assert!(changed.ok()["version"].as_u64() > before.as_u64());
}
