//! May we, and what can we promise?
//!
//! Reading ([`SideFacts`]) and judging ([`judge`]) are apart: the judgement is a pure function of
//! what was read, so every rule has a test that needs no server. A fact that could not be read is
//! a finding, never a pass.

mod access;
mod configuration;
mod data;
mod facts;
mod hidden;
mod ownership;
mod promises;
mod properties;
mod rights;
mod roles;
mod rules;
mod sequences;
mod server;
mod statements;
mod tablespaces;
mod target;
mod trial;
mod tried;
mod type_numbers;

use changeover_assess::register::accept;
use changeover_types::{Side, Waiver, WallMs};
use serde::Serialize;

pub use access::AccessFacts;
pub use changeover_assess::Severity;
pub use changeover_assess::register::Finding;
pub use facts::{
    DatabaseFacts, Directness, Fact, LeftOver, OpenTransaction, ReplicationFacts, RoleFacts,
    SideFacts,
};
pub use ownership::{Owner, Ownership, Standing};
pub use promises::Promise;
pub use properties::Refused;
pub use roles::RoleEntry;
pub use rules::RULES;
pub use tablespaces::Tablespaces;
pub use trial::{Outcome, Tried, Trying};
pub use type_numbers::TypeNumbers;

use changeover_assess::register::{Findings, Thing, list};

use crate::catalog::{Catalog, Need, Selection, needs};
use crate::schema::Tools;
use crate::schema::trial::Failure;
use crate::session::Session;

/// What the operator declared.
#[derive(Clone, Debug)]
pub struct Options {
    /// The plan says that the source's standbys will never be promoted.
    pub standbys_never_promoted: bool,
    /// A transaction open for longer than this many seconds is a warning.
    pub long_transaction_s: u64,
    /// Roles that the plan lets in through the PostgreSQL gate.
    pub users: Vec<String>,
    /// Tables copied side by side; decides how many connections are needed.
    pub copy_jobs: usize,
    /// Tables and indexes stay in tablespaces of the same names.
    pub keep_tablespaces: bool,
    /// Findings that somebody accepts.
    pub waivers: Vec<Waiver>,
    /// The time of the judgement: waivers end.
    pub now: WallMs,
    /// How many numbers each sequence is to set aside.
    pub sequence_margin: u64,
    /// How many of the target's numbers may be used up so that types get the source's.
    pub type_numbers_budget: u64,
    /// Clients go through a PostgreSQL gate, which translates type numbers.
    pub postgres_gate: bool,
    /// What this run itself has placed on the target, as the objects of [`SideFacts`] are called.
    pub placed: std::collections::BTreeSet<String>,
    /// Whether the schema is tried on the target.
    pub trying: Trying,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            standbys_never_promoted: false,
            long_transaction_s: 300,
            users: Vec::new(),
            copy_jobs: 4,
            keep_tablespaces: true,
            waivers: Vec::new(),
            now: WallMs(0),
            sequence_margin: 10_000,
            type_numbers_budget: 20_000_000,
            postgres_gate: false,
            placed: std::collections::BTreeSet::new(),
            trying: Trying::No,
        }
    }
}

/// Everything that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Preflight {
    /// Blockers first.
    pub findings: Vec<Finding>,
    /// What these databases, these roles and this plan can promise, and what not.
    pub promises: Vec<Promise>,
    /// Whether everything can belong on the target to whom it belongs on the source.
    #[serde(skip)]
    owners_kept: bool,
}

impl Preflight {
    /// What forbids the start.
    pub fn blockers(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.blocks())
    }

    /// The finding called `id`, if there is one.
    #[must_use]
    pub fn finding(&self, id: &str) -> Option<&Finding> {
        self.findings.iter().find(|finding| finding.id == id)
    }

    /// Whether owners can be kept on the target: all of them, or the restore sets none.
    #[must_use]
    pub fn keeps_ownership(&self) -> bool {
        self.owners_kept
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
    /// Types and their numbers.
    pub type_numbers: Fact<TypeNumbers>,
    /// What would be restored and needs something that is left out.
    pub needs: Fact<Vec<Need>>,
    /// The source's tables that our sessions cannot read.
    pub reads: Fact<Vec<Failure>>,
    /// What the way back would run on the source and cannot.
    pub back: Fact<Vec<Failure>>,
    /// Properties of the database that cannot be given to the target's.
    pub properties: Fact<Vec<Refused>>,
    /// What came of restoring the schema on the target.
    pub trial: Tried,
    /// Who owns what moves, and whether the target knows them.
    pub ownership: Fact<Ownership>,
    /// Tablespaces that are used and that are there.
    pub tablespaces: Fact<Tablespaces>,
    /// Who uses the source, and what they may do on both sides.
    pub access: Fact<AccessFacts>,
    /// What the operator declared.
    pub options: Options,
}

/// Reads both sides and judges them. Changes nothing: what is tried on the target is rolled back.
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
    let ownership = Ownership::read(source, target, selection).await;
    let tablespaces = Tablespaces::read(source, target, selection).await;
    let newest = [&source_facts, &target_facts]
        .into_iter()
        .filter_map(|side| Some(side.server.as_ref().ok()?.major()))
        .max();
    let tools = Tools::find(newest.unwrap_or(0)).await.map_err(|e| e.to_string());
    let reads = match &source_catalog {
        Ok(catalog) => trial::reads(source.config(), catalog).await,
        // That is a finding of its own.
        Err(_) => Ok(Vec::new()),
    };
    let back = match (&source_catalog, &target_facts.server) {
        (Ok(catalog), Ok(server)) => {
            let planned = statements::on_source(source.config(), catalog, &server.encoding).await;
            planned.map_err(|e| e.to_string())
        }
        // That is a finding of its own.
        _ => Ok(Vec::new()),
    };
    let needs = needs(source, selection).await.map_err(|e| e.to_string());
    let trying = options.trying;
    let mut evidence = Evidence {
        source: source_facts,
        target: target_facts,
        source_catalog,
        target_catalog,
        filled,
        tools,
        type_numbers: type_numbers::facts(source, target, selection).await,
        ownership,
        tablespaces,
        needs,
        reads,
        back,
        properties: properties::read(source, target, trying).await,
        trial: Tried::NotAsked,
        access: access::read(source, target, selection, &options.users).await,
        options,
    };
    evidence.trial = match trying {
        Trying::No => Tried::NotAsked,
        Trying::ReadOnly => Tried::Spared(tried::READ_ONLY.to_owned()),
        Trying::Asked => trial::run([source.config(), target.config()], selection, &evidence).await,
    };
    judge(&evidence)
}

/// Reads and judges one side, when the other is not to be had. Changes nothing.
pub async fn check_one(
    session: &mut Session,
    selection: &Selection,
    options: Options,
) -> Vec<Finding> {
    let side = session.side();
    let facts = SideFacts::read(session, selection).await;
    let catalog = Catalog::read(session, selection).await.map_err(|e| e.to_string());
    let unread = "nobody looked";
    let ours = (facts, catalog);
    let theirs = (SideFacts::unread(unread), Err(unread.to_owned()));
    let (source, target) = match side {
        Side::Source => (ours, theirs),
        Side::Target => (theirs, ours),
    };
    let mut findings = judge(&Evidence {
        source: source.0,
        target: target.0,
        source_catalog: source.1,
        target_catalog: target.1,
        filled: Ok(Vec::new()),
        tools: Err(unread.to_owned()),
        type_numbers: Err(unread.to_owned()),
        needs: Err(unread.to_owned()),
        reads: Err(unread.to_owned()),
        back: Err(unread.to_owned()),
        properties: Err(unread.to_owned()),
        trial: Tried::NotAsked,
        ownership: Err(unread.to_owned()),
        tablespaces: Err(unread.to_owned()),
        access: Err(unread.to_owned()),
        options,
    })
    .findings;
    findings.retain(|finding| finding.side == Some(side) && finding.why != unread);
    findings
}

/// The judgement: pure.
#[must_use]
pub fn judge(evidence: &Evidence) -> Preflight {
    let mut findings = Findings::default();
    server::judge(evidence, &mut findings);
    rights::judge(evidence, &mut findings);
    data::judge(evidence, &mut findings);
    configuration::judge(evidence, &mut findings);
    target::judge(evidence, &mut findings);
    roles::judge(evidence, &mut findings);
    tried::judge(evidence, &mut findings);
    properties::judge(evidence, &mut findings);
    ownership::judge(evidence, &mut findings);
    tablespaces::judge(evidence, &mut findings);
    type_numbers::judge(evidence, &mut findings);
    access::judge(evidence, &mut findings);
    hidden::judge(evidence, &mut findings);
    let mut findings = findings.finish();
    accept(&mut findings, RULES, &evidence.options.waivers, evidence.options.now);
    let promises = promises::promises(&findings);
    let owners_kept = evidence.ownership.as_ref().is_ok_and(Ownership::can_be_kept);
    Preflight { findings, promises, owners_kept }
}
