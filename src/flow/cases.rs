//! Cases: what a person decides about money that does not fit.
//!
//! **Invariants.** A case offers the actions of its kind and no others. An action is done once, however
//! often it is asked for; another one on a closed case is refused. Who did it stands in the audit log,
//! written with the change. No case closes by itself.

use super::accounts::Actor;
use super::recorder;
use super::refund::{self, CasePayment, RefundError};
use crate::app::App;
use crate::stripe::{StripeError, event};
use domain::booking::Booking;
use domain::case::{CaseAction, CaseKind};
use domain::event::{Fact, SessionFact, SessionMoment};
use domain::ids::{BookingId, CaseId, PaymentIntentId, SessionId};
use domain::payment::{self, Context, Outcome};
use domain::role::Role;
use store::cases::CaseRecord;
use store::ledger::{self, Entry, NewEntry};
use store::outbox::{self, Audience};
use store::refund_intents::{IntentState, RefundIntent};
use store::{StoreError, Tx, bookings};

/// The longest note, in characters.
pub const MAX_NOTE: usize = 1000;

/// What somebody wants done about a case.
#[derive(Debug, Clone)]
pub struct Decision<'a> {
    /// Which case.
    pub case: CaseId,
    /// What.
    pub action: CaseAction,
    /// Why; needed to dismiss.
    pub note: Option<&'a str>,
    /// The booking to attach the payment to.
    pub booking: Option<BookingId>,
    /// Who.
    pub actor: Actor<'a>,
    /// What they may do.
    pub role: Role,
}

/// What became of a decision.
#[derive(Debug, Clone)]
pub struct Decided {
    /// The case afterwards. It is still open while a refund is being found out about.
    pub case: CaseRecord,
    /// The refund, if the action is one.
    pub refund: Option<RefundIntent>,
}

/// Why nothing was done about a case.
#[derive(Debug, thiserror::Error)]
pub enum CaseError {
    /// There is no such case.
    #[error("there is no such case")]
    NotFound,
    /// The role does not suffice.
    #[error("this needs the role {0}")]
    NeedsRole(Role),
    /// The kind has no such action.
    #[error("a case of the kind {kind} cannot be settled by {}", action.as_str())]
    NotAnAction {
        /// The case's kind.
        kind: CaseKind,
        /// What was asked for.
        action: CaseAction,
    },
    /// It was closed, by another action.
    #[error("the case was closed already, by {0}")]
    Closed(String),
    /// Dismissing needs a reason.
    #[error("say why: a note of 1 to {MAX_NOTE} characters")]
    NoteNeeded,
    /// Attaching needs a booking.
    #[error("name the booking to attach the payment to")]
    BookingNeeded,
    /// It cannot be done as things are.
    #[error("{0}")]
    Impossible(&'static str),
    /// The refund.
    #[error(transparent)]
    Refund(#[from] RefundError),
    /// Stripe had to be asked.
    #[error(transparent)]
    Stripe(#[from] StripeError),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Does what was decided about a case.
///
/// # Errors
/// A [`CaseError`].
pub async fn decide(app: &App, decision: Decision<'_>) -> Result<Decided, CaseError> {
    let mut tx = app.store.read().await?;
    let case = tx.case(decision.case, false).await?.ok_or(CaseError::NotFound)?;
    tx.rollback().await?;
    let action = decision.action;
    if !case.kind.actions().contains(&action) {
        return Err(CaseError::NotAnAction { kind: case.kind, action });
    }
    if !decision.role.allows(action.needs()) {
        return Err(CaseError::NeedsRole(action.needs()));
    }
    let note = decision.note.map(str::trim).filter(|note| !note.is_empty());
    if note.is_some_and(|note| note.chars().count() > MAX_NOTE)
        || (action == CaseAction::Dismiss && note.is_none())
    {
        return Err(CaseError::NoteNeeded);
    }
    if let Some(closed) = closed(&case, action)? {
        return Ok(closed);
    }
    let decision = Decision { note, ..decision };
    match action {
        CaseAction::Dismiss => dismiss(app, &decision).await,
        CaseAction::Refund => give_back(app, &case, &decision).await,
        CaseAction::Accept | CaseAction::Reseat | CaseAction::Attach => take(app, &case, &decision).await,
    }
}

/// The case as it is, if this action closed it before.
fn closed(case: &CaseRecord, action: CaseAction) -> Result<Option<Decided>, CaseError> {
    match (&case.closed_at, &case.resolution) {
        (None, _) => Ok(None),
        (Some(_), Some(by)) if by == action.as_str() => {
            Ok(Some(Decided { case: case.clone(), refund: None }))
        }
        (Some(_), by) => Err(CaseError::Closed(by.clone().unwrap_or_default())),
    }
}

async fn close(tx: &mut Tx, app: &App, decision: &Decision<'_>, detail: &str) -> Result<(), CaseError> {
    let now = app.clock.now();
    let (who, what) = (decision.actor.name, decision.action.as_str());
    tx.close_case(decision.case, who, what, decision.note, now).await?;
    let note = decision.note.map(|note| format!(": {note}")).unwrap_or_default();
    let detail = format!("{} {detail}", format!("{what}{note}").trim());
    let subject = decision.case.to_string();
    tx.audit(now, who, "case.closed", &subject, detail.trim(), decision.actor.request_id).await?;
    Ok(())
}

async fn reread(tx: &mut Tx, id: CaseId) -> Result<CaseRecord, CaseError> {
    tx.case(id, false).await?.ok_or(CaseError::NotFound)
}

async fn dismiss(app: &App, decision: &Decision<'_>) -> Result<Decided, CaseError> {
    let mut tx = app.store.begin().await?;
    let case = tx.case(decision.case, true).await?.ok_or(CaseError::NotFound)?;
    if let Some(closed) = closed(&case, decision.action)? {
        return Ok(closed);
    }
    close(&mut tx, app, decision, "").await?;
    let case = reread(&mut tx, decision.case).await?;
    tx.commit().await?;
    Ok(Decided { case, refund: None })
}

/// Refunds the payment that the case is about. The case closes when Stripe has made the refund.
async fn give_back(app: &App, case: &CaseRecord, decision: &Decision<'_>) -> Result<Decided, CaseError> {
    let payment = payment_of(app, case).await?;
    let mut tx = app.store.begin().await?;
    let locked = tx.case(case.id, true).await?.ok_or(CaseError::NotFound)?;
    if let Some(closed) = closed(&locked, decision.action)? {
        return Ok(closed);
    }
    if let Some(note) = decision.note {
        // The case closes when Stripe has made the refund, perhaps long after; why it was asked for is known now.
        let (now, by) = (app.clock.now(), decision.actor);
        tx.audit(now, by.name, "case.refund_requested", &case.id.to_string(), note, by.request_id).await?;
    }
    let refund = refund::refund_case(app, tx, case.id, case.booking_id, payment, decision.actor).await?;
    if refund.state == IntentState::Open {
        tracing::info!(module = "cases", action = "case.refund_pending", case = %case.id);
    }
    let mut tx = app.store.read().await?;
    let case = reread(&mut tx, case.id).await?;
    tx.rollback().await?;
    Ok(Decided { case, refund: Some(refund) })
}

/// Which payment the case is about, and what of it is still there. Stripe is asked: a case tells what one event
/// said, which may be a part of the payment, or a payment of another application on the account.
async fn payment_of(app: &App, case: &CaseRecord) -> Result<CasePayment, CaseError> {
    const UNKNOWN: CaseError = CaseError::Impossible("it is not known which payment this is about");
    const NOT_OURS: CaseError = CaseError::Impossible(
        "Stripe does not say that this payment was made here: look at it in Stripe's dashboard",
    );
    let named = case.payment_intent_id.as_deref().and_then(|id| PaymentIntentId::parse(id).ok());
    let session = case.stripe_session_id.as_deref().and_then(|id| SessionId::parse(id).ok());
    let intent = match (named, session) {
        (Some(intent), _) => intent,
        (None, Some(session)) => {
            let object = app.stripe.session(&session, None).await?;
            object.payment_intent.clone().ok_or(UNKNOWN)?
        }
        (None, None) => return Err(UNKNOWN),
    };
    let object = match app.stripe.payment_intent(&intent).await {
        Err(StripeError::NotFound) => return Err(NOT_OURS),
        object => object?,
    };
    if case.kind == CaseKind::UnknownBooking && object.claim.instance != Some(app.instance.to_string()) {
        return Err(NOT_OURS);
    }
    let received = object.amount_received.whole().ok_or(UNKNOWN)?;
    let currency = object.currency.ok_or(UNKNOWN)?;
    let refunds = app.stripe.refunds_of(&intent).await?;
    let gone = refunds
        .iter()
        .map(|refund| refund.fact())
        .filter(|refund| refund.status.counts())
        .fold(0_i64, |sum, refund| sum.saturating_add(refund.amount.unwrap_or(0)));
    // What came back, no more and no less: the rest of the payment is no part of the case.
    let wanted = match case.kind {
        CaseKind::RefundFailed => Some(case.amount.ok_or(UNKNOWN)?),
        _ => None,
    };
    Ok(CasePayment { intent, received, gone, wanted, currency })
}

/// Lets the payment that the case is about pay a booking.
async fn take(app: &App, case: &CaseRecord, decision: &Decision<'_>) -> Result<Decided, CaseError> {
    let attaching = decision.action == CaseAction::Attach;
    let booking = match decision.booking.filter(|_| attaching).or(case.booking_id) {
        Some(booking) => booking,
        None => return Err(CaseError::BookingNeeded),
    };
    let (entry, fact) = fact_of(app, case).await?;

    let mut tx = app.store.begin().await?;
    let locked = tx.case(case.id, true).await?.ok_or(CaseError::NotFound)?;
    if let Some(closed) = closed(&locked, decision.action)? {
        return Ok(closed);
    }
    let before: Booking =
        tx.lock_bookings(&[booking]).await?.pop().ok_or(CaseError::Impossible("there is no such booking"))?;
    if decision.action != CaseAction::Accept && payment::check_amount(&fact, before.price).is_err() {
        return Err(CaseError::Impossible("what was paid is not the price of this booking"));
    }
    let now = app.clock.now();
    let free_seat = match before.seat {
        Some(_) => None,
        None => recorder::free_seat(&mut tx, &before).await?,
    };
    let context = Context { now, livemode: app.config.livemode(), free_seat };
    let decided = payment::accept(&before, &fact, context).ok_or(CaseError::Impossible(
        "the booking is paid already, no seat is left, or the money is not there in its currency",
    ))?;
    let settled = [settled(&entry, booking, &decided)];
    let effects: Vec<_> = decided.effects.into_iter().map(|effect| (booking, effect)).collect();
    let beside = [ledger::settle(&settled), outbox::push(&effects, Audience::ToBeChosen, now)];
    tx.write(bookings::save(&[&decided.booking]).into_iter().chain(beside)).await?;
    if attaching {
        tx.attach_case(case.id, booking).await?;
    }
    close(&mut tx, app, decision, &format!("for booking {booking}")).await?;
    let case = reread(&mut tx, case.id).await?;
    tx.commit().await?;
    tracing::info!(module = "cases", action = "booking.payment_confirmed", %booking, outcome = "processed");
    Ok(Decided { case, refund: None })
}

/// What Stripe said about the payment, as the ledger has it; completed by asking where it is not said.
async fn fact_of(app: &App, case: &CaseRecord) -> Result<(Entry, SessionFact), CaseError> {
    const NO_PAYMENT: CaseError =
        CaseError::Impossible("the case is not about a payment that is in the ledger");
    let key = case.event_key.as_deref().ok_or(NO_PAYMENT)?;
    let mut tx = app.store.read().await?;
    let entry = tx.entry(key).await?.ok_or(NO_PAYMENT)?;
    let payload = tx.payload(entry.id).await?;
    tx.rollback().await?;
    let kept = payload.and_then(|payload| event::stored(&payload, entry.source).ok());
    let fact = match kept.map(|event| event.fact) {
        Some(Fact::Session(fact)) if fact.total.is_some() && fact.currency.is_some() => fact,
        _ => {
            let id = entry.stripe_session_id.as_deref().and_then(|id| SessionId::parse(id).ok());
            let object = app.stripe.session(&id.ok_or(NO_PAYMENT)?, None).await?;
            object.fact(SessionMoment::Completed)
        }
    };
    Ok((entry, fact))
}

/// The ledger row that was a case and is the booking's payment now.
fn settled(entry: &Entry, booking: BookingId, decided: &payment::Decision) -> NewEntry {
    NewEntry {
        id: entry.id,
        event_key: entry.event_key.clone(),
        stripe_event_id: entry.stripe_event_id.clone(),
        r#type: entry.kind.clone(),
        source: entry.source.as_str(),
        livemode: None,
        stripe_session_id: entry.stripe_session_id.clone(),
        booking_id: Some(booking),
        applied_payment: decided.applied_payment,
        outcome: Outcome::Processed.as_str(),
        reason: decided.reason.as_str(),
        payload: None,
        deliveries: 0,
        stripe_created_at: None,
        received_at: entry.last_delivered_at.as_micros(),
        processed_at: Some(decided.booking.updated_at.as_micros()),
        next_try_at: None,
    }
}
