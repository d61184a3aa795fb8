//! What people stumbled over: each once, so that nobody does again.

use crate::harness::app::{Answer, send};
use crate::harness::{TestApp, TestDatabase, on_each_engine};
use crate::shop::{ADMIN, Shop};
use checkout_backend::flow::refund;
use domain::role::Role;

on_each_engine! {
    a_form_sent_after_the_session_ended_leads_back_to_its_page,
    the_audit_log_tells_sums_in_words_and_why_a_case_was_closed,
    a_refund_in_a_case_is_asked_once_more_with_its_sum,
    who_only_reads_sees_no_tiles_that_lead_nowhere,
    browsers_and_robots_find_what_they_look_for,
    pages_travel_compressed_and_webhooks_do_not,
}

async fn post(app: &TestApp, path: &str, fields: &[(&str, &str)], headers: &[(&str, &str)]) -> Answer {
    let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let mut request = app.http.post(format!("{}{path}", app.url)).header("accept", "text/html").body(body);
    request = request.header("content-type", "application/x-www-form-urlencoded");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    send(request).await
}

async fn a_form_sent_after_the_session_ended_leads_back_to_its_page(db: TestDatabase) {
    let app = TestApp::start(&db).await;
    let booking = app.pending_booking().await;
    let page = format!("/dashboard/bookings/{}", booking.id);
    let decoded = |answer: &Answer| {
        let location = answer.headers["location"].to_str().unwrap().to_owned();
        let (_, query) = location.split_once('?').unwrap();
        form_urlencoded::parse(query.as_bytes()).into_owned().collect::<Vec<_>>()
    };
    let lost = ("undone".to_owned(), "yes".to_owned());
    for (path, expected) in [
        (format!("{page}/refund"), page.clone()),
        (format!("{page}/cancel"), page.clone()),
        ("/dashboard/ledger/evt_1/replay".to_owned(), "/dashboard/ledger/evt_1".to_owned()),
        ("/dashboard/offers".to_owned(), "/dashboard/offers".to_owned()),
    ] {
        let answer = post(&app, &path, &[("amount", "10")], &[]).await;
        assert_eq!(answer.status, 303, "{path}");
        assert_eq!(decoded(&answer), [("next".to_owned(), expected), lost.clone()], "{path}");
    }
    // The browser says which page held the form; another site's word is not taken.
    let from = format!("{}/dashboard/offers/new?lang=en", app.url);
    let answer = post(&app, "/dashboard/offers", &[], &[("referer", &from)]).await;
    assert_eq!(decoded(&answer)[0].1, "/dashboard/offers/new?lang=en");
    let answer =
        post(&app, "/dashboard/offers", &[], &[("referer", "https://evil.example/dashboard/users")]).await;
    assert_eq!(decoded(&answer)[0].1, "/dashboard/offers");
    let login = app.get(answer.headers["location"].to_str().unwrap()).await;
    assert!(login.body.contains("rien n’a été fait"), "{}", login.body);
    // A page that was only looked at: nothing was to be done.
    let looked = send(app.http.get(format!("{}{page}", app.url)).header("accept", "text/html")).await;
    assert_eq!(decoded(&looked), [("next".to_owned(), page)]);
}

async fn the_audit_log_tells_sums_in_words_and_why_a_case_was_closed(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let checkout = shop.paid().await;
    refund::refund(&shop.app.app, checkout.booking, Some(1400), "k", ADMIN).await.unwrap();
    let told = db.texts("select detail from audit_log where action like 'refund.%' order by id").await;
    assert!(told.len() == 2 && told.iter().all(|detail| detail.contains("€14.00")), "{told:?}");

    let app = TestApp::start(&db).await;
    let booking = app.pending_booking().await;
    app.attach(&booking, "cs_test_1").await;
    let mut event = app.paid("evt_1", &booking, "cs_test_1");
    event["data"]["object"]["amount_total"] = serde_json::json!(1);
    event["data"]["object"]["amount_subtotal"] = serde_json::json!(1);
    assert_eq!(app.deliver(&event).await.outcome(), "case");
    let id = db.texts("select id from cases").await.remove(0);
    let ops = app.person(Role::Ops).await;
    let fields = [("action", "dismiss"), ("note", "called her")];
    let cookie = [("cookie", ops.cookie.as_str())];
    assert_eq!(post(&app, &format!("/dashboard/cases/{id}"), &fields, &cookie).await.status, 303);
    let told = db.texts("select detail from audit_log where action = 'case.closed'").await;
    assert_eq!(told, ["dismiss: called her"]);
}

async fn a_refund_in_a_case_is_asked_once_more_with_its_sum(db: TestDatabase) {
    let app = TestApp::start(&db).await;
    let booking = app.pending_booking().await;
    app.attach(&booking, "cs_test_1").await;
    let mut event = app.paid("evt_1", &booking, "cs_test_1");
    event["data"]["object"]["amount_total"] = serde_json::json!(1400);
    event["data"]["object"]["amount_subtotal"] = serde_json::json!(1400);
    assert_eq!(app.deliver(&event).await.outcome(), "case");
    let id = db.texts("select id from cases").await.remove(0);
    let admin = app.person(Role::Admin).await;
    let cookie = [("cookie", admin.cookie.as_str())];
    let path = format!("/dashboard/cases/{id}");
    for (action, question) in [
        ("refund", "Rembourser 14,00\u{202f}€ à Ada Lovelace"),
        ("accept", "Accepter 14,00\u{202f}€ de Ada Lovelace"),
    ] {
        let asked = post(&app, &path, &[("action", action), ("note", "why <b>")], &cookie).await;
        assert_eq!(asked.status, 200, "{action}");
        for part in [question, "name=\"confirmed\"", "why &#60;b&#62;", booking.code.as_str()] {
            assert!(asked.body.contains(part), "{action}: {part}: {}", asked.body);
        }
    }
    assert_eq!(db.number("select count(*) from cases where closed_at is null").await, 1);
    assert_eq!(db.number("select count(*) from refund_intents").await, 0, "a press moves no money");
    let fields = [("action", "accept"), ("confirmed", "yes")];
    assert_eq!(post(&app, &path, &fields, &cookie).await.status, 303);
    assert_eq!(db.number("select count(*) from cases where closed_at is null").await, 0);
}

async fn who_only_reads_sees_no_tiles_that_lead_nowhere(db: TestDatabase) {
    let app = TestApp::start(&db).await;
    for (role, shown) in [(Role::ReadOnly, false), (Role::Ops, true), (Role::Admin, true)] {
        let person = app.person(role).await;
        let page = app.get_as(&person.cookie, "/dashboard").await;
        assert_eq!((page.status, page.body.contains("class=\"tile\"")), (200, shown), "{role}");
    }
}

async fn browsers_and_robots_find_what_they_look_for(db: TestDatabase) {
    let app = TestApp::start(&db).await;
    let icon = app.get("/favicon.ico").await;
    assert_eq!(icon.status, 308);
    assert_eq!(
        app.get(icon.headers["location"].to_str().unwrap()).await.headers["content-type"],
        "image/svg+xml"
    );
    let robots = app.get("/robots.txt").await;
    assert!(robots.headers["content-type"].to_str().unwrap().starts_with("text/plain"));
    assert!(
        robots.body.starts_with("User-agent: *\nDisallow: /dashboard\n")
            && robots.body.contains("\nDisallow: /b/\n"),
        "{}",
        robots.body
    );
}

async fn pages_travel_compressed_and_webhooks_do_not(db: TestDatabase) {
    let app = TestApp::start(&db).await;
    for path in ["/", "/docs", "/openapi.json"] {
        let plain = app.get(path).await;
        assert!(!plain.headers.contains_key("content-encoding"), "{path}");
        let request = app.http.get(format!("{}{path}", app.url)).header("accept-encoding", "gzip");
        let response = request.send().await.unwrap();
        assert_eq!(response.headers()["content-encoding"], "gzip", "{path}");
        let small = response.bytes().await.unwrap().len();
        assert!(small * 2 < plain.body.len(), "{path}: {small} of {}", plain.body.len());
    }
    let request = app.http.post(format!("{}/webhook", app.url)).header("accept-encoding", "gzip").body("{}");
    assert!(!send(request).await.headers.contains_key("content-encoding"));
}
