//! What a dispute does to a booking.

use super::Rules;
use super::decision::{Decision, EffectKind, NewCase};
use super::outcome::Reason;
use super::words::dispute_detail;
use crate::booking::Dispute;
use crate::case::CaseKind;
use crate::event::DisputeFact;

impl Rules<'_> {
    pub(super) fn dispute(&self, fact: &DisputeFact) -> Decision {
        let mut booking = self.before.clone();
        let known = booking.disputes.iter_mut().find(|dispute| dispute.id == fact.id);
        let held_before = known.as_ref().is_some_and(|dispute| dispute.status.holds_the_money());
        let is = match known {
            Some(dispute) => {
                let before = dispute.clone();
                dispute.intent = dispute.intent.take().or_else(|| fact.intent.clone());
                // The most of what was named: the same whichever event comes first.
                dispute.amount = dispute.amount.max(fact.amount.unwrap_or(0));
                dispute.currency = dispute.currency.take().max(fact.currency.clone());
                dispute.status = dispute.status.max(fact.status);
                dispute.due_by = dispute.due_by.max(fact.due_by);
                if *dispute == before {
                    return self.nothing_new(Reason::AlreadyApplied);
                }
                dispute.status
            }
            None => {
                booking.disputes.push(Dispute {
                    id: fact.id.clone(),
                    intent: fact.intent.clone(),
                    amount: fact.amount.unwrap_or(0),
                    currency: fact.currency.clone(),
                    status: fact.status,
                    due_by: fact.due_by,
                });
                fact.status
            }
        };

        let mut effects = Vec::new();
        if is.holds_the_money() && !held_before {
            effects.push(self.effect(EffectKind::Disputed, fact.id.as_str()));
        }
        let mut decision = self.applied(booking, Reason::DisputeRecorded, effects);
        // A dispute that began as an inquiry is a case of its own: the inquiry's may be closed by then.
        let inquiry = if is.holds_the_money() { "" } else { ":inquiry" };
        let key = format!("{}:{}{inquiry}", CaseKind::Dispute, fact.id);
        if (is.wants_an_answer() || is.holds_the_money()) && !self.before.cases.contains(&key) {
            decision.booking.cases.push(key.clone());
            decision.case = Some(NewCase {
                kind: CaseKind::Dispute,
                key,
                session: decision.booking.session.clone(),
                intent: fact.intent.clone(),
                amount: fact.amount,
                // A bank may dispute in its customer's currency.
                currency: fact
                    .currency
                    .clone()
                    .or_else(|| Some(self.before.price.currency.as_str().to_owned())),
                deadline: fact.due_by,
                detail: dispute_detail(fact.id.as_str(), is),
            });
        }
        decision
    }
}
