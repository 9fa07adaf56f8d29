//! What others do.

use crate::world::{SOURCE, Second, TARGET};

/// The labels' z: how many bad requests were on the target, beyond its share.
#[derive(Clone, Debug, Default)]
pub(crate) struct LabelZ {
    excess: f64,
    variance: f64,
}

impl LabelZ {
    pub(crate) fn add(&mut self, weight: f64, bad: [u64; 2]) {
        let all = (bad[SOURCE] + bad[TARGET]) as f64;
        self.excess += bad[TARGET] as f64 - weight * all;
        self.variance += all * weight * (1.0 - weight);
    }

    pub(crate) fn z(&self) -> f64 {
        if self.variance > 0.0 { self.excess / self.variance.sqrt() } else { 0.0 }
    }
}

/// A share of failures that must not be exceeded within a minute, as Argo and Flagger do.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fixed {
    requests: u64,
    bad: u64,
    failures: usize,
}

impl Fixed {
    /// So many minutes exceeded it, and the share of the last one.
    pub(crate) fn second(&mut self, at: usize, second: &Second, share: f64) -> Option<(f64, f64)> {
        self.requests += second.requests[TARGET];
        self.bad += second.bad[0][TARGET];
        if !(at + 1).is_multiple_of(60) {
            return None;
        }
        let present = self.bad as f64 / self.requests.max(1) as f64;
        let exceeds = present > share;
        self.failures += usize::from(exceeds);
        (self.requests, self.bad) = (0, 0);
        Some((self.failures as f64, present))
    }
}

/// Kayenta's judge: the two-sided 98 % interval of the Hodges–Lehmann shift by Mann and Whitney's
/// test with normal approximation, corrections for ties and continuity; "high" if its lower end is
/// above a quarter of the shift itself and the ratio of the means is above 1. One point a minute.
///
/// Its interval's lower end is above `d` exactly when the test's z at a shift of `d` is beyond the
/// interval's z, so that z at a quarter of the shift is the statistic.
#[derive(Clone, Debug)]
pub(crate) struct Kayenta {
    streams: usize,
    seconds: usize,
    sum: Second,
    /// Per stream: the minutes' shares, source and target.
    minutes: Vec<[Vec<f64>; 2]>,
}

impl Kayenta {
    pub(crate) fn new(streams: usize) -> Kayenta {
        let minutes = vec![[Vec::new(), Vec::new()]; streams];
        Kayenta { streams, seconds: 0, sum: Second::default(), minutes }
    }

    pub(crate) fn count(&self) -> usize {
        self.minutes[0][SOURCE].len()
    }

    /// True if a minute is whole.
    pub(crate) fn second(&mut self, second: &Second) -> bool {
        for side in [SOURCE, TARGET] {
            self.sum.requests[side] += second.requests[side];
            for stream in 0..self.streams {
                self.sum.bad[stream][side] += second.bad[stream][side];
            }
        }
        self.seconds += 1;
        if self.seconds < 60 {
            return false;
        }
        for (stream, minutes) in self.minutes.iter_mut().enumerate() {
            for (side, points) in minutes.iter_mut().enumerate() {
                let requests = self.sum.requests[side].max(1) as f64;
                points.push(self.sum.bad[stream][side] as f64 / requests);
            }
        }
        (self.seconds, self.sum) = (0, Second::default());
        true
    }

    /// The strongest metric's z, over all minutes or the last few.
    pub(crate) fn statistic(&self, last: Option<usize>) -> f64 {
        let from = last.map_or(0, |last| self.count().saturating_sub(last));
        self.minutes
            .iter()
            .map(|[source, target]| high(&source[from..], &target[from..]))
            .fold(f64::NEG_INFINITY, f64::max)
    }
}

/// The z at a quarter of the shift; −∞ unless the ratio of the means is above 1. With fewer than
/// five points a side the interval is min − max, as in Kayenta's source.
fn high(source: &[f64], target: &[f64]) -> f64 {
    let mean = |points: &[f64]| points.iter().sum::<f64>() / points.len() as f64;
    if mean(target) <= mean(source) {
        return f64::NEG_INFINITY;
    }
    let mut shifts: Vec<f64> =
        target.iter().flat_map(|x| source.iter().map(move |y| x - y)).collect();
    shifts.sort_by(f64::total_cmp);
    let half = shifts.len() / 2;
    let median = if shifts.len() % 2 == 1 {
        shifts[half]
    } else {
        f64::midpoint(shifts[half - 1], shifts[half])
    };
    let quarter = 0.25 * median.abs();
    if source.len() < 5 {
        // The interval is (min x − max y, max x − min y), whatever level was asked for.
        return if shifts[0] > quarter { 3.0 } else { f64::NEG_INFINITY };
    }
    let below = shifts.partition_point(|shift| *shift < quarter);
    let up_to = shifts.partition_point(|shift| *shift <= quarter);
    let wins = (shifts.len() - up_to) as f64 + 0.5 * (up_to - below) as f64;
    let (n, m) = (target.len() as f64, source.len() as f64);
    let all = n + m;
    let variance = n * m / 12.0 * (all + 1.0 - tied(source, target, quarter) / (all * (all - 1.0)));
    if variance <= 0.0 {
        return f64::NEG_INFINITY;
    }
    (wins - n * m / 2.0 - 0.5) / variance.sqrt()
}

/// Σ (t³ − t) over groups of equal values of the target less `shift` and the source.
fn tied(source: &[f64], target: &[f64], shift: f64) -> f64 {
    let mut all: Vec<f64> =
        target.iter().map(|x| x - shift).chain(source.iter().copied()).collect();
    all.sort_by(f64::total_cmp);
    all.chunk_by(|a, b| a == b).map(|group| (group.len() as f64).powi(3) - group.len() as f64).sum()
}
