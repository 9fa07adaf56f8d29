//! One worker for each component: gives it an order, or follows it. Both keep its daemon alive.

mod follow;
mod tell;

use std::sync::Arc;

use changeover_plan::Program;
use changeover_run::program::{Command, Input, Order};
use tokio::sync::mpsc;

use super::{Board, ComponentFiles, ProgramFiles, Word};
use crate::owned::{self, Owned};
use changeover_run::Next;

/// The workers.
#[derive(Debug)]
pub(super) struct Workers {
    slots: Vec<Slot>,
    desk: Desk,
    words: mpsc::Sender<Word>,
}

/// What every worker needs.
#[derive(Clone, Debug)]
struct Desk {
    program: Arc<Program>,
    components: Arc<Vec<ComponentFiles>>,
    board: Arc<Board>,
}

#[derive(Debug, Default)]
struct Slot {
    doing: Option<Command>,
    task: Option<Owned>,
    /// Tells the words of this worker from those of its predecessors.
    generation: u64,
}

/// A worker's line to the loop.
#[derive(Clone, Debug)]
struct Line {
    component: usize,
    generation: u64,
    words: mpsc::Sender<Word>,
}

impl Line {
    async fn say(&self, input: Input) {
        let Line { component, generation, .. } = *self;
        // A loop that has ended needs no news.
        self.words.send(Word::FromWorker { component, generation, input }).await.ok();
    }
}

impl Workers {
    pub(super) fn new(
        files: &ProgramFiles,
        board: &Arc<Board>,
        words: &mpsc::Sender<Word>,
    ) -> Workers {
        let desk = Desk {
            program: Arc::clone(&files.program),
            components: Arc::new(files.components.clone()),
            board: Arc::clone(board),
        };
        let slots = files.components.iter().map(|_| Slot::default()).collect();
        Workers { slots, desk, words: words.clone() }
    }

    /// Lets each component's worker do what is due and nothing else. An order that is being given is
    /// given to its end first, at most half a minute: a daemon that it starts must not come up
    /// behind the back of the next order.
    pub(super) fn keep(&mut self, due: Vec<Command>) {
        for component in 0..self.slots.len() {
            let wanted = due.iter().find(|it| it.component() == component).cloned();
            let slot = &mut self.slots[component];
            let gives = matches!(slot.doing, Some(Command::Tell { .. }));
            let busy = slot.task.as_ref().is_some_and(|task| !task.is_over());
            if slot.doing == wanted || (gives && busy) {
                continue;
            }
            slot.task = None;
            slot.generation += 1;
            slot.doing.clone_from(&wanted);
            let words = self.words.clone();
            let line = Line { component, generation: slot.generation, words };
            let desk = self.desk.clone();
            slot.task = wanted.map(|command| begin(command, desk, line));
        }
    }

    /// Whether a word is of the component's present worker.
    pub(super) fn takes_word_of(&mut self, component: usize, generation: u64) -> bool {
        self.slots.get_mut(component).is_some_and(|slot| {
            let present = slot.generation == generation;
            // An order's answer is its worker's last word: what is due next may begin.
            if present && matches!(slot.doing, Some(Command::Tell { .. })) {
                (slot.task, slot.doing) = (None, None);
            }
            present
        })
    }

    pub(super) fn stop(&mut self) {
        self.slots.iter_mut().for_each(|slot| slot.task = None);
    }
}

/// A worker that dies makes its component unreachable; one that follows is begun again.
fn begin(command: Command, desk: Desk, line: Line) -> Owned {
    let component = command.component();
    let order = match &command {
        Command::Tell { order, .. } => Some(order.clone()),
        Command::Follow { .. } => None,
    };
    let name = format!("the worker of component {component}");
    let dying = {
        let line = line.clone();
        move |why: String| {
            let (line, order) = (line.clone(), order.clone());
            let next = Next::Apply;
            async move { line.say(Input::Unreachable { component, order, why, next }).await }
        }
    };
    match &command {
        Command::Tell { .. } => owned::once(name, work(command, desk, line), dying),
        Command::Follow { .. } => {
            owned::lasting(name, move || work(command.clone(), desk.clone(), line.clone()), dying)
        }
    }
}

async fn work(command: Command, desk: Desk, line: Line) {
    match command {
        Command::Tell { component, order, appliers } => {
            let input = match tell::tell(&desk, component, &order, &appliers).await {
                Ok(()) => Input::Told { component, order },
                Err(report) => unreachable(component, Some(order), &report),
            };
            line.say(input).await;
        }
        Command::Follow { component, appliers } => {
            follow::follow(&desk, component, &appliers, &line).await;
        }
    }
}

fn unreachable(component: usize, order: Option<Order>, report: &crate::Report) -> Input {
    let mut why = report.headline.clone();
    if let Some(cause) = report.chain.first() {
        why = format!("{why}: {}", cause.trim().lines().last().unwrap_or_default());
    }
    let next = Next::Apply;
    Input::Unreachable { component, order, why, next }
}
