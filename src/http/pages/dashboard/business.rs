//! `/dashboard/business`: who sells here, its logo, and a page for each of its texts, which are long.

use super::{Choice, Page, back, done, query};
use crate::app::Shared;
use crate::flow::business::{self, ChangeError, LogoChange, Mark, Shop};
use crate::http::auth::Signed;
use crate::http::error::Problem;
use crate::http::pages::multipart::Parts;
use crate::http::pages::{BesideField as _, Fields, FormError, i18n};
use crate::http::request::RequestId;
use askama::Template;
use axum::Extension;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use domain::Fault;
use domain::business::logo::Logo;
use domain::business::{Document, Draft, missing};
use domain::lang::Lang;

/// The longest form with a logo, in bytes: with room for one that is too large, which is told beside its field.
pub const MAX_LOGO_FORM: usize = 1024 * 1024;
/// The longest form with a text, in bytes: each of its bytes may take three on the way.
pub const MAX_TEXT_FORM: usize = 256 * 1024;

const PATH: &str = "/dashboard/business";

#[derive(Template)]
#[template(path = "dashboard/business.html")]
struct BusinessForm {
    page: Page,
    errors: Vec<FormError>,
    done: Option<&'static str>,
    typed: Draft,
    langs: Vec<Choice>,
    /// Whether it has a name: all else is told of something.
    named: bool,
    logo: Option<Mark>,
    documents: Vec<DocumentLink>,
}

struct DocumentLink {
    href: String,
    name: &'static str,
    set: bool,
}

impl BusinessForm {
    fn text<'a>(&self, text: &'a Option<String>) -> &'a str {
        text.as_deref().unwrap_or_default()
    }
}

#[derive(Template)]
#[template(path = "dashboard/business_document.html")]
struct DocumentForm {
    page: Page,
    errors: Vec<FormError>,
    title: &'static str,
    name: &'static str,
    text: String,
}

/// Who sells here.
pub async fn show(State(app): State<Shared>, page: Page) -> Result<Response, Problem> {
    let mut query = query(&page);
    let done = done(&page, &mut query);
    query.finish()?;
    let shop = business::find(&app.store).await?;
    let typed = draft_of(shop.as_ref());
    Ok(form(page, StatusCode::OK, shop.as_ref(), typed, Vec::new(), done))
}

/// Sets who sells here; logo and texts have forms of their own.
pub async fn set(
    State(app): State<Shared>,
    page: Page,
    signed: Signed,
    Extension(request_id): Extension<RequestId>,
    fields: Fields,
) -> Result<Response, Problem> {
    let edit = |draft: &mut Draft| {
        for name in Draft::MEMBERS.into_iter().filter(|name| Document::parse(name).is_none()) {
            if let Some(member) = draft.member(name) {
                *member = Some(fields.get(name).to_owned());
            }
        }
    };
    match business::change(&app, edit, LogoChange::Keep, signed.actor(&request_id)).await {
        Ok(()) => Ok(back(PATH, "saved")),
        Err(ChangeError::Faults(faults)) => {
            let shop = business::find(&app.store).await?;
            let mut typed = draft_of(shop.as_ref());
            edit(&mut typed);
            Ok(refused(page, shop.as_ref(), typed, &faults))
        }
        Err(ChangeError::Store(error)) => Err(error.into()),
    }
}

fn draft_of(shop: Option<&Shop>) -> Draft {
    shop.map(|shop| shop.business.draft()).unwrap_or_default()
}

/// Takes a logo in place of the one before, or takes it away.
pub async fn set_logo(
    State(app): State<Shared>,
    page: Page,
    signed: Signed,
    Extension(request_id): Extension<RequestId>,
    parts: Parts,
) -> Result<Response, Problem> {
    let logo = match parts.get("remove") {
        Some(_) => Ok(LogoChange::Remove),
        None => Logo::parse(parts.get("logo").unwrap_or_default().to_vec())
            .map(|logo| LogoChange::Set(Box::new(logo))),
    };
    let logo = match logo {
        Ok(logo) => match business::change(&app, |_| {}, logo, signed.actor(&request_id)).await {
            Ok(()) => return Ok(back(PATH, "saved")),
            Err(ChangeError::Faults(_)) => None,
            Err(ChangeError::Store(error)) => return Err(error.into()),
        },
        Err(fault) => Some(fault),
    };
    let shop = business::find(&app.store).await?;
    let draft = draft_of(shop.as_ref());
    let faults: Vec<Fault> = draft.parse().err().unwrap_or_default().into_iter().chain(logo).collect();
    Ok(refused(page.at(PATH), shop.as_ref(), draft, &faults))
}

/// One of its texts.
pub async fn document(
    State(app): State<Shared>,
    page: Page,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    let document = Document::parse(&name).ok_or_else(Problem::not_found)?;
    let shop = business::find(&app.store).await?.ok_or_else(Problem::not_found)?;
    let text = shop.business.draft().document(document).take().unwrap_or_default();
    Ok(document_form(page, StatusCode::OK, document, text, Vec::new()))
}

/// Sets it.
pub async fn set_document(
    State(app): State<Shared>,
    page: Page,
    signed: Signed,
    Extension(request_id): Extension<RequestId>,
    Path(name): Path<String>,
    fields: Fields,
) -> Result<Response, Problem> {
    let document = Document::parse(&name).ok_or_else(Problem::not_found)?;
    business::find(&app.store).await?.ok_or_else(Problem::not_found)?;
    let text = fields.get(document.as_str());
    let edit = |draft: &mut Draft| *draft.document(document) = Some(text.to_owned());
    match business::change(&app, edit, LogoChange::Keep, signed.actor(&request_id)).await {
        Ok(()) => Ok(back(PATH, "saved")),
        Err(ChangeError::Faults(faults)) => {
            let errors = FormError::of(page.lang, &faults);
            Ok(document_form(page, StatusCode::BAD_REQUEST, document, text.to_owned(), errors))
        }
        Err(ChangeError::Store(error)) => Err(error.into()),
    }
}

fn refused(page: Page, shop: Option<&Shop>, typed: Draft, faults: &[Fault]) -> Response {
    let errors = FormError::of(page.lang, faults);
    form(page, StatusCode::BAD_REQUEST, shop, typed, errors, None)
}

fn form(
    page: Page,
    status: StatusCode,
    shop: Option<&Shop>,
    typed: Draft,
    errors: Vec<FormError>,
    done: Option<&'static str>,
) -> Response {
    let lang = |lang: Lang, name: &str| Choice {
        value: lang.as_str().to_owned(),
        name: name.to_owned(),
        chosen: typed.mail_lang.as_deref() == Some(lang.as_str()),
    };
    let unset = missing(shop.map(|shop| &shop.business));
    let documents = Document::ALL.map(|document| DocumentLink {
        href: format!("{PATH}/{}", document.as_str()),
        name: i18n::document(page.t, document),
        set: !unset.contains(&document.as_str()),
    });
    let view = BusinessForm {
        langs: vec![lang(Lang::Fr, "Français"), lang(Lang::En, "English")],
        named: shop.is_some(),
        logo: shop.and_then(|shop| shop.logo.clone()),
        documents: documents.into(),
        errors,
        done,
        typed,
        page,
    };
    view.page.show_as(status, &view)
}

fn document_form(
    page: Page,
    status: StatusCode,
    document: Document,
    text: String,
    errors: Vec<FormError>,
) -> Response {
    let (title, name) = (i18n::document(page.t, document), document.as_str());
    let view = DocumentForm { title, name, text, errors, page };
    view.page.show_as(status, &view)
}
