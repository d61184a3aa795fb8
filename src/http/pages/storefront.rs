//! `/`: choose an offer, a day, a time, say who you are, and go to the payment page.

use super::{Fields, FormError, Page, format, i18n};
use crate::app::Shared;
use crate::flow::checkout::{self, Caller, CheckoutError, Started};
use crate::http::error::Problem;
use crate::http::hold;
use askama::Template;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use clock::Timestamp;
use domain::Fault;
use domain::booking::{Booking, BookingRequest, NewBooking, Status};
use domain::lang::Lang;
use domain::offer::Offer;
use domain::slot::{Slot, SlotError};
use jiff::ToSpan;
use jiff::civil::Date;
use serde::Deserialize;
use std::collections::HashMap;
use std::time::Duration;
use store::{StoreError, Tx};

/// Days that can be chosen with one press.
const DAYS: usize = 8;
/// How far ahead a free day is looked for when nobody chose one.
const SEARCH_DAYS: usize = 14;
/// The hours that are offered if the offer has no times of its own.
const HOURS: std::ops::RangeInclusive<i8> = 9..=18;
/// How long the form still shows what this browser's last booking had, if it was not paid.
const REMEMBERED: Duration = Duration::from_secs(2 * 3600);

#[derive(Template)]
#[template(path = "storefront.html")]
struct Storefront {
    page: Page,
    errors: Vec<FormError>,
    faults: Faults,
    held: Option<Held>,
    offers: Vec<OfferView>,
    chosen_name: String,
    chosen_price: String,
    days: Vec<DayView>,
    date: String,
    day_text: String,
    first_day: String,
    shown: String,
    slots_sentence: String,
    slots: Vec<SlotView>,
    first_name: String,
    last_name: String,
    email: String,
}

#[derive(Template)]
#[template(path = "slots_only.html")]
struct SlotsOnly {
    page: Page,
    faults: Faults,
    date: String,
    day_text: String,
    shown: String,
    slots_sentence: String,
    slots: Vec<SlotView>,
}

#[derive(Template)]
#[template(path = "to_payment.html")]
struct ToPayment {
    page: Page,
    url: String,
}

/// What is wrong with each field.
#[derive(Debug, Default)]
struct Faults {
    offer: Option<String>,
    date: Option<String>,
    time: Option<String>,
    first_name: Option<String>,
    last_name: Option<String>,
    email: Option<String>,
}

impl Faults {
    fn of(lang: Lang, faults: &[Fault]) -> Self {
        let find =
            |path: &str| faults.iter().find(|fault| fault.path == path).map(|fault| i18n::fault(lang, fault));
        Self {
            offer: find("offer"),
            date: find("date"),
            time: find("time"),
            first_name: find("firstName"),
            last_name: find("lastName"),
            email: find("email"),
        }
    }
}

struct Held {
    sentence: String,
}

struct OfferView {
    id: String,
    name: String,
    price: String,
    chosen: bool,
}

struct DayView {
    iso: String,
    weekday: String,
    number: i8,
    month: String,
    chosen: bool,
}

struct SlotView {
    time: String,
    free: bool,
    chosen: bool,
    note: String,
    /// Whether the summary of errors leads here.
    target: bool,
}

/// What was typed, chosen or remembered.
#[derive(Debug, Default, Clone)]
struct Typed {
    offer: String,
    date: String,
    time: String,
    first_name: String,
    last_name: String,
    email: String,
}

impl Typed {
    fn of(fields: &Fields) -> Self {
        let text = |name: &str| fields.get(name).to_owned();
        Self {
            offer: text("offer"),
            date: text("date"),
            time: text("time"),
            first_name: text("firstName"),
            last_name: text("lastName"),
            email: text("email"),
        }
    }

    /// What a booking was made with.
    fn from_booking(booking: &Booking) -> Self {
        Self {
            offer: booking.offer.to_string(),
            date: booking.slot.date().to_string(),
            time: booking.slot.time_text(),
            first_name: booking.customer.first_name.clone(),
            last_name: booking.customer.last_name.clone(),
            email: booking.customer.email.clone(),
        }
    }

    fn request(&self) -> BookingRequest {
        BookingRequest {
            first_name: self.first_name.clone(),
            last_name: self.last_name.clone(),
            email: self.email.clone(),
            date: self.date.clone(),
            time: self.time.clone(),
            offer: Some(self.offer.clone()).filter(|offer| !offer.is_empty()),
        }
    }
}

/// What a link may choose: never anything personal.
#[derive(Debug, Deserialize)]
pub struct Choice {
    offer: Option<String>,
    date: Option<String>,
}

/// The form, with what this browser's unfinished booking had.
pub async fn form(
    State(app): State<Shared>,
    page: Page,
    Query(choice): Query<Choice>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let mut typed = match remembered(&app, &headers).await? {
        Some(booking) => Typed::from_booking(&booking),
        None => Typed::default(),
    };
    if let Some(offer) = choice.offer {
        typed.offer = offer;
    }
    if let Some(date) = choice.date {
        typed.date = date;
    }
    let view = view(&app, page, typed, &headers, Faults::default(), Vec::new()).await?;
    // Known before the form is sent, so that a form sent twice is the same customer twice.
    Ok(with_hold_cookie(&app, &headers, view.page.show(&view)))
}

/// Only the times of a day, for the script.
pub async fn slots(
    State(app): State<Shared>,
    page: Page,
    Query(choice): Query<Choice>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let typed = Typed {
        offer: choice.offer.unwrap_or_default(),
        date: choice.date.unwrap_or_default(),
        ..Typed::default()
    };
    let Storefront { page, faults, date, day_text, shown, slots_sentence, slots, .. } =
        view(&app, page, typed, &headers, Faults::default(), Vec::new()).await?;
    let slots = SlotsOnly { page, faults, date, day_text, shown, slots_sentence, slots };
    Ok(slots.page.show(&slots))
}

/// Books, and shows the way to the payment page.
pub async fn submit(
    State(app): State<Shared>,
    page: Page,
    headers: HeaderMap,
    fields: Fields,
) -> Result<Response, Problem> {
    let mut typed = Typed::of(&fields);
    if let Some(fault) = misfit(&app, &typed, fields.sent("shown")).await? {
        let parsed = NewBooking::parse(&typed.request(), &app.config.timezone, app.clock.now());
        let mut faults = parsed.err().unwrap_or_default();
        faults.retain(|other| other.path != fault.path);
        faults.push(fault);
        typed.time.clear();
        let response = refuse(&app, page, typed, &headers, CheckoutError::Invalid(faults)).await?;
        return Ok(with_hold_cookie(&app, &headers, response));
    }
    book(&app, page, typed, &headers, true).await
}

/// What is wrong with the time although it is a time: it was chosen among those of another day or
/// offer, or it is not among those that the form offers.
///
/// A browser that comes back to the form fills in the date as it was left, beside the times of the day
/// that the page was made for; without script the two differ until the new day's times are asked for.
/// `shown` says which times were on the page. A program that sends no `shown` was shown none.
async fn misfit(app: &Shared, typed: &Typed, shown: Option<&str>) -> Result<Option<Fault>, StoreError> {
    if shown.is_some_and(|shown| shown != shown_text(&typed.date, &typed.offer)) {
        let message = "was chosen among the times of another day or offer";
        return Ok(Some(Fault::coded("time", "other_times", message)));
    }
    let offers = checkout::active_offers(app).await?;
    let offer = offers
        .iter()
        .find(|offer| typed.offer.trim().is_empty() || offer.id.to_string() == typed.offer.trim());
    let (Some(offer), Ok(_)) = (offer, Slot::parse_time(typed.time.trim())) else { return Ok(None) };
    let message = "must be one of the times of this offer";
    let offered = times_of(offer).iter().any(|time| time == typed.time.trim());
    Ok((!offered).then(|| Fault::coded("time", "not_on_grid", message)))
}

/// The day and the offer to which the times on a page belong.
fn shown_text(date: &str, offer: &str) -> String {
    format!("{date}|{offer}")
}

/// The same form with another day, for browsers without script: what was typed stays.
pub async fn another_day(
    State(app): State<Shared>,
    page: Page,
    headers: HeaderMap,
    fields: Fields,
) -> Result<Response, Problem> {
    let mut typed = Typed::of(&fields);
    match fields.get("day") {
        "" => {}
        day => day.clone_into(&mut typed.date),
    }
    let view = view(&app, page.at("/"), typed, &headers, Faults::default(), Vec::new()).await?;
    Ok(with_hold_cookie(&app, &headers, view.page.show(&view)))
}

/// Leads back to the payment page of what this browser holds.
pub async fn resume(State(app): State<Shared>, page: Page, headers: HeaderMap) -> Result<Response, Problem> {
    match remembered(&app, &headers).await? {
        Some(booking) => {
            // A language switched since then is no other booking.
            book(&app, page, Typed::from_booking(&booking), &headers, false).await
        }
        None => Ok(Redirect::to("/").into_response()),
    }
}

/// For who reloads the address to which a form was sent.
pub async fn back_to_form() -> Redirect {
    Redirect::to("/")
}

async fn book(
    app: &Shared,
    page: Page,
    typed: Typed,
    headers: &HeaderMap,
    instead: bool,
) -> Result<Response, Problem> {
    tracing::info!(
        module = "checkout",
        action = "booking.checkout_session.requested",
        "somebody wants to book"
    );
    let (cookie, owner_hash) = hold::cookie_of(app, headers);
    let caller = Caller { idempotency_key: None, owner_hash: Some(owner_hash), lang: page.lang, instead };
    let response = match checkout::start(app, &typed.request(), &caller).await {
        Ok(Started { url, .. }) => {
            // A redirect would be blocked by `form-action 'self'`: a page with a link is not.
            let view = ToPayment { page, url };
            view.page.show(&view)
        }
        Err(error) => refuse(app, page, typed, headers, error).await?,
    };
    Ok(with_cookie(response, cookie))
}

/// Whether this browser's last booking is of the offer and slot that were sent, paid or on its way.
async fn has_the_slot(app: &Shared, headers: &HeaderMap, typed: &Typed) -> Result<bool, StoreError> {
    let Some(owner_hash) = hold::owner_hash(headers) else { return Ok(false) };
    let mut tx = app.store.read().await?;
    let last = tx.last_of_owner(&owner_hash).await?;
    tx.rollback().await?;
    Ok(last.is_some_and(|last| {
        last.keeps_seat()
            && last.status() != Status::Pending
            && (typed.offer.is_empty() || typed.offer == last.offer.to_string())
            && Slot::parse(&typed.date, &typed.time) == Ok(last.slot)
    }))
}

/// The form again, with what was typed and what to do about it.
async fn refuse(
    app: &Shared,
    page: Page,
    typed: Typed,
    headers: &HeaderMap,
    error: CheckoutError,
) -> Result<Response, Problem> {
    let t = page.t;
    let (status, faults, errors) = match &error {
        // In another tab, say: who chose another slot now would pay twice.
        CheckoutError::SlotFull if has_the_slot(app, headers, &typed).await? => {
            (StatusCode::CONFLICT, Faults::default(), FormError::general(t.already_paid))
        }
        CheckoutError::Invalid(faults) => {
            (StatusCode::BAD_REQUEST, Faults::of(page.lang, faults), FormError::of(page.lang, faults))
        }
        CheckoutError::SlotFull => {
            let time = Some(t.slot_full.to_owned());
            let line = FormError { target: "time".to_owned(), message: t.slot_full.to_owned() };
            (StatusCode::CONFLICT, Faults { time, ..Faults::default() }, vec![line])
        }
        CheckoutError::AlreadyPaid(id) => {
            let mut tx = app.store.read().await?;
            let paid = tx.booking(*id).await?.map(|booking| booking.slot);
            tx.rollback().await?;
            let text = match paid {
                // Another slot than the one that was sent: the one that was to be replaced.
                Some(slot) if Slot::parse(&typed.date, &typed.time) != Ok(slot) => {
                    i18n::not_replaced(page.lang, &format::slot(page.lang, &slot))
                }
                Some(_) | None => t.already_paid.to_owned(),
            };
            (StatusCode::CONFLICT, Faults::default(), FormError::general(&text))
        }
        CheckoutError::Closed | CheckoutError::Stripe { .. } => {
            let closed = matches!(error, CheckoutError::Closed);
            let problem = Problem::from(error);
            let refused = problem.status == StatusCode::BAD_GATEWAY;
            let text = match (closed, refused) {
                (true, _) => page.lang.pick(
                    "Les réservations rouvrent dans quelques instants : le service vérifie ce qui est déjà réservé. \
                     Rien n'a été débité.",
                    "Bookings open again in a moment: the service is checking what is booked already. Nothing was \
                     charged.",
                ),
                (false, true) => t.stripe_refused,
                (false, false) => t.stripe_down,
            };
            let view = view(app, page, typed, headers, Faults::default(), FormError::general(text)).await?;
            let mut response = view.page.show_as(problem.status, &view);
            response.headers_mut().extend(problem.headers);
            return Ok(response);
        }
        CheckoutError::KeyInFlight
        | CheckoutError::KeyReused
        | CheckoutError::Store(_)
        | CheckoutError::Record(_) => return Err(error.into()),
    };
    let view = view(app, page, typed, headers, faults, errors).await?;
    Ok(view.page.show_as(status, &view))
}

fn with_hold_cookie(app: &Shared, headers: &HeaderMap, response: Response) -> Response {
    let (cookie, _) = hold::cookie_of(app, headers);
    with_cookie(response, cookie)
}

fn with_cookie(mut response: Response, cookie: HeaderValue) -> Response {
    response.headers_mut().append(header::SET_COOKIE, cookie);
    response
}

/// This browser's last booking, if it is unpaid and recent.
pub async fn remembered(app: &Shared, headers: &HeaderMap) -> Result<Option<Booking>, StoreError> {
    let Some(owner_hash) = hold::owner_hash(headers) else { return Ok(None) };
    let mut tx = app.store.read().await?;
    let booking = tx.last_of_owner(&owner_hash).await?;
    tx.rollback().await?;
    let recent = |booking: &Booking| app.clock.now().since(booking.created_at) < REMEMBERED;
    Ok(booking.filter(|booking| match booking.status() {
        Status::Pending => true,
        Status::Expired | Status::Failed | Status::Cancelled => recent(booking),
        Status::Processing
        | Status::Paid
        | Status::PartiallyRefunded
        | Status::Refunded
        | Status::Disputed => false,
    }))
}

async fn view(
    app: &Shared,
    page: Page,
    typed: Typed,
    headers: &HeaderMap,
    faults: Faults,
    errors: Vec<FormError>,
) -> Result<Storefront, StoreError> {
    let (lang, zone, now) = (page.lang, &app.config.timezone, app.clock.now());
    let today = zone.to_datetime(now.to_jiff()).date();
    let offers = checkout::active_offers(app).await?;
    let chosen = offers.iter().find(|offer| offer.id.to_string() == typed.offer).or(offers.first());
    let mine = remembered(app, headers).await?.filter(|booking| booking.status() == Status::Pending);

    let mut tx = app.store.read().await?;
    let wanted = Slot::parse_date(&typed.date).ok();
    let (date, slots) = match chosen {
        Some(offer) => times_of_day(app, &mut tx, offer, wanted, today, &page, &typed, mine.as_ref()).await?,
        None => (wanted.unwrap_or(today), Vec::new()),
    };
    tx.rollback().await?;

    let held = mine.filter(|booking| booking.hold_expires_at > now).map(|booking| Held {
        sentence: i18n::held(
            lang,
            &format::slot(lang, &booking.slot),
            &format::clock_time(zone, booking.hold_expires_at),
        ),
    });
    let day_text = format::day(lang, date);
    let chosen_offer = chosen.map(|offer| offer.id.to_string()).unwrap_or_default();
    let free = slots.iter().filter(|slot| slot.free).count();
    Ok(Storefront {
        errors,
        faults,
        held,
        offers: offers.iter().map(|offer| offer_view(lang, offer, chosen)).collect(),
        chosen_name: chosen.map(|offer| offer.name.clone()).unwrap_or_default(),
        chosen_price: chosen.map(|offer| format::money(lang, offer.price)).unwrap_or_default(),
        days: (0..DAYS).map(|n| day_view(lang, plus_days(today, n), date)).collect(),
        date: date.to_string(),
        shown: shown_text(&date.to_string(), &chosen_offer),
        slots_sentence: i18n::free_slots(lang, free, &day_text),
        day_text,
        first_day: today.to_string(),
        slots,
        first_name: typed.first_name,
        last_name: typed.last_name,
        email: typed.email,
        page,
    })
}

fn plus_days(date: Date, days: usize) -> Date {
    date.saturating_add(i32::try_from(days).unwrap_or(0).days())
}

fn offer_view(lang: Lang, offer: &Offer, chosen: Option<&Offer>) -> OfferView {
    OfferView {
        id: offer.id.to_string(),
        name: offer.name.clone(),
        price: format::money(lang, offer.price),
        chosen: chosen.is_some_and(|chosen| chosen.id == offer.id),
    }
}

fn day_view(lang: Lang, day: Date, chosen: Date) -> DayView {
    let short = |name: &str| name.chars().take(3).collect();
    DayView {
        iso: day.to_string(),
        weekday: short(format::weekday(lang, day.weekday())),
        number: day.day(),
        month: format::short_month(lang, day),
        chosen: day == chosen,
    }
}

/// The times of the wanted day, or of the first one with a free time if none is wanted.
#[expect(clippy::too_many_arguments, reason = "one question, asked in one place")]
async fn times_of_day(
    app: &Shared,
    tx: &mut Tx,
    offer: &Offer,
    wanted: Option<Date>,
    today: Date,
    page: &Page,
    typed: &Typed,
    mine: Option<&Booking>,
) -> Result<(Date, Vec<SlotView>), StoreError> {
    let mut first = None;
    let search = if wanted.is_some() { 1 } else { SEARCH_DAYS };
    for n in 0..search {
        let date = wanted.unwrap_or_else(|| plus_days(today, n));
        let taken = tx.seats_by_time(offer.id, &date.to_string()).await?;
        let mut slots = slot_views(app, offer, date, &taken, page, typed, mine);
        if let Some(slot) = slots.iter_mut().find(|slot| slot.free) {
            slot.target = true;
            return Ok((date, slots));
        }
        first.get_or_insert((date, slots));
    }
    Ok(first.unwrap_or((today, Vec::new())))
}

fn slot_views(
    app: &Shared,
    offer: &Offer,
    date: Date,
    taken: &HashMap<String, i64>,
    page: &Page,
    typed: &Typed,
    mine: Option<&Booking>,
) -> Vec<SlotView> {
    let now = app.clock.now();
    let view = |time: String| {
        let slot = Slot::parse(&date.to_string(), &time).ok()?;
        let yours = mine.is_some_and(|booking| booking.offer == offer.id && booking.slot == slot);
        let left = i64::from(offer.capacity) - taken.get(&time).copied().unwrap_or(0);
        let (free, note) = bookable(app, &slot, now).map_or_else(
            |note| (false, note(page).to_owned()),
            |()| match left {
                _ if yours => (true, page.t.yours.to_owned()),
                1.. if offer.capacity > 1 => (true, i18n::seats_left(page.lang, left)),
                1.. => (true, String::new()),
                _ => (false, page.t.taken.to_owned()),
            },
        );
        let chosen = free && typed.time == time && typed.date == date.to_string();
        Some(SlotView { time, free, chosen, note, target: false })
    };
    times_of(offer).into_iter().filter_map(view).collect()
}

/// The times at which the form offers it, as `HH:MM`.
fn times_of(offer: &Offer) -> Vec<String> {
    if offer.grid.is_empty() {
        HOURS.map(|hour| format!("{hour:02}:00")).collect()
    } else {
        offer.grid.iter().map(|time| format!("{:02}:{:02}", time.hour(), time.minute())).collect()
    }
}

fn bookable(app: &Shared, slot: &Slot, now: Timestamp) -> Result<(), fn(&Page) -> &'static str> {
    match slot.bookable_at(&app.config.timezone, now) {
        Ok(_) => Ok(()),
        Err(SlotError::Past) => Err(|page| page.t.past),
        Err(SlotError::BadDate | SlotError::BadTime | SlotError::SkippedByClockChange) => {
            Err(|page| page.t.not_offered)
        }
    }
}
