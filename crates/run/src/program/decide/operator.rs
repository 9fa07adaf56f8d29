//! What the operator may ask of a program, and when.

use changeover_plan::Program;

use crate::control::Who;
use crate::decide::Refusal;
use crate::door::not_now;
use crate::event::Event as RunEvent;
use crate::next::Next;
use crate::program::apply::Event;
use crate::program::state::{Component, Is, State};
use crate::state::{Bound, Mode, Pause};

/// Whoever applied the program applied its components.
pub(super) fn applied(state: &State, who: &Who) -> Vec<Event> {
    let known = state.control.appliers.iter().any(|name| name == who.identity());
    if known {
        return vec![];
    }
    vec![Event::Condition { event: RunEvent::AppliedBy { who: who.clone() } }]
}

/// `apply`: what a person stopped by saying no, a person resumes.
pub(super) fn go_on(state: &State, until: Option<Bound>) -> Vec<Event> {
    let mut events = match (&state.mode, &state.pause) {
        (Mode::RolledBack { .. }, _) => vec![Event::TriedAgain],
        (_, Some(pause)) if pause.by.is_none() => vec![Event::Resumed],
        (_, Some(_)) => return vec![],
        (_, None) => vec![],
    };
    // A rollback has taken the bound away with the way forward.
    let forward = matches!(state.mode, Mode::Forward | Mode::RolledBack { .. });
    if forward && state.until != until {
        events.push(Event::Bounded { until });
    }
    events
}

/// Where `apply --until` shall rest; `None` at the program's end, where every program rests.
pub(super) fn bound(
    state: &State,
    program: &Program,
    phase: &str,
) -> Result<Option<Bound>, Refusal> {
    let Some(steps) = program.steps_until(phase) else {
        let phases: Vec<&str> = program.phases.iter().map(|it| it.name.as_str()).collect();
        let why = format!("the program has no phase {phase}, only {}", phases.join(", "));
        return Err(not_now("apply --until", &why));
    };
    let (at, begun) = match &state.mode {
        Mode::RolledBack { .. } => (0, false),
        _ => (state.at, state.begun),
    };
    if at > steps || (at == steps && begun) {
        return Err(not_now("apply --until", &format!("the phase {phase} is over")));
    }
    let at_the_end = steps >= program.steps().count();
    Ok((!at_the_end).then(|| Bound { phase: phase.to_owned(), steps }))
}

pub(super) fn resume(state: &State) -> Vec<Event> {
    if state.pause.is_some() { vec![Event::Resumed] } else { vec![] }
}

pub(super) fn pause(state: &State, why: &str) -> Result<Vec<Event>, Refusal> {
    if state.pause.is_some() {
        return Ok(vec![]);
    }
    match &state.mode {
        Mode::Forward => {
            let pause = Pause::new(why.to_owned(), Next::Apply);
            Ok(vec![Event::Paused { pause }])
        }
        Mode::Done => Err(not_now("pause", "the program is done")),
        Mode::RolledBack { .. } | Mode::Aborted | Mode::Finished => {
            Err(not_now("pause", "nothing is going on"))
        }
        Mode::RollingBack { .. } | Mode::Aborting | Mode::Finishing => {
            Err(not_now("pause", "the way back, or out, is gone to its end"))
        }
    }
}

pub(super) fn roll_back(state: &State, why: &str) -> Result<Vec<Event>, Refusal> {
    match &state.mode {
        Mode::Forward | Mode::Done => {
            let over = |it: &&Component| matches!(it.seen.is, Is::Finishing | Is::Finished);
            if let Some(finished) = state.components.iter().find(over) {
                let why = format!("{} was finished and has no way back", finished.name);
                return Err(not_now("rollback", &why));
            }
            Ok(vec![Event::RollbackBegun { why: why.to_owned(), by_itself: false }])
        }
        Mode::RollingBack { .. } if state.pause.is_some() => Ok(vec![Event::Resumed]),
        Mode::RollingBack { .. } | Mode::RolledBack { .. } => Ok(vec![]),
        Mode::Aborting | Mode::Aborted => Err(not_now("rollback", "everything is being removed")),
        Mode::Finishing | Mode::Finished => {
            Err(not_now("rollback", "the ways back were ended by `changeover finish`"))
        }
    }
}

pub(super) fn abort(state: &State) -> Result<Vec<Event>, Refusal> {
    match &state.mode {
        Mode::Aborting if state.pause.is_some() => Ok(vec![Event::Resumed]),
        Mode::Aborting | Mode::Aborted => Ok(vec![]),
        Mode::Finishing | Mode::Finished => Err(not_now("abort", "the program is finished")),
        Mode::RollingBack { .. } => Err(not_now("abort", "wait for the rollback's end")),
        Mode::Forward | Mode::Done | Mode::RolledBack { .. } => {
            if let Some(out) = state.components.iter().find(|it| it.is_out()) {
                let why = format!(
                    "{} has moved, or is moving; first go back with `changeover rollback`",
                    out.name
                );
                return Err(not_now("abort", &why));
            }
            Ok(vec![Event::AbortBegun])
        }
    }
}

pub(super) fn finish(state: &State) -> Result<Vec<Event>, Refusal> {
    match &state.mode {
        Mode::Finishing if state.pause.is_some() => Ok(vec![Event::Resumed]),
        Mode::Finishing | Mode::Finished => Ok(vec![]),
        Mode::Done if state.pause.is_some() => {
            Err(not_now("finish", "the program is paused; see its status"))
        }
        Mode::Done => Ok(vec![Event::FinishBegun]),
        Mode::Forward => Err(not_now("finish", "the program is not done; see its status")),
        Mode::RollingBack { .. } | Mode::RolledBack { .. } => {
            let why = "the services are on the source; end the program with `changeover abort`";
            Err(not_now("finish", why))
        }
        Mode::Aborting | Mode::Aborted => Err(not_now("finish", "it was aborted")),
    }
}
