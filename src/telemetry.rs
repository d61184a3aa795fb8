//! Log lines: what they look like, and how they leave without anybody waiting for them.
//!
//! A call site writes `tracing::info!(module = "webhook", action = "stripe.webhook.received", …)`;
//! a line is one flat JSON object with the members `timestamp, level, requestId, module, action,
//! message` and whatever fields the call site names, `duration_ms` becoming `durationMs`. The
//! request's id comes from the span that [`request_span`] made; with it comes `traceId`, if the request
//! belongs to a trace.
//!
//! Never logged: names, e-mail addresses, bodies, cookies, secrets, the text of a panic.

mod line;
mod otlp;
mod sink;
mod trace;

use crate::config::{LogFormat, TraceSettings};
use clock::Clock;
use line::Line;
use std::fmt;
use std::panic::PanicHookInfo;
use tracing::field::{Empty, Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets, filter_fn};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::{LookupSpan, Registry};
use tracing_subscriber::util::SubscriberInitExt;

pub use otlp::end as end_traces;
pub use sink::{dropped_lines, flush};
pub use trace::{TRACEPARENT, TraceParent, current as current_trace, follow};

/// The crates of this workspace, as they stand at the beginning of their modules' paths: their lines are ours.
const OURS: [&str; 6] = [env!("CARGO_CRATE_NAME"), "stripe_sim", "store", "domain", "http_client", "clock"];

/// Logs to standard output from now on, and panics too; and exports spans, if a collector is configured. For the binary,
/// once and within its runtime; later calls change nothing.
pub fn init(format: LogFormat, level: Level, clock: Clock, traces: Option<&TraceSettings>) {
    sink::start();
    let tracer = traces.map(otlp::start);
    let (tracer, trouble) = match tracer {
        Some(Ok(tracer)) => (Some(tracer), None),
        Some(Err(trouble)) => (None, Some(trouble)),
        None => (None, None),
    };
    // Of spans alone: what is logged is in the log.
    let spans = tracer.map(|tracer| {
        let is_ours = |path: &str| path.split("::").next().is_some_and(|name| OURS.contains(&name));
        tracing_opentelemetry::layer()
            .with_tracer(tracer)
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_tracked_inactivity(false)
            .with_filter(filter_fn(move |metadata| metadata.is_span() && is_ours(metadata.target())))
    });
    if subscriber(format, level, clock, sink::push).with(spans).try_init().is_ok() {
        std::panic::set_hook(Box::new(log_panic));
        http_client::trace_by(|| current_trace().map(|trace| trace.to_string()));
    }
    if let Some(trouble) = trouble {
        tracing::warn!(module = "telemetry", action = "traces.off", "{trouble}");
    }
}

/// What turns events into lines and hands them to `write`, each with its line end.
pub fn subscriber(
    format: LogFormat,
    level: Level,
    clock: Clock,
    write: impl Fn(&str) + Send + Sync + 'static,
) -> impl Subscriber + Send + Sync + for<'s> LookupSpan<'s> {
    let ours = LevelFilter::from_level(level);
    // Other crates speak only of what is wrong with them, and in their own words: see `Lines::on_event`.
    let targets =
        Targets::new().with_default(ours.min(LevelFilter::WARN)).with_targets(OURS.map(|name| (name, ours)));
    Registry::default().with(Lines { format, clock, write }.with_filter(targets))
}

/// The span of one request: every line written inside it, by whatever task is instrumented with it,
/// carries its id. `name` is what a collector reads: the method and the route. What else it is told is recorded when it is
/// known.
#[must_use]
pub fn request_span(request_id: &str, name: &str) -> tracing::Span {
    // `error`, so that no LOG_LEVEL switches it off.
    tracing::error_span!(
        "request",
        request_id,
        otel.kind = "server",
        otel.name = name,
        otel.status_code = Empty,
        http.request.method = Empty,
        http.route = Empty,
        http.response.status_code = Empty,
    )
}

/// One line for a panic. Its text may hold anything, so only its place is told.
fn log_panic(info: &PanicHookInfo<'_>) {
    let place = info.location().map(ToString::to_string).unwrap_or_default();
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or("unnamed");
    tracing::error!(module = "process", action = "process.panicked", place, thread, "a task panicked");
}

struct Lines<W> {
    format: LogFormat,
    clock: Clock,
    write: W,
}

/// A request's id, kept with its span.
struct RequestId(String);

impl<S, W> Layer<S> for Lines<W>
where
    S: Subscriber + for<'s> LookupSpan<'s>,
    W: Fn(&str) + Send + Sync + 'static,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut find = FindRequestId(None);
        attributes.record(&mut find);
        if let (Some(request_id), Some(span)) = (find.0, context.span(id)) {
            span.extensions_mut().insert(RequestId(request_id));
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let metadata = event.metadata();
        let path = metadata.target();
        let ours = path.split("::").next().is_some_and(|name| OURS.contains(&name));
        let module = if ours { path.rsplit("::").next() } else { path.split("::").next() };
        let mut line = Line::new(self.clock.now(), *metadata.level(), module.unwrap_or_default());
        // Fields of other crates are not ours to vouch for: only their message is taken.
        line.fields_wanted = ours;
        if !ours {
            line.action = "library.message".into();
        }
        event.record(&mut line);
        if line.request_id.is_none() {
            let mut scope = context.event_scope(event).into_iter().flatten();
            line.request_id =
                scope.find_map(|span| span.extensions().get::<RequestId>().map(|id| id.0.clone()));
        }
        let mut scope = context.event_scope(event).into_iter().flatten();
        line.trace_id = scope.find_map(|span| span.extensions().get().map(TraceParent::trace_id));
        // Eyes want to know what was answered, once, and nothing of style sheets.
        if self.format == LogFormat::Text
            && (line.action == "http.request.received" || line.is_about_an_asset())
        {
            return;
        }
        (self.write)(&match self.format {
            LogFormat::Json => line.json(),
            LogFormat::Text => line.text(),
        });
    }
}

struct FindRequestId(Option<String>);

impl Visit for FindRequestId {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "request_id" {
            self.0 = Some(value.to_owned());
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}
