//! What changed, in words.

use std::fmt;

use changeover_types::TableName;

use super::{CatalogDigest, FactKey};

/// One fact that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// What it is about.
    pub key: FactKey,
    /// What it was; `None` if it was not there.
    pub old: Option<String>,
    /// What it is now; `None` if it is gone.
    pub new: Option<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.key.relation)?;
        match (self.key.kind.as_str(), self.key.item.as_str()) {
            ("table" | "sequence", _) => {}
            ("storage", _) => f.write_str(" was rewritten or truncated")?,
            (kind, "") => write!(f, ", {kind}")?,
            (kind, item) => write!(f, ", {kind} {item}")?,
        }
        match (&self.old, &self.new) {
            (None, Some(new)) => write!(f, ": new ({new})"),
            (Some(old), None) => write!(f, ": gone (was {old})"),
            (Some(old), Some(new)) => write!(f, ": was {old}, is {new}"),
            (None, None) => Ok(()),
        }
    }
}

/// What changed on one side between two readings; storage left out.
#[must_use]
pub fn diff(old: &CatalogDigest, new: &CatalogDigest) -> Vec<Difference> {
    compare(old, new, |key| key.kind != "storage")
}

/// Which tables were rewritten or truncated between two readings of one side.
#[must_use]
pub fn diff_storage(old: &CatalogDigest, new: &CatalogDigest) -> Vec<TableName> {
    compare(old, new, |key| key.kind == "storage")
        .into_iter()
        .filter(|d| d.old.is_some() && d.new.is_some())
        .map(|d| d.key.relation)
        .collect()
}

fn compare(
    old: &CatalogDigest,
    new: &CatalogDigest,
    counts: impl Fn(&FactKey) -> bool,
) -> Vec<Difference> {
    let mut keys: Vec<&FactKey> = old.facts.keys().chain(new.facts.keys()).collect();
    keys.sort();
    keys.dedup();
    keys.into_iter()
        .filter(|key| counts(key))
        .filter_map(|key| {
            let (old, new) = (old.facts.get(key), new.facts.get(key));
            (old != new).then(|| Difference {
                key: key.clone(),
                old: old.cloned(),
                new: new.cloned(),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::Fingerprint;
    use super::*;

    fn digest(facts: &[(&str, &str, &str)]) -> CatalogDigest {
        CatalogDigest {
            fingerprint: Fingerprint {
                catalog: String::new(),
                storage: String::new(),
                large_objects: 0,
            },
            facts: facts
                .iter()
                .map(|(kind, item, value)| {
                    let key = FactKey {
                        relation: TableName::new("public", "t"),
                        kind: (*kind).to_owned(),
                        item: (*item).to_owned(),
                    };
                    (key, (*value).to_owned())
                })
                .collect(),
        }
    }

    #[test]
    fn a_change_is_named_in_words() {
        let old = digest(&[("column", "a", "int4"), ("column", "b", "text"), ("storage", "", "1")]);
        let new = digest(&[("column", "a", "int8"), ("trigger", "x", "on"), ("storage", "", "2")]);
        let words: Vec<String> = diff(&old, &new).iter().map(ToString::to_string).collect();
        assert_eq!(
            words,
            [
                "public.t, column a: was int4, is int8",
                "public.t, column b: gone (was text)",
                "public.t, trigger x: new (on)",
            ]
        );
        assert_eq!(diff_storage(&old, &new), [TableName::new("public", "t")]);
    }
}
