//! Who may write, and under which number.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One side of a migration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// Where the service lives when the migration starts.
    Source,
    /// Where it goes.
    Target,
}

impl Side {
    /// The opposite side.
    #[must_use]
    pub fn other(self) -> Side {
        match self {
            Side::Source => Side::Target,
            Side::Target => Side::Source,
        }
    }

    /// `source` or `target`, as written in plans, rows and logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Side::Source => "source",
            Side::Target => "target",
        }
    }

    /// The side whose [`Side::as_str`] is `text`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Side> {
        match text {
            "source" => Some(Side::Source),
            "target" => Some(Side::Target),
            _ => None,
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A number that grows with every *attempt* to change authority and is never reused.
///
/// Every effect of the cutover carries it and every receiver refuses a lower one.
/// Others say fencing token, or term. Epoch 0 means "none yet".
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Epoch(pub u64);

impl Epoch {
    /// The next higher epoch.
    #[must_use]
    pub fn next(self) -> Epoch {
        Epoch(self.0 + 1)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// What tells one attempt's barrier from every other barrier: the attempt's epoch and a nonce
/// that the shell drew when it wrote the barrier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AttemptId {
    /// The attempt's epoch.
    pub epoch: Epoch,
    /// Drawn at random for each barrier.
    pub nonce: u64,
}
