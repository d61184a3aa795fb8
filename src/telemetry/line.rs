//! One log line, as JSON or for eyes.

use clock::Timestamp;
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Value;
use std::borrow::Cow;
use std::fmt::{self, Write};
use tracing::Level;
use tracing::field::{Field, Visit};

/// The longest text of one field, in characters. What is longer says nothing more.
const MAX_TEXT: usize = 1024;
/// The most fields that a line has beside its fixed ones.
const MAX_FIELDS: usize = 24;

/// A line while its fields are being collected.
#[derive(Debug)]
pub(super) struct Line {
    at: Timestamp,
    level: &'static str,
    pub(super) request_id: Option<String>,
    /// Of the trace that the request belongs to, if it belongs to one.
    pub(super) trace_id: Option<String>,
    pub(super) module: Cow<'static, str>,
    pub(super) action: Cow<'static, str>,
    message: String,
    fields: Vec<(Cow<'static, str>, Value)>,
    /// Whether fields other than the message are taken.
    pub(super) fields_wanted: bool,
}

impl Line {
    pub(super) fn new(at: Timestamp, level: Level, module: &'static str) -> Self {
        let level = match level {
            Level::ERROR => "error",
            Level::WARN => "warn",
            Level::INFO => "info",
            Level::DEBUG => "debug",
            Level::TRACE => "trace",
        };
        Self {
            at,
            level,
            request_id: None,
            trace_id: None,
            module: module.into(),
            action: "log".into(),
            message: String::new(),
            fields: Vec::new(),
            fields_wanted: true,
        }
    }

    /// Whether it tells that a style sheet, script or icon was answered as it should be.
    pub(super) fn is_about_an_asset(&self) -> bool {
        let field =
            |wanted: &str| self.fields.iter().find(|(name, _)| name == wanted).map(|(_, value)| value);
        let route = field("route").and_then(Value::as_str).unwrap_or_default();
        let answered = field("statusCode").and_then(Value::as_u64).is_some_and(|status| status < 400);
        answered && (route.starts_with("/assets/") || route == "/favicon.ico")
    }

    /// One flat JSON object and a line end.
    pub(super) fn json(self) -> String {
        let mut line = serde_json::to_string(&self).unwrap_or_default();
        line.push('\n');
        line
    }

    /// For a terminal: the time of day, what happened, and the rest as `name=value`.
    pub(super) fn text(self) -> String {
        let mut line = format!(
            "{} {:5} {:40} {}",
            self.at.to_jiff().strftime("%H:%M:%S"),
            self.level,
            self.action,
            self.message
        );
        for (name, value) in self.fields {
            let _ = write!(line, " {name}={value}");
        }
        if let Some(id) = self.request_id {
            let _ = write!(line, " requestId={id}");
        }
        // No line of a log may pretend to be two, or to be in colour.
        let mut line = line.replace(|c: char| c.is_control(), " ");
        line.push('\n');
        line
    }

    fn take(&mut self, field: &Field, value: Value) {
        let text = |value: Value| match value {
            Value::String(text) => text,
            other => other.to_string(),
        };
        match field.name() {
            "message" => self.message = text(value),
            _ if !self.fields_wanted => {}
            "module" => self.module = text(value).into(),
            "action" => self.action = text(value).into(),
            "request_id" => self.request_id = Some(text(value)),
            _ if self.fields.len() >= MAX_FIELDS => {}
            name => {
                let name = camel_case(name);
                let taken =
                    FIXED.contains(&name.as_ref()) || self.fields.iter().any(|(other, _)| *other == name);
                if !taken {
                    self.fields.push((name, value));
                }
            }
        }
    }
}

/// The names that every line has, in this order.
const FIXED: [&str; 6] = ["timestamp", "level", "requestId", "module", "action", "message"];

impl Serialize for Line {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let [timestamp, level, request_id, module, action, message] = FIXED;
        let mut object = serializer.serialize_map(None)?;
        object.serialize_entry(timestamp, &format_args!("{:.3}", self.at.to_jiff()))?;
        object.serialize_entry(level, self.level)?;
        object.serialize_entry(request_id, &self.request_id)?;
        object.serialize_entry(module, &self.module)?;
        object.serialize_entry(action, &self.action)?;
        object.serialize_entry(message, &self.message)?;
        if let Some(trace_id) = &self.trace_id {
            object.serialize_entry("traceId", trace_id)?;
        }
        for (name, value) in &self.fields {
            object.serialize_entry(name, value)?;
        }
        object.end()
    }
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.take(field, shortened(value.to_owned()).into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.take(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.take(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.take(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.take(field, value.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.take(field, shortened(format!("{value:?}")).into());
    }
}

fn shortened(mut text: String) -> String {
    // No text has more characters than bytes.
    if text.len() > MAX_TEXT
        && let Some((end, _)) = text.char_indices().nth(MAX_TEXT)
    {
        text.truncate(end);
        text.push('…');
    }
    text
}

/// `status_code` as JSON readers know it: `statusCode`.
fn camel_case(name: &'static str) -> Cow<'static, str> {
    let mut words = name.split('_');
    let mut camel = Cow::Borrowed(words.next().unwrap_or_default());
    for word in words {
        let mut letters = word.chars();
        let camel = camel.to_mut();
        camel.extend(letters.next().map(|letter| letter.to_ascii_uppercase()));
        camel.extend(letters);
    }
    camel
}
