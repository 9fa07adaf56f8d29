//! What the run does to itself: going back, once; removing itself; stopping where it is.

use changeover_cutover as cutover;
use changeover_plan::{Outcome, WhenStuck};
use changeover_types::{Side, WallMs};

use super::operator;
use crate::control::Who;
use crate::event::Event;
use crate::next::Next;
use crate::state::{DataStage, Mode, Pause, State};

/// Nothing more is begun. An attempt that can still end for nothing does, one that cannot is
/// brought to its end; a copy or a build that is under way is, too: hours of it would be lost.
pub(crate) fn stop_here(
    state: &State,
    why: String,
    next: Next,
    by: Option<Who>,
    now: WallMs,
) -> Vec<Event> {
    let before_seal =
        state.cutover.attempt.as_ref().is_some_and(|attempt| attempt.stage.is_before_seal());
    let mut events = if before_seal { operator::call_off(state, &why, now) } else { Vec::new() };
    let finishing = matches!(state.data, DataStage::Copying | DataStage::Copied);
    let pause = Pause { why, next, by, finishing };
    events.push(Event::Paused { pause });
    events
}

/// Takes back what has moved: once in a run, for what makes a run go back twice is not understood.
/// When nothing has moved, the operator decides.
pub(crate) fn rollback(state: &State, why: &str, now: WallMs) -> Vec<Event> {
    if !matches!(state.mode, Mode::Forward | Mode::Done) {
        return vec![];
    }
    let moving = state.cutover.has_intended_seal();
    let (moved, again) = (state.has_moved_something(), state.control.automatic_rollbacks > 0);
    if state.pause.is_some() && (again || !(moved || moving)) {
        return vec![];
    }
    if !moved && !moving {
        return stop_here(state, why.to_owned(), Next::Resume, None, now);
    }
    if again {
        let why = format!(
            "{why}; the run went back by itself once already, so that a second time is for you to \
             say"
        );
        return stop_here(state, why, Next::Rollback, None, now);
    }
    let mut events = operator::call_off(state, why, now);
    events.push(Event::RollbackBegun { why: why.to_owned(), automatic: true, by: None });
    events
}

/// Removes everything we made, where that is still possible.
pub(crate) fn abort(state: &State, why: &str, now: WallMs) -> Vec<Event> {
    if state.mode != Mode::Forward {
        return vec![];
    }
    match operator::abort(state, None, Some(why), now) {
        Ok(events) => events,
        Err(_) if state.pause.is_some() => vec![],
        Err(_) => stop_here(state, why.to_owned(), Next::Rollback, None, now),
    }
}

/// What becomes of a run whose time is over.
pub(crate) fn outcome(state: &State, outcome: Outcome, why: &str, now: WallMs) -> Vec<Event> {
    match outcome {
        Outcome::Hold if state.pause.is_some() => vec![],
        Outcome::Hold => stop_here(state, why.to_owned(), Next::Resume, None, now),
        Outcome::Rollback => rollback(state, why, now),
        Outcome::Abort => abort(state, why, now),
    }
}

/// What becomes of a canary that gets nowhere.
pub(crate) fn stuck(state: &State, then: WhenStuck, why: String, now: WallMs) -> Vec<Event> {
    match then {
        WhenStuck::Hold => vec![],
        WhenStuck::Pause if state.pause.is_some() => vec![],
        WhenStuck::Pause => stop_here(state, why, Next::Resume, None, now),
        WhenStuck::Rollback => rollback(state, &why, now),
    }
}

/// Whether a change of authority forward may begin: it is the one thing that a window bounds also
/// after its phase has begun.
pub(crate) fn is_forward(state: &State, input: &cutover::Input) -> bool {
    matches!(input, cutover::Input::Begin { to: Side::Target, .. }) && state.mode == Mode::Forward
}
