//! Giving up on a peer that keeps us waiting.
//!
//! hyper has a limit for heads, but counts the time between two requests into it: whoever keeps a
//! connection for the next request would lose it after ten seconds. So we tell the two apart. The stream
//! sees no heads, but it sees when hyper comes for more: while a request is served, hyper does so only
//! after it has used up all that it was given. If its last look found nothing, nothing of the next head
//! has come; else a part of it may be in hyper's hands. After the answer hyper may not look at all until
//! something comes, so the time is kept around the connection and not in the stream.

use hyper::body::{Body, Frame, SizeHint};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// How long a peer may keep us waiting.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// For a request's head or body, and for room to write.
    pub(super) stall: Duration,
    /// For the next request to begin, and for an answer that is taken in sips.
    pub(super) idle: Duration,
}

/// How far a connection is: told by the service and the stream, all in the connection's one task.
#[derive(Debug, Clone, Default)]
pub(super) struct Progress(Arc<State>);

#[derive(Debug, Default)]
struct State {
    /// How many requests have begun and ended: odd while one is served.
    turn: AtomicUsize,
    /// Whether nothing of the next head has come.
    idle: AtomicBool,
}

impl Progress {
    /// A head is whole: the request is served.
    pub(super) fn request_begins(&self) {
        self.0.idle.store(false, Ordering::Relaxed);
        self.0.turn.fetch_add(1, Ordering::Relaxed);
    }

    /// The request is answered.
    pub(super) fn request_ends(&self) {
        self.0.turn.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether no request has begun yet.
    pub(super) fn none_yet(&self) -> bool {
        self.turn() == 0
    }

    /// hyper has looked for more, and did or did not get it.
    fn looked(&self, found: bool) {
        if found || is_served(self.turn()) {
            self.0.idle.store(!found, Ordering::Relaxed);
        }
    }

    fn turn(&self) -> usize {
        self.0.turn.load(Ordering::Relaxed)
    }

    fn is_idle(&self) -> bool {
        self.0.idle.load(Ordering::Relaxed)
    }
}

fn is_served(turn: usize) -> bool {
    turn % 2 == 1
}

/// A connection that ends when its peer lets it wait for a head.
#[derive(Debug)]
pub(super) struct Attended<C> {
    connection: Pin<Box<C>>,
    progress: Progress,
    patience: Patience,
    /// What `deadline` was set for: the turn, and whether the connection is idle.
    waiting: (usize, bool),
    deadline: Pin<Box<Sleep>>,
}

impl<C> Attended<C> {
    /// The first head is due from now on.
    pub(super) fn new(connection: C, progress: Progress, patience: Patience) -> Self {
        let deadline = Box::pin(tokio::time::sleep(patience.stall));
        Self { connection: Box::pin(connection), progress, patience, waiting: (0, false), deadline }
    }

    pub(super) fn connection(&mut self) -> Pin<&mut C> {
        self.connection.as_mut()
    }
}

impl<C: Future> Future for Attended<C> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        // An error is the peer's: it went away, took no answer, or does not speak HTTP.
        if this.connection.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        let waiting = (this.progress.turn(), this.progress.is_idle());
        if is_served(waiting.0) {
            // The body, the handler and the answer have limits of their own.
            return Poll::Pending;
        }
        if waiting != this.waiting {
            this.waiting = waiting;
            let patience = if waiting.1 { this.patience.idle } else { this.patience.stall };
            this.deadline.as_mut().reset(Instant::now() + patience);
        }
        this.deadline.as_mut().poll(cx)
    }
}

/// A stream that tells when it is read, and fails when its peer takes no answer.
#[derive(Debug)]
pub(super) struct TimedIo<T> {
    inner: T,
    progress: Progress,
    patience: Patience,
    writing: Option<Writing>,
}

/// What holds while the peer takes its time with an answer.
#[derive(Debug)]
struct Writing {
    deadline: Pin<Box<Sleep>>,
    /// Not even sips move the deadline beyond this.
    end: Instant,
}

impl<T> TimedIo<T> {
    pub(super) fn new(inner: T, progress: Progress, patience: Patience) -> Self {
        Self { inner, progress, patience, writing: None }
    }

    fn written(&mut self, cx: &mut Context<'_>, done: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        let Patience { stall, idle } = self.patience;
        if done.is_ready() {
            if let Some(writing) = &mut self.writing {
                writing.deadline.as_mut().reset((Instant::now() + stall).min(writing.end));
            }
            return done;
        }
        let writing = self.writing.get_or_insert_with(|| {
            let end = Instant::now() + idle;
            Writing { deadline: Box::pin(tokio::time::sleep(stall.min(idle))), end }
        });
        ready!(writing.deadline.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for TimedIo<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let read = Pin::new(&mut this.inner).poll_read(cx, buffer);
        this.progress.looked(read.is_ready());
        read
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for TimedIo<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let done = Pin::new(&mut this.inner).poll_write(cx, bytes);
        this.written(cx, done)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let done = Pin::new(&mut this.inner).poll_write_vectored(cx, slices);
        this.written(cx, done)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    /// hyper flushes when it has written all that it had.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.writing = None;
        Pin::new(&mut this.inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }
}

/// A request's body that fails if it has not come whole in time.
#[derive(Debug)]
pub(super) struct TimedBody<B> {
    inner: B,
    deadline: Pin<Box<Sleep>>,
}

impl<B> TimedBody<B> {
    pub(super) fn new(inner: B, patience: Duration) -> Self {
        Self { inner, deadline: Box::pin(tokio::time::sleep(patience)) }
    }
}

/// Why a body was given up.
#[derive(Debug, thiserror::Error)]
#[error("the body did not come in time")]
pub(super) struct TooSlow;

impl<B> Body for TimedBody<B>
where
    B: Body + Unpin,
    B::Error: Into<axum::BoxError>,
{
    type Data = B::Data;
    type Error = axum::BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let this = self.get_mut();
        match Pin::new(&mut this.inner).poll_frame(cx) {
            Poll::Ready(frame) => Poll::Ready(frame.map(|frame| frame.map_err(Into::into))),
            Poll::Pending => {
                ready!(this.deadline.as_mut().poll(cx));
                Poll::Ready(Some(Err(TooSlow.into())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
