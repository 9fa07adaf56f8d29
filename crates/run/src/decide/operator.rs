//! What the operator may ask for, and when.

use changeover_cutover as cutover;
use changeover_plan::{Plan, Step};
use changeover_types::{Side, WallMs};

use super::{Refusal, entrance};
use crate::control::{WayBack, Who};
pub(super) use crate::door::not_now;
use crate::event::Event;
use crate::next::Next;
use crate::state::{Bound, DataStage, Mode, State};

/// `apply`: it takes up what stopped by itself; what a person stopped, a person resumes.
pub(super) fn go_on(
    state: &State,
    plan: &Plan,
    until: Option<Bound>,
    by: &Option<Who>,
) -> Result<Vec<Event>, Refusal> {
    let by = by.clone();
    let mut events = match (&state.mode, &state.pause) {
        (Mode::RolledBack { .. }, _) => {
            vec![Event::TriedAgain { from: tried_again_from(state, plan), by }]
        }
        (_, Some(pause)) if let Some(who) = &pause.by => {
            let why = format!("{who} stopped it ({}); go on with `changeover resume`", pause.why);
            return Err(not_now("apply", &why));
        }
        (_, Some(_)) => vec![Event::Resumed { by }],
        (_, None) => vec![],
    };
    // A rollback has taken the bound away with the way forward.
    let forward = matches!(state.mode, Mode::Forward | Mode::RolledBack { .. });
    if forward && state.until != until {
        events.push(Event::Bounded { until });
    }
    Ok(events)
}

/// After a rollback the copy is still good, if it was complete: the first step that moves traffic
/// or authority, or the one that the rollback broke off.
fn tried_again_from(state: &State, plan: &Plan) -> usize {
    plan.first_move().unwrap_or(0).min(state.at)
}

/// Where `apply --until` shall rest; `None` at the plan's end, where every run rests.
pub(super) fn bound(state: &State, plan: &Plan, phase: &str) -> Result<Option<Bound>, Refusal> {
    let Some(steps) = plan.steps_until(phase) else {
        let phases: Vec<&str> = plan.phases.iter().map(|phase| phase.name.as_str()).collect();
        let why = format!("the plan has no phase {phase}, only {}", phases.join(", "));
        return Err(not_now("apply --until", &why));
    };
    let (at, begun) = match &state.mode {
        Mode::RolledBack { .. } => (tried_again_from(state, plan), false),
        _ => (state.at, state.since.is_some()),
    };
    if at > steps || (at == steps && begun) {
        let why = format!("the phase {phase} is over");
        return Err(not_now("apply --until", &why));
    }
    let at_the_end = steps >= plan.steps().count();
    Ok((!at_the_end).then(|| Bound { phase: phase.to_owned(), steps }))
}

/// The bound of a run that is to begin nothing new.
pub(super) fn rest(state: &State, plan: &Plan) -> Vec<Event> {
    let steps = state.at + usize::from(state.since.is_some());
    let nearer = state.until.as_ref().is_none_or(|bound| steps < bound.steps);
    if state.mode != Mode::Forward || !nearer || steps >= plan.steps().count() {
        return vec![];
    }
    let placed = plan.steps().nth(steps.saturating_sub(1));
    let phase = placed.and_then(|it| Some(plan.phases.get(it.phase)?.name.clone()));
    vec![Event::Bounded { until: Some(Bound { phase: phase.unwrap_or_default(), steps }) }]
}

/// Only plans that ask for approvals need to know who applied them.
pub(super) fn applied(state: &State, who: &Who) -> Vec<Event> {
    let known = state.control.appliers.iter().any(|name| name == who.identity());
    if known { vec![] } else { vec![Event::AppliedBy { who: who.clone() }] }
}

pub(super) fn pause(
    state: &State,
    who: &Who,
    why: &str,
    now: WallMs,
) -> Result<Vec<Event>, Refusal> {
    match &state.mode {
        Mode::Done | Mode::RolledBack { .. } | Mode::Aborted | Mode::Finished => {
            return Err(not_now("pause", "nothing is going on"));
        }
        Mode::Forward | Mode::RollingBack { .. } | Mode::Aborting | Mode::Finishing => {}
    }
    match &state.pause {
        Some(_) => Ok(vec![]),
        None => {
            let why = why.to_owned();
            Ok(super::stop_here(state, why, Next::Resume, Some(who.clone()), now))
        }
    }
}

/// Without effect on a run that is not paused: the word may come twice.
pub(super) fn resume(state: &State, who: &Who) -> Vec<Event> {
    let by = Some(who.clone());
    state.pause.iter().map(|_| Event::Resumed { by: by.clone() }).collect()
}

pub(super) fn roll_back(
    state: &State,
    plan: &Plan,
    why: &str,
    by: Option<&Who>,
    now: WallMs,
) -> Result<Vec<Event>, Refusal> {
    match &state.mode {
        // A state folder that knows nothing knows nothing of where the service is, either.
        Mode::Forward if plan.moves_data() && never_began(state) => {
            let why = "this state folder knows of nothing that was begun, so there is nothing to go \
                       back from; if a run was begun elsewhere, use its host and --state-dir";
            Err(not_now("rollback", why))
        }
        Mode::Forward | Mode::Done => {
            let mut events = call_off(state, why, now);
            // The copy is not gone on with; what it left is removed before the next one.
            if state.data == DataStage::Copying {
                events.push(Event::CopyLost);
            }
            let (why, by) = (why.to_owned(), by.cloned());
            events.push(Event::RollbackBegun { why, automatic: false, by });
            Ok(events)
        }
        // The operator's word goes before what the run found of the way back.
        Mode::RollingBack { .. } | Mode::RolledBack { .. } if state.pause.is_some() => {
            let mut events = vec![Event::Resumed { by: by.cloned() }];
            if state.control.way_back != WayBack::Clear {
                let why = state.pause.iter().map(|pause| pause.why.clone());
                events.push(Event::WayBackChecked { against: why.collect() });
            }
            Ok(events)
        }
        Mode::RollingBack { .. } | Mode::RolledBack { .. } => Ok(vec![]),
        Mode::Aborting | Mode::Aborted => Err(not_now("rollback", "everything is being removed")),
        Mode::Finishing | Mode::Finished => {
            Err(not_now("rollback", "the way back was ended by `changeover finish`"))
        }
    }
}

/// The target keeps authority and gets its requests back; nothing of authority has moved yet.
pub(super) fn give_up(
    state: &State,
    plan: &Plan,
    by: Option<&Who>,
    now: WallMs,
) -> Result<Vec<Event>, Refusal> {
    const VERB: &str = "rollback --give-up";
    match &state.mode {
        Mode::RollingBack { .. } if state.cutover.authority == Side::Target => {}
        Mode::RollingBack { .. } => {
            let why = "the source has authority; only requests go back: `changeover rollback`";
            return Err(not_now(VERB, why));
        }
        Mode::RolledBack { .. } => {
            return Err(not_now(
                VERB,
                "everything is on the source; `changeover apply` moves again",
            ));
        }
        _ => return Err(not_now(VERB, "no rollback is under way")),
    }
    if cutover::decide(&state.cutover, &call_off_input("given up"), now).is_err()
        && state.cutover.attempt.is_some()
    {
        return Err(not_now(VERB, "authority is changing hands; wait for its end"));
    }
    let mut events = call_off(state, "the operator gave the rollback up", now);
    let put_back = !plan.requests_follow_authority();
    events.push(Event::RollbackGivenUp { put_back, by: by.cloned() });
    Ok(events)
}

pub(super) fn abort(
    state: &State,
    by: Option<&Who>,
    why: Option<&str>,
    now: WallMs,
) -> Result<Vec<Event>, Refusal> {
    match &state.mode {
        Mode::Aborting if state.pause.is_some() => {
            return Ok(vec![Event::Resumed { by: by.cloned() }]);
        }
        Mode::Aborting | Mode::Aborted => return Ok(vec![]),
        Mode::Finishing | Mode::Finished => {
            return Err(not_now("abort", "the migration is finished"));
        }
        Mode::Forward | Mode::Done | Mode::RollingBack { .. } | Mode::RolledBack { .. } => {}
    }
    if state.cutover.authority == Side::Target {
        let why = match &state.mode {
            Mode::RollingBack { .. } => {
                "the target has authority; let the rollback end with `changeover rollback`, or give \
                 it up with `changeover rollback --give-up` and end with `changeover finish`"
            }
            _ => "the target has authority; first go back with `changeover rollback`",
        };
        return Err(not_now("abort", why));
    }
    if let Some(attempt) = &state.cutover.attempt
        && cutover::decide(&state.cutover, &call_off_input("abort"), now).is_err()
    {
        let why = format!("the grant of epoch {} is under way; wait for its end", attempt.epoch);
        return Err(not_now("abort", &why));
    }
    let reason = why.unwrap_or("the operator aborted the migration");
    let mut events = call_off(state, reason, now);
    events.push(Event::AbortBegun { by: by.cloned(), why: why.map(str::to_owned) });
    Ok(events)
}

pub(super) fn finish(state: &State, plan: &Plan, by: Option<&Who>) -> Result<Vec<Event>, Refusal> {
    let at_finish_step = || {
        let present = plan.steps().nth(state.at);
        present.is_some_and(|placed| matches!(placed.step, Step::Finish))
    };
    match &state.mode {
        Mode::Finishing if state.pause.is_some() => {
            return Ok(vec![Event::Resumed { by: by.cloned() }]);
        }
        Mode::Finishing | Mode::Finished => return Ok(vec![]),
        Mode::Done => {}
        Mode::Forward if entrance::shut(state, plan).is_some() => {
            return Err(not_now("finish", "its phase may not begin yet; see its status"));
        }
        Mode::Forward if at_finish_step() => {}
        Mode::Forward => return Err(not_now("finish", "the plan is not done; see its status")),
        Mode::RollingBack { .. } if state.cutover.authority == Side::Target => {
            let why = "a rollback is under way, and the target still has authority; stay there with \
                       `changeover rollback --give-up`, then finish";
            return Err(not_now("finish", why));
        }
        Mode::RollingBack { .. } | Mode::RolledBack { .. } => {
            let why = "the service is on the source; end the migration with `changeover abort`";
            return Err(not_now("finish", why));
        }
        Mode::Aborting | Mode::Aborted => return Err(not_now("finish", "it was aborted")),
    }
    if plan.moves_data() && state.cutover.authority != Side::Target {
        return Err(not_now("finish", "the source still has authority over the data"));
    }
    Ok(vec![Event::FinishBegun { by: by.cloned() }])
}

fn call_off_input(why: &str) -> cutover::Input {
    cutover::Input::CallOffAsked { why: why.to_owned() }
}

/// Ends an attempt that can still be ended; one that cannot goes on to its end by itself.
pub(super) fn call_off(state: &State, why: &str, now: WallMs) -> Vec<Event> {
    cutover::decide(&state.cutover, &call_off_input(why), now)
        .unwrap_or_default()
        .into_iter()
        .map(|event| Event::Cutover { event })
        .collect()
}

/// Whether nothing of ours is in the databases, as far as the journal knows, and nothing has moved.
fn never_began(state: &State) -> bool {
    state.data == DataStage::Nothing && !state.has_moved_something()
}
