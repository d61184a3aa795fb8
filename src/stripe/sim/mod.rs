//! The simulated Stripe.
