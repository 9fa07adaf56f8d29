//! After a switch at once there is no source to compare with at the same moment.

use std::time::Duration;

use changeover_types::{Decided, DecidedSecond, LatencyBucket};
use serde::{Deserialize, Serialize};

use crate::grid::Grid;
use crate::limits::Limits;
use crate::verdict::on_target;

/// Failures of the source before the switch are taken for this many times as many: its rate then
/// is an estimate, and traffic changes over the day.
const SLACK: f64 = 2.0;

/// With fewer requests before the switch the source's rate is not known, and not knowing excuses
/// nothing: the target is then held to [`UNKNOWN_SHARE`].
const KNOWN_FROM_REQUESTS: u64 = 200;
const UNKNOWN_SHARE: f64 = 0.01;

/// What a switch is judged by.
#[derive(Clone, Debug, PartialEq)]
pub struct SwitchRules {
    /// `α`, under the assumptions of [`Switched`].
    pub false_alarm: f64,
    /// The age at which a request is decided.
    pub decide_after: Duration,
    /// The objective's share of failures.
    pub error_rate: Option<f64>,
    /// The objective's p99.
    pub latency_p99: Option<Duration>,
}

/// Judges the target alone, against the objectives or, where the plan has none, against the
/// source's figures of before.
///
/// **The claim is weaker than the canary's.** Nobody throws a coin: the probability of a false
/// alarm is at most `α` only if requests are independent of each other and today's traffic is like
/// yesterday's. A burst of errors that would have hit the source just the same is held against the
/// target. In exchange it is instant, and so is the way back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Switched {
    incarnation: u64,
    next_second: u64,
    failures: Exceeds,
    slow: Option<Exceeds>,
    slow_beyond: LatencyBucket,
    requests: u64,
    bad: u64,
    /// Of the bad ones, those without an answer when they were decided.
    #[serde(default)]
    late: u64,
    beyond: u64,
}

/// The bet against "at most `share` of the requests are bad": each bad one multiplies by θ, each
/// good one by `(1 − θp)/(1 − p)`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Exceeds {
    share: f64,
    logs: Vec<f64>,
    alarm: bool,
}

impl Exceeds {
    fn new(share: f64) -> Exceeds {
        let share = share.clamp(1e-6, 0.5);
        Exceeds { share, logs: vec![0.0; Grid::failures().thetas().len()], alarm: false }
    }

    fn add(&mut self, requests: u64, bad: u64, alarm_at: f64) {
        let good = requests.saturating_sub(bad) as f64;
        for (log, theta) in self.logs.iter_mut().zip(Grid::failures().thetas()) {
            let theta = theta.min(0.95 / self.share);
            let lost = ((1.0 - theta * self.share) / (1.0 - self.share)).ln();
            *log += bad as f64 * theta.ln() + good * lost;
        }
        let count = self.logs.len() as f64;
        let wealth: f64 = self.logs.iter().map(|log| log.min(600.0).exp()).sum::<f64>() / count;
        self.alarm |= wealth >= alarm_at;
    }
}

impl Switched {
    /// Begins with the gate's next second; `past` is what it decided before the switch.
    #[must_use]
    pub fn begin(
        rules: &SwitchRules,
        incarnation: u64,
        next_second: u64,
        past: &[DecidedSecond],
    ) -> Switched {
        let sum = |of: fn(&Decided) -> u64| past.iter().map(|second| of(&second.source)).sum();
        let (requests, bad): (u64, u64) = (sum(|d| d.requests), sum(|d| d.bad));
        let before = if requests < KNOWN_FROM_REQUESTS {
            UNKNOWN_SHARE
        } else {
            SLACK * (bad + 1) as f64 / (requests + 1) as f64
        };
        let decide_after_us = u64::try_from(rules.decide_after.as_micros()).unwrap_or(u64::MAX);
        let mut limits = Limits::new(&[0.99], decide_after_us);
        past.iter().for_each(|second| limits.learn(&second.source.latency));
        let objective = rules.latency_p99.map(|limit| {
            LatencyBucket::of_micros(u64::try_from(limit.as_micros()).unwrap_or(u64::MAX))
        });
        let slow_beyond = objective.or(limits.get(0).map(LatencyBucket::a_tenth_slower));
        Switched {
            incarnation,
            next_second,
            failures: Exceeds::new(rules.error_rate.unwrap_or(before)),
            slow: slow_beyond.map(|_| Exceeds::new(SLACK * 0.01)),
            slow_beyond: slow_beyond.unwrap_or_default(),
            requests: 0,
            bad: 0,
            late: 0,
            beyond: 0,
        }
    }

    /// The first second of this life of the gate that it has not seen.
    #[must_use]
    pub fn next_second(&self, incarnation: u64) -> u64 {
        if incarnation == self.incarnation { self.next_second } else { 0 }
    }

    /// Takes the gate's seconds up to `next_second`; those it has seen are passed over, and so are
    /// those of before the switch.
    pub fn take(
        &mut self,
        rules: &SwitchRules,
        incarnation: u64,
        next_second: u64,
        seconds: &[DecidedSecond],
    ) {
        let from = self.next_second(incarnation);
        let alarm_at = if self.slow.is_some() { 2.0 } else { 1.0 } / rules.false_alarm;
        let after = |s: &&DecidedSecond| s.second >= from && s.target_permille == 1000;
        for target in seconds.iter().filter(after).map(|second| &second.target) {
            let slow = |(bucket, _): &&(LatencyBucket, u64)| *bucket > self.slow_beyond;
            let beyond = target.latency.iter().filter(slow).map(|(_, count)| count).sum();
            self.requests += target.requests;
            self.bad += target.bad;
            let never = |(bucket, _): &&(LatencyBucket, u64)| *bucket == LatencyBucket::NEVER;
            let late: u64 = target.latency.iter().filter(never).map(|(_, count)| count).sum();
            self.late += late.min(target.bad);
            self.beyond += beyond;
            self.failures.add(target.requests, target.bad, alarm_at);
            if let Some(exceeds) = &mut self.slow {
                exceeds.add(target.requests, beyond, alarm_at);
            }
        }
        (self.incarnation, self.next_second) = (incarnation, next_second.max(from));
    }

    /// Why the target is to be left, if so.
    #[must_use]
    pub fn why_back(&self) -> Option<String> {
        let percent = |share: f64| format!("{:.2} %", share * 100.0);
        if self.failures.alarm {
            return Some(format!(
                "{}, where {} were to be expected at most",
                self.failed(),
                percent(self.failures.share)
            ));
        }
        let slow = self.slow.as_ref().filter(|slow| slow.alarm)?;
        Some(format!(
            "{} of {} requests on the target took longer than {:.1} ms, where {} were to be \
             expected at most",
            self.beyond,
            self.requests,
            self.slow_beyond.upper_micros().unwrap_or_default() / 1000.0,
            percent(slow.share)
        ))
    }

    /// What was seen, in words.
    #[must_use]
    pub fn seen(&self) -> String {
        let slow = match &self.slow {
            Some(_) => format!(
                ", {} slower than {:.1} ms",
                self.beyond,
                self.slow_beyond.upper_micros().unwrap_or_default() / 1000.0
            ),
            None => String::new(),
        };
        self.failed() + &slow
    }

    fn failed(&self) -> String {
        on_target(self.bad, self.late, self.requests)
    }

    /// Requests decided on the target, and how many of them were bad.
    #[must_use]
    pub fn counts(&self) -> (u64, u64) {
        (self.requests, self.bad)
    }

    /// Whether anything was decided at all: without a request there is nothing to say.
    #[must_use]
    pub fn has_seen_requests(&self) -> bool {
        self.requests > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: SwitchRules = SwitchRules {
        false_alarm: 0.01,
        decide_after: Duration::from_secs(1),
        error_rate: None,
        latency_p99: None,
    };

    fn second(second: u64, target_permille: u16, requests: u64, bad: u64) -> DecidedSecond {
        let side = Decided { requests, bad, ..Decided::default() };
        let (source, target) = if target_permille == 0 {
            (side, Decided::default())
        } else {
            (Decided::default(), side)
        };
        DecidedSecond { second, target_permille, source, target }
    }

    /// After a source that answered so many requests, of which so many badly, a target that fails
    /// 8 of 100 for twenty seconds.
    fn why_back(requests: u64, bad: u64) -> Option<String> {
        let past = [second(0, 0, requests, bad)];
        let mut switched = Switched::begin(&RULES, 1, 1, &past);
        let seconds: Vec<_> = (1..=20).map(|at| second(at, 1000, 100, 8)).collect();
        switched.take(&RULES, 1, 21, &seconds);
        assert_eq!(switched.counts(), (2000, 160));
        switched.why_back()
    }

    #[test]
    fn a_source_that_failed_as_often_excuses_the_target() {
        assert_eq!(why_back(10_000, 800), None);
        let why = why_back(10_000, 5).unwrap();
        assert!(why.contains("160 of 2000 requests on the target failed"), "{why}");
    }

    #[test]
    fn a_source_of_which_little_is_known_excuses_nothing() {
        for requests in [0, 1, 35, 199] {
            assert!(why_back(requests, 0).is_some(), "{requests}");
        }
    }
}
