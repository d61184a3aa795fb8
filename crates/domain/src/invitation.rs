//! A booking as an entry of a calendar: iCalendar, RFC 5545.

use clock::Timestamp;

/// What a calendar is told.
#[derive(Debug, Clone)]
pub struct Invitation<'a> {
    /// Which entry it is: the same for each version of it.
    pub uid: &'a str,
    /// When this was written.
    pub written_at: Timestamp,
    /// The beginning.
    pub starts_at: Timestamp,
    /// The end.
    pub ends_at: Timestamp,
    /// What it is.
    pub summary: &'a str,
    /// Where it is; empty if that is not known.
    pub place: &'a str,
    /// Whatever else helps.
    pub description: &'a str,
    /// Where more can be read; an address of the web.
    pub url: &'a str,
    /// Whether it does not take place.
    pub cancelled: bool,
}

impl Invitation<'_> {
    /// The file, with the line ends that the standard wants.
    #[must_use]
    pub fn file(&self) -> String {
        let status = if self.cancelled { "CANCELLED" } else { "CONFIRMED" };
        let mut lines = vec![
            "BEGIN:VCALENDAR".to_owned(),
            "VERSION:2.0".to_owned(),
            "PRODID:-//checkout-backend//bookings//EN".to_owned(),
            "CALSCALE:GREGORIAN".to_owned(),
            "METHOD:PUBLISH".to_owned(),
            "BEGIN:VEVENT".to_owned(),
            format!("UID:{}", escaped(self.uid)),
            format!("DTSTAMP:{}", moment(self.written_at)),
            format!("DTSTART:{}", moment(self.starts_at)),
            format!("DTEND:{}", moment(self.ends_at)),
            format!("SUMMARY:{}", escaped(self.summary)),
            format!("STATUS:{status}"),
        ];
        for (name, text) in [("LOCATION", self.place), ("DESCRIPTION", self.description)] {
            if !text.is_empty() {
                lines.push(format!("{name}:{}", escaped(text)));
            }
        }
        lines.push(format!("URL:{}", self.url.replace(char::is_control, "")));
        lines.push("END:VEVENT".to_owned());
        lines.push("END:VCALENDAR".to_owned());
        lines.iter().map(|line| folded(line)).collect()
    }
}

/// `20270115T090000Z`: in UTC, so that no time zone has to be described.
fn moment(at: Timestamp) -> String {
    at.to_jiff().strftime("%Y%m%dT%H%M%SZ").to_string()
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.replace("\r\n", "\n").chars() {
        match c {
            '\\' | ',' | ';' => {
                escaped.push('\\');
                escaped.push(c);
            }
            '\n' => escaped.push_str("\\n"),
            c if c.is_control() => {}
            c => escaped.push(c),
        }
    }
    escaped
}

/// In lines of at most 75 bytes, each after the first beginning with a blank, no character torn.
fn folded(line: &str) -> String {
    let mut folded = String::with_capacity(line.len() + 8);
    let mut length = 0;
    for c in line.chars() {
        if length + c.len_utf8() > 75 {
            folded.push_str("\r\n ");
            length = 1;
        }
        folded.push(c);
        length += c.len_utf8();
    }
    folded + "\r\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn invitation<'a>(summary: &'a str, description: &'a str) -> Invitation<'a> {
        let starts_at = Timestamp::from_unix_seconds(1_800_003_600);
        Invitation {
            uid: "7@pay.test",
            written_at: Timestamp::from_unix_seconds(1_800_000_000),
            starts_at,
            ends_at: starts_at.plus(std::time::Duration::from_secs(45 * 60)),
            summary,
            place: "",
            description,
            url: "https://pay.test/b/7KQ2MX",
            cancelled: false,
        }
    }

    #[test]
    fn what_separates_in_a_calendar_file_is_escaped_in_a_name() {
        let file = invitation("Yoga, doux; \\ à deux\r\nX:1", "a\u{7}b\nc").file();
        assert!(file.contains("SUMMARY:Yoga\\, doux\\; \\\\ à deux\\nX:1\r\n"), "{file}");
        assert!(file.contains("DESCRIPTION:ab\\nc\r\n"), "{file}");
        assert!(file.contains("DTSTART:20270115T090000Z\r\nDTEND:20270115T094500Z\r\n"), "{file}");
        assert!(!file.contains("LOCATION"));
        assert!(file.starts_with("BEGIN:VCALENDAR\r\n") && file.ends_with("END:VCALENDAR\r\n"));
        assert_eq!(file.matches('\n').count(), file.matches("\r\n").count());
    }

    #[test]
    fn long_lines_are_folded_without_tearing_a_character() {
        let name = "é".repeat(200);
        let file = invitation(&name, "").file();
        assert!(file.lines().all(|line| line.len() <= 75));
        assert!(file.replace("\r\n ", "").contains(&format!("SUMMARY:{name}\r\n")));
    }
}
