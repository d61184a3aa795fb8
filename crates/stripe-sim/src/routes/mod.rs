//! The endpoints: parameters in, rules applied, object out. The table of them all is `api::ROUTES`.

pub(crate) mod account;
pub(crate) mod catalog;
pub(crate) mod charges;
pub(crate) mod disputes;
pub(crate) mod events;
pub(crate) mod intents;
pub(crate) mod keep;
pub(crate) mod links;
pub(crate) mod lists;
pub(crate) mod refunds;
pub(crate) mod search;
pub(crate) mod sessions;
pub(crate) mod shop;
pub(crate) mod webhooks;

use super::error::StripeError;
use super::schema::Params;
use super::world::World;
use serde_json::Value;

/// One request, checked.
#[derive(Debug, Default)]
pub(crate) struct Call {
    /// The id in the path; empty if the path has none.
    pub id: String,
    pub params: Params,
    /// `Stripe-Version` of the request, or the newest.
    pub version: String,
}

/// What an endpoint answers.
pub(crate) type Answer = Result<Value, StripeError>;

/// The object with this id as the answer, after a change to it.
fn shown(world: &World, id: &str) -> Answer {
    world.object(id).ok_or_else(|| StripeError::no_such("object", id, "id"))
}
