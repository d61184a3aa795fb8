//! What strangers may have us keep in memory, all of them together.
//!
//! Whoever sends a head or a body one byte short has us hold what came so far. Each connection has a
//! small part that is its own; what is beyond is taken from one pool, and when that is empty the request
//! is refused and its connection closed. So the most that is ever held is known: [`WORST_CASE`], and the
//! limits of `deploy/` and `docker-compose.yml` are held against it by a test.

use super::MAX_CONNECTIONS;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// The most of a head, and of each reading of a body, that is in hyper's hands without being counted.
pub const READ_AT_ONCE: usize = 8 * KIB - 1;
/// What all heads together may have beyond [`READ_AT_ONCE`] each. Browsers' heads have 1 to 4 KiB.
pub const HEADS: usize = 8 * MIB;
/// What all bodies together may have.
pub const BODIES: usize = 24 * MIB;
/// What only deliveries with a fresh signature in their head may have beyond that, and each only its
/// beginning: enough for this much of each connection, so that strangers' deliveries cannot take it from
/// Stripe's, even with heads that look as fresh.
pub const DELIVERY_RESERVE: usize = MAX_CONNECTIONS * DELIVERY_BEGINNING;
/// Stripe's events about sessions and payments have 3 to 6 KiB.
pub const DELIVERY_BEGINNING: usize = 8 * KIB;
/// What a connection costs by itself, estimated with room to spare: hyper's buffers for reading and writing, the task with the
/// request's state, and the system's own record of it.
pub const CONNECTION: usize = 40 * KIB;
/// The program itself, with its database connections, caches and queues, estimated with room to spare.
pub const PROGRAM: usize = 128 * MIB;
/// The most memory that the program needs, in bytes, whatever is sent to it. A buffer that grows is copied
/// to twice its size: what is counted in the pools is held twice at most.
pub const WORST_CASE: usize =
    PROGRAM + MAX_CONNECTIONS * CONNECTION + 2 * HEADS + 2 * BODIES + DELIVERY_RESERVE;

/// The pools of one server.
#[derive(Debug, Default)]
pub struct Budget {
    heads: AtomicUsize,
    bodies: AtomicUsize,
    reserve: AtomicUsize,
}

/// Takes from a pool if there is enough in it.
fn take(pool: &AtomicUsize, bytes: usize, most: usize) -> bool {
    let taken = pool.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
        used.checked_add(bytes).filter(|used| *used <= most)
    });
    taken.is_ok()
}

/// What one connection's head holds of the pool.
#[derive(Debug)]
pub(super) struct HeadShare {
    budget: Arc<Budget>,
    read: usize,
    taken: usize,
}

impl HeadShare {
    pub(super) fn new(budget: Arc<Budget>) -> Self {
        Self { budget, read: 0, taken: 0 }
    }

    /// So much more of a head has come. Whether there is room for it.
    pub(super) fn grow(&mut self, bytes: usize) -> bool {
        self.read += bytes;
        let beyond = self.read.saturating_sub(READ_AT_ONCE);
        let more = beyond.saturating_sub(self.taken);
        if more > 0 && !take(&self.budget.heads, more, HEADS) {
            return false;
        }
        self.taken += more;
        true
    }

    /// The head is answered, and gone.
    pub(super) fn clear(&mut self) {
        self.budget.heads.fetch_sub(self.taken, Ordering::Relaxed);
        (self.read, self.taken) = (0, 0);
    }
}

impl Drop for HeadShare {
    fn drop(&mut self) {
        self.clear();
    }
}

/// What one request's body holds of the pools, until the request is answered. In the request's extensions,
/// where the webhook marks what may use the reserve, and whoever answers sees whether there was no room.
#[derive(Debug)]
pub struct BodyShare {
    budget: Arc<Budget>,
    delivery: AtomicBool,
    refused: AtomicBool,
    bodies: AtomicUsize,
    reserve: AtomicUsize,
}

impl BodyShare {
    /// Nothing has come yet.
    #[must_use]
    pub fn new(budget: Arc<Budget>) -> Self {
        Self {
            budget,
            delivery: AtomicBool::new(false),
            refused: AtomicBool::new(false),
            bodies: AtomicUsize::new(0),
            reserve: AtomicUsize::new(0),
        }
    }

    /// It is a delivery whose head carries a fresh signature.
    pub fn is_delivery(&self) {
        self.delivery.store(true, Ordering::Relaxed);
    }

    /// Whether the body was given up because there was no room for it.
    #[must_use]
    pub fn was_refused(&self) -> bool {
        self.refused.load(Ordering::Relaxed)
    }

    /// So much more has come. Whether there is room for it.
    pub(super) fn grow(&self, bytes: usize) -> bool {
        if take(&self.budget.bodies, bytes, BODIES) {
            self.bodies.fetch_add(bytes, Ordering::Relaxed);
            return true;
        }
        let beginning = self.bodies.load(Ordering::Relaxed) + self.reserve.load(Ordering::Relaxed) + bytes
            <= DELIVERY_BEGINNING;
        let reserved = beginning
            && self.delivery.load(Ordering::Relaxed)
            && take(&self.budget.reserve, bytes, DELIVERY_RESERVE);
        if reserved {
            self.reserve.fetch_add(bytes, Ordering::Relaxed);
        } else {
            self.refused.store(true, Ordering::Relaxed);
        }
        reserved
    }
}

impl Drop for BodyShare {
    fn drop(&mut self) {
        self.budget.bodies.fetch_sub(*self.bodies.get_mut(), Ordering::Relaxed);
        self.budget.reserve.fetch_sub(*self.reserve.get_mut(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_beyond_the_pool_is_refused_and_comes_back_with_the_answer() {
        let budget = Arc::new(Budget::default());
        let first = BodyShare::new(budget.clone());
        assert!(first.grow(BODIES) && !first.was_refused());
        let second = BodyShare::new(budget.clone());
        assert!(!second.grow(1) && second.was_refused());
        drop(first);
        assert!(BodyShare::new(budget.clone()).grow(BODIES));
        drop(second);
        assert_eq!(budget.bodies.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_delivery_has_its_beginning_even_when_others_took_everything() {
        let budget = Arc::new(Budget::default());
        let hog = BodyShare::new(budget.clone());
        assert!(hog.grow(BODIES));
        let deliveries: Vec<BodyShare> = (0..MAX_CONNECTIONS)
            .map(|n| {
                let delivery = BodyShare::new(budget.clone());
                delivery.is_delivery();
                assert!(delivery.grow(DELIVERY_BEGINNING - 1), "delivery {n}");
                assert!(!delivery.grow(2), "delivery {n} is longer");
                delivery
            })
            .collect();
        drop(deliveries);
        assert_eq!(budget.reserve.load(Ordering::Relaxed), 0);
        assert!(!BodyShare::new(budget).grow(1), "no delivery, no reserve");
    }

    #[test]
    fn long_heads_share_a_pool_and_short_ones_need_none() {
        let budget = Arc::new(Budget::default());
        let mut long = HeadShare::new(budget.clone());
        assert!(long.grow(READ_AT_ONCE + HEADS) && !long.grow(1));
        let mut other = HeadShare::new(budget.clone());
        assert!(other.grow(READ_AT_ONCE) && !other.grow(1));
        long.clear();
        assert!(other.grow(1));
        drop((long, other));
        assert_eq!(budget.heads.load(Ordering::Relaxed), 0);
    }
}
