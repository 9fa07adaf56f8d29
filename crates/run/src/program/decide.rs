//! What something seen, or a word of the operator, makes happen to a program.

mod entrance;
mod operator;
mod skip;

use std::time::Duration;

use changeover_plan::{Leg, OnComponentFail, Own, Program, ProgramStep};
use changeover_types::WallMs;

use super::apply::{Event, apply};
use super::state::{Component, Is, Order, Seen, State};
use crate::control::Who;
use crate::decide::Refusal;
use crate::door::millis;
use crate::next::Next;
use crate::state::{Mode, Pause};

/// What the shell saw or was asked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Input {
    /// The first input of every life of the shell.
    Restarted,
    /// A component's daemon has taken the order that was due.
    Told {
        /// Index of the component.
        component: usize,
        /// Which order: another may be due by now.
        order: Order,
    },
    /// The order that was due cannot be given, or the component cannot be followed.
    Unreachable {
        /// Index of the component.
        component: usize,
        /// Which order, if it was one.
        order: Option<Order>,
        /// Why.
        why: String,
        /// The command that goes on.
        next: Next,
    },
    /// A component stands here now.
    Seen {
        /// Index of the component.
        component: usize,
        /// Where.
        seen: Seen,
    },
    /// Somebody ran `apply`.
    Applied {
        /// Who.
        who: Who,
    },
    /// The operator wants the program to go on (`apply`).
    GoOn,
    /// The operator wants nothing new to begin.
    Pause {
        /// Why.
        why: String,
    },
    /// The same, but only to the end of a phase (`apply --until`).
    GoOnUntil {
        /// Its name.
        phase: String,
    },
    /// The operator wants a paused program to go on.
    Resume,
    /// The operator does not wait for a window or a soak of the program's own.
    Skip {
        /// The step that is meant, as `phase/step`.
        step: String,
        /// Who.
        who: Who,
        /// Why.
        why: String,
    },
    /// Somebody who is asked says yes.
    Approve {
        /// Who.
        who: Who,
        /// The digest of what they looked at.
        facts: String,
    },
    /// Somebody who is asked says no.
    Reject {
        /// Who.
        who: Who,
        /// The digest of what they looked at.
        facts: String,
        /// Why.
        why: String,
    },
    /// The time of [`super::wake`] has come.
    Deadline,
    /// The operator wants everything back on the source.
    RollBack {
        /// Why.
        why: String,
    },
    /// The operator wants everything removed.
    Abort,
    /// The operator ends all ways back.
    Finish,
}

/// Decides what an input makes happen; the caller journals the events, then applies them.
///
/// # Errors
/// A [`Refusal`] changes nothing.
pub fn decide(
    state: &State,
    program: &Program,
    input: &Input,
    now: WallMs,
) -> Result<Vec<Event>, Refusal> {
    let mut events = match input {
        Input::Restarted => vec![],
        Input::Told { component, order } => told(state, *component, order),
        Input::Unreachable { component, order, why, next } => {
            let is = Is::Unreachable { why: why.clone(), next: *next };
            unreachable(state, *component, order.as_ref(), is)
        }
        Input::Seen { component, seen } => seen_now(state, *component, seen),
        Input::Applied { who } => operator::applied(state, who),
        Input::GoOn => operator::go_on(state, None),
        Input::GoOnUntil { phase } => {
            operator::go_on(state, operator::bound(state, program, phase)?)
        }
        Input::Resume => operator::resume(state),
        Input::Pause { why } => operator::pause(state, why)?,
        Input::Skip { step, who, why } => skip::skip(state, program, step, who, why)?,
        Input::Approve { who, facts } => entrance::approve(state, program, who, facts, now)?,
        Input::Reject { who, facts, why } => entrance::reject(state, program, who, facts, why)?,
        Input::Deadline => entrance::deadline(state, program, now),
        Input::RollBack { why } => operator::roll_back(state, why)?,
        Input::Abort => operator::abort(state)?,
        Input::Finish => operator::finish(state)?,
    };
    let mut after = state.clone();
    events.iter().for_each(|event| apply(&mut after, event));
    while let Some(event) = next_by_itself(&after, program, now) {
        apply(&mut after, &event);
        events.push(event);
    }
    Ok(events)
}

fn told(state: &State, component: usize, order: &Order) -> Vec<Event> {
    match state.components.get(component) {
        Some(it) if it.order.as_ref() == Some(order) && !it.told => {
            vec![Event::Told { component: it.name.clone() }]
        }
        _ => vec![],
    }
}

/// What is seen before an order is taken says nothing about it.
fn seen_now(state: &State, component: usize, seen: &Seen) -> Vec<Event> {
    match state.components.get(component) {
        Some(it) if (it.told || it.order.is_none()) && it.seen != *seen => {
            vec![Event::Seen { component: it.name.clone(), seen: seen.clone() }]
        }
        _ => vec![],
    }
}

fn unreachable(state: &State, component: usize, order: Option<&Order>, is: Is) -> Vec<Event> {
    match state.components.get(component) {
        Some(it) if order.is_some() && order != it.order.as_ref() => vec![],
        Some(it) if it.begun && it.seen.is != is => {
            let seen = Seen { is, ..it.seen.clone() };
            vec![Event::Seen { component: it.name.clone(), seen }]
        }
        _ => vec![],
    }
}

/// What follows from the state without anybody's word: steps and orders that begin or end.
fn next_by_itself(state: &State, program: &Program, now: WallMs) -> Option<Event> {
    let moving = matches!(state.mode, Mode::Forward | Mode::Done);
    if state.pause.is_some() {
        return if moving { halt(state) } else { None };
    }
    match &state.mode {
        Mode::Forward | Mode::Done => failed(state, program).or_else(|| match state.mode {
            Mode::Forward => forward(state, program, now),
            _ => None,
        }),
        Mode::RollingBack { why } => rolling_back(state, program, why),
        Mode::Aborting => stuck(state, Next::Abort)
            .or_else(|| everywhere(state, &Order::Abort, &Is::Aborted, Event::Aborted)),
        Mode::Finishing => stuck(state, Next::Finish)
            .or_else(|| one_by_one(state, &Order::Finish, &Is::Finished, Event::Finished)),
        Mode::RolledBack { .. } | Mode::Aborted | Mode::Finished => None,
    }
}

fn order(component: &Component, order: Order) -> Event {
    Event::Ordered { component: component.name.clone(), order }
}

fn forward(state: &State, program: &Program, now: WallMs) -> Option<Event> {
    let Some(placed) = program.steps().nth(state.at) else {
        return Some(Event::ProgramDone { at: now });
    };
    if state.rests().is_some() {
        return None;
    }
    if entrance::shut(state, program).is_some() {
        return entrance::next(state, program, &placed, now);
    }
    if !state.begun {
        return Some(Event::StepBegun { at: now });
    }
    let step = placed.step;
    if let Some(Own::Soak { for_ }) = &step.own {
        return (now >= soaked_at(state, *for_)).then_some(Event::StepDone);
    }
    if step.legs.iter().all(|leg| reached(state, program, *leg)) {
        return Some(Event::StepDone);
    }
    next_leg(state, program, step)
}

/// When a soak that is the present step is over.
fn soaked_at(state: &State, for_: Duration) -> WallMs {
    WallMs(state.since.0.saturating_add(millis(for_)))
}

/// When the shell must give [`Input::Deadline`].
#[must_use]
pub fn wake(state: &State, program: &Program) -> Option<WallMs> {
    let of_entrance = entrance::wake(state, program);
    let soaks = state.mode == Mode::Forward && state.begun && state.pause.is_none();
    let placed = program.steps().nth(state.at).filter(|_| soaks);
    let of_soak = placed.and_then(|placed| {
        placed.step.own.as_ref().map(|Own::Soak { for_ }| soaked_at(state, *for_))
    });
    of_entrance.into_iter().chain(of_soak).min()
}

fn reached(state: &State, program: &Program, leg: Leg) -> bool {
    let first_move = program.components[leg.component].plan.first_move().unwrap_or(usize::MAX);
    state.components.get(leg.component).is_some_and(|it| it.has_reached(leg, first_move))
}

/// The next component that may begin its part of the step, if the bound allows one more.
fn next_leg(state: &State, program: &Program, step: &ProgramStep) -> Option<Event> {
    let wanted = |leg: &Leg| Order::Advance { steps: leg.steps, moves: program.leg_moves(*leg) };
    let ordered = |leg: &&Leg| {
        state.components.get(leg.component).and_then(|it| it.order.as_ref()) == Some(&wanted(leg))
    };
    let open: Vec<&Leg> = step.legs.iter().filter(|leg| !reached(state, program, **leg)).collect();
    if open.iter().filter(|leg| ordered(leg)).count() >= step.at_once {
        return None;
    }
    let leg = open.into_iter().find(|leg| !ordered(leg))?;
    let component = state.components.get(leg.component)?;
    Some(order(component, wanted(leg)))
}

/// Whoever is on the way to its bound rests at the end of its present step.
fn halt(state: &State) -> Option<Event> {
    let goes_on = |it: &&Component| {
        it.is_under_way() && matches!(it.seen.is, Is::Running | Is::Resting | Is::Unknown)
    };
    state.components.iter().find(goes_on).map(|it| order(it, Order::Halt))
}

/// What a component that is not well leads to.
fn failed(state: &State, program: &Program) -> Option<Event> {
    let (component, why, next) = state.components.iter().find_map(complaint)?;
    let why = format!("{}: {why}", component.name);
    let others = || state.components.iter().filter(|it| it.name != component.name);
    let something_moved = component.seen.moved() || others().any(Component::is_out);
    let finished = state.components.iter().find(|it| has_no_way_back(it));
    let arrived_already = !component.is_under_way() && !went_away(component);
    let pause = |why: String, next: Next| Some(Event::Paused { pause: Pause::new(why, next) });
    if let Some(finished) = finished {
        let why = format!("{why} (and {} has no way back any more)", finished.name);
        return pause(why, next);
    }
    let nothing_to_take_back = !something_moved && !went_away(component);
    if nothing_to_take_back || arrived_already || program.on_fail == OnComponentFail::Pause {
        return pause(why, next);
    }
    Some(take_back(state, why))
}

/// Everything goes back by itself, once in a run.
fn take_back(state: &State, why: String) -> Event {
    if state.went_back_by_itself {
        let why = format!("{why} (the program went back by itself once already)");
        return Event::Paused { pause: Pause::new(why, Next::Rollback) };
    }
    Event::RollbackBegun { why, by_itself: true }
}

/// What a rollback comes to that a condition of the program's own asks for.
fn automatic_rollback(state: &State, why: String) -> Vec<Event> {
    let finished = state.components.iter().find(|it| has_no_way_back(it));
    let nothing_moved = !state.components.iter().any(Component::is_out);
    let stays = finished.is_some() || nothing_moved;
    if state.pause.is_some() && (stays || state.went_back_by_itself) {
        return vec![];
    }
    let why = match finished {
        Some(it) => format!("{why} (and {} has no way back any more)", it.name),
        None => why,
    };
    let pause = |why| Event::Paused { pause: Pause::new(why, Next::Resume) };
    vec![if stays { pause(why) } else { take_back(state, why) }]
}

/// What is wrong with a component that was ordered to go forward.
fn complaint(component: &Component) -> Option<(&Component, String, Next)> {
    let forward = matches!(component.order, Some(Order::Advance { .. }));
    if !forward {
        return None;
    }
    let (why, next) = match &component.seen.is {
        Is::Unreachable { why, next } => (why.clone(), *next),
        _ if !component.told => return None,
        Is::Paused { why, .. } => (why.clone(), Next::Apply),
        Is::RollingBack { why } | Is::RolledBack { why } => {
            (format!("it goes back to the source: {why}"), Next::Apply)
        }
        Is::Aborting | Is::Aborted => ("it was aborted".to_owned(), Next::Rollback),
        Is::Idle => ("its run is gone".to_owned(), Next::Apply),
        _ => return None,
    };
    Some((component, why, next))
}

/// Whether it goes, or is, where the program did not send it.
fn went_away(component: &Component) -> bool {
    matches!(
        component.seen.is,
        Is::RollingBack { .. } | Is::RolledBack { .. } | Is::Aborting | Is::Aborted
    )
}

fn has_no_way_back(component: &Component) -> bool {
    component.rank > 0 && matches!(component.seen.is, Is::Finishing | Is::Finished)
}

/// Whoever is on its way there turns back at once; then, one after another, the last to have moved
/// first. Nobody goes back while somebody who needs it is still on the target.
fn rolling_back(state: &State, program: &Program, why: &str) -> Option<Event> {
    if let Some(event) = stuck(state, Next::Rollback) {
        return Some(event);
    }
    let out = || state.components.iter().enumerate().filter(|(_, it)| it.is_out());
    if out().next().is_none() {
        return Some(Event::RolledBack);
    }
    let goes_back = |it: &Component| matches!(it.order, Some(Order::RollBack { .. }));
    let free = |index: usize| {
        let mut dependants = program.dependants(index);
        dependants.all(|it| state.components.get(it).is_none_or(|it| !it.is_out()))
    };
    let waits = || out().filter(|(index, it)| !goes_back(it) && free(*index));
    let arrived =
        |it: &Component| matches!(it.order, Some(Order::Advance { .. })) && !it.is_under_way();
    let next = waits().find(|(_, it)| !arrived(it)).or_else(|| {
        let nobody_goes = !out().any(|(_, it)| goes_back(it));
        waits().filter(|_| nobody_goes).max_by_key(|(_, it)| it.rank)
    })?;
    Some(order(next.1, Order::RollBack { why: why.to_owned() }))
}

/// A component that cannot do what it was ordered on the way back, or out.
fn stuck(state: &State, next: Next) -> Option<Event> {
    let reason = |it: &Component| match (&it.order, &it.seen.is) {
        (Some(Order::Advance { .. } | Order::Halt) | None, _) => None,
        (Some(_), Is::Unreachable { why, .. }) => Some(format!("{}: {why}", it.name)),
        (Some(_), Is::Paused { why, .. }) if it.told => Some(format!("{}: {why}", it.name)),
        _ => None,
    };
    let why = state.components.iter().find_map(reason)?;
    Some(Event::Paused { pause: Pause::new(why, next) })
}

fn everywhere(state: &State, what: &Order, end: &Is, done: Event) -> Option<Event> {
    let open = || state.components.iter().filter(|it| it.begun && !at(it, end));
    if open().next().is_none() {
        return Some(done);
    }
    open().find(|it| it.order.as_ref() != Some(what)).map(|it| order(it, what.clone()))
}

fn one_by_one(state: &State, what: &Order, end: &Is, done: Event) -> Option<Event> {
    match state.components.iter().find(|it| it.begun && !at(it, end)) {
        None => Some(done),
        Some(first) if first.order.as_ref() == Some(what) => None,
        Some(first) => Some(order(first, what.clone())),
    }
}

/// A component that has no run has nothing to remove or to end.
fn at(component: &Component, end: &Is) -> bool {
    component.seen.is == *end || (component.told && component.seen.is == Is::Idle)
}
