//! The rest of a payment's life: disputes, stories, replays, forgetting, and the doctor.

use crate::harness::process::command;
use crate::harness::{TestApp, TestDatabase, events, on_each_engine};
use crate::shop::{ADMIN, Checkout, DISPUTED, Shop, VISA};
use checkout_backend::flow::accounts::Actor;
use checkout_backend::flow::cases::{self, Decision};
use checkout_backend::flow::doctor::{self, Finding, Health};
use checkout_backend::flow::{effects, explain, privacy, refund, replay};
use checkout_backend::stripe::client::API_VERSION;
use domain::booking::Status;
use domain::case::CaseAction;
use domain::ids::CaseId;
use domain::lang::Lang;
use domain::role::Role;
use serde_json::{Value, json};
use std::time::Duration;

on_each_engine! {
    a_dispute_is_a_case_with_its_deadline,
    a_won_dispute_leaves_a_case_that_says_so_and_waits_for_nobody,
    an_inquiry_that_becomes_a_dispute_is_seen_even_if_it_was_dismissed,
    the_story_tells_each_step_with_source_and_reason_everywhere_the_same,
    a_story_in_french_is_french_from_end_to_end_and_on_local_clocks,
    a_replay_shows_the_difference_first_and_never_makes_anything_worse,
    an_event_that_was_not_applied_is_applied_by_its_replay,
    payloads_are_erased_after_their_time_and_facts_stay,
    a_person_is_exported_whole_and_forgotten_without_a_trace,
    a_person_is_forgotten_in_what_waits_for_its_booking_too,
    nobody_who_was_forgotten_gets_a_mail,
    a_person_whose_payment_is_open_is_not_forgotten_yet,
    the_doctor_is_content_with_a_sound_shop,
    the_doctor_finds_what_was_planted,
    the_doctor_says_when_a_rolled_secret_may_go,
    the_doctor_warns_of_signatures_from_the_future_and_of_a_clock_that_is_off,
    the_doctor_compares_the_endpoint_with_what_is_needed,
    the_doctor_is_a_program_with_an_exit_code,
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
    // As rows of before version 7 are.
    db.execute("update disputes set currency = null").await;
    shop.assert_sound().await;
}

async fn the_story_tells_each_step_with_source_and_reason_everywhere_the_same(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let checkout = shop.paid().await;
    refund::refund(&shop.app.app, checkout.booking, Some(1000), "a", ADMIN).await.unwrap();
    let story = story(&shop, &checkout, Lang::En).await;
    let text = story.lines().join("\n");
    for words in [
        "partiellement remboursé; price 60.00 EUR, paid 60.00 EUR, refunded 10.00 EUR",
        "[customer]  The booking was made",
        "[webhook]  Stripe sent checkout.session.completed (evt_",
        "[asked Stripe]  Asked Stripe: refund.updated",
        "applied. The payment was applied.",
        "[admin@example.org]  A refund of 10.00 EUR was asked for.",
        "Stripe made the refund re_",
    ] {
        assert!(text.contains(words), "{words:?} is missing in\n{text}");
    }
    assert!(story.steps.is_sorted_by_key(|step| step.at));
    let (code, told) = command(&db, &["explain", &checkout.booking.to_string()]).await;
    assert_eq!((code, told), (Some(0), format!("{text}\n")), "the command line tells it with the same words");
    let reader = shop.app.person(Role::ReadOnly).await;
    let path = format!("/api/bookings/{}/explain", checkout.booking);
    let api = shop.app.get_as(&reader.cookie, &path).await.json();
    assert_eq!(api["lines"], json!(story.lines()));
    let french = shop.app.get_as(&reader.cookie, &format!("{path}?lang=fr")).await.json();
    assert!(french["lines"].to_string().contains("Le paiement a été appliqué."), "{french}");
    assert_eq!(shop.app.get_as(&reader.cookie, &format!("{path}?lang=xx")).await.status, 400);
}

async fn story(shop: &Shop, checkout: &Checkout, lang: Lang) -> explain::Story {
    let zone = &shop.app.app.config.timezone;
    explain::story(&shop.app.app.store, checkout.booking, lang, zone).await.unwrap().unwrap()
}

async fn a_story_in_french_is_french_from_end_to_end_and_on_local_clocks(db: TestDatabase) {
    let refuses = ("NOTIFY_URL", "http://127.0.0.1:1/hook");
    let shop = Shop::open_with(
        &db,
        &[refuses, ("NOTIFY_SECRET", "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=")],
    )
    .await;
    // Everything that a story can hold: a dispute, refunds made and refused, a case that was settled, a
    // receiver that is away, an erased person.
    let checkout = shop.book().await;
    shop.pay(&checkout, DISPUTED).await;
    shop.deliver_all().await;
    shop.deliver_all().await;
    refund::refund(&shop.app.app, checkout.booking, Some(1000), "a", ADMIN).await.unwrap_err();
    effects::deliver_due(&shop.app.app).await.unwrap();
    let case = CaseId::parse(&db.texts("select id from cases where kind = 'dispute'").await[0]).unwrap();
    let dismiss = Decision {
        case,
        action: CaseAction::Dismiss,
        note: Some("vu"),
        booking: None,
        actor: ADMIN,
        role: Role::Admin,
    };
    cases::decide(&shop.app.app, dismiss).await.unwrap();
    let before = story(&shop, &checkout, Lang::Fr).await.lines().join("\n");
    let words = "NOTIFY_URL — pas encore informé (le destinataire est injoignable)";
    assert!(before.contains(words), "{words:?} is missing in\n{before}");
    privacy::erase(&db.store, &shop.app.clock, "ada@example.org", ADMIN).await.unwrap();

    let told = story(&shop, &checkout, Lang::Fr).await;
    let text = told.lines().join("\n");
    for words in [
        "prix 60,00 EUR",
        "[client]  La réservation a été faite",
        "Un cas a été ouvert",
        "(le litige du_",
        "Le cas a été réglé : Classer, avec un motif. « vu »",
        "Stripe a refusé le remboursement :",
        "Les données personnelles ont été effacées.",
    ] {
        assert!(text.contains(words), "{words:?} is missing in\n{text}");
    }
    // What Stripe itself said is quoted; all else is ours, and French.
    let ours = before
        .lines()
        .chain(text.lines())
        .map(|line| line.split(" « ").next().unwrap())
        .collect::<Vec<_>>()
        .join("\n");
    for english in
        [" the ", "The ", " was ", " is ", " of ", "asked", "told", "dispute ", "customer", "service:"]
    {
        assert!(!ours.contains(english), "{english:?} in\n{ours}");
    }
    let zone = &shop.app.app.config.timezone;
    let local = zone.to_datetime(told.steps[0].at.to_jiff());
    let day = format!("{:02}/{:02}/{} {:02}:", local.day(), local.month(), local.year(), local.hour());
    assert!(told.steps[0].local_time.starts_with(&day), "{day}: {:?}", told.steps[0]);
    assert!(
        ["CET", "CEST"].iter().any(|zone| told.steps[0].local_time.ends_with(zone)),
        "{:?}",
        told.steps[0]
    );

    let reader = shop.app.person(Role::ReadOnly).await;
    let path = format!("/api/bookings/{}/explain?lang=fr", checkout.booking);
    assert_eq!(shop.app.get_as(&reader.cookie, &path).await.json()["lines"], json!(told.lines()));
    let (_, printed) = command(&db, &["explain", &checkout.booking.to_string(), "--lang", "fr"]).await;
    assert_eq!(printed, format!("{text}\n"));
    let path = format!("/dashboard/bookings/{}", checkout.booking);
    let page = shop.app.get_as(&format!("{}; lang=fr", reader.cookie), &path).await.body;
    assert!(page.contains("Les données personnelles ont été effacées"), "{page}");
}

async fn a_won_dispute_leaves_a_case_that_says_so_and_waits_for_nobody(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let checkout = shop.book().await;
    shop.pay(&checkout, DISPUTED).await;
    shop.deliver_all().await;
    let ops = shop.app.person(Role::Ops).await;
    let case =
        async || shop.app.get_as(&ops.cookie, "/api/cases?state=open").await.json()["items"][0].clone();
    let open = case().await;
    assert!(
        open["deadline"].is_string() && open["message"].as_str().unwrap().contains("before the deadline"),
        "{open}"
    );

    for (n, status, words) in
        [(0, "under_review", "the bank decides"), (1, "lost", "was lost"), (2, "won", "you keep the money")]
    {
        let mut event =
            shop.sim.events().into_iter().find(|e| e["type"] == "charge.dispute.created").unwrap();
        event["id"] = format!("evt_dispute_{n}").into();
        event["type"] = "charge.dispute.updated".into();
        event["data"]["object"]["status"] = status.into();
        assert_eq!(shop.app.deliver(&event).await.outcome(), "processed");
        let case = case().await;
        assert_eq!(case["deadline"], json!(null), "{status}: nothing is due any more");
        assert!(case["message"].as_str().unwrap().contains(words), "{status}: {case}");
        assert_eq!(case["disputeStatus"], status);
        assert!(case["detail"].as_str().unwrap().ends_with(&format!("is {status}")), "{case}");
        let told = story(&shop, &checkout, Lang::En).await.lines().join("\n");
        assert!(told.contains(words), "{told}");
    }
    let mut tx = db.store.read().await.unwrap();
    assert_eq!(tx.pulse(shop.app.clock.now()).await.unwrap().next_deadline, None);
    tx.rollback().await.unwrap();
    assert_eq!(shop.status(&checkout).await, Status::Paid);
    assert_eq!(case().await["state"], "open", "none closes by itself");
    let id = case().await["id"].as_str().unwrap().to_owned();
    let cookie = ("cookie", ops.cookie.as_str());
    let note = json!({ "note": "won" });
    let closed = shop.app.post_json(&format!("/api/cases/{id}/dismiss"), &note, &[cookie]).await;
    assert_eq!(closed.status, 200, "{}", closed.body);
    shop.assert_sound().await;
}

async fn an_inquiry_that_becomes_a_dispute_is_seen_even_if_it_was_dismissed(db: TestDatabase) {
    let app = TestApp::start(&db).await;
    let booking = app.pending_booking().await;
    app.deliver(&app.paid("evt_1", &booking, "cs_1")).await;
    let tell = async |id: &str, status: &str| {
        let dispute = events::dispute("dp_1", "cs_1", 6000, status);
        assert_eq!(
            app.deliver(&events::event(id, "charge.dispute.updated", dispute)).await.outcome(),
            "processed"
        );
    };
    tell("evt_2", "warning_needs_response").await;
    assert_eq!(app.status(booking.id).await, Status::Paid, "a question of the bank's is no dispute");
    db.execute("update cases set closed_at = created_at, resolution = 'dismiss', closed_by = 'ops'").await;
    tell("evt_3", "needs_response").await;
    assert_eq!(app.status(booking.id).await, Status::Disputed);
    assert_eq!(
        db.number("select count(*) from cases where closed_at is null and deadline is not null").await,
        1
    );
    db.assert_sound().await;
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

async fn a_person_is_forgotten_in_what_waits_for_its_booking_too(db: TestDatabase) {
    let app = TestApp::start(&db).await;
    let (mut lost, theirs) = (app.pending_booking().await, app.pending_booking().await);
    lost.id = domain::ids::BookingId::from(clock::new_id());
    let about = |id: &str, booking, session: &str| {
        let mut event = app.paid(id, booking, session);
        let details = json!({ "email": "Zdenka.Canary@example.org", "name": "Zdenka" });
        event["data"]["object"]["customer_details"] = details;
        event["data"]["object"]["metadata"]["note"] = json!("ask zdenka.canary@example.org");
        event["data"]["object"]["metadata"]["zdenka.canary@example.org"] = json!("yes");
        event
    };
    assert_eq!(app.deliver(&about("evt_1", &lost, "cs_1")).await.outcome(), "parked");
    // Somebody paid another's booking, under her own address.
    assert_eq!(app.deliver(&about("evt_2", &theirs, "cs_2")).await.outcome(), "processed");
    let export = privacy::export(&db.store, "zdenka.canary@example.org").await.unwrap();
    assert_eq!(export["alsoReceivedFromStripe"].as_array().unwrap().len(), 2, "{export}");
    privacy::erase(&db.store, &app.clock, "zdenka.canary@example.org", ADMIN).await.unwrap();
    let knows = "lower(payload) like '%canary%' or payload like '%Zdenka%'";
    assert_eq!(db.number(&format!("select count(*) from payment_events where {knows}")).await, 0);
    // What waits goes on: its facts are there still.
    app.clock.advance(Duration::from_secs(3700));
    app.app.recorder.retry_due(&app.app.store).await.unwrap();
    assert_eq!(db.texts("select kind from cases").await, ["unknown_booking"]);
    assert_eq!(db.number("select count(*) from cases where amount = 6000").await, 1);
    db.assert_sound().await;
}

async fn nobody_who_was_forgotten_gets_a_mail(db: TestDatabase) {
    let mail = [("SMTP_URL", "smtp://127.0.0.1:1"), ("MAIL_FROM", "shop@example.org")];
    let shop = Shop::open_with(&db, &mail).await;
    let checkout = shop.paid().await;
    effects::deliver_due(&shop.app.app).await.unwrap();
    db.execute("update outbox_deliveries set state = 'dead', next_try_at = null where target = 'customer'")
        .await;
    let note = format!(
        "insert into cases (id, case_key, kind, booking_id, detail, created_at, closed_at, resolution, note) values
         ('01890a5d-ac96-774b-bcce-b302099a8057', 'k', 'dispute', '{}', '', 0, 1, 'dismiss', 'Mrs LOVELACE called')",
        checkout.booking
    );
    db.execute(&note).await;
    privacy::erase(&db.store, &shop.app.clock, "ada@example.org", ADMIN).await.unwrap();
    assert_eq!(db.texts("select note from cases").await, ["—"]);
    let mut tx = db.store.begin().await.unwrap();
    assert_eq!(tx.revive_deliveries(shop.app.clock.now()).await.unwrap(), 0);
    tx.commit().await.unwrap();
    let waiting =
        "select count(*) from outbox_deliveries where target = 'customer' and next_try_at is not null";
    assert_eq!(db.number(waiting).await, 0);
    let findings = doctor::examine(&shop.app.app).await;
    let effects = findings.iter().find(|finding| finding.check == "effects").unwrap();
    assert_eq!(effects.status, Health::Ok, "nobody is asked to deliver it again: {effects:?}");
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
    shop.app.account("admin@pay.test", Role::Admin).await;
    shop.paid().await;
    let findings = doctor::examine(&shop.app.app).await;
    let bad: Vec<_> = findings.iter().filter(|finding| finding.status != Health::Ok).collect();
    assert!(bad.is_empty(), "{bad:?}");
    for check in [
        "configuration",
        "database",
        "disk",
        "stripe-key",
        "clock",
        "ledger",
        "accounts",
        "cases",
        "webhooks",
        "secrets",
        "signatures",
    ] {
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
    for check in planted.iter().map(|(check, _)| *check).chain(["clock", "accounts"]) {
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

fn finding<'f>(findings: &'f [Finding], check: &str) -> &'f Finding {
    findings.iter().find(|finding| finding.check == check).unwrap_or_else(|| panic!("{check}: {findings:?}"))
}

async fn the_doctor_warns_of_signatures_from_the_future_and_of_a_clock_that_is_off(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let booking = shop.app.pending_booking().await;
    let body = shop.app.paid("evt_1", &booking, "cs_1").to_string();
    let secrets = [secrecy::SecretString::from(crate::harness::app::WEBHOOK_SECRET)];
    let now = shop.app.clock.now().as_unix_seconds();
    let deliver = async |at: i64| {
        let header = stripe_sim::sign(&secrets, at, body.as_bytes());
        assert_eq!(shop.app.deliver_raw(body.clone(), Some(&header)).await.status, 200, "the future passes");
    };
    deliver(now + 20).await;
    assert_eq!(finding(&doctor::examine(&shop.app.app).await, "signatures").status, Health::Ok);
    deliver(now + 3600).await;
    let findings = doctor::examine(&shop.app.app).await;
    let future = finding(&findings, "signatures");
    assert_eq!(future.status, Health::Warn, "{future:?}");
    assert!(future.message.contains("ahead of this machine's clock"), "{future:?}");
    assert!(future.fix.as_ref().unwrap().contains("timedatectl"), "{future:?}");
    // Another process is told so too.
    let (_, told) = command(&db, &["doctor", "--json"]).await;
    assert!(told.contains("ahead of this machine's clock"), "{told}");
    let metrics = shop.app.get("/metrics").await.body;
    let line =
        metrics.lines().find(|line| line.starts_with("checkout_webhook_signed_ahead_timestamp")).unwrap();
    assert!(!line.ends_with(" 0"), "{line}");

    for (seconds, status) in [(120, Health::Warn), (180, Health::Fail)] {
        shop.app.clock.advance(Duration::from_secs(seconds));
        let findings = doctor::examine(&shop.app.app).await;
        assert_eq!(finding(&findings, "clock").status, status, "{findings:?}");
    }
    shop.app.clock.advance(Duration::from_secs(86_400));
    assert_eq!(
        finding(&doctor::examine(&shop.app.app).await, "signatures").status,
        Health::Ok,
        "a day later"
    );
}

async fn the_doctor_compares_the_endpoint_with_what_is_needed(db: TestDatabase) {
    let kinds = checkout_backend::stripe::event::KINDS;
    let url = "https://shop.test/webhook";
    let ours = |status: &str, kinds: &[&str], version: Option<&str>| json!({ "id": "we_1", "url": url, "status": status, "enabled_events": kinds, "api_version": version });
    let other = json!({ "id": "we_2", "url": "https://old.test/webhook", "status": "enabled", "enabled_events": ["*"] });
    let current = Some(API_VERSION);
    for (endpoints, status, words) in [
        (json!([ours("enabled", &kinds, current)]), Health::Ok, "enabled"),
        (json!([ours("enabled", &["*"], None), other]), Health::Ok, "the account's own version"),
        (
            json!([
                json!({ "id": "we_3", "url": "https://shop.test/webhook?version=2026-10-28", "status": "enabled", "enabled_events": ["*"] })
            ]),
            Health::Ok,
            "enabled",
        ),
        (json!([]), Health::Fail, "it has none"),
        (json!([other]), Health::Fail, "it has https://old.test/webhook"),
        (json!([ours("disabled", &kinds, current)]), Health::Fail, "disabled"),
        (json!([ours("disabled", &kinds, current), ours("enabled", &kinds, current)]), Health::Ok, "enabled"),
        (json!([ours("enabled", &kinds[..10], current)]), Health::Fail, "charge.dispute.closed"),
        (json!([ours("enabled", &kinds, Some("2019-01-01"))]), Health::Warn, "2019-01-01"),
        (
            json!([ours("enabled", &kinds, current), ours("enabled", &kinds, current)]),
            Health::Warn,
            "more than once",
        ),
    ] {
        let list = json!({ "object": "list", "data": endpoints, "has_more": false });
        let answer = move |uri: axum::http::Uri| {
            let list = list.clone();
            async move {
                axum::Json(if uri.path().ends_with("endpoints") {
                    list
                } else {
                    json!({ "object": "balance" })
                })
            }
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stripe = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(
            async move { axum::serve(listener, axum::Router::new().fallback(answer)).await.unwrap() },
        );
        let key = ("STRIPE_SECRET_KEY", "sk_test_4eC39HqLyjWDarjtT1zdp7dc");
        let app = TestApp::start_with(&db, &[("APP_URL", "https://shop.test"), key], &stripe).await;
        let findings = doctor::examine(&app.app).await;
        let found = finding(&findings, "endpoint");
        assert_eq!(found.status, status, "{endpoints}: {found:?}");
        assert!(found.message.contains(words), "{words:?}: {found:?}");
        assert_eq!(found.fix.is_none(), status == Health::Ok, "{found:?}");
        if status == Health::Fail {
            assert!(found.fix.as_ref().unwrap().starts_with("stripe webhook_endpoints "), "{found:?}");
        }
    }
}

async fn the_doctor_is_a_program_with_an_exit_code(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let checkout = shop.paid().await;
    let (code, told) = command(&db, &["doctor", "--json"]).await;
    let report: Value = serde_json::from_str(&told).unwrap();
    // Nobody serves the simulated Stripe where that command looks for it.
    assert_eq!((code, &report["ok"]), (Some(1), &json!(false)));
    let find = |check: &str| {
        report["findings"].as_array().unwrap().iter().find(|f| f["check"] == check).unwrap().clone()
    };
    assert_eq!((&find("ledger")["status"], &find("database")["status"]), (&json!("ok"), &json!("ok")));
    assert_eq!(find("stripe")["fix"], "checkout-backend serve");
    assert_eq!(find("accounts")["status"], "warn");
    db.execute(&format!("update bookings set paid_amount = 1 where id = '{}'", checkout.booking)).await;
    let (code, told) = command(&db, &["doctor"]).await;
    assert_eq!(code, Some(1));
    assert!(told.contains(&format!("checkout-backend explain {}", checkout.booking)), "{told}");
}
