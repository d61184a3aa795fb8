//! HTTP: extract, call one flow, answer. Every route is on this screen, with who may use it.

pub mod auth;
pub mod bookings;
pub mod business_api;
pub mod cases;
pub mod checkout;
pub mod error;
pub mod events_api;
pub mod export;
pub mod health;
pub mod hold;
pub mod holds;
pub mod hours_api;
pub mod limit;
pub mod metrics;
pub mod offers_api;
pub mod openapi;
pub mod pages;
pub mod refunds;
pub mod request;
pub mod security;
pub mod server;
pub mod users;
pub mod webhook;

use crate::app::Shared;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodRouter, get, patch, post, put};
use domain::role::Role;
use limit::Limits;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;

/// The longest body of a request that is no webhook, in bytes.
pub const MAX_BODY: usize = 16 * 1024;

/// Who may use a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Everybody.
    Public,
    /// Whoever signed the body with the endpoint's secret.
    Stripe,
    /// Programs with the token of `METRICS_TOKEN`, or without one those on the same machine.
    Metrics,
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
    use Access::{Metrics, Public, Role as For, Stripe};
    use Role::{Admin, Ops, ReadOnly};
    use pages::{booking, dashboard, login, result, storefront};
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
        route("GET", "/api/bookings.csv", For(Admin), get(export::bookings)),
        route("GET", "/api/payments.csv", For(Admin), get(export::payments)),
        route("GET", "/api/bookings/{id}", For(ReadOnly), get(bookings::show)),
        route("GET", "/api/bookings/{id}/explain", For(ReadOnly), get(refunds::explain)),
        route("POST", "/api/bookings/{id}/refund", For(Admin), post(refunds::refund)),
        route("POST", "/api/bookings/{id}/cancel", For(Admin), post(refunds::cancel)),
        route("POST", "/api/holds/release", For(Ops), post(holds::release)),
        route("GET", "/payments", For(ReadOnly), get(bookings::payments)),
        route("GET", "/api/events/{id}", For(ReadOnly), get(events_api::show)),
        route("POST", "/api/events/{id}/replay", For(Ops), post(events_api::replay)),
        route("POST", "/api/reconcile", For(Ops), post(events_api::reconcile)),
        route("GET", "/api/cases", For(Ops), get(cases::list)),
        route("GET", "/api/cases/{id}", For(Ops), get(cases::show)),
        route("POST", "/api/cases/{id}/{action}", For(Ops), post(cases::act)),
        route("GET", "/api/offers", Public, get(offers_api::list)),
        route("GET", "/api/slots", Public, get(hours_api::slots)),
        route("GET", "/api/hours", For(Admin), get(hours_api::house)),
        route("PUT", "/api/hours", For(Admin), put(hours_api::set_house)),
        route("GET", "/api/offers/{id}/hours", For(Admin), get(hours_api::own)),
        route("PUT", "/api/offers/{id}/hours", For(Admin), put(hours_api::set_own)),
        route("GET", "/api/settings/business", For(ReadOnly), get(business_api::show)),
        route(
            "PUT",
            "/api/settings/business",
            For(Admin),
            put(business_api::set).layer(DefaultBodyLimit::max(business_api::MAX_BODY)),
        ),
        route("POST", "/api/offers", For(Admin), post(offers_api::create)),
        route("GET", "/api/offers/{id}", For(Admin), get(offers_api::show)),
        route("PUT", "/api/offers/{id}", For(Admin), put(offers_api::update)),
        route("PATCH", "/api/offers/{id}", For(Admin), patch(offers_api::update)),
        route("GET", "/", Public, get(storefront::form)),
        route("POST", "/", Public, post(storefront::submit)),
        route("GET", "/slots", Public, get(storefront::slots)),
        route("GET", "/day", Public, get(storefront::back_to_form)),
        route("POST", "/day", Public, post(storefront::another_day)),
        route("GET", "/resume", Public, get(storefront::back_to_form)),
        route("POST", "/resume", Public, post(storefront::resume)),
        route("GET", "/success", Public, get(result::success)),
        route("GET", "/cancel", Public, get(result::cancel)),
        route("GET", "/b/{code}", Public, get(booking::show)),
        route("GET", "/b/{code}/calendar.ics", Public, get(booking::calendar)),
        route("GET", "/accessibility", Public, get(pages::accessibility)),
        route("GET", "/terms", Public, get(pages::shop::document)),
        route("GET", "/cancellation", Public, get(pages::shop::document)),
        route("GET", "/privacy", Public, get(pages::shop::document)),
        route("GET", "/legal", Public, get(pages::shop::document)),
        route("GET", "/favicon.ico", Public, get(pages::assets::favicon)),
        route("GET", "/robots.txt", Public, get(pages::assets::robots)),
        route("GET", "/assets/{version}/{name}", Public, get(pages::assets::serve)),
        route("GET", "/login", Public, get(login::form)),
        route("POST", "/login", Public, post(login::submit)),
        route("POST", "/logout", Public, post(login::sign_out)),
        route("GET", "/dashboard", For(ReadOnly), get(dashboard::bookings::list)),
        route("GET", "/dashboard/day", For(ReadOnly), get(dashboard::day::show)),
        route("GET", "/dashboard/bookings/{id}", For(ReadOnly), get(dashboard::bookings::show)),
        route("POST", "/dashboard/bookings/{id}/refund", For(Admin), post(dashboard::bookings::refund)),
        route("POST", "/dashboard/bookings/{id}/cancel", For(Admin), post(dashboard::bookings::cancel)),
        route("GET", "/dashboard/holds", For(Ops), get(dashboard::holds::form)),
        route("POST", "/dashboard/holds", For(Ops), post(dashboard::holds::release)),
        route("GET", "/dashboard/ledger", For(ReadOnly), get(dashboard::ledger::list)),
        route("GET", "/dashboard/ledger/{id}", For(ReadOnly), get(dashboard::ledger::show)),
        route("POST", "/dashboard/ledger/{id}/replay", For(Ops), post(dashboard::ledger::replay)),
        route("GET", "/dashboard/cases", For(Ops), get(dashboard::cases::list)),
        route("GET", "/dashboard/cases/{id}", For(Ops), get(dashboard::cases::show)),
        route("POST", "/dashboard/cases/{id}", For(Ops), post(dashboard::cases::decide)),
        route("GET", "/dashboard/metrics", For(Ops), get(dashboard::metrics::show)),
        route("GET", "/dashboard/offers", For(Admin), get(dashboard::offers::list)),
        route("POST", "/dashboard/offers", For(Admin), post(dashboard::offers::create)),
        route("GET", "/dashboard/offers/new", For(Admin), get(dashboard::offers::blank)),
        route("GET", "/dashboard/offers/{id}", For(Admin), get(dashboard::offers::edit)),
        route("POST", "/dashboard/offers/{id}", For(Admin), post(dashboard::offers::update)),
        route("GET", "/dashboard/hours", For(Admin), get(dashboard::hours::house)),
        route("POST", "/dashboard/hours", For(Admin), post(dashboard::hours::set_house)),
        route("GET", "/dashboard/offers/{id}/hours", For(Admin), get(dashboard::hours::own)),
        route("POST", "/dashboard/offers/{id}/hours", For(Admin), post(dashboard::hours::set_own)),
        route("GET", "/dashboard/business", For(Admin), get(dashboard::business::show)),
        route("POST", "/dashboard/business", For(Admin), post(dashboard::business::set)),
        route(
            "POST",
            "/dashboard/business/logo",
            For(Admin),
            post(dashboard::business::set_logo)
                .layer(DefaultBodyLimit::max(dashboard::business::MAX_LOGO_FORM)),
        ),
        route("GET", "/dashboard/business/{name}", For(Admin), get(dashboard::business::document)),
        route(
            "POST",
            "/dashboard/business/{name}",
            For(Admin),
            post(dashboard::business::set_document)
                .layer(DefaultBodyLimit::max(dashboard::business::MAX_TEXT_FORM)),
        ),
        route("GET", "/dashboard/users", For(Admin), get(dashboard::users::list)),
        route("POST", "/dashboard/users", For(Admin), post(dashboard::users::create)),
        route("GET", "/dashboard/users/{id}", For(Admin), get(dashboard::users::show)),
        route("POST", "/dashboard/users/{id}/role", For(Admin), post(dashboard::users::set_role)),
        route("POST", "/dashboard/users/{id}/password", For(Admin), post(dashboard::users::set_password)),
        route("POST", "/dashboard/users/{id}/disable", For(Admin), post(dashboard::users::disable)),
        route("POST", "/dashboard/users/{id}/enable", For(Admin), post(dashboard::users::enable)),
        route("GET", "/dashboard/audit", For(Admin), get(dashboard::audit::list)),
        route("POST", "/auth/login", Public, post(auth::login)),
        route("POST", "/auth/logout", Public, post(auth::logout)),
        route("GET", "/auth/me", For(ReadOnly), get(auth::me)),
        route("GET", "/api/users", For(Admin), get(users::list)),
        route("POST", "/api/users", For(Admin), post(users::create)),
        route("POST", "/api/users/{id}/role", For(Admin), post(users::set_role)),
        route("POST", "/api/users/{id}/password", For(Admin), post(users::set_password)),
        route("POST", "/api/users/{id}/disable", For(Admin), post(users::disable)),
        route("POST", "/api/users/{id}/enable", For(Admin), post(users::enable)),
        route("POST", "/api/users/{id}/sign-out", For(Admin), post(users::end_sessions)),
        route("GET", "/api/audit", For(Admin), get(users::audit)),
        route("GET", "/admin/metrics", For(Ops), get(metrics::admin)),
        route("GET", "/metrics", Metrics, get(metrics::prometheus)),
        route("GET", "/openapi.json", Public, get(openapi::json)),
        route("GET", "/docs", Public, get(openapi::docs)),
        route("GET", "/health", Public, get(health::health)),
        route("GET", "/livez", Public, get(health::live)),
        route("GET", "/readyz", Public, get(health::ready)),
    ]
}

fn route(method: &'static str, path: &'static str, access: Access, handler: MethodRouter<Shared>) -> Route {
    Route { method, path, access, handler }
}

/// The whole service.
pub fn router(app: &Shared) -> Router {
    let limits = Limits::new(app);
    let mut router = Router::new();
    for Route { method, path, access, handler } in routes() {
        // On the route alone, so that another method is still told 405.
        let guarded = match access {
            Access::Public | Access::Metrics => handler,
            Access::Stripe => handler.route_layer(from_fn_with_state(limits.clone(), limit::bad_deliveries)),
            Access::Role(role) => handler.route_layer(from_fn_with_state((app.clone(), role), auth::guard)),
        };
        let limited = match (method, path) {
            ("POST", "/" | "/resume" | "/create-checkout-session" | "/api/bookings") => {
                guarded.route_layer(from_fn_with_state(limits.clone(), limit::checkouts))
            }
            ("GET", "/api/offers" | "/api/slots") => {
                guarded.route_layer(from_fn_with_state(limits.clone(), limit::looks))
            }
            // Pages and what they load; an answer of the API is small, and the webhook's is nothing.
            ("GET", path) if openapi::is_page(path) || path == "/openapi.json" => {
                guarded.route_layer(CompressionLayer::new())
            }
            _ => guarded,
        };
        router = router.route(path, limited);
    }
    // One layer of three, from the outside in: each layer by itself would box every request once more.
    router
        .fallback(security::not_found)
        .layer((
            from_fn_with_state(app.clone(), request::observe),
            CatchPanicLayer::custom(security::panicked),
            DefaultBodyLimit::max(MAX_BODY),
        ))
        .with_state(app.clone())
}
