//! Connections that keep us waiting, and stopping without cutting anybody off.

use crate::harness::app::{client, send, try_send};
use crate::harness::process::free_port;
use crate::harness::{Engine, TestApp, TestDatabase, TestProcess, eventually};
use checkout_backend::http::server::{self, Signal};
use futures_util::StreamExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream, UnixDatagram};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// How a peer keeps us waiting.
#[derive(Debug, Clone, Copy)]
enum Slow {
    SaysNothing,
    DripsItsHead,
    DripsItsBody,
    /// The second head's beginning comes with the first request.
    StopsInASecondHead,
    DripsItsSecondHead,
    ReadsNoAnswer,
}

/// As systemd does with `Type=notify`: what `systemctl restart` waits for.
#[tokio::test]
async fn the_supervisor_is_told_when_it_serves_and_when_it_stops() {
    let db = TestDatabase::fresh(Engine::Sqlite).await;
    let path = db.folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    let told = async || {
        let mut text = [0; 64];
        let length = tokio::time::timeout(Duration::from_secs(30), socket.recv(&mut text));
        let length = length.await.expect("nothing was told").unwrap();
        String::from_utf8(text[..length].to_vec()).unwrap()
    };
    let variables = [("NOTIFY_SOCKET", path.to_str().unwrap())];
    let port = free_port();
    let mut process = TestProcess::start(&db, port, "http://127.0.0.1:1", &variables).await;
    assert_eq!(told().await, "READY=1");
    assert_eq!(send(process.http.get(format!("{}/livez", process.url))).await.status, 200);
    process.terminate();
    assert_eq!(told().await, "STOPPING=1");
    assert!(process.ended().await.success());
}

/// R19
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_slow_connections_are_closed_while_others_are_served() {
    const COUNT: usize = 1000;
    let db = TestDatabase::fresh(Engine::Sqlite).await;
    let app = TestApp::start(&db).await;
    // A second door, at which all are waiting before it is opened: so they are there at the same time.
    let door = TcpSocket::new_v4().unwrap();
    door.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let door = door.listen(2048).unwrap();
    let address = door.local_addr().unwrap();
    let kinds = [
        Slow::SaysNothing,
        Slow::DripsItsHead,
        Slow::DripsItsBody,
        Slow::StopsInASecondHead,
        Slow::DripsItsSecondHead,
    ];
    let mut slow = JoinSet::new();
    for n in 0..COUNT {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        let stream = socket.connect(address).await.unwrap();
        // Only some, because what they do not read must first be made.
        let kind = if n % 100 == 7 { Slow::ReadsNoAnswer } else { kinds[n % kinds.len()] };
        slow.spawn(keep_waiting(stream, kind));
    }
    let (_signals, received) = mpsc::channel(1);
    let opened = Instant::now();
    let server = tokio::spawn({
        let app = app.app.clone();
        async move { server::serve(&app, door, received).await }
    });

    let http = client();
    let get = |path: &str| send(http.get(format!("http://{address}{path}")));
    let open = number(&get("/metrics").await.body, "checkout_http_connections");
    // Whoever is answered came after the thousand, and none of them is given up before its ten seconds.
    if opened.elapsed() < Duration::from_secs(10) {
        assert!(open > COUNT, "{open} connections");
    }
    let all_are_closed = async {
        while !slow.is_empty() {
            assert_eq!(get("/livez").await.status, 200);
            let next = async {
                while let Some(closed) = slow.join_next().await {
                    closed.unwrap();
                }
            };
            let _ = tokio::time::timeout(Duration::from_millis(50), next).await;
        }
    };
    let closed = tokio::time::timeout(Duration::from_secs(300), all_are_closed).await;
    assert!(closed.is_ok(), "{} are still open", slow.len());
    let metrics = get("/metrics").await.body;
    assert_eq!(number(&metrics, "checkout_http_connections_refused_total"), 0);
    eventually("only the last client is there", async || {
        number(&get("/metrics").await.body, "checkout_http_connections") == 1
    })
    .await;
    server.abort();
}

fn number(metrics: &str, name: &str) -> usize {
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name}: {metrics}")).parse().unwrap()
}

/// Fits no body, but what does not fit is only known once the body is there.
const FRESH: &str = "stripe-signature: t=4102444800,v1=\
                     0000000000000000000000000000000000000000000000000000000000000000\r\n";

/// Returns when the server has closed the connection.
async fn keep_waiting(stream: TcpStream, kind: Slow) {
    const SECOND: &str = "GET /livez HTTP/1.1\r\nhost: a\r\n\r\nGET /livez HTTP/1.1\r\nx: ";
    let (start, drip) = match kind {
        Slow::SaysNothing => (String::new(), ""),
        Slow::DripsItsHead => ("GET /health HTTP/1.1\r\nhost: a\r\nx: ".to_owned(), "y"),
        Slow::DripsItsBody => {
            (format!("POST /webhook HTTP/1.1\r\nhost: a\r\n{FRESH}content-length: 1000\r\n\r\n"), " ")
        }
        Slow::StopsInASecondHead => (SECOND.to_owned(), ""),
        Slow::DripsItsSecondHead => (SECOND.to_owned(), "y"),
        // More than the buffers on the way hold. It drips to learn that nobody is there any more.
        Slow::ReadsNoAnswer => ("GET /openapi.json HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(40), "y"),
    };
    let (mut reader, mut writer) = stream.into_split();
    let closed = async {
        let mut buffer = [0; 4096];
        match kind {
            Slow::ReadsNoAnswer => std::future::pending().await,
            _ => while reader.read(&mut buffer).await.is_ok_and(|read| read > 0) {},
        }
    };
    let gone = async {
        let mut sent = writer.write_all(start.as_bytes()).await;
        while sent.is_ok() {
            tokio::time::sleep(Duration::from_secs(1)).await;
            sent = writer.write_all(drip.as_bytes()).await;
        }
    };
    tokio::select! {
        () = closed => {}
        () = gone => {}
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_in_flight_is_answered_before_the_program_stops() {
    let db = TestDatabase::fresh(Engine::Sqlite).await;
    let app = TestApp::start(&db).await;
    let address = app.url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!("POST /webhook HTTP/1.1\r\nhost: a\r\n{FRESH}content-length: 2\r\n\r\n{{");
    stream.write_all(head.as_bytes()).await.unwrap();
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
