//! The plan on a terminal.

use anstyle::{AnsiColor, Style};
use changeover_engine::preflight::PreflightView;
use changeover_plan::document::{Document, Line, PhaseWords, Recovery, StepWords};
use changeover_plan::estimate::show_span;
use changeover_plan::{Contradiction, Plan, Reversible};

use crate::output::{Output, paint};
use crate::verbs::preflight;

/// Prints everything in the order in which it is read: what, how long, the way back, the risks.
pub(super) fn show(
    plan: &Plan,
    document: &Document,
    found: Option<&PreflightView>,
    output: &Output,
) {
    output.line(steps(document));
    output.line(lines("Objectives", &document.objectives));
    if !document.guards.is_empty() {
        output.line(lines("Watched all along", &document.guards));
    }
    output.line(milestones(document));
    output.line(recovery(document));
    output.line(entering(plan));
    output.line(conditions(plan));
    output.line(lines("What the estimates stand on", &document.measured));
    output.line(lines("Tools", &document.tools));
    match found {
        Some(found) => {
            output.line(preflight::words(found));
            output.line(register(document));
        }
        None => output.line("not connected: only the file was checked"),
    }
    if !document.contradictions.is_empty() {
        output.line(contradictions(&document.contradictions));
    }
}

fn steps(document: &Document) -> String {
    let count: usize = document.phases.iter().map(|phase| phase.steps.len()).sum();
    let mut text = format!("{} in {count} steps; takes {}\n", document.name, document.takes);
    for phase in &document.phases {
        for entrance in &phase.entrance {
            text += &format!("\n     before {}: {entrance}\n", phase.name);
        }
        phase.steps.iter().for_each(|it| text += &step(it));
    }
    text += &format!("\nPoint of no return: {}\n", document.no_return);
    text
}

fn step(step: &StepWords) -> String {
    let dim = Style::new().dimmed();
    let style = match step.reversible {
        Reversible::ReadOnly => Style::new(),
        Reversible::Always => paint(AnsiColor::Green),
        Reversible::UntilFinish => paint(AnsiColor::Yellow),
        Reversible::Never => paint(AnsiColor::Red),
    };
    format!(
        "\n{:>3}. {} {style}[{}]{style:#}\n     {}\n     {dim}takes {}: {}{dim:#}\n     \
         {dim}if not: {}{dim:#}\n",
        step.number,
        step.path,
        step.back(),
        step.what,
        step.takes(),
        step.basis,
        step.fallback
    )
}

/// When each phase is over.
pub(crate) fn milestones(document: &Document) -> String {
    let width = document.phases.iter().map(|phase| phase.name.len()).max().unwrap_or(0);
    let mut text = String::from("Milestones, counted from the begin:\n");
    for PhaseWords { name, reached, without, .. } in &document.phases {
        text += &format!("  {name:width$}  {}", show_span(*reached));
        if !without.is_empty() {
            text += &format!(" (without {})", without.join(", "));
        }
        text.push('\n');
    }
    text
}

/// The way back from each step.
pub(crate) fn recovery(document: &Document) -> String {
    let mut text = String::from("The way back:\n");
    let steps: Vec<&StepWords> = document.phases.iter().flat_map(|phase| &phase.steps).collect();
    for group in steps.chunk_by(|a, b| is_same(&a.recovery, &b.recovery)) {
        let (Some(first), Some(last)) = (group.first(), group.last()) else { continue };
        let from = if group.len() == 1 {
            format!("step {}", first.number)
        } else {
            format!("steps {} to {}", first.number, last.number)
        };
        let recovery = &first.recovery;
        let commands = recovery.commands.join(", then ");
        let commands = if commands.is_empty() { "none" } else { &commands };
        text += &format!(
            "  from {from}: {commands}\n     {}\n     lost: {}\n     takes: {}\n",
            recovery.what, recovery.loses, recovery.takes
        );
        for step in group {
            let found = step.recovery.rehearsed.iter();
            found.for_each(|it| text += &format!("     step {}: {it}\n", step.number));
        }
    }
    text
}

/// What a rehearsal found is said of each step, what its plan says of all that share it.
fn is_same(a: &Recovery, b: &Recovery) -> bool {
    let plan = |it: &Recovery| Recovery { rehearsed: None, ..it.clone() };
    plan(a) == plan(b)
}

/// The assessment's part of the register in one line each; `assess` says more.
fn register(document: &Document) -> String {
    let risks = document.risks.iter().flatten();
    let assessed: Vec<_> =
        risks.filter(|risk| risk.owner.is_some() || risk.id == "unknown").collect();
    if assessed.is_empty() {
        return "Risks: none of the checks of `changeover assess` found anything\n".to_owned();
    }
    let mut text = String::from("Risks, as `changeover assess PLAN` explains them:\n");
    for risk in assessed {
        let style = match risk.severity.as_str() {
            "blocker" => paint(AnsiColor::Red),
            "high" | "unknown" => paint(AnsiColor::Yellow),
            _ => Style::new(),
        };
        let side = risk.side.as_ref().map(|side| format!("{side}: ")).unwrap_or_default();
        let (severity, id, what) = (&risk.severity, &risk.id, &risk.what);
        text += &format!("  {style}{severity:8}{style:#} [{id}] {side}{what}\n");
    }
    text
}

fn lines(title: &str, lines: &[Line]) -> String {
    if lines.is_empty() {
        return format!("{title}: nothing\n");
    }
    let width = lines.iter().map(|line| line.what.len()).max().unwrap_or(0);
    let mut text = format!("{title}:\n");
    for Line { what, is } in lines {
        text += &format!("  {what:width$}  {is}\n");
    }
    text
}

fn contradictions(found: &[Contradiction]) -> String {
    let mut text = String::from("The plan contradicts itself:\n");
    for it in found {
        let (style, word) = if it.certain {
            (paint(AnsiColor::Red), "cannot work")
        } else {
            (paint(AnsiColor::Yellow), "may not work")
        };
        text += &format!(
            "  {style}{word}{style:#} {}\n          {}\n          next: {}\n",
            it.what, it.why, it.fix
        );
    }
    text
}

/// What may stop the run, and whom it waits for.
fn conditions(plan: &Plan) -> String {
    let mut text = String::from("\nWhat the run waits for, and what may stop it:\n");
    if let Some(deadline) = plan.objectives.deadline {
        text += &format!("  deadline    {}\n", changeover_plan::show_instant(deadline.at));
    }
    for phase in &plan.phases {
        if let Some(window) = &phase.entrance.window {
            let (from, to, zone) = (window.from, window.to, &window.zone);
            text += &format!("  window      phase {}: {from} to {to} {zone}\n", phase.name);
        }
        if let Some(rule) = &phase.entrance.approve {
            let from = rule.from.join(", ");
            text += &format!("  approval    phase {}: {} of {from}\n", phase.name, rule.count);
        }
    }
    for guard in &plan.guards {
        text += &format!("  guard       {}; if not: {}\n", guard.rule(), guard.consequence());
    }
    if text.lines().count() > 2 { text } else { String::new() }
}

/// Entering and leaving are moves of live traffic too.
fn entering(plan: &Plan) -> String {
    let mut text = String::from("How clients come to the gates, and leave them again:\n");
    if let Some(gate) = &plan.gates.http {
        text += &format!(
            "  HTTP        let the balancer, the DNS name or a port redirection lead to {}; when \
             it is over,\n              let it lead to the target, and stop the gate when no \
             client is left\n",
            gate.listen
        );
    }
    if let Some(gate) = &plan.gates.postgres {
        text += &format!(
            "  PostgreSQL  give the application {} as its database's host and port (the database \
             name is\n              translated); when it is over, give it the target's\n",
            gate.listen
        );
    } else if plan.moves_data() {
        text += "  PostgreSQL  there is no gate: writers wait in the database during the cutover \
                 and are refused\n              after it until they are pointed at the target\n";
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use changeover_plan::document::{Surroundings, document};
    use changeover_plan::estimate::{Measures, estimate};
    use changeover_plan::{TemplateKind, parse, template};

    #[test]
    fn a_plan_is_shown_with_its_times_its_ways_back_and_its_point_of_no_return() {
        let text = template(TemplateKind::Database).to_owned()
            + "phases: [{name: all, steps: [replicate, cutover, finish]}]\n";
        let plan = parse("p", &text).unwrap();
        let measures = Measures {
            bytes: Some(2_000_000_000),
            read_bytes_per_s: Some(50_000_000),
            unknown: vec!["how fast the target writes: permission denied".into()],
            ..Measures::default()
        };
        let estimates = estimate(&plan, &measures);
        let around = Surroundings {
            file: "p.yaml".into(),
            contradictions: changeover_plan::contradictions(
                &plan,
                &estimates,
                &measures,
                changeover_engine::now(),
            ),
            ..Surroundings::default()
        };
        let document = document(&plan, &estimates, &measures, around);
        let shown = [
            steps(&document),
            milestones(&document),
            recovery(&document),
            entering(&plan),
            lines("What the estimates stand on", &document.measured),
        ];
        insta::assert_snapshot!(anstream::adapter::strip_str(&shown.join("\n")).to_string());
    }
}
