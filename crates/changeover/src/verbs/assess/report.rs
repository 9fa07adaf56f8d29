//! The report in the form that was asked for, where it was asked for.

use std::fs;
use std::path::Path;

use changeover_assess::report::{markdown, sarif};
use changeover_assess::{Assessment, Inventory};
use changeover_engine::Report;
use changeover_engine::preflight::rules;
use serde_json::json;

use super::human::human;
use crate::cli::{Assess, Format};
use crate::output::{Output, json_line};

/// The version of the lines that are about an assessment. It grows when a field changes its
/// meaning or goes away.
const ASSESSMENT_VERSION: u32 = 2;

pub(super) fn deliver(
    args: &Assess,
    inventory: &Inventory,
    assessment: &Assessment,
    code: u8,
    output: &Output,
) -> Result<(), Report> {
    let lines = lines(inventory, assessment, code);
    for (kind, value) in &lines {
        output.emit(kind, value);
    }
    let format = args.format.unwrap_or_else(|| of_name(args.out.as_deref()));
    let text = match format {
        Format::Human => human(inventory, assessment),
        Format::Markdown => markdown(inventory, assessment),
        Format::Json => {
            let lines = lines.iter().map(|(kind, value)| format!("{}\n", json_line(kind, value)));
            lines.collect()
        }
        Format::Sarif => {
            let about = args.plan.as_ref().or(args.answers.as_ref());
            let about = about.map_or("changeover.yaml".into(), |file| file.to_string_lossy());
            let log = sarif(assessment, &rules(), env!("CARGO_PKG_VERSION"), &about);
            serde_json::to_string_pretty(&log).map_err(|e| {
                Report::new("CO0056", "the report cannot be written as SARIF").because(&e)
            })? + "\n"
        }
    };
    let Some(file) = &args.out else {
        output.line(text.trim_end());
        return Ok(());
    };
    let text = anstream::adapter::strip_str(&text).to_string();
    fs::write(file, text).map_err(|e| {
        Report::new("CO0057", format!("the report {} cannot be written", file.display()))
            .because(&e)
    })?;
    output.note(format!("wrote {}", file.display()));
    // Whoever looks at the terminal is told as well.
    output.line(human(inventory, assessment).trim_end());
    Ok(())
}

fn of_name(file: Option<&Path>) -> Format {
    match file.and_then(Path::extension).and_then(|it| it.to_str()) {
        Some("md") => Format::Markdown,
        Some("json" | "ndjson") => Format::Json,
        Some("sarif") => Format::Sarif,
        _ => Format::Human,
    }
}

type Line = (&'static str, serde_json::Value);

/// For programs: the facts, each finding, how each check came out, and the score.
fn lines(inventory: &Inventory, assessment: &Assessment, code: u8) -> Vec<Line> {
    let mut lines = vec![
        ("assessment", json!({"version": ASSESSMENT_VERSION, "at": assessment.at})),
        ("facts", json!(inventory)),
    ];
    lines.extend(assessment.findings.iter().map(|it| ("finding", json!(it))));
    lines.extend(assessment.outcomes.iter().map(|it| ("check", json!(it))));
    let faults = assessment.waiver_faults.iter();
    lines.extend(faults.map(|it| ("waiver_fault", json!({"what": it}))));
    let score = &assessment.score;
    lines.push(("result", json!({"score": score, "blocked": score.blocks(), "exit": code})));
    lines
}
