//! The one checker of the ledger's invariants: content with what is sound, and not blind.

use crate::harness::{TestApp, TestDatabase, lost, on_each_engine};
use crate::shop::{ADMIN, DISPUTED, Shop, VISA};
use checkout_backend::flow::invariants::Scope;
use checkout_backend::flow::{cancel, invariants, refund};
use std::collections::BTreeSet;
use std::time::Duration;

on_each_engine! {
    a_life_of_every_kind_breaks_no_invariant,
    each_invariant_finds_what_was_planted,
    a_change_of_the_state_that_nobody_told_is_found,
    what_was_acknowledged_and_is_not_there_is_found,
    the_clocks_of_two_instances_may_differ,
    what_is_recent_is_judged_where_there_is_much_and_everything_if_asked,
}

async fn a_life_of_every_kind_breaks_no_invariant(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let refunded = shop.paid().await;
    refund::refund(&shop.app.app, refunded.booking, Some(1000), "a", ADMIN).await.unwrap();
    let disputed = shop.book().await;
    shop.pay(&disputed, DISPUTED).await;
    let delayed = shop.book().await;
    shop.pay(&delayed, "sepa_debit").await;
    let cancelled = shop.book().await;
    cancel::cancel(&shop.app.app, cancelled.booking, "", ADMIN).await.unwrap();
    shop.book().await;
    shop.deliver_all().await;
    shop.reconcile(checkout_backend::flow::reconcile::Options::default()).await;
    let audit = invariants::audit(&db.store).await.unwrap();
    assert_eq!(audit.violations, []);
    assert_eq!((audit.told_again, audit.not_told_again), (5, 0));
    // Facts stay when payloads go: then nothing can be told again, and nothing is said to be wrong.
    db.execute("update payment_events set payload = null").await;
    let audit = invariants::audit(&db.store).await.unwrap();
    assert_eq!(audit.violations, []);
    assert!(audit.not_told_again > 0);
}

async fn each_invariant_finds_what_was_planted(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let of_paid = [
        ("I3-settled-or-planned", "update payment_events set outcome = 'parked' where booking_id = 'ID'"),
        ("I3-settled-once", "update payment_events set processed_at = null where booking_id = 'ID'"),
        ("I3-cases-are-opened", "update payment_events set outcome = 'case' where booking_id = 'ID'"),
        ("I4-state-is-what-was-told", "update bookings set paid_amount = paid_amount - 1 where id = 'ID'"),
        ("I5-paid-has-its-payment", "update payment_events set applied_payment = false where booking_id = 'ID'"),
        ("I5-payment-has-its-booking", "update bookings set paid_session_id = 'cs_other' where id = 'ID'"),
        ("I6-refunds-within-payment", "insert into refunds (id, booking_id, payment_intent_id, amount, status, created_at, updated_at)
            select 're_planted', id, payment_intent_id, 7000, 'succeeded', 1, 1 from bookings where id = 'ID'"),
        ("I6-amounts-are-whole", "update bookings set charge_refunded = -1 where id = 'ID'"),
        ("I6-one-payment-for-a-session", "update bookings set paid_session_id = 'cs_other' where id = 'ID'"),
        ("I7-paid-stays-paid", "update bookings set status = 'en attente' where id = 'ID'"),
        ("I7-a-replay-changes-nothing", "update bookings set status = 'en attente', paid_session_id = null,
            payment_intent_id = null, paid_amount = null, paid_at = null where id = 'ID'"),
        ("I5-paid-status-has-a-payment", "update bookings set paid_session_id = null, payment_intent_id = null,
            paid_amount = null, paid_at = null where id = 'ID'"),
        ("who-has-paid-has-a-seat", "update bookings set seat = null where id = 'ID'"),
        ("rows-can-be-read", "update bookings set slot_time = '25:00' where id = 'ID'"),
        ("I8-payments-are-announced", "delete from outbox where booking_id = 'ID'"),
        ("I8-told-or-planned", "insert into outbox_deliveries (id, outbox_id, target, state, tries, created_at)
            select 'planted', id, 'notify', 'pending', 0, 0 from outbox where booking_id = 'ID'"),
        ("I10-times-run-forward", "update bookings set updated_at = created_at - 1 where id = 'ID'"),
        ("open-refunds-are-asked-about", "insert into refund_intents (id, scope, client_key, booking_id, payment_intent_id, amount,
            currency, state, attempt, tries, requested_by, created_at, updated_at)
            select 'planted', 'x', 'x', id, payment_intent_id, 1, 'eur', 'open', 1, 0, 'x', 1, 1 from bookings where id = 'ID'"),
        ("refunds-are-recorded", "insert into refund_intents (id, scope, client_key, booking_id, payment_intent_id, amount,
            currency, state, attempt, tries, stripe_refund_id, requested_by, created_at, updated_at)
            select 'planted2', 'y', 'y', id, payment_intent_id, 1, 'eur', 'done', 1, 0, 're_none', 'x', 1, 1
            from bookings where id = 'ID'"),
    ];
    let of_unpaid = [
        ("seats-are-given-back", "update bookings set status = 'expiré' where id = 'ID'"),
        ("seats-within-capacity", "update bookings set seat = 2, slot_date = (select min(o.slot_date) from bookings o
            where o.seat = 1 and o.id <> 'ID'), slot_time = (select min(o.slot_time) from bookings o where o.seat = 1
            and o.id <> 'ID' and o.slot_date = (select min(m.slot_date) from bookings m where m.seat = 1 and m.id <> 'ID'))
            where id = 'ID'"),
        ("unpaid-bookings-are-asked-about", "update bookings set next_check_at = null where id = 'ID'"),
    ];
    let mut paid = Vec::new();
    for _ in of_paid {
        let checkout = shop.book().await;
        shop.pay(&checkout, VISA).await;
        paid.push(checkout);
    }
    shop.deliver_all().await;
    db.assert_sound().await;

    for ((_, sql), checkout) in of_paid.iter().zip(&paid) {
        db.execute(&sql.replace("ID", &checkout.booking.to_string())).await;
    }
    for (_, sql) in of_unpaid {
        db.execute(&sql.replace("ID", &shop.book().await.booking.to_string())).await;
    }
    // The database itself refuses a second row of an event: only without its constraints there can be one.
    db.execute(
        "create table planted as select * from payment_events; drop table payment_events;
         alter table planted rename to payment_events;
         insert into payment_events select * from payment_events limit 1",
    )
    .await;
    let audit = invariants::audit(&db.store).await.unwrap();
    let found: BTreeSet<_> = audit.violations.iter().map(|violation| violation.check).collect();
    let planted = of_paid.iter().chain(&of_unpaid).map(|(check, _)| *check).chain(["I2-one-row-per-event"]);
    assert_eq!(found, planted.collect());
    assert!(audit.violations.iter().all(|violation| !violation.rows.is_empty()));
}

/// Each part of a booking's money, changed by something that is no fact.
async fn a_change_of_the_state_that_nobody_told_is_found(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let checkout = shop.paid().await;
    refund::refund(&shop.app.app, checkout.booking, Some(1000), "a", ADMIN).await.unwrap();
    shop.deliver_all().await;
    db.assert_sound().await;
    for (change, back) in [
        ("update refunds set amount = 999", "update refunds set amount = 1000"),
        ("update refunds set status = 'pending'", "update refunds set status = 'succeeded'"),
        (
            "update bookings set charge_refunded = charge_refunded + 1",
            "update bookings set charge_refunded = charge_refunded - 1",
        ),
        ("update bookings set paid_amount = 5999", "update bookings set paid_amount = 6000"),
        (
            "update bookings set payment_intent_id = payment_intent_id || '_planted'; update refunds set payment_intent_id = payment_intent_id || '_planted'",
            "update bookings set payment_intent_id = replace(payment_intent_id, '_planted', ''); update refunds set payment_intent_id = replace(payment_intent_id, '_planted', '')",
        ),
    ] {
        db.execute(change).await;
        let audit = invariants::audit(&db.store).await.unwrap();
        let checks: Vec<_> = audit.violations.iter().map(|violation| violation.check).collect();
        assert!(checks.contains(&"I4-state-is-what-was-told"), "{change}: {checks:?}");
        db.execute(back).await;
        db.assert_sound().await;
    }
}

async fn what_was_acknowledged_and_is_not_there_is_found(db: TestDatabase) {
    let app = TestApp::start(&db).await;
    let booking = app.pending_booking().await;
    assert_eq!(app.deliver(&app.paid("evt_1", &booking, "cs_1")).await.outcome(), "processed");
    assert_eq!(lost(&db, ["evt_1"]).await, Vec::<String>::new());
    assert_eq!(lost(&db, ["evt_1", "evt_2"]).await, ["evt_2"]);
}

/// The second instance's clock is behind: what it hears of next, it heard of earlier.
async fn the_clocks_of_two_instances_may_differ(db: TestDatabase) {
    let (ahead, behind) = (TestApp::start(&db).await, TestApp::start(&db).await);
    ahead.clock.advance(Duration::from_secs(40));
    let booking = ahead.pending_booking().await;
    ahead.attach(&booking, "cs_1").await;
    behind.attach(&booking, "cs_1").await;
    let foreign =
        crate::harness::events::event("evt_other", "customer.created", serde_json::json!({ "id": "cus_1" }));
    for app in [&ahead, &behind, &ahead, &behind] {
        assert_eq!(app.deliver(&foreign).await.status, 200);
        assert_eq!(app.deliver(&behind.paid("evt_1", &booking, "cs_1")).await.status, 200);
    }
    let later = ahead.pending_booking().await;
    assert_eq!(behind.deliver(&behind.paid("evt_2", &later, "cs_2")).await.outcome(), "processed");
    db.assert_sound().await;
}

async fn what_is_recent_is_judged_where_there_is_much_and_everything_if_asked(db: TestDatabase) {
    let app = TestApp::start(&db).await;
    // One old row that is wrong, beneath more than is recent; and a new one.
    let old = app.pending_booking().await;
    db.execute("update bookings set next_check_at = null").await;
    app.pending_bookings(300).await;
    let recent = Scope::Newest(100, Duration::from_secs(60));
    let found = async |scope: Scope| -> (Vec<String>, bool) {
        let audit = invariants::audit_in(&db.store, scope).await.unwrap();
        (audit.violations.into_iter().flat_map(|violation| violation.rows).collect(), audit.left_out)
    };
    assert_eq!(found(recent).await, (vec![], true));
    assert_eq!(found(Scope::Full).await, (vec![old.id.to_string()], false));
    let new = app.pending_booking().await;
    db.execute(&format!("update bookings set next_check_at = null where id = '{}'", new.id)).await;
    assert_eq!(found(recent).await, (vec![new.id.to_string()], true));
    assert_eq!(found(Scope::Full).await.0.len(), 2);
}
