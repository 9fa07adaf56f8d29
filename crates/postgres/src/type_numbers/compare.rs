//! Are the numbers the same on both sides?

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::facts::{Creation, read};
use crate::catalog::Selection;
use crate::error::Result;
use crate::session::Session;

/// How the numbers of the source's types compare.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Comparison {
    /// Types that have the source's number on the target.
    pub same: usize,
    /// Types in all, arrays of their own counted.
    pub all: usize,
    /// The others by name, with both numbers.
    pub others: Vec<String>,
}

impl std::fmt::Display for Comparison {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of {} type numbers are the source's", self.same, self.all)?;
        if !self.others.is_empty() {
            let more = self.others.len().saturating_sub(8);
            let first: Vec<&str> = self.others.iter().take(8).map(String::as_str).collect();
            write!(f, "; not {}", first.join(", "))?;
            if more > 0 {
                write!(f, " and {more} more")?;
            }
        }
        Ok(())
    }
}

/// Reads both sides and compares.
///
/// # Errors
/// If a catalogue cannot be read.
pub async fn compare(
    source: &mut Session,
    target: &mut Session,
    selection: &Selection,
) -> Result<Comparison> {
    Ok(of(&read(source, selection).await?, &read(target, selection).await?))
}

/// The comparison: pure.
fn of(source: &[Creation], target: &[Creation]) -> Comparison {
    let numbers = |creations: &[Creation]| -> BTreeMap<(String, String), u32> {
        let all = creations.iter().flat_map(|creation| &creation.numbers);
        all.map(|n| ((n.schema.clone(), n.name.clone()), n.oid)).collect()
    };
    let there = numbers(target);
    let mut comparison = Comparison::default();
    for ((schema, name), oid) in numbers(source) {
        comparison.all += 1;
        match there.get(&(schema.clone(), name.clone())) {
            Some(other) if *other == oid => comparison.same += 1,
            Some(other) => {
                comparison.others.push(format!("{schema}.{name} ({oid}, there {other})"))
            }
            None => comparison.others.push(format!("{schema}.{name} ({oid}, not there)")),
        }
    }
    comparison
}
