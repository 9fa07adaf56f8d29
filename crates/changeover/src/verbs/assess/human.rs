//! The report for a terminal.

use anstyle::{AnsiColor, Style};
use changeover_assess::report::summary;
use changeover_assess::{Assessment, Finding, Inventory, Severity, Status};

use crate::output::paint;

pub(super) fn human(inventory: &Inventory, assessment: &Assessment) -> String {
    let mut text = facts(inventory);
    let mut last = "";
    for finding in &assessment.findings {
        if finding.id != last {
            text += &heading(finding);
            last = finding.id;
        }
        text += &details(finding);
    }
    for fault in &assessment.waiver_faults {
        let yellow = paint(AnsiColor::Yellow);
        text += &format!("\n{yellow}waiver{yellow:#}  {}\n", plain(fault));
    }
    text + &unknown(assessment) + &score(assessment)
}

fn facts(inventory: &Inventory) -> String {
    let mut text = String::from("What is there:\n");
    let lines = summary(inventory);
    if lines.is_empty() {
        text += "  nothing was given\n";
    }
    for line in lines {
        let value = match line.known {
            true => plain(&line.text),
            false => {
                let yellow = paint(AnsiColor::Yellow);
                format!("{yellow}unknown{yellow:#}: {}", plain(&line.text))
            }
        };
        text += &format!("  {:<7} {:<12} {value}\n", line.side.as_str(), line.topic);
    }
    text
}

fn colour(severity: Severity) -> Style {
    match severity {
        Severity::Blocker | Severity::High => paint(AnsiColor::Red),
        Severity::Medium => paint(AnsiColor::Yellow),
        Severity::Low => Style::new().bold(),
    }
}

fn heading(finding: &Finding) -> String {
    let style = colour(finding.severity);
    let dim = Style::new().dimmed();
    let word = match &finding.waiver {
        Some(_) => "waived",
        None => finding.severity.as_str(),
    };
    format!(
        "\n{style}{word:<7}{style:#} {} {}\n        {dim}{}{dim:#}\n        do    {} ({})\n",
        finding.id,
        finding.title,
        finding.why,
        finding.mitigation,
        finding.owner.as_str(),
    )
}

fn details(finding: &Finding) -> String {
    let side = finding.side.map(|side| format!("{side}: ")).unwrap_or_default();
    let mut text = format!("        seen  {side}{}\n", plain(&finding.evidence));
    if let Some(fix) = &finding.fix {
        let green = paint(AnsiColor::Green);
        text += &format!("        {green}fix{green:#}   {}\n", plain(fix));
    }
    if let Some(waiver) = &finding.waiver {
        text += &format!("        waived by {}: {}\n", plain(&waiver.by), plain(&waiver.reason));
    }
    text
}

fn unknown(assessment: &Assessment) -> String {
    let yellow = paint(AnsiColor::Yellow);
    let mut text = String::new();
    for outcome in &assessment.outcomes {
        let why = match &outcome.status {
            Status::Unknown { why } => why,
            Status::Found if !outcome.missing.is_empty() => &outcome.missing,
            _ => continue,
        };
        let why: Vec<String> = why.iter().map(|why| plain(why)).collect();
        text += &format!(
            "\n{yellow}unknown{yellow:#} {} {}\n        {}\n",
            outcome.id,
            outcome.title,
            why.join("\n        ")
        );
    }
    text
}

fn score(assessment: &Assessment) -> String {
    let score = &assessment.score;
    let (style, word) = match score.blocks() {
        true => (paint(AnsiColor::Red), "blocked"),
        false => (paint(AnsiColor::Green), "not blocked"),
    };
    let mut text = format!(
        "\n{style}{word}{style:#}: {} blocker, {} high, {} medium, {} low; {} unknown, {} waived, \
         {} passed, {} not applicable\n",
        score.blocker,
        score.high,
        score.medium,
        score.low,
        score.unknown,
        score.waived,
        score.passed,
        score.not_applicable
    );
    if score.unknown > 0 {
        text += "What is unknown has not passed. What only people know is declared in a file:\n  \
                 changeover assess --questions > answers.yaml\n";
    }
    text
}

/// Names come from databases and files: nothing of them may steer a terminal.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
