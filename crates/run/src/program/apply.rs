//! What happened to a program, and what it makes of the state.

use changeover_types::WallMs;
use serde::{Deserialize, Serialize};

use super::state::{Component, Is, Order, Seen, State};
use crate::apply::apply_condition;
use crate::event::Event as RunEvent;
use crate::state::{Bound, Mode, Pause};

/// A journal record of a program's run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Event {
    /// People or clocks said something.
    Condition {
        /// What, as of a run.
        event: RunEvent,
    },
    /// The present step begins.
    StepBegun {
        /// When.
        #[serde(default)]
        at: WallMs,
    },
    /// The present step is done; the next one is present.
    StepDone,
    /// It is to rest there, or at its end.
    Bounded {
        /// Where.
        until: Option<Bound>,
    },
    /// All steps are done.
    ProgramDone {
        /// When.
        at: WallMs,
    },
    /// A component is to be told something.
    Ordered {
        /// Which.
        component: String,
        /// What.
        order: Order,
    },
    /// Its daemon has taken the order.
    Told {
        /// Which.
        component: String,
    },
    /// This was read back from it.
    Seen {
        /// Which.
        component: String,
        /// What.
        seen: Seen,
    },
    /// Nothing is begun until the operator says so.
    Paused {
        /// Why, and what goes on.
        pause: Pause,
    },
    /// The operator said so.
    Resumed,
    /// The way back begins.
    RollbackBegun {
        /// Why.
        why: String,
        /// Whether nobody asked for it.
        by_itself: bool,
    },
    /// Everything is on the source.
    RolledBack,
    /// After a rollback the program is tried again.
    TriedAgain,
    /// Everything of every component will be removed.
    AbortBegun,
    /// It is.
    Aborted,
    /// All ways back will be ended.
    FinishBegun,
    /// They are.
    Finished,
}

/// Makes the event so. Total.
pub fn apply(state: &mut State, event: &Event) {
    match event {
        Event::Condition { event } => apply_condition(&mut state.control, event),
        Event::StepBegun { at } => (state.begun, state.since) = (true, *at),
        Event::StepDone => {
            state.at += 1;
            state.begun = false;
        }
        Event::Bounded { until } => state.until.clone_from(until),
        Event::ProgramDone { at } => {
            state.mode = Mode::Done;
            state.done_at = Some(*at);
        }
        Event::Ordered { component, order } => ordered(state, component, order),
        Event::Told { component } => on(state, component, |it| it.told = true),
        Event::Seen { component, seen } => on(state, component, |it| it.seen = seen.clone()),
        Event::Paused { pause } => state.pause = Some(pause.clone()),
        Event::Resumed => {
            state.pause = None;
            state.components.iter_mut().for_each(begin_again);
        }
        Event::RollbackBegun { why, by_itself } => {
            turn(state, Mode::RollingBack { why: why.clone() });
            state.went_back_by_itself |= *by_itself;
        }
        Event::RolledBack => {
            let why = match &state.mode {
                Mode::RollingBack { why } => why.clone(),
                _ => String::new(),
            };
            turn(state, Mode::RolledBack { why });
        }
        Event::TriedAgain => {
            turn(state, Mode::Forward);
            (state.at, state.done_at) = (0, None);
            for component in &mut state.components {
                (component.order, component.rank) = (None, 0);
            }
        }
        Event::AbortBegun => turn(state, Mode::Aborting),
        Event::Aborted => turn(state, Mode::Aborted),
        Event::FinishBegun => turn(state, Mode::Finishing),
        Event::Finished => turn(state, Mode::Finished),
    }
}

fn on(state: &mut State, name: &str, change: impl FnOnce(&mut Component)) {
    if let Some(component) = state.components.iter_mut().find(|it| it.name == name) {
        change(component);
    }
}

fn ordered(state: &mut State, name: &str, order: &Order) {
    let next = state.components.iter().map(|it| it.rank).max().unwrap_or(0) + 1;
    let moves = matches!(order, Order::Advance { moves: true, .. });
    on(state, name, |component| {
        component.order = Some(order.clone());
        (component.begun, component.told) = (true, false);
        if moves && component.rank == 0 {
            component.rank = next;
        }
        forget(component);
    });
}

/// What was seen before is no answer to what is said now.
fn forget(component: &mut Component) {
    if !matches!(component.seen.is, Is::Aborted | Is::Finished) {
        component.seen.is = Is::Unknown;
    }
}

/// What stopped or could not be told is tried again.
fn begin_again(component: &mut Component) {
    if component.order == Some(Order::Halt) {
        component.order = None;
    } else if component.order.is_some() {
        component.told = false;
        forget(component);
    }
}

fn turn(state: &mut State, mode: Mode) {
    state.mode = mode;
    state.pause = None;
    state.until = None;
    state.control.turn();
    state.begun = false;
}
