//! The time and new ids. The one place that reads the wall clock: everything else is given a [`Clock`], a
//! [`Timestamp`] or an id.

mod timestamp;

pub use timestamp::Timestamp;

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The wall clock, or one that a test or the simulated Stripe moves by hand. Clones share one clock.
#[derive(Debug, Clone, Default)]
pub struct Clock {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// Added to the wall clock, in microseconds.
    offset: AtomicI64,
    /// If set, time stands still here.
    frozen: Mutex<Option<Timestamp>>,
}

impl Clock {
    /// The machine's clock.
    #[must_use]
    pub fn system() -> Self {
        Self::default()
    }

    /// A clock that stands at `at` until it is moved.
    #[must_use]
    pub fn frozen_at(at: Timestamp) -> Self {
        let clock = Self::default();
        clock.freeze(at);
        clock
    }

    /// Now, by this clock.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        let frozen = *self.inner.frozen.lock().unwrap_or_else(PoisonError::into_inner);
        frozen.unwrap_or_else(|| {
            let micros = wall_clock().as_micros();
            Timestamp::from_micros(micros.saturating_add(self.inner.offset.load(Ordering::Relaxed)))
        })
    }

    /// Moves the clock forward; a frozen clock stays frozen at the later time.
    pub fn advance(&self, by: Duration) {
        let mut frozen = self.inner.frozen.lock().unwrap_or_else(PoisonError::into_inner);
        match frozen.as_mut() {
            Some(at) => *at = at.plus(by),
            None => {
                let micros = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
                self.inner.offset.fetch_add(micros, Ordering::Relaxed);
            }
        }
    }

    /// Stops the clock at `at`.
    pub fn freeze(&self, at: Timestamp) {
        *self.inner.frozen.lock().unwrap_or_else(PoisonError::into_inner) = Some(at);
    }

    /// Lets the clock run on from where it stands.
    pub fn unfreeze(&self) {
        let mut frozen = self.inner.frozen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = frozen.take() {
            self.inner.offset.store(at.as_micros() - wall_clock().as_micros(), Ordering::Relaxed);
        }
    }
}

/// A new id: a UUID of version 7, which sorts after those that this process made before.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the home of new ids")]
pub fn new_id() -> uuid::Uuid {
    uuid::Uuid::now_v7()
}

#[expect(clippy::disallowed_methods, reason = "this is the clock's home")]
fn wall_clock() -> Timestamp {
    Timestamp::from_micros(jiff::Timestamp::now().as_microsecond())
}
