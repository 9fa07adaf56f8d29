//! What a canary is judged by.

use std::time::Duration;

use crate::outside::OutsideRule;

/// The rules at one weight. All but `proof` and `at_least` are the same over a canary's life.
#[derive(Clone, Debug, PartialEq)]
pub struct Rules {
    /// `α`: a target that is not worse is rolled back with at most this probability.
    pub false_alarm: f64,
    /// `ρ`: it goes on when the odds of a bad request are proven to be less than this many times
    /// the source's.
    pub proof: f64,
    /// `β`: such a proof is wrong with at most this probability.
    pub doubt: f64,
    /// The quantiles of latency that are judged, each a stream of its own.
    pub quantiles: Vec<f64>,
    /// The age at which a request is decided.
    pub decide_after: Duration,
    /// So many seconds of the target are not judged at the beginning.
    pub warm_up_seconds: u64,
    /// Whether the wealth may grow only tenfold within 30 seconds: for a target of few processes.
    pub guarded: bool,
    /// Whether users keep their side, so that each counts once.
    pub sticky: bool,
    /// It stays at this weight at least so long.
    pub at_least: Duration,
    /// Where there are too few bad requests to compare: the share of them that must be ruled out.
    pub allowed_failures: f64,
    /// The objective's share of failures: over all requests at a weight it is not to be missed.
    pub error_rate: Option<f64>,
    /// A p99 of the target above this is worse, whatever the source's is.
    pub latency_p99: Option<Duration>,
    /// Metrics from outside, each a stream of its own.
    pub outside: Vec<OutsideRule>,
}

impl Rules {
    /// How many streams share the probability of a false alarm.
    #[must_use]
    pub fn streams(&self) -> usize {
        1 + self.quantiles.len() + self.outside.len()
    }

    /// The wealth at which a stream rolls back: `m/α` by Bonferroni; with sticky users two
    /// processes a stream share that again.
    #[must_use]
    pub fn alarm_at(&self) -> f64 {
        let processes = if self.sticky { 2.0 } else { 1.0 };
        processes * self.streams() as f64 / self.false_alarm
    }

    /// The same for a metric from outside, which is one process however sticky users are.
    #[must_use]
    pub fn outside_alarm_at(&self) -> f64 {
        self.streams() as f64 / self.false_alarm
    }

    /// The wealth at which a proof counts.
    #[must_use]
    pub fn proven_at(&self) -> f64 {
        1.0 / self.doubt
    }
}
