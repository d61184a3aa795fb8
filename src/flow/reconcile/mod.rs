//! Asking Stripe, instead of waiting to be told: the events feed, the objects themselves, and the
//! comparison of both with what we believe.
//!
//! **Invariants.** What is found goes through the recorder like everything else. A state that agrees
//! with ours is not written down: only differences are. A feed's cursor moves when everything before it
//! is durable, and never by our own clock. A hold ends only by Stripe's word. An open session of ours for which nobody
//! waits is closed.

mod bookings;
mod compare;
mod feed;
mod lists;
mod report;

pub use bookings::{check_due, check_session, close_session, find_session, release_lapsed};
pub use feed::follow_feed;
pub use lists::follow_objects;
pub use report::{Difference, MAX_LISTED, Report};

use super::recorder::RecordError;
use super::{closed, recall};
use crate::app::App;
use crate::stripe::StripeError;
use clock::Timestamp;
use std::time::Duration;
use store::StoreError;

/// Clocks differ: a list by `created` is read from this much before a time of ours.
const CLOCKS_DIFFER: Duration = Duration::from_secs(3600);

/// Reads everything that may have been missed and applies it.
///
/// One list that fails does not keep the others from being read: the report says so.
///
/// # Errors
/// [`ReconcileError::Store`] if the database cannot be read at all.
pub async fn run(app: &App, options: Options) -> Result<Report, ReconcileError> {
    let mut tx = app.store.read().await?;
    let made = tx.instance_created_at().await?;
    let oldest = tx.oldest_unsettled().await?;
    tx.rollback().await?;
    let mut report = Report { dry_run: options.dry_run, ..Report::default() };
    let now = app.clock.now();

    let restored = closed::restored(app).await?;
    // Whatever the database knows to be unsettled, it knows nothing of what came after the backup.
    let since = options.since.or(oldest).unwrap_or(now);
    let since = restored.as_ref().map_or(since, |restored| since.min(restored.taken_at)).minus(CLOCKS_DIFFER);
    if restored.is_some() && options.objects && !options.dry_run {
        // Before anything is said of bookings that are not here: it would only be parked.
        match recall::lost(app, since).await {
            Ok(made) => report.made_again.extend(made),
            Err(error) => report.fail("lost bookings", &error),
        }
    }

    if options.feed
        && let Err(error) = feed::read(app, options.since, made, options.dry_run, &mut report).await
    {
        report.fail("events feed", &error);
    }
    if options.objects {
        bookings::check_unsettled(app, options.dry_run, &mut report).await?;
        for (list, error) in lists::read(app, since, options.dry_run, &mut report).await {
            report.fail(list, &error);
        }
        if !options.dry_run
            && let Err(error) = bookings::close_unwanted(app).await
        {
            report.fail("sessions to close", &error);
        }
    }
    if !options.dry_run {
        app.recorder.retry_due(&app.store).await?;
    }
    // Who only looks writes nothing.
    if !options.dry_run {
        keep_drift(app, report.remaining).await?;
    }
    if let (Some(restored), true) = (restored, report.failures.is_empty()) {
        let everything = options.feed && options.objects && !options.dry_run;
        if everything && closed::open(app, restored).await? {
            tracing::info!(module = "reconcile", action = "reconcile.opened", "the storefront sells again");
        }
    }
    tracing::info!(
        module = "reconcile",
        action = "reconcile.completed",
        dry_run = options.dry_run,
        healed = report.healed_count,
        remaining = report.remaining,
        failures = report.failures.len()
    );
    Ok(report)
}

/// When the feed was last read to its end.
pub(super) const FEED_READ: &str = "feed";

/// For every instance's `/metrics`: who compared last knows.
async fn keep_drift(app: &App, differences: u64) -> Result<(), StoreError> {
    let mut tx = app.store.begin().await?;
    tx.note_observation("drift", app.clock.now(), i64::try_from(differences).unwrap_or(i64::MAX)).await?;
    tx.commit().await
}

/// What was missed while no program ran is asked for at once, whatever the last one had planned: what it
/// took on is not done if it was killed.
///
/// # Errors
/// [`StoreError`].
pub async fn catch_up(app: &App) -> Result<(), StoreError> {
    let mut tx = app.store.begin().await?;
    tx.everything_is_due(app.clock.now()).await?;
    tx.commit().await
}

/// What a run does.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// From when; none: from the oldest thing that is not settled.
    pub since: Option<Timestamp>,
    /// Only look.
    pub dry_run: bool,
    /// Read the events feed.
    pub feed: bool,
    /// Read sessions, refunds and disputes themselves.
    pub objects: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { since: None, dry_run: false, feed: true, objects: true }
    }
}

/// Why Stripe's view could not be taken over.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Stripe.
    #[error(transparent)]
    Stripe(#[from] StripeError),
    /// What was found could not be recorded.
    #[error(transparent)]
    Record(#[from] RecordError),
}
