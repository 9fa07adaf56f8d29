//! Rows of our own that travel in a change stream. They are interpreted, never applied.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Epoch, MigrationName, Side};

/// The setting in which a writer shows that it is our applier. Only ever set with `SET LOCAL`.
pub const TOKEN_SETTING: &str = "changeover.token";

/// The token that passes the seal of `side` set in `epoch`: valid for that seal only, so that a
/// token that leaked through a pooler or a role's settings opens nothing later.
#[must_use]
pub fn seal_token(migration: &MigrationName, epoch: Epoch, side: Side) -> String {
    format!("{migration}/{epoch}/{side}")
}

/// What a row of `changeover.epoch` says happened on the side that holds the row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EpochKind {
    /// The migration begins; the row names who has authority now.
    Genesis,
    /// This side gave authority away.
    Seal,
    /// This side took authority over.
    Grant,
    /// This number can never be granted here any more.
    Burn,
    /// This side, once sealed, took authority back without a grant to the other.
    Unseal,
}

impl EpochKind {
    /// As written in the row.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            EpochKind::Genesis => "genesis",
            EpochKind::Seal => "seal",
            EpochKind::Grant => "grant",
            EpochKind::Burn => "burn",
            EpochKind::Unseal => "unseal",
        }
    }

    /// The kind whose [`EpochKind::as_str`] is `text`.
    #[must_use]
    pub fn parse(text: &str) -> Option<EpochKind> {
        [Self::Genesis, Self::Seal, Self::Grant, Self::Burn, Self::Unseal]
            .into_iter()
            .find(|kind| kind.as_str() == text)
    }
}

impl fmt::Display for EpochKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a row of `changeover.signal` is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SignalKind {
    /// Seen *applied* on the other side means: drained up to here.
    Barrier,
    /// Lets positions move while the moved tables are idle.
    Heartbeat,
}

impl SignalKind {
    /// As written in the row.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            SignalKind::Barrier => "barrier",
            SignalKind::Heartbeat => "heartbeat",
        }
    }

    /// The kind whose [`SignalKind::as_str`] is `text`.
    #[must_use]
    pub fn parse(text: &str) -> Option<SignalKind> {
        [Self::Barrier, Self::Heartbeat].into_iter().find(|kind| kind.as_str() == text)
    }
}

/// A row of ours, as it came through the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Marker {
    /// A row of `changeover.epoch`: authority moved, or a number was burnt.
    Epoch {
        /// The row's epoch.
        epoch: Epoch,
        /// What happened.
        kind: EpochKind,
        /// Who has authority afterwards as the row's side knows it; `None` is nobody.
        authority: Option<Side>,
    },
    /// A row of `changeover.signal`.
    Signal {
        /// Its purpose.
        kind: SignalKind,
        /// The attempt's epoch (0 for heartbeats).
        epoch: Epoch,
        /// The nonce.
        nonce: u64,
    },
    /// A row of `changeover.progress`: the whole transaction was written by our applier.
    Progress,
}

/// A row of ours that cannot be read: somebody else writes into our schema.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a row of changeover.{table} cannot be read: {fault}")]
pub struct MarkerError {
    /// The table.
    pub table: String,
    /// What is wrong with it.
    pub fault: String,
}
