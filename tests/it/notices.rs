//! Whoever runs the shop is told of what waits for a decision, each once, and before a deadline once more.

use crate::effects::{Receiver, deliver, mail_server, shop_with, unfolded};
use crate::harness::{TestDatabase, on_each_engine};
use crate::shop::{ADMIN, DISPUTED, Shop};
use checkout_backend::flow::cases::{self, Decision};
use domain::case::CaseAction;
use domain::ids::{BookingId, CaseId};
use domain::role::Role;
use serde_json::{Value, json};
use std::time::Duration;

on_each_engine! {
    each_case_is_posted_once_and_its_deadline_once,
    a_case_of_no_booking_is_told_too,
    a_mail_says_who_what_how_much_and_where,
    of_a_case_that_was_closed_meanwhile_nothing_is_told,
    a_receiver_that_fails_is_asked_again_under_the_same_key_and_given_up_in_sight,
    of_what_was_open_before_anybody_was_to_be_told_nothing_is_told,
}

fn told(receiver: &Receiver) -> Vec<Value> {
    let all = receiver.got();
    let posts = all.iter().map(|(_, body)| serde_json::from_str::<Value>(body).unwrap());
    posts.filter(|post| !post["type"].as_str().unwrap().starts_with("booking.")).collect()
}

async fn disputed(shop: &Shop) -> CaseId {
    let checkout = shop.book().await;
    shop.pay(&checkout, DISPUTED).await;
    shop.deliver_all().await;
    let id =
        shop.app.db.texts("select id from cases where kind = 'dispute' order by id desc").await.remove(0);
    CaseId::parse(&id).unwrap()
}

async fn each_case_is_posted_once_and_its_deadline_once(db: TestDatabase) {
    let receiver = Receiver::start().await;
    let shop = shop_with(&db, &receiver).await;
    let case = disputed(&shop).await;
    for _ in 0..3 {
        shop.deliver_all().await;
        deliver(&shop).await;
    }
    let posts = told(&receiver);
    assert_eq!(posts.len(), 1, "{posts:?}");
    let data = &posts[0]["data"];
    assert_eq!((&posts[0]["type"], &data["caseId"]), (&json!("case.opened"), &json!(case)));
    assert_eq!(
        (&data["kind"], &data["amount"], &data["currency"]),
        (&json!("dispute"), &json!(6000), &json!("eur"))
    );
    assert!(data["bookingId"].is_string() && data["deadline"].is_string(), "{data}");
    assert!(!posts[0].to_string().contains("ada@example.org"), "no address leaves");

    let deadline = db.number("select due_by from disputes").await;
    let now = shop.app.clock.now().as_micros();
    let left = Duration::from_micros(u64::try_from(deadline - now).unwrap());
    shop.advance(left - Duration::from_secs(3 * 86_400 + 60));
    deliver(&shop).await;
    assert_eq!(told(&receiver).len(), 1, "it is not near yet");
    for _ in 0..3 {
        shop.advance(Duration::from_secs(60));
        deliver(&shop).await;
    }
    let kinds: Vec<_> = told(&receiver).iter().map(|post| post["type"].clone()).collect();
    assert_eq!(kinds, ["case.opened", "dispute.deadline"]);
}

async fn a_case_of_no_booking_is_told_too(db: TestDatabase) {
    let receiver = Receiver::start().await;
    let shop = shop_with(&db, &receiver).await;
    let mut lost = shop.app.pending_booking().await;
    lost.id = BookingId::from(clock::new_id());
    shop.app.deliver(&shop.app.paid("evt_1", &lost, "cs_1")).await;
    shop.advance(Duration::from_secs(3601));
    shop.app.app.recorder.retry_due(&shop.app.app.store).await.unwrap();
    deliver(&shop).await;
    let posts = told(&receiver);
    let data = &posts[0]["data"];
    assert_eq!((posts.len(), &data["kind"]), (1, &json!("unknown_booking")));
    assert_eq!((&data["bookingId"], &data["stripeSessionId"]), (&json!(null), &json!("cs_1")));
}

async fn a_mail_says_who_what_how_much_and_where(db: TestDatabase) {
    let (url, mails) = mail_server().await;
    let settings =
        [("SMTP_URL", url.as_str()), ("MAIL_FROM", "shop@example.org"), ("ADMIN_EMAIL", "owner@example.org")];
    let shop = Shop::open_with(&db, &settings).await;
    let case = disputed(&shop).await;
    deliver(&shop).await;
    let mails = mails.lock().unwrap().clone();
    let link = format!("/dashboard/cases/{case}");
    let about: Vec<_> = mails.iter().map(|mail| unfolded(mail)).filter(|mail| mail.contains(&link)).collect();
    assert_eq!(about.len(), 1, "{mails:?}");
    for words in ["owner@example.org", "Ada", "60", "Auto-Submitted: auto-generated"] {
        assert!(about[0].contains(words), "{words}: {}", about[0]);
    }
}

async fn of_a_case_that_was_closed_meanwhile_nothing_is_told(db: TestDatabase) {
    let receiver = Receiver::start().await;
    let shop = shop_with(&db, &receiver).await;
    let case = disputed(&shop).await;
    let decision = Decision {
        case,
        action: CaseAction::Dismiss,
        note: Some("seen"),
        booking: None,
        actor: ADMIN,
        role: Role::Admin,
    };
    cases::decide(&shop.app.app, decision).await.unwrap();
    deliver(&shop).await;
    assert_eq!(told(&receiver), Vec::<Value>::new());
    assert_eq!(db.texts("select state from case_notices").await, ["done"], "and nothing waits");
}

async fn a_receiver_that_fails_is_asked_again_under_the_same_key_and_given_up_in_sight(db: TestDatabase) {
    let receiver = Receiver::start().await;
    receiver.answer(500);
    let shop = shop_with(&db, &receiver).await;
    disputed(&shop).await;
    db.execute("update outbox set fanned_out_at = 1").await;
    for _ in 0..2 {
        deliver(&shop).await;
        shop.advance(Duration::from_secs(60));
    }
    let keys = receiver.keys();
    assert_eq!((keys.len(), &keys[0]), (2, &keys[1]));
    db.execute("update case_notices set tries = 19").await;
    shop.advance(Duration::from_secs(3600));
    deliver(&shop).await;
    let mut tx = shop.app.app.store.begin().await.unwrap();
    let counts = tx.delivery_counts().await.unwrap();
    assert_eq!((counts.pending, counts.dead), (0, 1));
    assert_eq!(tx.revive_deliveries(shop.app.clock.now()).await.unwrap(), 1);
    tx.commit().await.unwrap();
    receiver.answer(200);
    assert_eq!(deliver(&shop).await, 1);
}

async fn of_what_was_open_before_anybody_was_to_be_told_nothing_is_told(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    disputed(&shop).await;
    deliver(&shop).await;
    let receiver = Receiver::start().await;
    let later = shop_with(&db, &receiver).await;
    deliver(&later).await;
    assert_eq!(told(&receiver), Vec::<Value>::new());
}
