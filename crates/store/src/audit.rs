//! Who did what.

use super::page::{Cursor, Page, PageRequest};
use super::{StoreError, Tx};
use clock::Timestamp;

/// One thing that somebody did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRecord {
    /// Its id.
    pub id: String,
    /// When.
    pub at: Timestamp,
    /// A user's e-mail address, `cli`, or `system`.
    pub actor: String,
    /// What, as a stable word.
    pub action: String,
    /// To what.
    pub subject: String,
    /// The particulars, without secrets.
    pub detail: String,
    /// The request, if it was one.
    pub request_id: Option<String>,
}

#[derive(sqlx::FromRow)]
struct AuditRow {
    id: String,
    at: i64,
    actor: String,
    action: String,
    subject: String,
    detail: String,
    request_id: Option<String>,
}

impl AuditRow {
    fn into_record(self) -> AuditRecord {
        let Self { id, at, actor, action, subject, detail, request_id } = self;
        AuditRecord { id, at: Timestamp::from_micros(at), actor, action, subject, detail, request_id }
    }
}

impl Tx {
    /// Adds a line to the audit log.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn audit(
        &mut self,
        at: Timestamp,
        actor: &str,
        action: &str,
        subject: &str,
        detail: &str,
        request_id: Option<&str>,
    ) -> Result<(), StoreError> {
        on_engine!(self, conn => sqlx::query(
            "insert into audit_log (id, at, actor, action, subject, detail, request_id)
             values ($1, $2, $3, $4, $5, $6, $7)")
            .bind(clock::new_id().to_string())
            .bind(at.as_micros())
            .bind(actor)
            .bind(action)
            .bind(subject)
            .bind(detail)
            .bind(request_id)
            .execute(conn)
            .await
            .map(drop))?;
        Ok(())
    }

    /// The audit log, newest first.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn list_audit(&mut self, page: &PageRequest) -> Result<Page<AuditRecord>, StoreError> {
        let rows: Vec<AuditRow> = on_engine!(self, conn => sqlx::query_as(
                "select id, at, actor, action, subject, detail, request_id from audit_log
                 where id < $1 order by id desc limit $2")
                .bind(page.below())
                .bind(page.fetch())
                .fetch_all(conn)
                .await)?;
        let records = rows.into_iter().map(AuditRow::into_record).collect();
        Ok(page.finish(records, |record| Cursor(record.id.clone())))
    }

    /// What was done to `subject`, oldest first; at most 200 lines.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn audit_of(&mut self, subject: &str) -> Result<Vec<AuditRecord>, StoreError> {
        let rows: Vec<AuditRow> = on_engine!(self, conn =>
            sqlx::query_as(
                "select id, at, actor, action, subject, detail, request_id from audit_log
                 where subject = $1 order by at, id limit 200")
                .bind(subject)
                .fetch_all(conn)
                .await)?;
        Ok(rows.into_iter().map(AuditRow::into_record).collect())
    }
}
