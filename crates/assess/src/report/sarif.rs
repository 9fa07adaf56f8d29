//! SARIF 2.1.0: for code-scanning pages of forges.

use changeover_types::Side;
use serde::Serialize;

use crate::checks::CHECKS;
use crate::finding::{Assessment, Severity, Status};
use crate::register::{self, Finding};

/// The log file.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Sarif {
    #[serde(rename = "$schema")]
    schema: &'static str,
    version: &'static str,
    runs: [Run; 1],
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Run {
    tool: Tool,
    results: Vec<Outcome>,
    column_kind: &'static str,
}

#[derive(Debug, Serialize)]
struct Tool {
    driver: Driver,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Driver {
    name: &'static str,
    semantic_version: String,
    rules: Vec<Rule>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    id: &'static str,
    short_description: Text,
    full_description: Text,
    help: Text,
    default_configuration: Configuration,
    properties: RuleProperties,
}

#[derive(Debug, Serialize)]
struct Text {
    text: String,
}

#[derive(Debug, Serialize)]
struct Configuration {
    level: &'static str,
}

#[derive(Debug, Serialize)]
struct RuleProperties {
    severity: Severity,
    owner: &'static str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Outcome {
    rule_id: &'static str,
    rule_index: usize,
    kind: &'static str,
    level: &'static str,
    message: Text,
    locations: Vec<Location>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    suppressions: Vec<Suppression>,
    properties: Properties,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Location {
    physical_location: Physical,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    logical_locations: Vec<Logical>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Physical {
    artifact_location: Artifact,
}

#[derive(Debug, Serialize)]
struct Artifact {
    uri: String,
}

#[derive(Debug, Serialize)]
struct Logical {
    name: &'static str,
    kind: &'static str,
}

#[derive(Debug, Serialize)]
struct Suppression {
    kind: &'static str,
    status: &'static str,
    justification: String,
}

#[derive(Debug, Serialize)]
struct Properties {
    severity: Severity,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    script: Vec<String>,
}

/// The assessment as SARIF: findings fail, unknown checks are open. `version` is the program's;
/// `about` is the file that pages show the findings beside, the plan if there is one.
#[must_use]
pub fn sarif(
    assessment: &Assessment,
    preflight: &[register::Rule],
    version: &str,
    about: &str,
) -> Sarif {
    let open = assessment.outcomes.iter().enumerate().filter_map(|(index, outcome)| {
        let Status::Unknown { why } = &outcome.status else { return None };
        Some(Outcome {
            rule_id: outcome.id,
            rule_index: index,
            kind: "open",
            level: "none",
            message: Text { text: format!("unknown: {}", why.join("; ")) },
            locations: vec![location(None, about)],
            suppressions: Vec::new(),
            properties: Properties { severity: outcome.severity, script: Vec::new() },
        })
    });
    let rules = rules(preflight);
    let failed = assessment.findings.iter().map(|it| failed(it, &rules, about));
    let results = failed.chain(open).collect();
    let driver = Driver { name: "changeover", semantic_version: version.to_owned(), rules };
    Sarif {
        schema: "https://json.schemastore.org/sarif-2.1.0.json",
        version: "2.1.0",
        runs: [Run { tool: Tool { driver }, results, column_kind: "unicodeCodePoints" }],
    }
}

/// The checks first: their places are those of the outcomes.
fn rules(preflight: &[register::Rule]) -> Vec<Rule> {
    let of_preflight = |rule: &register::Rule| Rule {
        id: rule.id,
        short_description: Text { text: rule.fires.to_owned() },
        full_description: Text { text: rule.fires.to_owned() },
        help: Text { text: "the result says what to do".to_owned() },
        default_configuration: Configuration { level: level(rule.severity) },
        properties: RuleProperties { severity: rule.severity, owner: "database" },
    };
    let rule = |check: &crate::check::Check| Rule {
        id: check.id,
        short_description: Text { text: check.title.to_owned() },
        full_description: Text { text: format!("{}: {}", check.rule, check.why) },
        help: Text { text: check.mitigation.to_owned() },
        default_configuration: Configuration { level: level(check.severity) },
        properties: RuleProperties { severity: check.severity, owner: check.owner.as_str() },
    };
    CHECKS.iter().map(rule).chain(preflight.iter().map(of_preflight)).collect()
}

fn location(side: Option<Side>, about: &str) -> Location {
    let logical = side.map(|side| Logical { name: side.as_str(), kind: "module" });
    Location {
        physical_location: Physical { artifact_location: Artifact { uri: about.to_owned() } },
        logical_locations: logical.into_iter().collect(),
    }
}

fn failed(finding: &Finding, rules: &[Rule], about: &str) -> Outcome {
    let suppression = finding.waiver.as_ref().map(|waiver| Suppression {
        kind: "external",
        status: "accepted",
        justification: format!("{} (by {})", waiver.reason, waiver.by),
    });
    Outcome {
        rule_id: finding.id,
        rule_index: rules.iter().position(|rule| rule.id == finding.id).unwrap_or_default(),
        kind: "fail",
        level: level(finding.severity),
        message: Text { text: finding.line() },
        locations: vec![location(finding.side, about)],
        suppressions: suppression.into_iter().collect(),
        properties: Properties { severity: finding.severity, script: finding.script.clone() },
    }
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Blocker | Severity::High => "error",
        Severity::Medium => "warning",
        Severity::Low => "note",
    }
}
