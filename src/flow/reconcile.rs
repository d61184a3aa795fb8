//! Asking Stripe, instead of waiting to be told: the events feed, the objects themselves, and the
//! comparison of both with what we believe.
//!
//! **Invariants.** What is found goes through the recorder like everything else. A state that agrees
//! with ours is not written down: only differences are. A feed's cursor moves when everything before it
//! is durable, and never by our own clock. A hold ends only by Stripe's word.

use super::observe;
use super::recorder::{Preview, RecordError, Recorded};
use crate::app::App;
use crate::stripe::{StripeError, event};
use clock::Timestamp;
use domain::booking::{Booking, Progress, Status};
use domain::event::{Event, Source};
use domain::ids::{BookingId, SessionId};
use domain::lang::Lang;
use domain::payment::{Outcome, Reason};
use domain::reconcile::{self, AFTER_HOLD, Window};
use futures_util::StreamExt;
use serde::Serialize;
use serde_json::Value;
use std::collections::{HashMap, HashSet};
use std::time::Duration;
use store::StoreError;
use store::feed::DueBooking;

/// The kinds that we act on, as the feed is asked for them. Stripe takes 20 at most.
pub const KINDS: [&str; 11] = [
    "checkout.session.completed",
    "checkout.session.async_payment_succeeded",
    "checkout.session.async_payment_failed",
    "checkout.session.expired",
    "refund.created",
    "refund.updated",
    "refund.failed",
    "charge.refunded",
    "charge.dispute.created",
    "charge.dispute.updated",
    "charge.dispute.closed",
];
/// The feed's cursor.
const FEED: &str = "events";
/// The listing of objects.
const OBJECTS: &str = "objects";
/// Events may appear in the feed a little after their `created`.
const OVERLAP: Duration = Duration::from_secs(600);
/// Stripe keeps events this long; older facts are in the objects.
const FEED_KEEPS: Duration = Duration::from_secs(30 * 86_400);
/// Clocks differ: a list by `created` is read from this much before a time of ours.
const CLOCKS_DIFFER: Duration = Duration::from_secs(3600);
/// Pages of 100 that are held in memory at once.
const PAGES: usize = 10;
/// Facts that are recorded at once: they share commits.
const AT_ONCE: usize = 32;
/// Bookings that are taken at once, and for how long they are ours.
const DUE_AT_ONCE: i64 = 20;
const LEASE: Duration = Duration::from_secs(300);
/// Questions about single bookings that are under way at once: well below what Stripe allows in a second, and
/// few enough rounds for the lease even if each answer takes as long as it may.
const ASKED_AT_ONCE: usize = 8;
/// How often a booking that is locked is looked at.
const LOOKS: u32 = 4;
/// How often visitors may make us ask about one session.
const VISITORS_PAUSE: Duration = Duration::from_secs(5);
/// How long a checkout waits while lapsed holds of a full slot are asked about.
const RELEASE_DEADLINE: Duration = Duration::from_secs(8);

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
    counted: HashSet<String>,
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
    fn note(&mut self, seen: Seen) {
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

    fn fail(&mut self, what: &str, error: &ReconcileError) {
        tracing::warn!(module = "reconcile", action = "reconcile.failed", what, "{error}");
        self.failures.push(format!("{what}: {error}"));
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

    if options.feed {
        let mut tx = app.store.read().await?;
        let read_until = tx.read_until(FEED).await?;
        tx.rollback().await?;
        let from = options.since.or(read_until).unwrap_or(made).minus(OVERLAP);
        if let Err(error) = read_feed(app, from, options.dry_run, &mut report).await {
            report.fail("events feed", &error);
        }
    }
    if options.objects {
        check_unsettled(app, options.dry_run, &mut report).await?;
        let since = options.since.or(oldest).unwrap_or(now).minus(CLOCKS_DIFFER);
        for list in [List::Sessions, List::Refunds, List::Disputes] {
            if let Err(error) = read_objects(app, list, since, options.dry_run, &mut report).await {
                report.fail(list.path(), &error);
            }
        }
    }
    if !options.dry_run {
        app.recorder.retry_due(&app.store).await?;
    }
    let drift = if options.dry_run { report.healed_count + report.remaining } else { report.remaining };
    app.counters.set_drift(drift);
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
        read_feed(app, read_until.minus(OVERLAP), false, &mut report).await?;
    }
    Ok(report)
}

/// Lists sessions, refunds and disputes if that is due: for what Stripe never made an event of.
///
/// # Errors
/// A [`ReconcileError`]: what was not read is read next time.
pub async fn follow_objects(app: &App, every: Duration) -> Result<Report, ReconcileError> {
    let mut report = Report::default();
    let now = app.clock.now();
    let mut tx = app.store.begin().await?;
    let made = tx.instance_created_at().await?;
    let due = tx.take_feed(OBJECTS, made, now, now.plus(every)).await?;
    let oldest = tx.oldest_unsettled().await?;
    tx.commit().await?;
    let Some(read_until) = due.map(|read_until| read_until.min(now)) else { return Ok(report) };
    // A session changes until it is a day old: what was read before may have become something since.
    let since = read_until.minus(Duration::from_secs(86_400)).min(oldest.unwrap_or(read_until));
    let mut failed = None;
    for list in [List::Sessions, List::Refunds, List::Disputes] {
        if let Err(error) = read_objects(app, list, since.minus(CLOCKS_DIFFER), false, &mut report).await {
            failed.get_or_insert(error);
        }
    }
    if let Some(error) = failed {
        return Err(error);
    }
    let mut tx = app.store.begin().await?;
    tx.move_feed(OBJECTS, now, now).await?;
    tx.commit().await?;
    app.counters.set_drift(report.remaining);
    Ok(report)
}

/// Asks about the bookings that are due. Returns how many.
///
/// # Errors
/// The first [`ReconcileError`]; the other bookings were asked about all the same.
pub async fn check_due(app: &App) -> Result<usize, ReconcileError> {
    let mut tx = app.store.begin().await?;
    let due = tx.take_due_bookings(app.clock.now(), LEASE, DUE_AT_ONCE).await?;
    let mut bookings = Vec::with_capacity(due.len());
    for DueBooking { id, .. } in &due {
        bookings.extend(tx.booking(*id).await?);
    }
    tx.commit().await?;
    let mut report = Report::default();
    let found = find_sessions(app, &bookings).await;
    let mut first_error = None;
    for (booking, checked) in check_all(app, &bookings, &found, false, &mut report).await {
        let now = app.clock.now();
        let mut tx = app.store.begin().await?;
        let next = match &checked {
            Ok(()) => match tx.booking(booking.id).await? {
                Some(booking) => reconcile::next_check(&booking, now),
                None => None,
            },
            // Stripe does not answer: not at once again.
            Err(_) => Some(now.plus(Duration::from_secs(60))),
        };
        if let Some(due) = due.iter().find(|due| due.id == booking.id) {
            tx.plan_check(*due, next).await?;
        }
        tx.commit().await?;
        if let Err(error) = checked {
            first_error.get_or_insert(error);
        }
    }
    match first_error {
        Some(error) => Err(error),
        None => Ok(due.len()),
    }
}

/// For the result page: asks Stripe about a session that is known here and not settled, at most once in
/// five seconds. The booking with its status afterwards; none if the session is not known.
///
/// # Errors
/// [`ReconcileError::Store`]. That Stripe does not answer is no error here: the status is what we know.
pub async fn check_session(
    app: &App,
    session: &SessionId,
) -> Result<Option<(BookingId, Status)>, ReconcileError> {
    let mut tx = app.store.read().await?;
    let known = tx.booking_of_session(session).await?;
    tx.rollback().await?;
    let Some((booking, status)) = known else { return Ok(None) };
    if !matches!(status, Status::Pending | Status::Processing) {
        return Ok(Some((booking, status)));
    }
    let mut tx = app.store.begin().await?;
    let may_ask = tx.may_ask(booking, app.clock.now(), VISITORS_PAUSE).await?;
    tx.commit().await?;
    if !may_ask {
        return Ok(Some((booking, status)));
    }
    match retrieve(app, session).await {
        Ok(object) => {
            observe::session(&app.recorder, &object).await?;
        }
        Err(error) => tracing::warn!(module = "reconcile", action = "reconcile.not_answered", "{error}"),
    }
    let mut tx = app.store.read().await?;
    let known = tx.booking_of_session(session).await?;
    tx.rollback().await?;
    Ok(known)
}

/// Asks Stripe about unpaid bookings whose hold is over, and ends those that are unpaid there too.
/// Whether any seat may be free now.
pub async fn release_lapsed(app: &App, lapsed: &[BookingId]) -> bool {
    let release = async {
        let mut tx = app.store.read().await?;
        let mut bookings = Vec::with_capacity(lapsed.len());
        for id in lapsed {
            bookings.extend(tx.booking(*id).await?);
        }
        tx.rollback().await?;
        let found = find_sessions(app, &bookings).await;
        let mut report = Report::default();
        for (_, checked) in check_all(app, &bookings, &found, false, &mut report).await {
            if let Err(error) = checked {
                // Not knowing is no reason to give a seat away: the slot stays full.
                tracing::warn!(module = "reconcile", action = "booking.hold_not_ended", "{error}");
            }
        }
        Ok::<_, StoreError>(report.healed_count > 0)
    };
    matches!(tokio::time::timeout(RELEASE_DEADLINE, release).await, Ok(Ok(true)))
}

/// A session with its payment intent, which alone tells that a delayed payment failed.
async fn retrieve(app: &App, session: &SessionId) -> Result<Value, StripeError> {
    app.stripe.session(session, Some("payment_intent")).await
}

/// Reads the feed from `from`, oldest events first, and moves the cursor behind what is durable.
async fn read_feed(
    app: &App,
    from: Timestamp,
    dry_run: bool,
    report: &mut Report,
) -> Result<(), ReconcileError> {
    let now = app.clock.now();
    let from = from.max(now.minus(FEED_KEEPS));
    let kinds: Vec<(&str, &str)> = KINDS.iter().map(|kind| ("types[]", *kind)).collect();
    let mut pages = ByCreated::new(app, "/v1/events", &kinds, from);
    while let Some(objects) = pages.next().await? {
        report.events += objects.len() as u64;
        let newest = objects.iter().filter_map(|object| object.get("created")?.as_i64()).max();
        let events = objects.iter().filter_map(|object| event::from_api(object, Source::Feed).ok());
        let events = unknown_here(app, events.collect()).await?;
        record_all(app, events, dry_run, report).await?;
        if let (Some(newest), false) = (newest, dry_run) {
            let mut tx = app.store.begin().await?;
            tx.move_feed(FEED, Timestamp::from_unix_seconds(newest), app.clock.now()).await?;
            tx.commit().await?;
        }
    }
    Ok(())
}

/// Those events that are not in the ledger, or there and not settled.
async fn unknown_here(app: &App, events: Vec<Event>) -> Result<Vec<Event>, StoreError> {
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

/// What was seen of one object or event, and what became of it.
#[derive(Debug)]
struct Seen {
    event_key: String,
    kind: String,
    recorded: Recorded,
    /// How things stood before; none where that was not looked at.
    preview: Option<Box<Preview>>,
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

/// Compares a state that was seen with ours, and records it if they differ.
async fn compare(app: &App, event: Event, dry_run: bool) -> Result<Option<Seen>, ReconcileError> {
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

async fn record(app: &App, event: Event, preview: Option<Box<Preview>>) -> Result<Seen, ReconcileError> {
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

/// Asks about every booking that is not settled.
async fn check_unsettled(app: &App, dry_run: bool, report: &mut Report) -> Result<(), ReconcileError> {
    let mut after = None;
    loop {
        let mut tx = app.store.read().await?;
        let ids = tx.unsettled_bookings(after, 100).await?;
        let mut bookings = Vec::with_capacity(ids.len());
        for id in &ids {
            bookings.extend(tx.booking(*id).await?);
        }
        tx.rollback().await?;
        let Some(last) = ids.last() else { return Ok(()) };
        after = Some(*last);
        let found = find_sessions(app, &bookings).await;
        for (booking, checked) in check_all(app, &bookings, &found, dry_run, report).await {
            if let Err(error) = checked {
                report.fail(&format!("booking {}", booking.id), &error);
            }
        }
    }
}

/// Asks about each of these, some at a time: Stripe is far away, and a slow answer holds up few.
async fn check_all<'b>(
    app: &App,
    bookings: &'b [Booking],
    found: &Found,
    dry_run: bool,
    report: &mut Report,
) -> Vec<(&'b Booking, Result<(), ReconcileError>)> {
    let questions: Vec<_> = bookings
        .iter()
        .map(|booking| async move { (booking, check(app, booking, found, dry_run).await) })
        .collect();
    let mut asking = futures_util::stream::iter(questions).buffered(ASKED_AT_ONCE);
    let mut results = Vec::with_capacity(bookings.len());
    while let Some((booking, checked)) = asking.next().await {
        results.push((
            booking,
            checked.map(|checked| {
                report.objects += checked.objects;
                checked.seen.into_iter().for_each(|seen| report.note(seen));
                let unknown =
                    checked.unknown_session && report.counted.insert(format!("unknown:{}", booking.id));
                report.remaining += u64::from(unknown);
            }),
        ));
    }
    results
}

/// The sessions that were found for bookings without one, or why the list could not be read.
type Found = Result<HashMap<BookingId, Value>, ReconcileError>;

/// What asking about one booking brought.
#[derive(Debug, Default)]
struct Checked {
    objects: u64,
    seen: Vec<Seen>,
    /// Stripe answers that it does not know the booking's session, which may not be over yet.
    unknown_session: bool,
}

/// Asks about one booking, by what it waits for.
async fn check(
    app: &App,
    booking: &Booking,
    found: &Found,
    dry_run: bool,
) -> Result<Checked, ReconcileError> {
    match &booking.progress {
        Progress::Pending | Progress::Processing => match &booking.session {
            Some(session) => check_open_session(app, booking, session, dry_run).await,
            None => check_unattached(app, booking, found, dry_run).await,
        },
        Progress::Paid(payment) => {
            let Some(intent) = &payment.intent else { return Ok(Checked::default()) };
            let of_payment = [("payment_intent", intent.as_str())];
            let refunds = app.stripe.list_pages("/v1/refunds", &of_payment, PAGES).await?;
            let disputes = app.stripe.list_pages("/v1/disputes", &of_payment, PAGES).await?;
            let objects = (refunds.len() + disputes.len()) as u64;
            let mut checked = Checked { objects, ..Checked::default() };
            let events = refunds.iter().filter_map(observe::refund_event);
            for event in events.chain(disputes.iter().filter_map(observe::dispute_event)) {
                checked.seen.extend(compare(app, event, dry_run).await?);
            }
            Ok(checked)
        }
        Progress::Expired | Progress::Failed | Progress::Cancelled => Ok(Checked::default()),
    }
}

async fn check_open_session(
    app: &App,
    booking: &Booking,
    session: &SessionId,
    dry_run: bool,
) -> Result<Checked, ReconcileError> {
    let now = app.clock.now();
    let mut object = match retrieve(app, session).await {
        Ok(object) => object,
        // Of an object that Stripe does not know nobody can say whether it was paid. While it may still be
        // open the seat is kept, and long after a person is told.
        Err(StripeError::NotFound) if reconcile::is_surely_over(booking, now) => {
            let event = observe::no_session_event(booking.id, Some(session), app.instance);
            return Ok(Checked { seen: compared(app, event, dry_run).await?, ..Checked::default() });
        }
        Err(StripeError::NotFound) => return Ok(Checked { unknown_session: true, ..Checked::default() }),
        Err(error) => return Err(error.into()),
    };
    let over = now >= booking.hold_expires_at.plus(AFTER_HOLD);
    let open = object.get("status").and_then(Value::as_str) == Some("open");
    if open && over && !dry_run {
        // Its time is over by our clock; Stripe's says when it cannot be paid any more.
        object = match app.stripe.expire_session(session).await {
            Ok(object) => object,
            Err(StripeError::Refused { .. }) => retrieve(app, session).await?,
            Err(error) => return Err(error.into()),
        };
    }
    let seen = compared(app, observe::session_event(&object), dry_run).await?;
    Ok(Checked { objects: 1, seen, ..Checked::default() })
}

async fn compared(app: &App, event: Option<Event>, dry_run: bool) -> Result<Vec<Seen>, ReconcileError> {
    match event {
        Some(event) => Ok(compare(app, event, dry_run).await?.into_iter().collect()),
        None => Ok(Vec::new()),
    }
}

/// A booking without a session: Stripe has one after all, or surely none.
async fn check_unattached(
    app: &App,
    booking: &Booking,
    found: &Found,
    dry_run: bool,
) -> Result<Checked, ReconcileError> {
    let found = match found {
        Ok(found) => found,
        Err(error) => {
            let text = format!("the list of sessions was not read: {error}");
            return Err(StripeError::Uncertain(text).into());
        }
    };
    let event = match found.get(&booking.id) {
        Some(object) => {
            if !dry_run {
                attach(app, booking, object).await?;
            }
            observe::session_event(object)
        }
        // Until then its checkout may still be made. Later Stripe would refuse it: a session lives for
        // half an hour at least, and this one would have to end in the past.
        None if app.clock.now() < booking.hold_expires_at.plus(AFTER_HOLD) => None,
        None => observe::no_session_event(booking.id, None, app.instance),
    };
    Ok(Checked { seen: compared(app, event, dry_run).await?, ..Checked::default() })
}

async fn attach(app: &App, booking: &Booking, object: &Value) -> Result<(), StoreError> {
    let id = object.get("id").and_then(Value::as_str).and_then(|id| SessionId::parse(id).ok());
    let expires_at = object.get("expires_at").and_then(Value::as_i64).map(Timestamp::from_unix_seconds);
    let Some(id) = id else { return Ok(()) };
    let url = object.get("url").and_then(Value::as_str);
    let mut tx = app.store.begin().await?;
    let expires_at = expires_at.unwrap_or(booking.hold_expires_at);
    tx.attach_session(booking.id, &id, url, expires_at, app.clock.now()).await?;
    tx.commit().await
}

/// The sessions that Stripe has for those bookings that wait for one, by one reading of its list.
async fn find_sessions(app: &App, bookings: &[Booking]) -> Result<HashMap<BookingId, Value>, ReconcileError> {
    let unattached =
        bookings.iter().filter(|b| b.session.is_none() && matches!(b.progress, Progress::Pending));
    let wanted: HashMap<String, BookingId> =
        unattached.clone().map(|booking| (booking.id.to_string(), booking.id)).collect();
    let Some(oldest) = unattached.map(|booking| booking.created_at).min() else {
        return Ok(HashMap::new());
    };
    let expand = [("expand[]", "data.payment_intent")];
    let mut pages = ByCreated::new(app, List::Sessions.path(), &expand, oldest.minus(CLOCKS_DIFFER));
    let mut found: HashMap<BookingId, Value> = HashMap::new();
    while let Some(objects) = pages.next().await? {
        for object in objects {
            let reference = object.get("client_reference_id").and_then(Value::as_str);
            let Some(booking) = reference.and_then(|reference| wanted.get(reference)) else { continue };
            // Of two, the one that says most: a paid one, else the newest.
            let paid = |object: &Value| object.get("status").and_then(Value::as_str) == Some("complete");
            if !found.get(booking).is_some_and(paid) {
                found.insert(*booking, object);
            }
        }
    }
    Ok(found)
}

/// A list of objects that facts can be read from.
#[derive(Debug, Clone, Copy)]
enum List {
    Sessions,
    Refunds,
    Disputes,
}

impl List {
    fn path(self) -> &'static str {
        match self {
            Self::Sessions => "/v1/checkout/sessions",
            Self::Refunds => "/v1/refunds",
            Self::Disputes => "/v1/disputes",
        }
    }

    fn event(self, object: &Value) -> Option<Event> {
        match self {
            Self::Sessions => observe::session_event(object),
            Self::Refunds => observe::refund_event(object),
            Self::Disputes => observe::dispute_event(object),
        }
    }
}

/// Reads the objects of a list and takes over those states that differ from ours. One that cannot be does not
/// keep the others from being.
async fn read_objects(
    app: &App,
    list: List,
    since: Timestamp,
    dry_run: bool,
    report: &mut Report,
) -> Result<(), ReconcileError> {
    let expand = [("expand[]", "data.payment_intent")];
    let mut pages = ByCreated::new(app, list.path(), &expand, since);
    let instance = app.instance.to_string();
    let mut failed = None;
    while let Some(objects) = pages.next().await? {
        report.objects += objects.len() as u64;
        let ours = objects.iter().filter(|object| {
            let claim = event::claim(object);
            match &claim.instance {
                Some(named) => *named == instance,
                // A session without our mark may still name a booking of ours. What moves its money
                // bears the mark of the payment, which was asked for with it.
                None => claim.reference.is_some(),
            }
        });
        let events = ours.filter_map(|object| list.event(object)).collect();
        let unknown = unknown_here(app, events).await?;
        let compared: Vec<_> = unknown.into_iter().map(|event| compare(app, event, dry_run)).collect();
        let mut compared = futures_util::stream::iter(compared).buffered(AT_ONCE);
        while let Some(result) = compared.next().await {
            match result {
                Ok(seen) => seen.into_iter().for_each(|seen| report.note(seen)),
                Err(error) => {
                    failed.get_or_insert(error);
                }
            }
        }
    }
    failed.map_or(Ok(()), Err)
}

/// A list of Stripe's by `created`, in parts that fit into memory, the oldest part and object first.
struct ByCreated<'a> {
    app: &'a App,
    path: &'static str,
    query: &'a [(&'a str, &'a str)],
    parts: Vec<Window>,
}

impl<'a> ByCreated<'a> {
    fn new(app: &'a App, path: &'static str, query: &'a [(&'a str, &'a str)], from: Timestamp) -> Self {
        // Stripe's clock may be ahead of ours: its newest objects are read too.
        let until = app.clock.now().plus(Duration::from_secs(2 * 86_400)).as_unix_seconds();
        Self { app, path, query, parts: vec![Window { from: from.as_unix_seconds(), until }] }
    }

    /// The next part; none at the end.
    async fn next(&mut self) -> Result<Option<Vec<Value>>, StripeError> {
        while let Some(part) = self.parts.pop() {
            let (from, until) = (part.from.to_string(), part.until.to_string());
            let mut query = self.query.to_vec();
            query.extend([("created[gte]", from.as_str()), ("created[lt]", until.as_str())]);
            match (self.app.stripe.list_pages(self.path, &query, PAGES).await, part.halves()) {
                (Ok(mut objects), _) => {
                    objects.reverse();
                    return Ok(Some(objects));
                }
                (Err(StripeError::TooMany), Some((older, newer))) => self.parts.extend([newer, older]),
                // More in one second than fits: read it whole.
                (Err(StripeError::TooMany), None) => {
                    let mut objects = self.app.stripe.list(self.path, &query).await?;
                    objects.reverse();
                    return Ok(Some(objects));
                }
                (Err(error), _) => return Err(error),
            }
        }
        Ok(None)
    }
}
