//! Forwarding: read, look at the headers, write. Nothing waits here but for the sockets.
//!
//! Each direction has one buffer. Its front, `released`, has been looked at and may be written;
//! the rest waits for more bytes, for the hold, or for replies. A message is never collected,
//! unless the tracker needs its content, so memory is bounded and each side feels the other's
//! pace.

use std::pin::{Pin, pin};
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use bytes::{Buf, BytesMut};
use changeover_pgwire::backend::TransactionStatus;
use changeover_pgwire::frame::{HEADER_LEN, Header, Phase, peek_header};
use changeover_pgwire::{ServerError, reply};
use changeover_routing::HoldView;
use tokio::io::{AsyncReadExt, AsyncWrite};
use tokio::net::TcpStream;

use super::super::admit::fatal;
use super::super::tracker::{Backend, GLIMPSE, MAX_KEPT_PARSE, SessionTracker};
use super::translating::Passage;
use super::{End, Session};

/// A connection at rest reads this much at a time.
const SMALLEST_READ: usize = 4 * 1024;

/// A busy one reads up to this much, and holds no more than this unless one message whose content
/// matters is longer.
const LARGEST_READ: usize = 64 * 1024;

/// A message longer than this whose content matters is not looked into.
pub(super) const MAX_INSPECTED: usize = 1024 * 1024;

/// A message in which type numbers must be translated may be this long.
pub(super) const MAX_TRANSLATED: usize = 64 * 1024 * 1024;

/// One direction.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) rx: BytesMut,
    /// So many bytes at the front may be written.
    pub(super) released: usize,
    /// So many bytes of the present message are still to come after the released ones.
    remaining: usize,
    /// So much must be in the buffer before the next message can be looked into.
    pub(super) need: usize,
    read_size: usize,
    pub(super) closed: bool,
}

impl Lane {
    pub(super) fn new(rx: BytesMut) -> Self {
        Lane { rx, released: 0, remaining: 0, need: 0, read_size: SMALLEST_READ, closed: false }
    }

    /// Whether what was forwarded so far ends with a whole message.
    pub(super) fn is_whole(&self) -> bool {
        self.released == 0 && self.remaining == 0
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, from: &mut TcpStream) -> Poll<bool> {
        if self.closed || self.rx.len() >= LARGEST_READ.max(self.need) {
            return Poll::Pending;
        }
        self.rx.reserve(self.read_size);
        let room = self.rx.capacity() - self.rx.len();
        match pin!(from.read_buf(&mut self.rx)).poll(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(n)) if n > 0 => {
                if n >= room {
                    self.read_size = (self.read_size * 2).min(LARGEST_READ);
                } else if n < self.read_size / 8 {
                    self.read_size = (self.read_size / 2).max(SMALLEST_READ);
                }
                Poll::Ready(true)
            }
            // Closed in good order or broken off: there is nothing more to come.
            Poll::Ready(_) => {
                self.closed = true;
                Poll::Ready(true)
            }
        }
    }

    /// True if bytes were written; `Err` if the other end takes no more.
    fn poll_write(&mut self, cx: &mut Context<'_>, to: &mut TcpStream) -> Result<bool, ()> {
        let mut wrote = false;
        while self.released > 0 {
            match Pin::new(&mut *to).poll_write(cx, &self.rx[..self.released]) {
                Poll::Pending => break,
                Poll::Ready(Ok(n)) if n > 0 => {
                    self.rx.advance(n);
                    self.released -= n;
                    self.need = self.need.saturating_sub(n);
                    wrote = true;
                }
                Poll::Ready(_) => return Err(()),
            }
        }
        if self.rx.is_empty() && self.rx.capacity() > 4 * self.read_size {
            // After a burst or a long message, a connection at rest keeps little.
            self.rx = BytesMut::new();
        }
        Ok(wrote)
    }

    /// Releases what there is of the present message; true if it is not all there.
    fn release_rest(&mut self) -> bool {
        let there = (self.rx.len() - self.released).min(self.remaining);
        self.released += there;
        self.remaining -= there;
        self.remaining > 0
    }

    fn header(&self, phase: Phase) -> Result<Option<Header>, End> {
        Ok(peek_header(&self.rx[self.released..], phase)?)
    }

    /// Whether the message that comes next is all there; asks for the rest if not.
    pub(super) fn has_whole(&mut self, header: Header) -> bool {
        self.need = self.released + header.frame_len();
        self.rx.len() >= self.need
    }

    pub(super) fn body(&mut self, header: Header) -> &mut [u8] {
        let start = self.released + HEADER_LEN;
        &mut self.rx[start..start + header.body_len]
    }

    pub(super) fn release(&mut self, header: Header) {
        self.need = 0;
        self.remaining = header.frame_len();
    }
}

/// Parked messages that are dropped because their cancel was asked for.
#[derive(Debug)]
pub(super) struct Dropping {
    /// So many bytes of the present message are to be dropped.
    remaining: usize,
    /// After the present message, the client is told that we are ready.
    last: bool,
}

impl Session {
    pub(super) fn poll_up(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        let mut progress = self.up.poll_read(cx, &mut self.stream).is_ready();
        self.scan_up()?;
        if self.up.released > 0 {
            self.mark_busy();
            let wrote = self.up.poll_write(cx, &mut self.server.wire.stream);
            // A server that is gone may have said why: that is read first.
            progress |= wrote.unwrap_or_default();
            if wrote.is_err() && self.down.closed {
                return Err(self.server_gone());
            }
        }
        Ok(progress)
    }

    pub(super) fn poll_down(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        let mut progress = self.poll_inject(cx)?;
        progress |= self.down.poll_read(cx, &mut self.server.wire.stream).is_ready();
        self.scan_down()?;
        if self.down.released > 0 {
            self.mark_busy();
            progress |= self.down.poll_write(cx, &mut self.stream).map_err(|()| End::Client)?;
        }
        if self.down.closed && self.down.released == 0 {
            return Err(self.server_gone());
        }
        Ok(progress)
    }

    fn poll_inject(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        let mut wrote = false;
        while !self.inject.is_empty() && self.down.is_whole() {
            match Pin::new(&mut self.stream).poll_write(cx, &self.inject) {
                Poll::Pending => break,
                Poll::Ready(Ok(n)) if n > 0 => {
                    self.inject.advance(n);
                    wrote = true;
                }
                Poll::Ready(_) => return Err(End::Client),
            }
        }
        Ok(wrote)
    }

    fn server_gone(&self) -> End {
        if self.last_was_error {
            return End::Server;
        }
        let side = self.server.side;
        End::Tell(fatal("08006", format!("the {side} server closed the connection unexpectedly")))
    }

    fn mark_busy(&mut self) {
        let busy = self.tracker.owes_reply();
        if busy != self.busy {
            self.busy = busy;
            self.client.peer.busy.store(busy, Ordering::Release);
        }
    }

    fn scan_up(&mut self) -> Result<(), End> {
        while !self.said_bye {
            if self.dropping.is_some() && !self.drop_parked()? {
                return Ok(());
            }
            if self.up.release_rest() {
                return Ok(());
            }
            let Some(header) = self.up.header(Phase::ClientReady)? else { return Ok(()) };
            if header.tag == b'X' {
                self.said_bye = true;
                return Ok(());
            }
            if !self.may_begin(header.tag) {
                let parked = self.park.is_some() && self.up.released == 0;
                if parked && self.client.peer.cancelled.swap(false, Ordering::AcqRel) {
                    self.cancel_parked();
                    continue;
                }
                return Ok(());
            }
            if !self.take_up(header)? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Lets a frontend message pass; false if more of it must be there first.
    fn take_up(&mut self, header: Header) -> Result<bool, End> {
        let says_names = header.tag == b'B' && self.tracker.sets_by_value();
        if says_names && header.body_len <= MAX_KEPT_PARSE {
            if !self.up.has_whole(header) {
                return Ok(false);
            }
            self.tracker.notice_values(self.up.body(header));
        }
        match self.server.numbers.clone() {
            None => self.take_plainly(header),
            Some(numbers) => self.translate_up(header, &numbers),
        }
    }

    /// The same, for a message without type numbers.
    pub(super) fn take_plainly(&mut self, header: Header) -> Result<bool, End> {
        let wanted = SessionTracker::wants_frontend_body(header.tag);
        if wanted && header.body_len <= MAX_KEPT_PARSE {
            if !self.up.has_whole(header) {
                return Ok(false);
            }
            let body = &*self.up.body(header);
            self.tracker.frontend(header.tag, Some(body), &[]);
        } else {
            let glimpsed = Header { body_len: header.body_len.min(GLIMPSE), ..header };
            if header.tag == b'Q' && !self.up.has_whole(glimpsed) {
                return Ok(false);
            }
            let there = &self.up.rx[self.up.released + HEADER_LEN..];
            let glimpse = &there[..there.len().min(header.body_len)];
            self.tracker.frontend(header.tag, None, glimpse);
        }
        self.up.release(header);
        Ok(true)
    }

    /// Whether a message of this type may pass now. At a boundary this is where work is parked.
    fn may_begin(&mut self, tag: u8) -> bool {
        if !SessionTracker::begins_work(tag) {
            return true;
        }
        if !self.tracker.at_boundary() {
            // While a hold is on, replies are awaited first: they show whether this is a boundary.
            let quiesce = self.must_stop() && self.tracker.awaits_reply();
            return !quiesce && !self.tracker.is_full();
        }
        self.refresh();
        let fresh = !self.unread && !self.must_stop();
        if fresh {
            // Listed first, then looked again: a hold that is acknowledged without us in the list is
            // one that we see.
            self.unread = true;
            self.gate.config.registry.spoke(&self.gate.shared, self.gate.config.listen);
            self.refresh();
        }
        if !self.must_stop() {
            if self.park.take().is_some() {
                self.client.peer.parked.store(false, Ordering::Release);
                self.client.peer.cancelled.store(false, Ordering::Release);
            }
            self.read_by = None;
            return true;
        }
        if fresh {
            self.unread = false;
            self.gate.config.registry.was_read();
        }
        if self.park.is_none() {
            self.park = Some(self.gate.shared.park());
            self.client.peer.parked.store(true, Ordering::Release);
        }
        false
    }

    /// Whether new work waits: for the hold, or because the session is to be moved first. A
    /// session that is pinned goes on until a seal is under way, as an open transaction does: it
    /// could never come unpinned otherwise.
    fn must_stop(&self) -> bool {
        match self.view {
            HoldView::Open => self.authority != Some(self.server.side),
            HoldView::Held { sealing: None, .. } => {
                !self.pinned || self.authority != Some(self.server.side)
            }
            HoldView::Held { .. } | HoldView::Unsure => true,
        }
    }

    /// Answers a cancel request for work that is parked: the server never sees that work.
    fn cancel_parked(&mut self) {
        let why = "canceling statement due to user request";
        reply::error_response(&mut self.inject, &ServerError::new("ERROR", "57014", why));
        self.dropping = Some(Dropping { remaining: 0, last: false });
    }

    /// Drops a simple query, or extended messages up to their Sync. False if more must come.
    fn drop_parked(&mut self) -> Result<bool, End> {
        while let Some(dropping) = &mut self.dropping {
            let there = self.up.rx.len().min(dropping.remaining);
            self.up.rx.advance(there);
            dropping.remaining -= there;
            if dropping.remaining > 0 {
                return Ok(false);
            }
            if dropping.last {
                self.dropping = None;
                self.park = None;
                self.client.peer.parked.store(false, Ordering::Release);
                reply::ready_for_query(&mut self.inject, TransactionStatus::Idle);
                break;
            }
            let Some(header) = self.up.header(Phase::ClientReady)? else { return Ok(false) };
            if let Some(dropping) = &mut self.dropping {
                dropping.remaining = header.frame_len();
                dropping.last = matches!(header.tag, b'Q' | b'F' | b'S' | b'X');
            }
        }
        Ok(true)
    }

    fn scan_down(&mut self) -> Result<(), End> {
        loop {
            if self.down.release_rest() {
                return Ok(());
            }
            // Our own messages go between two of the server's.
            if !self.inject.is_empty() && self.down.released == 0 {
                return Ok(());
            }
            let Some(mut header) = self.down.header(Phase::ServerReady)? else { return Ok(()) };
            let wanted = SessionTracker::wants_backend_body(header.tag);
            let inspected = wanted && header.body_len <= MAX_INSPECTED;
            if inspected && !self.down.has_whole(header) {
                return Ok(());
            }
            let mut dropped = false;
            if let Some(numbers) = self.server.numbers.clone() {
                match self.translate_down(header, &numbers)? {
                    Passage::Wait => return Ok(()),
                    Passage::Pass(new) => header = new,
                    Passage::Drop(new) => (header, dropped) = (new, true),
                }
            }
            self.last_was_error = header.tag == b'E';
            let body = inspected.then(|| &*self.down.body(header));
            let counters = self.gate.counters.postgres(self.server.side);
            match self.tracker.backend(header.tag, body) {
                Ok(Backend::Ready) => {
                    counters.answered.fetch_add(1, Ordering::Relaxed);
                }
                Ok(Backend::Error) => {
                    counters.errors.fetch_add(1, Ordering::Relaxed);
                }
                Ok(Backend::Other) => {}
                Err(violation) => return Err(End::Tell(fatal("08P01", violation.to_string()))),
            }
            if dropped {
                self.down.drop_next(header);
            } else {
                self.down.release(header);
            }
        }
    }
}
