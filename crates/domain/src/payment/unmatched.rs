//! What an event means that names no booking known here.

use super::outcome::{Outcome, Reason};
use crate::event::Event;
use crate::ids::InstanceId;

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
