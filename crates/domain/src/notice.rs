//! What whoever runs the shop is told of a case without having to look.

use clock::Timestamp;
use std::time::Duration;

/// How long before its deadline a case is told of once more.
pub const BEFORE_DEADLINE: Duration = Duration::from_secs(3 * 86_400);

/// What is told of a case, each once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CaseNotice {
    /// It was opened.
    Opened,
    /// The time in which a dispute can be answered is nearly over.
    Deadline,
}

impl CaseNotice {
    /// Every notice.
    pub const ALL: [Self; 2] = [Self::Opened, Self::Deadline];

    /// As the database and the notifications write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Opened => "case.opened",
            Self::Deadline => "dispute.deadline",
        }
    }

    /// From its exact text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|notice| notice.as_str() == text)
    }

    /// Whether there is still something to be told: a case that was closed meanwhile needs nobody, nor does a
    /// deadline that has passed or gone. `deadline`: until when somebody has to answer, if they have.
    #[must_use]
    pub fn is_due(self, closed: bool, deadline: Option<Timestamp>, now: Timestamp) -> bool {
        let near = |deadline: Timestamp| now < deadline && deadline <= now.plus(BEFORE_DEADLINE);
        match self {
            Self::Opened => !closed,
            Self::Deadline => !closed && deadline.is_some_and(near),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_case_that_nobody_has_to_decide_nothing_is_told() {
        let now = Timestamp::from_unix_seconds(1_795_000_000);
        let hours = |hours: i64| Timestamp::from_unix_seconds(1_795_000_000 + hours * 3600);
        for (notice, closed, deadline, due) in [
            (CaseNotice::Opened, false, None, true),
            (CaseNotice::Opened, false, Some(hours(-1)), true),
            (CaseNotice::Opened, true, Some(hours(1)), false),
            (CaseNotice::Deadline, false, Some(hours(1)), true),
            (CaseNotice::Deadline, false, Some(hours(72)), true),
            (CaseNotice::Deadline, false, Some(hours(73)), false),
            (CaseNotice::Deadline, false, Some(hours(0)), false),
            (CaseNotice::Deadline, false, Some(hours(-1)), false),
            (CaseNotice::Deadline, false, None, false),
            (CaseNotice::Deadline, true, Some(hours(1)), false),
        ] {
            assert_eq!(notice.is_due(closed, deadline, now), due, "{notice:?} {closed} {deadline:?}");
        }
    }
}
