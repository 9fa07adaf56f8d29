//! Mirrored traffic: what is asked of a gate, what it counts, and which differences are real.
//!
//! A gate sends a sampled request three more times: twice to the source (*primary* and *secondary*)
//! and once to the target (*candidate*), all at the same time. Where the source differs from itself,
//! the field is noise: a time, a random number, a row that just changed. A difference that only the
//! candidate shows, in a field that is no noise, is real.

mod diff;
mod tally;

use serde::{Deserialize, Serialize};

pub use diff::{Body, Copied, Difference, differences};
pub use tally::Tally;

/// What to mirror, and for how long without another word.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MirrorOrder {
    /// Tells one mirroring from another; the same one goes on, with a new lease.
    pub id: u64,
    /// After this the gate stops by its own clock: a run that died leaves nothing behind.
    pub lease_ms: u64,
    /// Of 10 000 requests so many are mirrored, as the coin falls.
    pub sample_of_10k: u16,
    /// Headers that are compared, in lower case.
    pub headers: Vec<String>,
    /// Fields that are not compared, nor what is below them.
    pub ignore: Vec<String>,
}

/// What came of a mirroring so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MirrorStatus {
    /// Which one.
    pub id: u64,
    /// Requests that came meanwhile and could be mirrored: GET, HEAD or OPTIONS without a body.
    pub seen: u64,
    /// Of them mirrored.
    pub copied: u64,
    /// Of them not, because too many were under way: clients come first.
    pub dropped: u64,
    /// Whose three answers were compared.
    pub compared: u64,
    /// Not compared: the source itself did not answer both times.
    pub unanswered: u64,
    /// Of those compared, with a real difference.
    pub differing: u64,
    /// Fields that differed, the most frequent real differences first.
    pub fields: Vec<FieldCount>,
}

/// A field and how often it differed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldCount {
    /// `status`, `header NAME`, `body`, `answer`, or a JSON pointer with `*` for every index.
    pub field: String,
    /// Where only the candidate differed.
    pub candidate: u64,
    /// Where only the source differed from itself.
    pub source: u64,
    /// Whether it is noise.
    pub noise: bool,
    /// Method, path without query, and where in the answer. Never a value.
    pub example: String,
}
