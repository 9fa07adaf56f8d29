//! Watching a target that has requests: by a canary's judge, or after a switch at once.

mod clock;
mod outside;

use std::time::Duration;

use changeover_canary::{Judge, Rules, SwitchRules, Switched, Verdict};
use changeover_plan::{BlueGreen, Plan, Step};
use changeover_types::DecidedSecond;
use serde::{Deserialize, Serialize};

/// Where the plan has no objective: failures that need no comparison must be rarer than this.
const ALLOWED_FAILURES: f64 = 0.01;

/// A proof that a target is harmless is wrong with at most this probability.
const DOUBT: f64 = 0.05;

/// A target of fewer processes than this is judged with the guard.
const GUARDED_BELOW: usize = 3;

/// After so long without an end in sight, or with one so far away, the way on is told.
const UNSETTLED_AFTER: Duration = Duration::from_secs(120);
const LONG: Duration = Duration::from_secs(3600);

pub(crate) use clock::{begins, late, out_of_time};
pub use outside::{OutsideSeen, outside_due, outside_seen};
pub(crate) use outside::{asked, silenced};

/// By what the present step is judged.
#[derive(Clone, Debug, PartialEq)]
pub enum WatchRules {
    /// A canary at one of its weights.
    Canary {
        /// The rules at this weight.
        rules: Rules,
        /// The weight, in tenths of a per cent.
        target_permille: u16,
    },
    /// A switch at once.
    Switched {
        /// The rules.
        rules: SwitchRules,
        /// For so long it is watched.
        watch: Duration,
    },
}

/// The rules of the step at this index, at the weight (or the route of a phased move) at
/// `canary_index`; `None` if there is nothing to watch.
#[must_use]
pub fn watch_rules(plan: &Plan, step: usize, canary_index: usize) -> Option<WatchRules> {
    let gate = plan.gates.http.as_ref()?;
    let decide_after = gate.decide_after_of(&plan.routes_judged(step, canary_index));
    let switched = |switch: &BlueGreen| WatchRules::Switched {
        rules: SwitchRules {
            false_alarm: switch.false_alarm,
            decide_after,
            error_rate: plan.objectives.error_rate,
            latency_p99: plan.objectives.latency_p99,
        },
        watch: switch.watch,
    };
    match plan.steps().nth(step)?.step {
        Step::Canary(canary) => {
            let processes = plan.target.http.as_ref().map_or(0, |http| http.upstreams.len());
            let rules = Rules {
                false_alarm: canary.false_alarm,
                proof: *canary.proof.get(canary_index)?,
                doubt: DOUBT,
                quantiles: canary.latency.clone(),
                decide_after,
                // With a sticky cookie the gate itself leaves the warm-up out.
                warm_up_seconds: canary.warm_up.as_secs(),
                guarded: processes < GUARDED_BELOW,
                sticky: gate.sticky_cookie.is_some(),
                at_least: canary.at_least,
                allowed_failures: plan.objectives.error_rate.unwrap_or(ALLOWED_FAILURES),
                error_rate: plan.objectives.error_rate,
                latency_p99: plan.objectives.latency_p99,
                outside: canary.outside.iter().map(outside::rule).collect(),
            };
            let target_permille = *canary.weights.get(canary_index)?;
            Some(WatchRules::Canary { rules, target_permille })
        }
        Step::BlueGreen(switch) => Some(switched(switch)),
        Step::Phased(phased) => Some(switched(&phased.part(canary_index)?)),
        _ => None,
    }
}

/// What was seen so far. It is written into the journal now and then; a process that comes after
/// goes on from there with the seconds that the gate has kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Watching {
    /// A canary's judge.
    Canary(Box<Judge>),
    /// After a switch.
    Switched(Box<Switched>),
}

/// The judgement at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judged {
    /// Not enough evidence or time.
    NotYet {
        /// What is missing, and the way on if it may never come.
        waiting_for: String,
        /// When this share would be passed at the present rate; `None` if that cannot be told.
        left: Option<Duration>,
    },
    /// The target does as well as was asked.
    GoOn {
        /// In numbers.
        why: String,
    },
    /// It does not.
    Back {
        /// Why, in numbers.
        why: String,
    },
}

impl Watching {
    /// Begins at the gate's second `next`; `past` is what it decided before.
    #[must_use]
    pub fn begin(
        rules: &WatchRules,
        incarnation: u64,
        next: u64,
        past: &[DecidedSecond],
    ) -> Watching {
        match rules {
            WatchRules::Canary { rules, .. } => {
                Watching::Canary(Box::new(Judge::begin(rules, incarnation, next, past)))
            }
            WatchRules::Switched { rules, .. } => {
                Watching::Switched(Box::new(Switched::begin(rules, incarnation, next, past)))
            }
        }
    }

    /// The first second of this life of the gate that it has not seen.
    #[must_use]
    pub fn next_second(&self, incarnation: u64) -> u64 {
        match self {
            Watching::Canary(judge) => judge.next_second(incarnation),
            Watching::Switched(switched) => switched.next_second(incarnation),
        }
    }

    /// Takes the gate's seconds up to `next`.
    pub fn take(
        &mut self,
        rules: &WatchRules,
        incarnation: u64,
        next: u64,
        seconds: &[DecidedSecond],
    ) {
        match (self, rules) {
            (Watching::Canary(judge), WatchRules::Canary { rules, .. }) => {
                judge.take(rules, incarnation, next, seconds);
            }
            (Watching::Switched(switched), WatchRules::Switched { rules, .. }) => {
                switched.take(rules, incarnation, next, seconds);
            }
            // The rules of another step: a state that no plan leads to.
            (Watching::Canary(_), WatchRules::Switched { .. })
            | (Watching::Switched(_), WatchRules::Canary { .. }) => {}
        }
    }

    /// The judgement after `watched` at the present weight.
    #[must_use]
    pub fn judged(&self, rules: &WatchRules, watched: Duration) -> Judged {
        match (self, rules) {
            (Watching::Canary(judge), WatchRules::Canary { rules, target_permille }) => {
                match judge.verdict(rules, *target_permille, watched) {
                    Verdict::NotYet { waiting_for, left } => {
                        let waiting_for = waiting_for + way_on(left, watched);
                        Judged::NotYet { waiting_for, left }
                    }
                    Verdict::Harmless { figures } => Judged::GoOn { why: figures.to_string() },
                    Verdict::Worse { alarm } => Judged::Back { why: alarm.to_string() },
                }
            }
            (Watching::Switched(switched), WatchRules::Switched { watch, .. }) => {
                let left = watch.saturating_sub(watched);
                if let Some(why) = switched.why_back() {
                    Judged::Back { why }
                } else if !switched.has_seen_requests() {
                    let waiting_for = "a first request on the target".to_owned();
                    Judged::NotYet { waiting_for, left: None }
                } else if left > Duration::ZERO {
                    let waiting_for =
                        format!("{:.0} s more; {}", left.as_secs_f64(), switched.seen());
                    Judged::NotYet { waiting_for, left: Some(left) }
                } else {
                    Judged::GoOn { why: switched.seen() }
                }
            }
            (Watching::Canary(_), WatchRules::Switched { .. })
            | (Watching::Switched(_), WatchRules::Canary { .. }) => {
                Judged::NotYet { waiting_for: "a judge of this step".to_owned(), left: None }
            }
        }
    }
}

/// A canary that has been watched for so long and has no end in sight is for a person to end: with
/// too little traffic no proof comes, and evidence that stands is settled by the source's own bad
/// requests alone.
fn way_on(left: Option<Duration>, watched: Duration) -> &'static str {
    let endless = match left {
        None => watched >= UNSETTLED_AFTER,
        Some(left) => left >= LONG,
    };
    if endless {
        "; if that takes too long: changeover skip --reason TEXT leaves the canary out, and proof, \
         at_least, weights, within and on_timeout may be changed in the plan (then changeover \
         apply)"
    } else {
        ""
    }
}

#[cfg(test)]
mod tests;
