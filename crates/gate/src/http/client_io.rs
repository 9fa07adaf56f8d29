//! The client's connection as hyper sees it: framed twice, and not for ever in the middle of a head.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use super::framing::Framing;
use super::stream::SharedStream;

/// A head that has begun must be complete after this.
pub(super) const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// Says, for the requests of one connection, which of them is ambiguous.
#[derive(Debug)]
pub(super) struct Ambiguity(AtomicU64);

impl Ambiguity {
    const NONE: u64 = u64::MAX;

    /// Whether the request with this number, from 0, could be read two ways.
    pub(super) fn concerns(&self, request: u64) -> bool {
        request >= self.0.load(Ordering::Relaxed)
    }
}

/// Reads and writes the client's stream; see the module.
///
/// An idle connection is never closed from here: a request may be on its way. Only a head that was
/// begun and is not finished in time ends it.
#[derive(Debug)]
pub(super) struct ClientIo {
    stream: SharedStream,
    framing: Framing,
    ambiguity: Arc<Ambiguity>,
    head_deadline: Option<Pin<Box<Sleep>>>,
}

impl ClientIo {
    pub(super) fn new(stream: SharedStream) -> (ClientIo, Arc<Ambiguity>) {
        let ambiguity = Arc::new(Ambiguity(AtomicU64::new(Ambiguity::NONE)));
        let io = ClientIo {
            stream,
            framing: Framing::default(),
            ambiguity: Arc::clone(&ambiguity),
            head_deadline: None,
        };
        (io, ambiguity)
    }

    fn arrived(&mut self, bytes: &[u8]) {
        self.framing.read(bytes);
        if let Some(request) = self.framing.ambiguous() {
            self.ambiguity.0.store(request, Ordering::Relaxed);
        }
        if !self.framing.inside_head() {
            self.head_deadline = None;
        } else if self.head_deadline.is_none() {
            self.head_deadline = Some(Box::pin(tokio::time::sleep(HEAD_TIMEOUT)));
        }
    }
}

impl AsyncRead for ClientIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let outcome = Pin::new(&mut self.stream).poll_read(cx, buf);
        match outcome {
            Poll::Ready(Ok(())) => {
                self.arrived(&buf.filled()[before..]);
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => match &mut self.head_deadline {
                Some(deadline) => deadline
                    .as_mut()
                    .poll(cx)
                    .map(|()| Err(io::Error::from(io::ErrorKind::TimedOut))),
                None => Poll::Pending,
            },
        }
    }
}

impl AsyncWrite for ClientIo {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
