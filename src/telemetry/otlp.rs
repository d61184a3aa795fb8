//! Spans for a collector that speaks OpenTelemetry's protocol over HTTP, if one is configured.
//!
//! A span is a request, a request of ours to Stripe, or something told to somebody: by route, operation and status. It
//! holds no name, no address, no id of a person. Nobody waits for a collector: what it does not take is dropped.

use super::trace::TraceParent;
use crate::config::TraceSettings;
use http_client::{HttpClient, HttpError, Method};
use opentelemetry::trace::{
    SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState, TracerProvider,
};
use opentelemetry_http::{Bytes, Request, Response};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider};
use secrecy::ExposeSecret;
use std::pin::Pin;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::runtime::Handle;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// How long a collector may take.
const TIMEOUT: Duration = Duration::from_secs(10);

static PROVIDER: OnceLock<SdkTracerProvider> = OnceLock::new();

/// Exports from now on, and gives what makes spans. Needs to be called within the runtime that will make the requests.
///
/// # Errors
/// Why nothing can be exported.
pub(super) fn start(settings: &TraceSettings) -> Result<SdkTracer, String> {
    let collector = Collector {
        http: HttpClient::new(TIMEOUT).map_err(|error| error.to_string())?,
        runtime: Handle::current(),
        is_told: AtomicBool::new(false),
    };
    let headers = settings.headers.iter();
    let headers = headers.map(|(name, value)| (name.clone(), value.expose_secret().to_owned()));
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(collector)
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(format!("{}/v1/traces", settings.endpoint))
        .with_headers(headers.collect())
        .with_timeout(TIMEOUT)
        .build()
        .map_err(|error| error.to_string())?;
    let resource = Resource::builder_empty()
        .with_service_name(settings.service.clone())
        .with_attribute(opentelemetry::KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .build();
    // Who called us may have decided; of what begins here everything is told, and the collector chooses.
    let sampler = Sampler::ParentBased(Box::new(Sampler::AlwaysOn));
    let provider = SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_sampler(sampler)
        .with_resource(resource)
        .build();
    let provider = PROVIDER.get_or_init(|| provider);
    Ok(provider.tracer("checkout-backend"))
}

/// Sends what is still here, for at most `limit`.
pub async fn end(limit: Duration) {
    if let Some(provider) = PROVIDER.get() {
        // It blocks until its own thread is done, which waits for this runtime.
        let ended = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(limit));
        let _ = tokio::time::timeout(limit, ended).await;
    }
}

/// Begins the span within the trace of `parent`, or in a new one; and how it stands in it, if it is exported.
pub(super) fn join(span: &Span, parent: Option<TraceParent>) -> Option<TraceParent> {
    PROVIDER.get()?;
    if let Some(TraceParent { trace, span: parent, flags }) = parent {
        let context = SpanContext::new(
            TraceId::from(trace),
            SpanId::from(parent),
            TraceFlags::new(flags),
            true,
            TraceState::default(),
        );
        // It cannot have begun before, and would only begin a trace of its own.
        let _ = span.set_parent(opentelemetry::Context::new().with_remote_span_context(context));
    }
    context_of(span)
}

/// How a span stands in its trace, if it is exported.
pub(super) fn context_of(span: &Span) -> Option<TraceParent> {
    PROVIDER.get()?;
    let context = span.context();
    let context = context.span().span_context().clone();
    context.is_valid().then(|| TraceParent {
        trace: u128::from_be_bytes(context.trace_id().to_bytes()),
        span: u64::from_be_bytes(context.span_id().to_bytes()),
        flags: context.trace_flags().to_u8(),
    })
}

/// Posts what the exporter gives it, by the one HTTP client that there is.
#[derive(Debug)]
struct Collector {
    http: HttpClient,
    /// The exporter has a thread of its own, outside of the runtime.
    runtime: Handle,
    /// Whether the log has heard that it takes nothing.
    is_told: AtomicBool,
}

impl Collector {
    async fn post(http: HttpClient, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (head, body) = request.into_parts();
        let headers = head.headers.iter();
        let headers: Vec<_> =
            headers.filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?))).collect();
        let answer = http.send(Method::Post, &head.uri.to_string(), &headers, body.to_vec()).await?;
        let response = Response::builder().status(answer.status).body(answer.body.into());
        response.map_err(|error| HttpError::Lost(error.to_string()))
    }

    /// Once when it begins, and not for each batch.
    fn tell(&self, trouble: Option<&str>) {
        let was_told = self.is_told.swap(trouble.is_some(), Ordering::Relaxed);
        if let (Some(trouble), false) = (trouble, was_told) {
            tracing::warn!(module = "telemetry", action = "traces.not_taken", "{trouble}");
        }
    }
}

type Sent = Result<Response<Bytes>, opentelemetry_http::HttpError>;

impl opentelemetry_http::HttpClient for Collector {
    // What `async fn` in a trait of `async_trait` is written out to.
    fn send_bytes<'life0, 'async_trait>(
        &'life0 self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Sent> + Send + 'async_trait>>
    where
        'life0: 'async_trait,
        Self: 'async_trait,
    {
        let posted = self.runtime.spawn(Self::post(self.http.clone(), request));
        Box::pin(async move {
            let posted = posted.await.unwrap_or_else(|_| Err(HttpError::Lost("stopped".to_owned())));
            match &posted {
                Ok(response) if response.status().is_success() => self.tell(None),
                Ok(response) => self.tell(Some(&format!("the collector answered {}", response.status()))),
                Err(error) => self.tell(Some(&error.to_string())),
            }
            Ok(posted?)
        })
    }
}
