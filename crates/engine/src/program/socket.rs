//! `run.sock` of a program: the run's protocol, answered by a program.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use changeover_run::program::Input;
use tokio::io::BufReader;
use tokio::net::unix::OwnedWriteHalf;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::{Board, Word};
use crate::Report;
use crate::daemon::socket::{read_line, send};
use crate::protocol::{Answer, Ask, Fault, PROTOCOL_VERSION, Request, STATUS_EVERY_MS};

/// Serves verbs until it is dropped; their connections go with it.
pub(super) async fn serve(listener: UnixListener, board: Arc<Board>, words: mpsc::Sender<Word>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let (board, words) = (Arc::clone(&board), words.clone());
                    connections.spawn(async move {
                        if let Err(e) = converse(stream, &board, &words).await {
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

async fn converse(stream: UnixStream, board: &Board, words: &mpsc::Sender<Word>) -> io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    while let Some(line) = read_line(&mut reader).await? {
        let (id, ask) = match serde_json::from_str::<Request>(&line) {
            Ok(request) if request.v == PROTOCOL_VERSION => (request.id, request.ask),
            _ => {
                let fault = Report::new("CO0131", "the daemon was asked what it does not know")
                    .hint("use the same version of changeover for verbs and daemon");
                return send(&mut writer, 0, Answer::Refused(Fault::from(&fault))).await;
            }
        };
        match ask {
            Ask::Watch { after } => return watch(&mut writer, id, after, board).await,
            ask => {
                let answer = answer(ask, board, words).await;
                send(&mut writer, id, answer).await?;
            }
        }
    }
    Ok(())
}

async fn answer(ask: Ask, board: &Board, words: &mpsc::Sender<Word>) -> Answer {
    let verb = ask.verb();
    let refused = |report: &Report| Answer::Refused(Fault::from(report));
    let input = match ask {
        Ask::Status => return Answer::Program(Box::new(board.status())),
        Ask::Retry | Ask::Resume => Input::GoOn,
        Ask::Pause { why } => Input::Pause { why },
        Ask::Rollback { why } => Input::RollBack { why },
        Ask::Abort => Input::Abort,
        Ask::Finish { confirm } if confirm != board.status().name => {
            let report = Report::new("CO0133", "finish was not confirmed")
                .cause(format!("`{confirm}` is not the name of this program"));
            return refused(&report);
        }
        Ask::Finish { .. } => Input::Finish,
        Ask::Shutdown => {
            words.send(Word::Stop).await.ok();
            return Answer::Accepted;
        }
        _ => {
            let report = Report::new("CO0177", format!("`{verb}` is for one component"))
                .hint("give the component's plan instead of the program");
            return refused(&report);
        }
    };
    let (reply, outcome) = oneshot::channel();
    let stopping = || "the daemon is stopping".to_owned();
    let asked = async {
        words.send(Word::Asked { input, reply }).await.map_err(|_| stopping())?;
        outcome.await.map_err(|_| stopping())?
    };
    match asked.await {
        Ok(()) => Answer::Accepted,
        Err(why) => refused(&Report::new("CO0134", format!("`{verb}` was not done")).cause(why)),
    }
}

async fn watch(
    writer: &mut OwnedWriteHalf,
    id: u64,
    after: Option<u64>,
    board: &Board,
) -> io::Result<()> {
    let (known, mut events) = board.watch(after);
    let status = || Answer::Program(Box::new(board.status()));
    send(writer, id, status()).await?;
    for event in known {
        send(writer, id, Answer::Event(event)).await?;
    }
    let mut tick = tokio::time::interval(Duration::from_millis(STATUS_EVERY_MS));
    loop {
        tokio::select! {
            event = events.recv() => match event {
                Ok(event) => {
                    send(writer, id, Answer::Event(event)).await?;
                    send(writer, id, status()).await?;
                }
                // A watcher too slow for the events still gets every status.
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return Ok(()),
            },
            _ = tick.tick() => send(writer, id, status()).await?,
        }
    }
}
