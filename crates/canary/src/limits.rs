//! What counts as slow: the source's own quantiles, from what was before.

use std::collections::VecDeque;

use changeover_types::{Latencies, LatencyBucket};
use serde::{Deserialize, Serialize};

use crate::histogram::Histogram;

/// Limits come from so many whole minutes before, and hold for one.
const WINDOW_MINUTES: usize = 5;
const MINUTE_SECONDS: u32 = 60;

/// A quantile needs so many requests beyond it to be one.
const LEAST_BEYOND: f64 = 5.0;

/// The source's quantiles over its last five minutes, fixed for a minute at a time: a limit that
/// moved with the request it judges would be no coin's business any more.
///
/// The target is given a tenth more time: its request is slow beyond `1.1·τ`, the source's beyond
/// `τ`. "At most 10 % slower" is then exactly the null, where a margin in θ is not.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    quantiles: Vec<f64>,
    /// None beyond: a request is decided then, answered or not.
    longest: LatencyBucket,
    minutes: VecDeque<Histogram>,
    seconds: u32,
    limits: Vec<Option<LatencyBucket>>,
    frozen: bool,
}

impl Limits {
    /// Limits for these quantiles of requests that are decided at `decide_after_us`.
    #[must_use]
    pub fn new(quantiles: &[f64], decide_after_us: u64) -> Limits {
        Limits {
            quantiles: quantiles.to_vec(),
            // The target's limit is a tenth higher and must be known by the decision, too.
            longest: LatencyBucket::of_micros(decide_after_us.saturating_sub(1)).a_tenth_quicker(),
            minutes: VecDeque::from([Histogram::default()]),
            seconds: 0,
            limits: vec![None; quantiles.len()],
            frozen: false,
        }
    }

    /// The limit of the quantile at this place: the source's; `None` while it had too few requests.
    #[must_use]
    pub fn get(&self, at: usize) -> Option<LatencyBucket> {
        self.limits.get(at).copied().flatten()
    }

    /// Takes a second of the source in, after it was judged.
    pub fn learn(&mut self, source: &Latencies) {
        if let Some(minute) = self.minutes.back_mut() {
            minute.add(source);
        }
        self.seconds += 1;
        if self.seconds.is_multiple_of(MINUTE_SECONDS) {
            self.renew(|_| true);
            self.minutes.push_back(Histogram::default());
            if self.minutes.len() > WINDOW_MINUTES {
                self.minutes.pop_front();
            }
        } else {
            self.renew(|limit| limit.is_none());
        }
    }

    /// From now on the limits stay: with sticky users each may count only once, under one limit.
    pub fn freeze(&mut self) {
        self.frozen = true;
    }

    fn renew(&mut self, which: impl Fn(Option<LatencyBucket>) -> bool) {
        let total: u64 = self.minutes.iter().map(Histogram::total).sum();
        let wanted: Vec<usize> = (0..self.quantiles.len())
            .filter(|at| {
                let present = self.limits[*at];
                let enough = total as f64 * (1.0 - self.quantiles[*at]) >= LEAST_BEYOND;
                enough && which(present) && !(self.frozen && present.is_some())
            })
            .collect();
        if wanted.is_empty() {
            return;
        }
        let mut all = Histogram::default();
        self.minutes.iter().for_each(|minute| all.merge(minute));
        for at in wanted {
            let quantile = all.quantile(self.quantiles[at]).unwrap_or(self.longest);
            self.limits[at] = Some(quantile.min(self.longest));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evenly(first: u16, last: u16) -> Latencies {
        (first..=last).map(|step| (LatencyBucket(step), 10)).collect()
    }

    #[test]
    fn a_limit_is_the_quantile_of_what_was_before() {
        let mut limits = Limits::new(&[0.5, 0.999], 1_000_000);
        assert_eq!(limits.get(0), None);
        limits.learn(&evenly(1, 100));
        assert_eq!(limits.get(0), Some(LatencyBucket(50)));
        assert_eq!(limits.get(1), None, "1000 requests do not make a 99.9th percentile");
        (0..4).for_each(|_| limits.learn(&evenly(1, 100)));
        assert_eq!(limits.get(1), Some(LatencyBucket(100)));
    }

    #[test]
    fn it_holds_for_a_minute_and_forgets_after_five() {
        let mut limits = Limits::new(&[0.5], 1_000_000);
        limits.learn(&evenly(1, 100));
        (0..58).for_each(|_| limits.learn(&evenly(201, 300)));
        assert_eq!(limits.get(0), Some(LatencyBucket(50)));
        limits.learn(&evenly(201, 300));
        assert_eq!(limits.get(0), Some(LatencyBucket(250)));
        (0..300).for_each(|_| limits.learn(&evenly(101, 200)));
        assert_eq!(limits.get(0), Some(LatencyBucket(150)));
        limits.freeze();
        (0..600).for_each(|_| limits.learn(&evenly(1, 100)));
        assert_eq!(limits.get(0), Some(LatencyBucket(150)));
    }

    #[test]
    fn no_limit_is_beyond_the_decision_even_a_tenth_slower() {
        let mut limits = Limits::new(&[0.5], 100_000);
        limits.learn(&vec![(LatencyBucket::NEVER, 1000)]);
        let limit = limits.get(0).unwrap();
        assert!(limit.a_tenth_slower() <= LatencyBucket::of_micros(99_999));
    }
}
