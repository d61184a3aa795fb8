//! What does not fit waits for a person, offers what can be done, and does it once.

use crate::harness::{TestApp, TestDatabase, events, on_each_engine};
use crate::shop::{ADMIN, Checkout, FAILED_REFUND, Shop, VISA};
use checkout_backend::flow::refund::{self, RefundError};

use checkout_backend::flow::cancel::{self, CancelError};
use checkout_backend::flow::cases::{self, CaseError, Decided, Decision};
use checkout_backend::flow::{explain, reconcile};
use domain::booking::Status;
use domain::case::{CaseAction, CaseKind};
use domain::ids::{BookingId, CaseId};
use domain::lang::Lang;
use domain::role::Role;
use serde_json::{Value, json};
use std::time::Duration;
use store::cases::CaseRecord;
use store::page::PageRequest;

on_each_engine! {
    a_payment_that_is_not_the_price_is_accepted_by_a_person,
    a_payment_that_is_not_the_price_is_refunded_and_the_booking_ends,
    a_refund_that_came_back_goes_out_again_whole_and_only_once,
    what_is_left_of_an_unknown_payment_goes_back_if_it_is_ours,
    a_payment_in_another_currency_is_refunded_and_leaves_nothing_to_look_at,
    of_a_booking_paid_twice_only_the_extra_payment_goes_back,
    a_late_payment_is_seated_again_when_a_seat_is_left,
    a_payment_for_an_unknown_booking_is_attached_to_one,
    a_case_offers_its_actions_and_no_others,
    an_action_is_done_once_and_another_is_refused,
    a_case_never_closes_by_itself,
    a_booking_whose_case_was_dismissed_can_be_cancelled,
    a_payment_on_its_way_in_another_account_is_given_up_by_a_person_and_not_lost,
    a_dispute_about_an_unknown_booking_is_seen_although_its_payment_was_settled,
    the_api_tells_cases_and_settles_them_by_role,
}

async fn open_cases(shop: &Shop) -> Vec<CaseRecord> {
    let mut tx = shop.app.app.store.read().await.unwrap();
    let cases = tx.list_cases(Some(true), &PageRequest::default()).await.unwrap();
    tx.rollback().await.unwrap();
    cases.items
}

async fn the_case(shop: &Shop) -> CaseRecord {
    let mut cases = open_cases(shop).await;
    assert_eq!(cases.len(), 1, "{cases:?}");
    cases.remove(0)
}

fn decision(case: CaseId, action: CaseAction) -> Decision<'static> {
    Decision { case, action, note: Some("seen"), booking: None, actor: ADMIN, role: Role::Admin }
}

async fn decide(shop: &Shop, case: CaseId, action: CaseAction) -> Result<Decided, CaseError> {
    cases::decide(&shop.app.app, decision(case, action)).await
}

/// A booking that was paid with another amount than its price, by Stripe's word.
async fn paid_wrongly(shop: &Shop, amount: i64) -> Checkout {
    let checkout = shop.book().await;
    shop.pay(&checkout, VISA).await;
    let mut event = completed(shop, &checkout);
    for member in ["amount_subtotal", "amount_total"] {
        event["data"]["object"][member] = amount.into();
    }
    let answer = shop.app.deliver(&event).await;
    assert_eq!((answer.status, answer.outcome().as_str()), (200, "case"));
    assert_eq!(shop.status(&checkout).await, Status::Pending);
    checkout
}

/// What Stripe has given back of a booking's payment, the newest first, and what did not arrive.
async fn amounts(shop: &Shop, checkout: &Checkout) -> Vec<i64> {
    shop.refunds_at_stripe(checkout).await.iter().map(|refund| refund["amount"].as_i64().unwrap()).collect()
}

fn completed(shop: &Shop, checkout: &Checkout) -> Value {
    let about = |event: &Value| {
        event["type"] == "checkout.session.completed"
            && event["data"]["object"]["id"] == checkout.session.as_str()
    };
    shop.sim.events().into_iter().find(about).unwrap()
}

async fn a_payment_that_is_not_the_price_is_accepted_by_a_person(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let checkout = paid_wrongly(&shop, 5900).await;
    let case = the_case(&shop).await;
    assert_eq!((case.kind, case.amount), (CaseKind::AmountMismatch, Some(5900)));
    let decided = decide(&shop, case.id, CaseAction::Accept).await.unwrap();
    assert_eq!(decided.case.resolution.as_deref(), Some("accept"));
    let booking = shop.booking(&checkout).await;
    assert_eq!((booking.status(), booking.payment().unwrap().amount), (Status::Paid, 5900));
    assert_eq!(
        db.texts("select reason from payment_events where applied_payment").await,
        ["accepted_by_person"]
    );
    assert_eq!(db.texts("select kind from outbox").await, ["booking.paid"]);
    shop.assert_sound().await;
}

async fn a_payment_that_is_not_the_price_is_refunded_and_the_booking_ends(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let checkout = paid_wrongly(&shop, 6001).await;
    // What Stripe really took is what goes back.
    let case = the_case(&shop).await;
    let decided = decide(&shop, case.id, CaseAction::Refund).await.unwrap();
    assert!(decided.case.closed_at.is_some());
    assert_eq!(amounts(&shop, &checkout).await, [6000]);
    let booking = shop.booking(&checkout).await;
    assert_eq!((booking.status(), booking.seat), (Status::Cancelled, None));
    shop.deliver_all().await;
    assert_eq!(shop.status(&checkout).await, Status::Cancelled, "late events undo nothing");
    assert_eq!(open_cases(&shop).await.len(), 0);
}

async fn a_refund_that_came_back_goes_out_again_whole_and_only_once(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let failing = async || {
        let checkout = shop.book().await;
        shop.pay(&checkout, FAILED_REFUND).await;
        shop.deliver_all().await;
        refund::refund(&shop.app.app, checkout.booking, Some(2000), "part", ADMIN).await.unwrap();
        shop.advance(Duration::from_secs(3600));
        // By then it has come back.
        assert_eq!(shop.refunds_at_stripe(&checkout).await[0]["status"], "failed");
        // The first that tells of it does not say how much: that is known.
        let mut failed =
            shop.sim.events().into_iter().rfind(|event| event["type"] == "refund.failed").unwrap();
        failed["data"]["object"]["amount"] = Value::Null;
        assert_eq!(shop.app.deliver(&failed).await.outcome(), "processed");
        shop.deliver_all().await;
        let about_it = |case: &CaseRecord| case.booking_id == Some(checkout.booking);
        let case = open_cases(&shop).await.into_iter().find(about_it).unwrap();
        assert_eq!((case.kind, case.amount), (CaseKind::RefundFailed, Some(2000)));
        (checkout, case.id)
    };
    let (first, case) = failing().await;
    let decided = decide(&shop, case, CaseAction::Refund).await.unwrap();
    assert_eq!((decided.refund.unwrap().amount, decided.case.closed_at.is_some()), (2000, true));
    assert_eq!(amounts(&shop, &first).await, [2000, 2000]);

    // A colleague has given back most of it from the booking's page.
    let (second, case) = failing().await;
    refund::refund(&shop.app.app, second.booking, Some(5000), "again", ADMIN).await.unwrap();
    let refused = decide(&shop, case, CaseAction::Refund).await.unwrap_err();
    assert!(
        matches!(&refused, CaseError::Refund(RefundError::TooMuch { left }) if left.amount == 1000),
        "{refused}"
    );
    assert!(open_cases(&shop).await.iter().any(|open| open.id == case));
    assert_eq!(amounts(&shop, &second).await, [5000, 2000]);
}

/// A case tells what one event said: here of a part, and of a payment that another application took.
async fn what_is_left_of_an_unknown_payment_goes_back_if_it_is_ours(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let checkout = shop.paid().await;
    refund::refund(&shop.app.app, checkout.booking, Some(2000), "part", ADMIN).await.unwrap();
    // As after an older copy of the database was brought back.
    for table in
        ["outbox_deliveries", "outbox", "refund_intents", "refunds", "payment_events", "cases", "bookings"]
    {
        db.execute(&format!("delete from {table}")).await;
    }
    let refunded = |event: &Value| event["type"] == "charge.refunded";
    let event = shop.sim.events().into_iter().find(refunded).unwrap();
    assert_eq!(shop.app.deliver(&event).await.outcome(), "parked");
    shop.advance(Duration::from_secs(3700));
    shop.app.app.recorder.retry_due(&shop.app.app.store).await.unwrap();
    let case = the_case(&shop).await;
    assert_eq!((case.kind, case.amount), (CaseKind::UnknownBooking, Some(2000)));
    let say = async |instance: &str| {
        let url = format!(
            "{}/v1/payment_intents/{}",
            shop.sim.base_url(),
            case.payment_intent_id.as_deref().unwrap()
        );
        let request = shop
            .app
            .http
            .post(url)
            .bearer_auth("sk_test_any")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(format!("metadata[instance]={instance}"));
        assert_eq!(request.send().await.unwrap().status(), 200);
    };
    say("another").await;
    let refused = decide(&shop, case.id, CaseAction::Refund).await.unwrap_err();
    assert!(matches!(refused, CaseError::Impossible(_)), "{refused}");
    assert_eq!(amounts(&shop, &checkout).await, [2000]);
    say(&shop.app.app.instance.to_string()).await;
    let decided = decide(&shop, case.id, CaseAction::Refund).await.unwrap();
    assert!(decided.case.closed_at.is_some());
    assert_eq!(amounts(&shop, &checkout).await, [4000, 2000]);
}

async fn a_payment_in_another_currency_is_refunded_and_leaves_nothing_to_look_at(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let checkout = shop.book().await;
    db.execute("update bookings set currency = 'usd'").await;
    shop.pay(&checkout, VISA).await;
    assert_eq!(shop.app.deliver(&completed(&shop, &checkout)).await.outcome(), "case");
    let case = the_case(&shop).await;
    assert_eq!(case.kind, CaseKind::CurrencyMismatch);
    let decided = decide(&shop, case.id, CaseAction::Refund).await.unwrap();
    assert!(decided.case.closed_at.is_some());
    assert_eq!(shop.refunds_at_stripe(&checkout).await.len(), 1);
    shop.deliver_all().await;
    assert_eq!(open_cases(&shop).await.len(), 0, "nothing of it was this booking's");
    let reasons = "select distinct outcome || ' ' || reason from payment_events where type like '%refund%' and outcome <> 'ignored'";
    assert_eq!(db.texts(reasons).await, ["processed refund_of_foreign_payment"]);
    let told =
        explain::story(&db.store, checkout.booking, Lang::En, &shop.app.app.config.timezone).await.unwrap();
    let told = told.unwrap().lines().join("\n");
    assert!(told.contains("A refund of 60.00 EUR was asked for."), "{told}");
    let booking = shop.booking(&checkout).await;
    assert_eq!((booking.status(), booking.refunded_amount()), (Status::Cancelled, 0));
    shop.assert_sound().await;

    // That it did not arrive is a person's to know all the same.
    let mut failed =
        shop.sim.events().into_iter().rfind(|e| e["type"].as_str().unwrap().starts_with("refund.")).unwrap();
    (failed["id"], failed["type"]) = (json!("evt_failed"), json!("refund.failed"));
    failed["data"]["object"]["status"] = json!("failed");
    assert_eq!(shop.app.deliver(&failed).await.outcome(), "case");
    let case = the_case(&shop).await;
    assert_eq!((case.kind, case.currency.as_deref()), (CaseKind::RefundFailed, Some("eur")));
}

async fn of_a_booking_paid_twice_only_the_extra_payment_goes_back(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let checkout = shop.paid().await;
    // A second session for the same booking, as an older program could have left one.
    let other = shop.book().await;
    shop.pay(&other, VISA).await;
    let mut event = completed(&shop, &other);
    let object = &mut event["data"]["object"];
    object["client_reference_id"] = checkout.booking.to_string().into();
    object["metadata"]["booking_id"] = checkout.booking.to_string().into();
    db.execute(&format!("update bookings set stripe_session_id = null where id = '{}'", other.booking)).await;
    assert_eq!(shop.app.deliver(&event).await.outcome(), "case");
    let case = the_case(&shop).await;
    assert_eq!(case.kind, CaseKind::PaidTwice);
    let decided = decide(&shop, case.id, CaseAction::Refund).await.unwrap();
    assert!(decided.case.closed_at.is_some());
    assert_eq!(shop.refunds_at_stripe(&checkout).await.len(), 0);
    assert_eq!(shop.refunds_at_stripe(&other).await.len(), 1);
    assert_eq!(shop.status(&checkout).await, Status::Paid, "the first payment counts as before");
    let again = decide(&shop, case.id, CaseAction::Refund).await.unwrap();
    assert_eq!(again.case.id, case.id);
    assert_eq!(shop.refunds_at_stripe(&other).await.len(), 1);
}

async fn a_late_payment_is_seated_again_when_a_seat_is_left(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let request = Shop::request();
    let late = shop.book_as(&request).await;
    shop.pay(&late, VISA).await;
    // The hold was lost, and somebody else has the seat.
    db.execute("update bookings set status = 'expiré', seat = null, next_check_at = null").await;
    let other = shop.book_as(&request).await;
    assert_eq!(shop.app.deliver(&completed(&shop, &late)).await.outcome(), "case");
    let case = the_case(&shop).await;
    assert_eq!(case.kind, CaseKind::LatePayment);
    let full = decide(&shop, case.id, CaseAction::Reseat).await.unwrap_err();
    assert!(matches!(full, CaseError::Impossible(_)), "{full}");
    cancel::cancel(&shop.app.app, other.booking, "", ADMIN).await.unwrap();
    // The seat is free, but a person was asked: only they can say so now.
    let mut twin = completed(&shop, &late);
    twin["id"] = json!("evt_twin");
    assert_eq!(shop.app.deliver(&twin).await.outcome(), "duplicate");
    (twin["id"], twin["data"]["object"]["payment_status"]) = (json!("evt_begun"), json!("unpaid"));
    assert_eq!(shop.app.deliver(&twin).await.outcome(), "duplicate");
    assert_eq!(shop.status(&late).await, Status::Expired);
    decide(&shop, case.id, CaseAction::Reseat).await.unwrap();
    let booking = shop.booking(&late).await;
    assert_eq!((booking.status(), booking.seat), (Status::Paid, Some(1)));
    shop.assert_sound().await;
}

async fn a_payment_for_an_unknown_booking_is_attached_to_one(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let paid = shop.book().await;
    let wanted = shop.app.pending_booking().await;
    shop.pay(&paid, VISA).await;
    let mut event = completed(&shop, &paid);
    let nobody = BookingId::from(clock::new_id()).to_string();
    event["data"]["object"]["client_reference_id"] = nobody.as_str().into();
    event["data"]["object"]["metadata"]["booking_id"] = nobody.as_str().into();
    db.execute(&format!("update bookings set stripe_session_id = null where id = '{}'", paid.booking)).await;
    assert_eq!(shop.app.deliver(&event).await.outcome(), "parked");
    shop.advance(Duration::from_secs(3700));
    shop.app.app.recorder.retry_due(&shop.app.app.store).await.unwrap();
    let case = the_case(&shop).await;
    assert_eq!((case.kind, case.booking_id), (CaseKind::UnknownBooking, None));
    let nowhere = decide(&shop, case.id, CaseAction::Attach).await.unwrap_err();
    assert!(matches!(nowhere, CaseError::BookingNeeded));
    let attach = Decision { booking: Some(wanted.id), ..decision(case.id, CaseAction::Attach) };
    let decided = cases::decide(&shop.app.app, attach).await.unwrap();
    assert_eq!(decided.case.booking_id, Some(wanted.id));
    assert_eq!(shop.app.status(wanted.id).await, Status::Paid);
    shop.assert_sound().await;
}

async fn a_case_offers_its_actions_and_no_others(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    paid_wrongly(&shop, 1).await;
    let case = the_case(&shop).await;
    for action in [CaseAction::Reseat, CaseAction::Attach] {
        let error = decide(&shop, case.id, action).await.unwrap_err();
        assert!(matches!(error, CaseError::NotAnAction { .. }), "{error}");
    }
    let by_ops = Decision { role: Role::Ops, ..decision(case.id, CaseAction::Accept) };
    let error = cases::decide(&shop.app.app, by_ops).await.unwrap_err();
    assert!(matches!(error, CaseError::NeedsRole(Role::Admin)));
    for note in [None, Some("  ")] {
        let silent = Decision { note, ..decision(case.id, CaseAction::Dismiss) };
        assert!(matches!(cases::decide(&shop.app.app, silent).await, Err(CaseError::NoteNeeded)));
    }
    for kind in CaseKind::ALL {
        assert!(kind.actions().contains(&CaseAction::Dismiss), "{kind} leaves a person without a way out");
    }
}

async fn an_action_is_done_once_and_another_is_refused(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let checkout = paid_wrongly(&shop, 5900).await;
    let case = the_case(&shop).await;
    let both = tokio::join!(
        decide(&shop, case.id, CaseAction::Accept),
        decide(&shop, case.id, CaseAction::Dismiss),
    );
    let won = usize::from(both.0.is_ok()) + usize::from(both.1.is_ok());
    assert_eq!(won, 1, "{both:?}");
    let resolution = db.texts("select resolution from cases").await.remove(0);
    let same = CaseAction::parse(&resolution).unwrap();
    let other = if same == CaseAction::Accept { CaseAction::Dismiss } else { CaseAction::Accept };
    decide(&shop, case.id, same).await.unwrap();
    assert!(matches!(decide(&shop, case.id, other).await, Err(CaseError::Closed(_))));
    assert_eq!(db.number("select count(*) from audit_log where action = 'case.closed'").await, 1);
    let paid = shop.status(&checkout).await == Status::Paid;
    assert_eq!(paid, same == CaseAction::Accept);
}

async fn a_case_never_closes_by_itself(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    paid_wrongly(&shop, 5900).await;
    for _ in 0..3 {
        shop.advance(Duration::from_secs(86_400));
        shop.reconcile(checkout_backend::flow::reconcile::Options::default()).await;
        checkout_backend::flow::privacy::clean_up(&shop.app.app).await.unwrap();
    }
    assert_eq!(the_case(&shop).await.kind, CaseKind::AmountMismatch);
}

/// Else its seat would be held for ever, and the person could never be forgotten.
async fn a_booking_whose_case_was_dismissed_can_be_cancelled(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let checkout = paid_wrongly(&shop, 5900).await;
    let cancel = async || cancel::cancel(&shop.app.app, checkout.booking, "", ADMIN).await;
    // Stripe says in its own words that it was paid rightly: then it is paid, and no cancelling helps.
    db.execute("update bookings set amount = 9999").await;
    assert!(matches!(cancel().await, Err(CancelError::NotUnpaid(_))), "the case waits for a person");
    let case = the_case(&shop).await;
    decide(&shop, case.id, CaseAction::Dismiss).await.unwrap();
    cancel().await.unwrap();
    let booking = shop.booking(&checkout).await;
    assert_eq!((booking.status(), booking.seat), (Status::Cancelled, None));
    shop.assert_sound().await;
}

/// Its delayed payment was begun in an account that the key is not of any more: nobody would ever tell its end.
async fn a_payment_on_its_way_in_another_account_is_given_up_by_a_person_and_not_lost(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let checkout = shop.book().await;
    let booking = shop.booking(&checkout).await;
    db.execute("update bookings set stripe_session_id = 'cs_test_elsewhere'").await;
    let mut begun = shop.app.paid("evt_begun", &booking, "cs_test_elsewhere");
    begun["data"]["object"]["payment_status"] = json!("unpaid");
    assert_eq!(shop.app.deliver(&begun).await.outcome(), "processed");
    let cancel = async || cancel::cancel(&shop.app.app, checkout.booking, "", ADMIN).await;
    assert!(matches!(cancel().await, Err(CancelError::SessionUnknown)));
    shop.advance(Duration::from_secs(2 * 86_400));
    let admin = shop.app.person(Role::Admin).await;
    let offered = async || {
        let path = format!("/dashboard/bookings/{}", checkout.booking);
        shop.app.get_as(&admin.cookie, &path).await.body.contains(&format!("{path}/cancel"))
    };
    assert!(matches!(cancel().await, Err(CancelError::NotUnpaid(_))), "nobody has looked for it");
    reconcile::check_due(&shop.app.app).await.unwrap();
    let case = the_case(&shop).await;
    assert_eq!((case.kind, offered().await), (CaseKind::SessionUnknown, false));
    assert!(matches!(cancel().await, Err(CancelError::NotUnpaid(_))), "the case waits for a person");
    decide(&shop, case.id, CaseAction::Dismiss).await.unwrap();
    assert!(offered().await);
    cancel().await.unwrap();
    let given_up = shop.booking(&checkout).await;
    assert_eq!((given_up.status(), given_up.seat), (Status::Cancelled, None));
    shop.assert_sound().await;
    // Should it arrive after all, it pays.
    let arrived = shop.app.paid("evt_arrived", &booking, "cs_test_elsewhere");
    assert_eq!(shop.app.deliver(&arrived).await.outcome(), "processed");
    assert_eq!(shop.status(&checkout).await, Status::Paid);
    shop.assert_sound().await;
}

async fn a_dispute_about_an_unknown_booking_is_seen_although_its_payment_was_settled(db: TestDatabase) {
    let app = TestApp::start(&db).await;
    let mut nobody = app.pending_booking().await;
    nobody.id = BookingId::from(clock::new_id());
    app.deliver(&app.paid("evt_1", &nobody, "cs_1")).await;
    let hour = async || {
        app.clock.advance(Duration::from_secs(3700));
        app.app.recorder.retry_due(&app.app.store).await.unwrap();
    };
    hour().await;
    db.execute("update cases set closed_at = created_at, resolution = 'dismiss', closed_by = 'ops'").await;
    let mut dispute = events::dispute("dp_1", "cs_1", 6000, "needs_response");
    dispute["metadata"] = json!({ "booking_id": nobody.id, "instance": app.app.instance });
    let event = events::event("evt_2", "charge.dispute.created", dispute);
    assert_eq!(app.deliver(&event).await.outcome(), "parked");
    hour().await;
    let open = "select count(*) from cases where closed_at is null and kind = 'unknown_booking' and deadline is not null";
    assert_eq!(db.number(open).await, 1);
}

async fn the_api_tells_cases_and_settles_them_by_role(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    paid_wrongly(&shop, 5900).await;
    let (reader, ops) = (shop.app.person(Role::ReadOnly).await, shop.app.person(Role::Ops).await);
    assert_eq!(shop.app.get_as(&reader.cookie, "/api/cases").await.status, 403);
    let list = shop.app.get_as(&ops.cookie, "/api/cases?state=open").await.json();
    assert_eq!(list["meta"]["count"], 1);
    let case = &list["items"][0];
    assert_eq!(
        (case["kind"].as_str(), &case["actions"]),
        (Some("amount_mismatch"), &json!(["accept", "refund", "dismiss"]))
    );
    let id = case["id"].as_str().unwrap();
    assert_eq!(shop.app.get_as(&ops.cookie, &format!("/api/cases/{id}")).await.json()["id"], id);
    let cookie = ("cookie", ops.cookie.as_str());
    let act = async |action: &str, body: Value| {
        shop.app.post_json(&format!("/api/cases/{id}/{action}"), &body, &[cookie]).await
    };
    assert_eq!(act("accept", json!({})).await.status, 403);
    assert_eq!(act("explode", json!({})).await.status, 404);
    assert_eq!(act("reseat", json!({})).await.status, 422);
    assert_eq!(act("dismiss", json!({})).await.status, 400);
    assert_eq!(act("dismiss", json!({"note": 5})).await.status, 400);
    let closed = act("dismiss", json!({"note": "a test of ours"})).await;
    assert_eq!((closed.status, closed.json()["case"]["state"].as_str()), (200, Some("closed")));
    assert_eq!(closed.json()["case"]["note"], "a test of ours");
    assert_eq!(shop.app.get_as(&ops.cookie, "/api/cases?state=open").await.json()["meta"]["count"], 0);
    assert_eq!(shop.app.get_as(&ops.cookie, "/api/cases?state=ajar").await.status, 400);
}
