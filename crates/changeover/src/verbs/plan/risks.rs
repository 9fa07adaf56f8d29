//! The risk register: what the preflight found, and what the assessment's checks say.

use changeover_assess::{Assessment, Finding, Severity, Status};
use changeover_engine::preflight::PreflightView;
use changeover_plan::document::Risk;
use changeover_types::Waiver;

/// The preflight's findings are what the program itself stumbles over; the assessment's are what
/// people should know. Both worst first.
pub(super) fn risks(found: &PreflightView, assessment: Option<&Assessment>) -> Vec<Risk> {
    let of_preflight = found.findings.iter().map(|finding| Risk {
        id: finding.id.to_owned(),
        severity: weight(finding.severity, finding.waiver.as_ref()),
        side: finding.side.map(|side| side.to_string()),
        what: finding.what.clone(),
        why: finding.why.clone(),
        mitigation: finding.fix.clone() + &accepted(finding.waiver.as_ref()),
        owner: None,
        seen: finding.seen.clone(),
        script: finding.script.clone(),
    });
    let mut risks: Vec<Risk> = of_preflight.collect();
    if let Some(assessment) = assessment {
        risks.extend(assessment.findings.iter().map(of_assessment));
        risks.extend(unknown(assessment));
    }
    // Stable: within a severity the preflight comes first.
    risks.sort_by_key(Risk::rank);
    risks
}

fn of_assessment(finding: &Finding) -> Risk {
    let fix = finding.fix.iter().map(|fix| format!(": `{fix}`"));
    let mitigation = finding.mitigation.to_owned() + &fix.collect::<String>();
    Risk {
        id: finding.id.to_owned(),
        severity: weight(finding.severity, finding.waiver.as_ref()),
        side: finding.side.map(|side| side.to_string()),
        what: format!("{}: {}", finding.title, finding.evidence),
        why: finding.why.to_owned(),
        mitigation: mitigation + &accepted(finding.waiver.as_ref()),
        owner: Some(finding.owner.as_str().to_owned()),
        seen: Vec::new(),
        script: Vec::new(),
    }
}

fn weight(severity: Severity, waiver: Option<&Waiver>) -> String {
    if waiver.is_some() { "accepted" } else { severity.as_str() }.to_owned()
}

fn accepted(waiver: Option<&Waiver>) -> String {
    let accepted = waiver.map(|waiver| {
        let until = changeover_types::calendar::date(waiver.until);
        format!(". Accepted by {} until {until}: {}", waiver.by, waiver.reason)
    });
    accepted.unwrap_or_default()
}

/// A check that could not tell is no pass: it stands in the register.
fn unknown(assessment: &Assessment) -> Option<Risk> {
    let unknown =
        assessment.outcomes.iter().filter(|it| matches!(it.status, Status::Unknown { .. }));
    let ids: Vec<&str> = unknown.map(|it| it.id).collect();
    (!ids.is_empty()).then(|| Risk {
        id: "unknown".to_owned(),
        severity: "unknown".to_owned(),
        side: None,
        what: format!("{} checks could not tell: {}", ids.len(), ids.join(", ")),
        why: "what is not known is no pass".to_owned(),
        mitigation:
            "`changeover assess PLAN` says for each what is missing; `--questions` asks what \
                     only people know"
                .to_owned(),
        owner: None,
        seen: Vec::new(),
        script: Vec::new(),
    })
}
