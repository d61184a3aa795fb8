//! A trace goes on: taken from a request, named to Stripe and to whoever is notified, and told to a collector if there
//! is one.

use crate::harness::app::send;
use crate::harness::process::free_port;
use crate::harness::{Engine, TestApp, TestDatabase, TestProcess, eventually};
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode, Uri};
use checkout_backend::telemetry::TraceParent;
use serde_json::json;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const GIVEN: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// Stripe, a receiver of notifications and a collector in one: it keeps what it is sent, and as Stripe refuses it.
struct Others {
    url: String,
    got: Arc<Mutex<Vec<(String, HeaderMap, Vec<u8>)>>>,
}

impl Others {
    async fn start() -> Self {
        let got: Arc<Mutex<Vec<(String, HeaderMap, Vec<u8>)>>> = Arc::default();
        let keep = got.clone();
        let answer = move |uri: Uri, headers: HeaderMap, body: Bytes| async move {
            let is_stripe = uri.path().starts_with("/v1/checkout");
            keep.lock().unwrap().push((uri.path().to_owned(), headers, body.to_vec()));
            match is_stripe {
                true => (StatusCode::BAD_REQUEST, r#"{"error":{"type":"invalid_request_error"}}"#),
                false => (StatusCode::OK, ""),
            }
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = axum::Router::new().fallback(answer);
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, got }
    }

    /// The heads and bodies of what came to `path`.
    fn at(&self, path: &str) -> Vec<(HeaderMap, Vec<u8>)> {
        let got = self.got.lock().unwrap().clone();
        got.into_iter().filter(|(at, _, _)| at == path).map(|(_, headers, body)| (headers, body)).collect()
    }

    /// What the last request to Stripe that makes a session says of its trace.
    fn told_stripe(&self) -> Option<String> {
        let (headers, _) = self.at("/v1/checkout/sessions").pop().expect("Stripe was not asked");
        headers.get("traceparent").map(|value| value.to_str().unwrap().to_owned())
    }
}

/// Somebody books; Stripe refuses, so it ends there.
async fn book(process: &TestProcess, date: &str, time: &str, trace: Option<&str>) {
    let body = json!({
        "firstName": "Ada", "lastName": "Lovelace", "email": "ada@example.org", "date": date, "time": time
    });
    let request = process.http.post(format!("{}/api/bookings", process.url)).body(body.to_string());
    let request = request.header("content-type", "application/json");
    let request = match trace {
        Some(trace) => request.header("traceparent", trace),
        None => request,
    };
    assert!(send(request).await.status >= 400);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trace_is_passed_on_as_it_came_without_a_collector() {
    let db = TestDatabase::fresh(Engine::Sqlite).await;
    let others = Others::start().await;
    for (level, date) in [("info", "2031-05-05"), ("error", "2031-05-06")] {
        let process = TestProcess::start(&db, free_port(), &others.url, &[("LOG_LEVEL", level)]).await;
        book(&process, date, "10:00", Some(GIVEN)).await;
        assert_eq!(others.told_stripe().as_deref(), Some(GIVEN), "{level}");
        for (time, none) in
            [("11:00", None), ("12:00", Some("00-xyz")), ("13:00", Some(&GIVEN.replace('4', "G")))]
        {
            book(&process, date, time, none.map(|text| text as &str)).await;
            assert_eq!(others.told_stripe(), None, "{none:?}");
        }
        if level == "info" {
            let log = db.folder.path().join("log");
            eventually("the log names the trace", async || {
                let line = format!("\"traceId\":\"{TRACE}\"");
                std::fs::read_to_string(&log)
                    .unwrap()
                    .lines()
                    .any(|l| l.contains("completed") && l.contains(&line))
            })
            .await;
        }
        process.kill().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spans_reach_a_collector_within_the_trace_of_whoever_called() {
    let db = TestDatabase::fresh(Engine::Sqlite).await;
    let others = Others::start().await;
    let hook = format!("{}/hook", others.url);
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", others.url.as_str()),
        ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20canary, x-team = a+b"),
        ("NOTIFY_URL", &hook),
        ("NOTIFY_SECRET", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
        // It is notified from where it is at home.
        ("APP_URL", "http://localhost:4242"),
    ];
    let (booking, event) = {
        let app = TestApp::start(&db).await;
        let booking = app.pending_booking().await;
        let event = app.paid("evt_traced", &booking, "cs_traced");
        app.app.store.close().await;
        (booking, event)
    };
    let mut process = TestProcess::start(&db, free_port(), &others.url, &variables).await;
    book(&process, "2031-05-05", "10:00", Some(GIVEN)).await;
    let told = TraceParent::parse(&others.told_stripe().unwrap()).unwrap();
    assert_eq!(told.trace_id(), TRACE);
    assert_ne!(told.to_string(), GIVEN, "our own span is Stripe's parent");
    book(&process, "2031-05-05", "11:00", None).await;
    let begun = TraceParent::parse(&others.told_stripe().unwrap()).unwrap();
    assert_ne!(begun.trace_id(), TRACE, "a trace of its own");

    assert_eq!(process.deliver(&event).await.unwrap().outcome(), "processed");
    eventually("somebody is told of the payment", async || !others.at("/hook").is_empty()).await;
    let (headers, _) = others.at("/hook").remove(0);
    assert!(TraceParent::parse(headers["traceparent"].to_str().unwrap()).is_some());

    process.terminate();
    assert!(process.ended().await.success());
    let sent = others.at("/v1/traces");
    assert!(!sent.is_empty(), "nothing was exported");
    for (headers, _) in &sent {
        assert_eq!(
            (&headers["authorization"], &headers["x-team"]),
            (&"Bearer canary".parse().unwrap(), &"a+b".parse().unwrap())
        );
        assert_eq!(headers["content-type"], "application/x-protobuf");
        assert!(!headers.contains_key("traceparent"));
    }
    let all: Vec<u8> = sent.into_iter().flat_map(|(_, body)| body).collect();
    let says = |bytes: &[u8]| all.windows(bytes.len()).any(|window| window == bytes);
    let trace = u128::from_str_radix(TRACE, 16).unwrap().to_be_bytes();
    assert!(says(&trace), "not in the caller's trace");
    for name in [
        "POST /api/bookings",
        "stripe create_session",
        "POST /webhook",
        "booking.paid to notify",
        "checkout-backend",
    ] {
        assert!(says(name.as_bytes()), "no span is named {name}");
    }
    for private in ["ada@example.org", "Lovelace", "canary", &booking.id.to_string()] {
        assert!(!says(private.as_bytes()), "{private} was exported");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_is_away_holds_up_nothing() {
    let db = TestDatabase::fresh(Engine::Sqlite).await;
    let variables = [("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1"), ("LOG_LEVEL", "warn")];
    let mut process = TestProcess::start(&db, free_port(), "http://127.0.0.1:1", &variables).await;
    assert_eq!(send(process.http.get(format!("{}/livez", process.url))).await.status, 200);
    process.terminate();
    assert!(process.ended().await.success());
    let log = std::fs::read_to_string(db.folder.path().join("log")).unwrap();
    assert_eq!(log.matches("traces.not_taken").count(), 1, "{log}");
}
