//! `Idempotency-Key`: replay, mismatch, use, and what is not kept.

use super::support::{SESSION, id, start};
use std::time::Duration;
use stripe_sim::{ApiFault, ApiFaultKind, Faults};

const PATH: &str = "/v1/checkout/sessions";

#[tokio::test]
async fn the_same_key_and_parameters_give_the_first_answer_again() {
    let (_sim, api) = start().await;
    let key = [("idempotency-key", "k1")];
    let first = api.post_with(PATH, &key, SESSION).await;
    // Other order, same parameters.
    let mut parts: Vec<&str> = SESSION.split('&').collect();
    parts.reverse();
    let second = api.post_with(PATH, &key, &parts.join("&")).await;
    assert_eq!(first.text(), second.text());
    assert_eq!(first.header("idempotent-replayed"), None);
    assert_eq!(second.header("idempotent-replayed"), Some("true"));
    assert_eq!(second.header("original-request"), first.header("request-id"));
    assert_ne!(second.header("request-id"), first.header("request-id"));
    assert_eq!(second.header("idempotency-key"), Some("k1"));
}

#[tokio::test]
async fn the_same_key_with_other_parameters_or_another_path_is_refused() {
    let (_sim, api) = start().await;
    let key = [("idempotency-key", "k1")];
    api.post_with(PATH, &key, SESSION).await.ok();
    let other = api.post_with(PATH, &key, &format!("{SESSION}&locale=fr")).await;
    assert_eq!(other.refusal(), (400, "idempotency_error", "", ""));
    assert_eq!(
        other.message(),
        "Keys for idempotent requests can only be used with the same parameters they were first used with. Try using \
         a key other than 'k1' if you meant to execute a different request."
    );
    let elsewhere = api.post_with("/v1/payment_intents", &key, "amount=100&currency=eur").await;
    assert_eq!(elsewhere.refusal(), (400, "idempotency_error", "", ""));
    assert_eq!(
        elsewhere.message(),
        "Keys for idempotent requests can only be used for the same endpoint they were first used for \
         ('/v1/payment_intents' vs '/v1/checkout/sessions'). Try using a key other than 'k1' if you meant to execute \
         a different request."
    );
}

#[tokio::test]
async fn a_request_that_failed_validation_does_not_use_up_its_key() {
    let (_sim, api) = start().await;
    let key = [("idempotency-key", "k1")];
    assert_eq!(api.post_with(PATH, &key, "mode=payment").await.status, 400);
    api.post_with(PATH, &key, SESSION).await.ok();
}

#[tokio::test]
async fn a_declined_card_and_a_refused_state_are_kept() {
    let (sim, api) = start().await;
    let form = "amount=1000&currency=eur&payment_method=pm_card_chargeDeclined&confirm=true";
    let key = [("idempotency-key", "k1")];
    let first = api.post_with("/v1/payment_intents", &key, form).await;
    let second = api.post_with("/v1/payment_intents", &key, form).await;
    assert_eq!((first.status, first.text()), (402, second.text()));
    assert_eq!(second.header("idempotent-replayed"), Some("true"));

    let session = id(&api.session("").await);
    let path = format!("{PATH}/{session}/expire");
    api.post(&path, "").await.ok();
    let key = [("idempotency-key", "k2")];
    assert_eq!(api.post_with(&path, &key, "").await.status, 400);
    assert_eq!(api.post_with(&path, &key, "").await.header("idempotent-replayed"), Some("true"));
    drop(sim);
}

#[tokio::test]
async fn a_key_is_forgotten_after_a_day() {
    let (sim, api) = start().await;
    let key = [("idempotency-key", "k1")];
    let first = api.post_with(PATH, &key, SESSION).await.ok();
    sim.clock().advance(Duration::from_secs(24 * 3600 - 1));
    assert_eq!(id(&api.post_with(PATH, &key, SESSION).await.ok()), id(&first));
    sim.clock().advance(Duration::from_secs(1));
    assert_ne!(id(&api.post_with(PATH, &key, SESSION).await.ok()), id(&first));
}

#[tokio::test]
async fn a_second_request_while_the_first_runs_is_a_conflict() {
    let (sim, api) = start().await;
    let slow = ApiFault { ms: 400, next: Some(1), ..ApiFault::of(ApiFaultKind::Latency, 100) };
    sim.set_faults(Faults { api: vec![slow], ..Faults::default() });
    let key = [("idempotency-key", "k1")];
    let one = api.post_with(PATH, &key, SESSION);
    let two = api.post_with(PATH, &key, SESSION);
    let (one, two) = tokio::join!(one, two);
    let (ok, conflict) = if one.status == 200 { (one, two) } else { (two, one) };
    assert_eq!(ok.status, 200);
    assert_eq!(conflict.refusal(), (409, "idempotency_error", "idempotency_key_in_use", ""));
    let replayed = api.post_with(PATH, &key, SESSION).await;
    assert_eq!(replayed.header("idempotent-replayed"), Some("true"));
}

#[tokio::test]
async fn a_500_after_the_work_began_is_given_again_and_one_before_it_is_not() {
    let (sim, api) = start().await;
    let once = |kind| Faults {
        api: vec![ApiFault { next: Some(1), ..ApiFault::of(kind, 100) }],
        ..Faults::default()
    };
    sim.set_faults(once(ApiFaultKind::ServerErrorStored));
    let key = [("idempotency-key", "k1")];
    assert_eq!(api.post_with(PATH, &key, SESSION).await.status, 500);
    let again = api.post_with(PATH, &key, SESSION).await;
    assert_eq!((again.status, again.header("idempotent-replayed")), (500, Some("true")));

    sim.set_faults(once(ApiFaultKind::ServerError));
    let key = [("idempotency-key", "k2")];
    assert_eq!(api.post_with(PATH, &key, SESSION).await.status, 500);
    api.post_with(PATH, &key, SESSION).await.ok();
}

#[tokio::test]
async fn a_key_longer_than_255_characters_is_refused() {
    let (_sim, api) = start().await;
    let long = "k".repeat(256);
    assert_eq!(api.post_with(PATH, &[("idempotency-key", &long)], SESSION).await.status, 400);
}
