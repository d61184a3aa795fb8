//! Telling others: notifications and mails, from the outbox.
//!
//! **Invariants.** Nothing leaves before the change it tells of is committed. Everything leaves at least
//! once, each time under the same key, so that a receiver can tell a repetition. What cannot be
//! delivered is given up visibly, never silently.

mod cases;
mod mail;

use super::home;
use crate::app::App;
use crate::config::{Config, NotifySettings};
use crate::failpoint;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clock::Timestamp;
use domain::backoff::Backoff;
use domain::booking::{Booking, Status};
use domain::lang::Lang;
use domain::payment::EffectKind;
use futures_util::StreamExt;
use hmac::{Hmac, KeyInit, Mac};
use http_client::{HttpClient, HttpError, Method};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use sha2::{Digest, Sha256};
use std::time::Duration;
use store::StoreError;
use store::outbox::{Audience, Delivery, Target, Told};
use store::privacy::FORGOTTEN;
use tracing::Instrument;

/// While we deliver, nobody else does.
const LEASE: Duration = Duration::from_secs(120);
/// Deliveries that are taken at once.
const AT_ONCE: i64 = 20;
/// Bookings whose deliveries are under way at once.
const SIDE_BY_SIDE: usize = 8;
/// How long one delivery may take, all answers of a mail server together, so that what was taken at once ends
/// within the lease.
const LONGEST_DELIVERY: Duration = Duration::from_secs(35);
/// The wait after a failure.
const WAIT: Backoff = Backoff::new(Duration::from_secs(5), Duration::from_secs(6 * 3600));
/// After so many tries, about two days, a delivery is given up.
const MAX_TRIES: i32 = 20;
/// How long a receiver may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Chooses who is told of what happened, and delivers what is due. Returns how much was delivered.
///
/// # Errors
/// [`StoreError`]. A receiver that fails is no error: the delivery is tried again.
pub async fn deliver_due(app: &App) -> Result<usize, StoreError> {
    let mut tx = app.store.begin().await?;
    let at_home = home::is_here(&mut tx, app).await?;
    tx.commit().await?;
    if !at_home {
        // A copy of the database: what happened is told where it is at home.
        return Ok(0);
    }
    // Neither waits for the other's receivers.
    let (of_cases, of_bookings) = tokio::join!(cases::tell_due(app), tell_due(app));
    Ok(of_cases? + of_bookings?)
}

/// Tells what happened to bookings, as far as it is due. Returns how much was told.
async fn tell_due(app: &App) -> Result<usize, StoreError> {
    while fan_out(app).await? {}
    let mut tx = app.store.begin().await?;
    let due = tx.take_due_deliveries(app.clock.now(), LEASE, AT_ONCE).await?;
    tx.commit().await?;
    // What happened to one booking is told in its order; a receiver that hangs holds up no other booking.
    let mut by_booking: Vec<Vec<Delivery>> = Vec::new();
    for delivery in due {
        match by_booking.iter_mut().find(|same| same[0].booking == delivery.booking) {
            Some(same) => same.push(delivery),
            None => by_booking.push(vec![delivery]),
        }
    }
    let telling: Vec<_> = by_booking.into_iter().map(|deliveries| tell_in_order(app, deliveries)).collect();
    let mut telling = futures_util::stream::iter(telling).buffer_unordered(SIDE_BY_SIDE);
    let (mut done, mut failed) = (0, None);
    while let Some(told) = telling.next().await {
        match told {
            Ok(count) => done += count,
            Err(error) => {
                failed.get_or_insert(error);
            }
        }
    }
    failed.map_or(Ok(done), Err)
}

async fn tell_in_order(app: &App, deliveries: Vec<Delivery>) -> Result<usize, StoreError> {
    let mut done = 0;
    for delivery in deliveries {
        let result = in_time(delivery.kind.as_str(), delivery.target, deliver(app, &delivery)).await;
        let delivered = Delivered {
            told: Told::Booking,
            id: &delivery.id,
            target: delivery.target,
            kind: delivery.kind.as_str(),
            tries: delivery.tries,
        };
        done += usize::from(mark(app, &delivered, result).await?);
    }
    Ok(done)
}

/// A delivery's end, within the time that it may take, as a span of its own.
async fn in_time(
    kind: &str,
    target: Target,
    delivering: impl Future<Output = Result<(), Failure>>,
) -> Result<(), Failure> {
    let span = tracing::info_span!(
        "effect",
        otel.kind = "producer",
        otel.name = format_args!("{kind} to {}", target.as_str()),
    );
    let result = tokio::time::timeout(LONGEST_DELIVERY, delivering.instrument(span)).await;
    result.unwrap_or_else(|_| Err(Failure::passing(Trouble::Silent)))
}

/// A delivery that was tried.
struct Delivered<'a> {
    told: Told,
    id: &'a str,
    target: Target,
    kind: &'static str,
    /// How often before.
    tries: i32,
}

/// Marks what became of a delivery. Returns whether it arrived.
async fn mark(app: &App, delivered: &Delivered<'_>, result: Result<(), Failure>) -> Result<bool, StoreError> {
    failpoint::here("effects.after_send");
    let &Delivered { told, id, target, kind, tries } = delivered;
    let now = app.clock.now();
    let mut tx = app.store.begin().await?;
    let arrived = result.is_ok();
    match result {
        Ok(()) => tx.delivery_done(told, id, now).await?,
        Err(failure) if failure.trouble == Trouble::Outdated => {
            tx.delivery_dropped(told, id, &failure.trouble.to_string()).await?;
        }
        Err(failure) => {
            let next = failure.next_try(tries, now);
            tx.delivery_failed(told, id, &failure.trouble.to_string(), next).await?;
            tracing::warn!(
                module = "effects",
                action = if next.is_some() { "effect.failed" } else { "effect.given_up" },
                target = target.as_str(),
                kind = kind,
                tries = tries + 1,
            );
        }
    }
    tx.commit().await?;
    Ok(arrived)
}

/// Who hears from this service, for what it records itself: if nobody, that need not be found out again for each
/// effect. A command cannot tell, it may run without the service's settings.
#[must_use]
pub fn audience(config: &Config) -> Audience {
    if config.notify.is_none() && config.mail.is_none() { Audience::Nobody } else { Audience::ToBeChosen }
}

/// Chooses the receivers of what happened; `false` if nothing is left to choose for.
async fn fan_out(app: &App) -> Result<bool, StoreError> {
    let mut tx = app.store.begin().await?;
    let entries = tx.effects_to_fan_out(100).await?;
    if entries.is_empty() {
        tx.rollback().await?;
        return Ok(false);
    }
    let mut deliveries = Vec::new();
    for entry in &entries {
        let targets = [
            app.config.notify.is_some().then_some(Target::Notify),
            (app.config.mail.is_some() && concerns_customer(entry.kind)).then_some(Target::Customer),
            app.config.mail.is_some().then_some(Target::Owner),
        ];
        deliveries.extend(targets.into_iter().flatten().map(|target| (entry.id.clone(), target)));
    }
    tx.fan_out(&entries, &deliveries, app.clock.now()).await?;
    tx.commit().await?;
    Ok(true)
}

/// A dispute is between the owner and the bank: no mail of ours helps there.
fn concerns_customer(kind: EffectKind) -> bool {
    match kind {
        EffectKind::Paid | EffectKind::Failed | EffectKind::Refunded | EffectKind::Cancelled => true,
        EffectKind::Disputed => false,
    }
}

/// What can go wrong with a delivery, as it is kept and shown: no personal data, no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Trouble {
    /// The receiver's HTTP status.
    Answered(u16),
    /// No connection.
    Unreachable,
    /// A connection and no answer in time.
    Silent,
    /// What is wrong in the configuration, by the variable's name.
    Setting(&'static str),
    /// The mail server's code: it does not let us in.
    LoginRefused(String),
    /// The mail server's code: never.
    MailRefused(String),
    /// The mail server's code: not now.
    MailPutOff(String),
    /// The customer's address.
    Address,
    /// The mail could not be put together.
    Unwritable,
    /// Something of ours.
    Internal,
    /// It is not true any more, so nobody is told.
    Outdated,
    /// The person was forgotten before.
    Forgotten,
}

impl Trouble {
    fn in_words(&self, lang: Lang) -> String {
        let (fr, en) = match self {
            Self::Answered(status) => {
                (format!("le destinataire a répondu {status}"), format!("the receiver answered {status}"))
            }
            Self::Unreachable => {
                ("le destinataire est injoignable".to_owned(), "the receiver could not be reached".to_owned())
            }
            Self::Silent => {
                ("le destinataire n'a pas répondu".to_owned(), "the receiver did not answer".to_owned())
            }
            Self::Setting(name) => (format!("{name} est inutilisable"), format!("{name} cannot be used")),
            Self::LoginRefused(code) => (
                format!("le serveur de courrier refuse notre connexion ({code})"),
                format!("the mail server does not let us in ({code})"),
            ),
            Self::MailRefused(code) => (
                format!("le serveur de courrier l'a refusé ({code})"),
                format!("the mail server refused it ({code})"),
            ),
            Self::MailPutOff(code) => (
                format!("le serveur de courrier l'a remis à plus tard ({code})"),
                format!("the mail server put it off ({code})"),
            ),
            Self::Address => {
                ("l'adresse est inutilisable".to_owned(), "the address cannot be used".to_owned())
            }
            Self::Unwritable => {
                ("le courrier n'a pu être écrit".to_owned(), "the mail cannot be written".to_owned())
            }
            Self::Internal => {
                ("la réservation n'a pu être lue".to_owned(), "the booking could not be read".to_owned())
            }
            Self::Outdated => ("ce n'est plus vrai".to_owned(), "it is not true any more".to_owned()),
            Self::Forgotten => ("la personne a été oubliée".to_owned(), FORGOTTEN.to_owned()),
        };
        match lang {
            Lang::Fr => fr,
            Lang::En => en,
        }
    }

    /// What [`Trouble::in_words`] says in English, read again.
    fn parse(text: &str) -> Option<Self> {
        let plain = [
            Self::Unreachable,
            Self::Silent,
            Self::Setting("NOTIFY_URL"),
            Self::Setting("SMTP_URL"),
            Self::Setting("MAIL_FROM"),
            Self::Address,
            Self::Unwritable,
            Self::Internal,
            Self::Outdated,
            Self::Forgotten,
        ];
        let status = || text.strip_prefix("the receiver answered ")?.parse().ok().map(Self::Answered);
        let code = || Some(text.strip_suffix(')')?.rsplit_once('(')?.1.to_owned());
        let coded = [Self::LoginRefused, Self::MailRefused, Self::MailPutOff];
        let with_code =
            || coded.into_iter().map(|trouble| trouble(code().unwrap_or_default())).find(is_text(text));
        plain.into_iter().find(is_text(text)).or_else(status).or_else(with_code)
    }
}

fn is_text(text: &str) -> impl Fn(&Trouble) -> bool {
    move |trouble| trouble.to_string() == text
}

/// As the database keeps it.
impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.in_words(Lang::En))
    }
}

/// The trouble that the database keeps of a delivery, in the reader's language.
pub(super) fn trouble_in_words(lang: Lang, kept: &str) -> String {
    Trouble::parse(kept).map_or_else(|| kept.to_owned(), |trouble| trouble.in_words(lang))
}

/// Why a delivery failed.
#[derive(Debug)]
struct Failure {
    trouble: Trouble,
    /// Whether another try is of no use.
    is_final: bool,
}

impl Failure {
    fn passing(trouble: Trouble) -> Self {
        Self { trouble, is_final: false }
    }

    fn last(trouble: Trouble) -> Self {
        Self { trouble, is_final: true }
    }

    /// When the next try is; none gives the delivery up.
    fn next_try(&self, tries: i32, now: Timestamp) -> Option<Timestamp> {
        if self.is_final || tries + 1 >= MAX_TRIES {
            return None;
        }
        Some(now.plus(WAIT.after(tries)))
    }
}

async fn deliver(app: &App, delivery: &Delivery) -> Result<(), Failure> {
    let mut tx = app.store.read().await.map_err(unreadable)?;
    let booking = tx.booking(delivery.booking).await.map_err(unreadable)?;
    let state = tx.checkout_state(delivery.booking).await.map_err(unreadable)?;
    let offer = match &booking {
        Some(booking) => tx.offer(booking.offer).await.map_err(unreadable)?,
        None => None,
    };
    tx.rollback().await.map_err(unreadable)?;
    let booking = booking.ok_or_else(|| Failure::last(Trouble::Internal))?;
    match delivery.target {
        Target::Notify => {
            let settings =
                app.config.notify.as_ref().ok_or_else(|| Failure::passing(Trouble::Setting("NOTIFY_URL")))?;
            post(settings, &delivery.effect_key, notification(delivery, &booking), app.clock.now()).await
        }
        Target::Customer | Target::Owner => {
            let lang = state.map(|state| state.lang).unwrap_or_default();
            let offer = offer.map(|offer| offer.name).unwrap_or_default();
            mail::send(app, delivery, &booking, &offer, lang).await
        }
    }
}

fn unreadable(error: StoreError) -> Failure {
    tracing::warn!(module = "effects", action = "effect.unreadable", "{error}");
    Failure::passing(Trouble::Internal)
}

/// The key under which a receiver hears of an effect, however often: made of what happened, so that it
/// is the same even after a backup was restored.
fn message_id(effect_key: &str) -> String {
    let digest = hex::encode(Sha256::digest(effect_key));
    format!("msg_{}", digest.get(..32).unwrap_or(&digest))
}

/// Posts it, signed as the Standard Webhooks specification says.
async fn post(settings: &NotifySettings, key: &str, body: String, now: Timestamp) -> Result<(), Failure> {
    let id = message_id(key);
    let timestamp = now.as_unix_seconds().to_string();
    let signature = sign(&settings.secret, &id, &timestamp, &body);
    let http = HttpClient::new(TIMEOUT).map_err(|_| Failure::passing(Trouble::Internal))?;
    let headers = [
        ("content-type", "application/json"),
        ("user-agent", concat!("checkout-backend/", env!("CARGO_PKG_VERSION"))),
        ("webhook-id", id.as_str()),
        ("webhook-timestamp", timestamp.as_str()),
        ("webhook-signature", signature.as_str()),
    ];
    let url = settings.url.expose_secret();
    match http.send(Method::Post, url, &headers, body.into_bytes()).await {
        Ok(answer) if answer.is_success() => Ok(()),
        // The specification's word for: never again.
        Ok(answer) if answer.status == 410 => Err(Failure::last(Trouble::Answered(410))),
        Ok(answer) => Err(Failure::passing(Trouble::Answered(answer.status))),
        Err(HttpError::Connect(_)) => Err(Failure::passing(Trouble::Unreachable)),
        Err(HttpError::Lost(_)) => Err(Failure::passing(Trouble::Silent)),
        Err(HttpError::Invalid(_)) => Err(Failure::passing(Trouble::Setting("NOTIFY_URL"))),
    }
}

/// What is posted. No name and no address: whoever needs them asks the API.
fn notification(delivery: &Delivery, booking: &Booking) -> String {
    json!({
        "type": delivery.kind.as_str(),
        "timestamp": delivery.happened_at,
        "data": {
            "bookingId": booking.id,
            "bookingCode": booking.code,
            "status": booking.status().as_str(),
            "offerId": booking.offer,
            "date": booking.slot.date().to_string(),
            "time": booking.slot.time_text(),
            "amount": booking.price.amount,
            "currency": booking.price.currency.as_str(),
            "amountPaid": booking.payment().map_or(0, |payment| payment.amount),
            "amountRefunded": booking.refunded_amount(),
            "stripeSessionId": booking.session.as_ref().map(|session| session.as_str()),
        },
    })
    .to_string()
}

/// `v1,` and the HMAC of id, time and body. A secret that begins with `whsec_` is base64 after it, as in
/// the specification; any other is taken as it is.
fn sign(secret: &SecretString, id: &str, timestamp: &str, body: &str) -> String {
    let secret = secret.expose_secret();
    let decoded = secret.strip_prefix("whsec_").and_then(|encoded| STANDARD.decode(encoded).ok());
    let key = decoded.unwrap_or_else(|| secret.as_bytes().to_vec());
    // HMAC takes keys of any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&key) else { return String::new() };
    mac.update(format!("{id}.{timestamp}.{body}").as_bytes());
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

/// Whether a mail about this would still be true: nobody is told of a payment that is gone by now, nor that a
/// booking is confirmed whose money went back.
fn still_true(kind: EffectKind, booking: &Booking) -> bool {
    match kind {
        EffectKind::Paid => booking.payment().is_some() && booking.keeps_seat(),
        EffectKind::Failed => booking.status() == Status::Failed,
        EffectKind::Refunded => booking.refunded_amount() > 0,
        EffectKind::Disputed => true,
        EffectKind::Cancelled => booking.cancelled.is_some(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the Standard Webhooks specification's own libraries.
    #[test]
    fn a_notification_is_signed_as_the_specification_says() {
        let secret = SecretString::from("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let signature =
            sign(&secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", r#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn every_trouble_that_is_kept_can_be_told_in_french() {
        let code = || "550".to_owned();
        for trouble in [
            Trouble::Answered(503),
            Trouble::Unreachable,
            Trouble::Silent,
            Trouble::Setting("NOTIFY_URL"),
            Trouble::Setting("SMTP_URL"),
            Trouble::Setting("MAIL_FROM"),
            Trouble::LoginRefused(code()),
            Trouble::MailRefused(code()),
            Trouble::MailPutOff(code()),
            Trouble::Address,
            Trouble::Unwritable,
            Trouble::Internal,
            Trouble::Outdated,
            Trouble::Forgotten,
        ] {
            let kept = trouble.to_string();
            assert_eq!(trouble_in_words(Lang::En, &kept), kept);
            assert_eq!(trouble_in_words(Lang::Fr, &kept), trouble.in_words(Lang::Fr), "{kept}");
        }
        assert_eq!(trouble_in_words(Lang::Fr, "of an older version"), "of an older version");
    }

    #[test]
    fn the_key_of_an_effect_never_changes() {
        assert_eq!(message_id("a"), message_id("a"));
        assert_ne!(message_id("a"), message_id("b"));
        assert_eq!(message_id("a").len(), 36);
    }
}
