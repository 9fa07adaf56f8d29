//! Where the run of a program stands.

use changeover_plan::{Leg, Program};
use changeover_types::{Side, WallMs};
use serde::{Deserialize, Serialize};

use crate::control::Control;
use crate::next::Next;
use crate::state::{Bound, Mode, Pause};

/// All that is known about a program's run. Rebuilt from the journal's events.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    /// What it is about.
    pub mode: Mode,
    /// Where it is to rest; at its end if nowhere else.
    pub until: Option<Bound>,
    /// Why nothing is begun at the moment, if so.
    pub pause: Option<Pause>,
    /// Index of the present step among the program's steps; their count when all are done.
    pub at: usize,
    /// Whether the present step was begun.
    pub begun: bool,
    /// When it was begun.
    pub since: WallMs,
    /// When all steps were done.
    pub done_at: Option<WallMs>,
    /// Whether it has gone back by itself: once in a run.
    pub went_back_by_itself: bool,
    /// What people and clocks have said.
    pub control: Control,
    /// In the order of the program.
    pub components: Vec<Component>,
}

/// One component as the program knows it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Component {
    /// Its name in the program.
    pub name: String,
    /// Whether it was ever ordered anything.
    pub begun: bool,
    /// What it was ordered to do last, as long as that counts.
    pub order: Option<Order>,
    /// Whether its daemon has taken that order.
    pub told: bool,
    /// The how manieth order that moves a component was its first one; 0 if it had none.
    pub rank: u32,
    /// What was read back last.
    pub seen: Seen,
}

/// What a component is ordered to do. Each may be given twice.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub enum Order {
    /// Go on until so many steps of its plan are done, and rest there.
    Advance {
        /// How many.
        steps: usize,
        /// Whether requests or authority move on the way.
        moves: bool,
    },
    /// Rest at the end of the present step.
    Halt,
    /// Back to the source.
    RollBack {
        /// Why.
        why: String,
    },
    /// Remove everything.
    Abort,
    /// End the way back.
    Finish,
}

/// What a component's daemon or journal says of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Seen {
    /// What it is doing.
    #[serde(flatten)]
    pub is: Is,
    /// How many steps of its plan are done.
    pub steps_done: usize,
    /// The target's share of its requests, in tenths of a per cent.
    pub target_permille: u16,
    /// Who has authority over its data.
    pub authority: Side,
}

impl Seen {
    /// Nothing was read back yet.
    #[must_use]
    pub fn nothing() -> Seen {
        Seen { is: Is::Unknown, steps_done: 0, target_permille: 0, authority: Side::Source }
    }

    /// Whether part of it is on the target.
    #[must_use]
    pub fn moved(&self) -> bool {
        self.target_permille > 0 || self.authority == Side::Target
    }
}

/// What a component is doing.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "kebab-case")]
pub enum Is {
    /// Not read back since it was ordered.
    Unknown,
    /// It has no run.
    Idle,
    /// Going through its steps.
    Running,
    /// Where it was told to rest.
    Resting,
    /// All its steps are done.
    Done,
    /// It waits for its operator.
    Paused {
        /// Why.
        why: String,
        /// The command that goes on.
        next: Next,
    },
    /// An order could not be given.
    Unreachable {
        /// Why.
        why: String,
        /// The command that goes on.
        next: Next,
    },
    /// On its way to the source.
    RollingBack {
        /// Why.
        why: String,
    },
    /// On the source again.
    RolledBack {
        /// Why.
        why: String,
    },
    /// Being removed.
    Aborting,
    /// Removed.
    Aborted,
    /// Its way back is being ended.
    Finishing,
    /// Its way back is ended.
    Finished,
}

impl State {
    /// Before the first step.
    #[must_use]
    pub fn new(program: &Program) -> State {
        let component = |name: &String| Component {
            name: name.clone(),
            begun: false,
            order: None,
            told: false,
            rank: 0,
            seen: Seen::nothing(),
        };
        State {
            mode: Mode::Forward,
            until: None,
            pause: None,
            at: 0,
            begun: false,
            since: WallMs::default(),
            done_at: None,
            went_back_by_itself: false,
            control: Control::default(),
            components: program.components.iter().map(|it| component(&it.name)).collect(),
        }
    }
}

impl State {
    /// Where it rests because it was told to go no further.
    #[must_use]
    pub fn rests(&self) -> Option<&Bound> {
        let forward = self.mode == Mode::Forward && self.pause.is_none();
        self.until.as_ref().filter(|bound| forward && self.at >= bound.steps)
    }
}

impl Component {
    /// Whether it was ordered to move and is not known to be back.
    #[must_use]
    pub fn is_out(&self) -> bool {
        self.rank > 0 && !self.is_back()
    }

    /// Whether everything of it is known to be on the source, to stay there.
    #[must_use]
    pub fn is_back(&self) -> bool {
        match self.seen.is {
            Is::RolledBack { .. } | Is::Aborted => !self.seen.moved(),
            Is::Idle => self.told && matches!(self.order, Some(Order::RollBack { .. })),
            _ => false,
        }
    }

    /// Whether it has come so far and is well.
    #[must_use]
    pub fn has_reached(&self, leg: Leg, first_move: usize) -> bool {
        match self.seen.is {
            Is::Running | Is::Resting | Is::Done | Is::Finishing | Is::Finished => {
                self.seen.steps_done >= leg.steps
            }
            // After a rollback what was copied is still good.
            Is::RolledBack { .. } => self.seen.steps_done.min(first_move) >= leg.steps,
            _ => false,
        }
    }

    /// Whether it is on its way to where it was ordered to go.
    #[must_use]
    pub fn is_under_way(&self) -> bool {
        match self.order {
            Some(Order::Advance { steps, .. }) => {
                let well = matches!(self.seen.is, Is::Running | Is::Resting | Is::Done);
                !(well && self.seen.steps_done >= steps)
            }
            _ => false,
        }
    }
}
