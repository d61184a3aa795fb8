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
use std::time::{Duration, Instant};
use store::checks::{MAX_ROWS, Table, ToldRow, Violation};
use store::{Store, StoreError, Tx};

/// Bookings that are in memory at once, with all that was told about them.
const AT_ONCE: i64 = 200;
/// Rows that a statement judges. One that the database cancels all the same is asked about fewer.
const PORTION: i64 = 2000;
const SMALLEST: i64 = 10;
/// Ledger rows whose bookings are judged besides, however old these are.
const LATELY_TOLD: i64 = 1000;

/// How much is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Everything, however long that takes.
    Full,
    /// Of each table the newest rows, about so many, as far as that is done in so long; and once more as long for
    /// telling the stories of as many bookings again.
    Newest(u64, Duration),
}

/// What is recent: all there is where there is little, and some seconds' work at any size.
pub const RECENT: Scope = Scope::Newest(20_000, Duration::from_secs(2));

impl Scope {
    /// How many rows are judged at once where `usual` are.
    fn at_once(self, usual: i64) -> i64 {
        match self {
            Self::Full => usual,
            Self::Newest(rows, _) => usual.min(i64::try_from(rows).unwrap_or(i64::MAX)),
        }
    }

    /// Whether enough has been judged.
    fn is_over(self, begun: Instant, judged: u64) -> bool {
        match self {
            Self::Full => false,
            Self::Newest(rows, within) => judged >= rows || begun.elapsed() >= within,
        }
    }
}

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
    /// Rows that were judged.
    pub rows: u64,
    /// Rows that could not be: the database cancelled the statement however few were asked about.
    pub given_up: u64,
    /// Whether older rows were left out, as [`Scope::Newest`] does where there are many.
    pub left_out: bool,
}

/// Checks every invariant.
///
/// # Errors
/// Any [`StoreError`].
pub async fn audit(store: &Store) -> Result<Audit, StoreError> {
    audit_in(store, Scope::Full).await
}

/// Checks every invariant, the newest rows first, in portions of bounded size: no statement, no transaction and no
/// memory grows with the number of rows.
///
/// # Errors
/// Any [`StoreError`].
pub async fn audit_in(store: &Store, scope: Scope) -> Result<Audit, StoreError> {
    let mut audit = Audit::default();
    let begun = Instant::now();
    for table in Table::ALL {
        ask(store, table, scope, begun, &mut audit).await?;
    }
    tell_again(store, scope, Instant::now(), &mut audit).await?;
    Ok(audit)
}

/// Asks every question about a table, portion by portion.
async fn ask(
    store: &Store,
    table: Table,
    scope: Scope,
    begun: Instant,
    audit: &mut Audit,
) -> Result<(), StoreError> {
    let (mut below, mut limit, mut rows) = (None::<String>, scope.at_once(PORTION), 0);
    loop {
        let mut tx = store.read().await?;
        let portion = tx.portion(table, below.as_deref(), limit).await?;
        tx.rollback().await?;
        let Some(portion) = portion else { return Ok(()) };
        // Some of each table, however little time there is.
        if below.is_some() && scope.is_over(begun, rows) {
            audit.left_out = true;
            return Ok(());
        }
        let mut tx = store.read().await?;
        let judged = tx.violations(table, &portion).await;
        drop(tx);
        let size = u64::try_from(portion.rows).unwrap_or(0);
        match judged {
            Ok(violations) => {
                audit.rows += size;
                for violation in violations {
                    for row in violation.rows {
                        audit.add((violation.check, violation.rule), row);
                    }
                }
            }
            // The same place again, with fewer.
            Err(StoreError::Cancelled(_)) if portion.rows > SMALLEST => {
                limit = (portion.rows / 8).max(SMALLEST);
                continue;
            }
            Err(StoreError::Cancelled(_)) => audit.given_up += size,
            Err(error) => return Err(error),
        }
        rows += size;
        below = Some(portion.first);
    }
}

/// Tells each booking's story again.
async fn tell_again(
    store: &Store,
    scope: Scope,
    begun: Instant,
    audit: &mut Audit,
) -> Result<(), StoreError> {
    let (mut below, mut rows) = (None, 0);
    loop {
        let mut tx = store.read().await?;
        let ids = tx.newest_bookings(below, scope.at_once(AT_ONCE)).await?;
        tx.rollback().await?;
        let Some(oldest) = ids.last().copied() else { return Ok(()) };
        if below.is_some() && scope.is_over(begun, rows) {
            audit.left_out = true;
            break;
        }
        tell_these(store, &ids, audit).await?;
        rows += ids.len() as u64;
        below = Some(oldest);
    }
    // Older ones that something was told about lately.
    let mut tx = store.read().await?;
    let mut older = tx.lately_told_about(LATELY_TOLD).await?;
    tx.rollback().await?;
    older.retain(|id| below.is_some_and(|below| *id < below));
    for ids in older.chunks(usize::try_from(AT_ONCE).unwrap_or(1)) {
        tell_these(store, ids, audit).await?;
    }
    Ok(())
}

async fn tell_these(store: &Store, ids: &[BookingId], audit: &mut Audit) -> Result<(), StoreError> {
    let mut tx = store.read().await?;
    let judged = match judge(&mut tx, ids, false).await {
        Err(StoreError::Corrupt { .. }) => judge_one_by_one(&mut tx, ids, audit).await?,
        Err(StoreError::Cancelled(_)) => {
            audit.given_up += ids.len() as u64;
            return Ok(());
        }
        judged => judged?,
    };
    tx.rollback().await?;
    audit.told_again += judged.told_again;
    audit.not_told_again += judged.not_told_again;
    // A payment may have come between our reading a booking and its facts: looked at again, locked.
    let mut suspects: Vec<_> = judged.wrong.into_iter().map(|(id, _)| id).collect();
    suspects.sort_unstable();
    suspects.dedup();
    if !suspects.is_empty() {
        let mut tx = store.begin().await?;
        for (id, rule) in judge(&mut tx, &suspects, true).await?.wrong {
            audit.add(rule, id.to_string());
        }
        tx.rollback().await?;
    }
    Ok(())
}

impl Audit {
    fn add(&mut self, (check, rule): (&'static str, &'static str), row: String) {
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
            Err(StoreError::Corrupt { .. }) => audit.add(READABLE, id.to_string()),
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
