//! One kind of bad request, and all that is bet on it.

use std::collections::VecDeque;

use changeover_types::{DecidedSecond, FirstEvents, Latencies, LatencyBucket};
use serde::{Deserialize, Serialize};

use crate::evidence::{Evidence, Guard};
use crate::grid::Grid;
use crate::harmless::Harmless;
use crate::rules::Rules;

/// With sticky users the process that also looks for late faults may alarm only while at most this
/// share of the requests comes from users that were counted already: those who are left are no
/// fair sample any more.
const COUNTED_SHARE: f64 = 0.1;
const COUNTED_SECONDS: usize = 60;

/// What is bad.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StreamName {
    /// No good answer by the time of decision.
    Failures,
    /// Beyond this quantile of the source.
    Slower {
        /// 0.99 for p99.
        quantile: f64,
    },
}

impl StreamName {
    /// All streams of these rules, failures first.
    pub(crate) fn all(rules: &Rules) -> impl Iterator<Item = StreamName> + '_ {
        let slower = rules.quantiles.iter().map(|q| StreamName::Slower { quantile: *q });
        std::iter::once(StreamName::Failures).chain(slower)
    }

    /// What is bet on.
    #[must_use]
    pub fn grid(self) -> Grid {
        match self {
            StreamName::Failures => Grid::failures(),
            StreamName::Slower { quantile } => Grid::slower_than(quantile),
        }
    }

    /// How a small target is guarded.
    #[must_use]
    pub fn guard(self) -> Guard {
        match self {
            StreamName::Failures => Guard::Seconds,
            StreamName::Slower { .. } => Guard::Tens,
        }
    }

    /// The θ that must be ruled out when the odds `rho` must.
    #[must_use]
    pub fn rho(self, rho: f64) -> f64 {
        match self {
            StreamName::Failures => rho,
            StreamName::Slower { quantile } => Grid::theta_of_odds(rho, quantile),
        }
    }
}

/// Bad requests of one second, by the side they were sent to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bad {
    /// To the target.
    pub target: u64,
    /// To the source.
    pub source: u64,
}

/// A stream's state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stream {
    name: StreamName,
    any_time: Evidence,
    /// With sticky users only.
    beginning: Option<Evidence>,
    harmless: Harmless,
    /// Bad ones since the canary began.
    bad: Bad,
    /// How many of them the target's share would be.
    expected: f64,
    /// Per second, with sticky users: requests, and those of users that were counted already.
    counted: VecDeque<(u64, u64)>,
}

impl Stream {
    /// A stream that has seen nothing.
    #[must_use]
    pub fn new(name: StreamName, rules: &Rules) -> Stream {
        let grid = name.grid();
        Stream {
            name,
            any_time: Evidence::of_any_time(&grid),
            beginning: rules.sticky.then(|| Evidence::from_the_beginning(&grid)),
            harmless: Harmless::than(name.rho(rules.proof)),
            bad: Bad::default(),
            expected: 0.0,
            counted: VecDeque::new(),
        }
    }

    /// Another weight: harmlessness is to be proven anew, the evidence goes on.
    pub fn at_another_weight(&mut self, rules: &Rules) {
        self.harmless = Harmless::than(self.name.rho(rules.proof));
    }

    /// Takes a second in.
    pub fn add(&mut self, rules: &Rules, weight: f64, bad: Bad) {
        let grid = self.name.grid();
        let guard = if rules.guarded { self.name.guard() } else { Guard::Off };
        for evidence in [Some(&mut self.any_time), self.beginning.as_mut()].into_iter().flatten() {
            evidence.begin_second();
            evidence.add(&grid, weight, bad.target, bad.source);
            evidence.end_second(guard);
        }
        self.harmless.add(weight, bad.target, bad.source);
        self.bad.target += bad.target;
        self.bad.source += bad.source;
        self.expected += weight * (bad.target + bad.source) as f64;
    }

    /// How many requests of this second came from users that were counted already.
    pub fn note_counted(&mut self, requests: u64, counted: u64) {
        self.counted.push_back((requests, counted));
        if self.counted.len() > COUNTED_SECONDS {
            self.counted.pop_front();
        }
    }

    /// Whether so many users were counted that those who are left are no fair sample.
    #[must_use]
    pub fn is_depleted(&self) -> bool {
        let (requests, counted) =
            self.counted.iter().fold((0, 0), |(all, of), (r, c)| (all + r, of + c));
        counted as f64 > COUNTED_SHARE * requests as f64
    }

    /// The wealth that counts against the target.
    #[must_use]
    pub fn against(&self) -> f64 {
        let any_time = if self.is_depleted() { 0.0 } else { self.any_time.wealth() };
        self.beginning.as_ref().map_or(0.0, Evidence::wealth).max(any_time)
    }

    /// The wealth of the proof that it is harmless.
    #[must_use]
    pub fn harmless(&self) -> f64 {
        self.harmless.wealth()
    }

    /// What is bad here.
    #[must_use]
    pub fn name(&self) -> StreamName {
        self.name
    }

    /// Bad requests since the canary began.
    #[must_use]
    pub fn bad(&self) -> Bad {
        self.bad
    }

    /// How many of them the target's share would be.
    #[must_use]
    pub fn expected(&self) -> f64 {
        self.expected
    }
}

/// The bad requests of a second, and how many came from users that were counted before.
pub(crate) fn failures(second: &DecidedSecond, sticky: bool) -> (Bad, u64) {
    let users =
        |side: &Option<FirstEvents>| side.as_ref().map_or((0, 0), |u| (u.bad, u.bad_before));
    if sticky {
        let (target, source) = (users(&second.target.users), users(&second.source.users));
        (Bad { target: target.0, source: source.0 }, target.1 + source.1)
    } else {
        (Bad { target: second.target.bad, source: second.source.bad }, 0)
    }
}

/// The same for "slower than the source's `limit`".
pub(crate) fn slower(second: &DecidedSecond, sticky: bool, limit: LatencyBucket) -> (Bad, u64) {
    if sticky {
        let first = |side: &Option<FirstEvents>| {
            side.as_ref().map_or((0, 0), |users| {
                let new = beyond(&users.reached, limit) - beyond(&users.before, limit);
                (new, beyond(&users.standing, limit))
            })
        };
        let (target, source) = (first(&second.target.users), first(&second.source.users));
        (Bad { target: target.0, source: source.0 }, target.1 + source.1)
    } else {
        let target = beyond(&second.target.latency, limit.a_tenth_slower());
        (Bad { target, source: beyond(&second.source.latency, limit) }, 0)
    }
}

fn beyond(latencies: &Latencies, limit: LatencyBucket) -> u64 {
    latencies.iter().filter(|(bucket, _)| *bucket > limit).map(|(_, count)| count).sum()
}
