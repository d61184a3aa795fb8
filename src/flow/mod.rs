//! Where database, Stripe and rules meet. Each module here is one thing that the service does.

pub mod accounts;
pub mod checkout;
pub mod observe;
pub mod offers;
pub mod recorder;
