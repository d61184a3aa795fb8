//! Planted faults, and what `doctor` says of each: the cause, and the remedy of that cause.

use crate::harness::process::command;
use crate::harness::{Engine, TestApp, TestDatabase, on_each_engine};
use crate::shop::Shop;
use checkout_backend::flow::doctor::{self, Finding, Health};
use domain::role::Role;
use serde_json::{Value, json};

on_each_engine! {
    each_fault_in_the_data_is_found_with_its_remedy,
    deliveries_that_are_refused_while_none_fits_are_a_failure,
    a_proxy_that_nobody_told_of_is_noticed,
    what_is_to_be_sent_and_nobody_takes_is_found,
    what_is_safe_is_mended,
    without_its_schema_all_else_is_still_looked_at,
}

fn bad<'f>(findings: &'f [Finding], check: &str) -> &'f Finding {
    let found = findings.iter().find(|finding| finding.check == check && finding.status != Health::Ok);
    found.unwrap_or_else(|| panic!("{check} was not found: {findings:?}"))
}

/// A fault of the data: what plants it, the finding, words of its message and of its remedy, and what takes it back.
struct Planted {
    sql: String,
    check: &'static str,
    says: &'static str,
    fix: &'static str,
    undo: String,
}

async fn each_fault_in_the_data_is_found_with_its_remedy(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    shop.app.account("admin@pay.test", Role::Admin).await;
    let (paid, waits) = (shop.paid().await, shop.book().await);
    let now = shop.app.clock.now().as_micros();
    let day = 86_400_000_000_i64;
    let planted = |sql: &str, check, says, fix, undo: &str| Planted {
        sql: sql.to_owned(),
        check,
        says,
        fix,
        undo: undo.to_owned(),
    };
    let hex = if db.engine == Engine::Sqlite { "hex(checksum)" } else { "encode(checksum, 'hex')" };
    let sound = db.texts(&format!("select {hex} from _sqlx_migrations where version = 7")).await.remove(0);
    let sound = if db.engine == Engine::Sqlite { format!("x'{sound}'") } else { format!("'\\x{sound}'") };
    let empty = if db.engine == Engine::Sqlite { "x'00'" } else { "'\\x00'" };
    let faults = [
        planted(
            "drop index bookings_seat",
            "indexes",
            "bookings_seat",
            "create unique index bookings_seat",
            "create unique index bookings_seat on bookings (offer_id, slot_date, slot_time, seat) where seat is not null",
        ),
        planted(
            "drop index payment_events_one_payment",
            "indexes",
            "payment_events_one_payment",
            "create unique index payment_events_one_payment",
            "create unique index payment_events_one_payment on payment_events (stripe_session_id) where applied_payment",
        ),
        planted(
            "update offers set active = false",
            "offers",
            "nothing can be booked",
            "/dashboard/offers",
            "update offers set active = true",
        ),
        planted(
            &format!("insert into feed_cursor (name, read_until, next_run_at) values ('events', {}, 0)", now + 365 * day),
            "feed",
            "in the future",
            "doctor --fix",
            "delete from feed_cursor",
        ),
        planted(
            &format!("insert into feed_cursor (name, read_until, next_run_at) values ('events', {}, 0)", now - 40 * day),
            "feed",
            "30 days",
            "doctor --fix",
            "delete from feed_cursor",
        ),
        planted("update users set active = false", "accounts", "no active ADMIN", "users create", "update users set active = true"),
        planted(
            "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
             select 9999, 'adds', success, checksum, execution_time from _sqlx_migrations where version = 1",
            "database",
            "version 9999",
            "newer program",
            "delete from _sqlx_migrations where version = 9999",
        ),
        planted(
            "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
             select 9999, 'breaking all', success, checksum, execution_time from _sqlx_migrations where version = 1",
            "database",
            "newer",
            "start the newer program",
            "delete from _sqlx_migrations where version = 9999",
        ),
        planted(
            "alter table observations rename to hidden",
            "disk",
            "could not be recorded",
            "migrate status",
            "alter table hidden rename to observations",
        ),
        planted(
            &format!("update _sqlx_migrations set checksum = {empty} where version = 7"),
            "migrations",
            "migration 7",
            "restore a backup",
            &format!("update _sqlx_migrations set checksum = {sound} where version = 7"),
        ),
        planted(
            &format!("update bookings set seat = null where id = '{}'", paid.booking),
            "ledger",
            "not true",
            "checkout-backend explain",
            &format!("update bookings set seat = 1 where id = '{}'", paid.booking),
        ),
        planted(
            &format!("update payment_events set booking_id = null where booking_id = '{}'", paid.booking),
            "ledger",
            "not true",
            "checkout-backend ",
            &format!("update payment_events set booking_id = '{}'", paid.booking),
        ),
        planted(
            &format!(
                "insert into refund_intents (id, scope, client_key, booking_id, payment_intent_id, amount, currency, state,
                     attempt, tries, next_try_at, requested_by, created_at, updated_at)
                 values ('01890a5d-ac96-774b-bcce-b302099a8057', 'booking:x', 'k', '{}', 'pi_x', 1, 'eur', 'open', 1, 0, {now},
                     'x', {now}, {now})",
                paid.booking
            ),
            "refunds",
            "not known what Stripe did",
            "checkout-backend reconcile",
            "delete from refund_intents",
        ),
        planted(
            &format!(
                "update bookings set created_at = {} where id = '{}'", now - 3 * day, waits.booking
            ),
            "bookings",
            "waited for its payment for 72 h",
            "checkout-backend reconcile",
            &format!("update bookings set created_at = {now}"),
        ),
        planted(
            &format!(
                "update bookings set created_at = {} where id = '{}'; update payment_events set last_delivered_at = {}",
                now - day / 12, waits.booking, now - day / 8
            ),
            "webhooks",
            "no delivery for an hour",
            "checkout-backend reconcile",
            &format!("update bookings set created_at = {now}; update payment_events set last_delivered_at = {now}"),
        ),
        planted(
            "update payment_events set next_try_at = 1",
            "waiting",
            "events wait, the oldest",
            "events list --outcome parked",
            "update payment_events set next_try_at = null",
        ),
        planted(
            &format!(
                "insert into cases (id, case_key, kind, booking_id, detail, created_at)
                 values ('01890a5d-ac96-774b-bcce-b302099a8057', 'k', 'dispute', '{}', '', 0)",
                paid.booking
            ),
            "cases",
            "1 open",
            "/dashboard/cases",
            "delete from cases",
        ),
    ];
    for fault in faults {
        db.execute(&fault.sql).await;
        // What was asked a moment ago is not asked again within a second: this is another process's look.
        let other = shop.another().await;
        let findings = doctor::examine(&other.app).await;
        let found = bad(&findings, fault.check);
        assert!(found.message.contains(fault.says), "{}: {found:?}", fault.sql);
        assert!(found.fix.as_ref().unwrap().contains(fault.fix), "{}: {found:?}", fault.sql);
        db.execute(&fault.undo).await;
    }
}

async fn deliveries_that_are_refused_while_none_fits_are_a_failure(db: TestDatabase) {
    let shop = Shop::open(&db).await;
    let wrong = [secrecy::SecretString::from("whsec_of_another_endpoint")];
    let event = shop.app.paid("evt_wrong", &shop.app.pending_booking().await, "cs_wrong").to_string();
    let refused = async |times: usize| {
        for _ in 0..times {
            let header = stripe_sim::sign(&wrong, shop.app.clock.now().as_unix_seconds(), event.as_bytes());
            assert_eq!(shop.app.deliver_raw(event.clone(), Some(&header)).await.status, 400);
        }
    };
    // A stranger's post is nobody's mistake.
    assert_eq!(shop.app.deliver_raw("{}", None).await.status, 400);
    let findings = doctor::examine(&shop.app.app).await;
    assert!(
        findings.iter().all(|finding| finding.check != "refusals" || finding.status == Health::Ok),
        "{findings:?}"
    );

    refused(5).await;
    let findings = doctor::examine(&shop.app.app).await;
    let found = bad(&findings, "refusals");
    assert_eq!(found.status, Health::Fail, "{found:?}");
    assert!(found.message.contains("5 deliveries") && found.message.contains("none fitted"), "{found:?}");
    assert!(found.fix.as_ref().unwrap().contains("STRIPE_WEBHOOK_SECRET"), "{found:?}");
    // Another process is told so too.
    let (_, told) = command(&db, &["doctor", "--json"]).await;
    assert!(told.contains("5 deliveries were refused"), "{told}");

    // The right secret since: a look, no alarm.
    shop.app.clock.advance(std::time::Duration::from_secs(60));
    shop.paid().await;
    let findings = doctor::examine(&shop.app.app).await;
    assert_eq!(bad(&findings, "refusals").status, Health::Warn, "{findings:?}");
    shop.app.clock.advance(std::time::Duration::from_secs(2 * 86_400));
    let findings = doctor::examine(&shop.app.app).await;
    assert!(
        findings.iter().any(|finding| finding.check == "refusals" && finding.status == Health::Ok),
        "{findings:?}"
    );
}

async fn a_proxy_that_nobody_told_of_is_noticed(db: TestDatabase) {
    let app = TestApp::start(&db).await;
    let login = json!({ "email": "x@example.org", "password": "wrong-wrong-1" });
    app.post_json("/auth/login", &login, &[("x-forwarded-for", "203.0.113.66")]).await;
    let findings = doctor::examine(&app.app).await;
    // Kept for who asks from outside.
    doctor::keep_observations(&app.app).await.unwrap();
    let again = doctor::examine(&app.app).await;
    let found = bad(&again, "proxy");
    assert!(found.fix.as_ref().unwrap().contains("TRUST_PROXY"), "{findings:?} {found:?}");
}

async fn what_is_to_be_sent_and_nobody_takes_is_found(db: TestDatabase) {
    let variables = [
        ("SMTP_URL", "smtp://127.0.0.1:1"),
        ("MAIL_FROM", "shop@pay.test"),
        ("NOTIFY_URL", "http://127.0.0.1:1/hook"),
        ("NOTIFY_SECRET", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
    ];
    let app = TestApp::start_with(&db, &variables, "http://127.0.0.1:1").await;
    let findings = doctor::examine(&app.app).await;
    for (check, variable) in [("mail", "SMTP_URL"), ("notify", "NOTIFY_URL")] {
        let found = bad(&findings, check);
        assert!(
            found.message.contains("127.0.0.1:1") && found.fix.as_ref().unwrap().contains(variable),
            "{found:?}"
        );
    }
}

async fn what_is_safe_is_mended(db: TestDatabase) {
    let app = TestApp::start(&db).await;
    let far = app.clock.now().as_micros() + 365 * 86_400_000_000;
    db.execute(&format!(
        "insert into feed_cursor (name, read_until, next_run_at) values ('events', {far}, {far})"
    ))
    .await;
    let done = doctor::fix(&app.app).await.unwrap();
    assert_eq!(done.len(), 1, "{done:?}");
    assert!(doctor::fix(&app.app).await.unwrap().len() <= 1);
    let at = db.number("select read_until from feed_cursor where name = 'events'").await;
    let ago = app.clock.now().as_micros() - at;
    assert!((30 * 86_400_000_000..31 * 86_400_000_000).contains(&ago), "{ago}");
}

async fn without_its_schema_all_else_is_still_looked_at(db: TestDatabase) {
    let empty = TestDatabase::empty(db.engine).await;
    // An SQLite file that is not there is another finding.
    empty.execute("create table somebody (elses text)").await;
    let (code, told) = command(&empty, &["doctor", "--json"]).await;
    let report: Value = serde_json::from_str(&told).unwrap();
    let find =
        |check: &str| report["findings"].as_array().unwrap().iter().find(|f| f["check"] == check).cloned();
    assert_eq!((code, &report["ok"]), (Some(1), &json!(false)));
    assert_eq!(find("migrations").unwrap()["fix"], "checkout-backend migrate deploy");
    assert!(find("configuration").is_some() && find("stripe").is_some(), "{told}");
    empty.remove().await;
}

/// What Stripe answers, and what is to be done about it.
#[tokio::test]
async fn what_stripe_refuses_is_told_with_the_remedy_of_that_refusal() {
    let db = TestDatabase::fresh(Engine::Sqlite).await;
    let error = |code: &str| json!({ "error": { "type": "invalid_request_error", "code": code } });
    for (status, body, check, says, fix) in [
        (401, error("api_key_expired"), "stripe-key", "api_key_expired", "STRIPE_SECRET_KEY"),
        (
            403,
            error("platform_api_key_expired"),
            "stripe-key",
            "does not accept the key",
            "STRIPE_SECRET_KEY",
        ),
        (500, error("api_error"), "stripe", "Stripe failed", "curl"),
        (429, error("rate_limit"), "stripe", "slow down", "curl"),
        (200, json!("a page of a proxy's"), "stripe", "no usable answer", "curl"),
    ] {
        let status = axum::http::StatusCode::from_u16(status).unwrap();
        let answer = move || {
            let body = body.clone();
            async move { (status, axum::Json(body)) }
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stripe = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(
            async move { axum::serve(listener, axum::Router::new().fallback(answer)).await.unwrap() },
        );
        let key = ("STRIPE_SECRET_KEY", "sk_test_4eC39HqLyjWDarjtT1zdp7dc");
        let app = TestApp::start_with(&db, &[key, ("STRIPE_API_BASE", &stripe)], &stripe).await;
        let findings = doctor::examine(&app.app).await;
        let found = bad(&findings, check);
        assert!(found.message.contains(says) && found.fix.as_ref().unwrap().contains(fix), "{found:?}");
        assert!(findings.iter().any(|finding| finding.check == "ledger"), "all else is looked at");
    }
}

#[tokio::test]
async fn production_with_a_test_key_and_settings_that_nobody_reads_are_told() {
    let db = TestDatabase::fresh(Engine::Sqlite).await;
    let variables = [
        ("APP_ENV", "production"),
        ("APP_URL", "https://pay.test"),
        ("STRIPE_SECRET_KEY", "sk_test_4eC39HqLyjWDarjtT1zdp7dc"),
        ("STRIPE_PUBLISHABLE_KEY", "pk_test_x"),
    ];
    let app = TestApp::start_with(&db, &variables, "http://127.0.0.1:1").await;
    let findings = doctor::examine(&app.app).await;
    let found = bad(&findings, "configuration");
    assert!(found.message.contains("no payment is real"), "{found:?}");
    assert!(found.message.contains("STRIPE_PUBLISHABLE_KEY"), "{found:?}");
    assert!(found.fix.as_ref().unwrap().contains("STRIPE_SECRET_KEY"), "{found:?}");
}

#[tokio::test]
async fn a_file_that_is_no_database_is_told_with_its_remedy() {
    let db = TestDatabase::empty(Engine::Sqlite).await;
    std::fs::write(db.folder.path().join("checkout.db"), "no database ".repeat(1000)).unwrap();
    let (code, told) = command(&db, &["doctor", "--json"]).await;
    let report: Value = serde_json::from_str(&told).unwrap();
    let found = report["findings"].as_array().unwrap().iter().find(|f| f["check"] == "database").unwrap();
    assert_eq!((code, &found["status"]), (Some(1), &json!("fail")));
    assert!(found["message"].as_str().unwrap().contains("damaged, or no SQLite database"), "{found}");
    assert!(found["fix"].as_str().unwrap().contains("restore a backup"), "{found}");
}

/// Each way in which a server cannot be used has its own cause and remedy.
#[tokio::test]
async fn each_way_in_which_a_server_cannot_be_used_has_its_own_remedy() {
    let db = TestDatabase::fresh(Engine::Postgres).await;
    let name = db.url.rsplit('/').next().unwrap();
    let server = db.url.rsplit_once('/').unwrap().0;
    let (crowded, poor, reader) =
        (format!("crowded_{name}"), format!("poor_{name}"), format!("reader_{name}"));
    db.execute(&format!("create role {crowded} login connection limit 0")).await;
    db.execute(&format!("create role {poor} login")).await;
    db.execute(&format!("create role {reader} login superuser")).await;
    db.execute(&format!("alter role {reader} set default_transaction_read_only = on")).await;
    let latin = format!("latin_{name}");
    // Before 15 there was no other provider, and no word for it.
    let libc = if db.number("select current_setting('server_version_num')::int").await < 150_000 {
        ""
    } else {
        "locale_provider libc"
    };
    db.execute(&format!(
        "create database {latin} template template0 encoding 'LATIN1' lc_collate 'C' lc_ctype 'C' {libc}"
    ))
    .await;
    let at = |url: String| TestDatabase { url, ..db.clone() };
    let latin = at(format!("{server}/{latin}"));
    latin.reopen().migrate(clock::Clock::system().now()).await.unwrap();
    for (url, check, says, fix) in [
        ("postgres://checkout@127.0.0.1:1/x".to_owned(), "database", "nobody listens", "start the server"),
        (
            "postgres://checkout@nowhere.invalid/x".to_owned(),
            "database",
            "no way leads there",
            "DATABASE_URL",
        ),
        (format!("{server}/missing_{name}"), "database", "no such database", "createdb"),
        (
            db.url.replace("//checkout@", &format!("//{crowded}@")),
            "database",
            "no connection is left",
            "connection limit",
        ),
        (
            db.url.replace("//checkout@", "//nobody_here@"),
            "database",
            "does not accept user and password",
            "correct user and password",
        ),
        (db.url.replace("//checkout@", &format!("//{poor}@")), "database", "may not", "grant select"),
        (db.url.replace("//checkout@", &format!("//{reader}@")), "disk", "takes no writes", "primary"),
        (latin.url.clone(), "encoding", "LATIN1", "UTF8"),
    ] {
        let (code, told) = command(&at(url.clone()), &["doctor", "--json"]).await;
        let report: Value =
            serde_json::from_str(&told).unwrap_or_else(|error| panic!("{url}: {error}: {told}"));
        let findings = report["findings"].as_array().unwrap();
        let found = findings.iter().find(|f| f["check"] == check && f["status"] == "fail");
        let found = found.unwrap_or_else(|| panic!("{url}: {told}"));
        assert_eq!(code, Some(1));
        assert!(found["message"].as_str().unwrap().contains(says), "{url}: {found}");
        assert!(found["fix"].as_str().unwrap().contains(fix), "{url}: {found}");
        assert!(findings.iter().any(|f| f["check"] == "stripe"), "all else is looked at: {told}");
    }
    latin.clone().remove().await;
    db.execute(&format!("drop role {crowded}")).await;
    db.execute(&format!("drop role {poor}")).await;
    db.execute(&format!("drop role {reader}")).await;
    db.remove().await;
}
