//! Who sells here: what customers are shown of the business, and everything that can be wrong with it.
//!
//! Whatever is in a [`Business`] may stand on a page, in a mail and in an address: it was parsed. Its logo is
//! [`logo::Logo`], and what its colour becomes in each theme is [`colour::Palette`].

pub mod colour;
pub mod logo;

use super::Fault;
use super::booking::{is_email, unseen};
use super::lang::Lang;
use colour::Colour;
use serde::{Deserialize, Serialize};

/// The most characters of the name: a heading on a phone, and a sender in a list of mails.
pub const NAME_CHARS: usize = 80;
/// The most characters of the address, on a few lines of a footer.
pub const ADDRESS_CHARS: usize = 300;
/// The most lines of the address.
const ADDRESS_LINES: usize = 8;
/// The most characters of the telephone number.
pub const PHONE_CHARS: usize = 30;
/// The most characters of a link.
const LINK_CHARS: usize = 500;
/// The most bytes of a text as a page carries it: a page has at most 50 KB.
pub const TEXT_BYTES: usize = 40_000;

/// What a shop tells its customers once and for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Document {
    /// The terms of sale.
    Terms,
    /// How a booking is cancelled, and what is given back.
    Cancellation,
    /// What becomes of what is known about people.
    Privacy,
    /// Who is behind it, as the law wants it told.
    Legal,
}

impl Document {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 4] = [Self::Terms, Self::Cancellation, Self::Privacy, Self::Legal];

    /// Its name as a member, and in its address.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Terms => "terms",
            Self::Cancellation => "cancellation",
            Self::Privacy => "privacy",
            Self::Legal => "legal",
        }
    }

    /// By its name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|document| document.as_str() == text)
    }
}

/// Where a document is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wording {
    /// Here: a page of our own shows it.
    Text(String),
    /// Elsewhere: an https address.
    Link(String),
}

impl Wording {
    /// As it was typed.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Text(text) | Self::Link(text) => text,
        }
    }
}

/// A business as it was typed, and as it is kept. What is missing or blank is not set.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Draft {
    /// What it is called.
    pub name: Option<String>,
    /// Where it is, on several lines.
    pub address: Option<String>,
    /// Its telephone number.
    pub phone: Option<String>,
    /// Its e-mail address.
    pub email: Option<String>,
    /// Its colour, as `#rrggbb`.
    pub accent: Option<String>,
    /// In which language its owner reads mails.
    pub mail_lang: Option<String>,
    /// The terms of sale: a text or an https link, as are the other three.
    pub terms: Option<String>,
    /// How a booking is cancelled.
    pub cancellation: Option<String>,
    /// What becomes of what is known about people.
    pub privacy: Option<String>,
    /// Who is behind it.
    pub legal: Option<String>,
}

impl Draft {
    /// The members that are texts, by name.
    pub const MEMBERS: [&'static str; 10] = [
        "name",
        "address",
        "phone",
        "email",
        "accent",
        "mailLang",
        "terms",
        "cancellation",
        "privacy",
        "legal",
    ];

    /// A member by its name.
    pub fn member(&mut self, name: &str) -> Option<&mut Option<String>> {
        Some(match name {
            "name" => &mut self.name,
            "address" => &mut self.address,
            "phone" => &mut self.phone,
            "email" => &mut self.email,
            "accent" => &mut self.accent,
            "mailLang" => &mut self.mail_lang,
            _ => self.document(Document::parse(name)?),
        })
    }

    /// A document.
    pub fn document(&mut self, document: Document) -> &mut Option<String> {
        match document {
            Document::Terms => &mut self.terms,
            Document::Cancellation => &mut self.cancellation,
            Document::Privacy => &mut self.privacy,
            Document::Legal => &mut self.legal,
        }
    }

    /// The business, if nothing is wrong with it.
    ///
    /// # Errors
    /// Every fault, by the name of its member.
    pub fn parse(&self) -> Result<Business, Vec<Fault>> {
        let mut faults = Vec::new();
        let mut take = |result: Result<Option<String>, Fault>| {
            result.unwrap_or_else(|fault| {
                faults.push(fault);
                None
            })
        };
        let name = take(name(set(self.name.as_deref())));
        let address = take(address(set(self.address.as_deref())));
        let phone = take(phone(set(self.phone.as_deref())));
        let email = take(email(set(self.email.as_deref())));
        let mut document =
            |document: Document, text: &Option<String>| match wording(document, set(text.as_deref())) {
                Ok(wording) => wording,
                Err(fault) => {
                    faults.push(fault);
                    None
                }
            };
        let terms = document(Document::Terms, &self.terms);
        let cancellation = document(Document::Cancellation, &self.cancellation);
        let privacy = document(Document::Privacy, &self.privacy);
        let legal = document(Document::Legal, &self.legal);
        let accent = set(self.accent.as_deref()).map(|text| {
            let colour = Colour::parse(text);
            if colour.is_none() {
                faults.push(Fault::coded("accent", "accent", "must be a colour as #rrggbb, such as #0b6b50"));
            }
            colour
        });
        let mail_lang = set(self.mail_lang.as_deref()).map(|text| {
            let lang = Lang::ALL.into_iter().find(|lang| lang.as_str() == text);
            if lang.is_none() {
                faults.push(Fault::coded("mailLang", "mail_lang", "must be fr or en"));
            }
            lang
        });
        match name {
            Some(name) if faults.is_empty() => Ok(Business {
                name,
                address,
                phone,
                email,
                accent: accent.flatten(),
                mail_lang: mail_lang.flatten(),
                terms,
                cancellation,
                privacy,
                legal,
            }),
            _ => Err(faults),
        }
    }
}

/// Who sells here. Only [`Draft::parse`] makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Business {
    name: String,
    address: Option<String>,
    phone: Option<String>,
    email: Option<String>,
    accent: Option<Colour>,
    mail_lang: Option<Lang>,
    terms: Option<Wording>,
    cancellation: Option<Wording>,
    privacy: Option<Wording>,
    legal: Option<Wording>,
}

impl Business {
    /// What it is called.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it is, on one or more lines.
    #[must_use]
    pub fn address(&self) -> Option<&str> {
        self.address.as_deref()
    }

    /// Its telephone number, as it is read.
    #[must_use]
    pub fn phone(&self) -> Option<&str> {
        self.phone.as_deref()
    }

    /// Its telephone number, as it is dialled.
    #[must_use]
    pub fn dialled(&self) -> Option<String> {
        let phone = self.phone.as_deref()?;
        // `+33 (0)1` is read aloud, and dialled without the zero.
        let phone = if phone.starts_with('+') { phone.replace("(0)", "") } else { phone.to_owned() };
        Some(phone.chars().filter(|c| c.is_ascii_digit() || *c == '+').collect())
    }

    /// Its e-mail address.
    #[must_use]
    pub fn email(&self) -> Option<&str> {
        self.email.as_deref()
    }

    /// Its colour.
    #[must_use]
    pub fn accent(&self) -> Option<Colour> {
        self.accent
    }

    /// In which language its owner reads mails.
    #[must_use]
    pub fn mail_lang(&self) -> Option<Lang> {
        self.mail_lang
    }

    /// What it says of this.
    #[must_use]
    pub fn wording(&self, document: Document) -> Option<&Wording> {
        match document {
            Document::Terms => self.terms.as_ref(),
            Document::Cancellation => self.cancellation.as_ref(),
            Document::Privacy => self.privacy.as_ref(),
            Document::Legal => self.legal.as_ref(),
        }
    }

    /// The same to be typed again.
    #[must_use]
    pub fn draft(&self) -> Draft {
        let document =
            |wording: &Option<Wording>| wording.as_ref().map(|wording| wording.as_str().to_owned());
        Draft {
            name: Some(self.name.clone()),
            address: self.address.clone(),
            phone: self.phone.clone(),
            email: self.email.clone(),
            accent: self.accent.map(|colour| colour.to_string()),
            mail_lang: self.mail_lang.map(|lang| lang.as_str().to_owned()),
            terms: document(&self.terms),
            cancellation: document(&self.cancellation),
            privacy: document(&self.privacy),
            legal: document(&self.legal),
        }
    }
}

/// What a shop with customers must say and this one does not, by the names of the members.
#[must_use]
pub fn missing(business: Option<&Business>) -> Vec<&'static str> {
    let Some(business) = business else {
        let documents = Document::ALL.map(Document::as_str);
        return ["name", "address", "email"].into_iter().chain(documents).collect();
    };
    let own = [("address", business.address.is_none()), ("email", business.email.is_none())];
    let documents = Document::ALL.map(|document| (document.as_str(), business.wording(document).is_none()));
    own.into_iter().chain(documents).filter(|(_, missing)| *missing).map(|(name, _)| name).collect()
}

/// The paragraphs of a text, each as its lines.
#[must_use]
pub fn paragraphs(text: &str) -> Vec<Vec<&str>> {
    let mut paragraphs = Vec::new();
    let mut lines = Vec::new();
    for line in text.lines().map(str::trim_end) {
        if line.is_empty() {
            paragraphs.push(std::mem::take(&mut lines));
        } else {
            lines.push(line);
        }
    }
    paragraphs.push(lines);
    paragraphs.retain(|lines| !lines.is_empty());
    paragraphs
}

/// What is set at all.
fn set(text: Option<&str>) -> Option<&str> {
    text.map(str::trim).filter(|text| !text.is_empty())
}

fn long(path: &'static str, most: usize) -> Fault {
    let code = match path {
        "name" => "business_name",
        "address" => "business_address",
        _ => "phone",
    };
    Fault::coded(path, code, format!("must have at most {most} characters"))
}

/// Nothing that is not seen, nor turns what stands around it.
fn clear(path: &'static str, text: &str, lines: bool) -> Result<(), Fault> {
    if text.chars().any(|c| c.is_control() && !(lines && c == '\n')) {
        return Err(Fault::coded(path, "control_here", "must not contain control characters"));
    }
    unseen(text).map_or(Ok(()), |why| Err(Fault::coded(path, "control_here", why)))
}

fn name(text: Option<&str>) -> Result<Option<String>, Fault> {
    let Some(text) = text else { return Err(Fault::coded("name", "business_name", "is required")) };
    clear("name", text, false)?;
    if text.chars().count() > NAME_CHARS {
        return Err(long("name", NAME_CHARS));
    }
    Ok(Some(text.to_owned()))
}

fn address(text: Option<&str>) -> Result<Option<String>, Fault> {
    let Some(text) = text else { return Ok(None) };
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let text = lines.join("\n");
    clear("address", &text, true)?;
    if text.chars().count() > ADDRESS_CHARS {
        return Err(long("address", ADDRESS_CHARS));
    }
    if lines.len() > ADDRESS_LINES {
        let message = format!("must have at most {ADDRESS_LINES} lines");
        return Err(Fault::coded("address", "business_address", message));
    }
    Ok(Some(text))
}

fn phone(text: Option<&str>) -> Result<Option<String>, Fault> {
    let Some(text) = text else { return Ok(None) };
    if text.chars().count() > PHONE_CHARS {
        return Err(long("phone", PHONE_CHARS));
    }
    let inside = text.strip_prefix('+').unwrap_or(text);
    let known = inside.chars().all(|c| c.is_ascii_digit() || " .-()/".contains(c));
    let digits = inside.chars().filter(char::is_ascii_digit).count();
    // Emergency numbers have three, and no number of the world more than fifteen.
    if !known || !(3..=15).contains(&digits) {
        return Err(Fault::coded("phone", "phone", "must be a telephone number such as +33 1 23 45 67 89"));
    }
    Ok(Some(text.to_owned()))
}

fn email(text: Option<&str>) -> Result<Option<String>, Fault> {
    match text {
        None => Ok(None),
        Some(text) if is_email(text) => Ok(Some(text.to_owned())),
        Some(_) => Err(Fault::coded("email", "email", "must be an e-mail address such as name@example.org")),
    }
}

fn wording(document: Document, text: Option<&str>) -> Result<Option<Wording>, Fault> {
    let (path, Some(text)) = (document.as_str(), text) else { return Ok(None) };
    if is_address(text) {
        return match is_https(text) {
            true => Ok(Some(Wording::Link(text.to_owned()))),
            false => Err(Fault::coded(
                path,
                "document_link",
                "must be a text, or a link that begins with https://",
            )),
        };
    }
    // What is pasted from a word processor holds hyphens and marks that nobody sees or means.
    let text: String = text
        .replace("\r\n", "\n")
        .replace(['\r', '\u{2028}', '\u{2029}'], "\n")
        .replace('\t', " ")
        .replace(['\u{ad}', '\u{200b}', '\u{feff}', '\u{2060}'], "");
    clear(path, &text, true)?;
    if weight(&text) > TEXT_BYTES {
        let message =
            format!("must have at most {TEXT_BYTES} bytes as a page shows it; a link may lead to more");
        return Err(Fault::coded(path, "document_long", message));
    }
    Ok(Some(Wording::Text(text)))
}

/// Whether somebody meant an address: one line that begins with a scheme, as no sentence does.
fn is_address(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once(':') else { return text.starts_with("//") };
    let named = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    let runs = ["javascript", "data", "vbscript"].iter().any(|word| scheme.eq_ignore_ascii_case(word));
    runs || (named && (rest.starts_with("//") || !text.contains(char::is_whitespace)))
}

/// Whether an address can stand in a page, a mail and a form of Stripe's as it is.
fn is_https(text: &str) -> bool {
    let Some(rest) = text.strip_prefix("https://") else { return false };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let (host, port) = authority.split_once(':').unwrap_or((authority, "443"));
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    text.len() <= LINK_CHARS
        && text.bytes().all(|b| b.is_ascii_graphic() && !b"\"'<>\\^`{|}".contains(&b))
        && host.contains('.')
        && host.split('.').all(label)
        && port.parse::<u16>().is_ok()
}

/// The bytes of a text on a page: what is escaped there, and the ends of lines and paragraphs, take more than one.
fn weight(text: &str) -> usize {
    text.bytes().map(|byte| if b"<>&\"'\n".contains(&byte) { 5 } else { 1 }).sum()
}

#[cfg(test)]
mod tests;
