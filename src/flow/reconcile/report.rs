//! What a run found and did.

use super::ReconcileError;
use super::compare::Seen;
use crate::flow::recorder::Recorded;
use domain::booking::{Booking, Status};
use domain::ids::BookingId;
use domain::lang::Lang;
use domain::payment::Outcome;
use serde::Serialize;
use std::collections::HashSet;

/// Something on which Stripe and we disagreed.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    /// The booking, if one is known.
    pub booking_id: Option<BookingId>,
    /// Stripe's event id, or the key of the state that was seen.
    pub event_key: String,
    /// The kind of fact.
    #[serde(rename = "type")]
    pub kind: String,
    /// What was, or would be, made of it.
    pub outcome: &'static str,
    /// Why, as a word.
    pub reason: &'static str,
    /// Why, as a sentence (English).
    pub message: &'static str,
    /// The status before; none where it was not compared first.
    pub before: Option<Status>,
    /// The status afterwards.
    pub after: Option<Status>,
}

/// What a run found and did.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Whether it only looked.
    pub dry_run: bool,
    /// Events read.
    pub events: u64,
    /// Objects read.
    pub objects: u64,
    /// Bookings that were not here any more, and were made again of what their sessions remember.
    pub made_again: Vec<BookingId>,
    /// What was healed, or would be.
    pub healed: Vec<Difference>,
    /// How many there were; the list above stops at [`MAX_LISTED`].
    pub healed_count: u64,
    /// What differs still: parked, or failed through a fault of ours.
    pub waiting: Vec<Difference>,
    /// How many there are; the list above stops at [`MAX_LISTED`] too.
    pub remaining: u64,
    /// What could not be read, in words.
    pub failures: Vec<String>,
    /// What was counted: the same state is met in more than one list.
    #[serde(skip)]
    pub(super) counted: HashSet<String>,
}

/// Differences that a report lists one by one.
pub const MAX_LISTED: usize = 1000;

impl Report {
    fn add_waiting(&mut self, difference: Difference) {
        if !self.counted.insert(difference.event_key.clone()) {
            return;
        }
        self.remaining += 1;
        if self.waiting.len() < MAX_LISTED {
            self.waiting.push(difference);
        }
    }

    fn add(&mut self, difference: Difference) {
        if !self.counted.insert(difference.event_key.clone()) {
            return;
        }
        self.healed_count += 1;
        if self.healed.len() < MAX_LISTED {
            self.healed.push(difference);
        }
    }

    /// Adds what was seen of one object.
    pub(super) fn note(&mut self, seen: Seen) {
        let Seen { event_key, kind, recorded, preview } = seen;
        let Recorded { outcome, reason, booking, .. } = recorded;
        let status = |booking: &Option<Booking>| booking.as_ref().map(Booking::status);
        let difference = Difference {
            booking_id: booking,
            event_key,
            kind,
            outcome: outcome.as_str(),
            reason: reason.as_str(),
            message: reason.sentence(Lang::En),
            before: preview.as_ref().and_then(|preview| status(&preview.before)),
            after: preview.as_ref().and_then(|preview| status(&preview.after)),
        };
        match outcome {
            Outcome::Processed | Outcome::Case => self.add(difference),
            Outcome::Parked | Outcome::Rejected => self.add_waiting(difference),
            Outcome::Duplicate | Outcome::Ignored => {}
        }
    }

    pub(super) fn fail(&mut self, what: &str, error: &ReconcileError) {
        tracing::warn!(module = "reconcile", action = "reconcile.failed", what, "{error}");
        self.failures.push(format!("{what}: {error}"));
    }
}
