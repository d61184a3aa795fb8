//! Where a database is, by which time zone its slots are reckoned, and whose cookies count.

use crate::harness::people::PASSWORD;
use crate::harness::{TestApp, TestDatabase, on_each_engine};
use crate::shop::Shop;
use checkout_backend::flow::{whereabouts, zone};
use domain::role::Role;
use serde_json::json;

on_each_engine! {
    bookings_are_reckoned_anew_when_the_time_zone_was_corrected,
    the_doctor_says_by_which_rules_time_is_reckoned,
    another_sites_cookie_of_the_same_name_locks_nobody_out,
    a_name_that_hides_something_is_refused,
}

async fn bookings_are_reckoned_anew_when_the_time_zone_was_corrected(db: TestDatabase) {
    let wrong = TestApp::start_with(&db, &[("APP_TIMEZONE", "UTC")], "http://127.0.0.1:1").await;
    let booking = wrong.pending_booking().await;
    assert_eq!(zone::reckon(&wrong.app).await.unwrap(), 0);
    let right = TestApp::start_with(&db, &[("APP_TIMEZONE", "America/New_York")], "http://127.0.0.1:1").await;
    assert_eq!(zone::reckon(&right.app).await.unwrap(), 1);
    let after = right.booking(booking.id).await;
    assert_eq!(
        (after.slot, after.starts_at),
        (booking.slot, booking.slot.starts_at(&right.app.config.timezone).unwrap())
    );
    assert_eq!(after.starts_at.since(booking.starts_at).as_secs(), 5 * 3600);
    // Other rules for the same zone: what is to come is reckoned by them.
    db.execute("update bookings set starts_at = starts_at - 3600000000").await;
    assert_eq!(zone::reckon(&right.app).await.unwrap(), 1);
    assert_eq!(right.booking(booking.id).await.starts_at, after.starts_at);
    assert_eq!(zone::reckon(&right.app).await.unwrap(), 0);
}

async fn the_doctor_says_by_which_rules_time_is_reckoned(db: TestDatabase) {
    let app = TestApp::start(&db).await;
    let remarks = whereabouts::remarks(&app.app).await.unwrap();
    let zone = remarks.iter().find(|remark| remark.check == "time-zone").unwrap();
    assert!(zone.message.contains("Europe/Paris") && zone.message.contains("tzdata"), "{zone:?}");
}

async fn another_sites_cookie_of_the_same_name_locks_nobody_out(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let own = "A".repeat(43);
    let body = |request: &domain::booking::BookingRequest| {
        json!({
            "firstName": request.first_name, "lastName": request.last_name, "email": request.email,
            "date": request.date, "time": request.time,
        })
    };
    let body = body(&Shop::request());
    // Browsers send the older one first, or that of the longer path.
    for cookies in
        [format!("hold=1; hold={own}"), format!("hold={own}; hold=1"), format!("hold=; a=b; hold={own}")]
    {
        let answer = shop.app.post_json("/api/bookings", &body, &[("cookie", &cookies)]).await;
        assert_eq!(answer.status, 200, "{cookies}: {}", answer.body);
    }
    assert_eq!(db.number("select count(*) from bookings").await, 1, "each time the same payment page");

    shop.app.account("ada@pay.test", Role::Ops).await;
    let signed_in = crate::harness::people::cookie(&shop.app.login("ada@pay.test", PASSWORD).await);
    for cookies in [
        format!("sid=somebody-elses; {signed_in}"),
        format!("{signed_in}; sid=somebody-elses"),
        format!("sid=; sid=%00; {signed_in}"),
    ] {
        assert_eq!(shop.app.me(&cookies).await, 200, "{cookies}");
    }
    assert_eq!(shop.app.me("sid=somebody-elses; sid=another").await, 401);
}

async fn a_name_that_hides_something_is_refused(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    for (first, last) in
        [("\u{200b}", "\u{200b}\u{2060}"), ("Ada\u{202e}gro.elpmaxe", "L"), ("Ada", "\u{2067}x\u{2069}")]
    {
        let request = Shop::request();
        let body = json!({
            "firstName": first, "lastName": last, "email": request.email, "date": request.date, "time": request.time,
        });
        let answer = shop.app.post_json("/api/bookings", &body, &[]).await;
        assert_eq!(answer.status, 400, "{first:?} {last:?}: {}", answer.body);
    }
}
