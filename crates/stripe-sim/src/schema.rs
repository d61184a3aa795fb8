//! What a parameter may hold, and the check of a request against it.
//!
//! An endpoint declares its parameters as static [`Field`]s (see `params`); the check turns decoded
//! text into typed JSON, or refuses it with Stripe's message, code and `param`. Rules that look at
//! more than one parameter or at stored objects belong to the endpoints.

use super::currency;
use super::error::{StripeError, clip};
use super::form::{Branch, Node};
use serde_json::{Map, Value, json};

/// How many entries `metadata` may have, and how long keys and values may be, in characters.
const METADATA_KEYS: usize = 50;
const METADATA_KEY_CHARS: usize = 40;
const METADATA_VALUE_CHARS: usize = 500;
/// Decimal places of `unit_amount_decimal`.
const DECIMAL_PLACES: usize = 12;

/// One named parameter.
#[derive(Debug)]
pub(crate) struct Field {
    pub name: &'static str,
    pub kind: Kind,
    pub required: bool,
    /// Whether an empty string unsets it. It then arrives as null.
    pub clearable: bool,
    /// Whether it is checked, perhaps shown again, and does nothing here: answers say so.
    pub idle: bool,
}

/// What a parameter holds.
#[derive(Debug)]
pub(crate) enum Kind {
    /// Text of at most so many characters.
    Text(usize),
    Url,
    /// An address that can be fetched: `http` or `https`, nothing else.
    Web,
    Email,
    Currency,
    Int {
        min: i64,
        max: i64,
    },
    Bool,
    /// A decimal number as text.
    Decimal,
    OneOf(&'static [&'static str]),
    Metadata,
    /// At most so many of a kind.
    List(&'static Kind, usize),
    Object(&'static [Field]),
    /// A number, or bounds `gt`, `gte`, `lt`, `lte`.
    Range,
    /// Known by name, accepted unread, echoed nowhere.
    Opaque,
}

/// A parameter that may be left out.
pub(crate) const fn opt(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, required: false, clearable: false, idle: false }
}

/// A parameter that must be there.
pub(crate) const fn must(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, required: true, clearable: false, idle: false }
}

/// A parameter that an empty string unsets.
pub(crate) const fn clear(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, required: false, clearable: true, idle: false }
}

/// The same as a parameter that does nothing here.
pub(crate) const fn idle(field: Field) -> Field {
    Field { idle: true, ..field }
}

/// Checked parameters, typed as the schema says.
#[derive(Debug, Clone, Default)]
pub(crate) struct Params(Map<String, Value>);

impl Params {
    /// Parameters that were checked elsewhere.
    pub(crate) fn from_map(members: Map<String, Value>) -> Self {
        Self(members)
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(Value::as_str)
    }

    pub(crate) fn owned(&self, name: &str) -> Option<String> {
        self.text(name).map(str::to_owned)
    }

    pub(crate) fn int(&self, name: &str) -> Option<i64> {
        self.get(name).and_then(Value::as_i64)
    }

    pub(crate) fn flag(&self, name: &str) -> Option<bool> {
        self.get(name).and_then(Value::as_bool)
    }

    /// The members of an object parameter; empty if it was not given.
    pub(crate) fn object(&self, name: &str) -> Self {
        Self(self.get(name).and_then(Value::as_object).cloned().unwrap_or_default())
    }

    /// The entries of a list of objects.
    pub(crate) fn objects(&self, name: &str) -> Vec<Self> {
        let entries = self.get(name).and_then(Value::as_array);
        entries.into_iter().flatten().map(|v| Self(v.as_object().cloned().unwrap_or_default())).collect()
    }

    /// The entries of a list of texts.
    pub(crate) fn texts(&self, name: &str) -> Vec<String> {
        let entries = self.get(name).and_then(Value::as_array);
        entries.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    }

    /// The parameter, or null: for members that echo what was asked.
    pub(crate) fn or_null(&self, name: &str) -> Value {
        self.get(name).cloned().unwrap_or(Value::Null)
    }

    /// Whether it was sent, if only to unset it.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// The parameters that were given and have no effect here, as their fields say.
    pub(crate) fn idle(&self, fields: &'static [Field]) -> Vec<String> {
        let mut idle = Vec::new();
        idle_members(&self.0, fields, "", &mut idle);
        idle.truncate(20);
        idle
    }

    pub(crate) fn into_map(self) -> Map<String, Value> {
        self.0
    }
}

fn idle_members(members: &Map<String, Value>, fields: &'static [Field], path: &str, idle: &mut Vec<String>) {
    for field in fields {
        let Some(value) = members.get(field.name) else { continue };
        let at = join(path, field.name);
        match (&field.kind, value) {
            _ if field.idle => idle.push(at),
            (Kind::Object(inner), Value::Object(members)) => idle_members(members, inner, &at, idle),
            _ => {}
        }
    }
}

/// Checks `sent` against `fields`.
///
/// # Errors
/// Stripe's refusal of the first parameter at fault: unknown names first, then missing ones, then
/// values in the order sent.
pub(crate) fn check(fields: &'static [Field], sent: &Branch) -> Result<Params, StripeError> {
    object(fields, sent, "").map(Params)
}

fn object(fields: &'static [Field], sent: &Branch, path: &str) -> Result<Map<String, Value>, StripeError> {
    let known = |name: &str| fields.iter().find(|f| f.name == name);
    let unknown: Vec<String> =
        sent.iter().filter(|(n, _)| known(n).is_none()).take(5).map(|(n, _)| join(path, n)).collect();
    if !unknown.is_empty() {
        return Err(StripeError::unknown_parameters(&unknown));
    }
    if let Some(field) = fields.iter().find(|f| f.required && !sent.iter().any(|(n, _)| n == f.name)) {
        return Err(StripeError::missing(&join(path, field.name)));
    }
    let mut out = Map::new();
    for (name, node) in sent {
        if let Some(field) = known(name) {
            out.insert(name.clone(), value(field, node, &join(path, name))?);
        }
    }
    Ok(out)
}

fn value(field: &'static Field, node: &Node, path: &str) -> Result<Value, StripeError> {
    if let Node::Text(text) = node
        && text.is_empty()
    {
        if field.clearable {
            return Ok(Value::Null);
        }
        return Err(empty(path));
    }
    typed(&field.kind, node, path)
}

fn typed(kind: &'static Kind, node: &Node, path: &str) -> Result<Value, StripeError> {
    match (kind, node) {
        (
            Kind::Text(_)
            | Kind::Url
            | Kind::Web
            | Kind::Email
            | Kind::Currency
            | Kind::OneOf(_)
            | Kind::Decimal,
            Node::Branch(_),
        ) => {
            let shown = clip(&loose(node).to_string());
            Err(StripeError::invalid(path, None, format!("Invalid string: {shown}")))
        }
        (Kind::Text(max), Node::Text(text)) => bounded(text, *max, path).map(Value::from),
        (Kind::Url, Node::Text(text)) => url(text, path).map(Value::from),
        (Kind::Web, Node::Text(text)) => web(text, path).map(Value::from),
        (Kind::Email, Node::Text(text)) => email(text, path).map(Value::from),
        (Kind::Currency, Node::Text(text)) => money_of(text, path).map(Value::from),
        (Kind::OneOf(choices), Node::Text(text)) => one_of(choices, text, path).map(Value::from),
        (Kind::Decimal, Node::Text(text)) => decimal(text, path).map(Value::from),
        (Kind::Int { min, max }, _) => integer(node, *min, *max, path).map(Value::from),
        (Kind::Bool, _) => boolean(node).map(Value::Bool).ok_or_else(|| {
            let shown = clip(&shown(node));
            StripeError::invalid(path, None, format!("Invalid boolean: {shown}"))
        }),
        (Kind::Metadata, Node::Branch(entries)) => metadata(entries, path),
        (Kind::List(inner, max), Node::Branch(entries)) => list(inner, *max, entries, path),
        (Kind::List(..), Node::Text(_)) => Err(StripeError::invalid(path, None, "Invalid array")),
        (Kind::Object(fields), Node::Branch(members)) => object(fields, members, path).map(Value::Object),
        (Kind::Object(_) | Kind::Metadata, Node::Text(_)) => {
            Err(StripeError::invalid(path, None, "Invalid object"))
        }
        (Kind::Range, Node::Text(_)) => {
            integer(node, 0, i64::MAX, path).map(|at| json!({ "gte": at, "lte": at }))
        }
        (Kind::Range, Node::Branch(members)) => object(&RANGE, members, path).map(Value::Object),
        (Kind::Opaque, _) => Ok(loose(node)),
    }
}

static RANGE: [Field; 4] = [
    opt("gt", Kind::Int { min: 0, max: i64::MAX }),
    opt("gte", Kind::Int { min: 0, max: i64::MAX }),
    opt("lt", Kind::Int { min: 0, max: i64::MAX }),
    opt("lte", Kind::Int { min: 0, max: i64::MAX }),
];

/// As Stripe's own mock reads them: older Python libraries send `True`, others `1`.
fn boolean(node: &Node) -> Option<bool> {
    let Node::Text(text) = node else { return None };
    match text.as_str() {
        "true" | "True" | "TRUE" | "t" | "T" | "1" => Some(true),
        "false" | "False" | "FALSE" | "f" | "F" | "0" => Some(false),
        _ => None,
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}[{name}]") }
}

fn empty(path: &str) -> StripeError {
    let message = format!(
        "You passed an empty string for '{path}'. We assume empty values are an attempt to unset a parameter; \
         however '{path}' cannot be unset. You should remove '{path}' from your request or supply a non-empty \
         value."
    );
    StripeError::invalid(path, Some("parameter_invalid_empty"), message)
}

fn bounded(text: &str, max: usize, path: &str) -> Result<String, StripeError> {
    if text.chars().count() > max {
        let message = format!("Invalid string: {}; must be at most {max} characters", clip(text));
        return Err(StripeError::invalid(path, None, message));
    }
    Ok(text.to_owned())
}

fn url(text: &str, path: &str) -> Result<String, StripeError> {
    let text = bounded(text, 5_000, path)?;
    // Stripe's placeholder stands in the URL as it is; it is no reason to refuse it.
    let parsed = url::Url::parse(&text.replace("{CHECKOUT_SESSION_ID}", "x"));
    match parsed {
        Ok(parsed) if matches!(parsed.scheme(), "http" | "https") && parsed.has_host() => Ok(text),
        Ok(parsed) if !matches!(parsed.scheme(), "http" | "https" | "javascript" | "data" | "file") => {
            Ok(text)
        }
        _ => Err(StripeError::invalid(path, Some("url_invalid"), "Not a valid URL")),
    }
}

fn web(text: &str, path: &str) -> Result<String, StripeError> {
    let text = url(text, path)?;
    if url::Url::parse(&text).is_ok_and(|parsed| matches!(parsed.scheme(), "http" | "https")) {
        return Ok(text);
    }
    let message = "Invalid URL: it must begin with http:// or https://.";
    Err(StripeError::invalid(path, Some("url_invalid"), message))
}

fn email(text: &str, path: &str) -> Result<String, StripeError> {
    let plausible = text.chars().count() <= 512
        && !text.chars().any(|c| c.is_whitespace() || c.is_control())
        && text.split_once('@').is_some_and(|(local, host)| {
            !local.is_empty()
                && host.contains('.')
                && !host.starts_with('.')
                && !host.ends_with('.')
                && !host.contains('@')
        });
    if plausible {
        return Ok(text.to_owned());
    }
    let message = format!("Invalid email address: {}", clip(text));
    Err(StripeError::invalid(path, Some("email_invalid"), message))
}

fn money_of(text: &str, path: &str) -> Result<String, StripeError> {
    let lower = text.to_lowercase();
    if currency::supported(&lower) {
        return Ok(lower);
    }
    let message = format!(
        "Invalid currency: {}. Stripe currently supports these currencies: {}",
        clip(&lower),
        currency::list()
    );
    Err(StripeError::invalid(path, None, message))
}

fn one_of(choices: &[&str], text: &str, path: &str) -> Result<String, StripeError> {
    if choices.contains(&text) {
        return Ok(text.to_owned());
    }
    let name = path.rsplit('[').next().unwrap_or(path).trim_end_matches(']');
    let list = match choices {
        [first, second] => format!("{first} or {second}"),
        [rest @ .., last] => format!("one of {}, or {last}", rest.join(", ")),
        [] => String::new(),
    };
    Err(StripeError::invalid(path, None, format!("Invalid {name}: must be {list}")))
}

fn decimal(text: &str, path: &str) -> Result<String, StripeError> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if digits(whole) && digits(fraction) && whole.len() <= 12 && fraction.len() <= DECIMAL_PLACES {
        return Ok(text.to_owned());
    }
    Err(StripeError::invalid(path, None, format!("Invalid decimal: {}", clip(text))))
}

fn integer(node: &Node, min: i64, max: i64, path: &str) -> Result<i64, StripeError> {
    let refuse =
        |message: String| Err(StripeError::invalid(path, Some("parameter_invalid_integer"), message));
    let number = match node {
        Node::Text(text) => text.trim().parse::<i64>().ok(),
        Node::Branch(_) => None,
    };
    match number {
        None => refuse(format!("Invalid integer: {}", clip(&shown(node)))),
        Some(n) if n < min => refuse(format!("This value must be greater than or equal to {min}.")),
        Some(n) if n > max => {
            refuse(format!("This value must be less than or equal to {max} (it currently is '{n}')."))
        }
        Some(n) => Ok(n),
    }
}

/// An empty value deletes its key, so it stays in as null for the caller to apply.
fn metadata(entries: &Branch, path: &str) -> Result<Value, StripeError> {
    let too = |message: String| Err(StripeError::invalid(path, None, message));
    if entries.len() > METADATA_KEYS {
        return too(format!(
            "Metadata can have up to {METADATA_KEYS} keys, but you passed in {} keys.",
            entries.len()
        ));
    }
    let mut out = Map::new();
    for (key, node) in entries {
        let Node::Text(text) = node else {
            let at = join(path, key);
            return Err(StripeError::invalid(&at, None, "Metadata values must be strings."));
        };
        let (key_chars, value_chars) = (key.chars().count(), text.chars().count());
        if key_chars > METADATA_KEY_CHARS {
            return too(format!(
                "Metadata keys can have up to {METADATA_KEY_CHARS} characters, but you passed in a key that is \
                 {key_chars} characters. Invalid key: {}",
                clip(key)
            ));
        }
        if key.contains(['[', ']']) {
            return too(format!("Metadata keys cannot contain square brackets. Invalid key: {}", clip(key)));
        }
        if value_chars > METADATA_VALUE_CHARS {
            return too(format!(
                "Metadata values can have up to {METADATA_VALUE_CHARS} characters, but you passed in a value \
                 that is {value_chars} characters. Invalid value: {}",
                clip(text)
            ));
        }
        out.insert(key.clone(), if text.is_empty() { Value::Null } else { json!(text) });
    }
    Ok(Value::Object(out))
}

fn list(inner: &'static Kind, max: usize, entries: &Branch, path: &str) -> Result<Value, StripeError> {
    let mut numbered = Vec::with_capacity(entries.len());
    for (name, node) in entries {
        let Ok(index) = name.parse::<usize>() else {
            return Err(StripeError::invalid(path, None, "Invalid array"));
        };
        numbered.push((index, name, node));
    }
    numbered.sort_by_key(|(index, ..)| *index);
    if let Some((index, ..)) =
        numbered.iter().enumerate().find(|(at, (index, ..))| at != index).map(|(_, n)| n)
    {
        let message = format!("Invalid array: its keys must be in sequence from 0, but there is a [{index}]");
        return Err(StripeError::invalid(path, None, message));
    }
    if numbered.len() > max {
        let message =
            format!("Array must contain at most {max} elements, but {} were given.", numbered.len());
        return Err(StripeError::invalid(path, None, message));
    }
    let mut out = Vec::with_capacity(numbered.len());
    for (_, name, node) in numbered {
        let at = join(path, name);
        if matches!(node, Node::Text(text) if text.is_empty()) {
            return Err(empty(&at));
        }
        out.push(typed(inner, node, &at)?);
    }
    Ok(Value::Array(out))
}

fn shown(node: &Node) -> String {
    match node {
        Node::Text(text) => text.clone(),
        Node::Branch(_) => loose(node).to_string(),
    }
}

/// The node as JSON without a schema: every leaf stays text.
fn loose(node: &Node) -> Value {
    match node {
        Node::Text(text) => json!(text),
        Node::Branch(members) => {
            Value::Object(members.iter().map(|(name, inner)| (name.clone(), loose(inner))).collect())
        }
    }
}
