//! The verbs, one file each. Each gives an exit code or a report.

mod abort;
pub(crate) mod apply;
pub(crate) mod approve;
mod assess;
mod completions;
mod finish;
mod gate;
mod init;
pub(crate) mod journal;
mod junit;
mod pause;
pub(crate) mod plan;
mod rehearse;
mod resume;
mod rollback;
mod run;
mod saved;
mod schema;
mod skip;
mod status;
mod stop;
mod verify;

use changeover_engine::Report;
use changeover_engine::protocol::{Ask, RunState, RunStatus};
use changeover_plan::AfterDone;

use crate::cli::{Cli, JournalAct, Verb};
use crate::exit;
use crate::follow::{self, Followed};
use crate::migration::Target;
use crate::output::Output;
use crate::program;
use crate::view;

/// Does what the command line says.
///
/// # Errors
/// With what a person is to be told.
pub(crate) fn run(cli: Cli, output: &Output) -> Result<u8, Report> {
    let global = &cli.global;
    if let Some(code) = program::run(&cli.verb, global, output)? {
        return Ok(code);
    }
    match cli.verb {
        Verb::Init(args) => init::run(&args, output),
        Verb::Assess(args) => assess::run(&args, global, output),
        Verb::Plan(args) => plan::run(&args, global, output),
        Verb::Gate(args) => gate::run(&args, global),
        Verb::Rehearse(args) => rehearse::run(&args, global, output),
        Verb::Apply(args) => apply::run(&args, global, output),
        Verb::Status(args) => status::run(&args, global, output),
        Verb::Verify(args) => verify::run(&args, global, output),
        Verb::Pause(args) => pause::run(&args, global, output),
        Verb::Resume(args) => resume::run(&args, global, output),
        Verb::Skip(args) => skip::run(&args, global, output),
        Verb::Approve(args) => approve::run(&args, global, output),
        Verb::Rollback(args) => rollback::run(&args, global, output),
        Verb::Abort(args) => abort::run(&args, global, output),
        Verb::Finish(args) => finish::run(&args, global, output),
        Verb::Stop(args) => stop::run(&args, global, output),
        Verb::Journal(args) => match args.act {
            JournalAct::Show(args) => journal::show(&args, global, output),
        },
        Verb::Schema(args) => schema::run(&args, output),
        Verb::Completions(args) => Ok(completions::run(&args)),
        Verb::GuardCommand(args) => Ok(changeover_checks::guard::run(&args.command)),
        Verb::Run(args) => run::run(&args, global),
    }
}

/// Orders something of the daemon, follows the run until it rests, and shows where it rests.
/// `code` turns the state into the exit code.
///
/// # Errors
/// With the daemon's refusal, or why it cannot be asked.
fn order_and_follow(
    target: &Target,
    ask: Ask,
    output: &Output,
    code: impl Fn(&RunState) -> u8,
) -> Result<u8, Report> {
    follow::block_on(async {
        let after = target.last_event().await?;
        target.order(ask).await?;
        rest(target, output, Some(after), |status| status.state.is_resting(), code).await
    })
}

/// Follows the run until `enough` and shows where it rests.
///
/// # Errors
/// If the daemon cannot be asked or dies again and again.
async fn rest(
    target: &Target,
    output: &Output,
    after: Option<u64>,
    enough: impl Fn(&RunStatus) -> bool,
    code: impl Fn(&RunState) -> u8,
) -> Result<u8, Report> {
    let followed = follow::until(target, output, after, enough).await?;
    Ok(show_followed(target, followed, output, code))
}

/// Shows how it ended, and gives the exit code.
fn show_followed(
    target: &Target,
    followed: Followed,
    output: &Output,
    code: impl Fn(&RunState) -> u8,
) -> u8 {
    match followed {
        Followed::Left => {
            follow::farewell(target, output);
            exit::DETACHED
        }
        Followed::Rested(state, status) => {
            let code = code(&state);
            show_rest(target, &state, status.as_deref(), code, output);
            code
        }
    }
}

/// Orders something that is done when it is accepted, and shows where the run stands then.
fn order_and_show(target: &Target, ask: Ask, output: &Output) -> Result<u8, Report> {
    follow::block_on(async {
        target.order(ask).await?;
        let status = target.status().await?;
        show_rest(target, &status.state, Some(&status), exit::OK, output);
        Ok(exit::OK)
    })
}

fn show_rest(
    target: &Target,
    state: &RunState,
    status: Option<&RunStatus>,
    code: u8,
    output: &Output,
) {
    let result = serde_json::json!({"state": state, "status": status, "exit": code});
    output.emit("result", &result);
    match status {
        Some(status) => output.line(view::lines(&view::table(status))),
        None => output.line(format!("{}: {}", target.name, view::state(state))),
    }
    if matches!(state, RunState::Done { .. }) {
        output.line(format!(
            "\nall steps are done and the way back is open\n  \
             take back  changeover rollback {0}\n  \
             end it     changeover finish {0}\n  \
             watched    {1}",
            target.words(),
            watched(target, status)
        ));
    }
}

/// What goes on being looked at until `finish`, and what comes of it.
fn watched(target: &Target, status: Option<&RunStatus>) -> String {
    let guards = status.map(|it| it.control.guards.iter().map(|guard| guard.name.as_str()));
    let names: Vec<&str> = guards.into_iter().flatten().collect();
    if names.is_empty() {
        return "by nobody: the plan has neither guards nor objectives for requests".to_owned();
    }
    let after_done = target.plan.as_ref().map(|it| it.plan.after_done).unwrap_or_default();
    let back = match after_done {
        AfterDone::Alarm => "",
        AfterDone::Rollback => ", and what rolls back goes back",
    };
    format!(
        "{}: until it is ended an alarm in changeover status, whose exit code is {} then{back}",
        names.join(", "),
        exit::STUCK
    )
}

/// The exit code of a verb that wanted the run to come to rest in certain states.
pub(crate) fn wanted(state: &RunState, wanted: fn(&RunState) -> bool) -> u8 {
    match state {
        state if wanted(state) => exit::OK,
        RunState::Paused { .. } | RunState::Failed { .. } => exit::STUCK,
        _ => exit::ERROR,
    }
}
