//! `.env`: one syntax that compose, systemd and this program read alike.
//!
//! `NAME=value`, or `NAME='value'` where the value holds blanks, quotes, `$`, `#` or a backslash. What the three would
//! read differently is refused with its line's number: nobody shall have another password than the one that was typed.

use super::reader::Mistake;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

/// The most that the file may hold, in bytes.
const MAX_FILE: u64 = 1024 * 1024;
/// Lines that cannot be read and are told one by one.
const MAX_TOLD: usize = 20;

/// The variables of the file at `path`, none if there is no such file, and what of it cannot be read.
pub(super) fn read(path: &Path) -> (BTreeMap<String, String>, Vec<Mistake>) {
    let refused = |message: String| (BTreeMap::new(), vec![Mistake { name: ".env".to_owned(), message }]);
    match load(path) {
        Ok(None) => (BTreeMap::new(), Vec::new()),
        Ok(Some(text)) => variables(&text),
        Err(message) => refused(message),
    }
}

fn load(path: &Path) -> Result<Option<String>, String> {
    let kind = match std::fs::metadata(path) {
        Ok(kind) => kind,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("the file is there but cannot be read: {error}")),
    };
    if kind.is_dir() {
        return Err(
            "is a folder, as docker makes one of a file that is not there; remove it and write the file"
                .to_owned(),
        );
    }
    if !kind.is_file() {
        return Err("is no file; remove it, or put the settings into the environment".to_owned());
    }
    if kind.len() > MAX_FILE {
        return Err(format!("has {} bytes, which is too much for settings", kind.len()));
    }
    let mut bytes = Vec::new();
    let reading = std::fs::File::open(path).and_then(|file| file.take(MAX_FILE).read_to_end(&mut bytes));
    reading.map_err(|error| format!("the file is there but cannot be read: {error}"))?;
    // Some editors put a mark in front that is no part of the first name.
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let line = bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count() + 1;
        format!("line {line} is not UTF-8; save the file as UTF-8")
    })?;
    Ok(Some(text.to_owned()))
}

fn variables(text: &str) -> (BTreeMap<String, String>, Vec<Mistake>) {
    let (mut variables, mut mistakes) = (BTreeMap::new(), Vec::new());
    for (number, line) in (1..).zip(text.lines()) {
        match variable(line) {
            Ok(None) => {}
            Ok(Some((name, value))) => drop(variables.insert(name, value)),
            // Never the line itself, which may hold a secret.
            Err(message) if mistakes.len() < MAX_TOLD => {
                let message = format!("line {number} {message}");
                mistakes.push(Mistake { name: ".env".to_owned(), message });
            }
            Err(_) => {}
        }
    }
    (variables, mistakes)
}

fn variable(line: &str) -> Result<Option<(String, String)>, String> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let (name, value) =
        line.split_once('=').ok_or("cannot be read; write NAME=value or NAME='value'".to_owned())?;
    let name = name.strip_prefix("export ").unwrap_or(name).trim();
    let letters = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'.');
    if name.is_empty() || !letters || name.starts_with(|first: char| first.is_ascii_digit()) {
        return Err("has no name before its =; write NAME=value or NAME='value'".to_owned());
    }
    value_of(value.trim())
        .map(|value| Some((name.to_owned(), value)))
        .map_err(|why| format!("({name}) {why}"))
}

fn value_of(text: &str) -> Result<String, String> {
    const QUOTE: &str = "put the value between single quotes, as NAME='value'";
    let rest_is_comment = |rest: &str| {
        let rest = rest.trim_start();
        rest.is_empty() || rest.starts_with('#')
    };
    match text.chars().next() {
        Some(quote @ ('\'' | '"')) => {
            let (value, rest) =
                text[1..].split_once(quote).ok_or(format!("begins with {quote} and does not end with it"))?;
            if !rest_is_comment(rest) {
                return Err(format!("goes on behind its second {quote}; {QUOTE}, without a ' in it"));
            }
            if quote == '"' && value.contains(['$', '\\', '`']) {
                let why = "holds $, ` or \\ between double quotes, which some programs would change";
                return Err(format!("{why}; {QUOTE}"));
            }
            Ok(value.to_owned())
        }
        _ => {
            // A `#` behind a blank begins a comment.
            let comment = text
                .char_indices()
                .find(|(at, c)| *c == '#' && text[..*at].chars().next_back().is_none_or(char::is_whitespace));
            let value = comment.map_or(text, |(at, _)| &text[..at]).trim_end();
            match value.chars().find(|c| ['$', '\\', '`', '\'', '"'].contains(c)) {
                Some(found) => Err(format!("holds {found}, which some programs would change; {QUOTE}")),
                None => Ok(value.to_owned()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{value_of, variables};

    #[test]
    fn a_value_is_what_was_typed_or_refused() {
        for (typed, value) in [
            ("plain", "plain"),
            ("with blanks in it", "with blanks in it"),
            ("", ""),
            ("a#b", "a#b"),
            ("a # comment", "a"),
            ("# comment", ""),
            ("'single $quoted `\\ \"#'", "single $quoted `\\ \"#"),
            ("\"double 'quoted' #\" # comment", "double 'quoted' #"),
            ("postgres://u:p%24@h/d?a=b", "postgres://u:p%24@h/d?a=b"),
        ] {
            assert_eq!(value_of(typed).as_deref(), Ok(value), "{typed}");
        }
        for typed in [
            "Correct$Battery",
            "\"a$b\"",
            "a\\b",
            "\"a\\nb\"",
            "it's",
            "a\"b",
            "'open",
            "\"open",
            "'a'b",
            "a`b`",
        ] {
            value_of(typed).expect_err(typed);
        }
    }

    #[test]
    fn what_cannot_be_read_is_told_by_its_line_and_not_quoted() {
        let (read, mistakes) = variables("A=1\r\n\n# B=2\nexport C=3\nno line\nD=se$cret\n=x\n9=x\n");
        assert_eq!(
            read.into_iter().collect::<Vec<_>>(),
            [("A", "1"), ("C", "3")].map(|(a, b)| (a.into(), b.into()))
        );
        let told: Vec<_> = mistakes.into_iter().map(|mistake| mistake.message).collect();
        assert_eq!(told.len(), 4);
        for (told, line) in told.iter().zip([5, 6, 7, 8]) {
            assert!(told.starts_with(&format!("line {line} ")) && !told.contains("se$"), "{told}");
        }
    }
}
