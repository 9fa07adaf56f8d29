//! The state that is copied: a slot, the snapshot it exports, and who keeps both usable.
//!
//! [`CopySnapshot::take`] reads the catalogue's digest, makes the slot, waits until its snapshot
//! may be trusted ([`xids`]), locks every moved table in ACCESS SHARE with a *holder* session that
//! stays until the copy ends, and reads the digest again. Without the holder, a VACUUM FULL or
//! ALTER TYPE between the snapshot and a table's read loses rows silently (finding 14): the new
//! file holds them under a later transaction, which the snapshot does not see.
//!
//! The snapshot lives as long as the replication session that made it does nothing else; it dies
//! with its session and cannot be had again. Then the copy starts anew ([`crate::copy::undo`]).

mod neighbour;
pub mod xids;

use std::time::Duration;

use changeover_types::{Lsn, TableName, quote_literal};
use tokio::time::Instant;

use crate::catalog::{Catalog, Selection, cell, json};
use crate::config::ConnectConfig;
use crate::digest::{CatalogDigest, diff, diff_storage};
use crate::error::{Error, ErrorKind, Result};
use crate::preflight::OpenTransaction;
use crate::replication::{SlotOptions, create_slot, drop_slot};
use crate::session::Session;
use xids::XidSnapshot;

pub use neighbour::{in_the_way, rewriters};

/// How often blockers are looked for while something waits.
const LOOK: Duration = Duration::from_millis(250);

/// How long each part may wait for others.
#[derive(Clone, Copy, Debug)]
pub struct SnapshotLimits {
    /// For the slot: every transaction that writes anywhere on the server must end first.
    pub slot: Duration,
    /// For transactions that the snapshot counts as committed to be so for everybody.
    pub settle: Duration,
    /// For ACCESS SHARE on all moved tables.
    pub locks: Duration,
}

impl Default for SnapshotLimits {
    fn default() -> Self {
        SnapshotLimits {
            slot: Duration::from_secs(600),
            settle: Duration::from_secs(60),
            locks: Duration::from_secs(60),
        }
    }
}

/// What the making of a snapshot waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SnapshotWait {
    /// Open transactions keep the slot from being made.
    Slot(Vec<OpenTransaction>),
    /// Transactions whose commit is not settled yet.
    Settling(Vec<u64>),
    /// The tables are being locked.
    Locks,
}

/// A snapshot that can be copied from. Dropping it ends the snapshot and keeps the slot.
#[derive(Debug)]
pub struct CopySnapshot {
    /// Its name, for `SET TRANSACTION SNAPSHOT`.
    pub name: String,
    /// Where the slot's stream begins: exactly behind what the snapshot sees.
    pub consistent_point: Lsn,
    /// The slot.
    pub slot: String,
    /// The moved objects; the holder's locks keep them as they are.
    pub catalog: Catalog,
    /// Their digest: what every later reading is compared with.
    pub digest: CatalogDigest,
    creator: Session,
    holder: Session,
}

impl CopySnapshot {
    /// Makes slot and snapshot. `slot` must not exist; the publication must, because a slot
    /// decodes with the publications as they were. On an error nothing is left behind.
    ///
    /// `waiting` is told what is waited for, several times a second.
    ///
    /// # Errors
    /// [`Timeout`](crate::error::ErrorKind::Timeout) naming the blockers;
    /// [`InTheWay`](crate::error::ErrorKind::InTheWay) naming whoever wanted a table for itself, or
    /// if one was rewritten meanwhile (try again);
    /// [`Refused`](crate::error::ErrorKind::Refused) if the catalogue changed; or what the server
    /// said.
    pub async fn take(
        source: &ConnectConfig,
        selection: &Selection,
        slot: &str,
        limits: SnapshotLimits,
        waiting: &(dyn Fn(SnapshotWait) + Send + Sync),
    ) -> Result<CopySnapshot> {
        let mut control = Session::connect(source, "changeover control").await?;
        refuse_existing(&mut control, slot).await?;
        let mut creator = Session::connect_replication(source, "changeover slot").await?;
        let taken = async {
            let before = CatalogDigest::read(&mut control, selection).await?;
            let (name, consistent_point) =
                create(&mut creator, &mut control, slot, limits.slot, waiting).await?;
            let mut holder = open_reader(source, &name, "changeover holder").await?;
            settle(&mut holder, &mut control, limits.settle, waiting).await?;
            waiting(SnapshotWait::Locks);
            let tables = Catalog::read(&mut control, selection).await?.relations();
            let held = async {
                lock(&mut holder, &tables, limits.locks).await?;
                let digest = CatalogDigest::read(&mut control, selection).await?;
                refuse_changes(&control, &before, &digest)?;
                Ok((digest, Catalog::read(&mut control, selection).await?))
            };
            let (digest, catalog) = tokio::select! {
                held = held => held?,
                error = in_the_way(source) => return Err(error),
            };
            Ok((name, consistent_point, catalog, digest, holder))
        }
        .await;
        match taken {
            Ok((name, consistent_point, catalog, digest, holder)) => {
                let slot = slot.to_owned();
                Ok(CopySnapshot { name, consistent_point, slot, catalog, digest, creator, holder })
            }
            Err(error) => {
                drop(creator);
                // What this one was asked may wait behind somebody.
                drop(control);
                let cleared = async {
                    drop_slot(&mut Session::connect(source, "changeover control").await?, slot)
                        .await
                };
                match cleared.await {
                    Ok(()) => Err(error),
                    Err(left) => Err(error.with_context(format!(
                        "the slot {slot} was left behind and retains WAL ({left}); drop it by hand"
                    ))),
                }
            }
        }
    }

    /// A session that sees exactly this snapshot, in an open read-only transaction.
    ///
    /// # Errors
    /// If the snapshot is gone or no session can be opened.
    pub async fn reader(&self) -> Result<Session> {
        open_reader(self.creator.config(), &self.name, "changeover reader").await
    }

    /// Waits until the snapshot is lost, and says why. To be raced with the copy.
    pub async fn lost(&mut self) -> Error {
        let error = tokio::select! {
            error = self.creator.lost() => error,
            error = self.holder.lost() => error,
        };
        error.with_context("the copy's snapshot is lost")
    }

    /// Ends the snapshot and lets go of the tables; the slot stays.
    pub async fn release(self) {
        self.holder.close().await;
        self.creator.close().await;
    }
}

/// Opens a session in a transaction that sees the snapshot `name`.
pub(crate) async fn open_reader(
    source: &ConnectConfig,
    name: &str,
    application: &str,
) -> Result<Session> {
    let mut session = Session::connect(source, application).await?;
    session
        .execute(&format!(
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT {}",
            quote_literal(name)
        ))
        .await
        .map_err(|e| match e.sqlstate() {
            Some("22023" | "42704") => e.with_context(
                "the copy's snapshot is gone, because the session that exported it ended; the \
                 copy must start again",
            ),
            _ => e.with_context("importing the copy's snapshot"),
        })?;
    Ok(session)
}

async fn refuse_existing(control: &mut Session, slot: &str) -> Result<()> {
    let sql = format!(
        "SELECT slot_name FROM pg_catalog.pg_replication_slots WHERE slot_name = {}",
        quote_literal(slot)
    );
    match cell(control, &sql).await? {
        None => Ok(()),
        Some(_) => Err(Error::refused(
            control.side(),
            format!(
                "the replication slot {slot} exists already: an earlier copy of this migration \
                 was not taken back; `changeover abort` removes it"
            ),
        )),
    }
}

async fn create(
    creator: &mut Session,
    control: &mut Session,
    slot: &str,
    limit: Duration,
    waiting: &(dyn Fn(SnapshotWait) + Send + Sync),
) -> Result<(String, Lsn)> {
    let side = creator.side();
    let walsender = creator.pid();
    let deadline = Instant::now() + limit;
    let options = SlotOptions { temporary: false, export_snapshot: true };
    let creating = create_slot(creator, slot, options);
    tokio::pin!(creating);
    let created = loop {
        let look = tokio::time::sleep_until(deadline.min(Instant::now() + LOOK));
        tokio::select! {
            created = &mut creating => break created?,
            () = look => {}
        }
        let blockers = blockers(control, walsender).await?;
        if Instant::now() >= deadline {
            let who: Vec<String> = blockers.iter().map(OpenTransaction::who).collect();
            return Err(Error::timeout(
                side,
                format!(
                    "making the replication slot {slot} took longer than {limit:?}: it waits for \
                     open transactions to end ({}); end them and try again",
                    who.join("; ")
                ),
            ));
        }
        waiting(SnapshotWait::Slot(blockers));
    };
    let name = created.snapshot.ok_or_else(|| {
        Error::protocol(side, format!("making the replication slot {slot}: no snapshot came"))
    })?;
    Ok((name, created.consistent_point))
}

/// Transactions that have written and are not over, prepared ones left out (preflight refuses
/// them).
async fn blockers(control: &mut Session, walsender: u32) -> Result<Vec<OpenTransaction>> {
    json(
        control,
        &format!(
            "SELECT coalesce(json_agg(json_build_object('pid', pid, 'user', usename, \
             'application', application_name, 'client', client_addr::text, 'state', state, \
             'age_s', greatest(0, extract(epoch FROM clock_timestamp()-xact_start))::bigint, \
             'writes', true) ORDER BY xact_start),'[]')::text \
             FROM pg_catalog.pg_stat_activity WHERE backend_xid IS NOT NULL \
             AND pid NOT IN ({walsender}, pg_catalog.pg_backend_pid())"
        ),
    )
    .await
}

/// Until this has returned, nothing but the transaction ids may be read with the snapshot.
async fn settle(
    holder: &mut Session,
    control: &mut Session,
    limit: Duration,
    waiting: &(dyn Fn(SnapshotWait) + Send + Sync),
) -> Result<()> {
    let ours = xid_snapshot(holder).await?;
    let deadline = Instant::now() + limit;
    loop {
        let unsettled = ours.unsettled(&xid_snapshot(control).await?);
        if unsettled.is_empty() {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(Error::timeout(
                control.side(),
                format!(
                    "transactions {unsettled:?} are committed in the log and still not finished \
                     on the server after {limit:?}: does their COMMIT wait for a synchronous \
                     standby? See pg_stat_activity.backend_xid"
                ),
            ));
        }
        waiting(SnapshotWait::Settling(unsettled));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn xid_snapshot(session: &mut Session) -> Result<XidSnapshot> {
    let text = cell(session, "SELECT pg_catalog.txid_current_snapshot()::text").await?;
    text.unwrap_or_default().parse().map_err(|fault: xids::ParseSnapshotError| {
        Error::protocol(session.side(), "reading a snapshot").with_source(fault)
    })
}

/// Locks tables against rewrites until the session's transaction ends.
pub(crate) async fn lock(
    holder: &mut Session,
    tables: &[TableName],
    limit: Duration,
) -> Result<()> {
    if tables.is_empty() {
        return Ok(());
    }
    let list: Vec<String> = tables.iter().map(|table| format!("ONLY {}", table.quoted())).collect();
    // The timeout covers the whole statement; a lock timeout would count anew for each table.
    let sql = format!(
        "SET LOCAL statement_timeout={}; LOCK TABLE {} IN ACCESS SHARE MODE; \
         SET LOCAL statement_timeout=0",
        limit.as_millis().max(1),
        list.join(",")
    );
    let Err(e) = holder.execute(&sql).await else { return Ok(()) };
    Err(match e.sqlstate() {
        Some("57014") => {
            let mut control = Session::connect(holder.config(), "changeover control").await?;
            let who = rewriters(&mut control, tables).await?;
            let who: Vec<String> = who.iter().map(OpenTransaction::who).collect();
            let text = format!(
                "holding the moved tables in ACCESS SHARE for {limit:?}: somebody has, or waits \
                 for, ACCESS EXCLUSIVE ({}); let it end or cancel it, and try again",
                who.join("; ")
            );
            Error::new(ErrorKind::InTheWay, holder.side(), text).with_source(e)
        }
        Some("53200") => e.with_context(
            "holding the moved tables: the lock table is full; raise max_locks_per_transaction",
        ),
        _ => e.with_context("holding the moved tables"),
    })
}

fn refuse_changes(control: &Session, before: &CatalogDigest, after: &CatalogDigest) -> Result<()> {
    let side = control.side();
    let mut changed: Vec<String> = diff(before, after).iter().map(ToString::to_string).collect();
    if !changed.is_empty() {
        changed.truncate(8);
        let text = format!(
            "the tables changed while the snapshot was made, which could lose rows: {}; stop \
             schema changes and try again",
            changed.join("; ")
        );
        return Err(Error::refused(side, text));
    }
    let mut rewritten: Vec<String> =
        diff_storage(before, after).iter().map(ToString::to_string).collect();
    if rewritten.is_empty() {
        return Ok(());
    }
    rewritten.truncate(8);
    let text = format!(
        "rewritten or truncated while the snapshot was made, which could lose rows: {}",
        rewritten.join(", ")
    );
    Err(Error::new(ErrorKind::InTheWay, side, text))
}
