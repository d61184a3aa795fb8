//! Stripe's lists, in parts that fit into memory.

use super::client::{Client, StripeError};
use super::event::{self, KINDS};
use super::objects::{CheckoutSession, Dispute, Polled, Refund};
use clock::Timestamp;
use domain::event::{Event, Source};
use domain::reconcile::Window;
use serde_json::Value;
use std::marker::PhantomData;
use std::time::Duration;

/// Pages of 100 that are held in memory at once.
const PAGES: usize = 10;
/// Stripe's clock may be ahead of ours: its newest objects are read too.
const AHEAD: Duration = Duration::from_secs(2 * 86_400);

/// Something that Stripe lists by the time at which it was made.
pub trait Listed: Sized {
    /// Where.
    const PATH: &'static str;

    /// What is asked for besides the time.
    fn query() -> Vec<(&'static str, &'static str)>;

    /// None if it is no such object.
    fn read(value: Value) -> Option<Self>;
}

/// With the payment of each: its marks say whose it is, and its status how a delayed payment ended.
fn with_payment() -> Vec<(&'static str, &'static str)> {
    vec![("expand[]", "data.payment_intent")]
}

impl Listed for Polled<CheckoutSession> {
    const PATH: &'static str = "/v1/checkout/sessions";

    fn query() -> Vec<(&'static str, &'static str)> {
        with_payment()
    }

    fn read(value: Value) -> Option<Self> {
        Self::read(value)
    }
}

impl Listed for Polled<Refund> {
    const PATH: &'static str = "/v1/refunds";

    fn query() -> Vec<(&'static str, &'static str)> {
        with_payment()
    }

    fn read(value: Value) -> Option<Self> {
        Self::read(value)
    }
}

impl Listed for Polled<Dispute> {
    const PATH: &'static str = "/v1/disputes";

    fn query() -> Vec<(&'static str, &'static str)> {
        with_payment()
    }

    fn read(value: Value) -> Option<Self> {
        Self::read(value)
    }
}

/// The events feed, of the kinds that we act on.
impl Listed for Event {
    const PATH: &'static str = "/v1/events";

    fn query() -> Vec<(&'static str, &'static str)> {
        KINDS.map(|kind| ("types[]", kind)).to_vec()
    }

    fn read(value: Value) -> Option<Self> {
        event::from_api(&value, Source::Feed).ok()
    }
}

/// Everything of a kind that was made since a time, the oldest part and object first.
#[derive(Debug)]
pub struct ByCreated<'a, T> {
    stripe: &'a Client,
    parts: Vec<Window>,
    of: PhantomData<T>,
}

impl<'a, T: Listed> ByCreated<'a, T> {
    pub(super) fn new(stripe: &'a Client, from: Timestamp, now: Timestamp) -> Self {
        let until = now.plus(AHEAD).as_unix_seconds();
        Self { stripe, parts: vec![Window { from: from.as_unix_seconds(), until }], of: PhantomData }
    }

    /// The next part; none at the end.
    ///
    /// # Errors
    /// Any [`StripeError`].
    pub async fn next(&mut self) -> Result<Option<Vec<T>>, StripeError> {
        while let Some(part) = self.parts.pop() {
            let (from, until) = (part.from.to_string(), part.until.to_string());
            let mut query: Vec<(&str, &str)> = T::query();
            query.extend([("created[gte]", from.as_str()), ("created[lt]", until.as_str())]);
            let objects = match (self.stripe.list(T::PATH, &query, PAGES, T::read).await, part.halves()) {
                (Err(StripeError::TooMany), Some((older, newer))) => {
                    self.parts.extend([newer, older]);
                    continue;
                }
                // More in one second than fits: read it whole.
                (Err(StripeError::TooMany), None) => self.stripe.list_whole(T::PATH, &query, T::read).await,
                (result, _) => result,
            };
            return objects.map(|mut objects| {
                objects.reverse();
                Some(objects)
            });
        }
        Ok(None)
    }
}
