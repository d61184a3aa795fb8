//! What must be true of the database at any moment: the ledger's invariants, as far as it can tell by itself.
//!
//! `doctor` asks this, and every test that kills, cuts or races. What only an observer outside can know (which
//! deliveries were acknowledged, what a receiver heard) the tests add.

use crate::stripe::event;
use domain::booking::Booking;
use domain::fold::{self, Told};
use domain::ids::BookingId;
use domain::payment::{Outcome, SessionTold};
use std::collections::{HashMap, HashSet};
use store::checks::{ToldRow, Violation};
use store::{Store, StoreError, Tx};

/// Bookings that are in memory at once, with all that was told about them.
const AT_ONCE: i64 = 200;
/// Rows that a violation names.
const MAX_ROWS: usize = 20;

const FOLD: (&str, &str) = (
    "I4-state-is-what-was-told",
    "each booking is what its ledger rows, told again from the beginning, make it",
);
const READABLE: (&str, &str) = ("rows-can-be-read", "each booking is one that can be");
const REPLAY: (&str, &str) =
    ("I7-a-replay-changes-nothing", "no settled fact, told again, would change its booking");

/// What was found.
#[derive(Debug, Default)]
pub struct Audit {
    /// What is not true.
    pub violations: Vec<Violation>,
    /// Bookings whose whole story was told again.
    pub told_again: u64,
    /// Bookings of which it could not be: payloads were erased after their time, or Stripe had to be asked.
    pub not_told_again: u64,
}

/// Checks every invariant.
///
/// # Errors
/// Any [`StoreError`].
pub async fn audit(store: &Store) -> Result<Audit, StoreError> {
    let mut tx = store.read().await?;
    let violations = tx.violations().await?;
    tx.rollback().await?;
    let mut audit = Audit { violations, ..Audit::default() };
    let mut after = None;
    loop {
        let mut tx = store.read().await?;
        let ids = tx.booking_ids(after, AT_ONCE).await?;
        let judged = match judge(&mut tx, &ids, false).await {
            Err(StoreError::Corrupt { .. }) => judge_one_by_one(&mut tx, &ids, &mut audit).await?,
            judged => judged?,
        };
        tx.rollback().await?;
        audit.told_again += judged.told_again;
        audit.not_told_again += judged.not_told_again;
        // A payment may have come between our reading a booking and its facts: looked at again, locked.
        let mut suspects: Vec<_> = judged.wrong.into_iter().map(|(id, _)| id).collect();
        suspects.dedup();
        if !suspects.is_empty() {
            let mut tx = store.begin().await?;
            for (id, rule) in judge(&mut tx, &suspects, true).await?.wrong {
                audit.add(rule, id);
            }
            tx.rollback().await?;
        }
        let Some(last) = ids.last() else { return Ok(audit) };
        after = Some(*last);
    }
}

impl Audit {
    fn add(&mut self, (check, rule): (&'static str, &'static str), booking: BookingId) {
        let row = booking.to_string();
        match self.violations.iter_mut().find(|violation| violation.check == check) {
            Some(violation) if violation.rows.len() < MAX_ROWS => violation.rows.push(row),
            Some(_) => {}
            None => self.violations.push(Violation { check, rule, rows: vec![row] }),
        }
    }
}

/// The same where a row cannot be read: it must not hide the others.
async fn judge_one_by_one(tx: &mut Tx, ids: &[BookingId], audit: &mut Audit) -> Result<Judged, StoreError> {
    let mut all = Judged::default();
    for id in ids {
        match judge(tx, &[*id], false).await {
            Ok(judged) => {
                all.wrong.extend(judged.wrong);
                all.told_again += judged.told_again;
                all.not_told_again += judged.not_told_again;
            }
            Err(StoreError::Corrupt { .. }) => audit.add(READABLE, *id),
            Err(error) => return Err(error),
        }
    }
    Ok(all)
}

#[derive(Default)]
struct Judged {
    wrong: Vec<(BookingId, (&'static str, &'static str))>,
    told_again: u64,
    not_told_again: u64,
}

async fn judge(tx: &mut Tx, ids: &[BookingId], lock: bool) -> Result<Judged, StoreError> {
    let mut judged = Judged::default();
    let bookings = if lock { tx.lock_bookings(ids).await? } else { tx.bookings(ids).await? };
    let mut rows: HashMap<BookingId, Vec<ToldRow>> = HashMap::new();
    for row in tx.told_about(ids).await? {
        rows.entry(row.booking).or_default().push(row);
    }
    let cancelled: HashSet<BookingId> = tx.cancelled_by_people(ids).await?.into_iter().collect();
    for booking in &bookings {
        let rows = rows.remove(&booking.id).unwrap_or_default();
        let told: Vec<(bool, Option<Told>)> =
            rows.iter().map(|row| (row.outcome == Outcome::Processed, read(row))).collect();
        let sessions: Vec<_> =
            told.iter().filter_map(|(_, told)| SessionTold::of(&told.as_ref()?.event.fact)).collect();
        if told.iter().flat_map(|(_, told)| told).any(|told| fold::would_change(booking, told, &sessions)) {
            judged.wrong.push((booking.id, REPLAY));
        }
        match folded(booking, told) {
            Some(folded) => {
                judged.told_again += 1;
                let cancelled = cancelled.contains(&booking.id);
                if fold::difference(booking, &folded, cancelled).is_some() {
                    judged.wrong.push((booking.id, FOLD));
                }
            }
            None => judged.not_told_again += 1,
        }
    }
    Ok(judged)
}

/// None if something that was applied cannot be read any more.
fn folded(booking: &Booking, told: Vec<(bool, Option<Told>)>) -> Option<Booking> {
    if told.iter().any(|(applied, told)| *applied && told.is_none()) {
        return None;
    }
    let all: Vec<Told> = told.into_iter().filter_map(|(_, told)| told).collect();
    fold::fold(booking, &all)
}

fn read(row: &ToldRow) -> Option<Told> {
    let event = event::stored(row.payload.as_deref()?, row.source).ok()?;
    Some(Told { event, outcome: row.outcome, reason: row.reason, at: row.at })
}
