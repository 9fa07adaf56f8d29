//! A constraint that existing rows break: the source holds such rows too, so the target gets it NOT
//! VALID, and a task that says how to find the rows and what validates it.

use std::collections::BTreeMap;

use changeover_types::{TableName, Task, TaskObject, quote_ident};
use serde::Deserialize;

use super::views::said;
use crate::catalog::{cell, json};
use crate::error::{Error, Result};
use crate::session::Session;

/// A foreign key or check of the source.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Constraint {
    pub(super) table: TableName,
    pub(super) name: String,
    /// Whether the source itself does not vouch for it.
    not_valid: bool,
    /// What it refers to; of a foreign key.
    refers_to: Option<TableName>,
    /// A query for the rows that break it.
    broken: String,
}

/// All constraints that may be broken by rows, by their OID on the source.
pub(super) async fn read(source: &mut Session) -> Result<BTreeMap<u32, Constraint>> {
    json(source, CONSTRAINTS).await
}

/// Whether the server says that rows break a foreign key or a check.
pub(super) fn is_broken(e: &Error) -> bool {
    matches!(e.sqlstate(), Some("23503" | "23514"))
}

impl Constraint {
    /// Adds it NOT VALID; `sql` is the entry's, which just failed because of rows.
    pub(super) async fn add_not_valid(&self, target: &mut Session, sql: &str) -> Result<Task> {
        let end = sql.rfind(';').unwrap_or(sql.len());
        let not_valid = format!("{} NOT VALID;", &sql[..end]);
        match target.execute(&not_valid).await {
            Ok(_) => Ok(self.task(target, true, self.validate()).await),
            // Before version 18, no foreign key of a partitioned table can be NOT VALID.
            Err(e) if matches!(e.sqlstate(), Some("42809" | "0A000")) => {
                let lines = sql.lines().filter(|line| !line.starts_with("--"));
                let statement = lines.collect::<Vec<_>>().join(" ");
                let statement = statement[statement.find("ALTER").unwrap_or(0)..].trim().to_owned();
                Ok(self.task(target, false, statement).await)
            }
            Err(e) => Err(e.with_context(format!("creating {} NOT VALID", self.name))),
        }
    }

    /// What is left to do for one that is on the target already, from a restore that broke off.
    pub(super) async fn look_again(&self, target: &mut Session) -> Result<Option<Task>> {
        if self.not_valid {
            return Ok(None);
        }
        match target.execute(&self.validate()).await {
            Ok(_) => Ok(None),
            Err(e) if is_broken(&e) => Ok(Some(self.task(target, true, self.validate()).await)),
            Err(e) => Err(e.with_context(format!("validating {} of {}", self.name, self.table))),
        }
    }

    fn validate(&self) -> String {
        let (table, name) = (self.table.quoted(), quote_ident(&self.name));
        format!("ALTER TABLE {table} VALIDATE CONSTRAINT {name}")
    }

    async fn task(&self, target: &mut Session, there: bool, statement: String) -> Task {
        let count = format!("SELECT pg_catalog.count(*)::text FROM ({}) broken", self.broken);
        // The number is a help: what cannot be counted is told without.
        let rows = match cell(target, &count).await {
            Ok(Some(count)) => format!("{count} rows"),
            Ok(None) | Err(_) => "rows".to_owned(),
        };
        let why = match &self.refers_to {
            Some(to) => format!("{rows} refer to what is not in {to}"),
            None => format!("{rows} break it"),
        };
        let (table, name) = (self.table.clone(), self.name.clone());
        Task {
            object: match there {
                true => TaskObject::NotValid { table, name },
                false => TaskObject::Constraint { table, name },
            },
            why: format!("{why}, on the source as well; mend them there"),
            statement,
            rows: Some(self.broken.clone()),
        }
    }
}

/// What a task left undone, once more. `None` if it is done now.
pub(super) async fn try_again(target: &mut Session, mut task: Task) -> Result<Option<Task>> {
    match target.execute(&task.statement).await {
        Ok(_) => Ok(None),
        Err(e) if e.sqlstate() == Some("42710") => Ok(None),
        Err(e) if target.is_usable() => {
            if !is_broken(&e) {
                task.why = said(&e);
            }
            Ok(Some(task))
        }
        Err(e) => Err(e),
    }
}

/// Foreign keys, and checks that are restored after the rows. The operators are the constraint's
/// own, by name and schema.
const CONSTRAINTS: &str = "SELECT coalesce(json_object_agg(k.oid::bigint::text, json_build_object(\
    'table', json_build_object('schema', n.nspname, 'name', c.relname), 'name', k.conname, \
    'not_valid', NOT k.convalidated, \
    'refers_to', CASE WHEN k.contype = 'f' THEN \
      json_build_object('schema', fn.nspname, 'name', f.relname) END, \
    'broken', CASE k.contype WHEN 'c' THEN format('SELECT * FROM %I.%I WHERE NOT (%s)', \
        n.nspname, c.relname, pg_catalog.pg_get_expr(k.conbin, k.conrelid)) \
      ELSE format('SELECT k.* FROM %s%I.%I k WHERE %s AND NOT EXISTS (SELECT FROM %s%I.%I p WHERE %s)', \
        CASE c.relkind WHEN 'r' THEN 'ONLY ' ELSE '' END, n.nspname, c.relname, x.given, \
        CASE f.relkind WHEN 'r' THEN 'ONLY ' ELSE '' END, fn.nspname, f.relname, x.equal) END)), \
  '{}')::text \
  FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_class c ON c.oid = k.conrelid \
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
  LEFT JOIN pg_catalog.pg_class f ON f.oid = k.confrelid \
  LEFT JOIN pg_catalog.pg_namespace fn ON fn.oid = f.relnamespace \
  LEFT JOIN LATERAL (SELECT \
      string_agg(format('k.%I IS NOT NULL', ka.attname), ' AND ' ORDER BY u.n) AS given, \
      string_agg(format('p.%I OPERATOR(%I.%s) k.%I', pa.attname, o.nspname, op.oprname, ka.attname), \
        ' AND ' ORDER BY u.n) AS equal \
    FROM unnest(k.conkey, k.confkey, k.conpfeqop) WITH ORDINALITY u(ours, theirs, op, n) \
    JOIN pg_catalog.pg_attribute ka ON ka.attrelid = k.conrelid AND ka.attnum = u.ours \
    JOIN pg_catalog.pg_attribute pa ON pa.attrelid = k.confrelid AND pa.attnum = u.theirs \
    JOIN pg_catalog.pg_operator op ON op.oid = u.op \
    JOIN pg_catalog.pg_namespace o ON o.oid = op.oprnamespace) x ON k.contype = 'f' \
  WHERE c.oid >= 16384 AND (k.contype = 'f' OR (k.contype = 'c' AND NOT k.convalidated))";
