//! `/dashboard/offers`: what can be booked, at what price.

use super::{Page, back, done, query};
use crate::app::Shared;
use crate::flow::offers;
use crate::http::auth::Signed;
use crate::http::error::Problem;
use crate::http::pages::{BesideField as _, Fields, FormError, format, i18n};
use crate::http::request::RequestId;
use askama::Template;
use axum::Extension;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use domain::Fault;
use domain::hours::time_of;
use domain::ids::OfferId;
use domain::lang::Lang;
use domain::money::{Currency, Money};
use domain::offer::{Offer, OfferDraft, OfferTerms, USUAL_DURATION};

/// How many texts that are no times are named at most.
const NAMED: usize = 5;

#[derive(Template)]
#[template(path = "dashboard/offers.html")]
struct Offers {
    page: Page,
    done: Option<&'static str>,
    rows: Vec<Row>,
}

struct Row {
    id: String,
    name: String,
    price: String,
    capacity: i32,
    grid: String,
    tone: &'static str,
    state: &'static str,
}

#[derive(Template)]
#[template(path = "dashboard/offer.html")]
struct OfferForm {
    page: Page,
    errors: Vec<FormError>,
    title: &'static str,
    action: String,
    typed: Typed,
}

/// What stands in the form.
struct Typed {
    name: String,
    amount: String,
    currency: String,
    capacity: String,
    grid: String,
    duration: String,
    step: String,
    resource: String,
    active: bool,
}

impl Typed {
    fn blank() -> Self {
        Self {
            name: String::new(),
            amount: String::new(),
            currency: "EUR".to_owned(),
            capacity: "1".to_owned(),
            grid: String::new(),
            duration: USUAL_DURATION.to_string(),
            step: String::new(),
            resource: String::new(),
            active: true,
        }
    }

    fn of_offer(lang: Lang, offer: &Offer) -> Self {
        Self {
            name: offer.name.clone(),
            amount: format::decimal(lang, offer.price),
            currency: offer.price.currency.as_str().to_ascii_uppercase(),
            capacity: offer.capacity.to_string(),
            grid: grid_text(offer),
            duration: offer.duration.to_string(),
            step: offer.step.map(|step| step.to_string()).unwrap_or_default(),
            resource: offer.resource.clone().unwrap_or_default(),
            active: offer.active,
        }
    }

    fn of_fields(fields: &Fields) -> Self {
        let text = |name: &str| fields.get(name).trim().to_owned();
        Self {
            name: text("name"),
            amount: text("amount"),
            currency: text("currency"),
            capacity: text("capacity"),
            grid: text("grid"),
            duration: fields
                .sent("durationMinutes")
                .map_or_else(|| USUAL_DURATION.to_string(), |text| text.trim().to_owned()),
            step: text("stepMinutes"),
            resource: text("resource"),
            active: fields.sent("active").is_some(),
        }
    }

    fn terms(&self) -> Result<OfferTerms, Vec<Fault>> {
        // What cannot be read as a number becomes one that no offer has, and is refused with the rest.
        let amount = match Currency::parse(&self.currency) {
            Ok(currency) => {
                Some(Money::from_decimal(&self.amount, currency).map_or(-1, |money| money.amount))
            }
            // Without a currency nobody can tell the amount: at least it must be a number.
            Err(_) => (!is_number(&self.amount)).then_some(-1),
        };
        let capacity = self.capacity.parse().unwrap_or(-1);
        let draft = OfferDraft {
            name: Some(self.name.clone()),
            amount,
            currency: Some(self.currency.clone()),
            capacity: Some(capacity),
            active: Some(self.active),
            // As people type them, and if that cannot be read, as it stands, to be named among the faults.
            grid: Some(self.times().map(|text| time_of(text).unwrap_or_else(|| text.to_owned())).collect()),
            duration: Some(self.duration.parse().unwrap_or(-1)),
            step: (!self.step.is_empty()).then(|| self.step.parse().unwrap_or(-1)),
            resource: Some(self.resource.clone()),
        };
        OfferTerms::check(draft, Vec::new())
    }

    fn times(&self) -> impl Iterator<Item = &str> {
        self.grid.split([' ', ',', ';', '\t', '\n', '\r']).filter(|text| !text.is_empty())
    }

    /// A line for each field that is wrong, in the order of the form.
    fn errors(&self, lang: Lang, faults: &[Fault]) -> Vec<FormError> {
        let line = |field: &&str| {
            let fault = faults.iter().find(|fault| fault.path == *field)?;
            let not_times: Vec<&str> = self.times().filter(|text| time_of(text).is_none()).collect();
            let message = match *field {
                "grid" if !not_times.is_empty() => {
                    i18n::not_times(lang, not_times.get(..NAMED).unwrap_or(&not_times))
                }
                _ => i18n::fault(lang, fault),
            };
            Some(FormError { target: (*field).to_owned(), message })
        };
        ["name", "amount", "currency", "capacity", "grid", "durationMinutes", "stepMinutes", "resource"]
            .iter()
            .filter_map(line)
            .collect()
    }
}

/// Whether it is an amount in any currency: three decimals are the most that one has.
fn is_number(text: &str) -> bool {
    Currency::parse("kwd").is_ok_and(|currency| Money::from_decimal(text, currency).is_some())
}

fn grid_text(offer: &Offer) -> String {
    let times: Vec<String> =
        offer.grid.iter().map(|time| format!("{:02}:{:02}", time.hour(), time.minute())).collect();
    times.join(" ")
}

/// Every offer.
pub async fn list(State(app): State<Shared>, page: Page) -> Result<Response, Problem> {
    let mut query = query(&page);
    let done = done(&page, &mut query);
    query.finish()?;
    let t = page.t;
    let row = |offer: Offer| Row {
        id: offer.id.to_string(),
        price: format::money(page.lang, offer.price),
        capacity: offer.capacity,
        grid: if offer.grid.is_empty() { t.any_hour.to_owned() } else { grid_text(&offer) },
        tone: if offer.active { "good" } else { "quiet" },
        state: if offer.active { t.active_short } else { t.inactive },
        name: offer.name,
    };
    let rows = offers::all(&app).await?.into_iter().map(row).collect();
    let view = Offers { done, rows, page };
    Ok(view.page.show(&view))
}

/// The form for a new offer.
pub async fn blank(page: Page) -> Response {
    form(page, None, StatusCode::OK, Typed::blank(), Vec::new())
}

/// The form for an offer that is there.
pub async fn edit(
    State(app): State<Shared>,
    page: Page,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let id = OfferId::parse(&id).map_err(|_| Problem::not_found())?;
    let offer = offers::find(&app, id).await?.ok_or_else(Problem::not_found)?;
    let typed = Typed::of_offer(page.lang, &offer);
    Ok(form(page, Some(id), StatusCode::OK, typed, Vec::new()))
}

/// Makes an offer.
pub async fn create(
    State(app): State<Shared>,
    page: Page,
    signed: Signed,
    Extension(request_id): Extension<RequestId>,
    fields: Fields,
) -> Result<Response, Problem> {
    let typed = Typed::of_fields(&fields);
    match typed.terms() {
        Ok(terms) => {
            offers::create(&app, &terms, signed.actor(&request_id)).await?;
            Ok(back("/dashboard/offers", "saved"))
        }
        Err(faults) => Ok(refused(page, None, typed, &faults)),
    }
}

/// Changes an offer.
pub async fn update(
    State(app): State<Shared>,
    page: Page,
    signed: Signed,
    Extension(request_id): Extension<RequestId>,
    Path(id): Path<String>,
    fields: Fields,
) -> Result<Response, Problem> {
    let id = OfferId::parse(&id).map_err(|_| Problem::not_found())?;
    let typed = Typed::of_fields(&fields);
    match typed.terms() {
        Ok(terms) => match offers::update(&app, id, &terms, signed.actor(&request_id)).await? {
            Some(overfull) if overfull.count > 0 => Ok(back("/dashboard/offers", "saved_overfull")),
            Some(_) => Ok(back("/dashboard/offers", "saved")),
            None => Err(Problem::not_found()),
        },
        Err(faults) => Ok(refused(page, Some(id), typed, &faults)),
    }
}

fn refused(page: Page, id: Option<OfferId>, typed: Typed, faults: &[Fault]) -> Response {
    let errors = typed.errors(page.lang, faults);
    form(page, id, StatusCode::BAD_REQUEST, typed, errors)
}

fn form(
    page: Page,
    id: Option<OfferId>,
    status: StatusCode,
    typed: Typed,
    errors: Vec<FormError>,
) -> Response {
    let (title, action) = match id {
        Some(id) => (page.t.edit_offer, format!("/dashboard/offers/{id}")),
        None => (page.t.new_offer, "/dashboard/offers".to_owned()),
    };
    let view = OfferForm { errors, title, action, typed, page };
    view.page.show_as(status, &view)
}
