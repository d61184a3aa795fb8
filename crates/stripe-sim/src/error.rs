//! Stripe's error envelope, `{"error": {…}}`, and the refusals that several endpoints share.
//!
//! Wording, codes and statuses follow what Stripe is publicly known to answer. An error also says
//! whether the endpoint had begun its work, because only then does an `Idempotency-Key` keep it.

use serde_json::{Map, Value, json};

/// The longest caller-supplied text that is echoed in a message or in `param`.
const MAX_ECHO_CHARS: usize = 200;

/// A refusal, as the official libraries read it.
#[derive(Debug, Clone)]
pub(crate) struct StripeError {
    /// HTTP status.
    pub status: u16,
    /// True once the endpoint had begun its work: such an answer is kept for its `Idempotency-Key`.
    pub executed: bool,
    envelope: Box<Envelope>,
}

#[derive(Debug, Clone)]
struct Envelope {
    kind: &'static str,
    code: Option<String>,
    message: String,
    param: Option<String>,
    /// Further members, such as `decline_code`, `charge` or `payment_intent`.
    more: Map<String, Value>,
    headers: Vec<(&'static str, &'static str)>,
    /// Whether another API version might have taken it.
    versioned: bool,
}

impl StripeError {
    fn new(status: u16, kind: &'static str, code: Option<&str>, message: impl Into<String>) -> Self {
        let envelope = Envelope {
            kind,
            code: code.map(str::to_owned),
            message: message.into(),
            param: None,
            more: Map::new(),
            headers: Vec::new(),
            versioned: false,
        };
        Self { status, executed: false, envelope: Box::new(envelope) }
    }

    /// A 400 that validation gives, before any work. `param` may be empty for "no one parameter".
    pub(crate) fn invalid(param: &str, code: Option<&str>, message: impl Into<String>) -> Self {
        let error = Self::new(400, "invalid_request_error", code, message);
        if param.is_empty() { error } else { error.with_param(param) }
    }

    /// A 400 that an object's state gives: the endpoint had begun, so an idempotency key keeps it.
    pub(crate) fn state(code: Option<&str>, message: impl Into<String>) -> Self {
        Self { executed: true, ..Self::new(400, "invalid_request_error", code, message) }
    }

    /// 402: the bank or network refused. `more` holds `decline_code`, `charge` and the like.
    pub(crate) fn card(code: &str, message: &str, more: Map<String, Value>) -> Self {
        let mut error = Self::new(402, "card_error", Some(code), message);
        error.executed = true;
        error.envelope.more = more;
        error
    }

    /// A parameter that the endpoint does not know.
    pub(crate) fn unknown_parameters(paths: &[String]) -> Self {
        let first = paths.first().map_or("", String::as_str);
        let plural = if paths.len() > 1 { "s" } else { "" };
        let list = paths.iter().map(|p| clip(p)).collect::<Vec<_>>().join(", ");
        let message = format!("Received unknown parameter{plural}: {list}");
        Self::invalid(first, Some("parameter_unknown"), message)
    }

    /// A required parameter that is not there.
    pub(crate) fn missing(param: &str) -> Self {
        Self::invalid(param, Some("parameter_missing"), format!("Missing required param: {param}."))
    }

    /// 404: the object named in the path, or by `param`, does not exist.
    pub(crate) fn no_such(what: &str, id: &str, param: &str) -> Self {
        let message = format!("No such {what}: '{}'", clip(id));
        Self { status: 404, ..Self::invalid(param, Some("resource_missing"), message) }
    }

    /// 404: no endpoint has this method and path.
    pub(crate) fn unknown_url(method: &str, path: &str) -> Self {
        let message = format!(
            "Unrecognized request URL ({method}: {}). If you are trying to list objects, remove the trailing \
             slash. If you are trying to retrieve an object, make sure you passed a valid (non-empty) \
             identifier in your code.",
            clip(path)
        );
        Self { status: 404, ..Self::invalid("", None, message) }
    }

    /// 401 for `message`, with the challenge that Stripe sends.
    pub(crate) fn unauthorized(code: Option<&str>, message: impl Into<String>) -> Self {
        let mut error = Self::new(401, "invalid_request_error", code, message);
        error.envelope.headers.push(("www-authenticate", "Basic realm=\"Stripe\""));
        error
    }

    /// 403: the key may not do this.
    pub(crate) fn forbidden(code: &str, message: impl Into<String>) -> Self {
        Self::new(403, "invalid_request_error", Some(code), message)
    }

    /// 400: this idempotency key was first used with other parameters.
    pub(crate) fn idempotency_mismatch(key: &str) -> Self {
        Self::new(
            400,
            "idempotency_error",
            None,
            format!(
                "Keys for idempotent requests can only be used with the same parameters they were first used \
                 with. Try using a key other than '{}' if you meant to execute a different request.",
                clip(key)
            ),
        )
    }

    /// 400: this idempotency key was first used at another address.
    pub(crate) fn idempotency_elsewhere(key: &str, first: &str, now: &str) -> Self {
        let message = format!(
            "Keys for idempotent requests can only be used for the same endpoint they were first used for ('{}' vs \
             '{}'). Try using a key other than '{}' if you meant to execute a different request.",
            clip(now),
            clip(first),
            clip(key)
        );
        Self::new(400, "idempotency_error", None, message)
    }

    /// 409: a request with this idempotency key is still running.
    pub(crate) fn idempotency_in_use(key: &str) -> Self {
        Self::new(
            409,
            "idempotency_error",
            Some("idempotency_key_in_use"),
            format!(
                "There is currently another in-progress request using this Idempotent Key (that probably means \
                 you submitted twice, and the other request is still going through): {}",
                clip(key)
            ),
        )
    }

    /// 429 with the header by which Stripe tells the reason.
    pub(crate) fn rate_limited() -> Self {
        let mut error = Self::new(
            429,
            "invalid_request_error",
            Some("rate_limit"),
            "Request rate limit exceeded. You can learn more about rate limits here \
             https://stripe.com/docs/rate-limits.",
        );
        error.envelope.headers.push(("stripe-rate-limited-reason", "global-rate"));
        error
    }

    /// 500 as Stripe words it.
    pub(crate) fn server_error() -> Self {
        Self::new(
            500,
            "api_error",
            None,
            "An unknown error occurred. If this error persists, contact us at https://support.stripe.com/.",
        )
    }

    /// 400 that says itself that it may be tried again: libraries go by the header, whatever the status.
    pub(crate) fn to_be_retried() -> Self {
        let message = "This object cannot be accessed right now because another API request or Stripe process is \
                       currently accessing it.";
        let mut error = Self::new(400, "invalid_request_error", Some("lock_timeout"), message);
        error.envelope.headers.push(("stripe-should-retry", "true"));
        error
    }

    /// 500 that says itself that it must not be tried again.
    pub(crate) fn not_to_be_retried() -> Self {
        let mut error = Self::server_error();
        error.envelope.headers.push(("stripe-should-retry", "false"));
        error
    }

    /// The same error, which another API version might not have given, with the sentence that says so.
    #[must_use]
    pub(crate) fn judged_by(mut self, sentence: &str) -> Self {
        if self.envelope.versioned {
            self.envelope.message.push_str(sentence);
        }
        self
    }

    /// The same error as one that goes by the API version.
    #[must_use]
    pub(crate) fn by_version(mut self) -> Self {
        self.envelope.versioned = true;
        self
    }

    /// 404: Stripe has this address, and it is not simulated.
    pub(crate) fn not_simulated(what: &str, method: &str, path: &str) -> Self {
        let message = format!(
            "{what} is not simulated ({method} {}): nothing is kept of it here. See \"What is not simulated\" in \
             stripe-sim's README.",
            clip(path)
        );
        Self { status: 404, ..Self::invalid("", Some("not_simulated"), message) }
    }

    /// 413: the body is larger than the simulator reads.
    pub(crate) fn too_large(limit: usize) -> Self {
        let message = format!("The request body is larger than {limit} bytes.");
        Self { status: 413, ..Self::invalid("", None, message) }
    }

    /// The same error, naming the parameter at fault.
    #[must_use]
    pub(crate) fn with_param(mut self, param: &str) -> Self {
        self.envelope.param = Some(clip(param));
        self
    }

    /// The same error with another HTTP status.
    #[must_use]
    pub(crate) fn with_status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// The same error with a further member in its envelope.
    #[must_use]
    pub(crate) fn with_member(mut self, name: &str, value: Value) -> Self {
        self.envelope.more.insert(name.to_owned(), value);
        self
    }

    /// The sentence that says what is wrong.
    pub(crate) fn message(&self) -> &str {
        &self.envelope.message
    }

    /// Further response headers.
    pub(crate) fn headers(&self) -> &[(&'static str, &'static str)] {
        &self.envelope.headers
    }

    /// The answer's JSON body.
    pub(crate) fn body(&self) -> Value {
        let Envelope { kind, code, message, param, more, .. } = &*self.envelope;
        let mut error = more.clone();
        error.insert("type".into(), json!(kind));
        error.insert("message".into(), json!(message));
        if let Some(param) = param {
            error.insert("param".into(), json!(param));
        }
        if let Some(code) = code {
            error.insert("code".into(), json!(code));
            let page = code.replace('_', "-");
            error.insert("doc_url".into(), json!(format!("https://stripe.com/docs/error-codes/{page}")));
        }
        json!({ "error": error })
    }
}

/// At most [`MAX_ECHO_CHARS`] characters of `text`: an answer never grows with a hostile request.
pub(crate) fn clip(text: &str) -> String {
    match text.char_indices().nth(MAX_ECHO_CHARS) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}
