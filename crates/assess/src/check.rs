//! A check: a pure function over the inventory, and what it says about itself.

use std::fmt;

use changeover_types::Side;
use serde::Serialize;

use crate::fact::Fact;
use crate::finding::Severity;
use crate::inventory::{Database, Inventory};
use crate::register::Rule;

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

impl Check {
    /// What a register wants to know of it: whatever it finds can be accepted.
    pub(crate) fn as_rule(&self) -> Rule {
        Rule { id: self.id, severity: self.severity, fires: self.rule, waivable: true }
    }
}

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

impl Found {
    /// Milder than the check's own severity.
    pub fn only(&mut self, severity: Severity) -> &mut Self {
        self.severity = Some(severity);
        self
    }

    /// With the command that mends it.
    pub fn mended_by(&mut self, fix: impl Into<String>) -> &mut Self {
        self.fix = Some(fix.into());
        self
    }
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
    /// There is nothing to look at.
    pub(crate) fn not_applicable(why: &str) -> Verdict {
        Verdict { not_applicable: Some(why.to_owned()), ..Verdict::default() }
    }

    /// Takes a fact's value, or notes that the check cannot tell. `topic` is what was wanted.
    pub(crate) fn known<'a, T>(
        &mut self,
        topic: impl fmt::Display,
        fact: &'a Fact<T>,
    ) -> Option<&'a T> {
        match fact.get() {
            Ok(value) => Some(value),
            Err(why) => {
                self.cannot_tell(format!("{topic}: {why}"));
                None
            }
        }
    }

    /// Notes why the check cannot tell.
    pub(crate) fn cannot_tell(&mut self, why: impl Into<String>) {
        let why = why.into();
        if !self.unknown.contains(&why) {
            self.unknown.push(why);
        }
    }

    /// Something was found.
    pub(crate) fn fires(
        &mut self,
        side: impl Into<Option<Side>>,
        evidence: impl Into<String>,
    ) -> &mut Found {
        let (side, evidence) = (side.into(), evidence.into());
        self.found.push(Found { severity: None, side, evidence, fix: None });
        let last = self.found.len() - 1;
        &mut self.found[last]
    }
}

/// Judges each database of the move.
pub(crate) fn each_database(
    inventory: &Inventory,
    judge: impl Fn(Side, &Database, &mut Verdict),
) -> Verdict {
    let mut verdict = Verdict::default();
    let sides = [Side::Source, Side::Target];
    let present = sides
        .into_iter()
        .filter_map(|side| Some((side, inventory.side(side).database.as_deref()?)));
    let mut any = false;
    for (side, database) in present {
        any = true;
        judge(side, database, &mut verdict);
    }
    if !any {
        return Verdict::not_applicable(NO_DATABASE);
    }
    verdict
}

/// Judges one side's database.
pub(crate) fn database(
    inventory: &Inventory,
    side: Side,
    judge: impl FnOnce(&Database, &mut Verdict),
) -> Verdict {
    let mut verdict = Verdict::default();
    match inventory.side(side).database.as_deref() {
        Some(database) => judge(database, &mut verdict),
        None => return Verdict::not_applicable(NO_DATABASE),
    }
    verdict
}

/// Judges the source's database against the target's.
pub(crate) fn both_databases(
    inventory: &Inventory,
    judge: impl FnOnce(&Database, &Database, &mut Verdict),
) -> Verdict {
    let sides = (inventory.source.database.as_deref(), inventory.target.database.as_deref());
    let (Some(source), Some(target)) = sides else { return Verdict::not_applicable(NO_DATABASE) };
    let mut verdict = Verdict::default();
    judge(source, target, &mut verdict);
    verdict
}

const NO_DATABASE: &str = "no database was given";
