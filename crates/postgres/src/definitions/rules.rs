//! Which differences matter: a change that the other side shares is none, unless rows, the seal or
//! the way back rest on what changed.

use std::collections::BTreeSet;

use super::compare::{of_keys, whole};
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
    /// The migration cannot go on with it, also if it is so on both sides.
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
        .filter(|key| key.class != "large objects" || is_needed(key, this))
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
    let whole = whole(&changed, &this.then.facts, &this.now.facts);
    let words = |keys: &[&Key]| of_keys(keys, &whole, &this.then.facts, &this.now.facts);
    let (needed, others): (Vec<&Key>, Vec<&Key>) =
        changed.iter().partition(|key| is_needed(key, this));
    let alone: Vec<&Key> = others.into_iter().filter(|key| !shared(key)).collect();
    Differing { alone: words(&alone), needed: words(&needed) }
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
                key.item != NUMBER && there.is_none()
            }
    });
    let differing: Vec<&Key> = differing.map(|(key, _)| key).collect();
    let whole = whole(&differing, &source.facts, &target.facts);
    let words = |keys: &[&Key]| of_keys(keys, &whole, &source.facts, &target.facts);
    let (strong, weak): (Vec<&Key>, Vec<&Key>) =
        differing.iter().partition(|key| is_relied_on(key));
    (words(&strong), words(&weak))
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
fn is_needed(key: &Key, side: Shared<'_>) -> bool {
    let values = [side.then, side.now].map(|at| at.facts.get(key).map(String::as_str));
    let of_a_table = || {
        let table = Key { class: "table".into(), name: key.of.clone(), ..Key::default() };
        [side.then, side.now].iter().any(|at| at.facts.contains_key(&table))
    };
    let came_or_went = values.contains(&None);
    let any = |words: &[&str]| values.iter().flatten().any(|value| words.contains(value));
    match (key.class.as_str(), key.item.as_str()) {
        ("table", "" | "persistence" | "replica identity" | "partition" | "parents") => true,
        ("sequence", "") => came_or_went,
        ("column", "" | "type" | "generation" | "identity" | NUMBER) => of_a_table(),
        ("index", "") => any(&["primary key", "replica identity"]),
        ("trigger" | "rule", "state") => any(&["always", "for replicas"]),
        // Fewer than there were is no loss.
        ("large objects", _) => {
            let [then, now] = values.map(|n| n.and_then(|n| n.parse().ok()).unwrap_or(0_u64));
            now > then
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn side(major: u32, facts: &[(&str, &str, &str, &str, &str)]) -> Definitions {
        let facts = facts.iter().map(|(class, of, name, item, value)| {
            let [class, of, name, item] = [class, of, name, item].map(|it| (*it).to_owned());
            (Key { class, of, name, item }, (*value).to_owned())
        });
        Definitions { major, hash: String::new(), facts: facts.collect() }
    }

    fn words(changes: &[Change]) -> String {
        changes.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    }

    const VIEW: (&str, &str, &str, &str, &str) = ("view", "", "v", "", "");

    #[test]
    fn what_both_share_is_none_and_printed_texts_of_two_majors_are_compared_by_change() {
        let at = |major, text| side(major, &[VIEW, ("view", "", "v", "definition", text)]);
        let (then, now) = (at(15, "#1"), at(15, "#2"));
        let this = Shared { then: &then, now: &now };
        for (other, is) in [
            ((at(15, "#1"), at(15, "#2")), ""),
            ((at(15, "#1"), at(15, "#1")), "view v: definition changed"),
            ((at(17, "#8"), at(17, "#9")), ""),
            ((at(17, "#8"), at(17, "#8")), "view v: definition changed"),
        ] {
            let found = unshared(this, Shared { then: &other.0, now: &other.1 });
            assert_eq!((words(&found.alone).as_str(), found.needed), (is, vec![]));
        }
    }

    #[test]
    fn what_rows_rest_on_may_not_change_on_both_and_a_views_column_may() {
        let then = side(15, &[("table", "", "t", "", ""), VIEW]);
        let now = side(
            15,
            &[
                ("table", "", "t", "", ""),
                VIEW,
                ("column", "t", "c", "", ""),
                ("column", "v", "c", "", ""),
                ("table", "", "new", "", ""),
                ("index", "new", "i", "", "unique"),
                ("index", "t", "t_u", "", "unique"),
                ("trigger", "t", "g", "", ""),
                ("trigger", "t", "g", "state", "always"),
                ("large objects", "", "", "number", "2"),
            ],
        );
        let both = Shared { then: &then, now: &now };
        let found = unshared(both, both);
        assert_eq!(found.alone, vec![]);
        assert_eq!(
            words(&found.needed),
            "column t.c: new; large objects: number is 2; table new: new; \
             trigger g on t: state is always"
        );
        // Going away is no loss of large objects.
        let fewer = unshared(Shared { then: &now, now: &then }, both);
        assert!(!words(&fewer.needed).contains("large"));
    }

    #[test]
    fn what_is_missing_is_told_from_what_is_only_weaker_and_what_is_the_targets_own() {
        let source = side(
            15,
            &[
                VIEW,
                ("view", "", "v", "definition", "#1"),
                ("view", "", "v", "owner", "a"),
                ("function", "", "f()", "", ""),
                ("extension", "", "e", "version", "1.0"),
                ("setting", "the database", "x", "", "#1"),
            ],
        );
        let target = side(
            15,
            &[
                VIEW,
                ("view", "", "v", "definition", "#2"),
                ("view", "", "v", "owner", "b"),
                ("extension", "", "e", "version", "1.1"),
                ("view", "", "own", "", ""),
            ],
        );
        let (strong, weak) = missing(&source, &target);
        let between = |changes: &[Change]| {
            changes.iter().map(Change::between_sides).collect::<Vec<_>>().join("; ")
        };
        assert_eq!(between(&strong), "function f(): missing; view v: definition differs");
        assert_eq!(between(&weak), "extension e: version differs; view v: owner differs");
        let newer = Definitions { major: 17, ..target };
        assert_eq!(between(&missing(&source, &newer).0), "function f(): missing");
    }

    #[test]
    fn who_may_do_more_is_told_from_who_may_do_less() {
        let changed = |old: Option<&str>, new: Option<&str>| {
            let at = |text: Option<&str>| {
                let more = text.map(|text| ("table", "", "t", "privileges", text));
                side(15, &[&[("table", "", "t", "", "")], more.as_slice()].concat())
            };
            crate::definitions::changes(&at(old), &at(new)).iter().all(Change::grants_more)
        };
        assert!(changed(None, Some("+a b INSERT/SELECT")));
        assert!(changed(Some("+a SELECT"), Some("+a INSERT/SELECT, +b TRIGGER with grant option")));
        assert!(changed(Some("-PUBLIC USAGE"), None));
        assert!(!changed(Some("+a INSERT/SELECT"), Some("+a INSERT, +b SELECT")));
        assert!(!changed(Some("+a SELECT with grant option"), Some("+a SELECT")));
        assert!(!changed(None, Some("-the owner UPDATE")));
    }
}
