//! Stripe's protocol: signatures, events, requests, and a simulated Stripe that speaks the same.
//!
//! Nothing here knows the database.

pub mod client;
pub mod event;
pub mod json;
pub mod signature;
pub mod sim;

pub use client::{Client, StripeError};
