//! What a trial says of the move.

use changeover_assess::register::{Findings, Thing};
use changeover_types::{Side, quote_ident};

use super::Evidence;
use super::Severity::{self, Blocker, High, Low, Medium};
use super::trial::{Outcome, Tried};
use crate::schema::trial::Failure;

/// Why nothing was tried when the operator asked for that.
pub(super) const READ_ONLY: &str = "nothing may be written (--read-only)";

/// A lock or an answer was waited for in vain: that says nothing of the statement.
const WAITED: [&str; 2] = ["55P03", "57014"];

pub(super) fn judge(evidence: &Evidence, findings: &mut Findings) {
    needs(evidence, findings);
    reads(evidence, findings);
    way_back(evidence, findings);
    match &evidence.trial {
        Tried::NotAsked => {}
        Tried::Spared(why) => not_tried(Low, why, findings),
        Tried::Unfinished(why) => not_tried(High, why, findings),
        Tried::Done(outcome) => tried(evidence, outcome, findings),
    }
}

fn not_tried(severity: Severity, why: &str, findings: &mut Findings) {
    findings.add(
        severity,
        "not_tried",
        Side::Target,
        [
            format!("the schema was not tried: {why}"),
            "what cannot be restored is found by `apply` alone".into(),
            "`changeover plan` restores the schema in a transaction that is rolled back".into(),
        ],
    );
}

fn needs(evidence: &Evidence, findings: &mut Findings) {
    let topic = "what needs the tables that are left out";
    let Some(needs) =
        findings.known(Blocker, "needs_left_out", Side::Source, topic, &evidence.needs)
    else {
        return;
    };
    let mut names: Vec<&str> = needs.iter().filter_map(|it| it.exclude.as_deref()).collect();
    names.dedup();
    let also = if names.is_empty() {
        String::new()
    } else {
        format!(", or leave out what needs it: data.exclude: [{}]", names.join(", "))
    };
    findings.many(
        Blocker,
        "needs_left_out",
        Side::Source,
        ["object needs what the plan leaves out", "objects need what the plan leaves out"],
        needs.iter().map(|it| format!("{} needs {}", it.object, it.needs)),
        ["they cannot be restored without it", &format!("Include it{also}")],
    );
}

fn reads(evidence: &Evidence, findings: &mut Findings) {
    let topic = "whether its tables can be read";
    let Some(failures) = findings.known(Blocker, "reads", Side::Source, topic, &evidence.reads)
    else {
        return;
    };
    let (waited, failed): (Vec<&Failure>, Vec<&Failure>) =
        failures.iter().partition(|it| WAITED.contains(&it.sqlstate.as_str()));
    findings.many(
        Blocker,
        "reads",
        Side::Source,
        ["table cannot be read by our sessions", "tables cannot be read by our sessions"],
        failed.into_iter().map(said),
        [
            "a function that an index, a partition or a generated column uses does not work under \
             the search_path of the role that owns the tables",
            "Qualify the names in that function, or ALTER FUNCTION … SET search_path = …",
        ],
    );
    findings.many(
        High,
        "reads_untried",
        Side::Source,
        ["table is locked", "tables are locked"],
        waited.into_iter().map(said),
        ["whether their rows can be read was not tried", "Run `changeover plan` again"],
    );
}

fn way_back(evidence: &Evidence, findings: &mut Findings) {
    let topic = "whether the source could be written to on the way back";
    let known = findings.known(High, "statements_back", Side::Source, topic, &evidence.back);
    let failed = known.into_iter().flatten();
    findings.many(
        High,
        "statements_back",
        Side::Source,
        ["statement of ours cannot be planned", "statements of ours cannot be planned"],
        failed.filter(|it| !WAITED.contains(&it.sqlstate.as_str())).map(said),
        [
            "the relay back or the comparison would stop there, and with it the way back",
            "Give our role the rights that it lacks: INSERT, UPDATE, DELETE and SELECT on every table",
        ],
    );
}

/// A failure with what the server said.
fn said(failure: &Failure) -> String {
    match failure.followers {
        0 => format!("{}: {}", failure.what, failure.said),
        more => format!("{}: {} (and {more} that need it)", failure.what, failure.said),
    }
}

fn tried(evidence: &Evidence, outcome: &Outcome, findings: &mut Findings) {
    if let Some(why) = &outcome.dump {
        findings.add(
            Blocker,
            "dump_trial",
            Side::Source,
            [
                format!("the schema cannot be dumped: {why}"),
                "pg_dump was run as the copy runs it".into(),
                "Give our role what it lacks: USAGE on every schema, SELECT on every table".into(),
            ],
        );
    }
    let ours = evidence.target.role.as_ref().ok().map(|role| role.name.as_str());
    let missing = super::roles::missing(evidence);
    let (late, failed): (Vec<&Failure>, Vec<&Failure>) = outcome
        .restore
        .iter()
        .filter(|it| !missing.iter().any(|role| names_role(it, role, &outcome.as_if)))
        .partition(|it| it.late);
    findings.many(
        High,
        "grants_trial",
        Side::Target,
        ["grant cannot be given", "grants cannot be given"],
        late.into_iter().map(said),
        [
            "they were tried in a transaction that was rolled back; whoever has them on the source \
             is refused after the cutover",
            "GRANT our role on the target the role that gives them, or use a superuser there",
        ],
    );
    findings.many(
        Blocker,
        "restore_trial",
        Side::Target,
        ["object cannot be restored", "objects cannot be restored"],
        failed.into_iter().map(|it| match grant(it, ours) {
            Some(statement) => Thing::mended_by(said(it), statement),
            None => said(it).into(),
        }),
        [
            "they were tried in a transaction that was rolled back; the copy would stop there",
            "Mend them on the source, or make on the target what they need",
        ],
    );
    findings.many(
        Medium,
        "views_trial",
        Side::Target,
        ["materialised view cannot be filled", "materialised views cannot be filled"],
        outcome.views.iter().map(said),
        [
            "the move goes on without their rows, and says so until they are there",
            "GRANT their owner what it lacks, or qualify the names in the functions they call",
        ],
    );
    findings.many(
        Blocker,
        "statements",
        Side::Target,
        [
            "statement of ours cannot be planned on the restored tables",
            "statements of ours cannot be planned on the restored tables",
        ],
        outcome.statements.iter().map(said),
        [
            "they were planned in a transaction that was rolled back; the relay or the comparison \
             would stop there",
            "Give our role the rights that it lacks there, or mend what the statement needs",
        ],
    );
    if let Some(failure) = &outcome.seal {
        findings.add(
            Blocker,
            "seal_trial",
            Side::Target,
            [
                format!("{} cannot be made: {}", failure.what, failure.said),
                "nothing else keeps writers away from the side that has no authority".into(),
                "Leave that table out (data.exclude), or change what it is".into(),
            ],
        );
    }
}

/// Whether the failure is that of a role that is named as missing already: one that could not be
/// made for the trial, or a grant or policy that the move goes on without.
fn names_role(failure: &Failure, role: &String, as_if: &[String]) -> bool {
    failure.sqlstate == "42704"
        && (failure.late || failure.what.starts_with("POLICY ") || as_if.contains(role))
        && failure.said.contains(&format!("role \"{role}\""))
}

/// The statement for the target that gives our role what the server says it lacks.
fn grant(failure: &Failure, ours: Option<&str>) -> Option<String> {
    let rest = failure.said.split_once("permission denied for schema ")?.1;
    let schema = rest.split([' ', ',', '(']).next().filter(|_| failure.sqlstate == "42501")?;
    Some(format!("GRANT CREATE ON SCHEMA {} TO {};", quote_ident(schema), quote_ident(ours?)))
}
