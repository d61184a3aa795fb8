//! `/dashboard/holds`: taking back what one stranger holds unpaid, all of it at once.

use super::Page;
use crate::app::Shared;
use crate::flow::holds::{self, AT_ONCE, Pattern};
use crate::http::auth::Signed;
use crate::http::error::Problem;
use crate::http::pages::{BesideField as _, Fields, FormError, i18n};
use crate::http::request::RequestId;
use askama::Template;
use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

#[derive(Template)]
#[template(path = "dashboard/holds.html")]
struct Holds {
    page: Page,
    errors: Vec<FormError>,
    done: Option<String>,
    who: String,
}

#[derive(Template)]
#[template(path = "dashboard/holds_question.html")]
struct Question {
    page: Page,
    question: String,
    who: String,
}

/// The empty form.
pub async fn form(page: Page) -> Response {
    let form = Holds { page, errors: Vec::new(), done: None, who: String::new() };
    form.page.show(&form)
}

/// Says how much it is, and when that was confirmed releases it.
pub async fn release(
    State(app): State<Shared>,
    page: Page,
    signed: Signed,
    Extension(request_id): Extension<RequestId>,
    fields: Fields,
) -> Result<Response, Problem> {
    let page = page.at("/dashboard/holds");
    let (lang, who) = (page.lang, fields.get("who").trim().to_owned());
    let Some(pattern) = Pattern::typed(&who) else {
        let errors = vec![FormError { target: "who".to_owned(), message: page.t.holds_pattern.to_owned() }];
        let form = Holds { page, errors, done: None, who };
        return Ok(form.page.show_as(StatusCode::BAD_REQUEST, &form));
    };
    let told = |page: Page, done: String| {
        let form = Holds { page, errors: Vec::new(), done: Some(done), who: String::new() };
        form.page.show(&form)
    };
    if fields.sent("confirmed").is_none() {
        let held = holds::held_by(&app, &pattern).await?.len();
        if held == 0 {
            let none = page.t.holds_none.to_owned();
            return Ok(told(page, none));
        }
        let more = i64::try_from(held).is_ok_and(|held| held >= AT_ONCE);
        let question = Question { question: i18n::holds_question(lang, held, more), who, page };
        return Ok(question.page.show(&question));
    }
    let released = holds::release(&app, &pattern, signed.actor(&request_id)).await?;
    let done = i18n::holds_done(lang, released.released.len(), released.kept.len(), released.more);
    Ok(told(page, done))
}
