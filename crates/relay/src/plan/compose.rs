//! From a batch's work to commands: inserts into one table become multi-row statements.
//!
//! What is kept is the order within each table, and around a truncation; not the order of changes
//! to different tables. The batch becomes visible as one, and within it a change depends only on
//! others of its table: foreign keys and ordinary triggers do not fire for the applier. (Triggers
//! that do, ENABLE REPLICA or ALWAYS, are named by the preflight.)

use std::collections::BTreeMap;
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

/// Inserts into one table that nothing else has come between, not yet turned into commands.
#[derive(Default)]
struct Run {
    params: Vec<Option<Bytes>>,
    /// For each row the place of its work.
    places: Vec<usize>,
}

/// Turns a batch's work into commands, in order.
///
/// # Errors
/// If a change cannot be turned into SQL, or a table has no plan.
pub fn compose(work: &[Work], plans: &impl Plans) -> Result<Vec<Command>, PlanError> {
    let mut out = Vec::with_capacity(work.len());
    let mut runs: BTreeMap<RelationId, Run> = BTreeMap::new();
    let mut planned = Vec::new();
    for (place, one) in work.iter().enumerate() {
        match one {
            Work::Row { table, change } => {
                let plan = plans.plan(table).ok_or_else(|| no_plan(&table.name))?;
                plan.plan(change, &mut planned)?;
                for Planned { key, params } in planned.drain(..) {
                    match key {
                        StatementKey::Insert { .. } => {
                            let run = runs.entry(table.id).or_default();
                            run.params.extend(params);
                            run.places.push(place);
                            if run.places.len() >= plan.max_insert_rows() {
                                run.flush(table.id, &mut out);
                            }
                        }
                        key => {
                            if let Some(run) = runs.get_mut(&table.id) {
                                run.flush(table.id, &mut out);
                            }
                            let relation = table.id;
                            let what = What::Statement { relation, key, params, rows: 1 };
                            out.push(Command { what, work: place });
                        }
                    }
                }
            }
            Work::Truncate { tables, restart_identity, .. } => {
                runs.iter_mut().for_each(|(id, run)| run.flush(*id, &mut out));
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
    runs.iter_mut().for_each(|(id, run)| run.flush(*id, &mut out));
    Ok(out)
}

fn no_plan(table: &TableName) -> PlanError {
    PlanError { table: table.clone(), fault: "the table was not looked up".to_owned() }
}

impl Run {
    /// Statements of a power of two of rows each, so that a table needs only a few of them.
    fn flush(&mut self, relation: RelationId, out: &mut Vec<Command>) {
        let Run { params, places } = std::mem::take(self);
        let width = params.len() / places.len().max(1);
        let mut params = params.into_iter();
        let mut places = places.as_slice();
        while let Some(&work) = places.first() {
            let rows = 1_usize << places.len().ilog2();
            let what = What::Statement {
                relation,
                key: StatementKey::Insert { rows: u16::try_from(rows).unwrap_or(u16::MAX) },
                params: params.by_ref().take(rows * width).collect(),
                rows: rows as u64,
            };
            out.push(Command { what, work });
            places = &places[rows..];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Equality, TargetColumn, TargetTable};
    use changeover_types::{Change, Column, OldRow, ReplicaIdentity, Value};

    struct These(Vec<TablePlan>);

    impl Plans for These {
        fn plan(&self, table: &Arc<TableShape>) -> Option<&TablePlan> {
            self.0.iter().find(|plan| plan.shape().id == table.id)
        }
    }

    /// A table `t<id>` with one integer column, its key.
    fn table(id: u32) -> (Arc<TableShape>, TablePlan) {
        let name = TableName::new("public", format!("t{id}"));
        let column = Column { name: "id".to_owned(), type_oid: 23, type_modifier: -1, key: true };
        let shape = Arc::new(TableShape {
            id: RelationId(id),
            name: name.clone(),
            identity: ReplicaIdentity::Default,
            columns: vec![column],
        });
        let column = TargetColumn {
            name: "id".to_owned(),
            type_oid: 23,
            type_modifier: -1,
            type_sql: "integer".to_owned(),
            generated: false,
            identity_always: false,
            base_sql: None,
            equality: Equality::default(),
        };
        let target = TargetTable { name, partitioned: false, columns: vec![column] };
        (shape.clone(), TablePlan::new(shape, target).unwrap())
    }

    fn row(n: usize) -> Vec<Value> {
        vec![Value::Text(Bytes::from(n.to_string()))]
    }

    fn insert(table: &Arc<TableShape>, n: usize) -> Work {
        let change = Change::Insert { relation: table.id, new: row(n) };
        Work::Row { table: table.clone(), change }
    }

    fn delete(table: &Arc<TableShape>, n: usize) -> Work {
        let change = Change::Delete { relation: table.id, old: OldRow::Key(row(n)) };
        Work::Row { table: table.clone(), change }
    }

    #[test]
    fn a_run_of_inserts_becomes_few_statements() {
        let (shape, plan) = table(1);
        let plans = These(vec![plan]);
        let work: Vec<Work> = (0..171).map(|n| insert(&shape, n)).collect();
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

    #[test]
    fn a_run_goes_on_past_other_tables_but_not_past_its_own() {
        let (one, plan_one) = table(1);
        let (two, plan_two) = table(2);
        let plans = These(vec![plan_one, plan_two]);
        let truncate =
            Work::Truncate { tables: vec![two.clone()], cascade: false, restart_identity: false };
        let work = [
            insert(&one, 0),
            delete(&two, 1),
            insert(&one, 2),
            insert(&two, 3),
            delete(&one, 4),
            insert(&one, 5),
            truncate,
            insert(&two, 7),
            insert(&one, 8),
        ];
        let commands = compose(&work, &plans).unwrap();
        let shown: Vec<(u32, u64, usize)> = commands
            .iter()
            .map(|command| match &command.what {
                What::Statement { relation, rows, .. } => (relation.0, *rows, command.work),
                What::Truncate(_) => (0, 0, command.work),
            })
            .collect();
        assert_eq!(
            shown,
            [
                (2, 1, 1), // the deletion from two
                (1, 2, 0), // both insertions into one, before its deletion
                (1, 1, 4),
                (1, 1, 5), // everything before the truncation
                (2, 1, 3),
                (0, 0, 6),
                (1, 1, 8),
                (2, 1, 7),
            ]
        );
    }
}
