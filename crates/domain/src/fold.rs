//! What the ledger alone says of a booking: its facts, told again from the beginning by the rules that
//! applied them. A booking that is not what they make of it was changed by something else.

use super::booking::{Booking, Dispute, DisputeStatus, Progress};
use super::case::{CaseAbout, CaseKind};
use super::event::{Event, Fact};
use super::ids::{DisputeId, RefundId};
use super::payment::{self, Context, Outcome, Reason, SessionTold};
use clock::Timestamp;

/// A fact of the ledger.
#[derive(Debug, Clone)]
pub struct Told {
    /// What was told.
    pub event: Event,
    /// What was made of it.
    pub outcome: Outcome,
    /// Why.
    pub reason: Option<Reason>,
    /// When.
    pub at: Timestamp,
}

/// The booking as the facts that were applied make it, in the order in which they were; none if one of them
/// was applied with more than it says itself, which Stripe was asked for.
#[must_use]
pub fn fold(booking: &Booking, told: &[Told]) -> Option<Booking> {
    let begun = Booking {
        progress: Progress::Pending,
        seat: Some(1),
        charge_refunded: 0,
        charge_intent: None,
        cancelled: None,
        refunds: Vec::new(),
        disputes: Vec::new(),
        cases: Vec::new(),
        ..booking.clone()
    };
    let applied = told.iter().enumerate().filter(|(_, told)| told.outcome == Outcome::Processed);
    let all = told;
    applied.into_iter().try_fold(begun, |before, (index, told)| {
        let sessions = sessions(&all[..index]);
        // Whether a seat was left depended on others: that it was is told by its having been applied.
        let context = context(told, Some(1));
        match (&told.event.fact, told.reason) {
            (Fact::Session(fact), Some(Reason::AcceptedByPerson)) => {
                payment::accept(&before, fact, context).map(|decision| decision.booking)
            }
            (Fact::Session(fact), _) if fact.leaves_open() => None,
            (Fact::Refund(fact), _) if fact.leaves_open() => None,
            _ => Some(payment::decide_among(&before, &told.event, context, &sessions).booking),
        }
    })
}

/// What facts tell of sessions that did not pay.
#[must_use]
pub fn sessions(told: &[Told]) -> Vec<SessionTold> {
    told.iter().filter_map(|told| SessionTold::of(&told.event.fact)).collect()
}

/// Whether a fact that was settled would change the booking if it were told again. `sessions`: what was told of
/// those that did not pay.
#[must_use]
pub fn would_change(booking: &Booking, told: &Told, sessions: &[SessionTold]) -> bool {
    let settled = matches!(told.outcome, Outcome::Processed | Outcome::Duplicate);
    if payment::open_question(&told.event.fact, booking).is_some() || is_of_another_mode(booking, told) {
        // Stripe would be asked first, or a person was.
        return false;
    }
    let mut again = payment::decide_among(booking, &told.event, context(told, None), sessions).booking;
    // Other figures of what an open case was about went with it: told after that was closed, they open another.
    again.cases.clone_from(&booking.cases);
    if !booking.refunds.is_empty() {
        // The charge's own sum counts only while no refund is known by id.
        again.charge_refunded = booking.charge_refunded;
        again.charge_intent.clone_from(&booking.charge_intent);
        again.updated_at = booking.updated_at;
    }
    // Nothing is decided by a dispute's amount, and rows of before version 7 have no currency.
    let decisive = |booking: &Booking| -> Vec<Dispute> {
        let of = |dispute: &Dispute| Dispute { amount: 0, currency: None, ..dispute.clone() };
        booking.disputes.iter().map(of).collect()
    };
    if decisive(&again) == decisive(booking) && again.disputes != booking.disputes {
        again.disputes.clone_from(&booking.disputes);
        again.updated_at = booking.updated_at;
    }
    settled && again != *booking
}

/// Whether it is a further word about something whose mode was a case: it was settled as a copy of that, and by
/// which key it was judged is not known any more.
fn is_of_another_mode(booking: &Booking, told: &Told) -> bool {
    let subject = match &told.event.fact {
        Fact::Session(fact) => fact.id.as_str(),
        Fact::Refund(fact) => fact.id.as_str(),
        Fact::ChargeRefunded(fact) => fact.charge.as_str(),
        Fact::Dispute(fact) => fact.id.as_str(),
        Fact::NoSession(_) | Fact::Other => return false,
    };
    let case = CaseAbout::new(CaseKind::LivemodeMismatch, subject);
    told.outcome == Outcome::Duplicate && booking.cases.iter().any(|known| known.about == case)
}

fn context(told: &Told, free_seat: Option<i32>) -> Context {
    // A key may have been changed since from test to live.
    Context { now: told.at, livemode: told.event.livemode.unwrap_or(false), free_seat }
}

/// In what a booking is not what its facts make of it. `cancelled`: whether a person cancelled it.
#[must_use]
pub fn difference(booking: &Booking, folded: &Booking, cancelled: bool) -> Option<&'static str> {
    let same_progress = match (&booking.progress, &folded.progress) {
        (Progress::Paid(is), Progress::Paid(told)) => {
            (&is.session, &is.intent, is.amount) == (&told.session, &told.intent, told.amount)
        }
        (Progress::Cancelled, Progress::Paid(_)) => false,
        (Progress::Cancelled, _) => cancelled,
        // Stripe refused to make its session.
        (Progress::Expired, Progress::Pending) => booking.session.is_none(),
        (is, told) => is == told,
    };
    if !same_progress {
        Some("its progress")
    } else if booking.charge_refunded != folded.charge_refunded {
        Some("what its charge says was refunded")
    } else if refunds(booking) != refunds(folded) {
        Some("its refunds")
    } else if disputes(booking) != disputes(folded) {
        Some("its disputes")
    } else {
        None
    }
}

fn refunds(booking: &Booking) -> Vec<(&RefundId, i64, super::booking::RefundStatus)> {
    let mut all: Vec<_> = booking.refunds.iter().map(|r| (&r.id, r.amount, r.status)).collect();
    all.sort();
    all
}

fn disputes(booking: &Booking) -> Vec<(&DisputeId, DisputeStatus, Option<Timestamp>)> {
    let mut all: Vec<_> = booking.disputes.iter().map(|d| (&d.id, d.status, d.due_by)).collect();
    all.sort();
    all
}
