//! Who uses the source, and what they could do on the target.

use changeover_types::Side;

use super::Severity::Blocker;
use super::{Evidence, Fact, Findings};
use crate::access::{self, Access, Asked, Loss};
use crate::catalog::Selection;
use crate::session::Session;

/// What both sides answered.
#[derive(Clone, Debug, Default)]
pub struct AccessFacts {
    /// The question, which the source gave.
    pub asked: Asked,
    /// Its answers.
    pub source: Access,
    /// The target's.
    pub target: Access,
}

pub(super) async fn read(
    source: &mut Session,
    target: &mut Session,
    selection: &Selection,
    users: &[String],
) -> Fact<AccessFacts> {
    let read = async {
        let asked = access::asked(source, selection, users).await?;
        let here = access::read(source, &asked).await?;
        let there = access::read(target, &asked).await?;
        Ok::<_, crate::error::Error>(AccessFacts { asked, source: here, target: there })
    };
    read.await.map_err(|e| e.to_string())
}

/// Before the copy only roles can be asked of the target. What they may do there with objects
/// follows from whether owners and grants will be kept.
pub(super) fn judge(evidence: &Evidence, findings: &mut Findings) {
    let topic = "who may do what";
    let Some(facts) = findings.known(Blocker, "access", Side::Target, topic, &evidence.access)
    else {
        return;
    };
    let database =
        evidence.target.server.as_ref().map(|it| it.database.clone()).unwrap_or_default();
    let mut lost = access::of_roles(&facts.source, &facts.target, &database, Side::Target);
    if findings.has("ownership_kept") {
        let ours = evidence.target.role.as_ref().map(|it| it.name.clone()).unwrap_or_default();
        lost.extend(access::without_grants(&facts.asked, &facts.source, &facts.target, &ours));
    }
    findings.many(
        Blocker,
        "access",
        Side::Target,
        ["role that uses the source can do less here", "roles that use the source can do less here"],
        lost.iter(),
        [
            "after the cutover they are refused",
            "Run the statements on the target; where owners and grants are not kept, use a role \
             there that can keep them, or grant them after the copy and accept `access` in `waivers`",
        ],
    );
    for statement in lost.iter().flat_map(|loss: &Loss| &loss.statements) {
        findings.mended_by(statement.clone());
    }
}
