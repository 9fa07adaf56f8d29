//! The receiving tables, and the statements prepared for them.

use std::collections::HashMap;
use std::sync::Arc;

use changeover_relay::Work;
use changeover_relay::plan::{Equality, Plans, StatementKey, TablePlan, TargetColumn, TargetTable};
use changeover_types::{RelationId, Side, TableName, TableShape, quote_literal};

use crate::error::{Error, Result};
use crate::session::{Pipeline, Session};

/// Statements are forgotten all at once when there are this many.
const MOST_STATEMENTS: usize = 2_000;

/// One receiving table.
#[derive(Debug)]
struct Table {
    plan: TablePlan,
    statements: HashMap<StatementKey, String>,
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
                let target = read(session, side, &shape.name).await?;
                let plan = TablePlan::new(shape.clone(), target).map_err(|difference| {
                    Error::divergence(
                        side,
                        format!(
                            "{difference}. Its definition changed while the migration runs: \
                             make both sides alike, then continue"
                        ),
                    )
                })?;
                self.tables.insert(shape.id, Table { plan, statements: HashMap::new() });
            }
        }
        Ok(())
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

/// Types whose `=` is true for identical values only.
const EXACT: &str = "16,17,18,19,20,21,23,25,26,28,29,27,650,774,829,869,1043,1082,1083,1114,\
    1184,1560,1562,2950,3220,5069";

async fn read(session: &mut Session, side: Side, name: &TableName) -> Result<TargetTable> {
    // What is not known to compare well is compared by text, which is never wrong.
    let sql = format!(
        "SELECT c.relkind = 'p', a.attname, a.atttypid, a.atttypmod, \
           pg_catalog.format_type(a.atttypid, -1), a.attgenerated <> '', a.attidentity = 'a', \
           CASE WHEN coalesce(NOT l.collisdeterministic, false) THEN 'loose' \
             WHEN a.atttypid IN ({EXACT}) OR t.typtype = 'e' THEN 'exact' \
             WHEN t.typtype IN ('b', 'd') AND EXISTS (SELECT FROM pg_catalog.pg_opclass o \
               JOIN pg_catalog.pg_am m ON m.oid = o.opcmethod WHERE o.opcdefault \
               AND m.amname = 'btree' AND o.opcintype = \
                 CASE WHEN t.typtype = 'd' THEN t.typbasetype WHEN t.typcategory = 'A' \
                   THEN t.typelem ELSE t.oid END) THEN 'loose' \
             ELSE 'none' END \
         FROM pg_catalog.pg_class c \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         LEFT JOIN pg_catalog.pg_attribute a \
           ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
         LEFT JOIN pg_catalog.pg_type t ON t.oid = a.atttypid \
         LEFT JOIN pg_catalog.pg_collation l ON l.oid = a.attcollation \
         WHERE n.nspname = {} AND c.relname = {} AND c.relkind IN ('r', 'p') ORDER BY a.attnum",
        quote_literal(&name.schema),
        quote_literal(&name.name),
    );
    let rows = session.query(&sql).await?;
    let Some(first) = rows.first() else {
        return Err(Error::divergence(
            side,
            format!("the table {name} changed on the sending side and does not exist here"),
        ));
    };
    let partitioned = first.text(0)? == "t";
    let mut columns = Vec::with_capacity(rows.len());
    for row in &rows {
        let Some(column) = row.get(1) else { continue };
        columns.push(TargetColumn {
            name: column.to_owned(),
            type_oid: row.parse(2)?,
            type_modifier: row.parse(3)?,
            type_sql: row.text(4)?.to_owned(),
            generated: row.text(5)? == "t",
            identity_always: row.text(6)? == "t",
            equality: match row.text(7)? {
                "exact" => Equality::Exact,
                "loose" => Equality::Loose,
                _ => Equality::None,
            },
        });
    }
    Ok(TargetTable { name: name.clone(), partitioned, columns })
}
