//! Post-data: cutting the script into its entries, and running them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::toc::{Entry, EntryKind};
use crate::catalog::json;
use crate::config::ConnectConfig;
use crate::copy::all;
use crate::error::{Error, Result};
use crate::session::Session;

/// What leads each entry in the output of `pg_restore --verbose`.
const LEAD: &str = "-- TOC entry ";

/// Already there: a table (an index is one), an object, a second primary key.
const THERE: [&str; 3] = ["42P07", "42710", "42P16"];

/// Everything that is created after the rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostData {
    /// Indexes and keys, those of the biggest table first.
    indexes: Vec<Step>,
    /// The rest, in order.
    rest: Vec<Step>,
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
        let mut indexes = Vec::new();
        let mut rest = Vec::new();
        for (dump_id, sql) in cut(script).ok_or_else(|| fault("cannot be cut into its entries"))? {
            let entry = entries
                .iter()
                .find(|entry| entry.dump_id == dump_id)
                .ok_or_else(|| fault("holds an entry that its list does not"))?;
            let step = Step { label: entry.label.clone(), sql };
            match entry.kind {
                EntryKind::Index | EntryKind::Constraint => {
                    let size = sizes.get(&entry.oid).copied().unwrap_or(0);
                    // Plain indexes of a table first: they can be built side by side.
                    indexes.push((std::cmp::Reverse(size), entry.kind, step));
                }
                _ => rest.push(step),
            }
        }
        indexes.sort_by_key(|(size, kind, _)| (*size, *kind));
        Ok(PostData { indexes: indexes.into_iter().map(|(_, _, step)| step).collect(), rest })
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.indexes.len() + self.rest.len()
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
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
        let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let count = || {
            let done = done.fetch_add(1, Ordering::Relaxed) + 1;
            progress(PostProgress { done, all: self.len() });
        };
        let builders = (0..parallel.clamp(1, self.indexes.len().max(1))).map(|_| async {
            let mut session = open(target).await?;
            while let Some(step) = self.indexes.get(next.fetch_add(1, Ordering::Relaxed)) {
                step.run(&mut session).await?;
                count();
            }
            session.close().await;
            Ok::<(), Error>(())
        });
        all(builders).await?;
        let mut session = open(target).await?;
        for step in &self.rest {
            step.run(&mut session).await?;
            count();
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

/// `(dump id, SQL)` for each entry of a verbose script; `None` if it is not one.
fn cut(script: &str) -> Option<Vec<(u32, String)>> {
    let mut steps: Vec<(u32, String)> = Vec::new();
    for line in script.split_inclusive('\n') {
        if let Some(rest) = line.strip_prefix(LEAD) {
            let (id, class) = rest.split_once(' ')?;
            if !class.starts_with("(class ") {
                return None;
            }
            steps.push((id.parse().ok()?, String::new()));
        } else if let Some((_, sql)) = steps.last_mut() {
            sql.push_str(line);
        }
    }
    // Newer versions guard a script for psql with a command of its own at the very end.
    if let Some((_, sql)) = steps.last_mut()
        && let Some(at) = sql.rfind("\n\\unrestrict ")
    {
        sql.truncate(at);
    }
    let mut ids: Vec<u32> = steps.iter().map(|(id, _)| *id).collect();
    ids.sort_unstable();
    ids.dedup();
    (ids.len() == steps.len()).then_some(steps)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_cut_at_its_entries() {
        let script = "--\n-- head\n--\n\n\\restrict abc\n\nSET x = y;\n\
            --\n-- TOC entry 12 (class 1259 OID 5)\n-- Name: i; Type: INDEX\n--\n\nCREATE INDEX i;\n\n\n\
            --\n-- TOC entry 13 (class 2606 OID 6)\n-- Name: c\n--\n\nALTER TABLE c;\n\n\\unrestrict abc\n";
        let steps = cut(script).unwrap();
        assert_eq!(steps.len(), 2);
        assert!(steps[0].1.contains("CREATE INDEX i;") && !steps[0].1.contains("SET x"));
        assert!(steps[1].1.contains("ALTER TABLE c;") && !steps[1].1.contains('\\'));
        assert_eq!(cut("-- TOC entry x\n"), None);
        assert_eq!(cut("-- TOC entry 1 (class 1 OID 1)\n-- TOC entry 1 (class 1 OID 1)\n"), None);
    }
}
