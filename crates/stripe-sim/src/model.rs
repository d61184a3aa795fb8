//! What the simulator remembers. How objects look on the wire is `objects`' matter, what may happen
//! to them is `rules`'.
//!
//! Times are unix seconds by the simulator's clock, amounts are minor units.

use super::cards::Instrument;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

/// Texts by name, as Stripe keeps them.
pub(crate) type Metadata = BTreeMap<String, String>;

/// A remembered object with an id of its own.
pub(crate) trait Record {
    fn id(&self) -> &str;
    fn created(&self) -> i64;
    /// Whether nothing more can happen to it, so that it may be forgotten when there are too many.
    fn settled(&self) -> bool {
        true
    }
}

/// How many of the oldest rows are looked at to find one that may be forgotten.
const LOOKED_AT: usize = 1_000;
/// Places of rows that are gone which are remembered, for cursors.
const MAX_FORMER: usize = 1_000;

/// Objects of one kind in the order of their creation, found by id.
#[derive(Debug, Clone)]
pub(crate) struct Table<T> {
    rows: BTreeMap<u64, T>,
    by_id: HashMap<String, u64>,
    next: u64,
    max: usize,
    /// What the data file does not yet have: rows by their place, and ids that are gone.
    changed: BTreeSet<u64>,
    gone: Vec<String>,
    /// Where rows stood that are gone, oldest first: they still are cursors for who pages through the list.
    former: VecDeque<(String, u64)>,
}

impl<T: Record> Table<T> {
    /// An empty table that keeps at most about `max` objects: beyond it, settled ones are forgotten,
    /// oldest first; beyond twice as many, all that are oldest.
    pub(crate) fn new(max: usize) -> Self {
        Self {
            rows: BTreeMap::new(),
            by_id: HashMap::new(),
            next: 0,
            max,
            changed: BTreeSet::new(),
            gone: Vec::new(),
            former: VecDeque::new(),
        }
    }

    pub(crate) fn insert(&mut self, row: T) {
        self.by_id.insert(row.id().to_owned(), self.next);
        self.changed.insert(self.next);
        self.rows.insert(self.next, row);
        self.next += 1;
        while self.rows.len() > self.max {
            let settled = self.rows.values().take(LOOKED_AT).find(|row| row.settled());
            let oldest = self.rows.values().next().filter(|_| self.rows.len() > self.max.saturating_mul(2));
            let Some(id) = settled.or(oldest).map(|row| row.id().to_owned()) else { break };
            self.remove(&id);
        }
    }

    /// Puts a row in the place of the one with its id, or behind all others if there is none.
    pub(crate) fn put(&mut self, row: T) {
        match self.get_mut(row.id()) {
            Some(kept) => *kept = row,
            None => self.insert(row),
        }
    }

    pub(crate) fn get(&self, id: &str) -> Option<&T> {
        self.rows.get(self.by_id.get(id)?)
    }

    /// The row, to be changed: it counts as changed.
    pub(crate) fn get_mut(&mut self, id: &str) -> Option<&mut T> {
        let at = self.by_id.get(id)?;
        self.changed.insert(*at);
        self.rows.get_mut(at)
    }

    pub(crate) fn remove(&mut self, id: &str) -> Option<T> {
        let at = self.by_id.remove(id)?;
        self.changed.remove(&at);
        self.gone.push(id.to_owned());
        if self.former.len() >= MAX_FORMER {
            self.former.pop_front();
        }
        self.former.push_back((id.to_owned(), at));
        self.rows.remove(&at)
    }

    /// Where this id stands in the order of creation, or stood before it went.
    pub(crate) fn place(&self, id: &str) -> Option<u64> {
        let former = || self.former.iter().rev().find(|(gone, _)| gone == id).map(|(_, at)| *at);
        self.by_id.get(id).copied().or_else(former)
    }

    /// Those before this place, newest first.
    pub(crate) fn older_than(&self, place: u64) -> impl Iterator<Item = &T> {
        self.rows.range(..place).rev().map(|(_, row)| row)
    }

    /// Those behind this place, oldest first.
    pub(crate) fn newer_than(&self, place: u64) -> impl Iterator<Item = &T> {
        self.rows.range(place.saturating_add(1)..).map(|(_, row)| row)
    }

    /// What has changed and what has gone since this was last asked.
    pub(crate) fn news(&mut self) -> (Vec<&T>, Vec<String>) {
        let changed = std::mem::take(&mut self.changed);
        let rows = changed.iter().filter_map(|at| self.rows.get(at)).collect();
        (rows, std::mem::take(&mut self.gone))
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Oldest first.
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &T> {
        self.rows.values()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SessionStatus {
    Open,
    Complete,
    Expired,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum PaymentStatus {
    Paid,
    Unpaid,
    NoPaymentRequired,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Session {
    pub id: String,
    pub created: i64,
    pub expires_at: i64,
    pub mode: String,
    pub status: SessionStatus,
    pub payment_status: PaymentStatus,
    pub currency: Option<String>,
    pub amount_subtotal: i64,
    pub amount_shipping: i64,
    #[serde(default)]
    pub amount_discount: i64,
    /// All tax, and the part of it that comes on top of the prices.
    #[serde(default)]
    pub amount_tax: i64,
    #[serde(default)]
    pub tax_added: i64,
    #[serde(default)]
    pub discounts: Vec<Discount>,
    /// The shipping rates offered; the chosen one is among them.
    #[serde(default)]
    pub shipping_rates: Vec<String>,
    #[serde(default)]
    pub shipping_rate: Option<String>,
    #[serde(default)]
    pub setup_intent: Option<String>,
    #[serde(default)]
    pub payment_link: Option<String>,
    pub lines: Vec<LineItem>,
    pub success_url: Option<String>,
    pub cancel_url: Option<String>,
    pub return_url: Option<String>,
    pub ui_mode: String,
    pub client_secret: Option<String>,
    pub client_reference_id: Option<String>,
    pub customer: Option<String>,
    pub customer_email: Option<String>,
    pub customer_details: Option<Buyer>,
    pub metadata: Metadata,
    pub payment_intent: Option<String>,
    /// `payment_intent_data` as checked: what the intent and its charge will carry.
    pub intent_data: Map<String, Value>,
    pub payment_method_types: Vec<String>,
    pub locale: Option<String>,
    /// The expired session that this one takes up again.
    pub recovered_from: Option<String>,
    /// Members that only echo what was asked, in their shape on the wire.
    pub echo: Map<String, Value>,
}

impl Session {
    pub(crate) fn amount_total(&self) -> i64 {
        self.amount_subtotal
            .saturating_sub(self.amount_discount)
            .saturating_add(self.tax_added)
            .saturating_add(self.amount_shipping)
    }

    /// Whether it sells nothing and only takes a payment method for later.
    pub(crate) fn sets_up(&self) -> bool {
        self.mode == "setup"
    }

    /// A switch that it was made with: `automatic_tax`, `phone_number_collection`…
    pub(crate) fn enabled(&self, name: &str) -> bool {
        self.echo.get(name).is_some_and(|v| *v == Value::Bool(true) || v["enabled"] == true)
    }
}

/// A coupon that counts for a session, and the code by which the buyer named it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Discount {
    pub coupon: String,
    pub promotion_code: Option<String>,
}

/// An object that is little more than what was asked: its members are those on the wire.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Thing {
    pub id: String,
    pub created: i64,
    pub members: Map<String, Value>,
}

impl Thing {
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.members.get(name).and_then(Value::as_str)
    }

    pub(crate) fn int(&self, name: &str) -> Option<i64> {
        self.members.get(name).and_then(Value::as_i64)
    }

    pub(crate) fn flag(&self, name: &str) -> bool {
        self.members.get(name) == Some(&Value::Bool(true))
    }

    pub(crate) fn set(&mut self, name: &str, value: impl Into<Value>) {
        self.members.insert(name.to_owned(), value.into());
    }

    pub(crate) fn add_one(&mut self, name: &str) {
        let next = self.int(name).unwrap_or(0).saturating_add(1);
        self.set(name, next);
    }
}

pub(crate) type Coupon = Thing;
pub(crate) type PromotionCode = Thing;
pub(crate) type TaxRate = Thing;
pub(crate) type ShippingRate = Thing;
pub(crate) type PaymentLink = Thing;
pub(crate) type SetupIntent = Thing;

/// Who paid, as typed on the payment page.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Buyer {
    pub email: Option<String>,
    pub name: Option<String>,
    pub country: Option<String>,
    pub phone: Option<String>,
    /// Where to send what was bought, in its shape on the wire.
    pub shipping: Option<Value>,
    /// Answers to the shop's own questions, by their keys.
    pub answers: BTreeMap<String, String>,
    /// Whether the shop's news are wanted.
    pub news: bool,
}

impl Buyer {
    /// Who pays if nobody says who.
    pub(crate) fn made_up() -> Self {
        Self {
            email: Some("jenny.rosen@example.com".to_owned()),
            name: Some("Jenny Rosen".to_owned()),
            country: Some("FR".to_owned()),
            ..Self::default()
        }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct LineItem {
    pub id: String,
    pub price: String,
    pub description: String,
    pub quantity: i64,
    pub unit_amount: i64,
    /// The whole line, where a price has a fraction of a minor unit: it is rounded once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rounded: Option<i64>,
    pub currency: String,
    pub metadata: Metadata,
    pub adjustable_quantity: Option<Value>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tax_rates: Vec<String>,
    #[serde(default)]
    pub discount: i64,
    /// What of it each discount gives, and each tax takes.
    #[serde(default)]
    pub tax: i64,
    #[serde(default)]
    pub tax_added: i64,
}

impl LineItem {
    pub(crate) fn amount(&self) -> i64 {
        self.rounded.unwrap_or_else(|| self.unit_amount.saturating_mul(self.quantity))
    }

    pub(crate) fn total(&self) -> i64 {
        self.amount().saturating_sub(self.discount).saturating_add(self.tax_added)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum IntentStatus {
    RequiresPaymentMethod,
    RequiresConfirmation,
    RequiresAction,
    Processing,
    RequiresCapture,
    Succeeded,
    Canceled,
}

impl IntentStatus {
    /// As on the wire and in messages.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::RequiresPaymentMethod => "requires_payment_method",
            Self::RequiresConfirmation => "requires_confirmation",
            Self::RequiresAction => "requires_action",
            Self::Processing => "processing",
            Self::RequiresCapture => "requires_capture",
            Self::Succeeded => "succeeded",
            Self::Canceled => "canceled",
        }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Intent {
    pub id: String,
    pub created: i64,
    pub amount: i64,
    pub amount_received: i64,
    pub currency: String,
    pub status: IntentStatus,
    pub capture_method: String,
    pub client_secret: String,
    pub canceled_at: Option<i64>,
    pub cancellation_reason: Option<String>,
    pub customer: Option<String>,
    pub description: Option<String>,
    pub last_payment_error: Option<Value>,
    pub latest_charge: Option<String>,
    pub metadata: Metadata,
    pub next_action: Option<Value>,
    pub payment_method: Option<String>,
    pub payment_method_types: Vec<String>,
    pub automatic_payment_methods: Option<Value>,
    /// Members that only echo what was asked: `receipt_email`, `shipping`, `statement_descriptor`…
    pub echo: Map<String, Value>,
    /// Where the buyer goes after the bank's question.
    pub return_url: Option<String>,
    /// The checkout session that made it.
    pub session: Option<String>,
    /// When a delayed method settles, and how, in unix seconds.
    pub settles: Option<Settlement>,
}

/// The outcome of a delayed method that was already decided by the account used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Settlement {
    pub at: i64,
    pub succeeds: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ChargeStatus {
    Succeeded,
    Pending,
    Failed,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Charge {
    pub id: String,
    pub created: i64,
    pub amount: i64,
    pub amount_captured: i64,
    pub amount_refunded: i64,
    pub currency: String,
    pub status: ChargeStatus,
    pub captured: bool,
    pub disputed: bool,
    pub balance_transaction: Option<String>,
    pub buyer: Buyer,
    pub customer: Option<String>,
    pub description: Option<String>,
    pub failure: Option<Failure>,
    pub metadata: Metadata,
    pub payment_intent: Option<String>,
    pub payment_method: Option<String>,
    pub instrument: Instrument,
    pub authenticated: bool,
    pub echo: Map<String, Value>,
}

/// Why a charge failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Failure {
    pub code: String,
    pub decline_code: Option<String>,
    pub message: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RefundStatus {
    Pending,
    Succeeded,
    Failed,
    Canceled,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Refund {
    pub id: String,
    pub created: i64,
    pub amount: i64,
    pub currency: String,
    pub status: RefundStatus,
    pub charge: String,
    pub payment_intent: Option<String>,
    pub payment_method: Option<String>,
    pub balance_transaction: Option<String>,
    pub failure_balance_transaction: Option<String>,
    pub failure_reason: Option<String>,
    pub reason: Option<String>,
    pub metadata: Metadata,
    pub method_type: String,
    /// The network's reference, which arrives a little later than the refund.
    pub reference: Option<String>,
    /// When a delayed refund settles, and how.
    pub settles: Option<Settlement>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum DisputeStatus {
    NeedsResponse,
    UnderReview,
    Won,
    Lost,
    WarningNeedsResponse,
    WarningUnderReview,
    WarningClosed,
}

impl DisputeStatus {
    /// Whether it is decided.
    pub(crate) fn closed(self) -> bool {
        matches!(self, Self::Won | Self::Lost | Self::WarningClosed)
    }

    /// Whether it is only an inquiry, which takes no money.
    pub(crate) fn inquiry(self) -> bool {
        matches!(self, Self::WarningNeedsResponse | Self::WarningUnderReview | Self::WarningClosed)
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Dispute {
    pub id: String,
    pub created: i64,
    pub amount: i64,
    pub currency: String,
    pub status: DisputeStatus,
    pub reason: String,
    pub charge: String,
    pub payment_intent: Option<String>,
    pub brand: String,
    pub metadata: Metadata,
    pub evidence: Map<String, Value>,
    pub submissions: i64,
    pub balance_transactions: Vec<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct PaymentMethod {
    pub id: String,
    pub created: i64,
    pub instrument: Instrument,
    pub buyer: Buyer,
    pub customer: Option<String>,
    #[serde(default)]
    pub metadata: Metadata,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct BalanceTransaction {
    pub id: String,
    pub created: i64,
    pub available_on: i64,
    /// Signed: what came in or went out before fees.
    pub amount: i64,
    pub fee: i64,
    pub currency: String,
    /// `charge`, `refund`, `refund_failure`, `adjustment`…
    pub kind: String,
    pub reporting_category: String,
    pub description: Option<String>,
    pub source: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Customer {
    pub id: String,
    pub created: i64,
    pub email: Option<String>,
    pub name: Option<String>,
    pub phone: Option<String>,
    pub description: Option<String>,
    pub address: Option<Value>,
    pub metadata: Metadata,
    /// Members that only echo what was asked.
    pub echo: Map<String, Value>,
    /// Shown by its id and no more, in no list.
    #[serde(default)]
    pub deleted: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Product {
    pub id: String,
    pub created: i64,
    pub updated: i64,
    pub active: bool,
    pub name: String,
    pub description: Option<String>,
    pub images: Vec<String>,
    pub default_price: Option<String>,
    pub metadata: Metadata,
    #[serde(default)]
    pub deleted: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Price {
    pub id: String,
    pub created: i64,
    pub active: bool,
    pub currency: String,
    pub unit_amount: Option<i64>,
    pub unit_amount_decimal: String,
    pub product: String,
    pub nickname: Option<String>,
    pub lookup_key: Option<String>,
    pub tax_behavior: String,
    pub recurring: Option<Value>,
    pub metadata: Metadata,
}

/// A webhook endpoint: where events go, and with which secrets they are signed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Endpoint {
    pub id: String,
    pub created: i64,
    pub url: String,
    /// The active secrets: each gives one `v1`. More than one while a secret is being rolled.
    pub secrets: Vec<String>,
    pub enabled_events: Vec<String>,
    pub enabled: bool,
    pub description: Option<String>,
    pub api_version: Option<String>,
    pub metadata: Metadata,
}

impl Endpoint {
    /// Whether it wants events of this kind. `*` wants all, as in Stripe.
    pub(crate) fn wants(&self, kind: &str) -> bool {
        self.enabled
            && self.enabled_events.iter().any(|wanted| match wanted.strip_suffix('*') {
                Some(prefix) => kind.starts_with(prefix),
                None => wanted == kind,
            })
    }
}

/// An event, with the object as it was at that moment.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Event {
    pub id: String,
    pub created: i64,
    pub kind: String,
    /// JSON: as a tree each of them would take many times as much memory.
    pub object: String,
    pub previous: Option<Value>,
    pub request: Option<String>,
    pub idempotency_key: Option<String>,
    pub api_version: String,
}

impl Event {
    /// The object as it was.
    pub(crate) fn snapshot(&self) -> Value {
        serde_json::from_str(&self.object).unwrap_or_default()
    }
}

macro_rules! record {
    ($($kind:ty $(, settled: $settled:expr)?;)*) => {$(
        impl Record for $kind {
            fn id(&self) -> &str {
                &self.id
            }
            fn created(&self) -> i64 {
                self.created
            }
            $(fn settled(&self) -> bool {
                let settled: fn(&Self) -> bool = $settled;
                settled(self)
            })?
        }
    )*};
}

record! {
    Session, settled: |s| s.status != SessionStatus::Open;
    Intent, settled: |i| matches!(i.status, IntentStatus::Succeeded | IntentStatus::Canceled);
    Charge, settled: |c| c.status != ChargeStatus::Pending;
    Refund, settled: |r| r.status != RefundStatus::Pending;
    Dispute, settled: |d| d.status.closed();
    PaymentMethod;
    BalanceTransaction;
    Customer;
    Product;
    Price;
    Endpoint, settled: |_| false;
    Event;
    Thing;
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Row(String, bool);

    impl Record for Row {
        fn id(&self) -> &str {
            &self.0
        }
        fn created(&self) -> i64 {
            0
        }
        fn settled(&self) -> bool {
            self.1
        }
    }

    fn ids(table: &Table<Row>) -> Vec<&str> {
        table.iter().map(Record::id).collect()
    }

    #[test]
    fn settled_rows_are_forgotten_first_and_open_ones_when_there_are_twice_too_many() {
        let mut table = Table::new(3);
        table.insert(Row("settled".to_owned(), true));
        for n in 0..3 {
            table.insert(Row(format!("open{n}"), false));
        }
        assert_eq!(ids(&table), ["open0", "open1", "open2"]);
        for n in 3..9 {
            table.insert(Row(format!("open{n}"), false));
        }
        assert_eq!(ids(&table), ["open3", "open4", "open5", "open6", "open7", "open8"]);
        assert!(table.get("open0").is_none());
        let (rows, gone) = table.news();
        assert_eq!(
            (rows.len(), gone),
            (6, ["settled", "open0", "open1", "open2"].map(str::to_owned).to_vec())
        );
        assert_eq!(table.news().0.len(), 0, "asked once, told once");
    }
}
