//! Where database, Stripe and rules meet. Each module here is one thing that the service does.

pub mod accounts;
pub mod background;
pub mod backup;
pub mod bookings;
pub mod cancel;
pub mod cases;
pub mod checkout;
pub mod closed;
pub mod doctor;
pub mod effects;
pub mod explain;
pub mod home;
pub mod import;
pub mod invariants;
pub mod offers;
pub mod privacy;
pub mod recall;
pub mod reconcile;
pub mod recorder;
pub mod refund;
pub mod replay;
pub mod transfer;
pub mod whereabouts;
pub mod zone;
