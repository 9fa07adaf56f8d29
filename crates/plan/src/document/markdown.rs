//! The document as Markdown.

use std::fmt::Write as _;

use super::{Document, Line, PhaseWords};
use crate::estimate::show_span;

/// The document as Markdown (CommonMark with tables). What comes from outside is escaped.
#[must_use]
pub fn markdown(document: &Document) -> String {
    let mut out = String::new();
    // Writing to a text cannot fail.
    write(&mut out, document).ok();
    out
}

fn write(out: &mut String, document: &Document) -> std::fmt::Result {
    let Document { name, digest, file, at, tool, .. } = document;
    writeln!(out, "# Change plan: {}\n", safe(name))?;
    let labels = [("Owner", &document.owner), ("Ticket", &document.ticket)];
    for (label, value) in labels.iter().filter_map(|(l, v)| Some((l, v.as_ref()?))) {
        writeln!(out, "- **{label}:** {}", safe(value))?;
    }
    writeln!(out, "- **Plan:** `{file}`, digest `{digest}`")?;
    writeln!(out, "- **Made:** {at} by {tool}")?;
    writeln!(out, "- **Takes:** {}", safe(&document.takes))?;
    writeln!(out, "- **Point of no return:** {}\n", safe(&document.no_return))?;
    contradictions(out, document)?;
    lines(out, "What moves", &document.moves)?;
    lines(out, "Objectives", &document.objectives)?;
    control(out, document)?;
    milestones(out, &document.phases)?;
    steps(out, &document.phases)?;
    recovery(out, document)?;
    risks(out, document)?;
    promises(out, document)?;
    lines(out, "What the estimates stand on", &document.measured)?;
    lines(out, "Tools", &document.tools)?;
    document.components.iter().try_for_each(|part| component(out, part))
}

/// What of a component is not in the program's own part.
fn component(out: &mut String, part: &Document) -> std::fmt::Result {
    writeln!(out, "# Component {}\n", safe(&part.name))?;
    writeln!(out, "- **Plan:** `{}`, digest `{}`", part.file, part.digest)?;
    writeln!(out, "- **Takes:** {}\n", safe(&part.takes))?;
    contradictions(out, part)?;
    lines(out, "Objectives", &part.objectives)?;
    milestones(out, &part.phases)?;
    steps(out, &part.phases)?;
    recovery(out, part)?;
    promises(out, part)?;
    lines(out, "What the estimates stand on", &part.measured)
}

fn promises(out: &mut String, document: &Document) -> std::fmt::Result {
    if document.promises.is_empty() {
        return Ok(());
    }
    writeln!(out, "## What this migration can promise\n")?;
    for (what, kept) in &document.promises {
        writeln!(out, "- {} {}", if *kept { "**yes**" } else { "**no**" }, safe(what))?;
    }
    writeln!(out)
}

fn contradictions(out: &mut String, document: &Document) -> std::fmt::Result {
    if document.contradictions.is_empty() {
        return Ok(());
    }
    writeln!(out, "## The plan contradicts itself\n")?;
    for it in &document.contradictions {
        let word = if it.certain { "Cannot work" } else { "May not work" };
        writeln!(out, "- **{word}:** {} — {}. {}", safe(&it.what), safe(&it.why), safe(&it.fix))?;
    }
    writeln!(out)
}

fn lines(out: &mut String, title: &str, lines: &[Line]) -> std::fmt::Result {
    if lines.is_empty() {
        return Ok(());
    }
    writeln!(out, "## {title}\n\n| | |\n|---|---|")?;
    for line in lines {
        writeln!(out, "| {} | {} |", safe(&line.what), safe(&line.is))?;
    }
    writeln!(out)
}

fn control(out: &mut String, document: &Document) -> std::fmt::Result {
    writeln!(out, "## Who must agree, and what may stop the run\n")?;
    if document.control.is_empty() {
        return writeln!(out, "{}\n", super::UNCONTROLLED);
    }
    writeln!(out, "| | Of | What must be so | If not | Without data |\n|---|---|---|---|---|")?;
    for it in &document.control {
        writeln!(
            out,
            "| {} | {} | {} | {} | {} |",
            it.kind.as_str(),
            safe(it.of()),
            safe(&it.must),
            safe(&it.otherwise),
            safe(it.without_data.as_deref().unwrap_or("—"))
        )?;
    }
    writeln!(out)
}

fn milestones(out: &mut String, phases: &[PhaseWords]) -> std::fmt::Result {
    writeln!(out, "## Milestones\n\n| Phase | Takes | Reached after | Not counted |")?;
    writeln!(out, "|---|---|---|---|")?;
    let mut counted = 0;
    for phase in phases {
        let own = phase.without.get(counted..).unwrap_or_default();
        counted = phase.without.len();
        writeln!(
            out,
            "| {} | {} | {} | {} |",
            phase.name,
            show_span(phase.span),
            show_span(phase.reached),
            own.join(", "),
        )?;
    }
    writeln!(out)
}

fn steps(out: &mut String, phases: &[PhaseWords]) -> std::fmt::Result {
    writeln!(out, "## Steps\n")?;
    for phase in phases {
        writeln!(out, "### {}\n", safe(&phase.name))?;
        for entrance in &phase.entrance {
            writeln!(out, "Before it begins: {}\n", safe(entrance))?;
        }
        steps_of(out, phase)?;
    }
    Ok(())
}

fn steps_of(out: &mut String, phase: &PhaseWords) -> std::fmt::Result {
    for step in &phase.steps {
        writeln!(out, "{}. **{}** — {}", step.number, step.path, step.back())?;
        writeln!(out, "   - {}", safe(&step.what))?;
        writeln!(out, "   - Takes {}: {}", step.takes(), safe(&step.basis))?;
        writeln!(out, "   - If not: {}", safe(&step.fallback))?;
    }
    writeln!(out)
}

fn recovery(out: &mut String, document: &Document) -> std::fmt::Result {
    writeln!(out, "## Recovery plan\n\n| In or after | Commands | What they do | Lost | Takes |")?;
    writeln!(out, "|---|---|---|---|---|")?;
    for way in document.ways_back() {
        let recovery = way.recovery;
        let commands: Vec<String> =
            recovery.commands.iter().map(|command| format!("`{command}`")).collect();
        writeln!(
            out,
            "| {}: {} | {} | {} | {} | {} |",
            way.numbers(),
            way.paths(),
            if commands.is_empty() { "—".to_owned() } else { commands.join(", then ") },
            safe(&recovery.what),
            safe(&recovery.loses),
            safe(&[vec![recovery.takes.clone()], way.rehearsed()].concat().join("; ")),
        )?;
    }
    writeln!(out)
}

fn risks(out: &mut String, document: &Document) -> std::fmt::Result {
    writeln!(out, "## Risk register\n")?;
    let Some(risks) = &document.risks else {
        return writeln!(out, "Nobody looked: this document was made without connecting.\n");
    };
    if risks.is_empty() {
        return writeln!(out, "Nothing was found that needs mending.\n");
    }
    writeln!(out, "| Severity | Id | Side | What | Why it matters | Mitigation | Owner |")?;
    writeln!(out, "|---|---|---|---|---|---|---|")?;
    for risk in risks {
        writeln!(
            out,
            "| {} | `{}` | {} | {} | {} | {} | {} |",
            safe(&risk.severity),
            risk.id,
            risk.side.as_deref().unwrap_or("both"),
            safe(&risk.what),
            safe(&risk.why),
            safe(&risk.mitigation),
            safe(risk.owner.as_deref().unwrap_or_default()),
        )?;
    }
    writeln!(out)
}

/// A text from outside: names of tables and roles may hold anything.
fn safe(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '|' | '<' | '>' | '[' | ']' | '*' | '\\' | '#' => out.extend(['\\', c]),
            '\n' | '\r' => out.push(' '),
            c => out.push(c),
        }
    }
    out
}
