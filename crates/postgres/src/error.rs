//! What can go wrong with a database, in the few kinds that callers act on.

use std::error::Error as StdError;
use std::fmt;

use changeover_pgwire::ServerError;
use changeover_types::Side;

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of failure it is: what a caller decides by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// No session could be opened. Nothing was done.
    Connect,
    /// The server does not let us in. Trying again changes nothing.
    Auth,
    /// The connection broke. What was under way may or may not have been done.
    Io,
    /// The server refused a statement; see [`Error::sqlstate`].
    Server,
    /// The server said something that the protocol or we do not allow.
    Protocol,
    /// It took longer than allowed. What was under way may or may not be done.
    Timeout,
    /// One of our own rules forbids it.
    Refused,
    /// We held what the application needs, or somebody changed what we held, and let go of it. Begin
    /// again.
    InTheWay,
    /// The two sides are not what they must be to each other.
    Divergence,
    /// A fault on our side: wrong use, a child program, a file.
    Local,
}

/// A failure, with the side it happened on and what was tried.
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    side: Side,
    context: String,
    server: Option<ServerError>,
    statement: Option<usize>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// A failure of `kind` on `side`. `context` says what was tried, the cause, and what to do.
    #[must_use]
    pub fn new(kind: ErrorKind, side: Side, context: impl Into<String>) -> Self {
        Error(Box::new(Inner {
            kind,
            side,
            context: context.into(),
            server: None,
            statement: None,
            source: None,
        }))
    }

    /// No session could be opened.
    #[must_use]
    pub fn connect(side: Side, context: impl Into<String>) -> Self {
        Error::new(ErrorKind::Connect, side, context)
    }

    /// The server does not let us in.
    #[must_use]
    pub fn auth(side: Side, context: impl Into<String>) -> Self {
        Error::new(ErrorKind::Auth, side, context)
    }

    /// The connection broke.
    #[must_use]
    pub fn io(side: Side, context: impl Into<String>, source: std::io::Error) -> Self {
        Error::new(ErrorKind::Io, side, context).with_source(source)
    }

    /// The server refused a statement.
    #[must_use]
    pub fn server(side: Side, context: impl Into<String>, error: ServerError) -> Self {
        Error::new(ErrorKind::Server, side, context).with_server(error)
    }

    /// The server said something that is not allowed.
    #[must_use]
    pub fn protocol(side: Side, context: impl Into<String>) -> Self {
        Error::new(ErrorKind::Protocol, side, context)
    }

    /// It took longer than allowed.
    #[must_use]
    pub fn timeout(side: Side, context: impl Into<String>) -> Self {
        Error::new(ErrorKind::Timeout, side, context)
    }

    /// One of our own rules forbids it.
    #[must_use]
    pub fn refused(side: Side, context: impl Into<String>) -> Self {
        Error::new(ErrorKind::Refused, side, context)
    }

    /// The two sides are not what they must be to each other.
    #[must_use]
    pub fn divergence(side: Side, context: impl Into<String>) -> Self {
        Error::new(ErrorKind::Divergence, side, context)
    }

    /// A fault on our side.
    #[must_use]
    pub fn local(side: Side, context: impl Into<String>) -> Self {
        Error::new(ErrorKind::Local, side, context)
    }

    /// With its cause. `Display` does not repeat it.
    #[must_use]
    pub fn with_source(mut self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.0.source = Some(Box::new(source));
        self
    }

    /// With what the server said. `Display` shows its severity, SQLSTATE, message and hint, but
    /// not its detail, which may hold row values.
    #[must_use]
    pub fn with_server(mut self, error: ServerError) -> Self {
        self.0.server = Some(error);
        self
    }

    /// With the number of the pipelined statement that failed, from 0.
    #[must_use]
    pub fn with_statement(mut self, index: usize) -> Self {
        self.0.statement = Some(index);
        self
    }

    /// With `context` put before what is said already: what the failed step was for.
    #[must_use]
    pub fn with_context(mut self, context: impl fmt::Display) -> Self {
        self.0.context = match self.0.context.as_str() {
            "" => context.to_string(),
            inner => format!("{context}: {inner}"),
        };
        self
    }

    /// What kind of failure it is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The side it happened on.
    #[must_use]
    pub fn side(&self) -> Side {
        self.0.side
    }

    /// What was tried.
    #[must_use]
    pub fn context(&self) -> &str {
        &self.0.context
    }

    /// What the server said, if it said anything.
    #[must_use]
    pub fn server_error(&self) -> Option<&ServerError> {
        self.0.server.as_ref()
    }

    /// The server's SQLSTATE.
    #[must_use]
    pub fn sqlstate(&self) -> Option<&str> {
        self.0.server.as_ref().map(|error| error.sqlstate.as_str())
    }

    /// Which statement of a pipeline failed, counted from 0 in the order of its executions.
    #[must_use]
    pub fn statement(&self) -> Option<usize> {
        self.0.statement
    }

    /// Whether what was under way may have been done nevertheless: the answer was lost, or the
    /// server ended the session. A COMMIT that fails so must be read back.
    #[must_use]
    pub fn is_in_doubt(&self) -> bool {
        match self.0.kind {
            ErrorKind::Io | ErrorKind::Timeout | ErrorKind::Protocol => true,
            ErrorKind::Server => self.0.server.as_ref().is_some_and(ServerError::is_fatal),
            ErrorKind::Connect
            | ErrorKind::Auth
            | ErrorKind::Refused
            | ErrorKind::InTheWay
            | ErrorKind::Divergence
            | ErrorKind::Local => false,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.side, self.0.context)?;
        if let Some(index) = self.0.statement {
            write!(f, " (statement {index})")?;
        }
        if let Some(error) = &self.0.server {
            write!(f, ": {error}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.0.kind)?;
        let mut cause = self.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}
