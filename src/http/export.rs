//! `GET /api/bookings.csv` and `GET /api/payments.csv`: a month for a spreadsheet, sent as it is read.

use super::bookings::Query;
use super::error::Problem;
use crate::app::Shared;
use crate::flow::export::Export;
use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use domain::Fault;
use domain::export::Month;
use futures_util::stream;

/// The bookings whose slots lie in a month.
pub async fn bookings(State(app): State<Shared>, RawQuery(query): RawQuery) -> Result<Response, Problem> {
    let (month, name) = month(query.as_deref())?;
    send(Export::bookings(app, month).await?, &format!("bookings-{name}.csv")).await
}

/// What came in and went out in a month.
pub async fn payments(State(app): State<Shared>, RawQuery(query): RawQuery) -> Result<Response, Problem> {
    let (month, name) = month(query.as_deref())?;
    let export = Export::movements(app, month).await?.ok_or_else(no_month)?;
    send(export, &format!("payments-{name}.csv")).await
}

fn month(query: Option<&str>) -> Result<(Month, String), Problem> {
    let mut query = Query::parse(query);
    let month = query.take("month", MONTH, |text| Month::parse(text).map(|month| (month, text.to_owned())));
    query.finish()?;
    let required = || Problem::invalid(vec![Fault::coded("month", "required", "is required, as YYYY-MM")]);
    month.ok_or_else(required)
}

const MONTH: &str = "must be a month as YYYY-MM";

fn no_month() -> Problem {
    Problem::fault("month", MONTH)
}

/// The first lines are read before anything is answered: a database that is away is told by the status.
async fn send(mut export: Export, name: &str) -> Result<Response, Problem> {
    let mut first = export.head();
    first.extend(export.next().await?.unwrap_or_default());
    let rest = stream::unfold(export, async |mut export| {
        let lines = export.next().await.transpose()?;
        Some((lines, export))
    });
    let first = stream::iter([Ok(first)]);
    let body = Body::from_stream(stream::StreamExt::chain(first, rest));
    let headers = [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8; header=present".to_owned()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")),
    ];
    Ok((StatusCode::OK, headers, body).into_response())
}
