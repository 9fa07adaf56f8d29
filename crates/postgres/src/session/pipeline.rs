//! Many statements in one flight.

use bytes::BytesMut;
use changeover_pgwire::backend::BackendMessage;
use changeover_pgwire::frontend::{self, Target};

use super::{Session, Tag};
use crate::error::{Error, Result};

/// The most parameters a statement can have.
pub const MAX_PARAMETERS: usize = 65_535;

/// Queued statements. Nothing is sent before [`Session::run_pipeline`]; the caller bounds the
/// memory by [`Pipeline::bytes`].
///
/// Statement names are the caller's: a name prepared in one pipeline is good in every later one
/// of the same session, until it is prepared anew or closed. After a pipeline that failed, take
/// every name it prepared for unknown and prepare it again (which is never an error).
#[derive(Debug, Default)]
pub struct Pipeline {
    buffer: BytesMut,
    executions: usize,
    fault: Option<&'static str>,
}

impl Pipeline {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Pipeline::default()
    }

    /// Prepares `sql` under `name`, in place of what had the name. Type 0, or no type, lets the
    /// server infer.
    pub fn prepare(&mut self, name: &str, sql: &str, types: &[u32]) {
        if name.contains('\0') || sql.contains('\0') {
            self.fault = Some("a statement holds a zero byte");
        }
        frontend::close(&mut self.buffer, Target::Statement, name);
        frontend::parse(&mut self.buffer, name, sql, types);
    }

    /// Runs the statement `name` with text parameters.
    pub fn execute(&mut self, name: &str, parameters: &[Option<&[u8]>]) {
        if parameters.len() > MAX_PARAMETERS {
            self.fault = Some("a statement has more than 65535 parameters");
        }
        let size: usize = parameters.iter().flatten().map(|value| value.len()).sum();
        if size > changeover_pgwire::frame::MAX_BODY / 2 {
            self.fault = Some("a statement's parameters are larger than 512 MiB");
        }
        frontend::bind(&mut self.buffer, "", name, parameters);
        frontend::execute(&mut self.buffer, "", 0);
        self.executions += 1;
    }

    /// Prepares (as the unnamed statement) and runs `sql`.
    pub fn statement(&mut self, sql: &str, parameters: &[Option<&[u8]>]) {
        self.prepare("", sql, &[]);
        self.execute("", parameters);
    }

    /// Forgets the statement `name`; not an error if there is none.
    pub fn close(&mut self, name: &str) {
        frontend::close(&mut self.buffer, Target::Statement, name);
    }

    /// How many executions are queued.
    #[must_use]
    pub fn len(&self) -> usize {
        self.executions
    }

    /// Whether nothing at all is queued.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// How many bytes are queued.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.buffer.len()
    }

    /// Drops what is queued.
    pub fn clear(&mut self) {
        self.buffer.clear();
        self.executions = 0;
        self.fault = None;
    }
}

impl Session {
    /// Sends the pipeline and a Sync, reads the answers meanwhile, and empties the pipeline.
    /// Gives one tag for each execution, in order; rows are counted and dropped.
    ///
    /// Without a `BEGIN` in it, the pipeline is one transaction.
    ///
    /// # Errors
    /// The first failure: [`Error::statement`] is the index of the execution that failed (a
    /// failed preparation counts for the execution that follows it). The server has skipped the
    /// rest; a transaction that was open is failed and must be rolled back.
    pub async fn run_pipeline(&mut self, pipeline: &mut Pipeline) -> Result<Vec<Tag>> {
        if let Some(fault) = pipeline.fault {
            pipeline.clear();
            return Err(Error::local(self.side(), format!("queueing statements: {fault}")));
        }
        if pipeline.is_empty() {
            return Ok(Vec::new());
        }
        self.begin()?;
        let expected = pipeline.executions;
        let mut bytes = pipeline.buffer.split();
        pipeline.clear();
        frontend::sync(&mut bytes);
        self.wire.queue(bytes.freeze());
        let mut tags = Vec::with_capacity(expected);
        let mut failure = None;
        loop {
            match self.message("running a pipeline").await? {
                BackendMessage::CommandComplete(tag) => tags.push(Tag::read(&tag)),
                BackendMessage::EmptyQueryResponse => tags.push(Tag::read(b"")),
                BackendMessage::ErrorResponse(error) if failure.is_none() => {
                    failure = Some(
                        Error::server(self.side(), "running a pipeline", error)
                            .with_statement(tags.len()),
                    );
                }
                BackendMessage::ReadyForQuery(status) => {
                    self.end(status);
                    break;
                }
                BackendMessage::ParseComplete
                | BackendMessage::BindComplete
                | BackendMessage::CloseComplete
                | BackendMessage::NoData
                | BackendMessage::RowDescription(_)
                | BackendMessage::DataRow(_)
                | BackendMessage::ErrorResponse(_) => {}
                other => return Err(self.out_of_place(&other, "running a pipeline")),
            }
        }
        match failure {
            Some(error) => Err(error),
            None if tags.len() == expected => Ok(tags),
            None => Err(Error::protocol(
                self.side(),
                format!("running a pipeline: {} answers for {expected} statements", tags.len()),
            )),
        }
    }
}
