//! What the shell of a program must do now. Derived from the state alone.

use super::state::{Component, Is, Order, State};
use crate::state::Mode;

/// What to do about one component; each is safe to do again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Give it this order, then answer [`super::Input::Told`] or [`super::Input::Unreachable`]. It
    /// may have been given in an earlier life that ended before its answer was journalled.
    Tell {
        /// Index of the component.
        component: usize,
        /// What.
        order: Order,
        /// Whoever ran `apply`, by identity: they have applied the component too, which it must know
        /// before it asks for approvals.
        appliers: Vec<String>,
    },
    /// Keep its daemon alive, and give [`super::Input::Seen`] for every change of where it stands.
    Follow {
        /// Index of the component.
        component: usize,
        /// Whoever ran `apply`, also after the order.
        appliers: Vec<String>,
    },
}

impl Command {
    /// Whom it is about.
    #[must_use]
    pub fn component(&self) -> usize {
        match self {
            Command::Tell { component, .. } | Command::Follow { component, .. } => *component,
        }
    }
}

/// What is to be done in this state: at most one command for each component, nothing for one that
/// was not begun, and nothing at all once the run is over.
#[must_use]
pub fn due(state: &State) -> Vec<Command> {
    if state.mode.is_over() {
        return vec![];
    }
    let appliers = || state.control.appliers.clone();
    let of = |(component, it): (usize, &Component)| {
        if !it.begun || is_at_its_end(it) {
            return None;
        }
        let unreachable = matches!(it.seen.is, Is::Unreachable { .. });
        match &it.order {
            Some(order) if !it.told && !unreachable && may_be_told(state, order) => {
                Some(Command::Tell { component, order: order.clone(), appliers: appliers() })
            }
            _ => Some(Command::Follow { component, appliers: appliers() }),
        }
    };
    state.components.iter().enumerate().filter_map(of).collect()
}

/// A run that is over has no daemon.
fn is_at_its_end(component: &Component) -> bool {
    matches!(component.seen.is, Is::Aborted | Is::Finished)
}

/// An order that was journalled, but not given before a stop, is never given after it.
fn may_be_told(state: &State, order: &Order) -> bool {
    match (&state.mode, order) {
        (Mode::Forward | Mode::Done, Order::Advance { .. }) => state.pause.is_none(),
        (Mode::Forward | Mode::Done, Order::Halt) => true,
        (Mode::RollingBack { .. }, Order::RollBack { .. })
        | (Mode::Aborting, Order::Abort)
        | (Mode::Finishing, Order::Finish) => state.pause.is_none(),
        _ => false,
    }
}
