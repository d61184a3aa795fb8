//! Cases: money that does not fit, for a person to look at.

use super::lang::Lang;
use super::refund::RequestState;
use super::role::Role;
use std::fmt;

/// What a case is about: what does not fit, and the thing of Stripe's that it does not fit with.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CaseAbout {
    /// What does not fit.
    pub kind: CaseKind,
    /// The id of the session, payment, refund, charge or dispute.
    pub subject: String,
}

impl CaseAbout {
    /// A case of this kind about this thing.
    pub fn new(kind: CaseKind, subject: impl fmt::Display) -> Self {
        Self { kind, subject: subject.to_string() }
    }
}

/// What was told about a case's subject, in the words by which a further fact is told from a copy.
///
/// A case is opened for what was told. When more is told about the same subject, a person must see that too, even
/// if they closed the case by then; a copy of what they have seen must not bother them again.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Facts(Vec<String>);

impl Facts {
    /// One fact.
    pub fn one(word: impl Into<String>) -> Self {
        Self(vec![word.into()])
    }

    /// As the database writes them.
    #[must_use]
    pub fn as_text(&self) -> String {
        self.0.join(" ")
    }

    /// From the database. Of cases of before version 9 nothing is known.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        Self(text.split_ascii_whitespace().map(str::to_owned).collect())
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// Adds those that are not among them.
    pub fn add(&mut self, more: &Self) {
        for word in &more.0 {
            if !self.0.contains(word) {
                self.0.push(word.clone());
            }
        }
    }

    /// Whether nothing is known: then it is taken for a copy, as it always was.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether each of `others` is among them, or was gone beyond.
    #[must_use]
    pub fn cover(&self, others: &Self) -> bool {
        self.is_empty()
            || others.iter().all(|other| {
                self.iter().any(|known| {
                    let beyond =
                        |(known, other): ((&str, u8), (&str, u8))| known.0 == other.0 && known.1 > other.1;
                    known == other || stage(known).zip(stage(other)).is_some_and(beyond)
                })
            })
    }
}

/// How far a story has come at this word, if it is one of a story's.
fn stage(word: &str) -> Option<(&'static str, u8)> {
    Some(match word {
        "processing" => ("session", 1),
        "ended" => ("session", 2),
        "paid" => ("session", 3),
        "out" => ("refund", 1),
        "back" => ("refund", 2),
        "inquiry" => ("dispute", 1),
        "dispute" => ("dispute", 2),
        "lost" => ("dispute", 3),
        "appeal" => ("dispute", 4),
        "lost_appeal" => ("dispute", 5),
        _ => return None,
    })
}

/// A case that was opened about a booking, or about a payment whose booking is not known.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KnownCase {
    /// What it is about.
    pub about: CaseAbout,
    /// What was told of that.
    pub facts: Facts,
    /// The amount at stake.
    pub amount: Option<i64>,
    /// Its currency.
    pub currency: Option<String>,
    /// Whether nobody has closed it.
    pub open: bool,
}

impl KnownCase {
    /// Whether a person who has seen this case has seen that, too. What is not said differs from nothing.
    #[must_use]
    pub fn tells(
        &self,
        about: &CaseAbout,
        facts: &Facts,
        amount: Option<i64>,
        currency: Option<&str>,
    ) -> bool {
        let same_amount = self.amount.zip(amount).is_none_or(|(known, told)| known == told);
        let same_currency = self
            .currency
            .as_deref()
            .zip(currency)
            .is_none_or(|(known, told)| known.eq_ignore_ascii_case(told));
        self.about == *about && self.facts.cover(facts) && same_amount && same_currency
    }
}

/// What does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CaseKind {
    /// Paid, but not the price.
    AmountMismatch,
    /// Paid, but in another currency.
    CurrencyMismatch,
    /// The session is no payment.
    ModeMismatch,
    /// The session belongs to another booking than the one it names.
    SessionMismatch,
    /// The event and the state of its session contradict each other.
    StateMismatch,
    /// A test event for a live key, or the reverse.
    LivemodeMismatch,
    /// A second session of the same booking was paid.
    PaidTwice,
    /// Paid after the hold was lost, and the slot is full.
    LatePayment,
    /// Ours, but its booking has not turned up for an hour.
    UnknownBooking,
    /// A refund that cannot be one of this payment: its amount or currency.
    RefundMismatch,
    /// A refund did not reach the customer.
    RefundFailed,
    /// A dispute wants an answer before its deadline.
    Dispute,
    /// Stripe does not know the session that was to pay a booking.
    SessionUnknown,
}

impl CaseKind {
    /// Every kind.
    pub const ALL: [Self; 13] = [
        Self::AmountMismatch,
        Self::CurrencyMismatch,
        Self::ModeMismatch,
        Self::SessionMismatch,
        Self::StateMismatch,
        Self::LivemodeMismatch,
        Self::PaidTwice,
        Self::LatePayment,
        Self::UnknownBooking,
        Self::RefundMismatch,
        Self::RefundFailed,
        Self::Dispute,
        Self::SessionUnknown,
    ];

    /// As the database and the API write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AmountMismatch => "amount_mismatch",
            Self::CurrencyMismatch => "currency_mismatch",
            Self::ModeMismatch => "mode_mismatch",
            Self::SessionMismatch => "session_mismatch",
            Self::StateMismatch => "state_mismatch",
            Self::LivemodeMismatch => "livemode_mismatch",
            Self::PaidTwice => "paid_twice",
            Self::LatePayment => "late_payment",
            Self::UnknownBooking => "unknown_booking",
            Self::RefundMismatch => "refund_mismatch",
            Self::RefundFailed => "refund_failed",
            Self::Dispute => "dispute",
            Self::SessionUnknown => "session_unknown",
        }
    }

    /// From its exact text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

impl fmt::Display for CaseKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a person can do about a case. The list is closed: nothing else settles one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CaseAction {
    /// Take the payment as it is: it pays the booking.
    Accept,
    /// Give the payment back that the case is about, and no other.
    Refund,
    /// Take a seat again, now that one is left: the payment pays the booking.
    Reseat,
    /// Say which booking the payment is for.
    Attach,
    /// Nothing needs to be done, for a reason that is written down.
    Dismiss,
}

impl CaseAction {
    /// Every action.
    pub const ALL: [Self; 5] = [Self::Accept, Self::Refund, Self::Reseat, Self::Attach, Self::Dismiss];

    /// As the database and the API write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::Refund => "refund",
            Self::Reseat => "reseat",
            Self::Attach => "attach",
            Self::Dismiss => "dismiss",
        }
    }

    /// From its exact text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.as_str() == text)
    }

    /// Who may do it: what moves money, or keeps money that did not fit, is for an ADMIN.
    #[must_use]
    pub fn needs(self) -> Role {
        match self {
            Self::Accept | Self::Refund => Role::Admin,
            Self::Reseat | Self::Attach | Self::Dismiss => Role::Ops,
        }
    }

    /// What it does, for the person who chooses.
    #[must_use]
    pub fn sentence(self, lang: Lang) -> &'static str {
        let (fr, en) = match self {
            Self::Accept => (
                "Accepter le paiement tel quel : la réservation est payée.",
                "Accept the payment as it is: the booking is paid.",
            ),
            Self::Refund => ("Rembourser ce paiement.", "Refund this payment."),
            Self::Reseat => {
                ("Reprendre une place : la réservation est payée.", "Take a seat again: the booking is paid.")
            }
            Self::Attach => ("Rattacher le paiement à une réservation.", "Attach the payment to a booking."),
            Self::Dismiss => ("Classer, avec un motif.", "Dismiss, with a reason."),
        };
        lang.pick(fr, en)
    }
}

/// Why an action on a case is not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotNow {
    /// The kind has no such action.
    NotAnAction,
    /// The role does not suffice.
    NeedsRole(Role),
    /// It was closed, by another action or by none that we know.
    Closed,
    /// A refund of its payment is under way: what it comes to is not known yet.
    RefundUnderWay,
}

/// What an action on a case is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Go {
    /// What it says.
    Act,
    /// Nothing: this action closed the case before.
    DoneBefore,
    /// Nothing more: this very refund is under way.
    UnderWay,
}

/// How a case stands, as its locked row and the refund requests of its payment say.
#[derive(Debug, Clone, Copy)]
pub struct CaseStands<'a> {
    /// What does not fit.
    pub kind: CaseKind,
    /// By what it was closed; none while it is open.
    pub closed_by: Option<&'a str>,
    /// Its own last refund request.
    pub refund: Option<RequestState>,
    /// Whether any other refund request of the same payment is open.
    pub payment_is_going_back: bool,
}

/// Whether a person with this role may take an action on a case now.
///
/// # Errors
/// Why not.
pub fn may(stands: CaseStands<'_>, action: CaseAction, role: Role) -> Result<Go, NotNow> {
    if !stands.kind.actions().contains(&action) {
        return Err(NotNow::NotAnAction);
    }
    if !role.allows(action.needs()) {
        return Err(NotNow::NeedsRole(action.needs()));
    }
    if let Some(by) = stands.closed_by {
        return if by == action.as_str() { Ok(Go::DoneBefore) } else { Err(NotNow::Closed) };
    }
    let own = stands.refund == Some(RequestState::Open);
    match action {
        CaseAction::Refund if own => Ok(Go::UnderWay),
        // Which of two requests gets how much of a payment is settled with the sums in hand.
        CaseAction::Refund => Ok(Go::Act),
        CaseAction::Dismiss if own => Err(NotNow::RefundUnderWay),
        CaseAction::Dismiss => Ok(Go::Act),
        CaseAction::Accept | CaseAction::Reseat | CaseAction::Attach
            if own || stands.payment_is_going_back =>
        {
            Err(NotNow::RefundUnderWay)
        }
        CaseAction::Accept | CaseAction::Reseat | CaseAction::Attach => Ok(Go::Act),
    }
}

impl CaseKind {
    /// Whether it is about money that came for a booking, and did not pay it.
    #[must_use]
    pub fn is_about_a_payment(self) -> bool {
        match self {
            Self::AmountMismatch
            | Self::CurrencyMismatch
            | Self::ModeMismatch
            | Self::SessionMismatch
            | Self::StateMismatch
            | Self::PaidTwice
            | Self::LatePayment => true,
            // Money of the other mode is none.
            Self::LivemodeMismatch
            | Self::UnknownBooking
            | Self::RefundMismatch
            | Self::RefundFailed
            | Self::Dispute
            | Self::SessionUnknown => false,
        }
    }

    /// What can be done about a case of this kind.
    #[must_use]
    pub fn actions(self) -> &'static [CaseAction] {
        use CaseAction::{Accept, Attach, Dismiss, Refund, Reseat};
        match self {
            Self::AmountMismatch => &[Accept, Refund, Dismiss],
            // Money in another currency cannot be counted as this booking's.
            Self::CurrencyMismatch | Self::SessionMismatch | Self::PaidTwice => &[Refund, Dismiss],
            // Nothing of ours to do: what counts is what Stripe's dashboard shows.
            Self::ModeMismatch
            | Self::StateMismatch
            | Self::LivemodeMismatch
            | Self::RefundMismatch
            | Self::Dispute
            | Self::SessionUnknown => &[Dismiss],
            Self::LatePayment => &[Reseat, Refund, Dismiss],
            Self::UnknownBooking => &[Attach, Refund, Dismiss],
            Self::RefundFailed => &[Refund, Dismiss],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_whose_refund_is_under_way_takes_no_other_action() {
        use RequestState::{Done, Open, Refused};
        for kind in CaseKind::ALL {
            for action in CaseAction::ALL {
                for refund in [None, Some(Open), Some(Done), Some(Refused)] {
                    for other in [false, true] {
                        let stands =
                            CaseStands { kind, closed_by: None, refund, payment_is_going_back: other };
                        let said = may(stands, action, Role::Admin);
                        let takes_the_money =
                            matches!(action, CaseAction::Accept | CaseAction::Reseat | CaseAction::Attach);
                        let expected = if !kind.actions().contains(&action) {
                            Err(NotNow::NotAnAction)
                        } else if refund == Some(Open) && action == CaseAction::Refund {
                            Ok(Go::UnderWay)
                        } else if refund == Some(Open) || (other && takes_the_money) {
                            Err(NotNow::RefundUnderWay)
                        } else {
                            Ok(Go::Act)
                        };
                        assert_eq!(said, expected, "{kind} {action:?} {refund:?} {other}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_closed_case_takes_its_own_action_again_and_no_other() {
        let stands = |closed_by| CaseStands {
            kind: CaseKind::LatePayment,
            closed_by: Some(closed_by),
            refund: Some(RequestState::Done),
            payment_is_going_back: false,
        };
        assert_eq!(may(stands("refund"), CaseAction::Refund, Role::Admin), Ok(Go::DoneBefore));
        assert_eq!(may(stands("refund"), CaseAction::Reseat, Role::Admin), Err(NotNow::Closed));
        assert_eq!(may(stands("refund"), CaseAction::Refund, Role::Ops), Err(NotNow::NeedsRole(Role::Admin)));
    }

    #[test]
    fn what_was_told_is_written_down_once_and_read_back() {
        let mut facts = Facts::one("processing");
        facts.add(&Facts::parse("processing paid"));
        facts.add(&Facts::parse("paid"));
        assert_eq!(facts.as_text(), "processing paid");
        assert_eq!(Facts::parse(&facts.as_text()), facts);
    }

    #[test]
    fn each_word_of_a_story_covers_what_came_before_it_and_itself() {
        for story in [
            vec!["processing", "ended", "paid"],
            vec!["out", "back"],
            vec!["inquiry", "dispute", "lost", "appeal", "lost_appeal"],
        ] {
            for (n, known) in story.iter().enumerate() {
                for (m, told) in story.iter().enumerate() {
                    assert_eq!(Facts::one(*known).cover(&Facts::one(*told)), m <= n, "{known} and {told}");
                }
                assert!(!Facts::one(*known).cover(&Facts::one("unheard of")));
                assert!(!Facts::one("unheard of").cover(&Facts::one(*known)));
            }
        }
    }

    #[test]
    fn a_copy_is_told_from_a_further_fact() {
        let about = CaseAbout::new(CaseKind::AmountMismatch, "cs_1");
        let case = |facts: &str| KnownCase {
            about: about.clone(),
            facts: Facts::parse(facts),
            amount: Some(5000),
            currency: Some("eur".into()),
            open: false,
        };
        let tells = |known: &str, told: &str, amount, currency| {
            case(known).tells(&about, &Facts::parse(told), amount, currency)
        };
        assert!(tells("paid", "paid", Some(5000), Some("EUR")));
        assert!(tells("paid", "paid", None, None), "what is not said differs from nothing");
        assert!(tells("paid", "processing", Some(5000), None), "it has gone beyond that");
        assert!(!tells("processing", "paid", Some(5000), None));
        assert!(!tells("paid", "paid", Some(5001), None));
        assert!(!tells("out", "back", Some(5000), None));
        assert!(!tells("paid", "back", Some(5000), None), "of another story");
        assert!(tells("", "anything", Some(5000), None), "of before version 9");
        let other = CaseAbout::new(CaseKind::AmountMismatch, "cs_2");
        assert!(!case("paid").tells(&other, &Facts::one("paid"), None, None));
    }
}
