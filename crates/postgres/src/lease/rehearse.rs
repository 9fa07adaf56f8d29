//! Step 0: would the lease be granted now, and who is in the way? Holds the locks for the time of
//! one statement, never waits for one.

use std::time::{Duration, Instant};

use crate::config::ConnectConfig;
use crate::objects::{Scope, run};

use super::blockers::{self, Blocker};
use super::locks::{is_blocked, lock_sql, manners, open_sql};
use super::{Lease, LeaseError, Timing, connect};

/// What a rehearsal found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rehearsal {
    /// Whether every lock was free at that moment.
    pub free: bool,
    /// Everybody who held one that the lease will need. Under load short writers are always
    /// among them: judge by `open_ms`, by `backend_type` and by `command`.
    pub blockers: Vec<Blocker>,
    /// Whether our role may set `deadlock_timeout`: without it an autovacuum in the way is waited
    /// for instead of being sent away.
    pub swift: bool,
    /// How long it took to lock everything, nobody being in the way; `None` if somebody was.
    pub took: Option<Duration>,
    /// How long that may take at most: half of the server's `deadlock_timeout`.
    pub round: Duration,
}

impl Lease {
    /// Tries every lock of the lease with NOWAIT, lets all of them go again, and names who was in
    /// the way. Proves the rights too.
    ///
    /// # Errors
    /// If a right or a relation is missing, or the connection breaks.
    pub async fn rehearse(config: &ConnectConfig, scope: &Scope) -> Result<Rehearsal, LeaseError> {
        let side = scope.side;
        let fault = |what| move |source| LeaseError::Database { what, side, source };
        let total = Duration::from_secs(5);
        let mut session = connect(config).await.map_err(fault("opening a session to rehearse"))?;
        let manners = manners(&mut session, total).await.map_err(fault("setting timeouts"))?;
        let mut sql = open_sql(&Timing::starting(total), total);
        sql.push_str(&lock_sql(scope, true).unwrap_or_default());
        let began = Instant::now();
        let tried = run(&mut session, &sql).await;
        let took = tried.is_ok().then(|| began.elapsed());
        run(&mut session, "ROLLBACK").await.map_err(fault("ending the rehearsal"))?;
        let free = match tried {
            Ok(()) => true,
            Err(e) if is_blocked(&e) => false,
            Err(source) => {
                return Err(LeaseError::Database { what: "rehearsing the lease", side, source });
            }
        };
        let names = scope.relations.iter().map(|r| &r.name);
        let blockers = blockers::holding(&mut session, names).await;
        let blockers = blockers.map_err(fault("asking who holds locks"))?;
        Ok(Rehearsal { free, blockers, swift: manners.swift, took, round: manners.round })
    }
}
