//! The pages: storefront, result, sign-in, dashboard. Plain forms that work without script.
//!
//! A handler gathers what its template shows and nothing more; templates decide nothing. Texts are in
//! [`i18n`], numbers and dates in [`format`].

pub mod assets;
pub mod booking;
pub mod dashboard;
pub mod format;
pub mod i18n;
pub mod login;
pub mod multipart;
pub mod problem;
pub mod result;
pub mod shop;
pub mod storefront;

use super::auth::Signed;
use super::error::Problem;
use super::request::RequestId;
use crate::app::Shared;
use askama::Template;
use axum::extract::{FromRequestParts, MatchedPath, RawForm, Request};
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use domain::Fault;
use domain::account::User;
use domain::lang::Lang;
use domain::role::Role;
use i18n::Texts;
use shop::Sign;
use std::collections::{BTreeMap, HashSet};
use std::convert::Infallible;
use std::sync::LazyLock;

/// The cookie that remembers the chosen language.
const LANG_COOKIE: &str = "lang";

/// What every page shows around its own content.
#[derive(Debug, Clone)]
pub struct Page {
    /// The reader's language.
    pub lang: Lang,
    /// Its texts.
    pub t: &'static Texts,
    /// Who is signed in.
    pub user: Option<User>,
    /// The request's id, for pages that say what went wrong.
    pub request_id: String,
    /// Whether Stripe is simulated: the page says so.
    pub simulated: bool,
    /// What it says of the shop.
    sign: Sign,
    /// The address of this page, for the links to its other language; without `lang`.
    path: String,
    query: Vec<(String, String)>,
    /// Of a request that is no look: the page that held its form.
    form: Option<String>,
    /// Whether the language was chosen just now, and is to be remembered.
    chosen: bool,
    secure: bool,
}

/// An entry of the dashboard's navigation.
#[derive(Debug)]
pub struct Tab {
    /// Where it leads.
    pub href: &'static str,
    /// Its text.
    pub name: &'static str,
    /// Whether it is the page shown.
    pub here: bool,
}

impl Page {
    /// The page around the answer to a request.
    #[must_use]
    pub fn of(
        app: &Shared,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
        extensions: &Extensions,
    ) -> Self {
        let pairs = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()).into_owned();
        let (asked, mut query): (Vec<_>, Vec<_>) = pairs.partition(|(name, _)| name == LANG_COOKIE);
        let asked = asked.into_iter().next_back().and_then(|(_, value)| Lang::parse(&value));
        if method != Method::GET {
            query.clear();
        }
        let kept = || cookie(headers, LANG_COOKIE).and_then(Lang::parse);
        let lang = asked.or_else(kept).unwrap_or_else(|| super::checkout::preferred_lang(headers));
        Self {
            lang,
            t: Texts::of(lang),
            user: extensions.get::<Signed>().map(|signed| signed.0.clone()),
            request_id: extensions.get::<RequestId>().map(|id| id.0.clone()).unwrap_or_default(),
            simulated: app.config.simulated(),
            sign: Sign::default(),
            path: uri.path().to_owned(),
            form: (method != Method::GET).then(|| form_page(uri, headers, extensions)),
            query,
            chosen: asked.is_some(),
            secure: app.config.cookie.secure,
        }
    }

    /// The same page as it is found at another address.
    #[must_use]
    pub fn at(self, path: &str) -> Self {
        Self { path: path.to_owned(), ..self }
    }

    /// The address of a style sheet, script or icon.
    #[must_use]
    pub fn asset(&self, name: &str) -> String {
        assets::href(name)
    }

    /// Whether nothing of what was asked for can be had by looking again: a form was sent.
    #[must_use]
    pub fn was_sent(&self) -> bool {
        self.form.is_some()
    }

    /// The page to come back to after signing in: this one, or the one that held the form that was sent.
    #[must_use]
    pub fn return_address(&self) -> String {
        self.form.clone().unwrap_or_else(|| self.address())
    }

    /// This address, to come back to after signing in.
    #[must_use]
    pub fn address(&self) -> String {
        if self.query.is_empty() {
            return self.path.clone();
        }
        let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.query).finish();
        format!("{}?{query}", self.path)
    }

    /// Whether the reader is signed in and may do what `needed` may.
    #[must_use]
    pub fn allows(&self, needed: Role) -> bool {
        self.user.as_ref().is_some_and(|user| user.role.allows(needed))
    }

    /// Where the brand leads.
    #[must_use]
    pub fn home(&self) -> &'static str {
        if self.user.is_some() { "/dashboard" } else { "/" }
    }

    /// This page in each language.
    #[must_use]
    pub fn languages(&self) -> Vec<(Lang, &'static str, String)> {
        let names = [(Lang::Fr, "Français"), (Lang::En, "English")];
        let link = |lang: Lang| {
            let mut query = form_urlencoded::Serializer::new(String::new());
            query.extend_pairs(&self.query).append_pair(LANG_COOKIE, lang.as_str());
            format!("{}?{}", self.path, query.finish())
        };
        names.into_iter().map(|(lang, name)| (lang, name, link(lang))).collect()
    }

    /// The dashboard's navigation, as far as the role reaches.
    #[must_use]
    pub fn tabs(&self) -> Vec<Tab> {
        let role = self.user.as_ref().map_or(Role::ReadOnly, |user| user.role);
        let all = [
            ("/dashboard", self.t.bookings, Role::ReadOnly),
            ("/dashboard/day", self.t.coming, Role::ReadOnly),
            ("/dashboard/ledger", self.t.ledger, Role::ReadOnly),
            ("/dashboard/cases", self.t.cases, Role::Ops),
            ("/dashboard/metrics", self.t.metrics, Role::Ops),
            ("/dashboard/offers", self.t.offers, Role::Admin),
            ("/dashboard/hours", self.t.hours, Role::Admin),
            ("/dashboard/business", self.t.business, Role::Admin),
            ("/dashboard/users", self.t.users, Role::Admin),
            ("/dashboard/audit", self.t.audit, Role::Admin),
        ];
        let path = self.path.as_str();
        let here = |href: &str| match href {
            "/dashboard" => path == href || path.starts_with("/dashboard/bookings"),
            _ => path.starts_with(href),
        };
        let allowed = all.into_iter().filter(|(_, _, needed)| role.allows(*needed));
        allowed.map(|(href, name, _)| Tab { href, name, here: here(href) }).collect()
    }

    /// The answer with this page.
    pub fn show(&self, template: &impl Template) -> Response {
        self.show_as(StatusCode::OK, template)
    }

    /// The answer with this page and a status.
    pub fn show_as(&self, status: StatusCode, template: &impl Template) -> Response {
        let html = match template.render() {
            Ok(html) => html,
            Err(error) => {
                tracing::error!(module = "pages", action = "page.failed", "{error}");
                return Problem::internal().into_response();
            }
        };
        let mut response = (status, html).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
        headers.insert(header::CONTENT_LANGUAGE, HeaderValue::from_static(self.lang.as_str()));
        headers.insert(header::VARY, HeaderValue::from_static("Cookie, Accept-Language"));
        // What a page shows depends on who asks and when: a copy would be wrong or somebody else's.
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if self.chosen {
            let secure = if self.secure { "; Secure" } else { "" };
            let cookie = format!(
                "{LANG_COOKIE}={}; Path=/; Max-Age=31536000; HttpOnly; SameSite=Lax{secure}",
                self.lang.as_str()
            );
            if let Ok(cookie) = HeaderValue::from_str(&cookie) {
                headers.append(header::SET_COOKIE, cookie);
            }
        }
        response
    }
}

impl FromRequestParts<Shared> for Page {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &Shared) -> Result<Self, Infallible> {
        let page = Self::of(app, &parts.method, &parts.uri, &parts.headers, &parts.extensions);
        Ok(page.signed(Sign::of(app).await))
    }
}

/// The page that held the form which was sent: the one that the browser names, if it is of this site, else the
/// address itself or what stands above it, as far as it can be looked at.
fn form_page(uri: &Uri, headers: &HeaderMap, extensions: &Extensions) -> String {
    static LOOKED_AT: LazyLock<HashSet<&str>> = LazyLock::new(|| {
        super::routes().into_iter().filter(|route| route.method == "GET").map(|route| route.path).collect()
    });
    let text = |name: header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let referer = text(header::REFERER).and_then(|referer| referer.parse::<Uri>().ok());
    let host = text(header::HOST);
    let named = referer.filter(|referer| referer.authority().map(|at| at.as_str()) == host && host.is_some());
    if let Some(named) = named.as_ref().and_then(|referer| referer.path_and_query()) {
        return named.as_str().to_owned();
    }
    let pattern = extensions.get::<MatchedPath>().map_or("", |matched| matched.as_str());
    let (mut pattern, mut path) = (pattern, uri.path());
    while !LOOKED_AT.contains(pattern) {
        match (pattern.rsplit_once('/'), path.rsplit_once('/')) {
            (Some((pattern_above, _)), Some((above, _))) => (pattern, path) = (pattern_above, above),
            _ => return "/dashboard".to_owned(),
        }
    }
    path.to_owned()
}

/// The value of a cookie, as it was sent.
fn cookie<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(found, _)| *found == name).map(|(_, value)| value)
}

/// The fields of a posted form. Of names sent twice the last counts; what is missing is empty.
#[derive(Debug, Default)]
pub struct Fields(BTreeMap<String, String>);

impl Fields {
    /// A field, as it was typed.
    #[must_use]
    pub fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// A field that may be missing.
    #[must_use]
    pub fn sent(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}

impl<S: Send + Sync> axum::extract::FromRequest<S> for Fields {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        let form = RawForm::from_request(request, state).await.map_err(IntoResponse::into_response)?;
        let fields: BTreeMap<String, String> = form_urlencoded::parse(&form.0).into_owned().collect();
        // No browser's field holds one, and not every database can keep it.
        match fields.iter().find(|(name, value)| name.contains('\0') || value.contains('\0')) {
            None => Ok(Self(fields)),
            Some((name, _)) => {
                let fault = Problem::fault(&name.replace('\0', ""), "must not contain the character U+0000");
                Err(fault.into_response())
            }
        }
    }
}

/// A line of the summary at the top of a form that cannot be taken as it is.
#[derive(Debug, Clone)]
pub struct FormError {
    /// The field to go to; empty if there is none.
    pub target: String,
    /// What to do.
    pub message: String,
}

impl FormError {
    /// A line that belongs to no field.
    #[must_use]
    pub fn general(message: &str) -> Vec<Self> {
        vec![Self { target: String::new(), message: message.to_owned() }]
    }

    /// A line for each fault.
    #[must_use]
    pub fn of(lang: Lang, faults: &[Fault]) -> Vec<Self> {
        let line = |fault: &Fault| Self { target: fault.path.clone(), message: i18n::fault(lang, fault) };
        faults.iter().map(line).collect()
    }
}

/// What templates say beside a field.
pub trait BesideField {
    /// The first line about this field.
    fn at(&self, field: &str) -> Option<&str>;
}

impl BesideField for Vec<FormError> {
    fn at(&self, field: &str) -> Option<&str> {
        self.iter().find(|error| error.target == field).map(|error| error.message.as_str())
    }
}

#[derive(Template)]
#[template(path = "accessibility.html")]
struct Accessibility {
    page: Page,
}

/// The accessibility statement.
pub async fn accessibility(page: Page) -> Response {
    page.show(&Accessibility { page: page.clone() })
}
