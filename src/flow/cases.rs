//! Cases: what a person decides about money that does not fit.
//!
//! **Invariants.** A case offers the actions of its kind and no others. An action is done once, however
//! often it is asked for; another one on a closed case is refused, and so is any other while a refund of its payment
//! is under way. What is decided is decided on the locked booking and case. Who did it stands in the audit log,
//! written with the change. No case closes by itself.

use super::accounts::Actor;
use super::recorder::{self, RecordError};
use super::refund::{self, CasePayment, RefundError};
use crate::app::App;
use crate::stripe::objects::SessionStatus;
use crate::stripe::{StripeError, event};
use domain::booking::{Booking, Progress};
use domain::case::{self, CaseAction, CaseKind, CaseStands, Go, NotNow};
use domain::event::{Fact, SessionFact, SessionMoment};
use domain::ids::{BookingId, CaseId, PaymentIntentId, SessionId};
use domain::lang::Words;
use domain::payment::{self, Context, Outcome};
use domain::role::Role;
use store::cases::{CaseRecord, CaseToOpen};
use store::ledger::{self, Entry, Settlement};
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
    /// What was done, in words.
    pub did: Words,
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
    /// A refund of its payment is under way.
    #[error(
        "a refund of this payment is under way ({}): wait until it is known what Stripe did",
        .0.as_ref().map_or("open", |refund| refund.state.as_str())
    )]
    RefundUnderWay(Option<Box<RefundIntent>>),
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
    /// What Stripe said of the booking's own session could not be recorded.
    #[error(transparent)]
    Record(#[from] RecordError),
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
    let early = may(&mut tx, &case, &decision).await;
    tx.rollback().await?;
    let action = decision.action;
    let note = decision.note.map(str::trim).filter(|note| !note.is_empty());
    // Who may not do it need not say why.
    let forbidden = matches!(early, Err(CaseError::NotAnAction { .. } | CaseError::NeedsRole(_)));
    let too_long = note.is_some_and(|note| note.chars().count() > MAX_NOTE);
    if !forbidden && (too_long || (action == CaseAction::Dismiss && note.is_none())) {
        return Err(CaseError::NoteNeeded);
    }
    if let Some(decided) = early? {
        return Ok(decided);
    }
    let decision = Decision { note, ..decision };
    match action {
        CaseAction::Dismiss => dismiss(app, &decision).await,
        CaseAction::Refund => give_back(app, &case, &decision).await,
        CaseAction::Accept | CaseAction::Reseat | CaseAction::Attach => take(app, &case, &decision).await,
    }
}

/// Whether it may be done now, by the rows in `tx`; what there is to say if it was done before.
async fn may(tx: &mut Tx, case: &CaseRecord, decision: &Decision<'_>) -> Result<Option<Decided>, CaseError> {
    let payment = case.payment_intent_id.as_deref().and_then(|id| PaymentIntentId::parse(id).ok());
    let going_back = match &payment {
        Some(payment) => tx.open_refund_sum(payment).await? > 0,
        None => false,
    };
    let stands = CaseStands {
        kind: case.kind,
        closed_by: case.closed_at.map(|_| case.resolution.as_deref().unwrap_or_default()),
        refund: case.refund.as_ref().map(|refund| refund.state),
        payment_is_going_back: going_back,
    };
    let refund = || case.refund.clone();
    match case::may(stands, decision.action, decision.role) {
        Ok(Go::Act) => Ok(None),
        Ok(Go::DoneBefore) => Ok(Some(Decided {
            case: case.clone(),
            refund: refund().filter(|_| decision.action == CaseAction::Refund),
            did: Words::new(
                "Cela avait déjà été fait ; rien n'a changé.",
                "This had been done before; nothing changed.",
            ),
        })),
        Ok(Go::UnderWay) => Ok(Some(Decided {
            case: case.clone(),
            refund: refund(),
            did: Words::new(
                "Ce remboursement est déjà demandé ; rien n'a été demandé de plus.",
                "This refund has been asked for already; nothing more was asked for.",
            ),
        })),
        Err(NotNow::NotAnAction) => Err(CaseError::NotAnAction { kind: case.kind, action: decision.action }),
        Err(NotNow::NeedsRole(role)) => Err(CaseError::NeedsRole(role)),
        Err(NotNow::Closed) => Err(CaseError::Closed(case.resolution.clone().unwrap_or_default())),
        Err(NotNow::RefundUnderWay) => Err(CaseError::RefundUnderWay(refund().map(Box::new))),
    }
}

/// The case, locked, with the booking that an action on it may change, locked before it.
async fn lock(
    tx: &mut Tx,
    case: CaseId,
    booking: Option<BookingId>,
) -> Result<(CaseRecord, Option<Booking>), CaseError> {
    let booking = match booking {
        Some(booking) => tx.lock_bookings(&[booking]).await?.pop(),
        None => None,
    };
    Ok((tx.case(case, true).await?.ok_or(CaseError::NotFound)?, booking))
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
    let of = tx.case(decision.case, false).await?.and_then(|case| case.booking_id);
    let (case, _) = lock(&mut tx, decision.case, of).await?;
    if let Some(decided) = may(&mut tx, &case, decision).await? {
        return Ok(decided);
    }
    close(&mut tx, app, decision, "").await?;
    let case = reread(&mut tx, decision.case).await?;
    tx.commit().await?;
    let did = Words::new(
        "Le cas est classé ; rien d'autre n'a changé.",
        "The case was dismissed; nothing else changed.",
    );
    Ok(Decided { case, refund: None, did })
}

/// Refunds the payment that the case is about. The case closes when Stripe has made the refund.
async fn give_back(app: &App, case: &CaseRecord, decision: &Decision<'_>) -> Result<Decided, CaseError> {
    let payment = payment_of(app, case).await?;
    let mut tx = app.store.begin().await?;
    let (locked, _) = lock(&mut tx, case.id, case.booking_id).await?;
    if let Some(decided) = may(&mut tx, &locked, decision).await? {
        return Ok(decided);
    }
    if let Some(note) = decision.note {
        // The case closes when Stripe has made the refund, perhaps long after; why it was asked for is known now.
        let (now, by) = (app.clock.now(), decision.actor);
        tx.audit(now, by.name, "case.refund_requested", &case.id.to_string(), note, by.request_id).await?;
    }
    let refund = refund::refund_case(app, tx, case.id, locked.booking_id, payment, decision.actor).await?;
    let did = match refund.state {
        IntentState::Open => {
            tracing::info!(module = "cases", action = "case.refund_pending", case = %case.id);
            Words::new(
                "Le remboursement est demandé ; on ne sait pas encore ce que Stripe a fait.",
                "The refund was asked for; it is not known yet what Stripe did.",
            )
        }
        IntentState::Done | IntentState::Refused => {
            Words::new("Stripe a fait le remboursement.", "Stripe made the refund.")
        }
    };
    let mut tx = app.store.read().await?;
    let case = reread(&mut tx, case.id).await?;
    tx.rollback().await?;
    Ok(Decided { case, refund: Some(refund), did })
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

    let mut tx = app.store.read().await?;
    let before = tx.booking(booking).await?.ok_or(NO_BOOKING)?;
    drop(accepted(app, &mut tx, &before, &fact, decision.action).await?);
    tx.rollback().await?;
    close_other_page(app, &before, &fact).await?;

    let mut tx = app.store.begin().await?;
    let (locked, before) = lock(&mut tx, case.id, Some(booking)).await?;
    if let Some(decided) = may(&mut tx, &locked, decision).await? {
        return Ok(decided);
    }
    let before = before.ok_or(NO_BOOKING)?;
    let now = app.clock.now();
    let decided = accepted(app, &mut tx, &before, &fact, decision.action).await?;
    let settled = [Settlement {
        event_key: &entry.event_key,
        booking,
        applied_payment: decided.applied_payment,
        outcome: Outcome::Processed,
        reason: decided.reason,
        at: decided.booking.updated_at,
    }];
    let effects: Vec<_> = decided.effects.into_iter().map(|effect| (booking, effect)).collect();
    let opened: Vec<_> = decided
        .case
        .into_iter()
        .map(|case| CaseToOpen {
            case,
            booking: Some(booking),
            event_key: entry.event_key.clone(),
            first: false,
        })
        .collect();
    let [of_booking, of_nobody] = store::cases::open(&opened, now);
    let beside = [
        ledger::settle_by_person(&settled),
        outbox::push(&effects, Audience::ToBeChosen, now),
        of_booking,
        of_nobody,
    ];
    tx.write(bookings::save(&[&decided.booking]).into_iter().chain(beside)).await?;
    if attaching {
        tx.attach_case(case.id, booking).await?;
    }
    close(&mut tx, app, decision, &format!("for booking {booking}")).await?;
    let case = reread(&mut tx, case.id).await?;
    tx.commit().await?;
    tracing::info!(module = "cases", action = "booking.payment_confirmed", %booking, outcome = "processed");
    let did = match (before.seat, decided.booking.seat) {
        (None, Some(seat)) => Words::new(
            format!("La réservation {booking} est payée ; la place {seat} a été reprise."),
            format!("Booking {booking} is paid; seat {seat} was taken again."),
        ),
        _ => Words::new(
            format!("La réservation {booking} est payée par ce paiement."),
            format!("Booking {booking} is paid by this payment."),
        ),
    };
    Ok(Decided { case, refund: None, did })
}

const NO_BOOKING: CaseError = CaseError::Impossible("there is no such booking");

/// What accepting the payment does to the booking as it stands.
async fn accepted(
    app: &App,
    tx: &mut Tx,
    before: &Booking,
    fact: &SessionFact,
    action: CaseAction,
) -> Result<payment::Decision, CaseError> {
    if action != CaseAction::Accept && payment::check_amount(fact, before.price).is_err() {
        return Err(CaseError::Impossible("what was paid is not the price of this booking"));
    }
    let free_seat = match before.seat {
        Some(_) => None,
        None => recorder::free_seat(tx, before).await?,
    };
    let context = Context { now: app.clock.now(), livemode: app.config.livemode(), free_seat };
    payment::accept(before, fact, context).ok_or(CaseError::Impossible(
        "the booking is paid already, no seat is left, or the money is not there in its currency",
    ))
}

/// Closes the booking's own payment page, if another session is to pay it: it would be paid twice. If it was paid
/// meanwhile, the booking hears so at once.
async fn close_other_page(app: &App, booking: &Booking, fact: &SessionFact) -> Result<(), CaseError> {
    let own =
        booking.session.as_ref().filter(|own| **own != fact.id && booking.progress == Progress::Pending);
    let Some(own) = own else { return Ok(()) };
    match app.stripe.expire_session(own).await {
        // Not known where we look: there it cannot be paid.
        Ok(_) | Err(StripeError::NotFound) => Ok(()),
        // Not open any more: expired by itself, or complete.
        Err(StripeError::Refused { .. }) => {
            let object = app.stripe.session(own, None).await?;
            if object.status != SessionStatus::Expired {
                app.recorder.record_seen(object.seen()).await?;
            }
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
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
