//! The simulated Stripe, over HTTP, as any client sees it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::type_complexity,
    reason = "a failed expectation is a failed test"
)]

mod support;

mod checkout;
mod cli;
mod control;
mod deliveries;
mod faults;
mod hostile;
mod idempotency;
mod lists;
mod money;
mod page;
mod persistence;
mod shop;
mod trigger;
mod versions;
