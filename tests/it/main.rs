//! The integration tests: one binary, one file per behaviour, everything on both engines.
//!
//! `cargo test --test it webhook::` runs one file, `cargo test --test it sqlite::` one engine. PostgreSQL is
//! started by the tests themselves, or is that of `TEST_POSTGRES_URL`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::type_complexity,
    reason = "a failed expectation is a failed test"
)]

mod accounts;
mod attacks;
mod backups;
mod business;
mod called_off;
mod cases;
mod chaos;
mod checkout;
mod codes;
mod commands;
mod config;
mod crashes;
mod decide;
mod doctor;
mod edges;
mod effects;
mod exports;
mod graceful;
mod harness;
mod health;
mod hours;
mod invariants;
mod lifecycle;
mod limits;
mod logs;
mod metrics;
mod migrations;
mod model;
mod money;
mod moving;
mod notices;
mod offers;
mod openapi;
mod orders;
mod pages;
mod reconcile;
mod refunds;
mod repairs;
mod roles;
mod seats;
mod security;
mod shop;
mod store;
mod tidy;
mod traces;
mod webhook;
mod whereabouts;
