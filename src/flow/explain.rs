//! The story of a booking: every step with its time, its source and its reason, in words.
//!
//! Command line, API and page tell it with the same text.

use crate::domain::booking::Booking;
use crate::domain::event::Source;
use crate::domain::ids::BookingId;
use crate::domain::lang::Lang;
use crate::domain::money::Money;
use crate::domain::payment::{Outcome, case_sentence};
use crate::domain::time::Timestamp;
use crate::store::cases::CaseRecord;
use crate::store::ledger::Entry;
use crate::store::outbox::DeliveryRecord;
use crate::store::refund_intents::{IntentState, RefundIntent};
use crate::store::{Store, StoreError};
use serde::Serialize;

/// A booking's story.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Story {
    /// Which booking.
    pub booking_id: BookingId,
    /// How things stand, in a sentence.
    pub summary: String,
    /// What happened, oldest first.
    pub steps: Vec<Step>,
}

/// One thing that happened.
#[derive(Debug, Clone, Serialize)]
pub struct Step {
    /// When.
    pub at: Timestamp,
    /// Who or what told it: `webhook`, `feed`, `poll`, `replay`, `customer`, a person, `service`.
    pub source: String,
    /// What happened and why.
    pub text: String,
}

impl Story {
    /// The story as lines of text.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let steps = self.steps.iter().map(|step| format!("{}  [{}]  {}", step.at, step.source, step.text));
        std::iter::once(self.summary.clone()).chain(steps).collect()
    }
}

/// Tells the story of a booking; none if there is no such booking.
///
/// # Errors
/// Any [`StoreError`].
pub async fn story(store: &Store, id: BookingId, lang: Lang) -> Result<Option<Story>, StoreError> {
    let mut tx = store.read().await?;
    let Some(booking) = tx.booking(id).await? else { return Ok(None) };
    let entries = tx.entries_of(id).await?;
    let cases = tx.cases_of(id).await?;
    let refunds = tx.refund_intents_of(id).await?;
    let deliveries = tx.deliveries_of(id).await?;
    let audit = tx.audit_of(&id.to_string()).await?;
    tx.rollback().await?;

    let mut steps = vec![made(&booking, lang)];
    steps.extend(entries.iter().map(|entry| heard(entry, lang)));
    for case in &cases {
        steps.extend(case_steps(case, lang));
    }
    for intent in &refunds {
        steps.extend(refund_steps(intent, &booking, lang));
    }
    steps.extend(deliveries.iter().map(|delivery| told(delivery, lang)));
    // What the audit log knows beyond refunds and cases, which were told already.
    for record in audit.iter().filter(|record| record.action == "booking.cancelled") {
        let text = lang.pick("La réservation a été annulée.", "The booking was cancelled.");
        steps.push(Step { at: record.at, source: record.actor.clone(), text: text.to_owned() });
    }
    steps.sort_by_key(|step| step.at);
    Ok(Some(Story { booking_id: id, summary: summary(&booking, lang), steps }))
}

fn summary(booking: &Booking, lang: Lang) -> String {
    let paid = Money { amount: booking.payment().map_or(0, |p| p.amount), currency: booking.price.currency };
    let back = Money { amount: booking.refunded_amount(), currency: booking.price.currency };
    let (status, slot, price) = (booking.status(), booking.slot, booking.price);
    match lang {
        Lang::Fr => format!(
            "Réservation {} pour le {slot} : {status} ; prix {price}, payé {paid}, remboursé {back}.",
            booking.id
        ),
        Lang::En => format!(
            "Booking {} for {slot}: {status}; price {price}, paid {paid}, refunded {back}.",
            booking.id
        ),
    }
}

fn made(booking: &Booking, lang: Lang) -> Step {
    let until = booking.hold_expires_at;
    let text = match lang {
        Lang::Fr => format!("La réservation a été faite ; place réservée au moins jusqu'à {until}."),
        Lang::En => format!("The booking was made; its seat held at least until {until}."),
    };
    Step { at: booking.created_at, source: "customer".to_owned(), text }
}

fn heard(entry: &Entry, lang: Lang) -> Step {
    let by = match (entry.source, lang) {
        (Source::Webhook, Lang::Fr) => "Stripe a envoyé",
        (Source::Webhook, Lang::En) => "Stripe sent",
        (Source::Feed, Lang::Fr) => "Lu dans le flux d'événements de Stripe :",
        (Source::Feed, Lang::En) => "Read in Stripe's events feed:",
        (Source::Poll, Lang::Fr) => "Demandé à Stripe :",
        (Source::Poll, Lang::En) => "Asked Stripe:",
        (Source::Replay, Lang::Fr) => "Rejoué :",
        (Source::Replay, Lang::En) => "Replayed:",
    };
    let outcome = match (entry.outcome, lang) {
        (Outcome::Processed, Lang::Fr) => "appliqué",
        (Outcome::Processed, Lang::En) => "applied",
        (Outcome::Duplicate, Lang::Fr) => "déjà connu",
        (Outcome::Duplicate, Lang::En) => "known already",
        (Outcome::Ignored, Lang::Fr) => "ignoré",
        (Outcome::Ignored, Lang::En) => "ignored",
        (Outcome::Parked, Lang::Fr) => "mis en attente",
        (Outcome::Parked, Lang::En) => "parked",
        (Outcome::Case, Lang::Fr) => "à examiner",
        (Outcome::Case, Lang::En) => "made a case",
        (Outcome::Rejected, Lang::Fr) => "pas encore appliqué",
        (Outcome::Rejected, Lang::En) => "not applied yet",
    };
    let reason = entry.reason.map_or("", |reason| reason.sentence(lang));
    let times = match (entry.deliveries, lang) {
        (..=1, _) => String::new(),
        (n, Lang::Fr) => format!(" Reçu {n} fois."),
        (n, Lang::En) => format!(" Delivered {n} times."),
    };
    let text = format!("{by} {} ({}) — {outcome}. {reason}{times}", entry.kind, entry.event_key);
    Step { at: entry.received_at, source: entry.source.as_str().to_owned(), text }
}

fn case_steps(case: &CaseRecord, lang: Lang) -> Vec<Step> {
    let opened = lang.pick("Un cas a été ouvert", "A case was opened");
    let deadline = match (case.deadline, lang) {
        (None, _) => String::new(),
        (Some(at), Lang::Fr) => format!(" Avant le {at}."),
        (Some(at), Lang::En) => format!(" Before {at}."),
    };
    let text = format!(
        "{opened} ({}, {}). {} {}.{deadline}",
        case.kind,
        case.id,
        case_sentence(case.kind, lang),
        case.detail
    );
    let mut steps = vec![Step { at: case.created_at, source: "service".to_owned(), text }];
    if let Some(at) = case.closed_at {
        let closed = lang.pick("Le cas a été réglé", "The case was settled");
        let resolution = case.resolution.as_deref().unwrap_or_default();
        let note = case.note.as_deref().map(|note| format!(" « {note} »")).unwrap_or_default();
        let by = case.closed_by.clone().unwrap_or_default();
        steps.push(Step { at, source: by, text: format!("{closed} ({resolution}).{note}") });
    }
    steps
}

fn refund_steps(intent: &RefundIntent, booking: &Booking, lang: Lang) -> Vec<Step> {
    let amount = Money { amount: intent.amount, currency: booking.price.currency };
    let asked = match lang {
        Lang::Fr => format!("Un remboursement de {amount} a été demandé."),
        Lang::En => format!("A refund of {amount} was asked for."),
    };
    let mut steps = vec![Step { at: intent.created_at, source: intent.requested_by.clone(), text: asked }];
    let text = match (intent.state, lang) {
        (IntentState::Open, Lang::Fr) => {
            "Stripe n'a pas encore dit si le remboursement est fait ; on le lui demande.".to_owned()
        }
        (IntentState::Open, Lang::En) => {
            "Stripe has not said yet whether it made the refund; it is being asked.".to_owned()
        }
        (IntentState::Done, _) => {
            let id = intent.stripe_refund_id.as_deref().unwrap_or_default();
            format!("{} {id}.", lang.pick("Stripe a fait le remboursement", "Stripe made the refund"))
        }
        (IntentState::Refused, _) => {
            let why = intent.refusal.as_deref().unwrap_or_default();
            let refused = lang.pick("Stripe a refusé le remboursement :", "Stripe refused the refund:");
            format!("{refused} {why}")
        }
    };
    steps.push(Step { at: intent.updated_at, source: "service".to_owned(), text });
    steps
}

fn told(delivery: &DeliveryRecord, lang: Lang) -> Step {
    let whom = match (delivery.target.as_str(), lang) {
        ("customer", Lang::Fr) => "client",
        ("customer", Lang::En) => "customer",
        ("owner", Lang::Fr) => "propriétaire",
        ("owner", Lang::En) => "owner",
        (other, _) => other,
    };
    let state = match (delivery.state.as_str(), lang) {
        ("done", Lang::Fr) => "informé",
        ("done", Lang::En) => "told",
        ("dead", Lang::Fr) => "abandonné",
        ("dead", Lang::En) => "given up",
        (_, Lang::Fr) => "pas encore informé",
        (_, Lang::En) => "not told yet",
    };
    let error = delivery.last_error.as_deref().map(|error| format!(" ({error})")).unwrap_or_default();
    let at = delivery.done_at.unwrap_or(delivery.happened_at);
    Step { at, source: "service".to_owned(), text: format!("{}: {whom} — {state}{error}.", delivery.kind) }
}
