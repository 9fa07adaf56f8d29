//! Which replies are owed, in order.

use std::collections::VecDeque;

use super::Statement;

/// What the gate knows of an extended message, in a session whose type numbers are translated.
#[derive(Debug)]
pub(crate) enum Step {
    /// A Bind.
    Bind(Bound),
    /// A Describe of a statement.
    Statement(Box<[u8]>),
    /// A Describe of a portal; true if it is the gate's own, whose answer is not for the client.
    Portal(Box<[u8]>, bool),
    /// An Execute of a portal.
    Execute(Box<[u8]>),
}

/// A portal that is made.
#[derive(Clone, Debug)]
pub(crate) struct Bound {
    pub(crate) portal: Box<[u8]>,
    pub(crate) statement: Box<[u8]>,
    /// The formats of its results; `None` if the message was too long to look into.
    pub(crate) formats: Option<Box<[i16]>>,
}

/// A frontend message that has not been answered.
#[derive(Debug)]
pub(crate) enum Expect {
    /// A simple query: ends in ReadyForQuery, also when it fails. True if it asks the catalogue of
    /// types, as far as that was looked at.
    Query(bool),
    /// A function call: likewise.
    Call,
    /// Ends in ReadyForQuery.
    Sync,
    /// ParseComplete; the statement, if it could be kept.
    Parse(Option<Box<Statement>>),
    /// ParseComplete of an unnamed statement that is too long to keep.
    LongUnnamed,
    /// CloseComplete; the name, if it closes a prepared statement.
    Close(Option<Box<[u8]>>),
    /// Bind, Describe, Execute: one final reply.
    Step(Option<Box<Step>>),
    /// CopyDone or CopyFail: no reply, but it ends a copy that began before it in the queue.
    CopyEnd,
}

impl Expect {
    fn is_extended(&self) -> bool {
        matches!(self, Expect::Parse(_) | Expect::LongUnnamed | Expect::Close(_) | Expect::Step(_))
    }

    fn is_ready(&self) -> bool {
        matches!(self, Expect::Query(_) | Expect::Call | Expect::Sync)
    }
}

/// Whether rows are streaming from the client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Copy {
    /// No.
    #[default]
    None,
    /// In a simple query.
    Simple,
    /// In an Execute: a Sync must follow the end.
    Extended,
}

/// The queue. See the module of [`super::SessionTracker`].
#[derive(Debug, Default)]
pub(super) struct Expectations {
    queue: VecDeque<Expect>,
    copy: Copy,
    /// An extended message was sent after the last Sync.
    extended: bool,
    /// The server discards what it gets until the next Sync, which was not sent yet.
    skipping: bool,
}

impl Expectations {
    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    /// What the server's next message answers; ends of copies are not answered.
    pub(super) fn next(&self) -> Option<&Expect> {
        self.queue.iter().find(|expect| !matches!(expect, Expect::CopyEnd))
    }

    /// What was sent last, newest first.
    pub(super) fn latest(&self) -> impl Iterator<Item = &Expect> {
        self.queue.iter().rev()
    }

    pub(super) fn copy(&self) -> Copy {
        self.copy
    }

    /// Nothing owed, nothing begun.
    pub(super) fn is_quiet(&self) -> bool {
        self.queue.is_empty() && self.copy == Copy::None && !self.extended && !self.skipping
    }

    pub(super) fn owes_ready(&self) -> bool {
        !self.queue.is_empty() || self.copy != Copy::None
    }

    pub(super) fn awaits_reply(&self) -> bool {
        !self.queue.is_empty() && self.copy == Copy::None && !self.extended && !self.skipping
    }

    pub(super) fn push(&mut self, expect: Expect) {
        match self.copy {
            Copy::None => self.push_outside_copy(expect),
            _ => self.push_in_copy(expect),
        }
    }

    fn push_outside_copy(&mut self, expect: Expect) {
        match expect {
            Expect::Sync => {
                self.extended = false;
                self.skipping = false;
                self.queue.push_back(expect);
            }
            // Ignored by the server unless a copy begins before it.
            Expect::CopyEnd => {
                if !self.queue.is_empty() {
                    self.queue.push_back(expect);
                }
            }
            _ if self.skipping => {}
            Expect::Query(_) | Expect::Call => {
                // It ends the implicit transaction of extended messages before it.
                self.extended = false;
                self.queue.push_back(expect);
            }
            _ => {
                self.extended = true;
                self.queue.push_back(expect);
            }
        }
    }

    fn push_in_copy(&mut self, expect: Expect) {
        match expect {
            Expect::CopyEnd => self.copy = Copy::None,
            // The server ignores Sync (and Flush) here, for the sake of libpq.
            Expect::Sync => {}
            // Anything else makes the copy fail; the error will come, and then skipping is right
            // for an extended copy, while a simple one swallows just this message.
            _ => {}
        }
    }

    /// ReadyForQuery. True if it answers a simple query.
    pub(super) fn ready(&mut self) -> bool {
        // A Sync that raced with a failing copy may be answered though it was written off.
        if !self.queue.iter().any(Expect::is_ready) {
            self.skipping = false;
            return false;
        }
        while let Some(expect) = self.queue.pop_front() {
            match expect {
                Expect::Query(_) | Expect::Call | Expect::Sync => {
                    self.drop_stray_ends();
                    if self.copy == Copy::Simple {
                        self.copy = Copy::None;
                    }
                    return matches!(expect, Expect::Query(_));
                }
                _ => {}
            }
        }
        false
    }

    /// Ends of copies that never began are ignored by the server.
    fn drop_stray_ends(&mut self) {
        while matches!(self.queue.front(), Some(Expect::CopyEnd)) {
            self.queue.pop_front();
        }
    }

    /// The final reply of an extended message; that message, if one was owed.
    pub(super) fn step(&mut self) -> Option<Expect> {
        self.drop_stray_ends();
        if self.queue.front().is_some_and(Expect::is_extended) {
            let done = self.queue.pop_front();
            self.drop_stray_ends();
            return done;
        }
        None
    }

    pub(super) fn error(&mut self) {
        self.drop_stray_ends();
        let copy = std::mem::take(&mut self.copy);
        let extended = self.queue.front().is_some_and(Expect::is_extended);
        if !extended && copy != Copy::Extended {
            return;
        }
        // The server discards everything up to the next Sync.
        let sync = self.queue.iter().position(|e| matches!(e, Expect::Sync));
        match sync {
            Some(sync) => {
                self.queue.drain(..sync);
            }
            None => {
                self.queue.clear();
                self.extended = false;
                self.skipping = true;
            }
        }
    }

    /// CopyInResponse. What was sent behind the message that copies is part of the copy, up to its
    /// end: Syncs there are swallowed.
    pub(super) fn copy_in(&mut self) {
        self.drop_stray_ends();
        let kind = match self.queue.front() {
            Some(Expect::Query(_)) => Copy::Simple,
            _ => Copy::Extended,
        };
        let mut ended = false;
        let mut at = 1;
        while !ended && at < self.queue.len() {
            match self.queue[at] {
                Expect::Sync => {
                    self.queue.remove(at);
                }
                Expect::CopyEnd => {
                    self.queue.remove(at);
                    ended = true;
                }
                _ => at += 1,
            }
        }
        self.copy = if ended { Copy::None } else { kind };
        let end_follows = self.queue.iter().any(Expect::is_ready);
        if kind == Copy::Extended && !end_follows {
            self.extended = true;
        }
    }
}
