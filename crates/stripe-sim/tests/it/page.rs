//! The payment page as a browser without script sees it.

use super::support::{Api, NOON, SESSION, id, kinds, start};
use http_client::Method;
use serde_json::json;
use stripe_sim::Sim;

async fn opened(more: &str) -> (Sim, Api, String, String) {
    let (sim, api) = start().await;
    let session = id(&api.session(more).await);
    let path = format!("/c/pay/{session}");
    (sim, api, session, path)
}

const BUYER: &str = "email=ada%40example.com&name=Ada&expiry=12%2F40&cvc=123";

#[tokio::test]
async fn the_page_is_a_simulation_in_the_sessions_language_and_loads_nothing_from_elsewhere() {
    let (_sim, api, _, path) = opened("&locale=fr&cancel_url=https%3A%2F%2Fshop.example%2Fcancel").await;
    let page = api.send(Method::Get, &path, &[], b"").await;
    let text = page.text();
    assert_eq!(page.status, 200);
    assert!(text.contains("<html lang=\"fr\">") && text.contains("Simulation"), "{text}");
    assert!(text.contains("20,00\u{a0}€") && text.contains("4000 0027 6000 3184"));
    assert!(text.contains("href=\"https://shop.example/cancel\""));
    assert!(!text.contains("<script") && !text.contains("src=\"http"));
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'; style-src 'self'"));
    assert!(policy.contains("form-action 'self' https://shop.example;"), "{policy}");
    assert_eq!(api.send(Method::Get, "/assets/sim.css", &[], b"").await.status, 200);
}

#[tokio::test]
async fn without_a_locale_the_browsers_language_counts() {
    let (_sim, api, _, path) = opened("").await;
    let french = api.send(Method::Get, &path, &[("accept-language", "fr-FR,en;q=0.5")], b"").await;
    assert!(french.text().contains("lang=\"fr\""));
    let other = api.send(Method::Get, &path, &[("accept-language", "de")], b"").await;
    assert!(other.text().contains("lang=\"en\""));
}

#[tokio::test]
async fn a_declined_card_is_told_on_the_page_and_another_try_succeeds() {
    let (sim, api, session, path) = opened("&locale=en").await;
    let declined = api.page(&path, &format!("{BUYER}&number=4000000000000002")).await;
    assert_eq!(declined.status, 422);
    assert!(
        declined.text().contains("Your card was declined.") && declined.text().contains("role=\"alert\"")
    );
    assert!(!declined.text().contains("4000000000000002"), "the number is not shown again");
    assert_eq!(kinds(&sim), ["payment_intent.created", "charge.failed", "payment_intent.payment_failed"]);
    assert_eq!(api.page(&path, &format!("{BUYER}&number=4242424242424242")).await.status, 303);
    assert_eq!(sim.object(&session).unwrap()["payment_status"], "paid");
    // Again: the order is complete, nothing is charged twice.
    let again = api.page(&path, &format!("{BUYER}&number=4242424242424242")).await;
    assert_eq!(again.header("location").unwrap(), format!("https://shop.example/ok?s={session}"));
    assert_eq!(kinds(&sim).iter().filter(|k| *k == "charge.succeeded").count(), 1);
}

#[tokio::test]
async fn mistakes_are_told_without_trying_to_pay() {
    let (sim, api, _, path) = opened("&locale=en").await;
    for (form, message) in [
        (format!("{BUYER}&number=4242424242424241"), "Your card number is invalid."),
        (format!("{BUYER}&number="), "Your card number is invalid."),
        ("email=a%40b.fr&number=4242424242424242&expiry=01%2F20".into(), "expiration date is in the past"),
        ("email=a%40b.fr&number=4242424242424242&expiry=13%2F40".into(), "expiration date is invalid"),
        ("email=a%40b.fr&number=4242424242424242&cvc=1".into(), "security code is invalid"),
        ("email=&number=4242424242424242".into(), "Enter an email address."),
        (format!("{BUYER}&method=sepa_debit&iban=nonsense!"), "The IBAN you entered is invalid."),
    ] {
        let got = api.page(&path, &form).await;
        let text = got.text().replace("&#39;", "'");
        assert!(got.status == 422 && text.contains(message), "{form}: {text}");
    }
    assert!(kinds(&sim).is_empty());
}

#[tokio::test]
async fn three_d_secure_asks_and_takes_both_answers() {
    let (sim, api, session, path) = opened("&locale=en").await;
    let number = format!("{BUYER}&number=4000002760003184");
    let asked = api.page(&path, &number).await;
    let question = asked.header("location").unwrap().to_owned();
    assert_eq!((asked.status, question.as_str()), (303, format!("{path}/3ds").as_str()));
    let page = api.send(Method::Get, &question, &[], b"").await;
    assert!(page.text().contains("value=\"complete\"") && page.text().contains("value=\"fail\""));
    let failed = api.page(&question, "answer=fail").await;
    assert!(failed.text().contains("We are unable to authenticate your payment method."));
    // Whoever tries again from there does not answer the bank once more.
    assert!(failed.text().contains(&format!("<form method=\"post\" action=\"{path}\"")), "{}", failed.text());
    assert_eq!(sim.object(&session).unwrap()["status"], "open");
    assert_eq!(
        kinds(&sim),
        ["payment_intent.created", "payment_intent.requires_action", "payment_intent.payment_failed"]
    );
    api.page(&path, &number).await;
    let passed = api.page(&question, "answer=complete").await;
    assert_eq!(passed.header("location").unwrap(), format!("https://shop.example/ok?s={session}"));
    assert_eq!(sim.object(&session).unwrap()["payment_status"], "paid");
}

#[tokio::test]
async fn a_delayed_method_leads_back_to_the_shop_unpaid() {
    let (sim, api, session, path) = opened("").await;
    let form = format!("{BUYER}&method=sepa_debit&iban=AT61+1904+3002+3457+3201");
    assert_eq!(api.page(&path, &form).await.status, 303);
    let object = sim.object(&session).unwrap();
    assert_eq!((&object["status"], &object["payment_status"]), (&json!("complete"), &json!("unpaid")));
}

#[tokio::test]
async fn a_total_of_zero_needs_no_card() {
    let (sim, api) = start().await;
    let form = SESSION.replace("unit_amount]=2000", "unit_amount]=0");
    let session = id(&api.post("/v1/checkout/sessions", &form).await.ok());
    let done = api.page(&format!("/c/pay/{session}"), "email=ada%40example.com").await;
    assert_eq!(done.status, 303, "{}", done.text());
    let object = sim.object(&session).unwrap();
    assert_eq!(object["payment_status"], "no_payment_required");
    assert_eq!(object["payment_intent"], json!(null));
    assert_eq!(kinds(&sim), ["checkout.session.completed"]);
}

#[tokio::test]
async fn an_expired_or_unknown_page_says_so() {
    let (_sim, api, session, path) = opened("&locale=en").await;
    api.post(&format!("/v1/checkout/sessions/{session}/expire"), "").await.ok();
    let expired = api.send(Method::Get, &path, &[], b"").await;
    assert!(expired.text().contains("This payment page has expired"));
    assert!(
        api.page(&path, &format!("{BUYER}&number=4242424242424242")).await.text().contains("has expired")
    );
    assert_eq!(api.send(Method::Get, "/c/pay/cs_none", &[], b"").await.status, 404);
}

#[tokio::test]
async fn what_the_merchant_wrote_is_shown_as_text() {
    let (_sim, api) = start().await;
    let form = SESSION.replace(
        "[name]=Room",
        "[name]=%3Cscript%3Ealert(1)%3C%2Fscript%3E&line_items[0][price_data][product_data][description]=at+%3Cnoon%3E",
    );
    let session = id(&api.post("/v1/checkout/sessions", &form).await.ok());
    let page = api.send(Method::Get, &format!("/c/pay/{session}"), &[], b"").await.text();
    assert!(page.contains("&lt;script&gt;") && !page.contains("<script>"));
    assert!(page.contains("at &lt;noon&gt;"), "what is bought, by its description: {page}");
}

#[tokio::test]
async fn what_a_session_asks_of_the_buyer_is_asked_on_the_page_and_told_afterwards() {
    let asks = "&locale=en&phone_number_collection[enabled]=true&shipping_address_collection[allowed_countries][]=FR\
                &consent_collection[terms_of_service]=required&consent_collection[promotions]=auto\
                &custom_fields[0][key]=size&custom_fields[0][label][type]=custom&custom_fields[0][label][custom]=Size\
                &custom_fields[0][type]=dropdown&custom_fields[0][dropdown][options][0][label]=Small\
                &custom_fields[0][dropdown][options][0][value]=s\
                &custom_fields[1][key]=age&custom_fields[1][label][type]=custom&custom_fields[1][label][custom]=%3Cb%3EAge\
                &custom_fields[1][type]=numeric&custom_fields[1][numeric][maximum_length]=3\
                &custom_fields[2][key]=note&custom_fields[2][label][type]=custom&custom_fields[2][label][custom]=Note\
                &custom_fields[2][type]=text&custom_fields[2][optional]=true";
    let (sim, api, session, path) = opened(asks).await;
    let page = api.send(Method::Get, &path, &[], b"").await.text();
    for shown in
        ["Phone number", "Shipping address", "<option value=\"s\"", "&lt;b&gt;Age", "Note (optional)"]
    {
        assert!(page.contains(shown), "{shown}: {page}");
    }
    let card = format!("{BUYER}&number=4242424242424242");
    let answers = "phone=%2B33600000000&shipping_name=Ada&shipping_line1=1+rue+X&shipping_postal_code=75001\
                   &shipping_city=Paris&shipping_country=FR&field_0=s&field_1=36&terms=yes&promotions=yes";
    for (left_out, field) in [
        ("phone=%2B33600000000", "phone"),
        ("shipping_line1=1+rue+X", "shipping_line1"),
        ("shipping_country=FR", "shipping_country"),
        ("field_0=s", "field_0"),
        ("field_1=36", "field_1"),
        ("terms=yes", "terms"),
    ] {
        let refused = api.page(&path, &format!("{card}&{}", answers.replace(left_out, "x=y"))).await;
        assert_eq!(refused.status, 422, "{field}");
        assert!(refused.text().contains(&format!("href=\"#{field}\"")), "{field}: {}", refused.text());
    }
    for (right, wrong) in
        [("field_0=s", "field_0=xl"), ("field_1=36", "field_1=x"), ("=FR", "=DE"), ("=36", "=3636")]
    {
        let refused = api.page(&path, &format!("{card}&{}", answers.replace(right, wrong))).await;
        assert_eq!(refused.status, 422, "{wrong}");
    }
    assert!(kinds(&sim).is_empty(), "nothing was charged for a form that does not fit");

    assert_eq!(api.page(&path, &format!("{card}&{answers}")).await.status, 303);
    let paid = sim.object(&session).unwrap();
    assert_eq!(paid["customer_details"]["phone"], "+33600000000");
    let shipping = &paid["collected_information"]["shipping_details"];
    assert_eq!((&shipping["name"], &shipping["address"]["city"]), (&json!("Ada"), &json!("Paris")));
    assert_eq!(paid["custom_fields"][0]["dropdown"]["value"], "s");
    assert_eq!(paid["custom_fields"][1]["numeric"]["value"], "36");
    assert_eq!(paid["custom_fields"][2]["text"]["value"], json!(null));
    assert_eq!(paid["consent"], json!({ "promotions": "opt_in", "terms_of_service": "accepted" }));
}

#[tokio::test]
async fn an_expired_session_is_taken_up_again_if_that_was_asked_for() {
    let (sim, api, session, _) =
        opened("&after_expiration[recovery][enabled]=true&client_reference_id=b_1").await;
    let expired = api.post(&format!("/v1/checkout/sessions/{session}/expire"), "").await.ok();
    let recovery = &expired["after_expiration"]["recovery"];
    assert_eq!(recovery["expires_at"], NOON + 30 * 24 * 3600);
    assert_eq!(recovery["url"], format!("http://localhost:{}/r/{session}", sim.addr().port()));
    let link = format!("/r/{session}");
    let moved = api.send(Method::Get, &link, &[], b"").await;
    let new = moved.header("location").unwrap().strip_prefix("/c/pay/").unwrap().to_owned();
    assert_eq!(
        api.page(&format!("/c/pay/{new}"), &format!("{BUYER}&number=4242424242424242")).await.status,
        303
    );
    let paid = sim.object(&new).unwrap();
    assert_eq!((&paid["payment_status"], &paid["client_reference_id"]), (&json!("paid"), &json!("b_1")));
    assert_eq!(paid["recovered_from"], session.as_str());
    assert_eq!(paid["after_expiration"]["recovery"]["url"], json!(null));

    sim.clock().advance(std::time::Duration::from_secs(30 * 24 * 3600));
    assert_eq!(api.send(Method::Get, &link, &[], b"").await.status, 404, "too late");
    let plain = id(&api.session("").await);
    api.post(&format!("/v1/checkout/sessions/{plain}/expire"), "").await.ok();
    assert_eq!(api.send(Method::Get, &format!("/r/{plain}"), &[], b"").await.status, 404);
}
