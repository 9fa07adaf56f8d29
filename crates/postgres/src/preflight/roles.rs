//! Roles that the restored objects need and the target does not have.

use std::collections::BTreeMap;

use changeover_types::{Side, quote_ident};
use serde::Deserialize;

use super::Severity::Blocker;
use super::{Evidence, Findings};
use crate::catalog::{Catalog, NeededRole};

/// A role as `CREATE ROLE` makes it. Passwords are not read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct RoleEntry {
    /// What is said behind its name: `LOGIN`, `NOINHERIT`, `CONNECTION LIMIT 5` …
    pub attributes: Vec<String>,
    /// The roles it is a member of.
    pub member_of: Vec<String>,
}

/// All roles of a server by name. `SUPERUSER` and `REPLICATION` are left out: nothing that is
/// restored needs them, and nobody should give them by copying a statement.
pub(super) const ROLES: &str = "SELECT coalesce(json_object_agg(r.rolname, json_build_object(\
    'attributes', array_remove(array[\
      CASE WHEN r.rolcanlogin THEN 'LOGIN' END, CASE WHEN NOT r.rolinherit THEN 'NOINHERIT' END, \
      CASE WHEN r.rolcreatedb THEN 'CREATEDB' END, \
      CASE WHEN r.rolcreaterole THEN 'CREATEROLE' END, \
      CASE WHEN r.rolbypassrls THEN 'BYPASSRLS' END, \
      CASE WHEN r.rolconnlimit>=0 THEN 'CONNECTION LIMIT ' || r.rolconnlimit END], NULL), \
    'member_of', (SELECT coalesce(json_agg(g.rolname ORDER BY g.rolname), '[]') \
      FROM pg_catalog.pg_auth_members m JOIN pg_catalog.pg_roles g ON g.oid=m.roleid \
      WHERE m.member=r.oid))), '{}')::text FROM pg_catalog.pg_roles r";

pub(super) fn judge(evidence: &Evidence, findings: &mut Findings) {
    let Ok(catalog) = &evidence.source_catalog else { return };
    let topic = "which roles exist";
    let sides = [(Side::Source, &evidence.source), (Side::Target, &evidence.target)];
    let [Some(source), Some(target)] =
        sides.map(|(side, facts)| findings.known(Blocker, "roles", side, topic, &facts.roles))
    else {
        return;
    };
    let (owners, others): (Vec<&NeededRole>, Vec<&NeededRole>) =
        lacking(catalog, target).partition(|role| role.owns);
    let why = "the schema names them, and pg_dump copies no roles";
    for (id, roles, called, fix) in [
        (
            OWNERS_MISSING,
            owners,
            ["role that owns something does not exist", "roles that own something do not exist"],
            "Create them, and set the passwords of those that log in; with a waiver all objects \
             belong to our role",
        ),
        (
            ROLES_MISSING,
            others,
            ["role does not exist", "roles do not exist"],
            "Create them, and set the passwords of those that log in; with a waiver their grants \
             are left to you",
        ),
    ] {
        let names: Vec<&str> = roles.iter().map(|role| role.name.as_str()).collect();
        let script = statements(&names, source, target);
        findings.many(Blocker, id, Side::Target, called, roles, [why, fix]);
        for statement in script {
            findings.mended_by(statement);
        }
    }
}

/// A role that owns something is missing.
pub(super) const OWNERS_MISSING: &str = "owners_missing";
/// A role that is granted something, or has a policy, is missing.
const ROLES_MISSING: &str = "roles_missing";

/// The missing roles without which nobody accepts to go on.
pub(super) fn demanded(evidence: &Evidence) -> Vec<String> {
    let found = super::judge(evidence);
    let accepted = |id: &str| found.finding(id).is_some_and(|finding| !finding.blocks());
    let (owners, others) = (accepted(OWNERS_MISSING), accepted(ROLES_MISSING));
    let (Ok(catalog), Ok(target)) = (&evidence.source_catalog, &evidence.target.roles) else {
        return Vec::new();
    };
    let wanted = |role: &&NeededRole| if role.owns { !owners } else { !others };
    lacking(catalog, target).filter(wanted).map(|role| role.name.clone()).collect()
}

fn lacking<'a>(
    catalog: &'a Catalog,
    target: &'a BTreeMap<String, RoleEntry>,
) -> impl Iterator<Item = &'a NeededRole> {
    catalog.roles.iter().filter(|role| !target.contains_key(&role.name))
}

/// The roles that are missing on the target, as far as that is known.
pub(super) fn missing(evidence: &Evidence) -> Vec<String> {
    match (&evidence.source_catalog, &evidence.target.roles) {
        (Ok(catalog), Ok(target)) => {
            lacking(catalog, target).map(|role| role.name.clone()).collect()
        }
        _ => Vec::new(),
    }
}

/// What makes the missing roles: they, the roles they are members of, then every membership with
/// both ends on the target.
pub(super) fn statements(
    missing: &[&str],
    source: &BTreeMap<String, RoleEntry>,
    target: &BTreeMap<String, RoleEntry>,
) -> Vec<String> {
    let mut made: Vec<&str> = missing.to_vec();
    let mut next = 0;
    while let Some(name) = made.get(next) {
        next += 1;
        for group in source.get(*name).into_iter().flat_map(|role| &role.member_of) {
            if !target.contains_key(group) && !made.contains(&group.as_str()) {
                made.push(group);
            }
        }
    }
    let mut sql: Vec<String> = made
        .iter()
        .map(|name| {
            let attributes = source.get(*name).map_or(&[][..], |role| &role.attributes);
            let mut sql = format!("CREATE ROLE {}", quote_ident(name));
            for attribute in attributes {
                sql.push(' ');
                sql.push_str(attribute);
            }
            sql
        })
        .collect();
    for (member, role) in source {
        for group in &role.member_of {
            let new = made.contains(&member.as_str()) || made.contains(&group.as_str());
            let there = |name: &String| target.contains_key(name) || made.contains(&name.as_str());
            if new && there(member) && there(group) {
                sql.push(format!("GRANT {} TO {}", quote_ident(group), quote_ident(member)));
            }
        }
    }
    sql.iter().map(|sql| format!("{sql};")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_role_comes_with_its_groups_and_its_members() {
        let role = |attributes: &[&str], groups: &[&str]| RoleEntry {
            attributes: attributes.iter().map(ToString::to_string).collect(),
            member_of: groups.iter().map(ToString::to_string).collect(),
        };
        let source = BTreeMap::from([
            ("app".to_owned(), role(&["LOGIN", "NOINHERIT"], &["readers", "there"])),
            ("readers".to_owned(), role(&[], &[])),
            ("there".to_owned(), role(&[], &[])),
            ("Clerk".to_owned(), role(&["LOGIN"], &["app"])),
            ("stranger".to_owned(), role(&[], &["app"])),
        ]);
        let target = BTreeMap::from([
            ("there".to_owned(), RoleEntry::default()),
            ("Clerk".to_owned(), RoleEntry::default()),
        ]);
        assert_eq!(
            statements(&["app"], &source, &target).join(" "),
            "CREATE ROLE \"app\" LOGIN NOINHERIT; CREATE ROLE \"readers\"; \
             GRANT \"app\" TO \"Clerk\"; GRANT \"readers\" TO \"app\"; GRANT \"there\" TO \"app\";"
        );
    }
}
