//! Cases, told to whoever runs the shop: each once when it is opened, and once more before its deadline.

use super::mail::{self, Letter};
use super::{
    AT_ONCE, Delivered, Failure, LEASE, SIDE_BY_SIDE, Trouble, in_time, mark, message_id, post, unreadable,
};
use crate::app::App;
use crate::flow::business;
use clock::Timestamp;
use domain::booking::Booking;
use domain::calendar;
use domain::lang::Lang;
use domain::money::{Currency, Money};
use domain::notice::CaseNotice;
use domain::plain_name::plain_name;
use futures_util::StreamExt;
use serde_json::json;
use store::StoreError;
use store::cases::CaseRecord;
use store::notices::Notice;
use store::outbox::{Target, Told};

/// Cases for which receivers are chosen at once.
const PLANNED_AT_ONCE: i64 = 100;

/// Chooses who is told of cases, and tells what is due. Returns how much was told.
pub(super) async fn tell_due(app: &App) -> Result<usize, StoreError> {
    let targets: Vec<Target> = [
        app.config.notify.is_some().then_some(Target::Notify),
        app.config.mail.is_some().then_some(Target::Owner),
    ]
    .into_iter()
    .flatten()
    .collect();
    let now = app.clock.now();
    let mut tx = app.store.begin().await?;
    tx.plan_notices(&targets, now, PLANNED_AT_ONCE).await?;
    let due = tx.take_due_notices(now, LEASE, AT_ONCE).await?;
    tx.commit().await?;
    let telling: Vec<_> = due.into_iter().map(|notice| tell_and_mark(app, notice)).collect();
    let told = futures_util::stream::iter(telling).buffer_unordered(SIDE_BY_SIDE).collect::<Vec<_>>().await;
    told.into_iter().sum()
}

async fn tell_and_mark(app: &App, notice: Notice) -> Result<usize, StoreError> {
    let kind = notice.what.as_str();
    let result = in_time(kind, notice.target, tell(app, &notice)).await;
    let (id, target, tries) = (notice.id.as_str(), notice.target, notice.tries);
    let delivered = Delivered { told: Told::Case, id, target, kind, tries };
    Ok(usize::from(mark(app, &delivered, result).await?))
}

async fn tell(app: &App, notice: &Notice) -> Result<(), Failure> {
    let mut tx = app.store.read().await.map_err(unreadable)?;
    let case = tx.case(notice.case, false).await.map_err(unreadable)?;
    let case = case.ok_or_else(|| Failure::last(Trouble::Internal))?;
    let booking = match case.booking_id {
        Some(id) => tx.booking(id).await.map_err(unreadable)?,
        None => None,
    };
    let offer = match &booking {
        Some(booking) => tx.offer(booking.offer).await.map_err(unreadable)?,
        None => None,
    };
    tx.rollback().await.map_err(unreadable)?;
    let now = app.clock.now();
    if !notice.what.is_due(case.closed_at.is_some(), case.deadline, now) {
        return Err(Failure::last(Trouble::Outdated));
    }
    let key = format!("{}:{}", notice.what.as_str(), case.id);
    match notice.target {
        Target::Notify => {
            let settings =
                app.config.notify.as_ref().ok_or_else(|| Failure::passing(Trouble::Setting("NOTIFY_URL")))?;
            post(settings, &key, notification(notice, &case, booking.as_ref()), now).await
        }
        Target::Owner | Target::Customer => {
            let settings =
                app.config.mail.as_ref().ok_or_else(|| Failure::passing(Trouble::Setting("SMTP_URL")))?;
            let shop = business::shop(app).await;
            let shop = shop.as_ref().map(|shop| &shop.business);
            let from = mail::sender(settings, shop)?;
            let (to, lang) = mail::owner(app, settings, shop);
            let to = mail::mailbox(to)?;
            let offer = offer.map(|offer| offer.name).unwrap_or_default();
            let (subject, body) = letter(app, notice.what, &case, booking.as_ref(), &offer, lang);
            let key = format!("{}-{}", message_id(&key), notice.target.as_str());
            mail::post(settings, Letter { from, to, key, subject, body }).await
        }
    }
}

/// What is posted. No name and no address: whoever needs them asks the API.
fn notification(notice: &Notice, case: &CaseRecord, booking: Option<&Booking>) -> String {
    json!({
        "type": notice.what.as_str(),
        "timestamp": notice.created_at,
        "data": {
            "caseId": case.id,
            "kind": case.kind.as_str(),
            "bookingId": case.booking_id,
            "bookingCode": booking.map(|booking| booking.code),
            "amount": case.amount,
            "currency": case.currency,
            "deadline": case.deadline,
            "stripeSessionId": case.stripe_session_id,
            "paymentIntentId": case.payment_intent_id,
        },
    })
    .to_string()
}

fn letter(
    app: &App,
    what: CaseNotice,
    case: &CaseRecord,
    booking: Option<&Booking>,
    offer: &str,
    lang: Lang,
) -> (String, String) {
    let colon = lang.pick(" : ", ": ");
    let sum = case.amount.zip(case.currency.as_deref()).map(|(amount, code)| {
        Currency::parse(code)
            .map_or_else(|_| format!("{amount} {code}"), |currency| Money { amount, currency }.told(lang))
    });
    let who = booking.map(|booking| {
        let customer = &booking.customer;
        let (first, last) = (plain_name(&customer.first_name), plain_name(&customer.last_name));
        format!("{first} {last} <{}>\n{offer}, {}\n", customer.email, calendar::slot(lang, &booking.slot))
    });
    let deadline = case.deadline.map(|deadline| day(app, deadline));
    let subject = match (what, &deadline) {
        (CaseNotice::Deadline, Some(day)) => {
            lang.pick("À répondre avant le ", "To be answered before ").to_owned() + day
        }
        (CaseNotice::Deadline | CaseNotice::Opened, _) => {
            lang.pick("Une décision vous attend", "A decision waits for you").to_owned()
        }
    };
    let subject = match &sum {
        Some(sum) => format!("{subject}{colon}{sum}"),
        None => subject,
    };
    let mut body = format!("{}\n\n{}", case.sentence(lang), who.unwrap_or_default());
    let line = |name: &str, value: Option<&String>| {
        value.map(|value| format!("{name}{colon}{value}\n")).unwrap_or_default()
    };
    body += &line(lang.pick("Montant", "Amount"), sum.as_ref());
    body += &line(lang.pick("Date limite", "Deadline"), deadline.as_ref());
    body += &format!("\n{}/dashboard/cases/{}\n", app.config.app_url, case.id);
    (subject, body)
}

fn day(app: &App, at: Timestamp) -> String {
    app.config.timezone.to_datetime(at.to_jiff()).strftime("%Y-%m-%d %H:%M").to_string()
}
