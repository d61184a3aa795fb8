//! Whether the time of a failed sign-in tells why it failed: `cargo bench --bench sign_in`.
//!
//! 200 interleaved tries of each kind on an embedded database. A ratio of medians between 0.9 and 1.1
//! tells nobody anything.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::float_arithmetic,
    reason = "a program for people"
)]

use checkout_backend::config::Config;
use checkout_backend::flow::accounts::{Accounts, Actor, LoginAttempt, LoginError};
use clock::Clock;
use domain::role::Role;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};
use store::Store;

const ROUNDS: usize = 200;
const KINDS: [&str; 3] = ["unknown@pay.test", "wrong@pay.test", "disabled@pay.test"];

#[tokio::main]
async fn main() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}/bench.db", folder.path().display());
    let config = Config::from_vars(&BTreeMap::from([("DATABASE_URL".to_owned(), url.clone())])).unwrap();
    let (store, clock) = (Store::open(&url).unwrap(), Clock::system());
    store.migrate(clock.now()).await.unwrap();
    let accounts = Accounts::new(store, clock.clone(), &config);
    for email in &KINDS[1..] {
        let user = accounts.create(email, "correct horse battery", Role::Ops, Actor::CLI).await.unwrap();
        if *email == KINDS[2] {
            accounts.set_active(user.id, false, Actor::CLI).await.unwrap();
        }
    }
    let mut times: [Vec<Duration>; 3] = Default::default();
    for _ in 0..ROUNDS {
        for (email, times) in KINDS.iter().zip(&mut times) {
            // Late enough for no limit to remember the last try.
            clock.advance(Duration::from_secs(2 * 3600));
            let password = if *email == KINDS[2] { "correct horse battery" } else { "wrong horse battery" };
            let address = IpAddr::from([192, 0, 2, 1]);
            let attempt =
                LoginAttempt { email, password, address, device: None, old_session: None, request_id: None };
            let began = Instant::now();
            let refused = accounts.login(attempt).await;
            times.push(began.elapsed());
            assert!(matches!(refused, Err(LoginError::Refused(_))), "{refused:?}");
        }
    }
    let medians = times.map(|mut times| {
        times.sort();
        times[ROUNDS / 2]
    });
    for (kind, median) in KINDS.iter().zip(medians) {
        let ratio = median.as_secs_f64() / medians[0].as_secs_f64();
        println!("{kind:20} median {:6.1} ms, ratio {ratio:.3}", median.as_secs_f64() * 1000.0);
    }
}
