//! Crowds, crashes and outages: what was acknowledged is never lost, and nothing is applied twice.

use crate::harness::app::{delivery, send};
use crate::harness::{TestApp, TestDatabase, on_each_engine};
use checkout_backend::domain::booking::Status;
use futures_util::StreamExt;
use std::collections::BTreeMap;

on_each_engine! {
    sixteen_copies_of_two_thousand_events_at_once_are_each_applied_once,
}

/// Stripe delivers at least once, and sometimes many times at the same moment.
async fn sixteen_copies_of_two_thousand_events_at_once_are_each_applied_once(db: TestDatabase) {
    const EVENTS: usize = 2_000;
    const COPIES: usize = 16;
    let app = TestApp::start(&db).await;
    let bookings = app.pending_bookings(EVENTS).await;
    let payments: Vec<_> = bookings
        .iter()
        .enumerate()
        .map(|(n, booking)| app.paid(&format!("evt_crowd_{n}"), booking, &format!("cs_crowd_{n}")))
        .collect();

    // Sixteen neighbours in a row are copies of one event, and 64 requests are under way at any time.
    let deliveries = payments.iter().flat_map(|event| std::iter::repeat_n(event, COPIES));
    let answers: BTreeMap<(u16, String), usize> = futures_util::stream::iter(deliveries)
        .map(|event| send(delivery(&app.http, &app.url, &app.clock, event)))
        .buffer_unordered(64)
        .fold(BTreeMap::new(), async |mut answers, answer| {
            *answers.entry((answer.status, answer.outcome())).or_default() += 1;
            answers
        })
        .await;

    let expected = [((200, "duplicate"), EVENTS * (COPIES - 1)), ((200, "processed"), EVENTS)];
    assert_eq!(answers, expected.map(|((status, outcome), n)| ((status, outcome.to_owned()), n)).into());
    assert_eq!(db.number("select count(*) from payment_events").await, 2_000);
    assert_eq!(db.number("select sum(deliveries) from payment_events").await, 32_000);
    assert_eq!(db.number("select count(*) from bookings where status = 'payé'").await, 2_000);
    assert_eq!(db.number("select count(*) from outbox").await, 2_000);
    assert_eq!(app.status(bookings[0].id).await, Status::Paid);
}
