//! Where database, Stripe and rules meet. Each module here is one thing that the service does.

pub mod accounts;
pub mod background;
pub mod bookings;
pub mod cancel;
pub mod cases;
pub mod checkout;
pub mod doctor;
pub mod effects;
pub mod explain;
pub mod health;
pub mod holds;
pub mod hours;
pub mod invariants;
pub mod offers;
pub mod privacy;
pub mod reconcile;
pub mod recorder;
pub mod refund;
pub mod replay;
