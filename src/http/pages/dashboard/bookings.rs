//! `/dashboard` and `/dashboard/bookings/{id}`: bookings and their stories.

use super::{Choice, Fact, Page, Pager, back, done, filter_errors, query, typed};
use crate::app::Shared;
use crate::flow::bookings;
use crate::flow::business;
use crate::flow::call_off::{self, CallOffError};
use crate::flow::cancel::{self, CancelError};
use crate::flow::explain;
use crate::flow::refund::{self, RefundError};
use crate::http::auth::Signed;
use crate::http::error::Problem;
use crate::http::pages::{BesideField as _, Fields, FormError, format, i18n};
use crate::http::request::RequestId;
use askama::Template;
use axum::Extension;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use domain::Fault;
use domain::booking::{Booking, Status};
use domain::cancel::{GiveBack, MAX_REASON};
use domain::ids::{BookingId, OfferId};
use domain::lang::Lang;
use domain::money::Money;
use domain::offer::Offer;
use domain::role::Role;
use domain::slot::Slot;
use jiff::tz::TimeZone;
use std::collections::HashMap;
use store::bookings::BookingFilter;
use store::cases::CaseRecord;
use store::page::Page as Listed;
use store::refund_intents::IntentState;
use store::{StoreError, Tx};

#[derive(Template)]
#[template(path = "dashboard/bookings.html")]
struct Bookings {
    page: Page,
    /// What customers must be told and are not.
    missing: Vec<&'static str>,
    errors: Vec<FormError>,
    tiles: Vec<Fact>,
    statuses: Vec<Choice>,
    offers: Vec<Choice>,
    date: String,
    who: String,
    filtered: bool,
    /// Whether the reader may take back what strangers hold.
    may_release: bool,
    rows: Vec<Row>,
    pager: Pager,
    /// The month that is offered for download, to whom it may be.
    month: Option<String>,
}

struct Row {
    id: String,
    code: String,
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
    refund: Option<RefundForm>,
    may_cancel: bool,
    call_off: Option<CallOffForm>,
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
    source: String,
    text: String,
}

struct RefundForm {
    /// Made with the form, so that sending it twice gives one refund.
    key: String,
    currency: String,
    amount: String,
    hint: String,
    fault: Option<String>,
}

#[derive(Template)]
#[template(path = "dashboard/refund.html")]
struct RefundQuestion {
    page: Page,
    id: String,
    question: String,
    name: String,
    slot: String,
    amount_text: String,
    consequence: &'static str,
    amount: String,
    key: String,
}

#[derive(Template)]
#[template(path = "dashboard/cancel.html")]
struct CancelQuestion {
    page: Page,
    id: String,
    name: String,
    slot: String,
}

/// To call off a booking that is paid.
struct CallOffForm {
    currency: String,
    amount: String,
    hint: String,
    reason: String,
    fault: Option<String>,
}

#[derive(Template)]
#[template(path = "dashboard/call_off.html")]
struct CallOffQuestion {
    page: Page,
    id: String,
    name: String,
    slot: String,
    /// None if nothing goes back.
    amount_text: Option<String>,
    amount: String,
    reason: String,
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
        email: None,
        who: query.take("who", "must be a short text", |text| (text.len() <= 254).then(|| text.to_owned())),
        offer: query.take("offer", "must be the id of an offer", |text| OfferId::parse(text).ok()),
    };
    let errors = filter_errors(&page, query, &["status", "date", "who"]);
    let mut tx = app.store.read().await?;
    let bookings = match errors.is_empty() {
        true => tx.list_bookings(&filter, &wanted).await?,
        false => Listed { items: Vec::new(), next: None },
    };
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
    let missing = match app.config.is_production() && page.allows(Role::Admin) {
        true => domain::business::missing(business::shop(&app).await.as_ref().map(|shop| &shop.business)),
        false => Vec::new(),
    };
    let view = Bookings {
        missing: missing.into_iter().map(|name| i18n::business_member(t, name)).collect(),
        // What they count can be opened by OPS only.
        tiles: match page.allows(Role::Ops) {
            true => vec![
                Fact::new(t.open_cases, open_cases.to_string()),
                Fact::new(t.received, webhook.received.to_string()),
                Fact::new(t.errors, webhook.errors.to_string()),
            ],
            false => Vec::new(),
        },
        may_release: page.allows(Role::Ops),
        statuses: Status::ALL.into_iter().map(status).collect(),
        offers: offers.iter().map(offer).collect(),
        filtered: !errors.is_empty()
            || filter.status.is_some()
            || filter.date.is_some()
            || filter.who.is_some()
            || filter.offer.is_some(),
        rows: bookings.items.iter().map(|booking| row(lang, &app.config.timezone, booking, &names)).collect(),
        pager: Pager::of(&page, bookings.next.as_ref()),
        month: page.allows(Role::Admin).then(|| {
            let today = app.config.timezone.to_datetime(app.clock.now().to_jiff()).date();
            today.strftime("%Y-%m").to_string()
        }),
        date: typed(&page, "date"),
        who: typed(&page, "who"),
        errors,
        page,
    };
    let status = if view.errors.is_empty() { StatusCode::OK } else { StatusCode::BAD_REQUEST };
    Ok(view.page.show_as(status, &view))
}

fn row(lang: Lang, zone: &TimeZone, booking: &Booking, offers: &HashMap<OfferId, &str>) -> Row {
    Row {
        id: booking.id.to_string(),
        code: booking.code.to_string(),
        name: full_name(booking),
        email: booking.customer.email.clone(),
        slot: format::short_slot(lang, &booking.slot),
        offer: offers.get(&booking.offer).map(|name| (*name).to_owned()).unwrap_or_default(),
        status: i18n::status_of(lang, booking),
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
    // The code that a customer reads out leads here too.
    if BookingId::parse(&id).is_err()
        && let Some(named) = bookings::named(&app, &id).await?
    {
        return Ok(Redirect::to(&format!("/dashboard/bookings/{named}")).into_response());
    }
    let view = view(&app, &page, &id).await?;
    let booking = BookingPage { errors: Vec::new(), done, view, page };
    Ok(booking.page.show(&booking))
}

async fn view(app: &Shared, page: &Page, id: &str) -> Result<BookingView, Problem> {
    let id = BookingId::parse(id).map_err(|_| Problem::not_found())?;
    let mut tx = app.store.read().await?;
    let booking = tx.booking(id).await?;
    let cases = tx.cases_of(id).await?;
    let offer = match &booking {
        Some(booking) => tx.offer(booking.offer).await?,
        None => None,
    };
    let left = match &booking {
        Some(booking) => refundable(&mut tx, booking).await?,
        None => None,
    };
    tx.rollback().await?;
    let booking = booking.ok_or_else(Problem::not_found)?;
    let story = explain::story(&app.store, id, page.lang, &app.config.timezone).await?;
    let story = story.ok_or_else(Problem::not_found)?;
    let (lang, zone) = (page.lang, &app.config.timezone);
    let amount = |amount: i64| format::money(lang, Money { amount, ..booking.price });
    let money = |sum: i64, currency: Option<&str>| match currency {
        Some(code) => format::amount(lang, sum, code),
        None => amount(sum),
    };
    let refunds = booking.refunds.iter().map(|refund| {
        let state = i18n::refund_status(lang, refund.status);
        Fact::new(refund.id.as_str(), format!("{} · {state}", amount(refund.amount)))
    });
    let disputes = booking.disputes.iter().map(|dispute| {
        let state = i18n::dispute_status(lang, dispute.status);
        let due = dispute.due_by.map(|at| format!(" · {}", format::moment(lang, zone, at)));
        Fact::new(
            dispute.id.as_str(),
            format!(
                "{} · {state}{}",
                money(dispute.amount, dispute.currency.as_deref()),
                due.unwrap_or_default()
            ),
        )
    });
    Ok(BookingView {
        id: booking.id.to_string(),
        name: full_name(&booking),
        status: i18n::status_of(lang, &booking),
        tone: i18n::status_tone(booking.status()),
        story: story.steps.into_iter().map(|step| step_view(lang, zone, step)).collect(),
        // Stripe refuses to refund what the bank has taken back.
        refund: left
            .filter(|_| page.allows(Role::Admin) && booking.status() != Status::Disputed)
            .map(|left| refund_form(page, left)),
        may_cancel: page.allows(Role::Admin) && cancel::is_offered(&booking, &cases),
        call_off: (page.allows(Role::Admin) && booking.payment().is_some() && booking.cancelled.is_none())
            .then(|| call_off_form(page, &booking, left)),
        cases: cases.iter().map(|case| case_view(page, case)).collect(),
        may_see_cases: page.allows(Role::Ops),
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
        Fact::new(t.code, booking.code.as_str()),
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
    if let Some(cancelled) = &booking.cancelled {
        facts.push(Fact::new(t.cancelled_on, moment(cancelled.at)));
        if !cancelled.reason.is_empty() {
            facts.push(Fact::new(t.cancel_reason, cancelled.reason.as_str()));
        }
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
        text: format::sentence(page.lang, case.sentence(page.lang)),
        tone: if open { "bad" } else { "quiet" },
        state: if open { page.t.case_open } else { page.t.case_closed },
    }
}

fn step_view(lang: Lang, zone: &TimeZone, step: explain::Step) -> Step {
    Step {
        iso: step.at.to_string(),
        at: format::moment(lang, zone, step.at),
        source: format::sentence(lang, &step.teller),
        text: format::sentence(lang, &step.text),
    }
}

/// What of a booking's payment can still go back, what is under way taken off; none if nothing can.
async fn refundable(tx: &mut Tx, booking: &Booking) -> Result<Option<Money>, StoreError> {
    let Some(payment) = booking.payment() else { return Ok(None) };
    let Some(intent) = &payment.intent else { return Ok(None) };
    let gone = booking.refunded_amount().saturating_add(tx.open_refund_sum(intent).await?);
    let left = Money { amount: payment.amount.saturating_sub(gone), ..booking.price };
    Ok((left.amount > 0).then_some(left))
}

/// The form to give money back.
fn refund_form(page: &Page, left: Money) -> RefundForm {
    RefundForm {
        key: uuid::Uuid::new_v4().to_string(),
        currency: left.currency.as_str().to_ascii_uppercase(),
        amount: format::decimal(page.lang, left),
        hint: i18n::refund_left(page.lang, &format::money(page.lang, left)),
        fault: None,
    }
}

/// The form to call a paid booking off: all that can go back is offered, unless the bank has it.
fn call_off_form(page: &Page, booking: &Booking, left: Option<Money>) -> CallOffForm {
    let left = left.unwrap_or(Money { amount: 0, ..booking.price });
    let offered = if booking.status() == Status::Disputed { Money { amount: 0, ..left } } else { left };
    CallOffForm {
        currency: left.currency.as_str().to_ascii_uppercase(),
        amount: format::decimal(page.lang, offered),
        hint: i18n::refund_left(page.lang, &format::money(page.lang, left)),
        reason: String::new(),
        fault: None,
    }
}

/// Asks once more, then gives money back.
pub async fn refund(
    State(app): State<Shared>,
    page: Page,
    signed: Signed,
    Extension(request_id): Extension<RequestId>,
    Path(id): Path<String>,
    fields: Fields,
) -> Result<Response, Problem> {
    let booking = find(&app, &id).await?;
    let (t, lang) = (page.t, page.lang);
    let key = Some(fields.get("key")).filter(|key| (1..=64).contains(&key.len()) && key.is_ascii());
    let key = key.ok_or_else(|| Problem::fault("key", "must be the key of the form"))?.to_owned();
    let sent = fields.get("amount");
    let money = Money::from_decimal(sent, booking.price.currency).filter(|money| money.amount > 0);
    let Some(money) = money else {
        return refused(&app, page, &id, StatusCode::BAD_REQUEST, t.not_an_amount, Some(sent)).await;
    };
    if fields.sent("confirmed").is_none() {
        let mut tx = app.store.read().await?;
        let left = refundable(&mut tx, &booking).await?;
        tx.rollback().await?;
        let Some(left) = left.filter(|left| money.amount <= left.amount) else {
            return refused(&app, page, &id, StatusCode::CONFLICT, t.refund_too_much, Some(sent)).await;
        };
        let amount_text = format::money(lang, money);
        let question = RefundQuestion {
            question: i18n::refund_question(lang, &amount_text),
            name: full_name(&booking),
            slot: format::slot(lang, &booking.slot),
            amount_text,
            consequence: if money == left { t.refund_frees_seat } else { t.refund_keeps_seat },
            amount: money.decimal(),
            key,
            page: page.at(&format!("/dashboard/bookings/{id}")),
            id,
        };
        return Ok(question.page.show(&question));
    }
    let result = refund::refund(&app, booking.id, Some(money.amount), &key, signed.actor(&request_id)).await;
    let (status, text) = match result {
        Ok(intent) if intent.state == IntentState::Open => {
            return Ok(back(&format!("/dashboard/bookings/{id}"), "refund_uncertain"));
        }
        Ok(intent) if intent.state == IntentState::Refused => (StatusCode::BAD_GATEWAY, t.refund_refused),
        Ok(_) => return Ok(back(&format!("/dashboard/bookings/{id}"), "refund")),
        Err(RefundError::NotAnAmount) => (StatusCode::BAD_REQUEST, t.not_an_amount),
        Err(RefundError::TooMuch { .. }) => (StatusCode::CONFLICT, t.refund_too_much),
        Err(RefundError::NothingPaid | RefundError::KeyReused) => (StatusCode::CONFLICT, t.conflict_lead),
        Err(RefundError::Refused(_)) => (StatusCode::BAD_GATEWAY, t.refund_refused),
        Err(RefundError::NotFound) => return Err(Problem::not_found()),
        Err(RefundError::Store(error)) => return Err(error.into()),
    };
    let typed = format::decimal(lang, money);
    refused(&app, page, &id, status, text, Some(&typed)).await
}

/// Asks once more, then calls a booking off: an unpaid one, or a paid one with what goes back of it.
pub async fn cancel(
    State(app): State<Shared>,
    page: Page,
    signed: Signed,
    Extension(request_id): Extension<RequestId>,
    Path(id): Path<String>,
    fields: Fields,
) -> Result<Response, Problem> {
    let booking = find(&app, &id).await?;
    let (t, lang) = (page.t, page.lang);
    let reason = fields.get("reason").trim().to_owned();
    if reason.chars().count() > MAX_REASON {
        let message = format!("must be a text of at most {MAX_REASON} characters");
        return Err(Problem::invalid(vec![Fault::new("reason", message)]));
    }
    let typed = fields.sent("amount");
    let money = match typed {
        // The form of an unpaid one asks for no amount.
        None => None,
        Some(typed) => match Money::from_decimal(typed, booking.price.currency) {
            Some(money) => Some(money),
            None => {
                let typed = Some((typed, reason.as_str()));
                return not_called_off(&app, page, &id, StatusCode::BAD_REQUEST, t.not_an_amount, typed)
                    .await;
            }
        },
    };
    if fields.sent("confirmed").is_none() {
        let at = page.at(&format!("/dashboard/bookings/{id}"));
        let (name, slot) = (full_name(&booking), format::slot(lang, &booking.slot));
        let Some(money) = money else {
            if booking.payment().is_some()
                || !matches!(booking.status(), Status::Pending | Status::Processing)
            {
                return refused(&app, at, &id, StatusCode::CONFLICT, t.conflict_lead, None).await;
            }
            let question = CancelQuestion { name, slot, page: at, id };
            return Ok(question.page.show(&question));
        };
        let question = CallOffQuestion {
            name,
            slot,
            amount_text: (money.amount > 0).then(|| format::money(lang, money)),
            amount: money.decimal(),
            reason,
            page: at,
            id,
        };
        return Ok(question.page.show(&question));
    }
    let wish =
        money.map(|money| if money.amount == 0 { GiveBack::Nothing } else { GiveBack::Part(money.amount) });
    let called_off = call_off::call_off(&app, booking.id, wish, &reason, signed.actor(&request_id)).await;
    let (status, text) = match called_off {
        Ok(off) => {
            let open = off.refund.is_some_and(|refund| refund.state == IntentState::Open);
            let done = if open { "refund_uncertain" } else { "cancel" };
            return Ok(back(&format!("/dashboard/bookings/{id}"), done));
        }
        Err(CallOffError::Disputed) => (StatusCode::CONFLICT, t.call_off_disputed),
        Err(CallOffError::Already) => (StatusCode::CONFLICT, t.call_off_already),
        Err(CallOffError::OffButNotRefunded(_)) => (StatusCode::BAD_GATEWAY, t.call_off_not_refunded),
        Err(CallOffError::Refund(RefundError::TooMuch { .. })) => (StatusCode::CONFLICT, t.refund_too_much),
        Err(CallOffError::SayWhatGoesBack(_) | CallOffError::Refund(RefundError::NothingPaid)) => {
            (StatusCode::CONFLICT, t.conflict_lead)
        }
        Err(CallOffError::Cancel(error)) => match *error {
            CancelError::StillOpening | CancelError::SessionUnknown => (StatusCode::CONFLICT, t.cancel_later),
            CancelError::NotUnpaid(_) => (StatusCode::CONFLICT, t.conflict_lead),
            error => return Err(error.into()),
        },
        Err(error) => return Err(error.into()),
    };
    let typed = typed.map(|typed| (typed, reason.as_str()));
    not_called_off(&app, page, &id, status, text, typed).await
}

/// The booking again, with why it was not called off and what was typed.
async fn not_called_off(
    app: &Shared,
    page: Page,
    id: &str,
    status: StatusCode,
    text: &str,
    typed: Option<(&str, &str)>,
) -> Result<Response, Problem> {
    let page = page.at(&format!("/dashboard/bookings/{id}"));
    let mut view = view(app, &page, id).await?;
    let mut errors = FormError::general(text);
    if let (Some((amount, reason)), Some(form)) = (typed, view.call_off.as_mut()) {
        amount.clone_into(&mut form.amount);
        reason.clone_into(&mut form.reason);
        form.fault = Some(text.to_owned());
        errors = vec![FormError { target: "back".to_owned(), message: text.to_owned() }];
    }
    let booking = BookingPage { errors, done: None, view, page };
    Ok(booking.page.show_as(status, &booking))
}

async fn find(app: &Shared, id: &str) -> Result<Booking, Problem> {
    let id = BookingId::parse(id).map_err(|_| Problem::not_found())?;
    let mut tx = app.store.read().await?;
    let booking = tx.booking(id).await?;
    tx.rollback().await?;
    booking.ok_or_else(Problem::not_found)
}

/// The booking again, with why it was not done and the amount that was typed, if it is about that.
async fn refused(
    app: &Shared,
    page: Page,
    id: &str,
    status: StatusCode,
    text: &str,
    amount: Option<&str>,
) -> Result<Response, Problem> {
    let page = page.at(&format!("/dashboard/bookings/{id}"));
    let mut view = view(app, &page, id).await?;
    let mut errors = FormError::general(text);
    if let (Some(amount), Some(form)) = (amount, view.refund.as_mut()) {
        amount.clone_into(&mut form.amount);
        form.fault = Some(text.to_owned());
        errors = vec![FormError { target: "amount".to_owned(), message: text.to_owned() }];
    }
    let booking = BookingPage { errors, done: None, view, page };
    Ok(booking.page.show_as(status, &booking))
}
