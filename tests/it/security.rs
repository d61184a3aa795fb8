//! What holds for every route: headers, cross-site requests, methods, sizes, malformed input, panics.

use crate::harness::app::{Answer, send};
use crate::harness::people::PASSWORD;
use crate::harness::{Engine, TestApp, TestDatabase, on_each_engine};
use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::get;
use checkout_backend::http::{Access, Route, request, routes, security};
use domain::role::Role;
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tower_http::catch_panic::CatchPanicLayer;

async fn app(variables: &[(&str, &str)]) -> TestApp {
    let db = TestDatabase::fresh(Engine::Sqlite).await;
    TestApp::start_with(&db, variables, "http://127.0.0.1:1").await
}

async fn ask(app: &TestApp, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    let mut request = app.http.request(method, format!("{}{path}", app.url)).body(body.to_owned());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    send(request).await
}

/// A path of a route, with values for its parameters.
fn example(path: &str) -> String {
    path.replace("{session}", "cs_test_nowhere")
        .replace("{version}", "0")
        .replace("{name}", "nothing.css")
        .replace("{action}", "nothing")
        .replace("{code}", "AAAAAA")
        .replace("{id}", "01890000-0000-7000-8000-000000000000")
}

fn problem(answer: &Answer) -> Value {
    assert_eq!(answer.headers["content-type"], "application/problem+json", "{answer:?}");
    let body = answer.json();
    assert_eq!(body["status"], answer.status, "{answer:?}");
    for member in ["type", "title", "detail", "error", "message"] {
        assert!(body[member].as_str().is_some_and(|text| !text.is_empty()), "{member}: {answer:?}");
    }
    assert_eq!(body["requestId"].as_str(), answer.headers["x-request-id"].to_str().ok(), "{answer:?}");
    body
}

/// S26, S28, S29: every route, as nobody and as somebody who sees it, and whatever answers instead of one.
#[tokio::test]
async fn every_answer_carries_the_protective_headers() {
    const VERSION: &str = "7.8.9-canary";
    let variables = [("APP_URL", "https://pay.test"), ("METRICS_TOKEN", "t"), ("APP_VERSION", VERSION)];
    let app = app(&variables).await;
    let admin = app.person(Role::Admin).await;
    let mut asked: Vec<(&str, String, String)> = routes()
        .into_iter()
        .map(|Route { method, path, .. }| (method, example(path), "{}".to_owned()))
        .collect();
    let front = app.get("/").await.body;
    let assets: Vec<_> = front.split('"').filter(|part| part.starts_with("/assets/")).collect();
    assert!(assets.len() >= 2, "{front}");
    asked.extend(assets.iter().map(|path| ("GET", (*path).to_owned(), String::new())));
    asked.push(("GET", "/nowhere".into(), String::new()));
    asked.push(("PUT", "/webhook".into(), String::new()));
    asked.push(("TRACE", "/".into(), String::new()));
    asked.push(("POST", "/auth/login".into(), "x".repeat(17 * 1024)));
    asked.push(("GET", format!("/health?{}", "x".repeat(33 * 1024)), String::new()));
    // Signing out ends the session that the others need.
    asked.sort_by_key(|(_, path, _)| path.contains("logout"));
    for cookie in [None, Some(admin.cookie.as_str())] {
        for (method, path, body) in &asked {
            let mut headers = vec![("content-type", "application/json"), ("x-request-id", "sweep.1")];
            headers.extend(cookie.map(|cookie| ("cookie", cookie)));
            let answer = ask(&app, method, path, &headers, body).await;
            assert!(cookie.is_none() || answer.status != 401 || path == "/metrics" || path == "/auth/login");
            let what = format!("{method} {path}: {}", answer.status);
            check_protective_headers(&answer, &what);
            assert_eq!(answer.headers["x-request-id"], "sweep.1", "{what}");
            // S38
            assert!(cookie.is_some() || !format!("{answer:?}").contains(VERSION), "{what}");
            let kept = answer.headers["cache-control"].to_str().unwrap();
            let public = ["/api/offers", "/api/slots"].iter().any(|open| path.starts_with(open));
            let kept_by_all = path.starts_with("/assets/")
                || ["/favicon.ico", "/robots.txt"].contains(&path.as_str())
                || public && cookie.is_none() && *method == "GET";
            assert!(kept == "no-store" || (answer.status == 200 && kept_by_all), "{what}: {kept}");
        }
    }
}

fn check_protective_headers(answer: &Answer, what: &str) {
    let told = |name: &str| {
        let mut values = answer.headers.get_all(name).iter();
        let value = values.next().unwrap_or_else(|| panic!("{what} lacks {name}"));
        assert!(values.next().is_none(), "{what}: {name} twice");
        value.to_str().unwrap()
    };
    let policy: BTreeSet<&str> = told("content-security-policy").split(';').map(str::trim).collect();
    for part in [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    ] {
        assert!(policy.contains(part), "{what}: {part} in {policy:?}");
    }
    assert_eq!(policy.len(), 8, "{what}: {policy:?}");
    assert_eq!(told("x-content-type-options"), "nosniff");
    assert_eq!(told("referrer-policy"), "same-origin");
    assert_eq!(told("cross-origin-opener-policy"), "same-origin");
    assert_eq!(told("cross-origin-resource-policy"), "same-origin");
    assert!(told("permissions-policy").contains("camera=()"));
    assert!(told("strict-transport-security").contains("max-age=63072000"));
    assert!(!told("x-request-id").is_empty());
    assert!(answer.headers.get("server").is_none() && answer.headers.get("x-powered-by").is_none());
    let kind = answer.headers.get("content-type").map_or("", |kind| kind.to_str().unwrap());
    assert!(!kind.starts_with("text/") || kind.contains("charset=utf-8"), "{what}: {kind}");
}

/// R20, S30
#[tokio::test]
async fn a_head_over_the_limit_is_refused_like_everything_else() {
    let app = app(&[]).await;
    let headers = |size: usize| ("x-long", "y".repeat(size));
    for size in [33 * 1024, 100 * 1024] {
        let (name, value) = headers(size);
        let long = [(name, value.as_str()), ("x-request-id", "long-head")];
        let answer = ask(&app, "POST", "/auth/login", &long, "{}").await;
        assert_eq!((answer.status, &answer.headers["x-request-id"]), (431, &"long-head".parse().unwrap()));
        problem(&answer);
    }
    let (name, value) = headers(16 * 1024);
    assert_eq!(ask(&app, "GET", "/health", &[(name, &value)], "").await.status, 200);
}

#[tokio::test]
async fn without_https_browsers_are_not_told_to_insist_on_it() {
    let app = app(&[]).await;
    assert!(app.get("/health").await.headers.get("strict-transport-security").is_none());
}

/// S15
#[tokio::test]
async fn changes_are_not_taken_from_other_sites() {
    let app = app(&[]).await;
    let person = app.person(Role::Admin).await;
    let own = app.url.clone();
    let cases: &[(&[(&str, &str)], bool)] = &[
        (&[], true),
        (&[("sec-fetch-site", "same-origin")], true),
        (&[("sec-fetch-site", "none")], true),
        (&[("sec-fetch-site", "same-site")], false),
        (&[("sec-fetch-site", "cross-site")], false),
        (&[("sec-fetch-site", "nonsense")], false),
        (&[("sec-fetch-site", "cross-site"), ("origin", &own)], false),
        (&[("origin", &own)], true),
        (&[("origin", "null")], false),
        (&[("origin", "https://evil.test")], false),
        (&[("origin", "https://pay.test.evil.test")], false),
        (&[("origin", "")], false),
    ];
    for (headers, allowed) in cases {
        let mut all = vec![("content-type", "application/json")];
        all.extend_from_slice(headers);
        let login = ask(&app, "POST", "/auth/login", &all, "{}").await;
        assert_eq!(login.status, if *allowed { 400 } else { 403 }, "login with {headers:?}");
        all.push(("cookie", &person.cookie));
        let change = ask(&app, "POST", "/api/users", &all, "{}").await;
        assert_eq!(change.status, if *allowed { 400 } else { 403 }, "change with {headers:?}");
        if !allowed {
            assert!(change.headers.get_all("vary").iter().any(|v| v.to_str().unwrap().contains("Origin")));
            assert_eq!(problem(&change)["error"], "Cross-site request");
        }
    }
    let cross_site = [("sec-fetch-site", "cross-site"), ("cookie", person.cookie.as_str())];
    for Route { method, path, .. } in routes() {
        if method != "GET" && path != "/webhook" {
            let answer = ask(&app, method, &example(path), &cross_site, "{}").await;
            assert_eq!(answer.status, 403, "{method} {path}");
        }
    }
    // A form of another site cannot name this content type without asking first.
    let form = [("content-type", "text/plain"), ("cookie", person.cookie.as_str())];
    assert_eq!(ask(&app, "POST", "/api/users", &form, "{}").await.status, 415);
    // Stripe is no browser, and what looks like one is judged by its signature all the same.
    let delivery = ask(&app, "POST", "/webhook", &[("origin", "https://evil.test")], "{}").await;
    assert_eq!(delivery.status, 400);
    let reading = ask(&app, "GET", "/auth/me", &[("sec-fetch-site", "cross-site")], "").await;
    assert_eq!(reading.status, 401);
}

#[tokio::test]
async fn pages_of_allowed_origins_may_book_and_do_nothing_else() {
    let app = app(&[("ALLOWED_ORIGINS", "https://shop.test")]).await;
    let shop = [("origin", "https://shop.test"), ("sec-fetch-site", "cross-site")];
    let mut asking = shop.to_vec();
    asking.push(("access-control-request-method", "POST"));
    let preflight = ask(&app, "OPTIONS", "/api/bookings", &asking, "").await;
    assert_eq!(preflight.status, 204);
    assert_eq!(preflight.headers["access-control-allow-origin"], "https://shop.test");
    let mut json = shop.to_vec();
    json.push(("content-type", "application/json"));
    let booking = ask(&app, "POST", "/api/bookings", &json, "{}").await;
    assert_eq!(booking.status, 400);
    assert_eq!(booking.headers["access-control-allow-origin"], "https://shop.test");
    assert!(booking.headers.get("access-control-allow-credentials").is_none());
    assert_eq!(ask(&app, "POST", "/auth/login", &json, "{}").await.status, 403);
    let evil = [("origin", "https://evil.test"), ("sec-fetch-site", "cross-site")];
    let refused = ask(&app, "POST", "/api/bookings", &evil, "{}").await;
    assert_eq!(refused.status, 403);
    assert!(refused.headers.get("access-control-allow-origin").is_none());
}

/// S16
#[tokio::test]
async fn other_methods_are_refused_with_those_that_are_allowed() {
    let app = app(&[("METRICS_TOKEN", "t")]).await;
    let mut allowed: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for Route { method, path, .. } in routes() {
        allowed.entry(example(path)).or_default().insert(method);
    }
    for (path, methods) in &allowed {
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
            let answer = ask(&app, method, path, &[], "").await;
            if methods.contains(method) {
                assert_ne!(answer.status, 405, "{method} {path}");
                continue;
            }
            assert_eq!(answer.status, 405, "{method} {path}");
            let allow = answer.headers["allow"].to_str().unwrap();
            assert!(methods.iter().all(|method| allow.contains(method)), "{method} {path}: {allow}");
            problem(&answer);
        }
        assert_eq!(ask(&app, "TRACE", path, &[], "").await.status, 405, "{path}");
    }
    assert_eq!(ask(&app, "DELETE", "/nowhere", &[], "").await.status, 404);
}

/// R20
#[tokio::test]
async fn bodies_over_the_limit_are_refused() {
    let app = app(&[]).await;
    for Route { method, path, access, .. } in routes() {
        if method == "GET" || matches!(access, Access::Role(_)) {
            continue;
        }
        let limit = if access == Access::Stripe { 1024 * 1024 } else { 16 * 1024 };
        let headers = [("content-type", "application/json")];
        let whole = ask(&app, method, path, &headers, &" ".repeat(limit)).await;
        assert_ne!(whole.status, 413, "{path}");
        let over = ask(&app, method, path, &headers, &" ".repeat(limit + 1)).await;
        // Who does not look at the body need not refuse it.
        let unread = over.status == whole.status;
        assert!(over.status == 413 || unread, "{path}: {}", over.status);
        assert!(!unread || !path.starts_with("/api") && access != Access::Stripe, "{path} has no limit");
    }
    // Without a Content-Length the end is not known before it comes.
    let chunk =
        || Ok::<_, std::io::Error>(hyper::body::Frame::data(bytes::Bytes::from(vec![b' '; 64 * 1024])));
    let chunks = http_body_util::StreamBody::new(futures_util::stream::iter((0..40).map(move |_| chunk())));
    // Only a delivery that may be Stripe's is read at all.
    let signature = format!("t={},v1={}", app.clock.now().as_unix_seconds(), "0".repeat(64));
    let request = app.http.post(format!("{}/webhook", app.url)).header("stripe-signature", signature);
    assert_eq!(send(request.body(reqwest::Body::wrap(chunks))).await.status, 413);
}

/// S30
#[tokio::test]
async fn a_request_id_is_taken_if_it_is_harmless_and_made_otherwise() {
    let app = app(&[]).await;
    for good in ["a", "abc-DEF_1.2", &"x".repeat(64)] {
        let answer = ask(&app, "GET", "/health", &[("x-request-id", good)], "").await;
        assert_eq!(answer.headers["x-request-id"], good);
    }
    for bad in ["", " ", "a b", "a\"b", "a/b", "\u{1b}[31m", "é", &"x".repeat(65), &"y".repeat(10_240)] {
        let Ok(value) = reqwest::header::HeaderValue::from_bytes(bad.as_bytes()) else { continue };
        let request = app.http.get(format!("{}/health", app.url)).header("x-request-id", value);
        let answer = send(request).await;
        let made = answer.headers["x-request-id"].to_str().unwrap();
        assert!(made != bad && made.len() == 36, "{bad:?} gave {made}");
    }
}

/// S33
#[tokio::test]
async fn a_panic_is_an_anonymous_500_and_the_next_request_is_served() {
    let app = app(&[]).await;
    async fn boom() -> &'static str {
        panic!("canary-in-a-panic")
    }
    let router = Router::new()
        .route("/boom", get(boom))
        .layer(CatchPanicLayer::custom(security::panicked))
        .layer(from_fn_with_state(app.app.clone(), request::observe));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/boom", listener.local_addr().unwrap());
    let server = tokio::spawn(async move { axum::serve(listener, router).await });
    for _ in 0..2 {
        let answer = send(app.http.get(&url)).await;
        assert_eq!(answer.status, 500);
        assert_eq!(problem(&answer)["error"], "Internal error");
        assert!(!answer.body.contains("canary"), "{answer:?}");
    }
    assert_eq!(app.app.counters.http_5xx(), 2);
    server.abort();
}

on_each_engine! {
    what_the_database_says_is_for_the_log_only,
}

/// S33: the tables are gone from under every handler, but for those that say who asks.
async fn what_the_database_says_is_for_the_log_only(db: TestDatabase) {
    let app = TestApp::start(&db).await;
    let admin = app.person(Role::Admin).await;
    let tables = match db.engine {
        Engine::Sqlite => "select name from sqlite_master where type = 'table' and name not like 'sqlite%'",
        Engine::Postgres => "select tablename::text from pg_tables where schemaname = 'public'",
    };
    let kept = ["users", "sessions", "_sqlx_migrations"];
    let tables: Vec<_> = db.texts(tables).await.into_iter().filter(|name| !kept.contains(&&**name)).collect();
    assert!(tables.len() > 10, "{tables:?}");
    for table in &tables {
        db.execute(&format!("alter table {table} rename to gone_{table}")).await;
    }
    let booking = json!({
        "firstName": "Ada", "lastName": "Lovelace", "email": "ada@example.org", "date": "2031-05-05", "time": "10:00",
        "password": "correct horse battery", "role": "OPS", "name": "x", "amount": 600, "currency": "EUR",
    });
    let mut failed = 0;
    for Route { method, path, .. } in routes() {
        if path.contains("logout") {
            continue;
        }
        let headers = [
            ("content-type", "application/json"),
            ("cookie", admin.cookie.as_str()),
            ("idempotency-key", "k"),
            ("x-request-id", "gone"),
        ];
        let answer = ask(&app, method, &example(path), &headers, &booking.to_string()).await;
        if answer.status >= 500 {
            failed += 1;
            // Probes say in their own form why no webhook could be recorded, and no more.
            if ["/health", "/readyz"].contains(&path) {
                assert!(answer.json()["db"].is_string(), "{answer:?}");
                continue;
            }
            assert_eq!(problem(&answer)["error"], "Internal error", "{method} {path}");
            for word in ["gone_", "no such table", "relation", "sqlx", "select ", "insert "] {
                assert!(!answer.body.contains(word), "{method} {path}: {word:?} in {answer:?}");
            }
        }
    }
    assert!(failed > 20, "only {failed} routes noticed");
    assert_eq!(app.app.counters.http_5xx(), failed);
    assert_eq!(app.get("/livez").await.status, 200);
}

/// S19
#[tokio::test]
async fn members_that_are_not_the_callers_change_nothing() {
    let app = app(&[]).await;
    let admin = app.person(Role::Admin).await;
    let body = json!({
        "email": "ada@pay.test", "password": PASSWORD, "role": "READONLY",
        "id": "01890000-0000-7000-8000-000000000000", "active": false, "passwordHash": "$2b$04$x", "isAdmin": true,
    });
    let headers = [("cookie", admin.cookie.as_str())];
    let made = app.post_json("/api/users", &body, &headers).await;
    assert_eq!(made.status, 201);
    let user = &made.json()["user"];
    assert_ne!(user["id"], body["id"]);
    assert_eq!((&user["active"], &user["role"]), (&json!(true), &json!("READONLY")));
    assert!(!made.body.contains("$2"), "{made:?}");
    assert_eq!(app.login("ada@pay.test", PASSWORD).await.json()["user"]["role"], "READONLY");
}

/// What people and machines send by mistake, and on purpose.
const MALFORMED: &[&str] = &[
    "",
    " ",
    "\n",
    "null",
    "true",
    "0",
    "-1",
    "1e400",
    "\"\"",
    "\"text\"",
    "[]",
    "[{}]",
    "{",
    "}",
    "{]",
    "{}{}",
    "{\"a\"}",
    "{\"a\":}",
    "{a:1}",
    "{'a':1}",
    "{\"email\":null}",
    "{\"email\":1}",
    "{\"email\":[]}",
    "{\"email\":{}}",
    "{\"email\":true,\"password\":false}",
    "{\"email\":\"\",\"password\":[]}",
    "{\"email\":\"\\u0000\",\"password\":1}",
    "{\"firstName\":{}}",
    "{\"firstName\":\"\",\"lastName\":[]}",
    "{\"date\":20310505}",
    "{\"date\":\"2031-13-45\",\"time\":\"25:61\"}",
    "{\"time\":-1}",
    "{\"offer\":0}",
    "{\"firstName\":\"\\ud800\"}",
    "{\"__proto__\":{\"role\":\"ADMIN\"}}",
    "{\"constructor\":1}",
    "\u{feff}{}",
    "<xml/>",
    "a=b&c=d",
    "--boundary\r\n",
    "\u{0}",
    "\u{0}\u{1}\u{2}",
    "NaN",
    "undefined",
    "{\"a\":1,}",
    "// {}",
    "{\"a\":\"\t\"}",
    "\u{202e}{}",
];

/// What stands behind a question mark by mistake, and on purpose.
const ODD_QUERIES: &[&str] = &[
    "%",
    "%f",
    "%ff=%00",
    "%00",
    "=",
    "&",
    "&&&=&",
    "a=b&c=d",
    "a=b&a=c",
    "?",
    "+",
    "limit=-1&next=%F0%9F%98%80",
    "limit=",
    "limit=0",
    "limit=99999999999999999999",
    "limit=1e9",
    "limit=NaN",
    "next=%00",
    "next=..%2f..%2f",
    "next=//evil.test",
    "lang=xx",
    "lang=",
    "lang[]=fr",
    "lang=fr&lang=en",
    "session_id=",
    "session_id=%00",
    "session_id=cs_%ff&lang[]=1",
    "session_id=cs_test_%F0%9F%98%80",
    "session_id={CHECKOUT_SESSION_ID}",
    "session_id=' or 1=1 --",
    "date=",
    "date=2031-99-99",
    "date=0000-00-00",
    "date=99999-01-01",
    "date=-1",
    "date=2031-02-30&time=24:00",
    "date=%E2%80%AE2031-01-01",
    "time=9",
    "offer=",
    "offer=../../etc/passwd",
    "offer=01890000-0000-7000-8000-000000000000",
    "offer=%3Cscript%3E",
];

/// S35
#[tokio::test]
async fn malformed_requests_are_told_what_is_wrong_and_never_break_anything() {
    let app = app(&[("TRUST_PROXY", "1")]).await;
    let mut asked = 0_usize;
    for Route { method, path, access, .. } in routes() {
        if matches!(access, Access::Role(_)) || method == "GET" {
            continue;
        }
        let deep = format!("{}{}", "[".repeat(8_000), "]".repeat(8_000));
        for (n, body) in MALFORMED.iter().copied().chain([deep.as_str()]).enumerate() {
            // Everybody alone, so that no limit answers instead.
            let from = format!("10.{}.{}.{}", asked / 65_536, asked / 256 % 256, asked % 256);
            asked += 1;
            for kind in ["application/json", "application/x-www-form-urlencoded", ""] {
                let headers = [("content-type", kind), ("x-forwarded-for", &from)];
                let answer = ask(&app, method, path, &headers, body).await;
                let html = answer
                    .headers
                    .get("content-type")
                    .is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
                let page = html || answer.status == 303;
                let fine = path == "/auth/logout" || page;
                assert!((400..500).contains(&answer.status) || fine, "{path} {kind} #{n}: {answer:?}");
                assert!(answer.status < 500, "{path} {kind} #{n}: {answer:?}");
                if !fine {
                    let told = problem(&answer);
                    // A webhook is told only that its signature does not fit.
                    let named = told["details"].as_array().is_some_and(|details| !details.is_empty());
                    assert!(
                        named || answer.status == 415 || path == "/webhook",
                        "{path} {kind} #{n}: {told}"
                    );
                }
            }
        }
    }
    assert!(MALFORMED.len() >= 40, "{}", MALFORMED.len());
    for Route { method, path, access, .. } in routes() {
        if matches!(access, Access::Role(_)) || method != "GET" {
            continue;
        }
        for odd in ODD_QUERIES {
            let answer = ask(&app, "GET", &format!("{}?{odd}", example(path)), &[], "").await;
            assert!(answer.status < 500, "{path}?{odd}: {answer:?}");
            if answer.status >= 400 && answer.headers["content-type"] == "application/problem+json" {
                problem(&answer);
            }
        }
    }
    assert!(ODD_QUERIES.len() >= 40, "{}", ODD_QUERIES.len());
    for path in [
        "/%00",
        "/%ff%fe",
        "/../../etc/passwd",
        "//",
        "/api/checkout/%00",
        "/api/checkout/%F0%9F%98%80",
        "/assets/../Cargo.toml",
        "/assets/x/..%2f..%2fCargo.toml",
        "/?%",
        "/api/bookings/%ff",
    ] {
        let answer = ask(&app, "GET", path, &[], "").await;
        assert!(answer.status < 500, "{path}: {answer:?}");
    }
}

/// S35
#[tokio::test]
async fn random_bytes_are_never_a_fault_of_ours() {
    let app = app(&[("TRUST_PROXY", "1")]).await;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let bytes = proptest::collection::vec(proptest::num::u8::ANY, 0..200);
    for n in 0..300_usize {
        let body = proptest::strategy::ValueTree::current(
            &proptest::strategy::Strategy::new_tree(&bytes, &mut runner).unwrap(),
        );
        let from = format!("10.9.{}.{}", n / 256, n % 256);
        for path in ["/create-checkout-session", "/auth/login", "/webhook", "/"] {
            let request = app.http.post(format!("{}{path}", app.url)).body(body.clone());
            let request = request.header("x-forwarded-for", &from).header("content-type", "application/json");
            let signature = reqwest::header::HeaderValue::from_bytes(&body);
            let request = match signature {
                Ok(value) => request.header("stripe-signature", value),
                Err(_) => request,
            };
            let answer = send(request).await;
            assert!((200..500).contains(&answer.status), "{path} {body:?}: {answer:?}");
        }
    }
}

/// What no HTTP library would send.
#[tokio::test]
async fn broken_http_is_refused_and_the_next_client_is_served() {
    let app = app(&[]).await;
    let address = app.url.strip_prefix("http://").unwrap().to_owned();
    let requests: &[&[u8]] = &[
        b"\r\n\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/1.1\r\nhost: a\r\nbad header\r\n\r\n",
        b"POST /webhook HTTP/1.1\r\nhost: a\r\ncontent-length: -1\r\n\r\n",
        b"POST /webhook HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello!",
        b"POST /webhook HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"GET /\x00 HTTP/1.1\r\nhost: a\r\n\r\n",
        b"GET http://evil.test/ HTTP/1.1\r\nhost: a\r\n\r\n",
    ];
    for request in requests {
        let status = raw(&address, request).await;
        assert!(status.is_none_or(|status| (200..500).contains(&status)), "{request:?}: {status:?}");
    }
    let long = format!("GET /health HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "y".repeat(1024 * 1024));
    assert_eq!(raw(&address, long.as_bytes()).await, Some(431));
    assert_eq!(app.get("/livez").await.status, 200);
}

/// The status of the answer to these bytes, if there is one.
async fn raw(address: &str, bytes: &[u8]) -> Option<u16> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // Whoever refuses may close before everything is written.
    let _ = stream.write_all(bytes).await;
    let _ = stream.shutdown().await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    let text = String::from_utf8_lossy(&answer);
    text.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok())
}
