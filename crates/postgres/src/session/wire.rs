//! Bytes to and from one server. Whatever is half-read stays in the inbox and whatever is
//! half-written stays in the outbox, so every future here may be dropped and begun again.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use bytes::{Buf, Bytes, BytesMut};
use changeover_pgwire::frame::{self, Phase};
use changeover_pgwire::{Frame, WireError};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

/// How much is read at once in a session, in bytes.
const READ_SIZE: usize = 64 * 1024;

/// How much is read at once while rows or changes stream, in bytes.
pub(crate) const STREAM_READ_SIZE: usize = 256 * 1024;

/// A connection to a server.
#[derive(Debug)]
pub(crate) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Socket::Tcp(stream) => Pin::new(stream).poll_read(cx, buffer),
            Socket::Unix(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Socket::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Socket::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Socket::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Socket::Unix(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Socket::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Socket::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

/// Why no message could be had.
#[derive(Debug)]
pub(crate) enum WireFault {
    Io(io::Error),
    Bytes(WireError),
}

impl From<io::Error> for WireFault {
    fn from(error: io::Error) -> Self {
        WireFault::Io(error)
    }
}

impl From<WireError> for WireFault {
    fn from(error: WireError) -> Self {
        WireFault::Bytes(error)
    }
}

/// A connection with its two buffers.
#[derive(Debug)]
pub(crate) struct Wire {
    socket: Socket,
    pub(crate) inbox: BytesMut,
    outbox: VecDeque<Bytes>,
    /// Writing failed; reported once the server's last words are read.
    write_fault: Option<io::Error>,
    pub(crate) phase: Phase,
    pub(crate) read_size: usize,
}

impl Wire {
    pub(crate) fn new(socket: Socket) -> Self {
        Wire {
            socket,
            inbox: BytesMut::new(),
            outbox: VecDeque::new(),
            write_fault: None,
            phase: Phase::ServerLogin,
            read_size: READ_SIZE,
        }
    }

    /// Queues bytes; they leave with the next read or [`Wire::write_out`].
    pub(crate) fn queue(&mut self, bytes: Bytes) {
        if !bytes.is_empty() {
            self.outbox.push_back(bytes);
        }
    }

    /// Whether everything queued has left.
    pub(crate) fn is_written(&self) -> bool {
        self.outbox.is_empty()
    }

    pub(crate) fn set_streaming(&mut self, streaming: bool) {
        self.read_size = if streaming { STREAM_READ_SIZE } else { READ_SIZE };
    }

    /// A message that is already here.
    pub(crate) fn buffered_frame(&mut self) -> Result<Option<Frame>, WireError> {
        frame::take_frame(&mut self.inbox, self.phase)
    }

    /// The next message. What is queued goes out meanwhile, so that neither side can wait for
    /// the other for ever.
    pub(crate) async fn frame(&mut self) -> Result<Frame, WireFault> {
        loop {
            if let Some(frame) = self.buffered_frame()? {
                return Ok(frame);
            }
            self.read_more().await?;
        }
    }

    /// Reads at least one byte; writes what can be written meanwhile.
    pub(crate) async fn read_more(&mut self) -> io::Result<()> {
        poll_fn(|cx| {
            // Whether it is all written does not matter here; the write side wakes us as well.
            self.poll_write_out(cx);
            self.poll_read_some(cx)
        })
        .await
    }

    /// Writes until nothing is queued, or until something came in: then look at it and call
    /// again. What the server sends is looked for each time, even when writing never waits.
    pub(crate) async fn write_out(&mut self) -> io::Result<()> {
        poll_fn(|cx| {
            let written = self.poll_write_out(cx);
            match self.poll_read_some(cx) {
                Poll::Pending if written => Poll::Ready(Ok(())),
                came => came,
            }
        })
        .await
    }

    /// Writes what goes without waiting and reads nothing; the rest leaves with the next read.
    pub(crate) async fn write_now(&mut self) -> io::Result<()> {
        poll_fn(|cx| {
            self.poll_write_out(cx);
            Poll::Ready(self.write_fault.take().map_or(Ok(()), Err))
        })
        .await
    }

    /// Tries to say good bye without waiting.
    pub(crate) fn try_goodbye(&self, bytes: &[u8]) {
        let sent = match &self.socket {
            Socket::Tcp(stream) => stream.try_write(bytes),
            Socket::Unix(stream) => stream.try_write(bytes),
        };
        if let Err(error) = sent {
            tracing::trace!(%error, "no good-bye");
        }
    }

    /// Writes what can be written; whether that was everything.
    fn poll_write_out(&mut self, cx: &mut Context<'_>) -> bool {
        while let Some(front) = self.outbox.front_mut() {
            match Pin::new(&mut self.socket).poll_write(cx, front) {
                Poll::Pending => return false,
                Poll::Ready(Ok(0)) => {
                    self.write_fault = Some(io::ErrorKind::WriteZero.into());
                    self.outbox.clear();
                }
                Poll::Ready(Ok(count)) => {
                    front.advance(count);
                    if front.is_empty() {
                        self.outbox.pop_front();
                    }
                }
                Poll::Ready(Err(error)) => {
                    self.write_fault = Some(error);
                    self.outbox.clear();
                }
            }
        }
        true
    }

    fn poll_read_some(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Messages already taken share this memory. A new buffer only when this one is nearly
        // full: otherwise every small message that is kept would keep a whole buffer alive.
        if self.inbox.capacity() - self.inbox.len() < self.read_size / 4 {
            self.inbox.reserve(self.read_size);
        }
        let read = pin!(self.socket.read_buf(&mut self.inbox));
        match std::future::Future::poll(read, cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(0)) => Poll::Ready(Err(self
                .write_fault
                .take()
                .unwrap_or_else(|| io::ErrorKind::UnexpectedEof.into()))),
            Poll::Ready(result) => Poll::Ready(result.map(|_| ())),
        }
    }
}
