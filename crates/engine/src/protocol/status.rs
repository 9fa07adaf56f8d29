//! Where a run stands.

use std::collections::BTreeMap;

use changeover_plan::StepKind;
use changeover_postgres::type_numbers::Comparison;
use changeover_routing::RouteMetrics;
use changeover_run::{Mode, Next, ProofStage, State};
use changeover_types::{Epoch, RouteName, Side, WallMs};
use serde::{Deserialize, Serialize};

use super::control::{self, ControlStatus, WaitsFor};

/// Where a run stands. Parts that do not apply, or are not known at the moment, are absent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunStatus {
    /// The migration.
    pub name: String,
    /// Tells this run from an earlier one of the same name.
    pub run_id: String,
    /// The plan's digest.
    pub plan_digest: String,
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
    /// What it does.
    #[serde(default)]
    pub step_kind: Option<StepKind>,
    /// How many steps are done.
    pub steps_done: usize,
    /// How many steps the plan has.
    pub steps: usize,
    /// The side whose database accepts writes.
    pub authority: Side,
    /// The newest epoch.
    pub epoch: Epoch,
    /// The target's share of requests, in tenths of a per cent; in a plan with routes of all that no
    /// step of their own has moved.
    pub target_permille: u16,
    /// The same of each route, the rest last; empty without routes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<RouteStatus>,
    /// The copy.
    pub copy: Option<CopyStatus>,
    /// The relay from source to target.
    pub forward: Option<RelayStatus>,
    /// The relay from target to source.
    pub reverse: Option<RelayStatus>,
    /// The last or present comparison.
    pub verify: Option<VerifyStatus>,
    /// The check that is being carried out.
    #[serde(default)]
    pub check: Option<CheckStatus>,
    /// The canary.
    pub canary: Option<CanaryStatus>,
    /// The cutover.
    pub cutover: Option<CutoverStatus>,
    /// How the numbers of types compare, once the schema is on the target.
    #[serde(default)]
    pub type_numbers: Option<Comparison>,
    /// The gates.
    pub gates: Option<GatesStatus>,
    /// Objects of both sides that are not as they were at the copy and stop a cutover, in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changed: Vec<String>,
    /// What people, clocks and guards have said, and how each step ended.
    #[serde(default)]
    pub control: ControlStatus,
}

/// What a run is doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "kebab-case")]
pub enum RunState {
    /// Going through the plan's steps.
    Running,
    /// Waiting for its operator; relays go on.
    Paused {
        /// What happened.
        reason: String,
        /// The command that goes on.
        next_command: Next,
    },
    /// At the end of the phase that `apply --until` named; `apply` goes on.
    Resting {
        /// Which.
        phase: String,
    },
    /// Begins nothing until something is so; goes on by itself then.
    Waiting {
        /// What must be so.
        waits_for: WaitsFor,
        /// In words.
        reason: String,
        /// What a person can do about it.
        next_command: String,
    },
    /// All steps are done; the way back is open, and the guards are looked at.
    Done {
        /// The guards that are bad, or without data, for as long as the plan bears, and why.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        alarms: Vec<String>,
    },
    /// Going back to the source.
    RollingBack {
        /// Why.
        why: String,
    },
    /// The source has everything again; the target is sealed and follows.
    RolledBack {
        /// Why.
        why: String,
    },
    /// Removing everything we made.
    Aborting,
    /// Removed.
    Aborted,
    /// Ending the way back.
    Finishing,
    /// Ended.
    Finished,
    /// The daemon cannot go on by itself.
    Failed {
        /// What happened.
        reason: String,
        /// What to do.
        next_command: Next,
    },
}

impl From<&State> for RunState {
    fn from(state: &State) -> RunState {
        if let Some(pause) = &state.pause {
            return RunState::Paused { reason: pause.why.clone(), next_command: pause.next };
        }
        if let Some(bound) = state.rests() {
            return RunState::Resting { phase: bound.phase.clone() };
        }
        match &state.mode {
            // Its requests are led back to the target.
            Mode::Forward if state.before_rollback.is_some() => RunState::Running,
            Mode::Forward => control::waiting(&state.control).unwrap_or(RunState::Running),
            Mode::Done => RunState::Done { alarms: state.control.alarms() },
            Mode::RollingBack { why } => RunState::RollingBack { why: why.clone() },
            Mode::RolledBack { why } => RunState::RolledBack { why: why.clone() },
            Mode::Aborting => RunState::Aborting,
            Mode::Aborted => RunState::Aborted,
            Mode::Finishing => RunState::Finishing,
            Mode::Finished => RunState::Finished,
        }
    }
}

impl RunState {
    /// Whether it waits for a person or is at an end: a verb that watches may leave.
    #[must_use]
    pub fn is_resting(&self) -> bool {
        !matches!(
            self,
            RunState::Running
                | RunState::Waiting { .. }
                | RunState::RollingBack { .. }
                | RunState::Aborting
                | RunState::Finishing
        )
    }

    /// In one or two words.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            RunState::Running => "running",
            RunState::Resting { .. } => "resting",
            RunState::Waiting { .. } => "waiting",
            RunState::Paused { .. } => "paused",
            RunState::Done { .. } => "done",
            RunState::RollingBack { .. } => "rolling back",
            RunState::RolledBack { .. } => "rolled back",
            RunState::Aborting => "aborting",
            RunState::Aborted => "aborted",
            RunState::Finishing => "finishing",
            RunState::Finished => "finished",
            RunState::Failed { .. } => "failed",
        }
    }
}

/// The copy. Counts are of rows that are durable on the target.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CopyStatus {
    /// Tables that are complete.
    pub tables_done: u64,
    /// Tables in all.
    pub tables: u64,
    /// Rows.
    pub rows: u64,
    /// The catalogue's estimate of all rows; 0 if it has none.
    pub rows_estimated: u64,
    /// Bytes of the copy format.
    pub bytes: u64,
    /// The present rate.
    pub bytes_per_s: u64,
    /// Estimated seconds to the end.
    pub eta_s: Option<u64>,
    /// How long snapshot, schema and rows took in all, once the rows are there, in milliseconds.
    #[serde(default)]
    pub took_ms: Option<u64>,
    /// What is done at the moment: `schema`, `rows`, `indexes`, `constraints`, …
    pub stage: String,
}

/// A relay.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RelayStatus {
    /// Bytes of the sender's log that are not durable on the receiver.
    pub lag_bytes: u64,
    /// Age of the newest applied transaction, as the heartbeat shows it.
    pub lag_ms: Option<u64>,
    /// Transactions applied.
    pub applied_tx: u64,
    /// Row changes a second, lately.
    pub changes_per_s: u64,
    /// Whether its segment is open: it applies; otherwise it discards.
    pub segment_open: bool,
}

/// A comparison.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct VerifyStatus {
    /// Tables compared.
    pub tables_done: u64,
    /// Tables in all.
    pub tables: u64,
    /// Rows compared.
    pub rows_compared: u64,
    /// Rows that differ.
    pub rows_different: u64,
    /// A few of them, as `schema.table (key)`.
    pub examples: Vec<String>,
    /// Whether it is complete.
    pub complete: bool,
    /// Classes of what was not compared, with counts, in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_compared: Vec<String>,
    /// Why there will be no result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
}

impl VerifyStatus {
    /// Whether nothing more is to come of it.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.complete || self.failed.is_some()
    }
}

/// A check that is being carried out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CheckStatus {
    /// `smoke`, `load`, `run` or `mirror`.
    pub check: String,
    /// How far it is, in words.
    pub detail: String,
    /// How much of it is done, in thousandths, where that is known.
    pub done_permille: Option<u16>,
    /// Seconds to its end, where that is known.
    pub eta_s: Option<u64>,
    /// What was measured so far, units in the names.
    #[serde(default)]
    pub numbers: BTreeMap<String, u64>,
}

impl CheckStatus {
    /// One that has just begun.
    #[must_use]
    pub fn of(check: &str) -> CheckStatus {
        CheckStatus { check: check.to_owned(), ..CheckStatus::default() }
    }
}

/// A route's share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteStatus {
    /// Which.
    pub name: RouteName,
    /// The target's share of its requests, in tenths of a per cent.
    pub target_permille: u16,
}

/// The canary's last look.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CanaryStatus {
    /// The target's share, in tenths of a per cent.
    pub weight_permille: u16,
    /// Of these routes' requests; of all if empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<RouteName>,
    /// How long it must stay at this share yet, whatever is proven, in milliseconds.
    pub remaining_ms: u64,
    /// Requests that the target answered at this share.
    pub target_requests: u64,
    /// Of them failed, or late.
    pub target_errors: u64,
    /// Of those, the ones without an answer when they were decided.
    #[serde(default)]
    pub target_late: u64,
    /// When this share would be passed at the present rate, in milliseconds; absent if that cannot
    /// be told.
    #[serde(default)]
    pub left_ms: Option<u64>,
    /// The source's p99, in microseconds.
    pub source_p99_us: Option<u64>,
    /// The target's p99, in microseconds.
    pub target_p99_us: Option<u64>,
    /// The strongest evidence against the target, in words.
    #[serde(default)]
    pub against: Option<String>,
    /// At this much of it (to 1) everything goes back.
    #[serde(default)]
    pub back_at: Option<f64>,
    /// Why it neither goes on nor back yet.
    #[serde(default)]
    pub waiting_for: Option<String>,
    /// Metrics from outside.
    #[serde(default)]
    pub outside: Vec<OutsideStatus>,
    /// By when it is to be through its weights.
    #[serde(default)]
    pub until: Option<WallMs>,
    /// Whether it was not.
    #[serde(default)]
    pub late: bool,
}

/// A metric from outside. Its claim is weaker than that of requests: it holds only if each pair of
/// values is as likely to fall either way while the target is not worse.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct OutsideStatus {
    /// As the plan calls it.
    pub name: String,
    /// The values, in words.
    pub seen: String,
    /// How many to one against the target.
    pub against: f64,
    /// At this many everything goes back.
    pub back_at: f64,
    /// Why there is no value at the moment, if so.
    #[serde(default)]
    pub silent: Option<String>,
}

/// The cutover, and the rollback, which is the same with the sides swapped.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CutoverStatus {
    /// Attempts so far.
    pub attempts: u32,
    /// Why the last one was called off, with the blockers.
    pub last_called_off: Option<String>,
    /// The longest time from hold to seal of the attempt that succeeded, in milliseconds.
    pub write_pause_ms_max: Option<u64>,
    /// The longest time any client waited at a hold, in milliseconds.
    pub longest_wait_ms: Option<u64>,
    /// Whether both sides were compared as they were at the seal.
    #[serde(default)]
    pub proof: Option<ProofStage>,
}

/// The gates, summed up.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GatesStatus {
    /// Whether the gate answers.
    pub reachable: bool,
    /// Client connections.
    pub clients: u64,
    /// Work that is parked.
    pub parked: u64,
    /// HTTP requests since the gate started.
    pub http_requests: u64,
    /// Of them failed.
    pub http_errors: u64,
    /// The same by route and by the environment that answered; empty without routes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub routes: BTreeMap<RouteName, BTreeMap<Side, RouteMetrics>>,
}

impl RunStatus {
    /// The highest share that the target has of any route.
    #[must_use]
    pub fn highest_permille(&self) -> u16 {
        self.routes.iter().map(|route| route.target_permille).fold(self.target_permille, u16::max)
    }

    /// A status with every part, for tests of protocol and rendering.
    #[cfg(test)]
    pub(crate) fn example() -> RunStatus {
        RunStatus {
            name: "shop".into(),
            run_id: "r1".into(),
            plan_digest: "00ff".into(),
            pid: 42,
            last_event: 7,
            state: RunState::Paused { reason: "why".into(), next_command: Next::Apply },
            phase: Some("copy".into()),
            step: Some("copy/verify".into()),
            step_kind: Some(StepKind::Verify),
            steps_done: 1,
            steps: 6,
            authority: Side::Source,
            epoch: Epoch(1),
            target_permille: 50,
            routes: Vec::new(),
            copy: Some(CopyStatus {
                eta_s: Some(3),
                stage: "rows".into(),
                ..CopyStatus::default()
            }),
            forward: Some(RelayStatus { lag_ms: Some(1), ..RelayStatus::default() }),
            reverse: Some(RelayStatus::default()),
            verify: Some(VerifyStatus::default()),
            check: Some(CheckStatus::of("smoke")),
            canary: Some(CanaryStatus::default()),
            cutover: Some(CutoverStatus::default()),
            type_numbers: Some(Comparison::default()),
            gates: Some(GatesStatus::default()),
            changed: Vec::new(),
            control: ControlStatus::default(),
        }
    }
}
