//! The change stream of one slot.
//!
//! Positions go back to the server only through [`ReplicationStream::acknowledge`], and only the
//! caller knows what is durable on the other side. A keepalive between two transactions says that
//! nothing lies before it that was not sent; it proves nothing about what was applied.

use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use changeover_pgwire::ServerError;
use changeover_pgwire::backend::BackendMessage;
use changeover_pgwire::pgoutput;
use changeover_pgwire::replication::{ReplicationMessage, status_update};
use changeover_types::{Lsn, StreamEvent, quote_ident, quote_literal};

use crate::config::ConnectConfig;
use crate::error::{Error, ErrorKind, Result};
use crate::session::Session;

/// How long a stale walsender of ours may take to go away.
const EVICTION: Duration = Duration::from_secs(15);

/// Seconds from the Unix epoch to 2000-01-01 UTC, where PostgreSQL's time begins.
const POSTGRES_EPOCH_S: u64 = 946_684_800;

/// What came through the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Incoming {
    /// A decoded message.
    Event {
        /// The end of the log as the sender knew it.
        wal_end: Lsn,
        /// The message.
        event: StreamEvent,
    },
    /// A sign of life, and how far everything was sent.
    Keepalive {
        /// How far the sender has read its log.
        wal_end: Lsn,
        /// The sender ends the session unless it hears [`ReplicationStream::acknowledge`] soon.
        reply_requested: bool,
    },
}

/// A running change stream.
#[derive(Debug)]
pub struct ReplicationStream {
    session: Session,
    doing: String,
}

/// How a slot is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SlotOptions {
    /// It goes away with the session that made it.
    pub temporary: bool,
    /// Its first snapshot is exported: good until the session does anything else.
    pub export_snapshot: bool,
}

/// A new slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreatedSlot {
    /// Transactions that commit behind this come through the slot; those before are in the
    /// snapshot.
    pub consistent_point: Lsn,
    /// The exported snapshot's name, if one was asked for.
    pub snapshot: Option<String>,
}

/// Makes a logical slot for pgoutput. `session` is a replication session. This waits for every
/// transaction that is running on the server.
///
/// # Errors
/// If the server refuses: the name is taken, no slot is free, or the role may not.
pub async fn create_slot(
    session: &mut Session,
    name: &str,
    options: SlotOptions,
) -> Result<CreatedSlot> {
    let side = session.side();
    let temporary = if options.temporary { " TEMPORARY" } else { "" };
    let snapshot = if options.export_snapshot { "EXPORT_SNAPSHOT" } else { "NOEXPORT_SNAPSHOT" };
    let row = session
        .query_one(&format!(
            "CREATE_REPLICATION_SLOT {}{temporary} LOGICAL pgoutput {snapshot}",
            quote_ident(name)
        ))
        .await
        .map_err(|error| error.with_context(format!("creating the replication slot `{name}`")))?;
    let consistent_point: Lsn = row.parse("consistent_point")?;
    let snapshot = row.get("snapshot_name").map(str::to_owned);
    if options.export_snapshot && snapshot.is_none() {
        return Err(Error::protocol(
            side,
            format!("creating the replication slot `{name}`: the server exported no snapshot"),
        ));
    }
    Ok(CreatedSlot { consistent_point, snapshot })
}

/// Drops a slot, whoever of ours still reads from it; not an error if there is none. `session`
/// is any session of the slot's server.
///
/// # Errors
/// If the server refuses, or a reader does not go away.
pub async fn drop_slot(session: &mut Session, name: &str) -> Result<()> {
    let slot = quote_literal(name);
    evict_reader(session, name).await?;
    session
        .execute(&format!(
            "SELECT pg_catalog.pg_drop_replication_slot(slot_name) \
             FROM pg_catalog.pg_replication_slots WHERE slot_name = {slot}"
        ))
        .await
        .map_err(|error| error.with_context(format!("dropping the replication slot `{name}`")))?;
    Ok(())
}

/// Terminates the walsender that still reads from a slot of ours: after a broken connection it
/// may linger for as long as TCP takes to notice.
///
/// # Errors
/// If the role may not, or the walsender does not go away in time.
pub async fn evict_reader(session: &mut Session, slot: &str) -> Result<()> {
    let side = session.side();
    let literal = quote_literal(slot);
    let deadline = tokio::time::Instant::now() + EVICTION;
    loop {
        let row = session
            .query_opt(&format!(
                "SELECT active_pid FROM pg_catalog.pg_replication_slots \
                 WHERE slot_name = {literal} AND active_pid <> pg_catalog.pg_backend_pid()"
            ))
            .await?;
        let Some(pid) = row.as_ref().and_then(|row| row.get(0)) else { return Ok(()) };
        let doing = format!("ending process {pid}, which still reads from the slot `{slot}`");
        if tokio::time::Instant::now() >= deadline {
            return Err(Error::timeout(side, format!("{doing}: it did not end; end it by hand")));
        }
        // Between the look and the shot the slot may have changed hands: test again.
        session
            .execute(&format!(
                "SELECT pg_catalog.pg_terminate_backend(active_pid) \
                 FROM pg_catalog.pg_replication_slots \
                 WHERE slot_name = {literal} AND active_pid = {pid}"
            ))
            .await
            .map_err(|error| error.with_context(doing))?;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

impl ReplicationStream {
    /// Opens a session of its own and starts the stream behind `from` (or behind what the slot
    /// has confirmed, whichever is later). A walsender that is still active on the slot is
    /// terminated first.
    ///
    /// # Errors
    /// If the server refuses: the slot is missing or invalidated, the publication is not there,
    /// or the role may not.
    pub async fn start(
        config: &ConnectConfig,
        slot: &str,
        publication: &str,
        from: Lsn,
    ) -> Result<Self> {
        let doing = format!("streaming from the slot `{slot}`");
        let mut session = Session::connect_replication(config, "changeover relay").await?;
        // Busy with what it does not send, a server answers once in half of this.
        session.execute("SET wal_sender_timeout = '60s'").await?;
        evict_reader(&mut session, slot).await?;
        let messages = if session.server_version() >= 14 { ", messages 'true'" } else { "" };
        // The replication grammar knows no escapes but the doubled quote.
        let publication = quote_ident(publication).replace('\'', "''");
        session.send_query(&format!(
            "START_REPLICATION SLOT {} LOGICAL {from} \
             (proto_version '1', publication_names '{publication}'{messages})",
            quote_ident(slot)
        ))?;
        loop {
            match session.message(&doing).await? {
                BackendMessage::CopyBothResponse(_) => break,
                BackendMessage::ErrorResponse(error) => {
                    return Err(Error::server(config.side, doing, error));
                }
                BackendMessage::CommandComplete(_) => {}
                other => return Err(session.out_of_place(&other, &doing)),
            }
        }
        session.wire.set_streaming(true);
        Ok(ReplicationStream { session, doing })
    }

    /// The server process that sends.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.session.pid()
    }

    /// The next message. May be dropped and called again at any time.
    ///
    /// # Errors
    /// If the stream ends, breaks, or holds what we do not understand.
    pub async fn next(&mut self) -> Result<Incoming> {
        match self.session.message(&self.doing).await? {
            BackendMessage::CopyData(body) => self.decode(body),
            other => Err(self.ended(other)),
        }
    }

    /// A message that is here already, without reading; `None` if none is whole yet.
    ///
    /// # Errors
    /// As [`ReplicationStream::next`].
    pub fn try_next_buffered(&mut self) -> Result<Option<Incoming>> {
        loop {
            let frame = match self.session.wire.buffered_frame() {
                Ok(Some(frame)) => frame,
                Ok(None) => return Ok(None),
                Err(fault) => return Err(self.session.broken_bytes(&fault, &self.doing)),
            };
            match self.session.digest(&frame, &self.doing)? {
                None => {}
                Some(BackendMessage::CopyData(body)) => return self.decode(body).map(Some),
                Some(other) => return Err(self.ended(other)),
            }
        }
    }

    /// Tells the server that everything up to `flushed` is durable on the other side. That is
    /// the one position ever sent: as written, flushed and applied. It never waits: what the network
    /// does not take at once goes out with the next call of any kind.
    ///
    /// # Errors
    /// If the connection breaks.
    pub async fn acknowledge(&mut self, flushed: Lsn) -> Result<()> {
        self.update(flushed, false).await
    }

    /// The same, and asks the server for a sign of life.
    ///
    /// # Errors
    /// If the connection breaks.
    pub async fn ask(&mut self, flushed: Lsn) -> Result<()> {
        self.update(flushed, true).await
    }

    async fn update(&mut self, flushed: Lsn, answer: bool) -> Result<()> {
        let mut out = BytesMut::new();
        status_update(&mut out, flushed, postgres_now_us(), answer);
        self.session.wire.queue(out.freeze());
        // Never read here: whoever acknowledges while it applies would pile up unread changes.
        match self.session.wire.write_now().await {
            Ok(()) => Ok(()),
            Err(error) => Err(self.session.broken_io(error, &self.doing)),
        }
    }

    fn decode(&mut self, body: Bytes) -> Result<Incoming> {
        let message = ReplicationMessage::decode(body);
        let incoming = message.and_then(|message| match message {
            ReplicationMessage::Data { wal_end, payload, .. } => {
                Ok(Incoming::Event { wal_end, event: pgoutput::decode(payload)? })
            }
            ReplicationMessage::Keepalive { wal_end, reply_requested, .. } => {
                Ok(Incoming::Keepalive { wal_end, reply_requested })
            }
        });
        incoming.map_err(|fault| self.session.broken_bytes(&fault, &self.doing))
    }

    fn ended(&mut self, message: BackendMessage) -> Error {
        let side = self.session.side();
        match message {
            BackendMessage::ErrorResponse(error) if is_too_large(&error) => {
                Error::server(side, format!("{}: {TOO_LARGE}", self.doing), error)
            }
            BackendMessage::ErrorResponse(error) => Error::server(side, self.doing.as_str(), error),
            BackendMessage::CopyDone | BackendMessage::CommandComplete(_) => Error::new(
                ErrorKind::Io,
                side,
                format!("{}: the server ended the stream (is it shutting down?)", self.doing),
            ),
            other => self.session.out_of_place(&other, &self.doing),
        }
    }
}

/// What a server cannot decode stays in its log: changing the row afterwards does not help.
const TOO_LARGE: &str = "a row was written whose text is over 1 GB (a bytea of more than 512 MB \
    is), which PostgreSQL cannot send as a change; what was written behind it waits for ever. Take \
    the migration back with `changeover abort`, keep such values out of the table (in parts, or in \
    files) or leave the table out (data.exclude), and start again";

/// Whether the server met its bound of 1 GB for one piece of memory or text. The first message is
/// never translated.
fn is_too_large(error: &ServerError) -> bool {
    error.message.starts_with("invalid memory alloc request size") || error.sqlstate == "54000"
}

fn postgres_now_us() -> i64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let since = now.saturating_sub(Duration::from_secs(POSTGRES_EPOCH_S));
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}
