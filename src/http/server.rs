//! Listening, and stopping without cutting anybody off.
//!
//! Our own accept loop, because a connection must not be had for nothing: one that sends no head, no
//! body, or reads no answer is closed after [`STALL`], and there are never more than
//! [`MAX_CONNECTIONS`]. See [`timed`].

mod timed;

use super::router;
use crate::app::Shared;
use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use axum::http::{HeaderValue, header};
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use timed::{Phase, TimedBody, TimedIo};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tower::ServiceExt;

/// Connections at once. What comes above is closed unserved.
pub const MAX_CONNECTIONS: usize = 4096;
/// How long a peer may keep us waiting: for a request's head, its body, or for room to write.
pub const STALL: Duration = Duration::from_secs(10);
/// How long a connection may be idle between requests. Above the usual minute of proxies, so that it
/// is they who close it.
const IDLE: Duration = Duration::from_secs(75);
/// The longest head of a request, in bytes; hyper answers 431.
const MAX_HEAD: usize = 32 * 1024;
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
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
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
                Ok((stream, peer)) => match places.clone().try_acquire_owned() {
                    Ok(place) => connection(app, &service, stream, peer, place, stopping.clone()),
                    Err(_) => app.counters.connection_refused(),
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
    drop(listener);
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
    stream: TcpStream,
    peer: SocketAddr,
    place: OwnedSemaphorePermit,
    mut stopping: watch::Receiver<()>,
) {
    // Answers are small and awaited; a peer that is gone makes this fail, and the next read tells.
    let _ = stream.set_nodelay(true);
    let phase = Phase::default();
    let io = TokioIo::new(TimedIo::new(stream, phase.clone(), STALL, IDLE));
    let (app, service) = (app.clone(), service.clone());
    let counted = app.clone();
    let requests = phase.clone();
    let serve = hyper::service::service_fn(move |request| {
        phase.request_begins();
        let (app, service, phase) = (app.clone(), service.clone(), phase.clone());
        async move {
            let response = answer(&app, service, request, peer).await;
            phase.request_ends();
            Ok::<_, Infallible>(response)
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        // The stream itself knows how long a head may take.
        .header_read_timeout(None)
        .max_buf_size(MAX_HEAD)
        .serve_connection(io, serve);
    tokio::spawn(async move {
        let _counted = counted.counters.connection();
        let mut connection = std::pin::pin!(connection);
        // An error here is the peer's: it went away, was too slow, or does not speak HTTP.
        let closed = tokio::select! {
            _ = connection.as_mut() => true,
            // A request may be on its way, and once that is answered the connection closes by itself.
            _ = stopping.changed() => {
                requests.is_at_head() && tokio::time::timeout(FIRST_REQUEST, connection.as_mut()).await.is_ok()
            }
        };
        if !closed {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
        drop((place, stopping));
    });
}

async fn answer(app: &Shared, service: Router, request: Request<Incoming>, peer: SocketAddr) -> Response {
    let mut request = request.map(|body| Body::new(TimedBody::new(body, STALL)));
    request.extensions_mut().insert(ConnectInfo(peer));
    let Ok(mut response) = service.oneshot(request).await;
    if app.is_draining() {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}
