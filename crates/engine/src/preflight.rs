//! What the databases, the roles and the plan can promise together: looks, changes nothing.

use std::path::Path;

use changeover_plan::Plan;
use changeover_postgres::preflight as database;
use changeover_postgres::session::Session;
use changeover_types::Side;
use serde::Serialize;

use crate::Report;
use crate::databases::Databases;
use crate::effects::data;

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PreflightView {
    /// Blockers first.
    pub findings: Vec<Finding>,
    /// What can be promised and what not.
    pub promises: Vec<Promise>,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// The migration cannot begin.
    Blocker,
    /// It can, and somebody should know.
    Warning,
    /// Good to know.
    Note,
}

/// Something that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Stable, for searches.
    pub id: String,
    /// How bad it is.
    pub severity: Severity,
    /// On which side.
    pub side: Option<Side>,
    /// What was found.
    pub what: String,
    /// Why it matters.
    pub why: String,
    /// What mends it.
    pub fix: String,
}

/// A promise and whether it holds here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Promise {
    /// What.
    pub what: String,
    /// Whether it holds.
    pub kept: bool,
}

/// Connects to both databases and looks.
///
/// # Errors
/// If a database cannot be reached or a secret cannot be had.
pub async fn preflight(plan: &Plan, plan_path: &Path) -> Result<PreflightView, Report> {
    let Some(databases) = Databases::of_plan(plan, plan_path)? else {
        return Ok(PreflightView { findings: Vec::new(), promises: of_traffic(plan) });
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
    let found = database::check(&mut source, &mut target, &selection, data::declared(plan)).await;
    let findings = found.findings.iter().map(finding).collect();
    let mut promises: Vec<Promise> = found
        .promises
        .iter()
        .map(|promise| Promise { what: promise.text.clone(), kept: promise.kept })
        .collect();
    promises.extend(of_traffic(plan));
    Ok(PreflightView { findings, promises })
}

/// What the plan's gates can promise, whatever the databases.
fn of_traffic(plan: &Plan) -> Vec<Promise> {
    let holder = match (&plan.gates.postgres, &plan.gates.http) {
        (Some(_), _) => "no request fails at the cutover: the PostgreSQL gate holds sessions",
        (None, Some(_)) => "no request fails at the cutover: the HTTP gate holds requests",
        (None, None) => "no request fails at the cutover: there is no gate that could hold",
    };
    let kept = plan.gates.postgres.is_some() || plan.gates.http.is_some();
    if plan.moves_data() || kept {
        vec![Promise { what: holder.to_owned(), kept }]
    } else {
        Vec::new()
    }
}

fn finding(found: &database::Finding) -> Finding {
    Finding {
        id: found.id.to_owned(),
        severity: match found.severity {
            database::Severity::Blocker => Severity::Blocker,
            database::Severity::Warning => Severity::Warning,
            database::Severity::Note => Severity::Note,
        },
        side: found.side,
        what: found.what.clone(),
        why: found.why.clone(),
        fix: found.fix.clone(),
    }
}
