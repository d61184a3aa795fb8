//! The description of the interface, held against the interface.

use crate::harness::app::Answer;
use crate::harness::people::PASSWORD;
use crate::harness::{Engine, TestApp, TestDatabase};
use checkout_backend::http::openapi::{document, is_page};
use checkout_backend::http::{Access, Route, routes};
use domain::role::Role;
use serde_json::{Value, json};

#[test]
fn every_route_is_described_and_nothing_else() {
    let paths = document()["paths"].as_object().unwrap();
    let described: usize = paths.values().map(|methods| methods.as_object().unwrap().len()).sum();
    assert_eq!(described, routes().len());
    let mut missing = Vec::new();
    for Route { method, path, access, .. } in routes() {
        let operation = &paths[path][method.to_lowercase()];
        let summary = operation["summary"].as_str().unwrap_or_default();
        if summary.is_empty() {
            missing.push(format!("{method} {path}: say in src/http/openapi/operations.rs what it does"));
        }
        assert_eq!(operation.get("security").is_none(), access == Access::Public, "{method} {path}");
        assert!(is_page(path) || operation["tags"][0] != "pages", "{method} {path}");
    }
    assert!(missing.is_empty(), "\n{}", missing.join("\n"));
}

#[test]
fn every_reference_leads_somewhere_and_every_schema_is_used() {
    let text = document().to_string();
    let schemas = document()["components"]["schemas"].as_object().unwrap();
    for reference in text.split("#/components/schemas/").skip(1).filter_map(|rest| rest.split('"').next()) {
        assert!(schemas.contains_key(reference), "{reference}");
    }
    for name in schemas.keys() {
        assert!(text.contains(&format!("#/components/schemas/{name}\"")), "{name} is used nowhere");
    }
}

/// What is answered is what is described: no member more, none less, each of its kind.
#[tokio::test]
async fn answers_have_the_described_shape() {
    let db = TestDatabase::fresh(Engine::Sqlite).await;
    let app = TestApp::start(&db).await;
    let admin = app.person(Role::Admin).await;
    let booking = app.pending_booking().await;
    let event = app.paid("evt_described", &booking, "cs_described");
    check("POST", "/webhook", &app.deliver(&event).await);
    check("POST", "/webhook", &app.deliver_raw("{}", None).await);
    for (route, path) in [
        ("/api/bookings", "/api/bookings?limit=1".to_owned()),
        ("/reservations", "/reservations?status=payé".to_owned()),
        ("/api/bookings/{id}", format!("/api/bookings/{}", booking.id)),
        ("/api/bookings/{id}", "/api/bookings/unknown".to_owned()),
        ("/payments", "/payments".to_owned()),
        ("/payments", "/payments?limit=0".to_owned()),
        ("/api/bookings/{id}/explain", format!("/api/bookings/{}/explain", booking.id)),
        ("/api/events/{id}", "/api/events/evt_described".to_owned()),
        ("/api/offers", "/api/offers".to_owned()),
        ("/api/settings/business", "/api/settings/business".to_owned()),
        ("/auth/me", "/auth/me".to_owned()),
        ("/api/users", "/api/users".to_owned()),
        ("/api/audit", "/api/audit".to_owned()),
        ("/admin/metrics", "/admin/metrics".to_owned()),
        ("/api/checkout/{session}", "/api/checkout/cs_described".to_owned()),
        ("/health", "/health".to_owned()),
        ("/readyz", "/readyz".to_owned()),
        ("/livez", "/livez".to_owned()),
        ("/openapi.json", "/openapi.json".to_owned()),
    ] {
        check("GET", route, &app.get_as(&admin.cookie, &path).await);
    }
    check("POST", "/auth/login", &app.login(&admin.email, PASSWORD).await);
    check("POST", "/auth/login", &app.login(&admin.email, "wrong").await);
    let headers = [("cookie", admin.cookie.as_str())];
    let user = json!({ "email": "new@pay.test", "password": PASSWORD, "role": "OPS" });
    let made = app.post_json("/api/users", &user, &headers).await;
    check("POST", "/api/users", &made);
    check("POST", "/api/users", &app.post_json("/api/users", &user, &headers).await);
    let id = made.json()["user"]["id"].as_str().unwrap().to_owned();
    for (action, body) in [
        ("role", json!({ "role": "READONLY" })),
        ("password", json!({ "password": "another fine one" })),
        ("disable", json!({})),
        ("enable", json!({})),
        ("sign-out", json!({})),
    ] {
        let answer = app.post_json(&format!("/api/users/{id}/{action}"), &body, &headers).await;
        assert_eq!(answer.status, 200, "{action}: {answer:?}");
        check("POST", &format!("/api/users/{{id}}/{action}"), &answer);
    }
    check("POST", "/auth/logout", &app.post_json("/auth/logout", &json!({}), &headers).await);
}

/// S38, S26: the viewer loads nothing from elsewhere and tells nothing that is not public.
#[tokio::test]
async fn the_viewer_is_one_page_of_our_own() {
    let db = TestDatabase::fresh(Engine::Sqlite).await;
    let app = TestApp::start(&db).await;
    let page = app.get("/docs").await;
    assert_eq!(page.status, 200);
    for part in ["/create-checkout-session", "Idempotency-Key", "CheckoutStarted", "/openapi.json"] {
        assert!(page.body.contains(part), "{part}");
    }
    for elsewhere in ["src=\"http", "href=\"http", "@import", "<style", " style=", " onclick="] {
        assert!(!page.body.contains(elsewhere), "{elsewhere}");
    }
}

/// What is answered has the shape that is described for it.
pub(crate) fn check(method: &str, path: &str, answer: &Answer) {
    let responses = &document()["paths"][path][method.to_lowercase()]["responses"];
    let response = responses.get(answer.status.to_string()).unwrap_or(&responses["default"]);
    let media_type = answer.headers["content-type"].to_str().unwrap();
    let schema = &response["content"][media_type]["schema"];
    assert!(schema.is_object(), "{method} {path} {}: no schema for {media_type}", answer.status);
    fits(schema, &answer.json(), &format!("{method} {path} {}", answer.status));
}

fn fits(schema: &Value, value: &Value, place: &str) {
    if let Some(reference) = schema["$ref"].as_str() {
        let name = reference.rsplit('/').next().unwrap();
        return fits(&document()["components"]["schemas"][name], value, place);
    }
    if let Some(choices) = schema["anyOf"].as_array() {
        let choice = if value.is_null() { &choices[1] } else { &choices[0] };
        return fits(choice, value, place);
    }
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_i64() || number.is_u64() => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    assert_eq!(schema["type"], kind, "{place}: {value}");
    if let Some(words) = schema["enum"].as_array() {
        assert!(words.contains(value), "{place}: {value}");
    }
    match value {
        Value::Array(items) => items.iter().for_each(|item| fits(&schema["items"], item, place)),
        Value::Object(members) => {
            let Some(properties) = schema["properties"].as_object() else { return };
            for (name, member) in members {
                let property =
                    properties.get(name).unwrap_or_else(|| panic!("{place}: {name} is not described"));
                fits(property, member, &format!("{place}.{name}"));
            }
            for name in schema["required"].as_array().unwrap() {
                assert!(members.contains_key(name.as_str().unwrap()), "{place}: {name} is missing");
            }
        }
        _ => {}
    }
}
