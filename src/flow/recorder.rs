//! The one road by which a payment fact becomes state.
//!
//! Webhook, events feed, polling, result page and replay all call [`Recorder::record`]. Facts wait in
//! a bounded queue; a writer takes all that are waiting and applies them in one transaction, so that
//! under load many facts share one commit. The answer goes out only after that commit. While one batch waits for
//! its commit the next is being written.
//!
//! **Invariants.** A fact that was answered is in the ledger. An event is applied once. A caller that
//! goes away does not stop the work. A fact that fails never fails its neighbours: a failed batch is
//! halved until the culprit stands alone. No transaction is open while Stripe is asked.

mod batch;

pub use batch::Writer;
pub(super) use batch::free_seat;

use crate::stripe::objects::PaymentIntent;
use crate::stripe::{Client, StripeError, event};
use batch::Verdict;
use clock::Timestamp;
use domain::booking::{Booking, DisputeStatus};
use domain::case::CaseKind;
use domain::event::{Event, Fact, PaymentStatus, RefundFact, SessionFact, Source};
use domain::ids::{BookingId, LedgerId};
use domain::payment::{Outcome, Question, Reason};
use std::sync::Arc;
use std::time::Duration;
use store::{POSTGRES_WRITERS, Store, StoreError, Tx};
use tokio::sync::{Mutex, MutexGuard, mpsc, oneshot};

/// Facts that may wait. More than the writers take in the time that a caller waits.
const QUEUE: usize = 4096;
/// Facts that share a commit at most.
const BATCH: usize = 128;
/// How long a writer waits for the one before it, which may itself be waiting for a booking that somebody holds,
/// and for a connection, while others stand behind it.
const TURN: Duration = Duration::from_millis(50);
/// How long a caller waits for its fact to be durable. Stripe holds the buyer's redirect for 10 s.
const DEADLINE: Duration = Duration::from_secs(8);
/// How long Stripe is waited for when a fact cannot be judged without asking.
const ASK_DEADLINE: Duration = Duration::from_secs(5);
/// How often a batch is tried again after it collided with another transaction.
const COLLISIONS: u32 = 8;

/// What became of a fact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct Recorded {
    /// For the answer and the log.
    pub outcome: Outcome,
    /// Why.
    pub reason: Reason,
    /// The booking it is about, if one is known.
    pub booking: Option<BookingId>,
    /// Whether it is the one that paid the booking.
    pub applied_payment: bool,
}

/// What recording an event would do.
#[derive(Debug, Clone)]
pub struct Preview {
    /// What would be answered.
    pub recorded: Recorded,
    /// The booking as it is, if one is known.
    pub before: Option<Booking>,
    /// The booking as it would be.
    pub after: Option<Booking>,
    /// The case that would be opened.
    pub case: Option<CaseKind>,
}

impl Preview {
    /// Whether anything but the ledger would change.
    #[must_use]
    pub fn changes(&self) -> bool {
        self.case.is_some() || self.before != self.after
    }
}

/// Why a fact was not applied. Whoever told it must tell it again.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RecordError {
    /// Too many facts are waiting.
    #[error("too many events are waiting to be written")]
    QueueFull,
    /// It was not durable in time. It may still become so.
    #[error("the event was not durable within {} seconds", DEADLINE.as_secs())]
    TimedOut,
    /// The database could not be written.
    #[error("nothing durable could be written: {0}")]
    NotDurable(Arc<StoreError>),
    /// It could not be applied, was stored as not applied, and is tried again by ourselves.
    #[error("the event was stored but could not be applied: {0}")]
    Stored(String),
    /// The writer is gone: the program is stopping.
    #[error("the program is stopping")]
    Stopping,
}

/// The recorder. Clones share the queue; the writers end when the last clone is gone.
#[derive(Debug, Clone)]
pub struct Recorder {
    queue: mpsc::Sender<Job>,
    /// Used here for previews, which write nothing and so wait in no queue.
    writer: Arc<Writer>,
    stripe: Client,
}

/// Whether Stripe has been asked for what an event leaves open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    NotYet,
    Answered,
    /// It did not answer.
    Failed,
}

/// Where a job's caller waits.
type Answer = oneshot::Receiver<Result<Verdict, RecordError>>;

/// A fact on its way to the ledger.
#[derive(Debug)]
struct Job {
    event: Event,
    asked: Asked,
    /// How many deliveries it counts as: none if we tell it ourselves from the ledger.
    deliveries: i32,
    /// Fixed here, so that after a lost answer to a commit our own row is told from another's.
    ledger_id: LedgerId,
    received_at: Timestamp,
    reply: oneshot::Sender<Result<Verdict, RecordError>>,
}

impl Recorder {
    /// Starts the writers: one for SQLite, which has one writer anyway; for PostgreSQL as many as it has
    /// connections for.
    #[must_use]
    pub fn start(writer: Writer, stripe: Client) -> Self {
        let (queue, jobs) = mpsc::channel(QUEUE);
        let line = Arc::new(Line { waiting: Mutex::new(jobs), turn: Mutex::new(()) });
        let writers = match writer.store {
            Store::Sqlite { .. } => 1,
            Store::Postgres(_) => POSTGRES_WRITERS,
        };
        let writer = Arc::new(writer);
        for _ in 0..writers {
            let (writer, line) = (Arc::clone(&writer), Arc::clone(&line));
            tokio::spawn(async move {
                // No panic is known in there; should there be one, its callers are told by their dropped
                // replies, and the facts after it still have a writer.
                while tokio::spawn(write(Arc::clone(&writer), Arc::clone(&line))).await.is_err() {
                    tracing::error!(module = "recorder", action = "recorder.restarted", "a writer died");
                }
            });
        }
        Self { queue, writer, stripe }
    }

    /// Makes `event` durable and applies it. Returns after the commit.
    ///
    /// # Errors
    /// A [`RecordError`]: the event must be told again.
    pub async fn record(&self, event: Event) -> Result<Recorded, RecordError> {
        let deliveries = match event.source {
            Source::Webhook | Source::Feed | Source::Poll => 1,
            Source::Replay => 0,
        };
        self.record_counting(event, deliveries).await
    }

    async fn record_counting(&self, event: Event, deliveries: i32) -> Result<Recorded, RecordError> {
        let work = async {
            match self.submit(event, Asked::NotYet, deliveries).await? {
                Verdict::Done(recorded) => Ok(recorded),
                Verdict::Ask(question, event) => {
                    // On its own, because nothing is durable yet: a caller that goes away while Stripe is
                    // slow must not take the event with it.
                    let recorder = self.clone();
                    let asking =
                        tokio::spawn(async move { recorder.ask_first(question, *event, deliveries).await });
                    asking.await.unwrap_or(Err(RecordError::Stopping))
                }
            }
        };
        tokio::time::timeout(DEADLINE, work).await.unwrap_or(Err(RecordError::TimedOut))
    }

    async fn ask_first(
        &self,
        question: Question,
        mut event: Event,
        deliveries: i32,
    ) -> Result<Recorded, RecordError> {
        let asked = self.ask(&mut event, question).await;
        match self.submit(event, asked, deliveries).await? {
            Verdict::Done(recorded) => Ok(recorded),
            Verdict::Ask(..) => Err(RecordError::Stored("Stripe's answer left it open".to_owned())),
        }
    }

    /// The same for what was seen of an object, if anything has happened to it.
    ///
    /// # Errors
    /// As [`Recorder::record`].
    pub async fn record_seen(&self, seen: Option<Event>) -> Result<Option<Recorded>, RecordError> {
        match seen {
            Some(event) => self.record(event).await.map(Some),
            None => Ok(None),
        }
    }

    /// What [`Recorder::record`] would do with `event` now, by the same rules; nothing is written.
    ///
    /// # Errors
    /// [`RecordError::NotDurable`] if the database cannot be read.
    pub async fn preview(&self, mut event: Event) -> Result<Preview, RecordError> {
        let mut asked = Asked::NotYet;
        loop {
            let (job, _answer) = self.job(event.clone(), asked, 0);
            match self.writer.preview(job).await {
                Ok(Ok(preview)) => return Ok(preview),
                Ok(Err(question)) if asked == Asked::NotYet => {
                    asked = self.ask(&mut event, question).await;
                }
                Ok(Err(_)) => return Err(RecordError::Stored("Stripe's answer left it open".to_owned())),
                Err(error) => return Err(RecordError::NotDurable(Arc::new(error))),
            }
        }
    }

    /// Asks Stripe within the time that a caller waits.
    async fn ask(&self, event: &mut Event, question: Question) -> Asked {
        match tokio::time::timeout(ASK_DEADLINE, self.complete(event, question)).await {
            Ok(Ok(())) => Asked::Answered,
            Ok(Err(error)) => {
                tracing::warn!(module = "stripe", action = "stripe.lookup_failed", "{error}");
                Asked::Failed
            }
            Err(_) => Asked::Failed,
        }
    }

    fn job(&self, event: Event, asked: Asked, deliveries: i32) -> (Job, Answer) {
        let (reply, answer) = oneshot::channel();
        let (ledger_id, received_at) = (LedgerId::from(clock::new_id()), self.writer.clock.now());
        (Job { event, asked, deliveries, ledger_id, received_at, reply }, answer)
    }

    async fn submit(&self, event: Event, asked: Asked, deliveries: i32) -> Result<Verdict, RecordError> {
        let (job, answer) = self.job(event, asked, deliveries);
        self.queue.try_send(job).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => RecordError::QueueFull,
            mpsc::error::TrySendError::Closed(_) => RecordError::Stopping,
        })?;
        answer.await.unwrap_or(Err(RecordError::Stopping))
    }

    /// Asks Stripe for what the event leaves open, and fills only what is missing: what the signed
    /// event says stays as it is.
    async fn complete(&self, event: &mut Event, question: Question) -> Result<(), StripeError> {
        match question {
            Question::Session => {
                let Fact::Session(fact) = &mut event.fact else { return Ok(()) };
                let Some(object) = if_known(self.stripe.session(&fact.id, None).await)? else {
                    return Ok(());
                };
                match (fact.is_contradictory(), object.moment()) {
                    // What really happened takes the place of what cannot have.
                    (true, Some(moment)) => *fact = object.fact(moment),
                    (true, None) => {}
                    (false, _) => fill(fact, object.fact(fact.moment)),
                }
                Ok(())
            }
            Question::Refund => {
                let Fact::Refund(fact) = &mut event.fact else { return Ok(()) };
                self.complete_refund(fact).await
            }
            Question::Dispute => {
                let Fact::Dispute(fact) = &mut event.fact else { return Ok(()) };
                if let Some(object) = if_known(self.stripe.dispute(&fact.id).await)? {
                    // What it is now says which of two decisions this was: if the contest is not decided, the first.
                    fact.status = match object.fact().status {
                        DisputeStatus::Lost => DisputeStatus::LostAppeal,
                        _ => DisputeStatus::AppealNeedsResponse,
                    };
                }
                Ok(())
            }
            Question::Owner => {
                let Some(intent) = if_known(self.intent_of(&event.fact).await)?.flatten() else {
                    return Ok(());
                };
                if let Some(claim) = event.fact.claim_mut() {
                    *claim = intent.claim;
                }
                let id = Some(intent.id);
                match &mut event.fact {
                    Fact::Refund(fact) => {
                        fact.intent = id;
                        // The booking may turn up with this answer, and then there is no second question.
                        if fact.leaves_open() {
                            self.complete_refund(fact).await?;
                        }
                    }
                    Fact::ChargeRefunded(fact) => fact.intent = id,
                    Fact::Dispute(fact) => fact.intent = id,
                    Fact::Session(_) | Fact::NoSession(_) | Fact::Other => {}
                }
                Ok(())
            }
        }
    }

    async fn complete_refund(&self, fact: &mut RefundFact) -> Result<(), StripeError> {
        let object = if_known(self.stripe.refund(&fact.id).await)?;
        if let Some(known) = object.map(|object| object.fact()) {
            fact.amount = known.amount;
            fact.currency = fact.currency.take().or(known.currency);
            fact.intent = fact.intent.take().or(known.intent);
            fact.status = fact.status.max(known.status);
        }
        Ok(())
    }

    /// The payment intent behind a refund, charge or dispute, by way of the charge if need be.
    async fn intent_of(&self, fact: &Fact) -> Result<Option<PaymentIntent>, StripeError> {
        if let Some(intent) = fact.intent() {
            return self.stripe.payment_intent(intent).await.map(Some);
        }
        let charge = match fact {
            Fact::Refund(fact) => fact.charge.as_ref(),
            Fact::Dispute(fact) => fact.charge.as_ref(),
            Fact::ChargeRefunded(fact) => Some(&fact.charge),
            Fact::Session(_) | Fact::NoSession(_) | Fact::Other => None,
        };
        let Some(charge) = charge else { return Ok(None) };
        match self.stripe.charge(charge).await?.payment_intent {
            Some(intent) => self.stripe.payment_intent(&intent).await.map(Some),
            None => Ok(None),
        }
    }

    /// Tries again what is parked or could not be applied, as far as it is due. Returns how many.
    ///
    /// # Errors
    /// [`StoreError`] if the ledger cannot be read.
    pub async fn retry_due(&self, store: &Store) -> Result<usize, StoreError> {
        /// How long a row is ours to try before another instance may.
        const LEASE: Duration = Duration::from_secs(60);
        let mut tx = store.begin().await?;
        let due = tx.take_due_entries(self.writer.clock.now(), LEASE, 100).await?;
        tx.commit().await?;
        let count = due.len();
        for entry in due {
            match event::stored(&entry.payload, entry.source) {
                Ok(event) => {
                    if let Err(error) = self.record_counting(event, 0).await {
                        tracing::warn!(module = "recorder", action = "ledger.retry_failed", "{error}");
                    }
                }
                Err(error) => {
                    tracing::error!(module = "recorder", action = "ledger.unreadable", "{error}");
                }
            }
        }
        Ok(count)
    }
}

/// What Stripe answered; none if it has no such object.
fn if_known<T>(answer: Result<T, StripeError>) -> Result<Option<T>, StripeError> {
    match answer {
        Err(StripeError::NotFound) => Ok(None),
        answer => answer.map(Some),
    }
}

/// Takes over what `fact` does not say.
fn fill(fact: &mut SessionFact, known: SessionFact) {
    fact.currency = fact.currency.take().or(known.currency);
    fact.mode = fact.mode.take().or(known.mode);
    fact.intent = fact.intent.take().or(known.intent);
    if fact.payment_status == PaymentStatus::Unknown {
        fact.payment_status = known.payment_status;
    }
    // The parts of a sum belong together: a part of one reading never meets a part of another.
    if fact.total.is_none() || fact.subtotal.is_none() {
        if fact.total.is_none() || fact.total == known.total {
            fact.discount = fact.discount.or(known.discount);
            fact.tax = fact.tax.or(known.tax);
            fact.shipping = fact.shipping.or(known.shipping);
        }
        fact.total = fact.total.or(known.total);
        fact.subtotal = fact.subtotal.or(known.subtotal);
    }
}

/// Where facts wait for a writer.
#[derive(Debug)]
struct Line {
    /// Held by the writer whose batch is the next.
    waiting: Mutex<mpsc::Receiver<Job>>,
    /// Held by the writer that is at work on its batch, until it only waits for its commit.
    turn: Mutex<()>,
}

/// A transaction in which a batch is to be written, and the turn to do so.
struct Begun<'l> {
    tx: Tx,
    /// None if the writer before took too long.
    turn: Option<MutexGuard<'l, ()>>,
}

impl Line {
    /// The next facts to be written together; none when the program stops. While another batch is being written
    /// this one begins its transaction and takes in what comes. If that does not go at once it is begun later,
    /// when nobody stands behind.
    async fn next_batch(&self, store: &Store) -> Option<(Vec<Job>, Option<Begun<'_>>)> {
        let mut waiting = self.waiting.lock().await;
        let mut jobs = Vec::new();
        if waiting.recv_many(&mut jobs, BATCH).await == 0 {
            return None;
        }
        let begun = match tokio::time::timeout(TURN, store.begin_recording()).await {
            Ok(Ok(tx)) => Some(Begun { tx, turn: tokio::time::timeout(TURN, self.turn.lock()).await.ok() }),
            Ok(Err(_)) | Err(_) => None,
        };
        while jobs.len() < BATCH
            && let Ok(job) = waiting.try_recv()
        {
            jobs.push(job);
        }
        Some((jobs, begun))
    }
}

/// The writer's life: take what is waiting, make it durable, answer.
async fn write(writer: Arc<Writer>, line: Arc<Line>) {
    while let Some((jobs, begun)) = line.next_batch(&writer.store).await {
        writer.settle(jobs, begun).await;
    }
}
