//! What the databases, the roles and the plan can promise together, and what they cannot.

use anstyle::{AnsiColor, Style};
use changeover_assess::Severity;
use changeover_assess::register::Finding;
use changeover_engine::preflight::{PreflightView, Promise};

use crate::output::paint;

/// What was found, for people.
pub(super) fn words(found: &PreflightView) -> String {
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
    let (style, word) = match (&finding.waiver, finding.severity) {
        (Some(_), _) => (Style::new(), "accepted"),
        (None, Severity::Blocker) => (paint(AnsiColor::Red), "blocker"),
        (None, Severity::High | Severity::Medium) => {
            (paint(AnsiColor::Yellow), finding.severity.as_str())
        }
        (None, Severity::Low) => (Style::new(), "low"),
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
