//! What an event makes of the state.

use changeover_cutover as cutover;
use changeover_types::{Share, WallMs};

use crate::canary::Watching;
use crate::control::{Approval, Control, GuardState, Standing, WayBack, WindowState};
use crate::event::Event;
use crate::guard::Consequence;
use crate::state::{BeforeRollback, DataStage, Mode, Proof, ProofStage, State};

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
        Event::Copied { definitions, .. } => {
            state.data = DataStage::Copied;
            state.definitions.source.clone_from(definitions);
        }
        Event::Built { definitions } => {
            state.data = DataStage::Built;
            state.definitions.target.clone_from(definitions);
        }
        Event::TasksLeft { tasks } => state.tasks.clone_from(tasks),
        Event::CaughtUp => state.data = DataStage::Following,
        Event::ReverseReady => state.reverse_ready = true,
        Event::Verified { different, .. } => {
            state.control.different = Some(*different);
            if let Some(proof) = state.proof.as_mut().filter(|it| it.stage == ProofStage::Lost) {
                proof.stage = ProofStage::Done;
            }
        }
        Event::Proven { epoch, rows, .. } => {
            // One that comes late says nothing of a later change of authority.
            let of_it = |proof: &&mut Proof| epoch.is_none_or(|epoch| epoch == proof.epoch);
            if let Some(proof) = state.proof.as_mut().filter(of_it) {
                proof.stage = if rows.is_some() { ProofStage::Done } else { ProofStage::Lost };
            }
        }
        Event::Checked { .. } => {}
        Event::WeightSet { target_permille, at, route, salt } => {
            let (target_permille, salt) = (*target_permille, salt.unwrap_or_default());
            let share = Share { target_permille, salt };
            state.split.set(route.as_ref(), share, &mut state.target_permille);
            let is_as_before = |it: &mut BeforeRollback| {
                (it.target_permille, &it.split) == (state.target_permille, &state.split)
            };
            if state.mode == Mode::Forward && state.before_rollback.is_some() {
                // No step asked for it.
                state.before_rollback.take_if(is_as_before);
            } else {
                state.since = Some(*at);
            }
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
            state.futile = false;
        }
        Event::PlanChanged { digest, afresh, .. } => {
            state.plan_digest = Some(digest.clone());
            state.unmovable = None;
            state.control.plan_changed(state.since.is_some());
            if *afresh {
                begin_afresh(state);
            }
        }
        Event::UnmovableSet { unmovable, .. } => state.unmovable = Some(*unmovable),
        Event::AttemptFutile => state.futile = true,
        Event::Cutover { event } => {
            cutover::apply(&mut state.cutover, event);
            if matches!(event, cutover::Event::Granted) {
                let epoch = state.cutover.authority_epoch;
                state.proof = Some(Proof { epoch, stage: ProofStage::Pending });
            }
        }
        Event::Paused { pause } => state.pause = Some(pause.clone()),
        Event::Resumed { .. } => {
            state.pause = None;
            state.attempts_used = 0;
            state.next_attempt_at = None;
            state.futile = false;
            if std::mem::take(&mut state.canary_late) {
                state.canary_until = None;
            }
        }
        Event::Bounded { until } => state.until.clone_from(until),
        Event::RollbackBegun { why, automatic, .. } => {
            let now = BeforeRollback {
                target_permille: state.target_permille,
                split: state.split.clone(),
                until: state.until.clone(),
            };
            // One that is given up may not have put everything back yet.
            state.before_rollback.get_or_insert(now);
            turn(state, Mode::RollingBack { why: why.clone() });
            state.control.automatic_rollbacks += u32::from(*automatic);
            state.control.way_back = if *automatic { WayBack::ToProve } else { WayBack::ToTell };
        }
        Event::WayBackChecked { .. } => state.control.way_back = WayBack::Clear,
        Event::RollbackGivenUp { put_back, .. } => {
            turn(state, Mode::Forward);
            let before = state.before_rollback.take();
            state.until = before.as_ref().and_then(|before| before.until.clone());
            let moved = |it: &BeforeRollback| it.split.highest(it.target_permille) > 0;
            state.before_rollback = before.filter(|it| *put_back && moved(it));
        }
        Event::RolledBack => {
            state.before_rollback = None;
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
        Event::AbortBegun { .. } => {
            state.before_rollback = None;
            turn(state, Mode::Aborting);
        }
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
    state.futile = false;
    state.next_attempt_at = None;
}

#[cfg(test)]
mod tests;
