//! The register: everything that stands in a move's way or that somebody should know of it.
//!
//! A rule adds what it found to [`Findings`]; things of one kind are one [`Finding`] with their
//! number, their names and the statements that mend them all. Somebody may accept a finding for a
//! while ([`accept`]), unless its [`Rule`] says that nobody can.

use std::collections::BTreeSet;
use std::fmt::{self, Display};

use changeover_types::{Side, Waiver, WallMs};
use serde::Serialize;

use crate::finding::Severity;

/// This many names are shown; the others are counted.
const SHOWN: usize = 8;

/// What a rule says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Rule {
    /// Stable: `no_identity`.
    pub id: &'static str,
    /// The worst that it can find.
    pub severity: Severity,
    /// When it fires.
    pub fires: &'static str,
    /// Whether a waiver is heeded: nobody can accept what would lose rows.
    pub waivable: bool,
}

/// One thing that was found, or several of one kind on one side.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The rule's.
    pub id: &'static str,
    /// How much it matters.
    pub severity: Severity,
    /// On which side; `None` if it is about both or neither.
    pub side: Option<Side>,
    /// What was found; of several things their number and the first names.
    pub what: String,
    /// Each of several things; empty if `what` says it all.
    pub seen: Vec<String>,
    /// Why it matters.
    pub why: String,
    /// What to do; empty if there is nothing to do.
    pub fix: String,
    /// The statements that mend all of it, where statements can.
    pub script: Vec<String>,
    /// Why it is accepted.
    pub waiver: Option<Waiver>,
}

impl Finding {
    /// Whether it forbids the start.
    #[must_use]
    pub fn blocks(&self) -> bool {
        self.severity == Severity::Blocker && self.waiver.is_none()
    }
}

impl Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(side) = self.side {
            write!(f, "{side}: ")?;
        }
        write!(f, "{}: {}", self.what, self.why)?;
        if !self.fix.is_empty() {
            write!(f, ". {}", self.fix)?;
        }
        write!(f, " [{}]", self.id)
    }
}

/// One of several things, and the statement that mends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thing {
    name: String,
    statement: Option<String>,
}

impl Thing {
    /// With the statement that mends it.
    pub fn mended_by(name: impl Display, statement: impl Into<String>) -> Thing {
        Thing { name: name.to_string(), statement: Some(statement.into()) }
    }
}

impl<T: Display> From<T> for Thing {
    fn from(name: T) -> Thing {
        Thing { name: name.to_string(), statement: None }
    }
}

/// Collects what rules find.
#[derive(Debug, Default)]
pub struct Findings(Vec<Finding>);

impl Findings {
    /// What was found, why it matters, and what to do about it.
    pub fn add(
        &mut self,
        severity: Severity,
        id: &'static str,
        side: impl Into<Option<Side>>,
        [what, why, fix]: [String; 3],
    ) {
        let (seen, script) = (Vec::new(), Vec::new());
        let side = side.into();
        self.0.push(Finding { id, severity, side, what, seen, why, fix, script, waiver: None });
    }

    /// The statement that mends what was added last.
    pub fn mended_by(&mut self, statement: impl Into<String>) {
        if let Some(last) = self.0.last_mut() {
            last.script.push(statement.into());
        }
    }

    /// Things of one kind, called `one` or `several` of them; nothing if there are none.
    pub fn many(
        &mut self,
        severity: Severity,
        id: &'static str,
        side: impl Into<Option<Side>>,
        [one, several]: [&str; 2],
        things: impl IntoIterator<Item = impl Into<Thing>>,
        [why, fix]: [&str; 2],
    ) {
        let things: Vec<Thing> = things.into_iter().map(Into::into).collect();
        let called = match things.len() {
            0 => return,
            1 => one,
            _ => several,
        };
        let (mut seen, mut script, mut known) = (Vec::new(), Vec::new(), BTreeSet::new());
        for thing in things {
            seen.push(thing.name);
            let statement = thing.statement.filter(|it| known.insert(it.clone()));
            script.extend(statement);
        }
        let what = format!("{} {called}: {}", seen.len(), list(&seen));
        let (why, fix, side) = (why.to_owned(), fix.to_owned(), side.into());
        self.0.push(Finding { id, severity, side, what, seen, why, fix, script, waiver: None });
    }

    /// Takes the fact, or records that it could not be had.
    pub fn known<'a, T>(
        &mut self,
        severity: Severity,
        id: &'static str,
        side: Side,
        topic: &str,
        fact: &'a Result<T, String>,
    ) -> Option<&'a T> {
        match fact {
            Ok(value) => Some(value),
            Err(e) => {
                let what = format!("{topic} could not be checked");
                let fix = "Give our role the right to read it, and run the preflight again".into();
                self.add(severity, id, side, [what, e.clone(), fix]);
                None
            }
        }
    }

    /// Each rule's findings of a side as one, the worst first.
    #[must_use]
    pub fn finish(self) -> Vec<Finding> {
        let mut kinds: Vec<Vec<Finding>> = Vec::new();
        for finding in self.0 {
            let same = |kind: &&mut Vec<Finding>| {
                kind.iter().any(|it| (it.id, it.side) == (finding.id, finding.side))
            };
            match kinds.iter_mut().find(same) {
                Some(kind) => kind.push(finding),
                None => kinds.push(vec![finding]),
            }
        }
        let mut findings: Vec<Finding> = kinds.into_iter().filter_map(together).collect();
        findings.sort_by_key(|finding| (finding.severity, finding.side));
        findings
    }
}

/// Several findings of one kind as one.
fn together(mut kind: Vec<Finding>) -> Option<Finding> {
    if kind.len() < 2 {
        return kind.pop();
    }
    let all = |of: fn(&Finding) -> &String| -> Vec<String> {
        let mut known = BTreeSet::new();
        kind.iter().map(of).filter(|it| !it.is_empty() && known.insert(*it)).cloned().collect()
    };
    let whats = all(|it| &it.what);
    let first = kind.first()?;
    Some(Finding {
        id: first.id,
        severity: kind.iter().map(|it| it.severity).min()?,
        side: first.side,
        what: listed(&whats, "; "),
        seen: match kind.iter().all(|it| it.seen.is_empty()) {
            true => whats,
            false => kind.iter().flat_map(|it| it.seen.clone()).collect(),
        },
        why: listed(&all(|it| &it.why), "; "),
        fix: listed(&all(|it| &it.fix), "; "),
        script: kind.iter().flat_map(|it| it.script.clone()).collect(),
        waiver: None,
    })
}

/// At most eight names, and how many more there are.
pub fn list<T: Display>(names: impl IntoIterator<Item = T>) -> String {
    listed(&names.into_iter().map(|name| name.to_string()).collect::<Vec<_>>(), ", ")
}

fn listed(names: &[String], between: &str) -> String {
    let shown: Vec<&str> = names.iter().take(SHOWN).map(String::as_str).collect();
    let more = match names.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    shown.join(between) + &more
}

/// Marks what somebody accepts. A waiver that has expired counts as none, and so does one of a rule
/// that cannot be accepted; a rule that `rules` does not name can be unless it blocks.
pub fn accept(findings: &mut [Finding], rules: &[Rule], waivers: &[Waiver], now: WallMs) {
    for finding in findings {
        let rule = rules.iter().find(|rule| rule.id == finding.id);
        if rule.map_or(finding.severity != Severity::Blocker, |rule| rule.waivable) {
            let valid = waivers.iter().find(|it| it.id == finding.id && it.until > now);
            finding.waiver = valid.cloned();
        }
    }
}

#[cfg(test)]
mod tests;
