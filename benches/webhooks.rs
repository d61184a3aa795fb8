//! How many webhooks a second become durable, over real HTTP, and what the program costs at rest.
//!
//!     cargo bench --bench webhooks            # everything
//!     cargo bench --bench webhooks -- 64      # only at 64 connections
//!
//! Each delivery is a different, validly signed `checkout.session.completed` that pays a booking of its own: a
//! ledger row, a booking and an outbox row, committed before the answer. Beside it, in the same run and on the
//! same PostgreSQL server, `pgbench` makes the same inserts and updates as one single-statement transaction for
//! each event: what a plain handler could reach at best, without HTTP, signature, JSON or rules.
//!
//! PostgreSQL runs with its durable defaults and SQLite with `synchronous=FULL`. The load generator and the
//! databases share the machine's cores with the program.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::float_arithmetic,
    clippy::cast_precision_loss,
    reason = "a measurement, not the program"
)]

#[path = "../tests/it/harness/postgres.rs"]
#[allow(dead_code)]
mod postgres;

use clock::Clock;
use postgres::{Cluster, Durability};
use secrecy::SecretString;
use serde_json::json;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use store::Store;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const SECRET: &str = "whsec_benchmark";
/// Connections, and how many events are sent over them.
const LOADS: [(usize, usize); 3] = [(1, 1_500), (16, 10_000), (64, 20_000)];
/// Measured so often, each time beside `pgbench`; the median ratio is shown.
const ROUNDS: usize = 3;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let cluster = Cluster::start(Durability::Full);
        make_log_files(&cluster).await;
        println!(
            "| engine | connections | events/s | p50 ms | p99 ms | CPU µs: program | database | pgbench tps \
             | CPU µs: pgbench | database | ratio |"
        );
        println!("|---|---|---|---|---|---|---|---|---|---|---|");
        let mut weights = Vec::new();
        let only: Option<usize> = std::env::args().find_map(|argument| argument.parse().ok());
        let loads =
            || LOADS.into_iter().filter(|(connections, _)| only.is_none_or(|only| only == *connections));
        for (connections, events) in loads() {
            let mut rounds = Vec::new();
            for round in 0..ROUNDS {
                let name = format!("bench_{connections}_{round}");
                let (measured, weight) =
                    measure(&Database::Postgres(&cluster, &name), connections, events).await;
                weights.push(("PostgreSQL", connections, weight));
                let tps = pgbench(&cluster, &format!("pgbench_{connections}_{round}"), connections).await;
                rounds.push((measured, tps));
            }
            print("PostgreSQL", connections, rounds);
        }
        for (connections, events) in loads() {
            let mut rounds = Vec::new();
            for round in 0..ROUNDS {
                let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
                let (measured, weight) = measure(&Database::Sqlite(folder.path()), connections, events).await;
                weights.push(("SQLite", connections, weight));
                let tps = pgbench(&cluster, &format!("pgbench_s_{connections}_{round}"), connections).await;
                rounds.push((measured, tps));
            }
            print("SQLite", connections, rounds);
        }
        println!("\n| engine | events | first 200 ms | MiB at rest | MiB after |\n|---|---|---|---|---|");
        for (engine, connections, weight) in weights {
            let events = LOADS.iter().find(|(c, _)| *c == connections).unwrap().1;
            let Weight { first_answer, at_rest, after } = weight;
            println!("| {engine} | {events} | {} | {at_rest:.1} | {after:.1} |", first_answer.as_millis());
        }
    });
}

fn print(engine: &str, connections: usize, mut rounds: Vec<(Measured, Pgbench)>) {
    rounds.sort_by(|(a, x), (b, y)| (a.per_second / x.tps).total_cmp(&(b.per_second / y.tps)));
    let (Measured { per_second, p50, p99, program, database }, pgbench) = &rounds[rounds.len() / 2];
    let Pgbench { tps, client, database: beside } = pgbench;
    println!(
        "| {engine} | {connections} | {per_second:.0} | {:.1} | {:.1} | {program:.0} | {database:.0} | {tps:.0} \
         | {client:.0} | {beside:.0} | {:.2} |",
        p50.as_secs_f64() * 1e3,
        p99.as_secs_f64() * 1e3,
        per_second / tps
    );
}

enum Database<'a> {
    Postgres(&'a Cluster, &'a str),
    Sqlite(&'a Path),
}

struct Measured {
    per_second: f64,
    p50: Duration,
    p99: Duration,
    /// Processor time for each event, in microseconds, with what the program costs at rest. That of SQLite is
    /// the program's own.
    program: f64,
    database: f64,
}

struct Pgbench {
    tps: f64,
    /// Processor time for each transaction, in microseconds.
    client: f64,
    database: f64,
}

struct Weight {
    first_answer: Duration,
    /// Resident, in MiB.
    at_rest: f64,
    after: f64,
}

/// Starts the program on a database of its own and delivers `events` over `connections`.
async fn measure(database: &Database<'_>, connections: usize, events: usize) -> (Measured, Weight) {
    let folder = tempfile::tempdir().unwrap();
    let url = match database {
        Database::Postgres(cluster, name) => create(cluster, name).await,
        Database::Sqlite(folder) => format!("sqlite://{}/checkout.db", folder.display()),
    };
    let store = Store::open(&url).unwrap();
    store.migrate(Clock::system().now()).await.unwrap();
    let instance = store.instance().await.unwrap().to_string();
    let offer = {
        let mut tx = store.read().await.unwrap();
        let offer = tx.offers().await.unwrap()[0].id.to_string();
        tx.rollback().await.unwrap();
        offer
    };
    store.close().await;
    fill(&url, &offer, events).await;

    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let start = || {
        Command::new(env!("CARGO_BIN_EXE_checkout-backend"))
            .arg("serve")
            .current_dir(folder.path())
            .env_clear()
            .env("DATABASE_URL", &url)
            .env("PORT", port.to_string())
            .env("STRIPE_SECRET_KEY", "sk_test_4eC39HqLyjWDarjtT1zdp7dc")
            .env("STRIPE_API_BASE", "http://127.0.0.1:1")
            .env("STRIPE_WEBHOOK_SECRET", SECRET)
            .env("POLL_EVENTS", "off")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    };
    // The very first start makes an account, whose password takes a while to hash.
    let mut first = start();
    first_200(port, Instant::now()).await;
    first.kill().unwrap();
    first.wait().unwrap();
    let server = match database {
        Database::Postgres(..) => Some(postgres_server()),
        Database::Sqlite(_) => None,
    };
    let database_before = server.map_or(0.0, |pid| cpu(pid, Counting::WithChildren));
    let started = Instant::now();
    let mut child = start();
    let first_answer = first_200(port, started).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let at_rest = resident(child.id());

    let requests: Vec<Vec<u8>> = (0..events).map(|n| request(n, &instance)).collect();
    let (requests, next) = (Arc::new(requests), Arc::new(AtomicUsize::new(0)));
    let times = Arc::new(Mutex::new(Vec::with_capacity(events)));
    let program_before = cpu(child.id(), Counting::Alone);
    let begun = Instant::now();
    let workers: Vec<_> = (0..connections)
        .map(|_| {
            let (requests, next, times) = (Arc::clone(&requests), Arc::clone(&next), Arc::clone(&times));
            tokio::spawn(async move {
                let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                stream.set_nodelay(true).unwrap();
                let mut own = Vec::new();
                while let Some(request) = requests.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let sent = Instant::now();
                    stream.write_all(request).await.unwrap();
                    let answer = read_answer(&mut stream).await;
                    own.push(sent.elapsed());
                    assert!(answer.contains("processed"), "{answer}");
                }
                times.lock().unwrap().extend(own);
            })
        })
        .collect();
    for worker in workers {
        worker.await.unwrap();
    }
    let took = begun.elapsed();
    let after = resident(child.id());
    let each = 1e6 / events as f64;
    let program = (cpu(child.id(), Counting::Alone) - program_before) * each;
    let database = (server.map_or(0.0, |pid| cpu(pid, Counting::WithChildren)) - database_before) * each;
    child.kill().unwrap();
    child.wait().unwrap();

    let mut times = std::mem::take(&mut *times.lock().unwrap());
    times.sort_unstable();
    let measured = Measured {
        per_second: events as f64 / took.as_secs_f64(),
        p50: times[events / 2],
        p99: times[events * 99 / 100],
        program,
        database,
    };
    (measured, Weight { first_answer, at_rest, after })
}

async fn first_200(port: u16, started: Instant) -> Duration {
    let ask = b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n";
    loop {
        if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)).await {
            stream.write_all(ask).await.unwrap();
            if read_answer(&mut stream).await.starts_with("HTTP/1.1 200") {
                return started.elapsed();
            }
        }
        assert!(started.elapsed() < Duration::from_secs(30), "the program does not start");
        tokio::time::sleep(Duration::from_micros(500)).await;
    }
}

/// Reads one answer with a content length.
async fn read_answer(stream: &mut TcpStream) -> String {
    let mut buffer = Vec::with_capacity(1024);
    loop {
        stream.read_buf(&mut buffer).await.unwrap();
        let text = std::str::from_utf8(&buffer).unwrap();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            assert!(!buffer.is_empty(), "the connection was closed");
            continue;
        };
        let length = head
            .lines()
            .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
        if body.len() >= length.unwrap_or(0) {
            return text.to_owned();
        }
    }
}

fn booking_id(n: usize) -> String {
    format!("0193b5a0-0000-7000-8000-{n:012x}")
}

/// The event's body: as long as Stripe's usually are.
fn body(n: usize, instance: &str) -> String {
    let booking = booking_id(n);
    json!({
        "id": format!("evt_bench_{n}"), "object": "event", "api_version": "2026-10-28.endive", "created": 1_795_000_000,
        "livemode": false, "pending_webhooks": 1, "type": "checkout.session.completed",
        "request": { "id": null, "idempotency_key": null },
        "data": { "object": {
            "id": format!("cs_bench_{n}"), "object": "checkout.session", "amount_subtotal": 6000, "amount_total": 6000,
            "automatic_tax": { "enabled": false, "status": null }, "cancel_url": "https://pay.example.org/cancel",
            "client_reference_id": booking, "created": 1_795_000_000, "currency": "eur",
            "customer_details": { "address": { "city": null, "country": "FR" }, "email": "ada@example.org", "name": "Ada" },
            "expires_at": 1_795_002_100, "livemode": false, "locale": "fr", "mode": "payment",
            "metadata": { "booking_id": booking, "instance": instance }, "payment_intent": format!("pi_bench_{n}"),
            "payment_method_types": ["card"], "payment_status": "paid", "status": "complete",
            "success_url": "https://pay.example.org/success?session_id={CHECKOUT_SESSION_ID}",
            "total_details": { "amount_discount": 0, "amount_shipping": 0, "amount_tax": 0 }, "url": null,
        } },
    })
    .to_string()
}

fn request(n: usize, instance: &str) -> Vec<u8> {
    let body = body(n, instance);
    let now = Clock::system().now().as_unix_seconds();
    let signature = stripe_sim::sign(&[SecretString::from(SECRET)], now, body.as_bytes());
    format!(
        "POST /webhook HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\nstripe-signature: {signature}\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// Pending bookings, in slots of their own and with their sessions, as they are when their webhooks come.
async fn fill(url: &str, offer: &str, count: usize) {
    let rows = (0..count).map(|n| {
        format!(
            "('{}', '{offer}', 'Ada', 'Lovelace', 'ada@example.org', '{}-01-01', '10:{:02}', 1, 6000, 'eur', 'en attente', 1, \
             1, 1, 0, false, 'fr', null, {n}, {n}, 'cs_bench_{n}')",
            booking_id(n),
            2100 + n / 60,
            n % 60
        )
    });
    let rows: Vec<_> = rows.collect();
    for chunk in rows.chunks(1_000) {
        let sql = format!(
            "insert into bookings (id, offer_id, first_name, last_name, email, slot_date, slot_time, starts_at, amount,
                 currency, status, seat, hold_expires_at, attempt, charge_refunded, has_history, lang, next_check_at,
                 created_at, updated_at, stripe_session_id) values {}",
            chunk.join(", ")
        );
        execute(url, sql).await;
    }
    if url.starts_with("postgres") {
        execute(url, "vacuum analyze".to_owned()).await;
    }
}

async fn execute(url: &str, sql: String) {
    let sql = sqlx::raw_sql(AssertSqlSafe(sql));
    if url.starts_with("postgres") {
        sql.execute(&mut PgConnection::connect(url).await.unwrap()).await.unwrap();
    } else {
        let options: sqlx::sqlite::SqliteConnectOptions = url.parse().unwrap();
        sql.execute(&mut options.connect().await.unwrap()).await.unwrap();
    }
}

/// A server that has run for a while writes its log into files that it has. A new one makes them first, 16 MiB at
/// a time, while all commits wait; checkpoints between the rounds hand on the files that are there.
async fn make_log_files(cluster: &Cluster) {
    let url = format!("{}/postgres", cluster.url());
    let sql = "create table filler as select repeat('x', 1000) from generate_series(1, 250000)";
    execute(&url, sql.to_owned()).await;
    execute(&url, "drop table filler".to_owned()).await;
}

async fn create(cluster: &Cluster, name: &str) -> String {
    execute(&format!("{}/postgres", cluster.url()), "checkpoint".to_owned()).await;
    execute(&format!("{}/postgres", cluster.url()), format!("create database {name}")).await;
    format!("{}/{name}", cluster.url())
}

/// The same rows as one statement for each event, by PostgreSQL's own load generator.
async fn pgbench(cluster: &Cluster, name: &str, connections: usize) -> Pgbench {
    const ROWS: usize = 20_000;
    let url = create(cluster, name).await;
    let store = Store::open(&url).unwrap();
    store.migrate(Clock::system().now()).await.unwrap();
    let offer = {
        let mut tx = store.read().await.unwrap();
        let offer = tx.offers().await.unwrap()[0].id.to_string();
        tx.rollback().await.unwrap();
        offer
    };
    store.close().await;
    fill(&url, &offer, ROWS).await;
    let script = format!(
        "\\set n random(0, {last})
         with event as (
             insert into payment_events (id, event_key, stripe_event_id, type, source, livemode, stripe_session_id,
                 booking_id, applied_payment, outcome, reason, payload, deliveries, stripe_created_at, received_at,
                 last_delivered_at, processed_at, tries)
             select u, u, u, 'checkout.session.completed', 'webhook', false, u,
                 '0193b5a0-0000-7000-8000-' || lpad(to_hex(:n::bigint), 12, '0'), true, 'processed', 'paid', '{payload}', 1,
                 1795000000000000, 1795000000000000, 1795000000000000, 1795000000000000, 0
             from (select gen_random_uuid()::text as u) as fresh
             on conflict (event_key) do nothing returning booking_id, stripe_session_id
         ), booking as (
             update bookings set status = 'payé', stripe_session_id = event.stripe_session_id,
                 paid_session_id = event.stripe_session_id, payment_intent_id = event.stripe_session_id,
                 paid_amount = 6000, paid_at = 1795000000000000, updated_at = 1795000000000000, next_check_at = null
             from event where bookings.id = event.booking_id returning bookings.id
         )
         insert into outbox (id, effect_key, kind, booking_id, created_at, fanned_out_at)
         select gen_random_uuid()::text, stripe_session_id, 'booking.paid', booking_id, 1795000000000000,
             1795000000000000 from event;",
        last = ROWS - 1,
        payload = body(0, "0193b5a0-0000-7000-8000-000000000000").replace(':', "_"),
    );
    let file = tempfile::NamedTempFile::new().unwrap();
    // pgbench reads a statement to its semicolon; a line of its own starts a command.
    std::fs::write(file.path(), script).unwrap();
    let (database, client) =
        (cpu(postgres_server(), Counting::WithChildren), cpu(std::process::id(), Counting::Ended));
    let output = Command::new("pgbench")
        .args(["--no-vacuum", "--protocol=prepared", "--time=8", "--jobs=2"])
        .arg(format!("--client={connections}"))
        .arg("--file")
        .arg(file.path())
        .arg(&url)
        .output()
        .unwrap_or_else(|error| panic!("pgbench ({error}): install PostgreSQL's client programs"));
    let text = String::from_utf8_lossy(&output.stdout);
    // The server's processes for these connections are counted once it has noticed that they ended.
    tokio::time::sleep(Duration::from_millis(200)).await;
    let number = |name: &str| {
        text.lines().find_map(|line| line.strip_prefix(name)?.split([' ', '/']).next()?.parse().ok())
    };
    let told = number("tps = ").zip(number("number of transactions actually processed: "));
    let (tps, transactions): (f64, f64) =
        told.unwrap_or_else(|| panic!("{text}{}", String::from_utf8_lossy(&output.stderr)));
    let each = 1e6 / transactions;
    Pgbench {
        tps,
        client: (cpu(std::process::id(), Counting::Ended) - client) * each,
        database: (cpu(postgres_server(), Counting::WithChildren) - database) * each,
    }
}

enum Counting {
    /// This process, all its threads.
    Alone,
    /// The children of it that have ended.
    Ended,
    /// This process and all its children.
    WithChildren,
}

/// Every process that runs: its id, its name, and the fields of its `stat` from the parent on (`proc(5)`).
fn processes() -> impl Iterator<Item = (u32, String, Vec<i64>)> {
    std::fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
        let (name, fields) = stat.rsplit_once(") ")?;
        let fields = fields.split(' ').skip(1).map_while(|field| field.parse().ok()).collect();
        Some((pid, name.split_once('(')?.1.to_owned(), fields))
    })
}

/// The process that all others of PostgreSQL are children of.
fn postgres_server() -> u32 {
    let ours = i64::from(std::process::id());
    let server = processes().find(|(_, name, fields)| fields[0] == ours && name == "postgres");
    server.expect("PostgreSQL runs").0
}

/// The processor time that a process has used, in seconds.
fn cpu(pid: u32, counting: Counting) -> f64 {
    /// Of the clock in which Linux tells these times to programs.
    const TICKS: f64 = 100.0;
    let (_, _, own) = processes().find(|(id, ..)| *id == pid).expect("the process runs");
    let ticks = match counting {
        Counting::Alone => own[10] + own[11],
        Counting::Ended => own[12] + own[13],
        Counting::WithChildren => {
            let children = processes().filter(|(_, _, fields)| fields[0] == i64::from(pid));
            own[10..14].iter().sum::<i64>()
                + children.map(|(_, _, fields)| fields[10] + fields[11]).sum::<i64>()
        }
    };
    ticks as f64 / TICKS
}

/// Resident memory of a process, in MiB.
fn resident(pid: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1024.0
}
