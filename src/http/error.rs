//! What a caller hears when something cannot be done: RFC 9457 problems, with the members that the
//! original service had.
//!
//! A handler returns a [`Problem`]; the body is written by the outermost layer, which knows the
//! request's id. The text of a 5xx is fixed: causes go to the log.

use crate::flow::checkout::CheckoutError;
use crate::flow::recorder::RecordError;
use crate::stripe::StripeError;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use domain::Fault;
use domain::holds::TooMany;
use serde::Serialize;
use std::borrow::Cow;
use store::StoreError;

/// The content type of a problem.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// An answer that says what is wrong.
#[derive(Debug, Clone)]
pub struct Problem {
    /// The HTTP status.
    pub status: StatusCode,
    /// What is wrong, in a few words that do not change: `error` and `title`.
    pub error: Cow<'static, str>,
    /// What to do about it: `message` and `detail`.
    pub message: Cow<'static, str>,
    /// Each faulty member of the request.
    pub details: Vec<Fault>,
    /// The refund that is in the way, as the API shows it.
    pub refund: Option<Box<serde_json::Value>>,
    /// Further headers, such as `Retry-After`.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    r#type: &'static str,
    title: &'a str,
    status: u16,
    detail: &'a str,
    error: &'a str,
    message: &'a str,
    request_id: &'a str,
    #[serde(skip_serializing_if = "<[Fault]>::is_empty")]
    details: &'a [Fault],
    #[serde(skip_serializing_if = "Option::is_none")]
    refund: Option<&'a serde_json::Value>,
}

impl Problem {
    /// A problem with these words.
    pub fn new(
        status: StatusCode,
        error: impl Into<Cow<'static, str>>,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            status,
            error: error.into(),
            message: message.into(),
            details: Vec::new(),
            refund: None,
            headers: Vec::new(),
        }
    }

    /// 400 with every fault named.
    #[must_use]
    pub fn invalid(details: Vec<Fault>) -> Self {
        let message = "Correct the members named in details and send the request again.";
        Self { details, ..Self::new(StatusCode::BAD_REQUEST, "Invalid request", message) }
    }

    /// 400 with one fault.
    #[must_use]
    pub fn fault(path: &str, message: &str) -> Self {
        Self::invalid(vec![Fault::new(path, message)])
    }

    /// 404.
    #[must_use]
    pub fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "Not found", "There is nothing at this address.")
    }

    /// 500; the cause is in the log.
    #[must_use]
    pub fn internal() -> Self {
        let message = "Something went wrong on our side. It was logged under this request id.";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "Internal error", message)
    }

    /// 503: worth another try after `seconds`.
    #[must_use]
    pub fn unavailable(seconds: u32) -> Self {
        let message = "The service cannot answer at the moment. Try again shortly.";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "Service unavailable", message).retry_after(seconds)
    }

    /// The same with a `Retry-After` in seconds.
    #[must_use]
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.headers.push((header::RETRY_AFTER, HeaderValue::from(seconds)));
        self
    }

    /// The JSON body, for the request with this id.
    #[must_use]
    pub fn body(&self, request_id: &str) -> Vec<u8> {
        let body = Body {
            r#type: "about:blank",
            title: &self.error,
            status: self.status.as_u16(),
            detail: &self.message,
            error: &self.error,
            message: &self.message,
            request_id,
            details: &self.details,
            refund: self.refund.as_deref(),
        };
        serde_json::to_vec(&body).unwrap_or_default()
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.headers_mut().extend(self.headers.iter().cloned());
        response.extensions_mut().insert(self);
        response
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        tracing::error!(module = "store", action = "store.failed", "{error}");
        if error.is_outage() || error.is_collision() { Self::unavailable(2) } else { Self::internal() }
    }
}

impl From<RecordError> for Problem {
    fn from(error: RecordError) -> Self {
        tracing::error!(module = "recorder", action = "recorder.failed", "{error}");
        match error {
            RecordError::QueueFull
            | RecordError::TimedOut
            | RecordError::NotDurable(_)
            | RecordError::Stopping => Self::unavailable(2),
            RecordError::Stored(_) => Self::internal(),
        }
    }
}

impl From<StripeError> for Problem {
    fn from(error: StripeError) -> Self {
        tracing::error!(module = "stripe", action = "stripe.failed", "{error}");
        match error {
            StripeError::Refused { .. } | StripeError::NotFound | StripeError::Key { .. } => Self::new(
                StatusCode::BAD_GATEWAY,
                "Payment provider refused",
                "The payment provider did not accept the request. The owner finds the reason in the log.",
            ),
            StripeError::Limited
            | StripeError::Unreachable(_)
            | StripeError::Failed { .. }
            | StripeError::TooMany
            | StripeError::Uncertain(_) => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "Payment provider unavailable",
                "The payment provider does not answer at the moment. Try again: nothing is lost.",
            )
            .retry_after(5),
        }
    }
}

impl From<CheckoutError> for Problem {
    fn from(error: CheckoutError) -> Self {
        let conflict =
            |error: &'static str, message: &'static str| Self::new(StatusCode::CONFLICT, error, message);
        match error {
            CheckoutError::Invalid(faults) => Self::invalid(faults),
            CheckoutError::SlotFull => {
                conflict("Slot unavailable", "This slot is taken. Choose another one.")
            }
            CheckoutError::TooManyHolds { what, retry_after } => {
                let whose = match what {
                    TooMany::Address => "from your network",
                    TooMany::Browser => "of this browser",
                    TooMany::Email => "for this e-mail address",
                };
                let minutes = retry_after.as_secs().div_ceil(60).max(1);
                let message = format!(
                    "Too many bookings {whose} wait for their payment. Pay one of them, or try again in {minutes} \
                     minutes, when the first of them ends."
                );
                let seconds = u32::try_from(retry_after.as_secs()).unwrap_or(u32::MAX).max(1);
                Self::new(StatusCode::TOO_MANY_REQUESTS, "Too many unpaid bookings", message)
                    .retry_after(seconds)
            }
            CheckoutError::Closed => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "Closed until reconciled",
                "A backup was restored, and Stripe has not been asked yet what was sold since: nothing is sold until \
                 `checkout-backend reconcile` has succeeded, which the service also tries by itself. Try again shortly.",
            )
            .retry_after(30),
            CheckoutError::AlreadyPaid(_) => conflict(
                "Already paid",
                "This booking is paid, or its payment is on its way: there is nothing left to pay.",
            ),
            CheckoutError::Ended(_) => conflict(
                "Booking ended",
                "This booking was cancelled, or its seat given away, while its payment page was being made. \
                 Nothing was paid: book again.",
            ),
            CheckoutError::KeyInFlight => conflict(
                "Request in flight",
                "A request with this Idempotency-Key is being served. Wait for its answer, then ask again.",
            )
            .retry_after(1),
            CheckoutError::KeyReused => Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "Idempotency-Key reused",
                "This Idempotency-Key was used with another body. Use a new key for a new request.",
            ),
            CheckoutError::Store(error) => error.into(),
            CheckoutError::Record(error) => error.into(),
            CheckoutError::Stripe { error, .. } => error.into(),
        }
    }
}
