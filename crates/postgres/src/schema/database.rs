//! What belongs to the database itself and is in no dump of it: settings of the database and of
//! roles in it, its comment, who may do what with it, how many sessions it takes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use changeover_types::{Side, Task, TaskObject, quote_ident, quote_literal};
use serde::{Deserialize, Serialize};

use super::views::said;
use crate::catalog::json;
use crate::error::{Error, Result};
use crate::session::Session;

/// A database's own properties.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseProperties {
    name: String,
    owner: String,
    comment: Option<String>,
    /// -1 if there is none.
    connection_limit: i64,
    /// By role (empty for the database's own) and name.
    settings: Vec<Setting>,
    /// Of all but the owner, who may do everything.
    grants: BTreeSet<Grant>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Setting {
    role: String,
    name: String,
    value: String,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Grant {
    /// Empty for everybody.
    to: String,
    privilege: String,
    grantable: bool,
}

/// One property that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Which property, for people.
    pub property: String,
    /// The statement that gives the target what the source has.
    pub set: String,
    /// The statement that gives it back what it had.
    pub undo: String,
}

impl DatabaseProperties {
    /// Reads those of the session's database.
    ///
    /// # Errors
    /// If the catalogue cannot be read.
    pub async fn read(session: &mut Session) -> Result<DatabaseProperties> {
        json(session, PROPERTIES)
            .await
            .map_err(|e| e.with_context("reading the database's properties"))
    }

    /// What a target with these properties needs to be as the source is. What the target grants
    /// beyond that to single roles stays: only what everybody may is taken back.
    #[must_use]
    pub fn changes_to(&self, source: &DatabaseProperties) -> Vec<Change> {
        let mut changes = self.settings_to(source);
        let database = quote_ident(&self.name);
        if self.comment != source.comment {
            let comment = |text: &Option<String>| {
                let text = text.as_deref().map_or("NULL".to_owned(), quote_literal);
                format!("COMMENT ON DATABASE {database} IS {text}")
            };
            changes.push(Change {
                property: "the database's comment".to_owned(),
                set: comment(&source.comment),
                undo: comment(&self.comment),
            });
        }
        let on = |grant: &Grant, give: bool| {
            let to = if grant.to.is_empty() { "PUBLIC".to_owned() } else { quote_ident(&grant.to) };
            match (give, grant.grantable) {
                (true, true) => {
                    format!(
                        "GRANT {} ON DATABASE {database} TO {to} WITH GRANT OPTION",
                        grant.privilege
                    )
                }
                (true, false) => {
                    format!("GRANT {} ON DATABASE {database} TO {to}", grant.privilege)
                }
                (false, _) => {
                    format!("REVOKE {} ON DATABASE {database} FROM {to}", grant.privilege)
                }
            }
        };
        let new = source.grants.difference(&self.grants).filter(|grant| grant.to != self.owner);
        changes.extend(new.map(|grant| Change {
            property: "what roles may do with the database".to_owned(),
            set: on(grant, true),
            undo: on(grant, false),
        }));
        let open = self.grants.difference(&source.grants).filter(|grant| grant.to.is_empty());
        changes.extend(open.map(|grant| Change {
            property: "what everybody may do with the database".to_owned(),
            set: on(grant, false),
            undo: on(grant, true),
        }));
        // Last, for it may keep us out.
        if self.connection_limit != source.connection_limit {
            let limit = |n: i64| format!("ALTER DATABASE {database} CONNECTION LIMIT {n}");
            changes.push(Change {
                property: "the database's connection limit".to_owned(),
                set: limit(source.connection_limit),
                undo: limit(self.connection_limit),
            });
        }
        changes
    }

    fn settings_to(&self, source: &DatabaseProperties) -> Vec<Change> {
        let by_name = |settings: &[Setting]| -> BTreeMap<(String, String), String> {
            let entry = |s: &Setting| ((s.role.clone(), s.name.clone()), s.value.clone());
            settings.iter().map(entry).collect()
        };
        let (here, there) = (by_name(&self.settings), by_name(&source.settings));
        let database = quote_ident(&self.name);
        let set = |(role, name): &(String, String), value: Option<&String>| {
            let whose = match role.as_str() {
                "" => format!("ALTER DATABASE {database}"),
                role => format!("ALTER ROLE {} IN DATABASE {database}", quote_ident(role)),
            };
            match value {
                Some(value) => {
                    format!("{whose} SET {} TO {}", setting(name), as_value(name, value))
                }
                None => format!("{whose} RESET {}", setting(name)),
            }
        };
        let keys: BTreeSet<&(String, String)> = here.keys().chain(there.keys()).collect();
        let differing = keys.into_iter().filter(|key| there.contains_key(*key));
        differing
            .filter(|key| here.get(*key) != there.get(*key))
            .map(|key| Change {
                property: match key.0.as_str() {
                    "" => format!("{} of the database", key.1),
                    role => format!("{} of role {role} in the database", key.1),
                },
                set: set(key, there.get(key)),
                undo: set(key, here.get(key)),
            })
            .collect()
    }
}

/// A setting's name; one of an extension has parts.
fn setting(name: &str) -> String {
    name.split('.').map(quote_ident).collect::<Vec<_>>().join(".")
}

/// Settings whose value is a list of names, which PostgreSQL keeps as such a list.
const LISTS: [&str; 6] = [
    "local_preload_libraries",
    "search_path",
    "session_preload_libraries",
    "shared_preload_libraries",
    "temp_tablespaces",
    "unix_socket_directories",
];

fn as_value(name: &str, value: &str) -> String {
    if LISTS.contains(&name) { names(value) } else { quote_literal(value) }
}

/// The names of a list, each as a literal: whatever is in one stays in it.
fn names(list: &str) -> String {
    let mut found: Vec<String> = Vec::new();
    let mut name = String::new();
    let mut quoted = false;
    let mut chars = list.trim().chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                name.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => found.push(std::mem::take(&mut name)),
            c if c.is_whitespace() && !quoted => {}
            c => name.push(c),
        }
    }
    found.push(name);
    found.iter().map(|name| quote_literal(name)).collect::<Vec<_>>().join(", ")
}

/// Gives the target's database what the source's has. What our role may not set is a task. What was
/// there before is written down beside the archive `path` before it changes, for an abort.
///
/// # Errors
/// If a side cannot be asked, or the file cannot be written.
pub async fn set_properties(
    source: &mut Session,
    target: &mut Session,
    path: &Path,
) -> Result<Vec<Task>> {
    let undo = &super::beside(path, "database");
    let wanted = DatabaseProperties::read(source).await?;
    let found = DatabaseProperties::read(target).await?;
    let changes = found.changes_to(&wanted);
    if changes.is_empty() {
        return Ok(Vec::new());
    }
    let mut undos = recall(undo)?;
    undos.extend(changes.iter().map(|change| change.undo.clone()));
    remember(undo, &undos)?;
    let mut tasks = Vec::new();
    for change in changes {
        match target.execute(&change.set).await {
            Ok(_) => {}
            Err(e) if target.is_usable() => tasks.push(Task {
                object: TaskObject::Database { property: change.property },
                why: said(&e),
                statement: change.set,
                rows: None,
            }),
            Err(e) => return Err(e.with_context(format!("setting {}", change.property))),
        }
    }
    // Whoever has a right and may not give it is told so by a warning alone.
    for change in DatabaseProperties::read(target).await?.changes_to(&wanted) {
        if !tasks.iter().any(|task| task.statement == change.set) {
            tasks.push(Task {
                object: TaskObject::Database { property: change.property },
                why: NOT_GRANTED.to_owned(),
                statement: change.set,
                rows: None,
            });
        }
    }
    Ok(tasks)
}

/// A GRANT or REVOKE that the server took and that changed nothing.
pub(crate) const NOT_GRANTED: &str = "our role may not give or take it there";

/// Takes back what [`set_properties`] did, newest first. Gives what could not be taken back, with
/// the reason; may be done again.
pub(super) async fn unset_properties(
    target: &mut Session,
    undo: &Path,
) -> Result<Vec<(String, String)>> {
    let mut left = Vec::new();
    let mut failed = Vec::new();
    for statement in recall(undo)?.into_iter().rev() {
        match target.execute(&statement).await {
            Ok(_) => {}
            // A role that is gone has no setting and no right.
            Err(e) if e.sqlstate() == Some("42704") => {}
            Err(e) if target.is_usable() => {
                failed.push((statement.clone(), said(&e)));
                left.insert(0, statement);
            }
            Err(e) => return Err(e.with_context("taking the database's properties back")),
        }
    }
    match left.is_empty() {
        true => drop(std::fs::remove_file(undo)),
        false => remember(undo, &left)?,
    }
    Ok(failed)
}

fn recall(path: &Path) -> Result<Vec<String>> {
    let fault = |what: String| Error::local(Side::Target, format!("{}: {what}", path.display()));
    match std::fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(|e| fault(e.to_string())),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(e) => Err(fault(e.to_string())),
    }
}

fn remember(path: &Path, statements: &[String]) -> Result<()> {
    super::before::write(path, &statements)
}

const PROPERTIES: &str = "SELECT json_build_object('name', d.datname, \
    'owner', pg_catalog.pg_get_userbyid(d.datdba), \
    'comment', pg_catalog.shobj_description(d.oid, 'pg_database'), \
    'connection_limit', d.datconnlimit, \
    'settings', (SELECT coalesce(json_agg(json_build_object('role', coalesce(r.rolname, ''), \
        'name', split_part(o.setting, '=', 1), \
        'value', substr(o.setting, strpos(o.setting, '=') + 1))), '[]') \
      FROM pg_catalog.pg_db_role_setting s CROSS JOIN LATERAL unnest(s.setconfig) o(setting) \
      LEFT JOIN pg_catalog.pg_roles r ON r.oid = s.setrole WHERE s.setdatabase = d.oid), \
    'grants', (SELECT coalesce(json_agg(json_build_object(\
        'to', CASE WHEN x.grantee = 0 THEN '' ELSE pg_catalog.pg_get_userbyid(x.grantee) END, \
        'privilege', x.privilege_type, 'grantable', x.is_grantable)), '[]') \
      FROM pg_catalog.aclexplode(coalesce(d.datacl, pg_catalog.acldefault('d', d.datdba))) x \
      WHERE x.grantee <> d.datdba))::text \
  FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database()";

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(to: &str, privilege: &str) -> Grant {
        Grant { to: to.to_owned(), privilege: privilege.to_owned(), grantable: false }
    }

    #[test]
    fn what_differs_is_set_and_can_be_taken_back() {
        let set = |role: &str, name: &str, value: &str| Setting {
            role: role.to_owned(),
            name: name.to_owned(),
            value: value.to_owned(),
        };
        let source = DatabaseProperties {
            name: "s".to_owned(),
            owner: "boss".to_owned(),
            comment: Some("it's".to_owned()),
            connection_limit: 5,
            settings: vec![set("", "search_path", "app, \"a;b\""), set("x", "my.opt", "1")],
            grants: [grant("app", "CONNECT")].into(),
        };
        let target = DatabaseProperties {
            name: "t".to_owned(),
            owner: "app2".to_owned(),
            connection_limit: -1,
            settings: vec![set("", "work_mem", "1"), set("x", "my.opt", "2")],
            grants: [grant("", "CONNECT"), grant("mover", "CREATE")].into(),
            ..DatabaseProperties::default()
        };
        let changes = target.changes_to(&source);
        let pairs: Vec<(&str, &str)> =
            changes.iter().map(|change| (change.set.as_str(), change.undo.as_str())).collect();
        assert_eq!(
            pairs,
            [
                (
                    "ALTER DATABASE \"t\" SET \"search_path\" TO 'app', 'a;b'",
                    "ALTER DATABASE \"t\" RESET \"search_path\"",
                ),
                (
                    "ALTER ROLE \"x\" IN DATABASE \"t\" SET \"my\".\"opt\" TO '1'",
                    "ALTER ROLE \"x\" IN DATABASE \"t\" SET \"my\".\"opt\" TO '2'",
                ),
                ("COMMENT ON DATABASE \"t\" IS 'it''s'", "COMMENT ON DATABASE \"t\" IS NULL"),
                (
                    "GRANT CONNECT ON DATABASE \"t\" TO \"app\"",
                    "REVOKE CONNECT ON DATABASE \"t\" FROM \"app\"",
                ),
                (
                    "REVOKE CONNECT ON DATABASE \"t\" FROM PUBLIC",
                    "GRANT CONNECT ON DATABASE \"t\" TO PUBLIC",
                ),
                (
                    "ALTER DATABASE \"t\" CONNECTION LIMIT 5",
                    "ALTER DATABASE \"t\" CONNECTION LIMIT -1",
                ),
            ]
        );
        assert_eq!(source.changes_to(&source), []);
    }
}
