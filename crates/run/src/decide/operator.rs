//! What the operator may ask for, and when.

use changeover_cutover as cutover;
use changeover_plan::{Plan, Step};
use changeover_types::{Side, WallMs};

use super::Refusal;
use crate::apply::Event;
use crate::state::{Mode, State};

pub(super) fn go_on(state: &State, plan: &Plan) -> Vec<Event> {
    match &state.mode {
        Mode::RolledBack { .. } => vec![Event::TriedAgain { from: first_move(plan) }],
        _ if state.pause.is_some() => vec![Event::Resumed],
        _ => vec![],
    }
}

/// The first step that moves traffic or authority: after a rollback the copy is still good.
fn first_move(plan: &Plan) -> usize {
    plan.steps()
        .position(|placed| {
            matches!(placed.step, Step::Canary { .. } | Step::Cutover { .. } | Step::Shift { .. })
        })
        .unwrap_or(0)
}

pub(super) fn roll_back(state: &State, why: &str, now: WallMs) -> Result<Vec<Event>, Refusal> {
    match &state.mode {
        Mode::Forward | Mode::Done => {
            let mut events = call_off(state, why, now);
            events.push(Event::RollbackBegun { why: why.to_owned() });
            Ok(events)
        }
        Mode::RollingBack { .. } | Mode::RolledBack { .. } if state.pause.is_some() => {
            Ok(vec![Event::Resumed])
        }
        Mode::RollingBack { .. } | Mode::RolledBack { .. } => Ok(vec![]),
        Mode::Aborting | Mode::Aborted => Err(not_now("rollback", "everything is being removed")),
        Mode::Finishing | Mode::Finished => {
            Err(not_now("rollback", "the way back was ended by `changeover finish`"))
        }
    }
}

pub(super) fn abort(state: &State, now: WallMs) -> Result<Vec<Event>, Refusal> {
    match &state.mode {
        Mode::Aborting if state.pause.is_some() => return Ok(vec![Event::Resumed]),
        Mode::Aborting | Mode::Aborted => return Ok(vec![]),
        Mode::Finishing | Mode::Finished => {
            return Err(not_now("abort", "the migration is finished"));
        }
        Mode::Forward | Mode::Done | Mode::RollingBack { .. } | Mode::RolledBack { .. } => {}
    }
    if state.cutover.authority == Side::Target {
        let why = "the target has authority; first go back with `changeover rollback`";
        return Err(not_now("abort", why));
    }
    if let Some(attempt) = &state.cutover.attempt
        && cutover::decide(&state.cutover, &call_off_input("abort"), now).is_err()
    {
        let why = format!("the grant of epoch {} is under way; wait for its end", attempt.epoch);
        return Err(not_now("abort", &why));
    }
    let mut events = call_off(state, "the operator aborted the migration", now);
    events.push(Event::AbortBegun);
    Ok(events)
}

pub(super) fn finish(state: &State, plan: &Plan) -> Result<Vec<Event>, Refusal> {
    let at_finish_step = || {
        let present = plan.steps().nth(state.at);
        present.is_some_and(|placed| matches!(placed.step, Step::Finish))
    };
    match &state.mode {
        Mode::Finishing if state.pause.is_some() => return Ok(vec![Event::Resumed]),
        Mode::Finishing | Mode::Finished => return Ok(vec![]),
        Mode::Done => {}
        Mode::Forward if at_finish_step() => {}
        Mode::Forward => return Err(not_now("finish", "the plan is not done; see its status")),
        Mode::RollingBack { .. } | Mode::RolledBack { .. } => {
            let why = "the service is on the source; end the migration with `changeover abort`";
            return Err(not_now("finish", why));
        }
        Mode::Aborting | Mode::Aborted => return Err(not_now("finish", "it was aborted")),
    }
    if plan.moves_data() && state.cutover.authority != Side::Target {
        return Err(not_now("finish", "the source still has authority over the data"));
    }
    Ok(vec![Event::FinishBegun])
}

fn not_now(what: &'static str, why: &str) -> Refusal {
    Refusal::NotNow { what, why: why.to_owned() }
}

fn call_off_input(why: &str) -> cutover::Input {
    cutover::Input::CallOffAsked { why: why.to_owned() }
}

/// Ends an attempt that can still be ended; one that cannot goes on to its end by itself.
fn call_off(state: &State, why: &str, now: WallMs) -> Vec<Event> {
    cutover::decide(&state.cutover, &call_off_input(why), now)
        .unwrap_or_default()
        .into_iter()
        .map(|event| Event::Cutover { event })
        .collect()
}
