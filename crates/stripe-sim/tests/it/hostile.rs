//! Malformed, over-long and foreign requests: always Stripe's error object, never a panic.

use super::support::{SESSION, id, start};
use http_client::Method;

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");
const KEY: (&str, &str) = ("authorization", "Bearer sk_test_x");

#[tokio::test]
async fn who_has_no_test_key_is_turned_away() {
    let (_sim, api) = start().await;
    let ask = async |headers: &[(&str, &str)]| api.send(Method::Get, "/v1/balance", headers, b"").await;
    let none = ask(&[]).await;
    assert_eq!((none.status, none.header("www-authenticate")), (401, Some("Basic realm=\"Stripe\"")));
    assert!(none.message().starts_with("You did not provide an API key."));
    for bad in ["Bearer nonsense", "Bearer sk_test_", "Bearer sk_live_abc", "Basic !!!", "Digest x"] {
        let got = ask(&[("authorization", bad)]).await;
        assert_eq!(got.refusal().1, "invalid_request_error", "{bad}");
        assert_eq!(got.status, 401, "{bad}");
    }
    let masked = ask(&[("authorization", "Bearer abcdefghijklmnopqrstuvwxyz")]).await;
    assert_eq!(masked.message(), "Invalid API Key provided: abcdefgh**************wxyz");
    // `sk_test_x:` and `rk_test_x`
    assert_eq!(ask(&[("authorization", "Basic c2tfdGVzdF94Og==")]).await.status, 200);
    assert_eq!(ask(&[("authorization", "Bearer rk_test_x")]).await.status, 200);
}

#[tokio::test]
async fn a_publishable_key_and_a_foreign_account_are_forbidden() {
    let (_sim, api) = start().await;
    let ask = async |headers: &[(&str, &str)]| api.send(Method::Get, "/v1/balance", headers, b"").await;
    let publishable = ask(&[("authorization", "Bearer pk_test_x")]).await;
    assert_eq!(publishable.refusal(), (403, "invalid_request_error", "secret_key_required", ""));
    let foreign = ask(&[KEY, ("stripe-account", "acct_1Elsewhere")]).await;
    assert_eq!(foreign.refusal(), (403, "invalid_request_error", "account_invalid", ""));
    assert!(foreign.message().contains("does not have access to account 'acct_1Elsewhere'"));
}

#[tokio::test]
async fn an_unknown_address_is_told_in_the_apis_own_form() {
    let (_sim, api) = start().await;
    for path in ["/v2/core/events", "/nope", "/v1", "/v1/balance/"] {
        let got = api.get(path).await;
        assert_eq!(got.refusal(), (404, "invalid_request_error", "", ""), "{path}: {}", got.text());
        assert!(got.message().starts_with(&format!("Unrecognized request URL (GET: {path}).")));
        assert!(got.header("request-id").is_some());
    }
    assert_eq!(api.send(Method::Get, "/v2/core/events", &[], b"").await.refusal().0, 401);
    let page = api.send(Method::Get, "/nope", &[], b"").await;
    assert!(page.text().contains("Page not found"), "a browser sees a page");
}

#[tokio::test]
async fn what_is_not_simulated_is_refused_and_not_ignored() {
    let (_sim, api) = start().await;
    let session = id(&api.session("").await);
    let at = format!("/v1/checkout/sessions/{session}");
    let create = "/v1/checkout/sessions";
    for (path, form, param) in [
        (create, format!("{SESSION}&line_items[0][tax_rates][0]=txr_1"), "line_items[0][tax_rates][0]"),
        (
            create,
            format!("{SESSION}&optional_items[0][price]=price_1&optional_items[0][quantity]=1"),
            "optional_items[0][price]",
        ),
        (create, format!("{SESSION}&branding_settings[colour]=red"), "branding_settings[colour]"),
        (at.as_str(), "line_items[0][id]=li_1".to_owned(), "line_items"),
        (at.as_str(), "shipping_options=".to_owned(), "shipping_options"),
        (
            "/v1/webhook_endpoints",
            "url=https://shop.example&enabled_events[]=charge.succeeded&enabled_events[]=charge.invented"
                .to_owned(),
            "enabled_events[1]",
        ),
    ] {
        let got = api.post(path, &form).await;
        assert_eq!((got.status, got.refusal().3), (400, param), "{}", got.text());
    }
}

#[tokio::test]
async fn every_answer_has_a_request_id_and_the_version_it_was_asked_for() {
    let (_sim, api) = start().await;
    let got = api.get("/v1/balance").await;
    assert!(got.header("request-id").unwrap().starts_with("req_"));
    assert_eq!(got.header("stripe-version"), Some("2026-10-28.endive"));
    let old = api.send(Method::Get, "/v1/balance", &[KEY, ("stripe-version", "2024-06-20")], b"").await;
    assert_eq!(old.header("stripe-version"), Some("2024-06-20"));
    let wrong = api.send(Method::Get, "/v1/balance", &[KEY, ("stripe-version", "yesterday")], b"").await;
    assert_eq!(wrong.status, 400);
    assert!(api.get("/v1/nope").await.message().starts_with("Unrecognized request URL (GET: /v1/nope)."));
    assert_eq!(api.get("/v1/nope").await.status, 404);
}

#[tokio::test]
async fn an_older_version_still_takes_what_it_knew() {
    let (_sim, api) = start().await;
    let form = format!("{SESSION}&payment_method_types[0]=card&ui_mode=hosted");
    let version = ("stripe-version", "2025-08-27.basil");
    let old =
        api.send(Method::Post, "/v1/checkout/sessions", &[KEY, FORM, version], form.as_bytes()).await.ok();
    assert_eq!(old["payment_method_types"], serde_json::json!(["card"]));
    assert!(old["url"].is_string());
}

#[tokio::test]
async fn json_bodies_are_refused_and_empty_ones_are_fine() {
    let (_sim, api) = start().await;
    let path = "/v1/checkout/sessions";
    let json = api.send(Method::Post, path, &[KEY, ("content-type", "application/json")], b"{}").await;
    assert_eq!(json.status, 400);
    assert!(json.message().contains("application/x-www-form-urlencoded"));
    let empty = api.send(Method::Post, path, &[KEY], b"").await;
    assert_eq!(empty.refusal(), (400, "invalid_request_error", "parameter_missing", "mode"));
}

#[tokio::test]
async fn a_megabyte_of_brackets_is_an_error_object() {
    let (_sim, api) = start().await;
    let almost = 1024 * 1024 - 10;
    for body in [
        format!("a{}=1", "[b]".repeat(almost / 3)),
        format!("metadata{}", "[".repeat(almost)),
        "[".repeat(almost),
        format!("mode={}", "x".repeat(almost)),
        format!("{}=1", "x".repeat(almost)),
        "a=&".repeat(almost / 3),
        (0..50_000).map(|n| format!("k{n}=1&")).collect::<String>(),
        format!("line_items{}", "[0][price_data]".repeat(60_000)),
    ] {
        let got = api.post("/v1/checkout/sessions", &body).await;
        assert_eq!(got.status, 400, "{}", &body[..20]);
        assert_eq!(got.refusal().1, "invalid_request_error");
        assert!(got.text().len() < 4_000, "{} bytes for {}", got.text().len(), &body[..20]);
    }
    let over = api.post("/v1/checkout/sessions", &"x".repeat(1024 * 1024 + 1)).await;
    assert_eq!(over.refusal().1, "invalid_request_error");
    assert_eq!(over.status, 413);
}

#[tokio::test]
async fn wrong_types_name_the_parameter() {
    let (_sim, api) = start().await;
    for (more, param) in [
        ("&client_reference_id[a]=b", "client_reference_id"),
        ("&line_items=1", "line_items"),
        ("&metadata=x", "metadata"),
        ("&metadata[a][b]=c", "metadata[a]"),
        ("&line_items[x][quantity]=1", "line_items"),
        ("&line_items[0][quantity]=1.5", "line_items[0][quantity]"),
        ("&line_items[0][quantity]=-1", "line_items[0][quantity]"),
        ("&line_items[0][quantity]=99999999999999999999", "line_items[0][quantity]"),
        ("&expires_at=tomorrow", "expires_at"),
        ("&expand=nonsense", "expand"),
        ("&customer_email[]=a@b.fr", "customer_email"),
        ("&payment_intent_data[metadata][k]=%00%FF", ""),
    ] {
        let got = api.post("/v1/checkout/sessions", &format!("{SESSION}{more}")).await;
        if param.is_empty() {
            assert_eq!(got.status, 200, "{more}");
        } else {
            assert_eq!((got.status, got.refusal().3), (400, param), "{more}: {}", got.message());
        }
    }
    for (path, param) in [
        ("/v1/events?limit=0", "limit"),
        ("/v1/events?limit=101", "limit"),
        ("/v1/events?limit=ten", "limit"),
        ("/v1/events?starting_after=evt_none", "starting_after"),
        ("/v1/events?type=a&types[]=b", "types"),
        ("/v1/events?created[around]=1", "created[around]"),
        ("/v1/events?colour=red", "colour"),
        ("/v1/checkout/sessions?status=lost", "status"),
    ] {
        let got = api.get(path).await;
        assert_eq!((got.status, got.refusal().3), (400, param), "{path}: {}", got.message());
    }
}

#[tokio::test]
async fn booleans_are_read_as_stripes_own_mock_reads_them() {
    let (_sim, api) = start().await;
    let ask = async |word: &str| {
        api.post("/v1/checkout/sessions", &format!("{SESSION}&phone_number_collection[enabled]={word}")).await
    };
    for (words, value) in
        [(["true", "True", "TRUE", "t", "T", "1"], true), (["false", "False", "FALSE", "f", "F", "0"], false)]
    {
        for word in words {
            assert_eq!(ask(word).await.ok()["phone_number_collection"]["enabled"], value, "{word}");
        }
    }
    for word in ["yes", "tRUE", "2", "on"] {
        let got = ask(word).await;
        assert_eq!((got.status, got.message()), (400, format!("Invalid boolean: {word}").as_str()));
    }
}

#[tokio::test]
async fn a_refusal_leads_to_its_request() {
    let (sim, api) = start().await;
    let got = api.post("/v1/checkout/sessions", "mode=payment").await;
    let url = got.json["error"]["request_log_url"].as_str().unwrap();
    assert_eq!(
        url,
        format!("http://localhost:{}/?request={}", sim.addr().port(), got.header("request-id").unwrap())
    );
}

#[tokio::test]
async fn odd_ids_are_unknown_and_nothing_worse() {
    let (_sim, api) = start().await;
    for odd in ["%00", "..%2f..", "%E2%82%AC", "cs_test_%22%3E", &"x".repeat(5_000), "%"] {
        for kind in ["checkout/sessions", "payment_intents", "charges", "refunds", "disputes", "events"] {
            let got = api.get(&format!("/v1/{kind}/{odd}")).await;
            assert_eq!((got.status, got.refusal().2), (404, "resource_missing"), "{kind}/{odd}");
        }
    }
}
