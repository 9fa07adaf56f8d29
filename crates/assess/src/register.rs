//! The register: everything that stands in a move's way or that somebody should know of it.
//!
//! A rule adds what it found to [`Findings`]; things of one kind are one [`Finding`] with their
//! number, their names and the statements that mend them all. Somebody may accept a finding for a
//! while ([`accept`]), unless its [`Rule`] says that nobody can.

use std::collections::BTreeSet;
use std::fmt::{self, Display};

use changeover_types::{Side, Waiver, WallMs};
use serde::Serialize;

use crate::check::{Check, Found, Owner};
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
    /// What was found; of several things their number.
    pub what: String,
    /// Each of several things; empty if `what` says it all.
    pub seen: Vec<String>,
    /// Why it matters.
    pub why: String,
    /// What to do; empty if there is nothing to do.
    pub fix: String,
    /// The statements that mend all of it, where statements can.
    pub script: Vec<String>,
    /// Whose work that is.
    pub owner: Owner,
    /// Why it is accepted.
    pub waiver: Option<Waiver>,
}

impl Finding {
    /// What was found, with the first names.
    #[must_use]
    pub fn line(&self) -> String {
        if self.seen.is_empty() {
            return self.what.clone();
        }
        let between = if self.seen.iter().any(|it| it.contains(", ")) { "; " } else { ", " };
        format!("{}: {}", self.what, listed(&self.seen, between))
    }

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
        write!(f, "{}: {}", self.line(), self.why)?;
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
        let (side, owner) = (side.into(), Owner::Database);
        let found =
            Finding { id, severity, side, what, seen, why, fix, script, owner, waiver: None };
        self.0.push(found);
    }

    /// Whether the rule has found something.
    #[must_use]
    pub fn has(&self, id: &str) -> bool {
        self.0.iter().any(|finding| finding.id == id)
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
        let what = format!("{} {called}", seen.len());
        let (why, fix, side, owner) =
            (why.to_owned(), fix.to_owned(), side.into(), Owner::Database);
        let found =
            Finding { id, severity, side, what, seen, why, fix, script, owner, waiver: None };
        self.0.push(found);
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
    let first = kind.first()?;
    let each = kind.iter().flat_map(|it| match it.seen.is_empty() {
        true => vec![it.what.clone()],
        false => it.seen.clone(),
    });
    Some(Finding {
        severity: kind.iter().map(|it| it.severity).min()?,
        what: format!("{} of a kind", kind.len()),
        seen: each.collect(),
        why: all(|it| &it.why).join("; "),
        fix: all(|it| &it.fix).join("; "),
        script: kind.iter().flat_map(|it| it.script.clone()).collect(),
        ..first.clone()
    })
}

/// What a check saw, as one finding for each side.
pub(crate) fn of_check(check: &Check, found: Vec<Found>) -> Vec<Finding> {
    let mut findings: Vec<Finding> = Vec::new();
    for it in found {
        let severity = it.severity.unwrap_or(check.severity);
        let known = findings.iter_mut().find(|finding| finding.side == it.side);
        if let Some(finding) = known {
            finding.severity = finding.severity.min(severity);
            finding.seen.push(it.evidence);
            finding.script.extend(it.fix);
            continue;
        }
        findings.push(Finding {
            id: check.id,
            severity,
            side: it.side,
            what: check.title.to_owned(),
            seen: vec![it.evidence],
            why: check.why.to_owned(),
            fix: check.mitigation.to_owned(),
            script: it.fix.into_iter().collect(),
            owner: check.owner,
            waiver: None,
        });
    }
    findings
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

/// What is wrong with the waivers: expired ones, and ones of nothing or of what nobody can accept.
pub fn waiver_faults(rules: &[Rule], waivers: &[Waiver], now: WallMs) -> Vec<String> {
    let fault = |waiver: &Waiver| {
        let Waiver { id, by, until, .. } = waiver;
        match rules.iter().find(|rule| rule.id == id) {
            None => Some(format!("the waiver of {id} is of no check")),
            Some(rule) if !rule.waivable => {
                Some(format!("{id} cannot be accepted: mend it, and drop the waiver by {by}"))
            }
            Some(_) if *until <= now => Some(format!("the waiver of {id} by {by} has expired")),
            Some(_) => None,
        }
    };
    waivers.iter().filter_map(fault).collect()
}

#[cfg(test)]
mod tests;
