//! Addresses that Stripe has and that are not simulated: a list of them is empty, because none was ever made here,
//! and anything else is told what it is, so that nobody looks for a mistake of their own.

use super::error::StripeError;
use super::objects;
use serde_json::{Value, json};

/// Every address of the Node library 23.1.0: how it is asked, and where, without `/v1/`.
const ADDRESSES: &str = include_str!("addresses.txt");

/// An address of Stripe's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Address {
    kind: Kind,
    /// `subscriptions/{}`.
    pattern: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    List,
    Search,
    /// By this method.
    Other(&'static str),
}

/// The address that a method and path name, if Stripe has it.
pub(crate) fn find(method: &str, path: &str) -> Option<Address> {
    let asked: Vec<&str> = path.strip_prefix("/v1/")?.split('/').collect();
    ADDRESSES.lines().filter_map(|line| line.split_once(' ')).find_map(|(how, pattern)| {
        let (kind, of) = match how {
            "LIST" => (Kind::List, "GET"),
            "SEARCH" => (Kind::Search, "GET"),
            other => (Kind::Other(other), other),
        };
        let parts = || pattern.split('/');
        let fits = of == method
            && parts().count() == asked.len()
            && parts().zip(&asked).all(|(want, have)| want == *have || (want == "{}" && !have.is_empty()));
        fits.then_some(Address { kind, pattern })
    })
}

impl Address {
    /// An empty list, or what it is that is not simulated.
    ///
    /// # Errors
    /// 404 in words, for anything but a list.
    pub(crate) fn answer(self, path: &str) -> Result<Value, StripeError> {
        match self.kind {
            Kind::List => Ok(objects::list(path, Vec::new(), false)),
            Kind::Search => Ok(search(path, Vec::new(), None)),
            Kind::Other(method) => Err(StripeError::not_simulated(&self.what(), method, path)),
        }
    }

    /// `subscription_schedules/{}/cancel` → `Subscription schedules`.
    fn what(self) -> String {
        let fixed: Vec<&str> = self.pattern.split('/').take_while(|part| *part != "{}").collect();
        let words = fixed.join(" ").replace('_', " ");
        let mut chars = words.chars();
        chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
    }
}

/// What a search answers.
pub(crate) fn search(path: &str, data: Vec<Value>, next: Option<String>) -> Value {
    json!({
        "object": "search_result", "data": data, "has_more": next.is_some(), "next_page": next, "url": path,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_empty_and_all_else_is_named() {
        let answer = |method: &str, path: &str| find(method, path).map(|a| a.answer(path));
        assert_eq!(answer("GET", "/v1/subscriptions").unwrap().unwrap()["data"], json!([]));
        assert_eq!(answer("GET", "/v1/invoices/search").unwrap().unwrap()["object"], "search_result");
        let error = answer("POST", "/v1/subscription_schedules/sub_sched_1/cancel").unwrap().unwrap_err();
        assert!(
            error.message().starts_with("Subscription schedules is not simulated (POST /v1/"),
            "{error:?}"
        );
        assert_eq!(find("GET", "/v1/nope"), None);
        assert_eq!(find("GET", "/v1/subscriptions/"), None);
        assert_eq!(find("GET", "/nope"), None);
    }

    #[test]
    fn every_address_is_readable() {
        assert!(ADDRESSES.lines().count() > 500);
        for line in ADDRESSES.lines() {
            let (how, pattern) = line.split_once(' ').unwrap();
            assert!(
                ["LIST", "SEARCH", "GET", "POST", "DELETE"].contains(&how) && !pattern.is_empty(),
                "{line}"
            );
        }
    }
}
