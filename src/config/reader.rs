//! Reads variables and collects every mistake, so that all are told at once.

use super::variables::VARIABLES;
use secrecy::SecretString;
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

/// The most that a secret's file may hold, in bytes.
const MAX_SECRET_FILE: u64 = 64 * 1024;

/// One thing wrong with the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The variable.
    pub name: String,
    /// What is wrong and what to do about it. Never holds a secret's value.
    pub message: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.message)
    }
}

/// Everything wrong with the configuration, one line each.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the configuration cannot be used:{}", lines(.0))]
pub struct ConfigError(pub Vec<Mistake>);

fn lines(mistakes: &[Mistake]) -> String {
    mistakes.iter().map(|mistake| format!("\n  {mistake}")).collect()
}

/// Looks values up by name. An empty variable counts as not set.
#[derive(Debug)]
pub(super) struct Reader<'v> {
    vars: &'v BTreeMap<String, String>,
    pub(super) mistakes: Vec<Mistake>,
    pub(super) warnings: Vec<Mistake>,
}

impl<'v> Reader<'v> {
    /// `mistakes` are those made before.
    pub(super) fn new(vars: &'v BTreeMap<String, String>, mistakes: Vec<Mistake>) -> Self {
        let mut reader = Self { vars, mistakes, warnings: Vec::new() };
        reader.warn_of_misspellings();
        reader
    }

    /// The first mistake of a variable is told; what follows from it is not.
    pub(super) fn mistake(&mut self, name: &str, message: impl Into<String>) {
        let told = |m: &Mistake| m.name == name || m.name.strip_suffix("_FILE") == Some(name);
        if self.mistakes.iter().any(told) {
            return;
        }
        self.mistakes.push(Mistake { name: name.to_owned(), message: message.into() });
    }

    pub(super) fn warn(&mut self, name: &str, message: impl Into<String>) {
        self.warnings.push(Mistake { name: name.to_owned(), message: message.into() });
    }

    /// The value, trimmed.
    pub(super) fn text(&self, name: &str) -> Option<&'v str> {
        self.vars.get(name).map(|value| value.trim()).filter(|value| !value.is_empty())
    }

    /// The value as `read` takes it; a mistake says that it must be `expected`.
    pub(super) fn parse<T>(
        &mut self,
        name: &str,
        expected: &str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let text = self.text(name)?;
        let value = read(text);
        if value.is_none() {
            let shown: String = text.chars().take(60).collect();
            self.mistake(name, format!("{shown:?} cannot be used; give {expected}"));
        }
        value
    }

    /// A secret from `NAME`, or from the file that `NAME_FILE` names, trimmed: no key has blanks at its
    /// ends, but files and copied lines do.
    pub(super) fn secret(&mut self, name: &str) -> Option<String> {
        let value = self.password(name)?;
        let trimmed = value.trim();
        if trimmed.is_empty() {
            // Only a file gets here: an empty variable counts as not set.
            if self.text(name).is_none() && self.text(&format!("{name}_FILE")).is_some() {
                self.mistake(&format!("{name}_FILE"), "the file is empty");
            }
            return None;
        }
        Some(trimmed.to_owned())
    }

    /// The same, not trimmed, since a password may begin with a blank; a file's last line end is not
    /// part of it.
    pub(super) fn password(&mut self, name: &str) -> Option<String> {
        let file_name = format!("{name}_FILE");
        let value = self.vars.get(name).filter(|value| !value.is_empty());
        match (value, self.text(&file_name)) {
            (Some(_), Some(_)) => {
                self.mistake(name, format!("{file_name} is set too; keep one of the two"));
                None
            }
            (Some(value), None) => Some(value.clone()),
            (None, Some(path)) => match read_secret_file(Path::new(path)) {
                Ok(value) => Some(value),
                Err(problem) => {
                    self.mistake(&file_name, format!("{path}: {problem}"));
                    None
                }
            },
            (None, None) => None,
        }
    }

    /// Like [`Reader::secret`], wrapped so that it cannot be printed.
    pub(super) fn secret_string(&mut self, name: &str) -> Option<SecretString> {
        self.secret(name).map(SecretString::from)
    }

    /// A variable that nobody reads but that looks like one of ours is probably misspelt.
    fn warn_of_misspellings(&mut self) {
        let known = |name: &str| {
            VARIABLES
                .iter()
                .any(|v| v.name == name || (v.secret && name.strip_suffix("_FILE") == Some(v.name)))
        };
        for name in self.vars.keys().filter(|name| !known(name)) {
            let upper = name.to_ascii_uppercase();
            let message = match nearest(&upper) {
                Some(near) => format!("is not read; did you mean {near}?"),
                // Whoever sets one of these means us.
                None if upper.starts_with("STRIPE_") => {
                    "is not read; the README's table of the configuration has the names that are".to_owned()
                }
                None => continue,
            };
            self.warnings.push(Mistake { name: name.clone(), message });
        }
    }
}

/// The variable that was probably meant: misspelt by a letter or two, or broken off, or both.
fn nearest(name: &str) -> Option<&'static str> {
    let distance = |known: &'static str| {
        let whole = strsim::damerau_levenshtein(name, known);
        // `STRIPE_SECRET` is the beginning of a name. What begins several names differs in nothing that counts.
        let beginning = known.get(..name.len()).filter(|_| name.len() > 8);
        beginning.map_or(whole, |beginning| whole.min(strsim::damerau_levenshtein(name, beginning)))
    };
    let near = VARIABLES
        .iter()
        // Short names are near to everything.
        .filter(|v| v.name.len() > 4)
        .map(|v| (distance(v.name), v.name))
        .filter(|(distance, known)| *distance <= if known.len() < 8 { 1 } else { 2 });
    near.min_by_key(|(distance, _)| *distance).map(|(_, known)| known)
}

fn read_secret_file(path: &Path) -> Result<String, String> {
    let size = std::fs::metadata(path).map_err(|error| error.to_string())?.len();
    if size > MAX_SECRET_FILE {
        return Err(format!("{size} bytes are too many for a secret"));
    }
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.is_empty() { Err("the file is empty".to_owned()) } else { Ok(text.to_owned()) }
}
