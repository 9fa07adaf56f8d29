//! The document as one HTML page: no script, nothing from elsewhere, prints on A4, light and dark.

mod tables;

use std::fmt::Write as _;

use super::{Document, Line, PhaseWords, StepWords, timeline};
use crate::explain::Reversible;

/// The document as a self-contained HTML page. Everything from outside is escaped.
#[must_use]
pub fn html(document: &Document) -> String {
    let mut out = String::new();
    // Writing to a text cannot fail.
    page(&mut out, document).ok();
    out
}

/// For text and for attribute values.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// Escaped, and what stands between two back quotes as code.
fn prose(text: &str) -> String {
    let parts: Vec<&str> = text.split('`').collect();
    let paired = parts.len() % 2 == 1;
    let mut out = String::with_capacity(text.len());
    for (index, part) in parts.iter().enumerate() {
        match (index % 2 == 1, paired) {
            (true, true) => out += &format!("<code>{}</code>", escaped(part)),
            (true, false) => out += &format!("`{}", escaped(part)),
            (false, _) if index > 0 && !paired => out += &format!("`{}", escaped(part)),
            (false, _) => out += &escaped(part),
        }
    }
    out
}

fn page(out: &mut String, document: &Document) -> std::fmt::Result {
    let name = escaped(&document.name);
    write!(
        out,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <meta http-equiv=\"Content-Security-Policy\" \
         content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <title>Change plan: {name}</title>\n<style>\n{}</style>\n</head>\n<body>\n<main>\n",
        include_str!("style.css")
    )?;
    head(out, document)?;
    contradictions(out, document)?;
    section(out, "Timeline", |out| {
        writeln!(out, "{}", timeline::svg(document))?;
        writeln!(
            out,
            "<p class=\"legend\"><span class=\"key back\"></span>can be taken back \
             <span class=\"key moves\"></span>moves authority, can be taken back until finish \
             <span class=\"key never\"></span>point of no return \
             <span class=\"key line\"></span>from the least to the most; dashed: no upper bound is \
             known. The axis is a square root, so that minutes are seen beside days.</p>"
        )?;
        tables::milestones(out, &document.phases)
    })?;
    table(out, "What moves", &document.moves)?;
    table(out, "Objectives", &document.objectives)?;
    section(out, "Who must agree, and what may stop the run", |out| {
        tables::control(out, document)
    })?;
    section(out, "Steps", |out| document.phases.iter().try_for_each(|it| phase(out, it)))?;
    section(out, "Recovery plan", |out| tables::recovery(out, document))?;
    section(out, "Risk register", |out| tables::risks(out, document))?;
    if !document.promises.is_empty() {
        section(out, "What this migration can promise", |out| tables::promises(out, document))?;
    }
    table(out, "What the estimates stand on", &document.measured)?;
    table(out, "Tools", &document.tools)?;
    document.components.iter().try_for_each(|part| component(out, part))?;
    section(out, "Decision", |out| {
        out.push_str(
            "<table class=\"sign\"><thead><tr><th>Name</th><th>Role</th><th>Yes / no</th>\
             <th>Date</th><th>Signature</th></tr></thead><tbody>",
        );
        out.push_str(&"<tr><td></td><td></td><td></td><td></td><td></td></tr>".repeat(3));
        writeln!(out, "</tbody></table>")
    })?;
    writeln!(out, "</main>\n</body>\n</html>")
}

/// What of a component is not in the program's own part.
fn component(out: &mut String, part: &Document) -> std::fmt::Result {
    section(out, &format!("Component {}", escaped(&part.name)), |out| {
        writeln!(
            out,
            "<p>Plan <code>{}</code>, digest <code>{}</code>. Takes {}.</p>",
            escaped(&part.file),
            escaped(&part.digest),
            prose(&part.takes)
        )?;
        writeln!(out, "{}", timeline::svg(part))?;
        tables::milestones(out, &part.phases)?;
        part.phases.iter().try_for_each(|it| phase(out, it))?;
        tables::recovery(out, part)?;
        if part.promises.is_empty() { Ok(()) } else { tables::promises(out, part) }
    })?;
    contradictions(out, part)?;
    let of = |what: &str| format!("{what} of {}", escaped(&part.name));
    table(out, &of("Objectives"), &part.objectives)?;
    table(out, &of("What was measured for the estimates"), &part.measured)
}

fn head(out: &mut String, document: &Document) -> std::fmt::Result {
    let by = |label: &str, value: &Option<String>| {
        value.as_ref().map(|it| format!("{label} {}", escaped(it))).unwrap_or_default()
    };
    writeln!(
        out,
        "<header><p class=\"kind\">Change plan</p><h1>{}</h1><p class=\"meta\">{} {} · {} · {}</p>\
         </header>",
        escaped(&document.name),
        by("Owner", &document.owner),
        by("· Ticket", &document.ticket),
        escaped(&document.at),
        escaped(&document.tool),
    )?;
    writeln!(
        out,
        "<dl class=\"cards\"><div><dt>Takes</dt><dd>{}</dd></div>\
         <div><dt>Point of no return</dt><dd>{}</dd></div>\
         <div><dt>Risks</dt><dd>{}</dd></div>\
         <div><dt>Plan</dt><dd><code>{}</code><br><small>digest <code>{}</code></small></dd></div></dl>",
        prose(&document.takes),
        prose(&document.no_return),
        risks_in_short(document),
        escaped(&document.file),
        escaped(&document.digest),
    )
}

fn risks_in_short(document: &Document) -> String {
    let Some(risks) = &document.risks else { return "nobody looked".to_owned() };
    let mut counted: Vec<(&str, usize)> = Vec::new();
    for risk in risks {
        match counted.iter_mut().find(|(severity, _)| *severity == risk.severity) {
            Some((_, count)) => *count += 1,
            None => counted.push((&risk.severity, 1)),
        }
    }
    if counted.is_empty() {
        return "nothing that needs mending".to_owned();
    }
    let badge =
        |(severity, count): &(&str, usize)| tables::badge(severity, &format!("{count} {severity}"));
    counted.iter().map(badge).collect::<Vec<_>>().join(" ")
}

fn section(
    out: &mut String,
    title: &str,
    body: impl FnOnce(&mut String) -> std::fmt::Result,
) -> std::fmt::Result {
    writeln!(out, "<section><h2>{title}</h2>")?;
    body(out)?;
    writeln!(out, "</section>")
}

fn contradictions(out: &mut String, document: &Document) -> std::fmt::Result {
    if document.contradictions.is_empty() {
        return Ok(());
    }
    writeln!(out, "<section class=\"alarm\"><h2>The plan contradicts itself</h2><ul>")?;
    for it in &document.contradictions {
        writeln!(
            out,
            "<li><strong>{}:</strong> {}. {}. {}</li>",
            if it.certain { "Cannot work" } else { "May not work" },
            prose(&it.what),
            prose(&it.why),
            prose(&it.fix)
        )?;
    }
    writeln!(out, "</ul></section>")
}

fn table(out: &mut String, title: &str, lines: &[Line]) -> std::fmt::Result {
    if lines.is_empty() {
        return Ok(());
    }
    section(out, title, |out| {
        writeln!(out, "<table class=\"facts\"><tbody>")?;
        for line in lines {
            writeln!(out, "<tr><th>{}</th><td>{}</td></tr>", escaped(&line.what), prose(&line.is))?;
        }
        writeln!(out, "</tbody></table>")
    })
}

fn phase(out: &mut String, phase: &PhaseWords) -> std::fmt::Result {
    writeln!(out, "<h3>{}</h3>", escaped(&phase.name))?;
    for entrance in &phase.entrance {
        writeln!(out, "<p class=\"entrance\">{}</p>", prose(entrance))?;
    }
    phase.steps.iter().try_for_each(|it| step(out, it))
}

fn step(out: &mut String, step: &StepWords) -> std::fmt::Result {
    let class = match step.reversible {
        Reversible::ReadOnly => "reads",
        Reversible::Always => "back",
        Reversible::UntilFinish => "moves",
        Reversible::Never => "never",
    };
    writeln!(
        out,
        "<article class=\"step {class}\"><h4><span class=\"number\">{}</span> {} \
         <span class=\"badge {class}\">{}</span></h4><p>{}</p>\
         <p class=\"small\"><b>Takes</b> {}: {}</p><p class=\"small\"><b>If not</b> {}</p></article>",
        step.number,
        escaped(&step.path),
        step.back(),
        prose(&step.what),
        escaped(&step.takes()),
        prose(&step.basis),
        prose(&step.fallback)
    )
}
