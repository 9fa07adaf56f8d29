//! The seal: triggers that refuse every writer but our applier.
//!
//! A seal of one side in one epoch is two triggers on each moved relation, both named after the
//! epoch, both ENABLE ALWAYS so that `session_replication_role` does not pass them:
//!
//! - `!changeover_seal_<epoch>` BEFORE … FOR EACH STATEMENT: also refuses what changes no row
//!   (`ON CONFLICT DO NOTHING`, an UPDATE of 0 rows), TRUNCATE, and rows that a trigger of the
//!   application would swallow; unlike a BEFORE ROW trigger it leaves COPY its fast path.
//! - `!changeover_seal_row_<epoch>` AFTER … FOR EACH ROW: on a partitioned table it clones itself,
//!   with its state, to partitions that are made or attached later.
//!
//! The name carries the epoch because a later seal must never have to replace an older trigger:
//! that would take ACCESS EXCLUSIVE inside the lease. Old triggers are made inert at once
//! ([`disarm`]) and dropped when it disturbs nobody ([`drop_seal`]).

mod sql;

use std::time::Duration;

use changeover_types::{Epoch, MigrationName, Side, TableName, quote_literal};

use crate::error::Error;
use crate::objects::{BEGIN, EpochRow, Scope, foreign, newest, rows, run, value};
use crate::session::Session;

pub(crate) use sql::{arm_sql, disarm_sql};

/// What a seal was set on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Armed {
    /// Relations that refuse writes now: those of the scope and partitions made meanwhile.
    pub relations: usize,
}

/// A relation that a seal does not cover.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// Which.
    pub relation: TableName,
    /// What is wrong: a trigger missing or not ENABLE ALWAYS, or the relation gone.
    pub why: String,
}

/// How well a side is sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealState {
    /// This side's newest row; it decides whether the side should be sealed at all.
    pub newest: Option<EpochRow>,
    /// The epoch whose seal stands, or stood last, on this side.
    pub sealed_in: Option<Epoch>,
    /// Relations looked at: those of the scope and their partitions.
    pub relations: usize,
    /// Those that take writes although the seal should stand.
    pub gaps: Vec<Gap>,
}

impl SealState {
    /// Whether every relation refuses every writer but our applier.
    #[must_use]
    pub fn is_tight(&self) -> bool {
        self.sealed_in.is_some() && self.gaps.is_empty()
    }
}

/// Creates and enables the seal of `scope.side` in `epoch` on every relation, in the session's
/// transaction if one is open, and counts what is armed before it returns. May be repeated.
///
/// This is the initial seal of the target (epoch 1), and what [`crate::lease::Lease::arm`] does.
///
/// # Errors
/// If a relation is missing or not ours, a lock cannot be had, or a trigger is not in force
/// afterwards (the caller must then roll back).
pub async fn set(session: &mut Session, scope: &Scope, epoch: Epoch) -> Result<Armed, Error> {
    run(session, &arm_sql(scope, epoch)).await?;
    let (relations, gaps) = gaps(session, scope, epoch).await?;
    match gaps.first() {
        None => Ok(Armed { relations }),
        Some(gap) => Err(foreign(
            scope.side,
            format!(
                "the seal of {} is not in force on {} of {relations} relations, the first: {}: {}",
                scope.side,
                gaps.len(),
                gap.relation,
                gap.why
            ),
        )),
    }
}

/// Disables every trigger of this migration's seals on this side, in the session's transaction.
/// The caller holds the locks; a migration that lost authority must not do this.
///
/// # Errors
/// If a lock cannot be had or the connection breaks.
pub async fn disarm(session: &mut Session, scope: &Scope) -> Result<(), Error> {
    run(session, &disarm_sql(scope)).await
}

/// The epoch whose seal stands on this side, for [`changeover_types::seal_token`]: that of the
/// newest `seal` row, or genesis where the side began without authority.
///
/// # Errors
/// If our schema is not there, or the connection breaks.
pub async fn seal_epoch(
    session: &mut Session,
    migration: &MigrationName,
    side: Side,
) -> Result<Option<Epoch>, Error> {
    let sql = format!(
        "SELECT max(epoch) FROM changeover.epoch WHERE migration = {} \
         AND (kind = 'seal' OR (kind = 'genesis' AND authority <> '{side}'))",
        quote_literal(migration.as_str())
    );
    Ok(value(session, &sql).await?.and_then(|text| text.parse().ok()).map(Epoch))
}

/// Looks whether this side is sealed without a gap. Cheap enough to be asked once a second.
///
/// # Errors
/// If our schema is not there, or the connection breaks.
pub async fn is_sealed(session: &mut Session, scope: &Scope) -> Result<SealState, Error> {
    let newest = newest(session, &scope.migration).await?;
    let sealed_in = seal_epoch(session, &scope.migration, scope.side).await?;
    let (relations, gaps) = gaps(session, scope, sealed_in.unwrap_or_default()).await?;
    Ok(SealState { newest, sealed_in, relations, gaps })
}

async fn gaps(
    session: &mut Session,
    scope: &Scope,
    epoch: Epoch,
) -> Result<(usize, Vec<Gap>), Error> {
    let mut relations = 0;
    let mut gaps = Vec::new();
    for row in rows(session, &sql::state_sql(scope, epoch)).await? {
        relations += 1;
        if let [Some(schema), Some(name), Some(why)] = row.as_slice() {
            let relation = TableName::new(schema.clone(), name.clone());
            gaps.push(Gap { relation, why: why.clone() });
        }
    }
    // A relation that is gone has no row in the catalogue: its name comes back alone.
    for row in rows(session, &sql::gone_sql(scope)).await? {
        if let [Some(name)] = row.as_slice()
            && let Some(entry) = scope.relations.iter().find(|r| r.name.quoted() == *name)
        {
            let why = "the relation is gone".to_owned();
            gaps.push(Gap { relation: entry.name.clone(), why });
        }
    }
    Ok((relations, gaps))
}

/// What [`drop_seal`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Relations that are rid of our triggers.
    pub dropped: Vec<TableName>,
    /// Relations whose triggers stay for now, and what the server said: somebody uses them.
    pub left: Vec<(TableName, String)>,
}

/// Drops the triggers of seals that are over on the side that has authority, table by table, each
/// in a transaction of its own that waits at most `lock_timeout` for ACCESS EXCLUSIVE: nobody is
/// ever queued behind it for longer.
///
/// # Errors
/// If this side has no authority (its seal must stay), or the connection breaks.
pub async fn drop_seal(
    session: &mut Session,
    scope: &Scope,
    lock_timeout: Duration,
) -> Result<Dropped, Error> {
    let newest = newest(session, &scope.migration).await?;
    let over = match &newest {
        Some(row) if row.authority == Some(scope.side) => row.epoch,
        _ => {
            return Err(foreign(
                scope.side,
                format!(
                    "the seal of {} stays: this side has no authority ({})",
                    scope.side,
                    newest.map_or("no epoch row".to_owned(), |r| format!(
                        "epoch {} {}",
                        r.epoch, r.kind
                    )),
                ),
            ));
        }
    };
    drop_triggers(session, &scope.migration, Some(over), lock_timeout).await
}

/// Drops this migration's triggers of epochs below `below`, or all.
pub(crate) async fn drop_triggers(
    session: &mut Session,
    migration: &MigrationName,
    below: Option<Epoch>,
    lock_timeout: Duration,
) -> Result<Dropped, Error> {
    let mut done = Dropped::default();
    for row in rows(session, &sql::droppable_sql(migration, below)).await? {
        let [Some(schema), Some(name), Some(drops)] = row.as_slice() else { continue };
        let relation = TableName::new(schema.clone(), name.clone());
        let millis = lock_timeout.as_millis().max(1);
        let sql = format!("{BEGIN} SET LOCAL lock_timeout = {millis}; {drops} COMMIT");
        match run(session, &sql).await {
            Ok(()) => done.dropped.push(relation),
            Err(e) if e.sqlstate() == Some("55P03") => {
                run(session, "ROLLBACK").await?;
                done.left.push((relation, e.to_string()));
            }
            Err(e) => return Err(e),
        }
    }
    Ok(done)
}
