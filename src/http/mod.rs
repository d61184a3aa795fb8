//! HTTP: extract, call one flow, answer. Every route is on this screen, with who may use it.

pub mod bookings;
pub mod checkout;
pub mod error;
pub mod hold;
pub mod pages;
pub mod request;
pub mod server;
pub mod webhook;

use crate::app::Shared;
use crate::domain::role::Role;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{MethodRouter, get, post};

/// The longest body of a request that is no webhook, in bytes.
pub const MAX_BODY: usize = 16 * 1024;

/// Who may use a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Everybody.
    Public,
    /// Whoever signed the body with the endpoint's secret.
    Stripe,
    /// People who are signed in with this role or a higher one.
    Role(Role),
}

/// A route with its rule: there is no way to add one without.
#[derive(Debug)]
pub struct Route {
    /// `GET`, `POST`, …
    pub method: &'static str,
    /// axum's pattern.
    pub path: &'static str,
    /// Who may use it.
    pub access: Access,
    handler: MethodRouter<Shared>,
}

/// Every route.
#[must_use]
pub fn routes() -> Vec<Route> {
    use Access::{Public, Role as For, Stripe};
    use Role::ReadOnly;
    use pages::{result, storefront};
    vec![
        route(
            "POST",
            "/webhook",
            Stripe,
            post(webhook::receive).layer(DefaultBodyLimit::max(webhook::MAX_BODY)),
        ),
        route("POST", "/create-checkout-session", Public, post(checkout::create)),
        route("POST", "/api/bookings", Public, post(checkout::create)),
        route("GET", "/api/checkout/{session}", Public, get(checkout::status)),
        route("GET", "/reservations", For(ReadOnly), get(bookings::list)),
        route("GET", "/api/bookings", For(ReadOnly), get(bookings::list)),
        route("GET", "/api/bookings/{id}", For(ReadOnly), get(bookings::show)),
        route("GET", "/payments", For(ReadOnly), get(bookings::payments)),
        route("GET", "/", Public, get(storefront::form)),
        route("POST", "/", Public, post(storefront::submit)),
        route("GET", "/slots", Public, get(storefront::slots)),
        route("GET", "/resume", Public, get(storefront::back_to_form)),
        route("POST", "/resume", Public, post(storefront::resume)),
        route("GET", "/success", Public, get(result::success)),
        route("GET", "/cancel", Public, get(result::cancel)),
        route("GET", "/accessibility", Public, get(pages::accessibility)),
        route("GET", "/assets/{version}/{name}", Public, get(pages::assets::serve)),
    ]
}

fn route(method: &'static str, path: &'static str, access: Access, handler: MethodRouter<Shared>) -> Route {
    Route { method, path, access, handler }
}

/// The whole service.
#[must_use]
pub fn router(app: &Shared) -> Router {
    let mut router = Router::new();
    for Route { path, access, handler, .. } in routes() {
        let guarded = match access {
            Access::Public | Access::Stripe => handler,
            // Nobody can sign in yet, so nobody may.
            Access::Role(_) => handler.layer(axum::middleware::from_fn(refuse)),
        };
        router = router.route(path, guarded);
    }
    router
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(axum::middleware::from_fn_with_state(app.clone(), request::observe))
        .with_state(app.clone())
}

async fn refuse(_request: axum::extract::Request, _next: axum::middleware::Next) -> error::Problem {
    error::Problem::new(axum::http::StatusCode::UNAUTHORIZED, "Non authentifié", "Sign in first.")
}
