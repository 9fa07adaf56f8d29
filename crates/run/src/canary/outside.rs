//! Metrics from outside in a canary: when they are asked for, and what their silence leads to.

use std::time::Duration;

use changeover_canary::OutsideRule;
use changeover_plan::{Outside, Plan, Step};
use changeover_types::WallMs;

use super::{WatchRules, Watching, watch_rules};
use crate::decide::automatic;
use crate::due::{Command, due};
use crate::event::Event;
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

/// Both sides were asked for the metric at this index: what is written down, if it counts.
pub(crate) fn asked(
    state: &State,
    plan: &Plan,
    at: usize,
    asked: WallMs,
    pair: &Result<(f64, f64), String>,
) -> Option<Event> {
    let Some(Command::Watch { step, .. }) = due(state, plan) else { return None };
    let WatchRules::Canary { rules, .. } = watch_rules(plan, step, state.canary_index)? else {
        return None;
    };
    let Some(Watching::Canary(judge)) = &state.watching else { return None };
    let (rule, known) = (rules.outside.get(at)?, judge.outside().get(at)?);
    let soon = known.asked().is_some_and(|last| asked.since(last) < rule.every);
    // Infinity has no place in the journal, and is no value.
    let finite = |(source, target): &(f64, f64)| source.is_finite() && target.is_finite();
    let pair = match pair {
        Ok(pair) if !finite(pair) => Err("a value is not finite".to_owned()),
        pair => pair.clone(),
    };
    let (rule, alarm_at) = (rule.clone(), rules.outside_alarm_at());
    (!soon).then_some(Event::OutsideAsked { at, rule, alarm_at, asked, pair })
}

impl Watching {
    /// Takes in what the metric at this index gave when both sides were asked: the source's value
    /// and the target's, or why there is none.
    pub fn take_outside(
        &mut self,
        rules: &WatchRules,
        at: usize,
        asked: WallMs,
        pair: Result<(f64, f64), String>,
    ) {
        if let (Watching::Canary(judge), WatchRules::Canary { rules, .. }) = (self, rules)
            && let Some(rule) = rules.outside.get(at)
        {
            judge.take_outside(at, (rule, rules.outside_alarm_at()), asked, pair);
        }
    }
}
