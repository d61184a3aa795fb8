//! What a checkout session does to a booking.

use super::Rules;
use super::amount::{another_mode, check_amount};
use super::decision::{Decision, EffectKind, NewCase};
use super::outcome::Reason;
use super::session_word;
use crate::booking::{Payment, Progress};
use crate::calendar;
use crate::case::{CaseAbout, CaseKind, Facts};
use crate::event::{Fact, NoSessionFact, PaymentStatus, SessionFact, SessionMoment};
use crate::ids::SessionId;
use crate::lang::{Lang, Words};

/// What was told before of a session that did not pay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionTold {
    /// The session.
    pub id: SessionId,
    /// What happened to it: it was completed with a delayed payment, that failed, or it expired.
    pub moment: SessionMoment,
}

impl SessionTold {
    /// What a fact tells of a session that does not pay; none if it is about something else.
    #[must_use]
    pub fn of(fact: &Fact) -> Option<Self> {
        match fact {
            Fact::Session(fact) if session_word(fact) != "paid" => {
                Some(Self { id: fact.id.clone(), moment: fact.moment })
            }
            _ => None,
        }
    }
}

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
            about: CaseAbout::new(kind, &fact.id),
            facts: Facts::one(session_word(fact)),
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
        // Called off while it was unpaid: the money came all the same, and there is a seat for it.
        booking.cancelled = None;
        booking.progress = Progress::Paid(Payment {
            session: fact.id.clone(),
            intent: fact.intent.clone(),
            amount,
            at: self.context.now,
        });
        let effects = vec![self.effect(EffectKind::Paid, fact.id.as_str())];
        let decision = self.with_refunds_that_do_not_fit(self.applied(booking, reason, effects));
        Decision { applied_payment: true, ..decision }
    }

    /// Whether a person was asked about its payment, which came too late: a seat that has become free since changes
    /// nothing without them.
    pub(super) fn waits_for_a_seat(&self, fact: &SessionFact) -> bool {
        let asked = CaseAbout::new(CaseKind::LatePayment, &fact.id);
        self.before.seat.is_none() && self.before.cases.iter().any(|known| known.about == asked)
    }

    pub(super) fn processing(&self, fact: &SessionFact) -> Decision {
        // Its delayed payment had failed before we heard that there was one.
        let failed_before = self.was_told(&fact.id, SessionMoment::AsyncFailed);
        match &self.before.progress {
            Progress::Expired if self.waits_for_a_seat(fact) => {
                self.nothing_new(Reason::OvertakenByLaterState)
            }
            Progress::Failed if failed_before || self.before.session.as_ref() == Some(&fact.id) => {
                self.nothing_new(Reason::OvertakenByLaterState)
            }
            Progress::Pending | Progress::Expired | Progress::Failed => {
                if let Some(mode) = another_mode(fact) {
                    return self.session_case(CaseKind::ModeMismatch, fact, mode);
                }
                if failed_before {
                    return self.has_failed(fact);
                }
                let mut booking = self.before.clone();
                booking.progress = Progress::Processing;
                booking.session = Some(fact.id.clone());
                booking.seat = booking.seat.or(self.context.free_seat);
                self.applied(booking, Reason::PaymentPending, Vec::new())
            }
            Progress::Processing => self.nothing_new(Reason::AlreadyApplied),
            Progress::Cancelled | Progress::Paid(_) => self.nothing_new(Reason::OvertakenByLaterState),
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
                // Another session's delayed payment may still be on its way.
                match self.another_on_its_way(&fact.id) {
                    Some(other) => {
                        let mut booking = self.before.clone();
                        booking.progress = Progress::Processing;
                        booking.session = Some(other.clone());
                        booking.seat = booking.seat.or(self.context.free_seat);
                        self.applied(booking, Reason::PaymentFailed, Vec::new())
                    }
                    None => self.has_failed(fact),
                }
            }
            Progress::Failed => self.nothing_new(Reason::AlreadyApplied),
            Progress::Cancelled | Progress::Paid(_) => self.nothing_new(Reason::OvertakenByLaterState),
        }
    }

    fn has_failed(&self, fact: &SessionFact) -> Decision {
        let mut booking = self.before.clone();
        booking.progress = Progress::Failed;
        booking.session = Some(fact.id.clone());
        let effects = vec![self.effect(EffectKind::Failed, fact.id.as_str())];
        self.applied(booking, Reason::PaymentFailed, effects)
    }

    fn was_told(&self, session: &SessionId, moment: SessionMoment) -> bool {
        self.told.iter().any(|told| told.id == *session && told.moment == moment)
    }

    /// Another session that was completed, whose delayed payment has neither come nor failed: the first by its id,
    /// so that it is the same in whatever order they were told.
    fn another_on_its_way(&self, session: &SessionId) -> Option<&SessionId> {
        let others = self.told.iter().filter(|told| told.id != *session);
        others
            .filter(|told| told.moment == SessionMoment::Completed)
            .map(|told| &told.id)
            .filter(|id| !self.was_told(id, SessionMoment::AsyncFailed))
            .min()
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
                        self.with_case(self.applied(booking, Reason::SessionUnknown, Vec::new()), case)
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
            about: CaseAbout::new(CaseKind::SessionUnknown, session),
            facts: Facts::one("unknown"),
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
