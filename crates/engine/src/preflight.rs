//! What the databases, the roles and the plan can promise together: looks, changes nothing.

use std::path::Path;

use changeover_assess::Severity;
use changeover_assess::register::{Finding, Findings, Rule, accept};
use changeover_plan::Plan;
use changeover_postgres::preflight as database;
use changeover_postgres::session::Session;
use changeover_types::Side;
use serde::Serialize;

use crate::Report;
use crate::databases::Databases;
use crate::effects::data;

const NO_GATE: &str = "no_gate";

/// What is judged of the plan itself, besides [`database::RULES`].
pub const RULES: &[Rule] = &[Rule {
    id: NO_GATE,
    severity: Severity::Medium,
    fires: "data moves and the plan has no gate",
    waivable: true,
}];

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

/// Connects to both databases and looks.
///
/// # Errors
/// If a database cannot be reached or a secret cannot be had.
pub async fn preflight(plan: &Plan, plan_path: &Path) -> Result<PreflightView, Report> {
    let mut findings = Findings::default();
    let of_traffic = of_traffic(plan, &mut findings);
    let mut findings = findings.finish();
    let options = data::declared(plan);
    accept(&mut findings, RULES, &options.waivers, options.now);
    let mut promises: Vec<Promise> = of_traffic.into_iter().collect();
    let Some(databases) = Databases::of_plan(plan, plan_path)? else {
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
    let selection = data::selection(plan)
        .map_err(|e| Report::new("CO0151", "data.include or data.exclude").because(&e))?;
    let found = database::check(&mut source, &mut target, &selection, options).await;
    findings.extend(found.findings);
    findings.sort_by_key(|finding| (finding.severity, finding.side));
    let of_data = found.promises.into_iter().map(|promise| Promise {
        what: promise.text,
        kept: promise.kept,
        risks: promise.risks.into_iter().map(str::to_owned).collect(),
    });
    promises.splice(0..0, of_data);
    Ok(PreflightView { findings, promises })
}

/// What the plan's gates can promise, whatever the databases.
fn of_traffic(plan: &Plan, findings: &mut Findings) -> Option<Promise> {
    let holds = match (&plan.gates.postgres, &plan.gates.http) {
        (Some(_), _) => "the PostgreSQL gate holds sessions",
        (None, Some(_)) => "the HTTP gate holds requests",
        (None, None) if plan.moves_data() => "there is no gate that could hold",
        (None, None) => return None,
    };
    let kept = plan.gates.postgres.is_some() || plan.gates.http.is_some();
    let mut risks = Vec::new();
    if !kept {
        risks.push(NO_GATE.to_owned());
        findings.add(
            Severity::Medium,
            NO_GATE,
            None,
            [
                "the plan has no gate".into(),
                "writers wait in the database during the cutover and are refused after it until \
                 they are pointed at the target"
                    .into(),
                "Add gates.postgres or gates.http to the plan".into(),
            ],
        );
    }
    Some(Promise { what: format!("no request fails at the cutover: {holds}"), kept, risks })
}
