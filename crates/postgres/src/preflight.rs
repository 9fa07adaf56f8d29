//! May we, and what can we promise?
//!
//! Reading ([`SideFacts`]) and judging ([`judge`]) are apart: the judgement is a pure function of
//! what was read, so every rule has a test that needs no server. A fact that could not be read is
//! a finding, never a pass.

mod data;
mod facts;
mod promises;
mod rights;
mod server;
mod target;

use std::fmt;

use changeover_types::Side;
use serde::{Deserialize, Serialize};

pub use facts::{
    DatabaseFacts, Directness, Fact, LeftOver, OpenTransaction, ReplicationFacts, RoleFacts,
    SideFacts,
};
pub use promises::Promise;

use crate::catalog::{Catalog, Selection};
use crate::schema::Tools;
use crate::session::Session;

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The migration must not start.
    Blocker,
    /// It may, but something that a user may expect will not hold.
    Warning,
    /// Worth knowing.
    Note,
}

/// One thing that a preflight found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Stable, for tests and for plans that accept a warning.
    pub id: &'static str,
    /// How much it matters.
    pub severity: Severity,
    /// Where; `None` if it is about both.
    pub side: Option<Side>,
    /// What was found.
    pub what: String,
    /// Why it matters.
    pub why: String,
    /// What to do, as a command where there is one; empty for notes.
    pub fix: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.side {
            Some(side) => write!(f, "{side}: {}", self.what)?,
            None => write!(f, "{}", self.what)?,
        }
        write!(f, ": {}", self.why)?;
        if !self.fix.is_empty() {
            write!(f, ". {}", self.fix)?;
        }
        write!(f, " [{}]", self.id)
    }
}

/// What the operator declared.
#[derive(Clone, Debug)]
pub struct Options {
    /// The plan says that the source's standbys will never be promoted.
    pub standbys_never_promoted: bool,
    /// A transaction open for longer than this many seconds is a warning.
    pub long_transaction_s: u64,
    /// Tables copied side by side; decides how many connections are needed.
    pub copy_jobs: usize,
}

impl Default for Options {
    fn default() -> Self {
        Options { standbys_never_promoted: false, long_transaction_s: 300, copy_jobs: 4 }
    }
}

/// Everything that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Preflight {
    /// Blockers first.
    pub findings: Vec<Finding>,
    /// What these databases, these roles and this plan can promise, and what not.
    pub promises: Vec<Promise>,
}

impl Preflight {
    /// What forbids the start.
    pub fn blockers(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.severity == Severity::Blocker)
    }

    /// The finding called `id`, if there is one.
    #[must_use]
    pub fn finding(&self, id: &str) -> Option<&Finding> {
        self.findings.iter().find(|finding| finding.id == id)
    }

    /// Whether owners and grants can be kept on the target.
    #[must_use]
    pub fn keeps_ownership(&self) -> bool {
        self.promises.iter().any(|promise| promise.id == "ownership" && promise.kept)
    }
}

/// Everything a judgement is made from.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// The source besides its catalogue.
    pub source: SideFacts,
    /// The target besides its catalogue.
    pub target: SideFacts,
    /// The source's moved objects.
    pub source_catalog: Fact<Catalog>,
    /// What the target already has under the same selection.
    pub target_catalog: Fact<Catalog>,
    /// Rows found on the target in tables that are to be filled.
    pub filled: Fact<Vec<String>>,
    /// `pg_dump` and `pg_restore`.
    pub tools: Fact<Tools>,
    /// What the operator declared.
    pub options: Options,
}

/// Reads both sides and judges them. Changes nothing.
pub async fn check(
    source: &mut Session,
    target: &mut Session,
    selection: &Selection,
    options: Options,
) -> Preflight {
    let source_facts = SideFacts::read(source, selection).await;
    let target_facts = SideFacts::read(target, selection).await;
    let source_catalog = Catalog::read(source, selection).await.map_err(|e| e.to_string());
    let target_catalog = Catalog::read(target, selection).await.map_err(|e| e.to_string());
    let filled = match &target_catalog {
        Ok(catalog) => target::filled(target, catalog).await,
        Err(e) => Err(e.clone()),
    };
    let newest = [&source_facts, &target_facts]
        .into_iter()
        .filter_map(|side| Some(side.server.as_ref().ok()?.major()))
        .max();
    let tools = Tools::find(newest.unwrap_or(0)).await.map_err(|e| e.to_string());
    judge(&Evidence {
        source: source_facts,
        target: target_facts,
        source_catalog,
        target_catalog,
        filled,
        tools,
        options,
    })
}

/// The judgement: pure.
#[must_use]
pub fn judge(evidence: &Evidence) -> Preflight {
    let mut findings = Findings::default();
    server::judge(evidence, &mut findings);
    rights::judge(evidence, &mut findings);
    data::judge(evidence, &mut findings);
    target::judge(evidence, &mut findings);
    let Findings(mut findings) = findings;
    findings.sort_by_key(|finding| (finding.severity, finding.side));
    let promises = promises::promises(evidence, &findings);
    Preflight { findings, promises }
}

/// Collects findings.
#[derive(Debug, Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn add(
        &mut self,
        severity: Severity,
        id: &'static str,
        side: impl Into<Option<Side>>,
        [what, why, fix]: [String; 3],
    ) {
        self.0.push(Finding { id, severity, side: side.into(), what, why, fix });
    }

    /// Takes the fact, or records that it could not be had.
    fn known<'a, T>(
        &mut self,
        severity: Severity,
        id: &'static str,
        side: Side,
        topic: &str,
        fact: &'a Fact<T>,
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
}

/// At most eight names, and how many more there are.
fn list<T: fmt::Display>(names: impl IntoIterator<Item = T>) -> String {
    let names: Vec<String> = names.into_iter().map(|name| name.to_string()).collect();
    let more = names.len().saturating_sub(8);
    let mut text = names.iter().take(8).map(String::as_str).collect::<Vec<_>>().join(", ");
    if more > 0 {
        text.push_str(&format!(" and {more} more"));
    }
    text
}
