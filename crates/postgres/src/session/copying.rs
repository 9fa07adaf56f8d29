//! COPY, frame by frame: rows pass through undecoded.

use bytes::{Bytes, BytesMut};
use changeover_pgwire::backend::BackendMessage;
use changeover_pgwire::{frame, frontend};

use super::{Session, Tag, excerpt};
use crate::error::{Error, Result};

/// Rows on their way out of a server.
///
/// Dropped before its end, it leaves the session unusable: the rest of the rows is still to come.
#[derive(Debug)]
pub struct CopyOut<'a> {
    session: &'a mut Session,
    doing: String,
    frames: u64,
    bytes: u64,
    rows: u64,
    failure: Option<Error>,
    done: bool,
}

/// Rows on their way into a server.
///
/// Dropped without [`CopyIn::finish`] or [`CopyIn::fail`], it leaves the session unusable, and
/// the server gives the copy up when the session is dropped.
#[derive(Debug)]
pub struct CopyIn<'a> {
    session: &'a mut Session,
    doing: String,
    open: bool,
}

impl Session {
    /// Runs a `COPY … TO STDOUT`.
    ///
    /// # Errors
    /// If the server refuses; the session stays usable.
    pub async fn copy_out(&mut self, sql: &str) -> Result<CopyOut<'_>> {
        let doing = format!("copying out with `{}`", excerpt(sql));
        self.start_copy(sql, &doing, |message| {
            matches!(message, BackendMessage::CopyOutResponse(_))
        })
        .await?;
        self.wire.set_streaming(true);
        Ok(CopyOut {
            session: self,
            doing,
            frames: 0,
            bytes: 0,
            rows: 0,
            failure: None,
            done: false,
        })
    }

    /// Runs a `COPY … FROM STDIN`.
    ///
    /// # Errors
    /// If the server refuses; the session stays usable.
    pub async fn copy_in(&mut self, sql: &str) -> Result<CopyIn<'_>> {
        let doing = format!("copying in with `{}`", excerpt(sql));
        self.start_copy(sql, &doing, |message| {
            matches!(message, BackendMessage::CopyInResponse(_))
        })
        .await?;
        Ok(CopyIn { session: self, doing, open: true })
    }

    /// Sends the statement and waits for the answer that `begins` the copy.
    async fn start_copy(
        &mut self,
        sql: &str,
        doing: &str,
        begins: fn(&BackendMessage) -> bool,
    ) -> Result<()> {
        self.send_query(sql)?;
        let mut failure = None;
        loop {
            match self.message(doing).await? {
                message if begins(&message) => return Ok(()),
                BackendMessage::ErrorResponse(error) if failure.is_none() => {
                    failure = Some(Error::server(self.side(), doing, error));
                }
                BackendMessage::ReadyForQuery(status) => {
                    self.end(status);
                    return Err(failure.unwrap_or_else(|| {
                        Error::local(self.side(), format!("{doing}: this is no such COPY"))
                    }));
                }
                // Another statement's answer: wait for the end and say so.
                BackendMessage::CommandComplete(_)
                | BackendMessage::EmptyQueryResponse
                | BackendMessage::RowDescription(_)
                | BackendMessage::DataRow(_)
                | BackendMessage::ErrorResponse(_) => {}
                other => return Err(self.out_of_place(&other, doing)),
            }
        }
    }
}

impl CopyOut<'_> {
    /// The next run of whole `CopyData` messages, headers included, as they came: valid for
    /// another server's [`CopyIn::send_frames`] as they are. `None` when the copy is complete;
    /// then the session is ready again. May be dropped and called again.
    ///
    /// # Errors
    /// If the server gives up or the connection breaks.
    pub async fn next_frames(&mut self) -> Result<Option<Bytes>> {
        while !self.done {
            let wire = &mut self.session.wire;
            match frame::take_run(&mut wire.inbox, b'd', wire.phase) {
                Ok((_, 0)) => {}
                Ok((run, count)) => {
                    self.frames += count as u64;
                    self.bytes += run.len() as u64;
                    return Ok(Some(run));
                }
                Err(fault) => return Err(self.session.broken_bytes(&fault, &self.doing)),
            }
            match frame::peek_header(&wire.inbox, wire.phase) {
                // A copy message that is not whole yet: read on, do not decode it.
                Ok(Some(header)) if header.tag == b'd' => {
                    if let Err(error) = wire.read_more().await {
                        return Err(self.session.broken_io(error, &self.doing));
                    }
                }
                _ => self.other_message().await?,
            }
        }
        match self.failure.take() {
            Some(error) => Err(error),
            None => Ok(None),
        }
    }

    async fn other_message(&mut self) -> Result<()> {
        let frame = match self.session.wire.buffered_frame() {
            Ok(Some(frame)) => frame,
            Ok(None) => {
                // Not even one message is here; what comes next may well be rows.
                return match self.session.wire.read_more().await {
                    Ok(()) => Ok(()),
                    Err(error) => Err(self.session.broken_io(error, &self.doing)),
                };
            }
            Err(fault) => return Err(self.session.broken_bytes(&fault, &self.doing)),
        };
        let Some(message) = self.session.digest(&frame, &self.doing)? else { return Ok(()) };
        match message {
            BackendMessage::CopyDone => {}
            BackendMessage::CommandComplete(tag) => self.rows = Tag::read(&tag).rows(),
            BackendMessage::ErrorResponse(error) => {
                let error = Error::server(self.session.side(), self.doing.as_str(), error);
                self.failure.get_or_insert(error);
            }
            BackendMessage::ReadyForQuery(status) => {
                self.done = true;
                self.session.wire.set_streaming(false);
                self.session.end(status);
            }
            other => return Err(self.session.out_of_place(&other, &self.doing)),
        }
        Ok(())
    }

    /// How many `CopyData` messages came so far. In text format, one is one row.
    #[must_use]
    pub fn frames(&self) -> u64 {
        self.frames
    }

    /// How many bytes came so far, headers included.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many rows the server says it copied; 0 before the end.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows
    }
}

impl CopyIn<'_> {
    /// Sends whole `CopyData` messages, headers included. Returns when the network took them.
    ///
    /// # Errors
    /// As soon as the server is seen to have refused a row: the copy is over and the session
    /// ready again (or closed, if the server closed it).
    pub async fn send_frames(&mut self, frames: Bytes) -> Result<()> {
        self.check_open()?;
        self.session.wire.queue(frames);
        self.drain().await
    }

    /// Sends `data` as one `CopyData` message.
    ///
    /// # Errors
    /// As [`CopyIn::send_frames`].
    pub async fn send_data(&mut self, data: &[u8]) -> Result<()> {
        self.check_open()?;
        let mut out = BytesMut::new();
        frontend::copy_data(&mut out, data);
        self.session.wire.queue(out.freeze());
        self.drain().await
    }

    /// Ends the copy; gives the number of rows the server took.
    ///
    /// # Errors
    /// If the server refuses a row after all; the session stays usable.
    pub async fn finish(mut self) -> Result<u64> {
        self.check_open()?;
        let mut out = BytesMut::new();
        frontend::copy_done(&mut out);
        self.session.wire.queue(out.freeze());
        self.end(None).await
    }

    /// Gives the copy up: nothing of it stays. The session is ready again, inside a failed
    /// transaction if one was open.
    ///
    /// # Errors
    /// If the connection breaks.
    pub async fn fail(mut self, why: &str) -> Result<()> {
        if !self.open {
            return Ok(());
        }
        let mut out = BytesMut::new();
        frontend::copy_fail(&mut out, why);
        self.session.wire.queue(out.freeze());
        match self.end(None).await {
            Ok(_) => Err(Error::protocol(
                self.session.side(),
                format!("{}: the server completed a copy that was given up", self.doing),
            )),
            // An error that the server had found before is no reason to fail giving up.
            Err(error) if error.server_error().is_some_and(|error| !error.is_fatal()) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn check_open(&self) -> Result<()> {
        if self.open {
            return Ok(());
        }
        Err(Error::local(
            self.session.side(),
            format!("{}: the copy has already ended with an error", self.doing),
        ))
    }

    /// Writes what is queued and watches what the server says meanwhile.
    async fn drain(&mut self) -> Result<()> {
        loop {
            if let Err(error) = self.session.wire.write_out().await {
                return Err(self.session.broken_io(error, &self.doing));
            }
            loop {
                let frame = match self.session.wire.buffered_frame() {
                    Ok(Some(frame)) => frame,
                    Ok(None) => break,
                    Err(fault) => return Err(self.session.broken_bytes(&fault, &self.doing)),
                };
                match self.session.digest(&frame, &self.doing)? {
                    None => {}
                    Some(BackendMessage::ErrorResponse(error)) => {
                        let error = Error::server(self.session.side(), self.doing.as_str(), error);
                        return match self.end(Some(error)).await {
                            Ok(_) => Ok(()),
                            Err(error) => Err(error),
                        };
                    }
                    Some(other) => return Err(self.session.out_of_place(&other, &self.doing)),
                }
            }
            if self.session.wire.is_written() {
                return Ok(());
            }
        }
    }

    /// Reads to the end of the statement. What is still queued goes out meanwhile: the server
    /// skips it, but half a message must never be left behind.
    async fn end(&mut self, mut failure: Option<Error>) -> Result<u64> {
        let mut rows = 0;
        loop {
            match self.session.message(&self.doing).await? {
                BackendMessage::CommandComplete(tag) => rows = Tag::read(&tag).rows(),
                BackendMessage::ErrorResponse(error) => {
                    let error = Error::server(self.session.side(), self.doing.as_str(), error);
                    failure.get_or_insert(error);
                }
                BackendMessage::ReadyForQuery(status) => {
                    self.open = false;
                    self.session.end(status);
                    return failure.map_or(Ok(rows), Err);
                }
                other => return Err(self.session.out_of_place(&other, &self.doing)),
            }
        }
    }
}
