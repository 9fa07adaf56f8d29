//! `apply` of a program: begins it, goes on with it, or says that it is done.

use changeover_engine::Report;
use changeover_engine::protocol::{Ask, RunState};
use changeover_run::Mode;

use super::{Programmed, Target, follow, status};
use crate::cli::Apply;
use crate::exit;
use crate::output::Output;

pub(super) fn run(args: &Apply, programmed: Programmed, output: &Output) -> Result<u8, Report> {
    if args.until.is_some() {
        return Err(Report::new("CO0028", "a program has no --until").hint(
            "write what is to happen first as a program of its own phases, or give --until \
                   with a component's plan",
        ));
    }
    let target = Target::of(programmed);
    let begun = status::journalled(&target)?;
    if let Some(programmed) = target.programmed.as_ref().filter(|_| begun.is_none()) {
        changeover_engine::shared_databases(&programmed.files)?;
    }
    if let Some((meta, state)) = begun {
        match &state.mode {
            Mode::Aborted => put_aside(&target, output)?,
            _ if meta.plan_digest != digest(&target) => {
                return Err(stale(&target, &meta.plan_digest));
            }
            Mode::Finished => {
                output.emit("result", &serde_json::json!({"state": RunState::Finished, "exit": 0}));
                output.line("this program is finished: there is nothing to do");
                return Ok(exit::OK);
            }
            _ => {}
        }
    }
    crate::follow::block_on(go_on(args, &target, output))
}

async fn go_on(args: &Apply, target: &Target, output: &Output) -> Result<u8, Report> {
    let after = Some(target.last_event().await?);
    let status = target.status().await?;
    match &status.state {
        RunState::Done => output.note("this program is done: nothing to do"),
        // Without effect on one that goes on.
        _ => target.order(Ask::Retry).await?,
    }
    if args.detach {
        output.emit("detached", &serde_json::json!({"name": status.name, "pid": status.pid}));
        let words = target.words();
        output.line(format!("the program goes on; watch it: changeover status -w {words}"));
        return Ok(exit::OK);
    }
    follow::rest(target, output, after, exit::of_apply).await
}

fn digest(target: &Target) -> &str {
    target.programmed.as_ref().map_or("", |it| it.files.program.digest.as_str())
}

fn put_aside(target: &Target, output: &Output) -> Result<(), Report> {
    let archived = crate::verbs::apply::put_aside(&target.state_dir).map_err(|e| {
        Report::new("CO0021", "the journal of the aborted run cannot be put aside").because(&e)
    })?;
    let file = archived.display();
    output.note(format!("an earlier run was aborted; its journal is kept in {file}"));
    Ok(())
}

fn stale(target: &Target, begun_with: &str) -> Report {
    let name = &target.name;
    Report::new("CO0022", format!("the program {name} changed since its run began"))
        .cause(format!(
            "it began with the digest {begun_with}; the file and its plans now have {}",
            digest(target)
        ))
        .hint("put the program and the plans of its components back to go on with that run")
        .hint(format!("or end it first: changeover rollback {name}, then changeover abort {name}"))
        .exit(exit::STALE)
}
