//! The page's tables with more than two columns.

use std::fmt::Write as _;

use super::{escaped, prose};
use crate::document::{Document, PhaseWords, UNCONTROLLED};
use crate::estimate::show_span;

pub(super) fn control(out: &mut String, document: &Document) -> std::fmt::Result {
    if document.control.is_empty() {
        return writeln!(out, "<p>{UNCONTROLLED}</p>");
    }
    writeln!(
        out,
        "<table class=\"fixed control\"><thead><tr><th>What</th><th>Of</th><th>What must be so</th>\
         <th>If not</th></tr></thead><tbody>"
    )?;
    for it in &document.control {
        let without = it
            .without_data
            .iter()
            .map(|then| format!("<br><small>Without data: {}</small>", escaped(then)));
        writeln!(
            out,
            "<tr><th>{}</th><td>{}</td><td>{}</td><td>{}{}</td></tr>",
            it.kind.as_str(),
            escaped(it.of()),
            prose(&it.must),
            prose(&it.otherwise),
            without.collect::<String>()
        )?;
    }
    writeln!(out, "</tbody></table>")
}

pub(super) fn milestones(out: &mut String, phases: &[PhaseWords]) -> std::fmt::Result {
    writeln!(
        out,
        "<table class=\"fixed milestones\"><thead><tr><th>Milestone</th><th>Takes</th><th>Reached after</th>\
         <th>Not counted</th></tr></thead><tbody>"
    )?;
    let mut counted = 0;
    for phase in phases {
        let own = phase.without.get(counted..).unwrap_or_default();
        counted = phase.without.len();
        writeln!(
            out,
            "<tr><th>{}</th><td>{}</td><td>{}</td><td>{}</td></tr>",
            escaped(&phase.name),
            show_span(phase.span),
            show_span(phase.reached),
            escaped(&own.join(", ")),
        )?;
    }
    writeln!(out, "</tbody></table>")
}

pub(super) fn recovery(out: &mut String, document: &Document) -> std::fmt::Result {
    writeln!(
        out,
        "<table class=\"fixed recovery\"><thead><tr><th>In or after</th><th>Commands</th>\
         <th>What they do</th></tr></thead><tbody>"
    )?;
    // Neighbours with the same way back share a row.
    for way in document.ways_back() {
        let recovery = way.recovery;
        let commands = recovery.commands.iter().map(|it| format!("<code>{}</code>", escaped(it)));
        let commands = commands.collect::<Vec<_>>().join("<br>then ");
        let rehearsed = way.rehearsed().into_iter();
        let rehearsed = rehearsed.map(|it| format!("<br><small>{}</small>", prose(&it)));
        writeln!(
            out,
            "<tr><th>{}<br><small>{}</small></th><td>{}</td>\
             <td>{}<br><small><b>Lost</b> {}</small><br><small><b>Takes</b> {}</small>{}</td></tr>",
            way.numbers(),
            escaped(&way.paths()),
            if commands.is_empty() { "none" } else { &commands },
            prose(&recovery.what),
            prose(&recovery.loses),
            prose(&recovery.takes),
            rehearsed.collect::<String>()
        )?;
    }
    writeln!(out, "</tbody></table>")
}

pub(super) fn risks(out: &mut String, document: &Document) -> std::fmt::Result {
    let Some(risks) = &document.risks else {
        return writeln!(out, "<p>Nobody looked: this page was made without connecting.</p>");
    };
    if risks.is_empty() {
        return writeln!(out, "<p>Nothing was found that needs mending.</p>");
    }
    // Not a table: what was seen may be long, and a narrow column makes it longer.
    for risk in risks {
        let small = |label: &str, text: &str| match text {
            "" => String::new(),
            _ => format!("<p class=\"small\"><b>{label}</b> {}</p>", prose(text)),
        };
        let owner = risk.owner.iter().map(|owner| format!(" · {}", escaped(owner)));
        writeln!(
            out,
            "<article class=\"step risk severity-{}\"><h4>{} <code>{}</code> \
             <small>{}{}</small></h4><p>{}</p>{}{}</article>",
            class(&risk.severity),
            badge(&risk.severity, &risk.severity),
            escaped(&risk.id),
            escaped(risk.side.as_deref().unwrap_or("both sides")),
            owner.collect::<String>(),
            prose(&risk.what),
            small("Why it matters", &risk.why),
            small("Mitigation", &risk.mitigation),
        )?;
    }
    Ok(())
}

pub(super) fn promises(out: &mut String, document: &Document) -> std::fmt::Result {
    writeln!(out, "<ul class=\"promises\">")?;
    for (what, kept) in &document.promises {
        let (class, word) = if *kept { ("kept", "yes") } else { ("broken", "no") };
        writeln!(out, "<li><span class=\"badge {class}\">{word}</span> {}</li>", prose(what))?;
    }
    writeln!(out, "</ul>")
}

/// A word in the colour of a severity.
pub(super) fn badge(severity: &str, word: &str) -> String {
    format!("<span class=\"badge severity-{}\">{}</span>", class(severity), escaped(word))
}

fn class(severity: &str) -> String {
    severity.chars().filter(char::is_ascii_alphanumeric).collect()
}
