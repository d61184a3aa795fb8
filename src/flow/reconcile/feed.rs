//! The events feed: what Stripe made events of, whether they were delivered or not.

use super::compare::{AT_ONCE, compare, record, unknown_here};
use super::report::Report;
use super::{FEED_READ, ReconcileError};
use crate::app::App;
use clock::Timestamp;
use domain::event::Event;
use futures_util::StreamExt;
use std::time::Duration;

/// The feed's cursor.
const FEED: &str = "events";
/// Events may appear in the feed a little after their `created`.
const OVERLAP: Duration = Duration::from_secs(600);
/// Stripe keeps events this long; older facts are in the objects.
const FEED_KEEPS: Duration = Duration::from_secs(30 * 86_400);

/// Reads the events feed if it is due. `every` is when it is due again.
///
/// # Errors
/// A [`ReconcileError`]: the cursor stays where everything before it is durable.
pub async fn follow_feed(app: &App, every: Duration) -> Result<Report, ReconcileError> {
    let mut report = Report::default();
    let now = app.clock.now();
    let mut tx = app.store.begin().await?;
    let made = tx.instance_created_at().await?;
    let due = tx.take_feed(FEED, made, now, now.plus(every)).await?;
    tx.commit().await?;
    if let Some(read_until) = due {
        read_from(app, read_until, false, &mut report).await?;
    }
    Ok(report)
}

/// Reads it whether it is due or not: from `since`, else from where it was read to, else from the time at which
/// this database was made.
pub(super) async fn read(
    app: &App,
    since: Option<Timestamp>,
    made: Timestamp,
    dry_run: bool,
    report: &mut Report,
) -> Result<(), ReconcileError> {
    let mut tx = app.store.read().await?;
    let read_until = tx.read_until(FEED).await?;
    tx.rollback().await?;
    read_from(app, since.or(read_until).unwrap_or(made), dry_run, report).await
}

/// The oldest events first. The cursor moves behind what is durable.
async fn read_from(
    app: &App,
    from: Timestamp,
    dry_run: bool,
    report: &mut Report,
) -> Result<(), ReconcileError> {
    let now = app.clock.now();
    let from = from.minus(OVERLAP).max(now.minus(FEED_KEEPS));
    let mut pages = app.stripe.by_created::<Event>(from, now);
    while let Some(events) = pages.next().await? {
        report.events += events.len() as u64;
        let newest = events.iter().filter_map(|event| event.created).max();
        let events = unknown_here(app, events).await?;
        record_all(app, events, dry_run, report).await?;
        if let (Some(newest), false) = (newest, dry_run) {
            let mut tx = app.store.begin().await?;
            tx.move_feed(FEED, newest, app.clock.now()).await?;
            tx.commit().await?;
        }
    }
    if !dry_run {
        // The cursor stands still while nothing happens. That it was read is another thing.
        let mut tx = app.store.begin().await?;
        tx.note_observation(FEED_READ, now, 0).await?;
        tx.commit().await?;
    }
    Ok(())
}

/// Takes over events of Stripe's. They belong in the ledger even if they change nothing. One that cannot be
/// kept does not keep the others from being.
async fn record_all(
    app: &App,
    events: Vec<Event>,
    dry_run: bool,
    report: &mut Report,
) -> Result<(), ReconcileError> {
    let mut done = futures_util::stream::iter(events)
        .map(|event| async move {
            if dry_run { compare(app, event, true).await } else { record(app, event, None).await.map(Some) }
        })
        .buffered(AT_ONCE);
    let mut failed = None;
    while let Some(result) = done.next().await {
        match result {
            Ok(seen) => seen.into_iter().for_each(|seen| report.note(seen)),
            Err(error) => {
                failed.get_or_insert(error);
            }
        }
    }
    failed.map_or(Ok(()), Err)
}
