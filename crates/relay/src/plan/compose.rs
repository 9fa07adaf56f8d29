//! From a batch's work to commands: runs of inserts into one table become multi-row statements.

use std::sync::Arc;

use bytes::Bytes;
use changeover_types::{RelationId, TableName, TableShape};

use super::{PlanError, Planned, StatementKey, TablePlan, truncate_sql};
use crate::relay::Work;

/// One command to send, and which work it performs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// What to run.
    pub what: What,
    /// The place in the batch of the first work it performs.
    pub work: usize,
}

/// What to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A prepared statement of a table; it must touch exactly `rows` rows.
    Statement {
        /// The table.
        relation: RelationId,
        /// Which statement.
        key: StatementKey,
        /// Its parameters.
        params: Vec<Option<Bytes>>,
        /// The rows it must touch.
        rows: u64,
    },
    /// A truncation, as SQL.
    Truncate(String),
}

/// The plans of the tables a batch touches.
pub trait Plans {
    /// The plan of an announced table; the shell made it before.
    fn plan(&self, table: &Arc<TableShape>) -> Option<&TablePlan>;
    /// Whether the receiving table is a partitioned root.
    fn partitioned(&self, table: &Arc<TableShape>) -> Option<bool> {
        self.plan(table).map(|plan| plan.target.partitioned)
    }
}

/// Consecutive inserts into one table, not yet turned into commands.
#[derive(Default)]
struct Run {
    relation: Option<RelationId>,
    rows: usize,
    most: usize,
    params: Vec<Option<Bytes>>,
    first: usize,
}

/// Turns a batch's work into commands, in order.
///
/// # Errors
/// If a change cannot be turned into SQL, or a table has no plan.
pub fn compose(work: &[Work], plans: &impl Plans) -> Result<Vec<Command>, PlanError> {
    let mut out = Vec::with_capacity(work.len());
    let mut run = Run::default();
    let mut planned = Vec::new();
    for (place, one) in work.iter().enumerate() {
        match one {
            Work::Row { table, change } => {
                let plan = plans.plan(table).ok_or_else(|| no_plan(&table.name))?;
                plan.plan(change, &mut planned)?;
                for Planned { key, params } in planned.drain(..) {
                    match key {
                        StatementKey::Insert { .. } => {
                            run.add(table.id, plan.max_insert_rows(), params, place, &mut out);
                        }
                        key => {
                            run.flush(&mut out);
                            let relation = table.id;
                            let what = What::Statement { relation, key, params, rows: 1 };
                            out.push(Command { what, work: place });
                        }
                    }
                }
            }
            Work::Truncate { tables, restart_identity, .. } => {
                run.flush(&mut out);
                let named = |table: &Arc<TableShape>| {
                    let root = plans.partitioned(table).ok_or_else(|| no_plan(&table.name))?;
                    Ok((table.name.clone(), root))
                };
                let names = tables.iter().map(named).collect::<Result<Vec<_>, PlanError>>()?;
                let sql = truncate_sql(&names, *restart_identity);
                out.push(Command { what: What::Truncate(sql), work: place });
            }
        }
    }
    run.flush(&mut out);
    Ok(out)
}

fn no_plan(table: &TableName) -> PlanError {
    PlanError { table: table.clone(), fault: "the table was not looked up".to_owned() }
}

impl Run {
    fn add(
        &mut self,
        relation: RelationId,
        most: usize,
        params: Vec<Option<Bytes>>,
        place: usize,
        out: &mut Vec<Command>,
    ) {
        if self.relation != Some(relation) || self.rows >= self.most {
            self.flush(out);
            *self = Run { relation: Some(relation), rows: 1, most, params, first: place };
            return;
        }
        self.rows += 1;
        self.params.extend(params);
    }

    /// Statements of a power of two of rows each, so that a table needs only a few of them.
    fn flush(&mut self, out: &mut Vec<Command>) {
        let run = std::mem::take(self);
        let Some(relation) = run.relation else { return };
        let width = run.params.len() / run.rows.max(1);
        let (mut left, mut place) = (run.rows, run.first);
        let mut params = run.params.into_iter();
        while left > 0 {
            let rows = 1_usize << left.ilog2();
            let what = What::Statement {
                relation,
                key: StatementKey::Insert { rows: u16::try_from(rows).unwrap_or(u16::MAX) },
                params: params.by_ref().take(rows * width).collect(),
                rows: rows as u64,
            };
            out.push(Command { what, work: place });
            left -= rows;
            place += rows;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Equality, TargetColumn, TargetTable};
    use changeover_types::{Change, Column, ReplicaIdentity, Value};

    struct One(TablePlan);

    impl Plans for One {
        fn plan(&self, _: &Arc<TableShape>) -> Option<&TablePlan> {
            Some(&self.0)
        }
    }

    #[test]
    fn a_run_of_inserts_becomes_few_statements() {
        let name = TableName::new("public", "t");
        let column = Column { name: "id".to_owned(), type_oid: 23, type_modifier: -1, key: true };
        let table = Arc::new(TableShape {
            id: RelationId(1),
            name: name.clone(),
            identity: ReplicaIdentity::Default,
            columns: vec![column],
        });
        let target = TargetTable {
            name,
            partitioned: false,
            columns: vec![TargetColumn {
                name: "id".to_owned(),
                type_oid: 23,
                type_modifier: -1,
                type_sql: "integer".to_owned(),
                generated: false,
                identity_always: false,
                equality: Equality::Exact,
            }],
        };
        let plans = One(TablePlan::new(table.clone(), target).unwrap());
        let insert = |n: usize| Work::Row {
            table: table.clone(),
            change: Change::Insert {
                relation: RelationId(1),
                new: vec![Value::Text(Bytes::from(n.to_string()))],
            },
        };
        let work: Vec<Work> = (0..171).map(insert).collect();
        let commands = compose(&work, &plans).unwrap();
        let mut seen = Vec::new();
        let mut sizes = Vec::new();
        for command in commands {
            let What::Statement { params, rows, .. } = command.what else { panic!() };
            assert_eq!(command.work, seen.len());
            assert_eq!(params.len() as u64, rows);
            sizes.push(rows);
            seen.extend(params.into_iter().flatten());
        }
        assert_eq!(sizes, [64, 64, 32, 8, 2, 1]);
        let expected: Vec<Bytes> = (0..171).map(|n: usize| Bytes::from(n.to_string())).collect();
        assert_eq!(seen, expected);
    }
}
