//! `/v1/refunds`

use super::lists::{self, List};
use super::{Answer, Call, shown};
use crate::error::StripeError;
use crate::model::Refund;
use crate::rules::refunds::{self, NewRefund};
use crate::world::World;
use crate::{objects, rules};

const LIST: List<'static> = List { what: "refund", url: "/v1/refunds" };

fn missing(id: &str) -> StripeError {
    StripeError::no_such("refund", id, "id")
}

pub(crate) fn create(world: &mut World, call: &Call) -> Answer {
    let p = &call.params;
    let id = refunds::create(
        world,
        NewRefund {
            charge: p.owned("charge"),
            payment_intent: p.owned("payment_intent"),
            amount: p.int("amount"),
            reason: p.owned("reason"),
            metadata: rules::new_metadata(p.get("metadata")),
        },
    )?;
    shown(world, &id)
}

pub(crate) fn retrieve(world: &mut World, call: &Call) -> Answer {
    world.refunds.get(&call.id).map(objects::refund).ok_or_else(|| missing(&call.id))
}

pub(crate) fn update(world: &mut World, call: &Call) -> Answer {
    let refund = world.refunds.get_mut(&call.id).ok_or_else(|| missing(&call.id))?;
    let before = objects::refund(refund);
    rules::merge_metadata(&mut refund.metadata, call.params.get("metadata"));
    world.emit_change("refund.updated", &call.id, &before);
    world.emit_change("charge.refund.updated", &call.id, &before);
    shown(world, &call.id)
}

pub(crate) fn cancel(world: &mut World, call: &Call) -> Answer {
    refunds::cancel(world, &call.id)?;
    shown(world, &call.id)
}

pub(crate) fn list(world: &mut World, call: &Call) -> Answer {
    let p = &call.params;
    let keep = |r: &Refund| {
        lists::fits(p, "charge", Some(&r.charge))
            && lists::fits(p, "payment_intent", r.payment_intent.as_deref())
    };
    lists::page(&world.refunds, call, LIST, keep, objects::refund)
}

/// `GET /v1/charges/{id}/refunds`, the older way to ask.
pub(crate) fn of_charge(world: &mut World, call: &Call) -> Answer {
    let url = format!("/v1/charges/{}/refunds", call.id);
    let list = List { what: "refund", url: &url };
    lists::page(&world.refunds, call, list, |r| r.charge == call.id, objects::refund)
}
