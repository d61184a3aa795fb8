//! Points at which a test may stop the program for good, and kill it there.
//!
//! Whether something is lost between a commit and its answer can only be seen by a program that dies between
//! them. `CHECKOUT_STOP_AT=point` makes it stop at the point and say so on standard error; the test then kills
//! it. This exists in debug builds alone: in a release build [`here`] is empty, and no setting brings it back.

/// Stops for good if a test asked for `point`.
#[cfg(debug_assertions)]
pub fn here(point: &str) {
    use std::sync::OnceLock;
    static STOP_AT: OnceLock<Option<String>> = OnceLock::new();
    #[expect(clippy::disallowed_methods, reason = "no configuration: it is not there in what people run")]
    let stop_at = STOP_AT.get_or_init(|| std::env::var("CHECKOUT_STOP_AT").ok());
    if stop_at.as_deref() == Some(point) {
        eprintln!("stopped at {point}");
        loop {
            std::thread::park();
        }
    }
}

/// Nothing.
#[cfg(not(debug_assertions))]
pub fn here(_point: &str) {}
