//! The state in a file.

use super::support::{Api, Inbox, SESSION, eventually, frozen, id, program, simulate, start_with};
use serde_json::json;
use std::path::Path;
use std::time::Duration;
use stripe_sim::{Sim, SimConfig};

fn config(file: &Path, inbox: &Inbox) -> SimConfig {
    SimConfig {
        clock: frozen(),
        data_file: Some(file.to_owned()),
        webhooks: vec![inbox.target()],
        ..SimConfig::default()
    }
}

#[tokio::test]
async fn everything_survives_a_restart_and_what_was_due_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("deep/simulator.json");
    let inbox = Inbox::open().await;
    let (sim, api) = start_with(config(&file, &inbox)).await;
    let key = [("idempotency-key", "k1")];
    let open = id(&api.post_with("/v1/checkout/sessions", &key, SESSION).await.ok());
    let delayed = id(&api.session("").await);
    let _ = sim.pay(&delayed, "sepa_debit").await.unwrap();
    eventually("delivered", || inbox.received().len() == 4).await;
    inbox.answers(&[500]);
    let expired = id(&api.session("").await);
    api.post(&format!("/v1/checkout/sessions/{expired}/expire"), "").await.ok();
    eventually("one failed", || inbox.received().len() == 5).await;
    assert!(sim.deliveries_done(super::support::LIMIT).await);
    let (events, clock) = (sim.events(), sim.clock().now());
    sim.shutdown().await;

    let (sim, api) = start_with(config(&file, &inbox)).await;
    assert_eq!(sim.clock().now(), clock);
    assert_eq!(sim.events(), events);
    assert_eq!(id(&api.post_with("/v1/checkout/sessions", &key, SESSION).await.ok()), open);
    sim.clock().advance(Duration::from_secs(60));
    assert_eq!(sim.object(&delayed).unwrap()["payment_status"], "paid");
    sim.clock().advance(Duration::from_secs(24 * 3600));
    assert_eq!(sim.object(&open).unwrap()["status"], "expired");
    eventually("the failed one is retried", || {
        inbox.received().iter().filter(|r| r.event()["data"]["object"]["id"] == expired.as_str()).count() == 2
    })
    .await;
}

#[tokio::test]
async fn a_file_that_is_not_a_state_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("simulator.json");
    let header = "{\"simulated_stripe_state\":2}\n";
    for text in ["{\"precious\": true}", "nonsense\n", &format!("{header}[{{\"session\":1}}]\n[]\n")] {
        std::fs::write(&file, text).unwrap();
        let refused = Sim::start(SimConfig { data_file: Some(file.clone()), ..SimConfig::default() }).await;
        let why = refused.unwrap_err().to_string();
        assert!(why.contains("simulator.json: not a state of the simulator"), "{why}");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
    }
    let done = program().args(["--port", "0", "--data-file"]).arg(&file).output().await.unwrap();
    let said = String::from_utf8(done.stderr).unwrap();
    assert_eq!((done.status.code(), done.stdout.is_empty()), (Some(1), true));
    assert!(said.contains("not a state of the simulator") && said.contains("move it away"), "{said}");
}

#[tokio::test]
async fn an_empty_file_is_an_empty_state() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let inbox = Inbox::open().await;
    let (sim, _api) = start_with(config(file.path(), &inbox)).await;
    assert!(sim.events().is_empty());
}

#[tokio::test]
async fn a_file_in_use_is_refused_until_it_is_let_go() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("simulator.json");
    let inbox = Inbox::open().await;
    let (sim, _api) = start_with(config(&file, &inbox)).await;
    let second = Sim::start(config(&file, &inbox)).await;
    assert!(second.unwrap_err().to_string().contains("in use by another simulator"));
    sim.shutdown().await;
    Sim::start(config(&file, &inbox)).await.unwrap();
}

/// No time is left to the program: what it has answered must be in the file by then.
#[tokio::test]
async fn a_killed_program_has_lost_nothing_that_it_answered() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("simulator.json");
    let flags = ["--data-file", file.to_str().unwrap(), "--settle-after", "3600"];
    let mut last = None;
    for round in 0..3 {
        let (mut child, port) = simulate(&flags).await;
        let api = Api::at(&format!("http://127.0.0.1:{port}"));
        if let Some((session, refund, events)) = last {
            let again = api.get(&format!("/v1/checkout/sessions/{session}")).await.ok();
            assert_eq!(again["payment_status"], "paid", "round {round}");
            let key = format!("refund-{}", round - 1);
            let intent = again["payment_intent"].as_str().unwrap();
            let form = format!("payment_intent={intent}&amount=100");
            let replayed = api.post_with("/v1/refunds", &[("idempotency-key", &key)], &form).await;
            assert_eq!(replayed.header("idempotent-replayed"), Some("true"));
            assert_eq!(id(&replayed.ok()), refund);
            assert_eq!(api.get("/v1/events?limit=100").await.ok()["data"], events);
        }
        let session = id(&api.session("").await);
        api.control(&format!("sessions/{session}/pay"), &json!({ "card": "4242424242424242" })).await.ok();
        let paid = api.get(&format!("/v1/checkout/sessions/{session}")).await.ok();
        let form = format!("payment_intent={}&amount=100", paid["payment_intent"].as_str().unwrap());
        let key = format!("refund-{round}");
        let refund = id(&api.post_with("/v1/refunds", &[("idempotency-key", &key)], &form).await.ok());
        let events = api.get("/v1/events?limit=100").await.ok()["data"].clone();
        assert_eq!(events.as_array().unwrap().len(), 9 * (round + 1));
        child.kill().await.unwrap();
        last = Some((session, refund, events));
    }
}

#[tokio::test]
async fn a_change_that_was_cut_off_in_the_file_did_not_happen() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("simulator.json");
    let inbox = Inbox::open().await;
    let (sim, api) = start_with(config(&file, &inbox)).await;
    let (first, second) = (id(&api.session("").await), id(&api.session("").await));
    sim.shutdown().await;
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, &text[..text.len() - 10]).unwrap();
    let (sim, _api) = start_with(config(&file, &inbox)).await;
    assert!(sim.object(&first).is_some() && sim.object(&second).is_none());
}

#[tokio::test]
async fn the_file_does_not_grow_with_changes_that_are_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("simulator.json");
    let inbox = Inbox::open().await;
    let (sim, api) = start_with(config(&file, &inbox)).await;
    let session = id(&api.session("").await);
    let path = format!("/v1/checkout/sessions/{session}");
    let big =
        |n: usize| (0..50).map(|k| format!("metadata[k{k}]={}{n}&", "x".repeat(490))).collect::<String>();
    // Twice as much as may be appended before the state is written anew.
    for n in 0..400 {
        api.post(&path, &big(n)).await.ok();
    }
    let len = || std::fs::metadata(&file).unwrap().len();
    eventually("written anew", || len() < 5 * 1024 * 1024).await;
    let before = sim.object(&session).unwrap();
    sim.shutdown().await;
    let (sim, _api) = start_with(config(&file, &inbox)).await;
    assert_eq!(sim.object(&session).unwrap()["metadata"], before["metadata"]);
}

#[tokio::test]
async fn the_file_is_written_while_it_runs() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("simulator.json");
    let inbox = Inbox::open().await;
    let (_sim, api) = start_with(config(&file, &inbox)).await;
    let session = id(&api.session("").await);
    eventually("written", || std::fs::read_to_string(&file).is_ok_and(|text| text.contains(&session))).await;
}
