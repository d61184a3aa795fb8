//! Who sells here, around and on the pages for customers: name, colour, the foot of each page, and a page for each
//! text of the shop's own. The team's pages are the product's.

use super::{Page, i18n};
use crate::app::Shared;
use crate::flow::business::{self, Mark, Shop};
use crate::http::error::Problem;
use askama::Template;
use axum::http::Uri;
use axum::response::{IntoResponse, Redirect, Response};
use domain::business::{Document, Wording, paragraphs};
use std::sync::Arc;

/// What pages for customers say of the shop.
#[derive(Debug, Clone, Default)]
pub struct Sign {
    shop: Option<Arc<Shop>>,
    /// What it is called while nobody has said: in production the host, in development nothing.
    host: Option<String>,
}

impl Sign {
    /// As it was known a moment ago.
    pub async fn of(app: &Shared) -> Self {
        Self { shop: business::shop(app).await, host: business::fallback_name(app) }
    }
}

/// The shop at the foot of a page.
#[derive(Debug)]
pub struct Foot {
    /// Its name.
    pub name: String,
    /// The lines of its address.
    pub lines: Vec<String>,
    /// Its telephone number, as it is dialled and as it is read.
    pub phone: Option<(String, String)>,
    /// Its e-mail address.
    pub email: Option<String>,
    /// Its texts: address and name.
    pub links: Vec<(String, &'static str)>,
}

impl Page {
    /// The same page with what it says of the shop, if it is one for customers.
    #[must_use]
    pub fn signed(self, sign: Sign) -> Self {
        Self { sign, ..self }
    }

    /// Whether it is the team's, and the product's, not the shop's.
    fn is_of_the_team(&self) -> bool {
        let within = |start: &str| {
            self.path.strip_prefix(start).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        self.user.is_some() || ["/dashboard", "/login", "/logout", "/docs"].into_iter().any(within)
    }

    /// Who sells here, on pages for customers.
    #[must_use]
    pub fn shop(&self) -> Option<&Shop> {
        self.sign.shop.as_deref().filter(|_| !self.is_of_the_team())
    }

    /// Its logo.
    #[must_use]
    pub fn logo(&self) -> Option<&Mark> {
        self.shop()?.logo.as_ref()
    }

    /// What stands at the head of the page and ends its title.
    #[must_use]
    pub fn brand(&self) -> &str {
        if self.is_of_the_team() {
            return self.t.brand;
        }
        let host = self.sign.host.as_deref().unwrap_or(self.t.brand);
        self.shop().map_or(host, |shop| shop.business.name())
    }

    /// The shop at the foot of the page.
    #[must_use]
    pub fn foot(&self) -> Option<Foot> {
        let business = &self.shop()?.business;
        let link = |document: Document| {
            let href = match business.wording(document)? {
                Wording::Text(_) => format!("/{}", document.as_str()),
                Wording::Link(link) => link.clone(),
            };
            Some((href, i18n::document(self.t, document)))
        };
        Some(Foot {
            name: business.name().to_owned(),
            lines: business.address().unwrap_or_default().lines().map(str::to_owned).collect(),
            phone: business.dialled().zip(business.phone().map(str::to_owned)),
            email: business.email().map(str::to_owned),
            links: Document::ALL.into_iter().filter_map(link).collect(),
        })
    }
}

#[derive(Template)]
#[template(path = "document.html")]
struct DocumentPage {
    page: Page,
    title: &'static str,
    text: String,
}

impl DocumentPage {
    fn paragraphs(&self) -> Vec<Vec<&str>> {
        paragraphs(&self.text)
    }
}

/// `/terms`, `/cancellation`, `/privacy`, `/legal`: a text of the shop's own, or the way to where it is.
pub async fn document(page: Page, uri: Uri) -> Result<Response, Problem> {
    let document = Document::parse(uri.path().trim_start_matches('/'));
    let wording = document.zip(page.shop()).and_then(|(document, shop)| shop.business.wording(document));
    let (Some(document), Some(wording)) = (document, wording) else { return Err(Problem::not_found()) };
    Ok(match wording {
        Wording::Link(link) => Redirect::to(link).into_response(),
        Wording::Text(text) => {
            let title = i18n::document(page.t, document);
            let view = DocumentPage { title, text: text.clone(), page };
            view.page.show(&view)
        }
    })
}
