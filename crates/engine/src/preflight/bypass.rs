//! Who works on the source's database without going through the PostgreSQL gate.

use changeover_assess::Severity::{Low, Medium};
use changeover_assess::register::{Findings, Rule};
use changeover_plan::Plan;
use changeover_postgres::bypass;
use changeover_postgres::session::Session;
use changeover_types::Side;

use crate::gates::Gates;

const ID: &str = "around_the_gate";

pub(super) const RULE: Rule = Rule {
    id: ID,
    severity: Medium,
    fires: "sessions work on the source's database without going through the PostgreSQL gate",
    waivable: true,
};

/// Asks the gate whom it serves and the source who else is there. A gate that cannot be asked is a
/// finding of its own.
pub(super) async fn judge(
    plan: &Plan,
    gates: Option<&Gates>,
    source: &mut Session,
    findings: &mut Findings,
) {
    let (Some(gates), true) = (gates, plan.gates.postgres.is_some()) else { return };
    let Ok(status) = gates.status().await else { return };
    let Some(served) = status.server_pids else { return };
    let served = served.get(&Side::Source).map_or(&[][..], Vec::as_slice);
    match bypass::look(source, served).await {
        Ok(around) => findings.many(
            Medium,
            ID,
            Side::Source,
            ["client goes around the gate", "clients go around the gate"],
            around,
            [
                "they are not held but refused at the cutover (SQLSTATE P0004), and work on the \
                 source's database if they only read",
                "Give them the gate's address as the database's, or stop them before the cutover",
            ],
        ),
        Err(e) => {
            let what = "who goes around the gate could not be asked".to_owned();
            findings.add(Low, ID, Side::Source, [what, e.to_string(), String::new()]);
        }
    }
}
