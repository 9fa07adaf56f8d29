//! Where a change of authority stands.

use changeover_types::{Epoch, Lsn, Side, WallMs};
use serde::{Deserialize, Serialize};

/// All that is known about authority. Rebuilt from the journal's events.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct State {
    /// The side that had authority when it last was settled.
    pub authority: Side,
    /// The epoch of the row that says so.
    pub authority_epoch: Epoch,
    /// The highest epoch ever used, also by attempts that were called off.
    pub highest: Epoch,
    /// The attempt under way.
    pub attempt: Option<Attempt>,
    /// How the last attempt ended.
    pub last: Option<Outcome>,
}

impl State {
    /// After genesis: the source has authority in epoch 1.
    #[must_use]
    pub fn genesis() -> State {
        State {
            authority: Side::Source,
            authority_epoch: Epoch(1),
            highest: Epoch(1),
            attempt: None,
            last: None,
        }
    }

    /// Whether an attempt is under way that has intended its seal: nobody may be able to write until
    /// it has come to its end.
    #[must_use]
    pub fn has_intended_seal(&self) -> bool {
        self.attempt.as_ref().is_some_and(|attempt| !attempt.stage.is_before_seal())
    }
}

/// One attempt to move authority.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Attempt {
    /// Fresh for this attempt.
    pub epoch: Epoch,
    /// The side that gives authority away.
    pub from: Side,
    /// When the gates were told to hold; the write pause counts from here.
    pub held_at: Option<WallMs>,
    /// How long the write pause may last before the attempt is called off, in milliseconds.
    pub write_pause_ms: u64,
    /// Where it stands.
    pub stage: Stage,
}

impl Attempt {
    /// The side that takes authority over.
    #[must_use]
    pub fn to(&self) -> Side {
        self.from.other()
    }
}

/// A server process of ours, so that a resolver can tell it from another with the same pid.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct BackendIdent {
    /// Its process id.
    pub pid: u32,
    /// `pg_stat_activity.backend_start` as text.
    pub backend_start: String,
}

/// The steps of `docs/cutover.md`, as states.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "stage", rename_all = "kebab-case")]
pub enum Stage {
    /// Step 0. Nobody is held and nothing is locked: would it work?
    Rehearsing,
    /// Step 1. Gates hold; open writers finish.
    Holding,
    /// Step 2. L locks every moved table and sequence on the giving side.
    Leasing,
    /// Step 3. Triggers are created inside the lease, the barrier is awaited applied.
    Draining,
    /// Step 4. U on the taking side has executed the unseal without committing it.
    Preparing,
    /// Step 5. The seal is intended; its commit may have happened.
    Sealing {
        /// L, to be terminated before its outcome is read.
        lease: BackendIdent,
        /// Whether the answer to the commit was lost.
        in_doubt: bool,
    },
    /// Step 6. Sealed. Nobody may write; the way is back until the grant is intended.
    Sealed {
        /// U, still open, if it survives.
        unsealer: Option<BackendIdent>,
        /// Where the seal's commit ended in the giving side's log, if its answer was seen.
        lsn: Option<Lsn>,
    },
    /// Step 7. The grant is intended: only forward, unless the taking side's rows say "burnt".
    Granting {
        /// U, to be terminated before a new one does its work.
        unsealer: Option<BackendIdent>,
        /// Whether U is lost or its commit unanswered: then the grant is done again, whole.
        redo: bool,
    },
    /// Step 8. Authority has moved; gates are routed and released, the other side made to follow.
    Flipping,
    /// The attempt ends with nothing changed: locks are dropped, gates released.
    CallingOff {
        /// Why.
        why: String,
    },
    /// Back from the seal, first half: the taking side burns the epoch.
    Burning {
        /// Why.
        why: String,
    },
    /// Back from the seal, second half: the giving side takes authority back in the next epoch.
    Unsealing {
        /// Why.
        why: String,
    },
    /// Authority is back where it was, under a new epoch; gates are routed and released.
    Returning {
        /// Why.
        why: String,
    },
}

impl Stage {
    /// Whether a crash here means that nothing happened.
    #[must_use]
    pub fn is_before_seal(&self) -> bool {
        match self {
            Stage::Rehearsing
            | Stage::Holding
            | Stage::Leasing
            | Stage::Draining
            | Stage::Preparing
            | Stage::CallingOff { .. } => true,
            Stage::Sealing { .. }
            | Stage::Sealed { .. }
            | Stage::Granting { .. }
            | Stage::Flipping
            | Stage::Burning { .. }
            | Stage::Unsealing { .. }
            | Stage::Returning { .. } => false,
        }
    }
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum Outcome {
    /// Authority moved.
    Moved {
        /// In which epoch.
        epoch: Epoch,
        /// To which side.
        to: Side,
    },
    /// Nothing changed.
    CalledOff {
        /// The attempt's epoch.
        epoch: Epoch,
        /// Why.
        why: String,
    },
    /// The giving side was sealed for a moment and is open again.
    WentBack {
        /// The attempt's epoch.
        epoch: Epoch,
        /// Why.
        why: String,
    },
}
