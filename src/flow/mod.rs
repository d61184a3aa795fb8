//! Where database, Stripe and rules meet. Each function here is one thing that the service does.

pub mod recorder;
