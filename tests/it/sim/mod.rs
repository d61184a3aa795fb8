//! The simulated Stripe, over HTTP, as any client sees it.

mod support;

mod checkout;
