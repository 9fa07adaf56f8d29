//! Session L: everything that moves is locked on the side that gives authority away, and nothing
//! has happened yet.
//!
//! The value *is* the lease: [`Lease::seal`] and [`Lease::release`] consume it, and dropping it
//! closes the connection, upon which the server rolls back. The server ends it by itself when we
//! freeze or the network goes away (`idle_in_transaction_session_timeout`, `tcp_user_timeout`,
//! and `transaction_timeout` where there is one), so nobody waits for longer than the budget.
//! What it relies on is told in `docs/cutover.md`, steps 2, 3 and 5.

mod blockers;
mod locks;
mod rehearse;
mod seal;

use std::time::{Duration, Instant};

use changeover_types::{Epoch, Side};
use serde::{Deserialize, Serialize};

use crate::catalog::ServerIdentity;
use crate::config::ConnectConfig;
use crate::error::Error;
use crate::objects::{EpochRow, Scope, newest, run, value};
use crate::session::Session;

pub use blockers::Blocker;
pub use rehearse::Rehearsal;
pub use seal::{SealFailure, Sealed};

pub(crate) use locks::{LockManners, Round, lock_sql, manners, round};

/// How long a lease may last and may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseBudget {
    /// From the first lock to the seal's commit. The server enforces it.
    pub total: Duration,
    /// How long to try for the locks.
    pub lock_wait: Duration,
}

/// A server process of ours, so that a resolver can tell it from another with the same pid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackendIdent {
    /// Its process id.
    pub pid: u32,
    /// `pg_stat_activity.backend_start` as text, in UTC.
    pub backend_start: String,
}

/// Why there is no lease. In every case nothing is locked any more and nothing has happened.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// Somebody held what the lease needs for the whole time.
    #[error("locking the moved tables on the {side}: {}", blockers::named(.by, *.waited))]
    Blocked {
        /// The side.
        side: Side,
        /// For how long it was tried.
        waited: Duration,
        /// Who, as last seen.
        by: Vec<Blocker>,
        /// What the server said the last time.
        #[source]
        source: Error,
    },
    /// This side does not have authority, or the number is used up.
    #[error("no lease on the {side} for epoch {epoch}: its newest row is {}", row_text(.newest))]
    Refused {
        /// The side.
        side: Side,
        /// The epoch asked for.
        epoch: Epoch,
        /// The newest row there.
        newest: Option<EpochRow>,
    },
    /// The budget ran out.
    #[error("the lease on the {side} used up its {} ms; call the attempt off", .total.as_millis())]
    Expired {
        /// The side.
        side: Side,
        /// The budget.
        total: Duration,
    },
    /// The server or the connection failed.
    #[error("{what} on the {side}")]
    Database {
        /// What was tried.
        what: &'static str,
        /// The side.
        side: Side,
        /// What came back.
        #[source]
        source: Error,
    },
}

pub(crate) fn row_text(row: &Option<EpochRow>) -> String {
    match row {
        Some(row) => format!("epoch {} {}", row.epoch, row.kind),
        None => "missing: genesis has not been written".to_owned(),
    }
}

/// When a session that holds locks must be done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timing {
    pub(crate) started: Instant,
    pub(crate) total: Duration,
}

impl Timing {
    pub(crate) fn starting(total: Duration) -> Timing {
        Timing { started: Instant::now(), total }
    }

    pub(crate) fn left(&self) -> Duration {
        self.total.saturating_sub(self.started.elapsed())
    }
}

/// Session L.
#[derive(Debug)]
pub struct Lease {
    session: Session,
    scope: Scope,
    epoch: Epoch,
    run: String,
    timing: Timing,
    backend: BackendIdent,
    server: ServerIdentity,
    armed: bool,
}

impl Lease {
    /// Locks every moved table of `scope.side`, which must have authority.
    ///
    /// # Errors
    /// [`LeaseError`]; nothing is locked then.
    pub async fn take(
        config: &ConnectConfig,
        scope: &Scope,
        epoch: Epoch,
        run_id: &str,
        budget: LeaseBudget,
    ) -> Result<Lease, LeaseError> {
        let side = scope.side;
        let fault = |what| move |source| LeaseError::Database { what, side, source };
        let mut session = connect(config).await.map_err(fault("opening the lease's session"))?;
        let mut watch = connect(config).await.map_err(fault("opening the lease's watcher"))?;
        let identified = identify(&mut session).await;
        let (backend, server) = identified.map_err(fault("asking who answers"))?;
        let manners =
            manners(&mut session, budget.total).await.map_err(fault("setting timeouts"))?;
        let timing = Timing::starting(budget.total);
        let locks: Vec<String> = lock_sql(scope, false).into_iter().collect();
        acquire(&mut session, &mut watch, scope, &timing, &budget, &manners, &locks).await?;
        let newest =
            newest(&mut session, &scope.migration).await.map_err(fault("reading the epoch"))?;
        if !newest.as_ref().is_some_and(|r| r.authority == Some(side) && r.epoch < epoch) {
            return Err(LeaseError::Refused { side, epoch, newest });
        }
        let (scope, run) = (scope.clone(), run_id.to_owned());
        Ok(Lease { session, scope, epoch, run, timing, backend, server, armed: false })
    }

    /// L's server process, for the journal.
    #[must_use]
    pub fn backend(&self) -> &BackendIdent {
        &self.backend
    }

    /// The server that granted the lease, for the journal and the resolver.
    #[must_use]
    pub fn server(&self) -> &ServerIdentity {
        &self.server
    }

    /// How much of the budget is left.
    #[must_use]
    pub fn left(&self) -> Duration {
        self.timing.left()
    }

    /// Keeps the lease alive within its budget; between two calls of the lease's functions no more
    /// than the budget may pass, or the server ends it.
    ///
    /// # Errors
    /// If the budget is used up or the server ended the lease: then nothing happened.
    pub async fn ping(&mut self) -> Result<(), LeaseError> {
        if self.timing.left().is_zero() {
            return Err(LeaseError::Expired { side: self.scope.side, total: self.timing.total });
        }
        let outcome = run(&mut self.session, "SELECT 1").await;
        outcome.map_err(self.fault("keeping the lease alive"))
    }

    /// The lease's session, to read the catalogue's digest with. Nothing else may be done with it.
    pub fn session(&mut self) -> &mut Session {
        &mut self.session
    }

    /// Creates, enables and counts the seal's triggers, uncommitted. Before the barrier, so that
    /// it costs nobody any waiting.
    ///
    /// # Errors
    /// If one of them is not in force: the lease must then be released.
    pub async fn arm(&mut self) -> Result<crate::seal::Armed, LeaseError> {
        let outcome = crate::seal::set(&mut self.session, &self.scope, self.epoch).await;
        let armed = outcome.map_err(self.fault("setting the seal"))?;
        self.armed = true;
        Ok(armed)
    }

    /// Rolls back: whoever waited goes on, and nothing has happened.
    ///
    /// # Errors
    /// If the connection broke, upon which the server rolls back by itself.
    pub async fn release(mut self) -> Result<(), LeaseError> {
        let outcome = run(&mut self.session, "ROLLBACK").await;
        outcome.map_err(self.fault("releasing the lease"))
    }

    fn fault(&self, what: &'static str) -> impl FnOnce(Error) -> LeaseError + use<> {
        let side = self.scope.side;
        move |source| LeaseError::Database { what, side, source }
    }
}

/// A session of ours for the cutover.
pub(crate) async fn connect(config: &ConnectConfig) -> Result<Session, Error> {
    Session::connect(config, "changeover cutover").await
}

/// Who this session is, and on which server.
pub(crate) async fn identify(
    session: &mut Session,
) -> Result<(BackendIdent, ServerIdentity), Error> {
    let sql = "SELECT backend_start FROM pg_catalog.pg_stat_activity WHERE pid = pg_backend_pid()";
    let backend_start = value(session, sql).await?.unwrap_or_default();
    let server = ServerIdentity::read(session).await?;
    Ok((BackendIdent { pid: session.pid(), backend_start }, server))
}

/// Rounds of locking until one succeeds or `lock_wait` is over.
pub(crate) async fn acquire(
    session: &mut Session,
    watch: &mut Session,
    scope: &Scope,
    timing: &Timing,
    budget: &LeaseBudget,
    manners: &LockManners,
    statements: &[String],
) -> Result<(), LeaseError> {
    let side = scope.side;
    let mut last_seen = Vec::new();
    loop {
        let left = budget.lock_wait.saturating_sub(timing.started.elapsed());
        let limit = manners.round.min(left).max(Duration::from_millis(1));
        let outcome = round(session, watch, scope, timing, limit, statements).await;
        match outcome.map_err(|source| LeaseError::Database { what: "locking", side, source })? {
            Round::Locked => return Ok(()),
            Round::Blocked { by, source } => {
                if !by.is_empty() {
                    last_seen = by;
                }
                let waited = timing.started.elapsed();
                if waited + PAUSE >= budget.lock_wait {
                    return Err(LeaseError::Blocked { side, waited, by: last_seen, source });
                }
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Between two rounds: writers that waited for us pass.
const PAUSE: Duration = Duration::from_millis(10);
