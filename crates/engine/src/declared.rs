//! What a plan asks of both databases, in the words of those who do it.

use changeover_plan::{Plan, Standbys, Tablespaces};
use changeover_postgres::catalog::Selection;
use changeover_postgres::error::{Error, Result as PgResult};
use changeover_postgres::preflight::{self, Finding};
use changeover_types::Side;

use crate::clock::now;

/// What the plan moves.
pub(crate) fn selection(plan: &Plan) -> PgResult<Selection> {
    Selection::new(plan.name.clone(), &plan.data.include, &plan.data.exclude)
        .map_err(|e| Error::local(Side::Source, e.to_string()))
}

/// What the plan declares to the preflight.
pub(crate) fn preflight_options(plan: &Plan) -> preflight::Options {
    let standbys = plan.source.postgres.as_ref().map(|postgres| postgres.standbys);
    preflight::Options {
        standbys_never_promoted: standbys == Some(Standbys::NotPromotable),
        copy_jobs: plan.data.copy_jobs,
        keep_tablespaces: plan.data.tablespaces == Tablespaces::Keep,
        users: users(plan),
        waivers: plan.answers.waivers.clone(),
        now: now(),
        sequence_margin: plan.data.sequence_margin,
        type_numbers_budget: plan.data.type_numbers_budget,
        postgres_gate: plan.gates.postgres.is_some(),
        ..preflight::Options::default()
    }
}

/// So many statements that mend a blocker are said; `changeover plan` prints all.
const STATEMENTS: usize = 8;

/// Whom the plan lets in through the PostgreSQL gate.
pub(crate) fn users(plan: &Plan) -> Vec<String> {
    let gate = plan.gates.postgres.iter();
    gate.flat_map(|gate| &gate.users).map(|user| user.name.clone()).collect()
}

/// The blockers in one text.
pub(crate) fn blockers(findings: &[Finding]) -> Option<String> {
    let found: Vec<String> = findings
        .iter()
        .filter(|finding| finding.blocks())
        .map(|finding| {
            let side = finding.side.map(|side| format!("{side}: ")).unwrap_or_default();
            let mut mended = vec![finding.fix.as_str()];
            mended.extend(finding.script.iter().take(STATEMENTS).map(String::as_str));
            format!("{}: {side}{} ({})", finding.id, finding.line(), mended.join(" "))
        })
        .collect();
    (!found.is_empty()).then(|| found.join("; "))
}
