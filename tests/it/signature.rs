//! The `Stripe-Signature` header: every form that is accepted, and every one that is not. Where the official
//! libraries agree this table agrees with them; where they differ the stricter one is followed.

use checkout_backend::stripe::signature::{SignatureError, verify};
use hmac::{Hmac, KeyInit, Mac};
use secrecy::SecretString;
use sha2::Sha256;

const NOW: i64 = 1_795_000_000;
const SECRET: &str = "whsec_test_secret";
const OLD: &str = "whsec_old_secret";
const BODY: &[u8] = br#"{"id":"evt_1","object":"event"}"#;

/// Computed with another program: Python's `hmac` over `1795000000.` and [`BODY`] under [`SECRET`].
const KNOWN: &str = "72c734d12afd8ad76cc934b45f99c9c5ab4584de0d79a5457c49d3d1ac7c56c0";

fn v1(secret: &str, t: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(t.as_bytes());
    mac.update(b".");
    mac.update(body);
    hex::encode(mac.finalize().into_bytes())
}

fn judge(header: Option<&[u8]>, body: &[u8], secrets: &[&str]) -> Result<usize, SignatureError> {
    let secrets: Vec<SecretString> = secrets.iter().map(|secret| SecretString::from(*secret)).collect();
    verify(header, body, &secrets, NOW).map(|verified| {
        assert_eq!(verified.body(), body);
        verified.secret_index()
    })
}

#[test]
fn a_signature_made_by_another_program_is_accepted() {
    assert_eq!(v1(SECRET, "1795000000", BODY), KNOWN);
    assert_eq!(judge(Some(format!("t=1795000000,v1={KNOWN}").as_bytes()), BODY, &[SECRET]), Ok(0));
}

#[test]
fn every_header_is_accepted_or_refused_as_it_should_be() {
    use SignatureError::{HeaderMalformed, HeaderMissing, NoMatch, NoV1Signature, TooOld};
    let t = NOW.to_string();
    let good = v1(SECRET, &t, BODY);
    let old = v1(OLD, &t, BODY);
    let zeros = "0".repeat(64);
    let upper = good.to_uppercase();
    let at = |seconds: i64| {
        let t = seconds.to_string();
        format!("t={t},v1={}", v1(SECRET, &t, BODY))
    };
    let signed_as = |text: &str| format!("t={text},v1={}", v1(SECRET, text, BODY));
    let cases: Vec<(&str, String, Result<(), SignatureError>)> = vec![
        // What Stripe sends.
        ("plain", format!("t={t},v1={good}"), Ok(())),
        ("with v0", format!("t={t},v1={good},v0={zeros}"), Ok(())),
        ("v0 first", format!("v0={zeros},t={t},v1={good}"), Ok(())),
        ("while rolling, ours first", format!("t={t},v1={good},v1={old}"), Ok(())),
        ("while rolling, ours last", format!("t={t},v1={old},v1={good}"), Ok(())),
        (
            "many that do not fit and one that does",
            format!("t={t}{},v1={good}", format!(",v1={zeros}").repeat(30)),
            Ok(()),
        ),
        // Other spellings that carry the same.
        ("order reversed", format!("v1={good},t={t}"), Ok(())),
        ("blanks after commas", format!("t={t}, v1={good}"), Ok(())),
        ("blanks around elements", format!(" t={t} ,\tv1={good} "), Ok(())),
        ("trailing comma", format!("t={t},v1={good},"), Ok(())),
        ("empty elements", format!(",,t={t},,v1={good},,"), Ok(())),
        ("a bare token", format!("t={t},hello,v1={good}"), Ok(())),
        ("an unknown scheme", format!("t={t},v2=abc,v1={good}"), Ok(())),
        ("an unknown element with many equal signs", format!("t={t},x=a=b=c,v1={good}"), Ok(())),
        ("upper-case hex", format!("t={t},v1={upper}"), Ok(())),
        ("a v1 that is no hex beside a good one", format!("t={t},v1=potato,v1={good}"), Ok(())),
        ("an empty v1 beside a good one", format!("t={t},v1=,v1={good}"), Ok(())),
        ("a short v1 beside a good one", format!("t={t},v1=abcd,v1={good}"), Ok(())),
        ("a long v1 beside a good one", format!("t={t},v1={good}00,v1={good}"), Ok(())),
        ("the same v1 twice", format!("t={t},v1={good},v1={good}"), Ok(())),
        // Age.
        ("a second old", at(NOW - 1), Ok(())),
        ("299 s old", at(NOW - 299), Ok(())),
        ("300 s old", at(NOW - 300), Ok(())),
        ("301 s old", at(NOW - 301), Err(TooOld)),
        ("a day old", at(NOW - 86_400), Err(TooOld)),
        ("from 1970", at(0), Err(TooOld)),
        ("a second ahead", at(NOW + 1), Ok(())),
        ("an hour ahead", at(NOW + 3_600), Ok(())),
        ("the end of time", at(i64::MAX), Ok(())),
        ("leading zeros are part of the text", signed_as("001795000000"), Ok(())),
        // No header.
        ("nothing", String::new(), Err(HeaderMissing)),
        // Headers that cannot be read.
        ("a word", "bad_header".to_owned(), Err(HeaderMalformed)),
        ("only a comma", ",".to_owned(), Err(HeaderMalformed)),
        ("only blanks", "   ".to_owned(), Err(HeaderMalformed)),
        ("no t", format!("v1={good}"), Err(HeaderMalformed)),
        ("an empty t", format!("t=,v1={good}"), Err(HeaderMalformed)),
        ("a t that is a word", format!("t=now,v1={good}"), Err(HeaderMalformed)),
        ("a negative t", signed_as("-1"), Err(HeaderMalformed)),
        ("a t with a sign", signed_as("+1795000000"), Err(HeaderMalformed)),
        ("a t with a fraction", signed_as("1795000000.0"), Err(HeaderMalformed)),
        ("a t in hex", signed_as("0x6afd0cc0"), Err(HeaderMalformed)),
        ("a t with a blank inside", signed_as("1795 000000"), Err(HeaderMalformed)),
        ("a t beyond 64 bits", signed_as("99999999999999999999"), Err(HeaderMalformed)),
        ("two different t", format!("t={t},t=1,v1={good}"), Err(HeaderMalformed)),
        ("the same t twice", format!("t={t},t={t},v1={good}"), Err(HeaderMalformed)),
        ("T instead of t", format!("T={t},v1={good}"), Err(HeaderMalformed)),
        ("a blank before the equal sign", format!("t ={t},v1={good}"), Err(HeaderMalformed)),
        ("semicolons", format!("t={t};v1={good}"), Err(HeaderMalformed)),
        ("letters that are not ASCII", format!("t={t},v1={good},é=1"), Err(HeaderMalformed)),
        (
            "a header of nine thousand bytes",
            format!("t={t},v1={good},x={}", "a".repeat(9_000)),
            Err(HeaderMalformed),
        ),
        // Readable, but without a signature that counts.
        ("only t", format!("t={t}"), Err(NoV1Signature)),
        ("only v0", format!("t={t},v0={good}"), Err(NoV1Signature)),
        ("only v2", format!("t={t},v2={good}"), Err(NoV1Signature)),
        ("V1 instead of v1", format!("t={t},V1={good}"), Err(NoV1Signature)),
        ("a bare v1", format!("t={t},v1"), Err(NoV1Signature)),
        // Signatures that do not fit.
        ("zeros", format!("t={t},v1={zeros}"), Err(NoMatch)),
        ("an empty v1", format!("t={t},v1="), Err(NoMatch)),
        ("no hex", format!("t={t},v1=potato"), Err(NoMatch)),
        ("the first half", format!("t={t},v1={}", &good[..32]), Err(NoMatch)),
        ("one digit short", format!("t={t},v1={}", &good[..63]), Err(NoMatch)),
        ("a digit too many", format!("t={t},v1={good}0"), Err(NoMatch)),
        ("twice as long", format!("t={t},v1={good}{good}"), Err(NoMatch)),
        ("quoted", format!("t={t},v1=\"{good}\""), Err(NoMatch)),
        ("with 0x", format!("t={t},v1=0x{good}"), Err(NoMatch)),
        ("a blank after the equal sign", format!("t={t},v1= {good}"), Err(NoMatch)),
        ("a newer t over an old signature", format!("t={},v1={good}", NOW + 1), Err(NoMatch)),
        ("an older t over a newer signature", format!("t={},v1={good}", NOW - 1), Err(NoMatch)),
        ("the number but not the text that was signed", format!("t=0{t},v1={good}"), Err(NoMatch)),
        ("another endpoint's secret", format!("t={t},v1={old}"), Err(NoMatch)),
        ("a secret without its prefix", format!("t={t},v1={}", v1("test_secret", &t, BODY)), Err(NoMatch)),
        ("an empty secret", format!("t={t},v1={}", v1("", &t, BODY)), Err(NoMatch)),
        ("another body", format!("t={t},v1={}", v1(SECRET, &t, b"{}")), Err(NoMatch)),
        ("the body without t", format!("t={t},v1={}", v1(SECRET, "", BODY)), Err(NoMatch)),
        ("old and forged: the forgery is what counts", format!("t=1,v1={zeros}"), Err(NoMatch)),
    ];
    assert!(cases.len() >= 60);
    for (name, header, expected) in &cases {
        let judged = judge(Some(header.as_bytes()), BODY, &[SECRET]).map(drop);
        assert_eq!(judged, *expected, "{name}: {header:?}");
    }
    assert_eq!(judge(None, BODY, &[SECRET]), Err(HeaderMissing));
    assert_eq!(judge(Some(&[b't', b'=', 0xff]), BODY, &[SECRET]), Err(HeaderMalformed));
}

#[test]
fn every_changed_byte_of_the_body_is_noticed() {
    let t = NOW.to_string();
    let header = format!("t={t},v1={}", v1(SECRET, &t, BODY));
    for n in 0..BODY.len() {
        let mut altered = BODY.to_vec();
        altered[n] ^= 1;
        assert_eq!(judge(Some(header.as_bytes()), &altered, &[SECRET]), Err(SignatureError::NoMatch));
    }
    for altered in [[BODY, b"\n"].concat(), [b" ", BODY].concat(), BODY[1..].to_vec(), Vec::new()] {
        assert_eq!(judge(Some(header.as_bytes()), &altered, &[SECRET]), Err(SignatureError::NoMatch));
    }
}

#[test]
fn bodies_of_any_bytes_are_verified_as_they_are() {
    let t = NOW.to_string();
    for body in [&b""[..], b"\xff\xfe\x00", "é{\u{feff}}".as_bytes(), b"{\r\n}", &[b'x'; 100_000]] {
        let header = format!("t={t},v1={}", v1(SECRET, &t, body));
        assert_eq!(judge(Some(header.as_bytes()), body, &[SECRET]), Ok(0));
    }
}

#[test]
fn while_a_secret_is_rolled_either_fits_and_it_is_told_which() {
    let t = NOW.to_string();
    let (new, old) = (v1(SECRET, &t, BODY), v1(OLD, &t, BODY));
    let by_new = format!("t={t},v1={new}");
    let by_old = format!("t={t},v1={old}");
    let by_both = format!("t={t},v1={old},v1={new}");
    assert_eq!(judge(Some(by_new.as_bytes()), BODY, &[SECRET, OLD]), Ok(0));
    assert_eq!(judge(Some(by_old.as_bytes()), BODY, &[SECRET, OLD]), Ok(1));
    assert_eq!(judge(Some(by_both.as_bytes()), BODY, &[SECRET, OLD]), Ok(0));
    assert_eq!(judge(Some(by_both.as_bytes()), BODY, &[OLD]), Ok(0));
    assert_eq!(judge(Some(by_old.as_bytes()), BODY, &[SECRET]), Err(SignatureError::NoMatch));
    assert_eq!(judge(Some(by_new.as_bytes()), BODY, &[]), Err(SignatureError::NoMatch));
}
