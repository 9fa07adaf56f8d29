//! For a ticket or a change board.

use changeover_types::Side;
use changeover_types::calendar::date;

use crate::finding::{Assessment, Severity, Status};
use crate::inventory::Inventory;
use crate::register::Finding;
use crate::report::summary;

/// The whole assessment as Markdown.
#[must_use]
pub fn markdown(inventory: &Inventory, assessment: &Assessment) -> String {
    let mut text = format!("# Assessment of {}\n\n", date(assessment.at));
    let score = &assessment.score;
    text.push_str(match score.blocks() {
        true => "**Blocked**: at least one blocker is neither mended nor waived.\n\n",
        false => "Not blocked. What is unknown has not passed.\n\n",
    });
    text.push_str(
        "| blocker | high | medium | low | unknown | waived | passed | not applicable |\n",
    );
    text.push_str("|---|---|---|---|---|---|---|---|\n");
    text.push_str(&format!(
        "| {} | {} | {} | {} | {} | {} | {} | {} |\n",
        score.blocker,
        score.high,
        score.medium,
        score.low,
        score.unknown,
        score.waived,
        score.passed,
        score.not_applicable
    ));
    findings(assessment, &mut text);
    unknown(assessment, &mut text);
    facts(inventory, &mut text);
    rest(assessment, &mut text);
    text
}

fn findings(assessment: &Assessment, text: &mut String) {
    for severity in Severity::ALL {
        let open = assessment.findings.iter().filter(|it| it.waiver.is_none());
        let of: Vec<&Finding> = open.filter(|it| it.severity == severity).collect();
        section(&format!("{} findings", capital(severity.as_str())), &of, text);
    }
    let waived: Vec<&Finding> =
        assessment.findings.iter().filter(|it| it.waiver.is_some()).collect();
    section("Waived", &waived, text);
    if !assessment.waiver_faults.is_empty() {
        text.push_str("\n## Waivers that count as none\n\n");
        for fault in &assessment.waiver_faults {
            text.push_str(&format!("- {}\n", inline(fault)));
        }
    }
}

fn section(title: &str, findings: &[&Finding], text: &mut String) {
    if findings.is_empty() {
        return;
    }
    text.push_str(&format!("\n## {title}\n"));
    for finding in findings {
        let side = finding.side.map_or(String::new(), |side| format!("{side}: "));
        text.push_str(&format!("\n### {} {side}{}\n\n", finding.id, inline(&finding.what)));
        text.push_str(&format!("{}.\n", capital(&inline(&finding.why))));
        if !finding.fix.is_empty() {
            let (what, owner) = (inline(&finding.fix), finding.owner.as_str());
            text.push_str(&format!("\nWhat to do ({owner}): {what}.\n"));
        }
        if let Some(waiver) = &finding.waiver {
            let (by, until) = (inline(&waiver.by), date(waiver.until));
            let reason = inline(&waiver.reason);
            text.push_str(&format!("\nWaived by {by} until {until}: {reason}\n"));
        }
        let seen = finding.seen.iter().map(|seen| format!("- {}\n", inline(seen)));
        let script = finding.script.iter().map(|fix| format!("- {}\n", code(fix)));
        let listed: String = seen.chain(script).collect();
        if !listed.is_empty() {
            text.push_str(&format!("\n{listed}"));
        }
    }
}

fn unknown(assessment: &Assessment, text: &mut String) {
    let mut title = "\n## Unknown\n\nThese could not tell, which is no pass.\n\n";
    for outcome in &assessment.outcomes {
        let why = match &outcome.status {
            Status::Unknown { why } => why,
            Status::Found => &outcome.missing,
            Status::Passed | Status::NotApplicable { .. } => continue,
        };
        if why.is_empty() {
            continue;
        }
        text.push_str(std::mem::take(&mut title));
        let why: Vec<String> = why.iter().map(|why| inline(why)).collect();
        let (id, severity) = (outcome.id, outcome.severity.as_str());
        text.push_str(&format!("- `{id}` (up to {severity}): {}\n", why.join("; ")));
    }
}

fn facts(inventory: &Inventory, text: &mut String) {
    let lines = summary(inventory);
    if lines.is_empty() {
        return;
    }
    text.push_str("\n## Facts\n\n| side | fact | | source |\n|---|---|---|---|\n");
    for line in lines {
        let value = match line.known {
            true => inline(&line.text),
            false => format!("unknown: {}", inline(&line.text)),
        };
        let side = match line.side {
            Side::Source => "source",
            Side::Target => "target",
        };
        let source = inline(&line.source);
        text.push_str(&format!("| {side} | {} | {value} | {source} |\n", line.topic));
    }
}

fn rest(assessment: &Assessment, text: &mut String) {
    let ids = |of: fn(&Status) -> bool| -> Vec<String> {
        let outcomes = assessment.outcomes.iter().filter(|it| of(&it.status));
        outcomes.map(|it| format!("`{}`", it.id)).collect()
    };
    for (title, ids) in [
        ("Passed", ids(|status| matches!(status, Status::Passed))),
        ("Not applicable", ids(|status| matches!(status, Status::NotApplicable { .. }))),
    ] {
        if !ids.is_empty() {
            text.push_str(&format!("\n## {title}\n\n{}\n", ids.join(", ")));
        }
    }
}

/// A text that cannot break out of its line or cell: names come from databases and files.
pub(crate) fn inline(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\r' | '\t' => safe.push(' '),
            '|' | '<' | '>' | '*' | '[' | ']' | '\\' | '#' => {
                safe.push('\\');
                safe.push(c);
            }
            c if c.is_control() => {}
            c => safe.push(c),
        }
    }
    safe
}

/// A command as code: fenced by more back quotes than it holds.
fn code(text: &str) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest + 1);
    if longest > 0 { format!("{fence} {text} {fence}") } else { format!("{fence}{text}{fence}") }
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_stay_in_their_cell() {
        assert_eq!(inline("a|b\n# c <script>"), "a\\|b \\# c \\<script\\>");
        assert_eq!(code("DROP TABLE \"a`b\";"), "`` DROP TABLE \"a`b\"; ``");
    }
}
