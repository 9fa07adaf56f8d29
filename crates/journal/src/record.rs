//! What the journal holds.

use std::fmt;

use changeover_types::{MigrationName, WallMs};
use serde::{Deserialize, Serialize};

/// A record's number: 1, 2, 3, … without gaps.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Seq(pub u64);

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Something to append.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// What kind of record, in the caller's words.
    pub kind: String,
    /// When, by the caller's clock.
    pub at: WallMs,
    /// What, in the caller's shape. Never a secret.
    pub body: serde_json::Value,
}

/// Something that was appended.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Record {
    /// Its number.
    pub seq: Seq,
    /// When, by the clock of who appended it.
    pub at: WallMs,
    /// What kind of record.
    pub kind: String,
    /// What.
    pub body: serde_json::Value,
}

/// What the journal is about: written once, before the first record, and part of the chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Meta {
    /// The migration.
    pub migration: MigrationName,
    /// Tells this run from an earlier one of the same name.
    pub run_id: String,
    /// The plan's digest.
    pub plan_digest: String,
    /// The plan's text, so that a run can go on when the file is gone or changed.
    pub plan_text: String,
}
