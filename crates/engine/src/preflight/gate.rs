//! What the plan's gate is asked: whether it runs, and whether it carries this plan.

use changeover_assess::Severity;
use changeover_assess::register::{Findings, Rule};

use crate::gates::{GateError, Gates};
use crate::report::chain;

const GATE_DOWN: &str = "gate_down";
const GATE_PLAN: &str = "gate_plan";

pub(super) const RULES: [Rule; 2] = [
    Rule {
        id: GATE_DOWN,
        severity: Severity::Medium,
        fires: "the plan's gate does not run, or cannot be asked",
        waivable: true,
    },
    Rule {
        id: GATE_PLAN,
        severity: Severity::Blocker,
        fires: "the gate was started with another plan",
        waivable: false,
    },
];

/// Asks the gate and judges what it says.
pub(super) async fn judge(gates: &Gates, findings: &mut Findings) {
    match gates.carries_the_plan().await {
        Ok(_) => {}
        Err(GateError::OtherPlan(differences)) => findings.add(
            Severity::Blocker,
            GATE_PLAN,
            None,
            [
                format!("the gate carries another plan: {differences}"),
                "clients would be led where this plan does not say".to_owned(),
                "Start it again with this plan: changeover gate PLAN".to_owned(),
            ],
        ),
        Err(e) => findings.add(
            Severity::Medium,
            GATE_DOWN,
            None,
            [
                format!("the plan's gate cannot be asked: {}", chain(&e)),
                "clients must go through it before the first of them is moved, and the cutover needs \
                 it"
                    .to_owned(),
                "Start it and point the clients at it: changeover gate PLAN".to_owned(),
            ],
        ),
    }
}
