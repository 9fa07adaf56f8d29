//! A component as it really is: the shipping run, with its effects left out.

use changeover_plan::Component;
use changeover_run::Next;
use changeover_run::program::{Is, Order, Seen};
use changeover_types::Side;

/// One component's daemon and databases.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Real {
    /// What its run is doing.
    pub is: RealIs,
    /// How many steps are done.
    pub steps: usize,
    /// Where it rests.
    pub bound: usize,
    /// Whether it is on the target.
    pub moved: bool,
    /// How many steps its plan has.
    pub all_steps: usize,
    /// Index of the first that moves it.
    pub first_move: usize,
}

/// What a run is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RealIs {
    /// There is none.
    Idle,
    /// On its way to its bound, or resting there.
    Forward,
    /// It waits for its operator.
    Paused,
    /// On its way to the source.
    RollingBack,
    /// On the source.
    RolledBack,
    /// Being removed.
    Aborting,
    /// Removed.
    Aborted,
    /// Ending its way back.
    Finishing,
    /// Ended.
    Finished,
}

impl Real {
    /// No run.
    #[must_use]
    pub fn new(component: &Component) -> Real {
        let all_steps = component.steps();
        let first_move = component.plan.first_move().unwrap_or(all_steps);
        Real { is: RealIs::Idle, steps: 0, bound: 0, moved: false, all_steps, first_move }
    }

    /// What its daemon, or its journal, says.
    #[must_use]
    pub fn seen(&self) -> Seen {
        let why = || "itself".to_owned();
        let is = match self.is {
            RealIs::Idle => Is::Idle,
            RealIs::Forward if self.steps == self.all_steps => Is::Done,
            RealIs::Forward if self.steps >= self.bound => Is::Resting,
            RealIs::Forward => Is::Running,
            RealIs::Paused => Is::Paused { why: why(), next: Next::Apply },
            RealIs::RollingBack => Is::RollingBack { why: why() },
            RealIs::RolledBack => Is::RolledBack { why: why() },
            RealIs::Aborting => Is::Aborting,
            RealIs::Aborted => Is::Aborted,
            RealIs::Finishing => Is::Finishing,
            RealIs::Finished => Is::Finished,
        };
        let authority = if self.moved { Side::Target } else { Side::Source };
        Seen { is, steps_done: self.steps, target_permille: 0, authority }
    }

    /// Hears an order as the run's daemon does; whether it is accepted.
    pub fn hears(&mut self, order: &Order) -> bool {
        match order {
            Order::Advance { steps, .. } => self.advance(*steps),
            Order::Halt => {
                match self.is {
                    RealIs::Idle => (self.is, self.bound) = (RealIs::Forward, 0),
                    RealIs::Forward => self.bound = self.bound.min(self.steps + 1),
                    _ => {}
                }
                true
            }
            Order::RollBack { .. } => {
                match self.is {
                    RealIs::Forward | RealIs::Paused if self.moved => {
                        self.is = RealIs::RollingBack;
                    }
                    RealIs::Idle | RealIs::Forward | RealIs::Paused => {
                        self.is = RealIs::RolledBack;
                    }
                    _ => {}
                }
                true
            }
            Order::Abort if self.is == RealIs::Aborted => true,
            Order::Abort if self.moved => false,
            Order::Abort => {
                self.is = RealIs::Aborting;
                true
            }
            Order::Finish => match self.is {
                RealIs::Forward if self.steps == self.all_steps => {
                    self.is = RealIs::Finishing;
                    true
                }
                RealIs::Finishing | RealIs::Finished => true,
                _ => false,
            },
        }
    }

    fn advance(&mut self, steps: usize) -> bool {
        match self.is {
            RealIs::Idle => {}
            RealIs::Aborted => self.steps = 0,
            RealIs::Forward | RealIs::Paused => {
                if steps < self.steps {
                    return false;
                }
            }
            RealIs::RolledBack => self.steps = self.steps.min(self.first_move),
            _ => return true,
        }
        (self.is, self.bound) = (RealIs::Forward, steps);
        true
    }

    /// Whether it does something by itself.
    #[must_use]
    pub fn has_next(&self) -> bool {
        match self.is {
            RealIs::Forward => self.steps < self.bound,
            RealIs::RollingBack | RealIs::Aborting | RealIs::Finishing => true,
            _ => false,
        }
    }

    /// Does it.
    pub fn step(&mut self) {
        match self.is {
            RealIs::Forward => {
                self.moved |= self.steps >= self.first_move;
                self.steps += 1;
            }
            RealIs::RollingBack => (self.is, self.moved) = (RealIs::RolledBack, false),
            RealIs::Aborting => self.is = RealIs::Aborted,
            RealIs::Finishing => self.is = RealIs::Finished,
            _ => {}
        }
    }

    /// Whether it can pause.
    #[must_use]
    pub fn may_fail(&self) -> bool {
        self.is == RealIs::Forward
    }

    /// It pauses.
    pub fn fail(&mut self) {
        self.is = RealIs::Paused;
    }

    /// Whether it can go back by itself: while it is judged, before anybody builds on it.
    #[must_use]
    pub fn may_go_back(&self) -> bool {
        self.is == RealIs::Forward && self.first_move <= self.steps && self.steps < self.bound
    }

    /// It goes back.
    pub fn go_back(&mut self) {
        self.is = RealIs::RollingBack;
    }
}
