//! What an event means that names no booking known here.

use super::decision::NewCase;
use super::outcome::{Outcome, Reason};
use super::{refund_word, session_word};
use crate::case::{CaseAbout, CaseKind, Facts, KnownCase};
use crate::event::{Event, Fact};
use crate::ids::InstanceId;
use crate::lang::Words;

/// What an event means that names no booking known here.
pub fn decide_unmatched(event: &Event, instance: InstanceId, livemode: bool) -> (Outcome, Reason) {
    if let Some(reason) = super::foreign(event) {
        return (Outcome::Ignored, reason);
    }
    let Some(claim) = event.fact.claim() else {
        return (Outcome::Ignored, Reason::KindNotActedOn);
    };
    if !claim.is_ours(instance) {
        (Outcome::Ignored, Reason::OtherApplication)
    } else if event.livemode.is_some_and(|live| live != livemode) {
        (Outcome::Ignored, Reason::LivemodeOfAnother)
    } else {
        (Outcome::Parked, Reason::BookingNotKnown)
    }
}

/// What we asked Stripe to give back of a payment whose booking is not known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AskedFor {
    /// Stripe's ids of those refunds, as far as they are known.
    pub refunds: Vec<String>,
    /// What they give back together.
    pub sum: i64,
}

/// What becomes of a fact of ours whose booking has not turned up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unmatched {
    /// A person is to see it.
    Case(Box<NewCase>),
    /// It belongs to the open case of the same subject, which a person will see.
    Joins(CaseAbout, Facts),
    /// A person has seen all that it says.
    Seen,
    /// It is what a person did about the case.
    Expected,
}

/// What becomes of a fact of ours whose booking has not turned up. `known`: the cases about its payment, session,
/// refund or dispute whose booking is not known, closed ones too.
///
/// One case for a payment, however many events about it come. But what happens to the money when that case is
/// closed must be seen by a person as well.
#[must_use]
pub fn unknown_booking(event: &Event, known: &[KnownCase], asked_for: &AskedFor) -> Unmatched {
    let about = CaseAbout::new(CaseKind::UnknownBooking, subject(event));
    let case = case(event, about.clone());
    if let Fact::Refund(fact) = &event.fact
        && fact.status.counts()
        && asked_for.refunds.iter().any(|id| id == fact.id.as_str())
    {
        return Unmatched::Expected;
    }
    if let Fact::ChargeRefunded(fact) = &event.fact
        && !known.is_empty()
        && fact
            .amount_refunded
            .is_some_and(|amount| amount > 0 && amount <= told_of(known, &about) + asked_for.sum)
    {
        return Unmatched::Expected;
    }
    let same = || known.iter().filter(|known| known.about == about);
    if same().next().is_none() {
        return Unmatched::Case(Box::new(case));
    }
    if same().any(|known| known.open) {
        return Unmatched::Joins(about, case.facts);
    }
    if same().any(|known| covers(known, &case)) {
        return Unmatched::Seen;
    }
    Unmatched::Case(Box::new(case))
}

/// What cases tell of refunds of their payment.
fn told_of(known: &[KnownCase], about: &CaseAbout) -> i64 {
    let words = known.iter().filter(|known| known.about == *about).flat_map(|known| known.facts.iter());
    words
        .filter_map(|word| word.strip_prefix("out:")?.rsplit(':').next()?.parse::<i64>().ok())
        .fold(0, i64::saturating_add)
}

/// Whether a person who has seen the one case has seen what the other would say.
fn covers(known: &KnownCase, new: &NewCase) -> bool {
    if known.facts.is_empty() {
        return true;
    }
    new.facts.iter().all(|word| match word.strip_prefix("paid:") {
        // That there is a payment goes without saying, but not that it is another sum.
        Some(_) => {
            let mut paid = known.facts.iter().filter(|known| known.starts_with("paid:")).peekable();
            paid.peek().is_none() || paid.any(|known| known == word)
        }
        None => known.facts.cover(&Facts::one(word)),
    })
}

/// The payment, as far as that is known. A dispute has its own deadline, and a refund that came back its own
/// trouble: both may come when the payment's case is closed.
fn subject(event: &Event) -> String {
    match &event.fact {
        Fact::Dispute(fact) => return fact.id.to_string(),
        Fact::Refund(fact) if !fact.status.counts() => return fact.id.to_string(),
        _ => {}
    }
    match (event.fact.intent(), event.fact.session()) {
        (Some(intent), _) => intent.to_string(),
        (None, Some(session)) => session.to_string(),
        (None, None) => event.key.as_str().to_owned(),
    }
}

fn word(fact: &Fact) -> String {
    match fact {
        Fact::Session(fact) => match (session_word(fact), fact.total) {
            ("paid", Some(total)) => format!("paid:{total}"),
            (word, _) => word.to_owned(),
        },
        Fact::Refund(fact) if fact.status.counts() => {
            format!("out:{}:{}", fact.id, fact.amount.unwrap_or(0))
        }
        Fact::Refund(fact) => refund_word(fact.status).to_owned(),
        Fact::ChargeRefunded(fact) => format!("refunded:{}", fact.amount_refunded.unwrap_or(0)),
        Fact::Dispute(fact) => super::dispute::word(fact.status).to_owned(),
        Fact::NoSession(_) | Fact::Other => "told".to_owned(),
    }
}

fn case(event: &Event, about: CaseAbout) -> NewCase {
    let (amount, currency, deadline) = match &event.fact {
        Fact::Session(fact) => (fact.total, fact.currency.clone(), None),
        Fact::Refund(fact) => (fact.amount, fact.currency.clone(), None),
        Fact::ChargeRefunded(fact) => (fact.amount_refunded, fact.currency.clone(), None),
        Fact::Dispute(fact) => (fact.countable(), fact.currency.clone(), fact.due_by),
        Fact::NoSession(_) | Fact::Other => (None, None, None),
    };
    let named = event.fact.claim().and_then(|claim| claim.booking());
    let came_back = match &event.fact {
        Fact::Refund(fact) if !fact.status.counts() => Some(&fact.id),
        _ => None,
    };
    NewCase {
        about,
        facts: Facts::one(word(&event.fact)),
        session: event.fact.session().cloned(),
        intent: event.fact.intent().cloned(),
        amount,
        currency,
        deadline,
        detail: match (came_back, named) {
            (Some(refund), _) => Words::new(
                format!(
                    "le remboursement {refund} n'est pas arrivé au client, et sa réservation n'est pas ici"
                ),
                format!("refund {refund} did not reach the customer, and its booking is not here"),
            ),
            (None, Some(booking)) => Words::new(
                format!("{} nomme la réservation {booking}, qui n'est pas ici", event.kind),
                format!("{} names booking {booking}, which is not here", event.kind),
            ),
            (None, None) => Words::new(
                format!("{} ne nomme aucune réservation d'ici", event.kind),
                format!("{} names no booking that is here", event.kind),
            ),
        },
    }
}
