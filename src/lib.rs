//! A payments backend for Stripe Checkout.
//!
//! Modules in reading order. Arrows go one way: `cli, http → flow → store, stripe → domain`.

// `json!` recurses once for each member, and Stripe's sessions have seventy.
#![recursion_limit = "256"]

pub mod app;
pub mod cli;
pub mod clock;
pub mod config;
pub mod domain;
pub mod failpoint;
pub mod flow;
pub mod http;
pub mod http_client;
pub mod metrics;
pub mod store;
pub mod stripe;
pub mod telemetry;
