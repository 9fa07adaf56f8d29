//! Step 5: the one commit that takes authority away.

use std::time::Duration;

use changeover_types::{Epoch, EpochKind, Lsn};

use crate::error::Error;
use crate::objects::{self, CommitFailure, EpochRow, Guarded, foreign, newest, run};

use super::Lease;

/// The seal is committed, and flushed on this server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// A position at or behind the end of the seal's commit record: what a standby must have
    /// flushed before anything may be granted.
    pub lsn: Lsn,
}

/// Why the seal is not known to be committed.
#[derive(Debug, thiserror::Error)]
pub enum SealFailure {
    /// The row could not be inserted; rolled back, nothing happened.
    #[error("the seal in epoch {epoch} is refused: the newest row is {}", super::row_text(.newest))]
    Refused {
        /// The epoch asked for.
        epoch: Epoch,
        /// The newest row there.
        newest: Option<EpochRow>,
    },
    /// COMMIT was sent and its answer did not come: only [`crate::resolve`] can tell.
    #[error("the answer to the seal's COMMIT did not come; resolve it before anything else")]
    InDoubt(#[source] Error),
    /// Not committed.
    #[error("the seal was not committed")]
    Failed(#[source] Error),
}

impl Lease {
    /// Inserts the seal row, opens the fence of the stream into this side, and commits.
    ///
    /// Call it only when the seal is journalled as intended. The answer is awaited for as long as
    /// the budget lasts, and a second longer.
    ///
    /// # Errors
    /// [`SealFailure`]; only `InDoubt` leaves open what happened.
    pub async fn seal(mut self) -> Result<Sealed, SealFailure> {
        if !self.armed {
            return Err(SealFailure::Failed(foreign(
                self.scope.side,
                "the seal was not armed in this lease",
            )));
        }
        let authority = format!("newest.authority = '{}'", self.scope.side);
        let row = Guarded {
            scope: &self.scope,
            epoch: self.epoch,
            kind: EpochKind::Seal,
            run: &self.run,
            newest: &authority,
            also: None,
            fence_open: Some(true),
        };
        let patience = self.timing.left() + Duration::from_secs(1);
        match objects::commit(&mut self.session, &row, patience).await {
            // If this question fails the commit is known to us but not its position; "in doubt"
            // is then the answer that loses nothing.
            Ok(()) => match objects::flushed(&mut self.session).await {
                Ok(lsn) => Ok(Sealed { lsn }),
                Err(e) => Err(SealFailure::InDoubt(e)),
            },
            Err(CommitFailure::Refused) => {
                let look = async {
                    run(&mut self.session, "ROLLBACK").await?;
                    newest(&mut self.session, &self.scope.migration).await
                };
                let newest = look.await.map_err(SealFailure::Failed)?;
                Err(SealFailure::Refused { epoch: self.epoch, newest })
            }
            Err(CommitFailure::Failed(e)) => Err(SealFailure::Failed(e)),
            Err(CommitFailure::InDoubt(e)) => Err(SealFailure::InDoubt(e)),
        }
    }
}
