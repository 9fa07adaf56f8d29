//! What a role may do on one side and not on the other.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use changeover_types::{Side, quote_ident};

use super::{Access, Asked, Kind, Role};

/// This many objects are named, the others counted; the statements name all.
const NAMED: usize = 4;

/// A role that is not in a group there.
const NO_MEMBER: &str = "is no member of";

/// A role that has lost something, with the statements that give it back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// Which.
    pub role: String,
    /// What, in words that begin with a verb.
    pub what: String,
    /// Each ends with a semicolon.
    pub statements: Vec<String>,
    /// It is a membership, so that what the role lacks otherwise may come of that.
    pub membership: bool,
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.role, self.what)
    }
}

/// What roles are by themselves: whether they exist, may log in, may connect, whose members they
/// are. `there` is the side that was asked as `here` was.
#[must_use]
pub fn of_roles(here: &Access, there: &Access, database: &str, side: Side) -> Vec<Loss> {
    let mut found = Vec::new();
    for (name, role) in &here.roles {
        let quoted = quote_ident(name);
        let mut lost = |what: String, statement: String| {
            found.push(Loss {
                role: name.clone(),
                membership: what.starts_with(NO_MEMBER),
                what,
                statements: vec![statement],
            });
        };
        let Some(other) = there.roles.get(name) else {
            let used = |it: &Role| it.login && it.member_of.contains(name);
            if !role.login && !here.roles.values().any(used) {
                continue;
            }
            let login = if role.login { " LOGIN" } else { "" };
            lost(format!("does not exist on the {side}"), format!("CREATE ROLE {quoted}{login};"));
            continue;
        };
        if other.superuser {
            continue;
        }
        if role.login && !other.login {
            lost(format!("may not log in on the {side}"), format!("ALTER ROLE {quoted} LOGIN;"));
        }
        if role.bypass_rls && !role.superuser && !other.bypass_rls {
            let what = format!("is bound by row security on the {side}");
            lost(what, format!("ALTER ROLE {quoted} BYPASSRLS;"));
        }
        if role.login && role.database.contains("CONNECT") && !other.database.contains("CONNECT") {
            let what = format!("may not connect to the database on the {side}");
            let database = quote_ident(database);
            lost(what, format!("GRANT CONNECT ON DATABASE {database} TO {quoted};"));
        }
        for group in &role.member_of {
            if here.roles.contains_key(group) && !other.member_of.contains(group) {
                let what = format!("{NO_MEMBER} {group} on the {side}");
                lost(what, format!("GRANT {} TO {quoted};", quote_ident(group)));
            }
        }
    }
    found
}

/// What roles may do with objects that both sides have, one entry for each role, kind and set of
/// privileges: "app may INSERT, SELECT on 32 tables on the source and none of it on the target".
#[must_use]
pub fn losses(asked: &Asked, here: &Access, there: &Access, from: Side) -> Vec<Loss> {
    let mut found = Vec::new();
    let nothing = BTreeMap::new();
    for (name, may) in &here.may {
        let Some(other) = there.roles.get(name).filter(|role| !role.superuser) else { continue };
        let may_there = there.may.get(name).unwrap_or(&nothing);
        let mut groups: BTreeMap<(Kind, Vec<&str>), Vec<usize>> = BTreeMap::new();
        for (at, privileges) in may {
            let Some(object) = asked.objects.get(*at).filter(|_| there.there.contains(at)) else {
                continue;
            };
            let missing = missing(privileges, may_there.get(at), (here.roles.get(name), other));
            if !missing.is_empty() {
                groups.entry((object.kind, missing)).or_default().push(*at);
            }
        }
        for ((kind, privileges), objects) in groups {
            found.push(loss(asked, name, (kind, &privileges), &objects, from));
        }
    }
    found
}

/// An owner has every privilege: whoever has lost the ownership needs nothing but that.
fn missing<'a>(
    here: &'a BTreeSet<String>,
    there: Option<&BTreeSet<String>>,
    (role, other): (Option<&Role>, &Role),
) -> Vec<&'a str> {
    let has = |privilege: &String| there.is_some_and(|there| there.contains(privilege));
    // A superuser that is none there has its own grants to lose, not what it might do.
    let boundless = role.is_some_and(|role| role.superuser) && !other.superuser;
    if here.contains("OWNER") && !has(&"OWNER".to_owned()) {
        return vec!["OWNER"];
    }
    if boundless {
        return Vec::new();
    }
    here.iter().filter(|privilege| !has(privilege)).map(String::as_str).collect()
}

fn loss(
    asked: &Asked,
    role: &str,
    (kind, privileges): (Kind, &[&str]),
    objects: &[usize],
    from: Side,
) -> Loss {
    let objects: Vec<_> = objects.iter().filter_map(|at| asked.objects.get(*at)).collect();
    let shown = |at: &&super::Object| match kind {
        Kind::Column => format!("{}.{}", at.name, at.column),
        _ => at.name.clone(),
    };
    let mut names: Vec<String> = objects.iter().take(NAMED).map(shown).collect();
    if objects.len() > NAMED {
        names.push(format!("{} more", objects.len() - NAMED));
    }
    let (one, several, called) = match kind {
        Kind::Schema => ("schema", "schemas", "SCHEMA "),
        Kind::Table => ("table", "tables", "TABLE "),
        Kind::Column => ("column", "columns", "TABLE "),
        Kind::Sequence => ("sequence", "sequences", "SEQUENCE "),
        Kind::Function => ("function", "functions", "ROUTINE "),
        Kind::Type => ("type", "types", "TYPE "),
    };
    let counted = match objects.len() {
        1 => format!("1 {one}"),
        count => format!("{count} {several}"),
    };
    let quoted = quote_ident(role);
    let owns = privileges == ["OWNER"];
    let statements = match kind {
        _ if owns => objects
            .iter()
            .map(|it| format!("ALTER {called}{} OWNER TO {quoted};", it.name))
            .collect(),
        Kind::Column => objects
            .iter()
            .map(|it| {
                let column = quote_ident(&it.column);
                let each: Vec<String> =
                    privileges.iter().map(|p| format!("{p} ({column})")).collect();
                format!("GRANT {} ON {} TO {quoted};", each.join(", "), it.name)
            })
            .collect(),
        _ => {
            let all: Vec<&str> = objects.iter().map(|it| it.name.as_str()).collect();
            let (all, privileges) = (all.join(", "), privileges.join(", "));
            vec![format!("GRANT {privileges} ON {called}{all} TO {quoted};")]
        }
    };
    let (other, names) = (from.other(), names.join(", "));
    let what = match owns {
        true => format!("owns {counted} on the {from} and not on the {other}: {names}"),
        false => format!(
            "may {} on {counted} on the {from} and none of it on the {other}: {names}",
            privileges.join(", ")
        ),
    };
    Loss { role: role.to_owned(), what, statements, membership: false }
}

/// Who will lose what if neither owners nor grants are kept, and everything belongs to `ours`: the
/// role with the number of its tables and sequences. Who is a superuser there or a member of `ours`
/// loses nothing.
#[must_use]
pub fn without_grants(asked: &Asked, here: &Access, there: &Access, ours: &str) -> Vec<Loss> {
    let keeps = |name: &str| {
        name == ours
            || there.roles.get(name).is_some_and(|it| it.superuser || it.member_of.contains(ours))
    };
    let mut found = Vec::new();
    for (role, may) in here.may.iter().filter(|(name, _)| !keeps(name)) {
        let count = |wanted: Kind| {
            may.keys()
                .filter(|at| asked.objects.get(**at).is_some_and(|o| o.kind == wanted))
                .count()
        };
        let (tables, sequences) = (count(Kind::Table), count(Kind::Sequence));
        if here.roles.get(role).is_some_and(|it| it.superuser) || tables + sequences == 0 {
            continue;
        }
        let what = format!("would lose all access to {tables} tables and {sequences} sequences");
        found.push(Loss { role: role.clone(), what, statements: Vec::new(), membership: false });
    }
    found
}
