//! A TCP stream that hyper drives and we can still look at.
//!
//! hyper owns the IO object it is given. We must ask the socket two things meanwhile: whether a
//! pooled connection was closed by its server, before a request that cannot be sent twice is
//! written to it, and whether a held client has left although its body lies unread.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;

/// One of several handles on a stream. Only one of them may be read and written.
#[derive(Clone, Debug)]
pub(super) struct SharedStream(Arc<TcpStream>);

impl SharedStream {
    pub(super) fn new(stream: TcpStream) -> SharedStream {
        SharedStream(Arc::new(stream))
    }

    /// Whether an idle connection can still be written to as far as the kernel knows: the peer
    /// has neither closed it nor sent anything unasked.
    pub(super) fn is_quiet(&self) -> bool {
        let mut byte = [MaybeUninit::uninit()];
        match SockRef::from(self.0.as_ref()).peek(&mut byte) {
            Err(error) => error.kind() == io::ErrorKind::WouldBlock,
            Ok(_) => false,
        }
    }

    /// Whether the peer has closed its end, even behind data that nobody has read yet.
    pub(super) async fn peer_left(&self) -> bool {
        tokio::select! {
            biased;
            ready = self.0.ready(Interest::READABLE) => ready.map_or(true, |r| r.is_read_closed()),
            () = std::future::ready(()) => false,
        }
    }

    /// Resolves when the connection is gone: reset, or given up by the kernel. A peer that has only
    /// closed its sending half may still be waiting for an answer.
    pub(super) async fn gone(&self) {
        loop {
            match self.0.ready(Interest::ERROR).await {
                Ok(ready) if !ready.is_error() => {}
                Ok(_) | Err(_) => return,
            }
        }
    }

    /// Writes a few bytes, if there is room for them at once.
    pub(super) fn say(&self, words: &[u8]) {
        if let Err(error) = self.0.try_write(words) {
            tracing::debug!(%error, "the last words did not reach a client");
        }
    }

    /// Closes the sending half and reads what still comes, for a moment: closed with unread data a
    /// connection is reset, and the answer may be lost on its way.
    pub(super) async fn linger(&self, moment: Duration) {
        if SockRef::from(self.0.as_ref()).shutdown(std::net::Shutdown::Write).is_err() {
            return;
        }
        let reading = async {
            let mut scratch = [0_u8; 4096];
            loop {
                match self.0.try_read(&mut scratch) {
                    Ok(0) => return,
                    Ok(_) => tokio::task::yield_now().await,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        if self.0.readable().await.is_err() {
                            return;
                        }
                    }
                    Err(_) => return,
                }
            }
        };
        if tokio::time::timeout(moment, reading).await.is_err() {
            tracing::debug!("a client goes on sending behind its last answer");
        }
    }
}

impl AsyncRead for SharedStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            ready!(self.0.poll_read_ready(cx))?;
            let room = buf.remaining();
            let mut read = None;
            // A read that did not fill the buffer has emptied the socket. Told "would block",
            // tokio waits for the next arrival instead of trying a read that finds nothing.
            let tried = self.0.try_io(Interest::READABLE, || match self.0.try_read_buf(buf)? {
                count if 0 < count && count < room => {
                    read = Some(());
                    Err(io::ErrorKind::WouldBlock.into())
                }
                _ => Ok(()),
            });
            match (read, tried) {
                (Some(()), _) => return Poll::Ready(Ok(())),
                (None, Err(error)) if error.kind() == io::ErrorKind::WouldBlock => {}
                (None, outcome) => return Poll::Ready(outcome),
            }
        }
    }
}

impl AsyncWrite for SharedStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.0.poll_write_ready(cx))?;
            match self.0.try_write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                outcome => return Poll::Ready(outcome),
            }
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let [whole] = slices {
            return self.poll_write(cx, whole);
        }
        loop {
            ready!(self.0.poll_write_ready(cx))?;
            match self.0.try_write_vectored(slices) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                outcome => return Poll::Ready(outcome),
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(SockRef::from(self.0.as_ref()).shutdown(std::net::Shutdown::Write))
    }
}
