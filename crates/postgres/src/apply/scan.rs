//! Whether the server finds one row by an index or by reading all of them.

use changeover_types::{TableName, quote_literal};
use serde_json::Value;

use crate::catalog::cell;
use crate::error::{Error, Result};
use crate::session::Session;

/// A table of fewer rows than this may be read for each change.
const FEW: i64 = 1_000;

/// A table that is read as a whole for each change of one of its rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scan {
    /// The table.
    pub table: TableName,
    /// Its rows, as the planner last knew.
    pub rows: u64,
}

/// Asks for the generic plan of the statement, which the applier's session always takes.
pub(super) async fn explain(
    session: &mut Session,
    table: &TableName,
    sql: &str,
    parameters: usize,
) -> Result<Option<Scan>> {
    let nulls = vec!["NULL"; parameters].join(", ");
    let arguments = if parameters == 0 { String::new() } else { format!("({nulls})") };
    let doing = |error: Error| error.with_context(format!("asking how a row of {table} is found"));
    session.execute(&format!("PREPARE changeover_explain AS {sql}")).await.map_err(doing)?;
    let plan = format!("EXPLAIN (FORMAT JSON) EXECUTE changeover_explain{arguments}");
    let plan = cell(session, &plan).await.map_err(doing)?.unwrap_or_default();
    session.execute("DEALLOCATE changeover_explain").await.map_err(doing)?;
    // A plan in a form that is not known says nothing.
    if !serde_json::from_str(&plan).is_ok_and(|plan: Value| reads_all(&plan)) {
        return Ok(None);
    }
    let rows = format!(
        "SELECT reltuples::int8 FROM pg_catalog.pg_class WHERE oid = {}::pg_catalog.regclass",
        quote_literal(&table.quoted())
    );
    let rows = cell(session, &rows).await.map_err(doing)?.and_then(|rows| rows.parse().ok());
    let rows = rows.filter(|rows: &i64| *rows >= FEW);
    Ok(rows.map(|rows| Scan { table: table.clone(), rows: rows.unsigned_abs() }))
}

/// Whether a node of the plan reads a table or an index from end to end.
fn reads_all(plan: &Value) -> bool {
    match plan {
        Value::Array(nodes) => nodes.iter().any(reads_all),
        Value::Object(node) => {
            let whole = match node.get("Node Type").and_then(Value::as_str) {
                Some("Seq Scan") => true,
                Some("Index Scan" | "Index Only Scan" | "Bitmap Index Scan") => {
                    !node.contains_key("Index Cond")
                }
                _ => false,
            };
            whole || node.values().any(reads_all)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_condition_on_an_index_reads_all() {
        let plan = |inner: &str| {
            let text = format!(
                r#"[{{"Plan": {{"Node Type": "ModifyTable", "Plans": [
                    {{"Node Type": "Tid Scan", "TID Cond": "(ctid = $1)"}}, {inner}]}}}}]"#
            );
            serde_json::from_str::<Value>(&text).unwrap()
        };
        assert!(reads_all(&plan(r#"{"Node Type": "Seq Scan", "Filter": "(a = $1)"}"#)));
        assert!(reads_all(&plan(r#"{"Node Type": "Index Only Scan", "Filter": "(a = $1)"}"#)));
        assert!(!reads_all(&plan(r#"{"Node Type": "Index Scan", "Index Cond": "(a = $1)"}"#)));
    }
}
