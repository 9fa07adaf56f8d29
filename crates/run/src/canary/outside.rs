//! Metrics from outside in a canary: when they are asked for, and what their silence leads to.

use std::time::Duration;

use changeover_canary::OutsideRule;
use changeover_plan::{Outside, Plan, Step};
use changeover_types::WallMs;

use super::{WatchRules, Watching};
use crate::apply::Event;
use crate::decide::automatic;
use crate::state::State;

/// One metric as it is shown.
#[derive(Clone, Debug, PartialEq)]
pub struct OutsideSeen {
    /// As the plan calls it.
    pub name: String,
    /// In numbers.
    pub seen: String,
    /// How many to one against the target.
    pub against: f64,
    /// At how many everything goes back.
    pub back_at: f64,
    /// Why there is no value, if so.
    pub silent: Option<String>,
}

/// The plan's word as a rule of judgement.
pub(super) fn rule(outside: &Outside) -> OutsideRule {
    OutsideRule {
        name: outside.name.clone(),
        margin: outside.margin,
        higher_is_worse: outside.higher_is_worse,
        every: outside.every,
    }
}

/// Which metrics are to be asked for now, by index. Pairs are as far apart as the plan says, in
/// every life of the shell; the first at a weight comes when the query no longer sees what was
/// before.
#[must_use]
pub fn outside_due(
    rules: &WatchRules,
    watching: &Watching,
    since: WallMs,
    now: WallMs,
) -> Vec<usize> {
    let (WatchRules::Canary { rules, .. }, Watching::Canary(judge)) = (rules, watching) else {
        return vec![];
    };
    let pairs = rules.outside.iter().zip(judge.outside()).enumerate();
    let due = pairs.filter(|(_, (rule, paired))| {
        let first = rule.every.max(Duration::from_secs(rules.warm_up_seconds));
        let asked_again = paired.asked().is_none_or(|asked| now.since(asked) >= rule.every);
        now.since(since) >= first && asked_again
    });
    due.map(|(index, _)| index).collect()
}

/// All metrics as they are shown.
#[must_use]
pub fn outside_seen(rules: &WatchRules, watching: &Watching) -> Vec<OutsideSeen> {
    let (WatchRules::Canary { rules, .. }, Watching::Canary(judge)) = (rules, watching) else {
        return vec![];
    };
    let pairs = rules.outside.iter().zip(judge.outside());
    pairs
        .map(|(rule, paired)| OutsideSeen {
            name: rule.name.clone(),
            seen: paired.seen(rule),
            against: paired.against(),
            back_at: rules.outside_alarm_at(),
            silent: paired.silence().map(|silence| silence.why.clone()),
        })
        .collect()
}

/// What the silence of a metric leads to when it has lasted. Until then, and where the plan says
/// `hold`, the canary stays at its weight, which its judge sees to.
pub(crate) fn silenced(
    state: &State,
    plan: &Plan,
    step: usize,
    watching: &Watching,
    now: WallMs,
) -> Vec<Event> {
    let Some(Step::Canary(canary)) = plan.steps().nth(step).map(|placed| placed.step) else {
        return vec![];
    };
    let Watching::Canary(judge) = watching else { return vec![] };
    for (outside, paired) in canary.outside.iter().zip(judge.outside()) {
        let Some(silence) = paired.silence() else { continue };
        if now.since(silence.since) < outside.no_data_for {
            continue;
        }
        let for_ = outside.no_data_for.as_secs();
        let why = format!("no values of {} for {for_} s: {}", outside.name, silence.why);
        let events = automatic::stuck(state, outside.on_no_data, why, now);
        if !events.is_empty() {
            return events;
        }
    }
    vec![]
}

impl Watching {
    /// Takes in what the metric at this index gave when both sides were asked: the source's value
    /// and the target's, or why there is none. One that was asked too soon changes nothing.
    pub fn take_outside(
        &mut self,
        rules: &WatchRules,
        index: usize,
        asked: WallMs,
        pair: Result<(f64, f64), String>,
    ) {
        if let (Watching::Canary(judge), WatchRules::Canary { rules, .. }) = (self, rules) {
            let every = rules.outside.get(index).map(|rule| rule.every);
            let last = judge.outside().get(index).and_then(changeover_canary::Paired::asked);
            let soon = last.zip(every).is_some_and(|(last, every)| asked.since(last) < every);
            if !soon {
                judge.take_outside(rules, index, asked, pair);
            }
        }
    }
}
