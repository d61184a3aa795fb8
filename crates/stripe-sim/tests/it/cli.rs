//! `stripe-sim` and `stripe-sim trigger` as programs.

use super::support::{Inbox, SECRET, program, simulate};

async fn trigger(port: &str, args: &[&str]) -> (Option<i32>, String, String) {
    let done = program().args(["trigger", "--port", port]).args(args).output().await.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (done.status.code(), text(done.stdout), text(done.stderr))
}

#[tokio::test]
async fn a_triggered_event_reaches_the_endpoint_and_the_exit_code_tells() {
    let inbox = Inbox::open().await;
    let (_child, port) = simulate(&["--webhook-url", &inbox.url, "--webhook-secret", SECRET]).await;
    let args = ["checkout.session.completed", "--override", "checkout_session:client_reference_id=b_7"];
    let (code, out, err) = trigger(&port, &args).await;
    assert_eq!(code, Some(0), "{err}");
    assert!(
        out.lines().any(|l| l.starts_with("checkout.session.completed evt_") && l.contains(" 200 ")),
        "{out}"
    );
    let completed = inbox.received().into_iter().find(|r| r.kind() == "checkout.session.completed").unwrap();
    assert_eq!(completed.event()["data"]["object"]["client_reference_id"], "b_7");

    inbox.answers(&[500]);
    assert_eq!(trigger(&port, &["payment_intent.created"]).await.0, Some(1), "it was not acknowledged");
    let (code, _, err) = trigger(&port, &["payment_intent.invented"]).await;
    assert_eq!(code, Some(2), "{err}");
    assert!(err.lines().any(|l| l.trim() == "payment_intent.succeeded"), "{err}");
    assert_eq!(trigger(&port, &["payment_intent.created", "--override", "nonsense"]).await.0, Some(2));
    let (code, _, err) = trigger(&port, &["payment_intent.created", "--override", "colour=red"]).await;
    assert_eq!(code, Some(2), "{err}");
    assert!(err.contains("colour cannot be overridden") && err.contains("receipt_email"), "{err}");
    assert!(trigger(&port, &[]).await.1.lines().any(|l| l == "charge.refunded"));
}

#[tokio::test]
async fn a_session_that_is_there_is_paid_refunded_and_the_answer_is_told() {
    let inbox = Inbox::open().await;
    let flags = ["--webhook-url", &inbox.url, "--webhook-secret", SECRET, "--quiet"];
    let (_child, port) = simulate(&flags).await;
    let api = super::support::Api::at(&format!("http://127.0.0.1:{port}"));
    let session = super::support::id(&api.session("&client_reference_id=b_1").await);
    let (code, out, err) = trigger(&port, &["--booking", "b_1", "paid"]).await;
    assert_eq!(code, Some(0), "{err}");
    assert!(
        out.lines().any(|l| l.starts_with("checkout.session.completed evt_") && l.contains(" 200 ")),
        "{out}"
    );
    let (code, out, err) = trigger(&port, &["--session", &session, "refunded"]).await;
    assert_eq!(code, Some(0), "{err}");
    assert!(out.contains("charge.refunded"), "{out}");
    let (code, _, err) = trigger(&port, &["--session", &session, "expired"]).await;
    assert!(code == Some(1) && err.contains("complete"), "{code:?} {err}");
    assert_eq!(trigger(&port, &["--booking", "b_none", "paid"]).await.0, Some(1));
    assert_eq!(trigger(&port, &["--booking", "b_1", "lost"]).await.0, Some(2));
    assert_eq!(trigger(&port, &["--booking", "b_1"]).await.0, Some(2));
}

#[tokio::test]
async fn each_request_event_and_delivery_is_a_line_unless_it_is_to_be_quiet() {
    use tokio::io::AsyncReadExt;
    let inbox = Inbox::open().await;
    for (quiet, lines) in [(false, true), (true, false)] {
        let mut flags = vec!["--webhook-url", &inbox.url, "--webhook-secret", SECRET];
        flags.extend(quiet.then_some("--quiet"));
        let (mut child, port) = simulate(&flags).await;
        assert_eq!(trigger(&port, &["payment_intent.created"]).await.0, Some(0));
        super::support::Api::at(&format!("http://127.0.0.1:{port}")).get("/v1/balance").await.ok();
        child.start_kill().unwrap();
        let mut said = String::new();
        child.stderr.take().unwrap().read_to_string(&mut said).await.unwrap();
        for line in
            ["--> payment_intent.created [evt_", "<-- [200] POST http://", "[200] GET /v1/balance [req_"]
        {
            assert_eq!(said.contains(line), lines, "{line}: {said}");
        }
    }
}

#[tokio::test]
async fn misuse_is_told_and_nothing_is_started() {
    for flags in [
        &["--fault", "nonsense"][..],
        &["--fault", "drop=200"],
        &["--webhook-secret", ""],
        &["--webhook-secret", "whsec_x "],
        &["--webhook-url", "nowhere"],
        &["--port", "x"],
        &["--api-version", "2023-13-45"],
        &["--brand-color", "red"],
        &["--logo", "/nowhere.png"],
    ] {
        let done = program().args(flags).output().await.unwrap();
        assert_eq!(done.status.code(), Some(2), "{flags:?}");
        assert!(done.stdout.is_empty() && !done.stderr.is_empty(), "{flags:?}");
    }
}

#[tokio::test]
async fn without_a_simulator_trigger_says_so() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    drop(listener);
    let (code, _, err) = trigger(&port, &["payment_intent.created"]).await;
    assert!(code == Some(1) && err.contains("no simulated Stripe answers"), "{code:?} {err}");
}
