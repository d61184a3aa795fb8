//! Lists: newest first, filtered, a page at a time.

use super::{Answer, Call};
use crate::error::StripeError;
use crate::model::{Record, Table};
use crate::objects;
use crate::schema::Params;
use serde_json::Value;

/// A page of `table`: those that `keep` lets through, rendered by `show`.
///
/// A cursor names a place in the whole list, and the filter comes after: whoever pages while objects come, go or
/// stop fitting the filter sees no page twice and misses none.
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
    let place = |cursor: &str| match params.text(cursor) {
        None => Ok(None),
        Some(id) => match table.place(id) {
            Some(place) => Ok(Some(place)),
            None => Err(StripeError::no_such(list.what, id, cursor).with_status(400)),
        },
    };
    let (after, before) = (place("starting_after")?, place("ending_before")?);
    let created = Range::of(params, "created");
    let fits = |row: &&T| created.holds(row.created()) && keep(row);
    let (rows, has_more) = match cursor(after, before)? {
        Cursor::None => cut(table.iter().rev().filter(fits), limit(params)),
        Cursor::After(place) => cut(table.older_than(place).filter(fits), limit(params)),
        Cursor::Before(place) => {
            let (mut rows, more) = cut(table.newer_than(place).filter(fits), limit(params));
            rows.reverse();
            (rows, more)
        }
    };
    Ok(objects::list(list.url, rows.into_iter().map(show).collect(), has_more))
}

/// Where a page begins or ends.
enum Cursor<P> {
    None,
    After(P),
    Before(P),
}

fn cursor<P>(after: Option<P>, before: Option<P>) -> Result<Cursor<P>, StripeError> {
    match (after, before) {
        (Some(_), Some(_)) => {
            let message =
                "Received both starting_after and ending_before parameters. Please pass in only one.";
            Err(StripeError::invalid("starting_after", Some("parameters_exclusive"), message))
        }
        (Some(place), None) => Ok(Cursor::After(place)),
        (None, Some(place)) => Ok(Cursor::Before(place)),
        (None, None) => Ok(Cursor::None),
    }
}

fn limit(params: &Params) -> usize {
    params.int("limit").and_then(|n| usize::try_from(n).ok()).unwrap_or(10)
}

/// The first `limit`, and whether there are more.
fn cut<R>(mut rows: impl Iterator<Item = R>, limit: usize) -> (Vec<R>, bool) {
    let page: Vec<R> = rows.by_ref().take(limit).collect();
    (page, rows.next().is_some())
}

/// What a list holds and where it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct List<'a> {
    /// As messages name one: `checkout.session`.
    pub what: &'a str,
    pub url: &'a str,
}

/// Cuts a page out of `rows`, which never change and are in the order of the list.
///
/// # Errors
/// Both cursors, or one that names nothing.
pub(crate) fn paged<'r, R>(
    rows: &'r [R],
    params: &Params,
    list: List<'_>,
    id: impl Fn(&'r R) -> &'r str,
    show: impl Fn(&'r R) -> Value,
) -> Answer {
    let place = |cursor: &str| match params.text(cursor) {
        None => Ok(None),
        Some(wanted) => match rows.iter().position(|row| id(row) == wanted) {
            Some(at) => Ok(Some(at)),
            None => Err(StripeError::no_such(list.what, wanted, cursor).with_status(400)),
        },
    };
    let (after, before) = (place("starting_after")?, place("ending_before")?);
    let (page, has_more) = match cursor(after, before)? {
        Cursor::None => cut(rows.iter(), limit(params)),
        Cursor::After(at) => cut(rows[at + 1..].iter(), limit(params)),
        Cursor::Before(at) => {
            let (mut page, more) = cut(rows[..at].iter().rev(), limit(params));
            page.reverse();
            (page, more)
        }
    };
    Ok(objects::list(list.url, page.into_iter().map(show).collect(), has_more))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::World;
    use proptest::prelude::*;
    use std::collections::HashSet;

    struct Row {
        id: String,
        fits: bool,
    }

    impl Record for Row {
        fn id(&self) -> &str {
            &self.id
        }
        fn created(&self) -> i64 {
            0
        }
    }

    /// What happens between two pages.
    #[derive(Debug, Clone)]
    enum Change {
        Come(bool),
        Flip(usize),
        Go(usize),
    }

    fn change() -> impl Strategy<Value = Change> {
        prop_oneof![
            any::<bool>().prop_map(Change::Come),
            (0..40_usize).prop_map(Change::Flip),
            (0..40_usize).prop_map(Change::Go),
        ]
    }

    fn apply(table: &mut Table<Row>, change: &Change, next: &mut usize) {
        let id = |n: usize| format!("row{n}");
        match change {
            Change::Come(fits) => {
                table.insert(Row { id: id(*next), fits: *fits });
                *next += 1;
            }
            Change::Flip(n) => {
                if let Some(row) = table.get_mut(&id(*n)) {
                    row.fits = !row.fits;
                }
            }
            Change::Go(n) => drop(table.remove(&id(*n))),
        }
    }

    fn ask(table: &Table<Row>, cursor: Option<(&str, &str)>, limit: i64) -> (Vec<String>, bool) {
        let mut params = serde_json::Map::new();
        params.insert("limit".to_owned(), limit.into());
        if let Some((name, id)) = cursor {
            params.insert(name.to_owned(), id.into());
        }
        let call = Call { params: Params::from_map(params), ..Call::default() };
        let list = List { what: "row", url: "/v1/rows" };
        let page = page(table, &call, list, |row| row.fits, |row| Value::from(row.id.as_str())).unwrap();
        let ids = page["data"].as_array().unwrap().iter().map(|id| id.as_str().unwrap().to_owned()).collect();
        (ids, page["has_more"] == true)
    }

    proptest! {
        #[test]
        fn who_pages_while_the_list_changes_sees_nothing_twice_and_misses_nothing(
            first in proptest::collection::vec(any::<bool>(), 0..40),
            changes in proptest::collection::vec(proptest::collection::vec(change(), 0..6), 0..60),
            limit in 1..5_i64,
            backwards in any::<bool>(),
        ) {
            let (mut table, mut next) = (Table::new(1_000), 0);
            for fits in &first {
                apply(&mut table, &Change::Come(*fits), &mut next);
            }
            // Those that are there from the beginning to the end, and fit all the time.
            let mut steady: HashSet<String> = table.iter().filter(|r| r.fits).map(|r| r.id.clone()).collect();
            let name = if backwards { "ending_before" } else { "starting_after" };
            let mut at: Option<String> = None;
            if backwards {
                let Some(oldest) = table.iter().next() else { return Ok(()) };
                at = Some(oldest.id.clone());
                steady.remove(oldest.id.as_str());
            }
            let (mut seen, mut pages) = (Vec::new(), 0);
            let mut changes = changes.into_iter();
            loop {
                let (ids, more) = ask(&table, at.as_deref().map(|id| (name, id)), limit);
                at = if backwards { ids.first() } else { ids.last() }.cloned().or(at);
                seen.extend(ids);
                pages += 1;
                prop_assert!(pages <= 200, "it ends");
                if !more {
                    break;
                }
                for change in changes.next().into_iter().flatten() {
                    apply(&mut table, &change, &mut next);
                    steady.retain(|id| table.get(id).is_some_and(|row| row.fits));
                }
            }
            let distinct: HashSet<&String> = seen.iter().collect();
            prop_assert_eq!(distinct.len(), seen.len(), "nothing twice");
            prop_assert!(steady.iter().all(|id| distinct.contains(id)), "nothing is missed");
        }
    }

    #[test]
    fn a_cursor_that_was_never_there_is_refused() {
        let world = World::new(clock::Clock::system(), String::new(), 1, std::time::Duration::ZERO);
        let params = [("starting_after".to_owned(), Value::from("cus_none"))].into_iter().collect();
        let call = Call { params: Params::from_map(params), ..Call::default() };
        let list = List { what: "customer", url: "/v1/customers" };
        assert_eq!(page(&world.customers, &call, list, |_| true, |_| Value::Null).unwrap_err().status, 400);
    }
}
