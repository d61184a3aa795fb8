//! `/v1/webhook_endpoints`

use super::lists::{self, List};
use super::{Answer, Call, shown};
use crate::error::{StripeError, clip};
use crate::model::Endpoint;
use crate::world::World;
use crate::{ids, objects, rules, versions};
use serde_json::json;

const LIST: List<'static> = List { what: "webhook endpoint", url: "/v1/webhook_endpoints" };
/// The kinds that an endpoint may ask for, as the declarations of the Node library list them.
const EVENTS: &str = include_str!("../events.txt");
/// A test account may have so many, as at Stripe.
const MAX_ENDPOINTS: usize = 16;

fn missing(id: &str) -> StripeError {
    StripeError::no_such("webhook endpoint", id, "id")
}

pub(crate) fn create(world: &mut World, call: &Call) -> Answer {
    let p = &call.params;
    if world.endpoints.len() >= MAX_ENDPOINTS {
        let message = format!("You have reached the maximum of {MAX_ENDPOINTS} test webhook endpoints.");
        return Err(StripeError::state(None, message));
    }
    if let Some(version) = p.text("api_version").filter(|version| !versions::is_version(version)) {
        let message = format!("Invalid Stripe API version: {}", clip(version));
        return Err(StripeError::invalid("api_version", None, message));
    }
    let endpoint = Endpoint {
        id: ids::object("we"),
        created: world.now(),
        url: p.owned("url").unwrap_or_default(),
        secrets: vec![ids::webhook_secret()],
        enabled_events: checked_events(p.texts("enabled_events"))?,
        enabled: true,
        description: p.owned("description"),
        api_version: p.owned("api_version"),
        metadata: rules::new_metadata(p.get("metadata")),
    };
    let answer = objects::endpoint(&endpoint, true);
    world.endpoints.insert(endpoint);
    Ok(answer)
}

fn checked_events(events: Vec<String>) -> Result<Vec<String>, StripeError> {
    if events.is_empty() {
        return Err(StripeError::missing("enabled_events"));
    }
    let known = |name: &str| name == "*" || EVENTS.lines().any(|event| event == name);
    match events.iter().position(|name| !known(name)) {
        Some(at) => {
            let message = format!(
                "Invalid enabled_events[{at}]: must be one of {}, or *",
                EVENTS.lines().collect::<Vec<_>>().join(", ")
            );
            Err(StripeError::invalid(&format!("enabled_events[{at}]"), None, message))
        }
        None => Ok(events),
    }
}

pub(crate) fn retrieve(world: &mut World, call: &Call) -> Answer {
    world.endpoints.get(&call.id).map(|e| objects::endpoint(e, false)).ok_or_else(|| missing(&call.id))
}

pub(crate) fn update(world: &mut World, call: &Call) -> Answer {
    let p = &call.params;
    let events =
        if p.has("enabled_events") { Some(checked_events(p.texts("enabled_events"))?) } else { None };
    let endpoint = world.endpoints.get_mut(&call.id).ok_or_else(|| missing(&call.id))?;
    if let Some(events) = events {
        endpoint.enabled_events = events;
    }
    if let Some(url) = p.owned("url") {
        endpoint.url = url;
    }
    if let Some(disabled) = p.flag("disabled") {
        endpoint.enabled = !disabled;
    }
    if p.has("description") {
        endpoint.description = p.owned("description");
    }
    rules::merge_metadata(&mut endpoint.metadata, p.get("metadata"));
    shown(world, &call.id)
}

pub(crate) fn delete(world: &mut World, call: &Call) -> Answer {
    world.endpoints.remove(&call.id).ok_or_else(|| missing(&call.id))?;
    Ok(json!({ "id": call.id, "object": "webhook_endpoint", "deleted": true }))
}

pub(crate) fn list(world: &mut World, call: &Call) -> Answer {
    lists::page(&world.endpoints, call, LIST, |_| true, |e| objects::endpoint(e, false))
}
