//! One batch of facts in one transaction: look, decide, write, commit, answer.

use super::{Asked, Begun, COLLISIONS, Job, Preview, RecordError, Recorded};
use crate::failpoint;
use crate::flow::hours;
use clock::Clock;
use clock::Timestamp;
use domain::backoff::Backoff;
use domain::booking::Booking;
use domain::case::KnownCase;
use domain::event::{Event, Fact, SessionMoment, Source};
use domain::ids::{BookingId, InstanceId, SessionId};
use domain::payment::{
    self, AskedFor, Context, Decision, Effect, Outcome, Question, Reason, SessionTold, Unmatched,
    open_question,
};
use domain::reserve;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use store::bookings::{self, Handle};
use store::cases::{self, CaseToExtend, CaseToOpen};
use store::ledger::{self, KnownEntry, NewEntry};
use store::outbox::{self, Audience};
use store::{Store, StoreError, Tx, within};

/// How long a batch may take. Its callers wait little longer, and a writer that waited for ever on a silent
/// network would never write again.
const PATIENCE: Duration = Duration::from_secs(7);
/// After this, what is parked becomes a case.
const PARKED_AT_MOST: Duration = Duration::from_secs(3600);
/// The wait before we try a parked or failed row again.
const RETRY: Backoff = Backoff::new(Duration::from_secs(10), Duration::from_secs(600));

/// What a job's caller hears.
#[derive(Debug)]
pub(super) enum Verdict {
    /// It is durable.
    Done(Recorded),
    /// Nothing was written: Stripe must be asked first, and the event completed.
    Ask(Question, Box<Event>),
}

/// What became of one job inside a transaction.
enum Step {
    Done(Recorded),
    Ask(Question),
    /// It needs the transaction for itself: it takes a seat, and must see all others settled.
    Alone,
    /// It must not be applied now; it is to be stored as not applied.
    StoreUnapplied(&'static str),
}

/// What writes, and for whom.
#[derive(Debug)]
pub struct Writer {
    /// Where to.
    pub store: Store,
    /// The time.
    pub clock: Clock,
    /// This database's id: sessions of another's are none of our business.
    pub instance: InstanceId,
    /// Whether our key is a live one.
    pub livemode: bool,
    /// Who is told of what is applied.
    pub audience: Audience,
}

impl Writer {
    /// Settles every job and answers its caller. Never fails as a whole.
    pub(super) async fn settle(&self, jobs: Vec<Job>, mut begun: Option<Begun<'_>>) {
        // Halved on failure: a stack of batches instead of a recursion.
        let mut stack = vec![jobs];
        while let Some(jobs) = stack.pop() {
            match self.apply_with_retries(&jobs, begun.take()).await {
                Ok(steps) => {
                    let mut alone: Vec<Vec<Job>> = Vec::new();
                    for (job, step) in jobs.into_iter().zip(steps) {
                        match step {
                            Step::Done(recorded) => drop(job.reply.send(Ok(Verdict::Done(recorded)))),
                            Step::Ask(question) => {
                                drop(job.reply.send(Ok(Verdict::Ask(question, Box::new(job.event)))));
                            }
                            // Copies of an event stay together: what one waits for, all wait for.
                            Step::Alone => match alone.iter_mut().find(|copies| is_copy(&copies[0], &job)) {
                                Some(copies) => copies.push(job),
                                None => alone.push(vec![job]),
                            },
                            Step::StoreUnapplied(why) => self.store_unapplied(job, why.to_owned()).await,
                        }
                    }
                    stack.extend(alone);
                }
                Err(error) if error.is_outage() => {
                    let error = Arc::new(error);
                    for job in jobs {
                        drop(job.reply.send(Err(RecordError::NotDurable(Arc::clone(&error)))));
                    }
                }
                Err(error) => {
                    let mut jobs = jobs;
                    if is_one_event(&jobs) {
                        for job in jobs {
                            self.store_unapplied(job, error.to_string()).await;
                        }
                    } else {
                        let half = jobs.split_off(jobs.len() / 2);
                        stack.push(half);
                        stack.push(jobs);
                    }
                }
            }
        }
    }

    async fn apply_with_retries(
        &self,
        jobs: &[Job],
        mut begun: Option<Begun<'_>>,
    ) -> Result<Vec<Step>, StoreError> {
        let mut tries = 0;
        let mut locks = Locks::WaitedFor;
        loop {
            match within(PATIENCE, self.apply(jobs, locks, begun.take())).await {
                // Somebody holds one of the bookings: the others shall not wait for that.
                Err(StoreError::Locked(_)) if locks == Locks::WaitedFor && !is_one_event(jobs) => {
                    locks = Locks::PassedOver;
                }
                error @ Err(StoreError::Locked(_)) => return error,
                Err(error) if error.is_collision() && tries < COLLISIONS => {
                    tries += 1;
                    let jitter = rand::random_range(0..10_u64);
                    tokio::time::sleep(Duration::from_millis(u64::from(tries) * 5 + jitter)).await;
                }
                // A connection that died is replaced by the pool, and what may have been committed is
                // found by its ledger id: trying again is safe, and saves Stripe a round.
                Err(StoreError::Unavailable(_)) if tries == 0 => tries = COLLISIONS,
                result => return result,
            }
        }
    }

    async fn apply(
        &self,
        jobs: &[Job],
        locks: Locks,
        begun: Option<Begun<'_>>,
    ) -> Result<Vec<Step>, StoreError> {
        let (mut tx, turn) = match begun {
            Some(Begun { tx, turn }) => (tx, turn),
            None => (self.store.begin_recording().await?, None),
        };
        let mut batch = self.open_batch(&mut tx, jobs, locks).await?;
        let mut steps = Vec::with_capacity(jobs.len());
        for job in jobs {
            steps.push(batch.judge(&mut tx, job).await?);
        }
        let changed = batch.write(&mut tx).await?;
        drop(turn);
        if changed {
            failpoint::here("recorder.before_commit");
            tx.commit().await?;
            self.store.in_place()?;
            failpoint::here("recorder.after_commit");
        } else {
            tx.rollback().await?;
        }
        Ok(steps)
    }

    /// Locks what a batch is about and reads what is known of its events.
    async fn open_batch<'w>(
        &'w self,
        tx: &mut Tx,
        jobs: &[Job],
        locks: Locks,
    ) -> Result<Batch<'w>, StoreError> {
        let owners = lock_owners(tx, jobs, locks).await?;
        let keys: Vec<&str> = jobs.iter().map(|job| job.event.key.as_str()).collect();
        let known = tx.known_entries(&keys).await?;
        Ok(Batch {
            writer: self,
            now: self.clock.now(),
            alone: is_one_event(jobs),
            changed: vec![false; owners.bookings.len()],
            owners,
            known,
            seen: HashMap::new(),
            new: Vec::new(),
            settled: Vec::new(),
            again: HashMap::new(),
            cases: Vec::new(),
            extended: Vec::new(),
            of_nobody: Vec::new(),
            sessions: Vec::new(),
            left_behind: Vec::new(),
            effects: Vec::new(),
        })
    }

    /// What a job would do; or what must be asked of Stripe first.
    pub(super) async fn preview(&self, job: Job) -> Result<Result<Preview, Question>, StoreError> {
        let mut tx = self.store.begin().await?;
        let jobs = [job];
        let mut batch = self.open_batch(&mut tx, &jobs, Locks::WaitedFor).await?;
        let [job] = &jobs;
        let owner = batch.owners.find(&job.event);
        let before = owner.map(|index| batch.owners.bookings[index].clone());
        let step = batch.judge(&mut tx, job).await?;
        let after = owner.map(|index| batch.owners.bookings[index].clone());
        let case = batch.cases.first().map(|opened| opened.case.about.kind);
        tx.rollback().await?;
        Ok(match step {
            Step::Done(recorded) => Ok(Preview { recorded, before, after, case }),
            Step::Ask(question) => Err(question),
            // A batch of one event is alone already; what is not applied is tried again later.
            Step::Alone | Step::StoreUnapplied(_) => {
                let booking = before.as_ref().map(|booking| booking.id);
                let (outcome, reason) = (Outcome::Rejected, Reason::Fault);
                let recorded = Recorded { outcome, reason, booking, applied_payment: false };
                Ok(Preview { recorded, after: before.clone(), before, case: None })
            }
        })
    }

    /// Keeps an event that could not be applied, so that we try it again ourselves, and tells the
    /// caller that it was not applied.
    async fn store_unapplied(&self, job: Job, why: String) {
        tracing::error!(module = "recorder", action = "stripe.webhook.stored_unapplied", "{why}");
        let stored = async {
            let now = self.clock.now();
            let mut tx = self.store.begin_recording().await?;
            let known = tx.known_entries(&[job.event.key.as_str()]).await?;
            let known = known.get(job.event.key.as_str());
            let mut entry = new_entry(&job, Outcome::Rejected, Reason::Fault, None, false);
            entry.next_try_at = Some(next_try(now, known).as_micros());
            match known {
                None => tx.write([ledger::insert(&[entry])]).await?,
                Some(known) if !known.outcome.is_settled() => tx.write([ledger::settle(&[entry])]).await?,
                Some(_) => {}
            }
            tx.commit().await
        };
        let answer = match within(PATIENCE, stored).await {
            Ok(()) => RecordError::Stored(why),
            Err(error) => RecordError::NotDurable(Arc::new(error)),
        };
        drop(job.reply.send(Err(answer)));
    }
}

/// The bookings that a batch is about, locked, and how to find each.
struct Owners {
    bookings: Vec<Booking>,
    by_id: HashMap<BookingId, usize>,
    by_handle: HashMap<Handle, BookingId>,
    /// Known, but somebody else has them locked.
    busy: Vec<BookingId>,
}

/// What to do about a booking that somebody else has locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Locks {
    /// Wait for it, as for a neighbour that is about to commit.
    WaitedFor,
    /// Leave what is about it for later.
    PassedOver,
}

/// Whether `job` is about the same event.
fn is_copy(one: &Job, job: &Job) -> bool {
    one.event.key == job.event.key
}

/// Whether a batch is of one event and its copies.
fn is_one_event(jobs: &[Job]) -> bool {
    jobs.windows(2).all(|pair| is_copy(&pair[0], &pair[1]))
}

impl Owners {
    /// By reference, then session, then metadata, then payment (then the refund or dispute itself).
    fn find(&self, event: &Event) -> Option<usize> {
        let claim = event.fact.claim()?;
        let by_id = |id: Option<BookingId>| id.and_then(|id| self.by_id.get(&id).copied());
        let by_handle = |handle: Option<Handle>| by_id(handle.and_then(|h| self.by_handle.get(&h).copied()));
        by_id(claim.reference)
            .or_else(|| by_handle(event.fact.session().map(|id| Handle::Session(id.to_string()))))
            .or_else(|| by_id(claim.metadata_booking))
            .or_else(|| by_handle(event.fact.intent().map(|id| Handle::Intent(id.to_string()))))
            .or_else(|| by_handle(own_handle(&event.fact)))
    }

    /// Whether the event's session, refund or dispute is another booking's than the one it names.
    fn is_of_another(&self, event: &Event, index: usize) -> bool {
        let Some(handle) = handle_of_object(&event.fact) else { return false };
        let known = self.by_handle.get(&handle).is_some_and(|owner| *owner != self.bookings[index].id);
        // Or it was recorded in this very batch.
        let others = || self.bookings.iter().enumerate().filter(|(n, _)| *n != index).map(|(_, other)| other);
        known
            || match &event.fact {
                Fact::Refund(fact) => others().any(|other| other.refunds.iter().any(|one| one.id == fact.id)),
                Fact::Dispute(fact) => {
                    others().any(|other| other.disputes.iter().any(|one| one.id == fact.id))
                }
                Fact::Session(_) | Fact::ChargeRefunded(_) | Fact::NoSession(_) | Fact::Other => false,
            }
    }

    /// Whether the event names a booking that somebody else has locked, in whatever way.
    fn is_busy(&self, event: &Event) -> bool {
        let Some(claim) = event.fact.claim().filter(|_| !self.busy.is_empty()) else { return false };
        let by_handle = handles(event).filter_map(|handle| self.by_handle.get(&handle).copied());
        claim
            .reference
            .into_iter()
            .chain(claim.metadata_booking)
            .chain(by_handle)
            .any(|id| self.busy.contains(&id))
    }

    async fn lock(&mut self, tx: &mut Tx, ids: &[BookingId], locks: Locks) -> Result<(), StoreError> {
        let bookings = match locks {
            Locks::WaitedFor => tx.lock_bookings(ids).await?,
            Locks::PassedOver => {
                let (bookings, busy) = tx.lock_free_bookings(ids).await?;
                self.busy.extend(busy);
                bookings
            }
        };
        self.lock_more(bookings);
        Ok(())
    }

    fn lock_more(&mut self, bookings: Vec<Booking>) {
        for booking in bookings {
            self.by_id.entry(booking.id).or_insert_with(|| {
                self.bookings.push(booking);
                self.bookings.len() - 1
            });
        }
    }
}

fn own_handle(fact: &Fact) -> Option<Handle> {
    match fact {
        Fact::Refund(fact) => Some(Handle::Refund(fact.id.to_string())),
        Fact::Dispute(fact) => Some(Handle::Dispute(fact.id.to_string())),
        Fact::Session(_) | Fact::ChargeRefunded(_) | Fact::NoSession(_) | Fact::Other => None,
    }
}

/// What of Stripe's can belong to one booking only.
fn handle_of_object(fact: &Fact) -> Option<Handle> {
    fact.session().map(|id| Handle::Session(id.to_string())).or_else(|| own_handle(fact))
}

/// Whether a booking has the session, refund or dispute that a fact is about.
fn has(booking: &Booking, fact: &Fact) -> bool {
    match fact {
        Fact::Session(fact) => booking.session.as_ref() == Some(&fact.id),
        Fact::Refund(fact) => booking.refunds.iter().any(|refund| refund.id == fact.id),
        Fact::Dispute(fact) => booking.disputes.iter().any(|dispute| dispute.id == fact.id),
        Fact::ChargeRefunded(_) | Fact::NoSession(_) | Fact::Other => true,
    }
}

fn handles(event: &Event) -> impl Iterator<Item = Handle> {
    let session = event.fact.session().map(|id| Handle::Session(id.to_string()));
    let intent = event.fact.intent().map(|id| Handle::Intent(id.to_string()));
    session.into_iter().chain(intent).chain(own_handle(&event.fact))
}

/// Finds and locks the bookings of a batch, in the order of their ids.
async fn lock_owners(tx: &mut Tx, jobs: &[Job], locks: Locks) -> Result<Owners, StoreError> {
    let events = || jobs.iter().map(|job| &job.event);
    let unreferenced: Vec<Handle> = events()
        .filter(|event| event.fact.claim().is_some_and(|claim| claim.reference.is_none()))
        .flat_map(handles)
        .collect();
    let mut owners =
        Owners { bookings: Vec::new(), by_id: HashMap::new(), by_handle: HashMap::new(), busy: Vec::new() };
    if !unreferenced.is_empty() {
        owners.by_handle = tx.bookings_by_handle(&unreferenced).await?;
    }
    let mut ids: Vec<BookingId> = events()
        .filter_map(|event| event.fact.claim())
        .flat_map(|claim| claim.reference.into_iter().chain(claim.metadata_booking))
        .chain(owners.by_handle.values().copied())
        .collect();
    ids.sort_unstable();
    ids.dedup();
    owners.lock(tx, &ids, locks).await?;

    // A reference that leads nowhere may still come with a session or payment that does.
    let unfound: Vec<Handle> = events()
        .filter(|event| event.fact.claim().is_some_and(|claim| claim.reference.is_some()))
        .filter(|event| owners.find(event).is_none())
        .flat_map(handles)
        .collect();
    if !unfound.is_empty() {
        let found = tx.bookings_by_handle(&unfound).await?;
        let mut more: Vec<BookingId> =
            found.values().copied().filter(|id| !owners.by_id.contains_key(id)).collect();
        owners.by_handle.extend(found);
        more.sort_unstable();
        more.dedup();
        owners.lock(tx, &more, locks).await?;
    }

    // A session, refund or dispute that the booking it names does not have could be another's.
    let unattached: Vec<Handle> = events()
        .filter_map(|event| {
            let booking = &owners.bookings[owners.find(event)?];
            handle_of_object(&event.fact).filter(|_| !has(booking, &event.fact))
        })
        .collect();
    if !unattached.is_empty() {
        let found = tx.bookings_by_handle(&unattached).await?;
        owners.by_handle.extend(found);
    }
    Ok(owners)
}

/// What a batch has decided so far, and will write at its end.
struct Batch<'w> {
    writer: &'w Writer,
    now: Timestamp,
    /// Whether it is a batch of one event and its copies.
    alone: bool,
    owners: Owners,
    changed: Vec<bool>,
    known: HashMap<String, KnownEntry>,
    /// What was decided in this batch for a key, for further copies of the same event.
    seen: HashMap<String, Recorded>,
    new: Vec<NewEntry>,
    settled: Vec<NewEntry>,
    again: HashMap<String, i32>,
    cases: Vec<CaseToOpen>,
    /// What was told of the subjects of cases that are open.
    extended: Vec<CaseToExtend>,
    /// The cases that were opened in this batch about payments whose bookings are not known.
    of_nobody: Vec<KnownCase>,
    /// What was told in this batch of sessions that did not pay.
    sessions: Vec<(BookingId, SessionTold)>,
    /// Sessions whose bookings went on with another in this batch: their pages may still be open.
    left_behind: Vec<(SessionId, BookingId)>,
    effects: Vec<(BookingId, Effect)>,
}

impl Batch<'_> {
    async fn judge(&mut self, tx: &mut Tx, job: &Job) -> Result<Step, StoreError> {
        let event = &job.event;
        let key = event.key.as_str();
        if self.owners.is_busy(event) {
            return Ok(Step::Alone);
        }
        let owner = self.owners.find(event);
        let booking = owner.map(|index| self.owners.bookings[index].id);

        if let Some(first) = self.seen.get(key).copied() {
            return Ok(Step::Done(self.copy_of(job, first)));
        }
        if let Some(known) = self.known.get(key) {
            if known.id == job.ledger_id {
                // Our own row: the answer to an earlier commit was lost, the commit was not.
                let recorded = Recorded {
                    outcome: known.outcome,
                    reason: Reason::AlreadyApplied,
                    booking,
                    applied_payment: false,
                };
                return Ok(Step::Done(recorded));
            }
            let judged_again = event.source == Source::Replay && known.outcome == Outcome::Case;
            if known.outcome.is_settled() && !judged_again {
                *self.again.entry(key.to_owned()).or_default() += job.deliveries;
                return Ok(Step::Done(duplicate(Reason::AlreadyApplied, booking)));
            }
        }

        let recorded = match owner {
            None => match self.judge_unmatched(tx, job).await? {
                Ok(recorded) => recorded,
                Err(question) => return Ok(Step::Ask(question)),
            },
            Some(index) if self.owners.is_of_another(event, index) => self.of_another(index, job),
            Some(index) => {
                if let Some(question) = open_question(&event.fact, &self.owners.bookings[index]) {
                    match job.asked {
                        Asked::NotYet => return Ok(Step::Ask(question)),
                        Asked::Failed => {
                            return Ok(Step::StoreUnapplied("Stripe did not say what the event leaves open"));
                        }
                        Asked::Answered => {}
                    }
                }
                let free_seat = if may_take_a_seat(&self.owners.bookings[index], event) {
                    if !self.alone {
                        return Ok(Step::Alone);
                    }
                    free_seat(tx, &self.owners.bookings[index]).await?
                } else {
                    None
                };
                let sessions = self.sessions_told(tx, index, job).await?;
                self.decide(index, job, free_seat, &sessions)
            }
        };
        self.seen.insert(key.to_owned(), recorded);
        Ok(Step::Done(recorded))
    }

    /// A further copy in the same batch: a duplicate if the first was applied, else the same again.
    fn copy_of(&mut self, job: &Job, first: Recorded) -> Recorded {
        let key = job.event.key.as_str();
        let entries = self.new.iter_mut().chain(self.settled.iter_mut());
        match entries.into_iter().find(|entry| entry.event_key == key) {
            Some(entry) => entry.deliveries += job.deliveries,
            None => *self.again.entry(key.to_owned()).or_default() += job.deliveries,
        }
        if first.outcome.is_settled() { duplicate(Reason::AlreadyApplied, first.booking) } else { first }
    }

    async fn judge_unmatched(
        &mut self,
        tx: &mut Tx,
        job: &Job,
    ) -> Result<Result<Recorded, Question>, StoreError> {
        let event = &job.event;
        let (mut outcome, mut reason) =
            payment::decide_unmatched(event, self.writer.instance, self.writer.livemode);
        // A refund or dispute seldom says whose it is; its payment does.
        let says_whose = event.fact.claim().is_some_and(|claim| claim.instance.is_some());
        let indirect = match &event.fact {
            Fact::Refund(_) | Fact::ChargeRefunded(_) | Fact::Dispute(_) => true,
            Fact::Session(_) | Fact::NoSession(_) | Fact::Other => false,
        };
        if outcome == Outcome::Ignored && indirect && !says_whose {
            match job.asked {
                Asked::NotYet => return Ok(Err(Question::Owner)),
                Asked::Failed => (outcome, reason) = (Outcome::Parked, Reason::OwnerNotKnown),
                Asked::Answered => {}
            }
        }
        if outcome == Outcome::Parked && (reason == Reason::BookingNotKnown || self.has_waited(event)) {
            let (known, asked_for) = self.known_of_nobody(tx, event).await?;
            (outcome, reason) = self.unknown_booking(event, &known, &asked_for);
        }
        let recorded = Recorded { outcome, reason, booking: None, applied_payment: false };
        self.keep(job, recorded);
        Ok(Ok(recorded))
    }

    fn has_waited(&self, event: &Event) -> bool {
        let known = self.known.get(event.key.as_str());
        known.is_some_and(|known| self.now.since(known.received_at) >= PARKED_AT_MOST)
    }

    /// The cases about a payment whose booking is not known, locked, and what was asked to be given back of it.
    async fn known_of_nobody(
        &self,
        tx: &mut Tx,
        event: &Event,
    ) -> Result<(Vec<KnownCase>, AskedFor), StoreError> {
        let subjects: Vec<String> = match &event.fact {
            Fact::Session(fact) => vec![fact.id.to_string()],
            Fact::Refund(fact) => vec![fact.id.to_string()],
            Fact::Dispute(fact) => vec![fact.id.to_string()],
            Fact::ChargeRefunded(_) | Fact::NoSession(_) | Fact::Other => Vec::new(),
        };
        let intent = event.fact.intent();
        let subjects: Vec<String> = subjects.into_iter().chain(intent.map(ToString::to_string)).collect();
        let mut known = tx.lock_cases_of_nobody(&subjects, intent.map(|id| id.as_str())).await?;
        known
            .extend(self.of_nobody.iter().filter(|opened| subjects.contains(&opened.about.subject)).cloned());
        let asked_for = match intent {
            Some(intent) if !known.is_empty() => tx.asked_for(intent).await?,
            Some(_) | None => AskedFor::default(),
        };
        Ok((known, asked_for))
    }

    fn unknown_booking(
        &mut self,
        event: &Event,
        known: &[KnownCase],
        asked_for: &AskedFor,
    ) -> (Outcome, Reason) {
        match payment::unknown_booking(event, known, asked_for) {
            // Its booking may turn up.
            Unmatched::Case(_) | Unmatched::Joins(..) if !self.has_waited(event) => {
                (Outcome::Parked, Reason::BookingNotKnown)
            }
            Unmatched::Case(case) => {
                let first = !known.iter().any(|known| known.about == case.about);
                let kind = case.about.kind;
                self.of_nobody.push(case.known());
                let event_key = event.key.as_str().to_owned();
                self.cases.push(CaseToOpen { case: *case, booking: None, event_key, first });
                (Outcome::Case, Reason::Case(kind))
            }
            Unmatched::Joins(about, facts) => {
                let kind = about.kind;
                self.extended.push(CaseToExtend { about, facts });
                (Outcome::Case, Reason::Case(kind))
            }
            Unmatched::Seen => (Outcome::Duplicate, Reason::AlreadyApplied),
            Unmatched::Expected => (Outcome::Processed, Reason::RefundRecorded),
        }
    }

    fn of_another(&mut self, index: usize, job: &Job) -> Recorded {
        let decision = payment::decide_of_another(&self.owners.bookings[index], &job.event);
        self.take_over(index, job, decision)
    }

    /// What was told before of the booking's sessions that did not pay it, where that plays a part.
    async fn sessions_told(
        &self,
        tx: &mut Tx,
        index: usize,
        job: &Job,
    ) -> Result<Vec<SessionTold>, StoreError> {
        let booking = &self.owners.bookings[index];
        let asks = SessionTold::of(&job.event.fact).is_some_and(|told| match told.moment {
            SessionMoment::AsyncFailed => true,
            SessionMoment::Completed | SessionMoment::AsyncSucceeded => {
                booking.session.as_ref() != Some(&told.id)
            }
            SessionMoment::Expired => false,
        });
        if !asks || booking.payment().is_some() {
            return Ok(Vec::new());
        }
        let mut told = tx.sessions_told(booking.id).await?;
        let here = self.sessions.iter().filter(|(id, _)| *id == booking.id);
        told.extend(here.map(|(_, told)| told.clone()));
        Ok(told)
    }

    fn decide(
        &mut self,
        index: usize,
        job: &Job,
        free_seat: Option<i32>,
        sessions: &[SessionTold],
    ) -> Recorded {
        let context = Context { now: self.now, livemode: self.writer.livemode, free_seat };
        let booking = &self.owners.bookings[index];
        let mut decision = payment::decide_among(booking, &job.event, context, sessions);
        if decision.outcome == Outcome::Parked && self.has_waited(&job.event) {
            decision = payment::decide_after_waiting(booking, &job.event, context);
        }
        if matches!(decision.outcome, Outcome::Processed | Outcome::Duplicate) {
            self.sessions.extend(SessionTold::of(&job.event.fact).map(|told| (booking.id, told)));
        }
        self.take_over(index, job, decision)
    }

    fn take_over(&mut self, index: usize, job: &Job, decision: Decision) -> Recorded {
        let before = &self.owners.bookings[index];
        let Decision { outcome, reason, booking, applied_payment, case, effects } = decision;
        let id = booking.id;
        self.left_behind.extend(reserve::left_behind(before, &booking).map(|session| (session.clone(), id)));
        if booking != *before {
            self.owners.bookings[index] = booking;
            self.changed[index] = true;
        }
        let event_key = job.event.key.as_str().to_owned();
        let opened = |case| CaseToOpen { case, booking: Some(id), event_key, first: false };
        self.cases.extend(case.map(opened));
        self.effects.extend(effects.into_iter().map(|effect| (id, effect)));
        let recorded = Recorded { outcome, reason, booking: Some(id), applied_payment };
        self.keep(job, recorded);
        recorded
    }

    /// Puts the ledger row on the list of what will be written.
    fn keep(&mut self, job: &Job, recorded: Recorded) {
        let Recorded { outcome, reason, booking, applied_payment } = recorded;
        let known = self.known.get(job.event.key.as_str());
        let mut entry = new_entry(job, outcome, reason, booking, applied_payment);
        if outcome.is_settled() || outcome == Outcome::Ignored {
            entry.processed_at = Some(self.now.as_micros());
        } else {
            entry.next_try_at = Some(next_try(self.now, known).as_micros());
        }
        match known {
            None => self.new.push(entry),
            // A replayed case that changes nothing stays the case that it is.
            Some(known) if known.outcome == Outcome::Case && outcome == Outcome::Duplicate => {}
            Some(_) => {
                // Each row is written once; a copy that came before was counted as one of a settled row.
                entry.deliveries += self.again.remove(&entry.event_key).unwrap_or(0);
                self.settled.push(entry);
            }
        }
    }

    /// Writes all of it. Rows go in the order of their keys, so that two writers that share some
    /// never wait for each other. `false` if there was nothing to write.
    async fn write(mut self, tx: &mut Tx) -> Result<bool, StoreError> {
        if self.new.is_empty() && self.settled.is_empty() && self.again.is_empty() {
            return Ok(false);
        }
        self.new.sort_by(|a, b| a.event_key.cmp(&b.event_key));
        self.settled.sort_by(|a, b| a.event_key.cmp(&b.event_key));
        self.again.retain(|_, deliveries| *deliveries > 0);
        let mut again: Vec<(&str, i32)> = self.again.iter().map(|(key, n)| (key.as_str(), *n)).collect();
        again.sort_unstable();
        self.left_behind.sort_unstable();
        self.left_behind.dedup();
        let changed = self.owners.bookings.iter().zip(&self.changed);
        let changed: Vec<&Booking> = changed.filter(|(_, changed)| **changed).map(|(b, _)| b).collect();
        let [themselves, refunds, disputes] = bookings::save(&changed);
        let [of_bookings, of_nobody] = cases::open(&self.cases, self.now);
        tx.write([
            ledger::insert(&self.new),
            ledger::settle(&self.settled),
            ledger::deliver_again(&again, self.now),
            themselves,
            refunds,
            disputes,
            of_bookings,
            of_nobody,
            cases::extend(&self.extended),
            outbox::push(&self.effects, self.writer.audience, self.now),
            bookings::close_later(&self.left_behind, self.now),
        ])
        .await?;
        Ok(true)
    }
}

fn duplicate(reason: Reason, booking: Option<BookingId>) -> Recorded {
    Recorded { outcome: Outcome::Duplicate, reason, booking, applied_payment: false }
}

/// Whether the rules may want to seat a booking that holds no seat.
fn may_take_a_seat(booking: &Booking, event: &Event) -> bool {
    booking.seat.is_none()
        && match &event.fact {
            Fact::Session(fact) => {
                matches!(fact.moment, SessionMoment::Completed | SessionMoment::AsyncSucceeded)
                    && booking.payment().is_none()
            }
            Fact::Refund(_) => booking.payment().is_some(),
            Fact::ChargeRefunded(_) | Fact::Dispute(_) | Fact::NoSession(_) | Fact::Other => false,
        }
}

/// The seat that a booking without one could take now: its slot stays locked until the transaction ends.
pub(in crate::flow) async fn free_seat(tx: &mut Tx, booking: &Booking) -> Result<Option<i32>, StoreError> {
    let Some((offer, seats)) = tx.lock_slot(booking.offer, &booking.slot).await? else { return Ok(None) };
    // Whoever it needs may have been sold to somebody else meanwhile.
    if !hours::is_unhindered(tx, &offer, &booking.slot, booking.starts_at).await? {
        return Ok(None);
    }
    Ok(seats.reserve(booking.seat))
}

fn next_try(now: Timestamp, known: Option<&KnownEntry>) -> Timestamp {
    now.plus(RETRY.after(known.map_or(0, |known| known.tries)))
}

fn new_entry(
    job: &Job,
    outcome: Outcome,
    reason: Reason,
    booking_id: Option<BookingId>,
    applied_payment: bool,
) -> NewEntry {
    let event = &job.event;
    // Of what is not for us only id, kind and time are kept.
    let ours = outcome != Outcome::Ignored;
    NewEntry {
        id: job.ledger_id,
        event_key: event.key.as_str().to_owned(),
        stripe_event_id: event.key.stripe_id().map(str::to_owned),
        r#type: event.kind.clone(),
        source: event.source.as_str(),
        livemode: event.livemode.filter(|_| ours),
        stripe_session_id: event.fact.session().filter(|_| ours).map(|id| id.as_str().to_owned()),
        booking_id,
        applied_payment,
        outcome: outcome.as_str(),
        reason: reason.as_str(),
        payload: ours.then(|| event.payload.clone()),
        deliveries: job.deliveries,
        stripe_created_at: event.created.map(Timestamp::as_micros),
        received_at: job.received_at.as_micros(),
        processed_at: None,
        next_try_at: None,
    }
}
