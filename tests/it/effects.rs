//! Others are told at least once, under one key, after the commit; and a receiver that fails is not
//! forgotten.

use crate::harness::process::command;
use crate::harness::{TestApp, TestDatabase, events, eventually, on_each_engine};
use crate::shop::{ADMIN, Shop, VISA};
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use checkout_backend::flow::business::{self, LogoChange};
use checkout_backend::flow::{effects, home, refund, whereabouts};
use domain::booking::{BookingRequest, Status};
use domain::business::Draft;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::sync::Notify;

on_each_engine! {
    a_payment_is_notified_once_and_signed,
    nothing_is_told_before_it_happened_nor_twice_for_a_replay,
    a_receiver_that_fails_is_tried_again_under_the_same_key,
    a_receiver_that_never_answers_well_is_given_up_visibly_and_can_be_tried_again,
    a_crash_between_sending_and_marking_tells_it_again_under_the_same_key,
    customer_and_owner_get_mails_in_their_language,
    mails_come_in_the_name_of_the_business,
    a_strangers_name_makes_no_link_and_no_text_in_a_mail,
    a_mail_says_that_a_program_wrote_it_and_goes_to_a_host_by_its_name_in_ascii,
    a_copy_of_the_database_elsewhere_tells_nobody_until_it_is_said_that_it_moved,
    a_copy_whose_waiting_mails_are_discarded_tells_only_what_happens_to_it,
    a_mail_that_comes_late_confirms_no_booking_that_was_given_back,
    a_mail_server_that_does_not_let_us_in_gets_the_mail_once_it_does,
    a_receiver_that_hangs_holds_up_no_other_booking,
    what_is_not_true_any_more_is_neither_told_nor_given_up,
    without_receivers_the_outbox_is_simply_readable,
    what_a_command_applied_without_the_settings_is_told_by_the_service,
}

pub(crate) const SECRET: &str = "whsec_c2VjcmV0LW9mLXRoZS1yZWNlaXZlci0wMDAx";

/// An endpoint of somebody else's.
pub(crate) struct Receiver {
    pub(crate) url: String,
    got: Arc<Mutex<Vec<(HeaderMap, String)>>>,
    status: Arc<AtomicU16>,
}

impl Receiver {
    pub(crate) async fn start() -> Self {
        let got: Arc<Mutex<Vec<(HeaderMap, String)>>> = Arc::default();
        let status = Arc::new(AtomicU16::new(200));
        let (keep, answer) = (got.clone(), status.clone());
        let handler = post(move |headers: HeaderMap, body: Bytes| async move {
            keep.lock().unwrap().push((headers, String::from_utf8(body.to_vec()).unwrap()));
            StatusCode::from_u16(answer.load(Ordering::SeqCst)).unwrap()
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let router = axum::Router::new().route("/hook", handler);
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, got, status }
    }

    pub(crate) fn answer(&self, status: u16) {
        self.status.store(status, Ordering::SeqCst);
    }

    pub(crate) fn got(&self) -> Vec<(HeaderMap, String)> {
        self.got.lock().unwrap().clone()
    }

    pub(crate) fn keys(&self) -> Vec<String> {
        self.got().iter().map(|(headers, _)| headers["webhook-id"].to_str().unwrap().to_owned()).collect()
    }
}

pub(crate) async fn shop_with(db: &TestDatabase, receiver: &Receiver) -> Shop {
    Shop::open_with(db, &[("NOTIFY_URL", &receiver.url), ("NOTIFY_SECRET", SECRET)]).await
}

pub(crate) async fn deliver(shop: &Shop) -> usize {
    effects::deliver_due(&shop.app.app).await.unwrap()
}

async fn a_payment_is_notified_once_and_signed(db: TestDatabase) {
    let receiver = Receiver::start().await;
    let shop = shop_with(&db, &receiver).await;
    let checkout = shop.paid().await;
    assert_eq!(deliver(&shop).await, 1);
    assert_eq!(deliver(&shop).await, 0);
    let (headers, body) = receiver.got().remove(0);
    let text = |name: &str| headers[name].to_str().unwrap().to_owned();
    let key = STANDARD.decode(SECRET.strip_prefix("whsec_").unwrap()).unwrap();
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
    mac.update(format!("{}.{}.{body}", text("webhook-id"), text("webhook-timestamp")).as_bytes());
    assert_eq!(text("webhook-signature"), format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())));
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(body["type"], "booking.paid");
    assert_eq!(body["data"]["bookingId"], checkout.booking.to_string());
    assert_eq!((&body["data"]["status"], &body["data"]["amountPaid"]), (&"payé".into(), &6000.into()));
    assert!(!body.to_string().contains("ada@example.org"), "no address leaves");
}

async fn nothing_is_told_before_it_happened_nor_twice_for_a_replay(db: TestDatabase) {
    let receiver = Receiver::start().await;
    let shop = shop_with(&db, &receiver).await;
    let checkout = shop.book().await;
    shop.pay(&checkout, VISA).await;
    assert_eq!(deliver(&shop).await, 0, "paid at Stripe, not yet here");
    for _ in 0..3 {
        shop.deliver_all().await;
    }
    deliver(&shop).await;
    refund::refund(&shop.app.app, checkout.booking, Some(1000), "a", ADMIN).await.unwrap();
    shop.deliver_all().await;
    deliver(&shop).await;
    let kinds: Vec<_> = receiver
        .got()
        .iter()
        .map(|(_, body)| serde_json::from_str::<Value>(body).unwrap()["type"].clone())
        .collect();
    assert_eq!(kinds, ["booking.paid", "booking.refunded"]);
}

async fn a_receiver_that_fails_is_tried_again_under_the_same_key(db: TestDatabase) {
    let receiver = Receiver::start().await;
    receiver.answer(503);
    let shop = shop_with(&db, &receiver).await;
    shop.paid().await;
    assert_eq!(deliver(&shop).await, 0);
    assert_eq!(deliver(&shop).await, 0, "not at once again");
    assert_eq!(receiver.got().len(), 1);
    receiver.answer(200);
    shop.advance(Duration::from_secs(5));
    assert_eq!(deliver(&shop).await, 1);
    let keys = receiver.keys();
    assert_eq!((keys.len(), &keys[0]), (2, &keys[1]));
    assert_eq!(db.texts("select state from outbox_deliveries").await, ["done"]);
}

async fn a_receiver_that_never_answers_well_is_given_up_visibly_and_can_be_tried_again(db: TestDatabase) {
    let receiver = Receiver::start().await;
    receiver.answer(500);
    let shop = shop_with(&db, &receiver).await;
    shop.paid().await;
    for _ in 0..30 {
        deliver(&shop).await;
        shop.app.clock.advance(Duration::from_secs(7 * 3600));
    }
    assert_eq!(receiver.got().len(), 20);
    assert_eq!(db.texts("select state from outbox_deliveries").await, ["dead"]);
    assert_eq!(db.texts("select last_error from outbox_deliveries").await, ["the receiver answered 500"]);
    receiver.answer(204);
    let mut tx = shop.app.app.store.begin().await.unwrap();
    assert_eq!(tx.revive_deliveries(shop.app.clock.now()).await.unwrap(), 1);
    tx.commit().await.unwrap();
    assert_eq!(deliver(&shop).await, 1);
}

async fn a_crash_between_sending_and_marking_tells_it_again_under_the_same_key(db: TestDatabase) {
    let receiver = Receiver::start().await;
    let shop = shop_with(&db, &receiver).await;
    shop.paid().await;
    deliver(&shop).await;
    // What the database looks like if the process died right after sending.
    db.execute("update outbox_deliveries set state = 'pending', done_at = null, next_try_at = 0").await;
    assert_eq!(deliver(&shop).await, 1);
    let keys = receiver.keys();
    assert_eq!((keys.len(), &keys[0]), (2, &keys[1]));
}

/// A mail server that keeps what it gets.
pub(crate) async fn mail_server() -> (String, Arc<Mutex<Vec<String>>>) {
    strict_mail_server(Arc::new(AtomicU16::new(250))).await
}

/// The same, which greets each sender with this code.
async fn strict_mail_server(greeting: Arc<AtomicU16>) -> (String, Arc<Mutex<Vec<String>>>) {
    let mails: Arc<Mutex<Vec<String>>> = Arc::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("smtp://{}", listener.local_addr().unwrap());
    let keep = mails.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (keep, greeting) = (keep.clone(), greeting.clone());
            tokio::spawn(async move {
                let (read, mut write) = stream.into_split();
                let mut lines = BufReader::new(read).lines();
                write.write_all(b"220 sink ESMTP\r\n").await.unwrap();
                let mut mail = None;
                while let Ok(Some(line)) = lines.next_line().await {
                    let answer: &[u8] = match &mut mail {
                        Some(_) if line == "." => {
                            keep.lock().unwrap().extend(mail.take());
                            b"250 kept\r\n"
                        }
                        Some(mail) => {
                            *mail = format!("{mail}{line}\n");
                            continue;
                        }
                        None if line.starts_with("DATA") => {
                            mail = Some(String::new());
                            b"354 go on\r\n"
                        }
                        None if line.starts_with("QUIT") => b"221 bye\r\n",
                        None if line.starts_with("MAIL") => match greeting.load(Ordering::SeqCst) {
                            250 => b"250 ok\r\n",
                            530 => b"530 5.7.0 Authentication required\r\n",
                            _ => b"550 5.7.1 no\r\n",
                        },
                        None if line.starts_with("EHLO") => b"250-sink\r\n250 8BITMIME\r\n",
                        None => b"250 ok\r\n",
                    };
                    if write.write_all(answer).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    (url, mails)
}

async fn a_mail_says_that_a_program_wrote_it_and_goes_to_a_host_by_its_name_in_ascii(db: TestDatabase) {
    let (url, mails) = mail_server().await;
    let shop = Shop::open_with(&db, &[("SMTP_URL", &url), ("MAIL_FROM", "cabinet@example.org")]).await;
    let request = BookingRequest { email: "elise@exämple.org".into(), ..Shop::request() };
    let checkout = shop.book_as(&request).await;
    shop.pay(&checkout, VISA).await;
    shop.deliver_all().await;
    assert_eq!(deliver(&shop).await, 2);
    let got = mails.lock().unwrap().clone();
    assert!(got.iter().any(|mail| mail.contains("elise@xn--exmple-cua.org")), "{got:?}");
    assert!(got.iter().all(|mail| mail.contains("Auto-Submitted: auto-generated")), "{got:?}");
}

/// A shop whose customer waits for a mail that could not leave, and the same database started elsewhere.
async fn copied(db: &TestDatabase, there: &[(&str, &str)]) -> (Shop, TestApp) {
    let nobody = [("SMTP_URL", "smtp://127.0.0.1:1"), ("MAIL_FROM", "cabinet@example.org")];
    let at_home = [("APP_URL", "https://shop.example.org")];
    let shop = Shop::open_with(db, &[&nobody[..], &at_home[..]].concat()).await;
    assert_eq!(deliver(&shop).await, 0);
    shop.paid().await;
    deliver(&shop).await;
    db.execute("update outbox_deliveries set next_try_at = 0 where state = 'pending'").await;
    let copy = TestApp::start_with(db, there, &shop.sim.base_url()).await;
    (shop, copy)
}

async fn a_copy_of_the_database_elsewhere_tells_nobody_until_it_is_said_that_it_moved(db: TestDatabase) {
    let (url, mails) = mail_server().await;
    let there = [
        ("SMTP_URL", url.as_str()),
        ("MAIL_FROM", "x@example.org"),
        ("APP_URL", "https://staging.example.org"),
    ];
    let (_shop, copy) = copied(&db, &there).await;
    assert_eq!(effects::deliver_due(&copy.app).await.unwrap(), 0);
    assert!(mails.lock().unwrap().is_empty());
    let remarks = whereabouts::remarks(&copy.app).await.unwrap();
    let home = remarks.iter().find(|remark| remark.check == "home").unwrap();
    assert!(home.message.contains("https://shop.example.org"), "{home:?}");
    assert!(home.fix.as_ref().unwrap().contains("checkout-backend adopt"), "{home:?}");

    assert_eq!(home::adopt(&copy.app, false).await.unwrap(), 0);
    assert_eq!(effects::deliver_due(&copy.app).await.unwrap(), 2);
    assert_eq!(mails.lock().unwrap().len(), 2);
    let remarks = whereabouts::remarks(&copy.app).await.unwrap();
    assert!(remarks.iter().any(|remark| remark.check == "home" && remark.fix.is_none()), "{remarks:?}");
}

async fn a_copy_whose_waiting_mails_are_discarded_tells_only_what_happens_to_it(db: TestDatabase) {
    let (url, mails) = mail_server().await;
    let there = [
        ("SMTP_URL", url.as_str()),
        ("MAIL_FROM", "x@example.org"),
        ("APP_URL", "https://staging.example.org"),
    ];
    let (shop, copy) = copied(&db, &there).await;
    assert_eq!(home::adopt(&copy.app, true).await.unwrap(), 2);
    assert_eq!(effects::deliver_due(&copy.app).await.unwrap(), 0);
    shop.paid().await;
    assert_eq!(effects::deliver_due(&copy.app).await.unwrap(), 2);
    assert_eq!(mails.lock().unwrap().len(), 2);
    db.assert_sound().await;
}

async fn customer_and_owner_get_mails_in_their_language(db: TestDatabase) {
    let (url, mails) = mail_server().await;
    let shop = Shop::open_with(
        &db,
        &[
            ("SMTP_URL", &url),
            ("MAIL_FROM", "Cabinet <cabinet@example.org>"),
            ("ADMIN_EMAIL", "owner@example.org"),
            ("ADMIN_PASSWORD", "a long enough passphrase"),
        ],
    )
    .await;
    let checkout = shop.paid().await;
    db.execute("update bookings set lang = 'en'").await;
    assert_eq!(deliver(&shop).await, 2);
    let got = mails.lock().unwrap().clone();
    let to =
        |address: &str| got.iter().find(|mail| mail.contains(&format!("To: {address}"))).unwrap().clone();
    let customer = to("ada@example.org");
    assert!(customer.contains("Hello Ada") && customer.contains("60.00 EUR"), "{customer}");
    assert!(customer.contains(&checkout.booking.to_string()));
    let link = format!("/success?session_id={}", checkout.session);
    assert!(unfolded(&customer).contains(&link), "{customer}");
    assert!(customer.contains("Message-ID: <msg_"), "{customer}");
    assert!(got.iter().all(|mail| mail.contains("Auto-Submitted: auto-generated")), "{customer}");
    let owner = to("owner@example.org");
    assert!(owner.contains("/dashboard/bookings/"), "{owner}");
    assert!(owner.contains("Ada Lovelace <ada@example.org>"), "{owner}");
    assert_eq!(deliver(&shop).await, 0);

    for (amount, holds) in [(1000, "Your booking is still valid."), (5000, "Your booking is cancelled.")] {
        mails.lock().unwrap().clear();
        refund::refund(&shop.app.app, checkout.booking, Some(amount), &amount.to_string(), ADMIN)
            .await
            .unwrap();
        assert_eq!(deliver(&shop).await, 2);
        let got = mails.lock().unwrap().clone();
        assert!(got.iter().any(|mail| unfolded(mail).contains(holds)), "{holds}: {got:?}");
    }
}

async fn mails_come_in_the_name_of_the_business(db: TestDatabase) {
    let (url, mails) = mail_server().await;
    let shop = Shop::open_with(&db, &[&MAILS[..], &[("SMTP_URL", &url)]].concat()).await;
    let draft = Draft {
        name: Some("Atelier, Nord".to_owned()),
        address: Some("1 rue du Port\n33000 Bordeaux".to_owned()),
        email: Some("bonjour@atelier.example".to_owned()),
        mail_lang: Some("en".to_owned()),
        ..Draft::default()
    };
    business::save(&shop.app.app, &draft.parse().unwrap(), LogoChange::Keep, ADMIN).await.unwrap();
    shop.paid().await;
    assert_eq!(deliver(&shop).await, 2);
    let got = mails.lock().unwrap().clone();
    let from = format!("From: =?utf-8?b?{}?= <cabinet@example.org>", STANDARD.encode("Atelier, Nord"));
    assert!(got.iter().all(|mail| mail.contains(&from)), "{got:?}");
    let customer = got.iter().find(|mail| mail.contains("To: ada@example.org")).unwrap();
    let signature = "-- \nAtelier, Nord\n1 rue du Port\n33000 Bordeaux\nbonjour@atelier.example\n";
    assert!(customer.replace("--=20", "-- ").contains(signature), "{customer}");
    let owner = got.iter().find(|mail| !mail.contains("To: ada@example.org")).unwrap();
    assert!(owner.contains("Subject: Paid") && !owner.contains("rue du Port"), "{owner}");
}

/// A stranger books for an address that is not theirs, and lets the payment fail: what they typed as a name must not
/// reach that address as a message with a link, from the shop's own domain.
async fn a_strangers_name_makes_no_link_and_no_text_in_a_mail(db: TestDatabase) {
    let (url, mails) = mail_server().await;
    let settings = [
        ("SMTP_URL", url.as_str()),
        ("MAIL_FROM", "Cabinet <cabinet@example.org>"),
        ("ADMIN_EMAIL", "owner@example.org"),
        ("ADMIN_PASSWORD", "a long enough passphrase"),
    ];
    let shop = Shop::open_with(&db, &settings).await;
    let request = BookingRequest {
        first_name: "Gagnez 500 EUR sur https://evil.example/x".into(),
        last_name: "www.evil.example tel:0899000000 <a href=//evil.example>".into(),
        ..Shop::request()
    };
    let checkout = shop.book_as(&request).await;
    let booking = shop.booking(&checkout).await;
    let mut session = events::session(&booking, &checkout.session, &shop.app.app.instance.to_string());
    session["payment_status"] = "unpaid".into();
    for (n, kind) in ["completed", "async_payment_failed"].into_iter().enumerate() {
        let event = events::event(&format!("evt_{n}"), &format!("checkout.session.{kind}"), session.clone());
        assert_eq!(shop.app.deliver(&event).await.outcome(), "processed", "{kind}");
    }
    assert_eq!(shop.status(&checkout).await, Status::Failed);
    assert_eq!(deliver(&shop).await, 2);
    let got = mails.lock().unwrap().clone();
    let ours = shop.app.url.trim_start_matches("http://");
    for mail in got.iter().map(|mail| unfolded(mail)) {
        for part in ["evil.example", "evil/", "500", "0899", "tel:", "<a "] {
            assert!(!mail.contains(part), "{part}: {mail}");
        }
        for link in mail.split("http").skip(1).filter_map(|rest| rest.split_once("://")) {
            assert!(link.1.starts_with(ours), "{}: {mail}", link.1);
        }
    }
    let customer = got.iter().find(|mail| mail.contains("To: ada@example.org")).unwrap();
    let longest = unfolded(customer).lines().filter(|line| line.starts_with("Bonjour")).map(str::len).max();
    assert!(longest.is_some_and(|length| length < 60), "{customer}");
}

/// A mail without the line ends that its encoding put in.
pub(crate) fn unfolded(mail: &str) -> String {
    mail.replace("=\n", "").replace("=3D", "=")
}

async fn a_mail_that_comes_late_confirms_no_booking_that_was_given_back(db: TestDatabase) {
    let (url, mails) = mail_server().await;
    let shop = Shop::open_with(&db, &[&MAILS[..], &[("SMTP_URL", &url)]].concat()).await;
    let checkout = shop.paid().await;
    refund::refund(&shop.app.app, checkout.booking, None, "all", ADMIN).await.unwrap();
    deliver(&shop).await;
    let to_customer = |mail: &&String| mail.contains("To: ada@example.org");
    let got = mails.lock().unwrap().clone();
    let subjects: Vec<_> = got
        .iter()
        .filter(to_customer)
        .filter_map(|mail| mail.lines().find(|line| line.starts_with("Subject:")))
        .collect();
    assert_eq!(subjects.len(), 1, "{subjects:?}");
    assert!(
        got.iter()
            .filter(to_customer)
            .all(|mail| unfolded(mail).contains("6000") || mail.contains("60,00 EUR")),
        "{got:?}"
    );
}

const MAILS: [(&str, &str); 3] = [
    ("MAIL_FROM", "cabinet@example.org"),
    ("ADMIN_EMAIL", "owner@example.org"),
    ("ADMIN_PASSWORD", "a long enough passphrase"),
];

async fn a_mail_server_that_does_not_let_us_in_gets_the_mail_once_it_does(db: TestDatabase) {
    let greeting = Arc::new(AtomicU16::new(530));
    let (url, mails) = strict_mail_server(greeting.clone()).await;
    let shop = Shop::open_with(&db, &[&MAILS[..], &[("SMTP_URL", &url)]].concat()).await;
    shop.paid().await;
    assert_eq!(deliver(&shop).await, 0);
    assert_eq!(
        db.texts("select distinct state from outbox_deliveries").await,
        ["pending"],
        "the owner corrects the password"
    );
    let errors = db.texts("select distinct last_error from outbox_deliveries").await;
    assert_eq!(errors, ["the mail server does not let us in (530)"]);
    greeting.store(250, Ordering::SeqCst);
    shop.advance(Duration::from_secs(10));
    assert_eq!(deliver(&shop).await, 2);
    assert_eq!(mails.lock().unwrap().len(), 2);
    // Who is refused for good is given up at once.
    greeting.store(550, Ordering::SeqCst);
    shop.paid().await;
    assert_eq!(deliver(&shop).await, 0);
    assert_eq!(db.number("select count(*) from outbox_deliveries where state = 'dead'").await, 2);
}

/// The first request is never answered; the others must not wait for that.
async fn a_receiver_that_hangs_holds_up_no_other_booking(db: TestDatabase) {
    let (heard, release) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let handler = post({
        let (heard, release) = (heard.clone(), release.clone());
        move || async move {
            if heard.fetch_add(1, Ordering::SeqCst) == 0 {
                release.notified().await;
            }
        }
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let router = axum::Router::new().route("/hook", handler);
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    let shop = Shop::open_with(&db, &[("NOTIFY_URL", &url), ("NOTIFY_SECRET", SECRET)]).await;
    for _ in 0..4 {
        shop.paid().await;
    }
    let app = shop.app.app.clone();
    let round = tokio::spawn(async move { effects::deliver_due(&app).await.unwrap() });
    eventually("the others are told", async || {
        db.number("select count(*) from outbox_deliveries where state = 'done'").await == 3
    })
    .await;
    release.notify_one();
    assert_eq!(round.await.unwrap(), 4);
}

async fn what_is_not_true_any_more_is_neither_told_nor_given_up(db: TestDatabase) {
    let (url, mails) = mail_server().await;
    let shop = Shop::open_with(&db, &[&MAILS[..], &[("SMTP_URL", &url)]].concat()).await;
    shop.paid().await;
    // As if the payment had been found to be another's meanwhile.
    db.execute("update bookings set status = 'annulé', paid_session_id = null, payment_intent_id = null, paid_amount = null, paid_at = null").await;
    assert_eq!(deliver(&shop).await, 1, "the owner is told");
    assert!(mails.lock().unwrap().iter().all(|mail| mail.contains("To: owner@example.org")));
    let dropped = "state = 'done' and done_at is null and last_error = 'it is not true any more'";
    assert_eq!(db.number(&format!("select count(*) from outbox_deliveries where {dropped}")).await, 1);
    assert_eq!(db.number("select count(*) from outbox_deliveries where state = 'dead'").await, 0);
}

async fn without_receivers_the_outbox_is_simply_readable(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    shop.paid().await;
    assert_eq!(deliver(&shop).await, 0);
    assert_eq!(db.texts("select kind from outbox").await, ["booking.paid"]);
    assert_eq!(db.number("select count(*) from outbox_deliveries").await, 0);
}

async fn what_a_command_applied_without_the_settings_is_told_by_the_service(db: TestDatabase) {
    let receiver = Receiver::start().await;
    let shop = shop_with(&db, &receiver).await;
    let checkout = shop.paid().await;
    // As after a fault of ours: stored, not applied.
    db.execute("delete from outbox").await;
    db.execute("update payment_events set outcome = 'rejected', reason = 'fault', applied_payment = false")
        .await;
    db.execute("update bookings set status = 'en attente', paid_session_id = null, payment_intent_id = null, paid_amount = null, paid_at = null").await;
    let event =
        db.texts("select event_key from payment_events where type = 'checkout.session.completed'").await;
    let (code, told) = command(&db, &["events", "replay", &event[0]]).await;
    assert_eq!(code, Some(0), "{told}");
    assert_eq!(shop.status(&checkout).await, Status::Paid);
    assert_eq!(deliver(&shop).await, 1);
    assert_eq!(receiver.got().len(), 1);
}
