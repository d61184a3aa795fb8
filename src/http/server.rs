//! Listening, and stopping without cutting anybody off.
//!
//! Our own accept loop, because a connection must not be had for nothing: one that sends no head, no
//! body, or reads no answer is closed, and there are never more than [`MAX_CONNECTIONS`]. See [`timed`] for
//! time, [`budget`] for memory, [`places`] for who makes room for whom.

pub mod budget;
pub mod places;
mod timed;

use super::router;
use crate::app::Shared;
use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use axum::http::{HeaderValue, header};
use axum::response::Response;
use budget::{BodyShare, Budget, HeadShare};
use domain::client_address::network;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::TokioIo;
use places::{Place, Places};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use timed::{Attended, Patience, Progress, TimedBody, TimedIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tower::ServiceExt;

/// Connections at once. What comes above is closed unserved, unless somebody makes room.
pub const MAX_CONNECTIONS: usize = 4096;
/// How long a peer may keep us waiting. Idle connections have more than the usual minute of proxies, so
/// that it is they who close them.
const PATIENCE: Patience = Patience { stall: Duration::from_secs(10), idle: Duration::from_secs(75) };
/// What is kept of a head, in bytes, until it is known to be too long: hyper's 431 is a bare one, so it is
/// the last resort, and [`super::security::head`] answers what is below it.
const MAX_HEAD: usize = 128 * 1024;

/// In the extensions of a request that came on one of the last places: see [`places`].
#[derive(Debug, Clone, Copy)]
pub struct LastPlaces;

/// After SIGTERM new connections are still served so long, while `/readyz` sends balancers away.
const LINGER: Duration = Duration::from_secs(1);
/// Then requests in flight have so long: with [`LINGER`] it is done in ten seconds.
const FINISH: Duration = Duration::from_secs(8);
/// When stopping, a connection that has just been made has so long to begin its request.
const FIRST_REQUEST: Duration = Duration::from_secs(1);
/// The wait after the system refused a connection, as it does when files run out.
const BACK_OFF: Duration = Duration::from_millis(50);

/// Why the program is asked to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// By whoever runs it: a balancer in front needs a moment to see it.
    Terminate,
    /// By somebody at a terminal, who is waiting.
    Interrupt,
}

/// How serving ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Ended {
    /// Every request was answered.
    Finished,
    /// Requests were cut off: they took too long, or a second signal came.
    Forced,
}

/// SIGTERM and SIGINT, as they come.
///
/// # Errors
/// If the system does not let us listen for them.
pub fn signals() -> std::io::Result<mpsc::Receiver<Signal>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (sender, receiver) = mpsc::channel(2);
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        loop {
            let signal = tokio::select! {
                _ = terminate.recv() => Signal::Terminate,
                _ = interrupt.recv() => Signal::Interrupt,
            };
            if sender.send(signal).await.is_err() {
                return;
            }
        }
    });
    Ok(receiver)
}

/// Many systems start programs with room for 1,024 files, and each connection is one. As much as is
/// allowed is taken, up to what [`MAX_CONNECTIONS`] can need; without it the excess waits to be accepted.
fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let wanted = 4 * MAX_CONNECTIONS as u64;
    let limit = getrlimit(Resource::Nofile);
    let possible = limit.maximum.unwrap_or(wanted).min(wanted);
    if limit.current.is_some_and(|current| current < possible) {
        let raised = setrlimit(Resource::Nofile, Rlimit { current: Some(possible), ..limit });
        if let Err(error) = raised {
            tracing::warn!(module = "http", action = "http.file_limit", "{error}");
        }
    }
}

/// Serves until a signal comes, then lets requests in flight finish; a second signal ends them.
/// What goes wrong with one connection is that connection's end.
pub async fn serve(app: &Shared, listener: TcpListener, mut signals: mpsc::Receiver<Signal>) -> Ended {
    raise_file_limit();
    let service = router(app);
    let places = Places::new(app.config.trust_proxy == 0);
    let budget = Arc::new(Budget::default());
    let place = |peer: SocketAddr| places.take(network(peer.ip().to_canonical()));
    // Each connection holds a receiver: when all are gone, so are the connections.
    let (stop, stopping) = watch::channel(());
    let accept = async |linger: Option<Duration>| {
        let until = linger.map(|linger| tokio::time::Instant::now() + linger);
        loop {
            let accepted = match until {
                None => listener.accept().await,
                // Whoever has connected before the end is served too.
                Some(until) => match tokio::time::timeout_at(until, listener.accept()).await {
                    Ok(accepted) => accepted,
                    Err(_) => return,
                },
            };
            match accepted {
                Ok((stream, peer)) => match place(peer) {
                    Some(place) => connection(app, &service, &budget, stream, peer, place, stopping.clone()),
                    None => app.counters.connection_refused(),
                },
                Err(error) => {
                    tracing::warn!(module = "http", action = "http.accept_failed", "{error}");
                    tokio::time::sleep(BACK_OFF).await;
                }
            }
        }
    };

    let signal = tokio::select! {
        () = accept(None) => None,
        signal = signals.recv() => signal,
    };
    app.drain();
    let linger = if signal == Some(Signal::Terminate) { LINGER } else { Duration::ZERO };
    tracing::info!(module = "process", action = "process.stopping", "no new work is taken");
    let second = async {
        // If nobody can signal any more, nobody forces.
        if signals.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
    };
    tokio::pin!(second);
    tokio::select! {
        () = accept(Some(linger)) => {}
        () = &mut second => return Ended::Forced,
    }
    // Who has connected without the runtime having heard of it yet would be cut off with the listener.
    if let Ok(listener) = listener.into_std() {
        while let Ok((stream, peer)) = listener.accept() {
            let stream = stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream));
            if let (Ok(stream), Some(place)) = (stream, place(peer)) {
                connection(app, &service, &budget, stream, peer, place, stopping.clone());
            }
        }
    }
    drop(stopping);
    let _ = stop.send(());
    tokio::select! {
        () = stop.closed() => Ended::Finished,
        () = tokio::time::sleep(FINISH) => Ended::Forced,
        () = second => Ended::Forced,
    }
}

/// Serves one connection in a task of its own.
fn connection(
    app: &Shared,
    service: &Router,
    budget: &Arc<Budget>,
    stream: TcpStream,
    peer: SocketAddr,
    place: Place,
    mut stopping: watch::Receiver<()>,
) {
    // Answers are small and awaited; a peer that is gone makes this fail, and the next read tells.
    let _ = stream.set_nodelay(true);
    let progress = Progress::of(place.turn());
    let counted = app.counters.connection();
    let (app, service, budget) = (app.clone(), service.clone(), budget.clone());
    let (head, on_last_places, told) =
        (HeadShare::new(budget.clone()), place.is_reserved(), progress.clone());
    let mut conversation = converse(stream, progress.clone(), PATIENCE, head, move |mut request| {
        let (app, service, progress) = (app.clone(), service.clone(), told.clone());
        let share = Arc::new(BodyShare::new(budget.clone()));
        if on_last_places {
            request.extensions_mut().insert(LastPlaces);
        }
        async move { answer(&app, service, request, peer, progress, share).await }
    });
    tokio::spawn(async move {
        let ended = tokio::select! {
            () = &mut conversation => true,
            // Somebody else needs the place, and this peer has kept us waiting longest.
            () = place.wanted() => true,
            // A first request may be on its way, and once that is answered the connection closes by itself.
            _ = stopping.changed() => {
                progress.none_yet() && tokio::time::timeout(FIRST_REQUEST, &mut conversation).await.is_ok()
            }
        };
        if !ended {
            conversation.connection().graceful_shutdown();
            conversation.await;
        }
        drop((place, stopping, counted));
    });
}

type Conversation<T, S> = Attended<http1::Connection<TokioIo<TimedIo<T>>, S>>;

/// Speaks HTTP on a stream until either side ends it or the peer keeps us waiting.
fn converse<T, F>(
    stream: T,
    progress: Progress,
    patience: Patience,
    head: HeadShare,
    answer: impl Fn(Request<Incoming>) -> F,
) -> Conversation<T, impl Service<Request<Incoming>, Response = Response, Error = Infallible, Future: Send>>
where
    T: AsyncRead + AsyncWrite + Unpin,
    F: Future<Output = Response> + Send,
{
    let stream = TimedIo::new(stream, progress.clone(), patience, head);
    let serve = {
        let progress = progress.clone();
        service_fn(move |request| {
            progress.request_begins();
            let (progress, answer) = (progress.clone(), answer(request));
            async move {
                let response = answer.await;
                progress.request_ends();
                Ok::<_, Infallible>(response)
            }
        })
    };
    let mut http = http1::Builder::new();
    http.header_read_timeout(None).max_buf_size(MAX_HEAD);
    Attended::new(http.serve_connection(TokioIo::new(stream), serve), progress, patience)
}

async fn answer(
    app: &Shared,
    service: Router,
    request: Request<Incoming>,
    peer: SocketAddr,
    progress: Progress,
    share: Arc<BodyShare>,
) -> Response {
    let wrap = |body| Body::new(TimedBody::new(body, PATIENCE.stall, progress, share.clone()));
    let mut request = request.map(wrap);
    request.extensions_mut().insert(ConnectInfo(peer));
    request.extensions_mut().insert(share.clone());
    // One of the last places is given back at once, and who was too much does not come again this way.
    let last = request.extensions().get::<LastPlaces>().is_some();
    let Ok(mut response) = service.oneshot(request).await;
    if app.is_draining() || last || share.was_refused() {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

    const SOON: Duration = Duration::from_millis(50);
    /// Longer than any test has.
    const NEVER: Duration = Duration::from_secs(3600);

    const GET: &str = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";
    const POST: &str = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhello";
    const CHUNKED: &str =
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    const PART: &str = "GET / HTTP/1.1\r\nx: ";

    /// A peer's end of a connection whose requests are answered with this many bytes.
    fn connect(patience: Patience, size: usize) -> DuplexStream {
        let (peer, stream) = tokio::io::duplex(4096);
        let head = HeadShare::new(Arc::default());
        tokio::spawn(converse(stream, Progress::default(), patience, head, move |request| async move {
            let whole = request.into_body().collect().await;
            assert!(whole.is_ok(), "{whole:?}");
            Response::new(Body::from("x".repeat(size)))
        }));
        peer
    }

    /// Sends `bytes`, then more of a header every now and then if it `drips`, and reads until the server
    /// ends the connection: the number of answers.
    async fn answers_until_the_end(patience: Patience, bytes: &str, drips: bool) -> usize {
        let (mut reader, mut writer) = tokio::io::split(connect(patience, 1));
        writer.write_all(bytes.as_bytes()).await.unwrap();
        let mut answers = Vec::new();
        let drip = async {
            while drips && writer.write_all(b"y").await.is_ok() {
                tokio::time::sleep(SOON / 10).await;
            }
            std::future::pending::<()>().await;
        };
        let end = async {
            tokio::select! {
                end = reader.read_to_end(&mut answers) => drop(end),
                () = drip => {}
            }
        };
        tokio::time::timeout(Duration::from_secs(60), end)
            .await
            .unwrap_or_else(|_| panic!("kept open after {bytes:?}, drips: {drips}"));
        String::from_utf8_lossy(&answers).matches("HTTP/1.1 200").count()
    }

    #[tokio::test]
    async fn a_head_that_has_begun_is_due_soon_wherever_its_beginning_is() {
        let patience = Patience { stall: SOON, idle: NEVER };
        for before in ["", GET, POST, CHUNKED, &GET.repeat(3), &POST.repeat(3), &[GET, CHUNKED].concat()] {
            let requests = before.matches(" / ").count();
            for drips in [false, true] {
                let bytes = format!("{before}{PART}");
                assert_eq!(answers_until_the_end(patience, &bytes, drips).await, requests, "{bytes:?}");
            }
        }
        assert_eq!(answers_until_the_end(patience, "", false).await, 0);
    }

    #[tokio::test]
    async fn a_head_that_begins_after_a_pause_is_due_soon() {
        let mut peer = connect(Patience { stall: SOON, idle: NEVER }, 1);
        for request in [GET, POST] {
            peer.write_all(request.as_bytes()).await.unwrap();
            let mut answer = Vec::new();
            while !answer.ends_with(b"\r\n\r\nx") {
                answer.push(peer.read_u8().await.unwrap());
            }
        }
        peer.write_all(PART.as_bytes()).await.unwrap();
        let end = tokio::time::timeout(Duration::from_secs(60), peer.read_u8()).await;
        assert!(end.expect("kept open").is_err());
    }

    #[tokio::test]
    async fn between_requests_a_connection_has_the_patience_of_an_idle_one() {
        let patience = Patience { stall: NEVER, idle: SOON };
        for before in [GET, POST, CHUNKED, &GET.repeat(3), &POST.repeat(3), &[CHUNKED, POST, GET].concat()] {
            let requests = before.matches(" / ").count();
            assert_eq!(answers_until_the_end(patience, before, false).await, requests, "{before:?}");
        }
    }

    #[tokio::test]
    async fn who_reads_no_answer_or_only_sips_it_is_left() {
        let silent = Patience { stall: SOON, idle: NEVER };
        let mut peer = connect(silent, 1024 * 1024);
        peer.write_all(GET.as_bytes()).await.unwrap();
        let gone = async { while peer.write_all(b"y").await.is_ok() {} };
        tokio::time::timeout(Duration::from_secs(60), gone).await.expect("kept open");

        let sipping = Patience { stall: NEVER, idle: SOON };
        let mut peer = connect(sipping, 1024 * 1024);
        peer.write_all(GET.as_bytes()).await.unwrap();
        let (mut sips, mut sip) = (0, [0; 64]);
        let sipping = async {
            while peer.read(&mut sip).await.is_ok_and(|read| read > 0) {
                sips += 1;
                tokio::time::sleep(SOON / 50).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), sipping).await.expect("kept open");
        // It had not come to the end.
        assert!((1..1024 * 1024 / 64).contains(&sips), "{sips}");
    }
}
