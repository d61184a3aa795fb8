//! What a refund, or the sum that a charge tells of, does to a booking.

use super::decision::{Decision, Effect, EffectKind, NewCase};
use super::outcome::{Outcome, Reason};
use super::{Rules, refund_word};
use crate::booking::{Booking, Refund, RefundStatus};
use crate::case::{CaseAbout, CaseKind, Facts};
use crate::event::{ChargeRefundedFact, RefundFact};
use crate::ids::{PaymentIntentId, RefundId};
use crate::lang::{Lang, Words};
use crate::money::{MAX_MINOR_UNITS, Money};

impl Rules<'_> {
    /// Whether it is in another currency than the booking, and not of the payment that counts here: then it gives
    /// back a payment that paid nothing here, and there is nothing to take from what was paid.
    fn is_of_foreign_money(&self, intent: Option<&PaymentIntentId>, currency: Option<&str>) -> bool {
        let counts_here = self.before.payment().is_some() && self.before.concerns_payment(intent);
        intent.is_some() && self.another_currency(currency).is_some() && !counts_here
    }

    /// Whether a person was shown the payment that this gives back.
    fn foreign_payment_is_known(&self) -> bool {
        self.before.cases.iter().any(|known| known.about.kind == CaseKind::CurrencyMismatch)
    }

    pub(super) fn refund(&self, fact: &RefundFact) -> Decision {
        if self.is_of_foreign_money(fact.intent.as_ref(), fact.currency.as_deref()) {
            return if !self.foreign_payment_is_known() {
                // Its payment may be told any moment. After an hour a person looks at it.
                self.unchanged(Outcome::Parked, Reason::BookingNotKnown)
            } else if fact.status.counts() {
                self.unchanged(Outcome::Processed, Reason::RefundOfForeignPayment)
            } else {
                self.case(self.refund_failed(fact, self.before))
            };
        }
        let mut booking = self.before.clone();
        let known = booking.refunds.iter_mut().find(|refund| refund.id == fact.id);
        let was = known.as_ref().map(|refund| refund.status);
        let is = match known {
            Some(refund) => {
                let unchanged = fact.status <= refund.status
                    && (fact.amount.is_none() || fact.amount == Some(refund.amount))
                    && (refund.intent.is_some() || fact.intent.is_none());
                if unchanged {
                    return self.nothing_new(Reason::AlreadyApplied);
                }
                if let Some(detail) = self.not_of_this_payment(fact, refund.amount) {
                    return self.refund_mismatch(fact, detail);
                }
                refund.status = refund.status.max(fact.status);
                refund.amount = fact.amount.unwrap_or(refund.amount);
                refund.intent = refund.intent.take().or_else(|| fact.intent.clone());
                refund.status
            }
            None => {
                let amount = fact.amount.unwrap_or(0);
                if let Some(detail) = self.not_of_this_payment(fact, amount) {
                    return self.refund_mismatch(fact, detail);
                }
                booking.refunds.push(Refund {
                    id: fact.id.clone(),
                    intent: fact.intent.clone(),
                    amount,
                    status: fact.status,
                });
                fact.status
            }
        };

        let came_back = !is.counts() && was.is_none_or(RefundStatus::counts);
        let effects = self.refund_effects(&booking);
        let reason = if came_back { Reason::RefundFailed } else { Reason::RefundRecorded };
        let decision = self.applied(booking, reason, effects);
        if came_back {
            let case = self.refund_failed(fact, &decision.booking);
            self.with_case(decision, case)
        } else if self.lost_its_seat(&decision.booking) {
            // Its charge told of more than the refunds that are known by now: that had set it free.
            let detail = Words::new(
                format!(
                    "après le remboursement {}, le service est encore dû, mais sa place a été prise par quelqu'un d'autre",
                    fact.id
                ),
                format!(
                    "after refund {} the service is still owed, but its seat has been taken by somebody else",
                    fact.id
                ),
            );
            let case = NewCase { facts: Facts::one("seat"), ..self.refund_case(fact, detail) };
            self.with_case(decision, case)
        } else {
            decision
        }
    }

    /// A refund in another currency, of whose payment nothing came within the time to wait for it.
    pub(super) fn refund_of_nothing(&self, fact: &RefundFact) -> Decision {
        match self.not_of_this_payment(fact, fact.amount.unwrap_or(0)) {
            Some(detail) => self.refund_mismatch(fact, detail),
            None => self.refund(fact),
        }
    }

    /// The case of a refund that did not reach the customer. `after`: the booking without it.
    fn refund_failed(&self, fact: &RefundFact, after: &Booking) -> NewCase {
        let (sa_place, seat) = if after.payment().is_some() && after.keeps_seat() && after.seat.is_none() {
            (" ; sa place a été prise par quelqu'un d'autre", "; its seat has been taken by somebody else")
        } else {
            ("", "")
        };
        let (annule, cancelled) = match fact.status {
            RefundStatus::Canceled => ("a été annulé", "was canceled"),
            _ => ("a échoué", "failed"),
        };
        let known = after.refunds.iter().find(|refund| refund.id == fact.id);
        NewCase {
            about: CaseAbout::new(CaseKind::RefundFailed, &fact.id),
            facts: Facts::one("back"),
            session: after.session.clone(),
            intent: fact.intent.clone().or_else(|| known.and_then(|refund| refund.intent.clone())),
            amount: fact.amount.or_else(|| known.map(|refund| refund.amount)),
            currency: fact.currency.clone().or_else(|| Some(self.before.price.currency.as_str().to_owned())),
            deadline: None,
            detail: Words::new(
                format!("le remboursement {} {annule}{sa_place}", fact.id),
                format!("refund {} {cancelled}{seat}", fact.id),
            ),
        }
    }

    /// The case of a payment with a refund of more than was paid, which was told before it.
    pub(super) fn with_refunds_that_do_not_fit(&self, decision: Decision) -> Decision {
        let after = &decision.booking;
        let misfit = after.refunds.iter().find(|refund| {
            after.concerns_payment(refund.intent.as_ref()) && !after.can_be_of_the_payment(refund.amount)
        });
        let Some(refund) = misfit else { return self.with_a_charge_that_does_not_fit(decision) };
        let fact = RefundFact {
            id: refund.id.clone(),
            claim: crate::event::Claim::default(),
            intent: refund.intent.clone(),
            charge: None,
            amount: Some(refund.amount),
            currency: None,
            unreadable: false,
            status: refund.status,
        };
        let detail = self.more_than_was_paid(&refund.id, refund.amount);
        self.with_case(decision, self.refund_case(&fact, detail))
    }

    fn with_a_charge_that_does_not_fit(&self, decision: Decision) -> Decision {
        let after = &decision.booking;
        let fits = after.can_be_of_the_payment(after.charge_refunded);
        let Some(intent) = after.charge_intent.clone().filter(|_| !fits) else { return decision };
        if !after.concerns_payment(Some(&intent)) {
            return decision;
        }
        let case = NewCase {
            about: CaseAbout::new(CaseKind::RefundMismatch, &intent),
            facts: Facts::one("refunded"),
            session: after.session.clone(),
            amount: Some(after.charge_refunded),
            currency: Some(self.before.price.currency.as_str().to_owned()),
            deadline: None,
            detail: Words::new(
                "du paiement, il aurait été remboursé plus que ce qui a été payé",
                "more of the payment is said to be refunded than was paid",
            ),
            intent: Some(intent),
        };
        self.with_case(decision, case)
    }

    fn more_than_was_paid(&self, id: &RefundId, amount: i64) -> Words {
        let sum = Money { amount, currency: self.before.price.currency };
        Words::new(
            format!("le remboursement {id} est de {}, plus que ce qui a été payé", sum.told(Lang::Fr)),
            format!("refund {id} is of {}, more than was paid", sum.told(Lang::En)),
        )
    }

    /// Why a refund cannot be one of this booking's payment, in words. Several together may seem too much
    /// for a while, until the news comes that one of them failed; a single one may not.
    pub(super) fn not_of_this_payment(&self, fact: &RefundFact, amount: i64) -> Option<Words> {
        let amount = fact.amount.unwrap_or(amount);
        let most = self.most_refundable(fact.intent.as_ref());
        let (id, price) = (&fact.id, self.before.price.currency);
        if let Some(currency) = self.another_currency(fact.currency.as_deref()) {
            Some(Words::new(
                format!("le remboursement {id} est en {currency:?}, pas en {price}"),
                format!("refund {id} is in {currency:?}, not {price}"),
            ))
        } else if fact.unreadable || amount <= 0 || amount > MAX_MINOR_UNITS {
            Some(Words::new(
                format!("le remboursement {id} n'a pas de montant avec lequel compter"),
                format!("refund {id} has no amount that can be counted with"),
            ))
        } else if most.is_some_and(|most| amount > most) {
            Some(self.more_than_was_paid(id, amount))
        } else {
            None
        }
    }

    /// What was paid, if it was by this payment.
    pub(super) fn most_refundable(&self, intent: Option<&PaymentIntentId>) -> Option<i64> {
        self.before.payment().filter(|_| self.before.concerns_payment(intent)).map(|payment| payment.amount)
    }

    pub(super) fn another_currency<'c>(&self, currency: Option<&'c str>) -> Option<&'c str> {
        currency.filter(|currency| !currency.eq_ignore_ascii_case(self.before.price.currency.as_str()))
    }

    pub(super) fn refund_mismatch(&self, fact: &RefundFact, detail: Words) -> Decision {
        self.case(self.refund_case(fact, detail))
    }

    fn refund_case(&self, fact: &RefundFact, detail: Words) -> NewCase {
        NewCase {
            about: CaseAbout::new(CaseKind::RefundMismatch, &fact.id),
            facts: Facts::one(refund_word(fact.status)),
            session: self.before.session.clone(),
            intent: fact.intent.clone(),
            amount: fact.amount,
            currency: fact.currency.clone(),
            deadline: None,
            detail,
        }
    }

    pub(super) fn charge_refunded(&self, fact: &ChargeRefundedFact) -> Decision {
        if self.is_of_foreign_money(fact.intent.as_ref(), fact.currency.as_deref()) {
            return if self.foreign_payment_is_known() {
                self.unchanged(Outcome::Processed, Reason::RefundOfForeignPayment)
            } else {
                self.unchanged(Outcome::Parked, Reason::BookingNotKnown)
            };
        }
        if let Some(decision) = self.charge_refund_that_does_not_fit(fact) {
            return decision;
        }
        let amount = fact.amount_refunded.unwrap_or(0);
        // What the charge of another payment said is no bound for this one.
        let told = if self.before.charge_intent == fact.intent { self.before.charge_refunded } else { 0 };
        let known = self.before.refunded_amount().max(told);
        if amount <= known || !self.before.concerns_payment(fact.intent.as_ref()) {
            return self.nothing_new(Reason::AlreadyApplied);
        }
        let mut booking = self.before.clone();
        booking.charge_refunded = amount;
        booking.charge_intent.clone_from(&fact.intent);
        let effects = self.refund_effects(&booking);
        self.applied(booking, Reason::ChargeRefundRecorded, effects)
    }

    /// What a charge in another currency told, of whose payment nothing came within the time to wait for it.
    pub(super) fn charge_refund_of_nothing(&self, fact: &ChargeRefundedFact) -> Decision {
        self.charge_refund_that_does_not_fit(fact).unwrap_or_else(|| self.charge_refunded(fact))
    }

    fn charge_refund_that_does_not_fit(&self, fact: &ChargeRefundedFact) -> Option<Decision> {
        let amount = fact.amount_refunded.unwrap_or(0);
        let (charge, price) = (&fact.charge, self.before.price.currency);
        let detail = if let Some(currency) = self.another_currency(fact.currency.as_deref()) {
            Words::new(
                format!("le paiement {charge} est en {currency:?}, pas en {price}"),
                format!("charge {charge} is in {currency:?}, not {price}"),
            )
        } else if fact.unreadable || !(0..=MAX_MINOR_UNITS).contains(&amount) {
            Words::new(
                format!("le paiement {charge} ne dit pas de montant remboursé avec lequel compter"),
                format!("charge {charge} tells no refunded amount that can be counted with"),
            )
        } else if self.most_refundable(fact.intent.as_ref()).is_some_and(|most| amount > most) {
            let sum = Money { amount, currency: price };
            Words::new(
                format!(
                    "du paiement {charge}, {} ont été remboursés, plus que ce qui a été payé",
                    sum.told(Lang::Fr)
                ),
                format!("of charge {charge}, {} were refunded, more than was paid", sum.told(Lang::En)),
            )
        } else {
            return None;
        };
        Some(self.case(NewCase {
            about: CaseAbout::new(CaseKind::RefundMismatch, charge),
            facts: Facts::one("refunded"),
            session: self.before.session.clone(),
            intent: fact.intent.clone(),
            amount: fact.amount_refunded,
            currency: fact.currency.clone(),
            deadline: None,
            detail,
        }))
    }

    /// Told once for each larger sum, whichever events it was learned from; and again after a refund
    /// came back, since the same sum then means other money.
    pub(super) fn refund_effects(&self, after: &Booking) -> Vec<Effect> {
        let sum = after.refunded_amount();
        if sum <= self.before.refunded_amount() {
            return Vec::new();
        }
        let came_back = after.refunds.iter().filter(|refund| !refund.status.counts()).count();
        let subject = if came_back == 0 { sum.to_string() } else { format!("{sum}:{came_back}") };
        vec![self.effect(EffectKind::Refunded, &subject)]
    }
}
