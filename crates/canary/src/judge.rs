//! A canary's judge: one process over all its weights.

use std::time::Duration;

use changeover_types::{Decided, DecidedSecond, LatencyBucket, Side, WallMs};
use serde::{Deserialize, Serialize};

mod objection;

use crate::breaker::Breaker;
use crate::harmless::Rate;
use crate::histogram::Histogram;
use crate::limits::Limits;
use crate::outside::{OutsideRule, Paired};
use crate::rules::Rules;
use crate::stream::{Stream, StreamName, failures, slower};
use crate::verdict::{Alarm, Cause, Figures, Verdict, on_target};

/// Where hardly anything fails there is nothing to compare, and a proof of the target's own rate is
/// accepted in its place. It is begun anew after so many failures on either side, so that it never
/// takes the place of a comparison that could be made.
const SCARCE: u64 = 3;

/// Everything the verdict is made of. It is small, and survives its process: written down now and
/// then with [`Judge::next_second`], it goes on from the gate's seconds after that.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Judge {
    incarnation: u64,
    next_second: u64,
    permille: u16,
    warm_up_left: u64,
    limits: Limits,
    streams: Vec<Stream>,
    /// As [`Rules::outside`].
    #[serde(default)]
    outside: Vec<Paired>,
    breaker: Breaker,
    rate: Rate,
    /// Failures on both sides since `rate` was begun.
    scarce: u64,
    here: Here,
    untracked: u64,
    alarm: Option<Alarm>,
}

/// What was seen at the present weight.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Here {
    target: Seen,
    source: Seen,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Seen {
    requests: u64,
    bad: u64,
    latency: Histogram,
}

impl Here {
    /// Requests of the target, and of both sides.
    fn counts(&self) -> (u64, u64) {
        (self.target.requests, self.target.requests + self.source.requests)
    }
}

impl Seen {
    /// Of the bad ones, those that had no answer when they were decided.
    fn late(&self) -> u64 {
        self.latency.never().min(self.bad)
    }

    fn failures(&self) -> String {
        on_target(self.bad, self.late(), self.requests)
    }

    fn add(&mut self, decided: &Decided) {
        self.requests += decided.requests;
        self.bad += decided.bad;
        self.latency.add(&decided.latency);
    }

    /// In microseconds; `None` without requests, or if it was not answered in time.
    fn quantile_us(&self, share: f64) -> Option<f64> {
        self.latency.quantile(share).and_then(LatencyBucket::upper_micros)
    }
}

impl Judge {
    /// Begins with the gate's next second. What was before teaches how slow the source is.
    #[must_use]
    pub fn begin(
        rules: &Rules,
        incarnation: u64,
        next_second: u64,
        past: &[DecidedSecond],
    ) -> Judge {
        let decide_after_us = u64::try_from(rules.decide_after.as_micros()).unwrap_or(u64::MAX);
        let mut limits = Limits::new(&rules.quantiles, decide_after_us);
        past.iter().for_each(|second| limits.learn(&second.source.latency));
        if rules.sticky {
            limits.freeze();
        }
        Judge {
            incarnation,
            next_second,
            permille: 0,
            warm_up_left: rules.warm_up_seconds,
            limits,
            streams: StreamName::all(rules).map(|name| Stream::new(name, rules)).collect(),
            outside: rules.outside.iter().map(|_| Paired::default()).collect(),
            breaker: Breaker::default(),
            rate: Rate::below(rules.allowed_failures),
            scarce: 0,
            here: Here::default(),
            untracked: 0,
            alarm: None,
        }
    }

    /// The first second of this life of the gate that it has not seen.
    #[must_use]
    pub fn next_second(&self, incarnation: u64) -> u64 {
        if incarnation == self.incarnation { self.next_second } else { 0 }
    }

    /// Takes the gate's seconds up to `next_second`; those it has seen are passed over.
    pub fn take(
        &mut self,
        rules: &Rules,
        incarnation: u64,
        next_second: u64,
        seconds: &[DecidedSecond],
    ) {
        let from = self.next_second(incarnation);
        for second in seconds.iter().filter(|second| second.second >= from) {
            self.second(rules, second);
        }
        (self.incarnation, self.next_second) = (incarnation, next_second.max(from));
    }

    fn second(&mut self, rules: &Rules, second: &DecidedSecond) {
        if (1..1000).contains(&second.target_permille) {
            if second.target_permille != self.permille {
                self.at_another_weight(rules, second.target_permille);
            }
            if self.warm_up_left > 0 {
                self.warm_up_left -= 1;
            } else {
                self.judge(rules, second);
            }
        }
        self.limits.learn(&second.source.latency);
    }

    fn at_another_weight(&mut self, rules: &Rules, permille: u16) {
        self.permille = permille;
        self.here = Here::default();
        (self.rate, self.scarce) = (Rate::below(rules.allowed_failures), 0);
        self.streams.iter_mut().for_each(|stream| stream.at_another_weight(rules));
        self.outside.iter_mut().for_each(Paired::at_another_weight);
    }

    fn judge(&mut self, rules: &Rules, second: &DecidedSecond) {
        let weight = f64::from(second.target_permille) / 1000.0;
        self.here.target.add(&second.target);
        self.here.source.add(&second.source);
        self.rate.add(second.target.requests, second.target.bad);
        self.scarce += second.target.bad + second.source.bad;
        if self.scarce >= SCARCE && self.rate.wealth() < rules.proven_at() {
            (self.rate, self.scarce) = (Rate::below(rules.allowed_failures), 0);
        }
        let both = [Side::Source, Side::Target].map(|side| second.side(side));
        self.untracked +=
            both.iter().filter_map(|side| side.users.as_ref()).map(|u| u.untracked).sum::<u64>();
        let requests = both.iter().map(|side| side.requests).sum();
        for at in 0..self.streams.len() {
            let limit = at.checked_sub(1).and_then(|quantile| self.limits.get(quantile));
            let (bad, counted) = match (at, limit) {
                (0, _) => failures(second, rules.sticky),
                (_, Some(limit)) => slower(second, rules.sticky, limit),
                (_, None) => continue,
            };
            let stream = &mut self.streams[at];
            stream.add(rules, weight, bad);
            if rules.sticky {
                stream.note_counted(requests, counted);
            }
            let against = stream.against() >= rules.alarm_at();
            if against && self.alarm.is_none() && self.another_share(rules).is_none() {
                self.alarm = Some(Alarm { cause: self.cause(at, rules), figures: self.figures() });
            }
        }
        if let Some([target, target_bad, source, source_bad]) = self.breaker.add(second)
            && self.alarm.is_none()
        {
            let cause = Cause::Breaker { target, target_bad, source, source_bad };
            self.alarm = Some(Alarm { cause, figures: self.figures() });
        }
    }

    /// Takes in what the metric at this index of [`Rules::outside`] gave when both sides were asked:
    /// the source's value and the target's, or why there is none. `alarm_at` is
    /// [`Rules::outside_alarm_at`]. One that was asked too soon changes nothing, so that the same
    /// pair may come twice.
    pub fn take_outside(
        &mut self,
        at: usize,
        (rule, alarm_at): (&OutsideRule, f64),
        asked: WallMs,
        pair: Result<(f64, f64), String>,
    ) {
        let Some(paired) = self.outside.get_mut(at) else { return };
        if paired.asked().is_some_and(|last| asked.since(last) < rule.every) {
            return;
        }
        paired.add(rule, asked, pair);
        let wealth = paired.against();
        if wealth >= alarm_at && self.alarm.is_none() {
            let (name, seen) = (rule.name.clone(), paired.seen(rule));
            let cause = Cause::Outside { name, seen, wealth, alarm_at };
            self.alarm = Some(Alarm { cause, figures: self.figures() });
        }
    }

    /// The metrics from outside, as [`Rules::outside`].
    #[must_use]
    pub fn outside(&self) -> &[Paired] {
        &self.outside
    }

    fn cause(&self, at: usize, rules: &Rules) -> Cause {
        let stream = &self.streams[at];
        Cause::Stream {
            name: stream.name(),
            limit_us: self.limit_us(at),
            bad: stream.bad(),
            expected: stream.expected(),
            wealth: stream.against(),
            alarm_at: rules.alarm_at(),
        }
    }

    /// Beyond how much a request of the source is slow.
    fn limit_us(&self, stream: usize) -> Option<f64> {
        self.limits.get(stream.checked_sub(1)?).and_then(LatencyBucket::upper_micros)
    }

    /// The judgement after `watched` at the present weight, at which `rules` hold.
    #[must_use]
    pub fn verdict(&self, rules: &Rules, permille: u16, watched: Duration) -> Verdict {
        if let Some(alarm) = &self.alarm {
            return Verdict::Worse { alarm: alarm.clone() };
        }
        if permille != self.permille || self.here.target.requests == 0 {
            let waiting_for = if self.warm_up_left > 0 {
                format!("the target's warm-up, {} s more", self.warm_up_left)
            } else {
                "a first request on the target".to_owned()
            };
            return Verdict::NotYet { waiting_for, left: None };
        }
        if let Some(alarm) = self.broken_objective(rules) {
            return Verdict::Worse { alarm };
        }
        let rest = rules.at_least.saturating_sub(watched);
        if let Some((waiting_for, left)) = self.objection(rules, watched) {
            return Verdict::NotYet { waiting_for, left: left.map(|left| left.max(rest)) };
        }
        let missing = self.missing(rules, watched);
        if !missing.is_empty() {
            let (texts, left): (Vec<_>, Vec<_>) = missing.into_iter().unzip();
            let left = left.into_iter().try_fold(rest, |most, left| Some(most.max(left?)));
            return Verdict::NotYet { waiting_for: texts.join("; "), left };
        }
        if !rest.is_zero() {
            let waiting_for = format!("{:.0} s more at this share", rest.as_secs_f64());
            return Verdict::NotYet { waiting_for, left: Some(rest) };
        }
        Verdict::Harmless { figures: self.figures() }
    }

    fn strongest(&self) -> Option<(StreamName, f64)> {
        self.streams
            .iter()
            .map(|stream| (stream.name(), stream.against()))
            .max_by(|(_, a), (_, b)| a.total_cmp(b))
    }

    /// What is not proven yet, in words, and in how long it would be at the present rate.
    fn missing(&self, rules: &Rules, watched: Duration) -> Vec<(String, Option<Duration>)> {
        let asked = rules.proven_at();
        let mut missing = Vec::new();
        for (at, stream) in self.streams.iter().enumerate() {
            let known = at == 0 || self.limits.get(at - 1).is_some();
            let proven = stream.harmless() >= asked || (at == 0 && self.rate.wealth() >= asked);
            if known && !proven {
                let odds = rules.proof;
                let name = crate::verdict::name(stream.name());
                let mut text = format!(
                    "proof that {name} are less than {odds} times as likely on the target \
                     ({:.1} of {asked:.0})",
                    stream.harmless()
                );
                if rules.sticky && stream.is_depleted() {
                    text += ", and most of its users were counted already";
                }
                let rate = if at == 0 { self.rate.wealth() } else { 1.0 };
                missing.push((text, left_at_rate(stream.harmless().max(rate), asked, watched)));
            }
        }
        // They prove nothing; but what cannot be seen cannot object.
        for (rule, paired) in rules.outside.iter().zip(&self.outside) {
            if !paired.speaks() {
                let why = paired.silence().map_or(String::new(), |it| format!(" ({})", it.why));
                missing.push((format!("values of {} on both sides{why}", rule.name), None));
            }
        }
        missing
    }

    /// What is shown.
    #[must_use]
    pub fn figures(&self) -> Figures {
        Figures {
            target_permille: self.permille,
            target_requests: self.here.target.requests,
            target_bad: self.here.target.bad,
            target_late: self.here.target.late(),
            source_requests: self.here.source.requests,
            source_bad: self.here.source.bad,
            source_late: self.here.source.late(),
            target_p99_us: self.here.target.quantile_us(0.99),
            source_p99_us: self.here.source.quantile_us(0.99),
            strongest: self.strongest(),
            unjudged: (1..self.streams.len())
                .filter(|at| self.limits.get(at - 1).is_none())
                .map(|at| self.streams[at].name())
                .collect(),
            untracked: self.untracked,
        }
    }
}

/// In how long a proof that came so far would be there if it went on at this rate: its logarithm
/// grows evenly. `None` if it gets nowhere.
fn left_at_rate(wealth: f64, asked: f64, watched: Duration) -> Option<Duration> {
    let come = wealth.ln();
    let more = asked.ln() - come;
    if come <= 0.0 || watched.is_zero() {
        return None;
    }
    Duration::try_from_secs_f64(watched.as_secs_f64() * more.max(0.0) / come).ok()
}
