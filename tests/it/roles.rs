//! Who may use which route: every route times everybody, made from the router's own table.

use crate::harness::people::Person;
use crate::harness::{TestApp, TestDatabase, on_each_engine};
use checkout_backend::flow::accounts::Actor;
use checkout_backend::http::{Access, Route, routes};
use domain::role::Role;
use reqwest::Method;

on_each_engine! {
    every_route_lets_through_whom_it_should_and_nobody_else,
}

/// S17
async fn every_route_lets_through_whom_it_should_and_nobody_else(db: TestDatabase) {
    let app = TestApp::start(&db).await;
    let admin = app.person(Role::Admin).await;
    let disabled = app.person(Role::Admin).await;
    app.app.accounts.set_active(disabled.id, false, Actor::CLI).await.unwrap();
    let people: [(&str, Option<Person>, Option<Role>); 5] = [
        ("nobody", None, None),
        ("READONLY", Some(app.person(Role::ReadOnly).await), Some(Role::ReadOnly)),
        ("OPS", Some(app.person(Role::Ops).await), Some(Role::Ops)),
        ("ADMIN", Some(admin), Some(Role::Admin)),
        ("disabled", Some(disabled), None),
    ];
    let mut wrong = Vec::new();
    for Route { method, path, access, .. } in routes() {
        for (name, person, role) in &people {
            // Everybody may sign out, but the test still needs the session.
            let person = person.as_ref().filter(|_| !path.contains("logout"));
            let cookie = person.map(|person| person.cookie.as_str());
            let status = ask(&app, method, path, cookie).await;
            let right = match (access, role) {
                (Access::Public, _) => ![401, 403].contains(&status),
                // Nothing is signed, so nobody gets further than the signature.
                (Access::Stripe, _) => status == 400,
                (Access::Metrics, _) => status == 200,
                (Access::Role(_), None) => status == 401,
                (Access::Role(needed), Some(role)) if !role.allows(needed) => status == 403,
                (Access::Role(_), Some(_)) => ![401, 403].contains(&status),
            };
            if !right || status >= 500 {
                wrong.push(format!("{method} {path} ({access:?}) answered {name} with {status}"));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn what_moves_money_or_people_is_for_administrators() {
    for Route { method, path, access, .. } in routes() {
        let changes = method != "GET";
        if path.starts_with("/api/users") || path.contains("audit") || path.contains("refund") {
            assert_eq!(access, Access::Role(Role::Admin), "{method} {path}");
        }
        if changes && path.starts_with("/api/") && path != "/api/bookings" {
            assert!(matches!(access, Access::Role(Role::Ops | Role::Admin)), "{method} {path}: {access:?}");
        }
    }
}

async fn ask(app: &TestApp, method: &str, path: &str, cookie: Option<&str>) -> u16 {
    let path = path
        .replace("{session}", "cs_test_nowhere")
        .replace("{version}", "0")
        .replace("{name}", "nothing.css")
        .replace("{action}", "nothing")
        .replace("{code}", "AAAAAA")
        .replace("{id}", "01890000-0000-7000-8000-000000000000");
    assert!(!path.contains('{'), "give {path} a value here");
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    let mut request = app.http.request(method.clone(), format!("{}{path}", app.url));
    if method != Method::GET {
        request = request.header("content-type", "application/json").body("{}");
    }
    if let Some(cookie) = cookie {
        request = request.header("cookie", cookie);
    }
    request.send().await.unwrap().status().as_u16()
}
