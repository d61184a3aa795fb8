//! Single bookings: each is asked about by what it waits for.

use super::compare::{Seen, compare};
use super::report::Report;
use super::{CLOCKS_DIFFER, ReconcileError};
use crate::app::App;
use crate::stripe::StripeError;
use crate::stripe::objects::{CheckoutSession, Polled, Refund, no_session};
use clock::Timestamp;
use domain::booking::{Booking, Progress, Status};
use domain::event::{Event, EventKey};
use domain::ids::{BookingId, DisputeId, SessionId};
use domain::reconcile::{self, AFTER_HOLD};
use domain::reserve::{self, Attachment};
use futures_util::StreamExt;
use std::collections::{HashMap, HashSet};
use std::time::Duration;
use store::StoreError;
use store::feed::DueBooking;

/// Bookings that are taken at once, and for how long they are ours.
const DUE_AT_ONCE: i64 = 20;
const LEASE: Duration = Duration::from_secs(300);
/// Questions about single bookings that are under way at once: well below what Stripe allows in a second, and
/// few enough rounds for the lease even if each answer takes as long as it may.
const ASKED_AT_ONCE: usize = 8;
/// How often visitors may make us ask about one session.
const VISITORS_PAUSE: Duration = Duration::from_secs(5);
/// How long a checkout waits while lapsed holds of a full slot are asked about.
const RELEASE_DEADLINE: Duration = Duration::from_secs(8);

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
    if let Err(error) = close_due(app, app.clock.now()).await {
        first_error.get_or_insert(error);
    }
    match first_error {
        Some(error) => Err(error),
        None => Ok(due.len()),
    }
}

/// Closes the sessions that were made for bookings which no longer waited for them, whatever the last try planned.
pub(super) async fn close_unwanted(app: &App) -> Result<(), ReconcileError> {
    close_due(app, app.clock.now().plus(LEASE)).await
}

/// Closes those that are due by `until`, and were not closed at once.
async fn close_due(app: &App, until: Timestamp) -> Result<(), ReconcileError> {
    let mut tx = app.store.begin().await?;
    let due = tx.take_sessions_to_close(until, LEASE, DUE_AT_ONCE).await?;
    tx.commit().await?;
    let mut first_error = None;
    for session in &due {
        if let Err(error) = close_session(app, session).await {
            first_error.get_or_insert(error);
        }
    }
    first_error.map_or(Ok(()), Err)
}

/// Closes a session at Stripe that nobody waits for. If it was paid all the same, that is recorded like any other
/// payment: it takes a seat if one is left, or becomes a case.
///
/// # Errors
/// A [`ReconcileError`] while it may still be paid: it is tried again.
pub async fn close_session(app: &App, session: &SessionId) -> Result<(), ReconcileError> {
    match app.stripe.expire_session(session).await {
        // One that is not there cannot be paid.
        Ok(_) | Err(StripeError::NotFound) => {}
        Err(refused @ StripeError::Refused { .. }) => {
            let object = retrieve(app, session).await?;
            if object.is_open() {
                return Err(refused.into());
            }
            compared(app, object.seen(), false).await?;
        }
        Err(error) => return Err(error.into()),
    }
    let mut tx = app.store.begin().await?;
    tx.session_is_closed(session).await?;
    Ok(tx.commit().await?)
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
        Ok(session) => {
            app.recorder.record_seen(session.seen()).await?;
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

/// Asks about every booking that is not settled.
pub(super) async fn check_unsettled(
    app: &App,
    dry_run: bool,
    report: &mut Report,
) -> Result<(), ReconcileError> {
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
type Found = Result<HashMap<BookingId, Polled<CheckoutSession>>, ReconcileError>;

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
            let refunds = app.stripe.refunds_of(intent).await?;
            let disputes = app.stripe.disputes_of(intent).await?;
            let objects = (refunds.len() + disputes.len()) as u64;
            let mut checked = Checked { objects, ..Checked::default() };
            let events = refunds.iter().filter_map(Polled::<Refund>::seen);
            let contested = |id: &DisputeId| {
                booking.disputes.iter().any(|known| known.id == *id && known.status.is_contested())
            };
            let disputes = disputes.iter().filter_map(|dispute| {
                let mut event = dispute.seen()?;
                // Lost again: the same words as before the contest, and another fact.
                if let (EventKey::Polled(key), true) = (&mut event.key, contested(&dispute.id)) {
                    key.push_str(":contested");
                }
                Some(event)
            });
            for event in events.chain(disputes) {
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
            let event = no_session(booking.id, Some(session), app.instance);
            return Ok(Checked { seen: compared(app, Some(event), dry_run).await?, ..Checked::default() });
        }
        Err(StripeError::NotFound) => return Ok(Checked { unknown_session: true, ..Checked::default() }),
        Err(error) => return Err(error.into()),
    };
    let over = now >= booking.hold_expires_at.plus(AFTER_HOLD);
    if object.is_open() && over && !dry_run {
        // Its time is over by our clock; Stripe's says when it cannot be paid any more.
        object = match app.stripe.expire_session(session).await {
            Ok(object) => object,
            Err(StripeError::Refused { .. }) => retrieve(app, session).await?,
            Err(error) => return Err(error.into()),
        };
    }
    let seen = compared(app, object.seen(), dry_run).await?;
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
            object.seen()
        }
        // Until then its checkout may still be made. Later Stripe would refuse it: a session lives for
        // half an hour at least, and this one would have to end in the past.
        None if app.clock.now() < booking.hold_expires_at.plus(AFTER_HOLD) => None,
        None => Some(no_session(booking.id, None, app.instance)),
    };
    Ok(Checked { seen: compared(app, event, dry_run).await?, ..Checked::default() })
}

/// Attaches a session that was found at Stripe, if the booking still waits for it. What Stripe says of it is
/// recorded afterwards; if it is still open and nobody waits, it is closed.
async fn attach(app: &App, booking: &Booking, session: &CheckoutSession) -> Result<(), StoreError> {
    let now = app.clock.now();
    let mut tx = app.store.begin().await?;
    let Some(locked) = tx.lock_bookings(&[booking.id]).await?.pop() else { return Ok(()) };
    match reserve::attach(&locked, &session.id) {
        Attachment::Attach | Attachment::Attached => {
            let expires_at = session.expires_at.unwrap_or(booking.hold_expires_at);
            tx.attach_session(booking.id, &session.id, session.url.as_deref(), expires_at, now).await?;
        }
        Attachment::Superseded | Attachment::Paid | Attachment::Ended if session.is_open() => {
            tx.close_later(&session.id, booking.id, now, now).await?;
        }
        Attachment::Superseded | Attachment::Paid | Attachment::Ended => {}
    }
    tx.commit().await
}

/// Has those open sessions closed for which nobody waits: their bookings have ended, or go on with another. So it is
/// after a process that died between Stripe's making a session and its attaching it.
pub(super) async fn close_strays(app: &App, open: &[&CheckoutSession]) -> Result<(), StoreError> {
    let named: Vec<BookingId> = open.iter().filter_map(|session| session.claim.reference).collect();
    if named.is_empty() {
        return Ok(());
    }
    let mut tx = app.store.read().await?;
    let bookings = tx.bookings(&named).await?;
    tx.rollback().await?;
    let bookings: HashMap<BookingId, Booking> = bookings.into_iter().map(|b| (b.id, b)).collect();
    for session in open {
        let named = session.claim.reference;
        let Some(booking) = named.and_then(|named| bookings.get(&named)) else { continue };
        match reserve::attach(booking, &session.id) {
            // Whoever made it may be about to attach it.
            Attachment::Attach | Attachment::Attached => {}
            Attachment::Superseded | Attachment::Paid | Attachment::Ended => {
                attach(app, booking, session).await?;
            }
        }
    }
    Ok(())
}

/// The session that Stripe has for a booking that knows of none.
///
/// # Errors
/// Any [`StripeError`].
pub async fn find_session(app: &App, booking: &Booking) -> Result<Option<SessionId>, StripeError> {
    let found = list_sessions(app, std::slice::from_ref(booking)).await?;
    Ok(found.get(&booking.id).map(|session| session.id.clone()))
}

/// The sessions that Stripe has for those bookings that wait for one.
async fn find_sessions(app: &App, bookings: &[Booking]) -> Found {
    Ok(list_sessions(app, bookings).await?)
}

/// The same by one reading of its list.
async fn list_sessions(
    app: &App,
    bookings: &[Booking],
) -> Result<HashMap<BookingId, Polled<CheckoutSession>>, StripeError> {
    let unattached =
        bookings.iter().filter(|b| b.session.is_none() && matches!(b.progress, Progress::Pending));
    let wanted: HashSet<BookingId> = unattached.clone().map(|booking| booking.id).collect();
    let Some(oldest) = unattached.map(|booking| booking.created_at).min() else {
        return Ok(HashMap::new());
    };
    let since = oldest.minus(CLOCKS_DIFFER);
    let mut pages = app.stripe.by_created::<Polled<CheckoutSession>>(since, app.clock.now());
    let mut found: HashMap<BookingId, Polled<CheckoutSession>> = HashMap::new();
    while let Some(sessions) = pages.next().await? {
        for session in sessions {
            let Some(booking) = session.claim.reference.filter(|booking| wanted.contains(booking)) else {
                continue;
            };
            // Of two, the one that says most: a paid one, else the newest.
            if !found.get(&booking).is_some_and(|found| found.is_complete()) {
                found.insert(booking, session);
            }
        }
    }
    Ok(found)
}

/// A session with its payment intent, which alone tells that a delayed payment failed.
async fn retrieve(app: &App, session: &SessionId) -> Result<Polled<CheckoutSession>, StripeError> {
    app.stripe.session(session, Some("payment_intent")).await
}
