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
mod question;
mod refund;
mod session;
mod unmatched;
mod words;

pub use amount::check_amount;
pub use decision::{Context, Decision, Effect, EffectKind, NewCase};
pub use outcome::{Outcome, Reason};
pub use question::{Question, open_question};
pub use session::SessionTold;
pub use unmatched::{AskedFor, Unmatched, decide_unmatched, unknown_booking};
pub use words::{case_sentence, dispute_detail, dispute_sentence};

use super::booking::{Booking, RefundStatus};
use super::case::{CaseAbout, CaseKind, Facts};
use super::event::{Event, Fact, PaymentStatus, SessionFact, SessionMoment};
use super::lang::Words;

/// What `event` does to `booking`, which it names, if nothing was told of another session of it.
pub fn decide(booking: &Booking, event: &Event, context: Context) -> Decision {
    decide_among(booking, event, context, &[])
}

/// What `event` does to `booking`, which it names. `told`: what was told before of sessions that did not pay it,
/// as far as the booking itself does not say so.
pub fn decide_among(booking: &Booking, event: &Event, context: Context, told: &[SessionTold]) -> Decision {
    let rules = Rules { before: booking, context, told };
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

/// What an event means that was parked because more had to be told first, once nothing more has come.
pub fn decide_after_waiting(booking: &Booking, event: &Event, context: Context) -> Decision {
    let rules = Rules { before: booking, context, told: &[] };
    match &event.fact {
        Fact::Refund(fact) => rules.refund_of_nothing(fact),
        Fact::ChargeRefunded(fact) => rules.charge_refund_of_nothing(fact),
        Fact::Session(_) | Fact::Dispute(_) | Fact::NoSession(_) | Fact::Other => {
            decide(booking, event, context)
        }
    }
}

/// What an event means whose session, refund or dispute belongs to another booking than the one that it names:
/// nothing of this one changes by it, and a person has to look.
pub fn decide_of_another(booking: &Booking, event: &Event) -> Decision {
    // Neither time nor seats play a part: nothing of the booking changes.
    let context = Context { now: booking.updated_at, livemode: false, free_seat: None };
    let rules = Rules { before: booking, context, told: &[] };
    let of_another = |what: &str, what_fr: &str, id: &str| {
        Words::new(
            format!("{what_fr} {id} est d'une autre réservation, mais nomme {}", booking.id),
            format!("{what} {id} is another booking's, but names {}", booking.id),
        )
    };
    match &event.fact {
        Fact::Session(fact) => {
            let detail = of_another("session", "la session", fact.id.as_str());
            rules.session_case(CaseKind::SessionMismatch, fact, detail)
        }
        Fact::Refund(fact) => {
            let detail = of_another("refund", "le remboursement", fact.id.as_str());
            rules.refund_mismatch(fact, detail)
        }
        Fact::Dispute(fact) => {
            let detail = of_another("dispute", "le litige", fact.id.as_str());
            rules.dispute_case(fact, detail)
        }
        Fact::ChargeRefunded(_) | Fact::NoSession(_) | Fact::Other => {
            rules.unchanged(Outcome::Ignored, Reason::KindNotActedOn)
        }
    }
}

/// What a payment does that a person accepts although the rules made it a case: it pays the booking
/// with the amount that came. None if it cannot: the booking is paid already, the money is in another
/// currency, not there or gone back, or no seat is left.
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
    let rules = Rules { before: booking, context, told: &[] };
    let decision = rules.pay(fact, amount, seat, Reason::AcceptedByPerson);
    // What has all gone back pays nothing any more.
    (!decision.booking.is_refunded()).then_some(decision)
}

struct Rules<'a> {
    before: &'a Booking,
    context: Context,
    told: &'a [SessionTold],
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
        booking.touch(self.context.now);
        Decision { outcome: Outcome::Processed, reason, booking, applied_payment: false, case: None, effects }
    }

    /// Whether the service is owed now, was not before, and its seat has been sold: only a person can help then.
    fn lost_its_seat(&self, after: &Booking) -> bool {
        let without =
            |booking: &Booking| booking.payment().is_some() && booking.keeps_seat() && booking.seat.is_none();
        without(after) && !without(self.before)
    }

    /// Whether a person has been shown this, or is about to look at just that with other figures.
    fn is_known(&self, case: &NewCase) -> bool {
        let currency = case.currency.as_deref();
        self.before.cases.iter().any(|known| {
            known.tells(&case.about, &case.facts, case.amount, currency)
                || (known.open && known.about == case.about && known.facts.cover(&case.facts))
        })
    }

    /// A case, unless a person has seen all that it says.
    fn case(&self, case: NewCase) -> Decision {
        if self.is_known(&case) {
            return self.nothing_new(Reason::AlreadyApplied);
        }
        let decision = self.unchanged(Outcome::Case, Reason::Case(case.about.kind));
        self.with_case(decision, case)
    }

    /// The decision, and a case besides unless a person has seen all that it says.
    fn with_case(&self, decision: Decision, case: NewCase) -> Decision {
        if self.is_known(&case) { decision } else { self.with_new_case(decision, case) }
    }

    /// The decision, and a case besides.
    fn with_new_case(&self, mut decision: Decision, case: NewCase) -> Decision {
        decision.booking.cases.push(case.known());
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
            about: CaseAbout::new(CaseKind::LivemodeMismatch, subject),
            facts: Facts::one(word_of(&event.fact)),
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

/// What a fact says of its object, in a word by which a further fact is told from a copy.
fn word_of(fact: &Fact) -> String {
    match fact {
        Fact::Session(fact) => session_word(fact).to_owned(),
        Fact::Refund(fact) => refund_word(fact.status).to_owned(),
        Fact::ChargeRefunded(fact) => format!("refunded:{}", fact.amount_refunded.unwrap_or(0)),
        Fact::Dispute(fact) => dispute::word(fact.status).to_owned(),
        Fact::NoSession(_) | Fact::Other => "told".to_owned(),
    }
}

fn session_word(fact: &SessionFact) -> &'static str {
    match (fact.moment, fact.payment_status) {
        (_, PaymentStatus::Paid | PaymentStatus::NoPaymentRequired)
        | (SessionMoment::AsyncSucceeded, PaymentStatus::Unknown) => "paid",
        (SessionMoment::AsyncFailed | SessionMoment::Expired, _) => "ended",
        (SessionMoment::Completed | SessionMoment::AsyncSucceeded, _) => "processing",
    }
}

fn refund_word(status: RefundStatus) -> &'static str {
    if status.counts() { "out" } else { "back" }
}

#[cfg(test)]
mod tests;
