//! Checks that call functions of the application's own, which may read other tables. Rows come in
//! any order and several tables at a time, so these checks are taken away before the rows and come
//! back after them, validated then.
//!
//! `pg_dump` writes a check into the statement that creates its table or domain, where it cannot be
//! left out.

use changeover_types::{TableName, Task, TaskObject, quote_ident, quote_literal};
use serde::Deserialize;

use super::keeps;
use super::views::said;
use crate::catalog::{Catalog, Selection, cell, json};
use crate::error::Result;
use crate::session::Session;

/// A check of a table or a domain that is valid on the source.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Check {
    /// Whether it is of a domain.
    domain: bool,
    /// Its table or domain.
    of: TableName,
    name: String,
    /// `CHECK (…)`, every name in full.
    definition: String,
    comment: Option<String>,
    /// What it asks of a row of its table.
    expression: Option<String>,
}

/// The checks that come after the rows. Those that a parent gives its children come before those
/// that a child has of its own as well.
pub(super) async fn read(
    source: &mut Session,
    selection: &Selection,
    catalog: &Catalog,
) -> Result<Vec<Check>> {
    let mut checks: Vec<Check> = json(source, CHECKS).await?;
    checks.retain(|check| match check.domain {
        true => keeps(selection, &check.of.schema),
        false => catalog.table(&check.of).is_some(),
    });
    Ok(checks)
}

/// Takes the checks that come after the rows away from a target that has the schema and no rows
/// yet. May be done again.
///
/// # Errors
/// If the source cannot be asked, or the target refuses.
pub async fn set_checks_aside(
    source: &mut Session,
    target: &mut Session,
    selection: &Selection,
    catalog: &Catalog,
) -> Result<()> {
    for check in read(source, selection, catalog).await? {
        let sql = format!("{} DROP CONSTRAINT IF EXISTS {}", check.alter(), check.quoted());
        let done = target.execute(&sql).await;
        done.map_err(|e| e.with_context(format!("setting {} aside", check.label())))?;
    }
    Ok(())
}

impl Check {
    /// Adds it, and validates it against the rows that came. May be done again. What cannot be
    /// validated is left NOT VALID, and is a task.
    pub(super) async fn restore(&self, target: &mut Session) -> Result<Option<Task>> {
        let add = format!(
            "{} ADD CONSTRAINT {} {} NOT VALID",
            self.alter(),
            self.quoted(),
            self.definition
        );
        match target.execute(&add).await {
            Ok(_) => {}
            Err(e) if e.sqlstate() == Some("42710") => {}
            Err(e) => return Err(e.with_context(format!("creating {}", self.label()))),
        }
        if let Some(comment) = &self.comment {
            let on = if self.domain { "DOMAIN " } else { "" };
            let (name, of, comment) = (self.quoted(), self.of.quoted(), quote_literal(comment));
            let sql = format!("COMMENT ON CONSTRAINT {name} ON {on}{of} IS {comment}");
            target.execute(&sql).await?;
        }
        let validate = format!("{} VALIDATE CONSTRAINT {}", self.alter(), self.quoted());
        match target.execute(&validate).await {
            Ok(_) => Ok(None),
            Err(e) if target.is_usable() => {
                let why = match (e.sqlstate(), &self.rows()) {
                    (Some("23514"), Some(rows)) => {
                        let count =
                            format!("SELECT pg_catalog.count(*)::text FROM ({rows}) broken");
                        // The number is a help: what cannot be counted is told without.
                        let count = cell(target, &count).await.ok().flatten();
                        let rows = count.map_or("rows".to_owned(), |count| format!("{count} rows"));
                        format!("{rows} break it, on the source as well; mend them there")
                    }
                    (Some("23514"), None) => {
                        "rows break it, on the source as well; mend them there".to_owned()
                    }
                    _ => said(&e),
                };
                Ok(Some(Task {
                    object: TaskObject::NotValid {
                        table: self.of.clone(),
                        name: self.name.clone(),
                    },
                    why,
                    statement: validate,
                    rows: self.rows(),
                }))
            }
            Err(e) => Err(e.with_context(format!("validating {}", self.label()))),
        }
    }

    fn rows(&self) -> Option<String> {
        let expression = self.expression.as_ref()?;
        Some(format!("SELECT * FROM {} WHERE NOT ({expression})", self.of.quoted()))
    }

    fn alter(&self) -> String {
        let kind = if self.domain { "DOMAIN" } else { "TABLE" };
        format!("ALTER {kind} {}", self.of.quoted())
    }

    fn quoted(&self) -> String {
        quote_ident(&self.name)
    }

    fn label(&self) -> String {
        format!("the check {} of {}", self.name, self.of)
    }
}

/// Valid checks whose expression calls a function that is written in SQL or a language above it, by
/// itself or as an operator's. What a server's or an extension's own code does is known to the
/// server; and many tables have a check of PostGIS, which would read them once more.
const CHECKS: &str = "WITH RECURSIVE calls AS (\
    SELECT d.objid AS oid FROM pg_catalog.pg_depend d \
      LEFT JOIN pg_catalog.pg_operator o ON d.refclassid = 2617 AND o.oid = d.refobjid \
      JOIN pg_catalog.pg_proc p ON p.oid = CASE d.refclassid WHEN 1255 THEN d.refobjid \
        ELSE o.oprcode END \
      JOIN pg_catalog.pg_language l ON l.oid = p.prolang \
      WHERE d.classid = 2606 AND d.refclassid IN (1255, 2617) \
        AND l.lanname NOT IN ('internal', 'c')), \
  depth(oid, n) AS (\
    SELECT c.oid, 0 FROM pg_catalog.pg_class c WHERE c.relkind IN ('r', 'p') \
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_inherits i WHERE i.inhrelid = c.oid) \
    UNION SELECT i.inhrelid, d.n + 1 FROM depth d \
      JOIN pg_catalog.pg_inherits i ON i.inhparent = d.oid) \
  SELECT coalesce(json_agg(json_build_object(\
      'domain', k.contypid <> 0, \
      'of', json_build_object('schema', n.nspname, 'name', coalesce(c.relname, t.typname)), \
      'name', k.conname, 'definition', pg_catalog.pg_get_constraintdef(k.oid), \
      'comment', pg_catalog.obj_description(k.oid, 'pg_constraint'), \
      'expression', CASE WHEN k.contypid = 0 THEN \
        pg_catalog.pg_get_expr(k.conbin, k.conrelid) END) \
    ORDER BY (SELECT max(d.n) FROM depth d WHERE d.oid = c.oid), k.oid), '[]')::text \
  FROM pg_catalog.pg_constraint k \
  LEFT JOIN pg_catalog.pg_class c ON c.oid = k.conrelid AND c.relkind IN ('r', 'p') \
  LEFT JOIN pg_catalog.pg_type t ON t.oid = k.contypid AND k.contypid <> 0 \
  JOIN pg_catalog.pg_namespace n ON n.oid = coalesce(c.relnamespace, t.typnamespace) \
  WHERE k.contype = 'c' AND k.convalidated AND k.conislocal AND k.oid IN (SELECT oid FROM calls) \
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend e WHERE e.deptype = 'e' \
      AND e.classid = CASE WHEN k.contypid = 0 THEN 1259::oid ELSE 1247::oid END \
      AND e.objid = coalesce(c.oid, t.oid))";
