//! The simulated account: all objects, the events about them, and the deliveries that are due.
//!
//! The world changes only through [`World::begin`] … [`World::end`], so that the events of one change
//! belong together. Nothing here does I/O; rules for each kind of object stand in `rules`.

use super::account::Account;
use super::deliveries::{Book, Delivery, DeliveryState};
use super::faults::{Dice, Faults};
use super::model::{
    BalanceTransaction, Charge, Coupon, Customer, Dispute, Endpoint, Event, Intent, PaymentLink,
    PaymentMethod, Price, Product, PromotionCode, Record, Refund, Session, SetupIntent, ShippingRate, Table,
    TaxRate,
};
use super::{ids, objects};
use clock::Clock;
use clock::Timestamp;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Objects of one kind that are kept; beyond it the oldest settled ones are forgotten.
pub(crate) const MAX_OBJECTS: usize = 20_000;
/// Events that are kept. Stripe keeps thirty days of them.
pub(crate) const MAX_EVENTS: usize = 50_000;
/// Deliveries that are kept, finished ones forgotten first.
const MAX_DELIVERIES: usize = 100_000;
/// Stripe's events feed goes back thirty days.
pub(crate) const EVENT_SECONDS: i64 = 30 * 24 * 3600;
/// Money is available two days after it came in.
const AVAILABLE_SECONDS: i64 = 2 * 24 * 3600;

/// The request that causes a change, as its events tell it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cause {
    pub request: Option<String>,
    pub idempotency_key: Option<String>,
}

impl Cause {
    /// Nobody's request: time has passed, or the network acts.
    pub(crate) fn automatic() -> Self {
        Self::default()
    }

    /// The payment page's own request, with a key of its own as in Stripe.
    pub(crate) fn page() -> Self {
        Self { request: Some(ids::request()), idempotency_key: Some(uuid::Uuid::new_v4().to_string()) }
    }
}

#[derive(Debug)]
pub(crate) struct World {
    pub clock: Clock,
    /// Base of the links to the payment page, without a slash at the end.
    pub public_url: String,
    /// For requests that name no version, and for events.
    pub api_version: String,
    pub account: Account,
    pub sessions: Table<Session>,
    pub intents: Table<Intent>,
    pub charges: Table<Charge>,
    pub refunds: Table<Refund>,
    pub disputes: Table<Dispute>,
    pub methods: Table<PaymentMethod>,
    pub transactions: Table<BalanceTransaction>,
    pub customers: Table<Customer>,
    pub products: Table<Product>,
    pub prices: Table<Price>,
    pub coupons: Table<Coupon>,
    pub promotion_codes: Table<PromotionCode>,
    pub tax_rates: Table<TaxRate>,
    pub shipping_rates: Table<ShippingRate>,
    pub payment_links: Table<PaymentLink>,
    pub setup_intents: Table<SetupIntent>,
    pub endpoints: Table<Endpoint>,
    pub events: Table<Event>,
    pub deliveries: Book,
    pub faults: Faults,
    pub dice: Dice,
    /// Ordinals that the dice go by.
    pub events_made: u64,
    pub requests_seen: u64,
    /// How long delayed methods and refunds take, by the clock.
    pub settle_after: Duration,
    /// When something happens by itself, and to which object.
    timers: BTreeSet<(i64, String)>,
    cause: Cause,
    /// When the change that runs began: all that it tells is due then, whatever the clock does meanwhile.
    began: Timestamp,
    born: Vec<u64>,
    changed_events: Vec<String>,
}

impl World {
    pub(crate) fn new(clock: Clock, public_url: String, seed: u64, settle_after: Duration) -> Self {
        Self {
            clock,
            public_url,
            api_version: crate::versions::NEWEST.to_owned(),
            account: Account::default(),
            sessions: Table::new(MAX_OBJECTS),
            intents: Table::new(MAX_OBJECTS),
            charges: Table::new(MAX_OBJECTS),
            refunds: Table::new(MAX_OBJECTS),
            disputes: Table::new(MAX_OBJECTS),
            methods: Table::new(MAX_OBJECTS),
            transactions: Table::new(MAX_OBJECTS),
            customers: Table::new(MAX_OBJECTS),
            products: Table::new(MAX_OBJECTS),
            prices: Table::new(MAX_OBJECTS),
            coupons: Table::new(MAX_OBJECTS),
            promotion_codes: Table::new(MAX_OBJECTS),
            tax_rates: Table::new(MAX_OBJECTS),
            shipping_rates: Table::new(MAX_OBJECTS),
            payment_links: Table::new(MAX_OBJECTS),
            setup_intents: Table::new(MAX_OBJECTS),
            endpoints: Table::new(1_000),
            events: Table::new(MAX_EVENTS),
            deliveries: Book::default(),
            faults: Faults::default(),
            dice: Dice { seed },
            events_made: 0,
            requests_seen: 0,
            settle_after,
            timers: BTreeSet::new(),
            cause: Cause::default(),
            began: Timestamp::default(),
            born: Vec::new(),
            changed_events: Vec::new(),
        }
    }

    /// Unix seconds by the simulator's clock.
    pub(crate) fn now(&self) -> i64 {
        self.clock.now().as_unix_seconds()
    }

    fn date(&self) -> jiff::civil::DateTime {
        jiff::tz::TimeZone::UTC.to_datetime(self.clock.now().to_jiff())
    }

    /// The calendar year by the simulator's clock, in UTC.
    pub(crate) fn year(&self) -> i64 {
        i64::from(self.date().year())
    }

    /// The calendar month, 1 to 12, likewise.
    pub(crate) fn month(&self) -> i64 {
        i64::from(self.date().month())
    }

    /// When something that takes a while is done.
    pub(crate) fn settles_at(&self) -> i64 {
        self.clock.now().plus(self.settle_after).as_unix_seconds()
    }

    /// The hosted payment page of a session.
    pub(crate) fn page_url(&self, session: &str) -> String {
        format!("{}/c/pay/{session}", self.public_url)
    }

    /// Notes that at `at` something is due for the object `id`.
    pub(crate) fn remind(&mut self, at: i64, id: &str) {
        self.timers.insert((at, id.to_owned()));
    }

    /// The next object for which something is due now.
    pub(crate) fn due(&mut self) -> Option<String> {
        let now = self.now();
        let first = self.timers.first()?;
        if first.0 > now {
            return None;
        }
        self.timers.pop_first().map(|(_, id)| id)
    }

    /// Starts a change that `cause` brings about.
    pub(crate) fn begin(&mut self, cause: Cause) {
        self.cause = cause;
        self.began = self.clock.now();
        self.born.clear();
        self.changed_events.clear();
    }

    /// Ends the change: its deliveries are put in order. Returns the ids of its events.
    pub(crate) fn end(&mut self) -> Vec<String> {
        self.cause = Cause::default();
        let born = std::mem::take(&mut self.born);
        let window = self.faults.reorder_window;
        if window > 1 && born.len() > 1 {
            let mut order = born.clone();
            self.dice.shuffle("reorder", self.events_made, window, &mut order);
            for (place, serial) in born.iter().zip(order) {
                self.deliveries.update(serial, |delivery| delivery.order = *place);
            }
        }
        self.deliveries.trim(MAX_DELIVERIES);
        std::mem::take(&mut self.changed_events)
    }

    /// Tells of `object` as part of the request that runs.
    pub(crate) fn emit(&mut self, kind: &str, object: Value) {
        self.tell(kind, &object, None, self.cause.clone());
    }

    /// As [`Self::emit`], with the former values of what changed.
    pub(crate) fn emit_update(&mut self, kind: &str, object: Value, previous: Value) {
        self.tell(kind, &object, Some(previous), self.cause.clone());
    }

    /// Tells that the object `id`, which looked like `before`, looks different now; if it does.
    pub(crate) fn emit_change(&mut self, kind: &str, id: &str, before: &Value) {
        let Some(object) = self.object(id) else { return };
        let previous = objects::former(before, &object);
        if !previous.is_empty() {
            self.emit_update(kind, object, Value::Object(previous));
        }
    }

    /// Tells of `object` as something that Stripe did by itself: `request.id` is null.
    pub(crate) fn emit_automatic(&mut self, kind: &str, object: Value) {
        self.tell(kind, &object, None, Cause::automatic());
    }

    fn tell(&mut self, kind: &str, object: &Value, previous: Option<Value>, cause: Cause) {
        let ordinal = self.events_made;
        self.events_made += 1;
        let twins = if self.dice.strikes("twin", ordinal, self.faults.twin_percent) { 2 } else { 1 };
        for _ in 0..twins {
            let event = Event {
                id: ids::object("evt"),
                created: self.now(),
                kind: kind.to_owned(),
                object: object.to_string(),
                previous: previous.clone(),
                request: cause.request.clone(),
                idempotency_key: cause.idempotency_key.clone(),
                api_version: self.api_version.clone(),
            };
            self.schedule(&event, ordinal);
            self.changed_events.push(event.id.clone());
            self.events.insert(event);
        }
    }

    /// Makes the deliveries of a new event, one for each endpoint that wants it.
    fn schedule(&mut self, event: &Event, ordinal: u64) {
        let endpoints: Vec<String> =
            self.endpoints.iter().filter(|e| e.wants(&event.kind)).map(|e| e.id.clone()).collect();
        for (index, endpoint) in endpoints.into_iter().enumerate() {
            let n = ordinal.wrapping_mul(64).wrapping_add(index as u64);
            let faults = &self.faults;
            let mut due = self.began;
            if let Some(delay) = &faults.delay
                && self.dice.strikes("delay", n, delay.percent)
            {
                let span = delay.max_ms.saturating_sub(delay.min_ms).saturating_add(1);
                due = due.plus(Duration::from_millis(delay.min_ms + self.dice.below("delay-ms", n, span)));
            }
            let duplicate =
                faults.duplicate.as_ref().filter(|d| self.dice.strikes("duplicate", n, d.percent));
            let copies = duplicate.map_or(0, |d| d.copies);
            let dropped = faults.drop.as_ref().filter(|d| self.dice.strikes("drop", n, d.percent));
            let (lose_first, lost) = (dropped.is_some(), dropped.is_some_and(|d| d.forever));
            let wrong_signature = self.dice.strikes("signature", n, faults.wrong_signature_percent);
            self.push_delivery(Delivery {
                event: event.id.clone(),
                endpoint,
                state: if lost { DeliveryState::Lost } else { DeliveryState::Pending },
                due,
                order: 0,
                copies,
                lose_first,
                wrong_signature,
                attempts: Vec::new(),
            });
        }
    }

    /// Adds a delivery behind all others.
    pub(crate) fn push_delivery(&mut self, delivery: Delivery) {
        let serial = self.deliveries.push(delivery);
        self.born.push(serial);
    }

    /// How many endpoints have not yet acknowledged this event.
    pub(crate) fn pending_webhooks(&self, event: &str) -> usize {
        let waiting: BTreeSet<&str> = self
            .deliveries
            .of(event)
            .filter(|d| d.state == DeliveryState::Pending)
            .map(|d| d.endpoint.as_str())
            .collect();
        waiting.len()
    }

    /// Books money that came in (`amount` > 0) or went out. Returns the transaction's id.
    pub(crate) fn book(&mut self, booking: Booking<'_>) -> String {
        let created = self.now();
        let transaction = BalanceTransaction {
            id: ids::object("txn"),
            created,
            available_on: created.saturating_add(AVAILABLE_SECONDS),
            amount: booking.amount,
            fee: booking.fee,
            currency: booking.currency.to_owned(),
            kind: booking.kind.to_owned(),
            reporting_category: booking.category.to_owned(),
            description: booking.description,
            source: booking.source.to_owned(),
        };
        let id = transaction.id.clone();
        self.transactions.insert(transaction);
        id
    }

    /// Any object by its id, as it looks on the wire.
    pub(crate) fn object(&self, id: &str) -> Option<Value> {
        let prefix = id.split('_').next().unwrap_or_default();
        match prefix {
            "cs" => self.sessions.get(id).map(|s| objects::session(self, s)),
            "pi" => self.intents.get(id).map(objects::intent),
            "ch" | "py" => self.charges.get(id).map(|c| objects::charge(self, c)),
            "re" | "pyr" => self.refunds.get(id).map(objects::refund),
            "du" | "dp" => self.disputes.get(id).map(|d| objects::dispute(self, d)),
            "pm" => self.methods.get(id).map(objects::payment_method),
            "txn" => self.transactions.get(id).map(objects::transaction),
            "cus" => self.customers.get(id).map(objects::customer),
            "price" => self.prices.get(id).map(objects::price),
            "promo" => self.promotion_codes.get(id).map(|t| objects::thing(self, t)),
            "txr" => self.tax_rates.get(id).map(|t| objects::thing(self, t)),
            "shr" => self.shipping_rates.get(id).map(|t| objects::thing(self, t)),
            "plink" => self.payment_links.get(id).map(|t| objects::thing(self, t)),
            "seti" => self.setup_intents.get(id).map(|t| objects::thing(self, t)),
            "we" => self.endpoints.get(id).map(|e| objects::endpoint(e, false)),
            "evt" => self.events.get(id).map(|e| objects::event(self, e)),
            _ => {
                let coupon = || self.coupons.get(id).map(|t| objects::thing(self, t));
                self.products.get(id).map(objects::product).or_else(coupon)
            }
        }
    }

    /// All objects that the summary counts.
    pub(crate) fn counts(&self) -> BTreeMap<&'static str, usize> {
        BTreeMap::from([
            ("checkout_sessions", self.sessions.len()),
            ("payment_intents", self.intents.len()),
            ("charges", self.charges.len()),
            ("refunds", self.refunds.len()),
            ("disputes", self.disputes.len()),
            ("events", self.events.len()),
            ("webhook_endpoints", self.endpoints.len()),
            ("deliveries_pending", self.deliveries.waiting()),
        ])
    }
}

/// One movement of money.
#[derive(Debug)]
pub(crate) struct Booking<'a> {
    pub amount: i64,
    pub fee: i64,
    pub currency: &'a str,
    pub kind: &'a str,
    pub category: &'a str,
    pub description: Option<String>,
    pub source: &'a str,
}

/// Whether a record is within `[since, …]`; shared by those who forget old ones.
pub(crate) fn younger_than(record: &impl Record, since: i64) -> bool {
    record.created() >= since
}
