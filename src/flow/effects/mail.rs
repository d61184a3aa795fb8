//! Mails: what they say, and the way out.

use super::{Failure, Trouble, message_id, still_true};
use crate::app::App;
use crate::config::MailSettings;
use crate::flow::{bookings, business};
use domain::booking::Booking;
use domain::business::Business;
use domain::calendar;
use domain::lang::Lang;
use domain::money::Money;
use domain::payment::EffectKind;
use domain::plain_name::plain_name;
use lettre::message::Mailbox;
use lettre::message::header::{self, HeaderName, HeaderValue};
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use secrecy::ExposeSecret;
use std::time::Duration;
use store::outbox::{Delivery, DeliveryRecord, Target};

/// How long a mail server may take for one answer.
const TIMEOUT: Duration = Duration::from_secs(15);

/// Sends the mail of a delivery.
pub(super) async fn send(
    app: &App,
    delivery: &Delivery,
    booking: &Booking,
    offer: &str,
    lang: Lang,
) -> Result<(), Failure> {
    let Some(settings) = &app.config.mail else { return Err(Failure::passing(Trouble::Setting("SMTP_URL"))) };
    if delivery.target == Target::Customer && !still_true(delivery.kind, booking) {
        return Err(Failure::last(Trouble::Outdated));
    }
    if delivery.target == Target::Customer && booking.payment().is_none() && was_told(app, booking).await? {
        return Err(Failure::last(Trouble::Outdated));
    }
    let shop = business::shop(app).await;
    let shop = shop.as_ref().map(|shop| &shop.business);
    let from = sender(settings, shop)?;
    let (to, lang) = match delivery.target {
        Target::Customer => (booking.customer.email.as_str(), lang),
        Target::Owner | Target::Notify => owner(app, settings, shop),
    };
    let to = mailbox(to)?;
    let (subject, mut body) = match delivery.target {
        Target::Customer => {
            let own = format!("{}{}", app.config.app_url, bookings::own_path(&app.config, booking));
            to_customer(delivery.kind, booking, offer, &app.config.app_url, &own, lang)
        }
        Target::Owner | Target::Notify => to_owner(delivery.kind, booking, offer, &app.config.app_url, lang),
    };
    if let (Target::Customer, Some(shop)) = (delivery.target, shop) {
        body.push_str(&signature(shop));
    }
    let key = format!("{}-{}", message_id(&delivery.effect_key), delivery.target.as_str());
    post(settings, Letter { from, to, key, subject, body }).await
}

/// Whose mails they are: the business's, by its name.
pub(super) fn sender(settings: &MailSettings, shop: Option<&Business>) -> Result<Mailbox, Failure> {
    let mut from: Mailbox =
        settings.from.parse().map_err(|_| Failure::passing(Trouble::Setting("MAIL_FROM")))?;
    if let Some(shop) = shop {
        from.name = Some(shop.name().to_owned());
    }
    Ok(from)
}

/// The owner's address and language; until they say otherwise the service's own.
pub(super) fn owner<'a>(
    app: &'a App,
    settings: &'a MailSettings,
    shop: Option<&Business>,
) -> (&'a str, Lang) {
    let to = app.config.admin_email.as_deref().unwrap_or(settings.from.as_str());
    (to, shop.and_then(Business::mail_lang).unwrap_or_default())
}

/// An address, its host by its name in ASCII.
pub(super) fn mailbox(address: &str) -> Result<Mailbox, Failure> {
    let address = domain::booking::mail_address(address).unwrap_or_else(|| address.to_owned());
    address.parse().map_err(|_| Failure::last(Trouble::Address))
}

/// A mail that is written.
pub(super) struct Letter {
    /// Whose.
    pub from: Mailbox,
    /// To whom.
    pub to: Mailbox,
    /// The same for each try: mail programs show a repetition once.
    pub key: String,
    /// What it is about.
    pub subject: String,
    /// What it says.
    pub body: String,
}

/// Takes a mail to the server.
pub(super) async fn post(settings: &MailSettings, letter: Letter) -> Result<(), Failure> {
    let Letter { from, to, key, subject, body } = letter;
    let domain = from.email.domain().to_owned();
    let message = Message::builder()
        .from(from)
        .to(to)
        .subject(subject)
        .message_id(Some(format!("<{key}@{domain}>")))
        .header(header::ContentType::TEXT_PLAIN)
        // Absence notices and other programs do not answer a program (RFC 3834).
        .raw_header(HeaderValue::new(
            HeaderName::new_from_ascii_str("Auto-Submitted"),
            "auto-generated".to_owned(),
        ))
        .body(body)
        .map_err(|_| Failure::last(Trouble::Unwritable))?;
    let transport = AsyncSmtpTransport::<Tokio1Executor>::from_url(settings.smtp_url.expose_secret())
        .map_err(|_| Failure::passing(Trouble::Setting("SMTP_URL")))?
        .timeout(Some(TIMEOUT))
        .build();
    match transport.send(message).await {
        Ok(_) => Ok(()),
        // The server's words may quote the address: only the code is kept.
        Err(error) => {
            let code = error.status().map_or_else(|| "no code".to_owned(), |code| code.to_string());
            Err(match code.as_str() {
                // Our user name or password, or that we gave none: the owner corrects it, and the mail is due
                // still.
                "530" | "534" | "535" | "538" => Failure::passing(Trouble::LoginRefused(code)),
                _ if error.is_permanent() => Failure::last(Trouble::MailRefused(code)),
                _ if error.is_transient() => Failure::passing(Trouble::MailPutOff(code)),
                _ => Failure::passing(Trouble::Unreachable),
            })
        }
    }
}

/// Who sells here, below the line by which mail programs tell a signature from what was said.
fn signature(shop: &Business) -> String {
    let lines = [Some(shop.name()), shop.address(), shop.phone(), shop.email()];
    let lines: Vec<&str> = lines.into_iter().flatten().collect();
    format!("\n-- \n{}\n", lines.join("\n"))
}

/// Whether the customer had a mail about this booking already. Who never paid may be anybody, whose address a
/// stranger typed: one mail is enough.
async fn was_told(app: &App, booking: &Booking) -> Result<bool, Failure> {
    let told = async {
        let mut tx = app.store.read().await?;
        tx.deliveries_of(booking.id).await
    };
    let told: Vec<DeliveryRecord> =
        told.await.map_err(|_: store::StoreError| Failure::passing(Trouble::Unreachable))?;
    Ok(told.iter().any(|told| told.target == Target::Customer.as_str() && told.state == "done"))
}

fn to_customer(
    kind: EffectKind,
    booking: &Booking,
    offer: &str,
    app_url: &str,
    own: &str,
    lang: Lang,
) -> (String, String) {
    let slot = calendar::slot(lang, &booking.slot);
    let paid = money(booking, booking.payment().map_or(booking.price.amount, |payment| payment.amount), lang);
    let refunded = money(booking, booking.refunded_amount(), lang);
    let (subject, text) = match (kind, lang) {
        (EffectKind::Paid, Lang::Fr) => (
            format!("Réservation confirmée : {offer}, {slot}"),
            format!(
                "Votre paiement de {paid} est arrivé. Votre réservation est confirmée :\n{offer}, {slot}."
            ),
        ),
        (EffectKind::Paid, Lang::En) => (
            format!("Booking confirmed: {offer}, {slot}"),
            format!("Your payment of {paid} has arrived. Your booking is confirmed:\n{offer}, {slot}."),
        ),
        (EffectKind::Failed, Lang::Fr) => (
            format!("Paiement non abouti : {offer}, {slot}"),
            format!(
                "Votre paiement pour {offer}, {slot}, n'a pas abouti. Rien n'a été débité et la place n'est \
                 plus réservée. Vous pouvez réserver à nouveau."
            ),
        ),
        (EffectKind::Failed, Lang::En) => (
            format!("Payment failed: {offer}, {slot}"),
            format!(
                "Your payment for {offer}, {slot}, did not go through. Nothing was charged and the slot is \
                 no longer held. You can book again."
            ),
        ),
        // What goes back is told once Stripe has said so.
        (EffectKind::Cancelled, Lang::Fr) => (
            format!("Réservation annulée : {offer}, {slot}"),
            format!("Votre réservation a été annulée : {offer}, {slot}. La place n'est plus à vous."),
        ),
        (EffectKind::Cancelled, Lang::En) => (
            format!("Booking cancelled: {offer}, {slot}"),
            format!("Your booking has been cancelled: {offer}, {slot}. The seat is not yours any more."),
        ),
        (EffectKind::Refunded | EffectKind::Disputed, Lang::Fr) => (
            format!("Remboursement : {offer}, {slot}"),
            format!(
                "Au total, {refunded} vous ont été remboursés pour {offer}, {slot}. L'argent arrive en \
                 quelques jours par le moyen de paiement utilisé. {}",
                holds(booking, lang)
            ),
        ),
        (EffectKind::Refunded | EffectKind::Disputed, Lang::En) => (
            format!("Refund: {offer}, {slot}"),
            format!(
                "In total, {refunded} have been refunded to you for {offer}, {slot}. The money arrives within \
                 some days by the same way that you paid. {}",
                holds(booking, lang)
            ),
        ),
    };
    let (hello, reference) = match lang {
        Lang::Fr => ("Bonjour", "Référence"),
        Lang::En => ("Hello", "Reference"),
    };
    let separator = lang.pick(" : ", ": ");
    let name = plain_name(&booking.customer.first_name);
    let hello = if name.is_empty() { hello.to_owned() } else { format!("{hello} {name}") };
    // Days later the browser knows nothing of the booking any more: the mail does.
    let (offered, link) = match (kind, booking.payment()) {
        (EffectKind::Failed, _) | (_, None) => (lang.pick("Réserver", "Book"), format!("{app_url}/")),
        (_, Some(payment)) => (
            lang.pick("Votre réservation", "Your booking"),
            format!("{app_url}/success?session_id={}", payment.session),
        ),
    };
    let (id, code, page) =
        (booking.id, booking.code, lang.pick("Votre page de réservation", "Your booking's page"));
    let body = format!(
        "{hello},\n\n{text}\n\n{page}{separator}{own}\n{offered}{separator}{link}\n{reference}{separator}{code} ({id})\n"
    );
    (subject, body)
}

/// Whether a booking still holds of which money went back, where that can be said.
fn holds(booking: &Booking, lang: Lang) -> &'static str {
    if !booking.keeps_seat() {
        lang.pick("Votre réservation est annulée.", "Your booking is cancelled.")
    } else if booking.payment().is_some() && booking.seat.is_some() {
        lang.pick("Votre réservation reste valable.", "Your booking is still valid.")
    } else {
        ""
    }
}

fn to_owner(kind: EffectKind, booking: &Booking, offer: &str, app_url: &str, lang: Lang) -> (String, String) {
    let what = match kind {
        EffectKind::Paid => lang.pick("Payé", "Paid"),
        EffectKind::Failed => lang.pick("Paiement échoué", "Payment failed"),
        EffectKind::Refunded => lang.pick("Remboursé", "Refunded"),
        EffectKind::Disputed => lang.pick("Litige", "Dispute"),
        EffectKind::Cancelled => lang.pick("Annulé", "Cancelled"),
    };
    let slot = calendar::slot(lang, &booking.slot);
    let price = money(booking, booking.price.amount, lang);
    let back = match booking.refunded_amount() {
        0 => String::new(),
        sum => format!("{}{}\n", lang.pick("Remboursé : ", "Refunded: "), money(booking, sum, lang)),
    };
    let customer = &booking.customer;
    let (first, last) = (plain_name(&customer.first_name), plain_name(&customer.last_name));
    let who = format!("{first} {last} <{}>", customer.email);
    let link = format!("{app_url}/dashboard/bookings/{}", booking.id);
    let status = booking.status();
    let states = lang.pick("Statut : ", "Status: ");
    (
        format!("{what}{}{offer}, {slot}", lang.pick(" : ", ": ")),
        format!("{who}\n{offer}, {slot}\n{price}\n{back}{states}{status}\n\n{link}\n"),
    )
}

fn money(booking: &Booking, amount: i64, lang: Lang) -> String {
    Money { amount, ..booking.price }.told(lang)
}
