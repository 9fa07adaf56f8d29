//! What the databases, the roles and the plan can promise together: looks, changes nothing.

mod bypass;
mod gate;
mod traffic;
mod unmovable;
pub(crate) mod upstreams;

use std::path::Path;

use changeover_assess::Severity;
use changeover_assess::register::{Finding, Findings, Rule, accept};
use changeover_plan::Plan;
use changeover_postgres::preflight as database;
pub use changeover_postgres::preflight::Trying;
use changeover_postgres::session::Session;
use changeover_types::Side;
use serde::Serialize;

use crate::Report;
use crate::databases::Databases;
use crate::declared;
use crate::gates::Gates;

pub(crate) const UNREADABLE: &str = "unreadable";

/// A side of which nothing is known.
const UNREADABLE_RULE: Rule = Rule {
    id: UNREADABLE,
    severity: Severity::Blocker,
    fires: "a database could not be read at all (`assess`; for `plan` it is an error)",
    waivable: false,
};

/// What is judged besides [`database::RULES`].
const RULES: &[Rule] = &[
    bypass::RULE,
    gate::RULES[0],
    gate::RULES[1],
    traffic::RULES[0],
    traffic::RULES[1],
    unmovable::RULE,
    upstreams::RULE,
    UNREADABLE_RULE,
];

/// Every rule of the preflight, by its id.
#[must_use]
pub fn rules() -> Vec<Rule> {
    let mut rules = [RULES, database::RULES].concat();
    rules.sort_by_key(|rule| rule.id);
    rules
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PreflightView {
    /// Blockers first.
    pub findings: Vec<Finding>,
    /// What can be promised and what not.
    pub promises: Vec<Promise>,
}

/// A promise and whether it holds here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Promise {
    /// What.
    pub what: String,
    /// Whether it holds.
    pub kept: bool,
    /// The findings against it, by id.
    pub risks: Vec<String>,
}

/// Connects to both databases and looks; `trying` tells whether the schema is restored on the target in a
/// transaction that is rolled back.
///
/// # Errors
/// If a database cannot be reached or a secret cannot be had.
pub async fn preflight(
    plan: &Plan,
    plan_path: &Path,
    state_dir: &Path,
    trying: Trying,
) -> Result<PreflightView, Report> {
    let databases = Databases::of_plan(plan, plan_path)?;
    let gates = Gates::if_planned(state_dir, plan, databases.as_ref());
    let Around { mut findings, promise } = around(plan, gates.as_ref()).await;
    let options = database::Options { trying, ..declared::preflight_options(plan) };
    let mut promises: Vec<Promise> = promise.into_iter().collect();
    let Some(databases) = databases else {
        return Ok(PreflightView { findings, promises });
    };
    let open = |side: Side| {
        let config = databases.of(side).clone();
        async move {
            Session::connect(&config, "changeover preflight").await.map_err(|e| {
                Report::new("CO0150", format!("the {side}'s database cannot be reached"))
                    .because(&e)
                    .hint(format!("it was tried as {}", config.redacted()))
            })
        }
    };
    let (mut source, mut target) = tokio::try_join!(open(Side::Source), open(Side::Target))?;
    let selection = declared::selection(plan)
        .map_err(|e| Report::new("CO0151", "data.include or data.exclude").because(&e))?;
    let found = database::check(&mut source, &mut target, &selection, options).await;
    findings.extend(found.findings);
    findings.extend(clients(plan, gates.as_ref(), &mut source).await);
    findings.sort_by_key(|finding| (finding.severity, finding.side));
    let of_data = found.promises.into_iter().map(|promise| Promise {
        what: promise.text,
        kept: promise.kept,
        risks: promise.risks.into_iter().map(str::to_owned).collect(),
    });
    promises.splice(0..0, of_data);
    Ok(PreflightView { findings, promises })
}

/// Which upstreams of the target cannot be connected to; `None` also if that is accepted.
pub(crate) async fn refusing_target(plan: &Plan) -> Option<String> {
    let now = crate::now();
    let waived =
        plan.answers.waivers.iter().any(|it| it.id == upstreams::UPSTREAM && it.until > now);
    let found = upstreams::refusing(plan, &[Side::Target]).await;
    (!waived && !found.is_empty()).then(|| upstreams::words(&found))
}

/// What was found around the databases.
pub(crate) struct Around {
    pub(crate) findings: Vec<Finding>,
    promise: Option<Promise>,
}

/// Looks at who works on the source.
pub(crate) async fn clients(
    plan: &Plan,
    gates: Option<&Gates>,
    source: &mut Session,
) -> Vec<Finding> {
    let mut findings = Findings::default();
    unmovable::judge(plan, source, &mut findings).await;
    bypass::judge(plan, gates, source, &mut findings).await;
    let mut findings = findings.finish();
    accept(&mut findings, RULES, &plan.answers.waivers, crate::now());
    findings
}

/// Looks at what is no database.
pub(crate) async fn around(plan: &Plan, gates: Option<&Gates>) -> Around {
    let mut findings = Findings::default();
    let mut promise = traffic::judge(plan, &mut findings);
    let refusing = upstreams::refusing(plan, &[Side::Source, Side::Target]).await;
    upstreams::judge(&refusing, &mut findings);
    if let (Some(promise), false) = (&mut promise, refusing.is_empty()) {
        promise.kept = false;
        promise.risks.push(upstreams::UPSTREAM.to_owned());
    }
    if let Some(gates) = gates {
        gate::judge(gates, &mut findings).await;
    }
    let mut findings = findings.finish();
    accept(&mut findings, RULES, &plan.answers.waivers, crate::now());
    Around { findings, promise }
}
