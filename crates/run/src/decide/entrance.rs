//! What must be so before a phase begins: its window open, then its approvals given.

use changeover_plan::{Opening, PlacedStep, Plan, show_instant};
use changeover_types::WallMs;

use super::{Refusal, automatic, operator::not_now};
use crate::apply::{Event, apply};
use crate::control::{Approval, Who, WindowState, facts_digest};
use crate::state::{Mode, Pause, State};

/// The present step, if its phase may not run yet.
pub(crate) fn shut<'p>(state: &State, plan: &'p Plan) -> Option<PlacedStep<'p>> {
    let placed = plan.steps().nth(state.at).filter(|_| state.mode == Mode::Forward)?;
    let entrance = &plan.phases[placed.phase].entrance;
    let has_conditions = entrance.window.is_some() || entrance.approve.is_some();
    (has_conditions && state.control.opened != Some(placed.phase)).then_some(placed)
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
    let entrance = &plan.phases[placed.phase].entrance;
    if let Some(window) = &entrance.window {
        match self::window(state, placed) {
            None => {
                let Opening { opens, closes } = window.opening(now);
                return Some(Event::WindowFound { phase: placed.phase, opens, closes });
            }
            Some(found) if !found.reached => {
                return (now >= found.opens).then_some(Event::WindowReached);
            }
            Some(found) if now >= found.closes => return Some(Event::WindowClosed),
            Some(_) => {}
        }
    }
    match (&entrance.approve, asked(state, placed)) {
        (None, _) => Some(Event::PhaseOpened { phase: placed.phase }),
        (Some(_), Some(asked)) if asked.facts != facts_digest(state, plan) => {
            Some(Event::ApprovalVoid { why: "what it was given for has changed".to_owned() })
        }
        (Some(_), _) => None,
    }
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
    let Some(rule) = &plan.phases[placed.phase].entrance.approve else { return vec![] };
    let mut events = Vec::new();
    let mut after = state.clone();
    if state.control.catalogue != *catalogue {
        let seen = Event::CatalogueSeen { catalogue: catalogue.clone() };
        apply(&mut after, &seen);
        events.push(seen);
    }
    let facts = facts_digest(&after, plan);
    match asked(state, &placed) {
        None => events.push(Event::ApprovalAsked {
            step: placed.path,
            at: now,
            expires: WallMs(now.0.saturating_add(millis(rule.within))),
            facts,
            needed: rule.count,
            from: rule.from.clone(),
        }),
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
    let identity = who.identity();
    let asked = state.control.approval.as_ref();
    // Given twice, also when it was the last that was missing.
    if asked.is_some_and(|it| it.facts == facts && it.given.iter().any(|name| name == identity)) {
        return Ok(vec![]);
    }
    let (placed, asked) = waiting("approve", state, plan, facts)?;
    may_speak("approve", identity, &asked.from)?;
    if now >= asked.expires {
        return Err(not_now("approve", "the time for it is over"));
    }
    let rule = plan.phases[placed.phase].entrance.approve.as_ref();
    let is_applier = state.control.appliers.iter().any(|name| name == identity);
    if is_applier && rule.is_some_and(|rule| !rule.self_) {
        let why = format!("{identity} ran `apply`, and this approval must come from somebody else");
        return Err(not_now("approve", &why));
    }
    if asked.is_complete() {
        return Ok(vec![]);
    }
    Ok(vec![Event::Approved {
        who: who.clone(),
        method: "cli".to_owned(),
        plan_digest: plan.digest.clone(),
        step: asked.step.clone(),
        facts: facts.to_owned(),
        expires: asked.expires,
        at: now,
    }])
}

/// Somebody says no: the run waits for its operator.
pub(crate) fn reject(
    state: &State,
    plan: &Plan,
    who: &Who,
    facts: &str,
    why: &str,
) -> Result<Vec<Event>, Refusal> {
    let said = format!("{} rejected ", who.identity());
    if state.pause.as_ref().is_some_and(|pause| pause.why.starts_with(&said)) {
        return Ok(vec![]);
    }
    let (_, asked) = waiting("reject", state, plan, facts)?;
    may_speak("reject", who.identity(), &asked.from)?;
    let pause = Pause {
        why: format!("{said}{}: {why}", asked.step),
        next: "changeover resume".to_owned(),
        by: Some(who.clone()),
        finishing: false,
    };
    let rejected = Event::ApprovalRejected { who: who.clone(), why: why.to_owned() };
    Ok(vec![rejected, Event::Paused { pause }])
}

fn waiting<'s, 'p>(
    verb: &'static str,
    state: &'s State,
    plan: &'p Plan,
    facts: &str,
) -> Result<(PlacedStep<'p>, &'s Approval), Refusal> {
    let nothing = || not_now(verb, "nothing waits for an approval; see its status");
    let placed = shut(state, plan).ok_or_else(nothing)?;
    let asked = asked(state, &placed).ok_or_else(nothing)?;
    if asked.facts != facts {
        let why = "what is known has changed since you looked; look again, then decide";
        return Err(not_now(verb, why));
    }
    Ok((placed, asked))
}

fn may_speak(verb: &'static str, identity: &str, from: &[String]) -> Result<(), Refusal> {
    if from.iter().any(|name| name == identity) {
        return Ok(());
    }
    let from = from.join(", ");
    let why =
        format!("{identity} is not asked; those who are: {from} (say who you are: --as NAME)");
    Err(not_now(verb, &why))
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
    if let (Some(asked), Some(rule)) =
        (asked(state, &placed), &plan.phases[placed.phase].entrance.approve)
        && now >= asked.expires
    {
        let why = format!(
            "{} was not approved in time: {} of {} said yes",
            asked.step,
            asked.given.len(),
            asked.needed
        );
        let mut events = vec![Event::ApprovalExpired];
        events.extend(automatic::outcome(state, rule.on_timeout, &why, now));
        return events;
    }
    vec![]
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

pub(crate) fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
