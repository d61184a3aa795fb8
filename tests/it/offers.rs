//! What can be booked, saved by an ADMIN: checked when it is saved, not when a customer pays.

use crate::harness::{TestApp, TestDatabase, on_each_engine};
use domain::role::Role;
use serde_json::{Value, json};

on_each_engine! {
    every_fault_of_an_offer_is_named_at_once,
    prices_that_stripe_would_refuse_are_refused_when_they_are_saved,
}

async fn every_fault_of_an_offer_is_named_at_once(db: TestDatabase) {
    let app = TestApp::start(&db).await;
    let admin = app.person(Role::Admin).await;
    let cookie = ("cookie", admin.cookie.as_str());
    for (body, expected) in [
        (
            json!({ "name": "", "amount": 49, "currency": "eur", "capacity": 0, "grid": ["9:00", "25:00"], "colour": "red" }),
            vec!["amount", "capacity", "colour", "grid", "grid", "name"],
        ),
        (
            json!({ "name": 5, "amount": "60", "currency": "euro", "capacity": 1001, "active": "yes", "grid": "09:00" }),
            vec!["active", "amount", "capacity", "currency", "grid", "name"],
        ),
        (
            json!({ "amount": -1, "currency": "xxx", "capacity": 1.5 }),
            vec!["amount", "capacity", "currency", "name"],
        ),
        (json!({}), vec!["amount", "currency", "name"]),
    ] {
        let answer = app.post_json("/api/offers", &body, &[cookie]).await;
        assert_eq!(answer.status, 400, "{body}");
        let details = answer.json()["details"].as_array().unwrap().clone();
        let mut paths: Vec<_> = details.iter().map(|fault| fault["path"].as_str().unwrap()).collect();
        paths.sort_unstable();
        assert_eq!(paths, expected, "{body}");
        assert!(details.iter().all(|fault| !fault["message"].as_str().unwrap().is_empty()), "{details:?}");
    }
    assert_eq!(db.number("select count(*) from offers").await, 1, "nothing was saved");
}

async fn prices_that_stripe_would_refuse_are_refused_when_they_are_saved(db: TestDatabase) {
    let app = TestApp::start(&db).await;
    let admin = app.person(Role::Admin).await;
    let cookie = ("cookie", admin.cookie.as_str());
    for (currency, amount, saved) in [
        ("EUR", 50, true),
        ("eur", 49, false),
        ("eur", 99_999_999_i64, true),
        ("eur", 100_000_000, false),
        ("jpy", 50, true),
        ("jpy", 49, false),
        ("kwd", 1250, true),
        ("kwd", 1255, false),
        ("isk", 10_000, true),
        ("isk", 10_050, false),
        ("ugx", 150, false),
        ("idr", 999_999_999_999, true),
        ("idr", 1_000_000_000_000, false),
    ] {
        let body = json!({ "name": "Atelier", "amount": amount, "currency": currency });
        let answer = app.post_json("/api/offers", &body, &[cookie]).await;
        assert_eq!(answer.status, if saved { 201 } else { 400 }, "{amount} {currency}: {}", answer.body);
        if !saved {
            let path: Value = answer.json()["details"][0]["path"].clone();
            assert_eq!(path, "amount", "{amount} {currency}");
        }
    }
}
