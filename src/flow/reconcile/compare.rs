//! One fact, held against what we believe: written down if it changes something.

use super::ReconcileError;
use crate::app::App;
use crate::flow::recorder::{Preview, RecordError, Recorded};
use domain::event::Event;
use domain::payment::{Outcome, Reason};
use store::StoreError;

/// Facts that are recorded at once: they share commits.
pub(super) const AT_ONCE: usize = 32;
/// How often a booking that is locked is looked at.
const LOOKS: u32 = 4;

/// What was seen of one object or event, and what became of it.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) event_key: String,
    pub(super) kind: String,
    pub(super) recorded: Recorded,
    /// How things stood before; none where that was not looked at.
    pub(super) preview: Option<Box<Preview>>,
}

/// Compares a state that was seen with ours, and records it if they differ.
pub(super) async fn compare(app: &App, event: Event, dry_run: bool) -> Result<Option<Seen>, ReconcileError> {
    let preview = Box::new(look(app, &event).await?);
    let waits = matches!(preview.recorded.outcome, Outcome::Parked | Outcome::Rejected);
    if !preview.changes() && !waits {
        return Ok(None);
    }
    if dry_run {
        let (event_key, kind) = (event.key.as_str().to_owned(), event.kind);
        return Ok(Some(Seen { event_key, kind, recorded: preview.recorded, preview: Some(preview) }));
    }
    record(app, event, Some(preview)).await.map(Some)
}

/// How things stand and would stand. A booking that somebody else has locked is looked at again: another
/// instance reads the same lists.
async fn look(app: &App, event: &Event) -> Result<Preview, RecordError> {
    let mut looks = 1;
    loop {
        match app.recorder.preview(event.clone()).await {
            Err(RecordError::NotDurable(error)) if error.is_collision() && looks < LOOKS => looks += 1,
            result => return result,
        }
    }
}

/// Writes it down without a look at what it changes, unless that was taken.
pub(super) async fn record(
    app: &App,
    event: Event,
    preview: Option<Box<Preview>>,
) -> Result<Seen, ReconcileError> {
    let (event_key, kind) = (event.key.as_str().to_owned(), event.kind.clone());
    let recorded = match app.recorder.record(event).await {
        Ok(recorded) => recorded,
        // It is durable, and tried again by ourselves: what comes after it is not to wait for that.
        Err(RecordError::Stored(_)) => {
            let booking = preview.as_ref().and_then(|preview| preview.recorded.booking);
            let (outcome, reason) = (Outcome::Rejected, Reason::Fault);
            Recorded { outcome, reason, booking, applied_payment: false }
        }
        Err(error) => return Err(error.into()),
    };
    Ok(Seen { event_key, kind, recorded, preview })
}

/// Those events that are not in the ledger, or there and not settled.
pub(super) async fn unknown_here(app: &App, events: Vec<Event>) -> Result<Vec<Event>, StoreError> {
    let keys: Vec<&str> = events.iter().map(|event| event.key.as_str()).collect();
    let mut tx = app.store.read().await?;
    let known = tx.known_entries(&keys).await?;
    tx.rollback().await?;
    let is_open = |event: &Event| match known.get(event.key.as_str()).map(|entry| entry.outcome) {
        None | Some(Outcome::Parked | Outcome::Rejected) => true,
        Some(Outcome::Processed | Outcome::Duplicate | Outcome::Ignored | Outcome::Case) => false,
    };
    Ok(events.into_iter().filter(is_open).collect())
}
