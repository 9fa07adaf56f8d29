//! Whether a guard is good, and what its being so long otherwise leads to.

use changeover_plan::{AfterDone, Guard, Limit, Measure, OnNoData, Plan, Reaction};
use changeover_types::WallMs;
use serde::{Deserialize, Serialize};

use crate::apply::apply;
use crate::control::{GuardState, Standing};
use crate::decide::{automatic, stop_here};
use crate::event::Event;
use crate::next::Next;
use crate::state::{DataStage, Mode, State};

/// What a shell saw when it looked.
#[derive(Clone, Debug, PartialEq)]
pub enum Reading {
    /// A figure, and the source's of the same time where both have one.
    Figure {
        /// The figure.
        value: f64,
        /// The source's.
        source: Option<f64>,
    },
    /// A command ended with exit code 0.
    Passed,
    /// A command ended otherwise.
    Failed {
        /// How.
        why: String,
    },
    /// What is measured did not happen: no request in the last minute.
    Idle,
    /// Nothing is known.
    NoData {
        /// Why not.
        why: String,
    },
}

/// What a guard's consequence was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Consequence {
    /// It was said.
    Warned,
    /// It was said when all steps were done: it stands in the status until the guard is good.
    Alarmed,
    /// Nothing is begun until it is good again.
    Held,
    /// The run was paused.
    Paused,
    /// The run goes back, or would have.
    RolledBack,
    /// Everything is removed, or would have been.
    Aborted,
}

/// How the guard stands by this reading, and why. `None`: it tells nothing.
fn found(guard: &Guard, state: &State, reading: &Reading) -> Option<(Standing, String)> {
    let rows_different = || match state.control.different {
        Some(different) => {
            #[expect(clippy::cast_precision_loss, reason = "a count for a comparison")]
            let value = different as f64;
            Reading::Figure { value, source: None }
        }
        None => Reading::Idle,
    };
    let seen = match guard.measure {
        Measure::RowsDifferent => rows_different(),
        _ => reading.clone(),
    };
    let no_data = |why: String| {
        let ignored = guard.on_no_data == OnNoData::Ignore;
        (!ignored).then_some((Standing::NoData, why))
    };
    match seen {
        Reading::Passed => Some((Standing::Good, "exit code 0".to_owned())),
        Reading::Failed { why } => Some((Standing::Bad, why)),
        Reading::Idle if guard.objective => Some((Standing::Good, "no requests".to_owned())),
        Reading::Idle => no_data("no requests in the last minute".to_owned()),
        Reading::NoData { why } => no_data(why),
        Reading::Figure { value, .. } if value.is_nan() => no_data("the figure is NaN".to_owned()),
        Reading::Figure { value, source } => {
            let text = format!("{} is {}", guard.measure.name(), guard.measure.show(value));
            let (good, rule) = match (guard.limit?, source) {
                (Limit::Below(limit), _) => {
                    (value < limit, format!("below {}", guard.measure.show(limit)))
                }
                (Limit::AtMost(limit), _) => {
                    (value <= limit, format!("at most {}", guard.measure.show(limit)))
                }
                (Limit::Above(limit), _) => {
                    (value > limit, format!("above {}", guard.measure.show(limit)))
                }
                (Limit::TimesSource(times), Some(source)) => {
                    let shown = guard.measure.show(source);
                    (value <= times * source, format!("at most {times} times the source's {shown}"))
                }
                (Limit::TimesSource(_), None) => {
                    return no_data("nothing is known of the source to compare with".to_owned());
                }
            };
            let standing = if good { Standing::Good } else { Standing::Bad };
            Some((standing, format!("{text}, must be {rule}")))
        }
    }
}

/// Whether what the guard measures exists in this state: what cannot be yet is no missing data.
fn applies(guard: &Guard, state: &State) -> bool {
    match guard.measure {
        Measure::ErrorRate | Measure::LatencyP99 => match guard.limit {
            // With everything on the target there is nothing left to compare with, and where routes
            // have different shares the sides do not get the same kind of requests.
            Some(Limit::TimesSource(_)) => {
                state.split.own.is_empty() && (1..1000).contains(&state.target_permille)
            }
            _ => state.highest_permille() > 0,
        },
        Measure::RelayLag => state.data >= DataStage::Built,
        Measure::SlotRetained => state.data >= DataStage::Copied,
        Measure::RowsDifferent => state.control.different.is_some(),
        Measure::Prometheus { .. } | Measure::Exec { .. } => true,
    }
}

/// What a look at a guard makes happen.
pub(crate) fn looked(
    state: &State,
    plan: &Plan,
    name: &str,
    reading: &Reading,
    now: WallMs,
) -> Vec<Event> {
    let Some(guard) = plan.guards.iter().find(|guard| guard.name == name) else { return vec![] };
    let live = matches!(state.mode, Mode::Forward | Mode::Done);
    let seen = if live && applies(guard, state) {
        match found(guard, state, reading) {
            Some(seen) => seen,
            None => return vec![],
        }
    } else {
        (Standing::Good, "there is nothing to watch".to_owned())
    };
    let known = state.control.guards.get(name);
    let mut events = Vec::new();
    let mut after = state.clone();
    if known.map_or(Standing::Good, |known| known.is) != seen.0 {
        let (to, why) = seen.clone();
        let turned = Event::GuardTurned { guard: name.to_owned(), to, at: now, why };
        apply(&mut after, &turned);
        events.push(turned);
    }
    if let Some(entry) = after.control.guards.get(name) {
        events.extend(acted(&after, plan, guard, entry, &seen.1, now));
    }
    events
}

/// The consequence, once it has been so for long enough and as soon as it is possible.
fn acted(
    state: &State,
    plan: &Plan,
    guard: &Guard,
    entry: &GuardState,
    why: &str,
    now: WallMs,
) -> Vec<Event> {
    if entry.acted || now.since(entry.since) < guard.for_ {
        return vec![];
    }
    let wanted = match (entry.is, guard.on_no_data) {
        (Standing::Good, _) | (Standing::NoData, OnNoData::Ignore) => return vec![],
        (Standing::NoData, OnNoData::Hold) => Reaction::Hold,
        (Standing::Bad, _) | (Standing::NoData, OnNoData::Fail) => guard.on_fail,
    };
    let why = match entry.is {
        Standing::NoData => format!("no data: {why}"),
        _ => why.to_owned(),
    };
    let reason = format!("guard {}: {why}", guard.name);
    // Steps are what a guard can stop; when they are done, it says so, or all goes back once.
    let goes_back = wanted == Reaction::Rollback
        && plan.after_done == AfterDone::Rollback
        && state.pause.is_none()
        && state.control.automatic_rollbacks == 0;
    let wanted = match state.mode {
        Mode::Forward => wanted,
        _ if goes_back => Reaction::Rollback,
        _ => Reaction::Warn,
    };
    let (consequence, events) = match wanted {
        Reaction::Warn if state.mode == Mode::Done => (Consequence::Alarmed, vec![]),
        Reaction::Warn => (Consequence::Warned, vec![]),
        Reaction::Hold => (Consequence::Held, vec![]),
        Reaction::Pause if state.pause.is_some() => (Consequence::Paused, vec![]),
        Reaction::Pause => (Consequence::Paused, stop_here(state, reason, Next::Resume, None, now)),
        Reaction::Rollback => (Consequence::RolledBack, automatic::rollback(state, &reason, now)),
        Reaction::Abort => (Consequence::Aborted, automatic::abort(state, &reason, now)),
    };
    // A run that is paused already is stopped by the guard when it has been resumed.
    let stops = matches!(wanted, Reaction::Pause | Reaction::Rollback | Reaction::Abort);
    if stops && events.is_empty() {
        return vec![];
    }
    let guard = guard.name.clone();
    let mut all = vec![Event::GuardActed { guard, why, consequence }];
    all.extend(events);
    all
}

#[cfg(test)]
mod tests;
