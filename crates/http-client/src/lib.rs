//! Requests to others: to Stripe, and to addresses that the owner configured. Only this file names
//! the HTTP library.
//!
//! Redirects are never followed and proxies of the environment never used: a secret goes to the
//! address it is meant for and nowhere else. Every answer has an end, in time and in length.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// The longest answer that is read, in bytes.
const MAX_ANSWER_BYTES: usize = 8 * 1024 * 1024;

/// What tells to which trace a request belongs that is made now.
static TRACE: OnceLock<fn() -> Option<String>> = OnceLock::new();

/// From now on every request carries as `traceparent` what `current` says where it is made. For the binary, once; later
/// calls change nothing.
pub fn trace_by(current: fn() -> Option<String>) {
    let _ = TRACE.set(current);
}

/// Makes requests; clones share connections.
#[derive(Debug, Clone)]
pub struct HttpClient(reqwest::Client);

/// The method of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Reads.
    Get,
    /// Changes.
    Post,
    /// Takes away.
    Delete,
}

/// An answer, whole.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
    headers: reqwest::header::HeaderMap,
}

impl Answer {
    /// A header's text, if it is there and readable.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Whether the status is 2xx.
    #[must_use]
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The request could not be made at all.
    #[error("the request cannot be made: {0}")]
    Invalid(String),
    /// Nothing was sent: the other side cannot have acted.
    #[error("could not connect: {0}")]
    Connect(String),
    /// It may have been received and acted upon.
    #[error("no complete answer: {0}")]
    Lost(String),
}

impl HttpClient {
    /// A client whose requests end after `timeout`, connecting included.
    ///
    /// # Errors
    /// [`HttpError::Invalid`] if TLS cannot be set up.
    pub fn new(timeout: Duration) -> Result<Self, HttpError> {
        let roots = rustls::RootCertStore::from_iter(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        let tls =
            rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .with_safe_default_protocol_versions()
                .map_err(|error| HttpError::Invalid(error.to_string()))?
                .with_root_certificates(roots)
                .with_no_client_auth();
        reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .timeout(timeout)
            .connect_timeout(Duration::from_secs(5))
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .map(Self)
            .map_err(|error| HttpError::Invalid(chain(&error)))
    }

    /// Makes one request and reads the answer to its end.
    ///
    /// # Errors
    /// An [`HttpError`] that tells whether the other side can have acted.
    pub async fn send(
        &self,
        method: Method,
        url: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Result<Answer, HttpError> {
        let method = match method {
            Method::Get => reqwest::Method::GET,
            Method::Post => reqwest::Method::POST,
            Method::Delete => reqwest::Method::DELETE,
        };
        let mut request = self.0.request(method, url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(trace) = TRACE.get().and_then(|current| current()) {
            request = request.header("traceparent", trace);
        }
        let request = request.body(body).build().map_err(|error| HttpError::Invalid(chain(&error)))?;
        let mut response = self.0.execute(request).await.map_err(|error| {
            if error.is_connect() {
                HttpError::Connect(chain(&error))
            } else {
                HttpError::Lost(chain(&error))
            }
        })?;
        let status = response.status().as_u16();
        let headers = std::mem::take(response.headers_mut());
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| HttpError::Lost(chain(&error)))? {
            if body.len() + chunk.len() > MAX_ANSWER_BYTES {
                return Err(HttpError::Lost("the answer is too long".to_owned()));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { status, body, headers })
    }
}

/// The error with its causes, without the address: it could hold a secret.
fn chain(error: &reqwest::Error) -> String {
    let mut parts = Vec::new();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        parts.push(cause.to_string());
        source = cause.source();
    }
    if parts.is_empty() {
        parts.push(if error.is_timeout() { "timed out".to_owned() } else { "failed".to_owned() });
    }
    parts.join(": ")
}
