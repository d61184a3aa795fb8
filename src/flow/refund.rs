//! Giving money back.
//!
//! **Invariants.** An intent is committed before Stripe is called, under the lock of what it gives
//! back, and refunds and open intents together never exceed the payment. Whether Stripe made a refund
//! is found out by asking for it by `metadata[refund_intent]`, and the same is never sent again blindly.
//! The booking changes only by what Stripe says of the refund, through the recorder.

use super::accounts::Actor;
use super::recorder::RecordError;
use crate::app::App;
use crate::failpoint;
use crate::stripe::StripeError;
use crate::stripe::objects::{METADATA_BOOKING, METADATA_INSTANCE, METADATA_REFUND, Polled, Refund};
use clock::Timestamp;
use domain::backoff::Backoff;
use domain::booking::{Booking, Progress, RefundStatus};
use domain::cancel::Due;
use domain::case::CaseAction;
use domain::ids::{BookingId, CaseId, PaymentIntentId};
use domain::lang::Lang;
use domain::money::{Currency, Money};
use domain::refund::{Attempt, Next, Seen, left, next};
use std::time::Duration;
use store::refund_intents::{IntentState, RefundIntent};
use store::{StoreError, Tx, bookings};

/// While we ask, nobody else does.
const LEASE: Duration = Duration::from_secs(120);
/// The wait before we ask again.
const WAIT: Backoff = Backoff::new(Duration::from_secs(10), Duration::from_secs(3600));
/// After an error of Stripe's own: long enough for a refund to appear in its list.
const AFTER_FAILURE: Duration = Duration::from_secs(60);
/// The longest `Idempotency-Key`.
pub const MAX_KEY: usize = 255;

/// Why nothing is given back.
#[derive(Debug, thiserror::Error)]
pub enum RefundError {
    /// There is no such booking.
    #[error("there is no such booking")]
    NotFound,
    /// Nothing was paid, or nothing that could go back.
    #[error("nothing was paid that could be refunded")]
    NothingPaid,
    /// The amount is not above zero.
    #[error("the amount must be above zero")]
    NotAnAmount,
    /// More than is left of the payment.
    #[error("only {left} of the payment is left to refund")]
    TooMuch {
        /// What is left, counting what is under way.
        left: Money,
    },
    /// The key was used with another amount, or by somebody else.
    #[error("the Idempotency-Key was used with another amount, or by somebody else")]
    KeyReused,
    /// Stripe said no.
    #[error("Stripe refused the refund: {0}")]
    Refused(String),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A payment of which money is to go back.
#[derive(Debug)]
struct Wish<'a> {
    scope: String,
    key: &'a str,
    booking: Option<BookingId>,
    case: Option<CaseId>,
    payment: PaymentIntentId,
    requested: Option<i64>,
    /// What is left of the payment, what is under way taken off.
    left: i64,
    currency: String,
}

/// Gives back a booking's payment, whole or in part. The same `key` with the same amount gives the same
/// refund. An intent that comes back open is being found out about: it needs nobody's help.
///
/// # Errors
/// A [`RefundError`].
pub async fn refund(
    app: &App,
    booking: BookingId,
    amount: Option<i64>,
    key: &str,
    actor: Actor<'_>,
) -> Result<RefundIntent, RefundError> {
    let scope = format!("booking:{booking}");
    let mut tx = app.store.begin().await?;
    let locked = tx.lock_bookings(&[booking]).await?.pop().ok_or(RefundError::NotFound)?;
    if let Some(known) = tx.refund_intent_of_key(&scope, key).await? {
        tx.rollback().await?;
        // Two people who both chose `1` mean two refunds: neither is told of the other's as if it were their own.
        if known.requested_by != actor.name {
            return Err(RefundError::KeyReused);
        }
        return repeat(known, amount);
    }
    let payment = locked.payment().ok_or(RefundError::NothingPaid)?;
    let intent = payment.intent.clone().ok_or(RefundError::NothingPaid)?;
    let (gone, under_way) = (locked.refunded_amount(), tx.open_refund_sum(&intent).await?);
    let wish = Wish {
        scope,
        key,
        booking: Some(booking),
        case: None,
        payment: intent,
        requested: amount,
        left: left(payment.amount, gone, under_way),
        currency: locked.price.currency.as_str().to_owned(),
    };
    if amount.is_none() && wish.left <= 0 {
        return Err(RefundError::NothingPaid);
    }
    let left = Money { amount: wish.left, currency: locked.price.currency };
    let intent = intend(app, &mut tx, wish, actor).await?.ok_or(match amount {
        Some(amount) if amount <= 0 => RefundError::NotAnAmount,
        Some(_) | None => RefundError::TooMuch { left },
    })?;
    tx.commit().await?;
    send(app, intent).await
}

/// Writes down the refund that goes with calling off a booking, in the transaction that does so and has it locked.
/// Once that is committed, it is for [`send`].
///
/// # Errors
/// Any [`StoreError`]; [`StoreError::Overtaken`] if another wrote one down meanwhile.
pub(super) async fn intend_called_off(
    app: &App,
    tx: &mut Tx,
    booking: &Booking,
    due: Due,
    requested: Option<i64>,
    actor: Actor<'_>,
) -> Result<RefundIntent, StoreError> {
    let wish = Wish {
        scope: called_off_scope(booking.id),
        key: CALLED_OFF,
        booking: Some(booking.id),
        case: None,
        payment: due.payment,
        requested,
        left: due.left,
        currency: booking.price.currency.as_str().to_owned(),
    };
    intend(app, tx, wish, actor).await?.ok_or(StoreError::Overtaken)
}

/// What became of the refund that went with calling off a booking; none if none did.
///
/// # Errors
/// Any [`StoreError`].
pub(super) async fn called_off(tx: &mut Tx, booking: BookingId) -> Result<Option<RefundIntent>, StoreError> {
    tx.refund_intent_of_key(&called_off_scope(booking), CALLED_OFF).await
}

/// Sends a refund that was written down and committed.
///
/// # Errors
/// A [`RefundError`].
pub(super) async fn send(app: &App, intent: RefundIntent) -> Result<RefundIntent, RefundError> {
    failpoint::here("refund.after_intent");
    pursue(app, intent, Attempt::First).await
}

/// A booking is called off once.
const CALLED_OFF: &str = "called off";

fn called_off_scope(booking: BookingId) -> String {
    format!("called-off:{booking}")
}

/// What the payment is that a case is about, as [`refund_case`] needs it.
#[derive(Debug, Clone)]
pub struct CasePayment {
    /// The payment.
    pub intent: PaymentIntentId,
    /// What was paid by it, by Stripe's word.
    pub received: i64,
    /// What of that Stripe has given back, or is giving back.
    pub gone: i64,
    /// What is to go back; none for all that is left.
    pub wanted: Option<i64>,
    /// Its currency.
    pub currency: String,
}

/// Gives back the payment that a case is about. Called with its booking and the case locked, so that whoever refunds
/// the booking itself waits, or is seen; commits.
///
/// # Errors
/// A [`RefundError`].
pub async fn refund_case(
    app: &App,
    mut tx: Tx,
    case: CaseId,
    booking: Option<BookingId>,
    payment: CasePayment,
    actor: Actor<'_>,
) -> Result<RefundIntent, RefundError> {
    let scope = format!("case:{case}");
    // One wish for a case; another only after Stripe refused the one before.
    let mut key = 0_u32;
    loop {
        match tx.refund_intent_of_key(&scope, &key.to_string()).await? {
            Some(known) if known.state == IntentState::Refused => key += 1,
            Some(known) => {
                tx.rollback().await?;
                return repeat(known, None);
            }
            None => break,
        }
    }
    // Stripe was asked before the lock: what we recorded since counts as well.
    let gone = payment.gone.max(tx.recorded_refund_sum(&payment.intent).await?);
    let under_way = tx.open_refund_sum(&payment.intent).await?;
    let left = left(payment.received, gone, under_way);
    // One under way may be made already, and be counted twice: then less seems left than is.
    if payment.wanted.is_some_and(|wanted| wanted > left) || (payment.wanted.is_none() && under_way > 0) {
        let currency = Currency::parse(&payment.currency).map_err(|_| RefundError::NothingPaid)?;
        return Err(RefundError::TooMuch { left: Money { amount: left.max(0), currency } });
    }
    let key = key.to_string();
    let wish = Wish {
        scope,
        key: &key,
        booking,
        case: Some(case),
        payment: payment.intent,
        requested: None,
        left: payment.wanted.unwrap_or(left),
        currency: payment.currency,
    };
    let intent = intend(app, &mut tx, wish, actor).await?.ok_or(RefundError::NothingPaid)?;
    tx.commit().await?;
    pursue(app, intent, Attempt::First).await
}

/// Finds out about the intents whose fate is not known, as far as that is due. Returns how many.
///
/// # Errors
/// [`StoreError`].
pub async fn resolve_due(app: &App) -> Result<usize, StoreError> {
    let mut tx = app.store.begin().await?;
    let due = tx.take_due_refund_intents(app.clock.now(), LEASE, 20).await?;
    tx.commit().await?;
    let count = due.len();
    for intent in due {
        match pursue(app, intent, Attempt::Resumed).await {
            Ok(_) | Err(RefundError::Refused(_)) => {}
            Err(RefundError::Store(error)) => return Err(error),
            Err(error) => tracing::warn!(module = "refund", action = "refund.not_resolved", "{error}"),
        }
    }
    Ok(count)
}

/// The same wish again: what became of it.
pub(super) fn repeat(known: RefundIntent, amount: Option<i64>) -> Result<RefundIntent, RefundError> {
    if known.requested_amount != amount {
        return Err(RefundError::KeyReused);
    }
    match known.state {
        IntentState::Done => Ok(known),
        IntentState::Refused => Err(RefundError::Refused(known.refusal.unwrap_or_default())),
        // Whoever began is at it, or the background is.
        IntentState::Open => Ok(known),
    }
}

/// Writes the intent down. None if the amount is not there.
async fn intend(
    app: &App,
    tx: &mut Tx,
    wish: Wish<'_>,
    actor: Actor<'_>,
) -> Result<Option<RefundIntent>, StoreError> {
    let amount = wish.requested.unwrap_or(wish.left);
    if amount <= 0 || amount > wish.left {
        return Ok(None);
    }
    let now = app.clock.now();
    let intent = RefundIntent {
        id: clock::new_id(),
        scope: wish.scope,
        client_key: wish.key.to_owned(),
        booking: wish.booking,
        case: wish.case,
        payment_intent: wish.payment,
        requested_amount: wish.requested,
        amount,
        currency: wish.currency,
        state: IntentState::Open,
        attempt: 1,
        tries: 0,
        stripe_refund_id: None,
        refusal: None,
        requested_by: actor.name.to_owned(),
        created_at: now,
        updated_at: now,
    };
    if !tx.insert_refund_intent(&intent, now.plus(LEASE)).await? {
        // Whoever asks under one key waits for one lock, and sees the request of who came first. Without a row of
        // ours nothing may be sent.
        return Err(StoreError::Overtaken);
    }
    let subject = intent.booking.map_or_else(|| intent.scope.clone(), |booking| booking.to_string());
    let detail = format!("{} of {}", in_words(&intent), intent.payment_intent);
    tx.audit(now, actor.name, "refund.requested", &subject, &detail, actor.request_id).await?;
    Ok(Some(intent))
}

/// The sum of a refund as people read it: the audit log is for them.
fn in_words(intent: &RefundIntent) -> String {
    let Ok(currency) = Currency::parse(&intent.currency) else {
        return format!("{} minor units of {}", intent.amount, intent.currency);
    };
    let money = Money { amount: intent.amount, currency };
    match currency.as_str() {
        "eur" => format!("€{}", money.decimal()),
        "gbp" => format!("£{}", money.decimal()),
        "usd" => format!("US${}", money.decimal()),
        _ => money.told(Lang::En),
    }
}

/// Asks Stripe for the refund, or whether it made it already.
async fn pursue(app: &App, mut intent: RefundIntent, attempt: Attempt) -> Result<RefundIntent, RefundError> {
    let mut found = None;
    let mut seen = Seen::NotLooked;
    loop {
        match next(attempt, seen, intent.created_at, app.clock.now()) {
            Next::Look => match find(app, &intent).await {
                Ok(object) => {
                    seen = if object.is_some() { Seen::Made } else { Seen::NotMade };
                    found = object;
                }
                Err(error) => return put_off(app, intent, &error).await,
            },
            Next::Record => match &found {
                Some(object) => return made(app, intent, object).await,
                None => seen = Seen::NotMade,
            },
            Next::GiveUp => {
                return refused(app, intent, "Stripe has not made it within a day; ask again").await;
            }
            Next::Send => break,
        }
    }
    failpoint::here("refund.before_stripe");
    let error = match create(app, &intent).await {
        Ok(object) => {
            failpoint::here("refund.after_stripe");
            return made(app, intent, &object).await;
        }
        Err(error) => error,
    };
    match &error {
        StripeError::Refused { status, message, .. } if *status != 409 => {
            // It may refuse because an earlier request of ours was carried out after all.
            if attempt == Attempt::Resumed {
                match find(app, &intent).await {
                    Ok(Some(object)) => return made(app, intent, &object).await,
                    Ok(None) => {}
                    Err(error) => return put_off(app, intent, &error).await,
                }
            }
            let message = message.clone();
            refused(app, intent, &message).await
        }
        StripeError::NotFound => refused(app, intent, "Stripe knows no such payment").await,
        StripeError::Refused { .. }
        | StripeError::Limited
        | StripeError::Key { .. }
        | StripeError::Unreachable(_)
        | StripeError::TooMany
        | StripeError::Failed { .. }
        | StripeError::Uncertain(_) => match find(app, &intent).await {
            Ok(Some(object)) => made(app, intent, &object).await,
            Ok(None) | Err(_) => {
                if matches!(error, StripeError::Failed { .. }) {
                    // Under this key Stripe will always say that it failed.
                    intent.attempt += 1;
                }
                put_off(app, intent, &error).await
            }
        },
    }
}

async fn create(app: &App, intent: &RefundIntent) -> Result<Polled<Refund>, StripeError> {
    let (amount, id) = (intent.amount.to_string(), intent.id.to_string());
    let instance = app.instance.to_string();
    let booking = intent.booking.map(|booking| booking.to_string());
    let (meta_intent, meta_booking, meta_instance) = (
        format!("metadata[{METADATA_REFUND}]"),
        format!("metadata[{METADATA_BOOKING}]"),
        format!("metadata[{METADATA_INSTANCE}]"),
    );
    let mut form = vec![
        ("payment_intent", intent.payment_intent.as_str()),
        ("amount", &amount),
        (&meta_intent, &id),
        (&meta_instance, &instance),
    ];
    if let Some(booking) = &booking {
        form.push((&meta_booking, booking));
    }
    app.stripe.create_refund(&form, &format!("refund-{id}-{}", intent.attempt)).await
}

/// The refund that Stripe made for this intent, if it did.
async fn find(app: &App, intent: &RefundIntent) -> Result<Option<Polled<Refund>>, StripeError> {
    let refunds = app.stripe.refunds_of(&intent.payment_intent).await?;
    let id = intent.id.to_string();
    Ok(refunds.into_iter().find(|refund| refund.request.as_ref() == Some(&id)))
}

/// Stripe made it. The ledger hears so at once; if that fails, the intent stays open and we look again.
async fn made(app: &App, intent: RefundIntent, refund: &Polled<Refund>) -> Result<RefundIntent, RefundError> {
    let id = refund.id.to_string();
    if let Some(event) = refund.seen()
        && let Err(error) = app.recorder.record(event).await
    {
        return match error {
            RecordError::NotDurable(_)
            | RecordError::QueueFull
            | RecordError::TimedOut
            | RecordError::Stopping
            | RecordError::Stored(_) => {
                put_off(app, intent, &StripeError::Uncertain(error.to_string())).await
            }
        };
    }
    let now = app.clock.now();
    let mut tx = app.store.begin().await?;
    if tx.settle_refund_intent(intent.id, Ok(&id), now).await? {
        let subject = intent.booking.map_or_else(|| intent.scope.clone(), |booking| booking.to_string());
        let detail = format!("{}: {id}", in_words(&intent));
        tx.audit(now, &intent.requested_by, "refund.made", &subject, &detail, None).await?;
        if let Some(case) = intent.case {
            settle_case(&mut tx, case, &intent, now).await?;
        }
    }
    let settled = tx.refund_intent(intent.id).await?;
    tx.commit().await?;
    tracing::info!(
        module = "refund",
        action = "refund.made",
        refund = id,
        status = refund.status.map(RefundStatus::as_str)
    );
    Ok(settled.unwrap_or(intent))
}

/// The case whose action this was is settled. A booking that only waited for that payment ends here.
async fn settle_case(
    tx: &mut Tx,
    case: CaseId,
    intent: &RefundIntent,
    now: Timestamp,
) -> Result<(), StoreError> {
    let refund = CaseAction::Refund.as_str();
    // Bookings are locked before cases, everywhere.
    let Some(record) = tx.case(case, false).await? else { return Ok(()) };
    let booking = match record.booking_id {
        Some(booking) => tx.lock_bookings(&[booking]).await?.pop(),
        None => None,
    };
    tx.case(case, true).await?;
    if !tx.close_case(case, &intent.requested_by, refund, None, now).await? {
        return Ok(());
    }
    tx.audit(now, &intent.requested_by, "case.closed", &case.to_string(), refund, None).await?;
    let Some(mut booking) = booking else { return Ok(()) };
    let waited = matches!(booking.progress, Progress::Pending | Progress::Processing);
    let session = booking.session.as_ref().map(|session| session.as_str());
    if waited && session.is_some() && session == record.stripe_session_id.as_deref() {
        booking.progress = Progress::Cancelled;
        booking.seat = None;
        booking.touch(now);
        tx.write(bookings::save(&[&booking])).await?;
        let detail = "its payment was refunded";
        tx.audit(now, &intent.requested_by, "booking.cancelled", &booking.id.to_string(), detail, None)
            .await?;
    }
    Ok(())
}

async fn refused(app: &App, intent: RefundIntent, why: &str) -> Result<RefundIntent, RefundError> {
    let now = app.clock.now();
    let mut tx = app.store.begin().await?;
    if tx.settle_refund_intent(intent.id, Err(why), now).await? {
        let subject = intent.booking.map_or_else(|| intent.scope.clone(), |booking| booking.to_string());
        tx.audit(now, &intent.requested_by, "refund.refused", &subject, why, None).await?;
        // Refunded in Stripe's dashboard, disputed: it knows something of the payment that we do not.
        if let Some(booking) = intent.booking {
            tx.check_soon(booking, now).await?;
        }
    }
    tx.commit().await?;
    tracing::warn!(module = "refund", action = "refund.refused", "{why}");
    Err(RefundError::Refused(why.to_owned()))
}

async fn put_off(
    app: &App,
    mut intent: RefundIntent,
    error: &StripeError,
) -> Result<RefundIntent, RefundError> {
    tracing::warn!(module = "refund", action = "refund.put_off", "{error}");
    let now = app.clock.now();
    let wait = match error {
        StripeError::Failed { .. } => AFTER_FAILURE,
        _ => WAIT.after(intent.tries),
    };
    let mut tx = app.store.begin().await?;
    tx.put_off_refund_intent(intent.id, intent.attempt, now.plus(wait), now).await?;
    tx.commit().await?;
    intent.tries += 1;
    Ok(intent)
}
