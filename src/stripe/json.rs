//! Reading JSON that was signed by Stripe, so that no part which we do not need can make us fail.
//!
//! Three things pass Stripe's own libraries and not `serde_json`: an escaped half of a surrogate pair
//! (`\ud800`), nesting deeper than 128, and a number beyond what a double holds (`1e400`). Each can stand in
//! a customer's text or in a member added later. So a body that does not parse is mended once, by replacing
//! just those, and parsed again.

use serde_json::Value;

/// Deeper than this nothing that we read can stand; what is there is replaced by null.
const MAX_DEPTH: usize = 64;

/// The value of a signed body; none if it is not JSON at all.
#[must_use]
pub fn parse_tolerantly(body: &[u8]) -> Option<Value> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    if let Ok(value) = serde_json::from_slice(body) {
        return Some(value);
    }
    let text = String::from_utf8_lossy(body);
    serde_json::from_str(&mend(&text)).ok()
}

/// Replaces lone surrogate escapes by U+FFFD, values nested too deep by null, and numbers beyond what a double
/// holds by the largest that it does: still a number, and still none that can be counted with.
fn mend(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = String::with_capacity(text.len());
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let next = match byte {
            b'"' => {
                let end = string_end(bytes, at);
                if depth <= MAX_DEPTH {
                    mend_string(&text[at..end], &mut out);
                }
                end
            }
            b'{' | b'[' => {
                depth += 1;
                if depth == MAX_DEPTH + 1 {
                    out.push_str("null");
                } else if depth <= MAX_DEPTH {
                    out.push(char::from(*byte));
                }
                at + 1
            }
            b'}' | b']' => {
                if depth <= MAX_DEPTH {
                    out.push(char::from(*byte));
                }
                depth = depth.saturating_sub(1);
                at + 1
            }
            b'-' | b'0'..=b'9' => {
                let in_number = |byte: &u8| matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9');
                let end =
                    bytes[at..].iter().position(|byte| !in_number(byte)).map_or(bytes.len(), |n| at + n);
                if depth <= MAX_DEPTH {
                    out.push_str(mend_number(&text[at..end]));
                }
                end
            }
            _ => {
                let starts =
                    |byte: &u8| matches!(byte, b'"' | b'{' | b'}' | b'[' | b']' | b'-' | b'0'..=b'9');
                let end = bytes[at + 1..].iter().position(starts).map_or(bytes.len(), |n| at + 1 + n);
                if depth <= MAX_DEPTH {
                    out.push_str(&text[at..end]);
                }
                end
            }
        };
        at = next;
    }
    out
}

/// The same number, unless it is one by JSON's grammar and too large for a double.
fn mend_number(text: &str) -> &str {
    const LARGEST: &str = "-1.7976931348623157e308";
    let (sign, rest) = text.strip_prefix('-').map_or(("", text), |rest| ("-", rest));
    let (digits, exponent) = rest.split_once(['e', 'E']).map_or((rest, None), |(d, e)| (d, Some(e)));
    let (whole, fraction) = digits.split_once('.').map_or((digits, None), |(w, f)| (w, Some(f)));
    let all_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_number = all_digits(whole)
        && (whole == "0" || !whole.starts_with('0'))
        && fraction.is_none_or(all_digits)
        && exponent.is_none_or(|e| all_digits(e.strip_prefix(['+', '-']).unwrap_or(e)));
    match text.parse::<f64>() {
        Ok(number) if is_number && number.is_infinite() => &LARGEST[1 - sign.len()..],
        Ok(_) | Err(_) => text,
    }
}

/// One past the closing quote of the string that opens at `start`.
fn string_end(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    bytes.len()
}

fn mend_string(text: &str, out: &mut String) {
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        out.push_str(before);
        let taken = match unicode_escape(escape) {
            Some(unit) if (0xD800..0xDC00).contains(&unit) => {
                let paired = escape
                    .get(6..)
                    .and_then(unicode_escape)
                    .is_some_and(|low| (0xDC00..0xE000).contains(&low));
                if paired {
                    out.push_str(&escape[..12]);
                    12
                } else {
                    out.push('\u{FFFD}');
                    6
                }
            }
            Some(unit) if (0xDC00..0xE000).contains(&unit) => {
                out.push('\u{FFFD}');
                6
            }
            Some(_) => {
                out.push_str(&escape[..6]);
                6
            }
            None => {
                let end = escape.char_indices().nth(2).map_or(escape.len(), |(end, _)| end);
                out.push_str(&escape[..end]);
                end
            }
        };
        rest = &escape[taken..];
    }
    out.push_str(rest);
}

/// The code unit of a `\uXXXX` at the beginning of `text`.
fn unicode_escape(text: &str) -> Option<u32> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    u32::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn what_official_libraries_accept_is_read() {
        assert_eq!(parse_tolerantly(br#"{"a":1,"a":2}"#), Some(json!({"a": 2})), "the last of two wins");
        assert_eq!(parse_tolerantly(b"\xef\xbb\xbf{}"), Some(json!({})), "a byte order mark");
        assert_eq!(parse_tolerantly(br#"{"a":"\ud800x"}"#), Some(json!({"a": "\u{FFFD}x"})));
        assert_eq!(parse_tolerantly(br#"{"a":"\udc00\ud83d\ude00"}"#), Some(json!({"a": "\u{FFFD}😀"})));
        assert_eq!(parse_tolerantly(br#"{"a":"\\ud800"}"#), Some(json!({"a": "\\ud800"})), "not an escape");
        assert_eq!(parse_tolerantly(b"{\"a\":\"\xff\"}"), Some(json!({"a": "\u{FFFD}"})), "bad UTF-8");
        for (number, largest) in [("1e400", f64::MAX), ("-1E+400", f64::MIN), ("123.5e99999", f64::MAX)] {
            let body = format!(r#"{{"a":{number},"b":[{number},"1e400"],"c":-2}}"#);
            let read = json!({ "a": largest, "b": [largest, "1e400"], "c": -2 });
            assert_eq!(parse_tolerantly(body.as_bytes()), Some(read), "{number}");
        }
        let long = format!(r#"{{"a":{}}}"#, "9".repeat(400));
        assert_eq!(parse_tolerantly(long.as_bytes()), Some(json!({ "a": f64::MAX })), "400 digits");
        assert_eq!(parse_tolerantly(b"1e400"), Some(json!(f64::MAX)), "a number alone");
        assert_eq!(parse_tolerantly(br#"{"a":1e-400}"#), Some(json!({ "a": 0.0 })), "next to nothing");
        let deep = format!(r#"{{"a":{}1{},"b":2}}"#, "[".repeat(5000), "]".repeat(5000));
        assert_eq!(parse_tolerantly(deep.as_bytes()).map(|v| v["b"].clone()), Some(json!(2)));
    }

    #[test]
    fn what_is_no_json_is_not_read() {
        for number in
            ["01e400", "1e400.", "1.e400", "1e", ".1e400", "+1e400", "--1e400", "1e4001e400", "1e+-400"]
        {
            assert_eq!(parse_tolerantly(format!(r#"{{"a":{number}}}"#).as_bytes()), None, "{number}");
        }
        for body in ["", "{", "{\"a\":}", "\"\\", "nul", "\u{0}", "{\"a\":\"\\ud8", "[[[[", "\"\\ud800"] {
            assert_eq!(parse_tolerantly(body.as_bytes()), None, "{body:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused_without_a_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse_tolerantly(&body);
        }

        #[test]
        fn any_json_like_text_is_read_or_refused_without_a_panic(body in r#"[\[\]{}":,\\ud8c0-9a ]{0,120}"#) {
            let _ = parse_tolerantly(body.as_bytes());
        }

        #[test]
        fn what_parses_anyway_means_the_same_after_mending(text in r#"\{"a": ?"([a-zé]|\\n|\\u00e9|\\ud83d\\ude00){0,9}"\}"#) {
            let plain: Value = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(serde_json::from_str::<Value>(&mend(&text)).unwrap(), plain);
        }
    }
}
