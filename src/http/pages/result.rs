//! `/success` and `/cancel`: what became of a checkout. Coming here changes nothing: the state is that
//! of the database, and what may change it is Stripe's own answer.

use super::storefront::remembered;
use super::{Page, format, i18n, problem};
use crate::app::Shared;
use crate::flow::{bookings, reconcile};
use crate::http::error::Problem;
use crate::http::hold;
use askama::Template;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use domain::booking::{Booking, Status};
use domain::case::CaseAction;
use domain::ids::SessionId;
use domain::money::Money;
use serde::Deserialize;
use store::bookings::Handle;
use store::cases::CaseRecord;
use store::{StoreError, Tx};

/// How often the page is asked for again without script, five seconds apart. After that the reader
/// decides: a page that never rests is no help to who reads slowly, and a delayed payment takes days.
const LOOKS: u8 = 12;

#[derive(Template)]
#[template(path = "success.html")]
struct Success {
    page: Page,
    view: SuccessView,
}

/// Nothing here says who booked: the address of this page may reach strangers.
struct SuccessView {
    status: &'static str,
    status_name: &'static str,
    tone: &'static str,
    mark: &'static str,
    title: &'static str,
    lead: &'static str,
    unsettled: bool,
    /// Where the page is asked for again without script, while it does so by itself.
    again: Option<String>,
    session: String,
    offer: String,
    slot: String,
    amount_label: &'static str,
    amount: String,
    refunded: Option<String>,
    /// For programs, and for who wrote it down before there were codes.
    id: String,
    reference: String,
    /// The customer's own page.
    own: String,
    offer_again: bool,
}

/// The query of `/success`.
#[derive(Debug, Deserialize)]
pub struct Returned {
    session_id: Option<String>,
    /// How often the page has been asked for without script.
    looks: Option<String>,
}

/// The booking's true state.
pub async fn success(
    State(app): State<Shared>,
    page: Page,
    Query(returned): Query<Returned>,
) -> Result<Response, Problem> {
    let session = returned.session_id.as_deref().and_then(|id| SessionId::parse(id).ok());
    let Some(session) = session else { return Ok(unknown(page)) };
    if let Err(error) = reconcile::check_session(&app, &session).await {
        // What is known here is shown all the same.
        tracing::warn!(module = "pages", action = "result.not_checked", "{error}");
    }
    let Some((booking, offer, fate)) = booking_of(&app, &session).await? else { return Ok(unknown(page)) };
    let looks = returned.looks.and_then(|looks| looks.parse().ok()).unwrap_or(0);
    let view = success_view(&app, &page, &booking, fate, session.to_string(), offer, looks);
    let success = Success { page, view };
    Ok(success.page.show(&success))
}

fn unknown(page: Page) -> Response {
    let (title, lead) = (page.t.unknown_session_title, page.t.unknown_session_lead);
    problem::simple(page, StatusCode::NOT_FOUND, title, lead)
}

/// What became of money that came for a booking and did not pay it: its customer must neither pay again nor
/// read that nothing was charged.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stray {
    /// There is none.
    None,
    /// A person looks into it.
    LookedAt,
    /// A person gave it back.
    GivenBack,
    /// A person settled it in another way, which is written in no words for customers.
    Settled,
}

/// By the cases of an unpaid booking. That of a paid one is no concern of who paid as they should.
async fn stray_money(tx: &mut Tx, booking: &Booking) -> Result<Stray, StoreError> {
    if booking.payment().is_some() {
        return Ok(Stray::None);
    }
    let mut cases = tx.cases_of(booking.id).await?;
    cases.retain(|case| case.kind.is_about_a_payment());
    let given_back = |case: &CaseRecord| case.resolution.as_deref() == Some(CaseAction::Refund.as_str());
    Ok(if cases.is_empty() {
        Stray::None
    } else if cases.iter().any(|case| case.closed_at.is_none()) {
        Stray::LookedAt
    } else if cases.iter().any(given_back) {
        Stray::GivenBack
    } else {
        Stray::Settled
    })
}

/// The booking of a session that is known here, with its offer's name.
async fn booking_of(
    app: &Shared,
    session: &SessionId,
) -> Result<Option<(Booking, String, Stray)>, StoreError> {
    let handle = Handle::Session(session.to_string());
    let mut tx = app.store.read().await?;
    let found = tx.bookings_by_handle(std::slice::from_ref(&handle)).await?;
    let booking = match found.get(&handle) {
        Some(id) => tx.booking(*id).await?,
        None => None,
    };
    let Some(booking) = booking else { return Ok(None) };
    let offer = tx.offer(booking.offer).await?.map(|offer| offer.name);
    let stray = stray_money(&mut tx, &booking).await?;
    tx.rollback().await?;
    Ok(Some((booking, offer.unwrap_or_default(), stray)))
}

fn success_view(
    app: &Shared,
    page: &Page,
    booking: &Booking,
    stray: Stray,
    session: String,
    offer: String,
    looks: u8,
) -> SuccessView {
    let (t, status) = (page.t, booking.status());
    let (mark, title, lead) = match status {
        Status::Pending => ("…", t.pending_title, t.pending_lead),
        Status::Processing => ("…", t.processing_title, t.processing_lead),
        Status::Paid => ("✓", t.paid_title, t.paid_lead),
        Status::Expired => ("–", t.expired_title, t.expired_lead),
        Status::Failed => ("!", t.failed_title, t.failed_lead),
        Status::Cancelled => ("–", t.cancelled_title, t.cancelled_lead),
        Status::PartiallyRefunded => ("↩", t.part_refunded_title, t.part_refunded_lead),
        Status::Refunded => ("↩", t.refunded_title, t.refunded_lead),
        Status::Disputed => ("!", t.disputed_title, t.disputed_lead),
    };
    let (mark, title, lead) = match stray {
        Stray::None if booking.is_called_off() => ("–", t.cancelled_title, t.called_off_lead),
        Stray::None => (mark, title, lead),
        Stray::LookedAt => ("!", t.looked_at_title, t.looked_at_lead),
        Stray::GivenBack => (mark, title, t.given_back_lead),
        Stray::Settled => (mark, t.settled_title, t.settled_lead),
    };
    let back = booking.refunded_amount();
    let amount_label = match status {
        Status::Pending if stray == Stray::None => t.amount_due,
        Status::Pending => t.price,
        // On its way, or not asked for any more.
        Status::Processing | Status::Expired | Status::Failed | Status::Cancelled => t.price,
        Status::Paid | Status::PartiallyRefunded | Status::Refunded | Status::Disputed => t.amount_paid,
    };
    let waits = status == Status::Pending && stray == Stray::None;
    let again =
        (waits && looks < LOOKS).then(|| format!("/success?session_id={session}&looks={}", looks + 1));
    SuccessView {
        status: status.as_str(),
        status_name: i18n::status_of(page.lang, booking),
        tone: i18n::status_tone(status),
        mark,
        title,
        lead,
        unsettled: waits || (status == Status::Processing && stray == Stray::None),
        again,
        session,
        offer,
        slot: format::slot(page.lang, &booking.slot),
        amount_label,
        amount: format::money(
            page.lang,
            Money {
                amount: booking.payment().map_or(booking.price.amount, |paid| paid.amount),
                ..booking.price
            },
        ),
        refunded: (back > 0).then(|| format::money(page.lang, Money { amount: back, ..booking.price })),
        id: booking.id.to_string(),
        reference: booking.code.to_string(),
        own: bookings::own_path(&app.config, booking),
        offer_again: matches!(stray, Stray::None | Stray::GivenBack)
            && matches!(status, Status::Expired | Status::Failed | Status::Cancelled),
    }
}

#[derive(Template)]
#[template(path = "cancel.html")]
struct Cancel {
    page: Page,
    view: CancelView,
}

struct CancelView {
    title: &'static str,
    lead: String,
    facts: Option<CancelFacts>,
    resumable: bool,
    back: String,
    back_name: &'static str,
}

struct CancelFacts {
    offer: String,
    slot: String,
    price: String,
}

/// What this browser holds, after its customer turned back from the payment page.
pub async fn cancel(State(app): State<Shared>, page: Page, headers: HeaderMap) -> Result<Response, Problem> {
    let booking = remembered(&app, &headers).await?;
    let mut tx = app.store.read().await?;
    let awaited = match booking.filter(|booking| booking.status() == Status::Pending) {
        Some(booking) if stray_money(&mut tx, &booking).await? == Stray::None => Some(booking),
        Some(_) | None => None,
    };
    tx.rollback().await?;
    let view = match awaited {
        Some(booking) => held_view(&app, &page, &booking).await?,
        None => other_view(&app, &page, &headers).await?,
    };
    let cancel = Cancel { page, view };
    Ok(cancel.page.show(&cancel))
}

async fn held_view(app: &Shared, page: &Page, booking: &Booking) -> Result<CancelView, StoreError> {
    let mut tx = app.store.read().await?;
    let offer = tx.offer(booking.offer).await?;
    tx.rollback().await?;
    let slot = format::slot(page.lang, &booking.slot);
    let until = format::clock_time(&app.config.timezone, booking.hold_expires_at);
    Ok(CancelView {
        title: page.t.cancel_title,
        lead: i18n::held(page.lang, &slot, &until),
        facts: Some(CancelFacts {
            offer: offer.map(|offer| offer.name).unwrap_or_default(),
            slot,
            price: format::money(page.lang, booking.price),
        }),
        resumable: true,
        back: "/".to_owned(),
        back_name: page.t.change_booking,
    })
}

/// Nothing is held: perhaps it was paid after all, perhaps its time has run out.
async fn other_view(app: &Shared, page: &Page, headers: &HeaderMap) -> Result<CancelView, StoreError> {
    let mut tx = app.store.read().await?;
    let last = match hold::owner_hash(app, headers) {
        Some(owner_hash) => tx.last_of_owner(&owner_hash).await?,
        None => None,
    };
    let stray = match &last {
        Some(last) => stray_money(&mut tx, last).await?,
        None => Stray::None,
    };
    tx.rollback().await?;
    let has_it = |last: &&Booking| last.keeps_seat() && stray == Stray::None;
    let paid_session = last.as_ref().filter(has_it).and_then(|last| {
        last.payment().map(|payment| &payment.session).or(last.session.as_ref()).map(ToString::to_string)
    });
    let t = page.t;
    Ok(match paid_session {
        Some(session) => CancelView {
            title: t.see_booking,
            lead: t.already_paid.to_owned(),
            facts: None,
            resumable: false,
            back: format!("/success?session_id={session}"),
            back_name: t.see_booking,
        },
        None => CancelView {
            title: t.cancel_title,
            lead: match (stray, last) {
                (Stray::LookedAt, _) => t.looked_at_lead,
                (Stray::GivenBack, _) => t.given_back_lead,
                (Stray::Settled, _) => t.settled_lead,
                (Stray::None, Some(_)) => t.expired_lead,
                (Stray::None, None) => t.cancel_none,
            }
            .to_owned(),
            facts: None,
            resumable: false,
            back: "/".to_owned(),
            back_name: t.back_to_form,
        },
    })
}
