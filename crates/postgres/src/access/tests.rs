use std::collections::{BTreeMap, BTreeSet};

use changeover_types::Side;

use super::compare::*;
use super::{Access, Asked, Kind, Object, Role};

fn set(words: &[&str]) -> BTreeSet<String> {
    words.iter().map(|it| (*it).to_owned()).collect()
}

fn role(login: bool, database: &[&str], member_of: &[&str]) -> Role {
    let (database, member_of) = (set(database), set(member_of));
    Role { login, database, member_of, ..Role::default() }
}

fn table(name: &str) -> Object {
    let (column, owner) = (String::new(), "owner".to_owned());
    Object { kind: Kind::Table, name: name.to_owned(), column, owner }
}

fn asked() -> Asked {
    let objects = ["public.a", "public.b", "public.c"].map(table).to_vec();
    Asked { roles: vec!["app".into()], objects }
}

fn access(may: &[(usize, &[&str])]) -> Access {
    Access {
        roles: BTreeMap::from([("app".to_owned(), role(true, &["CONNECT"], &[]))]),
        there: [0, 1].into(),
        may: BTreeMap::from([(
            "app".to_owned(),
            may.iter().map(|(at, words)| (*at, set(words))).collect(),
        )]),
    }
}

#[test]
fn what_is_lost_is_told_once_with_its_number_and_one_statement() {
    let here = access(&[(0, &["INSERT", "SELECT"]), (1, &["INSERT", "SELECT"]), (2, &["SELECT"])]);
    let there = access(&[]);
    let [only] = losses(&asked(), &here, &there, Side::Source).try_into().unwrap();
    assert_eq!(
        only.to_string(),
        "app may INSERT, SELECT on 2 tables on the source and none of it on the target: public.a, \
         public.b"
    );
    assert_eq!(only.statements, ["GRANT INSERT, SELECT ON TABLE public.a, public.b TO \"app\";"]);
    assert_eq!(losses(&asked(), &there, &here, Side::Target), []);
}

#[test]
fn a_lost_owner_needs_nothing_but_the_ownership() {
    let here = access(&[(0, &["OWNER", "SELECT", "INSERT"])]);
    let there = access(&[(0, &["SELECT"])]);
    let [only] = losses(&asked(), &here, &there, Side::Source).try_into().unwrap();
    assert_eq!(only.statements, ["ALTER TABLE public.a OWNER TO \"app\";"]);
}

#[test]
fn a_superuser_of_the_other_side_has_lost_nothing() {
    let here = access(&[(0, &["OWNER", "SELECT"])]);
    let mut there = access(&[]);
    there.roles.get_mut("app").unwrap().superuser = true;
    assert_eq!(losses(&asked(), &here, &there, Side::Source), []);
    assert_eq!(of_roles(&here, &there, "shop", Side::Target), []);
}

#[test]
fn roles_by_themselves() {
    let mut here = access(&[]);
    here.roles.insert("readers".into(), role(false, &[], &[]));
    here.roles.insert("nobody".into(), role(false, &[], &[]));
    here.roles.insert("app".into(), role(true, &["CONNECT"], &["readers"]));
    let told = |there: &Access| -> Vec<String> {
        let found = of_roles(&here, there, "shop", Side::Target);
        found.iter().flat_map(|it| it.statements.clone()).collect()
    };
    let mut there = Access::default();
    // A role that nobody can use is no one's loss.
    assert_eq!(told(&there), ["CREATE ROLE \"app\" LOGIN;", "CREATE ROLE \"readers\";"]);
    there.roles.insert("app".into(), role(false, &[], &[]));
    there.roles.insert("readers".into(), role(false, &[], &[]));
    assert_eq!(
        told(&there),
        [
            "ALTER ROLE \"app\" LOGIN;",
            "GRANT CONNECT ON DATABASE \"shop\" TO \"app\";",
            "GRANT \"readers\" TO \"app\";"
        ]
    );
}

#[test]
fn without_grants_everybody_but_our_own_role_loses_all() {
    let mut here = access(&[(0, &["SELECT"]), (1, &["SELECT"])]);
    let there = access(&[]);
    let [only] = without_grants(&asked(), &here, &there, "mover").try_into().unwrap();
    assert_eq!(only.to_string(), "app would lose all access to 2 tables and 0 sequences");
    assert_eq!(without_grants(&asked(), &here, &there, "app"), []);
    here.roles.get_mut("app").unwrap().superuser = true;
    assert_eq!(without_grants(&asked(), &here, &there, "mover"), []);
}
