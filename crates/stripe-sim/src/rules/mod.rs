//! What may happen to objects, and which events tell of it, in Stripe's order.
//!
//! Every function here changes a [`World`](super::world::World) that is in a change; none does I/O.

pub(crate) mod disputes;
pub(crate) mod payments;
pub(crate) mod refunds;
pub(crate) mod sessions;

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

/// `metadata` of a new object.
pub(crate) fn new_metadata(sent: Option<&Value>) -> Metadata {
    let mut metadata = Metadata::new();
    merge_metadata(&mut metadata, sent);
    metadata
}
