//! The program beside a simulated Stripe that delivers nothing: tests decide what is told, and when.

use crate::harness::{TestApp, TestDatabase};
use checkout_backend::flow::accounts::Actor;
use checkout_backend::flow::checkout::{self, Caller};
use checkout_backend::flow::reconcile::{self, Options, Report};
use checkout_backend::stripe::client::NewSession;
use clock::Clock;
use domain::booking::{Booking, BookingRequest, Status};
use domain::ids::BookingId;
use serde_json::Value;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use stripe_sim::{ApiFault, ApiFaultKind, Faults, Sim, SimConfig};

pub(crate) const VISA: &str = "4242424242424242";
pub(crate) const FAILED_REFUND: &str = "4000000000005126";
pub(crate) const DISPUTED: &str = "4000000000000259";
pub(crate) const ADMIN: Actor<'static> = Actor { name: "admin@example.org", request_id: None };
pub(crate) const HOLD: Duration = Duration::from_secs(36 * 60);

pub(crate) struct Shop {
    pub(crate) sim: Sim,
    pub(crate) sim_clock: Clock,
    pub(crate) app: TestApp,
}

/// A booking with its open checkout.
#[derive(Debug, Clone)]
pub(crate) struct Checkout {
    pub(crate) booking: BookingId,
    pub(crate) session: String,
}

impl Shop {
    pub(crate) async fn open(db: &TestDatabase) -> Self {
        Self::open_with(db, &[]).await
    }

    pub(crate) async fn open_with(db: &TestDatabase, variables: &[(&str, &str)]) -> Self {
        let sim_clock = Clock::system();
        let sim = Sim::start(SimConfig { clock: sim_clock.clone(), ..SimConfig::default() }).await.unwrap();
        let app = TestApp::start_with(db, variables, &sim.base_url()).await;
        Self { sim, sim_clock, app }
    }

    /// Another instance of the program on the same database and Stripe.
    pub(crate) async fn another(&self) -> TestApp {
        TestApp::start_with(&self.app.db, &[], &self.sim.base_url()).await
    }

    pub(crate) fn request() -> BookingRequest {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let (day, minute) = (n / 600, n % 600);
        let now = jiff::tz::TimeZone::UTC.to_datetime(Clock::system().now().to_jiff()).date();
        let date = now.saturating_add(jiff::Span::new().days(60 + i64::from(day)));
        BookingRequest {
            first_name: "Ada".into(),
            last_name: "Lovelace".into(),
            email: "ada@example.org".into(),
            date: date.to_string(),
            time: format!("{:02}:{:02}", 8 + minute / 60, minute % 60),
            offer: None,
        }
    }

    pub(crate) async fn book(&self) -> Checkout {
        self.book_as(&Self::request()).await
    }

    pub(crate) async fn book_as(&self, request: &BookingRequest) -> Checkout {
        let started = checkout::start(&self.app.app, request, &Caller::default()).await.unwrap();
        Checkout {
            booking: BookingId::parse(&started.booking_id).unwrap(),
            session: started.stripe_session_id,
        }
    }

    /// The session that a checkout makes for a booking, without the checkout.
    pub(crate) async fn session_for(&self, booking: &Booking) -> String {
        let (reference, instance) = (booking.id.to_string(), self.app.app.instance.to_string());
        let session = NewSession {
            name: "Séance",
            description: "2031-01-01",
            payment_description: "Séance, 2031-01-01",
            amount: booking.price.amount,
            currency: booking.price.currency.as_str(),
            reference: &reference,
            instance: &instance,
            email: &booking.customer.email,
            success_url: "http://localhost/success",
            cancel_url: "http://localhost/cancel",
            expires_at: booking.hold_expires_at.as_unix_seconds(),
            locale: "fr",
            metadata: &[],
        };
        let object = self.app.app.stripe.create_session(&session, &reference).await.unwrap();
        object.id.to_string()
    }

    /// A booking that is paid, and known to be.
    pub(crate) async fn paid(&self) -> Checkout {
        let checkout = self.book().await;
        self.pay(&checkout, VISA).await;
        self.deliver_all().await;
        assert_eq!(self.status(&checkout).await, Status::Paid);
        checkout
    }

    pub(crate) async fn pay(&self, checkout: &Checkout, card: &str) {
        drop(self.sim.pay(&checkout.session, card).await.unwrap());
    }

    /// Delivers every event that Stripe has made so far.
    pub(crate) async fn deliver_all(&self) {
        for event in self.sim.events() {
            let answer = self.app.deliver(&event).await;
            assert_eq!(answer.status, 200, "{event}");
        }
    }

    pub(crate) async fn status(&self, checkout: &Checkout) -> Status {
        self.app.status(checkout.booking).await
    }

    pub(crate) async fn booking(&self, checkout: &Checkout) -> Booking {
        self.app.booking(checkout.booking).await
    }

    pub(crate) fn advance(&self, by: Duration) {
        self.app.clock.advance(by);
        self.sim_clock.advance(by);
    }

    pub(crate) async fn reconcile(&self, options: Options) -> Report {
        reconcile::run(&self.app.app, options).await.unwrap()
    }

    /// Everything of that kind fails like this at Stripe, or the next `times`.
    pub(crate) fn fault(&self, kind: ApiFaultKind, method: &str, path: &str, times: Option<u32>) {
        let fault = ApiFault {
            method: Some(method.to_owned()),
            path: Some(path.to_owned()),
            next: times,
            ..ApiFault::of(kind, 100)
        };
        self.sim.set_faults(Faults { api: vec![fault], ..Faults::default() });
    }

    pub(crate) fn no_faults(&self) {
        self.sim.set_faults(Faults::default());
    }

    /// The refunds that Stripe has of a booking's payment.
    pub(crate) async fn refunds_at_stripe(&self, checkout: &Checkout) -> Vec<Value> {
        let session = self.sim.object(&checkout.session).unwrap();
        let intent = session["payment_intent"].as_str().unwrap().to_owned();
        self.list_at_stripe(&format!("/v1/refunds?payment_intent={intent}")).await
    }

    /// A list of Stripe's, as it tells it.
    pub(crate) async fn list_at_stripe(&self, path: &str) -> Vec<Value> {
        list_at_stripe(&self.sim, path).await
    }

    /// No invariant of the ledger is broken.
    pub(crate) async fn assert_sound(&self) {
        self.app.db.assert_sound().await;
    }
}

/// A list of Stripe's, as it tells it: one page of the most that it gives.
pub(crate) async fn list_at_stripe(sim: &Sim, path: &str) -> Vec<Value> {
    let joint = if path.contains('?') { '&' } else { '?' };
    let url = format!("{}{path}{joint}limit=100", sim.base_url());
    let answer = reqwest::Client::new().get(url).bearer_auth("sk_test_looking").send().await.unwrap();
    let list: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    list["data"].as_array().unwrap_or_else(|| panic!("{list}")).clone()
}
