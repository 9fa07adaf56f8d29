//! What travels inside the copy data of a replication session.

use bytes::{BufMut, Bytes, BytesMut};
use changeover_types::Lsn;

use crate::fields::{Fields, WireError, tag_text};
use crate::frontend::message;

/// A message from the sending server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReplicationMessage {
    /// A piece of the stream.
    Data {
        /// Where it starts.
        start: Lsn,
        /// The end of the log as the sender knows it.
        wal_end: Lsn,
        /// When it was sent, in microseconds since 2000-01-01 UTC.
        sent_us: i64,
        /// The output plugin's message.
        payload: Bytes,
    },
    /// A sign of life. It proves nothing about what was applied.
    Keepalive {
        /// How far the sender has read its log.
        wal_end: Lsn,
        /// When it was sent, in microseconds since 2000-01-01 UTC.
        sent_us: i64,
        /// Whether the sender wants a status update at once.
        reply_requested: bool,
    },
}

impl ReplicationMessage {
    /// Decodes the body of a `CopyData` message.
    ///
    /// # Errors
    /// If it is neither of the two, or broken.
    pub fn decode(body: Bytes) -> Result<Self, WireError> {
        let mut fields = Fields::new("replication message", body);
        match fields.u8("type")? {
            b'w' => {
                let start = Lsn(fields.u64("start")?);
                let wal_end = Lsn(fields.u64("end")?);
                let sent_us = fields.i64("time")?;
                Ok(Self::Data { start, wal_end, sent_us, payload: fields.remainder() })
            }
            b'k' => {
                let wal_end = Lsn(fields.u64("end")?);
                let sent_us = fields.i64("time")?;
                let reply_requested = fields.u8("reply flag")? != 0;
                fields.end()?;
                Ok(Self::Keepalive { wal_end, sent_us, reply_requested })
            }
            other => Err(WireError::UnknownType { tag: tag_text(other) }),
        }
    }
}

/// Tells the sending server how far we are: written, flushed and applied are one and the same
/// position, that of what is durable on the other side. `now_us` counts microseconds since
/// 2000-01-01 UTC and is only shown in `pg_stat_replication`.
pub fn status_update(out: &mut BytesMut, durable: Lsn, now_us: i64, reply_requested: bool) {
    message(out, Some(b'd'), |body| {
        body.put_u8(b'r');
        for _ in 0..3 {
            body.put_u64(durable.0);
        }
        body.put_i64(now_us);
        body.put_u8(u8::from(reply_requested));
    });
}
