//! bcrypt, on few threads: hashing passwords must not keep payments waiting.

use domain::password::MAX_BYTES;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

/// The work that a guess costs, as a power of two.
pub(super) const COST: u32 = 12;
/// A hash of a higher cost was not made by us and would block a thread for seconds.
const MAX_COST: u32 = 15;
/// How long a password waits for its turn.
const PATIENCE: Duration = Duration::from_secs(5);
/// A hash that no password fits, for accounts that are not there.
const DUMMY_SALT: [u8; 16] = [0x5a; 16];

/// Too many passwords are being hashed at once.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("too many people are signing in at once: try again in a few seconds")]
pub struct Overloaded;

/// Whether a password fits, and whether its hash should be made anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verified {
    No,
    Yes,
    /// It fits, but guessing it is cheaper than it should be.
    YesButWeak,
}

#[derive(Debug, Clone)]
pub(super) struct Hashing {
    turns: Arc<Semaphore>,
}

impl Hashing {
    pub(super) fn new() -> Self {
        // Half the cores at most, so that the other half serves payments.
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self { turns: Arc::new(Semaphore::new((cores / 2).max(1))) }
    }

    pub(super) async fn hash(&self, password: &str) -> Result<String, Overloaded> {
        let password = password.to_owned();
        self.run(move || bcrypt::hash(password, COST)).await?.map_err(|_| Overloaded)
    }

    /// Compares with `hash`, or with nobody's: the work is the same, whatever comes out.
    pub(super) async fn verify(&self, password: &str, hash: Option<String>) -> Result<Verified, Overloaded> {
        let password = password.to_owned();
        self.run(move || verify(&password, hash.as_deref())).await
    }

    /// How long a comparison takes on this machine when nobody else is served.
    pub(super) async fn time(&self) -> Result<Duration, Overloaded> {
        self.run(|| {
            let began = Instant::now();
            spend("", COST);
            began.elapsed()
        })
        .await
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Overloaded> {
        let turn = tokio::time::timeout(PATIENCE, self.turns.clone().acquire_owned()).await;
        let Ok(Ok(turn)) = turn else { return Err(Overloaded) };
        // The turn goes with the work: a caller that gives up does not free a thread that is busy.
        let done = tokio::task::spawn_blocking(move || {
            let result = work();
            drop(turn);
            result
        });
        done.await.map_err(|_| Overloaded)
    }
}

fn verify(password: &str, hash: Option<&str>) -> Verified {
    let cost = hash.and_then(|hash| hash.parse::<bcrypt::HashParts>().ok()).map(|parts| parts.get_cost());
    let (Some(hash), Some(cost @ ..=MAX_COST)) = (hash, cost) else {
        spend(password, COST);
        return Verified::No;
    };
    let fits = bcrypt::verify(password, hash).unwrap_or(false);
    // A hash of a lower cost is verified faster. What is missing is spent here: 2^10 + 2^10 + 2^11 = 2^12.
    for missing in cost..COST {
        spend(password, missing);
    }
    // bcrypt reads 72 bytes. A longer password was never accepted, so it cannot be right.
    match fits && password.len() <= MAX_BYTES {
        false => Verified::No,
        true if cost < COST => Verified::YesButWeak,
        true => Verified::Yes,
    }
}

/// Works as long as a comparison at `cost` does.
fn spend(password: &str, cost: u32) {
    std::hint::black_box(bcrypt::hash_with_salt(password, cost, DUMMY_SALT).is_ok());
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What other implementations of bcrypt wrote, so that their users can sign in here.
    #[test]
    fn hashes_of_other_programs_are_understood() {
        let ours = bcrypt::hash_with_salt("correct horse", 4, [7; 16]).unwrap();
        for version in [bcrypt::Version::TwoA, bcrypt::Version::TwoB, bcrypt::Version::TwoY] {
            let hash = ours.format_for_version(version);
            assert_eq!(verify("correct horse", Some(&hash)), Verified::YesButWeak, "{hash}");
            assert_eq!(verify("wrong horse", Some(&hash)), Verified::No);
        }
    }

    #[test]
    fn what_is_no_hash_fits_nothing() {
        for hash in ["", "plain", "$2b$31$abcdefghijklmnopqrstuuABCDEFGHIJKLMNOPQRSTUVWXYZ01234"] {
            assert_eq!(verify(hash, Some(hash)), Verified::No);
        }
    }

    /// S08: bcrypt would accept anything after the 72nd byte.
    #[test]
    fn a_password_is_never_cut() {
        let long = "x".repeat(72);
        let hash = bcrypt::hash(&long, 4).unwrap();
        assert_eq!(verify(&long, Some(&hash)), Verified::YesButWeak);
        assert_eq!(verify(&format!("{long}y"), Some(&hash)), Verified::No);
    }
}
