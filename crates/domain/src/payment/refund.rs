//! What a refund, or the sum that a charge tells of, does to a booking.

use super::Rules;
use super::decision::{Decision, Effect, EffectKind, NewCase};
use super::outcome::{Outcome, Reason};
use crate::booking::{Booking, Refund, RefundStatus};
use crate::case::CaseKind;
use crate::event::{ChargeRefundedFact, RefundFact};
use crate::ids::PaymentIntentId;
use crate::lang::{Lang, Words};
use crate::money::Money;

impl Rules<'_> {
    /// Whether this gives back the payment of a case about its currency: that paid nothing, so there is nothing
    /// to take from what was paid.
    pub(super) fn gives_back_a_foreign_payment(
        &self,
        intent: Option<&PaymentIntentId>,
        currency: Option<&str>,
    ) -> bool {
        let kind = CaseKind::CurrencyMismatch.as_str();
        let was_a_case = |key: &String| key.split(':').next() == Some(kind);
        let counts_here = self.before.payment().is_some() && self.before.concerns_payment(intent);
        intent.is_some()
            && self.another_currency(currency).is_some()
            && !counts_here
            && self.before.cases.iter().any(was_a_case)
    }

    pub(super) fn refund(&self, fact: &RefundFact) -> Decision {
        if self.gives_back_a_foreign_payment(fact.intent.as_ref(), fact.currency.as_deref()) {
            return match fact.status {
                RefundStatus::Failed => self.case(self.refund_failed(fact, self.before)),
                _ => self.unchanged(Outcome::Processed, Reason::RefundOfForeignPayment),
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

        let newly_failed = is == RefundStatus::Failed && was != Some(is);
        let effects = self.refund_effects(&booking);
        let reason = if newly_failed { Reason::RefundFailed } else { Reason::RefundRecorded };
        let mut decision = self.applied(booking, reason, effects);
        let key = format!("{}:{}", CaseKind::RefundFailed, fact.id);
        if newly_failed && !self.before.cases.contains(&key) {
            decision.case = Some(self.refund_failed(fact, &decision.booking));
            decision.booking.cases.push(key);
        }
        decision
    }

    /// The case of a refund that did not reach the customer. `after`: the booking without it.
    pub(super) fn refund_failed(&self, fact: &RefundFact, after: &Booking) -> NewCase {
        let (sa_place, seat) = if after.payment().is_some() && after.seat.is_none() {
            (" ; sa place a été prise par quelqu'un d'autre", "; its seat has been taken by somebody else")
        } else {
            ("", "")
        };
        let known = after.refunds.iter().find(|refund| refund.id == fact.id);
        NewCase {
            kind: CaseKind::RefundFailed,
            key: format!("{}:{}", CaseKind::RefundFailed, fact.id),
            session: after.session.clone(),
            intent: fact.intent.clone(),
            amount: fact.amount.or_else(|| known.map(|refund| refund.amount)),
            currency: fact.currency.clone().or_else(|| Some(self.before.price.currency.as_str().to_owned())),
            deadline: None,
            detail: Words::new(
                format!("le remboursement {} a échoué{sa_place}", fact.id),
                format!("refund {} failed{seat}", fact.id),
            ),
        }
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
        } else if fact.unreadable || amount <= 0 {
            Some(Words::new(
                format!("le remboursement {id} n'a pas de montant avec lequel compter"),
                format!("refund {id} has no amount that can be counted with"),
            ))
        } else if most.is_some_and(|most| amount > most) {
            let sum = Money { amount, currency: price };
            Some(Words::new(
                format!("le remboursement {id} est de {}, plus que ce qui a été payé", sum.told(Lang::Fr)),
                format!("refund {id} is of {}, more than was paid", sum.told(Lang::En)),
            ))
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
        self.case(NewCase {
            kind: CaseKind::RefundMismatch,
            key: format!("{}:{}", CaseKind::RefundMismatch, fact.id),
            session: self.before.session.clone(),
            intent: fact.intent.clone(),
            amount: fact.amount,
            currency: fact.currency.clone(),
            deadline: None,
            detail,
        })
    }

    pub(super) fn charge_refunded(&self, fact: &ChargeRefundedFact) -> Decision {
        let amount = fact.amount_refunded.unwrap_or(0);
        if self.gives_back_a_foreign_payment(fact.intent.as_ref(), fact.currency.as_deref()) {
            return self.unchanged(Outcome::Processed, Reason::RefundOfForeignPayment);
        }
        let (charge, price) = (&fact.charge, self.before.price.currency);
        let misfit = if let Some(currency) = self.another_currency(fact.currency.as_deref()) {
            Some(Words::new(
                format!("le paiement {charge} est en {currency:?}, pas en {price}"),
                format!("charge {charge} is in {currency:?}, not {price}"),
            ))
        } else if fact.unreadable || amount < 0 {
            Some(Words::new(
                format!("le paiement {charge} ne dit pas de montant remboursé avec lequel compter"),
                format!("charge {charge} tells no refunded amount that can be counted with"),
            ))
        } else if self.most_refundable(fact.intent.as_ref()).is_some_and(|most| amount > most) {
            let sum = Money { amount, currency: price };
            Some(Words::new(
                format!(
                    "du paiement {charge}, {} ont été remboursés, plus que ce qui a été payé",
                    sum.told(Lang::Fr)
                ),
                format!("of charge {charge}, {} were refunded, more than was paid", sum.told(Lang::En)),
            ))
        } else {
            None
        };
        if let Some(detail) = misfit {
            return self.case(NewCase {
                kind: CaseKind::RefundMismatch,
                key: format!("{}:{}", CaseKind::RefundMismatch, fact.charge),
                session: self.before.session.clone(),
                intent: fact.intent.clone(),
                amount: fact.amount_refunded,
                currency: fact.currency.clone(),
                deadline: None,
                detail,
            });
        }
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
