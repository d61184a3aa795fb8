//! The payment rules: what a fact does to a booking.
//!
//! [`decide`] is the only place where a payment fact changes a booking. It judges by state, never
//! by the order in which events arrive or were made, so that any order and any repetition of a
//! booking's events end in the same state. It knows no database: seats and known cases are handed
//! in, and what is to be written is handed back.

mod amount;
mod decision;
mod dispute;
mod outcome;
mod refund;
mod session;
mod unmatched;
mod words;

pub use amount::check_amount;
pub use decision::{Context, Decision, Effect, EffectKind, NewCase};
pub use outcome::{Outcome, Reason};
pub use unmatched::decide_unmatched;
pub use words::{case_sentence, dispute_detail, dispute_sentence};

use super::booking::Booking;
use super::case::CaseKind;
use super::event::{Event, Fact, PaymentStatus, SessionFact};
use super::lang::Words;

/// What `event` does to `booking`, which it names.
pub fn decide(booking: &Booking, event: &Event, context: Context) -> Decision {
    let rules = Rules { before: booking, context };
    if let Some(reason) = foreign(event) {
        return rules.unchanged(Outcome::Ignored, reason);
    }
    if event.livemode.is_some_and(|live| live != context.livemode) {
        return rules.livemode_mismatch(event);
    }
    match &event.fact {
        Fact::Session(fact) => rules.session(fact),
        Fact::Refund(fact) => rules.refund(fact),
        Fact::ChargeRefunded(fact) => rules.charge_refunded(fact),
        Fact::Dispute(fact) => rules.dispute(fact),
        Fact::NoSession(fact) => rules.no_session(fact),
        Fact::Other => rules.unchanged(Outcome::Ignored, Reason::KindNotActedOn),
    }
}

/// Why an event is none of our business, whoever it names.
fn foreign(event: &Event) -> Option<Reason> {
    match (&event.account, &event.fact) {
        (Some(_), _) => Some(Reason::OtherAccount),
        (None, Fact::Other) => Some(Reason::KindNotActedOn),
        (
            None,
            Fact::Session(_)
            | Fact::Refund(_)
            | Fact::ChargeRefunded(_)
            | Fact::Dispute(_)
            | Fact::NoSession(_),
        ) => None,
    }
}

/// What an event means whose session belongs to another booking than the one that it names: nobody
/// is paid by it, and a person has to look.
pub fn decide_session_of_another(booking: &Booking, event: &Event) -> Decision {
    // Neither time nor seats play a part: nothing of the booking changes.
    let context = Context { now: booking.updated_at, livemode: false, free_seat: None };
    let rules = Rules { before: booking, context };
    match &event.fact {
        Fact::Session(fact) => {
            let detail = Words::new(
                format!(
                    "la session {} est celle d'une autre réservation, mais nomme {}",
                    fact.id, booking.id
                ),
                format!("session {} is another booking's, but names {}", fact.id, booking.id),
            );
            rules.session_case(CaseKind::SessionMismatch, fact, detail)
        }
        Fact::Refund(_) | Fact::ChargeRefunded(_) | Fact::Dispute(_) | Fact::NoSession(_) | Fact::Other => {
            rules.unchanged(Outcome::Ignored, Reason::KindNotActedOn)
        }
    }
}

/// What a payment does that a person accepts although the rules made it a case: it pays the booking
/// with the amount that came. None if it cannot: the booking is paid already, the money is in another
/// currency or not there, or no seat is left.
#[must_use]
pub fn accept(booking: &Booking, fact: &SessionFact, context: Context) -> Option<Decision> {
    let currency = fact.currency.as_deref()?;
    let same_currency = currency.eq_ignore_ascii_case(booking.price.currency.as_str());
    let amount = fact.total.filter(|total| *total > 0)?;
    let there = match fact.payment_status {
        PaymentStatus::Paid | PaymentStatus::NoPaymentRequired => true,
        PaymentStatus::Unpaid | PaymentStatus::Unknown => false,
    };
    let seat = booking.seat.or(context.free_seat)?;
    if booking.payment().is_some() || !same_currency || !there {
        return None;
    }
    let rules = Rules { before: booking, context };
    Some(rules.pay(fact, amount, seat, Reason::AcceptedByPerson))
}

struct Rules<'a> {
    before: &'a Booking,
    context: Context,
}

impl Rules<'_> {
    fn unchanged(&self, outcome: Outcome, reason: Reason) -> Decision {
        Decision {
            outcome,
            reason,
            booking: self.before.clone(),
            applied_payment: false,
            case: None,
            effects: Vec::new(),
        }
    }

    fn nothing_new(&self, reason: Reason) -> Decision {
        self.unchanged(Outcome::Duplicate, reason)
    }

    /// A change that was applied: stamps it, frees the seat if none is due any more, and takes one
    /// again if the service is owed after all and a seat is left.
    fn applied(&self, mut booking: Booking, reason: Reason, effects: Vec<Effect>) -> Decision {
        if !booking.keeps_seat() {
            booking.seat = None;
        } else if booking.payment().is_some() {
            booking.seat = booking.seat.or(self.context.free_seat);
        }
        booking.updated_at = self.context.now;
        Decision { outcome: Outcome::Processed, reason, booking, applied_payment: false, case: None, effects }
    }

    /// A case, unless the same one was opened before.
    fn case(&self, case: NewCase) -> Decision {
        if self.before.cases.contains(&case.key) {
            return self.nothing_new(Reason::AlreadyApplied);
        }
        let mut decision = self.unchanged(Outcome::Case, Reason::Case(case.kind));
        decision.booking.cases.push(case.key.clone());
        decision.case = Some(case);
        decision
    }

    fn effect(&self, kind: EffectKind, subject: &str) -> Effect {
        Effect { kind, key: format!("{}:{}:{subject}", kind.as_str(), self.before.id) }
    }

    fn livemode_mismatch(&self, event: &Event) -> Decision {
        let subject = match &event.fact {
            Fact::Session(fact) => fact.id.as_str(),
            Fact::Refund(fact) => fact.id.as_str(),
            Fact::ChargeRefunded(fact) => fact.charge.as_str(),
            Fact::Dispute(fact) => fact.id.as_str(),
            Fact::NoSession(_) | Fact::Other => event.key.as_str(),
        };
        self.case(NewCase {
            kind: CaseKind::LivemodeMismatch,
            key: format!("{}:{subject}", CaseKind::LivemodeMismatch),
            session: event.fact.session().cloned(),
            intent: event.fact.intent().cloned(),
            amount: None,
            currency: None,
            deadline: None,
            detail: if self.context.livemode {
                Words::new("un événement de test, pour une clé réelle", "a test event, for a live key")
            } else {
                Words::new("un événement réel, pour une clé de test", "a live event, for a test key")
            },
        })
    }
}

#[cfg(test)]
mod tests;
