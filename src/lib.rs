//! A payments backend for Stripe Checkout.
//!
//! docs/ARCHITECTURE.md lists them in reading order. Arrows go one way: `cli, http → flow → store, stripe → domain`.

pub mod app;
pub mod cli;
pub mod config;
pub mod failpoint;
pub mod flow;
pub mod http;
pub mod metrics;
pub mod stripe;
pub mod telemetry;
