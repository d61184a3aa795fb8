//! What the service does by itself while it runs: each kind of work in a loop of its own.
//!
//! **Invariants.** A round that fails, or even panics, is logged and counted, and the next one comes. No
//! loop keeps state: whatever a round finds is in the database, shared by lease with other instances.

use super::{closed, doctor, effects, privacy, reconcile, refund};
use crate::app::Shared;
use crate::config::PollEvents;
use domain::backoff::Backoff;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How long a stop waits for rounds that are under way.
const GRACE: Duration = Duration::from_secs(2);
/// The feed while there are webhooks: it only finds what they missed.
const FEED_WATCH: Duration = Duration::from_secs(180);
/// The feed while there are none.
const FEED_ONLY: Duration = Duration::from_secs(5);
/// The listing of sessions, refunds and disputes.
const OBJECTS_WATCH: Duration = Duration::from_secs(1800);

/// The running loops.
#[derive(Debug)]
pub struct Background {
    stop: watch::Sender<bool>,
    loops: JoinSet<()>,
}

impl Background {
    /// Lets rounds that are under way end, within limits, and begins no more.
    pub async fn stop(mut self) {
        let _ = self.stop.send(true);
        let ended = async { while self.loops.join_next().await.is_some() {} };
        if tokio::time::timeout(GRACE, ended).await.is_err() {
            tracing::warn!(module = "background", action = "background.cut", "a round did not end in time");
            self.loops.shutdown().await;
        }
    }
}

/// Starts every loop. The first rounds begin at once: what was missed while the program was down is
/// taken first.
#[must_use]
pub fn start(app: &Shared) -> Background {
    let (stop, stopped) = watch::channel(false);
    let mut loops = JoinSet::new();
    let mut every = |name: &'static str, pause: u64, work: fn(Shared) -> Round| {
        loops.spawn(repeat(app.clone(), name, Duration::from_secs(pause), work, stopped.clone()));
    };
    every("ledger", 5, |app| Box::pin(async move { discard(app.recorder.retry_due(&app.store).await) }));
    every("bookings", 2, |app| Box::pin(async move { discard(reconcile::check_due(&app).await) }));
    every("refunds", 5, |app| Box::pin(async move { discard(refund::resolve_due(&app).await) }));
    every("effects", 1, |app| Box::pin(async move { discard(effects::deliver_due(&app).await) }));
    every("cleanup", 300, |app| Box::pin(async move { discard(privacy::clean_up(&app).await) }));
    every("sessions", 600, |app| Box::pin(async move { discard(app.accounts.forget_ended().await) }));
    every("other", 5, |app| Box::pin(async move { discard(doctor::keep_observations(&app).await) }));
    every("restored", 10, |app| Box::pin(async move { discard(closed::follow_restoration(&app).await) }));
    match app.config.poll_events {
        PollEvents::Off => {}
        PollEvents::Auto => {
            every("feed", 20, |app| {
                Box::pin(async move { discard(reconcile::follow_feed(&app, FEED_WATCH).await) })
            });
        }
        PollEvents::Only => {
            every("feed", 2, |app| {
                Box::pin(async move { discard(reconcile::follow_feed(&app, FEED_ONLY).await) })
            });
        }
    }
    every("objects", 60, |app| {
        Box::pin(async move { discard(reconcile::follow_objects(&app, OBJECTS_WATCH).await) })
    });
    Background { stop, loops }
}

/// A round of work: the reason why it failed, if it did.
type Round = std::pin::Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

fn discard<T, E: std::fmt::Display>(result: Result<T, E>) -> Result<(), String> {
    result.map(drop).map_err(|error| error.to_string())
}

async fn repeat(
    app: Shared,
    name: &'static str,
    pause: Duration,
    work: fn(Shared) -> Round,
    mut stopped: watch::Receiver<bool>,
) {
    let longest = pause.saturating_mul(32).min(Duration::from_secs(300)).max(pause);
    let slower = Backoff::new(pause, longest);
    let mut failures = 0_i32;
    loop {
        // Of its own task, so that a panic ends the round and not the loop.
        let round = tokio::spawn(work(app.clone())).await;
        failures = match round.map_err(|error| error.to_string()).and_then(|result| result) {
            Ok(()) => 0,
            Err(error) => {
                app.counters.background_failed(name);
                tracing::warn!(module = "background", action = "background.failed", work = name, "{error}");
                failures.saturating_add(1)
            }
        };
        // Slower while it fails, and never in step with another instance.
        let jitter = slower.after(failures).mul_f64(rand::random_range(0.8..1.2));
        tokio::select! {
            _ = stopped.changed() => return,
            () = tokio::time::sleep(jitter) => {}
        }
        if *stopped.borrow() {
            return;
        }
    }
}
