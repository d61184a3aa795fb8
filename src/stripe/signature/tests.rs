//! What is accepted and what is refused, as a table: the cases on which Stripe's own libraries for
//! Node, Python and Go agree, and hostile ones on which they do not. In those a header is accepted only if
//! it can be read in one way: PHP and Ruby differ from the three in some (Ruby takes leading zeros for octal
//! and trims blanks, PHP refuses the future), and from each other.

use super::SignatureError::{HeaderMalformed, HeaderMissing, NoMatch, NoV1Signature, TooOld};
use super::*;
use proptest::prelude::*;

const NOW: i64 = 1_795_467_600;
const BODY: &[u8] = br#"{"id":"evt_1","object":"event"}"#;
const OLD: &str = "whsec_old";
const NEW: &str = "whsec_new";

fn secrets(texts: &[&str]) -> Vec<SecretString> {
    texts.iter().map(|text| SecretString::from(*text)).collect()
}

/// The hex signature of `body` at `t`, written so, under `secret`.
fn v1(secret: &str, t: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(t.as_bytes());
    mac.update(b".");
    mac.update(body);
    hex::encode(mac.finalize().into_bytes())
}

fn judge(header: &[u8], body: &[u8], known: &[&str]) -> Result<usize, SignatureError> {
    verify(Some(header), body, &secrets(known), NOW).map(|verified| verified.secret_index())
}

#[test]
fn headers_are_accepted_or_refused_as_by_the_official_libraries() {
    let t = NOW.to_string();
    let good = v1(NEW, &t, BODY);
    let old = v1(OLD, &t, BODY);
    let at = |t: i64| format!("t={t},v1={}", v1(NEW, &t.to_string(), BODY));
    let filled_up_to = |bytes: usize| {
        let header = format!("t={t},v1={good},x=");
        let fill = "x".repeat(bytes - header.len());
        header + &fill
    };
    let flipped = |i: usize| {
        let mut bytes = good.clone().into_bytes();
        bytes[i] = if bytes[i] == b'0' { b'1' } else { b'0' };
        String::from_utf8(bytes).unwrap()
    };
    let cases: Vec<(&str, String, Result<usize, SignatureError>)> = vec![
        // Accepted.
        ("plain", format!("t={t},v1={good}"), Ok(0)),
        ("v1 before t", format!("v1={good},t={t}"), Ok(0)),
        ("a v0 beside it", format!("t={t},v1={good},v0={old}"), Ok(0)),
        ("an unknown scheme beside it", format!("t={t},v1={good},v2=abc"), Ok(0)),
        ("a bad v1 after it", format!("t={t},v1={good},v1=potato"), Ok(0)),
        ("a bad v1 before it", format!("t={t},v1=potato,v1={good}"), Ok(0)),
        ("an empty v1 beside it", format!("t={t},v1=,v1={good}"), Ok(0)),
        ("another's v1 before it", format!("t={t},v1={old},v1={good}"), Ok(0)),
        ("twice the same", format!("t={t},v1={good},v1={good}"), Ok(0)),
        ("a trailing comma", format!("t={t},v1={good},"), Ok(0)),
        ("a bare token", format!("t={t},potato,v1={good}"), Ok(0)),
        ("as long as a header may be", filled_up_to(MAX_HEADER_BYTES), Ok(0)),
        ("upper-case hex", format!("t={t},v1={}", good.to_uppercase()), Ok(0)),
        ("ten signatures", format!("t={t},{}v1={good}", format!("v1={old},").repeat(9)), Ok(0)),
        ("one second old", at(NOW - 1), Ok(0)),
        ("299 seconds old", at(NOW - 299), Ok(0)),
        ("exactly 300 seconds old", at(NOW - 300), Ok(0)),
        ("one second ahead", at(NOW + 1), Ok(0)),
        ("an hour ahead", at(NOW + 3600), Ok(0)),
        ("at the end of time", at(i64::MAX), Ok(0)),
        ("the signature in the middle", format!("v0={old},v1={good},t={t}"), Ok(0)),
        ("an element without a name", format!("t={t},=1,v1={good}"), Ok(0)),
        ("another element's value with =", format!("t={t},a=b=c,v1={good}"), Ok(0)),
        // The signed text is the number, however it was written.
        ("t with a plus", format!("t=+{t},v1={good}"), Ok(0)),
        ("t with a leading zero", format!("t=0{t},v1={good}"), Ok(0)),
        ("t with many leading zeros", format!("t=00000000000000000000{t},v1={good}"), Ok(0)),
        ("t with both", format!("t=+0{t},v1={good}"), Ok(0)),
        ("t with a plus, signed so", format!("t=+{t},v1={}", v1(NEW, &format!("+{t}"), BODY)), Err(NoMatch)),
        ("t with a zero, signed so", format!("t=0{t},v1={}", v1(NEW, &format!("0{t}"), BODY)), Err(NoMatch)),
        // Missing or malformed.
        ("empty", String::new(), Err(HeaderMissing)),
        ("only a word", "bad_header".into(), Err(HeaderMalformed)),
        ("only commas", ",,,".into(), Err(HeaderMalformed)),
        ("only blanks", "   ".into(), Err(HeaderMalformed)),
        ("no t", format!("v1={good}"), Err(HeaderMalformed)),
        ("empty t", format!("t=,v1={good}"), Err(HeaderMalformed)),
        ("t without a value", format!("t,v1={good}"), Err(HeaderMalformed)),
        ("t is a word", format!("t=now,v1={good}"), Err(HeaderMalformed)),
        ("t is negative", format!("t=-5,v1={good}"), Err(HeaderMalformed)),
        ("t is minus nothing", format!("t=-0,v1={good}"), Err(HeaderMalformed)),
        ("t has two signs", format!("t=++{t},v1={good}"), Err(HeaderMalformed)),
        ("t is only a sign", format!("t=+,v1={good}"), Err(HeaderMalformed)),
        ("t has a sign within", format!("t=1+{t},v1={good}"), Err(HeaderMalformed)),
        ("t has a power", format!("t=1e9,v1={good}"), Err(HeaderMalformed)),
        ("t has underscores", format!("t=1_795_467_600,v1={good}"), Err(HeaderMalformed)),
        ("t in capitals", format!("T={t},v1={good}"), Err(HeaderMalformed)),
        ("t with a second =", format!("t={t}=,v1={good}"), Err(HeaderMalformed)),
        ("t with two =", format!("t=={t},v1={good}"), Err(HeaderMalformed)),
        ("t with a blank before =", format!("t ={t},v1={good}"), Err(HeaderMalformed)),
        ("t with a blank after it", format!("t={t} ,v1={good}"), Err(HeaderMalformed)),
        ("t with a blank before it", format!(" t={t},v1={good}"), Err(HeaderMalformed)),
        ("t with a tab before it", format!("\tt={t},v1={good}"), Err(HeaderMalformed)),
        ("a blank before t, which comes last", format!("v1={good}, t={t}"), Err(HeaderMalformed)),
        ("a second t without a value", format!("t={t},t,v1={good}"), Err(HeaderMalformed)),
        ("v1 without a value, beside a good one", format!("t={t},v1,v1={good}"), Err(HeaderMalformed)),
        ("as JSON", format!("{{\"t\":{t},\"v1\":\"{good}\"}}"), Err(HeaderMalformed)),
        ("a line end within", format!("t={t}\n,v1={good}"), Err(HeaderMalformed)),
        ("t is a fraction", format!("t={t}.0,v1={good}"), Err(HeaderMalformed)),
        ("t is hex", format!("t=0x6b,v1={good}"), Err(HeaderMalformed)),
        ("t has blanks inside", format!("t= {t},v1={good}"), Err(HeaderMalformed)),
        ("t is beyond 64 bits", format!("t=99999999999999999999,v1={good}"), Err(HeaderMalformed)),
        ("two t, the same", format!("t={t},t={t},v1={good}"), Err(HeaderMalformed)),
        ("two t, the good one last", format!("t=1,t={t},v1={good}"), Err(HeaderMalformed)),
        ("two t, the good one first", format!("t={t},t=1,v1={good}"), Err(HeaderMalformed)),
        ("another separator", format!("t={t};v1={good}"), Err(HeaderMalformed)),
        ("not ASCII", format!("t={t},v1={good},é=1"), Err(HeaderMalformed)),
        ("not ASCII in v1", format!("t={t},v1=é"), Err(HeaderMalformed)),
        ("nine kilobytes", format!("t={t},v1={good},{}", "x".repeat(9000)), Err(HeaderMalformed)),
        // No signature of the scheme.
        ("only t", format!("t={t}"), Err(NoV1Signature)),
        ("only v0", format!("t={t},v0={good}"), Err(NoV1Signature)),
        ("v1 in capitals", format!("t={t},V1={good}"), Err(NoV1Signature)),
        ("v1 with a blank before =", format!("t={t},v1 ={good}"), Err(NoV1Signature)),
        ("v10 is not v1", format!("t={t},v10={good}"), Err(NoV1Signature)),
        ("a blank after the comma", format!("t={t}, v1={good}"), Err(NoV1Signature)),
        ("a tab before v1", format!("t={t},\tv1={good}"), Err(NoV1Signature)),
        ("the value without a name", format!("t={t},={good}"), Err(NoV1Signature)),
        ("a byte longer than a header may be", filled_up_to(MAX_HEADER_BYTES + 1), Err(HeaderMalformed)),
        // Signatures that do not fit.
        ("empty v1", format!("t={t},v1="), Err(NoMatch)),
        ("v1 is a word", format!("t={t},v1=bad_signature"), Err(NoMatch)),
        ("first digit changed", format!("t={t},v1={}", flipped(0)), Err(NoMatch)),
        ("last digit changed", format!("t={t},v1={}", flipped(63)), Err(NoMatch)),
        ("one digit short", format!("t={t},v1={}", &good[..63]), Err(NoMatch)),
        ("one byte short", format!("t={t},v1={}", &good[..62]), Err(NoMatch)),
        ("one byte long", format!("t={t},v1={good}00"), Err(NoMatch)),
        ("quoted", format!("t={t},v1=\"{good}\""), Err(NoMatch)),
        ("the good one only as v0", format!("t={t},v1={old},v0={good}"), Err(NoMatch)),
        ("another t than signed", format!("t={},v1={good}", NOW - 1), Err(NoMatch)),
        ("the other secret", format!("t={t},v1={old}"), Err(NoMatch)),
        ("the secret without its prefix", format!("t={t},v1={}", v1("new", &t, BODY)), Err(NoMatch)),
        ("the secret with a blank", format!("t={t},v1={}", v1("whsec_new ", &t, BODY)), Err(NoMatch)),
        ("an empty secret", format!("t={t},v1={}", v1("", &t, BODY)), Err(NoMatch)),
        ("the body alone was signed", format!("t={t},v1={}", v1(NEW, "", BODY)), Err(NoMatch)),
        ("another body", format!("t={t},v1={}", v1(NEW, &t, b"{}")), Err(NoMatch)),
        ("zeros", format!("t={t},v1={}", "0".repeat(64)), Err(NoMatch)),
        ("v1 with a second =", format!("t={t},v1={good}="), Err(NoMatch)),
        ("v1 with two =", format!("t={t},v1=={good}"), Err(NoMatch)),
        ("v1 with a blank before it", format!("t={t},v1= {good}"), Err(NoMatch)),
        ("v1 with a blank after it", format!("t={t},v1={good} "), Err(NoMatch)),
        ("v1 in base64", format!("t={t},v1=aGVsbG8gd29ybGQ="), Err(NoMatch)),
        ("v1 with 0x before it", format!("t={t},v1=0x{good}"), Err(NoMatch)),
        // Signed by the right secret, but too long ago: only then is the clock to blame.
        ("301 seconds old", at(NOW - 301), Err(TooOld)),
        ("a day old", at(NOW - 86_400), Err(TooOld)),
        ("from 1970", at(0), Err(TooOld)),
        (
            "old, with a plus",
            format!("t=+{},v1={}", NOW - 301, v1(NEW, &(NOW - 301).to_string(), BODY)),
            Err(TooOld),
        ),
        ("old and forged", format!("t=12345,v1={old}"), Err(NoMatch)),
    ];
    assert!(cases.len() >= 90, "{} cases", cases.len());
    for (name, header, expected) in cases {
        assert_eq!(judge(header.as_bytes(), BODY, &[NEW]), expected, "{name}: {header}");
        // Before the body is read nothing is refused that could fit, and what cannot be read is.
        let head = check_head(Some(header.as_bytes()), NOW);
        match expected {
            Ok(_) => assert_eq!(head, Ok(()), "{name}: {header}"),
            Err(HeaderMissing | HeaderMalformed | NoV1Signature | TooOld) => {
                assert_eq!(head.err(), expected.err(), "{name}: {header}");
            }
            Err(NoMatch) => {}
        }
    }
    for (header, expected) in [
        (format!("t={},v1={old}", NOW - 300), Ok(())),
        (format!("t={},v1={old}", NOW - 301), Err(TooOld)),
        (format!("t={t},v1=potato"), Err(NoMatch)),
        (format!("t={t},v0={old}"), Err(NoV1Signature)),
        (String::new(), Err(HeaderMissing)),
    ] {
        assert_eq!(check_head(Some(header.as_bytes()), NOW), expected, "{header}");
    }
    assert_eq!(check_head(None, NOW), Err(HeaderMissing));
    assert_eq!(verify(None, BODY, &secrets(&[NEW]), NOW).unwrap_err(), HeaderMissing);
}

#[test]
fn what_was_verified_tells_body_and_time_and_what_was_not_why() {
    let header = format!("t={},v1={}", NOW - 7, v1(NEW, &(NOW - 7).to_string(), BODY));
    let known = secrets(&[NEW]);
    let verified = verify(Some(header.as_bytes()), BODY, &known, NOW).unwrap();
    assert_eq!((verified.body(), verified.timestamp()), (BODY, NOW - 7));
    let reasons =
        [HeaderMissing, HeaderMalformed, NoV1Signature, NoMatch, TooOld].map(|error| error.reason());
    assert_eq!(
        reasons,
        [
            "header_missing",
            "header_malformed",
            "no_v1_signature",
            "secret_or_body",
            "timestamp_out_of_tolerance"
        ]
    );
}

#[test]
fn while_a_secret_is_rolled_either_one_is_enough() {
    let t = NOW.to_string();
    let (old, new) = (v1(OLD, &t, BODY), v1(NEW, &t, BODY));
    for (header, known, expected) in [
        (format!("t={t},v1={old},v1={new}"), &[OLD][..], Ok(0)),
        (format!("t={t},v1={old},v1={new}"), &[NEW][..], Ok(0)),
        (format!("t={t},v1={old}"), &[OLD, NEW][..], Ok(0)),
        (format!("t={t},v1={new}"), &[OLD, NEW][..], Ok(1)),
        (format!("t={t},v1={new},v1={old}"), &[OLD, NEW][..], Ok(0)),
        (format!("t={t},v1={old}"), &[NEW][..], Err(NoMatch)),
        (format!("t={t},v1={new}"), &[][..], Err(NoMatch)),
    ] {
        assert_eq!(judge(header.as_bytes(), BODY, known), expected, "{header} against {known:?}");
    }
}

#[test]
fn the_raw_bytes_are_what_was_signed() {
    for body in [&b""[..], b"\xff\xfe\x00", b"\xef\xbb\xbf{}", b"{\"a\": 1}\r\n", &[b'['; 100_000]] {
        let header = stripe_sim::sign(&secrets(&[NEW]), NOW, body);
        assert_eq!(judge(header.as_bytes(), body, &[NEW]), Ok(0));
        let mut altered = body.to_vec();
        altered.push(b' ');
        assert_eq!(judge(header.as_bytes(), &altered, &[NEW]), Err(NoMatch), "a byte was added");
    }
    let header = stripe_sim::sign(&secrets(&[NEW]), NOW, b"{\"a\":1}");
    assert_eq!(judge(header.as_bytes(), b"{\"a\": 1}", &[NEW]), Err(NoMatch), "re-encoded JSON");
}

#[test]
fn a_signature_known_from_the_documentation_of_the_scheme_is_made() {
    // HMAC-SHA256("whsec_test", "1700000000.{}"), computed with another implementation.
    let header = stripe_sim::sign(&secrets(&["whsec_test"]), 1_700_000_000, b"{}");
    assert_eq!(header, format!("t=1700000000,v1={EXPECTED}"));
}

const EXPECTED: &str = "35495024f4ef3f94e5a93e22221544c4b75e9a42300cd965ab81cb85cd994e91";

proptest! {
    #[test]
    fn what_we_sign_we_accept(body in proptest::collection::vec(any::<u8>(), 0..300), secret in "[!-~]{1,40}") {
        let secrets = vec![SecretString::from(secret)];
        let header = stripe_sim::sign(&secrets, NOW, &body);
        prop_assert!(verify(Some(header.as_bytes()), &body, &secrets, NOW).is_ok());
    }

    #[test]
    fn no_header_makes_us_panic_or_believe(header in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(verify(Some(&header), BODY, &secrets(&[NEW]), NOW).is_err());
    }

    #[test]
    fn no_header_like_text_makes_us_panic_or_believe(header in "(t|v1|v0|x)?=?[0-9a-f,=tv ]{0,90}") {
        prop_assert!(verify(Some(header.as_bytes()), BODY, &secrets(&[NEW]), NOW).is_err());
    }
}
