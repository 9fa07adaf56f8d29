//! Whether the migration may begin: the worst risk that nobody accepts decides.

use changeover_engine::Report;
use changeover_plan::document::{Document, Risk};
use serde_json::json;

use super::fix;
use crate::cli::FailOn;
use crate::exit;
use crate::output::Output;

/// Risks that nobody accepts, as a line; `None` if there is none that is high or worse.
pub(super) fn standing(document: &Document) -> Option<String> {
    let parts: Vec<String> = ["blocker", "high"]
        .into_iter()
        .filter_map(|severity| {
            let ids = ids(document, severity);
            let named = ids.join(", ");
            match (severity, ids.len()) {
                (_, 0) => None,
                ("blocker", 1) => Some(format!("1 blocker: {named}")),
                ("blocker", number) => Some(format!("{number} blockers: {named}")),
                (_, 1) => Some(format!("1 high risk is not accepted: {named}")),
                (_, number) => Some(format!("{number} high risks are not accepted: {named}")),
            }
        })
        .collect();
    (!parts.is_empty()).then(|| parts.join("; "))
}

/// The risks of that severity by id, each once.
fn ids<'a>(document: &'a Document, severity: &str) -> Vec<&'a str> {
    let mut ids: Vec<&str> = Vec::new();
    for risk in document.risks.iter().flatten().filter(|risk| risk.severity == severity) {
        if !ids.contains(&risk.id.as_str()) {
            ids.push(&risk.id);
        }
    }
    ids
}

/// Whether the migration could begin.
///
/// # Errors
/// With what keeps it: blockers, or a plan that contradicts itself.
pub(super) fn may_begin(document: &Document) -> Result<(), Report> {
    let blockers = ids(document, "blocker");
    if !blockers.is_empty() {
        let (number, named) = (blockers.len(), blockers.join(", "));
        let called = if number == 1 { "blocker" } else { "blockers" };
        let what = format!("the migration cannot begin: {number} {called}: {named}");
        let mut report = Report::new("CO0025", what);
        if document.risks.iter().flatten().any(is_mended_by_statements) {
            let file = fix::beside(document);
            report = report.hint(format!("get the statements: {file}"));
        }
        return Err(report.hint(format!(
            "mend what the register names, then check again: changeover plan {}",
            document.file
        )));
    }
    let impossible = document.contradictions.iter().filter(|it| it.certain);
    let words: Vec<String> = impossible.map(|it| format!("{}, but {}", it.what, it.why)).collect();
    if words.is_empty() {
        return Ok(());
    }
    let mut report = Report::new("CO0034", "the plan demands what cannot be");
    report.chain = words;
    report.hints =
        document.contradictions.iter().filter(|it| it.certain).map(|it| it.fix.clone()).collect();
    Err(report)
}

fn is_mended_by_statements(risk: &Risk) -> bool {
    risk.severity == "blocker" && !risk.script.is_empty()
}

/// The exit code of a plan that could begin.
pub(super) fn code(document: &Document, fail_on: &[FailOn]) -> u8 {
    let mut levels = fail_on.iter().flat_map(|level| level.severities());
    match levels.any(|severity| !ids(document, severity).is_empty()) {
        true => exit::FINDINGS,
        false => exit::OK,
    }
}

/// Says what nobody accepts, and how it could be accepted.
pub(super) fn tell(document: &Document, code: u8, output: &Output) {
    output.emit("verdict", &json!({"not_accepted": standing(document), "exit": code}));
    if let Some(standing) = standing(document) {
        output.note(format!(
            "{standing}; mend it, or accept it in the plan: waivers: [{{id: …, reason: …, by: …, \
             until: …}}]"
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use changeover_plan::document::{Surroundings, document};
    use changeover_plan::estimate::{Measures, estimate};
    use changeover_plan::{TemplateKind, parse, template};

    fn of(risks: &[(&str, &str)]) -> Document {
        let text = template(TemplateKind::Database).to_owned()
            + "phases: [{name: all, steps: [replicate, cutover, finish]}]\n";
        let plan = parse("p", &text).unwrap();
        let measures = Measures::default();
        let risk = |(severity, id): &(&str, &str)| Risk {
            id: (*id).to_owned(),
            severity: (*severity).to_owned(),
            side: None,
            what: "what".into(),
            why: "why".into(),
            mitigation: String::new(),
            owner: None,
            seen: Vec::new(),
            script: Vec::new(),
        };
        let risks = Some(risks.iter().map(risk).collect());
        let around = Surroundings { risks, ..Surroundings::default() };
        document(&plan, &estimate(&plan, &measures), &measures, around)
    }

    #[test]
    fn the_worst_that_nobody_accepts_decides() {
        let high = [("high", "a"), ("high", "b"), ("high", "a"), ("accepted", "c")];
        let document = of(&high);
        assert!(may_begin(&document).is_ok());
        assert_eq!(standing(&document).unwrap(), "2 high risks are not accepted: a, b");
        assert_eq!(code(&document, &[FailOn::High]), exit::FINDINGS);
        assert_eq!(code(&document, &[FailOn::Blocker]), exit::OK);
        assert_eq!(code(&document, &[FailOn::Never]), exit::OK);

        let document = of(&[("accepted", "c"), ("medium", "d"), ("unknown", "unknown")]);
        assert_eq!(standing(&document), None);
        assert_eq!(code(&document, &[FailOn::High]), exit::OK);
        assert_eq!(code(&document, &[FailOn::Medium]), exit::FINDINGS);
        assert_eq!(code(&document, &[FailOn::Unknown]), exit::FINDINGS);

        let report = may_begin(&of(&[("blocker", "e")])).unwrap_err();
        assert!(report.headline.contains("1 blocker: e"), "{report:?}");
    }
}
