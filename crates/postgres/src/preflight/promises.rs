//! What may be expected, said before the start.

use serde::Serialize;

use super::{Evidence, Finding, Severity};

/// Something a user may expect, and whether it holds here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Promise {
    /// Stable.
    pub id: &'static str,
    /// Whether it holds.
    pub kept: bool,
    /// In words: the promise, and why it is not given.
    pub text: String,
}

fn broken(text: &str, why: &str) -> String {
    format!("{text}; not here: {why}")
}

pub(super) fn promises(evidence: &Evidence, findings: &[Finding]) -> Vec<Promise> {
    let against = |ids: &[&str]| -> Vec<String> {
        findings
            .iter()
            .filter(|f| f.severity != Severity::Note && ids.contains(&f.id))
            .map(|f| f.what.clone())
            .collect()
    };
    let promise = |id, text: &str, ids: &[&str]| {
        let against = against(ids);
        let kept = against.is_empty();
        let text = if kept { text.to_owned() } else { broken(text, &against.join("; ")) };
        Promise { id, kept, text }
    };
    let owners = "owners and grants are kept on the target";
    let ownership = match &evidence.target.role {
        Ok(role) if role.superuser => {
            promise("ownership", owners, &["roles", "roles_missing", "catalog"])
        }
        _ => Promise {
            id: "ownership",
            kept: false,
            text: broken(
                owners,
                "our role on the target is no superuser, so all objects will belong to it",
            ),
        },
    };
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
            &["wal_level", "replication_right", "replica_role", "slots", "senders", "row_security"],
        ),
        ownership,
        promise("same_order", "texts sort and compare as before", &["locale", "encoding"]),
    ]
}
