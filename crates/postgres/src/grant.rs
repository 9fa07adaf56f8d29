//! Session U: the seal of the side that takes over is lifted, uncommitted, until the other side's
//! seal has come through the stream.
//!
//! All that takes locks is done beforehand ([`Grant::prepare`]), so that after the point of no
//! return nothing can be in the way: [`Grant::commit`] is one message (finding 25). The value is
//! the open transaction; dropping it closes the connection, and the server rolls back.

mod snapshot;

use std::time::Duration;

use changeover_types::{Epoch, EpochKind, Lsn, quote_literal};

use crate::catalog::ServerIdentity;
use crate::config::ConnectConfig;
use crate::error::Error;
use crate::lease::{
    BackendIdent, LeaseBudget, LeaseError, Timing, acquire, connect, identify, lock_sql, manners,
    row_text,
};
use crate::objects::{
    self, CommitFailure, EpochRow, Guarded, Scope, epochs, foreign, newest, run, stream_into,
};
use crate::resolve;
use crate::seal::disarm;
use crate::session::Session;

pub use snapshot::Snapshot;

/// The grant is committed, and flushed on this server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Granted {
    /// A position at or behind the end of the grant's commit record.
    pub lsn: Lsn,
}

/// Why the grant is not known to be committed.
#[derive(Debug, thiserror::Error)]
pub enum GrantFailure {
    /// The row could not be inserted: the number is burnt, or authority went elsewhere.
    #[error("the grant in epoch {epoch} is refused: the newest row is {}", row_text(.newest))]
    Refused {
        /// The epoch asked for.
        epoch: Epoch,
        /// The newest row there.
        newest: Option<EpochRow>,
    },
    /// COMMIT was sent and its answer did not come: only [`crate::resolve`], or [`redo`], can tell.
    #[error("the answer to the grant's COMMIT did not come; resolve it before anything else")]
    InDoubt(#[source] Error),
    /// The locks could not be had. Not committed.
    #[error("the grant could not lock what it unseals")]
    NoLocks(#[source] LeaseError),
    /// Not committed.
    #[error("the grant was not committed")]
    Failed(#[source] Error),
}

/// Session U.
#[derive(Debug)]
pub struct Grant {
    session: Session,
    scope: Scope,
    epoch: Epoch,
    run: String,
    timing: Timing,
    backend: BackendIdent,
    server: ServerIdentity,
}

impl Grant {
    /// Takes the migration's lock on `scope.side`, locks the moved relations there and disables
    /// the seal's triggers, all uncommitted. The applier into this side must be idle, and stays
    /// locked out until [`Grant::commit`] or [`Grant::abandon`].
    ///
    /// # Errors
    /// [`LeaseError`]; nothing is locked then.
    pub async fn prepare(
        config: &ConnectConfig,
        scope: &Scope,
        epoch: Epoch,
        run_id: &str,
        budget: LeaseBudget,
    ) -> Result<Grant, LeaseError> {
        let side = scope.side;
        let fault = |what| move |source| LeaseError::Database { what, side, source };
        let mut session = connect(config).await.map_err(fault("opening the grant's session"))?;
        let mut watch = connect(config).await.map_err(fault("opening the grant's watcher"))?;
        let identified = identify(&mut session).await;
        let (backend, server) = identified.map_err(fault("asking who answers"))?;
        let manners =
            manners(&mut session, budget.total).await.map_err(fault("setting timeouts"))?;
        let timing = Timing::starting(budget.total);
        let locks: Vec<String> = lock_sql(scope, false).into_iter().collect();
        acquire(&mut session, &mut watch, scope, &timing, &budget, &manners, &locks).await?;
        let newest =
            newest(&mut session, &scope.migration).await.map_err(fault("reading the epoch"))?;
        if !newest.as_ref().is_some_and(|r| r.authority != Some(side) && r.epoch < epoch) {
            return Err(LeaseError::Refused { side, epoch, newest });
        }
        disarm(&mut session, scope).await.map_err(fault("disabling the seal"))?;
        let (scope, run) = (scope.clone(), run_id.to_owned());
        Ok(Grant { session, scope, epoch, run, timing, backend, server })
    }

    /// U's server process, for the journal.
    #[must_use]
    pub fn backend(&self) -> &BackendIdent {
        &self.backend
    }

    /// The server that will grant, for the journal and the resolver.
    #[must_use]
    pub fn server(&self) -> &ServerIdentity {
        &self.server
    }

    /// How much of the budget is left.
    #[must_use]
    pub fn left(&self) -> Duration {
        self.timing.left()
    }

    /// Keeps U alive within its budget.
    ///
    /// # Errors
    /// If the budget is used up or the server ended U: then nothing happened.
    pub async fn ping(&mut self) -> Result<(), LeaseError> {
        let side = self.scope.side;
        if self.timing.left().is_zero() {
            return Err(LeaseError::Expired { side, total: self.timing.total });
        }
        let what = "keeping the grant's session alive";
        run(&mut self.session, "SELECT 1").await.map_err(|source| LeaseError::Database {
            what,
            side,
            source,
        })
    }

    /// Closes the fence of the stream into this side, inserts the grant row, and commits, in one
    /// round trip. The database refuses it unless the seal of this epoch was applied here.
    ///
    /// Call it only when the grant is journalled as intended.
    ///
    /// # Errors
    /// [`GrantFailure`]; only `InDoubt` leaves open what happened.
    pub async fn commit(mut self) -> Result<Granted, GrantFailure> {
        let patience = self.timing.left() + Duration::from_secs(1);
        insert(&mut self.session, &self.scope, self.epoch, &self.run, patience).await
    }

    /// Rolls back: the seal of this side stands as before.
    ///
    /// # Errors
    /// If the connection broke, upon which the server rolls back by itself.
    pub async fn abandon(mut self) -> Result<(), Error> {
        run(&mut self.session, "ROLLBACK").await
    }
}

/// Does the whole grant again after U was lost, under the migration's lock. Terminates `previous`
/// first if that process is still there. Answers `Ok` too if the grant had been committed.
///
/// # Errors
/// [`GrantFailure`]; `Failed` also if the seal of this epoch was never applied here.
pub async fn redo(
    config: &ConnectConfig,
    scope: &Scope,
    epoch: Epoch,
    run_id: &str,
    previous: Option<&BackendIdent>,
    budget: LeaseBudget,
) -> Result<Granted, GrantFailure> {
    let mut session = connect(config).await.map_err(GrantFailure::Failed)?;
    let mut watch = connect(config).await.map_err(GrantFailure::Failed)?;
    if let Some(previous) = previous {
        let gone = resolve::terminate(&mut session, previous, budget.lock_wait).await;
        gone.map_err(GrantFailure::Failed)?;
    }
    let manners = manners(&mut session, budget.total).await.map_err(GrantFailure::Failed)?;
    let present = resolve::present(&mut session, scope).await.map_err(GrantFailure::Failed)?;
    let timing = Timing::starting(budget.total);
    let locks: Vec<String> = lock_sql(&present, false).into_iter().collect();
    acquire(&mut session, &mut watch, scope, &timing, &budget, &manners, &locks)
        .await
        .map_err(GrantFailure::NoLocks)?;
    let done = epochs(&mut session, &scope.migration).await.map_err(GrantFailure::Failed)?;
    if done.iter().any(|row| row.epoch == epoch && row.kind == EpochKind::Grant) {
        run(&mut session, "ROLLBACK").await.map_err(GrantFailure::Failed)?;
        let lsn = objects::flushed(&mut session).await.map_err(GrantFailure::Failed)?;
        return Ok(Granted { lsn });
    }
    disarm(&mut session, scope).await.map_err(GrantFailure::Failed)?;
    let patience = timing.left() + Duration::from_secs(1);
    insert(&mut session, scope, epoch, run_id, patience).await
}

async fn insert(
    session: &mut Session,
    scope: &Scope,
    epoch: Epoch,
    run_id: &str,
    patience: Duration,
) -> Result<Granted, GrantFailure> {
    let stream = stream_into(scope.side);
    let drained = format!(
        "SELECT NOT p.open AND p.epoch = {epoch} FROM changeover.progress p \
         WHERE p.migration = {migration} AND p.stream = '{stream}' ORDER BY p.position DESC LIMIT 1",
        migration = quote_literal(scope.migration.as_str()),
    );
    let row = Guarded {
        scope,
        epoch,
        kind: EpochKind::Grant,
        run: run_id,
        newest: &format!("newest.authority <> '{}'", scope.side),
        also: Some((drained, "the seal of this epoch has not been applied on this side")),
        fence_open: Some(false),
    };
    match objects::commit(session, &row, patience).await {
        // Without the position the commit is known to us, but "in doubt" loses nothing.
        Ok(()) => match objects::flushed(session).await {
            Ok(lsn) => Ok(Granted { lsn }),
            Err(e) => Err(GrantFailure::InDoubt(e)),
        },
        Err(CommitFailure::Refused) => {
            let look = async {
                run(session, "ROLLBACK").await?;
                newest(session, &scope.migration).await
            };
            let newest = look.await.map_err(GrantFailure::Failed)?;
            Err(GrantFailure::Refused { epoch, newest })
        }
        Err(CommitFailure::Failed(e)) if e.sqlstate() == Some(objects::UNFIT) => {
            let why = "the seal of this epoch was not applied here, or a fence is missing";
            Err(GrantFailure::Failed(foreign(scope.side, why).with_source(e)))
        }
        Err(CommitFailure::Failed(e)) => Err(GrantFailure::Failed(e)),
        Err(CommitFailure::InDoubt(e)) => Err(GrantFailure::InDoubt(e)),
    }
}
