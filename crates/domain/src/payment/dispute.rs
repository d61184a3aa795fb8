//! What a dispute does to a booking.

use super::Rules;
use super::decision::{Decision, EffectKind, NewCase};
use super::outcome::Reason;
use super::words::dispute_detail;
use crate::booking::{Dispute, DisputeStatus};
use crate::case::CaseKind;
use crate::event::DisputeFact;
use crate::lang::Words;

impl Rules<'_> {
    pub(super) fn dispute(&self, fact: &DisputeFact) -> Decision {
        let mut booking = self.before.clone();
        let known = booking.disputes.iter_mut().find(|dispute| dispute.id == fact.id);
        let held_before = known.as_ref().is_some_and(|dispute| dispute.status.holds_the_money());
        let amount = fact.countable().unwrap_or(0);
        let odd = fact.is_odd() && !self.has_case_about(fact);
        let is = match known {
            Some(dispute) => {
                let before = dispute.clone();
                dispute.intent = dispute.intent.take().or_else(|| fact.intent.clone());
                // The most of what was named: the same whichever event comes first.
                dispute.amount = dispute.amount.max(amount);
                dispute.currency = dispute.currency.take().max(fact.currency.clone());
                dispute.status = dispute.status.max(fact.status);
                dispute.due_by = dispute.due_by.max(fact.due_by);
                if *dispute == before && odd {
                    let detail = odd_amount(fact, dispute.status);
                    let key = format!("{}:{}{ODD}", CaseKind::Dispute, fact.id);
                    return self.case(self.dispute_case(fact, key, detail));
                }
                if *dispute == before {
                    return self.nothing_new(Reason::AlreadyApplied);
                }
                dispute.status
            }
            None => {
                booking.disputes.push(Dispute {
                    id: fact.id.clone(),
                    intent: fact.intent.clone(),
                    amount,
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
        let mut key = format!("{}:{}{inquiry}", CaseKind::Dispute, fact.id);
        let mut due = (is.wants_an_answer() || is.holds_the_money()) && !self.before.cases.contains(&key);
        if odd && !due {
            (key, due) = (format!("{}:{}{ODD}", CaseKind::Dispute, fact.id), true);
        }
        if due {
            let detail = if odd { odd_amount(fact, is) } else { dispute_detail(fact.id.as_str(), is) };
            decision.booking.cases.push(key.clone());
            decision.case = Some(self.dispute_case(fact, key, detail));
        }
        decision
    }

    fn dispute_case(&self, fact: &DisputeFact, key: String, detail: Words) -> NewCase {
        // A bank may dispute in its customer's currency.
        let own = || self.before.price.currency.as_str().to_owned();
        NewCase {
            kind: CaseKind::Dispute,
            key,
            session: self.before.session.clone(),
            intent: fact.intent.clone(),
            amount: fact.countable(),
            currency: Some(fact.currency.clone().unwrap_or_else(own)),
            deadline: fact.due_by,
            detail,
        }
    }

    /// Whether a person was told of the dispute, whatever of it.
    fn has_case_about(&self, fact: &DisputeFact) -> bool {
        let of = format!("{}:{}", CaseKind::Dispute, fact.id);
        let about =
            |key: &String| key.strip_prefix(&of).is_some_and(|rest| ["", ":inquiry", ODD].contains(&rest));
        self.before.cases.iter().any(about)
    }
}

/// What the key of a case ends with that is only about a dispute's amount.
const ODD: &str = ":amount";

fn odd_amount(fact: &DisputeFact, status: DisputeStatus) -> Words {
    let Words { fr, en } = dispute_detail(fact.id.as_str(), status);
    Words::new(
        format!("{fr} et dit un montant qui ne peut pas en être un"),
        format!("{en}, and tells an amount that cannot be one"),
    )
}
