//! Reading JSON that was signed by Stripe, so that no part which we do not need can make us fail.
//!
//! Two things pass Stripe's own libraries and not `serde_json`: an escaped half of a surrogate pair
//! (`\ud800`) and nesting deeper than 128. Both can stand in a customer's text or in a member added
//! later. So a body that does not parse is mended once, by replacing just those, and parsed again.

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

/// Replaces lone surrogate escapes by U+FFFD and values nested too deep by null.
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
            _ => {
                let end =
                    (at + 1..bytes.len()).find(|i| b"\"{}[]".contains(&bytes[*i])).unwrap_or(bytes.len());
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
        let deep = format!(r#"{{"a":{}1{},"b":2}}"#, "[".repeat(5000), "]".repeat(5000));
        assert_eq!(parse_tolerantly(deep.as_bytes()).map(|v| v["b"].clone()), Some(json!(2)));
    }

    #[test]
    fn what_is_no_json_is_not_read() {
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
