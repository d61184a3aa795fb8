//! Webhook deliveries: who gets which event when, signed afresh at each attempt, and retried.
//!
//! To each endpoint events go one after the other in their order, and a failed one does not hold up
//! those behind it. Due times go by the simulator's clock, so moving the clock brings retries on.
//!
//! Stripe does not publish its intervals; it says "up to three days with exponential backoff" for
//! live mode, which [`RETRY_AFTER_SECONDS`] adds up to.

use super::Shared;
use super::model::{Endpoint, Event};
use super::world::World;
use super::{ids, objects};
use crate::signature;
use clock::Timestamp;
use futures_util::future::join_all;
use http_client::{HttpClient, HttpError, Method};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// How long after each failed attempt the next one comes.
pub(crate) const RETRY_AFTER_SECONDS: [u64; 12] =
    [2, 10, 60, 300, 1_800, 3_600, 7_200, 14_400, 28_800, 57_600, 64_800, 79_200];
/// An endpoint must answer within this time. Stripe's own limit is not published.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(10);
/// Attempts that run at the same time, over all endpoints.
const MAX_CONCURRENT: usize = 32;
/// How often due times are looked at while something is due later: the clock may be moved by hand.
const TICK: Duration = Duration::from_millis(25);
/// How much of an endpoint's answer is kept for the page that shows attempts.
const KEPT_ANSWER_CHARS: usize = 500;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum DeliveryState {
    Pending,
    Succeeded,
    /// Given up after the last retry.
    Failed,
    /// Lost on purpose, by a fault.
    Lost,
}

/// One event on its way to one endpoint.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Delivery {
    pub event: String,
    pub endpoint: String,
    pub state: DeliveryState,
    /// When the next attempt is due.
    #[serde(with = "micros")]
    pub due: Timestamp,
    /// Place among those that are due at the same time.
    pub order: u64,
    /// How many times the first attempt is repeated at once (a fault).
    pub copies: u8,
    /// Whether the first attempt is lost on its way (a fault).
    pub lose_first: bool,
    /// Whether the signature is made with a foreign secret (a fault).
    pub wrong_signature: bool,
    pub attempts: Vec<Attempt>,
}

/// What became of one attempt.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Attempt {
    /// Unix seconds by the simulator's clock.
    pub at: i64,
    /// The endpoint's HTTP status, if it answered.
    pub status: Option<u16>,
    /// Why there was no acknowledgement.
    pub error: Option<String>,
    /// The beginning of the endpoint's answer.
    pub answer: String,
}

impl Attempt {
    fn acknowledged(&self) -> bool {
        self.status.is_some_and(|status| (200..300).contains(&status))
    }
}

mod micros {
    use clock::Timestamp;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(at.as_micros())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        i64::deserialize(deserializer).map(Timestamp::from_micros)
    }
}

/// Sends an event once more: to `endpoint`, or to all that want it. Returns how many that is.
pub(crate) fn resend(world: &mut World, event_id: &str, endpoint: Option<&str>) -> usize {
    let Some(kind) = world.events.get(event_id).map(|e| e.kind.clone()) else { return 0 };
    let targets: Vec<String> = match endpoint {
        Some(id) => vec![id.to_owned()],
        None => world.endpoints.iter().filter(|e| e.wants(&kind)).map(|e| e.id.clone()).collect(),
    };
    for target in &targets {
        let due = world.clock.now();
        world.push_delivery(Delivery {
            event: event_id.to_owned(),
            endpoint: target.clone(),
            state: DeliveryState::Pending,
            due,
            order: 0,
            copies: 0,
            lose_first: false,
            wrong_signature: false,
            attempts: Vec::new(),
        });
    }
    targets.len()
}

/// Whether every endpoint has acknowledged the event.
pub(crate) fn succeeded(world: &World, event_id: &str) -> bool {
    world.deliveries.of(event_id).all(|d| d.state == DeliveryState::Succeeded)
}

/// Whether every delivery of these events has had its first attempt, or never will.
pub(crate) fn attempted(world: &World, events: &[String]) -> bool {
    let tried = |d: &Delivery| !d.attempts.is_empty() || d.state != DeliveryState::Pending;
    events.iter().all(|event| world.deliveries.of(event).all(tried))
}

/// Pending deliveries of one endpoint in the order in which they go: due time, place, serial number.
type Queue = BTreeSet<(Timestamp, u64, u64)>;

/// All deliveries, with those that still wait and those of one event at hand.
#[derive(Debug, Default)]
pub(crate) struct Book {
    rows: BTreeMap<u64, Delivery>,
    /// By endpoint, so that the next one is found without looking at all that wait behind it.
    queues: BTreeMap<String, Queue>,
    by_event: HashMap<String, Vec<u64>>,
    next: u64,
    /// What the data file does not yet have: changed rows and forgotten ones.
    changed: BTreeSet<u64>,
    gone: Vec<u64>,
}

impl Book {
    /// Adds a delivery behind all others. Returns its serial number.
    pub(crate) fn push(&mut self, mut delivery: Delivery) -> u64 {
        let serial = self.next;
        delivery.order = serial;
        self.put(serial, delivery);
        serial
    }

    /// Puts a delivery in its place, which may be taken by an older state of it.
    pub(crate) fn put(&mut self, serial: u64, delivery: Delivery) {
        self.forget(serial);
        self.gone.retain(|gone| *gone != serial);
        self.next = self.next.max(serial + 1);
        self.enqueue(serial, &delivery);
        self.by_event.entry(delivery.event.clone()).or_default().push(serial);
        self.changed.insert(serial);
        self.rows.insert(serial, delivery);
    }

    fn enqueue(&mut self, serial: u64, delivery: &Delivery) {
        if delivery.state == DeliveryState::Pending {
            let queue = self.queues.entry(delivery.endpoint.clone()).or_default();
            queue.insert((delivery.due, delivery.order, serial));
        }
    }

    fn dequeue(&mut self, serial: u64, delivery: &Delivery) {
        if let Some(queue) = self.queues.get_mut(&delivery.endpoint) {
            queue.remove(&(delivery.due, delivery.order, serial));
            if queue.is_empty() {
                self.queues.remove(&delivery.endpoint);
            }
        }
    }

    /// Changes one delivery.
    pub(crate) fn update(&mut self, serial: u64, change: impl FnOnce(&mut Delivery)) {
        let Some(mut delivery) = self.rows.remove(&serial) else { return };
        self.dequeue(serial, &delivery);
        change(&mut delivery);
        self.enqueue(serial, &delivery);
        self.changed.insert(serial);
        self.rows.insert(serial, delivery);
    }

    /// Forgets one delivery.
    pub(crate) fn forget(&mut self, serial: u64) {
        let Some(delivery) = self.rows.remove(&serial) else { return };
        self.dequeue(serial, &delivery);
        if let Some(serials) = self.by_event.get_mut(&delivery.event) {
            serials.retain(|other| *other != serial);
            if serials.is_empty() {
                self.by_event.remove(&delivery.event);
            }
        }
        self.changed.remove(&serial);
        self.gone.push(serial);
    }

    /// Forgets the oldest finished ones beyond `max`; if all still wait, the oldest of them.
    pub(crate) fn trim(&mut self, max: usize) {
        while self.rows.len() > max {
            let finished = self.rows.iter().find(|(_, d)| d.state != DeliveryState::Pending);
            let Some(serial) = finished.or_else(|| self.rows.iter().next()).map(|(serial, _)| *serial) else {
                return;
            };
            self.forget(serial);
        }
    }

    /// What has changed and what was forgotten since this was last asked.
    pub(crate) fn news(&mut self) -> (Vec<(u64, &Delivery)>, Vec<u64>) {
        let changed = std::mem::take(&mut self.changed);
        let rows = changed.into_iter().filter_map(|serial| Some((serial, self.rows.get(&serial)?))).collect();
        (rows, std::mem::take(&mut self.gone))
    }

    /// Those of one event.
    pub(crate) fn of(&self, event: &str) -> impl Iterator<Item = &Delivery> {
        self.by_event.get(event).into_iter().flatten().filter_map(|serial| self.rows.get(serial))
    }

    /// How many wait for an attempt.
    pub(crate) fn waiting(&self) -> usize {
        self.queues.values().map(BTreeSet::len).sum()
    }

    /// The first that waits, for each endpoint that something waits for.
    fn heads(&self) -> impl Iterator<Item = (u64, &Delivery)> {
        let first = |queue: &Queue| queue.first().map(|(_, _, serial)| *serial);
        self.queues.values().filter_map(move |queue| {
            let serial = first(queue)?;
            Some((serial, self.rows.get(&serial)?))
        })
    }

    /// All, oldest first.
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = (u64, &Delivery)> {
        self.rows.iter().map(|(serial, d)| (*serial, d))
    }
}

/// What one attempt needs, taken out of the world so that no lock is held while it runs.
#[derive(Debug, Default)]
struct Job {
    serial: u64,
    event: String,
    kind: String,
    url: String,
    body: Vec<u8>,
    secrets: Vec<SecretString>,
    at: i64,
    signed_at: i64,
    copies: u8,
    lost: bool,
    /// The endpoint was deleted, or the event forgotten: there is nothing to try.
    gone: bool,
}

/// Runs until the simulator stops: does what time brings, and delivers what is due.
pub(crate) async fn run(shared: Arc<Shared>, client: HttpClient) {
    let slots = Arc::new(Semaphore::new(MAX_CONCURRENT));
    let busy = Arc::new(std::sync::Mutex::new(HashSet::<String>::new()));
    loop {
        shared.tick();
        let mut idle = true;
        while let Ok(slot) = Arc::clone(&slots).try_acquire_owned() {
            let next = {
                let mut busy = busy.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                shared.read(|world| next_job(world, shared.paused(), &mut busy))
            };
            let Some((endpoint, job)) = next else { break };
            idle = false;
            let (shared, client, busy) = (Arc::clone(&shared), client.clone(), Arc::clone(&busy));
            tokio::spawn(async move {
                let attempts = perform(&client, &job).await;
                shared.live.delivery(&job.kind, &job.event, &job.url, &attempts);
                // In this order: an endpoint that is free again must not be given the same one twice.
                shared.change_quietly(|world| record(world, job.serial, attempts));
                busy.lock().unwrap_or_else(std::sync::PoisonError::into_inner).remove(&endpoint);
                drop(slot);
                shared.changed();
            });
        }
        if idle {
            tokio::select! {
                () = shared.woken() => {}
                () = tokio::time::sleep(TICK) => {}
            }
        }
    }
}

/// What is due now and first for its endpoint. One that is disabled gets nothing until it is enabled again.
pub(crate) fn due(world: &World) -> impl Iterator<Item = (u64, &Delivery)> {
    let now = world.clock.now();
    let listens = |d: &Delivery| world.endpoints.get(&d.endpoint).is_none_or(|e| e.enabled);
    world.deliveries.heads().filter(move |(_, d)| d.due <= now && listens(d))
}

/// The first due delivery whose endpoint is free. Its endpoint counts as busy from then on.
fn next_job(world: &World, paused: bool, busy: &mut HashSet<String>) -> Option<(String, Job)> {
    if paused {
        return None;
    }
    let free = due(world).filter(|(_, d)| !busy.contains(&d.endpoint));
    let (serial, delivery) = free.min_by_key(|(_, d)| (d.due, d.order))?;
    let endpoint = world.endpoints.get(&delivery.endpoint);
    let event = world.events.get(&delivery.event);
    let job = match (endpoint, event) {
        (Some(endpoint), Some(event)) => job(world, serial, delivery, endpoint, event),
        _ => Job { serial, gone: true, ..Job::default() },
    };
    busy.insert(delivery.endpoint.clone());
    Some((delivery.endpoint.clone(), job))
}

fn job(world: &World, serial: u64, delivery: &Delivery, endpoint: &Endpoint, event: &Event) -> Job {
    let first = delivery.attempts.is_empty();
    let mut secrets: Vec<SecretString> = Vec::new();
    if delivery.wrong_signature {
        secrets.push(ids::webhook_secret().into());
    } else {
        if world.faults.old_secret_too {
            secrets.push("whsec_retired_secret_of_the_simulator".to_owned().into());
        }
        secrets.extend(endpoint.secrets.iter().cloned().map(SecretString::from));
    }
    let version = endpoint.api_version.as_deref().unwrap_or(&event.api_version);
    let body = serde_json::to_vec_pretty(&objects::event_for(world, event, version)).unwrap_or_default();
    let at = world.now();
    Job {
        serial,
        event: event.id.clone(),
        kind: event.kind.clone(),
        url: endpoint.url.clone(),
        body,
        secrets,
        at,
        signed_at: at.saturating_add(world.faults.signature_skew_seconds),
        copies: if first { delivery.copies } else { 0 },
        lost: first && delivery.lose_first,
        gone: false,
    }
}

/// Makes the attempt, and its copies at the same time.
async fn perform(client: &HttpClient, job: &Job) -> Vec<Attempt> {
    if job.gone {
        return Vec::new();
    }
    if job.lost {
        let error = Some("lost on its way".to_owned());
        return vec![Attempt { at: job.at, status: None, error, answer: String::new() }];
    }
    join_all((0..=job.copies).map(|_| post(client, job))).await
}

async fn post(client: &HttpClient, job: &Job) -> Attempt {
    let signature = signature::sign(&job.secrets, job.signed_at, &job.body);
    let headers = [
        ("content-type", "application/json; charset=utf-8"),
        ("stripe-signature", signature.as_str()),
        ("user-agent", "Stripe/1.0 (+https://stripe.com/docs/webhooks)"),
        ("accept", "*/*; q=0.5, application/xml"),
        ("cache-control", "no-cache"),
    ];
    match client.send(Method::Post, &job.url, &headers, job.body.clone()).await {
        Ok(answer) => {
            let error = match answer.status {
                200..300 => None,
                300..400 => Some("redirects are not followed".to_owned()),
                status => Some(format!("HTTP {status}")),
            };
            let text = String::from_utf8_lossy(&answer.body).chars().take(KEPT_ANSWER_CHARS).collect();
            Attempt { at: job.at, status: Some(answer.status), error, answer: text }
        }
        Err(HttpError::Invalid(why) | HttpError::Connect(why) | HttpError::Lost(why)) => {
            Attempt { at: job.at, status: None, error: Some(why), answer: String::new() }
        }
    }
}

/// Notes what became of an attempt, and when the next one comes. No attempt at all: it is given up.
fn record(world: &mut World, serial: u64, attempts: Vec<Attempt>) {
    let now = world.clock.now();
    let acknowledged = attempts.iter().any(Attempt::acknowledged);
    let gone = attempts.is_empty();
    world.deliveries.update(serial, |delivery| {
        // Copies sent at once are one try: the schedule goes by how often we came back.
        let tries = delivery.attempts.len().saturating_sub(usize::from(delivery.copies));
        delivery.attempts.extend(attempts);
        delivery.state = match RETRY_AFTER_SECONDS.get(tries) {
            _ if acknowledged => DeliveryState::Succeeded,
            Some(seconds) if !gone => {
                delivery.due = now.plus(Duration::from_secs(*seconds));
                DeliveryState::Pending
            }
            _ => DeliveryState::Failed,
        };
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery(endpoint: &str, due: i64, state: DeliveryState) -> Delivery {
        Delivery {
            event: format!("evt_{due}"),
            endpoint: endpoint.to_owned(),
            state,
            due: Timestamp::from_micros(due),
            order: 0,
            copies: 0,
            lose_first: false,
            wrong_signature: false,
            attempts: Vec::new(),
        }
    }

    #[test]
    fn each_endpoint_has_its_own_next_delivery() {
        let mut book = Book::default();
        for (endpoint, due) in [("a", 3), ("a", 1), ("b", 2), ("b", 2)] {
            book.push(delivery(endpoint, due, DeliveryState::Pending));
        }
        let heads = |book: &Book| book.heads().map(|(serial, _)| serial).collect::<Vec<_>>();
        assert_eq!(heads(&book), [1, 2]);
        book.update(1, |d| d.state = DeliveryState::Succeeded);
        book.update(2, |d| d.due = Timestamp::from_micros(9));
        assert_eq!((heads(&book), book.waiting()), (vec![0, 3], 3));
    }

    #[test]
    fn finished_deliveries_are_forgotten_first_and_there_are_never_too_many() {
        let mut book = Book::default();
        for due in 0..4 {
            book.push(delivery("a", due, DeliveryState::Pending));
        }
        book.update(2, |d| d.state = DeliveryState::Failed);
        book.trim(3);
        assert_eq!(book.iter().map(|(serial, _)| serial).collect::<Vec<_>>(), [0, 1, 3]);
        book.trim(1);
        assert_eq!(book.iter().map(|(serial, _)| serial).collect::<Vec<_>>(), [3]);
        assert!(book.of("evt_0").next().is_none() && book.waiting() == 1);
        assert_eq!(book.news().1, [2, 0, 1]);
    }
}
