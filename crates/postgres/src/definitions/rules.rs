//! Which differences matter: a change that the other side shares is none, unless rows, the seal or
//! the way back rest on what changed.

use std::collections::BTreeSet;

use super::compare::of_keys;
use super::{Change, Definitions, Key};

/// One side, then and now.
#[derive(Clone, Copy, Debug)]
pub struct Shared<'a> {
    /// As it was when it was noted down.
    pub then: &'a Definitions,
    /// As it is.
    pub now: &'a Definitions,
}

/// Differences by what they mean.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Differing {
    /// The same statement on the other side, or its undoing here, makes it good.
    pub alone: Vec<Change>,
    /// On both sides, and yet the migration cannot go on with it.
    pub needed: Vec<Change>,
}

/// What changed on `this` side and is not so on the other, and what may not change even on both:
/// tables, columns and keys (the stream knows them as they were), sequences that come or go (their
/// values do not travel), and triggers and rules that fire for what the stream writes.
#[must_use]
pub fn unshared(this: Shared<'_>, other: Shared<'_>) -> Differing {
    let keys: BTreeSet<&Key> = this.then.facts.keys().chain(this.now.facts.keys()).collect();
    let changed: Vec<&Key> = keys
        .into_iter()
        .filter(|key| this.then.facts.get(key) != this.now.facts.get(key))
        .collect();
    let shared = |key: &Key| {
        let (here, there) = (this.now.facts.get(key), other.now.facts.get(key));
        if is_comparable(key, this.now.major == other.now.major) {
            here == there
        } else {
            // It is there or gone on both, and the other one changed as well.
            here.is_some() == there.is_some()
                && (key.item == NUMBER || other.then.facts.get(key) != there)
        }
    };
    let (both, alone): (Vec<&Key>, Vec<&Key>) = changed.into_iter().partition(|key| shared(key));
    let needed = both.into_iter().filter(|key| {
        is_needed(key, [this.then, this.now].map(|side| side.facts.get(*key).map(String::as_str)))
    });
    Differing {
        alone: of_keys(alone.into_iter(), &this.then.facts, &this.now.facts),
        needed: of_keys(needed, &this.then.facts, &this.now.facts),
    }
}

/// What the source has and the target has not, or otherwise: first what a program may rely on, then
/// what is weaker or known not to travel. What the target has of its own is its own.
#[must_use]
pub fn missing(source: &Definitions, target: &Definitions) -> (Vec<Change>, Vec<Change>) {
    let same_major = source.major == target.major;
    let differing = source.facts.iter().filter(|(key, value)| {
        let there = target.facts.get(*key);
        let comparable = is_comparable(key, same_major) && key.item != NUMBER;
        !is_of_the_side(key, same_major)
            && if comparable {
                there != Some(*value)
            } else {
                key.item.is_empty() && there.is_none()
            }
    });
    let (strong, weak): (Vec<&Key>, Vec<&Key>) =
        differing.map(|(key, _)| key).partition(|key| is_relied_on(key));
    let words = |keys: Vec<&Key>| of_keys(keys.into_iter(), &source.facts, &target.facts);
    (words(strong), words(weak))
}

/// A column's number among all that its table ever had.
const NUMBER: &str = "number";

/// What PostgreSQL prints from its parse trees may look otherwise in another major version: there
/// it is compared by its being there.
const PRINTED: [&str; 8] = [
    "definition",
    "default",
    "generation",
    "USING",
    "WITH CHECK",
    "partition",
    "partition key",
    "arguments",
];

fn is_comparable(key: &Key, same_major: bool) -> bool {
    key.item != NUMBER && (same_major || !PRINTED.contains(&key.item.as_str()))
}

/// Facts of a server or of its name, which the other one need not share.
fn is_of_the_side(key: &Key, same_major: bool) -> bool {
    matches!(key.class.as_str(), "database" | "setting" | "large objects")
        || key.class == "publication"
        || key.class == "subscription"
        || (!same_major && key.class == "schema" && key.name == "public")
        || (!same_major && matches!(key.item.as_str(), "privileges" | "compression"))
        || (!same_major && key.of == "schema public")
}

fn is_relied_on(key: &Key) -> bool {
    let class = !matches!(
        key.class.as_str(),
        "event trigger" | "user mapping" | "comment" | "security label" | "default privileges"
    );
    let item = matches!(
        key.item.as_str(),
        "" | "definition"
            | "body"
            | "arguments"
            | "result"
            | "attributes"
            | "settings"
            | "aggregation"
            | "type"
            | "nulls"
            | "default"
            | "generation"
            | "identity"
            | "labels"
            | "base"
            | "range"
            | "row security"
            | "roles"
            | "USING"
            | "WITH CHECK"
            | "replica identity"
            | "partition"
            | "partition key"
            | "parents"
            | "numbers"
    );
    class && item
}

/// Whether rows, the seal or the way back rest on the fact.
fn is_needed(key: &Key, values: [Option<&str>; 2]) -> bool {
    let came_or_went = values.contains(&None);
    let any = |words: &[&str]| values.iter().flatten().any(|value| words.contains(value));
    match (key.class.as_str(), key.item.as_str()) {
        ("table", "" | "persistence" | "replica identity" | "partition" | "parents") => true,
        ("sequence", "") => came_or_went,
        ("column", "" | "type" | "generation" | "identity" | NUMBER) => true,
        ("index", "") => any(&["primary key", "replica identity"]),
        ("trigger" | "rule", "state") => any(&["always", "for replicas"]),
        _ => false,
    }
}
