//! Who sells here: what may be said of it, who may say it, and where customers read it.

use crate::harness::app::{Answer, send};
use crate::harness::process::free_port;
use crate::harness::{Engine, TestApp, TestDatabase, TestProcess, on_each_engine};
use crate::shop::Shop;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use checkout_backend::config::{Config, ConfigError};
use checkout_backend::flow::{bookings, business, doctor};
use domain::business::TEXT_BYTES;
use domain::business::colour::Theme;
use domain::role::Role;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

on_each_engine! {
    people_who_change_different_parts_at_once_all_keep_theirs,
    an_admin_says_who_sells_here_and_everybody_signed_in_reads_it,
    every_member_that_cannot_be_used_is_named_and_nothing_is_saved,
    a_logo_is_an_image_by_its_bytes_and_kept_by_browsers_under_an_address_of_its_content,
    a_business_is_typed_into_a_form_that_needs_no_script,
    customers_read_who_sells_here_on_every_page_and_the_team_does_not,
    a_text_of_the_shops_own_has_a_page_and_a_link_leads_to_where_it_is,
    in_production_what_is_missing_is_told_until_it_is_said,
    what_another_instance_saved_is_shown_within_seconds,
    the_file_of_the_first_start_is_taken_once,
    a_customers_receipt_says_who_sold,
}

const PATH: &str = "/api/settings/business";
const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
const PRODUCTION: [(&str, &str); 3] = [
    ("APP_ENV", "production"),
    ("APP_URL", "https://pay.test"),
    ("STRIPE_SECRET_KEY", "sk_test_4eC39HqLyjWDarjtT1zdp7dc"),
];

/// A PNG of one pixel.
fn png() -> Vec<u8> {
    STANDARD
        .decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==")
        .unwrap()
}

fn whole() -> Value {
    json!({
        "name": "Atelier <Nord>", "address": "1 rue du Port\n33000 Bordeaux", "phone": "+33 (0)5 56 00 00 00",
        "email": "bonjour@atelier.example", "accent": "#FFEE00", "mailLang": "en",
        "terms": "Article 1\nTout va <b>bien</b>.\n\nArticle 2", "cancellation": "https://atelier.example/annuler?x=1",
        "privacy": "Rien n’est gardé.", "legal": "Atelier Nord, SARL",
        "logo": STANDARD.encode(png()),
    })
}

async fn put(app: &TestApp, cookie: &str, body: &Value) -> Answer {
    let request = app.http.put(format!("{}{PATH}", app.url)).header("cookie", cookie);
    send(request.header("content-type", "application/json").body(body.to_string())).await
}

async fn page(app: &TestApp, path: &str, cookie: &str) -> Answer {
    let request = app.http.get(format!("{}{path}", app.url)).header("cookie", cookie);
    send(request.header("accept", BROWSER).header("accept-language", "fr")).await
}

async fn form(app: &TestApp, cookie: &str, path: &str, fields: &[(&str, &str)]) -> Answer {
    let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let request = app.http.post(format!("{}{path}", app.url)).header("cookie", cookie);
    let request = request.header("content-type", "application/x-www-form-urlencoded");
    send(request.header("accept", BROWSER).header("sec-fetch-site", "same-origin").body(body)).await
}

/// A form with a file, as browsers send it.
async fn upload(app: &TestApp, cookie: &str, field: &str, data: &[u8], more: &[(&str, &str)]) -> Answer {
    let head = format!(
        "--b0undary\r\nContent-Disposition: form-data; name=\"{field}\"; filename=\"logo.png\"\r\nContent-Type: \
         image/png\r\n\r\n"
    );
    let body = [head.as_bytes(), data, b"\r\n--b0undary--\r\n"].concat();
    let mut request = app.http.post(format!("{}/dashboard/business/logo", app.url)).header("cookie", cookie);
    for (name, value) in more {
        request = request.header(*name, *value);
    }
    let kind = "multipart/form-data; boundary=b0undary";
    send(request.header("accept", BROWSER).header("content-type", kind).body(body)).await
}

fn faulty(answer: &Answer) -> Vec<String> {
    let details = answer.json()["details"].as_array().cloned().unwrap_or_default();
    let mut paths: Vec<_> = details.iter().map(|fault| fault["path"].as_str().unwrap().to_owned()).collect();
    paths.sort_unstable();
    paths
}

async fn audited(app: &TestApp, cookie: &str) -> Vec<String> {
    let records = app.get_as(cookie, "/api/audit").await.json();
    let records = records["items"].as_array().unwrap().clone();
    let ours = records.into_iter().filter(|record| record["action"] == "business.changed");
    ours.map(|record| record["detail"].as_str().unwrap().to_owned()).collect()
}

async fn an_admin_says_who_sells_here_and_everybody_signed_in_reads_it(db: TestDatabase) {
    let app = TestApp::start(&db).await;
    let admin = app.person(Role::Admin).await;
    let (ops, reader) = (app.person(Role::Ops).await, app.person(Role::ReadOnly).await);
    let nothing = app.get_as(&reader.cookie, PATH).await.json();
    assert_eq!((&nothing["name"], &nothing["logo"]), (&Value::Null, &Value::Null));
    assert_eq!(nothing["missing"].as_array().unwrap().len(), 7);
    for other in [&ops, &reader] {
        assert_eq!(put(&app, &other.cookie, &whole()).await.status, 403);
    }
    assert_eq!(put(&app, "", &whole()).await.status, 401);

    let saved = put(&app, &admin.cookie, &whole()).await;
    assert_eq!(saved.status, 200, "{}", saved.body);
    crate::openapi::check("PUT", PATH, &saved);
    for person in [&admin, &ops, &reader] {
        let read = app.get_as(&person.cookie, PATH).await.json();
        assert_eq!(read, saved.json());
        assert_eq!(
            (&read["name"], &read["accent"], &read["mailLang"], &read["missing"]),
            (&json!("Atelier <Nord>"), &json!("#ffee00"), &json!("en"), &json!([]))
        );
        assert_eq!((&read["logo"]["type"], &read["logo"]["width"]), (&json!("image/png"), &json!(1)));
    }
    // What was answered, sent back, changes nothing; what is left out is not set, but for the logo.
    assert_eq!(put(&app, &admin.cookie, &saved.json()).await.json(), saved.json());
    let less = put(&app, &admin.cookie, &json!({ "name": "Atelier" })).await.json();
    assert_eq!((&less["address"], &less["logo"]), (&Value::Null, &saved.json()["logo"]));
    let less = put(&app, &admin.cookie, &json!({ "name": "Atelier", "logo": null })).await.json();
    assert_eq!(less["logo"], Value::Null);
    assert_eq!(
        audited(&app, &admin.cookie).await,
        [
            "logo",
            "name, address, phone, email, accent, mailLang, terms, cancellation, privacy, legal",
            "name, address, phone, email, accent, mailLang, terms, cancellation, privacy, legal, logo",
        ]
    );
    assert_eq!(db.number("select count(*) from files").await, 0, "what goes leaves nothing behind");
}

async fn every_member_that_cannot_be_used_is_named_and_nothing_is_saved(db: TestDatabase) {
    let app = TestApp::start(&db).await;
    let admin = app.person(Role::Admin).await;
    assert_eq!(put(&app, &admin.cookie, &whole()).await.status, 200);
    let before = app.get_as(&admin.cookie, PATH).await.json();
    let svg = STANDARD.encode("<svg xmlns=\"http://www.w3.org/2000/svg\"><script>alert(1)</script></svg>");
    let wrong = json!({
        "name": "A\u{202e}", "address": "\u{1b}[2J", "phone": "call", "email": "a@b", "accent": "red;}",
        "mailLang": "de", "terms": "javascript:alert(1)", "cancellation": "http://a.example/",
        "privacy": "a".repeat(TEXT_BYTES + 1), "legal": 7, "logo": svg, "colour": "#fff",
    });
    let refused = put(&app, &admin.cookie, &wrong).await;
    assert_eq!(refused.status, 400);
    assert_eq!(
        faulty(&refused),
        [
            "accent",
            "address",
            "cancellation",
            "colour",
            "email",
            "legal",
            "logo",
            "mailLang",
            "name",
            "phone",
            "privacy",
            "terms"
        ]
    );
    for (member, value) in [
        ("name", json!(null)),
        ("name", json!("a\u{0}")),
        ("terms", json!("data:text/html,<script>")),
        ("terms", json!({ "link": "https://a.example/" })),
        ("logo", json!("data:image/svg+xml;base64,PHN2Zy8+")),
        ("logo", json!("no base64")),
        ("logo", json!("")),
        ("logo", json!({ "url": "https://evil.example/logo.png" })),
        ("logo", json!(STANDARD.encode(vec![0; 64 * 1024 + 1]))),
    ] {
        let mut body = whole();
        body[member] = value.clone();
        let refused = put(&app, &admin.cookie, &body).await;
        assert_eq!((refused.status, faulty(&refused)), (400, vec![member.to_owned()]), "{member} {value}");
    }
    assert_eq!(app.get_as(&admin.cookie, PATH).await.json(), before);
    let long = json!({ "name": "a".repeat(600 * 1024) });
    assert_eq!(put(&app, &admin.cookie, &long).await.status, 413);
    assert_eq!(audited(&app, &admin.cookie).await.len(), 1);
}

async fn a_logo_is_an_image_by_its_bytes_and_kept_by_browsers_under_an_address_of_its_content(
    db: TestDatabase,
) {
    let app = TestApp::start(&db).await;
    let admin = app.person(Role::Admin).await;
    let saved = put(&app, &admin.cookie, &whole()).await.json();
    let url = saved["logo"]["url"].as_str().unwrap().to_owned();
    let home = page(&app, "/", "").await;
    assert!(home.body.contains(&format!("src=\"{url}\"")), "{}", home.body);
    let file = app.http.get(format!("{}{url}", app.url)).send().await.unwrap();
    let headers = file.headers().clone();
    assert_eq!(file.status().as_u16(), 200);
    assert_eq!(file.bytes().await.unwrap(), png());
    for (name, value) in [
        ("content-type", "image/png"),
        ("x-content-type-options", "nosniff"),
        ("cache-control", "public, max-age=31536000, immutable"),
    ] {
        assert_eq!(headers[name], value, "{name}");
    }
    assert!(headers["content-security-policy"].to_str().unwrap().contains("default-src 'none'"));
    let known = app.http.get(format!("{}{url}", app.url)).header("if-none-match", &headers["etag"]);
    assert_eq!(known.send().await.unwrap().status().as_u16(), 304);
    assert_eq!(app.get("/assets/0123456789abcdef/logo.jpg").await.status, 404, "it is no JPEG");

    // Another logo has another address, and at the old one nobody keeps it.
    let mut longer = png();
    let end = longer.split_off(longer.len() - 12);
    longer.extend(b"\0\0\0\x01tEXtx\0\0\0\0");
    longer.extend(end);
    let mut body = whole();
    body["logo"] = format!("data:image/png;base64,{}", STANDARD.encode(&longer)).into();
    let other = put(&app, &admin.cookie, &body).await.json()["logo"]["url"].as_str().unwrap().to_owned();
    assert_ne!(other, url);
    let old = app.http.get(format!("{}{url}", app.url)).send().await.unwrap();
    assert_eq!(old.headers()["cache-control"], "no-cache");
    assert_eq!(old.bytes().await.unwrap(), longer);
    body["logo"] = Value::Null;
    assert_eq!(put(&app, &admin.cookie, &body).await.status, 200);
    assert_eq!(app.get(&other).await.status, 404);
    assert!(page(&app, "/", "").await.body.contains("class=\"mark\""));
}

async fn a_business_is_typed_into_a_form_that_needs_no_script(db: TestDatabase) {
    let app = TestApp::start(&db).await;
    let admin = app.person(Role::Admin).await;
    let reader = app.person(Role::ReadOnly).await;
    let path = "/dashboard/business";
    let empty = page(&app, path, &admin.cookie).await;
    assert!(empty.body.contains("Votre entreprise") && !empty.body.contains("type=\"file\""));
    assert_eq!(page(&app, &format!("{path}/terms"), &admin.cookie).await.status, 404, "it has no name yet");
    assert_eq!(page(&app, path, &reader.cookie).await.status, 403);
    let fields = [
        ("name", "Atelier Nord"),
        ("address", "1 rue du Port\r\n33000 Bordeaux"),
        ("phone", ""),
        ("email", "bonjour@atelier.example"),
        ("accent", "#0b6b50"),
        ("mailLang", "fr"),
    ];
    let saved = form(&app, &admin.cookie, path, &fields).await;
    assert_eq!(
        (saved.status, saved.headers["location"].to_str().unwrap()),
        (303, "/dashboard/business?done=saved")
    );
    let saved = upload(&app, &admin.cookie, "logo", &png(), &[]).await;
    assert_eq!(saved.status, 303, "{}", saved.body);
    let text = "Un texte.\r\n\r\nEt un autre.";
    assert_eq!(form(&app, &admin.cookie, &format!("{path}/terms"), &[("terms", text)]).await.status, 303);
    let read = app.get_as(&admin.cookie, PATH).await.json();
    assert_eq!(
        (&read["name"], &read["address"], &read["terms"], &read["logo"]["height"]),
        (
            &json!("Atelier Nord"),
            &json!("1 rue du Port\n33000 Bordeaux"),
            &json!("Un texte.\n\nEt un autre."),
            &json!(1)
        )
    );
    // The other form left them alone.
    assert_eq!(form(&app, &admin.cookie, path, &fields).await.status, 303);
    assert_eq!(app.get_as(&admin.cookie, PATH).await.json(), read);

    let wrong = [
        ("name", ""),
        ("address", &"a\n".repeat(9)),
        ("phone", "call"),
        ("email", "a@b"),
        ("accent", "red;}"),
        ("mailLang", "de"),
    ];
    let refused = form(&app, &admin.cookie, path, &wrong).await;
    assert_eq!(refused.status, 400);
    for (field, _) in wrong {
        assert!(refused.body.contains(&format!("id=\"{field}-error\"")), "{field}");
    }
    assert!(refused.body.contains("value=\"red;}\""), "what was typed stays");
    let refused =
        form(&app, &admin.cookie, &format!("{path}/privacy"), &[("privacy", "javascript:alert(1)")]).await;
    assert!(refused.status == 400 && refused.body.contains("id=\"privacy-error\""));
    for (data, words) in [
        (&b"<svg onload=alert(1)>"[..], "Donnez une image PNG, JPEG ou WebP."),
        (b"", "Choisissez d’abord une image."),
        (&vec![0; 300 * 1024], "64 Kio au plus"),
    ] {
        let refused = upload(&app, &admin.cookie, "logo", data, &[("accept-language", "fr")]).await;
        assert!(refused.status == 400 && refused.body.contains(words), "{words}: {}", refused.body);
    }
    // Another site cannot send it, and who only reads may not.
    let foreign = upload(&app, &admin.cookie, "logo", &png(), &[("sec-fetch-site", "cross-site")]).await;
    assert_eq!(foreign.status, 403);
    assert_eq!(upload(&app, &reader.cookie, "logo", &png(), &[]).await.status, 403);
    assert_eq!(app.get_as(&admin.cookie, PATH).await.json(), read);
    assert_eq!(upload(&app, &admin.cookie, "remove", b"yes", &[]).await.status, 303);
    assert_eq!(app.get_as(&admin.cookie, PATH).await.json()["logo"], Value::Null);
}

async fn customers_read_who_sells_here_on_every_page_and_the_team_does_not(db: TestDatabase) {
    let app = TestApp::start(&db).await;
    let admin = app.person(Role::Admin).await;
    let bare = page(&app, "/", "").await;
    assert!(bare.body.contains(" · Réservation</title>") && !bare.body.contains("accent.css"));
    assert_eq!(put(&app, &admin.cookie, &whole()).await.status, 200);
    for path in ["/", "/accessibility", "/cancel", "/terms", "/nowhere", "/b/AAAAAA"] {
        let shown = page(&app, path, "").await;
        for part in [
            "Atelier &#60;Nord&#62;</title>",
            "<span>Atelier &#60;Nord&#62;</span>",
            "1 rue du Port<br>33000 Bordeaux",
            "href=\"tel:+33556000000\"",
            "href=\"mailto:bonjour@atelier.example\"",
            "href=\"/terms\"",
            "href=\"https://atelier.example/annuler?x=1\"",
            "href=\"/privacy\"",
            "href=\"/legal\"",
            "/accent.css\"",
        ] {
            assert!(shown.body.contains(part), "{path} lacks {part}: {}", shown.body);
        }
        assert!(shown.body.len() < 50_000, "{path}");
    }
    let statement = page(&app, "/accessibility", "").await.body;
    let article = statement.split("<article").nth(1).unwrap().split("</article>").next().unwrap();
    assert!(article.contains("mailto:bonjour@atelier.example"), "{article}");
    for (path, cookie) in [("/dashboard", admin.cookie.as_str()), ("/dashboard/nowhere", ""), ("/login", "")]
    {
        let team = page(&app, path, cookie).await;
        assert!(team.body.contains(" · Réservation</title>"), "{path}");
        assert!(!team.body.contains("Atelier") && !team.body.contains("accent.css"), "{path}");
    }

    // The colour comes as a style sheet of our own, and is legible in both themes.
    let home = page(&app, "/", "").await.body;
    let at = home.find("/accent.css\"").unwrap();
    let start = home[..at].rfind("/assets/").unwrap();
    let sheet = app.get(&format!("{}/accent.css", &home[start..at])).await;
    assert_eq!(sheet.headers["content-type"], "text/css; charset=utf-8");
    assert_eq!(sheet.headers["cache-control"], "public, max-age=31536000, immutable");
    let (light, dark) = sheet.body.split_once("prefers-color-scheme:dark").unwrap();
    assert!(dark.contains("--act:#ffee00") && !light.contains("#ffee00"), "{}", sheet.body);
    assert!(!home.contains(" style=") && !home.contains("<style"));
}

async fn a_text_of_the_shops_own_has_a_page_and_a_link_leads_to_where_it_is(db: TestDatabase) {
    let app = TestApp::start(&db).await;
    let admin = app.person(Role::Admin).await;
    for path in ["/terms", "/cancellation", "/privacy", "/legal"] {
        assert_eq!(page(&app, path, "").await.status, 404, "{path}");
    }
    assert_eq!(put(&app, &admin.cookie, &whole()).await.status, 200);
    let terms = page(&app, "/terms", "").await;
    assert!(terms.body.contains("<h1>Conditions de vente</h1>"), "{}", terms.body);
    assert!(
        terms.body.contains("<p>Article 1<br>Tout va &#60;b&#62;bien&#60;/b&#62;.</p>\n<p>Article 2</p>"),
        "{}",
        terms.body
    );
    let english = send(app.http.get(format!("{}/legal?lang=en", app.url)).header("accept", BROWSER)).await;
    assert!(english.body.contains("<h1>Legal notice</h1>"));
    let link = page(&app, "/cancellation", "").await;
    assert_eq!(
        (link.status, link.headers["location"].to_str().unwrap()),
        (303, "https://atelier.example/annuler?x=1")
    );
    // However it is made up, a page stays below 50 KB.
    for text in ["<".repeat(TEXT_BYTES / 5), "a\n\n".repeat(TEXT_BYTES / 11), "a\n".repeat(TEXT_BYTES / 6)] {
        let mut body = whole();
        body["privacy"] = text.into();
        assert_eq!(put(&app, &admin.cookie, &body).await.status, 200);
        for (path, cookie) in [("/privacy", ""), ("/dashboard/business/privacy", admin.cookie.as_str())] {
            let shown = page(&app, path, cookie).await;
            assert!(shown.status == 200 && shown.body.len() < 50_000, "{path}: {}", shown.body.len());
        }
    }
}

async fn in_production_what_is_missing_is_told_until_it_is_said(db: TestDatabase) {
    let app = TestApp::start_with(&db, &PRODUCTION, "http://127.0.0.1:1").await;
    let admin = app.person(Role::Admin).await;
    let reader = app.person(Role::ReadOnly).await;
    let finding = async || {
        let findings = doctor::examine(&app.app).await;
        let found = findings.into_iter().find(|finding| finding.check == "business").unwrap();
        (found.status, format!("{} {}", found.message, found.fix.unwrap_or_default()))
    };
    assert!(page(&app, "/", "").await.body.contains(" · pay.test</title>"), "the host at least");
    let (status, text) = finding().await;
    assert_eq!(status, doctor::Health::Warn);
    for part in ["name", "address", "terms", "legal", "https://pay.test/dashboard/business"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let dashboard = page(&app, "/dashboard", &admin.cookie).await.body;
    assert!(dashboard.contains("id=\"missing\"") && dashboard.contains("Mentions légales"), "{dashboard}");
    assert!(!page(&app, "/dashboard", &reader.cookie).await.body.contains("id=\"missing\""));
    assert_eq!(put(&app, &admin.cookie, &whole()).await.status, 200);
    assert_eq!(finding().await.0, doctor::Health::Ok);
    assert!(!page(&app, "/dashboard", &admin.cookie).await.body.contains("id=\"missing\""));
    assert!(page(&app, "/", "").await.body.contains(" · Atelier"));
    drop(app);
    db.execute("delete from settings").await;
    let local = TestApp::start(&db).await;
    let findings = doctor::examine(&local.app).await;
    let found = findings.iter().find(|finding| finding.check == "business").unwrap();
    assert_eq!(found.status, doctor::Health::Ok, "development only mentions it");
}

async fn what_another_instance_saved_is_shown_within_seconds(db: TestDatabase) {
    let (one, other) = (TestApp::start(&db).await, TestApp::start(&db).await);
    let admin = one.person(Role::Admin).await;
    assert!(!page(&other, "/", "").await.body.contains("Atelier"));
    assert_eq!(put(&one, &admin.cookie, &whole()).await.status, 200);
    assert!(page(&one, "/", "").await.body.contains("Atelier"));
    other.clock.advance(Duration::from_secs(6));
    assert!(page(&other, "/", "").await.body.contains("Atelier"));
    // And stays there when the database goes.
    other.app.store.close().await;
    other.clock.advance(Duration::from_secs(6));
    let statement = page(&other, "/accessibility", "").await;
    assert!(statement.status == 200 && statement.body.contains("Atelier"));
}

/// A folder with the file and a logo beside it.
fn folder(body: &Value) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("business.json"), body.to_string()).unwrap();
    std::fs::write(folder.path().join("logo.png"), png()).unwrap();
    folder
}

async fn the_file_of_the_first_start_is_taken_once(db: TestDatabase) {
    let mut body = whole();
    body["logo"] = "logo.png".into();
    let folder = folder(&body);
    let file = folder.path().join("business.json");
    let variables = [("BUSINESS_FILE", file.to_str().unwrap())];
    let app = TestApp::start_with(&db, &variables, "http://127.0.0.1:1").await;
    assert!(business::first_start(&app.app).await.unwrap());
    let admin = app.person(Role::Admin).await;
    let read = app.get_as(&admin.cookie, PATH).await.json();
    assert_eq!((&read["missing"], &read["logo"]["width"]), (&json!([]), &json!(1)));
    // What somebody says since is not undone by the next start.
    assert_eq!(put(&app, &admin.cookie, &json!({ "name": "Another" })).await.status, 200);
    assert!(!business::first_start(&app.app).await.unwrap());
    assert_eq!(app.get_as(&admin.cookie, PATH).await.json()["name"], "Another");
    assert_eq!(audited(&app, &admin.cookie).await.len(), 2);
}

async fn a_customers_receipt_says_who_sold(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let admin = shop.app.person(Role::Admin).await;
    assert_eq!(put(&shop.app, &admin.cookie, &whole()).await.status, 200);
    let checkout = shop.paid().await;
    let booking = shop.booking(&checkout).await;
    let own = page(&shop.app, &bookings::own_path(&shop.app.app.config, &booking), "").await;
    let receipt = own.body.split("id=\"receipt-title\"").nth(1).unwrap();
    assert!(
        receipt.contains("Vendu par</dt><dd>Atelier &#60;Nord&#62;<span class=\"sub\">1 rue du Port</span>")
    );
    let result = page(&shop.app, &format!("/success?session_id={}", checkout.session), "").await;
    assert!(result.body.contains("<span>Atelier &#60;Nord&#62;</span>"), "{}", result.body);
}

fn config_with(file: &std::path::Path) -> Result<Config, ConfigError> {
    let folder = tempfile::tempdir().unwrap();
    let database = format!("sqlite://{}/checkout.db", folder.path().display());
    let vars = [("DATABASE_URL", database.as_str()), ("BUSINESS_FILE", file.to_str().unwrap())];
    let vars: BTreeMap<_, _> = vars.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    Config::from_vars(&vars)
}

#[test]
fn a_file_that_cannot_be_used_is_a_mistake_with_every_fault_in_it() {
    for (body, says) in [
        (
            json!({ "name": "", "accent": "red;}", "terms": "javascript:alert(1)" }),
            vec!["name: ", "accent: ", "terms: "],
        ),
        (json!({ "name": "Atelier", "nmae": "Atelier" }), vec!["nmae"]),
        (json!({ "name": "Atelier", "logo": "business.json" }), vec!["logo: must be a PNG"]),
        (json!({ "name": "Atelier", "logo": "nowhere.png" }), vec!["logo: "]),
        (json!({ "name": "Atelier", "logo": 7 }), vec!["logo: "]),
        (json!({ "name": 7 }), vec!["string"]),
        (json!(["Atelier"]), vec!["must hold a JSON object"]),
    ] {
        let folder = folder(&body);
        let ConfigError(mistakes) = config_with(&folder.path().join("business.json")).unwrap_err();
        assert_eq!((mistakes.len(), mistakes[0].name.as_str()), (1, "BUSINESS_FILE"), "{body}");
        for part in says {
            assert!(mistakes[0].message.contains(part), "{body}: {}", mistakes[0].message);
        }
    }
    let nowhere = config_with(std::path::Path::new("/nowhere/business.json")).unwrap_err();
    assert_eq!(nowhere.0[0].name, "BUSINESS_FILE");
    let folder = folder(&whole());
    std::fs::write(folder.path().join("business.json"), "name: Atelier").unwrap();
    assert!(config_with(&folder.path().join("business.json")).is_err());
}

#[tokio::test]
async fn a_faulty_file_refuses_the_start_as_misuse() {
    let folder = folder(&json!({ "name": "Atelier", "accent": "red;}" }));
    let refused = tokio::process::Command::new(env!("CARGO_BIN_EXE_checkout-backend"))
        .current_dir(folder.path())
        .env_clear()
        .env("BUSINESS_FILE", "business.json")
        .output()
        .await
        .unwrap();
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    let talk = String::from_utf8(refused.stderr).unwrap();
    assert!(talk.contains("BUSINESS_FILE") && talk.contains("accent: must be a colour"), "{talk}");
}

#[tokio::test]
async fn the_service_takes_the_file_at_its_first_start() {
    let mut body = whole();
    body["logo"] = "logo.png".into();
    let folder = folder(&body);
    let file = folder.path().join("business.json");
    let db = TestDatabase::fresh(Engine::Sqlite).await;
    let variables = [("BUSINESS_FILE", file.to_str().unwrap())];
    let process = TestProcess::start(&db, free_port(), "http://127.0.0.1:1", &variables).await;
    let home = send(process.http.get(format!("{}/", process.url)).header("accept", BROWSER)).await;
    assert!(home.body.contains("Atelier &#60;Nord&#62;</title>"), "{}", home.body);
    process.kill().await;
    db.remove().await;
}

/// The grounds on which the colour must be legible are those of the style sheet.
#[test]
fn the_grounds_of_the_themes_are_those_of_the_style_sheet() {
    let css = include_str!("../../assets/app.css");
    let (light, dark) = css.split_once("prefers-color-scheme: dark").unwrap();
    for (theme, rules) in [(Theme::Light, light), (Theme::Dark, dark)] {
        let [ground, card] = theme.grounds();
        let wanted = format!("--ground: {ground}; --card: {card};");
        assert!(rules.contains(&wanted), "{theme:?}: {wanted}");
    }
}

/// Each form sends a part, and the whole is kept: it is put into what is there by then.
async fn people_who_change_different_parts_at_once_all_keep_theirs(db: TestDatabase) {
    let app = TestApp::start(&db).await;
    let admin = app.person(Role::Admin).await;
    let named =
        crate::hours::post_form(&app, &admin.cookie, "/dashboard/business", &[("name", "Atelier")]).await;
    assert_eq!(named.status, 303, "{}", named.body);
    for round in 0..5 {
        let text = format!("Texts of round {round}.");
        let saved = ["terms", "cancellation", "privacy", "legal"].map(async |name| {
            let path = format!("/dashboard/business/{name}");
            crate::hours::post_form(&app, &admin.cookie, &path, &[(name, &text)]).await.status
        });
        assert_eq!(futures_util::future::join_all(saved).await, [303; 4]);
        let kept = app.get_as(&admin.cookie, "/api/settings/business").await.json();
        for name in ["terms", "cancellation", "privacy", "legal"] {
            assert_eq!(kept[name], text, "{name} of round {round}: {kept}");
        }
    }
}
