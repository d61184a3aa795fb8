//! Stripe's objects, as far as this service reads them.
//!
//! **Invariant.** Reading never fails for a part: unknown members and words, null, missing parts and wrong
//! types leave a part unsaid, and only an object without a usable id is none. What was said but cannot be
//! counted with stays apart from what was not said ([`Amount`]): a person has to see it.
//!
//! The same readers serve events, answers of the API and payloads in the ledger. [`Polled`] keeps the text of
//! an object that we asked for, because the ledger keeps what a fact was read from.

mod dispute;
mod endpoint;
mod payment;
mod polled;
mod read;
mod refund;
mod session;

pub use dispute::Dispute;
pub use endpoint::WebhookEndpoint;
pub use payment::{Charge, IntentStatus, PaymentIntent};
pub use polled::{NO_SESSION, POLLED_KEY, Polled, no_session, read_no_session};
pub use read::Amount;
pub use refund::Refund;
pub use session::{CheckoutSession, SessionStatus, TotalDetails};

pub(super) use read::{flag, member, seconds, text, word};

use serde_json::Value;

/// The metadata member by which our objects name their booking.
pub const METADATA_BOOKING: &str = "booking_id";
/// The metadata member by which our objects name the database that made them.
pub const METADATA_INSTANCE: &str = "instance";
/// The metadata member by which a refund names the request of ours that it was made for.
pub const METADATA_REFUND: &str = "refund_intent";

/// Something that Stripe's API answers with.
pub trait Object: Sized {
    /// None without what makes it one: a usable id.
    fn read(value: &Value) -> Option<Self>;
}

#[cfg(test)]
mod tests;
