//! What can be booked, and what it costs. Prices live on the server only.

use super::Fault;
use super::ids::OfferId;
use super::money::{Currency, Money};
use super::time::Timestamp;
use jiff::civil::Time;

/// Something that customers can book.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// Its id.
    pub id: OfferId,
    /// As customers read it.
    pub name: String,
    /// The price of one seat.
    pub price: Money,
    /// Seats for each slot, from 1 to [`MAX_CAPACITY`].
    pub capacity: i32,
    /// Whether it can be booked now.
    pub active: bool,
    /// The only times of day that can be booked; empty means any time.
    pub grid: Vec<Time>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// The most seats that one slot can have.
pub const MAX_CAPACITY: i32 = 1000;
/// The longest name, in characters. Stripe takes more; pages do not.
pub const MAX_NAME_CHARS: usize = 120;
const MAX_GRID: usize = 288;

/// The members of an offer that an ADMIN decides, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfferTerms {
    /// As customers read it.
    pub name: String,
    /// The price of one seat.
    pub price: Money,
    /// Seats for each slot.
    pub capacity: i32,
    /// Whether it can be booked.
    pub active: bool,
    /// The only times of day that can be booked; empty means any time.
    pub grid: Vec<Time>,
}

impl OfferTerms {
    /// Checks what a person typed. `grid` is a list of `HH:MM`.
    ///
    /// # Errors
    /// Every fault, each with the member's name.
    pub fn parse(
        name: &str,
        amount: i64,
        currency: &str,
        capacity: i64,
        active: bool,
        grid: &[String],
    ) -> Result<Self, Vec<Fault>> {
        let mut faults = Vec::new();
        let name = name.trim().to_owned();
        if name.is_empty() || name.chars().count() > MAX_NAME_CHARS || name.chars().any(char::is_control) {
            faults.push(Fault::coded(
                "name",
                "offer_name",
                format!("must have 1 to {MAX_NAME_CHARS} printable characters"),
            ));
        }
        let price = match Currency::parse(currency) {
            Err(error) => {
                faults.push(Fault::coded("currency", "currency", error.to_string()));
                None
            }
            Ok(currency) => Money::price(amount, currency)
                .map_err(|error| faults.push(Fault::coded("amount", "price", error.to_string())))
                .ok(),
        };
        let capacity = i32::try_from(capacity).ok().filter(|c| (1..=MAX_CAPACITY).contains(c));
        if capacity.is_none() {
            faults.push(Fault::coded(
                "capacity",
                "capacity",
                format!("must be a whole number from 1 to {MAX_CAPACITY}"),
            ));
        }
        let mut times = Vec::new();
        for text in grid.iter().take(MAX_GRID + 1) {
            match super::slot::Slot::parse_time(text) {
                Ok(time) => times.push(time),
                Err(error) => faults.push(Fault::coded("grid", "grid", error.to_string())),
            }
        }
        if grid.len() > MAX_GRID {
            faults.push(Fault::coded("grid", "grid", format!("must have at most {MAX_GRID} times")));
        }
        times.sort_unstable();
        times.dedup();
        match (price, capacity) {
            (Some(price), Some(capacity)) if faults.is_empty() => {
                Ok(Self { name, price, capacity, active, grid: times })
            }
            _ => Err(faults),
        }
    }
}
