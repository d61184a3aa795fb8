//! Calling off a booking that was paid: what goes back, and what stands against it.

use crate::booking::{Booking, Status};
use crate::ids::PaymentIntentId;
use crate::refund::left;

/// The longest reason, in characters.
pub const MAX_REASON: usize = 500;

/// What of the payment is to go back, as a person says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GiveBack {
    /// All that is left of it.
    All,
    /// Nothing.
    Nothing,
    /// So much, in minor units.
    Part(i64),
}

/// A refund that belongs to the calling off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// The payment that it gives back.
    pub payment: PaymentIntentId,
    /// In minor units, above zero.
    pub amount: i64,
    /// What could have gone back.
    pub left: i64,
}

/// Why a booking is not called off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It is not paid: cancelling an unpaid one closes its payment page first.
    NotPaid,
    /// Its payment is disputed: what the bank decides about cannot be given back.
    Disputed,
    /// A part that is none.
    NotAnAmount,
    /// More than is left, in minor units.
    TooMuch {
        /// What is left, what is under way taken off.
        left: i64,
    },
}

/// What is to be given back when `booking` is called off; none if nothing is. `under_way`: the sum of the refunds
/// of its payment that are asked for and not told yet.
///
/// # Errors
/// A [`Refusal`].
pub fn give_back(booking: &Booking, wish: GiveBack, under_way: i64) -> Result<Option<Due>, Refusal> {
    let payment = booking.payment().ok_or(Refusal::NotPaid)?;
    // A discount that covered it all leaves no payment to give back.
    let left =
        payment.intent.as_ref().map_or(0, |_| left(payment.amount, booking.refunded_amount(), under_way));
    let left = left.max(0);
    let amount = match wish {
        GiveBack::Nothing => return Ok(None),
        GiveBack::All => left,
        GiveBack::Part(amount) if amount <= 0 => return Err(Refusal::NotAnAmount),
        GiveBack::Part(amount) if amount > left => return Err(Refusal::TooMuch { left }),
        GiveBack::Part(amount) => amount,
    };
    let Some(payment) = payment.intent.clone().filter(|_| amount > 0) else { return Ok(None) };
    if booking.status() == Status::Disputed {
        return Err(Refusal::Disputed);
    }
    Ok(Some(Due { payment, amount, left }))
}
