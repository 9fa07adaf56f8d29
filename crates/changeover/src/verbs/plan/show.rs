//! The plan on a terminal.

use anstyle::{AnsiColor, Style};
use changeover_plan::document::{
    Document, Line, PhaseWords, Recovery, Risk, StepWords, UNCONTROLLED,
};
use changeover_plan::estimate::show_span;
use changeover_plan::{Contradiction, Plan, Reversible};

use super::verdict::standing;
use crate::output::{Output, paint};

/// Prints everything in the order in which it is read: whether it may begin, what, how long, the
/// way back, the risks.
pub(super) fn show(plan: &Plan, document: &Document, output: &Output) {
    output.line(text(plan, document));
}

fn text(plan: &Plan, document: &Document) -> String {
    let mut parts: Vec<String> =
        standing(document).into_iter().map(|line| format!("{line}\n")).collect();
    parts.extend([
        steps(document),
        lines("Objectives", &document.objectives),
        control(document),
        milestones(document),
        recovery(document),
        entering(plan),
        lines("What the estimates stand on", &document.measured),
        lines("Tools", &document.tools),
    ]);
    match &document.risks {
        Some(risks) => parts.extend([register(document, risks), promises(document)]),
        None => parts.push("not connected: only the file was checked\n".to_owned()),
    }
    if !document.contradictions.is_empty() {
        parts.push(contradictions(&document.contradictions));
    }
    parts.join("\n")
}

fn steps(document: &Document) -> String {
    let count: usize = document.phases.iter().map(|phase| phase.steps.len()).sum();
    let mut text = format!("{} in {count} steps; takes {}\n", document.name, document.takes);
    for phase in &document.phases {
        for entrance in &phase.entrance {
            text += &format!("\n     before {}: {}\n", phase.name, plain(entrance));
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

/// Who must agree, and what may stop the run.
pub(crate) fn control(document: &Document) -> String {
    let mut text = String::from("Who must agree, and what may stop the run:\n");
    if document.control.is_empty() {
        return text + &format!("  {UNCONTROLLED}\n");
    }
    let width = document.control.iter().map(|it| it.of().len()).max().unwrap_or(0);
    for it in &document.control {
        let (kind, of) = (it.kind.as_str(), it.of());
        text += &plain(&format!("  {kind:8}  {of:width$}  {}", it.must));
        let without = it.without_data.iter().map(|then| format!("; without data: {then}"));
        let without: String = without.collect();
        text += &plain(&format!("\n            if not: {}{without}\n", it.otherwise));
    }
    text
}

/// When each phase is over.
pub(crate) fn milestones(document: &Document) -> String {
    let name = document.phases.iter().map(|phase| phase.name.len()).max().unwrap_or(0);
    let takes = |phase: &PhaseWords| show_span(phase.span);
    let width = document.phases.iter().map(|phase| takes(phase).len()).max().unwrap_or(0);
    let mut text = String::from("Milestones:\n");
    for phase in &document.phases {
        let reached = show_span(phase.reached);
        text += &format!(
            "  {:name$}  takes {:width$}  reached after {reached}",
            phase.name,
            takes(phase)
        );
        if !phase.without.is_empty() {
            text += &format!(" (without {})", phase.without.join(", "));
        }
        text.push('\n');
    }
    text
}

/// The way back from each step.
pub(crate) fn recovery(document: &Document) -> String {
    let mut text = String::from("The way back:\n");
    for way in document.ways_back() {
        let commands = way.recovery.commands.join(", then ");
        let commands = if commands.is_empty() { "none" } else { &commands };
        let Recovery { what, loses, takes, .. } = way.recovery;
        text += &format!(
            "  from {}: {commands}\n     {what}\n     lost: {loses}\n     takes: {takes}\n",
            way.numbers()
        );
        way.rehearsed().iter().for_each(|it| text += &format!("     {it}\n"));
    }
    text
}

/// Everything that stands in the way or should be known, the worst first.
fn register(document: &Document, risks: &[Risk]) -> String {
    if risks.is_empty() {
        return "Risk register: nothing to mend\n".to_owned();
    }
    let mut text = String::from("Risk register:\n");
    for risk in risks {
        let style = match risk.severity.as_str() {
            "blocker" => paint(AnsiColor::Red),
            "high" | "medium" | "unknown" => paint(AnsiColor::Yellow),
            _ => Style::new(),
        };
        let side = risk.side.as_ref().map(|side| format!("{side}: ")).unwrap_or_default();
        let (severity, id, what) = (&risk.severity, &risk.id, plain(&risk.what));
        text += &format!("  {style}{severity:8}{style:#} [{id}] {side}{what}\n");
        text += &format!("           {}\n", plain(&risk.why));
        if !risk.mitigation.is_empty() {
            let owner = risk.owner.as_ref().map(|owner| format!(" ({owner})")).unwrap_or_default();
            text += &format!("           next: {}{owner}\n", plain(&risk.mitigation));
        }
    }
    if risks.iter().any(|risk| risk.severity != "accepted" && !risk.script.is_empty()) {
        text += &format!(
            "one script with all statements that mend something: changeover plan {} --fix fix.sql\n",
            document.file
        );
    }
    text
}

fn promises(document: &Document) -> String {
    let mut text = String::from("What this migration can promise:\n");
    for (promise, kept) in &document.promises {
        let (style, word) = match kept {
            true => (paint(AnsiColor::Green), "yes"),
            false => (paint(AnsiColor::Yellow), "NO "),
        };
        text += &format!("  {style}{word}{style:#} {}\n", plain(promise));
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
        text += &format!("  {what:width$}  {}\n", plain(is));
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

/// Names of tables, roles and people: nothing of them may steer a terminal.
pub(super) fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { ' ' } else { c }).collect()
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
