//! What may be expected, said before the start.

use serde::Serialize;

use super::{Finding, Severity};

/// Something a user may expect, and whether it holds here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Promise {
    /// Stable.
    pub id: &'static str,
    /// Whether it holds.
    pub kept: bool,
    /// In words: the promise, and why it is not given.
    pub text: String,
    /// The findings against it: it is kept if there are none.
    pub risks: Vec<&'static str>,
}

fn broken(text: &str, why: &str) -> String {
    format!("{text}; not here: {why}")
}

pub(super) fn promises(findings: &[Finding]) -> Vec<Promise> {
    let promise = |id, text: &str, ids: &[&str]| {
        let against = |it: &&Finding| it.severity != Severity::Low && ids.contains(&it.id);
        let against: Vec<&Finding> = findings.iter().filter(against).collect();
        let why: Vec<String> = against.iter().map(|finding| finding.line()).collect();
        let kept = against.is_empty();
        let text = if kept { text.to_owned() } else { broken(text, &why.join("; ")) };
        Promise { id, kept, text, risks: against.iter().map(|finding| finding.id).collect() }
    };
    let owners = "owners and grants are kept on the target";
    vec![
        promise(
            "no_lost_row",
            "every acknowledged write is on the side that has authority",
            &[
                "no_identity",
                "unlogged",
                "large_objects",
                "wal_level",
                "standbys",
                "prepared",
                "pooler",
                "token",
                "system_id",
                "ownership",
                "catalog",
                "settings",
            ],
        ),
        promise(
            "way_back",
            "until `finish`, every step can be taken back without losing a write",
            &[
                "wal_level",
                "replication_right",
                "replica_role",
                "slots",
                "senders",
                "row_security",
                "encoding",
                "statements_back",
            ],
        ),
        promise(
            "ownership",
            owners,
            &["roles", "roles_missing", "owners_missing", "catalog", "ownership_kept"],
        ),
        promise("same_order", "texts sort and compare as before", &["locale", "encoding"]),
    ]
}
