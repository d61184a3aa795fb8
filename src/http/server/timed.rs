//! A stream and a body that give up on a peer that keeps us waiting.

use hyper::body::{Body, Frame, SizeHint};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// What a connection is doing, told by the service and known by the stream.
#[derive(Debug, Clone, Default)]
pub(super) struct Phase(Arc<AtomicU8>);

/// A head is being read: from the connection's start, or from its first byte.
const HEAD: u8 = 0;
/// A request is being served. Its body and its handler have limits of their own.
const SERVING: u8 = 1;
/// Between two requests.
const IDLE: u8 = 2;

impl Phase {
    pub(super) fn request_begins(&self) {
        self.0.store(SERVING, Ordering::Relaxed);
    }

    pub(super) fn request_ends(&self) {
        self.0.store(IDLE, Ordering::Relaxed);
    }

    /// Whether a request's head is awaited or has come in part.
    pub(super) fn is_at_head(&self) -> bool {
        self.get() == HEAD
    }

    fn get(&self) -> u8 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A stream that fails when its peer stalls.
#[derive(Debug)]
pub(super) struct TimedIo<T> {
    inner: T,
    phase: Phase,
    stall: Duration,
    idle: Duration,
    /// The phase that `reading` was set for.
    timed: u8,
    reading: Pin<Box<Sleep>>,
    writing: Option<Pin<Box<Sleep>>>,
}

impl<T> TimedIo<T> {
    pub(super) fn new(inner: T, phase: Phase, stall: Duration, idle: Duration) -> Self {
        let reading = Box::pin(tokio::time::sleep(stall));
        Self { inner, phase, stall, idle, timed: HEAD, reading, writing: None }
    }

    /// Sets the read deadline anew when the phase has changed.
    fn follow_phase(&mut self) {
        let phase = self.phase.get();
        if phase != self.timed {
            self.timed = phase;
            let patience = if phase == HEAD { self.stall } else { self.idle };
            self.reading.as_mut().reset(Instant::now() + patience);
        }
    }

    fn written(&mut self, cx: &mut Context<'_>, done: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if done.is_ready() {
            self.writing = None;
            // Somebody who reads is not idle.
            if self.timed != HEAD {
                self.reading.as_mut().reset(Instant::now() + self.idle);
            }
            return done;
        }
        let stall = self.stall;
        let deadline = self.writing.get_or_insert_with(|| Box::pin(tokio::time::sleep(stall)));
        ready!(deadline.as_mut().poll(cx));
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
        this.follow_phase();
        match Pin::new(&mut this.inner).poll_read(cx, buffer) {
            Poll::Ready(result) => {
                // The first byte after a pause begins the next request's head.
                if this.timed == IDLE {
                    this.phase.0.store(HEAD, Ordering::Relaxed);
                    this.follow_phase();
                }
                Poll::Ready(result)
            }
            // While a request is served this is the long patience of an idle connection: whatever is served
            // has shorter limits of its own, so who reaches it has stalled.
            Poll::Pending => {
                ready!(this.reading.as_mut().poll(cx));
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
        }
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

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
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
