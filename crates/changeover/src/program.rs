//! Verbs on a program: the same words as on a plan, for several migrations at once.

mod apply;
mod approve;
mod follow;
mod gate;
mod plan;
mod status;
mod target;
mod view;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use changeover_engine::protocol::{Ask, RunState};
use changeover_engine::{ComponentFiles, ProgramFiles, Report};
use changeover_plan::{Unloaded, is_program, parse_program};

use crate::cli::{Global, JournalAct, Verb};
use crate::output::{Output, ask, confirm};
use crate::{exit, verbs};

pub(crate) use target::Target;

/// A program, read from its file.
#[derive(Debug)]
pub(crate) struct Programmed {
    /// The file, absolute.
    pub(crate) path: PathBuf,
    /// What it says, and where everything is.
    pub(crate) files: ProgramFiles,
}

/// Does what the command line says if it is about a program.
///
/// # Errors
/// With what a person is to be told.
pub(crate) fn run(verb: &Verb, global: &Global, output: &Output) -> Result<Option<u8>, Report> {
    let code = match verb {
        Verb::Plan(args) => match read(&args.plan, global)? {
            Some(programmed) => plan::run(&programmed, args, output)?,
            None => return Ok(None),
        },
        Verb::Gate(args) => match read(&args.plan, global)? {
            Some(programmed) => gate::run(&programmed)?,
            None => return Ok(None),
        },
        Verb::Apply(args) => match read(&args.plan, global)? {
            Some(_) if args.unmovable.is_some() => return Err(for_one("apply --unmovable")),
            Some(programmed) => apply::run(args, programmed, global, output)?,
            None => return Ok(None),
        },
        Verb::Status(args) => match target::find(&args.which.migration, global)? {
            Some(target) => status::run(&target, args.watch, output)?,
            None => return Ok(None),
        },
        Verb::Rollback(args) => match target::find(&args.which.migration, global)? {
            Some(_) if args.give_up => return Err(for_one("rollback --give-up")),
            Some(_) if args.unmovable.is_some() => return Err(for_one("rollback --unmovable")),
            Some(target) => roll_back(&target, &args.why, global, output)?,
            None => return Ok(None),
        },
        Verb::Abort(args) => match target::find(&args.which.migration, global)? {
            Some(_) if args.force => return Err(for_one("abort --force")),
            Some(target) => abort(&target, global, output)?,
            None => return Ok(None),
        },
        Verb::Finish(args) => match target::find(&args.migration, global)? {
            Some(target) => finish(&target, global, output)?,
            None => return Ok(None),
        },
        Verb::Pause(args) => match target::find(&args.which.migration, global)? {
            Some(target) => pause(&target, &args.reason, output)?,
            None => return Ok(None),
        },
        Verb::Resume(args) => match target::find(&args.migration, global)? {
            Some(target) => follow::order(&target, Ask::Resume, output, exit::of_apply)?,
            None => return Ok(None),
        },
        Verb::Skip(args) => match target::find(&args.which.migration, global)? {
            Some(target) => skip(&target, &args.reason, global, output)?,
            None => return Ok(None),
        },
        Verb::Approve(args) => match target::find(&args.which.migration, global)? {
            Some(target) => approve::run(args, &target, global, output)?,
            None => return Ok(None),
        },
        Verb::Verify(args) => match target::find(&args.migration, global)? {
            Some(target) => return Err(for_one_component("verify", &target)),
            None => return Ok(None),
        },
        Verb::Stop(args) => match target::find(&args.migration, global)? {
            Some(target) => stop(&target, global, output)?,
            None => return Ok(None),
        },
        Verb::Journal(args) => {
            let JournalAct::Show(show) = &args.act;
            match target::find(&show.which.migration, global)? {
                Some(target) => verbs::journal::records(&target.state_dir, show.after, output)?,
                None => return Ok(None),
            }
        }
        _ => return Ok(None),
    };
    Ok(Some(code))
}

/// Reads a program and the plans of its components; `None` if the file is no program, which is then
/// read as a plan and says what is wrong.
///
/// # Errors
/// With all faults of the program and of the plans.
pub(crate) fn read(file: &Path, global: &Global) -> Result<Option<Programmed>, Report> {
    let Ok(path) = file.canonicalize() else { return Ok(None) };
    let Ok(text) = fs::read_to_string(&path) else { return Ok(None) };
    if !is_program(&text) {
        return Ok(None);
    }
    let folder = path.parent().unwrap_or(Path::new("/")).to_owned();
    let shown = file.parent().unwrap_or(Path::new("")).to_owned();
    let mut load = |plan: &Path| {
        let path = folder.join(plan);
        let unreadable = |e: std::io::Error| Unloaded::Unreadable(e.to_string());
        let text = fs::read_to_string(&path).map_err(unreadable)?;
        let shown = shown.join(plan).display().to_string();
        changeover_engine::parse_plan(&shown, &path, &text).map_err(Unloaded::Faulty)
    };
    let name = file.display().to_string();
    let program = parse_program(&name, &text, &mut load).map_err(|faults| {
        let count = faults.0.len();
        let word = if count == 1 { "one fault" } else { "several faults" };
        let mut report = Report::new("CO0011", format!("the program {name} has {word} ({count})"));
        report.chain = faults.0.iter().map(ToString::to_string).collect();
        report
    })?;
    let state_dir = |name| changeover_engine::state_dir(global.state_dir.as_deref(), name);
    let mut components = Vec::with_capacity(program.components.len());
    for component in &program.components {
        let plan = folder.join(&component.file);
        let plan = plan.canonicalize().unwrap_or(plan);
        components.push(ComponentFiles { plan, state_dir: state_dir(&component.plan.name)? });
    }
    let state_dir = state_dir(&program.name)?;
    let files = ProgramFiles { program: Arc::new(program), text, state_dir, components };
    Ok(Some(Programmed { path, files }))
}

fn for_one(verb: &str) -> Report {
    Report::new("CO0177", format!("`{verb}` is for one component"))
        .hint("give the component's plan instead of the program")
}

fn roll_back(target: &Target, why: &str, global: &Global, output: &Output) -> Result<u8, Report> {
    let question = format!("Take every component of {} back to the source?", target.name);
    confirm(&question, global.yes)?;
    let ask = Ask::Rollback { why: why.to_owned() };
    follow::order(target, ask, output, |state| {
        verbs::wanted(state, |state| matches!(state, RunState::RolledBack { .. }))
    })
}

fn pause(target: &Target, why: &str, output: &Output) -> Result<u8, Report> {
    output.note("nothing new begins; whoever is on the way rests at the end of its present step");
    follow::order(target, Ask::Pause { why: why.to_owned() }, output, |state| {
        verbs::wanted(state, |state| matches!(state, RunState::Paused { .. }))
    })
}

fn abort(target: &Target, global: &Global, output: &Output) -> Result<u8, Report> {
    let question = format!(
        "Remove everything that the components of {} made, what was copied included?",
        target.name
    );
    confirm(&question, global.yes)?;
    follow::order(target, Ask::Abort { lost: false }, output, |state| {
        verbs::wanted(state, |state| matches!(state, RunState::Aborted))
    })
}

fn finish(target: &Target, global: &Global, output: &Output) -> Result<u8, Report> {
    let name = target.name.to_string();
    if !global.yes {
        output.note("After `finish` no component can be taken back, and the sources stay sealed.");
        let typed = ask(&format!("Type the program's name ({name}) to go on: "))?;
        if typed != name {
            return Err(Report::new("CO0003", "left as it was, for the name was not typed"));
        }
    }
    follow::order(target, Ask::Finish { confirm: name }, output, |state| {
        verbs::wanted(state, |state| matches!(state, RunState::Finished))
    })
}

/// Which step is meant is read first, so that a word that arrives twice leaves out one.
fn skip(target: &Target, why: &str, global: &Global, output: &Output) -> Result<u8, Report> {
    let step = crate::follow::block_on(async { Ok(target.status().await?.step) })?;
    let Some(step) = step else {
        return Err(Report::new("CO0030", "there is nothing to skip").cause("all steps are done"));
    };
    let ask = Ask::Skip { step, why: why.to_owned() };
    follow::order_and_show(target, ask, global.name.clone(), output)
}

fn stop(target: &Target, global: &Global, output: &Output) -> Result<u8, Report> {
    let question = "The program's daemon is stopped; the components go on to where they were \
                    ordered to go, and nobody begins the next step. Stop it?";
    confirm(question, global.yes)?;
    let stopped = crate::follow::block_on(target.stop())?;
    output.emit("stopped", &serde_json::json!({"name": target.name, "was_running": stopped}));
    output.line(if stopped {
        format!("stopped; `changeover apply {}` goes on where it was", target.words())
    } else {
        format!("no daemon runs {}: nothing to do", target.name)
    });
    Ok(exit::OK)
}

fn for_one_component(verb: &str, target: &Target) -> Report {
    Report::new(
        "CO0027",
        format!("`{verb}` is for one component, and {} is a program", target.name),
    )
    .hint(format!("give the component's plan: changeover {verb} PLAN"))
}
