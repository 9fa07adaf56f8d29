//! `plan`: checks the file, connects, preflights, and prints what will happen in order.

use anstyle::{AnsiColor, Style};
use changeover_engine::Report;
use changeover_plan::{ExplainedStep, Plan, Reversible, explain};

use crate::cli::{Global, PlanArgs};
use crate::output::{Output, paint};
use crate::{exit, migration};

pub(super) fn run(args: &PlanArgs, global: &Global, output: &Output) -> Result<u8, Report> {
    let planned = migration::read_plan(&args.plan, global)?;
    let steps = explain(&planned.plan);
    output.emit("plan", &planned.plan);
    output.emit("steps", &steps);
    output.line(show_steps(&planned.plan, &steps));
    output.line(show_entering(&planned.plan));
    if args.offline {
        output.line("not connected: only the file was checked");
        return Ok(exit::OK);
    }
    super::preflight::show(&planned, output)
}

fn show_steps(plan: &Plan, steps: &[ExplainedStep]) -> String {
    let dim = Style::new().dimmed();
    let mut text = format!("{} in {} steps\n", plan.name, steps.len());
    for (index, step) in steps.iter().enumerate() {
        let (style, back) = match step.reversible {
            Reversible::ReadOnly => (Style::new(), "changes nothing"),
            Reversible::Always => (paint(AnsiColor::Green), "can be taken back"),
            Reversible::UntilFinish => (paint(AnsiColor::Yellow), "can be taken back until finish"),
            Reversible::Never => (paint(AnsiColor::Red), "POINT OF NO RETURN"),
        };
        text += &format!(
            "\n{:>3}. {} {style}[{back}]{style:#}\n     {}\n     {dim}if not: {}{dim:#}\n",
            index + 1,
            step.path,
            step.what,
            step.fallback
        );
    }
    if steps.iter().all(|step| step.reversible != Reversible::Never) {
        text += "\nThe plan has no `finish`: everything can be taken back until \
                 `changeover finish` is asked for.\n";
    }
    text.trim_end().to_owned()
}

/// Entering and leaving are moves of live traffic too.
fn show_entering(plan: &Plan) -> String {
    let mut text = String::from("\nHow clients come to the gates, and leave them again:\n");
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
    use changeover_plan::{TemplateKind, parse, template};

    #[test]
    fn a_plan_is_shown_with_its_point_of_no_return() {
        let text = template(TemplateKind::Database).to_owned()
            + "phases: [{name: all, steps: [replicate, cutover, finish]}]\n";
        let plan = parse("p", &text).unwrap();
        let shown = show_steps(&plan, &explain(&plan)) + &show_entering(&plan);
        insta::assert_snapshot!(anstream::adapter::strip_str(&shown).to_string());
    }
}
