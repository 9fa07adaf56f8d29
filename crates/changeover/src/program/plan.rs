//! `plan` of a program: phases, order with reasons, fallbacks, then each component's own plan.

use anstyle::{AnsiColor, Style};
use changeover_engine::Report;
use changeover_plan::document::{Document, program_document};
use changeover_plan::{
    ExplainedProgramStep, OnComponentFail, Program, Reversible, explain_program,
};
use changeover_run::Mode;

use super::{Programmed, status};
use crate::cli::{DocumentFormat, PlanArgs};
use crate::migration::Planned;
use crate::output::{Output, paint};
use crate::{exit, verbs};

pub(super) fn run(programmed: &Programmed, args: &PlanArgs, output: &Output) -> Result<u8, Report> {
    built(args)?;
    let program = &programmed.files.program;
    let steps = explain_program(program);
    output.emit("program", &**program);
    output.emit("program_steps", &steps);
    let as_text = args.format == DocumentFormat::Text;
    if as_text {
        output.line(words(program, &steps));
    }
    if !args.offline {
        changeover_engine::shared_databases(&programmed.files)?;
    }
    let mut parts = Vec::new();
    let mut blocked = Vec::new();
    let mut code = exit::OK;
    for (component, files) in program.components.iter().zip(&programmed.files.components) {
        let planned = Planned {
            path: files.plan.clone(),
            plan: component.plan.clone(),
            state_dir: files.state_dir.clone(),
        };
        let args = PlanArgs { plan: files.plan.clone(), ..args.clone() };
        if as_text {
            output.line(format!("\n== {} ({})\n", component.name, component.file.display()));
        }
        // All components are looked at, so that everything is mended at once.
        let drawn = verbs::plan::draw(&planned, &args, output).and_then(|drawn| {
            output.emit("plan", &planned.plan);
            if as_text {
                drawn.show(&planned, output);
            }
            let verdict = drawn.verdict(&args, output);
            parts.push(drawn.document);
            verdict
        });
        match drawn {
            Ok(found) => code = code.max(found),
            Err(report) => {
                output.report(&report);
                blocked.push(component.name.as_str());
            }
        }
    }
    // Without a part there is no whole.
    if parts.len() == program.components.len() {
        tell(
            &program_document(program, parts, verbs::plan::surroundings(&args.plan)),
            args,
            output,
        )?;
    } else {
        for file in &args.document {
            output.note(format!("{} is not written: a component is not known", file.display()));
        }
    }
    if blocked.is_empty() {
        return Ok(match code {
            _ if !args.detailed_exitcode => code,
            exit::OK if is_pending(programmed)? => exit::PENDING,
            exit::OK => exit::OK,
            _ => exit::ERROR,
        });
    }
    Err(Report::new("CO0025", format!("the program cannot begin: see {}", blocked.join(", ")))
        .hint("mend what is named there, then check again: changeover plan PROGRAM"))
}

fn tell(document: &Document, args: &PlanArgs, output: &Output) -> Result<(), Report> {
    output.emit("document", document);
    match args.format {
        DocumentFormat::Text => {
            output.line(format!("\n== the whole program; takes {}\n", document.takes));
            output.line(verbs::plan::show::control(document));
            output.line(verbs::plan::show::milestones(document));
            output.line(verbs::plan::show::recovery(document));
        }
        other => output.line(verbs::plan::rendered(document, other)?),
    }
    args.document.iter().try_for_each(|file| verbs::plan::write_document(document, file, output))
}

/// Whether `apply` would do something.
fn is_pending(programmed: &Programmed) -> Result<bool, Report> {
    Ok(status::journalled_of(programmed)?.is_none_or(|(meta, state)| {
        let over = matches!(state.mode, Mode::Done | Mode::Finished);
        !over || meta.plan_digest != programmed.files.program.digest
    }))
}

/// Saved plans, and what is found by looking around, are of one component.
fn built(args: &PlanArgs) -> Result<(), Report> {
    let asked = [
        ("--out", args.out.is_some()),
        ("--fix", args.fix.is_some()),
        ("looking around (--from and the like)", args.places.any()),
    ];
    match asked.into_iter().find(|(_, asked)| *asked) {
        None => Ok(()),
        Some((option, _)) => {
            Err(Report::new("CO0035", format!("{option} is not built yet for a program"))
                .hint("give it with the plan of a component"))
        }
    }
}

fn words(program: &Program, steps: &[ExplainedProgramStep]) -> String {
    let dim = Style::new().dimmed();
    let count = program.components.len();
    let mut text = format!("{}: {count} components in {} steps\n", program.name, steps.len());
    for (index, step) in steps.iter().enumerate() {
        for condition in &step.entrance {
            text += &format!("\n     {condition}");
        }
        let (style, back) = match step.reversible {
            Reversible::ReadOnly => (paint(AnsiColor::Green), "changes nothing"),
            Reversible::UntilFinish => (paint(AnsiColor::Yellow), "can be taken back until finish"),
            _ => (paint(AnsiColor::Green), "can be taken back"),
        };
        text += &format!(
            "\n{:>3}. {} {style}[{back}]{style:#}\n     {}\n     {dim}because: {}{dim:#}\n     \
             {dim}if not: {}{dim:#}\n",
            index + 1,
            step.path,
            step.what,
            step.why,
            step.fallback
        );
    }
    text += match program.on_fail {
        OnComponentFail::Rollback => {
            "\nIf a component fails, or goes back by itself, nothing new begins and everything that \
             moved goes\nback to the source: whoever is on the way at once, the others in reverse \
             order. Once in a run;\na second failure pauses.\n"
        }
        OnComponentFail::Pause => {
            "\nIf a component fails, or goes back by itself, nothing new begins and the program \
             pauses: `apply` goes\non, `rollback` takes everything back.\n"
        }
    };
    text += "\nEach component changes authority by itself. No component ever loses an acknowledged \
             write; while\nsome have moved and others not, a read across several may see one moved \
             and another not.\nThe point of no return is `changeover finish` of the program, for \
             all components.\n";
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use changeover_plan::{Unloaded, parse, parse_program};

    #[test]
    fn a_program_is_shown_with_order_reasons_and_fallbacks() {
        let folder =
            std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/programs");
        let text = std::fs::read_to_string(folder.join("shop.yaml")).unwrap();
        let mut load = |file: &std::path::Path| {
            let text = std::fs::read_to_string(folder.join(file))
                .map_err(|e| Unloaded::Unreadable(e.to_string()))?;
            parse(&file.display().to_string(), &text).map_err(Unloaded::Faulty)
        };
        let program = parse_program("shop.yaml", &text, &mut load)
            .unwrap_or_else(|faults| panic!("{faults}"));
        let shown = words(&program, &explain_program(&program));
        insta::assert_snapshot!(anstream::adapter::strip_str(&shown).to_string());
    }
}
