//! Post-data: its entries in an order that works, and running them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use changeover_types::Task;

use super::checks::Check;
use super::constraints::{self, Constraint, is_broken};
use super::grants::{self, Grants};
use super::order::{Lane, Node, Wave, waves};
use super::policies::{self, Policy};
use super::script::cut;
use super::toc::{Entry, EntryKind};
use crate::catalog::json;
use crate::config::ConnectConfig;
use crate::copy::all;
use crate::error::{Error, Result};
use crate::session::{SearchPath, Session};

/// Already there: a table (an index is one), an object, a second primary key, a function.
const THERE: [&str; 4] = ["42P07", "42710", "42P16", "42723"];

/// Everything that is created after the rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostData {
    steps: Vec<Step>,
    /// In which order, by place among the steps.
    waves: Vec<Wave>,
    /// Checks that were set aside for the rows; they come after the steps.
    checks: Vec<Check>,
    /// What comes after all of them.
    grants: Vec<Grants>,
    /// Where the functions of indexes and checks look for names.
    path: SearchPath,
    /// What our sessions are called.
    application: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Step {
    label: String,
    sql: String,
    /// Of a foreign key, or a check that comes after the rows.
    constraint: Option<Constraint>,
    /// Of a policy for single roles.
    policy: Option<Policy>,
}

/// How far post-data is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PostProgress {
    /// Entries that are done.
    pub done: usize,
    /// Entries in all.
    pub all: usize,
}

impl PostData {
    /// Cuts the script.
    pub(super) async fn read(
        script: &str,
        grants: &str,
        checks: Vec<Check>,
        entries: &[Entry],
        source: &mut Session,
    ) -> Result<PostData> {
        let sizes: BTreeMap<u32, u64> = json(source, SIZES).await?;
        let mut constraints = constraints::read(source).await?;
        let mut policies = policies::read(source).await?;
        let fault = |what: &str| Error::local(source.side(), format!("pg_restore's script {what}"));
        let entry = |dump_id: u32| {
            let entry = entries.iter().find(|entry| entry.dump_id == dump_id);
            entry.ok_or_else(|| fault("holds an entry that its list does not"))
        };
        let cut = |script| cut(script).ok_or_else(|| fault("cannot be cut into its entries"));
        let (mut steps, mut nodes) = (Vec::new(), Vec::new());
        for part in cut(script)? {
            let entry = entry(part.dump_id)?;
            let lane = match entry.kind {
                EntryKind::Index => Lane::Index,
                EntryKind::Constraint => Lane::Key,
                _ => Lane::Serial,
            };
            let bytes = sizes.get(&entry.oid).copied().unwrap_or(0);
            nodes.push(Node { id: part.dump_id, needs: part.needs, lane, bytes });
            let constraint = match entry.kind {
                EntryKind::Rule => constraints.remove(&entry.oid),
                _ => None,
            };
            let (label, sql) = (entry.label.clone(), part.settings + &part.sql);
            let policy = match entry.kind {
                EntryKind::Policy => policies.remove(&entry.oid),
                _ => None,
            };
            steps.push(Step { label, sql, constraint, policy });
        }
        let grants = cut(grants)?
            .into_iter()
            .map(|part| Ok(Grants { label: entry(part.dump_id)?.label.clone(), sql: part.sql }))
            .collect::<Result<_>>()?;
        let path = SearchPath::read(source).await?;
        let application = super::APPLICATION.to_owned();
        Ok(PostData { waves: waves(&nodes), steps, checks, grants, path, application })
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.steps.len() + self.checks.len()
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Creates everything on the target, `parallel` indexes at a time. May be run again after a
    /// failure. Dropping the future closes the sessions; what they build is rolled back. Gives what is
    /// left to do: constraints that rows break, grants that could not be given.
    ///
    /// # Errors
    /// The first other entry that fails, by name.
    pub async fn restore(
        &self,
        target: &ConnectConfig,
        parallel: usize,
        progress: &(dyn Fn(PostProgress) + Send + Sync),
    ) -> Result<Vec<Task>> {
        let done = AtomicUsize::new(0);
        let count = || {
            let done = done.fetch_add(1, Ordering::Relaxed) + 1;
            progress(PostProgress { done, all: self.len() });
        };
        let mut tasks = Vec::new();
        let mut session = self.open(target).await?;
        for wave in &self.waves {
            let next = AtomicUsize::new(0);
            let builders = (0..parallel.clamp(1, wave.together.len().max(1))).map(|_| async {
                let mut session = None;
                while let Some(at) = wave.together.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let open = match &mut session {
                        Some(session) => session,
                        none => none.insert(self.open(target).await?),
                    };
                    self.steps[*at].run(open).await?;
                    count();
                }
                if let Some(session) = session {
                    session.close().await;
                }
                Ok::<(), Error>(())
            });
            all(builders).await?;
            for at in &wave.alone {
                tasks.extend(self.steps[*at].run(&mut session).await?);
                count();
            }
        }
        for check in &self.checks {
            tasks.extend(check.restore(&mut session).await?);
            count();
        }
        tasks.extend(grants::give(&mut session, &self.grants).await?);
        session.close().await;
        Ok(tasks)
    }

    pub(super) fn by(mut self, application: &str) -> PostData {
        application.clone_into(&mut self.application);
        self
    }

    async fn open(&self, target: &ConnectConfig) -> Result<Session> {
        let mut session = Session::connect(target, &self.application).await?;
        session.execute(SETTINGS).await?;
        session.look_in(&self.path).await?;
        Ok(session)
    }
}

/// What `pg_dump` sets at the head of its scripts, which its entries rely on; but for the path:
/// they name everything in full, while functions in indexes and checks may not.
pub(super) const SETTINGS: &str =
    "SET check_function_bodies = false; SET client_min_messages = warning";

/// Does once more what a task left undone, each for itself; none waits longer than this for a lock.
/// Gives those that are still left.
///
/// # Errors
/// If the connection breaks.
pub async fn try_again(
    target: &ConnectConfig,
    tasks: &[Task],
    lock_wait: Duration,
) -> Result<Vec<Task>> {
    let mut session = Session::connect(target, super::APPLICATION).await?;
    let path = SearchPath::read(&mut session).await?;
    session.look_in(&path).await?;
    // Who holds a lock for long is not waited for: the task stays.
    session.execute(&format!("SET lock_timeout = {}", lock_wait.as_millis())).await?;
    let mut left = Vec::new();
    for task in tasks {
        left.extend(constraints::try_again(&mut session, task.clone()).await?);
    }
    session.close().await;
    Ok(left)
}

impl Step {
    async fn run(&self, session: &mut Session) -> Result<Option<Task>> {
        let Err(e) = session.execute(&self.sql).await else { return Ok(None) };
        let there = e.sqlstate().is_some_and(|state| THERE.contains(&state));
        match &self.constraint {
            Some(constraint) if is_broken(&e) => {
                constraint.add_not_valid(session, &self.sql).await.map(Some)
            }
            Some(constraint) if there => constraint.look_again(session).await,
            _ if there => Ok(None),
            _ => {
                if let Some(policy) = &self.policy
                    && let Some(task) = policy.for_those_who_exist(session, &self.sql, &e).await?
                {
                    return Ok(Some(task));
                }
                Err(self.fault(e))
            }
        }
    }

    fn fault(&self, e: Error) -> Error {
        let what = format!("creating {}", self.label);
        match hint(&e) {
            Some(hint) => e.with_context(format!("{hint}: {what}")),
            None => e.with_context(what),
        }
    }
}

/// What mends it, where the source's own objects are at fault: the target has copies of them.
fn hint(e: &Error) -> Option<String> {
    let server = e.server_error()?;
    match server.sqlstate.as_str() {
        "42883" | "42P01" | "42704" | "3F000" => {
            // Names of functions; never a value.
            let within = server.context.as_deref().unwrap_or_default().lines().find(|line| {
                line.starts_with("SQL function ") || line.starts_with("PL/pgSQL function ")
            });
            Some(format!(
                "a function finds what it needs by the search_path of its caller{}; mend it on both \
                 sides (ALTER FUNCTION … SET search_path = …, on the source and on the target) and \
                 go on",
                within.map(|line| format!(" ({line})")).unwrap_or_default()
            ))
        }
        "23505" => Some(
            "rows of the source break it, which its own index there does not see: mend the rows on \
             the source (REINDEX shows them), then `changeover abort` and start again"
                .to_owned(),
        ),
        _ => None,
    }
}

/// The bytes of the table behind each index and constraint, by the object's OID.
const SIZES: &str = "SELECT coalesce(json_object_agg(o.oid::bigint::text, o.bytes), '{}')::text FROM (\
    SELECT i.indexrelid AS oid, coalesce(pg_catalog.pg_table_size(c.oid),0) AS bytes \
      FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid=i.indrelid \
      WHERE c.relkind='r' AND c.oid>=16384 \
    UNION ALL SELECT k.oid, coalesce(pg_catalog.pg_table_size(c.oid),0) \
      FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_class c ON c.oid=k.conrelid \
      WHERE k.contype IN ('p','u','x') AND c.relkind='r' AND c.oid>=16384) o";
