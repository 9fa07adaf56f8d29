//! What must be so before a phase begins: its window open, then its approvals given.

use changeover_plan::{PlacedStep, Plan, show_instant};
use changeover_types::WallMs;

use super::{Refusal, automatic};
use crate::apply::apply;
use crate::control::{Approval, Who, WindowState, facts_digest};
use crate::door::{Door, nothing_waits, was_given, was_rejected};
use crate::event::Event;
use crate::state::{Mode, State};

/// What stands before the step's phase.
fn door<'a>(state: &'a State, plan: &'a Plan, placed: &'a PlacedStep<'_>) -> Door<'a> {
    Door {
        phase: placed.phase,
        step: &placed.path,
        entrance: &plan.phases[placed.phase].entrance,
        control: &state.control,
        digest: &plan.digest,
    }
}

/// The present step, if its phase may not run yet.
pub(crate) fn shut<'p>(state: &State, plan: &'p Plan) -> Option<PlacedStep<'p>> {
    let placed = plan.steps().nth(state.at).filter(|_| state.mode == Mode::Forward)?;
    door(state, plan, &placed).is_shut().then_some(placed)
}

/// The window of the step's phase, as far as it was looked up.
pub(crate) fn window(state: &State, placed: &PlacedStep<'_>) -> Option<WindowState> {
    state.control.window.filter(|window| window.phase == placed.phase)
}

/// The approval that the step waits for or was given.
pub(crate) fn asked<'s>(state: &'s State, placed: &PlacedStep<'_>) -> Option<&'s Approval> {
    state.control.approval.as_ref().filter(|asked| asked.step == placed.path)
}

/// The next event on the way into a phase that nobody has to be asked for.
pub(crate) fn next(
    state: &State,
    plan: &Plan,
    placed: &PlacedStep<'_>,
    now: WallMs,
) -> Option<Event> {
    door(state, plan, placed).next(|| facts_digest(state, plan), now)
}

/// The shell looked at the source's catalogue, for an approval that is to be asked for, is waited
/// for, or was just completed.
pub(crate) fn looked(
    state: &State,
    plan: &Plan,
    catalogue: &Option<String>,
    now: WallMs,
) -> Vec<Event> {
    let Some(placed) = shut(state, plan) else { return vec![] };
    let door = door(state, plan, &placed);
    let Some(rule) = &door.entrance.approve else { return vec![] };
    let mut events = Vec::new();
    let mut after = state.clone();
    if state.control.catalogue != *catalogue {
        let seen = Event::CatalogueSeen { catalogue: catalogue.clone() };
        apply(&mut after, &seen);
        events.push(seen);
    }
    let facts = facts_digest(&after, plan);
    match door.asked() {
        None => events.push(door.ask(rule, facts, now)),
        Some(asked) if asked.is_complete() && asked.facts == facts => {
            events.push(Event::PhaseOpened { phase: placed.phase });
        }
        Some(_) => {}
    }
    events
}

/// Somebody says yes.
pub(crate) fn approve(
    state: &State,
    plan: &Plan,
    who: &Who,
    facts: &str,
    now: WallMs,
) -> Result<Vec<Event>, Refusal> {
    if was_given(&state.control, who, facts) {
        return Ok(vec![]);
    }
    let placed = shut(state, plan).ok_or_else(|| nothing_waits("approve"))?;
    door(state, plan, &placed).approve(who, facts, now)
}

/// Somebody says no: the run waits for its operator.
pub(crate) fn reject(
    state: &State,
    plan: &Plan,
    who: &Who,
    facts: &str,
    why: &str,
) -> Result<Vec<Event>, Refusal> {
    if was_rejected(state.pause.as_ref(), who) {
        return Ok(vec![]);
    }
    let placed = shut(state, plan).ok_or_else(|| nothing_waits("reject"))?;
    let (rejected, pause) = door(state, plan, &placed).reject(who, facts, why)?;
    Ok(vec![rejected, Event::Paused { pause }])
}

/// Times that are over: an approval's, a window's, the plan's.
pub(crate) fn deadline(state: &State, plan: &Plan, now: WallMs) -> Vec<Event> {
    if let Some(deadline) = plan.objectives.deadline
        && state.mode == Mode::Forward
        && !state.control.deadline_reached
        && now >= deadline.at
    {
        let why = format!(
            "the deadline of the plan was {}, and the run is not done",
            show_instant(deadline.at)
        );
        let mut events = vec![Event::DeadlineReached { at: now }];
        events.extend(automatic::outcome(state, deadline.on_reached, &why, now));
        return events;
    }
    let Some(placed) = shut(state, plan) else { return vec![] };
    let Some((outcome, why)) = door(state, plan, &placed).expired(now) else { return vec![] };
    let mut events = vec![Event::ApprovalExpired];
    events.extend(automatic::outcome(state, outcome, &why, now));
    events
}

/// When [`deadline`] has something to say.
pub(crate) fn wake(state: &State, plan: &Plan) -> Option<WallMs> {
    let forward = state.mode == Mode::Forward;
    let of_plan = plan.objectives.deadline.filter(|_| forward && !state.control.deadline_reached);
    let entering = shut(state, plan);
    let asked = entering.as_ref().and_then(|placed| asked(state, placed));
    // A run that begins nothing enters no phase, and looks at the clock again when it goes on.
    let stands = state.pause.is_some() || state.rests().is_some() || state.control.held().is_some();
    let window = entering.as_ref().filter(|_| !stands).and_then(|placed| window(state, placed));
    [
        of_plan.map(|deadline| deadline.at),
        asked.map(|asked| asked.expires),
        window.filter(|window| window.reached).map(|window| window.closes),
    ]
    .into_iter()
    .flatten()
    .min()
}
