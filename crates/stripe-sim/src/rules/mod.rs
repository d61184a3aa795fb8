//! What may happen to objects, and which events tell of it, in Stripe's order.
//!
//! Every function here changes a [`World`](super::world::World) that is in a change; none does I/O.

pub(crate) mod disputes;
pub(crate) mod payments;
pub(crate) mod refunds;
pub(crate) mod sessions;
pub(crate) mod setups;
pub(crate) mod totals;

use super::model::Metadata;
use serde_json::Value;

/// Merges checked `metadata` into what is kept: null deletes a key, and null for all deletes all.
pub(crate) fn merge_metadata(kept: &mut Metadata, sent: Option<&Value>) {
    match sent {
        Some(Value::Null) => kept.clear(),
        Some(Value::Object(entries)) => {
            for (key, value) in entries {
                match value.as_str() {
                    Some(text) => {
                        kept.insert(key.clone(), text.to_owned());
                    }
                    None => {
                        kept.remove(key);
                    }
                }
            }
        }
        _ => {}
    }
}

/// How many entries there may be after an update.
const MAX_METADATA: usize = 50;

/// Whether an object's metadata has too many entries once `sent` is merged; then how many.
pub(crate) fn too_much_metadata(object: &Value, sent: Option<&Value>) -> Option<usize> {
    let mut kept: Metadata = serde_json::from_value(object.get("metadata")?.clone()).ok()?;
    merge_metadata(&mut kept, sent);
    (kept.len() > MAX_METADATA).then_some(kept.len())
}

/// `metadata` of a new object.
pub(crate) fn new_metadata(sent: Option<&Value>) -> Metadata {
    let mut metadata = Metadata::new();
    merge_metadata(&mut metadata, sent);
    metadata
}
