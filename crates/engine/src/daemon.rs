//! The daemon: one loop that decides, journals and performs.
//!
//! Config → build → drain. The loop is dull on purpose: it takes one input, lets the pure run
//! decide, makes the events durable, and performs what is then due. An effect that is under way is
//! dropped as soon as something else is due; every effect can stand that.

mod doubted;
mod socket;

use std::future::ready;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use changeover_cutover::Input as CutoverInput;
use changeover_plan::Plan;
use changeover_run::{Command, Input, State, ask_for_finish_at, due, relays, wake};
use changeover_types::Side;
use tokio::time::sleep;

use crate::Report;
use crate::board::Board;
use crate::clock::now;
use crate::config::{Config, PLAN_PATH_FILE};
use crate::effects::{Comparer, Effects, Witness, tasks, watch};
use crate::gates::Blockers;
use crate::guards::Guards;
use crate::owned::{self, Owned};
use crate::protocol::EventKind;
use crate::record::{Fed, Store};
use crate::relays::Relays;
use crate::serve;
use crate::supervisor::{self, write_pids};
use crate::words::{Inbox, Word, Words};
use socket::Desk;

/// How long a daemon whose run is over stays, so that whoever watches sees the end.
const LINGER: Duration = Duration::from_millis(500);

/// Nothing closes by itself: the operator is asked.
const ASK_FOR_FINISH: &str = "the way back was kept open for as long as data.reverse.keep asked: \
     end it with `changeover finish`, or keep it and mind the disk of the target";

/// Runs until the migration is over, or somebody asks the daemon to stop.
///
/// # Errors
/// If the journal cannot be used, the socket is taken, or the journal fails on the way.
pub(crate) async fn run(config: Config) -> Result<(), Report> {
    let mut store = Store::open(&config.state_dir, &config.plan, &config.plan_text)?;
    write_pids(&config.state_dir);
    // For commands that are proposed to whoever gives the migration's name only.
    let path = config.plan_path.display().to_string();
    if let Err(e) = std::fs::write(config.state_dir.join(PLAN_PATH_FILE), path) {
        tracing::warn!("where the plan is cannot be written down: {e}");
    }
    let (words, inbox) = crate::words::channel();
    let board = Board::new(&config.plan, store.run_id());
    let news = store.news();
    board.recall(&news, store.state());
    let relays = Relays::new(&config, Arc::clone(&board), words.clone())?;
    let effects =
        Effects::new(&config, store.run_id(), Arc::clone(&board), relays.clone(), words.clone())?;
    let (comparer, witness) = (effects.comparer(), effects.witness());
    let guards = Guards::new(&config, &board, &relays, effects.gates())?;
    // Bound only when nothing can fail any more, so that a verb that can connect gets its answer.
    let (socket, socket_file) = serve::bind(&config.state_dir)?;
    let desk = Desk { board: Arc::clone(&board), words: words.clone() };
    let mut serving = owned::once("the daemon's socket", serve::serve(socket, desk), |_| ready(()));
    let _beside = beside(&config, &store, &effects, &board, &words);
    let (plan, first) = (config.plan, config.first);
    let stopping = false;
    let daemon =
        Daemon { store, plan, board, inbox, words, relays, effects, comparer, witness, stopping };
    let outcome = tokio::select! {
        outcome = daemon.drive(first, guards) => outcome,
        // Nobody could ask it for anything any more: its supervisor starts another.
        () = serving.ended() => Err(Report::new("CO0146", "the daemon's socket has died")),
    };
    drop(serving);
    socket_file.remove().ok();
    supervisor::remove_worker_pid(&config.state_dir);
    outcome
}

/// What goes on beside the loop, and only shows or tries something.
fn beside(
    config: &Config,
    store: &Store,
    effects: &Effects,
    board: &Arc<Board>,
    words: &Words,
) -> [Owned; 4] {
    let (plan, databases) = (Arc::clone(&config.plan), effects.databases_of_plan());
    let gates = {
        let (gates, board) = (effects.gates(), Arc::clone(board));
        move || Effects::keep_gates_shown(gates.clone(), Arc::clone(&board))
    };
    let sessions = {
        let (plan, databases, board) = (Arc::clone(&plan), databases.clone(), Arc::clone(board));
        move || Effects::keep_unmovable_shown(plan.clone(), databases.clone(), board.clone())
    };
    let changes = {
        let (plan, databases, board) = (Arc::clone(&plan), databases.clone(), Arc::clone(board));
        let (folder, run) = (config.state_dir.clone(), store.run_id().to_owned());
        move || {
            watch::keep(plan.clone(), databases.clone(), folder.clone(), run.clone(), board.clone())
        }
    };
    let tasks = {
        let (board, words) = (Arc::clone(board), words.clone());
        move || tasks::keep(plan.clone(), databases.clone(), board.clone(), words.clone())
    };
    let told = || owned::told_on(board);
    [
        owned::lasting("the look at the gate", gates, told()),
        owned::lasting("the look at sessions that cannot move", sessions, told()),
        owned::lasting("the look at what changed since the copy", changes, told()),
        owned::lasting("the work that the restore left", tasks, told()),
    ]
}

struct Daemon {
    store: Store,
    plan: Arc<Plan>,
    board: Arc<Board>,
    inbox: Inbox,
    words: Words,
    relays: Relays,
    effects: Effects,
    comparer: Comparer,
    witness: Witness,
    /// Somebody asked it to stop, while nobody could write.
    stopping: bool,
}

impl Daemon {
    /// Runs to its end. Whoever leaves in the middle of an attempt lets clients go first, if nothing
    /// has happened yet.
    async fn drive(mut self, first: Option<Input>, guards: Guards) -> Result<(), Report> {
        // A run that nobody may write in is resolved by the rows themselves. One that is not believed
        // gives nobody orders.
        if !self.store.state().cutover.has_intended_seal() && !self.may_be_believed().await {
            return Ok(());
        }
        let outcome = self.go_on(first, guards).await;
        self.effects.let_go(self.store.state()).await;
        outcome
    }

    async fn go_on(&mut self, first: Option<Input>, guards: Guards) -> Result<(), Report> {
        // Before anything begins, so that no step can slip through.
        let is_new = self.store.is_new();
        if let Some(first) = first.filter(|_| is_new) {
            self.feed(&first)?;
        }
        self.feed(&Input::Restarted)?;
        // A run that goes on has its guards' standings in its journal.
        if is_new {
            for seen in guards.first_looks().await {
                self.feed(&seen)?;
            }
        }
        let _watched = guards.watch(&self.words);
        loop {
            let state = self.store.state();
            self.relays.keep(relays(state), state.pause.is_some()).await;
            if self.store.state().mode.is_over() {
                return self.linger().await;
            }
            if self.stopping && !self.store.state().cutover.has_intended_seal() {
                self.relays.stop().await;
                return Ok(());
            }
            let command = due(self.store.state(), &self.plan);
            match self.one_turn(command).await? {
                Turn::Input(input) => self.feed(&input)?,
                Turn::SomethingElseIsDue => {}
                Turn::Stop => self.stopping = true,
            }
        }
    }

    /// Whoever watches sees the end; whoever asks for what is done already is told that it is.
    async fn linger(&mut self) -> Result<(), Report> {
        let end = tokio::time::Instant::now() + LINGER;
        while let Ok(word) = tokio::time::timeout_at(end, self.inbox.next()).await {
            match word {
                Word::Asked { input, reply } => match self.store.feed(&self.plan, &input) {
                    Ok(()) => reply.accept(),
                    Err(Fed::Refused(refusal)) => reply.refuse(&refusal),
                    Err(e) => return Err(journal_failed(&e)),
                },
                Word::Verify(reply) => reply.give(Err("the migration is over".to_owned())),
                Word::Input(_) => {}
                Word::Stop => return Ok(()),
            }
        }
        Ok(())
    }

    /// Performs the command until it is done or something else is due.
    async fn one_turn(&mut self, command: Option<Command>) -> Result<Turn, Report> {
        let Daemon {
            store,
            plan,
            board,
            inbox,
            words,
            effects,
            comparer,
            witness,
            relays: lines,
            stopping,
        } = self;
        let state = store.state().clone();
        let waiting_for = effects.waiting_for();
        let mut effect = pin!(async {
            match &command {
                Some(command) => effects.perform(command, &state).await,
                None => std::future::pending().await,
            }
        });
        let mut finish_at = ask_for_finish_at(store.state(), plan);
        loop {
            let deadline = wake(store.state(), plan);
            let input = tokio::select! {
                input = &mut effect => return Ok(Turn::Input(input)),
                word = inbox.next() => match word {
                    Word::Input(input) => input,
                    Word::Asked { input, reply } => {
                        if let Some(doubt) = witness.against(store.state(), &input).await {
                            reply.give(Err(format!("nothing is done: {doubt}")));
                            continue;
                        }
                        let fed = store.feed(plan, &input);
                        board.tell(&store.news(), store.state());
                        match fed {
                            Ok(()) => reply.accept(),
                            Err(Fed::Refused(refusal)) => reply.refuse(&refusal),
                            Err(e) => return Err(journal_failed(&e)),
                        }
                        if due(store.state(), plan) != command {
                            return Ok(Turn::SomethingElseIsDue);
                        }
                        // A relay that gave up before a pause is started again after it. What is
                        // under way goes on: a seal that is dropped may commit unseen.
                        let goes_on = matches!(
                            input,
                            Input::GoOn { .. } | Input::GoOnUntil { .. } | Input::Resume { .. }
                        );
                        if goes_on {
                            let state = store.state();
                            lines.keep(relays(state), state.pause.is_some()).await;
                        }
                        continue;
                    }
                    Word::Verify(reply) => {
                        let authority = store.state().cutover.authority;
                        reply.give(comparer.start(authority, words.clone()));
                        continue;
                    }
                    // Stopping now would leave both sides closed.
                    Word::Stop if store.state().cutover.has_intended_seal() => {
                        *stopping = true;
                        continue;
                    }
                    Word::Stop => return Ok(Turn::Stop),
                },
                () = until(deadline) => out_of_time(store.state(), &waiting_for.blockers()),
                () = until(finish_at) => {
                    finish_at = None;
                    board.say(EventKind::Warning, ASK_FOR_FINISH);
                    continue;
                }
            };
            match store.feed(plan, &input) {
                Ok(()) => board.tell(&store.news(), store.state()),
                Err(Fed::Refused(refusal)) => tracing::warn!(?input, "not accepted: {refusal}"),
                Err(e) => return Err(journal_failed(&e)),
            }
            if due(store.state(), plan) != command {
                return Ok(Turn::SomethingElseIsDue);
            }
        }
    }

    /// Tells what was journalled.
    fn tell(&mut self) {
        let news = self.store.news();
        self.board.tell(&news, self.store.state());
    }

    fn feed(&mut self, input: &Input) -> Result<(), Report> {
        match self.store.feed(&self.plan, input) {
            // Before anybody was refused: the attempt is called off, or the journal is lost, too.
            Err(Fed::NoRoom(e)) => {
                let why = format!("the disk of the state folder has no room for what follows: {e}");
                self.feed(&Input::Cutover(CutoverInput::Failed { why }))
            }
            Ok(()) => {
                self.tell();
                Ok(())
            }
            // Between the effect's end and its answer something else became due.
            Err(Fed::Refused(refusal)) => {
                tracing::warn!(?input, "an answer came too late: {refusal}");
                Ok(())
            }
            Err(e) => Err(journal_failed(&e)),
        }
    }
}

enum Turn {
    Input(Input),
    SomethingElseIsDue,
    Stop,
}

/// The time of [`wake`] has come. Only the shell knows who was in the way.
fn out_of_time(state: &State, blockers: &Blockers) -> Input {
    let over = changeover_cutover::wake(&state.cutover).is_some_and(|at| at <= now());
    match &state.cutover.attempt {
        Some(attempt) if over && !blockers.is_empty() => {
            let verb = if attempt.to() == Side::Target { "apply" } else { "rollback" };
            let remedy = blockers.remedy(verb).map(|it| format!(" ({it})")).unwrap_or_default();
            let why = format!(
                "open work did not end within the write pause of {} ms: {}{remedy}",
                attempt.write_pause_ms,
                blockers.names()
            );
            if blockers.last() {
                Input::Futile { why }
            } else {
                Input::Cutover(CutoverInput::CallOffAsked { why })
            }
        }
        _ => Input::Deadline,
    }
}

/// Waits for this time of the wall clock; for ever if there is none.
pub(crate) async fn until(deadline: Option<changeover_types::WallMs>) {
    match deadline {
        Some(at) => sleep(at.since(now())).await,
        None => std::future::pending().await,
    }
}

fn journal_failed(error: &Fed) -> Report {
    Report::new("CO0124", "the journal failed; the daemon stops rather than act without it")
        .because(error)
        .hint("free some disk space; the daemon is started again by the next verb")
}
