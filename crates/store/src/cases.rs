//! Cases: what a person has to look at.

use super::engine::{Rows, Write, json_array};
use super::page::{Cursor, Page, PageRequest};
use super::refund_intents::{IntentState, RefundIntent};
use super::row::parse;
use super::{StoreError, Tx};
use clock::Timestamp;
use domain::booking::DisputeStatus;
use domain::case::{CaseAbout, CaseAction, CaseKind, Facts, KnownCase};
use domain::ids::{BookingId, CaseId};
use domain::lang::{Lang, Words};
use domain::payment::{NewCase, case_sentence, dispute_detail, dispute_sentence};
use sqlx::AssertSqlSafe;
use std::collections::HashMap;

/// A case as people see it.
#[derive(Debug, Clone)]
pub struct CaseRecord {
    /// Its id.
    pub id: CaseId,
    /// What does not fit.
    pub kind: CaseKind,
    /// The booking it is about, if one is known.
    pub booking_id: Option<BookingId>,
    /// The ledger row that opened it.
    pub event_key: Option<String>,
    /// The session it is about.
    pub stripe_session_id: Option<String>,
    /// The payment it is about.
    pub payment_intent_id: Option<String>,
    /// The amount at stake, in minor units.
    pub amount: Option<i64>,
    /// Its currency.
    pub currency: Option<String>,
    /// The figures, in words.
    pub detail: Words,
    /// Until when something must be done; none once nothing must be any more.
    pub deadline: Option<Timestamp>,
    /// How far its dispute has come by now, if it is about one.
    pub dispute: Option<DisputeStatus>,
    /// The refund that was last asked for about it.
    pub refund: Option<RefundIntent>,
    /// When it was opened.
    pub created_at: Timestamp,
    /// When it was closed; none while it is open.
    pub closed_at: Option<Timestamp>,
    /// Who closed it.
    pub closed_by: Option<String>,
    /// By which action.
    pub resolution: Option<String>,
    /// What they said about it.
    pub note: Option<String>,
}

impl CaseRecord {
    /// What a person can do about it now: nothing once it is closed, nor while its refund is under way.
    #[must_use]
    pub fn actions(&self) -> &'static [CaseAction] {
        let under_way = self.refund.as_ref().is_some_and(|refund| refund.state == IntentState::Open);
        if self.closed_at.is_some() || under_way { &[] } else { self.kind.actions() }
    }

    /// What it means, and what to do about it.
    #[must_use]
    pub fn sentence(&self, lang: Lang) -> &'static str {
        match self.dispute {
            Some(status) => dispute_sentence(status, lang),
            None => case_sentence(self.kind, lang),
        }
    }
}

#[derive(sqlx::FromRow)]
struct CaseRow {
    id: String,
    kind: String,
    subject: Option<String>,
    booking_id: Option<String>,
    event_key: Option<String>,
    stripe_session_id: Option<String>,
    payment_intent_id: Option<String>,
    amount: Option<i64>,
    currency: Option<String>,
    detail: String,
    detail_fr: Option<String>,
    deadline: Option<i64>,
    created_at: i64,
    closed_at: Option<i64>,
    closed_by: Option<String>,
    resolution: Option<String>,
    note: Option<String>,
}

macro_rules! case_columns {
    () => {
        "id, kind, subject, booking_id, event_key, stripe_session_id, payment_intent_id, amount, currency, detail, \
         detail_fr, deadline, created_at, closed_at, closed_by, resolution, note"
    };
}

impl CaseRow {
    fn into_case(self) -> Result<CaseRecord, StoreError> {
        Ok(CaseRecord {
            id: parse("cases.id", &self.id, |text| CaseId::parse(text).ok())?,
            kind: parse("cases.kind", &self.kind, CaseKind::parse)?,
            booking_id: self
                .booking_id
                .map(|id| parse("cases.booking_id", &id, |text| BookingId::parse(text).ok()))
                .transpose()?,
            event_key: self.event_key,
            stripe_session_id: self.stripe_session_id,
            payment_intent_id: self.payment_intent_id,
            amount: self.amount,
            currency: self.currency,
            detail: Words::new(self.detail_fr.unwrap_or_else(|| self.detail.clone()), self.detail),
            deadline: self.deadline.map(Timestamp::from_micros),
            dispute: None,
            refund: None,
            created_at: Timestamp::from_micros(self.created_at),
            closed_at: self.closed_at.map(Timestamp::from_micros),
            closed_by: self.closed_by,
            resolution: self.resolution,
            note: self.note,
        })
    }
}

/// A case about to be opened, with what it belongs to.
#[derive(Debug, Clone)]
pub struct CaseToOpen {
    /// What the decision said.
    pub case: NewCase,
    /// The booking, if one is known.
    pub booking: Option<BookingId>,
    /// The ledger row's key.
    pub event_key: String,
    /// Whether there is no other case about the same.
    pub first: bool,
}

/// What was told of the subject of an open case besides.
#[derive(Debug, Clone)]
pub struct CaseToExtend {
    /// What the case is about.
    pub about: CaseAbout,
    /// What was told.
    pub facts: Facts,
}

/// New cases, which nobody has been shown before: see [`domain::case::KnownCase`]. An event opens one of a kind.
pub fn open(cases: &[CaseToOpen], now: Timestamp) -> [Write<'_>; 2] {
    const INSERT: &str = "insert into cases (id, case_key, kind, subject, facts, booking_id, event_key, stripe_session_id,
             payment_intent_id, amount, currency, detail, detail_fr, deadline, created_at)
         select id, case_key, kind, subject, facts, booking_id, event_key, stripe_session_id, payment_intent_id, amount,
             currency, detail, detail_fr, deadline, now
         from {r} where true on conflict (case_key) do nothing";
    let (of_bookings, of_nobody): (Vec<_>, Vec<_>) =
        cases.iter().partition(|opened| opened.booking.is_some());
    // A booking's lock keeps others away; where there is none, another instance may be faster.
    [rows_of(of_bookings, now).written_by(INSERT), rows_of(of_nobody, now).each_written_by(INSERT)]
}

fn rows_of(cases: Vec<&CaseToOpen>, now: Timestamp) -> Rows<'_, &CaseToOpen> {
    Rows::of(cases)
        .text("id", |_| CaseId::from(clock::new_id()).to_string())
        .text("case_key", case_key)
        .text("kind", |opened| opened.case.about.kind.as_str())
        .text("subject", |opened| &opened.case.about.subject)
        .text("facts", |opened| opened.case.facts.as_text())
        .text_or_null("booking_id", |opened| opened.booking.map(|id| id.to_string()))
        .text("event_key", |opened| &opened.event_key)
        .text_or_null("stripe_session_id", |opened| opened.case.session.as_ref().map(|id| id.as_str()))
        .text_or_null("payment_intent_id", |opened| opened.case.intent.as_ref().map(|id| id.as_str()))
        .bigint_or_null("amount", |opened| opened.case.amount)
        .text_or_null("currency", |opened| opened.case.currency.as_deref())
        .text("detail", |opened| &opened.case.detail.en)
        .text("detail_fr", |opened| &opened.case.detail.fr)
        .bigint_or_null("deadline", |opened| opened.case.deadline.map(Timestamp::as_micros))
        .bigint("now", |_| now.as_micros())
}

/// The first case of a payment whose booking is not known is one for all instances; else each event has its own.
fn case_key(opened: &CaseToOpen) -> String {
    let about = &opened.case.about;
    match opened.booking {
        None if opened.first => format!("{}:{}", about.kind, about.subject),
        Some(_) | None => format!("{}:{}@{}", about.kind, about.subject, opened.event_key),
    }
}

/// What was told besides of the subjects of open cases whose booking is not known. Of a case of before version 9
/// nothing is noted: it stands for all.
pub fn extend(cases: &[CaseToExtend]) -> Write<'_> {
    Rows::of(cases)
        .text("kind", |extended| extended.about.kind.as_str())
        .text("subject", |extended| &extended.about.subject)
        .text("facts", |extended| extended.facts.as_text())
        .written_by(
            "update cases set facts = cases.facts || ' ' || r.facts
             from {r} where cases.kind = r.kind and cases.subject = r.subject
               and cases.booking_id is null and cases.closed_at is null",
        )
}

#[derive(sqlx::FromRow)]
struct KnownRow {
    booking_id: Option<String>,
    kind: String,
    subject: Option<String>,
    facts: Option<String>,
    amount: Option<i64>,
    currency: Option<String>,
    closed_at: Option<i64>,
}

macro_rules! known_columns {
    () => {
        "booking_id, kind, subject, facts, amount, currency, closed_at"
    };
}

impl KnownRow {
    fn into_known(self) -> Result<KnownCase, StoreError> {
        let kind = parse("cases.kind", &self.kind, CaseKind::parse)?;
        Ok(KnownCase {
            about: CaseAbout { kind, subject: self.subject.unwrap_or_default() },
            facts: Facts::parse(self.facts.as_deref().unwrap_or_default()),
            amount: self.amount,
            currency: self.currency,
            open: self.closed_at.is_none(),
        })
    }
}

impl Tx {
    /// One case, locked until the end of the transaction if it is a writing one.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn case(&mut self, id: CaseId, lock: bool) -> Result<Option<CaseRecord>, StoreError> {
        let lock = if lock { self.for_update() } else { "" };
        let sql = format!(concat!("select ", case_columns!(), " from cases where id = $1 {}"), lock);
        let row: Option<CaseRow> = on_engine!(self, conn => sqlx::query_as(AssertSqlSafe(sql))
            .bind(id.to_string())
            .fetch_optional(conn)
            .await)?;
        Ok(self.as_it_stands(row.into_iter().collect()).await?.pop())
    }

    /// Cases of rows, those about disputes with what has become of these since.
    async fn as_it_stands(&mut self, rows: Vec<CaseRow>) -> Result<Vec<CaseRecord>, StoreError> {
        let dispute_of =
            |row: &CaseRow| row.subject.clone().filter(|_| row.kind == CaseKind::Dispute.as_str());
        let ids: Vec<String> = rows.iter().filter_map(dispute_of).collect();
        let mut disputes: HashMap<String, (DisputeStatus, Option<i64>)> = HashMap::new();
        if !ids.is_empty() {
            let sql = format!("select id, status, due_by from disputes where id {}", self.in_list(1));
            let found: Vec<(String, String, Option<i64>)> = on_engine!(self, conn =>
                sqlx::query_as(AssertSqlSafe(sql)).bind(json_array(&ids)).fetch_all(conn).await)?;
            let known =
                |(id, status, due): (String, String, _)| (id, (DisputeStatus::from_stored(&status), due));
            disputes.extend(found.into_iter().map(known));
        }
        let mut refunds: HashMap<CaseId, RefundIntent> = HashMap::new();
        let cases: Vec<String> = rows.iter().map(|row| row.id.clone()).collect();
        if !cases.is_empty() {
            let asked = self.refund_intents_of_cases(&cases).await?;
            // The last one counts.
            refunds.extend(asked.into_iter().filter_map(|refund| Some((refund.case?, refund))));
        }
        rows.into_iter()
            .map(|row| {
                let dispute =
                    dispute_of(&row).and_then(|id| disputes.get(&id).copied().map(|state| (id, state)));
                let mut case = row.into_case()?;
                if let Some((id, (status, due_by))) = dispute {
                    case.detail = dispute_detail(&id, status);
                    case.deadline = due_by.filter(|_| status.wants_an_answer()).map(Timestamp::from_micros);
                    case.dispute = Some(status);
                }
                case.refund = refunds.remove(&case.id);
                Ok(case)
            })
            .collect()
    }

    /// The cases of bookings, oldest first, with whose each is. `ids`: a JSON array of theirs.
    pub(super) async fn known_cases(&mut self, ids: &str) -> Result<Vec<(String, KnownCase)>, StoreError> {
        let sql = format!(
            concat!("select ", known_columns!(), " from cases where booking_id {} order by created_at, id"),
            self.in_list(1)
        );
        let rows: Vec<KnownRow> = on_engine!(self, conn =>
            sqlx::query_as(AssertSqlSafe(sql)).bind(ids).fetch_all(conn).await)?;
        rows.into_iter()
            .map(|mut row| Ok((row.booking_id.take().unwrap_or_default(), row.into_known()?)))
            .collect()
    }

    /// The cases without a booking that are about one of these subjects or this payment, oldest first, locked: so
    /// that nobody closes one while it is looked at.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn lock_cases_of_nobody(
        &mut self,
        subjects: &[String],
        payment: Option<&str>,
    ) -> Result<Vec<KnownCase>, StoreError> {
        let sql = format!(
            concat!(
                "select ",
                known_columns!(),
                " from cases where booking_id is null and (subject {} or payment_intent_id = $2)
                 order by created_at, id limit 200 {}"
            ),
            self.in_list(1),
            self.for_update()
        );
        let rows: Vec<KnownRow> = on_engine!(self, conn => sqlx::query_as(AssertSqlSafe(sql))
            .bind(json_array(subjects))
            .bind(payment.unwrap_or(""))
            .fetch_all(conn)
            .await)?;
        rows.into_iter().map(KnownRow::into_known).collect()
    }

    /// Says which booking a case is about, after all.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn attach_case(&mut self, id: CaseId, booking: BookingId) -> Result<(), StoreError> {
        on_engine!(self, conn => sqlx::query("update cases set booking_id = $2 where id = $1")
            .bind(id.to_string())
            .bind(booking.to_string())
            .execute(conn)
            .await
            .map(drop))?;
        on_engine!(self, conn => sqlx::query("update bookings set has_history = $2 where id = $1")
            .bind(booking.to_string())
            .bind(true)
            .execute(conn)
            .await
            .map(drop))?;
        Ok(())
    }

    /// Closes a case; `false` if it was closed already.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn close_case(
        &mut self,
        id: CaseId,
        by: &str,
        resolution: &str,
        note: Option<&str>,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let closed = on_engine!(self, conn => sqlx::query(
            "update cases set closed_at = case when created_at < $2 then $2 else created_at end, closed_by = $3, resolution = $4, note = $5
             where id = $1 and closed_at is null")
            .bind(id.to_string())
            .bind(now.as_micros())
            .bind(by)
            .bind(resolution)
            .bind(note)
            .execute(conn)
            .await
            .map(|done| done.rows_affected()))?;
        Ok(closed == 1)
    }

    /// Cases, newest first: all, or only the open or the closed ones.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn list_cases(
        &mut self,
        open: Option<bool>,
        page: &PageRequest,
    ) -> Result<Page<CaseRecord>, StoreError> {
        let which = match open {
            None => "",
            Some(true) => "and closed_at is null",
            Some(false) => "and closed_at is not null",
        };
        let sql = format!(
            concat!("select ", case_columns!(), " from cases where id < $1 {} order by id desc limit $2"),
            which
        );
        let rows: Vec<CaseRow> = on_engine!(self, conn => sqlx::query_as(AssertSqlSafe(sql))
            .bind(page.below())
            .bind(page.fetch())
            .fetch_all(conn)
            .await)?;
        let cases = self.as_it_stands(rows).await?;
        Ok(page.finish(cases, |case| Cursor(case.id.to_string())))
    }

    /// The cases of a booking, oldest first.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn cases_of(&mut self, booking: BookingId) -> Result<Vec<CaseRecord>, StoreError> {
        let rows: Vec<CaseRow> = on_engine!(self, conn => sqlx::query_as(concat!(
            "select ", case_columns!(), " from cases where booking_id = $1 order by created_at, id limit 200"))
            .bind(booking.to_string())
            .fetch_all(conn)
            .await)?;
        self.as_it_stands(rows).await
    }

    /// How many cases are open.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn count_open_cases(&mut self) -> Result<i64, StoreError> {
        Ok(on_engine!(self, conn => sqlx::query_scalar("select count(*) from cases where closed_at is null")
            .fetch_one(conn)
            .await)?)
    }
}
