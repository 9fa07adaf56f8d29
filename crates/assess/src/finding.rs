//! What the catalogue makes of an inventory.

use std::collections::BTreeSet;

use changeover_types::{Waiver, WallMs};
use serde::{Deserialize, Serialize};

use crate::check::{Check, Verdict};
use crate::checks::CHECKS;
use crate::inventory::Inventory;
use crate::register::{Finding, Rule, accept, of_check, waiver_faults};

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The move must not begin.
    Blocker,
    /// Likely to hurt.
    High,
    /// May hurt.
    Medium,
    /// Worth knowing.
    Low,
}

impl Severity {
    /// All, worst first.
    pub const ALL: [Severity; 4] =
        [Severity::Blocker, Severity::High, Severity::Medium, Severity::Low];

    /// In a word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Blocker => "blocker",
            Severity::High => "high",
            Severity::Medium => "medium",
            Severity::Low => "low",
        }
    }
}

/// How one check came out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum Status {
    /// It found something.
    Found,
    /// It could not tell, and why. Not a pass.
    Unknown {
        /// One reason for each fact that is missing.
        why: Vec<String>,
    },
    /// Everything it looks at is known and in order.
    Passed,
    /// It is about something that this move does not have, and what.
    NotApplicable {
        /// What is not there.
        why: String,
    },
}

/// How one check came out, and its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// The check's.
    pub id: &'static str,
    /// The check's.
    pub title: &'static str,
    /// How it came out.
    #[serde(flatten)]
    pub status: Status,
    /// The worst that the check can find.
    pub severity: Severity,
    /// Facts that were missing, although something was found.
    pub missing: Vec<String>,
}

impl Outcome {
    /// Whether a fact was missing, so that the check could not tell all there is.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        matches!(self.status, Status::Unknown { .. }) || !self.missing.is_empty()
    }
}

/// How many rules and checks found something of each severity, waived ones apart: never a percentage, which would hide
/// one red among many greens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Score {
    /// Blockers.
    pub blocker: usize,
    /// High.
    pub high: usize,
    /// Medium.
    pub medium: usize,
    /// Low.
    pub low: usize,
    /// Checks that could not tell, or not all of it.
    pub unknown: usize,
    /// Rules and checks whose findings are accepted for now.
    pub waived: usize,
    /// Checks that passed.
    pub passed: usize,
    /// Checks about something that this move does not have.
    pub not_applicable: usize,
}

impl Score {
    /// Whether the move must not begin: one blocker is enough.
    #[must_use]
    pub fn blocks(&self) -> bool {
        self.blocker > 0
    }

    fn slot(&mut self, severity: Severity) -> &mut usize {
        match severity {
            Severity::Blocker => &mut self.blocker,
            Severity::High => &mut self.high,
            Severity::Medium => &mut self.medium,
            Severity::Low => &mut self.low,
        }
    }
}

/// Everything that the catalogue has to say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Assessment {
    /// When the facts were gathered.
    pub at: WallMs,
    /// The counts.
    pub score: Score,
    /// The register: worst first, of a severity the preflight's first.
    pub findings: Vec<Finding>,
    /// One for each check, in the catalogue's order.
    pub outcomes: Vec<Outcome>,
    /// What is wrong with the waivers: expired ones, and ones of no check.
    pub waiver_faults: Vec<String>,
}

/// Judges an inventory, and puts beside it what the preflight found by its `rules`. `waivers` that
/// expired before the inventory's time count as none.
#[must_use]
pub fn assess(
    inventory: &Inventory,
    preflight: Vec<Finding>,
    rules: &[Rule],
    waivers: &[Waiver],
) -> Assessment {
    judge(CHECKS, inventory, preflight, rules, waivers)
}

fn judge(
    checks: &[Check],
    inventory: &Inventory,
    preflight: Vec<Finding>,
    rules: &[Rule],
    waivers: &[Waiver],
) -> Assessment {
    let mut score = Score::default();
    let (mut findings, mut outcomes) = (preflight, Vec::new());
    for check in checks {
        let verdict = (check.judge)(inventory);
        outcomes.push(outcome(check, &verdict, &mut score));
        findings.extend(of_check(check, verdict.found));
    }
    let rules: Vec<Rule> = rules.iter().copied().chain(checks.iter().map(Check::as_rule)).collect();
    accept(&mut findings, &rules, waivers, inventory.at);
    findings.sort_by_key(|finding| (finding.waiver.is_some(), finding.severity));
    let mut counted = BTreeSet::new();
    for finding in findings.iter().filter(|finding| counted.insert(finding.id)) {
        match finding.waiver {
            Some(_) => score.waived += 1,
            None => *score.slot(finding.severity) += 1,
        }
    }
    Assessment {
        at: inventory.at,
        score,
        findings,
        outcomes,
        waiver_faults: waiver_faults(&rules, waivers, inventory.at),
    }
}

fn outcome(check: &Check, verdict: &Verdict, score: &mut Score) -> Outcome {
    let mut missing = Vec::new();
    let status = if !verdict.found.is_empty() {
        missing.clone_from(&verdict.unknown);
        score.unknown += usize::from(!missing.is_empty());
        Status::Found
    } else if !verdict.unknown.is_empty() {
        score.unknown += 1;
        Status::Unknown { why: verdict.unknown.clone() }
    } else if let Some(why) = verdict.not_applicable.clone() {
        score.not_applicable += 1;
        Status::NotApplicable { why }
    } else {
        score.passed += 1;
        Status::Passed
    };
    Outcome { id: check.id, title: check.title, status, severity: check.severity, missing }
}

#[cfg(test)]
mod tests;
