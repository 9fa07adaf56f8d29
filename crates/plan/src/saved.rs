//! A saved plan: bound to the facts it was made from, used once.
//!
//! What a fact was is kept as a fingerprint where it could hold a value of somebody's (a default, a
//! condition): that it changed can be said without saying what it was.

use std::collections::BTreeMap;
use std::fmt;

use changeover_types::{MigrationName, WallMs};
use serde::{Deserialize, Serialize};

use crate::estimate::size;

/// The form of the file.
pub const FORMAT: &str = "changeover/saved-plan/v1";
/// A table that grows less than to this multiple is the same; one below [`SIZE_FLOOR_BYTES`] too.
const SIZE_FACTOR: u64 = 2;
const SIZE_FLOOR_BYTES: u64 = 100_000_000;
/// At most so many changes are listed one by one.
const LISTED_MAX: usize = 40;

/// What a plan relies on: words about what, and what was so.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// `source setting wal_level` → `logical`.
    pub facts: BTreeMap<String, String>,
    /// Bytes of each table, whose ordinary growth changes nothing.
    pub sizes: BTreeMap<String, u64>,
}

/// A plan as it was approved, ready to be applied once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedPlan {
    /// [`FORMAT`].
    pub format: String,
    /// Drawn when it was saved; what is remembered when it is used.
    pub id: String,
    /// The migration.
    pub name: MigrationName,
    /// The plan's file, absolute.
    pub plan: String,
    /// The plan's digest.
    pub digest: String,
    /// When it was saved.
    pub created_at: WallMs,
    /// By whom, as the system knows them.
    pub created_by: String,
    /// After this it is refused.
    pub expires_at: WallMs,
    /// The program's version.
    pub tool: String,
    /// What it relies on.
    pub facts: Facts,
}

/// Something that is not as it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum Drift {
    /// It was not there.
    New(String),
    /// It is not there any more.
    Gone(String),
    /// It is something else.
    Changed(String),
}

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Drift::New(what) => write!(f, "new: {what}"),
            Drift::Gone(what) => write!(f, "gone: {what}"),
            Drift::Changed(what) => write!(f, "changed: {what}"),
        }
    }
}

impl SavedPlan {
    /// Whether a file's text looks like a saved plan, so that `apply` can tell it from a plan.
    #[must_use]
    pub fn is_one(text: &str) -> bool {
        text.trim_start().starts_with('{') && text.contains(FORMAT)
    }

    /// What changed since it was saved. Empty: it may be applied.
    #[must_use]
    pub fn drift(&self, digest: &str, now: &Facts, tool: &str) -> Vec<Drift> {
        let mut drift = Vec::new();
        if self.digest != digest {
            drift.push(Drift::Changed(format!("the plan's file {}", self.plan)));
        }
        if self.tool != tool {
            drift.push(Drift::Changed(format!("the program: was {}, is {tool}", self.tool)));
        }
        facts(&self.facts.facts, &now.facts, &mut drift);
        sizes(&self.facts.sizes, &now.sizes, &mut drift);
        if drift.len() > LISTED_MAX {
            let more = drift.len() - LISTED_MAX;
            drift.truncate(LISTED_MAX);
            drift.push(Drift::Changed(format!("{more} more")));
        }
        drift
    }

    /// Whether its time is over.
    #[must_use]
    pub fn is_expired(&self, now: WallMs) -> bool {
        now >= self.expires_at
    }
}

fn facts(old: &BTreeMap<String, String>, new: &BTreeMap<String, String>, drift: &mut Vec<Drift>) {
    for (what, was) in old {
        match new.get(what) {
            None => drift.push(Drift::Gone(what.clone())),
            Some(is) if is != was => drift.push(Drift::Changed(changed(what, was, is))),
            Some(_) => {}
        }
    }
    let added = new.keys().filter(|what| !old.contains_key(*what));
    drift.extend(added.map(|what| Drift::New(what.clone())));
}

fn changed(what: &str, was: &str, is: &str) -> String {
    if was.starts_with('#') { what.to_owned() } else { format!("{what}: was {was}, is {is}") }
}

fn sizes(old: &BTreeMap<String, u64>, new: &BTreeMap<String, u64>, drift: &mut Vec<Drift>) {
    for (table, was) in old {
        let Some(is) = new.get(table) else { continue };
        let (small, large) = (*was.min(is), *was.max(is));
        if large > SIZE_FLOOR_BYTES && large / SIZE_FACTOR > small {
            let text = format!("the size of {table}: was {}, is {}", size(*was), size(*is));
            drift.push(Drift::Changed(text));
        }
    }
}

/// The fingerprint of a fact whose value must not be kept.
#[must_use]
pub fn hidden(value: &str) -> String {
    let mut text = crate::fingerprint(&[value]);
    text.truncate(12);
    format!("#{text}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn saved(facts: &[(&str, &str)], sizes: &[(&str, u64)]) -> SavedPlan {
        SavedPlan {
            format: FORMAT.into(),
            id: "1".into(),
            name: MigrationName::new("shop").unwrap(),
            plan: "/plan.yaml".into(),
            digest: "d".into(),
            created_at: WallMs(1000),
            created_by: "alice".into(),
            expires_at: WallMs(2000),
            tool: "1".into(),
            facts: these(facts, sizes),
        }
    }

    fn these(facts: &[(&str, &str)], sizes: &[(&str, u64)]) -> Facts {
        Facts {
            facts: facts.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            sizes: sizes.iter().map(|(k, v)| ((*k).to_owned(), *v)).collect(),
        }
    }

    #[test]
    fn what_changed_is_listed_and_nothing_else() {
        let (a, b) = (hidden("'a'::text"), hidden("'b'::text"));
        let plan = saved(&[("x", "1"), ("y", "2"), ("z", &a)], &[]);
        assert_eq!(plan.drift("d", &plan.facts, "1"), []);
        let now = these(&[("x", "1"), ("w", "3"), ("z", &b)], &[]);
        let words: Vec<String> =
            plan.drift("e", &now, "1").iter().map(ToString::to_string).collect();
        assert_eq!(
            words,
            ["changed: the plan's file /plan.yaml", "gone: y", "changed: z", "new: w"]
        );
        let version = plan.drift("d", &plan.facts, "2");
        assert_eq!(version, [Drift::Changed("the program: was 1, is 2".into())]);
    }

    #[test]
    fn ordinary_growth_is_no_drift() {
        let plan = saved(&[], &[("big", 1_000_000_000), ("small", 1000)]);
        let now = |big, small| these(&[], &[("big", big), ("small", small)]);
        assert_eq!(plan.drift("d", &now(1_900_000_000, 90_000_000), "1"), []);
        let grown = plan.drift("d", &now(3_000_000_000, 1000), "1");
        assert_eq!(grown, [Drift::Changed("the size of big: was 1.0 GB, is 3.0 GB".into())]);
        assert_eq!(plan.drift("d", &now(400_000_000, 1000), "1").len(), 1);
    }

    #[test]
    fn a_saved_plan_ends_at_its_time() {
        let plan = saved(&[], &[]);
        assert!(!plan.is_expired(WallMs(1999)));
        assert!(plan.is_expired(WallMs(2000)));
    }
}
