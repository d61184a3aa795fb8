//! The store as its callers see it: what the database itself guarantees, whoever asks and however close
//! together.

use crate::harness::{Engine, TestApp, TestDatabase, on_each_engine, waits_for_a_lock};
use clock::Clock;
use clock::Timestamp;
use domain::booking::{Booking, Customer, Progress, Refund, RefundStatus};
use domain::ids::{BookingId, LedgerId, OfferId, RefundId, SessionId};
use domain::lang::Lang;
use domain::offer::{Offer, OfferTerms};
use domain::payment::Outcome;
use domain::slot::Slot;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use store::bookings::{self, BookingFilter};
use store::idempotency::{KEPT, KeyState};
use store::ledger::{self, LedgerFilter, NewEntry};
use store::page::{Cursor, PageRequest};
use store::{Store, StoreError};

on_each_engine! {
    a_fresh_database_answers_and_has_the_first_offer,
    fifty_claims_of_one_seat_at_once_give_it_to_one,
    a_seat_that_was_given_up_can_be_taken_again,
    pages_of_bookings_never_skip_or_repeat,
    pages_of_the_ledger_never_skip_or_repeat_while_it_grows,
    hundreds_of_ledger_rows_are_one_statement,
    hundreds_of_bookings_are_saved_in_one_statement,
    texts_survive_whatever_they_contain,
    an_event_written_by_another_instance_is_noticed,
    a_session_has_at_most_one_applied_payment,
    a_settled_entry_is_not_settled_again,
    due_entries_are_shared_out_and_come_back_after_their_lease,
    a_key_is_taken_once_and_answers_for_a_day,
    of_requests_with_one_key_at_once_one_goes_on,
    a_booking_that_is_locked_is_waited_for_and_seen_as_it_was_left,
    two_offers_of_one_person_are_locked_in_one_order,
    a_reader_does_not_wait_for_a_writer,
    a_commit_is_on_disk_before_it_returns,
    a_transaction_that_is_dropped_leaves_nothing,
}

async fn a_fresh_database_answers_and_has_the_first_offer(db: TestDatabase) {
    db.store.ready().await.unwrap();
    let mut tx = db.store.read().await.unwrap();
    let offers = tx.offers().await.unwrap();
    tx.rollback().await.unwrap();
    assert_eq!(offers.len(), 1);
    let offer = &offers[0];
    assert_eq!((offer.name.as_str(), offer.price.amount, offer.capacity), ("Séance", 6000, 1));
    assert_eq!(offer.price.currency.as_str(), "eur");
    assert!(offer.active);
}

async fn fifty_claims_of_one_seat_at_once_give_it_to_one(db: TestDatabase) {
    let offer = first_offer(&db.store).await;
    let claims: Vec<_> = (0..50)
        .map(|_| {
            let store = db.store.clone();
            tokio::spawn(async move { insert(&store, &booking(offer, Some(1), now())).await })
        })
        .collect();
    let mut won = 0;
    for claim in claims {
        won += usize::from(claim.await.unwrap());
    }
    assert_eq!(won, 1);
    assert_eq!(db.number("select count(*) from bookings").await, 1);
}

async fn a_seat_that_was_given_up_can_be_taken_again(db: TestDatabase) {
    let offer = first_offer(&db.store).await;
    let mut first = booking(offer, Some(1), now());
    assert!(insert(&db.store, &first).await);
    assert!(!insert(&db.store, &booking(offer, Some(1), now())).await);
    first.progress = Progress::Expired;
    first.seat = None;
    save(&db.store, &[&first]).await.unwrap();
    assert!(insert(&db.store, &booking(offer, Some(1), now())).await);
    // Any number of bookings may be without a seat.
    assert!(insert(&db.store, &booking(offer, None, now())).await);
    assert!(insert(&db.store, &booking(offer, None, now())).await);
}

async fn pages_of_bookings_never_skip_or_repeat(db: TestDatabase) {
    let offer = first_offer(&db.store).await;
    let start = now();
    let mut all = Vec::new();
    let mut tx = db.store.begin().await.unwrap();
    for n in 0..120 {
        // Many of the same microsecond, as in a rush.
        let booking = booking(offer, None, start.plus(Duration::from_micros(n / 30)));
        assert!(tx.insert_booking(&booking, None, Lang::Fr, start).await.unwrap());
        all.push((booking.created_at, booking.id));
    }
    tx.commit().await.unwrap();
    all.sort_unstable();
    all.reverse();

    for limit in [1, 7, 50, 100] {
        let mut seen = Vec::new();
        let mut after = None;
        loop {
            let mut tx = db.store.read().await.unwrap();
            let page = PageRequest { limit, after };
            let page = tx.list_bookings(&BookingFilter::default(), &page).await.unwrap();
            tx.rollback().await.unwrap();
            assert!(page.items.len() <= usize::try_from(limit).unwrap());
            seen.extend(page.items.iter().map(|booking| (booking.created_at, booking.id)));
            // As a client does it: through the opaque text.
            after = page.next.map(|cursor| Cursor::decode(&cursor.encode()).unwrap());
            if after.is_none() {
                break;
            }
        }
        assert_eq!(seen, all, "pages of {limit}");
    }
}

async fn pages_of_the_ledger_never_skip_or_repeat_while_it_grows(db: TestDatabase) {
    let start = now();
    let old: Vec<_> = (0..60).map(|n| entry(&format!("evt_old_{n}"), start)).collect();
    insert_entries(&db.store, &old).await.unwrap();
    let mut seen = Vec::new();
    let mut after = None;
    for round in 0.. {
        let mut tx = db.store.read().await.unwrap();
        let page = PageRequest { limit: 9, after };
        let page = tx.list_entries(&LedgerFilter::default(), &page).await.unwrap();
        tx.rollback().await.unwrap();
        seen.extend(page.items.into_iter().map(|entry| entry.event_key));
        let newer = entry(&format!("evt_new_{round}"), start.plus(Duration::from_secs(1)));
        insert_entries(&db.store, &[newer]).await.unwrap();
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let distinct: BTreeSet<_> = seen.iter().cloned().collect();
    assert_eq!(seen.len(), 60);
    assert_eq!(distinct, old.into_iter().map(|entry| entry.event_key).collect());
}

async fn hundreds_of_ledger_rows_are_one_statement(db: TestDatabase) {
    let entries: Vec<_> = (0..500).map(|n| entry(&format!("evt_{n}"), now())).collect();
    insert_entries(&db.store, &entries).await.unwrap();
    let keys: Vec<_> = entries.iter().map(|entry| entry.event_key.as_str()).collect();
    let mut tx = db.store.begin().await.unwrap();
    let known = tx.known_entries(&keys).await.unwrap();
    assert_eq!(known.len(), 500);
    assert!(known.values().all(|entry| entry.outcome == Outcome::Processed));
    let again: Vec<_> = keys.iter().map(|key| (*key, 2)).collect();
    tx.write([ledger::deliver_again(&again, now())]).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(db.number("select sum(deliveries) from payment_events").await, 1500);
    assert_eq!(db.number("select count(*) from payment_events where livemode is null").await, 500);
    assert_eq!(db.number("select count(*) from payment_events where booking_id is null").await, 500);
}

async fn hundreds_of_bookings_are_saved_in_one_statement(db: TestDatabase) {
    let offer = first_offer(&db.store).await;
    let mut bookings: Vec<_> = (0..200).map(|_| booking(offer, None, now())).collect();
    let mut tx = db.store.begin().await.unwrap();
    for booking in &bookings {
        assert!(tx.insert_booking(booking, None, Lang::En, now()).await.unwrap());
    }
    tx.commit().await.unwrap();
    for (n, booking) in bookings.iter_mut().enumerate() {
        booking.progress = Progress::Processing;
        booking.session = Some(SessionId::parse(&format!("cs_{n}")).unwrap());
        booking.refunds.push(Refund {
            id: RefundId::parse(&format!("re_{n}")).unwrap(),
            intent: None,
            amount: 100,
            status: RefundStatus::Pending,
        });
        booking.updated_at = booking.updated_at.plus(Duration::from_secs(1));
    }
    let refs: Vec<_> = bookings.iter().collect();
    save(&db.store, &refs).await.unwrap();

    let ids: Vec<_> = bookings.iter().map(|booking| booking.id).collect();
    let mut tx = db.store.begin().await.unwrap();
    let mut loaded = tx.lock_bookings(&ids).await.unwrap();
    tx.rollback().await.unwrap();
    loaded.sort_by_key(|booking| booking.id);
    bookings.sort_by_key(|booking| booking.id);
    assert_eq!(loaded, bookings);

    let missing = booking(offer, None, now());
    assert!(matches!(save(&db.store, &[&missing]).await, Err(StoreError::Overtaken)));
}

async fn texts_survive_whatever_they_contain(db: TestDatabase) {
    let offer = first_offer(&db.store).await;
    let mut hostile = booking(offer, None, now());
    hostile.customer = Customer {
        first_name: "Zoë '); drop table bookings; --".to_owned(),
        last_name: "\"\\\u{1F600}\u{202e}$1 %s\t".to_owned(),
        email: "o'neil+\"x\"@example.ie".to_owned(),
    };
    assert!(insert(&db.store, &hostile).await);
    let mut tx = db.store.read().await.unwrap();
    assert_eq!(tx.booking(hostile.id).await.unwrap().unwrap().customer, hostile.customer);
    tx.rollback().await.unwrap();

    let mut event = entry("evt_hostile", now());
    let payload = r#"{"a":"\u0000 \ud83d\ude00 ' \" \\ é","b":1.0}"#;
    event.payload = Some(payload.to_owned());
    insert_entries(&db.store, &[event.clone()]).await.unwrap();
    let mut tx = db.store.read().await.unwrap();
    assert_eq!(tx.payload(event.id).await.unwrap().as_deref(), Some(payload));
    tx.rollback().await.unwrap();
}

async fn an_event_written_by_another_instance_is_noticed(db: TestDatabase) {
    let other = db.reopen();
    insert_entries(&other, &[entry("evt_1", now())]).await.unwrap();
    other.close().await;
    let batch = [entry("evt_0", now()), entry("evt_1", now())];
    assert!(matches!(insert_entries(&db.store, &batch).await, Err(StoreError::Overtaken)));
    assert_eq!(db.texts("select event_key from payment_events").await, ["evt_1"]);
}

async fn a_session_has_at_most_one_applied_payment(db: TestDatabase) {
    let payment = |key: &str| NewEntry {
        stripe_session_id: Some("cs_1".to_owned()),
        applied_payment: true,
        ..entry(key, now())
    };
    insert_entries(&db.store, &[payment("evt_1")]).await.unwrap();
    let refusal = insert_entries(&db.store, &[payment("evt_2")]).await.unwrap_err();
    assert!(refusal.is_collision(), "{refusal:?}");
    let note = NewEntry { applied_payment: false, ..payment("evt_2") };
    insert_entries(&db.store, &[note]).await.unwrap();
}

async fn a_settled_entry_is_not_settled_again(db: TestDatabase) {
    let parked = NewEntry { outcome: "parked", next_try_at: Some(0), ..entry("evt_1", now()) };
    insert_entries(&db.store, &[parked]).await.unwrap();
    let settled = entry("evt_1", now());
    for expected in [true, false] {
        let mut tx = db.store.begin().await.unwrap();
        let result = tx.write([ledger::settle(std::slice::from_ref(&settled))]).await;
        if expected {
            result.unwrap();
            tx.commit().await.unwrap();
        } else {
            assert!(matches!(result, Err(StoreError::Overtaken)));
            tx.rollback().await.unwrap();
        }
    }
    assert_eq!(db.texts("select outcome from payment_events").await, ["processed"]);
    assert_eq!(db.number("select deliveries from payment_events").await, 2);
}

async fn due_entries_are_shared_out_and_come_back_after_their_lease(db: TestDatabase) {
    let at = now();
    let parked: Vec<_> = (0..40)
        .map(|n| NewEntry {
            outcome: "parked",
            next_try_at: Some(at.as_micros()),
            payload: Some("{}".to_owned()),
            ..entry(&format!("evt_{n}"), at)
        })
        .collect();
    insert_entries(&db.store, &parked).await.unwrap();
    let lease = Duration::from_secs(60);
    let takers: Vec<_> = (0..4)
        .map(|_| {
            let store = db.reopen();
            tokio::spawn(async move {
                let mut tx = store.begin().await.unwrap();
                let taken = tx.take_due_entries(at, lease, 10).await.unwrap();
                tx.commit().await.unwrap();
                store.close().await;
                taken
            })
        })
        .collect();
    let mut keys = Vec::new();
    for taker in takers {
        keys.extend(taker.await.unwrap().into_iter().map(|entry| entry.event_key));
    }
    let distinct: BTreeSet<_> = keys.iter().collect();
    assert_eq!(distinct.len(), keys.len(), "two instances took the same entry");

    let mut tx = db.store.begin().await.unwrap();
    let rest = tx.take_due_entries(at, lease, 100).await.unwrap();
    assert_eq!(keys.len() + rest.len(), 40);
    assert!(tx.take_due_entries(at, lease, 100).await.unwrap().is_empty());
    let later = at.plus(lease);
    assert_eq!(tx.take_due_entries(later, lease, 100).await.unwrap().len(), 40);
    tx.commit().await.unwrap();
}

async fn a_key_is_taken_once_and_answers_for_a_day(db: TestDatabase) {
    let at = now();
    let id = BookingId::from(clock::new_id());
    let take = async |hash: &str, at: Timestamp| {
        let mut tx = db.store.begin().await.unwrap();
        let state = tx.take_key("checkout", "k", hash, at).await.unwrap();
        tx.commit().await.unwrap();
        state
    };
    assert_eq!(take("h", at).await, KeyState::Taken);
    assert_eq!(take("h", at).await, KeyState::InFlight);
    assert_eq!(take("other", at).await, KeyState::OtherRequest);

    let mut tx = db.store.begin().await.unwrap();
    tx.bind_key("checkout", "k", id).await.unwrap();
    tx.commit().await.unwrap();
    // As long as the request says that it goes on, it is in flight; when it does not, it has died.
    let (later, much_later) = (at.plus(Duration::from_secs(5)), at.plus(Duration::from_secs(10)));
    let mut tx = db.store.begin().await.unwrap();
    tx.keep_key("checkout", "k", later).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(take("h", much_later).await, KeyState::InFlight);
    let after_crash = at.plus(Duration::from_secs(12));
    assert_eq!(take("h", after_crash).await, KeyState::Resumed(Some(id)));
    assert_eq!(take("h", after_crash).await, KeyState::InFlight);

    let mut tx = db.store.begin().await.unwrap();
    tx.release_key("checkout", "k").await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(take("h", after_crash).await, KeyState::Resumed(Some(id)));

    let mut tx = db.store.begin().await.unwrap();
    tx.finish_key("checkout", "k", "{\"url\":1}").await.unwrap();
    tx.commit().await.unwrap();
    let almost = at.plus(KEPT);
    assert_eq!(take("h", almost).await, KeyState::Answered("{\"url\":1}".to_owned()));
    assert_eq!(take("other", almost).await, KeyState::OtherRequest);

    // An answer that was given is not taken back.
    let mut tx = db.store.begin().await.unwrap();
    tx.release_key("checkout", "k").await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(take("h", almost).await, KeyState::Answered("{\"url\":1}".to_owned()));

    let over = at.plus(KEPT).plus(Duration::from_secs(1));
    assert_eq!(take("other", over).await, KeyState::Taken);
    let mut tx = db.store.begin().await.unwrap();
    assert_eq!(tx.take_key("refund", "k", "h", over).await.unwrap(), KeyState::Taken, "scopes are apart");
    assert_eq!(tx.forget_old_keys(over.plus(KEPT).plus(KEPT)).await.unwrap(), 2);
    tx.commit().await.unwrap();
}

async fn of_requests_with_one_key_at_once_one_goes_on(db: TestDatabase) {
    let at = now();
    let requests: Vec<_> = (0..20)
        .map(|_| {
            let store = db.store.clone();
            tokio::spawn(async move {
                let mut tx = store.begin().await.unwrap();
                let state = tx.take_key("checkout", "k", "h", at).await.unwrap();
                tx.commit().await.unwrap();
                state
            })
        })
        .collect();
    let mut taken = 0;
    for request in requests {
        match request.await.unwrap() {
            KeyState::Taken => taken += 1,
            KeyState::InFlight => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(taken, 1);
}

async fn a_booking_that_is_locked_is_waited_for_and_seen_as_it_was_left(db: TestDatabase) {
    let id = TestApp::start(&db).await.pending_booking().await.id;
    let mut first = db.store.begin().await.unwrap();
    let mut locked = first.lock_bookings(&[id]).await.unwrap().remove(0);
    let store = db.store.clone();
    let second = tokio::spawn(async move {
        let mut tx = store.begin().await.unwrap();
        let seen = tx.lock_bookings(&[id]).await.unwrap().remove(0);
        tx.rollback().await.unwrap();
        seen
    });
    waits_for_a_lock(&db, &second).await;
    locked.progress = Progress::Cancelled;
    locked.seat = None;
    first.write(bookings::save(&[&locked])).await.unwrap();
    first.commit().await.unwrap();
    assert_eq!(second.await.unwrap().progress, Progress::Cancelled);
}

/// Each begins with an offer of its own, and both need her: locked one's own first, either would wait for the other.
async fn two_offers_of_one_person_are_locked_in_one_order(db: TestDatabase) {
    let app = TestApp::start(&db).await;
    db.execute("update offers set resource = 'Anna'").await;
    let mut tx = db.store.begin().await.unwrap();
    let earlier = tx.offers().await.unwrap().remove(0);
    let later = OfferId::from(clock::new_id());
    let Offer { price, capacity, active, duration, step, .. } = earlier;
    let resource = Some("Anna".to_owned());
    let name = "Bilan".to_owned();
    let terms = OfferTerms { name, price, capacity, active, grid: vec![], duration, step, resource };
    tx.insert_offer(later, &terms, app.clock.now()).await.unwrap();
    tx.commit().await.unwrap();
    assert!(earlier.id < later);

    let slot = app.pending_booking().await.slot;
    let mut first = db.store.begin().await.unwrap();
    let (of_later, _) = first.lock_slot(later, &slot).await.unwrap().unwrap();
    let store = db.store.clone();
    let second = tokio::spawn(async move {
        let mut tx = store.begin().await.unwrap();
        let (offer, _) = tx.lock_slot(earlier.id, &slot).await.unwrap().unwrap();
        let both = tx.lock_sharing(&offer).await;
        tx.rollback().await.unwrap();
        both
    });
    waits_for_a_lock(&db, &second).await;
    assert_eq!(first.lock_sharing(&of_later).await.unwrap(), [earlier.id, later]);
    first.commit().await.unwrap();
    assert_eq!(second.await.unwrap().unwrap(), [earlier.id, later]);
}

async fn a_reader_does_not_wait_for_a_writer(db: TestDatabase) {
    let offer = first_offer(&db.store).await;
    let mut writer = db.store.begin().await.unwrap();
    assert!(writer.insert_booking(&booking(offer, Some(1), now()), None, Lang::Fr, now()).await.unwrap());
    // Were it to wait, it would wait in vain: the writer goes on only afterwards.
    let mut reader = db.store.read().await.unwrap();
    let page = reader.list_bookings(&BookingFilter::default(), &PageRequest::default()).await.unwrap();
    reader.rollback().await.unwrap();
    assert!(page.items.is_empty(), "what is not committed is not seen");
    writer.commit().await.unwrap();
}

/// The settings on which "a 2xx means that it is on disk" stands. A test that cuts the power is not to be
/// had everywhere; one that reads the settings back is.
async fn a_commit_is_on_disk_before_it_returns(db: TestDatabase) {
    match &db.store {
        Store::Sqlite { writer, .. } => {
            let pragma = async |name: &str| -> String {
                let sql = sqlx::AssertSqlSafe(format!("select cast({name} as text) from pragma_{name}"));
                sqlx::query_scalar(sql).fetch_one(writer).await.unwrap()
            };
            assert_eq!(pragma("synchronous").await, "2", "FULL");
            assert_eq!(pragma("journal_mode").await, "wal");
            assert_eq!(pragma("foreign_keys").await, "1");
        }
        Store::Postgres(server) => {
            let pool = server.pool().await.unwrap();
            let setting = async |name: &str| -> String {
                sqlx::query_scalar("select current_setting($1)").bind(name).fetch_one(pool).await.unwrap()
            };
            assert_eq!(setting("synchronous_commit").await, "on");
            assert_eq!(setting("transaction_isolation").await, "read committed");
            for limit in ["statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"] {
                assert_ne!(setting(limit).await, "0", "{limit}");
            }
        }
    }
}

async fn a_transaction_that_is_dropped_leaves_nothing(db: TestDatabase) {
    let offer = first_offer(&db.store).await;
    let mut tx = db.store.begin().await.unwrap();
    assert!(tx.insert_booking(&booking(offer, Some(1), now()), None, Lang::Fr, now()).await.unwrap());
    drop(tx);
    // The seat is free at once: the rollback is done before the next transaction's first statement.
    assert!(insert(&db.store, &booking(offer, Some(1), now())).await);
    assert_eq!(db.number("select count(*) from bookings").await, 1);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_told_as_unavailable_and_soon() {
    let store = Store::open("postgres://nobody@127.0.0.1:1/none").unwrap();
    let begun = Instant::now();
    let error = store.begin().await.unwrap_err();
    assert!(error.is_outage(), "{error:?}");
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
}

#[test]
fn an_address_that_cannot_be_used_is_told_before_anything_is_tried() {
    for url in [
        "mysql://x",
        "sqlite::memory:",
        "sqlite://x.db?mode=memory",
        "sqlite://",
        "postgres://[",
        "",
        "/tmp/x.db",
    ] {
        let refusal = Store::open(url).unwrap_err();
        assert!(matches!(refusal, StoreError::Config(_)), "{url}: {refusal:?}");
    }
}

#[tokio::test]
async fn connections_are_made_with_the_limits_that_keep_a_hung_server_from_holding_them() {
    let db = TestDatabase::fresh(Engine::Postgres).await;
    let holder = db.reopen();
    let offer = first_offer(&db.store).await;
    let mut first = holder.begin().await.unwrap();
    assert!(first.insert_booking(&booking(offer, Some(1), now()), None, Lang::Fr, now()).await.unwrap());
    // The second waits for the first's verdict on the seat, and gives up by itself.
    let begun = Instant::now();
    let mut second = db.store.begin().await.unwrap();
    let gave_up = second.insert_booking(&booking(offer, Some(1), now()), None, Lang::Fr, now()).await;
    assert!(gave_up.unwrap_err().is_collision());
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
    drop((first, second));
    holder.close().await;
    db.remove().await;
}

fn now() -> Timestamp {
    Clock::system().now()
}

async fn first_offer(store: &Store) -> OfferId {
    let mut tx = store.read().await.unwrap();
    let offer = tx.offers().await.unwrap()[0].id;
    tx.rollback().await.unwrap();
    offer
}

fn booking(offer: OfferId, seat: Option<i32>, created_at: Timestamp) -> Booking {
    let id = BookingId::from(clock::new_id());
    Booking {
        id,
        code: domain::code::Code::of(id, 0),
        offer,
        customer: Customer {
            first_name: "Ada".to_owned(),
            last_name: "Lovelace".to_owned(),
            email: "ada@example.org".to_owned(),
        },
        slot: Slot::parse("2031-01-15", "10:00").unwrap(),
        starts_at: Timestamp::from_unix_seconds(1_926_234_000),
        price: domain::money::Money {
            amount: 6000,
            currency: domain::money::Currency::parse("eur").unwrap(),
        },
        progress: Progress::Pending,
        session: None,
        seat,
        hold_expires_at: created_at.plus(Duration::from_secs(2100)),
        charge_refunded: 0,
        charge_intent: None,
        cancelled: None,
        refunds: Vec::new(),
        disputes: Vec::new(),
        cases: Vec::new(),
        created_at,
        updated_at: created_at,
    }
}

fn entry(key: &str, at: Timestamp) -> NewEntry {
    NewEntry {
        id: LedgerId::from(clock::new_id()),
        event_key: key.to_owned(),
        stripe_event_id: Some(key.to_owned()),
        r#type: "checkout.session.completed".to_owned(),
        source: "webhook",
        livemode: None,
        stripe_session_id: None,
        booking_id: None,
        applied_payment: false,
        outcome: Outcome::Processed.as_str(),
        reason: "paid",
        payload: None,
        deliveries: 1,
        stripe_created_at: None,
        received_at: at.as_micros(),
        processed_at: Some(at.as_micros()),
        next_try_at: None,
    }
}

async fn insert(store: &Store, booking: &Booking) -> bool {
    let mut tx = store.begin().await.unwrap();
    let inserted = tx.insert_booking(booking, None, Lang::Fr, booking.hold_expires_at).await.unwrap();
    tx.commit().await.unwrap();
    inserted
}

async fn save(store: &Store, bookings: &[&Booking]) -> Result<(), StoreError> {
    let mut tx = store.begin().await?;
    tx.write(bookings::save(bookings)).await?;
    tx.commit().await
}

async fn insert_entries(store: &Store, entries: &[NewEntry]) -> Result<(), StoreError> {
    let mut tx = store.begin().await?;
    tx.write([ledger::insert(entries)]).await?;
    tx.commit().await
}

/// The planner knows neither how long our arrays are nor that a batch is about few bookings among many, and it
/// makes its plans when the ledger is empty and every index looks as good as another: left to its guesses it reads
/// a whole table or index for each batch.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_looks_its_rows_up_and_never_reads_a_whole_table() {
    let db = TestDatabase::fresh(Engine::Postgres).await;
    let app = TestApp::start(&db).await;
    let bookings = app.pending_bookings(4_000).await;
    db.execute("analyze").await;
    let scanned = "select coalesce(sum(seq_tup_read), 0) from pg_stat_user_tables
         where relname in ('bookings', 'payment_events', 'outbox')";
    let looked_up = "select idx_scan from pg_stat_user_tables where relname = 'bookings'";
    let entries = "select coalesce(sum(idx_tup_read), 0) from pg_stat_user_indexes
         where relname in ('bookings', 'payment_events', 'outbox')";
    let deliver = async |from: usize| {
        let events: Vec<_> = (from..from + 40)
            .map(|n| app.paid(&format!("evt_{n}"), &bookings[n], &format!("cs_{n}")))
            .collect();
        for answer in futures_util::future::join_all(events.iter().map(|event| app.deliver(event))).await {
            assert_eq!((answer.status, answer.outcome().as_str()), (200, "processed"));
        }
    };
    // Plans settle after a statement's first runs, and what they did is told with a delay: at the latest when
    // their connections end.
    for round in 0..25 {
        deliver(round * 40).await;
    }
    app.app.store.close().await;
    assert!(db.number(looked_up).await >= 1_000, "nothing was looked up: the test shows nothing");
    assert!(db.number(scanned).await < 4_000, "a table was read from end to end");
    let read = db.number(entries).await;
    assert!(read < 15_000, "{read} index entries were read for a thousand events: some from end to end");
    db.remove().await;
}
