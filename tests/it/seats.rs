//! Seats at the edges: capacities that move, callers that come all at once, and bookings that end while their
//! payment page is being made.

use crate::harness::app::{Answer, send};
use crate::harness::{Engine, TestApp, TestDatabase, on_each_engine};
use crate::shop::{ADMIN, Shop, VISA};
use checkout_backend::flow::cancel::CancelError;
use checkout_backend::flow::reconcile::Options;
use checkout_backend::flow::{cancel, reconcile};
use checkout_backend::stripe::objects::no_session;
use domain::booking::{Booking, Status};
use domain::ids::{BookingId, OfferId};
use domain::role::Role;
use futures_util::future::join_all;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;
use stripe_sim::ApiFaultKind;

on_each_engine! {
    a_lowered_capacity_sells_nothing_until_there_is_room,
    a_payment_that_comes_late_is_not_seated_beyond_the_capacity_of_now,
    the_database_refuses_a_seat_beyond_the_capacity,
    as_many_callers_as_there_are_seats_all_get_one,
    one_browser_that_asks_ten_times_at_once_has_one_page,
    a_booking_that_is_cancelled_while_its_page_is_made_gets_none,
    a_seat_given_away_while_its_page_is_made_is_not_sold_twice,
    a_session_that_nobody_waits_for_is_closed_later_if_not_at_once,
    a_page_that_was_never_written_down_is_closed_before_its_booking_is_cancelled,
    a_page_that_was_paid_and_never_written_down_keeps_its_booking_from_being_cancelled,
    an_open_page_of_a_booking_that_has_ended_is_found_in_stripes_list_and_closed,
    a_page_that_is_left_behind_by_another_session_is_closed,
    a_page_whose_booking_waits_for_it_is_left_alone,
}

fn wish(time: &str) -> Value {
    json!({
        "firstName": "Ada", "lastName": "Lovelace", "email": "ada@example.org",
        "date": "2031-03-03", "time": time,
    })
}

async fn book(app: &TestApp, body: &Value, headers: &[(&str, &str)]) -> Answer {
    app.post_json("/api/bookings", body, headers).await
}

fn id(answer: &Answer) -> BookingId {
    assert_eq!(answer.status, 200, "{}", answer.body);
    BookingId::parse(answer.json()["bookingId"].as_str().unwrap()).unwrap()
}

async fn first_offer(app: &TestApp) -> OfferId {
    let mut tx = app.app.store.read().await.unwrap();
    tx.offers().await.unwrap().remove(0).id
}

/// As `update_offer` does.
async fn set_capacity(app: &TestApp, capacity: usize) {
    app.db
        .execute(&format!("update offers set capacity = {capacity}, capacity_version = capacity_version + 1"))
        .await;
}

async fn a_lowered_capacity_sells_nothing_until_there_is_room(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let admin = shop.app.person(Role::Admin).await;
    let cookie = ("cookie", admin.cookie.as_str());
    let offer = first_offer(&shop.app).await;
    let path = format!("/api/offers/{offer}");
    let patch = async |capacity: i64| -> Value {
        let request = shop.app.http.patch(format!("{}{path}", shop.app.url));
        let request = request.header("content-type", "application/json").header(cookie.0, cookie.1);
        let answer = send(request.body(json!({ "capacity": capacity }).to_string())).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.json()
    };
    assert_eq!(patch(3).await["warning"], Value::Null);
    let mut seated = Vec::new();
    for _ in 0..3 {
        seated.push(id(&book(&shop.app, &wish("10:00"), &[]).await));
    }
    // Seat 1 is given back, and the capacity becomes what is taken.
    cancel::cancel(&shop.app.app, seated[0], "", ADMIN).await.unwrap();
    assert_eq!(patch(2).await["warning"], Value::Null, "two of two are taken: nothing to warn of");
    assert_eq!(book(&shop.app, &wish("10:00"), &[]).await.status, 409, "that number 1 is free is no seat");
    // Lower than what is taken: allowed, and said.
    let lowered = patch(1).await;
    assert_eq!(lowered["capacity"], 1);
    assert_eq!(lowered["warning"]["count"], 1);
    assert_eq!(
        lowered["warning"]["slots"],
        json!([{ "date": "2031-03-03", "time": "10:00", "seatsTaken": 2 }])
    );
    assert!(lowered["warning"]["message"].as_str().unwrap().contains("nothing is sold there"));
    assert_eq!(book(&shop.app, &wish("10:00"), &[]).await.status, 409);
    db.assert_sound().await;
    // And on the page.
    let fields = [
        ("name", "Séance"),
        ("amount", "60"),
        ("currency", "EUR"),
        ("capacity", "1"),
        ("active", "yes"),
        ("grid", ""),
    ];
    let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(&fields).finish();
    let request = shop.app.http.post(format!("{}/dashboard/offers/{offer}", shop.app.url)).body(form);
    let request = request.header("content-type", "application/x-www-form-urlencoded");
    let answer = send(request.header("sec-fetch-site", "same-origin").header(cookie.0, cookie.1)).await;
    assert_eq!(answer.status, 303, "{}", answer.body);
    let next = answer.headers["location"].to_str().unwrap().to_owned();
    for (lang, words) in [("fr", "rien n’y est vendu"), ("en", "nothing is sold there")] {
        let request = shop.app.http.get(format!("{}{next}", shop.app.url));
        let page = send(
            request.header(cookie.0, cookie.1).header("accept-language", lang).header("accept", "text/html"),
        )
        .await;
        assert!(page.body.contains(words), "{lang}: {}", page.body);
    }
    // One of one is taken, then none, then there is room.
    cancel::cancel(&shop.app.app, seated[1], "", ADMIN).await.unwrap();
    assert_eq!(book(&shop.app, &wish("10:00"), &[]).await.status, 409);
    assert_eq!(patch(2).await["warning"], Value::Null);
    id(&book(&shop.app, &wish("10:00"), &[]).await);
    assert_eq!(book(&shop.app, &wish("10:00"), &[]).await.status, 409);
    assert_eq!(db.number("select count(*) from bookings where seat is not null").await, 2);
    db.assert_sound().await;
}

async fn a_payment_that_comes_late_is_not_seated_beyond_the_capacity_of_now(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    set_capacity(&shop.app, 2).await;
    let mut request = Shop::request();
    let late = shop.book_as(&request).await;
    request.first_name = "Grace".to_owned();
    let other = shop.book_as(&request).await;
    let booking = shop.booking(&late).await;
    let object = crate::harness::events::session(&booking, &late.session, &shop.app.app.instance.to_string());
    let mut expired = object.clone();
    expired["status"] = json!("expired");
    expired["payment_status"] = json!("unpaid");
    let event = crate::harness::events::event("evt_expired", "checkout.session.expired", expired);
    assert_eq!(shop.app.deliver(&event).await.outcome(), "processed");
    assert_eq!(shop.booking(&late).await.seat, None);
    assert_eq!(shop.booking(&other).await.seat, Some(2));

    set_capacity(&shop.app, 1).await;
    let paid = shop.app.paid("evt_late", &booking, &late.session);
    assert_eq!(shop.app.deliver(&paid).await.outcome(), "case", "number 1 is free, and no seat is");
    assert_eq!(shop.booking(&late).await.seat, None);
    assert_eq!(db.number("select count(*) from bookings where seat is not null").await, 1);
    db.assert_sound().await;

    // The same with room is seated.
    request.last_name = "Hopper".to_owned();
    set_capacity(&shop.app, 2).await;
    let third = shop.app.pending_booking().await;
    let mut expired = crate::harness::events::session(&third, "cs_third", &shop.app.app.instance.to_string());
    expired["status"] = json!("expired");
    expired["payment_status"] = json!("unpaid");
    let event = crate::harness::events::event("evt_third", "checkout.session.expired", expired);
    assert_eq!(shop.app.deliver(&event).await.outcome(), "processed");
    let paid = shop.app.paid("evt_third_paid", &third, "cs_third");
    assert_eq!(shop.app.deliver(&paid).await.outcome(), "processed");
    assert_eq!(shop.app.booking(third.id).await.seat, Some(1));
    db.assert_sound().await;
}

async fn the_database_refuses_a_seat_beyond_the_capacity(db: TestDatabase) {
    let app = TestApp::start(&db).await;
    let held = app.pending_booking().await;
    // Another number of the same slot, which no index forbids.
    let mut second = held.clone();
    second.id = BookingId::from(clock::new_id());
    second.code = domain::code::Code::of(second.id, 0);
    second.seat = Some(2);
    let mut tx = app.app.store.begin().await.unwrap();
    let lang = domain::lang::Lang::Fr;
    assert!(!tx.insert_booking(&second, None, lang, second.hold_expires_at).await.unwrap());
    tx.commit().await.unwrap();
    set_capacity(&app, 2).await;
    let mut tx = app.app.store.begin().await.unwrap();
    assert!(tx.insert_booking(&second, None, lang, second.hold_expires_at).await.unwrap());
    tx.commit().await.unwrap();
    db.assert_sound().await;
}

async fn as_many_callers_as_there_are_seats_all_get_one(db: TestDatabase) {
    const SEATS: usize = 60;
    let shop = Shop::open(&db).await;
    set_capacity(&shop.app, SEATS).await;
    // On PostgreSQL half of them come to another instance.
    let another = match db.engine {
        Engine::Postgres => Some(shop.another().await),
        Engine::Sqlite => None,
    };
    let (body, app) = (wish("10:00"), |n: usize| match &another {
        Some(another) if n.is_multiple_of(2) => another,
        _ => &shop.app,
    });
    let answers = join_all((0..SEATS).map(|n| book(app(n), &body, &[]))).await;
    let refused: Vec<_> = answers.iter().filter(|answer| answer.status != 200).collect();
    assert!(refused.is_empty(), "{} were refused, as {:?}", refused.len(), refused[0]);
    assert_eq!(db.number("select count(distinct seat) from bookings").await, 60);
    let answers = join_all((0..10).map(|n| book(app(n), &body, &[]))).await;
    assert!(answers.iter().all(|answer| answer.status == 409), "sold out");
    db.assert_sound().await;
}

async fn one_browser_that_asks_ten_times_at_once_has_one_page(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    set_capacity(&shop.app, 20).await;
    let cookie = format!("hold={}", "A".repeat(43));
    let cookie = ("cookie", cookie.as_str());
    let body = wish("10:00");
    let headers = [cookie];
    let answers = join_all((0..10).map(|_| book(&shop.app, &body, &headers))).await;
    let pages: BTreeSet<_> =
        answers.iter().map(|answer| (id(answer), answer.json()["url"].to_string())).collect();
    assert_eq!(pages.len(), 1, "{pages:?}");
    // Nor do keys of its own make each of them a booking of its own.
    let body = wish("11:00");
    let keys: Vec<String> = (0..10).map(|n| format!("key-{n}")).collect();
    let answers = join_all(
        keys.iter().map(async |key| book(&shop.app, &body, &[cookie, ("idempotency-key", key)]).await),
    )
    .await;
    let pages: BTreeSet<_> =
        answers.iter().map(|answer| (id(answer), answer.json()["url"].to_string())).collect();
    assert_eq!(pages.len(), 1, "{pages:?}");
    assert_eq!(db.number("select count(*) from bookings").await, 2);
    assert_eq!(made(&shop).await, 2);
}

/// Stripe makes the page, and its answer is lost twice: a second and a half pass until the third arrives.
fn answers_are_lost(shop: &Shop) {
    shop.fault(ApiFaultKind::ResetAfter, "POST", "/v1/checkout/sessions", Some(2));
}

/// Stripe is down, so that the booking holds a seat and has no page.
async fn without_a_page(shop: &Shop, key: &[(&str, &str)]) -> BookingId {
    shop.fault(ApiFaultKind::ResetBefore, "POST", "/v1/checkout/sessions", None);
    assert_eq!(book(&shop.app, &wish("10:00"), key).await.status, 503);
    shop.advance(Duration::from_secs(61));
    let ids = shop.app.db.texts("select id from bookings").await;
    BookingId::parse(&ids[0]).unwrap()
}

/// Does `meanwhile` when Stripe was asked for the page and has not answered yet.
async fn while_the_page_is_made<T>(
    shop: &Shop,
    key: &[(&str, &str)],
    meanwhile: impl Future<Output = T>,
) -> (Answer, T) {
    let asked = || {
        let log = shop.sim.request_log();
        log.iter().filter(|asked| asked.method == "POST" && asked.path == "/v1/checkout/sessions").count()
    };
    let before = asked();
    let waited = async {
        while asked() == before {
            tokio::task::yield_now().await;
        }
        meanwhile.await
    };
    let body = wish("10:00");
    tokio::join!(book(&shop.app, &body, key), waited)
}

/// The booking ends by a list of Stripe's that was read before its page was made.
async fn ends_unheard(shop: &Shop, booking: BookingId) {
    let none = no_session(booking, None, shop.app.app.instance);
    let _ = shop.app.app.recorder.record(none).await.unwrap();
}

/// How many sessions Stripe has.
async fn made(shop: &Shop) -> usize {
    statuses(shop).await.len()
}

async fn statuses(shop: &Shop) -> Vec<String> {
    let url = format!("{}/v1/checkout/sessions?limit=100", shop.sim.base_url());
    let request = shop.app.http.get(url).bearer_auth("sk_test_4eC39HqLyjWDarjtT1zdp7dc");
    let sessions = send(request).await.json()["data"].as_array().unwrap().clone();
    let mut statuses: Vec<_> =
        sessions.iter().map(|session| session["status"].as_str().unwrap().to_owned()).collect();
    statuses.sort_unstable();
    statuses
}

async fn a_booking_that_is_cancelled_while_its_page_is_made_gets_none(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let key = [("idempotency-key", "K")];
    let booking = without_a_page(&shop, &key).await;
    // What is asked arrives the third time: until then there is nothing that cancelling could find.
    shop.fault(ApiFaultKind::ResetBefore, "POST", "/v1/checkout/sessions", Some(2));
    let cancelled = async { cancel::cancel(&shop.app.app, booking, "", ADMIN).await.unwrap() };
    let (answer, cancelled) = while_the_page_is_made(&shop, &key, cancelled).await;
    assert_eq!(cancelled.status(), Status::Cancelled);
    assert_eq!((answer.status, &answer.json()["title"]), (409, &json!("Booking ended")), "{}", answer.body);
    assert_eq!(statuses(&shop).await, ["expired"], "nobody can pay it");
    assert_eq!(db.number("select count(*) from sessions_to_close").await, 0);
    assert_eq!(shop.app.booking(booking).await.session, None);
    // The key is not lost: it begins a new booking.
    assert_ne!(id(&book(&shop.app, &wish("10:00"), &key).await), booking);
    shop.deliver_all().await;
    assert_eq!(shop.app.status(booking).await, Status::Cancelled);
    db.assert_sound().await;
}

async fn a_seat_given_away_while_its_page_is_made_is_not_sold_twice(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let key = [("idempotency-key", "K")];
    let first = without_a_page(&shop, &key).await;
    answers_are_lost(&shop);
    let other = async {
        ends_unheard(&shop, first).await;
        book(&shop.app, &wish("10:00"), &[]).await
    };
    let (answer, other) = while_the_page_is_made(&shop, &key, other).await;
    let winner = id(&other);
    assert_eq!((answer.status, &answer.json()["title"]), (409, &json!("Booking ended")), "{}", answer.body);
    assert_eq!(shop.app.status(first).await, Status::Expired);
    assert_eq!(shop.app.booking(winner).await.seat, Some(1));
    assert_eq!(statuses(&shop).await, ["expired", "open"]);
    assert_eq!(db.number("select count(*) from bookings where seat is not null").await, 1);
    db.assert_sound().await;
}

async fn a_session_that_nobody_waits_for_is_closed_later_if_not_at_once(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let key = [("idempotency-key", "K")];
    let booking = without_a_page(&shop, &key).await;
    answers_are_lost(&shop);
    let ended = async {
        ends_unheard(&shop, booking).await;
        // From now on nothing can be closed.
        shop.fault(ApiFaultKind::ResetBefore, "POST", "/v1/checkout/sessions/", None);
    };
    let (answer, ()) = while_the_page_is_made(&shop, &key, ended).await;
    assert_eq!(answer.status, 409, "{}", answer.body);
    assert_eq!(statuses(&shop).await, ["open"]);
    assert_eq!(db.number("select count(*) from sessions_to_close").await, 1);
    // While Stripe does not answer it stays on the list.
    shop.advance(Duration::from_secs(61));
    reconcile::check_due(&shop.app.app).await.unwrap_err();
    assert_eq!(db.number("select count(*) from sessions_to_close").await, 1);
    shop.no_faults();
    shop.advance(Duration::from_secs(301));
    reconcile::check_due(&shop.app.app).await.unwrap();
    assert_eq!(statuses(&shop).await, ["expired"]);
    assert_eq!(db.number("select count(*) from sessions_to_close").await, 0);
    db.assert_sound().await;
}

/// As a process leaves it that died between Stripe's making the page and writing it down.
async fn with_a_page_unheard_of(shop: &Shop) -> (Booking, String) {
    let booking = shop.app.pending_booking().await;
    let session = shop.session_for(&booking).await;
    shop.advance(Duration::from_secs(61));
    (booking, session)
}

fn status_at_stripe(shop: &Shop, session: &str) -> Value {
    shop.sim.object(session).unwrap()["status"].clone()
}

async fn a_page_that_was_never_written_down_is_closed_before_its_booking_is_cancelled(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let (booking, session) = with_a_page_unheard_of(&shop).await;
    shop.fault(ApiFaultKind::Html, "GET", "/v1/checkout/sessions", None);
    cancel::cancel(&shop.app.app, booking.id, "", ADMIN).await.unwrap_err();
    assert_eq!(shop.app.status(booking.id).await, Status::Pending, "not knowing cancels nothing");
    shop.no_faults();
    cancel::cancel(&shop.app.app, booking.id, "", ADMIN).await.unwrap();
    assert_eq!(status_at_stripe(&shop, &session), "expired");
    shop.deliver_all().await;
    let booking = shop.app.booking(booking.id).await;
    assert_eq!((booking.status(), booking.seat), (Status::Cancelled, None));
    db.assert_sound().await;
}

async fn a_page_that_was_paid_and_never_written_down_keeps_its_booking_from_being_cancelled(
    db: TestDatabase,
) {
    let shop = Shop::open(&db).await;
    let (booking, session) = with_a_page_unheard_of(&shop).await;
    drop(shop.sim.pay(&session, VISA).await.unwrap());
    let refused = cancel::cancel(&shop.app.app, booking.id, "", ADMIN).await.unwrap_err();
    assert!(matches!(refused, CancelError::NotUnpaid(Status::Paid)), "{refused}");
    let booking = shop.app.booking(booking.id).await;
    assert_eq!((booking.status(), booking.seat), (Status::Paid, Some(1)));
    db.assert_sound().await;
}

async fn an_open_page_of_a_booking_that_has_ended_is_found_in_stripes_list_and_closed(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let (booking, session) = with_a_page_unheard_of(&shop).await;
    ends_unheard(&shop, booking.id).await;
    assert_eq!(status_at_stripe(&shop, &session), "open");
    // By the half-hourly list, and then by whatever closes.
    reconcile::follow_objects(&shop.app.app, Duration::from_secs(1800)).await.unwrap();
    reconcile::check_due(&shop.app.app).await.unwrap();
    assert_eq!(status_at_stripe(&shop, &session), "expired");
    // And by one run of `reconcile`, which with `--dry-run` closes nothing.
    let (second, session) = with_a_page_unheard_of(&shop).await;
    ends_unheard(&shop, second.id).await;
    shop.reconcile(Options { dry_run: true, ..Options::default() }).await;
    assert_eq!(status_at_stripe(&shop, &session), "open");
    shop.reconcile(Options::default()).await;
    assert_eq!(status_at_stripe(&shop, &session), "expired");
    assert_eq!(db.number("select count(*) from sessions_to_close").await, 0);
    for ended in [booking.id, second.id] {
        assert_eq!(shop.app.status(ended).await, Status::Expired);
    }
    db.assert_sound().await;
}

async fn a_page_that_is_left_behind_by_another_session_is_closed(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    for card in [VISA, "sepa_debit"] {
        let own = shop.book().await;
        let other = shop.session_for(&shop.booking(&own).await).await;
        drop(shop.sim.pay(&other, card).await.unwrap());
        shop.deliver_all().await;
        let status = if card == VISA { Status::Paid } else { Status::Processing };
        assert_eq!(shop.status(&own).await, status);
        assert_eq!(status_at_stripe(&shop, &own.session), "open");
        reconcile::check_due(&shop.app.app).await.unwrap();
        assert_eq!(status_at_stripe(&shop, &own.session), "expired", "it could be paid twice");
        assert_eq!(db.number("select count(*) from sessions_to_close").await, 0);
        shop.deliver_all().await;
        assert_eq!(shop.status(&own).await, status);
    }
    assert_eq!(db.number("select count(*) from cases").await, 0);
    db.assert_sound().await;
}

async fn a_page_whose_booking_waits_for_it_is_left_alone(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let attached = shop.book().await;
    let (booking, unheard_of) = with_a_page_unheard_of(&shop).await;
    let stranger = shop.session_for(&booking_of_nobody(&booking)).await;
    shop.reconcile(Options::default()).await;
    for session in [&attached.session, &unheard_of, &stranger] {
        assert_eq!(status_at_stripe(&shop, session), "open");
    }
    let found = shop.app.booking(booking.id).await.session;
    assert_eq!(found.map(|session| session.to_string()), Some(unheard_of));
    db.assert_sound().await;
}

fn booking_of_nobody(like: &Booking) -> Booking {
    Booking { id: BookingId::from(clock::new_id()), ..like.clone() }
}
