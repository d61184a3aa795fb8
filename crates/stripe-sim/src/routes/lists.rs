//! Lists: newest first, filtered, a page at a time.

use super::{Answer, Call};
use crate::error::StripeError;
use crate::model::{Record, Table};
use crate::objects;
use crate::schema::Params;
use serde_json::Value;

/// A page of `table`: those that `keep` lets through, rendered by `show`.
///
/// # Errors
/// Both cursors, or a cursor that names nothing.
pub(crate) fn page<T: Record>(
    table: &Table<T>,
    call: &Call,
    list: List<'_>,
    keep: impl Fn(&T) -> bool,
    show: impl Fn(&T) -> Value,
) -> Answer {
    let params = &call.params;
    for cursor in ["starting_after", "ending_before"] {
        if let Some(id) = params.text(cursor).filter(|id| table.get(id).is_none()) {
            return Err(StripeError::no_such(list.what, id, cursor).with_status(400));
        }
    }
    let created = Range::of(params, "created");
    let newest_first =
        table.iter().rev().filter(|row| created.holds(row.created()) && keep(row)).collect::<Vec<_>>();
    paged(&newest_first, params, list.url, |row| row.id(), |row| show(row))
}

/// What a list holds and where it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct List<'a> {
    /// As messages name one: `checkout.session`.
    pub what: &'a str,
    pub url: &'a str,
}

/// Cuts a page out of `rows`, which are newest first.
///
/// # Errors
/// Both cursors are given.
pub(crate) fn paged<'r, R>(
    rows: &'r [R],
    params: &Params,
    url: &str,
    id: impl Fn(&'r R) -> &'r str,
    show: impl Fn(&'r R) -> Value,
) -> Answer {
    let limit = params.int("limit").and_then(|n| usize::try_from(n).ok()).unwrap_or(10);
    let (after, before) = (params.text("starting_after"), params.text("ending_before"));
    if after.is_some() && before.is_some() {
        let message = "Received both starting_after and ending_before parameters. Please pass in only one.";
        return Err(StripeError::invalid("starting_after", Some("parameters_exclusive"), message));
    }
    let position = |wanted: &str| rows.iter().position(|row| id(row) == wanted);
    let (slice, has_more) = match (after, before) {
        (_, Some(before)) => {
            let end = position(before).unwrap_or(0);
            let start = end.saturating_sub(limit);
            (&rows[start..end], start > 0)
        }
        (after, None) => {
            let start = after.and_then(position).map_or(0, |at| at + 1);
            let end = start.saturating_add(limit).min(rows.len());
            (&rows[start..end], end < rows.len())
        }
    };
    Ok(objects::list(url, slice.iter().map(show).collect(), has_more))
}

/// `created[gte]` and its kin.
#[derive(Debug, Default)]
pub(crate) struct Range {
    at_least: Option<i64>,
    at_most: Option<i64>,
}

impl Range {
    pub(crate) fn of(params: &Params, name: &str) -> Self {
        let bounds = params.object(name);
        let stricter = |a: Option<i64>, b: Option<i64>, pick: fn(i64, i64) -> i64| match (a, b) {
            (Some(a), Some(b)) => Some(pick(a, b)),
            (a, b) => a.or(b),
        };
        Self {
            at_least: stricter(bounds.int("gte"), bounds.int("gt").map(|n| n.saturating_add(1)), i64::max),
            at_most: stricter(bounds.int("lte"), bounds.int("lt").map(|n| n.saturating_sub(1)), i64::min),
        }
    }

    pub(crate) fn holds(&self, at: i64) -> bool {
        self.at_least.is_none_or(|least| at >= least) && self.at_most.is_none_or(|most| at <= most)
    }
}

/// Whether a filter that was not given, or fits.
pub(crate) fn fits(params: &Params, name: &str, value: Option<&str>) -> bool {
    params.text(name).is_none_or(|wanted| value == Some(wanted))
}
