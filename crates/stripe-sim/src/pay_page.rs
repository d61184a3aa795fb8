//! The hosted payment page, the bank's question (3-D Secure), and receipts. Plain forms, no script.

use super::api::Request;
use super::cards::{IBAN_FAILS, IBAN_SUCCEEDS, Instrument, Outcome, TEST_CARDS, TestCard};
use super::form::{self, Branch, Node};
use super::html::{self, escape};
use super::model::{Buyer, IntentStatus, LineItem, Session, SessionStatus};
use super::routes::links;
use super::rules::sessions::{self, NotPayable, PayOutcome};
use super::rules::{payments, totals};
use super::world::Cause;
use super::{Shared, account, currency, objects, pay_fields};
use axum::body::Body;
use axum::http::{Method, Response, StatusCode, header};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;
use url::Url;

/// Stripe holds the buyer back so long for the shop's webhook answer before redirecting.
const WEBHOOK_WAIT: Duration = Duration::from_secs(10);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lang {
    Fr,
    En,
}

impl Lang {
    /// The session's language, else the browser's; what is not French is English here.
    fn of(session: Option<&Session>, request: &Request) -> Self {
        let asked = session.and_then(|s| s.locale.as_deref()).filter(|l| *l != "auto");
        let accepted = request.headers.get(header::ACCEPT_LANGUAGE).and_then(|v| v.to_str().ok());
        let first = asked.or_else(|| accepted?.split([',', ';']).next()).unwrap_or("en");
        if first.trim().to_ascii_lowercase().starts_with("fr") { Self::Fr } else { Self::En }
    }

    fn tag(self) -> &'static str {
        match self {
            Self::Fr => "fr",
            Self::En => "en",
        }
    }

    pub(crate) fn pick(self, fr: &'static str, en: &'static str) -> &'static str {
        match self {
            Self::Fr => fr,
            Self::En => en,
        }
    }

    fn money(self, code: &str, amount: i64) -> String {
        let english = currency::display(code, amount);
        match self {
            Self::En => english,
            Self::Fr => {
                let digits: String = english
                    .chars()
                    .filter(|c| c.is_ascii_digit() || *c == '.')
                    .collect::<String>()
                    .replace('.', ",");
                let unit = if code == "eur" { "€".to_owned() } else { code.to_uppercase() };
                format!("{digits}\u{a0}{unit}")
            }
        }
    }
}

/// Answers `/c/pay/{session}` and what belongs to it.
pub(crate) async fn handle(shared: &Arc<Shared>, request: &Request) -> Response<Body> {
    shared.tick();
    let segments: Vec<&str> = request.path.trim_matches('/').split('/').collect();
    match (&request.method, &segments[..]) {
        (&Method::GET | &Method::HEAD, ["c", "pay", id]) => show(shared, request, id),
        (&Method::POST, ["c", "pay", id]) => pay(shared, request, id).await,
        (&Method::GET, ["c", "pay", id, "3ds"]) => question(shared, request, id),
        (&Method::POST, ["c", "pay", id, "3ds"]) => answer(shared, request, id).await,
        (&Method::GET, ["c", "pay", id, "brand.css"]) => brand(shared, request, id),
        (&Method::GET, ["b", link]) => follow(shared, request, link),
        (&Method::GET, ["thanks"]) => thanks(request),
        (&Method::GET, ["r", id]) => recover(shared, request, id),
        (&Method::GET, ["3ds", intent]) => intent_question(shared, request, intent),
        (&Method::POST, ["3ds", intent]) => intent_answer(shared, request, intent),
        (&Method::GET, ["receipts", charge]) => receipt(shared, request, charge),
        _ => not_found(request),
    }
}

fn not_found(request: &Request) -> Response<Body> {
    let lang = Lang::of(None, request);
    let title = lang.pick("Page introuvable", "Page not found");
    html::page(StatusCode::NOT_FOUND, lang.tag(), title, &format!("<h1>{title}</h1>"), &[])
}

/// What went wrong with the form, and the field that it belongs to.
#[derive(Debug)]
pub(crate) struct Fault {
    pub field: &'static str,
    pub message: String,
}

/// What the buyer typed, to be shown again. Never the card number or the security code.
#[derive(Debug, Default)]
struct Typed {
    email: String,
    name: String,
    method: String,
    /// All that was sent, for what `pay_fields` asks.
    sent: Branch,
}

fn find(shared: &Shared, id: &str) -> Option<Session> {
    shared.read(|world| world.sessions.get(id).cloned())
}

fn show(shared: &Shared, request: &Request, id: &str) -> Response<Body> {
    let Some(session) = find(shared, id).filter(|s| s.client_secret.is_none()) else {
        return not_found(request);
    };
    let lang = Lang::of(Some(&session), request);
    match session.status {
        SessionStatus::Open => form_page(shared, lang, &session, &Typed::default(), None),
        SessionStatus::Complete => closed(
            lang,
            lang.pick("Cette commande est terminée", "This order is complete"),
            lang.pick("Le paiement a déjà été fait.", "The payment was already made."),
            back(lang, success_url(&session).as_deref()),
        ),
        SessionStatus::Expired => closed(
            lang,
            lang.pick("Cette page de paiement a expiré", "This payment page has expired"),
            lang.pick(
                "Retournez à la boutique pour recommencer. Rien n’a été débité.",
                "Go back to the shop to start again. Nothing was charged.",
            ),
            back(lang, session.cancel_url.as_deref()),
        ),
    }
}

/// A payment link: everybody who follows it gets a session of their own.
fn follow(shared: &Shared, request: &Request, link: &str) -> Response<Body> {
    let query = |name: &str| {
        let mut pairs = form_urlencoded::parse(request.query.as_bytes());
        pairs.find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    };
    let (reference, email) = (query("client_reference_id"), query("prefilled_email"));
    let followed = shared
        .change(Cause::page(), |world| links::follow(world, link, reference.as_deref(), email.as_deref()))
        .0;
    match followed {
        Some(session) => html::see_other(&format!("/c/pay/{session}")),
        None => not_found(request),
    }
}

fn thanks(request: &Request) -> Response<Body> {
    let lang = Lang::of(None, request);
    let text = lang.pick("Le paiement est fait.", "Your payment was made.");
    closed(lang, lang.pick("Merci", "Thank you"), text, String::new())
}

/// The merchant's colour, as a style sheet of its own: the page's rules allow no style in its text.
fn brand(shared: &Shared, request: &Request, id: &str) -> Response<Body> {
    let Some(session) = find(shared, id) else { return not_found(request) };
    let color = branded(shared, &session, "button_color");
    let color = if account::is_color(&color) { color } else { account::COLOR.to_owned() };
    let part =
        |at: usize| color.get(at..at + 2).and_then(|hex| u32::from_str_radix(hex, 16).ok()).unwrap_or(0);
    // Black or white, whichever can be read on it.
    let light = part(1) * 299 + part(3) * 587 + part(5) * 114 > 128_000;
    let ink = if light { "#000000" } else { "#ffffff" };
    let css =
        format!("button.main:not(.quiet) {{ background: {color}; border-color: {color}; color: {ink}; }}\n");
    html::respond(StatusCode::OK, "text/css; charset=utf-8", css)
}

/// What a session asks for of the merchant's look, else the account's own.
fn branded(shared: &Shared, session: &Session, name: &str) -> String {
    let asked = session.echo.get("branding_settings").and_then(|b| b[name].as_str()).map(str::to_owned);
    asked.unwrap_or_else(|| {
        shared.read(|world| match name {
            "display_name" => world.account.name.clone(),
            _ => world.account.color.clone(),
        })
    })
}

fn shop(shared: &Shared, session: &Session) -> String {
    let logo = shared.read(|world| world.account.logo.is_some());
    let picture = if logo { "<img src=\"/assets/logo\" alt=\"\">" } else { "" };
    format!("<p class=\"shop\">{picture}{}</p>\n", escape(&branded(shared, session, "display_name")))
}

/// The link of an expired session that may be taken up again.
fn recover(shared: &Shared, request: &Request, id: &str) -> Response<Body> {
    match shared.change(Cause::page(), |world| sessions::recover(world, id)).0 {
        Some(new) => html::see_other(&format!("/c/pay/{new}")),
        None => not_found(request),
    }
}

fn closed(lang: Lang, title: &str, text: &str, link: String) -> Response<Body> {
    let main = format!("<h1>{title}</h1>\n<p>{text}</p>\n{link}");
    html::page(StatusCode::OK, lang.tag(), title, &main, &[])
}

fn back(lang: Lang, url: Option<&str>) -> String {
    match url {
        Some(url) if is_web(url) => {
            format!(
                "<p><a href=\"{}\">{}</a></p>",
                escape(url),
                lang.pick("Retour à la boutique", "Back to the shop")
            )
        }
        _ => String::new(),
    }
}

fn is_web(url: &str) -> bool {
    url.starts_with("https://") || url.starts_with("http://")
}

/// Chromium holds redirects after a form to `form-action`, so the shop's own origin is named there.
fn shop_origins(session: &Session) -> Vec<String> {
    let urls = [session.success_url.as_deref(), session.cancel_url.as_deref(), session.return_url.as_deref()];
    let origin = |url: &str| {
        let parsed = Url::parse(&url.replace("{CHECKOUT_SESSION_ID}", "x")).ok()?;
        Some(if parsed.origin().is_tuple() {
            parsed.origin().ascii_serialization()
        } else {
            format!("{}:", parsed.scheme())
        })
    };
    let mut origins: Vec<String> = urls.into_iter().flatten().filter_map(origin).collect();
    origins.sort();
    origins.dedup();
    origins
}

fn form_page(
    shared: &Shared,
    lang: Lang,
    session: &Session,
    typed: &Typed,
    fault: Option<&Fault>,
) -> Response<Body> {
    let code = session.currency.as_deref().unwrap_or("eur");
    // What it comes to if the buyer pays now: tax included.
    let mut due = session.clone();
    shared.read(|world| totals::recompute(world, &mut due, true));
    let session = &due;
    let total = lang.money(code, session.amount_total());
    let title = if session.sets_up() {
        lang.pick("Moyen de paiement (simulation)", "Payment method (simulated)")
    } else {
        lang.pick("Paiement simulé", "Simulated payment")
    };
    let mut main = format!("{}<h1>{title}</h1>\n", shop(shared, session));
    if let Some(fault) = fault {
        let _ = writeln!(
            main,
            "<div class=\"errors\" role=\"alert\" id=\"errors\" tabindex=\"-1\" autofocus><p><strong>{}</strong></p>\
             <ul><li><a href=\"#{}\">{}</a></li></ul></div>",
            lang.pick("Le paiement n’a pas pu être fait", "The payment could not be made"),
            fault.field,
            escape(&fault.message)
        );
    }
    if !session.sets_up() {
        let _ = write!(main, "<p class=\"total\">{total}</p>\n{}", order(shared, lang, session, code));
        main.push_str(&shipping_choice(shared, lang, session, code));
        main.push_str(&promotion_field(lang, session, fault));
    }
    // By its own address: after a refused 3-D Secure this page stands at the bank's.
    let _ = write!(
        main,
        "<form method=\"post\" action=\"/c/pay/{}\" novalidate>\n{}",
        escape(&session.id),
        buyer_fields(shared, lang, session, typed, fault)
    );
    main.push_str(&pay_fields::render(lang, session, &typed.sent, fault));
    let pays = session.amount_total() > 0 || session.sets_up();
    if pays {
        main.push_str(&method_fields(lang, session, typed, fault));
    } else {
        let _ = writeln!(
            main,
            "<p>{}</p>",
            lang.pick("Aucun paiement n’est nécessaire.", "No payment is needed.")
        );
    }
    let button = if session.sets_up() {
        lang.pick("Enregistrer", "Save").to_owned()
    } else if session.amount_total() > 0 {
        format!("{} {total}", lang.pick("Payer", "Pay"))
    } else {
        lang.pick("Confirmer la commande", "Complete order").to_owned()
    };
    let _ = write!(main, "<button class=\"main\" type=\"submit\">{button}</button>\n</form>\n");
    if let Some(url) = session.cancel_url.as_deref().filter(|url| is_web(url)) {
        let text = lang.pick("Annuler et retourner à la boutique", "Cancel and go back to the shop");
        let _ = writeln!(main, "<p><a href=\"{}\">{text}</a></p>", escape(url));
    }
    if pays {
        main.push_str(&help(lang, session));
    }
    let status = if fault.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    let title = if fault.is_some() {
        format!("{} – {title}", lang.pick("Erreur", "Error"))
    } else {
        title.to_owned()
    };
    let look = format!("<link rel=\"stylesheet\" href=\"/c/pay/{}/brand.css\">\n", escape(&session.id));
    html::page_with(status, lang.tag(), &title, &main, &shop_origins(session), &look)
}

/// How it is sent, if there is a choice: a form of its own, because it changes the total.
fn shipping_choice(shared: &Shared, lang: Lang, session: &Session, code: &str) -> String {
    if session.shipping_rates.len() < 2 {
        return String::new();
    }
    let mut choices = String::new();
    for id in &session.shipping_rates {
        let rate = shared.read(|world| {
            let name = world.shipping_rates.get(id).and_then(|r| r.text("display_name").map(str::to_owned));
            (name.unwrap_or_default(), objects::rate_amount(world, id))
        });
        let checked = if session.shipping_rate.as_ref() == Some(id) { " checked" } else { "" };
        let _ = writeln!(
            choices,
            "<label class=\"choice\"><input type=\"radio\" name=\"rate\" value=\"{id}\"{checked}> {}: {}</label>",
            escape(&rate.0),
            lang.money(code, rate.1)
        );
    }
    format!(
        "<form method=\"post\" action=\"/c/pay/{}\"><input type=\"hidden\" name=\"do\" value=\"ship\">\n\
         <fieldset><legend>{}</legend>\n{choices}<button class=\"quiet\" type=\"submit\">{}</button></fieldset></form>\n",
        escape(&session.id),
        lang.pick("Livraison", "Shipping"),
        lang.pick("Choisir cette livraison", "Choose this shipping"),
    )
}

fn promotion_field(lang: Lang, session: &Session, fault: Option<&Fault>) -> String {
    if !session.enabled("allow_promotion_codes") {
        return String::new();
    }
    let code = Input {
        id: "promotion",
        label: lang.pick("Code promotionnel", "Promotion code"),
        kind: "text",
        autocomplete: "off",
        ..Input::default()
    };
    format!(
        "<form method=\"post\" action=\"/c/pay/{}\"><input type=\"hidden\" name=\"do\" value=\"promote\">\n{}\
         <button class=\"quiet\" type=\"submit\">{}</button></form>\n",
        escape(&session.id),
        input(&code, fault),
        lang.pick("Appliquer le code", "Apply the code"),
    )
}

/// The buyer's two choices that change the total: how it is sent, and a code.
fn change_total(shared: &Shared, lang: Lang, session: &Session, sent: &Branch) -> Option<Response<Body>> {
    let id = session.id.as_str();
    match field(sent, "do") {
        "ship" => {
            shared.change_quietly(|world| sessions::ship(world, id, field(sent, "rate")));
            Some(html::see_other(&format!("/c/pay/{id}")))
        }
        "promote" => {
            let applied =
                shared.change_quietly(|world| sessions::promote(world, id, field(sent, "promotion")));
            Some(match applied {
                Ok(()) => html::see_other(&format!("/c/pay/{id}")),
                Err(why) => {
                    let message = lang.pick("Ce code ne s’applique pas à cette commande.", why).to_owned();
                    let fault = Fault { field: "promotion", message };
                    form_page(shared, lang, session, &Typed::default(), Some(&fault))
                }
            })
        }
        _ => None,
    }
}

fn order(shared: &Shared, lang: Lang, session: &Session, code: &str) -> String {
    let told = |line: &LineItem| {
        let text = shared.read(|world| {
            let product = &world.prices.get(&line.price)?.product;
            world.products.get(product)?.description.clone()
        });
        text.map_or_else(String::new, |text| format!("<br><small>{}</small>", escape(&text)))
    };
    let mut rows: String = session
        .lines
        .iter()
        .map(|line| {
            format!(
                "<tr><th scope=\"row\">{} × {}{}</th><td class=\"money\">{}</td></tr>\n",
                escape(&line.description),
                line.quantity,
                told(line),
                lang.money(code, line.amount())
            )
        })
        .collect();
    if session.amount_discount > 0 {
        let name = session.discounts.first().and_then(|d| {
            shared.read(|world| {
                let code = d.promotion_code.as_ref().and_then(|c| world.promotion_codes.get(c));
                let typed = code.and_then(|c| c.text("code").map(str::to_owned));
                typed.or_else(|| world.coupons.get(&d.coupon).and_then(|c| c.text("name").map(str::to_owned)))
            })
        });
        let _ = writeln!(
            rows,
            "<tr><th scope=\"row\">{} {}</th><td class=\"money\">−{}</td></tr>",
            lang.pick("Remise", "Discount"),
            escape(&name.unwrap_or_default()),
            lang.money(code, session.amount_discount)
        );
    }
    if session.amount_tax > 0 {
        let contained = session.tax_added == 0;
        let _ = writeln!(
            rows,
            "<tr><th scope=\"row\">{}</th><td class=\"money\">{}</td></tr>",
            match contained {
                true => lang.pick("dont TVA", "of which tax"),
                false => lang.pick("TVA", "Tax"),
            },
            lang.money(code, session.amount_tax)
        );
    }
    if session.amount_shipping > 0 {
        let _ = writeln!(
            rows,
            "<tr><th scope=\"row\">{}</th><td class=\"money\">{}</td></tr>",
            lang.pick("Livraison", "Shipping"),
            lang.money(code, session.amount_shipping)
        );
    }
    format!("<table>\n{rows}</table>\n")
}

#[derive(Debug, Default)]
pub(crate) struct Input<'a> {
    pub id: &'a str,
    /// HTML.
    pub label: &'a str,
    pub hint: &'a str,
    pub kind: &'a str,
    pub value: &'a str,
    pub autocomplete: &'a str,
    pub inputmode: &'a str,
    pub readonly: bool,
    /// Values and labels to choose from; empty if it is typed.
    pub choices: &'a [(&'a str, &'a str)],
}

pub(crate) fn input(field: &Input<'_>, fault: Option<&Fault>) -> String {
    let id = field.id;
    let wrong = fault.filter(|f| f.field == id);
    let mut described = Vec::new();
    let mut out = format!("<label for=\"{id}\">{}</label>\n", field.label);
    if !field.hint.is_empty() {
        let _ = writeln!(out, "<p class=\"hint\" id=\"{id}-hint\">{}</p>", field.hint);
        described.push(format!("{id}-hint"));
    }
    if let Some(fault) = wrong {
        let _ = writeln!(out, "<p class=\"error\" id=\"{id}-error\">{}</p>", escape(&fault.message));
        described.push(format!("{id}-error"));
    }
    if field.choices.is_empty() {
        let (kind, value) = (field.kind, escape(field.value));
        let _ = write!(out, "<input id=\"{id}\" name=\"{id}\" type=\"{kind}\" value=\"{value}\"");
    } else {
        let _ = write!(out, "<select id=\"{id}\" name=\"{id}\"");
    }
    if !field.autocomplete.is_empty() {
        let _ = write!(out, " autocomplete=\"{}\"", field.autocomplete);
    }
    if !field.inputmode.is_empty() {
        let _ = write!(out, " inputmode=\"{}\"", field.inputmode);
    }
    if !described.is_empty() {
        let _ = write!(out, " aria-describedby=\"{}\"", described.join(" "));
    }
    if wrong.is_some() {
        out.push_str(" aria-invalid=\"true\"");
    }
    if field.readonly {
        out.push_str(" readonly");
    }
    out.push_str(">\n");
    if !field.choices.is_empty() {
        for (value, label) in std::iter::once(&("", "–")).chain(field.choices) {
            let chosen = if *value == field.value { " selected" } else { "" };
            let _ = writeln!(out, "<option value=\"{}\"{chosen}>{}</option>", escape(value), escape(label));
        }
        out.push_str("</select>\n");
    }
    out
}

/// The address and the name that the session's customer already has.
fn known_buyer(shared: &Shared, session: &Session) -> (Option<String>, Option<String>) {
    let customer = session.customer.as_ref();
    let known = shared.read(|world| {
        customer.and_then(|id| world.customers.get(id)).map(|c| (c.email.clone(), c.name.clone()))
    });
    let (email, name) = known.unwrap_or_default();
    (session.customer_email.clone().or(email), name)
}

fn buyer_fields(
    shared: &Shared,
    lang: Lang,
    session: &Session,
    typed: &Typed,
    fault: Option<&Fault>,
) -> String {
    let (known_email, known_name) = known_buyer(shared, session);
    let fixed = known_email.as_deref();
    let email = Input {
        id: "email",
        label: lang.pick("Adresse e-mail", "Email address"),
        kind: "email",
        value: fixed.unwrap_or(&typed.email),
        autocomplete: "email",
        readonly: fixed.is_some(),
        ..Input::default()
    };
    let name = Input {
        id: "name",
        label: lang.pick("Nom du titulaire", "Name of the holder"),
        kind: "text",
        value: if typed.name.is_empty() { known_name.as_deref().unwrap_or_default() } else { &typed.name },
        autocomplete: "name",
        ..Input::default()
    };
    format!("{}{}", input(&email, fault), input(&name, fault))
}

fn takes(session: &Session, method: &str) -> bool {
    session.payment_method_types.iter().any(|m| m == method)
}

fn method_fields(lang: Lang, session: &Session, typed: &Typed, fault: Option<&Fault>) -> String {
    let both = takes(session, "card") && takes(session, "sepa_debit");
    let mut out = String::new();
    if both {
        let choice = |value: &str, text: &str, on: bool| {
            let checked = if on { " checked" } else { "" };
            format!(
                "<label class=\"choice\"><input type=\"radio\" name=\"method\" value=\"{value}\"{checked}> {text}</label>\n"
            )
        };
        let sepa = typed.method == "sepa_debit";
        let _ = write!(
            out,
            "<fieldset><legend>{}</legend>\n{}{}</fieldset>\n",
            lang.pick("Moyen de paiement", "Payment method"),
            choice("card", lang.pick("Carte", "Card"), !sepa),
            choice(
                "sepa_debit",
                lang.pick("Prélèvement SEPA (réglé plus tard)", "SEPA debit (settled later)"),
                sepa
            ),
        );
    }
    if takes(session, "card") {
        let number = Input {
            id: "number",
            label: lang.pick("Numéro de carte", "Card number"),
            kind: "text",
            autocomplete: "cc-number",
            inputmode: "numeric",
            ..Input::default()
        };
        let expiry = Input {
            id: "expiry",
            label: lang.pick("Expiration (MM/AA)", "Expiry (MM/YY)"),
            kind: "text",
            autocomplete: "cc-exp",
            inputmode: "numeric",
            ..Input::default()
        };
        let cvc = Input {
            id: "cvc",
            label: lang.pick("Code de sécurité", "Security code"),
            kind: "text",
            autocomplete: "cc-csc",
            inputmode: "numeric",
            ..Input::default()
        };
        let _ = write!(
            out,
            "<fieldset class=\"by-card\"><legend>{}</legend>\n{}<div class=\"row\"><div>{}</div><div>{}</div></div></fieldset>\n",
            lang.pick("Carte", "Card"),
            input(&number, fault),
            input(&expiry, fault),
            input(&cvc, fault)
        );
    }
    if takes(session, "sepa_debit") {
        let iban = Input {
            id: "iban",
            label: "IBAN",
            hint: lang.pick("Seulement pour un prélèvement SEPA.", "For a SEPA debit only."),
            kind: "text",
            ..Input::default()
        };
        let _ = write!(
            out,
            "<fieldset class=\"{}\"><legend>{}</legend>\n{}</fieldset>\n",
            if both { "by-sepa" } else { "" },
            lang.pick("Prélèvement SEPA", "SEPA debit"),
            input(&iban, fault)
        );
    }
    out
}

fn help(lang: Lang, session: &Session) -> String {
    let mut rows = String::new();
    if takes(session, "card") {
        for card in TEST_CARDS.iter().filter(|c| c.listed) {
            let _ = writeln!(
                rows,
                "<tr><td><code>{}</code></td><td>{}</td></tr>",
                grouped(card.number),
                outcome_text(lang, card)
            );
        }
    }
    if takes(session, "sepa_debit") {
        for (iban, text) in [
            (IBAN_SUCCEEDS, lang.pick("réussit plus tard", "succeeds later")),
            (IBAN_FAILS, lang.pick("échoue plus tard", "fails later")),
        ] {
            let _ = writeln!(rows, "<tr><td><code>{iban}</code></td><td>{text}</td></tr>");
        }
    }
    format!(
        "<h2>{}</h2>\n<p>{}</p>\n<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{0}\"><table>\n\
         <thead><tr><th scope=\"col\">{}</th><th scope=\"col\">{}</th></tr></thead>\n<tbody>\n{rows}</tbody>\n</table></div>\n",
        lang.pick("Numéros de test", "Test numbers"),
        lang.pick(
            "Toute date future et tout code de sécurité conviennent ; les deux peuvent rester vides.",
            "Any future date and any security code will do; both may be left empty."
        ),
        lang.pick("Numéro", "Number"),
        lang.pick("Ce qui arrive", "What happens"),
    )
}

fn grouped(number: &str) -> String {
    let chars: Vec<char> = number.chars().collect();
    chars.chunks(4).map(|chunk| chunk.iter().collect::<String>()).collect::<Vec<_>>().join(" ")
}

fn outcome_text(lang: Lang, card: &TestCard) -> String {
    match card.outcome {
        Outcome::Succeeds => lang.pick("accepté", "succeeds").to_owned(),
        Outcome::Disputed { .. } => lang.pick("accepté, puis contesté", "succeeds, then disputed").to_owned(),
        Outcome::Authenticates { .. } => lang.pick("demande 3-D Secure", "asks for 3-D Secure").to_owned(),
        Outcome::Later { .. } => String::new(),
        Outcome::Declined(refusal) => {
            let code = if refusal.decline_code.is_empty() { refusal.code } else { refusal.decline_code };
            format!("{} (<code>{code}</code>)", lang.pick("refusé", "declined"))
        }
    }
}

/// Stripe's messages in the buyer's language.
fn refusal_text(lang: Lang, code: &str, decline_code: Option<&str>, english: &str) -> String {
    if lang == Lang::En {
        return english.to_owned();
    }
    match (code, decline_code) {
        ("card_declined", Some("insufficient_funds")) => "Votre carte ne dispose pas de fonds suffisants.",
        ("card_declined", _) => "Votre carte a été refusée.",
        ("expired_card", _) => "Votre carte a expiré.",
        ("incorrect_cvc", _) => "Le code de sécurité de votre carte est incorrect.",
        ("processing_error", _) => {
            "Une erreur est survenue pendant le traitement de votre carte. Réessayez bientôt."
        }
        ("payment_intent_authentication_failure", _) => {
            "Nous n’avons pas pu authentifier votre moyen de paiement. Choisissez-en un autre et réessayez."
        }
        _ => "Le paiement a été refusé.",
    }
    .to_owned()
}

pub(crate) fn field<'a>(sent: &'a Branch, name: &str) -> &'a str {
    sent.iter()
        .find_map(|(n, node)| match node {
            Node::Text(text) if n == name => Some(text.trim()),
            _ => None,
        })
        .unwrap_or_default()
}

fn sent_form(request: &Request) -> Branch {
    let mut sent = Branch::new();
    if let Ok(body) = &request.body {
        // A form that cannot be read counts as empty: the page then says what is missing.
        let _ = form::decode(body, &mut sent);
    }
    sent
}

async fn pay(shared: &Arc<Shared>, request: &Request, id: &str) -> Response<Body> {
    let Some(session) = find(shared, id).filter(|s| s.client_secret.is_none()) else {
        return not_found(request);
    };
    let lang = Lang::of(Some(&session), request);
    let sent = sent_form(request);
    let limit = |text: &str| text.chars().take(300).collect::<String>();
    let typed = Typed {
        email: limit(field(&sent, "email")),
        name: limit(field(&sent, "name")),
        method: limit(field(&sent, "method")),
        sent: sent.clone(),
    };
    if session.status != SessionStatus::Open {
        return leave_or_show(shared, request, id, &session);
    }
    if let Some(response) = change_total(shared, lang, &session, &sent) {
        return response;
    }
    let instrument = match instrument(shared, lang, &session, &sent) {
        Ok(instrument) => instrument,
        Err(fault) => return form_page(shared, lang, &session, &typed, Some(&fault)),
    };
    if known_buyer(shared, &session).0.is_none() && !typed.email.contains('@') {
        let message = lang.pick("Indiquez une adresse e-mail.", "Enter an email address.").to_owned();
        return form_page(shared, lang, &session, &typed, Some(&Fault { field: "email", message }));
    }
    let country = instrument.as_ref().map(|i| match i {
        Instrument::Card(_) => if lang == Lang::Fr { "FR" } else { "US" }.to_owned(),
        Instrument::Sepa(account) => account.iban.chars().take(2).collect(),
    });
    let mut buyer = Buyer {
        email: Some(typed.email.clone()).filter(|e| !e.is_empty()),
        name: Some(typed.name.clone()).filter(|n| !n.is_empty()),
        country,
        ..Buyer::default()
    };
    if let Err(fault) = pay_fields::read(lang, &session, &sent, &mut buyer) {
        return form_page(shared, lang, &session, &typed, Some(&fault));
    }
    let (outcome, events) = shared.change(Cause::page(), |world| sessions::pay(world, id, instrument, buyer));
    conclude(shared, request, id, outcome, events, &typed).await
}

/// The card or account that was typed, or what is wrong with it.
fn instrument(
    shared: &Shared,
    lang: Lang,
    session: &Session,
    sent: &Branch,
) -> Result<Option<Instrument>, Fault> {
    if session.amount_total() == 0 && !session.sets_up() {
        return Ok(None);
    }
    // An IBAN alone says enough, also if the choice above it was forgotten.
    let only_iban = field(sent, "number").is_empty() && !field(sent, "iban").is_empty();
    let sepa = field(sent, "method") == "sepa_debit" || only_iban || !takes(session, "card");
    if sepa {
        return Instrument::sepa(field(sent, "iban")).map(Some).map_err(|_| Fault {
            field: "iban",
            message: lang.pick("Cet IBAN n’est pas valide.", "The IBAN you entered is invalid.").to_owned(),
        });
    }
    let (year, month) = shared.read(|world| (world.year(), world.month()));
    let (exp_month, exp_year) = expiry(field(sent, "expiry"), year).ok_or_else(|| Fault {
        field: "expiry",
        message: lang
            .pick("La date d’expiration n’est pas valide.", "Your card's expiration date is invalid.")
            .to_owned(),
    })?;
    if (exp_year, exp_month) < (year, month) {
        let message = lang
            .pick("La date d’expiration est passée.", "Your card's expiration date is in the past.")
            .to_owned();
        return Err(Fault { field: "expiry", message });
    }
    let cvc = field(sent, "cvc");
    let digits = (3..=4).contains(&cvc.len()) && cvc.bytes().all(|b| b.is_ascii_digit());
    if !cvc.is_empty() && !digits {
        let message = lang
            .pick("Le code de sécurité n’est pas valide.", "Your card's security code is invalid.")
            .to_owned();
        return Err(Fault { field: "cvc", message });
    }
    Instrument::card(field(sent, "number"), exp_month, exp_year).map(Some).map_err(|_| Fault {
        field: "number",
        message: lang.pick("Le numéro de carte n’est pas valide.", "Your card number is invalid.").to_owned(),
    })
}

/// `12/34`, `12 / 2034`, `1234`; nothing typed means a date far enough.
fn expiry(text: &str, year: i64) -> Option<(i64, i64)> {
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    if text.trim().is_empty() {
        return Some((12, year + 4));
    }
    let (month, rest) = digits.split_at_checked(2)?;
    let month: i64 = month.parse().ok().filter(|m| (1..=12).contains(m))?;
    match rest.len() {
        2 => Some((month, year / 100 * 100 + rest.parse::<i64>().ok()?)),
        4 => Some((month, rest.parse().ok()?)),
        _ => None,
    }
}

/// What the buyer sees after an attempt.
async fn conclude(
    shared: &Arc<Shared>,
    request: &Request,
    id: &str,
    outcome: Result<PayOutcome, NotPayable>,
    events: Vec<String>,
    typed: &Typed,
) -> Response<Body> {
    let Some(session) = find(shared, id) else { return not_found(request) };
    let lang = Lang::of(Some(&session), request);
    match outcome {
        Ok(PayOutcome::Paid | PayOutcome::Processing) => {
            let completed: Vec<String> = shared.read(|world| {
                let kind = |event: &String| world.events.get(event).map(|e| e.kind.clone());
                events
                    .iter()
                    .filter(|e| kind(e).as_deref() == Some("checkout.session.completed"))
                    .cloned()
                    .collect()
            });
            shared.attempted(&completed, WEBHOOK_WAIT).await;
            leave_or_show(shared, request, id, &session)
        }
        Ok(PayOutcome::RequiresAction) => html::see_other(&format!("/c/pay/{id}/3ds")),
        Ok(PayOutcome::Declined { code, decline_code, message }) => {
            let message = refusal_text(lang, &code, decline_code.as_deref(), &message);
            form_page(shared, lang, &session, typed, Some(&Fault { field: "number", message }))
        }
        Err(NotPayable::Method) => {
            let message = lang.pick(
                "Ce moyen de paiement n’est pas accepté ici.",
                "This payment method is not accepted here.",
            );
            form_page(
                shared,
                lang,
                &session,
                typed,
                Some(&Fault { field: "number", message: message.to_owned() }),
            )
        }
        Err(_) => leave_or_show(shared, request, id, &session),
    }
}

/// To the shop if the order is complete, else the page as it is.
fn leave_or_show(shared: &Shared, request: &Request, id: &str, session: &Session) -> Response<Body> {
    match success_url(session) {
        Some(url) if session.status == SessionStatus::Complete => html::see_other(&url),
        _ => show(shared, request, id),
    }
}

/// Where the buyer goes, with the placeholder filled in.
fn success_url(session: &Session) -> Option<String> {
    session.success_url.as_ref().map(|url| url.replace("{CHECKOUT_SESSION_ID}", &session.id))
}

fn question_page(lang: Lang, targets: &[String]) -> Response<Body> {
    let title = lang.pick("Banque simulée : 3-D Secure", "Simulated bank: 3-D Secure");
    let main = format!(
        "<h1>{title}</h1>\n<p>{}</p>\n<form method=\"post\"><button class=\"main\" name=\"answer\" value=\"complete\">{}\
         </button>\n<button class=\"main quiet\" name=\"answer\" value=\"fail\">{}</button></form>",
        lang.pick(
            "Une vraie banque vous demanderait ici de confirmer.",
            "A real bank would ask you to confirm here."
        ),
        lang.pick("Confirmer", "Complete"),
        lang.pick("Refuser", "Fail"),
    );
    html::page(StatusCode::OK, lang.tag(), title, &main, targets)
}

fn question(shared: &Shared, request: &Request, id: &str) -> Response<Body> {
    let Some(session) = find(shared, id) else { return not_found(request) };
    let waits = session.payment_intent.as_deref().is_some_and(|intent| waits_for_answer(shared, intent));
    if session.status != SessionStatus::Open || !waits {
        return html::see_other(&format!("/c/pay/{id}"));
    }
    question_page(Lang::of(Some(&session), request), &shop_origins(&session))
}

fn waits_for_answer(shared: &Shared, intent: &str) -> bool {
    shared.read(|world| world.intents.get(intent).is_some_and(|i| i.status == IntentStatus::RequiresAction))
}

async fn answer(shared: &Arc<Shared>, request: &Request, id: &str) -> Response<Body> {
    let Some(session) = find(shared, id) else { return not_found(request) };
    let passed = field(&sent_form(request), "answer") == "complete";
    let (outcome, events) = shared.change(Cause::page(), |world| sessions::authenticate(world, id, passed));
    let typed = Typed { email: session.customer_email.unwrap_or_default(), ..Typed::default() };
    conclude(shared, request, id, outcome, events, &typed).await
}

/// The bank's question about an intent that was confirmed by API.
fn intent_question(shared: &Shared, request: &Request, intent: &str) -> Response<Body> {
    if waits_for_answer(shared, intent) {
        question_page(Lang::of(None, request), &return_origin(shared, intent))
    } else {
        not_found(request)
    }
}

fn return_url(shared: &Shared, intent: &str) -> Option<Url> {
    let url = shared.read(|world| Url::parse(world.intents.get(intent)?.return_url.as_deref()?).ok());
    url.filter(|url| is_web(url.as_str()))
}

fn return_origin(shared: &Shared, intent: &str) -> Vec<String> {
    return_url(shared, intent).map(|url| url.origin().ascii_serialization()).into_iter().collect()
}

fn intent_answer(shared: &Shared, request: &Request, intent: &str) -> Response<Body> {
    if !waits_for_answer(shared, intent) {
        return not_found(request);
    }
    let back_to = return_url(shared, intent);
    let passed = field(&sent_form(request), "answer") == "complete";
    let (attempt, _) = shared.change(Cause::page(), |world| {
        let attempt = payments::authenticate(world, intent, passed);
        if attempt == payments::Attempt::Paid {
            payments::settle_books(world, intent);
        }
        attempt
    });
    if let Some(mut url) = back_to {
        let status = if matches!(attempt, payments::Attempt::Declined(_)) { "failed" } else { "succeeded" };
        url.query_pairs_mut().append_pair("payment_intent", intent).append_pair("redirect_status", status);
        return html::see_other(url.as_str());
    }
    let lang = Lang::of(None, request);
    closed(
        lang,
        lang.pick("Merci", "Thank you"),
        lang.pick("Vous pouvez fermer cette page.", "You may close this page."),
        String::new(),
    )
}

fn receipt(shared: &Shared, request: &Request, id: &str) -> Response<Body> {
    let lang = Lang::of(None, request);
    let charge =
        shared.read(|world| world.charges.get(id).map(|c| (c.currency.clone(), c.amount, c.amount_refunded)));
    let Some((code, amount, refunded)) = charge else { return not_found(request) };
    let title = lang.pick("Reçu simulé", "Simulated receipt");
    let main = format!(
        "<h1>{title}</h1>\n<table><tr><th scope=\"row\">{}</th><td class=\"money\">{}</td></tr>\n<tr><th scope=\"row\">{}\
         </th><td class=\"money\">{}</td></tr></table>",
        lang.pick("Payé", "Paid"),
        lang.money(&code, amount),
        lang.pick("Remboursé", "Refunded"),
        lang.money(&code, refunded),
    );
    html::page(StatusCode::OK, lang.tag(), title, &main, &[])
}
