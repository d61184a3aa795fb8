//! `/`: choose an offer, a day, a time, say who you are, and go to the payment page.

use super::{Fields, FormError, Page, format, i18n};
use crate::app::Shared;
use crate::flow::checkout::{self, Caller, CheckoutError, Started};
use crate::flow::holds::client_key;
use crate::flow::hours::{self, Standing, Time};
use crate::http::error::Problem;
use crate::http::hold;
use crate::http::limit::ClientAddress;
use askama::Template;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use domain::Fault;
use domain::booking::{Booking, BookingRequest, NewBooking, Status};
use domain::hours::Refusal;
use domain::lang::Lang;
use domain::offer::Offer;
use domain::slot::Slot;
use jiff::ToSpan;
use jiff::civil::Date;
use serde::Deserialize;
use std::net::IpAddr;
use std::time::Duration;
use store::{StoreError, Tx};

/// How many months a free day is looked for in when nobody chose one: who closes for a whole summer still sells the
/// autumn.
const SEARCH_MONTHS: usize = 4;
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
    month: MonthView,
    date: String,
    day_text: String,
    zone: String,
    first_day: String,
    last_day: String,
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
    month: MonthView,
    faults: Faults,
    date: String,
    day_text: String,
    zone: String,
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

#[derive(Default)]
struct MonthView {
    /// Whose month it is: a script puts another in its place only when it is another.
    key: String,
    title: String,
    before: Option<MonthLink>,
    after: Option<MonthLink>,
    week: Vec<String>,
    /// The days of the week before its first.
    blanks: Vec<i8>,
    days: Vec<DayView>,
}

struct MonthLink {
    value: String,
    name: String,
}

struct DayView {
    iso: String,
    /// As the label names it, so that who speaks what they see presses it.
    number: String,
    label: String,
    free: bool,
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
    /// The month to turn to, `YYYY-MM`.
    month: String,
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
            month: text("month"),
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
            month: String::new(),
            time: booking.slot.time_text(),
            first_name: booking.customer.first_name.clone(),
            last_name: booking.customer.last_name.clone(),
            email: booking.customer.email.clone(),
        }
    }

    /// What of it is nobody's secret.
    fn slot_of(booking: &Booking) -> Self {
        Self::from_booking(booking).without_the_person()
    }

    fn without_the_person(self) -> Self {
        let Self { offer, date, time, .. } = self;
        Self { offer, date, time, ..Self::default() }
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
    month: Option<String>,
}

/// The form, with the slot of this browser's unfinished booking. Who it is for is typed again, or filled in by
/// the browser itself: a cookie can be somebody else's.
pub async fn form(
    State(app): State<Shared>,
    page: Page,
    Query(choice): Query<Choice>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let mut typed = match remembered(&app, &headers).await? {
        Some(booking) => Typed::slot_of(&booking),
        None => Typed::default(),
    };
    if let Some(offer) = choice.offer {
        typed.offer = offer;
    }
    if let Some(date) = choice.date {
        typed.date = date;
    }
    typed.month = choice.month.unwrap_or_default();
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
    let Storefront { page, month, faults, date, day_text, zone, shown, slots_sentence, slots, .. } =
        view(&app, page, typed, &headers, Faults::default(), Vec::new()).await?;
    let slots = SlotsOnly { page, month, faults, date, day_text, zone, shown, slots_sentence, slots };
    Ok(slots.page.show(&slots))
}

/// Books, and shows the way to the payment page.
pub async fn submit(
    State(app): State<Shared>,
    ClientAddress(address): ClientAddress,
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
    book(&app, page, address, typed, &headers, true).await
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
    let (Some(offer), Ok(slot)) = (offer, Slot::parse(typed.date.trim(), typed.time.trim())) else {
        return Ok(None);
    };
    let mut tx = app.store.read().await?;
    let calendars = hours::calendars(&mut tx, offer.id).await?;
    tx.rollback().await?;
    let rules = calendars.rules(offer, &app.config.timezone);
    if rules.times(slot.date()).contains(&slot.time_text()) {
        return Ok(None);
    }
    // Why it is not among them: by the rule's own name, if it has one.
    let refusal = slot.starts_at(&app.config.timezone).ok().and_then(|starts_at| {
        rules
            .judge(&slot, starts_at, app.clock.now())
            .err()
            .filter(|refusal| *refusal != Refusal::OutsideHours)
    });
    Ok(Some(refusal.unwrap_or(Refusal::NotOnGrid).fault()))
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
pub async fn resume(
    State(app): State<Shared>,
    ClientAddress(address): ClientAddress,
    page: Page,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    match remembered(&app, &headers).await? {
        Some(booking) => {
            // A language switched since then is no other booking.
            book(&app, page, address, Typed::from_booking(&booking), &headers, false).await
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
    address: IpAddr,
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
    let client = Some(client_key(app, address));
    let caller =
        Caller { idempotency_key: None, owner_hash: Some(owner_hash), client, lang: page.lang, instead };
    let response = match checkout::start(app, &typed.request(), &caller).await {
        Ok(Started { url, .. }) => {
            // A redirect would be blocked by `form-action 'self'`: a page with a link is not.
            let view = ToPayment { page, url };
            view.page.show(&view)
        }
        Err(error) => {
            // What was typed is shown again; what only a cookie stands for is not.
            let typed = if instead { typed } else { typed.without_the_person() };
            refuse(app, page, typed, headers, error).await?
        }
    };
    Ok(with_cookie(response, cookie))
}

/// Whether this browser's last booking is of the offer and slot that were sent, paid or on its way.
async fn has_the_slot(app: &Shared, headers: &HeaderMap, typed: &Typed) -> Result<bool, StoreError> {
    let Some(owner_hash) = hold::owner_hash(app, headers) else { return Ok(false) };
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
        CheckoutError::TooManyHolds { .. } => {
            (StatusCode::TOO_MANY_REQUESTS, Faults::default(), FormError::general(t.too_many_holds))
        }
        CheckoutError::SlotFull => {
            let time = Some(t.slot_full.to_owned());
            let line = FormError { target: "time".to_owned(), message: t.slot_full.to_owned() };
            (StatusCode::CONFLICT, Faults { time, ..Faults::default() }, vec![line])
        }
        CheckoutError::Ended(_) => {
            (StatusCode::CONFLICT, Faults::default(), FormError::general(t.booking_ended))
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
    let Some(owner_hash) = hold::owner_hash(app, headers) else { return Ok(None) };
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
    let today = hours::today(app);
    let offers = checkout::active_offers(app).await?;
    let chosen = offers.iter().find(|offer| offer.id.to_string() == typed.offer).or(offers.first());
    let mine = remembered(app, headers).await?.filter(|booking| booking.status() == Status::Pending);

    let mut tx = app.store.read().await?;
    let (date, month) = match chosen {
        Some(offer) => month_of(app, &mut tx, offer, &typed, today).await?,
        None => (Slot::parse_date(&typed.date).unwrap_or(today), Month::default()),
    };
    tx.rollback().await?;

    let mine_here = mine.as_ref().filter(|booking| chosen.is_some_and(|offer| offer.id == booking.offer));
    let times = month.days.iter().find(|(day, _)| *day == date).map_or(&[][..], |(_, times)| times);
    let capacity = chosen.map_or(1, |offer| offer.capacity);
    let mut slots: Vec<SlotView> =
        times.iter().map(|time| slot_view(&page, time, capacity, &typed, mine_here)).collect();
    if let Some(slot) = slots.iter_mut().find(|slot| slot.free) {
        slot.target = true;
    }

    let held = mine.as_ref().filter(|booking| booking.hold_expires_at > now).map(|booking| Held {
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
        month: month_view(lang, &chosen_offer, &month, date, today, mine_here),
        date: date.to_string(),
        shown: shown_text(&date.to_string(), &chosen_offer),
        slots_sentence: i18n::free_slots(lang, free, &day_text),
        zone: format::zone(lang, zone, times.iter().find_map(|time| time.starts_at).unwrap_or(now)),
        day_text,
        first_day: today.to_string(),
        last_day: month.last.map_or_else(|| "9999-12-31".to_owned(), |last| last.to_string()),
        slots,
        first_name: typed.first_name,
        last_name: typed.last_name,
        email: typed.email,
        page,
    })
}

fn offer_view(lang: Lang, offer: &Offer, chosen: Option<&Offer>) -> OfferView {
    OfferView {
        id: offer.id.to_string(),
        name: offer.name.clone(),
        price: format::money(lang, offer.price),
        chosen: chosen.is_some_and(|chosen| chosen.id == offer.id),
    }
}

/// The days of a month with their times.
#[derive(Debug, Default)]
struct Month {
    days: Vec<(Date, Vec<Time>)>,
    /// The last day that can be booked, if there is one.
    last: Option<Date>,
}

impl Month {
    fn first_free(&self) -> Option<Date> {
        let is_free = |times: &[Time]| times.iter().any(|time| matches!(time.standing, Standing::Free(_)));
        self.days.iter().find(|(_, times)| is_free(times)).map(|(day, _)| *day)
    }
}

/// The chosen day with its month. If no day was chosen, the first one with a free time: of the month that was asked
/// for, else of this one and the next ones.
async fn month_of(
    app: &Shared,
    tx: &mut Tx,
    offer: &Offer,
    typed: &Typed,
    today: Date,
) -> Result<(Date, Month), StoreError> {
    let calendars = hours::calendars(tx, offer.id).await?;
    let last = calendars.rules(offer, &app.config.timezone).last_day(app.clock.now());
    let asked = Slot::parse_date(&format!("{}-01", typed.month)).ok();
    let wanted = Slot::parse_date(&typed.date).ok().filter(|date| {
        // A month was turned to: its first free day, not the day of before.
        asked.is_none_or(|month| (month.year(), month.month()) == (date.year(), date.month()))
    });
    let mut month = asked.or(wanted).unwrap_or(today).first_of_month();
    let mut first = None;
    for _ in 0..if asked.or(wanted).is_some() { 1 } else { SEARCH_MONTHS } {
        let days = hours::days_by(app, tx, &calendars, offer, month, month.last_of_month()).await?;
        let found = Month { days, last };
        if let Some(date) = wanted.or_else(|| found.first_free()) {
            return Ok((date, found));
        }
        first.get_or_insert((if month > today { month } else { today }, found));
        if last.is_some_and(|last| month.last_of_month() >= last) {
            break;
        }
        month = next_month(month);
    }
    Ok(first.unwrap_or_else(|| (today, Month::default())))
}

fn next_month(month: Date) -> Date {
    month.saturating_add(1.month()).first_of_month()
}

fn month_view(
    lang: Lang,
    offer: &str,
    month: &Month,
    chosen: Date,
    today: Date,
    mine: Option<&Booking>,
) -> MonthView {
    let Some((first, _)) = month.days.first() else { return MonthView::default() };
    let before = first.saturating_sub(1.day()).first_of_month();
    let after = next_month(*first);
    let link = |month: Date| MonthLink {
        value: format!("{:04}-{:02}", month.year(), month.month()),
        name: format::month_of_year(lang, month),
    };
    let beyond = month.last.is_some_and(|last| after > last) || after.year() >= 9999;
    MonthView {
        key: format!("{offer}|{:04}-{:02}", first.year(), first.month()),
        title: format::month_of_year(lang, *first),
        before: (before >= today.first_of_month()).then(|| link(before)),
        after: (!beyond).then(|| link(after)),
        week: format::short_week(lang),
        blanks: (0..first.weekday().to_monday_zero_offset()).collect(),
        days: month.days.iter().map(|(day, times)| day_view(lang, *day, times, chosen, mine)).collect(),
    }
}

fn day_view(lang: Lang, day: Date, times: &[Time], chosen: Date, mine: Option<&Booking>) -> DayView {
    let free = times
        .iter()
        .filter(|time| {
            matches!(time.standing, Standing::Free(_)) || mine.is_some_and(|mine| mine.slot == time.slot)
        })
        .count();
    DayView {
        iso: day.to_string(),
        number: match (lang, day.day()) {
            (Lang::Fr, 1) => "1er".to_owned(),
            (_, number) => number.to_string(),
        },
        label: i18n::day_label(lang, &format::day(lang, day), free),
        free: free > 0,
        chosen: day == chosen,
    }
}

fn slot_view(page: &Page, time: &Time, capacity: i32, typed: &Typed, mine: Option<&Booking>) -> SlotView {
    let yours = mine.is_some_and(|booking| booking.slot == time.slot);
    let (free, note) = match &time.standing {
        Standing::Past => (false, page.t.past.to_owned()),
        Standing::Skipped => (false, page.t.not_offered.to_owned()),
        _ if yours => (true, page.t.yours.to_owned()),
        Standing::Refused(Refusal::TooSoon { .. }) => (false, page.t.too_soon.to_owned()),
        Standing::Refused(_) => (false, page.t.not_offered.to_owned()),
        Standing::Free(left) if capacity > 1 => (true, i18n::seats_left(page.lang, *left)),
        Standing::Free(_) => (true, String::new()),
        Standing::Full => (false, page.t.taken.to_owned()),
    };
    let text = time.slot.time_text();
    let chosen = free && typed.time == text && typed.date == time.slot.date().to_string();
    SlotView { time: text, free, chosen, note, target: false }
}
