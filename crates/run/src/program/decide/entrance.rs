//! What must be so before a phase of a program begins: the same as before a phase of a plan.

use changeover_plan::{Outcome, PlacedProgramStep, Program, fingerprint};
use changeover_types::WallMs;

use super::{automatic_rollback, operator};
use crate::control::Who;
use crate::decide::Refusal;
use crate::door::{Door, nothing_waits, was_given, was_rejected};
use crate::event::Event as RunEvent;
use crate::next::Next;
use crate::program::apply::Event;
use crate::program::state::State;
use crate::state::{Mode, Pause};

/// What stands before the step's phase.
fn door<'a>(state: &'a State, program: &'a Program, placed: &'a PlacedProgramStep<'_>) -> Door<'a> {
    Door {
        phase: placed.phase_index,
        step: &placed.path,
        entrance: &program.phases[placed.phase_index].entrance,
        control: &state.control,
        digest: &program.digest,
    }
}

/// The present step, if its phase may not begin yet.
pub(in crate::program) fn shut<'p>(
    state: &State,
    program: &'p Program,
) -> Option<PlacedProgramStep<'p>> {
    let placed = program.steps().nth(state.at).filter(|_| state.mode == Mode::Forward)?;
    door(state, program, &placed).is_shut().then_some(placed)
}

fn condition(event: RunEvent) -> Event {
    Event::Condition { event }
}

/// The next event on the way into a phase. What is known is the program's own: there is nothing to
/// look up for it.
pub(super) fn next(
    state: &State,
    program: &Program,
    placed: &PlacedProgramStep<'_>,
    now: WallMs,
) -> Option<Event> {
    let door = door(state, program, placed);
    let facts = || facts_digest(state, program, &placed.path);
    if let Some(event) = door.next(facts, now) {
        return Some(condition(event));
    }
    let rule = door.entrance.approve.as_ref().filter(|_| door.is_in_time())?;
    match door.asked() {
        None => Some(condition(door.ask(rule, facts(), now))),
        Some(asked) if asked.is_complete() => {
            Some(condition(RunEvent::PhaseOpened { phase: placed.phase_index }))
        }
        Some(_) => None,
    }
}

/// The digest of what is known at a step: where each component stands.
fn facts_digest(state: &State, program: &Program, path: &str) -> String {
    let mut known = vec![program.digest.clone(), path.to_owned()];
    for component in &state.components {
        let seen = &component.seen;
        let (authority, share) = (seen.authority, seen.target_permille);
        known.push(format!("{} {authority} {share} {}", component.name, seen.steps_done));
    }
    fingerprint(&known.iter().map(String::as_str).collect::<Vec<_>>())
}

pub(super) fn approve(
    state: &State,
    program: &Program,
    who: &Who,
    facts: &str,
    now: WallMs,
) -> Result<Vec<Event>, Refusal> {
    if was_given(&state.control, who, facts) {
        return Ok(vec![]);
    }
    let placed = shut(state, program).ok_or_else(|| nothing_waits("approve"))?;
    let events = door(state, program, &placed).approve(who, facts, now)?;
    Ok(events.into_iter().map(condition).collect())
}

pub(super) fn reject(
    state: &State,
    program: &Program,
    who: &Who,
    facts: &str,
    why: &str,
) -> Result<Vec<Event>, Refusal> {
    if was_rejected(state.pause.as_ref(), who) {
        return Ok(vec![]);
    }
    let placed = shut(state, program).ok_or_else(|| nothing_waits("reject"))?;
    let (rejected, pause) = door(state, program, &placed).reject(who, facts, why)?;
    Ok(vec![condition(rejected), Event::Paused { pause }])
}

/// An approval whose time is over.
pub(super) fn deadline(state: &State, program: &Program, now: WallMs) -> Vec<Event> {
    let Some(placed) = shut(state, program) else { return vec![] };
    let Some((outcome, why)) = door(state, program, &placed).expired(now) else { return vec![] };
    let mut events = vec![condition(RunEvent::ApprovalExpired)];
    let paused = state.pause.is_some();
    let hold = |why: String, next: Next| Event::Paused { pause: Pause::new(why, next) };
    events.extend(match outcome {
        Outcome::Hold if paused => vec![],
        Outcome::Hold => vec![hold(why, Next::Resume)],
        Outcome::Rollback => automatic_rollback(state, why),
        Outcome::Abort => match operator::abort(state) {
            Ok(events) => events,
            Err(_) if paused => vec![],
            Err(_) => vec![hold(why, Next::Rollback)],
        },
    });
    events
}

/// When the clock has something to say of the entrance.
pub(in crate::program) fn wake(state: &State, program: &Program) -> Option<WallMs> {
    let placed = shut(state, program)?;
    let door = door(state, program, &placed);
    // A program that begins nothing enters no phase.
    let stands = state.pause.is_some() || state.rests().is_some();
    let window = door.window().filter(|_| !stands);
    let window = window.map(|it| if it.reached { it.closes } else { it.opens });
    window.into_iter().chain(door.asked().map(|asked| asked.expires)).min()
}

/// Whether the program waits for its window only.
pub(super) fn waits_for_window(state: &State, program: &Program) -> bool {
    let placed = shut(state, program);
    let window = placed.as_ref().and_then(|placed| door(state, program, placed).window());
    window.is_some_and(|window| !window.reached)
}
