//! `/dashboard/ledger`: everything that Stripe told, and what was made of it.

use super::{Choice, Fact, Page, Pager, back, done, filter_errors, query, typed};
use crate::app::Shared;
use crate::flow::replay::{self, ReplayError};
use crate::http::auth::Signed;
use crate::http::error::Problem;
use crate::http::pages::{BesideField as _, Fields, FormError, format, i18n};
use crate::http::request::RequestId;
use crate::stripe::event;
use askama::Template;
use axum::Extension;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use domain::ids::BookingId;
use domain::lang::Lang;
use domain::payment::{Outcome, Reason};
use domain::role::Role;
use jiff::tz::TimeZone;
use store::ledger::{Entry, LedgerFilter};
use store::page::Page as Listed;

#[derive(Template)]
#[template(path = "dashboard/ledger.html")]
struct Ledger {
    page: Page,
    errors: Vec<FormError>,
    outcomes: Vec<Choice>,
    kind: String,
    booking: String,
    filtered: bool,
    rows: Vec<Row>,
    pager: Pager,
}

struct Row {
    id: String,
    kind: String,
    key: String,
    outcome: &'static str,
    tone: &'static str,
    reason: String,
    booking: Option<String>,
    deliveries: i32,
    received: String,
}

#[derive(Template)]
#[template(path = "dashboard/event.html")]
struct EventPage {
    page: Page,
    errors: Vec<FormError>,
    done: Option<&'static str>,
    view: EventView,
    replay: Option<ReplayView>,
}

struct ReplayView {
    sentence: String,
    changes: Vec<replay::Change>,
}

struct EventView {
    id: String,
    may_replay: bool,
    kind: String,
    outcome: &'static str,
    tone: &'static str,
    reason: String,
    facts: Vec<Fact>,
    booking: Option<String>,
    payload: Option<String>,
}

/// The ledger, newest first.
pub async fn list(State(app): State<Shared>, page: Page) -> Result<Response, Problem> {
    let mut query = query(&page);
    let wanted = query.page();
    let short = |text: &str| (text.len() <= 255).then(|| text.to_owned());
    let filter = LedgerFilter {
        outcome: query.take("outcome", "must be an outcome, such as processed", Outcome::parse),
        kind: query.take("type", "must be a kind of event", short),
        booking: query.take("bookingId", "must be the id of a booking", |text| BookingId::parse(text).ok()),
        session: query.take("stripeSessionId", "must be the id of a session", short),
    };
    let errors = filter_errors(&page, query, &["outcome", "type", "bookingId"]);
    let entries = if errors.is_empty() {
        let mut tx = app.store.read().await?;
        let entries = tx.list_entries(&filter, &wanted).await?;
        tx.rollback().await?;
        entries
    } else {
        Listed { items: Vec::new(), next: None }
    };

    let lang = page.lang;
    let choice = |outcome: Outcome| Choice {
        value: outcome.as_str().to_owned(),
        name: i18n::outcome(lang, outcome).to_owned(),
        chosen: filter.outcome == Some(outcome),
    };
    let ledger = Ledger {
        outcomes: Outcome::ALL.into_iter().map(choice).collect(),
        filtered: !errors.is_empty()
            || filter.outcome.is_some()
            || filter.kind.is_some()
            || filter.booking.is_some()
            || filter.session.is_some(),
        kind: typed(&page, "type"),
        booking: typed(&page, "bookingId"),
        rows: entries.items.iter().map(|entry| row(lang, &app.config.timezone, entry)).collect(),
        pager: Pager::of(&page, entries.next.as_ref()),
        errors,
        page,
    };
    let status = if ledger.errors.is_empty() { StatusCode::OK } else { StatusCode::BAD_REQUEST };
    Ok(ledger.page.show_as(status, &ledger))
}

fn row(lang: Lang, zone: &TimeZone, entry: &Entry) -> Row {
    Row {
        id: entry.id.to_string(),
        kind: entry.kind.clone(),
        key: entry.event_key.clone(),
        outcome: i18n::outcome(lang, entry.outcome),
        tone: i18n::outcome_tone(entry.outcome),
        reason: reason(lang, entry),
        booking: entry.booking_id.map(|id| id.to_string()),
        deliveries: entry.deliveries,
        received: format::moment(lang, zone, entry.received_at),
    }
}

fn reason(lang: Lang, entry: &Entry) -> String {
    entry.reason.map(|reason| format::sentence(lang, reason.sentence(lang))).unwrap_or_default()
}

/// One event with what was received.
pub async fn show(
    State(app): State<Shared>,
    page: Page,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let mut query = query(&page);
    let done = done(&page, &mut query);
    query.finish()?;
    let view = view(&app, &page, &id).await?;
    let event = EventPage { errors: Vec::new(), done, view, replay: None, page };
    Ok(event.page.show(&event))
}

async fn view(app: &Shared, page: &Page, id: &str) -> Result<EventView, Problem> {
    let mut tx = app.store.read().await?;
    let entry = tx.entry(id).await?;
    let payload = match &entry {
        Some(entry) => tx.payload(entry.id).await?,
        None => None,
    };
    tx.rollback().await?;
    let entry = entry.ok_or_else(Problem::not_found)?;
    let (t, lang) = (page.t, page.lang);
    let moment = |at| format::moment(lang, &app.config.timezone, at);
    let mut facts = vec![
        Fact::new(t.event_id, entry.event_key.as_str()),
        Fact::new(t.source, format::sentence(lang, entry.source.word(lang))),
        Fact::new(t.deliveries, entry.deliveries.to_string()),
        Fact::new(t.received_on, moment(entry.received_at)),
        Fact::new(t.last_delivered_on, moment(entry.last_delivered_at)),
    ];
    let times = [
        (t.made_on, entry.stripe_created_at),
        (t.processed_on, entry.processed_at),
        (t.next_try_on, entry.next_try_at),
    ];
    facts.extend(times.into_iter().filter_map(|(name, at)| Some(Fact::new(name, moment(at?)))));
    facts.extend(entry.stripe_session_id.as_deref().map(|session| Fact::new(t.session, session)));
    Ok(EventView {
        id: entry.id.to_string(),
        may_replay: page.allows(Role::Ops),
        outcome: i18n::outcome(lang, entry.outcome),
        tone: i18n::outcome_tone(entry.outcome),
        reason: reason(lang, &entry),
        facts,
        booking: entry.booking_id.map(|id| id.to_string()),
        payload: payload.map(|payload| event::indented(&payload)),
        kind: entry.kind,
    })
}

/// First what a replay would change; then, confirmed, the replay.
pub async fn replay(
    State(app): State<Shared>,
    page: Page,
    signed: Signed,
    Extension(request_id): Extension<RequestId>,
    Path(id): Path<String>,
    fields: Fields,
) -> Result<Response, Problem> {
    let confirmed = fields.sent("confirmed").is_some();
    let result = match confirmed {
        true => replay::replay(&app, &id, signed.actor(&request_id)).await,
        false => replay::preview(&app, &id).await,
    };
    let (status, errors, replay) = match result {
        Ok(_) if confirmed => return Ok(back(&format!("/dashboard/ledger/{id}"), "replay")),
        Ok(preview) => {
            let reason = Reason::parse(preview.reason);
            let sentence = reason.map_or(preview.message, |reason| reason.sentence(page.lang));
            let sentence = format::sentence(page.lang, sentence);
            (StatusCode::OK, Vec::new(), Some(ReplayView { sentence, changes: preview.changes }))
        }
        Err(ReplayError::Erased | ReplayError::Unreadable) => {
            (StatusCode::CONFLICT, FormError::general(page.t.replay_gone), None)
        }
        Err(ReplayError::NotFound) => return Err(Problem::not_found()),
        Err(ReplayError::Stripe(error)) => return Err(error.into()),
        Err(ReplayError::Record(error)) => return Err(error.into()),
        Err(ReplayError::Store(error)) => return Err(error.into()),
    };
    let page = page.at(&format!("/dashboard/ledger/{id}"));
    let view = view(&app, &page, &id).await?;
    let event = EventPage { errors, done: None, view, replay, page };
    Ok(event.page.show_as(status, &event))
}
