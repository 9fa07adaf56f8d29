//! A socket and the bytes read from it that are not used yet: what logging in and asking a server
//! need. Forwarding has a path of its own ([`super::session`]).

use std::io;

use bytes::BytesMut;
use changeover_pgwire::frame::{Phase, take_frame, take_startup_body};
use changeover_pgwire::request::FirstPacket;
use changeover_pgwire::{Frame, WireError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A connection failed or said something impossible.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WireFault {
    /// The other end closed it.
    #[error("the connection was closed")]
    Closed,
    /// The system says no.
    #[error("the connection broke")]
    Io(#[from] io::Error),
    /// Not the protocol.
    #[error("the other end broke the protocol")]
    Protocol(#[from] WireError),
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Wire {
    pub(crate) stream: TcpStream,
    pub(crate) rx: BytesMut,
}

impl Wire {
    pub(crate) fn new(stream: TcpStream) -> Self {
        crate::sockets::prepare(&stream);
        Wire { stream, rx: BytesMut::new() }
    }

    pub(crate) async fn connect(host: &str, port: u16) -> io::Result<Wire> {
        Ok(Wire::new(TcpStream::connect((host, port)).await?))
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) -> Result<(), WireFault> {
        Ok(self.stream.write_all(bytes).await?)
    }

    /// The next message. Cancel-safe: what was read stays in the buffer.
    pub(crate) async fn frame(&mut self, phase: Phase) -> Result<Frame, WireFault> {
        loop {
            if let Some(frame) = take_frame(&mut self.rx, phase)? {
                return Ok(frame);
            }
            self.read().await?;
        }
    }

    /// The first packet of a client.
    pub(crate) async fn first_packet(&mut self) -> Result<FirstPacket, WireFault> {
        loop {
            if let Some(body) = take_startup_body(&mut self.rx)? {
                return Ok(FirstPacket::decode(body)?);
            }
            self.read().await?;
        }
    }

    async fn read(&mut self) -> Result<(), WireFault> {
        self.rx.reserve(4096);
        match self.stream.read_buf(&mut self.rx).await? {
            0 => Err(WireFault::Closed),
            _ => Ok(()),
        }
    }

    /// Waits until the other end closes, at most as long as the caller lets it.
    pub(crate) async fn closed(&mut self) {
        let mut scratch = [0_u8; 64];
        while matches!(self.stream.read(&mut scratch).await, Ok(n) if n > 0) {}
    }

    /// Resolves when the other end is gone. What it sends meanwhile is kept, up to a bound after
    /// which it is not listened to any more.
    pub(crate) async fn left(&mut self) -> WireFault {
        while self.rx.len() < 16 * 1024 {
            if let Err(fault) = self.read().await {
                return fault;
            }
        }
        std::future::pending().await
    }
}
