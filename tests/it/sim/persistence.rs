//! The state in a file.

use super::support::{Inbox, SESSION, eventually, frozen, id, start_with};
use checkout_backend::stripe::sim::{Sim, SimConfig};
use std::path::Path;
use std::time::Duration;

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
    std::fs::write(&file, "{\"precious\": true}").unwrap();
    let refused = Sim::start(SimConfig { data_file: Some(file.clone()), ..SimConfig::default() }).await;
    assert!(refused.unwrap_err().to_string().contains("not a state of the simulator"));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "{\"precious\": true}");
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
