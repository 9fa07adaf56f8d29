//! Metrics from outside, as a monitoring system gives them: one value for each side at a time.

use std::time::Duration;

use changeover_types::WallMs;
use serde::{Deserialize, Serialize};

use crate::evidence::Evidence;
use crate::grid::Grid;

/// How a metric from outside is judged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OutsideRule {
    /// As the plan calls it.
    pub name: String,
    /// The tolerated share of the source's value: 0.1 for 10 % worse.
    pub margin: f64,
    /// Whether the higher of two values is the worse one.
    pub higher_is_worse: bool,
    /// How far apart two pairs are.
    pub every: Duration,
}

/// A sequential sign test: how often is the target's value beyond the source's?
///
/// Each pair in which the target's value, made better by the tolerated margin, is still beyond
/// the source's counts as a bad label of the target; each in which it is below, of the source;
/// ties count for nothing. It is the label process at w = ½, begun with half of the money at once
/// and the rest bit by bit as time goes on, so that a fault that begins late is found as well.
///
/// **The claim is weaker than the canary's.** Nobody threw a coin for these values. The probability
/// of a false alarm is at most its share of `α` only if each pair, given those before, is as likely
/// to fall either way while the target is not worse: the sides carry comparable load (make the
/// metric a ratio or a quantile, not a count), and values are so far apart in time that they say
/// something new (not closer than the metric's own window; a 5-minute rate every 15 seconds is the
/// same value twenty times over). A slow drift that concerns one side alone breaks it.
///
/// So it only objects: no value from outside proves that a target is harmless.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Paired {
    evidence: Evidence,
    beyond: u64,
    below: u64,
    ties: u64,
    missing: u64,
    /// Pairs at the present weight.
    here: u64,
    /// The last pair: the source's value, then the target's.
    last: Option<(f64, f64)>,
    /// When both sides were asked last.
    asked: Option<WallMs>,
    silence: Option<Silence>,
}

/// A metric that has no pair to give.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Silence {
    /// When it was first asked in vain.
    pub since: WallMs,
    /// What came instead the last time.
    pub why: String,
}

impl Default for Paired {
    fn default() -> Self {
        Paired {
            evidence: Evidence::of_any_time(&Grid::failures()),
            beyond: 0,
            below: 0,
            ties: 0,
            missing: 0,
            here: 0,
            last: None,
            asked: None,
            silence: None,
        }
    }
}

impl Paired {
    /// Takes in what came when both sides were asked at `asked`: the source's value and the
    /// target's, or why there is none. A value that is missing, or not a number, is no evidence for
    /// anything, and is counted.
    pub fn add(&mut self, rule: &OutsideRule, asked: WallMs, pair: Result<(f64, f64), String>) {
        self.asked = Some(asked);
        let pair = pair.and_then(|(source, target)| {
            let finite = source.is_finite() && target.is_finite();
            finite.then_some((source, target)).ok_or_else(|| "a value is not finite".to_owned())
        });
        let (source, target) = match pair {
            Ok(pair) => pair,
            Err(why) => {
                self.missing += 1;
                let since = self.silence.as_ref().map_or(asked, |silence| silence.since);
                self.silence = Some(Silence { since, why });
                return;
            }
        };
        self.silence = None;
        self.here += 1;
        self.last = Some((source, target));
        // How much of the reserve is at stake depends on time alone, not on what comes.
        (0..rule.every.as_secs()).for_each(|_| self.evidence.begin_second());
        let allowed = rule.margin * source.abs();
        let worse_by = if rule.higher_is_worse {
            target - source - allowed
        } else {
            source - target - allowed
        };
        let (beyond, below) = if worse_by > 0.0 {
            (1, 0)
        } else if worse_by < 0.0 {
            (0, 1)
        } else {
            self.ties += 1;
            return;
        };
        (self.beyond, self.below) = (self.beyond + beyond, self.below + below);
        self.evidence.add(&Grid::failures(), 0.5, beyond, below);
    }

    /// Another weight: a value is asked for there, too. The evidence goes on.
    pub(crate) fn at_another_weight(&mut self) {
        self.here = 0;
    }

    /// Against the target: how many to one that pairs do not fall as they would if it were as good.
    #[must_use]
    pub fn against(&self) -> f64 {
        self.evidence.wealth()
    }

    /// Whether it gave a pair at the present weight, and gives one now.
    #[must_use]
    pub fn speaks(&self) -> bool {
        self.here > 0 && self.silence.is_none()
    }

    /// Since when, and why, it gives none.
    #[must_use]
    pub fn silence(&self) -> Option<&Silence> {
        self.silence.as_ref()
    }

    /// When both sides were asked last.
    #[must_use]
    pub fn asked(&self) -> Option<WallMs> {
        self.asked
    }

    /// What was seen, in numbers.
    #[must_use]
    pub fn seen(&self, rule: &OutsideRule) -> String {
        let Paired { beyond, below, ties, missing, .. } = self;
        let more = match (rule.margin > 0.0, rule.higher_is_worse) {
            (false, true) => "above the source's".to_owned(),
            (false, false) => "below the source's".to_owned(),
            (true, true) => format!("more than {:.0} % above the source's", rule.margin * 100.0),
            (true, false) => format!("more than {:.0} % below the source's", rule.margin * 100.0),
        };
        let all = beyond + below + ties;
        let mut text = format!("the target's value was {more} in {beyond} of {all} pairs");
        if let Some((source, target)) = self.last {
            text += &format!(", last {} against {}", figure(target), figure(source));
        }
        if *missing > 0 {
            text += &format!("; {missing} more gave no value");
        }
        text
    }
}

/// Four digits, as short as they go.
fn figure(value: f64) -> String {
    if value == 0.0 || (0.001..1e7).contains(&value.abs()) {
        let digits = (3 - value.abs().max(1.0).log10().floor() as i32).max(0) as usize;
        let text = format!("{value:.digits$}");
        match text.contains('.') {
            true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
            false => text,
        }
    } else {
        format!("{value:.3e}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(margin: f64, higher_is_worse: bool) -> OutsideRule {
        let every = Duration::from_secs(30);
        OutsideRule { name: "cpu".to_owned(), margin, higher_is_worse, every }
    }

    fn add(paired: &mut Paired, rule: &OutsideRule, source: f64, target: f64) {
        paired.add(rule, WallMs(0), Ok((source, target)));
    }

    #[test]
    fn a_run_of_worse_values_tells_and_missing_ones_do_not() {
        let higher = rule(0.1, true);
        let mut paired = Paired::default();
        for round in 0..50 {
            paired.add(&higher, WallMs(round), Err("no series".to_owned()));
            add(&mut paired, &higher, f64::NAN, 1.0);
            add(&mut paired, &higher, 1.0, f64::INFINITY);
        }
        assert_eq!((paired.against(), paired.speaks()), (1.0, false));
        assert_eq!(paired.silence().unwrap().since, WallMs(0));
        add(&mut paired, &higher, 100.0, 109.0);
        assert!(paired.against() < 1.0 && paired.speaks() && paired.silence().is_none());
        let text = paired.seen(&higher);
        assert_eq!(
            text,
            "the target's value was more than 10 % above the source's in 0 of 1 pairs, last 109 \
             against 100; 150 more gave no value"
        );
        for (rule, target) in [(higher, 120.0), (rule(0.0, false), 80.0)] {
            let mut worse = Paired::default();
            let mut needed = 0;
            while worse.against() < 600.0 {
                add(&mut worse, &rule, 100.0, target);
                needed += 1;
            }
            assert_eq!(needed, 13, "each pair can at most double the evidence");
        }
    }

    #[test]
    fn a_fault_that_begins_late_is_found_nearly_as_soon() {
        let mut paired = Paired::default();
        let rule = rule(0.0, true);
        (0..200)
            .for_each(|n| add(&mut paired, &rule, 100.0, if n % 2 == 0 { 101.0 } else { 99.0 }));
        let needed = (1..).find(|_| {
            add(&mut paired, &rule, 100.0, 101.0);
            paired.against() >= 600.0
        });
        assert_eq!(needed, Some(23), "13 if it had begun with the canary");
    }

    /// Computed apart from this program, as the double sum over the beginnings of all bets:
    /// pairs 30 s apart, ½ of the money at once.
    #[test]
    fn the_trace_of_the_mixture() {
        let (mut paired, rule) = (Paired::default(), rule(0.0, true));
        let trace = [(true, TRACE[0]), (true, TRACE[1]), (false, TRACE[2]), (true, TRACE[3])];
        for (beyond, wanted) in trace {
            add(&mut paired, &rule, 1.0, if beyond { 2.0 } else { 0.5 });
            assert!((paired.against() - wanted).abs() < 1e-6, "{} {wanted}", paired.against());
        }
    }

    const TRACE: [f64; 4] = [1.313703, 1.860546, 0.900718, 1.136154];

    /// Every course that twelve pairs can take: the wealth is expected to stay as it is, and comes
    /// to 20 on no more than a twentieth of them.
    #[test]
    fn all_courses_of_fair_pairs_together_win_nothing() {
        let (rule, pairs) = (rule(0.0, true), 12);
        let (mut sum, mut reached) = (0.0, 0);
        for course in 0..1_u32 << pairs {
            let mut paired = Paired::default();
            let mut most = 0.0_f64;
            for pair in 0..pairs {
                let target = if course >> pair & 1 == 1 { 2.0 } else { 0.5 };
                add(&mut paired, &rule, 1.0, target);
                most = most.max(paired.against());
            }
            sum += paired.against();
            reached += u32::from(most >= 20.0);
        }
        let courses = f64::from(1_u32 << pairs);
        assert!((sum / courses - 1.0).abs() < 1e-9, "{}", sum / courses);
        assert!(reached > 0 && f64::from(reached) / courses <= 0.05, "{reached}");
    }

    #[test]
    fn figures_are_short() {
        for (value, text) in [
            (0.0, "0"),
            (0.25, "0.25"),
            (1.23456, "1.235"),
            (123.456, "123.5"),
            (1_234_567.0, "1234567"),
            (1.5e9, "1.500e9"),
            (-0.000_02, "-2.000e-5"),
        ] {
            assert_eq!(figure(value), text);
        }
    }
}
