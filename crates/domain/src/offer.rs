//! What can be booked, and what it costs. Prices live on the server only.

use super::Fault;
use super::booking::unseen;
use super::ids::OfferId;
use super::money::{Currency, Money};
use clock::Timestamp;
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
    /// How long it takes, in minutes, from 5 to [`MAX_DURATION`].
    pub duration: i32,
    /// From one beginning to the next, in minutes; none: as long as it takes.
    pub step: Option<i32>,
    /// Who or what it needs, in lower case: offers that name the same are never sold for the same time.
    pub resource: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// The most seats that one slot can have.
pub const MAX_CAPACITY: i32 = 1000;
/// The longest name, in characters. Stripe takes more; pages do not.
pub const MAX_NAME_CHARS: usize = 120;
/// The longest that something takes, in minutes: a day.
pub const MAX_DURATION: i32 = 24 * 60;
/// How long something takes if nobody says, in minutes.
pub const USUAL_DURATION: i32 = 60;
/// The longest name of who or what an offer needs, in characters.
const MAX_RESOURCE_CHARS: usize = 60;
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
    /// How long it takes, in minutes.
    pub duration: i32,
    /// From one beginning to the next, in minutes.
    pub step: Option<i32>,
    /// Who or what it needs, in lower case.
    pub resource: Option<String>,
}

/// What a person typed. A member that could not even be read is none: its fault has been named.
#[derive(Debug, Clone, Default)]
pub struct OfferDraft {
    /// As customers are to read it.
    pub name: Option<String>,
    /// In minor units.
    pub amount: Option<i64>,
    /// A currency's code.
    pub currency: Option<String>,
    /// Seats for each slot.
    pub capacity: Option<i64>,
    /// Whether it can be booked.
    pub active: Option<bool>,
    /// The bookable times, each `HH:MM`.
    pub grid: Option<Vec<String>>,
    /// How long it takes, in minutes; none: [`USUAL_DURATION`].
    pub duration: Option<i64>,
    /// From one beginning to the next, in minutes.
    pub step: Option<i64>,
    /// Who or what it needs.
    pub resource: Option<String>,
}

impl OfferTerms {
    /// Checks a draft, of which `faults` are known already.
    ///
    /// # Errors
    /// Every fault, each with the member's name.
    pub fn check(draft: OfferDraft, mut faults: Vec<Fault>) -> Result<Self, Vec<Fault>> {
        let name = draft.name.map(|name| name.trim().to_owned());
        let sound = |name: &String| {
            (1..=MAX_NAME_CHARS).contains(&name.chars().count())
                && !name.chars().any(char::is_control)
                && unseen(name).is_none()
        };
        if name.as_ref().is_some_and(|name| !sound(name)) {
            let text = format!("must have 1 to {MAX_NAME_CHARS} printable characters");
            faults.push(Fault::coded("name", "offer_name", text));
        }
        let price = check_price(draft.amount, draft.currency.as_deref(), &mut faults);
        let capacity = draft.capacity.map(|seats| i32::try_from(seats).unwrap_or(0));
        if capacity.is_some_and(|seats| !(1..=MAX_CAPACITY).contains(&seats)) {
            let text = format!("must be a whole number from 1 to {MAX_CAPACITY}");
            faults.push(Fault::coded("capacity", "capacity", text));
        }
        let grid = draft.grid.map(|grid| check_grid(&grid, &mut faults));
        let mut minutes = |path: &str, minutes: i64| {
            let minutes = i32::try_from(minutes).unwrap_or(0);
            if !(5..=MAX_DURATION).contains(&minutes) {
                let text = format!("must be a whole number of minutes from 5 to {MAX_DURATION}");
                faults.push(Fault::coded(path, "minutes", text));
            }
            minutes
        };
        let duration = minutes("durationMinutes", draft.duration.unwrap_or(i64::from(USUAL_DURATION)));
        let step = draft.step.map(|step| minutes("stepMinutes", step));
        let resource = draft.resource.map(|name| name.trim().to_lowercase()).filter(|name| !name.is_empty());
        let long =
            |name: &String| name.chars().count() > MAX_RESOURCE_CHARS || name.chars().any(char::is_control);
        if resource.as_ref().is_some_and(long) {
            let text = format!("must have at most {MAX_RESOURCE_CHARS} printable characters");
            faults.push(Fault::coded("resource", "resource", text));
        }
        match (name, price, capacity, draft.active, grid) {
            (Some(name), Some(price), Some(capacity), Some(active), Some(grid)) if faults.is_empty() => {
                Ok(Self { name, price, capacity, active, grid, duration, step, resource })
            }
            _ => Err(faults),
        }
    }
}

fn check_price(amount: Option<i64>, currency: Option<&str>, faults: &mut Vec<Fault>) -> Option<Money> {
    let price_fault = |text: String| Fault::coded("amount", "price", text);
    match (amount, currency.map(Currency::parse)) {
        (Some(amount), Some(Ok(currency))) => {
            Money::price(amount, currency).map_err(|error| faults.push(price_fault(error.to_string()))).ok()
        }
        (amount, currency) => {
            if let Some(Err(error)) = currency {
                faults.push(Fault::coded("currency", "currency", error.to_string()));
            }
            // Wrong in whatever currency.
            if amount.is_some_and(|amount| amount <= 0) {
                faults.push(price_fault("must be above zero".to_owned()));
            }
            None
        }
    }
}

fn check_grid(grid: &[String], faults: &mut Vec<Fault>) -> Vec<Time> {
    if grid.len() > MAX_GRID {
        faults.push(Fault::coded("grid", "grid", format!("must have at most {MAX_GRID} times")));
    }
    let mut times = Vec::new();
    for text in grid.iter().take(MAX_GRID) {
        match super::slot::Slot::parse_time(text) {
            Ok(time) => times.push(time),
            Err(error) => {
                let shown: String = text.chars().take(20).collect();
                faults.push(Fault::coded("grid", "grid", format!("{error}, not {shown:?}")));
            }
        }
    }
    times.sort_unstable();
    times.dedup();
    times
}
