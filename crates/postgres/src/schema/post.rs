//! Post-data: its entries in an order that works, and running them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::order::{Lane, Node, Wave, waves};
use super::script::cut;
use super::toc::{Entry, EntryKind};
use crate::catalog::json;
use crate::config::ConnectConfig;
use crate::copy::all;
use crate::error::{Error, Result};
use crate::session::Session;

/// Already there: a table (an index is one), an object, a second primary key, a function.
const THERE: [&str; 4] = ["42P07", "42710", "42P16", "42723"];

/// Everything that is created after the rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostData {
    steps: Vec<Step>,
    /// In which order, by place among the steps.
    waves: Vec<Wave>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Step {
    label: String,
    sql: String,
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
        entries: &[Entry],
        source: &mut Session,
    ) -> Result<PostData> {
        let sizes: BTreeMap<u32, u64> = json(source, SIZES).await?;
        let fault = |what: &str| Error::local(source.side(), format!("pg_restore's script {what}"));
        let (mut steps, mut nodes) = (Vec::new(), Vec::new());
        for part in cut(script).ok_or_else(|| fault("cannot be cut into its entries"))? {
            let entry = entries
                .iter()
                .find(|entry| entry.dump_id == part.dump_id)
                .ok_or_else(|| fault("holds an entry that its list does not"))?;
            let lane = match entry.kind {
                EntryKind::Index => Lane::Index,
                EntryKind::Constraint => Lane::Key,
                EntryKind::Grants => Lane::Last,
                _ => Lane::Serial,
            };
            let bytes = sizes.get(&entry.oid).copied().unwrap_or(0);
            nodes.push(Node { id: part.dump_id, needs: part.needs, lane, bytes });
            steps.push(Step { label: entry.label.clone(), sql: part.settings + &part.sql });
        }
        Ok(PostData { waves: waves(&nodes), steps })
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.steps.len()
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Creates everything on the target, `parallel` indexes at a time. May be run again after a
    /// failure. Dropping the future closes the sessions; what they build is rolled back.
    ///
    /// # Errors
    /// The first entry that fails, by name.
    pub async fn restore(
        &self,
        target: &ConnectConfig,
        parallel: usize,
        progress: &(dyn Fn(PostProgress) + Send + Sync),
    ) -> Result<()> {
        let done = AtomicUsize::new(0);
        let count = || {
            let done = done.fetch_add(1, Ordering::Relaxed) + 1;
            progress(PostProgress { done, all: self.len() });
        };
        let mut session = open(target).await?;
        for wave in &self.waves {
            let next = AtomicUsize::new(0);
            let builders = (0..parallel.clamp(1, wave.together.len().max(1))).map(|_| async {
                let mut session = None;
                while let Some(at) = wave.together.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let open = match &mut session {
                        Some(session) => session,
                        none => none.insert(open(target).await?),
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
                self.steps[*at].run(&mut session).await?;
                count();
            }
        }
        session.close().await;
        Ok(())
    }
}

/// What `pg_dump` sets at the head of its scripts, which its entries rely on.
async fn open(target: &ConnectConfig) -> Result<Session> {
    let mut session = Session::connect(target, "changeover schema").await?;
    session
        .execute(
            "SET search_path = ''; SET check_function_bodies = false; SET xmloption = content; \
             SET client_min_messages = warning; SET row_security = off",
        )
        .await?;
    Ok(session)
}

impl Step {
    async fn run(&self, session: &mut Session) -> Result<()> {
        match session.execute(&self.sql).await {
            Ok(_) => Ok(()),
            Err(e) if e.sqlstate().is_some_and(|state| THERE.contains(&state)) => Ok(()),
            Err(e) => Err(e.with_context(format!("creating {}", self.label))),
        }
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
