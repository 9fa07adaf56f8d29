//! What counts as slow: the source's own quantiles, from what was before.

use std::collections::VecDeque;

use changeover_types::{Latencies, LatencyBucket};
use serde::{Deserialize, Serialize};

use crate::histogram::Histogram;

/// The past is kept in slices of ten seconds, at most five minutes of them; limits are renewed with
/// each slice.
const SLICE_SECONDS: u32 = 10;
const SLICES: usize = 30;

/// A limit comes from the latest slices, from these many at least and from as many more as it takes
/// to have so many requests beyond it: a service whose pace has changed is soon judged by its
/// present one.
const SLICES_LEAST: usize = 3;
const ENOUGH_BEYOND: f64 = 20.0;

/// A quantile needs so many requests beyond it to be one.
const LEAST_BEYOND: f64 = 5.0;

/// The source's own quantiles of the time just before, fixed for ten seconds at a time: a limit that
/// moved with the request it judges would be no coin's business any more.
///
/// The target is given a tenth more time: its request is slow beyond `1.1·τ`, the source's beyond
/// `τ`. "At most 10 % slower" is then exactly the null, where a margin in θ is not.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    quantiles: Vec<f64>,
    /// None beyond: a request is decided then, answered or not.
    longest: LatencyBucket,
    slices: VecDeque<Histogram>,
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
            slices: VecDeque::from([Histogram::default()]),
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
        if let Some(slice) = self.slices.back_mut() {
            slice.add(source);
        }
        self.seconds += 1;
        if self.seconds.is_multiple_of(SLICE_SECONDS) {
            self.renew(|_| true);
            self.slices.push_back(Histogram::default());
            if self.slices.len() > SLICES {
                self.slices.pop_front();
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
        for at in 0..self.quantiles.len() {
            let present = self.limits[at];
            if which(present) && !(self.frozen && present.is_some()) {
                self.limits[at] = self.of_late(self.quantiles[at]).or(present);
            }
        }
    }

    /// The quantile of the latest slices; `None` if even all of them have too few requests.
    fn of_late(&self, quantile: f64) -> Option<LatencyBucket> {
        let mut late = Histogram::default();
        let mut beyond = 0.0;
        for (at, slice) in self.slices.iter().rev().enumerate() {
            if at >= SLICES_LEAST && beyond >= ENOUGH_BEYOND {
                break;
            }
            late.merge(slice);
            beyond = late.total() as f64 * (1.0 - quantile);
        }
        let found = late.quantile(quantile).filter(|_| beyond >= LEAST_BEYOND)?;
        Some(found.min(self.longest))
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
    fn it_holds_for_ten_seconds_and_follows_the_source_within_half_a_minute() {
        let mut limits = Limits::new(&[0.5], 1_000_000);
        limits.learn(&evenly(1, 100));
        (0..8).for_each(|_| limits.learn(&evenly(201, 300)));
        assert_eq!(limits.get(0), Some(LatencyBucket(50)));
        limits.learn(&evenly(201, 300));
        assert_eq!(limits.get(0), Some(LatencyBucket(245)), "one second in ten was quicker");
        (0..30).for_each(|_| limits.learn(&evenly(101, 200)));
        assert_eq!(limits.get(0), Some(LatencyBucket(150)));
        limits.freeze();
        (0..600).for_each(|_| limits.learn(&evenly(1, 100)));
        assert_eq!(limits.get(0), Some(LatencyBucket(150)));
    }

    #[test]
    fn a_rare_quantile_looks_further_back_and_forgets_after_five_minutes() {
        let mut limits = Limits::new(&[0.99], 1_000_000);
        // A request a second: three of them in five minutes are beyond the 99th percentile.
        (0..600).for_each(|_| limits.learn(&vec![(LatencyBucket(7), 1)]));
        assert_eq!(limits.get(0), None);
        // Two a second: six, of five minutes.
        (0..300).for_each(|_| limits.learn(&vec![(LatencyBucket(7), 2)]));
        assert_eq!(limits.get(0), Some(LatencyBucket(7)));
        (0..300).for_each(|_| limits.learn(&vec![(LatencyBucket(90), 2)]));
        assert_eq!(limits.get(0), Some(LatencyBucket(90)));
        (0..299).for_each(|_| limits.learn(&vec![(LatencyBucket(7), 2)]));
        assert_eq!(limits.get(0), Some(LatencyBucket(90)), "the oldest slice is not over yet");
        limits.learn(&vec![(LatencyBucket(7), 2)]);
        assert_eq!(limits.get(0), Some(LatencyBucket(7)));
    }

    #[test]
    fn no_limit_is_beyond_the_decision_even_a_tenth_slower() {
        let mut limits = Limits::new(&[0.5], 100_000);
        limits.learn(&vec![(LatencyBucket::NEVER, 1000)]);
        let limit = limits.get(0).unwrap();
        assert!(limit.a_tenth_slower() <= LatencyBucket::of_micros(99_999));
    }
}
