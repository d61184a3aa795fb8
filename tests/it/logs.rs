//! Log lines: their form, and what they never hold.

use crate::harness::app::send;
use crate::harness::process::free_port;
use crate::harness::{Engine, TestApp, TestDatabase, TestProcess, eventually};
use checkout_backend::config::LogFormat;
use checkout_backend::telemetry;
use clock::Clock;
use clock::Timestamp;
use futures_util::future::join_all;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// As if the program itself logged.
const OURS: &str = "checkout_backend::test";

/// The lines that `work` logs, on this thread.
fn logged(format: LogFormat, level: tracing::Level, work: impl FnOnce()) -> Vec<String> {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let clock = Clock::frozen_at(Timestamp::from_unix_seconds(1_800_000_000));
    let write = {
        let lines = lines.clone();
        move |line: &str| lines.lock().unwrap().push(line.to_owned())
    };
    tracing::subscriber::with_default(telemetry::subscriber(format, level, clock, write), work);
    let lines = lines.lock().unwrap();
    lines.clone()
}

#[test]
fn a_line_is_one_flat_json_object_with_the_promised_members() {
    let lines = logged(LogFormat::Json, tracing::Level::INFO, || {
        let _request = telemetry::request_span("req-1", "GET /").entered();
        tracing::info!(target: OURS, module = "webhook",
            action = "stripe.webhook.received",
            outcome = "processed",
            status_code = 200,
            "a \"quoted\"\r\nmessage with \u{1b}[31mcolour"
        );
    });
    assert_eq!(
        lines,
        ["{\"timestamp\":\"2027-01-15T08:00:00.000Z\",\"level\":\"info\",\"requestId\":\"req-1\",\
          \"module\":\"webhook\",\"action\":\"stripe.webhook.received\",\
          \"message\":\"a \\\"quoted\\\"\\r\\nmessage with \\u001b[31mcolour\",\
          \"outcome\":\"processed\",\"statusCode\":200}\n"]
    );
}

#[test]
fn the_lines_of_every_crate_of_the_workspace_keep_their_fields() {
    let lines = logged(LogFormat::Json, tracing::Level::INFO, || {
        tracing::info!(target: "stripe_sim::deliveries", module = "simulator", action = "simulator.started", seed = 7, "m");
        tracing::info!(target: "store", module = "store", action = "store.opened", engine = "sqlite", "m");
        tracing::info!(target: "somebody_elses", module = "x", action = "x.y", secret = "s", "m");
    });
    assert_eq!(lines.len(), 2, "another library speaks only of what is wrong: {lines:?}");
    assert!(
        lines[0].contains("\"action\":\"simulator.started\"") && lines[0].contains("\"seed\":7"),
        "{lines:?}"
    );
    assert!(
        lines[1].contains("\"action\":\"store.opened\"") && lines[1].contains("\"engine\":\"sqlite\""),
        "{lines:?}"
    );
    let telemetry = std::fs::read_to_string("src/telemetry.rs").unwrap();
    for entry in std::fs::read_dir("crates").unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap().replace('-', "_");
        assert!(telemetry.contains(&format!("\"{name}\"")), "telemetry.rs does not know the crate {name}");
    }
}

/// Fifty thousand lines a day that say nothing would hide those that do.
#[tokio::test]
async fn probes_that_are_answered_are_not_logged() {
    let db = TestDatabase::fresh(Engine::Sqlite).await;
    let process = TestProcess::start(&db, free_port(), "http://127.0.0.1:1", &[("LOG_LEVEL", "info")]).await;
    for path in ["/health", "/livez", "/readyz", "/metrics", "/robots.txt"] {
        assert_eq!(send(process.http.get(format!("{}{path}", process.url))).await.status, 200, "{path}");
    }
    let log = db.folder.path().join("log");
    eventually("the last request is logged", async || {
        std::fs::read_to_string(&log).unwrap().contains("\"route\":\"/robots.txt\",\"statusCode\":200")
    })
    .await;
    let text = std::fs::read_to_string(&log).unwrap();
    for probe in ["/health", "/livez", "/readyz", "/metrics"] {
        assert!(!text.contains(&format!("\"{probe}\"")), "{probe}: {text}");
    }
}

#[test]
fn a_line_for_eyes_stays_one_line() {
    let lines = logged(LogFormat::Text, tracing::Level::INFO, || {
        tracing::warn!(target: OURS, module = "x", action = "a.b", name = "v\n2", "text\nwith\u{1b}[31m breaks");
    });
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0].matches('\n').count(), 1, "{lines:?}");
    assert!(!lines[0].contains('\u{1b}'), "{lines:?}");
    assert!(lines[0].starts_with("08:00:00 warn  a.b"), "{lines:?}");
}

#[test]
fn fields_cannot_take_the_place_of_fixed_members() {
    let lines = logged(LogFormat::Json, tracing::Level::INFO, || {
        tracing::info!(target: OURS, action = "a", timestamp = "never", level = "fatal", n = 1, "m");
    });
    let line: serde_json::Value = serde_json::from_str(&lines[0]).unwrap();
    assert_eq!((line["level"].as_str(), line["n"].as_i64()), (Some("info"), Some(1)));
    assert_eq!(line["requestId"], serde_json::Value::Null);
    assert_eq!(lines[0].matches("\"timestamp\"").count(), 1);
}

#[test]
fn the_level_filters_but_the_request_id_stays() {
    let lines = logged(LogFormat::Json, tracing::Level::ERROR, || {
        let _request = telemetry::request_span("req-2", "GET /").entered();
        tracing::info!(target: OURS, action = "quiet", "not written");
        tracing::error!(target: OURS, action = "loud", "written");
    });
    assert_eq!(lines.len(), 1);
    assert!(lines[0].contains("\"requestId\":\"req-2\""), "{lines:?}");
}

#[test]
fn other_crates_speak_only_of_trouble_and_without_their_fields() {
    let lines = logged(LogFormat::Json, tracing::Level::TRACE, || {
        tracing::info!(target: "sqlx::query", statement = "select secret", "chatter");
        tracing::warn!(target: "sqlx::query", statement = "select secret", "slow");
    });
    assert_eq!(lines.len(), 1);
    let line: serde_json::Value = serde_json::from_str(&lines[0]).unwrap();
    assert_eq!((line["module"].as_str(), line["message"].as_str()), (Some("sqlx"), Some("slow")));
    assert!(!lines[0].contains("secret"), "{lines:?}");
}

#[test]
fn long_texts_are_cut() {
    let lines = logged(LogFormat::Json, tracing::Level::INFO, || {
        tracing::info!(target: OURS, action = "a", big = "é".repeat(100_000), "m");
    });
    assert!(lines[0].len() < 4096, "{}", lines[0].len());
}

/// What must never be seen again: each is sent or configured somewhere in a run.
const CANARIES: [&str; 20] = [
    "Lovelace",
    "ada@example.org",
    "203.0.113.77",
    "canary-notify-url",
    "canary-notify-secret",
    "canary-smtp-user",
    "canary-smtp-password",
    "canary-shop@pay.test",
    "Canarina",
    "Kanarienvogel",
    "canary-customer",
    "canary-admin",
    "canary-password",
    "canary-wrong-password",
    "canary-header",
    "canary-query",
    "whsec_canary",
    "sk_test_canary",
    "canary-session-secret",
    "canary-metrics-token",
];

/// S31, S32
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_leaves_no_trace_of_people_or_secrets() {
    let db = TestDatabase::fresh(Engine::Sqlite).await;
    let paid = {
        let app = TestApp::start(&db).await;
        let booking = app.pending_booking().await;
        let paid = app.paid("evt_canary_paid", &booking, "cs_canary_paid");
        app.app.store.close().await;
        paid
    };
    let variables = [
        ("TRUST_PROXY", "1"),
        ("NOTIFY_URL", "http://127.0.0.1:1/canary-notify-url"),
        ("NOTIFY_SECRET", "canary-notify-secret"),
        ("SMTP_URL", "smtp://canary-smtp-user:canary-smtp-password@127.0.0.1:1"),
        ("MAIL_FROM", "canary-shop@pay.test"),
        ("LOG_LEVEL", "trace"),
        ("STRIPE_SECRET_KEY", "sk_test_canary"),
        ("STRIPE_WEBHOOK_SECRET", "whsec_canary"),
        ("SESSION_SECRET", "canary-session-secret-5f0c7a19e2b84d63"),
        ("METRICS_TOKEN", "canary-metrics-token"),
        ("ADMIN_EMAIL", "canary-admin@pay.test"),
        ("ADMIN_PASSWORD", "canary-password"),
    ];
    let process = TestProcess::start(&db, free_port(), "http://127.0.0.1:1", &variables).await;
    let post = |path: &str, body: serde_json::Value| {
        let request = process.http.post(format!("{}{path}", process.url)).body(body.to_string());
        let request = request.header("content-type", "application/json").header("x-odd", "canary-header");
        request.header("x-forwarded-for", "203.0.113.77").header("x-request-id", "\"}{canary-header")
    };
    let customer = serde_json::json!({
        "firstName": "Canarina", "lastName": "Kanarienvogel", "email": "canary-customer@example.org",
        "date": "2031-05-05", "time": "10:00",
    });
    let login =
        |password: &str| serde_json::json!({ "email": "canary-admin@pay.test", "password": password });
    let mut answers = vec![
        send(post("/create-checkout-session", customer.clone())).await,
        send(post("/create-checkout-session", serde_json::json!({ "email": "canary-customer" }))).await,
        send(post("/webhook", customer.clone()).header("stripe-signature", "t=1,v1=canary-header")).await,
        send(post("/auth/login", login("canary-wrong-password"))).await,
        send(process.http.get(format!("{}/api/checkout/canary-query?x=canary-query", process.url))).await,
        send(process.http.get(format!("{}/canary-query", process.url))).await,
        send(process.http.get(format!("{}/metrics", process.url)).bearer_auth("canary-metrics-token")).await,
    ];
    let unknown = serde_json::json!({
        "id": "evt_1", "object": "event", "type": "checkout.session.completed", "created": 1, "livemode": false,
        "data": { "object": { "id": "cs_1", "object": "checkout.session", "customer_details": customer } },
    });
    for event in [unknown, paid] {
        let secrets = [secrecy::SecretString::from("whsec_canary")];
        let at = Clock::system().now().as_unix_seconds();
        let header = stripe_sim::sign(&secrets, at, event.to_string().as_bytes());
        let signed = send(post("/webhook", event).header("stripe-signature", header)).await;
        assert_eq!(signed.status, 200, "{signed:?}");
        answers.push(signed);
    }
    assert_eq!(answers.last().unwrap().outcome(), "processed", "{answers:?}");
    let signed_in = send(post("/auth/login", login("canary-password"))).await;
    assert_eq!(signed_in.status, 200, "{signed_in:?}");
    let session = crate::harness::people::cookie(&signed_in);
    let read_log = || std::fs::read_to_string(db.folder.path().join("log")).unwrap();
    // Nobody takes the notification or the mail, and the log says so without their addresses.
    eventually("an effect has failed", async || read_log().contains("\"effect.failed\"")).await;
    process.kill().await;

    let log = read_log();
    let log = log.trim_end_matches(|c| c != '\n');
    let lines: Vec<serde_json::Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.len() > 15, "{log}");
    for line in &lines {
        for member in ["timestamp", "level", "requestId", "module", "action", "message"] {
            assert!(line.get(member).is_some(), "{member}: {line}");
        }
        assert!(line["module"] != "" && line["action"] != "", "{line}");
    }
    for canary in CANARIES.iter().copied().chain([session.trim_start_matches("sid=")]) {
        assert!(!log.contains(canary), "{canary} in the log:\n{log}");
        for answer in &answers {
            assert!(!answer.body.contains(canary), "{canary} in {answer:?}");
        }
    }
}

/// R15
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_nobody_takes_keeps_no_request_waiting() {
    let db = TestDatabase::fresh(Engine::Sqlite).await;
    let mut process =
        TestProcess::spawn(&db, free_port(), "http://127.0.0.1:1", &[("LOG_LEVEL", "info")], Stdio::piped());
    process.says("is ready").await;
    // A pipe that nobody reads is soon full, and so is what waits for it.
    let full = serve_until_lines_are_dropped(&process, 0).await;
    process.stop_reading_its_log();
    let closed = serve_until_lines_are_dropped(&process, full).await;
    assert!(closed > full);
    process.terminate();
    assert!(process.ended().await.success());
}

/// How many lines were dropped, once it is more than `before`; every request on the way is served.
async fn serve_until_lines_are_dropped(process: &TestProcess, before: u64) -> u64 {
    let get = |path: &str| {
        let request = process.http.get(format!("{}{path}", process.url));
        send(request.header("x-request-id", "x".repeat(64)))
    };
    let serving = async {
        loop {
            for answer in join_all((0..64).map(|_| get("/robots.txt"))).await {
                assert_eq!(answer.status, 200);
            }
            let metrics = get("/metrics").await.body;
            let dropped = metrics.lines().find_map(|l| l.strip_prefix("checkout_log_lines_dropped_total "));
            let dropped = dropped.unwrap().parse().unwrap();
            if dropped > before {
                return dropped;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(300), serving).await.expect("no line was dropped")
}

/// S34
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn security_events_are_told_by_the_names_that_tools_know() {
    let db = TestDatabase::fresh(Engine::Sqlite).await;
    let variables =
        [("LOG_LEVEL", "info"), ("ADMIN_EMAIL", "ada@pay.test"), ("ADMIN_PASSWORD", "correct horse battery")];
    let mut process = TestProcess::start(&db, free_port(), "http://127.0.0.1:1", &variables).await;
    let post = |path: &str, body: serde_json::Value, cookie: &str| {
        let request = process.http.post(format!("{}{path}", process.url)).body(body.to_string());
        request.header("content-type", "application/json").header("cookie", cookie)
    };
    let login = |password: &str| serde_json::json!({ "email": "ada@pay.test", "password": password });
    let admin = send(post("/auth/login", login("correct horse battery"), "")).await;
    let admin = crate::harness::people::cookie(&admin);
    let ops =
        serde_json::json!({ "email": "bob@pay.test", "password": "correct horse battery", "role": "OPS" });
    let made = send(post("/api/users", ops.clone(), &admin)).await.json();
    let role = format!("/api/users/{}/role", made["user"]["id"].as_str().unwrap());
    let bob = send(post("/auth/login", ops, "")).await;
    let bob = crate::harness::people::cookie(&bob);
    send(post(&role, serde_json::json!({ "role": "READONLY" }), &admin)).await;
    send(post("/api/users", serde_json::json!({}), &bob)).await;
    send(post("/auth/login", login("x"), "").header("sec-fetch-site", "cross-site")).await;
    for _ in 0..6 {
        send(post("/auth/login", login("wrong password"), "")).await;
    }
    send(post("/auth/logout", serde_json::json!({}), &bob)).await;
    db.execute("update sessions set expires_at = 1").await;
    for _ in 0..2 {
        let me = process.http.get(format!("{}/auth/me", process.url)).header("cookie", &admin);
        assert_eq!(send(me).await.status, 401);
    }
    process.terminate();
    assert!(process.ended().await.success());

    let log = std::fs::read_to_string(db.folder.path().join("log")).unwrap();
    let told = |action: &str| log.matches(&format!("\"action\":\"{action}\"")).count();
    for (action, times) in [
        ("sys_startup", 1),
        ("accounts.hashing_timed", 1),
        ("user_created", 2),
        ("authn_login_success", 2),
        ("session_created", 2),
        ("privilege_permissions_changed", 1),
        ("authz_fail", 1),
        ("malicious_csrf", 1),
        ("authn_login_fail", 5),
        ("authn_login_fail_max", 1),
        ("excess_rate_limit_exceeded", 1),
        ("session_logout", 1),
        ("session_expired", 1),
        ("sys_shutdown", 1),
    ] {
        assert_eq!(told(action), times, "{action}:\n{log}");
    }
}
