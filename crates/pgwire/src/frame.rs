//! Where a message ends: the type byte and the length before every body.
//!
//! A frame is taken off a buffer only when it is whole; until then the buffer is untouched, so
//! a read may stop anywhere and go on later. A gate that must not hold a large message reads the
//! [`Header`] with [`peek_header`], forwards it and then [`Header::body_len`] bytes as they come.

use bytes::{Buf, Bytes, BytesMut};

use crate::fields::{WireError, tag_text};

/// A header's size: the type byte and the length.
pub const HEADER_LEN: usize = 5;

/// The largest body PostgreSQL itself sends or takes: just below 1 GiB.
pub const MAX_BODY: usize = 0x3fff_ffff;

/// The largest startup packet, as in PostgreSQL.
pub const MAX_STARTUP: usize = 10_000;

/// The largest password or SASL message, as in PostgreSQL.
pub const MAX_AUTH_BODY: usize = 65_535;

/// The largest message whose kind is always small (`ReadyForQuery`, `Sync`, …), and of any
/// message a server may send before its client is logged in (an error text included).
pub const MAX_SMALL_BODY: usize = 30_000;

/// What the connection is doing: it bounds what may come next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// A server talks to a client that is not logged in yet.
    ServerLogin,
    /// A server talks to a client that is.
    ServerReady,
    /// A client that still has to prove who it is.
    ClientLogin,
    /// A client that is logged in.
    ClientReady,
}

impl Phase {
    /// The largest body, in bytes, of a message of type `tag` in this phase.
    #[must_use]
    pub fn max_body(self, tag: u8) -> usize {
        match (self, tag) {
            (Phase::ServerLogin, _) => MAX_SMALL_BODY,
            (Phase::ClientLogin, _) => MAX_AUTH_BODY,
            (
                Phase::ServerReady,
                b'1' | b'2' | b'3' | b'c' | b'I' | b'K' | b'n' | b's' | b'Z' | b'C',
            )
            | (Phase::ClientReady, b'c' | b'H' | b'S' | b'X' | b'D' | b'E' | b'C') => {
                MAX_SMALL_BODY
            }
            (Phase::ServerReady | Phase::ClientReady, _) => MAX_BODY,
        }
    }
}

/// A message's type and size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The type byte.
    pub tag: u8,
    /// The body's size in bytes, without the header.
    pub body_len: usize,
}

impl Header {
    /// The whole message's size in bytes.
    #[must_use]
    pub fn frame_len(self) -> usize {
        HEADER_LEN + self.body_len
    }
}

/// A whole message, undecoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    raw: Bytes,
}

impl Frame {
    /// The type byte.
    #[must_use]
    pub fn tag(&self) -> u8 {
        self.raw.first().copied().unwrap_or_default()
    }

    /// The body (shares the frame's memory).
    #[must_use]
    pub fn body(&self) -> Bytes {
        self.raw.slice(HEADER_LEN..)
    }

    /// Header and body, as they travelled.
    #[must_use]
    pub fn raw(&self) -> &Bytes {
        &self.raw
    }

    /// Header and body, as they travelled.
    #[must_use]
    pub fn into_raw(self) -> Bytes {
        self.raw
    }
}

/// The header at the start of `bytes`, or `None` while it is not whole.
///
/// # Errors
/// If the length is impossible, or above what `phase` allows.
pub fn peek_header(bytes: &[u8], phase: Phase) -> Result<Option<Header>, WireError> {
    let Some((&[tag, a, b, c, d], _)) = bytes.split_first_chunk::<HEADER_LEN>() else {
        return Ok(None);
    };
    let length = i32::from_be_bytes([a, b, c, d]);
    let body_len = usize::try_from(i64::from(length) - 4)
        .map_err(|_| WireError::BadLength { tag: tag_text(tag), length: i64::from(length) })?;
    let limit = phase.max_body(tag);
    if body_len > limit {
        return Err(WireError::TooLong { tag: tag_text(tag), length: body_len, limit });
    }
    Ok(Some(Header { tag, body_len }))
}

/// Takes the first message off `buffer`, or leaves it untouched while the message is not whole.
///
/// # Errors
/// As [`peek_header`].
pub fn take_frame(buffer: &mut BytesMut, phase: Phase) -> Result<Option<Frame>, WireError> {
    match peek_header(buffer, phase)? {
        Some(header) if buffer.len() >= header.frame_len() => {
            Ok(Some(Frame { raw: buffer.split_to(header.frame_len()).freeze() }))
        }
        _ => Ok(None),
    }
}

/// Takes a run of whole messages of type `tag` off the start of `buffer`: their bytes as they
/// travelled, and how many they are. Empty if the first message is of another type or not whole.
///
/// # Errors
/// As [`peek_header`]; only when no whole message stands before the fault.
pub fn take_run(buffer: &mut BytesMut, tag: u8, phase: Phase) -> Result<(Bytes, usize), WireError> {
    let mut end = 0;
    let mut count = 0;
    loop {
        let rest = buffer.get(end..).unwrap_or_default();
        match peek_header(rest, phase) {
            Ok(Some(header)) if header.tag == tag && rest.len() >= header.frame_len() => {
                end += header.frame_len();
                count += 1;
            }
            Err(fault) if count == 0 => return Err(fault),
            Ok(_) | Err(_) => break,
        }
    }
    Ok((buffer.split_to(end).freeze(), count))
}

/// Takes the body of an untyped first packet (startup, TLS request, cancel) off `buffer`, or
/// leaves it untouched while it is not whole.
///
/// # Errors
/// If the length is impossible or above [`MAX_STARTUP`].
pub fn take_startup_body(buffer: &mut BytesMut) -> Result<Option<Bytes>, WireError> {
    let Some((length, _)) = buffer.split_first_chunk::<4>() else {
        return Ok(None);
    };
    let length = i32::from_be_bytes(*length);
    let tag = || "startup".to_owned();
    let size = usize::try_from(length).ok().filter(|size| *size >= 8);
    let size =
        size.ok_or_else(|| WireError::BadLength { tag: tag(), length: i64::from(length) })?;
    if size > MAX_STARTUP {
        return Err(WireError::TooLong { tag: tag(), length: size, limit: MAX_STARTUP });
    }
    if buffer.len() < size {
        return Ok(None);
    }
    let mut packet = buffer.split_to(size);
    packet.advance(4);
    Ok(Some(packet.freeze()))
}
