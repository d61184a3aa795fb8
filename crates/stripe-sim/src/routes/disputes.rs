//! `/v1/disputes`

use super::lists::{self, List};
use super::{Answer, Call, shown};
use crate::error::StripeError;
use crate::objects;
use crate::rules::disputes;
use crate::world::World;

const LIST: List<'static> = List { what: "dispute", url: "/v1/disputes" };

fn missing(id: &str) -> StripeError {
    StripeError::no_such("dispute", id, "id")
}

pub(crate) fn retrieve(world: &mut World, call: &Call) -> Answer {
    world.disputes.get(&call.id).map(|d| objects::dispute(world, d)).ok_or_else(|| missing(&call.id))
}

pub(crate) fn update(world: &mut World, call: &Call) -> Answer {
    let p = &call.params;
    let mut evidence = p.object("evidence").into_map();
    // Evidence that has members of its own is taken unread, and shown nowhere.
    evidence.retain(|name, _| !matches!(name.as_str(), "appeal" | "enhanced_evidence"));
    let known = |name: &str| objects::EVIDENCE.contains(&name);
    let unknown: Vec<String> =
        evidence.keys().filter(|name| !known(name)).map(|name| format!("evidence[{name}]")).collect();
    if !unknown.is_empty() {
        return Err(StripeError::unknown_parameters(&unknown));
    }
    // Stripe submits what is handed in unless it is told to wait.
    let submit = p.flag("submit").unwrap_or(true);
    disputes::update(world, &call.id, evidence, submit, p.get("metadata"))?;
    shown(world, &call.id)
}

pub(crate) fn close(world: &mut World, call: &Call) -> Answer {
    disputes::close(world, &call.id, false)?;
    shown(world, &call.id)
}

pub(crate) fn list(world: &mut World, call: &Call) -> Answer {
    let p = &call.params;
    let world = &*world;
    lists::page(
        &world.disputes,
        call,
        LIST,
        |d| {
            lists::fits(p, "charge", Some(&d.charge))
                && lists::fits(p, "payment_intent", d.payment_intent.as_deref())
        },
        |d| objects::dispute(world, d),
    )
}
