//! What a stranger does on purpose, from outside, against the real program: each attack is bounded, and
//! whoever pays is served meanwhile.

use crate::harness::app::{Answer, WEBHOOK_SECRET, send};
use crate::harness::events::event;
use crate::harness::people::PASSWORD;
use crate::harness::process::free_port;
use crate::harness::{Engine, TestApp, TestDatabase, TestProcess, on_each_engine};
use crate::shop::{Shop, VISA};
use checkout_backend::flow::{doctor, privacy};
use checkout_backend::http::server::MAX_CONNECTIONS;
use checkout_backend::http::server::budget::{BODIES, WORST_CASE};
use checkout_backend::http::{Access, Route, routes};
use clock::Clock;
use domain::role::Role;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

/// Longer than anything here takes, and shorter than the server's own patience with a body.
const SOON: Duration = Duration::from_secs(8);
const MIB: usize = 1024 * 1024;

on_each_engine! {
    a_delivery_that_no_body_can_make_right_is_refused_from_its_head,
    bodies_that_never_end_take_no_delivery_s_place,
    an_address_with_a_nul_is_refused_on_every_route,
    a_text_with_a_nul_is_refused_wherever_it_is_read,
    a_hold_cookie_of_somebody_else_s_making_is_replaced,
    nobody_holds_more_seats_unpaid_than_the_configuration_says,
    an_owner_takes_back_what_a_stranger_holds,
    an_owner_takes_it_back_by_a_form_that_asks_first,
    who_never_paid_is_forgotten_after_a_while,
    a_device_that_signed_in_before_is_not_kept_out_by_strangers,
    what_is_refused_costs_its_address_as_much_as_what_is_judged,
    a_proxy_that_nobody_named_is_told_of,
    raw_bytes_in_every_reader_are_never_a_fault_of_ours,
}

/// As many files as the system allows: each connection is one, here as well.
fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
}

fn now() -> i64 {
    Clock::system().now().as_unix_seconds()
}

/// A header that no secret made, and that only the body can tell from one that was.
fn forged(age: i64) -> String {
    format!("stripe-signature: t={},v1={}\r\n", now() - age, "0".repeat(64))
}

/// A connection from one of this machine's many addresses.
async fn connect(url: &str, from: [u8; 4]) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from((from, 0))).unwrap();
    let address = url.strip_prefix("http://").unwrap().parse().unwrap();
    socket.connect(address).await.unwrap()
}

/// The status of the next answer, and whether it says that the connection ends.
async fn answer(stream: &mut TcpStream) -> (u16, bool) {
    answer_within(stream, SOON).await
}

async fn answer_within(stream: &mut TcpStream, patience: Duration) -> (u16, bool) {
    let mut head = Vec::new();
    let reading = async {
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.expect("closed without an answer"));
        }
    };
    tokio::time::timeout(patience, reading).await.expect("no answer");
    let head = String::from_utf8(head).unwrap();
    let status = head.strip_prefix("HTTP/1.1 ").unwrap().get(..3).unwrap().parse().unwrap();
    (status, head.contains("connection: close\r\n"))
}

async fn ask(url: &str, request: &str) -> u16 {
    let mut stream = connect(url, [127, 0, 0, 1]).await;
    stream.write_all(request.as_bytes()).await.unwrap();
    answer(&mut stream).await.0
}

/// Memory before signature: nobody waits for a stranger's megabyte.
async fn a_delivery_that_no_body_can_make_right_is_refused_from_its_head(db: TestDatabase) {
    let app = TestApp::start(&db).await;
    let v1 = "0".repeat(64);
    let cases = [
        (String::new(), "header_missing"),
        ("stripe-signature: \r\n".to_owned(), "header_missing"),
        ("stripe-signature: nonsense\r\n".to_owned(), "header_malformed"),
        (format!("stripe-signature: t=soon,v1={v1}\r\n"), "header_malformed"),
        (format!("stripe-signature: t={}\r\n", now()), "no_v1_signature"),
        (format!("stripe-signature: t={},v0={v1}\r\n", now()), "no_v1_signature"),
        (forged(301), "timestamp_out_of_tolerance"),
    ];
    for (header, reason) in &cases {
        let before = app.get("/metrics").await.body;
        for length in ["content-length: 1048576\r\n", "transfer-encoding: chunked\r\n"] {
            // Not a byte of the body is sent, and the answer is there.
            let head = format!("POST /webhook HTTP/1.1\r\nhost: localhost\r\n{header}{length}\r\n");
            assert_eq!(ask(&app.url, &head).await, 400, "{head}");
        }
        let after = app.get("/metrics").await.body;
        let line = |text: &str| {
            let name = format!("checkout_webhook_rejects_total{{reason=\"{reason}\"}} ");
            text.lines().find_map(|line| line.strip_prefix(&name)?.parse::<u32>().ok()).unwrap()
        };
        assert_eq!(line(&after), line(&before) + 2, "{reason}");
    }
    // What may be right is waited for.
    let mut stream = connect(&app.url, [127, 0, 0, 1]).await;
    let head =
        format!("POST /webhook HTTP/1.1\r\nhost: localhost\r\n{}content-length: 2\r\n\r\n{{", forged(299));
    stream.write_all(head.as_bytes()).await.unwrap();
    let early = tokio::time::timeout(Duration::from_millis(300), stream.readable()).await;
    assert!(early.is_err(), "answered before its body was there");
    stream.write_all(b"}").await.unwrap();
    assert_eq!(answer(&mut stream).await.0, 400);
    // Who sends it all the same reads the answer, and the connection goes on.
    let mut stream = connect(&app.url, [127, 0, 0, 1]).await;
    let head = format!("POST /webhook HTTP/1.1\r\nhost: localhost\r\ncontent-length: {MIB}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&vec![b' '; MIB]).await.unwrap();
    assert_eq!(answer(&mut stream).await.0, 400);
}

/// Each 16 KiB short of a megabyte, more than all bodies together may have.
async fn bodies_that_never_end_take_no_delivery_s_place(db: TestDatabase) {
    let process = TestProcess::start(&db, free_port(), "http://127.0.0.1:1", &[]).await;
    let mut hostile = Vec::new();
    let body = vec![b' '; MIB - 1];
    for _ in 0..BODIES / MIB + 16 {
        let mut stream = connect(&process.url, [127, 0, 0, 2]).await;
        let head = format!(
            "POST /webhook HTTP/1.1\r\nhost: localhost\r\n{}content-length: {MIB}\r\n\r\n",
            forged(0)
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        // Whoever is refused may be cut off while writing.
        let _ = stream.write_all(&body).await;
        hostile.push(stream);
    }
    let delivered =
        process.deliver(&event("evt_1", "customer.created", json!({ "id": "cus_1" }))).await.unwrap();
    assert_eq!(delivered.status, 200, "{delivered:?}");
    let mut statuses = Vec::new();
    for stream in &mut hostile {
        statuses.push(answer_within(stream, Duration::from_secs(60)).await);
    }
    let full = statuses.iter().filter(|answer| **answer == (500, true)).count();
    assert!(full >= 16, "{statuses:?}");
    // The others were too slow. Nobody got anything else.
    assert!(statuses.iter().all(|(status, _)| [500, 400].contains(status)), "{statuses:?}");
    let later = process.deliver(&event("evt_2", "customer.created", json!({ "id": "cus_1" }))).await.unwrap();
    assert_eq!(later.status, 200);
}

/// One engine is enough: what is attacked is in front of the database.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_thousand_hostile_connections_leave_memory_bounded_and_deliveries_answered() {
    raise_file_limit();
    let db = TestDatabase::fresh(Engine::Sqlite).await;
    let process = TestProcess::start(&db, free_port(), "http://127.0.0.1:1", &[]).await;
    let mut hostile = Vec::new();
    let mut slowest = Duration::ZERO;
    for n in 0..4_000_usize {
        let from = [127, 0, 1, u8::try_from(n % 5).unwrap() + 1];
        let mut stream = connect(&process.url, from).await;
        let (head, body) = match n % 4 {
            0 => (String::new(), 0),
            1 => (format!("GET /health HTTP/1.1\r\nhost: localhost\r\nx: {}", "y".repeat(100 * 1024)), 0),
            2 => {
                let length = MIB;
                let head = "POST /webhook HTTP/1.1\r\nhost: localhost\r\n".to_owned() + &forged(0);
                (format!("{head}content-length: {length}\r\n\r\n"), 64 * 1024)
            }
            _ => {
                let head =
                    "POST /auth/login HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n";
                (format!("{head}content-length: 16000\r\n\r\n"), 15_999)
            }
        };
        let _ = stream.write_all(head.as_bytes()).await;
        // As much as the system takes without waiting: nobody reads for those who were refused.
        let _ = stream.try_write(&vec![b' '; body]);
        hostile.push(stream);
        if n % 50 == 49 {
            let began = std::time::Instant::now();
            let id = format!("evt_{n}");
            let delivered = process.deliver(&event(&id, "customer.created", json!({ "id": "cus_1" }))).await;
            assert_eq!(delivered.unwrap().status, 200, "after {n} connections");
            slowest = slowest.max(began.elapsed());
        }
    }
    let peak = process.peak_memory();
    println!("{} connections: peak {} KiB, slowest delivery {slowest:?}", hostile.len(), peak / 1024);
    assert!(peak < WORST_CASE, "{peak} bytes at the peak, {WORST_CASE} were computed");
    assert!(slowest < Duration::from_secs(8), "{slowest:?}");
    assert_eq!(db.number("select count(*) from payment_events").await, 80);
}

/// The system must not stop the program for what it was meant to bear.
#[test]
fn the_limits_of_the_deployment_are_above_the_worst_case() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &str| std::fs::read_to_string(root.join(path)).unwrap();
    let limit = |text: &str, name: &str| -> usize {
        let line = text.lines().find_map(|line| line.trim().strip_prefix(name)).unwrap();
        let digits: String = line.chars().take_while(char::is_ascii_digit).collect();
        assert!(line.len() == digits.len() + 1 && line.to_lowercase().ends_with('m'), "{name}{line}");
        digits.parse::<usize>().unwrap() * MIB
    };
    for (path, section, name) in [
        ("docker-compose.yml", "\n  backend:\n", "mem_limit: "),
        ("deploy/compose.instances.yml", "\n  backend:\n", "mem_limit: "),
        ("deploy/checkout-backend.service", "[Service]", "MemoryMax="),
    ] {
        let text = read(path);
        let (_, section) = text.split_once(section).unwrap();
        let limit = limit(section, name);
        assert!(limit >= WORST_CASE, "{path}: {limit} bytes, {WORST_CASE} are needed");
        assert!(limit <= 2 * WORST_CASE, "{path}: {limit} bytes would hide a leak");
    }
}

/// More than there are places, of one client, and then of a few.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_silent_connections_shut_nobody_out() {
    raise_file_limit();
    let db = TestDatabase::fresh(Engine::Sqlite).await;
    let process = TestProcess::start(&db, free_port(), "http://127.0.0.1:1", &[]).await;
    let mut silent = Vec::new();
    for n in 0..MAX_CONNECTIONS + 200 {
        silent.push(connect(&process.url, [127, 0, 0, if n % 2 == 0 { 2 } else { 3 }]).await);
        if n % 512 == 0 || n > MAX_CONNECTIONS {
            let began = std::time::Instant::now();
            assert_eq!(ask(&process.url, "GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n").await, 200);
            assert!(began.elapsed() < SOON, "after {n}");
        }
    }
    let delivered = process.deliver(&event("evt_1", "customer.created", json!({ "id": "cus_1" }))).await;
    assert_eq!(delivered.unwrap().status, 200);
    // The one that was there first made room.
    let mut first = silent.swap_remove(0);
    let closed = tokio::time::timeout(SOON, first.read_u8()).await;
    assert!(closed.is_ok_and(|read| read.is_err()), "still open");
}

/// `%00` gave a 500 on PostgreSQL.
async fn an_address_with_a_nul_is_refused_on_every_route(db: TestDatabase) {
    let app = TestApp::start(&db).await;
    let admin = app.person(Role::Admin).await;
    let headers = [("cookie", admin.cookie.as_str()), ("content-type", "application/json")];
    let mut asked = 0;
    for Route { method, path, access, .. } in routes() {
        if access == Access::Stripe {
            continue;
        }
        let filled = path
            .split('/')
            .map(|part| if part.starts_with('{') { "%00" } else { part })
            .collect::<Vec<_>>()
            .join("/");
        for address in [filled.clone(), format!("{filled}?q=%00"), format!("{filled}?%00=1")] {
            if !address.contains("%00") {
                continue;
            }
            let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
            let mut request = app.http.request(method, format!("{}{address}", app.url)).body("{}");
            for (name, value) in headers {
                request = request.header(name, value);
            }
            let answer = send(request).await;
            assert_eq!(answer.status, 400, "{address}: {answer:?}");
            asked += 1;
        }
    }
    assert!(asked > 100, "{asked}");
}

async fn a_text_with_a_nul_is_refused_wherever_it_is_read(db: TestDatabase) {
    let app = TestApp::start(&db).await;
    let admin = app.person(Role::Admin).await;
    let headers = [("cookie", admin.cookie.as_str())];
    for path in ["/api/bookings", "/create-checkout-session", "/auth/login", "/api/users", "/api/offers"] {
        for body in [json!({ "email": "a\0b" }), json!({ "other": ["\0"] }), json!({ "deep": { "a\0": 1 } })]
        {
            let answer = app.post_json(path, &body, &headers).await;
            assert_eq!(answer.status, 400, "{path} {body}: {answer:?}");
            let named = &answer.json()["details"][0]["path"];
            assert!(body.as_object().unwrap().contains_key(named.as_str().unwrap()), "{path}: {named}");
        }
    }
    for (path, field) in [("/", "firstName"), ("/login", "email"), ("/dashboard/users", "email")] {
        let post = app.http.post(format!("{}{path}", app.url)).header("cookie", &admin.cookie);
        let answer = send(form(post, &[(field, "a\0b")])).await;
        assert_eq!(answer.status, 400, "{path}: {answer:?}");
    }
}

fn form(request: reqwest::RequestBuilder, fields: &[(&str, &str)]) -> reqwest::RequestBuilder {
    let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    request.header("content-type", "application/x-www-form-urlencoded").body(body)
}

async fn page(app: &TestApp, cookie: &str) -> Answer {
    send(app.http.get(&app.url).header("cookie", cookie)).await
}

fn handed_out(answer: &Answer) -> Option<&str> {
    let cookie = answer.headers.get("set-cookie")?.to_str().unwrap();
    cookie.split(';').next()
}

/// Whoever can set a cookie from another site of the domain must not choose a customer's.
async fn a_hold_cookie_of_somebody_else_s_making_is_replaced(db: TestDatabase) {
    let app = TestApp::start(&db).await;
    let planted = format!("hold={}", "A".repeat(43));
    let first = page(&app, &planted).await;
    let own = handed_out(&first).unwrap().to_owned();
    assert!(own.starts_with("hold=") && !own.contains(&"A".repeat(43)), "{own}");
    // One of ours stays, also behind a stranger's.
    let again = page(&app, &format!("{planted}; hold=1; {own}")).await;
    assert_eq!(handed_out(&again), Some(own.as_str()));
    // A letter of it changed, it is a stranger's.
    let (value, signature) = own.split_once('.').unwrap();
    for altered in
        [format!("{value}.{}", "A".repeat(22)), value.to_owned(), format!("{own}A"), format!("{value}.")]
    {
        assert_eq!(altered.contains(signature), altered.len() > own.len(), "{altered}");
        assert_ne!(handed_out(&page(&app, &altered).await), Some(own.as_str()), "{altered}");
    }
    let other = TestApp::start_with(&db, &[("APP_URL", "https://pay.test")], "http://127.0.0.1:1").await;
    let secure = page(&other, &own).await;
    let told = secure.headers["set-cookie"].to_str().unwrap();
    assert!(
        told.starts_with("__Host-hold=") && told.contains("; Secure") && told.contains("; Path=/;"),
        "{told}"
    );
    assert!(!told.contains("Domain"), "{told}");
    assert_ne!(
        handed_out(&secure).unwrap(),
        format!("__Host-{own}"),
        "the name without the prefix counts no more"
    );
    let kept = handed_out(&secure).unwrap().to_owned();
    assert_eq!(handed_out(&page(&other, &kept).await), Some(kept.as_str()));
}

/// DNS rebinding, links made of a stranger's name, requests that two programs read differently.
#[tokio::test]
async fn requests_for_another_name_are_refused() {
    let db = TestDatabase::fresh(Engine::Sqlite).await;
    let production = [
        ("APP_ENV", "production"),
        ("APP_URL", "https://pay.test"),
        ("STRIPE_SECRET_KEY", "sk_test_4eC39HqLyjWDarjtT1zdp7dc"),
        ("TRUST_PROXY", "1"),
    ];
    let live = TestApp::start_with(&db, &production, "http://127.0.0.1:1").await;
    let local = TestApp::start(&db).await;
    let through = "x-forwarded-for: 203.0.113.9\r\n";
    let cases: &[(&TestApp, &str, &str, u16)] = &[
        (&live, "/login", "host: pay.test\r\n", 200),
        (&live, "/login", "host: PAY.test:443\r\n", 200),
        (&live, "/login", "host: evil.test\r\n", 421),
        (&live, "/login", "host: pay.test.evil.test\r\n", 421),
        (&live, "/login", "host: evil.test:443\r\n", 421),
        (&live, "/login", "host: localhost\r\nx-forwarded-for: 203.0.113.9\r\n", 421),
        (&live, "/login", "host: 127.0.0.1\r\n", 200),
        (&live, "/login", "host: 192.0.2.1\r\n", 421),
        (&live, "/login", "host: pay.test\r\nhost: pay.test\r\n", 400),
        (&live, "/login", "host: pay.test\r\nhost: evil.test\r\n", 400),
        (&live, "/login", "host: \r\n", 400),
        (&live, "/login", "host: user@pay.test\r\n", 400),
        (&live, "/login", "", 400),
        (&live, "http://evil.test/login", "host: pay.test\r\n", 421),
        (&live, "/health", "host: localhost\r\n", 200),
        (&live, "/readyz", "host: 10.1.2.3:4242\r\n", 200),
        (&live, "/livez", "host: backend:4242\r\n", 200),
        (&live, "/livez", "host: backend\r\nhost: backend\r\n", 400),
        (&live, "/metrics", "host: backend:4242\r\n", 403),
        (&local, "/login", "host: 127.0.0.1:4242\r\n", 200),
        (&local, "/login", "host: localhost\r\n", 200),
        (&local, "/login", "host: [::1]:4242\r\n", 200),
        (&local, "/login", "host: shop.localhost\r\n", 200),
        (&local, "/login", "host: 192.168.1.5:4242\r\n", 200),
        (&local, "/login", "host: evil.test\r\n", 421),
    ];
    for (app, path, headers, expected) in cases {
        let request = format!("GET {path} HTTP/1.1\r\n{headers}\r\n");
        assert_eq!(ask(&app.url, &request).await, *expected, "{request:?}");
    }
    // Stripe's deliveries are known by their signature, whatever the address that they were sent to.
    let head = format!("POST /webhook HTTP/1.1\r\nhost: hooks.test\r\n{through}content-length: 0\r\n\r\n");
    assert_eq!(ask(&live.url, &head).await, 400);
}

/// Without `Sec-Fetch-Site` the page's origin is compared with our own address, not with what the request
/// calls us.
#[tokio::test]
async fn a_page_that_calls_us_by_its_own_name_is_another_site() {
    let db = TestDatabase::fresh(Engine::Sqlite).await;
    let app = TestApp::start(&db).await;
    let port = app.url.rsplit_once(':').unwrap().1.to_owned();
    let post = |origin: &str, host: &str| {
        format!(
            "POST /auth/login HTTP/1.1\r\nhost: {host}\r\norigin: {origin}\r\ncontent-type: application/json\r\n\
             content-length: 2\r\n\r\n{{}}"
        )
    };
    for (origin, host, expected) in [
        (app.url.clone(), format!("127.0.0.1:{port}"), 400),
        ("http://192.168.1.5:4242".to_owned(), "192.168.1.5:4242".to_owned(), 403),
        (format!("http://shop.localhost:{port}"), format!("shop.localhost:{port}"), 403),
        ("http://127.0.0.1:3000".to_owned(), "127.0.0.1:3000".to_owned(), 403),
    ] {
        assert_eq!(ask(&app.url, &post(&origin, &host)).await, expected, "{origin} {host}");
    }
}

/// A booking by the API of one of a client's browsers.
async fn book(shop: &Shop, time: &str, email: &str, from: &str, more: &[(&str, &str)]) -> Answer {
    let body = json!({
        "firstName": "Ada", "lastName": "Lovelace", "email": email, "date": "2031-03-03", "time": time,
    });
    let mut headers = vec![("x-forwarded-for", from)];
    headers.extend_from_slice(more);
    shop.app.post_json("/api/bookings", &body, &headers).await
}

/// The customer pays and comes back.
async fn pay(shop: &Shop, started: &Value) {
    let session = started["stripeSessionId"].as_str().unwrap();
    let _ = shop.sim.pay(session, VISA).await.unwrap();
    shop.app.get(&format!("/success?session_id={session}")).await;
    let paid = shop.app.get(&format!("/api/checkout/{session}")).await;
    assert_eq!(paid.json()["status"], "payé");
}

/// One address held 310 of 310 slots of a month in two minutes.
async fn nobody_holds_more_seats_unpaid_than_the_configuration_says(db: TestDatabase) {
    let limits = [
        ("TRUST_PROXY", "1"),
        ("HOLDS_PER_ADDRESS", "4"),
        ("HOLDS_PER_BROWSER", "3"),
        ("HOLDS_PER_EMAIL", "2"),
    ];
    let shop = Shop::open_with(&db, &limits).await;
    let refused = |answer: &Answer, whose: &str| {
        assert_eq!(answer.status, 429, "{answer:?}");
        let told = answer.json();
        assert_eq!(told["error"], "Too many unpaid bookings");
        assert!(told["message"].as_str().unwrap().contains(whose), "{told}");
        let seconds: u64 = answer.headers["retry-after"].to_str().unwrap().parse().unwrap();
        assert!((1..=35 * 60).contains(&seconds), "{seconds}");
    };
    // One e-mail address, from everywhere.
    for (n, time) in ["08:00", "08:01"].iter().enumerate() {
        let from = format!("203.0.113.{}", n + 1);
        assert_eq!(book(&shop, time, "ada@example.org", &from, &[]).await.status, 200);
    }
    refused(&book(&shop, "08:02", "ADA@example.org", "203.0.113.9", &[]).await, "this e-mail address");
    // One browser, by any address of either kind.
    let cookie = handed_out(&send(shop.app.http.get(&shop.app.url)).await).unwrap().to_owned();
    for n in 0..3 {
        let (time, email, from) =
            (format!("09:0{n}"), format!("b{n}@example.org"), format!("198.51.100.{n}"));
        assert_eq!(book(&shop, &time, &email, &from, &[("cookie", &cookie)]).await.status, 200);
    }
    let more = book(&shop, "09:09", "b9@example.org", "198.51.100.9", &[("cookie", &cookie)]).await;
    refused(&more, "this browser");
    // What it holds it still comes back to.
    assert_eq!(
        book(&shop, "09:01", "b1@example.org", "198.51.100.9", &[("cookie", &cookie)]).await.status,
        200
    );
    // One address, many at once.
    let many: Vec<(String, String)> =
        (0..12).map(|n| (format!("10:{n:02}"), format!("c{n}@example.org"))).collect();
    let tries = many.iter().map(|(time, email)| book(&shop, time, email, "192.0.2.1", &[]));
    let answers = futures_util::future::join_all(tries).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 4, "{answers:?}");
    // On a busy machine somebody may have waited too long for their turn.
    let others = answers.iter().filter(|answer| ![200, 503].contains(&answer.status));
    others.for_each(|answer| refused(answer, "your network"));
    refused(&book(&shop, "10:30", "c99@example.org", "192.0.2.1", &[]).await, "your network");
    assert_eq!(book(&shop, "11:00", "d@example.org", "192.0.2.2", &[]).await.status, 200, "somebody else");
    // On the storefront it is said in words, and what was typed stays.
    let fields = [
        ("firstName", "Ada"),
        ("lastName", "Lovelace"),
        ("email", "e@example.org"),
        ("date", "2031-03-03"),
        ("time", "12:00"),
    ];
    let post = shop.app.http.post(&shop.app.url).header("x-forwarded-for", "192.0.2.1");
    let page = send(form(post, &fields)).await;
    assert_eq!(page.status, 429);
    assert!(
        page.body.contains("attendent déjà leur paiement") && page.body.contains("e@example.org"),
        "{page:?}"
    );
    // Paid, it is not held any more.
    pay(&shop, &answers.iter().find(|answer| answer.status == 200).unwrap().json()).await;
    assert_eq!(book(&shop, "12:00", "f@example.org", "192.0.2.1", &[]).await.status, 200);
    let kept = db.texts("select client_hash from bookings where client_hash is not null").await;
    assert!(kept.iter().all(|hash| hash.len() == 64 && !hash.contains("192.0.2")), "{kept:?}");
}

async fn an_owner_takes_back_what_a_stranger_holds(db: TestDatabase) {
    let shop = Shop::open_with(&db, &[("TRUST_PROXY", "1")]).await;
    for n in 0..3 {
        let (time, email) = (format!("08:0{n}"), format!("x{n}@flood.example"));
        assert_eq!(book(&shop, &time, &email, "203.0.113.66", &[]).await.status, 200);
    }
    assert_eq!(book(&shop, "09:00", "other@flood.example", "198.51.100.1", &[]).await.status, 200);
    assert_eq!(book(&shop, "10:00", "ada@example.org", "198.51.100.2", &[]).await.status, 200);
    let ops = shop.app.person(Role::Ops).await;
    let headers = [("cookie", ops.cookie.as_str())];
    for wrong in [
        json!({}),
        json!({ "address": "x" }),
        json!({ "email": "*" }),
        json!({ "email": "*@*" }),
        json!({ "email": "a@b.test", "address": "192.0.2.1" }),
        json!({ "email": 1 }),
        json!({ "all": true }),
    ] {
        let answer = shop.app.post_json("/api/holds/release", &wrong, &headers).await;
        assert_eq!(answer.status, 400, "{wrong}: {answer:?}");
    }
    let release = async |pattern: Value| {
        let answer = shop.app.post_json("/api/holds/release", &pattern, &headers).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let told = answer.json();
        assert_eq!((&told["kept"], &told["more"]), (&json!([]), &json!(false)), "{told}");
        told["released"].as_array().unwrap().len()
    };
    assert_eq!(release(json!({ "address": "203.0.113.66" })).await, 3);
    assert_eq!(release(json!({ "address": "203.0.113.66" })).await, 0);
    assert_eq!(release(json!({ "email": "*@FLOOD.example" })).await, 1);
    let open = "select email from bookings where status = 'en attente'";
    assert_eq!(db.texts(open).await, ["ada@example.org"]);
    assert_eq!(release(json!({ "email": "Ada@example.org" })).await, 1);
    let sessions = db.texts("select stripe_session_id from bookings").await;
    for session in sessions {
        assert_eq!(shop.sim.object(&session).unwrap()["status"], "expired", "each at Stripe first");
    }
    assert_eq!(db.number("select count(*) from bookings where seat is not null").await, 0);
    db.assert_sound().await;
}

async fn an_owner_takes_it_back_by_a_form_that_asks_first(db: TestDatabase) {
    let shop = Shop::open_with(&db, &[("TRUST_PROXY", "1")]).await;
    for n in 0..3 {
        let (time, email) = (format!("08:0{n}"), format!("x{n}@flood.example"));
        assert_eq!(book(&shop, &time, &email, "203.0.113.66", &[]).await.status, 200);
    }
    assert_eq!(book(&shop, "10:00", "ada@example.org", "198.51.100.2", &[]).await.status, 200);
    let (ops, reader) = (shop.app.person(Role::Ops).await, shop.app.person(Role::ReadOnly).await);
    let post = async |cookie: &str, fields: &[(&str, &str)]| {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let request = shop.app.http.post(format!("{}/dashboard/holds", shop.app.url)).body(body);
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        send(request.header("accept", "text/html").header("accept-language", "en").header("cookie", cookie))
            .await
    };
    let open = "select count(*) from bookings where status = 'en attente'";
    let all = [("who", "203.0.113.66"), ("confirmed", "yes")];
    assert_eq!(post(&reader.cookie, &all).await.status, 403);
    let list = shop.app.get_as(&ops.cookie, "/dashboard").await;
    assert!(list.body.contains("href=\"/dashboard/holds\""), "{}", list.body);
    let list = shop.app.get_as(&reader.cookie, "/dashboard").await;
    assert!(!list.body.contains("/dashboard/holds"), "{}", list.body);
    for wrong in ["", "everybody", "*", "*@*", "<b>@"] {
        let answer = post(&ops.cookie, &[("who", wrong), ("confirmed", "yes")]).await;
        assert!(answer.status == 400 && answer.body.contains("id=\"who-error\""), "{wrong}: {}", answer.body);
    }
    let asked = post(&ops.cookie, &all[..1]).await;
    assert!(asked.status == 200 && asked.body.contains("Free 3 unpaid seats?"), "{}", asked.body);
    assert_eq!(db.number(open).await, 4, "it has only been asked");
    let done = post(&ops.cookie, &all).await;
    assert!(done.body.contains("3 seats were freed."), "{}", done.body);
    assert_eq!(db.number(open).await, 1);
    let again = post(&ops.cookie, &all[..1]).await;
    assert!(again.body.contains("No unpaid seat fits."), "{}", again.body);
    let by_domain = post(&ops.cookie, &[("who", "*@example.org"), ("confirmed", "yes")]).await;
    assert!(by_domain.body.contains("1 seat was freed."), "{}", by_domain.body);
    db.assert_sound().await;
}

async fn who_never_paid_is_forgotten_after_a_while(db: TestDatabase) {
    let shop = Shop::open_with(&db, &[("UNPAID_RETENTION_DAYS", "7")]).await;
    let unpaid = book(&shop, "08:00", "stranger@example.org", "203.0.113.1", &[]).await.json();
    let paid = book(&shop, "09:00", "ada@example.org", "203.0.113.1", &[]).await.json();
    pay(&shop, &paid).await;
    let ops = shop.app.person(Role::Admin).await;
    let path = format!("/api/bookings/{}/cancel", unpaid["bookingId"].as_str().unwrap());
    assert_eq!(shop.app.post_json(&path, &json!({}), &[("cookie", &ops.cookie)]).await.status, 200);
    let emails = "select email from bookings order by slot_time";
    privacy::clean_up(&shop.app.app).await.unwrap();
    assert_eq!(db.texts(emails).await, ["stranger@example.org", "ada@example.org"]);
    shop.app.clock.advance(Duration::from_secs(7 * 86_400 + 60));
    privacy::clean_up(&shop.app.app).await.unwrap();
    let left = db.texts(emails).await;
    assert!(left[0].starts_with("erased+") && left[1] == "ada@example.org", "{left:?}");
    assert_eq!(
        db.number("select count(*) from bookings where erased_at is not null and client_hash is not null")
            .await,
        0
    );
    db.assert_sound().await;
}

fn device(answer: &Answer) -> String {
    let mut cookies = answer.headers.get_all("set-cookie").iter().map(|cookie| cookie.to_str().unwrap());
    let cookie = cookies.rfind(|cookie| cookie.starts_with("device=")).expect("no device cookie");
    assert!(
        cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict") && cookie.contains("Path=/"),
        "{cookie}"
    );
    cookie.split(';').next().unwrap().to_owned()
}

/// S12: three failing addresses kept an ADMIN at a new place out for as long as they liked.
async fn a_device_that_signed_in_before_is_not_kept_out_by_strangers(db: TestDatabase) {
    let app = TestApp::start_with(&db, &[("TRUST_PROXY", "1")], "http://127.0.0.1:1").await;
    app.clock.freeze(app.clock.now());
    app.account("ada@pay.test", Role::Admin).await;
    let from = async |address: &str, password: &str, cookie: &str| {
        app.login_with("ada@pay.test", password, &[("x-forwarded-for", address), ("cookie", cookie)]).await
    };
    let known = device(&from("198.51.100.7", PASSWORD, "").await);
    for stranger in 1..=20 {
        from(&format!("203.0.113.{stranger}"), "wrong password", "").await;
    }
    assert_eq!(from("198.51.100.8", PASSWORD, "").await.status, 429, "a new place and no device");
    assert_eq!(from("198.51.100.9", PASSWORD, &known).await.status, 200, "a new place and a known device");
    // Whoever has the cookie has a count of its own, no free guesses; nobody else's account is opened by it.
    let (rest, last) = known.split_at(known.len() - 1);
    let forged = format!("{rest}{}", if last == "0" { "1" } else { "0" });
    for _ in 1..=5 {
        from("192.0.2.1", "wrong password", &known).await;
    }
    app.clock.advance(Duration::from_secs(60));
    from("192.0.2.2", "wrong password", &known).await;
    assert_eq!(
        from("192.0.2.3", PASSWORD, &known).await.status,
        429,
        "the device was blocked by its failures"
    );
    for stranger in 30..=50 {
        from(&format!("203.0.113.{stranger}"), "wrong password", "").await;
    }
    assert_eq!(from("192.0.2.4", PASSWORD, &forged).await.status, 429, "a forged device is none");
    // Somebody with a shell lets the owner in.
    let (code, _) = crate::harness::process::command(&db, &["users", "unlock", "ada@pay.test"]).await;
    assert_eq!(code, Some(0));
    assert_eq!(from("192.0.2.5", PASSWORD, "").await.status, 200);
    assert_eq!(db.number("select count(*) from audit_log where action = 'user.unlocked'").await, 1);
}

async fn what_is_refused_costs_its_address_as_much_as_what_is_judged(db: TestDatabase) {
    let app = TestApp::start_with(&db, &[("TRUST_PROXY", "1")], "http://127.0.0.1:1").await;
    app.clock.freeze(app.clock.now());
    app.account("ada@pay.test", Role::Admin).await;
    let from = async |address: &str, email: &str| {
        app.login_with(email, "wrong password", &[("x-forwarded-for", address)]).await
    };
    for stranger in 1..=5 {
        assert_eq!(from(&format!("203.0.113.{stranger}"), "ada@pay.test").await.status, 401);
    }
    for _ in 0..5 {
        assert_eq!(from("192.0.2.1", "ada@pay.test").await.status, 429);
    }
    // The account is not asked for any more: the address has spent its tries.
    assert_eq!(from("192.0.2.1", "bob@pay.test").await.status, 429);
    assert_eq!(from("192.0.2.2", "bob@pay.test").await.status, 401);
}

async fn a_proxy_that_nobody_named_is_told_of(db: TestDatabase) {
    let app = TestApp::start(&db).await;
    let told = async || {
        let findings = doctor::examine(&app.app).await;
        findings.into_iter().find(|finding| finding.check == "proxy").unwrap()
    };
    assert!(told().await.fix.is_none());
    app.post_json("/auth/login", &json!({}), &[("x-forwarded-for", "203.0.113.66")]).await;
    let finding = told().await;
    assert!(finding.message.contains("X-Forwarded-For"), "{finding:?}");
    assert!(finding.fix.unwrap().contains("TRUST_PROXY"));
}

/// What stands in requests, to be cut, repeated and put together by chance.
const PIECES: &[&str] = &[
    "GET ",
    "POST ",
    "/",
    "/webhook",
    "/api/bookings",
    "/login",
    " HTTP/1.1",
    " HTTP/1.0",
    "\r\n",
    "\n",
    "\r",
    "host: localhost",
    "host: evil.test",
    "content-length: 5",
    "content-length: 99999999999999999999",
    "transfer-encoding: chunked",
    "expect: 100-continue",
    "upgrade: h2c",
    "connection: close",
    "cookie: hold=",
    "stripe-signature: t=1,v1=00",
    "%00",
    "\0",
    "\u{feff}",
    "{",
    "}",
    "[",
    "]",
    "\"",
    ":",
    ",",
    "\\u0000",
    "\\ud800",
    "1e400",
    "-0",
    "null",
    "true",
    "id",
    "evt_1",
    "object",
    "event",
    "type",
    "checkout.session.completed",
    "data",
    "amount_total",
    "9223372036854775808",
    "&",
    "=",
    "+",
    "%ff",
    "email",
    "firstName",
    "a=b",
    "\u{202e}",
    ";",
    "  ",
];

fn pieces(runner: &mut proptest::test_runner::TestRunner, most: usize) -> Vec<u8> {
    use proptest::prelude::*;
    use proptest::strategy::ValueTree;
    let piece = prop_oneof![
        4 => proptest::sample::select(PIECES).prop_map(|piece| piece.as_bytes().to_vec()),
        1 => proptest::collection::vec(any::<u8>(), 0..8),
    ];
    let bytes = proptest::collection::vec(piece, 0..most).prop_map(|pieces| pieces.concat());
    bytes.new_tree(runner).unwrap().current()
}

/// S35: the readers of heads, forms, JSON and signed events.
async fn raw_bytes_in_every_reader_are_never_a_fault_of_ours(db: TestDatabase) {
    let app = TestApp::start_with(&db, &[("TRUST_PROXY", "1")], "http://127.0.0.1:1").await;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let rounds = crate::harness::postgres::environment("FUZZ_ROUNDS")
        .and_then(|rounds| rounds.parse().ok())
        .unwrap_or(150_usize);
    let secrets = [secrecy::SecretString::from(WEBHOOK_SECRET)];
    for n in 0..rounds {
        let head = pieces(&mut runner, 40);
        let mut stream = connect(&app.url, [127, 0, 0, 1]).await;
        let _ = stream.write_all(&head).await;
        let _ = stream.shutdown().await;
        let mut told = Vec::new();
        let _ = tokio::time::timeout(SOON, stream.read_to_end(&mut told)).await.expect("kept open");
        let status = told.strip_prefix(b"HTTP/1.1 ").and_then(|rest| rest.first().copied());
        assert!(
            status.is_none_or(|class| class < b'5'),
            "{:?}: {:?}",
            head.escape_ascii(),
            told.escape_ascii()
        );

        let body = pieces(&mut runner, 30);
        let from = format!("10.1.{}.{}", n / 256, n % 256);
        for (path, kind) in [
            ("/login", "application/x-www-form-urlencoded"),
            ("/", "application/x-www-form-urlencoded"),
            ("/api/bookings", "application/json"),
            ("/auth/login", "application/json"),
        ] {
            let request = app.http.post(format!("{}{path}", app.url)).body(body.clone());
            let answer = send(request.header("content-type", kind).header("x-forwarded-for", &from)).await;
            assert!(answer.status < 500, "{path} {:?}: {answer:?}", body.escape_ascii());
        }
        for body in [
            body.clone(),
            [
                br#"{"id":"evt_"#.as_slice(),
                n.to_string().as_bytes(),
                b"\",\"type\":\"x\",\"a\":",
                &body,
                b"}",
            ]
            .concat(),
        ] {
            let signature = stripe_sim::sign(&secrets, now(), &body);
            let answer = app.deliver_raw(body.clone(), Some(&signature)).await;
            assert!([200, 400].contains(&answer.status), "{:?}: {answer:?}", body.escape_ascii());
        }
    }
    assert_eq!(app.get("/livez").await.status, 200);
    db.assert_sound().await;
}

/// Numbers that no program can hold stand in no member that we read.
#[tokio::test]
async fn a_signed_event_with_a_number_beyond_all_range_is_stored() {
    let db = TestDatabase::fresh(Engine::Sqlite).await;
    let app = TestApp::start(&db).await;
    let secrets = [secrecy::SecretString::from(WEBHOOK_SECRET)];
    let body = br#"{"id":"evt_1","object":"event","type":"customer.created","data":{"object":{"id":"cus_1","n":1e400,"m":[-1e999 , 2]}}}"#;
    let signature = stripe_sim::sign(&secrets, now(), body);
    assert_eq!(app.deliver_raw(body.to_vec(), Some(&signature)).await.status, 200);
    assert_eq!(db.number("select count(*) from payment_events").await, 1);
}
