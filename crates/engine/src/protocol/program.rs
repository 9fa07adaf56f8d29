//! Where a program stands.

use changeover_types::Side;
use serde::{Deserialize, Serialize};

use super::{ApprovalStatus, RunState, WaitsFor};

/// Where a program stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProgramStatus {
    /// The program.
    pub name: String,
    /// Tells this run from an earlier one of the same name.
    pub run_id: String,
    /// The digest of the program and of its components' plans.
    pub digest: String,
    /// The daemon's process id.
    pub pid: u32,
    /// The number of the last event of this daemon's life: watch from here to miss none.
    #[serde(default)]
    pub last_event: u64,
    /// What it is doing.
    pub state: RunState,
    /// The present phase; `None` when all steps are done.
    pub phase: Option<String>,
    /// The present step, as `phase/step`; `None` when all steps are done.
    pub step: Option<String>,
    /// How many steps are done.
    pub steps_done: usize,
    /// How many steps the program has.
    pub steps: usize,
    /// The approval that the program itself waits for.
    #[serde(default)]
    pub approval: Option<ApprovalStatus>,
    /// In the order of the program.
    pub components: Vec<ComponentStatus>,
}

/// Where a component stands, as its own daemon said last.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ComponentStatus {
    /// Its name in the program.
    pub name: String,
    /// The name of its migration: `changeover status` shows more of it.
    pub migration: String,
    /// What it is doing; `None` if it has no run, or none was seen yet.
    pub state: Option<RunState>,
    /// What the program ordered last.
    pub order: Option<String>,
    /// Its present step, as `phase/step`.
    pub step: Option<String>,
    /// How many of its steps are done.
    pub steps_done: usize,
    /// How many it has.
    pub steps: usize,
    /// The side whose database accepts writes.
    pub authority: Side,
    /// The target's share of its requests, in tenths of a per cent.
    pub target_permille: u16,
    /// Bytes that are not durable on the side that follows, if one does.
    pub lag_bytes: Option<u64>,
    /// Why its daemon cannot be asked, if it cannot.
    pub unreachable: Option<String>,
    /// The approval that its plan waits for.
    #[serde(default)]
    pub approval: Option<ApprovalStatus>,
}

impl ComponentStatus {
    /// What it waits for, the reason, and what a person can do about it.
    #[must_use]
    pub fn waits(&self) -> Option<(WaitsFor, &str, &str)> {
        match &self.state {
            Some(RunState::Waiting { waits_for, reason, next_command }) => {
                Some((*waits_for, reason, next_command))
            }
            _ => None,
        }
    }

    /// Whether something of it goes on, as far as is known.
    fn goes(&self) -> bool {
        match &self.state {
            Some(state) => !state.is_resting() && self.waits().is_none(),
            None => self.order.is_some(),
        }
    }
}

/// A program waits when one of its components does and no other goes on; for people first.
pub(crate) fn waiting(components: &[ComponentStatus]) -> Option<RunState> {
    if components.iter().any(ComponentStatus::goes) {
        return None;
    }
    let waiting = || components.iter().filter_map(|it| Some((it, it.waits()?)));
    let of_people = waiting().find(|(_, (waits_for, ..))| *waits_for == WaitsFor::Approval);
    let (first, (waits_for, _, next)) = of_people.or_else(|| waiting().next())?;
    let reasons: Vec<String> =
        waiting().map(|(it, (_, reason, _))| format!("{}: {reason}", it.name)).collect();
    let next_command = match waits_for {
        WaitsFor::Approval => next.to_owned(),
        WaitsFor::Window | WaitsFor::Guard => format!("{next} (with the plan of {})", first.name),
    };
    Some(RunState::Waiting { waits_for, reason: reasons.join("; "), next_command })
}
