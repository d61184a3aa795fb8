//! What a dispute does to a booking.

use super::Rules;
use super::decision::{Decision, EffectKind, NewCase};
use super::outcome::Reason;
use super::words::dispute_detail;
use crate::booking::{Dispute, DisputeStatus};
use crate::case::{CaseAbout, CaseKind, Facts};
use crate::event::DisputeFact;
use crate::lang::Words;

impl Rules<'_> {
    pub(super) fn dispute(&self, fact: &DisputeFact) -> Decision {
        let is_odd = fact.is_odd();
        let fact = &DisputeFact { amount: fact.countable(), ..fact.clone() };
        let mut booking = self.before.clone();
        let known = booking.disputes.iter_mut().find(|dispute| dispute.id == fact.id);
        let before = known.as_deref().cloned();
        let is = match known {
            Some(dispute) => {
                dispute.intent = dispute.intent.take().or_else(|| fact.intent.clone());
                // The most of what was named: the same whichever event comes first.
                dispute.amount = dispute.amount.max(fact.amount.unwrap_or(0));
                dispute.currency = dispute.currency.take().max(fact.currency.clone());
                dispute.status = after(dispute.status, fact.status);
                dispute.due_by = dispute.due_by.max(fact.due_by);
                if before.as_ref() == Some(&*dispute) {
                    // It counts whatever is said of its amount; but that Stripe says so is seen by a person.
                    return if is_odd && !self.shows(fact) {
                        self.case(self.odd_case(fact, dispute.status))
                    } else {
                        self.nothing_new(Reason::AlreadyApplied)
                    };
                }
                dispute.clone()
            }
            None => {
                let dispute = Dispute {
                    id: fact.id.clone(),
                    intent: fact.intent.clone(),
                    amount: fact.amount.unwrap_or(0),
                    currency: fact.currency.clone(),
                    status: fact.status,
                    due_by: fact.due_by,
                };
                booking.disputes.push(dispute.clone());
                dispute
            }
        };

        let held_before = before.as_ref().is_some_and(|before| before.status.holds_the_money());
        let mut effects = Vec::new();
        if is.status.holds_the_money() && !held_before {
            effects.push(self.effect(EffectKind::Disputed, fact.id.as_str()));
        }
        let decision = self.applied(booking, Reason::DisputeRecorded, effects);
        if self.is_to_be_seen(before.as_ref(), &is) {
            let detail = if is_odd {
                odd_amount(fact, is.status)
            } else {
                dispute_detail(fact.id.as_str(), is.status)
            };
            return self.with_new_case(decision, self.case_of(fact, is.status, detail));
        }
        if is_odd && !self.shows(fact) {
            return self.with_case(decision, self.odd_case(fact, is.status));
        }
        decision
    }

    /// Whether an open case is about the dispute.
    fn shows(&self, fact: &DisputeFact) -> bool {
        let about = CaseAbout::new(CaseKind::Dispute, &fact.id);
        self.before.cases.iter().any(|known| known.open && known.about == about)
    }

    fn odd_case(&self, fact: &DisputeFact, status: DisputeStatus) -> NewCase {
        let detail = odd_amount(fact, status);
        NewCase { facts: Facts::one("amount"), ..self.case_of(fact, status, detail) }
    }

    /// Whether a person is to see how far the dispute has come. While a case about it is open they do; after that
    /// they must when it comes further, or is about more money.
    fn is_to_be_seen(&self, before: Option<&Dispute>, is: &Dispute) -> bool {
        let calls = is.status.wants_an_answer() || is.status.holds_the_money();
        let risen = before.is_none_or(|before| stage(is.status) > stage(before.status));
        let dearer = before.is_some_and(|before| before.amount > 0 && is.amount > before.amount);
        let about = CaseAbout::new(CaseKind::Dispute, &is.id);
        // A dispute that began as an inquiry is a case of its own: the inquiry's may be closed by then.
        let inquiry = Facts::one(word(DisputeStatus::WarningNeedsResponse));
        let seen = |known: &crate::case::KnownCase| {
            known.open && known.about == about && (known.facts == inquiry) != is.status.holds_the_money()
        };
        calls && (risen || dearer) && !self.before.cases.iter().any(seen)
    }

    /// A case about a dispute of which nothing is taken over.
    pub(super) fn dispute_case(&self, fact: &DisputeFact, detail: Words) -> Decision {
        let case = self.case_of(fact, fact.status, detail);
        let facts = Facts::one(format!("misfit:{}", word(fact.status)));
        self.case(NewCase { facts, amount: None, ..case })
    }

    fn case_of(&self, fact: &DisputeFact, status: DisputeStatus, detail: Words) -> NewCase {
        NewCase {
            about: CaseAbout::new(CaseKind::Dispute, &fact.id),
            facts: Facts::one(word(status)),
            session: self.before.session.clone(),
            intent: fact.intent.clone(),
            amount: fact.amount,
            // A bank may dispute in its customer's currency.
            currency: fact.currency.clone().or_else(|| Some(self.before.price.currency.as_str().to_owned())),
            deadline: fact.due_by,
            detail,
        }
    }
}

fn odd_amount(fact: &DisputeFact, status: DisputeStatus) -> Words {
    let Words { fr, en } = dispute_detail(fact.id.as_str(), status);
    Words::new(
        format!("{fr} et dit un montant qui ne peut pas en être un"),
        format!("{en}, and tells an amount that cannot be one"),
    )
}

/// How far a dispute has come when this is told of it. A decision told after it was contested is that on the
/// contest: Stripe was asked, see [`super::open_question`].
fn after(is: DisputeStatus, told: DisputeStatus) -> DisputeStatus {
    let told = match told {
        DisputeStatus::Lost if is.is_contested() => DisputeStatus::LostAppeal,
        told => told,
    };
    is.max(told)
}

pub(super) fn word(status: DisputeStatus) -> &'static str {
    match status {
        DisputeStatus::WarningNeedsResponse
        | DisputeStatus::WarningUnderReview
        | DisputeStatus::WarningClosed
        | DisputeStatus::Prevented => "inquiry",
        DisputeStatus::NeedsResponse | DisputeStatus::UnderReview => "dispute",
        DisputeStatus::Lost => "lost",
        DisputeStatus::AppealNeedsResponse | DisputeStatus::AppealUnderReview => "appeal",
        DisputeStatus::LostAppeal => "lost_appeal",
        DisputeStatus::Won => "won",
    }
}

/// The stages at each of which a person is to look anew.
fn stage(status: DisputeStatus) -> u8 {
    match status {
        DisputeStatus::WarningNeedsResponse
        | DisputeStatus::WarningUnderReview
        | DisputeStatus::WarningClosed
        | DisputeStatus::Prevented => 0,
        DisputeStatus::NeedsResponse | DisputeStatus::UnderReview => 1,
        DisputeStatus::Lost => 2,
        DisputeStatus::AppealNeedsResponse | DisputeStatus::AppealUnderReview => 3,
        DisputeStatus::LostAppeal => 4,
        DisputeStatus::Won => 5,
    }
}
