//! What the shell's answers to due commands mean.

use changeover_cutover as cutover;
use changeover_plan::{OnFail, PlacedStep, Plan, Step};
use changeover_types::{CheckReport, RouteName, Share, Side, Task, WallMs};

use super::{Input, Refusal, automatic, entrance, name_of};
use crate::apply::apply;
use crate::canary::{self, Judged, WatchRules, Watching, silenced, watch_rules};
use crate::due::Command;
use crate::event::Event;
use crate::next::Next;
use crate::state::{DataStage, Mode, Pause, State};

/// How many attempts a rollback makes before it asks, and how long it waits between two.
const ROLLBACK_ATTEMPTS: u32 = 5;
const ROLLBACK_RETRY_MS: u64 = 5_000;

pub(super) fn pause(why: String, next: Next) -> Event {
    Event::Paused { pause: Pause::new(why, next) }
}

/// A rollback that cannot go on may also be given up, while the target has authority.
pub(super) fn both_ways(state: &State, mut why: String) -> String {
    let back = matches!(state.mode, Mode::RollingBack { .. });
    if back && state.cutover.authority == Side::Target {
        why.push_str("; or stay on the target with `changeover rollback --give-up`");
    }
    why
}

/// The one table of the run: what was due and what came of it.
pub(super) fn to_due(
    state: &State,
    plan: &Plan,
    due: Option<&Command>,
    input: &Input,
    now: WallMs,
) -> Result<Vec<Event>, Refusal> {
    let Some(command) = due else { return Err(out_of_step(input, due)) };
    Ok(match (command, input) {
        (Command::Cutover(_), Input::Failed { why, .. }) => {
            let failed = cutover::Input::Failed { why: why.clone() };
            return super::cutover_events(state, &failed, now);
        }
        (Command::Cutover(_), Input::Futile { why }) => {
            let failed = cutover::Input::Failed { why: why.clone() };
            let events = super::cutover_events(state, &failed, now)?;
            let ends = !events.is_empty();
            return Ok(ends.then_some(Event::AttemptFutile).into_iter().chain(events).collect());
        }
        (Command::Cutover(_), Input::Done) => {
            return super::cutover_events(state, &cutover::Input::Done, now);
        }
        (Command::Copy, Input::Failed { why, next }) => {
            vec![Event::CopyLost, pause(why.clone(), *next)]
        }
        // The canary is watched while the run waits: it fails as before, and has nothing to add.
        (Command::Watch { .. }, Input::Failed { .. }) if state.pause.is_some() => vec![],
        (_, Input::Failed { why, next }) => vec![pause(both_ways(state, why.clone()), *next)],

        (Command::Install, Input::Installed { facts }) => {
            vec![Event::Installed { facts: facts.clone() }, Event::CopyBegun]
        }
        (command, Input::DoneWith { tasks }) => {
            let mut events = to_due(state, plan, due, &Input::Done, now)?;
            if matches!(command, Command::CatchUp | Command::PrepareReverse) {
                events.extend(tasks_left(state, tasks));
            }
            events
        }
        (Command::UndoCopy, Input::Done) => vec![Event::CopyUndone, Event::CopyBegun],
        (Command::Copy, Input::Copied { rows, bytes, took_ms, definitions }) => {
            let definitions = definitions.clone();
            vec![Event::Copied { rows: *rows, bytes: *bytes, took_ms: *took_ms, definitions }]
        }
        (Command::Build, Input::Built { tasks, definitions }) => {
            let built = Event::Built { definitions: definitions.clone() };
            std::iter::once(built).chain(tasks_left(state, tasks)).collect()
        }
        (Command::CatchUp, Input::Done) => vec![Event::CaughtUp],
        (Command::PrepareReverse, Input::Done) => vec![Event::ReverseReady],
        (Command::Verify, Input::Verified { rows, different }) => verified(*rows, *different),
        (Command::MakeUpForProof, Input::Verified { rows, different }) => {
            super::compared(state, *rows, *different)
        }
        (Command::Check { .. }, Input::Checked { report }) => checked(state, plan, report, now),
        (Command::SetWeight { share, route }, Input::Done) => {
            weight_set(state, plan, *share, route.as_ref(), now)
        }
        (Command::Watch { step, since }, Input::Watched { watching }) => {
            watched(state, plan, *step, watching, now.since(*since), now)
        }
        (Command::Wait { .. }, Input::Waited) => waited(state, plan),
        (Command::LookAtFacts | Command::WatchFacts, Input::Catalogue { catalogue }) => {
            entrance::looked(state, plan, catalogue, now)
        }
        (Command::CheckWayBack { by_itself }, Input::WayBack { against }) => {
            vec![way_back(state, *by_itself, against)]
        }
        (Command::RetireAborted, Input::Done) => vec![Event::Aborted],
        (Command::RetireFinished, Input::Done) => vec![Event::Finished],
        (_, _) => return Err(out_of_step(input, due)),
    })
}

pub(super) fn tasks_left(state: &State, tasks: &[Task]) -> Option<Event> {
    (*tasks != state.tasks).then(|| Event::TasksLeft { tasks: tasks.to_owned() })
}

fn out_of_step(input: &Input, due: Option<&Command>) -> Refusal {
    Refusal::OutOfStep { input: format!("{input:?}"), due: name_of(due) }
}

/// A run goes back by itself only where everything can be taken; a person is told what cannot.
fn way_back(state: &State, by_itself: bool, against: &[String]) -> Event {
    if !by_itself || against.is_empty() {
        return Event::WayBackChecked { against: against.to_vec() };
    }
    let why = format!(
        "the way back is not ready, so the traffic stays where it is: {}",
        against.join("; ")
    );
    pause(both_ways(state, why), Next::Rollback)
}

/// A check that says no makes happen what its step says.
fn checked(state: &State, plan: &Plan, report: &CheckReport, now: WallMs) -> Vec<Event> {
    let mut events = vec![Event::Checked { report: report.clone() }];
    let on_fail = plan.steps().nth(state.at).and_then(|placed| placed.step.on_fail());
    events.extend(match on_fail {
        _ if report.passed() => vec![Event::StepDone],
        None | Some(OnFail::Rollback) => check_failed(state, &report.why(), now),
        Some(OnFail::Pause) => vec![pause(report.why(), Next::Apply)],
        // The rules of a plan allow it only before the cutover; if it is not possible even so, the
        // operator decides.
        Some(OnFail::Abort) => super::operator::abort(state, None, Some(&report.why()), now)
            .unwrap_or_else(|_| vec![pause(report.why(), Next::Rollback)]),
    });
    events
}

/// A check that says no takes back what has moved; when nothing has, the operator decides.
fn check_failed(state: &State, why: &str, now: WallMs) -> Vec<Event> {
    if state.has_moved_something() && state.mode == Mode::Forward {
        automatic::rollback(state, why, now)
    } else {
        vec![pause(why.to_owned(), Next::Apply)]
    }
}

fn verified(rows: u64, different: u64) -> Vec<Event> {
    let verified = Event::Verified { rows, different };
    if different == 0 {
        return vec![verified, Event::StepDone];
    }
    let why = format!("{different} of {rows} rows differ between the sides");
    vec![verified, pause(why, Next::Verify)]
}

/// The gates obey this share.
pub(super) fn weight(share: Share, route: Option<&RouteName>, now: WallMs) -> Event {
    let Share { target_permille, salt } = share;
    let salt = Some(salt).filter(|salt| *salt > 0);
    Event::WeightSet { target_permille, at: now, route: route.cloned(), salt }
}

fn weight_set(
    state: &State,
    plan: &Plan,
    share: Share,
    route: Option<&RouteName>,
    now: WallMs,
) -> Vec<Event> {
    let set = weight(share, route, now);
    let present = plan.steps().nth(state.at).map(|placed| placed.step);
    let is_the_step = matches!(present, Some(Step::Shift { .. }))
        && state.mode == Mode::Forward
        && state.before_rollback.is_none();
    if is_the_step { vec![set, Event::StepDone] } else { vec![set] }
}

/// Writes down what was seen, and does what it says.
fn watched(
    state: &State,
    plan: &Plan,
    step: usize,
    watching: &Watching,
    for_: std::time::Duration,
    now: WallMs,
) -> Vec<Event> {
    let mut events = vec![Event::Watched { watching: watching.clone() }];
    let Some(rules) = watch_rules(plan, step, state.canary_index) else { return events };
    match (watching.judged(&rules, for_), rules) {
        (Judged::NotYet { .. }, _) => {
            events.extend(silenced(state, plan, step, watching, now));
        }
        (Judged::Back { why }, _) => events.extend(check_failed(state, &why, now)),
        (Judged::GoOn { why }, WatchRules::Canary { .. }) => {
            events.push(Event::WeightPassed { why });
        }
        (Judged::GoOn { why }, WatchRules::Switched { .. }) => match plan.steps().nth(step) {
            Some(PlacedStep { step: Step::Phased(phased), .. }) => {
                let route = phased.routes.get(state.canary_index).cloned();
                events.extend(route.map(|route| Event::RoutePassed { route, why }));
            }
            _ => events.extend([Event::SwitchPassed { why }, Event::StepDone]),
        },
    }
    events
}

/// Writes down a pair of values from outside, and goes back if it says so. To go on is for whoever
/// has looked at the requests as well.
pub(super) fn outside_asked(
    state: &State,
    plan: &Plan,
    at: usize,
    asked: WallMs,
    pair: &Result<(f64, f64), String>,
    now: WallMs,
) -> Vec<Event> {
    let Some(event) = canary::asked(state, plan, at, asked, pair) else { return vec![] };
    let mut after = state.clone();
    apply(&mut after, &event);
    let mut events = vec![event];
    let rules = watch_rules(plan, state.at, state.canary_index);
    let watched = state.since.map(|since| now.since(since)).unwrap_or_default();
    if let (Some(watching), Some(rules)) = (&after.watching, rules) {
        match watching.judged(&rules, watched) {
            Judged::Back { why } => events.extend(check_failed(state, &why, now)),
            _ => events.extend(silenced(state, plan, state.at, watching, now)),
        }
    }
    events
}

fn waited(state: &State, plan: &Plan) -> Vec<Event> {
    if entrance::shut(state, plan).is_some() {
        // The clock decides whether the window is open now.
        vec![]
    } else if state.next_attempt_at.is_some() {
        vec![Event::AttemptPutOff { until: None }]
    } else {
        vec![Event::StepDone]
    }
}

/// Steps whose end is a fact of the state.
pub(super) fn ends_by_itself(state: &State, step: &Step) -> Option<Event> {
    match step {
        Step::Cutover { .. } if state.cutover.authority == Side::Target => Some(Event::StepDone),
        Step::Replicate if state.data == DataStage::Following => Some(Event::StepDone),
        Step::Canary(canary) if state.canary_index >= canary.weights.len() => Some(Event::StepDone),
        Step::Phased(phased) if state.canary_index >= phased.routes.len() => Some(Event::StepDone),
        _ => None,
    }
}

/// What an attempt that ended without moving authority leads to.
pub(super) fn attempt_ended(state: &State, plan: &Plan, why: &str, now: WallMs) -> Vec<Event> {
    // A rollback that was given up: the target keeps authority.
    if state.mode == Mode::Forward && state.cutover.authority == Side::Target {
        return vec![];
    }
    let (attempts, retry_ms, next) = match (&state.mode, plan.steps().nth(state.at)) {
        (Mode::Forward, Some(placed)) => match placed.step {
            Step::Cutover { attempts, retry_after } => {
                let retry_ms = u64::try_from(retry_after.as_millis()).unwrap_or(u64::MAX);
                (*attempts, retry_ms, Next::Apply)
            }
            _ => return vec![],
        },
        (Mode::RollingBack { .. }, _) => (ROLLBACK_ATTEMPTS, ROLLBACK_RETRY_MS, Next::Rollback),
        _ => return vec![],
    };
    if state.futile || state.attempts_used + 1 >= attempts {
        let why = both_ways(state, format!("the cutover was called off: {why}"));
        return vec![pause(why, next)];
    }
    vec![Event::AttemptPutOff { until: Some(WallMs(now.0.saturating_add(retry_ms))) }]
}
