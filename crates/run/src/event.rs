//! What happened: the journal's words.

use changeover_canary::OutsideRule;
use changeover_cutover as cutover;
use changeover_plan::Unmovable;
use changeover_types::{CheckReport, Epoch, RouteName, Task, WallMs};
use serde::{Deserialize, Serialize};

use crate::canary::Watching;
use crate::control::{Standing, Who};
use crate::guard::Consequence;
use crate::state::{Bound, Pause};

/// A journal record of the run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Event {
    /// The present step begins.
    StepBegun {
        /// When.
        at: WallMs,
        /// Of a canary: who keeps their side is drawn by it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        salt: Option<u64>,
    },
    /// The present step is done; the next one is present.
    StepDone,
    /// All steps are done.
    PlanDone {
        /// When.
        at: WallMs,
    },
    /// Our objects are in both databases.
    Installed {
        /// What the shell found then, in its own words.
        facts: String,
    },
    /// The copy begins.
    CopyBegun,
    /// The copy's snapshot is gone.
    CopyLost,
    /// What the lost copy left is removed.
    CopyUndone,
    /// The rows are there.
    Copied {
        /// How many.
        rows: u64,
        /// How many bytes of the copy format.
        bytes: u64,
        /// How long the rows took, in milliseconds.
        took_ms: u64,
        /// Digest of the file that says what the source was beside its rows.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        definitions: Option<String>,
    },
    /// Indexes and constraints are there.
    Built {
        /// Digest of the file that says what the target was beside its rows.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        definitions: Option<String>,
    },
    /// What is left to do on the target now, of what no row depends on; it replaces what was.
    TasksLeft {
        /// All of it; empty when all is done.
        tasks: Vec<Task>,
    },
    /// The target has caught up.
    CaughtUp,
    /// The way back is live.
    ReverseReady,
    /// Both sides were compared.
    Verified {
        /// Rows compared.
        rows: u64,
        /// Rows that differ.
        different: u64,
    },
    /// The snapshots taken at the seal were compared.
    Proven {
        /// Of which change of authority.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        epoch: Option<Epoch>,
        /// Rows compared; `None` if the proof was lost with a process.
        rows: Option<u64>,
        /// Rows that differ.
        different: u64,
    },
    /// A check was carried out.
    Checked {
        /// What it found.
        report: CheckReport,
    },
    /// The gates obey this share.
    WeightSet {
        /// In tenths of a per cent.
        target_permille: u16,
        /// When.
        at: WallMs,
        /// Of this route alone.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        route: Option<RouteName>,
        /// By which who keeps their side is drawn.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        salt: Option<u64>,
    },
    /// The target is watched: what was seen so far.
    Watched {
        /// All of it.
        watching: Watching,
    },
    /// Both sides were asked for a metric from outside.
    OutsideAsked {
        /// Its index among the canary's.
        at: usize,
        /// How it is judged.
        rule: OutsideRule,
        /// At how many to one everything goes back.
        alarm_at: f64,
        /// When.
        asked: WallMs,
        /// The source's value and the target's, or why there is none.
        pair: Result<(f64, f64), String>,
    },
    /// The present weight of the canary did well.
    WeightPassed {
        /// Why, in numbers.
        #[serde(default)]
        why: String,
    },
    /// The present canary is to be through its weights by then.
    CanaryLimited {
        /// When.
        until: WallMs,
    },
    /// It was not.
    CanaryLate {
        /// When that was seen.
        at: WallMs,
        /// What it waited for.
        why: String,
    },
    /// A switch at once did well for as long as it was watched.
    SwitchPassed {
        /// In numbers.
        why: String,
    },
    /// One route of a phased move did well for as long as it was watched.
    RoutePassed {
        /// Which.
        route: RouteName,
        /// In numbers.
        why: String,
    },
    /// The next attempt waits.
    AttemptPutOff {
        /// Until when; `None` ends the waiting.
        until: Option<WallMs>,
    },
    /// The plan has changed where nothing rests on it; from here on this one counts.
    PlanChanged {
        /// Its digest.
        digest: String,
        /// Its text.
        text: String,
        /// What changed.
        what: Vec<String>,
        /// Whether the present step is another, and begins again.
        #[serde(default)]
        afresh: bool,
        /// Who said so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<Who>,
    },
    /// What becomes of sessions whose state cannot move, whatever the plan says.
    UnmovableSet {
        /// This.
        unmovable: Unmovable,
        /// Who said so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<Who>,
    },
    /// The attempt under way fails for a cause that time does not mend: another one would, too.
    AttemptFutile,
    /// A change of authority made a step.
    Cutover {
        /// Which.
        event: cutover::Event,
    },
    /// Nothing is begun until the operator says so.
    Paused {
        /// Why, and what goes on.
        pause: Pause,
    },
    /// The operator said so.
    Resumed {
        /// Who; not known of records before this was written down.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<Who>,
    },
    /// The run is to go so far and rest there.
    Bounded {
        /// `None`: to its end.
        until: Option<Bound>,
    },
    /// The way back begins.
    RollbackBegun {
        /// Why.
        why: String,
        /// Whether the run decided so by itself.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        automatic: bool,
        /// Who said so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<Who>,
    },
    /// The way back was looked at, and is taken.
    WayBackChecked {
        /// What stands against it; only a person goes back all the same.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        against: Vec<String>,
    },
    /// The way back is not taken after all: the target keeps authority.
    RollbackGivenUp {
        /// Whether the requests have to be led back to it; where they follow authority they never
        /// left.
        put_back: bool,
        /// Who said so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<Who>,
    },
    /// The source has everything again.
    RolledBack,
    /// After a rollback the plan is tried again from this step on.
    TriedAgain {
        /// Among the plan's steps.
        from: usize,
        /// Who said so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<Who>,
    },
    /// Everything of ours will be removed.
    AbortBegun {
        /// Who said so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<Who>,
        /// Why, if the run decided so by itself.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        why: Option<String>,
    },
    /// It is.
    Aborted,
    /// The way back will be ended.
    FinishBegun {
        /// Who said so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<Who>,
    },
    /// It is.
    Finished,
    /// Somebody ran `apply` on a plan that asks for approvals.
    AppliedBy {
        /// Who.
        who: Who,
    },
    /// The present step is left out.
    StepSkipped {
        /// Its index.
        step: usize,
        /// Who said so.
        who: Who,
        /// Why.
        why: String,
    },
    /// The present phase has a window, and this is it.
    WindowFound {
        /// The phase's index.
        phase: usize,
        /// When it opens.
        opens: WallMs,
        /// When it closes.
        closes: WallMs,
    },
    /// It is open.
    WindowReached,
    /// It closed before the phase, or the cutover in it, began.
    WindowClosed,
    /// It is not waited for.
    WindowSkipped {
        /// Who said so.
        who: Who,
        /// Why.
        why: String,
    },
    /// The hash of the source's catalogue is another than when it was looked at last.
    CatalogueSeen {
        /// The hash; `None` without a database.
        catalogue: Option<String>,
    },
    /// People are asked whether the present phase may begin.
    ApprovalAsked {
        /// The step that waits.
        step: String,
        /// When.
        at: WallMs,
        /// Until when they are waited for.
        expires: WallMs,
        /// The digest of what is known.
        facts: String,
        /// How many must say yes.
        needed: usize,
        /// Who may.
        from: Vec<String>,
    },
    /// One of them said yes.
    Approved {
        /// Who.
        who: Who,
        /// How it was said.
        method: String,
        /// The plan's digest.
        plan_digest: String,
        /// The step.
        step: String,
        /// The digest of what was known.
        facts: String,
        /// When the approval would have come too late.
        expires: WallMs,
        /// When it was given.
        at: WallMs,
    },
    /// One of them said no.
    ApprovalRejected {
        /// Who.
        who: Who,
        /// Why.
        why: String,
    },
    /// What was approved is no longer what would happen: it is asked for again.
    ApprovalVoid {
        /// Why.
        why: String,
    },
    /// Not enough of them said yes in time.
    ApprovalExpired,
    /// The phase may run.
    PhaseOpened {
        /// Its index.
        phase: usize,
    },
    /// The plan's deadline has come.
    DeadlineReached {
        /// When it was seen.
        at: WallMs,
    },
    /// A guard stands otherwise than before.
    GuardTurned {
        /// Which.
        guard: String,
        /// How it stands.
        to: Standing,
        /// Since when.
        at: WallMs,
        /// The figures.
        why: String,
    },
    /// A guard was bad, or without data, for as long as the plan bears.
    GuardActed {
        /// Which.
        guard: String,
        /// The figures.
        why: String,
        /// What came of it.
        consequence: Consequence,
    },
}
