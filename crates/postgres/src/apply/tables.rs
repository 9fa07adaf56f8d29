//! The receiving tables, and the statements prepared for them.

use std::collections::HashMap;
use std::sync::Arc;

use changeover_relay::Work;
use changeover_relay::plan::{Plans, StatementKey, TablePlan};
use changeover_types::{RelationId, Side, TableShape};

use super::receiving;
use crate::error::{Error, Result};
use crate::session::{Pipeline, Session};

/// Statements are forgotten all at once when there are this many.
const MOST_STATEMENTS: usize = 2_000;

/// One receiving table.
#[derive(Debug)]
struct Table {
    plan: TablePlan,
    statements: HashMap<StatementKey, String>,
    /// Whether it was asked how the server finds its rows.
    explained: bool,
}

/// The receiving tables that were met so far.
#[derive(Debug, Default)]
pub(super) struct Tables {
    tables: HashMap<RelationId, Table>,
    prepared: usize,
    next: u64,
}

impl Plans for Tables {
    fn plan(&self, table: &Arc<TableShape>) -> Option<&TablePlan> {
        self.tables.get(&table.id).map(|table| &table.plan)
    }
}

impl Tables {
    /// Makes sure that every table of `work` has a plan for the shape announced with it.
    pub(super) async fn look_up(
        &mut self,
        session: &mut Session,
        side: Side,
        work: &[Work],
    ) -> Result<()> {
        let mut last: Option<&Arc<TableShape>> = None;
        for work in work {
            let shapes = match work {
                Work::Row { table, .. } => std::slice::from_ref(table),
                Work::Truncate { tables, .. } => tables.as_slice(),
            };
            for shape in shapes {
                if last.is_some_and(|last| Arc::ptr_eq(last, shape)) {
                    continue;
                }
                last = Some(shape);
                let known = self.tables.get(&shape.id);
                if known.is_some_and(|known| Arc::ptr_eq(known.plan.shape(), shape)) {
                    continue;
                }
                let target = receiving::read(session, side, &shape.name).await?;
                let plan = TablePlan::new(shape.clone(), target).map_err(|difference| {
                    Error::divergence(
                        side,
                        format!(
                            "{difference}. Its definition changed while the migration runs: \
                             make both sides alike, then continue"
                        ),
                    )
                })?;
                let table = Table { plan, statements: HashMap::new(), explained: false };
                self.tables.insert(shape.id, table);
            }
        }
        Ok(())
    }

    /// The statement that finds the row of `work`, the first time that one of its table's is to
    /// be found; and how many parameters it has.
    pub(super) fn unexplained(&mut self, work: &Work) -> Option<(String, usize)> {
        let Work::Row { table, change } = work else { return None };
        let table = self.tables.get_mut(&table.id).filter(|table| !table.explained)?;
        let mut planned = Vec::new();
        table.plan.plan(change, &mut planned).ok()?;
        let found = planned.iter().find(|p| !matches!(p.key, StatementKey::Insert { .. }))?;
        table.explained = true;
        Some((table.plan.sql(&found.key), found.params.len()))
    }

    /// The name of a statement, queued for preparation if it is new.
    pub(super) fn statement(
        &mut self,
        relation: RelationId,
        key: &StatementKey,
        pipeline: &mut Pipeline,
    ) -> Option<String> {
        if let Some(name) = self.tables.get(&relation)?.statements.get(key) {
            return Some(name.clone());
        }
        if self.prepared >= MOST_STATEMENTS {
            self.forget(pipeline);
        }
        let table = self.tables.get_mut(&relation)?;
        let name = format!("changeover_{}", self.next);
        self.next += 1;
        self.prepared += 1;
        pipeline.prepare(&name, &table.plan.sql(key), &[]);
        table.statements.insert(key.clone(), name.clone());
        Some(name)
    }

    fn forget(&mut self, pipeline: &mut Pipeline) {
        for table in self.tables.values_mut() {
            for (_, name) in table.statements.drain() {
                pipeline.close(&name);
            }
        }
        self.prepared = 0;
    }
}
