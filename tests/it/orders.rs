//! In whatever order Stripe's events come, and however often, a booking ends in the same state: the one that a
//! model computes which knows no order at all.

use crate::harness::postgres::environment;
use crate::harness::{TestApp, TestDatabase, events, on_each_engine};
use axum::extract::{Path, State};
use axum::routing::get;
use axum::{Json, Router};
use checkout_backend::stripe::event;
use domain::booking::{Booking, Status};
use domain::event::Source;
use domain::payment::Outcome;
use futures_util::StreamExt;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use std::collections::HashMap;

on_each_engine! {
    every_order_of_the_events_of_a_session_ends_in_the_same_state,
    ten_thousand_random_interleavings_end_as_the_model_says,
}

/// What Stripe may say about one session, its refunds and its dispute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    CompletedPaid,
    /// The same fact by another event id.
    CompletedPaidTwin,
    CompletedUnpaid,
    AsyncSucceeded,
    AsyncFailed,
    Expired,
    PartRefunded,
    PartRefundSent,
    PartRefundFailed,
    RestRefunded,
    ChargeRefunded,
    Disputed,
    DisputeLost,
    DisputeWon,
}

use Said::{
    AsyncFailed, AsyncSucceeded, ChargeRefunded, CompletedPaid, CompletedPaidTwin, CompletedUnpaid,
    DisputeLost, DisputeWon, Disputed, Expired, PartRefundFailed, PartRefundSent, PartRefunded, RestRefunded,
};

const PRICE: i64 = 6_000;
const PART: i64 = 1_000;

/// The lives that a session has.
const LIVES: &[&[Said]] = &[
    &[CompletedPaid],
    &[CompletedPaid, CompletedPaidTwin],
    &[CompletedUnpaid, AsyncSucceeded],
    &[CompletedUnpaid, AsyncFailed],
    &[Expired],
    &[CompletedPaid, PartRefunded, PartRefundSent, ChargeRefunded],
    &[CompletedPaid, PartRefunded, PartRefundFailed],
    &[CompletedUnpaid, AsyncSucceeded, PartRefundSent, RestRefunded],
    &[CompletedPaid, Disputed, DisputeLost],
    &[CompletedPaid, Disputed, DisputeWon, PartRefundSent],
];

const EVERYTHING: &[Said] = &[
    CompletedPaid,
    CompletedPaidTwin,
    CompletedUnpaid,
    AsyncSucceeded,
    AsyncFailed,
    Expired,
    PartRefunded,
    PartRefundSent,
    PartRefundFailed,
    RestRefunded,
    ChargeRefunded,
    Disputed,
    DisputeLost,
    DisputeWon,
];

async fn every_order_of_the_events_of_a_session_ends_in_the_same_state(db: TestDatabase) {
    let orders = LIVES.iter().flat_map(|life| permutations(life)).collect();
    tell_and_compare(db, orders).await;
}

/// Up to six events, copies included, also such as no session of Stripe's has: the model knows what is right.
async fn ten_thousand_random_interleavings_end_as_the_model_says(db: TestDatabase) {
    let seed = environment("TEST_SEED").map_or_else(rand::random, |seed| seed.parse().unwrap());
    println!("TEST_SEED={seed}");
    let mut dice = StdRng::seed_from_u64(seed);
    let orders = (0..10_000)
        .map(|_| {
            let mut order: Vec<Said> = (0..dice.random_range(1..=6))
                .map(|_| EVERYTHING[dice.random_range(0..EVERYTHING.len())])
                .collect();
            order.shuffle(&mut dice);
            order
        })
        .collect();
    tell_and_compare(db, orders).await;
}

/// Tells each booking its events in their order, sixty-four bookings at a time.
async fn tell_and_compare(db: TestDatabase, orders: Vec<Vec<Said>>) {
    let stripe = stripe_that_knows_whose_payment_it_is(db.store.instance().await.unwrap().to_string()).await;
    let app = TestApp::start_with(&db, &[], &stripe).await;
    let mut bookings = Vec::new();
    for chunk in orders.chunks(1_000) {
        bookings.extend(app.pending_bookings(chunk.len()).await);
    }
    futures_util::stream::iter(bookings.iter().zip(&orders))
        .for_each_concurrent(64, async |(booking, order)| {
            for said in order {
                let event = event::from_api(&said.event(&app, booking), Source::Webhook).unwrap();
                let recorded = app.app.recorder.record(event).await.unwrap();
                assert_ne!(recorded.outcome, Outcome::Parked, "{said:?} of {order:?}");
            }
        })
        .await;

    let states = db.texts("select id || ' ' || coalesce(seat, 0) || ' ' || status from bookings").await;
    let states: HashMap<&str, &str> = states.iter().filter_map(|row| row.split_once(' ')).collect();
    let mut wrong = Vec::new();
    for (booking, order) in bookings.iter().zip(&orders) {
        let (seat, status) = states[booking.id.to_string().as_str()].split_once(' ').unwrap();
        let (should, seated) = model(order);
        if status != should.as_str() || (seat == "1") != seated {
            wrong.push(format!("{order:?}: {status} with seat {seat}, not {should} and {seated}"));
        }
    }
    assert!(wrong.is_empty(), "{} wrong, as\n{}", wrong.len(), wrong[..wrong.len().min(10)].join("\n"));
    let told: usize = orders.iter().map(|order| distinct(order).len()).sum();
    assert_eq!(db.number("select count(*) from payment_events").await, i64::try_from(told).unwrap());
    assert_eq!(
        db.number("select count(*) from payment_events where applied_payment").await,
        db.number("select count(*) from bookings where paid_session_id is not null").await
    );
    db.assert_sound().await;
}

/// The state by what was said, whatever the order, and whether the seat is kept. Written without a look at
/// the program's rules.
fn model(said: &[Said]) -> (Status, bool) {
    let heard = |wanted: &[Said]| said.iter().any(|one| wanted.contains(one));
    if !heard(&[CompletedPaid, CompletedPaidTwin, AsyncSucceeded]) {
        return if heard(&[AsyncFailed]) {
            (Status::Failed, false)
        } else if heard(&[CompletedUnpaid]) {
            (Status::Processing, true)
        } else if heard(&[Expired]) {
            (Status::Expired, false)
        } else {
            (Status::Pending, true)
        };
    }
    let part = if heard(&[PartRefunded, PartRefundSent]) && !heard(&[PartRefundFailed]) { PART } else { 0 };
    let rest = if heard(&[RestRefunded]) { PRICE - PART } else { 0 };
    let known_by_id = heard(&[PartRefunded, PartRefundSent, PartRefundFailed, RestRefunded]);
    let refunded = match (known_by_id, heard(&[ChargeRefunded])) {
        (true, _) => part + rest,
        (false, true) => PART,
        (false, false) => 0,
    };
    let status = match refunded {
        _ if heard(&[DisputeLost, Disputed]) && !heard(&[DisputeWon]) => Status::Disputed,
        0 => Status::Paid,
        PRICE => Status::Refunded,
        _ => Status::PartiallyRefunded,
    };
    // The service is owed until all of it was given back.
    (status, refunded < PRICE)
}

impl Said {
    /// As Stripe says it of this booking. The event's id is that of the thing said: repeated, it is a copy.
    fn event(self, app: &TestApp, booking: &Booking) -> Value {
        let session = format!("cs_{}", booking.id);
        let with = |kind: &str, changes: Value| {
            let mut object = events::session(booking, &session, &app.app.instance.to_string());
            object.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
            (kind.to_owned(), object)
        };
        let refund = |id: &str, amount, kind: &str, status| {
            (kind.to_owned(), events::refund(&format!("re_{id}_{}", booking.id), &session, amount, status))
        };
        let dispute = |kind: &str, status| {
            let id = format!("dp_{}", booking.id);
            (format!("charge.dispute.{kind}"), events::dispute(&id, &session, PRICE, status))
        };
        let unpaid = json!({ "payment_status": "unpaid" });
        let (kind, object) = match self {
            CompletedPaid | CompletedPaidTwin => with("checkout.session.completed", json!({})),
            CompletedUnpaid => with("checkout.session.completed", unpaid),
            AsyncSucceeded => with("checkout.session.async_payment_succeeded", json!({})),
            AsyncFailed => with("checkout.session.async_payment_failed", unpaid),
            Expired => {
                with("checkout.session.expired", json!({ "status": "expired", "payment_status": "unpaid" }))
            }
            PartRefunded => refund("part", PART, "refund.created", "pending"),
            PartRefundSent => refund("part", PART, "refund.updated", "succeeded"),
            PartRefundFailed => refund("part", PART, "refund.failed", "failed"),
            RestRefunded => refund("rest", PRICE - PART, "refund.created", "succeeded"),
            ChargeRefunded => ("charge.refunded".to_owned(), events::charge(&session, PRICE, PART)),
            Disputed => dispute("created", "needs_response"),
            DisputeLost => dispute("closed", "lost"),
            DisputeWon => dispute("closed", "won"),
        };
        events::event(&format!("evt_{self:?}_{}", booking.id), &kind, object)
    }
}

/// Refunds and disputes come without metadata, as from Stripe: the payment intent says whose they are.
async fn stripe_that_knows_whose_payment_it_is(instance: String) -> String {
    async fn intent(State(instance): State<String>, Path(id): Path<String>) -> Json<Value> {
        let booking = id.trim_start_matches("pi_");
        Json(json!({
            "id": id, "object": "payment_intent", "metadata": { "booking_id": booking, "instance": instance },
        }))
    }
    let router = Router::new().route("/v1/payment_intents/{id}", get(intent)).with_state(instance);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    url
}

fn permutations(items: &[Said]) -> Vec<Vec<Said>> {
    if items.is_empty() {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for (n, first) in items.iter().enumerate() {
        let rest: Vec<Said> =
            items.iter().enumerate().filter(|(m, _)| *m != n).map(|(_, one)| *one).collect();
        all.extend(permutations(&rest).into_iter().map(|mut order| {
            order.insert(0, *first);
            order
        }));
    }
    all
}

fn distinct(order: &[Said]) -> Vec<Said> {
    let mut seen = Vec::new();
    for said in order {
        if !seen.contains(said) {
            seen.push(*said);
        }
    }
    seen
}
