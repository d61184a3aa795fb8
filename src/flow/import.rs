//! Moving in from the original service: its bookings with their seats, its ledger and its accounts.
//!
//! **Invariants.** The other database is only read. Ours takes everything in one transaction or nothing. What is here
//! already is compared and never changed, so a repetition changes nothing. What cannot be taken over is named, row by
//! row. Nobody is told anything: what happened was told by the service where it happened.

use super::{invariants, recorder};
use crate::app::App;
use clock::Timestamp;
use domain::account::{User, account_email};
use domain::booking::{Booking, Customer, Payment, Progress, Refund, RefundStatus, Status};
use domain::code::Code;
use domain::ids::{BookingId, LedgerId, OfferId, PaymentIntentId, RefundId, SessionId, UserId};
use domain::lang::Lang;
use domain::money::{Currency, Money};
use domain::offer::Offer;
use domain::original;
use domain::payment::{Effect, EffectKind, Outcome, Reason};
use domain::role::Role;
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;
use store::bookings::Handle;
use store::checks::Violation;
use store::import::{Source, SourceRow};
use store::ledger::{self, NewEntry};
use store::outbox::{self, Audience};
use store::{StoreError, Tx, bookings};
use uuid::Uuid;

/// The mark that says that it was done.
pub const MARK: &str = "imported_node";
/// A session of the original lives as long as Stripe lets one that says nothing of its end.
const SESSION: Duration = Duration::from_secs(86_400);

/// What is not said by the other database.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Only look.
    pub dry_run: bool,
    /// What its bookings are of; none: the first active offer.
    pub offer: Option<OfferId>,
    /// What they cost, if no column says so; none: what the offer costs.
    pub price: Option<Money>,
}

/// Why nothing was taken over.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// Our database, or the other.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The other database is not that of the original service.
    #[error("{0}")]
    NotTheOriginal(String),
    /// There is no such offer here.
    #[error("there is no offer to book the bookings on: make one, or name one by --offer")]
    NoOffer,
}

/// How many of a table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Count {
    /// Rows in the other database.
    pub found: u64,
    /// Taken over now.
    pub imported: u64,
    /// Here already, from before.
    pub already_here: u64,
}

/// Something that was not taken over as it is, or differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Conflict {
    /// The other database's table.
    pub table: String,
    /// Its row.
    pub id: String,
    /// What is wrong, and what became of it.
    pub why: String,
}

/// What was paid, in minor units.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Paid {
    /// How many bookings.
    pub bookings: u64,
    /// What they paid.
    pub amount: i64,
}

/// What was found and done.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Whether it only looked.
    pub dry_run: bool,
    /// `"Booking"`.
    pub bookings: Count,
    /// Its rows by what they are here.
    pub by_status: BTreeMap<&'static str, u64>,
    /// `"PaymentEvent"`.
    pub ledger: Count,
    /// `"User"`.
    pub users: Count,
    /// By currency, what the bookings of the other database paid.
    pub paid: BTreeMap<String, Paid>,
    /// The same of those that are here now.
    pub paid_here: BTreeMap<String, Paid>,
    /// What was not taken over as it is.
    pub conflicts: Vec<Conflict>,
    /// What was taken for granted.
    pub notes: Vec<String>,
    /// Invariants that do not hold afterwards.
    pub violations: Vec<Violation>,
}

impl Report {
    /// Whether everything is here as it was there.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.conflicts.is_empty() && self.violations.is_empty() && self.paid == self.paid_here
    }

    fn conflict(&mut self, table: &Found, id: &str, why: impl Into<String>) {
        self.conflicts.push(Conflict { table: table.name.clone(), id: id.to_owned(), why: why.into() });
    }
}

/// Takes over the original service's database at `url`.
///
/// # Errors
/// [`ImportError`]: then nothing was changed.
pub async fn node(app: &App, url: &str, options: &Options) -> Result<Report, ImportError> {
    let mut report = Report { dry_run: options.dry_run, ..Report::default() };
    let original = read(url, &mut report).await?;
    let mut tx = app.store.begin_transfer().await?;
    let taken = async {
        let offer = choose_offer(&mut tx, options).await?;
        take_users(&mut tx, &original, app.clock.now(), &mut report).await?;
        take_bookings(app, &mut tx, &original, &offer, options, &mut report).await?;
        tx.set_mark(MARK, "done", app.clock.now()).await?;
        Ok::<_, ImportError>(())
    };
    if let Err(error) = taken.await {
        tx.rollback().await?;
        return Err(error);
    }
    if options.dry_run {
        tx.rollback().await?;
    } else {
        tx.commit().await?;
        report.violations = invariants::audit(&app.store).await?.violations;
    }
    Ok(report)
}

/// A table as it was found: its rows, and where in them something stands.
#[derive(Debug)]
struct Found {
    name: String,
    fields: HashMap<&'static str, (usize, String)>,
    rows: Vec<SourceRow>,
}

impl Found {
    fn text<'r>(&self, row: &'r SourceRow, field: &str) -> Option<&'r str> {
        let (index, _) = self.fields.get(field)?;
        row.get(*index)?.as_deref().filter(|text| !text.is_empty())
    }

    fn time(&self, row: &SourceRow, field: &str) -> Option<Timestamp> {
        let text = self.text(row, field)?;
        let micros = text.parse().ok().map(Timestamp::from_micros);
        // Where it is no timestamp but a text that looks like one.
        micros.or_else(|| {
            let at: jiff::Timestamp = text.parse().ok()?;
            Some(Timestamp::from_micros(at.as_microsecond()))
        })
    }

    fn id(&self, row: &SourceRow) -> String {
        self.text(row, "id").unwrap_or("(no id)").to_owned()
    }
}

struct Original {
    bookings: Found,
    events: Option<Found>,
    users: Option<Found>,
}

/// A field: its name here, whether it must be there, and the columns that may hold it, in lower case without `_`.
type Field = (&'static str, bool, &'static [&'static str]);

const BOOKING: [Field; 13] = [
    ("id", true, &["id", "bookingid"]),
    ("first name", true, &["firstname", "prenom", "givenname"]),
    ("last name", true, &["lastname", "nom", "familyname", "surname"]),
    ("email", true, &["email", "customeremail", "mail"]),
    ("date", true, &["date", "slotdate", "bookingdate", "day"]),
    ("time", true, &["time", "slottime", "bookingtime", "hour", "heure"]),
    ("status", true, &["status", "state", "statut"]),
    (
        "Stripe session",
        true,
        &["stripesessionid", "sessionid", "checkoutsessionid", "stripecheckoutsessionid"],
    ),
    ("payment intent", false, &["paymentintentid", "stripepaymentintentid"]),
    ("amount", false, &["amount", "amounttotal", "amountcents", "price", "pricecents"]),
    ("currency", false, &["currency"]),
    ("created", false, &["createdat", "created"]),
    ("updated", false, &["updatedat", "updated"]),
];

const EVENT: [Field; 6] = [
    ("id", false, &["id"]),
    ("Stripe session", true, &["stripesessionid", "sessionid", "checkoutsessionid"]),
    ("event", false, &["stripeeventid", "eventid"]),
    ("type", false, &["type", "eventtype"]),
    ("booking", false, &["bookingid"]),
    ("created", false, &["createdat", "processedat", "receivedat", "created"]),
];

const USER: [Field; 6] = [
    ("id", false, &["id"]),
    ("email", true, &["email"]),
    ("password hash", true, &["passwordhash", "password", "hashedpassword", "hash"]),
    ("role", false, &["role"]),
    ("active", false, &["isactive", "active", "enabled"]),
    ("created", false, &["createdat", "created"]),
];

fn plain(name: &str) -> String {
    name.to_lowercase().replace('_', "")
}

async fn read(url: &str, report: &mut Report) -> Result<Original, ImportError> {
    let mut source = Source::open(url).await?;
    let tables = source.tables().await?;
    let find = |wanted: &str| {
        let plural = format!("{wanted}s");
        let is = |name: &&String| [wanted, plural.as_str()].contains(&plain(name).as_str());
        // The original's own name before any that only looks like it: ours may stand beside it.
        let exact = tables.keys().find(|name| plain(name) == wanted && name.chars().any(char::is_uppercase));
        exact.or_else(|| tables.keys().filter(is).find(|name| !OURS.contains(&name.as_str()))).cloned()
    };
    let names = || tables.keys().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ");
    let Some(bookings) = find("booking") else {
        let there =
            if tables.is_empty() { "it has no tables".to_owned() } else { format!("it has {}", names()) };
        return Err(ImportError::NotTheOriginal(format!("the database has no table \"Booking\": {there}")));
    };
    let (events, users) = (find("paymentevent"), find("user"));
    for (name, table) in [("PaymentEvent", &events), ("User", &users)] {
        if table.is_none() {
            report.notes.push(format!("there is no table \"{name}\": nothing of it is taken over"));
        }
    }
    let bookings = read_table(&mut source, &tables, bookings, &BOOKING).await?;
    let events = match events {
        Some(name) => Some(read_table(&mut source, &tables, name, &EVENT).await?),
        None => None,
    };
    let users = match users {
        Some(name) => Some(read_table(&mut source, &tables, name, &USER).await?),
        None => None,
    };
    source.close().await?;
    Ok(Original { bookings, events, users })
}

/// Tables of this program that may stand in the same database.
const OURS: [&str; 2] = ["bookings", "users"];

async fn read_table(
    source: &mut Source,
    tables: &BTreeMap<String, Vec<(String, String)>>,
    name: String,
    fields: &[Field],
) -> Result<Found, ImportError> {
    let there = tables.get(&name).cloned().unwrap_or_default();
    let (mut columns, mut found) = (Vec::new(), HashMap::new());
    let mut missing = Vec::new();
    for (field, required, candidates) in fields {
        let is = |candidate: &&&str| there.iter().find(|(column, _)| plain(column) == **candidate);
        match candidates.iter().find_map(|candidate| is(&candidate).cloned()) {
            Some((column, kind)) => {
                found.insert(*field, (columns.len(), kind.clone()));
                columns.push((column, kind));
            }
            None if *required => missing.push(format!("the {field} (looked for {})", candidates.join(", "))),
            None => {}
        }
    }
    if !missing.is_empty() {
        let has: Vec<_> = there.iter().map(|(column, _)| column.as_str()).collect();
        let (missing, has) = (missing.join("; "), has.join(", "));
        let message = format!("table \"{name}\" has no column for {missing}. It has {has}");
        return Err(ImportError::NotTheOriginal(message));
    }
    let rows = source.rows(&name, &columns).await?;
    Ok(Found { name, fields: found, rows })
}

async fn choose_offer(tx: &mut Tx, options: &Options) -> Result<Offer, ImportError> {
    let offers = tx.offers().await?;
    let chosen = match options.offer {
        Some(id) => offers.into_iter().find(|offer| offer.id == id),
        None => offers.into_iter().find(|offer| offer.active),
    };
    chosen.ok_or(ImportError::NoOffer)
}

async fn take_users(
    tx: &mut Tx,
    original: &Original,
    now: Timestamp,
    report: &mut Report,
) -> Result<(), ImportError> {
    let Some(table) = &original.users else { return Ok(()) };
    for row in &table.rows {
        report.users.found += 1;
        let id = table.id(row);
        let Some(Ok(email)) = table.text(row, "email").map(account_email) else {
            report.conflict(table, &id, "its address cannot be used: not taken over");
            continue;
        };
        let Some(hash) = table.text(row, "password hash").filter(|hash| original::is_bcrypt(hash)) else {
            report.conflict(
                table,
                &id,
                "its password is no bcrypt hash: not taken over, make the account anew",
            );
            continue;
        };
        let told = table.text(row, "role");
        let role = told.and_then(original::role).unwrap_or(Role::ReadOnly);
        if let Some(told) = told.filter(|told| original::role(told).is_none()) {
            report.conflict(table, &id, format!("its role {told:?} is not known: it may only read here"));
        }
        let active = table.text(row, "active").is_none_or(|text| ["true", "t", "1"].contains(&text));
        if let Some(here) = tx.credentials(&email).await? {
            report.users.already_here += 1;
            if here.password_hash != hash && here.user.role != role {
                report.notes.push(format!("account {email} is here already, with its own role and password"));
            }
            continue;
        }
        let user = User {
            id: UserId::from(own_id("user", &id)),
            email,
            role,
            active,
            created_at: table.time(row, "created").unwrap_or(now),
        };
        if tx.insert_user(&user, hash).await? {
            report.users.imported += 1;
        } else {
            report.conflict(table, &id, "its address is that of another account: not taken over");
        }
    }
    Ok(())
}

/// The id itself where it is one of our form, else one made of it, always the same.
fn own_id(kind: &str, id: &str) -> Uuid {
    Uuid::try_parse(id).ok().filter(|_| id.len() == 36).unwrap_or_else(|| {
        let hash = Sha256::digest(format!("{kind}:{id}"));
        let mut bytes = [0; 16];
        bytes.copy_from_slice(hash.split_at(16).0);
        uuid::Builder::from_custom_bytes(bytes).into_uuid()
    })
}

/// A booking of the original, read.
struct Read {
    /// Its id there.
    old_id: String,
    booking: Booking,
    status: Status,
}

async fn take_bookings(
    app: &App,
    tx: &mut Tx,
    original: &Original,
    offer: &Offer,
    options: &Options,
    report: &mut Report,
) -> Result<(), ImportError> {
    let table = &original.bookings;
    let mut all = Vec::with_capacity(table.rows.len());
    for row in &table.rows {
        report.bookings.found += 1;
        match read_booking(app, table, row, offer, options) {
            Ok(read) => all.push(read),
            Err(why) => report.conflict(table, &table.id(row), format!("{why}: not taken over")),
        }
    }
    if !table.fields.contains_key("amount") {
        let price = options.price.unwrap_or(offer.price);
        report.notes.push(format!("no column says what a booking cost: {price} is taken for granted"));
    }
    // Who has paid sits first, and of those who wait who came first.
    all.sort_by_key(|read| (read.status == Status::Pending, read.booking.created_at, read.booking.id));
    let mut events = events_by_session(original, report);
    for read in &all {
        take_booking(app, tx, table, read, &mut events, report).await?;
    }
    // What is left tells of sessions that no paid booking has.
    for event in events.into_values().flatten() {
        take_event(app, tx, &event, None, report).await?;
    }
    Ok(())
}

fn read_booking(
    app: &App,
    table: &Found,
    row: &SourceRow,
    offer: &Offer,
    options: &Options,
) -> Result<Read, String> {
    let text = |field: &str| table.text(row, field).map(str::trim);
    let old_id = text("id").ok_or("it has no id")?.to_owned();
    let told = text("status").ok_or("it has no status")?;
    let status = original::status(told).ok_or_else(|| format!("its status {told:?} is not known"))?;
    let (date, time) = (text("date").unwrap_or_default(), text("time").unwrap_or_default());
    let date = match table.fields.get("date") {
        // A day kept as an instant is one in the business's own time zone.
        Some((_, kind)) if kind.starts_with("timestamp") => local_date(app, date).unwrap_or_default(),
        _ => date.to_owned(),
    };
    let slot = original::slot(&date, time).ok_or_else(|| format!("{date:?} at {time:?} is no slot"))?;
    let starts_at = slot.starts_at(&app.config.timezone).map_err(|error| format!("its slot {error}"))?;
    let whole = |text: &str| text.parse::<i64>().ok().filter(|amount| *amount >= 0);
    let usual = options.price.unwrap_or(offer.price);
    let price = Money {
        amount: match text("amount") {
            Some(amount) => {
                whole(amount).ok_or_else(|| format!("its amount {amount:?} is no number of minor units"))?
            }
            None => usual.amount,
        },
        currency: match text("currency") {
            Some(code) => Currency::parse(&code.to_lowercase())
                .map_err(|_| format!("its currency {code:?} is not known"))?,
            None => usual.currency,
        },
    };
    let id = BookingId::from(own_id("booking", &old_id));
    let session = match text("Stripe session") {
        Some(session) => {
            Some(SessionId::parse(session).map_err(|_| "its session's id cannot be one".to_owned())?)
        }
        None => None,
    };
    let now = app.clock.now();
    let created_at = table.time(row, "created").unwrap_or(now).min(now);
    let updated_at = table.time(row, "updated").unwrap_or(created_at).clamp(created_at, now);
    let intent = text("payment intent").and_then(|intent| PaymentIntentId::parse(intent).ok());
    let paid = || -> Result<Payment, String> {
        // Paid by hand, say: its seat and its status count all the same.
        let made_up =
            || SessionId::parse(&format!("import_{id}")).map_err(|_| "it has no session".to_owned());
        let session = session.clone().map_or_else(made_up, Ok)?;
        Ok(Payment { session, intent: intent.clone(), amount: price.amount, at: updated_at })
    };
    let progress = match status {
        Status::Pending => Progress::Pending,
        Status::Processing => Progress::Processing,
        Status::Expired => Progress::Expired,
        Status::Failed => Progress::Failed,
        Status::Cancelled => Progress::Cancelled,
        Status::Paid | Status::PartiallyRefunded | Status::Refunded | Status::Disputed => {
            Progress::Paid(paid()?)
        }
    };
    let refunds = match status {
        Status::Refunded if price.amount > 0 => vec![Refund {
            id: RefundId::parse(&format!("import_{id}"))
                .map_err(|_| "its refund cannot be named".to_owned())?,
            intent: intent.clone(),
            amount: price.amount,
            status: RefundStatus::Succeeded,
        }],
        _ => Vec::new(),
    };
    let customer = Customer {
        first_name: text("first name").unwrap_or("?").to_owned(),
        last_name: text("last name").unwrap_or("?").to_owned(),
        email: text("email").unwrap_or("?").to_owned(),
    };
    let booking = Booking {
        id,
        code: Code::of(id, 0),
        offer: offer.id,
        customer,
        slot,
        starts_at,
        price,
        progress,
        session,
        seat: None,
        hold_expires_at: created_at.plus(SESSION),
        charge_refunded: 0,
        charge_intent: None,
        cancelled: None,
        refunds,
        disputes: Vec::new(),
        cases: Vec::new(),
        created_at,
        updated_at,
    };
    Ok(Read { old_id, booking, status })
}

fn local_date(app: &App, micros: &str) -> Option<String> {
    let at = Timestamp::from_micros(micros.parse().ok()?);
    Some(app.config.timezone.to_datetime(at.to_jiff()).date().to_string())
}

async fn take_booking(
    app: &App,
    tx: &mut Tx,
    table: &Found,
    read: &Read,
    events: &mut HashMap<String, Vec<OldEvent>>,
    report: &mut Report,
) -> Result<(), ImportError> {
    let Read { old_id, booking, status } = read;
    *report.by_status.entry(status.as_str()).or_default() += 1;
    let count = |paid: &mut BTreeMap<String, Paid>, payment: Option<&Payment>| {
        let Some(payment) = payment else { return };
        let paid = paid.entry(booking.price.currency.as_str().to_owned()).or_default();
        paid.bookings += 1;
        paid.amount = paid.amount.saturating_add(payment.amount);
    };
    count(&mut report.paid, booking.payment());
    let told =
        booking.session.as_ref().and_then(|session| events.remove(session.as_str())).unwrap_or_default();
    if let Some(here) = tx.booking(booking.id).await? {
        report.bookings.already_here += 1;
        count(&mut report.paid_here, booking.payment().and(here.payment()));
        if (here.slot, &here.session, here.price) != (booking.slot, &booking.session, booking.price) {
            report.conflict(
                table,
                old_id,
                "it is here already with another slot, session or price: left as it is",
            );
        } else if booking.payment().is_some() && here.payment().is_none() {
            let why =
                format!("it was paid since it was taken over and is {} here: run reconcile", here.status());
            report.conflict(table, old_id, why);
        } else if booking.keeps_seat() && here.keeps_seat() && here.seat.is_none() {
            report.conflict(table, old_id, FULL);
        }
        for event in told {
            take_event(app, tx, &event, Some((booking, false)), report).await?;
        }
        return Ok(());
    }
    let mut session = booking.session.clone();
    if let Some(id) = &session {
        let handle = Handle::Session(id.to_string());
        if tx.bookings_by_handle(std::slice::from_ref(&handle)).await?.contains_key(&handle) {
            report.conflict(
                table,
                old_id,
                "its session is that of another booking here: taken over without it",
            );
            session = None;
        }
    }
    let mut booking = Booking { session: session.clone(), ..booking.clone() };
    if booking.keeps_seat() {
        booking.seat = recorder::free_seat(tx, &booking).await?;
        if booking.seat.is_none() {
            report.conflict(table, old_id, FULL);
        }
    }
    let now = app.clock.now();
    // What is open there is asked about at once: its payment may have come since.
    let begun = Booking { progress: Progress::Pending, refunds: Vec::new(), ..booking.clone() };
    if !insert(tx, &begun, now).await? {
        report.conflict(table, old_id, "its seat was taken meanwhile: not taken over, run it again");
        return Ok(());
    }
    if let Some(session) = &session {
        tx.attach_session(booking.id, session, None, booking.hold_expires_at, now).await?;
    }
    if *status != Status::Pending {
        tx.write(bookings::save(&[&booking])).await?;
        let payment = booking.payment().map(|payment| payment.session.to_string());
        let mut applied = false;
        for event in &told {
            let applies = !applied && payment.is_some();
            applied |= applies;
            take_event(app, tx, event, Some((&booking, applies)), report).await?;
        }
        if !applied {
            tx.write([ledger::insert(&[made_up(&booking, *status, payment, now)])]).await?;
            if !told.is_empty() || booking.payment().is_some() {
                report.notes.push(format!("no row of the ledger there says how booking {old_id} was paid"));
            }
        }
    } else {
        for event in &told {
            let why = "the ledger there says that it was paid, the booking does not: run reconcile";
            report.conflict(table, old_id, why);
            take_event(app, tx, event, Some((&booking, false)), report).await?;
        }
    }
    if let Some(payment) = booking.payment() {
        // The old service told everybody: the row says so, and nobody is chosen.
        let key = format!("{}:{}:{}", EffectKind::Paid.as_str(), booking.id, payment.session);
        let effects = [(booking.id, Effect { kind: EffectKind::Paid, key })];
        tx.write([outbox::push(&effects, Audience::Nobody, now)]).await?;
    }
    let here = tx.booking(booking.id).await?;
    count(&mut report.paid_here, here.as_ref().and_then(Booking::payment));
    report.bookings.imported += 1;
    Ok(())
}

/// Of two bookings that would be called by the same code, the later one takes its next.
async fn insert(tx: &mut Tx, booking: &Booking, now: Timestamp) -> Result<bool, StoreError> {
    for nth in 0..CODES {
        let booking = Booking { code: Code::of(booking.id, nth), ..booking.clone() };
        if tx.insert_booking(&booking, None, Lang::Fr, now).await? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// How often another code is tried.
const CODES: u32 = 8;

const FULL: &str = "every seat of its slot is taken: it is here without one. Give the offer more seats, or find \
                    another slot";

/// A row of the original's ledger.
#[derive(Debug, Clone)]
struct OldEvent {
    id: String,
    session: String,
    event: Option<String>,
    kind: Option<String>,
    at: Option<Timestamp>,
}

fn events_by_session(original: &Original, report: &mut Report) -> HashMap<String, Vec<OldEvent>> {
    let mut events: HashMap<String, Vec<OldEvent>> = HashMap::new();
    let Some(table) = &original.events else { return events };
    for row in &table.rows {
        report.ledger.found += 1;
        let Some(session) = table.text(row, "Stripe session") else {
            report.conflict(table, &table.id(row), "it names no session: not taken over");
            continue;
        };
        let event = OldEvent {
            id: table.id(row),
            session: session.to_owned(),
            event: table.text(row, "event").map(str::to_owned),
            kind: table.text(row, "type").map(str::to_owned),
            at: table.time(row, "created"),
        };
        events.entry(event.session.clone()).or_default().push(event);
    }
    events.values_mut().for_each(|events| events.sort_by_key(|event| event.at));
    events
}

/// Takes a row of the ledger over, as the one that paid the booking if `applies`.
async fn take_event(
    app: &App,
    tx: &mut Tx,
    event: &OldEvent,
    of: Option<(&Booking, bool)>,
    report: &mut Report,
) -> Result<(), ImportError> {
    let key = event.event.clone().unwrap_or_else(|| format!("import:{}:{}", event.session, event.id));
    if tx.known_entries(&[&key]).await?.contains_key(&key) {
        report.ledger.already_here += 1;
        return Ok(());
    }
    let now = app.clock.now();
    let at = event.at.unwrap_or(now).min(now).as_micros();
    let (outcome, reason) = match of {
        Some((_, true)) => (Outcome::Processed, Reason::Paid),
        Some((_, false)) => (Outcome::Duplicate, Reason::AlreadyApplied),
        None => (Outcome::Ignored, Reason::OtherApplication),
    };
    let entry = NewEntry {
        id: LedgerId::from(clock::new_id()),
        stripe_event_id: event.event.clone(),
        event_key: key,
        r#type: event.kind.clone().unwrap_or_else(|| "checkout.session.completed".to_owned()),
        source: "webhook",
        livemode: None,
        stripe_session_id: Some(event.session.clone()),
        booking_id: of.map(|(booking, _)| booking.id),
        applied_payment: of.is_some_and(|(_, applies)| applies),
        outcome: outcome.as_str(),
        reason: reason.as_str(),
        payload: None,
        deliveries: 1,
        stripe_created_at: None,
        received_at: at,
        processed_at: Some(at),
        next_try_at: None,
    };
    tx.write([ledger::insert(&[entry])]).await?;
    report.ledger.imported += 1;
    Ok(())
}

/// The row that says how a booking came to be what it is, where the other ledger has none.
fn made_up(booking: &Booking, status: Status, payment: Option<String>, now: Timestamp) -> NewEntry {
    let (kind, reason) = match status {
        Status::Pending | Status::Processing => ("checkout.session.completed", Reason::PaymentPending),
        Status::Expired | Status::Cancelled => ("checkout.session.expired", Reason::SessionExpired),
        Status::Failed => ("checkout.session.async_payment_failed", Reason::PaymentFailed),
        Status::Paid | Status::PartiallyRefunded | Status::Refunded | Status::Disputed => {
            ("checkout.session.completed", Reason::Paid)
        }
    };
    let session = booking.session.as_ref().map(ToString::to_string);
    NewEntry {
        id: LedgerId::from(clock::new_id()),
        event_key: format!("import:booking:{}", booking.id),
        stripe_event_id: None,
        r#type: kind.to_owned(),
        source: "poll",
        livemode: None,
        applied_payment: payment.is_some(),
        stripe_session_id: payment.or(session),
        booking_id: Some(booking.id),
        outcome: Outcome::Processed.as_str(),
        reason: reason.as_str(),
        payload: None,
        deliveries: 0,
        stripe_created_at: None,
        received_at: booking.updated_at.min(now).as_micros(),
        processed_at: Some(booking.updated_at.min(now).as_micros()),
        next_try_at: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_of_our_form_stays_and_any_other_becomes_the_same_one_each_time() {
        let uuid = "0193b5a0-0000-7000-8000-000000000031";
        assert_eq!(own_id("booking", uuid).to_string(), uuid);
        let made = own_id("booking", "clx123");
        assert_eq!(made, own_id("booking", "clx123"));
        assert_ne!(made, own_id("booking", "clx124"));
        assert_ne!(made, own_id("user", "clx123"));
    }
}
