//! What we keep inside the databases: schema `changeover`, publications, and rows that say who
//! has authority.
//!
//! The tables are described in `ARCHITECTURE.md`. Everything here may be done again at any time
//! and by several migrations side by side. Reading order: [`Scope`] (what moves), [`install`],
//! [`genesis`], [`publication`], [`newest`].

mod ask;
mod commit;
mod ddl;
mod known;
mod text;

use changeover_types::{
    Epoch, EpochKind, MigrationName, Side, TableName, quote_ident, quote_literal,
};
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::session::Session;

pub(crate) use ask::{foreign, proves_no_commit, rows, run, value};

pub(crate) use commit::{CommitFailure, Guarded, UNFIT, commit, flushed};
pub(crate) use ddl::INSTALL;
pub use known::known;
pub(crate) use text::{BEGIN, advisory_lock, do_block, lock_epochs, regclasses, token_bytes};

/// A moved relation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RelationEntry {
    /// Its name, the same on both sides.
    pub name: TableName,
    /// It is partitioned: it holds no rows itself and is not published.
    pub root: bool,
    /// It is a partition with rows.
    pub leaf: bool,
}

/// What one migration moves, seen on one side.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scope {
    /// The migration.
    pub migration: MigrationName,
    /// The side that the session at hand is connected to.
    pub side: Side,
    /// Every moved table, partitioned table and partition.
    pub relations: Vec<RelationEntry>,
    /// Every moved sequence, those of identity columns too.
    pub sequences: Vec<TableName>,
}

impl Scope {
    /// The same scope on the other side.
    #[must_use]
    pub fn on(&self, side: Side) -> Scope {
        Scope { side, ..self.clone() }
    }

    /// The relations in the one order in which all our sessions lock them.
    pub(crate) fn sorted(&self) -> Vec<&RelationEntry> {
        let mut sorted: Vec<&RelationEntry> = self.relations.iter().collect();
        sorted.sort_by(|a, b| a.name.cmp(&b.name));
        sorted.dedup_by(|a, b| a.name == b.name);
        sorted
    }
}

/// The stream that is applied into `side`, as its rows name it.
#[must_use]
pub fn stream_into(side: Side) -> &'static str {
    match side {
        Side::Target => "forward",
        Side::Source => "reverse",
    }
}

/// The slot on `side`, from which the stream into the other side is read.
#[must_use]
pub fn slot_on(migration: &MigrationName, side: Side) -> String {
    format!("{}_{}", migration.object_name(), stream_into(side.other()))
}

/// The key of the advisory lock under which authority of this migration changes on a server.
///
/// 64-bit FNV-1a of `changeover/<name>`, computed here so that every server agrees.
#[must_use]
pub fn advisory_key(migration: &MigrationName) -> i64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in "changeover/".bytes().chain(migration.as_str().bytes()) {
        hash ^= u64::from(byte);
        hash = hash.wrapping_mul(0x0100_0000_01b3);
    }
    i64::from_ne_bytes(hash.to_ne_bytes())
}

/// A row of `changeover.epoch`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpochRow {
    /// Its number.
    pub epoch: Epoch,
    /// What happened.
    pub kind: EpochKind,
    /// Who has authority since, as this side knows it; `None` is nobody.
    pub authority: Option<Side>,
    /// The run that wrote it.
    pub run: String,
    /// When, by the server's clock, as text.
    pub at: String,
}

/// Makes our schema, tables and function on a server. May be repeated, also concurrently.
///
/// # Errors
/// If the role may not create a schema, or a schema `changeover` exists that is not ours.
pub async fn install(session: &mut Session) -> Result<(), Error> {
    run(session, &format!("{BEGIN}{INSTALL}COMMIT")).await
}

/// Writes the migration's first epoch row (authority: the source) and its fence on this side.
/// Returns this side's newest row, which is another one when the migration has moved on.
///
/// # Errors
/// If [`install`] has not run, or the connection breaks.
pub async fn genesis(
    session: &mut Session,
    scope: &Scope,
    run_id: &str,
) -> Result<EpochRow, Error> {
    let migration = quote_literal(scope.migration.as_str());
    let sql = format!(
        "{BEGIN} SET LOCAL synchronous_commit = on; {lock};\
         INSERT INTO changeover.epoch (migration, epoch, kind, authority, run)\
           SELECT {migration}, 1, 'genesis', 'source', {run_id} WHERE NOT EXISTS\
             (SELECT FROM changeover.epoch WHERE migration = {migration});\
         INSERT INTO changeover.fence (migration, stream, incarnation, open)\
           VALUES ({migration}, '{stream}', 0, {open}) ON CONFLICT DO NOTHING;\
         COMMIT",
        lock = advisory_lock(&scope.migration),
        run_id = quote_literal(run_id),
        stream = stream_into(scope.side),
        open = scope.side == Side::Target,
    );
    run(session, &sql).await?;
    newest(session, &scope.migration).await?.ok_or_else(|| {
        foreign(
            scope.side,
            "the genesis row was written and cannot be read; row security on changeover.epoch?",
        )
    })
}

/// Makes this side's publication name exactly the moved tables (partitions, not their roots) and
/// the three tables of ours that travel. Returns whether anything had to change.
///
/// # Errors
/// If the role does not own the tables, a table is missing, or the connection breaks.
pub async fn publication(session: &mut Session, scope: &Scope) -> Result<bool, Error> {
    let name = scope.migration.object_name();
    let wanted = to_publish(scope);
    let list: Vec<String> =
        wanted.iter().map(|table| format!("TABLE ONLY {}", table.quoted())).collect();
    // One keyword for the whole list: `TABLE ONLY a, ONLY b` also parses before version 15.
    let list = list.join(", ").replace(", TABLE ONLY ", ", ONLY ");
    let present = published(session, &name).await?;
    if present.as_ref() == Some(&wanted) {
        return Ok(false);
    }
    let quoted = quote_ident(&name);
    let sql = if present.is_none() {
        format!(
            "CREATE PUBLICATION {quoted} FOR {list} \
             WITH (publish = 'insert, update, delete, truncate')"
        )
    } else {
        format!("ALTER PUBLICATION {quoted} SET {list}")
    };
    run(session, &sql).await?;
    Ok(true)
}

/// Whether this side's publication names exactly what [`publication`] made it name; true if it was
/// not made yet.
///
/// # Errors
/// If the catalogue cannot be read.
pub async fn publication_is_whole(session: &mut Session, scope: &Scope) -> Result<bool, Error> {
    let present = published(session, &scope.migration.object_name()).await?;
    Ok(present.is_none_or(|tables| tables == to_publish(scope)))
}

fn to_publish(scope: &Scope) -> Vec<TableName> {
    let mut wanted: Vec<TableName> =
        ["epoch", "progress", "signal"].map(|table| TableName::new("changeover", table)).to_vec();
    wanted.extend(scope.sorted().into_iter().filter(|r| !r.root).map(|r| r.name.clone()));
    wanted.sort();
    wanted
}

async fn published(session: &mut Session, name: &str) -> Result<Option<Vec<TableName>>, Error> {
    let sql = format!(
        "SELECT n.nspname, c.relname FROM pg_catalog.pg_publication p \
         LEFT JOIN pg_catalog.pg_publication_rel r ON r.prpubid = p.oid \
         LEFT JOIN pg_catalog.pg_class c ON c.oid = r.prrelid \
         LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE p.pubname = {}",
        quote_literal(name)
    );
    let found = rows(session, &sql).await?;
    if found.is_empty() {
        return Ok(None);
    }
    let mut tables: Vec<TableName> = found
        .into_iter()
        .filter_map(|row| match <[Option<String>; 2]>::try_from(row) {
            Ok([Some(schema), Some(table)]) => Some(TableName::new(schema, table)),
            _ => None,
        })
        .collect();
    tables.sort();
    Ok(Some(tables))
}

/// This side's epoch rows of the migration, oldest first.
///
/// # Errors
/// If our schema is not there, a row makes no sense, or the connection breaks.
pub async fn epochs(
    session: &mut Session,
    migration: &MigrationName,
) -> Result<Vec<EpochRow>, Error> {
    let sql = format!(
        "SELECT epoch, kind, authority, run, at FROM changeover.epoch \
         WHERE migration = {} ORDER BY epoch",
        quote_literal(migration.as_str())
    );
    let found = rows(session, &sql).await?;
    found.iter().map(|row| text::epoch_row(session.side(), row)).collect()
}

/// This side's newest epoch row of the migration; `None` before [`genesis`].
///
/// # Errors
/// As [`epochs`].
pub async fn newest(
    session: &mut Session,
    migration: &MigrationName,
) -> Result<Option<EpochRow>, Error> {
    Ok(epochs(session, migration).await?.pop())
}
