//! What the databases, the roles and the plan can promise together, and what they cannot.

use anstyle::{AnsiColor, Style};
use changeover_engine::Report;
use changeover_engine::preflight::{Finding, PreflightView, Promise, Severity};

use crate::migration::Planned;
use crate::output::{Output, paint};
use crate::{exit, follow};

/// Connects, looks, and prints what was found. The code says whether a migration could begin.
///
/// # Errors
/// If a database cannot be reached or asked.
pub(super) fn show(planned: &Planned, output: &Output) -> Result<u8, Report> {
    let found = follow::block_on(changeover_engine::preflight(&planned.plan, &planned.path))?;
    output.emit("preflight", &found);
    output.line(words(&found));
    let blockers = found.findings.iter().filter(|it| it.severity == Severity::Blocker).count();
    if blockers == 0 {
        return Ok(exit::OK);
    }
    Err(Report::new("CO0025", format!("the migration cannot begin: {blockers} blockers"))
        .hint("mend what the preflight names, then check again: changeover plan PLAN"))
}

fn words(found: &PreflightView) -> String {
    let mut text = String::from("Preflight:\n");
    if found.findings.is_empty() {
        text += "  nothing to mend\n";
    }
    for finding in &found.findings {
        text += &finding_words(finding);
    }
    if !found.promises.is_empty() {
        text += "\nWhat this migration can promise:\n";
    }
    for promise in &found.promises {
        text += &promise_words(promise);
    }
    text
}

fn finding_words(finding: &Finding) -> String {
    let (style, word) = match finding.severity {
        Severity::Blocker => (paint(AnsiColor::Red), "blocker"),
        Severity::Warning => (paint(AnsiColor::Yellow), "warning"),
        Severity::Note => (Style::new(), "note"),
    };
    let side = finding.side.map(|side| format!("{side}: ")).unwrap_or_default();
    let mut text = format!("  {style}{word}{style:#} [{}] {side}{}\n", finding.id, finding.what);
    if !finding.why.is_empty() {
        text += &format!("          {}\n", finding.why);
    }
    if !finding.fix.is_empty() {
        text += &format!("          next: {}\n", finding.fix);
    }
    text
}

fn promise_words(promise: &Promise) -> String {
    let (style, word) = if promise.kept {
        (paint(AnsiColor::Green), "yes")
    } else {
        (paint(AnsiColor::Yellow), "NO ")
    };
    format!("  {style}{word}{style:#} {}\n", promise.what)
}
