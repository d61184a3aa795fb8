//! What a payment fact means. Pure: no async, no I/O, no clock, no SQL, no HTTP.

pub mod time;
