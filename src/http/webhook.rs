//! `POST /webhook`: Stripe tells us something. Verified, recorded, answered.

use super::error::Problem;
use super::server::budget::BodyShare;
use crate::app::Shared;
use crate::flow::recorder::{RecordError, Recorded};
use crate::stripe::event;
use crate::stripe::signature::{self, SignatureError};
use axum::Json;
use axum::body::{Bytes, HttpBody};
use axum::extract::{FromRequest, Request, State};
use axum::http::StatusCode;
use domain::lang::Lang;
use domain::payment::Outcome;
use serde::Serialize;
use std::sync::Arc;
use std::time::Instant;

/// The longest body, in bytes. Stripe's events are far below it.
pub const MAX_BODY: usize = 1024 * 1024;

/// What Stripe gets to see; it only looks at the status.
#[derive(Debug, Serialize)]
pub struct Acknowledgement {
    received: bool,
    outcome: &'static str,
}

/// Takes a delivery. The content type is not looked at: the signature is. What no body can make right is
/// refused from the head, before anything is read or kept of the body.
pub async fn receive(State(app): State<Shared>, request: Request) -> Result<Json<Acknowledgement>, Problem> {
    let now = app.clock.now();
    let header = request.headers().get("stripe-signature").cloned();
    let header = header.as_ref().map(axum::http::HeaderValue::as_bytes);
    if usize::try_from(request.body().size_hint().lower()).is_ok_and(|size| size > MAX_BODY) {
        return Err(refuse_body(&app, StatusCode::PAYLOAD_TOO_LARGE));
    }
    signature::check_head(header, now.as_unix_seconds()).map_err(|error| refuse_signature(&app, error))?;
    let share = request.extensions().get::<Arc<BodyShare>>().cloned();
    if let Some(share) = &share {
        share.is_delivery();
    }
    let body = Bytes::from_request(request, &app).await.map_err(|rejection| {
        if share.is_some_and(|share| share.was_refused()) {
            return no_room(&app);
        }
        refuse_body(&app, rejection.status())
    })?;
    let verified = signature::verify(header, &body, &app.config.webhook_secrets, now.as_unix_seconds())
        .map_err(|error| refuse_signature(&app, error))?;
    app.counters.webhook_received(verified.secret_index(), verified.timestamp(), now);
    tracing::info!(module = "webhook", action = "stripe.webhook.received", "a verified delivery");
    let event = event::parse(&verified).map_err(|error| {
        app.counters.webhook_rejected("not_an_event", now);
        tracing::warn!(
            module = "webhook",
            action = "stripe.webhook.unreadable",
            outcome = "rejected",
            "{error}"
        );
        Problem::new(StatusCode::BAD_REQUEST, "Not an event", error.to_string())
    })?;

    let started = Instant::now();
    let kind = event.kind.clone();
    let event_id = event.key.as_str().to_owned();
    match app.recorder.record(event).await {
        Ok(recorded) => {
            app.counters.webhook_done(recorded.outcome, started.elapsed());
            log_outcome(&event_id, &kind, recorded);
            Ok(Json(Acknowledgement { received: true, outcome: recorded.outcome.as_str() }))
        }
        Err(error) => {
            app.counters.webhook_done(Outcome::Rejected, started.elapsed());
            Err(not_applied(&event_id, &kind, &error))
        }
    }
}

/// What did not come whole cannot be verified.
fn refuse_body(app: &Shared, status: StatusCode) -> Problem {
    let too_large = status == StatusCode::PAYLOAD_TOO_LARGE;
    let reason = if too_large { "body_too_large" } else { "other" };
    app.counters.webhook_rejected(reason, app.clock.now());
    tracing::warn!(
        module = "webhook",
        action = "stripe.webhook.unreadable",
        outcome = Outcome::Rejected.as_str(),
        reason,
        "the body is too large, or did not come whole"
    );
    if too_large {
        Problem::new(status, "Body too large", "Send less: the body is over the limit.")
    } else {
        Problem::new(
            StatusCode::BAD_REQUEST,
            "Body incomplete",
            "The body did not come whole, or not in time.",
        )
    }
}

/// Others' bodies fill the memory that bodies may have. Stripe tries again.
fn no_room(app: &Shared) -> Problem {
    app.counters.webhook_rejected("no_room", app.clock.now());
    tracing::error!(
        module = "webhook",
        action = "stripe.webhook.processing_failed",
        outcome = Outcome::Rejected.as_str(),
        reason = "no_room",
        "bodies in flight fill the memory that they may have"
    );
    Problem::internal()
}

fn refuse_signature(app: &Shared, error: SignatureError) -> Problem {
    app.counters.webhook_rejected(error.reason(), app.clock.now());
    tracing::warn!(
        module = "webhook",
        action = "stripe.webhook.signature_invalid",
        outcome = Outcome::Rejected.as_str(),
        reason = error.reason(),
        "{error}"
    );
    // Which check failed helps the owner, in the log; it is nobody else's business.
    Problem::new(
        StatusCode::BAD_REQUEST,
        "Invalid signature",
        "The Stripe-Signature header does not fit this body.",
    )
}

fn log_outcome(event_id: &str, kind: &str, recorded: Recorded) {
    let outcome = recorded.outcome.as_str();
    let reason = recorded.reason.as_str();
    let sentence = recorded.reason.sentence(Lang::En);
    if recorded.outcome == Outcome::Duplicate {
        let action = "stripe.webhook.duplicate_db_ignored";
        tracing::info!(module = "webhook", action, event_id, kind, outcome, reason, "{sentence}");
    }
    if let (true, Some(booking)) = (recorded.applied_payment, recorded.booking) {
        let action = "booking.payment_confirmed";
        tracing::info!(module = "webhook", action, event_id, %booking, outcome, "{sentence}");
    }
    let action = "stripe.webhook.acknowledged";
    tracing::info!(module = "webhook", action, event_id, kind, outcome, reason, "{sentence}");
}

/// Always 500, never another 5xx: Stripe tries again.
fn not_applied(event_id: &str, kind: &str, error: &RecordError) -> Problem {
    tracing::error!(
        module = "webhook",
        action = "stripe.webhook.processing_failed",
        event_id,
        kind,
        outcome = Outcome::Rejected.as_str(),
        "{error}"
    );
    Problem::internal()
}
