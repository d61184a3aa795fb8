//! `/dashboard/hours` and `/dashboard/offers/{id}/hours`: when the house is open, and an offer by itself.

use super::{Choice, Page, back, done, query};
use crate::app::Shared;
use crate::flow::{hours, offers};
use crate::http::auth::Signed;
use crate::http::error::Problem;
use crate::http::pages::{BesideField as _, Fields, FormError, format, i18n};
use crate::http::request::RequestId;
use askama::Template;
use axum::Extension;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use domain::Fault;
use domain::holidays::Holidays;
use domain::hours::{Calendar, Closed, Opening, Week, openings_of};
use domain::ids::OfferId;
use domain::lang::Lang;
use domain::offer::Offer;
use jiff::civil::Weekday;

#[derive(Template)]
#[template(path = "dashboard/hours.html")]
struct HoursForm {
    page: Page,
    errors: Vec<FormError>,
    done: Option<&'static str>,
    held: Option<String>,
    title: String,
    action: String,
    /// Of the house: an offer's page has no holidays of its own.
    is_house: bool,
    days: Vec<DayField>,
    holidays: Vec<Choice>,
    offers: Vec<OfferLink>,
    typed: Typed,
}

struct DayField {
    field: &'static str,
    name: String,
    value: String,
}

struct OfferLink {
    href: String,
    name: String,
}

/// What stands in the form.
#[derive(Debug, Default)]
struct Typed {
    /// Whether hours are set at all.
    weekly: bool,
    days: [String; 7],
    closed: String,
    holidays: String,
    notice: String,
    horizon: String,
}

impl Typed {
    fn of_calendar(calendar: &Calendar) -> Self {
        let number = |number: Option<u32>| number.map(|number| number.to_string()).unwrap_or_default();
        let mut days: [String; 7] = Default::default();
        for (text, openings) in days.iter_mut().zip(calendar.weekly.iter().flat_map(Week::days)) {
            let openings: Vec<String> = openings.iter().map(Opening::to_string).collect();
            *text = openings.join(", ");
        }
        let closed: Vec<String> = calendar.closed.iter().map(Closed::to_string).collect();
        Self {
            weekly: calendar.weekly.is_some(),
            days,
            closed: closed.join("\n"),
            holidays: calendar.holidays.map(Holidays::as_str).unwrap_or_default().to_owned(),
            notice: number(calendar.notice_minutes),
            horizon: number(calendar.horizon_days),
        }
    }

    fn of_fields(fields: &Fields) -> Self {
        let text = |name: &str| fields.get(name).trim().to_owned();
        Self {
            weekly: fields.sent("weekly").is_some(),
            days: Week::DAYS.map(text),
            closed: text("closed"),
            holidays: text("holidays"),
            notice: text("noticeMinutes"),
            horizon: text("horizonDays"),
        }
    }

    fn calendar(&self) -> Result<Calendar, Vec<Fault>> {
        let mut faults = Vec::new();
        let mut calendar = Calendar::default();
        if self.weekly {
            let mut week = Week::default();
            for ((name, text), openings) in Week::DAYS.iter().zip(&self.days).zip(week.days_mut()) {
                match openings_of(text) {
                    Ok(read) => *openings = read,
                    Err(part) => {
                        let message = format!("must be openings such as 09:00-12:00, not {part:?}");
                        faults.push(Fault::coded(format!("weekly.{name}"), "openings", message));
                    }
                }
            }
            calendar.weekly = Some(week);
        }
        for line in self.closed.lines().map(str::trim).filter(|line| !line.is_empty()) {
            match Closed::parse(line) {
                Some(closed) => calendar.closed.push(closed),
                None => faults.push(Fault::coded("closed", "closed", "must be a date on each line")),
            }
        }
        calendar.holidays = Holidays::parse(&self.holidays);
        let mut number = |name: &str, code: &'static str, text: &str| {
            let number = text.parse::<u32>();
            if !text.is_empty() && number.is_err() {
                faults.push(Fault::coded(name, code, "must be a whole number"));
            }
            number.ok()
        };
        calendar.notice_minutes = number("noticeMinutes", "notice", &self.notice);
        calendar.horizon_days = number("horizonDays", "horizon", &self.horizon);
        faults.extend(calendar.faults());
        if faults.is_empty() { Ok(calendar) } else { Err(faults) }
    }
}

/// The whole house's hours.
pub async fn house(State(app): State<Shared>, page: Page) -> Result<Response, Problem> {
    show(&app, page, None).await
}

/// An offer's own hours.
pub async fn own(State(app): State<Shared>, page: Page, Path(id): Path<String>) -> Result<Response, Problem> {
    let offer = find(&app, &id).await?;
    show(&app, page, Some(&offer)).await
}

/// Sets the whole house's hours.
pub async fn set_house(
    State(app): State<Shared>,
    page: Page,
    signed: Signed,
    Extension(request_id): Extension<RequestId>,
    fields: Fields,
) -> Result<Response, Problem> {
    save(&app, page, None, &signed, &request_id, &fields).await
}

/// Sets an offer's own hours.
pub async fn set_own(
    State(app): State<Shared>,
    page: Page,
    signed: Signed,
    Extension(request_id): Extension<RequestId>,
    Path(id): Path<String>,
    fields: Fields,
) -> Result<Response, Problem> {
    let offer = find(&app, &id).await?;
    save(&app, page, Some(&offer), &signed, &request_id, &fields).await
}

async fn find(app: &Shared, id: &str) -> Result<Offer, Problem> {
    let id = OfferId::parse(id).map_err(|_| Problem::not_found())?;
    offers::find(app, id).await?.ok_or_else(Problem::not_found)
}

async fn show(app: &Shared, page: Page, offer: Option<&Offer>) -> Result<Response, Problem> {
    let mut query = query(&page);
    let done = done(&page, &mut query);
    let held =
        query.take("held", "must be a number", |text| text.parse::<i64>().ok()).filter(|held| *held > 0);
    query.finish()?;
    let calendar = hours::find(app, offer.map(|offer| offer.id)).await?;
    let held = held.map(|held| i18n::held_on_closing_days(page.lang, held, held >= hours::MANY));
    let typed = Typed::of_calendar(&calendar);
    form(app, page, offer, StatusCode::OK, typed, Vec::new(), done, held).await
}

async fn save(
    app: &Shared,
    page: Page,
    offer: Option<&Offer>,
    signed: &Signed,
    request_id: &RequestId,
    fields: &Fields,
) -> Result<Response, Problem> {
    let typed = Typed::of_fields(fields);
    match typed.calendar() {
        Ok(calendar) => {
            let id = offer.map(|offer| offer.id);
            let held = hours::save(app, id, calendar, signed.actor(request_id)).await?;
            let path = action(offer);
            Ok(match held {
                0 => back(&path, "saved"),
                held => Redirect::to(&format!("{path}?done=saved&held={held}")).into_response(),
            })
        }
        Err(faults) => {
            let mut errors: Vec<FormError> = Vec::new();
            for fault in &faults {
                // One line for each field is enough.
                if errors.iter().all(|error| error.target != fault.path) {
                    let message = match fault.path.strip_prefix("weekly.") {
                        Some(day) => {
                            format!("{} : {}", day_name(page.lang, day), i18n::fault(page.lang, fault))
                        }
                        None => i18n::fault(page.lang, fault),
                    };
                    errors.push(FormError { target: fault.path.clone(), message });
                }
            }
            for error in &mut errors {
                // The field is called by the day alone.
                if let Some(day) = error.target.strip_prefix("weekly.") {
                    error.target = day.to_owned();
                }
                if page.lang == Lang::En {
                    error.message = error.message.replace(" : ", ": ");
                }
            }
            form(app, page, offer, StatusCode::BAD_REQUEST, typed, errors, None, None).await
        }
    }
}

fn action(offer: Option<&Offer>) -> String {
    offer.map_or_else(
        || "/dashboard/hours".to_owned(),
        |offer| format!("/dashboard/offers/{}/hours", offer.id),
    )
}

fn day_name(lang: Lang, field: &str) -> String {
    let days = Weekday::Monday.cycle_forward();
    let day = Week::DAYS.iter().zip(days).find(|(name, _)| **name == field).map(|(_, day)| day);
    day.map(|day| capitalised(format::weekday(lang, day))).unwrap_or_default()
}

fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().collect::<String>() + chars.as_str()).unwrap_or_default()
}

#[expect(clippy::too_many_arguments, reason = "what stands on one page")]
async fn form(
    app: &Shared,
    page: Page,
    offer: Option<&Offer>,
    status: StatusCode,
    typed: Typed,
    errors: Vec<FormError>,
    done: Option<&'static str>,
    held: Option<String>,
) -> Result<Response, Problem> {
    let lang = page.lang;
    let links = match offer {
        Some(_) => Vec::new(),
        None => offers::all(app).await?,
    };
    let days = Week::DAYS.iter().zip(&typed.days);
    let view = HoursForm {
        title: offer.map_or_else(
            || page.t.hours.to_owned(),
            |offer| format!("{} · {}", page.t.hours_own, offer.name),
        ),
        action: action(offer),
        is_house: offer.is_none(),
        days: days
            .map(|(field, value)| DayField { field, name: day_name(lang, field), value: value.clone() })
            .collect(),
        holidays: Holidays::ALL
            .into_iter()
            .map(|holidays| Choice {
                value: holidays.as_str().to_owned(),
                name: holidays.name(lang).to_owned(),
                chosen: typed.holidays == holidays.as_str(),
            })
            .collect(),
        offers: links
            .into_iter()
            .map(|offer| OfferLink {
                href: format!("/dashboard/offers/{}/hours", offer.id),
                name: offer.name,
            })
            .collect(),
        errors,
        done,
        held,
        typed,
        page,
    };
    Ok(view.page.show_as(status, &view))
}
