//! Whom to tell of cases, and whether they were told.

use super::engine::{Rows, json_array};
use super::outbox::Target;
use super::row::parse;
use super::{StoreError, Tx};
use clock::Timestamp;
use domain::ids::CaseId;
use domain::notice::{BEFORE_DEADLINE, CaseNotice};
use sqlx::AssertSqlSafe;
use std::time::Duration;

/// That somebody is to be told of a case.
#[derive(Debug, Clone)]
pub struct Notice {
    /// Its id.
    pub id: String,
    /// Of which case.
    pub case: CaseId,
    /// What.
    pub what: CaseNotice,
    /// Who is told.
    pub target: Target,
    /// How often it was tried.
    pub tries: i32,
    /// When it was planned.
    pub created_at: Timestamp,
}

type NoticeRow = (String, String, String, String, i32, i64);

impl Tx {
    /// Plans that each of `targets` is told of cases that nobody was chosen for yet, and of deadlines that are near;
    /// at most `most` of each. Returns of how many.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn plan_notices(
        &mut self,
        targets: &[Target],
        now: Timestamp,
        most: i64,
    ) -> Result<usize, StoreError> {
        let mut planned = 0;
        for what in CaseNotice::ALL {
            let locked = self.for_update_skip_locked();
            let (column, ids): (_, Vec<String>) = match what {
                CaseNotice::Opened => {
                    let sql =
                        format!("select id from cases where told_at is null order by id limit $1 {locked}");
                    let ids = on_engine!(self, conn => sqlx::query_scalar(AssertSqlSafe(sql))
                        .bind(most)
                        .fetch_all(conn)
                        .await)?;
                    ("told_at", ids)
                }
                CaseNotice::Deadline => {
                    let sql = format!(
                        "select id from cases
                         where closed_at is null and kind = 'dispute' and deadline_told_at is null
                           and exists (select 1 from disputes d
                                       where d.id = cases.subject and d.due_by > $1 and d.due_by <= $2)
                         order by id limit $3 {locked}"
                    );
                    let ids = on_engine!(self, conn => sqlx::query_scalar(AssertSqlSafe(sql))
                        .bind(now.as_micros())
                        .bind(now.plus(BEFORE_DEADLINE).as_micros())
                        .bind(most)
                        .fetch_all(conn)
                        .await)?;
                    ("deadline_told_at", ids)
                }
            };
            if ids.is_empty() {
                continue;
            }
            let told = targets.iter().flat_map(|target| ids.iter().map(move |id| (id, *target)));
            let now = now.as_micros();
            let rows = Rows::of(told)
                .text("id", |_| clock::new_id().to_string())
                .text("case_id", |(case, _)| case.as_str())
                .text("what", |_| what.as_str())
                .text("target", |(_, target)| target.as_str())
                .bigint("now", |_| now);
            self.write([rows.written_by(
                "insert into case_notices (id, case_id, what, target, state, tries, next_try_at, created_at)
                 select id, case_id, what, target, 'pending', 0, now, now from {r} where true
                 on conflict (case_id, what, target) do nothing",
            )])
            .await?;
            let sql = format!("update cases set {column} = $2 where id {}", self.in_list(1));
            on_engine!(self, conn => sqlx::query(AssertSqlSafe(sql))
                .bind(json_array(&ids))
                .bind(now)
                .execute(conn)
                .await
                .map(drop))?;
            planned += ids.len();
        }
        Ok(planned)
    }

    /// Notices that are due, oldest first, put off by `lease`.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn take_due_notices(
        &mut self,
        now: Timestamp,
        lease: Duration,
        most: i64,
    ) -> Result<Vec<Notice>, StoreError> {
        let sql = format!(
            "update case_notices set next_try_at = $2
             where id in (select id from case_notices
                          where next_try_at is not null and next_try_at <= $1
                          order by next_try_at limit $3 {})
             returning id, case_id, what, target, tries, created_at",
            self.for_update_skip_locked()
        );
        let rows: Vec<NoticeRow> = on_engine!(self, conn => sqlx::query_as(AssertSqlSafe(sql))
            .bind(now.as_micros())
            .bind(now.plus(lease).as_micros())
            .bind(most)
            .fetch_all(conn)
            .await)?;
        let mut notices = rows
            .into_iter()
            .map(|(id, case, what, target, tries, created_at)| {
                Ok(Notice {
                    id,
                    case: parse("case_notices.case_id", &case, |text| CaseId::parse(text).ok())?,
                    what: parse("case_notices.what", &what, CaseNotice::parse)?,
                    target: parse("case_notices.target", &target, Target::parse)?,
                    tries,
                    created_at: Timestamp::from_micros(created_at),
                })
            })
            .collect::<Result<Vec<_>, StoreError>>()?;
        notices.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
        Ok(notices)
    }
}
