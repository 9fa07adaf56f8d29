//! Sessions of now that a move of authority would have to wait for, or would end.

use changeover_assess::Severity::{Low, Medium};
use changeover_assess::register::{Findings, Rule};
use changeover_plan::{Plan, Unmovable};
use changeover_postgres::session::Session;
use changeover_postgres::unmovable;
use changeover_types::Side;

const ID: &str = "unmovable_sessions";

pub(super) const RULE: Rule = Rule {
    id: ID,
    severity: Medium,
    fires: "sessions on the source hold what cannot move: advisory locks, temporary tables, a LISTEN",
    waivable: true,
};

/// Asks the source who holds such state; only a PostgreSQL gate has sessions to move.
pub(super) async fn judge(plan: &Plan, source: &mut Session, findings: &mut Findings) {
    let Some(gate) = &plan.gates.postgres else { return };
    let kept = match unmovable::look(source).await {
        Ok(kept) => kept,
        Err(e) => {
            let what = "which sessions cannot move could not be asked".to_owned();
            findings.add(Low, ID, Side::Source, [what, e.to_string(), String::new()]);
            return;
        }
    };
    let (severity, why, fix) = match gate.unmovable {
        Unmovable::Wait => (
            Medium,
            "the cutover, and a rollback, wait for their end and are called off if it does not come",
            "Stop these processes before a move, or let it end their sessions: `--unmovable \
             terminate` of apply and rollback",
        ),
        Unmovable::Terminate => (Low, "a move of authority ends these sessions", ""),
    };
    findings.many(
        severity,
        ID,
        Side::Source,
        ["session holds what cannot move", "sessions hold what cannot move"],
        kept,
        [why, fix],
    );
}
