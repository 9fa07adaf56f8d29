//! A check: a pure function over the inventory, and what it says about itself.

use changeover_types::Side;
use serde::Serialize;

use crate::fact::Fact;
use crate::finding::Severity;
use crate::inventory::Inventory;

/// Whose work a mitigation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Owner {
    /// Who runs the databases.
    Database,
    /// Who runs hosts, networks and pipelines.
    Platform,
    /// Who writes the application.
    Application,
    /// Who answers for secrets, certificates and firewalls.
    Security,
}

impl Owner {
    /// In a word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Owner::Database => "database",
            Owner::Platform => "platform",
            Owner::Application => "application",
            Owner::Security => "security",
        }
    }
}

/// One entry of the catalogue.
#[derive(Clone, Copy, Debug)]
pub struct Check {
    /// Stable: `R01-wal-level`.
    pub id: &'static str,
    /// In a line.
    pub title: &'static str,
    /// The worst that it can find.
    pub severity: Severity,
    /// When it fires.
    pub rule: &'static str,
    /// Why it matters.
    pub why: &'static str,
    /// What to do.
    pub mitigation: &'static str,
    /// Whose work that is.
    pub owner: Owner,
    /// Looks.
    pub judge: fn(&Inventory) -> Verdict,
}

/// The catalogue, in the order of the ids.
pub const CHECKS: &[Check] = &[];

/// One thing that a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// If it is milder than the check's own.
    pub severity: Option<Severity>,
    /// On which side.
    pub side: Option<Side>,
    /// What was seen, and where.
    pub evidence: String,
    /// The command that mends it.
    pub fix: Option<String>,
}

/// What a check has to say. Nothing found and nothing unknown is a pass.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// What was found.
    pub found: Vec<Found>,
    /// Why it could not tell.
    pub unknown: Vec<String>,
    /// What this move does not have, so that there is nothing to look at.
    pub not_applicable: Option<String>,
}

impl Verdict {
    /// Takes a fact's value, or notes that the check cannot tell. `topic` is what was wanted.
    pub fn known<'a, T>(&mut self, topic: &str, fact: &'a Fact<T>) -> Option<&'a T> {
        match fact.get() {
            Ok(value) => Some(value),
            Err(why) => {
                self.unknown.push(format!("{topic}: {why}"));
                None
            }
        }
    }

    /// Something was found.
    pub fn fires(
        &mut self,
        side: impl Into<Option<Side>>,
        evidence: impl Into<String>,
    ) -> &mut Found {
        self.found.push(Found {
            severity: None,
            side: side.into(),
            evidence: evidence.into(),
            fix: None,
        });
        let last = self.found.len() - 1;
        &mut self.found[last]
    }
}

impl Found {
    /// Milder (or harder) than the check's own severity.
    pub fn as_severe_as(&mut self, severity: Severity) -> &mut Self {
        self.severity = Some(severity);
        self
    }

    /// With the command that mends it.
    pub fn mended_by(&mut self, fix: impl Into<String>) -> &mut Self {
        self.fix = Some(fix.into());
        self
    }
}
