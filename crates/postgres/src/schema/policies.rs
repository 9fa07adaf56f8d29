//! Policies for roles that the target does not have: made for the roles that it has, and a task that
//! says how they are made for all. Nobody is left without one that applies to them.

use std::collections::{BTreeMap, BTreeSet};

use changeover_types::{TableName, Task, TaskObject, quote_ident};
use serde::Deserialize;

use super::views::said;
use crate::catalog::json;
use crate::error::{Error, Result};
use crate::session::Session;

/// Whose a policy is.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Policy {
    table: TableName,
    name: String,
    /// Its roles, quoted by the server, in the order in which `pg_dump` names them.
    roles: Vec<String>,
}

/// The policies that are for single roles, by their OID on the source.
pub(super) async fn read(source: &mut Session) -> Result<BTreeMap<u32, Policy>> {
    json(source, POLICIES).await
}

impl Policy {
    /// Makes it for those of its roles that exist; `sql` is the entry's, which just failed with `e`.
    /// `None` if no role was missing.
    pub(super) async fn for_those_who_exist(
        &self,
        target: &mut Session,
        sql: &str,
        e: &Error,
    ) -> Result<Option<Task>> {
        let there: BTreeSet<String> = json(target, ROLES).await?;
        let (Some(kept), true) = (self.rewritten(sql, &there), e.sqlstate() == Some("42704"))
        else {
            return Ok(None);
        };
        let all = self.roles.join(", ");
        let statement = match kept {
            Some(kept) => {
                let made = target.execute(&kept).await;
                made.map_err(|e| e.with_context(format!("creating policy {}", self.name)))?;
                format!(
                    "ALTER POLICY {} ON {} TO {all}",
                    quote_ident(&self.name),
                    self.table.quoted()
                )
            }
            None => {
                let lines = sql.lines().filter(|line| !line.starts_with("--"));
                let statement = lines.collect::<Vec<_>>().join(" ");
                statement[statement.find("CREATE POLICY").unwrap_or(0)..].trim().to_owned()
            }
        };
        Ok(Some(Task {
            object: TaskObject::Policy { table: self.table.clone(), name: self.name.clone() },
            why: said(e),
            statement: statement.trim_end_matches(';').to_owned(),
            rows: None,
        }))
    }

    /// The statement without the roles that are not `there`: `Some(None)` if none is left, `None` if
    /// none is missing, or the statement is not what it is taken for.
    fn rewritten(&self, sql: &str, there: &BTreeSet<String>) -> Option<Option<String>> {
        let kept: Vec<&str> =
            self.roles.iter().filter(|role| there.contains(*role)).map(String::as_str).collect();
        let all = format!(" TO {}", self.roles.join(", "));
        if kept.len() == self.roles.len() || !sql.contains(&all) {
            return None;
        }
        if kept.is_empty() {
            return Some(None);
        }
        Some(Some(sql.replacen(&all, &format!(" TO {}", kept.join(", ")), 1)))
    }
}

const ROLES: &str =
    "SELECT coalesce(json_agg(quote_ident(rolname)), '[]')::text FROM pg_catalog.pg_roles";

/// Names of roles are quoted by the server, as in the dump.
const POLICIES: &str = "SELECT coalesce(json_object_agg(p.oid::bigint::text, json_build_object(\
      'table', json_build_object('schema', n.nspname, 'name', c.relname), 'name', p.polname, \
      'roles', ARRAY(SELECT quote_ident(r.rolname) FROM pg_catalog.pg_roles r \
        WHERE r.oid = ANY (p.polroles)))), '{}')::text \
  FROM pg_catalog.pg_policy p JOIN pg_catalog.pg_class c ON c.oid = p.polrelid \
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE p.polroles <> '{0}'";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_for_those_of_its_roles_that_exist() {
        let policy = Policy {
            table: TableName::new("s", "t"),
            name: "a TO b".to_owned(),
            roles: vec!["app".to_owned(), "\"Odd, one\"".to_owned()],
        };
        let sql = "CREATE POLICY \"a TO b\" ON s.t FOR SELECT TO app, \"Odd, one\" USING (true);";
        let there = |roles: &[&str]| roles.iter().map(ToString::to_string).collect();
        assert_eq!(
            policy.rewritten(sql, &there(&["app"])).unwrap().unwrap(),
            "CREATE POLICY \"a TO b\" ON s.t FOR SELECT TO app USING (true);"
        );
        assert_eq!(policy.rewritten(sql, &there(&[])), Some(None));
        assert_eq!(policy.rewritten(sql, &there(&["app", "\"Odd, one\""])), None);
        assert_eq!(policy.rewritten("CREATE POLICY x ON s.t;", &there(&[])), None);
    }
}
