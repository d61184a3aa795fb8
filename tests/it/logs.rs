//! Log lines: their form, and what they never hold.

use checkout_backend::clock::Clock;
use checkout_backend::config::LogFormat;
use checkout_backend::domain::time::Timestamp;
use checkout_backend::telemetry;
use std::sync::{Arc, Mutex};

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
        let _request = telemetry::request_span("req-1").entered();
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
        let _request = telemetry::request_span("req-2").entered();
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
