//! The whole program inside the test's process: real HTTP, a database of its own, a clock that the test
//! moves.

use super::TestDatabase;
use super::events;
use checkout_backend::app::{App, Shared};
use checkout_backend::config::Config;
use checkout_backend::flow::effects;
use checkout_backend::http::server::{self, Ended, Signal};
use clock::Clock;
use domain::booking::{Booking, Customer, Progress, Status};
use domain::code::Code;
use domain::ids::{BookingId, SessionId};
use domain::lang::Lang;
use domain::slot::Slot;
use secrecy::SecretString;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// The endpoint secret of every test.
pub(crate) const WEBHOOK_SECRET: &str = "whsec_test_5f2b7c1d9e4a6803b1d7e9f2";

/// A running program. Dropped, it stops as if it had been killed.
#[derive(Debug)]
pub(crate) struct TestApp {
    pub app: Shared,
    pub db: TestDatabase,
    pub clock: Clock,
    /// `http://127.0.0.1:PORT`
    pub url: String,
    pub http: reqwest::Client,
    /// Asks it to stop.
    pub signals: mpsc::Sender<Signal>,
    server: JoinHandle<Ended>,
}

/// An answer, read to its end.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {:?}", self.body))
    }

    /// The `outcome` of an acknowledged delivery.
    pub(crate) fn outcome(&self) -> String {
        self.json()["outcome"].as_str().unwrap_or_default().to_owned()
    }
}

impl TestApp {
    /// The program on this database, with Stripe out of reach.
    pub(crate) async fn start(db: &TestDatabase) -> Self {
        Self::start_with(db, &[], "http://127.0.0.1:1").await
    }

    /// The program with more variables than the tests need, and Stripe's API at `stripe_base`.
    pub(crate) async fn start_with(db: &TestDatabase, variables: &[(&str, &str)], stripe_base: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let url = format!("http://{address}");
        let mut vars: BTreeMap<String, String> = [
            ("DATABASE_URL", db.url.as_str()),
            ("SESSION_SECRET", "5f0c7a19e2b84d63a1c9f7e05d3b8264"),
            ("STRIPE_WEBHOOK_SECRET", WEBHOOK_SECRET),
            ("APP_URL", &url),
            // One machine stands for all the clients of a test.
            ("HOLDS_PER_ADDRESS", "100000"),
            ("HOLDS_PER_BROWSER", "100000"),
            ("HOLDS_PER_EMAIL", "100000"),
        ]
        .into_iter()
        .chain(variables.iter().copied())
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
        vars.retain(|_, value| !value.is_empty());
        let config = Config::from_vars(&vars).unwrap();
        let clock = Clock::system();
        let key = SecretString::from("sk_test_4eC39HqLyjWDarjtT1zdp7dc");
        let audience = effects::audience(&config);
        let app = App::start(config, db.reopen(), stripe_base, key, audience, clock.clone()).await.unwrap();
        let (signals, received) = mpsc::channel(2);
        let served = app.clone();
        let server = tokio::spawn(async move { server::serve(&served, listener, received).await });
        Self { app, db: db.clone(), clock, url, http: client(), signals, server }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        send(self.http.get(format!("{}{path}", self.url))).await
    }

    pub(crate) async fn post_json(&self, path: &str, body: &Value, headers: &[(&str, &str)]) -> Answer {
        let mut request = self.http.post(format!("{}{path}", self.url)).body(body.to_string());
        request = request.header("content-type", "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        send(request).await
    }

    /// Delivers an event as Stripe does, signed now.
    pub(crate) async fn deliver(&self, event: &Value) -> Answer {
        send(delivery(&self.http, &self.url, &self.clock, event)).await
    }

    /// Delivers these bytes under this header.
    pub(crate) async fn deliver_raw(&self, body: impl Into<Vec<u8>>, signature: Option<&str>) -> Answer {
        let mut request = self.http.post(format!("{}/webhook", self.url)).body(body.into());
        if let Some(signature) = signature {
            request = request.header("stripe-signature", signature);
        }
        send(request).await
    }

    /// A pending booking that was stored without asking Stripe. Each has a slot of its own.
    pub(crate) async fn pending_booking(&self) -> Booking {
        self.pending_bookings(1).await.pop().unwrap()
    }

    /// Many of them, in one transaction.
    pub(crate) async fn pending_bookings(&self, count: usize) -> Vec<Booking> {
        let now = self.clock.now();
        let mut tx = self.app.store.begin().await.unwrap();
        let offer = tx.offers().await.unwrap().remove(0);
        let mut bookings = Vec::with_capacity(count);
        for _ in 0..count {
            let (slot, starts_at) = next_slot(&self.app.config);
            let id = BookingId::from(clock::new_id());
            let mut booking = Booking {
                id,
                code: Code::of(id, 0),
                offer: offer.id,
                customer: Customer {
                    first_name: "Ada".to_owned(),
                    last_name: "Lovelace".to_owned(),
                    email: "ada@example.org".to_owned(),
                },
                slot,
                starts_at,
                price: offer.price,
                progress: Progress::Pending,
                session: None,
                seat: Some(1),
                hold_expires_at: now.plus(Duration::from_secs(35 * 60)),
                charge_refunded: 0,
                charge_intent: None,
                cancelled: None,
                refunds: Vec::new(),
                disputes: Vec::new(),
                cases: Vec::new(),
                created_at: now,
                updated_at: now,
            };
            // Of thousands, two may be called by the same code: as at a checkout, the second gets its next one.
            let mut nth = 0;
            while !tx.insert_booking(&booking, None, Lang::Fr, booking.hold_expires_at).await.unwrap() {
                nth += 1;
                assert!(nth < 8, "its slot is taken, or every code: {booking:?}");
                booking.code = Code::of(id, nth);
            }
            bookings.push(booking);
        }
        tx.commit().await.unwrap();
        bookings
    }

    /// As the answer of Stripe's API does.
    pub(crate) async fn attach(&self, booking: &Booking, session: &str) {
        let session = SessionId::parse(session).unwrap();
        let mut tx = self.app.store.begin().await.unwrap();
        let expires_at = booking.hold_expires_at;
        tx.attach_session(booking.id, &session, None, expires_at, self.clock.now()).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// The event by which Stripe says that `session` of this booking was paid.
    pub(crate) fn paid(&self, event: &str, booking: &Booking, session: &str) -> Value {
        let object = events::session(booking, session, &self.app.instance.to_string());
        events::event(event, "checkout.session.completed", object)
    }

    pub(crate) async fn booking(&self, id: BookingId) -> Booking {
        let mut tx = self.app.store.read().await.unwrap();
        let booking = tx.booking(id).await.unwrap().unwrap();
        tx.rollback().await.unwrap();
        booking
    }

    pub(crate) async fn status(&self, id: BookingId) -> Status {
        self.booking(id).await.status()
    }

    /// Stops at once, whatever it is doing: connections are cut and the database is out of its reach.
    pub(crate) async fn kill(&self) {
        self.server.abort();
        self.app.store.close().await;
    }

    /// Stops at once and starts again on the same database, with the clock set as it was.
    pub(crate) async fn restart(self) -> Self {
        let db = self.db.clone();
        self.server.abort();
        self.app.store.close().await;
        Self::start(&db).await
    }
}

impl Drop for TestApp {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// A client that keeps its connections, follows nothing and knows no proxy. One for each test: a
/// connection dies with the runtime that made it.
pub(crate) fn client() -> reqwest::Client {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| rustls::crypto::ring::default_provider().install_default().unwrap());
    reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(Duration::from_secs(30))
        .build()
        .unwrap()
}

/// A delivery as Stripe makes it to a program at `url`, signed for the time of `clock`.
pub(crate) fn delivery(
    http: &reqwest::Client,
    url: &str,
    clock: &Clock,
    event: &Value,
) -> reqwest::RequestBuilder {
    let body = event.to_string();
    let secrets = [SecretString::from(WEBHOOK_SECRET)];
    let signature = stripe_sim::sign(&secrets, clock.now().as_unix_seconds(), body.as_bytes());
    http.post(format!("{url}/webhook")).header("stripe-signature", signature).body(body)
}

/// Sends a request and reads the answer to its end.
pub(crate) async fn send(request: reqwest::RequestBuilder) -> Answer {
    try_send(request).await.unwrap()
}

/// The same where no answer may come.
pub(crate) async fn try_send(request: reqwest::RequestBuilder) -> Result<Answer, reqwest::Error> {
    let response = request.send().await?;
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    Ok(Answer { status, headers, body: response.text().await? })
}

/// A slot that no other booking of this process has: they begin in some days and are a minute apart.
fn next_slot(config: &Config) -> (Slot, clock::Timestamp) {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let (day, minute) = (n / 1200, n % 1200);
        let date = jiff::civil::date(2031, 1, 1).saturating_add(jiff::Span::new().days(i64::from(day)));
        let time = format!("{:02}:{:02}", 4 + minute / 60, minute % 60);
        let slot = Slot::parse(&date.to_string(), &time).unwrap();
        if let Ok(starts_at) = slot.starts_at(&config.timezone) {
            return (slot, starts_at);
        }
    }
}
