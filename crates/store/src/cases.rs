//! Cases: what a person has to look at.

use super::engine::{Rows, Write, json_array};
use super::page::{Cursor, Page, PageRequest};
use super::row::parse;
use super::{StoreError, Tx};
use clock::Timestamp;
use domain::booking::DisputeStatus;
use domain::case::CaseKind;
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
    case_key: String,
    kind: String,
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
        "id, case_key, kind, booking_id, event_key, stripe_session_id, payment_intent_id, amount, currency, detail, \
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
}

/// New cases. One that was opened before, even if it is closed by now, is left as it is.
pub fn open(cases: &[CaseToOpen], now: Timestamp) -> Write<'_> {
    Rows::of(cases)
        .text("id", |_| CaseId::from(clock::new_id()).to_string())
        .text("case_key", |opened| &opened.case.key)
        .text("kind", |opened| opened.case.kind.as_str())
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
        .written_by(
            "insert into cases (id, case_key, kind, booking_id, event_key, stripe_session_id, payment_intent_id,
                 amount, currency, detail, detail_fr, deadline, created_at)
             select id, case_key, kind, booking_id, event_key, stripe_session_id, payment_intent_id, amount,
                 currency, detail, detail_fr, deadline, now
             from {r} where true on conflict (case_key) do nothing",
        )
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
        let dispute_of = |row: &CaseRow| {
            let mut key = row.case_key.split(':');
            (key.next()? == CaseKind::Dispute.as_str()).then(|| key.next().map(str::to_owned))?
        };
        let ids: Vec<String> = rows.iter().filter_map(dispute_of).collect();
        let mut disputes: HashMap<String, (DisputeStatus, Option<i64>)> = HashMap::new();
        if !ids.is_empty() {
            let sql = format!("select id, status, due_by from disputes where id {}", self.in_list(1));
            let found: Vec<(String, String, Option<i64>)> = on_engine!(self, conn =>
                sqlx::query_as(AssertSqlSafe(sql)).bind(json_array(&ids)).fetch_all(conn).await)?;
            let known = |(id, status, due): (String, String, _)| (id, (DisputeStatus::parse(&status), due));
            disputes.extend(found.into_iter().map(known));
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
                Ok(case)
            })
            .collect()
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
            "update cases set closed_at = $2, closed_by = $3, resolution = $4, note = $5
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
