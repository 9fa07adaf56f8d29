//! A rehearsal: the plan carried out where nothing is at stake, the way back included.
//!
//! The source is read and followed, never sealed; what seals, moves authority and goes back happens
//! between two throw-away databases. [`next`] is the order of it all: whatever fails, everything that
//! was made is removed last.

mod raw;
mod walk;

use serde::Serialize;

use crate::model::Plan;

pub use raw::step_text;
pub use walk::{Boundary, LeftOut, Station, Walk, walk};

/// Something that a rehearsal does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Act {
    /// Remove what an earlier rehearsal left.
    Sweep,
    /// Is the named database ours to use: not a side of the plan, and empty?
    Inspect,
    /// Copy the source into it, follow, compare.
    Copy,
    /// Make a second database from the first, with nothing of ours in it.
    Duplicate,
    /// Remove the copy, and everything of ours from the source.
    Leave,
    /// Through the plan's own steps from the second database to the first, with writes meanwhile;
    /// back and there again at every boundary.
    Walk,
    /// Take authority back for good, and compare.
    Return,
    /// Remove that migration.
    Remove,
    /// Write down what everything took.
    Record,
    /// Remove what is left: databases, folders, and after a failure everything.
    CleanUp,
}

/// In order.
const ORDER: [Act; 10] = [
    Act::Sweep,
    Act::Inspect,
    Act::Copy,
    Act::Duplicate,
    Act::Leave,
    Act::Walk,
    Act::Return,
    Act::Remove,
    Act::Record,
    Act::CleanUp,
];

impl Act {
    /// For people.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Act::Sweep => "removing what an earlier rehearsal left",
            Act::Inspect => "looking at the throw-away database",
            Act::Copy => "copying the source into it, following and comparing",
            Act::Duplicate => "making a second throw-away database from it",
            Act::Leave => "removing everything from the source and the first database",
            Act::Walk => {
                "walking from the second database to the first, back from behind every step"
            }
            Act::Return => "going back for good, and comparing",
            Act::Remove => "removing that migration",
            Act::Record => "writing down what was measured",
            Act::CleanUp => "removing what is left",
        }
    }
}

/// What is next after these; `None` if the rehearsal is over. A failure leads to
/// [`Act::CleanUp`] at once, unless nothing was begun yet.
#[must_use]
pub fn next(done: &[Act], failed: Option<Act>) -> Option<Act> {
    match failed {
        None => ORDER.into_iter().find(|act| !done.contains(act)),
        // What could not be removed, or is not ours, is left for the operator.
        Some(Act::Sweep | Act::Inspect | Act::CleanUp) => None,
        Some(_) => Some(Act::CleanUp).filter(|act| !done.contains(act)),
    }
}

/// Whether the plan can be rehearsed, and if not, why.
///
/// # Errors
/// With the reason.
pub fn can_rehearse(plan: &Plan) -> Result<(), &'static str> {
    if !plan.moves_data() {
        return Err("it moves no data: a canary's rehearsal is the canary");
    }
    if plan.rehearsal.is_none() {
        return Err("it names no throw-away database");
    }
    if walk(plan).stations.is_empty() {
        return Err("none of its steps can be rehearsed");
    }
    Ok(())
}

/// Where a rehearsed step's time belongs in the plan: every step of the same kind.
#[must_use]
pub fn paths_of(plan: &Plan, rehearsed: &str) -> Vec<String> {
    let kind = rehearsed.rsplit('/').next().unwrap_or(rehearsed);
    let kind = kind.split('-').next().unwrap_or(kind);
    let same = plan.steps().filter(|placed| placed.step.name() == kind);
    same.map(|placed| placed.path).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(fails: Option<Act>) -> Vec<Act> {
        let (mut done, mut failed, mut all) = (Vec::new(), None, Vec::new());
        while let Some(act) = next(&done, failed) {
            all.push(act);
            assert!(all.len() <= ORDER.len() + 1, "it never ends: {all:?}");
            if fails == Some(act) {
                failed = Some(act);
            } else {
                done.push(act);
            }
        }
        all
    }

    #[test]
    fn a_rehearsal_goes_through_all_acts_in_order() {
        assert_eq!(run(None), ORDER);
    }

    #[test]
    fn whatever_fails_everything_is_removed_last_and_nothing_is_recorded() {
        for fails in ORDER {
            let all = run(Some(fails));
            match fails {
                Act::Sweep | Act::Inspect => assert_eq!(all.last(), Some(&fails)),
                _ => assert_eq!(all.last(), Some(&Act::CleanUp), "{fails:?}"),
            }
            let recorded = all.contains(&Act::Record);
            assert_eq!(recorded, fails >= Act::Record, "{fails:?}");
        }
    }
}
