//! The statements of one table without a change to write: for whoever wants to know whether they
//! would work.

use std::sync::Arc;

use bytes::Bytes;
use changeover_relay::plan::TablePlan;
use changeover_types::{
    Change, Column, OldRow, RelationId, ReplicaIdentity, Side, TableShape, Tuple, Value,
};

use super::receiving;
use crate::catalog::{Identity, Table};
use crate::error::{Error, Result};
use crate::session::Session;

/// One statement of the relay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Written {
    /// `INSERT`, `UPDATE` or `DELETE`.
    pub(crate) verb: &'static str,
    /// Its text.
    pub(crate) sql: String,
    /// How many parameters it has.
    pub(crate) parameters: usize,
}

/// What the relay writes a row of `table` with on this side, of every column.
///
/// # Errors
/// If the table is not there, or the session fails.
pub(crate) async fn statements(
    session: &mut Session,
    side: Side,
    table: &Table,
) -> Result<Vec<Written>> {
    let receiving = receiving::read(session, side, &table.name).await?;
    let (identity, key) = match table.identity() {
        Identity::Key(columns) => (ReplicaIdentity::Default, columns),
        Identity::Full => (ReplicaIdentity::Full, Vec::new()),
        Identity::Missing(_) => (ReplicaIdentity::Nothing, Vec::new()),
    };
    let written = receiving.columns.iter().filter(|column| !column.generated);
    let columns = written.map(|column| Column {
        name: column.name.clone(),
        type_oid: column.type_oid,
        type_modifier: column.type_modifier,
        key: key.contains(&column.name),
    });
    let id = RelationId(table.oid);
    let shape = TableShape { id, name: table.name.clone(), identity, columns: columns.collect() };
    let fault = |what: String| Error::local(side, what);
    let row: Tuple = vec![Value::Text(Bytes::new()); shape.columns.len()];
    let plan = TablePlan::new(Arc::new(shape), receiving).map_err(|e| fault(e.to_string()))?;
    let old = || match identity {
        ReplicaIdentity::Full => OldRow::Full(row.clone()),
        _ => OldRow::Key(row.clone()),
    };
    let insert = Change::Insert { relation: id, new: row.clone() };
    let update = Change::Update { relation: id, old: Some(old()), new: row.clone() };
    let delete = Change::Delete { relation: id, old: old() };
    let mut changes = vec![("INSERT", insert)];
    if identity != ReplicaIdentity::Nothing && !row.is_empty() {
        changes.extend([("UPDATE", update), ("DELETE", delete)]);
    }
    let mut statements = Vec::new();
    for (verb, change) in changes {
        let mut planned = Vec::new();
        plan.plan(&change, &mut planned).map_err(|e| fault(e.to_string()))?;
        statements.extend(planned.into_iter().map(|it| Written {
            verb,
            sql: plan.sql(&it.key),
            parameters: it.params.len(),
        }));
    }
    Ok(statements)
}
