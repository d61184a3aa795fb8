//! What a business may say of itself.

use super::*;

fn draft(members: &[(&str, &str)]) -> Draft {
    let mut draft = Draft { name: Some("Atelier Nord".to_owned()), ..Draft::default() };
    for (name, text) in members {
        *draft.member(name).unwrap() = Some((*text).to_owned());
    }
    draft
}

#[test]
fn everything_that_is_wrong_is_named_at_once() {
    let long = "a".repeat(TEXT_BYTES + 1);
    let faults = draft(&[
        ("name", "Atelier\u{7}"),
        ("address", "1 rue\u{202e}"),
        ("phone", "call us"),
        ("email", "nobody"),
        ("accent", "red;}"),
        ("mailLang", "de"),
        ("terms", "javascript:alert(1)"),
        ("cancellation", "http://example.org/cancel"),
        ("privacy", &long),
        ("legal", "one\u{0}two"),
    ])
    .parse()
    .unwrap_err();
    let mut paths: Vec<&str> = faults.iter().map(|fault| fault.path.as_str()).collect();
    let mut members = Draft::MEMBERS.to_vec();
    paths.sort_unstable();
    members.sort_unstable();
    assert_eq!(paths, members);
}

#[test]
fn each_member_takes_what_it_is_for_and_refuses_the_rest() {
    let lines = "a\n".repeat(9);
    let (name, address, phone) = ("a".repeat(81), "a".repeat(301), "0".repeat(31));
    let link = format!("https://example.org/{}", "a".repeat(LINK_CHARS));
    let escaped = "<".repeat(TEXT_BYTES / 5 + 1);
    for (member, text, code) in [
        ("name", "Café de l’Été & Fils", None),
        ("name", "", Some("business_name")),
        ("name", "  ", Some("business_name")),
        ("name", &name, Some("business_name")),
        ("name", "two\nlines", Some("control_here")),
        ("name", "a\u{202e}b", Some("control_here")),
        ("name", "a\u{1b}[31m", Some("control_here")),
        ("address", "1 rue du Port\r\n33000 Bordeaux", None),
        ("address", &lines, Some("business_address")),
        ("address", &address, Some("business_address")),
        ("address", "a\u{0}b", Some("control_here")),
        ("phone", "+33 (0)1 23 45 67 89", None),
        ("phone", "01.23.45.67.89", None),
        ("phone", "12", Some("phone")),
        ("phone", "+33 1 23 javascript", Some("phone")),
        ("phone", "1+2345", Some("phone")),
        ("phone", "1234567890123456", Some("phone")),
        ("phone", &phone, Some("phone")),
        ("email", "bonjour@atelier.example", None),
        ("email", "bonjour@atelier.example\r\nBcc: all@example.org", Some("email")),
        ("accent", "#FFEE00", None),
        ("accent", "#fe0", Some("accent")),
        ("accent", "#ffee00;", Some("accent")),
        ("mailLang", "en", None),
        ("mailLang", "english", Some("mail_lang")),
        ("terms", "Article 1 : tout\tva bien.\r\n\r\nArticle 2", None),
        ("terms", "Note: not an address", None),
        ("terms", "https://example.org/terms?lang=fr#one", None),
        ("terms", "https://example.org:8443", None),
        ("terms", "HTTPS://example.org", Some("document_link")),
        ("terms", "http://example.org/terms", Some("document_link")),
        ("terms", "//example.org/terms", Some("document_link")),
        ("terms", "https://user@example.org/", Some("document_link")),
        ("terms", "https://example.org/\"onclick=", Some("document_link")),
        ("terms", "https://example.org/a b", Some("document_link")),
        ("terms", "https://-example.org/", Some("document_link")),
        ("terms", "https://localhost/", Some("document_link")),
        ("terms", "https://example.org:port/", Some("document_link")),
        ("terms", "javascript:alert(1)", Some("document_link")),
        ("terms", "JavaScript: alert(1)", Some("document_link")),
        ("terms", "data:text/html,<script>", Some("document_link")),
        ("terms", "mailto:a@example.org", Some("document_link")),
        ("terms", &link, Some("document_link")),
        ("terms", &escaped, Some("document_long")),
        ("terms", "a\u{8}b", Some("control_here")),
        ("terms", "pasted\u{ad} from\u{200b} elsewhere", None),
    ] {
        let found = draft(&[(member, text)]).parse();
        let codes: Vec<_> = found.err().into_iter().flatten().map(|fault| (fault.path, fault.code)).collect();
        let expected: Vec<_> = code.into_iter().map(|code| (member.to_owned(), code)).collect();
        assert_eq!(codes, expected, "{member} {text:?}");
    }
}

#[test]
fn what_is_kept_is_read_back_the_same() {
    let typed = draft(&[
        ("address", " 1 rue du Port \r\n\r\n 33000 Bordeaux "),
        ("phone", "+33 (0)1 23 45 67 89"),
        ("email", "bonjour@atelier.example"),
        ("accent", "#FFEE00"),
        ("mailLang", "en"),
        ("terms", "https://example.org/terms"),
        ("legal", "Atelier Nord\tSARL\r\n\r\nBordeaux"),
        ("privacy", "  "),
    ]);
    let business = typed.parse().unwrap();
    assert_eq!(business.address(), Some("1 rue du Port\n33000 Bordeaux"));
    assert_eq!(business.dialled().as_deref(), Some("+33123456789"));
    assert_eq!(business.mail_lang(), Some(Lang::En));
    assert_eq!(
        business.wording(Document::Terms),
        Some(&Wording::Link("https://example.org/terms".to_owned()))
    );
    assert_eq!(
        business.wording(Document::Legal),
        Some(&Wording::Text("Atelier Nord SARL\n\nBordeaux".to_owned()))
    );
    assert_eq!(business.wording(Document::Privacy), None);
    let kept = serde_json::to_string(&business.draft()).unwrap();
    assert_eq!(serde_json::from_str::<Draft>(&kept).unwrap().parse().unwrap(), business);
    assert!(serde_json::from_str::<Draft>(r#"{"nmae":"Atelier"}"#).unwrap_err().to_string().contains("nmae"));
}

#[test]
fn what_a_shop_must_say_is_missing_until_it_says_it() {
    let all = ["name", "address", "email", "terms", "cancellation", "privacy", "legal"];
    assert_eq!(missing(None), all);
    let named = draft(&[]).parse().unwrap();
    assert_eq!(missing(Some(&named)), all[1..]);
    let said: Vec<_> = all[1..].iter().map(|member| (*member, "https://example.org/all")).collect();
    let mut whole = draft(&said);
    whole.email = Some("bonjour@atelier.example".to_owned());
    assert!(missing(Some(&whole.parse().unwrap())).is_empty());
}

#[test]
fn a_text_becomes_paragraphs_and_lines() {
    assert_eq!(paragraphs("a\nb\n\n\nc\n \nd"), [vec!["a", "b"], vec!["c"], vec!["d"]]);
    assert!(paragraphs("\n\n").is_empty());
}
