//! What happened, and what it makes of the state.

use changeover_canary::OutsideRule;
use changeover_cutover as cutover;
use changeover_types::{CheckReport, RouteName, Share, WallMs};
use serde::{Deserialize, Serialize};

use crate::canary::Watching;
use crate::control::{Approval, Control, GuardState, Standing, WayBack, Who, WindowState};
use crate::guard::Consequence;
use crate::state::{Bound, DataStage, Mode, Pause, State};

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
    },
    /// Indexes and constraints are there.
    Built,
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

/// Makes the event so. Total.
pub fn apply(state: &mut State, event: &Event) {
    match event {
        Event::StepBegun { at, salt } => {
            state.since = Some(*at);
            state.newest_salt = salt.unwrap_or(state.newest_salt);
        }
        Event::StepDone => {
            state.at += 1;
            begin_afresh(state);
        }
        Event::PlanDone { at } => {
            state.mode = Mode::Done;
            state.done_at = Some(*at);
        }
        Event::Installed { facts } => {
            state.data = DataStage::Installed;
            state.facts = Some(facts.clone());
        }
        Event::CopyUndone => state.data = DataStage::Installed,
        Event::CopyBegun => state.data = DataStage::Copying,
        Event::CopyLost => state.data = DataStage::CopyLost,
        Event::Copied { .. } => state.data = DataStage::Copied,
        Event::Built => state.data = DataStage::Built,
        Event::CaughtUp => state.data = DataStage::Following,
        Event::ReverseReady => state.reverse_ready = true,
        Event::Verified { different, .. } => state.control.different = Some(*different),
        Event::Proven { .. } | Event::Checked { .. } => {}
        Event::WeightSet { target_permille, at, route, salt } => {
            let (target_permille, salt) = (*target_permille, salt.unwrap_or_default());
            let share = Share { target_permille, salt };
            state.split.set(route.as_ref(), share, &mut state.target_permille);
            state.since = Some(*at);
        }
        Event::Watched { watching } => state.watching = Some(watching.clone()),
        Event::OutsideAsked { at, rule, alarm_at, asked, pair } => {
            if let Some(Watching::Canary(judge)) = &mut state.watching {
                judge.take_outside(*at, (rule, *alarm_at), *asked, pair.clone());
            }
        }
        Event::WeightPassed { .. } => state.canary_index += 1,
        Event::CanaryLimited { until } => state.canary_until = Some(*until),
        Event::CanaryLate { .. } => state.canary_late = true,
        Event::SwitchPassed { .. } => {}
        Event::RoutePassed { .. } => {
            state.canary_index += 1;
            state.watching = None;
        }
        Event::AttemptPutOff { until } => {
            if until.is_some() {
                state.attempts_used += 1;
            }
            state.next_attempt_at = *until;
        }
        Event::Cutover { event } => cutover::apply(&mut state.cutover, event),
        Event::Paused { pause } => state.pause = Some(pause.clone()),
        Event::Resumed { .. } => {
            state.pause = None;
            state.attempts_used = 0;
            state.next_attempt_at = None;
            if std::mem::take(&mut state.canary_late) {
                state.canary_until = None;
            }
        }
        Event::Bounded { until } => state.until.clone_from(until),
        Event::RollbackBegun { why, automatic, .. } => {
            turn(state, Mode::RollingBack { why: why.clone() });
            state.control.automatic_rollbacks += u32::from(*automatic);
            state.control.way_back = if *automatic { WayBack::ToProve } else { WayBack::ToTell };
        }
        Event::WayBackChecked { .. } => state.control.way_back = WayBack::Clear,
        Event::RolledBack => {
            let why = match &state.mode {
                Mode::RollingBack { why } => why.clone(),
                _ => String::new(),
            };
            turn(state, Mode::RolledBack { why });
        }
        Event::TriedAgain { from, .. } => {
            turn(state, Mode::Forward);
            state.at = *from;
        }
        Event::AbortBegun { .. } => turn(state, Mode::Aborting),
        Event::Aborted => turn(state, Mode::Aborted),
        Event::FinishBegun { .. } => turn(state, Mode::Finishing),
        Event::Finished => turn(state, Mode::Finished),
        condition => apply_condition(&mut state.control, condition),
    }
}

/// What people, clocks and guards said: of a run, or of a program.
pub(crate) fn apply_condition(control: &mut Control, event: &Event) {
    match event {
        Event::AppliedBy { who } => control.appliers.push(who.identity().to_owned()),
        Event::StepSkipped { step, .. } if control.skipped.contains(step) => {}
        Event::StepSkipped { step, .. } => control.skipped.push(*step),
        Event::WindowFound { phase, opens, closes } => {
            let (phase, opens, closes) = (*phase, *opens, *closes);
            control.window = Some(WindowState { phase, opens, closes, reached: false });
        }
        Event::WindowReached => {
            if let Some(window) = &mut control.window {
                window.reached = true;
            }
        }
        Event::WindowClosed => {
            (control.opened, control.window, control.approval) = (None, None, None);
        }
        Event::WindowSkipped { .. } => {
            if let Some(window) = &mut control.window {
                (window.closes, window.reached) = (WallMs(u64::MAX), true);
            }
        }
        Event::CatalogueSeen { catalogue } => control.catalogue.clone_from(catalogue),
        Event::ApprovalAsked { step, expires, facts, needed, from, .. } => {
            control.approval = Some(Approval {
                step: step.clone(),
                expires: *expires,
                facts: facts.clone(),
                needed: *needed,
                from: from.clone(),
                given: Vec::new(),
            });
        }
        Event::Approved { who, .. } => {
            if let Some(asked) = &mut control.approval {
                asked.given.push(who.identity().to_owned());
            }
        }
        Event::ApprovalRejected { .. } | Event::ApprovalVoid { .. } | Event::ApprovalExpired => {
            control.approval = None;
        }
        Event::PhaseOpened { phase } => control.opened = Some(*phase),
        Event::DeadlineReached { .. } => control.deadline_reached = true,
        Event::GuardTurned { guard, to: Standing::Good, .. } => {
            control.guards.remove(guard);
        }
        Event::GuardTurned { guard, to, at, why } => {
            // One that held goes on holding until it is good.
            let holds = control.guards.get(guard).is_some_and(|known| known.holds);
            let turned = GuardState { is: *to, since: *at, why: why.clone(), acted: false, holds };
            control.guards.insert(guard.clone(), turned);
        }
        Event::GuardActed { guard, why, consequence } => {
            if let Some(known) = control.guards.get_mut(guard) {
                known.acted = true;
                known.why.clone_from(why);
                known.holds |= *consequence == Consequence::Held;
            }
        }
        _ => {}
    }
}

fn turn(state: &mut State, mode: Mode) {
    state.mode = mode;
    state.pause = None;
    state.until = None;
    state.control.turn();
    begin_afresh(state);
}

fn begin_afresh(state: &mut State) {
    state.since = None;
    state.canary_index = 0;
    (state.canary_until, state.canary_late) = (None, false);
    state.watching = None;
    state.attempts_used = 0;
    state.next_attempt_at = None;
}

#[cfg(test)]
mod tests;
