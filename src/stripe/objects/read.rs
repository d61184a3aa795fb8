//! Members of an object, each read so that nothing but its own value is lost.

use super::{METADATA_BOOKING, METADATA_INSTANCE};
use clock::Timestamp;
use domain::event::Claim;
use domain::ids::{BookingId, PaymentIntentId};
use serde_json::Value;

/// An amount of money in minor units, as it was said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Amount {
    /// Absent or null: that can be asked for.
    #[default]
    Unsaid,
    /// A whole number. It may still be negative or absurd: the rules judge that.
    Whole(i64),
    /// A fraction, a text, more than can be counted: asking again gives the same.
    Unreadable,
}

impl Amount {
    /// The number, if it is one.
    #[must_use]
    pub fn whole(self) -> Option<i64> {
        match self {
            Self::Whole(amount) => Some(amount),
            Self::Unsaid | Self::Unreadable => None,
        }
    }

    /// Whether it was said, but not as a whole number that can be counted with.
    #[must_use]
    pub fn is_unreadable(self) -> bool {
        self == Self::Unreadable
    }
}

/// A member; null if it is absent, or if `object` is none.
pub(in crate::stripe) fn member<'a>(object: &'a Value, name: &str) -> &'a Value {
    object.get(name).unwrap_or(&Value::Null)
}

pub(in crate::stripe) fn text<'a>(object: &'a Value, name: &str) -> Option<&'a str> {
    member(object, name).as_str()
}

pub(in crate::stripe) fn flag(object: &Value, name: &str) -> Option<bool> {
    member(object, name).as_bool()
}

pub(in crate::stripe) fn seconds(object: &Value, name: &str) -> Option<Timestamp> {
    member(object, name).as_i64().map(Timestamp::from_unix_seconds)
}

/// One of Stripe's words, cut at `longest` characters. It is shown and stored: what a line or a column
/// cannot hold is replaced, never left out, so that no other word becomes one that we act on.
pub(in crate::stripe) fn word(object: &Value, name: &str, longest: usize) -> Option<String> {
    let shown = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
    text(object, name).map(|text| text.chars().take(longest).map(shown).collect())
}

pub(super) fn currency(object: &Value) -> Option<String> {
    word(object, "currency", 40)
}

pub(super) fn amount(object: &Value, name: &str) -> Amount {
    match member(object, name) {
        Value::Null => Amount::Unsaid,
        value => value.as_i64().map_or(Amount::Unreadable, Amount::Whole),
    }
}

/// An id that may stand alone or be expanded into its object.
pub(super) fn id_of<'a>(object: &'a Value, name: &str) -> Option<&'a str> {
    let value = member(object, name);
    value.as_str().or_else(|| text(value, "id"))
}

pub(super) fn payment_intent(object: &Value) -> Option<PaymentIntentId> {
    id_of(object, "payment_intent").and_then(|id| PaymentIntentId::parse(id).ok())
}

/// Whom an object says it belongs to, by its reference and metadata, or else by those of its payment
/// if that was sent along.
pub(super) fn claim(object: &Value) -> Claim {
    let own = own_claim(object);
    match member(object, "payment_intent") {
        payment if payment.is_object() && own == Claim::default() => own_claim(payment),
        _ => own,
    }
}

fn own_claim(object: &Value) -> Claim {
    let metadata = member(object, "metadata");
    let booking = |text: Option<&str>| text.and_then(|text| BookingId::parse(text).ok());
    Claim {
        reference: booking(text(object, "client_reference_id")),
        metadata_booking: booking(text(metadata, METADATA_BOOKING)),
        instance: text(metadata, METADATA_INSTANCE).map(str::to_owned),
    }
}
