//! Connections that are out of date: those made before this moment are not lent again.
//!
//! An error does not know from which pool its connection came, so this is one moment for the whole process. A
//! connection too many that is let go costs a new one.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

static START: LazyLock<Instant> = LazyLock::new(Instant::now);
static LET_GO: AtomicU64 = AtomicU64::new(0);
static DISK_FULL: AtomicU64 = AtomicU64::new(0);

fn now() -> u64 {
    u64::try_from(START.elapsed().as_micros()).unwrap_or(u64::MAX).saturating_add(1)
}

/// No connection of now is lent again.
pub(super) fn let_go() {
    LET_GO.fetch_max(now(), Ordering::Relaxed);
}

/// The same, but not more than once a second: as long as a server takes no writes each new connection will not either.
pub(super) fn let_go_in_time() {
    const PAUSE: u64 = 1_000_000;
    if now().saturating_sub(LET_GO.load(Ordering::Relaxed)) > PAUSE || LET_GO.load(Ordering::Relaxed) == 0 {
        let_go();
    }
}

/// When that was last, for who wants to know whether it has been since.
pub(super) fn last() -> u64 {
    LET_GO.load(Ordering::Relaxed)
}

/// Whether a connection of this age is one of those.
pub(super) fn is_old(age: Duration) -> bool {
    let let_go = LET_GO.load(Ordering::Relaxed);
    let made = now().saturating_sub(u64::try_from(age.as_micros()).unwrap_or(u64::MAX));
    let_go != 0 && made <= let_go
}

/// The server had no room for a page.
pub(super) fn disk_was_full() {
    DISK_FULL.store(now(), Ordering::Relaxed);
}

/// Whether that happened, and no page was found room for since.
pub(super) fn disk_is_suspect() -> bool {
    DISK_FULL.load(Ordering::Relaxed) != 0
}

/// A page was written.
pub(super) fn disk_has_room() {
    DISK_FULL.store(0, Ordering::Relaxed);
}
