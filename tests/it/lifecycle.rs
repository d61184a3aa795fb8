//! The rest of a payment's life: disputes, stories, replays, forgetting, and the doctor.

use crate::harness::{TestDatabase, on_each_engine};
use crate::shop::{ADMIN, DISPUTED, Shop, VISA};
use checkout_backend::domain::booking::Status;
use checkout_backend::domain::lang::Lang;
use checkout_backend::domain::role::Role;
use checkout_backend::flow::accounts::Actor;
use checkout_backend::flow::doctor::{self, Health};
use checkout_backend::flow::{effects, explain, privacy, refund, replay};
use serde_json::json;
use std::time::Duration;

on_each_engine! {
    a_dispute_is_a_case_with_its_deadline,
    the_story_tells_each_step_with_source_and_reason_everywhere_the_same,
    a_replay_shows_the_difference_first_and_never_makes_anything_worse,
    an_event_that_was_not_applied_is_applied_by_its_replay,
    payloads_are_erased_after_their_time_and_facts_stay,
    a_person_is_exported_whole_and_forgotten_without_a_trace,
    a_person_whose_payment_is_open_is_not_forgotten_yet,
    the_doctor_is_content_with_a_sound_shop,
    the_doctor_finds_what_was_planted,
    the_doctor_says_when_a_rolled_secret_may_go,
}

async fn a_dispute_is_a_case_with_its_deadline(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let checkout = shop.book().await;
    shop.pay(&checkout, DISPUTED).await;
    shop.deliver_all().await;
    shop.reconcile(checkout_backend::flow::reconcile::Options::default()).await;
    let booking = shop.booking(&checkout).await;
    assert_eq!((booking.status(), booking.seat), (Status::Disputed, Some(1)));
    assert_eq!(db.texts("select kind from cases").await, ["dispute"]);
    assert_eq!(db.number("select count(*) from cases where deadline is not null").await, 1);
    assert_eq!(db.number("select count(*) from outbox where kind = 'booking.disputed'").await, 1);
}

async fn the_story_tells_each_step_with_source_and_reason_everywhere_the_same(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let checkout = shop.paid().await;
    refund::refund(&shop.app.app, checkout.booking, Some(1000), "a", ADMIN).await.unwrap();
    let story = explain::story(&db.store, checkout.booking, Lang::En).await.unwrap().unwrap();
    let text = story.lines().join("\n");
    for words in [
        "partiellement remboursé; price 60.00 EUR, paid 60.00 EUR, refunded 10.00 EUR",
        "[customer]  The booking was made",
        "[webhook]  Stripe sent checkout.session.completed (evt_",
        "applied. The payment was applied.",
        "[admin@example.org]  A refund of 10.00 EUR was asked for.",
        "[poll]  Asked Stripe: refund.updated",
        "Stripe made the refund re_",
    ] {
        assert!(text.contains(words), "{words:?} is missing in\n{text}");
    }
    assert!(story.steps.is_sorted_by_key(|step| step.at));
    let reader = shop.app.person(Role::ReadOnly).await;
    let path = format!("/api/bookings/{}/explain", checkout.booking);
    let api = shop.app.get_as(&reader.cookie, &path).await.json();
    assert_eq!(api["lines"], json!(story.lines()));
    let french = shop.app.get_as(&reader.cookie, &format!("{path}?lang=fr")).await.json();
    assert!(french["lines"].to_string().contains("Le paiement a été appliqué."), "{french}");
    assert_eq!(shop.app.get_as(&reader.cookie, &format!("{path}?lang=xx")).await.status, 400);
}

async fn a_replay_shows_the_difference_first_and_never_makes_anything_worse(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let checkout = shop.paid().await;
    refund::refund(&shop.app.app, checkout.booking, None, "a", ADMIN).await.unwrap();
    shop.deliver_all().await;
    let before = shop.booking(&checkout).await;
    for event in db.texts("select event_key from payment_events").await {
        let shown = replay::preview(&shop.app.app, &event).await.unwrap();
        assert_eq!((shown.dry_run, shown.changes), (true, vec![]), "{event}");
        for _ in 0..3 {
            let replayed = replay::replay(&shop.app.app, &event, Actor::CLI).await;
            assert!(replayed.is_ok(), "{event}: {replayed:?}");
        }
    }
    assert_eq!(shop.booking(&checkout).await, before);
    assert_eq!(shop.status(&checkout).await, Status::Refunded);
    shop.assert_sound().await;
}

async fn an_event_that_was_not_applied_is_applied_by_its_replay(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let checkout = shop.book().await;
    shop.pay(&checkout, VISA).await;
    let event = shop.sim.events().into_iter().find(|e| e["type"] == "checkout.session.completed").unwrap();
    let id = event["id"].as_str().unwrap();
    // As after a fault of ours: stored, not applied.
    shop.app.deliver(&event).await;
    db.execute("delete from outbox").await;
    db.execute("update payment_events set outcome = 'rejected', reason = 'fault', applied_payment = false, next_try_at = 9000000000000000").await;
    db.execute("update bookings set status = 'en attente', paid_session_id = null, payment_intent_id = null, paid_amount = null, paid_at = null").await;
    let ops = shop.app.person(Role::Ops).await;
    let cookie = ("cookie", ops.cookie.as_str());
    let shown =
        shop.app.post_json(&format!("/api/events/{id}/replay?dryRun=true"), &json!({}), &[cookie]).await;
    assert_eq!(shown.status, 200, "{}", shown.body);
    assert_eq!(
        shown.json()["changes"][0],
        json!({"member": "status", "before": "en attente", "after": "payé"})
    );
    assert_eq!(shop.status(&checkout).await, Status::Pending);
    let done = shop.app.post_json(&format!("/api/events/{id}/replay"), &json!({}), &[cookie]).await;
    assert_eq!(done.json()["outcome"], "processed");
    assert_eq!(shop.status(&checkout).await, Status::Paid);
    assert_eq!(shop.app.post_json("/api/events/evt_none/replay", &json!({}), &[cookie]).await.status, 404);
    let shown = shop.app.get_as(&ops.cookie, &format!("/api/events/{id}")).await;
    assert_eq!(shown.json()["message"], "The payment was applied.");
}

async fn payloads_are_erased_after_their_time_and_facts_stay(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let checkout = shop.paid().await;
    assert_eq!(privacy::clean_up(&shop.app.app).await.unwrap(), 0);
    shop.advance(Duration::from_secs(91 * 86_400));
    assert!(privacy::clean_up(&shop.app.app).await.unwrap() > 0);
    assert_eq!(db.number("select count(*) from payment_events where payload is not null").await, 0);
    assert_eq!(shop.booking(&checkout).await.payment().unwrap().amount, 6000);
    assert_eq!(db.number("select count(*) from payment_events where applied_payment").await, 1);
    shop.assert_sound().await;
}

async fn a_person_is_exported_whole_and_forgotten_without_a_trace(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let mut request = Shop::request();
    request.first_name = "Zdenka".into();
    request.email = "zdenka.canary@example.org".into();
    let checkout = shop.book_as(&request).await;
    shop.pay(&checkout, VISA).await;
    shop.deliver_all().await;
    let other = shop.paid().await;
    effects::deliver_due(&shop.app.app).await.unwrap();
    let export = privacy::export(&db.store, "Zdenka.Canary@example.org").await.unwrap();
    assert_eq!(export["bookings"].as_array().unwrap().len(), 1);
    assert_eq!(export["bookings"][0]["firstName"], "Zdenka");
    assert_eq!(export["bookings"][0]["amountPaid"], 6000);
    assert!(!export["bookings"][0]["receivedFromStripe"].as_array().unwrap().is_empty());

    let sum = db.number("select sum(paid_amount) from bookings").await;
    let rows = db.number("select count(*) from payment_events").await;
    let erased =
        privacy::erase(&db.store, &shop.app.clock, "zdenka.canary@example.org", ADMIN).await.unwrap();
    assert_eq!(erased.erased, [checkout.booking]);
    assert_eq!(db.number("select sum(paid_amount) from bookings").await, sum);
    assert_eq!(db.number("select count(*) from payment_events").await, rows);
    assert_eq!(shop.status(&checkout).await, Status::Paid);
    assert_eq!(shop.booking(&other).await.customer.email, "ada@example.org", "nobody else is touched");
    for table in [
        "bookings",
        "payment_events",
        "cases",
        "outbox",
        "outbox_deliveries",
        "audit_log",
        "idempotency_keys",
    ] {
        let trace = format!("select count(*) from {table} t where lower(t::text) like '%canary%'");
        if db.engine == crate::harness::Engine::Postgres {
            assert_eq!(db.number(&trace).await, 0, "{table}");
        }
    }
    if db.engine == crate::harness::Engine::Sqlite {
        for file in std::fs::read_dir(db.folder.path()).unwrap() {
            let path = file.unwrap().path();
            let Ok(bytes) = std::fs::read(&path) else { continue };
            let found = bytes.windows(6).any(|six| six.eq_ignore_ascii_case(b"canary") || six == b"Zdenka");
            assert!(!found, "{} still knows", path.display());
        }
    }
    // What Stripe tells later of the same person is forgotten again.
    let late = shop.sim.events().into_iter().find(|e| e["type"] == "checkout.session.completed").unwrap();
    let mut late = late;
    late["id"] = "evt_told_later".into();
    shop.app.deliver(&late).await;
    privacy::clean_up(&shop.app.app).await.unwrap();
    assert_eq!(db.number("select count(*) from payment_events where payload like '%canary%'").await, 0);
    shop.assert_sound().await;
}

async fn a_person_whose_payment_is_open_is_not_forgotten_yet(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let checkout = shop.book().await;
    let erased = privacy::erase(&db.store, &shop.app.clock, "ada@example.org", ADMIN).await.unwrap();
    assert_eq!((erased.erased.len(), erased.still_open), (0, vec![checkout.booking]));
    assert_eq!(shop.booking(&checkout).await.customer.first_name, "Ada");
}

async fn the_doctor_is_content_with_a_sound_shop(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    shop.paid().await;
    let findings = doctor::examine(&shop.app.app).await;
    let bad: Vec<_> = findings.iter().filter(|finding| finding.status != Health::Ok).collect();
    assert!(bad.is_empty(), "{bad:?}");
    for check in
        ["configuration", "database", "disk", "stripe-key", "clock", "ledger", "cases", "webhooks", "secrets"]
    {
        assert!(findings.iter().any(|finding| finding.check == check), "{check}");
    }
}

async fn the_doctor_finds_what_was_planted(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let checkout = shop.paid().await;
    let planted = [
        ("ledger", format!("update bookings set paid_amount = null, paid_at = null, paid_session_id = null where id = '{}'", checkout.booking)),
        ("effects", "insert into outbox_deliveries (id, outbox_id, target, state, tries, created_at) select 'd', id, 'notify', 'dead', 20, 0 from outbox limit 1".to_owned()),
        ("livemode", "update payment_events set reason = 'livemode_of_another'".to_owned()),
        ("waiting", "update payment_events set next_try_at = 1".to_owned()),
        ("cases", format!("insert into cases (id, case_key, kind, booking_id, detail, created_at) values ('01890a5d-ac96-774b-bcce-b302099a8057', 'k', 'dispute', '{}', '', 0)", checkout.booking)),
    ];
    for (_, sql) in &planted {
        db.execute(sql).await;
    }
    // Our clock is ahead of Stripe's; real time does not follow it.
    shop.app.clock.advance(Duration::from_secs(120));
    let findings = doctor::examine(&shop.app.app).await;
    for check in planted.iter().map(|(check, _)| *check).chain(["clock"]) {
        let finding = findings.iter().find(|finding| finding.check == check && finding.status != Health::Ok);
        let finding = finding.unwrap_or_else(|| panic!("{check} was not found: {findings:?}"));
        assert!(finding.fix.is_some(), "{check} comes without what to do");
    }
}

async fn the_doctor_says_when_a_rolled_secret_may_go(db: TestDatabase) {
    let secrets = format!("whsec_old_0123456789,{}", crate::harness::app::WEBHOOK_SECRET);
    let shop = Shop::open_with(&db, &[("STRIPE_WEBHOOK_SECRET", &secrets)]).await;
    shop.paid().await;
    let findings = doctor::examine(&shop.app.app).await;
    let messages: Vec<_> =
        findings.iter().filter(|f| f.check == "secrets").map(|f| f.message.clone()).collect();
    assert_eq!(messages.len(), 2);
    assert!(messages[0].contains("never; safe to remove"), "{messages:?}");
    assert!(!messages[1].contains("safe to remove"), "{messages:?}");
}
