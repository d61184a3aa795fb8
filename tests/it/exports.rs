//! A month as CSV: every booking and every movement of money once, sums that agree with the books, and nothing that a
//! spreadsheet would run.

use crate::harness::{TestDatabase, on_each_engine};
use crate::shop::{ADMIN, DISPUTED, FAILED_REFUND, Shop, VISA};
use checkout_backend::flow::call_off::call_off;
use checkout_backend::flow::refund;
use domain::cancel::GiveBack;
use domain::role::Role;
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

on_each_engine! {
    what_came_in_and_went_out_agrees_with_the_books_to_the_cent,
    each_movement_stands_in_the_month_in_which_it_was,
    a_months_bookings_are_those_that_take_place_in_it,
    what_begins_like_a_formula_is_quoted,
    a_month_of_more_rows_than_a_portion_is_whole_and_in_order,
    a_month_that_is_none_is_told,
    only_an_admin_takes_it_away,
}

type Row = HashMap<String, String>;

fn rows(text: &str) -> Vec<Row> {
    let mut csv = csv::Reader::from_reader(text.as_bytes());
    let names = csv.headers().unwrap().clone();
    csv.records()
        .map(|row| names.iter().map(str::to_owned).zip(row.unwrap().iter().map(str::to_owned)).collect())
        .collect()
}

async fn export(shop: &Shop, path: &str) -> Vec<Row> {
    let admin = shop.app.person(Role::Admin).await;
    let answer = shop.app.get_as(&admin.cookie, path).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.headers["content-type"], "text/csv; charset=utf-8; header=present");
    rows(&answer.body)
}

fn cents(text: &str) -> i64 {
    let (whole, part) = text.split_once('.').unwrap();
    whole.parse::<i64>().unwrap() * 100 + part.parse::<i64>().unwrap()
}

fn sum(rows: &[Row], kind: &str, column: &str) -> i64 {
    rows.iter().filter(|row| row["kind"] == kind).map(|row| cents(&row[column])).sum()
}

fn month(shop: &Shop) -> String {
    let zone = &shop.app.app.config.timezone;
    zone.to_datetime(shop.app.clock.now().to_jiff()).date().to_string()[..7].to_owned()
}

/// Payments, refunds whole, in part and come back, a dispute, a cancellation.
async fn what_came_in_and_went_out_agrees_with_the_books_to_the_cent(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let now = month(&shop);
    for card in [VISA, VISA, VISA, VISA, FAILED_REFUND, DISPUTED] {
        let checkout = shop.book().await;
        shop.pay(&checkout, card).await;
    }
    shop.deliver_all().await;
    let _unpaid = shop.book().await;
    let mut ids = Vec::new();
    let page = store::page::PageRequest { limit: 100, after: None };
    let all = async || {
        let mut tx = shop.app.app.store.read().await.unwrap();
        tx.list_bookings(&store::bookings::BookingFilter::default(), &page).await.unwrap().items
    };
    for booking in all().await.iter().rev().filter(|booking| booking.payment().is_some()) {
        ids.push(booking.id);
    }
    for (nth, amount) in [(0, None), (1, Some(1234)), (4, Some(2000))] {
        refund::refund(&shop.app.app, ids[nth], amount, "key", ADMIN).await.unwrap();
    }
    call_off(&shop.app.app, ids[2], Some(GiveBack::Part(777)), "", ADMIN).await.unwrap();
    shop.advance(Duration::from_secs(3600));
    // By then one has come back.
    shop.list_at_stripe("/v1/refunds").await;
    shop.deliver_all().await;

    let told = export(&shop, &format!("/api/payments.csv?month={now}")).await;
    let bookings = all().await;
    let paid: i64 = bookings.iter().filter_map(|booking| Some(booking.payment()?.amount)).sum();
    let back: i64 = bookings.iter().map(domain::booking::Booking::refunded_amount).sum();
    assert_eq!((paid, back), (6 * 6000, 6000 + 1234 + 777));
    assert_eq!(sum(&told, "payment", "in"), paid);
    assert_eq!(sum(&told, "refund", "out"), back);
    assert_eq!(sum(&told, "dispute", "out"), 6000);
    assert_eq!((sum(&told, "payment", "out"), sum(&told, "refund", "in")), (0, 0));
    // The one that came back is told, and counts for nothing.
    let came_back: Vec<_> = told.iter().filter(|row| row["status"] == "failed").collect();
    assert_eq!((came_back.len(), came_back[0]["out"].as_str()), (1, "0.00"));
    // By currency and booking, too.
    let mut net = BTreeMap::<&str, i64>::new();
    for row in &told {
        assert_eq!(row["currency"], "eur");
        *net.entry(&row["bookingId"]).or_default() += cents(&row["in"]) - cents(&row["out"]);
    }
    assert_eq!(net.len(), 6);
    assert_eq!(net[ids[1].to_string().as_str()], 6000 - 1234);
    let times: Vec<_> = told.iter().map(|row| row["at"].clone()).collect();
    assert!(times.is_sorted(), "{times:?}");
}

async fn each_movement_stands_in_the_month_in_which_it_was(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let first = month(&shop);
    let checkout = shop.paid().await;
    shop.advance(Duration::from_secs(31 * 86_400));
    let second = month(&shop);
    refund::refund(&shop.app.app, checkout.booking, Some(100), "key", ADMIN).await.unwrap();
    for (month, kinds) in [(&first, vec!["payment"]), (&second, vec!["refund"])] {
        let told = export(&shop, &format!("/api/payments.csv?month={month}")).await;
        assert_eq!(told.iter().map(|row| row["kind"].as_str()).collect::<Vec<_>>(), kinds, "{month}");
        assert!(told.iter().all(|row| row["date"].starts_with(month.as_str())));
    }
}

async fn a_months_bookings_are_those_that_take_place_in_it(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    for (date, time) in
        [("2031-01-31", "18:00"), ("2031-02-01", "09:00"), ("2031-02-28", "18:00"), ("2031-03-01", "09:00")]
    {
        let mut request = Shop::request();
        (request.date, request.time) = (date.to_owned(), time.to_owned());
        shop.book_as(&request).await;
    }
    let told = export(&shop, "/api/bookings.csv?month=2031-02").await;
    let days: Vec<_> = told.iter().map(|row| row["date"].as_str()).collect();
    assert_eq!(days, ["2031-02-01", "2031-02-28"]);
    let row = &told[0];
    assert_eq!(
        (row["status"].as_str(), row["amount"].as_str(), row["amountPaid"].as_str()),
        ("en attente", "60.00", "0.00")
    );
    assert!(export(&shop, "/api/bookings.csv?month=2030-02").await.is_empty());
}

async fn what_begins_like_a_formula_is_quoted(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let mut request = Shop::request();
    (request.date, request.time) = ("2031-02-01".to_owned(), "09:00".to_owned());
    (request.first_name, request.last_name) = ("=HYPERLINK(\"http://x\")".to_owned(), "-2, \"é\"".to_owned());
    shop.book_as(&request).await;
    let told = export(&shop, "/api/bookings.csv?month=2031-02").await;
    assert_eq!(told[0]["firstName"], "'=HYPERLINK(\"http://x\")");
    assert_eq!(told[0]["lastName"], "'-2, \"é\"");
}

async fn a_month_of_more_rows_than_a_portion_is_whole_and_in_order(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let month = month(&shop);
    let bookings = shop.app.pending_bookings(1_201).await;
    db.execute("update bookings set slot_date = '2031-02-03', seat = null").await;
    let told = export(&shop, "/api/bookings.csv?month=2031-02").await;
    let ids: std::collections::BTreeSet<_> = told.iter().map(|row| row["bookingId"].clone()).collect();
    assert_eq!((told.len(), ids.len()), (bookings.len(), bookings.len()));

    // Many at the same moment: none is left out where a portion ends.
    let now = shop.app.clock.now().as_micros();
    db.execute(&format!(
        "update bookings set status = 'payé', paid_session_id = 'cs_' || id, payment_intent_id = 'pi_' || id,
             paid_amount = 6000, paid_at = {now}"
    ))
    .await;
    let told = export(&shop, &format!("/api/payments.csv?month={month}")).await;
    let ids: std::collections::BTreeSet<_> = told.iter().map(|row| row["bookingId"].clone()).collect();
    assert_eq!((told.len(), ids.len()), (bookings.len(), bookings.len()));
}

async fn a_month_that_is_none_is_told(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let admin = shop.app.person(Role::Admin).await;
    for path in ["/api/payments.csv", "/api/bookings.csv"] {
        for query in
            ["", "?month=", "?month=2026-13", "?month=november", "?month=2026-1", "?month=2026-11&from=1"]
        {
            let answer = shop.app.get_as(&admin.cookie, &format!("{path}{query}")).await;
            assert_eq!(answer.status, 400, "{path}{query}: {}", answer.body);
            assert!(answer.body.contains("month") || answer.body.contains("from"), "{}", answer.body);
        }
    }
}

async fn only_an_admin_takes_it_away(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    for path in ["/api/payments.csv?month=2026-11", "/api/bookings.csv?month=2026-11"] {
        for (role, status) in [(Role::ReadOnly, 403), (Role::Ops, 403), (Role::Admin, 200)] {
            let person = shop.app.person(role).await;
            assert_eq!(shop.app.get_as(&person.cookie, path).await.status, status, "{role}: {path}");
        }
        assert_eq!(shop.app.get(path).await.status, 401);
    }
}
