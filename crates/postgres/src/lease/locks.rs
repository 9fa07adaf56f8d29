//! Getting the locks without ever making the application the victim (findings 23, 24).
//!
//! The server looks for a deadlock once, `deadlock_timeout` after a wait began. Whoever's timer
//! runs out first is the victim, and an autovacuum in the way is only told to go at that moment.
//! So our timer is 10 ms where we may set it, and one round of locking lasts less than half of
//! everybody else's: a writer that came to wait for us never reaches its own check. Between
//! rounds everything is let go, so that writers pass; rounds repeat until the time is used up.

use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::error::Error;
use crate::objects::{BEGIN, Scope, advisory_lock, run, value};
use crate::session::Session;

use super::Timing;
use super::blockers::{self, Blocker};

/// How a locking session treats deadlocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LockManners {
    /// The longest that one round of locking may last.
    pub(crate) round: Duration,
    /// Whether we could shorten our own `deadlock_timeout`: then autovacuum gives way at once.
    pub(crate) swift: bool,
}

/// Settles deadlock and network timeouts of a session that is going to hold locks.
pub(crate) async fn manners(session: &mut Session, total: Duration) -> Result<LockManners, Error> {
    let others = value(
        session,
        "SELECT setting FROM pg_catalog.pg_settings WHERE name = 'deadlock_timeout'",
    )
    .await?
    .and_then(|ms| ms.parse().ok())
    .map_or(Duration::from_secs(1), Duration::from_millis);
    run(session, &format!("SET tcp_user_timeout = {}", total.as_millis())).await?;
    let swift = match run(session, "SET deadlock_timeout = '10ms'").await {
        Ok(()) => true,
        Err(e) if e.sqlstate() == Some("42501") => false,
        Err(e) => return Err(e),
    };
    Ok(LockManners { round: others / 2, swift })
}

/// The one sorted LOCK statement. Partitioned tables take their partitions along, also those that
/// were made since the scope was read.
pub(crate) fn lock_sql(scope: &Scope, nowait: bool) -> Option<String> {
    let list: Vec<String> = scope
        .sorted()
        .iter()
        .map(|r| format!("{}{}", if r.root { "" } else { "ONLY " }, r.name.quoted()))
        .collect();
    let nowait = if nowait { " NOWAIT" } else { "" };
    (!list.is_empty())
        .then(|| format!("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE{nowait};", list.join(", ")))
}

/// Opens the transaction that will hold the locks: whatever happens to us, the server ends it.
pub(crate) fn open_sql(timing: &Timing, round: Duration) -> String {
    let total = timing.left().as_millis().max(1);
    let round = round.as_millis().max(1);
    // transaction_timeout exists from version 17 on; set_config through pg_settings asks for it.
    format!(
        "{BEGIN} SET LOCAL synchronous_commit = on; \
         SET LOCAL idle_in_transaction_session_timeout = {total}; \
         SET LOCAL lock_timeout = {round}; SET LOCAL statement_timeout = {round}; \
         SELECT pg_catalog.set_config(name, '{total}', true) FROM pg_catalog.pg_settings \
           WHERE name = 'transaction_timeout';"
    )
}

/// What one round of locking came to.
pub(crate) enum Round {
    /// Everything is locked, the transaction is open.
    Locked,
    /// Somebody was in the way; the transaction is over.
    Blocked {
        /// Who, as last seen.
        by: Vec<Blocker>,
        /// What the server said.
        source: Error,
    },
}

/// One round: a new transaction, the migration's lock, `statements`. `watch` looks meanwhile who
/// is in the way.
pub(crate) async fn round(
    session: &mut Session,
    watch: &mut Session,
    scope: &Scope,
    timing: &Timing,
    limit: Duration,
    statements: &[String],
) -> Result<Round, Error> {
    let pid = session.pid();
    let done = Notify::new();
    let lock = async {
        let outcome = lock_all(session, scope, timing, limit, statements).await;
        done.notify_one();
        outcome
    };
    // Both run to their end: a session that is left in the middle of an answer is of no use.
    let (outcome, seen) = tokio::join!(lock, look(watch, pid, &done));
    match outcome {
        Ok(()) => {
            let total = timing.left().as_millis().max(1);
            run(session, &timeouts(total)).await?;
            Ok(Round::Locked)
        }
        Err(source) if is_blocked(&source) => {
            run(session, "ROLLBACK").await?;
            Ok(Round::Blocked { by: seen, source })
        }
        Err(source) => Err(source),
    }
}

async fn lock_all(
    session: &mut Session,
    scope: &Scope,
    timing: &Timing,
    limit: Duration,
    statements: &[String],
) -> Result<(), Error> {
    run(session, &open_sql(timing, limit)).await?;
    run(session, &advisory_lock(&scope.migration)).await?;
    let began = Instant::now();
    for sql in statements {
        let left = limit.saturating_sub(began.elapsed()).as_millis().max(1);
        run(session, &timeouts(left)).await?;
        run(session, sql).await?;
    }
    Ok(())
}

/// Who was in the way when somebody last was.
async fn look(watch: &mut Session, pid: u32, done: &Notify) -> Vec<Blocker> {
    let mut seen = Vec::new();
    let mut pause = Duration::from_millis(4);
    while tokio::time::timeout(pause, done.notified()).await.is_err() {
        pause = Duration::from_millis(16);
        match blockers::blocking(watch, pid).await {
            Ok(now) if now.is_empty() => {}
            Ok(now) => seen = now,
            // Not being able to name who blocks must not end the lease.
            Err(_) => break,
        }
    }
    seen
}

fn timeouts(millis: u128) -> String {
    format!("SET LOCAL statement_timeout = {millis}; SET LOCAL lock_timeout = {millis}")
}

/// lock_timeout, NOWAIT, statement_timeout, deadlock.
pub(crate) fn is_blocked(e: &Error) -> bool {
    matches!(e.sqlstate(), Some("55P03" | "57014" | "40P01"))
}
