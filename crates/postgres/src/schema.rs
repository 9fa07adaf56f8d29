//! The schema: `pg_dump` under the copy's snapshot, and what `pg_restore` makes of it, performed by
//! sessions of ours.
//!
//! Post-data is taken from the archive as SQL, entry by entry, in an order that follows what each
//! needs: indexes and keys several at a time, biggest table first; then what needs them (attached
//! indexes, foreign keys, triggers, rules, policies, views over a key) in the archive's order; then
//! what needs those. Each entry commits for itself, and an entry that is there already is passed
//! over, so a restore that was interrupted goes on. Checks that may read other tables come last
//! ([`set_checks_aside`]).

mod before;
mod checks;
mod constraints;
mod database;
mod grants;
mod left_over;
mod order;
mod policies;
mod post;
mod pre;
mod script;
pub mod toc;
mod tools;
pub mod trial;
mod undo;
mod views;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use changeover_types::{TableName, quote_literal};

pub use checks::set_checks_aside;
pub(crate) use database::NOT_GRANTED;
pub use database::{Change, DatabaseProperties, set_properties};
pub use left_over::end_left_over;
pub use post::{PostData, PostProgress, try_again};
pub use tools::Tools;
pub use undo::drop_restored;
pub use views::{refresh_views, refreshes};

use crate::catalog::{Catalog, Selection, Selector, cell};
use crate::config::ConnectConfig;
use crate::error::{Error, Result};
use crate::session::{SearchPath, Session};
use crate::snapshot::in_the_way;
use toc::{Entry, EntryKind};

/// A dumped schema.
#[derive(Clone, Debug)]
pub struct Archive {
    tools: Tools,
    /// What our sessions on the target are called.
    application: String,
    path: PathBuf,
    entries: Vec<Entry>,
    keep_ownership: bool,
    keep_tablespaces: bool,
    /// Entries, by catalogue and number, that somebody else has seen to.
    left_out: BTreeSet<(u32, u32)>,
}

/// Our `application_name` when we make what the schema holds.
pub(crate) const APPLICATION: &str = "changeover schema";

/// The catalogue `pg_namespace`.
const NAMESPACES: u32 = 2615;

impl Archive {
    /// Dumps the schema of what moves into the file `path` (overwritten; it may hold the options
    /// of user mappings, so its folder must be private). `snapshot` is the copy's.
    ///
    /// With `keep_ownership`, owners travel: each must exist on the target, and our role must be able to
    /// become it. Grants always do.
    ///
    /// # Errors
    /// With what `pg_dump` said; [`InTheWay`](crate::error::ErrorKind::InTheWay) naming whoever it kept
    /// from a table.
    pub async fn dump(
        tools: &Tools,
        source: &ConnectConfig,
        selection: &Selection,
        catalog: &Catalog,
        snapshot: Option<&str>,
        path: &Path,
        keep_ownership: bool,
    ) -> Result<Archive> {
        let mut arguments: Vec<OsString> =
            ["-Fc", "--schema-only", "--no-publications", "--no-subscriptions", "--no-password"]
                .map(OsString::from)
                .to_vec();
        // Behind a rewrite that itself waits for the holder, it would wait for ever.
        arguments.push("--lock-wait-timeout=60s".into());
        arguments.push(format!("--file={}", path.display()).into());
        if let Some(snapshot) = snapshot {
            arguments.push(format!("--snapshot={snapshot}").into());
        }
        arguments.extend(exclusions(selection, catalog).into_iter().map(OsString::from));
        tokio::select! {
            dumped = tools.run(&tools.dump, &arguments, source) => {
                dumped.map_err(|e| e.with_context("dumping the schema"))?;
            }
            error = in_the_way(source) => return Err(error.with_context("dumping the schema")),
        }
        let list = tools.run(&tools.restore, &["-l".into(), path.into()], source).await?;
        let entries = toc::parse(&String::from_utf8_lossy(&list)).map_err(|line| {
            Error::local(
                source.side,
                format!("the archive's list has a line we cannot read: {line}"),
            )
        })?;
        Ok(Archive {
            tools: tools.clone(),
            application: left_over::application(&selection.migration),
            path: path.to_owned(),
            entries,
            keep_ownership,
            keep_tablespaces: true,
            left_out: BTreeSet::new(),
        })
    }

    /// The same, with everything in the database's own tablespace.
    #[must_use]
    pub fn without_tablespaces(mut self) -> Archive {
        self.keep_tablespaces = false;
        self
    }

    /// What comes after the rows, as SQL. `source` tells which index belongs to which table, and
    /// which checks were set aside.
    ///
    /// # Errors
    /// With what `pg_restore` said, or if its output is not what its list promises.
    pub async fn post_data(
        &self,
        source: &mut Session,
        selection: &Selection,
        catalog: &Catalog,
    ) -> Result<PostData> {
        let wanted = self.entries.iter().filter(|entry| self.wants(entry));
        let (late, post): (Vec<&Entry>, Vec<&Entry>) = wanted.partition(|entry| is_late(entry));
        let script = self.script("post", &post, &["--section=post-data"], source).await?;
        let grants = self.script("grants", &late, &[], source).await?;
        let checks = checks::read(source, selection, catalog).await?;
        let post = PostData::read(&script, &grants, checks, &self.entries, source).await?;
        Ok(post.by(&self.application))
    }

    /// The SQL of these entries.
    async fn script(
        &self,
        part: &str,
        entries: &[&Entry],
        more: &[&str],
        source: &Session,
    ) -> Result<String> {
        let list = self.write_list(part, entries.iter().copied())?;
        let mut arguments = self.restore_arguments(&list);
        arguments.extend(["--verbose", "--file=-"].iter().chain(more).map(OsString::from));
        arguments.push(self.path.clone().into());
        let script = self.tools.run(&self.tools.restore, &arguments, source.config()).await?;
        String::from_utf8(script)
            .map_err(|_| Error::local(source.side(), "the archive holds SQL that is not UTF-8"))
    }

    /// The statements of the entries with these catalogues and numbers, those that it has.
    /// `server` only lends its name to an error.
    ///
    /// # Errors
    /// With what `pg_restore` said, or if its output is not what its list promises.
    pub async fn statements(
        &self,
        server: &Session,
        wanted: &BTreeSet<(u32, u32)>,
    ) -> Result<BTreeMap<(u32, u32), String>> {
        let is_wanted = |entry: &&Entry| wanted.contains(&(entry.catalog_oid, entry.oid));
        let entries: Vec<&Entry> =
            self.entries.iter().filter(is_wanted).filter(|e| self.wants(e)).collect();
        if entries.is_empty() {
            return Ok(BTreeMap::new());
        }
        let list = self.write_list("statements", entries.iter().copied())?;
        let mut arguments = self.restore_arguments(&list);
        arguments.extend(["--section=pre-data", "--verbose", "--file=-"].map(OsString::from));
        arguments.push(self.path.clone().into());
        let script = self.tools.run(&self.tools.restore, &arguments, server.config()).await?;
        let text = String::from_utf8(script)
            .map_err(|_| Error::local(server.side(), "the archive holds SQL that is not UTF-8"))?;
        let parts = script::cut(&text).ok_or_else(|| {
            Error::local(server.side(), "pg_restore's script cannot be cut into its entries")
        })?;
        let key = |id| {
            let entry = entries.iter().find(|entry| entry.dump_id == id)?;
            Some((entry.catalog_oid, entry.oid))
        };
        let statements = |part: script::Part| {
            Some((key(part.dump_id)?, script::without_comments(&part.sql).to_owned()))
        };
        Ok(parts.into_iter().filter_map(statements).collect())
    }

    /// The entry with this catalogue and number, for people.
    #[must_use]
    pub fn label(&self, (catalog_oid, oid): (u32, u32)) -> Option<&str> {
        let is = |entry: &&Entry| (entry.catalog_oid, entry.oid) == (catalog_oid, oid);
        self.entries.iter().find(is).map(|entry| entry.label.as_str())
    }

    /// The entries with these catalogues and numbers are there already: neither the restore nor its
    /// undoing touches them.
    pub fn leave_out(&mut self, entries: BTreeSet<(u32, u32)>) {
        self.left_out = entries;
    }

    fn restore_arguments(&self, list: &Path) -> Vec<OsString> {
        let mut arguments: Vec<OsString> =
            vec!["--exit-on-error".into(), format!("--use-list={}", list.display()).into()];
        if !self.keep_ownership {
            arguments.push("--no-owner".into());
        }
        if !self.keep_tablespaces {
            arguments.push("--no-tablespaces".into());
        }
        arguments
    }

    /// Whether the entry is for us to restore: wanted, and not seen to by somebody else.
    fn wants(&self, entry: &Entry) -> bool {
        wants(entry) && !self.left_out.contains(&(entry.catalog_oid, entry.oid))
    }

    fn write_list<'a>(
        &self,
        part: &str,
        entries: impl Iterator<Item = &'a Entry>,
    ) -> Result<PathBuf> {
        self.write(part, &toc::list_file(entries))
    }

    fn write(&self, part: &str, text: &str) -> Result<PathBuf> {
        let path = beside(&self.path, part);
        std::fs::write(&path, text).map_err(|e| {
            let what = format!("writing {}", path.display());
            Error::local(changeover_types::Side::Target, what).with_source(e)
        })?;
        Ok(path)
    }
}

/// Whether the entry is for us to restore. Event triggers would fire for our own DDL; comments on
/// extensions need their owner.
fn wants(entry: &Entry) -> bool {
    let left_out = matches!(entry.kind, EntryKind::EventTrigger | EntryKind::Replication);
    !(left_out || entry.label.starts_with("COMMENT - EXTENSION "))
}

/// Whether the entry is one of these schemas, which the target has already.
fn is_there<'a>(entry: &Entry, mut schemas: impl Iterator<Item = &'a String>) -> bool {
    entry.kind == EntryKind::Schema
        && entry.catalog_oid == NAMESPACES
        && schemas.any(|name| entry.is_schema(name))
}

/// Whether the entry comes after everything else, and may fail: grants, and comments on schemas,
/// which may be there already and not be ours.
fn is_late(entry: &Entry) -> bool {
    entry.kind == EntryKind::Grants || entry.label.starts_with("COMMENT - SCHEMA ")
}

/// Whether undoing the restore drops the entry by itself. Keys and indexes go with their tables;
/// extensions and schemas are dropped one by one after the rest.
fn is_dropped(entry: &Entry) -> bool {
    !matches!(
        entry.kind,
        EntryKind::Index
            | EntryKind::Constraint
            | EntryKind::IndexAttach
            | EntryKind::Extension
            | EntryKind::Schema
    )
}

/// A file beside an archive: the list of its entries that belong to a part of the restore, or what
/// an abort needs.
fn beside(archive: &Path, part: &str) -> PathBuf {
    let mut path = archive.as_os_str().to_owned();
    path.push(format!(".{part}.list"));
    PathBuf::from(path)
}

/// Whether something of the schema moves.
fn keeps(selection: &Selection, schema: &str) -> bool {
    let named = selection.include.iter().any(|s| match s {
        Selector::Schema(name) => name == schema,
        Selector::Table(table) => table.schema == schema,
    });
    (selection.include.is_empty() || named)
        && !selection.exclude.iter().any(|s| matches!(s, Selector::Schema(name) if name == schema))
}

/// What `pg_dump` must leave out. Exclusions and not inclusions, because with the latter
/// `pg_dump` leaves out extensions, types and functions that the tables need.
fn exclusions(selection: &Selection, catalog: &Catalog) -> Vec<String> {
    let pattern = |name: &str| changeover_types::quote_ident(name);
    let kept = |schema: &str| keeps(selection, schema);
    let mut arguments = vec!["--exclude-schema=changeover".to_owned()];
    for schema in catalog.schemas.iter().filter(|schema| !kept(schema.as_str())) {
        // The schema of an extension is needed by the extension.
        if catalog.extensions.iter().any(|extension| extension.schema == *schema) {
            continue;
        }
        arguments.push(format!("--exclude-schema={}", pattern(schema)));
    }
    for name in catalog.left_out.iter().filter(|name| kept(&name.schema)) {
        arguments.push(format!(
            "--exclude-table={}.{}",
            pattern(&name.schema),
            pattern(&name.name)
        ));
    }
    arguments
}

/// Gives the planner statistics of every moved table, a few at a time. The application's first
/// queries after the cutover would otherwise be planned blind.
///
/// # Errors
/// The first table that cannot be analysed.
pub async fn analyze(target: &mut Session, tables: &[TableName]) -> Result<()> {
    // Statistics of an index's expressions are made by calling them.
    let path = SearchPath::read(target).await?.set_local();
    for chunk in tables.chunks(16) {
        let list: Vec<String> = chunk.iter().map(TableName::quoted).collect();
        target
            .execute(&format!("{path}; ANALYZE {}", list.join(",")))
            .await
            .map_err(|e| e.with_context("gathering statistics on the target"))?;
    }
    Ok(())
}

/// Whether the target has a table called `name`; what the engine asks to resume.
///
/// # Errors
/// If the query fails.
pub async fn exists(target: &mut Session, name: &TableName) -> Result<bool> {
    let sql =
        format!("SELECT pg_catalog.to_regclass({}) IS NOT NULL", quote_literal(&name.quoted()));
    Ok(cell(target, &sql).await?.as_deref() == Some("t"))
}
