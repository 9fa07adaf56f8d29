//! Materialised views: filled as they are on the source, each after those that it reads.

use std::collections::BTreeSet;

use changeover_types::{TableName, Task, TaskObject, quote_literal};
use serde::Deserialize;

use crate::catalog::{Catalog, json};
use crate::error::{Error, Result};
use crate::session::Session;

/// A materialised view, as the source has it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct View {
    name: TableName,
    populated: bool,
    /// The materialised views that it reads, also through views and functions.
    reads: BTreeSet<TableName>,
    /// What its owner's sessions in this database search, as a list.
    search_path: String,
}

/// Refreshes the materialised views that have rows on the source and none on the target. What
/// cannot be refreshed is a task: no row of a table depends on it.
///
/// # Errors
/// If the source cannot be asked, or a connection breaks.
pub async fn refresh_views(
    source: &mut Session,
    target: &mut Session,
    catalog: &Catalog,
) -> Result<Vec<Task>> {
    let moved: BTreeSet<&TableName> =
        catalog.views.iter().filter(|view| view.materialized).map(|view| &view.name).collect();
    if moved.is_empty() {
        return Ok(Vec::new());
    }
    let mut views: Vec<View> = json(source, VIEWS).await?;
    views.retain(|view| moved.contains(&view.name));
    let filled: BTreeSet<TableName> = json(target, FILLED).await?;
    let (mut left, mut tasks) = (plan(views), Vec::new());
    left.retain(|(view, _)| !filled.contains(&view.name));
    for (_, empty) in &mut left {
        empty.take_if(|beneath| filled.contains(beneath));
    }
    // A function may hide what a view reads, so what failed is tried again as long as others succeed.
    loop {
        let before = left.len();
        let mut failed = Vec::new();
        tasks.clear();
        for (view, empty) in left {
            let why = match &empty {
                Some(beneath) => format!(
                    "it reads {beneath}, which holds no rows on the source either; refresh that first"
                ),
                None => match refresh(target, &view).await {
                    Ok(()) => continue,
                    Err(e) if target.is_usable() => said(&e),
                    Err(e) => return Err(e),
                },
            };
            tasks.push(Task {
                object: TaskObject::View { name: view.name.clone() },
                why,
                statement: statement(&view),
                rows: None,
            });
            failed.push((view, empty));
        }
        if failed.is_empty() || failed.len() == before {
            return Ok(tasks);
        }
        left = failed;
    }
}

/// The statements that fill, in an order that works, the views that have rows on the source. Each
/// is for a transaction of its own, or a savepoint.
///
/// # Errors
/// If the source cannot be asked.
pub async fn refreshes(
    source: &mut Session,
    catalog: &Catalog,
) -> Result<Vec<(TableName, String)>> {
    let mut views: Vec<View> = json(source, VIEWS).await?;
    views.retain(|view| catalog.views.iter().any(|it| it.materialized && it.name == view.name));
    let full = plan(views).into_iter().filter(|(_, empty)| empty.is_none());
    Ok(full.map(|(view, _)| (view.name.clone(), on_its_path(&view))).collect())
}

/// What the server said, without the statement.
pub(super) fn said(e: &Error) -> String {
    e.server_error().map_or_else(|| e.to_string(), ToString::to_string)
}

async fn refresh(target: &mut Session, view: &View) -> Result<()> {
    target.execute(&on_its_path(view)).await.map(drop)
}

/// The refresh in one transaction with its owner's path, which is set for it alone.
fn on_its_path(view: &View) -> String {
    let path = quote_literal(&view.search_path);
    format!("SELECT pg_catalog.set_config('search_path', {path}, true); {}", statement(view))
}

fn statement(view: &View) -> String {
    format!("REFRESH MATERIALIZED VIEW {}", view.name.quoted())
}

/// Those that are filled on the source, each after those it reads, with one that is not filled
/// among what it reads.
fn plan(views: Vec<View>) -> Vec<(View, Option<TableName>)> {
    let unfilled: BTreeSet<TableName> =
        views.iter().filter(|view| !view.populated).map(|view| view.name.clone()).collect();
    let mut left: Vec<View> = views.into_iter().filter(|view| view.populated).collect();
    let mut planned = Vec::new();
    while !left.is_empty() {
        let waiting: BTreeSet<TableName> = left.iter().map(|view| view.name.clone()).collect();
        let ready = |view: &View| view.reads.iter().all(|name| !waiting.contains(name));
        // Views cannot read each other in a circle; functions that hide it may.
        let at = left.iter().position(ready).unwrap_or(0);
        let view = left.remove(at);
        let empty = view.reads.iter().find(|name| unfilled.contains(name)).cloned();
        planned.push((view, empty));
    }
    planned
}

/// Names of the materialised views that hold rows.
const FILLED: &str = "SELECT coalesce(json_agg(json_build_object(\
      'schema', n.nspname, 'name', c.relname)), '[]')::text \
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
    WHERE c.relkind = 'm' AND c.relispopulated";

/// All materialised views with what they read. A view's rule, and a function with a parsed body,
/// depend on what they name.
const VIEWS: &str = "WITH RECURSIVE edge(cls, obj, needs_cls, needs) AS MATERIALIZED (\
    SELECT 1259::oid, r.ev_class, d.refclassid, d.refobjid \
      FROM pg_catalog.pg_rewrite r JOIN pg_catalog.pg_depend d \
        ON d.classid = 2618 AND d.objid = r.oid AND d.refclassid IN (1259, 1255) \
      WHERE r.ev_class >= 16384 \
    UNION SELECT 1255::oid, d.objid, d.refclassid, d.refobjid FROM pg_catalog.pg_depend d \
      WHERE d.classid = 1255 AND d.refclassid IN (1259, 1255)), \
  reach(view, cls, obj) AS (\
    SELECT c.oid, 1259::oid, c.oid FROM pg_catalog.pg_class c WHERE c.relkind = 'm' \
    UNION SELECT r.view, e.needs_cls, e.needs FROM reach r \
      JOIN edge e ON e.cls = r.cls AND e.obj = r.obj) \
  SELECT coalesce(json_agg(json_build_object(\
      'name', json_build_object('schema', n.nspname, 'name', c.relname), \
      'populated', c.relispopulated, \
      'reads', (SELECT coalesce(json_agg(DISTINCT jsonb_build_object(\
          'schema', rn.nspname, 'name', rc.relname)), '[]') \
        FROM reach r JOIN pg_catalog.pg_class rc ON rc.oid = r.obj AND rc.relkind = 'm' \
        JOIN pg_catalog.pg_namespace rn ON rn.oid = rc.relnamespace \
        WHERE r.view = c.oid AND r.cls = 1259 AND r.obj <> c.oid), \
      'search_path', coalesce((SELECT pg_catalog.substr(o.setting, 13) \
        FROM pg_catalog.pg_db_role_setting s, unnest(s.setconfig) o(setting) \
        WHERE o.setting LIKE 'search\\_path=%' AND s.setrole IN (0, c.relowner) \
          AND s.setdatabase IN (0, (SELECT d.oid FROM pg_catalog.pg_database d \
            WHERE d.datname = pg_catalog.current_database())) \
        ORDER BY s.setrole = 0, s.setdatabase = 0 LIMIT 1), \
        (SELECT p.boot_val FROM pg_catalog.pg_settings p WHERE p.name = 'search_path'))) \
    ORDER BY c.oid), '[]')::text \
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
  WHERE c.relkind = 'm'";

#[cfg(test)]
mod tests {
    use super::*;

    fn view(name: &str, populated: bool, reads: &[&str]) -> View {
        let named = |name: &&str| TableName::new("s", *name);
        let reads = reads.iter().map(named).collect();
        View { name: named(&name), populated, reads, search_path: String::new() }
    }

    #[test]
    fn each_comes_after_what_it_reads_and_knows_what_is_not_filled() {
        let views = vec![
            view("a", true, &["b"]),
            view("b", true, &[]),
            view("c", true, &["a", "d", "b"]),
            view("d", false, &[]),
        ];
        let planned: Vec<(String, Option<String>)> = plan(views)
            .into_iter()
            .map(|(view, empty)| (view.name.name, empty.map(|name| name.name)))
            .collect();
        let named = |name: &str, empty: Option<&str>| (name.to_owned(), empty.map(str::to_owned));
        assert_eq!(planned, [named("b", None), named("a", None), named("c", Some("d"))]);
    }

    #[test]
    fn a_circle_ends() {
        assert_eq!(plan(vec![view("a", true, &["b"]), view("b", true, &["a"])]).len(), 2);
    }
}
