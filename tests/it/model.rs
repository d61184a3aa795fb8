//! Random lives with the operator's hands in them, against an independent model.
//!
//! Customers book, pay, fail to pay and come back; Stripe tells its events to whichever instance, several times and
//! in any order; and meanwhile people refund, cancel, settle cases, replay events and change the capacity, and an
//! instance is killed. All of that at the same moment, on PostgreSQL with two instances. When it is quiet the books
//! are compared with what the simulated Stripe has, asked over HTTP and counted here by rules of this file alone.
//!
//! Some seconds of it in every run of the tests; `MODEL_SECONDS=600 cargo test --test it model::` at length.
//! `MODEL_SEED` repeats the operations of a run, though not how they met.

use crate::harness::app::{delivery, try_send};
use crate::harness::postgres::environment;
use crate::harness::{Engine, TestApp, TestDatabase, lost, on_each_engine};
use crate::shop::{ADMIN, DISPUTED, FAILED_REFUND, HOLD, Shop, VISA};
use checkout_backend::flow::checkout::{self, Caller};
use checkout_backend::flow::reconcile::{self, Options};
use checkout_backend::flow::{call_off, cases, refund, replay};
use domain::booking::{Booking, BookingRequest, Status};
use domain::cancel::GiveBack;
use domain::case::CaseAction;
use domain::ids::BookingId;
use domain::lang::Lang;
use domain::role::Role;
use futures_util::future::join_all;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use store::bookings::BookingFilter;
use store::page::PageRequest;

on_each_engine! {
    whatever_people_and_stripe_do_at_once_the_books_are_what_stripe_has,
}

/// Rounds of a life, and operations that happen at the same moment in each.
const ROUNDS: u64 = 14;
const AT_ONCE: u64 = 6;
/// Slots that a life is about: few, so that it is crowded.
const SLOTS: u64 = 3;

/// Numbers from a seed.
struct Dice(AtomicU64);

impl Dice {
    fn next(&self) -> u64 {
        let mut z = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    fn of<'a, T>(&self, all: &'a [T]) -> Option<&'a T> {
        let place = self.below(u64::try_from(all.len()).unwrap());
        all.get(usize::try_from(place).unwrap())
    }
}

struct World {
    shop: Shop,
    dice: Dice,
    instances: Mutex<Vec<Arc<TestApp>>>,
    acknowledged: Mutex<BTreeSet<String>>,
    slots: Vec<BookingRequest>,
}

#[derive(Debug, Clone, Copy)]
enum Deed {
    Book,
    Pay,
    Settle,
    Deliver,
    Refund,
    Cancel,
    Case,
    Replay,
    Capacity,
    Ask,
    HoldsEnd,
    Kill,
}

/// What is done how often.
const DEEDS: [(Deed, u64); 12] = [
    (Deed::Book, 24),
    (Deed::Pay, 18),
    (Deed::Settle, 4),
    (Deed::Deliver, 22),
    (Deed::Refund, 8),
    (Deed::Cancel, 7),
    (Deed::Case, 8),
    (Deed::Replay, 4),
    (Deed::Capacity, 5),
    (Deed::Ask, 5),
    (Deed::HoldsEnd, 2),
    (Deed::Kill, 2),
];

async fn whatever_people_and_stripe_do_at_once_the_books_are_what_stripe_has(db: TestDatabase) {
    let number = |name: &str| environment(name).and_then(|text| text.parse::<u64>().ok());
    let seconds = number("MODEL_SECONDS").unwrap_or(6);
    let first = number("MODEL_SEED").unwrap_or_else(|| u64::from(rand::random::<u32>()));
    let until = Instant::now() + Duration::from_secs(seconds);
    let mut seed = first;
    while seed == first || Instant::now() < until {
        println!("MODEL_SEED={seed}");
        life(&db, seed).await;
        seed += 1;
    }
}

async fn life(db: &TestDatabase, seed: u64) {
    // A database, a Stripe and slots of its own.
    let fresh = TestDatabase::fresh(db.engine).await;
    let shop = Shop::open(&fresh).await;
    let mut instances = vec![Arc::new(shop.another().await)];
    if db.engine == Engine::Postgres {
        instances.push(Arc::new(shop.another().await));
    }
    let world = World {
        slots: (0..SLOTS).map(|_| Shop::request()).collect(),
        shop,
        dice: Dice(AtomicU64::new(seed)),
        instances: Mutex::new(instances),
        acknowledged: Mutex::default(),
    };
    world.capacity(2).await;
    let mut done = Vec::new();
    for _ in 0..ROUNDS {
        let deeds: Vec<Deed> = (0..AT_ONCE).map(|_| world.deed()).collect();
        done.push(deeds.clone());
        join_all(deeds.into_iter().map(|deed| world.act(deed))).await;
        // Whatever is under way, no seat is sold twice and no money counted twice.
        fresh.assert_sound().await;
    }
    let mut wrong = world.stray_pages().await;
    world.be_quiet().await;
    wrong.extend(world.compare().await);
    assert!(wrong.is_empty(), "MODEL_SEED={seed} on {:?}: {wrong:#?}\nafter {done:?}", db.engine);
    let acknowledged = world.acknowledged.lock().unwrap().clone();
    assert_eq!(lost(&fresh, acknowledged).await, Vec::<String>::new());
    fresh.assert_sound().await;
    drop(world);
    fresh.remove().await;
}

impl World {
    fn deed(&self) -> Deed {
        let mut at = self.dice.below(DEEDS.iter().map(|(_, weight)| weight).sum());
        for (deed, weight) in DEEDS {
            if at < weight {
                return deed;
            }
            at -= weight;
        }
        Deed::Book
    }

    fn instance(&self) -> Arc<TestApp> {
        let instances = self.instances.lock().unwrap();
        Arc::clone(self.dice.of(&instances).unwrap())
    }

    /// Does it, or not, as things are: what cannot be done is refused, and that is the program's business. What
    /// counts is what the books say in the end.
    async fn act(&self, deed: Deed) {
        let app = self.instance();
        match deed {
            Deed::Book => self.book(&app).await,
            Deed::Pay => self.pay().await,
            Deed::Settle => {
                for session in self.listed("/v1/checkout/sessions").await {
                    if session["payment_status"] == "unpaid" && session["status"] == "complete" {
                        self.shop.sim.settle(text(&session, "id"), self.dice.below(3) > 0);
                    }
                }
            }
            Deed::Deliver => self.deliver(&app).await,
            Deed::Refund => {
                let Some(booking) = self.some_booking(&app).await else { return };
                let amount = [None, Some(1000), Some(2500), Some(6000)];
                let amount = *self.dice.of(&amount).unwrap();
                let key = format!("key-{}", self.dice.below(6));
                drop(refund::refund(&app.app, booking.id, amount, &key, ADMIN).await);
            }
            Deed::Cancel => {
                let Some(booking) = self.some_booking(&app).await else { return };
                let wishes = [
                    None,
                    None,
                    Some(GiveBack::All),
                    Some(GiveBack::Nothing),
                    Some(GiveBack::Part(1000)),
                    Some(GiveBack::Part(6000)),
                ];
                let wish = *self.dice.of(&wishes).unwrap();
                drop(call_off::call_off(&app.app, booking.id, wish, "by dice", ADMIN).await);
            }
            Deed::Case => self.settle_a_case(&app).await,
            Deed::Replay => {
                let ids = app.db.texts("select event_key from payment_events").await;
                if let Some(id) = self.dice.of(&ids) {
                    drop(replay::replay(&app.app, id, ADMIN).await);
                }
            }
            Deed::Capacity => self.capacity(self.dice.below(3) + 1).await,
            Deed::Ask => {
                drop(reconcile::check_due(&app.app).await);
                drop(refund::resolve_due(&app.app).await);
            }
            Deed::HoldsEnd => {
                // Of all at once: they share the time.
                let instances = self.instances.lock().unwrap().clone();
                for instance in instances.iter().map(|instance| &instance.clock).chain([&self.shop.app.clock])
                {
                    instance.advance(HOLD);
                }
                self.shop.sim_clock.advance(HOLD);
            }
            Deed::Kill => self.kill().await,
        }
    }

    async fn book(&self, app: &TestApp) {
        let mut request = self.dice.of(&self.slots).unwrap().clone();
        let person = self.dice.below(5);
        request.first_name = format!("Person {person}");
        let caller = Caller {
            idempotency_key: (self.dice.below(3) == 0).then(|| format!("key-{}", self.dice.below(8))),
            owner_hash: (self.dice.below(2) == 0).then(|| format!("browser-{person}")),
            lang: Lang::Fr,
            instead: self.dice.below(4) == 0,
            client: None,
        };
        drop(checkout::start(&app.app, &request, &caller).await);
    }

    async fn pay(&self) {
        const DECLINED: &str = "4000000000000002";
        let sessions = self.listed("/v1/checkout/sessions").await;
        let open: Vec<_> = sessions.iter().filter(|session| session["status"] == "open").collect();
        let Some(session) = self.dice.of(&open) else { return };
        let cards = [VISA, VISA, VISA, DECLINED, DISPUTED, FAILED_REFUND, "sepa_debit"];
        let card = self.dice.of(&cards).unwrap();
        drop(self.shop.sim.pay(text(session, "id"), card).await);
    }

    /// Some events, of any age, perhaps twice, to one instance.
    async fn deliver(&self, app: &TestApp) {
        let events = self.shop.sim.events();
        for _ in 0..self.dice.below(8) {
            let Some(event) = self.dice.of(&events) else { return };
            self.tell(app, event).await;
        }
    }

    async fn tell(&self, app: &TestApp, event: &Value) -> bool {
        let answer = try_send(delivery(&app.http, &app.url, &app.clock, event)).await;
        let taken = answer.is_ok_and(|answer| answer.status == 200);
        if taken {
            self.acknowledged.lock().unwrap().insert(text(event, "id").to_owned());
        }
        taken
    }

    async fn bookings(&self, app: &TestApp) -> Vec<Booking> {
        let (mut all, mut page) = (Vec::new(), PageRequest { limit: 100, after: None });
        loop {
            let Ok(mut tx) = app.app.store.read().await else { return all };
            let Ok(listed) = tx.list_bookings(&BookingFilter::default(), &page).await else { return all };
            all.extend(listed.items);
            page.after = listed.next;
            if page.after.is_none() {
                return all;
            }
        }
    }

    async fn some_booking(&self, app: &TestApp) -> Option<Booking> {
        let bookings = self.bookings(app).await;
        self.dice.of(&bookings).cloned()
    }

    async fn settle_a_case(&self, app: &TestApp) {
        let Ok(mut tx) = app.app.store.read().await else { return };
        let Ok(page) = tx.list_cases(None, &PageRequest { limit: 100, after: None }).await else { return };
        drop(tx);
        let Some(case) = self.dice.of(&page.items) else { return };
        let Some(action) = self.dice.of(case.kind.actions()).copied() else { return };
        let booking = match action {
            CaseAction::Attach => self.some_booking(app).await.map(|booking| booking.id),
            _ => None,
        };
        let decision = cases::Decision {
            case: case.id,
            action,
            note: Some("decided by dice"),
            booking,
            actor: ADMIN,
            role: Role::Admin,
        };
        drop(cases::decide(&app.app, decision).await);
    }

    async fn capacity(&self, capacity: u64) {
        // As `update_offer` does. It may have to wait for a sale, and give up: then it is what it was.
        let sql = format!("update offers set capacity = {capacity}, capacity_version = capacity_version + 1");
        drop(self.shop.app.db.try_execute(&sql).await);
    }

    /// Kills an instance, whatever it is doing, and starts another.
    async fn kill(&self) {
        let killed = self.instance();
        killed.kill().await;
        let another = Arc::new(self.shop.another().await);
        let ahead = killed.clock.now().since(another.clock.now());
        another.clock.advance(ahead);
        let mut instances = self.instances.lock().unwrap();
        instances.retain(|instance| !Arc::ptr_eq(instance, &killed));
        instances.push(another);
    }

    /// Everything is told and asked about, until nothing changes any more.
    async fn be_quiet(&self) {
        let app = self.instance();
        for session in self.listed("/v1/checkout/sessions").await {
            if session["payment_status"] == "unpaid" && session["status"] == "complete" {
                self.shop.sim.settle(text(&session, "id"), true);
            }
        }
        for _ in 0..3 {
            for event in self.shop.sim.events() {
                assert!(self.tell(&app, &event).await, "not acknowledged: {event}");
            }
            // Beyond every retry, lease and parking time.
            app.clock.advance(Duration::from_secs(3700));
            self.shop.sim_clock.advance(Duration::from_secs(3700));
            drop(refund::resolve_due(&app.app).await);
            let report =
                reconcile::run(&app.app, Options { feed: false, ..Options::default() }).await.unwrap();
            assert_eq!(report.failures, Vec::<String>::new());
            reconcile::check_due(&app.app).await.unwrap();
        }
    }

    /// Pages that can be paid although nobody waits for them, when every event has been told and no time has passed.
    async fn stray_pages(&self) -> Vec<String> {
        let app = self.instance();
        for event in self.shop.sim.events() {
            assert!(self.tell(&app, &event).await, "not acknowledged: {event}");
        }
        let report = reconcile::run(&app.app, Options { feed: false, ..Options::default() }).await.unwrap();
        assert_eq!(report.failures, Vec::<String>::new());
        let bookings = self.bookings(&app).await;
        let waits = |id: &str| {
            bookings.iter().any(|booking| {
                booking.status() == Status::Pending
                    && booking.session.as_ref().is_some_and(|own| own.as_str() == id)
            })
        };
        let sessions = self.listed("/v1/checkout/sessions").await;
        let open = sessions.iter().filter(|session| session["status"] == "open");
        open.filter(|session| !waits(text(session, "id")))
            .map(|session| format!("can be paid and nobody waits for it: {session}"))
            .collect()
    }

    /// A list of the simulated Stripe's, whole, read without the program's own client.
    async fn listed(&self, path: &str) -> Vec<Value> {
        let (mut all, mut after) = (Vec::new(), String::new());
        loop {
            let url = format!("{}{path}?limit=100{after}", self.shop.sim.base_url());
            let request = self.shop.app.http.get(url).bearer_auth("sk_test_4eC39HqLyjWDarjtT1zdp7dc");
            let page = try_send(request).await.unwrap().json();
            let items = page["data"].as_array().unwrap_or_else(|| panic!("{page}")).clone();
            let Some(last) = items.last() else { return all };
            after = format!("&starting_after={}", text(last, "id"));
            all.extend(items);
            if page["has_more"] != true {
                return all;
            }
        }
    }

    /// Everything in which the books are not what Stripe has.
    async fn compare(&self) -> Vec<String> {
        let app = self.instance();
        let mut wrong = Vec::new();
        let sessions = self.listed("/v1/checkout/sessions").await;
        let refunds = self.listed("/v1/refunds").await;
        let disputes = self.listed("/v1/disputes").await;
        let bookings: BTreeMap<BookingId, Booking> =
            self.bookings(&app).await.into_iter().map(|booking| (booking.id, booking)).collect();
        let paying: HashMap<String, &Booking> = bookings
            .values()
            .filter_map(|booking| Some((booking.payment()?.session.to_string(), booking)))
            .collect();
        let cases: BTreeSet<String> = app
            .db
            .texts("select stripe_session_id from cases where stripe_session_id is not null")
            .await
            .into_iter()
            .collect();

        // Each session: money is a booking's or a person's business.
        for session in &sessions {
            let id = text(session, "id");
            if session["payment_status"] == "paid" {
                match paying.get(id) {
                    Some(booking) => {
                        let paid = booking.payment().unwrap();
                        if Some(paid.amount) != session["amount_total"].as_i64() {
                            wrong.push(format!("{}: {} was paid by {session}", booking.id, paid.amount));
                        }
                    }
                    None if cases.contains(id) => {}
                    None => wrong.push(format!("nobody knows of the money of {session}")),
                }
            } else if paying.contains_key(id) {
                wrong.push(format!("{id} pays a booking and was not paid: {session}"));
            }
        }
        // Each booking: its status is what its payment's refunds and disputes make it.
        for booking in bookings.values() {
            let Some(payment) = booking.payment() else {
                if matches!(
                    booking.status(),
                    Status::Paid | Status::PartiallyRefunded | Status::Refunded | Status::Disputed
                ) {
                    wrong.push(format!("{} is {} and has no payment", booking.id, booking.status()));
                }
                continue;
            };
            let intent = payment.intent.as_ref().map(ToString::to_string);
            let of_payment = |object: &&Value| object["payment_intent"].as_str() == intent.as_deref();
            let gone: i64 = refunds
                .iter()
                .filter(of_payment)
                .filter(|refund| !["failed", "canceled"].contains(&text(refund, "status")))
                .map(|refund| refund["amount"].as_i64().unwrap())
                .sum();
            let held = disputes
                .iter()
                .filter(of_payment)
                .any(|dispute| ["needs_response", "under_review", "lost"].contains(&text(dispute, "status")));
            let expected = match gone {
                _ if held => Status::Disputed,
                0 => Status::Paid,
                gone if gone >= payment.amount => Status::Refunded,
                _ => Status::PartiallyRefunded,
            };
            if booking.status() != expected {
                wrong.push(format!(
                    "{} is {} and should be {expected}: {gone} of {} went back",
                    booking.id,
                    booking.status(),
                    payment.amount
                ));
            }
            if gone > payment.amount {
                wrong.push(format!("{gone} of {} went back for {}", payment.amount, booking.id));
            }
        }
        // Each refund that we asked for was made once.
        let mut asked = BTreeMap::<&str, u32>::new();
        for refund in &refunds {
            if let Some(ours) = refund["metadata"]["refund_intent"].as_str() {
                *asked.entry(ours).or_default() += 1;
            }
        }
        wrong.extend(
            asked.iter().filter(|(_, times)| **times > 1).map(|(id, n)| format!("{id} was made {n} times")),
        );
        // Seats: whoever is owed one has it, or a person knows; whoever is not has none.
        for booking in bookings.values() {
            let owed = match booking.status() {
                _ if booking.is_called_off() => false,
                Status::Pending | Status::Paid | Status::PartiallyRefunded => true,
                Status::Processing | Status::Disputed => booking.seat.is_some(),
                Status::Expired | Status::Failed | Status::Cancelled | Status::Refunded => false,
            };
            let known = !booking.cases.is_empty();
            if owed != booking.seat.is_some() && !(owed && known) {
                wrong.push(format!("{} is {} with seat {:?}", booking.id, booking.status(), booking.seat));
            }
        }
        wrong
    }
}

fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value[member].as_str().unwrap_or_else(|| panic!("no {member} in {value}"))
}
