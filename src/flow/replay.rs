//! Judging again what stands in the ledger.
//!
//! **Invariant.** A replay goes through the recorder like the first delivery: it can only add what is
//! missing, and never makes a state worse, however often it is done.

use super::accounts::Actor;
use super::recorder::{Preview, RecordError, Recorded};
use crate::app::App;
use crate::stripe::{StripeError, event};
use domain::booking::{Booking, Status};
use domain::event::{Event, Source};
use domain::lang::Lang;
use serde::Serialize;
use store::StoreError;
use store::ledger::Entry;

/// Why nothing was replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// There is no such event.
    #[error("there is no such event in the ledger")]
    NotFound,
    /// Its payload was erased, and Stripe does not have it any more.
    #[error("what Stripe said was erased, and Stripe does not have it any more")]
    Erased,
    /// It cannot be read.
    #[error("what is kept of it cannot be read")]
    Unreadable,
    /// Stripe had to be asked for it.
    #[error(transparent)]
    Stripe(#[from] StripeError),
    /// It could not be recorded.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a replay did, or would do.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Replayed {
    /// Whether it only looked.
    pub dry_run: bool,
    /// `processed`, `duplicate`, …
    pub outcome: &'static str,
    /// Why, as a word.
    pub reason: &'static str,
    /// Why, as a sentence (English).
    pub message: &'static str,
    /// The booking, if one is known.
    pub booking_id: Option<domain::ids::BookingId>,
    /// What differs between before and after; empty if nothing does.
    pub changes: Vec<Change>,
}

/// One thing that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// What.
    pub member: &'static str,
    /// Before.
    pub before: String,
    /// After.
    pub after: String,
}

/// What a replay of an entry (its id, or Stripe's event id) would do. Nothing is written.
///
/// # Errors
/// A [`ReplayError`].
pub async fn preview(app: &App, entry: &str) -> Result<Replayed, ReplayError> {
    let event = event_of(app, entry).await?;
    let preview = app.recorder.preview(event).await?;
    Ok(replayed(true, preview.recorded, &preview))
}

/// Judges an entry again, for `actor`.
///
/// # Errors
/// A [`ReplayError`].
pub async fn replay(app: &App, entry: &str, actor: Actor<'_>) -> Result<Replayed, ReplayError> {
    let event = event_of(app, entry).await?;
    let preview = app.recorder.preview(event.clone()).await?;
    let recorded = app.recorder.record(event).await?;
    let mut tx = app.store.begin().await?;
    let (action, detail) = ("event.replayed", recorded.outcome.as_str());
    tx.audit(app.clock.now(), actor.name, action, entry, detail, actor.request_id).await?;
    tx.commit().await?;
    Ok(replayed(false, recorded, &preview))
}

/// The event as it was received, or as Stripe still has it.
async fn event_of(app: &App, id_or_key: &str) -> Result<Event, ReplayError> {
    let mut tx = app.store.read().await?;
    let entry = tx.entry(id_or_key).await?.ok_or(ReplayError::NotFound)?;
    let payload = tx.payload(entry.id).await?;
    tx.rollback().await?;
    let mut event = match payload {
        Some(payload) => event::stored(&payload, entry.source).map_err(|_| ReplayError::Unreadable)?,
        None => fetched(app, &entry).await?,
    };
    event.source = Source::Replay;
    Ok(event)
}

async fn fetched(app: &App, entry: &Entry) -> Result<Event, ReplayError> {
    let id = entry.stripe_event_id.as_deref().ok_or(ReplayError::Erased)?;
    match app.stripe.event(id).await {
        Ok(event) => Ok(event),
        Err(StripeError::NotFound) => Err(ReplayError::Erased),
        Err(error) => Err(error.into()),
    }
}

fn replayed(dry_run: bool, recorded: Recorded, preview: &Preview) -> Replayed {
    Replayed {
        dry_run,
        outcome: recorded.outcome.as_str(),
        reason: recorded.reason.as_str(),
        message: recorded.reason.sentence(Lang::En),
        booking_id: recorded.booking,
        changes: changes(preview),
    }
}

/// What differs between the booking before and after, as people look at it.
fn changes(preview: &Preview) -> Vec<Change> {
    let mut changes = Vec::new();
    let mut note = |member, before: String, after: String| {
        if before != after {
            changes.push(Change { member, before, after });
        }
    };
    if let (Some(before), Some(after)) = (&preview.before, &preview.after) {
        let status = |booking: &Booking| booking.status();
        note("status", Status::to_string(&status(before)), Status::to_string(&status(after)));
        let seat = |booking: &Booking| booking.seat.map_or_else(|| "—".to_owned(), |seat| seat.to_string());
        note("seat", seat(before), seat(after));
        let session = |booking: &Booking| {
            booking.session.as_ref().map_or_else(|| "—".to_owned(), |session| session.to_string())
        };
        note("session", session(before), session(after));
        let paid = |booking: &Booking| booking.payment().map_or(0, |payment| payment.amount).to_string();
        note("amountPaid", paid(before), paid(after));
        let refunded = |booking: &Booking| booking.refunded_amount().to_string();
        note("amountRefunded", refunded(before), refunded(after));
        let disputes = |booking: &Booking| {
            let states: Vec<_> =
                booking.disputes.iter().map(|d| format!("{} {}", d.id, d.status.as_str())).collect();
            states.join(", ")
        };
        note("disputes", disputes(before), disputes(after));
    }
    if let Some(kind) = preview.case {
        note("case", "—".to_owned(), kind.to_string());
    }
    changes
}
