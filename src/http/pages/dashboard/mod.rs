//! `/dashboard…`: what the team sees and does. Each page is behind the same guard as the API.

pub mod audit;
pub mod bookings;
pub mod business;
pub mod cases;
pub mod day;
pub mod holds;
pub mod hours;
pub mod ledger;
pub mod metrics;
pub mod offers;
pub mod users;

use super::{FormError, Page, i18n};
use crate::http::bookings::Query;
use axum::response::{IntoResponse, Redirect, Response};
use store::page::Cursor;

/// A named value.
#[derive(Debug)]
pub struct Fact {
    /// What it is.
    pub name: String,
    /// Its text.
    pub value: String,
}

impl Fact {
    fn new(name: &str, value: impl Into<String>) -> Self {
        Self { name: name.to_owned(), value: value.into() }
    }

    /// Whether it is an id, to be shown as one.
    #[must_use]
    pub fn is_code(&self) -> bool {
        self.value.len() > 20 && self.value.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
    }
}

/// A choice of a list.
#[derive(Debug)]
pub struct Choice {
    /// As sent.
    pub value: String,
    /// As read.
    pub name: String,
    /// Whether it is chosen.
    pub chosen: bool,
}

/// The ways to the first and the next page of a list.
#[derive(Debug)]
pub struct Pager {
    /// The first page, if this is not it.
    pub first: Option<String>,
    /// The next page, if there is one.
    pub next: Option<String>,
}

impl Pager {
    fn of(page: &Page, next: Option<&Cursor>) -> Self {
        let others = || page.query.iter().filter(|(name, _)| name != "next" && name != "done");
        let link = |cursor: Option<String>| {
            let mut query = form_urlencoded::Serializer::new(String::new());
            query.extend_pairs(others());
            if let Some(cursor) = cursor {
                query.append_pair("next", &cursor);
            }
            format!("{}?{}", page.path, query.finish())
        };
        let later = page.query.iter().any(|(name, _)| name == "next");
        Self { first: later.then(|| link(None)), next: next.map(|cursor| link(Some(cursor.encode()))) }
    }

    /// Whether there is anything to show.
    #[must_use]
    pub fn shown(&self) -> bool {
        self.first.is_some() || self.next.is_some()
    }
}

/// This page's query, for the same reading and refusing as in the API.
fn query(page: &Page) -> Query {
    let text = form_urlencoded::Serializer::new(String::new()).extend_pairs(&page.query).finish();
    Query::parse(Some(&text))
}

/// What is wrong with the filters in this page's address: told beside them, and nothing is listed, because
/// a misspelt filter must not show everything. `fields` are those that the page has.
fn filter_errors(page: &Page, query: Query, fields: &[&str]) -> Vec<FormError> {
    let faults = query.finish().err().map(|problem| problem.details).unwrap_or_default();
    let mut errors = FormError::of(page.lang, &faults);
    for error in errors.iter_mut().filter(|error| !fields.contains(&error.target.as_str())) {
        error.message = i18n::unknown_filter(page.lang, &error.target);
        error.target.clear();
    }
    errors
}

/// What stands in a filter's field: as it was sent, even if it cannot be used.
fn typed(page: &Page, name: &str) -> String {
    let sent = page.query.iter().rfind(|(sent, _)| sent == name);
    sent.map(|(_, value)| value.clone()).unwrap_or_default()
}

/// What the last action did, told once on the page that it led back to.
fn done(page: &Page, query: &mut Query) -> Option<&'static str> {
    let t = page.t;
    query.take("done", "must be what was done", |word| match word {
        "refund" => Some(t.refund_done),
        "refund_uncertain" => Some(t.refund_uncertain),
        "cancel" => Some(t.cancel_done),
        "replay" => Some(t.replay_done),
        "case" => Some(t.case_done),
        "saved" => Some(t.saved),
        "saved_overfull" => Some(t.saved_overfull),
        _ => None,
    })
}

/// Back to a page after something was done.
fn back(path: &str, done: &str) -> Response {
    Redirect::to(&format!("{path}?done={done}")).into_response()
}
