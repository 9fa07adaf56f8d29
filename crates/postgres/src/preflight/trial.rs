//! What is tried before it is promised: the statements that read the source, planned; the restore
//! on the target, done and rolled back.

use std::path::{Path, PathBuf};
use std::time::Duration;

use changeover_types::{Epoch, Side, quote_literal};

use super::{Evidence, Fact, Preflight, roles, statements};
use crate::catalog::{Catalog, Selection, Table, json};
use crate::config::ConnectConfig;
use crate::error::{Error, Result};
use crate::objects::{INSTALL, Scope};
use crate::schema::Archive;
use crate::schema::trial::{Failure, Trial, failure};
use crate::seal::arm_sql;
use crate::session::{SearchPath, Session};
use crate::type_numbers;

/// How long the whole trial may take, `pg_dump` included.
const WITHIN: Duration = Duration::from_secs(120);

/// How many statements are planned in one round trip.
pub(super) const CHUNK: usize = 32;

/// Whether the schema is tried on the target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Trying {
    /// It is not asked for.
    #[default]
    No,
    /// Nothing may be written, not even in a transaction that is rolled back.
    ReadOnly,
    /// It is tried.
    Asked,
}

/// What came of the trial.
#[derive(Clone, Debug)]
pub enum Tried {
    /// It was not asked for.
    NotAsked,
    /// It was left out on purpose, and why.
    Spared(String),
    /// It could not be brought to an end, and why.
    Unfinished(String),
    /// It was tried.
    Done(Outcome),
}

/// What failed.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// The schema could not be dumped.
    pub dump: Option<String>,
    /// Entries of the schema.
    pub restore: Vec<Failure>,
    /// Materialised views that cannot be filled.
    pub views: Vec<Failure>,
    /// Our own schema and the seal.
    pub seal: Option<Failure>,
    /// What the relay or a comparison would run on the restored tables.
    pub statements: Vec<Failure>,
    /// Roles that were taken to be there: each is named as missing already.
    pub as_if: Vec<String>,
}

/// Blockers with which a trial would only repeat what they say.
const FORBID: [&str; 10] = [
    "tools",
    "left_over",
    "schema_taken",
    "exists",
    "not_empty",
    "catalog",
    "objects",
    "nothing",
    "partition_named",
    "roles",
];

/// Whether the target may be written to for the trial, and what keeps it from that.
fn permit(found: &Preflight) -> std::result::Result<(), String> {
    let against: Vec<&str> =
        found.blockers().map(|it| it.id).filter(|id| FORBID.contains(id)).collect();
    if against.is_empty() { Ok(()) } else { Err(format!("first mend {}", against.join(", "))) }
}

/// Tries the schema on the target, if nothing that was found forbids it.
pub(super) async fn run(
    [source, target]: [&ConnectConfig; 2],
    selection: &Selection,
    evidence: &Evidence,
) -> Tried {
    // Missing roles are made in the trial, so that it tells what else is wrong; but not where the
    // move is to go on without them.
    let missing = roles::demanded(evidence);
    let mut with_roles = evidence.clone();
    if let (Ok(source), Ok(target)) = (&evidence.source.roles, &mut with_roles.target.roles) {
        target.extend(
            missing
                .iter()
                .filter_map(|name| source.get_key_value(name))
                .map(|(name, role)| (name.clone(), role.clone())),
        );
    }
    let found = super::judge(&with_roles);
    if let Err(why) = permit(&found) {
        return Tried::Spared(why);
    }
    // Types that this run placed already are no part of the restore any more.
    if !evidence.options.placed.is_empty() {
        return Tried::NotAsked;
    }
    let tried = tried([source, target], selection, evidence, missing, found.keeps_ownership());
    match tokio::time::timeout(WITHIN, tried).await {
        Ok(Ok(tried)) => tried,
        Ok(Err(e)) => Tried::Unfinished(e.to_string()),
        Err(_) => Tried::Unfinished(format!("it was given up after {} s", WITHIN.as_secs())),
    }
}

async fn tried(
    [source, target]: [&ConnectConfig; 2],
    selection: &Selection,
    evidence: &Evidence,
    as_if: Vec<String>,
    keep_ownership: bool,
) -> Result<Tried> {
    let fact = |e: &String| Error::local(Side::Source, e.clone());
    let catalog = evidence.source_catalog.as_ref().map_err(fact)?;
    let tools = evidence.tools.as_ref().map_err(fact)?;
    let folder = Folder::create()?;
    let path = folder.0.join("schema.dump");
    let archive =
        match Archive::dump(tools, source, selection, catalog, None, &path, keep_ownership).await {
            Ok(archive) if evidence.options.keep_tablespaces => archive,
            Ok(archive) => archive.without_tablespaces(),
            Err(e) => {
                let dump = Some(e.to_string());
                return Ok(Tried::Done(Outcome { dump, ..Outcome::default() }));
            }
        };
    if evidence.options.type_numbers_budget > 0
        && let Some(why) = too_many_numbers([source, target], selection, catalog, &archive).await?
    {
        return Ok(Tried::Spared(why));
    }
    let mut reader = Session::connect(source, "changeover preflight").await?;
    let path = SearchPath::read(&mut reader).await?;
    reader.close().await;
    let mut trial = Trial::begin(target).await?;
    trial.session().query(&path.set_local()).await?;
    if let (Ok(ours), Ok(theirs)) = (&evidence.source.roles, &evidence.target.roles) {
        let names: Vec<&str> = as_if.iter().map(String::as_str).collect();
        if !names.is_empty() {
            trial.attempt(&roles::statements(&names, ours, theirs).join(" ")).await?;
        }
    }
    let restore = trial.restore(&archive).await?;
    let views =
        if restore.is_empty() { fill(&mut trial, source, catalog).await? } else { Vec::new() };
    let seal = seal(&mut trial, catalog, selection).await?;
    let statements = match restore.is_empty() {
        true => statements::on_target(&mut trial, catalog).await?,
        // What is missing is said already.
        false => Vec::new(),
    };
    trial.end().await?;
    Ok(Tried::Done(Outcome { dump: None, restore, views, seal, statements, as_if }))
}

/// Why a trial would take numbers that types of the source are to have: what is rolled back uses
/// numbers up all the same.
async fn too_many_numbers(
    [source, target]: [&ConnectConfig; 2],
    selection: &Selection,
    catalog: &Catalog,
    archive: &Archive,
) -> Result<Option<String>> {
    let mut source = Session::connect(source, "changeover preflight").await?;
    let mut target = Session::connect(target, "changeover preflight").await?;
    let members: usize = json(&mut source, MEMBERS).await?;
    let room = type_numbers::room(&mut source, &mut target, selection).await?;
    source.close().await;
    target.close().await;
    let uses = 8 * catalog.tables.len() + 3 * (archive.len() + members);
    Ok(room.smallest.filter(|it| crowded(room.next, *it, uses)).map(|smallest| {
        format!(
            "it would use up about {uses} of the target's numbers, of which the next is {}, and \
             types are to have theirs from {smallest} on. `apply` gives them these first; then it \
             restores the tables in one transaction before it copies a row, and nothing is left of \
             one that fails. What comes after the rows (indexes, keys, triggers, policies) and what \
             our sessions run is met only then",
            room.next
        )
    }))
}

/// Whether so many numbers from `next` on reach `smallest`. What lies below `next` is lost already.
fn crowded(next: u32, smallest: u32, uses: usize) -> bool {
    smallest.checked_sub(next).is_some_and(|room| u64::from(room) <= uses as u64)
}

/// How many objects extensions make.
const MEMBERS: &str =
    "SELECT pg_catalog.count(*)::text FROM pg_catalog.pg_depend WHERE deptype='e' AND objid>=16384";

/// Fills the materialised views, over tables that are empty.
async fn fill(
    trial: &mut Trial,
    source: &ConnectConfig,
    catalog: &Catalog,
) -> Result<Vec<Failure>> {
    let mut session = Session::connect(source, "changeover preflight").await?;
    let refreshes = crate::schema::refreshes(&mut session, catalog).await?;
    session.close().await;
    let mut failures = Vec::new();
    for (view, sql) in refreshes {
        // One beneath it is empty, which is said by name or follows from a failure.
        match trial.attempt(&sql).await? {
            Some(e) if e.sqlstate() != Some("55000") => {
                failures.push(failure(view.to_string(), &e));
            }
            _ => {}
        }
    }
    Ok(failures)
}

/// Our own schema and the seal of the restored tables.
async fn seal(
    trial: &mut Trial,
    catalog: &Catalog,
    selection: &Selection,
) -> Result<Option<Failure>> {
    if let Some(error) = trial.attempt(INSTALL).await? {
        return Ok(Some(failure("our own schema".into(), &error)));
    }
    let mut scope = catalog.scope(&selection.migration, Side::Target);
    keep_present(trial.session(), &mut scope).await?;
    let armed = trial.attempt(&arm_sql(&scope, Epoch(1))).await?;
    Ok(armed.map(|error| failure("the seal".into(), &error)))
}

/// Leaves relations out whose restore failed: that is said already.
async fn keep_present(session: &mut Session, scope: &mut Scope) -> Result<()> {
    let names: Vec<String> =
        scope.relations.iter().map(|entry| quote_literal(&entry.name.quoted())).collect();
    let sql = format!(
        "SELECT coalesce(json_agg(pg_catalog.to_regclass(n) IS NOT NULL ORDER BY i),'[]')::text \
         FROM unnest(ARRAY[{}]::text[]) WITH ORDINALITY x(n,i)",
        names.join(",")
    );
    let there: Vec<bool> = json(session, &sql).await?;
    let mut there = there.into_iter();
    scope.relations.retain(|_| there.next().unwrap_or(false));
    Ok(())
}

/// A folder that only we can read, for an archive that may hold the secrets of user mappings.
struct Folder(PathBuf);

impl Folder {
    fn create() -> Result<Folder> {
        let name = format!("changeover-trial-{:016x}", rand::random::<u64>());
        let path = std::env::temp_dir().join(name);
        let made = private(&path);
        made.map(|()| Folder(path.clone())).map_err(|e| {
            Error::local(Side::Source, format!("making {}", path.display())).with_source(e)
        })
    }
}

fn private(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().mode(0o700).create(path)
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

/// The tables whose rows our sessions cannot read, found by planning the statements: the planner
/// looks at expressions of indexes and partitions, and evaluates what it can.
pub(super) async fn reads(source: &ConnectConfig, catalog: &Catalog) -> Fact<Vec<Failure>> {
    planned(source, catalog).await.map_err(|e| e.to_string())
}

/// Sets a session up to plan statements of ours, as sessions that read or write rows are, but for how
/// long it may take.
pub(super) async fn prepare_to_plan(session: &mut Session) -> Result<()> {
    session.execute("SET statement_timeout = '10s'; SET lock_timeout = '2s'").await?;
    let path = SearchPath::read(session).await?;
    session.look_in(&path).await
}

/// Runs a statement that is planned; gives the error if it fails.
///
/// # Errors
/// If the session cannot go on.
pub(super) async fn plan_one(session: &mut Session, sql: &str) -> Result<Option<Error>> {
    match session.execute(sql).await {
        Ok(_) => Ok(None),
        Err(e) if e.sqlstate().is_none() || !session.is_usable() => Err(e),
        Err(e) => Ok(Some(e)),
    }
}

async fn planned(source: &ConnectConfig, catalog: &Catalog) -> Result<Vec<Failure>> {
    let mut session = Session::connect(source, "changeover preflight").await?;
    prepare_to_plan(&mut session).await?;
    let tables: Vec<&Table> = catalog.leaves().filter(|table| table.readable).collect();
    let mut failures = Vec::new();
    for chunk in tables.chunks(CHUNK) {
        let explain = |table: &Table| format!("EXPLAIN {};", crate::copy::query(table));
        let all: String = chunk.iter().map(|table| explain(table)).collect();
        if session.execute(&all).await.is_ok() {
            continue;
        }
        for table in chunk {
            let error = plan_one(&mut session, &explain(table)).await?;
            failures.extend(error.map(|e| failure(table.name.to_string(), &e)));
        }
    }
    session.close().await;
    Ok(failures)
}

#[cfg(test)]
mod tests {
    use super::crowded;

    #[test]
    fn a_trial_keeps_away_from_the_numbers_of_types() {
        assert!(crowded(16_384, 16_500, 116));
        assert!(!crowded(16_384, 16_500, 115));
        assert!(!crowded(20_000, 16_500, 5_000));
    }
}
