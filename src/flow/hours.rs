//! When it is open, and what can be booked now. The rules themselves are `domain::hours`.
//!
//! **Invariant.** What is shown as free and what is refused when it is booked are one rule, asked twice.

use super::accounts::Actor;
use crate::app::App;
use clock::Timestamp;
use domain::hours::{self, Calendar, Refusal, Rules};
use domain::ids::OfferId;
use domain::offer::Offer;
use domain::slot::{Slot, SlotError};
use jiff::ToSpan;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use store::{StoreError, Tx};

/// The name under which the whole house's calendar is kept.
const HOUSE: &str = "hours:house";
/// Bookings on closing days are counted up to here: more are told as "more than".
pub const MANY: i64 = 1000;

/// The house's calendar and the one of an offer.
#[derive(Debug, Clone, Default)]
pub struct Calendars {
    /// Of the whole house.
    pub house: Calendar,
    /// Of the offer.
    pub own: Calendar,
}

impl Calendars {
    /// The rules for an offer.
    #[must_use]
    pub fn rules<'a>(&'a self, offer: &'a Offer, zone: &'a TimeZone) -> Rules<'a> {
        Rules { house: &self.house, own: &self.own, offer, zone }
    }
}

fn name_of(offer: Option<OfferId>) -> String {
    offer.map_or_else(|| HOUSE.to_owned(), |offer| format!("hours:{offer}"))
}

/// The calendars that hold for an offer.
///
/// # Errors
/// Any [`StoreError`].
pub async fn calendars(tx: &mut Tx, offer: OfferId) -> Result<Calendars, StoreError> {
    let own = name_of(Some(offer));
    let settings = tx.settings(&[HOUSE, &own]).await?;
    let read = |name: &str| match settings.get(name) {
        Some(body) => serde_json::from_str(body)
            .map_err(|_| StoreError::Corrupt { place: "settings.body", value: name.to_owned() }),
        None => Ok(Calendar::default()),
    };
    Ok(Calendars { house: read(HOUSE)?, own: read(&own)? })
}

/// The calendar of an offer, or of the whole house.
///
/// # Errors
/// Any [`StoreError`].
pub async fn find(app: &App, offer: Option<OfferId>) -> Result<Calendar, StoreError> {
    let name = name_of(offer);
    let mut tx = app.store.read().await?;
    let settings = tx.settings(&[&name]).await?;
    tx.rollback().await?;
    match settings.get(&name) {
        Some(body) => serde_json::from_str(body)
            .map_err(|_| StoreError::Corrupt { place: "settings.body", value: name }),
        None => Ok(Calendar::default()),
    }
}

/// Keeps a calendar that has no fault. Returns how many bookings hold a seat on its closing days to come, up to
/// [`MANY`]: they stay as they are, a person decides about each.
///
/// # Errors
/// Any [`StoreError`].
pub async fn save(
    app: &App,
    offer: Option<OfferId>,
    calendar: Calendar,
    by: Actor<'_>,
) -> Result<i64, StoreError> {
    let (name, now, calendar) = (name_of(offer), app.clock.now(), calendar.sorted());
    let body = serde_json::to_string(&calendar).unwrap_or_default();
    let mut tx = app.store.begin().await?;
    let before = tx.settings(&[&name]).await?.remove(&name);
    let nothing = calendar == Calendar::default();
    if before.as_deref() != Some(body.as_str()).filter(|_| !nothing) {
        match nothing {
            true => tx.drop_setting(&name).await?,
            false => tx.save_setting(&name, &body, now).await?,
        }
        let subject = offer.map_or_else(|| "house".to_owned(), |offer| offer.to_string());
        tx.audit(now, by.name, "hours.changed", &subject, &describe(&calendar), by.request_id).await?;
    }
    let held = held_on_closing_days(app, &mut tx, offer, &calendar).await?;
    tx.commit().await?;
    Ok(held)
}

async fn held_on_closing_days(
    app: &App,
    tx: &mut Tx,
    offer: Option<OfferId>,
    calendar: &Calendar,
) -> Result<i64, StoreError> {
    let offers = match offer {
        Some(offer) => vec![offer],
        None => tx.offers().await?.into_iter().map(|offer| offer.id).collect(),
    };
    let today = today(app);
    let mut held = 0;
    for closed in calendar.closed.iter().filter(|closed| closed.to >= today) {
        let (from, to) = (closed.from.max(today).to_string(), closed.to.to_string());
        held += tx.seats_between(&offers, &from, &to, MANY - held).await?;
        if held >= MANY {
            break;
        }
    }
    Ok(held)
}

fn describe(calendar: &Calendar) -> String {
    let week = match &calendar.weekly {
        None => "no hours of its own".to_owned(),
        Some(week) => {
            let days = domain::hours::Week::DAYS.iter().zip(week.days()).filter(|(_, day)| !day.is_empty());
            let text = |(name, openings): (&&str, &Vec<hours::Opening>)| {
                let openings: Vec<String> = openings.iter().map(ToString::to_string).collect();
                format!("{} {}", name.get(..3).unwrap_or(name), openings.join(" "))
            };
            let days: Vec<String> = days.map(text).collect();
            if days.is_empty() { "never open".to_owned() } else { days.join(", ") }
        }
    };
    let number = |number: Option<u32>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
    format!(
        "{week}; {} closing days or ranges; public holidays: {}; notice: {} min; horizon: {} days",
        calendar.closed.len(),
        calendar.holidays.map_or("no", domain::holidays::Holidays::as_str),
        number(calendar.notice_minutes),
        number(calendar.horizon_days)
    )
}

/// The day that it is where the house is.
#[must_use]
pub fn today(app: &App) -> Date {
    app.config.timezone.to_datetime(app.clock.now().to_jiff()).date()
}

/// How a time of a day stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It can be booked: so many seats are left.
    Free(i64),
    /// All seats are taken, or whoever it needs is busy.
    Full,
    /// It has begun.
    Past,
    /// A rule keeps it from being booked.
    Refused(Refusal),
    /// The clocks skip it.
    Skipped,
}

/// A time that an offer has on a day.
#[derive(Debug, Clone)]
pub struct Time {
    /// When.
    pub slot: Slot,
    /// Its beginning; none if there is none.
    pub starts_at: Option<Timestamp>,
    /// Whether it can be booked.
    pub standing: Standing,
}

/// The days from `from` to `to` with their times, in order. Two questions to the database, however many days.
///
/// # Errors
/// Any [`StoreError`].
pub async fn days(
    app: &App,
    tx: &mut Tx,
    offer: &Offer,
    from: Date,
    to: Date,
) -> Result<Vec<(Date, Vec<Time>)>, StoreError> {
    let calendars = calendars(tx, offer.id).await?;
    days_by(app, tx, &calendars, offer, from, to).await
}

/// The same by calendars that are known already.
///
/// # Errors
/// Any [`StoreError`].
pub async fn days_by(
    app: &App,
    tx: &mut Tx,
    calendars: &Calendars,
    offer: &Offer,
    from: Date,
    to: Date,
) -> Result<Vec<(Date, Vec<Time>)>, StoreError> {
    let (zone, now) = (&app.config.timezone, app.clock.now());
    let rules = calendars.rules(offer, zone);
    // What nobody can book any more needs no look into the database.
    let last = rules.last_day(now).map_or(to, |last| last.min(to));
    let first = from.max(today(app));
    let mut taken = Vec::new();
    if first <= last {
        let offers = if offer.resource.is_some() { tx.sharing(offer).await? } else { vec![offer.id] };
        // What begins the evening before may reach into the morning.
        let (first, last) = (first.saturating_sub(1.day()), last.saturating_add(1.day()));
        taken = tx.occupied(&offers, &first.to_string(), &last.to_string()).await?;
        taken.sort_unstable_by_key(|taken| taken.starts_at);
    }
    let day = |date: Date| {
        let near = near(&taken, date, zone);
        let times = rules.times(date).into_iter().filter_map(|time| {
            let slot = Slot::parse(&date.to_string(), &time).ok()?;
            let (starts_at, standing) = match slot.bookable_at(zone, now) {
                Err(SlotError::Past) => (slot.starts_at(zone).ok(), Standing::Past),
                Err(SlotError::SkippedByClockChange | SlotError::BadDate | SlotError::BadTime) => {
                    (None, Standing::Skipped)
                }
                Ok(starts_at) => {
                    let standing = match rules.judge(&slot, starts_at, now) {
                        Err(refusal) => Standing::Refused(refusal),
                        Ok(()) => match hours::seats_left(&rules, starts_at, near) {
                            left @ 1.. => Standing::Free(left),
                            _ => Standing::Full,
                        },
                    };
                    (Some(starts_at), standing)
                }
            };
            Some(Time { slot, starts_at, standing })
        });
        (date, times.collect())
    };
    Ok(hours::days(from, to).map(day).collect())
}

/// Those of what is taken, sorted by time, that can touch a day at all: so a month costs no more than its days.
fn near<'a>(taken: &'a [hours::Occupied], date: Date, zone: &TimeZone) -> &'a [hours::Occupied] {
    let midnight = |date: Date| {
        let at = zone.to_ambiguous_timestamp(date.to_datetime(jiff::civil::Time::midnight())).compatible();
        at.map_or(0, |at| at.as_microsecond())
    };
    let from = midnight(date.saturating_sub(1.day()));
    let to = midnight(date.saturating_add(2.days()));
    let start = taken.partition_point(|taken| taken.starts_at.as_micros() < from);
    let end = taken.partition_point(|taken| taken.starts_at.as_micros() < to);
    taken.get(start..end).unwrap_or(&[])
}

/// Whether a slot of this offer can be booked by the calendar.
///
/// # Errors
/// The rule that keeps it from being booked, within any [`StoreError`].
pub async fn judge(
    app: &App,
    offer: &Offer,
    slot: &Slot,
    starts_at: Timestamp,
) -> Result<Result<(), Refusal>, StoreError> {
    let mut tx = app.store.read().await?;
    let calendars = calendars(&mut tx, offer.id).await?;
    tx.rollback().await?;
    Ok(calendars.rules(offer, &app.config.timezone).judge(slot, starts_at, app.clock.now()))
}

/// Whether whatever the offer needs is free for it, in the transaction that is about to take it. Bookings of the
/// same slot are not looked at: their seats are counted by whoever takes one.
///
/// # Errors
/// Any [`StoreError`].
pub async fn is_unhindered(
    tx: &mut Tx,
    offer: &Offer,
    slot: &Slot,
    starts_at: Timestamp,
) -> Result<bool, StoreError> {
    let calendars = calendars(tx, offer.id).await?;
    // Only moments are compared here: where the house is plays no part.
    let anywhere = TimeZone::UTC;
    let rules = calendars.rules(offer, &anywhere);
    if !rules.overlaps_count() {
        return Ok(true);
    }
    let offers = tx.lock_sharing(offer).await?;
    let (from, to) = (slot.date().saturating_sub(1.day()), slot.date().saturating_add(1.day()));
    let taken = tx.occupied(&offers, &from.to_string(), &to.to_string()).await?;
    Ok(hours::seats_left(&rules, starts_at, &taken) > 0)
}
