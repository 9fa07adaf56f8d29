//! Where a program stands.

use changeover_types::Side;
use serde::{Deserialize, Serialize};

use super::RunState;

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
}
