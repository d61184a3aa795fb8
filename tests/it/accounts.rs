//! Signing in and out, and what ends a session.

use crate::harness::people::{PASSWORD, cookie, set_cookie};
use crate::harness::{TestApp, TestDatabase, on_each_engine};
use checkout_backend::flow::accounts::{AccountError, Actor, FirstStart};
use domain::role::Role;
use secrecy::ExposeSecret;
use serde_json::json;
use std::time::Duration;

on_each_engine! {
    signing_in_tells_who_one_is_and_sets_the_cookie,
    every_failed_sign_in_looks_the_same,
    a_session_id_is_random_and_only_its_hash_is_kept,
    signing_in_makes_a_new_session_and_ends_the_old_one,
    signing_out_ends_the_session_on_the_server,
    a_changed_role_or_a_disabled_account_counts_from_the_next_request,
    a_session_ends_when_idle_and_after_eight_hours,
    a_new_password_ends_every_session,
    a_sign_in_under_way_does_not_outlive_its_password,
    a_cheap_hash_of_the_original_service_is_renewed_at_sign_in,
    a_new_password_must_be_long_enough_whole_and_not_the_first_guess,
    the_last_administrator_stays,
    seeding_makes_the_administrator_once,
    the_first_start_shows_one_password_once,
    sessions_are_shared_between_instances,
    sessions_in_memory_end_with_the_process,
    sign_ins_and_changes_of_accounts_are_audited,
}

async fn signing_in_tells_who_one_is_and_sets_the_cookie(db: TestDatabase) {
    let app = TestApp::start(&db).await;
    let user = app.account("ada@pay.test", Role::Ops).await;
    let answer = app.login(" Ada@Pay.Test ", PASSWORD).await;
    let who = json!({ "user": { "id": user.id.to_string(), "email": "ada@pay.test", "role": "OPS" } });
    assert_eq!((answer.status, answer.json()), (200, who.clone()));
    assert_eq!(answer.headers["content-type"], "application/json");
    let set = set_cookie(&answer);
    for attribute in ["HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=28800"] {
        assert!(set.split("; ").any(|part| part == attribute), "{attribute} in {set}");
    }
    assert!(!set.contains("Secure") && !set.contains("Domain"), "{set}");
    let me = app.get_as(&cookie(&answer), "/auth/me").await;
    assert_eq!((me.status, me.json()), (200, who));
    assert_eq!(app.get("/auth/me").await.status, 401);
    // S18
    assert!(!answer.body.contains("$2") && !me.body.contains("assword"));
}

/// S06
#[tokio::test]
async fn the_cookie_is_as_strict_as_the_configuration_says() {
    let cases: &[(&[(&str, &str)], &[&str], &[&str])] = &[
        (&[("APP_URL", "https://pay.test")], &["Secure", "SameSite=Lax"], &["Domain="]),
        (&[("COOKIE_SAMESITE", "strict")], &["SameSite=Strict"], &["Secure"]),
        (&[("COOKIE_SECURE", "true"), ("COOKIE_SAMESITE", "none")], &["Secure", "SameSite=None"], &[]),
        (&[("COOKIE_DOMAIN", "pay.test")], &["Domain=pay.test"], &["Secure"]),
    ];
    for (variables, present, absent) in cases {
        let db = TestDatabase::fresh(crate::harness::Engine::Sqlite).await;
        let app = TestApp::start_with(&db, variables, "http://127.0.0.1:1").await;
        app.account("ada@pay.test", Role::Ops).await;
        let set = set_cookie(&app.login("ada@pay.test", PASSWORD).await);
        assert!(set.contains("HttpOnly"), "{set}");
        assert!(present.iter().all(|part| set.contains(part)), "{variables:?}: {set}");
        assert!(!absent.iter().any(|part| set.contains(part)), "{variables:?}: {set}");
    }
}

/// S11
async fn every_failed_sign_in_looks_the_same(db: TestDatabase) {
    let app = TestApp::start(&db).await;
    app.account("keeper@pay.test", Role::Admin).await;
    app.account("ada@pay.test", Role::Ops).await;
    let gone = app.account("gone@pay.test", Role::Ops).await;
    app.app.accounts.set_active(gone.id, false, Actor::CLI).await.unwrap();
    let tries = [
        ("ada@pay.test", "wrong password".to_owned()),
        ("nobody@pay.test", PASSWORD.to_owned()),
        ("gone@pay.test", PASSWORD.to_owned()),
        ("ada@pay.test", "x".repeat(73)),
        ("no address at all", String::new()),
    ];
    let mut answers = Vec::new();
    for (email, password) in &tries {
        let answer = app.login(email, password).await;
        let mut body = answer.json();
        assert_eq!((answer.status, body["error"].as_str()), (401, Some("Identifiants invalides")), "{email}");
        body["requestId"].take();
        let mut names: Vec<_> = answer.headers.keys().map(ToString::to_string).collect();
        names.sort();
        answers.push((body, names));
    }
    assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "{answers:#?}");
}

/// S01
async fn a_session_id_is_random_and_only_its_hash_is_kept(db: TestDatabase) {
    let app = TestApp::start(&db).await;
    let person = app.person(Role::Ops).await;
    // The cookie is a signature and the id; the id is what must not be found.
    let value = percent_decoded(person.cookie.strip_prefix("sid=").unwrap());
    let id = &value[value.len() - 43..];
    assert!(id.len() >= 22);
    let kept = db.texts("select id_hash from sessions").await;
    assert_eq!(kept.len(), 1);
    assert!(!kept[0].contains(id) && kept[0].len() == 64, "{kept:?}");
    // A cookie that we did not sign is nobody's, even with the right id.
    assert_eq!(app.me(&format!("sid={id}")).await, 401);
    assert_eq!(app.me(&person.cookie.replace("sid=", "sid=x")).await, 401);
    assert_eq!(app.me(&person.cookie).await, 200);
}

fn percent_decoded(text: &str) -> String {
    form_urlencoded::parse(text.replace('+', "%2B").as_bytes())
        .map(|(name, value)| format!("{name}{}{value}", if value.is_empty() { "" } else { "=" }))
        .collect()
}

/// S02
async fn signing_in_makes_a_new_session_and_ends_the_old_one(db: TestDatabase) {
    let app = TestApp::start(&db).await;
    let person = app.person(Role::Ops).await;
    let again = app.login_with(&person.email, PASSWORD, &[("cookie", &person.cookie)]).await;
    assert_ne!(cookie(&again), person.cookie);
    assert_eq!((app.me(&person.cookie).await, app.me(&cookie(&again)).await), (401, 200));
}

/// S03, S28
async fn signing_out_ends_the_session_on_the_server(db: TestDatabase) {
    let app = TestApp::start(&db).await;
    let person = app.person(Role::Ops).await;
    let out = app.post_json("/auth/logout", &json!({}), &[("cookie", &person.cookie)]).await;
    assert_eq!(out.status, 200);
    assert!(set_cookie(&out).contains("Max-Age=0"), "{out:?}");
    assert!(out.headers["clear-site-data"].to_str().unwrap().contains("\"cookies\""));
    assert_eq!(app.me(&person.cookie).await, 401);
    let again = app.post_json("/auth/logout", &json!({}), &[("cookie", &person.cookie)]).await;
    assert_eq!(again.status, 200);
}

/// S04
async fn a_changed_role_or_a_disabled_account_counts_from_the_next_request(db: TestDatabase) {
    let app = TestApp::start(&db).await;
    app.account("keeper@pay.test", Role::Admin).await;
    let person = app.person(Role::Ops).await;
    assert_eq!(app.get_as(&person.cookie, "/admin/metrics").await.status, 200);
    db.execute(&format!("update users set role = 'READONLY' where id = '{}'", person.id)).await;
    assert_eq!(app.get_as(&person.cookie, "/admin/metrics").await.status, 403);
    assert_eq!(app.get_as(&person.cookie, "/reservations").await.status, 200);
    db.execute(&format!("update users set active = false where id = '{}'", person.id)).await;
    assert_eq!(app.get_as(&person.cookie, "/reservations").await.status, 401);
}

/// S05
async fn a_session_ends_when_idle_and_after_eight_hours(db: TestDatabase) {
    const SECOND: Duration = Duration::from_secs(1);
    const HOUR: Duration = Duration::from_secs(3600);
    let app = TestApp::start(&db).await;
    app.clock.freeze(app.clock.now());
    let idle = app.person(Role::ReadOnly).await;
    app.clock.advance(2 * HOUR - SECOND);
    assert_eq!(app.me(&idle.cookie).await, 200);
    app.clock.advance(2 * HOUR + SECOND);
    assert_eq!(app.me(&idle.cookie).await, 401);

    let busy = app.person(Role::ReadOnly).await;
    for _ in 0..7 {
        app.clock.advance(HOUR);
        assert_eq!(app.me(&busy.cookie).await, 200);
    }
    app.clock.advance(HOUR - SECOND);
    assert_eq!(app.me(&busy.cookie).await, 200);
    app.clock.advance(2 * SECOND);
    assert_eq!(app.me(&busy.cookie).await, 401);
}

/// S07
async fn a_new_password_ends_every_session(db: TestDatabase) {
    let app = TestApp::start(&db).await;
    let person = app.person(Role::Ops).await;
    let second = cookie(&app.login(&person.email, PASSWORD).await);
    app.app.accounts.set_password(person.id, "another fine password", Actor::CLI).await.unwrap();
    assert_eq!((app.me(&person.cookie).await, app.me(&second).await), (401, 401));
    assert_eq!(app.login(&person.email, PASSWORD).await.status, 401);
    let third = cookie(&app.login(&person.email, "another fine password").await);
    assert_eq!(app.app.accounts.end_sessions(person.id, Actor::CLI).await.unwrap(), 1);
    assert_eq!(app.me(&third).await, 401);
}

/// Whoever has the old password may try all the time: one of the tries is always being hashed.
async fn a_sign_in_under_way_does_not_outlive_its_password(db: TestDatabase) {
    let app = TestApp::start(&db).await;
    for cost in [4, 12] {
        db.execute("delete from login_limits").await;
        let hash = |password: &str| bcrypt::hash(password, cost).unwrap();
        let email = format!("person-{cost}@pay.test");
        let user = app.account_with_hash(&email, Role::Ops, &hash(PASSWORD)).await;
        let new = hash("another fine password");
        let change = async {
            // The try is counted once it has read the old hash.
            while db.number("select count(*) from login_limits").await == 0 {
                tokio::task::yield_now().await;
            }
            let mut tx = db.store.begin().await.unwrap();
            tx.set_password_hash(user.id, &new, app.clock.now()).await.unwrap();
            tx.delete_sessions_of(user.id).await.unwrap();
            tx.commit().await.unwrap();
        };
        let (_, ()) = tokio::join!(app.login(&email, PASSWORD), change);
        assert_eq!(db.number("select count(*) from sessions").await, 0, "cost {cost}");
        assert_eq!(
            db.texts(&format!("select password_hash from users where email = '{email}'")).await,
            [new]
        );
        assert_eq!(app.login(&email, PASSWORD).await.status, 401, "cost {cost}");
    }
}

/// S08
async fn a_cheap_hash_of_the_original_service_is_renewed_at_sign_in(db: TestDatabase) {
    let app = TestApp::start(&db).await;
    use bcrypt::Version::{TwoA, TwoB, TwoY};
    for (cost, version) in [(4, TwoA), (10, TwoB), (11, TwoY)] {
        let cheap = bcrypt::hash_with_result(PASSWORD, cost).unwrap().format_for_version(version);
        let email = format!("old-{cost}@pay.test");
        let kept = format!("select password_hash from users where email = '{email}'");
        app.account_with_hash(&email, Role::Ops, &cheap).await;
        assert_eq!(app.login(&email, "wrong password").await.status, 401);
        assert_eq!(db.texts(&kept).await, [cheap]);
        assert_eq!(app.login(&email, PASSWORD).await.status, 200);
        let renewed = db.texts(&kept).await;
        assert!(renewed[0].starts_with("$2b$12$"), "{renewed:?}");
        assert_eq!(app.login(&email, PASSWORD).await.status, 200);
    }
}

/// S08, S09
async fn a_new_password_must_be_long_enough_whole_and_not_the_first_guess(db: TestDatabase) {
    let app = TestApp::start(&db).await;
    let accounts = &app.app.accounts;
    for bad in ["short", "password", &"x".repeat(73)] {
        let made = accounts.create("ada@pay.test", bad, Role::Ops, Actor::CLI).await;
        assert!(matches!(made, Err(AccountError::Invalid(_))), "{bad}: {made:?}");
    }
    let admin = app.person(Role::Admin).await;
    let body = json!({ "email": "ada@pay.test", "password": "é".repeat(37), "role": "OPS" });
    let refused = app.post_json("/api/users", &body, &[("cookie", &admin.cookie)]).await;
    assert_eq!((refused.status, &refused.json()["details"][0]["path"]), (400, &json!("password")));
    let whole = "é".repeat(36);
    accounts.create("ada@pay.test", &whole, Role::Ops, Actor::CLI).await.unwrap();
    assert_eq!(app.login("ada@pay.test", &whole).await.status, 200);
    let twice = accounts.create("ADA@pay.test", &whole, Role::Ops, Actor::CLI).await;
    assert!(matches!(twice, Err(AccountError::EmailTaken)), "{twice:?}");
}

async fn the_last_administrator_stays(db: TestDatabase) {
    let app = TestApp::start(&db).await;
    let accounts = &app.app.accounts;
    let only = app.account("only@pay.test", Role::Admin).await;
    let lowered = accounts.set_role(only.id, Role::Ops, Actor::CLI).await;
    assert!(matches!(lowered, Err(AccountError::LastAdmin)), "{lowered:?}");
    let disabled = accounts.set_active(only.id, false, Actor::CLI).await;
    assert!(matches!(disabled, Err(AccountError::LastAdmin)), "{disabled:?}");
    let other = app.account("other@pay.test", Role::Admin).await;
    // Both at once may not leave nobody.
    let both = tokio::join!(
        accounts.set_role(only.id, Role::Ops, Actor::CLI),
        accounts.set_role(other.id, Role::Ops, Actor::CLI)
    );
    assert!(both.0.is_ok() != both.1.is_ok(), "{both:?}");
    assert_eq!(db.number("select count(*) from users where role = 'ADMIN'").await, 1);
}

/// S10
async fn seeding_makes_the_administrator_once(db: TestDatabase) {
    let variables = [("ADMIN_EMAIL", "Boss@Pay.Test"), ("ADMIN_PASSWORD", PASSWORD)];
    let app = TestApp::start_with(&db, &variables, "http://127.0.0.1:1").await;
    let first = app.app.accounts.first_start(&app.app.config).await.unwrap();
    assert!(matches!(first, FirstStart::Seeded), "{first:?}");
    let answer = app.login("boss@pay.test", PASSWORD).await;
    assert_eq!(answer.json()["user"]["role"], "ADMIN");
    // What the owner changed since is not undone.
    let id = app.app.accounts.find_by_email("boss@pay.test").await.unwrap().id;
    app.app.accounts.set_password(id, "changed since then", Actor::CLI).await.unwrap();
    assert!(!app.app.accounts.seed("boss@pay.test", PASSWORD, Actor::CLI).await.unwrap());
    assert_eq!(app.login("boss@pay.test", "changed since then").await.status, 200);
    assert_eq!(db.number("select count(*) from users").await, 1);
}

/// S10
async fn the_first_start_shows_one_password_once(db: TestDatabase) {
    let app = TestApp::start(&db).await;
    let first = app.app.accounts.first_start(&app.app.config).await.unwrap();
    let FirstStart::Generated { email, password } = first else { panic!("{first:?}") };
    let answer = app.login(&email, password.expose_secret()).await;
    assert_eq!(answer.json()["user"]["role"], "ADMIN");
    let second = app.app.accounts.first_start(&app.app.config).await.unwrap();
    assert!(matches!(second, FirstStart::Nothing), "{second:?}");
    assert_eq!(app.post_json("/setup", &json!({}), &[]).await.status, 404);
}

async fn sessions_are_shared_between_instances(db: TestDatabase) {
    let (one, other) = (TestApp::start(&db).await, TestApp::start(&db).await);
    let person = one.person(Role::Ops).await;
    assert_eq!(other.me(&person.cookie).await, 200);
    let out = other.post_json("/auth/logout", &json!({}), &[("cookie", &person.cookie)]).await;
    assert_eq!(out.status, 200);
    assert_eq!(one.me(&person.cookie).await, 401);
}

async fn sessions_in_memory_end_with_the_process(db: TestDatabase) {
    let memory = [("SESSION_STORE", "memory")];
    let app = TestApp::start_with(&db, &memory, "http://127.0.0.1:1").await;
    app.account("keeper@pay.test", Role::Admin).await;
    let person = app.person(Role::Ops).await;
    assert_eq!(app.me(&person.cookie).await, 200);
    assert_eq!(db.number("select count(*) from sessions").await, 0);
    let elsewhere = TestApp::start_with(&db, &memory, "http://127.0.0.1:1").await;
    assert_eq!(elsewhere.me(&person.cookie).await, 401);
    app.clock.advance(Duration::from_secs(2 * 3600 + 1));
    assert_eq!(app.me(&person.cookie).await, 401, "idle");
    let second = cookie(&app.login(&person.email, PASSWORD).await);
    app.app.accounts.set_active(person.id, false, Actor::CLI).await.unwrap();
    app.app.accounts.set_active(person.id, true, Actor::CLI).await.unwrap();
    assert_eq!(app.me(&second).await, 401, "ended when the account was disabled");
    let third = cookie(&app.login(&person.email, PASSWORD).await);
    app.post_json("/auth/logout", &json!({}), &[("cookie", &third)]).await;
    assert_eq!(app.me(&third).await, 401);
}

async fn sign_ins_and_changes_of_accounts_are_audited(db: TestDatabase) {
    let app = TestApp::start(&db).await;
    app.account("keeper@pay.test", Role::Admin).await;
    let accounts = &app.app.accounts;
    let user = accounts.create("ada@pay.test", PASSWORD, Role::Ops, Actor::CLI).await.unwrap();
    let answer = app.login_with("ada@pay.test", PASSWORD, &[("x-request-id", "audited-1")]).await;
    app.post_json("/auth/logout", &json!({}), &[("cookie", &cookie(&answer))]).await;
    let by = Actor { name: "keeper@pay.test", request_id: Some("audited-2") };
    accounts.set_role(user.id, Role::ReadOnly, by).await.unwrap();
    let told = db
        .texts("select actor || ' ' || action || ' ' || subject || ' ' || detail || ' ' || coalesce(request_id, '-') from audit_log order by at, id")
        .await;
    assert_eq!(told[0], "cli user.created ada@pay.test role OPS -");
    assert_eq!(told[1], "ada@pay.test session.started ada@pay.test  audited-1");
    assert!(told[2].starts_with("ada@pay.test session.ended ada@pay.test"), "{told:?}");
    let changed = "keeper@pay.test user.changed ada@pay.test OPS enabled → READONLY enabled audited-2";
    assert_eq!(told[3], changed);
}
