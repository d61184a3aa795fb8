//! `/dashboard/cases`: what a person has to look at.

use super::{Fact, Page, Pager, back, done, query};
use crate::app::Shared;
use crate::flow::cases::{self, CaseError, Decision};
use crate::flow::refund::RefundError;
use crate::http::auth::Signed;
use crate::http::error::Problem;
use crate::http::pages::{Fields, FormError, format, i18n};
use crate::http::request::RequestId;
use askama::Template;
use axum::Extension;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use domain::case::CaseAction;
use domain::ids::{BookingId, CaseId};
use store::cases::CaseRecord;
use store::refund_intents::IntentState;

#[derive(Template)]
#[template(path = "dashboard/cases.html")]
struct Cases {
    page: Page,
    done: Option<&'static str>,
    closed: bool,
    rows: Vec<Row>,
    pager: Pager,
}

struct Row {
    id: String,
    sentence: String,
    detail: String,
    amount: String,
    deadline: String,
    opened: String,
}

#[derive(Template)]
#[template(path = "dashboard/case.html")]
struct CasePage {
    page: Page,
    errors: Vec<FormError>,
    done: Option<&'static str>,
    view: CaseView,
}

struct CaseView {
    id: String,
    actions: Vec<ActionView>,
    sentence: String,
    tone: &'static str,
    state: &'static str,
    detail: String,
    facts: Vec<Fact>,
    /// That a refund is under way, which keeps everything else waiting.
    refund: Option<String>,
    booking: Option<String>,
    event: Option<String>,
}

struct ActionView {
    word: &'static str,
    sentence: String,
    name: &'static str,
    allowed: bool,
    wants_booking: bool,
    wants_note: bool,
    moves_money: bool,
}

#[derive(Template)]
#[template(path = "dashboard/case_review.html")]
struct CaseReview {
    page: Page,
    view: ReviewView,
}

struct ReviewView {
    id: String,
    action: &'static str,
    name: &'static str,
    note: String,
    question: String,
    consequence: &'static str,
    moves_money: bool,
    facts: Vec<Fact>,
}

/// What is about to be done with whose money, asked once more.
async fn review(
    app: &Shared,
    page: Page,
    id: CaseId,
    action: CaseAction,
    note: Option<&str>,
) -> Result<Option<Response>, Problem> {
    let mut tx = app.store.read().await?;
    let case = tx.case(id, false).await?.ok_or_else(Problem::not_found)?;
    let booking = match case.booking_id {
        Some(id) => tx.booking(id).await?,
        None => None,
    };
    tx.rollback().await?;
    let may =
        case.closed_at.is_none() && case.kind.actions().contains(&action) && page.allows(action.needs());
    // Whoever may not do it is told so by the decision itself.
    if !may {
        return Ok(None);
    }
    let (t, lang) = (page.t, page.lang);
    let name = booking
        .as_ref()
        .map(|booking| format!("{} {}", booking.customer.first_name, booking.customer.last_name));
    let sum = amount(&page, &case);
    let moves_money = action == CaseAction::Refund;
    let facts = [
        (t.customer, name.clone()),
        (t.code, booking.as_ref().map(|booking| booking.code.to_string())),
        (t.slot, booking.as_ref().map(|booking| format::slot(lang, &booking.slot))),
        (t.price, booking.as_ref().map(|booking| format::money(lang, booking.price))),
        (t.amount, sum.clone()),
        (t.payment_intent, case.payment_intent_id.clone()),
    ];
    let view = ReviewView {
        id: id.to_string(),
        action: action.as_str(),
        name: if moves_money { t.refund_title } else { t.action_accept },
        note: note.unwrap_or_default().to_owned(),
        question: i18n::case_question(lang, moves_money, sum.as_deref(), name.as_deref()),
        consequence: if moves_money { t.review_refund } else { t.review_accept },
        moves_money,
        facts: facts.into_iter().filter_map(|(name, value)| Some(Fact::new(name, value?))).collect(),
    };
    let review = CaseReview { page, view };
    Ok(Some(review.page.show(&review)))
}

fn action_view(page: &Page, action: CaseAction) -> ActionView {
    let t = page.t;
    let name = match action {
        CaseAction::Accept => t.action_accept,
        CaseAction::Refund => t.refund_title,
        CaseAction::Reseat => t.action_reseat,
        CaseAction::Attach => t.action_attach,
        CaseAction::Dismiss => t.action_dismiss,
    };
    ActionView {
        word: action.as_str(),
        sentence: format::sentence(page.lang, action.sentence(page.lang)),
        name,
        allowed: page.allows(action.needs()),
        wants_booking: action == CaseAction::Attach,
        wants_note: action == CaseAction::Dismiss,
        moves_money: action == CaseAction::Refund,
    }
}

/// Cases, newest first: the open ones unless the closed ones are asked for.
pub async fn list(State(app): State<Shared>, page: Page) -> Result<Response, Problem> {
    let mut query = query(&page);
    let wanted = query.page();
    let done = done(&page, &mut query);
    let state = query.take("state", "must be open or closed", |text| match text {
        "open" => Some(true),
        "closed" => Some(false),
        _ => None,
    });
    query.finish()?;
    let open = state.unwrap_or(true);
    let mut tx = app.store.read().await?;
    let cases = tx.list_cases(Some(open), &wanted).await?;
    tx.rollback().await?;
    let view = Cases {
        done,
        closed: !open,
        rows: cases.items.iter().map(|case| row(&app, &page, case)).collect(),
        pager: Pager::of(&page, cases.next.as_ref()),
        page,
    };
    Ok(view.page.show(&view))
}

fn row(app: &Shared, page: &Page, case: &CaseRecord) -> Row {
    let moment = |at| format::moment(page.lang, &app.config.timezone, at);
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "–".to_owned());
    Row {
        id: case.id.to_string(),
        sentence: format::sentence(page.lang, case.sentence(page.lang)),
        detail: detail(page, case),
        amount: or_dash(amount(page, case)),
        deadline: or_dash(case.deadline.map(moment)),
        opened: moment(case.created_at),
    }
}

/// The figures, in words.
fn detail(page: &Page, case: &CaseRecord) -> String {
    format::sentence(page.lang, case.detail.pick(page.lang))
}

/// The amount at stake.
fn amount(page: &Page, case: &CaseRecord) -> Option<String> {
    Some(format::amount(page.lang, case.amount?, case.currency.as_deref().unwrap_or_default()))
}

/// One case.
pub async fn show(
    State(app): State<Shared>,
    page: Page,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let mut query = query(&page);
    let done = done(&page, &mut query);
    query.finish()?;
    let view = view(&app, &page, &id).await?;
    let case = CasePage { errors: Vec::new(), done, view, page };
    Ok(case.page.show(&case))
}

async fn view(app: &Shared, page: &Page, id: &str) -> Result<CaseView, Problem> {
    let id = CaseId::parse(id).map_err(|_| Problem::not_found())?;
    let mut tx = app.store.read().await?;
    let case = tx.case(id, false).await?;
    tx.rollback().await?;
    let case = case.ok_or_else(Problem::not_found)?;
    let t = page.t;
    let moment = |at| format::moment(page.lang, &app.config.timezone, at);
    let refund = case.refund.as_ref().map(|refund| {
        let amount = format::amount(page.lang, refund.amount, &refund.currency);
        match refund.state {
            IntentState::Open => format!("{amount} – {}", t.case_refund_open),
            IntentState::Done => format!("{amount} – {}", t.case_refund_done),
            IntentState::Refused => format!("{amount} – {}", t.case_refund_refused),
        }
    });
    let words = |action: CaseAction| format::sentence(page.lang, action.sentence(page.lang));
    let facts = [
        (t.amount, amount(page, &case)),
        (t.deadline, case.deadline.map(moment)),
        (t.opened_on, Some(moment(case.created_at))),
        (t.session, case.stripe_session_id.clone()),
        (t.payment_intent, case.payment_intent_id.clone()),
        (t.closed_on, case.closed_at.map(moment)),
        (t.closed_by, case.closed_by.clone()),
        (t.resolution, case.resolution.as_deref().and_then(CaseAction::parse).map(words)),
        (t.note, case.note.clone()),
    ];
    let open = case.closed_at.is_none();
    Ok(CaseView {
        id: case.id.to_string(),
        actions: case.actions().iter().map(|action| action_view(page, *action)).collect(),
        sentence: format::sentence(page.lang, case.sentence(page.lang)),
        tone: if open { "bad" } else { "quiet" },
        state: if open { t.case_open } else { t.case_closed },
        facts: facts.into_iter().filter_map(|(name, value)| Some(Fact::new(name, value?))).collect(),
        refund,
        booking: case.booking_id.map(|id| id.to_string()),
        event: case.event_key.clone(),
        detail: detail(page, &case),
    })
}

/// Does what was decided.
pub async fn decide(
    State(app): State<Shared>,
    page: Page,
    signed: Signed,
    Extension(request_id): Extension<RequestId>,
    Path(id): Path<String>,
    fields: Fields,
) -> Result<Response, Problem> {
    let case = CaseId::parse(&id).map_err(|_| Problem::not_found())?;
    let action = CaseAction::parse(fields.get("action"))
        .ok_or_else(|| Problem::fault("action", "must be one of the case's actions"))?;
    let note = Some(fields.get("note").trim()).filter(|note| !note.is_empty());
    let booking = Some(fields.get("bookingId").trim()).filter(|text| !text.is_empty());
    // A misspelt one counts as none: the actions that need one say so.
    let booking = booking.and_then(|text| BookingId::parse(text).ok());
    let reviewed = fields.sent("confirmed").is_some();
    if matches!(action, CaseAction::Refund | CaseAction::Accept)
        && !reviewed
        && let Some(review) = review(&app, page.clone(), case, action, note).await?
    {
        return Ok(review);
    }
    let decision =
        Decision { case, action, note, booking, actor: signed.actor(&request_id), role: signed.0.role };
    let error = match cases::decide(&app, decision).await {
        Ok(decided) => {
            let done = if decided.case.closed_at.is_some() { "case" } else { "refund_uncertain" };
            return Ok(back(&format!("/dashboard/cases/{id}"), done));
        }
        Err(error) => error,
    };
    let t = page.t;
    let (status, text) = match error {
        CaseError::NotFound => return Err(Problem::not_found()),
        CaseError::NeedsRole(_) => (StatusCode::FORBIDDEN, t.forbidden_lead),
        CaseError::NotAnAction { .. } | CaseError::Closed(_) => (StatusCode::CONFLICT, t.conflict_lead),
        CaseError::RefundUnderWay(_) => (StatusCode::CONFLICT, t.case_refund_open),
        CaseError::NoteNeeded => (StatusCode::BAD_REQUEST, t.note_hint),
        CaseError::BookingNeeded => (StatusCode::BAD_REQUEST, t.booking_needed),
        CaseError::Impossible(_) => (StatusCode::CONFLICT, t.case_impossible),
        CaseError::Refund(RefundError::Store(error)) | CaseError::Store(error) => return Err(error.into()),
        CaseError::Refund(RefundError::Refused(_)) => (StatusCode::BAD_GATEWAY, t.refund_refused),
        CaseError::Refund(_) => (StatusCode::CONFLICT, t.case_impossible),
        CaseError::Record(error) => return Err(error.into()),
        CaseError::Stripe(error) => return Err(error.into()),
    };
    let page = page.at(&format!("/dashboard/cases/{id}"));
    let view = view(&app, &page, &id).await?;
    let case = CasePage { errors: FormError::general(text), done: None, view, page };
    Ok(case.page.show_as(status, &case))
}
