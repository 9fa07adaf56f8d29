//! The daemon of a program: one loop that decides, journals and tells components' daemons.
//!
//! Each component keeps its own daemon, journal and gates. What this one adds is journalled here
//! before it is said there, and what came of it is read back: so it can die at any record and go on.

mod board;
mod gates;
mod news;
mod shared;
mod socket;
mod store;
mod worker;

use std::future::ready;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use changeover_journal::Record;
use changeover_plan::Program;
use changeover_run::program::{Input, State, due, wake};
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep;

use crate::Report;
use crate::daemon::until;
use crate::owned;
use crate::record::Fed;
use crate::serve;
use crate::supervisor::{self, write_pids};
use board::Board;
pub use gates::gates_of_program;
pub use shared::shared_databases;
use socket::Desk;
use store::Store;
use worker::Workers;

/// How long a daemon whose run is over stays, so that whoever watches sees the end.
const LINGER: Duration = Duration::from_millis(500);

/// A program and where its parts are.
#[derive(Clone, Debug)]
pub struct ProgramFiles {
    /// The checked program.
    pub program: Arc<Program>,
    /// Its text as it goes into the journal.
    pub text: String,
    /// The program's own state folder.
    pub state_dir: PathBuf,
    /// In the order of the program.
    pub components: Vec<ComponentFiles>,
}

/// Where a component's plan and state are.
#[derive(Clone, Debug)]
pub struct ComponentFiles {
    /// The plan's file, absolute.
    pub plan: PathBuf,
    /// The state folder of its migration.
    pub state_dir: PathBuf,
}

/// The state that a journal's records make, for a verb that finds no daemon.
///
/// # Errors
/// If a record was written by another version of the program.
pub fn journalled_program(program: &Program, records: &[Record]) -> Result<State, Report> {
    store::rebuild(program, records)
}

/// A word to the loop.
#[derive(Debug)]
enum Word {
    /// A worker has something to say about its component.
    FromWorker { component: usize, generation: u64, input: Input },
    /// An operator wants something and waits for the answer.
    Asked { input: Input, reply: oneshot::Sender<Result<(), String>> },
    /// Stop the daemon; the components' daemons go on.
    Stop,
}

/// Runs until the program is over, or somebody asks the daemon to stop. A program that begins now
/// rests at the end of the phase `until`.
///
/// # Errors
/// If the journal cannot be used, the socket is taken, or the journal fails on the way.
pub(crate) async fn run(files: ProgramFiles, until: Option<String>) -> Result<(), Report> {
    let mut store = Store::open(&files)?;
    write_pids(&files.state_dir);
    let (words, mut inbox) = mpsc::channel(256);
    let board = Board::new(&files, store.run_id());
    board.show(store.state());
    let (listener, socket_file) = serve::bind(&files.state_dir)?;
    let desk = Desk { board: Arc::clone(&board), words: words.clone() };
    let mut serving =
        owned::once("the daemon's socket", serve::serve(listener, desk), |_| ready(()));
    let mut workers = Workers::new(&files, &board, &words);
    // Before anything begins, so that no step can slip through.
    if let Some(phase) = until.filter(|_| store.is_new()) {
        feed(&files.program, &mut store, &board, &Input::GoOnUntil { phase })?.ok();
    }
    let outcome = tokio::select! {
        outcome = drive(&files.program, &mut store, &mut inbox, &board, &mut workers) => outcome,
        // Nobody could ask it for anything any more: its supervisor starts another.
        () = serving.ended() => Err(Report::new("CO0146", "the daemon's socket has died")),
    };
    drop(serving);
    workers.stop();
    socket_file.remove().ok();
    supervisor::remove_worker_pid(&files.state_dir);
    outcome
}

async fn drive(
    program: &Program,
    store: &mut Store,
    inbox: &mut mpsc::Receiver<Word>,
    board: &Board,
    workers: &mut Workers,
) -> Result<(), Report> {
    feed(program, store, board, &Input::Restarted)?.ok();
    loop {
        workers.keep(due(store.state()));
        if store.state().mode.is_over() {
            sleep(LINGER).await;
            return Ok(());
        }
        let word = tokio::select! {
            word = inbox.recv() => word,
            () = until(wake(store.state(), program)) => {
                feed(program, store, board, &Input::Deadline)?.ok();
                continue;
            }
        };
        match word {
            Some(Word::FromWorker { component, generation, input }) => {
                if workers.takes_word_of(component, generation)
                    && let Err(refusal) = feed(program, store, board, &input)?
                {
                    tracing::warn!(?input, "not accepted: {refusal}");
                }
            }
            Some(Word::Asked { input, reply }) => {
                let outcome = feed(program, store, board, &input)?;
                // Whoever asked may be gone by now; nothing depends on them.
                reply.send(outcome.map_err(|refusal| refusal.to_string())).ok();
            }
            Some(Word::Stop) | None => return Ok(()),
        }
    }
}

type Decided = Result<(), changeover_run::Refusal>;

/// Decides, journals, shows. A refusal changes nothing.
fn feed(
    program: &Program,
    store: &mut Store,
    board: &Board,
    input: &Input,
) -> Result<Decided, Report> {
    match store.feed(program, input) {
        Ok(events) => {
            board.tell(&events, store.state());
            Ok(Ok(()))
        }
        Err(Fed::Refused(refusal)) => Ok(Err(refusal)),
        Err(e) => Err(Report::new(
            "CO0124",
            "the journal failed; the daemon stops rather than act without it",
        )
        .because(&e)
        .hint("free some disk space; the daemon is started again by the next verb")),
    }
}
