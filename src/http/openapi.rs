//! `GET /openapi.json` and `GET /docs`: the interface, described from the router's own table.
//!
//! Methods, paths and who may use them come from [`super::routes`], so they cannot be wrong; what a
//! route does, takes and answers stands in [`operations`] and [`schemas`], and a test holds real
//! answers against it.

mod operations;
mod schemas;

use super::pages::Page;
use super::{Access, Route, routes};
use askama::Template;
use axum::Json;
use axum::response::Response;
use operations::{Operation, operation};
use serde_json::{Map, Value, json};
use std::sync::LazyLock;

/// The whole document.
static DOCUMENT: LazyLock<Value> = LazyLock::new(make);

/// OpenAPI 3.1.
#[must_use]
pub fn document() -> &'static Value {
    &DOCUMENT
}

/// `GET /openapi.json`
pub async fn json() -> Json<&'static Value> {
    Json(document())
}

/// Whether a route is a page for people, with no interface beyond its forms.
#[must_use]
pub fn is_page(path: &str) -> bool {
    const PAGES: [&str; 16] = [
        "/",
        "/slots",
        "/day",
        "/resume",
        "/success",
        "/cancel",
        "/accessibility",
        "/terms",
        "/cancellation",
        "/privacy",
        "/legal",
        "/login",
        "/logout",
        "/docs",
        "/favicon.ico",
        "/robots.txt",
    ];
    PAGES.contains(&path)
        || path.starts_with("/dashboard")
        || path.starts_with("/b/")
        || path.starts_with("/assets/")
}

fn make() -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for Route { method, path, access, .. } in routes() {
        let described = if is_page(path) { Operation::page() } else { operation(method, path) };
        let entry = paths.entry(path).or_insert_with(|| json!({}));
        entry[method.to_ascii_lowercase()] = describe(method, path, access, &described);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "checkout-backend",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Bookings paid through Stripe Checkout. Errors are RFC 9457 problems. Lists are read page \
                            by page: give meta.next as the parameter next.",
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "tags": operations::TAGS.iter().map(|(name, text)| json!({ "name": name, "description": text })).collect::<Vec<_>>(),
        "paths": paths,
        "components": {
            "schemas": schemas::schemas(),
            "securitySchemes": {
                "session": {
                    "type": "apiKey", "in": "cookie", "name": super::auth::COOKIE,
                    "description": "Set by POST /auth/login. Changes must come from this site or from no browser.",
                },
                "stripe": {
                    "type": "apiKey", "in": "header", "name": "Stripe-Signature",
                    "description": "HMAC-SHA256 of the raw body, as Stripe signs.",
                },
                "metrics": { "type": "http", "scheme": "bearer", "description": "METRICS_TOKEN." },
            },
        },
    })
}

fn describe(method: &str, path: &str, access: Access, described: &Operation) -> Value {
    let mut operation = json!({
        "operationId": operation_id(method, path),
        "tags": [described.tag],
        "summary": described.summary,
        "description": who(access),
        "responses": responses(method, path, access, described),
    });
    let in_path = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let in_path = in_path
        .map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }));
    let others = described.parameters.iter().map(|name| operations::parameter(name));
    let parameters: Vec<Value> = in_path.chain(others).collect();
    if !parameters.is_empty() {
        operation["parameters"] = parameters.into();
    }
    if let Some(body) = described.body {
        operation["requestBody"] =
            json!({ "required": !described.body_is_optional, "content": content("application/json", body) });
    }
    match access {
        Access::Public => {}
        Access::Stripe => operation["security"] = json!([{ "stripe": [] }]),
        Access::Metrics => operation["security"] = json!([{ "metrics": [] }, {}]),
        Access::Role(_) => operation["security"] = json!([{ "session": [] }]),
    }
    operation
}

fn who(access: Access) -> String {
    match access {
        Access::Public => "For everybody.".to_owned(),
        Access::Stripe => "For Stripe: the body must be signed.".to_owned(),
        Access::Metrics => "With METRICS_TOKEN, or without one from the same machine.".to_owned(),
        Access::Role(role) => format!("For people who are signed in as {role} or higher."),
    }
}

fn responses(method: &str, path: &str, access: Access, described: &Operation) -> Value {
    let mut all = Map::new();
    for (status, text, schema) in described.answers {
        let mut answer = json!({ "description": text });
        if let Some(schema) = schema {
            let problem = *schema == "Problem";
            let media_type = if problem { "application/problem+json" } else { described.media_type };
            answer["content"] = content(media_type, schema);
        }
        all.insert(status.to_string(), answer);
    }
    let mut problem = |status: &str, text: &str| {
        let answer =
            json!({ "description": text, "content": content("application/problem+json", "Problem") });
        all.entry(status).or_insert(answer);
    };
    if matches!(access, Access::Role(_) | Access::Metrics) {
        problem("401", "Nobody is signed in, or the token is wrong.");
        problem("403", "The role does not allow it, or another site asked for a change.");
    }
    if path.contains('{') {
        problem("404", "There is no such thing.");
    }
    if method != "GET" || !described.parameters.is_empty() {
        problem("400", "Something in the request is wrong; details names each member.");
    }
    problem("default", "Anything else. A 5xx is worth another try; its cause is in the log under requestId.");
    Value::Object(all)
}

fn content(media_type: &str, schema: &str) -> Value {
    let schema = match schema {
        "text" => json!({ "type": "string" }),
        name => json!({ "$ref": format!("#/components/schemas/{name}") }),
    };
    json!({ media_type: { "schema": schema } })
}

/// `GET /api/bookings/{id}` becomes `getApiBookingsId`.
fn operation_id(method: &str, path: &str) -> String {
    let words = path.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.fold(method.to_ascii_lowercase(), |mut id, word| {
        let (first, rest) = word.split_at(1);
        id.push_str(&first.to_ascii_uppercase());
        id.push_str(rest);
        id
    })
}

#[derive(Template)]
#[template(path = "docs.html")]
struct Docs {
    page: Page,
    groups: Vec<DocGroup>,
    schemas: Vec<(String, String)>,
}

struct DocGroup {
    name: &'static str,
    text: &'static str,
    operations: Vec<DocOperation>,
}

struct DocOperation {
    method: String,
    path: String,
    summary: String,
    who: String,
    /// What it takes: name, where, meaning.
    takes: Vec<(String, String, String)>,
    /// What it answers: status, meaning, schema.
    answers: Vec<(String, String, String)>,
}

/// `GET /docs`: the same document for eyes, made here, so that nothing is loaded from elsewhere.
pub async fn docs(page: Page) -> Response {
    let mut groups: Vec<DocGroup> =
        operations::TAGS.iter().map(|(name, text)| DocGroup { name, text, operations: Vec::new() }).collect();
    for (path, methods) in document()["paths"].as_object().into_iter().flatten() {
        for (method, operation) in methods.as_object().into_iter().flatten() {
            let group = groups.iter_mut().find(|group| operation["tags"][0] == group.name);
            if let Some(group) = group {
                group.operations.push(doc_operation(method, path, operation));
            }
        }
    }
    groups.retain(|group| !group.operations.is_empty());
    let pretty = |schema: &Value| serde_json::to_string_pretty(schema).unwrap_or_default();
    let schemas = document()["components"]["schemas"].as_object().into_iter().flatten();
    let schemas = schemas.map(|(name, schema)| (name.clone(), pretty(schema))).collect();
    let template = Docs { groups, schemas, page };
    template.page.show(&template)
}

fn doc_operation(method: &str, path: &str, operation: &Value) -> DocOperation {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let schema_of = |content: &Value| {
        let schema =
            content.as_object().and_then(|content| content.values().next()).map(|media| &media["schema"]);
        let reference = schema.and_then(|schema| schema["$ref"].as_str()).unwrap_or_default();
        reference.rsplit('/').next().unwrap_or_default().to_owned()
    };
    let mut takes: Vec<_> = operation["parameters"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|parameter| (text(&parameter["name"]), text(&parameter["in"]), text(&parameter["description"])))
        .collect();
    if operation.get("requestBody").is_some() {
        takes.push((schema_of(&operation["requestBody"]["content"]), "body".to_owned(), String::new()));
    }
    let answers = operation["responses"].as_object().into_iter().flatten();
    DocOperation {
        method: method.to_ascii_uppercase(),
        path: path.to_owned(),
        summary: text(&operation["summary"]),
        who: text(&operation["description"]),
        takes,
        answers: answers
            .map(|(status, answer)| {
                (status.clone(), text(&answer["description"]), schema_of(&answer["content"]))
            })
            .collect(),
    }
}
