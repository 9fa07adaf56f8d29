//! What the catalogue makes of an inventory.

use changeover_types::{Side, Waiver, WallMs};
use serde::{Deserialize, Serialize};

use crate::check::{Check, Owner, Verdict};
use crate::checks::CHECKS;
use crate::inventory::Inventory;

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

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The check's, for example `R01-wal-level`.
    pub id: &'static str,
    /// How much it matters.
    pub severity: Severity,
    /// The check's, in a line.
    pub title: &'static str,
    /// On which side; `None` if it is about both or neither.
    pub side: Option<Side>,
    /// What was seen, and where.
    pub evidence: String,
    /// Why it matters.
    pub why: &'static str,
    /// What to do.
    pub mitigation: &'static str,
    /// The command that does it, where there is one.
    pub fix: Option<String>,
    /// Whose work that is.
    pub owner: Owner,
    /// Why it is accepted.
    pub waiver: Option<Waiver>,
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

/// How many findings of each severity, waived ones apart: never a percentage, which would hide
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
    /// Findings that are accepted for now.
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
    /// Worst first, then in the catalogue's order.
    pub findings: Vec<Finding>,
    /// One for each check, in the catalogue's order.
    pub outcomes: Vec<Outcome>,
    /// What is wrong with the waivers: expired ones, and ones of no check.
    pub waiver_faults: Vec<String>,
}

/// Judges an inventory. `waivers` that expired before the inventory's time count as none.
#[must_use]
pub fn assess(inventory: &Inventory, waivers: &[Waiver]) -> Assessment {
    judge(CHECKS, inventory, waivers)
}

fn judge(checks: &[Check], inventory: &Inventory, waivers: &[Waiver]) -> Assessment {
    let mut score = Score::default();
    let (mut findings, mut outcomes) = (Vec::new(), Vec::new());
    for check in checks {
        let verdict = (check.judge)(inventory);
        let waiver =
            waivers.iter().find(|waiver| waiver.id == check.id && waiver.until > inventory.at);
        outcomes.push(outcome(check, &verdict, &mut score));
        for found in verdict.found {
            let severity = found.severity.unwrap_or(check.severity);
            match waiver {
                Some(_) => score.waived += 1,
                None => *score.slot(severity) += 1,
            }
            findings.push(Finding {
                id: check.id,
                severity,
                title: check.title,
                side: found.side,
                evidence: found.evidence,
                why: check.why,
                mitigation: check.mitigation,
                fix: found.fix,
                owner: check.owner,
                waiver: waiver.cloned(),
            });
        }
    }
    findings.sort_by_key(|finding| (finding.waiver.is_some(), finding.severity));
    Assessment {
        at: inventory.at,
        score,
        findings,
        outcomes,
        waiver_faults: faults(checks, inventory, waivers),
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

fn faults(checks: &[Check], inventory: &Inventory, waivers: &[Waiver]) -> Vec<String> {
    let mut faults = Vec::new();
    for waiver in waivers {
        if !checks.iter().any(|check| check.id == waiver.id) {
            faults.push(format!("the waiver of {} is of no check", waiver.id));
        } else if waiver.until <= inventory.at {
            faults.push(format!("the waiver of {} by {} has expired", waiver.id, waiver.by));
        }
    }
    faults
}

#[cfg(test)]
mod tests;
