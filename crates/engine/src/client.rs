//! A verb's end of `run.sock`.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

use crate::Report;
use crate::protocol::{
    Answer, Ask, Event, Fault, LINE_MAX_BYTES, PROTOCOL_VERSION, ProgramStatus, RUN_SOCKET, Reply,
    Request, RunStatus, STATUS_EVERY_MS,
};

/// A daemon answers at once; a busy disk may cost more.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// A watch that is silent for this long is broken: statuses come far more often.
const SILENCE_MAX: Duration = Duration::from_millis(STATUS_EVERY_MS * 20);

/// Why the daemon could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens, or it went away: start it again and ask again. A request that was under way
    /// may or may not have been accepted.
    #[error("no daemon runs this migration (nobody listens on {socket})")]
    NotRunning {
        /// The socket.
        socket: PathBuf,
    },
    /// The socket cannot be used.
    #[error("the daemon cannot be asked over {socket}")]
    Io {
        /// The socket.
        socket: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It did not answer.
    #[error("the daemon on {socket} gave no answer to `{verb}` within {} s", within.as_secs())]
    Silent {
        /// The socket.
        socket: PathBuf,
        /// What was asked.
        verb: &'static str,
        /// For how long it was waited.
        within: Duration,
    },
    /// It speaks another version, or nonsense.
    #[error("the daemon on {socket} is not of this version: {what}")]
    Protocol {
        /// The socket.
        socket: PathBuf,
        /// What was wrong.
        what: String,
    },
}

impl ClientError {
    /// The same for a person.
    #[must_use]
    pub fn report(&self) -> Report {
        let report = Report::new("CO0160", "the run's daemon cannot be asked").because(self);
        match self {
            ClientError::NotRunning { .. } => {
                report.hint("`changeover apply PLAN` starts it again and goes on")
            }
            ClientError::Protocol { .. } => report
                .hint("use the version of changeover that started this migration")
                .hint("or stop its daemon first: `changeover stop PLAN`"),
            _ => report.hint("see run.log in the state folder"),
        }
    }
}

/// A connection to the daemon.
#[derive(Debug)]
pub struct Client {
    socket: PathBuf,
    stream: BufReader<UnixStream>,
    last_id: u64,
    name: Option<String>,
}

impl Client {
    /// Connects to the daemon of the migration whose state is in `state_dir`.
    ///
    /// # Errors
    /// [`ClientError::NotRunning`] if nobody listens there.
    pub async fn connect(state_dir: &Path) -> Result<Client, ClientError> {
        let socket = state_dir.join(RUN_SOCKET);
        match UnixStream::connect(&socket).await {
            Ok(stream) => {
                let stream = BufReader::new(stream);
                Ok(Client { socket, stream, last_id: 0, name: None })
            }
            Err(e) if gone(e.kind()) => Err(ClientError::NotRunning { socket }),
            Err(source) => Err(ClientError::Io { socket, source }),
        }
    }

    /// Goes by this name from now on, for the journal and for approvals.
    #[must_use]
    pub fn named(mut self, name: Option<String>) -> Client {
        self.name = name;
        self
    }

    /// Asks and waits for the answer, at most ten seconds.
    ///
    /// # Errors
    /// If the daemon is gone, silent or of another version. A refusal is an answer.
    pub async fn request(&mut self, ask: Ask) -> Result<Answer, ClientError> {
        let verb = ask.verb();
        let exchange = async {
            let id = self.send(ask).await?;
            self.receive(id).await
        };
        match tokio::time::timeout(ANSWER_WITHIN, exchange).await {
            Ok(answer) => answer,
            Err(_) => Err(self.silent(verb, ANSWER_WITHIN)),
        }
    }

    /// Asks where the run stands.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub async fn status(&mut self) -> Result<RunStatus, ClientError> {
        match self.request(Ask::Status).await? {
            Answer::Status(status) => Ok(*status),
            other => Err(self.protocol(format!("it answered `status` with {other:?}"))),
        }
    }

    /// Turns the connection into a watch.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub async fn watch(mut self, after: Option<u64>) -> Result<Watch, ClientError> {
        let id = self.send(Ask::Watch { after }).await?;
        Ok(Watch { client: self, id })
    }

    async fn send(&mut self, ask: Ask) -> Result<u64, ClientError> {
        self.last_id += 1;
        let (id, name) = (self.last_id, self.name.clone());
        let request = Request { v: PROTOCOL_VERSION, id, ask, name };
        let mut line = serde_json::to_vec(&request).map_err(|e| self.protocol(e.to_string()))?;
        line.push(b'\n');
        self.stream.get_mut().write_all(&line).await.map_err(|e| self.broken(e))?;
        Ok(self.last_id)
    }

    async fn receive(&mut self, id: u64) -> Result<Answer, ClientError> {
        let line = match read_line(&mut self.stream).await {
            Ok(Some(line)) => line,
            Ok(None) => return Err(ClientError::NotRunning { socket: self.socket.clone() }),
            Err(e) => return Err(self.broken(e)),
        };
        let reply: Reply =
            serde_json::from_slice(&line).map_err(|e| self.protocol(e.to_string()))?;
        if reply.v != PROTOCOL_VERSION {
            return Err(
                self.protocol(format!("its protocol is {}, ours {PROTOCOL_VERSION}", reply.v))
            );
        }
        if reply.id != id {
            return Err(self.protocol(format!("it answered request {} when asked {id}", reply.id)));
        }
        Ok(reply.answer)
    }

    fn broken(&self, source: io::Error) -> ClientError {
        let socket = self.socket.clone();
        if gone(source.kind()) {
            ClientError::NotRunning { socket }
        } else if source.kind() == io::ErrorKind::InvalidData {
            ClientError::Protocol { socket, what: source.to_string() }
        } else {
            ClientError::Io { socket, source }
        }
    }

    fn protocol(&self, what: String) -> ClientError {
        ClientError::Protocol { socket: self.socket.clone(), what }
    }

    fn silent(&self, verb: &'static str, within: Duration) -> ClientError {
        ClientError::Silent { socket: self.socket.clone(), verb, within }
    }
}

/// What a watch brings.
#[derive(Clone, Debug, PartialEq)]
pub enum Seen {
    /// Where the run stands now.
    Status(Box<RunStatus>),
    /// Where the program stands now.
    Program(Box<ProgramStatus>),
    /// Something happened.
    Event(Event),
    /// The daemon will not be watched.
    Refused(Fault),
}

/// A stream of events and statuses.
#[derive(Debug)]
pub struct Watch {
    client: Client,
    id: u64,
}

impl Watch {
    /// The next one. Not cancel-safe: a half-read line is lost with the future, so keep polling
    /// the same future or drop the watch.
    ///
    /// # Errors
    /// [`ClientError::NotRunning`] when the daemon goes away; [`ClientError::Silent`] when it says
    /// nothing for ten seconds.
    pub async fn next(&mut self) -> Result<Seen, ClientError> {
        let Ok(answer) = tokio::time::timeout(SILENCE_MAX, self.client.receive(self.id)).await
        else {
            return Err(self.client.silent("watch", SILENCE_MAX));
        };
        match answer? {
            Answer::Status(status) => Ok(Seen::Status(status)),
            Answer::Program(status) => Ok(Seen::Program(status)),
            Answer::Event(event) => Ok(Seen::Event(event)),
            Answer::Refused(fault) => Ok(Seen::Refused(fault)),
            Answer::Accepted => Err(self.client.protocol("it accepted a watch twice".to_owned())),
        }
    }
}

/// One line without its end; `None` at the end of the stream between two lines.
///
/// # Errors
/// If the stream breaks, ends within a line, or the line is longer than [`LINE_MAX_BYTES`].
pub async fn read_line(stream: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    let limit = u64::try_from(LINE_MAX_BYTES).unwrap_or(u64::MAX);
    stream.take(limit).read_until(b'\n', &mut line).await?;
    match line.pop() {
        None => Ok(None),
        Some(b'\n') => Ok(Some(line)),
        Some(_) if line.len() + 1 >= LINE_MAX_BYTES => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("a line of more than {LINE_MAX_BYTES} bytes"),
        )),
        Some(_) => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

fn gone(kind: io::ErrorKind) -> bool {
    matches!(
        kind,
        io::ErrorKind::NotFound
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::UnexpectedEof
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::RunState;
    use tokio::net::UnixListener;

    /// A listener that plays one connection: for each request line it sends the given lines.
    async fn daemon(dir: &Path, answers: Vec<Vec<String>>) -> tokio::task::JoinHandle<()> {
        let listener = UnixListener::bind(dir.join(RUN_SOCKET)).unwrap();
        tokio::task::spawn_local(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let mut stream = BufReader::new(stream);
            for lines in answers {
                read_line(&mut stream).await.unwrap().unwrap();
                for line in lines {
                    stream.get_mut().write_all(line.as_bytes()).await.unwrap();
                }
            }
        })
    }

    fn reply(id: u64, answer: Answer) -> String {
        let reply = Reply { v: PROTOCOL_VERSION, id, answer };
        serde_json::to_string(&reply).unwrap() + "\n"
    }

    fn run<T>(test: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(tokio::task::LocalSet::new().run_until(test))
    }

    #[test]
    fn nobody_listening_is_not_running() {
        run(async {
            let dir = tempfile::tempdir().unwrap();
            let absent = Client::connect(dir.path()).await.unwrap_err();
            assert!(matches!(absent, ClientError::NotRunning { .. }), "{absent}");
            drop(UnixListener::bind(dir.path().join(RUN_SOCKET)).unwrap());
            let stale = Client::connect(dir.path()).await.unwrap_err();
            assert!(matches!(stale, ClientError::NotRunning { .. }), "{stale}");
        });
    }

    #[test]
    fn asks_and_watches() {
        run(async {
            let dir = tempfile::tempdir().unwrap();
            let status = Box::new(RunStatus::example());
            let answers = vec![
                vec![reply(1, Answer::Status(status.clone()))],
                vec![reply(2, Answer::Accepted)],
                vec![reply(3, Answer::Status(status.clone())), "{\"v\":1,\"id\"".to_owned()],
            ];
            let daemon = daemon(dir.path(), answers).await;
            let mut client = Client::connect(dir.path()).await.unwrap();
            let seen = client.status().await.unwrap();
            assert!(matches!(seen.state, RunState::Paused { .. }));
            assert_eq!(client.request(Ask::Retry).await.unwrap(), Answer::Accepted);
            let mut watch = client.watch(None).await.unwrap();
            assert_eq!(watch.next().await.unwrap(), Seen::Status(status));
            let gone = watch.next().await.unwrap_err();
            assert!(matches!(gone, ClientError::NotRunning { .. }), "{gone}");
            daemon.await.unwrap();
        });
    }

    #[test]
    fn another_version_is_named() {
        run(async {
            let dir = tempfile::tempdir().unwrap();
            let answer = reply(1, Answer::Accepted).replace("\"v\":1", "\"v\":2");
            let daemon = daemon(dir.path(), vec![vec![answer]]).await;
            let mut client = Client::connect(dir.path()).await.unwrap();
            let refused = client.request(Ask::Retry).await.unwrap_err();
            assert!(matches!(refused, ClientError::Protocol { .. }), "{refused}");
            daemon.await.unwrap();
        });
    }
}
