//! `/dashboard` and `/dashboard/bookings/{id}`: bookings and their stories.

use super::{Choice, Fact, Page, Pager, done, query};
use crate::app::Shared;
use crate::domain::booking::{Booking, Status};
use crate::domain::ids::{BookingId, OfferId};
use crate::domain::lang::Lang;
use crate::domain::money::Money;
use crate::domain::offer::Offer;
use crate::domain::payment::case_sentence;
use crate::domain::role::Role;
use crate::domain::slot::Slot;
use crate::http::error::Problem;
use crate::http::pages::{FormError, format, i18n};
use crate::store::bookings::BookingFilter;
use crate::store::cases::CaseRecord;
use crate::store::ledger::Entry;
use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use jiff::tz::TimeZone;
use std::collections::HashMap;

#[derive(Template)]
#[template(path = "dashboard/bookings.html")]
struct Bookings {
    page: Page,
    tiles: Vec<Fact>,
    statuses: Vec<Choice>,
    offers: Vec<Choice>,
    date: String,
    email: String,
    filtered: bool,
    rows: Vec<Row>,
    pager: Pager,
}

struct Row {
    id: String,
    name: String,
    email: String,
    slot: String,
    offer: String,
    status: &'static str,
    tone: &'static str,
    amount: String,
    created: String,
}

#[derive(Template)]
#[template(path = "dashboard/booking.html")]
struct BookingPage {
    page: Page,
    errors: Vec<FormError>,
    done: Option<&'static str>,
    view: BookingView,
}

struct BookingView {
    id: String,
    name: String,
    status: &'static str,
    tone: &'static str,
    story: Vec<Step>,
    cases: Vec<CaseView>,
    may_see_cases: bool,
    facts: Vec<Fact>,
    refunds: Vec<Fact>,
    disputes: Vec<Fact>,
}

struct Step {
    iso: String,
    at: String,
    text: String,
    event: Option<String>,
}

struct CaseView {
    id: String,
    text: String,
    tone: &'static str,
    state: &'static str,
}

/// Bookings, newest first.
pub async fn list(State(app): State<Shared>, page: Page) -> Result<Response, Problem> {
    let mut query = query(&page);
    let wanted = query.page();
    let filter = BookingFilter {
        status: query.take("status", "must be a status, such as payé", Status::parse),
        date: query.take("date", "must be a date as YYYY-MM-DD", |text| {
            Slot::parse_date(text).ok().map(|date| date.to_string())
        }),
        email: query
            .take("email", "must be an e-mail address", |text| (text.len() <= 254).then(|| text.to_owned())),
        offer: query.take("offer", "must be the id of an offer", |text| OfferId::parse(text).ok()),
    };
    query.finish()?;
    let mut tx = app.store.read().await?;
    let bookings = tx.list_bookings(&filter, &wanted).await?;
    let offers = tx.offers().await?;
    let open_cases = tx.count_open_cases().await?;
    tx.rollback().await?;

    let (t, lang) = (page.t, page.lang);
    let names: HashMap<OfferId, &str> = offers.iter().map(|offer| (offer.id, offer.name.as_str())).collect();
    let webhook = app.counters.webhook();
    let status = |status: Status| Choice {
        value: status.as_str().to_owned(),
        name: i18n::status(lang, status).to_owned(),
        chosen: filter.status == Some(status),
    };
    let offer = |offer: &Offer| Choice {
        value: offer.id.to_string(),
        name: offer.name.clone(),
        chosen: filter.offer == Some(offer.id),
    };
    let view = Bookings {
        tiles: vec![
            Fact::new(t.open_cases, open_cases.to_string()),
            Fact::new(t.received, webhook.received.to_string()),
            Fact::new(t.errors, webhook.errors.to_string()),
        ],
        statuses: Status::ALL.into_iter().map(status).collect(),
        offers: offers.iter().map(offer).collect(),
        filtered: filter.status.is_some()
            || filter.date.is_some()
            || filter.email.is_some()
            || filter.offer.is_some(),
        rows: bookings.items.iter().map(|booking| row(lang, &app.config.timezone, booking, &names)).collect(),
        pager: Pager::of(&page, bookings.next.as_ref()),
        date: filter.date.unwrap_or_default(),
        email: filter.email.unwrap_or_default(),
        page,
    };
    Ok(view.page.show(&view))
}

fn row(lang: Lang, zone: &TimeZone, booking: &Booking, offers: &HashMap<OfferId, &str>) -> Row {
    Row {
        id: booking.id.to_string(),
        name: full_name(booking),
        email: booking.customer.email.clone(),
        slot: format::short_slot(lang, &booking.slot),
        offer: offers.get(&booking.offer).map(|name| (*name).to_owned()).unwrap_or_default(),
        status: i18n::status(lang, booking.status()),
        tone: i18n::status_tone(booking.status()),
        amount: format::money(lang, booking.price),
        created: format::moment(lang, zone, booking.created_at),
    }
}

fn full_name(booking: &Booking) -> String {
    format!("{} {}", booking.customer.first_name, booking.customer.last_name)
}

/// One booking with its story.
pub async fn show(
    State(app): State<Shared>,
    page: Page,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let mut query = query(&page);
    let done = done(&page, &mut query);
    query.finish()?;
    let view = view(&app, &page, &id).await?;
    let booking = BookingPage { errors: Vec::new(), done, view, page };
    Ok(booking.page.show(&booking))
}

async fn view(app: &Shared, page: &Page, id: &str) -> Result<BookingView, Problem> {
    let id = BookingId::parse(id).map_err(|_| Problem::not_found())?;
    let mut tx = app.store.read().await?;
    let booking = tx.booking(id).await?;
    let entries = tx.entries_of(id).await?;
    let cases = tx.cases_of(id).await?;
    let offer = match &booking {
        Some(booking) => tx.offer(booking.offer).await?,
        None => None,
    };
    tx.rollback().await?;
    let booking = booking.ok_or_else(Problem::not_found)?;
    let (lang, zone) = (page.lang, &app.config.timezone);
    let amount = |amount: i64| format::money(lang, Money { amount, ..booking.price });
    let refunds = booking.refunds.iter().map(|refund| {
        let state = i18n::refund_status(lang, refund.status);
        Fact::new(refund.id.as_str(), format!("{} · {state}", amount(refund.amount)))
    });
    let disputes = booking.disputes.iter().map(|dispute| {
        let state = i18n::dispute_status(lang, dispute.status);
        let due = dispute.due_by.map(|at| format!(" · {}", format::moment(lang, zone, at)));
        Fact::new(
            dispute.id.as_str(),
            format!("{} · {state}{}", amount(dispute.amount), due.unwrap_or_default()),
        )
    });
    Ok(BookingView {
        id: booking.id.to_string(),
        name: full_name(&booking),
        status: i18n::status(lang, booking.status()),
        tone: i18n::status_tone(booking.status()),
        story: story(page, zone, &booking, &entries),
        cases: cases.iter().map(|case| case_view(page, case)).collect(),
        may_see_cases: page.user.as_ref().is_some_and(|user| user.role.allows(Role::Ops)),
        refunds: refunds.collect(),
        disputes: disputes.collect(),
        facts: facts(page, zone, &booking, offer.as_ref()),
    })
}

fn facts(page: &Page, zone: &TimeZone, booking: &Booking, offer: Option<&Offer>) -> Vec<Fact> {
    let (t, lang) = (page.t, page.lang);
    let money = |amount: i64| format::money(lang, Money { amount, ..booking.price });
    let moment = |at| format::moment(lang, zone, at);
    let mut facts = vec![
        Fact::new(t.offer, offer.map_or("", |offer| offer.name.as_str())),
        Fact::new(t.slot, format::slot(lang, &booking.slot)),
        Fact::new(t.email, booking.customer.email.as_str()),
        Fact::new(t.price, money(booking.price.amount)),
        Fact::new(t.booked_on, moment(booking.created_at)),
    ];
    if let Some(payment) = booking.payment() {
        facts.push(Fact::new(t.amount_paid, money(payment.amount)));
        facts.push(Fact::new(t.paid_on, moment(payment.at)));
        if booking.refunded_amount() > 0 {
            facts.push(Fact::new(t.refunded, money(booking.refunded_amount())));
        }
        facts.extend(payment.intent.as_ref().map(|intent| Fact::new(t.payment_intent, intent.as_str())));
    } else if booking.status() == Status::Pending {
        facts.push(Fact::new(t.held_until, moment(booking.hold_expires_at)));
    }
    facts.extend(booking.seat.map(|seat| Fact::new(t.seat, seat.to_string())));
    facts.extend(booking.session.as_ref().map(|session| Fact::new(t.session, session.as_str())));
    facts.push(Fact::new(t.reference, booking.id.to_string()));
    facts
}

fn case_view(page: &Page, case: &CaseRecord) -> CaseView {
    let open = case.closed_at.is_none();
    CaseView {
        id: case.id.to_string(),
        text: format::sentence(page.lang, case_sentence(case.kind, page.lang)),
        tone: if open { "bad" } else { "quiet" },
        state: if open { page.t.case_open } else { page.t.case_closed },
    }
}

/// What happened, oldest first.
fn story(page: &Page, zone: &TimeZone, booking: &Booking, entries: &[Entry]) -> Vec<Step> {
    let (t, lang) = (page.t, page.lang);
    let step = |at, text: String, event| Step {
        iso: crate::domain::time::Timestamp::to_string(&at),
        at: format::moment(lang, zone, at),
        text,
        event,
    };
    let mut steps = vec![step(booking.created_at, t.story_booked.to_owned(), None)];
    for entry in entries {
        let reason = entry.reason.map(|reason| format::sentence(lang, reason.sentence(lang)));
        steps.push(step(entry.received_at, reason.unwrap_or_default(), Some(entry.id.to_string())));
    }
    steps.sort_by(|a, b| a.iso.cmp(&b.iso));
    steps
}
