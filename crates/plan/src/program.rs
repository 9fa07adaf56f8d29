//! A program: several migrations with an order between them.
//!
//! A component is an ordinary plan in a file of its own, with its own run, journal and gates. A
//! program adds what no component can know: who needs whom, how far each goes in which step, and
//! what happens to the others when one fails.

mod explain;
mod read;
mod rules;

use std::iter;
use std::path::PathBuf;
use std::time::Duration;

use changeover_types::MigrationName;
use serde::Serialize;

use crate::model::{Entrance, Plan};

pub use explain::{ExplainedProgramStep, explain_program};
#[cfg(test)]
pub(crate) use read::keys_asked;
pub use read::{Unloaded, is_program, parse_program};

/// A sound program: every component's plan read and checked.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Program {
    /// Names the state folder.
    pub name: MigrationName,
    /// Who answers for it.
    pub owner: Option<String>,
    /// Where it is tracked.
    pub ticket: Option<String>,
    /// What happens to the others when a component fails.
    pub on_fail: OnComponentFail,
    /// In the order of the file; never empty.
    pub components: Vec<Component>,
    /// Groups that move in one step and go back together, as indices of components.
    pub together: Vec<Vec<usize>>,
    /// In order. Never empty, nor is a phase.
    pub phases: Vec<ProgramPhase>,
    /// Same meaning, same digest, the components' plans included.
    pub digest: String,
}

/// What happens when a component fails, or goes back by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnComponentFail {
    /// Everything that moved goes back to the source.
    Rollback,
    /// Nothing new begins; the operator decides.
    Pause,
}

/// One migration of a program.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Component {
    /// Its name in the program.
    pub name: String,
    /// Its plan's file as written; a relative one starts at the program's folder.
    pub file: PathBuf,
    /// Its plan.
    pub plan: Plan,
    /// Components that must have moved before it does.
    pub needs: Vec<usize>,
}

impl Component {
    /// How many of its steps are done when it is prepared: all whole phases before the first that
    /// moves requests or authority.
    #[must_use]
    pub fn prepared(&self) -> usize {
        let first_move = self.plan.first_move().unwrap_or(usize::MAX);
        let ends = self.plan.phases.iter().scan(0, |sum, phase| {
            *sum += phase.steps.len();
            Some(*sum)
        });
        ends.take_while(|end| *end <= first_move).last().unwrap_or(0)
    }

    /// How many steps it has.
    #[must_use]
    pub fn steps(&self) -> usize {
        self.plan.steps().count()
    }

    /// The phase that ends after so many steps.
    #[must_use]
    pub fn phase_ending_at(&self, steps: usize) -> Option<&str> {
        let mut sum = 0;
        self.plan.phases.iter().find_map(|phase| {
            sum += phase.steps.len();
            (sum == steps).then_some(phase.name.as_str())
        })
    }
}

/// Steps with a common purpose.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ProgramPhase {
    /// Unique in the program.
    pub name: String,
    /// What must be so before it begins.
    pub entrance: Entrance,
    /// In order; never empty.
    pub steps: Vec<ProgramStep>,
}

/// Components that go some way side by side.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProgramStep {
    /// As it was written.
    pub kind: ProgramStepKind,
    /// Who goes how far; empty if a `prepare: all` finds nothing to prepare.
    pub legs: Vec<Leg>,
    /// How many of them at the same time.
    pub at_once: usize,
    /// What the program itself does instead.
    pub own: Option<Own>,
}

/// A step in which no component goes anywhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Own {
    /// Nothing but time, with everything watched.
    Soak {
        /// How long.
        #[serde(rename = "for")]
        for_: Duration,
    },
}

/// How a step was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProgramStepKind {
    /// Everything that moves nothing yet: copy and compare.
    Prepare,
    /// To the end of the component's plan.
    Move,
    /// To the end of a named phase.
    To,
    /// A wait of the program's own.
    Soak,
}

impl ProgramStepKind {
    /// As written in the program.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            ProgramStepKind::Prepare => "prepare",
            ProgramStepKind::Move => "move",
            ProgramStepKind::To => "to",
            ProgramStepKind::Soak => "soak",
        }
    }
}

/// One component's part of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Leg {
    /// Whose.
    pub component: usize,
    /// How many of its plan's steps are done at the end: always the end of one of its phases.
    pub steps: usize,
}

/// A step and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct PlacedProgramStep<'a> {
    /// `phase/kind`; a second one of the same kind in a phase is `phase/kind-2`.
    pub path: String,
    /// The phase's index.
    pub phase_index: usize,
    /// The phase's name.
    pub phase: &'a str,
    /// The step.
    pub step: &'a ProgramStep,
}

impl Program {
    /// All steps in order, each with its path.
    pub fn steps(&self) -> impl Iterator<Item = PlacedProgramStep<'_>> {
        self.phases.iter().enumerate().flat_map(|(phase_index, phase)| {
            phase.steps.iter().enumerate().map(move |(index, step)| PlacedProgramStep {
                path: path_in(phase, index),
                phase_index,
                phase: &phase.name,
                step,
            })
        })
    }

    /// How many steps are done at the end of this phase.
    #[must_use]
    pub fn steps_until(&self, phase: &str) -> Option<usize> {
        let mut sum = 0;
        self.phases.iter().find_map(|it| {
            sum += it.steps.len();
            (it.name == phase).then_some(sum)
        })
    }

    /// The component of this name.
    #[must_use]
    pub fn component(&self, name: &str) -> Option<usize> {
        self.components.iter().position(|component| component.name == name)
    }

    /// Whether a leg moves requests or authority.
    #[must_use]
    pub fn leg_moves(&self, leg: Leg) -> bool {
        self.components.get(leg.component).is_some_and(|it| leg.steps > it.prepared())
    }

    /// The components that need this one.
    pub fn dependants(&self, component: usize) -> impl Iterator<Item = usize> {
        let needs = move |it: &Component| it.needs.contains(&component);
        self.components.iter().enumerate().filter(move |(_, it)| needs(it)).map(|(index, _)| index)
    }
}

fn path_in(phase: &ProgramPhase, index: usize) -> String {
    let kind = phase.steps[index].kind;
    let earlier = phase.steps[..index].iter().filter(|step| step.kind == kind).count();
    let suffix = iter::once(format!("-{}", earlier + 1)).filter(|_| earlier > 0);
    iter::once(format!("{}/{}", phase.name, kind.as_str())).chain(suffix).collect()
}
