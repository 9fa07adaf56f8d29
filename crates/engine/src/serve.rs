//! `run.sock`: verbs attach, show, ask, leave. The same for a run and for a program.

mod lately;
mod who;

use std::fs;
use std::future::Future;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use changeover_gate::control::SocketFile;
use changeover_run::Who;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinSet;

use crate::Report;
use crate::protocol::{
    Answer, Ask, Fault, LINE_MAX_BYTES, PROTOCOL_VERSION, RUN_SOCKET, Reply, Request,
    STATUS_EVERY_MS,
};

pub(crate) use lately::{Lately, Watched};

/// What a daemon says to verbs.
pub(crate) trait Answers: Send + Sync + 'static {
    /// Where it stands.
    fn status(&self) -> Answer;

    /// The events after `number` that are still known, and all that come.
    fn watch(&self, after: Option<u64>) -> Watched;

    /// Everything else.
    fn answer(&self, ask: Ask, who: Who) -> impl Future<Output = Option<Answer>> + Send;
}

/// The bound socket; whoever holds the journal may take the place of a dead one.
pub(crate) fn bind(state_dir: &Path) -> Result<(UnixListener, SocketFile), Report> {
    let path = state_dir.join(RUN_SOCKET);
    let fault = |e: &io::Error| {
        Report::new("CO0130", format!("cannot listen on {}", path.display())).because(e)
    };
    if path.exists() {
        fs::remove_file(&path).map_err(|e| fault(&e))?;
    }
    let listener = UnixListener::bind(&path).map_err(|e| fault(&e))?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).map_err(|e| fault(&e))?;
    Ok((listener, SocketFile::bound(path)))
}

/// Serves verbs until it is dropped; their connections go with it.
pub(crate) async fn serve(listener: UnixListener, answers: impl Answers) {
    let answers = Arc::new(answers);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let answers = Arc::clone(&answers);
                    connections.spawn(async move {
                        if let Err(e) = converse(stream, &*answers).await {
                            tracing::debug!("a verb's connection ended: {e}");
                        }
                    });
                }
                Err(e) => {
                    tracing::warn!("accepting on run.sock: {e}");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn converse(stream: UnixStream, answers: &impl Answers) -> io::Result<()> {
    let user = who::user(&stream)?;
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    while let Some(line) = read_line(&mut reader).await? {
        let request: Request = match serde_json::from_str(&line) {
            Ok(request) => request,
            Err(e) => {
                let fault = Report::new("CO0131", "the daemon was asked what it does not know")
                    .because(&e)
                    .hint("use the same version of changeover for verbs and daemon");
                return send(&mut writer, 0, Answer::Refused(Fault::from(&fault))).await;
            }
        };
        if request.v != PROTOCOL_VERSION {
            let fault = Report::new("CO0132", "verb and daemon speak different versions")
                .hint("use the same version of changeover for verbs and daemon");
            return send(&mut writer, request.id, Answer::Refused(Fault::from(&fault))).await;
        }
        match request.ask {
            Ask::Watch { after } => return watch(&mut writer, request.id, after, answers).await,
            ask => {
                let who = Who { user: user.clone(), name: request.name };
                // Without an answer the verb asks the successor.
                let Some(answer) = answers.answer(ask, who).await else { return Ok(()) };
                send(&mut writer, request.id, answer).await?;
            }
        }
    }
    Ok(())
}

async fn watch(
    writer: &mut OwnedWriteHalf,
    id: u64,
    after: Option<u64>,
    answers: &impl Answers,
) -> io::Result<()> {
    let (known, mut events) = answers.watch(after);
    send(writer, id, answers.status()).await?;
    for event in known {
        send(writer, id, Answer::Event(event)).await?;
    }
    let mut tick = tokio::time::interval(Duration::from_millis(STATUS_EVERY_MS));
    loop {
        tokio::select! {
            event = events.recv() => match event {
                Ok(event) => {
                    send(writer, id, Answer::Event(event)).await?;
                    send(writer, id, answers.status()).await?;
                }
                // A watcher too slow for the events still gets every status.
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return Ok(()),
            },
            _ = tick.tick() => send(writer, id, answers.status()).await?,
        }
    }
}

/// Why an order was not carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NotDone {
    /// It is refused, for this reason.
    Refused(String),
    /// The loop has ended: this daemon does nothing more.
    Leaving,
}

/// The answer to an order.
pub(crate) fn outcome(verb: &str, asked: Result<(), NotDone>) -> Option<Answer> {
    match asked {
        Ok(()) => Some(Answer::Accepted),
        Err(NotDone::Leaving) => None,
        Err(NotDone::Refused(why)) => {
            refused(&Report::new("CO0134", format!("`{verb}` was not done")).cause(why))
        }
    }
}

/// The answer to what is not done.
pub(crate) fn refused(report: &Report) -> Option<Answer> {
    Some(Answer::Refused(Fault::from(report)))
}

async fn send(writer: &mut OwnedWriteHalf, id: u64, answer: Answer) -> io::Result<()> {
    let mut line = serde_json::to_vec(&Reply { v: PROTOCOL_VERSION, id, answer })?;
    line.push(b'\n');
    writer.write_all(&line).await
}

async fn read_line(reader: &mut BufReader<OwnedReadHalf>) -> io::Result<Option<String>> {
    let mut line = String::new();
    let limit = u64::try_from(LINE_MAX_BYTES).unwrap_or(u64::MAX);
    let read = reader.take(limit).read_line(&mut line).await?;
    if read == 0 {
        return Ok(None);
    }
    if !line.ends_with('\n') {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a line is too long or cut short"));
    }
    Ok(Some(line))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::{Client, ClientError};
    use crate::owned;

    /// A daemon whose loop has ended, and which is about to go.
    struct Leaving;

    impl Answers for Leaving {
        fn status(&self) -> Answer {
            Answer::Accepted
        }

        fn watch(&self, _: Option<u64>) -> Watched {
            (Vec::new(), tokio::sync::broadcast::channel(1).1)
        }

        async fn answer(&self, ask: Ask, _: Who) -> Option<Answer> {
            outcome(ask.verb(), Err(NotDone::Leaving))
        }
    }

    #[tokio::test]
    async fn a_daemon_that_leaves_refuses_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (listener, _file) = bind(folder.path()).unwrap();
        let _served =
            owned::once("the socket", serve(listener, Leaving), |_| std::future::ready(()));
        let mut client = Client::connect(folder.path()).await.unwrap();
        let answer = client.request(Ask::Abort { lost: false }).await;
        assert!(matches!(answer, Err(ClientError::NotRunning { .. })), "{answer:?}");
    }
}
