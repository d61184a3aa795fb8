//! The simulated Stripe, over HTTP, as any client sees it.

mod support;

mod checkout;
mod cli;
mod control;
mod deliveries;
mod faults;
mod hostile;
mod idempotency;
mod money;
mod page;
mod persistence;
mod trigger;
