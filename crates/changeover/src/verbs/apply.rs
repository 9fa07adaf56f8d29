//! `apply`: begins the migration, goes on with it, or says that it is done.

mod change;

use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use changeover_engine::Report;
use changeover_engine::protocol::{Ask, RunState, RunStatus, WaitsFor};
use changeover_journal::JournalError;
use changeover_plan::{Plan, Step};
use changeover_run::Mode;

use crate::cli::{Apply, Global};
use crate::follow::{self, Followed};
use crate::migration::{self, Journalled, Planned, Target};
use crate::output::{Output, confirm};
use crate::verbs::saved;
use crate::{exit, verbs};

pub(super) fn run(args: &Apply, global: &Global, output: &Output) -> Result<u8, Report> {
    let saved = saved::read(&args.plan)?;
    let file = saved.as_ref().map_or(&*args.plan, |saved| Path::new(&saved.plan));
    let planned = migration::read_plan(file, global)?;
    known_phase(&planned, args)?;
    let begun = begun(&planned, global.name.clone(), output)?;
    let is_new = begun.is_none();
    if let Some(Journalled { state, .. }) = &begun
        && state.mode == Mode::Finished
    {
        let text = "this migration is finished: there is nothing to do";
        output.emit("result", &serde_json::json!({"state": RunState::Finished, "exit": 0}));
        output.line(text);
        return Ok(exit::OK);
    }
    if let Some(saved) = &saved {
        saved::check(saved, &planned, begun.is_some(), output)?;
    }
    if begun.is_none() {
        no_way_back(&planned.plan, global.yes)?;
    }
    if let Some(saved) = &saved {
        saved::use_up(saved, &planned)?;
    }
    let target = Target {
        name: planned.plan.name.clone(),
        state_dir: planned.state_dir.clone(),
        plan: Some(planned),
        until: args.until.clone(),
        asker: global.name.clone(),
    };
    let outcome = follow::block_on(go_on(args, &target, is_new, output));
    if let Some(file) = &args.junit {
        // The run's own outcome is worth more than a fault of its file.
        match (super::junit::save(&target, file), &outcome) {
            (Err(report), Ok(exit::OK)) => return Err(report),
            (Err(report), _) => output.note(format!("{}: {:?}", report.headline, report.chain)),
            (Ok(()), _) => {}
        }
    }
    outcome
}

/// What was begun of this plan before. An aborted run is put aside.
fn begun(
    planned: &Planned,
    asker: Option<String>,
    output: &Output,
) -> Result<Option<Journalled>, Report> {
    let Some(journalled) = migration::journalled(&planned.state_dir)? else { return Ok(None) };
    if journalled.state.mode == Mode::Aborted {
        let archived = put_aside(&planned.state_dir).map_err(|e| {
            Report::new("CO0021", "the journal of the aborted run cannot be put aside").because(&e)
        })?;
        let file = archived.display();
        output.note(format!("an earlier run was aborted; its journal is kept in {file}"));
        return Ok(None);
    }
    if journalled.plan_digest() == planned.plan.digest {
        return Ok(Some(journalled));
    }
    if journalled.state.mode.is_over() {
        return Err(other_run(planned, &journalled));
    }
    let what = change::take_up(planned, &journalled, asker)
        .map_err(|report| ways_on(report, planned, &journalled))?;
    output.emit("plan-changed", &serde_json::json!({"what": what}));
    output.note(format!("the plan has changed, and the run goes on with it: {}", what.join("; ")));
    migration::journalled(&planned.state_dir)
}

/// The daemon of a run that has just ended stays for a moment, so that whoever watches sees the end.
pub(crate) fn put_aside(state_dir: &Path) -> Result<PathBuf, JournalError> {
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        match changeover_journal::archive(state_dir) {
            Err(JournalError::Held { .. }) if Instant::now() < deadline => {
                thread::sleep(Duration::from_millis(20));
            }
            outcome => return outcome,
        }
    }
}

fn other_run(planned: &Planned, journalled: &Journalled) -> Report {
    let name = &planned.plan.name;
    Report::new("CO0022", format!("the plan of {name} changed since its run began"))
        .cause(format!("run {} is {}", journalled.meta.run_id, journalled.run_state().word()))
        .hint("give the new migration another metadata.name")
        .exit(exit::STALE)
}

fn ways_on(report: Report, planned: &Planned, journalled: &Journalled) -> Report {
    let end = if journalled.state.has_moved_something() { "finish" } else { "abort" };
    report
        .hint("put the old plan back to go on with that run")
        .hint(format!("or end it first: changeover {end} {}", planned.plan.name))
}

fn known_phase(planned: &Planned, args: &Apply) -> Result<(), Report> {
    let Some(phase) = &args.until else { return Ok(()) };
    if planned.plan.steps_until(phase).is_some() {
        return Ok(());
    }
    let phases: Vec<&str> = planned.plan.phases.iter().map(|it| it.name.as_str()).collect();
    Err(Report::new("CO0026", format!("the plan has no phase {phase}"))
        .hint(format!("its phases are {}", phases.join(", "))))
}

/// A plan that ends with `finish` cannot be taken back once it has run.
fn no_way_back(plan: &Plan, yes: bool) -> Result<(), Report> {
    if plan.steps().any(|placed| matches!(placed.step, Step::Finish)) {
        let question = "The plan ends with `finish`, after which nothing can be taken back. Begin?";
        confirm(question, yes)?;
    }
    Ok(())
}

async fn go_on(args: &Apply, target: &Target, is_new: bool, output: &Output) -> Result<u8, Report> {
    let after = Some(target.last_event().await?);
    let status = target.status().await?;
    let waits_for_people =
        |it: &Planned| it.plan.phases.iter().any(|p| p.entrance.approve.is_some());
    if target.plan.as_ref().is_some_and(waits_for_people) {
        // Whoever applies may not be whoever approves.
        target.order(Ask::Apply).await?;
    }
    if let Some(policy) = args.unmovable {
        target.order(Ask::Unmovable { policy }).await?;
    }
    match (&status.state, &args.until) {
        (RunState::Done { .. }, _) => output.note("this plan is done: nothing to do"),
        // What a person stopped, a person resumes: the status says who and how.
        (RunState::Paused { .. }, _) if status.control.paused_by.is_some() => {}
        // What stops a run that this very verb began is news, not something to go on from.
        _ if is_new => {}
        (_, Some(phase)) => target.order(Ask::Until { phase: phase.clone() }).await?,
        // Without effect on a run that goes on to its end anyway.
        (_, None) => target.order(Ask::Retry).await?,
    }
    if args.detach {
        output.emit("detached", &serde_json::json!({"name": status.name, "pid": status.pid}));
        output.line(format!(
            "the run goes on; watch it: changeover status {} --watch",
            target.words()
        ));
        return Ok(exit::OK);
    }
    let followed = follow_and_approve(args, target, after, output).await?;
    Ok(verbs::show_followed(target, followed, output, exit::of_apply))
}

/// Follows to the end; with `--approve-as` it says yes on the way, with `--no-wait` it leaves where
/// somebody else must.
async fn follow_and_approve(
    args: &Apply,
    target: &Target,
    mut after: Option<u64>,
    output: &Output,
) -> Result<Followed, Report> {
    let may_say_yes = |status: &RunStatus| {
        let asked = status.control.approval.as_ref()?;
        let name = args.approve_as.as_ref().filter(|name| !asked.given.contains(name))?;
        Some((name.clone(), asked.facts.clone()))
    };
    loop {
        let followed = follow::until(target, output, after, |status| {
            let waits =
                matches!(status.state, RunState::Waiting { waits_for: WaitsFor::Approval, .. });
            status.state.is_resting() || waits && (args.no_wait || may_say_yes(status).is_some())
        })
        .await?;
        let Followed::Rested(RunState::Waiting { .. }, Some(status)) = &followed else {
            return Ok(followed);
        };
        let Some((name, facts)) = may_say_yes(status) else { return Ok(followed) };
        after = Some(status.last_event);
        target.order_as(Some(name), Ask::Approve { facts }).await?;
    }
}
