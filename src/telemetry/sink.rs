//! The way of log lines to standard output. A thread of its own writes them; whoever logs never waits.
//!
//! If standard output takes nothing (a full pipe, a full disk, nobody at the other end), lines wait up
//! to a limit and are then dropped and counted: requests go on being served.

use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, Once, PoisonError};
use std::time::{Duration, Instant};

/// How long lines are gathered before they are written together: a wake-up of the thread for each line costs
/// more than the line.
const GATHER: Duration = Duration::from_millis(5);
/// What may wait to be written, in bytes.
const MAX_WAITING: usize = 2 * 1024 * 1024;

static DROPPED: AtomicU64 = AtomicU64::new(0);
static QUEUE: Queue = Queue { state: Mutex::new(State::new()), changed: Condvar::new() };

struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    waiting: Vec<u8>,
    writing: bool,
    /// Whether the writing thread waits to be woken.
    asleep: bool,
}

impl State {
    const fn new() -> Self {
        Self { waiting: Vec::new(), writing: false, asleep: false }
    }
}

fn lock() -> MutexGuard<'static, State> {
    QUEUE.state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Lines that were lost since the process started, because standard output took none.
#[must_use]
pub fn dropped_lines() -> u64 {
    DROPPED.load(Ordering::Relaxed)
}

/// Waits until all lines are written, at most `patience`.
pub fn flush(patience: Duration) {
    let deadline = Instant::now() + patience;
    let mut state = lock();
    while state.writing || !state.waiting.is_empty() {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        state = QUEUE.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
    }
}

pub(super) fn push(line: &str) {
    let mut state = lock();
    if state.waiting.len() + line.len() > MAX_WAITING {
        DROPPED.fetch_add(1, Ordering::Relaxed);
        return;
    }
    state.waiting.extend_from_slice(line.as_bytes());
    let wake = std::mem::take(&mut state.asleep);
    drop(state);
    if wake {
        QUEUE.changed.notify_all();
    }
}

pub(super) fn start() {
    static STARTED: Once = Once::new();
    STARTED.call_once(|| {
        // Without the thread lines are dropped and counted, which is what a full pipe does too.
        let _ = std::thread::Builder::new().name("log".to_owned()).spawn(write_for_ever);
    });
}

fn write_for_ever() {
    loop {
        let mut state = lock();
        while state.waiting.is_empty() {
            state.asleep = true;
            state = QUEUE.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        drop(state);
        std::thread::sleep(GATHER);
        let mut state = lock();
        let lines = std::mem::take(&mut state.waiting);
        state.writing = true;
        drop(state);
        let mut stdout = std::io::stdout().lock();
        if stdout.write_all(&lines).and_then(|()| stdout.flush()).is_err() {
            let lost = lines.split(|byte| *byte == b'\n').count().saturating_sub(1);
            DROPPED.fetch_add(u64::try_from(lost).unwrap_or(u64::MAX), Ordering::Relaxed);
        }
        drop(stdout);
        lock().writing = false;
        QUEUE.changed.notify_all();
    }
}
