//! What happened to a COMMIT whose answer did not come, and the way back from a seal.
//!
//! Reading the row is not enough: the old process may still be waiting, with its transaction
//! undecided, and commit after we looked. So on a verified primary that process is ended, the
//! migration's lock is taken, which its transaction would still hold, and only then is the row
//! read (finding 4). Everything here may be repeated.

use std::time::{Duration, Instant};

use changeover_types::{Epoch, EpochKind, Side, quote_literal};

use crate::catalog::ServerIdentity;
use crate::config::ConnectConfig;
use crate::error::{Error, ErrorKind};
use crate::lease::{
    BackendIdent, LeaseBudget, LeaseError, Timing, acquire, connect, lock_sql, manners, row_text,
};
use crate::objects::{
    self, BEGIN, CommitFailure, EpochRow, Guarded, Scope, advisory_lock, epochs, newest,
    regclasses, rows, run, value,
};
use crate::seal::disarm;
use crate::session::Session;

/// Why nothing could be resolved, or the way back not be taken.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// Whoever answers is not the primary that was asked before.
    #[error(
        "the {side} answers as {found}, which is not the server of before: settle who is the primary, then go on"
    )]
    OtherServer {
        /// The side.
        side: Side,
        /// What answered.
        found: String,
    },
    /// The rows forbid it.
    #[error("{what} in epoch {epoch} on the {side} is refused: its newest row is {}", row_text(.newest))]
    Refused {
        /// What was to be done.
        what: &'static str,
        /// The side.
        side: Side,
        /// The epoch asked for.
        epoch: Epoch,
        /// The newest row there.
        newest: Option<EpochRow>,
    },
    /// It could not be found out within the deadline; ask again.
    #[error("what became of epoch {epoch} on the {side} is not known after {} ms; nothing may be granted before it is", .after.as_millis())]
    Undecided {
        /// The side.
        side: Side,
        /// The epoch.
        epoch: Epoch,
        /// For how long it was tried.
        after: Duration,
        /// The last failure.
        #[source]
        source: Error,
    },
    /// The locks could not be had.
    #[error("locking what is to be unsealed")]
    NoLocks(#[source] LeaseError),
}

/// Whether the seal in `epoch` was committed on `scope.side`. `server` is who granted the lease:
/// another one (a promoted standby, a restored copy) is not believed.
///
/// # Errors
/// [`ResolveError`]; then nothing may be concluded.
pub async fn resolve_seal(
    config: &ConnectConfig,
    scope: &Scope,
    epoch: Epoch,
    backend: Option<&BackendIdent>,
    server: Option<&ServerIdentity>,
    deadline: Duration,
) -> Result<bool, ResolveError> {
    decided(config, scope, epoch, backend, server, deadline, EpochKind::Seal).await
}

/// Whether the grant in `epoch` was committed on `scope.side`; otherwise as [`resolve_seal`].
///
/// # Errors
/// [`ResolveError`]; then nothing may be concluded.
pub async fn resolve_grant(
    config: &ConnectConfig,
    scope: &Scope,
    epoch: Epoch,
    backend: Option<&BackendIdent>,
    server: Option<&ServerIdentity>,
    deadline: Duration,
) -> Result<bool, ResolveError> {
    decided(config, scope, epoch, backend, server, deadline, EpochKind::Grant).await
}

async fn decided(
    config: &ConnectConfig,
    scope: &Scope,
    epoch: Epoch,
    backend: Option<&BackendIdent>,
    server: Option<&ServerIdentity>,
    deadline: Duration,
    kind: EpochKind,
) -> Result<bool, ResolveError> {
    let until = Instant::now() + deadline;
    let mut session = locked(config, scope, epoch, backend, server, deadline).await?;
    let read = epochs(&mut session, &scope.migration).await;
    let found = read.map_err(|e| undecided(scope, epoch, until, deadline, e))?;
    Ok(found.iter().any(|row| row.epoch == epoch && row.kind == kind))
}

/// A session on the verified primary, in a transaction that holds the migration's lock, with
/// `backend` gone. Tries again until the deadline: the server may be starting up.
async fn locked(
    config: &ConnectConfig,
    scope: &Scope,
    epoch: Epoch,
    backend: Option<&BackendIdent>,
    server: Option<&ServerIdentity>,
    deadline: Duration,
) -> Result<Session, ResolveError> {
    let until = Instant::now() + deadline;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let attempt = async {
            let mut session = connect(config).await?;
            let now = ServerIdentity::read(&mut session).await?;
            if !is_same(&now, server) {
                return Ok(Err(now));
            }
            if let Some(backend) = backend {
                terminate(&mut session, backend, left).await?;
            }
            let millis = left.as_millis().max(1);
            let sql = format!(
                "{BEGIN} SET LOCAL synchronous_commit = on; SET LOCAL lock_timeout = {millis}; {}",
                advisory_lock(&scope.migration)
            );
            run(&mut session, &sql).await?;
            Ok(Ok(session))
        };
        let outcome: Result<Result<Session, ServerIdentity>, Error> =
            match tokio::time::timeout(left + PAUSE, attempt).await {
                Ok(outcome) => outcome,
                Err(_) => Err(Error::timeout(scope.side, "asking the server")),
            };
        match outcome {
            Ok(Ok(session)) => return Ok(session),
            Ok(Err(found)) => {
                let role = if found.in_recovery { "a standby" } else { "a primary" };
                let system = found.system_id.as_deref().unwrap_or("unknown");
                let timeline = found.timeline.unwrap_or_default();
                let found = format!("{role} with system id {system} on timeline {timeline}");
                return Err(ResolveError::OtherServer { side: scope.side, found });
            }
            Err(e) if e.kind() == ErrorKind::Auth || Instant::now() + PAUSE >= until => {
                return Err(undecided(scope, epoch, until, deadline, e));
            }
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// Between two tries.
const PAUSE: Duration = Duration::from_millis(20);

fn undecided(
    scope: &Scope,
    epoch: Epoch,
    until: Instant,
    deadline: Duration,
    source: Error,
) -> ResolveError {
    let after = deadline.saturating_sub(until.saturating_duration_since(Instant::now()));
    ResolveError::Undecided { side: scope.side, epoch, after, source }
}

/// A primary, and the one we know: what cannot be read proves nothing either way.
fn is_same(now: &ServerIdentity, known: Option<&ServerIdentity>) -> bool {
    let differs =
        |a: Option<&String>, b: Option<&String>| matches!((a, b), (Some(a), Some(b)) if a != b);
    let moved = |a: Option<u32>, b: Option<u32>| matches!((a, b), (Some(a), Some(b)) if a != b);
    !now.in_recovery
        && known.is_none_or(|known| {
            !differs(now.system_id.as_ref(), known.system_id.as_ref())
                && !moved(now.timeline, known.timeline)
        })
}

/// Ends `backend` if it is still that process, and waits until it is gone.
pub(crate) async fn terminate(
    session: &mut Session,
    backend: &BackendIdent,
    patience: Duration,
) -> Result<(), Error> {
    let until = Instant::now() + patience;
    let same = format!(
        "FROM pg_catalog.pg_stat_activity WHERE pid = {} AND backend_start::text = {}",
        backend.pid,
        quote_literal(&backend.backend_start)
    );
    run(session, &format!("SELECT pg_catalog.pg_terminate_backend(pid) {same}")).await?;
    while value(session, &format!("SELECT pid {same}")).await?.is_some() {
        if Instant::now() >= until {
            let pid = backend.pid;
            return Err(Error::timeout(
                session.side(),
                format!("waiting for our process {pid} to end"),
            ));
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

/// The scope without relations and sequences that are not there any more: what went away must not
/// keep the rest sealed.
pub(crate) async fn present(session: &mut Session, scope: &Scope) -> Result<Scope, Error> {
    let sql = format!(
        "SELECT u.name FROM unnest({}) AS u(name) WHERE pg_catalog.to_regclass(u.name) IS NOT NULL",
        regclasses(scope.relations.iter().map(|r| &r.name)),
    );
    let found: Vec<String> = rows(session, &sql).await?.into_iter().flatten().flatten().collect();
    let mut present = scope.clone();
    present.relations.retain(|r| found.contains(&r.name.quoted()));
    Ok(present)
}

/// Makes `epoch` unusable on the side that would have been granted: step one of going back.
/// `unsealer` is terminated first if that process is still there.
///
/// # Errors
/// [`ResolveError::Refused`] if the grant was committed: then only forward is legal.
pub async fn burn(
    config: &ConnectConfig,
    scope: &Scope,
    epoch: Epoch,
    run_id: &str,
    unsealer: Option<&BackendIdent>,
    deadline: Duration,
) -> Result<(), ResolveError> {
    let until = Instant::now() + deadline;
    let fault = |e| undecided(scope, epoch, until, deadline, e);
    let mut session = locked(config, scope, epoch, unsealer, None, deadline).await?;
    let found = epochs(&mut session, &scope.migration).await.map_err(fault)?;
    let granted = found.iter().any(|row| row.epoch == epoch && row.kind == EpochKind::Grant);
    let newest = found.into_iter().next_back();
    match &newest {
        // A higher or equal number that gave no authority: a grant of `epoch` is refused for ever.
        Some(row) if !granted && row.epoch >= epoch && row.authority != Some(scope.side) => {
            return Ok(());
        }
        Some(row) if row.epoch < epoch && row.authority != Some(scope.side) => {}
        _ => {
            return Err(ResolveError::Refused { what: "burning", side: scope.side, epoch, newest });
        }
    }
    let row = Guarded {
        scope,
        epoch,
        kind: EpochKind::Burn,
        run: run_id,
        newest: &format!("newest.authority <> '{}'", scope.side),
        also: None,
        fence_open: None,
    };
    settle(&mut session, &row, "burning", until, deadline).await
}

/// Gives authority back to the sealed side, in a fresh `epoch` (the burnt one's successor): the
/// triggers are disabled, the fence of the stream into it closed. Only after [`burn`].
///
/// # Errors
/// [`ResolveError::Refused`] if this side is not sealed or the number is used up.
pub async fn unseal(
    config: &ConnectConfig,
    scope: &Scope,
    epoch: Epoch,
    run_id: &str,
    budget: LeaseBudget,
) -> Result<(), ResolveError> {
    let deadline = budget.total;
    let until = Instant::now() + deadline;
    let fault = |e| undecided(scope, epoch, until, deadline, e);
    let mut session = connect(config).await.map_err(fault)?;
    let mut watch = connect(config).await.map_err(fault)?;
    let manners = manners(&mut session, deadline).await.map_err(fault)?;
    let present = present(&mut session, scope).await.map_err(fault)?;
    let locks: Vec<String> = lock_sql(&present, false).into_iter().collect();
    let timing = Timing::starting(deadline);
    acquire(&mut session, &mut watch, scope, &timing, &budget, &manners, &locks)
        .await
        .map_err(ResolveError::NoLocks)?;
    let newest = newest(&mut session, &scope.migration).await.map_err(fault)?;
    if newest.as_ref().is_some_and(|r| r.epoch == epoch && r.kind == EpochKind::Unseal) {
        return Ok(());
    }
    disarm(&mut session, scope).await.map_err(fault)?;
    let row = Guarded {
        scope,
        epoch,
        kind: EpochKind::Unseal,
        run: run_id,
        newest: "newest.kind = 'seal'",
        also: None,
        fence_open: Some(false),
    };
    settle(&mut session, &row, "unsealing", until, deadline).await
}

async fn settle(
    session: &mut Session,
    row: &Guarded<'_>,
    what: &'static str,
    until: Instant,
    deadline: Duration,
) -> Result<(), ResolveError> {
    let (scope, epoch) = (row.scope, row.epoch);
    let patience = until.saturating_duration_since(Instant::now()) + Duration::from_secs(1);
    match objects::commit(session, row, patience).await {
        Ok(()) => Ok(()),
        Err(CommitFailure::Failed(e) | CommitFailure::InDoubt(e)) => {
            Err(undecided(scope, epoch, until, deadline, e))
        }
        Err(CommitFailure::Refused) => {
            let look = async {
                run(session, "ROLLBACK").await?;
                newest(session, &scope.migration).await
            };
            let newest = look.await.map_err(|e| undecided(scope, epoch, until, deadline, e))?;
            Err(ResolveError::Refused { what, side: scope.side, epoch, newest })
        }
    }
}
