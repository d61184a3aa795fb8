//! What is told of each request to Stripe: which operation, how it was answered, how long it took. No id and no address.

use http_client::Method;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A request to Stripe that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    /// What was asked for: one of a few words.
    pub operation: &'static str,
    /// The HTTP status; none if no whole answer came.
    pub status: Option<u16>,
    /// How long it took.
    pub took: Duration,
}

/// Whoever is told of each [`Call`], if anybody.
#[derive(Clone, Default)]
pub(super) struct Watch(Option<Arc<dyn Fn(Call) + Send + Sync>>);

impl Watch {
    pub(super) fn by(watch: impl Fn(Call) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(watch)))
    }

    pub(super) fn tell(&self, call: Call) {
        if let Some(watch) = &self.0 {
            watch(call);
        }
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Watch(somebody)" } else { "Watch(nobody)" })
    }
}

/// The word for a request to `path`, which may have a query.
pub(super) fn operation(method: Method, path: &str) -> &'static str {
    let path = path.split('?').next().unwrap_or_default();
    let parts: Vec<_> = path.trim_start_matches("/v1/").split('/').collect();
    match (method, parts.as_slice()) {
        (Method::Post, ["checkout", "sessions"]) => "create_session",
        (Method::Get, ["checkout", "sessions"]) => "list_sessions",
        (Method::Get, ["checkout", "sessions", _]) => "get_session",
        (Method::Post, ["checkout", "sessions", _, "expire"]) => "expire_session",
        (Method::Get, ["payment_intents", _]) => "get_payment_intent",
        (Method::Get, ["charges", _]) => "get_charge",
        (Method::Post, ["refunds"]) => "create_refund",
        (Method::Get, ["refunds"]) => "list_refunds",
        (Method::Get, ["refunds", _]) => "get_refund",
        (Method::Get, ["disputes"]) => "list_disputes",
        (Method::Get, ["disputes", _]) => "get_dispute",
        (Method::Get, ["events"]) => "list_events",
        (Method::Get, ["events", _]) => "get_event",
        (Method::Get, ["webhook_endpoints"]) => "list_endpoints",
        (Method::Post, ["webhook_endpoints", _]) => "update_endpoint",
        (Method::Get, ["balance"]) => "get_balance",
        _ => "other",
    }
}
