//! Which trace a request belongs to, by W3C Trace Context: so that who called us, what we asked of Stripe and whom we
//! told stand in one picture.
//!
//! The header `traceparent` is taken from a request and passed on with every request of ours that is made for it,
//! whether or not spans are exported; then with our own span in it.

use super::otlp;
use std::fmt;
use tracing::Span;
use tracing_subscriber::registry::{LookupSpan, Registry};

/// The header's name.
pub const TRACEPARENT: &str = "traceparent";

/// A trace, and the span in it under which something is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceParent {
    pub(super) trace: u128,
    pub(super) span: u64,
    pub(super) flags: u8,
}

impl TraceParent {
    /// From the header's text, if it has the form.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.trim().split('-');
        let mut next = |length: usize| {
            let digits = |part: &&str| part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
            parts.next().filter(|part| part.len() == length).filter(digits)
        };
        let (version, trace, span, flags) = (next(2)?, next(32)?, next(16)?, next(2)?);
        // Later versions may say more behind these four; ff is none.
        if version == "ff" || (version == "00" && parts.next().is_some()) {
            return None;
        }
        let trace = u128::from_str_radix(trace, 16).ok().filter(|id| *id != 0)?;
        let span = u64::from_str_radix(span, 16).ok().filter(|id| *id != 0)?;
        Some(Self { trace, span, flags: u8::from_str_radix(flags, 16).ok()? })
    }

    /// The trace's id, as other programs show it.
    #[must_use]
    pub fn trace_id(&self) -> String {
        format!("{:032x}", self.trace)
    }
}

/// As the header says it.
impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace, self.span, self.flags)
    }
}

/// Makes a request's span part of the trace that its header names, if there is one.
pub fn follow(span: &Span, header: Option<&str>) {
    let given = header.and_then(TraceParent::parse);
    if let Some(parent) = otlp::join(span, given).or(given) {
        span.with_subscriber(|(id, dispatch)| {
            if let Some(span) = dispatch.downcast_ref::<Registry>().and_then(|registry| registry.span(id)) {
                span.extensions_mut().replace(parent);
            }
        });
    }
}

/// What a request that is made now says of its trace; none if it belongs to none.
#[must_use]
pub fn current() -> Option<TraceParent> {
    let span = Span::current();
    let given = || {
        span.with_subscriber(|(id, dispatch)| {
            let span = dispatch.downcast_ref::<Registry>()?.span(id)?;
            span.scope().find_map(|span| span.extensions().get::<TraceParent>().copied())
        })
    };
    otlp::context_of(&span).or_else(|| given().flatten())
}
