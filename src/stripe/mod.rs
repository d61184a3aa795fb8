//! Stripe's protocol: signatures, events, requests, and a simulated Stripe that speaks the same.
//!
//! Nothing here knows the database.

pub mod signature;
pub mod sim;
