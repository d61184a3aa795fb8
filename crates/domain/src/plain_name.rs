//! A stranger's name, as it may stand in a mail that comes from us.
//!
//! Whoever books types any text, and any address. A mail with both would carry a stranger's advertisement
//! or trap under the shop's name. So what is left of a name is what names are made of, and nothing of which
//! a mail program makes a link, a telephone number or a heading.

/// The most characters of a name.
pub const LONGEST: usize = 40;

/// The letters of a name, its words apart by one blank, hyphen or apostrophe; empty if there is none left.
#[must_use]
pub fn plain_name(name: &str) -> String {
    let mut plain = String::new();
    let mut length = 0;
    let mut between = None;
    for character in name.chars() {
        if character.is_alphabetic() || is_accent(character) {
            if let (Some(mark), false) = (between.take(), plain.is_empty()) {
                plain.push(mark);
                length += 1;
            }
            if length >= LONGEST {
                break;
            }
            plain.push(character);
            length += 1;
        } else {
            between = match (between, character) {
                (_, '-' | '\'' | '\u{2019}' | '\u{b7}') if between.is_none() => Some(character),
                (Some(mark), _) => Some(mark),
                (None, _) => Some(' '),
            };
        }
    }
    // An accent alone has nothing to stand on.
    let begins = plain.find(char::is_alphabetic).unwrap_or(plain.len());
    plain.split_off(begins).trim_end_matches(|c: char| !c.is_alphabetic() && !is_accent(c)).to_owned()
}

/// Accents that follow their letter.
fn is_accent(character: char) -> bool {
    ('\u{300}'..='\u{36f}').contains(&character)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_and_what_mail_programs_make_links_of_does_not() {
        for (name, plain) in [
            ("Ada", "Ada"),
            ("Anne-Marie", "Anne-Marie"),
            ("O'Brien", "O'Brien"),
            ("D\u{2019}Arc", "D\u{2019}Arc"),
            ("Jean  Paul ", "Jean Paul"),
            ("Zoe\u{301}", "Zoe\u{301}"),
            ("Łukasz Żółć", "Łukasz Żółć"),
            ("王小明", "王小明"),
            ("محمد", "محمد"),
            ("St. John", "St John"),
            ("evil.example", "evil example"),
            ("https://evil.example/win", "https evil example win"),
            ("www.evil.example", "www evil example"),
            ("evil\u{ff0e}example", "evil example"),
            ("evil\u{3002}example", "evil example"),
            ("a@evil.example", "a evil example"),
            ("call +33 6 12 34 56 78", "call"),
            ("#1 <b>Win</b>", "b Win b"),
            ("Ada\r\n\r\nYou won", "Ada You won"),
            ("1234", ""),
            ("\u{301}", ""),
            ("- -", ""),
            ("", ""),
        ] {
            assert_eq!(plain_name(name), plain, "{name:?}");
        }
    }

    #[test]
    fn a_long_name_is_cut() {
        let long = plain_name(&"You have won a prize ".repeat(9));
        assert!(long.chars().count() <= LONGEST && long.starts_with("You have won"), "{long}");
    }
}
