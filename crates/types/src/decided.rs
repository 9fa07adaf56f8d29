//! What a gate decided about requests, second by second: the canary's evidence.

use serde::{Deserialize, Serialize};

use crate::{LatencyBucket, Side};

/// The requests whose decision fell into one second at one weight.
///
/// A request is decided at one fixed age, whether it was answered by then or not: counting at
/// completion would compare one side's failures of now with the other's of later.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecidedSecond {
    /// Seconds of the gate's life.
    pub second: u64,
    /// The target's share when they were sent, in tenths of a per cent.
    pub target_permille: u16,
    /// Requests that were sent to the source, whoever answered them in the end.
    pub source: Decided,
    /// Requests that were sent to the target.
    pub target: Decided,
}

impl DecidedSecond {
    /// One side's.
    #[must_use]
    pub fn side(&self, side: Side) -> &Decided {
        match side {
            Side::Source => &self.source,
            Side::Target => &self.target,
        }
    }
}

/// One side's decided requests.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decided {
    /// All.
    pub requests: u64,
    /// Those without a good answer when they were decided.
    pub bad: u64,
    /// All by their latency, ascending.
    pub latency: Latencies,
    /// With a sticky cookie: each user's first bad event instead of every request's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub users: Option<FirstEvents>,
}

/// Counts by latency, ascending.
pub type Latencies = Vec<(LatencyBucket, u64)>;

/// First bad events of users. A request that is slower than every earlier one of its user is the
/// user's first one beyond every limit in between, so one pair of counts serves all limits:
/// first ones beyond `limit` = `reached` beyond it − `before` beyond it.
///
/// Latencies are in the source's measure: those of the target are made a tenth quicker.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirstEvents {
    /// Users whose first bad request this was.
    pub bad: u64,
    /// Requests of users that had a bad one before.
    pub bad_before: u64,
    /// By the slowest latency that a user reached anew.
    pub reached: Latencies,
    /// By that user's slowest one before, if there was any.
    pub before: Latencies,
    /// All requests by their user's slowest latency before, if there was any.
    pub standing: Latencies,
    /// Requests of users for whom there was no room any more: left out of all of the above.
    pub untracked: u64,
}
