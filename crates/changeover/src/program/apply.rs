//! `apply` of a program: begins it, goes on with it, or says that it is done.

use changeover_engine::Report;
use changeover_engine::protocol::{ApprovalStatus, Ask, RunState, WaitsFor};
use changeover_plan::Component;
use changeover_run::Mode;

use super::follow::Rested;
use super::{Programmed, Target, approve, follow, status};
use crate::cli::{Apply, Global};
use crate::exit;
use crate::output::Output;

pub(super) fn run(
    args: &Apply,
    programmed: Programmed,
    global: &Global,
    output: &Output,
) -> Result<u8, Report> {
    if args.junit.is_some() {
        return Err(Report::new("CO0039", "--junit is not built yet for a program").hint(
            "changeover status COMPONENT.yaml --junit FILE writes the checks of one component",
        ));
    }
    known_phase(&programmed, args)?;
    let target = Target { until: args.until.clone(), ..Target::of(programmed) };
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
    crate::follow::block_on(go_on(args, &target, global, output))
}

async fn go_on(
    args: &Apply,
    target: &Target,
    global: &Global,
    output: &Output,
) -> Result<u8, Report> {
    let after = Some(target.last_event().await?);
    let status = target.status().await?;
    let asks_people =
        |it: &Component| it.plan.phases.iter().any(|phase| phase.entrance.approve.is_some());
    if let Some(programmed) = &target.programmed
        && (programmed.files.program.components.iter().any(asks_people)
            || programmed.files.program.phases.iter().any(|it| it.entrance.approve.is_some()))
    {
        // Whoever applies may not be whoever approves.
        target.order_as(global.name.clone(), Ask::Apply).await?;
    }
    match (&status.state, &args.until) {
        (RunState::Done { .. }, _) => output.note("this program is done: nothing to do"),
        (_, Some(phase)) => target.order(Ask::Until { phase: phase.clone() }).await?,
        // Without effect on one that goes on to its end.
        (_, None) => target.order(Ask::Retry).await?,
    }
    if args.detach {
        output.emit("detached", &serde_json::json!({"name": status.name, "pid": status.pid}));
        let words = target.words();
        output.line(format!("the program goes on; watch it: changeover status {words} --watch"));
        return Ok(exit::OK);
    }
    let followed = follow_and_approve(args, target, after, global, output).await?;
    Ok(follow::show(target, followed, output, exit::of_apply))
}

fn known_phase(programmed: &Programmed, args: &Apply) -> Result<(), Report> {
    let Some(phase) = &args.until else { return Ok(()) };
    let program = &programmed.files.program;
    if program.steps_until(phase).is_some() {
        return Ok(());
    }
    let phases: Vec<&str> = program.phases.iter().map(|it| it.name.as_str()).collect();
    Err(Report::new("CO0026", format!("the program has no phase {phase}"))
        .hint(format!("its phases are {}", phases.join(", "))))
}

/// Follows to the end; with `--approve-as` it says yes on the way, with `--no-wait` it leaves where
/// somebody else must.
async fn follow_and_approve(
    args: &Apply,
    target: &Target,
    mut after: Option<u64>,
    global: &Global,
    output: &Output,
) -> Result<Option<Rested>, Report> {
    // What the program shows of a component may be older than the answer.
    let mut said: Vec<String> = Vec::new();
    loop {
        let may_say_yes = |asked: &Option<ApprovalStatus>| {
            let asked = asked.as_ref().filter(|it| !said.contains(&it.facts))?;
            let name = args.approve_as.as_ref().filter(|name| !asked.given.contains(name))?;
            Some((name.clone(), asked.facts.clone()))
        };
        let followed = follow::until(target, output, after, |status| {
            let waits =
                matches!(status.state, RunState::Waiting { waits_for: WaitsFor::Approval, .. });
            let mut asked = status.components.iter().map(|it| &it.approval);
            let yes = asked.any(|it| may_say_yes(it).is_some());
            let yes = yes || may_say_yes(&status.approval).is_some();
            status.state.is_resting() || yes || waits && args.no_wait
        })
        .await?;
        let Some((_, Some(status))) = &followed else { return Ok(followed) };
        if let Some((name, facts)) = may_say_yes(&status.approval) {
            after = Some(status.last_event);
            target.order_as(Some(name), Ask::Approve { facts: facts.clone() }).await?;
            said.push(facts);
            continue;
        }
        let waiting =
            status.components.iter().find_map(|it| Some((it, may_say_yes(&it.approval)?)));
        let Some((component, (name, facts))) = waiting else { return Ok(followed) };
        after = Some(status.last_event);
        let component = approve::of_component(target, component, global)?;
        component.order_as(Some(name), Ask::Approve { facts: facts.clone() }).await?;
        said.push(facts);
    }
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
