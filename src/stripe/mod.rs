//! Stripe's protocol: signatures, events, requests.
//!
//! Nothing here knows the database.

pub mod calls;
pub mod client;
pub mod event;
pub mod json;
pub mod list;
pub mod objects;
pub mod signature;

pub use client::{Client, StripeError};
