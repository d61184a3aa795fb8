//! What a payment fact means. Pure: no async, no I/O, no clock, no SQL, no HTTP.

pub mod account;
pub mod backoff;
pub mod booking;
pub mod business;
pub mod calendar;
pub mod cancel;
pub mod case;
pub mod client_address;
pub mod code;
pub mod event;
pub mod export;
pub mod fold;
pub mod holds;
pub mod holidays;
pub mod home;
pub mod hours;
pub mod ids;
pub mod invitation;
pub mod lang;
pub mod money;
pub mod notice;
pub mod offer;
pub mod original;
pub mod password;
pub mod payment;
pub mod plain_name;
pub mod reconcile;
pub mod refund;
pub mod reserve;
pub mod role;
pub mod slot;

/// One thing wrong with what somebody sent.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Fault {
    /// The member at fault, as the caller named it.
    pub path: String,
    /// What to do about it, in English, completing a sentence that begins with the member's name.
    pub message: String,
    /// A stable word for the same, by which pages translate it.
    #[serde(skip)]
    pub code: &'static str,
}

impl Fault {
    /// A fault that pages show as it is.
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: path.into(), message: message.into(), code: "invalid" }
    }

    /// A fault that pages translate by `code`.
    pub fn coded(path: impl Into<String>, code: &'static str, message: impl Into<String>) -> Self {
        Self { path: path.into(), message: message.into(), code }
    }
}
