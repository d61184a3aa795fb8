//! When it is open: what can be booked is shown, and what cannot is refused by the name of the rule.

use crate::harness::app::{Answer, send};
use crate::harness::{Engine, TestApp, TestDatabase, on_each_engine};
use crate::shop::{Shop, VISA};
use domain::role::Role;
use jiff::ToSpan;
use jiff::civil::Date;
use serde_json::{Value, json};

on_each_engine! {
    everybody_sees_what_can_be_booked_and_an_admin_sees_all,
    free_slots_are_those_that_a_booking_may_have,
    a_question_about_slots_names_what_is_wrong_with_it,
    a_booking_outside_the_hours_is_refused_by_the_name_of_the_rule,
    offers_that_need_the_same_person_are_not_sold_for_the_same_time,
    two_who_want_the_same_person_at_once_do_not_both_get_her,
    many_who_want_one_person_in_two_offers_at_once_all_get_their_times,
    a_late_payment_is_not_seated_again_beside_what_its_person_does_now,
    hours_that_overlap_are_refused_and_nothing_is_saved,
    closing_a_day_with_bookings_on_it_tells_and_cancels_nothing,
    hours_are_typed_into_a_form_as_people_write_them,
    only_free_days_of_the_month_can_be_pressed,
    other_sites_may_read_offers_and_slots_and_change_nothing,
}

async fn put(app: &TestApp, cookie: &str, path: &str, body: &Value) -> Answer {
    let request = app.http.put(format!("{}{path}", app.url)).header("cookie", cookie);
    send(request.header("content-type", "application/json").body(body.to_string())).await
}

async fn first_offer(app: &TestApp) -> String {
    app.get("/api/offers").await.json()["items"][0]["id"].as_str().unwrap().to_owned()
}

/// A Monday that is some weeks ahead and in no clock change.
fn monday(app: &TestApp) -> Date {
    let today = app.app.config.timezone.to_datetime(app.clock.now().to_jiff()).date();
    let mut day = today.saturating_add(21.days());
    while day.weekday() != jiff::civil::Weekday::Monday
        || domain::holidays::Holidays::France.on(day).is_some()
    {
        day = day.saturating_add(1.day());
    }
    day
}

fn booking(date: Date, time: &str, offer: &str) -> Value {
    json!({ "firstName": "Ada", "lastName": "Lovelace", "email": "ada@example.org", "date": date.to_string(), "time": time, "offer": offer })
}

fn times(answer: &Answer, date: Date) -> Vec<String> {
    let json = answer.json();
    let days = json["days"].as_array().unwrap();
    let day = days.iter().find(|day| day["date"] == date.to_string()).unwrap();
    day["slots"].as_array().unwrap().iter().map(|slot| slot["time"].as_str().unwrap().to_owned()).collect()
}

async fn slots(app: &TestApp, offer: &str, from: Date, to: Date) -> Answer {
    app.get(&format!("/api/slots?offer={offer}&from={from}&to={to}")).await
}

async fn everybody_sees_what_can_be_booked_and_an_admin_sees_all(db: TestDatabase) {
    let app = TestApp::start(&db).await;
    let admin = app.person(Role::Admin).await;
    let reader = app.person(Role::ReadOnly).await;
    let body = json!({ "name": "Atelier", "amount": 1000, "currency": "eur", "active": false, "durationMinutes": 90 });
    let made = app.post_json("/api/offers", &body, &[("cookie", &admin.cookie)]).await;
    assert_eq!(made.json()["durationMinutes"], 90, "{}", made.body);
    for answer in [app.get("/api/offers").await, app.get_as(&reader.cookie, "/api/offers").await] {
        assert_eq!(answer.status, 200);
        assert!(answer.headers["cache-control"].to_str().unwrap().contains("public"));
        let items = answer.json()["items"].as_array().unwrap().clone();
        assert_eq!(items.len(), 1);
        let mut members: Vec<_> = items[0].as_object().unwrap().keys().cloned().collect();
        members.sort_unstable();
        assert_eq!(members, ["amount", "currency", "durationMinutes", "id", "name"]);
    }
    let all = app.get_as(&admin.cookie, "/api/offers").await;
    assert_eq!(all.headers["cache-control"], "no-store");
    assert_eq!(all.json()["items"].as_array().unwrap().len(), 2);
    assert_eq!(all.json()["items"][1]["active"], false);
    assert_eq!(app.post_json("/api/offers", &body, &[]).await.status, 401);
    // What is not said in a change stays as it was.
    let id = made.json()["id"].as_str().unwrap().to_owned();
    let request = app.http.patch(format!("{}/api/offers/{id}", app.url)).header("cookie", &admin.cookie);
    let body = json!({ "resource": " Anna ", "stepMinutes": 30 });
    let changed =
        send(request.header("content-type", "application/json").body(body.to_string())).await.json();
    assert_eq!(
        (&changed["durationMinutes"], &changed["stepMinutes"], &changed["resource"]),
        (&json!(90), &json!(30), &json!("anna"))
    );
}

async fn free_slots_are_those_that_a_booking_may_have(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let admin = shop.app.person(Role::Admin).await;
    let (offer, day) = (first_offer(&shop.app).await, monday(&shop.app));
    // Nothing is set: the hours of the storefront.
    let before = slots(&shop.app, &offer, day, day).await;
    assert_eq!(before.status, 200, "{}", before.body);
    assert_eq!(before.json()["timezone"], "Europe/Paris");
    assert_eq!(times(&before, day).len(), 10);
    let body = json!({ "weekly": { "monday": ["9h-12h", "14:00-16:00"] } });
    assert_eq!(put(&shop.app, &admin.cookie, "/api/hours", &body).await.status, 200);
    let sunday = day.saturating_sub(1.day());
    let now = slots(&shop.app, &offer, sunday, day).await;
    assert_eq!(times(&now, day), ["09:00", "10:00", "11:00", "14:00", "15:00"]);
    assert!(times(&now, sunday).is_empty());
    let slot = now.json()["days"][1]["slots"][0].clone();
    assert_eq!(slot["seatsLeft"], 1);
    assert!(slot["startsAt"].as_str().unwrap().ends_with('Z'));
    // What is taken is gone; everything that is shown can be booked.
    for time in times(&now, day) {
        let booked = shop.app.post_json("/api/bookings", &booking(day, &time, &offer), &[]).await;
        assert_eq!(booked.status, 200, "{time}: {}", booked.body);
    }
    assert!(times(&slots(&shop.app, &offer, day, day).await, day).is_empty());
}

async fn a_question_about_slots_names_what_is_wrong_with_it(db: TestDatabase) {
    let app = TestApp::start(&db).await;
    let offer = first_offer(&app).await;
    for (query, paths) in [
        ("".to_owned(), vec!["from", "offer", "to"]),
        (format!("offer={offer}&from=2026-13-01&to=tomorrow"), vec!["from", "to"]),
        (format!("offer={offer}&from=2027-01-02&to=2027-01-01"), vec!["to"]),
        (format!("offer={offer}&from=2027-01-01&to=2027-03-04"), vec!["to"]),
        (format!("offer={offer}&from=0001-01-01&to=9999-12-31"), vec!["to"]),
        ("offer=one&from=2027-01-01&to=2027-01-02".to_owned(), vec!["offer"]),
        (format!("offer={offer}&from=2027-01-01&to=2027-01-02&seats=2"), vec!["seats"]),
    ] {
        let answer = app.get(&format!("/api/slots?{query}")).await;
        assert_eq!(answer.status, 400, "{query}: {}", answer.body);
        let details = answer.json()["details"].as_array().unwrap().clone();
        let mut found: Vec<_> =
            details.iter().map(|fault| fault["path"].as_str().unwrap().to_owned()).collect();
        found.sort_unstable();
        assert_eq!(found, paths, "{query}");
    }
    let query = "from=2027-01-01&to=2027-03-03";
    assert_eq!(app.get(&format!("/api/slots?offer={offer}&{query}")).await.status, 200, "62 days");
    let unknown = domain::ids::OfferId::from(clock::new_id());
    assert_eq!(app.get(&format!("/api/slots?offer={unknown}&{query}")).await.status, 404);
    let past = app.get(&format!("/api/slots?offer={offer}&from=2020-01-01&to=2020-01-31")).await.json();
    assert!(past["days"].as_array().unwrap().iter().all(|day| day["slots"] == json!([])));
    let far = app.get(&format!("/api/slots?offer={offer}&from=9999-12-01&to=9999-12-31")).await;
    assert_eq!(far.status, 200, "{}", far.body);
}

async fn a_booking_outside_the_hours_is_refused_by_the_name_of_the_rule(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let admin = shop.app.person(Role::Admin).await;
    let (offer, day) = (first_offer(&shop.app).await, monday(&shop.app));
    let closed = day.saturating_add(1.day());
    let holiday = (0..400)
        .map(|n: i32| day.saturating_add(n.days()))
        .find(|day| domain::holidays::Holidays::France.on(*day).is_some())
        .unwrap();
    let body = json!({
        "weekly": domain::hours::Week::DAYS.iter().map(|day| ((*day).to_owned(), json!(["09:00-12:00"]))).collect::<serde_json::Map<_, _>>(),
        "closed": [{ "from": closed.to_string(), "note": "fête" }],
        "holidays": "FR", "noticeMinutes": 60 * 24, "horizonDays": 450,
    });
    let saved = put(&shop.app, &admin.cookie, "/api/hours", &body).await;
    assert_eq!(saved.status, 200, "{}", saved.body);
    let far = shop
        .app
        .app
        .config
        .timezone
        .to_datetime(shop.app.clock.now().to_jiff())
        .date()
        .saturating_add(460.days());
    for (date, time, path, word) in [
        (day, "12:00", "time", "opening hours"),
        (day, "03:17", "time", "opening hours"),
        (day, "09:30", "time", "one of the times"),
        (closed, "09:00", "date", "closing day"),
        (holiday, "09:00", "date", "public holiday"),
        (far, "09:00", "date", "too far"),
    ] {
        let answer = shop.app.post_json("/api/bookings", &booking(date, time, &offer), &[]).await;
        assert_eq!(answer.status, 400, "{date} {time}: {}", answer.body);
        let fault = &answer.json()["details"][0];
        assert_eq!(fault["path"], path, "{date} {time}");
        assert!(fault["message"].as_str().unwrap().contains(word), "{date} {time}: {fault}");
    }
    let soon = json!({ "noticeMinutes": 60 * 24 * 50 });
    assert_eq!(put(&shop.app, &admin.cookie, &format!("/api/offers/{offer}/hours"), &soon).await.status, 200);
    let answer = shop.app.post_json("/api/bookings", &booking(day, "09:00", &offer), &[]).await;
    assert!(answer.status == 400 && answer.body.contains("too soon"), "{}", answer.body);
    assert_eq!(db.number("select count(*) from bookings").await, 0);
}

async fn two_offers_of_anna(shop: &Shop) -> (String, String) {
    let admin = shop.app.person(Role::Admin).await;
    let mut ids = Vec::new();
    for (name, minutes) in [("Massage", 60), ("Bilan", 30)] {
        let body = json!({ "name": name, "amount": 5000, "currency": "eur", "durationMinutes": minutes, "resource": "Anna" });
        let made = shop.app.post_json("/api/offers", &body, &[("cookie", &admin.cookie)]).await;
        ids.push(made.json()["id"].as_str().unwrap().to_owned());
    }
    (ids[0].clone(), ids[1].clone())
}

async fn offers_that_need_the_same_person_are_not_sold_for_the_same_time(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let (massage, check) = two_offers_of_anna(&shop).await;
    let day = monday(&shop.app);
    let book = async |offer: &str, time: &str| {
        shop.app.post_json("/api/bookings", &booking(day, time, offer), &[]).await.status
    };
    assert_eq!(book(&massage, "10:00").await, 200);
    for (time, status) in
        [("09:45", 409), ("10:00", 409), ("10:30", 409), ("10:59", 409), ("11:00", 200), ("09:30", 200)]
    {
        assert_eq!(book(&check, time).await, status, "{time}");
    }
    let free = times(&slots(&shop.app, &check, day, day).await, day);
    assert!(
        !free.contains(&"10:00".to_owned())
            && !free.contains(&"11:00".to_owned())
            && free.contains(&"12:00".to_owned()),
        "{free:?}"
    );
}

async fn two_who_want_the_same_person_at_once_do_not_both_get_her(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let (massage, check) = two_offers_of_anna(&shop).await;
    let day = monday(&shop.app);
    for hour in 9..17 {
        let both = [(massage.as_str(), format!("{hour:02}:00")), (check.as_str(), format!("{hour:02}:30"))];
        let both = both.into_iter().map(|(offer, time)| {
            let app = &shop.app;
            async move { app.post_json("/api/bookings", &booking(day, &time, offer), &[]).await.status }
        });
        let mut answers = futures_util::future::join_all(both).await;
        answers.sort_unstable();
        assert_eq!(answers, [200, 409], "{hour}");
    }
}

async fn many_who_want_one_person_in_two_offers_at_once_all_get_their_times(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    // On PostgreSQL half of them come to another instance.
    let another = match db.engine {
        Engine::Postgres => Some(shop.another().await),
        Engine::Sqlite => None,
    };
    let (massage, check) = two_offers_of_anna(&shop).await;
    let monday = monday(&shop.app);
    let wishes = (0..5).flat_map(|day| (9..17).map(move |hour| (day, hour)));
    let answers = futures_util::future::join_all(wishes.enumerate().map(async |(n, (day, hour))| {
        let offer = if hour % 2 == 0 { &massage } else { &check };
        let app = another.as_ref().filter(|_| n % 4 < 2).unwrap_or(&shop.app);
        let wish = booking(monday.saturating_add(day.days()), &format!("{hour:02}:00"), offer);
        app.post_json("/api/bookings", &wish, &[]).await
    }))
    .await;
    let refused: Vec<_> = answers.iter().filter(|answer| answer.status != 200).collect();
    assert!(refused.is_empty(), "{} were refused, as {:?}", refused.len(), refused[0]);
    db.assert_sound().await;
}

async fn a_late_payment_is_not_seated_again_beside_what_its_person_does_now(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let (massage, check) = two_offers_of_anna(&shop).await;
    let day = monday(&shop.app);
    let made = shop.app.post_json("/api/bookings", &booking(day, "10:00", &massage), &[]).await.json();
    let id = domain::ids::BookingId::parse(made["bookingId"].as_str().unwrap()).unwrap();
    let session = made["stripeSessionId"].as_str().unwrap();
    let late = shop.app.booking(id).await;
    let mut expired = shop.app.paid("evt_late_1", &late, session);
    expired["type"] = json!("checkout.session.expired");
    expired["data"]["object"]["payment_status"] = json!("unpaid");
    assert_eq!(shop.app.deliver(&expired).await.outcome(), "processed");
    let other = shop.app.post_json("/api/bookings", &booking(day, "10:30", &check), &[]).await;
    assert_eq!(other.status, 200, "{}", other.body);
    assert_eq!(shop.app.deliver(&shop.app.paid("evt_late_2", &late, session)).await.outcome(), "case");
    assert_eq!(shop.app.booking(id).await.seat, None);
    assert_eq!(db.texts("select kind from cases").await, ["late_payment"]);
}

async fn hours_that_overlap_are_refused_and_nothing_is_saved(db: TestDatabase) {
    let app = TestApp::start(&db).await;
    let admin = app.person(Role::Admin).await;
    for (body, paths) in [
        (
            json!({ "weekly": { "monday": ["09:00-12:00", "11:00-14:00"], "friday": ["9-12", "12-13"] } }),
            vec!["weekly.monday"],
        ),
        (
            json!({ "weekly": { "monday": ["12:00-09:00"], "someday": [] } }),
            vec!["weekly.monday", "weekly.someday"],
        ),
        (json!({ "weekly": [] }), vec!["weekly"]),
        (json!({ "closed": [{ "from": "2026-12-31", "to": "2026-12-24" }] }), vec!["closed"]),
        (json!({ "closed": ["soon"] }), vec!["closed"]),
        (
            json!({ "holidays": "XX", "noticeMinutes": -1, "horizonDays": 0, "colour": "red" }),
            vec!["colour", "holidays", "horizonDays", "noticeMinutes"],
        ),
    ] {
        let answer = put(&app, &admin.cookie, "/api/hours", &body).await;
        assert_eq!(answer.status, 400, "{body}: {}", answer.body);
        let details = answer.json()["details"].as_array().unwrap().clone();
        let mut found: Vec<_> =
            details.iter().map(|fault| fault["path"].as_str().unwrap().to_owned()).collect();
        found.sort_unstable();
        assert_eq!(found, paths, "{body}");
    }
    assert_eq!(db.number("select count(*) from settings").await, 0);
    let ops = app.person(Role::Ops).await;
    assert_eq!(put(&app, &ops.cookie, "/api/hours", &json!({})).await.status, 403);
}

async fn closing_a_day_with_bookings_on_it_tells_and_cancels_nothing(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let admin = shop.app.person(Role::Admin).await;
    let checkout = shop.book().await;
    shop.pay(&checkout, VISA).await;
    shop.deliver_all().await;
    let paid = shop.booking(&checkout).await;
    let day = paid.slot.date().to_string();
    let body = json!({ "closed": [{ "from": day }] });
    let answer = put(&shop.app, &admin.cookie, "/api/hours", &body).await;
    assert_eq!(answer.json()["bookingsOnClosedDays"], 1, "{}", answer.body);
    assert_eq!(shop.booking(&checkout).await.status(), paid.status());
    assert!(shop.booking(&checkout).await.seat.is_some());
    assert_eq!(db.number("select count(*) from audit_log where action = 'hours.changed'").await, 1);
    // The answer, sent back, changes nothing.
    assert_eq!(put(&shop.app, &admin.cookie, "/api/hours", &answer.json()).await.status, 200);
    assert_eq!(db.number("select count(*) from audit_log where action = 'hours.changed'").await, 1);
}

pub(crate) async fn post_form(app: &TestApp, cookie: &str, path: &str, fields: &[(&str, &str)]) -> Answer {
    let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let request =
        app.http.post(format!("{}{path}", app.url)).header("cookie", cookie).header("accept", "text/html");
    send(request.header("content-type", "application/x-www-form-urlencoded").body(body)).await
}

async fn hours_are_typed_into_a_form_as_people_write_them(db: TestDatabase) {
    let app = TestApp::start(&db).await;
    let admin = app.person(Role::Admin).await;
    let fields = [
        ("weekly", "yes"),
        ("monday", "9h-12h, 14h–18h30"),
        ("tuesday", "9.30 à 12"),
        ("closed", "24/12/2030 au 31/12/2030 congés\n2031-05-02"),
        ("holidays", "FR"),
        ("noticeMinutes", "120"),
        ("horizonDays", "90"),
    ];
    let saved = post_form(&app, &admin.cookie, "/dashboard/hours", &fields).await;
    assert_eq!(
        (saved.status, saved.headers["location"].to_str().unwrap()),
        (303, "/dashboard/hours?done=saved"),
        "{}",
        saved.body
    );
    let hours = app.get_as(&admin.cookie, "/api/hours").await.json();
    assert_eq!(hours["weekly"]["monday"], json!(["09:00-12:00", "14:00-18:30"]));
    assert_eq!(hours["weekly"]["tuesday"], json!(["09:30-12:00"]));
    assert_eq!(hours["closed"][0], json!({ "from": "2030-12-24", "to": "2030-12-31", "note": "congés" }));
    let page = app.get_as(&admin.cookie, "/dashboard/hours").await;
    assert!(page.body.contains("09:00-12:00, 14:00-18:30"), "{}", page.body);
    let wrong = [
        ("weekly", "yes"),
        ("monday", "9h-12h, 11h-13h"),
        ("tuesday", "open"),
        ("closed", "soon"),
        ("horizonDays", "many"),
    ];
    let refused = post_form(&app, &admin.cookie, "/dashboard/hours", &wrong).await;
    assert_eq!(refused.status, 400);
    for id in ["monday-error", "tuesday-error", "closed-error", "horizonDays-error"] {
        assert!(refused.body.contains(&format!("id=\"{id}\"")), "{id}");
    }
    assert_eq!(app.get_as(&admin.cookie, "/api/hours").await.json(), hours);
    // The times of an offer, too.
    let offer = app.get("/api/offers").await.json()["items"][0]["id"].as_str().unwrap().to_owned();
    let fields = [
        ("name", "Séance"),
        ("amount", "60,00"),
        ("currency", "EUR"),
        ("capacity", "1"),
        ("grid", "9:00 9h30 10.00"),
        ("active", "yes"),
    ];
    assert_eq!(
        post_form(&app, &admin.cookie, &format!("/dashboard/offers/{offer}"), &fields).await.status,
        303
    );
    let offer = app.get_as(&admin.cookie, "/api/offers").await.json()["items"][0].clone();
    assert_eq!(offer["grid"], json!(["09:00", "09:30", "10:00"]));
}

async fn only_free_days_of_the_month_can_be_pressed(db: TestDatabase) {
    let app = TestApp::start(&db).await;
    let admin = app.person(Role::Admin).await;
    let body = json!({ "weekly": { "monday": ["09:00-12:00"] } });
    assert_eq!(put(&app, &admin.cookie, "/api/hours", &body).await.status, 200);
    let day = monday(&app);
    let month = format!("{:04}-{:02}", day.year(), day.month());
    let page = app.get(&format!("/?month={month}&lang=en")).await;
    let buttons: Vec<&str> = page
        .body
        .split("<button class=\"day\"")
        .skip(1)
        .map(|rest| rest.split('>').next().unwrap())
        .collect();
    assert_eq!(buttons.len(), usize::try_from(day.days_in_month()).unwrap());
    let today = app.app.config.timezone.to_datetime(app.clock.now().to_jiff()).date();
    for button in &buttons {
        let date: Date = button.split("value=\"").nth(1).unwrap().split('"').next().unwrap().parse().unwrap();
        let open = date.weekday() == jiff::civil::Weekday::Monday && date > today;
        if date != today {
            assert_eq!(!button.contains(" disabled"), open, "{button}");
        }
    }
    let pressed: Vec<_> = buttons.iter().filter(|button| button.contains("aria-pressed=\"true\"")).collect();
    assert!(pressed.len() == 1 && !pressed[0].contains(" disabled"), "{pressed:?}");
    assert!(page.body.contains("Europe/Paris"));
    // Turned to the next month by a form, with what was typed.
    let next = day.saturating_add(1.month());
    let month = format!("{:04}-{:02}", next.year(), next.month());
    let date = day.to_string();
    let turned =
        post_form(&app, "", "/day", &[("month", &month), ("date", &date), ("firstName", "Ada")]).await;
    assert_eq!(turned.status, 200);
    assert!(turned.body.contains(&format!("value=\"{month}-28\"")) && turned.body.contains("value=\"Ada\""));
    assert!(!turned.body.contains(&format!("name=\"day\" value=\"{date}\"")));
}

async fn other_sites_may_read_offers_and_slots_and_change_nothing(db: TestDatabase) {
    let app =
        TestApp::start_with(&db, &[("ALLOWED_ORIGINS", "https://shop.example")], "http://127.0.0.1:1").await;
    let admin = app.person(Role::Admin).await;
    let offer = first_offer(&app).await;
    for path in ["/api/offers".to_owned(), format!("/api/slots?offer={offer}&from=2027-01-01&to=2027-01-02")]
    {
        let answer =
            send(app.http.get(format!("{}{path}", app.url)).header("origin", "https://shop.example")).await;
        assert_eq!(answer.headers["access-control-allow-origin"], "https://shop.example", "{path}");
        let other =
            send(app.http.get(format!("{}{path}", app.url)).header("origin", "https://else.example")).await;
        assert!(!other.headers.contains_key("access-control-allow-origin"), "{path}");
    }
    let body = json!({ "name": "Atelier", "amount": 1000, "currency": "eur" });
    let headers = [
        ("cookie", admin.cookie.as_str()),
        ("origin", "https://shop.example"),
        ("sec-fetch-site", "same-site"),
    ];
    assert_eq!(app.post_json("/api/offers", &body, &headers).await.status, 403);
}
