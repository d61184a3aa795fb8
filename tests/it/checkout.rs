//! Booking a slot and getting a payment page, against the simulated Stripe over HTTP.

use crate::harness::app::{Answer, send};
use crate::harness::events::{event, refund};
use crate::harness::{TestApp, TestDatabase, on_each_engine};
use crate::shop::list_at_stripe;
use domain::booking::Status;
use domain::ids::BookingId;
use domain::offer::{OfferDraft, OfferTerms};
use secrecy::SecretString;
use serde_json::{Value, json};
use std::time::Duration;
use stripe_sim::{ApiFault, ApiFaultKind, Faults, PayOutcome, Sim, SimConfig, WebhookTarget};

on_each_engine! {
    a_booking_gets_a_payment_page_that_names_it_in_every_place,
    of_fifty_people_who_want_the_last_seat_one_gets_it,
    a_slot_is_sold_up_to_its_capacity_and_no_further,
    every_fault_of_a_request_is_named_at_once,
    the_same_key_and_body_get_the_same_answer_and_another_body_is_refused,
    a_key_whose_request_died_resumes_its_booking,
    a_browser_resumes_what_it_holds_and_a_stranger_with_the_same_address_does_not,
    a_browser_whose_session_has_expired_gets_a_new_one,
    corrected_details_close_the_old_session_before_a_new_one_is_made,
    however_stripe_fails_the_booking_is_kept_and_gets_one_session,
    a_failure_that_stripe_keeps_for_the_key_is_left_behind_by_a_new_one,
    a_stripe_whose_clock_is_ahead_still_makes_a_payment_page,
    a_payment_that_overtakes_the_answer_is_not_lost,
    a_hold_is_given_up_only_when_stripe_says_that_nothing_was_paid,
    what_an_event_leaves_out_is_asked_of_stripe,
    a_refund_says_by_its_payment_whose_it_is,
    nothing_that_a_caller_sends_can_set_price_or_status,
}

struct Shop {
    app: TestApp,
    sim: Sim,
}

impl Shop {
    async fn open(db: &TestDatabase) -> Self {
        let sim = Sim::start(SimConfig::default()).await.unwrap();
        let app = TestApp::start_with(db, &[], &sim.base_url()).await;
        Self { app, sim }
    }

    /// With Stripe delivering its events to us by itself.
    async fn open_with_deliveries(db: &TestDatabase) -> Self {
        let mut shop = Self::open(db).await;
        let target = WebhookTarget {
            url: format!("{}/webhook", shop.app.url),
            secrets: vec![SecretString::from(crate::harness::app::WEBHOOK_SECRET)],
            enabled_events: Vec::new(),
        };
        // Each must know the other's address before it starts: the simulator is started twice.
        let listen = shop.sim.addr();
        shop.sim.shutdown().await;
        let config = SimConfig { listen, webhooks: vec![target], ..SimConfig::default() };
        shop.sim = Sim::start(config).await.unwrap();
        shop
    }

    async fn book(&self, body: &Value, headers: &[(&str, &str)]) -> Answer {
        self.app.post_json("/create-checkout-session", body, headers).await
    }

    /// The customer pays at Stripe.
    async fn pay(&self, session: &str) {
        let outcome = self.sim.pay(session, "4242424242424242").await.unwrap();
        assert_eq!(outcome, PayOutcome::Paid);
    }

    /// Every session that Stripe has.
    async fn sessions(&self) -> Vec<Value> {
        list_at_stripe(&self.sim, "/v1/checkout/sessions").await
    }

    /// The product's name and description on the payment page.
    async fn sold(&self, session: &str) -> [String; 2] {
        let path = format!("/v1/checkout/sessions/{session}/line_items");
        let items = list_at_stripe(&self.sim, &path).await;
        let product = self.sim.object(text(&items[0]["price"], "product")).unwrap();
        ["name", "description"].map(|member| text(&product, member).to_owned())
    }

    /// How many sessions Stripe has for the booking in this answer.
    async fn sessions_for(&self, answer: &Answer) -> usize {
        let answer = answer.json();
        let booking = text(&answer, "bookingId");
        self.sessions().await.iter().filter(|session| session["client_reference_id"] == booking).count()
    }
}

fn wish(time: &str) -> Value {
    json!({
        "firstName": "Ada", "lastName": "Lovelace", "email": "ada@example.org",
        "date": "2031-03-03", "time": time,
    })
}

fn cookie(answer: &Answer) -> String {
    let set = answer.headers["set-cookie"].to_str().unwrap();
    set.split(';').next().unwrap().to_owned()
}

fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value[member].as_str().unwrap_or_else(|| panic!("no {member} in {value}"))
}

async fn a_booking_gets_a_payment_page_that_names_it_in_every_place(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let answer = shop.book(&wish("10:00"), &[]).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let started = answer.json();
    let members: Vec<&String> = started.as_object().unwrap().keys().collect();
    assert_eq!(members, ["bookingId", "stripeSessionId", "url"]);
    let (booking, session) = (text(&started, "bookingId"), text(&started, "stripeSessionId"));

    let object = shop.sim.object(session).unwrap();
    assert_eq!(object["client_reference_id"], booking);
    assert_eq!(object["metadata"]["booking_id"], booking);
    assert_eq!(object["metadata"]["instance"], shop.app.app.instance.to_string());
    assert_eq!((&object["amount_total"], &object["currency"]), (&json!(6000), &json!("eur")));
    assert_eq!(object["url"], started["url"]);
    assert_eq!(object["success_url"], format!("{}/success?session_id={{CHECKOUT_SESSION_ID}}", shop.app.url));
    let stored = shop.app.booking(BookingId::parse(booking).unwrap()).await;
    assert_eq!((stored.status(), stored.seat), (Status::Pending, Some(1)));
    assert_eq!(stored.session.unwrap().as_str(), session);
    assert_eq!(object["expires_at"], stored.hold_expires_at.as_unix_seconds());

    // The payment says whose it is too: session metadata is not copied to it by Stripe.
    shop.pay(session).await;
    let intent = shop.sim.object(text(&shop.sim.object(session).unwrap(), "payment_intent")).unwrap();
    assert_eq!(intent["metadata"]["booking_id"], booking);
    // And what it is for, in the customer's language: on the payment page and on the receipt.
    assert_eq!(intent["description"], "Séance, lundi 3 mars 2031 à 10:00");
    assert_eq!(shop.sold(session).await, ["Séance", "lundi 3 mars 2031 à 10:00"]);
    let english = shop.book(&wish("11:00"), &[("accept-language", "en")]).await.json();
    let sold = shop.sold(text(&english, "stripeSessionId")).await;
    assert_eq!(sold, ["Séance", "Monday 3 March 2031 at 11:00"]);
    let status = shop.app.get(&format!("/api/checkout/{session}")).await;
    assert_eq!(status.json(), json!({ "status": "en attente" }), "no webhook came, and nothing is assumed");
    assert_eq!(shop.app.get("/api/checkout/cs_unknown").await.status, 404);
}

async fn of_fifty_people_who_want_the_last_seat_one_gets_it(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let body = wish("10:00");
    let answers = futures_util::future::join_all((0..50).map(|_| shop.book(&body, &[]))).await;
    let mut statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    statuses.sort_unstable();
    assert_eq!((statuses[0], &statuses[1..]), (200, &[409; 49][..]));
    assert_eq!(db.number("select count(*) from bookings").await, 1);
    assert_eq!(shop.sessions().await.len(), 1);
}

async fn a_slot_is_sold_up_to_its_capacity_and_no_further(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let store = &shop.app.app.store;
    let mut tx = store.begin().await.unwrap();
    let offer = tx.offers().await.unwrap().remove(0);
    let draft = OfferDraft {
        name: Some("Atelier".to_owned()),
        amount: Some(2500),
        currency: Some("eur".to_owned()),
        capacity: Some(7),
        active: Some(true),
        grid: Some(vec!["10:00".to_owned()]),
        ..OfferDraft::default()
    };
    let terms = OfferTerms::check(draft, Vec::new()).unwrap();
    assert!(tx.update_offer(offer.id, &terms, shop.app.clock.now()).await.unwrap());
    tx.commit().await.unwrap();
    let body = wish("10:00");
    let answers = futures_util::future::join_all((0..20).map(|_| shop.book(&body, &[]))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 7);
    assert_eq!(answers.iter().filter(|answer| answer.status == 409).count(), 13);
    let seats = db.texts("select cast(seat as text) from bookings order by seat").await;
    assert_eq!(seats, ["1", "2", "3", "4", "5", "6", "7"]);
    let answer = shop.book(&wish("11:00"), &[]).await;
    assert_eq!(
        (answer.status, &answer.json()["details"][0]["path"]),
        (400, &json!("time")),
        "not on the grid"
    );
}

async fn every_fault_of_a_request_is_named_at_once(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let body = json!({ "firstName": 7, "lastName": "", "email": "x", "date": "2020-01-01", "time": "9h" });
    let paths = async |body: &Value| -> Vec<String> {
        let answer = shop.book(body, &[]).await;
        assert_eq!(answer.status, 400, "{}", answer.body);
        let problem = answer.json();
        problem["details"].as_array().unwrap().iter().map(|fault| text(fault, "path").to_owned()).collect()
    };
    assert_eq!(paths(&body).await, ["firstName", "lastName", "email", "time"], "a wrong type hides nothing");
    let body = json!({ "lastName": " ", "email": "x", "date": "2020-01-01", "time": "9h", "offer": "none" });
    assert_eq!(paths(&body).await, ["firstName", "lastName", "email", "time", "offer"]);
    assert_eq!(db.number("select count(*) from bookings").await, 0);
}

async fn the_same_key_and_body_get_the_same_answer_and_another_body_is_refused(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let key = [("idempotency-key", "booking-17")];
    let first = shop.book(&wish("10:00"), &key).await;
    assert_eq!(first.status, 200);
    let again = shop.book(&wish("10:00"), &key).await;
    assert_eq!((again.status, again.json()), (200, first.json()));
    let reordered = json!({
        "time": "10:00", "date": "2031-03-03", "email": " ada@example.org", "lastName": "Lovelace",
        "firstName": "Ada ", "offer": null,
    });
    assert_eq!(shop.book(&reordered, &key).await.json(), first.json(), "the same, written otherwise");
    assert_eq!(shop.book(&wish("11:00"), &key).await.status, 422);
    for bad in ["", &"x".repeat(256), "caf\u{e9}"] {
        let bytes = reqwest::header::HeaderValue::from_bytes(bad.as_bytes()).unwrap();
        let request =
            shop.app.http.post(format!("{}/api/bookings", shop.app.url)).body(wish("10:00").to_string());
        assert_eq!(
            send(request.header("content-type", "application/json").header("idempotency-key", bytes))
                .await
                .status,
            400,
            "{bad:?}"
        );
    }
    // Eight at once with one key: one booking, and nobody hears of another.
    let key = [("idempotency-key", "booking-18")];
    let body = wish("12:00");
    let answers = futures_util::future::join_all((0..8).map(|_| shop.book(&body, &key))).await;
    assert!(answers.iter().all(|answer| matches!(answer.status, 200 | 409)), "{answers:?}");
    assert_eq!(shop.book(&body, &key).await.status, 200);
    assert_eq!(db.number("select count(*) from bookings where slot_time = '12:00'").await, 1);
    for clock in [&shop.app.clock, shop.sim.clock()] {
        clock.advance(Duration::from_secs(24 * 3600 + 1));
    }
    assert_eq!(shop.book(&wish("13:00"), &key).await.status, 200, "a day later the key is free");
}

async fn a_key_whose_request_died_resumes_its_booking(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let key = [("idempotency-key", "booking-17")];
    // The connection to Stripe is gone for longer than we try; then our process dies, as far as the
    // key's row can tell.
    let fault = api_fault(ApiFaultKind::ResetAfter, None);
    shop.sim.set_faults(Faults { api: vec![fault], ..Faults::default() });
    assert_eq!(shop.book(&wish("10:00"), &key).await.status, 503);
    let locked = shop.app.clock.now().plus(Duration::from_secs(60)).as_micros();
    db.execute(&format!("update idempotency_keys set locked_until = {locked}")).await;
    shop.sim.set_faults(Faults::default());
    assert_eq!(shop.book(&wish("10:00"), &key).await.status, 409, "perhaps it still runs");
    shop.app.clock.advance(Duration::from_secs(61));
    let answer = shop.book(&wish("10:00"), &key).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(db.number("select count(*) from bookings").await, 1);
    assert_eq!(shop.sessions_for(&answer).await, 1, "made once, by the lost try");
}

async fn a_browser_resumes_what_it_holds_and_a_stranger_with_the_same_address_does_not(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let first = shop.book(&wish("10:00"), &[]).await;
    let mine = cookie(&first);
    assert!(mine.starts_with("hold="));
    let again = shop.book(&wish("10:00"), &[("cookie", &mine)]).await;
    assert_eq!((again.status, again.json()), (200, first.json()));
    // A key of its own does not make it another customer.
    let keyed = [("cookie", mine.as_str()), ("idempotency-key", "second-thought")];
    for _ in 0..2 {
        let with_key = shop.book(&wish("10:00"), &keyed).await;
        assert_eq!((with_key.status, with_key.json()), (200, first.json()));
    }
    let stranger = shop.book(&wish("10:00"), &[]).await;
    assert_eq!(stranger.status, 409);
    assert!(!stranger.body.contains("cs_test_"));
    let forged = format!("hold={}", "A".repeat(43));
    assert_eq!(shop.book(&wish("10:00"), &[("cookie", &forged)]).await.status, 409);
    let hashes = db.texts("select owner_hash from bookings").await;
    assert!(!mine.contains(&hashes[0]), "only a hash of the cookie is kept");
    // Paid meanwhile: there is nothing left to pay, and no second page.
    shop.pay(text(&first.json(), "stripeSessionId")).await;
    let late = shop.book(&wish("10:00"), &[("cookie", &mine)]).await;
    assert_eq!((late.status, late.json()["error"].as_str()), (409, Some("Already paid")));
    assert_eq!(db.texts("select status from bookings").await, ["payé"], "Stripe's own answer was recorded");
}

async fn a_browser_whose_session_has_expired_gets_a_new_one(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let first = shop.book(&wish("10:00"), &[]).await;
    for clock in [&shop.app.clock, shop.sim.clock()] {
        clock.advance(Duration::from_secs(36 * 60));
    }
    let second = shop.book(&wish("10:00"), &[("cookie", &cookie(&first))]).await;
    assert_eq!(second.status, 200, "{}", second.body);
    assert_ne!(first.json()["bookingId"], second.json()["bookingId"]);
    let statuses = db.texts("select status from bookings order by created_at").await;
    assert_eq!(statuses, ["expiré", "en attente"]);
}

async fn corrected_details_close_the_old_session_before_a_new_one_is_made(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let first = shop.book(&wish("10:00"), &[]).await;
    let mine = cookie(&first);
    let mut corrected = wish("10:00");
    corrected["email"] = json!("ada@example.com");
    let second = shop.book(&corrected, &[("cookie", &mine)]).await;
    assert_eq!(second.status, 200, "{}", second.body);
    let status = |answer: &Answer| {
        let object = shop.sim.object(text(&answer.json(), "stripeSessionId")).unwrap();
        text(&object, "status").to_owned()
    };
    assert_eq!((status(&first).as_str(), status(&second).as_str()), ("expired", "open"));
    let statuses = db.texts("select status from bookings order by created_at").await;
    assert_eq!(statuses, ["expiré", "en attente"]);
}

fn api_fault(kind: ApiFaultKind, next: Option<u32>) -> ApiFault {
    ApiFault {
        kind,
        method: Some("POST".to_owned()),
        path: Some("/v1/checkout/sessions".to_owned()),
        percent: 100,
        next,
        ms: 0,
    }
}

async fn however_stripe_fails_the_booking_is_kept_and_gets_one_session(db: TestDatabase) {
    use ApiFaultKind::{Html, RateLimit, ResetAfter, ResetBefore, ServerError, Truncated};
    let shop = Shop::open(&db).await;
    for (n, kind) in
        [RateLimit, ServerError, ResetBefore, ResetAfter, Truncated, Html].into_iter().enumerate()
    {
        // Once: our own repetition gets through, with the same key.
        shop.sim.set_faults(Faults { api: vec![api_fault(kind, Some(1))], ..Faults::default() });
        let answer = shop.book(&wish(&format!("{:02}:00", 9 + n)), &[]).await;
        assert_eq!(answer.status, 200, "{kind:?} once: {}", answer.body);
        assert_eq!(shop.sessions_for(&answer).await, 1, "{kind:?} once");

        // For good: the caller hears it, the seat is kept, and a later try goes on where this ended.
        shop.sim.set_faults(Faults { api: vec![api_fault(kind, None)], ..Faults::default() });
        let time = format!("{:02}:30", 9 + n);
        let failed = shop.book(&wish(&time), &[]).await;
        assert!(matches!(failed.status, 502 | 503), "{kind:?}: {}", failed.body);
        assert_eq!(failed.headers["content-type"], "application/problem+json");
        let kept = format!("select count(*) from bookings where slot_time = '{time}' and seat = 1");
        assert_eq!(db.number(&kept).await, 1, "{kind:?}");
        shop.sim.set_faults(Faults::default());
        let answer = shop.book(&wish(&time), &[("cookie", &cookie(&failed))]).await;
        assert_eq!(answer.status, 200, "{kind:?} over: {}", answer.body);
        assert_eq!(db.number(&kept).await, 1, "{kind:?} over");
        assert_eq!(shop.sessions_for(&answer).await, 1, "{kind:?} over");
    }
}

async fn a_failure_that_stripe_keeps_for_the_key_is_left_behind_by_a_new_one(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let fault = api_fault(ApiFaultKind::ServerErrorStored, Some(1));
    shop.sim.set_faults(Faults { api: vec![fault], ..Faults::default() });
    let answer = shop.book(&wish("10:00"), &[]).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(shop.sessions_for(&answer).await, 1);
    assert_eq!(db.number("select attempt from bookings").await, 2);
}

async fn a_stripe_whose_clock_is_ahead_still_makes_a_payment_page(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    shop.sim.clock().advance(Duration::from_secs(40 * 60));
    let answer = shop.book(&wish("10:00"), &[]).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(shop.sessions_for(&answer).await, 1);
}

async fn a_payment_that_overtakes_the_answer_is_not_lost(db: TestDatabase) {
    let shop = Shop::open_with_deliveries(&db).await;
    let faults = Faults {
        pay_before_answer: Some("4242424242424242".to_owned()),
        webhook_before_answer: true,
        ..Faults::default()
    };
    shop.sim.set_faults(faults);
    let answer = shop.book(&wish("10:00"), &[]).await;
    assert!(matches!(answer.status, 200 | 409), "{}", answer.body);
    assert!(shop.sim.deliveries_done(Duration::from_secs(10)).await);
    assert_eq!(db.texts("select status from bookings").await, ["payé"]);
}

async fn a_hold_is_given_up_only_when_stripe_says_that_nothing_was_paid(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let first = shop.book(&wish("10:00"), &[]).await;
    let hold = Duration::from_secs(36 * 60);
    shop.app.clock.advance(hold);
    // The hold is over by our clock; at Stripe the session was paid in its last minute.
    shop.pay(text(&first.json(), "stripeSessionId")).await;
    assert_eq!(shop.book(&wish("10:00"), &[]).await.status, 409);
    assert_eq!(db.texts("select status from bookings").await, ["payé"]);

    // This one was not paid: it is closed at Stripe, and the seat goes to the next.
    let second = shop.book(&wish("11:00"), &[]).await;
    shop.app.clock.advance(hold);
    let down = Faults {
        api: vec![ApiFault { path: None, method: None, ..api_fault(ApiFaultKind::ResetBefore, None) }],
        ..Faults::default()
    };
    shop.sim.set_faults(down);
    assert_eq!(shop.book(&wish("11:00"), &[]).await.status, 409, "Stripe does not say, so nobody gets it");
    shop.sim.set_faults(Faults::default());
    let third = shop.book(&wish("11:00"), &[]).await;
    assert_eq!(third.status, 200, "{}", third.body);
    let object = shop.sim.object(text(&second.json(), "stripeSessionId")).unwrap();
    assert_eq!(object["status"], "expired");
}

async fn what_an_event_leaves_out_is_asked_of_stripe(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let started = shop.book(&wish("10:00"), &[]).await.json();
    let id = BookingId::parse(text(&started, "bookingId")).unwrap();
    let session = text(&started, "stripeSessionId");
    let paid = event(
        "evt_1",
        "checkout.session.completed",
        json!({ "id": session, "client_reference_id": id, "payment_status": "paid" }),
    );
    let answer = shop.app.deliver(&paid).await;
    assert_eq!((answer.status, answer.outcome().as_str()), (200, "processed"), "{}", answer.body);
    assert_eq!(shop.app.booking(id).await.payment().map(|payment| payment.amount), Some(6000));
}

async fn a_refund_says_by_its_payment_whose_it_is(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let started = shop.book(&wish("10:00"), &[]).await.json();
    let id = BookingId::parse(text(&started, "bookingId")).unwrap();
    let session = text(&started, "stripeSessionId");
    shop.pay(session).await;
    let object = shop.sim.object(session).unwrap();

    // The refund's event comes before the payment's: nothing here knows its payment yet.
    let mut given_back = refund("re_1", "cs_x", 1000, "succeeded");
    given_back["payment_intent"] = object["payment_intent"].clone();
    let answer = shop.app.deliver(&event("evt_1", "refund.created", given_back.clone())).await;
    assert_eq!((answer.status, answer.outcome().as_str()), (200, "processed"), "{}", answer.body);
    assert_eq!(shop.app.status(id).await, Status::Pending);
    let answer = shop.app.deliver(&event("evt_2", "checkout.session.completed", object)).await;
    assert_eq!(answer.outcome(), "processed");
    assert_eq!(shop.app.status(id).await, Status::PartiallyRefunded);

    // One that Stripe knows nothing of is nobody's.
    given_back["id"] = json!("re_2");
    given_back["payment_intent"] = json!("pi_unknown");
    let answer = shop.app.deliver(&event("evt_3", "refund.created", given_back)).await;
    assert_eq!(answer.outcome(), "ignored");
}

async fn nothing_that_a_caller_sends_can_set_price_or_status(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let mut body = wish("10:00");
    for (member, value) in [
        ("amount", json!(1)),
        ("amountTotal", json!(1)),
        ("currency", json!("jpy")),
        ("status", json!("payé")),
        ("id", json!(BookingId::from(clock::new_id()))),
        ("price", json!({ "amount": 1 })),
        ("role", json!("ADMIN")),
    ] {
        body[member] = value;
    }
    let answer = shop.book(&body, &[]).await;
    assert_eq!(answer.status, 200);
    let object = shop.sim.object(text(&answer.json(), "stripeSessionId")).unwrap();
    assert_eq!((&object["amount_total"], &object["currency"]), (&json!(6000), &json!("eur")));
    assert_eq!(db.texts("select status from bookings").await, ["en attente"]);
}
