//! The pages, as their handlers answer. What browsers make of them is in `tests/browser`.

use crate::harness::app::{Answer, WEBHOOK_SECRET, send};
use crate::harness::{TestApp, TestDatabase, on_each_engine};
use domain::booking::Status;
use domain::role::Role;
use secrecy::SecretString;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use stripe_sim::{ApiFault, ApiFaultKind, Faults, PayOutcome, Sim, SimConfig, WebhookTarget};

on_each_engine! {
    the_storefront_offers_the_hours_that_are_free,
    a_sent_form_leads_to_the_payment_page_by_a_link,
    a_full_slot_is_told_with_what_was_typed,
    a_time_that_was_shown_for_another_day_or_offer_is_not_booked,
    a_time_that_the_form_does_not_offer_is_refused,
    another_slot_gives_the_first_one_up_once_its_payment_page_is_closed,
    a_slot_that_was_paid_meanwhile_is_not_replaced,
    a_slot_that_one_has_paid_is_not_called_taken_by_somebody_else,
    nothing_is_replaced_while_stripe_does_not_say_that_it_is_closed,
    what_is_wrong_is_told_in_the_readers_language,
    only_the_browser_that_made_a_booking_is_shown_it_and_nobody_what_was_typed,
    the_result_page_tells_the_state_and_nothing_personal,
    a_result_page_without_script_rests_after_a_minute,
    the_result_page_asks_stripe_if_the_webhook_is_late,
    a_forged_session_changes_nothing,
    no_text_that_a_customer_types_becomes_markup,
    the_dashboard_sends_strangers_to_the_sign_in_and_back,
    a_role_sees_what_it_may_do_and_no_more,
    a_refund_asks_once_more_and_is_made_once,
    a_refund_that_cannot_be_is_told_before_the_review_with_what_was_typed,
    an_unpaid_booking_is_cancelled_from_its_page,
    a_filter_that_cannot_be_used_is_told_beside_its_field,
    the_day_shows_who_comes_in_the_order_of_the_clock,
    a_customer_is_found_by_a_part_of_name_or_address,
    each_field_of_an_offer_or_account_names_its_own_error,
    a_replay_shows_what_it_would_change_first,
    who_paid_what_does_not_fit_is_told_not_to_pay_again,
    a_case_is_settled_from_its_page,
    domain_values_are_the_same_in_every_language,
    a_dead_database_gives_a_page_that_says_so,
}

struct Shop {
    app: TestApp,
    sim: Sim,
}

impl Shop {
    async fn open(db: &TestDatabase) -> Self {
        Self::open_with(db, false).await
    }

    async fn open_with(db: &TestDatabase, deliver: bool) -> Self {
        let sim = Sim::start(SimConfig::default()).await.unwrap();
        let app = TestApp::start_with(db, &[], &sim.base_url()).await;
        if !deliver {
            return Self { app, sim };
        }
        // Each must know the other's address before it starts: the simulator is started twice.
        let listen = sim.addr();
        sim.shutdown().await;
        let target = WebhookTarget {
            url: format!("{}/webhook", app.url),
            secrets: vec![SecretString::from(WEBHOOK_SECRET)],
            enabled_events: Vec::new(),
        };
        let sim = Sim::start(SimConfig { listen, webhooks: vec![target], ..SimConfig::default() }).await;
        Self { app, sim: sim.unwrap() }
    }

    /// Books as a form does; the answer and the browser's cookie.
    async fn book(&self, fields: &[(&str, &str)], cookie: &str) -> (Answer, String) {
        let answer = self.app.post_form("/", fields, cookie).await;
        let cookie = set_cookies(&answer).remove("hold").unwrap_or_default();
        (answer, format!("hold={cookie}"))
    }

    /// A booking and its session.
    async fn pending(&self, time: &str) -> (String, String, String) {
        let (answer, cookie) = self.book(&wish(time), "").await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let bookings = self.app.db.texts("select id from bookings order by created_at desc").await;
        let session = self
            .app
            .db
            .texts(&format!("select stripe_session_id from bookings where id = '{}'", bookings[0]))
            .await
            .remove(0);
        (bookings[0].clone(), session, cookie)
    }

    /// A paid booking and its session.
    async fn paid(&self, time: &str) -> (String, String) {
        let (booking, session, _) = self.pending(time).await;
        assert_eq!(self.sim.pay(&session, "4242424242424242").await.unwrap(), PayOutcome::Paid);
        let page = self.app.page(&format!("/success?session_id={session}"), "").await;
        assert!(page.body.contains("data-status=\"payé\""), "{}", page.body);
        (booking, session)
    }
}

impl TestApp {
    /// A page, as a browser asks for it.
    async fn page(&self, path: &str, cookie: &str) -> Answer {
        self.page_in("fr-FR,fr;q=0.9", path, cookie).await
    }

    async fn page_in(&self, languages: &str, path: &str, cookie: &str) -> Answer {
        let request = self.http.get(format!("{}{path}", self.url)).header("accept-language", languages);
        send(request.header("accept", BROWSER).header("cookie", cookie)).await
    }

    /// A form, as a browser sends it.
    async fn post_form(&self, path: &str, fields: &[(&str, &str)], cookie: &str) -> Answer {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let request = self.http.post(format!("{}{path}", self.url)).body(body);
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        send(
            request
                .header("accept", BROWSER)
                .header("sec-fetch-site", "same-origin")
                .header("cookie", cookie),
        )
        .await
    }
}

const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
const DAY: &str = "2031-03-03";

fn wish(time: &str) -> [(&'static str, &str); 5] {
    [
        ("firstName", "Ada"),
        ("lastName", "Lovelace"),
        ("email", "ada@example.org"),
        ("date", DAY),
        ("time", time),
    ]
}

fn set_cookies(answer: &Answer) -> BTreeMap<String, String> {
    let values = answer.headers.get_all("set-cookie").iter().map(|value| value.to_str().unwrap());
    values
        .filter_map(|value| value.split(';').next()?.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// The value of a field that nobody sees.
fn hidden(page: &Answer, name: &str) -> String {
    let start = format!("<input type=\"hidden\" name=\"{name}\" value=\"");
    let (_, rest) = page.body.split_once(&start).unwrap_or_else(|| panic!("no {name} in {}", page.body));
    rest.split('"').next().unwrap().to_owned()
}

/// The whole tag of the slot's radio button.
fn slot<'a>(page: &'a Answer, time: &str) -> &'a str {
    let start = page.body.find(&format!("value=\"{time}\"")).unwrap_or_else(|| panic!("no slot {time}"));
    let end = page.body[start..].find("</label>").unwrap();
    &page.body[start..start + end]
}

/// What a link or redirect of the page leads to.
fn location(answer: &Answer) -> &str {
    answer.headers["location"].to_str().unwrap()
}

async fn the_storefront_offers_the_hours_that_are_free(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    shop.pending("10:00").await;
    let page = shop.app.page(&format!("/?date={DAY}"), "").await;
    assert_eq!(page.status, 200);
    assert!(page.body.contains("<html lang=\"fr\">"));
    assert!(page.body.contains("60,00\u{202f}€"));
    assert!(slot(&page, "10:00").contains("disabled") && slot(&page, "10:00").contains("complet"));
    for hour in [9, 11, 18] {
        assert!(!slot(&page, &format!("{hour:02}:00")).contains("disabled"));
    }
    let yesterday = shop.app.page("/?date=2020-01-01", "").await;
    assert!(slot(&yesterday, "12:00").contains("disabled") && slot(&yesterday, "12:00").contains("passé"));
    for date in ["", "nonsense", "2031-02-31", "%01", "9999-12-31"] {
        assert_eq!(shop.app.page(&format!("/?date={date}&offer=x"), "").await.status, 200, "{date}");
    }
    assert_eq!(page.headers["cache-control"], "no-store");

    db.execute("update offers set grid = '08:15 20:45', capacity = 3").await;
    let page = shop.app.page(&format!("/?date={DAY}"), "").await;
    assert!(slot(&page, "08:15").contains("3 places"));
    assert!(!page.body.contains("value=\"10:00\""));
    db.execute("update offers set active = false").await;
    assert!(shop.app.page("/", "").await.body.contains("Rien à réserver"));
}

async fn a_sent_form_leads_to_the_payment_page_by_a_link(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let (answer, cookie) = shop.book(&wish("10:00"), "").await;
    assert_eq!(answer.status, 200);
    let url = db.texts("select session_url from bookings").await.remove(0);
    assert!(answer.body.contains(&format!("content=\"0;url={url}\"")), "{}", answer.body);
    assert!(answer.body.contains(&format!("href=\"{url}\"")));
    assert!(cookie.len() > 40);
    // Sent twice, or resumed: the same seat, the same session.
    let (again, _) = shop.book(&wish("10:00"), &cookie).await;
    assert!(again.body.contains(&url));
    let resumed = shop.app.post_form("/resume", &[], &cookie).await;
    assert!(resumed.body.contains(&url));
    assert_eq!(db.number("select count(*) from bookings").await, 1);
    let stranger = shop.app.post_form("/resume", &[], "").await;
    assert_eq!((stranger.status, location(&stranger)), (303, "/"));
}

async fn a_full_slot_is_told_with_what_was_typed(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    shop.pending("10:00").await;
    let (answer, _) = shop.book(&wish("10:00"), "").await;
    assert_eq!(answer.status, 409);
    assert!(answer.body.contains("role=\"alert\"") && answer.body.contains("vient d’être pris"));
    assert!(answer.body.contains("value=\"ada@example.org\""));
    assert!(slot(&answer, "10:00").contains("disabled"));
    assert!(!slot(&answer, "11:00").contains("disabled"));
}

async fn a_time_that_was_shown_for_another_day_or_offer_is_not_booked(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let page = shop.app.page(&format!("/?date={DAY}"), "").await;
    let (offer, shown) = (hidden(&page, "offer"), hidden(&page, "shown"));
    let send = async |date: &str, offer: &str, shown: &str| {
        let mut fields = wish("10:00").to_vec();
        fields[3].1 = date;
        fields.extend([("offer", offer), ("shown", shown)]);
        shop.book(&fields, "").await.0
    };
    // The day was changed, by hand or by a browser that came back; the times are the other day's.
    let refused = send("2031-03-04", &offer, &shown).await;
    assert_eq!(refused.status, 400);
    assert!(refused.body.contains("Le jour ou la prestation a changé"), "{}", refused.body);
    assert!(refused.body.contains("data-date=\"2031-03-04\"") && refused.body.contains("ada@example.org"));
    assert!(!slot(&refused, "10:00").contains("checked"), "it was chosen for another day");
    // The same with another offer, and with a page that says nothing sensible.
    let admin = shop.app.person(Role::Admin).await;
    let fields =
        [("name", "Massage"), ("amount", "75"), ("currency", "EUR"), ("capacity", "1"), ("active", "yes")];
    assert_eq!(shop.app.post_form("/dashboard/offers", &fields, &admin.cookie).await.status, 303);
    let other = db.texts("select id from offers where name = 'Massage'").await.remove(0);
    for (offer, shown) in [(other.as_str(), shown.as_str()), (&offer, ""), (&offer, "x"), ("", &shown)] {
        let refused = send(DAY, offer, shown).await;
        assert_eq!(refused.status, 400, "{offer} {shown}");
        assert!(refused.body.contains("Le jour ou la prestation a changé"));
    }
    assert_eq!(db.number("select count(*) from bookings").await, 0);
    // What the answer shows can be booked.
    let booked = send("2031-03-04", &offer, &hidden(&refused, "shown")).await;
    assert_eq!(booked.status, 200, "{}", booked.body);
    assert_eq!(db.texts("select slot_date from bookings").await, ["2031-03-04"]);
}

async fn a_time_that_the_form_does_not_offer_is_refused(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    for time in ["10:17", " 10:17 ", "08:00", "19:00", "00:00"] {
        let mut fields = wish(time).to_vec();
        fields[2].1 = "x";
        let (refused, _) = shop.book(&fields, "").await;
        assert_eq!(refused.status, 400, "{time}");
        for text in ["Cette heure n’est pas proposée.", "nom@exemple.fr"] {
            assert!(refused.body.contains(text), "{time}: {text}");
        }
        assert_eq!(shop.book(&wish(time), "").await.0.status, 400, "{time}");
    }
    assert_eq!(db.number("select count(*) from bookings").await, 0);
    // A program may take any time, and its customer comes back to it here.
    let body = json!({
        "firstName": "Ada", "lastName": "Lovelace", "email": "ada@example.org", "date": DAY, "time": "10:17",
    });
    let answer = shop.app.post_json("/api/bookings", &body, &[]).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let cookie = format!("hold={}", set_cookies(&answer)["hold"]);
    let resumed = shop.app.post_form("/resume", &[], &cookie).await;
    assert!(resumed.body.contains(answer.json()["url"].as_str().unwrap()), "{}", resumed.body);
}

/// The status of every session, the oldest booking's first.
async fn session_states(shop: &Shop) -> Vec<String> {
    let sessions =
        "select stripe_session_id from bookings where stripe_session_id is not null order by created_at";
    let sessions = shop.app.db.texts(sessions).await;
    let status = |id: &String| shop.sim.object(id).unwrap()["status"].as_str().unwrap().to_owned();
    sessions.iter().map(status).collect()
}

async fn another_slot_gives_the_first_one_up_once_its_payment_page_is_closed(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let statuses = "select slot_time || ' ' || status from bookings order by created_at";
    let (_, _, cookie) = shop.pending("16:00").await;
    let form = shop.app.page("/", &cookie).await;
    assert!(form.body.contains("Si vous choisissez un autre créneau, celui-ci sera libéré."));
    // What the customer holds is not lost to a slot that is full.
    shop.pending("17:00").await;
    assert_eq!(shop.book(&wish("17:00"), &cookie).await.0.status, 409);
    assert_eq!(db.texts(statuses).await, ["16:00 en attente", "17:00 en attente"]);

    let (answer, _) = shop.book(&wish("18:00"), &cookie).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(db.texts(statuses).await, ["16:00 expiré", "17:00 en attente", "18:00 en attente"]);
    assert_eq!(session_states(&shop).await, ["expired", "open", "open"], "and nobody else's is touched");
    let page = shop.app.page(&format!("/?date={DAY}"), "").await;
    assert!(!slot(&page, "16:00").contains("disabled"), "free for others");
    // And back again, by a new booking; the one that was changed to is given up in turn.
    assert_eq!(shop.book(&wish("16:00"), &cookie).await.0.status, 200);
    assert_eq!(session_states(&shop).await, ["expired", "open", "expired", "open"]);

    // A program says itself what it wants: its second booking is a second one.
    let body = json!({
        "firstName": "Ada", "lastName": "Lovelace", "email": "ada@example.org", "date": DAY, "time": "10:00",
    });
    assert_eq!(shop.app.post_json("/api/bookings", &body, &[("cookie", &cookie)]).await.status, 200);
    assert_eq!(session_states(&shop).await, ["expired", "open", "expired", "open", "open"]);
    // The page that a customer takes up again is the one that counts.
    assert_eq!(shop.book(&wish("16:00"), &cookie).await.0.status, 200);
    assert_eq!(session_states(&shop).await, ["expired", "open", "expired", "open", "expired"]);
}

/// In a second tab, whose form is older than the payment in the first.
async fn a_slot_that_one_has_paid_is_not_called_taken_by_somebody_else(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let (_, session, cookie) = shop.pending("10:00").await;
    assert_eq!(shop.sim.pay(&session, "4242424242424242").await.unwrap(), PayOutcome::Paid);
    shop.app.page(&format!("/success?session_id={session}"), "").await;
    for (cookie, said) in [(cookie.as_str(), "déjà payée"), ("", "vient d’être pris")] {
        let (again, _) = shop.book(&wish("10:00"), cookie).await;
        assert_eq!((again.status, again.body.contains(said)), (409, true), "{said}: {}", again.body);
    }
    // The same time of another offer was taken by somebody else indeed.
    let other = "01890a5d-ac96-774b-bcce-b302099a8057";
    db.execute(&format!(
        "insert into offers (id, name, amount, currency, capacity, active, grid, created_at, updated_at)
         select '{other}', 'Massage', amount, currency, capacity, active, grid, created_at + 1, updated_at from offers"
    ))
    .await;
    let fields = [&wish("10:00")[..], &[("offer", other)]].concat();
    assert_eq!(shop.book(&fields, "").await.0.status, 200);
    let (full, _) = shop.book(&fields, &cookie).await;
    assert_eq!((full.status, full.body.contains("vient d’être pris")), (409, true), "{}", full.body);
}

async fn a_slot_that_was_paid_meanwhile_is_not_replaced(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let (_, session, cookie) = shop.pending("16:00").await;
    // Paid in another tab; no webhook has told us yet.
    assert_eq!(shop.sim.pay(&session, "4242424242424242").await.unwrap(), PayOutcome::Paid);
    let (answer, _) = shop.book(&wish("18:00"), &cookie).await;
    assert_eq!(answer.status, 409);
    let told = "Votre place du lundi 3 mars 2031 à 16:00 est déjà payée";
    assert!(answer.body.contains(told), "{}", answer.body);
    assert!(!answer.body.contains("/c/pay/"), "no second payment page");
    let statuses = db.texts("select slot_time || ' ' || status from bookings order by created_at").await;
    assert_eq!(statuses, ["16:00 payé", "18:00 expiré"]);
    assert!(session_states(&shop).await.iter().all(|status| status != "open"));
    // Who wants another one besides gets it: nothing unpaid is held any more.
    assert_eq!(shop.book(&wish("18:00"), &cookie).await.0.status, 200);
}

async fn nothing_is_replaced_while_stripe_does_not_say_that_it_is_closed(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let (_, _, cookie) = shop.pending("16:00").await;
    let fault = ApiFault {
        kind: ApiFaultKind::ResetBefore,
        method: Some("POST".to_owned()),
        path: Some("/v1/checkout/sessions/".to_owned()),
        percent: 100,
        next: None,
        ms: 0,
    };
    shop.sim.set_faults(Faults { api: vec![fault], ..Faults::default() });
    let (answer, _) = shop.book(&wish("18:00"), &cookie).await;
    assert_eq!(answer.status, 503);
    assert!(answer.body.contains("Votre place reste gardée") && !answer.body.contains("/c/pay/"));
    let statuses = "select slot_time || ' ' || status from bookings order by created_at";
    assert_eq!(db.texts(statuses).await, ["16:00 en attente", "18:00 en attente"]);
    assert_eq!(session_states(&shop).await, ["open"], "the first can be paid, the second not yet");
    shop.sim.set_faults(Faults::default());
    assert_eq!(shop.book(&wish("18:00"), &cookie).await.0.status, 200);
    assert_eq!(db.texts(statuses).await, ["16:00 expiré", "18:00 en attente"]);
    assert_eq!(session_states(&shop).await, ["expired", "open"]);
}

async fn what_is_wrong_is_told_in_the_readers_language(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let (answer, _) = shop.book(&[("email", "<nobody>")], "").await;
    assert_eq!(answer.status, 400);
    for text in ["Indiquez votre prénom.", "Indiquez votre nom.", "Choisissez une heure.", "nom@exemple.fr"]
    {
        assert!(answer.body.contains(text), "{text}");
    }
    assert!(answer.body.contains("value=\"&#60;nobody&#62;\""));
    let (answer, _) = shop.book(&[("email", "x")], "lang=en").await;
    assert!(answer.body.contains("Enter your first name.") && answer.body.contains("<html lang=\"en\">"));
    assert_eq!(db.number("select count(*) from bookings").await, 0);

    let chosen = shop.app.page_in("fr", "/?lang=en", "").await;
    assert!(chosen.body.contains("<html lang=\"en\">"));
    assert_eq!(set_cookies(&chosen)["lang"], "en");
    for (languages, cookie, expected) in [
        ("", "", "fr"),
        ("de-DE,en;q=0.5", "", "en"),
        ("en-US", "lang=fr", "fr"),
        ("en-US", "lang=xx", "en"),
        ("zh", "", "fr"),
    ] {
        let page = shop.app.page_in(languages, "/", cookie).await;
        assert!(page.body.contains(&format!("<html lang=\"{expected}\">")), "{languages} {cookie}");
    }
}

async fn only_the_browser_that_made_a_booking_is_shown_it_and_nobody_what_was_typed(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let (_, session, cookie) = shop.pending("10:00").await;
    for path in ["/", "/cancel"] {
        let own = shop.app.page(path, &cookie).await;
        assert!(own.body.contains("gardée jusqu’à"), "{path}");
        assert!(!shop.app.page(path, "").await.body.contains("gardée jusqu’à"));
    }
    // Not even its own browser: a cookie can be somebody else's.
    let own = shop.app.page("/", &cookie).await.body;
    assert!(!own.contains("ada@example.org") && !own.contains("Lovelace"));
    for other in ["", "hold=x", &format!("hold={}", "A".repeat(43))] {
        assert!(!shop.app.page("/", other).await.body.contains("ada@example.org"));
    }
    // Once it is paid nothing is filled in any more.
    assert_eq!(shop.sim.pay(&session, "4242424242424242").await.unwrap(), PayOutcome::Paid);
    shop.app.page(&format!("/success?session_id={session}"), "").await;
    assert!(!shop.app.page("/", &cookie).await.body.contains("ada@example.org"));
    assert!(shop.app.page("/cancel", &cookie).await.body.contains(&format!("session_id={session}")));
}

async fn the_result_page_tells_the_state_and_nothing_personal(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let (booking, session, _) = shop.pending("10:00").await;
    let path = format!("/success?session_id={session}");
    for status in Status::ALL.iter().take(6).filter(|status| **status != Status::Paid) {
        db.execute(&format!("update bookings set status = '{status}'")).await;
        let page = shop.app.page(&path, "").await;
        assert_eq!(page.status, 200);
        assert!(page.body.contains(&format!("data-status=\"{status}\"")), "{status}");
        let unsettled = matches!(status, Status::Pending | Status::Processing);
        assert_eq!(page.body.contains("data-poll"), unsettled);
        let label = match status {
            Status::Pending => "<dt>À payer</dt>",
            _ => "<dt>Prix</dt>",
        };
        assert!(page.body.contains(label), "{status}: nothing is to be paid unless it can be");
        assert!(page.body.contains(&booking));
        assert!(!page.body.contains("Lovelace") && !page.body.contains("example.org"));
    }
}

async fn a_result_page_without_script_rests_after_a_minute(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let (_, session, _) = shop.pending("10:00").await;
    let mut path = format!("/success?session_id={session}");
    let link = format!("href=\"{path}\">Actualiser</a>");
    let mut looks = 0;
    loop {
        let page = shop.app.page(&path, "").await;
        assert_eq!(page.status, 200);
        let Some((_, next)) = page.body.split_once("<noscript><meta http-equiv=\"refresh\" content=\"5;url=")
        else {
            assert!(page.body.contains(&link), "{}", page.body);
            break;
        };
        assert!(!page.body.contains(&link));
        path = next.split('"').next().unwrap().replace("&#38;", "&");
        looks += 1;
        assert!(looks < 50, "it never rests");
    }
    assert_eq!(looks, 12);
    // A delayed payment takes days: the reader asks. And no address breaks the page.
    for looks in ["", "x", "-1", "999"] {
        let page = shop.app.page(&format!("/success?session_id={session}&looks={looks}"), "").await;
        assert_eq!(page.status, 200, "{looks}");
    }
    db.execute("update bookings set status = 'en traitement'").await;
    let page = shop.app.page(&format!("/success?session_id={session}"), "").await;
    assert!(page.body.contains(&link) && !page.body.contains("http-equiv=\"refresh\""));
}

async fn the_result_page_asks_stripe_if_the_webhook_is_late(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let (_, session, _) = shop.pending("10:00").await;
    let path = format!("/success?session_id={session}");
    assert!(shop.app.page(&path, "").await.body.contains("data-status=\"en attente\""));
    assert_eq!(shop.sim.pay(&session, "4242424242424242").await.unwrap(), PayOutcome::Paid);
    // Stripe is asked once in five seconds for each session, however often the page is loaded.
    let asked = || {
        let log = shop.sim.request_log();
        log.iter().filter(|request| request.path.contains(&session) && request.method == "GET").count()
    };
    let before = asked();
    for _ in 0..5 {
        assert!(shop.app.page(&path, "").await.body.contains("data-status=\"en attente\""));
    }
    assert_eq!(asked(), before);
    shop.app.clock.advance(std::time::Duration::from_secs(6));
    assert!(shop.app.page(&path, "").await.body.contains("data-status=\"payé\""));
    assert_eq!(asked(), before + 1);
}

/// S22
async fn a_forged_session_changes_nothing(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    shop.pending("10:00").await;
    let before = db.texts("select status || updated_at from bookings").await;
    let asked = shop.sim.request_log().len();
    for query in ["", "?session_id=", "?session_id=cs_test_forged", "?session_id=%01%ff", "?session_id=../x"]
    {
        let page = shop.app.page(&format!("/success{query}"), "").await;
        assert_eq!(page.status, 404, "{query}");
        assert!(page.body.contains("Réservation introuvable"), "{query}");
    }
    assert_eq!(db.texts("select status || updated_at from bookings").await, before);
    assert_eq!(shop.sim.request_log().len(), asked);
}

/// S27
async fn no_text_that_a_customer_types_becomes_markup(db: TestDatabase) {
    let payloads = [
        "<script>alert(1)</script>",
        "\"><script>alert(1)</script>",
        "'><img src=x onerror=alert(1)>",
        "<svg/onload=alert(1)>",
        "</title><script>alert(1)</script>",
        "</textarea><script>alert(1)</script>",
        "<iframe src=javascript:alert(1)>",
        "\" autofocus onfocus=alert(1) x=\"",
        "' onmouseover='alert(1)",
        "{{7*7}}",
        "{% include \"x\" %}",
        "<!--<script>-->",
        "&lt;script&gt;alert(1)&lt;/script&gt;",
        "<a href=\"javascript:alert(1)\">x</a>",
        "<math><mi//xlink:href=\"data:x,<script>alert(1)</script>\">",
        "<style>@import'//evil.example'</style>",
        "<base href=//evil.example>",
        "<meta http-equiv=refresh content=0;url=//evil.example>",
        "<b>x</b>",
        "`${alert(1)}`<x>",
    ];
    let shop = Shop::open(&db).await;
    let admin = shop.app.person(Role::Admin).await;
    db.execute("update offers set capacity = 100").await;
    let mut pages = vec!["/dashboard".to_owned()];
    let mut holds = Vec::new();
    for payload in payloads {
        let mut fields = wish("10:00");
        (fields[0].1, fields[1].1) = (payload, payload);
        let (answer, hold) = shop.book(&fields, "").await;
        assert_eq!(answer.status, 200, "{payload}");
        holds.push(hold);
        let fields =
            [("name", payload), ("amount", "10"), ("currency", "EUR"), ("capacity", "1"), ("active", "yes")];
        assert_eq!(
            shop.app.post_form("/dashboard/offers", &fields, &admin.cookie).await.status,
            303,
            "{payload}"
        );
    }
    let ids = db.texts("select id from bookings").await;
    pages.extend(ids.iter().map(|id| format!("/dashboard/bookings/{id}")));
    pages.extend(["/dashboard/offers", "/dashboard/audit", "/"].map(str::to_owned));
    let mut bodies = Vec::new();
    for path in &pages {
        bodies.push(shop.app.page(path, &admin.cookie).await);
    }
    for hold in &holds {
        bodies.push(shop.app.page("/", hold).await);
        bodies.push(shop.app.page("/cancel", hold).await);
    }
    for body in &bodies {
        assert_eq!(body.status, 200);
        for raw in [
            "<script>alert",
            "<img",
            "<svg/",
            "<iframe",
            "<a href=\"javascript",
            "<math",
            "<style",
            "<base",
            "<meta http-equiv=refresh",
            "<!--<script",
            "<b>x",
            "<x>",
        ] {
            assert!(!body.body.contains(raw), "{raw} in {}", body.body);
        }
        // An attribute that was broken out of would hold a bare quote before the handler.
        assert!(!body.body.contains("\" autofocus onfocus=") && !body.body.contains("' onmouseover='"));
    }
}

/// S25
async fn the_dashboard_sends_strangers_to_the_sign_in_and_back(db: TestDatabase) {
    let app = TestApp::start(&db).await;
    let asked = app.page("/dashboard/cases?state=closed", "").await;
    assert_eq!((asked.status, location(&asked)), (303, "/login?next=%2Fdashboard%2Fcases%3Fstate%3Dclosed"));
    let person = app.person(Role::Ops).await;
    let form = app.page(location(&asked), "").await;
    assert!(form.body.contains("value=\"/dashboard/cases?state=closed\""));
    assert!(
        form.body.contains("autocomplete=\"username\"")
            && form.body.contains("autocomplete=\"current-password\"")
    );

    let wrong = [("email", person.email.as_str()), ("password", "wrong"), ("next", "/dashboard")];
    let wrong = app.post_form("/login", &wrong, "").await;
    assert_eq!(wrong.status, 401);
    assert!(wrong.body.contains("Identifiants invalides") && wrong.body.contains(&person.email));
    for (next, expected) in [
        ("/dashboard/cases?state=closed", "/dashboard/cases?state=closed"),
        ("//evil.example", "/dashboard"),
        ("https://evil.example/dashboard", "/dashboard"),
        ("/\\evil.example", "/dashboard"),
    ] {
        let right = [
            ("email", person.email.as_str()),
            ("password", crate::harness::people::PASSWORD),
            ("next", next),
        ];
        let right = app.post_form("/login", &right, "").await;
        assert_eq!((right.status, location(&right)), (303, expected));
        let cookie = format!("sid={}", set_cookies(&right)["sid"]);
        assert_eq!(app.page("/dashboard", &cookie).await.status, 200);
        let out = app.post_form("/logout", &[], &cookie).await;
        assert_eq!((out.status, location(&out)), (303, "/login?signed_out=yes"));
        assert_eq!(app.page("/dashboard", &cookie).await.status, 303);
    }
    // Another site's form does nothing.
    let foreign = app.http.post(format!("{}/logout", app.url)).header("sec-fetch-site", "cross-site");
    assert_eq!(send(foreign.header("cookie", &person.cookie)).await.status, 403);
    assert_eq!(app.page("/dashboard", &person.cookie).await.status, 200);
}

async fn a_role_sees_what_it_may_do_and_no_more(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let (booking, _) = shop.paid("10:00").await;
    let path = format!("/dashboard/bookings/{booking}");
    for role in Role::ALL {
        let person = shop.app.person(role).await;
        let page = shop.app.page(&path, &person.cookie).await;
        assert_eq!(page.status, 200);
        assert_eq!(page.headers["cache-control"], "no-store");
        assert_eq!(page.body.contains("/refund\""), role == Role::Admin, "{role}");
        assert_eq!(page.body.contains("/dashboard/users"), role == Role::Admin, "{role}");
        assert_eq!(page.body.contains("/dashboard/cases"), role.allows(Role::Ops), "{role}");
        let users = shop.app.page("/dashboard/users", &person.cookie).await;
        assert_eq!(users.status, if role == Role::Admin { 200 } else { 403 });
        if role != Role::Admin {
            assert!(users.body.contains("Accès refusé"));
            let id = users.headers["x-request-id"].to_str().unwrap();
            assert!(users.body.contains(id), "the page names the request");
        }
    }
}

async fn a_refund_asks_once_more_and_is_made_once(db: TestDatabase) {
    let shop = Shop::open_with(&db, true).await;
    let admin = shop.app.person(Role::Admin).await;
    let (booking, _) = shop.paid("10:00").await;
    let path = format!("/dashboard/bookings/{booking}/refund");
    let post = |fields: Vec<(&'static str, &'static str)>| {
        let (app, path, cookie) = (&shop.app, &path, &admin.cookie);
        async move { app.post_form(path, &fields, cookie).await }
    };
    for amount in ["", "0.001", "-1", "x", "1e3"] {
        let refused = post(vec![("key", "k"), ("amount", amount), ("confirmed", "yes")]).await;
        assert_eq!(refused.status, 400, "{amount}");
    }
    assert_eq!(post(vec![("key", "k"), ("amount", "60,01"), ("confirmed", "yes")]).await.status, 409);
    let question = post(vec![("key", "k1"), ("amount", "12,50")]).await;
    assert_eq!(question.status, 200);
    assert!(question.body.contains("Rembourser 12,50\u{202f}€\u{202f}?"));
    assert_eq!(db.number("select count(*) from refunds").await, 0);
    for _ in 0..3 {
        let made = post(vec![("key", "k1"), ("amount", "12.50"), ("confirmed", "yes")]).await;
        assert_eq!(made.status, 303, "{}", made.body);
    }
    crate::harness::eventually("the refund is known", async || {
        db.number("select count(*) from refunds").await == 1
    })
    .await;
    let page = shop.app.page(&format!("/dashboard/bookings/{booking}?done=refund"), &admin.cookie).await;
    assert!(page.body.contains("Le remboursement a été demandé"));
    assert!(page.body.contains("partiellement remboursé") && page.body.contains("value=\"47,50\""));
}

async fn a_refund_that_cannot_be_is_told_before_the_review_with_what_was_typed(db: TestDatabase) {
    let shop = Shop::open_with(&db, true).await;
    let admin = shop.app.person(Role::Admin).await;
    let (booking, _) = shop.paid("10:00").await;
    let path = format!("/dashboard/bookings/{booking}/refund");
    for (amount, status, text) in [
        ("0", 400, "au-dessus de zéro"),
        ("douze", 400, "au-dessus de zéro"),
        ("1000", 409, "Il ne reste pas autant à rembourser."),
        ("60,01", 409, "Il ne reste pas autant à rembourser."),
    ] {
        let refused = shop.app.post_form(&path, &[("key", "k"), ("amount", amount)], &admin.cookie).await;
        assert_eq!(refused.status, status, "{amount}");
        assert!(refused.body.contains("<p class=\"error\" id=\"amount-error\">"), "{amount}");
        assert!(refused.body.contains(text) && refused.body.contains("href=\"#amount\""), "{amount}");
        assert!(refused.body.contains(&format!("value=\"{amount}\"")), "{amount} is still there");
        assert!(!refused.body.contains("name=\"confirmed\""), "{amount}");
    }
    // The review says what becomes of the seat.
    let (freed, kept) = ("la place sera libérée", "garde sa place");
    for (amount, says, not) in [("60", freed, kept), ("59,99", kept, freed)] {
        let review = shop.app.post_form(&path, &[("key", "k"), ("amount", amount)], &admin.cookie).await;
        assert_eq!(review.status, 200, "{amount}");
        assert!(review.body.contains(says) && !review.body.contains(not), "{amount}");
    }
    // What is under way counts: of the rest, all is all.
    let fields = [("key", "k1"), ("amount", "12.50"), ("confirmed", "yes")];
    assert_eq!(shop.app.post_form(&path, &fields, &admin.cookie).await.status, 303);
    crate::harness::eventually("the refund is known", async || {
        db.number("select count(*) from refunds").await == 1
    })
    .await;
    let review = async |amount: &str| {
        shop.app.post_form(&path, &[("key", "k2"), ("amount", amount)], &admin.cookie).await
    };
    assert!(review("47,50").await.body.contains(freed));
    assert_eq!(review("47,51").await.status, 409);
}

async fn an_unpaid_booking_is_cancelled_from_its_page(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let admin = shop.app.person(Role::Admin).await;
    let (booking, session, _) = shop.pending("10:00").await;
    let path = format!("/dashboard/bookings/{booking}");
    assert!(shop.app.page(&path, &admin.cookie).await.body.contains("/cancel\""));
    let review = shop.app.post_form(&format!("{path}/cancel"), &[], &admin.cookie).await;
    assert_eq!(review.status, 200);
    assert!(
        review.body.contains("Annuler cette réservation\u{202f}?") && review.body.contains("Ada Lovelace")
    );
    assert_eq!(db.texts("select status from bookings").await, ["en attente"], "only asked");
    let sure = [("confirmed", "yes")];
    let done = shop.app.post_form(&format!("{path}/cancel"), &sure, &admin.cookie).await;
    assert_eq!((done.status, location(&done)), (303, format!("{path}?done=cancel").as_str()));
    assert_eq!(db.texts("select status from bookings").await, ["annulé"]);
    assert_eq!(shop.sim.object(&session).unwrap()["status"], "expired");
    let (paid, _) = shop.paid("11:00").await;
    for fields in [&sure[..], &[]] {
        let path = format!("/dashboard/bookings/{paid}/cancel");
        assert_eq!(shop.app.post_form(&path, fields, &admin.cookie).await.status, 409);
    }
}

async fn a_filter_that_cannot_be_used_is_told_beside_its_field(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let (booking, _) = shop.paid("10:00").await;
    let reader = shop.app.person(Role::ReadOnly).await;
    for (path, id, fr, en) in [
        (
            "/dashboard/ledger?bookingId=abc",
            "bookingId",
            "Donnez la référence complète",
            "Give the booking’s whole reference",
        ),
        ("/dashboard/ledger?outcome=abc", "outcome", "Choisissez une valeur", "Choose a value"),
        ("/dashboard?date=abc", "date", "Donnez une date du calendrier", "Give a date of the calendar"),
        ("/dashboard?status=abc", "status", "Choisissez une valeur", "Choose a value"),
    ] {
        for (lang, text) in [("fr", fr), ("en", en)] {
            let page = shop.app.page_in(lang, path, &reader.cookie).await;
            assert_eq!(page.status, 400, "{path}");
            assert!(page.body.contains(&format!("id=\"{id}-error\">{text}")), "{path} {lang}: {}", page.body);
            assert!(page.body.contains(&format!("aria-describedby=\"{id}-error\"")), "{path}");
            assert!(page.body.contains(&format!("href=\"#{id}\"")), "{path}");
            assert!(!page.body.contains(&booking), "{path}: a filter that is not understood shows nothing");
        }
    }
    let typed = shop.app.page("/dashboard/ledger?bookingId=abc", &reader.cookie).await;
    assert!(typed.body.contains("value=\"abc\""), "it can be corrected");
    for path in ["/dashboard?nonsense=1", "/dashboard/ledger?next=nonsense"] {
        let page = shop.app.page(path, &reader.cookie).await;
        assert_eq!(page.status, 400, "{path}");
        assert!(page.body.contains("filtre inutilisable") && !page.body.contains(&booking), "{path}");
    }
    let page = shop.app.page(&format!("/dashboard/ledger?bookingId={booking}"), &reader.cookie).await;
    assert_eq!((page.status, page.body.contains("class=\"error\"")), (200, false));
}

async fn the_day_shows_who_comes_in_the_order_of_the_clock(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let reader = shop.app.person(Role::ReadOnly).await;
    let path = format!("/dashboard/day?date={DAY}");
    let empty = shop.app.page(&path, &reader.cookie).await;
    assert_eq!(empty.status, 200);
    assert!(empty.body.contains("Personne n’est attendu") && empty.body.contains("lundi 3 mars 2031"));
    for (time, name) in [("14:00", "Béa"), ("09:00", "Chloé"), ("11:00", "Denis"), ("10:00", "Émile")] {
        let (booking, _) = shop.paid(time).await;
        db.execute(&format!("update bookings set first_name = '{name}' where id = '{booking}'")).await;
    }
    // Not there: who has not paid, whose seat was given back, and another day's.
    shop.pending("16:00").await;
    db.execute("update bookings set status = 'annulé', seat = null where first_name = 'Denis'").await;
    let mut tomorrow = wish("09:00");
    (tomorrow[0].1, tomorrow[3].1) = ("Zoé", "2031-03-04");
    assert_eq!(shop.book(&tomorrow, "").await.0.status, 200);

    let page = shop.app.page(&path, &reader.cookie).await;
    let places: Vec<Option<usize>> = ["Chloé Lovelace", "Émile Lovelace", "Béa Lovelace"]
        .iter()
        .map(|name| page.body.find(name))
        .collect();
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{places:?} in {}", page.body);
    for absent in ["Denis", "Zoé", "Ada"] {
        assert!(!page.body.contains(absent), "{absent}");
    }
    assert!(page.body.contains("1 place de plus est gardée pendant un paiement."));
    assert!(page.body.contains("?date=2031-03-02\"") && page.body.contains("?date=2031-03-04\""));
    let unreadable = shop.app.page("/dashboard/day?date=abc", &reader.cookie).await;
    assert_eq!(unreadable.status, 400);
    assert!(unreadable.body.contains("id=\"date-error\""));
    assert_eq!(shop.app.page("/dashboard/day", &reader.cookie).await.status, 200);
}

async fn a_customer_is_found_by_a_part_of_name_or_address(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let reader = shop.app.person(Role::ReadOnly).await;
    for (time, first, last, email) in [
        ("09:00", "Élodie", "Martin", "elodie.m@example.org"),
        ("10:00", "Grace", "Hopper", "Grace_H@Example.org"),
        ("11:00", "100% Bob", "O'Neil", "bob@example.net"),
    ] {
        let fields =
            [("firstName", first), ("lastName", last), ("email", email), ("date", DAY), ("time", time)];
        assert_eq!(shop.book(&fields, "").await.0.status, 200, "{first}");
    }
    let names = ["Élodie Martin", "Grace Hopper", "100% Bob O&#39;Neil"];
    for (who, found) in [
        ("martin", vec![0]),
        ("Élodie", vec![0]),
        ("CE HOP", vec![1]),
        ("grace_h@", vec![1]),
        ("EXAMPLE.ORG", vec![0, 1]),
        ("o'neil", vec![2]),
        // Signs of the database's own are only signs.
        ("100%", vec![2]),
        ("e_h", vec![1]),
        ("!", vec![]),
        ("nobody", vec![]),
        ("", vec![0, 1, 2]),
    ] {
        let query = form_urlencoded::Serializer::new(String::new()).append_pair("who", who).finish();
        let page = shop.app.page(&format!("/dashboard?{query}"), &reader.cookie).await;
        assert_eq!(page.status, 200, "{who}");
        let shown: Vec<usize> = (0..names.len()).filter(|n| page.body.contains(names[*n])).collect();
        assert_eq!(shown, found, "{who}");
    }
}

async fn each_field_of_an_offer_or_account_names_its_own_error(db: TestDatabase) {
    let app = TestApp::start(&db).await;
    let admin = app.person(Role::Admin).await;
    let fields = [
        ("name", " "),
        ("amount", "douze"),
        ("currency", "XYZ"),
        ("capacity", "0"),
        ("grid", "9h 10:00 <midi> 25:00"),
    ];
    let page = app.post_form("/dashboard/offers", &fields, &admin.cookie).await;
    assert_eq!(page.status, 400);
    for (field, typed) in fields {
        let error = format!("<p class=\"error\" id=\"{field}-error\">");
        assert_eq!(page.body.matches(&error).count(), 1, "{field}: {}", page.body);
        assert_eq!(page.body.matches(&format!("href=\"#{field}\"")).count(), 1, "{field}");
        assert!(
            page.body.contains(&format!("{field}-error\" aria-invalid=\"true\""))
                || page.body.contains(&format!("aria-invalid=\"true\" aria-describedby=\"{field}-error\"")),
            "{field}"
        );
        assert!(field == "grid" || page.body.contains(&format!("value=\"{}\"", typed.trim())), "{field}");
    }
    let named = "À écrire comme 09:00\u{202f}: «\u{202f}&#60;midi&#62;\u{202f}», «\u{202f}25:00\u{202f}».";
    assert!(page.body.contains(named), "{}", page.body);
    // A readable amount is not blamed for a currency that is none.
    let fields = [("name", "x"), ("amount", "12,50"), ("currency", "XYZ"), ("capacity", "1")];
    let page = app.post_form("/dashboard/offers", &fields, &admin.cookie).await;
    assert!(page.body.contains("id=\"currency-error\"") && !page.body.contains("id=\"amount-error\""));

    let fields = [("email", "x"), ("password", "short"), ("role", "OPS")];
    let page = app.post_form("/dashboard/users", &fields, &admin.cookie).await;
    assert_eq!(page.status, 400);
    assert!(page.body.contains("aria-invalid=\"true\" aria-describedby=\"email-error\""), "{}", page.body);
    assert!(page.body.contains("aria-describedby=\"password-hint password-error\" aria-invalid=\"true\""));
    assert!(page.body.contains("id=\"email-error\">") && page.body.contains("id=\"password-error\">"));
    let path = format!("/dashboard/users/{}/password", admin.id);
    let page = app.post_form(&path, &[("password", "short")], &admin.cookie).await;
    assert_eq!(page.status, 400);
    assert!(page.body.contains("aria-describedby=\"password-hint password-error\" aria-invalid=\"true\""));
}

async fn a_replay_shows_what_it_would_change_first(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let ops = shop.app.person(Role::Ops).await;
    shop.paid("10:00").await;
    let id = db.texts("select id from payment_events").await.remove(0);
    let path = format!("/dashboard/ledger/{id}");
    let page = shop.app.page(&path, &ops.cookie).await;
    assert!(page.body.contains("/replay\"") && page.body.contains("<pre"));
    let preview = shop.app.post_form(&format!("{path}/replay"), &[], &ops.cookie).await;
    assert_eq!(preview.status, 200);
    assert!(preview.body.contains("Rien ne changerait."), "{}", preview.body);
    let replays = "select count(*) from audit_log where action = 'event.replayed'";
    assert_eq!(db.number(replays).await, 0);
    let replayed = shop.app.post_form(&format!("{path}/replay"), &[("confirmed", "yes")], &ops.cookie).await;
    assert_eq!((replayed.status, location(&replayed)), (303, format!("{path}?done=replay").as_str()));
    assert_eq!(db.number(replays).await, 1);
    assert_eq!(db.texts("select status from bookings").await, ["payé"]);
}

/// Who paid and is told that nothing was charged pays again.
async fn who_paid_what_does_not_fit_is_told_not_to_pay_again(db: TestDatabase) {
    let shop = crate::shop::Shop::open(&db).await;
    let admin = shop.app.person(Role::Admin).await;
    let checkout = shop.book().await;
    shop.pay(&checkout, crate::shop::VISA).await;
    // The price that was agreed on was another.
    db.execute("update bookings set amount = 7000").await;
    let path = format!("/success?session_id={}", checkout.session);
    let look = async || shop.app.page_in("fr", &path, "").await.body;
    let page = look().await;
    assert!(page.contains("Ne payez pas une deuxième fois"), "{page}");
    for wrong in ["Rien n’a été débité", "Réserver à nouveau", "À payer", "data-poll", "http-equiv"]
    {
        assert!(!page.contains(wrong), "{wrong}: {page}");
    }
    let case = db.texts("select id from cases").await.remove(0);
    let fields = [("action", "refund"), ("confirmed", "yes")];
    assert_eq!(
        shop.app.post_form(&format!("/dashboard/cases/{case}"), &fields, &admin.cookie).await.status,
        303
    );
    let page = look().await;
    assert!(
        page.contains("Votre paiement vous est rendu") && !page.contains("Rien n’a été débité"),
        "{page}"
    );
    let closed = shop.app.page_in("fr", &format!("/dashboard/cases/{case}"), &admin.cookie).await.body;
    assert!(closed.contains("Rembourser ce paiement."), "{closed}");

    // Settled in another way: what is not known here is not said.
    db.execute("update cases set resolution = 'dismiss'").await;
    let page = look().await;
    assert!(page.contains("Votre paiement a été examiné") && !page.contains("Rien n’a été débité"), "{page}");

    // What was given back of a payment that fits is told as well.
    let paid = shop.paid().await;
    db.execute(&format!("update bookings set amount = 6000 where id = '{}'", paid.booking)).await;
    checkout_backend::flow::refund::refund(
        &shop.app.app,
        paid.booking,
        Some(1550),
        "part",
        crate::shop::ADMIN,
    )
    .await
    .unwrap();
    let page = shop.app.page_in("fr", &format!("/success?session_id={}", paid.session), "").await.body;
    assert!(page.contains("15,50"), "{page}");
}

async fn a_case_is_settled_from_its_page(db: TestDatabase) {
    let app = TestApp::start(&db).await;
    let (ops, admin) = (app.person(Role::Ops).await, app.person(Role::Admin).await);
    let booking = app.pending_booking().await;
    app.attach(&booking, "cs_test_1").await;
    let mut event = app.paid("evt_1", &booking, "cs_test_1");
    event["data"]["object"]["amount_total"] = json!(1);
    event["data"]["object"]["amount_subtotal"] = json!(1);
    assert_eq!(app.deliver(&event).await.outcome(), "case");
    let id = db.texts("select id from cases").await.remove(0);
    let path = format!("/dashboard/cases/{id}");
    assert!(app.page("/dashboard/cases", &ops.cookie).await.body.contains(&path));
    let page = app.page(&path, &ops.cookie).await;
    assert!(page.body.contains("value=\"dismiss\"") && page.body.contains("Réservé au rôle ADMIN."));
    assert!(!page.body.contains("value=\"accept\""));
    for (lang, said, other) in [
        ("fr", "le sous-total est un autre", "the subtotal is another"),
        ("en", "the subtotal is another", "le sous-total est un autre"),
    ] {
        for path in ["/dashboard/cases", &path, &format!("/dashboard/bookings/{}", booking.id)] {
            let page = app.page_in(lang, path, &ops.cookie).await.body;
            assert!(page.contains(said) && !page.contains(other), "{path} in {lang}: {page}");
        }
    }
    assert!(app.page(&path, &admin.cookie).await.body.contains("value=\"accept\""));
    for (fields, status) in [
        (vec![("action", "dismiss")], 400),
        (vec![("action", "accept")], 403),
        (vec![("action", "attach"), ("bookingId", "nonsense")], 409),
        (vec![("action", "explode")], 400),
    ] {
        assert_eq!(app.post_form(&path, &fields, &ops.cookie).await.status, status, "{fields:?}");
    }
    assert_eq!(db.number("select count(*) from cases where closed_at is null").await, 1);
    let fields = [("action", "dismiss"), ("note", "Réglé <au téléphone>")];
    assert_eq!(app.post_form(&path, &fields, &ops.cookie).await.status, 303);
    assert_eq!(db.number("select count(*) from cases where closed_at is null").await, 0);
    let closed = app.page(&path, &ops.cookie).await;
    assert!(
        closed.body.contains("Réglé &#60;au téléphone&#62;") && !closed.body.contains("value=\"dismiss\"")
    );
    assert!(app.page("/dashboard/cases?state=closed", &ops.cookie).await.body.contains(&path));
}

async fn domain_values_are_the_same_in_every_language(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let reader = shop.app.person(Role::ReadOnly).await;
    let (booking, session) = shop.paid("10:00").await;
    for path in [format!("/api/bookings/{booking}"), format!("/api/checkout/{session}")] {
        let mut answers = Vec::new();
        for lang in ["fr", "en"] {
            let request =
                shop.app.http.get(format!("{}{path}?", shop.app.url)).header("accept-language", lang);
            let answer = send(request.header("cookie", format!("{}; lang={lang}", reader.cookie))).await;
            answers.push(answer.json());
        }
        assert_eq!(answers[0], answers[1], "{path}");
        assert_eq!(answers[0]["status"], Value::from("payé"));
    }
    let page = shop.app.page_in("en", &format!("/dashboard/bookings/{booking}"), &reader.cookie).await;
    assert!(page.body.contains(">paid<"));
}

async fn a_dead_database_gives_a_page_that_says_so(db: TestDatabase) {
    let app = TestApp::start(&db).await;
    let admin = app.person(Role::Admin).await;
    app.app.store.close().await;
    for path in ["/", "/cancel", "/success?session_id=cs_test_1", "/dashboard", "/login"] {
        let cookie = format!("{}; hold={}", admin.cookie, "A".repeat(43));
        let page = app.page(path, &cookie).await;
        assert_eq!(page.status, 503, "{path}");
        assert!(page.body.contains("Service momentanément indisponible"), "{path}");
        assert!(page.headers.contains_key("retry-after"));
        assert!(
            !page.body.to_lowercase().contains("sqlite") && !page.body.to_lowercase().contains("postgres")
        );
    }
    assert_eq!(app.page("/accessibility", "").await.status, 200);
    let answer = app.post_form("/", &wish("10:00"), "").await;
    assert_eq!(answer.status, 503);
}

#[tokio::test]
async fn style_and_script_are_kept_for_ever_under_an_address_of_their_content() {
    let db = TestDatabase::fresh(crate::harness::Engine::Sqlite).await;
    let app = TestApp::start(&db).await;
    let page = app.page("/", "").await;
    for name in ["app.css", "app.js", "icon.svg"] {
        let end = page.body.find(&format!("/{name}\"")).unwrap();
        let start = page.body[..end].rfind("/assets/").unwrap();
        let path = format!("{}/{name}", &page.body[start..end]);
        let file = app.get(&path).await;
        assert_eq!(file.status, 200);
        assert_eq!(file.headers["cache-control"], "public, max-age=31536000, immutable");
        let etag = file.headers["etag"].to_str().unwrap();
        let request = app.http.get(format!("{}{path}", app.url)).header("if-none-match", etag);
        let again = send(request).await;
        assert_eq!((again.status, again.body.len()), (304, 0));
        let old = app.get(&format!("/assets/0123456789abcdef/{name}")).await;
        assert_eq!((old.status, old.headers["cache-control"].to_str().unwrap()), (200, "no-cache"));
    }
    assert_eq!(app.get("/assets/0/nothing.css").await.status, 404);
    // Programs are told in JSON, browsers on a page.
    assert!(app.page("/nowhere", "").await.body.contains("Page introuvable"));
    assert_eq!(app.get("/nowhere").await.json()["error"], "Not found");
    db.remove().await;
}

#[tokio::test]
async fn no_page_holds_a_script_or_a_style_of_its_own() {
    let db = TestDatabase::fresh(crate::harness::Engine::Sqlite).await;
    let app = TestApp::start(&db).await;
    let admin = app.person(Role::Admin).await;
    let paths = [
        "/",
        "/cancel",
        "/login",
        "/success",
        "/accessibility",
        "/dashboard",
        "/dashboard/day",
        "/dashboard/ledger",
        "/dashboard/cases",
        "/dashboard/offers",
        "/dashboard/offers/new",
        "/dashboard/business",
        "/dashboard/users",
        "/dashboard/audit",
        "/dashboard/metrics",
    ];
    for path in paths {
        let page = app.page(path, &admin.cookie).await;
        let body = page.body.to_lowercase();
        for inline in
            ["<style", " style=", "javascript:", " onclick=", " onload=", "<script>", "http://", "https://"]
        {
            assert!(!body.contains(inline), "{inline} in {path}");
        }
    }
    db.remove().await;
}
