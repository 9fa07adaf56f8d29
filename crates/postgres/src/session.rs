//! One connection to one database: simple and parameterised queries, pipelines, COPY, cancel.
//!
//! A session is used by one task at a time. Each operation marks it busy and clears the mark
//! when the server says it is ready again; a future that is dropped half-way therefore leaves the
//! mark, and the next use says so instead of reading another statement's answer. What the
//! connection itself holds half-read or half-written survives ([`wire`]).

mod cancel;
mod connect;
mod copying;
mod pipeline;
mod rows;
mod search_path;
mod wire;

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use changeover_pgwire::backend::{BackendMessage, TransactionStatus};
use changeover_pgwire::frontend::{self, Target};
use changeover_pgwire::{Frame, ServerError, WireError};
use changeover_types::Side;

pub use cancel::Canceller;
pub use copying::{CopyIn, CopyOut};
pub use pipeline::{MAX_PARAMETERS, Pipeline};
pub use rows::{ColumnIndex, Row, Rows, Tag};
pub use search_path::SearchPath;
use wire::{Wire, WireFault};

use crate::config::ConnectConfig;
use crate::error::{Error, ErrorKind, Result};

/// Whether the session can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Ready,
    /// An operation is under way, or was dropped half-way.
    Busy,
    /// The connection is of no use any more, and why.
    Broken(String),
}

/// One connection to one database.
#[derive(Debug)]
pub struct Session {
    pub(crate) wire: Wire,
    config: ConnectConfig,
    state: State,
    status: TransactionStatus,
    pid: u32,
    key: Bytes,
    parameters: BTreeMap<String, String>,
}

/// Everything that answers one request, up to `ReadyForQuery`.
#[derive(Default)]
struct Answer {
    tags: Vec<Tag>,
    rows: Option<Rows>,
    results: usize,
    not_utf8: bool,
}

impl Session {
    /// Opens a session. `application` is shown in `pg_stat_activity`.
    ///
    /// # Errors
    /// [`Connect`](ErrorKind::Connect) or [`Auth`](ErrorKind::Auth), with the server's words if
    /// it said any.
    pub async fn connect(config: &ConnectConfig, application: &str) -> Result<Self> {
        Self::open(config, application, false).await
    }

    /// Opens a session that also takes replication commands (`replication=database`). Of SQL it
    /// takes only the simple protocol.
    ///
    /// # Errors
    /// As [`Session::connect`].
    pub async fn connect_replication(config: &ConnectConfig, application: &str) -> Result<Self> {
        Self::open(config, application, true).await
    }

    async fn open(config: &ConnectConfig, application: &str, replication: bool) -> Result<Self> {
        let (wire, told) = connect::open(config, application, replication).await?;
        for notice in &told.notices {
            trace_notice(config.side, notice);
        }
        let mut session = Session {
            wire,
            config: config.clone(),
            state: State::Ready,
            status: TransactionStatus::Idle,
            pid: told.pid,
            key: told.key,
            parameters: told.parameters,
        };
        let encoding = session.parameter("server_encoding").unwrap_or_default();
        let sql = connect::after_login(session.server_version(), encoding);
        match tokio::time::timeout(config.connect_timeout, session.execute(&sql)).await {
            Ok(set) => set.map(|_| session),
            Err(_) => Err(Error::connect(
                config.side,
                format!("setting up a session at {}: no answer in time", config.redacted()),
            )),
        }
    }

    /// The side it belongs to.
    #[must_use]
    pub fn side(&self) -> Side {
        self.config.side
    }

    /// How it was opened.
    #[must_use]
    pub fn config(&self) -> &ConnectConfig {
        &self.config
    }

    /// The server process that serves it.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// A setting the server reports, such as `server_version`.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).map(String::as_str)
    }

    /// The server's major version (15, 16, …); 0 if it does not tell.
    #[must_use]
    pub fn server_version(&self) -> u32 {
        let text = self.parameter("server_version").unwrap_or_default();
        let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().unwrap_or_default()
    }

    /// Whether a transaction is open, as of the last answer.
    #[must_use]
    pub fn transaction_status(&self) -> TransactionStatus {
        self.status
    }

    /// Whether the next operation can be begun.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        self.state == State::Ready
    }

    /// What can cancel this session's statement while it is busy.
    #[must_use]
    pub fn canceller(&self) -> Canceller {
        Canceller { config: self.config.clone(), pid: self.pid, key: self.key.clone() }
    }

    /// Runs one or several statements (simple protocol) and gives one tag for each; rows are
    /// dropped. Several statements without `BEGIN` are one transaction.
    ///
    /// # Errors
    /// The first statement's error that occurs; the statements behind it have not run.
    pub async fn execute(&mut self, sql: &str) -> Result<Vec<Tag>> {
        let doing = format!("running `{}`", excerpt(sql));
        self.send_query(sql)?;
        Ok(self.answer(&doing, false).await?.tags)
    }

    /// Runs SQL (simple protocol) of which at most one statement gives rows, and gives these.
    ///
    /// # Errors
    /// If a statement fails, or if several give rows.
    pub async fn query(&mut self, sql: &str) -> Result<Rows> {
        let doing = format!("running `{}`", excerpt(sql));
        self.send_query(sql)?;
        let answer = self.answer(&doing, true).await?;
        self.rows(answer, &doing)
    }

    /// Runs one statement with text parameters; `None` is NULL.
    ///
    /// # Errors
    /// If the statement fails.
    pub async fn query_params(&mut self, sql: &str, parameters: &[Option<&str>]) -> Result<Rows> {
        let doing = format!("running `{}`", excerpt(sql));
        if sql.contains('\0') || parameters.len() > MAX_PARAMETERS {
            return Err(Error::local(
                self.side(),
                format!("{doing}: a zero byte in the statement, or more than 65535 parameters"),
            ));
        }
        self.begin()?;
        let values: Vec<Option<&[u8]>> =
            parameters.iter().map(|value| value.map(str::as_bytes)).collect();
        let mut out = BytesMut::new();
        frontend::parse(&mut out, "", sql, &[]);
        frontend::bind(&mut out, "", "", &values);
        frontend::describe(&mut out, Target::Portal, "");
        frontend::execute(&mut out, "", 0);
        frontend::sync(&mut out);
        self.wire.queue(out.freeze());
        let answer = self.answer(&doing, true).await?;
        self.rows(answer, &doing)
    }

    /// As [`Session::query`], for exactly one row.
    ///
    /// # Errors
    /// If the statement fails or gives another number of rows.
    pub async fn query_one(&mut self, sql: &str) -> Result<Row> {
        let row = self.query_opt(sql).await?;
        row.ok_or_else(|| {
            Error::protocol(self.side(), format!("running `{}`: no row", excerpt(sql)))
        })
    }

    /// As [`Session::query`], for at most one row.
    ///
    /// # Errors
    /// If the statement fails or gives several rows.
    pub async fn query_opt(&mut self, sql: &str) -> Result<Option<Row>> {
        let rows = self.query(sql).await?;
        if rows.len() > 1 {
            return Err(Error::protocol(
                self.side(),
                format!("running `{}`: {} rows instead of one", excerpt(sql), rows.len()),
            ));
        }
        Ok(rows.into_iter().next())
    }

    /// Waits, while nothing else is done, until the connection is lost; gives the reason. May be
    /// dropped and called again at any time.
    pub async fn lost(&mut self) -> Error {
        if let Err(error) = self.check_ready() {
            return error;
        }
        let doing = "watching an idle session";
        match self.message(doing).await {
            Ok(BackendMessage::ErrorResponse(error)) => Error::server(self.side(), doing, error),
            Ok(other) => self.out_of_place(&other, doing),
            Err(error) => error,
        }
    }

    /// Says good bye and waits until everything is sent.
    pub async fn close(mut self) {
        let mut out = BytesMut::new();
        frontend::terminate(&mut out);
        self.wire.queue(out.freeze());
        self.state = State::Broken("it was closed".to_owned());
        while !self.wire.is_written() && self.wire.write_out().await.is_ok() {}
    }

    fn check_ready(&self) -> Result<()> {
        match &self.state {
            State::Ready => Ok(()),
            State::Busy => Err(Error::local(
                self.side(),
                "this session's last operation was dropped before its end: open a new session",
            )),
            State::Broken(why) => Err(Error::new(
                ErrorKind::Io,
                self.side(),
                format!("this session cannot be used any more ({why}): open a new one"),
            )),
        }
    }

    /// Marks the session busy.
    pub(crate) fn begin(&mut self) -> Result<()> {
        self.check_ready()?;
        self.state = State::Busy;
        Ok(())
    }

    /// The server is ready again.
    pub(crate) fn end(&mut self, status: TransactionStatus) {
        self.status = status;
        if self.state == State::Busy {
            self.state = State::Ready;
        }
    }

    pub(crate) fn send_query(&mut self, sql: &str) -> Result<()> {
        if sql.contains('\0') {
            return Err(Error::local(
                self.side(),
                format!("running `{}`: a zero byte in the statement", excerpt(sql)),
            ));
        }
        self.begin()?;
        let mut out = BytesMut::new();
        frontend::query(&mut out, sql);
        self.wire.queue(out.freeze());
        Ok(())
    }

    /// Reads everything up to `ReadyForQuery`; a server's error is given only then, so that the
    /// session stays usable.
    async fn answer(&mut self, doing: &str, keep_rows: bool) -> Result<Answer> {
        let mut answer = Answer::default();
        let mut failure = None;
        loop {
            match self.message(doing).await? {
                BackendMessage::RowDescription(columns) => {
                    answer.results += 1;
                    answer.rows = Some(Rows::new(self.side(), &columns));
                }
                BackendMessage::DataRow(row) if keep_rows => {
                    let kept = answer.rows.as_mut().is_some_and(|rows| rows.push(&row));
                    answer.not_utf8 |= !kept;
                }
                BackendMessage::CommandComplete(tag) => answer.tags.push(Tag::read(&tag)),
                BackendMessage::EmptyQueryResponse => answer.tags.push(Tag::read(b"")),
                BackendMessage::ErrorResponse(error) if failure.is_none() => {
                    failure = Some(Error::server(self.side(), doing, error));
                }
                BackendMessage::ReadyForQuery(status) => {
                    self.end(status);
                    return failure.map_or(Ok(answer), Err);
                }
                BackendMessage::DataRow(_)
                | BackendMessage::ParseComplete
                | BackendMessage::BindComplete
                | BackendMessage::CloseComplete
                | BackendMessage::NoData
                | BackendMessage::ErrorResponse(_) => {}
                other => return Err(self.out_of_place(&other, doing)),
            }
        }
    }

    fn rows(&self, answer: Answer, doing: &str) -> Result<Rows> {
        if answer.not_utf8 {
            return Err(Error::protocol(
                self.side(),
                format!("{doing}: the result holds bytes that are not UTF-8 (SQL_ASCII database?)"),
            ));
        }
        if answer.results > 1 {
            return Err(Error::local(
                self.side(),
                format!("{doing}: several results instead of one"),
            ));
        }
        Ok(answer.rows.unwrap_or_else(|| Rows::new(self.side(), &[])))
    }

    /// The next message that answers something. Cancel-safe.
    pub(crate) async fn message(&mut self, doing: &str) -> Result<BackendMessage> {
        loop {
            let frame = match self.wire.frame().await {
                Ok(frame) => frame,
                Err(WireFault::Io(error)) => return Err(self.broken_io(error, doing)),
                Err(WireFault::Bytes(fault)) => return Err(self.broken_bytes(&fault, doing)),
            };
            if let Some(message) = self.digest(&frame, doing)? {
                return Ok(message);
            }
        }
    }

    /// Decodes a message; takes care of those that answer nothing. An error that ends the
    /// session is an `Err`.
    pub(crate) fn digest(&mut self, frame: &Frame, doing: &str) -> Result<Option<BackendMessage>> {
        match BackendMessage::decode(frame) {
            Err(fault) => Err(self.broken_bytes(&fault, doing)),
            Ok(BackendMessage::NoticeResponse(notice)) => {
                trace_notice(self.side(), &notice);
                Ok(None)
            }
            Ok(BackendMessage::ParameterStatus { name, value }) => {
                if self.parameters.len() < 1000 || self.parameters.contains_key(&name) {
                    self.parameters.insert(name, value);
                }
                Ok(None)
            }
            Ok(BackendMessage::Notification { .. }) => Ok(None),
            Ok(BackendMessage::ErrorResponse(error)) if error.is_fatal() => {
                self.state = State::Broken(error.to_string());
                Err(Error::server(self.side(), doing, error))
            }
            Ok(message) => Ok(Some(message)),
        }
    }

    /// The connection broke.
    pub(crate) fn broken_io(&mut self, error: std::io::Error, doing: &str) -> Error {
        self.state = State::Broken(format!("the connection broke: {error}"));
        Error::io(self.side(), format!("{doing}: the connection to the server broke"), error)
    }

    /// The server sent bytes that are no message.
    pub(crate) fn broken_bytes(&mut self, fault: &WireError, doing: &str) -> Error {
        self.state = State::Broken(fault.to_string());
        Error::protocol(self.side(), format!("{doing}: {fault}"))
    }

    /// The server sent a message that has no place here: the session is given up.
    pub(crate) fn out_of_place(&mut self, message: &BackendMessage, doing: &str) -> Error {
        // Only the message's name: its content may be rows.
        let text = format!("{message:?}");
        let name = text.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
        let why = format!("the server sent {name}, which has no place here");
        self.state = State::Broken(why.clone());
        Error::protocol(self.side(), format!("{doing}: {why}"))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if self.state == State::Ready && self.wire.is_written() {
            let mut out = BytesMut::new();
            frontend::terminate(&mut out);
            self.wire.try_goodbye(&out);
        }
    }
}

fn trace_notice(side: Side, notice: &ServerError) {
    tracing::debug!(%side, severity = notice.severity, sqlstate = notice.sqlstate, "{}", notice.message);
}

/// The start of a statement, on one line, for messages.
pub(crate) fn excerpt(sql: &str) -> String {
    const MOST: usize = 80;
    let mut text = String::new();
    for word in sql.split_whitespace() {
        if !text.is_empty() {
            text.push(' ');
        }
        text.extend(word.chars().take(MOST));
        if text.chars().count() >= MOST {
            text = text.chars().take(MOST).collect();
            text.push('…');
            break;
        }
    }
    text
}
