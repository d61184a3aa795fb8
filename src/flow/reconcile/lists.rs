//! The lists of sessions, refunds and disputes: for what Stripe never made an event of.

use super::bookings::close_strays;
use super::compare::{AT_ONCE, compare, unknown_here};
use super::report::Report;
use super::{CLOCKS_DIFFER, ReconcileError};
use crate::app::App;
use crate::flow::recall::{self, Recalled};
use crate::stripe::list::Listed;
use crate::stripe::objects::{CheckoutSession, Dispute, Polled, Refund};
use clock::Timestamp;
use domain::event::{Claim, Event};
use futures_util::StreamExt;
use std::time::Duration;

/// The listing of objects.
const OBJECTS: &str = "objects";

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
    let failures = read(app, since.minus(CLOCKS_DIFFER), false, &mut report).await;
    if let Some((_, error)) = failures.into_iter().next() {
        return Err(error);
    }
    let mut tx = app.store.begin().await?;
    tx.move_feed(OBJECTS, now, now).await?;
    tx.commit().await?;
    super::keep_drift(app, report.remaining).await?;
    Ok(report)
}

/// Reads them all. One that fails does not keep the others from being read: each failure with its list's path.
pub(super) async fn read(
    app: &App,
    since: Timestamp,
    dry_run: bool,
    report: &mut Report,
) -> Vec<(&'static str, ReconcileError)> {
    let sessions = read_list::<Polled<CheckoutSession>>(app, since, dry_run, report).await;
    let refunds = read_list::<Polled<Refund>>(app, since, dry_run, report).await;
    let disputes = read_list::<Polled<Dispute>>(app, since, dry_run, report).await;
    let paths = [Polled::<CheckoutSession>::PATH, Polled::<Refund>::PATH, Polled::<Dispute>::PATH];
    let read = paths.into_iter().zip([sessions, refunds, disputes]);
    read.filter_map(|(path, read)| Some((path, read.err()?))).collect()
}

/// An object by which a fact can be seen.
trait Tells: Listed {
    fn claim(&self) -> &Claim;
    fn seen(&self) -> Option<Event>;
    /// The booking that it remembers, should that be lost.
    fn recalled(&self, app: &App) -> Option<Recalled>;
    /// The session that it is, if that can still be paid.
    fn payable(&self) -> Option<&CheckoutSession>;
}

fn nothing<T>(_: &App, _: &T) -> Option<Recalled> {
    None
}

fn open(session: &Polled<CheckoutSession>) -> Option<&CheckoutSession> {
    session.is_open().then_some(session)
}

fn never<T>(_: &T) -> Option<&CheckoutSession> {
    None
}

macro_rules! tells {
    ($($object:ty: $recalled:path, $payable:path;)*) => {$(
        impl Tells for Polled<$object> {
            fn claim(&self) -> &Claim {
                &self.claim
            }

            fn seen(&self) -> Option<Event> {
                Self::seen(self)
            }

            fn recalled(&self, app: &App) -> Option<Recalled> {
                $recalled(app, self)
            }

            fn payable(&self) -> Option<&CheckoutSession> {
                $payable(self)
            }
        }
    )*};
}

tells! {
    CheckoutSession: recall::read, open;
    Refund: nothing, never;
    Dispute: nothing, never;
}

/// Reads the objects of a list and takes over those states that differ from ours. One that cannot be does not
/// keep the others from being.
async fn read_list<T: Tells>(
    app: &App,
    since: Timestamp,
    dry_run: bool,
    report: &mut Report,
) -> Result<(), ReconcileError> {
    let mut pages = app.stripe.by_created::<T>(since, app.clock.now());
    let mut failed = None;
    while let Some(objects) = pages.next().await? {
        report.objects += objects.len() as u64;
        if !dry_run {
            let recalled = objects.iter().filter_map(|object| object.recalled(app)).collect();
            let made = recall::make_again(app, recalled).await;
            report.made_again.extend(made?);
            let open =
                objects.iter().filter_map(Tells::payable).filter(|session| is_ours(app, &session.claim));
            close_strays(app, &open.collect::<Vec<_>>()).await?;
        }
        let ours = objects.iter().filter(|object| may_be_ours(app, object.claim()));
        let unknown = unknown_here(app, ours.filter_map(Tells::seen).collect()).await;
        let compared: Vec<_> = unknown?.into_iter().map(|event| compare(app, event, dry_run)).collect();
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

/// A session without our mark may still name a booking of ours. What moves its money bears the mark of the
/// payment, which was asked for with it.
fn may_be_ours(app: &App, claim: &Claim) -> bool {
    match &claim.instance {
        Some(_) => is_ours(app, claim),
        None => claim.reference.is_some(),
    }
}

fn is_ours(app: &App, claim: &Claim) -> bool {
    claim.instance.as_ref().is_some_and(|named| *named == app.instance.to_string())
}
