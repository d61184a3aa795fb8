//! What shops use of Checkout, for real: codes, taxes, shipping, customers, setups, links.

use super::support::{Api, SESSION, id, kinds, start};
use http_client::Method;
use serde_json::{Value, json};
use stripe_sim::PayOutcome;

const TYPED: &str = "email=ada%40example.com&name=Ada&number=4242424242424242";

async fn page(api: &Api, session: &str) -> String {
    api.send(Method::Get, &format!("/c/pay/{session}"), &[], b"").await.text()
}

async fn amounts(api: &Api, session: &str) -> (i64, i64, i64, i64, i64) {
    let s = api.get(&format!("/v1/checkout/sessions/{session}")).await.ok();
    let n = |v: &Value| v.as_i64().unwrap();
    let t = &s["total_details"];
    (
        n(&s["amount_subtotal"]),
        n(&t["amount_discount"]),
        n(&t["amount_tax"]),
        n(&t["amount_shipping"]),
        n(&s["amount_total"]),
    )
}

#[tokio::test]
async fn a_promotion_code_typed_on_the_page_lowers_the_price_and_is_used_up() {
    let (sim, api) = start().await;
    api.post("/v1/coupons", "id=SUMMER&percent_off=25&name=Summer").await.ok();
    let code = api
        .post(
            "/v1/promotion_codes",
            "promotion[type]=coupon&promotion[coupon]=SUMMER&code=SUN25&max_redemptions=1",
        )
        .await
        .ok();
    let session = id(&api.session("&allow_promotion_codes=true").await);
    assert!(page(&api, &session).await.contains("Promotion code"));
    let path = format!("/c/pay/{session}");
    let wrong = api.page(&path, "do=promote&promotion=NOPE").await;
    assert!(wrong.status == 422 && wrong.text().contains("This code is invalid."), "{}", wrong.text());
    assert_eq!(api.page(&path, "do=promote&promotion=sun25").await.status, 303);
    assert_eq!(amounts(&api, &session).await, (2000, 500, 0, 0, 1500));
    let shown = page(&api, &session).await;
    assert!(shown.contains("Discount SUN25") && shown.contains("€15.00"), "{shown}");
    assert_eq!(api.page(&path, TYPED).await.status, 303);
    let paid = api
        .get(&format!(
            "/v1/checkout/sessions/{session}?expand[]=payment_intent&expand[]=total_details.breakdown"
        ))
        .await
        .ok();
    assert_eq!(paid["payment_intent"]["amount_received"], 1500);
    assert_eq!(paid["discounts"], json!([{ "coupon": null, "promotion_code": id(&code) }]));
    assert_eq!(paid["total_details"]["breakdown"]["discounts"][0]["amount"], 500);
    assert_eq!(sim.object(&id(&code)).unwrap()["times_redeemed"], 1);
    assert_eq!(api.get("/v1/coupons/SUMMER").await.ok()["times_redeemed"], 1);

    let next = id(&api.session("&allow_promotion_codes=true").await);
    assert_eq!(
        api.page(&format!("/c/pay/{next}"), "do=promote&promotion=SUN25").await.status,
        422,
        "used up"
    );
    let closed = id(&api.session("").await);
    assert!(!page(&api, &closed).await.contains("Promotion code"));
    assert_eq!(api.page(&format!("/c/pay/{closed}"), "do=promote&promotion=SUN25").await.status, 422);
}

#[tokio::test]
async fn a_coupon_given_with_the_session_counts_and_a_whole_one_makes_it_free() {
    let (sim, api) = start().await;
    api.post("/v1/coupons", "id=TEN&amount_off=1000&currency=eur").await.ok();
    api.post("/v1/coupons", "id=ALL&percent_off=100").await.ok();
    api.post("/v1/coupons", "id=USD&amount_off=1000&currency=usd").await.ok();
    let ten = id(&api.session("&discounts[0][coupon]=TEN").await);
    assert_eq!(amounts(&api, &ten).await, (2000, 1000, 0, 0, 1000));
    let all = id(&api.session("&discounts[0][coupon]=ALL").await);
    assert_eq!(sim.pay(&all, "pm_card_visa").await, Ok(PayOutcome::Paid));
    assert_eq!(sim.object(&all).unwrap()["payment_status"], "no_payment_required");
    for (more, param) in [
        ("&discounts[0][coupon]=USD", "discounts[0]"),
        ("&discounts[0][coupon]=NONE", "discounts[0][coupon]"),
        ("&discounts[0][coupon]=TEN&allow_promotion_codes=true", "discounts"),
        ("&discounts[0][coupon]=TEN&discounts[1][coupon]=ALL", "discounts"),
    ] {
        let got = api.post("/v1/checkout/sessions", &format!("{SESSION}{more}")).await;
        assert_eq!((got.status, got.refusal().3), (400, param), "{more}: {}", got.message());
    }
    assert_eq!(api.delete("/v1/coupons/TEN").await.ok()["deleted"], true);
    assert_eq!(api.get("/v1/coupons/TEN").await.status, 404);
}

#[tokio::test]
async fn taxes_are_added_or_contained_and_the_automatic_one_is_a_fifth() {
    let (sim, api) = start().await;
    let rate = |inclusive: bool| format!("display_name=VAT&percentage=20&inclusive={inclusive}");
    let on_top = id(&api.post("/v1/tax_rates", &rate(false)).await.ok());
    let within = id(&api.post("/v1/tax_rates", &rate(true)).await.ok());
    let added = id(&api.session(&format!("&line_items[0][tax_rates][0]={on_top}")).await);
    assert_eq!(amounts(&api, &added).await, (2000, 0, 400, 0, 2400));
    let contained = id(&api.session(&format!("&line_items[0][tax_rates][0]={within}")).await);
    assert_eq!(amounts(&api, &contained).await, (2000, 0, 333, 0, 2000));

    let automatic = id(&api.session("&automatic_tax[enabled]=true").await);
    assert_eq!(amounts(&api, &automatic).await.4, 2000, "nobody knows yet where the buyer is");
    assert!(page(&api, &automatic).await.contains("€24.00"), "the page asks for all of it");
    let _ = sim.pay(&automatic, "pm_card_visa").await.unwrap();
    assert_eq!(amounts(&api, &automatic).await, (2000, 0, 400, 0, 2400));
    let paid = api.get(&format!("/v1/checkout/sessions/{automatic}?expand[]=payment_intent")).await.ok();
    assert_eq!(paid["payment_intent"]["amount_received"], 2400);
    let items = api.get(&format!("/v1/checkout/sessions/{automatic}/line_items")).await.ok();
    assert_eq!(
        (&items["data"][0]["amount_tax"], &items["data"][0]["amount_total"]),
        (&json!(400), &json!(2400))
    );
}

#[tokio::test]
async fn the_buyer_chooses_among_the_shipping_options() {
    let (sim, api) = start().await;
    let form = "display_name=Fast&fixed_amount[amount]=900&fixed_amount[currency]=eur&type=fixed_amount";
    let fast = id(&api.post("/v1/shipping_rates", form).await.ok());
    let slow = "&shipping_options[0][shipping_rate_data][display_name]=Slow\
                &shipping_options[0][shipping_rate_data][fixed_amount][amount]=300\
                &shipping_options[0][shipping_rate_data][fixed_amount][currency]=eur";
    let session = id(&api.session(&format!("{slow}&shipping_options[1][shipping_rate]={fast}")).await);
    assert_eq!(amounts(&api, &session).await, (2000, 0, 0, 300, 2300));
    assert!(page(&api, &session).await.contains("Fast: €9.00"));
    assert_eq!(api.page(&format!("/c/pay/{session}"), &format!("do=ship&rate={fast}")).await.status, 303);
    let _ = sim.pay(&session, "pm_card_visa").await.unwrap();
    let paid = sim.object(&session).unwrap();
    assert_eq!(
        (&paid["amount_total"], &paid["shipping_cost"]["shipping_rate"]),
        (&json!(2900), &json!(fast))
    );
}

#[tokio::test]
async fn a_customer_is_prefilled_and_keeps_what_was_paid_with() {
    let (sim, api) = start().await;
    let customer = id(&api.post("/v1/customers", "email=jenny%40example.com&name=Jenny").await.ok());
    let more = format!("&customer={customer}&payment_intent_data[setup_future_usage]=off_session");
    let session = id(&api.session(&more).await);
    let shown = page(&api, &session).await;
    assert!(shown.contains("value=\"jenny@example.com\"") && shown.contains("value=\"Jenny\""), "{shown}");
    assert_eq!(api.page(&format!("/c/pay/{session}"), "number=4242424242424242").await.status, 303);
    let paid = api
        .get(&format!("/v1/checkout/sessions/{session}?expand[]=payment_intent.payment_method"))
        .await
        .ok();
    assert_eq!(paid["customer_details"]["email"], "jenny@example.com");
    let method = &paid["payment_intent"]["payment_method"];
    assert_eq!(method["customer"], json!(customer));
    let kept = api.get(&format!("/v1/customers/{customer}/payment_methods?type=card")).await.ok();
    assert_eq!(kept["data"][0]["id"], method["id"]);
    assert!(kinds(&sim).contains(&"payment_method.attached".to_owned()));

    let nobody = id(&api.session("&payment_intent_data[setup_future_usage]=off_session").await);
    let _ = sim.pay(&nobody, "pm_card_visa").await.unwrap();
    let paid =
        api.get(&format!("/v1/checkout/sessions/{nobody}?expand[]=payment_intent.payment_method")).await.ok();
    assert!(paid["customer"].is_string());
    assert_eq!(paid["payment_intent"]["payment_method"]["customer"], paid["customer"]);

    assert_eq!(api.delete(&format!("/v1/customers/{customer}")).await.ok()["deleted"], true);
    assert_eq!(api.get(&format!("/v1/customers/{customer}")).await.ok()["deleted"], true);
    assert!(
        api.get("/v1/customers?email=jenny%40example.com").await.ok()["data"].as_array().unwrap().is_empty()
    );
    let gone = api.post("/v1/checkout/sessions", &format!("{SESSION}&customer={customer}")).await;
    assert_eq!((gone.status, gone.refusal().3), (400, "customer"));
}

#[tokio::test]
async fn a_session_in_setup_mode_keeps_a_card_without_a_payment() {
    let (sim, api) = start().await;
    let customer = id(&api.post("/v1/customers", "email=jenny%40example.com").await.ok());
    let form =
        format!("mode=setup&currency=eur&customer={customer}&success_url=https%3A%2F%2Fshop.example%2Fok");
    let session = api.post("/v1/checkout/sessions", &form).await.ok();
    assert_eq!(
        (&session["amount_total"], &session["payment_status"]),
        (&Value::Null, &json!("no_payment_required"))
    );
    let path = format!("/c/pay/{}", id(&session));
    assert!(page(&api, &id(&session)).await.contains("Save"));
    assert_eq!(api.page(&path, "number=4000000000000002").await.status, 422, "declined");
    assert_eq!(api.page(&path, "number=4242424242424242").await.status, 303);
    let done = api
        .get(&format!("/v1/checkout/sessions/{}?expand[]=setup_intent.payment_method", id(&session)))
        .await
        .ok();
    assert_eq!((&done["status"], &done["setup_intent"]["status"]), (&json!("complete"), &json!("succeeded")));
    assert_eq!(done["setup_intent"]["payment_method"]["customer"], json!(customer));
    let told = kinds(&sim);
    for kind in [
        "setup_intent.created",
        "setup_intent.setup_failed",
        "setup_intent.succeeded",
        "checkout.session.completed",
    ] {
        assert!(told.contains(&kind.to_owned()), "{kind}: {told:?}");
    }
    let setup = api
        .post("/v1/setup_intents", &format!("customer={customer}&payment_method=pm_card_visa&confirm=true"))
        .await;
    assert_eq!(setup.ok()["status"], "succeeded");
    let declined = api.post("/v1/setup_intents", "payment_method=pm_card_chargeDeclined&confirm=true").await;
    assert_eq!(declined.refusal().0, 402);
}

#[tokio::test]
async fn payment_methods_are_made_kept_and_let_go() {
    let (_sim, api) = start().await;
    let customer = id(&api.post("/v1/customers", "").await.ok());
    let form = "type=card&card[number]=4242424242424242&card[exp_month]=8&card[exp_year]=2030&card[cvc]=123&metadata[a]=b";
    let method = id(&api.post("/v1/payment_methods", form).await.ok());
    let attach = format!("/v1/payment_methods/{method}/attach");
    assert_eq!(api.post(&attach, &format!("customer={customer}")).await.ok()["customer"], json!(customer));
    let listed = api.get(&format!("/v1/payment_methods?customer={customer}&type=card")).await.ok();
    assert_eq!(
        (&listed["data"][0]["id"], &listed["data"][0]["metadata"]),
        (&json!(method), &json!({ "a": "b" }))
    );
    let detach = format!("/v1/payment_methods/{method}/detach");
    assert_eq!(api.post(&detach, "").await.ok()["customer"], Value::Null);
    assert_eq!(api.post(&detach, "").await.status, 400);
    for (form, status) in [
        ("type=card&card[number]=4242424242424241&card[exp_month]=8&card[exp_year]=2030", 402),
        ("type=sepa_debit&sepa_debit[iban]=FR00", 400),
        ("type=boleto", 400),
    ] {
        assert_eq!(api.post("/v1/payment_methods", form).await.status, status, "{form}");
    }
    let named =
        api.post("/v1/payment_methods/pm_card_visa/attach", &format!("customer={customer}")).await.ok();
    assert!(named["id"] != "pm_card_visa" && named["customer"] == json!(customer));
}

#[tokio::test]
async fn whoever_follows_a_payment_link_gets_a_session_of_their_own() {
    let (sim, api) = start().await;
    let price =
        id(&api.post("/v1/prices", "currency=eur&unit_amount=1200&product_data[name]=Tea").await.ok());
    let form = format!(
        "line_items[0][price]={price}&line_items[0][quantity]=2&metadata[from]=link&allow_promotion_codes=true"
    );
    let link = api.post("/v1/payment_links", &form).await.ok();
    let path = format!("/b/{}", id(&link));
    assert!(link["url"].as_str().unwrap().ends_with(&path) && link.get("_items").is_none());
    let followed = api.send(Method::Get, &format!("{path}?client_reference_id=b_1"), &[], b"").await;
    let session = followed.header("location").unwrap().rsplit('/').next().unwrap().to_owned();
    let _ = sim.pay(&session, "pm_card_visa").await.unwrap();
    let paid = sim.object(&session).unwrap();
    assert_eq!((&paid["amount_total"], &paid["payment_link"]), (&json!(2400), &link["id"]));
    assert_eq!(
        (&paid["client_reference_id"], &paid["metadata"]),
        (&json!("b_1"), &json!({ "from": "link" }))
    );
    let items = api.get(&format!("/v1/payment_links/{}/line_items", id(&link))).await.ok();
    assert_eq!(items["data"][0]["amount_total"], 2400);
    api.post(&format!("/v1/payment_links/{}", id(&link)), "active=false").await.ok();
    assert_eq!(api.send(Method::Get, &path, &[], b"").await.status, 404);
}

#[tokio::test]
async fn a_price_with_a_fraction_is_rounded_once_for_the_line() {
    let (_sim, api) = start().await;
    let price = id(&api
        .post("/v1/prices", "currency=eur&unit_amount_decimal=0.5&product_data[name]=Sheet")
        .await
        .ok());
    let form = format!(
        "mode=payment&success_url=https%3A%2F%2Fs.example&line_items[0][price]={price}&line_items[0][quantity]=301"
    );
    let session = api.post("/v1/checkout/sessions", &form).await.ok();
    assert_eq!(session["amount_total"], 151);
}

#[tokio::test]
async fn what_has_no_effect_is_refused_or_named() {
    let (_sim, api) = start().await;
    for (more, param, word) in [
        ("&invoice_creation[enabled]=true", "invoice_creation[enabled]", "Invoices are not simulated"),
        ("&mode=subscription", "mode", "Subscriptions are not simulated"),
        ("&subscription_data[description]=x", "subscription_data", "Subscriptions are not simulated"),
        ("&line_items[0][dynamic_tax_rates][0]=txr_1", "line_items[0][dynamic_tax_rates]", "not simulated"),
    ] {
        let got = api.post("/v1/checkout/sessions", &format!("{SESSION}{more}")).await;
        assert_eq!((got.status, got.refusal().3), (400, param), "{more}");
        assert!(got.message().contains(word), "{more}: {}", got.message());
    }
    let more = "&wallet_options[link][display]=never&payment_intent_data[on_behalf_of]=acct_1";
    let got = api.post("/v1/checkout/sessions", &format!("{SESSION}{more}")).await;
    assert_eq!(got.header("stripe-sim-no-effect"), Some("payment_intent_data[on_behalf_of], wallet_options"));
    assert_eq!(api.post("/v1/checkout/sessions", SESSION).await.header("stripe-sim-no-effect"), None);
}

#[tokio::test]
async fn metadata_has_its_limit_over_updates_too_and_lists_their_order() {
    let (sim, api) = start().await;
    let fifty = |letter: char| (0..50).map(|n| format!("&metadata[{letter}{n}]=1")).collect::<String>();
    let session = id(&api.session(&fifty('a')).await);
    let path = format!("/v1/checkout/sessions/{session}");
    let over = api.post(&path, &fifty('b')[1..]).await;
    assert_eq!((over.status, over.refusal().3), (400, "metadata"));
    assert!(over.message().contains("100 keys"), "{}", over.message());
    assert_eq!(sim.object(&session).unwrap()["metadata"].as_object().unwrap().len(), 50);
    api.post(&path, "metadata[a0]=&metadata[new]=1").await.ok();

    let gap = SESSION.replace("line_items[0]", "line_items[1]");
    let got = api.post("/v1/checkout/sessions", &gap).await;
    assert_eq!((got.status, got.refusal().3), (400, "line_items"), "{}", got.text());
    assert!(got.message().contains("in sequence"), "{}", got.message());
    for url in ["ftp://shop.example/x", "mailto:a@b.example", "nowhere"] {
        let got = api.post("/v1/webhook_endpoints", &format!("url={url}&enabled_events[0]=*")).await;
        assert_eq!(got.refusal(), (400, "invalid_request_error", "url_invalid", "url"), "{url}");
    }
}

#[tokio::test]
async fn the_account_is_there_and_connect_is_refused_in_words() {
    let (_sim, api) = start().await;
    let account = api.get("/v1/account").await.ok();
    assert_eq!((&account["object"], &account["charges_enabled"]), (&json!("account"), &json!(true)));
    let own = id(&account);
    assert_eq!(id(&api.get(&format!("/v1/accounts/{own}")).await.ok()), own);
    let other = api.get("/v1/accounts/acct_1Other").await;
    assert!(
        other.status == 403 && other.message().contains("Connect is not simulated"),
        "{}",
        other.message()
    );
    let headers =
        |account: &'static str| [("authorization", "Bearer sk_test_x"), ("stripe-account", account)];
    let named = headers(Box::leak(own.into_boxed_str()));
    assert_eq!(api.send(Method::Get, "/v1/balance", &named, b"").await.status, 200);
    let foreign = api.send(Method::Get, "/v1/balance", &headers("acct_1Other"), b"").await;
    assert!(foreign.status == 403 && foreign.message().contains("Connect is not simulated"));
}

#[tokio::test]
async fn kinds_that_are_not_simulated_are_empty_lists_and_named() {
    let (_sim, api) = start().await;
    for list in
        ["subscriptions", "invoices", "payouts", "accounts", "issuing/cards", "subscriptions/search?query=x"]
    {
        let got = api.get(&format!("/v1/{list}")).await.ok();
        assert_eq!((&got["data"], &got["has_more"]), (&json!([]), &json!(false)), "{list}");
    }
    for (got, what) in [
        (api.get("/v1/subscriptions/sub_1").await, "Subscriptions"),
        (api.post("/v1/invoices", "customer=cus_1").await, "Invoices"),
    ] {
        assert_eq!(got.refusal().0, 404);
        assert!(got.message().starts_with(&format!("{what} is not simulated")), "{}", got.message());
    }
    assert!(api.get("/v1/nonsense").await.message().starts_with("Unrecognized request URL"));
}

#[tokio::test]
async fn what_is_there_is_found_by_stripes_query_language() {
    let (_sim, api) = start().await;
    for n in 0..3 {
        api.post("/v1/customers", &format!("email=c{n}%40example.com&metadata[n]={n}")).await.ok();
    }
    let search = async |query: &str| {
        let query: String = url_encode(query);
        api.get(&format!("/v1/customers/search?query={query}&limit=2")).await
    };
    let all = search("email~\"example\"").await.ok();
    assert_eq!((all["data"].as_array().unwrap().len(), &all["has_more"]), (2, &json!(true)));
    let page = all["next_page"].as_str().unwrap();
    let path = format!("/v1/customers/search?query={}&page={page}", url_encode("email~\"example\""));
    let rest = api.get(&path).await.ok();
    assert_eq!((rest["data"].as_array().unwrap().len(), &rest["has_more"]), (1, &json!(false)));
    assert_eq!(search("metadata['n']:'1'").await.ok()["data"][0]["email"], "c1@example.com");
    assert_eq!(search("email = x").await.refusal(), (400, "invalid_request_error", "", "query"));
}

fn url_encode(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}
