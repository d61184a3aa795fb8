//! Giving up on a peer that keeps us waiting.
//!
//! hyper has a limit for heads, but counts the time between two requests into it: whoever keeps a
//! connection for the next request would lose it after ten seconds. So we tell the two apart. The stream
//! sees no heads, but it sees when hyper comes for more: while a request is served, hyper does so only
//! after it has used up all that it was given. If its last look found nothing, nothing of the next head
//! has come; else a part of it may be in hyper's hands. After the answer hyper may not look at all until
//! something comes, so the time is kept around the connection and not in the stream.

use super::budget::{BodyShare, HeadShare, READ_AT_ONCE};
use super::places::Turn;
use axum::body::Bytes;
use http_body_util::BodyExt;
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

/// What is read and thrown away of a body that nobody wants: a peer that is still sending would else have
/// its connection reset before it reads why.
const DRAIN: usize = 2 * 1024 * 1024;
/// How long that may take.
const DRAIN_TIME: Duration = Duration::from_secs(2);

/// How far a connection is: told by the service and the stream, all in the connection's one task.
#[derive(Debug, Clone, Default)]
pub(super) struct Progress(Arc<State>);

#[derive(Debug, Default)]
struct State {
    /// How many requests have begun and ended: odd while one is served.
    turn: AtomicUsize,
    /// Whether nothing of the next head has come.
    idle: AtomicBool,
    /// Whether what comes is a body that nobody wants.
    draining: AtomicBool,
    /// Tells whose turn it is, where connections are counted.
    whose: Option<Turn>,
}

impl Progress {
    /// The progress of a connection that has a place.
    pub(super) fn of(whose: Turn) -> Self {
        Self(Arc::new(State { whose: Some(whose), ..State::default() }))
    }

    /// A head is whole: the request is served.
    pub(super) fn request_begins(&self) {
        self.0.idle.store(false, Ordering::Relaxed);
        self.0.turn.fetch_add(1, Ordering::Relaxed);
    }

    /// The body is whole, or nobody waits for it any more.
    fn body_ends(&self) {
        if let (Some(whose), true) = (&self.0.whose, is_served(self.turn())) {
            whose.ours();
        }
    }

    /// The request is answered.
    pub(super) fn request_ends(&self) {
        self.0.turn.fetch_add(1, Ordering::Relaxed);
        if let Some(whose) = &self.0.whose {
            whose.theirs();
        }
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
    head: HeadShare,
    /// The turn that `head` is counted for.
    head_turn: usize,
}

/// What holds while the peer takes its time with an answer.
#[derive(Debug)]
struct Writing {
    deadline: Pin<Box<Sleep>>,
    /// Not even sips move the deadline beyond this.
    end: Instant,
}

impl<T> TimedIo<T> {
    pub(super) fn new(inner: T, progress: Progress, patience: Patience, head: HeadShare) -> Self {
        Self { inner, progress, patience, writing: None, head, head_turn: 0 }
    }

    /// Whether there is room for so much more of a head.
    fn is_admitted(&mut self, read: usize) -> bool {
        let turn = self.progress.turn();
        if turn != self.head_turn && !is_served(turn) {
            self.head_turn = turn;
            self.head.clear();
        }
        is_served(turn) || self.progress.0.draining.load(Ordering::Relaxed) || self.head.grow(read)
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
        // Never as much as hyper asks for: it would ask for more each time, and keep the room.
        let room = buffer.remaining().min(READ_AT_ONCE);
        let mut part = ReadBuf::new(buffer.initialize_unfilled_to(room));
        let read = Pin::new(&mut this.inner).poll_read(cx, &mut part);
        let found = part.filled().len();
        buffer.advance(found);
        this.progress.looked(read.is_ready());
        if !this.is_admitted(found) {
            return Poll::Ready(Err(io::ErrorKind::OutOfMemory.into()));
        }
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

/// A request's body that fails if it has not come whole in time, or if there is no room for it.
#[derive(Debug)]
pub(super) struct TimedBody<B: Body<Data = Bytes> + Send + Unpin + 'static> {
    /// None once it has ended.
    inner: Option<B>,
    deadline: Pin<Box<Sleep>>,
    progress: Progress,
    share: Arc<BodyShare>,
}

impl<B: Body<Data = Bytes> + Send + Unpin + 'static> TimedBody<B> {
    pub(super) fn new(inner: B, patience: Duration, progress: Progress, share: Arc<BodyShare>) -> Self {
        let deadline = Box::pin(tokio::time::sleep(patience));
        let inner = Some(inner).filter(|inner| !inner.is_end_stream());
        if inner.is_none() {
            progress.body_ends();
        }
        Self { inner, deadline, progress, share }
    }
}

/// Why a body was given up.
#[derive(Debug, thiserror::Error)]
pub(super) enum GivenUp {
    #[error("the body did not come in time")]
    TooSlow,
    #[error("there is no room for the body beside those of others")]
    NoRoom,
}

impl<B> Body for TimedBody<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<axum::BoxError>,
{
    type Data = Bytes;
    type Error = axum::BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let this = self.get_mut();
        let Some(inner) = &mut this.inner else { return Poll::Ready(None) };
        let polled = match Pin::new(&mut *inner).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                if frame.data_ref().is_some_and(|data| !this.share.grow(data.len())) {
                    return Poll::Ready(Some(Err(GivenUp::NoRoom.into())));
                }
                if !inner.is_end_stream() {
                    return Poll::Ready(Some(Ok(frame)));
                }
                Some(Ok(frame))
            }
            Poll::Ready(Some(Err(error))) => Some(Err(error.into())),
            Poll::Ready(None) => None,
            Poll::Pending => {
                ready!(this.deadline.as_mut().poll(cx));
                return Poll::Ready(Some(Err(GivenUp::TooSlow.into())));
            }
        };
        this.inner = None;
        this.progress.body_ends();
        Poll::Ready(polled)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl<B: Body<Data = Bytes> + Send + Unpin + 'static> Drop for TimedBody<B> {
    /// Whoever dropped it answers without it: the rest is thrown away meanwhile, up to a limit.
    fn drop(&mut self) {
        let Some(inner) = self.inner.take() else { return };
        self.progress.body_ends();
        let too_slow = self.deadline.is_elapsed();
        if let (false, Ok(runtime)) = (too_slow, tokio::runtime::Handle::try_current()) {
            self.progress.0.draining.store(true, Ordering::Relaxed);
            runtime.spawn(drain(inner, self.progress.clone()));
        }
    }
}

async fn drain<B: Body<Data = Bytes> + Unpin>(mut body: B, progress: Progress) {
    let mut left = DRAIN;
    let reading = async {
        while let Some(Ok(frame)) = body.frame().await {
            left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
            if left == 0 {
                break;
            }
        }
    };
    let _ = tokio::time::timeout(DRAIN_TIME, reading).await;
    drop(body);
    progress.0.draining.store(false, Ordering::Relaxed);
}
