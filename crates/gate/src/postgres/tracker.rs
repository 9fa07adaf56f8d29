//! What the gate knows of a session from the headers of the messages that pass.
//!
//! No SQL is parsed and no message is kept, but for the few whose content is part of the session:
//! Parse (a prepared statement is replayed on the new server), Close and ParameterStatus. Where type
//! numbers are translated (`session/translating.rs`) more is looked at, and kept in the queue of
//! expectations beside the message that it is about. The caller hands over each message header in
//! the order of the wire, one direction at a time; see [`SessionTracker::frontend`] and
//! [`SessionTracker::backend`].
//!
//! **The safe boundary.** A session may be parked or moved iff: the last ReadyForQuery said idle;
//! no reply is owed; no extended message was sent since the last Sync; no message is half
//! forwarded in either direction; no COPY runs; and it is not a replication session (the gate
//! refuses those at start-up). "No reply is owed" is a queue of expectations, one per message,
//! since errors skip some replies: after an error in an extended message the server discards
//! everything up to the next Sync, while after one in a simple query only that query ends.
//!
//! COPY FROM has two traps. A Sync sent before the copy's data (libpq does) is swallowed by the
//! server without a ReadyForQuery. And when the server fails a copy it answers ReadyForQuery while
//! the client still sends CopyData: the server ignores such messages outside a copy, and so would
//! the next one, hence they bar nothing, but they are not the beginning of new work either
//! ([`SessionTracker::begins_work`]).

mod expect;
mod settings;
mod statements;

use std::collections::{BTreeMap, BTreeSet};

pub(crate) use expect::Copy;
use expect::Expectations;
pub(crate) use expect::{Bound, Expect, Step};
pub(crate) use statements::{Described, Statement, Statements};

use super::types::Bind;

/// More than so many unanswered messages are not forwarded: the client must read first.
const MAX_EXPECTATIONS: usize = 16 * 1024;

/// A Parse longer than this is not kept, so its session cannot be moved.
pub(crate) const MAX_KEPT_PARSE: usize = 256 * 1024;

/// So much of a simple query is looked at, for a `SET` of a custom setting.
pub(crate) const GLIMPSE: usize = 4096;

/// More reported settings than any server has.
const MAX_PARAMETERS: usize = 256;

/// More custom settings than this are not remembered; the session then cannot be moved.
const MAX_SETTINGS: usize = 256;

/// The transaction status of a ReadyForQuery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// Not in a transaction.
    Idle,
    /// In a transaction.
    Open,
    /// In a failed transaction.
    Failed,
}

/// What follows from a backend message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Backend {
    /// Nothing to count.
    Other,
    /// A ReadyForQuery.
    Ready,
    /// An ErrorResponse.
    Error,
}

/// A message broke the protocol in a way that makes the session's state unknowable.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the server's message `{tag}` cannot be understood: {fault}", tag = char::from(*tag))]
pub(crate) struct Violation {
    /// The message's type.
    pub(crate) tag: u8,
    /// What is wrong.
    pub(crate) fault: &'static str,
}

/// A session, as far as headers tell. See the module.
#[derive(Debug)]
pub(crate) struct SessionTracker {
    status: Status,
    expect: Expectations,
    statements: Statements,
    /// Last value of each setting the server reported and the client was told.
    parameters: BTreeMap<String, String>,
    /// Custom settings that the session's statements name.
    noticed: BTreeSet<String>,
    /// More of them than are remembered.
    too_many_settings: bool,
    /// A statement sets one whose name comes as a value.
    sets_by_value: bool,
}

impl SessionTracker {
    /// A session that just received its first ReadyForQuery, with what the server reported.
    pub(crate) fn new(parameters: BTreeMap<String, String>) -> Self {
        SessionTracker {
            status: Status::Idle,
            expect: Expectations::default(),
            statements: Statements::default(),
            parameters,
            noticed: BTreeSet::new(),
            too_many_settings: false,
            sets_by_value: false,
        }
    }

    /// Whether nothing is under way, as far as whole messages tell; the caller adds "and no
    /// message is half forwarded".
    pub(crate) fn at_boundary(&self) -> bool {
        self.status == Status::Idle && self.expect.is_quiet()
    }

    /// Whether all that was sent ends in a reply that needs nothing more from the client. While a
    /// hold is on, nothing is forwarded then, until that reply shows how the session stands.
    pub(crate) fn awaits_reply(&self) -> bool {
        self.expect.awaits_reply()
    }

    /// Whether some reply is owed to the client, so that a cancel request makes sense.
    pub(crate) fn owes_reply(&self) -> bool {
        self.expect.owes_ready()
    }

    /// Whether the client must read replies before more is forwarded.
    pub(crate) fn is_full(&self) -> bool {
        self.expect.len() >= MAX_EXPECTATIONS
    }

    /// Whether a frontend message of this type is work that a hold parks. Terminate is not, nor
    /// are the remains of a copy that the server has ended.
    pub(crate) fn begins_work(tag: u8) -> bool {
        !matches!(tag, b'X' | b'd' | b'c' | b'f')
    }

    /// Whether [`Self::frontend`] wants the body.
    pub(crate) fn wants_frontend_body(tag: u8) -> bool {
        matches!(tag, b'P' | b'C')
    }

    /// Whether [`Self::backend`] wants the body.
    pub(crate) fn wants_backend_body(tag: u8) -> bool {
        matches!(tag, b'Z' | b'C' | b'S')
    }

    /// A frontend message is being forwarded. `body` is there if it was wanted and is not too
    /// long to keep; `glimpse` is the beginning of the body in any case.
    pub(crate) fn frontend(&mut self, tag: u8, body: Option<&[u8]>, glimpse: &[u8]) {
        match tag {
            b'Q' => {
                self.frontend_query(glimpse, false);
            }
            b'F' => self.expect.push(Expect::Call),
            b'S' => self.expect.push(Expect::Sync),
            b'P' => {
                let unnamed = body.unwrap_or(glimpse).first() == Some(&0);
                self.frontend_parse(body.and_then(Statement::from_parse), unnamed);
            }
            b'C' => {
                let name = body.and_then(|b| b.strip_prefix(b"S")).and_then(until_nul);
                self.expect.push(Expect::Close(name.map(Box::from)));
            }
            b'B' | b'D' | b'E' => self.expect.push(Expect::Step(None)),
            b'c' | b'f' => self.expect.push(Expect::CopyEnd),
            _ => {}
        }
    }

    /// A simple query is being forwarded.
    pub(crate) fn frontend_query(&mut self, glimpse: &[u8], asks_for_types: bool) {
        self.notice(glimpse);
        self.expect.push(Expect::Query(asks_for_types));
    }

    /// A Parse is being forwarded; `None` if it is too long to keep.
    pub(crate) fn frontend_parse(&mut self, statement: Option<Statement>, unnamed: bool) {
        if let Some(statement) = &statement {
            self.notice(statement.query());
        }
        self.expect.push(match statement {
            None if unnamed => Expect::LongUnnamed,
            statement => Expect::Parse(statement.map(Box::new)),
        });
    }

    /// A Bind, Describe or Execute is being forwarded of which more is known.
    pub(crate) fn frontend_step(&mut self, step: Step) {
        self.expect.push(Expect::Step(Some(Box::new(step))));
    }

    /// What the server's next message answers.
    pub(crate) fn next(&self) -> Option<&Expect> {
        self.expect.next()
    }

    /// What was sent last and is not answered, newest first.
    pub(crate) fn latest(&self) -> impl Iterator<Item = &Expect> {
        self.expect.latest()
    }

    /// A backend message is being forwarded; `body` is there if it was wanted and not too long.
    pub(crate) fn backend(&mut self, tag: u8, body: Option<&[u8]>) -> Result<Backend, Violation> {
        match tag {
            b'Z' => {
                self.ready(body)?;
                return Ok(Backend::Ready);
            }
            b'E' => {
                self.expect.error();
                return Ok(Backend::Error);
            }
            b'G' => self.expect.copy_in(),
            b'W' => return Err(Violation { tag, fault: "replication was not asked for" }),
            b'1' => match self.expect.step() {
                Some(Expect::Parse(statement)) => self.statements.keep(statement.map(|s| *s)),
                Some(Expect::LongUnnamed) => self.statements.lose_unnamed(),
                _ => {}
            },
            b'3' => {
                if let Some(Expect::Close(Some(name))) = self.expect.step() {
                    self.statements.close(&name);
                }
            }
            b'C' => {
                if let Some(b"DISCARD ALL" | b"DEALLOCATE ALL") = body.and_then(until_nul) {
                    self.statements.clear();
                }
                self.expect.step();
            }
            b'2' | b'I' | b's' | b'n' | b'T' => {
                self.expect.step();
            }
            b'S' => self.report(body),
            _ => {}
        }
        Ok(Backend::Other)
    }

    /// How the session stands, for the list of open work.
    pub(crate) fn describe(&self) -> &'static str {
        if self.expect.copy() != Copy::None {
            "copy"
        } else if self.expect.is_quiet() && self.status != Status::Idle {
            "in transaction"
        } else {
            "running"
        }
    }

    /// The prepared statements the server holds.
    pub(crate) fn statements(&self) -> &Statements {
        &self.statements
    }

    /// The prepared statements the server holds.
    pub(crate) fn statements_mut(&mut self) -> &mut Statements {
        &mut self.statements
    }

    /// What the client was told of the server's settings.
    pub(crate) fn parameters(&self) -> &BTreeMap<String, String> {
        &self.parameters
    }

    /// A setting's value is being told to the client.
    pub(crate) fn tell(&mut self, name: &str, value: &str) {
        if self.parameters.len() < MAX_PARAMETERS || self.parameters.contains_key(name) {
            self.parameters.insert(name.to_owned(), value.to_owned());
        }
    }

    /// Custom settings seen; `None` if there were too many.
    pub(crate) fn noticed(&self) -> Option<&BTreeSet<String>> {
        (!self.too_many_settings).then_some(&self.noticed)
    }

    /// Whether a Bind may say which custom setting is set.
    pub(crate) fn sets_by_value(&self) -> bool {
        self.sets_by_value
    }

    /// A Bind is being forwarded: its values may be names of custom settings.
    pub(crate) fn notice_values(&mut self, bind: &[u8]) {
        // One that is malformed has none: the server will say so.
        let bind = Bind::of(bind);
        self.remember(bind.iter().flat_map(Bind::values).filter_map(settings::name));
    }

    fn ready(&mut self, body: Option<&[u8]>) -> Result<(), Violation> {
        self.status = match body {
            Some([b'I']) => Status::Idle,
            Some([b'T']) => Status::Open,
            Some([b'E']) => Status::Failed,
            _ => return Err(Violation { tag: b'Z', fault: "no transaction status in it" }),
        };
        if self.expect.ready() {
            self.statements.forget_unnamed();
        }
        Ok(())
    }

    fn report(&mut self, body: Option<&[u8]>) {
        let mut parts = body.unwrap_or_default().split(|b| *b == 0);
        if let (Some(name), Some(value)) = (parts.next(), parts.next())
            && let (Ok(name), Ok(value)) = (std::str::from_utf8(name), std::str::from_utf8(value))
        {
            self.tell(name, value);
        }
    }

    fn notice(&mut self, query: &[u8]) {
        self.remember(settings::named(query));
        self.sets_by_value |= settings::is_asked_by_value(query);
    }

    fn remember(&mut self, names: impl IntoIterator<Item = String>) {
        for name in names {
            self.too_many_settings |= self.noticed.len() >= MAX_SETTINGS;
            if self.noticed.len() < MAX_SETTINGS {
                self.noticed.insert(name);
            }
        }
    }
}

fn until_nul(body: &[u8]) -> Option<&[u8]> {
    body.iter().position(|b| *b == 0).map(|end| &body[..end])
}

#[cfg(test)]
mod tests;
