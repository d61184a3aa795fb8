//! How often something may be tried, and who is not kept out by it.

use crate::harness::app::Answer;
use crate::harness::people::PASSWORD;
use crate::harness::{Engine, TestApp, TestDatabase, on_each_engine};
use domain::role::Role;
use futures_util::future::join_all;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;

const MINUTE: Duration = Duration::from_secs(60);

on_each_engine! {
    the_sixth_failed_sign_in_of_a_minute_is_refused_unjudged,
    successful_sign_ins_are_not_limited,
    the_limit_is_shared_between_instances,
    tries_at_the_same_time_cannot_pass_together,
    strangers_can_be_slowed_down_but_cannot_lock_the_owner_out,
    the_delay_of_an_account_grows_and_holds_on_every_instance,
    deliveries_are_taken_while_hundreds_sign_in,
}

fn header<'a>(answer: &'a Answer, name: &str) -> &'a str {
    answer.headers.get(name).unwrap_or_else(|| panic!("no {name}: {answer:?}")).to_str().unwrap()
}

async fn behind_a_proxy(db: &TestDatabase) -> TestApp {
    TestApp::start_with(db, &[("TRUST_PROXY", "1")], "http://127.0.0.1:1").await
}

/// S12
async fn the_sixth_failed_sign_in_of_a_minute_is_refused_unjudged(db: TestDatabase) {
    let app = TestApp::start(&db).await;
    app.clock.freeze(app.clock.now());
    app.account("ada@pay.test", Role::Ops).await;
    for left in (0..5).rev() {
        // Without TRUST_PROXY nobody becomes somebody else by saying so.
        let spoofed = format!("203.0.113.{left}");
        let email = format!("guess-{left}@pay.test");
        let answer = app.login_with(&email, "wrong password", &[("x-forwarded-for", &spoofed)]).await;
        assert_eq!(answer.status, 401);
        assert_eq!(header(&answer, "ratelimit-policy"), "login;q=5;w=60");
        assert_eq!(header(&answer, "ratelimit"), format!("login;r={left};t=60"));
    }
    let refused = app.login("ada@pay.test", PASSWORD).await;
    assert_eq!((refused.status, header(&refused, "retry-after")), (429, "60"));
    assert_eq!(header(&refused, "ratelimit"), "login;r=0;t=60");
    assert_eq!(header(&refused, "content-type"), "application/problem+json");
    app.clock.advance(MINUTE);
    assert_eq!(app.login("ada@pay.test", PASSWORD).await.status, 200);
}

async fn successful_sign_ins_are_not_limited(db: TestDatabase) {
    let app = TestApp::start(&db).await;
    app.account("ada@pay.test", Role::Ops).await;
    for _ in 0..7 {
        assert_eq!(app.login("ada@pay.test", PASSWORD).await.status, 200);
    }
}

async fn the_limit_is_shared_between_instances(db: TestDatabase) {
    let (one, other) = (TestApp::start(&db).await, TestApp::start(&db).await);
    for app in [&one, &other, &one, &other, &one] {
        assert_eq!(app.login("ada@pay.test", "wrong password").await.status, 401);
    }
    assert_eq!(other.login("bob@pay.test", "wrong password").await.status, 429);
}

async fn tries_at_the_same_time_cannot_pass_together(db: TestDatabase) {
    let app = TestApp::start(&db).await;
    let tries = (0..20).map(|n| {
        let app = &app;
        async move { app.login(&format!("guess-{n}@pay.test"), "wrong password").await.status }
    });
    let statuses = join_all(tries).await;
    let judged = statuses.iter().filter(|status| **status == 401).count();
    // A busy machine may turn some away with 503; what counts is that no more than five are judged.
    assert!((1..=5).contains(&judged), "{statuses:?}");
    assert!(statuses.iter().all(|status| [401, 429, 503].contains(status)), "{statuses:?}");
}

/// S12
async fn strangers_can_be_slowed_down_but_cannot_lock_the_owner_out(db: TestDatabase) {
    let app = behind_a_proxy(&db).await;
    app.clock.freeze(app.clock.now());
    app.account("ada@pay.test", Role::Admin).await;
    let from = async |address: &str, password: &str| {
        app.login_with("ada@pay.test", password, &[("x-forwarded-for", address)]).await
    };
    assert_eq!(from("198.51.100.7", PASSWORD).await.status, 200);
    let mut statuses = Vec::new();
    for stranger in 1..=50 {
        statuses.push(from(&format!("203.0.113.{stranger}"), "wrong password").await.status);
    }
    assert_eq!(statuses.iter().filter(|status| **status == 401).count(), 5, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 429).count(), 45, "{statuses:?}");
    assert_eq!(from("198.51.100.7", PASSWORD).await.status, 200, "from where the owner signed in before");

    // From elsewhere even the owner waits, but not for long.
    let elsewhere = from("198.51.100.200", PASSWORD).await;
    assert_eq!((elsewhere.status, header(&elsewhere, "retry-after")), (429, "10"));
    app.clock.advance(Duration::from_secs(10));
    assert_eq!(from("203.0.113.77", "wrong password").await.status, 401);
    assert_eq!(header(&from("203.0.113.78", "wrong password").await, "retry-after"), "20");
    app.clock.advance(Duration::from_secs(20));
    assert_eq!(from("198.51.100.200", PASSWORD).await.status, 200);
}

/// S12
async fn the_delay_of_an_account_grows_and_holds_on_every_instance(db: TestDatabase) {
    let (one, other) = (behind_a_proxy(&db).await, behind_a_proxy(&db).await);
    let now = one.clock.now();
    one.clock.freeze(now);
    other.clock.freeze(now);
    one.account("ada@pay.test", Role::Admin).await;
    let mut stranger = 0;
    let mut fail = async |app: &TestApp| {
        stranger += 1;
        let from = format!("203.0.113.{stranger}");
        app.login_with("ada@pay.test", "wrong password", &[("x-forwarded-for", &from)]).await
    };
    let owner = [("x-forwarded-for", "198.51.100.7")];
    assert_eq!(one.login_with("ada@pay.test", PASSWORD, &owner).await.status, 200);
    for app in [&one, &other, &one, &other, &one] {
        assert_eq!(fail(app).await.status, 401);
    }
    for seconds in [10, 20, 40, 80, 160] {
        for app in [&one, &other] {
            let refused = fail(app).await;
            assert_eq!((refused.status, header(&refused, "retry-after")), (429, &*seconds.to_string()));
        }
        assert_eq!(other.login_with("ada@pay.test", PASSWORD, &owner).await.status, 200, "the owner's place");
        one.clock.advance(Duration::from_secs(seconds));
        other.clock.advance(Duration::from_secs(seconds));
        assert_eq!(fail(&other).await.status, 401, "after {seconds} s");
    }
}

/// S13: if passwords were compared where requests are served, each delivery would wait for a whole round
/// of sign-ins.
async fn deliveries_are_taken_while_hundreds_sign_in(db: TestDatabase) {
    const PEOPLE: usize = 200;
    const DELIVERIES: usize = 20;
    let app = Arc::new(behind_a_proxy(&db).await);
    let bookings = app.pending_bookings(DELIVERIES).await;
    let (judged, asked) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let mut people = JoinSet::new();
    for person in 0..PEOPLE {
        let (app, judged, asked) = (app.clone(), judged.clone(), asked.clone());
        people.spawn(async move {
            loop {
                // Everybody from everywhere, so that only the hashing holds them.
                let n = asked.fetch_add(1, Ordering::Relaxed);
                let from = format!("10.{}.{}.{}", n / 65_536, n / 256 % 256, n % 256);
                let email = format!("guess-{person}-{n}@pay.test");
                let answer = app.login_with(&email, "wrong password", &[("x-forwarded-for", &from)]).await;
                assert!([401, 503].contains(&answer.status), "{answer:?}");
                if answer.status == 401 {
                    judged.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
    }
    while asked.load(Ordering::Relaxed) < PEOPLE || judged.load(Ordering::Relaxed) == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let before = judged.load(Ordering::Relaxed);
    for (n, booking) in bookings.iter().enumerate() {
        let event = app.paid(&format!("evt_busy_{n}"), booking, &format!("cs_busy_{n}"));
        let answer = app.deliver(&event).await;
        assert_eq!((answer.status, answer.outcome().as_str()), (200, "processed"));
    }
    let meanwhile = judged.load(Ordering::Relaxed) - before;
    assert!(meanwhile < PEOPLE, "{meanwhile} passwords were compared while {DELIVERIES} deliveries waited");
    people.abort_all();
}

#[tokio::test]
async fn checkouts_of_an_address_are_limited_but_bad_input_is_not_counted() {
    let db = TestDatabase::fresh(Engine::Sqlite).await;
    let app = behind_a_proxy(&db).await;
    let ask = async |body: serde_json::Value, address: &str| {
        let headers = [("x-forwarded-for", address), ("idempotency-key", "one")];
        app.post_json("/create-checkout-session", &body, &headers).await
    };
    for _ in 0..130 {
        assert_eq!(ask(json!({}), "198.51.100.7").await.status, 400);
    }
    let booking = json!({
        "firstName": "Ada", "lastName": "Lovelace", "email": "ada@example.org", "date": "2031-05-05", "time": "10:00",
    });
    // One is under way, the others carry its key: whatever they are told, they were tries.
    let statuses = join_all((0..121).map(|_| ask(booking.clone(), "198.51.100.7"))).await;
    let refused: Vec<_> = statuses.iter().filter(|answer| answer.status == 429).collect();
    assert_eq!(refused.len(), 1);
    assert!(header(refused[0], "retry-after").parse::<u32>().unwrap() <= 60);
    assert_eq!(header(refused[0], "ratelimit-policy"), "checkout;q=120;w=60");
    assert_ne!(ask(booking, "198.51.100.8").await.status, 429);
}

#[tokio::test]
async fn valid_deliveries_are_never_limited_only_failures_are() {
    let db = TestDatabase::fresh(Engine::Sqlite).await;
    let app = TestApp::start(&db).await;
    let mut statuses = Vec::new();
    for _ in 0..310 {
        statuses.push(app.deliver_raw("{}", Some("t=1,v1=00")).await.status);
    }
    assert!(statuses[..300].iter().all(|status| *status == 400), "{statuses:?}");
    assert!(statuses[300..].iter().all(|status| *status == 429), "{statuses:?}");
    let refused = app.deliver_raw("{}", Some("t=1,v1=00")).await;
    assert!(header(&refused, "retry-after").parse::<u32>().unwrap() <= 60);
    assert_eq!(header(&refused, "ratelimit-policy"), "webhook-failures;q=300;w=60");
    let booking = app.pending_booking().await;
    let answer = app.deliver(&app.paid("evt_after_noise", &booking, "cs_after_noise")).await;
    assert_eq!((answer.status, answer.outcome().as_str()), (200, "processed"));
}
