//! Connections that keep us waiting, and stopping without cutting anybody off.

use crate::harness::app::{client, try_send};
use crate::harness::process::free_port;
use crate::harness::{Engine, TestApp, TestDatabase, TestProcess, eventually};
use checkout_backend::http::server::Signal;
use futures_util::StreamExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How a peer keeps us waiting.
#[derive(Debug, Clone, Copy)]
enum Slow {
    SaysNothing,
    DripsItsHead,
    DripsItsBody,
}

/// R19
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_slow_connections_are_closed_while_others_are_served() {
    let db = TestDatabase::fresh(Engine::Sqlite).await;
    let app = TestApp::start(&db).await;
    let address = app.url.strip_prefix("http://").unwrap().to_owned();
    let began = Instant::now();
    let kinds = [Slow::SaysNothing, Slow::DripsItsHead, Slow::DripsItsBody];
    let slow: Vec<_> =
        (0..1000).map(|n| tokio::spawn(keep_waiting(address.clone(), kinds[n % kinds.len()]))).collect();
    eventually("hundreds of connections are open", async || {
        let metrics = app.get("/metrics").await.body;
        let open = metrics.lines().find_map(|line| line.strip_prefix("checkout_http_connections "));
        open.unwrap().parse::<u32>().unwrap() >= 700
    })
    .await;
    let (mut slowest, mut longest) = (Duration::ZERO, Duration::ZERO);
    let mut closed = futures_util::stream::iter(slow).buffer_unordered(1000);
    loop {
        let asked = Instant::now();
        assert_eq!(app.get("/livez").await.status, 200);
        slowest = slowest.max(asked.elapsed());
        let some = async {
            while let Some(kept) = closed.next().await {
                longest = longest.max(kept.unwrap());
            }
        };
        if tokio::time::timeout(Duration::from_millis(50), some).await.is_ok() {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(150), "some are still open");
    }
    // Ten seconds, and what a busy machine adds.
    assert!(longest < Duration::from_secs(120), "one was kept for {longest:?}");
    assert!(slowest < Duration::from_secs(10), "others waited {slowest:?}");
}

/// How long the server kept the connection.
async fn keep_waiting(address: String, kind: Slow) -> Duration {
    let mut stream = TcpStream::connect(&address).await.unwrap();
    let connected = Instant::now();
    let (start, drip): (&[u8], &[u8]) = match kind {
        Slow::SaysNothing => (b"", b""),
        Slow::DripsItsHead => (b"GET /health HTTP/1.1\r\nhost: a\r\nx: ", b"y"),
        Slow::DripsItsBody => (b"POST /webhook HTTP/1.1\r\nhost: a\r\ncontent-length: 1000\r\n\r\n", b" "),
    };
    stream.write_all(start).await.unwrap();
    let mut buffer = [0; 4096];
    loop {
        tokio::select! {
            read = stream.read(&mut buffer) => match read {
                Ok(0) | Err(_) => return connected.elapsed(),
                Ok(_) => {}
            },
            () = tokio::time::sleep(Duration::from_secs(3)), if !drip.is_empty() => {
                if stream.write_all(drip).await.is_err() {
                    return connected.elapsed();
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_in_flight_is_answered_before_the_program_stops() {
    let db = TestDatabase::fresh(Engine::Sqlite).await;
    let app = TestApp::start(&db).await;
    let address = app.url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"POST /webhook HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\n{").await.unwrap();
    eventually("the request is under way", async || {
        app.get("/metrics").await.body.contains("checkout_http_connections 2")
    })
    .await;
    app.signals.send(Signal::Terminate).await.unwrap();
    eventually("it says so", async || app.get("/readyz").await.status == 503).await;
    eventually("nobody new is let in", async || TcpStream::connect(address).await.is_err()).await;
    stream.write_all(b"}").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("connection: close"), "{answer}");
}

/// R18
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_stops_under_load_cut_nobody_off() {
    let stops = futures_util::stream::iter(0..50).map(|_| stop_under_load()).buffer_unordered(4);
    let answered: Vec<usize> = stops.collect().await;
    assert!(answered.iter().all(|answered| *answered > 0), "{answered:?}");
}

async fn stop_under_load() -> usize {
    let db = TestDatabase::fresh(Engine::Sqlite).await;
    let mut process = TestProcess::start(&db, free_port(), "http://127.0.0.1:1", &[]).await;
    let stopping = Arc::new(AtomicBool::new(false));
    let answered = Arc::new(AtomicUsize::new(0));
    let clients: Vec<_> = ["/livez", "/health", "/api/checkout/cs_unknown"]
        .map(|path| {
            let (url, answered, stopping) =
                (format!("{}{path}", process.url), answered.clone(), stopping.clone());
            tokio::spawn(async move {
                let http = client();
                loop {
                    match try_send(http.get(&url)).await {
                        Ok(answer) => {
                            assert!(answer.status < 500, "{answer:?}");
                            answered.fetch_add(1, Ordering::Relaxed);
                        }
                        // Nobody listens any more: nothing of ours was under way.
                        Err(error) if error.is_connect() && stopping.load(Ordering::Relaxed) => return,
                        Err(error) => panic!("a request was cut off: {error:?}"),
                    }
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            })
        })
        .into();
    eventually("the load is on", async || answered.load(Ordering::Relaxed) > 5).await;
    stopping.store(true, Ordering::Relaxed);
    let asked = Instant::now();
    process.terminate();
    let ready = format!("{}/readyz", process.url);
    eventually("it is no longer ready", async || {
        try_send(process.http.get(&ready)).await.is_ok_and(|answer| answer.status == 503)
    })
    .await;
    for client in clients {
        client.await.unwrap();
    }
    assert!(process.ended().await.success());
    assert!(asked.elapsed() < Duration::from_secs(10), "took {:?}", asked.elapsed());
    answered.load(Ordering::Relaxed)
}
