//! A canary's time limit. That it is over is said and, where the plan wants it, acted on; never is
//! it success.

use changeover_plan::{Canary, Plan, Step};
use changeover_types::WallMs;

use super::{Judged, watch_rules};
use crate::decide::automatic;
use crate::door::millis;
use crate::event::Event;
use crate::state::{Mode, State};

fn present<'p>(state: &State, plan: &'p Plan) -> Option<&'p Canary> {
    match plan.steps().nth(state.at)?.step {
        Step::Canary(canary) if state.mode == Mode::Forward => Some(canary),
        _ => None,
    }
}

/// The event that sets the limit, when the canary begins, and anew when a run that was stopped for
/// it goes on.
pub(crate) fn begins(state: &State, plan: &Plan, now: WallMs) -> Option<Event> {
    let within = present(state, plan)?.within?;
    let set = state.canary_until.is_some() || state.canary_late;
    let until = WallMs(now.0.saturating_add(millis(within)));
    (!set && state.since.is_some()).then_some(Event::CanaryLimited { until })
}

/// When [`out_of_time`] has something to say.
pub(crate) fn late(state: &State, plan: &Plan) -> Option<WallMs> {
    present(state, plan)?;
    state.canary_until.filter(|_| !state.canary_late)
}

/// What comes of a canary that is not through in time.
pub(crate) fn out_of_time(state: &State, plan: &Plan, now: WallMs) -> Vec<Event> {
    let (Some(canary), Some(until)) = (present(state, plan), late(state, plan)) else {
        return vec![];
    };
    if now < until {
        return vec![];
    }
    let rules = watch_rules(plan, state.at, state.canary_index);
    let judged = state.watching.as_ref().zip(rules).zip(state.since);
    let judged = judged.map(|((watching, rules), since)| watching.judged(&rules, now.since(since)));
    let waiting = match judged {
        Some(Judged::NotYet { waiting_for, .. }) => format!("; it waited for {waiting_for}"),
        _ => String::new(),
    };
    let why = format!(
        "not enough evidence within {} s to go on or back{waiting}",
        canary.within.unwrap_or_default().as_secs()
    );
    let mut events = vec![Event::CanaryLate { at: now, why: why.clone() }];
    events.extend(automatic::stuck(state, canary.on_timeout, why, now));
    events
}
