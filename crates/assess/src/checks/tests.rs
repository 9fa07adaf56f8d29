//! Each check on its own: it passes where all is in order, fires where it is not, and does not
//! pass where a fact is missing.

mod clean;
mod firing;
mod missing;

use std::collections::BTreeSet;

use changeover_types::{Answer, Question, WallMs};

use super::CHECKS;
use crate::check::Check;
use crate::fact::{Fact, Value};
use crate::finding::Severity;
use crate::inventory::{Database, Inventory, Relation, Sighting, Upstream};

fn check(number: usize) -> &'static Check {
    CHECKS.iter().find(|it| it.id.starts_with(&format!("R{number:02}-"))).expect("a check")
}

/// A change to an inventory.
type Change = fn(&mut Inventory);

/// The evidence of a check after a change of a clean inventory, with the severity of each.
fn found(number: usize, change: Change) -> Vec<(Severity, String)> {
    let check = check(number);
    let mut inventory = clean::inventory();
    change(&mut inventory);
    let verdict = (check.judge)(&inventory);
    let severity = |found: &crate::check::Found| found.severity.unwrap_or(check.severity);
    verdict.found.iter().map(|it| (severity(it), it.evidence.clone())).collect()
}

#[test]
fn each_has_an_id_in_order_and_a_title_of_its_own() {
    assert!(CHECKS.is_sorted_by(|a, b| a.id < b.id), "{CHECKS:#?}");
    let titles: BTreeSet<&str> = CHECKS.iter().map(|check| check.title).collect();
    assert_eq!(titles.len(), CHECKS.len());
}

#[test]
fn every_check_passes_where_all_is_in_order() {
    let inventory = clean::inventory();
    for check in CHECKS {
        assert_eq!((check.judge)(&inventory), Default::default(), "{}", check.id);
    }
}

#[test]
fn nothing_passes_where_nothing_is_known() {
    let mut inventory = Inventory::empty(clean::NOW);
    let assessment = crate::assess(&inventory, Vec::new(), &[], &[]);
    assert_eq!(assessment.score.passed, 0, "without databases and upstreams");
    assert!(assessment.findings.is_empty());

    let clean = clean::inventory();
    inventory.source = clean.source;
    inventory.target = clean.target;
    for side in [&mut inventory.source, &mut inventory.target] {
        forget(side.database.as_mut().expect("a database"));
        side.upstreams.iter_mut().for_each(forget_upstream);
    }
    let assessment = crate::assess(&inventory, Vec::new(), &[], &[]);
    assert_eq!(assessment.score.unknown, CHECKS.len(), "{:#?}", assessment.outcomes);
}

fn unknown<T>() -> Fact<T> {
    Fact::unknown("it did not answer", "a test", clean::NOW)
}

fn forget(database: &mut Database) {
    *database = Database {
        url: database.url.clone(),
        server: unknown(),
        settings: unknown(),
        role: unknown(),
        locale: unknown(),
        relations: unknown(),
        sequences: unknown(),
        extensions: unknown(),
        available: unknown(),
        code: unknown(),
        roles: unknown(),
        privileges: unknown(),
        activity: unknown(),
        prepared: unknown(),
        replication: unknown(),
        outside: unknown(),
        disk: unknown(),
        rate: unknown(),
        read_bytes_s: unknown(),
        trouble: unknown(),
        schema_change: unknown(),
        clock_skew_ms: unknown(),
        round_trip_us: unknown(),
    };
}

fn forget_upstream(upstream: &mut Upstream) {
    upstream.health = unknown();
    upstream.clock_skew_ms = unknown();
    upstream.tls = Some(unknown());
    upstream.version = unknown();
}

/// A known fact, to change.
fn of<T>(fact: &mut Fact<T>) -> &mut T {
    match &mut fact.value {
        Value::Known(value) => value,
        Value::Unknown(why) => panic!("unknown: {why}"),
    }
}

fn source(inventory: &mut Inventory) -> &mut Database {
    inventory.source.database.as_mut().expect("a database")
}

fn target(inventory: &mut Inventory) -> &mut Database {
    inventory.target.database.as_mut().expect("a database")
}

fn orders(inventory: &mut Inventory) -> &mut Relation {
    &mut of(&mut source(inventory).relations)[0]
}

fn set(database: &mut Database, name: &str, value: &str) {
    of(&mut database.settings).insert(name.to_owned(), value.to_owned());
}

fn declare(inventory: &mut Inventory, question: &Question, answer: Answer) {
    inventory.declared.0.insert(question.path(), (answer, "answers.yaml:7".to_owned()));
}

fn withhold(inventory: &mut Inventory, question: &Question) {
    inventory.declared.0.remove(&question.path()).expect("a known question");
}

fn sight(list: &mut Fact<Vec<Sighting>>, what: &str) {
    *list = Fact::known(
        vec![Sighting { what: what.to_owned(), place: "compose.yaml:12".to_owned() }],
        "a test",
        WallMs(1),
    );
}
