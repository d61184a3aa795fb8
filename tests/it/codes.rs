//! What people call a booking by, and the customer's own page that stands behind it.

use crate::harness::{TestApp, TestDatabase, on_each_engine};
use crate::shop::{Shop, VISA};
use clock::Clock;
use domain::code::Code;
use domain::ids::BookingId;
use domain::role::Role;
use serde_json::json;

on_each_engine! {
    a_booking_is_found_by_its_code_however_it_is_typed,
    bookings_of_before_get_a_code_each_at_the_next_start,
    a_code_that_is_taken_is_not_given_again,
    the_customers_page_opens_by_its_key_alone,
    a_calendar_takes_the_booking_from_its_page,
    the_result_page_leads_to_the_customers_page,
}

async fn a_booking_is_found_by_its_code_however_it_is_typed(db: TestDatabase) {
    let app = TestApp::start(&db).await;
    let reader = app.person(Role::ReadOnly).await;
    let booking = app.pending_booking().await;
    let code = booking.code.to_string();
    let list = app.get_as(&reader.cookie, "/api/bookings").await.json();
    assert_eq!(list["items"][0]["code"], code);
    for typed in [code.clone(), code.to_lowercase(), format!("{}-{}", &code[..3], &code[3..])] {
        let found = app.get_as(&reader.cookie, &format!("/api/bookings/{typed}")).await;
        assert_eq!((found.status, found.json()["id"].clone()), (200, json!(booking.id)), "{typed}");
        let story = app.get_as(&reader.cookie, &format!("/api/bookings/{typed}/explain")).await;
        assert!(story.json()["summary"].as_str().unwrap().contains(&code), "{typed}");
        let page = app.get_as(&reader.cookie, &format!("/dashboard/bookings/{typed}")).await;
        assert_eq!(page.headers["location"], format!("/dashboard/bookings/{}", booking.id), "{typed}");
        let page = app.get_as(&reader.cookie, &format!("/dashboard?who={typed}")).await;
        assert!(page.body.contains(&booking.id.to_string()), "{typed}");
    }
    let other = Code::of(BookingId::from(clock::new_id()), 0);
    assert_eq!(app.get_as(&reader.cookie, &format!("/api/bookings/{other}")).await.status, 404);
    assert_eq!(app.get_as(&reader.cookie, "/api/bookings/0O1ILU").await.status, 404);
}

async fn bookings_of_before_get_a_code_each_at_the_next_start(db: TestDatabase) {
    let app = TestApp::start(&db).await;
    app.pending_bookings(1100).await;
    let before = db.texts("select code from bookings order by id").await;
    // As the migration finds them; and one stands in the way of another.
    db.execute("update bookings set code = null where slot_time <> '04:00'").await;
    db.execute(&format!("update bookings set code = '{}' where code is not null", before[700])).await;
    db.store.migrate(Clock::system().now()).await.unwrap();
    let mut after = db.texts("select code from bookings order by id").await;
    assert!(after.iter().all(|code| Code::parse(code).is_some()));
    after.sort_unstable();
    after.dedup();
    assert_eq!(after.len(), 1100);
}

async fn a_code_that_is_taken_is_not_given_again(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let first = shop.book().await;
    // A booking without a seat that has, by chance, the first code of one that is not made yet: insert refuses the
    // second and takes nothing with it.
    let mut twin = shop.app.booking(first.booking).await;
    twin.id = BookingId::from(clock::new_id());
    twin.seat = None;
    let mut tx = shop.app.app.store.begin().await.unwrap();
    let now = shop.app.clock.now();
    assert!(!tx.insert_booking(&twin, None, domain::lang::Lang::Fr, now).await.unwrap());
    twin.code = Code::of(twin.id, 1);
    assert!(tx.insert_booking(&twin, None, domain::lang::Lang::Fr, now).await.unwrap());
    tx.commit().await.unwrap();
}

async fn the_customers_page_opens_by_its_key_alone(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let checkout = shop.book().await;
    let booking = shop.app.booking(checkout.booking).await;
    let path = checkout_backend::flow::bookings::own_path(&shop.app.app.config, &booking);
    let page = shop.app.get(&path).await;
    assert_eq!(page.status, 200, "{}", page.body);
    assert_eq!(page.headers["cache-control"], "no-store");
    assert_eq!(page.headers["referrer-policy"], "same-origin");
    assert!(page.headers["x-robots-tag"].to_str().unwrap().contains("noindex"));
    for part in [booking.code.as_str(), "Europe/Paris", "noindex"] {
        assert!(page.body.contains(part), "{part}");
    }
    // In lower case, as somebody types it from paper.
    assert_eq!(
        shop.app
            .get(&path.replace(booking.code.as_str(), &booking.code.as_str().to_lowercase()))
            .await
            .status,
        200
    );

    let other = shop.app.pending_booking().await;
    let key = path.split_once("?k=").unwrap().1;
    let unknown = Code::of(BookingId::from(clock::new_id()), 3);
    let refused = |answer: &crate::harness::app::Answer| {
        let mut problem = answer.json();
        problem["requestId"] = json!(null);
        (answer.status, problem)
    };
    let expected = refused(&shop.app.get(&format!("/b/{unknown}?k={key}")).await);
    assert_eq!(expected.0, 404);
    let mut wrong = key.to_owned();
    wrong.replace_range(..1, if key.starts_with('A') { "B" } else { "A" });
    for path in [
        format!("/b/{}", booking.code),
        format!("/b/{}?k=", booking.code),
        format!("/b/{}?k={wrong}", booking.code),
        format!("/b/{}?k={}", booking.code, &key[..10]),
        format!("/b/{}?k={key}AAAA", booking.code),
        format!("/b/{}?k=%F0%9F%92%A9", booking.code),
        // The key of another booking.
        format!("/b/{}?k={key}", other.code),
        format!("/b/{}?k={key}", booking.id),
        format!("/b/{}/calendar.ics?k={wrong}", booking.code),
    ] {
        assert_eq!(refused(&shop.app.get(&path).await), expected, "{path}");
    }
    let reader = shop.app.person(Role::ReadOnly).await;
    assert_eq!(shop.app.get_as(&reader.cookie, &format!("/b/{}", booking.code)).await.status, 200);
}

async fn a_calendar_takes_the_booking_from_its_page(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    db.execute("update offers set name = 'Yoga, doux; à deux', duration_minutes = 45").await;
    let checkout = shop.book().await;
    shop.pay(&checkout, VISA).await;
    shop.app.get(&format!("/success?session_id={}", checkout.session)).await;
    let booking = shop.app.booking(checkout.booking).await;
    let path = checkout_backend::flow::bookings::own_path(&shop.app.app.config, &booking);
    let page = shop.app.get(&path).await;
    let file = path.replace("?k=", "/calendar.ics?k=");
    assert!(page.body.contains(&format!("href=\"{}\"", file)), "{}", page.body);
    let calendar = shop.app.get(&file).await;
    assert_eq!(calendar.status, 200);
    assert!(calendar.headers["content-type"].to_str().unwrap().starts_with("text/calendar"));
    let unfolded = calendar.body.replace("\r\n ", "");
    assert!(unfolded.contains("SUMMARY:Yoga\\, doux\\; à deux\r\n"), "{unfolded}");
    assert!(unfolded.contains("STATUS:CONFIRMED"));
    let end = booking.starts_at.plus(std::time::Duration::from_secs(45 * 60)).to_jiff();
    assert!(unfolded.contains(&format!("DTEND:{}", end.strftime("%Y%m%dT%H%M%SZ"))), "{unfolded}");
}

async fn the_result_page_leads_to_the_customers_page(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let checkout = shop.book().await;
    let page = shop.app.get(&format!("/success?session_id={}", checkout.session)).await;
    let booking = shop.app.booking(checkout.booking).await;
    let path = checkout_backend::flow::bookings::own_path(&shop.app.app.config, &booking);
    assert!(page.body.contains(&format!("href=\"{path}\"")), "{}", page.body);
}
