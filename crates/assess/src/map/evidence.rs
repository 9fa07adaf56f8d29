//! Where a fact comes from.

use changeover_types::WallMs;
use serde::Serialize;

/// Whether a fact was written somewhere or seen happening.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "sight", rename_all = "snake_case")]
pub enum Sight {
    /// A file says so; nobody saw it happen.
    Declared,
    /// It was seen happening.
    Observed {
        /// When last.
        last_seen: WallMs,
    },
}

/// One piece of evidence. It never holds a secret: values are reduced to host, port, database and
/// the name of the key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Evidence {
    /// A file's path, a URL, or a place such as `/proc/net/tcp`.
    pub source: String,
    /// The line in the file, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// What it says.
    pub says: String,
    /// When it was read.
    pub read_at: WallMs,
    /// Declared or observed.
    #[serde(flatten)]
    pub sight: Sight,
}

impl Evidence {
    /// `file:line` or the source alone.
    #[must_use]
    pub fn place(&self) -> String {
        match self.line {
            Some(line) => format!("{}:{line}", self.source),
            None => self.source.clone(),
        }
    }

    /// Whether it was seen happening.
    #[must_use]
    pub fn is_observed(&self) -> bool {
        matches!(self.sight, Sight::Observed { .. })
    }
}
