//! Metrics from outside, as a monitoring system gives them: one value for each side at a time.

use serde::{Deserialize, Serialize};

use crate::evidence::Evidence;
use crate::grid::Grid;

/// A sequential sign test: how often is the target's value beyond the source's?
///
/// Each pair in which the target's value, made better by the tolerated `margin`, is still beyond
/// the source's counts as a bad label of the target; each in which it is below, of the source;
/// ties count for nothing. It is the label process at w = ½.
///
/// **The claim is weaker than the canary's.** Nobody threw a coin for these values. The probability
/// of a false alarm is at most `α` only if each pair, given those before, is as likely to fall
/// either way while the target is not worse: the sides carry comparable load (make the metric a
/// ratio or a quantile, not a count), and values are so far apart in time that they say something
/// new (not closer than the metric's own window; a 5-minute rate every 15 seconds is the same value
/// twenty times over). A slow drift that concerns one side alone breaks it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Paired {
    margin: f64,
    higher_is_worse: bool,
    evidence: Evidence,
    beyond: u64,
    below: u64,
    ties: u64,
    missing: u64,
}

/// What the values say so far.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "kebab-case")]
pub enum OutsideVerdict {
    /// Not enough values, or none that tell.
    NotYet {
        /// What was seen.
        seen: String,
    },
    /// The target's values are worse.
    Worse {
        /// In numbers.
        why: String,
    },
}

impl Paired {
    /// `margin` is the tolerated share of the source's value: 0.1 for 10 % worse.
    #[must_use]
    pub fn new(margin: f64, higher_is_worse: bool) -> Paired {
        let evidence = Evidence::from_the_beginning(&Grid::failures());
        Paired { margin, higher_is_worse, evidence, beyond: 0, below: 0, ties: 0, missing: 0 }
    }

    /// Takes a pair in; a value that is missing or not a number is no evidence, and is counted.
    pub fn add(&mut self, source: Option<f64>, target: Option<f64>) {
        let (Some(source), Some(target)) =
            (source.filter(|v| v.is_finite()), target.filter(|v| v.is_finite()))
        else {
            self.missing += 1;
            return;
        };
        let allowed = self.margin * source.abs();
        let worse_by = if self.higher_is_worse {
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

    /// What the values say at this `false_alarm`.
    #[must_use]
    pub fn verdict(&self, false_alarm: f64) -> OutsideVerdict {
        let Paired { beyond, below, ties, missing, .. } = self;
        let seen = format!(
            "the target's value was beyond the source's (and {:.0} % more) {beyond} times, below \
             {below} times, equal {ties} times, missing {missing} times",
            self.margin * 100.0
        );
        let wealth = self.evidence.wealth();
        if wealth >= 1.0 / false_alarm {
            let why = format!("{seen}; {wealth:.0} to 1 against chance");
            return OutsideVerdict::Worse { why };
        }
        OutsideVerdict::NotYet { seen }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_of_worse_values_tells_and_missing_ones_do_not() {
        let mut paired = Paired::new(0.1, true);
        for _ in 0..50 {
            paired.add(Some(100.0), None);
            paired.add(Some(f64::NAN), Some(1.0));
            paired.add(Some(100.0), Some(109.0));
        }
        assert!(matches!(paired.verdict(0.01), OutsideVerdict::NotYet { .. }));
        let mut worse = Paired::new(0.1, true);
        let mut needed = 0;
        while matches!(worse.verdict(0.01), OutsideVerdict::NotYet { .. }) {
            worse.add(Some(100.0), Some(120.0));
            needed += 1;
        }
        assert!((7..=12).contains(&needed), "{needed}");
        let mut lower = Paired::new(0.0, false);
        (0..needed + 2).for_each(|_| lower.add(Some(100.0), Some(80.0)));
        assert!(matches!(lower.verdict(0.01), OutsideVerdict::Worse { .. }));
    }

    #[test]
    fn values_that_fall_either_way_never_tell() {
        let mut paired = Paired::new(0.0, true);
        for round in 0..2000 {
            let up = if round % 2 == 0 { 101.0 } else { 99.0 };
            paired.add(Some(100.0), Some(up));
            assert!(matches!(paired.verdict(0.01), OutsideVerdict::NotYet { .. }), "{round}");
        }
    }
}
