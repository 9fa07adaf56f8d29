//! The risk register: what the preflight and the assessment's checks found, and what they could not
//! tell.

use changeover_assess::{Assessment, Finding, Status};
use changeover_plan::document::Risk;

/// Worst first; within a severity the preflight, which is what the program itself stumbles over.
pub(super) fn risks(assessment: &Assessment) -> Vec<Risk> {
    let mut risks: Vec<Risk> = assessment.findings.iter().map(of).collect();
    risks.extend(unknown(assessment));
    risks.extend(assessment.waiver_faults.iter().map(|fault| Risk {
        mitigation: "Mend the plan's waivers".to_owned(),
        ..unsided("waiver", "medium", fault.clone(), "it counts as none")
    }));
    risks.sort_by_key(Risk::rank);
    risks
}

fn of(finding: &Finding) -> Risk {
    let accepted = finding.waiver.as_ref().map(|waiver| {
        let until = changeover_types::calendar::date(waiver.until);
        format!(". Accepted by {} until {until}: {}", waiver.by, waiver.reason)
    });
    let severity = if accepted.is_some() { "accepted" } else { finding.severity.as_str() };
    Risk {
        side: finding.side.map(|side| side.to_string()),
        mitigation: finding.fix.clone() + &accepted.unwrap_or_default(),
        owner: Some(finding.owner.as_str().to_owned()),
        seen: finding.seen.clone(),
        script: finding.script.clone(),
        ..unsided(finding.id, severity, finding.line(), &finding.why)
    }
}

fn unsided(id: &str, severity: &str, what: String, why: &str) -> Risk {
    Risk {
        id: id.to_owned(),
        severity: severity.to_owned(),
        side: None,
        what,
        why: why.to_owned(),
        mitigation: String::new(),
        owner: None,
        seen: Vec::new(),
        script: Vec::new(),
    }
}

/// A check that could not tell is no pass: it stands in the register.
fn unknown(assessment: &Assessment) -> Option<Risk> {
    let unknown =
        assessment.outcomes.iter().filter(|it| matches!(it.status, Status::Unknown { .. }));
    let ids: Vec<&str> = unknown.map(|it| it.id).collect();
    let what = format!("{} checks could not tell: {}", ids.len(), ids.join(", "));
    (!ids.is_empty()).then(|| Risk {
        mitigation: "`changeover assess PLAN` says for each what is missing; `--questions` asks \
                     what only people know"
            .to_owned(),
        ..unsided("unknown", "unknown", what, "what is not known is no pass")
    })
}
