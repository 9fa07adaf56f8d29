//! The client's connection as hyper sees it: framed twice, and waited for no longer than it may take.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::framing::{Framing, Next};
use super::stream::SharedStream;
use super::watched::{ClientFault, Watched};
use crate::state::HttpLimits;

/// Reads and writes the client's stream; see the module.
///
/// hyper reads only when it wants something: the next request when none is being answered, or more
/// of a body. So whenever a read finds nothing it is the client's turn, and the time runs.
#[derive(Debug)]
pub(super) struct ClientIo {
    stream: SharedStream,
    framing: Framing,
    watched: Arc<Watched>,
    limits: HttpLimits,
    /// Until when something is awaited from the client.
    reading: Deadline,
    /// Until when the client must take something of its answer.
    writing: Deadline,
}

/// A time limit that is set for every message and almost never comes: one timer, moved when it fires
/// too early.
#[derive(Debug, Default)]
struct Deadline {
    due: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Deadline {
    fn set(&mut self, within: Duration) {
        self.due = Some(Instant::now() + within);
    }

    fn clear(&mut self) {
        self.due = None;
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(due) = self.due else { return Poll::Pending };
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
        if timer.deadline() > due {
            timer.as_mut().reset(due);
        }
        while timer.as_mut().poll(cx).is_ready() {
            if Instant::now() >= due {
                return Poll::Ready(());
            }
            timer.as_mut().reset(due);
        }
        Poll::Pending
    }
}

impl ClientIo {
    /// From here on the first request is awaited, and must be there within the time of a head.
    pub(super) fn new(stream: SharedStream, watched: Arc<Watched>, limits: HttpLimits) -> ClientIo {
        let mut reading = Deadline::default();
        reading.set(limits.head);
        let (framing, writing) = Default::default();
        ClientIo { stream, framing, watched, limits, reading, writing }
    }

    fn arrived(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            // The client has closed its half: of what it has begun there will be no more.
            if self.framing.next() == Next::Body {
                self.watched.fail(ClientFault::CutShort);
            }
            return;
        }
        let before = self.framing.next();
        self.framing.read(bytes);
        if let Some(request) = self.framing.ambiguous() {
            self.watched.ambiguous_from(request);
        }
        match (before, self.framing.next()) {
            // A head has so long from its first byte, the first one from the connection's beginning.
            (Next::Head, Next::Head) => {}
            (Next::Request, Next::Head) if self.watched.is_new() => {}
            (_, Next::Head) => self.reading.set(self.limits.head),
            _ => self.reading.clear(),
        }
    }

    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let next = self.framing.next();
        if self.reading.due.is_none() {
            match next {
                Next::Request => {
                    self.watched.fell_quiet();
                    self.reading.set(self.limits.idle);
                }
                Next::Head | Next::Body | Next::Nothing => self.reading.set(self.limits.body),
            }
        }
        self.reading.poll(cx).map(|()| {
            self.watched.fail(match next {
                Next::Request => ClientFault::Silent,
                Next::Head => ClientFault::HeadLate,
                Next::Body | Next::Nothing => ClientFault::BodyLate,
            });
            Err(io::ErrorKind::TimedOut.into())
        })
    }

    fn wrote<T>(
        &mut self,
        cx: &mut Context<'_>,
        outcome: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.writing.clear();
            return outcome;
        }
        if self.writing.due.is_none() {
            self.writing.set(self.limits.body);
        }
        self.writing.poll(cx).map(|()| {
            self.watched.fail(ClientFault::AnswerUnread);
            Err(io::ErrorKind::TimedOut.into())
        })
    }
}

impl AsyncRead for ClientIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.framing.next() == Next::Nothing {
            self.watched.fail(ClientFault::Malformed);
            return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
        }
        let before = buf.filled().len();
        match Pin::new(&mut self.stream).poll_read(cx, buf) {
            Poll::Ready(Ok(())) => {
                self.arrived(&buf.filled()[before..]);
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => {
                self.watched.fail(ClientFault::Gone);
                Poll::Ready(Err(error))
            }
            Poll::Pending => self.wait(cx),
        }
    }
}

impl AsyncWrite for ClientIo {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.wrote(cx, outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.wrote(cx, outcome)
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
