//! `/v1/events`

use super::lists::{self, List};
use super::{Answer, Call};
use crate::deliveries;
use crate::error::StripeError;
use crate::model::Event;
use crate::objects;
use crate::world::{EVENT_SECONDS, World, younger_than};

const LIST: List<'static> = List { what: "event", url: "/v1/events" };

fn find<'w>(world: &'w World, id: &str) -> Result<&'w Event, StripeError> {
    let since = world.now() - EVENT_SECONDS;
    let event = world.events.get(id).filter(|e| younger_than(*e, since));
    event.ok_or_else(|| StripeError::no_such("event", id, "id"))
}

pub(crate) fn retrieve(world: &mut World, call: &Call) -> Answer {
    Ok(objects::event(world, find(world, &call.id)?))
}

pub(crate) fn retry(world: &mut World, call: &Call) -> Answer {
    find(world, &call.id)?;
    let endpoint = call.params.text("webhook_endpoint");
    if let Some(id) = endpoint.filter(|id| world.endpoints.get(id).is_none()) {
        return Err(StripeError::no_such("webhook_endpoint", id, "webhook_endpoint").with_status(400));
    }
    deliveries::resend(world, &call.id, endpoint);
    Ok(objects::event(world, find(world, &call.id)?))
}

pub(crate) fn list(world: &mut World, call: &Call) -> Answer {
    let p = &call.params;
    if p.has("type") && p.has("types") {
        let message = "You may only specify one of these parameters: type, types.";
        return Err(StripeError::invalid("types", Some("parameters_exclusive"), message));
    }
    let types = p.texts("types");
    let since = world.now() - EVENT_SECONDS;
    let fits = |pattern: &str, kind: &str| match pattern.strip_suffix('*') {
        Some(prefix) => kind.starts_with(prefix),
        None => pattern == kind,
    };
    let world = &*world;
    lists::page(
        &world.events,
        call,
        LIST,
        |e| {
            younger_than(e, since)
                && p.text("type").is_none_or(|pattern| fits(pattern, &e.kind))
                && (types.is_empty() || types.iter().any(|t| fits(t, &e.kind)))
                && p.flag("delivery_success")
                    .is_none_or(|wanted| deliveries::succeeded(world, &e.id) == wanted)
        },
        |e| objects::event(world, e),
    )
}
