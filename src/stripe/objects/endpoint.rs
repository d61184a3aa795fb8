//! Webhook endpoints, for `doctor`.

use super::Object;
use super::read::{member, text};
use serde_json::Value;

/// Where Stripe delivers events to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WebhookEndpoint {
    /// Stripe's id; empty if it was not said.
    pub id: String,
    /// The address.
    pub url: Option<String>,
    /// `enabled`, `disabled`.
    pub status: Option<String>,
    /// The kinds of event that it gets; `*` is every one.
    pub enabled_events: Vec<String>,
    /// The version that its events are written in; none if that is the account's own.
    pub api_version: Option<String>,
}

impl Object for WebhookEndpoint {
    fn read(value: &Value) -> Option<Self> {
        let own = |name: &str| text(value, name).map(str::to_owned);
        let events = member(value, "enabled_events").as_array();
        Some(Self {
            id: own("id").unwrap_or_default(),
            url: own("url"),
            status: own("status"),
            enabled_events: events
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect(),
            api_version: own("api_version"),
        })
    }
}

impl WebhookEndpoint {
    /// Whether Stripe delivers to it.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.status.as_deref() == Some("enabled")
    }

    /// Whether it gets events of that kind.
    #[must_use]
    pub fn gets(&self, kind: &str) -> bool {
        self.enabled_events.iter().any(|enabled| enabled == kind || enabled == "*")
    }
}
