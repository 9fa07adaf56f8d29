//! The report for a terminal.

use anstyle::{AnsiColor, Style};
use changeover_assess::report::summary;
use changeover_assess::{Assessment, Finding, Inventory, Severity, Status};
use changeover_types::Side;

use crate::output::paint;

/// At most so many things of a kind are listed; `--json` has all.
const LISTED: usize = 20;

pub(super) fn human(inventory: &Inventory, assessment: &Assessment) -> String {
    let mut text = unread(inventory) + &facts(inventory);
    let unread = inventory.unread();
    // That a side could not be read stands above already.
    let said = |finding: &&Finding| !unread.iter().any(|(_, cause)| finding.why == *cause);
    for finding in assessment.findings.iter().filter(said) {
        text += &of(finding);
    }
    for fault in &assessment.waiver_faults {
        let yellow = paint(AnsiColor::Yellow);
        text += &format!("\n{yellow}waiver{yellow:#}  {}\n", plain(fault));
    }
    text + &unknown(inventory, assessment) + &score(assessment)
}

/// What was not read at all stands above everything.
fn unread(inventory: &Inventory) -> String {
    let red = paint(AnsiColor::Red);
    let line = |(side, why): (Side, &str)| {
        format!("{red}{side} could not be read{red:#}: {}\n", plain(why))
    };
    inventory.unread().into_iter().map(line).collect()
}

fn facts(inventory: &Inventory) -> String {
    let mut text = String::from("What is there:\n");
    let unread = inventory.unread();
    let mut lines = summary(inventory);
    lines.retain(|line| line.known || !unread.iter().any(|(_, cause)| line.text == *cause));
    if lines.is_empty() {
        text += "  nothing is known\n";
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

fn of(finding: &Finding) -> String {
    let style = colour(finding.severity);
    let dim = Style::new().dimmed();
    let word = match &finding.waiver {
        Some(_) => "waived",
        None => finding.severity.as_str(),
    };
    let side = finding.side.map(|side| format!("{side}: ")).unwrap_or_default();
    let (id, what, why) = (finding.id, plain(&finding.what), plain(&finding.why));
    let mut text =
        format!("\n{style}{word:<7}{style:#} {id} {side}{what}\n        {dim}{why}{dim:#}\n");
    if !finding.fix.is_empty() {
        let (fix, owner) = (plain(&finding.fix), finding.owner.as_str());
        text += &format!("        do    {fix} ({owner})\n");
    }
    text += &listed("seen", Style::new(), &finding.seen);
    text += &listed("fix", paint(AnsiColor::Green), &finding.script);
    if let Some(waiver) = &finding.waiver {
        text += &format!("        waived by {}: {}\n", plain(&waiver.by), plain(&waiver.reason));
    }
    text
}

fn listed(word: &str, style: Style, lines: &[String]) -> String {
    let shown = lines.iter().take(LISTED);
    let mut text: String =
        shown.map(|line| format!("        {style}{word:<5}{style:#} {}\n", plain(line))).collect();
    if let Some(more @ 1..) = lines.len().checked_sub(LISTED) {
        text += &format!("        {word:<5} … and {more} more (--json lists all)\n");
    }
    text
}

/// What could not be told, and why; what only lacks a side that was not read is one line.
fn unknown(inventory: &Inventory, assessment: &Assessment) -> String {
    let yellow = paint(AnsiColor::Yellow);
    let unread = inventory.unread();
    let mut folded = Vec::new();
    let mut text = String::new();
    for outcome in &assessment.outcomes {
        let why = match &outcome.status {
            Status::Unknown { why } => why,
            Status::Found if !outcome.missing.is_empty() => &outcome.missing,
            _ => continue,
        };
        let else_is_missing = |why: &&String| !unread.iter().any(|(_, cause)| why.ends_with(cause));
        let why: Vec<String> = why.iter().filter(else_is_missing).map(|why| plain(why)).collect();
        if why.is_empty() {
            folded.push(outcome.id);
            continue;
        }
        text += &format!(
            "\n{yellow}unknown{yellow:#} {} {}\n        {}\n",
            outcome.id,
            outcome.title,
            why.join("\n        ")
        );
    }
    if !folded.is_empty() {
        text += &format!(
            "\n{yellow}unknown{yellow:#} for want of what could not be read: {}\n",
            folded.join(", ")
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
