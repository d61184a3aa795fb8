//! Requests to Stripe's API, real or simulated: only those that this service makes.
//!
//! Form-encoded requests with bracketed names, JSON answers, a pinned `Stripe-Version`. A request
//! that may have been lost is repeated with the same `Idempotency-Key`, a few times and not for long;
//! what is still unknown then is said to be unknown, never assumed.

use super::calls::{self, Call, Watch};
use super::event;
use super::json::parse_tolerantly;
use super::list::{ByCreated, Listed};
use super::objects::{
    Charge, CheckoutSession, Dispute, Object, PaymentIntent, Polled, Refund, WebhookEndpoint, flag, text,
};
use clock::Timestamp;
use domain::backoff::Backoff;
use domain::event::{Event, Source};
use domain::ids::{ChargeId, DisputeId, PaymentIntentId, RefundId, SessionId};
use http_client::{Answer, HttpClient, HttpError, Method};
use jiff::fmt::rfc2822::DateTimeParser;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};
use tracing::Instrument;
use tracing::field::Empty;

/// The version of the API that our requests are written for.
pub const API_VERSION: &str = "2026-10-28.endive";

/// How often a request is made at most.
const ATTEMPTS: i32 = 3;
/// The wait before a repetition. Stripe's libraries begin and end with the same.
const WAIT: Backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(5));
/// The longest single request.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The most pages that a listing reads.
const MAX_PAGES: usize = 200;

/// Speaks to Stripe. Clones share connections.
#[derive(Debug, Clone)]
pub struct Client {
    http: HttpClient,
    base: String,
    key: SecretString,
    /// The `Date` of Stripe's last answer, in unix seconds.
    dated: Arc<AtomicI64>,
    watch: Watch,
}

/// Why Stripe did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StripeError {
    /// Stripe understood and refused: asking the same again gives the same. Its words may quote what a
    /// customer typed, so they are in no error's text, and in no log.
    #[error("Stripe refused ({status} {kind}, code {code}, param {}, request {request_id})", param.as_deref().unwrap_or("none"))]
    Refused {
        /// The HTTP status, 4xx.
        status: u16,
        /// Stripe's `type`.
        kind: String,
        /// Stripe's `code`, or its `type` where there is none.
        code: String,
        /// The parameter at fault, if Stripe named one.
        param: Option<String>,
        /// Stripe's message, for whoever may see the booking; never for a log.
        message: String,
        /// Stripe's request id.
        request_id: String,
    },
    /// There is no such object.
    #[error("Stripe knows no such object")]
    NotFound,
    /// Too many requests; nothing was done.
    #[error("Stripe asks us to slow down")]
    Limited,
    /// The key was not accepted; nothing was done.
    #[error(
        "Stripe does not accept the key: check STRIPE_SECRET_KEY ({status}, code {code}, request {request_id})"
    )]
    Key {
        /// The HTTP status, 401 or 403.
        status: u16,
        /// Stripe's `code`, or its `type` where there is none.
        code: String,
        /// Stripe's request id.
        request_id: String,
    },
    /// Stripe could not be reached; nothing was done.
    #[error("Stripe cannot be reached: {0}")]
    Unreachable(String),
    /// Stripe failed while doing it, under this idempotency key it will say so again.
    #[error("Stripe failed ({status}, request {request_id})")]
    Failed {
        /// The HTTP status, 5xx.
        status: u16,
        /// Stripe's request id.
        request_id: String,
    },
    /// A list is longer than is read in one go: ask for less of it.
    #[error("Stripe's list is longer than is read in one go")]
    TooMany,
    /// It is not known whether it was done: no answer, a cut one, one that is not Stripe's, or that an
    /// earlier request with the same key is still being carried out.
    #[error("no usable answer of Stripe's: {0}")]
    Uncertain(String),
}

impl StripeError {
    /// Whether the same idempotency key will only ever give the same answer again: Stripe keeps a
    /// refusal, and a failure, of a request that it had begun to carry out.
    #[must_use]
    pub fn spends_the_key(&self) -> bool {
        matches!(self, Self::Refused { .. } | Self::Failed { .. })
    }
}

/// What a checkout session is made of. Amounts are in minor units, times in unix seconds.
#[derive(Debug, Clone)]
pub struct NewSession<'a> {
    /// The offer, as the customer reads it.
    pub name: &'a str,
    /// A line under it: the slot, in words.
    pub description: &'a str,
    /// Both in one line, for the receipt and the payment in Stripe's dashboard.
    pub payment_description: &'a str,
    /// Price.
    pub amount: i64,
    /// Lower-case code.
    pub currency: &'a str,
    /// The booking's id.
    pub reference: &'a str,
    /// This database's id.
    pub instance: &'a str,
    /// Prefilled on the payment page.
    pub email: &'a str,
    /// Where the customer comes back to; holds `{CHECKOUT_SESSION_ID}`.
    pub success_url: &'a str,
    /// Where the customer comes back to without paying.
    pub cancel_url: &'a str,
    /// When it ends.
    pub expires_at: i64,
    /// The language of the payment page.
    pub locale: &'a str,
    /// What else the session remembers: names of at most 40 characters, values of at most 500, and no more than
    /// 40 of them.
    pub metadata: &'a [(&'static str, String)],
}

impl Client {
    /// A client for the API at `base` (no slash at the end).
    ///
    /// # Errors
    /// [`HttpError`] if the HTTP client cannot be made.
    pub fn new(base: &str, key: SecretString) -> Result<Self, HttpError> {
        let base = base.trim_end_matches('/').to_owned();
        Ok(Self {
            http: HttpClient::new(TIMEOUT)?,
            base,
            key,
            dated: Arc::default(),
            watch: Watch::default(),
        })
    }

    /// The same, with somebody who is told of each request when it has ended.
    #[must_use]
    pub fn watched_by(self, watch: impl Fn(Call) + Send + Sync + 'static) -> Self {
        Self { watch: Watch::by(watch), ..self }
    }

    /// Makes a checkout session. With the same `idempotency_key` and content it makes it once.
    ///
    /// # Errors
    /// Any [`StripeError`].
    pub async fn create_session(
        &self,
        session: &NewSession<'_>,
        idempotency_key: &str,
    ) -> Result<Polled<CheckoutSession>, StripeError> {
        let amount = session.amount.to_string();
        let expires_at = session.expires_at.to_string();
        let named: Vec<(String, &str)> = session
            .metadata
            .iter()
            .map(|(name, value)| (format!("metadata[{name}]"), value.as_str()))
            .collect();
        let mut form = vec![
            ("mode", "payment"),
            ("line_items[0][quantity]", "1"),
            ("line_items[0][price_data][currency]", session.currency),
            ("line_items[0][price_data][unit_amount]", &amount),
            ("line_items[0][price_data][product_data][name]", session.name),
            ("line_items[0][price_data][product_data][description]", session.description),
            ("client_reference_id", session.reference),
            ("customer_email", session.email),
            ("success_url", session.success_url),
            ("cancel_url", session.cancel_url),
            ("expires_at", &expires_at),
            ("locale", session.locale),
            ("allow_promotion_codes", "false"),
            ("automatic_tax[enabled]", "false"),
            ("adaptive_pricing[enabled]", "false"),
            ("payment_intent_data[description]", session.payment_description),
            // Session metadata is not copied to the payment: both must say whose they are.
            ("metadata[booking_id]", session.reference),
            ("metadata[instance]", session.instance),
            ("payment_intent_data[metadata][booking_id]", session.reference),
            ("payment_intent_data[metadata][instance]", session.instance),
        ];
        form.extend(named.iter().map(|(name, value)| (name.as_str(), *value)));
        polled(self.post("/v1/checkout/sessions", &form, idempotency_key).await?)
    }

    /// A session as it is now; `expand` names a member that is wanted whole instead of by its id.
    ///
    /// # Errors
    /// Any [`StripeError`].
    pub async fn session(
        &self,
        id: &SessionId,
        expand: Option<&str>,
    ) -> Result<Polled<CheckoutSession>, StripeError> {
        let expand: Vec<_> = expand.into_iter().map(|member| ("expand[]", member)).collect();
        let path = format!("/v1/checkout/sessions/{}", path_segment(id.as_str()));
        polled(self.get(&path, &expand).await?)
    }

    /// Ends an open session, so that it can no longer be paid.
    ///
    /// # Errors
    /// [`StripeError::Refused`] if it is not open any more; else any [`StripeError`].
    pub async fn expire_session(&self, id: &SessionId) -> Result<Polled<CheckoutSession>, StripeError> {
        let path = format!("/v1/checkout/sessions/{}/expire", path_segment(id.as_str()));
        polled(self.post(&path, &[], &format!("expire-{id}")).await?)
    }

    /// Every session that was made since a time, the newest first.
    ///
    /// # Errors
    /// [`StripeError::TooMany`] if there are more than are read in one go; else any [`StripeError`].
    pub async fn sessions_since(
        &self,
        since: Timestamp,
    ) -> Result<Vec<Polled<CheckoutSession>>, StripeError> {
        let since = since.as_unix_seconds().to_string();
        self.list_whole("/v1/checkout/sessions", &[("created[gte]", &since)], Polled::read).await
    }

    /// A payment intent as it is now.
    ///
    /// # Errors
    /// Any [`StripeError`].
    pub async fn payment_intent(&self, id: &PaymentIntentId) -> Result<PaymentIntent, StripeError> {
        object(&self.get(&format!("/v1/payment_intents/{}", path_segment(id.as_str())), &[]).await?)
    }

    /// A charge as it is now.
    ///
    /// # Errors
    /// Any [`StripeError`].
    pub async fn charge(&self, id: &ChargeId) -> Result<Charge, StripeError> {
        object(&self.get(&format!("/v1/charges/{}", path_segment(id.as_str())), &[]).await?)
    }

    /// A refund as it is now.
    ///
    /// # Errors
    /// Any [`StripeError`].
    pub async fn refund(&self, id: &RefundId) -> Result<Polled<Refund>, StripeError> {
        polled(self.get(&format!("/v1/refunds/{}", path_segment(id.as_str())), &[]).await?)
    }

    /// Every refund of a payment, the newest first.
    ///
    /// # Errors
    /// [`StripeError::TooMany`] if there are more than are read in one go; else any [`StripeError`].
    pub async fn refunds_of(&self, payment: &PaymentIntentId) -> Result<Vec<Polled<Refund>>, StripeError> {
        self.list_whole("/v1/refunds", &[("payment_intent", payment.as_str())], Polled::read).await
    }

    /// A dispute as it is now.
    ///
    /// # Errors
    /// Any [`StripeError`].
    pub async fn dispute(&self, id: &DisputeId) -> Result<Polled<Dispute>, StripeError> {
        polled(self.get(&format!("/v1/disputes/{}", path_segment(id.as_str())), &[]).await?)
    }

    /// Every dispute about a payment, the newest first.
    ///
    /// # Errors
    /// [`StripeError::TooMany`] if there are more than are read in one go; else any [`StripeError`].
    pub async fn disputes_of(&self, payment: &PaymentIntentId) -> Result<Vec<Polled<Dispute>>, StripeError> {
        self.list_whole("/v1/disputes", &[("payment_intent", payment.as_str())], Polled::read).await
    }

    /// Gives money back. With the same `idempotency_key` and content it does so once.
    ///
    /// # Errors
    /// Any [`StripeError`].
    pub async fn create_refund(
        &self,
        form: &[(&str, &str)],
        idempotency_key: &str,
    ) -> Result<Polled<Refund>, StripeError> {
        polled(self.post("/v1/refunds", form, idempotency_key).await?)
    }

    /// One event.
    ///
    /// # Errors
    /// Any [`StripeError`].
    pub async fn event(&self, id: &str) -> Result<Event, StripeError> {
        let value = self.get(&format!("/v1/events/{}", path_segment(id)), &[]).await?;
        event::from_api(&value, Source::Feed).map_err(|error| StripeError::Uncertain(error.to_string()))
    }

    /// The account's webhook endpoints, for `doctor`.
    ///
    /// # Errors
    /// Any [`StripeError`].
    pub async fn webhook_endpoints(&self) -> Result<Vec<WebhookEndpoint>, StripeError> {
        self.list_whole("/v1/webhook_endpoints", &[], |value| WebhookEndpoint::read(&value)).await
    }

    /// Everything of a kind that was made since `from`, a part at a time.
    #[must_use]
    pub fn by_created<T: Listed>(&self, from: Timestamp, now: Timestamp) -> ByCreated<'_, T> {
        ByCreated::new(self, from, now)
    }

    /// Enables a webhook endpoint, and lets it have these kinds of event if any are given.
    ///
    /// # Errors
    /// Any [`StripeError`].
    pub async fn mend_endpoint(&self, id: &str, kinds: Option<&[String]>) -> Result<Value, StripeError> {
        let path = format!("/v1/webhook_endpoints/{}", path_segment(id));
        let kinds = kinds.unwrap_or_default().iter().map(|kind| ("enabled_events[]", kind.as_str()));
        let form: Vec<_> = std::iter::once(("disabled", "false")).chain(kinds).collect();
        // Whoever says it again means it again.
        self.post(&path, &form, &format!("mend-{}", clock::new_id())).await
    }

    /// Every object of a list, all pages, as Stripe orders them (newest first). Lists longer than
    /// 20,000 objects are refused rather than cut.
    pub(super) async fn list_whole<T>(
        &self,
        path: &str,
        query: &[(&str, &str)],
        read: impl Fn(Value) -> Option<T>,
    ) -> Result<Vec<T>, StripeError> {
        self.list(path, query, MAX_PAGES, read).await
    }

    /// The same for lists of `max_pages` pages of 100 at most. What `read` cannot read is left out.
    pub(super) async fn list<T>(
        &self,
        path: &str,
        query: &[(&str, &str)],
        max_pages: usize,
        read: impl Fn(Value) -> Option<T>,
    ) -> Result<Vec<T>, StripeError> {
        let mut all: Vec<T> = Vec::new();
        let mut last: Option<String> = None;
        for _ in 0..max_pages {
            let mut page_query = query.to_vec();
            page_query.push(("limit", "100"));
            if let Some(last) = &last {
                page_query.push(("starting_after", last));
            }
            let mut page = self.get(path, &page_query).await?;
            let more = flag(&page, "has_more").unwrap_or(false);
            let Some(Value::Array(objects)) = page.get_mut("data").map(Value::take) else {
                return Err(StripeError::Uncertain("a list without data".to_owned()));
            };
            last = objects.last().and_then(|object| text(object, "id")).map(str::to_owned);
            all.extend(objects.into_iter().filter_map(&read));
            match (more, &last) {
                (false, _) => return Ok(all),
                (true, Some(_)) => {}
                (true, None) => {
                    return Err(StripeError::Uncertain("a page that does not lead to the next".to_owned()));
                }
            }
        }
        Err(StripeError::TooMany)
    }

    /// What `path` holds now.
    async fn get(&self, path: &str, query: &[(&str, &str)]) -> Result<Value, StripeError> {
        let mut url = format!("{}{path}", self.base);
        if !query.is_empty() {
            url = format!("{url}?{}", encode(query));
        }
        self.request(Method::Get, &url, String::new(), None).await
    }

    async fn post(
        &self,
        path: &str,
        form: &[(&str, &str)],
        idempotency_key: &str,
    ) -> Result<Value, StripeError> {
        self.request(Method::Post, &format!("{}{path}", self.base), encode(form), Some(idempotency_key)).await
    }

    async fn request(
        &self,
        method: Method,
        url: &str,
        body: String,
        idempotency_key: Option<&str>,
    ) -> Result<Value, StripeError> {
        let mut failures = 0;
        loop {
            let result = self.request_once(method, url, body.clone(), idempotency_key).await;
            let again = match &result {
                Ok(_) => false,
                Err((_, Some(should_retry))) => *should_retry,
                Err((error, None)) => match error {
                    StripeError::Limited
                    | StripeError::Unreachable(_)
                    | StripeError::Failed { .. }
                    | StripeError::Uncertain(_) => true,
                    StripeError::Refused { .. }
                    | StripeError::NotFound
                    | StripeError::Key { .. }
                    | StripeError::TooMany => false,
                },
            };
            if !again || failures + 1 == ATTEMPTS {
                return result.map_err(|(error, _)| error);
            }
            tokio::time::sleep(WAIT.after(failures)).await;
            failures += 1;
        }
    }

    /// What Stripe's clock shows, in whole seconds; none if its answer does not say. Also tells whether
    /// the key is accepted.
    ///
    /// # Errors
    /// Any [`StripeError`].
    pub async fn server_time(&self) -> Result<Option<Timestamp>, StripeError> {
        let url = format!("{}/v1/balance", self.base);
        let answer = self.send(Method::Get, &url, String::new(), None).await?;
        judge(&answer)?;
        let date = answer.header("date").and_then(|date| jiff::fmt::rfc2822::parse(date).ok());
        Ok(date.map(|date| Timestamp::from_unix_seconds(date.timestamp().as_second())))
    }

    /// One request; an error comes with what Stripe says about repeating it (`Stripe-Should-Retry`).
    async fn request_once(
        &self,
        method: Method,
        url: &str,
        body: String,
        idempotency_key: Option<&str>,
    ) -> Result<Value, (StripeError, Option<bool>)> {
        let answer = self.send(method, url, body, idempotency_key).await.map_err(|error| (error, None))?;
        let date = answer.header("date").map(|date| DateTimeParser::new().parse_timestamp(date));
        if let Some(Ok(date)) = date {
            self.dated.store(date.as_second(), Ordering::Relaxed);
        }
        let should_retry = match answer.header("stripe-should-retry") {
            Some("true") => Some(true),
            Some("false") => Some(false),
            _ => None,
        };
        judge(&answer).map_err(|error| (error, should_retry))
    }

    /// What time it was for Stripe at its last answer; 1970 before the first.
    #[must_use]
    pub fn last_date(&self) -> Timestamp {
        Timestamp::from_unix_seconds(self.dated.load(Ordering::Relaxed))
    }

    async fn send(
        &self,
        method: Method,
        url: &str,
        body: String,
        idempotency_key: Option<&str>,
    ) -> Result<Answer, StripeError> {
        let authorization = format!("Bearer {}", self.key.expose_secret());
        let mut headers = vec![
            ("authorization", authorization.as_str()),
            ("stripe-version", API_VERSION),
            ("user-agent", concat!("checkout-backend/", env!("CARGO_PKG_VERSION"))),
        ];
        if method == Method::Post {
            headers.push(("content-type", "application/x-www-form-urlencoded"));
        }
        if let Some(key) = idempotency_key {
            headers.push(("idempotency-key", key));
        }
        let started = Instant::now();
        let operation = calls::operation(method, url.strip_prefix(&self.base).unwrap_or_default());
        let span = tracing::info_span!(
            "stripe",
            otel.kind = "client",
            otel.name = format_args!("stripe {operation}"),
            otel.status_code = Empty,
            http.response.status_code = Empty,
        );
        let sent = self.http.send(method, url, &headers, body.into_bytes());
        let answer = sent.instrument(span.clone()).await;
        let status = answer.as_ref().ok().map(|answer| answer.status);
        if let Some(status) = status {
            span.record("http.response.status_code", status);
        }
        if status.is_none_or(|status| status >= 400) {
            span.record("otel.status_code", "ERROR");
        }
        self.watch.tell(Call { operation, status, took: started.elapsed() });
        answer.map_err(|error| match error {
            HttpError::Connect(cause) => StripeError::Unreachable(cause),
            HttpError::Lost(cause) | HttpError::Invalid(cause) => StripeError::Uncertain(cause),
        })
    }
}

/// What an answer means, by status and Stripe's error object.
fn judge(answer: &Answer) -> Result<Value, StripeError> {
    let body = parse_tolerantly(&answer.body);
    if answer.is_success() {
        return match body {
            Some(value) if value.is_object() => Ok(value),
            _ => Err(StripeError::Uncertain(format!("status {} without a JSON object", answer.status))),
        };
    }
    let request_id = answer.header("request-id").filter(|id| is_word(id)).unwrap_or("unknown").to_owned();
    let error = body.as_ref().and_then(|body| body.get("error"));
    let member = |name: &str| error.and_then(|error| text(error, name)).map(str::to_owned);
    // What is told must be a word of Stripe's API: anything else could be somebody's text.
    let word = |name: &str| member(name).filter(|word| is_word(word));
    let code = || word("code").or_else(|| word("type")).unwrap_or_default();
    match (answer.status, error) {
        (status @ (401 | 403), Some(_)) => Err(StripeError::Key { status, code: code(), request_id }),
        (404, Some(_)) => Err(StripeError::NotFound),
        (429, _) => Err(StripeError::Limited),
        // A request with the same key is under way, or the object is locked: nothing is kept for the key.
        (409, Some(_)) => Err(StripeError::Uncertain(format!(
            "a conflict with another request ({}, request {request_id})",
            code()
        ))),
        (status @ 400..=499, Some(_)) => Err(StripeError::Refused {
            status,
            kind: word("type").unwrap_or_default(),
            code: code(),
            param: word("param"),
            message: member("message").unwrap_or_default(),
            request_id,
        }),
        (status @ 500..=599, Some(_)) => Err(StripeError::Failed { status, request_id }),
        // A page of some proxy's, a redirect: not Stripe's words, whatever the status says.
        (status, _) => Err(StripeError::Uncertain(format!("status {status} without Stripe's error object"))),
    }
}

fn polled<T: Object>(value: Value) -> Result<Polled<T>, StripeError> {
    Polled::read(value).ok_or_else(not_what_was_asked_for)
}

fn object<T: Object>(value: &Value) -> Result<T, StripeError> {
    T::read(value).ok_or_else(not_what_was_asked_for)
}

fn not_what_was_asked_for() -> StripeError {
    StripeError::Uncertain("an answer that is not the object that was asked for".to_owned())
}

/// Whether a text has the form of a name in Stripe's API, as `card_declined` or `line_items[0][price]`.
fn is_word(text: &str) -> bool {
    (1..=100).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.[]".contains(&b))
}

fn encode(pairs: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

/// Ids come from outside: one must not change the path.
fn path_segment(id: &str) -> String {
    form_urlencoded::byte_serialize(id.as_bytes()).collect()
}
