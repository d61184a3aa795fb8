//! `/dashboard/audit`: who did what.

use super::{Page, Pager, query};
use crate::app::Shared;
use crate::http::error::Problem;
use crate::http::pages::format;
use askama::Template;
use axum::extract::State;
use axum::response::Response;

#[derive(Template)]
#[template(path = "dashboard/audit.html")]
struct Audit {
    page: Page,
    rows: Vec<Row>,
    pager: Pager,
}

struct Row {
    at: String,
    actor: String,
    action: String,
    subject: String,
    detail: String,
}

/// The log, newest first.
pub async fn list(State(app): State<Shared>, page: Page) -> Result<Response, Problem> {
    let mut query = query(&page);
    let wanted = query.page();
    query.finish()?;
    let mut tx = app.store.read().await?;
    let records = tx.list_audit(&wanted).await?;
    tx.rollback().await?;
    let pager = Pager::of(&page, records.next.as_ref());
    let row = |record: store::audit::AuditRecord| Row {
        at: format::moment(page.lang, &app.config.timezone, record.at),
        actor: record.actor,
        action: record.action,
        subject: record.subject,
        detail: record.detail,
    };
    let rows = records.items.into_iter().map(row).collect();
    let audit = Audit { rows, pager, page };
    Ok(audit.page.show(&audit))
}
