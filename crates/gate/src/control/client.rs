//! The run's end of the control socket.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use changeover_routing::{Answer, Order, PROTOCOL_VERSION, Request, Response};
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

use super::{Fault, LONGEST_ANSWER_BYTES, read_line};

/// A gate answers within milliseconds; its disk may take longer once in a while.
const DEFAULT_DEADLINE: Duration = Duration::from_secs(5);

/// A connection to a gate. Sends one order at a time.
///
/// After an error the connection is in an unknown state: drop it and connect again. An order that
/// failed with [`ControlError::Deadline`] or [`ControlError::Io`] may have been obeyed; `Status`
/// tells, by the number.
#[derive(Debug)]
pub struct ControlClient {
    stream: BufReader<UnixStream>,
    path: PathBuf,
    deadline: Duration,
    next_id: u64,
}

/// An order got no answer.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// No gate listens.
    #[error("cannot reach the gate at {}: is `changeover gate` running?", path.display())]
    Connect {
        /// The socket.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The connection broke.
    #[error("the connection to the gate at {} broke: it may or may not have obeyed", path.display())]
    Io {
        /// The socket.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// Too slow.
    #[error("the gate at {} did not answer within {deadline:?}: it may or may not have obeyed", path.display())]
    Deadline {
        /// The socket.
        path: PathBuf,
        /// How long it was waited for.
        deadline: Duration,
    },
    /// Not an answer of this protocol.
    #[error("the gate at {} answered out of protocol: {fault}", path.display())]
    Protocol {
        /// The socket.
        path: PathBuf,
        /// What was wrong.
        fault: String,
    },
}

impl ControlClient {
    /// Connects to the gate that serves `path`. Orders have a deadline of 5 s unless
    /// [`ControlClient::with_deadline`] gives another.
    ///
    /// # Errors
    /// If nobody listens there.
    pub async fn connect(path: &Path) -> Result<ControlClient, ControlError> {
        let stream = UnixStream::connect(path)
            .await
            .map_err(|source| ControlError::Connect { path: path.to_owned(), source })?;
        Ok(ControlClient {
            stream: BufReader::new(stream),
            path: path.to_owned(),
            deadline: DEFAULT_DEADLINE,
            next_id: 1,
        })
    }

    /// Waits at most this long for each answer.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Duration) -> ControlClient {
        self.deadline = deadline;
        self
    }

    /// Sends an order and waits for its answer. A refusal is an answer, not an error.
    ///
    /// # Errors
    /// If no answer came in time or what came was none.
    pub async fn send(&mut self, order: Order) -> Result<Answer, ControlError> {
        let deadline = self.deadline;
        match tokio::time::timeout(deadline, self.exchange(order)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(ControlError::Deadline { path: self.path.clone(), deadline }),
        }
    }

    async fn exchange(&mut self, order: Order) -> Result<Answer, ControlError> {
        let id = self.next_id;
        self.next_id += 1;
        let request = Request { v: PROTOCOL_VERSION, id, order };
        let mut line = serde_json::to_vec(&request).map_err(|e| self.protocol(&e))?;
        line.push(b'\n');
        self.stream.get_mut().write_all(&line).await.map_err(|e| self.io(e))?;
        loop {
            let more = read_line(&mut self.stream, &mut line, LONGEST_ANSWER_BYTES).await;
            if !more.map_err(|e| self.io(e))? {
                return Err(self.io(io::ErrorKind::UnexpectedEof.into()));
            }
            if let Ok(fault) = serde_json::from_slice::<Fault>(&line) {
                return Err(self.protocol(&fault.error));
            }
            let response: Response =
                serde_json::from_slice(&line).map_err(|e| self.protocol(&e))?;
            if response.v != PROTOCOL_VERSION {
                return Err(self.protocol(&format!("version {}", response.v)));
            }
            // An answer that an earlier `send` gave up waiting for.
            if response.id >= id {
                return Ok(response.answer);
            }
        }
    }

    fn io(&self, source: io::Error) -> ControlError {
        ControlError::Io { path: self.path.clone(), source }
    }

    fn protocol(&self, fault: &dyn std::fmt::Display) -> ControlError {
        ControlError::Protocol { path: self.path.clone(), fault: fault.to_string() }
    }
}
