//! What a session asks of the buyer besides how to pay: phone, where to send, the shop's own questions,
//! consent. How to pay is `pay_page`'s matter.

use super::form::Branch;
use super::html::escape;
use super::model::{Buyer, Session};
use super::pay_page::{Fault, Input, Lang, field, input};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// A session has at most three questions of its own.
const QUESTIONS: [&str; 3] = ["field_0", "field_1", "field_2"];
/// The longest answer that is read, in characters.
const MAX_ANSWER_CHARS: usize = 255;

/// One thing to be typed.
#[derive(Debug)]
struct Asked<'a> {
    id: &'static str,
    label: String,
    kind: &'static str,
    autocomplete: &'static str,
    required: bool,
    /// What may be chosen, as value and label; empty if it is typed freely.
    choices: Vec<(&'a str, &'a str)>,
    /// Only digits, and how many characters.
    numeric: bool,
    min: Option<u64>,
    max: Option<u64>,
}

impl Asked<'_> {
    fn text(id: &'static str, label: &str, autocomplete: &'static str) -> Self {
        Self {
            id,
            label: label.to_owned(),
            kind: "text",
            autocomplete,
            required: true,
            choices: Vec::new(),
            numeric: false,
            min: None,
            max: None,
        }
    }

    fn fits(&self, answer: &str) -> bool {
        let chars = answer.chars().count() as u64;
        if answer.is_empty() {
            return !self.required;
        }
        self.min.is_none_or(|min| chars >= min)
            && self.max.is_none_or(|max| chars <= max)
            && (!self.numeric || answer.bytes().all(|b| b.is_ascii_digit()))
            && (self.choices.is_empty() || self.choices.iter().any(|(value, _)| *value == answer))
    }
}

fn all<'a>(lang: Lang, session: &'a Session) -> Vec<Asked<'a>> {
    let mut asked = Vec::new();
    let on = |name: &str| session.echo.get(name).filter(|v| !v.is_null());
    if on("phone_number_collection").is_some_and(|v| v["enabled"] == true) {
        let phone = Asked::text("phone", lang.pick("Téléphone", "Phone number"), "tel");
        asked.push(Asked { kind: "tel", ..phone });
    }
    if let Some(shipping) = on("shipping_address_collection") {
        let countries = shipping["allowed_countries"].as_array().into_iter().flatten();
        let countries = countries.filter_map(Value::as_str).map(|code| (code, code)).collect();
        asked.extend([
            Asked::text(
                "shipping_name",
                lang.pick("Nom du destinataire", "Name of the receiver"),
                "shipping name",
            ),
            Asked::text(
                "shipping_line1",
                lang.pick("Adresse de livraison", "Shipping address"),
                "shipping address-line1",
            ),
            Asked::text(
                "shipping_postal_code",
                lang.pick("Code postal", "Postal code"),
                "shipping postal-code",
            ),
            Asked::text("shipping_city", lang.pick("Ville", "City"), "shipping address-level2"),
            Asked {
                choices: countries,
                ..Asked::text("shipping_country", lang.pick("Pays", "Country"), "shipping country")
            },
        ]);
    }
    for (id, question) in QUESTIONS.into_iter().zip(questions(session)) {
        let kind = question["type"].as_str().unwrap_or_default();
        let given = &question[kind];
        let choice = |option: &'a Value| Some((option["value"].as_str()?, option["label"].as_str()?));
        let optional = question["optional"] == true;
        let label = question["label"]["custom"].as_str().unwrap_or_default();
        let suffix = if optional { lang.pick(" (facultatif)", " (optional)") } else { "" };
        asked.push(Asked {
            required: !optional,
            choices: given["options"].as_array().into_iter().flatten().filter_map(choice).collect(),
            numeric: kind == "numeric",
            min: given["minimum_length"].as_u64(),
            max: given["maximum_length"].as_u64(),
            ..Asked::text(id, &format!("{}{suffix}", escape(label)), "")
        });
    }
    asked
}

fn questions(session: &Session) -> impl Iterator<Item = &Value> {
    session.echo.get("custom_fields").and_then(Value::as_array).into_iter().flatten()
}

fn consent<'a>(session: &'a Session, name: &str) -> Option<&'a str> {
    session.echo.get("consent_collection")?.get(name)?.as_str()
}

/// The form's part for all of it.
pub(crate) fn render(lang: Lang, session: &Session, sent: &Branch, fault: Option<&Fault>) -> String {
    let mut out = String::new();
    for asked in all(lang, session) {
        let typed: String = field(sent, asked.id).chars().take(MAX_ANSWER_CHARS).collect();
        let given = Input {
            id: asked.id,
            label: &asked.label,
            kind: asked.kind,
            value: &typed,
            autocomplete: asked.autocomplete,
            inputmode: if asked.numeric { "numeric" } else { "" },
            choices: &asked.choices,
            ..Input::default()
        };
        out.push_str(&input(&given, fault));
    }
    let mut tick = |id: &str, text: &str| {
        let checked = if field(sent, id).is_empty() { "" } else { " checked" };
        let wrong = fault.filter(|f| f.field == id);
        let (error, described) = match wrong {
            Some(fault) => (
                format!("<p class=\"error\" id=\"{id}-error\">{}</p>\n", escape(&fault.message)),
                format!(" aria-invalid=\"true\" aria-describedby=\"{id}-error\""),
            ),
            None => Default::default(),
        };
        let _ = writeln!(
            out,
            "{error}<label class=\"choice\"><input type=\"checkbox\" id=\"{id}\" name=\"{id}\" value=\"yes\"{checked}{described}> \
             {text}</label>"
        );
    };
    if consent(session, "promotions") == Some("auto") {
        tick(
            "promotions",
            lang.pick("Je veux recevoir des nouvelles de la boutique", "Send me the shop’s news"),
        );
    }
    if consent(session, "terms_of_service") == Some("required") {
        tick("terms", lang.pick("J’accepte les conditions de la boutique", "I accept the shop’s terms"));
    }
    out
}

/// What the buyer answered, put into `buyer`.
///
/// # Errors
/// The first answer that is missing or does not fit.
pub(crate) fn read(lang: Lang, session: &Session, sent: &Branch, buyer: &mut Buyer) -> Result<(), Fault> {
    for asked in all(lang, session) {
        if !asked.fits(field(sent, asked.id)) {
            let message = lang.pick("Complétez ce champ.", "Fill in this field.");
            return Err(Fault { field: asked.id, message: message.to_owned() });
        }
    }
    let terms = consent(session, "terms_of_service") == Some("required");
    if terms && field(sent, "terms").is_empty() {
        let message = lang.pick("Acceptez les conditions pour payer.", "Accept the terms to pay.");
        return Err(Fault { field: "terms", message: message.to_owned() });
    }
    let text = |id: &str| Some(field(sent, id)).filter(|answer| !answer.is_empty()).map(str::to_owned);
    buyer.phone = text("phone");
    buyer.shipping = text("shipping_line1").map(|line1| {
        json!({
            "address": {
                "city": text("shipping_city"), "country": text("shipping_country"), "line1": line1, "line2": null,
                "postal_code": text("shipping_postal_code"), "state": null,
            },
            "name": text("shipping_name"),
        })
    });
    buyer.answers = QUESTIONS
        .into_iter()
        .zip(questions(session))
        .filter_map(|(id, question)| Some((question["key"].as_str()?.to_owned(), text(id)?)))
        .collect();
    buyer.news = !field(sent, "promotions").is_empty();
    Ok(())
}
