//! `approve` of a program: yes or no to the phase or the component that waits for it.

use changeover_engine::Report;
use changeover_engine::protocol::{ApprovalStatus, ComponentStatus, ProgramStatus};

use super::{Target, follow};
use crate::cli::{Approve, Global};
use crate::migration::{self, Planned};
use crate::output::Output;
use crate::verbs;

pub(super) fn run(
    args: &Approve,
    target: &Target,
    global: &Global,
    output: &Output,
) -> Result<u8, Report> {
    let status = crate::follow::block_on(target.status())?;
    match meant(args.component.as_deref(), &status)? {
        Meant::Program(asked) => {
            let ask = verbs::approve::answer(args, asked.facts.clone());
            follow::order_and_show(target, ask, global.name.clone(), output)
        }
        Meant::Component(component) => {
            let component = of_component(target, component, global)?;
            verbs::approve::give(args, &component, output)
        }
    }
}

/// What waits for an approval.
enum Meant<'s> {
    Program(&'s ApprovalStatus),
    Component(&'s ComponentStatus),
}

/// What waits for an approval; with several, the component that was named.
fn meant<'s>(named: Option<&str>, status: &'s ProgramStatus) -> Result<Meant<'s>, Report> {
    let waiting: Vec<&ComponentStatus> =
        status.components.iter().filter(|it| it.approval.is_some()).collect();
    let names = || waiting.iter().map(|it| it.name.as_str()).collect::<Vec<_>>().join(", ");
    let nothing = |headline: String| Err(Report::new("CO0036", headline));
    match (named, &status.approval, waiting.as_slice()) {
        (None, Some(asked), _) => Ok(Meant::Program(asked)),
        (None, None, []) => nothing(format!("nothing of {} waits for an approval", status.name)),
        (None, None, [only]) => Ok(Meant::Component(only)),
        (None, None, _) => Err(Report::new("CO0037", "several components wait for an approval")
            .cause(format!("{} do", names()))
            .hint("say which: changeover approve PROGRAM --component NAME")),
        (Some(name), ..) => match waiting.iter().find(|it| it.name == *name) {
            Some(component) => Ok(Meant::Component(component)),
            None if waiting.is_empty() => nothing(format!("{name} waits for no approval")),
            None => nothing(format!("{name} waits for no approval; {} do", names())),
        },
    }
}

/// The migration that a component is.
///
/// # Errors
/// If the program's file was not given and its name leads nowhere.
pub(super) fn of_component(
    target: &Target,
    component: &ComponentStatus,
    global: &Global,
) -> Result<migration::Target, Report> {
    let read = target.programmed.as_ref().and_then(|programmed| {
        let files = &programmed.files;
        let index = files.program.component(&component.name)?;
        let (plan, at) = (files.program.components[index].plan.clone(), &files.components[index]);
        Some(Planned { path: at.plan.clone(), plan, state_dir: at.state_dir.clone() })
    });
    match read {
        Some(planned) => Ok(migration::Target {
            name: planned.plan.name.clone(),
            state_dir: planned.state_dir.clone(),
            plan: Some(planned),
            until: None,
            asker: global.name.clone(),
        }),
        None => migration::find(component.migration.as_ref(), global),
    }
}
