//! Counts by latency.

use std::collections::BTreeMap;

use changeover_types::{Latencies, LatencyBucket};
use serde::{Deserialize, Serialize};

/// Counts by latency. Written as a list of pairs: a map's keys would have to be texts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "Latencies", into = "Latencies")]
pub(crate) struct Histogram(BTreeMap<LatencyBucket, u64>);

impl From<Latencies> for Histogram {
    fn from(list: Latencies) -> Self {
        Histogram(list.into_iter().collect())
    }
}

impl From<Histogram> for Latencies {
    fn from(histogram: Histogram) -> Self {
        histogram.0.into_iter().collect()
    }
}

impl Histogram {
    pub(crate) fn add(&mut self, more: &Latencies) {
        for (bucket, count) in more {
            *self.0.entry(*bucket).or_default() += count;
        }
    }

    pub(crate) fn merge(&mut self, more: &Histogram) {
        for (bucket, count) in &more.0 {
            *self.0.entry(*bucket).or_default() += count;
        }
    }

    pub(crate) fn total(&self) -> u64 {
        self.0.values().sum()
    }

    /// The step below or in which `share` of all are; `None` if there are none.
    pub(crate) fn quantile(&self, share: f64) -> Option<LatencyBucket> {
        let wanted = ((share * self.total() as f64).ceil() as u64).max(1);
        let mut seen = 0;
        self.0.iter().find_map(|(bucket, count)| {
            seen += count;
            (seen >= wanted).then_some(*bucket)
        })
    }

    /// Those that were not answered in time.
    pub(crate) fn never(&self) -> u64 {
        self.0.get(&LatencyBucket::NEVER).copied().unwrap_or_default()
    }

    pub(crate) fn beyond(&self, limit: LatencyBucket) -> u64 {
        self.0.iter().filter(|(bucket, _)| **bucket > limit).map(|(_, count)| count).sum()
    }
}
