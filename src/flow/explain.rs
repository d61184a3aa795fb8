//! The story of a booking: every step with its time, its source and its reason, in words.
//!
//! Command line, API and page tell it with the same text, in the reader's language and at the times of the
//! business's clocks. What stays as it is: the statuses, which are the same in every language, Stripe's names
//! of events, and words that are quoted from somebody else.

use super::effects;
use clock::Timestamp;
use domain::booking::Booking;
use domain::case::CaseAction;
use domain::event::Source;
use domain::ids::BookingId;
use domain::lang::Lang;
use domain::money::Money;
use domain::payment::{EffectKind, Outcome};
use jiff::tz::TimeZone;
use serde::Serialize;
use store::cases::CaseRecord;
use store::ledger::Entry;
use store::outbox::{DeliveryRecord, Target};
use store::refund_intents::{IntentState, RefundIntent};
use store::{Store, StoreError};

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
    /// The same on the business's clocks.
    #[serde(rename = "localTime")]
    pub local_time: String,
    /// Who or what told it: `webhook`, `feed`, `poll`, `replay`, `customer`, a person, `service`.
    pub source: String,
    /// The same as people read it.
    pub teller: String,
    /// What happened and why.
    pub text: String,
}

impl Story {
    /// The story as lines of text.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let line = |step: &Step| format!("{}  [{}]  {}", step.local_time, step.teller, step.text);
        let steps = self.steps.iter().map(line);
        std::iter::once(self.summary.clone()).chain(steps).collect()
    }
}

/// Tells the story of a booking; none if there is no such booking.
///
/// # Errors
/// Any [`StoreError`].
pub async fn story(
    store: &Store,
    id: BookingId,
    lang: Lang,
    zone: &TimeZone,
) -> Result<Option<Story>, StoreError> {
    let mut tx = store.read().await?;
    let Some(booking) = tx.booking(id).await? else { return Ok(None) };
    let entries = tx.entries_of(id).await?;
    let cases = tx.cases_of(id).await?;
    let refunds = tx.refund_intents_of(id).await?;
    let deliveries = tx.deliveries_of(id).await?;
    let audit = tx.audit_of(&id.to_string()).await?;
    tx.rollback().await?;

    let teller = Teller { lang, zone };
    let mut steps = vec![teller.made(&booking)];
    steps.extend(entries.iter().map(|entry| teller.heard(entry)));
    for case in &cases {
        steps.extend(teller.case_steps(case));
    }
    for intent in &refunds {
        steps.extend(teller.refund_steps(intent, &booking));
    }
    steps.extend(deliveries.iter().map(|delivery| teller.told(delivery)));
    // What the audit log knows beyond refunds and cases, which were told already.
    for record in &audit {
        let text = match record.action.as_str() {
            "booking.cancelled" => lang.pick("La réservation a été annulée.", "The booking was cancelled."),
            "person.erased" => {
                lang.pick("Les données personnelles ont été effacées.", "The personal data was erased.")
            }
            _ => continue,
        };
        steps.push(teller.step(record.at, &record.actor, text.to_owned()));
    }
    steps.sort_by_key(|step| step.at);
    Ok(Some(Story { booking_id: id, summary: summary(&booking, lang), steps }))
}

fn summary(booking: &Booking, lang: Lang) -> String {
    let money = |amount| Money { amount, ..booking.price }.told(lang);
    let (price, back) = (money(booking.price.amount), money(booking.refunded_amount()));
    let paid = money(booking.payment().map_or(0, |payment| payment.amount));
    let status = booking.status();
    let (date, time) = (booking.slot.date(), booking.slot.time_text());
    match lang {
        Lang::Fr => format!(
            "Réservation {} ({}) pour le {:02}/{:02}/{} à {time} : {status} ; prix {price}, payé {paid}, remboursé {back}.",
            booking.code,
            booking.id,
            date.day(),
            date.month(),
            date.year()
        ),
        Lang::En => format!(
            "Booking {} ({}) for {date} {time}: {status}; price {price}, paid {paid}, refunded {back}.",
            booking.code, booking.id
        ),
    }
}

/// In whose language and on whose clocks a story is told.
#[derive(Clone, Copy)]
struct Teller<'a> {
    lang: Lang,
    zone: &'a TimeZone,
}

impl Teller<'_> {
    fn step(self, at: Timestamp, source: &str, text: String) -> Step {
        let teller = match (Source::parse(source), source) {
            (Some(road), _) => road.word(self.lang),
            (None, "customer") => self.lang.pick("client", "customer"),
            (None, "service") => self.lang.pick("le service", "the service"),
            (None, person) => person,
        };
        let (local_time, teller) = (self.moment(at), teller.to_owned());
        Step { at, local_time, source: source.to_owned(), teller, text }
    }

    fn moment(self, at: Timestamp) -> String {
        let format = self.lang.pick("%d/%m/%Y %H:%M:%S %Z", "%Y-%m-%d %H:%M:%S %Z");
        jiff::ZonedDateTime::new(at.to_jiff(), self.zone.clone()).strftime(format).to_string()
    }

    fn made(self, booking: &Booking) -> Step {
        let until = self.moment(booking.hold_expires_at);
        let text = match self.lang {
            Lang::Fr => format!("La réservation a été faite ; place réservée au moins jusqu'au {until}."),
            Lang::En => format!("The booking was made; its seat held at least until {until}."),
        };
        self.step(booking.created_at, "customer", text)
    }

    fn heard(self, entry: &Entry) -> Step {
        let by = match (entry.source, self.lang) {
            (Source::Webhook, Lang::Fr) => "Stripe a envoyé",
            (Source::Webhook, Lang::En) => "Stripe sent",
            (Source::Feed, Lang::Fr) => "Lu dans le flux d'événements de Stripe :",
            (Source::Feed, Lang::En) => "Read in Stripe's events feed:",
            (Source::Poll, Lang::Fr) => "Demandé à Stripe :",
            (Source::Poll, Lang::En) => "Asked Stripe:",
            (Source::Replay, Lang::Fr) => "Rejoué :",
            (Source::Replay, Lang::En) => "Replayed:",
        };
        let outcome = match (entry.outcome, self.lang) {
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
        let reason = entry.reason.map_or("", |reason| reason.sentence(self.lang));
        let times = match (entry.deliveries, self.lang) {
            (..=1, _) => String::new(),
            (n, Lang::Fr) => format!(" Reçu {n} fois."),
            (n, Lang::En) => format!(" Delivered {n} times."),
        };
        let text = format!("{by} {} ({}) — {outcome}. {reason}{times}", entry.kind, entry.event_key);
        self.step(entry.received_at, entry.source.as_str(), text)
    }

    fn case_steps(self, case: &CaseRecord) -> Vec<Step> {
        let opened = self.lang.pick("Un cas a été ouvert", "A case was opened");
        let deadline = case.deadline.map(|at| self.moment(at));
        let deadline = match (deadline, self.lang) {
            (None, _) => String::new(),
            (Some(at), Lang::Fr) => format!(" Avant le {at}."),
            (Some(at), Lang::En) => format!(" Before {at}."),
        };
        let (id, sentence, figures) = (case.id, case.sentence(self.lang), self.figures(case));
        let text = format!("{opened} ({id}). {sentence}{figures}{deadline}");
        let mut steps = vec![self.step(case.created_at, "service", text)];
        if let Some(at) = case.closed_at {
            let closed = self.lang.pick("Le cas a été réglé", "The case was settled");
            let action = case.resolution.as_deref().and_then(CaseAction::parse);
            let action = action.map(|action| action.sentence(self.lang)).unwrap_or_default();
            let separator = self.lang.pick(" : ", ": ");
            let note = case.note.as_deref().map(|note| format!(" « {note} »")).unwrap_or_default();
            let by = case.closed_by.as_deref().unwrap_or_default();
            steps.push(self.step(at, by, format!("{closed}{separator}{action}{note}")));
        }
        steps
    }

    /// What is at stake.
    fn figures(self, case: &CaseRecord) -> String {
        match case.detail.pick(self.lang) {
            "" => String::new(),
            detail => format!(" ({detail})"),
        }
    }

    fn refund_steps(self, intent: &RefundIntent, booking: &Booking) -> Vec<Step> {
        let amount = intent.money(booking.price.currency).told(self.lang);
        let asked = match self.lang {
            Lang::Fr => format!("Un remboursement de {amount} a été demandé."),
            Lang::En => format!("A refund of {amount} was asked for."),
        };
        let text = match intent.state {
            IntentState::Open => self
                .lang
                .pick(
                    "Stripe n'a pas encore dit si le remboursement est fait ; on le lui demande.",
                    "Stripe has not said yet whether it made the refund; it is being asked.",
                )
                .to_owned(),
            IntentState::Done => {
                let id = intent.stripe_refund_id.as_deref().unwrap_or_default();
                format!(
                    "{} {id}.",
                    self.lang.pick("Stripe a fait le remboursement", "Stripe made the refund")
                )
            }
            IntentState::Refused => {
                let why = intent.refusal.as_deref().unwrap_or_default();
                let refused =
                    self.lang.pick("Stripe a refusé le remboursement :", "Stripe refused the refund:");
                format!("{refused} « {why} »")
            }
        };
        vec![
            self.step(intent.created_at, &intent.requested_by, asked),
            self.step(intent.updated_at, "service", text),
        ]
    }

    fn told(self, delivery: &DeliveryRecord) -> Step {
        let what = match (EffectKind::parse(&delivery.kind), self.lang) {
            (Some(EffectKind::Paid), Lang::Fr) => "Paiement annoncé",
            (Some(EffectKind::Paid), Lang::En) => "Telling of the payment",
            (Some(EffectKind::Failed), Lang::Fr) => "Échec annoncé",
            (Some(EffectKind::Failed), Lang::En) => "Telling of the failure",
            (Some(EffectKind::Refunded), Lang::Fr) => "Remboursement annoncé",
            (Some(EffectKind::Refunded), Lang::En) => "Telling of the refund",
            (Some(EffectKind::Disputed), Lang::Fr) => "Litige annoncé",
            (Some(EffectKind::Disputed), Lang::En) => "Telling of the dispute",
            (Some(EffectKind::Cancelled), Lang::Fr) => "Annulation annoncée",
            (Some(EffectKind::Cancelled), Lang::En) => "Telling of the cancellation",
            (None, _) => delivery.kind.as_str(),
        };
        let whom = match (Target::parse(&delivery.target), self.lang) {
            (Some(Target::Customer), Lang::Fr) => "client",
            (Some(Target::Customer), Lang::En) => "customer",
            (Some(Target::Owner), Lang::Fr) => "propriétaire",
            (Some(Target::Owner), Lang::En) => "owner",
            (Some(Target::Notify), _) => "NOTIFY_URL",
            (None, _) => delivery.target.as_str(),
        };
        let state = match (delivery.state.as_str(), delivery.done_at, self.lang) {
            ("done", Some(_), Lang::Fr) => "informé",
            ("done", Some(_), Lang::En) => "told",
            ("done", None, Lang::Fr) => "plus à informer",
            ("done", None, Lang::En) => "not to be told any more",
            ("dead", _, Lang::Fr) => "abandonné",
            ("dead", _, Lang::En) => "given up",
            (_, _, Lang::Fr) => "pas encore informé",
            (_, _, Lang::En) => "not told yet",
        };
        let error = delivery
            .last_error
            .as_deref()
            .map(|error| format!(" ({})", effects::trouble_in_words(self.lang, error)));
        let separator = self.lang.pick(" : ", ": ");
        let at = delivery.done_at.unwrap_or(delivery.happened_at);
        let text = format!("{what}{separator}{whom} — {state}{}.", error.unwrap_or_default());
        self.step(at, "service", text)
    }
}
