//! What the plan's gates can promise, whatever the databases.

use changeover_assess::Severity;
use changeover_assess::register::{Findings, Rule};
use changeover_plan::{Plan, Step};

use super::Promise;

const NO_GATE: &str = "no_gate";
const SEALED_TARGET: &str = "sealed_target";

pub(super) const RULES: [Rule; 2] = [
    Rule {
        id: NO_GATE,
        severity: Severity::Medium,
        fires: "data moves and the plan has no gate",
        waivable: true,
    },
    Rule {
        id: SEALED_TARGET,
        severity: Severity::Blocker,
        fires: "requests go to the target before the cutover, and no PostgreSQL gate leads its \
                application to the source's database",
        waivable: true,
    },
];

/// Judges the plan alone.
pub(super) fn judge(plan: &Plan, findings: &mut Findings) -> Option<Promise> {
    sealed_target(plan, findings);
    let holds = match (&plan.gates.postgres, &plan.gates.http) {
        (Some(_), _) => "the PostgreSQL gate holds sessions",
        (None, Some(_)) if plan.moves_data() => {
            "the HTTP gate holds requests and leads them to the side that has authority"
        }
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

/// Steps that would send requests to an application whose database takes no writes yet.
fn sealed_target(plan: &Plan, findings: &mut Findings) {
    if !plan.requests_follow_authority() {
        return;
    }
    let before = plan.steps().take_while(|it| !matches!(it.step, Step::Cutover { .. }));
    findings.many(
        Severity::Blocker,
        SEALED_TARGET,
        None,
        ["step sends requests to the target before the cutover",
         "steps send requests to the target before the cutover"],
        before.filter(|it| it.step.moves()).map(|it| it.path),
        [
            "the target's application works on the target's database, which takes no writes before \
             the cutover",
            "Give both applications the PostgreSQL gate (gates.postgres), or leave these steps out; \
             if what they send only reads, or the target's application works on the source's database \
             until then, accept `sealed_target` in `waivers`",
        ],
    );
}
