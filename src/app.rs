//! What handlers, commands and background work share.

use crate::config::Config;
use crate::flow::accounts::Accounts;
use crate::flow::business::Board;
use crate::flow::health::Health;
use crate::flow::recorder::{Recorder, Writer};
use crate::metrics::Counters;
use crate::stripe::Client;
use axum_extra::extract::cookie::Key;
use clock::Clock;
use domain::ids::InstanceId;
use http_client::HttpError;
use secrecy::{ExposeSecret, SecretString};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use store::outbox::Audience;
use store::{Store, StoreError};
use tokio::sync::Semaphore;

/// The running program. Clones share everything.
pub type Shared = Arc<App>;

/// The running program's parts.
#[derive(Debug)]
pub struct App {
    /// How it was configured.
    pub config: Config,
    /// The database.
    pub store: Store,
    /// This database's id.
    pub instance: InstanceId,
    /// Stripe's API, real or simulated.
    pub stripe: Client,
    /// The one road for payment facts.
    pub recorder: Recorder,
    /// Who may sign in, and who is signed in.
    pub accounts: Accounts,
    /// Signs the session cookie.
    pub cookie_key: Key,
    /// The time.
    pub clock: Clock,
    /// What is counted since the start.
    pub counters: Counters,
    /// Who takes a seat now: the others wait here, and not for the lock of the same offer with a connection each.
    pub reserving: Semaphore,
    /// Whether webhooks can be recorded.
    pub health: Health,
    /// Who sells here, as it was known last.
    pub board: Board,
    draining: AtomicBool,
}

/// Connections that may wait for the lock of a slot at once: less than half of what there is.
const RESERVING: usize = 4;

/// Why the program cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The HTTP client.
    #[error(transparent)]
    Http(#[from] HttpError),
}

impl App {
    /// Opens a migrated database and starts the writers. `stripe_base` is where Stripe's API is,
    /// `stripe_key` its key, `audience` who is told of what the writers apply.
    ///
    /// # Errors
    /// [`StartError`] if the database or the HTTP client cannot be used.
    pub async fn start(
        config: Config,
        store: Store,
        stripe_base: &str,
        stripe_key: SecretString,
        audience: Audience,
        clock: Clock,
    ) -> Result<Shared, StartError> {
        let instance = store.instance().await?;
        let counters = Counters::new(clock.now());
        let calls = counters.stripe_calls();
        let stripe = Client::new(stripe_base, stripe_key)?
            .watched_by(move |call| calls.count(call.operation, call.status, call.took));
        let writer = Writer {
            store: store.clone(),
            clock: clock.clone(),
            instance,
            livemode: config.livemode(),
            audience,
        };
        let recorder = Recorder::start(writer, stripe.clone());
        let accounts = Accounts::new(store.clone(), clock.clone(), &config);
        let board = Board::first(&store, clock.now()).await;
        let cookie_key = Key::derive_from(config.session_secret.expose_secret().as_bytes());
        Ok(Arc::new(Self {
            config,
            store,
            instance,
            stripe,
            recorder,
            accounts,
            cookie_key,
            counters,
            health: Health::default(),
            board,
            clock,
            reserving: Semaphore::new(RESERVING),
            draining: AtomicBool::new(false),
        }))
    }

    /// From now on the program takes no new work: `/readyz` says so at once.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Whether the program is stopping.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }
}
