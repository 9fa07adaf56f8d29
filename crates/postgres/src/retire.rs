//! Taking our objects out of a side again.
//!
//! The side without authority **keeps its seal**, with the function and the epoch rows that it
//! needs, until it is decommissioned: dropping them would make it writable again (finding 18).
//! Which side that is, is read from its own newest row, never told by the caller. Everything may
//! be repeated; what could not be removed is named, not forced.

mod sql;

use std::time::{Duration, Instant};

use changeover_types::{Side, quote_ident, quote_literal};

use crate::config::ConnectConfig;
use crate::error::Error;
use crate::lease::connect;
use crate::objects::{EpochRow, Scope, epochs, foreign, rows, run, slot_on, value};
use crate::seal::drop_triggers;
use crate::session::Session;

/// What is gone from a side, and what is not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Retired {
    /// What was removed, in words.
    pub removed: Vec<String>,
    /// What stays, and why: kept on purpose, or in use (then do it again later).
    pub left: Vec<Left>,
}

/// Something of ours that stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    /// What.
    pub what: String,
    /// Why.
    pub why: String,
    /// Whether it stays on purpose; otherwise doing it again may remove it.
    pub kept: bool,
}

impl Retired {
    /// Whether nothing is left but what stays on purpose.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.left.iter().all(|left| left.kept)
    }

    fn leave(&mut self, what: impl Into<String>, why: impl Into<String>) {
        self.left.push(Left { what: what.into(), why: why.into(), kept: false });
    }

    fn keep(&mut self, what: impl Into<String>, why: impl Into<String>) {
        self.left.push(Left { what: what.into(), why: why.into(), kept: true });
    }
}

/// What `abort` does with the tables it made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AbortOptions {
    /// On the target: drop the moved tables and what they hold. By default they stay, unsealed,
    /// so that nothing that somebody wants to look at is lost; a new migration asks for an empty
    /// target.
    pub drop_relations: bool,
}

/// Ends a migration on one side after authority moved for good: drops our slot, publication and
/// bookkeeping; on the side that has authority the seal too, and our schema with the last
/// migration in it.
///
/// # Errors
/// If the connection breaks or a right is missing; do it again.
pub async fn finish(config: &ConnectConfig, scope: &Scope) -> Result<Retired, Error> {
    let mut session = connect(config).await?;
    let mut retired = Retired::default();
    if !has_schema(&mut session).await? {
        stream_objects(&mut session, scope, &mut retired).await?;
        return Ok(retired);
    }
    let newest = epochs(&mut session, &scope.migration).await?.pop();
    let keep = newest.as_ref().is_some_and(|row| row.authority != Some(scope.side));
    stream_objects(&mut session, scope, &mut retired).await?;
    if keep {
        run(&mut session, &sql::bookkeeping(&scope.migration, false)).await?;
        retired.removed.push("progress, signals, fences".to_owned());
        retired.keep(
            "the seal, its function and the epoch rows",
            "this side has no authority and must stay sealed until it is decommissioned",
        );
        return Ok(retired);
    }
    seal_and_rows(&mut session, scope, &mut retired).await?;
    Ok(retired)
}

/// Ends a migration on one side while the source has authority: removes everything we made.
///
/// # Errors
/// If it is a target that has authority (`rollback` or `finish` is what is wanted), if it is a
/// source that is sealed (resolve the attempt first), or if the connection breaks.
pub async fn abort(
    config: &ConnectConfig,
    scope: &Scope,
    options: AbortOptions,
) -> Result<Retired, Error> {
    let mut session = connect(config).await?;
    let mut retired = Retired::default();
    if has_schema(&mut session).await? {
        let found = may_abort(&mut session, scope).await?;
        // `a_b`, which never began here, has the object names of `a-b`, which lives.
        let twin = match found.is_empty() {
            true => value(&mut session, &sql::twin(&scope.migration)).await?,
            false => None,
        };
        match twin {
            Some(twin) => {
                let why = format!("they belong to the migration {twin}");
                retired.keep(scope.migration.object_name(), why);
            }
            None => stream_objects(&mut session, scope, &mut retired).await?,
        }
        seal_and_rows(&mut session, scope, &mut retired).await?;
    } else {
        stream_objects(&mut session, scope, &mut retired).await?;
    }
    if scope.side == Side::Target && options.drop_relations {
        relations(&mut session, scope, &mut retired).await?;
    }
    Ok(retired)
}

/// Whether this side may be aborted, by its own rows; gives them.
async fn may_abort(session: &mut Session, scope: &Scope) -> Result<Vec<EpochRow>, Error> {
    let side = scope.side;
    let found = epochs(session, &scope.migration).await?;
    // After a rollback there are grants too; what counts is who has authority now.
    let Some(row) = found.last() else { return Ok(found) };
    let why = match side {
        Side::Target if row.authority == Some(side) => format!(
            "aborting: the target has authority since epoch {}; use rollback or finish",
            row.epoch
        ),
        Side::Source if row.authority != Some(side) => format!(
            "aborting: the source is sealed in epoch {}; the attempt must be resolved first",
            row.epoch
        ),
        _ => return Ok(found),
    };
    Err(foreign(side, why))
}

/// Whether [`abort`] would be refused on this side: what it drops must be dropped while it is sealed.
///
/// # Errors
/// As [`abort`].
pub async fn check_abort(config: &ConnectConfig, scope: &Scope) -> Result<(), Error> {
    let mut session = connect(config).await?;
    if has_schema(&mut session).await? {
        may_abort(&mut session, scope).await?;
    }
    Ok(())
}

/// How long a table may be waited for.
const LOCK_TIMEOUT: Duration = Duration::from_millis(500);

/// How long our own walsender may take to die.
const SLOT_PATIENCE: Duration = Duration::from_secs(10);

async fn has_schema(session: &mut Session) -> Result<bool, Error> {
    let sql = "SELECT 1 WHERE pg_catalog.to_regclass('changeover.epoch') IS NOT NULL";
    Ok(value(session, sql).await?.is_some())
}

async fn stream_objects(
    session: &mut Session,
    scope: &Scope,
    retired: &mut Retired,
) -> Result<(), Error> {
    let slot = slot_on(&scope.migration, scope.side);
    match drop_slot(session, &slot).await {
        Ok(true) => retired.removed.push(format!("replication slot {slot}")),
        Ok(false) => {}
        Err(e) if e.sqlstate() == Some("55006") => {
            retired.leave(format!("slot {slot}"), e.to_string())
        }
        Err(e) => return Err(e),
    }
    let name = scope.migration.object_name();
    let sql =
        format!("SELECT 1 FROM pg_catalog.pg_publication WHERE pubname = {}", quote_literal(&name));
    if value(session, &sql).await?.is_some() {
        run(session, &format!("DROP PUBLICATION IF EXISTS {}", quote_ident(&name))).await?;
        retired.removed.push(format!("publication {name}"));
    }
    Ok(())
}

/// Drops a slot of ours, ending the walsender that still reads it: by its name it can only be
/// ours. Returns whether there was one.
///
/// # Errors
/// If the walsender does not end in time (55006), a right is missing, or the connection breaks.
pub async fn drop_slot(session: &mut Session, slot: &str) -> Result<bool, Error> {
    let until = Instant::now() + SLOT_PATIENCE;
    let slot = quote_literal(slot);
    let active = format!(
        "SELECT coalesce(active_pid, 0) FROM pg_catalog.pg_replication_slots WHERE slot_name = {slot}"
    );
    loop {
        match value(session, &active).await?.as_deref() {
            None => return Ok(false),
            Some("0") => {}
            Some(pid) => {
                run(session, &format!("SELECT pg_catalog.pg_terminate_backend({pid})")).await?
            }
        }
        match run(session, &format!("SELECT pg_catalog.pg_drop_replication_slot({slot})")).await {
            Ok(()) => return Ok(true),
            Err(e) if e.sqlstate() == Some("55006") && Instant::now() < until => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Err(e) => return Err(e),
        }
    }
}

async fn seal_and_rows(
    session: &mut Session,
    scope: &Scope,
    retired: &mut Retired,
) -> Result<(), Error> {
    let dropped = drop_triggers(session, &scope.migration, None, LOCK_TIMEOUT).await?;
    if !dropped.dropped.is_empty() {
        retired.removed.push(format!("the seal of {} relations", dropped.dropped.len()));
    }
    let in_use = !dropped.left.is_empty();
    for (relation, why) in dropped.left {
        retired.leave(format!("the seal's triggers on {relation}"), why);
    }
    // A trigger that stays needs the row that makes it inert.
    run(session, &sql::bookkeeping(&scope.migration, !in_use)).await?;
    retired.removed.push("rows in the changeover schema".to_owned());
    match value(session, sql::OTHERS).await? {
        Some(others) => retired.keep("schema changeover", format!("also used by {others}")),
        None => match run(session, sql::DROP_SCHEMA).await {
            Ok(()) => retired.removed.push("schema changeover".to_owned()),
            // Somebody came back, holds a lock, or made something in it.
            Err(e) if matches!(e.sqlstate(), Some("55P03" | "2BP01")) => {
                run(session, "ROLLBACK").await?;
                retired.leave("schema changeover", e.to_string());
            }
            Err(e) => return Err(e),
        },
    }
    Ok(())
}

/// Drops the moved tables of the target in one statement: all or none, and nothing that depends
/// on them from outside.
async fn relations(
    session: &mut Session,
    scope: &Scope,
    retired: &mut Retired,
) -> Result<(), Error> {
    let names = scope.relations.iter().map(|r| &r.name);
    let present = rows(session, &sql::present(names)).await?;
    let present: Vec<String> = present.into_iter().flatten().flatten().collect();
    if present.is_empty() {
        return Ok(());
    }
    let sql = sql::drop_relations(&present, LOCK_TIMEOUT);
    match run(session, &sql).await {
        Ok(()) => retired.removed.push(format!("{} moved relations", present.len())),
        Err(e) if matches!(e.sqlstate(), Some("55P03" | "2BP01")) => {
            run(session, "ROLLBACK").await?;
            retired.leave("the moved relations", e.to_string());
        }
        Err(e) => return Err(e),
    }
    Ok(())
}
