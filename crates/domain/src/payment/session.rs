//! What a checkout session does to a booking.

use super::Rules;
use super::amount::{another_mode, check_amount};
use super::decision::{Decision, EffectKind, NewCase};
use super::outcome::Reason;
use crate::booking::{Payment, Progress};
use crate::calendar;
use crate::case::CaseKind;
use crate::event::{NoSessionFact, PaymentStatus, SessionFact, SessionMoment};
use crate::ids::SessionId;
use crate::lang::{Lang, Words};

impl Rules<'_> {
    pub(super) fn session(&self, fact: &SessionFact) -> Decision {
        use PaymentStatus::{NoPaymentRequired, Paid, Unknown, Unpaid};
        use SessionMoment::{AsyncFailed, AsyncSucceeded, Completed, Expired};
        match (fact.moment, fact.payment_status) {
            (Completed | AsyncSucceeded, Paid | NoPaymentRequired) | (AsyncSucceeded, Unknown) => {
                self.paid(fact)
            }
            (Completed, Unpaid | Unknown) | (AsyncSucceeded, Unpaid) => self.processing(fact),
            (AsyncFailed, _) => self.failed(fact),
            (Expired, _) => self.expired(fact),
        }
    }

    pub(super) fn session_case(&self, kind: CaseKind, fact: &SessionFact, detail: Words) -> Decision {
        self.case(NewCase {
            kind,
            key: format!("{kind}:{}", fact.id),
            session: Some(fact.id.clone()),
            intent: fact.intent.clone(),
            amount: fact.total,
            currency: fact.currency.clone(),
            deadline: None,
            detail,
        })
    }

    pub(super) fn contradictory(&self, fact: &SessionFact) -> Decision {
        let id = &fact.id;
        let detail = Words::new(
            format!("la session {id} a fini impayée et est payée, selon le même événement"),
            format!("session {id} ended unpaid and is paid, by the same event"),
        );
        self.session_case(CaseKind::StateMismatch, fact, detail)
    }

    pub(super) fn paid(&self, fact: &SessionFact) -> Decision {
        if let Some(payment) = self.before.payment() {
            return if payment.session == fact.id {
                self.nothing_new(Reason::AlreadyApplied)
            } else {
                let detail = Words::new(
                    format!("payée par {} et encore par {}", payment.session, fact.id),
                    format!("paid by {} and again by {}", payment.session, fact.id),
                );
                self.session_case(CaseKind::PaidTwice, fact, detail)
            };
        }
        let amount = match check_amount(fact, self.before.price) {
            Ok(amount) => amount,
            Err((kind, detail)) => return self.session_case(kind, fact, detail),
        };
        if self.waits_for_a_seat(fact) {
            return self.nothing_new(Reason::AlreadyApplied);
        }
        let Some(seat) = self.before.seat.or(self.context.free_seat) else {
            let (status, slot) = (self.before.status(), &self.before.slot);
            let detail = Words::new(
                format!(
                    "la réservation est « {status} », et le créneau {} est complet",
                    calendar::slot(Lang::Fr, slot)
                ),
                format!("the booking is {status}, and the slot {} is full", calendar::slot(Lang::En, slot)),
            );
            return self.session_case(CaseKind::LatePayment, fact, detail);
        };

        let reason = if self.before.seat.is_some() { Reason::Paid } else { Reason::PaidAndReseated };
        self.pay(fact, amount, seat, reason)
    }

    pub(super) fn pay(&self, fact: &SessionFact, amount: i64, seat: i32, reason: Reason) -> Decision {
        let mut booking = self.before.clone();
        booking.session = Some(fact.id.clone());
        booking.seat = Some(seat);
        booking.progress = Progress::Paid(Payment {
            session: fact.id.clone(),
            intent: fact.intent.clone(),
            amount,
            at: self.context.now,
        });
        let effects = vec![self.effect(EffectKind::Paid, fact.id.as_str())];
        Decision { applied_payment: true, ..self.applied(booking, reason, effects) }
    }

    /// Whether a person was asked about its payment, which came too late: a seat that has become free since changes
    /// nothing without them.
    pub(super) fn waits_for_a_seat(&self, fact: &SessionFact) -> bool {
        let asked = format!("{}:{}", CaseKind::LatePayment, fact.id);
        self.before.seat.is_none() && self.before.cases.contains(&asked)
    }

    pub(super) fn processing(&self, fact: &SessionFact) -> Decision {
        match &self.before.progress {
            Progress::Expired if self.waits_for_a_seat(fact) => {
                self.nothing_new(Reason::OvertakenByLaterState)
            }
            Progress::Pending | Progress::Expired => {
                if let Some(mode) = another_mode(fact) {
                    return self.session_case(CaseKind::ModeMismatch, fact, mode);
                }
                let mut booking = self.before.clone();
                booking.progress = Progress::Processing;
                booking.session = Some(fact.id.clone());
                booking.seat = booking.seat.or(self.context.free_seat);
                self.applied(booking, Reason::PaymentPending, Vec::new())
            }
            Progress::Processing => self.nothing_new(Reason::AlreadyApplied),
            Progress::Failed | Progress::Cancelled | Progress::Paid(_) => {
                self.nothing_new(Reason::OvertakenByLaterState)
            }
        }
    }

    pub(super) fn failed(&self, fact: &SessionFact) -> Decision {
        if self.is_superseded(fact) {
            return self.nothing_new(Reason::SupersededSession);
        }
        match &self.before.progress {
            Progress::Pending | Progress::Processing | Progress::Expired => {
                if fact.is_contradictory() {
                    return self.contradictory(fact);
                }
                let mut booking = self.before.clone();
                booking.progress = Progress::Failed;
                booking.session = Some(fact.id.clone());
                let effects = vec![self.effect(EffectKind::Failed, fact.id.as_str())];
                self.applied(booking, Reason::PaymentFailed, effects)
            }
            Progress::Failed => self.nothing_new(Reason::AlreadyApplied),
            Progress::Cancelled | Progress::Paid(_) => self.nothing_new(Reason::OvertakenByLaterState),
        }
    }

    pub(super) fn expired(&self, fact: &SessionFact) -> Decision {
        if self.is_superseded(fact) {
            return self.nothing_new(Reason::SupersededSession);
        }
        match &self.before.progress {
            Progress::Pending => {
                if fact.is_contradictory() {
                    return self.contradictory(fact);
                }
                let mut booking = self.before.clone();
                booking.progress = Progress::Expired;
                booking.session = Some(fact.id.clone());
                self.applied(booking, Reason::SessionExpired, Vec::new())
            }
            Progress::Expired => self.nothing_new(Reason::AlreadyApplied),
            Progress::Processing | Progress::Failed | Progress::Cancelled | Progress::Paid(_) => {
                self.nothing_new(Reason::OvertakenByLaterState)
            }
        }
    }

    pub(super) fn no_session(&self, fact: &NoSessionFact) -> Decision {
        match &self.before.progress {
            Progress::Pending if self.before.session == fact.session => {
                let mut booking = self.before.clone();
                booking.progress = Progress::Expired;
                match &fact.session {
                    None => self.applied(booking, Reason::NoSessionMade, Vec::new()),
                    Some(session) => {
                        let case = self.session_unknown(session);
                        booking.cases.push(case.key.clone());
                        let decision = self.applied(booking, Reason::SessionUnknown, Vec::new());
                        Decision { case: Some(case), ..decision }
                    }
                }
            }
            // Money is on its way: only a person can say where it went.
            Progress::Processing if fact.session.is_some() && self.before.session == fact.session => {
                match &fact.session {
                    Some(session) => self.case(self.session_unknown(session)),
                    None => self.nothing_new(Reason::AlreadyApplied),
                }
            }
            Progress::Expired => self.nothing_new(Reason::AlreadyApplied),
            Progress::Pending
            | Progress::Processing
            | Progress::Failed
            | Progress::Cancelled
            | Progress::Paid(_) => self.nothing_new(Reason::OvertakenByLaterState),
        }
    }

    pub(super) fn session_unknown(&self, session: &SessionId) -> NewCase {
        NewCase {
            kind: CaseKind::SessionUnknown,
            key: format!("{}:{session}", CaseKind::SessionUnknown),
            session: Some(session.clone()),
            intent: None,
            amount: Some(self.before.price.amount),
            currency: Some(self.before.price.currency.as_str().to_owned()),
            deadline: None,
            detail: Words::new(
                format!("Stripe répond ne pas avoir de session {session}"),
                format!("Stripe answers that it has no session {session}"),
            ),
        }
    }

    pub(super) fn is_superseded(&self, fact: &SessionFact) -> bool {
        self.before.session.as_ref().is_some_and(|current| *current != fact.id)
    }
}
