//! What operators and monitors are told.

use crate::harness::app::{Answer, send};
use crate::harness::{Engine, TestApp, TestDatabase, on_each_engine};
use crate::shop::Shop;
use domain::role::Role;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

on_each_engine! {
    operators_see_the_numbers_of_the_original_service,
    health_tells_whether_the_database_answers,
    the_process_its_connections_and_what_it_asks_of_stripe_are_measured,
}

async fn operators_see_the_numbers_of_the_original_service(db: TestDatabase) {
    let app = TestApp::start_with(&db, &[("APP_VERSION", "7.8.9")], "http://127.0.0.1:1").await;
    let person = app.person(Role::Ops).await;
    let booking = app.pending_booking().await;
    let event = app.paid("evt_counted", &booking, "cs_counted");
    for outcome in ["processed", "duplicate", "duplicate"] {
        assert_eq!(app.deliver(&event).await.outcome(), outcome);
    }
    assert_eq!(app.deliver_raw("{}", None).await.status, 400);
    let metrics = app.get_as(&person.cookie, "/admin/metrics").await.json();
    let webhook = &metrics["webhook"];
    assert_eq!(
        (&webhook["received"], &webhook["duplicates"], &webhook["errors"]),
        (&json!(3), &json!(2), &json!(1))
    );
    let runtime = &metrics["runtime"];
    assert_eq!((&runtime["http5xx"], &runtime["version"]), (&json!(0), &json!("7.8.9")));
    assert!(runtime["uptimeSeconds"].as_u64().unwrap() < 600);
}

async fn health_tells_whether_the_database_answers(db: TestDatabase) {
    let app = TestApp::start(&db).await;
    let told = async |path: &str| {
        let answer = app.get(path).await;
        (answer.status, answer.json())
    };
    assert_eq!(told("/health").await, (200, json!({ "status": "ok" })));
    assert_eq!(told("/readyz").await, (200, json!({ "status": "ok" })));
    app.app.store.close().await;
    assert_eq!(told("/health").await, (503, json!({ "status": "unavailable", "db": "down" })));
    assert_eq!(
        told("/readyz").await,
        (503, json!({ "status": "unavailable", "reason": "database", "db": "down" }))
    );
    assert_eq!(told("/livez").await, (200, json!({ "status": "ok" })));
    assert_eq!(app.app.counters.http_5xx(), 2);
}

async fn the_process_its_connections_and_what_it_asks_of_stripe_are_measured(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    shop.paid().await;
    let samples = read(&shop.app.get("/metrics").await);
    let at = |name: &str| *samples.get(name).unwrap_or_else(|| panic!("{name}: {samples:?}"));
    assert_eq!(at("checkout_stripe_requests_total{operation=\"create_session\",status=\"2xx\"}"), 1.0);
    assert!(at("checkout_stripe_request_duration_seconds_count") >= 1.0);
    assert!(at("checkout_process_resident_memory_bytes") > 1e6);
    assert!(
        at("checkout_process_resident_memory_peak_bytes") >= at("checkout_process_resident_memory_bytes")
    );
    assert!(at("checkout_process_cpu_seconds_total") > 0.0);
    assert!((3.0..at("checkout_process_max_fds")).contains(&at("checkout_process_open_fds")));
    let pools = if db.engine == Engine::Sqlite { ["writer", "readers"] } else { ["recorder", "others"] };
    for pool in pools {
        let lent = at(&format!("checkout_pool_connections{{pool=\"{pool}\",state=\"in_use\"}}"));
        let idle = at(&format!("checkout_pool_connections{{pool=\"{pool}\",state=\"idle\"}}"));
        let limit = at(&format!("checkout_pool_limit{{pool=\"{pool}\"}}"));
        assert!(
            lent.max(idle) >= 1.0 && lent.max(idle) <= limit,
            "{pool}: {lent} lent, {idle} idle of {limit}"
        );
    }

    // Nobody is there.
    let alone = TestApp::start(&db).await;
    let session = domain::ids::SessionId::parse("cs_test_nobody").unwrap();
    assert!(alone.app.stripe.session(&session, None).await.is_err());
    let samples = read(&alone.get("/metrics").await);
    assert_eq!(samples["checkout_stripe_requests_total{operation=\"get_session\",status=\"none\"}"], 3.0);
}

#[tokio::test]
async fn a_stopping_program_is_alive_but_not_ready() {
    let db = TestDatabase::fresh(Engine::Sqlite).await;
    let app = TestApp::start(&db).await;
    app.app.drain();
    assert_eq!(app.get("/readyz").await.status, 503);
    assert_eq!(app.get("/livez").await.status, 200);
    assert_eq!(app.get("/health").await.status, 200);
}

#[tokio::test]
async fn prometheus_can_read_every_line() {
    let db = TestDatabase::fresh(Engine::Sqlite).await;
    let app = TestApp::start_with(&db, &[("APP_VERSION", "a\"b\\c")], "http://127.0.0.1:1").await;
    let booking = app.pending_booking().await;
    app.deliver(&app.paid("evt_scraped", &booking, "cs_scraped")).await;
    app.deliver_raw("{}", None).await;
    assert_eq!(app.deliver_raw(" ".repeat(1024 * 1024 + 1), Some("t=1,v1=00")).await.status, 413);
    app.get("/nowhere/4711").await;
    let answer = app.get("/metrics").await;
    assert_eq!(answer.status, 200);
    assert!(answer.headers["content-type"].to_str().unwrap().starts_with("text/plain; version=0.0.4"));
    let samples = read(&answer);
    assert_eq!(samples["checkout_webhook_received_total"], 1.0);
    assert_eq!(samples["checkout_webhook_deliveries_total{outcome=\"processed\"}"], 1.0);
    assert_eq!(samples["checkout_webhook_rejects_total{reason=\"header_missing\"}"], 1.0);
    assert_eq!(samples["checkout_webhook_rejects_total{reason=\"body_too_large\"}"], 1.0);
    assert_eq!(samples["checkout_webhook_deliveries_total{outcome=\"rejected\"}"], 2.0);
    assert_eq!(samples["checkout_webhook_duration_seconds_count"], 1.0);
    assert_eq!(samples["checkout_database_up"], 1.0);
    assert!(samples.contains_key(r#"checkout_build_info{version="a\"b\\c"}"#), "{samples:?}");
    assert!(samples.len() < 500, "{} series", samples.len());
    for id in ["evt_scraped", "cs_scraped", "4711", &booking.id.to_string()] {
        assert!(!answer.body.contains(id), "{id} is in a label");
    }
}

/// S38
#[tokio::test]
async fn metrics_are_for_this_machine_or_for_the_token() {
    let db = TestDatabase::fresh(Engine::Sqlite).await;
    let open = TestApp::start(&db).await;
    assert_eq!(open.get("/metrics").await.status, 200);
    for name in ["x-forwarded-for", "forwarded", "via"] {
        let request = open.http.get(format!("{}/metrics", open.url)).header(name, "127.0.0.1");
        assert_eq!(send(request).await.status, 403, "through a proxy on this machine: {name}");
    }
    let guarded = TestApp::start_with(&db, &[("METRICS_TOKEN", "let-me-in")], "http://127.0.0.1:1").await;
    let with = async |authorization: &str| {
        let request = guarded.http.get(format!("{}/metrics", guarded.url));
        send(request.header("authorization", authorization)).await
    };
    assert_eq!(with("Bearer let-me-in").await.status, 200);
    for wrong in ["Bearer let-me-i", "Bearer let-me-in-", "Basic let-me-in", "let-me-in", ""] {
        let answer = with(wrong).await;
        assert_eq!((answer.status, &answer.headers["www-authenticate"]), (401, &"Bearer".parse().unwrap()));
    }
    assert_eq!(guarded.get("/metrics").await.status, 401);
}

/// The samples of a scrape, by name and labels.
///
/// # Panics
/// Where Prometheus' own reader would refuse: see its "text-based format".
fn read(answer: &Answer) -> BTreeMap<String, f64> {
    let mut kinds: BTreeMap<String, String> = BTreeMap::new();
    let mut done: BTreeSet<String> = BTreeSet::new();
    let mut samples = BTreeMap::new();
    let mut last = String::new();
    let is_name = |name: &str| {
        !name.is_empty()
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b':')
            && !name.as_bytes()[0].is_ascii_digit()
    };
    assert!(answer.body.ends_with('\n'));
    for line in answer.body.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, text) = help.split_once(' ').unwrap();
            assert!(is_name(name) && name.starts_with("checkout_") && !text.is_empty(), "{line}");
            assert!(done.insert(name.to_owned()), "twice: {line}");
            last = name.to_owned();
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').unwrap();
            assert!(name == last && ["counter", "gauge", "histogram"].contains(&kind), "{line}");
            assert!(kind != "counter" || name.ends_with("_total"), "{line}");
            kinds.insert(name.to_owned(), kind.to_owned());
        } else {
            let (series, value) = line.rsplit_once(' ').unwrap();
            let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
            let suffixes: &[&str] =
                if kinds[&last] == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
            assert!(suffixes.iter().any(|suffix| name == format!("{last}{suffix}")), "{line}");
            read_labels(labels, &is_name);
            let value: f64 = value.parse().unwrap_or_else(|_| panic!("{line}"));
            assert!(samples.insert(series.to_owned(), value).is_none(), "twice: {line}");
        }
    }
    for (name, _) in kinds.iter().filter(|(_, kind)| *kind == "histogram") {
        let buckets = samples.iter().filter(|(series, _)| series.starts_with(&format!("{name}_bucket")));
        let most = buckets.map(|(_, value)| *value).fold(0.0, f64::max);
        assert_eq!(samples[&format!("{name}_bucket{{le=\"+Inf\"}}")], most);
        assert_eq!(samples[&format!("{name}_count")], most);
    }
    samples
}

fn read_labels(text: &str, is_name: &dyn Fn(&str) -> bool) {
    let mut rest = text;
    while let Some((name, after)) = rest.split_once("=\"") {
        assert!(is_name(name), "{text}");
        let mut escaped = false;
        let end = after.char_indices().find(|(_, c)| {
            let ends = *c == '"' && !escaped;
            escaped = *c == '\\' && !escaped;
            ends
        });
        rest = &after[end.unwrap_or_else(|| panic!("{text}")).0 + 1..];
        rest = rest.strip_prefix(',').unwrap_or(rest);
    }
    assert_eq!(rest, "}", "{text}");
}
