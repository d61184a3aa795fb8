//! A simulated Stripe that speaks the real protocol over HTTP on its own port.
//!
//! The official libraries work against it by changing only the host. It keeps state, has a payment
//! page and a control page, delivers signed webhooks, and does wrong on request. The README describes it
//! from outside.
//!
//! Not here: any knowledge of who uses it.

// `json!` recurses once for each member, and Stripe's sessions have seventy.
#![recursion_limit = "256"]

mod account;
mod api;
mod auth;
mod cards;
pub mod cli;
mod control;
mod control_page;
mod currency;
mod deliveries;
mod error;
mod expand;
mod faults;
mod form;
mod guard;
mod html;
mod idempotency;
mod ids;
mod known;
mod live;
mod model;
mod objects;
mod params;
mod pay_fields;
mod pay_page;
mod persist;
mod routes;
mod rules;
mod schema;
mod server;
mod signature;
mod trigger;
mod versions;
mod world;

pub use account::Logo;
pub use faults::{ApiFault, ApiFaultKind, Delay, Drop as DropFault, Duplicate, Faults};
pub use rules::sessions::{NotPayable, PayOutcome};
pub use signature::sign;
pub use trigger::KINDS as TRIGGERS;
pub use versions::NEWEST as API_VERSION;

use clock::Clock;
use error::StripeError;
use http_client::HttpClient;
use idempotency::{Begin, Keys, Stored};
use model::{Buyer, Endpoint, Metadata};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use world::{Cause, World};

/// Requests that the log remembers.
const MAX_LOGGED: usize = 10_000;

/// How to run a simulated Stripe.
#[derive(Debug)]
pub struct SimConfig {
    /// Where it listens. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// Base of the links to the payment page. Default: `http://localhost:PORT`.
    pub public_url: Option<String>,
    /// Where the state is kept, so that it survives a restart. Without it, only in memory.
    pub data_file: Option<PathBuf>,
    /// Where events are delivered, besides endpoints that are made by API.
    pub webhooks: Vec<WebhookTarget>,
    /// What the faults go by. Random, and then logged, if not given.
    pub seed: Option<u64>,
    /// What time it is for this Stripe.
    pub clock: Clock,
    /// How long delayed payment methods and delayed refunds take, by the clock.
    pub settle_after: Duration,
    /// What goes wrong from the start.
    pub faults: Faults,
    /// The account's default API version: for requests without `Stripe-Version`, and for events.
    pub api_version: String,
    /// Whether each request, event and delivery is a line on standard error.
    pub talk: bool,
    /// How the merchant looks on the payment page.
    pub business_name: String,
    /// `#rrggbb`.
    pub brand_color: String,
    pub logo: Option<Logo>,
}

impl Default for SimConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            public_url: None,
            data_file: None,
            webhooks: Vec::new(),
            seed: None,
            clock: Clock::system(),
            settle_after: Duration::from_secs(60),
            faults: Faults::default(),
            api_version: API_VERSION.to_owned(),
            talk: false,
            business_name: account::Account::default().name,
            brand_color: account::COLOR.to_owned(),
            logo: None,
        }
    }
}

/// Where events are delivered.
#[derive(Debug, Clone)]
pub struct WebhookTarget {
    /// `http://…` or `https://…`.
    pub url: String,
    /// The active signing secrets: each gives one `v1`. More than one while a secret is rolled.
    pub secrets: Vec<SecretString>,
    /// Kinds of events. Empty or `*`: all.
    pub enabled_events: Vec<String>,
}

/// One request that was received.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct LoggedRequest {
    /// `GET`, `POST`…
    pub method: String,
    /// Without the query.
    pub path: String,
    /// `Request-Id` of the answer.
    pub request_id: String,
    /// `Idempotency-Key`, if sent.
    pub idempotency_key: Option<String>,
    /// HTTP status of the answer; none if the connection was cut by a fault.
    pub status: Option<u16>,
    /// Unix seconds by the simulator's clock.
    pub at: i64,
}

/// A running simulated Stripe.
pub struct Sim {
    shared: Arc<Shared>,
    addr: SocketAddr,
    clock: Clock,
    stop: watch::Sender<bool>,
    server: JoinHandle<()>,
    courier: JoinHandle<()>,
    keeper: Option<(watch::Sender<bool>, JoinHandle<()>)>,
}

/// Without the state: it holds signing secrets.
impl std::fmt::Debug for Sim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sim").field("addr", &self.addr).finish_non_exhaustive()
    }
}

impl Sim {
    /// Starts listening and delivering.
    ///
    /// # Errors
    /// The address is taken, the data file cannot be read, or the HTTP client cannot be made.
    pub async fn start(config: SimConfig) -> std::io::Result<Self> {
        let bound = tokio::net::TcpListener::bind(config.listen).await;
        let listener = bound.map_err(|error| {
            std::io::Error::new(error.kind(), format!("cannot listen on {}: {error}", config.listen))
        })?;
        let addr = listener.local_addr()?;
        let public_url = config.public_url.unwrap_or_else(|| format!("http://localhost:{}", addr.port()));
        let public_url = public_url.trim_end_matches('/').to_owned();
        let seed = config.seed.unwrap_or_else(rand::random);
        tracing::info!(module = "simulator", action = "simulator.started", %addr, seed, "simulated Stripe listens");
        let mut world = World::new(config.clock.clone(), public_url, seed, config.settle_after);
        let mut keys = Keys::default();
        let journal = match &config.data_file {
            Some(file) => Some(persist::Journal::open(file, &mut world, &mut keys)?),
            None => None,
        };
        world.faults = config.faults;
        if !versions::is_version(&config.api_version) {
            let message = format!("{:?} is no API version of Stripe", config.api_version);
            return Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, message));
        }
        world.api_version = config.api_version;
        world.account =
            account::Account { name: config.business_name, color: config.brand_color, logo: config.logo };
        set_targets(&mut world, &config.webhooks);
        let client = HttpClient::new(deliveries::TIMEOUT).map_err(std::io::Error::other)?;
        let shared = Arc::new(Shared {
            world: Mutex::new(world),
            keys: Mutex::new(keys),
            journal: journal.map(Mutex::new),
            log: Mutex::new(VecDeque::new()),
            live: live::Live::new(config.talk),
            wake: Notify::new(),
            version: watch::Sender::new(0),
            paused: AtomicBool::new(false),
        });
        shared.change_quietly(|_| ()); // the configured endpoints are kept, too
        let (stop, stopped) = watch::channel(false);
        let server = tokio::spawn(server::run(listener, Arc::clone(&shared), stopped));
        let courier = tokio::spawn(deliveries::run(Arc::clone(&shared), client));
        let keeper = shared.journal.is_some().then(|| {
            let (stop, stopped) = watch::channel(false);
            (stop, tokio::spawn(persist::keep(Arc::clone(&shared), stopped)))
        });
        Ok(Self { shared, addr, clock: config.clock, stop, server, courier, keeper })
    }

    /// A made-up signing secret in Stripe's form.
    #[must_use]
    pub fn new_webhook_secret() -> String {
        ids::webhook_secret()
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// What to give the libraries as their host: `{base}/v1/…`. No slash at the end.
    #[must_use]
    pub fn base_url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// The clock that it goes by.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// What the faults go by.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.shared.read(|world| world.dice.seed)
    }

    /// Stops listening and delivering, and lets go of the data file.
    pub async fn shutdown(self) {
        let _ = self.stop.send(true);
        self.courier.abort();
        let _ = self.server.await;
        // Only now: what the last requests changed must be written, too.
        if let Some((stop, keeper)) = self.keeper {
            let _ = stop.send(true);
            let _ = keeper.await;
        }
    }

    /// Pays a session as the hosted page would: `card` is a number, an IBAN, or a name such as
    /// `pm_card_visa` or `sepa_debit`. Answers a 3-D Secure question with yes.
    ///
    /// # Errors
    /// The session is not open, or does not take this method.
    pub async fn pay(&self, session_id: &str, card: &str) -> Result<PayOutcome, NotPayable> {
        let (mut outcome, _) = self.shared.pay(session_id, card)?;
        if outcome == PayOutcome::RequiresAction {
            let (answered, _) = self
                .shared
                .change(Cause::page(), |world| rules::sessions::authenticate(world, session_id, true));
            outcome = answered?;
        }
        Ok(outcome)
    }

    /// Settles the delayed payment of a session or intent now. False if none waits.
    pub fn settle(&self, id: &str, succeeds: bool) -> bool {
        self.shared.change(Cause::automatic(), |world| control::settle(world, id, succeeds)).0
    }

    /// All events so far, oldest first, as the API shows them.
    #[must_use]
    pub fn events(&self) -> Vec<Value> {
        self.shared.read(|world| world.events.iter().map(|e| objects::event(world, e)).collect())
    }

    /// Replaces what goes wrong.
    pub fn set_faults(&self, faults: Faults) {
        self.shared.change_quietly(|world| world.faults = faults);
    }

    /// Holds deliveries back, or lets them go: tests may deliver webhooks themselves.
    pub fn pause_deliveries(&self, paused: bool) {
        self.shared.paused.store(paused, Ordering::SeqCst);
        self.shared.wake.notify_one();
    }

    /// Any object by its id, as the API shows it.
    #[must_use]
    pub fn object(&self, id: &str) -> Option<Value> {
        self.shared.tick();
        self.shared.read(|world| world.object(id))
    }

    /// The requests received, oldest first; the last ten thousand.
    #[must_use]
    pub fn request_log(&self) -> Vec<LoggedRequest> {
        lock(&self.shared.log).iter().cloned().collect()
    }

    /// Waits until no delivery is due, at most `limit`. False if some still is.
    pub async fn deliveries_done(&self, limit: Duration) -> bool {
        self.shared.until(limit, |world| deliveries::due(world).next().is_none()).await
    }
}

/// Makes the configured endpoints, and only those, as far as they did not come from the API.
///
/// The n-th stays the n-th also when its address changes, and keeps what still waits for it.
fn set_targets(world: &mut World, targets: &[WebhookTarget]) {
    let configured = |e: &&Endpoint| e.description.as_deref() == Some(CONFIGURED);
    let mut old =
        world.endpoints.iter().filter(configured).map(|e| e.id.clone()).collect::<Vec<_>>().into_iter();
    for target in targets {
        let all = || vec!["*".to_owned()];
        let enabled_events =
            if target.enabled_events.is_empty() { all() } else { target.enabled_events.clone() };
        let secrets = target.secrets.iter().map(|s| s.expose_secret().to_owned()).collect();
        if let Some(endpoint) = old.next().and_then(|id| world.endpoints.get_mut(&id)) {
            endpoint.url.clone_from(&target.url);
            (endpoint.secrets, endpoint.enabled_events) = (secrets, enabled_events);
            continue;
        }
        let endpoint = Endpoint {
            id: ids::object("we"),
            created: world.now(),
            url: target.url.clone(),
            secrets,
            enabled_events,
            enabled: true,
            description: Some(CONFIGURED.to_owned()),
            api_version: None,
            metadata: Metadata::new(),
        };
        world.endpoints.insert(endpoint);
    }
    for id in old {
        world.endpoints.remove(&id);
    }
}

/// The description of endpoints that come from the configuration.
const CONFIGURED: &str = "configured at start";

/// What the server, the couriers and the tests share.
#[derive(Debug)]
struct Shared {
    world: Mutex<World>,
    keys: Mutex<Keys>,
    /// Where the state is kept. Locks are taken in the order world, keys, journal.
    journal: Option<Mutex<persist::Journal>>,
    log: Mutex<VecDeque<LoggedRequest>>,
    /// What happened, in a line each.
    live: live::Live,
    wake: Notify,
    /// Counts changes; who waits for one subscribes.
    version: watch::Sender<u64>,
    paused: AtomicBool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    fn read<R>(&self, look: impl FnOnce(&World) -> R) -> R {
        look(&lock(&self.world))
    }

    /// Changes the world for `cause`. Returns the ids of the events that tell of it, too.
    fn change<R>(&self, cause: Cause, change: impl FnOnce(&mut World) -> R) -> (R, Vec<String>) {
        self.change_for_key(cause, change, |_| None)
    }

    /// As [`Self::change`], and gives a key the answer that `answer` makes of the result, in one with
    /// the change: a crash leaves both or none.
    fn change_for_key<'k, R>(
        &self,
        cause: Cause,
        change: impl FnOnce(&mut World) -> R,
        answer: impl FnOnce(&R) -> Option<(&'k str, Stored)>,
    ) -> (R, Vec<String>) {
        self.tick();
        let mut world = lock(&self.world);
        world.begin(cause);
        let result = change(&mut world);
        let events = world.end();
        self.live.events(&world, &events);
        if let Some((key, stored)) = answer(&result) {
            lock(&self.keys).finish(key, Some(stored));
        }
        self.save(&mut world);
        drop(world);
        self.changed();
        (result, events)
    }

    /// Appends what has changed to the data file, if there is one.
    fn save(&self, world: &mut World) {
        let keys = &mut lock(&self.keys);
        let Some(journal) = &self.journal else { return persist::skip(world, keys) };
        let line = persist::news(world, keys);
        if !line.as_ref().is_ok_and(Vec::is_empty) {
            lock(journal).append(line);
        }
    }

    /// Changes something that no event tells of.
    fn change_quietly<R>(&self, change: impl FnOnce(&mut World) -> R) -> R {
        let mut world = lock(&self.world);
        let result = change(&mut world);
        self.save(&mut world);
        drop(world);
        self.changed();
        result
    }

    fn changed(&self) {
        self.version.send_modify(|version| *version = version.wrapping_add(1));
        self.wake.notify_one();
    }

    /// Does what has become due by the clock.
    fn tick(&self) {
        let mut world = lock(&self.world);
        world.begin(Cause::automatic());
        let done = rules::sessions::tick(&mut world);
        let events = world.end();
        self.live.events(&world, &events);
        if done == 0 {
            return;
        }
        self.save(&mut world);
        drop(world);
        self.changed();
    }

    fn paused(&self) -> bool {
        self.paused.load(Ordering::SeqCst)
    }

    async fn woken(&self) {
        self.wake.notified().await;
    }

    /// Waits until `wanted` holds, at most `limit`.
    async fn until(&self, limit: Duration, wanted: impl Fn(&World) -> bool) -> bool {
        let mut version = self.version.subscribe();
        let wait = async {
            loop {
                version.mark_unchanged();
                if self.read(&wanted) {
                    return;
                }
                if version.changed().await.is_err() {
                    return;
                }
            }
        };
        tokio::time::timeout(limit, wait).await.is_ok()
    }

    /// Waits for the first attempt to deliver these events, at most `limit`.
    async fn attempted(&self, events: &[String], limit: Duration) {
        if !self.paused() {
            self.until(limit, |world| deliveries::attempted(world, events)).await;
        }
    }

    /// The fault for the request that comes now.
    fn strike(&self, method: &str, path: &str) -> Option<ApiFault> {
        let mut world = lock(&self.world);
        let n = world.requests_seen;
        world.requests_seen += 1;
        let dice = world.dice;
        world.faults.strike(dice, n, method, path)
    }

    fn begin_key(&self, key: &str, path: &str, fingerprint: String) -> Result<Begin, StripeError> {
        let now = self.read(World::now);
        lock(&self.keys).begin(key, path, fingerprint, now)
    }

    fn finish_key(&self, key: &str, answer: Option<Stored>) {
        self.change_quietly(|_| lock(&self.keys).finish(key, answer));
    }

    fn log_request(
        &self,
        request: &api::Request,
        request_id: &str,
        status: Option<u16>,
        why: Option<String>,
    ) {
        let key = request.headers.get("idempotency-key").and_then(|v| v.to_str().ok());
        let entry = LoggedRequest {
            method: request.method.to_string(),
            path: error::clip(&request.path),
            request_id: request_id.to_owned(),
            idempotency_key: key.map(error::clip),
            status,
            at: self.read(World::now),
        };
        self.live.request(&entry, why.as_deref());
        let mut log = lock(&self.log);
        if log.len() >= MAX_LOGGED {
            log.pop_front();
        }
        log.push_back(entry);
    }

    /// Pays a session with a named or numbered instrument and a made-up buyer.
    fn pay(&self, session_id: &str, card: &str) -> Result<(PayOutcome, Vec<String>), NotPayable> {
        let (outcome, events) = self.change(Cause::page(), |world| {
            let instrument = cards::Instrument::named(card, world.year()).ok_or(NotPayable::Method)?;
            rules::sessions::pay(world, session_id, Some(instrument), Buyer::made_up())
        });
        outcome.map(|outcome| (outcome, events))
    }
}
